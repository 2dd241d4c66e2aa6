//! InitProducerId: a producer takes over a transactional id, and fences the one before it.

use std::time::Duration;

use super::TransactionalId;
use super::machine::{Asked, Decision, Fresh, TxnCoordinator, check_id, refuse};
use super::soft::SoftEffect;
use super::status::TransactionState;
use super::transaction::Transaction;
use crate::base::{Instant, ProducerEpoch, ProducerId, Timestamp};
use crate::wire::ErrorCode;

/// What a producer asks for.
#[derive(Clone, Copy, Debug)]
pub struct InitRequest<'a> {
    /// The transactional id.
    pub id: &'a str,
    /// How long a transaction may be ongoing, in milliseconds.
    pub timeout_ms: i32,
    /// The producer that asks to go on after an error (KIP-360), if it is none that starts.
    pub expected: Option<(ProducerId, ProducerEpoch)>,
    /// The producer wants transactions without a timeout (KIP-939).
    pub two_phase: bool,
    /// The producer wants to go on with a prepared transaction (KIP-939).
    pub keep_prepared: bool,
}

impl InitRequest<'_> {
    /// Checks what takes no coordinator: the id and the timeout.
    pub fn check(&self, max_timeout: Duration) -> Result<TransactionalId, ErrorCode> {
        let id = check_id(self.id)?;
        if self.two_phase {
            return Err(ErrorCode::TransactionalIdAuthorizationFailed);
        }
        if self.keep_prepared {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let timeout = u128::try_from(self.timeout_ms).unwrap_or(0);
        match timeout == 0 || timeout > max_timeout.as_millis() {
            true => Err(ErrorCode::InvalidTransactionTimeout),
            false => Ok(id),
        }
    }
}

/// The producer id and epoch of a producer.
pub type Initialised = (ProducerId, ProducerEpoch);

type InitDecision = Decision<Asked<Initialised>>;

impl TxnCoordinator {
    /// InitProducerId with a transactional id. `fresh` is a producer id that the shell brings; the
    /// answer is none if it has to bring one.
    ///
    /// Source: Kafka's `TransactionCoordinator.handleInitProducerId`.
    pub fn init(
        &self,
        now: Instant,
        wall: Timestamp,
        request: InitRequest<'_>,
        fresh: Fresh,
    ) -> InitDecision {
        let checked = request.check(self.settings.max_timeout);
        let found = checked.and_then(|id| Ok((id, self.state.get(request.id)?)));
        let (id, known) = match found {
            Ok(found) => found,
            Err(error) => return refuse(error),
        };
        let created;
        let known = match (known, fresh) {
            (Some(known), _) => known,
            (None, None) => return Decision::only(None),
            (None, Some(producer)) => {
                created = Transaction::new(producer);
                &created
            }
        };
        if known.state.pending().is_some() {
            return refuse(ErrorCode::ConcurrentTransactions);
        }
        if request.expected.is_some_and(|expected| !may_go_on(known, expected)) {
            return refuse(ErrorCode::ProducerFenced);
        }
        if known.state == TransactionState::Ongoing {
            // The transaction is aborted first. The epoch of the fence is never given to a client.
            let fenced = self.fence(now, wall, &id, known, fresh);
            let wait =
                |done: Result<(), ErrorCode>| done.and(Err(ErrorCode::ConcurrentTransactions));
            return fenced.map(|done| done.map(wait));
        }
        self.initialise(wall, &id, known, &request, fresh)
    }

    /// The epoch of a producer whose id has no transaction.
    fn initialise(
        &self,
        wall: Timestamp,
        id: &TransactionalId,
        known: &Transaction,
        request: &InitRequest<'_>,
        fresh: Fresh,
    ) -> InitDecision {
        let expected = request.expected.map(|(_, epoch)| epoch);
        let (after, last) = if known.is_exhausted() {
            if expected.is_some_and(|epoch| epoch != known.epoch) {
                // Kafka fails: it finds that no epoch is left before it finds the retry.
                return refuse(ErrorCode::UnknownServerError);
            }
            let Some(producer) = fresh else { return Decision::only(None) };
            let last = expected.unwrap_or(ProducerEpoch::NONE);
            (known.rotated(producer, request.timeout_ms, wall), last)
        } else {
            let (epoch, last) = match self.next_epoch(id, known, expected) {
                Ok(next) => next,
                Err(error) => return refuse(error),
            };
            (known.initialised(epoch, request.timeout_ms, wall), last)
        };
        let answer = (after.producer, after.epoch);
        let last = SoftEffect::LastEpoch(id.clone(), last);
        self.store(id, after, Some(Ok(answer))).with(last.into())
    }

    /// The epoch after the current one, and the one with which its producer may ask again.
    fn next_epoch(
        &self,
        id: &TransactionalId,
        known: &Transaction,
        expected: Option<ProducerEpoch>,
    ) -> Result<(ProducerEpoch, ProducerEpoch), ErrorCode> {
        let next = match known.epoch {
            ProducerEpoch::NONE => self.settings.first_epoch,
            epoch => ProducerEpoch(epoch.0.saturating_add(1)),
        };
        let last = self.soft.last_epoch(id.as_str());
        match expected {
            None => Ok((next, ProducerEpoch::NONE)),
            Some(epoch) if known.epoch == ProducerEpoch::NONE || epoch == known.epoch => {
                Ok((next, known.epoch))
            }
            // A retry of a request that was carried out. Another producer would have cleared `last`.
            Some(epoch) if epoch == last => Ok((known.epoch, last)),
            Some(_) => Err(ErrorCode::ProducerFenced),
        }
    }
}

/// Whether a producer that names its id and epoch may go on: it is the current one, or its id was
/// replaced because its epochs were exhausted, and it did not hear of that. The epoch of the current
/// one is checked when it is increased.
fn may_go_on(known: &Transaction, (producer, epoch): (ProducerId, ProducerEpoch)) -> bool {
    let replaced = producer == known.previous && epoch >= Transaction::LAST_EPOCH;
    known.epoch == ProducerEpoch::NONE || producer == known.producer || replaced
}
