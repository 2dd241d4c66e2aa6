//! What committed offsets ask of their group.

use super::group::{ClassicGroup, Phase};
use crate::base::Timestamp;
use crate::group::offsets::{Committer, Scope, Subscriber};
use crate::wire::ErrorCode;

impl Subscriber for ClassicGroup {
    /// Without generation and member, a commit comes from an admin client, or from a consumer that
    /// assigns partitions to itself: fine while the group is empty.
    fn validate_commit(&self, committer: &Committer<'_>) -> Result<Scope, ErrorCode> {
        let Committer { member, instance, epoch, is_transactional, .. } = *committer;
        if epoch < 0 && self.is_empty() {
            return Ok(Scope::Everything);
        }
        if epoch >= 0 || !member.is_empty() || instance.is_some() {
            self.validate_generation(member, instance, epoch)?;
        } else if !is_transactional {
            return Err(ErrorCode::UnknownMemberId);
        }
        // The member has joined the generation and does not own its partitions yet.
        if !is_transactional && self.is_completing() {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(Scope::Everything)
    }

    fn validate_fetch(&self, _member: Option<&str>, _epoch: i32) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn validate_delete(&self) -> Result<(), ErrorCode> {
        match self.is_empty() || self.has_consumers() {
            true => Ok(()),
            false => Err(ErrorCode::NonEmptyGroup),
        }
    }

    fn subscribed_to(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.has_consumers(),
        }
    }

    /// The retention counts from when the group became empty, if it is (KIP-211).
    fn expires_since(&self, committed: Timestamp) -> Option<Timestamp> {
        match self.phase {
            // A simple group: it only commits offsets.
            _ if self.protocol_type.is_none() => Some(committed),
            // Records of old versions do not have the time.
            Phase::Empty if self.since == Timestamp::NONE => Some(committed),
            Phase::Empty => Some(self.since),
            Phase::Stable if self.has_consumers() && self.topics.is_some() => Some(committed),
            _ => None,
        }
    }
}
