//! Sets of partitions: those that a member owns, and those that it shall own.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::TopicId;
use crate::group::record::TopicPartitions;

/// Partitions of a member, each with the epoch at which it was assigned (KIP-1251).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned(BTreeMap<TopicId, BTreeMap<i32, i32>>);

/// Partitions that a member shall own. No topic is without partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target(BTreeMap<TopicId, BTreeSet<i32>>);

impl Owned {
    /// Reads them from a record. One that was written before there were assignment epochs has
    /// `epoch` for all.
    pub fn from_record(topics: &[TopicPartitions], epoch: i32) -> Self {
        let mut owned = Self::default();
        for topic in topics {
            let epochs = topic.epochs.as_deref().unwrap_or_default();
            for (at, partition) in topic.partitions.iter().enumerate() {
                let epoch = epochs.get(at).copied().unwrap_or(epoch.max(0));
                owned.insert(topic.topic, *partition, epoch);
            }
        }
        owned
    }

    /// As in a record.
    pub fn to_record(&self) -> Vec<TopicPartitions> {
        let topic = |(topic, partitions): (&TopicId, &BTreeMap<i32, i32>)| TopicPartitions {
            topic: *topic,
            partitions: partitions.keys().copied().collect(),
            epochs: Some(partitions.values().copied().collect()),
        };
        self.0.iter().map(topic).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every partition and its assignment epoch, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32, i32)> {
        self.0.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, epoch)| (*topic, *partition, *epoch))
        })
    }

    /// The partitions of each topic, in order.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, Vec<i32>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
    }

    /// The epoch at which a partition was assigned.
    pub fn epoch_of(&self, topic: TopicId, partition: i32) -> Option<i32> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    /// Whether a partition is among them.
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.epoch_of(topic, partition).is_some()
    }

    /// Adds a partition.
    pub fn insert(&mut self, topic: TopicId, partition: i32, epoch: i32) {
        self.0.entry(topic).or_default().insert(partition, epoch);
    }

    /// Whether both have the same partitions; their assignment epochs may differ.
    pub fn same_partitions(&self, other: &Self) -> bool {
        let plain = |(topic, partition, _)| (topic, partition);
        self.iter().map(plain).eq(other.iter().map(plain))
    }
}

impl Target {
    /// Reads them from a record.
    pub fn from_record(topics: &[TopicPartitions]) -> Self {
        let mut target = Self::default();
        for topic in topics {
            for partition in &topic.partitions {
                target.insert(topic.topic, *partition);
            }
        }
        target
    }

    /// As in a record.
    pub fn to_record(&self) -> Vec<TopicPartitions> {
        let topic = |(topic, partitions): (&TopicId, &BTreeSet<i32>)| TopicPartitions {
            topic: *topic,
            partitions: partitions.iter().copied().collect(),
            epochs: None,
        };
        self.0.iter().map(topic).collect()
    }

    /// The number of partitions.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Every partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.topics().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |partition| (topic, *partition))
        })
    }

    /// The partitions of each topic, in order.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<i32>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// The partitions of one topic, in order.
    pub fn of(&self, topic: TopicId) -> impl Iterator<Item = i32> {
        self.0.get(&topic).into_iter().flatten().copied()
    }

    /// Whether a partition is among them.
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Adds a partition.
    pub fn insert(&mut self, topic: TopicId, partition: i32) {
        self.0.entry(topic).or_default().insert(partition);
    }
}

impl FromIterator<(TopicId, i32)> for Target {
    fn from_iter<I: IntoIterator<Item = (TopicId, i32)>>(partitions: I) -> Self {
        let mut target = Self::default();
        for (topic, partition) in partitions {
            target.insert(topic, partition);
        }
        target
    }
}
