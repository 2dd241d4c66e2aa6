//! One cell: settings and a fault, as a scenario that can be read, run and replayed.

use super::settings::Settings;
use crate::base::config::{Acks, Setting};

/// The directory for the scenarios of cells, in that of the reports.
pub const CELLS: &str = "matrix";
/// The directory of the reports, unless another is asked for.
pub const REPORTS: &str = "reports";

/// What every cell sets besides its row, and why: `[cluster]` keys with their values.
const CLUSTER: [(&str, &str); 4] = [
    ("broker.heartbeat.interval.ms", "300"),
    ("broker.session.timeout.ms", "1500"),
    ("replica.lag.time.max.ms", "2000"),
    ("replica.fetch.min.bytes", "16384"),
];

/// What every cell assumes, in one sentence.
pub(super) fn assumptions() -> String {
    let [heartbeat, session, lag, fetch] = CLUSTER.map(|(key, value)| format!("{key}={value}"));
    format!(
        "Assumed in every cell: one partition, one producer of 200 records/s; busy followers, half a \
         second behind ({fetch}); faults noticed within seconds ({heartbeat}, {session}, {lag}); a \
         power loss takes all that was not synced."
    )
}

/// The faults: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfortune {
    /// The leader's process dies.
    LeaderKill,
    /// The leader's machine loses power.
    LeaderPower,
    /// The leader's machine and one in-sync follower's lose power at once.
    TwoPower,
    /// All machines lose power at once.
    AllPower,
    /// The followers are cut off from the leader and fall out of sync; then the leader loses power.
    AlonePower,
    /// As `AlonePower`, but the leader's process dies and stays down for long.
    AloneKill,
    /// The leader is cut off from followers and controller, while clients still reach it.
    LeaderCut,
    /// The machines of the leader and of one in-sync follower are lost with their disks.
    RackLost,
}

impl Misfortune {
    /// All faults, in the order of columns.
    pub const ALL: [Self; 8] = [
        Self::LeaderKill,
        Self::LeaderPower,
        Self::TwoPower,
        Self::AllPower,
        Self::AlonePower,
        Self::AloneKill,
        Self::LeaderCut,
        Self::RackLost,
    ];

    /// The name used in cell names and column heads.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderKill => "leader-kill",
            Self::LeaderPower => "leader-power",
            Self::TwoPower => "two-power",
            Self::AllPower => "all-power",
            Self::AlonePower => "alone-power",
            Self::AloneKill => "alone-kill",
            Self::LeaderCut => "leader-cut",
            Self::RackLost => "rack-lost",
        }
    }

    /// A description for reports.
    pub fn what(self) -> &'static str {
        match self {
            Self::LeaderKill => "the leader's process dies",
            Self::LeaderPower => "the leader's machine loses power",
            Self::TwoPower => "the leader and one in-sync follower lose power at once",
            Self::AllPower => "all brokers lose power at once",
            Self::AlonePower => {
                "the followers are cut off from the leader and fall out of sync, then the leader loses power"
            }
            Self::AloneKill => {
                "the followers are cut off from the leader and fall out of sync, then the leader's process dies and stays down"
            }
            Self::LeaderCut => {
                "the leader is cut off from its followers and the controller, while clients still reach it"
            }
            Self::RackLost => {
                "a rack with two of the replicas, the leader's among them, is lost with its disks; empty machines replace it"
            }
        }
    }

    /// How many of a partition's replicas lose power.
    fn without_power(self, copies: i32) -> i32 {
        match self {
            Self::LeaderKill | Self::AloneKill | Self::LeaderCut | Self::RackLost => 0,
            Self::LeaderPower | Self::AlonePower => 1,
            Self::TwoPower => copies.min(2),
            Self::AllPower => copies,
        }
    }

    /// Whether no in-sync replica can lead for a while.
    fn leaves_nobody_in_sync(self) -> bool {
        matches!(self, Self::AlonePower | Self::AloneKill | Self::AllPower)
    }

    /// How many of a partition's replicas lose their disks.
    fn without_disk(self) -> i32 {
        if self == Self::RackLost { 2 } else { 0 }
    }

    /// The smallest replication factor with which it makes sense. Of a rack with all replicas nothing
    /// would be left.
    fn least_copies(self) -> i16 {
        match self {
            Self::LeaderKill | Self::LeaderPower | Self::AllPower => 1,
            Self::TwoPower | Self::AlonePower | Self::AloneKill | Self::LeaderCut => 2,
            Self::RackLost => 3,
        }
    }

    /// The fault rules of a scenario. All unsynced data is lost, the worst outcome of a power loss,
    /// so that a row shows what is promised and not what survived by chance.
    pub(super) fn rules(self) -> String {
        let power = |target: &str, at: &str, down: &str| {
            format!(
                "[[fault]]\nkind = \"power-loss\"\ntarget = {target}\npartition = 0\n\
                 at = \"{at}\"\nsurvival = \"nothing\"\ndown = \"{down}\"\n"
            )
        };
        let kill = |at: &str, down: &str| {
            format!(
                "[[fault]]\nkind = \"kill\"\ntarget = \"leader\"\npartition = 0\n\
                 at = \"{at}\"\ndown = \"{down}\"\n"
            )
        };
        let alone = "[[fault]]\nkind = \"partition\"\nfrom = \"followers\"\nto = \"leader\"\n\
                     partition = 0\nat = \"1s\"\ndown = \"11s\"\n\n";
        match self {
            Self::LeaderKill => kill("3s..6s", "2s..3s"),
            Self::LeaderPower => power("\"leader\"", "3s..6s", "2s..3s"),
            Self::TwoPower => power("[\"leader\", \"isr-follower\"]", "3s..6s", "2s..3s"),
            Self::AllPower => power("\"all\"", "3s..6s", "1s..3s"),
            Self::AlonePower => format!("{alone}{}", power("\"leader\"", "5s..7s", "2s..3s")),
            Self::AloneKill => format!("{alone}{}", kill("5s..7s", "4s..5s")),
            Self::LeaderCut => "[[fault]]\nkind = \"partition\"\nfrom = \"leader\"\n\
                 to = [\"followers\", \"controller\"]\npartition = 0\n\
                 at = \"2s..3s\"\ndown = \"5s..7s\"\n"
                .to_owned(),
            Self::RackLost => "[[fault]]\nkind = \"disk-replaced\"\n\
                 target = [\"leader\", \"isr-follower\"]\npartition = 0\n\
                 at = \"3s..6s\"\ndown = \"2s..3s\"\n"
                .to_owned(),
        }
    }
}

