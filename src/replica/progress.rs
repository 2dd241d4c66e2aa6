//! A follower's progress, as seen by its leader. Source: Kafka's `Replica`, KIP-16.

use std::time::Duration;

use crate::base::{BrokerEpoch, Instant, Offset};

/// One follower since the beginning of this leader epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FollowerProgress {
    /// Its last fetch offset: it has everything below. `None` until it has fetched in this epoch.
    position: Option<Offset>,
    /// Time of its last fetch, and the leader's log end at that time.
    last_fetch: Option<(Instant, Offset)>,
    /// The latest time at which it is known to have had everything that the leader had then.
    caught_up_at: Option<Instant>,
    /// The broker epoch of its fetches.
    broker_epoch: Option<BrokerEpoch>,
}

impl FollowerProgress {
    /// At the start of an epoch, ISR members count as caught up until the allowed lag has passed.
    pub(super) fn at_start(now: Instant, in_sync: bool) -> Self {
        Self { caught_up_at: in_sync.then_some(now), ..Self::default() }
    }

    /// "Caught up" means that it has reached the leader's log end, as of now or of the last fetch.
    /// A slow replica that fetches often is not caught up; a replica that follows a steady stream
    /// of writes is.
    pub(super) fn fetched(
        &mut self,
        now: Instant,
        position: Offset,
        leader_end: Offset,
        epoch: Option<BrokerEpoch>,
    ) {
        let reached = if position >= leader_end {
            Some(now)
        } else {
            self.last_fetch.filter(|(_, end)| position >= *end).map(|(at, _)| at)
        };
        self.caught_up_at = self.caught_up_at.max(reached);
        let end_seen = self.last_fetch.map_or(leader_end, |(_, end)| end.max(leader_end));
        self.last_fetch = Some((now, end_seen));
        self.position = Some(position);
        self.broker_epoch = epoch;
    }

    /// The follower used its fetch session, which contains this partition, at `at`. A follower that
    /// has everything need not name the partition.
    pub(super) fn alive(&mut self, at: Instant, leader_end: Offset) {
        if self.position >= Some(leader_end) {
            self.caught_up_at = self.caught_up_at.max(Some(at));
            self.last_fetch =
                self.last_fetch.map(|(last, end)| (last.max(at), end.max(leader_end)));
        }
    }

    /// The follower's log end as reported in this epoch: it has everything below.
    pub(super) fn position(&self) -> Option<Offset> {
        self.position
    }

    /// The latest time at which it is known to have had everything that the leader had then.
    pub(super) fn caught_up_at(&self) -> Option<Instant> {
        self.caught_up_at
    }

    /// The broker epoch of its fetches in this epoch.
    pub(super) fn broker_epoch(&self) -> Option<BrokerEpoch> {
        self.broker_epoch
    }

    /// The time at which the follower will have lagged for too long; `None` if it does not lag.
    pub(super) fn lags_from(&self, leader_end: Offset, lag_time_max: Duration) -> Option<Instant> {
        if self.position >= Some(leader_end) {
            return None;
        }
        Some(self.caught_up_at.map_or(Instant::START, |at| at + lag_time_max))
    }

    /// Whether the follower has everything, or had everything recently.
    pub(super) fn is_caught_up(
        &self,
        now: Instant,
        leader_end: Offset,
        lag_time_max: Duration,
    ) -> bool {
        self.lags_from(leader_end, lag_time_max).is_none_or(|from| now < from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn follower_that_fetches_too_slowly_falls_behind() {
        let mut follower = FollowerProgress::at_start(at(0), true);
        for second in 1..=10 {
            let leader_end = Offset(100 * second);
            follower.fetched(at(second as u64), Offset(10 * second), leader_end, None);
        }
        assert!(!follower.is_caught_up(at(10), Offset(1000), LAG));
    }

    #[test]
    fn follower_one_fetch_behind_a_steady_stream_is_caught_up() {
        let mut follower = FollowerProgress::at_start(at(0), false);
        follower.fetched(at(1), Offset(0), Offset(100), None);
        assert!(!follower.is_caught_up(at(1), Offset(100), LAG));
        for second in 2..=30 {
            let position = Offset(100 * (second - 1));
            follower.fetched(at(second as u64), position, Offset(100 * second), None);
            assert!(follower.is_caught_up(at(second as u64), Offset(100 * second), LAG));
        }
    }

    #[test]
    fn session_keeps_only_complete_followers_caught_up() {
        let mut follower = FollowerProgress::at_start(at(0), false);
        follower.alive(at(5), Offset(0));
        assert!(!follower.is_caught_up(at(5), Offset(0), LAG), "it has not fetched in this epoch");
        follower.fetched(at(6), Offset(7), Offset(7), None);
        follower.alive(at(100), Offset(7));
        assert!(follower.is_caught_up(at(109), Offset(8), LAG));
        follower.alive(at(109), Offset(8));
        assert!(!follower.is_caught_up(at(110), Offset(8), LAG), "it lacks a record");
    }

    #[test]
    fn follower_at_the_log_end_is_always_caught_up() {
        let mut follower = FollowerProgress::at_start(at(0), true);
        follower.fetched(at(1), Offset(7), Offset(7), None);
        assert!(follower.is_caught_up(at(1000), Offset(7), LAG));
        assert!(!follower.is_caught_up(at(1000), Offset(8), LAG));
    }
}
