//! Assertions about a whole group: they cost as much as it is large.

use std::collections::BTreeMap;

use super::*;

impl ConsumerGroup {
    /// Asserts everything that must hold between decisions. Not for a log that was loaded: that may
    /// have gaps.
    pub fn check(&self) {
        let mut owners: BTreeMap<(TopicId, i32), &MemberId> = BTreeMap::new();
        for (id, member) in self.members() {
            self.check_member(None, id);
            let owned = member.assigned.iter().chain(member.pending.iter());
            for (topic, partition, _) in owned {
                let other = owners.insert((topic, partition), id);
                assert_eq!(other, None, "{topic}-{partition} has two owners, one is {id}");
            }
            let target = self.target(id.as_str());
            let within = |(topic, partition, _)| {
                target.is_some_and(|target| target.contains(topic, partition))
            };
            assert!(
                !member.is_reconciled_to(self.target_epoch) || member.assigned.iter().all(within),
                "member {id} of {} is stable with other partitions than its target",
                self.id
            );
        }
        let indexed = self.owners.iter().map(|(partition, id)| (*partition, id));
        assert!(indexed.eq(owners), "the index of owners differs from what members own");
        let mut targets: BTreeMap<(TopicId, i32), &MemberId> = BTreeMap::new();
        for (id, target) in self.targets.iter() {
            assert!(self.members.contains_key(id.as_str()), "target of {id}, who is no member");
            for partition in target.iter() {
                let other = targets.insert(partition, id);
                assert_eq!(other, None, "{partition:?} is in two targets, one is that of {id}");
            }
        }
        for (instance, id) in self.instances.iter() {
            let named = self.member(id.as_str()).and_then(|member| member.info.instance.as_deref());
            assert_eq!(named, Some(&**instance), "instance {instance} points at member {id}");
        }
    }
}
