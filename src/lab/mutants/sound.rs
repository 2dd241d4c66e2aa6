//! Runs without a flaw, each made once: several flaws are hunted in one scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{Flaw, Flaws};
use crate::run::EngineKind;
use crate::run::caught::run_caught;
use crate::run::outcome::{Broken, RunVerdict};
use crate::scenario::Scenario;

/// A run without a flaw.
pub(super) struct Sound {
    pub verdict: RunVerdict,
    pub broken: Vec<Broken>,
    /// The flaws that it asked for. With another one, the run is the same.
    asked: BTreeSet<Flaw>,
}

impl Sound {
    /// Runs a seed.
    pub fn run(scenario: &Scenario, seed: u64) -> Self {
        Flaws::take_asked();
        let outcome = run_caught(scenario, seed, EngineKind::Leap);
        let verdict = outcome.verdict(&scenario.expect);
        Self { verdict, broken: outcome.broken, asked: Flaws::take_asked() }
    }

    /// Whether the run may be another one with this flaw.
    pub fn may_differ_with(&self, flaw: Flaw) -> bool {
        self.asked.contains(&flaw)
    }
}

/// Runs that were made, by the file of their scenario and seed.
#[derive(Default)]
pub(super) struct Made(Mutex<BTreeMap<(String, u64), Arc<Sound>>>);

impl Made {
    /// The run of a seed. Two threads that ask at the same time both make it.
    pub fn run(&self, scenario: &Scenario, seed: u64) -> Arc<Sound> {
        let key = (scenario.file.clone(), seed);
        let made = self.0.lock().get(&key).cloned();
        made.unwrap_or_else(|| {
            let run = Arc::new(Sound::run(scenario, seed));
            self.0.lock().insert(key, run.clone());
            run
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_that_never_asks_for_a_flaw_is_the_same_with_it() {
        let scenario = Scenario::load("smoke/smoke-leader-cut-off").unwrap();
        let trace = |flaws: Flaws| {
            run_caught(&scenario.clone().with_flaws(flaws), 0, EngineKind::Leap).trace
        };
        let made = Made::default();
        let sound = made.run(&scenario, 0);
        assert!(Arc::ptr_eq(&sound, &made.run(&scenario, 0)), "it is made once");
        let never = Flaw::ALL.iter().copied().filter(|flaw| !sound.may_differ_with(*flaw));
        let never: Vec<Flaw> = never.collect();
        assert!(never.contains(&Flaw::ZombieEndTxn), "there are no transactions: {never:?}");
        let usual = trace(Flaws::default());
        for flaw in never {
            assert_eq!(trace(Flaws::only(flaw)), usual, "{}", flaw.name());
        }
        let differ = Flaw::ALL.iter().copied().filter(|flaw| sound.may_differ_with(*flaw));
        assert!(differ.into_iter().any(|flaw| trace(Flaws::only(flaw)) != usual));
    }
}
