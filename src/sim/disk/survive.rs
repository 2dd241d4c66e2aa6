//! What remains of a file after a power loss.
//!
//! Within one file, pages reach the platter in any order, and so does the size relative to the
//! pages (ALICE's weakest file system). Four outcomes are drawn, because each finds different bugs:
//! nothing, everything, a prefix, any subset with torn pages.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::pages::{PAGE, Pages, SECTOR};

/// Sectors per page.
const SECTORS: usize = PAGE / SECTOR;

impl Pages {
    /// All unsynced data is gone. Returns the pages lost.
    pub fn survive_nothing(&mut self) -> u64 {
        let lost = self.land_each(|_, _| 0..0);
        self.found_with(self.stable_len);
        lost
    }

    /// The platter has everything that the cache had.
    pub fn survive_everything(&mut self) -> u64 {
        let lost = self.land_each(|_, _| 0..SECTORS);
        self.found_with(self.len);
        lost
    }

    /// Draws any outcome that the model allows.
    pub fn survive_drawn(&mut self, random: &mut ChaCha12Rng) -> u64 {
        match random.random_range(0..8u32) {
            0 => self.survive_nothing(),
            1 => self.survive_everything(),
            2..=4 => self.survive_prefix(random),
            _ => self.survive_subset(random),
        }
    }

    /// Draws any outcome of a journal that writes data before sizes (ext4's `data=ordered`).
    pub fn survive_ordered(&mut self, random: &mut ChaCha12Rng) -> u64 {
        // The journal has the last truncation, or none of the later changes.
        let cut = self.sizes.low < self.stable_len;
        if cut && random.random_bool(0.5) {
            return self.survive_nothing();
        }
        let base = self.sizes.low.min(self.stable_len);
        let growing: Vec<u64> = self.unsynced.range(base / PAGE as u64..).copied().collect();
        let kept = random.random_range(0..=growing.len() as u64) as usize;
        let size = match growing.get(kept) {
            Some(first_lost) => (first_lost * PAGE as u64).clamp(base, self.len.max(base)),
            None => self.len,
        };
        let first_lost = growing.get(kept).copied().unwrap_or(u64::MAX);
        let chance = [0.1, 0.5, 0.9][random.random_range(0..3u64) as usize];
        let lost = self.land_each(|page, _| {
            let overwritten = (page + 1) * PAGE as u64 <= base;
            let lands = if overwritten { random.random_bool(chance) } else { page < first_lost };
            if lands { 0..SECTORS } else { 0..0 }
        });
        self.found_with(size);
        lost
    }

    /// Keeps exactly these unsynced pages, counted from the first.
    pub fn survive_chosen(&mut self, pages: Option<(u64, u64)>) -> u64 {
        let Some((first, end)) = pages else { return self.survive_everything() };
        let last = self.unsynced.iter().nth((end as usize).saturating_sub(1));
        let reached = last.map_or(self.len, |page| (page + 1) * PAGE as u64);
        let size = match end > first {
            true => reached.min(self.len).max(self.stable_len.min(self.len)),
            false => self.stable_len,
        };
        let kept = |index: usize| (first..end).contains(&(index as u64));
        let lost = self.land_each(|_, index| if kept(index) { 0..SECTORS } else { 0..0 });
        self.found_with(size);
        lost
    }

    /// Keeps pages up to some sector. A file that only grew ends there.
    fn survive_prefix(&mut self, random: &mut ChaCha12Rng) -> u64 {
        let count = self.unsynced.len();
        let kept = random.random_range(0..=count as u64) as usize;
        let torn_at = random.random_range(0..SECTORS as u64) as usize;
        let end = self
            .unsynced
            .iter()
            .nth(kept)
            .map(|page| page * PAGE as u64 + (torn_at * SECTOR) as u64);
        let only_grew = self.sizes.low >= self.stable_len;
        let size = match end {
            Some(end) if only_grew => end.clamp(self.stable_len, self.len.max(self.stable_len)),
            None if only_grew => self.len,
            _ => self.draw_size(random),
        };
        let lost = self.land_each(|_, index| match index.cmp(&kept) {
            std::cmp::Ordering::Less => 0..SECTORS,
            std::cmp::Ordering::Equal => 0..torn_at,
            std::cmp::Ordering::Greater => 0..0,
        });
        self.found_with(size);
        lost
    }

    /// Keeps any pages, some torn, under any size that the file had.
    fn survive_subset(&mut self, random: &mut ChaCha12Rng) -> u64 {
        let size = self.draw_size(random);
        let chance = [0.1, 0.5, 0.9][random.random_range(0..3u64) as usize];
        let lost = self.land_each(|_, _| {
            if !random.random_bool(chance) {
                0..0
            } else if random.random_bool(0.8) {
                0..SECTORS
            } else {
                let at = random.random_range(1..SECTORS as u64) as usize;
                if random.random_bool(0.5) { 0..at } else { at..SECTORS }
            }
        });
        self.found_with(size);
        lost
    }

    fn draw_size(&self, random: &mut ChaCha12Rng) -> u64 {
        match random.random_range(0..4u32) {
            0 => self.stable_len,
            1 | 2 => self.len,
            _ => random.random_range(self.sizes.low..=self.sizes.high),
        }
    }

    /// Lands every unsynced page in order; `kept` returns which of its sectors are new.
    fn land_each(&mut self, mut kept: impl FnMut(u64, usize) -> std::ops::Range<usize>) -> u64 {
        let pages: Vec<u64> = self.unsynced.iter().copied().collect();
        let mut lost = 0;
        for (index, page) in pages.into_iter().enumerate() {
            lost += u64::from(self.land(page, kept(page, index)));
        }
        lost
    }
}
