//! Schedules that reached something new, to be mutated further.

use std::collections::BTreeSet;

use super::{draw, mutate};
use crate::base::{Seed, Stream};
use crate::run::coverage::{Feature, Reached};
use crate::scenario::Draws;
use crate::scenario::{Scenario, ScenarioError};

/// Maximum number of schedules; the newest are kept, because they reached rarer features.
const MOST: usize = 2000;
/// Percentage of runs that mutate a schedule, once the corpus is large enough.
const MUTATED: u64 = 60;
/// Number of schedules from which on they are mutated.
const ENOUGH: usize = 8;

/// A schedule that reached something new.
#[derive(Clone, Debug)]
struct Entry {
    number: u64,
    scenario: Scenario,
}

/// The features reached so far, and the schedules that reached them.
#[derive(Clone, Debug, Default)]
pub(super) struct Corpus {
    entries: Vec<Entry>,
    features: BTreeSet<Feature>,
}

impl Corpus {
    /// The scenario for a run number: drawn, or a mutation of a kept one together with that one's
    /// number. Depends only on the number and the corpus.
    pub(super) fn candidate(
        &self,
        number: u64,
        may_mutate: bool,
    ) -> Result<(Scenario, Option<u64>), ScenarioError> {
        let mut draws = Draws::of(Seed(number), Stream::named("swarm choice"));
        let wanted = draws.chance(MUTATED);
        if may_mutate && wanted && self.entries.len() >= ENOUGH {
            // The newer of two: it reached what the older ones had not.
            let last = self.entries.len() as u64 - 1;
            let at = draws.number(0, last).max(draws.number(0, last));
            let beside = draws.number(0, last);
            let entry = |at: u64| self.entries.get(usize::try_from(at).unwrap_or(0));
            if let (Some(parent), Some(beside)) = (entry(at), entry(beside))
                && let Some(child) = mutate(&parent.scenario, &beside.scenario, number)
            {
                return Ok((child, Some(parent.number)));
            }
        }
        Ok((draw(number)?, None))
    }

    /// Adds what a run reached, and keeps its schedule if permitted and anything is new. Returns
    /// the number of new features.
    pub(super) fn add(
        &mut self,
        number: u64,
        scenario: &Scenario,
        reached: &Reached,
        may_keep: bool,
    ) -> usize {
        let before = self.features.len();
        self.features.extend(&reached.features);
        let news = self.features.len() - before;
        if news > 0 && may_keep {
            if self.entries.len() == MOST {
                self.entries.remove(0);
            }
            self.entries.push(Entry { number, scenario: scenario.clone() });
        }
        news
    }

    /// Number of features reached.
    pub(super) fn features(&self) -> usize {
        self.features.len()
    }

    /// All features reached.
    pub(super) fn all(&self) -> &BTreeSet<Feature> {
        &self.features
    }

    /// Number of kept schedules.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
