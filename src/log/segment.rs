//! One segment: a file of batches, and the indexes that find them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::index::{Indexes, Moment, Place};
use super::scan::{NEAR, Stop, Walk};
use super::transactions::{self, Aborted};
use super::vouched::Vouched;
use super::{LogConfig, LogError, names, retention};
use crate::base::{Flaws, Offset, Timestamp};
use crate::io::{Disk, File, Open};
use crate::wire::batch::BatchHeader;

/// Positions in Kafka's index are signed 32-bit numbers.
pub(crate) const LARGEST: u64 = i32::MAX as u64;

/// One segment of a log. All but the last are sealed: they never change, except to be truncated.
pub(crate) struct Segment<D: Disk> {
    pub(super) disk: D,
    /// The first offset that it may hold.
    pub(crate) base: Offset,
    /// The offset after its last batch.
    pub(crate) end: Offset,
    /// Its `.log`.
    pub(crate) path: PathBuf,
    /// Bytes of batches; the file has no others.
    pub(crate) size: u64,
    pub(crate) file: D::File,
    pub(super) indexes: Mutex<State<D>>,
    pub(super) tracker: Tracker,
    /// It is the log's last.
    pub(super) active: bool,
    /// What of the last segment's file this process wrote or verified.
    pub(super) vouched: Mutex<Vouched>,
    /// Its transaction index is what the batches say: this process built it, or has compared it.
    pub(super) aborted_vouched: Arc<AtomicBool>,
    /// No offset is missing between batches: never so where a cleaner was.
    pub(super) dense: bool,
    /// Of the first batch, or when the segment was created or opened: its age begins here.
    pub(super) begun: Timestamp,
    /// Behind the names of its index files: they get their place before the batches do.
    pub(super) index_suffix: &'static str,
    /// Fixes that are switched off.
    pub(super) flaws: Flaws,
    /// Where in `segment.jitter.ms` this segment is.
    spread: u64,
}

pub(super) struct State<D: Disk> {
    /// `None` until someone looks something up.
    pub(super) open: Option<Indexes<D>>,
    /// The files may hold what was never synced.
    pub(super) unsynced: bool,
}

/// Decides which batches get an index entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracker {
    /// `index.interval.bytes`.
    pub(super) interval: u64,
    /// Bytes since the batch of the last entry began.
    pub(super) since_entry: u64,
    /// The latest timestamp so far, and where it was seen first.
    pub(super) latest: Option<Moment>,
}

impl Tracker {
    pub(super) fn new(interval: u64) -> Self {
        Self { interval, since_entry: 0, latest: None }
    }

    pub(super) fn see_time(&mut self, header: &BatchHeader) {
        let latest = self.latest.map_or(Timestamp::NONE, |latest| latest.timestamp);
        if header.max_timestamp > latest {
            let (timestamp, last) = (header.max_timestamp, header.last_offset());
            self.latest = Some(Moment { timestamp, last });
        }
    }

    /// Takes the next batch into account, which is at `position`. An entry that can't be written
    /// is left out: then the way from the one before is longer.
    pub(super) fn note<D: Disk>(
        &mut self,
        indexes: &mut Indexes<D>,
        position: u64,
        header: &BatchHeader,
    ) -> bool {
        self.see_time(header);
        let due = self.since_entry > self.interval;
        if due && indexes.push_place(Place { last: header.last_offset(), position }).is_ok() {
            self.since_entry = 0;
            if let Some(latest) = self.latest {
                let _ = indexes.push_moment(latest);
            }
        }
        self.since_entry += header.size() as u64;
        due
    }

    pub(super) fn push_last<D: Disk>(&self, indexes: &mut Indexes<D>) {
        if let Some(latest) = self.latest {
            let _ = indexes.push_last_moment(latest);
        }
    }
}

impl<D: Disk> Segment<D> {
    /// A new, empty segment, ready to be appended to.
    pub(crate) fn create(
        disk: &D,
        dir: &Path,
        base: Offset,
        config: &LogConfig,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        Self::create_with(disk, dir, base, "", config, now)
    }

