//! EndTxn in both protocols, and the fence that aborts a transaction.
//!
//! With protocol version 1, all transactions of a producer have one epoch. A retry looks like a second
//! request, so it is judged by the state alone:
//!
//! | state | abort | commit |
//! |---|---|---|
//! | Empty | INVALID_TXN_STATE | INVALID_TXN_STATE |
//! | CompleteAbort | done | INVALID_TXN_STATE |
//! | CompleteCommit | INVALID_TXN_STATE | done |
//!
//! With version 2 (KIP-890), each end increases the epoch. A request with the epoch before that is a
//! retry, and one with the current epoch a new end. A client that does not know whether it has a
//! transaction may abort:
//!
//! | state | abort, retry | abort | commit, retry | commit |
//! |---|---|---|---|---|
//! | Empty | PRODUCER_FENCED | next epoch | PRODUCER_FENCED | INVALID_TXN_STATE |
//! | CompleteAbort | done | next epoch | INVALID_TXN_STATE | INVALID_TXN_STATE |
//! | CompleteCommit | INVALID_TXN_STATE | next epoch | done | INVALID_TXN_STATE |
//!
//! Source: Kafka's `TransactionCoordinator.endTransaction` and `endTransactionWithTV1`.

use super::TransactionalId;
use super::machine::{Asked, Decision, Fresh, TxnCoordinator, check_id, refuse};
use super::soft::SoftEffect;
use super::status::{Outcome, TransactionState};
use super::transaction::Transaction;
use super::version::TransactionVersion;
use crate::base::{Flaw, Instant, ProducerEpoch, ProducerId, Timestamp};
use crate::wire::ErrorCode;

/// How a producer ends its transaction.
#[derive(Clone, Copy, Debug)]
pub struct EndRequest<'a> {
    /// The transactional id.
    pub id: &'a str,
    /// The producer.
    pub producer: (ProducerId, ProducerEpoch),
    /// What it decides.
    pub outcome: Outcome,
    /// The protocol that it speaks.
    pub version: TransactionVersion,
}

/// The producer id and epoch of the next transaction: with version 1 they are those of this one, and
/// not part of the response.
pub type Ended = (ProducerId, ProducerEpoch);

/// What a request is, as its epoch and the state of the transaction say.
enum Verdict {
    /// It was carried out before.
    Done,
    /// The outcome is to be stored.
    Ends,
}

impl TxnCoordinator {
    /// EndTxn. `fresh` is a producer id that the shell brings; the answer is none if it has to bring
    /// one.
    pub fn end(
        &self,
        _now: Instant,
        wall: Timestamp,
        request: EndRequest<'_>,
        fresh: Fresh,
    ) -> Decision<Asked<Ended>> {
        let version = match self.settings.flaws.has(Flaw::NoEpochBump) {
            true => TransactionVersion::V0,
            false => request.version,
        };
        let verdict = match version.bumps_epoch() {
            true => self.judge_by_epoch(&request),
            false => self.judge_by_state(&request),
        };
        let (id, known, verdict) = match verdict {
            Ok(verdict) => verdict,
            Err(error) => return refuse(error),
        };
        match verdict {
            Verdict::Done => Decision::only(Some(Ok((known.producer, known.epoch)))),
            Verdict::Ends if version.bumps_epoch() => {
                self.prepare_with_epoch(wall, (&id, known), request.outcome, fresh)
            }
            Verdict::Ends => {
                let producer = (known.epoch, ProducerId::NONE);
                let after = known.prepared(request.outcome, producer, TransactionVersion::V0, wall);
                self.prepare(&id, after)
            }
        }
    }

