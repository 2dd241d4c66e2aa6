//! Everything about one disk that its lock protects: the gate that each operation passes, the cost
//! of operations, observers, and the effects of a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::cache::Lru;
use super::pages::{MAX_LEN, PAGE, Touched};
use super::tree::{Ino, Tree};
use super::{Clock, DiskProfile, DiskStats, Failing, PagePool};
use crate::base::{Instant, Seed, Stream};
use crate::sim::{HostId, Kept, Observer, Survival, Trace, What};

/// Kinds of operations, as the trace numbers them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Open = 1,
    Create,
    Map,
    List,
    Exists,
    CreateDir,
    Rename,
    Remove,
    RemoveDir,
    SyncDir,
    Read,
    Write,
    SetLen,
    Store,
    Sync,
    Synced,
    DirSynced,
    Failed,
    Survived,
    WroteBack,
    Kill,
    PowerLoss,
    Boot,
    Corrupted,
    Replaced,
}

/// Marks the events of disks in the trace of the whole simulation.
const TRACE_TAG: u64 = 0xd5 << 56;

/// Which process may use the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    /// The process of this boot.
    On,
    /// None, until the next boot.
    Off,
}

/// Files whose writes are observed, by the suffix of their names.
const OBSERVED: [&str; 6] =
    [".log", ".index", ".timeindex", ".log.cleaned", ".log.swap", RECOVERY_POINTS];

/// The checkpoint that says how much of each log was synced.
const RECOVERY_POINTS: &str = "/recovery-point-offset-checkpoint";

/// Whether a file is part of a log at the next start.
fn is_log(path: &str) -> bool {
    path.ends_with(".log") || path.ends_with(".log.swap")
}

/// Operations of one kind that will fail.
pub(super) struct Fails {
    /// Remaining failures, at least one.
    pub left: u32,
    /// Only below this directory.
    pub dir: Option<Arc<str>>,
}

pub(super) struct State {
    pub host: HostId,
    pub seed: Seed,
    clock: Clock,
    observer: Observer,
    trace: Arc<Mutex<Trace>>,
    pub profile: DiskProfile,
    /// Counts boots and kills: handles of earlier ones are void.
    pub boot: u64,
    pub power: Power,
    /// Counts power losses: pages loaded before are not in memory.
    pub losses: u32,
    /// Power will be lost before the operation of this number.
    pub armed: Option<(u64, Survival)>,
    pub struck: bool,
    pub tree: Tree,
    /// Files that the running process has locked.
    pub locks: BTreeSet<Ino>,
    /// Where full pages are shared with other disks.
    pub pool: Option<PagePool>,
    /// Files that a power loss may change, and since when.
    pub unsynced: BTreeMap<Ino, Instant>,
    /// When the kernel's flusher wakes next, if there is one.
    pub flusher_wakes: Instant,
    pub flusher: ChaCha12Rng,
    pub debt: Duration,
    /// The debt of calls that the page cache answered.
    pub small_debt: Duration,
    /// How large `small_debt` may become before a process waits for it.
    pub patience: Duration,
    pub latency: ChaCha12Rng,
    /// When the device has written all pages that it was given.
    pub device_busy_until: Instant,
    /// The page that was read from the platter last: the next one is already being read ahead.
    read_last: Option<(Ino, u64)>,
    /// The next operations that fail.
    pub failing: BTreeMap<Failing, Fails>,
    /// The pages in memory, if memory is limited.
    pub lru: Lru,
    /// Corrupted files, and the number of corruptions.
    pub wounded: BTreeSet<Ino>,
    pub corruptions: u64,
    pub stats: DiskStats,
}

/// The error for a dead process.
pub(super) fn void() -> io::Error {
    io::Error::other("the calling process is dead")
}

/// The error of a failed device. EIO has no kind of its own.
pub(super) fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn draw(range: &RangeInclusive<Duration>, random: &mut ChaCha12Rng) -> Duration {
    let nanos = range.start().as_nanos() as u64..=range.end().as_nanos() as u64;
    Duration::from_nanos(random.random_range(nanos))
}

