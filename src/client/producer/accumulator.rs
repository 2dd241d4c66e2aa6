//! All records that have no verdict yet, by topic and partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ProducerRecord;
use super::delivery::{Delivery, Settled};
use super::memory::Memory;
use super::partition::{Offer, Partition, Tools};
use super::record::upper_bound;
use super::topic::{Choice, Topic};
use crate::base::config::ProducerConfig;
use crate::base::{Instant, Timestamp, TopicPartition};
use crate::client::ProduceCause;

/// What became of a record that was to be added.
#[derive(Debug)]
pub(super) enum Added {
    /// It is in a batch.
    Yes(Delivery),
    /// Its partition is not known, or not yet its turn.
    Unknown,
    /// It has to wait for this much memory.
    NoMemory {
        bytes: u64,
        /// The partition, unless it may go to any.
        partition: Option<i32>,
    },
    /// Its partition is negative.
    Invalid,
}

/// Memory that a record has before it gets into a batch.
#[derive(Clone, Copy)]
enum Owned {
    Nothing,
    /// It waited for it.
    Granted(u64),
    /// It takes it while it waits for its partition.
    Held(u64),
}

/// Topics, and their partitions in the order in which records came for them.
#[derive(Debug, Default)]
pub(super) struct Accumulator {
    topics: BTreeMap<Arc<str>, Topic>,
    partitions: Vec<Partition>,
    /// Places of the partitions that have batches.
    active: BTreeSet<usize>,
}

impl Accumulator {
    /// Adds a record to a batch, unless that is not possible now. `granted`: memory for which it
    /// waited, which is used up unless there is something else to wait for. Also returns when a batch
    /// leaves because of it.
    pub(super) fn add(
        &mut self,
        offer: &Offer<'_>,
        granted: Option<u64>,
        tools: &mut Tools<'_>,
    ) -> (Added, Instant) {
        let ignore_keys = tools.config.ignore_keys;
        let topic = self.topics.get(&offer.record.topic);
        let choice = topic.map_or(Choice::Unknown, |topic| {
            topic.choose_in_turn(offer.record, tools.partitioner, ignore_keys)
        });
        match choice {
            Choice::Unknown => (Added::Unknown, Instant::NEVER),
            Choice::Invalid => (Added::Invalid, Instant::NEVER),
            Choice::This(_) | Choice::Any => {
                let owned = granted.map_or(Owned::Nothing, Owned::Granted);
                self.add_to(offer, choice, owned, tools)
            }
        }
    }

    /// Adds a record to its partition, or to any. Source: Kafka's `RecordAccumulator.append`.
    fn add_to(
        &mut self,
        offer: &Offer<'_>,
        choice: Choice,
        owned: Owned,
        tools: &mut Tools<'_>,
    ) -> (Added, Instant) {
        let Self { topics, partitions, active } = self;
        let Some(topic) = topics.get_mut(&offer.record.topic) else {
            return (Added::Unknown, Instant::NEVER);
        };
        let (batch_size, is_any) = (tools.config.batch_size, choice == Choice::Any);
        let mut leaves = Instant::NEVER;
        loop {
            let chosen = match choice {
                Choice::This(chosen) => chosen,
                _ => any_partition(topic, partitions, offer, tools),
            };
            let place = topic.place(chosen, || {
                let name = TopicPartition::new(Arc::clone(&offer.record.topic), chosen);
                partitions.push(Partition::new(name));
                partitions.len() - 1
            });
            let partition = &mut partitions[place];
            if is_any && partition.is_full() && topic.batch_is_full(batch_size) {
                continue;
            }
            let was_open = !partition.is_full();
            // A record that waited brings memory, which its batch may lack.
            let spare = if let Owned::Held(bytes) = owned { bytes } else { 0 };
            let (delivery, grown) = match partition.try_add(offer, spare, batch_size as u64) {
                Some((delivery, grown, used)) => {
                    match owned {
                        Owned::Nothing => {}
                        Owned::Granted(bytes) => tools.memory.give_back(bytes),
                        Owned::Held(bytes) => tools.memory.release(bytes - used),
                    }
                    (delivery, grown)
                }
                None => {
                    if was_open {
                        leaves = offer.now;
                    }
                    if is_any && topic.batch_is_full(batch_size) {
                        continue;
                    }
                    let wanted = offer.most.max(batch_size) as u64;
                    let Some(memory) = take(tools.memory, owned, wanted) else {
                        let partition = (!is_any).then_some(chosen);
                        return (Added::NoMemory { bytes: wanted, partition }, leaves);
                    };
                    active.insert(place);
                    leaves = leaves.min(offer.now + tools.config.linger);
                    partition.add_batch(offer, memory, (tools.config, tools.ratios))
                }
            };
            if partition.is_full() {
                leaves = offer.now;
            }
            if is_any {
                topic.gave(grown, batch_size, partition.is_full());
            }
            return (Added::Yes(delivery), leaves);
        }
    }

