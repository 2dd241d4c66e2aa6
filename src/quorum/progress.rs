//! What a leader knows of one replica. Source: Kafka's `LeaderState.ReplicaState`.

use super::terms::ReplicaKey;
use crate::base::{Instant, Offset};

/// One replica since the beginning of this leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The replica, with its directory as far as known.
    pub key: ReplicaKey,
    /// Its last fetch offset, below which it has everything, synced. `None` until it has fetched in
    /// this epoch. It falls if the replica has lost its log.
    pub log_end: Option<Offset>,
    /// The time of its last fetch.
    pub last_fetch: Option<Instant>,
    /// The latest time at which it is known to have had everything that the leader had then.
    pub last_caught_up: Option<Instant>,
    /// The leader's log end at its last fetch.
    pub(super) leaders_end: Option<Offset>,
}

impl Progress {
    pub(super) fn unknown(key: ReplicaKey) -> Self {
        Self { key, log_end: None, last_fetch: None, last_caught_up: None, leaders_end: None }
    }

    /// "Caught up" means that it has reached the leader's log end, as of now or of the last fetch.
    pub(super) fn fetched(&mut self, now: Instant, offset: Offset, leaders_end: Offset) {
        let reached = if offset >= leaders_end {
            Some(now)
        } else {
            self.last_fetch.filter(|_| self.leaders_end.is_some_and(|end| offset >= end))
        };
        self.last_caught_up = self.last_caught_up.max(reached);
        self.leaders_end = Some(leaders_end);
        self.last_fetch = self.last_fetch.max(Some(now));
        self.log_end = Some(offset);
    }
}
