//! Requests and answers, as the machine sees them: without topics, cluster ids, endpoints, records.

use std::time::Duration;

use super::terms::{LogEnd, ReplicaKey};
use crate::base::{BrokerId, LeaderEpoch, Offset};
use crate::wire::ErrorCode;

/// A request for a vote, or for a pre-vote: whether a vote would be granted (KIP-996).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The candidate's epoch; of a pre-vote the current epoch, which it does not raise.
    pub epoch: LeaderEpoch,
    /// The replica that wants to be elected.
    pub from: ReplicaKey,
    /// The voter that is asked; `None` before version 1 of the request.
    pub to: Option<ReplicaKey>,
    /// The end of its log.
    pub log: LogEnd,
    /// Whether it is a pre-vote.
    pub is_pre_vote: bool,
}

/// The answer to [`Vote`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteReply {
    pub error: ErrorCode,
    /// The epoch of the replica that answers.
    pub epoch: LeaderEpoch,
    /// The leader of that epoch, if known.
    pub leader: Option<BrokerId>,
    pub is_granted: bool,
}

/// The answer to BeginQuorumEpoch and EndQuorumEpoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub error: ErrorCode,
    /// The epoch of the replica that answers.
    pub epoch: LeaderEpoch,
    /// The leader of that epoch, if known.
    pub leader: Option<BrokerId>,
}

/// A request that the machine wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// For a vote or a pre-vote.
    Vote(Vote),
    /// The leader announces itself to a voter that does not fetch.
    BeginQuorumEpoch { epoch: LeaderEpoch, leader: BrokerId, to: ReplicaKey },
    /// The former leader has resigned. The successors are ordered: the best one stands first.
    EndQuorumEpoch { epoch: LeaderEpoch, leader: BrokerId, successors: Vec<ReplicaKey> },
}

impl Request {
    /// The epoch in which it was made.
    pub fn epoch(&self) -> LeaderEpoch {
        match self {
            Self::Vote(vote) => vote.epoch,
            Self::BeginQuorumEpoch { epoch, .. } | Self::EndQuorumEpoch { epoch, .. } => *epoch,
        }
    }
}

/// A fetch that should be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPlan {
    /// The leader; `None` for any voter, to discover the leader.
    pub to: Option<BrokerId>,
    /// The current leader epoch in the request.
    pub epoch: LeaderEpoch,
    /// Where to fetch from. Everything below is synced: the offset of a voter's fetch acknowledges.
    pub log: LogEnd,
    /// When to give up waiting for the answer.
    pub timeout: Duration,
}

/// A fetch of another replica, or of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The replica; an observer if its id is -1 or not a voter's.
    pub from: ReplicaKey,
    /// Its epoch; [`LeaderEpoch::NONE`] is not checked, but such a fetch acknowledges nothing.
    pub epoch: LeaderEpoch,
    /// The end of its log.
    pub offset: Offset,
    /// The epoch of its last record, 0 if it has none; [`LeaderEpoch::NONE`] is not checked, and only
    /// valid if `epoch` is not checked either.
    pub last_epoch: LeaderEpoch,
    /// What this log says about `last_epoch`: the largest epoch that is not above it, and its end.
    pub end_of_last_epoch: (LeaderEpoch, Offset),
    /// Where this log begins.
    pub log_start: Offset,
    /// Where the newest snapshot here ends, if there is one.
    pub snapshot: Option<LogEnd>,
}

/// What the leader gives for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Records from the fetch offset up to here: the log end, also for what is not committed.
    Records { upto: Offset },
    /// The logs diverge: the replica has to truncate to this epoch and end.
    Diverging(LogEnd),
    /// The replica has to fetch this snapshot first (KIP-630).
    Snapshot(LogEnd),
    /// Nothing: see the error.
    Nothing,
}

/// The answer to [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReply {
    pub error: ErrorCode,
    pub epoch: LeaderEpoch,
    pub leader: Option<BrokerId>,
    pub what: Fetched,
}

/// The answer to a fetch of this replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchAnswer {
    pub error: ErrorCode,
    pub epoch: LeaderEpoch,
    pub leader: Option<BrokerId>,
    /// The leader's high watermark. The shell hands it to `Quorum::fetched` after the append.
    pub high_watermark: Option<Offset>,
    pub diverging: Option<LogEnd>,
    pub snapshot: Option<LogEnd>,
}

/// What to do with the answer to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Append the records up to the first batch whose epoch is above `Quorum::epoch`, or below that of
    /// the batch before. Then report `appended`, `flushed` and `fetched`.
    Append,
    /// Truncate to where this log and the leader's agree at the latest: the smaller of `end` and of
    /// this log's end of the largest epoch that is not above `epoch`. Report `truncated` first.
    Truncate { epoch: LeaderEpoch, end: Offset },
    /// Fetch this snapshot, and report `restored`.
    Snapshot(LogEnd),
    /// The answer is out of date, or was about the leader only: ask for the next plan.
    Ignore,
    /// The answer was an error: the next plan comes after a pause.
    BackOff,
}
