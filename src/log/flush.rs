//! Flushing: which part of a log is durable, and how the rest becomes durable.
//!
//! The recovery point only passes what was synced: batches, the names of their files, the indexes
//! of sealed segments and the epoch history. A plan owns handles of the files that it syncs, so
//! that the log can be used meanwhile; a plan from before a truncation does not count.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Log, LogError, names, snapshot};
use crate::base::{Flaw, Offset};
use crate::io::{Disk, File, Open};

type Saving = Pin<Box<dyn Future<Output = Result<(), LogError>> + Send>>;

/// Orders marks over all logs, because logs come and go while checkpoints are written.
static MARKS: AtomicU64 = AtomicU64::new(1);

/// Retries with the flaw `retry-fsync`.
const TRIES: u32 = 10;

/// A recovery point to be saved in the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryMark {
    /// The recovery point.
    pub offset: Offset,
    pub(super) number: u64,
}

/// Which part of a log is durable.
pub(super) struct Durability {
    dir: PathBuf,
    /// A write or sync failed: it is unknown what is durable from then on ("fsyncgate", ATC'20).
    offline: Arc<AtomicBool>,
    recovery_point: Offset,
    /// Number of truncations: a plan from before the last one proves nothing.
    cuts: u64,
    /// How many of them are durable, and the segments with truncations that are not.
    cuts_synced: Arc<AtomicU64>,
    cut_segments: BTreeSet<Offset>,
    /// Number of changes of the directory, and how many of them are durable.
    names: u64,
    names_synced: u64,
    /// Number of changes of the epochs, and how many of them are saved.
    epochs: u64,
    epochs_saved: Arc<AtomicU64>,
    snapshots: BTreeSet<Offset>,
    /// Recovery points that the checkpoint may hold, oldest first.
    marks: VecDeque<RecoveryMark>,
}

/// Confirms that the epochs were saved as they were at its creation.
pub(super) struct EpochsSaved {
    saved: Arc<AtomicU64>,
    number: u64,
}

impl EpochsSaved {
    pub(super) fn done(&self) {
        self.saved.fetch_max(self.number, Ordering::Relaxed);
    }
}

impl Durability {
    /// `saved` is the recovery point in the checkpoint.
    pub(super) fn new(dir: PathBuf, recovery_point: Offset, saved: Offset) -> Self {
        Self {
            dir,
            offline: Arc::default(),
            recovery_point,
            cuts: 0,
            cuts_synced: Arc::default(),
            cut_segments: BTreeSet::new(),
            names: 1,
            names_synced: 0,
            epochs: 1,
            epochs_saved: Arc::default(),
            snapshots: BTreeSet::new(),
            marks: VecDeque::from([RecoveryMark { offset: saved, number: 0 }]),
        }
    }

    pub(super) fn check_online(&self) -> Result<(), LogError> {
        if self.offline.load(Ordering::Relaxed) {
            return Err(LogError::Offline(self.dir.clone()));
        }
        Ok(())
    }

    pub(super) fn go_offline(&self) {
        self.offline.store(true, Ordering::Relaxed);
    }

    /// How often the log was truncated.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts
    }

    pub(super) fn names_changed(&mut self) {
        self.names += 1;
    }

    pub(super) fn epochs_changed(&mut self) {
        self.epochs += 1;
    }

    pub(super) fn epochs_saver(&self) -> EpochsSaved {
        EpochsSaved { saved: self.epochs_saved.clone(), number: self.epochs }
    }

    fn epochs_are_saved(&self) -> bool {
        self.epochs_saved.load(Ordering::Relaxed) >= self.epochs
    }

    pub(super) fn snapshot_written(&mut self, at: Offset) {
        self.snapshots.insert(at);
    }

    /// Prepares a truncation at `to`: lowers the recovery point. Fails while the recovery point in
    /// the checkpoint may be higher.
    pub(super) fn cut(&mut self, to: Offset) -> Result<(), LogError> {
        self.cuts += 1;
        self.recovery_point = self.recovery_point.min(to);
        self.cut_segments = self.cut_segments.range(..to).copied().collect();
        self.snapshots = self.snapshots.range(..=to).copied().collect();
        let saved = self.marks.iter().map(|mark| mark.offset).max().unwrap_or(Offset::ZERO);
        if saved > to {
            return Err(LogError::CheckpointFirst { dir: self.dir.clone(), saved, to });
        }
        Ok(())
    }
}

impl Durability {
    /// The last truncation shortened this segment.
    pub(super) fn cut_in(&mut self, base: Offset) {
        self.cut_segments.insert(base);
    }

