//! The settings of the group coordinator.

use std::time::Duration;

use super::bounds::Bounds::{Any, AtLeast, Between, Words};
use super::bounds::INT;
use super::foreign::{Foreign, harmless};
use super::{Bounds, ConfigError, Kind, MigrationPolicy, settings};

settings! {
    /// The settings of the group coordinator. Source: Kafka's `GroupCoordinatorConfig`.
    pub struct GroupConfig, foreign [FOREIGN] {
        group_coordinator_rebalance_protocols: Vec<String> = "classic,consumer,streams",
            "group.coordinator.rebalance.protocols",
            Words(&["classic", "consumer", "share", "streams"]),
            "The rebalance protocols that are on; `classic` always is, `share` and `streams` are not served";
        offsets_topic_replication_factor: i16 = "3", "offsets.topic.replication.factor", AtLeast(1),
            "The replication factor of `__consumer_offsets`";
        offsets_topic_num_partitions: i32 = "50", "offsets.topic.num.partitions", AtLeast(1),
            "The number of partitions of `__consumer_offsets`";
        offsets_topic_segment_bytes: i32 = "104857600", "offsets.topic.segment.bytes", AtLeast(1),
            "The `segment.bytes` of `__consumer_offsets`";
        offsets_commit_timeout: Duration = "5000", "offsets.commit.timeout.ms", Between(1, INT),
            "The longest time that a commit waits for the replicas of `__consumer_offsets`";
        offset_metadata_max_bytes: i32 = "4096", "offset.metadata.max.bytes", Any,
            "The most bytes of metadata with a committed offset";
        offsets_retention_minutes: i32 = "10080", "offsets.retention.minutes", AtLeast(1),
            "The time for which an empty group keeps its committed offsets";
        offsets_retention_check_interval: Duration = "600000", "offsets.retention.check.interval.ms", AtLeast(1),
            "The time between two searches for expired offsets";
        group_min_session_timeout: Duration = "6000", "group.min.session.timeout.ms", Between(0, INT),
            "The shortest session timeout that a member may ask for";
        group_max_session_timeout: Duration = "1800000", "group.max.session.timeout.ms", Between(0, INT),
            "The longest session timeout that a member may ask for";
        group_initial_rebalance_delay: Duration = "3000", "group.initial.rebalance.delay.ms", Between(0, INT),
            "The first rebalance of an empty group waits this long for more members";
        group_max_size: i32 = "2147483647", "group.max.size", AtLeast(1),
            "The most members of a group";
        group_consumer_session_timeout: Duration = "45000", "group.consumer.session.timeout.ms", Between(1, INT),
            "A member of the consumer protocol is removed after this time without a heartbeat";
        group_consumer_min_session_timeout: Duration = "45000", "group.consumer.min.session.timeout.ms", Between(1, INT),
            "The shortest session timeout that a group may have";
        group_consumer_max_session_timeout: Duration = "60000", "group.consumer.max.session.timeout.ms", Between(1, INT),
            "The longest session timeout that a group may have";
        group_consumer_heartbeat_interval: Duration = "5000", "group.consumer.heartbeat.interval.ms", Between(1, INT),
            "The time between two heartbeats of a member of the consumer protocol";
        group_consumer_min_heartbeat_interval: Duration = "5000", "group.consumer.min.heartbeat.interval.ms", Between(1, INT),
            "The shortest heartbeat interval that a group may have";
        group_consumer_max_heartbeat_interval: Duration = "15000", "group.consumer.max.heartbeat.interval.ms", Between(1, INT),
            "The longest heartbeat interval that a group may have";
        group_consumer_max_size: i32 = "2147483647", "group.consumer.max.size", AtLeast(1),
            "The most members of a group with the consumer protocol";
        group_consumer_assignors: Vec<String> = "uniform,range", "group.consumer.assignors", Words(&["uniform", "range"]),
            "The assignors of the consumer protocol; the first is the default";
        group_consumer_assignment_interval: Duration = "1000", "group.consumer.assignment.interval.ms", Between(0, INT),
            "The shortest time between two assignments of a group";
        group_consumer_min_assignment_interval: Duration = "0", "group.consumer.min.assignment.interval.ms", Between(0, INT),
            "The least that a group may set as its assignment interval";
        group_consumer_max_assignment_interval: Duration = "15000", "group.consumer.max.assignment.interval.ms", Between(0, INT),
            "The most that a group may set as its assignment interval";
        group_consumer_migration_policy: MigrationPolicy = "bidirectional", "group.consumer.migration.policy", Any,
            "Whether a group may change between the classic and the consumer protocol while it has members";
        group_consumer_regex_refresh_interval: Duration = "600000", "group.consumer.regex.refresh.interval.ms", Between(10_000, INT),
            "The time between two resolutions of a subscribed regular expression";
    }
}

