//! Offsets of transactions that have not ended.
//!
//! They are records like others, in batches of a transactional producer: what they say counts once
//! the marker of their transaction says that it was committed. Until then a client that asks for
//! stable offsets is told UNSTABLE_OFFSET_COMMIT (KIP-447), and neither they nor what was committed
//! before them expires.

use std::collections::BTreeSet;

use super::store::Store;
use crate::base::ProducerId;
use crate::decide::SharedMap;
use crate::group::GroupId;
use crate::group::record::OffsetKey;

/// Values by producer, and the producers by partition. Two producers may have offsets pending for
/// one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending<T> {
    by_producer: SharedMap<ProducerId, Store<T>>,
    producers: Store<BTreeSet<ProducerId>>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { by_producer: SharedMap::default(), producers: Store::default() }
    }
}

impl<T: Clone> Pending<T> {
    /// Whether a transaction has an offset of this partition.
    pub(super) fn contains(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.producers.get(group, topic, partition).is_some()
    }

    /// Whether a transaction has an offset of this group.
    pub(super) fn has_group(&self, group: &str) -> bool {
        self.producers.topics(group).is_some()
    }

    /// The groups of which transactions have offsets.
    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.producers.groups()
    }

    /// The partitions of a group of which transactions have offsets.
    pub(super) fn keys_of(&self, group: &GroupId) -> impl Iterator<Item = OffsetKey> {
        self.producers.keys_of(group)
    }

    /// What transactions have of a topic.
    pub(super) fn of_topic(&self, topic: &str) -> impl Iterator<Item = (OffsetKey, &T)> {
        self.by_producer.values().flat_map(move |values| values.of_topic(topic))
    }

    /// A producer's transaction has an offset. A later one in the same transaction replaces it.
    pub(super) fn insert(&mut self, producer: ProducerId, key: &OffsetKey, value: T) {
        let of = (key.group.as_str(), key.topic.as_str(), key.partition);
        let mut producers = self.producers.get(of.0, of.1, of.2).cloned().unwrap_or_default();
        if producers.insert(producer) {
            self.producers.insert(key, producers);
        }
        if !self.by_producer.contains_key(&producer) {
            self.by_producer.insert(producer, Store::default());
        }
        if let Some(values) = self.by_producer.get_mut(&producer) {
            values.insert(key, value);
        }
    }

    /// The offset of a partition was deleted: what transactions have of it as well.
    pub(super) fn remove(&mut self, key: &OffsetKey) {
        for producer in self.producers.remove(key).unwrap_or_default() {
            let Some(values) = self.by_producer.get_mut(&producer) else { continue };
            values.remove(key);
            if values.is_empty() {
                self.by_producer.remove(&producer);
            }
        }
    }

    /// A producer's transaction has ended. Returns what it had.
    pub(super) fn end(&mut self, producer: ProducerId) -> Vec<(OffsetKey, T)> {
        let values = self.by_producer.remove(&producer).unwrap_or_default();
        let values: Vec<_> = values.iter().map(|(key, value)| (key, value.clone())).collect();
        for (key, _) in &values {
            let mut producers = self.producers.remove(key).unwrap_or_default();
            producers.remove(&producer);
            if !producers.is_empty() {
                self.producers.insert(key, producers);
            }
        }
        values
    }

    pub(super) fn check(&self) {
        self.producers.check();
        for (producer, values) in self.by_producer.iter() {
            values.check();
            assert!(!values.is_empty(), "producer {producer} has no offset pending");
            for (key, _) in values.iter() {
                let producers = self.producers.get(key.group.as_str(), &key.topic, key.partition);
                assert!(
                    producers.is_some_and(|producers| producers.contains(producer)),
                    "the offset of {key:?} is not known to be pending for producer {producer}"
                );
            }
        }
        let known: usize = self.producers.iter().map(|(_, producers)| producers.len()).sum();
        let values: usize = self.by_producer.values().map(Store::len).sum();
        assert!(known == values, "{values} pending offsets, known as {known}");
    }
}
