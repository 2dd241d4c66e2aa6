//! What committed offsets ask of their group.
//!
//! Source: Kafka's `ConsumerGroup.validateOffsetCommit` and `validateOffsetFetch`.

use super::group::ConsumerGroup;
use crate::base::{Timestamp, TopicId};
use crate::group::offsets::{Committer, Scope, Subscriber};
use crate::wire::ErrorCode;

/// The first version of OffsetCommit that members of the consumer protocol may use.
const CONSUMER_PROTOCOL_COMMIT: i16 = 9;

impl Subscriber for ConsumerGroup {
    /// A member that has not heard of its newest epoch may commit what it was assigned in the epoch
    /// that it knows, or before (KIP-1251).
    fn validate_commit(&self, committer: &Committer<'_>) -> Result<Scope, ErrorCode> {
        let Committer { member, instance, epoch, is_transactional, version } = *committer;
        // The admin client, or a consumer that assigns partitions by itself.
        if epoch < 0 && self.is_empty() {
            return Ok(Scope::Everything);
        }
        if is_transactional && epoch == -1 && member.is_empty() && instance.is_none() {
            return Ok(Scope::Everything);
        }
        let member = self.member(member).ok_or(ErrorCode::UnknownMemberId)?;
        if member.is_classic() {
            let current = epoch == member.epoch;
            return if current { Ok(Scope::Everything) } else { Err(ErrorCode::IllegalGeneration) };
        }
        if !is_transactional && version < CONSUMER_PROTOCOL_COMMIT {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match epoch {
            _ if epoch == member.epoch => Ok(Scope::Everything),
            _ if epoch > member.epoch => Err(ErrorCode::StaleMemberEpoch),
            _ => Ok(Scope::Partitions),
        }
    }

    fn validate_partition(
        &self,
        committer: &Committer<'_>,
        topic: TopicId,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let member = self.member(committer.member).ok_or(ErrorCode::UnknownMemberId)?;
        let assigned = member.assigned.epoch_of(topic, partition);
        match assigned.or(member.pending.epoch_of(topic, partition)) {
            Some(epoch) if epoch <= committer.epoch => Ok(()),
            _ => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    fn validate_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
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

    fn validate_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn subscribed_to(&self, topic: &str) -> bool {
        self.subscribes_to(topic)
    }

    fn expires_since(&self, committed: Timestamp) -> Option<Timestamp> {
        Some(committed)
    }
}
