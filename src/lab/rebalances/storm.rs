//! One cell: a way to be a member under a storm, as a scenario that can be read, run and replayed.

use std::path::Path;

use serde::Serialize;

use crate::scenario::{Scenario, ScenarioError};

/// The directory for the scenarios of cells, in that of the reports.
const CELLS: &str = "rebalances";
/// Partitions that the members of a cell share.
pub const PARTITIONS: u32 = 6;

/// How members share partitions: the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Strategy {
    /// Classic protocol, range assignor: a rebalance revokes every partition
    Eager,
    /// Classic protocol, cooperative-sticky assignor: a rebalance revokes only what moves
    Cooperative,
    /// Classic protocol, range assignor, each member with a group.instance.id (KIP-345)
    Static,
    /// The consumer protocol of KIP-848, uniform assignor on the broker
    Consumer,
}

impl Strategy {
    /// All strategies, in the order of rows.
    pub const ALL: [Self; 4] = [Self::Eager, Self::Cooperative, Self::Static, Self::Consumer];

    /// The name in cells and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Cooperative => "cooperative",
            Self::Static => "static",
            Self::Consumer => "consumer",
        }
    }

    /// The settings that make the difference, by Kafka's names.
    pub fn settings(self) -> &'static str {
        match self {
            Self::Eager => "partition.assignment.strategy=range",
            Self::Cooperative => "partition.assignment.strategy=cooperative-sticky",
            Self::Static => "partition.assignment.strategy=range, group.instance.id set",
            Self::Consumer => "group.protocol=consumer",
        }
    }

    /// Its keys of a `group` load. Sessions last equally long in all; the consumer protocol takes
    /// them from the broker.
    fn keys(self) -> &'static str {
        match self {
            Self::Eager => {
                "partition.assignment.strategy = \"range\"\nsession.timeout.ms = 6000\n\
                 heartbeat.interval.ms = 1000\n"
            }
            Self::Cooperative => {
                "partition.assignment.strategy = \"cooperative-sticky\"\n\
                 session.timeout.ms = 6000\nheartbeat.interval.ms = 1000\n"
            }
            Self::Static => {
                "partition.assignment.strategy = \"range\"\nstatic = true\n\
                 session.timeout.ms = 6000\nheartbeat.interval.ms = 1000\n"
            }
            Self::Consumer => "group.protocol = \"consumer\"\n",
        }
    }
}

/// What disturbs the group: a table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Storm {
    /// Half of the members leave and come back, again and again
    Waves,
    /// Each member is killed in turn, and is back 2 s later
    RollingRestart,
    /// Members are paused for longer than their session timeout
    Pauses,
    /// Members do not poll for longer than max.poll.interval.ms
    SlowPolls,
    /// The broker that coordinates the group is killed, again and again
    CoordinatorKills,
    /// The brokers are restarted in turn
    BrokerRestarts,
}

impl Storm {
    /// All storms, in the order of the report.
    pub const ALL: [Self; 6] = [
        Self::Waves,
        Self::RollingRestart,
        Self::Pauses,
        Self::SlowPolls,
        Self::CoordinatorKills,
        Self::BrokerRestarts,
    ];

