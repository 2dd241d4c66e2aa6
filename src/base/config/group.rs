//! The settings of the group coordinator.

use super::bounds::Bounds::AtLeast;
use super::foreign::{Foreign, harmless};
use super::{Bounds, Kind, settings};

settings! {
    /// The settings of the group coordinator. Source: Kafka's `GroupCoordinatorConfig`.
    pub struct GroupConfig, foreign [FOREIGN] {
        offsets_topic_replication_factor: i16 = "3", "offsets.topic.replication.factor", AtLeast(1),
            "The replication factor of `__consumer_offsets`";
        offsets_topic_num_partitions: i32 = "50", "offsets.topic.num.partitions", AtLeast(1),
            "The number of partitions of `__consumer_offsets`";
    }
}

/// Keys of Kafka for groups, which are not served here: they have no effect.
pub(super) const FOREIGN: &[Foreign] = &[
    harmless("group.coordinator.rebalance.protocols", "classic,consumer,streams")
        .typed(Kind::List, Bounds::Any),
    harmless("group.coordinator.threads", "4").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.coordinator.background.threads", "2").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.coordinator.append.linger.ms", "-1").typed(Kind::Int, Bounds::AtLeast(-1)),
    harmless("offsets.commit.timeout.ms", "5000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("offsets.load.buffer.size", "5242880").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("offsets.topic.segment.bytes", "104857600").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("offsets.topic.compression.codec", "0").typed(Kind::Int, Bounds::Any),
    harmless("group.coordinator.cached.buffer.max.bytes", "1048588")
        .typed(Kind::Int, Bounds::AtLeast(524_288)),
    harmless("offset.metadata.max.bytes", "4096").typed(Kind::Int, Bounds::Any),
    harmless("offsets.retention.minutes", "10080").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("offsets.retention.check.interval.ms", "600000").typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("group.min.session.timeout.ms", "6000").typed(Kind::Int, Bounds::Any),
    harmless("group.max.session.timeout.ms", "1800000").typed(Kind::Int, Bounds::Any),
    harmless("group.initial.rebalance.delay.ms", "3000").typed(Kind::Int, Bounds::Any),
    harmless("group.max.size", "2147483647").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.session.timeout.ms", "45000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.min.session.timeout.ms", "45000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.max.session.timeout.ms", "60000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.heartbeat.interval.ms", "5000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.min.heartbeat.interval.ms", "5000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.max.heartbeat.interval.ms", "15000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.max.size", "2147483647").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("group.consumer.assignors", "uniform,range").typed(Kind::List, Bounds::Any),
    harmless("group.consumer.migration.policy", "bidirectional"),
    harmless("group.consumer.assignment.interval.ms", "1000").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.consumer.min.assignment.interval.ms", "0").typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.consumer.max.assignment.interval.ms", "15000")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("group.consumer.regex.refresh.interval.ms", "600000")
        .typed(Kind::Int, Bounds::AtLeast(10_000)),
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
