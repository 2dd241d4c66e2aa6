//! The state of idempotent producers (KIP-98, KIP-360): it detects duplicate batches, and batches
//! that are out of order. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::AppendError;
use crate::base::{Flaw, Flaws, Offset, ProducerEpoch, ProducerId, Timestamp};
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
    fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            last_timestamp: Timestamp::NONE,
            coordinator_epoch: -1,
            transaction_start: None,
        }
    }

    fn duplicate_of(&self, header: &BatchHeader, window: usize) -> Option<&Remembered> {
        let same = |batch: &&Remembered| {
            batch.last_sequence == header.last_sequence()
                && batch.offset_delta == header.last_offset_delta
        };
        self.batches
            .iter()
            .rev()
            .take(window)
            .find(same)
            .filter(|_| self.epoch == header.producer_epoch)
    }

    /// What has to come next, unless everything may.
    fn check(&self, header: &BatchHeader) -> Result<(), AppendError> {
        if header.producer_epoch < self.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer: header.producer_id,
                current: self.epoch,
                found: header.producer_epoch,
            });
        }
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

    /// Returns the transaction that ends, if one does.
    fn apply(&mut self, header: &BatchHeader) -> Option<Ended> {
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
        let silent = i128::from(now.0) - i128::from(self.last_timestamp.0);
        self.transaction_start.is_none()
            && u128::try_from(silent).is_ok_and(|silent| silent >= after.as_millis())
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

    /// Whether a client may append these batches. A producer that is not remembered may begin
    /// with any sequence number (KIP-360): its earlier batches may be gone by retention.
    pub(crate) fn check(
        &self,
        batches: &[BatchHeader],
        flaws: Flaws,
    ) -> Result<Option<Duplicate>, AppendError> {
        let window = if flaws.has(Flaw::OneBatchWindow) { 1 } else { REMEMBERED };
        let mut seen: BTreeMap<ProducerId, Producer> = BTreeMap::new();
        for (index, header) in batches.iter().enumerate().filter(|(_, h)| h.has_producer()) {
            let id = header.producer_id;
            let current = seen.get(&id).or_else(|| self.known.get(&id));
            if let Some(producer) = current {
                if let Some(earlier) = producer.duplicate_of(header, window) {
                    let (base, end) = (earlier.base_offset(), earlier.last_offset.next());
                    return Ok(Some(Duplicate { base, end }));
                }
                if !flaws.has(Flaw::AnySequence) {
                    producer.check(header)?;
                }
            }
            if index + 1 < batches.len() {
                let mut after = current.cloned().unwrap_or(Producer::new(header.producer_epoch));
                after.apply(header);
                seen.insert(id, after);
            }
        }
        Ok(None)
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

    /// Whether a coordinator may append a batch for a producer. Sequence numbers are the
    /// coordinator's own business; a newer epoch of the producer, or of its transaction
    /// coordinator, fences the batch. `marker` is the coordinator epoch of a marker.
    pub(crate) fn check_decided(
        &self,
        header: &BatchHeader,
        marker: Option<i32>,
    ) -> Result<(), AppendError> {
        let id = header.producer_id;
        let Some(known) = self.known.get(&id).filter(|_| header.has_producer()) else {
            return Ok(());
        };
        if header.producer_epoch < known.epoch {
            let (current, found) = (known.epoch, header.producer_epoch);
            return Err(AppendError::InvalidProducerEpoch { producer: id, current, found });
        }
        let current = known.coordinator_epoch;
        match marker.filter(|found| *found < current) {
            Some(found) => Err(AppendError::CoordinatorFenced { producer: id, current, found }),
            None => Ok(()),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Compression;
    use crate::wire::batch::BatchBuilder;

    /// A batch of `count` records that begins with `sequence`, at the offset `base`.
    fn batch(epoch: i16, sequence: i32, count: i32, base: i64) -> BatchHeader {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(1000));
        for _ in 0..count {
            builder.append(Timestamp(1000), None, Some(b"v"), &[]);
        }
        let bytes = builder.finish(ProducerId(7), ProducerEpoch(epoch), sequence);
        BatchHeader { base_offset: Offset(base), ..BatchHeader::parse(&bytes).unwrap() }
    }

    fn after(batches: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        batches.iter().for_each(|header| {
            producers.apply(header);
        });
        producers
    }

    fn expected_by(producers: &Producers, header: BatchHeader) -> i32 {
        match producers.check(&[header], Flaws::default()) {
            Err(AppendError::OutOfOrderSequence { expected, .. }) => expected,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn last_five_batches_are_duplicates_the_sixth_is_out_of_order() {
        let batches: Vec<_> =
            (0..6).map(|i| batch(0, i * 10, 10, 100 + i64::from(i) * 10)).collect();
        let producers = after(&batches);
        for header in &batches[1..] {
            let found = producers.check(&[*header], Flaws::default()).unwrap().unwrap();
            assert_eq!((found.base, found.end), (header.base_offset, header.next_offset()));
        }
        assert_eq!(expected_by(&producers, batches[0]), 60);
    }

    #[test]
    fn gap_is_out_of_order_and_what_follows_is_welcome() {
        let producers = after(&[batch(0, 0, 10, 0)]);
        assert_eq!(producers.check(&[batch(0, 10, 1, 10)], Flaws::default()).unwrap(), None);
        assert_eq!(expected_by(&producers, batch(0, 11, 1, 10)), 10);
        assert_eq!(expected_by(&producers, batch(0, 5, 5, 10)), 10, "part of an earlier batch");
    }

    #[test]
    fn new_epoch_begins_at_zero_and_fences_the_old_one() {
        let producers = after(&[batch(3, 0, 10, 0)]);
        assert_eq!(expected_by(&producers, batch(4, 10, 1, 10)), 0);
        assert_eq!(producers.check(&[batch(4, 0, 1, 10)], Flaws::default()).unwrap(), None);
        let fenced = producers.check(&[batch(2, 10, 1, 10)], Flaws::default());
        assert!(matches!(fenced, Err(AppendError::InvalidProducerEpoch { .. })), "{fenced:?}");
        let next = after(&[batch(3, 0, 10, 0), batch(4, 0, 1, 10)]);
        assert!(
            next.check(&[batch(3, 0, 10, 0)], Flaws::default()).is_err(),
            "not taken for a duplicate"
        );
    }

    #[test]
    fn unknown_producer_may_begin_anywhere() {
        assert_eq!(
            Producers::default().check(&[batch(5, 123, 1, 0)], Flaws::default()).unwrap(),
            None
        );
    }

    #[test]
    fn after_the_largest_sequence_number_comes_zero() {
        let producers = after(&[batch(0, i32::MAX - 4, 5, 0)]);
        assert_eq!(producers.check(&[batch(0, 0, 1, 5)], Flaws::default()).unwrap(), None);
        let across = after(&[batch(0, i32::MAX - 1, 5, 0)]);
        assert_eq!(across.check(&[batch(0, 3, 1, 5)], Flaws::default()).unwrap(), None);
        assert!(across.check(&[batch(0, i32::MAX - 1, 5, 5)], Flaws::default()).unwrap().is_some());
    }

    #[test]
    fn batches_of_one_append_follow_each_other() {
        let producers = Producers::default();
        let (first, second) = (batch(0, 0, 2, 0), batch(0, 2, 2, 2));
        assert_eq!(producers.check(&[first, second], Flaws::default()).unwrap(), None);
        assert!(producers.check(&[first, batch(0, 3, 2, 2)], Flaws::default()).is_err());
    }

    #[test]
    fn idle_producer_expires_unless_its_transaction_is_open() {
        let mut producers = after(&[batch(0, 0, 1, 0)]);
        producers.expire(Timestamp(1999), Duration::from_secs(1));
        assert!(producers.get(ProducerId(7)).is_some());
        producers.expire(Timestamp(2000), Duration::from_secs(1));
        assert!(producers.get(ProducerId(7)).is_none());
    }
}
