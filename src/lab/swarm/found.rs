//! A run of the swarm, and where its scenario is from.

use crate::run::outcome::{Outcome, RunVerdict};
use crate::scenario::Scenario;

/// Where a scenario comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Drawn from its number.
    Drawn,
    /// A change of what this number ran.
    Mutated(u64),
}

/// A run of the swarm, and what it was.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// Where the scenario comes from.
    pub origin: Origin,
    /// What ran: with its seed, its schedule and its contract.
    pub scenario: Scenario,
    /// What came of it.
    pub outcome: Outcome,
}

impl Found {
    /// What came of it under its contract.
    pub fn verdict(&self) -> RunVerdict {
        self.outcome.verdict(&self.scenario.expect)
    }
}
