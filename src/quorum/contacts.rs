//! Which replica may be sent a request, and when.

use std::collections::BTreeMap;

use crate::base::{BrokerId, Instant};

/// At most one request at a time is in flight to each replica, and a failed one is followed by a
/// pause. Source: Kafka's `RequestManager`.
#[derive(Clone, Debug, Default)]
pub(super) struct Contacts {
    /// No request to a replica before this: its answer may still come, or the pause lasts.
    busy_until: BTreeMap<BrokerId, Instant>,
}

impl Contacts {
    /// Forgets everything: requests of an earlier state hold up none of this one.
    pub(super) fn reset(&mut self) {
        self.busy_until.clear();
    }

    /// The time from which a request may be sent; [`Instant::START`] if nothing holds it up.
    pub(super) fn ready_at(&self, id: BrokerId) -> Instant {
        self.busy_until.get(&id).copied().unwrap_or(Instant::START)
    }

    /// A request was sent, or failed: nothing is sent before `until`.
    pub(super) fn hold(&mut self, id: BrokerId, until: Instant) {
        self.busy_until.insert(id, until);
    }

    /// A request was answered.
    pub(super) fn settle(&mut self, id: BrokerId) {
        self.busy_until.remove(&id);
    }
}
