//! The replicated state: committed offsets, and how records change them.

use std::collections::BTreeSet;

use super::pending::Pending;
use super::store::Store;
use crate::base::{Offset, ProducerId, TopicId};
use crate::group::GroupId;
use crate::group::record::{CommittedOffset, OffsetKey, Record};

/// A committed offset, and where its record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// What was committed.
    pub value: CommittedOffset,
    /// The offset of the record in the log.
    pub at: Offset,
}

/// The offsets of all groups. Cheap to clone.
///
/// A group with offsets that is not known otherwise is a simple group: Kafka shows it as a classic
/// group, empty and without a protocol type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    pub(super) committed: Store<Committed>,
    pub(super) pending: Pending<Committed>,
}

impl Offsets {
    /// The number of committed offsets.
    pub fn len(&self) -> usize {
        self.committed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// The committed offset of a partition.
    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.committed.get(group, topic, partition)
    }

    /// Whether the group has offsets, committed or in a transaction.
    pub fn has_group(&self, group: &str) -> bool {
        self.committed.topics(group).is_some() || self.pending.has_group(group)
    }

    /// The groups that have offsets, committed or in a transaction, in order.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let mut pending = self.pending.groups().peekable();
        let mut committed = self.committed.groups().peekable();
        std::iter::from_fn(move || match (committed.peek(), pending.peek()) {
            (Some(one), Some(other)) if one == other => {
                pending.next();
                committed.next()
            }
            (Some(one), Some(other)) if one > other => pending.next(),
            (None, Some(_)) => pending.next(),
            _ => committed.next(),
        })
    }

    /// Replays a record that is not part of a transaction, or a tombstone.
    pub fn replay(&mut self, at: Offset, key: &OffsetKey, value: Option<&CommittedOffset>) {
        if let Some(value) = value {
            self.committed.insert(key, Committed { value: value.clone(), at });
        } else {
            self.committed.remove(key);
            self.pending.remove(key);
        }
    }

    /// Replays a record of a transaction. A tombstone takes effect at once, as in Kafka.
    pub fn replay_in_transaction(
        &mut self,
        at: Offset,
        producer: ProducerId,
        key: &OffsetKey,
        value: Option<&CommittedOffset>,
    ) {
        match value {
            Some(value) => {
                self.pending.insert(producer, key, Committed { value: value.clone(), at })
            }
            None => self.replay(at, key, None),
        }
    }

    /// Replays the marker that ends a producer's transaction. Returns the partitions whose committed
    /// offsets that changed.
    ///
    /// A committed offset replaces only one whose record is before its own: the order of the
    /// records counts, not that of the markers, since compaction keeps the last record.
    pub fn end_transaction(&mut self, producer: ProducerId, is_committed: bool) -> Vec<OffsetKey> {
        let mut changed = Vec::new();
        for (key, value) in self.pending.end(producer) {
            let newest = self.committed.get(key.group.as_str(), &key.topic, key.partition);
            if is_committed && newest.is_none_or(|newest| newest.at < value.at) {
                self.committed.insert(&key, value);
                changed.push(key);
            }
        }
        changed
    }

    /// Tombstones for everything that a group has: it is being deleted.
    pub fn group_deleted(&self, group: &GroupId) -> Vec<Record> {
        let keys = self.committed.keys_of(group).chain(self.pending.keys_of(group));
        tombstones(keys.collect())
    }

    /// Tombstones for the offsets of these topics, which were deleted. An offset of another topic
    /// stays that has the same name by now; one without a topic id goes.
    pub fn topics_deleted(&self, topics: &[(String, TopicId)]) -> Vec<Record> {
        let mut keys = BTreeSet::new();
        for (topic, deleted) in topics {
            let of_topic = self.committed.of_topic(topic).chain(self.pending.of_topic(topic));
            let gone = of_topic.filter(|(_, committed)| {
                let id = committed.value.topic_id;
                id == TopicId::ZERO || id == *deleted
            });
            keys.extend(gone.map(|(key, _)| key));
        }
        tombstones(keys)
    }

    /// Asserts what must hold after each record.
    pub fn check(&self) {
        self.committed.check();
        self.pending.check();
    }
}

fn tombstones(keys: BTreeSet<OffsetKey>) -> Vec<Record> {
    keys.into_iter().map(Record::no_offset).collect()
}
