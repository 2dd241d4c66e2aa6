//! Errors of producers, consumers and administrators. Names are Kafka's: a broker's error code, or the
//! exception of its clients, as `TIMEOUT` for `TimeoutException`.

#![warn(missing_docs, reason = "in the prelude")]

use std::fmt;

use super::ConsumerRecord;
use crate::base::{Offset, Timestamp, TopicPartition};
use crate::wire::ErrorCode;

/// The reason why a record was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceCause {
    /// A broker refused the record.
    #[error("{0}")]
    Broker(ErrorCode),
    /// `delivery.timeout.ms` passed, or `close` gave up.
    #[error("TIMEOUT")]
    TimedOut,
    /// The connection broke, or could not be made, and there are no retries left.
    #[error("NETWORK_EXCEPTION")]
    Disconnected,
    /// The record is larger than `max.request.size` or `buffer.memory`.
    #[error("RECORD_TOO_LARGE")]
    RecordTooLarge,
    /// `max.block.ms` passed while `buffer.memory` was exhausted.
    #[error("BUFFER_EXHAUSTED")]
    BufferExhausted,
    /// `max.block.ms` passed, and no broker knew the topic or partition.
    #[error("UNKNOWN_TOPIC_OR_PARTITION")]
    UnknownTopic,
    /// The broker supports no usable version of a request.
    #[error("UNSUPPORTED_VERSION")]
    UnsupportedVersion,
    /// The record, or a partitioner, names a negative partition.
    #[error("INVALID_PARTITION")]
    InvalidPartition,
    /// The key or value could not be serialized.
    #[error("SERIALIZATION_FAILED")]
    Serialization,
    /// The record's transaction is, or can only be, aborted.
    #[error("TRANSACTION_ABORTED")]
    TransactionAborted,
    /// The producer has a `transactional.id`, and no transaction is open: begin one first.
    #[error("INVALID_STATE: no transaction is open: begin_transaction first")]
    NoTransaction,
    /// The producer is closed, or was dropped.
    #[error("PRODUCER_CLOSED")]
    Closed,
}

impl ProduceCause {
    /// Kafka's name of the error, or the client's own.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker(code) => code.name(),
            Self::TimedOut => "TIMEOUT",
            Self::Disconnected => "NETWORK_EXCEPTION",
            Self::RecordTooLarge => "RECORD_TOO_LARGE",
            Self::BufferExhausted => "BUFFER_EXHAUSTED",
            Self::UnknownTopic => "UNKNOWN_TOPIC_OR_PARTITION",
            Self::UnsupportedVersion => "UNSUPPORTED_VERSION",
            Self::InvalidPartition => "INVALID_PARTITION",
            Self::Serialization => "SERIALIZATION_FAILED",
            Self::TransactionAborted => "TRANSACTION_ABORTED",
            Self::NoTransaction => "INVALID_STATE",
            Self::Closed => "PRODUCER_CLOSED",
        }
    }
}

/// A record that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}: the record {}", if *.may_be_stored { "may be stored" } else { "is not stored" })]
pub struct ProduceError {
    /// The reason of the last attempt's failure.
    pub cause: ProduceCause,
    /// False only if the record never left, or every attempt was refused before the append.
    pub may_be_stored: bool,
}

impl ProduceError {
    /// Kafka's name of the error, or the client's own.
    pub const fn name(&self) -> &'static str {
        self.cause.name()
    }
}