    /// The process before may have shortened this segment, and died before that was durable.
    pub(super) fn cut_before(&mut self, base: Offset) {
        self.cuts += 1;
        self.cut_in(base);
    }

    fn cut_is_durable(&self) -> bool {
        self.cuts_synced.load(Ordering::Relaxed) >= self.cuts
    }
}

/// The syncs that make a truncation durable: shortened files, and the names of removed ones.
pub(super) struct CutSync<D: Disk> {
    disk: D,
    dir: PathBuf,
    offline: Arc<AtomicBool>,
    files: Vec<(PathBuf, D::File)>,
    synced: Arc<AtomicU64>,
    cuts: u64,
}

impl<D: Disk> CutSync<D> {
    pub(super) async fn run(self) -> Result<(), LogError> {
        let failed = |error: LogError| {
            self.offline.store(true, Ordering::Relaxed);
            error
        };
        for (path, file) in &self.files {
            file.sync().await.map_err(LogError::io("sync", path)).map_err(failed)?;
        }
        let synced = self.disk.sync_dir(&self.dir).await;
        synced.map_err(LogError::io("sync", &self.dir)).map_err(failed)?;
        self.synced.fetch_max(self.cuts, Ordering::Relaxed);
        Ok(())
    }
}

/// The syncs that make a part of the log durable.
pub struct FlushPlan<D: Disk> {
    disk: D,
    dir: PathBuf,
    offline: Arc<AtomicBool>,
    /// Files that are already open.
    files: Vec<(PathBuf, D::File)>,
    /// Files to open for the sync. A missing file means that the plan is stale.
    paths: Vec<PathBuf>,
    epochs: Option<(Saving, EpochsSaved)>,
    sync_names: bool,
    flushed: Flushed,
    /// The flaw `retry-fsync`: a successful retry is trusted.
    tries_again: bool,
}

/// What a plan made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Everything below is durable, if the log was not truncated meanwhile.
    pub upto: Offset,
    cuts: u64,
    names: u64,
    sealed: Vec<Offset>,
}

impl<D: Disk> FlushPlan<D> {
    /// Everything below this offset will be durable.
    pub fn upto(&self) -> Offset {
        self.flushed.upto
    }

    /// Whether there is nothing to sync.
    pub fn is_empty(&self) -> bool {
        let Self { files, paths, epochs, sync_names, .. } = self;
        files.is_empty() && paths.is_empty() && epochs.is_none() && !sync_names
    }

    /// Syncs. A failed sync takes the log offline: a successful retry would prove nothing.
    pub async fn run(self) -> Result<Flushed, LogError> {
        let failed = |error: LogError| {
            self.offline.store(true, Ordering::Relaxed);
            error
        };
        if self.offline.load(Ordering::Relaxed) {
            return Err(LogError::Offline(self.dir.clone()));
        }
        for (path, file) in &self.files {
            let mut synced = file.sync().await;
            for _ in 0..if self.tries_again { TRIES } else { 0 } {
                if synced.is_ok() {
                    break;
                }
                synced = file.sync().await;
            }
            synced.map_err(LogError::io("sync", path)).map_err(failed)?;
        }
        for path in &self.paths {
            match self.disk.open(path, Open::Existing) {
                Ok(file) => {
                    file.sync().await.map_err(LogError::io("sync", path)).map_err(failed)?
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::io("open", path)(error)),
            }
        }
        if let Some((save, saved)) = self.epochs {
            save.await.map_err(|error| if error.is_full() { error } else { failed(error) })?;
            saved.done();
        }
        if self.sync_names {
            let synced = self.disk.sync_dir(&self.dir).await;
            synced.map_err(LogError::io("sync", &self.dir)).map_err(failed)?;
        }
        Ok(self.flushed)
    }
}

impl<D: Disk> std::fmt::Debug for FlushPlan<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FlushPlan({}, up to {})", self.dir.display(), self.upto())
    }
}

impl<D: Disk> Log<D> {
    /// The recovery point: everything below is known to be durable.
    pub fn recovery_point(&self) -> Offset {
        self.durability.recovery_point
    }

    /// Number of records (offsets) that are not known to be durable.
    pub fn unflushed_messages(&self) -> i64 {
        let first = self.segments.keys().next().copied().unwrap_or(self.log_end);
        self.log_end.0 - self.recovery_point().max(first).0
    }

    /// Whether a write or sync failed: the log accepts nothing more until it is opened again.
    pub fn is_offline(&self) -> bool {
        self.durability.check_online().is_err()
    }

    /// The syncs that make the whole log durable.
    pub fn flush_plan(&self) -> FlushPlan<D> {
        self.plan(self.log_end)
    }

