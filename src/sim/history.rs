//! The black-box history: operations and results of clients, as recorded by the clients.
//!
//! One enum per kind of client.

#![allow(missing_docs)]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::config::Acks;
use crate::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};

/// One step of one client. Values are unique in a run, so that a record can be recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientEvent {
    Producer(ProducerEvent),
    Consumer(ConsumerEvent),
    Member(MemberEvent),
    Transaction(TransactionEvent),
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
        /// The transaction of its producer that it belongs to.
        txn: Option<u64>,
    },
    /// It learned the outcome of a send.
    Told { producer: u32, op: u64, outcome: Outcome },
    /// It is about to send a record that must be refused.
    Misbehaved {
        producer: u32,
        partition: TopicPartition,
        /// The record's unique value.
        value: u64,
        misdeed: Misdeed,
        /// Where the record is that it pretends to send again.
        repeats: Option<Offset>,
    },
    /// A broker answered that: `error` is Kafka's name for it, `NONE` if it took the record.
    Answered { producer: u32, value: u64, error: String, offset: Option<Offset> },
}

/// What is wrong with a request to produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misdeed {
    /// The batch has a base offset other than 0.
    BaseOffset,
    /// It claims to be a marker.
    ControlBit,
    /// It is part of a transaction that there is not.
    TransactionalBit,
    /// It has fewer records than it says.
    RecordCount,
    /// Its checksum is wrong.
    Checksum,
    /// It is larger than `max.message.bytes`.
    Size,
    /// It is not alone.
    TwoBatches,
    /// It ends before its end.
    HalfBatch,
    /// `acks` is 2.
    Acks,
    /// Its sequence number leaves some out.
    SequenceGap,
    /// Its producer epoch is over.
    OldEpoch,
    /// Its sequence number is that of another record, which was acknowledged.
    Repeated,
}

/// Errors with which a broker may refuse any request, before it looks at the records.
const UNABLE: &[&str] = &[
    "NOT_LEADER_OR_FOLLOWER",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "LEADER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE",
    "BROKER_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "NOT_ENOUGH_REPLICAS",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    // Links may damage it further.
    "CORRUPT_MESSAGE",
];

impl Misdeed {
    pub const ALL: [Self; 12] = [
        Self::BaseOffset,
        Self::ControlBit,
        Self::TransactionalBit,
        Self::RecordCount,
        Self::Checksum,
        Self::Size,
        Self::TwoBatches,
        Self::HalfBatch,
        Self::Acks,
        Self::SequenceGap,
        Self::OldEpoch,
        Self::Repeated,
    ];

    /// The errors with which Kafka refuses it.
    pub fn refusals(self) -> &'static [&'static str] {
        match self {
            Self::BaseOffset
            | Self::ControlBit
            | Self::RecordCount
            | Self::TwoBatches
            | Self::HalfBatch => &["INVALID_RECORD"],
            Self::TransactionalBit => &["TRANSACTIONAL_ID_AUTHORIZATION_FAILED"],
            Self::Checksum => &["CORRUPT_MESSAGE"],
            Self::Size => &["MESSAGE_TOO_LARGE"],
            Self::Acks => &["INVALID_REQUIRED_ACKS"],
            Self::SequenceGap => &["OUT_OF_ORDER_SEQUENCE_NUMBER"],
            Self::OldEpoch => &["INVALID_PRODUCER_EPOCH"],
            Self::Repeated => &["DUPLICATE_SEQUENCE_NUMBER"],
        }
    }

    /// Whether an answer is right: a refusal, or of a repetition the offset of the record that is
    /// there.
    pub fn is_answered_by(
        self,
        error: &str,
        offset: Option<Offset>,
        repeats: Option<Offset>,
    ) -> bool {
        let repeated = self == Self::Repeated && error == "NONE" && offset == repeats;
        repeated || self.refusals().contains(&error) || UNABLE.contains(&error)
    }

    /// What is wrong, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::BaseOffset => "a base offset that is not 0",
            Self::ControlBit => "a control bit",
            Self::TransactionalBit => "a transactional bit and no transaction",
            Self::RecordCount => "a wrong number of records",
            Self::Checksum => "a wrong checksum",
            Self::Size => "more than max.message.bytes",
            Self::TwoBatches => "two batches",
            Self::HalfBatch => "half a batch",
            Self::Acks => "acks=2",
            Self::SequenceGap => "a gap in its sequence numbers",
            Self::OldEpoch => "an old producer epoch",
            Self::Repeated => "a sequence number of another record",
        }
    }
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
        /// The leader epochs of their batches: from which of these offsets on, and which. Empty if the
        /// client doesn't report them.
        epochs: Vec<(Offset, LeaderEpoch)>,
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
    /// From now on it reads with this `isolation.level`; until then with `read_uncommitted`.
    Isolated { consumer: u32, isolation: Isolation },
}

/// Which records of transactions a consumer gets. Source: Kafka's IsolationLevel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// All below the high watermark.
    #[default]
    ReadUncommitted,
    /// Those of committed transactions, below the last stable offset.
    ReadCommitted,
}

