//! The follower's side of one partition: whom it follows, where its log parts from the leader's,
//! and what of it is committed.
//!
//! Source: Kafka's `AbstractFetcherThread`; KIP-101, KIP-279, KIP-595 (truncation by epoch),
//! KIP-320 (fencing).

use crate::base::{BrokerId, Instant, LeaderEpoch, Offset};

/// What a fetch said about this log when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Sent as the current leader epoch.
    pub epoch: LeaderEpoch,
    /// Where the log ended.
    pub log_end: Offset,
}

/// What to do when the leader does not have the offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRemedy {
    /// The leader's log is shorter, which only an unclean election can bring about: cut here.
    TruncateTo(Offset),
    /// The leader keeps nothing that old: begin again here.
    StartAt(Offset),
    /// The offset is in range now.
    AskAgain,
}

/// A follower in one leader epoch.
#[derive(Clone, Debug)]
pub struct Follower {
    epoch: LeaderEpoch,
    leader: Option<BrokerId>,
    retry_at: Option<Instant>,
}

impl Follower {
    /// Follows `leader` in `epoch`; nobody, while there is no leader.
    pub fn new(epoch: LeaderEpoch, leader: Option<BrokerId>) -> Self {
        Self { epoch, leader, retry_at: None }
    }

    /// Asserts what must hold between two steps.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn check(&self) {
        let Self { epoch, leader, .. } = self;
        assert!(
            leader.is_none() || *epoch > LeaderEpoch::NONE,
            "follows broker {leader:?} in no leader epoch"
        );
    }

    /// Whom this replica follows.
    pub fn leader(&self) -> Option<BrokerId> {
        self.leader
    }

    /// In which epoch. Sent with each fetch, so that only this epoch's leader answers (KIP-320).
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Until when it asks nothing.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// An error: ask nothing until `at`.
    pub fn back_off(&mut self, at: Instant) {
        self.retry_at = Some(at);
    }

    /// The leader answers again.
    pub fn answered(&mut self) {
        self.retry_at = None;
    }

    /// Whether an answer still counts: an answer from before a change of leader, or to a question
    /// about a log that has changed since, says nothing about this log (KAFKA-9338).
    pub fn accepts(&self, asked: Position, log_end: Offset) -> bool {
        asked.epoch == self.epoch && asked.log_end == log_end
    }

    /// Where to cut the log when the leader says that the logs part.
    ///
    /// `leaders` is the leader's largest epoch that is not above ours, and where it ends there.
    /// `ours` is our largest epoch that is not above the leader's, and where it ends here;
    /// [`LeaderEpoch::NONE`] if there is none. If the two epochs differ, the logs part before both
    /// ends; the next fetch then finds the next place (KIP-279). What is committed is never a
    /// reason to keep or to cut: the high watermark here may be old (KIP-101).
    pub fn truncation(
        &self,
        leaders: (LeaderEpoch, Offset),
        ours: (LeaderEpoch, Offset),
        log_end: Offset,
    ) -> Offset {
        let (their_epoch, their_end) = leaders;
        let (our_epoch, our_end) = ours;
        let cut = if our_epoch == LeaderEpoch::NONE {
            their_end
        } else if our_epoch == their_epoch {
            our_end.min(their_end)
        } else {
            our_end
        };
        let cut = cut.min(log_end).max(Offset::ZERO);
        debug_assert!(cut <= log_end, "cut at {cut}, beyond the log end {log_end}");
        cut
    }

    /// The high watermark here, after the leader has told its own. A leader that is new may not
    /// know yet how far an earlier one had come; what was committed stays committed.
    ///
    /// Call it with the log end after a truncation (KAFKA-14704) and after an append.
    pub fn high_watermark(&self, known: Offset, leaders: Offset, log_end: Offset) -> Offset {
        known.max(leaders).min(log_end)
    }

    /// What to do when the leader says "offset out of range", given where its log begins and ends.
    pub fn out_of_range(
        &self,
        log_end: Offset,
        leader_start: Offset,
        leader_end: Offset,
    ) -> RangeRemedy {
        if leader_end < log_end {
            RangeRemedy::TruncateTo(leader_end)
        } else if log_end < leader_start {
            RangeRemedy::StartAt(leader_start)
        } else {
            RangeRemedy::AskAgain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower() -> Follower {
        Follower::new(LeaderEpoch(7), Some(BrokerId(2)))
    }

    fn at(epoch: i32, end: i64) -> (LeaderEpoch, Offset) {
        (LeaderEpoch(epoch), Offset(end))
    }

    #[test]
    fn the_log_is_cut_where_the_leader_says_its_epoch_ends() {
        // KAFKA-13141, KIP-101: whatever the high watermark says.
        assert_eq!(follower().truncation(at(5, 10), at(5, 15), Offset(20)), Offset(10));
        assert_eq!(follower().truncation(at(5, 15), at(5, 10), Offset(20)), Offset(10));
    }

    #[test]
    fn an_epoch_that_only_the_leader_knows_is_looked_for_further_back() {
        // KIP-279: our largest epoch up to the leader's 5 is 3 and ends at 8.
        assert_eq!(follower().truncation(at(5, 12), at(3, 8), Offset(20)), Offset(8));
    }

    #[test]
    fn a_log_without_epochs_is_cut_at_the_leaders_end_and_never_beyond_its_own() {
        let none = (LeaderEpoch::NONE, Offset::NONE);
        assert_eq!(follower().truncation(at(5, 12), none, Offset(20)), Offset(12));
        assert_eq!(follower().truncation(at(5, 12), none, Offset(9)), Offset(9));
        assert_eq!(
            follower().truncation((LeaderEpoch::NONE, Offset::NONE), none, Offset(9)),
            Offset(0)
        );
    }

    #[test]
    fn an_answer_from_before_a_change_says_nothing_about_this_log() {
        let asked = Position { epoch: LeaderEpoch(7), log_end: Offset(5) };
        assert!(follower().accepts(asked, Offset(5)));
        assert!(!follower().accepts(asked, Offset(6)));
        let earlier = Position { epoch: LeaderEpoch(6), ..asked };
        assert!(!follower().accepts(earlier, Offset(5)));
    }

    #[test]
    fn what_was_committed_stays_committed_as_far_as_the_log_reaches() {
        let high_watermark = |known, leaders, end| {
            follower().high_watermark(Offset(known), Offset(leaders), Offset(end)).0
        };
        assert_eq!(high_watermark(3, 9, 7), 7);
        assert_eq!(high_watermark(3, 5, 7), 5);
        assert_eq!(high_watermark(5, 3, 7), 5);
        assert_eq!(high_watermark(5, 3, 4), 4);
        assert_eq!(high_watermark(5, -1, 9), 5);
    }

    #[test]
    fn out_of_range_is_mended_from_the_end_that_is_wrong() {
        let mend = |end, from, to| follower().out_of_range(Offset(end), Offset(from), Offset(to));
        assert_eq!(mend(10, 0, 5), RangeRemedy::TruncateTo(Offset(5)));
        assert_eq!(mend(10, 20, 30), RangeRemedy::StartAt(Offset(20)));
        assert_eq!(mend(10, 0, 10), RangeRemedy::AskAgain);
    }

    #[test]
    fn a_follower_pauses_after_an_error_until_an_answer_comes() {
        let mut follower = follower();
        follower.back_off(Instant::from_secs(3));
        assert_eq!(follower.retry_at(), Some(Instant::from_secs(3)));
        follower.answered();
        assert_eq!(follower.retry_at(), None);
    }
}
