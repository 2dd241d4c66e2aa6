//! How records change a consumer group.
//!
//! Records are replayed in the order of the log, but compaction removes older ones of a key, and a
//! log that is loaded while its cleaner runs mixes segments from before and after. So no order
//! between keys is relied on: each record has a meaning without the others, and a tombstone of what
//! is not there changes nothing (KAFKA-19862).

use std::sync::Arc;

use super::group::{ConsumerGroup, Pattern};
use super::member::Member;
use super::partitions::{Owned, Target};
use crate::base::{Flaw, Timestamp, TopicId};
use crate::decide::SharedMap;
use crate::group::record::{
    CurrentAssignmentValue, MemberValue, Record, RegularExpressionValue, TargetEpochValue,
};
use crate::group::{GroupId, MemberId};

/// The consumer group that a record is about, and whether the record creates it if there is none.
/// `None` for records of other kinds.
pub fn concerns(record: &Record) -> Option<(&GroupId, bool)> {
    match record {
        Record::ConsumerGroup { group, value } => Some((group, value.is_some())),
        Record::Member { group, value, .. } => Some((group, value.is_some())),
        Record::TargetEpoch { group, value } => Some((group, value.is_some())),
        Record::TargetMember { group, value, .. } => Some((group, value.is_some())),
        Record::CurrentAssignment { group, value, .. } => Some((group, value.is_some())),
        Record::RegularExpression { group, value, .. } => Some((group, value.is_some())),
        Record::Offset { .. } | Record::ClassicGroup { .. } | Record::Foreign(_) => None,
    }
}

impl ConsumerGroup {
    /// Applies a record about this group; a record of another kind changes nothing. Returns whether
    /// the group still exists.
    pub fn replay(&mut self, record: &Record) -> bool {
        match record {
            Record::ConsumerGroup { value: Some(value), .. } => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            Record::ConsumerGroup { value: None, .. } => return false,
            Record::Member { member, value: Some(value), .. } => self.subscribe(member, value),
            Record::Member { member, value: None, .. } => self.remove(member),
            Record::TargetEpoch { value, .. } => {
                let none = TargetEpochValue { epoch: -1, computed: Timestamp(0) };
                let value = value.unwrap_or(none);
                (self.target_epoch, self.computed) = (value.epoch, value.computed);
            }
            Record::TargetMember { member, value: Some(value), .. } => {
                let target = Target::from_record(&value.partitions);
                self.targets.insert(member.clone(), Arc::new(target));
            }
            Record::TargetMember { member, value: None, .. } => {
                self.targets.remove(member.as_str());
            }
            Record::CurrentAssignment { member, value, .. } => self.assign(member, value.as_ref()),
            Record::RegularExpression { pattern, value, .. } => {
                self.resolve(pattern, value.as_ref());
            }
            Record::Offset { .. } | Record::ClassicGroup { .. } | Record::Foreign(_) => {}
        }
        true
    }

    /// A member subscribed, or changed its subscription.
    fn subscribe(&mut self, id: &MemberId, value: &MemberValue) {
        let before = self.members.get(id.as_str()).cloned();
        if let Some(before) = &before {
            self.uncount(id, before);
        }
        let mut member = before.unwrap_or_default();
        Arc::make_mut(&mut member).info = Arc::new(value.clone());
        self.count(id, &member);
        self.members.insert(id.clone(), member);
    }

    fn remove(&mut self, id: &MemberId) {
        let Some(member) = self.members.remove(id.as_str()) else { return };
        self.uncount(id, &member);
        self.release(id, &member);
        self.targets.remove(id.as_str());
    }