impl GroupConfig {
    /// Whether groups may use a rebalance protocol.
    pub fn has_protocol(&self, protocol: &str) -> bool {
        self.group_coordinator_rebalance_protocols.iter().any(|on| on == protocol)
    }

    /// Checks the limits that depend on each other. Source: the constructor of Kafka's
    /// `GroupCoordinatorConfig`.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        const HEARTBEAT: &str = "group.consumer.heartbeat.interval.ms";
        const MIN_HEARTBEAT: &str = "group.consumer.min.heartbeat.interval.ms";
        const MAX_HEARTBEAT: &str = "group.consumer.max.heartbeat.interval.ms";
        const SESSION: &str = "group.consumer.session.timeout.ms";
        const MIN_SESSION: &str = "group.consumer.min.session.timeout.ms";
        const MAX_SESSION: &str = "group.consumer.max.session.timeout.ms";
        let heartbeat = (HEARTBEAT, self.group_consumer_heartbeat_interval);
        let min_heartbeat = (MIN_HEARTBEAT, self.group_consumer_min_heartbeat_interval);
        let max_heartbeat = (MAX_HEARTBEAT, self.group_consumer_max_heartbeat_interval);
        let session = (SESSION, self.group_consumer_session_timeout);
        let min_session = (MIN_SESSION, self.group_consumer_min_session_timeout);
        let max_session = (MAX_SESSION, self.group_consumer_max_session_timeout);
        at_most(min_heartbeat, max_heartbeat)?;
        at_most(min_heartbeat, heartbeat)?;
        at_most(heartbeat, max_heartbeat)?;
        at_most(min_session, max_session)?;
        at_most(min_session, session)?;
        at_most(session, max_session)?;
        let interval =
            ("group.consumer.assignment.interval.ms", self.group_consumer_assignment_interval);
        let min = (
            "group.consumer.min.assignment.interval.ms",
            self.group_consumer_min_assignment_interval,
        );
        let max = (
            "group.consumer.max.assignment.interval.ms",
            self.group_consumer_max_assignment_interval,
        );
        at_most(min, max)?;
        at_most(min, interval)?;
        at_most(interval, max)?;
        if heartbeat.1 < session.1 {
            return Ok(());
        }
        let most = session.1.as_millis();
        Err(contradiction(
            heartbeat,
            format!(
                "members would be removed between heartbeats; expected less than {SESSION}={most}"
            ),
        ))
    }
}

fn at_most(low: (&str, Duration), high: (&str, Duration)) -> Result<(), ConfigError> {
    if low.1 <= high.1 {
        return Ok(());
    }
    let problem = format!("expected at most {}={}", high.0, high.1.as_millis());
    Err(contradiction(low, problem))
}

fn contradiction((key, value): (&str, Duration), problem: String) -> ConfigError {
    ConfigError::BadValue { key: key.to_owned(), value: value.as_millis().to_string(), problem }
}

