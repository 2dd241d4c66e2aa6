//! Full pages of equal bytes, held once for all disks of a simulation.
//!
//! Replicas write the same batches at the same places, so most pages of a cluster's logs exist as
//! many times as there are replicas. A page is shared only in memory: a writer copies it
//! first, as with a page that the platter shares with the cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::pages::{PAGE, Page};

/// Pages to hold before those are dropped that no file has any more.
const FIRST_SWEEP: usize = 1024;

/// The pages that the disks of one simulation share. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct PagePool(Arc<Mutex<Pool>>);

#[derive(Debug, Default)]
struct Pool {
    /// By the hash of their bytes. Of two pages with one hash, the one that came first.
    pages: BTreeMap<u64, Weak<Box<[u8; PAGE]>>>,
    /// How many there are when they are next swept.
    sweep_at: usize,
}

impl PagePool {
    /// Different pages that it lists.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().pages.len()
    }

    /// Replaces a page by one of the same bytes, if there is one.
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
    /// A page that no file has still takes space as long as it is listed.
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
    fn pages_that_no_file_has_are_dropped() {
        let pool = PagePool::default();
        for number in 0..10_000_u32 {
            let mut page = [0; PAGE];
            page[..4].copy_from_slice(&number.to_le_bytes());
            pool.share(&mut Arc::new(Box::new(page)));
        }
        assert!(pool.len() <= FIRST_SWEEP);
    }
}
