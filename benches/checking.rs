//! What checking costs: the same run with all invariants judged, and with none.
//!
//! `cargo bench --bench checking`. The figures to reach: judging takes at most 40 % of the wall time
//! of a run of 60 simulated seconds with 3 brokers and 500 records a second, and that run takes less
//! than a second. A run has one thread and never sleeps, so the time that it has of its core is the
//! wall time that it takes if no other process wants that core.

use std::hint::black_box;
use std::time::Duration;

use brokerquake::run::outcome::Outcome;
use brokerquake::run::{self, EngineKind};
use brokerquake::scenario::Scenario;

/// Runs of each kind, one after the other in turn.
const ROUNDS: usize = 9;

const LOAD: &str = "duration = \"60s\"\n[cluster]\nbrokers = 3\n\
    broker.session.timeout.ms = 3000\nbroker.heartbeat.interval.ms = 500\n\
    [topic]\npartitions = 3\nreplication.factor = 3\nmin.insync.replicas = 2\n\
    [[load]]\nkind = \"producer\"\nclients = 4\nrate = \"500/s\"\nacks = \"all\"\n\
    enable.idempotence = true\n\
    [[load]]\nkind = \"consumer\"\nclients = 2\n\
    [expect]\nholds = [\"*\"]\n";
const KILLS: &str =
    "[[fault]]\nkind = \"kill\"\ntarget = \"any\"\nevery = \"5s..15s\"\ndown = \"1s..4s\"\n";

fn timed(run: impl FnOnce() -> Outcome) -> Duration {
    let began = on_core();
    black_box(run());
    on_core().saturating_sub(began)
}

/// What this thread has had of its core.
fn on_core() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.try_into().expect("it is not negative")
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    for (name, faults) in [("calm", ""), ("kills", KILLS)] {
        let text = format!("name = \"{name}\"\n{LOAD}{faults}");
        let scenario = Scenario::parse(name, &text).expect("the scenario above can be read");
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            with.push(timed(|| run::run(&scenario, 1, EngineKind::Leap, None)));
            without.push(timed(|| run::unjudged(&scenario, 1, EngineKind::Leap)));
        }
        let (with, without) = (median(&mut with), median(&mut without));
        let share = 1.0 - without.as_secs_f64() / with.as_secs_f64();
        println!(
            "{name:6} judged {:6.0} ms, unjudged {:6.0} ms: checking is {:.0} % of a run",
            with.as_secs_f64() * 1e3,
            without.as_secs_f64() * 1e3,
            share * 100.0
        );
    }
}
