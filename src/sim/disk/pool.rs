//! Full pages of equal bytes, stored once for all disks of a simulation.
//!
//! Replicas write the same batches at the same positions, so most pages of a cluster's logs exist
//! once per replica. A page is shared only in memory: a writer copies it first, like a page that
//! the platter shares with the cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::pages::{PAGE, Page};

/// Number of pages at which unused ones are first dropped.
const FIRST_SWEEP: usize = 1024;

/// The pages that the disks of one simulation share. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct PagePool(Arc<Mutex<Pool>>);

#[derive(Debug, Default)]
struct Pool {
    /// By the hash of their bytes. If two pages have the same hash, the first one is listed.
    pages: BTreeMap<u64, Weak<Box<[u8; PAGE]>>>,
    /// Number of pages at which to sweep next.
    sweep_at: usize,
}

impl PagePool {
    /// Number of listed pages.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().pages.len()
    }

    /// Replaces a page by a listed one with equal bytes, if there is one.
    pub(super) fn share(&self, page: &mut Page) {
        let mut pool = self.0.lock();
        let hash = xxh3_64(&page[..]);
        match pool.pages.get(&hash).and_then(Weak::upgrade) {
            Some(known) if known == *page => *page = known,
            Some(_) => {}
            None => {
                pool.pages.insert(hash, Arc::downgrade(page));
                pool.sweep();
            }
        }
    }
}

impl Pool {
    /// Drops listed pages that no file uses.
    fn sweep(&mut self) {
        if self.pages.len() >= self.sweep_at.max(FIRST_SWEEP) {
            self.pages.retain(|_, page| page.strong_count() > 0);
            self.sweep_at = self.pages.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pages_become_one_and_different_pages_stay_apart() {
        let pool = PagePool::default();
        let [mut one, mut other, mut third] =
            [7, 7, 8].map(|byte| Arc::new(Box::new([byte; PAGE])));
        for page in [&mut one, &mut other, &mut third] {
            pool.share(page);
        }
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!((one[0], third[0]), (7, 8));
        Arc::make_mut(&mut other)[0] = 9;
        assert_eq!((one[0], other[0]), (7, 9));
    }

    #[test]
    fn unused_pages_are_dropped() {
        let pool = PagePool::default();
        for number in 0..10_000_u32 {
            let mut page = [0; PAGE];
            page[..4].copy_from_slice(&number.to_le_bytes());
            pool.share(&mut Arc::new(Box::new(page)));
        }
        assert!(pool.len() <= FIRST_SWEEP);
    }
}
