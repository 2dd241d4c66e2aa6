//! A batch on its way: open, sealed, sent, sent again.

use std::mem;

use bytes::{Bytes, BytesMut};

use super::delivery::Promise;
use crate::base::{Instant, LeaderEpoch, ProducerEpoch, ProducerId};
use crate::client::ProduceCause;
use crate::client::kernel::RequestId;
use crate::wire::batch::{BatchBuilder, BatchError, BatchHeader, HEADER_LEN, records_of};
use crate::wire::crc32c::crc32c;

/// What a batch says of its producer: by this a broker knows it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) producer: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) sequence: i32,
}

impl Number {
    /// Of a producer that is not idempotent.
    pub(super) const NONE: Self =
        Self { producer: ProducerId::NONE, epoch: ProducerEpoch::NONE, sequence: -1 };
}

/// Where a batch that was sent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// No answer yet.
    Outstanding(RequestId),
    /// To be sent again, but not before.
    Waiting(Instant),
}

/// The records of a batch, before and after it got its number.
#[derive(Debug)]
enum Content {
    Open(Box<BatchBuilder>),
    Sealed(Bytes),
    /// Between two states only.
    Gone,
}

/// One batch of one partition.
#[derive(Debug)]
pub(super) struct Batch {
    content: Content,
    pub(super) promise: Promise,
    /// What it takes of `buffer.memory`.
    pub(super) memory: u64,
    /// `delivery.timeout.ms` counts from here.
    pub(super) created: Instant,
    pub(super) count: i32,
    /// No record may be added.
    pub(super) closed: bool,
    pub(super) number: Number,
    pub(super) attempt: Attempt,
    /// Attempts that left, for `retries`.
    pub(super) attempts: u32,
    /// Failures in a row, for the backoff.
    pub(super) failures: u32,
    /// Epoch of the leader that it was last sent to.
    pub(super) leader_epoch: LeaderEpoch,
    /// Why the last attempt failed.
    pub(super) last_problem: ProduceCause,
}

impl Batch {
    pub(super) fn new(builder: BatchBuilder, created: Instant) -> Self {
        let count = builder.count();
        Self {
            content: Content::Open(Box::new(builder)),
            promise: Promise::new(),
            memory: 0,
            created,
            count,
            closed: false,
            number: Number::NONE,
            attempt: Attempt::Waiting(Instant::START),
            attempts: 0,
            failures: 0,
            leader_epoch: LeaderEpoch::NONE,
            last_problem: ProduceCause::TimedOut,
        }
    }

    /// What records are added to, while it is open.
    pub(super) fn builder(&mut self) -> Option<&mut BatchBuilder> {
        match &mut self.content {
            Content::Open(builder) if !self.closed => Some(builder),
            _ => None,
        }
    }

    /// Its size on the wire; before it is sealed, without compression.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            Content::Open(builder) => builder.estimated_size(),
            Content::Sealed(bytes) => bytes.len(),
            Content::Gone => 0,
        }
    }

    /// Gives it its number, and its bytes their final form.
    pub(super) fn seal(&mut self, number: Number) {
        self.number = number;
        self.closed = true;
        self.content = match mem::replace(&mut self.content, Content::Gone) {
            Content::Open(builder) => {
                Content::Sealed(builder.finish(number.producer, number.epoch, number.sequence))
            }
            Content::Sealed(bytes) => Content::Sealed(renumbered(&bytes, number)),
            Content::Gone => Content::Gone,
        };
    }

    /// Its bytes, once sealed.
    pub(super) fn bytes(&self) -> Bytes {
        match &self.content {
            Content::Sealed(bytes) => bytes.clone(),
            _ => Bytes::new(),
        }
    }

    pub(super) fn is_outstanding(&self) -> bool {
        matches!(self.attempt, Attempt::Outstanding(_))
    }

    /// Whether it is the one that was sent with this request.
    pub(super) fn was_sent_with(&self, request: RequestId) -> bool {
        self.attempt == Attempt::Outstanding(request)
    }

    /// Cuts it into batches of about `size` bytes each, at least two; each with the first index
    /// that its records had. `None`: it can't be cut.
    pub(super) fn split(&self, size: usize) -> Result<Option<Vec<(u32, Batch)>>, BatchError> {
        let bytes = self.bytes();
        // The producer made these bytes itself and held them uncompressed.
        let records: Vec<_> = records_of(&bytes, usize::MAX)?.collect::<Result<_, _>>()?;
        let compression = BatchHeader::parse(&bytes)?.compression();
        let (Some(first), true) = (records.first(), records.len() > 1) else { return Ok(None) };
        let total: usize = bytes.len();
        // A smaller limit than the batch itself has, so that something is gained.
        let limit = size.min(total / 2).max(HEADER_LEN + 1);
        let mut builder = BatchBuilder::new(compression, first.timestamp);
        let mut parts = Vec::new();
        let mut from = 0;
        for (index, record) in (0u32..).zip(&records) {
            let headers = header_refs(&record.headers);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let grown = builder.estimated_size_with(record.timestamp, key, value, &headers);
            if !builder.is_empty() && grown > limit {
                let next = BatchBuilder::new(compression, record.timestamp);
                parts.push((from, Self::new(mem::replace(&mut builder, next), self.created)));
                from = index;
            }
            builder.append(record.timestamp, key, value, &headers);
        }
        parts.push((from, Self::new(builder, self.created)));
        Ok((parts.len() > 1).then_some(parts))
    }
}

