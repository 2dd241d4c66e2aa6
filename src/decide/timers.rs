//! When a machine has to be called although nothing happened to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Instant;

/// Deadlines by key, at most one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers<K> {
    at: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { at: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets the deadline of a key, in place of the one that it had.
    pub fn set(&mut self, key: K, deadline: Instant) {
        if let Some(before) = self.at.insert(key.clone(), deadline) {
            self.order.remove(&(before, key.clone()));
        }
        self.order.insert((deadline, key));
    }

    /// Removes the deadline of a key, and returns it.
    pub fn cancel(&mut self, key: &K) -> Option<Instant> {
        let deadline = self.at.remove(key)?;
        self.order.remove(&(deadline, key.clone()));
        Some(deadline)
    }

    /// Removes all deadlines.
    pub fn clear(&mut self) {
        self.at.clear();
        self.order.clear();
    }

    /// The deadline of a key.
    pub fn get(&self, key: &K) -> Option<Instant> {
        self.at.get(key).copied()
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// Keys whose deadline has passed, the earliest first. They keep it until it is cancelled or
    /// set again.
    pub fn expired(&self, now: Instant) -> impl Iterator<Item = &K> {
        self.order.iter().take_while(move |(deadline, _)| *deadline <= now).map(|(_, key)| key)
    }

    /// Asserts that both indexes name the same deadlines.
    pub fn check(&self) {
        assert_eq!(self.at.len(), self.order.len(), "a timer is in one index only");
        for (key, deadline) in &self.at {
            assert!(
                self.order.contains(&(*deadline, key.clone())),
                "a timer at {deadline:?} is not in the order of deadlines"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn timers_expire_at_their_deadline_in_order_and_only_once_set(
            steps in proptest::collection::vec((0..4u8, 0..20u64, any::<bool>()), 1..60),
        ) {
            let mut timers = Timers::default();
            let mut model: BTreeMap<u8, Instant> = BTreeMap::new();
            for (key, seconds, cancels) in steps {
                let at = Instant::from_secs(seconds);
                if cancels {
                    prop_assert_eq!(timers.cancel(&key), model.remove(&key));
                } else {
                    timers.set(key, at);
                    model.insert(key, at);
                }
                timers.check();
                prop_assert_eq!(timers.deadline(), model.values().min().copied());
                let mut due: Vec<_> = model.iter().filter(|(_, d)| **d <= at).collect();
                due.sort_by_key(|(key, deadline)| (**deadline, **key));
                prop_assert!(timers.expired(at).eq(due.into_iter().map(|(key, _)| key)));
            }
        }
    }
}
