//! A simulation as a test writes it.

use std::fmt::Display;
use std::future::Future;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::checker::{Makes, Whole};
use super::company::{Company, Member};
use super::fault::{Fault, quoted};
use super::host::{Ending, Host, program};
use super::{Checker, Cluster, History};
use crate::base::nearest;
use crate::check;
use crate::lab::sweep::Sweep;
use crate::lab::verdict::Witness;
use crate::lab::{Report, Verdict, report};
use crate::run::caught::caught;
use crate::run::part::Part;
use crate::run::{self, EngineKind};
use crate::scenario::seeds::{asks_for_one_seed, chosen_seeds};
use crate::scenario::{Role, Scenario};

/// How long faults last by default.
const DURATION: &str = "20s";
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
    cluster: Vec<(String, String)>,
    topics: Vec<Topic>,
    faults: Vec<Fault>,
    tables: String,
    members: Vec<Member>,
    checkers: Vec<(String, Makes)>,
    breaks: Vec<String>,
    allows: Vec<String>,
    patience: Duration,
    seeds: Range<u64>,
    jobs: NonZeroUsize,
    engine: EngineKind,
}

/// A topic as a simulation creates it.
#[derive(Clone, Debug)]
#[must_use = "a topic is created when a simulation has it"]
pub struct Topic {
    name: String,
    partitions: i32,
    replication_factor: i16,
    settings: Vec<(String, String)>,
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
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            brokers: 3,
            duration: DURATION.to_owned(),
            cluster: Vec::new(),
            topics: Vec::new(),
            faults: Vec::new(),
            tables: String::new(),
            members: Vec::new(),
            checkers: Vec::new(),
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
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.cluster.push((key.to_owned(), value.to_string()));
        self
    }

    /// A topic. Faults that name no `topic` are about the first one: its leader, its followers.
    pub fn topic(mut self, name: &str, describe: impl FnOnce(Topic) -> Topic) -> Self {
        let topic = Topic {
            name: name.to_owned(),
            partitions: 1,
            replication_factor: 1,
            settings: Vec::new(),
        };
        self.topics.push(describe(topic));
        self
    }

    /// A program on a host of its own, which comes to an end by itself: one that does not is
    /// `stuck`, one that ends with an error or a panic breaks the run.
    ///
    /// It restarts each time its host boots, so it can be killed and lose power like a
    /// broker where a fault names it. What it saved is still there then.
    pub fn client<F, R>(self, name: &str, run: impl Fn(Host) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending,
    {
        self.member(Part::Client, name, run)
    }

    /// A program that continues until it is asked to end: once all clients have ended and everything
    /// is healed. What has not ended 30 seconds later is killed, as its supervisor would.
    pub fn service<F, R>(self, name: &str, run: impl Fn(Host) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending,
    {
        self.member(Part::Service, name, run)
    }

    /// A driver: the test's own actions on the cluster, step by step. Faults continue until it ends.
    pub fn driver<F, R>(self, drive: impl Fn(Cluster) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: Ending,
    {
        let drivers = self.members.iter().filter(|member| member.part == Part::Driver).count();
        let name = format!("driver-{}", drivers + 1);
        self.member(Part::Driver, &name, move |host| drive(host.cluster()))
    }

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
        self.members.push(Member { name: name.to_owned(), part, run: program(run) });
        self
    }

    /// A fault, or a rhythm of faults.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Faults and loads as scenario files write them: `[[fault]]`, `[[schedule]]` and `[[load]]`
    /// tables. Loads that name no `topic` go to the first.
    pub fn tables(mut self, toml: &str) -> Self {
        self.tables.push('\n');
        self.tables.push_str(toml);
        self
    }

    /// A check that must hold when a run is over.
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
    pub fn checker<C: Checker>(
        mut self,
        name: &str,
        make: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self {
        self.checkers.push((name.to_owned(), Arc::new(move || Box::new(make()))));
        self
    }

    /// An invariant or check that may break: the settings do not guarantee it.
    pub fn allow(mut self, invariant: &str) -> Self {
        self.allows.push(invariant.to_owned());
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
    /// With the witness and the command that replays it, when something broke; or when the
    /// simulation itself can't be understood.
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
        self.breaks.push(invariant.to_owned());
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
    /// When the simulation itself can't be understood.
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
        reports.remove(0).replayed_in(test.as_deref())
    }

    /// The scenario that this is, and the programs and checkers beside it.
    fn understood(&self) -> Result<(Scenario, Company), String> {
        if self.topics.is_empty() {
            return Err(
                "it has no topic: add `.topic(\"orders\", |topic| topic.partitions(3))`".into()
            );
        }
        self.check_names()?;
        // A driver is outside of the cluster: no fault is about it.
        let inside = self.members.iter().filter(|member| member.part != Part::Driver);
        let programs: Vec<&str> = inside.map(|member| member.name.as_str()).collect();
        let text = self.to_toml();
        let parsed = Scenario::parse_among(&self.name, &text, Some(&programs));
        let mut scenario = parsed.map_err(|wrong| said(&wrong, &text))?;
        scenario.story.clone_from(&self.name);
        scenario.expect.breaks.clone_from(&self.breaks);
        scenario.expect.allows.clone_from(&self.allows);
        let (members, checkers) = (self.members.clone(), self.checkers.clone());
        let tells = AtomicBool::new(asks_for_one_seed());
        let company = Company { members, checkers, patience: self.patience, tells };
        Ok((scenario, company))
    }

    fn check_names(&self) -> Result<(), String> {
        let fits = |name: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let word =
                name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain);
            word && Role::read(name).is_none() && !name.starts_with("driver-") && name != "a1"
        };
        for (index, member) in self.members.iter().enumerate() {
            let name = &member.name;
            if member.part != Part::Driver && !fits(name) {
                let rule = "a host's name is of `a`–`z`, `0`–`9` and `-`, begins with a letter, and \
                            is no other host's and no role";
                return Err(format!("no program can be called `{name}`: {rule}"));
            }
            if self.members.iter().take(index).any(|other| other.name == *name) {
                return Err(format!("two programs are called `{name}`"));
            }
        }
        let own = self.checkers.iter().map(|(name, _)| name.as_str());
        let known = check::NAMES.iter().copied().chain(own);
        for (index, (name, _)) in self.checkers.iter().enumerate() {
            let before = self.checkers.iter().take(index);
            if check::NAMES.contains(&name.as_str())
                || before.clone().any(|(other, _)| other == name)
            {
                return Err(format!("two checks are called `{name}`"));
            }
        }
        for name in self.breaks.iter().chain(&self.allows) {
            if !known.clone().any(|known| known == name) {
                let near = nearest(name, known.clone());
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return Err(format!("there is no invariant or check `{name}`{hint}"));
            }
        }
        Ok(())
    }

    /// As a scenario file.
    fn to_toml(&self) -> String {
        let mut text = format!("name = {}\n", quoted(&slug(&self.name)));
        text.push_str(&format!("duration = {}\n", quoted(&self.duration)));
        text.push_str(&format!("[cluster]\nbrokers = {}\n", self.brokers));
        text.push_str(&pairs(&self.cluster));
        let title = if self.topics.len() > 1 { "[[topic]]" } else { "[topic]" };
        for topic in &self.topics {
            text.push_str(&format!("{title}\nname = {}\n", quoted(&topic.name)));
            text.push_str(&format!("partitions = {}\n", topic.partitions));
            text.push_str(&format!("replication.factor = {}\n", topic.replication_factor));
            text.push_str(&pairs(&topic.settings));
        }
        self.faults.iter().for_each(|fault| text.push_str(&fault.to_toml()));
        text.push_str(&self.tables);
        text.push_str(EXPECT);
        text
    }
}

const EXPECT: &str = "\n[expect]\nholds = [\"*\"]\n";

fn pairs(settings: &[(String, String)]) -> String {
    let line = |(key, value): &(String, String)| format!("{} = {}\n", quoted(key), quoted(value));
    settings.iter().map(line).collect()
}

/// A name as scenarios have them.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()).take(80) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "simulation".into() } else { slug.into() }
}

/// The problems, each with its line of text: the user has not seen the file that it is from.
fn said(wrong: &crate::scenario::ScenarioError, text: &str) -> String {
    let problems = wrong.problems.iter().map(|problem| {
        let line = text.lines().nth(problem.line.saturating_sub(1)).unwrap_or_default();
        format!("  {} (at `{line}`)", problem.message)
    });
    problems.collect::<Vec<_>>().join("\n")
}
