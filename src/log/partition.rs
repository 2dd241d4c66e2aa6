//! One partition's log: its parts, and the questions that need no file access.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};

use super::checkpoint::Saver;
use super::flush::Durability;
use super::producers::{Ended, Producers};
use super::segment::Segment;
use super::{Epochs, LogConfig, LogError};
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::Disk;

/// One partition's log.
///
/// Its methods touch the page cache only, except those that return futures; none of these borrows
/// the log, so it may stand behind a lock that is not held while they are awaited.
pub struct Log<D: Disk> {
    pub(super) disk: D,
    pub(super) dir: PathBuf,
    pub(super) config: LogConfig,
    /// By base offset; never empty. The last one is appended to.
    /// Boxed: a `BTreeMap` leaf allocates eleven slots at once.
    pub(super) segments: BTreeMap<Offset, Box<Segment<D>>>,
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    pub(super) epochs: Epochs,
    pub(super) epochs_file: Saver,
    pub(super) producers: Producers,
    /// Transactions whose marker may not be committed yet, in the order of markers.
    pub(super) unreplicated: VecDeque<Ended>,
    /// The log is clean below this offset: it has only the latest record of each key.
    pub(super) cleaned_to: Offset,
    /// Offsets for which there is a producer snapshot.
    pub(super) snapshots: BTreeSet<Offset>,
    pub(super) durability: Durability,
    /// Where the last append begins, in offsets and in the last segment: where readers at the end
    /// of the log will look next.
    pub(super) tail: Option<(Offset, u64)>,
}

impl<D: Disk> Log<D> {
    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record gets.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Bytes in all segments.
    pub fn size(&self) -> u64 {
        self.segments.values().map(|segment| segment.size).sum()
    }

    /// Base offsets of the segments.
    pub fn segment_bases(&self) -> impl Iterator<Item = Offset> {
        self.segments.keys().copied()
    }

    /// Its settings.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the settings for later appends. A log that may have gaps still may.
    pub fn set_config(&mut self, config: LogConfig) {
        let was_compacted = config.was_compacted || self.config.may_have_gaps();
        self.config = LogConfig { was_compacted, ..config };
        if self.config.may_have_gaps() {
            // What a compacted leader sends next may begin behind a gap, in any of them after a truncation.
            self.segments.values_mut().for_each(|segment| segment.dense = false);
        }
    }

    /// Raises the log start, at most to the log end: records below can no longer be read. Returns
    /// whether it moved. The files stay.
    pub fn advance_log_start(&mut self, to: Offset) -> bool {
        let to = to.min(self.log_end);
        if to <= self.log_start {
            return false;
        }
        self.log_start = to;
        if self.epochs.truncate_from_start(to) {
            self.durability.epochs_changed();
        }
        self.check();
        true
    }

    /// The history of leader epochs.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The newest leader epoch, `NONE` without any.
    pub fn latest_epoch(&self) -> LeaderEpoch {
        self.epochs.latest()
    }

    /// See [`Epochs::end_offset_for`].
    pub fn end_offset_for(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.epochs.end_offset_for(epoch, self.log_end)
    }

    /// Records that a leader's epoch begins at the log end, before its first append (KAFKA-7415).
    /// Returns whether that was new: then [`Log::save_epochs`] is due.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) -> bool {
        let news = self.epochs.assign(epoch, self.log_end);
        if news {
            self.durability.epochs_changed();
        }
        self.check();
        news
    }

    /// Makes the history of epochs durable, and before that the last cut. A [`super::FlushPlan`]
    /// does that, too.
    pub fn save_epochs(&self) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let saved = self.durability.epochs_saver();
        let save = self.epochs_file.save(&self.disk, self.epochs.to_text().into_bytes());
        let cut = self.cut_sync();
        async move {
            if let Some(cut) = cut {
                cut.run().await?;
            }
            save.await?;
            saved.done();
            Ok(())
        }
    }

    /// Idempotent producers that are remembered.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Forgets idempotent producers that have been silent for too long.
    pub fn expire_producers(&mut self, now: Timestamp) {
        self.producers.expire(now, self.config.producer_expiration);
    }

    /// The segment that is appended to.
    pub(super) fn active(&mut self) -> Result<&mut Segment<D>, LogError> {
        match self.segments.last_entry() {
            Some(entry) => Ok(entry.into_mut()),
            // Only a truncation that failed half-way leaves none; the log is offline then.
            None => Err(LogError::Offline(self.dir.clone())),
        }
    }
}

impl<D: Disk> std::fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("start", &self.log_start)
            .field("end", &self.log_end)
            .field("segments", &self.segments.values())
            .finish_non_exhaustive()
    }
}