impl State {
    pub fn new(
        host: HostId,
        seed: Seed,
        clock: Clock,
        observer: Observer,
        trace: Arc<Mutex<Trace>>,
    ) -> Self {
        let seed = seed.split(Stream::numbered("disk", u64::from(host.0)));
        Self {
            host,
            seed,
            clock,
            observer,
            trace,
            profile: DiskProfile::default(),
            boot: 0,
            power: Power::Off,
            losses: 0,
            armed: None,
            struck: false,
            tree: Tree::new(),
            locks: BTreeSet::new(),
            pool: None,
            unsynced: BTreeMap::new(),
            flusher_wakes: Instant::START,
            flusher: seed.stream(Stream::named("flusher")),
            debt: Duration::ZERO,
            small_debt: Duration::ZERO,
            patience: Duration::ZERO,
            latency: seed.stream(Stream::named("latency")),
            device_busy_until: Instant::START,
            read_last: None,
            failing: BTreeMap::new(),
            lru: Lru::default(),
            wounded: BTreeSet::new(),
            corruptions: 0,
            stats: DiskStats::default(),
        }
    }

    pub fn now(&self) -> Instant {
        (self.clock)()
    }

    /// When the process makes the current call: it has yet to wait for the debt of earlier ones. A
    /// wait for the device that began at [`Self::now`] would count that debt again with each call.
    pub fn caller_now(&self) -> Instant {
        self.now() + self.debt + self.small_debt
    }

    pub fn see(&self, what: What) {
        self.observer.see(self.now(), self.host, what);
    }

    pub fn trace(&self, op: Op, ino: Ino, numbers: [u64; 2], bytes: &[u8]) {
        let kind =
            TRACE_TAG | (op as u64) << 48 | u64::from(self.host.0) << 32 | (ino.0 & 0xffff_ffff);
        self.trace.lock().add(self.now(), kind, numbers, bytes, || {
            let path = self.tree.node(ino).and_then(|node| node.path.clone());
            let name = match op {
                // The bytes of the other operations name the path.
                Op::Read
                | Op::Write
                | Op::SetLen
                | Op::Store
                | Op::Sync
                | Op::Synced
                | Op::Survived
                | Op::WroteBack => {
                    path.unwrap_or_else(|| format!("(removed file {})", ino.0).into()).to_string()
                }
                _ => String::from_utf8_lossy(bytes).replace('\0', " -> "),
            };
            format!("{} disk {op:?} {name} {} {}", self.host, numbers[0], numbers[1])
        });
    }

    pub fn owe(&mut self, cost: Duration) {
        self.debt += cost;
    }

    /// A call on an open file that the page cache answered.
    pub fn owe_call(&mut self) {
        self.small_debt += self.profile.call;
    }

    /// No task is left to wait.
    pub fn forget_debt(&mut self) {
        self.debt = Duration::ZERO;
        self.small_debt = Duration::ZERO;
    }

    /// The time that must pass now; zero while all of it is small.
    pub fn take_debt(&mut self) -> Duration {
        if self.debt.is_zero() && self.small_debt < self.patience {
            return Duration::ZERO;
        }
        std::mem::take(&mut self.debt) + std::mem::take(&mut self.small_debt)
    }

    /// The path of a file whose writes are observed.
    pub fn log_path(&self, ino: Ino) -> Option<Arc<str>> {
        let path = self.tree.node(ino)?.path.clone()?;
        OBSERVED.iter().any(|suffix| path.ends_with(suffix)).then_some(path)
    }

    pub fn read(&mut self, ino: Ino, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let warm = self.losses;
        let file = self.tree.file_mut(ino).ok_or(io::ErrorKind::IsADirectory)?;
        let end = file.len().min(offset.saturating_add(buffer.len() as u64));
        if file.is_unreadable(offset..end, warm) {
            return Err(input_output_error());
        }
        let touched = file.read(offset, buffer, warm);
        let read = offset..offset + touched.bytes as u64;
        if touched.misses > 0 && self.fails(Failing::Read, ino) {
            return Err(input_output_error());
        }
        self.pay_for(ino, offset, touched);
        self.used(ino, read.clone());
        self.read_ahead(ino, read, touched.misses > 0);
        self.stats.reads += 1;
        self.stats.bytes_read += touched.bytes as u64;
        Ok(touched.bytes)
    }

