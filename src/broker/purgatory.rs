//! Where requests wait: producers for the high watermark, fetches for bytes.
//!
//! A waiter is completed exactly once, by whoever brings about what it waits for; a deadline is the
//! waiter's own business.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use crate::base::Offset;
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
            // A waiter that gave up has dropped its end; its verdict is nobody's loss.
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

#[cfg(test)]
mod tests {
    use super::*;

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
