//! A simulation as a test writes it.

use std::fmt::Display;
use std::future::Future;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::checker::{Check, Exam, Whole};
use super::company::{Company, Member};
use super::draft::{Draft, Place, check_checks, check_programs, slug};
use super::fault::Fault;
use super::host::{Ending, Host, program};
use super::requirement::{Names, Requirement};
use super::{Checker, Cluster, History};
use crate::lab::sweep::Sweep;
use crate::lab::verdict::Witness;
use crate::lab::{Report, Verdict, report};
use crate::run::caught::caught;
use crate::run::part::Part;
use crate::run::{self, EngineKind};
use crate::scenario::Scenario;
use crate::scenario::seeds::{asks_for_one_seed, chosen_seeds};

/// How long faults last by default.
const DURATION: &str = "20s";
/// Most instances of a program: runs with more take very long.
const MAX_INSTANCES: u32 = 1000;
/// How long after the last fault clients may take to end by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, programs and faults, to be run from many seeds and asserted on.
///
/// A run goes like this: the cluster boots and creates the topics; then programs boot, and faults
/// strike for the simulation's [`duration`](Self::duration). Then everything is healed. Clients
/// have a minute to end, services are asked to end, every topic is read to its end, and it is judged
/// what happened: by the invariants of this crate, over all that was sent, acknowledged, read and
/// stored, and by the test's own [`check`](Self::check)s.
///
/// `BROKERQUAKE_SEED=7` runs one seed only, and tells on standard error what programs do and what
/// happens to hosts; `BROKERQUAKE_SEEDS=1000` (or `500..1000`) says how many. A failure prints the
/// command that replays it.
///
/// ```
/// use brokerquake::prelude::*;
///
/// Simulation::new("orders survive a leader")
///     .topic("orders", |topic| topic.partitions(2).replication_factor(3).min_insync_replicas(2))
///     .client("shop", |host| async move {
///         let producer = host.producer(&[("acks", "all")])?;
///         for order in 0..50 {
///             let order = ProducerRecord::new("orders", format!("order {order}"));
///             producer.send_and_wait(order).await?;
///         }
///         Ok::<(), Box<dyn std::error::Error>>(())
///     })
///     .fault(Fault::kill("leader").every("1s..3s").down("500ms..2s"))
///     .check("all-orders-there", |history: &History| match history.topic("orders").count() {
///         50 => Ok(()),
///         other => Err(format!("{other} orders instead of 50")),
///     })
///     .duration("5s")
///     .seeds(0..2)
///     .assert_holds();
/// ```
#[must_use = "a simulation runs when it is asserted on"]
pub struct Simulation {
    name: String,
    brokers: u16,
    duration: String,
    cluster: Vec<(String, String, Place)>,
    topics: Vec<Topic>,
    faults: Vec<Fault>,
    tables: Vec<(String, Place)>,
    members: Vec<Member>,
    exam: Exam,
    breaks: Vec<(String, Place)>,
    allows: Vec<(String, Place)>,
    patience: Duration,
    seeds: Range<u64>,
    jobs: NonZeroUsize,
    engine: EngineKind,
    /// Where the test makes it.
    place: Place,
}

/// A topic as a simulation creates it.
#[derive(Clone, Debug)]
#[must_use = "a topic is created when a simulation has it"]
pub struct Topic {
    name: String,
    partitions: i32,
    replication_factor: i16,
    settings: Vec<(String, String)>,
    place: Place,
}

impl Topic {
    /// Number of partitions; 1 by default.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Replicas of each partition; 1 by default.
    pub fn replication_factor(mut self, copies: i16) -> Self {
        self.replication_factor = copies;
        self
    }

    /// Replicas that must have a record before it is acknowledged with `acks=all`.
    pub fn min_insync_replicas(self, copies: u16) -> Self {
        self.set("min.insync.replicas", copies)
    }

    /// Any setting of a topic, by Kafka's name and in Kafka's unit.
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }
}

