//! One file's bytes twice: in the page cache and on the platter.
//!
//! A page that is equal in both is one allocation; a page that was never written has none. So a
//! preallocated file costs nothing, a write costs the pages it touches, and a power loss costs the
//! pages that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::corrupt::Wounds;
use super::pool::PagePool;

/// Size of a page in bytes.
pub(super) const PAGE: usize = 4096;
/// Unit in which the platter writes, in bytes: a power loss tears a page between sectors.
pub(super) const SECTOR: usize = 512;
/// Pages that share one node of the tree.
const CHUNK: u64 = 32;
/// Largest file: ext4's limit with 4 KiB blocks. Bounds the allocation for an arbitrary offset.
pub(super) const MAX_LEN: u64 = 16 << 40;

/// A page's bytes. Boxed: stored next to the reference counts they would need a quarter more
/// memory.
pub(super) type Page = Arc<Box<[u8; PAGE]>>;
/// A page's bytes; `None` is zeros that need no memory.
pub(super) type Content = Option<Page>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Condition {
    /// The platter has the same content as the cache.
    #[default]
    Clean,
    /// Written since the last sync; the next sync writes it to the platter.
    Dirty,
    /// A sync of it failed. The kernel marked it clean: no later sync will write it (ATC'20).
    Lost,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) cached: Content,
    pub(super) stable: Content,
    pub(super) condition: Condition,
    /// The power-on since which the page is in memory; an older one must be read from the platter.
    pub(super) warm: u32,
}

/// The page is not in memory.
pub(super) const COLD: u32 = u32::MAX;

/// Cache statistics of one read or write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Bytes read or written.
    pub bytes: usize,
    /// Pages that were in memory.
    pub hits: u64,
    /// Pages that had to be read first.
    pub misses: u64,
    /// Pages that became dirty.
    pub dirtied: u64,
    /// Pages that were allocated.
    pub allocated: u64,
}

/// What a sync that has begun makes durable when it ends.
#[derive(Debug)]
pub(super) struct Snapshot {
    pages: Vec<(u64, Content)>,
    len: u64,
    serial: u64,
}

impl Snapshot {
    /// Pages to be written.
    pub fn pages(&self) -> u64 {
        self.pages.len() as u64
    }
}

/// The range of sizes that a file had over some time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub low: u64,
    pub high: u64,
}

impl Sizes {
    fn at(len: u64) -> Self {
        Self { low: len, high: len }
    }

    fn include(&mut self, len: u64) {
        self.low = self.low.min(len);
        self.high = self.high.max(len);
    }
}

/// The content of one file.
#[derive(Debug, Default)]
pub(super) struct Pages {
    chunks: BTreeMap<u64, Box<[Slot; CHUNK as usize]>>,
    /// Pages that are not clean.
    pub(super) unsynced: BTreeSet<u64>,
    pub(super) len: u64,
    pub(super) stable_len: u64,
    /// Every size since the one on the platter, inclusive: any of them may be the durable one.
    pub(super) sizes: Sizes,
    /// The sizes since the beginning of each sync that has not ended.
    syncing: BTreeMap<u64, Sizes>,
    serial: u64,
    /// Allocated pages, as the cache sees it.
    pub(super) allocated: u64,
    /// Corruption of the file: see [`super::corrupt`].
    pub(super) wounds: Wounds,
}

impl Pages {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Allocated pages.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Pages that a power loss may change.
    pub fn unsynced(&self) -> u64 {
        self.unsynced.len() as u64
    }

    /// Whether the platter has exactly the cached content.
    pub fn is_synced(&self) -> bool {
        self.unsynced.is_empty() && self.len == self.stable_len && self.sizes.low == self.sizes.high
    }

    pub(super) fn slot(&self, page: u64) -> Option<&Slot> {
        self.chunks.get(&(page / CHUNK)).map(|chunk| &chunk[(page % CHUNK) as usize])
    }

    pub(super) fn slot_mut(&mut self, page: u64) -> &mut Slot {
        let chunk = self.chunks.entry(page / CHUNK).or_default();
        &mut chunk[(page % CHUNK) as usize]
    }

    /// Pages from `from` on that have a slot in the tree, allocated or not.
    pub(super) fn placed_from(&self, from: u64) -> Vec<u64> {
        let chunks = self.chunks.range(from / CHUNK..);
        chunks
            .flat_map(|(chunk, _)| chunk * CHUNK..(chunk + 1) * CHUNK)
            .filter(|page| *page >= from)
            .collect()
    }

