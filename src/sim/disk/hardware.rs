//! A disk as the engine controls it: power, crashes, injected faults, inspection.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::state::{Fails, Op, Power, State};
use super::{Corruption, DiskProfile, PagePool, Place, tree};
use crate::base::{Instant, Seed};
use crate::sim::{HostId, Observer, Survival, Trace};

/// Returns true simulated time. Called while the disk is locked: it must not call the disk.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Lets a task of the engine wait.
pub type Sleep = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Called inside the operation at which a scheduled power loss has struck.
pub type Struck = Arc<dyn Fn() + Send + Sync>;

/// Counters of a disk since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[derive(serde::Serialize)]
pub struct DiskStats {
    /// Operations of all boots. Reading a size or a map is not counted.
    pub operations: u64,
    /// Reads.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Writes, stores into maps included.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Pages found in the cache.
    pub page_hits: u64,
    /// Pages read from the platter.
    pub page_misses: u64,
    /// Syncs of files and directories that succeeded.
    pub syncs: u64,
    /// Pages that reached the platter without a sync.
    pub written_back: u64,
    /// Pages read from the platter before they were requested.
    pub read_ahead: u64,
    /// Pages evicted from memory.
    pub evicted: u64,
    /// Syncs and reads that the device stalled.
    pub stalls: u64,
    /// Total time of these stalls.
    pub stalled: Duration,
    /// Writes that had to wait because too many pages were dirty.
    pub throttled: u64,
    /// Total time that these waited.
    pub throttled_for: Duration,
    /// Pages that a power loss now could affect.
    pub dirty_pages: u64,
    /// Pages that take space.
    pub used_pages: u64,
}

/// Operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failing {
    /// Syncs of files fail with `EIO`. The unwritten pages stay in the cache, count as clean, and
    /// never reach the platter unless they are written again ("fsyncgate", ATC'20).
    Sync,
    /// The same with `ENOSPC`: delayed allocation reserves no space before writing.
    SyncFull,
    /// A background write fails; the next sync of that file reports it, once.
    WriteBack,
    /// Writes fail with `EIO` after some of their bytes were written.
    Write,
    /// Renames fail with `ENOSPC`: the directory can't grow.
    Rename,
    /// Reads of pages that are not in memory fail with `EIO`.
    Read,
}

/// The disk of one host. A clone is another handle on it.
///
/// The engine holds the handle that [`SimDisk::new`] made; processes hold handles that
/// [`SimDisk::boot`] made, which become void when the process dies.
#[derive(Clone)]
pub struct SimDisk {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) boot: u64,
    pub(super) sleep: Sleep,
    pub(super) struck: Struck,
}

impl SimDisk {
    /// An empty disk, not yet booted. It reports operations on `.log` files to `observer`, and all
    /// operations to `trace`. It does not hold its lock while it calls `Struck`, but does while it
    /// calls the other three.
    pub fn new(
        host: HostId,
        seed: Seed,
        clock: Clock,
        observer: Observer,
        trace: Arc<Mutex<Trace>>,
    ) -> Self {
        let state = State::new(host, seed, clock, observer, trace);
        let sleep: Sleep = Arc::new(|_| Box::pin(std::future::ready(())));
        Self { state: Arc::new(Mutex::new(state)), boot: u64::MAX, sleep, struck: Arc::new(|| {}) }
    }

    /// Lets the costs of calls that the page cache answers accumulate up to `patience` before a
    /// process waits for them: a task switch for each microsecond is too expensive.
    pub fn set_patience(&self, patience: Duration) {
        self.state.lock().patience = patience;
    }

    /// Shares pages of equal bytes with the other disks of `pool`.
    pub fn share_pages(&self, pool: &PagePool) {
        self.state.lock().pool = Some(pool.clone());
    }

    /// Changes costs and limits, from now on.
    pub fn set_profile(&self, profile: DiskProfile) {
        self.state.lock().profile = profile;
    }

    /// Switches power on if it was off, and returns the handle of a new process. All earlier
    /// handles are void.
    #[must_use]
    pub fn boot(&self, sleep: Sleep, struck: Struck) -> Self {
        let mut state = self.state.lock();
        state.boot += 1;
        state.locks.clear();
        state.power = Power::On;
        state.struck = false;
        state.forget_debt();
        state.trace(Op::Boot, tree::ROOT, [state.boot, 0], &[]);
        Self { state: self.state.clone(), boot: state.boot, sleep, struck }
    }

    /// The process is dead: its handles are void, the page cache is kept.
    pub fn kill(&self) {
        self.state.lock().kill();
    }

    /// Power fails now. Emits `PowerLost` and a `Survived` for each remaining `.log` file. No
    /// effect when power is already off.
    pub fn power_loss(&self, survival: &Survival) {
        self.state.lock().lose_power(survival);
    }

    /// Power will fail just before the `operation`th operation from now (0: the next). That
    /// operation and all later ones of this boot fail, and `Struck` is called. A kill or an earlier
    /// power loss cancels this.
    pub fn power_loss_at(&self, operation: u64, survival: Survival) {
        let mut state = self.state.lock();
        state.armed = Some((state.stats.operations.saturating_add(operation), survival));
    }

    /// Whether a scheduled power loss has struck since the last boot.
    pub fn struck(&self) -> bool {
        self.state.lock().struck
    }

    /// The next `count` operations of a kind fail, anywhere or only below a directory; 0 cancels
    /// pending failures. Failed writes to the platter that no sync has reported yet are then never
    /// reported: the repair has found them.
    pub fn fail(&self, what: Failing, count: u32, dir: Option<&str>) {
        let mut state = self.state.lock();
        if count == 0 && what == Failing::WriteBack {
            state.tree.forget_due_errors();
        }
        match count {
            0 => state.failing.remove(&what),
            left => state.failing.insert(what, Fails { left, dir: dir.map(Arc::from) }),
        };
    }

    /// Corrupts `count` pages of `.log` files; for write failures, the next ones to be written.
    /// `log` is the directory of the partition that `place` may refer to. Returns how many pages
    /// were found.
    pub fn corrupt(&self, what: Corruption, count: u32, place: Place, log: &str) -> u32 {
        self.state.lock().corrupt(what, count, place, log)
    }

    /// A file's bytes in the page cache; not an operation, no cost.
    pub fn peek(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.state.lock().peek(path.as_ref(), false)
    }

    /// A file's bytes on the platter: what a power loss leaves if nothing unsynced survives.
    pub fn peek_stable(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.state.lock().peek(path.as_ref(), true)
    }

    /// Whether two paths name one file or directory: half of a torn rename leaves both names.
    pub fn is_same(&self, one: impl AsRef<Path>, other: impl AsRef<Path>) -> io::Result<bool> {
        let state = self.state.lock();
        let one = state.tree.resolve(one.as_ref(), false)?;
        Ok(one == state.tree.resolve(other.as_ref(), false)?)
    }

    /// The paths of all files, sorted.
    pub fn files(&self) -> Vec<Arc<str>> {
        self.state.lock().tree.files().into_keys().collect()
    }

    /// Counters since the disk was created.
    pub fn stats(&self) -> DiskStats {
        let state = self.state.lock();
        let (dirty_pages, used_pages) = (state.dirty_pages(), state.tree.allocated);
        DiskStats { dirty_pages, used_pages, ..state.stats }
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").field("boot", &self.boot).finish_non_exhaustive()
    }
}
