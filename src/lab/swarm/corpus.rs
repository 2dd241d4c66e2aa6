//! Schedules that reached something new, to be mutated further.

use std::collections::BTreeSet;

use super::{draw, mutate};
use crate::base::{Seed, Stream};
use crate::run::coverage::{Feature, Reached};
use crate::scenario::Draws;
use crate::scenario::{Scenario, ScenarioError};

/// Most schedules that are kept: the newest, which reached what is rare.
const MOST: usize = 2000;
/// Of a hundred runs, how many mutate a schedule, once there are some.
const MUTATED: u64 = 60;
/// So many schedules make a corpus.
const ENOUGH: usize = 8;

/// A schedule that reached something new.
#[derive(Clone, Debug)]
struct Entry {
    number: u64,
    scenario: Scenario,
}

/// What has been reached so far, and by whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Corpus {
    entries: Vec<Entry>,
    features: BTreeSet<Feature>,
}

impl Corpus {
    /// What a number of the swarm runs: a scenario drawn from it, or a mutation of one that is
    /// kept, with that one's number. A function of the number and of what is kept, alone.
    pub(super) fn candidate(
        &self,
        number: u64,
        may_mutate: bool,
    ) -> Result<(Scenario, Option<u64>), ScenarioError> {
        let mut draws = Draws::of(Seed(number), Stream::named("swarm choice"));
        let wanted = draws.chance(MUTATED);
        if may_mutate && wanted && self.entries.len() >= ENOUGH {
            // Of two, the newer: it reached what the older ones had not.
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

    /// Takes in what a run reached, and keeps its schedule if it may and anything of it is new. Says
    /// how much.
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

    /// How many features have been reached.
    pub(super) fn features(&self) -> usize {
        self.features.len()
    }

    /// All of them.
    pub(super) fn all(&self) -> &BTreeSet<Feature> {
        &self.features
    }

    /// How many schedules are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
