//! From a record to its place in a batch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::batch::{Batch, header_refs};
use super::core::{Core, Partition};
use super::delivery::{Delivery, Promise, Settled};
use super::numbering::Sequences;
use super::partitioner::{Sticky, partition_of};
use super::{Header, ProducerRecord};
use crate::base::{Instant, Timestamp, TopicPartition};
use crate::client::ProduceCause;
use crate::wire::batch::{BatchBuilder, HEADER_LEN};

/// What a record takes besides its key, value and headers, at most: length, attributes, deltas
/// and lengths (KIP-98).
const RECORD_OVERHEAD: usize = 21;

/// One topic that records were sent to.
#[derive(Debug, Default)]
pub(super) struct Topic {
    /// Places in the list of partitions, by index.
    partitions: BTreeMap<i32, usize>,
    /// Partitions that the topic has; 0: not known.
    count: usize,
    /// Those of them that have a leader.
    available: Vec<i32>,
    sticky: Sticky,
    /// Records that wait until the topic and partition are known.
    pub(super) pending: VecDeque<Pending>,
}

/// A record whose place is not known yet.
#[derive(Debug)]
pub(super) struct Pending {
    record: ProducerRecord,
    timestamp: Timestamp,
    memory: u64,
    since: Instant,
    pub(super) promise: Promise,
}

/// Whether a record could be taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// It was, or was refused for good: its verdict will come.
    Yes(Delivery),
    /// `buffer.memory` is exhausted.
    NoMemory(ProducerRecord),
}

/// What a record takes of `buffer.memory`.
pub(super) fn memory_of(record: &ProducerRecord) -> u64 {
    let len = |field: &Option<bytes::Bytes>| field.as_ref().map_or(0, bytes::Bytes::len);
    let headers: usize =
        record.headers.iter().map(|h: &Header| 10 + h.key.len() + len(&h.value)).sum();
    (RECORD_OVERHEAD + len(&record.key) + len(&record.value) + headers) as u64
}

impl Core {
    /// Takes a record. `reserved` bytes of memory are already taken for it, or none.
    pub(super) fn append(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        reserved: bool,
    ) -> Taken {
        let memory = memory_of(&record);
        if self.closing {
            return self.refuse(memory, reserved, ProduceCause::Closed);
        }
        let size = usize::try_from(memory).unwrap_or(usize::MAX).saturating_add(HEADER_LEN);
        if size > self.config.max_request_size || !self.memory.could_hold(memory) {
            return self.refuse(memory, reserved, ProduceCause::RecordTooLarge);
        }
        if !reserved && !self.memory.try_take(memory) {
            return Taken::NoMemory(record);
        }
        if let Some(index) = self.place(&record) {
            return Taken::Yes(self.add(now, index, timestamp, &record, memory));
        }
        self.kernel.want_metadata_unless_asked();
        self.wake = now;
        let promise = Promise::new();
        let delivery = promise.delivery(0, timestamp);
        let name = Arc::clone(&record.topic);
        let pending = Pending { record, timestamp, memory, since: now, promise };
        self.topics.entry(name).or_default().pending.push_back(pending);
        Taken::Yes(delivery)
    }

    fn refuse(&mut self, memory: u64, reserved: bool, cause: ProduceCause) -> Taken {
        if reserved {
            self.memory.release(memory);
        }
        Taken::Yes(Delivery::refused(cause))
    }

    /// The partition for a record; `None` while the topic or partition is not known, or while
    /// earlier records wait for that.
    fn place(&mut self, record: &ProducerRecord) -> Option<usize> {
        let topic = self.topics.get_mut(&record.topic)?;
        if !topic.pending.is_empty() {
            return None;
        }
        place_in(topic, &mut self.partitions, record, self.kernel.random())
    }