    /// Reads through the cache. `warm` is the current power-on.
    pub fn read(&mut self, offset: u64, buffer: &mut [u8], warm: u32) -> Touched {
        let end = self.len.min(offset.saturating_add(buffer.len() as u64));
        let mut touched = Touched::default();
        if offset >= end {
            return touched;
        }
        if !self.wounds.is_sound() {
            self.read_wounded(offset..end, warm);
        }
        touched.bytes = (end - offset) as usize;
        for (page, within, at) in pieces(offset..end) {
            let target = &mut buffer[at..at + within.len()];
            let chunk = self.chunks.get_mut(&(page / CHUNK));
            let slot = chunk.map(|chunk| &mut chunk[(page % CHUNK) as usize]);
            match slot {
                Some(Slot { cached: Some(bytes), warm: since, .. }) => {
                    target.copy_from_slice(&bytes[within]);
                    let hit = *since == warm;
                    touched.hits += u64::from(hit);
                    touched.misses += u64::from(!hit);
                    *since = warm;
                }
                // A hole: no read from the platter is needed.
                _ => {
                    target.fill(0);
                    touched.hits += 1;
                }
            }
        }
        touched
    }

    /// Reads a page ahead. Returns whether it had to come from the platter.
    pub fn warm_up(&mut self, page: u64, warm: u32) -> bool {
        let chunk = self.chunks.get_mut(&(page / CHUNK));
        let slot = chunk.map(|chunk| &mut chunk[(page % CHUNK) as usize]);
        // The reader itself must hit unreadable or corrupted pages.
        let sound = self.wounds.is_sound();
        match slot {
            Some(slot) if slot.cached.is_some() && slot.warm != warm && sound => {
                slot.warm = warm;
                true
            }
            _ => false,
        }
    }

    /// Copies bytes out for observers, without side effects.
    pub fn peek(&self, range: Range<u64>, stable: bool) -> Vec<u8> {
        let end = range.end.min(if stable { self.stable_len } else { self.len });
        let mut bytes = vec![0; end.saturating_sub(range.start) as usize];
        for (page, within, at) in pieces(range.start..end) {
            let slot = self.slot(page);
            let content =
                slot.and_then(|s| if stable { s.stable.as_ref() } else { s.cached.as_ref() });
            if let Some(content) = content {
                bytes[at..at + within.len()].copy_from_slice(&content[within]);
            }
        }
        bytes
    }

    /// Whether writing `bytes` would change the cached content.
    pub fn differs(&self, offset: u64, bytes: &[u8]) -> bool {
        let end = offset + bytes.len() as u64;
        end > self.len
            || pieces(offset..end).any(|(page, within, at)| {
                let new = &bytes[at..at + within.len()];
                match self.slot(page).and_then(|slot| slot.cached.as_ref()) {
                    Some(content) => content[within] != *new,
                    None => new.iter().any(|byte| *byte != 0),
                }
            })
    }

    /// Writes into the cache. The caller has checked the end against [`MAX_LEN`].
    pub fn write(&mut self, offset: u64, bytes: &[u8], warm: u32) -> Touched {
        let mut touched = Touched { bytes: bytes.len(), ..Touched::default() };
        if bytes.is_empty() {
            return touched;
        }
        let end = offset + bytes.len() as u64;
        for (page, within, at) in pieces(offset..end) {
            let whole = within.len() == PAGE;
            self.wounds.overwritten(page);
            let slot = self.slot_mut(page);
            // Only a partially overwritten page must be read first.
            let cold = slot.cached.is_some() && slot.warm != warm && !whole;
            touched.misses += u64::from(cold);
            touched.hits += u64::from(!cold);
            touched.allocated += u64::from(slot.cached.is_none());
            slot.warm = warm;
            let source = &bytes[at..at + within.len()];
            let content = slot.cached.get_or_insert_with(|| Arc::new(Box::new([0; PAGE])));
            // Copied once if it is shared with the platter or with a running sync.
            Arc::make_mut(content)[within].copy_from_slice(source);
            touched.dirtied += u64::from(slot.condition != Condition::Dirty);
            if std::mem::replace(&mut slot.condition, Condition::Dirty) == Condition::Clean {
                self.unsynced.insert(page);
            }
        }
        self.allocated += touched.allocated;
        if end > self.len {
            self.resized(end);
        }
        touched
    }

    /// Shares a full page. Not during a sync, which recognises pages written since its beginning by
    /// their allocation.
    pub fn share(&mut self, page: u64, pool: &PagePool) {
        if self.syncing.is_empty()
            && let Some(content) = &mut self.slot_mut(page).cached
        {
            pool.share(content);
        }
    }

