//! What a picture needs and no checker asks for: messages between hosts, and what a driver did to
//! them. Kept only where somebody asks; neither the trace nor the observations know of it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::HostId;
use crate::base::Instant;

/// One thing on the film.
#[derive(Clone, Debug)]
pub enum Shot {
    /// A driver did something to a host, or to the direction from it to another.
    Deed {
        /// When.
        at: Instant,
        /// What: `kill`, `cut`, `mend`, …
        name: String,
        /// To whom.
        host: HostId,
        /// The other end, where it was done to a direction.
        other: Option<HostId>,
    },
    /// Bytes of a connection arrived.
    Arrived {
        /// When they were sent.
        sent: Instant,
        /// When they arrived.
        at: Instant,
        /// By whom.
        from: HostId,
        /// At whom.
        to: HostId,
        /// Which connection; numbers are never used twice.
        connection: u64,
        /// Whether the sender is the one that connected, and so the one that asks.
        asks: bool,
        /// What arrived.
        bytes: Bytes,
    },
}

/// Where shots go. A clone is another handle; it keeps nothing until it is told to.
#[derive(Clone, Debug, Default)]
pub struct Film(Arc<Mutex<Option<Vec<Shot>>>>);

impl Film {
    /// Keeps shots from now on.
    pub fn record(&self) {
        self.0.lock().get_or_insert_default();
    }

    /// Adds one, if it is wanted.
    pub fn shoot(&self, shot: impl FnOnce() -> Shot) {
        if let Some(shots) = &mut *self.0.lock() {
            shots.push(shot());
        }
    }

    /// Takes what was kept so far.
    pub fn take(&self) -> Vec<Shot> {
        self.0.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }
}
