//! One boot of one host, for both engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use super::HostId;
use crate::base::{Seed, Stream};

/// A process. Every handle and task refers to it, so that anything that a dead process still does
/// (in a `Drop`, or later in the poll in which power failed) has no effect.
#[derive(Debug)]
pub(super) struct Process {
    pub host: HostId,
    pub name: Arc<str>,
    pub incarnation: u32,
    alive: AtomicBool,
    paused: AtomicBool,
    terminating: AtomicBool,
    asked: Notify,
}

impl Process {
    pub fn new(host: HostId, name: Arc<str>, incarnation: u32) -> Self {
        Self {
            host,
            name,
            incarnation,
            alive: AtomicBool::new(true),
            paused: AtomicBool::new(false),
            terminating: AtomicBool::new(false),
            asked: Notify::new(),
        }
    }

    pub fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub fn die(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub fn terminate(&self) {
        self.terminating.store(true, Ordering::Relaxed);
        self.asked.notify_waiters();
    }

    pub async fn terminated(&self) {
        let asked = self.asked.notified();
        if !self.terminating.load(Ordering::Relaxed) {
            asked.await;
        }
    }

    /// The seed of everything that this boot draws.
    pub fn seed(&self, simulation: Seed) -> Seed {
        let host = simulation.split(Stream::numbered("host", xxh3_64(self.name.as_bytes())));
        host.split(Stream::numbered("boot", u64::from(self.incarnation)))
    }

    /// Continues only in a live process: power may have failed earlier in the same poll.
    pub async fn go_on(&self) {
        if !self.alive() {
            std::future::pending().await
        }
    }
}
