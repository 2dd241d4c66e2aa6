//! One run: a cluster boots, loads and faults run for the scenario's duration, all faults end, the
//! cluster has time to converge, and a final read reads everything.
//!
//! This module does not judge: every observation goes to [`check::Judge`](crate::check) in order.

mod advance;
pub mod caught;
mod clients;
mod cluster;
pub mod coverage;
pub mod disks;
mod engine;
pub(crate) mod faults;
#[cfg(test)]
mod group_tests;
pub(crate) mod guests;
mod idle;
#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod metadata_tests;
pub(crate) mod observer;
mod operator;
pub mod outcome;
mod own;
pub(crate) mod part;
mod phases;
mod roles;
mod setup;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

pub use self::engine::EngineKind;
pub use self::observer::{Lane, LaneKind, Observer};

pub(crate) use self::cluster::bootstrap;

use self::clients::Clients;
use self::cluster::Ends;
use self::coverage::CoverageObserver;
use self::disks::DiskLine;
use self::engine::on_engine;
use self::faults::Faults;
use self::guests::{Guests, ProgramsAnywhere};
use self::outcome::{ADVANCES, Broken, Counts, Outcome, STARTS};
use self::own::Shared;
use self::roles::{Hosts, Kind};
use self::setup::setup;
use crate::base::{Instant, Seed, TopicPartition};
use crate::check::history::{Header, Writer};
use crate::check::{Judge, Note, Outage, Setup};
use crate::scenario::load::SharedSignals;
use crate::scenario::{Plan, Scenario};
use crate::sim::disk::DiskProfile;
use crate::sim::{Engine, Link, SimWorld};

/// Prefix of a note about a fault that the engine does not support.
pub(crate) const LEFT_OUT: &str = "faults left out";
/// How a note begins that names a fault which did not strike.
pub(crate) const DID_NOT_STRIKE: &str = "did not strike";
/// Longest simulated time between two checks of the observations.
const STEP: Duration = Duration::from_millis(100);
/// The same while programs may order faults.
const CLOSELY: Duration = Duration::from_millis(1);
/// The cluster must be live within this time after the heal.
const WITHIN: Duration = Duration::from_secs(60);

/// Observers of a run. They do not affect it.
#[derive(Default)]
pub struct Observers<'w> {
    /// Gets a line of text for each event, in order.
    pub events: Option<&'w mut dyn FnMut(&str)>,
    /// Observes everything, for a picture.
    pub recorder: Option<&'w mut dyn Observer>,
    /// Receives the history of clients as text when the run is over.
    pub history: Option<&'w mut Vec<u8>>,
}

/// Runs one seed of a scenario. `watch` gets a line of text for each event, in order.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    engine: EngineKind,
    watch: Option<&mut dyn FnMut(&str)>,
) -> Outcome {
    on_engine!(engine, E => Run::<E>::new(scenario, seed, watch, None).go())
}

/// Runs one seed of a scenario without checkers, to measure their cost.
pub fn unjudged(scenario: &Scenario, seed: u64, engine: EngineKind) -> Outcome {
    on_engine!(engine, E => Run::<E>::new(scenario, seed, None, None).without_judge().go())
}

/// Runs one seed of a scenario with observers.
pub fn watched(
    scenario: &Scenario,
    seed: u64,
    engine: EngineKind,
    observers: Observers<'_>,
) -> Outcome {
    let Observers { events, recorder, history } = observers;
    // Writing to memory can't fail.
    let mut writer = history.is_some().then(|| writer(scenario, seed)).and_then(Result::ok);
    let text = writer.as_mut();
    let outcome = on_engine!(engine, E => {
        Run::<E>::new(scenario, seed, events, recorder).recorded(text).go()
    });
    let text = writer.and_then(|writer| writer.finish(Instant::START + outcome.simulated).ok());
    if let (Some(history), Some(text)) = (history, text) {
        *history = text;
    }
    outcome
}

/// Begins the history of a run.
fn writer(scenario: &Scenario, seed: u64) -> io::Result<Writer<Vec<u8>>> {
    let acks = scenario.loads.iter().filter_map(|load| load.work.promise().acks);
    let setup = setup(scenario, false, &Hosts::default());
    Writer::new(Vec::new(), &Header::new(&setup, &scenario.name, seed, acks))
}

