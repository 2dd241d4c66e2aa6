//! Scenario files: a cluster, topics, loads, faults, and the expected outcome.
//!
//! ```text
//! document, value, role, event   TOML with line numbers, and the notations of values
//! entries, writer                keys that several sections read, and how they are written
//! fault/ load/ link              one file for each kind; links that are slow without a fault
//! disk, rule, parse, known       reading a file: everything that is wrong with it at once
//! write                          a scenario with its schedule spelled out, as a file
//! schedule                       the faults that a seed draws, before the run begins
//! draws, smaller                 weighted choices of the swarm, candidates of shrinking
//! seeds, files                   which seeds and which files a command means
//! ```

mod disk;
mod document;
mod draws;
mod entries;
mod event;
pub(crate) mod fault;
pub mod files;
mod known;
mod link;
pub(crate) mod load;
mod parse;
mod role;
mod rule;
pub mod schedule;
pub mod seeds;
pub(crate) mod smaller;
#[cfg(test)]
mod tests;
mod value;
mod write;
mod writer;

use std::sync::Arc;
use std::time::Duration;

pub use document::{Problem, ScenarioError};
pub(crate) use draws::Draws;
pub use event::{Event, Moment};
pub use fault::{Action, Fault};
pub use load::Load;
pub use role::{Role, Roles};
pub use schedule::Plan;
pub use value::{Notation, Range, Rate};

use self::load::Side;
use crate::base::Flaws;
use crate::base::config::{BrokerConfig, GroupConfig, NodeConfig, TxnConfig};
use crate::base::{TopicPartition, topics};
use crate::group;
use crate::sim::disk::DiskProfile;
use crate::txn;

/// Partitions of `__consumer_offsets`, unless the file says otherwise.
const OFFSETS_PARTITIONS: i32 = 4;

/// One scenario file, parsed and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Unique among the scenarios that run together; names the report.
    pub name: String,
    /// The file, as it was named: what a replay command says.
    pub file: String,
    /// The comment at the top of the file.
    pub story: String,
    /// How long loads and faults last, in simulated time.
    pub duration: Duration,
    /// The seed that shows what the file is about, where it is about one run.
    pub seed: Option<u64>,
    /// The nodes.
    pub cluster: Cluster,
    /// Cost and capacity of every node's disk without faults.
    pub disk: DiskProfile,
    /// At least one. The first is meant where a fault says nothing else.
    pub topics: Vec<Topic>,
    /// Producers and consumers.
    pub loads: Vec<Load>,
    /// Links that are slow all the time, after the last fault too.
    pub(crate) links: Vec<fault::SlowLink>,
    /// The rules that the schedule is drawn from.
    pub rules: Vec<Rule>,
    /// The schedule itself, if the file spells it out; rules are ignored then.
    pub schedule: Option<Vec<Fault>>,
    /// The expected outcome.
    pub expect: Expect,
    /// Pairs of the file for [`Scenario::to_toml`], so that a saved file sets no more than this one did.
    pub(super) written: Written,
    /// No key of a file sets these.
    pub(super) flaws: Flaws,
}

/// Kafka's keys as the file gives them, by section.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Written {
    pub(super) cluster: Vec<(String, String)>,
    pub(super) disk: Vec<(&'static str, u64)>,
}

impl Scenario {
    /// The same scenario with these flaws on every node and client. Only the final reader has none:
    /// what it reads is what is there.
    #[must_use]
    pub fn with_flaws(mut self, flaws: Flaws) -> Self {
        self.flaws = flaws;
        self
    }

    /// The topic of this name; the first without a name, or no such topic.
    pub(crate) fn topic(&self, name: Option<&str>) -> &Topic {
        topic_of(&self.topics, name)
    }

    /// The topics that some load writes to.
    pub(crate) fn written_topics(&self) -> impl Iterator<Item = &Topic> {
        let writes = |topic: &&Topic| {
            let mut loads = self.loads.iter();
            loads.any(|load| load.work.side() == Side::Produces && load.topic == topic.name)
        };
        self.topics.iter().filter(writes)
    }

