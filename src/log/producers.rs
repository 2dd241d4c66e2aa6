//! The state of idempotent producers (KIP-98, KIP-360): it detects duplicate batches, and batches
//! that are out of order. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::AppendError;
use super::verification::is_past;
use crate::base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::wire::batch::{BatchHeader, add_to_sequence};

/// Batches remembered per producer: as many as a producer may have in flight (KAFKA-5494).
pub(crate) const REMEMBERED: usize = 5;

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub last_sequence: i32,
    pub last_offset: Offset,
    /// Last offset less first.
    pub offset_delta: i32,
    pub timestamp: Timestamp,
}

impl Remembered {
    fn of(header: &BatchHeader) -> Self {
        Self {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    fn base_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// One idempotent producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// Its last batches in that epoch, oldest first.
    pub batches: VecDeque<Remembered>,
    /// Of its last batch, by its own clock.
    pub last_timestamp: Timestamp,
    /// Epoch of the coordinator that ended its last transaction; -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub transaction_start: Option<Offset>,
}

impl Producer {
    pub(super) fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            last_timestamp: Timestamp::NONE,
            coordinator_epoch: -1,
            transaction_start: None,
        }
    }

    /// Where an earlier batch is that this one repeats, among the last `window`.
    pub(super) fn duplicate_of(&self, header: &BatchHeader, window: usize) -> Option<Duplicate> {
        let same = |batch: &&Remembered| {
            batch.last_sequence == header.last_sequence()
                && batch.offset_delta == header.last_offset_delta
        };
        let remembered = self.batches.iter().rev().take(window).find(same);
        let earlier = remembered.filter(|_| self.epoch == header.producer_epoch)?;
        Some(Duplicate { base: earlier.base_offset(), end: earlier.last_offset.next() })
    }

    /// Whether a batch is of this epoch or a newer one.
    pub(super) fn check_epoch(&self, header: &BatchHeader) -> Result<(), AppendError> {
        if header.producer_epoch < self.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer: header.producer_id,
                current: self.epoch,
                found: header.producer_epoch,
            });
        }
        Ok(())
    }

    /// Whether a batch is the one that has to come next.
    pub(super) fn check_sequence(&self, header: &BatchHeader) -> Result<(), AppendError> {
        self.check_epoch(header)?;
        let last = self.batches.back().filter(|_| header.producer_epoch == self.epoch);
        let expected = last.map_or(0, |last| add_to_sequence(last.last_sequence, 1));
        if header.base_sequence == expected {
            return Ok(());
        }
        Err(AppendError::OutOfOrderSequence {
            producer: header.producer_id,
            epoch: header.producer_epoch,
            expected,
            found: header.base_sequence,
        })
    }

    /// While a transaction is open, its producer writes nothing outside of it.
    pub(super) fn check_transaction(&self, header: &BatchHeader) -> Result<(), AppendError> {
        let outside = !header.is_transactional() && self.transaction_start.is_some();
        match outside {
            true => Err(AppendError::OutsideTransaction { producer: header.producer_id }),
            false => Ok(()),
        }
    }

    /// Whether the coordinator that ends a transaction is the newest that did; `None` where a cleaner
    /// took the record that says it.
    pub(super) fn check_coordinator(
        &self,
        header: &BatchHeader,
        coordinator: Option<i32>,
    ) -> Result<(), AppendError> {
        let (producer, current) = (header.producer_id, self.coordinator_epoch);
        match coordinator.filter(|found| *found < current) {
            Some(found) => Err(AppendError::CoordinatorFenced { producer, current, found }),
            None => Ok(()),
        }
    }

    /// Returns the transaction that ends, if one does.
    pub(super) fn apply(&mut self, header: &BatchHeader) -> Option<Ended> {
        if header.producer_epoch != self.epoch {
            self.epoch = header.producer_epoch;
            self.batches.clear();
        }
        self.last_timestamp = header.max_timestamp;
        if header.is_control() {
            // A marker ends the transaction; it has no sequence number.
            let (producer, marker) = (header.producer_id, header.last_offset());
            return self.transaction_start.take().map(|first| Ended { producer, first, marker });
        }
        if self.batches.len() == REMEMBERED {
            self.batches.pop_front();
        }
        self.batches.push_back(Remembered::of(header));
        if header.is_transactional() && self.transaction_start.is_none() {
            self.transaction_start = Some(header.base_offset);
        }
        None
    }

    fn is_expired(&self, now: Timestamp, after: Duration) -> bool {
        self.transaction_start.is_none() && is_past(self.last_timestamp, now, after)
    }
}

/// All idempotent producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    known: BTreeMap<ProducerId, Producer>,
    /// Open transactions by where they begin: the first one bounds what `read_committed` may see.
    open: BTreeSet<(Offset, ProducerId)>,
}