    /// How many of `len` bytes at `offset` can be written when only `room` pages are free.
    pub fn fitting(&self, offset: u64, len: usize, mut room: u64) -> usize {
        for (page, _, at) in pieces(offset..offset + len as u64) {
            if self.slot(page).is_none_or(|slot| slot.cached.is_none()) {
                if room == 0 {
                    return at;
                }
                room -= 1;
            }
        }
        len
    }

    /// Truncates the file, or extends it by zeros. The caller has checked `len` against
    /// [`MAX_LEN`].
    pub fn set_len(&mut self, len: u64, warm: u32) {
        if len < self.len {
            self.zero_from(len, warm);
        }
        if len != self.len {
            self.resized(len);
        }
    }

    /// Zeroes the cached bytes from `offset` on.
    fn zero_from(&mut self, offset: u64, warm: u32) {
        let within = (offset % PAGE as u64) as usize;
        let mut first = offset / PAGE as u64;
        if within > 0 {
            if self.slot(first).is_some_and(|slot| slot.cached.is_some()) {
                self.write_zeros(first, within, warm);
            }
            first += 1;
        }
        for page in self.placed_from(first) {
            let slot = self.slot_mut(page);
            if slot.cached.take().is_none() {
                continue;
            }
            self.allocated -= 1;
            // A running sync may still write pages to the platter that are truncated here; the next
            // sync must undo that.
            let syncing = !self.syncing.is_empty();
            let slot = self.slot_mut(page);
            if slot.stable.is_some() || syncing {
                slot.condition = Condition::Dirty;
                self.unsynced.insert(page);
            } else {
                slot.condition = Condition::Clean;
                self.unsynced.remove(&page);
            }
        }
    }

    fn write_zeros(&mut self, page: u64, from: usize, warm: u32) {
        let slot = self.slot_mut(page);
        slot.warm = warm;
        if let Some(content) = &mut slot.cached {
            Arc::make_mut(content)[from..].fill(0);
        }
        slot.condition = Condition::Dirty;
        self.unsynced.insert(page);
    }

    fn resized(&mut self, len: u64) {
        self.len = len;
        self.sizes.include(len);
        for sizes in self.syncing.values_mut() {
            sizes.include(len);
        }
    }

    /// Begins a sync: data that is dirty now is durable when it ends.
    pub fn begin_sync(&mut self) -> Snapshot {
        self.serial += 1;
        self.syncing.insert(self.serial, Sizes::at(self.len));
        let pages = self
            .unsynced
            .iter()
            .filter_map(|page| self.slot(*page).map(|slot| (*page, slot)))
            .filter(|(_, slot)| slot.condition == Condition::Dirty)
            .map(|(page, slot)| (page, slot.cached.clone()))
            .collect();
        Snapshot { pages, len: self.len, serial: self.serial }
    }

    /// Writes all dirty pages to the platter without a sync; the size is not updated.
    pub fn write_back(&mut self) -> u64 {
        let snapshot = self.begin_sync();
        self.syncing.remove(&snapshot.serial);
        let count = snapshot.pages();
        for (page, content) in snapshot.pages {
            self.stabilise(page, content);
        }
        count
    }

    /// Writes one page to the platter without a sync. Returns whether it was dirty.
    pub fn write_back_page(&mut self, page: u64) -> bool {
        let slot = self.slot(page).filter(|slot| slot.condition == Condition::Dirty);
        let Some(content) = slot.map(|slot| slot.cached.clone()) else { return false };
        self.stabilise(page, content);
        true
    }

    /// Fails to write the dirty pages: they count as clean, but are not on the platter.
    pub fn fail_write_back(&mut self) -> u64 {
        let snapshot = self.begin_sync();
        let count = snapshot.pages();
        self.fail_sync(snapshot);
        self.wounds.error_is_due = count > 0;
        count
    }

    /// The next sync does not report a background write that failed before.
    pub fn forget_due_error(&mut self) {
        self.wounds.error_is_due = false;
    }

    /// Pages that a sync would write.
    pub fn dirty(&self) -> impl Iterator<Item = u64> {
        let dirty =
            |page: &&u64| self.slot(**page).is_some_and(|slot| slot.condition == Condition::Dirty);
        self.unsynced.iter().filter(dirty).copied()
    }

    /// Ends a sync that succeeded. Of two overlapping syncs, the one that began later covers the
    /// other: if it ended first, nothing is left to do.
    pub fn finish_sync(&mut self, snapshot: Snapshot) {
        let Some(sizes) = self.syncing.get(&snapshot.serial).copied() else { return };
        self.syncing.retain(|serial, _| *serial > snapshot.serial);
        self.sizes = sizes;
        self.stable_len = snapshot.len;
        for (page, content) in snapshot.pages {
            self.stabilise(page, content);
        }
    }

