//! Transitions that a process reports about itself, in the order in which they happen.
//!
//! The real world logs them. The simulated one hands them to the checkers, which compare them with
//! the bytes on the disks and with what clients saw. The code under test never reads them.
//! One enum per family: the kind of thing that made the transition.

#![allow(missing_docs)]

use crate::base::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, TopicId, TopicPartition,
};

/// A transition of a node or of one of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    Node(NodeProbe),
    Controller(ControllerProbe),
    Replica(ReplicaProbe),
    Storage(StorageProbe),
    Group(GroupProbe),
}

/// A transition of a whole process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NodeProbe {
    /// The controller has registered this process, under this epoch.
    Registered {
        /// Later ones are higher.
        epoch: BrokerEpoch,
    },
    /// The node answers requests from now on.
    Ready,
    /// The node ends because of an error, or one of its directories gets no marker of a clean shutdown.
    Failed,
}

/// A transition of the active controller. All but `BecameController` are committed to the metadata
/// log. A controller that starts reports again what it replays from its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ControllerProbe {
    /// This node is the active controller, in this epoch of the metadata log.
    BecameController {
        id: BrokerId,
        epoch: LeaderEpoch,
    },
    /// Everything in the metadata log below `end` is committed.
    MetadataCommitted {
        epoch: LeaderEpoch,
        end: Offset,
    },
    PartitionCommitted(PartitionCommitted),
    TopicDeleted {
        topic_id: TopicId,
    },
    /// A broker may neither lead nor be in sync. `epoch` is that of its registration.
    BrokerFenced {
        broker: BrokerId,
        epoch: BrokerEpoch,
    },
    /// A broker may lead and be in sync. `epoch` is that of its registration.
    BrokerUnfenced {
        broker: BrokerId,
        epoch: BrokerEpoch,
    },
}

/// A partition's new state, as committed to the metadata log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionCommitted {
    pub partition: TopicPartition,
    pub topic_id: TopicId,
    pub replicas: Vec<BrokerId>,
    /// `None` while the partition is offline.
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<BrokerId>,
    /// The leader was elected from outside ISR and ELR: data may be lost by permission.
    pub unclean: bool,
}

/// A transition of one replica, as its broker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaProbe {
    /// This replica leads in this epoch; its log ends at `log_end` at that moment.
    BecameLeader {
        partition: TopicPartition,
        topic_id: TopicId,
        epoch: LeaderEpoch,
        log_end: Offset,
    },
    /// This replica follows `leader`, if there is one.
    BecameFollower {
        partition: TopicPartition,
        topic_id: TopicId,
        epoch: LeaderEpoch,
        leader: Option<BrokerId>,
    },
    /// The maximal ISR of this leader may have changed: the ISR that it knows to be committed, and
    /// the replicas that may have joined since.
    MayBeInSync { partition: TopicPartition, epoch: LeaderEpoch, isr: Vec<BrokerId> },
    /// A leader appended a client's records: offsets `base..end`.
    LeaderAppended { partition: TopicPartition, epoch: LeaderEpoch, base: Offset, end: Offset },
    /// A leader acknowledged everything below `end` with `acks=all`.
    AcknowledgedAll { partition: TopicPartition, epoch: LeaderEpoch, end: Offset },
    /// A replica's high watermark moved to `offset`. Only a leader's is a promise to readers.
    HighWatermark { partition: TopicPartition, epoch: LeaderEpoch, leads: bool, offset: Offset },
    /// A follower truncated its log to `end`, to agree with its leader.
    Truncated { partition: TopicPartition, end: Offset },
    /// A follower has nothing that its leader still has: its log is now empty and begins at `start`.
    StartedOver { partition: TopicPartition, start: Offset },
    /// Retention raised the log start to `start`. The files below it go later.
    Expired { partition: TopicPartition, start: Offset },
    /// A request about the partition was refused with this Kafka error.
    Refused { partition: TopicPartition, request: Request, error: &'static str },
    /// An idempotent producer sent a batch that is in the log already (KIP-98); it ends at `end`.
    Duplicate { partition: TopicPartition, end: Offset },
    /// A leader reported where a reader's log diverges, in the answer to a fetch (KIP-595) or to
    /// OffsetForLeaderEpoch (KIP-101): the epoch that was asked about ends before the reader's log,
    /// or is unknown here and an older one is answered (KIP-279).
    EpochAnswered {
        partition: TopicPartition,
        /// It was asked by OffsetForLeaderEpoch.
        by_request: bool,
        asked: LeaderEpoch,
        answered: LeaderEpoch,
        /// Where `answered` ends.
        end: Offset,
    },
}

/// A transition of a log's storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StorageProbe {
    /// A log that was not closed cleanly was recovered. `cut`: torn or stale bytes removed from its
    /// end. `short`: it ends below its recovery checkpoint.
    Recovered { partition: TopicPartition, cut: u64, short: bool },
    /// A replica is the log in this directory, one of several of its node; others may hold logs of the
    /// same partition that are left over.
    Hosted { partition: TopicPartition, dir: String },
    /// A batch was refused as corrupt where `offset` was expected.
    Damaged { partition: TopicPartition, offset: Offset },
    /// A write or sync failed: the disk is `full`, or the failure is final.
    Failed { partition: TopicPartition, full: bool },
}

/// A step of a classic group's rebalance, as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupProbe {
    /// A member joins: the group prepares a rebalance, unless it is a stable one's static member.
    Joining { group: String },
    /// A member has joined a generation, and the assignment is awaited.
    Joined { group: String, generation: i32 },
}

/// A request that a partition's replica, or the controller, refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    Produce,
    /// Of a consumer or a follower.
    Fetch,
    OffsetForLeaderEpoch,
    /// A leader's proposal of another ISR, refused by the controller.
    AlterPartition,
}

macro_rules! families {
    ($($variant:ident($family:ty)),*) => {
        $(
            impl From<$family> for Probe {
                fn from(probe: $family) -> Self {
                    Self::$variant(probe)
                }
            }
        )*
    };
}

families!(
    Node(NodeProbe),
    Controller(ControllerProbe),
    Replica(ReplicaProbe),
    Storage(StorageProbe),
    Group(GroupProbe)
);
