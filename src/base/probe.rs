//! What a process says about its own transitions, in the order in which they happen.
//!
//! The real world logs these; the simulated one hands them to the checkers, which compare them
//! with what is on the disks and with what clients saw. Nothing in the code under test reads them.

use crate::base::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, TopicId, TopicPartition,
};

/// One transition of a broker or controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A node answers requests from now on.
    Ready,
    /// The controller has committed a partition's new state.
    PartitionCommitted {
        /// Which partition.
        partition: TopicPartition,
        /// Which creation of its topic.
        topic_id: TopicId,
        /// Everyone who is assigned a copy.
        replicas: Vec<BrokerId>,
        /// Nobody, while the partition is offline.
        leader: Option<BrokerId>,
        /// Epoch of that leader.
        leader_epoch: LeaderEpoch,
        /// Version of this state.
        partition_epoch: PartitionEpoch,
        /// Replicas in sync.
        isr: Vec<BrokerId>,
        /// The leader was chosen from outside ISR and ELR: data may be lost by permission.
        unclean: bool,
    },
    /// The controller has committed the deletion of a topic.
    TopicDeleted {
        /// Which creation of it.
        topic_id: TopicId,
    },
    /// The controller has committed that a broker may not lead or be in sync.
    BrokerFenced {
        /// Which broker.
        broker: BrokerId,
        /// Of which of its starts. A controller that starts again may say again what it knows.
        epoch: BrokerEpoch,
    },
    /// The controller has committed that a broker may take part.
    BrokerUnfenced {
        /// Which broker.
        broker: BrokerId,
        /// Of which of its starts.
        epoch: BrokerEpoch,
    },
    /// This node is the active controller.
    BecameController {
        /// Which node.
        id: BrokerId,
        /// Its epoch of the metadata log.
        epoch: LeaderEpoch,
    },
    /// The active controller has committed metadata.
    MetadataCommitted {
        /// In which epoch.
        epoch: LeaderEpoch,
        /// All below this offset is committed.
        end: Offset,
    },
    /// This replica leads, as far as it knows.
    BecameLeader {
        /// Which partition.
        partition: TopicPartition,
        /// Of which creation of its topic.
        topic_id: TopicId,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// Its log end at that moment.
        log_end: Offset,
    },
    /// This replica follows, as far as it knows.
    BecameFollower {
        /// Which partition.
        partition: TopicPartition,
        /// Of which creation of its topic.
        topic_id: TopicId,
        /// Epoch of the leader it follows.
        epoch: LeaderEpoch,
        /// That leader, if there is one.
        leader: Option<BrokerId>,
    },
    /// Who may be in sync, as far as this leader knows, may have changed.
    MayBeInSync {
        /// Which partition.
        partition: TopicPartition,
        /// In which epoch.
        epoch: LeaderEpoch,
        /// The ISR that it knows to be committed, and who may have joined since.
        isr: Vec<BrokerId>,
    },
    /// A leader accepted records from a client into its log.
    LeaderAppended {
        /// Which partition.
        partition: TopicPartition,
        /// In which epoch.
        epoch: LeaderEpoch,
        /// First offset.
        base: Offset,
        /// Log end afterwards.
        end: Offset,
    },
    /// A leader acknowledges records with `acks=all`.
    AcknowledgedAll {
        /// Which partition.
        partition: TopicPartition,
        /// In which epoch.
        epoch: LeaderEpoch,
        /// All below this offset are acknowledged.
        end: Offset,
    },
    /// A replica's high watermark moved. Only a leader's is a promise to readers.
    HighWatermark {
        /// Which partition.
        partition: TopicPartition,
        /// In which epoch.
        epoch: LeaderEpoch,
        /// Whether this replica leads.
        leads: bool,
        /// All below this offset are committed.
        offset: Offset,
    },
    /// A follower cut its log to agree with its leader.
    Truncated {
        /// Which partition.
        partition: TopicPartition,
        /// Where it now ends.
        end: Offset,
    },
    /// A follower has nothing that its leader still has: it gave its log up and starts over.
    StartedOver {
        /// Which partition.
        partition: TopicPartition,
        /// Where its log begins and ends now.
        start: Offset,
    },
    /// A request about a partition was refused.
    Refused {
        /// Which partition.
        partition: TopicPartition,
        /// What was asked.
        request: Request,
        /// Kafka's name of the error.
        error: &'static str,
    },
    /// An idempotent producer sent again what is in the log already (KIP-98).
    Duplicate {
        /// Which partition.
        partition: TopicPartition,
        /// Offset after the last record of the batch that was there.
        end: Offset,
    },
    /// A leader told a reader where their logs part, in the answer to a fetch (KIP-595) or to
    /// OffsetForLeaderEpoch (KIP-101): the epoch that was asked about ends before the reader's log,
    /// or is not known here and an older one is answered (KIP-279).
    EpochAnswered {
        /// Which partition.
        partition: TopicPartition,
        /// Whether it was asked by OffsetForLeaderEpoch.
        by_request: bool,
        /// The reader's epoch.
        asked: LeaderEpoch,
        /// The epoch of the answer.
        answered: LeaderEpoch,
        /// Where that epoch ends.
        end: Offset,
    },
    /// A log that nobody had closed was opened and examined.
    Recovered {
        /// Which partition.
        partition: TopicPartition,
        /// Torn or stale bytes that were cut from its end.
        cut: u64,
        /// It ends below what its checkpoint calls durable.
        short: bool,
    },
    /// A batch in a log is not what was written, and was refused.
    Damaged {
        /// Which partition.
        partition: TopicPartition,
        /// Which offset was expected there.
        offset: Offset,
    },
    /// A write or sync failed.
    StorageFailed {
        /// Which partition.
        partition: TopicPartition,
        /// There was no space; anything else is final.
        full: bool,
    },
}

/// A request that a partition's replica, or the controller, refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// A producer's records.
    Produce,
    /// A consumer's or follower's fetch.
    Fetch,
    /// Where an epoch ends.
    OffsetForLeaderEpoch,
    /// A leader's proposal of another ISR, refused by the controller.
    AlterPartition,
}
