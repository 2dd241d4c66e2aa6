//! One cell: a way to deliver records and a fault, as a scenario that can be read, run and replayed.

use super::Delivery;
use crate::base::config::Acks;
use crate::lab::matrix::{self, Flush, Grid, Misfortune, Settings};

/// What every cell sets, and why: `[cluster]` keys with their values.
const CLUSTER: [(&str, &str); 6] = [
    ("broker.heartbeat.interval.ms", "300"),
    ("broker.session.timeout.ms", "1500"),
    ("replica.lag.time.max.ms", "2000"),
    // For `__consumer_offsets`, which has no key of its own.
    ("min.insync.replicas", "2"),
    ("group.min.session.timeout.ms", "1000"),
    ("group.initial.rebalance.delay.ms", "300"),
];

/// What clients may see broken once committed records are lost: also the state of producers, of
/// transactions and of groups. Other transactions take the offsets of lost ones, which looks like G0.
const AFTER_LOSS: [&str; 14] = [
    "acked-write-lost",
    "acked-write-unseen",
    "inconsistent-offset",
    "dirty-read",
    "high-watermark-monotonic",
    "duplicate",
    "send-reorder",
    "torn-transaction",
    "aborted-read",
    "g0",
    "input-output-mismatch",
    "commit-rewound",
    "processed-at-least-once",
    "processed-at-most-once",
];

/// What every cell assumes, in one sentence.
pub(super) fn assumptions() -> String {
    let [heartbeat, session, lag, ..] = CLUSTER.map(|(key, value)| format!("{key}={value}"));
    format!(
        "Assumed in every cell: acks=all, replication factor 3, min.insync.replicas=2 (internal topics \
         too), page cache, no unclean election; two partitions, transactions over both, a tenth of \
         them aborted; faults noticed within seconds ({heartbeat}, {session}, {lag}); a power loss \
         takes all that was not synced; a zombie is paused for 4 to 5 s, at least twice the session of \
         a member."
    )
}

/// A column: a fault of brokers, or of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A fault of the table about durability.
    Brokers(Misfortune),
    /// A client is paused while another one takes its place, and comes back.
    Zombie,
    /// Brokers carry out what clients ask, and no answer reaches a client.
    LostReplies,
}

impl Trouble {
    /// All of them, in the order of columns.
    pub const ALL: [Self; 10] = {
        let [kill, power, two, all, alone, alone_kill, cut, rack] = Misfortune::ALL;
        [
            Self::Zombie,
            Self::LostReplies,
            Self::Brokers(kill),
            Self::Brokers(power),
            Self::Brokers(cut),
            Self::Brokers(alone),
            Self::Brokers(alone_kill),
            Self::Brokers(two),
            Self::Brokers(all),
            Self::Brokers(rack),
        ]
    };

    /// The name used in cell names and column heads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brokers(misfortune) => misfortune.name(),
            Self::Zombie => "zombie",
            Self::LostReplies => "lost-replies",
        }
    }

    /// A description for reports.
    pub fn what(self) -> &'static str {
        match self {
            Self::Brokers(misfortune) => misfortune.what(),
            Self::Zombie => "a client is paused until another has taken its place, and comes back",
            Self::LostReplies => {
                "requests of clients arrive, and no answer comes back for longer than clients wait for one"
            }
        }
    }

    /// The fault rules of a scenario.
    fn rules(self, delivery: Delivery) -> String {
        match self {
            Self::Brokers(misfortune) => misfortune.rules(),
            Self::Zombie => {
                let letter = match delivery {
                    Delivery::ReadCommitted | Delivery::ReadUncommitted => "p",
                    _ => "k",
                };
                let pause = |number: u8, at: &str| {
                    format!(
                        "[[fault]]\nkind = \"pause\"\ntarget = \"{letter}{number}\"\nat = \"{at}\"\n\
                         down = \"4s..5s\"\n\n"
                    )
                };
                // First one client, then the other.
                pause(1, "3s..4s") + &pause(2, "10s..11s")
            }
            Self::LostReplies => {
                let cut = |at: &str| {
                    format!(
                        "[[fault]]\nkind = \"partition\"\nfrom = \"all\"\nto = \"clients\"\n\
                         one-way = true\nat = \"{at}\"\ndown = \"3s..4s\"\n\n"
                    )
                };
                cut("3s..4s") + &cut("10s..11s")
            }
        }
    }
}

/// A way to deliver records under a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The row.
    pub delivery: Delivery,
    /// The column.
    pub trouble: Trouble,
}

impl Cell {
    /// The cell, or `None` if it makes no sense: without a `transactional.id` or a group no client takes
    /// another's place.
    pub fn new(delivery: Delivery, trouble: Trouble) -> Option<Self> {
        let sense = trouble != Trouble::Zombie || delivery.zombie().is_some();
        sense.then_some(Self { delivery, trouble })
    }

    /// Whether acks=all, three copies and min.insync.replicas=2 survive the fault.
    pub(super) fn keeps_acknowledged(&self) -> bool {
        let Trouble::Brokers(misfortune) = self.trouble else { return true };
        let settings = Settings {
            acks: Acks::All,
            replication_factor: 3,
            min_insync: 2,
            flush: Flush::NEVER,
            unclean: false,
        };
        matrix::Cell::new(settings, misfortune).is_some_and(|cell| cell.promised())
    }

    /// The text of its scenario, with this name.
    pub(super) fn toml(&self, name: &str) -> String {
        let Self { delivery, trouble } = self;
        let lost: &[&str] = if self.keeps_acknowledged() { &[] } else { &AFTER_LOSS };
        let mut allows: Vec<_> = delivery.allows().iter().chain(lost).collect();
        allows.sort();
        allows.dedup();
        let allows = if allows.is_empty() {
            String::new()
        } else {
            let names: Vec<_> = allows.iter().map(|name| format!("\"{name}\"")).collect();
            format!(
                "# Not promised: whether a seed shows it is what the matrix counts.\nallows = [{}]\n",
                names.join(", ")
            )
        };
        format!(
            "# {row}:\n# {what}.\nname = \"matrix-{name}\"\nduration = \"18s\"\n\n\
             # Faults are noticed within seconds, so that the run is short.\n\
             [cluster]\nbrokers = 3\n{cluster}\n{loads}{rules}\n[expect]\nholds = [\"*\"]\n{allows}",
            row = delivery.what(),
            what = trouble.what(),
            cluster = CLUSTER.map(|(key, value)| format!("{key} = {value}\n")).concat(),
            loads = delivery.loads(*trouble == Trouble::Zombie),
            rules = trouble.rules(*delivery),
        )
    }
}
