//! The records of `__consumer_offsets` in Kafka's format.
//!
//! Source: the schemas in Kafka's `group-coordinator/src/main/resources/common/message`. Records of
//! share groups and streams groups are kept out: they are [`Record::Foreign`].

#![allow(missing_docs, reason = "the fields are those of Kafka's schemas")]

mod codec;
mod kind;
#[cfg(test)]
mod tests;
mod values;

use bytes::Bytes;

pub use kind::RecordError;

use super::{GroupId, MemberId};
use crate::base::{Offset, Timestamp, TopicId};
use crate::decide::KeyValue;

/// One fact about a group. Without a value it is a tombstone: the fact is not true any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Types 0 and 1: a group has read a partition up to an offset.
    Offset { key: OffsetKey, value: Option<CommittedOffset> },
    /// Type 2: a classic group and its members, as its leader's assignment was stored.
    ClassicGroup { group: GroupId, value: Option<ClassicGroupValue> },
    /// Type 3: a consumer group (KIP-848) and its epoch.
    ConsumerGroup { group: GroupId, value: Option<ConsumerGroupValue> },
    /// Type 5: what a member of a consumer group subscribes to.
    Member { group: GroupId, member: MemberId, value: Option<MemberValue> },
    /// Type 6: the epoch of the target assignment.
    TargetEpoch { group: GroupId, value: Option<TargetEpochValue> },
    /// Type 7: what a member shall own.
    TargetMember { group: GroupId, member: MemberId, value: Option<TargetMemberValue> },
    /// Type 8: what a member owns, and what it has yet to give back.
    CurrentAssignment { group: GroupId, member: MemberId, value: Option<CurrentAssignmentValue> },
    /// Type 16: the topics that match a regular expression of a group.
    RegularExpression { group: GroupId, pattern: String, value: Option<RegularExpressionValue> },
    /// A type that is not served here (4: partition metadata, no longer written; share and streams
    /// groups). It changes nothing.
    Foreign(KeyValue),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetKey {
    pub group: GroupId,
    pub topic: String,
    pub partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: Offset,
    /// -1 if the client named none, and where `expires` is set.
    pub leader_epoch: i32,
    pub metadata: String,
    pub committed: Timestamp,
    /// Set by a client that names a retention time (OffsetCommit 2 to 4); -1 otherwise. Such an
    /// offset is written in version 1, which has neither a leader epoch nor a topic id.
    pub expires: Timestamp,
    /// Zero if unknown: before version 4, and in a transaction.
    pub topic_id: TopicId,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicGroupValue {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// When the group entered its state; -1 before version 2.
    pub state_since: Timestamp,
    pub members: Vec<ClassicMemberValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMemberValue {
    pub member: MemberId,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// -1 in version 0: Kafka takes the session timeout.
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerGroupValue {
    pub epoch: i32,
    /// Of the metadata of the subscribed topics; zero before it was stored.
    pub metadata_hash: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberValue {
    pub instance: Option<String>,
    pub rack: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: Vec<String>,
    pub pattern: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub assignor: Option<String>,
    /// Of a member that speaks the classic protocol.
    pub classic: Option<ClassicMemberMetadata>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMemberMetadata {
    pub session_timeout_ms: i32,
    /// Name and subscription, in the member's order of preference.
    pub protocols: Vec<(String, Bytes)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetEpochValue {
    pub epoch: i32,
    /// When it was computed; 0 if not stored.
    pub computed: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetMemberValue {
    pub partitions: Vec<TopicPartitions>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPartitions {
    pub topic: TopicId,
    pub partitions: Vec<i32>,
    /// In a current assignment, the assignment epoch of each partition. Kafka ignores a list that
    /// is not as long as `partitions`: before 4.3 it wrote none, which is read as an empty list.
    /// `None` in a target assignment.
    pub epochs: Option<Vec<i32>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignmentValue {
    pub epoch: i32,
    pub previous_epoch: i32,
    /// Kafka's `MemberState`: 0 stable, 1 unrevoked partitions, 2 unreleased partitions, 127 unknown.
    pub state: i8,
    pub assigned: Vec<TopicPartitions>,
    pub pending_revocation: Vec<TopicPartitions>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegularExpressionValue {
    pub topics: Vec<String>,
    /// The metadata version at which the topics were resolved.
    pub version: i64,
    pub resolved: Timestamp,
}
