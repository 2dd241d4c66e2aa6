//! One topic that records are sent to: which partition each goes to, and which wait for that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use super::ProducerRecord;
use super::delivery::{Delivery, Promise, Settled};
use super::memory::Memory;
use super::partition::Tools;
use super::partitioner::{Partitioner, Partitions, Queues, Sticky, partition_of};
use crate::base::{Instant, Timestamp, TopicPartition};
use crate::client::ProduceCause;
use crate::client::kernel::KnownTopic;

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// To this partition, which exists.
    This(i32),
    /// To any: see [`Sticky`].
    Any,
    /// The topic or partition is not known yet.
    Unknown,
    /// Nowhere: the partition is negative.
    Invalid,
}

/// One topic that records were sent to.
#[derive(Debug, Default)]
pub(super) struct Topic {
    /// Places in the accumulator's list of partitions, by index.
    places: BTreeMap<i32, usize>,
    /// Partitions that the topic has; 0: not known.
    count: usize,
    /// Those of them that have a leader.
    available: Vec<i32>,
    sticky: Sticky,
    /// Records that wait until the topic and partition are known.
    pending: VecDeque<Pending>,
}

/// A record whose partition is not known yet.
#[derive(Debug)]
pub(super) struct Pending {
    record: ProducerRecord,
    timestamp: Timestamp,
    memory: u64,
    since: Instant,
    promise: Promise,
}

impl Pending {
    pub(super) fn parts(self) -> (ProducerRecord, Timestamp, u64, Promise) {
        (self.record, self.timestamp, self.memory, self.promise)
    }

    /// How long it has waited.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    pub(super) fn fail(self, cause: ProduceCause, memory: &mut Memory) {
        memory.release(self.memory);
        self.promise.failed(cause);
    }
}

impl Topic {
    /// Takes over what metadata says of it.
    pub(super) fn update(&mut self, known: Option<&KnownTopic>) {
        let partitions = known.map(|known| &known.partitions);
        self.count = partitions.map_or(0, BTreeMap::len);
        self.available.clear();
        let led = partitions.into_iter().flatten().filter(|(_, led)| led.leader.is_some());
        self.available.extend(led.map(|(index, _)| *index));
    }

    /// Where a record goes.
    fn choose(
        &self,
        record: &ProducerRecord,
        partitioner: &mut Option<Box<dyn Partitioner>>,
        ignore_keys: bool,
    ) -> Choice {
        if record.partition.is_some_and(|partition| partition < 0) {
            return Choice::Invalid;
        }
        if self.count == 0 {
            return Choice::Unknown;
        }
        let chosen = match (record.partition, partitioner, &record.key) {
            (Some(partition), ..) => partition,
            (None, Some(partitioner), _) => partitioner.partition(record, self.partitions()),
            (None, None, Some(key)) if !ignore_keys => partition_of(key, self.count),
            (None, None, _) => return Choice::Any,
        };
        match usize::try_from(chosen) {
            Err(_) => Choice::Invalid,
            Ok(index) if index < self.count || self.places.contains_key(&chosen) => {
                Choice::This(chosen)
            }
            Ok(_) => Choice::Unknown,
        }
    }

    /// Where a new record goes; `Unknown` also while earlier records wait for their partition.
    pub(super) fn choose_in_turn(
        &self,
        record: &ProducerRecord,
        partitioner: &mut Option<Box<dyn Partitioner>>,
        ignore_keys: bool,
    ) -> Choice {
        match self.pending.is_empty() {
            true => self.choose(record, partitioner, ignore_keys),
            false if record.partition.is_some_and(|partition| partition < 0) => Choice::Invalid,
            false => Choice::Unknown,
        }
    }

    /// The next waiting record whose partition is known by now. The first that has none yet holds
    /// back those after it, so that they do not overtake it.
    pub(super) fn next_placed(
        &mut self,
        partitioner: &mut Option<Box<dyn Partitioner>>,
        ignore_keys: bool,
    ) -> Option<(Choice, Pending)> {
        let choice = self.choose(&self.pending.front()?.record, partitioner, ignore_keys);
        if choice == Choice::Unknown {
            return None;
        }
        Some((choice, self.pending.pop_front()?))
    }

