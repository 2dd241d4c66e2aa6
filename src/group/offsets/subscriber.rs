//! What offsets ask of the group they belong to.

use crate::base::{Timestamp, TopicId};
use crate::wire::ErrorCode;

/// Who commits an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committer<'a> {
    /// Empty if the client is not a member.
    pub member: &'a str,
    /// `group.instance.id` of a static member.
    pub instance: Option<&'a str>,
    /// The generation of a classic group, the member epoch of a consumer group; negative if the
    /// client is not a member.
    pub epoch: i32,
    /// Whether the offsets are part of a transaction (TxnOffsetCommit).
    pub is_transactional: bool,
    /// The version of the request.
    pub version: i16,
}

/// What a committer may commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every partition.
    Everything,
    /// The partitions that [`Subscriber::validate_partition`] accepts: the committer is in an older
    /// epoch (KIP-1251).
    Partitions,
}

/// A group, as far as its offsets are concerned. A simple group, one that only commits offsets, has
/// no subscriber.
pub trait Subscriber {
    /// Whether the client may commit. An error fails the request.
    fn validate_commit(&self, committer: &Committer<'_>) -> Result<Scope, ErrorCode>;

    /// Whether the client may commit this partition. An error fails the request, with all its
    /// partitions. Only asked after [`Scope::Partitions`].
    fn validate_partition(
        &self,
        committer: &Committer<'_>,
        topic: TopicId,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let _ = (committer, topic, partition);
        Ok(())
    }

    /// Whether the client may read offsets. A classic group accepts every client, a consumer group
    /// those that name no member (`None`, -1) and its members in their epoch.
    fn validate_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode>;

    /// Whether offsets may be deleted at all: a classic group with members must speak the protocol
    /// of consumers, or NON_EMPTY_GROUP.
    fn validate_delete(&self) -> Result<(), ErrorCode>;

    /// Whether a member subscribes to the topic: its offsets are neither deleted nor expired. A
    /// classic group of consumers whose subscriptions can't be read subscribes to all topics.
    fn subscribed_to(&self, topic: &str) -> bool;

    /// The time from which the retention of an offset counts that was committed at `committed`.
    /// `None` if no offset of this group expires now.
    fn expires_since(&self, committed: Timestamp) -> Option<Timestamp>;
}
