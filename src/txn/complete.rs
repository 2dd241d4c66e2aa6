//! The end of a transaction once all partitions know its outcome, and what a new coordinator
//! continues.

use super::TransactionalId;
use super::machine::{Decision, TxnCoordinator};
use super::partitions::timeout;
use super::soft::SoftEffect;
use super::status::TransactionState;
use super::transaction::Transaction;
use crate::base::{Instant, Timestamp};

impl TxnCoordinator {
    /// All markers of a transaction are written.
    pub(super) fn complete(&self, wall: Timestamp, id: &TransactionalId) -> Decision<()> {
        let completed = SoftEffect::Completed(id.clone());
        let known = self.state.stored(id.as_str());
        let pending = known.and_then(|known| Some((known, known.state.pending()?)));
        match pending {
            Some((known, outcome)) => {
                self.store(id, known.completed(outcome, wall), ()).with(completed.into())
            }
            None => Decision::only(()).with(completed.into()),
        }
    }

    /// A coordinator was elected: it sends the markers of all outcomes that its log has, and aborts
    /// in time what is ongoing. An outcome may still be lost as long as it is not committed, so its
    /// markers wait for that.
    pub(super) fn resume(&self, now: Instant, wall: Timestamp) -> Decision<()> {
        let mut decision = Decision::only(()).with(SoftEffect::Resumed.into());
        let resuming = self.soft.resuming().iter().cloned();
        decision.after.extend(resuming.map(|id| SoftEffect::Prepared(id).into()));
        for (id, transaction) in self.state.transactions() {
            let ongoing = transaction.state == TransactionState::Ongoing;
            if ongoing && transaction.has_timeout() && !self.soft.times_out(id) {
                let deadline = overdue_at(now, wall, transaction);
                decision.effects.push(SoftEffect::Began(id.clone(), deadline).into());
            }
        }
        decision
    }
}

/// When a transaction takes too long that began under another coordinator: at the time that its
/// record names, and after its whole timeout at the latest, whatever the clocks say.
fn overdue_at(now: Instant, wall: Timestamp, transaction: &Transaction) -> Instant {
    let elapsed = wall.0.saturating_sub(transaction.started.0);
    let elapsed = std::time::Duration::from_millis(u64::try_from(elapsed).unwrap_or(0));
    now + timeout(transaction).saturating_sub(elapsed)
}