    fn partitions(&self) -> Partitions<'_> {
        Partitions { count: self.count, available: &self.available }
    }

    /// The partition that takes records which may go to any; chooses another one, by `queues`, if that
    /// is due.
    pub(super) fn any(&mut self, queues: Option<&Queues>, random: &mut ChaCha12Rng) -> i32 {
        let partitions = Partitions { count: self.count, available: &self.available };
        match self.chosen() {
            Some(chosen) => chosen,
            None => self.sticky.choose(partitions, queues, random),
        }
    }

    /// The partition that takes any record, if it is chosen and still exists.
    pub(super) fn chosen(&self) -> Option<i32> {
        let exists = |chosen: &i32| usize::try_from(*chosen).is_ok_and(|nth| nth < self.count);
        self.sticky.chosen().filter(exists)
    }

    /// The batch that takes any record is full. Returns whether another partition is to be chosen.
    pub(super) fn batch_is_full(&mut self, batch_size: usize) -> bool {
        let has_enough = self.sticky.has_enough(batch_size);
        if has_enough {
            self.sticky.switch();
        }
        has_enough
    }

    /// The batches that wait in each partition; `None` if some partition never had one (KIP-794).
    pub(super) fn queues(&self, length: impl Fn(usize) -> Option<usize>) -> Option<Queues> {
        if self.count < 2 || self.places.len() < self.count {
            return None;
        }
        let led = self.places.iter().filter(|(index, _)| self.available.contains(index));
        let lengths = led.filter_map(|(index, place)| Some((*index, length(*place)?)));
        Some(Queues::new(lengths.collect(), self.places.len()))
    }

    /// The place of a partition, which `add` makes if there is none.
    pub(super) fn place(&mut self, partition: i32, add: impl FnOnce() -> usize) -> usize {
        *self.places.entry(partition).or_insert_with(add)
    }

    /// A record that may go to any partition got into a batch.
    pub(super) fn gave(&mut self, grown: usize, batch_size: usize, batch_ended: bool) {
        self.sticky.gave(grown, batch_size, batch_ended);
    }

    /// Keeps a record, which was sent at `since`, until its partition is known.
    pub(super) fn wait(
        &mut self,
        since: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        memory: u64,
    ) -> Delivery {
        let promise = Promise::new();
        let delivery = promise.delivery(0, timestamp);
        self.pending.push_back(Pending { record, timestamp, memory, since, promise });
        delivery
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Fails the records that wait.
    pub(super) fn fail(&mut self, cause: ProduceCause, memory: &mut Memory) {
        self.pending.drain(..).for_each(|pending| pending.fail(cause, memory));
    }

    /// The records that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    /// Fails the records that have waited since before `now - patience`. Returns when the next has.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        name: &Arc<str>,
        tools: &mut Tools<'_>,
    ) -> Instant {
        let patience = tools.config.max_block;
        while let Some(first) = self.pending.front() {
            if first.since + patience > now {
                return first.since + patience;
            }
            if let Some(first) = self.pending.pop_front() {
                tools.metrics.metadata_waited(first.waited(now));
                tools.metrics.refused(now);
                let nowhere = TopicPartition::new(Arc::clone(name), -1);
                tools.identity.record_failed(&nowhere, ProduceCause::UnknownTopic, false);
                first.fail(ProduceCause::UnknownTopic, tools.memory);
            }
        }
        Instant::NEVER
    }

    /// Bytes of `buffer.memory` that waiting records take.
    pub(super) fn memory(&self) -> u64 {
        self.pending.iter().map(|pending| pending.memory).sum()
    }

    pub(super) fn settled(&self) -> impl Iterator<Item = Settled> {
        self.pending.iter().map(|pending| pending.promise.settled())
    }
}
