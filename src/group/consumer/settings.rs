//! What an operator may set about consumer groups.

use std::time::Duration;

use super::assignor::Assignor;

/// Settings of consumer groups. A group may override some of them; the caller resolves that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `group.consumer.session.timeout.ms`: a member that is silent for longer is fenced.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`: how often members shall send heartbeats.
    pub heartbeat_interval: Duration,
    /// `group.consumer.max.size`: members at most.
    pub max_size: usize,
    /// `group.consumer.assignors`, the default first. Not empty.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.assignment.interval.ms` (KIP-1263): time from one target assignment to the
    /// next at least. Zero: each new group epoch gets a target assignment at once.
    pub assignment_interval: Duration,
    /// `group.consumer.regex.refresh.interval.ms`: regular expressions are resolved again after
    /// this time, even if no topic was created.
    pub regex_refresh_interval: Duration,
}

impl Default for ConsumerSettings {
    /// Kafka's defaults, `GroupCoordinatorConfig`.
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            max_size: i32::MAX as usize,
            assignors: Assignor::ALL.to_vec(),
            assignment_interval: Duration::from_secs(1),
            regex_refresh_interval: Duration::from_secs(600),
        }
    }
}
