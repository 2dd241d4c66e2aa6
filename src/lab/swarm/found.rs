//! A run of the swarm, and the origin of its scenario.

use crate::run::outcome::{Outcome, RunVerdict};
use crate::scenario::Scenario;

/// The origin of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Drawn from its number.
    Drawn,
    /// A mutation of the scenario with this number.
    Mutated(u64),
}

/// A finished run of the swarm.
#[derive(Clone, Debug)]
pub struct Found {
    pub number: u64,
    pub origin: Origin,
    /// The scenario that ran, with its seed, schedule and contract.
    pub scenario: Scenario,
    pub outcome: Outcome,
}

impl Found {
    /// The verdict of the run under its contract.
    pub fn verdict(&self) -> RunVerdict {
        self.outcome.verdict(&self.scenario.expect)
    }
}
