//! How much of its time a member has had nothing to do.

use std::time::Duration;

use crate::base::Instant;

/// A member works from the moment it gets records until it has processed and committed the last of
/// them; then it waits for more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    since: Instant,
    /// When it last got, processed or committed a record.
    last: Instant,
    /// How long it has waited until then.
    idle: Duration,
}

impl Pace {
    pub fn since(at: Instant) -> Self {
        Self { since: at, last: at, idle: Duration::ZERO }
    }

    /// It gets records.
    pub fn gets(&mut self, at: Instant) {
        self.idle += at.since(self.last);
        self.last = at;
    }

    /// It has processed or committed a record.
    pub fn works(&mut self, at: Instant) {
        self.last = at;
    }

    /// Whether it had something to do for most of the time.
    pub fn is_busy(&self, now: Instant) -> bool {
        2 * (self.idle + now.since(self.last)) < now.since(self.since)
    }
}
