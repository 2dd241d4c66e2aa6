//! One file's bytes twice: as the page cache has them, and as the platter has them.
//!
//! A page that is the same in both is one allocation; a page that was never written is none. So a
//! preallocated file costs nothing, a write costs the pages it touches, and a power loss costs the
//! pages that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::corrupt::Wounds;
use super::pool::PagePool;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// What the platter writes at once: a page torn by a power loss is torn between sectors.
pub(super) const SECTOR: usize = 512;
/// Pages that share one node of the tree.
const CHUNK: u64 = 32;
/// Largest file: ext4's limit with 4 KiB blocks. Bounds what a wild offset can allocate.
pub(super) const MAX_LEN: u64 = 16 << 40;

/// A page's bytes. Boxed: with the counters beside them they would take a quarter more memory.
pub(super) type Page = Arc<Box<[u8; PAGE]>>;
/// A page's bytes; `None` is zeros that take no space.
pub(super) type Content = Option<Page>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Condition {
    /// The platter has what the cache has.
    #[default]
    Clean,
    /// Written since, and a sync will bring it to the platter.
    Dirty,
    /// A sync of it failed. The kernel took it for clean: no later sync will write it (ATC'20).
    Lost,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) cached: Content,
    pub(super) stable: Content,
    pub(super) condition: Condition,
    /// Since which power-on the page is in memory; an older one must be read from the platter.
    pub(super) warm: u32,
}

/// No power-on: the page is not in memory.
pub(super) const COLD: u32 = u32::MAX;

/// What a read or write met in the cache.
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
    /// Pages that took space for the first time.
    pub allocated: u64,
}

/// What a sync that has begun will have made durable at its end.
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

/// The sizes that a file had over some time.
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
    /// Every size since the one on the platter, that one included: any of them may be the durable one.
    pub(super) sizes: Sizes,
    /// The same since each sync that has begun and not ended.
    syncing: BTreeMap<u64, Sizes>,
    serial: u64,
    /// Pages that take space, as the cache sees it.
    pub(super) allocated: u64,
    /// What of it is not as it should be: see [`super::corrupt`].
    pub(super) wounds: Wounds,
}

impl Pages {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Pages that take space.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Pages that a power loss may change.
    pub fn unsynced(&self) -> u64 {
        self.unsynced.len() as u64
    }

    /// Whether the platter has all of it, and nothing else.
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

    /// Pages from `from` on that have a place in the tree, whether they hold anything or not.
    pub(super) fn placed_from(&self, from: u64) -> Vec<u64> {
        let chunks = self.chunks.range(from / CHUNK..);
        chunks
            .flat_map(|(chunk, _)| chunk * CHUNK..(chunk + 1) * CHUNK)
            .filter(|page| *page >= from)
            .collect()
    }

