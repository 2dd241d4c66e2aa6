//! The settings of a log, from those of its topic.

use std::time::Duration;

use crate::base::Flaws;
use crate::base::config::{Compression, TimestampType, TopicCompression, TopicConfig, TxnConfig};

/// A log's settings, in the types that it computes with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: no segment grows beyond this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment spans no more time than this.
    pub segment_span: Duration,
    /// `segment.index.bytes`: preallocated for each index of the active segment.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: bytes of log between two index entries.
    pub index_interval_bytes: u64,
    /// `max.message.bytes`: largest batch that a client may append.
    pub max_message_bytes: usize,
    /// Most bytes that a batch may be decompressed to.
    pub max_decompressed_bytes: usize,
    /// `compression.type`: the codec in which batches are kept.
    pub compression: TopicCompression,
    /// `compression.*.level`, by the codec's code: how hard it tries.
    pub compression_levels: [i32; 5],
    /// `message.timestamp.type`: whether records keep their producer's time.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's time may be behind.
    pub timestamp_before_max: Option<Duration>,
    /// `message.timestamp.after.max.ms`: how far a record's time may be ahead.
    pub timestamp_after_max: Option<Duration>,
    /// `segment.jitter.ms`: at most this much is taken off `segment.ms`.
    pub segment_jitter: Duration,
    /// `cleanup.policy` has `compact`: a cleaner may have removed records between others.
    pub compacted: bool,
    /// The cleaner's checkpoint has this log, whatever its policy is now: it may have gaps.
    pub was_compacted: bool,
    /// `cleanup.policy` has `delete`: `retention.ms` and `retention.bytes` count.
    pub deletes: bool,
    /// `retention.ms`.
    pub retention: Option<Duration>,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `min.cleanable.dirty.ratio`.
    pub min_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag: Duration,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag: Option<Duration>,
    /// `delete.retention.ms`: how long a cleaner keeps tombstones and markers.
    pub delete_retention: Duration,
    /// `producer.id.expiration.ms`: a silent producer is forgotten after this.
    pub producer_expiration: Duration,
    /// `transaction.partition.verification.enable`: the first batch of a transaction is taken only
    /// with the guard of a verification (KIP-890).
    pub verified_transactions: bool,
    /// Fixes that are switched off.
    pub flaws: Flaws,
}

impl LogConfig {
    /// As much as a client could send in one request without compression: Kafka's default of
    /// `socket.request.max.bytes`. (Kafka itself has no such bound.)
    pub const MAX_DECOMPRESSED_BYTES: usize = 100 << 20;

    /// Kafka's default, `ProducerStateManagerConfig`: one day.
    pub const PRODUCER_EXPIRATION: Duration = Duration::from_secs(86_400);

    /// Whether offsets may be missing between batches: never where no cleaner was.
    pub fn may_have_gaps(&self) -> bool {
        self.compacted || self.was_compacted
    }

    /// The age at which a segment ends: one that compaction may be due for must not stay the last.
    /// Kafka's `maxSegmentMs`.
    pub fn longest_span(&self) -> Duration {
        match self.max_compaction_lag.filter(|lag| self.compacted && !lag.is_zero()) {
            Some(lag) => self.segment_span.min(lag),
            None => self.segment_span,
        }
    }

    /// The settings of a topic's log, on a node with these flaws.
    pub fn new(topic: &TopicConfig, flaws: Flaws) -> Self {
        // Kafka refuses smaller values when they are set; here they must only do no harm.
        let at_least = |value: i32, least: u64| u64::try_from(value).unwrap_or(0).max(least);
        Self {
            segment_bytes: at_least(topic.largest_segment(), 1),
            segment_span: topic.segment_ms,
            // Room for one entry of either index, and one that a time index keeps free.
            segment_index_bytes: at_least(topic.segment_index_bytes, 24),
            index_interval_bytes: at_least(topic.index_interval_bytes, 0),
            max_message_bytes: usize::try_from(topic.max_message_bytes).unwrap_or(0),
            max_decompressed_bytes: Self::MAX_DECOMPRESSED_BYTES,
            compression: topic.compression,
            compression_levels: Compression::ALL.map(|codec| topic.compression_level(codec)),
            timestamp_type: topic.message_timestamp_type,
            timestamp_before_max: topic.message_timestamp_before_max,
            timestamp_after_max: topic.message_timestamp_after_max,
            segment_jitter: topic.segment_jitter_ms,
            compacted: topic.cleanup_policy.compact,
            was_compacted: false,
            deletes: topic.cleanup_policy.delete,
            retention: topic.retention_ms,
            retention_bytes: topic.retention_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            min_dirty_ratio: topic.min_cleanable_dirty_ratio,
            min_compaction_lag: topic.min_compaction_lag_ms,
            max_compaction_lag: topic.max_compaction_lag_ms,
            delete_retention: topic.delete_retention_ms,
            producer_expiration: Self::PRODUCER_EXPIRATION,
            verified_transactions: false,
            flaws,
        }
    }

    /// The same under a node's settings for producers and transactions. Without them, a log takes
    /// transactions that no coordinator has verified.
    #[must_use]
    pub fn on_node(self, txn: &TxnConfig) -> Self {
        Self {
            producer_expiration: txn.producer_id_expiration,
            verified_transactions: txn.transaction_partition_verification_enable,
            ..self
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::new(&TopicConfig::default(), Flaws::default())
    }
}