    /// The settings of the group coordinator. Where the file says nothing, `__consumer_offsets` has few
    /// partitions: most of fifty would never be used, and cost more than everything else.
    pub(crate) fn group_config(&self) -> GroupConfig {
        let mut config = self.cluster.config.group.clone();
        let sets = |name: &str| self.written.cluster.iter().any(|(key, _)| key == name);
        if !sets("offsets.topic.num.partitions") {
            config.offsets_topic_num_partitions = OFFSETS_PARTITIONS;
        }
        if !sets("offsets.topic.replication.factor") {
            let brokers = i16::try_from(self.cluster.brokers).unwrap_or(i16::MAX);
            let copies = config.offsets_topic_replication_factor;
            config.offsets_topic_replication_factor = copies.min(brokers.max(1));
        }
        config
    }

    /// The settings of the transaction coordinator, where `__transaction_state` has as few partitions.
    pub(crate) fn txn_config(&self) -> TxnConfig {
        let mut config = self.cluster.config.txn.clone();
        let sets = |name: &str| self.written.cluster.iter().any(|(key, _)| key == name);
        if !sets("transaction.state.log.num.partitions") {
            config.transaction_state_log_num_partitions = OFFSETS_PARTITIONS;
        }
        if !sets("transaction.state.log.replication.factor") {
            let brokers = i16::try_from(self.cluster.brokers).unwrap_or(i16::MAX);
            let copies = config.transaction_state_log_replication_factor;
            config.transaction_state_log_replication_factor = copies.min(brokers.max(1));
        }
        if !sets("transaction.state.log.min.isr") {
            let copies = i32::from(config.transaction_state_log_replication_factor);
            let least = config.transaction_state_log_min_isr;
            config.transaction_state_log_min_isr = least.min(copies.max(1));
        }
        config
    }

    /// The partition whose leader coordinates the first transactional id of the file.
    pub(crate) fn transaction_coordinator(&self) -> Option<TopicPartition> {
        let id = self.loads.iter().find_map(|load| load.work.transactional_id())?;
        let partitions = self.txn_config().transaction_state_log_num_partitions;
        let index = txn::partition_of(&id, partitions);
        Some(TopicPartition::new(topics::TRANSACTION_STATE, index))
    }

    /// Whether any load writes in transactions.
    pub(crate) fn transacts(&self) -> bool {
        self.loads.iter().any(|load| load.work.transactional_id().is_some())
    }

    /// The partition whose leader coordinates the first group of the file.
    pub(crate) fn coordinator(&self) -> Option<TopicPartition> {
        let group = self.loads.iter().find_map(|load| load.work.group())?;
        let partitions = self.group_config().offsets_topic_num_partitions;
        let index = group::partition_of(group, partitions);
        Some(TopicPartition::new(topics::CONSUMER_OFFSETS, index))
    }

    /// The flaws of every node and client.
    pub fn flaws(&self) -> Flaws {
        self.flaws
    }
}

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// `b1`, `b2`, ….
    pub brokers: u16,
    /// `c1`, ….
    pub controllers: u16,
    /// Brokers are in racks `r1`, `r2`, …, in turn; 0: in those that the file names, or in none.
    pub racks: u16,
    /// The level of `transaction.version` with which the cluster begins; the newest unless set.
    pub transaction_version: Option<i16>,
    /// Settings that all nodes share.
    pub config: NodeConfig,
}

impl Cluster {
    /// The rack of the broker with this number, unless all are where the file says.
    pub(crate) fn rack_of(&self, number: u16) -> Option<String> {
        let rack = number.checked_sub(1)?.checked_rem(self.racks)? + 1;
        Some(format!("r{rack}"))
    }

    /// The nodes' `log.dirs`, on disks of their own: `/data` unless a scenario asks for more.
    pub fn log_dirs(&self) -> Vec<String> {
        match self.config.node.log_dirs == BrokerConfig::default().log_dirs {
            true => vec!["/data".into()],
            false => self.config.node.log_dirs.clone(),
        }
    }
}

