//! The follower's side of one partition: its leader, the point where the logs diverge, and its high
//! watermark.
//!
//! Source: Kafka's `AbstractFetcherThread`; KIP-101, KIP-279, KIP-595 (truncation by epoch),
//! KIP-320 (fencing).

use std::ops::Range;

use crate::base::{BrokerId, Instant, LeaderEpoch, Offset};

/// The state of this log when a fetch was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The current leader epoch in the request.
    pub epoch: LeaderEpoch,
    /// The log end at that time.
    pub log_end: Offset,
}

/// The reaction to OFFSET_OUT_OF_RANGE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRemedy {
    /// Nothing here agrees with the leader's log: start again where that begins.
    StartAt(Offset),
    /// The offset is in range now, or the leader can say where the logs diverge.
    AskAgain,
}

/// A follower in one leader epoch.
#[derive(Clone, Debug)]
pub struct Follower {
    epoch: LeaderEpoch,
    leader: Option<BrokerId>,
    /// Whether this replica is in the ISR or ELR: then it has held everything that is committed,
    /// whatever it lacks of that was deleted, and it may be elected.
    eligible: bool,
    retry_at: Option<Instant>,
}

impl Follower {
    /// Follows `leader` in `epoch`; `None` while there is no leader.
    pub fn new(epoch: LeaderEpoch, leader: Option<BrokerId>) -> Self {
        Self { epoch, leader, eligible: false, retry_at: None }
    }

    /// It is a member of the ISR or ELR, or of neither; that changes within an epoch.
    pub fn set_eligible(&mut self, eligible: bool) {
        self.eligible = eligible;
    }

