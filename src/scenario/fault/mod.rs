//! Kinds of faults: one file each, and one row each in the table below.
//!
//! A file says everything about its kind: how it is read and written, how the swarm draws it, whom
//! it strikes and how it ends, what it may cost, and how it shrinks. Nothing else matches on the
//! kind. To add one: write the file, declare the module, add its row.
//!
//! ```text
//! stage      what a fault may do to a run, and what the run asks of it
//! ends       links between two sides            burst     several strikes in a row
//! keys       values that several kinds read     any       arbitrary values, for tests
//! ```

mod stage;
mod keys;
mod ends;
mod burst;
#[cfg(test)]
pub(super) mod any;
#[cfg(test)]
mod tests;

mod clock_drift;
mod clock_jump;
mod dir_failure;
mod disk_corruption;
mod disk_error;
mod disk_full;
mod disk_lies;
mod disk_replaced;
mod disk_stall;
mod feature_updated;
mod flapping;
mod isolate;
mod kill;
mod leaders_elected;
mod messages;
mod partition;
mod partitions_added;
mod pause;
mod power_loss;
mod restart;
mod restart_storm;
mod rolling_restart;
mod slow_disk;
mod slow_link;
mod swizzle_clog;
mod topic_recreated;
mod wire_damage;

use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use super::document::{Problems, Section};
use super::draws::Draws;
use super::known::Known;
use super::writer::Writer;
use super::{Cluster, Moment, Notation, Range, Roles};

pub(crate) use stage::{
    Begins, ClockError, Cost, Fits, Hit, Reach, Scene, Stage, Strike, TopicChange, Turned,
};

use burst::Burst;
use ends::Ends;

/// Builds everything that has to know all kinds from the list of them.
macro_rules! kinds {
    ($($module:ident::$Kind:ident)*) => {
        $(pub(crate) use $module::$Kind;)*

        /// What a fault does, and to whom.
        #[derive(Clone, PartialEq)]
        pub struct Action(Kinds);

        #[derive(Clone, Debug, PartialEq)]
        enum Kinds { $($Kind($Kind)),* }

        $(impl From<$Kind> for Action {
            fn from(kind: $Kind) -> Self {
                Self(Kinds::$Kind(kind))
            }
        })*

        impl Action {
            /// As in `kind = "…"`.
            pub fn kind(&self) -> &'static str {
                match &self.0 { $(Kinds::$Kind(_) => $Kind::NAME),* }
            }

            /// Writes its own keys.
            pub(super) fn write(&self, out: &mut Writer) {
                match &self.0 { $(Kinds::$Kind(kind) => kind.write(out)),* }
            }

            /// Whether it strikes, or stands for several faults that do.
            pub(crate) fn nature(&self) -> Nature<'_> {
                match &self.0 { $(Kinds::$Kind(kind) => kind.nature()),* }
            }

            /// Strikes these instead, if that makes sense for its kind.
            pub(crate) fn retarget(&mut self, roles: Roles) {
                match &mut self.0 { $(Kinds::$Kind(kind) => kind.retarget(roles)),* }
            }

            /// Comes from another scenario: these are the log directories of the nodes here.
            pub(crate) fn move_to(&mut self, dirs: &[String]) {
                match &mut self.0 { $(Kinds::$Kind(kind) => kind.move_to(dirs)),* }
            }

            fn ranges(&mut self) -> Vec<Drawn<'_>> {
                match &mut self.0 { $(Kinds::$Kind(kind) => kind.ranges()),* }
            }
        }

        impl fmt::Debug for Action {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.0 { $(Kinds::$Kind(kind) => kind.fmt(f)),* }
            }
        }

        /// Every kind.
        const ROWS: &[Row] = &[$(Row {
            name: $Kind::NAME,
            weight: $Kind::WEIGHT,
            takes_moment: $Kind::TAKES_MOMENT,
            needs_cold_segments: $Kind::NEEDS_COLD_SEGMENTS,
            once: $Kind::ONCE,
            disturbs: $Kind::DISTURBS,
            parse: |section, known, problems| {
                $Kind::parse(section, known, problems).map(Action::from)
            },
            sample: $Kind::sample,
            #[cfg(test)]
            any: || proptest::strategy::Strategy::boxed(proptest::strategy::Strategy::prop_map($Kind::any(), Action::from)),
        }),*];
    };
}

