//! Runs a scenario under `cargo test`.
//!
//! `BROKERQUAKE_SCENARIO` selects a scenario by name or path; `BROKERQUAKE_SEEDS` (`N` or `A..B`) and
//! `BROKERQUAKE_SEED` select seeds, so that a failed test can be replayed in the same test.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::sweep::Sweep;
use super::{Report, Tally, Verdict, report};
use crate::run::caught::caught;
use crate::run::outcome::Outcome;
use crate::run::{self, EngineKind, Observers};
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
        // Seeds chosen by hand need not be among those that show an expected break.
        let excused = few && report.verdict == Verdict::DidNotBreak;
        assert!(report.verdict.is_expected() || excused, "\n{}", report::failure(&report));
    }

    /// Like [`Self::assert_as_expected`], and hands out what `observe` made of each seed's run, in order.
    /// `observe` gets a function that makes the run, for its observers to see. Each seed runs once, so
    /// nothing is said about determinism. Seeds that the environment chooses are run besides.
    ///
    /// # Panics
    /// If the verdict is not the one that the scenario expects, or `observe` makes no run.
    pub fn assert_observed<T>(
        self,
        observe: impl Fn(&mut dyn FnMut(Observers<'_>) -> Outcome) -> T,
    ) -> Vec<T> {
        if chosen_seeds().is_some() {
            self.clone().assert_as_expected();
        }
        let Self { scenario, seeds, engine } = self;
        let mut tally = Tally::new(&scenario.expect);
        let mut made = Vec::new();
        for seed in seeds {
            let mut ran = None;
            made.push(observe(&mut |observers| {
                let outcome = caught(seed, || run::watched(&scenario, seed, engine, observers));
                ran.insert(outcome).clone()
            }));
            tally.add(ran.expect("an observer makes the run"));
        }
        let report = in_this_test(Report::new(&scenario, engine, tally));
        assert!(report.verdict.is_expected(), "\n{}", report::failure(&report));
        made
    }

    /// Runs the seeds on one thread: the test harness already uses all cores.
    pub fn run(self) -> Report {
        let sweep = Sweep {
            scenarios: vec![self.scenario],
            seeds: self.seeds,
            jobs: NonZeroUsize::MIN,
            engine: self.engine,
        };
        let mut reports = sweep.run(&mut ());
        assert_eq!(reports.len(), 1, "one scenario gives one report");
        in_this_test(reports.remove(0))
    }
}

/// A report that says how to replay a seed in the test that runs.
fn in_this_test(report: Report) -> Report {
    report.replayed_in(std::thread::current().name())
}