/// Runs one seed of a scenario together with programs. `watch` gets a line of text for each event.
pub(crate) fn accompanied(
    scenario: &Scenario,
    seed: u64,
    engine: EngineKind,
    programs: &impl ProgramsAnywhere,
    watch: Option<&mut dyn FnMut(&str)>,
) -> Outcome {
    on_engine!(engine, E => {
        Run::<E>::new(scenario, seed, watch, None).joined_by(programs.guests(scenario, seed)).go()
    })
}

struct Run<'a, 'w, E: Engine> {
    scenario: &'a Scenario,
    seed: u64,
    plan: Plan,
    engine: E,
    hosts: Hosts,
    /// Whether there is a host that changes topics.
    has_operator: bool,
    judge: Judge,
    coverage: CoverageObserver,
    judged: bool,
    control: Shared,
    ends: Ends,
    counts: Counts,
    /// Partitions written since the heal.
    written: BTreeMap<TopicPartition, bool>,
    /// Partitions of sends without an outcome.
    sent: BTreeMap<(u32, u64), TopicPartition>,
    healed: Option<Instant>,
    permitted_loss: bool,
    outages: Vec<Outage>,
    clients: Clients,
    untested: Option<String>,
    watch: Option<&'w mut dyn FnMut(&str)>,
    recorder: Option<&'w mut dyn Observer>,
    history: Option<&'a mut Writer<Vec<u8>>>,
    guests: Option<Guests<E::World>>,
}

impl<'a, 'w, E: Engine<World: SimWorld>> Run<'a, 'w, E> {
    fn new(
        scenario: &'a Scenario,
        seed: u64,
        watch: Option<&'w mut dyn FnMut(&str)>,
        recorder: Option<&'w mut dyn Observer>,
    ) -> Self {
        let mut engine = E::new(Seed(seed), Link::default());
        if recorder.as_ref().is_some_and(|recorder| recorder.films()) {
            engine.record_film();
        }
        if watch.is_some() {
            engine.record_trace();
        }
        let ends = Ends::default();
        let hosts = cluster::nodes(&mut engine, scenario, &ends);
        if scenario.disk != DiskProfile::default() {
            hosts.iter().for_each(|host| engine.set_disk(host.id, scenario.disk.clone()));
        }
        let mut hosts = Hosts::new(hosts);
        hosts.coordinator = scenario.coordinator();
        hosts.transaction_coordinator = scenario.transaction_coordinator();
        let setup = setup(scenario, false, &hosts);
        let least = setup.promise(&scenario.topic(None).name).min_insync_replicas;
        let coverage = CoverageObserver::new(least);
        let judge = Judge::new(setup);
        Self {
            scenario,
            seed,
            plan: Plan::draw(scenario, Seed(seed)),
            engine,
            hosts,
            has_operator: false,
            judge,
            coverage,
            judged: true,
            control: Shared::default(),
            ends,
            counts: Counts::default(),
            written: BTreeMap::new(),
            sent: BTreeMap::new(),
            healed: None,
            permitted_loss: false,
            outages: Vec::new(),
            clients: Clients::default(),
            untested: None,
            watch,
            recorder,
            history: None,
            guests: None,
        }
    }

    /// A judge for all hosts and clients of the run.
    fn new_judge(&self) -> Judge {
        Judge::new(setup(self.scenario, self.guests.is_some(), &self.hosts))
    }

    fn recorded(mut self, history: Option<&'a mut Writer<Vec<u8>>>) -> Self {
        self.history = history;
        self
    }

    fn without_judge(mut self) -> Self {
        self.judged = false;
        self
    }

    /// Writes into the history, if there is one. Writing to memory can't fail.
    fn note(&mut self, line: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>) {
        if let Some(history) = &mut self.history {
            let _ = line(history);
        }
    }

