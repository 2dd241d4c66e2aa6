//! Observers of a simulation: observations for the checkers, the trace for determinism.

use super::trace::kind;
use super::{ClientEvent, Film, HostId, Observer, SharedTrace, Shot, What};
use crate::base::{Instant, Probe};

/// Observes and traces engines and worlds. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    pub observer: Observer,
    pub trace: SharedTrace,
    pub film: Film,
}

impl Witness {
    pub fn see(&self, at: Instant, host: HostId, what: What) {
        self.observer.see(at, host, what);
    }

    /// Adds an event of one host to the trace.
    pub fn trace(
        &self,
        at: Instant,
        kind: u64,
        host: HostId,
        number: u64,
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        let text = || format!("{host} {}", text());
        self.trace.lock().add(at, kind, [u64::from(host.0), number], bytes, text);
    }

    pub fn spawned(&self, at: Instant, host: HostId, task: u64, name: &str) {
        self.trace(at, kind::SPAWN, host, task, name.as_bytes(), || {
            format!("spawns {task} {name}")
        });
    }

    pub fn polls(&self, at: Instant, host: HostId, task: u64, name: &str) {
        self.trace(at, kind::POLL, host, task, &[], || format!("polls {task} {name}"));
    }

    /// An operation of the driver on one host.
    pub fn fault(&self, at: Instant, name: &str, host: HostId, number: u64) {
        self.film.shoot(|| Shot::Action { at, name: name.to_owned(), host, other: None });
        self.trace(at, kind::FAULT, host, number, name.as_bytes(), || format!("{name} {number}"));
    }

    /// An operation of the driver on one direction.
    pub fn fault_between(&self, at: Instant, name: &str, from: HostId, to: HostId) {
        let other = Some(to);
        self.film.shoot(|| Shot::Action { at, name: name.to_owned(), host: from, other });
        let text = || format!("{name} to {to}");
        self.trace(at, kind::FAULT, from, u64::from(to.0), name.as_bytes(), text);
    }

    pub fn probe(&self, at: Instant, host: HostId, probe: impl Into<Probe>) {
        let probe = probe.into();
        self.trace.lock().add_value(at, kind::PROBE, host, &probe);
        self.see(at, host, What::Probe(probe));
    }

    pub fn client(&self, at: Instant, host: HostId, event: impl Into<ClientEvent>) {
        let event = event.into();
        self.trace.lock().add_value(at, kind::CLIENT, host, &event);
        self.see(at, host, What::Client(event));
    }
}
