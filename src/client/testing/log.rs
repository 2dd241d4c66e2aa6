//! One partition's log in memory, with the state that makes producers idempotent.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::log::TransactionEnd;
use crate::wire::ErrorCode;
use crate::wire::batch::{BatchHeader, add_to_sequence, assign, check, records};
use crate::wire::messages::fetch_response::AbortedTransaction;
use crate::wire::messages::message;

/// Batches of a producer that a broker recognizes. Source: Kafka's
/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`.
const REMEMBERED: usize = 5;

/// A log that keeps batches as bytes, as a broker does.
#[derive(Debug, Default)]
pub(crate) struct ModelLog {
    batches: Vec<(BatchHeader, Bytes)>,
    end: Offset,
    producers: BTreeMap<i64, ModelProducer>,
    /// Where the open transaction of each producer begins.
    open: BTreeMap<i64, Offset>,
    /// Producer, first offset and marker of each aborted transaction.
    aborted: Vec<(i64, Offset, Offset)>,
}

#[derive(Debug)]
struct ModelProducer {
    epoch: i16,
    /// First sequence, records, and base offset of the last batches.
    last: VecDeque<(i32, i32, Offset)>,
}

impl ModelLog {
    /// The offset after the last record.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Offsets and values of all records, in order.
    pub(crate) fn values(&self) -> Vec<(Offset, Bytes)> {
        let batches = self.batches.iter().filter(|(header, _)| !header.is_control());
        let records = batches.flat_map(|(_, batch)| records(batch, 1 << 20).unwrap());
        records.map(|record| (record.offset, record.value.unwrap())).collect()
    }

    /// The first record that has this timestamp or a later one.
    pub(crate) fn at_time(&self, time: Timestamp) -> Option<(Offset, Timestamp)> {
        let mut records =
            self.batches.iter().flat_map(|(_, batch)| records(batch, 1 << 20).unwrap());
        let found = records.find(|record| record.timestamp >= time)?;
        Some((found.offset, found.timestamp))
    }

    /// Appends a batch in `epoch`, unless its producer's numbers forbid it. Returns its offset; of
    /// a batch that is there already, the offset where it is.
    pub(crate) fn append(
        &mut self,
        records: &Bytes,
        epoch: LeaderEpoch,
    ) -> Result<Offset, ErrorCode> {
        let header = check(records).map_err(|_| ErrorCode::CorruptMessage)?;
        if header.has_producer()
            && let Some(base) = self.check_producer(&header)?
        {
            return Ok(base);
        }
        let base = self.end;
        let mut bytes = BytesMut::from(&records[..]);
        assign(&mut bytes, base, epoch);
        let header = BatchHeader::parse(&bytes).map_err(|_| ErrorCode::CorruptMessage)?;
        if header.is_transactional() {
            self.open.entry(header.producer_id.0).or_insert(base);
        }
        self.end = header.next_offset();
        self.batches.push((header, bytes.freeze()));
        Ok(base)
    }

    /// Appends the marker of a transaction. One of a later epoch fences the earlier ones.
    pub(crate) fn mark(&mut self, producer: i64, epoch: i16, commit: bool) {
        let base = self.end;
        let (id, epoch_of) = (ProducerId(producer), ProducerEpoch(epoch));
        let end = TransactionEnd {
            producer: id,
            producer_epoch: epoch_of,
            coordinator_epoch: 0,
            commit,
            version: 1,
        };
        let mut bytes = end.batch(Timestamp(1));
        assign(&mut bytes, base, LeaderEpoch(0));
        let header = BatchHeader::parse(&bytes).unwrap();
        self.end = header.next_offset();
        self.batches.push((header, bytes.freeze()));
        if let Some(first) = self.open.remove(&producer)
            && !commit
        {
            self.aborted.push((producer, first, base));
        }
        let fresh = ModelProducer { epoch, last: VecDeque::new() };
        let known = self.producers.entry(producer).or_insert(fresh);
        if known.epoch < epoch {
            *known = ModelProducer { epoch, last: VecDeque::new() };
        }
    }

    /// The first offset that may still be aborted.
    pub(crate) fn last_stable(&self) -> Offset {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    /// As a `read_committed` fetch: whole batches below the last stable offset, and the aborted
    /// transactions among them.
    pub(crate) fn read_committed(
        &self,
        from: Offset,
        max: usize,
    ) -> (Bytes, Vec<AbortedTransaction>) {
        let (all, stable) = (self.read(from, max), self.last_stable());
        let mut end = 0;
        while let Ok(header) = BatchHeader::parse(&all[end..])
            && header.base_offset < stable
        {
            end += header.size();
        }
        let aborted =
            self.aborted.iter().filter(|(_, first, last)| *last >= from && *first < stable);
        let aborted = aborted.map(|(producer, first, _)| {
            message!(AbortedTransaction { producer_id: *producer, first_offset: first.0 })
        });
        (all.slice(..end), aborted.collect())
    }

    /// Offsets and values of the records of committed transactions, and of none, in order.
    pub(crate) fn committed_values(&self) -> Vec<(Offset, Bytes)> {
        let is_aborted = |header: &BatchHeader| {
            let (producer, base) = (header.producer_id.0, header.base_offset);
            let of = |(by, first, last): &(i64, Offset, Offset)| {
                *by == producer && (*first..*last).contains(&base)
            };
            header.is_transactional() && self.aborted.iter().any(of)
        };
        let stable = self.last_stable();
        let batches = self.batches.iter().filter(|(header, _)| {
            !header.is_control() && header.base_offset < stable && !is_aborted(header)
        });
        let records = batches.flat_map(|(_, batch)| records(batch, 1 << 20).unwrap());
        records.map(|record| (record.offset, record.value.unwrap())).collect()
    }

    /// Checks whether a batch is the next of its producer (KIP-98, KIP-360). Returns the offset of
    /// a duplicate.
    fn check_producer(&mut self, header: &BatchHeader) -> Result<Option<Offset>, ErrorCode> {
        let (epoch, sequence, count) =
            (header.producer_epoch.0, header.base_sequence, header.count);
        let fresh = ModelProducer { epoch, last: VecDeque::new() };
        let known = self.producers.entry(header.producer_id.0).or_insert(fresh);
        if epoch < known.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let same_epoch = epoch == known.epoch;
        let mut last = known.last.iter();
        if same_epoch
            && let Some((_, _, base)) = last.find(|(s, c, _)| (*s, *c) == (sequence, count))
        {
            return Ok(Some(*base));
        }
        let last = known.last.back().filter(|_| same_epoch);
        let next = last.map_or(0, |(sequence, count, _)| add_to_sequence(*sequence, *count));
        if sequence != next {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        if !same_epoch {
            *known = ModelProducer { epoch, last: VecDeque::new() };
        }
        known.last.push_back((sequence, count, self.end));
        if known.last.len() > REMEMBERED {
            known.last.pop_front();
        }
        Ok(None)
    }

    /// Batches from the one that holds `from` on, at least one and about `max` bytes.
    pub(crate) fn read(&self, from: Offset, max: usize) -> Bytes {
        let first = self.batches.partition_point(|(header, _)| header.next_offset() <= from);
        let mut read = BytesMut::new();
        for (_, batch) in &self.batches[first..] {
            if !read.is_empty() && read.len() + batch.len() > max {
                break;
            }
            read.extend_from_slice(batch);
        }
        read.freeze()
    }

    /// The last epoch that is at most `epoch`, and where it ends (KIP-320); `None` if there is none.
    pub(crate) fn epoch_end(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let after = self.batches.partition_point(|(header, _)| header.leader_epoch <= epoch);
        let (header, _) = self.batches.get(after.checked_sub(1)?)?;
        let end = self.batches.get(after).map_or(self.end, |(next, _)| next.base_offset);
        Some((header.leader_epoch, end))
    }

    /// Loses the batches from the one at or after `offset` on, as an unclean election does. Producers
    /// are forgotten with them.
    pub(crate) fn truncate(&mut self, offset: Offset) {
        let kept = self.batches.partition_point(|(header, _)| header.next_offset() <= offset);
        self.batches.truncate(kept);
        self.end = self.batches.last().map_or(Offset::ZERO, |(header, _)| header.next_offset());
        self.producers.clear();
        self.open.clear();
    }
}