    /// The same, with something behind the names of its files.
    pub(crate) fn create_with(
        disk: &D,
        dir: &Path,
        base: Offset,
        suffix: &'static str,
        config: &LogConfig,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let path = names::with_suffix(&names::log(dir, base), suffix);
        let file = disk.open(&path, Open::OrCreate).map_err(LogError::io("create", &path))?;
        file.set_len(0).map_err(LogError::io("empty", &path))?;
        let mut segment = Self::of(disk, file, path, base, config, now);
        segment.index_suffix = suffix;
        segment.aborted_vouched.store(true, Ordering::Relaxed);
        segment.active = true;
        segment.reset_indexes(config)?;
        Ok(segment)
    }

    /// A segment that is there; where it ends is yet to be found out.
    pub(crate) fn open(
        disk: &D,
        dir: &Path,
        base: Offset,
        config: &LogConfig,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let path = names::log(dir, base);
        let file = disk.open(&path, Open::Existing).map_err(LogError::io("open", &path))?;
        let mut segment = Self::of(disk, file, path, base, config, now);
        segment.size = segment.file.len().map_err(LogError::io("measure", &segment.path))?;
        Ok(segment)
    }

    fn of(
        disk: &D,
        file: D::File,
        path: PathBuf,
        base: Offset,
        config: &LogConfig,
        now: Timestamp,
    ) -> Self {
        Self {
            disk: disk.clone(),
            base,
            end: base,
            spread: xxh3_64(path.as_os_str().as_encoded_bytes()),
            path,
            size: 0,
            file,
            indexes: Mutex::new(State { open: None, unsynced: false }),
            tracker: Tracker::new(config.index_interval_bytes),
            active: false,
            vouched: Mutex::default(),
            aborted_vouched: Arc::default(),
            dense: !config.may_have_gaps(),
            flaws: config.flaws,
            begun: now,
            index_suffix: "",
        }
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    pub(super) fn index_paths(&self) -> (PathBuf, PathBuf) {
        let [index, time_index, _] = self.all_index_paths();
        (index, time_index)
    }

    fn all_index_paths(&self) -> [PathBuf; 3] {
        let (dir, base) = (self.dir(), self.base);
        [names::index(dir, base), names::time_index(dir, base), names::transaction_index(dir, base)]
            .map(|path| names::with_suffix(&path, self.index_suffix))
    }

    /// Files of indexes that may hold what was never synced; some of them may not be there.
    pub(crate) fn unsynced_indexes(&self) -> Option<[PathBuf; 3]> {
        self.indexes.lock().unsynced.then(|| self.all_index_paths())
    }

    /// Transactions that were aborted by a marker in this segment, in the order of markers.
    pub(crate) fn aborted(&self) -> Result<Vec<Aborted>, LogError> {
        transactions::read(&self.disk, &self.all_index_paths()[2])
    }

    /// The same, with the number of bytes in the index that follow them and are not an entry.
    pub(super) fn aborted_with_rest(&self) -> Result<(Vec<Aborted>, usize), LogError> {
        transactions::read_with_rest(&self.disk, &self.all_index_paths()[2])
    }

    /// A marker was appended that aborts a transaction.
    pub(crate) fn push_aborted(&self, aborted: &Aborted) -> Result<(), LogError> {
        self.indexes.lock().unsynced = true;
        transactions::append(&self.disk, &self.all_index_paths()[2], aborted)
    }

    /// Replaces what is known of aborted transactions.
    pub(crate) fn set_aborted(&self, aborted: &[Aborted], always: bool) -> Result<(), LogError> {
        let path = &self.all_index_paths()[2];
        if aborted.is_empty() && !always {
            if self.disk.exists(path).map_err(LogError::io("look for", path))? {
                transactions::write(&self.disk, path, aborted, false)?;
            }
            return Ok(());
        }
        self.indexes.lock().unsynced = true;
        transactions::write(&self.disk, path, aborted, always).map(drop)
    }

    /// When its first batch was written, by its producer's clock.
    pub(crate) fn first_timestamp(&self) -> Result<Option<Timestamp>, LogError> {
        let mut walk = Walk::new(&self.file, &self.path, 0, self.size, NEAR);
        let first = walk.peek().map_err(|stop| stop.into_error(&self.path, 0, self.base))?;
        Ok(first.map(|first| first.max_timestamp).filter(|at| *at != Timestamp::NONE))
    }

    /// The indexes were synced as they are; only of a sealed segment.
    pub(crate) fn indexes_synced(&self) {
        self.indexes.lock().unsynced = false;
    }

    /// Empty, preallocated indexes, over whatever is there.
    pub(crate) fn reset_indexes(&mut self, config: &LogConfig) -> Result<(), LogError> {
        let (index, time_index) = self.index_paths();
        let state = self.indexes.get_mut();
        // A file must not shrink under a map.
        state.open = None;
        let bytes = config.segment_index_bytes;
        let created = Indexes::create(&self.disk, (&index, &time_index), self.base, bytes);
        state.open = Some(created.map_err(LogError::io("create", &index))?);
        state.unsynced = true;
        self.tracker = Tracker::new(self.tracker.interval);
        Ok(())
    }

    /// Whether a new segment has to begin before `bytes` that end with the offset `last`.
    pub(crate) fn must_roll(
        &mut self,
        bytes: u64,
        last: Offset,
        latest: Timestamp,
        now: Timestamp,
        config: &LogConfig,
    ) -> bool {
        if self.size == 0 {
            return false;
        }
        // A batch without a timestamp is as old as the clock says it is.
        let reached = if latest == Timestamp::NONE { now } else { latest };
        let age = u128::try_from(i128::from(reached.0) - i128::from(self.begun.0)).unwrap_or(0);
        let jitter = u64::try_from(config.segment_jitter.as_millis()).unwrap_or(0);
        let jitter = self.spread.checked_rem(jitter).unwrap_or(0);
        let longest = config.longest_span().as_millis().saturating_sub(u128::from(jitter));
        let full = self.indexes.get_mut().open.as_ref().is_some_and(Indexes::is_full);
        self.size + bytes > config.segment_bytes.min(LARGEST)
            || age > longest
            || last.0.saturating_sub(self.base.0) > LARGEST as i64
            || full
    }

    /// Writes batches at the end. After an error the file is as long as before, if that can be.
    pub(crate) fn append(&mut self, bytes: &[u8], headers: &[BatchHeader]) -> Result<(), LogError> {
        if let Err(error) = self.file.write_at(bytes, self.size) {
            // What was written of it must not be taken for data after a crash.
            self.file.set_len(self.size).map_err(|_| LogError::Offline(self.path.clone()))?;
            return Err(LogError::io("append to", &self.path)(error));
        }
        let mut position = self.size;
        for header in headers {
            self.note(position, header);
            position += header.size() as u64;
        }
        self.size = position;
        Ok(())
    }

    /// Takes a batch into account that is at `position`, and was written or verified just now: the
    /// end, the indexes, the times.
    pub(crate) fn note(&mut self, position: u64, header: &BatchHeader) {
        if position == 0 && header.max_timestamp != Timestamp::NONE {
            self.begun = header.max_timestamp;
        }
        let state = self.indexes.get_mut();
        if let Some(indexes) = &mut state.open {
            state.unsynced |= self.tracker.note(indexes, position, header);
        }
        self.vouched.get_mut().add(position..position + header.size() as u64);
        self.end = header.next_offset();
    }

    /// Ends the indexes with the last moment, cuts the files to what is used and lets go of them.
    pub(crate) fn seal(&mut self) {
        let (index, time_index) = self.index_paths();
        self.active = false;
        self.vouched.get_mut().forget();
        let state = self.indexes.get_mut();
        let Some(mut indexes) = state.open.take() else { return };
        self.tracker.push_last(&mut indexes);
        state.unsynced = true;
        // An index that keeps its preallocated room is found to be wrong later, and rebuilt.
        let _ = indexes.cut((&index, &time_index));
    }

    /// Makes a segment the last one, with room in its indexes, whatever it was before.
    pub(crate) fn activate(&mut self, config: &LogConfig) -> Result<(), LogError> {
        self.active = true;
        let from = {
            let walk = self.walk_from(|indexes| indexes.last())?;
            walk.position()
        };
        let (index, time_index) = self.index_paths();
        let state = self.indexes.get_mut();
        if let Some(indexes) = &mut state.open {
            state.unsynced = true;
            let resized = indexes.preallocate((&index, &time_index), config.segment_index_bytes);
            resized.map_err(LogError::io("preallocate", &index))?;
            self.tracker.latest = indexes.last_moment();
        }
        self.tracker.since_entry = self.size - from;
        let (mut end, mut is_first) = (self.base, from > 0);
        let mut walk = Walk::new(&self.file, &self.path, from, self.size, NEAR);
        loop {
            let position = walk.position();
            match walk.next() {
                Ok(Some((_, header))) => {
                    // The index has confirmed the first, where it is not the segment's first.
                    let follows = self.follows(end, &header);
                    if !is_first && let Err(problem) = follows {
                        return Err(Stop::Bad(problem).into_error(&self.path, position, end));
                    }
                    is_first = false;
                    end = header.next_offset();
                    self.tracker.see_time(&header);
                }
                Ok(None) => break,
                Err(stop) => return Err(stop.into_error(&self.path, position, end)),
            }
        }
        self.end = end;
        let mut walk = Walk::new(&self.file, &self.path, 0, self.size, NEAR);
        let first = walk.peek().map_err(|stop| stop.into_error(&self.path, 0, self.base))?;
        if let Some(first) = first.filter(|first| first.max_timestamp != Timestamp::NONE) {
            self.begun = first.max_timestamp;
        }
        Ok(())
    }

    /// Cuts the file behind the batches that recovery found to be good.
    pub(crate) fn cut_at(&mut self, position: u64) -> Result<(), LogError> {
        self.file.set_len(position).map_err(LogError::io("cut", &self.path))?;
        self.vouched.get_mut().cut_at(position);
        self.size = position;
        Ok(())
    }

    /// Cuts the batch that holds `offset`, and all after it, and makes this segment the last one.
    pub(crate) fn truncate_to(
        &mut self,
        offset: Offset,
        config: &LogConfig,
    ) -> Result<(), LogError> {
        if let Some(found) = self.locate(offset)? {
            self.cut_at(found.position)?;
            if let Some(indexes) = &mut self.indexes.get_mut().open {
                indexes.truncate_to(found.header.base_offset);
            }
        }
        self.activate(config)
    }

    /// Removes the segment's files. The batches go last: indexes alone are litter, batches without
    /// indexes are a segment.
    pub(crate) fn remove(mut self) -> Result<(), LogError> {
        self.indexes.get_mut().open = None;
        for path in &self.all_paths() {
            match self.disk.remove(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LogError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the segment's files out of the log, under names that say so. Says what they are.
    pub(crate) fn take_out(mut self) -> Result<Vec<PathBuf>, LogError> {
        self.indexes.get_mut().open = None;
        let mut renamed = Vec::new();
        for path in self.all_paths() {
            renamed.extend(retention::rename_away(&self.disk, &path)?);
        }
        Ok(renamed)
    }

    /// It counts, and is yet to get its name.
    pub(crate) fn is_swap(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "swap")
    }

    /// All that may be there of it, its batches last. Those that it takes the place of keep their
    /// name until it has that.
    fn all_paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::from(self.all_index_paths());
        if self.is_swap() {
            paths.push(names::log(self.dir(), self.base));
        }
        paths.push(self.path.clone());
        paths
    }

    /// Gives its batches another name in the same directory.
    pub(crate) fn rename_log(&mut self, suffix: &str) -> Result<(), LogError> {
        let to = names::with_suffix(&names::log(self.dir(), self.base), suffix);
        self.disk.rename(&self.path, &to).map_err(LogError::io("rename", &self.path))?;
        self.path = to;
        Ok(())
    }

    /// Gives its index files another name in the same directory.
    pub(crate) fn rename_indexes(&mut self, suffix: &'static str) -> Result<(), LogError> {
        let from = self.all_index_paths();
        self.index_suffix = suffix;
        for (from, to) in from.iter().zip(self.all_index_paths()) {
            match self.disk.rename(from, &to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LogError::io("rename", from)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<D: Disk> std::fmt::Debug for Segment<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { base, end, size, .. } = self;
        write!(f, "Segment({base}..{end}, {size} bytes)")
    }
}