/// Headers as a builder takes them.
pub(super) fn header_refs(headers: &[super::Header]) -> Vec<(&[u8], Option<&[u8]>)> {
    headers.iter().map(|header| (header.key.as_ref(), header.value.as_deref())).collect()
}

/// The same batch under another number. Only for one that was never appended anywhere: a broker
/// does not know it again (KIP-360).
fn renumbered(batch: &Bytes, number: Number) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    if let (Ok(mut header), Some(place)) = (BatchHeader::parse(batch), bytes.first_chunk_mut()) {
        header.producer_id = number.producer;
        header.producer_epoch = number.epoch;
        header.base_sequence = number.sequence;
        header.write(place);
        header.crc = crc32c(&bytes[AT_CHECKED..]);
        if let Some(place) = bytes.first_chunk_mut() {
            header.write(place);
        }
    }
    bytes.freeze()
}

/// Where the part of a batch begins that its checksum covers: with the attributes.
const AT_CHECKED: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::config::Compression;
    use crate::wire::batch::check;

    fn batch(records: usize, compression: Compression) -> Batch {
        let mut builder = BatchBuilder::new(compression, Timestamp(100));
        for n in 0..records {
            builder.append(Timestamp(100 + n as i64), None, Some(&[n as u8; 100]), &[]);
        }
        Batch::new(builder, Instant::START)
    }

    #[test]
    fn a_batch_under_another_number_is_valid_and_has_the_same_records() {
        let mut batch = batch(3, Compression::Lz4);
        batch.seal(Number { producer: ProducerId(7), epoch: ProducerEpoch(1), sequence: 40 });
        let before = batch.bytes();
        batch.seal(Number { producer: ProducerId(7), epoch: ProducerEpoch(2), sequence: 0 });
        let header = check(&batch.bytes()).unwrap();
        assert_eq!((header.producer_epoch, header.base_sequence), (ProducerEpoch(2), 0));
        assert_eq!(before[HEADER_LEN..], batch.bytes()[HEADER_LEN..]);
    }

    #[test]
    fn a_batch_is_cut_into_smaller_ones_with_the_same_records() {
        let mut whole = batch(10, Compression::None);
        whole.seal(Number::NONE);
        let parts = whole.split(450).unwrap().unwrap();
        let firsts: Vec<_> = parts.iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0, 3, 6, 9]);
        let mut values = Vec::new();
        for (_, mut part) in parts {
            part.seal(Number::NONE);
            for record in records_of(&part.bytes(), usize::MAX).unwrap() {
                values.push(record.unwrap().value.unwrap()[0]);
            }
        }
        assert_eq!(values, (0..10).collect::<Vec<u8>>());
    }

    #[test]
    fn a_single_record_cannot_be_cut() {
        let mut whole = batch(1, Compression::None);
        whole.seal(Number::NONE);
        assert!(whole.split(10).unwrap().is_none());
    }
}
