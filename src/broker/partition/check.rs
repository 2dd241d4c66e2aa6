//! The invariants of a replica, asserted after each step in tests and simulations.

use super::{Role, State};
use crate::base::TopicPartition;
use crate::io::World;

impl<W: World> State<W> {
    /// Asserts what must hold between two steps.
    ///
    /// # Panics
    /// When an invariant is broken, in builds with debug assertions.
    pub(super) fn check(&self, name: &TopicPartition) {
        // Where the storage failed midway, log and memory may differ; nothing is served any more.
        if !cfg!(debug_assertions) || self.failed {
            return;
        }
        let (start, end, high) = (self.log.log_start(), self.log.log_end(), self.high_watermark);
        assert!(
            start <= high && high <= end,
            "{name}: the high watermark {high} is outside the log, {start} to {end}"
        );
        let begun = self.log.epochs().latest_start();
        assert!(
            begun.is_none_or(|begun| begun <= end),
            "{name}: the latest epoch begins at {begun:?}, beyond the log end {end}"
        );
        let epoch = self.leader_epoch;
        match &self.role {
            Role::Leader(leader) => {
                leader.check();
                let (of_leader, known) = (leader.epoch(), leader.high_watermark());
                assert!(of_leader == epoch, "{name}: leads in {of_leader}, heard of {epoch}");
                assert!(known == high, "{name}: the leader's high watermark {known} is not {high}");
                let waiting = self.produce.first();
                assert!(
                    waiting.is_none_or(|waiting| waiting > high),
                    "{name}: a producer waits for {waiting:?}, below the high watermark {high}"
                );
            }
            Role::Follower(follower) => {
                follower.check();
                let of_role = follower.epoch();
                assert!(of_role == epoch, "{name}: follows in {of_role}, heard of {epoch}");
                let waiting = self.produce.first();
                assert!(
                    waiting.is_none() && self.announced.is_none(),
                    "{name}: a follower keeps a producer at {waiting:?} and a coordinator of {:?}",
                    self.announced
                );
            }
        }
    }
}