    fn go(mut self) -> Outcome {
        if let Err(why) = self.start() {
            let now = self.engine.now();
            let spin = self.engine.spin().map(|spin| Broken::new(ADVANCES, now, spin));
            let broken = spin.unwrap_or_else(|| Broken::new(STARTS, now, why));
            return self.outcome(vec![broken], Vec::new(), Vec::new());
        }
        let began = self.engine.now();
        if let Some(recorder) = &mut self.recorder {
            recorder.began(began);
        }
        let signals = self.signals();
        let clients = cluster::clients(&mut self.engine, self.scenario, &self.plan, &signals);
        self.hosts.all.extend(clients);
        self.seat_guests();
        let faults = std::mem::take(&mut self.plan.faults);
        self.coverage.began();
        let mut faults = Faults::new(&self.scenario.topic(None).name, faults, began)
            .on(self.scenario.disk.clone())
            .and_late(std::mem::take(&mut self.plan.late));
        faults.lay(&self.scenario.links, &mut self.engine, &self.hosts);
        let end = began + self.scenario.duration;
        while self.before(end) || self.is_directed(end) {
            faults.step(&mut self.engine, &mut self.hosts);
            self.administer(&mut faults);
            self.judge.touched(self.engine.now(), faults.touched());
            for (at, kind) in faults.strikes.drain(..) {
                self.coverage.struck(at, kind);
            }
            let next = faults.next(self.engine.now());
            let over = self.engine.now() >= end;
            self.advance(if over { next } else { next.min(end) });
            self.take_orders(Some(&mut faults));
        }
        self.heal(&mut faults);
        self.converge();
        let mut broken = self.await_guests();
        self.stop_producers();
        self.read_everything();

        let now = self.engine.now();
        let spin = self.engine.spin();
        let frozen = spin.is_some();
        if let Some(spin) = spin {
            // What was still to come did not fail: it could not happen.
            broken = vec![Broken::new(ADVANCES, now, spin)];
        } else {
            broken.extend(self.dismiss_guests(&faults));
            broken.extend(self.undeclared_topics());
        }
        broken.extend(faults.deaf().iter().map(|(at, name)| {
            Broken::new("converges", *at, format!("{name} did not end when it was asked to"))
        }));
        let judge = std::mem::replace(&mut self.judge, Judge::new(Setup::default()));
        let verdicts = if frozen { judge.cut_short(now) } else { judge.finish(now) };
        if let Some(recorder) = &mut self.recorder {
            recorder.judged(&verdicts.violations);
        }
        broken.extend(verdicts.violations.iter().map(|violation| {
            let name = |host| self.engine.name(host);
            let what = self.clients.explained(violation.to_string(), name);
            Broken::new(violation.invariant, violation.at, what)
        }));
        self.permitted_loss =
            verdicts.notes.iter().any(|note| matches!(note, Note::LossWithinContract { .. }));
        let mut notes: Vec<_> = verdicts.notes.iter().map(ToString::to_string).collect();
        notes.extend(faults.unable.iter().map(|why| format!("{LEFT_OUT}: {why}")));
        let load = self.scenario.duration;
        let unstruck = faults.unstruck(load).into_iter();
        notes.extend(unstruck.map(|why| format!("{DID_NOT_STRIKE} {why}")));
        notes.extend(self.control.lock().vain.iter().cloned());
        notes.extend(self.signals().lock().effects.notes());
        self.untested = self.idle_clients().or_else(|| faults.idle(load));
        self.counts.lost = verdicts.lost;
        self.counts.doubled = verdicts.doubled;
        self.counts.uncommitted = verdicts.uncommitted;
        self.outages = verdicts.outages;
        self.counts.faults = faults.struck;
        self.counts.faults_skipped = faults.skipped();
        self.outcome(broken, notes, faults.story)
    }

    fn outcome(
        mut self,
        broken: Vec<Broken>,
        mut notes: Vec<String>,
        story: Vec<String>,
    ) -> Outcome {
        self.counts.elections = self.hosts.elections;
        let reached = self.coverage.finish(self.engine.now(), self.permitted_loss);
        for (at, host, error) in self.ends.lock().iter() {
            let name = self.engine.name(*host);
            notes.push(format!("{name} ended with an error: {error} at {:.3} s", at.as_secs_f64()));
        }
        let brokers = self.hosts.all.iter().filter(|host| matches!(host.kind, Kind::Broker(_)));
        let disks = brokers.map(|host| DiskLine::new(&host.name, &self.engine.disk_stats(host.id)));
        Outcome {
            disks: disks.collect(),
            seed: self.seed,
            trace: self.engine.trace(),
            simulated: self.engine.now().since(Instant::START),
            broken,
            notes,
            story,
            counts: self.counts,
            outages: self.outages,
            differs: None,
            reached,
            untested: self.untested,
            difference: None,
        }
    }

    fn signals(&self) -> SharedSignals {
        self.control.lock().signals.clone()
    }
}