    /// Asserts the invariants that hold between steps.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn check(&self) {
        let Self { epoch, leader, .. } = self;
        assert!(
            leader.is_none() || *epoch > LeaderEpoch::NONE,
            "follows broker {leader:?} without a leader epoch"
        );
    }

    /// The leader that this replica follows.
    pub fn leader(&self) -> Option<BrokerId> {
        self.leader
    }

    /// The current leader epoch. Sent with each fetch, so that only this epoch's leader answers
    /// (KIP-320).
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The time before which it sends no fetch.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// After an error: sends no fetch until `at`.
    pub fn back_off(&mut self, at: Instant) {
        self.retry_at = Some(at);
    }

    /// The leader answers again.
    pub fn answered(&mut self) {
        self.retry_at = None;
    }

    /// Whether an answer still applies. After a change of leader, or of the log since the request,
    /// it says nothing about this log (KAFKA-9338).
    pub fn accepts(&self, asked: Position, log_end: Offset) -> bool {
        asked.epoch == self.epoch && asked.log_end == log_end
    }

    /// The offset at which to truncate when the leader reports that the logs diverge.
    ///
    /// `leaders` is the leader's largest epoch that is not above ours, and its end there. `ours` is
    /// our largest epoch that is not above the leader's, and its end here; [`LeaderEpoch::NONE`] if
    /// there is none. If the two epochs differ, the logs diverge before both ends; the next fetch
    /// then finds the next point (KIP-279). The high watermark plays no role: the one here may be
    /// old (KIP-101).
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

    /// Where a log has to start over whose truncation at `cut` would leave nothing of it.
    ///
    /// No record is left that both logs have, so nothing shows that the records deleted below the
    /// own start are those that the leader still has: after an unclean election its log may be
    /// shorter and reach further back. An empty log at the cut would count as in sync without them.
    /// A member of the ISR or ELR deleted only what was committed, and must not fall below that.
    pub fn begins_again(
        &self,
        cut: Offset,
        own_start: Offset,
        leader_start: Offset,
    ) -> Option<Offset> {
        let reaches_back = leader_start >= Offset::ZERO && leader_start < cut;
        (!self.eligible && cut <= own_start && reaches_back).then_some(leader_start)
    }

    /// The high watermark after a response with the leader's. A new leader may not know yet how far
    /// an earlier one had advanced it; committed records stay committed.
    ///
    /// Call it with the log end after a truncation (KAFKA-14704) and after an append.
    pub fn high_watermark(&self, known: Offset, leaders: Offset, log_end: Offset) -> Offset {
        known.max(leaders).min(log_end)
    }

    /// The reaction to OFFSET_OUT_OF_RANGE of a follower whose log has these offsets.
    ///
    /// Either the leader has deleted what comes next here, or an unclean election made its log
    /// shorter than this one. The last epoch in the fetch lets the leader say where the logs diverge;
    /// an empty log has none, whose records were all deleted. As in [`Follower::begins_again`], a
    /// member of the ISR or ELR does not fall below what it deleted: it waits until the leader has
    /// that much, or until it is a member no more. Source: Kafka's
    /// `AbstractFetcherThread.handleOutOfRangeError`, which asks for the leader's end instead.
    pub fn out_of_range(&self, log: Range<Offset>, leader_start: Offset) -> RangeRemedy {
        let behind = log.end < leader_start;
        let nothing_agrees = log.start == log.end && !self.eligible;
        if leader_start >= Offset::ZERO && (behind || nothing_agrees) {
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
    fn log_is_truncated_at_the_leaders_end_of_the_epoch() {
        // KAFKA-13141, KIP-101: independent of the high watermark.
        assert_eq!(follower().truncation(at(5, 10), at(5, 15), Offset(20)), Offset(10));
        assert_eq!(follower().truncation(at(5, 15), at(5, 10), Offset(20)), Offset(10));
    }

    #[test]
    fn unknown_epoch_of_the_leader_truncates_further_back() {
        // KIP-279: our largest epoch up to the leader's 5 is 3 and ends at 8.
        assert_eq!(follower().truncation(at(5, 12), at(3, 8), Offset(20)), Offset(8));
    }

    #[test]
    fn log_without_epochs_is_truncated_at_the_leaders_end() {
        let none = (LeaderEpoch::NONE, Offset::NONE);
        assert_eq!(follower().truncation(at(5, 12), none, Offset(20)), Offset(12));
        assert_eq!(follower().truncation(at(5, 12), none, Offset(9)), Offset(9));
        assert_eq!(
            follower().truncation((LeaderEpoch::NONE, Offset::NONE), none, Offset(9)),
            Offset(0)
        );
    }

    #[test]
    fn answer_from_before_a_change_is_ignored() {
        let asked = Position { epoch: LeaderEpoch(7), log_end: Offset(5) };
        assert!(follower().accepts(asked, Offset(5)));
        assert!(!follower().accepts(asked, Offset(6)));
        let earlier = Position { epoch: LeaderEpoch(6), ..asked };
        assert!(!follower().accepts(earlier, Offset(5)));
    }

    #[test]
    fn high_watermark_never_falls_and_stops_at_the_log_end() {
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
    fn out_of_range_starts_over_where_nothing_agrees() {
        let mend = |log: [i64; 2], leader_start| {
            let [start, end] = log.map(Offset);
            follower().out_of_range(start..end, Offset(leader_start))
        };
        assert_eq!(mend([0, 10], 20), RangeRemedy::StartAt(Offset(20)), "deleted");
        assert_eq!(mend([10, 10], 3), RangeRemedy::StartAt(Offset(3)), "empty, beyond the leader");
        assert_eq!(mend([0, 10], 0), RangeRemedy::AskAgain);
        assert_eq!(mend([10, 10], -1), RangeRemedy::AskAgain, "a leader that does not know");
    }

    #[test]
    fn log_that_loses_everything_starts_where_the_leader_starts() {
        let begins_again = |cut, own_start, leader_start| {
            let [cut, own_start, leader_start] = [cut, own_start, leader_start].map(Offset);
            follower().begins_again(cut, own_start, leader_start)
        };
        assert_eq!(begins_again(202, 395, 0), Some(Offset(0)), "below the own start");
        assert_eq!(begins_again(395, 395, 138), Some(Offset(138)), "at the own start");
        assert_eq!(begins_again(396, 395, 0), None, "a common record is left");
        assert_eq!(begins_again(202, 395, 202), None, "the leader starts at the cut");
        assert_eq!(begins_again(202, 395, 300), None, "the leader starts above the cut");
        assert_eq!(begins_again(202, 395, -1), None, "a leader that does not know its start");
        assert_eq!(begins_again(0, 0, 0), None, "an empty log that starts at 0 stays");
    }

    #[test]
    fn member_of_the_isr_never_falls_below_what_it_deleted() {
        let mut follower = follower();
        let empty = Offset(395)..Offset(395);
        for (eligible, restart) in
            [(false, Some(Offset(0))), (true, None), (false, Some(Offset(0)))]
        {
            follower.set_eligible(eligible);
            let begins = follower.begins_again(Offset(202), Offset(395), Offset(0));
            assert_eq!(begins, restart, "diverging, eligible: {eligible}");
            let remedy = restart.map_or(RangeRemedy::AskAgain, RangeRemedy::StartAt);
            let answer = follower.out_of_range(empty.clone(), Offset(0));
            assert_eq!(answer, remedy, "out of range, eligible: {eligible}");
        }
        follower.set_eligible(true);
        let behind = follower.out_of_range(empty, Offset(400));
        assert_eq!(behind, RangeRemedy::StartAt(Offset(400)), "the leader deleted what comes next");
    }

    #[test]
    fn follower_backs_off_after_an_error_until_an_answer() {
        let mut follower = follower();
        follower.back_off(Instant::from_secs(3));
        assert_eq!(follower.retry_at(), Some(Instant::from_secs(3)));
        follower.answered();
        assert_eq!(follower.retry_at(), None);
    }
}
