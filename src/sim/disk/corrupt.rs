//! Corruption on disks: bit rot, unreadable sectors, lost or misdirected writes, stale reads.
//!
//! The page cache hides corruption: a page is wrong once it is read from the platter again, after
//! it was evicted or power was lost. Until then it is *apart*: clean, but different from the
//! platter.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::pages::{COLD, Condition, Content, PAGE, Pages, pieces};
use super::state::{Op, State};
use super::tree::{Ino, ROOT};
use crate::sim::What;

/// Kinds of corruption of bytes that were durable, or should have become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// A bit of a page flips.
    BitRot,
    /// A page can't be read (`EIO`) until it is written again.
    LatentError,
    /// A write lands on another page of the file; the intended page keeps its old content.
    MisdirectedWrite,
    /// A write is reported as done but never happens.
    LostWrite,
    /// One read returns the content before the last write.
    StaleRead,
}

/// Which logs of a disk to corrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Any log, including the metadata log.
    #[default]
    Disk,
    /// The log of one partition.
    Log,
    /// The log of one partition, except its active segment.
    Cold,
}

/// Corruption of one file.
#[derive(Debug, Default)]
pub(super) struct Wounds {
    /// Clean pages that differ from the platter.
    apart: BTreeSet<u64>,
    /// Pages that can't be read from the platter.
    unreadable: BTreeSet<u64>,
    /// Contents that the next read from the platter returns.
    stale: BTreeMap<u64, Content>,
    /// Pages whose next write to the platter fails; true if it lands elsewhere.
    writes: BTreeMap<u64, bool>,
    /// For how many further writes to the platter to remember the previous content.
    remember: u32,
    /// A background write failed; the next sync will report it.
    pub error_is_due: bool,
}

impl Wounds {
    /// Whether the file has no corruption.
    pub fn is_sound(&self) -> bool {
        self.unreadable.is_empty() && self.stale.is_empty() && self.apart.is_empty()
    }

    /// The cache has new content: the platter's content no longer matters.
    pub fn overwritten(&mut self, page: u64) {
        if !self.is_sound() {
            self.apart.remove(&page);
        }
    }

    /// Whether the write of a page goes wrong.
    pub fn strikes_write(&self, page: u64) -> bool {
        self.writes.contains_key(&page)
    }

    /// The platter has a page's new content; `before` is the previous one.
    pub fn written(&mut self, page: u64, before: Content) {
        if self.remember > 0 {
            self.remember -= 1;
            self.stale.insert(page, before);
        }
        if !self.is_sound() {
            self.unreadable.remove(&page);
        }
    }
}

impl Pages {
    /// The write of a page gets lost, or lands on another page.
    pub(super) fn write_elsewhere(&mut self, page: u64, content: Content) {
        let elsewhere = self.wounds.writes.remove(&page) == Some(true);
        let slot = self.slot_mut(page);
        if super::pages::same(&slot.cached, &content) {
            slot.condition = Condition::Clean;
            self.unsynced.remove(&page);
            self.wounds.apart.insert(page);
        }
        let victim = if page > 0 { page - 1 } else { page + 1 };
        let there = self.slot(victim).is_some_and(|slot| slot.stable.is_some());
        if elsewhere && there {
            let slot = self.slot_mut(victim);
            slot.stable = content;
            if slot.condition == Condition::Clean {
                self.wounds.apart.insert(victim);
            }
        }
    }

    /// Reads cold pages as the platter has them.
    pub(super) fn read_wounded(&mut self, range: Range<u64>, warm: u32) {
        for (page, ..) in pieces(range) {
            let cold = self.slot(page).is_some_and(|slot| slot.warm != warm);
            if !cold {
                continue;
            }
            let dirty = self.slot(page).is_some_and(|slot| slot.condition != Condition::Clean);
            if let Some(before) = self.wounds.stale.remove(&page).filter(|_| !dirty) {
                self.cache(page, before);
                self.wounds.apart.insert(page);
            }
        }
    }

    /// Whether a read of this range hits an unreadable page.
    pub(super) fn is_unreadable(&self, range: Range<u64>, warm: u32) -> bool {
        !self.wounds.unreadable.is_empty()
            && pieces(range).any(|(page, ..)| {
                let cold = self.slot(page).is_some_and(|slot| slot.warm != warm);
                cold && self.wounds.unreadable.contains(&page)
            })
    }

    /// A clean page is evicted. The next read finds what the platter has.
    pub(super) fn evict(&mut self, page: u64) -> bool {
        let clean = self.slot(page).is_none_or(|slot| slot.condition == Condition::Clean);
        if clean && self.slot(page).is_some() {
            self.slot_mut(page).warm = COLD;
            if self.wounds.apart.remove(&page) {
                let stable = self.slot(page).and_then(|slot| slot.stable.clone());
                self.cache(page, stable);
            }
        }
        clean
    }

    /// Power was lost: no page is in memory.
    pub(super) fn come_together(&mut self) {
        for page in std::mem::take(&mut self.wounds.apart) {
            let stable = self.slot(page).and_then(|slot| slot.stable.clone());
            self.cache(page, stable);
        }
    }

