//! A scenario under `cargo test`.
//!
//! `BROKERQUAKE_SCENARIO` picks one by name or path, `BROKERQUAKE_SEEDS` (`N` or `A..B`) and
//! `BROKERQUAKE_SEED` say which seeds: what failed in a test can be looked at in the same test.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::sweep::Sweep;
use super::{Report, Verdict, report};
use crate::run::EngineKind;
use crate::scenario::Scenario;
use crate::scenario::seeds::{chosen_seeds, variable};

/// One scenario over some seeds, to be asserted on.
///
/// ```no_run
/// use brokerquake::lab::Trial;
///
/// Trial::of("faults/paused-leader").seeds(0..20).assert_as_expected();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a trial runs when it is asserted on"]
pub struct Trial {
    scenario: Scenario,
    seeds: Range<u64>,
    engine: EngineKind,
}

impl Trial {
    /// The scenario at a path, or at its place under `scenarios/`.
    ///
    /// # Panics
    /// When there is no such scenario, or something is wrong with it.
    pub fn of(path: &str) -> Self {
        let scenario = Scenario::load(path).unwrap_or_else(|problem| panic!("{problem}"));
        let seeds = scenario.seed.map_or(0..10, |seed| seed..seed + 1);
        Self { scenario, seeds, engine: EngineKind::Leap }
    }

    /// These seeds.
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// In this simulation.
    pub fn on(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// Runs it, and fails with the witness and the command that shows it again.
    ///
    /// # Panics
    /// When what came of it is not what the scenario expects.
    pub fn assert_as_expected(mut self) {
        if let Some(only) = variable("BROKERQUAKE_SCENARIO") {
            let file = self.scenario.file.trim_end_matches(".toml");
            if only != self.scenario.name && !file.ends_with(only.trim_end_matches(".toml")) {
                return;
            }
        }
        let chosen = chosen_seeds();
        let few = chosen.is_some();
        if let Some(seeds) = chosen {
            self.seeds = seeds;
        }
        let report = self.run();
        let verdict = report.verdict;
        // Seeds that somebody chose need not be among those that show a break.
        let expected = verdict.is_expected() || few && verdict == Verdict::DidNotBreak;
        assert!(expected, "\n{}", report::failure(&report));
    }

    /// Runs it on one thread: the tests of a file are many, and share the cores by themselves.
    pub fn run(self) -> Report {
        let sweep = Sweep {
            scenarios: vec![self.scenario],
            seeds: self.seeds,
            jobs: NonZeroUsize::MIN,
            engine: self.engine,
        };
        let mut reports = sweep.run(&mut ());
        assert_eq!(reports.len(), 1, "one scenario gives one report");
        reports.remove(0)
    }
}
