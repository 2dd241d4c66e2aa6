//! A batch on its way: open, sealed, sent, sent again.

use std::mem;

use bytes::{Bytes, BytesMut};

use super::delivery::{Delivery, Promise, Settled};
use super::ratio::Ratio;
use super::{Header, ProducerRecord};
use crate::base::{Instant, LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use crate::base::{Timestamp, TopicPartition};
use crate::client::ProduceCause;
use crate::client::kernel::RequestId;
use crate::wire::batch::{
    BatchBuilder, BatchError, BatchHeader, HEADER_LEN, add_to_sequence, records_of,
};
use crate::wire::crc32c::crc32c;

/// A batch counts as at least this share of its bytes before compression, however well its topic
/// has compressed. Kafka compresses while it appends, so a batch holds no more than it counts; here
/// it holds its records uncompressed until it first leaves.
const LEAST_SHARE: usize = 8;
/// The most bytes of records that a batch collects before compression, unless it may take that much
/// memory: a broker decompresses up to 100 MiB.
const MOST_UNCOMPRESSED: u64 = 16 << 20;

/// The size of a batch whose records are not compressed yet; an estimate if they will be.
fn expected_size(expected: Option<Ratio>, uncompressed: usize) -> usize {
    match expected {
        Some(ratio) => ratio.of(uncompressed).max(uncompressed.div_ceil(LEAST_SHARE)),
        None => uncompressed,
    }
}

/// Producer id, epoch and sequence of a batch, by which a broker recognizes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) producer: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) sequence: i32,
}

impl Number {
    /// The number of a producer that is not idempotent.
    pub(super) const NONE: Self =
        Self { producer: ProducerId::NONE, epoch: ProducerEpoch::NONE, sequence: -1 };

    /// The number of the batch after one of `count` records.
    pub(super) fn after(self, count: i32) -> Self {
        match self.sequence {
            -1 => self,
            sequence => Self { sequence: add_to_sequence(sequence, count), ..self },
        }
    }
}

/// Where a batch that was sent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
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
    promise: Promise,
    /// Bytes of `buffer.memory`, to which it may grow.
    memory: u64,
    /// `delivery.timeout.ms` counts from here.
    created: Instant,
    count: i32,
    /// The most bytes that one of its records may take in a batch of its own.
    largest_record: usize,
    /// Its size before compression.
    uncompressed: usize,
    /// How well it probably compresses, if it is to be compressed.
    expected: Option<Ratio>,
    /// No record may be added.
    closed: bool,
    number: Number,
    attempt: Attempt,
    /// Attempts that left, for `retries`.
    attempts: u32,
    /// Failures in a row, for the backoff.
    failures: u32,
    /// Epoch of the leader that it was last sent to.
    leader_epoch: LeaderEpoch,
    /// Why the last attempt failed.
    last_problem: ProduceCause,
}

impl Batch {
    /// A batch that takes so much of `buffer.memory`.
    pub(super) fn new(builder: BatchBuilder, created: Instant, memory: u64) -> Self {
        let (count, uncompressed) = (builder.count(), builder.estimated_size());
        Self {
            content: Content::Open(Box::new(builder)),
            promise: Promise::new(),
            memory,
            created,
            count,
            largest_record: 0,
            uncompressed,
            expected: None,
            closed: false,
            number: Number::NONE,
            attempt: Attempt::Waiting(Instant::START),
            attempts: 0,
            failures: 0,
            leader_epoch: LeaderEpoch::NONE,
            last_problem: ProduceCause::TimedOut,
        }
    }

    /// The same, for a batch that is to be compressed, and probably so well.
    pub(super) fn expecting(mut self, ratio: Ratio) -> Self {
        self.expected = Some(ratio);
        self
    }

