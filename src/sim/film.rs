//! Data for pictures that no checker needs: messages between hosts, and operations of the driver.
//! Recorded only on request; independent of the trace and the observations.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::HostId;
use crate::base::Instant;

/// One recorded event.
#[derive(Clone, Debug)]
pub enum Shot {
    /// The driver did something to a host, or to the direction from it to another.
    Action {
        at: Instant,
        /// `kill`, `cut`, `heal`, …
        name: String,
        host: HostId,
        /// The other end, if it concerns a direction.
        other: Option<HostId>,
    },
    /// Bytes of a connection arrived.
    Arrived {
        sent: Instant,
        at: Instant,
        from: HostId,
        to: HostId,
        /// The connection's number; never reused.
        connection: u64,
        /// Whether the sender opened the connection, and so sends requests.
        asks: bool,
        bytes: Bytes,
    },
}

/// Collects shots. A clone is another handle; nothing is kept before `record`.
#[derive(Clone, Debug, Default)]
pub struct Film(Arc<Mutex<Option<Vec<Shot>>>>);

impl Film {
    /// Keeps shots from now on.
    pub fn record(&self) {
        self.0.lock().get_or_insert_default();
    }

    /// Adds a shot if recording is on.
    pub fn shoot(&self, shot: impl FnOnce() -> Shot) {
        if let Some(shots) = &mut *self.0.lock() {
            shots.push(shot());
        }
    }

    /// Takes the shots kept so far.
    pub fn take(&self) -> Vec<Shot> {
        self.0.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }
}
