//! Runs the swarm: waves of scenarios, each wave chosen by what the previous ones reached.
//!
//! A run depends only on its number and the runs before its wave: neither on the number of threads
//! nor on their speed.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::corpus::Corpus;
use super::failure::Failure;
use super::found::{Found, Origin};
use super::known::Known;
use super::report::SwarmReport;
use crate::lab::difference::first_difference;
use crate::lab::sweep::Deadline;
use crate::run::caught::{caught, run_caught};
use crate::run::outcome::{Outcome, RunVerdict};
use crate::run::{self, EngineKind};
use crate::scenario::{Scenario, ScenarioError};

/// Number of runs per wave.
const WAVE: u64 = 16;
/// Maximum number of failed runs that are run again to check determinism.
const CONFIRMATIONS: usize = 5;

/// Runs a scenario with a seed.
type Runner<'a> = &'a (dyn Fn(&Scenario, u64, EngineKind) -> Outcome + Sync);

/// The runs of a swarm.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Run numbers, which are also the seeds; the end is exclusive.
    pub seeds: Range<u64>,
    /// Number of threads.
    pub jobs: NonZeroUsize,
    /// The engine to run on.
    pub engine: EngineKind,
    /// Wall time after which no run starts.
    pub limit: Option<Duration>,
    /// Whether schedules that reached something new are mutated further.
    pub mutates: bool,
    /// Whether the first failure that is not known ends the swarm.
    pub stop_at_first: bool,
    /// Failures that are counted apart.
    pub known: Known,
    /// Directory for the scenarios of failures.
    pub dir: PathBuf,
}

/// An observer of the progress, called in the order of numbers.
pub trait Watch {
    /// A run ended that reached `news` new features.
    fn ran(&mut self, found: &Found, news: usize);

    /// It failed, as is known or not. Called after `ran`, as soon as all earlier runs are done.
    fn failed(&mut self, _failure: &Failure, _known: bool) {}
}

/// No observer.
impl Watch for () {
    fn ran(&mut self, _: &Found, _: usize) {}
}

impl Swarm {
    /// Runs until all numbers are done or time is up.
    ///
    /// # Errors
    /// When a drawn scenario is invalid: a bug in the drawing.
    pub fn run(&self, watch: &mut dyn Watch) -> Result<SwarmReport, ScenarioError> {
        self.run_by(&run_caught, watch)
    }

    /// The same with another way to run a scenario.
    pub(super) fn run_by(
        &self,
        runner: Runner<'_>,
        watch: &mut dyn Watch,
    ) -> Result<SwarmReport, ScenarioError> {
        let deadline = Deadline::after(self.limit);
        let mut corpus = Corpus::default();
        let mut report = SwarmReport::new(self.engine, self.seeds.start);
        let doubts = AtomicUsize::new(0);
        let mut next = self.seeds.start;
        while next < self.seeds.end && !deadline.is_over() {
            let end = next.saturating_add(WAVE).min(self.seeds.end);
            let chosen: Vec<_> =
                (next..end).map(|number| self.choose(&corpus, number)).collect::<Result<_, _>>()?;
            let wave = self.wave(runner, chosen, deadline, &doubts);
            next += wave.len() as u64;
            for found in wave {
                // Mutations of a failure would only fail again.
                let held = matches!(found.verdict(), RunVerdict::Held | RunVerdict::Untested);
                let reached = &found.outcome.reached;
                let news = corpus.add(found.number, &found.scenario, reached, held);
                watch.ran(&found, news);
                let covered = (corpus.features(), corpus.len());
                let failed = report.add(&found, news, covered, &self.known);
                let Some((failure, known)) = failed else { continue };
                watch.failed(failure, known);
                if self.stop_at_first && !known {
                    next = self.seeds.end;
                    break;
                }
            }
        }
        report.features = corpus.all().iter().map(ToString::to_string).collect();
        Ok(report)
    }

    fn choose(&self, corpus: &Corpus, number: u64) -> Result<Chosen, ScenarioError> {
        let (mut scenario, parent) = corpus.candidate(number, self.mutates)?;
        let file = self.dir.join(format!("{}.toml", scenario.name));
        scenario.file = file.display().to_string();
        Ok(Chosen { number, scenario, origin: parent.map_or(Origin::Drawn, Origin::Mutated) })
    }

    /// Runs a wave, and returns the runs that were started in time, in order.
    fn wave(
        &self,
        runner: Runner<'_>,
        chosen: Vec<Chosen>,
        deadline: Deadline,
        doubts: &AtomicUsize,
    ) -> Vec<Found> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get().min(chosen.len()) {
                scope.spawn(|| {
                    // Runs start in order, so the ones started in time have no gaps.
                    while !deadline.is_over() {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(chosen) = chosen.get(index) else { return };
                        let outcome = self.confirmed(runner, chosen, doubts);
                        let mut done = done.lock().unwrap_or_else(|poison| poison.into_inner());
                        done.push((index, outcome));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(|poison| poison.into_inner());
        done.sort_by_key(|(index, _)| *index);
        let found = chosen.into_iter().zip(done).map(|(chosen, (_, outcome))| {
            let Chosen { number, scenario, origin } = chosen;
            Found { number, origin, scenario, outcome }
        });
        found.collect()
    }

    /// One run, repeated if there is reason to check its determinism.
    fn confirmed(&self, runner: Runner<'_>, chosen: &Chosen, doubts: &AtomicUsize) -> Outcome {
        let scenario = &chosen.scenario;
        let seed = scenario.seed.unwrap_or(chosen.number);
        let mut outcome = runner(scenario, seed, self.engine);
        let verdict = outcome.verdict(&scenario.expect);
        let wrong = !verdict.is_fine();
        let first = chosen.number == self.seeds.start;
        if first || wrong && doubts.fetch_add(1, Ordering::Relaxed) < CONFIRMATIONS {
            let again = runner(scenario, seed, self.engine);
            outcome.differs = (again.trace != outcome.trace).then_some(again.trace);
            outcome.difference = outcome.differs.map(|_| {
                first_difference(&|watch| {
                    caught(seed, || run::run(scenario, seed, self.engine, Some(watch)));
                })
            });
        }
        outcome
    }
}

/// A run that is about to start.
struct Chosen {
    number: u64,
    scenario: Scenario,
    origin: Origin,
}
