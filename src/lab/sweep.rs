//! Many seeds over the cores. Each run is a world of its own on one thread; results are told in
//! the order of scenarios and seeds, whatever order they come in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::verdict::{Broken, Counts, Outcome, PANICS, RunVerdict, Tally};
use super::{EngineKind, Report, Scenario, run};
use crate::sim::TraceHash;

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

impl Sweep {
    /// Runs them all.
    pub fn run(&self, watch: &mut dyn Watch) -> Vec<Report> {
        quieten_panics();
        let per_scenario = self.seeds.end.saturating_sub(self.seeds.start);
        let total = per_scenario.saturating_mul(self.scenarios.len() as u64);
        let next = AtomicU64::new(0);
        let doubts: Vec<_> = self.scenarios.iter().map(|_| AtomicUsize::new(0)).collect();
        // Bounded, so that a slow listener holds the workers back instead of filling the memory.
        let (send, receive) = mpsc::sync_channel(64);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                let (send, next, doubts) = (send.clone(), &next, &doubts);
                scope.spawn(move || {
                    loop {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        if job >= total {
                            return;
                        }
                        let index = usize::try_from(job / per_scenario).unwrap_or(usize::MAX);
                        let seed = self.seeds.start + job % per_scenario;
                        let (Some(scenario), Some(doubts)) =
                            (self.scenarios.get(index), doubts.get(index))
                        else {
                            return;
                        };
                        let began = now();
                        let outcome = self.confirmed(scenario, seed, doubts);
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

    /// One run; and again, where there is reason to doubt that it always goes that way: the first
    /// of each scenario, and the first that went wrong.
    fn confirmed(&self, scenario: &Scenario, seed: u64, doubts: &AtomicUsize) -> Outcome {
        let mut outcome = run_caught(scenario, seed, self.engine);
        let verdict = outcome.verdict(&scenario.expect);
        let wrong = !matches!(verdict, RunVerdict::Held | RunVerdict::BrokeAsExpected);
        let first = seed == self.seeds.start;
        if first || wrong && doubts.fetch_add(1, Ordering::Relaxed) < CONFIRMATIONS {
            let again = run_caught(scenario, seed, self.engine);
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
        reports
    }
}

#[allow(clippy::disallowed_methods, reason = "wall time of whole runs, told on the terminal only")]
fn now() -> Instant {
    Instant::now()
}

thread_local! {
    /// Set while a run is caught: what its panic said.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// A panic inside a run is a finding, told with its seed like any other, and not printed by itself.
fn quieten_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if CATCHING.with_borrow(|catching| *catching) {
                let payload = panic.payload();
                let said = payload.downcast_ref::<&str>().copied();
                let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                let said = said.unwrap_or("no message");
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                // The first panic is the cause; what follows are its consequences.
                CAUGHT.with_borrow_mut(|caught| {
                    caught.get_or_insert_with(|| format!("{place}: {said}"));
                });
            } else {
                usual(panic);
            }
        }));
    });
}

/// One run; a panic in it becomes a violation.
pub fn run_caught(scenario: &Scenario, seed: u64, engine: EngineKind) -> Outcome {
    caught(seed, || run::run(scenario, seed, engine, None))
}

/// What `run` gives; a panic in it becomes a violation.
pub(super) fn caught(seed: u64, run: impl FnOnce() -> Outcome) -> Outcome {
    quieten_panics();
    CATCHING.set(true);
    let caught = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(false);
    let said = CAUGHT.take();
    caught.unwrap_or_else(|_| Outcome {
        seed,
        trace: TraceHash(0),
        simulated: Duration::ZERO,
        broken: vec![Broken::new(
            PANICS,
            crate::base::Instant::START,
            format!("panicked at {}", said.unwrap_or_default()),
        )],
        notes: Vec::new(),
        story: Vec::new(),
        counts: Counts::default(),
        disks: Vec::new(),
        differs: None,
    })
}
