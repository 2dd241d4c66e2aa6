//! A map by group, topic and partition.

use std::sync::Arc;

use crate::decide::SharedMap;
use crate::group::GroupId;
use crate::group::record::OffsetKey;

/// Values by group, topic and partition. Cheap to clone. No level is ever empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Store<T> {
    groups: SharedMap<GroupId, Topics<T>>,
    len: usize,
}

pub(super) type Topics<T> = SharedMap<Arc<str>, Partitions<T>>;
pub(super) type Partitions<T> = SharedMap<i32, T>;

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { groups: SharedMap::default(), len: 0 }
    }
}

impl<T: Clone> Store<T> {
    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The groups that have values.
    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.groups.keys()
    }

    /// The values of a group by topic.
    pub(super) fn topics(&self, group: &str) -> Option<&Topics<T>> {
        self.groups.get(group)
    }

    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&T> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    /// Sets a value, and returns the one that was there.
    pub(super) fn insert(&mut self, key: &OffsetKey, value: T) -> Option<T> {
        let (group, topic) = (key.group.as_str(), key.topic.as_str());
        if !self.groups.contains_key(group) {
            self.groups.insert(key.group.clone(), SharedMap::default());
        }
        let topics = self.groups.get_mut(group)?;
        if !topics.contains_key(topic) {
            topics.insert(topic.into(), SharedMap::default());
        }
        let previous = topics.get_mut(topic)?.insert(key.partition, value);
        self.len += usize::from(previous.is_none());
        previous
    }

    /// Removes a value, and returns it.
    pub(super) fn remove(&mut self, key: &OffsetKey) -> Option<T> {
        let (group, topic) = (key.group.as_str(), key.topic.as_str());
        self.get(group, topic, key.partition)?;
        let topics = self.groups.get_mut(group)?;
        let partitions = topics.get_mut(topic)?;
        let removed = partitions.remove(&key.partition)?;
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
        self.len -= 1;
        Some(removed)
    }

    /// All values with their keys, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (OffsetKey, &T)> {
        self.groups.iter().flat_map(|(group, topics)| {
            topics.iter().flat_map(move |(topic, partitions)| {
                partitions
                    .iter()
                    .map(move |(partition, value)| (key(group, topic, *partition), value))
            })
        })
    }

    /// The keys of a group, in order.
    pub(super) fn keys_of(&self, group: &GroupId) -> impl Iterator<Item = OffsetKey> {
        self.topics(group.as_str()).into_iter().flat_map(move |topics| {
            topics.iter().flat_map(move |(topic, partitions)| {
                partitions.keys().map(move |partition| key(group, topic, *partition))
            })
        })
    }

    /// The values of a topic, of all groups, in order.
    pub(super) fn of_topic(&self, topic: &str) -> impl Iterator<Item = (OffsetKey, &T)> {
        let groups = self.groups.iter().filter_map(move |(group, topics)| {
            topics.get(topic).map(|partitions| (group, partitions))
        });
        groups.flat_map(move |(group, partitions)| {
            partitions.iter().map(move |(partition, value)| (key(group, topic, *partition), value))
        })
    }

    pub(super) fn check(&self) {
        let mut len = 0;
        for (group, topics) in self.groups.iter() {
            assert!(!topics.is_empty(), "group `{group}` has no topic");
            for (topic, partitions) in topics.iter() {
                assert!(!partitions.is_empty(), "group `{group}` has no partition of `{topic}`");
                len += partitions.len();
            }
        }
        assert!(len == self.len, "{len} offsets, counted as {}", self.len);
    }
}

fn key(group: &GroupId, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey { group: group.clone(), topic: topic.to_owned(), partition }
}
