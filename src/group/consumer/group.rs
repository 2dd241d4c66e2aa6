//! A consumer group as its records describe it.

use std::sync::Arc;

use super::member::Member;
use super::partitions::Target;
use crate::base::{Flaws, Timestamp, TopicId};
use crate::decide::SharedMap;
use crate::group::record::{Record, RegularExpressionValue};
use crate::group::{GroupId, MemberId};

/// Epochs of a new group: 0 is for members that join. Its first target assignment has epoch 2
/// (KIP-1263).
const FIRST_EPOCH: i32 = 1;

/// How many subscriptions name a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscriptions {
    /// Members that name it.
    pub(super) by_name: usize,
    /// Resolved regular expressions that match it.
    pub(super) by_pattern: usize,
}

/// A regular expression of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Members that subscribe to it.
    pub(super) members: usize,
    /// The topics that match it, once it was resolved.
    pub(super) resolved: Option<Arc<RegularExpressionValue>>,
}

/// The state of a consumer group, as Kafka's tools name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Its target assignment is older than its members and subscriptions.
    Assigning,
    /// Members are on their way to the target assignment.
    Reconciling,
    /// All members own their targets.
    Stable,
}

impl GroupState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A consumer group (KIP-848): members, their targets, and who owns what. Only replayed records
/// change it.
///
/// A clone is cheap: it shares all entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroup {
    pub(super) id: GroupId,
    /// Counts changes of members, subscriptions and topics.
    pub(super) epoch: i32,
    pub(super) metadata_hash: i64,
    /// The group epoch for which the targets were computed.
    pub(super) target_epoch: i32,
    pub(super) computed: Timestamp,
    pub(super) members: SharedMap<MemberId, Arc<Member>>,
    pub(super) targets: SharedMap<MemberId, Arc<Target>>,
    /// The member of each instance id.
    pub(super) instances: SharedMap<String, MemberId>,
    /// The member that each partition is assigned to, or that has yet to give it up.
    pub(super) owners: SharedMap<(TopicId, i32), MemberId>,
    pub(super) topics: SharedMap<String, Subscriptions>,
    pub(super) patterns: SharedMap<String, Pattern>,
    /// Members that ask for each assignor.
    pub(super) assignors: SharedMap<String, usize>,
    /// Historical bugs of the coordinator that replays it.
    pub(super) flaws: Flaws,
}

impl ConsumerGroup {
    /// A group without members.
    pub fn new(id: GroupId) -> Self {
        Self {
            id,
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            target_epoch: FIRST_EPOCH,
            computed: Timestamp(0),
            members: SharedMap::default(),
            targets: SharedMap::default(),
            instances: SharedMap::default(),
            owners: SharedMap::default(),
            topics: SharedMap::default(),
            patterns: SharedMap::default(),
            assignors: SharedMap::default(),
            flaws: Flaws::default(),
        }
    }

    /// The same group, replayed by a coordinator with these flaws.
    pub fn with_flaws(self, flaws: Flaws) -> Self {
        Self { flaws, ..self }
    }

    /// Its name.
    pub fn id(&self) -> &GroupId {
        &self.id
    }

    /// Its epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The group epoch for which its target assignment was computed.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// Every member, by id.
    pub fn members(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.members.iter().map(|(id, member)| (id, &**member))
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id).map(|member| &**member)
    }

    /// The static member of an instance id.
    pub(super) fn instance(&self, instance: &str) -> Option<(&MemberId, &Member)> {
        let id = self.instances.get(instance)?;
        Some((id, self.member(id.as_str())?))
    }

    /// The member that a partition is assigned to, or that has yet to give it up.
    pub fn owner(&self, topic: TopicId, partition: i32) -> Option<&MemberId> {
        self.owners.get(&(topic, partition))
    }

    /// What a member shall own.
    pub fn target(&self, id: &str) -> Option<&Target> {
        self.targets.get(id).map(|target| &**target)
    }

    /// The topics that match a regular expression, if it was resolved.
    pub(super) fn resolved(&self, pattern: &str) -> Option<&RegularExpressionValue> {
        self.patterns.get(pattern)?.resolved.as_deref()
    }

    /// Whether some member or regular expression subscribes to a topic.
    pub fn subscribes_to(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Its state.
    pub fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.target_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Tombstones for everything that the log has about it.
    pub fn tombstones(&self) -> Vec<Record> {
        let group = || self.id.clone();
        let mut records = Vec::new();
        let members = || self.members.keys().cloned();
        let current = |member| Record::CurrentAssignment { group: group(), member, value: None };
        records.extend(members().map(current));
        let targets = self.targets.keys().cloned();
        records.extend(targets.map(|member| Record::TargetMember {
            group: group(),
            member,
            value: None,
        }));
        records.push(Record::TargetEpoch { group: group(), value: None });
        records.extend(members().map(|member| Record::Member {
            group: group(),
            member,
            value: None,
        }));
        let patterns = self.patterns.iter().filter(|(_, pattern)| pattern.resolved.is_some());
        records.extend(patterns.map(|(pattern, _)| Record::RegularExpression {
            group: group(),
            pattern: pattern.clone(),
            value: None,
        }));
        records.push(Record::no_partition_metadata(&self.id));
        records.push(Record::ConsumerGroup { group: group(), value: None });
        records
    }
}