    /// The name in cells and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waves => "waves",
            Self::RollingRestart => "rolling-restart",
            Self::Pauses => "pauses",
            Self::SlowPolls => "slow-polls",
            Self::CoordinatorKills => "coordinator-kills",
            Self::BrokerRestarts => "broker-restarts",
        }
    }

    /// What happens, in one sentence.
    pub fn what(self) -> &'static str {
        match self {
            Self::Waves => "Two of four members stay 4 to 8 s, are away 1 to 3 s, and come back.",
            Self::RollingRestart => {
                "Each of four members is killed in turn, 8 s apart, and is back after 2 s."
            }
            Self::Pauses => {
                "Members are paused for 7 to 9 s, longer than their session timeout of 6 s."
            }
            Self::SlowPolls => {
                "Two of four members stop polling for 6 to 10 s; max.poll.interval.ms is 5 s."
            }
            Self::CoordinatorKills => {
                "The broker that coordinates the group is killed for 2 to 4 s, every 7 to 10 s."
            }
            Self::BrokerRestarts => "Each of three brokers is restarted in turn.",
        }
    }

    /// Keys of the two members that it is about, if it disturbs them by what they do.
    fn habits(self) -> &'static str {
        match self {
            Self::Waves => "stays = \"4s..8s\"\naway = \"1s..3s\"\n",
            Self::SlowPolls => "stall.every = \"4s..8s\"\nstall.lasts = \"6s..10s\"\n",
            _ => "",
        }
    }

    fn rules(self) -> String {
        match self {
            Self::Waves | Self::SlowPolls => String::new(),
            Self::RollingRestart => (1..=4)
                .map(|member| {
                    format!(
                        "[[fault]]\nkind = \"kill\"\ntarget = \"k{member}\"\nat = \"{}s\"\n\
                         down = \"2s\"\n\n",
                        8 * member
                    )
                })
                .collect(),
            Self::Pauses => ["k1", "k3"]
                .map(|member| {
                    format!(
                        "[[fault]]\nkind = \"pause\"\ntarget = \"{member}\"\n\
                         every = \"12s..18s\"\ndown = \"7s..9s\"\n\n"
                    )
                })
                .concat(),
            Self::CoordinatorKills => "[[fault]]\nkind = \"kill\"\ntarget = \"coordinator\"\n\
                 every = \"7s..10s\"\ndown = \"2s..4s\"\n\n"
                .to_owned(),
            Self::BrokerRestarts => "[[fault]]\nkind = \"rolling-restart\"\nat = \"8s\"\n\
                 down = \"2s\"\n\n"
                .to_owned(),
        }
    }
}

/// A strategy under a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The table.
    pub storm: Storm,
    /// The row.
    pub strategy: Strategy,
}

impl Cell {
    /// The cells of these tables and rows, in order.
    pub fn all(storms: &[Storm], strategies: &[Strategy]) -> Vec<Self> {
        let rows = |storm: &Storm| {
            let storm = *storm;
            strategies.iter().map(move |strategy| Self { storm, strategy: *strategy })
        };
        storms.iter().flat_map(rows).collect()
    }

    /// Its name: `waves-eager`.
    pub fn name(self) -> String {
        format!("{}-{}", self.storm.name(), self.strategy.name())
    }

    /// The file for its scenario, in this directory of reports.
    pub fn file(self, reports: &Path) -> String {
        reports.join(CELLS).join(format!("{}.toml", self.name())).display().to_string()
    }

    /// The text of its scenario.
    pub fn to_toml(self) -> String {
        let (keys, habits) = (self.strategy.keys(), self.storm.habits());
        let load = |comment: &str, habits: &str| {
            format!(
                "{comment}[[load]]\nkind = \"group\"\nclients = 2\ncommit = \"after\"\n\
                 processing = \"1ms..5ms\"\n{habits}group.id = \"shop\"\n\
                 max.poll.interval.ms = 5000\n{keys}\n"
            )
        };
        let members = if habits.is_empty() {
            load("", "").replace("clients = 2", "clients = 4")
        } else {
            load("# These stay.\n", "") + &load("# These are the storm.\n", habits)
        };
        format!(
            "# {what}\n# {settings}.\n\
             name = \"rebalances-{name}\"\nduration = \"45s\"\n\n\
             [cluster]\nbrokers = 3\ncontrollers = 1\nbroker.heartbeat.interval.ms = 500\n\
             broker.session.timeout.ms = 3000\nreplica.lag.time.max.ms = 4000\n\
             group.consumer.min.session.timeout.ms = 6000\n\
             group.consumer.session.timeout.ms = 6000\n\
             group.consumer.min.heartbeat.interval.ms = 1000\n\
             group.consumer.heartbeat.interval.ms = 1000\n\n\
             [topic]\nname = \"orders\"\npartitions = {PARTITIONS}\nreplication.factor = 3\n\
             min.insync.replicas = 2\n\n\
             [[load]]\nkind = \"producer\"\nclients = 1\nrate = \"60/s\"\nrecord.size = 100\n\
             acks = \"all\"\nrequest.timeout.ms = 4000\ndelivery.timeout.ms = 15000\n\n\
             {members}{rules}[expect]\nholds = [\"*\"]\nallows = [\"processed-at-most-once\"]\n",
            what = self.storm.what(),
            settings = self.strategy.settings(),
            name = self.name(),
            rules = self.storm.rules(),
        )
    }

    /// Its scenario, as a file in this directory of reports.
    pub fn scenario_in(self, reports: &Path) -> Result<Scenario, ScenarioError> {
        Scenario::parse(&self.file(reports), &self.to_toml())
    }
}
