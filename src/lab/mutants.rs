//! Mutants: historical Kafka bugs that can be re-enabled, to prove that our checkers find them.
//!
//! Each mutant names a scenario and the invariants that must catch it. The same seeds also run with
//! the fix, and must hold.

mod report;
mod sound;
mod survey;
mod table;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use report::{json, line, markdown};
pub use survey::{Survey, Surveyed, survey, surveyed};
pub use table::{INEXPRESSIBLE, Inexpressible, MUTANTS, UNCAUGHT, Uncaught};

use self::sound::Made;
use super::shrink::{BUDGET, Size, shrink_watched};
use crate::base::{Flaw, Flaws};
use crate::run::EngineKind;
use crate::run::caught::run_caught;
use crate::run::outcome::{Broken, RunVerdict};
use crate::scenario::files::FileError;
use crate::scenario::{Expectation, Scenario};

/// The distance between the first seeds of two starts.
const APART: u64 = 1000;

/// A bug, and how it must be found.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// The fix that is switched off.
    pub flaw: Flaw,
    /// Its source: a Kafka issue or KIP.
    pub source: &'static str,
    /// The scenario, under `scenarios/mutants/`.
    pub scenario: &'static str,
    /// A run that breaks one of these catches it; if empty, any invariant that the scenario expects to
    /// hold does.
    pub breaks: &'static [&'static str],
}

/// The effort of a hunt.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Seeds of the first start; later starts use higher ones.
    pub seeds: Range<u64>,
    /// The number of starts, each on its own seeds.
    pub starts: NonZeroUsize,
    /// Whether to shrink the first witness.
    pub shrink: bool,
}

/// A run that caught a mutant.
#[derive(Clone, Debug)]
pub struct Catch {
    /// Its seed.
    pub seed: u64,
    /// Its hash.
    pub trace: String,
    /// The number of faults that struck in it.
    pub faults: u64,
    /// What broke.
    pub broken: Broken,
}

/// One start of a hunt.
#[derive(Clone, Debug)]
pub struct Start {
    /// The first run that caught it.
    pub caught: Option<Catch>,
    /// Seeds that ran, with the fix and without.
    pub tried: u64,
    /// Seeds that failed with the fix, with what broke.
    pub innocent: Vec<(u64, Broken)>,
    /// CPU time of the runs with the bug.
    pub cpu: Duration,
}

/// A shrunk witness.
#[derive(Clone, Debug)]
pub struct Small {
    /// The size of what is left.
    pub size: Size,
    /// Runs that shrinking took.
    pub runs: usize,
    /// CPU time of shrinking.
    pub cpu: Duration,
    /// The scenario's file.
    pub file: String,
}

/// The result of hunting one mutant.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Which.
    pub mutant: Mutant,
    /// Where.
    pub scenario: String,
    /// One after the other.
    pub starts: Vec<Start>,
    /// The first catch, shrunk.
    pub small: Option<Result<Small, String>>,
}

impl Hunt {
    /// Whether each start caught it, and no run with the fix failed.
    pub fn is_as_expected(&self) -> bool {
        self.starts.iter().all(|start| start.caught.is_some() && start.innocent.is_empty())
    }

    /// The first catch.
    pub fn caught(&self) -> Option<&Catch> {
        self.starts.iter().find_map(|start| start.caught.as_ref())
    }

    /// Failures of runs with the fix.
    pub fn innocent(&self) -> impl Iterator<Item = &(u64, Broken)> {
        self.starts.iter().flat_map(|start| &start.innocent)
    }

    /// The median number of seeds to the first catch; of two middle values the higher one.
    pub fn median_tried(&self) -> u64 {
        median(self.starts.iter().map(|start| start.tried)).unwrap_or_default()
    }

    /// The median of the starts' time to the first catch.
    pub fn median_cpu(&self) -> Duration {
        median(self.starts.iter().map(|start| start.cpu)).unwrap_or_default()
    }
}

fn median<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    let middle = values.len() / 2;
    values.into_iter().nth(middle)
}

impl Mutant {
    /// A bug to hunt in any scenario, by any invariant.
    pub fn anywhere(flaw: Flaw) -> Self {
        Self { flaw, source: "", scenario: "", breaks: &[] }
    }

