//! Whether a member may commit or fetch offsets.
//!
//! Source: Kafka's `ConsumerGroup.validateOffsetCommit` and `validateOffsetFetch`.

use super::group::ConsumerGroup;
use super::partitions::Owned;
use crate::base::TopicId;
use crate::wire::ErrorCode;

/// The first version of OffsetCommit that members of the consumer protocol may use.
const CONSUMER_PROTOCOL_COMMIT: i16 = 9;

/// Who wants to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committer<'a> {
    /// Empty: it is not a member.
    pub member: &'a str,
    /// The instance id of a static member.
    pub instance: Option<&'a str>,
    /// Its member epoch, or its generation if it speaks the classic protocol.
    pub epoch: i32,
    /// The version of OffsetCommit; `None` for TxnOffsetCommit.
    pub version: Option<i16>,
}

/// Partitions that a member may commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All of them.
    Any,
    /// A member whose epoch is older than the group knows (KIP-1251): those that it was assigned in
    /// its epoch or before, and still owns.
    AssignedBy {
        /// The epoch of the request.
        epoch: i32,
        /// What the member owns.
        assigned: Owned,
        /// What it has yet to give up.
        pending: Owned,
    },
}

impl Commit {
    /// Checks one partition. `topic` is zero if no topic has the name that the request gives.
    pub fn check(&self, topic: TopicId, partition: i32) -> Result<(), ErrorCode> {
        let Self::AssignedBy { epoch, assigned, pending } = self else { return Ok(()) };
        let since = assigned.epoch_of(topic, partition).or(pending.epoch_of(topic, partition));
        match since {
            Some(since) if since <= *epoch => Ok(()),
            _ => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}

impl ConsumerGroup {
    /// Which partitions this committer may commit offsets for.
    pub fn may_commit(&self, committer: Committer<'_>) -> Result<Commit, ErrorCode> {
        let Committer { member: id, instance, epoch, version } = committer;
        // The admin client, or a consumer that assigns partitions by itself.
        if epoch < 0 && self.is_empty() {
            return Ok(Commit::Any);
        }
        if version.is_none() && epoch == -1 && id.is_empty() && instance.is_none() {
            return Ok(Commit::Any);
        }
        let member = self.member(id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.is_classic() {
            let current = epoch == member.epoch;
            return if current { Ok(Commit::Any) } else { Err(ErrorCode::IllegalGeneration) };
        }
        if version.is_some_and(|version| version < CONSUMER_PROTOCOL_COMMIT) {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match epoch {
            _ if epoch == member.epoch => Ok(Commit::Any),
            _ if epoch > member.epoch => Err(ErrorCode::StaleMemberEpoch),
            epoch => Ok(Commit::AssignedBy {
                epoch,
                assigned: member.assigned.clone(),
                pending: member.pending.clone(),
            }),
        }
    }

    /// Whether offsets may be fetched by a member, or by a client that names none.
    pub fn may_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(id) = member else {
            return if epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        let member = self.member(id).ok_or(ErrorCode::UnknownMemberId)?;
        match member.is_classic() {
            _ if epoch == member.epoch => Ok(()),
            true => Err(ErrorCode::IllegalGeneration),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    /// Whether the group may be deleted.
    pub fn may_delete(&self) -> Result<(), ErrorCode> {
        if self.is_empty() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }
}