    /// The syncs for all segments except the active one: due after each roll.
    pub fn roll_flush_plan(&self) -> FlushPlan<D> {
        self.plan(self.segments.keys().next_back().copied().unwrap_or(self.log_end))
    }

    /// The syncs that make the last truncation durable, if it is not yet.
    pub(super) fn cut_sync(&self) -> Option<CutSync<D>> {
        let state = &self.durability;
        if state.cut_is_durable() {
            return None;
        }
        let segments = state.cut_segments.iter().filter_map(|base| self.segments.get(base));
        Some(CutSync {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            offline: state.offline.clone(),
            files: segments.map(|segment| (segment.path.clone(), segment.file.clone())).collect(),
            synced: state.cuts_synced.clone(),
            cuts: state.cuts,
        })
    }

    fn plan(&self, upto: Offset) -> FlushPlan<D> {
        let state = &self.durability;
        let active = self.segments.keys().next_back().copied();
        let (mut files, mut paths, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
        let is_cut = |base: &Offset| !state.cut_is_durable() && state.cut_segments.contains(base);
        // One that was cut to nothing begins where the log ends.
        let cut = self.segments.range(upto..).filter(|(base, _)| is_cut(base));
        let files_of_cut = cut.map(|(_, segment)| (segment.path.clone(), segment.file.clone()));
        files.extend(files_of_cut);
        for (base, segment) in self.segments.range(..upto) {
            if segment.end > state.recovery_point || is_cut(base) {
                files.push((segment.path.clone(), segment.file.clone()));
            }
            // The active segment's indexes are rebuilt after a crash.
            if Some(*base) != active
                && let Some(indexes) = segment.unsynced_indexes()
            {
                paths.extend(indexes);
                sealed.push(*base);
            }
        }
        paths.extend(state.snapshots.iter().map(|at| names::snapshot(&self.dir, *at)));
        let epochs = (!state.epochs_are_saved()).then(|| -> (Saving, EpochsSaved) {
            let text = self.epochs.to_text().into_bytes();
            (Box::pin(self.epochs_file.save(&self.disk, text)), state.epochs_saver())
        });
        FlushPlan {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            offline: state.offline.clone(),
            files,
            paths,
            epochs,
            sync_names: state.names > state.names_synced
                && !self.config.flaws.has(Flaw::NoDirectorySync),
            flushed: Flushed { upto, cuts: state.cuts, names: state.names, sealed },
            tries_again: self.config.flaws.has(Flaw::RetryFsync),
        }
    }

    /// Applies a completed plan: raises the recovery point, unless the log was truncated meanwhile.
    pub fn flushed(&mut self, flushed: &Flushed) {
        let state = &mut self.durability;
        if flushed.cuts != state.cuts {
            return;
        }
        state.cut_segments.clear();
        state.cuts_synced.fetch_max(flushed.cuts, Ordering::Relaxed);
        state.recovery_point = state.recovery_point.max(flushed.upto);
        state.names_synced = state.names_synced.max(flushed.names);
        state.snapshots = state.snapshots.split_off(&flushed.upto.next());
        for base in &flushed.sealed {
            if let Some(segment) = self.segments.get(base) {
                segment.indexes_synced();
            }
        }
        self.check_durable();
    }

    /// The recovery point, to be saved by [`super::LogDir::save_recovery_points`].
    pub fn mark_recovery_point(&mut self) -> RecoveryMark {
        let number = MARKS.fetch_add(1, Ordering::Relaxed);
        let mark = RecoveryMark { offset: self.recovery_point(), number };
        self.durability.marks.push_back(mark);
        mark
    }

    /// The mark, or a later one, is durable in the checkpoint.
    pub fn recovery_point_saved(&mut self, mark: &RecoveryMark) {
        self.durability.marks.retain(|earlier| earlier.number >= mark.number);
    }

    /// Makes everything durable and leaves the files as Kafka does: indexes truncated to the used
    /// part, a producer snapshot at the end. The mark is for the checkpoint, which must be saved
    /// before the directory is marked as clean.
    pub async fn close(mut self) -> Result<RecoveryMark, LogError> {
        self.durability.check_online()?;
        self.active()?.seal();
        let mut plan = self.plan(self.log_end);
        if let Some(paths) = self.active()?.unsynced_indexes() {
            plan.paths.extend(paths);
        }
        if !self.snapshots.contains(&self.log_end) && self.log_end > Offset::ZERO {
            let path = names::snapshot(&self.dir, self.log_end);
            let bytes = snapshot::encode(&self.producers);
            super::checkpoint::write_synced(&self.disk, &path, &bytes).await?;
            plan.sync_names = true;
        }
        let flushed = plan.run().await?;
        self.flushed(&flushed);
        Ok(self.mark_recovery_point())
    }
}