/// The part of a record that can't be deserialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPart {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl fmt::Display for RecordPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// The reason why a consumer needs its application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// `auto.offset.reset` is `none`, and the partition has no position.
    #[error(
        "NO_OFFSET_FOR_PARTITION: {0} has no position, and auto.offset.reset is `none`: seek first"
    )]
    NoOffset(TopicPartition),
    /// `auto.offset.reset` is `none`, and the log does not have the position.
    #[error(
        "OFFSET_OUT_OF_RANGE: {partition} does not have offset {offset}, and auto.offset.reset is `none`: seek first"
    )]
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
    },
    /// `auto.offset.reset` is `none`, and records before the position were truncated (KIP-320).
    #[error("LOG_TRUNCATION: {partition} was read up to {offset}, but diverges from {}: seek first",
        .diverges_at.map_or_else(|| "an unknown offset".to_owned(), |at| at.to_string()))]
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
        /// The first offset known to differ.
        diverges_at: Option<Offset>,
    },
    /// A batch is corrupt. The position stays in front of it.
    #[error("CORRUPT_MESSAGE: {partition} at {offset}: {problem}")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
        /// The defect.
        problem: String,
    },
    /// A record can't be deserialized. The position stays in front of it.
    #[error(
        "RECORD_DESERIALIZATION: the {part} of {} at offset {} can't be deserialized: {problem}; seek \
         past it to continue",
        record.partition,
        record.offset
    )]
    Deserialization {
        /// The record, with the bytes of its key and value.
        record: Box<ConsumerRecord>,
        /// Its key or its value.
        part: RecordPart,
        /// The deserializer's error.
        problem: String,
    },
    /// A record is looked up by a timestamp that none can have.
    #[error("INVALID_TIMESTAMP: {partition}: the timestamp {timestamp} is negative")]
    NegativeTimestamp {
        /// The partition.
        partition: TopicPartition,
        /// The timestamp.
        timestamp: Timestamp,
    },
    /// A broker refused, and a retry can't succeed.
    #[error("{error}: {partition}")]
    Broker {
        /// The partition.
        partition: TopicPartition,
        /// The broker's error.
        error: ErrorCode,
    },
    /// A broker refuses a topic of the subscription.
    #[error("{error}: topic {topic}")]
    Topic {
        /// The topic.
        topic: String,
        /// The broker's error.
        error: ErrorCode,
    },
    /// The coordinator refused. After FENCED_INSTANCE_ID, nothing helps: another consumer has this
    /// `group.instance.id`. After any other, the next poll tries again. With
    /// `group.protocol=consumer`, all are final: only a new consumer can join, as in Kafka.
    #[error("{error}: group {group}")]
    Group {
        /// The group.
        group: String,
        /// The coordinator's error.
        error: ErrorCode,
    },
    /// Another member of the group sent something that can't be read.
    #[error("INCONSISTENT_GROUP_PROTOCOL: group {group}: {problem}")]
    Unreadable {
        /// The group.
        group: String,
        /// The defect.
        problem: String,
    },
    /// The consumer was expelled from its group, and its partitions may have other owners: these
    /// offsets can no longer be committed.
    #[error("COMMIT_FAILED: the consumer is no longer in its group: poll to join it again")]
    CommitFailed,
    /// The group rebalances: poll until that is over, then commit what is still owned.
    #[error("REBALANCE_IN_PROGRESS: poll, then commit again")]
    RebalanceInProgress,
    /// The consumer has no `group.id`.
    #[error("INVALID_GROUP_ID: set group.id to subscribe or commit")]
    NoGroup,
    /// The pattern of a subscription is no regular expression.
    #[error("INVALID_REGULAR_EXPRESSION: {0}")]
    Pattern(String),
    /// A pattern for the coordinator, but the group has the classic protocol.
    #[error(
        "UNSUPPORTED_VERSION: only with group.protocol=consumer does the coordinator evaluate a \
         pattern: set it, or use a pattern that the consumer evaluates"
    )]
    NeedsConsumerProtocol,
    /// No answer in time.
    #[error("TIMEOUT: no answer within the time of the call, or default.api.timeout.ms")]
    TimedOut,
}

impl ConsumeError {
    /// Kafka's name of the error, or the client's own.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoOffset(_) => "NO_OFFSET_FOR_PARTITION",
            Self::OutOfRange { .. } => "OFFSET_OUT_OF_RANGE",
            Self::Truncated { .. } => "LOG_TRUNCATION",
            Self::Corrupt { .. } => "CORRUPT_MESSAGE",
            Self::Deserialization { .. } => "RECORD_DESERIALIZATION",
            Self::NegativeTimestamp { .. } => "INVALID_TIMESTAMP",
            Self::Broker { error, .. } | Self::Topic { error, .. } | Self::Group { error, .. } => {
                error.name()
            }
            Self::Unreadable { .. } => "INCONSISTENT_GROUP_PROTOCOL",
            Self::CommitFailed => "COMMIT_FAILED",
            Self::RebalanceInProgress => "REBALANCE_IN_PROGRESS",
            Self::NoGroup => "INVALID_GROUP_ID",
            Self::Pattern(_) => "INVALID_REGULAR_EXPRESSION",
            Self::NeedsConsumerProtocol => "UNSUPPORTED_VERSION",
            Self::TimedOut => "TIMEOUT",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Broker { error, .. } | Self::Topic { error, .. } | Self::Group { error, .. } => {
                error.is_retriable()
            }
            Self::TimedOut | Self::RebalanceInProgress => true,
            _ => false,
        }
    }
}

/// The reason why an administrative operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// A broker refused.
    #[error("{error}{}", .message.as_ref().map_or_else(String::new, |m| format!(": {m}")))]
    Broker {
        /// The broker's error.
        error: ErrorCode,
        /// The broker's message.
        message: Option<String>,
    },
    /// `default.api.timeout.ms` passed. The operation may have been done.
    #[error("TIMEOUT: no answer within default.api.timeout.ms; the last obstacle: {last}")]
    TimedOut {
        /// Why the last attempt failed.
        last: String,
    },
    /// The brokers support no usable version of the request.
    #[error("UNSUPPORTED_VERSION: {0}")]
    UnsupportedVersion(String),
    /// A response lacks what was asked for.
    #[error("the broker's answer lacks {0}")]
    Incomplete(String),
}

impl AdminError {
    /// Kafka's name of the error, or the client's own.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Broker { error, .. } => error.name(),
            Self::TimedOut { .. } => "TIMEOUT",
            Self::UnsupportedVersion(_) => "UNSUPPORTED_VERSION",
            Self::Incomplete(_) => "INVALID_RESPONSE",
        }
    }
}
