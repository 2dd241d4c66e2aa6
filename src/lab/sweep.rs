//! Many seeds over the cores. Each run is a world of its own on one thread; results are told in
//! the order of scenarios and seeds, whatever order they come in.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Report;
use super::verdict::Tally;
use crate::run::caught::{caught, quieten_panics, run_caught};
use crate::run::outcome::{Outcome, RunVerdict};
use crate::run::{self, EngineKind, Onlookers};
use crate::scenario::Scenario;

/// Runs that went wrong and are run again, per scenario, to see whether they go the same way.
const CONFIRMATIONS: usize = 2;

/// Scenarios × seeds.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// In the order in which they are told.
    pub scenarios: Vec<Scenario>,
    /// Of each scenario; the end is not included.
    pub seeds: Range<u64>,
    /// Threads.
    pub jobs: NonZeroUsize,
    /// Where they run.
    pub engine: EngineKind,
}

/// Who wants to know how it goes.
pub trait Watch {
    /// A run ended. They end in any order.
    fn ran(&mut self, scenario: &Scenario, verdict: RunVerdict);
    /// A scenario is done, in order; `wall` is the time that its runs took on their cores.
    fn done(&mut self, report: &Report, wall: Duration);
}

/// Nobody wants to know.
impl Watch for () {
    fn ran(&mut self, _: &Scenario, _: RunVerdict) {}
    fn done(&mut self, _: &Report, _: Duration) {}
}

/// What has come in of one scenario.
struct Gathering {
    tally: Tally,
    /// Runs whose predecessors have not come in.
    early: BTreeMap<u64, Outcome>,
    next: u64,
    wall: Duration,
}

/// Makes one run of a scenario and a seed.
pub(crate) type Runner<'a> = dyn Fn(&Scenario, u64) -> Outcome + Sync + 'a;

impl Sweep {
    /// Runs them all.
    pub fn run(&self, watch: &mut dyn Watch) -> Vec<Report> {
        self.run_until(&self.plain(), Deadline::after(None), watch)
    }

    /// The same; what clients did and saw in each run goes to a file of its own in `dir`, which is
    /// made if it is not there: `SCENARIO-seed-S.jsonl`.
    pub fn run_with_histories(
        &self,
        dir: &Path,
        watch: &mut dyn Watch,
    ) -> std::io::Result<Vec<Report>> {
        std::fs::create_dir_all(dir)?;
        let failed = Mutex::new(None);
        let reports = self.run_by(
            &|scenario, seed| {
                let mut text = Vec::new();
                let outcome = caught(seed, || {
                    let history = Some(&mut text);
                    let onlookers = Onlookers { history, ..Onlookers::default() };
                    run::watched(scenario, seed, self.engine, onlookers)
                });
                let file = dir.join(format!("{}-seed-{seed}.jsonl", scenario.name));
                if let Err(error) = std::fs::write(&file, text) {
                    let named = format!("{}: {error}", file.display());
                    failed.lock().get_or_insert(std::io::Error::new(error.kind(), named));
                }
                outcome
            },
            watch,
        );
        failed.into_inner().map_or(Ok(reports), Err)
    }

    /// The same, where one run is whatever `run` makes of a scenario and a seed.
    pub(crate) fn run_by(&self, run: &Runner<'_>, watch: &mut dyn Watch) -> Vec<Report> {
        self.run_until(run, Deadline::after(None), watch)
    }

    /// Runs until the seeds or the wall time are used up: the first seed of each scenario, then the
    /// second of each, so that all get as many. A run that was begun ends. What is told is in the
    /// order of scenarios and seeds as ever, but only when the time is over, and nothing is told of
    /// scenarios that the time did not suffice for.
    pub fn run_for(&self, limit: Duration, watch: &mut dyn Watch) -> Vec<Report> {
        self.run_until(&self.plain(), Deadline::after(Some(limit)), watch)
    }

    fn plain(&self) -> impl Fn(&Scenario, u64) -> Outcome + Sync + use<> {
        let engine = self.engine;
        move |scenario, seed| run_caught(scenario, seed, engine)
    }