/// `[topic]`, or one `[[topic]]` of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication_factor: i16,
    /// Number of distinct record keys; every tenth record is a tombstone. 0: records have no key.
    pub keys: u64,
    /// Settings at creation, by Kafka's names.
    pub config: Vec<(String, String)>,
}

impl Topic {
    /// The settings with which the topic is created, by Kafka's names.
    pub(crate) fn requested(&self) -> Vec<(&str, &str)> {
        let pairs = self.config.iter();
        pairs.map(|(key, value)| (accepted_key(key, value), value.as_str())).collect()
    }
}

/// The key by which Kafka accepts a topic's setting. `segment.bytes` has a minimum of 1 MiB, which
/// a simulated minute does not fill: a smaller value is one of the key for Kafka's own tests.
fn accepted_key<'a>(key: &'a str, value: &str) -> &'a str {
    let small = || value.parse().is_ok_and(|bytes: i32| (1..1 << 20).contains(&bytes));
    if key == "segment.bytes" && small() { "internal.segment.bytes" } else { key }
}

/// The topic of this name; the first without a name, or no such topic.
fn topic_of<'a>(topics: &'a [Topic], name: Option<&str>) -> &'a Topic {
    let named = topics.iter().find(|topic| Some(topic.name.as_str()) == name);
    // A scenario has at least one topic: reading one makes sure of that.
    named.unwrap_or(&topics[0])
}

impl Topic {
    /// Its partitions by name, in order.
    pub(crate) fn partition_names(&self) -> Vec<TopicPartition> {
        let name: Arc<str> = self.name.as_str().into();
        (0..self.partitions).map(|index| TopicPartition::new(name.clone(), index)).collect()
    }
}

/// One `[[fault]]`: a rule that faults are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The kind of fault, and its target.
    pub action: Action,
    /// The topic that it is about; the first when absent.
    pub topic: Option<String>,
    /// The partition whose leader and followers are meant; drawn for each fault when absent.
    pub partition: Option<Range<u64>>,
    /// When it strikes first, counted from the beginning of the load.
    pub at: Option<Range<Duration>>,
    /// The time from one strike to the next.
    pub every: Option<Range<Duration>>,
    /// Most strikes.
    pub count: Option<Range<u64>>,
    /// How long each lasts; until the end of all faults when absent.
    pub down: Option<Range<Duration>>,
    /// Whether it waits until the cluster has recovered from what came before.
    pub settled: bool,
    /// The event that it waits for once it is due, and the delay after that.
    pub moment: Option<(Event, Range<Duration>)>,
}

/// `[expect]`: each invariant must hold, must be seen to break, or may do either.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Expect {
    /// Must hold for every seed; `*` means every invariant that the other two don't name.
    pub holds: Vec<String>,
    /// Some seed must break it: the configuration does not guarantee it.
    pub breaks: Vec<String>,
    /// May break as a consequence of another break.
    pub allows: Vec<String>,
}

/// The expectation about one invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// No seed may break it.
    Holds,
    /// Some seed must break it.
    Breaks,
    /// It is not judged.
    Open,
}

impl Expect {
    /// The expectation about an invariant.
    pub fn of(&self, invariant: &str) -> Expectation {
        let names = |list: &[String]| list.iter().any(|name| name == invariant);
        if names(&self.breaks) {
            Expectation::Breaks
        } else if names(&self.allows) {
            Expectation::Open
        } else if names(&self.holds) || self.holds.iter().any(|name| name == "*") {
            Expectation::Holds
        } else {
            Expectation::Open
        }
    }

    /// In a few words, as the file says it.
    pub fn summary(&self) -> String {
        let part = |word: &str, list: &[String]| {
            (!list.is_empty()).then(|| format!("{word} {}", list.join(", ")))
        };
        let parts = [part("holds", &self.holds), part("breaks", &self.breaks)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
