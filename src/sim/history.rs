//! What clients did and saw, as recorded beside them: the black-box history.

use std::sync::Arc;

use crate::base::config::Acks;
use crate::base::{Offset, TopicPartition};

/// One step of one client. Values are unique in a run, so that a record can be recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientEvent {
    /// A producer is about to send a record.
    Sent {
        /// Which producer: its host's number, `p1` being 1.
        producer: u32,
        /// Counts this producer's sends.
        op: u64,
        /// Where to.
        partition: TopicPartition,
        /// The record's unique value.
        value: u64,
        /// What the producer waits for.
        acks: Acks,
        /// Whether idempotence promises that it is stored once and in order.
        idempotent: bool,
    },
    /// What a producer was told.
    Told {
        /// Which producer.
        producer: u32,
        /// Which of its sends.
        op: u64,
        /// The verdict.
        outcome: Outcome,
    },
    /// A consumer got records of one partition from one poll.
    Polled {
        /// Which consumer: its host's number, `k1` being 1.
        consumer: u32,
        /// Of which partition.
        partition: TopicPartition,
        /// Offset and unique value of each record, in the order returned.
        records: Vec<(Offset, u64)>,
    },
    /// A consumer's position was set: assigned, sought, or reset after truncation.
    Positioned {
        /// Which consumer.
        consumer: u32,
        /// Of which partition.
        partition: TopicPartition,
        /// The next offset to read.
        offset: Offset,
    },
    /// The final read of a partition, after everything healed, reached the end offset.
    ReachedEnd {
        /// Which consumer.
        consumer: u32,
        /// Which partition.
        partition: TopicPartition,
        /// The partition's end offset.
        end: Offset,
    },
    /// A consumer can't read on at its position: CORRUPT_MESSAGE.
    Unreadable {
        /// Which consumer.
        consumer: u32,
        /// Of which partition.
        partition: TopicPartition,
        /// Its position.
        offset: Offset,
        /// The broker served bytes that fail their checksum; otherwise it refused to serve any.
        served: bool,
    },
    /// A consumer gave up a record that it can't read, and reads on behind it.
    Skipped {
        /// Which consumer.
        consumer: u32,
        /// Of which partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
    },
    /// A program's own remark, by which nothing is judged that is not its own either.
    Noted {
        /// In its words.
        text: Arc<str>,
    },
}

/// How an operation counts (catalogue: "How an operation counts").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Acknowledged. The offset is unknown for acks=0.
    Ok {
        /// Where the record is said to be.
        offset: Option<Offset>,
    },
    /// Rejected before it could enter a log.
    Fail {
        /// Kafka's name of the error.
        error: String,
    },
    /// Anything may have happened.
    Unknown {
        /// Kafka's name of the error, or the client's.
        error: String,
    },
}
