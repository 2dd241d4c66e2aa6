//! Assertions about consumer groups.

use super::group::ConsumerGroup;
use super::member::{LEAVE_STATIC, Member, MemberState};
use crate::base::Flaw;
use crate::group::MemberId;

impl ConsumerGroup {
    /// Asserts what must hold after a decision about this member was replayed on `before`. Cheap:
    /// it looks at one member.
    pub fn check_member(&self, before: Option<&Self>, id: &MemberId) {
        let group = &self.id;
        if let Some(before) = before {
            assert!(self.epoch >= before.epoch, "the epoch of {group} fell to {}", self.epoch);
            let (old, new) = (before.target_epoch, self.target_epoch);
            assert!(new >= old, "the target epoch of {group} fell from {old} to {new}");
        }
        assert!(
            self.target_epoch <= self.epoch,
            "{group} has a target for epoch {}, but is in epoch {}",
            self.target_epoch,
            self.epoch
        );
        let Some(member) = self.member(id.as_str()) else { return };
        let old = before.and_then(|before| before.member(id.as_str()));
        self.check_epochs(id, member, old);
        if self.flaws.has(Flaw::EpochLostOnReturn) {
            return;
        }
        let owned = member.assigned.iter().chain(member.pending.iter());
        for (topic, partition, _) in owned {
            let owner = self.owner(topic, partition);
            assert_eq!(owner, Some(id), "{topic}-{partition} of {group} is also owned by {id}");
            let Some(last) = before.and_then(|before| before.owner(topic, partition)) else {
                continue;
            };
            let kept = self.member(last.as_str()).filter(|_| last != id).is_some_and(|last| {
                last.assigned.contains(topic, partition) || last.pending.contains(topic, partition)
            });
            assert!(!kept, "{topic}-{partition} of {group} has two owners: {last} and {id}");
        }
    }

    fn check_epochs(&self, id: &MemberId, member: &Member, before: Option<&Member>) {
        let (group, epoch) = (&self.id, member.epoch);
        assert!(
            epoch <= self.target_epoch,
            "member {id} of {group} is in epoch {epoch}, beyond the target"
        );
        assert!(
            epoch > 0 || epoch == LEAVE_STATIC,
            "member {id} of {group} was left in epoch {epoch}"
        );
        let old = before.map_or(0, |before| before.epoch);
        assert!(
            epoch >= old || epoch == LEAVE_STATIC,
            "the epoch of member {id} of {group} fell from {old} to {epoch}"
        );
        let revokes = member.state == MemberState::UnrevokedPartitions;
        assert!(
            revokes || member.pending.is_empty(),
            "member {id} of {group} is {:?} with partitions to revoke",
            member.state
        );
    }
}