    fn cache(&mut self, page: u64, content: Content) {
        let slot = self.slot_mut(page);
        let (before, after) = (slot.cached.is_some(), content.is_some());
        slot.cached = content;
        self.allocated = self.allocated + u64::from(after) - u64::from(before);
    }

    /// Corrupts one page, which is durable and clean, or about to be written. Returns the bytes
    /// that are affected now.
    fn wound(&mut self, what: Corruption, page: u64, random: &mut ChaCha12Rng) -> Range<u64> {
        let start = page * PAGE as u64;
        match what {
            Corruption::BitRot => {
                let used = (self.stable_len - page * PAGE as u64).min(PAGE as u64);
                let (byte, bit) =
                    (random.random_range(0..used) as usize, random.random_range(0..8u32));
                let slot = self.slot_mut(page);
                let mut rotten = slot.stable.as_ref().map_or([0; PAGE], |bytes| ***bytes);
                rotten[byte] ^= 1 << bit;
                slot.stable = Some(Arc::new(Box::new(rotten)));
                self.wounds.apart.insert(page);
                self.evict(page);
                return start + byte as u64..start + byte as u64 + 1;
            }
            Corruption::LatentError => {
                self.wounds.unreadable.insert(page);
                self.evict(page);
                return start..start + PAGE as u64;
            }
            Corruption::MisdirectedWrite => {
                self.wounds.writes.insert(page, true);
            }
            Corruption::LostWrite => {
                self.wounds.writes.insert(page, false);
            }
            Corruption::StaleRead => self.wounds.remember += 1,
        }
        start..start
    }

    /// Byte ranges that will differ from what was written once they are read from the platter.
    pub(super) fn apart(&self) -> impl Iterator<Item = Range<u64>> {
        let page = PAGE as u64;
        self.wounds.apart.iter().map(move |at| at * page..(at + 1) * page)
    }
}

impl State {
    /// Corrupts `count` pages of `.log` files: durable ones, or for write failures those written
    /// next. `log` is the directory of the partition that `place` may refer to. Returns how many
    /// pages were found.
    pub fn corrupt(&mut self, what: Corruption, count: u32, place: Place, log: &str) -> u32 {
        self.corruptions += 1;
        let stream = crate::base::Stream::numbered("corruption", self.corruptions);
        let mut random = self.seed.stream(stream);
        let mut struck = 0;
        let mut places = self.places(what, place, log);
        while struck < count && !places.is_empty() {
            let (ino, page) = places.swap_remove(random.random_range(0..places.len()));
            let Some(file) = self.tree.file_mut(ino) else { continue };
            let before = file.allocated();
            let bytes = file.wound(what, page, &mut random);
            self.tree.allocated =
                self.tree.allocated + self.tree.file(ino).map_or(0, |f| f.allocated()) - before;
            self.wounded.insert(ino);
            struck += 1;
            self.trace(Op::Corrupted, ino, [page, what as u64], &[]);
            self.corrupted(ino, bytes);
        }
        if struck == 0 {
            self.trace(Op::Corrupted, ROOT, [0, what as u64], &[]);
        }
        struck
    }

    /// Reports to observers which bytes of a log differ from what was written.
    pub(super) fn corrupted(&self, ino: Ino, range: Range<u64>) {
        if let Some(path) = self.log_path(ino).filter(|_| !range.is_empty()) {
            self.see(What::Corrupted { path, range });
        }
    }

    fn places(&self, what: Corruption, place: Place, log: &str) -> Vec<(Ino, u64)> {
        let mut places = Vec::new();
        let logs = self.tree.files().into_iter().filter(|(path, _)| path.ends_with(".log"));
        let logs: Vec<_> = logs.collect();
        let of_it = |path: &str| {
            let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
            dir.rsplit_once('/').map_or(dir, |(_, name)| name) == log
        };
        // Segment names have equal lengths, so they sort by offset.
        let youngest = logs.iter().map(|(path, _)| path).filter(|path| of_it(path)).max();
        for (path, ino) in &logs {
            let ino = *ino;
            let meant = match place {
                Place::Disk => true,
                Place::Log => of_it(path),
                Place::Cold => of_it(path) && Some(path) != youngest,
            };
            let Some(file) = self.tree.file(ino).filter(|_| meant) else { continue };
            let size = file.stable_len.min(file.len());
            let pages = file.placed_from(0).into_iter();
            let durable = pages.filter(|page| {
                let slot = file.slot(*page);
                page * (PAGE as u64) < size
                    && slot.is_some_and(|s| s.stable.is_some() && s.condition == Condition::Clean)
            });
            match what {
                Corruption::BitRot | Corruption::LatentError => {
                    places.extend(durable.map(|page| (ino, page)));
                }
                // The next page to be written is most likely the last one.
                Corruption::MisdirectedWrite | Corruption::LostWrite | Corruption::StaleRead => {
                    places.push((ino, file.len().saturating_sub(1) / PAGE as u64));
                }
            }
        }
        places
    }
}