    /// Adds a record, unless the batch would get larger than `room` by it; the first always fits. The
    /// batch takes more memory if it needs that. Returns the record's verdict to come, and the bytes by
    /// which the batch grew.
    pub(super) fn try_append(
        &mut self,
        timestamp: Timestamp,
        record: &ProducerRecord,
        most: usize,
        room: u64,
    ) -> Option<(Delivery, usize)> {
        let Content::Open(builder) = &mut self.content else { return None };
        let headers = header_refs(&record.headers);
        let (held, before) = (self.uncompressed, expected_size(self.expected, self.uncompressed));
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let is_first = self.count == 0;
        // The new record counts as it is, for it may compress badly.
        let exact = || {
            builder.estimated_size_with(timestamp, key, value, &headers) - builder.estimated_size()
        };
        let has_room = |grown: usize| {
            let uncompressed = (held + grown) as u64;
            (before + grown) as u64 <= room && uncompressed <= room.max(MOST_UNCOMPRESSED)
        };
        // Only near the end is the exact size of interest.
        let fits = is_first || has_room(most) || has_room(exact());
        if self.closed || !fits {
            return None;
        }
        let place = builder.append(timestamp, key, value, &headers);
        self.count += 1;
        self.uncompressed = builder.estimated_size();
        let size = expected_size(self.expected, self.uncompressed);
        self.memory = self.memory.max(room.min(size as u64));
        self.largest_record = self.largest_record.max(most);
        let delivery = self.promise.delivery(place as u32, timestamp);
        // The header counts with the first record, as in Kafka.
        Some((delivery, size - if is_first { 0 } else { before }))
    }

    /// Whether no record may be added.
    pub(super) fn is_full(&self) -> bool {
        let most = self.memory.max(MOST_UNCOMPRESSED);
        let has_enough = self.size() as u64 >= self.memory || self.uncompressed as u64 >= most;
        self.closed || (self.count > 0 && has_enough)
    }

    /// No record may be added any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Its size on the wire as a share of its size before compression.
    pub(super) fn ratio(&self) -> Ratio {
        Ratio::observed(self.size(), self.uncompressed)
    }

    /// How well it has compressed, if it is compressed.
    pub(super) fn observed(&self) -> Option<Ratio> {
        self.expected.map(|_| self.ratio())
    }

    /// See [`upper_bound`](super::record::upper_bound).
    pub(super) fn largest_record(&self) -> usize {
        self.largest_record
    }

