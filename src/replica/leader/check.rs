//! The invariants of a leader, asserted after each step in tests and simulations.

use super::{Leader, LeaderEffect, Proposal};
use crate::base::{Flaw, Offset, PartitionEpoch};

/// State before a step that must not go back.
pub(super) struct Before {
    high_watermark: Offset,
    log_end: Offset,
    partition_epoch: PartitionEpoch,
    pending: Option<Proposal>,
}

impl Before {
    pub(super) fn of(leader: &Leader) -> Self {
        Self {
            high_watermark: leader.high_watermark,
            log_end: leader.log_end,
            partition_epoch: leader.partition_epoch,
            pending: leader.pending.as_ref().map(|pending| pending.proposal.clone()),
        }
    }
}

impl Leader {
    /// Asserts the invariants that hold between steps.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn check(&self) {
        let Self { me, epoch, epoch_start, high_watermark, log_end, isr, replicas, .. } = self;
        assert!(
            high_watermark <= log_end,
            "the high watermark {high_watermark} is beyond the log end {log_end}"
        );
        assert!(
            epoch_start <= log_end,
            "epoch {epoch} starts at {epoch_start}, beyond the log end {log_end}"
        );
        assert!(isr.contains(me), "leader {me} is not in its ISR {isr:?}");
        assert!(
            isr.iter().all(|id| replicas.contains(id)),
            "the ISR {isr:?} has members that are not replicas {replicas:?}"
        );
        assert!(
            self.doubtful.iter().all(|id| replicas.contains(id) && id != me),
            "{:?} may have joined the ISR, but the followers are {:?}",
            self.doubtful,
            self.followers.keys()
        );
        assert!(
            !self.followers.contains_key(me),
            "leader {me} counts itself among its followers {:?}",
            self.followers.keys()
        );
        self.check_pending();
    }

    fn check_pending(&self) {
        let Some(pending) = &self.pending else { return };
        let proposal = &pending.proposal;
        let rests_on = (proposal.leader_epoch, proposal.partition_epoch);
        assert!(
            rests_on == (self.epoch, self.partition_epoch),
            "the pending proposal is based on leader and partition epoch {rests_on:?}, not on {:?}",
            (self.epoch, self.partition_epoch)
        );
        let proposed = || proposal.isr.iter().map(|(id, _)| *id);
        assert!(
            proposed().any(|id| id == self.me) && proposed().all(|id| self.replicas.contains(&id)),
            "leader {} of replicas {:?} proposed the ISR {:?}",
            self.me,
            self.replicas,
            proposal.isr
        );
        assert!(
            pending.joining.iter().all(|id| !self.isr.contains(id) && proposed().any(|p| p == *id)),
            "{:?} count as joining, but the ISR is {:?} and the proposal {:?}",
            pending.joining,
            self.isr,
            proposal.isr
        );
    }

    /// Asserts the invariants of one step.
    pub(super) fn check_step(&self, before: &Before, effects: &[LeaderEffect]) {
        let epoch = self.epoch;
        assert!(
            self.high_watermark >= before.high_watermark,
            "the high watermark fell from {} to {} within leader epoch {epoch}",
            before.high_watermark,
            self.high_watermark
        );
        assert!(
            self.log_end >= before.log_end,
            "the log end fell from {} to {} within leader epoch {epoch}",
            before.log_end,
            self.log_end
        );
        assert!(
            self.partition_epoch >= before.partition_epoch,
            "the partition epoch fell from {} to {}",
            before.partition_epoch,
            self.partition_epoch
        );
        for effect in effects {
            let LeaderEffect::ProposeIsr(proposal) = effect else { continue };
            assert!(
                self.pending.as_ref().is_some_and(|pending| pending.proposal == *proposal),
                "the proposal {proposal:?} is sent, but another one is pending"
            );
            let other = before.pending.as_ref().filter(|before| {
                before.partition_epoch == proposal.partition_epoch && *before != proposal
            });
            assert!(other.is_none(), "{proposal:?} is proposed while {other:?} is in flight");
        }
        if self.high_watermark > before.high_watermark {
            self.check_advance();
        }
    }

    /// After the high watermark moved: every replica in the maximal ISR has the records below it.
    fn check_advance(&self) {
        let reached = self.high_watermark;
        // The flaw moves it with too few in-sync replicas.
        if !self.flaws.has(Flaw::HighWatermarkBelowMinIsr) {
            assert!(
                self.isr.len() >= self.needed(),
                "the high watermark moved to {reached} with the ISR {:?}, below {} replicas",
                self.isr,
                self.needed()
            );
        }
        for (id, follower) in &self.followers {
            // With the flaw `HighWatermarkOverCommittedIsr`, joiners are not counted here either.
            assert!(
                !self.may_be_in_sync(*id) || follower.position() >= Some(reached),
                "the high watermark moved to {reached}, but replica {id}, which may be in sync, \
                 has {:?}",
                follower.position()
            );
        }
    }
}
