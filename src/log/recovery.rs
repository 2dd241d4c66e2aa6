//! Opens a log. After a clean shutdown its files are trusted; after a crash they are examined.
//!
//! After a process crash the page cache has everything that was written, perhaps with a torn append
//! at the end. After a power loss any subset of the unsynced writes may be missing. So from the
//! segment with the recovery point on, every batch must have a valid checksum and follow the one
//! before it in offset and epoch. The log ends at the first batch that does not. Below the recovery
//! point such a batch is corrupt instead: synced data is never truncated. A corrupt batch stays, and
//! is refused to readers, if a valid one follows it: then its position and offsets are certain.
//! Otherwise the log cannot be opened. (Kafka's `LogSegment.recover` truncates in both cases.)
//!
//! A compacted log has gaps: those of its own cleaner, or those that a follower copied. A gap inside
//! a file loses nothing, because a lost write takes the end of a file and not its middle. Segments
//! meet all the same: a cleaner keeps the last batch of each, and a follower begins one where its log
//! ends. So a gap between segments is a loss, as in any other log, and ends this one. Apache Kafka
//! leaves such gaps as well: they are accepted below the checkpoints of the recovery point and the
//! cleaner. Above, they cannot be told from a loss, and the report has what was truncated.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use super::checkpoint::{Saver, read_epochs};
use super::cleaner::settle_leftovers;
use super::flush::Durability;
use super::names::{self, Kind};
use super::producers::Producers;
use super::scan::{FAR, NEAR, Stop, Walk};
use super::segment::{LARGEST, Segment};
use super::verification::Verifications;
use super::{Epochs, Log, LogConfig, LogError};
use crate::base::{Flaw, LeaderEpoch, Offset, Timestamp};
use crate::io::{Disk, File};
use crate::wire::batch::{BatchError, BatchHeader};

/// What is known about a log before it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Everything below it was synced, says the checkpoint.
    pub recovery_point: Offset,
    /// The last process closed all logs before it ended.
    pub clean: bool,
    /// Nothing below it may be read, says the checkpoint.
    pub log_start: Offset,
    /// Everything below it was cleaned, says the checkpoint.
    pub cleaned_to: Offset,
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Batches whose checksum was verified.
    pub batches_checked: u64,
    /// Torn or stale bytes cut from the end, whole segments included.
    pub bytes_cut: u64,
    /// What was wrong with the first of them.
    pub cut_because: Option<String>,
    /// The log ends below the recovery point: it was truncated just before the crash, or lost data.
    pub shorter_than_synced: bool,
    /// Its epochs begin here, below the first segment: what was in between is gone. That is what a
    /// crash in the middle of a deletion leaves, too.
    pub begins_late_after: Option<Offset>,
    /// The first batch below the recovery point that is damaged, and was left in its place.
    pub damaged: Option<Damaged>,
}

/// Where a batch is that is not what was synced, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub path: PathBuf,
    pub position: u64,
    pub offset: Offset,
    pub problem: String,
}

impl From<Damaged> for LogError {
    fn from(damaged: Damaged) -> Self {
        let Damaged { path, position, offset, problem } = damaged;
        Self::Corrupt { path, position, offset, problem }
    }
}

/// How far the examination of a log has come that was not closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Segments that are still to be examined.
    pub segments_left: usize,
    /// Their bytes.
    pub bytes_left: u64,
    /// Bytes of those that have been.
    pub bytes_done: u64,
}

/// Files of a log, by what they are.
#[derive(Default)]
struct Files {
    logs: BTreeSet<Offset>,
    snapshots: BTreeSet<Offset>,
    litter: Vec<PathBuf>,
}

/// Where the batches examined so far end.
struct Examined {
    next: Offset,
    epoch: LeaderEpoch,
}

impl Examined {
    fn after(header: &BatchHeader) -> Self {
        Self { next: header.next_offset(), epoch: header.leader_epoch }
    }
}

impl<D: Disk> Log<D> {
    /// Opens the log in `dir`, which is created when missing, and recovers it if it was not
    /// closed. `now` tells which idempotent producers have been silent for too long.
    pub async fn open(
        disk: D,
        dir: PathBuf,
        config: LogConfig,
        recovery: Recovery,
        now: Timestamp,
    ) -> Result<(Self, RecoveryReport), LogError> {
        Self::open_watched(disk, dir, config, recovery, now, |_| ()).await
    }