    /// Adds a record to the last batch of a partition, or to a new one.
    fn add(
        &mut self,
        now: Instant,
        index: usize,
        timestamp: Timestamp,
        record: &ProducerRecord,
        memory: u64,
    ) -> Delivery {
        let headers = header_refs(&record.headers);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let limit = self.config.batch_size;
        let partition = &mut self.partitions[index];
        let mut batch_ended = false;
        if let Some(last) = partition.fresh.back_mut()
            && let Some(builder) = last.builder()
            && builder.estimated_size_with(timestamp, key, value, &headers) > limit
        {
            last.closed = true;
            batch_ended = true;
        }
        if partition.fresh.back().is_none_or(|last| last.closed) {
            let builder = BatchBuilder::new(self.config.compression, timestamp)
                .at_level(self.config.compression_level());
            partition.fresh.push_back(Batch::new(builder, now));
            let lingers = if batch_ended { now } else { now + self.config.linger };
            self.wake = self.wake.min(lingers);
            self.active.insert(index);
        }
        let Some(batch) = partition.fresh.back_mut() else { unreachable!("one was just added") };
        let Some(builder) = batch.builder() else { unreachable!("it is open") };
        let before = builder.estimated_size();
        let place = builder.append(timestamp, key, value, &headers);
        let size = builder.estimated_size();
        batch.count += 1;
        batch.memory += memory;
        let delivery = batch.promise.delivery(place as u32, timestamp);
        if size >= limit {
            batch.closed = true;
            batch_ended = true;
            self.wake = now;
        }
        if record.partition.is_none()
            && record.key.is_none()
            && let Some(topic) = self.topics.get_mut(&record.topic)
        {
            topic.sticky.gave(size - before, limit, batch_ended);
        }
        delivery
    }

    /// Gives the records that waited for metadata their places, as far as it allows.
    pub(super) fn place_pending(&mut self, now: Instant) {
        let mut placed = Vec::new();
        for (name, topic) in &mut self.topics {
            let known = self.kernel.cluster().topic(name).map(|known| &known.partitions);
            topic.count = known.map_or(0, BTreeMap::len);
            topic.available.clear();
            let led = known.into_iter().flatten().filter(|(_, led)| led.leader.is_some());
            topic.available.extend(led.map(|(index, _)| *index));
            // The first that has no place yet holds back those after it, lest they overtake it.
            while let Some(first) = topic.pending.pop_front() {
                match place_in(topic, &mut self.partitions, &first.record, self.kernel.random()) {
                    Some(index) => placed.push((index, first)),
                    None => {
                        topic.pending.push_front(first);
                        break;
                    }
                }
            }
        }
        for (index, pending) in placed {
            let Pending { record, timestamp, memory, promise, .. } = pending;
            let delivery = self.add(now, index, timestamp, &record, memory);
            promise.moved_to(&delivery);
        }
        let waits = self.topics.values().any(|topic| !topic.pending.is_empty());
        if waits {
            self.kernel.want_metadata();
        }
    }

    /// Fails the records that wait for a topic that can't be had.
    pub(super) fn fail_pending(&mut self, topic: &str, cause: ProduceCause) {
        let Some(topic) = self.topics.get_mut(topic) else { return };
        for pending in topic.pending.drain(..) {
            self.memory.release(pending.memory);
            pending.promise.failed(cause);
        }
    }

    /// Fails the records that have waited too long for metadata.
    pub(super) fn expire_pending(&mut self, now: Instant) {
        let patience = self.config.max_block;
        for topic in self.topics.values_mut() {
            while let Some(first) = topic.pending.front() {
                if first.since + patience > now {
                    self.wake = self.wake.min(first.since + patience);
                    break;
                }
                let Some(first) = topic.pending.pop_front() else { break };
                self.memory.release(first.memory);
                first.promise.failed(ProduceCause::UnknownTopic);
            }
        }
    }

    /// Everything that has no verdict yet.
    pub(super) fn unsettled(&self) -> Vec<Settled> {
        let pending = self.topics.values().flat_map(|topic| &topic.pending);
        let batches = self.active.iter().filter_map(|index| self.partitions.get(*index));
        let batches = batches.flat_map(|partition| partition.sent.iter().chain(&partition.fresh));
        let pending = pending.map(|pending| pending.promise.settled());
        pending.chain(batches.map(|batch| batch.promise.settled())).collect()
    }
}

fn place_in(
    topic: &mut Topic,
    partitions: &mut Vec<Partition>,
    record: &ProducerRecord,
    random: &mut rand_chacha::ChaCha12Rng,
) -> Option<usize> {
    if topic.count == 0 {
        return None;
    }
    let chosen = match (record.partition, &record.key) {
        (Some(partition), _) => partition,
        (None, Some(key)) => partition_of(key, topic.count),
        (None, None) => topic.sticky.choose(&topic.available, topic.count, random),
    };
    if let Some(index) = topic.partitions.get(&chosen) {
        return Some(*index);
    }
    usize::try_from(chosen).ok().filter(|chosen| *chosen < topic.count)?;
    partitions.push(Partition {
        name: TopicPartition::new(Arc::clone(&record.topic), chosen),
        sent: VecDeque::new(),
        fresh: VecDeque::new(),
        sequences: Sequences::default(),
    });
    topic.partitions.insert(chosen, partitions.len() - 1);
    Some(partitions.len() - 1)
}
