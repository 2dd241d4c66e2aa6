//! What happened on hosts and disks, as a stream in the order of simulated time.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{ClientEvent, HostId};
use crate::base::{Instant, Probe};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Observation {
    /// True simulated time, whatever the host believes.
    pub at: Instant,
    /// Where.
    pub host: HostId,
    /// What.
    pub what: What,
}

/// Kinds of things that happen.
#[derive(Clone, Debug)]
pub enum What {
    /// A node's word about itself.
    Probe(Probe),
    /// A client's operation or result.
    Client(ClientEvent),
    /// Bytes entered the page cache. Only files named `*.log`, `*.index` and `*.timeindex` are
    /// observed, and `*.log.cleaned` and `*.log.swap`, which become logs.
    Wrote {
        /// Absolute path.
        path: Arc<str>,
        /// First byte.
        offset: u64,
        /// What was written.
        bytes: Bytes,
    },
    /// An observed file got another size.
    Cut {
        /// Absolute path.
        path: Arc<str>,
        /// Its size now.
        len: u64,
    },
    /// An observed file, or a directory, got another name.
    Renamed {
        /// Absolute path.
        from: Arc<str>,
        /// Absolute path.
        to: Arc<str>,
    },
    /// An observed file's name was removed.
    Removed {
        /// Absolute path.
        path: Arc<str>,
    },
    /// Bytes of a `*.log` file are no longer, or can't be read, as they were written.
    Corrupted {
        /// Absolute path.
        path: Arc<str>,
        /// Which bytes.
        range: Range<u64>,
    },
    /// A sync of a `*.log` file succeeded, and made nothing durable.
    Lied {
        /// Absolute path.
        path: Arc<str>,
    },
    /// The process died; the page cache is as it left it.
    Killed,
    /// The power failed. `Survived` follows for each `*.log` file that is left.
    PowerLost {
        /// Pages that were dirty and are gone or torn.
        lost_pages: u64,
    },
    /// A `*.log` or `*.log.swap` file as it is found after a power loss.
    Survived {
        /// Absolute path.
        path: Arc<str>,
        /// All of it.
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

/// Where observations go. Cloned into every part of a simulation; the driver drains it.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    seen: Arc<Mutex<Vec<Observation>>>,
}

impl Observer {
    /// Adds one.
    pub fn see(&self, at: Instant, host: HostId, what: What) {
        self.seen.lock().push(Observation { at, host, what });
    }

    /// Takes all.
    pub fn drain(&self) -> Vec<Observation> {
        std::mem::take(&mut self.seen.lock())
    }
}
