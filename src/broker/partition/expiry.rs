//! Silent producers are forgotten at the first check after their time. A check looks only at replicas
//! with a producer whose time may have come.
//!
//! Source: Kafka's `producer.id.expiration.ms`; there, each log is looked through at each check.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::{Partition, State};
use crate::base::Timestamp;
use crate::broker::timers::Key;
use crate::io::World;

/// The replicas of a broker by the time at which one of their producers may expire.
#[derive(Debug, Default)]
pub(super) struct Expiring(Mutex<BTreeSet<(Timestamp, Key)>>);

impl Expiring {
    /// Moves a replica from one time to another; `None` for none.
    fn set(&self, key: Key, before: Option<Timestamp>, at: Option<Timestamp>) {
        let mut due = self.0.lock();
        before.map(|before| due.remove(&(before, key)));
        at.map(|at| due.insert((at, key)));
    }

    /// Removes and returns the replicas whose time has come.
    pub(super) fn take(&self, now: Timestamp) -> Vec<Key> {
        let mut due = self.0.lock();
        let later = due.split_off(&(Timestamp(now.0.saturating_add(1)), Key::default()));
        let taken = std::mem::replace(&mut *due, later);
        taken.into_iter().map(|(_, key)| key).collect()
    }
}

impl<W: World> Partition<W> {
    /// Has this replica looked at as soon as a producer of its log may expire. Called when the log has
    /// got batches of producers, or another expiration.
    pub(super) fn note_producers(&self, state: &mut State<W>) {
        let at = state.log.producers_expire_at();
        if at != state.producers_due {
            let key = (self.topic_id, self.name.partition);
            self.site.expiring.set(key, state.producers_due, at);
            state.producers_due = at;
        }
    }

    /// Forgets silent producers, and verifications of transactions that came to nothing.
    pub(crate) fn expire_producers(&self) {
        let Ok(mut state) = self.state() else { return };
        state.log.expire_producers(self.site.world.wall_clock());
        // It was taken out of the queue.
        state.producers_due = None;
        self.note_producers(&mut state);
    }

    /// This replica ends.
    pub(super) fn forget_producers(&self, state: &State<W>) {
        let key = (self.topic_id, self.name.partition);
        self.site.expiring.set(key, state.producers_due, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TopicId;

    #[test]
    fn replicas_are_taken_at_their_time_and_once() {
        let expiring = Expiring::default();
        let key = |partition| (TopicId([7; 16]), partition);
        expiring.set(key(1), None, Some(Timestamp(9)));
        expiring.set(key(2), None, Some(Timestamp(5)));
        expiring.set(key(3), None, Some(Timestamp(5)));
        expiring.set(key(1), Some(Timestamp(9)), Some(Timestamp(7)));
        expiring.set(key(3), Some(Timestamp(5)), None);
        assert_eq!(expiring.take(Timestamp(4)), []);
        assert_eq!(expiring.take(Timestamp(5)), [key(2)]);
        assert_eq!(expiring.take(Timestamp(7)), [key(1)]);
        assert_eq!(expiring.take(Timestamp(99)), []);
    }
}