    /// Its name in the catalogue.
    pub fn name(&self) -> &'static str {
        self.flaw.name()
    }

    /// The path of its scenario.
    pub fn path(&self) -> String {
        format!("mutants/{}", self.scenario)
    }

    fn is_caught_by(&self, broken: &Broken, scenario: &Scenario) -> bool {
        let expected = scenario.expect.of(&broken.invariant);
        let any = self.breaks.is_empty() && expected == Expectation::Holds;
        any || self.breaks.contains(&broken.invariant.as_str())
    }

    /// Hunts the mutant: each start runs until a seed catches it. Every seed also runs with the fix.
    fn hunt(&self, sound: &Scenario, made: &Made, effort: &Effort) -> Hunt {
        let flawed = sound.clone().with_flaws(Flaws::only(self.flaw));
        let apart = APART.max(effort.seeds.end - effort.seeds.start);
        let starts = (0..effort.starts.get() as u64).map(|start| {
            let shifted = |seed: u64| seed.saturating_add(start * apart);
            let seeds = shifted(effort.seeds.start)..shifted(effort.seeds.end);
            self.start((sound, made), &flawed, seeds)
        });
        let starts = starts.collect();
        let mut hunt = Hunt { mutant: *self, scenario: sound.file.clone(), starts, small: None };
        hunt.small = hunt.caught().filter(|_| effort.shrink).map(|catch| small(&flawed, catch));
        hunt
    }

    /// Runs seeds until one catches it.
    fn start(
        &self,
        (sound, made): (&Scenario, &Made),
        flawed: &Scenario,
        seeds: Range<u64>,
    ) -> Start {
        let mut start = Start { caught: None, tried: 0, innocent: Vec::new(), cpu: Duration::ZERO };
        for seed in seeds {
            start.tried += 1;
            let held = made.run(sound, seed);
            // An invariant that the scenario allows to break proves nothing.
            let as_expected = held.verdict == RunVerdict::Held;
            let telling = |broken: &&Broken| !as_expected || self.is_caught_by(broken, sound);
            let telling = held.broken.iter().find(telling);
            start.innocent.extend(telling.map(|broken| (seed, broken.clone())));
            if !held.may_differ_with(self.flaw) {
                continue;
            }
            let began = cpu_time();
            let outcome = run_caught(flawed, seed, EngineKind::Leap);
            start.cpu += cpu_time().saturating_sub(began);
            let (trace, faults) = (outcome.trace.to_string(), outcome.counts.faults);
            let mut broken = outcome.broken.into_iter();
            if let Some(broken) = broken.find(|broken| self.is_caught_by(broken, sound)) {
                start.caught = Some(Catch { seed, trace, faults, broken });
                break;
            }
        }
        start
    }
}

/// Shrinks a witness and writes its file.
fn small(flawed: &Scenario, catch: &Catch) -> Result<Small, String> {
    let began = cpu_time();
    let invariant = Some(catch.broken.invariant.as_str());
    let (engine, mut silent) = (EngineKind::Leap, |_| ());
    let shrunk = shrink_watched(flawed, catch.seed, engine, BUDGET, invariant, &mut silent);
    let shrunk = shrunk.map_err(|error| error.to_string())?;
    let cpu = cpu_time().saturating_sub(began);
    shrunk.write().map_err(|error| error.to_string())?;
    Ok(Small { size: shrunk.after, runs: shrunk.runs, cpu, file: shrunk.scenario.file })
}

/// Hunts several mutants in parallel, in their scenarios or another; calls `told` as each ends.
/// Results are in the order of the mutants.
pub fn hunt_all(
    mutants: &[Mutant],
    elsewhere: Option<&Scenario>,
    effort: &Effort,
    jobs: NonZeroUsize,
    told: impl Fn(&Hunt) + Sync,
) -> Result<Vec<Hunt>, FileError> {
    let place = |mutant: &Mutant| match elsewhere {
        Some(scenario) => Ok(scenario.clone()),
        None => Scenario::load(&mutant.path()),
    };
    let places = mutants.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let hunted: Vec<_> = mutants.iter().zip(&places).collect();
    let (next, made) = (AtomicUsize::new(0), Made::default());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(mutants.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((mutant, scenario)) = hunted.get(index) else { return };
                    let hunt = mutant.hunt(scenario, &made, effort);
                    told(&hunt);
                    let mut done = done.lock().unwrap_or_else(|poison| poison.into_inner());
                    done.push((index, hunt));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poison| poison.into_inner());
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, hunt)| hunt).collect())
}

/// This thread's CPU time; it is reported beside the results and is not part of them.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}
