//! The interface for observers of a run, such as a picture's recorder, which do not affect it.

use crate::base::{BrokerId, Instant};
use crate::check::{Ghost, Violation};
use crate::sim::{HostId, Observation, Shot};

/// A host of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its id in the simulation.
    pub host: HostId,
    /// Its name in the scenario.
    pub name: String,
    pub kind: LaneKind,
}

/// The purpose of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LaneKind {
    Controller,
    Broker(BrokerId),
    Producer,
    Consumer,
    Admin,
}

/// Observes everything in a run, in order. The trace hash is the same with and without it.
pub trait Observer {
    /// Whether it needs what the engine films.
    fn films(&self) -> bool {
        true
    }

    /// Number of hosts that it knows.
    fn lanes(&self) -> usize;

    /// All hosts so far, in the order in which they were added.
    fn hosts(&mut self, hosts: Vec<Lane>);

    /// The load begins.
    fn began(&mut self, at: Instant);

    /// The last fault ended.
    fn healed(&mut self, at: Instant);

    /// The final reads begin: members leave their groups.
    fn reading(&mut self, _at: Instant) {}

    /// The next observation. The ghost has already seen it.
    fn see(&mut self, seen: &Observation, ghost: &Ghost);

    /// What the engine filmed since the last call: messages and the driver's operations.
    fn roll(&mut self, now: Instant, film: Vec<Shot>);

    /// The run is over; these invariants broke.
    fn judged(&mut self, violations: &[Violation]);
}