    /// Version 1.
    fn judge_by_state(
        &self,
        request: &EndRequest<'_>,
    ) -> Result<(TransactionalId, &Transaction, Verdict), ErrorCode> {
        let (id, known) = self.known(request.id)?;
        let (producer, epoch) = request.producer;
        if known.producer != producer {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if known.epoch != epoch && !self.settings.flaws.has(Flaw::ZombieEndTxn) {
            return Err(ErrorCode::ProducerFenced);
        }
        if known.state.pending().is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if known.state == TransactionState::Ongoing {
            return Ok((id, known, Verdict::Ends));
        }
        match known.state.completed() == Some(request.outcome) {
            true => Ok((id, known, Verdict::Done)),
            false => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Version 2.
    fn judge_by_epoch(
        &self,
        request: &EndRequest<'_>,
    ) -> Result<(TransactionalId, &Transaction, Verdict), ErrorCode> {
        let (id, known) = self.known(request.id)?;
        let (producer, epoch) = request.producer;
        if known.state.pending().is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let replaced = known.previous == producer
            && epoch == Transaction::LAST_EPOCH
            && known.epoch == ProducerEpoch(0);
        if known.producer != producer && !replaced {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let is_retry = replaced || epoch.0.checked_add(1) == Some(known.epoch.0);
        let completed = known.state.completed();
        let is_current = epoch == known.epoch || self.settings.flaws.has(Flaw::ZombieEndTxn);
        match (known.state, completed, request.outcome) {
            (_, Some(outcome), asked) if is_retry => match outcome == asked {
                true => Ok((id, known, Verdict::Done)),
                false => Err(ErrorCode::InvalidTxnState),
            },
            _ if !is_current => Err(ErrorCode::ProducerFenced),
            (TransactionState::Ongoing, ..) | (_, _, Outcome::Abort) => {
                Ok((id, known, Verdict::Ends))
            }
            (_, _, Outcome::Commit) => Err(ErrorCode::InvalidTxnState),
        }
    }

    fn known(&self, id: &str) -> Result<(TransactionalId, &Transaction), ErrorCode> {
        let checked = check_id(id)?;
        let known = self.state.get(id)?.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        Ok((checked, known))
    }

    /// Aborts the ongoing transaction of a producer, whose epoch is over. The answer is none if the
    /// shell has to bring a producer id.
    pub(super) fn fence(
        &self,
        _now: Instant,
        wall: Timestamp,
        id: &TransactionalId,
        known: &Transaction,
        fresh: Fresh,
    ) -> Decision<Asked<()>> {
        // No client asks for this: the level of the cluster decides.
        let bumps = self.settings.version.bumps_epoch();
        if bumps && !self.settings.flaws.has(Flaw::NoRotationAtFence) {
            let ended = self.prepare_with_epoch(wall, (id, known), Outcome::Abort, fresh);
            return ended.map(|asked| asked.map(|ended| ended.map(|_| ())));
        }
        let exhausted = known.epoch == ProducerEpoch(i16::MAX);
        if bumps && exhausted {
            return refuse(ErrorCode::UnknownServerError);
        }
        let epoch = ProducerEpoch(known.epoch.0.saturating_add(1));
        let version = if bumps { TransactionVersion::V2 } else { TransactionVersion::V0 };
        let after = known.prepared(Outcome::Abort, (epoch, ProducerId::NONE), version, wall);
        let last = SoftEffect::LastEpoch(id.clone(), ProducerEpoch::NONE);
        let prepared = self.prepare(id, after).with(last.into());
        prepared.map(|asked| asked.map(|ended| ended.map(|_| ())))
    }

    /// Stores the outcome with an epoch of its own, and the next producer id if that is the last one.
    fn prepare_with_epoch(
        &self,
        wall: Timestamp,
        (id, known): (&TransactionalId, &Transaction),
        outcome: Outcome,
        fresh: Fresh,
    ) -> Decision<Asked<Ended>> {
        let next = match (known.is_exhausted(), fresh) {
            (true, None) => return Decision::only(None),
            (true, Some(producer)) => producer,
            (false, _) => ProducerId::NONE,
        };
        let epoch = match known.epoch.0.checked_add(1) {
            Some(epoch) => ProducerEpoch(epoch),
            // No client has this epoch, unless there was a bug: it may abort, and begin again.
            None if outcome == Outcome::Abort
                && !self.settings.flaws.has(Flaw::NoRotationAtFence) =>
            {
                known.epoch
            }
            None => return refuse(ErrorCode::UnknownServerError),
        };
        let after = known.prepared(outcome, (epoch, next), TransactionVersion::V2, wall);
        let last = SoftEffect::LastEpoch(id.clone(), known.epoch);
        self.prepare(id, after).with(last.into())
    }

    /// Stores an outcome. Markers leave once it is committed.
    fn prepare(&self, id: &TransactionalId, after: Transaction) -> Decision<Asked<Ended>> {
        let answer = after.afterwards(self.settings.flaws);
        self.store(id, after, Some(Ok(answer)))
            .with(SoftEffect::Ended(id.clone()).into())
            .then(SoftEffect::Prepared(id.clone()).into())
    }
}
