//! Timeouts of the quorum.

use std::time::Duration;

use crate::base::Flaws;

/// The settings `controller.quorum.*`. Source: Kafka's `QuorumConfig`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An election is drawn to time out after one to two times this.
    pub election_timeout: Duration,
    /// The longest that a successor waits before it stands, after its leader has resigned.
    pub election_backoff_max: Duration,
    /// A follower without a successful fetch for this long stands for election; a leader without
    /// fetches from a majority for 1.5 times this long resigns.
    pub fetch_timeout: Duration,
    /// An unanswered request counts as lost after this.
    pub request_timeout: Duration,
    /// The pause before a failed request is sent again.
    pub retry_backoff: Duration,
    /// Historical bugs that are switched on.
    pub flaws: Flaws,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            election_timeout: Duration::from_millis(1000),
            election_backoff_max: Duration::from_millis(1000),
            fetch_timeout: Duration::from_millis(2000),
            request_timeout: Duration::from_millis(2000),
            retry_backoff: Duration::from_millis(20),
            flaws: Flaws::default(),
        }
    }
}

impl Settings {
    /// How long a leader leads without fetches from a majority (KAFKA-15489): a fetch timeout, and
    /// half of one for the network and the disks. Source: Kafka's
    /// `LeaderState.CHECK_QUORUM_TIMEOUT_FACTOR`.
    pub(super) fn check_quorum_timeout(&self) -> Duration {
        self.fetch_timeout + self.fetch_timeout / 2
    }

    /// How often a leader reminds voters that do not fetch. Source: Kafka's
    /// `LeaderState.beginQuorumEpochTimeoutMs`.
    pub(super) fn begin_quorum_interval(&self) -> Duration {
        (self.fetch_timeout / 2).max(Duration::from_millis(1))
    }

    /// How long the successor at `position` of a list of `count` waits before it stands. The first
    /// does not wait, each later one waits twice as long as the one before it, and a replica that is
    /// not in the list waits longest. Source: Kafka's
    /// `KafkaRaftClient.strictExponentialElectionBackoffMs`.
    pub(super) fn successor_backoff(&self, position: usize, count: usize) -> Duration {
        if position == 0 {
            return Duration::ZERO;
        }
        let halvings = count.saturating_sub(position).min(31) as u32;
        self.election_backoff_max / (1 << halvings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_successors_wait_twice_as_long() {
        let wait = |position| Settings::default().successor_backoff(position, 4).as_millis();
        assert_eq!([0, 1, 2, 3, 4].map(wait), [0, 125, 250, 500, 1000]);
        assert_eq!(Settings::default().successor_backoff(0, 0), Duration::ZERO, "an empty list");
        assert!(Settings::default().successor_backoff(1, usize::MAX) < Duration::from_micros(1));
    }
}
