//! Runs a scenario under `cargo test`.
//!
//! `BROKERQUAKE_SCENARIO` selects a scenario by name or path; `BROKERQUAKE_SEEDS` (`N` or `A..B`) and
//! `BROKERQUAKE_SEED` select seeds, so that a failed test can be replayed in the same test.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::sweep::Sweep;
use super::{Report, Verdict, report};
use crate::run::EngineKind;
use crate::scenario::Scenario;
use crate::scenario::seeds::{chosen_seeds, variable};

/// A scenario with a range of seeds, to assert on.
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
    /// Loads the scenario at a path, or at a path relative to `scenarios/`.
    ///
    /// # Panics
    /// If there is no such scenario, or it is invalid.
    pub fn of(path: &str) -> Self {
        let scenario = Scenario::load(path).unwrap_or_else(|problem| panic!("{problem}"));
        let seeds = scenario.seed.map_or(0..10, |seed| seed..seed + 1);
        Self { scenario, seeds, engine: EngineKind::Leap }
    }

    /// Runs these seeds.
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Runs on this engine.
    pub fn on(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// Runs the seeds, and fails with the witness and the replay command.
    ///
    /// # Panics
    /// If the verdict is not the one that the scenario expects.
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
        // Seeds chosen by hand need not be among those that show an expected break.
        let expected = verdict.is_expected() || few && verdict == Verdict::DidNotBreak;
        assert!(expected, "\n{}", report::failure(&report));
    }

    /// Runs the seeds on one thread: the test harness already uses all cores.
    pub fn run(self) -> Report {
        let test = std::thread::current().name().map(str::to_owned);
        let sweep = Sweep {
            scenarios: vec![self.scenario],
            seeds: self.seeds,
            jobs: NonZeroUsize::MIN,
            engine: self.engine,
        };
        let mut reports = sweep.run(&mut ());
        assert_eq!(reports.len(), 1, "one scenario gives one report");
        reports.remove(0).replayed_in(test.as_deref())
    }
}
