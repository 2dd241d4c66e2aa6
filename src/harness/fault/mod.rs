//! Faults as a test writes them: typed, or in the words of scenario files.

mod values;

use std::fmt;
use std::panic::Location;

pub use values::{Moment, Numbers, Target, Times, Unsynced};

/// A fault: what happens, to whom, and when.
///
/// One without `at` and `every` strikes once, at a time that the seed draws. Targets, times and numbers
/// are typed or in the words of scenario files: see [`Target`], [`Times`] and [`Numbers`]. What a kind
/// of fault does not know is refused when the simulation begins, with the line that says it.
///
/// ```
/// use std::time::Duration;
/// use brokerquake::prelude::*;
///
/// let fault = Fault::kill("leader").every("5s..15s").down("1s..8s");
/// assert_eq!(fault.to_string(), "kill target=leader every=5s..15s down=1s..8s");
///
/// let second = Duration::from_secs(1);
/// let fault = Fault::power_loss("app").before_disk_operation(0..40).every(second..3 * second);
/// assert_eq!(fault.to_string(), "power-loss target=app operation=0..39 every=1s..3s");
///
/// let fault = Fault::pause("coordinator of billing").when(Moment::Rebalance).down(second);
/// assert_eq!(
///     fault.to_string(),
///     "pause target=coordinator of billing during=rebalance down=1s"
/// );
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault strikes when a simulation has it"]
pub struct Fault {
    kind: String,
    keys: Vec<(String, Vec<String>)>,
    /// Where the test says it.
    place: &'static Location<'static>,
}

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.keys) == (&other.kind, &other.keys)
    }
}

impl Eq for Fault {}

/// What strikes.
impl Fault {
    /// A fault of any kind that scenario files know; `with` gives it what it needs.
    #[track_caller]
    pub fn of_kind(kind: &str) -> Self {
        Self { kind: kind.to_owned(), keys: Vec::new(), place: Location::caller() }
    }

    /// The process dies; what it wrote stays in the page cache.
    #[track_caller]
    pub fn kill(target: impl Into<Target>) -> Self {
        Self::of_kind("kill").aimed("target", target)
    }

    /// The machine loses power, and with it a drawn part of its unsynced data. See
    /// [`before_disk_operation`](Self::before_disk_operation) and [`unsynced`](Self::unsynced).
    #[track_caller]
    pub fn power_loss(target: impl Into<Target>) -> Self {
        Self::of_kind("power-loss").aimed("target", target)
    }

    /// The process stops, and later continues without knowing.
    #[track_caller]
    pub fn pause(target: impl Into<Target>) -> Self {
        Self::of_kind("pause").aimed("target", target)
    }

    /// The process is asked to end (SIGTERM), and boots again.
    #[track_caller]
    pub fn restart(target: impl Into<Target>) -> Self {
        Self::of_kind("restart").aimed("target", target)
    }

    /// The host is cut off from all other hosts, both ways.
    #[track_caller]
    pub fn isolate(target: impl Into<Target>) -> Self {
        Self::of_kind("isolate").aimed("target", target)
    }

    /// Bytes between the two sides don't arrive; with [`one_way`](Self::one_way), only those from the
    /// first to the second.
    #[track_caller]
    pub fn partition(from: impl Into<Target>, to: impl Into<Target>) -> Self {
        Self::of_kind("partition").aimed("from", from).aimed("to", to)
    }

    /// Bytes between the two sides arrive late: give it a [`latency`](Self::latency), a
    /// [`bandwidth`](Self::bandwidth) or a [`loss`](Self::loss).
    #[track_caller]
    pub fn slow_link(from: impl Into<Target>, to: impl Into<Target>) -> Self {
        Self::of_kind("slow-link").aimed("from", from).aimed("to", to)
    }

    /// Everything that the disk does takes `factor` times as long.
    #[track_caller]
    pub fn slow_disk(target: impl Into<Target>, factor: impl Into<Numbers>) -> Self {
        Self::of_kind("slow-disk").aimed("target", target).with("factor", &factor.into().0)
    }

    /// Every sync hangs for this long.
    #[track_caller]
    pub fn disk_stall(target: impl Into<Target>, stall: impl Into<Times>) -> Self {
        Self::of_kind("disk-stall").aimed("target", target).with("stall", &stall.into().0)
    }

    /// Nothing more fits on the disk (`ENOSPC`).
    #[track_caller]
    pub fn disk_full(target: impl Into<Target>) -> Self {
        Self::of_kind("disk-full").aimed("target", target)
    }

