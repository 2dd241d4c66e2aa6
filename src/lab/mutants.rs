//! Mutants: one historical fix is switched off, and random exploration has to find it out.
//!
//! Each mutant names a scenario and the invariants by which it must be caught. The same seeds run
//! with nothing switched off as well, and there everything has to hold.

mod report;
mod table;

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use report::{json, line, markdown};
pub use table::{INEXPRESSIBLE, Inexpressible, MUTANTS, UNCAUGHT, Uncaught};

use super::scenario::Work;
use super::sweep::run_caught;
use super::verdict::{Broken, RunVerdict};
use super::{EngineKind, Scenario, files::FileError};
use crate::base::{Flaw, Flaws};

/// A flaw, and how it is to be found.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What is switched off.
    pub flaw: Flaw,
    /// Where it comes from.
    pub source: &'static str,
    /// The exploration, below `scenarios/mutants/`.
    pub scenario: &'static str,
    /// A run that breaks one of these has caught it.
    pub breaks: &'static [&'static str],
}

/// A run that caught a mutant.
#[derive(Clone, Debug)]
pub struct Catch {
    /// Its seed.
    pub seed: u64,
    /// Its hash.
    pub trace: String,
    /// How many faults struck in it.
    pub faults: u64,
    /// What broke.
    pub broken: Broken,
}

/// What came of hunting one mutant.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Which.
    pub mutant: Mutant,
    /// The first run that caught it.
    pub caught: Option<Catch>,
    /// Seeds that were run, with the fix and without.
    pub tried: u64,
    /// Seeds, with what broke, where nothing was switched off.
    pub innocent: Vec<(u64, Broken)>,
    /// Time on the cores, with the fix and without.
    pub cpu: Duration,
}

impl Hunt {
    /// Caught, and not by what would break anyway.
    pub fn is_as_expected(&self) -> bool {
        self.caught.is_some() && self.innocent.is_empty()
    }
}

impl Scenario {
    /// The same with a fix switched off on every node and client. The final reader keeps it: what
    /// it reads is what is there.
    #[must_use]
    pub fn with_flaws(mut self, flaws: Flaws) -> Self {
        self.cluster.config.flaws = flaws;
        self.cluster.topic_defaults.flaws = flaws;
        for load in &mut self.loads {
            match &mut load.work {
                Work::Produce { config, .. } => config.flaws = flaws,
                Work::Consume { config } => config.flaws = flaws,
            }
        }
        self
    }
}

impl Mutant {
    /// Its name in the catalogue.
    pub fn name(&self) -> &'static str {
        self.flaw.name()
    }

    /// Where its exploration is.
    pub fn path(&self) -> String {
        format!("mutants/{}", self.scenario)
    }

    /// Runs seeds until one catches it, each of them without it as well.
    pub fn hunt(&self, seeds: std::ops::Range<u64>) -> Result<Hunt, FileError> {
        let sound = Scenario::load(&self.path())?;
        let flawed = sound.clone().with_flaws(Flaws::only(self.flaw));
        let began = cpu_time();
        let mut hunt = Hunt {
            mutant: *self,
            caught: None,
            tried: 0,
            innocent: Vec::new(),
            cpu: Duration::ZERO,
        };
        let named = |broken: &Broken| self.breaks.contains(&broken.invariant.as_str());
        for seed in seeds {
            hunt.tried += 1;
            let held = run_caught(&sound, seed, EngineKind::Leap);
            // What would break anyway proves nothing, though the scenario allows it.
            let as_expected = held.verdict(&sound.expect) == RunVerdict::Held;
            let telling = held.broken.into_iter().find(|broken| !as_expected || named(broken));
            hunt.innocent.extend(telling.map(|broken| (seed, broken)));
            let outcome = run_caught(&flawed, seed, EngineKind::Leap);
            if let Some(broken) = outcome.broken.into_iter().find(named) {
                let (trace, faults) = (outcome.trace.to_string(), outcome.counts.faults);
                hunt.caught = Some(Catch { seed, trace, faults, broken });
                break;
            }
        }
        hunt.cpu = cpu_time().saturating_sub(began);
        Ok(hunt)
    }
}

/// Hunts mutants, several at a time; `told` hears of each as it ends. Results are in the order of
/// the mutants.
pub fn hunt_all(
    mutants: &[&Mutant],
    seeds: &std::ops::Range<u64>,
    jobs: NonZeroUsize,
    told: impl Fn(&Hunt) + Sync,
) -> Result<Vec<Hunt>, FileError> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(mutants.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = mutants.get(index) else { return };
                    let hunt = mutant.hunt(seeds.clone());
                    if let Ok(hunt) = &hunt {
                        told(hunt);
                    }
                    let mut done = done.lock().unwrap_or_else(|poison| poison.into_inner());
                    done.push((index, hunt));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poison| poison.into_inner());
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, hunt)| hunt).collect()
}

/// What this thread has had of its core: told beside the results, and no part of them.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}
