//! A scenario under `cargo test`.
//!
//! `BROKERQUAKE_SCENARIO` picks one by name or path, `BROKERQUAKE_SEEDS` (`N` or `A..B`) and
//! `BROKERQUAKE_SEED` say which seeds: what failed in a test can be looked at in the same test.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::sweep::Sweep;
use super::{EngineKind, Report, Scenario, Verdict, report};

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

/// The largest seed: a range of seeds does not include its end.
pub const MAX_SEED: u64 = u64::MAX - 1;

/// Reads one seed.
pub fn read_seed(text: &str) -> Result<u64, String> {
    let seed =
        text.trim().parse::<u64>().map_err(|_| "expected a number such as `7`".to_owned())?;
    if seed > MAX_SEED {
        return Err(format!("the largest seed is {MAX_SEED}"));
    }
    Ok(seed)
}

/// Reads `N` (the first so many) or `A..B` (B not included).
pub fn read_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match text.split_once("..") {
        Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| from..to),
        None => number(text).map(|count| 0..count),
    };
    let range = range.ok_or("expected a number such as `100`, or a range such as `0..100`")?;
    if range.is_empty() {
        return Err("that is no seed at all".into());
    }
    Ok(range)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The seeds that `BROKERQUAKE_SEED` or `BROKERQUAKE_SEEDS` choose.
///
/// # Panics
/// When what they say is no seed.
pub(super) fn chosen_seeds() -> Option<Range<u64>> {
    let chosen = match variable("BROKERQUAKE_SEED") {
        Some(seed) => read_seed(&seed)
            .map(|seed| seed..seed + 1)
            .map_err(|problem| format!("BROKERQUAKE_SEED: `{seed}` is no seed: {problem}")),
        None => read_seeds(&variable("BROKERQUAKE_SEEDS")?)
            .map_err(|problem| format!("BROKERQUAKE_SEEDS: {problem}")),
    };
    Some(chosen.unwrap_or_else(|problem| panic!("{problem}")))
}

/// Whether `BROKERQUAKE_SEED` chooses one, to be looked at closely.
pub(super) fn asks_for_one_seed() -> bool {
    variable("BROKERQUAKE_SEED").is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(read_seeds("100"), Ok(0..100));
        assert_eq!(read_seeds("7..9"), Ok(7..9));
        for wrong in ["", "0", "9..7", "a", "1..", "-1", "1..b"] {
            assert!(read_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_number_of_all_is_no_seed_for_no_range_holds_it() {
        assert_eq!(read_seed("18446744073709551614"), Ok(MAX_SEED));
        let last = read_seed("18446744073709551615").unwrap_err();
        assert_eq!(last, "the largest seed is 18446744073709551614");
        assert!(read_seed("-1").unwrap_err().contains("such as `7`"));
    }
}