    /// Writes as much as fits. With an error, the bytes before the failed position are written.
    pub fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8], op: Op) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= MAX_LEN);
        end.ok_or(io::ErrorKind::FileTooLarge)?;
        let fits = self.fitting(ino, offset, bytes.len());
        let short = !bytes.is_empty() && self.fails(Failing::Write, ino);
        let comes = if short { self.latency.random_range(0..bytes.len() as u64) } else { u64::MAX };
        let (written, refused) = bytes.split_at(fits.min(usize::try_from(comes).unwrap_or(fits)));
        let warm = self.losses;
        let file = self.tree.file_mut(ino).ok_or(io::ErrorKind::IsADirectory)?;
        let changes = file.differs(offset, written);
        // A refused write is observed, without bytes if it changed none: its bytes are missing. They
        // are not if they were there before, as when recovery rewrites a log.
        let misses = !changes && !refused.is_empty() && file.differs(offset, bytes);
        let touched = file.write(offset, written, warm);
        if let Some(pool) = &self.pool {
            let end = offset + written.len() as u64;
            (offset / PAGE as u64..end / PAGE as u64).for_each(|page| file.share(page, pool));
        }
        self.tree.allocated += touched.allocated;
        self.dirtied(ino);
        self.pay_for(ino, offset, touched);
        self.used(ino, offset..offset + written.len() as u64);
        self.throttle(&touched);
        self.stats.writes += 1;
        self.stats.bytes_written += written.len() as u64;
        self.trace(op, ino, [offset, written.len() as u64], written);
        if let Some(path) = self.log_path(ino).filter(|_| changes || misses) {
            let bytes = Bytes::copy_from_slice(if changes { written } else { &[] });
            self.see(What::Wrote { path, offset, bytes });
        }
        match refused.is_empty() {
            true => Ok(()),
            false if short => Err(input_output_error()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    /// A power loss may change the file from now on.
    fn dirtied(&mut self, ino: Ino) {
        if !self.unsynced.contains_key(&ino) {
            let now = self.now();
            self.unsynced.insert(ino, now);
        }
    }

    /// How many of `len` bytes at `offset` the disk has room for.
    fn fitting(&self, ino: Ino, offset: u64, len: usize) -> usize {
        let Some(capacity) = self.profile.capacity else { return len };
        let room = (capacity / PAGE as u64).saturating_sub(self.tree.allocated);
        self.tree.file(ino).map_or(0, |file| file.fitting(offset, len, room))
    }

    pub fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        if len > MAX_LEN {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let warm = self.losses;
        let file = self.tree.file_mut(ino).ok_or(io::ErrorKind::IsADirectory)?;
        let before = file.allocated();
        let changed = file.len() != len;
        file.set_len(len, warm);
        self.tree.allocated =
            self.tree.allocated + self.tree.file(ino).map_or(0, |f| f.allocated()) - before;
        self.dirtied(ino);
        self.owe_call();
        self.trace(Op::SetLen, ino, [len, 0], &[]);
        if let Some(path) = self.log_path(ino).filter(|_| changed) {
            self.see(What::Cut { path, len });
        }
        Ok(())
    }

    /// Gives a file or directory another name, as `rename(2)` does.
    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target) = (self.tree.locate(from)?, self.tree.locate(to)?);
        let ino = source.ino.ok_or(io::ErrorKind::NotFound)?;
        if target.ino == Some(ino) {
            return Ok(());
        }
        if self.tree.is_within(to, from) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.tree.is_within(from, to) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        match target.ino {
            Some(there) if self.tree.is_dir(there) && !self.tree.is_dir(ino) => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Some(there) if self.tree.names(there, false).is_some_and(|names| !names.is_empty()) => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            Some(there) if !self.tree.is_dir(there) && self.tree.is_dir(ino) => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            _ => {}
        }
        let replaced = target.ino.and_then(|there| self.log_path(there));
        let before = self.tree.node(ino).and_then(|node| node.path.clone());
        let was_log = self.log_path(ino).is_some();
        self.tree.rename(&source, &target);
        let after = self.tree.node(ino).and_then(|node| node.path.clone());
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        self.trace(Op::Rename, ino, [0, 0], format!("{before}\0{after}").as_bytes());
        if let Some(path) = replaced {
            self.see(What::Removed { path });
        }
        let is_log = self.log_path(ino);
        match (is_log, self.tree.file(ino)) {
            // It was written before it was observed.
            (Some(path), Some(file)) if !was_log => {
                let bytes = file.peek(0..file.len(), false).into();
                self.see(What::Cut { path: path.clone(), len: 0 });
                self.see(What::Wrote { path, offset: 0, bytes });
            }
            (None, Some(_)) if !was_log => {}
            _ => self.see(What::Renamed { from: before, to: after }),
        }
        Ok(())
    }

    /// Adds the cost of the pages that a read or write touched.
    fn pay_for(&mut self, ino: Ino, offset: u64, touched: Touched) {
        self.small_debt += self.profile.copy_page.mul_f64(touched.bytes as f64 / PAGE as f64);
        if touched.misses > 0 {
            let first = offset / PAGE as u64;
            let sequential = self.read_last == Some((ino, first))
                || self.read_last == Some((ino, first.wrapping_sub(1)));
            let head = if sequential { self.profile.read_ahead } else { self.profile.read_miss };
            let rest = (touched.misses - 1).min(u64::from(u32::MAX)) as u32;
            let cost = self.read_platter(head + self.profile.read_ahead * rest);
            self.owe(cost);
            self.read_last = Some((ino, (offset + touched.bytes as u64) / PAGE as u64));
        }
        self.stats.page_hits += touched.hits;
        self.stats.page_misses += touched.misses;
    }

    /// How long a sync that begins now needs to write `pages` and flush the device.
    pub fn sync_time(&mut self, pages: u64) -> Duration {
        let now = self.now();
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        let written = self.device_busy_until.max(now) + self.profile.write_page * pages;
        self.device_busy_until = written;
        let stalls = match self.profile.stall_one_in {
            0 => false,
            one_in => self.latency.random_ratio(1, one_in),
        };
        let latency = match stalls {
            true => self.draw_stall(),
            false => draw(&self.profile.sync_latency, &mut self.latency),
        };
        if stalls {
            self.stats.stalls += 1;
            self.stats.stalled += latency;
        }
        written.since(now) + latency
    }

    /// Draws the duration of a stall.
    pub fn draw_stall(&mut self) -> Duration {
        draw(&self.profile.stall, &mut self.latency)
    }

    /// Whether an injected failure hits the current operation on this file.
    pub fn fails(&mut self, what: Failing, ino: Ino) -> bool {
        if !self.failing.contains_key(&what) {
            return false;
        }
        let path = self.tree.node(ino).and_then(|node| node.path.clone());
        self.fails_at(what, Path::new(path.as_deref().unwrap_or_default()))
    }

    /// Whether an injected failure hits the current operation on this path.
    pub fn fails_at(&mut self, what: Failing, path: &Path) -> bool {
        let Some(fails) = self.failing.get_mut(&what) else { return false };
        if fails.dir.as_deref().is_some_and(|dir| !path.starts_with(dir)) {
            return false;
        }
        fails.left -= 1;
        if fails.left == 0 {
            self.failing.remove(&what);
        }
        true
    }

    /// The error of the sync that ends now, if it fails.
    pub fn sync_fails(&mut self, ino: Ino) -> Option<io::Error> {
        let due = self
            .tree
            .file_mut(ino)
            .is_some_and(|file| std::mem::take(&mut file.wounds.error_is_due));
        if due || self.fails(Failing::Sync, ino) {
            return Some(input_output_error());
        }
        self.fails(Failing::SyncFull, ino).then(|| io::ErrorKind::StorageFull.into())
    }

    /// Whether a path lies in a dead directory.
    pub fn is_dead(&self, path: &Path) -> bool {
        let dead = self.profile.dead.as_ref();
        dead.is_some_and(|dead| self.tree.is_within(path, Path::new(dead)))
    }

    /// A file has become clean, or was written since the sync began.
    pub fn synced(&mut self, ino: Ino) {
        self.unsynced.remove(&ino);
        if self.tree.file(ino).is_some_and(|file| !file.is_synced()) {
            self.dirtied(ino);
        }
    }

    /// Drops the dirty mark of a file whose platter content is complete.
    pub fn forget_if_synced(&mut self, ino: Ino) {
        if self.tree.file(ino).is_none_or(|file| file.is_synced()) {
            self.unsynced.remove(&ino);
        }
    }

    /// Pages that a power loss may change.
    pub fn dirty_pages(&self) -> u64 {
        let files = self.unsynced.keys().filter_map(|ino| self.tree.file(*ino));
        files.map(|file| file.unsynced()).sum()
    }

    /// The process is gone; the page cache is kept.
    pub fn kill(&mut self) {
        self.boot += 1;
        self.locks.clear();
        self.forget_debt();
        self.armed = None;
        self.trace(Op::Kill, super::tree::ROOT, [self.boot, 0], &[]);
    }

    /// Power is lost, and with it everything that is not on the platter.
    pub fn lose_power(&mut self, survival: &Survival) {
        if self.power == Power::Off {
            return;
        }
        self.write_back();
        self.power = Power::Off;
        self.boot += 1;
        self.locks.clear();
        self.forget_debt();
        self.armed = None;
        self.failing.clear();
        // A device without power has no queue.
        self.device_busy_until = Instant::START;
        self.read_last = None;
        self.lru = Lru::default();
        self.losses += 1;
        let seed = self.seed.split(Stream::numbered("power-loss", u64::from(self.losses)));
        let chosen = self.chosen(survival);
        self.tree.survive(survival, &mut seed.stream(Stream::named("names")));
        let mut lost_pages = 0;
        for ino in std::mem::take(&mut self.unsynced).into_keys() {
            let Some(file) = self.tree.file_mut(ino) else { continue };
            let before = file.allocated();
            let random = || seed.stream(Stream::numbered("file", ino.0));
            lost_pages += match survival {
                Survival::Nothing => file.survive_nothing(),
                Survival::Everything => file.survive_everything(),
                Survival::Drawn | Survival::Weakest => file.survive_drawn(&mut random()),
                Survival::Ext4Ordered => file.survive_ordered(&mut random()),
                Survival::Chosen(_) => match chosen.get(&ino) {
                    Some(pages) => file.survive_chosen(*pages),
                    None => file.survive_nothing(),
                },
            };
            let after = file.allocated();
            self.tree.allocated = self.tree.allocated + after - before;
        }
        for ino in std::mem::take(&mut self.wounded) {
            let Some(file) = self.tree.file_mut(ino) else { continue };
            let before = file.allocated();
            let apart: Vec<_> = file.apart().collect();
            file.come_together();
            let after = file.allocated();
            self.tree.allocated = self.tree.allocated + after - before;
            self.wounded.insert(ino);
            apart.into_iter().for_each(|range| self.corrupted(ino, range));
        }
        self.trace(Op::PowerLoss, super::tree::ROOT, [u64::from(self.losses), lost_pages], &[]);
        self.see(What::PowerLost { lost_pages });
        for (path, ino) in self.tree.files() {
            let is_log = is_log(&path);
            let counts = is_log || path.ends_with(RECOVERY_POINTS);
            if let Some(file) = self.tree.file(ino).filter(|_| counts) {
                let bytes: Bytes = file.peek(0..file.len(), false).into();
                if is_log {
                    self.trace(Op::Survived, ino, [bytes.len() as u64, 0], &bytes);
                }
                self.see(What::Survived { path, bytes });
            }
        }
    }

    /// The files with a chosen surviving part, and that part.
    fn chosen(&self, survival: &Survival) -> BTreeMap<Ino, Option<(u64, u64)>> {
        let Survival::Chosen(kept) = survival else { return BTreeMap::new() };
        let mut chosen = BTreeMap::new();
        for (path, ino) in self.tree.files() {
            let pages = kept.iter().find_map(|kept| match kept {
                Kept::File { ending, pages } if path.ends_with(ending) => Some(*pages),
                _ => None,
            });
            pages.map(|pages| chosen.insert(ino, pages));
        }
        chosen
    }

    /// The bytes of a file, without observation or cost.
    pub fn peek(&self, path: &Path, stable: bool) -> io::Result<Vec<u8>> {
        let ino = self.tree.resolve(path, stable)?;
        let file = self.tree.file(ino).ok_or(io::ErrorKind::IsADirectory)?;
        Ok(file.peek(0..u64::MAX, stable))
    }
}