// The swarm draws by weight in this order: a new row goes to the end.
kinds! {
    kill::Kill
    power_loss::PowerLoss
    pause::Pause
    restart::Restart
    rolling_restart::RollingRestart
    restart_storm::RestartStorm
    partition::Partition
    isolate::Isolate
    flapping::Flapping
    swizzle_clog::SwizzleClog
    slow_link::SlowLink
    slow_disk::SlowDisk
    disk_stall::DiskStall
    disk_full::DiskFull
    disk_error::DiskError
    disk_corruption::DiskCorruption
    clock_jump::ClockJump
    clock_drift::ClockDrift
    disk_lies::DiskLies
    dir_failure::DirFailure
    disk_replaced::DiskReplaced
    wire_damage::WireDamage
    topic_recreated::TopicRecreated
    partitions_added::PartitionsAdded
    messages::LateMessages
    messages::LostMessages
    feature_updated::FeatureUpdated
    leaders_elected::LeadersElected
}

/// One fault of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it is due, counted from the beginning of the load.
    pub at: Duration,
    /// What happens. Its ranges are drawn: each is one value.
    pub action: Action,
    /// The topic that it is about; the first when absent.
    pub topic: Option<String>,
    /// The partition whose leader and followers are meant.
    pub partition: i32,
    /// How long it lasts; until the end of all faults when absent.
    pub down: Option<Duration>,
    /// Whether it waits until the cluster has recovered from what came before.
    pub settled: bool,
    /// What it waits for once it is due.
    pub moment: Option<Moment>,
    /// Chooses among several hosts that fit a role.
    pub pick: u64,
}

/// What every kind of fault defines.
pub(crate) trait Kind: Sized {
    /// As in `kind = "…"`.
    const NAME: &'static str;
    /// How often the swarm draws it, relative to the others; 0: never.
    const WEIGHT: u64;
    /// Whether it may wait for an event (`on`, `after`, `during`).
    const TAKES_MOMENT: bool = true;
    /// Whether it strikes only where segments are rolled, so that the swarm makes them small.
    const NEEDS_COLD_SEGMENTS: bool = false;
    /// Whether a second one would find no host to strike, so that the swarm draws one.
    const ONCE: bool = false;
    /// Whether a node may end, or seem to have ended, so that leaders and ISRs change.
    const DISTURBS: bool = true;

    /// Reads its own keys.
    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self>;

    /// Writes its own keys, so that `parse` gives the same back.
    fn write(&self, out: &mut Writer);

    /// Whether it strikes, or stands for several faults that do.
    fn nature(&self) -> Nature<'_>;

    /// Ranges that a seed draws from before the run.
    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        Vec::new()
    }

    /// Strikes these instead. Kinds that may strike only hosts of their choice ignore it.
    fn retarget(&mut self, _roles: Roles) {}

    /// Comes from another scenario: these are the log directories of the nodes here.
    fn move_to(&mut self, _dirs: &[String]) {}

    /// Its own keys as the swarm draws them.
    fn sample(usual: Usual, _shape: &Shape, _draws: &mut Draws) -> String {
        usual.target
    }

    /// Any value of this kind that a file can hold.
    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self>;
}

/// What a fault of a kind is.
pub(crate) enum Nature<'a> {
    /// It strikes.
    Strike(&'a dyn Strike),
    /// It stands for several faults in a schedule.
    Series(&'a dyn Series),
}

/// A fault that a schedule spells out as several others.
pub(crate) trait Series {
    /// The kind of the others.
    fn made_of(&self) -> &'static str;

    /// The others. `whole` has the time, the duration and everything else that they share.
    fn expand(&self, whole: &Fault, cluster: &Cluster, random: &mut ChaCha12Rng) -> Vec<Fault>;
}

/// A range of a fault that a seed draws from before the run, with its key.
pub(crate) enum Drawn<'a> {
    Number(&'static str, &'a mut Range<u64>),
    Time(&'static str, &'a mut Range<Duration>),
}

