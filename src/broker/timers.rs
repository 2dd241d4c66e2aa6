//! The deadlines of the replicas on a broker: each replica is stepped at its own, and idle ones cost
//! nothing.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::base::{Instant, TopicId};

/// A replica, as deadlines name it.
pub(super) type Key = (TopicId, i32);

/// Deadlines by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: Mutex<BTreeSet<(Instant, Key)>>,
    /// Notified when the first deadline has become earlier.
    earlier: Notify,
}

impl Timers {
    /// Moves a replica's deadline from `before` to `at`.
    pub(super) fn set(&self, key: Key, before: Option<Instant>, at: Instant) {
        let mut due = self.due.lock();
        if let Some(before) = before {
            due.remove(&(before, key));
        }
        let first = due.first().is_none_or(|(first, _)| at < *first);
        due.insert((at, key));
        if first {
            self.earlier.notify_one();
        }
    }

    /// Removes and returns the replicas whose deadline is reached.
    pub(super) fn take(&self, now: Instant) -> Vec<Key> {
        let mut due = self.due.lock();
        let mut taken = Vec::new();
        while let Some((_, key)) = due.first().copied().filter(|(at, _)| *at <= now) {
            due.pop_first();
            taken.push(key);
        }
        taken
    }

    /// The first deadline.
    pub(super) fn next(&self) -> Instant {
        self.due.lock().first().map_or(Instant::NEVER, |(at, _)| *at)
    }

    /// Returns once the first deadline has become earlier.
    pub(super) async fn earlier(&self) {
        self.earlier.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn replicas_are_due_in_order_and_once() {
        let timers = Timers::default();
        let key = |partition| (TopicId([7; 16]), partition);
        timers.set(key(1), None, at(9));
        timers.set(key(2), None, at(5));
        timers.set(key(1), Some(at(9)), at(3));
        assert_eq!(timers.next(), at(3));
        assert_eq!(timers.take(at(2)), []);
        assert_eq!(timers.take(at(5)), [key(1), key(2)]);
        assert_eq!(timers.take(at(99)), []);
        assert_eq!(timers.next(), Instant::NEVER);
    }
}