    /// A member owns other partitions than before.
    fn assign(&mut self, id: &MemberId, value: Option<&CurrentAssignmentValue>) {
        let before = self.members.get(id.as_str()).cloned();
        let described = |member: &Arc<Member>| *member.info != *Member::default().info;
        if value.is_none() && !before.as_ref().is_some_and(described) {
            // Compaction has removed what the member subscribed to, and that it left.
            return self.remove(id);
        }
        match &before {
            Some(before) => self.release(id, before),
            None => self.count(id, &Member::default()),
        }
        let flawed = before.as_ref().filter(|_| self.flaws.has(Flaw::EpochLostOnReturn));
        let forgotten = flawed.map(|before| before.pending.clone()).unwrap_or_default();
        let mut member = before.unwrap_or_default();
        Arc::make_mut(&mut member).assign(value);
        for (topic, partition) in partitions(&member.assigned, &member.pending) {
            self.owners.insert((topic, partition), id.clone());
        }
        for (topic, partition, _) in forgotten.iter() {
            self.owners.remove(&(topic, partition));
        }
        self.members.insert(id.clone(), member);
    }

    fn resolve(&mut self, pattern: &str, value: Option<&RegularExpressionValue>) {
        let mut entry = self.patterns.get(pattern).cloned().unwrap_or_default();
        for topic in entry.resolved.iter().flat_map(|resolved| &resolved.topics) {
            change(&mut self.topics, topic, |count| count.by_pattern -= 1);
        }
        for topic in value.iter().flat_map(|resolved| &resolved.topics) {
            change(&mut self.topics, topic, |count| count.by_pattern += 1);
        }
        entry.resolved = value.cloned().map(Arc::new);
        self.keep(pattern, entry);
    }

    fn keep(&mut self, pattern: &str, entry: Pattern) {
        if entry == Pattern::default() {
            self.patterns.remove(pattern);
        } else {
            self.patterns.insert(pattern.to_owned(), entry);
        }
    }

    /// Partitions of a member become free. One that was given to another member since stays its.
    fn release(&mut self, id: &MemberId, member: &Member) {
        for key in partitions(&member.assigned, &member.pending) {
            if self.owners.get(&key) == Some(id) {
                self.owners.remove(&key);
            }
        }
    }

    fn count(&mut self, id: &MemberId, member: &Member) {
        for topic in &member.info.topics {
            change(&mut self.topics, topic, |count| count.by_name += 1);
        }
        if let Some(pattern) = member.pattern() {
            let mut entry = self.patterns.get(pattern).cloned().unwrap_or_default();
            entry.members += 1;
            self.keep(pattern, entry);
        }
        if let Some(assignor) = &member.info.assignor {
            change(&mut self.assignors, assignor, |count| *count += 1);
        }
        if let Some(instance) = &member.info.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
    }

    fn uncount(&mut self, id: &MemberId, member: &Member) {
        for topic in &member.info.topics {
            change(&mut self.topics, topic, |count| count.by_name -= 1);
        }
        if let Some(pattern) = member.pattern() {
            let mut entry = self.patterns.get(pattern).cloned().unwrap_or_default();
            entry.members -= 1;
            self.keep(pattern, entry);
        }
        if let Some(assignor) = &member.info.assignor {
            change(&mut self.assignors, assignor, |count| *count -= 1);
        }
        if let Some(instance) = &member.info.instance
            && self.instances.get(instance.as_str()) == Some(id)
        {
            self.instances.remove(instance.as_str());
        }
    }
}

fn partitions(assigned: &Owned, pending: &Owned) -> impl Iterator<Item = (TopicId, i32)> {
    let partitions = assigned.iter().chain(pending.iter());
    partitions.map(|(topic, partition, _)| (topic, partition))
}

/// Changes the count of a key. A count of nothing has no entry.
fn change<T: Copy + Default + PartialEq>(
    counts: &mut SharedMap<String, T>,
    key: &str,
    change: impl FnOnce(&mut T),
) {
    let mut count = counts.get(key).copied().unwrap_or_default();
    change(&mut count);
    if count == T::default() {
        counts.remove(key);
    } else {
        counts.insert(key.to_owned(), count);
    }
}