    /// The next syncs fail (`EIO`), and what they should have made durable may be lost.
    #[track_caller]
    pub fn failing_syncs(target: impl Into<Target>, syncs: impl Into<Numbers>) -> Self {
        Self::of_kind("disk-error").aimed("target", target).with("syncs", &syncs.into().0)
    }

    /// The next writes are short, or fail.
    #[track_caller]
    pub fn failing_writes(target: impl Into<Target>, writes: impl Into<Numbers>) -> Self {
        Self::of_kind("disk-error").aimed("target", target).with("writes", &writes.into().0)
    }

    /// The date of the host jumps by this much, into the future unless [`back`](Self::back).
    #[track_caller]
    pub fn clock_jump(target: impl Into<Target>, by: impl Into<Times>) -> Self {
        Self::of_kind("clock-jump").aimed("target", target).with("by", &by.into().0)
    }
}

/// When it strikes, and how long it lasts.
impl Fault {
    /// When it strikes first, counted from the boot of the programs.
    pub fn at(self, at: impl Into<Times>) -> Self {
        self.with("at", &at.into().0)
    }

    /// How long from one strike to the next.
    pub fn every(self, every: impl Into<Times>) -> Self {
        self.with("every", &every.into().0)
    }

    /// Most strikes.
    pub fn count(self, count: u64) -> Self {
        self.with("count", &count.to_string())
    }

    /// How long it lasts; until the end of all faults by default.
    pub fn down(self, down: impl Into<Times>) -> Self {
        self.with("down", &down.into().0)
    }

    /// Once it is due, it waits for the next such event.
    pub fn when(self, moment: Moment) -> Self {
        let (key, word) = moment.words();
        self.with(key, word)
    }

    /// How long after that event it strikes.
    pub fn delay(self, delay: impl Into<Times>) -> Self {
        self.with("delay", &delay.into().0)
    }

    /// Once it is due, it waits until earlier faults have ended and all replicas are in sync.
    pub fn when_settled(self) -> Self {
        self.with("when", "settled")
    }

    /// It is about this partition: its leader, its followers, its events. Partition 0 of the
    /// simulation's first topic by default.
    pub fn of(self, topic: &str, partition: i32) -> Self {
        self.with("topic", topic).with("partition", &partition.to_string())
    }
}

/// How it strikes.
impl Fault {
    /// A power loss strikes just before this disk operation of the host, counted from when it is due:
    /// `0..40` is one of the next forty. A host that has not come to it within a second loses power
    /// then.
    pub fn before_disk_operation(self, operation: impl Into<Numbers>) -> Self {
        self.with("operation", &operation.into().0)
    }

    /// What a power loss leaves of unsynced data; a drawn part by default.
    pub fn unsynced(self, unsynced: Unsynced) -> Self {
        self.with("survival", unsynced.word())
    }

    /// Of links: bytes from the second side to the first still travel.
    pub fn one_way(self) -> Self {
        self.with("one-way", "true")
    }

    /// Of a slow link: the one-way delay of each segment.
    pub fn latency(self, latency: impl Into<Times>) -> Self {
        self.with("latency", &latency.into().0)
    }

    /// Of a slow link: bytes per second, at least 1000.
    pub fn bandwidth(self, bytes_per_second: impl Into<Numbers>) -> Self {
        self.with("bandwidth", &bytes_per_second.into().0)
    }

    /// Of a slow link: the percentage of segments that have to be sent again, 1 to 90.
    pub fn loss(self, percent: impl Into<Numbers>) -> Self {
        self.with("loss", &percent.into().0)
    }

    /// Of a clock jump: into the past.
    pub fn back(self) -> Self {
        self.with("back", "true")
    }

    /// Any other key that scenario files know, with its value as there.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.keys.push((key.to_owned(), vec![value.to_owned()]));
        self
    }

    fn aimed(mut self, key: &str, target: impl Into<Target>) -> Self {
        self.keys.push((key.to_owned(), target.into().0));
        self
    }

    /// As a `[[fault]]` table.
    pub(super) fn to_toml(&self) -> String {
        let mut text = format!("[[fault]]\nkind = {}\n", quoted(&self.kind));
        for (key, values) in &self.keys {
            let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            let value = match values.as_slice() {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            };
            text.push_str(&format!("{} = {value}\n", quoted(key)));
        }
        text
    }

    pub(super) fn place(&self) -> &'static Location<'static> {
        self.place
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.keys.iter().try_for_each(|(key, values)| write!(f, " {key}={}", values.join(",")))
    }
}

/// A string, or a key, as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
