//! What a run shows to an observer such as a picture's recorder, which changes nothing of it.

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
    /// What it is for.
    pub kind: LaneKind,
}

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LaneKind {
    Controller,
    Broker(BrokerId),
    Producer,
    Consumer,
    Admin,
}

/// Sees everything that happens in a run, in order. The trace hash is the same with and without it.
pub trait Observer {
    /// How many hosts it has been shown.
    fn lanes(&self) -> usize;

    /// All hosts there are by now, in the order in which they were added.
    fn cast(&mut self, hosts: Vec<Lane>);

    /// The load begins.
    fn began(&mut self, at: Instant);

    /// The last fault ended.
    fn healed(&mut self, at: Instant);

    /// The next thing that happened. The ghost has seen it.
    fn see(&mut self, seen: &Observation, ghost: &Ghost);

    /// What the engine filmed since the last call: messages and the driver's operations.
    fn roll(&mut self, now: Instant, film: Vec<Shot>);

    /// The run is over, and this is what broke.
    fn judged(&mut self, violations: &[Violation]);
}