    /// Reads through the cache. `warm` names the current power-on.
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
                // A hole: the file system knows without looking.
                _ => {
                    target.fill(0);
                    touched.hits += 1;
                }
            }
        }
        touched
    }

    /// Brings a page into memory ahead of its reader. Says whether it was on the platter only.
    pub fn warm_up(&mut self, page: u64, warm: u32) -> bool {
        let chunk = self.chunks.get_mut(&(page / CHUNK));
        let slot = chunk.map(|chunk| &mut chunk[(page % CHUNK) as usize]);
        // What can't be read, or comes as something else, is for the reader himself to meet.
        let sound = self.wounds.is_sound();
        match slot {
            Some(slot) if slot.cached.is_some() && slot.warm != warm && sound => {
                slot.warm = warm;
                true
            }
            _ => false,
        }
    }

    /// Copies out what is there without being seen: for observers.
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

    /// Whether writing `bytes` would change what the cache has.
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
            // Only a page that is overwritten in part must be read first.
            let cold = slot.cached.is_some() && slot.warm != warm && !whole;
            touched.misses += u64::from(cold);
            touched.hits += u64::from(!cold);
            touched.allocated += u64::from(slot.cached.is_none());
            slot.warm = warm;
            let source = &bytes[at..at + within.len()];
            let content = slot.cached.get_or_insert_with(|| Arc::new(Box::new([0; PAGE])));
            // Shared with the platter or with a sync under way: then the page is copied, once.
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

    /// Shares a page that is full. Not while a sync has hold of pages: it tells what was written
    /// since by which allocation it is.
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

    /// Cuts the file, or extends it by zeros. The caller has checked `len` against [`MAX_LEN`].
    pub fn set_len(&mut self, len: u64, warm: u32) {
        if len < self.len {
            self.zero_from(len, warm);
        }
        if len != self.len {
            self.resized(len);
        }
    }

    /// Makes the cache's pages zero from `offset` on.
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
            // A sync under way may yet bring to the platter what is cut here; the next one must
            // take it back.
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

    /// Begins a sync: what is dirty now will be durable at its end.
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

    /// Everything dirty reaches the platter by itself; the size stays behind.
    pub fn write_back(&mut self) -> u64 {
        let snapshot = self.begin_sync();
        self.syncing.remove(&snapshot.serial);
        let count = snapshot.pages();
        for (page, content) in snapshot.pages {
            self.stabilise(page, content);
        }
        count
    }

    /// One page reaches the platter by itself. Says whether there was something to write.
    pub fn write_back_page(&mut self, page: u64) -> bool {
        let slot = self.slot(page).filter(|slot| slot.condition == Condition::Dirty);
        let Some(content) = slot.map(|slot| slot.cached.clone()) else { return false };
        self.stabilise(page, content);
        true
    }

    /// Everything dirty should have reached the platter and did not: it counts as clean.
    pub fn fail_write_back(&mut self) -> u64 {
        let snapshot = self.begin_sync();
        let count = snapshot.pages();
        self.fail_sync(snapshot);
        self.wounds.error_is_due = count > 0;
        count
    }

    /// Pages whose last content a sync would write.
    pub fn dirty(&self) -> impl Iterator<Item = u64> {
        let dirty =
            |page: &&u64| self.slot(**page).is_some_and(|slot| slot.condition == Condition::Dirty);
        self.unsynced.iter().filter(dirty).copied()
    }

    /// Ends a sync that succeeded. Of two that overlapped, the one that began later had all that
    /// the other one had, and newer: if it ended first, there is nothing left to do.
    pub fn finish_sync(&mut self, snapshot: Snapshot) {
        let Some(sizes) = self.syncing.get(&snapshot.serial).copied() else { return };
        self.syncing.retain(|serial, _| *serial > snapshot.serial);
        self.sizes = sizes;
        self.stable_len = snapshot.len;
        for (page, content) in snapshot.pages {
            self.stabilise(page, content);
        }
    }

    /// Ends a sync that did nothing: everything is as dirty as before.
    pub fn forget_sync(&mut self, snapshot: Snapshot) {
        self.syncing.remove(&snapshot.serial);
    }

    /// Ends a sync that failed: what it should have written counts as clean from now on, and is
    /// not on the platter.
    pub fn fail_sync(&mut self, snapshot: Snapshot) {
        self.syncing.remove(&snapshot.serial);
        for (page, content) in snapshot.pages {
            let slot = self.slot_mut(page);
            if slot.condition == Condition::Dirty && same(&slot.cached, &content) {
                slot.condition = Condition::Lost;
            }
        }
    }

    /// The platter gets a page's content as it was at some time.
    pub(super) fn stabilise(&mut self, page: u64, content: Content) {
        if self.wounds.strikes_write(page) {
            return self.write_elsewhere(page, content);
        }
        // A hole may have been filled and cut again since, and a later sync may hold the filling.
        let settled = content.is_some() || self.syncing.is_empty();
        let slot = self.slot_mut(page);
        let clean = settled && same(&slot.cached, &content);
        let before = std::mem::replace(&mut slot.stable, content);
        if clean {
            slot.condition = Condition::Clean;
            self.unsynced.remove(&page);
        } else if slot.condition == Condition::Clean {
            // Cut off while the sync was under way: the cache has a hole where the platter has none.
            slot.condition = Condition::Dirty;
            self.unsynced.insert(page);
        }
        self.wounds.written(page, before);
    }
}

/// What a power loss does to pages. Which of it happens is drawn in [`super::survive`].
impl Pages {
    /// The power is gone: of one unsynced page, the sectors in `kept` have reached the platter as
    /// the cache had them, the others have not. Returns whether something of it is lost.
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

    /// The file is found with this size, after every unsynced page has landed. What the platter
    /// has beyond it belongs to nobody.
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

/// Whether two contents are one allocation. Equal bytes apart are different: one was written since.
pub(super) fn same(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

/// A range of bytes, page by page: the page, the range within it, where it begins in the whole.
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