/// Where an earlier batch is, of which another is a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
}

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) producer: ProducerId,
    /// Its first record.
    pub(crate) first: Offset,
    pub(crate) marker: Offset,
}

/// By what a producer is still known in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastRecord {
    pub(crate) epoch: ProducerEpoch,
    /// Last offset of its last batch; none when only a marker tells its epoch.
    pub(crate) data: Option<Offset>,
}

impl Producers {
    /// One producer, if it is remembered.
    pub fn get(&self, id: ProducerId) -> Option<&Producer> {
        self.known.get(&id)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Producer)> {
        self.known.iter().map(|(id, producer)| (*id, producer))
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn insert(&mut self, id: ProducerId, producer: Producer) {
        let start = producer.transaction_start;
        let before = self.known.insert(id, producer).and_then(|before| before.transaction_start);
        self.moved(id, before, start);
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.open.clear();
    }

    /// Remembers a batch that is in the log; returns which transaction it ends, if it does.
    pub(crate) fn apply(&mut self, header: &BatchHeader) -> Option<Ended> {
        if !header.has_producer() {
            return None;
        }
        let (id, fresh) = (header.producer_id, || Producer::new(header.producer_epoch));
        let producer = self.known.entry(id).or_insert_with(fresh);
        let before = producer.transaction_start;
        let ended = producer.apply(header);
        let after = producer.transaction_start;
        self.moved(id, before, after);
        ended
    }

    /// A producer's transaction began or ended.
    fn moved(&mut self, id: ProducerId, before: Option<Offset>, after: Option<Offset>) {
        if before != after {
            before.map(|start| self.open.remove(&(start, id)));
            after.map(|start| self.open.insert((start, id)));
        }
    }

    /// Remembers the coordinator that wrote a producer's last marker.
    pub(crate) fn note_coordinator(&mut self, id: ProducerId, epoch: i32) {
        if let Some(producer) = self.known.get_mut(&id) {
            producer.coordinator_epoch = producer.coordinator_epoch.max(epoch);
        }
    }

    /// Asserts what must hold of a producer whose batch was appended to a log that ends at `end`.
    pub(super) fn assert_remembers(&self, header: &BatchHeader, end: Offset) {
        let id = header.producer_id;
        let Some(producer) = self.known.get(&id) else { panic!("producer {id} was forgotten") };
        let batches = producer.batches.len();
        assert!(batches <= REMEMBERED, "{batches} batches of producer {id} are remembered");
        if let Some(last) = producer.batches.back().map(|last| last.last_offset) {
            assert!(last < end, "producer {id} has a batch up to {last}, the log ends at {end}");
        }
        if let Some(start) = producer.transaction_start {
            let known = self.open.contains(&(start, id));
            assert!(known, "the transaction of producer {id} at {start} is not in the index");
        }
    }

    /// Where the oldest open transaction begins.
    pub fn first_open_transaction(&self) -> Option<Offset> {
        self.open.first().map(|(start, _)| *start)
    }

    /// The last that is in the log of each producer: what a cleaner has to leave.
    pub(crate) fn last_records(&self) -> BTreeMap<ProducerId, LastRecord> {
        let last = |producer: &Producer| LastRecord {
            epoch: producer.epoch,
            data: producer.batches.back().map(|batch| batch.last_offset),
        };
        self.known.iter().map(|(id, producer)| (*id, last(producer))).collect()
    }

    /// Takes over earlier batches that `seen` in the log knows of producers whose last one is the
    /// same.
    pub(crate) fn complete_from(&mut self, seen: &Self) {
        for (id, producer) in &mut self.known {
            if let Some(other) = seen.known.get(id)
                && other.epoch == producer.epoch
                && other.batches.back() == producer.batches.back()
            {
                producer.batches.clone_from(&other.batches);
            }
        }
    }

    /// Forgets producers that have been silent for too long.
    pub(crate) fn expire(&mut self, now: Timestamp, after: Duration) {
        self.known.retain(|_, producer| !producer.is_expired(now, after));
    }

    /// Since when the producer is silent that expires first. One whose transaction is open does not.
    pub(crate) fn longest_silent(&self) -> Option<Timestamp> {
        let idle = self.known.values().filter(|producer| producer.transaction_start.is_none());
        idle.map(|producer| producer.last_timestamp).min()
    }

    /// Forgets producers whose last batch is below `start`, as Kafka did before KIP-360.
    pub(crate) fn forget_below(&mut self, start: Offset) {
        self.known.retain(|_, producer| {
            let last = producer.batches.back().map(|last| last.last_offset);
            producer.transaction_start.is_some() || last.is_none_or(|last| last >= start)
        });
    }
}
