//! All records that have no verdict yet, by topic and partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ProducerRecord;
use super::delivery::{Delivery, Settled};
use super::memory::Memory;
use super::partition::{Partition, Tools};
use super::topic::Topic;
use crate::base::config::ProducerConfig;
use crate::base::{Instant, Timestamp, TopicPartition};
use crate::client::ProduceCause;

/// A record that was added: its verdict to come, and when its batch leaves, if that is decided.
type Added = (Delivery, Option<Instant>);

/// Topics, and their partitions in the order in which records came for them.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    topics: BTreeMap<Arc<str>, Topic>,
    partitions: Vec<Partition>,
    /// Places of the partitions that have batches.
    active: BTreeSet<usize>,
}

impl Accumulator {
    /// Adds a record to a batch. Gives it back while its partition is not known.
    #[allow(clippy::result_large_err, reason = "the record comes back as it went in")]
    pub(super) fn add(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        memory: u64,
        tools: &mut Tools<'_>,
    ) -> Result<Added, ProducerRecord> {
        let topic = self.topics.get_mut(&record.topic);
        let random = tools.kernel.random();
        let Some(chosen) = topic.and_then(|topic| topic.choose_in_turn(&record, random)) else {
            return Err(record);
        };
        Ok(self.add_to(now, chosen, timestamp, &record, memory, tools.config))
    }

    fn add_to(
        &mut self,
        now: Instant,
        chosen: i32,
        timestamp: Timestamp,
        record: &ProducerRecord,
        memory: u64,
        config: &ProducerConfig,
    ) -> Added {
        let topic = self.topics.entry(Arc::clone(&record.topic)).or_default();
        let place = topic.place(chosen, || {
            let name = TopicPartition::new(Arc::clone(&record.topic), chosen);
            self.partitions.push(Partition::new(name));
            self.partitions.len() - 1
        });
        let added = self.partitions[place].add(now, timestamp, record, memory, config);
        self.active.insert(place);
        topic.gave(record, added.grown, config.batch_size, added.batch_ended);
        (added.delivery, added.leaves)
    }

    /// Keeps a record until its partition is known.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        memory: u64,
    ) -> Delivery {
        let topic = self.topics.entry(Arc::clone(&record.topic)).or_default();
        topic.wait(now, timestamp, record, memory)
    }

    /// Takes over new metadata: records that waited for it get their places, as far as it allows.
    /// Returns whether some still wait.
    pub(super) fn update(&mut self, now: Instant, tools: &mut Tools<'_>) -> bool {
        let mut placed = Vec::new();
        for (name, topic) in &mut self.topics {
            topic.update(tools.kernel.cluster().topic(name));
            while let Some(next) = topic.next_placed(tools.kernel.random()) {
                placed.push(next);
            }
        }
        for (chosen, pending) in placed {
            let (record, timestamp, memory, promise) = pending.parts();
            let (delivery, _) = self.add_to(now, chosen, timestamp, &record, memory, tools.config);
            promise.moved_to(&delivery);
        }
        self.topics.values().any(Topic::is_waiting)
    }

    /// Fails the records that wait for a topic that can't be had.
    pub(super) fn refuse(&mut self, topic: &str, cause: ProduceCause, memory: &mut Memory) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.fail(cause, memory);
        }
    }

    /// Fails what has waited for too long. Returns when the next record has.
    pub(super) fn expire(&mut self, now: Instant, tools: &mut Tools<'_>) -> Instant {
        let mut next = Instant::NEVER;
        for place in self.active() {
            let expires = self.change(place, |partition| partition.expire(now, tools));
            next = next.min(expires);
        }
        let patience = tools.config.max_block;
        for topic in self.topics.values_mut() {
            next = next.min(topic.expire(now, patience, tools.memory));
        }
        next
    }

    /// Fails everything.
    pub(super) fn abandon(&mut self, cause: ProduceCause, memory: &mut Memory) {
        for partition in &mut self.partitions {
            partition.abandon(cause);
        }
        self.active.clear();
        for topic in self.topics.values_mut() {
            topic.fail(cause, memory);
        }
    }

    /// Topics that records were sent to.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// Places of the partitions that have batches.
    pub(super) fn active(&self) -> Vec<usize> {
        self.active.iter().copied().collect()
    }

    pub(super) fn partition(&self, place: usize) -> &Partition {
        &self.partitions[place]
    }

    /// Changes a partition, and keeps the list of those that have batches.
    pub(super) fn change<T>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut Partition) -> T,
    ) -> T {
        let partition = &mut self.partitions[place];
        let result = change(partition);
        if partition.is_empty() {
            self.active.remove(&place);
        } else {
            self.active.insert(place);
        }
        result
    }

    /// Whether every record has its verdict.
    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty() && !self.topics.values().any(Topic::is_waiting)
    }

    /// To wait for everything that has no verdict yet.
    pub(super) fn unsettled(&self) -> Vec<Settled> {
        let pending = self.topics.values().flat_map(Topic::settled);
        let active = self.active.iter().map(|place| &self.partitions[*place]);
        pending.chain(active.flat_map(Partition::settled)).collect()
    }

    /// Bytes of `buffer.memory` that all records take.
    pub(super) fn memory(&self) -> u64 {
        let waiting: u64 = self.topics.values().map(Topic::memory).sum();
        let batched = self.active.iter().map(|place| self.partitions[*place].memory());
        waiting + batched.sum::<u64>()
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self, config: &ProducerConfig) {
        for (place, partition) in self.partitions.iter().enumerate() {
            let (name, is_active) = (partition.name(), self.active.contains(&place));
            assert_eq!(is_active, !partition.is_empty(), "{name} is active: {is_active}");
            if is_active {
                partition.check(config);
            }
        }
    }
}
