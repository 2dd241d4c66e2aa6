//! `transform`: members of a group that make one record of each that they read, in transactions with
//! the offsets that they have read up to, or with commits before or after.
//!
//! A transaction that fails is aborted, a producer that can't go on is replaced, and the group's
//! committed offsets say where to read on. Loads whose inputs are outputs of others form chains.
//!
//! Without transactions, an output is lost when its member dies between a commit and what follows it, or
//! doubled when it dies before the commit: the same clients show what exactly-once costs, and prevents.

use std::sync::Arc;
use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::entries::bounded;
use super::super::writer::Writer;
use super::effects::Effect;
use super::habits::{Commit, Habits, Shows, Task};
use super::reading::READ_COMMITTED;
use super::transacting::{Desk, Past};
use super::transactional::pause;
use super::transforming::{Client, Commits, PERCENT, POLL};
use super::{Kind, Processing, Promise, Seats, Settings, Share, Side, Smaller, settle};
use crate::base::config::{Config, ConfigError, ConsumerConfig, Foreign, Key, ProducerConfig};
use crate::client::check_consumer;
use crate::scenario::Range;
use crate::sim::{Boot, SimWorld};

/// Producers of these loads are numbered from here on: their clients' numbers are those of consumers.
const PRODUCERS: u32 = 10_000;
const ISOLATION: &str = "isolation.level";
/// Keys that mean nothing without transactions.
const OF_TRANSACTIONS: [&str; 5] =
    ["hold", "aborts", "generation", "transactional.id", "transaction.timeout.ms"];

/// Settings of a consumer and a producer. One that both have counts for both.
#[derive(Clone, Debug, Default, PartialEq)]
struct Both {
    reads: ConsumerConfig,
    writes: ProducerConfig,
}

