//! What a group coordinator needs to know beyond its log.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Flaws;
use crate::base::config::{GroupConfig, MigrationPolicy, OwnGroupConfig};

/// The settings of a group coordinator. The defaults are those of Kafka's `GroupCoordinatorConfig`.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`: members of a classic group at most.
    pub max_size: usize,
    /// `offset.metadata.max.bytes`: the longest metadata of a committed offset.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`: how long offsets are kept that no group uses.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// Settings of the consumer protocol (`group.consumer.*`).
    pub consumer: ConsumerSettings,
    /// All settings, with the limits of those that a group has of its own.
    pub config: GroupConfig,
    /// The historical bugs of this coordinator.
    pub flaws: Flaws,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: i32::MAX as usize,
            offset_metadata_max_bytes: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(600),
            consumer: ConsumerSettings::default(),
            config: GroupConfig::default(),
            flaws: Flaws::default(),
        }
    }
}

impl GroupSettings {
    /// The settings of a node's configuration.
    pub fn of(config: &GroupConfig, flaws: Flaws) -> Self {
        let minutes = config.offsets_retention_minutes;
        Self {
            min_session_timeout: config.group_min_session_timeout,
            max_session_timeout: config.group_max_session_timeout,
            initial_rebalance_delay: config.group_initial_rebalance_delay,
            max_size: count(config.group_max_size),
            offset_metadata_max_bytes: count(config.offset_metadata_max_bytes),
            offsets_retention: Duration::from_secs(60) * minutes.unsigned_abs(),
            offsets_retention_check_interval: config.offsets_retention_check_interval,
            consumer: ConsumerSettings {
                session_timeout: config.group_consumer_session_timeout,
                heartbeat_interval: config.group_consumer_heartbeat_interval,
                max_size: count(config.group_consumer_max_size),
                assignors: config.group_consumer_assignors.clone(),
                assignment_interval: config.group_consumer_assignment_interval,
                regex_refresh_interval: config.group_consumer_regex_refresh_interval,
                migration_policy: config.group_consumer_migration_policy,
            },
            config: config.clone(),
            flaws,
        }
    }
}

/// A limit; Kafka accepts a negative one, which nothing meets.
fn count(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

/// Settings of the consumer protocol (KIP-848).
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `group.consumer.max.size`: members of a consumer group at most.
    pub max_size: usize,
    /// `group.consumer.assignors`; the first one is the default.
    pub assignors: Vec<String>,
    /// `group.consumer.assignment.interval.ms`.
    pub assignment_interval: Duration,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub regex_refresh_interval: Duration,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
}

impl ConsumerSettings {
    /// The settings of a group that sets these itself.
    #[must_use]
    pub fn with(&self, own: &BTreeMap<String, String>, all: &GroupConfig) -> Self {
        let own = OwnGroupConfig::with(own, all);
        Self {
            session_timeout: own.session_timeout,
            heartbeat_interval: own.heartbeat_interval,
            assignment_interval: own.assignment_interval,
            ..self.clone()
        }
    }
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            max_size: i32::MAX as usize,
            assignors: vec!["uniform".to_owned(), "range".to_owned()],
            assignment_interval: Duration::from_secs(1),
            regex_refresh_interval: Duration::from_secs(600),
            migration_policy: MigrationPolicy::Bidirectional,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_configuration() {
        let of = GroupSettings::of(&GroupConfig::default(), Flaws::default());
        assert_eq!(format!("{of:?}"), format!("{:?}", GroupSettings::default()));
    }
}