    /// Keeps a record, which was sent at `since`, until its partition is known.
    pub(super) fn wait(
        &mut self,
        since: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        memory: u64,
    ) -> Delivery {
        let topic = self.topics.entry(Arc::clone(&record.topic)).or_default();
        topic.wait(since, timestamp, record, memory)
    }

    /// Takes over new metadata: records that waited for it get their places, as far as it allows.
    /// Returns whether some still wait.
    pub(super) fn update(&mut self, now: Instant, tools: &mut Tools<'_>) -> bool {
        let ignore_keys = tools.config.ignore_keys;
        for name in self.topics.keys().cloned().collect::<Vec<_>>() {
            if let Some(topic) = self.topics.get_mut(&name) {
                topic.update(tools.kernel.cluster().topic(&name));
            }
            while let Some((choice, pending)) = self
                .topics
                .get_mut(&name)
                .and_then(|topic| topic.next_placed(tools.partitioner, ignore_keys))
            {
                tools.metrics.metadata_waited(pending.waited(now));
                if choice == Choice::Invalid {
                    tools.metrics.refused(now);
                    pending.fail(ProduceCause::InvalidPartition, tools.memory);
                    continue;
                }
                let (record, timestamp, memory, promise) = pending.parts();
                let most = upper_bound(&record);
                let offer = Offer { now, timestamp, record: &record, most };
                let added = self.add_to(&offer, choice, Owned::Held(memory), tools).0;
                // What has memory gets into a batch.
                let Added::Yes(delivery) = added else { continue };
                promise.moved_to(&delivery);
            }
        }
        self.topics.values().any(Topic::is_waiting)
    }

    /// Fails the records that wait for a topic that can't be had.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        name: &str,
        cause: ProduceCause,
        tools: &mut Tools<'_>,
    ) {
        if let Some(topic) = self.topics.get_mut(name) {
            for pending in topic.waiting() {
                tools.metrics.metadata_waited(pending.waited(now));
                tools.metrics.refused(now);
            }
            if topic.is_waiting() {
                let nowhere = TopicPartition::new(Arc::from(name), -1);
                tools.identity.record_failed(&nowhere, cause, false);
            }
            topic.fail(cause, tools.memory);
        }
    }

    /// Fails what has waited for too long. Returns when the next record has.
    pub(super) fn expire(&mut self, now: Instant, tools: &mut Tools<'_>) -> Instant {
        let mut next = Instant::NEVER;
        for place in self.active() {
            let expires = self.change(place, |partition| partition.expire(now, tools));
            next = next.min(expires);
        }
        for (name, topic) in &mut self.topics {
            next = next.min(topic.expire(now, name, tools));
        }
        next
    }

    /// Fails what its transaction or the whole producer gives up: what was never sent, or `all`.
    pub(super) fn drop_records(
        &mut self,
        now: Instant,
        cause: ProduceCause,
        all: bool,
        tools: &mut Tools<'_>,
    ) {
        for place in self.active() {
            self.change(place, |partition| match all {
                true => partition.drop_all(now, cause, tools),
                false => partition.drop_fresh(now, cause, tools),
            });
        }
        for topic in self.topics.values_mut() {
            topic.waiting().for_each(|_| tools.metrics.refused(now));
            topic.fail(cause, tools.memory);
        }
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

/// The partition that takes any record of a topic now.
fn any_partition(
    topic: &mut Topic,
    partitions: &[Partition],
    offer: &Offer<'_>,
    tools: &mut Tools<'_>,
) -> i32 {
    if let Some(chosen) = topic.chosen() {
        return chosen;
    }
    let queues = tools.config.adaptive_partitioning.then(|| {
        topic.queues(|place| {
            let partition = &partitions[place];
            let length = partition.queued();
            let leader = tools.kernel.cluster().leader(partition.name());
            let is_slow =
                leader.is_some_and(|(broker, _)| tools.availability.is_slow(offer.now, broker));
            (length == 0 || !is_slow).then_some(length)
        })
    });
    topic.any(queues.flatten().as_ref(), tools.kernel.random())
}

/// Memory for a batch of up to `wanted` bytes; `None`: its first record has to wait for it.
fn take(memory: &mut Memory, owned: Owned, wanted: u64) -> Option<u64> {
    match owned {
        Owned::Nothing => memory.try_take(wanted).then_some(wanted),
        Owned::Granted(bytes) => {
            memory.take_reserved(bytes);
            Some(bytes)
        }
        Owned::Held(bytes) => Some(memory.grow(bytes, wanted)),
    }
}