/// One step of one transactional producer. `producer` is its host's number, `txn` counts its
/// transactions over restarts of its process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TransactionEvent {
    /// InitProducerId gave it an id and an epoch. `transactional_id`: `None` if it is only idempotent.
    Identified {
        producer: u32,
        transactional_id: Option<Arc<str>>,
        id: ProducerId,
        epoch: ProducerEpoch,
    },
    /// EndTxn gave it the id and epoch of its next transaction (KIP-890).
    Bumped { producer: u32, id: ProducerId, epoch: ProducerEpoch },
    /// It begins a transaction.
    Began { producer: u32, txn: u64 },
    /// It made outputs of one input, and is about to send them. `txn`: `None` without transactions.
    Transformed {
        producer: u32,
        txn: Option<u64>,
        /// The group in which it read the input.
        group: Arc<str>,
        partition: TopicPartition,
        offset: Offset,
        /// The input's unique value.
        value: u64,
        /// Inputs of one key are in one partition, and so are their outputs.
        key: Option<u64>,
        /// The outputs' unique values.
        outputs: Vec<u64>,
    },
    /// It is about to send offsets of a group in a transaction. `generation`: of its member; -1 if
    /// unknown.
    SendingOffsets {
        producer: u32,
        txn: u64,
        group: Arc<str>,
        generation: i32,
        offsets: Vec<(TopicPartition, Offset)>,
    },
    /// It learned the outcome of that.
    SentOffsets { producer: u32, txn: u64, group: Arc<str>, outcome: Outcome },
    /// It is about to ask for a commit, or for an abort.
    Ending { producer: u32, txn: u64, commit: bool },
    /// It learned the outcome.
    Ended { producer: u32, txn: u64, outcome: Ended },
}

impl TransactionEvent {
    /// The number of the producer's host.
    pub fn producer(&self) -> u32 {
        match self {
            Self::Identified { producer, .. }
            | Self::Bumped { producer, .. }
            | Self::Began { producer, .. }
            | Self::Transformed { producer, .. }
            | Self::SendingOffsets { producer, .. }
            | Self::SentOffsets { producer, .. }
            | Self::Ending { producer, .. }
            | Self::Ended { producer, .. } => *producer,
        }
    }
}

/// The outcome of a transaction, as its producer learned it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    Committed,
    Aborted,
    /// It may be either, as after a timeout.
    Unknown {
        error: String,
    },
    /// Another producer has its transactional id. A commit that it asked for before may be either.
    Fenced {
        error: String,
    },
}

/// One step of one member of a group. `consumer` is its host's number (`k1` is 1). It is in one group
/// at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberEvent {
    /// A new process, or one that had left, is about to join.
    Subscribed {
        consumer: u32,
        group: Arc<str>,
        topics: Vec<Arc<str>>,
        /// Whether it has a `group.instance.id`.
        is_static: bool,
        /// `group.protocol`. In the consumer protocol, a generation is the member's own epoch.
        protocol: Arc<str>,
        session_ms: u64,
    },
    /// It took its share of a generation over: it owns exactly these partitions.
    Joined { consumer: u32, generation: i32, member: Arc<str>, owned: Vec<TopicPartition> },
    /// It is in another generation, in which it owns what it owned before.
    Entered { consumer: u32, generation: i32 },
    /// It gives these partitions up, as a member of its group.
    Revoked { consumer: u32, partitions: Vec<TopicPartition> },
    /// It learned that these partitions may have other owners already.
    Lost { consumer: u32, partitions: Vec<TopicPartition> },
    /// It does not give these partitions up, though it was asked to.
    Withholds { consumer: u32, partitions: Vec<TopicPartition> },
    /// It was told that another process with its `group.instance.id` has its place.
    Fenced { consumer: u32 },
    /// The coordinator confirmed that it leaves; `Left` follows.
    Dismissed { consumer: u32 },
    /// It leaves the group.
    Left { consumer: u32 },
    /// It is about to commit. `op` counts its process's commits, `generation` is the one it is in.
    Committing { consumer: u32, op: u64, generation: i32, offsets: Vec<(TopicPartition, Offset)> },
    /// It learned the outcome of a commit. `generation`: the one that it is in by now; -1 if the
    /// commit may have been sent in another.
    Committed { consumer: u32, op: u64, generation: i32, outcome: Outcome },
    /// It is about to ask what its group has committed.
    Recalling { consumer: u32 },
    /// The answer to what it asked last; `None`: nothing is committed.
    Recalled { consumer: u32, offsets: Vec<(TopicPartition, Option<Offset>)> },
    /// It processed a record.
    Processed { consumer: u32, partition: TopicPartition, offset: Offset, value: u64 },
}

impl MemberEvent {
    /// The number of the member's host.
    pub fn consumer(&self) -> u32 {
        match self {
            Self::Subscribed { consumer, .. }
            | Self::Joined { consumer, .. }
            | Self::Entered { consumer, .. }
            | Self::Revoked { consumer, .. }
            | Self::Lost { consumer, .. }
            | Self::Withholds { consumer, .. }
            | Self::Fenced { consumer }
            | Self::Dismissed { consumer }
            | Self::Left { consumer }
            | Self::Committing { consumer, .. }
            | Self::Committed { consumer, .. }
            | Self::Recalling { consumer }
            | Self::Recalled { consumer, .. }
            | Self::Processed { consumer, .. } => *consumer,
        }
    }
}

/// A question of ListOffsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup {
    /// The offset after the last record that may be read.
    Latest,
    /// The first record with this timestamp, in ms, or a later one.
    At(i64),
    /// The first record.
    Earliest,
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

impl From<TransactionEvent> for ClientEvent {
    fn from(event: TransactionEvent) -> Self {
        Self::Transaction(event)
    }
}

impl From<MemberEvent> for ClientEvent {
    fn from(event: MemberEvent) -> Self {
        Self::Member(event)
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