    /// The same, and reports the progress: before the first segment that is examined, and after each.
    pub async fn open_watched(
        disk: D,
        dir: PathBuf,
        config: LogConfig,
        recovery: Recovery,
        now: Timestamp,
        watch: impl FnMut(Progress) + Send,
    ) -> Result<(Self, RecoveryReport), LogError> {
        create_dir(&disk, &dir).await?;
        settle_leftovers(&disk, &dir).await?;
        let files = list(&disk, &dir)?;
        for path in &files.litter {
            disk.remove(path).map_err(LogError::io("remove", path))?;
        }
        let mut segments = BTreeMap::new();
        for base in &files.logs {
            let segment = Segment::open(&disk, &dir, *base, &config, now)?;
            segments.insert(*base, Box::new(segment));
        }
        let (epochs_path, recovery_point) = (dir.join(names::EPOCHS), recovery.recovery_point);
        let epochs = match read_epochs(&disk, &epochs_path) {
            // Replaced as a whole, so no crash did this; the batches have all epochs.
            Err(LogError::Malformed { .. }) => None,
            read => read?,
        };
        let mut log = Self {
            durability: Durability::new(dir.clone(), recovery_point, recovery_point),
            disk,
            dir,
            config,
            segments,
            log_start: recovery.log_start,
            log_end: Offset::ZERO,
            epochs_file: Saver::new(epochs_path).with(config.flaws),
            epochs: epochs.clone().unwrap_or_default(),
            producers: Producers::default(),
            unreplicated: VecDeque::new(),
            verifications: Verifications::default(),
            idle_since: None,
            cleaned_to: Offset::NONE,
            snapshots: files.snapshots,
            tail: None,
        };
        let mut report = RecoveryReport::default();
        let began = log.epochs.entries().first().map(|(_, start)| *start);
        if epochs.is_none() {
            log.rebuild_epochs(recovery);
        }
        if recovery.clean {
            log.load_clean()?;
        } else {
            log.complete_epochs(recovery);
            log.examine(recovery, &mut report, watch).await?;
        }
        if log.finish_open(recovery, now, &mut report)? && !config.flaws.has(Flaw::NoDirectorySync)
        {
            // Were a later segment's name to survive alone, the log would begin there, and what is
            // missing below would pass for deleted.
            log.disk.sync_dir(&log.dir).await.map_err(LogError::io("sync", &log.dir))?;
        }
        if report.bytes_cut > 0
            && let Some((_, last)) = log.segments.last_key_value()
        {
            // Recovery starts at the recovery point, and a later segment may become durable first.
            last.file.sync().await.map_err(LogError::io("sync", &last.path))?;
        }
        report.begins_late_after =
            began.filter(|start| (*start).max(recovery.log_start) < log.log_start);
        log.disk.settle().await;
        Ok((log, report))
    }

    /// Takes what a clean end left: only the end of the last segment is looked for.
    fn load_clean(&mut self) -> Result<(), LogError> {
        self.link_segments();
        let config = self.config;
        if let Some(mut last) = self.segments.last_entry() {
            last.get_mut().activate(&config)?;
            self.log_end = last.get().end;
        }
        Ok(())
    }

    /// Each segment ends where the next begins.
    fn link_segments(&mut self) {
        let mut next = None;
        for (base, segment) in self.segments.iter_mut().rev() {
            segment.end = next.unwrap_or(*base);
            next = Some(*base);
        }
    }

