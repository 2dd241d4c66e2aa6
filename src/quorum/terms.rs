//! A replica's key, the end of a log, and the election state.

use std::fmt;

use crate::base::{BrokerId, DirectoryId, LeaderEpoch, Offset};

/// A replica of the metadata log: its node and its directory (KIP-853).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// The node.
    pub id: BrokerId,
    /// The directory with its log; `None` while unknown, as for voters of kraft.version 0.
    pub directory: Option<DirectoryId>,
}

impl ReplicaKey {
    /// The replica of a node, in whatever directory.
    pub const fn of(id: BrokerId) -> Self {
        Self { id, directory: None }
    }

    /// Whether `other` is the replica that this key names. A key without a directory names every
    /// replica of its node.
    pub fn matches(&self, other: &Self) -> bool {
        self.id == other.id && (self.directory.is_none() || self.directory == other.directory)
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directory {
            Some(directory) => write!(f, "{} in directory {directory}", self.id),
            None => self.id.fmt(f),
        }
    }
}

/// The end of a log. Ordered as votes compare logs: by the epoch of the last record, then by length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogEnd {
    /// The leader epoch of the last record; 0 in an empty log.
    pub epoch: LeaderEpoch,
    /// The offset behind the last record.
    pub offset: Offset,
}

impl LogEnd {
    /// The end of an empty log.
    pub const EMPTY: Self = Self { epoch: LeaderEpoch(0), offset: Offset::ZERO };

    /// On the wire an empty log has epoch 0, not -1.
    pub(super) fn normalised(self) -> Self {
        Self { epoch: self.epoch.max(LeaderEpoch(0)), offset: self.offset.max(Offset::ZERO) }
    }
}

impl fmt::Display for LogEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {} in epoch {}", self.offset, self.epoch)
    }
}

/// An epoch, its leader as far as known, and this replica's vote in it: the content of Kafka's
/// quorum-state file. It has to be durable before a message that was made from it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionState {
    /// Never falls.
    pub epoch: LeaderEpoch,
    /// Never changes within an epoch, once it is known.
    pub leader: Option<BrokerId>,
    /// Never changes within an epoch, once it is cast.
    pub voted: Option<ReplicaKey>,
}

impl ElectionState {
    /// An epoch of which nothing else is known.
    pub(super) fn unknown_leader(epoch: LeaderEpoch) -> Self {
        Self { epoch, leader: None, voted: None }
    }

    /// Whether a replica that neither leads, follows nor stands for election may still vote for
    /// `candidate`: at most one vote per epoch, and none once the epoch has a leader.
    pub(super) fn permits_vote(&self, candidate: &ReplicaKey, is_up_to_date: bool) -> bool {
        match &self.voted {
            Some(voted) => voted.matches(candidate),
            None => self.leader.is_none() && is_up_to_date,
        }
    }
}

impl Default for ElectionState {
    /// The state of a replica that has never run.
    fn default() -> Self {
        Self::unknown_leader(LeaderEpoch(0))
    }
}
