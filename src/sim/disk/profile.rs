//! Costs and limits of a disk.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Costs in simulated time, and limits. The defaults are a SATA-class SSD behind a warm kernel: a
/// system call takes microseconds, a flush about a millisecond, and occasionally many.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskProfile {
    /// Any call on an open file: entering the kernel.
    pub call: Duration,
    /// A call that works on names: open, create, rename, remove, list.
    pub name_call: Duration,
    /// Copying 4 KiB between a process and the page cache.
    pub copy_page: Duration,
    /// Reading a page that is not in the cache.
    pub read_miss: Duration,
    /// Reading the page that follows one that was just read: sequential read-ahead.
    pub read_ahead: Duration,
    /// One in this many reads of the platter stalls as long as a sync; 0: none.
    pub read_stall_one_in: u32,
    /// How long a sync waits for the device's own cache, drawn uniformly.
    pub sync_latency: RangeInclusive<Duration>,
    /// One in this many syncs stalls (the device collects garbage); 0: none.
    pub stall_one_in: u32,
    /// Duration of a stall, drawn uniformly.
    pub stall: RangeInclusive<Duration>,
    /// Writing one dirty page to the device. Syncs share the device: pages queue.
    pub write_page: Duration,
    /// Bytes that files can occupy; `None` is unlimited.
    pub capacity: Option<u64>,
    /// Whether pages reach the platter without a sync.
    pub writeback: Option<Writeback>,
    /// Memory for file pages; `None`: all pages read or written since power-on stay in memory.
    pub memory: Option<Memory>,
    /// Syncs succeed but make nothing durable: a device with a volatile cache.
    pub lies: bool,
    /// A directory in which every call fails (`EIO`): one log directory of several.
    pub dead: Option<String>,
}

/// The size and ratios of a limited page cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Pages of 4 KiB. The least recently used goes first.
    pub pages: u64,
    /// Percentage of these that may be dirty before they are written in the background
    /// (`vm.dirty_background_ratio`).
    pub background_ratio: u64,
    /// Percentage of these that may be dirty before writers are throttled (`vm.dirty_ratio`).
    pub dirty_ratio: u64,
    /// Most pages read ahead for a sequential reader (`read_ahead_kb`).
    pub read_ahead: u64,
}

impl Default for Memory {
    /// 64 MiB, and Linux's ratios.
    fn default() -> Self {
        Self { pages: 16_384, background_ratio: 10, dirty_ratio: 20, read_ahead: 32 }
    }
}

/// The kernel's flusher: old dirty pages reach the platter without a sync.
#[derive(Clone, Debug, PartialEq)]
pub struct Writeback {
    /// How often it wakes (`vm.dirty_writeback_centisecs`).
    pub interval: Duration,
    /// How old a page must be (`vm.dirty_expire_centisecs`).
    pub expire: Duration,
}

impl Default for Writeback {
    /// Linux's defaults.
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), expire: Duration::from_secs(30) }
    }
}

impl Default for DiskProfile {
    fn default() -> Self {
        Self {
            call: Duration::from_nanos(500),
            name_call: Duration::from_micros(3),
            copy_page: Duration::from_nanos(400),
            read_miss: Duration::from_micros(90),
            read_ahead: Duration::from_micros(8),
            read_stall_one_in: 0,
            sync_latency: Duration::from_micros(300)..=Duration::from_micros(2000),
            stall_one_in: 500,
            stall: Duration::from_millis(10)..=Duration::from_millis(80),
            write_page: Duration::from_micros(8),
            capacity: None,
            writeback: None,
            memory: None,
            lies: false,
            dead: None,
        }
    }
}

impl DiskProfile {
    /// The same disk with all times multiplied by `factor`.
    #[must_use]
    pub fn slower(self, factor: u32) -> Self {
        let times = |cost: Duration| cost.saturating_mul(factor);
        let all = |costs: RangeInclusive<Duration>| times(*costs.start())..=times(*costs.end());
        Self {
            call: times(self.call),
            name_call: times(self.name_call),
            copy_page: times(self.copy_page),
            read_miss: times(self.read_miss),
            read_ahead: times(self.read_ahead),
            sync_latency: all(self.sync_latency),
            stall: all(self.stall),
            write_page: times(self.write_page),
            ..self
        }
    }

    /// A disk on which nothing takes time, for tests that don't concern it.
    pub fn instant() -> Self {
        Self {
            call: Duration::ZERO,
            name_call: Duration::ZERO,
            copy_page: Duration::ZERO,
            read_miss: Duration::ZERO,
            read_ahead: Duration::ZERO,
            read_stall_one_in: 0,
            sync_latency: Duration::ZERO..=Duration::ZERO,
            stall_one_in: 0,
            stall: Duration::ZERO..=Duration::ZERO,
            write_page: Duration::ZERO,
            capacity: None,
            writeback: None,
            memory: None,
            lies: false,
            dead: None,
        }
    }
}