    /// Examines every batch from the segment with the recovery point on.
    async fn examine(
        &mut self,
        recovery: Recovery,
        report: &mut RecoveryReport,
        mut watch: impl FnMut(Progress) + Send,
    ) -> Result<(), LogError> {
        self.link_segments();
        let floor = self.segments.range(..=recovery.recovery_point).next_back();
        let first = floor.map_or(self.segments.keys().next(), |(base, _)| Some(base)).copied();
        let Some(first) = first else { return Ok(()) };
        report.damaged = self.missing_between(recovery.log_start, first);
        // Batches tell their epochs; what the checkpoint says of them may be older or newer.
        let known = self.epochs.clone();
        self.epochs.truncate_from_end(first);
        let mut examined = Examined { next: first, epoch: self.epochs.latest() };
        // What is wrong below the segment with the log's start is what is left of a deletion.
        let start = self.segments.range(..=recovery.log_start).next_back();
        let start = start.map_or(first, |(base, _)| (*base).max(first));
        let due = self.segments.range(first..);
        let due: Vec<_> = due.map(|(base, segment)| (*base, segment.size)).collect();
        let mut progress = Progress {
            segments_left: due.len(),
            bytes_left: due.iter().map(|(_, size)| size).sum(),
            bytes_done: 0,
        };
        watch(progress);
        for (index, (base, size)) in due.iter().copied().enumerate() {
            let after = due.get(index + 1).map(|(base, _)| *base);
            progress.segments_left -= 1;
            progress.bytes_left -= size;
            progress.bytes_done += size;
            if base < start && !self.segments.contains_key(&base) {
                continue;
            }
            if base == start && examined.next != base {
                examined = self.begin_at(base)?;
            }
            let stop = match self.examine_segment(
                (base, after),
                recovery,
                &known,
                &mut examined,
                report,
            ) {
                Ok(Some(_)) | Err(LogError::Corrupt { .. }) if base < start => {
                    examined = self.begin_at(start)?;
                    continue;
                }
                examined => examined?,
            };
            self.disk.settle().await;
            if let Some((problem, keep)) = stop {
                report.cut_because = Some(problem);
                self.drop_segments_after(if keep { base.next() } else { base }, report)?;
                break;
            }
            if after.is_some()
                && let Some(segment) = self.segments.get_mut(&base)
            {
                segment.seal();
            }
            watch(progress);
        }
        self.log_end = examined.next;
        Ok(())
    }

    /// Leaves out all segments below one that has the log's start.
    fn begin_at(&mut self, base: Offset) -> Result<Examined, LogError> {
        self.drop_segments_below(base)?;
        self.epochs.truncate_from_end(base);
        Ok(Examined { next: base, epoch: self.epochs.latest() })
    }