impl Config for Both {
    const KEYS: &'static [Key] = ConsumerConfig::KEYS;
    const FOREIGN: &'static [&'static [Foreign]] = ConsumerConfig::FOREIGN;

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if ProducerConfig::knows(key) {
            self.writes.set(key, value)?;
            if !ConsumerConfig::knows(key) {
                return Ok(());
            }
        }
        self.reads.set(key, value)
    }

    fn get(&self, key: &str) -> Option<String> {
        self.reads.get(key).or_else(|| self.writes.get(key))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transform {
    /// The topic that it writes to.
    output: String,
    commits: Commits,
    /// How long it works on one record.
    processing: Range<Duration>,
    /// How long a transaction stays open after its records are stored.
    hold: Range<Duration>,
    /// The share of transactions that are aborted, in percent.
    aborts: u64,
    /// Whether coordinators are told the generation in which offsets were read (KIP-447).
    generation: bool,
    settings: Settings<Both>,
}

impl Kind for Transform {
    const NAME: &'static str = "transform";
    const SIDE: Side = Side::Consumes;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let line = section.line;
        let output = section.scalar("output", problems).map(|output| output.value);
        if output.is_none() {
            problems.add(line, "`output` is missing: the topic to write to");
        }
        let commits = section.word("commit", &Commits::WORDS, problems);
        let commits = commits.map_or(Commits::InTransaction, |commits| commits.value);
        let processing = pause(section, "processing", Range::just(Duration::ZERO), problems);
        if commits != Commits::InTransaction {
            for key in OF_TRANSACTIONS {
                let Some(line) = section.line_of(key) else { continue };
                let why = "it is of transactions: leave it out, or `commit`";
                problems
                    .add(line, format!("`{key}` beside `commit = \"{}\"`: {why}", commits.word()));
            }
        }
        let hold = pause(section, "hold", Range::just(Duration::ZERO), problems);
        let aborts = bounded(section, "aborts", (0, PERCENT), 0, problems);
        let generation = section.boolean("generation", problems).unwrap_or(true);
        if let Some(line) = section.line_of("enable.auto.commit") {
            let why = "offsets are committed in transactions: leave it out";
            problems.add(line, format!("`enable.auto.commit`: {why}"));
        }
        let settings = Settings::parse_checked(section, problems, |both: &Both| {
            check_consumer(&both.reads)?;
            both.with_id(1, commits).check()
        });
        if settings.config.reads.group_id.is_empty() {
            problems.add(line, "`group.id` is missing: a name, such as `\"billing\"`");
        }
        let output = output.unwrap_or_default();
        Self { output, commits, processing, hold, aborts, generation, settings }
    }

    fn write(&self, out: &mut Writer) {
        out.text("output", &self.output);
        if self.commits != Commits::InTransaction {
            out.text("commit", self.commits.word());
        }
        if self.processing != Range::just(Duration::ZERO) {
            out.range("processing", &self.processing);
        }
        if self.hold != Range::just(Duration::ZERO) {
            out.range("hold", &self.hold);
        }
        if self.aborts > 0 {
            out.plain("aborts", self.aborts);
        }
        if !self.generation {
            out.plain("generation", false);
        }
        self.settings.write(out);
    }

    fn promise(&self) -> Promise {
        let config = self.settings.config.with_id(1, self.commits);
        Promise {
            acks: Some(config.acks),
            idempotence: config.idempotent(),
            patience: Some(config.request_timeout),
            processing: Some(match self.commits {
                Commits::InTransaction => Processing::InTransactions,
                Commits::Before => Processing::AtMostOnce,
                Commits::After => Processing::AtLeastOnce,
            }),
        }
    }

    fn group(&self) -> Option<&str> {
        Some(&self.settings.config.reads.group_id)
    }

    fn transactional_id(&self) -> Option<String> {
        let config = self.settings.config.with_id(1, self.commits);
        Some(config.transactional_id).filter(|id| !id.is_empty())
    }

    fn output(&self) -> Option<&str> {
        Some(self.output.as_str()).filter(|output| !output.is_empty())
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let shows = match self.aborts > 0 {
            true => seats.expects(Self::SIDE.letter(), "aborts", "no transaction was aborted"),
            false => Effect::default(),
        };
        let output = seats.topics.iter().find(|topic| topic.name == self.output);
        let output = output.unwrap_or(seats.topic);
        let host = |number| {
            let Both { reads, .. } = self.settings.config.as_ref();
            let mut reads = settle(reads, number, seats.servers.clone());
            reads.enable_auto_commit.value = false;
            reads.enable_auto_commit.set = true;
            if !self.settings.written.iter().any(|(key, _)| key == ISOLATION) {
                reads.isolation_level = READ_COMMITTED.into();
            }
            let client = number - seats.first + 1;
            let mut writes = self.settings.config.with_id(client, self.commits);
            writes.bootstrap_servers.clone_from(&seats.servers);
            writes.client_id = format!("{}-producer", reads.client_id);
            let desk = Desk {
                number: PRODUCERS + number,
                config: writes,
                flaws: seats.flaws,
                past: Past::of(PRODUCERS + number),
                signals: seats.signals.clone(),
                stops: |signals| signals.stop_consuming,
            };
            let task = Task {
                number,
                topics: vec![seats.topic.name.as_str().into()],
                habits: without_habits(),
                shows: Shows::default(),
                config: reads,
                flaws: seats.flaws,
                commits: Arc::default(),
            };
            let client = Client {
                commits: self.commits,
                processing: self.processing,
                hold: self.hold,
                aborts: self.aborts,
                generation: self.generation,
                shows: shows.clone(),
                output: output.clone(),
                desk,
                task,
            };
            client.program()
        };
        seats.numbers().map(host).collect()
    }

    fn smaller(&self, way: Smaller, _share: Share) -> Vec<Self> {
        let mut ways = Vec::new();
        if way == Smaller::LowerRate {
            if self.aborts > 0 {
                ways.push(Self { aborts: 0, ..self.clone() });
            }
            if self.hold.high > Duration::ZERO {
                ways.push(Self { hold: Range::just(Duration::ZERO), ..self.clone() });
            }
            if self.processing.high > Duration::ZERO {
                ways.push(Self { processing: Range::just(Duration::ZERO), ..self.clone() });
            }
        }
        ways
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use crate::scenario::fault::any;
        use proptest::prelude::*;
        let keys = [("max.poll.records", "7"), ("transaction.timeout.ms", "9000")];
        let keys = proptest::option::of(proptest::sample::select(keys.to_vec()));
        let commits = proptest::sample::select(Commits::WORDS.map(|(_, commits)| commits).to_vec());
        let times = (any::times(), any::times());
        let parts = (commits, times, 0..=PERCENT, any::<bool>(), keys);
        let any = parts.prop_map(|(commits, (processing, hold), aborts, generation, pair)| {
            let is_transaction = commits == Commits::InTransaction;
            let (hold, aborts, generation) = match is_transaction {
                true => (hold, aborts, generation),
                false => (Range::just(Duration::ZERO), 0, true),
            };
            let pair = pair.filter(|(key, _)| is_transaction || !OF_TRANSACTIONS.contains(key));
            let mut pairs = vec![("group.id".to_owned(), "billing".to_owned())];
            pairs.extend(pair.map(|(key, value)| (key.to_owned(), value.to_owned())));
            let settings = Settings::of(pairs);
            let output = "orders".into();
            Self { output, commits, processing, hold, aborts, generation, settings }
        });
        any.boxed()
    }
}

impl Both {
    /// The settings of one client's producer. Clients are counted from 1, and each has an id of its own,
    /// which follows the group's name unless the file says another; without transactions it has none.
    fn with_id(&self, client: u32, commits: Commits) -> ProducerConfig {
        let mut writes = self.writes.clone();
        if commits != Commits::InTransaction {
            return writes;
        }
        let name = Some(&writes.transactional_id).filter(|name| !name.is_empty());
        let name = name.unwrap_or(&self.reads.group_id);
        writes.transactional_id = format!("{name}-{client}");
        writes
    }
}

/// Its members do nothing but read and transform.
fn without_habits() -> Habits {
    Habits {
        commit: Commit::Auto,
        processing: Range::just(Duration::ZERO),
        stalls: None,
        waves: None,
        pauses: None,
        never_revokes: false,
        worker: false,
        poll: POLL,
    }
}
