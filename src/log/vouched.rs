//! The ranges of a segment that this process may serve: those that it wrote or has verified.
//!
//! A log that was closed cleanly, or synced before a crash, is opened without reading it. Its
//! batches are verified when they are first read: their checksums, and the offsets and leader
//! epochs, which the checksums do not cover. A corrupt batch is refused with its file and position.
//!
//! Near the log end, where most reads are, verified or written bytes stay trusted: they are in the
//! page cache. Older pages may have been evicted and read from the device again, so every read of
//! them is verified. (The kernel knows what is cached, but not whether a verified read loaded it.)
//!
//! Kafka's broker verifies batches when they are appended and when a log is recovered, and leaves
//! the rest to its consumers (`check.crcs`).

use std::ops::Range;

use super::lookup::Located;
use super::scan::{FAR, NEAR, Stop, Walk};
use super::segment::Segment;
use super::{Epochs, LogError, names};
use crate::base::{Flaw, LeaderEpoch, Offset};
use crate::io::Disk;
use crate::wire::batch::{BatchError, BatchHeader, HEADER_LEN};

/// Bytes before the log end that are assumed to be in memory: many times the size of a fetch.
const HOT: u64 = 16 << 20;

/// Maximum number of ranges; beyond it the shortest is dropped and verified again.
const PIECES: usize = 64;

/// Disjoint ranges of a file that are known to be valid, in file order.
#[derive(Debug, Default)]
pub(super) struct Vouched {
    pieces: Vec<Range<u64>>,
}

impl Vouched {
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        let after = self.pieces.partition_point(|piece| piece.start <= range.start);
        after.checked_sub(1).is_some_and(|piece| self.pieces[piece].end >= range.end)
    }

    /// Drops all ranges.
    pub(super) fn forget(&mut self) {
        self.pieces.clear();
    }

    pub(super) fn add(&mut self, mut range: Range<u64>) {
        // An append extends the last range.
        if let Some(last) = self.pieces.last_mut().filter(|last| last.end == range.start) {
            last.end = range.end;
            return;
        }
        let from = self.pieces.partition_point(|piece| piece.end < range.start);
        let to = self.pieces.partition_point(|piece| piece.start <= range.end);
        for piece in self.pieces.drain(from..to) {
            range = range.start.min(piece.start)..range.end.max(piece.end);
        }
        self.pieces.insert(from, range);
        if self.pieces.len() > PIECES {
            // Not the new range: a sequential reader will extend it.
            let others = (0..self.pieces.len()).filter(|at| *at != from);
            let len = |at: &usize| self.pieces[*at].end - self.pieces[*at].start;
            if let Some(shortest) = others.min_by_key(len) {
                self.pieces.remove(shortest);
            }
        }
    }

    /// Called after the file was truncated.
    pub(super) fn cut_at(&mut self, end: u64) {
        self.pieces.retain(|piece| piece.start < end);
        if let Some(last) = self.pieces.last_mut() {
            last.end = last.end.min(end);
        }
    }
}

impl<D: Disk> Segment<D> {
    /// Whether the batch `header` may come next in the log, if the next offset is `due`.
    pub(super) fn follows(&self, due: Offset, header: &BatchHeader) -> Result<(), BatchError> {
        let found = header.base_offset;
        if found == due || (found > due && !self.dense) {
            return Ok(());
        }
        Err(BatchError::Corrupt("its offset does not follow"))
    }

    /// The error for a corrupt position in this segment.
    pub(super) fn corrupt(&self, position: u64, offset: Offset, problem: &str) -> LogError {
        let (path, problem) = (self.path.clone(), problem.to_owned());
        LogError::Corrupt { path, position, offset, problem }
    }

