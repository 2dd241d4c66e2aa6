//! Truncation: a follower removes the end of its log to agree with its leader.
//!
//! The order of steps makes a crash in between harmless. First the recovery point in the checkpoint
//! is lowered durably; otherwise new, unsynced data above the truncation point would be below a
//! recovery point that declares it synced. Then segments are removed from the end, so that the rest
//! is always a prefix. Last the truncation itself is made durable, before anything is appended;
//! otherwise whole removed batches could come back before newer ones, with matching offsets and
//! epochs, and valid checksums.

use super::segment::Segment;
use super::{Log, LogError};
use crate::base::{Offset, Timestamp};
use crate::io::Disk;

/// The result of a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The new log end: at or below the requested offset, because only whole batches stay.
    pub end: Offset,
    /// Whether the epoch history lost an entry. [`Log::save_epochs`] is due after every truncation,
    /// before the next append: it makes the truncation durable as well.
    pub epochs_changed: bool,
}

impl<D: Disk> Log<D> {
    /// Removes the batch that holds `offset` and everything after it. Fails with
    /// [`LogError::CheckpointFirst`], without a change of the log, when the recovery point on disk
    /// may be higher: save it (it was lowered), then retry.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<Truncated, LogError> {
        self.durability.check_online()?;
        if offset >= self.log_end {
            // Also removes an epoch without records at the end: the leader does not know it, and
            // would report a divergence at every fetch.
            let epochs_changed = self.epochs.truncate_from_end(self.log_end);
            if epochs_changed {
                self.durability.epochs_changed();
            }
            return Ok(Truncated { end: self.log_end, epochs_changed });
        }
        let Some((base, segment)) = self.segments.range(..=offset).next_back() else {
            return self.truncate_fully_and_start_at(offset);
        };
        let base = *base;
        self.durability.cut(segment.end_below(offset)?)?;
        let cut = self.cut_segments(base, offset);
        self.or_offline(cut)?;
        let end = self.log_end;
        self.log_start = self.log_start.min(end);
        let epochs_changed = self.epochs.truncate_from_end(end);
        if epochs_changed {
            self.durability.epochs_changed();
        }
        let mut reloaded = self.forget_snapshots(|at| at > end);
        // No producers at the end means none before, except those that have expired: then a transaction
        // may be open again, and the index may still say that it was aborted.
        let reopened = self.unreplicated.iter().any(|ended| ended.marker >= end);
        if reloaded.is_ok() && (reopened || !self.producers.is_empty()) {
            reloaded = self.load_producers();
        }
        self.or_offline(reloaded)?;
        self.check();
        Ok(Truncated { end, epochs_changed })
    }

    /// Removes segments above `base`, last one first, and truncates the one at `base` to `offset`.
    fn cut_segments(&mut self, base: Offset, offset: Offset) -> Result<(), LogError> {
        self.tail = None;
        while let Some(entry) = self.segments.last_entry().filter(|entry| *entry.key() > base) {
            self.durability.names_changed();
            entry.remove().remove()?;
        }
        let config = self.config;
        let active = self.active()?;
        active.truncate_to(offset, &config)?;
        let base = active.base;
        self.log_end = active.end;
        self.cleaned_to = self.cleaned_to.min(self.log_end);
        self.durability.cut_in(base);
        Ok(())
    }

    /// Empties the log, so that the next record has `offset`. May fail like [`Log::truncate_to`].
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<Truncated, LogError> {
        self.durability.check_online()?;
        // While old segments are removed one by one, a crash may leave any log end.
        self.durability.cut(Offset::ZERO)?;
        let started = self.start_over(offset);
        self.or_offline(started)?;
        let epochs_changed = self.epochs.clear();
        self.durability.epochs_changed();
        self.check();
        Ok(Truncated { end: offset, epochs_changed })
    }

    fn start_over(&mut self, offset: Offset) -> Result<(), LogError> {
        self.tail = None;
        self.durability.names_changed();
        while let Some((_, segment)) = self.segments.pop_last() {
            segment.remove()?;
        }
        self.forget_snapshots(|_| true)?;
        self.producers.clear();
        self.unreplicated.clear();
        self.cleaned_to = Offset::NONE;
        // Its age starts with its first batch.
        let fresh = Segment::create(&self.disk, &self.dir, offset, &self.config, Timestamp::NONE)?;
        self.segments.insert(offset, Box::new(fresh));
        self.durability.cut_in(offset);
        (self.log_start, self.log_end) = (offset, offset);
        Ok(())
    }

    /// If a truncation fails halfway, memory and files differ: the log goes offline.
    pub(super) fn or_offline<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        if result.is_err() {
            self.durability.go_offline();
        }
        result
    }
}