impl Drawn<'_> {
    fn draw(self, random: &mut ChaCha12Rng) {
        match self {
            Self::Number(_, range) => *range = Range::just(range.draw(random)),
            Self::Time(_, range) => *range = Range::just(range.draw(random)),
        }
    }

    /// Its key, if it has not been drawn.
    fn open(self) -> Option<&'static str> {
        fn is_open<T: Notation + PartialEq>(range: &Range<T>) -> bool {
            range.low != range.high
        }
        match self {
            Self::Number(key, range) => is_open(range).then_some(key),
            Self::Time(key, range) => is_open(range).then_some(key),
        }
    }
}

/// Keys that the swarm draws for any kind, whether it has them or not, so that a change of one kind
/// shifts nothing of what follows.
pub(crate) struct Usual {
    /// `target`.
    pub target: String,
    /// `from`, `to` and `one-way`.
    pub link: String,
    /// `times` and `gap`.
    pub burst: String,
}

/// The cluster for which the swarm draws a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub brokers: u64,
    /// Fewest replicas of any topic's partitions.
    pub replicas: u64,
    /// `log.dirs`.
    pub dirs: Vec<String>,
    /// Whether clients are in groups.
    pub groups: bool,
    /// Whether clients write in transactions.
    pub transactions: bool,
}

impl Shape {
    /// One of `log.dirs`.
    pub fn dir(&self, draws: &mut Draws) -> &str {
        let last = self.dirs.len().saturating_sub(1) as u64;
        let index = usize::try_from(draws.number(0, last)).unwrap_or(0);
        self.dirs.get(index).map_or("/data", String::as_str)
    }

    /// `target` of a fault that must not strike the controller, which has the only copy of the
    /// metadata.
    pub fn broker(&self, draws: &mut Draws) -> String {
        let followers = if self.replicas > 1 { 20 } else { 0 };
        let choices = [(50, "leader"), (30, "any"), (followers, "isr-follower")];
        format!("target = \"{}\"\n", draws.weighted(&choices))
    }
}

/// A kind as the table has it.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub name: &'static str,
    pub weight: u64,
    pub takes_moment: bool,
    pub needs_cold_segments: bool,
    pub once: bool,
    pub disturbs: bool,
    parse: fn(&mut Section, &Known<'_>, &mut Problems) -> Option<Action>,
    pub sample: fn(Usual, &Shape, &mut Draws) -> String,
    #[cfg(test)]
    any: fn() -> proptest::strategy::BoxedStrategy<Action>,
}

/// Every kind of fault.
pub(crate) fn rows() -> &'static [Row] {
    ROWS
}

impl Action {
    /// Reads `kind` and the keys of that kind, with the kind's row.
    pub(super) fn parse(
        section: &mut Section,
        known: &Known<'_>,
        problems: &mut Problems,
    ) -> Option<(Self, &'static Row)> {
        if !section.has("kind") {
            let words: Vec<_> = ROWS.iter().map(|row| format!("`{}`", row.name)).collect();
            problems.add(section.line, format!("`kind` is missing: {}", words.join(", ")));
        }
        let words: Vec<_> = ROWS.iter().map(|row| (row.name, row)).collect();
        let row = section.word("kind", &words, problems)?.value;
        (row.parse)(section, known, problems).map(|action| (action, row))
    }

    /// The first key that is still a range though a schedule should have drawn it.
    pub(super) fn undrawn(&self) -> Option<&'static str> {
        self.clone().ranges().into_iter().find_map(Drawn::open)
    }

    /// The same with one value in the place of each range that is drawn before the run.
    pub(crate) fn drawn(&self, random: &mut ChaCha12Rng) -> Self {
        let mut action = self.clone();
        action.ranges().into_iter().for_each(|range| range.draw(random));
        action
    }

    /// Kind and target, as notes name it: `kill of leader`.
    pub(crate) fn title(&self) -> String {
        let kind = self.kind();
        match self.as_strike().map(|strike| strike.may_cost().reach) {
            Some(Reach::Hosts(target)) => format!("{kind} of {target}"),
            Some(Reach::Links(from, to)) => format!("{kind} between {from} and {to}"),
            None => kind.to_owned(),
        }
    }

    /// How it strikes; a series does not strike by itself.
    pub(crate) fn as_strike(&self) -> Option<&dyn Strike> {
        match self.nature() {
            Nature::Strike(strike) => Some(strike),
            Nature::Series(_) => None,
        }
    }
}
