//! The black-box history: operations and results of clients, as recorded by the clients.
//!
//! One enum per kind of client.

#![allow(missing_docs)]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::config::Acks;
use crate::base::{Offset, TopicPartition};

/// One step of one client. Values are unique in a run, so that a record can be recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientEvent {
    Producer(ProducerEvent),
    Consumer(ConsumerEvent),
    /// A program's own remark. Only invariants of the program itself use it.
    Noted {
        text: Arc<str>,
    },
}

/// One step of one producer. `producer` is its host's number (`p1` is 1), `op` counts its sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProducerEvent {
    /// It is about to send a record.
    Sent {
        producer: u32,
        op: u64,
        partition: TopicPartition,
        /// The record's unique value.
        value: u64,
        acks: Acks,
        /// Whether idempotence promises that the record is stored once and in order.
        idempotent: bool,
    },
    /// It learned the outcome of a send.
    Told { producer: u32, op: u64, outcome: Outcome },
}

/// One step of one consumer. `consumer` is its host's number (`k1` is 1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConsumerEvent {
    /// One poll returned records of one partition.
    Polled {
        consumer: u32,
        partition: TopicPartition,
        /// Offset and unique value of each record, in the order returned.
        records: Vec<(Offset, u64)>,
    },
    /// The position, the next offset to read, was set: assigned, sought, or reset after truncation.
    Positioned { consumer: u32, partition: TopicPartition, offset: Offset },
    /// The final read of a partition, after the last fault ended, reached the end offset.
    ReachedEnd { consumer: u32, partition: TopicPartition, end: Offset },
    /// Reading fails at the position with CORRUPT_MESSAGE.
    Unreadable {
        consumer: u32,
        partition: TopicPartition,
        offset: Offset,
        /// Whether the broker served bytes that fail their checksum; otherwise it refused to serve
        /// them.
        served: bool,
    },
    /// It is about to ask ListOffsets.
    Asked { consumer: u32, partition: TopicPartition },
    /// ListOffsets answered what it asked last.
    Listed {
        consumer: u32,
        partition: TopicPartition,
        lookup: Lookup,
        /// `None` if no record matches.
        offset: Option<Offset>,
    },
    /// The consumer gave up on an unreadable record, and continues after it.
    Skipped { consumer: u32, partition: TopicPartition, offset: Offset },
}

/// A question of ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup {
    /// The offset after the last record that may be read.
    Latest,
    /// The first record with this timestamp, in ms, or a later one.
    At(i64),
}

impl From<ProducerEvent> for ClientEvent {
    fn from(event: ProducerEvent) -> Self {
        Self::Producer(event)
    }
}

impl From<ConsumerEvent> for ClientEvent {
    fn from(event: ConsumerEvent) -> Self {
        Self::Consumer(event)
    }
}

/// How an operation counts (catalogue: "How an operation counts").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Acknowledged. The offset is unknown for acks=0.
    Ok { offset: Option<Offset> },
    /// Rejected before it could enter a log. `error` is Kafka's name for it.
    Fail { error: String },
    /// Anything may have happened. `error` is Kafka's name for it, or the client's.
    Unknown { error: String },
}
