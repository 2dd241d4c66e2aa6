//! What can be set for one topic, with the broker's value as its default.

use std::time::Duration;

use super::{
    CleanupPolicy, Compression, GzipLevel, Lz4Level, TimestampType, TopicCompression, ZstdLevel,
    settings,
};

settings! {
    /// A topic's settings. Source of names and defaults: Kafka's `TopicConfig` and `LogConfig`.
    pub struct TopicConfig {
        min_insync_replicas: i32 = "1", "min.insync.replicas",
            "an acks=all write is refused while fewer replicas than this are in sync";
        unclean_leader_election: bool = "false", "unclean.leader.election.enable",
            "whether a replica that is not in sync may lead when no other can, at the price of its missing records";
        max_message_bytes: i32 = "1048588", "max.message.bytes",
            "largest record batch that is accepted";
        compression: TopicCompression = "producer", "compression.type",
            "codec in which batches are kept; `producer`: as they come";
        compression_gzip_level: GzipLevel = "-1", "compression.gzip.level",
            "how hard gzip tries, where batches are compressed anew";
        compression_lz4_level: Lz4Level = "9", "compression.lz4.level",
            "taken for Kafka's sake: lz4 has one level here";
        compression_zstd_level: ZstdLevel = "3", "compression.zstd.level",
            "how hard zstd tries, where batches are compressed anew";
        message_timestamp_type: TimestampType = "CreateTime", "message.timestamp.type",
            "whether records keep their producer's time or get that of their append";
        message_timestamp_before_max: Option<Duration> = "9223372036854775807", "message.timestamp.before.max.ms",
            "how far a record's time may be behind the broker's";
        message_timestamp_after_max: Option<Duration> = "3600000", "message.timestamp.after.max.ms",
            "how far a record's time may be ahead of the broker's";
        segment_bytes: i32 = "1073741824", "segment.bytes",
            "size at which a new segment begins";
        segment_ms: Duration = "604800000", "segment.ms",
            "age at which a new segment begins";
        segment_index_bytes: i32 = "10485760", "segment.index.bytes",
            "size of each index file";
        index_interval_bytes: i32 = "4096", "index.interval.bytes",
            "bytes of log between two index entries";
        flush_messages: Option<i64> = "9223372036854775807", "flush.messages",
            "records after which the log is synced";
        flush_ms: Option<Duration> = "9223372036854775807", "flush.ms",
            "time after which the log is synced";
        flush_before_ack: bool = "false", "flush.before.ack",
            "acknowledge only what is synced (beyond Kafka)";
        segment_jitter_ms: Duration = "0", "segment.jitter.ms",
            "at most this much is taken off segment.ms, so that segments do not roll all at once";
        cleanup_policy: CleanupPolicy = "delete", "cleanup.policy",
            "what becomes of old records: `delete`, `compact` or both";
        retention_ms: Option<Duration> = "604800000", "retention.ms",
            "age after which a segment is deleted";
        retention_bytes: Option<i64> = "-1", "retention.bytes",
            "size of a partition above which its oldest segments are deleted";
        file_delete_delay_ms: Duration = "60000", "file.delete.delay.ms",
            "time between a segment's leaving the log and its files' removal";
        min_cleanable_dirty_ratio: f64 = "0.5", "min.cleanable.dirty.ratio",
            "share of a log that has to be dirty before it is compacted";
        min_compaction_lag_ms: Duration = "0", "min.compaction.lag.ms",
            "age below which a record is not compacted";
        max_compaction_lag_ms: Option<Duration> = "9223372036854775807", "max.compaction.lag.ms",
            "age above which a record makes its log due for compaction";
        delete_retention_ms: Duration = "86400000", "delete.retention.ms",
            "time for which compaction keeps tombstones and transaction markers";
    }
}

impl TopicConfig {
    /// How hard a codec tries; 0 for those that have no levels.
    pub fn compression_level(&self, codec: Compression) -> i32 {
        match codec {
            Compression::Gzip => self.compression_gzip_level.0,
            Compression::Lz4 => self.compression_lz4_level.0,
            Compression::Zstd => self.compression_zstd_level.0,
            Compression::None | Compression::Snappy => 0,
        }
    }
}
