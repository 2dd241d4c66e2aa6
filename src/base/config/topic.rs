//! The settings of one topic, and the broker's keys for their defaults.

use std::time::Duration;

use super::bounds::Bounds::{Any, AtLeast, Share};
use super::foreign::{Foreign, QUOTAS, TIERED, harmless, relied};
use super::{
    Bounds, CleanupPolicy, Compression, Config, ConfigError, GzipLevel, Kind, Lz4Level,
    TimestampType, TopicCompression, ZstdLevel, settings,
};

settings! {
    /// The settings of one topic. Source: Kafka's `TopicConfig` and `LogConfig`.
    pub struct TopicConfig, foreign [FOREIGN] {
        min_insync_replicas: i32 = "1", "min.insync.replicas", AtLeast(1),
            "An acks=all write is refused while the ISR has fewer replicas than this";
        unclean_leader_election: bool = "false", "unclean.leader.election.enable", Any,
            "Whether a replica outside of the ISR may lead when no other can; the records that it lacks are lost";
        max_message_bytes: i32 = "1048588", "max.message.bytes", AtLeast(0),
            "The largest record batch that is accepted";
        compression: TopicCompression = "producer", "compression.type", Any,
            "The codec in which batches are stored; `producer` keeps the producer's";
        compression_gzip_level: GzipLevel = "-1", "compression.gzip.level", Any,
            "The level of gzip, where the broker compresses";
        compression_lz4_level: Lz4Level = "9", "compression.lz4.level", Any,
            "Checked, but without effect: this lz4 encoder has one level";
        compression_zstd_level: ZstdLevel = "3", "compression.zstd.level", Any,
            "The level of zstd, where the broker compresses";
        message_timestamp_type: TimestampType = "CreateTime", "message.timestamp.type", Any,
            "Whether records keep their producer's timestamp or get that of the append";
        message_timestamp_before_max: Option<Duration> = "9223372036854775807", "message.timestamp.before.max.ms", AtLeast(0),
            "The most that a record's timestamp may be behind the broker's clock";
        message_timestamp_after_max: Option<Duration> = "3600000", "message.timestamp.after.max.ms", AtLeast(0),
            "The most that a record's timestamp may be ahead of the broker's clock";
        segment_bytes: i32 = "1073741824", "segment.bytes", AtLeast(1_048_576),
            "A new segment begins before the active one exceeds this size";
        internal_segment_bytes: Option<i32> = "-1", "internal.segment.bytes", AtLeast(-1),
            "Replaces `segment.bytes`, and may be smaller: for tests, which cannot fill large segments";
        segment_ms: Duration = "604800000", "segment.ms", AtLeast(1),
            "A new segment begins when the active one reaches this age";
        segment_index_bytes: i32 = "10485760", "segment.index.bytes", AtLeast(4),
            "The size of each index file";
        index_interval_bytes: i32 = "4096", "index.interval.bytes", AtLeast(0),
            "The bytes of log between two index entries";
        flush_messages: Option<i64> = "9223372036854775807", "flush.messages", AtLeast(1),
            "The log is flushed after this many records";
        flush_ms: Option<Duration> = "9223372036854775807", "flush.ms", AtLeast(0),
            "The log is flushed after this time, as `log.flush.scheduler.interval.ms` finds it";
        flush_before_ack: bool = "false", "flush.before.ack", Any,
            "Only flushed records are acknowledged (beyond Kafka)";
        segment_jitter_ms: Duration = "0", "segment.jitter.ms", AtLeast(0),
            "At most this much, at random, is subtracted from `segment.ms`";
        cleanup_policy: CleanupPolicy = "delete", "cleanup.policy", Any,
            "How old records are removed: `delete`, `compact`, both, or empty to keep all";
        retention_ms: Option<Duration> = "604800000", "retention.ms", AtLeast(-1),
            "A segment is deleted at this age";
        retention_bytes: Option<i64> = "-1", "retention.bytes", Any,
            "The oldest segments are deleted while a partition is larger than this";
        file_delete_delay_ms: Duration = "60000", "file.delete.delay.ms", AtLeast(0),
            "The files of a removed segment are deleted after this time";
        min_cleanable_dirty_ratio: f64 = "0.5", "min.cleanable.dirty.ratio", Share(0.0, 1.0),
            "A log is compacted once this share of it is dirty";
        min_compaction_lag_ms: Duration = "0", "min.compaction.lag.ms", AtLeast(0),
            "A record is not compacted before it has this age";
        max_compaction_lag_ms: Option<Duration> = "9223372036854775807", "max.compaction.lag.ms", AtLeast(1),
            "A log is due for compaction once a dirty record has this age";
        delete_retention_ms: Duration = "86400000", "delete.retention.ms", AtLeast(0),
            "Compaction keeps tombstones and transaction markers for this time";
    }
}

