//! One topic that records are sent to: which partition each goes to, and which wait for that.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha12Rng;

use super::delivery::{Delivery, Promise, Settled};
use super::memory::Memory;
use super::partitioner::{Sticky, partition_of};
use super::{Header, ProducerRecord};
use crate::base::{Instant, Timestamp};
use crate::client::ProduceCause;
use crate::client::kernel::KnownTopic;

/// What a record takes besides its key, value and headers, at most: length, attributes, deltas
/// and lengths (KIP-98).
const RECORD_OVERHEAD: usize = 21;

/// What a record takes of `buffer.memory`.
pub(super) fn memory_of(record: &ProducerRecord) -> u64 {
    let len = |field: &Option<bytes::Bytes>| field.as_ref().map_or(0, bytes::Bytes::len);
    let headers: usize =
        record.headers.iter().map(|h: &Header| 10 + h.key.len() + len(&h.value)).sum();
    (RECORD_OVERHEAD + len(&record.key) + len(&record.value) + headers) as u64
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

    fn fail(self, cause: ProduceCause, memory: &mut Memory) {
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

    /// The partition for a record; `None` while the topic or partition is not known.
    fn choose(&mut self, record: &ProducerRecord, random: &mut ChaCha12Rng) -> Option<i32> {
        if self.count == 0 {
            return None;
        }
        let chosen = match (record.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, self.count),
            (None, None) => self.sticky.choose(&self.available, self.count, random),
        };
        let index = usize::try_from(chosen).ok();
        let exists = index.is_some_and(|index| index < self.count);
        (exists || self.places.contains_key(&chosen)).then_some(chosen)
    }

    /// The partition for a new record; `None` also while earlier records wait for theirs.
    pub(super) fn choose_in_turn(
        &mut self,
        record: &ProducerRecord,
        random: &mut ChaCha12Rng,
    ) -> Option<i32> {
        if self.pending.is_empty() { self.choose(record, random) } else { None }
    }

    /// The next waiting record whose partition is known by now. The first that has none yet holds
    /// back those after it, so that they do not overtake it.
    pub(super) fn next_placed(&mut self, random: &mut ChaCha12Rng) -> Option<(i32, Pending)> {
        let first = self.pending.pop_front()?;
        match self.choose(&first.record, random) {
            Some(chosen) => Some((chosen, first)),
            None => {
                self.pending.push_front(first);
                None
            }
        }
    }

    /// The place of a partition, which `add` makes if there is none.
    pub(super) fn place(&mut self, partition: i32, add: impl FnOnce() -> usize) -> usize {
        *self.places.entry(partition).or_insert_with(add)
    }

    /// A record went to a partition.
    pub(super) fn gave(
        &mut self,
        record: &ProducerRecord,
        grown: usize,
        batch_size: usize,
        batch_ended: bool,
    ) {
        if record.partition.is_none() && record.key.is_none() {
            self.sticky.gave(grown, batch_size, batch_ended);
        }
    }

    /// Keeps a record until its partition is known.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        memory: u64,
    ) -> Delivery {
        let promise = Promise::new();
        let delivery = promise.delivery(0, timestamp);
        self.pending.push_back(Pending { record, timestamp, memory, since: now, promise });
        delivery
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Fails the records that wait.
    pub(super) fn fail(&mut self, cause: ProduceCause, memory: &mut Memory) {
        self.pending.drain(..).for_each(|pending| pending.fail(cause, memory));
    }

    /// Fails the records that have waited since before `now - patience`. Returns when the next has.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        patience: std::time::Duration,
        memory: &mut Memory,
    ) -> Instant {
        while let Some(first) = self.pending.front() {
            if first.since + patience > now {
                return first.since + patience;
            }
            if let Some(first) = self.pending.pop_front() {
                first.fail(ProduceCause::UnknownTopic, memory);
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
