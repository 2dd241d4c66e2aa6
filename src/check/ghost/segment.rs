//! One `*.log` file, read as batches while it is written.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::stamp::Stamp;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::wire::batch::{self, BatchError, BatchHeader};

/// One record batch as it lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Offset of its first record.
    pub base: Offset,
    /// Where the next batch begins.
    pub next: Offset,
    /// Epoch of the leader that appended it.
    pub epoch: LeaderEpoch,
    /// Hash of all its bytes.
    pub hash: u64,
    /// Records in it.
    pub count: i32,
    /// First byte in the file.
    pub position: u64,
    /// Bytes.
    pub size: u32,
    /// The latest timestamp of its records.
    pub latest: Timestamp,
    /// Its part in transactions.
    pub stamp: Stamp,
}

impl Batch {
    /// Whether both are the same records: bytes, offsets and epoch.
    pub fn equals(&self, other: &Self) -> bool {
        self.hash == other.hash && self.base == other.base && self.next == other.next
    }
}

/// The effects of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Index of the first batch that it completed.
    pub first: usize,
    /// It replaced bytes that were readable.
    pub replaced: bool,
    /// It lies after bytes that are not a batch, so it can't be read.
    pub after_garbage: bool,
}

/// A file's batches, and how far it can be read.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    batches: Vec<Batch>,
    /// The beginning of a batch whose end was not written yet.
    tail: Vec<u8>,
    /// Bytes that are batches or `tail`. The file may be longer: the rest is not a batch.
    readable: u64,
    len: u64,
    /// Bytes that a fault changed after they were written.
    damage: Vec<Range<u64>>,
    /// A sync reported success and made nothing durable.
    lied: bool,
}

impl Segment {
    /// A file found after a power loss: whole batches with a right checksum, up to the first other
    /// bytes. A batch of `before` that a fault changed was not lost with the power: it counts as it
    /// was written, and its readers find out.
    pub fn survived(bytes: &[u8], before: Option<&Self>) -> Self {
        let len = bytes.len() as u64;
        let damage = before.map_or(Vec::new(), |before| before.damage.clone());
        let lied = before.is_some_and(|before| before.lied);
        let mut segment = Self { len, damage, lied, ..Self::default() };
        let mut rest = bytes;
        loop {
            let known = before.and_then(|before| before.batch_at_position(segment.readable));
            let known = known.filter(|batch| !segment.is_intact(batch)).copied();
            if let Some(batch) = known
                && let Some(after) = rest.get(batch.size as usize..)
            {
                segment.batches.push(batch);
                segment.readable += u64::from(batch.size);
                rest = after;
                continue;
            }
            let Ok(header) = batch::check(rest) else { break };
            let Some((whole, after)) = rest.split_at_checked(header.size()) else { break };
            segment.push(&header, whole);
            rest = after;
        }
        segment
    }

    /// A fault changed these bytes.
    pub fn damaged(&mut self, range: Range<u64>) {
        self.damage.push(range);
    }

    /// Its disk makes less durable than it reports.
    pub fn lied(&mut self) {
        self.lied = true;
    }

    /// Whether its disk made less durable than it reported.
    pub fn has_lied(&self) -> bool {
        self.lied
    }

    /// Whether a faulty disk has touched any of it.
    pub fn is_damaged(&self) -> bool {
        self.lied || !self.damage.is_empty()
    }

    /// Whether no fault touched a batch.
    pub fn is_intact(&self, batch: &Batch) -> bool {
        let end = batch.position + u64::from(batch.size);
        !self.damage.iter().any(|range| range.start < end && batch.position < range.end)
    }

    /// The batch that begins at a position.
    pub fn batch_at_position(&self, position: u64) -> Option<&Batch> {
        let index = self.batches.binary_search_by_key(&position, |batch| batch.position).ok()?;
        self.batches.get(index)
    }

    /// Its batches, in order.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Whether it has bytes that are neither a batch nor the beginning of one.
    pub fn has_garbage(&self) -> bool {
        self.len > self.readable
    }

    /// Where the bytes that can be read end.
    pub fn readable(&self) -> u64 {
        self.readable
    }

    /// Bytes were written at a position.
    pub fn write(&mut self, position: u64, bytes: &[u8]) -> Written {
        let mut written = Written { first: self.batches.len(), ..Written::default() };
        if bytes.is_empty() {
            // A refused write left the file as it was.
            return written;
        }
        let end = position + bytes.len() as u64;
        if position > self.readable {
            self.len = self.len.max(end);
            written.after_garbage = true;
            return written;
        }
        if position < self.readable {
            written.replaced = true;
            self.keep(position);
        }
        written.first = self.batches.len();
        if position == self.readable {
            self.feed(bytes);
        }
        self.len = self.len.max(end);
        written
    }

    /// The file got another size.
    pub fn cut(&mut self, len: u64) {
        self.len = len;
        self.damage.retain(|range| range.start < len);
        if len < self.readable {
            self.keep(len);
        }
    }

    /// Forgets what lies at or after a position.
    fn keep(&mut self, position: u64) {
        let whole = self.batches.partition_point(|b| b.position + u64::from(b.size) <= position);
        let tail_begins = self.readable - self.tail.len() as u64;
        self.batches.truncate(whole);
        let end = self.batches.last().map_or(0, |last| last.position + u64::from(last.size));
        if end == tail_begins {
            self.tail.truncate(usize::try_from(position - end).unwrap_or(usize::MAX));
        } else {
            self.tail.clear();
        }
        self.readable = end + self.tail.len() as u64;
    }