const SYNONYMS: &[(&str, &str)] = &[
    ("min.insync.replicas", "min.insync.replicas"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
    ("message.max.bytes", "max.message.bytes"),
    ("log.segment.bytes", "segment.bytes"),
    ("log.roll.ms", "segment.ms"),
    ("log.index.size.max.bytes", "segment.index.bytes"),
    ("log.index.interval.bytes", "index.interval.bytes"),
    ("log.flush.interval.messages", "flush.messages"),
    ("log.flush.interval.ms", "flush.ms"),
    ("log.flush.before.ack", "flush.before.ack"),
    ("compression.type", "compression.type"),
    ("compression.gzip.level", "compression.gzip.level"),
    ("compression.lz4.level", "compression.lz4.level"),
    ("compression.zstd.level", "compression.zstd.level"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.message.timestamp.before.max.ms", "message.timestamp.before.max.ms"),
    ("log.message.timestamp.after.max.ms", "message.timestamp.after.max.ms"),
    ("log.retention.ms", "retention.ms"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.roll.jitter.ms", "segment.jitter.ms"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.segment.delete.delay.ms", "file.delete.delay.ms"),
    ("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    ("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    ("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
];

impl TopicConfig {
    /// Sets a topic's default by the broker's key for it. `None` for any other key.
    pub fn set_default(&mut self, key: &str, value: &str) -> Option<Result<(), ConfigError>> {
        let (_, own) = Self::synonyms().find(|(broker, _)| *broker == key)?;
        Some(self.set(own, value).map_err(|error| error.written_as(key, value)))
    }

    /// The broker's key for a topic's default, and the topic's own.
    pub fn synonyms() -> impl Iterator<Item = (&'static str, &'static str)> {
        SYNONYMS.iter().copied()
    }

    /// Refuses settings that contradict each other. Source: Kafka's `LogConfig.validateValues`.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (least, most) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if most.is_some_and(|most| most < least) {
            return Err(ConfigError::BadValue {
                key: "max.compaction.lag.ms".into(),
                value: self.get("max.compaction.lag.ms").unwrap_or_default(),
                problem: format!("expected at least min.compaction.lag.ms={}", least.as_millis()),
            });
        }
        Ok(())
    }

    /// The size before which a new segment begins.
    pub fn largest_segment(&self) -> i32 {
        self.internal_segment_bytes.unwrap_or(self.segment_bytes)
    }

    /// The level of a codec; 0 for a codec without levels.
    pub fn compression_level(&self, codec: Compression) -> i32 {
        match codec {
            Compression::Gzip => self.compression_gzip_level.0,
            Compression::Lz4 => self.compression_lz4_level.0,
            Compression::Zstd => self.compression_zstd_level.0,
            Compression::None | Compression::Snappy => 0,
        }
    }
}

/// Keys of Kafka that have no effect on a topic here.
pub(super) const FOREIGN: &[Foreign] = &[
    harmless("preallocate", "false").typed(Kind::Boolean, Bounds::Any),
    relied("leader.replication.throttled.replicas", "", QUOTAS).typed(Kind::List, Bounds::Any),
    relied("follower.replication.throttled.replicas", "", QUOTAS).typed(Kind::List, Bounds::Any),
    relied("remote.storage.enable", "false", TIERED).typed(Kind::Boolean, Bounds::Any),
    harmless("local.retention.ms", "-2").typed(Kind::Long, Bounds::AtLeast(-2)),
    harmless("local.retention.bytes", "-2").typed(Kind::Long, Bounds::AtLeast(-2)),
    harmless("remote.log.copy.disable", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("remote.log.delete.on.disable", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("internal.segment.bytes", "").typed(Kind::Int, Bounds::Any),
];
