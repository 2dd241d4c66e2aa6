//! What a group coordinator replicates: groups, and what they have committed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use super::consumer::{ConsumerGroup, concerns};
use super::offsets::{Offsets, Subscriber};
use super::record::{ClassicGroupValue, OffsetKey};
use super::{GroupId, MemberId, Record};
use crate::base::{Flaws, Offset, ProducerId};
use crate::decide::{SharedMap, State};
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::messages::offset_fetch_response::OffsetFetchResponseGroup;

/// A group as its records have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// A group of the classic protocol, as it was when its last assignment was stored.
    Classic(Arc<ClassicGroupValue>),
    /// A group of the consumer protocol.
    Consumer(Arc<ConsumerGroup>),
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    groups: SharedMap<GroupId, Group>,
    /// Groups that only commit offsets. Each is known from its first offset on, also one of a
    /// transaction that is aborted, until a tombstone. Source: Kafka's `OffsetMetadataManager.replay`.
    simple: SharedMap<GroupId, ()>,
    offsets: Offsets,
    flaws: Flaws,
}

/// What a record changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A group was stored or deleted.
    Group(GroupId),
    /// A member of a consumer group owns other partitions, or is in another epoch.
    Member(GroupId, MemberId),
    /// An offset was committed or deleted.
    Offset(OffsetKey),
}

impl Groups {
    /// No groups, of a coordinator with these flaws.
    pub fn flawed(flaws: Flaws) -> Self {
        Self { flaws, ..Self::default() }
    }

    /// A group that has a record.
    pub fn get(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    /// All groups that have a record, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.groups.iter()
    }

    /// Whether the group has no record, and commits offsets, or did.
    pub fn is_simple(&self, group: &str) -> bool {
        let known = self.simple.contains_key(group) || self.offsets.has_group(group);
        known && !self.groups.contains_key(group)
    }

    /// All groups that have a record, or offsets, or had offsets. A group may come twice.
    pub fn names(&self) -> impl Iterator<Item = &GroupId> {
        self.groups.keys().chain(self.simple.keys()).chain(self.offsets.groups())
    }

    /// An offset of a group was replayed.
    fn has_offset(&mut self, group: &GroupId) {
        if !self.groups.contains_key(group) && !self.simple.contains_key(group) {
            self.simple.insert(group.clone(), ());
        }
    }

    /// What the groups have committed.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// OffsetFetch, for one group. `stable` leaves out offsets of transactions that have not ended
    /// (KIP-447). Asked of the committed state, it returns nothing that may be lost.
    pub fn fetch_offsets(
        &self,
        stable: bool,
        request: &OffsetFetchRequestGroup,
    ) -> OffsetFetchResponseGroup {
        let group = self.consumer(&request.group_id).map(|group| &**group as &dyn Subscriber);
        self.offsets.fetch(group, stable, request)
    }

    /// A classic group as it was stored last.
    pub fn classic(&self, group: &str) -> Option<&Arc<ClassicGroupValue>> {
        match self.groups.get(group)? {
            Group::Classic(value) => Some(value),
            Group::Consumer(_) => None,
        }
    }

    /// A consumer group.
    pub fn consumer(&self, group: &str) -> Option<&Arc<ConsumerGroup>> {
        match self.groups.get(group)? {
            Group::Consumer(group) => Some(group),
            Group::Classic(_) => None,
        }
    }

    /// Applies a record that may be about a consumer group. It takes the place of a classic group
    /// of that name: that one's tombstone is gone.
    fn replay_consumer(&mut self, record: &Record, changes: &mut Vec<Change>) {
        let Some((id, creates)) = concerns(record) else { return };
        let known = match self.groups.get_mut(id) {
            Some(Group::Consumer(group)) => Some(Arc::make_mut(group).replay(record)),
            Some(Group::Classic(_)) | None => None,
        };
        match known {
            Some(true) => {}
            Some(false) => {
                self.groups.remove(id);
            }
            None if creates => {
                let mut group = ConsumerGroup::new(id.clone()).with_flaws(self.flaws);
                group.replay(record);
                self.simple.remove(id);
                self.groups.insert(id.clone(), Group::Consumer(Arc::new(group)));
            }
            None => return,
        }
        changes.push(match record {
            Record::CurrentAssignment { member, value: Some(_), .. } => {
                Change::Member(id.clone(), member.clone())
            }
            _ => Change::Group(id.clone()),
        });
    }
}

impl Groups {
    /// Asserts what must hold of a group that a decision has changed.
    pub(super) fn check_group(&self, before: &Groups, id: &GroupId) {
        let Some(group) = self.classic(id.as_str()) else { return };
        if let Some(before) = before.classic(id.as_str()) {
            assert!(
                before.generation <= group.generation,
                "{id}: generation fell from {} to {}",
                before.generation,
                group.generation
            );
        }
        let members: BTreeSet<_> = group.members.iter().map(|member| &member.member).collect();
        assert_eq!(members.len(), group.members.len(), "{id}: a member is stored twice");
        let instances = group.members.iter().filter_map(|member| member.instance.as_ref());
        let unique: BTreeSet<_> = instances.clone().collect();
        assert_eq!(unique.len(), instances.count(), "{id}: an instance is stored twice");
        let leads = |leader: &String| members.iter().any(|member| member.as_str() == leader);
        // Without a leader and with members: it was a consumer group, and has to rebalance.
        if let Some(leader) = &group.leader {
            assert!(leads(leader), "{id}: leader {leader} is not a member");
        }
        assert_eq!(group.protocol.is_none(), members.is_empty(), "{id}: {:?}", group.protocol);
    }
}

impl State for Groups {
    type Record = Record;
    type Change = Change;
    /// Kafka's replay is tolerant: after compaction, records may come in any order.
    type Error = Infallible;

    fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), Infallible> {
        match record {
            Record::ClassicGroup { group, value: Some(value) } => {
                self.simple.remove(group);
                self.groups.insert(group.clone(), Group::Classic(Arc::new(value.clone())));
                changes.push(Change::Group(group.clone()));
            }
            Record::ClassicGroup { group, value: None } => {
                self.simple.remove(group);
                if self.classic(group.as_str()).is_some() {
                    self.groups.remove(group);
                    changes.push(Change::Group(group.clone()));
                }
            }
            Record::Offset { key, value } => {
                if value.is_some() {
                    self.has_offset(&key.group);
                }
                self.offsets.replay(offset, key, value.as_ref());
                changes.push(Change::Offset(key.clone()));
            }
            Record::ConsumerGroup { .. }
            | Record::Member { .. }
            | Record::TargetEpoch { .. }
            | Record::TargetMember { .. }
            | Record::CurrentAssignment { .. }
            | Record::RegularExpression { .. } => self.replay_consumer(record, changes),
            Record::Foreign(_) => {}
        }
        Ok(())
    }

    /// Only offsets are pending until the transaction ends; Kafka replays other records as they come.
    fn replay_in_transaction(
        &mut self,
        (offset, producer): (Offset, ProducerId),
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), Infallible> {
        let Record::Offset { key, value } = record else {
            return self.replay(offset, record, changes);
        };
        if value.is_some() {
            self.has_offset(&key.group);
        }
        self.offsets.replay_in_transaction(offset, producer, key, value.as_ref());
        if value.is_none() {
            changes.push(Change::Offset(key.clone()));
        }
        Ok(())
    }

    fn end_transaction(
        &mut self,
        producer: ProducerId,
        is_committed: bool,
        changes: &mut Vec<Change>,
    ) {
        let counted = self.offsets.end_transaction(producer, is_committed);
        changes.extend(counted.into_iter().map(Change::Offset));
    }
}