impl Simulation {
    /// A cluster of three brokers and a controller, without topics, programs and faults.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        Self {
            place: Location::caller(),
            name: name.to_owned(),
            brokers: 3,
            duration: DURATION.to_owned(),
            cluster: Vec::new(),
            topics: Vec::new(),
            faults: Vec::new(),
            tables: Vec::new(),
            members: Vec::new(),
            exam: Exam::default(),
            breaks: Vec::new(),
            allows: Vec::new(),
            patience: PATIENCE,
            seeds: 0..10,
            jobs: NonZeroUsize::MIN,
            engine: EngineKind::Leap,
        }
    }

    /// How many brokers: `b1`, `b2`, ….
    pub fn brokers(mut self, brokers: u16) -> Self {
        self.brokers = brokers;
        self
    }

    /// A setting of every broker and controller, by Kafka's name and in Kafka's unit.
    #[track_caller]
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.cluster.push((key.to_owned(), value.to_string(), Location::caller()));
        self
    }

    /// A topic. Faults that name no `topic` are about the first one: its leader, its followers.
    #[track_caller]
    pub fn topic(mut self, name: &str, describe: impl FnOnce(Topic) -> Topic) -> Self {
        let topic = Topic {
            name: name.to_owned(),
            partitions: 1,
            replication_factor: 1,
            settings: Vec::new(),
            place: Location::caller(),
        };
        self.topics.push(describe(topic));
        self
    }

    /// A program on a host of its own, which comes to an end by itself: one that does not is
    /// `stuck`, one that ends with an error or a panic breaks the run.
    ///
    /// It restarts each time its host boots, so it can be killed and lose power like a
    /// broker where a fault names it. What it saved is still there then.
    #[track_caller]
    pub fn client<F, R>(self, name: &str, run: impl Fn(Host) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending,
    {
        self.member(Part::Client, name, run)
    }

    /// A program that continues until it is asked to end: once all clients have ended and everything
    /// is healed. What has not ended 30 seconds later is killed, as its supervisor would.
    #[track_caller]
    pub fn service<F, R>(self, name: &str, run: impl Fn(Host) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending,
    {
        self.member(Part::Service, name, run)
    }

    /// A driver: the test's own actions on the cluster, step by step. Faults continue until it ends.
    #[track_caller]
    pub fn driver<F, R>(self, drive: impl Fn(Cluster) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending,
    {
        let drivers = self.members.iter().filter(|member| member.part == Part::Driver).count();
        let name = format!("driver-{}", drivers + 1);
        self.member(Part::Driver, &name, move |host| drive(host.cluster()))
    }

    #[track_caller]
    fn member<F, R>(
        mut self,
        part: Part,
        name: &str,
        run: impl Fn(Host) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending,
    {
        let (name, place) = (name.to_owned(), Location::caller());
        self.members.push(Member { name, part, run: program(run), instances: None, place });
        self
    }

    /// Runs the program that was added last on this many hosts, each with its own disk and clock:
    /// `app-1`, `app-2`, …. A fault that names `app` strikes one of them, `all of app` all;
    /// [`History::notes`] of `app` has the remarks of all.
    ///
    /// # Panics
    /// When no client or service was added before, or the number is not 1 to 1000.
    #[track_caller]
    pub fn instances(mut self, instances: u32) -> Self {
        assert!(
            (1..=MAX_INSTANCES).contains(&instances),
            "`.instances({instances})`: expected 1 to {MAX_INSTANCES}"
        );
        match self.members.last_mut() {
            Some(member) if member.part != Part::Driver => member.instances = Some(instances),
            _ => panic!(
                "`.instances({instances})` comes after the program that it is about: add \
                 `.client(…)` or `.service(…)` before it"
            ),
        }
        self
    }

    /// A fault, or a rhythm of faults.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Faults and loads as scenario files write them: `[[fault]]`, `[[schedule]]` and `[[load]]`
    /// tables. Loads that name no `topic` go to the first.
    #[track_caller]
    pub fn tables(mut self, toml: &str) -> Self {
        self.tables.push((toml.to_owned(), Location::caller()));
        self
    }

    /// A check that must hold when a run is over: a function of the test's own, or a ready-made one such
    /// as [`one_output_per_input`](super::one_output_per_input).
    #[track_caller]
    pub fn check<V: Display + 'static>(
        self,
        name: &str,
        check: impl Fn(&History) -> Result<(), V> + Send + Sync + 'static,
    ) -> Self {
        let check = Arc::new(check);
        self.checker(name, move || {
            let check = Arc::clone(&check);
            Whole(move |history: &History| check(history))
        })
    }

    /// A check that sees every event. Each run has a checker of its own.
    #[track_caller]
    pub fn checker<C: Checker>(
        mut self,
        name: &str,
        make: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self {
        let (name, place) = (name.to_owned(), Location::caller());
        self.exam.checks.push(Check { name, make: Arc::new(move || Box::new(make())), place });
        self
    }

    /// Fails a run that tests less than this, though all its checks hold. See [`Requirement`].
    #[track_caller]
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.exam.requirements.push((requirement, Location::caller()));
        self
    }

    /// An invariant or check that may break: the settings do not guarantee it.
    #[track_caller]
    pub fn allow(mut self, invariant: &str) -> Self {
        self.allows.push((invariant.to_owned(), Location::caller()));
        self
    }

    /// How long faults and loads last, in simulated time; 20 seconds by default.
    pub fn duration(mut self, duration: &str) -> Self {
        self.duration = duration.to_owned();
        self
    }

    /// How long after the last fault clients may take to end; a minute by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The seeds to run; `0..10` by default.
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Number of runs at a time; 1 by default, because tests already share the cores.
    pub fn jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = jobs;
        self
    }

    /// The engine; [`EngineKind::Leap`] by default.
    pub fn on(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// Runs every seed, and fails the test unless everything held in all of them.
    ///
    /// # Panics
    /// With the witness and the command that replays it, when something broke; when all runs together
    /// lack what is [required](Self::require); or when the simulation itself can't be understood.
    #[track_caller]
    pub fn assert_holds(self) {
        let report = self.run();
        assert!(report.verdict == Verdict::Held, "\n{}", report::failure_with_story(&report));
    }

    /// Runs every seed, and fails the test unless some seed breaks this invariant or check and none
    /// breaks another; gives the first that does. For what settings do not promise, and for
    /// proving that a check finds what it should find.
    ///
    /// Seeds that `BROKERQUAKE_SEED` chose need not break anything: then there is no witness.
    ///
    /// # Panics
    /// With the witness and the command that replays it, when something else broke, or nothing.
    #[track_caller]
    pub fn assert_breaks(mut self, invariant: &str) -> Option<Witness> {
        self.breaks.push((invariant.to_owned(), Location::caller()));
        let report = self.run();
        let few = chosen_seeds().is_some();
        let expected =
            report.verdict.is_expected() || few && report.verdict == Verdict::DidNotBreak;
        assert!(expected, "\n{}", report::failure_with_story(&report));
        report.witnesses.into_iter().find(|witness| witness.broken.invariant == invariant)
    }

    /// Runs every seed, and says what came of it. The first seed, and those that failed first, are
    /// run twice, and must go the same way.
    ///
    /// # Panics
    /// When the simulation itself can't be understood, or when all runs together lack what is
    /// [required over all seeds](Requirement::over_all_seeds).
    #[track_caller]
    pub fn run(self) -> Report {
        let test = std::thread::current().name().map(str::to_owned);
        let (scenario, company) = self.understood().unwrap_or_else(|problem| {
            panic!("the simulation `{}` can't be understood:\n{problem}", self.name)
        });
        let seeds = chosen_seeds().unwrap_or(self.seeds);
        let engine = self.engine;
        let sweep = Sweep { scenarios: vec![scenario], seeds, jobs: self.jobs, engine };
        let one = |scenario: &Scenario, seed: u64, watch: Option<&mut dyn FnMut(&str)>| {
            caught(seed, || run::accompanied(scenario, seed, engine, &company, watch))
        };
        let mut reports = sweep.run_by(&one, &mut ());
        assert_eq!(reports.len(), 1, "one scenario gives one report");
        let lacks = company.exam.lacks();
        assert!(lacks.is_empty() || chosen_seeds().is_some(), "\n{}", lacks.join("\n"));
        reports.remove(0).replayed_in(test.as_deref())
    }

    /// The scenario that this is, and the programs and checkers beside it.
    fn understood(&self) -> Result<(Scenario, Company), String> {
        if self.topics.is_empty() {
            let remedy = "add `.topic(\"orders\", |topic| topic.partitions(3))`";
            return Err(format!("  {}: it has no topic: {remedy}", self.place));
        }
        // A driver is outside of the cluster: no fault is about it.
        let inside = self.members.iter().filter(|member| member.part != Part::Driver);
        let names = inside.clone().map(|member| member.name.clone());
        let hosts = inside.clone().flat_map(|member| member.hosts());
        let mut programs: Vec<String> = hosts.map(|host| host.name.to_string()).collect();
        programs.extend(names);
        programs.sort();
        programs.dedup();
        self.check_names(&programs)?;
        let draft = self.draft();
        let names: Vec<&str> = programs.iter().map(String::as_str).collect();
        let parsed = Scenario::parse_among(&self.name, &draft.text, Some(&names));
        let mut scenario = parsed.map_err(|wrong| draft.explain(&wrong))?;
        scenario.story.clone_from(&self.name);
        let names =
            |named: &[(String, Place)]| named.iter().map(|(name, _)| name.clone()).collect();
        scenario.expect.breaks = names(&self.breaks);
        scenario.expect.allows = names(&self.allows);
        let company = Company {
            members: self.members.clone(),
            exam: self.exam.clone(),
            patience: self.patience,
            tells: AtomicBool::new(asks_for_one_seed()),
        };
        Ok((scenario, company))
    }

    fn check_names(&self, programs: &[String]) -> Result<(), String> {
        let members = self.members.iter();
        check_programs(members.map(|one| (one.name.as_str(), one.part, one.place)))?;
        let hosts: Vec<_> = self
            .members
            .iter()
            .flat_map(|member| {
                let hosts = member.hosts().into_iter();
                hosts.map(|host| (host.name, member.part, member.place))
            })
            .collect();
        check_programs(hosts.iter().map(|(name, part, place)| (&**name, *part, *place)))?;
        let own = self.exam.checks.iter().map(|check| (check.name.as_str(), check.place));
        let named = self.breaks.iter().chain(&self.allows);
        check_checks(own, named.map(|(name, place)| (name.as_str(), *place)))?;
        let topics: Vec<_> = self.topics.iter().map(|topic| topic.name.clone()).collect();
        let brokers = (1..=self.brokers).map(|number| format!("b{number}"));
        let nodes = brokers.chain(["c1".to_owned()]).chain(programs.iter().cloned());
        let hosts: Vec<_> = nodes.collect();
        let names = Names { topics: &topics, hosts: &hosts, programs };
        for (requirement, place) in &self.exam.requirements {
            requirement.check(&names).map_err(|wrong| format!("  {place}: {wrong}"))?;
        }
        Ok(())
    }

    /// As a scenario file.
    fn draft(&self) -> Draft {
        let mut draft = Draft::new(self.place);
        draft.pair("name", &slug(&self.name));
        draft.pair("duration", &self.duration);
        draft.line("[cluster]");
        draft.line(&format!("brokers = {}", self.brokers));
        for (key, value, place) in &self.cluster {
            draft.at(place);
            draft.pair(key, value);
        }
        let title = if self.topics.len() > 1 { "[[topic]]" } else { "[topic]" };
        for topic in &self.topics {
            draft.at(topic.place);
            draft.line(title);
            draft.pair("name", &topic.name);
            draft.line(&format!("partitions = {}", topic.partitions));
            draft.line(&format!("replication.factor = {}", topic.replication_factor));
            topic.settings.iter().for_each(|(key, value)| draft.pair(key, value));
        }
        for fault in &self.faults {
            draft.at(fault.place());
            draft.line(fault.to_toml().trim_end());
        }
        for (tables, place) in &self.tables {
            draft.at(place);
            draft.line(tables);
        }
        draft.at(self.place);
        draft.line("[expect]");
        draft.line("holds = [\"*\"]");
        draft
    }
}
