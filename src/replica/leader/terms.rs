//! What a leader is told, and what it wants.

use std::time::Duration;

use crate::base::{BrokerEpoch, BrokerId, Flaws, Instant, LeaderEpoch, Offset, PartitionEpoch};
use crate::replica::Peers;
use crate::wire::ErrorCode;

/// What a replica needs to know to lead.
#[derive(Clone, Debug)]
pub struct LeaderStart {
    /// This broker.
    pub me: BrokerId,
    /// The epoch in which it leads.
    pub epoch: LeaderEpoch,
    /// Version of the partition's state.
    pub partition_epoch: PartitionEpoch,
    /// Everyone who is assigned a copy.
    pub replicas: Vec<BrokerId>,
    /// Who is in sync.
    pub isr: Vec<BrokerId>,
    /// Where its log ends, and so where its epoch begins.
    pub log_end: Offset,
    /// What it knows to be committed.
    pub high_watermark: Offset,
    /// `min.insync.replicas`.
    pub min_insync: usize,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max: Duration,
    /// Fixes that are switched off.
    pub flaws: Flaws,
}

/// What happens to a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderInput {
    /// Its log ends here now, and all of it counts.
    Appended {
        /// Log end.
        end: Offset,
    },
    /// A follower fetched, in this leader's epoch, from a log that does not part from the leader's.
    /// It may be ahead of the last `Appended`: where that waits for a sync, followers do not.
    Fetched {
        /// Which follower.
        replica: BrokerId,
        /// Which registration of it; `None` if the request does not say.
        broker_epoch: Option<BrokerEpoch>,
        /// It has everything below.
        position: Offset,
    },
    /// Followers whose fetch sessions have this partition, and when each sent its last request. A
    /// session names only what changed (KIP-227): a follower that had everything fetches on without
    /// naming the partition, and still has everything.
    Alive {
        /// Followers, each with the time of its last request.
        sessions: Vec<(BrokerId, Instant)>,
    },
    /// The controller has committed a state of this leader epoch: AlterPartition's answer, or a
    /// record of the metadata log.
    Committed {
        /// Version of the state.
        partition_epoch: PartitionEpoch,
        /// Who is in sync.
        isr: Vec<BrokerId>,
    },
    /// A proposal was not accepted, or may not have been.
    Refused {
        /// On which version of the state it rested.
        partition_epoch: PartitionEpoch,
        /// What became of it.
        refusal: Refusal,
    },
    /// Who is registered, fenced or leaving has changed.
    Peers(Peers),
    /// Time has passed.
    Tick,
}

/// What became of a proposal that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not and will not be applied: the committed state stands.
    NotApplied,
    /// It rests on an outdated state: the metadata log will bring the new one.
    Outdated,
    /// It may have been applied, or may yet be: no answer, or none that says.
    Unknown,
}

impl From<ErrorCode> for Refusal {
    /// What an error for the partition, or for the whole request, means.
    fn from(error: ErrorCode) -> Self {
        match error {
            // The controller says that the partition epoch is right and the request was not
            // applied. No other controller can have applied it, because epochs only grow.
            ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted => Self::NotApplied,
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::NewLeaderElected => Self::Outdated,
            _ => Self::Unknown,
        }
    }
}

/// What a leader wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderEffect {
    /// Everything below is committed: readers may see it, waiting producers may be answered.
    HighWatermark(Offset),
    /// Ask the controller for another ISR.
    ProposeIsr(Proposal),
}

/// An ISR for the controller to commit, if the partition is still as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// Version of the state on which this rests.
    pub partition_epoch: PartitionEpoch,
    /// Who shall be in sync, and which registration of each the leader has heard of; `-1` where
    /// it has heard of none in this epoch.
    pub isr: Vec<(BrokerId, BrokerEpoch)>,
}

/// Fewer replicas are in sync than `acks=all` demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{in_sync} replicas are in sync, {needed} are needed")]
pub struct NotEnoughReplicas {
    /// How many are in sync.
    pub in_sync: usize,
    /// How many it takes.
    pub needed: usize,
}

/// How far an `acks=all` write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not all who have to have it have it.
    Waiting,
    /// Committed, by as many as it takes.
    Acknowledged,
    /// Committed, but by fewer than it takes: it may be lost, and it may be not.
    NotEnoughAfterAppend,
}

/// A request carries another leader epoch than this leader's (KIP-320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochMismatch {
    /// The request is of an older epoch.
    Fenced,
    /// The request is of a newer epoch, which this replica has not heard of.
    Unknown,
}