    /// Its size on the wire; before it is sealed, as it is expected.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            Content::Open(_) => expected_size(self.expected, self.uncompressed),
            Content::Sealed(bytes) => bytes.len(),
            Content::Gone => 0,
        }
    }

    pub(super) fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of `buffer.memory`.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    pub(super) fn created(&self) -> Instant {
        self.created
    }

    pub(super) fn number(&self) -> Number {
        self.number
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

    /// It leaves with this request, to a leader of this epoch.
    pub(super) fn begin_attempt(&mut self, request: RequestId, epoch: LeaderEpoch) {
        self.attempt = Attempt::Outstanding(request);
        self.attempts = self.attempts.saturating_add(1);
        self.leader_epoch = epoch;
    }

    /// The request that it is in, if that has no answer yet.
    pub(super) fn outstanding(&self) -> Option<RequestId> {
        match self.attempt {
            Attempt::Outstanding(request) => Some(request),
            Attempt::Waiting(_) => None,
        }
    }

    pub(super) fn is_outstanding(&self) -> bool {
        self.outstanding().is_some()
    }

    /// The request never left. Kafka takes no batch out of its queue before there is a connection,
    /// so this attempt does not count.
    pub(super) fn never_left(&mut self) {
        self.last_problem = ProduceCause::Disconnected;
        self.attempts -= 1;
    }

    /// The attempt failed; it may still have stored the batch, or certainly did not.
    pub(super) fn attempt_failed(&mut self, cause: ProduceCause, may_be_stored: bool) {
        self.last_problem = cause;
        self.promise.doubt(may_be_stored);
    }

    /// Whether any attempt may have stored it.
    pub(super) fn may_be_stored(&self) -> bool {
        self.promise.may_be_stored()
    }

    /// Attempts that left.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The number of failures in a row, this one included: the pause follows from it.
    pub(super) fn next_failure(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// It is to be sent again, but not before this time.
    pub(super) fn wait_until(&mut self, time: Instant) {
        self.attempt = Attempt::Waiting(time);
    }

    /// When it may be sent again to a leader of this epoch: at once to a new one.
    pub(super) fn again_at(&self, epoch: LeaderEpoch) -> Instant {
        let is_new = self.leader_epoch != LeaderEpoch::NONE && epoch > self.leader_epoch;
        match self.attempt {
            Attempt::Waiting(_) if is_new => Instant::START,
            Attempt::Waiting(until) => until,
            Attempt::Outstanding(_) => Instant::NEVER,
        }
    }

    /// Why the last attempt failed.
    pub(super) fn last_problem(&self) -> ProduceCause {
        self.last_problem
    }

    /// It is acknowledged. Returns the memory that is free again.
    pub(super) fn stored(
        self,
        partition: TopicPartition,
        base: Option<Offset>,
        append_time: Option<Timestamp>,
    ) -> u64 {
        self.promise.stored(partition, base, append_time);
        self.memory
    }

    /// It fails because of its last attempt. Returns the memory that is free again.
    pub(super) fn give_up(self) -> u64 {
        self.promise.failed(self.last_problem);
        self.memory
    }

    /// It fails whether or not an attempt is under way. Returns the memory that is free again.
    pub(super) fn abandon(mut self, cause: ProduceCause) -> u64 {
        let is_outstanding = self.is_outstanding();
        self.promise.doubt(is_outstanding);
        self.promise.failed(cause);
        self.memory
    }

    /// To wait for its verdict.
    pub(super) fn settled(&self) -> Settled {
        self.promise.settled()
    }

    /// Cuts it into batches of about `size` bytes each, at least two, numbered from its own number
    /// on. Returns it unchanged if it can't be cut.
    pub(super) fn split(self, size: usize) -> Result<Vec<Batch>, Box<Batch>> {
        let Ok(Some(parts)) = self.parts(size) else { return Err(Box::new(self)) };
        let (mut number, mut memory) = (self.number, self.memory);
        let last = parts.len() - 1;
        let mut heirs = Vec::with_capacity(parts.len());
        for (nth, (from, mut part)) in parts.into_iter().enumerate() {
            part.seal(number);
            part.largest_record = self.largest_record;
            part.expected = self.expected;
            number = number.after(part.count);
            part.memory = if nth == last { memory } else { memory / 2 };
            memory -= part.memory;
            heirs.push((from, part));
        }
        self.promise.moved(heirs.iter().map(|(from, part)| (*from, 0, &part.promise)));
        Ok(heirs.into_iter().map(|(_, part)| part).collect())
    }

    /// Batches of about `size` bytes each with its records, each with the index of its first one.
    fn parts(&self, size: usize) -> Result<Option<Vec<(u32, Batch)>>, BatchError> {
        let bytes = self.bytes();
        // The producer made these bytes itself and held them uncompressed.
        let records: Vec<_> = records_of(&bytes, usize::MAX)?.collect::<Result<_, _>>()?;
        let compression = BatchHeader::parse(&bytes)?.compression();
        let is_transactional = BatchHeader::parse(&bytes)?.is_transactional();
        let (Some(first), true) = (records.first(), records.len() > 1) else { return Ok(None) };
        // A smaller limit than the batch itself has, so that something is gained.
        let limit = size.min(bytes.len() / 2).max(HEADER_LEN + 1);
        let begin = |timestamp| match BatchBuilder::new(compression, timestamp) {
            builder if is_transactional => builder.transactional(),
            builder => builder,
        };
        let mut builder = begin(first.timestamp);
        let mut parts = Vec::new();
        let mut from = 0;
        for (index, record) in (0u32..).zip(&records) {
            let headers = header_refs(&record.headers);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let grown = builder.estimated_size_with(record.timestamp, key, value, &headers);
            if !builder.is_empty() && grown > limit {
                let next = begin(record.timestamp);
                parts.push((from, Self::new(mem::replace(&mut builder, next), self.created, 0)));
                from = index;
            }
            builder.append(record.timestamp, key, value, &headers);
        }
        parts.push((from, Self::new(builder, self.created, 0)));
        Ok((parts.len() > 1).then_some(parts))
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self, is_sent: bool) {
        let Self { count, attempts, closed, attempt, .. } = self;
        assert!(*count > 0, "a batch without records: {self:?}");
        let is_sealed = matches!(self.content, Content::Sealed(_));
        assert_eq!(is_sealed, is_sent, "sent: {is_sent}, sealed: {is_sealed}");
        assert!(!is_sent || *closed, "a batch was sent that is open");
        let left = self.is_outstanding() || self.may_be_stored();
        assert!(!left || is_sent, "{attempt:?} after {attempts} attempts, but it was never sent");
    }
}

/// Headers as a builder takes them.
fn header_refs(headers: &[Header]) -> Vec<(&[u8], Option<&[u8]>)> {
    headers.iter().map(|header| (header.key.as_ref(), header.value.as_deref())).collect()
}

/// The same batch under another number. Only for one that was never appended anywhere: a broker
/// does not recognize it any more (KIP-360).
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
    use super::super::record::upper_bound;
    use super::*;
    use crate::base::config::Compression;
    use crate::wire::batch::check;

    fn batch(records: usize, compression: Compression) -> Batch {
        let mut builder = BatchBuilder::new(compression, Timestamp(100));
        for n in 0..records {
            builder.append(Timestamp(100 + n as i64), None, Some(&[n as u8; 100]), &[]);
        }
        Batch::new(builder, Instant::START, 16384)
    }

    /// The bytes before compression of a batch that takes as much memory as this, and is full of
    /// records of `size` bytes that are expected to compress to a hundredth.
    fn filled(memory: u64, size: usize) -> u64 {
        let builder = BatchBuilder::new(Compression::Lz4, Timestamp(100));
        let ratio = Ratio::observed(HEADER_LEN + 10, HEADER_LEN + 1000);
        let mut batch = Batch::new(builder, Instant::START, memory).expecting(ratio);
        let record = ProducerRecord::new("orders", vec![0_u8; size]);
        let most = upper_bound(&record);
        while batch.try_append(Timestamp(100), &record, most, memory).is_some() {}
        assert_eq!(batch.memory(), memory);
        batch.uncompressed as u64
    }

    #[test]
    fn batch_holds_at_most_eight_times_what_it_counts() {
        let uncompressed = filled(16384, 1000);
        assert!((7 * 16384..=8 * 16384).contains(&uncompressed), "{uncompressed}");
    }

    #[test]
    fn batch_collects_at_most_16_mib_before_compression() {
        let uncompressed = filled(8 << 20, 1 << 20);
        assert!((15 << 20..=16 << 20).contains(&uncompressed), "{uncompressed}");
        let uncompressed = filled(20 << 20, 1 << 20);
        assert!((19 << 20..=20 << 20).contains(&uncompressed), "batch.size is larger");
    }

    #[test]
    fn renumbered_batch_is_valid_and_keeps_its_records() {
        let mut batch = batch(3, Compression::Lz4);
        batch.seal(Number { producer: ProducerId(7), epoch: ProducerEpoch(1), sequence: 40 });
        let before = batch.bytes();
        batch.seal(Number { producer: ProducerId(7), epoch: ProducerEpoch(2), sequence: 0 });
        let header = check(&batch.bytes()).unwrap();
        assert_eq!((header.producer_epoch, header.base_sequence), (ProducerEpoch(2), 0));
        assert_eq!(before[HEADER_LEN..], batch.bytes()[HEADER_LEN..]);
    }

    #[test]
    fn split_batch_keeps_its_records_numbers_and_memory() {
        let mut whole = batch(10, Compression::None);
        whole.memory = 1001;
        whole.seal(Number { producer: ProducerId(7), epoch: ProducerEpoch(1), sequence: 40 });
        let parts = whole.split(450).unwrap();
        let sequences: Vec<_> = parts.iter().map(|part| part.number.sequence).collect();
        assert_eq!(sequences, [40, 43, 46, 49]);
        assert_eq!(parts.iter().map(|part| part.memory).sum::<u64>(), 1001);
        let mut values = Vec::new();
        for part in parts {
            for record in records_of(&part.bytes(), usize::MAX).unwrap() {
                values.push(record.unwrap().value.unwrap()[0]);
            }
        }
        assert_eq!(values, (0..10).collect::<Vec<u8>>());
    }

    #[test]
    fn single_record_cannot_be_split() {
        let mut whole = batch(1, Compression::None);
        whole.seal(Number::NONE);
        assert!(whole.split(10).is_err());
    }
}
