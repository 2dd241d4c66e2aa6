//! Inputs and effects of a leader.

use std::time::Duration;

use crate::base::{BrokerEpoch, BrokerId, Flaws, Instant, LeaderEpoch, Offset, PartitionEpoch};
use crate::replica::Peers;
use crate::wire::ErrorCode;

/// The initial state of a leader.
#[derive(Clone, Debug)]
pub struct LeaderStart {
    pub me: BrokerId,
    pub epoch: LeaderEpoch,
    /// Version of the partition's state.
    pub partition_epoch: PartitionEpoch,
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// The log end, where its epoch begins.
    pub log_end: Offset,
    /// The high watermark that it knows.
    pub high_watermark: Offset,
    pub min_insync: usize,
    pub lag_time_max: Duration,
    /// Fixes that are switched off.
    pub flaws: Flaws,
}

/// An input of the leader's state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderInput {
    /// The log end moved, and everything below counts.
    Appended { end: Offset },
    /// A follower fetched in this leader's epoch, and its log does not diverge. It may be ahead of
    /// the last `Appended`, because followers do not wait for a sync.
    Fetched {
        replica: BrokerId,
        /// The broker epoch in the request; `None` if absent.
        broker_epoch: Option<BrokerEpoch>,
        /// The follower has everything below.
        position: Offset,
    },
    /// Followers whose fetch sessions contain this partition. A session names only partitions that
    /// changed (KIP-227): a follower that had everything keeps fetching without naming the
    /// partition, and still has everything.
    Alive {
        /// Followers, each with the time of its last request.
        sessions: Vec<(BrokerId, Instant)>,
    },
    /// The controller has committed a state of this leader epoch, as reported by an AlterPartition
    /// response or the metadata log.
    Committed { partition_epoch: PartitionEpoch, isr: Vec<BrokerId> },
    /// A proposal was not accepted, or its outcome is unknown.
    Refused {
        /// The version of the state that it was based on.
        partition_epoch: PartitionEpoch,
        refusal: Refusal,
    },
    /// `min.insync.replicas` was changed.
    MinInsync(usize),
    /// Brokers were registered, fenced or unfenced, or are shutting down.
    Peers(Peers),
    /// Time has passed.
    Tick,
}

/// Why a proposal did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not and will not be applied: the committed state is unchanged.
    NotApplied,
    /// It is based on an outdated state: the metadata log will bring the new one.
    Outdated,
    /// It may have been applied, or may still be: there was no response, or an inconclusive one.
    Unknown,
}

impl From<ErrorCode> for Refusal {
    /// Maps an error of the partition, or of the whole request.
    fn from(error: ErrorCode) -> Self {
        match error {
            // The partition epoch is right and the request was not applied. No other controller can
            // have applied it, because epochs only grow.
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

/// An effect that the shell carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderEffect {
    /// Everything below is committed: consumers may read it, and waiting producers get their
    /// responses.
    HighWatermark(Offset),
    /// Send AlterPartition to the controller.
    ProposeIsr(Proposal),
}

/// An ISR for the controller to commit, if the partition is still in the state that the leader
/// knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub leader_epoch: LeaderEpoch,
    /// The version of the state that it is based on.
    pub partition_epoch: PartitionEpoch,
    /// The proposed members, each with the broker epoch of its fetches; `-1` if it has not fetched
    /// in this epoch.
    pub isr: Vec<(BrokerId, BrokerEpoch)>,
}

/// Fewer replicas are in sync than `acks=all` requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{in_sync} replicas are in sync, {needed} are needed")]
pub struct NotEnoughReplicas {
    pub in_sync: usize,
    pub needed: usize,
}

/// The state of an `acks=all` write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Some replicas in the maximal ISR don't have it yet.
    Waiting,
    /// Committed on enough replicas.
    Acknowledged,
    /// Committed on too few replicas: it may or may not get lost.
    NotEnoughAfterAppend,
}

/// A request has another leader epoch than this leader (KIP-320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochMismatch {
    /// The request's epoch is older.
    Fenced,
    /// The request's epoch is newer than any that this replica knows.
    Unknown,
}