/// Keys of Kafka for groups that have no effect: they tune threads and buffers, or belong to share and
/// streams groups, which are not served.
pub(super) const FOREIGN: &[Foreign] = &[
    harmless("group.coordinator.threads", "4").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.coordinator.background.threads", "2").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.coordinator.append.linger.ms", "-1").typed(Kind::Int, Bounds::AtLeast(-1)),
    harmless("offsets.load.buffer.size", "5242880").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("offsets.topic.compression.codec", "0").typed(Kind::Int, Bounds::Any),
    harmless("group.coordinator.cached.buffer.max.bytes", "1048588")
        .typed(Kind::Int, Bounds::AtLeast(524_288)),
    harmless("group.share.session.timeout.ms", "45000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.share.min.session.timeout.ms", "45000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.share.max.session.timeout.ms", "60000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.share.heartbeat.interval.ms", "5000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.share.min.heartbeat.interval.ms", "5000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.share.max.heartbeat.interval.ms", "15000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.share.max.size", "200").typed(Kind::Int, Bounds::Between(1, 1000)),
    harmless("group.share.assignors", "simple").typed(Kind::List, Bounds::Any),
    harmless("group.share.assignment.interval.ms", "1000").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.share.min.assignment.interval.ms", "0").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.share.max.assignment.interval.ms", "15000")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.share.initialize.retry.interval.ms", "30000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.session.timeout.ms", "45000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.min.session.timeout.ms", "45000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.max.session.timeout.ms", "60000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.heartbeat.interval.ms", "5000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.min.heartbeat.interval.ms", "5000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.max.heartbeat.interval.ms", "15000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.max.size", "2147483647").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.streams.num.standby.replicas", "0").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.streams.max.standby.replicas", "2").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.streams.initial.rebalance.delay.ms", "3000")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.streams.assignment.interval.ms", "1000").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.streams.min.assignment.interval.ms", "0").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.streams.max.assignment.interval.ms", "15000")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.share.delivery.count.limit", "5").typed(Kind::Int, Bounds::Between(2, 10)),
    harmless("group.share.max.delivery.count.limit", "10").typed(Kind::Int, Bounds::Between(5, 25)),
    harmless("group.share.min.delivery.count.limit", "2").typed(Kind::Int, Bounds::Between(2, 5)),
    harmless("group.share.record.lock.duration.ms", "30000")
        .typed(Kind::Int, Bounds::Between(1000, 3_600_000)),
    harmless("group.share.min.record.lock.duration.ms", "15000")
        .typed(Kind::Int, Bounds::Between(1000, 30_000)),
    harmless("group.share.max.record.lock.duration.ms", "60000")
        .typed(Kind::Int, Bounds::Between(30_000, 3_600_000)),
    harmless("group.share.partition.max.record.locks", "2000")
        .typed(Kind::Int, Bounds::Between(100, 10_000)),
    harmless("group.share.max.partition.max.record.locks", "4000")
        .typed(Kind::Int, Bounds::Between(2000, 10_000)),
    harmless("group.share.min.partition.max.record.locks", "100")
        .typed(Kind::Int, Bounds::Between(100, 2000)),
    harmless("share.fetch.purgatory.purge.interval.requests", "1000").typed(Kind::Int, Bounds::Any),
    harmless("group.share.max.share.sessions", "2000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless(
        "group.share.persister.class.name",
        "org.apache.kafka.server.share.persister.DefaultStatePersister",
    ),
    harmless("share.coordinator.state.topic.num.partitions", "50")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("share.coordinator.state.topic.replication.factor", "3")
        .typed(Kind::Short, Bounds::AtLeast(1)),
    harmless("share.coordinator.state.topic.min.isr", "2").typed(Kind::Short, Bounds::AtLeast(1)),
    harmless("share.coordinator.state.topic.segment.bytes", "104857600")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("share.coordinator.threads", "1").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("share.coordinator.snapshot.update.records.per.snapshot", "500")
        .typed(Kind::Int, Bounds::Between(0, 500)),
    harmless("share.coordinator.load.buffer.size", "5242880").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("share.coordinator.state.topic.compression.codec", "0").typed(Kind::Int, Bounds::Any),
    harmless("share.coordinator.append.linger.ms", "-1").typed(Kind::Int, Bounds::AtLeast(-1)),
    harmless("share.coordinator.write.timeout.ms", "5000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("share.coordinator.state.topic.prune.interval.ms", "300000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("share.coordinator.cold.partition.snapshot.interval.ms", "300000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("share.coordinator.cached.buffer.max.bytes", "1048588")
        .typed(Kind::Int, Bounds::AtLeast(524_288)),
];