/// Settings under a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The row.
    pub settings: Settings,
    /// The column.
    pub misfortune: Misfortune,
}

impl Cell {
    /// The cell, or `None` if it makes no sense: a single copy has no followers to cut off.
    pub fn new(settings: Settings, misfortune: Misfortune) -> Option<Self> {
        let sense = settings.replication_factor >= misfortune.least_copies();
        sense.then_some(Self { settings, misfortune })
    }

    /// Whether the settings promise that every acknowledged record survives the fault.
    ///
    /// Computed from the contract: acks=all with clean elections loses records only if at least
    /// `min.insync.replicas` replicas lose unsynced data, or their disks. acks=1 promises the same for a single
    /// copy. Records that are not promised may still survive: the table shows what was observed.
    pub(super) fn keeps_acknowledged(&self) -> bool {
        let Settings { acks, replication_factor, flush, unclean, .. } = self.settings;
        let copies = i32::from(replication_factor);
        let min_insync = self.settings.effective_min_insync();
        let on_disk = flush.covers_acks();
        match acks {
            Acks::None => false,
            Acks::Leader => copies == 1 && (on_disk || self.misfortune.without_power(copies) == 0),
            Acks::All => {
                let clean = !(unclean && copies > 1 && self.misfortune.leaves_nobody_in_sync());
                clean
                    && self.misfortune.without_disk() < min_insync
                    && (on_disk || self.misfortune.without_power(copies) < min_insync)
            }
        }
    }

    /// The text of its scenario, with this name.
    pub(super) fn toml(&self, name: &str) -> String {
        let settings = &self.settings;
        let brokers = settings.replication_factor.max(3);
        let mut flush = String::new();
        if let Some(messages) = settings.flush.messages {
            flush.push_str(&format!("flush.messages = {messages}\n"));
        }
        if let Some(ms) = settings.flush.ms {
            flush.push_str(&format!("flush.ms = {}\n", ms.as_millis()));
        }
        if settings.flush.before_ack {
            flush.push_str("flush.before.ack = true\n");
        }
        let scheduler = settings.flush.scheduler.map_or_else(String::new, |every| {
            format!("log.flush.scheduler.interval.ms = {}\n", every.as_millis())
        });
        let expect = if self.keeps_acknowledged() {
            "holds = [\"*\"]\n"
        } else {
            "# Not promised: whether a seed shows a loss is what the matrix counts.\nholds = [\"*\"]\n\
             allows = [\"acked-write-lost\", \"acked-write-unseen\", \"inconsistent-offset\", \
             \"dirty-read\", \"high-watermark-monotonic\"]\n"
        };
        format!(
            "# {sentence}:\n# {what}.\n\
             name = \"matrix-{name}\"\nduration = \"12s\"\n\n\
             # Followers are half a second behind, as busy ones are; faults are noticed within seconds,\n\
             # so that the run is short. Neither decides whether records are lost for good.\n\
             [cluster]\nbrokers = {brokers}\n{cluster}{scheduler}\n\
             [topic]\npartitions = 1\nreplication.factor = {copies}\n\
             min.insync.replicas = {min}\nunclean.leader.election.enable = {unclean}\n{flush}\n\
             [[load]]\nkind = \"producer\"\nclients = 1\nrate = \"200/s\"\nrecord.size = 100\n\
             acks = \"{acks}\"\nenable.idempotence = {idempotence}\n\
             request.timeout.ms = 2000\ndelivery.timeout.ms = 8000\n\n\
             [[load]]\nkind = \"consumer\"\nclients = 1\n\n\
             {rules}\n[expect]\n{expect}",
            sentence = settings.sentence(),
            what = self.misfortune.what(),
            copies = settings.replication_factor,
            min = settings.min_insync,
            unclean = settings.unclean,
            acks = settings.acks.show(),
            idempotence = settings.acks == Acks::All,
            rules = self.misfortune.rules(),
            cluster = CLUSTER.map(|(key, value)| format!("{key} = {value}\n")).concat(),
        )
    }
}
