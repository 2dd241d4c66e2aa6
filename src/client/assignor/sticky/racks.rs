//! Which members are on a rack that has a replica of a partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::member::{looks_at_racks, rack_of};
use super::super::{Members, Racks, Topics};
use crate::base::TopicPartition;
use crate::group::MemberId;

/// The racks of members and partitions.
pub(super) struct RackInfo<'a> {
    topics: &'a Topics,
    /// Empty: racks make no difference.
    members: BTreeMap<&'a MemberId, &'a Arc<str>>,
}

impl<'a> RackInfo<'a> {
    pub(super) fn new(topics: &'a Topics, members: &'a Members) -> Self {
        let racks = members.iter().filter_map(|(id, member)| Some((id, rack_of(member)?)));
        let mut members: BTreeMap<_, _> = racks.collect();
        let near: Racks = members.values().map(|rack| Arc::clone(rack)).collect();
        if !looks_at_racks(&near, topics.values().flatten()) {
            members.clear();
        }
        Self { topics, members }
    }

    /// Whether racks are looked at.
    pub(super) fn matters(&self) -> bool {
        !self.members.is_empty()
    }

    fn racks(&self, partition: &TopicPartition) -> Option<&Racks> {
        let index = usize::try_from(partition.partition).ok()?;
        self.topics.get(&partition.topic)?.get(index)
    }

    /// Whether the member has a rack, and the partition no replica there.
    pub(super) fn is_far(&self, member: &MemberId, partition: &TopicPartition) -> bool {
        let Some(rack) = self.members.get(member) else { return false };
        self.racks(partition).is_none_or(|racks| !racks.contains(*rack))
    }

    /// Whether the member has a rack, and the partition a replica there.
    pub(super) fn is_near(&self, member: &MemberId, partition: &TopicPartition) -> bool {
        self.members.contains_key(member) && !self.is_far(member, partition)
    }

    /// Sorts partitions: those that the fewest members are near to come first.
    pub(super) fn sort(&self, partitions: &mut [TopicPartition]) {
        if !self.matters() {
            return;
        }
        let mut by_rack: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for rack in self.members.values() {
            *by_rack.entry(*rack).or_default() += 1;
        }
        partitions.sort_by_cached_key(|partition| {
            let racks = self.racks(partition).into_iter().flatten();
            racks.map(|rack| by_rack.get(rack).copied().unwrap_or(0)).sum::<usize>()
        });
    }

    /// The place of the first of these members that is near to the partition.
    pub(super) fn first_near(
        &self,
        partition: &TopicPartition,
        members: &[MemberId],
    ) -> Option<usize> {
        members.iter().position(|member| self.is_near(member, partition))
    }
}
