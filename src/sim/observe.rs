//! Everything that happens on hosts and disks, as a stream in the order of simulated time.

#![allow(missing_docs)]

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{ClientEvent, HostId};
use crate::base::{Instant, Probe};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Observation {
    /// True simulated time, whatever the host's clock shows.
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
    /// Bytes entered the page cache, and something of it is not as it was. Only files named `*.log`, `*.index` and `*.timeindex` are
    /// observed, and `*.log.cleaned` and `*.log.swap`, which become logs.
    Wrote { path: Arc<str>, offset: u64, bytes: Bytes },
    /// An observed file got another size.
    Cut {
        path: Arc<str>,
        /// The new size.
        len: u64,
    },
    /// An observed file, or a directory, got another name.
    Renamed { from: Arc<str>, to: Arc<str> },
    /// An observed file's name was removed.
    Removed { path: Arc<str> },
    /// Bytes of a `*.log` file are no longer, or can't be read, as they were written.
    Corrupted { path: Arc<str>, range: Range<u64> },
    /// A sync of a `*.log` file succeeded, and made nothing durable.
    Lied { path: Arc<str> },
    /// The process died; the page cache is as it left it.
    Killed,
    /// The power failed. `Survived` follows for each `*.log` file that is left.
    PowerLost {
        /// Pages that were dirty and are gone or torn.
        lost_pages: u64,
    },
    /// A `*.log` or `*.log.swap` file as it is found after a power loss.
    Survived {
        path: Arc<str>,
        /// The whole file.
        bytes: Bytes,
    },
    /// The host boots.
    Booted,
    /// The process ended by itself.
    Ended,
    /// The host's tasks are no longer polled.
    Paused,
    /// The host's tasks are polled again.
    Resumed,
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

    /// Takes all. The next ones find room for as many: they are likely to be.
    pub fn drain(&self) -> Vec<Observation> {
        let mut seen = self.seen.lock();
        let room = Vec::with_capacity(seen.len());
        std::mem::replace(&mut *seen, room)
    }
}
