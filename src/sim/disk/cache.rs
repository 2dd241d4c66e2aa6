//! The page cache under memory pressure: LRU eviction, read-ahead for sequential readers, and
//! throttling of writers that exceed the dirty ratio.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use rand::RngExt;

use super::pages::{PAGE, Touched};
use super::profile::Memory;
use super::state::{Op, State};
use super::tree::{Ino, ROOT};

/// Pages read ahead once a reader is first recognised as sequential.
const FIRST_WINDOW: u64 = 4;

/// Which pages are in memory, and when they were used.
#[derive(Debug, Default)]
pub(super) struct Lru {
    ticks: BTreeMap<(Ino, u64), u64>,
    /// In order of use; an entry whose tick is not the page's latest is stale.
    queue: VecDeque<(u64, Ino, u64)>,
    tick: u64,
    /// Where the next read of each file is expected, and how far was read ahead for it.
    readers: BTreeMap<Ino, (u64, u64)>,
}

impl Lru {
    fn touch(&mut self, ino: Ino, page: u64) {
        // An append touches the same page again and again.
        if self.queue.back().is_some_and(|(_, last, same)| (*last, *same) == (ino, page)) {
            return;
        }
        self.tick += 1;
        self.ticks.insert((ino, page), self.tick);
        self.queue.push_back((self.tick, ino, page));
        if self.queue.len() > 4 * self.ticks.len() + 64 {
            let ticks = &self.ticks;
            self.queue.retain(|(tick, ino, page)| ticks.get(&(*ino, *page)) == Some(tick));
        }
    }

    /// Removes the least recently used page from the list and returns it.
    fn oldest(&mut self) -> Option<(Ino, u64)> {
        while let Some((tick, ino, page)) = self.queue.pop_front() {
            if self.ticks.get(&(ino, page)) == Some(&tick) {
                self.ticks.remove(&(ino, page));
                return Some((ino, page));
            }
        }
        None
    }
}

impl State {
    /// Marks pages as just used: they are evicted last.
    pub fn used(&mut self, ino: Ino, range: Range<u64>) {
        let Some(memory) = &self.profile.memory else { return };
        let limit = memory.pages;
        for page in range.start / PAGE as u64..range.end.div_ceil(PAGE as u64) {
            self.lru.touch(ino, page);
        }
        self.evict(limit);
    }

    fn evict(&mut self, limit: u64) {
        let mut kept = 0;
        while self.lru.ticks.len() as u64 > limit {
            let Some((ino, page)) = self.lru.oldest() else { return };
            let evicted = self.tree.file_mut(ino).is_none_or(|file| file.evict(page));
            if evicted {
                self.stats.evicted += 1;
                continue;
            }
            // Dirty: it stays until it is written.
            self.lru.touch(ino, page);
            kept += 1;
            if kept > self.lru.ticks.len() {
                return;
            }
        }
    }

    /// Reads ahead if a read up to `read.end` continues a sequential one.
    pub fn read_ahead(&mut self, ino: Ino, read: Range<u64>, missed: bool) {
        let Some(memory) = self.profile.memory.clone() else { return };
        let (first, next) = (read.start / PAGE as u64, read.end.div_ceil(PAGE as u64));
        let (expected, window) = self.lru.readers.get(&ino).copied().unwrap_or((0, 0));
        let sequential = first == expected || first + 1 == expected;
        if !sequential {
            self.lru.readers.insert(ino, (next, 0));
            return;
        }
        if !missed {
            self.lru.readers.insert(ino, (next, window));
            return;
        }
        let window = (window * 2).clamp(FIRST_WINDOW, memory.read_ahead.max(FIRST_WINDOW));
        self.lru.readers.insert(ino, (next, window));
        let warm = self.losses;
        let Some(file) = self.tree.file_mut(ino) else { return };
        let end = (next + window).min(file.len().div_ceil(PAGE as u64));
        let fetched: Vec<u64> = (next..end).filter(|page| file.warm_up(*page, warm)).collect();
        for page in &fetched {
            self.lru.touch(ino, *page);
        }
        let count = fetched.len() as u64;
        self.stats.read_ahead += count;
        let now = self.caller_now();
        self.device_busy_until = self.device_busy_until.max(now)
            + self.profile.read_ahead * u32::try_from(count).unwrap_or(u32::MAX);
        self.evict(memory.pages);
    }

    /// How long a read from the platter takes, including stalls of the device. With limited memory
    /// the device is shared: reads wait for its queue and add to it.
    pub fn read_platter(&mut self, mut time: Duration) -> Duration {
        let one_in = self.profile.read_stall_one_in;
        if one_in > 0 && self.latency.random_ratio(1, one_in) {
            let stall = self.draw_stall();
            self.stats.stalls += 1;
            self.stats.stalled += stall;
            time += stall;
        }
        if self.profile.memory.is_none() {
            return time;
        }
        let now = self.caller_now();
        self.device_busy_until = self.device_busy_until.max(now) + time;
        self.device_busy_until.since(now)
    }

    /// After a write: starts background writing above the background ratio, and makes the writer
    /// wait above the dirty ratio.
    pub fn throttle(&mut self, touched: &Touched) {
        let Some(Memory { pages, background_ratio, dirty_ratio, .. }) = &self.profile.memory else {
            return;
        };
        if touched.dirtied == 0 {
            return;
        }
        let background = (pages * background_ratio / 100).max(1);
        let limit = (pages * dirty_ratio / 100).max(background + 1);
        let dirty = self.dirty_pages();
        let now = self.caller_now();
        // Pages given to the device but not yet written still count as dirty.
        let queued = self.device_busy_until.since(now).as_nanos()
            / self.profile.write_page.as_nanos().max(1);
        let dirty_or_queued = dirty + u64::try_from(queued).unwrap_or(u64::MAX);
        if dirty > background {
            // Leaves some slack, so that the next page does not trigger it again.
            self.write_random_pages(dirty - background * 3 / 4);
        }
        if dirty_or_queued > limit {
            let over = u32::try_from(dirty_or_queued - limit).unwrap_or(u32::MAX);
            let wait = (self.profile.write_page * over).min(self.device_busy_until.since(now));
            self.owe(wait);
            self.stats.throttled += 1;
            self.stats.throttled_for += wait;
        }
    }

    /// Writes `count` random dirty pages to the platter.
    fn write_random_pages(&mut self, count: u64) {
        let mut pages: Vec<(Ino, u64)> = Vec::new();
        for ino in self.unsynced.keys() {
            let file = self.tree.file(*ino);
            pages.extend(file.into_iter().flat_map(|file| file.dirty()).map(|page| (*ino, page)));
        }
        let mut written = 0;
        while written < count && !pages.is_empty() {
            let (ino, page) = pages.swap_remove(self.flusher.random_range(0..pages.len()));
            let Some(file) = self.tree.file_mut(ino) else { continue };
            written += u64::from(file.write_back_page(page));
        }
        let clean: Vec<Ino> = self.unsynced.keys().copied().collect();
        clean.into_iter().for_each(|ino| self.forget_if_synced(ino));
        self.stats.written_back += written;
        let now = self.caller_now();
        self.device_busy_until = self.device_busy_until.max(now)
            + self.profile.write_page * u32::try_from(written).unwrap_or(u32::MAX);
        self.trace(Op::WroteBack, ROOT, [written, 2], &[]);
    }
}
