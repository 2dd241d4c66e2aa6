//! What follows from deadlines: completion, timeouts, and the expiry of transactional ids.

use super::TransactionalId;
use super::machine::{Decision, Effect, TxnCoordinator};
use super::record::Record;
use super::soft::{SoftEffect, Timer};
use super::status::TransactionState;
use crate::base::{Instant, Timestamp};

/// Bytes of the records that are appended at once, about. Source: a quarter of Kafka's default
/// `max.message.bytes`: a larger batch would be refused as a whole.
const BATCH: usize = 256 * 1024;

/// Adds what another part decides.
fn add(decision: &mut Decision<()>, more: Decision<()>) {
    decision.records.extend(more.records);
    decision.effects.extend(more.effects);
    decision.after.extend(more.after);
}

fn uses_spare(effect: &Effect) -> bool {
    matches!(effect, Effect::Soft(SoftEffect::ProducerIdUsed))
}

impl TxnCoordinator {
    /// Decides what is overdue. What is left over follows at once: its deadline stays.
    pub(super) fn overdue(&self, now: Instant, wall: Timestamp) -> Decision<()> {
        let mut decision = Decision::only(());
        for timer in self.soft.expired(now) {
            let more = match timer {
                Timer::Resume => self.resume(now, wall),
                Timer::Complete(id) => self.complete(wall, id),
                Timer::Timeout(id) => {
                    let used = decision.effects.iter().any(uses_spare);
                    self.time_out(now, wall, id, used)
                }
                Timer::Expiry => self.expire_ids(now, wall),
            };
            add(&mut decision, more);
            if decision.records.iter().map(Record::size).sum::<usize>() >= BATCH {
                break;
            }
        }
        decision
    }

    /// Aborts a transaction that takes too long. `used`: the spare producer id is taken.
    fn time_out(
        &self,
        now: Instant,
        wall: Timestamp,
        id: &TransactionalId,
        used: bool,
    ) -> Decision<()> {
        let ended = || SoftEffect::Ended(id.clone()).into();
        let known = self.state.stored(id.as_str());
        let ongoing = known.filter(|known| known.state == TransactionState::Ongoing);
        let Some(known) = ongoing else { return Decision::only(()).with(ended()) };
        let spare = self.soft.spare().filter(|_| !used);
        let fenced = self.fence(now, wall, id, known, spare);
        match &fenced.response {
            None => Decision::only(()).with(SoftEffect::NeedsProducerId(id.clone()).into()),
            Some(Err(_)) => Decision::only(()).with(ended()),
            Some(Ok(())) => {
                let takes = spare.is_some() && known.is_exhausted();
                let fenced = fenced.answering(());
                match takes {
                    true => fenced.with(SoftEffect::ProducerIdUsed.into()),
                    false => fenced,
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
