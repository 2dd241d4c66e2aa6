//! Runs that panic: the panic becomes a violation of the run, with its place and message.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use super::EngineKind;
use super::coverage::Reached;
use super::outcome::{Broken, Counts, Outcome, PANICS};
use crate::scenario::Scenario;
use crate::sim::TraceHash;

thread_local! {
    /// Set while a run is caught: the message of its panic.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// Reports a panic inside a run as a finding with its seed, instead of printing it.
pub(crate) fn quieten_panics() {
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
                // The first panic is the cause; later ones are consequences.
                CAUGHT.with_borrow_mut(|caught| {
                    caught.get_or_insert_with(|| format!("{place}: {said}"));
                });
            } else {
                usual(panic);
            }
        }));
    });
}

/// The message and place of the panic that was just caught inside a run.
pub(crate) fn said_by_panic() -> String {
    CAUGHT.take().unwrap_or_default()
}

/// Runs a seed; a panic becomes a violation.
pub fn run_caught(scenario: &Scenario, seed: u64, engine: EngineKind) -> Outcome {
    caught(seed, || super::run(scenario, seed, engine, None))
}

/// The outcome of `run`; a panic in it becomes a violation.
pub(crate) fn caught(seed: u64, run: impl FnOnce() -> Outcome) -> Outcome {
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
        outages: Vec::new(),
        disks: Vec::new(),
        differs: None,
        reached: Reached::default(),
        untested: None,
        difference: None,
    })
}
