//! One partition's log: its parts, and the questions that need no file access.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};

use super::checkpoint::Saver;
use super::flush::Durability;
use super::producers::{Ended, Producers};
use super::segment::Segment;
use super::verification::Verifications;
use super::{Epochs, LogConfig, LogError};
use crate::base::{Flaw, LeaderEpoch, Offset, Timestamp};
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
    /// Transactions that are being verified before their first batch. Not replicated.
    pub(super) verifications: Verifications,
    /// No producer that may expire is silent, and no verification pending, since before this time.
    pub(super) idle_since: Option<Timestamp>,
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
        if self.config.flaws.has(Flaw::ForgetProducer) {
            self.producers.forget_below(to);
        }
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

    /// Forgets idempotent producers that have been silent for too long, and verifications that came
    /// to nothing.
    pub fn expire_producers(&mut self, now: Timestamp) {
        let after = self.config.producer_expiration;
        self.producers.expire(now, after);
        self.verifications.expire(now, after);
        let idle = self.producers.longest_silent().into_iter().chain(self.verifications.oldest());
        self.idle_since = idle.min();
    }

    /// The earliest time at which [`Log::expire_producers`] may find something, if nothing else is
    /// appended; `None` without producers.
    pub fn producers_expire_at(&self) -> Option<Timestamp> {
        let after = i64::try_from(self.config.producer_expiration.as_millis()).unwrap_or(i64::MAX);
        Some(Timestamp(self.idle_since?.0.saturating_add(after)))
    }

    /// A producer has written at this time, by its own clock, or is being verified since.
    pub(super) fn note_idle_since(&mut self, time: Timestamp) {
        self.idle_since = Some(self.idle_since.map_or(time, |since| since.min(time)));
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