    /// Reads bytes that follow those that were readable.
    fn feed(&mut self, bytes: &[u8]) {
        if self.tail.is_empty() {
            let used = self.parse(bytes);
            self.tail.extend_from_slice(&bytes[used..]);
        } else {
            let mut tail = std::mem::take(&mut self.tail);
            self.readable -= tail.len() as u64;
            tail.extend_from_slice(bytes);
            let used = self.parse(&tail);
            tail.drain(..used);
            self.tail = tail;
        }
        // Bytes that can't become a batch, whatever follows, are not kept.
        if matches!(BatchHeader::parse(&self.tail), Ok(_) | Err(BatchError::Torn { .. })) {
            self.readable += self.tail.len() as u64;
        } else {
            self.tail.clear();
        }
    }

    /// Takes whole batches, and returns how many bytes they are.
    fn parse(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Ok(header) = BatchHeader::parse(rest) {
            let Some((whole, after)) = rest.split_at_checked(header.size()) else { break };
            self.push(&header, whole);
            rest = after;
        }
        bytes.len() - rest.len()
    }

    fn push(&mut self, header: &BatchHeader, bytes: &[u8]) {
        self.batches.push(Batch {
            base: header.base_offset,
            next: header.next_offset(),
            epoch: header.leader_epoch,
            hash: xxh3_64(bytes),
            count: header.count,
            position: self.readable,
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            latest: header.max_timestamp,
            stamp: Stamp::of(header, bytes),
        });
        self.readable += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::batch;

    #[test]
    fn a_batch_written_in_pieces_is_read_when_its_last_byte_is_there() {
        let bytes = batch(7, 1, &[11, 12]);
        let mut segment = Segment::default();
        for (position, byte) in bytes.iter().enumerate() {
            assert!(segment.batches().is_empty());
            segment.write(position as u64, &[*byte]);
        }
        assert_eq!((segment.batches()[0].base, segment.batches()[0].next), (Offset(7), Offset(9)));
        assert!(!segment.has_garbage());
    }

    #[test]
    fn a_cut_forgets_what_it_cuts_and_the_log_goes_on_from_there() {
        let (first, second) = (batch(0, 1, &[1]), batch(1, 1, &[2]));
        let mut segment = Segment::default();
        segment.write(0, &[first.clone(), second.clone()].concat());
        segment.cut(first.len() as u64);
        assert_eq!(segment.batches().len(), 1);
        let written = segment.write(first.len() as u64, &second);
        assert_eq!(written, Written { first: 1, replaced: false, after_garbage: false });
        assert_eq!(segment.batches().len(), 2);
    }

    #[test]
    fn bytes_after_a_cut_in_the_middle_of_a_batch_can_not_be_read() {
        let (first, second) = (batch(0, 1, &[1]), batch(1, 1, &[2]));
        let mut segment = Segment::default();
        segment.write(0, &first);
        segment.cut(first.len() as u64 - 1);
        assert!(segment.write(first.len() as u64 - 1, &second).after_garbage);
        assert!(segment.has_garbage());
    }

    #[test]
    fn what_survives_is_read_up_to_the_first_bad_checksum() {
        let mut bytes = [batch(0, 1, &[1]), batch(1, 1, &[2])].concat();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let segment = Segment::survived(&bytes, None);
        assert_eq!(segment.batches().len(), 1);
        assert!(segment.has_garbage());
    }

    #[test]
    fn a_batch_that_rotted_survives_as_it_was_written_and_is_not_intact() {
        let bytes = [batch(0, 1, &[1]), batch(1, 1, &[2]), batch(2, 1, &[3])].concat();
        let mut before = Segment::default();
        before.write(0, &bytes);
        let (second, third) = (before.batches()[1], before.batches()[2]);
        before.damaged(second.position..second.position + 1);
        let mut found = bytes.clone();
        found[second.position as usize] ^= 1;
        let after = Segment::survived(&found, Some(&before));
        assert_eq!(after.batches(), before.batches());
        assert!(!after.is_intact(&second) && after.is_intact(&third) && !after.has_garbage());
        // What the power loss itself did is told from that.
        found.truncate(third.position as usize + 1);
        let torn = Segment::survived(&found, Some(&before));
        assert_eq!(torn.batches(), &before.batches()[..2]);
        assert!(torn.has_garbage());
    }

    #[test]
    fn a_refused_write_that_wrote_nothing_leaves_all_batches() {
        let mut segment = Segment::default();
        segment.write(0, &[batch(0, 1, &[1]), batch(1, 1, &[2])].concat());
        let nothing = Written { first: 2, replaced: false, after_garbage: false };
        for position in [0, 1, segment.readable(), segment.readable() + 1] {
            assert_eq!(segment.write(position, &[]), nothing, "at {position}");
        }
        assert_eq!(segment.batches().len(), 2);
        assert!(!segment.has_garbage());
    }

    #[test]
    fn a_write_over_older_bytes_replaces_them() {
        let (first, second) = (batch(0, 1, &[1]), batch(0, 2, &[2]));
        let mut segment = Segment::default();
        segment.write(0, &first);
        assert!(segment.write(0, &second).replaced);
        assert_eq!(segment.batches()[0].epoch, LeaderEpoch(2));
        assert_eq!(segment.batches().len(), 1);
    }
}
