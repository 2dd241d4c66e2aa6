//! Events on hosts and disks, as a stream ordered by simulated time.

#![allow(missing_docs)]

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{ClientEvent, HostId};
use crate::base::{Instant, Probe};

/// One event on a host or its disk.
#[derive(Clone, Debug)]
pub struct Observation {
    /// True simulated time, independent of the host's clock.
    pub at: Instant,
    pub host: HostId,
    pub what: What,
}

/// Kinds of observations. Paths are absolute.
#[derive(Clone, Debug)]
pub enum What {
    /// A node's report about itself.
    Probe(Probe),
    /// A client's operation or result.
    Client(ClientEvent),
    /// A write changed the page cache, or the disk refused a write that would have: then `bytes` are
    /// those that were written before the error, none if they changed nothing. Only `*.log`, `*.index` and `*.timeindex` files are
    /// observed, `*.log.cleaned` and `*.log.swap`, which become logs, and
    /// `recovery-point-offset-checkpoint`.
    Wrote { path: Arc<str>, offset: u64, bytes: Bytes },
    /// The size of an observed file was set.
    Cut { path: Arc<str>, len: u64 },
    /// An observed file, or a directory, was renamed.
    Renamed { from: Arc<str>, to: Arc<str> },
    /// An observed file was removed.
    Removed { path: Arc<str> },
    /// Bytes of a `*.log` file became unreadable, or differ from what was written.
    Corrupted { path: Arc<str>, range: Range<u64> },
    /// A sync of a `*.log` file succeeded without making anything durable.
    Lied { path: Arc<str> },
    /// The process died; the page cache is kept.
    Killed,
    /// Power failed. `Survived` follows for each remaining `*.log` file and checkpoint of recovery
    /// points.
    PowerLost {
        /// Dirty pages that are gone or torn.
        lost_pages: u64,
    },
    /// The content of a `*.log` or `*.log.swap` file, or of a checkpoint of recovery points, after a
    /// power loss.
    Survived { path: Arc<str>, bytes: Bytes },
    /// An empty disk or directory replaced the former one while no process ran.
    Replaced {
        /// The observed files that were on it. A `Removed` follows for each.
        files: Arc<[Arc<str>]>,
    },
    /// The host booted.
    Booted,
    /// The process ended by itself.
    Ended,
    /// The host's tasks are no longer polled.
    Paused,
    /// The host's tasks are polled again.
    Resumed,
    /// A link damaged bytes that are on their way to this host.
    Damaged { from: HostId },
}

/// The queue of observations. Cloned into every part of a simulation; the driver drains it.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    seen: Arc<Mutex<Vec<Observation>>>,
}

impl Observer {
    /// Adds one.
    pub fn see(&self, at: Instant, host: HostId, what: What) {
        self.seen.lock().push(Observation { at, host, what });
    }

    /// Takes all. Keeps a buffer of the same capacity for the next ones.
    pub fn drain(&self) -> Vec<Observation> {
        let mut seen = self.seen.lock();
        let room = Vec::with_capacity(seen.len());
        std::mem::replace(&mut *seen, room)
    }
}
