//! Hosts and links that no fault touches, and since when.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Instant, Probe, StorageProbe};
use crate::check::Touched;
use crate::sim::{HostId, What};

/// Since when hosts and links have been left alone.
#[derive(Debug, Default)]
pub(crate) struct Calm {
    touched: Touched,
    /// When the last fault on a host ended, or its process last ended, began or was resumed.
    hosts: BTreeMap<HostId, Instant>,
    /// When the last fault on a link ended.
    links: BTreeMap<(HostId, HostId), Instant>,
    /// Hosts whose storage failed since they booted.
    failed: BTreeSet<HostId>,
}

impl Calm {
    /// From now on, faults touch these hosts and links. Returns whether they touched others before.
    pub(super) fn set(&mut self, at: Instant, touched: Touched) -> bool {
        if self.touched == touched {
            return false;
        }
        let before = std::mem::replace(&mut self.touched, touched);
        for host in before.hosts.difference(&self.touched.hosts) {
            self.hosts.insert(*host, at);
        }
        for link in before.links.difference(&self.touched.links) {
            self.links.insert(*link, at);
        }
        true
    }

    /// A process began, ended, was stopped or lost its storage.
    pub(super) fn observe(&mut self, at: Instant, host: HostId, what: &What) {
        match what {
            What::Killed | What::PowerLost { .. } | What::Ended | What::Booted => {
                self.failed.remove(&host);
            }
            What::Paused | What::Resumed => {}
            What::Probe(Probe::Storage(StorageProbe::Failed { full: false, .. })) => {
                self.failed.insert(host);
            }
            _ => return,
        }
        self.hosts.insert(host, at);
    }

    /// Since when no fault has touched a host; `None` while one does.
    pub fn host_since(&self, host: HostId) -> Option<Instant> {
        let touched = self.touched.hosts.contains(&host) || self.failed.contains(&host);
        (!touched).then(|| self.hosts.get(&host).copied().unwrap_or(Instant::START))
    }

    /// Whether faults touch a host itself, or its links to all of the others.
    pub fn is_cut_off(&self, host: HostId, mut others: impl Iterator<Item = HostId>) -> bool {
        let Touched { hosts, links } = &self.touched;
        let cut = |other| links.contains(&(host, other)) || links.contains(&(other, host));
        hosts.contains(&host) || !links.is_empty() && others.all(cut)
    }

    /// Since when no fault has touched two hosts and the link between them, in both directions.
    pub fn pair_since(&self, one: HostId, other: HostId) -> Option<Instant> {
        let hosts = self.host_since(one)?.max(self.host_since(other)?);
        Some(self.link_since(one, other)?.max(hosts))
    }

    /// Since when no fault has touched the link between two hosts, in both directions.
    pub fn link_since(&self, one: HostId, other: HostId) -> Option<Instant> {
        let mut since = Instant::START;
        for link in [(one, other), (other, one)] {
            if self.touched.links.contains(&link) {
                return None;
            }
            since = since.max(self.links.get(&link).copied().unwrap_or(Instant::START));
        }
        Some(since)
    }
}
