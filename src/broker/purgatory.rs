//! Where requests wait: producers for the high watermark, fetches for bytes.
//!
//! A waiter is completed exactly once, by the event that it waits for; a deadline is the
//! waiter's own business.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::base::{BrokerId, Instant, Offset};
use crate::wire::ErrorCode;

/// Producers with `acks=all`, by the offset that has to be committed.
#[derive(Debug, Default)]
pub(super) struct DelayedProduce {
    /// Counts arrivals, so that two waiters for one offset both have a place.
    arrivals: u64,
    waiting: BTreeMap<(Offset, u64), oneshot::Sender<ErrorCode>>,
}

impl DelayedProduce {
    /// Waits until everything below `end` is committed, or until the role is lost.
    pub(super) fn wait(&mut self, end: Offset) -> oneshot::Receiver<ErrorCode> {
        let (done, waiter) = oneshot::channel();
        self.arrivals += 1;
        self.waiting.insert((end, self.arrivals), done);
        waiter
    }

    /// The first offset that a producer waits for.
    pub(super) fn first(&self) -> Option<Offset> {
        self.waiting.keys().next().map(|(end, _)| *end)
    }

    /// Completes all that wait for at most `high_watermark`; `verdict` says how each ends.
    pub(super) fn complete(
        &mut self,
        high_watermark: Offset,
        mut verdict: impl FnMut(Offset) -> ErrorCode,
    ) {
        let later = self.waiting.split_off(&(high_watermark.next(), 0));
        for ((end, _), done) in std::mem::replace(&mut self.waiting, later) {
            // A waiter that gave up has dropped its end.
            let _ = done.send(verdict(end));
        }
    }

    /// Completes all: this replica can no longer bring about what they wait for.
    pub(super) fn fail(&mut self, error: ErrorCode) {
        for (_, done) in std::mem::take(&mut self.waiting) {
            let _ = done.send(error);
        }
    }
}

/// Fetches that wait for more bytes of a partition.
#[derive(Debug, Default)]
pub(super) struct DelayedFetch {
    waiting: Vec<Arc<Notify>>,
}

impl DelayedFetch {
    /// Wakes `fetch` at the next change. A wake that comes before it waits is kept for it.
    pub(super) fn wait(&mut self, fetch: &Arc<Notify>) {
        // Fetches that were answered meanwhile hold no bell any more.
        self.waiting.retain(|other| Arc::strong_count(other) > 1);
        if !self.waiting.iter().any(|other| Arc::ptr_eq(other, fetch)) {
            self.waiting.push(fetch.clone());
        }
    }

    /// Lets all look again.
    pub(super) fn wake(&mut self) {
        for fetch in self.waiting.drain(..) {
            fetch.notify_one();
        }
    }
}

/// The partitions of a fetch, or of a fetch session, that have changed since they were read.
///
/// Partitions are named by numbers that their fetch chose. So a fetch of a thousand partitions reads
/// again only the one that was written.
#[derive(Debug, Default)]
pub(crate) struct FetchWatch {
    bell: Notify,
    state: Mutex<WatchState>,
}

#[derive(Debug, Default)]
struct WatchState {
    changed: BTreeSet<u32>,
    /// Partitions that the session had and has not now.
    forgotten: BTreeSet<u32>,
    /// The replica that fetches, and when it sent its last request.
    heard: Option<(BrokerId, Instant)>,
}

impl FetchWatch {
    /// A partition has changed.
    fn mark(&self, slot: u32) {
        self.note(slot);
        self.bell.notify_one();
    }

    /// A partition has news, for which the fetch does not wait.
    fn note(&self, slot: u32) {
        let mut state = self.state.lock();
        if !state.forgotten.contains(&slot) {
            state.changed.insert(slot);
        }
    }

    /// Adds partitions to read at the next look.
    pub(crate) fn look_again_at(&self, slots: impl IntoIterator<Item = u32>) {
        let mut state = self.state.lock();
        for slot in slots {
            state.forgotten.remove(&slot);
            state.changed.insert(slot);
        }
    }

    /// The session has left a partition out.
    pub(crate) fn forget(&self, slot: u32) {
        let mut state = self.state.lock();
        state.changed.remove(&slot);
        state.forgotten.insert(slot);
    }

    /// The partitions to read now.
    pub(crate) fn take(&self) -> BTreeSet<u32> {
        std::mem::take(&mut self.state.lock().changed)
    }

