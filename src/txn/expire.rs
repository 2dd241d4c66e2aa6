//! What follows from deadlines: completion, timeouts, and the expiry of transactional ids.

use super::TransactionalId;
use super::machine::{Decision, TxnCoordinator};
use super::record::Record;
use super::soft::{SoftEffect, Timer};
use super::status::TransactionState;
use crate::base::{Instant, ProducerId, Timestamp};

/// Bytes of the records that are appended at once, about. Source: a quarter of Kafka's default
/// `max.message.bytes`: a larger batch would be refused as a whole.
const BATCH: usize = 256 * 1024;

/// Adds what another part decides.
fn add(decision: &mut Decision<()>, more: Decision<()>) {
    decision.records.extend(more.records);
    decision.effects.extend(more.effects);
    decision.after.extend(more.after);
}

impl TxnCoordinator {
    /// Decides what is overdue. What is left over follows at once: its deadline stays.
    pub(super) fn overdue(&self, now: Instant, wall: Timestamp) -> Decision<()> {
        let mut decision = Decision::only(());
        let mut spare = self.soft.spare();
        let mut bytes = 0;
        for timer in self.soft.expired(now) {
            let more = match timer {
                Timer::Resume => self.resume(now, wall),
                Timer::Complete(id) => self.complete(wall, id),
                Timer::Timeout(id) => self.time_out(now, wall, id, &mut spare),
                Timer::Expiry => self.expire_ids(now, wall),
            };
            bytes += more.records.iter().map(Record::size).sum::<usize>();
            add(&mut decision, more);
            if bytes >= BATCH {
                break;
            }
        }
        decision
    }

    /// Aborts a transaction that takes too long. It takes the spare producer id if its epochs are
    /// exhausted.
    fn time_out(
        &self,
        now: Instant,
        wall: Timestamp,
        id: &TransactionalId,
        spare: &mut Option<ProducerId>,
    ) -> Decision<()> {
        let ended = || SoftEffect::Ended(id.clone()).into();
        let known = self.state.stored(id.as_str());
        let ongoing = known.filter(|known| known.state == TransactionState::Ongoing);
        let Some(known) = ongoing else { return Decision::only(()).with(ended()) };
        let fenced = self.fence(now, wall, id, known, *spare);
        match &fenced.response {
            None => Decision::only(()).with(SoftEffect::NeedsProducerId(id.clone()).into()),
            Some(Err(_)) => Decision::only(()).with(ended()),
            Some(Ok(())) => {
                let fenced = fenced.answering(());
                match known.is_exhausted().then(|| spare.take()).flatten() {
                    Some(_) => fenced.with(SoftEffect::ProducerIdUsed.into()),
                    None => fenced,
                }
            }
        }
    }

    /// Tombstones for transactional ids that have been idle for too long. More than a batch holds
    /// would be refused as a whole.
    ///
    /// Source: Kafka's `TransactionStateManager.removeExpiredTransactionalIds`.
    fn expire_ids(&self, now: Instant, wall: Timestamp) -> Decision<()> {
        let longest = i64::try_from(self.settings.id_expiration.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(wall.0.saturating_sub(longest));
        let mut decision = Decision::only(());
        let mut bytes = 0;
        let idle = self.state.transactions().filter(|(_, transaction)| {
            transaction.state.is_idle() && transaction.updated <= before
        });
        for (id, _) in idle {
            let record = Record::Expired(id.clone());
            bytes += record.size();
            if bytes > BATCH {
                return decision;
            }
            decision.records.push(record);
            decision.effects.push(SoftEffect::Expired(id.clone()).into());
        }
        let next = now + self.settings.expiration_interval;
        decision.with(SoftEffect::ExpiryDone(next).into())
    }
}