    fn run_until(
        &self,
        run: &Runner<'_>,
        deadline: Deadline,
        watch: &mut dyn Watch,
    ) -> Vec<Report> {
        quieten_panics();
        let total = self.per_scenario().saturating_mul(self.scenarios.len() as u64);
        let next = AtomicU64::new(0);
        let doubts: Vec<_> = self.scenarios.iter().map(|_| AtomicUsize::new(0)).collect();
        // Bounded, so that a slow listener holds the workers back instead of filling the memory.
        let (send, receive) = mpsc::sync_channel(64);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                let (send, next, doubts) = (send.clone(), &next, &doubts);
                scope.spawn(move || {
                    // They are begun in order, so the seeds of a scenario have no gaps.
                    while !deadline.is_over() {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        if job >= total {
                            return;
                        }
                        let (index, seed) = self.job(job, deadline);
                        let (Some(scenario), Some(doubts)) =
                            (self.scenarios.get(index), doubts.get(index))
                        else {
                            return;
                        };
                        let began = now();
                        let outcome = self.confirmed(run, scenario, seed, doubts);
                        if send.send((index, outcome, now() - began)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            self.gather(receive, watch)
        })
    }

    fn per_scenario(&self) -> u64 {
        self.seeds.end.saturating_sub(self.seeds.start)
    }

    /// Which scenario, and which of its seeds, comes at this place.
    fn job(&self, job: u64, deadline: Deadline) -> (usize, u64) {
        let (index, nth) = match deadline {
            Deadline(None) => (job / self.per_scenario(), job % self.per_scenario()),
            Deadline(Some(_)) => {
                let scenarios = self.scenarios.len() as u64;
                (job % scenarios, job / scenarios)
            }
        };
        (usize::try_from(index).unwrap_or(usize::MAX), self.seeds.start + nth)
    }

    /// One run; and again, where there is reason to doubt that it always goes that way: the first
    /// of each scenario, and the first that went wrong.
    fn confirmed(
        &self,
        run: &Runner<'_>,
        scenario: &Scenario,
        seed: u64,
        doubts: &AtomicUsize,
    ) -> Outcome {
        let mut outcome = run(scenario, seed);
        let verdict = outcome.verdict(&scenario.expect);
        let wrong = !matches!(verdict, RunVerdict::Held | RunVerdict::BrokeAsExpected);
        let first = seed == self.seeds.start;
        if first || wrong && doubts.fetch_add(1, Ordering::Relaxed) < CONFIRMATIONS {
            let again = run(scenario, seed);
            outcome.differs = (again.trace != outcome.trace).then_some(again.trace);
        }
        outcome
    }

    fn gather(
        &self,
        receive: mpsc::Receiver<(usize, Outcome, Duration)>,
        watch: &mut dyn Watch,
    ) -> Vec<Report> {
        let mut gatherings: Vec<_> = self
            .scenarios
            .iter()
            .map(|scenario| Gathering {
                tally: Tally::new(&scenario.expect),
                early: BTreeMap::new(),
                next: self.seeds.start,
                wall: Duration::ZERO,
            })
            .collect();
        let mut reports = Vec::new();
        for (index, outcome, wall) in receive {
            let (Some(scenario), Some(gathering)) =
                (self.scenarios.get(index), gatherings.get_mut(index))
            else {
                continue;
            };
            watch.ran(scenario, outcome.verdict(&scenario.expect));
            gathering.wall += wall;
            gathering.early.insert(outcome.seed, outcome);
            while let Some(outcome) = gathering.early.remove(&gathering.next) {
                gathering.tally.add(outcome);
                gathering.next += 1;
            }
            while let (Some(scenario), Some(gathering)) =
                (self.scenarios.get(reports.len()), gatherings.get_mut(reports.len()))
                && gathering.next >= self.seeds.end
            {
                let tally = std::mem::replace(&mut gathering.tally, Tally::new(&scenario.expect));
                let report = Report::new(scenario, self.engine, tally);
                watch.done(&report, gathering.wall);
                reports.push(report);
            }
        }
        // Where the time ended before the seeds did; of a scenario that never ran there is nothing
        // to tell.
        let rest = self.scenarios.iter().zip(gatherings).skip(reports.len());
        for (scenario, gathering) in rest.filter(|(_, gathering)| !gathering.tally.runs.is_empty())
        {
            let report = Report::new(scenario, self.engine, gathering.tally);
            watch.done(&report, gathering.wall);
            reports.push(report);
        }
        reports
    }
}

#[allow(clippy::disallowed_methods, reason = "wall time of whole runs, told on the terminal only")]
fn now() -> Instant {
    Instant::now()
}

/// When no more runs are begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// So much wall time from now on; never when absent.
    pub(super) fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| now().checked_add(limit)))
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| now() >= end)
    }
}