    /// Verifies the `len` bytes from the batch `first` on, which must end before `next`; does
    /// nothing if they are known to be valid. If a batch is corrupt, the ones before it are valid:
    /// returns how many bytes, and the next offset.
    pub(super) fn vouch(
        &self,
        first: &Located,
        len: u64,
        next: Offset,
        epochs: &Epochs,
    ) -> Result<(u64, Offset), LogError> {
        let range = first.position..first.position + len;
        let is_hot = self.active && range.start >= self.size.saturating_sub(HOT);
        if is_hot && self.vouched.lock().covers(&range) {
            return Ok((len, next));
        }
        let chunk = (len as usize).saturating_add(HEADER_LEN).clamp(NEAR, FAR);
        let mut walk = Walk::new(&self.file, &self.path, range.start, self.size, chunk);
        let mut due = first.header.base_offset;
        // A valid batch at this offset follows all bytes before.
        let mut sure = (range.start, due);
        while walk.position() < range.end {
            let at = walk.position();
            match self.next_vouched(&mut walk, due, epochs) {
                Ok(header) => {
                    sure = (at, due);
                    due = header.next_offset();
                }
                Err(stop) => {
                    let in_place = |header: BatchHeader| header.base_offset == due;
                    if walk.peek().is_ok_and(|header| header.is_some_and(in_place)) {
                        sure = (at, due);
                    }
                    return match stop.into_error(&self.path, at, due) {
                        LogError::Corrupt { .. } if sure.0 > range.start => {
                            self.remember(range.start..sure.0);
                            Ok((sure.0 - range.start, sure.1))
                        }
                        error => Err(error),
                    };
                }
            }
        }
        // No checksum covers the last offset: the next batch confirms it.
        let follows = match walk.peek() {
            Ok(Some(header)) => self.follows(due, &header).is_ok(),
            Ok(None) => due == self.end || (due < self.end && !self.dense),
            Err(Stop::Log(error)) => return Err(error),
            Err(Stop::Bad(_)) => true,
        };
        if !follows && due < self.end && self.whole_end() == Some(due) {
            // The next segment is missing, or the end of this one. All that is here is good.
            self.remember(range);
            return Ok((len, due));
        }
        if !follows || due > next || (due < next && self.dense) {
            let problem = format!(
                "the batches before it end at {due}, but the next one must begin at {next}"
            );
            return Err(self.corrupt(walk.position(), due, &problem));
        }
        self.remember(range);
        Ok((len, next))
    }

    /// Where its batches end, if they follow each other without a gap from its beginning to the end
    /// of the file.
    pub(super) fn whole_end(&self) -> Option<Offset> {
        let mut walk = Walk::new(&self.file, &self.path, 0, self.size, FAR);
        let mut due = self.base;
        while let Ok(Some((_, header))) = walk.next()
            && header.base_offset == due
        {
            due = header.next_offset();
            if walk.position() == self.size {
                return Some(due);
            }
        }
        (self.size == 0).then_some(due)
    }

    fn remember(&self, range: Range<u64>) {
        if self.active {
            self.vouched.lock().add(range);
        }
    }

    fn next_vouched(
        &self,
        walk: &mut Walk<'_, D::File>,
        due: Offset,
        epochs: &Epochs,
    ) -> Result<BatchHeader, Stop> {
        let Some(header) = walk.peek()? else {
            return Err(Stop::Bad(BatchError::Corrupt("the file ends here")));
        };
        if !self.flaws.has(Flaw::ServeBadCrc) {
            walk.verify(&header)?;
        }
        self.follows(due, &header).map_err(Stop::Bad)?;
        let epoch = epochs.at(header.base_offset);
        if epoch != LeaderEpoch::NONE && epoch != header.leader_epoch {
            return Err(Stop::Log(LogError::Corrupt {
                path: self.path.clone(),
                position: walk.position(),
                offset: header.base_offset,
                problem: format!(
                    "its leader epoch is {}, but {epoch} in {}",
                    header.leader_epoch,
                    self.path.with_file_name(names::EPOCHS).display()
                ),
            }));
        }
        walk.skip(&header);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vouched(pieces: &[Range<u64>]) -> Vouched {
        let mut vouched = Vouched::default();
        pieces.iter().for_each(|piece| vouched.add(piece.clone()));
        vouched
    }

    #[test]
    fn adjacent_ranges_merge() {
        let apart = vouched(&[40..50, 0..10, 20..30]);
        assert_eq!(apart.pieces, [0..10, 20..30, 40..50]);
        assert!(apart.covers(&(22..30)) && !apart.covers(&(5..25)) && !apart.covers(&(10..20)));
        let joined = vouched(&[40..50, 0..10, 20..30, 10..20]);
        assert_eq!(joined.pieces, [0..30, 40..50]);
        let around = vouched(&[0..10, 20..30, 5..40, 60..70]);
        assert_eq!(around.pieces, [0..40, 60..70]);
    }

    #[test]
    fn rewritten_range_after_truncation_is_verified_again() {
        let mut cut = vouched(&[0..10, 20..30, 40..50, 60..70]);
        cut.cut_at(45);
        assert_eq!(cut.pieces, [0..10, 20..30, 40..45]);
        cut.cut_at(40);
        assert_eq!(cut.pieces, [0..10, 20..30]);
    }

    #[test]
    fn memory_is_bounded_for_random_readers() {
        let pieces: Vec<_> = (0..1000).map(|at| at * 10..at * 10 + 5).collect();
        assert_eq!(vouched(&pieces).pieces.len(), PIECES);
    }

    #[test]
    fn sequential_reader_keeps_its_range_beside_random_ones() {
        let mut pieces: Vec<_> = (1000..1100).map(|at| at * 10..at * 10 + 5).collect();
        pieces.extend((0..100).map(|at| at * 5..at * 5 + 5));
        assert!(vouched(&pieces).covers(&(0..500)));
    }
}
