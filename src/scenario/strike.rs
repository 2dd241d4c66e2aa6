//! Reads `[[fault]]` and `[[schedule]]`: what strikes, whom, and when.

use std::time::Duration;

use super::document::{At, Problems, Section, unknown};
use super::event::EVENTS;
use super::parse::bounded;
use super::schedule::{Fault, MAX_STRIKES};
use super::{
    Action, Burst, Cluster, Event, Load, Moment, Range, Role, Roles, Rule, Topic, Work, disk,
};
use crate::base::TopicPartition;
use crate::sim::Link;

/// Most strikes of one burst.
const MAX_BURST: u64 = 100;

/// What there is, so that faults can only name that.
pub(super) struct Known<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) topic: &'a Topic,
    pub(super) loads: &'a [Load],
    /// Hosts that are not of the scenario, by name.
    pub(super) programs: &'a [&'a str],
    /// Topics besides the scenario's.
    pub(super) others: &'a [Topic],
}

impl Known<'_> {
    fn has(&self, partition: &TopicPartition) -> bool {
        let topics = std::iter::once(self.topic).chain(self.others);
        let mut topics = topics.filter(|topic| topic.name == *partition.topic);
        topics.any(|topic| (0..topic.partitions).contains(&partition.partition))
    }

    /// Most hosts of a kind.
    fn hosts(&self, kind: char) -> u64 {
        let clients = |produce: bool| {
            let loads = self.loads.iter();
            let such = loads.filter(|load| matches!(load.work, Work::Produce { .. }) == produce);
            such.map(|load| load.clients.high).sum()
        };
        match kind {
            'b' => u64::from(self.cluster.brokers),
            'c' => u64::from(self.cluster.controllers),
            'p' => clients(true),
            _ => clients(false),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Kill,
    PowerLoss,
    Pause,
    Partition,
    Isolate,
    Restart,
    RollingRestart,
    RestartStorm,
    Flapping,
    SwizzleClog,
    SlowLink,
    SlowDisk,
    DiskStall,
    DiskFull,
    DiskError,
    DiskLies,
    DirFailure,
    Corruption,
    ClockJump,
    ClockDrift,
}

const KINDS: [(&str, Kind); 20] = [
    ("kill", Kind::Kill),
    ("power-loss", Kind::PowerLoss),
    ("pause", Kind::Pause),
    ("partition", Kind::Partition),
    ("isolate", Kind::Isolate),
    ("restart", Kind::Restart),
    ("rolling-restart", Kind::RollingRestart),
    ("restart-storm", Kind::RestartStorm),
    ("flapping", Kind::Flapping),
    ("swizzle-clog", Kind::SwizzleClog),
    ("slow-link", Kind::SlowLink),
    ("slow-disk", Kind::SlowDisk),
    ("disk-stall", Kind::DiskStall),
    ("disk-full", Kind::DiskFull),
    ("disk-error", Kind::DiskError),
    ("disk-lies", Kind::DiskLies),
    ("dir-failure", Kind::DirFailure),
    ("disk-corruption", Kind::Corruption),
    ("clock-jump", Kind::ClockJump),
    ("clock-drift", Kind::ClockDrift),
];

/// The part that rules and planned faults share: what happens, and to whom.
fn action(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Action> {
    if !section.has("kind") {
        let words: Vec<_> = KINDS.iter().map(|(word, _)| format!("`{word}`")).collect();
        problems.add(section.line, format!("`kind` is missing: {}", words.join(", ")));
    }
    let kind = section.word("kind", &KINDS, problems)?.value;
    let nodes = |section: &mut Section, problems: &mut Problems| {
        roles(section, "target", known, true, problems)
    };
    Some(match kind {
        Kind::Kill => Action::Kill { target: nodes(section, problems)? },
        Kind::PowerLoss => Action::PowerLoss {
            survival: disk::survival(section, problems),
            operation: section.range("operation", problems).map(|range| range.value),
            stagger: section.range("stagger", problems).map(|range| range.value),
            target: nodes(section, problems)?,
        },
        Kind::Pause => Action::Pause { target: roles(section, "target", known, false, problems)? },
        Kind::Partition => {
            let (from, to, one_way) = ends(section, known, problems)?;
            Action::Partition { from, to, one_way }
        }
        Kind::Isolate => Action::Partition {
            from: roles(section, "target", known, false, problems)?,
            to: Roles::one(Role::Everyone),
            one_way: false,
        },
        Kind::Restart => Action::Restart { target: nodes(section, problems)? },
        Kind::RollingRestart => Action::RollingRestart,
        Kind::RestartStorm => Action::RestartStorm {
            burst: burst(section, problems),
            target: nodes(section, problems)?,
        },
        Kind::Flapping => {
            let burst = burst(section, problems);
            let (from, to, one_way) = ends(section, known, problems)?;
            Action::Flapping { from, to, one_way, burst }
        }
        Kind::SwizzleClog => Action::SwizzleClog { gap: gap(section, problems) },
        Kind::SlowLink => slow_link(section, known, problems)?,
        Kind::SlowDisk => Action::SlowDisk {
            factor: number(section, "factor", (2, 10_000), (5, 50), problems),
            target: nodes(section, problems)?,
        },
        Kind::DiskStall => Action::DiskStall {
            stall: section.range("stall", problems).map_or(STALL, |stall| stall.value),
            target: nodes(section, problems)?,
        },
        Kind::DiskFull => Action::DiskFull { target: nodes(section, problems)? },
        Kind::DiskError => {
            let dir = if section.has("dir") { log_dir(section, known, problems) } else { None };
            let target = nodes(section, problems)?;
            disk::error(section, target, dir, problems)
        }
        Kind::DiskLies => Action::DiskLies { target: nodes(section, problems)? },
        Kind::DirFailure => Action::DirFailure {
            dir: log_dir(section, known, problems)?,
            target: nodes(section, problems)?,
        },
        Kind::Corruption => {
            let target = nodes(section, problems)?;
            disk::corruption(section, target, problems)
        }
        Kind::ClockJump => Action::ClockJump {
            by: section.range("by", problems).map_or(JUMP, |by| by.value),
            back: section.boolean("back", problems).unwrap_or(false),
            target: nodes(section, problems)?,
        },
        Kind::ClockDrift => Action::ClockDrift {
            ppm: number(section, "ppm", (1, 900_000), (100, 100_000), problems),
            slow: section.boolean("slow", problems).unwrap_or(false),
            target: nodes(section, problems)?,
        },
    })
}

/// A stall that says not how long: around the timeouts that it should put to the test.
const STALL: Range<Duration> =
    Range { low: Duration::from_millis(200), high: Duration::from_secs(2) };
/// A jump that says not how far.
const JUMP: Range<Duration> = Range { low: Duration::from_secs(1), high: Duration::from_secs(600) };
/// From one strike of a burst to the next.
const GAP: Range<Duration> =
    Range { low: Duration::from_millis(100), high: Duration::from_secs(1) };

/// A whole number or a range of such, within bounds.
pub(super) fn number(
    section: &mut Section,
    key: &'static str,
    (low, high): (u64, u64),
    default: (u64, u64),
    problems: &mut Problems,
) -> Range<u64> {
    let default = Range { low: default.0, high: default.1 };
    let Some(At { line, value }) = section.range::<u64>(key, problems) else { return default };
    if value.low < low || value.high > high {
        problems.add(line, format!("`{key} = {value}`: expected {low} to {high}"));
        return default;
    }
    value
}

/// One of the cluster's log directories.
fn log_dir(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<String> {
    let dirs = known.cluster.log_dirs();
    let words = dirs.join("`, `");
    let Some(At { line, value }) = section.scalar("dir", problems) else {
        problems.add(section.line, format!("`dir` is missing: one of `{words}`"));
        return None;
    };
    if dirs.contains(&value) {
        return Some(value);
    }
    problems.add(line, format!("`dir = {value}`: expected one of `log.dirs`: `{words}`"));
    None
}

fn gap(section: &mut Section, problems: &mut Problems) -> Range<Duration> {
    section.range("gap", problems).map_or(GAP, |gap| gap.value)
}

fn burst(section: &mut Section, problems: &mut Problems) -> Burst {
    let times = number(section, "times", (1, MAX_BURST), (3, 6), problems);
    Burst { times, gap: gap(section, problems) }
}

/// Both ends of links, and whether one direction alone is meant.
fn ends(
    section: &mut Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<(Roles, Roles, bool)> {
    let one_way = section.boolean("one-way", problems).unwrap_or(false);
    let from = roles(section, "from", known, false, problems);
    let to = roles(section, "to", known, false, problems);
    Some((from?, to?, one_way))
}

fn slow_link(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Action> {
    let usual = Link::default().latency;
    let latency = section.range("latency", problems).map(|latency| latency.value);
    let bandwidth = section
        .has("bandwidth")
        .then(|| number(section, "bandwidth", (1000, u64::MAX), (1000, 1000), problems));
    let loss = section.has("loss").then(|| number(section, "loss", (1, 90), (1, 1), problems));
    if latency.is_none() && bandwidth.is_none() && loss.is_none() {
        let what = "`latency` (of a segment), `bandwidth` (bytes per second) or `loss` (percent)";
        problems.add(section.line, format!("what is slow about this link? Add {what}"));
    }
    let latency = latency.unwrap_or(Range { low: *usual.start(), high: *usual.end() });
    let (from, to, one_way) = ends(section, known, problems)?;
    Some(Action::SlowLink { from, to, one_way, latency, bandwidth, loss })
}

/// What a fault waits for, from when it is due: one of three keys, each with the words that read
/// well after it.
fn moment(section: &mut Section, problems: &mut Problems) -> Option<(Event, Range<Duration>)> {
    let mut found = None;
    let line = section.line;
    for (key, words) in EVENTS {
        if let Some(At { value, .. }) = section.word(key, words, problems)
            && found.replace(value).is_some()
        {
            problems.add(line, "a fault waits for one moment: `on`, `after` or `during`");
        }
    }
    if found.is_none() && section.has("delay") {
        problems.add(line, "`delay` counts from a moment: add `on`, `after` or `during`");
    }
    let delay = section.range("delay", problems).map_or(Range::just(Duration::ZERO), |d| d.value);
    found.map(|event| (event, delay))
}

fn roles(
    section: &mut Section,
    key: &'static str,
    known: &Known<'_>,
    nodes_only: bool,
    problems: &mut Problems,
) -> Option<Roles> {
    if !section.has(key) {
        let message = format!("`{key}` is missing: whom does it strike? Such as `\"leader\"`");
        problems.add(section.line, message);
    }
    let mut roles = Vec::new();
    for At { line, value } in section.list(key, problems) {
        let words = Role::WORDS.iter().map(|(word, _)| *word);
        let words = words.chain(known.programs.iter().copied());
        if known.programs.contains(&value.as_str()) {
            roles.push(Role::Program(value));
            continue;
        }
        match Role::read(&value) {
            Some(Role::LeaderOf(partition)) if !known.has(&partition) => {
                problems.add(line, format!("`{key} = {value}`: there is no {partition}"));
            }
            None => problems.add(line, unknown("target", &value, words)),
            Some(Role::Host(kind, number)) if u64::from(number) > known.hosts(kind) => {
                let what = match kind {
                    'b' => "brokers",
                    'c' => "controllers",
                    'p' => "producers",
                    _ => "consumers",
                };
                let message = format!("no host `{value}`: there are {} {what}", known.hosts(kind));
                problems.add(line, message);
            }
            Some(role) if nodes_only && !role.is_node() => {
                problems.add(line, format!("`{key} = {value}`: expected brokers or controllers"));
            }
            Some(role) => roles.push(role),
        }
    }
    (!roles.is_empty()).then_some(Roles(roles))
}

const WHEN: [(&str, bool); 2] = [("due", false), ("settled", true)];

pub(super) fn rule(
    mut section: Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    let action = action(&mut section, known, problems);
    let partition = section.range::<u64>("partition", problems);
    let partitions = u64::try_from(known.topic.partitions).unwrap_or(1);
    if let Some(At { line, value }) = &partition
        && value.high >= partitions
    {
        problems.add(*line, format!("`partition = {value}`: there are {partitions} partitions"));
    }
    let at = section.range("at", problems).map(|at| at.value);
    let every = section.range::<Duration>("every", problems);
    if let Some(At { line, value }) = &every
        && value.low.is_zero()
    {
        problems.add(*line, format!("`every = {value}`: expected more than nothing"));
    }
    let count = section.range::<u64>("count", problems);
    if let Some(At { line, value }) = &count
        && value.high > MAX_STRIKES
    {
        problems.add(*line, format!("`count = {value}`: expected at most {MAX_STRIKES}"));
    }
    let down = section.range("down", problems).map(|down| down.value);
    let settled = section.word("when", &WHEN, problems).is_some_and(|when| when.value);
    let moment = moment(&mut section, problems);
    if settled && moment.is_some() {
        problems.add(section.line, "a fault waits either until all is settled, or for a moment");
    }
    // A kind that is unknown has been complained about; its keys can't be judged then.
    let action = action?;
    if matches!(action, Action::RollingRestart) && moment.is_some() {
        problems.add(
            section.line,
            "a rolling restart waits for each broker until all is settled: leave the moment out",
        );
    }
    section.finish(problems);
    Some(Rule {
        action,
        partition: partition.map(|partition| partition.value),
        at,
        every: every.map(|every| every.value),
        count: count.map(|count| count.value),
        down,
        settled,
        moment,
    })
}

pub(super) fn planned_fault(
    mut section: Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Fault> {
    let action = action(&mut section, known, problems);
    if let Some(single) = action.as_ref().and_then(Action::made_of) {
        let kind = action.as_ref().map_or("", Action::kind);
        problems.add(section.line, format!("a schedule names each `{single}` of a `{kind}`"));
    }
    if let Some(key) = action.as_ref().and_then(Action::undrawn) {
        problems.add(section.line, format!("a schedule is drawn already: `{key}` is one value"));
    }
    if !section.has("at") {
        problems.add(section.line, "`at` is missing: when does it strike?");
    }
    let at = section.value::<Duration>("at", problems);
    let partitions = u64::try_from(known.topic.partitions).unwrap_or(1);
    let partition = bounded(&mut section, "partition", (0, partitions - 1), 0, problems);
    let down = section.value::<Duration>("down", problems).map(|down| down.value);
    let settled = section.word("when", &WHEN, problems).is_some_and(|when| when.value);
    let moment = moment(&mut section, problems);
    if settled && moment.is_some() {
        problems.add(section.line, "a fault waits either until all is settled, or for a moment");
    }
    let pick = section.value::<u64>("pick", problems).map_or(0, |pick| pick.value);
    let (action, at) = (action?, at?.value);
    section.finish(problems);
    let partition = i32::try_from(partition).unwrap_or(0);
    let moment = moment.map(|(event, delay)| Moment { event, delay: delay.low });
    Some(Fault { at, action, partition, down, settled, moment, pick })
}