    /// Examines one segment, rebuilds its indexes, and truncates it after the last valid batch. Returns
    /// why it was truncated, and whether anything of the segment stays.
    fn examine_segment(
        &mut self,
        (base, after): (Offset, Option<Offset>),
        recovery: Recovery,
        known: &Epochs,
        examined: &mut Examined,
        report: &mut RecoveryReport,
    ) -> Result<Option<(String, bool)>, LogError> {
        let (recovery_point, config) = (recovery.recovery_point, self.config);
        let Some(segment) = self.segments.get_mut(&base) else { return Ok(None) };
        if base != examined.next && !may_follow(segment, examined.next, recovery, &config) {
            let problem = format!("a segment begins at {base} where {} is due", examined.next);
            if examined.next < recovery_point {
                let (path, offset) = (segment.path.clone(), examined.next);
                return Err(LogError::Corrupt { path, position: 0, offset, problem });
            }
            return Ok(Some((problem, false)));
        }
        examined.next = base;
        segment.reset_indexes(&config)?;
        let (file, path, size) = (segment.file.clone(), segment.path.clone(), segment.size);
        let mut walk = Walk::new(&file, &path, 0, size, FAR);
        segment.end = base;
        loop {
            let position = walk.position();
            let header = match next_good(&mut walk, examined, &config) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(None),
                Err(stop @ Stop::Log(_)) => return Err(stop.into_error(&path, position, base)),
                Err(stop) if examined.next < recovery_point => {
                    let Some(next) = pass_over(&mut walk, &stop, examined, after) else {
                        return Err(stop.into_error(&path, position, examined.next));
                    };
                    report.damaged.get_or_insert(Damaged {
                        path: path.clone(),
                        position,
                        offset: examined.next,
                        problem: stop.to_string(),
                    });
                    segment.end = next;
                    examined.next = next;
                    continue;
                }
                Err(Stop::Bad(problem)) => {
                    segment.cut_at(position)?;
                    report.bytes_cut += size - position;
                    let problem = format!("{} at byte {position}: {problem}", path.display());
                    return Ok(Some((problem, true)));
                }
            };
            segment.note(position, &header);
            self.epochs.learn(header.leader_epoch, (examined.next, header.base_offset), known);
            *examined = Examined::after(&header);
            report.batches_checked += 1;
        }
    }

    /// Removes segments from `base` on, the last first.
    fn drop_segments_after(
        &mut self,
        base: Offset,
        report: &mut RecoveryReport,
    ) -> Result<(), LogError> {
        while let Some(entry) = self.segments.last_entry().filter(|entry| *entry.key() >= base) {
            report.bytes_cut += entry.get().size;
            entry.remove().remove()?;
        }
        Ok(())
    }

    /// Removes segments that lie wholly below the log's start: their deletion may have been cut
    /// short, and what is left of it need not be the younger ones.
    fn drop_segments_below(&mut self, start: Offset) -> Result<(), LogError> {
        loop {
            let mut bases = self.segments.keys();
            let (Some(base), Some(next)) = (bases.next().copied(), bases.next().copied()) else {
                return Ok(());
            };
            if next > start {
                return Ok(());
            }
            if let Some(segment) = self.segments.remove(&base) {
                segment.remove()?;
            }
        }
    }

    /// The history of epochs may begin where the log was about to, before a crash took that back: what
    /// is before it is in the headers.
    fn complete_epochs(&mut self, recovery: Recovery) {
        let first = self.epochs.entries().first();
        let known = first.map_or(Offset(i64::MAX), |(_, start)| *start);
        if known <= recovery.log_start {
            return;
        }
        let mut epochs = Epochs::new();
        // What lies in later segments is examined anyway.
        let last = known.min(recovery.recovery_point.next());
        for segment in self.segments.range(..last).map(|(_, segment)| segment) {
            learn_all(&mut epochs, segment, known);
        }
        for (epoch, start) in self.epochs.entries() {
            epochs.assign(*epoch, *start);
        }
        self.epochs = epochs;
    }

    /// Builds the history of epochs from headers, of segments that are not examined anyway.
    fn rebuild_epochs(&mut self, recovery: Recovery) {
        self.epochs = Epochs::new();
        for (base, segment) in &self.segments {
            if !recovery.clean && *base > recovery.recovery_point {
                break;
            }
            learn_all(&mut self.epochs, segment, Offset(i64::MAX));
        }
    }

    /// What a clean stop left is gone: files were removed or cut.
    fn missing_end(&self, end: Offset, synced: Offset) -> Damaged {
        let last = self.segments.values().next_back();
        let (path, position) = match last {
            Some(segment) => (segment.path.clone(), segment.size),
            None => (self.dir.clone(), 0),
        };
        let problem = format!("the log ends here, and was closed at {synced}");
        Damaged { path, position, offset: end, problem }
    }

    /// Brings everything else to where the batches end. Returns whether the first segment is new.
    fn finish_open(
        &mut self,
        recovery: Recovery,
        now: Timestamp,
        report: &mut RecoveryReport,
    ) -> Result<bool, LogError> {
        // What lies below the log's start was deleted.
        let end = self.log_end.max(recovery.log_start);
        report.shorter_than_synced = end < recovery.recovery_point;
        if recovery.clean
            && report.shorter_than_synced
            && !self.config.flaws.has(Flaw::TrustDirtyStart)
        {
            report.damaged = Some(self.missing_end(end, recovery.recovery_point));
        }
        let starts_over = self.segments.is_empty() || self.log_end < recovery.log_start;
        if starts_over {
            self.drop_segments_after(Offset::ZERO, report)?;
            let base = recovery.log_start.max(Offset::ZERO);
            let fresh = Segment::create(&self.disk, &self.dir, base, &self.config, now)?;
            self.segments.insert(base, Box::new(fresh));
            self.log_end = base;
            self.epochs.clear();
            self.forget_snapshots(|_| true)?;
        } else if !recovery.clean {
            let config = self.config;
            self.active()?.activate(&config)?;
        }
        let synced = if recovery.clean { self.log_end } else { recovery.recovery_point };
        let known = synced.min(self.log_end);
        self.durability = Durability::new(self.dir.clone(), known, recovery.recovery_point);
        if !recovery.clean
            && let Some(last) = self.segments.keys().next_back()
        {
            self.durability.cut_before(*last);
        }
        // A snapshot above what was synced may be from before a cut. No cut ends below the log's start.
        let uncut = known.max(recovery.log_start);
        self.forget_snapshots(|at| at > uncut)?;
        // Producers are still known by records below the log's start, while these are there.
        self.load_producers()?;
        self.drop_segments_below(recovery.log_start)?;
        let first = self.segments.keys().next().copied().unwrap_or(self.log_end);
        self.log_start = recovery.log_start.max(first);
        self.epochs.truncate_from_start(self.log_start);
        self.epochs.truncate_from_end(self.log_end);
        let newest = self.snapshots.last().copied();
        let bases: BTreeSet<Offset> = self.segments.keys().copied().collect();
        self.forget_snapshots(|at| Some(at) != newest && !bases.contains(&at))?;
        self.expire_producers(now);
        Ok(starts_over)
    }
}

