//! Runs many seeds on all cores. Each run is a world of its own on one thread; results are reported in
//! the order of scenarios and seeds, in whatever order the runs end.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Report;
use super::difference::first_difference;
use super::verdict::Tally;
use crate::run::caught::{caught, quieten_panics};
use crate::run::outcome::{Outcome, RunVerdict};
use crate::run::{self, EngineKind, Observers};
use crate::scenario::Scenario;

/// Failed runs that are repeated per scenario, to check that they are deterministic.
const CONFIRMATIONS: usize = 2;

/// A set of scenarios, each to be run with a range of seeds.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// In the order of the reports.
    pub scenarios: Vec<Scenario>,
    /// Seeds of each scenario; the end is excluded.
    pub seeds: Range<u64>,
    /// Runs in parallel, each on its own thread.
    pub jobs: NonZeroUsize,
    /// The engine of all runs.
    pub engine: EngineKind,
}

/// Receives progress.
pub trait Watch {
    /// A run ended. Runs end in any order.
    fn ran(&mut self, scenario: &Scenario, verdict: RunVerdict);
    /// A scenario is done, in order. `wall` is the sum of its runs' times.
    fn done(&mut self, report: &Report, wall: Duration);
}

/// Ignores progress.
impl Watch for () {
    fn ran(&mut self, _: &Scenario, _: RunVerdict) {}
    fn done(&mut self, _: &Report, _: Duration) {}
}

/// The results of one scenario so far.
struct Gathering {
    tally: Tally,
    /// Runs whose predecessors have not ended.
    early: BTreeMap<u64, Outcome>,
    next: u64,
    wall: Duration,
}

/// Gets a line of text for each event of a run.
pub(crate) type Events<'w> = Option<&'w mut dyn FnMut(&str)>;

/// Runs one seed of a scenario.
pub(crate) type Runner<'a> = dyn Fn(&Scenario, u64, Events<'_>) -> Outcome + Sync + 'a;

impl Sweep {
    /// Runs every scenario with every seed.
    pub fn run(&self, watch: &mut dyn Watch) -> Vec<Report> {
        self.run_until(&self.plain(), Deadline::after(None), watch)
    }

    /// Like `run`, and writes each run's client history to `SCENARIO-seed-S.jsonl` in `dir`, which is
    /// created if it does not exist.
    pub fn run_with_histories(
        &self,
        dir: &Path,
        watch: &mut dyn Watch,
    ) -> std::io::Result<Vec<Report>> {
        std::fs::create_dir_all(dir)?;
        let failed = Mutex::new(None);
        let reports = self.run_by(
            &|scenario, seed, events| {
                let mut text = Vec::new();
                let outcome = caught(seed, || {
                    let history = Some(&mut text);
                    let events = events.map(|watch| watch as &mut dyn FnMut(&str));
                    let observers = Observers { events, recorder: None, history };
                    run::watched(scenario, seed, self.engine, observers)
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

    /// Like `run`, with another function that runs one seed.
    pub(crate) fn run_by(&self, run: &Runner<'_>, watch: &mut dyn Watch) -> Vec<Report> {
        self.run_until(run, Deadline::after(None), watch)
    }

    /// Runs until the seeds or the wall time are used up: the first seed of each scenario, then the
    /// second of each, so that all scenarios get equally many. Started runs finish. Reports come in
    /// the usual order, but only at the end, and scenarios that never ran have none.
    pub fn run_for(&self, limit: Duration, watch: &mut dyn Watch) -> Vec<Report> {
        self.run_until(&self.plain(), Deadline::after(Some(limit)), watch)
    }

    fn plain(&self) -> impl Fn(&Scenario, u64, Events<'_>) -> Outcome + Sync + use<> {
        let engine = self.engine;
        move |scenario, seed, events| caught(seed, || run::run(scenario, seed, engine, events))
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
        // Bounded, so that a slow receiver blocks the workers instead of filling the memory.
        let (send, receive) = mpsc::sync_channel(64);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                let (send, next, doubts) = (send.clone(), &next, &doubts);
                scope.spawn(move || {
                    // Runs start in order, so the seeds of a scenario have no gaps.
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

    /// The scenario and seed at an index of the sweep.
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

    /// Runs one seed, and repeats the first run of each scenario and the first failed runs to check that
    /// they are deterministic.
    fn confirmed(
        &self,
        run: &Runner<'_>,
        scenario: &Scenario,
        seed: u64,
        doubts: &AtomicUsize,
    ) -> Outcome {
        let mut outcome = run(scenario, seed, None);
        let verdict = outcome.verdict(&scenario.expect);
        let wrong = !verdict.is_fine();
        let first = seed == self.seeds.start;
        if first || wrong && doubts.fetch_add(1, Ordering::Relaxed) < CONFIRMATIONS {
            let again = run(scenario, seed, None);
            outcome.differs = (again.trace != outcome.trace).then_some(again.trace);
            outcome.difference = outcome
                .differs
                .map(|_| first_difference(&|watch| drop(run(scenario, seed, Some(watch)))));
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
        // The time was up before the seeds were; scenarios that never ran have no report.
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

/// The wall time after which no run starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// A deadline `limit` from now, or none.
    pub(super) fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| now().checked_add(limit)))
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| now() >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::verdict::tests::outcome;

    const LIMIT: Duration = Duration::from_millis(400);
    const RUN: Duration = Duration::from_millis(10);

    fn sweep(jobs: usize) -> Sweep {
        let scenario = |name| {
            let text = format!("name = \"{name}\"\n[expect]\nholds = [\"*\"]\n");
            Scenario::parse(&format!("{name}.toml"), &text).unwrap()
        };
        Sweep {
            scenarios: vec![scenario("one"), scenario("two")],
            seeds: 3..u64::MAX,
            jobs: NonZeroUsize::new(jobs).unwrap(),
            engine: EngineKind::Leap,
        }
    }

    /// Runs that take wall time, and the seeds of each scenario that were run.
    fn swept(sweep: &Sweep, limit: Duration) -> (Duration, Vec<u64>) {
        let began = now();
        let run = |_: &Scenario, seed: u64, _: Events<'_>| {
            std::thread::sleep(RUN);
            outcome(seed, &[])
        };
        let reports = sweep.run_until(&run, Deadline::after(Some(limit)), &mut ());
        (now() - began, reports.iter().map(|report| report.runs.len() as u64).collect())
    }

    #[test]
    fn no_run_starts_after_the_time_limit_and_scenarios_share_it() {
        let (took, runs) = swept(&sweep(2), LIMIT);
        // The first seed runs twice; a busy machine may be late, but not by as much again.
        assert!(took >= LIMIT && took < 2 * LIMIT + 4 * RUN, "{took:?}");
        let [one, two] = runs[..] else { panic!("{runs:?}") };
        assert!(one > 2 && one.abs_diff(two) <= 2, "{one} runs of one, {two} of the other");
        assert_eq!(swept(&sweep(1), Duration::ZERO).1, [0; 0], "no time, no report");
    }
}