    /// Returns once a partition has changed since the last call.
    pub(crate) async fn changed(&self) {
        self.bell.notified().await;
    }

    /// A replica has sent a request. It speaks for every partition of the session, also for those
    /// that it does not name.
    pub(crate) fn heard(&self, replica: BrokerId, at: Instant) {
        self.state.lock().heard = Some((replica, at));
    }

    /// The replica that fetches a partition, and when it sent its last request.
    fn replica_of(&self, slot: u32) -> Option<(BrokerId, Instant)> {
        let state = self.state.lock();
        state.heard.filter(|_| !state.forgotten.contains(&slot))
    }
}

/// The fetches and fetch sessions that watch a partition.
#[derive(Debug, Default)]
pub(super) struct Watched {
    by: Vec<(Weak<FetchWatch>, u32)>,
    /// Number of watches at which those that have ended are removed.
    prune_at: usize,
}

impl Watched {
    /// From now on `watch` learns of each change, under the number `slot`.
    pub(super) fn add(&mut self, watch: &Arc<FetchWatch>, slot: u32) {
        let same = |(known, at): &(Weak<FetchWatch>, u32)| {
            *at == slot && std::ptr::eq(known.as_ptr(), Arc::as_ptr(watch))
        };
        if self.by.iter().any(same) {
            return;
        }
        if self.by.len() >= self.prune_at {
            self.by.retain(|(known, _)| known.strong_count() > 0);
            self.prune_at = 2 * self.by.len() + 4;
        }
        self.by.push((Arc::downgrade(watch), slot));
    }

    /// This partition has changed.
    pub(super) fn wake(&mut self) {
        self.by.retain(|(watch, slot)| match watch.upgrade() {
            Some(watch) => {
                watch.mark(*slot);
                true
            }
            None => false,
        });
    }

    /// This partition has news that no fetch waits for: the next answer brings it.
    pub(super) fn note(&mut self) {
        for (watch, slot) in &self.by {
            if let Some(watch) = watch.upgrade() {
                watch.note(*slot);
            }
        }
    }

    /// The replicas whose sessions have this partition, and when each sent its last request.
    pub(super) fn heard(&self) -> Vec<(BrokerId, Instant)> {
        let heard = |(watch, slot): &(Weak<FetchWatch>, u32)| watch.upgrade()?.replica_of(*slot);
        self.by.iter().filter_map(heard).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_kept_for_each_watch_until_it_looks() {
        let (one, other) = (Arc::new(FetchWatch::default()), Arc::new(FetchWatch::default()));
        let mut watched = Watched::default();
        watched.add(&one, 3);
        watched.add(&one, 3);
        watched.add(&other, 8);
        watched.wake();
        watched.wake();
        assert_eq!(one.take(), BTreeSet::from([3]));
        assert_eq!(one.take(), BTreeSet::new());
        assert_eq!(other.take(), BTreeSet::from([8]));
        watched.note();
        assert_eq!(other.take(), BTreeSet::from([8]), "news wait for the next look");
        drop(one);
        watched.wake();
        assert_eq!(watched.by.len(), 1, "a fetch that has ended is forgotten");
    }

    #[test]
    fn ended_fetches_of_an_idle_partition_do_not_pile_up() {
        let mut watched = Watched::default();
        let lasting = Arc::new(FetchWatch::default());
        watched.add(&lasting, 0);
        for _ in 0..1000 {
            watched.add(&Arc::new(FetchWatch::default()), 0);
        }
        assert!(watched.by.len() < 20, "{} watches", watched.by.len());
        watched.wake();
        assert_eq!(lasting.take(), BTreeSet::from([0]));
    }

    #[test]
    fn a_producer_is_answered_once_its_last_record_is_committed_and_not_before() {
        let mut purgatory = DelayedProduce::default();
        let mut early = purgatory.wait(Offset(5));
        let mut late = purgatory.wait(Offset(6));
        purgatory.complete(Offset(5), |_| ErrorCode::None);
        assert_eq!(early.try_recv(), Ok(ErrorCode::None));
        assert!(late.try_recv().is_err());
        purgatory.fail(ErrorCode::NotLeaderOrFollower);
        assert_eq!(late.try_recv(), Ok(ErrorCode::NotLeaderOrFollower));
    }
}