/// Learns the epochs of a segment's batches below an offset.
fn learn_all<D: Disk>(epochs: &mut Epochs, segment: &Segment<D>, until: Offset) {
    let mut walk = Walk::new(&segment.file, &segment.path, 0, segment.size, FAR);
    let (mut due, nothing) = (segment.base, Epochs::new());
    // What is wrong with a batch is found out by those who look for its place.
    while let Ok(Some((_, header))) = walk.next()
        && header.base_offset < until
    {
        epochs.learn(header.leader_epoch, (due, header.base_offset), &nothing);
        due = header.next_offset();
    }
}

/// Whether a segment may begin beyond the end of the one before: then what is between was removed
/// by a cleaner of Kafka's, or is further than an index can reach.
fn may_follow<D: Disk>(
    segment: &Segment<D>,
    due: Offset,
    recovery: Recovery,
    config: &LogConfig,
) -> bool {
    if segment.base <= due || !config.may_have_gaps() {
        return false;
    }
    let unreachable = || {
        let mut walk = Walk::new(&segment.file, &segment.path, 0, segment.size, NEAR);
        let first = walk.peek().ok().flatten();
        first.is_some_and(|first| first.last_offset().0.saturating_sub(due.0) > LARGEST as i64)
    };
    due < recovery.recovery_point || segment.base <= recovery.cleaned_to || unreachable()
}

/// Steps over a batch that fails its checksum, if what follows it tells that its length is right and
/// which offsets it has: says which comes next. `after` is where the next segment begins.
fn pass_over<F: File>(
    walk: &mut Walk<'_, F>,
    stop: &Stop,
    before: &Examined,
    after: Option<Offset>,
) -> Option<Offset> {
    let header = walk.peek().ok().flatten()?;
    let in_place = header.base_offset == before.next;
    if !matches!(stop, Stop::Bad(BatchError::Crc { .. })) || !in_place {
        return None;
    }
    let place = walk.position();
    walk.skip(&header);
    let next = match walk.peek() {
        Ok(Some(next)) => walk.verify(&next).is_ok().then_some(next.base_offset),
        Ok(None) => after,
        Err(_) => None,
    };
    let next = next.filter(|next| *next > header.base_offset);
    if next.is_none() {
        walk.go_back(place);
    }
    next
}

/// The next batch, if it is whole, has a right checksum and follows the one before it.
fn next_good<F: File>(
    walk: &mut Walk<'_, F>,
    before: &Examined,
    config: &LogConfig,
) -> Result<Option<BatchHeader>, Stop> {
    let Some(header) = walk.peek()? else { return Ok(None) };
    if !config.flaws.has(Flaw::ServeBadCrc) {
        walk.verify(&header)?;
    }
    let gap = header.base_offset > before.next && !config.may_have_gaps();
    if header.base_offset < before.next || gap {
        return Err(Stop::Bad(BatchError::Corrupt("its offset does not follow")));
    }
    if header.leader_epoch < before.epoch {
        return Err(Stop::Bad(BatchError::Corrupt(
            "its leader epoch is older than the one before",
        )));
    }
    walk.skip(&header);
    Ok(Some(header))
}

/// Creates the partition's directory. Its name must be durable before anything in it counts.
async fn create_dir<D: Disk>(disk: &D, dir: &std::path::Path) -> Result<(), LogError> {
    if disk.exists(dir).map_err(LogError::io("look for", dir))? {
        return Ok(());
    }
    disk.create_dir_all(dir).map_err(LogError::io("create", dir))?;
    let parent = dir.parent().unwrap_or(dir);
    disk.sync_dir(parent).await.map_err(LogError::io("sync", parent))
}

fn list<D: Disk>(disk: &D, dir: &std::path::Path) -> Result<Files, LogError> {
    let mut files = Files::default();
    let entries = disk.list(dir).map_err(LogError::io("list", dir))?;
    let mut others = Vec::new();
    for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
        let path = dir.join(&entry.name);
        match names::kind(&entry.name) {
            Kind::Log(base) => {
                files.logs.insert(base);
            }
            Kind::Index(base) | Kind::TimeIndex(base) | Kind::TransactionIndex(base) => {
                others.push((base, path));
            }
            Kind::Snapshot(at) => {
                files.snapshots.insert(at);
            }
            Kind::Temporary => files.litter.push(path),
            Kind::Swap | Kind::Other => {}
        }
    }
    let orphans = others.into_iter().filter(|(base, _)| !files.logs.contains(base));
    files.litter.extend(orphans.map(|(_, path)| path));
    Ok(files)
}