    /// Ends a sync without effect: everything is as dirty as before.
    pub fn forget_sync(&mut self, snapshot: Snapshot) {
        self.syncing.remove(&snapshot.serial);
    }

    /// Ends a sync that failed: the pages that it did not write count as clean, but are not on the
    /// platter. A truncated page is not in the cache, so it can't count as clean: like the size, its
    /// removal is metadata, which a later sync that succeeds has written.
    pub fn fail_sync(&mut self, snapshot: Snapshot) {
        self.syncing.remove(&snapshot.serial);
        for (page, content) in snapshot.pages {
            let slot = self.slot_mut(page);
            let unwritten = content.is_some() && same(&slot.cached, &content);
            if slot.condition == Condition::Dirty && unwritten {
                slot.condition = Condition::Lost;
            }
        }
    }

    /// Sets the platter's content of a page, which may be older than the cache.
    pub(super) fn stabilise(&mut self, page: u64, content: Content) {
        if self.wounds.strikes_write(page) {
            return self.write_elsewhere(page, content);
        }
        // A hole may have been filled and truncated again since, and a later sync may hold that
        // content.
        let settled = content.is_some() || self.syncing.is_empty();
        let slot = self.slot_mut(page);
        let clean = settled && same(&slot.cached, &content);
        let before = std::mem::replace(&mut slot.stable, content);
        if clean {
            slot.condition = Condition::Clean;
            self.unsynced.remove(&page);
        } else if slot.condition == Condition::Clean {
            // Truncated during the sync: the cache has a hole where the platter has bytes.
            slot.condition = Condition::Dirty;
            self.unsynced.insert(page);
        }
        self.wounds.written(page, before);
    }
}

/// Effects of a power loss on pages. Which of them happen is drawn in [`super::survive`].
impl Pages {
    /// Power was lost: the sectors in `kept` of an unsynced page have reached the platter as
    /// cached, the others have not. Returns whether data was lost.
    pub fn land(&mut self, page: u64, kept: Range<usize>) -> bool {
        let slot = self.slot_mut(page);
        let (old, new) = (slot.stable.take(), slot.cached.take());
        let before = u64::from(new.is_some());
        let writable = slot.condition == Condition::Dirty;
        let lost = !(writable && kept == (0..PAGE / SECTOR) || same(&old, &new));
        let found = match () {
            () if !writable || kept.is_empty() => old,
            () if !lost => new,
            () => {
                let mut torn = old.map_or([0; PAGE], |old| **old);
                let bytes = kept.start * SECTOR..kept.end * SECTOR;
                match new {
                    Some(new) => torn[bytes.clone()].copy_from_slice(&new[bytes]),
                    None => torn[bytes].fill(0),
                }
                Some(Arc::new(Box::new(torn)))
            }
        };
        slot.condition = Condition::Clean;
        slot.stable.clone_from(&found);
        slot.cached = found;
        self.allocated = self.allocated - before + u64::from(self.slot_mut(page).cached.is_some());
        self.unsynced.remove(&page);
        lost
    }

    /// The file has this size after all unsynced pages have landed. Bytes beyond it on the platter
    /// are dropped.
    pub fn found_with(&mut self, len: u64) {
        let within = (len % PAGE as u64) as usize;
        let mut first = len / PAGE as u64;
        if within > 0 {
            let slot = self.slot_mut(first);
            if slot.cached.as_ref().is_some_and(|bytes| bytes[within..].iter().any(|b| *b != 0)) {
                slot.stable = None;
                if let Some(content) = &mut slot.cached {
                    Arc::make_mut(content)[within..].fill(0);
                }
                slot.stable.clone_from(&slot.cached);
            }
            first += 1;
        }
        for page in self.placed_from(first) {
            let slot = std::mem::take(self.slot_mut(page));
            self.allocated -= u64::from(slot.cached.is_some());
        }
        self.len = len;
        self.stable_len = len;
        self.sizes = Sizes::at(len);
        self.syncing.clear();
    }
}

/// Whether two contents are one allocation. Equal bytes in two allocations count as different: one
/// was written since.
pub(super) fn same(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

/// Splits a range of bytes by pages: the page, the range within it, its start within the whole
/// range.
pub(super) fn pieces(range: Range<u64>) -> impl Iterator<Item = (u64, Range<usize>, usize)> {
    let size = PAGE as u64;
    let pages = range.start / size..range.end.div_ceil(size).max(range.start / size);
    pages.map(move |page| {
        let from = range.start.max(page * size);
        let to = range.end.min((page + 1) * size);
        let within = (from - page * size) as usize..(to - page * size) as usize;
        (page, within, (from - range.start) as usize)
    })
}
