//! The invariants of the machine.

use super::machine::{Quorum, State};
use super::terms::ElectionState;
use crate::base::{Flaw, Instant, LeaderEpoch, Offset};

/// What one step must not undo.
struct Before {
    election: ElectionState,
    version: u64,
    high_watermark: Option<Offset>,
}

impl Before {
    fn of(quorum: &Quorum) -> Self {
        let (version, election) = quorum.durable();
        Self { election: election.clone(), version, high_watermark: quorum.high_watermark }
    }

    /// Asserts the invariants of one step.
    fn check_step(&self, after: &Quorum) {
        let (version, election) = after.durable();
        let before = &self.election;
        assert!(
            (version == self.version) == (election == before) && version >= self.version,
            "version {} of the election state {before:?} became {version}: {election:?}",
            self.version
        );
        assert!(
            after.high_watermark >= self.high_watermark,
            "the high watermark fell from {:?} to {:?}",
            self.high_watermark,
            after.high_watermark
        );
        assert!(
            election.epoch >= before.epoch,
            "the epoch fell from {} to {}",
            before.epoch,
            election.epoch
        );
        if election.epoch == before.epoch {
            assert!(
                before.leader.is_none() || before.leader == election.leader,
                "the leader of epoch {} was {:?} and became {:?}",
                before.epoch,
                before.leader,
                election.leader
            );
            assert!(
                before.voted.is_none() || before.voted == election.voted,
                "the vote in epoch {} was for {:?} and became one for {:?}",
                before.epoch,
                before.voted,
                election.voted
            );
        }
    }
}

impl Quorum {
    /// One step: every public method that changes anything is one.
    pub(super) fn step<R>(&mut self, now: Instant, act: impl FnOnce(&mut Self) -> R) -> R {
        let before = cfg!(debug_assertions).then(|| Before::of(self));
        self.seen = self.seen.max(now);
        let result = act(self);
        if let Some(before) = before {
            self.check();
            before.check_step(self);
        }
        result
    }

    /// Asserts the invariants that hold between steps.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn check(&self) {
        let (election, log) = (self.election(), self.log);
        assert!(election.epoch >= LeaderEpoch(0), "the epoch is {}", election.epoch);
        assert!(
            log.epoch <= election.epoch,
            "the log ends at {log}, in epoch {} of the quorum",
            election.epoch
        );
        assert!(
            self.synced <= log.offset,
            "synced up to {}, but the log ends at {log}",
            self.synced
        );
        assert!(
            self.high_watermark.is_none_or(|committed| committed <= log.offset),
            "committed up to {:?}, but the log ends at {log}",
            self.high_watermark
        );
        self.check_state();
    }

    fn check_state(&self) {
        let (me, election) = (self.me, self.election());
        let leads = election.leader == Some(me.id);
        let is_consistent = match &self.state {
            State::Unattached(_) | State::Prospective(_) => !leads,
            State::Candidate(_) => election.leader.is_none() && election.voted == Some(me),
            State::Follower(follower) => !leads && election.leader == Some(follower.leader),
            State::Leader(_) => leads && election.voted == Some(me),
            State::Resigned(_) => leads,
        };
        assert!(is_consistent, "{me} is {:?} with {election:?}", self.state);
        if let State::Leader(leader) = &self.state {
            assert!(
                leader.start <= self.log.offset,
                "epoch {} starts at {}, but the log ends at {}",
                election.epoch,
                leader.start,
                self.log
            );
            // The flaw commits records of older epochs.
            let is_own = |committed| {
                committed > leader.start || self.settings.flaws.has(Flaw::CommitOldEpoch)
            };
            assert!(
                leader.high_watermark.is_none_or(is_own),
                "epoch {} starts at {}, and its leader committed up to {:?}",
                election.epoch,
                leader.start,
                leader.high_watermark
            );
        }
    }
}
