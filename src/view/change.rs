//! What one observation changed, beyond what it says itself.
//!
//! The observation is at hand wherever changes are read, so a change repeats none of its fields
//! that can be found there without a search. `host` is given where it is not the observation's.

use std::sync::Arc;

use crate::base::{LeaderEpoch, Offset, TopicPartition};
use crate::sim::HostId;

use super::State;

/// One change of the cluster's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The process of the observation's host is gone. Once for each `Killed`, `PowerLost` and
    /// `Ended`, also where no process was running.
    Down(Down),
    /// The controller admitted the process that runs on a broker's host: from now on it may lead
    /// and be in sync. Again when a controller that starts repeats the admission of this process,
    /// never for a process that died since.
    Admitted { host: HostId },
    /// The controller fenced an admitted process that runs: its session timed out, or it asked for
    /// it. Never for a process that died or only registered, nor while a controller replays.
    Fenced { host: HostId },
    /// The controller committed a newer state of a partition, or its first. Never a repetition:
    /// within one creation of a topic, partition epochs only rise.
    Committed(Committed),
    /// A topic was deleted, or deleted and created again: promises, roles and positions of this
    /// partition ended with it. Comes before `Committed` of the next creation.
    Gone { partition: TopicPartition },
    /// The leader that the controller chose last has taken over. Not for one that learns of its
    /// election only when another has been chosen.
    TookOver { host: HostId, partition: TopicPartition, epoch: LeaderEpoch },
    /// A leader, of the partition's present creation, exposed everything below `upto`: it raised
    /// its high watermark, or acknowledged with `acks=all`. `behind`: it is
    /// the first report of a new leader, and less than was exposed before (KIP-207).
    Exposed { epoch: LeaderEpoch, upto: Offset, behind: bool },
    /// A producer learned the outcome of an open send to this partition. Once for each send.
    Answered { partition: TopicPartition },
    /// A consumer got other records than from its next offset on.
    Jumped { consumer: u32, partition: TopicPartition, expected: Offset, got: Offset },
    /// A poll took a consumer from one offset to another. After the `Jumped`s of the poll.
    Passed { from: Offset, to: Offset },
    /// A consumer's position was set to less than before, over restarts of its process as well.
    SetBack,
    /// A consumer's process ended: it has no positions any more.
    Stopped { consumer: u32 },
}

/// A process that is gone, as it was until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Down {
    pub up: bool,
    pub ready: bool,
    /// Its storage had failed for good.
    pub failed: bool,
    /// Partitions in whose ISR or ELR it was. Its death ends its place in every ELR.
    pub eligible: Vec<TopicPartition>,
}

/// A partition's committed state changed. The new state is in the view already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub partition: TopicPartition,
    /// The state until then; `None` for the first state of a creation.
    pub before: Option<Arc<State>>,
    /// The leader epoch rose.
    pub election: Option<Election>,
}

/// How a partition's leader was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    /// No replica could be elected.
    Leaderless,
    /// A replica in sync.
    Isr,
    /// A replica that left the ISR last, with all that is committed (KIP-966).
    Elr,
    /// No replica was eligible, and the last leader was elected again (KIP-966).
    LastKnownLeader,
    /// A replica that was not eligible, by permission.
    Unclean,
}
