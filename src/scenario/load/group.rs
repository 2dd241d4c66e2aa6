//! `group`: members of a group, which share the partitions of a topic, process records and commit.
//!
//! Several loads may be of one group: members that subscribe to other topics, that stay while others
//! come and go in waves, or that are slow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::document::{At, Problems, Section};
use super::super::entries::MAX_DURATION;
use super::super::writer::Writer;
use super::effects::Effect;
use super::habits::{Commit, Habits, Shows, Task, Turns};
use super::member;
use super::{Kind, Processing, Promise, Seats, Settings, Share, Side, Smaller, settle};
use crate::base::config::ConsumerConfig;
use crate::client::check_consumer;
use crate::scenario::Range;
use crate::sim::{Boot, SimWorld};

/// How long a poll waits for records, unless the file says so; and the least that it may say: a poll that
/// waits for nothing returns at once, forever.
const POLL: Duration = Duration::from_millis(500);
const SHORTEST_POLL: Duration = Duration::from_millis(1);
/// How long a member stays or is away, or does not poll, where the file gives only the other half.
const TURN: Duration = Duration::from_secs(5);
/// What says when offsets are committed.
const AUTO: &str = "enable.auto.commit";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// Whether each has a `group.instance.id`.
    is_static: bool,
    /// Whether each also subscribes to the other topics of the scenario.
    all_topics: bool,
    habits: Habits,
    settings: Settings<ConsumerConfig>,
}

impl Kind for Group {
    const NAME: &'static str = "group";
    const SIDE: Side = Side::Consumes;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let is_static = section.boolean("static", problems).unwrap_or(false);
        let all_topics = section.boolean("all-topics", problems).unwrap_or(false);
        let commit = section.word("commit", &Commit::WORDS, problems);
        let processing = durations(section, "processing", problems);
        let habits = Habits {
            commit: commit.map_or(Commit::Auto, |commit| commit.value),
            processing: processing.unwrap_or(Range::just(Duration::ZERO)),
            stalls: turns(section, ("stall.every", "stall.lasts"), problems),
            waves: turns(section, ("stays", "away"), problems),
            pauses: turns(section, ("pause.every", "pause.lasts"), problems),
            never_revokes: section.boolean("never-revokes", problems).unwrap_or(false),
            worker: section.boolean("worker", problems).unwrap_or(false),
            poll: poll(section, problems),
        };
        if let Some(line) = section.line_of(AUTO) {
            problems.add(line, format!("`{AUTO}`: say `commit = \"auto\"`, or when to commit"));
        }
        let line = section.line;
        let settings = Settings::parse_checked(section, problems, check_consumer);
        if settings.config.group_id.is_empty() {
            problems.add(line, "`group.id` is missing: a name, such as `\"shop\"`");
        }
        Self { is_static, all_topics, habits, settings }
    }

    fn write(&self, out: &mut Writer) {
        if self.is_static {
            out.plain("static", true);
        }
        if self.all_topics {
            out.plain("all-topics", true);
        }
        let Habits { commit, processing, stalls, waves, pauses, never_revokes, worker, poll } =
            &self.habits;
        out.text("commit", commit.word());
        if processing.high > Duration::ZERO {
            out.range("processing", processing);
        }
        if let Some(Turns { every, lasts }) = stalls {
            out.range("stall.every", every);
            out.range("stall.lasts", lasts);
        }
        if let Some(Turns { every, lasts }) = waves {
            out.range("stays", every);
            out.range("away", lasts);
        }
        if let Some(Turns { every, lasts }) = pauses {
            out.range("pause.every", every);
            out.range("pause.lasts", lasts);
        }
        if *never_revokes {
            out.plain("never-revokes", true);
        }
        if *worker {
            out.plain("worker", true);
        }
        if *poll != POLL {
            out.value("poll", poll);
        }
        self.settings.write(out);
    }

    fn promise(&self) -> Promise {
        let processing = match self.habits.commit {
            Commit::Before => Processing::AtMostOnce,
            Commit::Auto | Commit::After | Commit::Each | Commit::Async => Processing::AtLeastOnce,
        };
        Promise { processing: Some(processing), ..Promise::default() }
    }

    fn group(&self) -> Option<&str> {
        Some(&self.settings.config.group_id)
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let all = seats.topics.iter().filter(|_| self.all_topics);
        let topics: BTreeSet<Arc<str>> =
            all.chain([seats.topic]).map(|topic| topic.name.as_str().into()).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let shows = self.shows(seats);
        if self.all_topics && topics.len() == 1 {
            let why = "the scenario has no other topic";
            seats.expects(Self::SIDE.letter(), "all-topics", why);
        }
        let host = |number| {
            let mut config = settle(&self.settings.config, number, seats.servers.clone());
            config.enable_auto_commit.value = self.habits.commit == Commit::Auto;
            config.enable_auto_commit.set = true;
            if self.is_static {
                config.group_instance_id.clone_from(&config.client_id);
            }
            let task = Task {
                number,
                topics: topics.clone(),
                habits: self.habits.clone(),
                shows: shows.clone(),
                config,
                flaws: seats.flaws,
                commits: Arc::default(),
            };
            member::program(task, seats.signals.clone())
        };
        seats.numbers().map(host).collect()
    }

    fn smaller(&self, way: Smaller, _share: Share) -> Vec<Self> {
        if way != Smaller::LowerRate {
            return Vec::new();
        }
        let Habits { processing, stalls, waves, pauses, .. } = &self.habits;
        let none = Range::just(Duration::ZERO);
        let mut ways = Vec::new();
        let mut push = |wanted: bool, habits: Habits| {
            if wanted {
                ways.push(Self { habits, ..self.clone() });
            }
        };
        push(waves.is_some(), Habits { waves: None, ..self.habits.clone() });
        push(stalls.is_some(), Habits { stalls: None, ..self.habits.clone() });
        push(pauses.is_some(), Habits { pauses: None, ..self.habits.clone() });
        push(self.habits.never_revokes, Habits { never_revokes: false, ..self.habits.clone() });
        push(self.habits.worker, Habits { worker: false, ..self.habits.clone() });
        push(*processing != none, Habits { processing: none, ..self.habits.clone() });
        ways
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let range = || {
            let ends = (1..60_000u64, 0..60_000u64).prop_map(|(low, more)| Range {
                low: Duration::from_millis(low),
                high: Duration::from_millis(low + more),
            });
            ends.boxed()
        };
        let turns = || {
            let turns = (range(), range()).prop_map(|(every, lasts)| Turns { every, lasts });
            proptest::option::of(turns)
        };
        let commit = proptest::sample::select(Commit::WORDS.map(|(_, commit)| commit).to_vec());
        let processing = proptest::option::of(range());
        let processing = processing.prop_map(|range| range.unwrap_or(Range::just(Duration::ZERO)));
        let poll = (1..2_000u64).prop_map(Duration::from_millis);
        let turns = [turns(), turns(), turns()];
        let habits = (commit, processing, turns, any::<[bool; 2]>(), poll);
        let habits = habits.prop_map(|(commit, processing, turns, words, poll)| {
            let ([stalls, waves, pauses], [never_revokes, worker]) = (turns, words);
            Habits { commit, processing, stalls, waves, pauses, never_revokes, worker, poll }
        });
        let session = proptest::option::of(6_000..60_000u32);
        let settings = session.prop_map(|session| {
            let mut pairs = vec![("group.id".to_owned(), "shop".to_owned())];
            pairs.extend(session.map(|ms| ("session.timeout.ms".to_owned(), ms.to_string())));
            Settings::of(pairs)
        });
        let all = (any::<bool>(), any::<bool>(), habits, settings);
        let group = |(is_static, all_topics, habits, settings)| Self {
            is_static,
            all_topics,
            habits,
            settings,
        };
        all.prop_map(group).boxed()
    }
}

impl Group {
    /// What its members are to be seen doing.
    fn shows(&self, seats: &Seats<'_>) -> Shows {
        let Habits { processing, stalls, waves, pauses, never_revokes, .. } = &self.habits;
        let expects = |is_set: bool, option, otherwise: &str| match is_set {
            true => seats.expects(Self::SIDE.letter(), option, otherwise),
            false => Effect::default(),
        };
        Shows {
            processes: expects(
                processing.high > Duration::ZERO,
                "processing",
                "no record was processed before the load ended",
            ),
            stalls: expects(
                stalls.is_some(),
                "stall.every",
                "no member was due to stall before the load ended",
            ),
            leaves: expects(
                waves.is_some(),
                "stays",
                "no member was due to leave before the load ended",
            ),
            returns: expects(
                waves.is_some(),
                "away",
                "no member was due to return before the load ended",
            ),
            pauses: expects(
                pauses.is_some(),
                "pause.every",
                "no member with partitions was due to pause them before the load ended",
            ),
            withholds: expects(
                *never_revokes,
                "never-revokes",
                "no member was asked to give partitions up",
            ),
            polls_on: expects(
                self.habits.worker,
                "worker",
                "no member polled while its worker processed",
            ),
        }
    }
}

/// How long a poll waits for records.
fn poll(section: &mut Section, problems: &mut Problems) -> Duration {
    let Some(At { line, value }) = section.value::<Duration>("poll", problems) else { return POLL };
    if !(SHORTEST_POLL..=MAX_DURATION).contains(&value) {
        problems.add(line, "`poll`: expected 1ms to a day");
    }
    value.clamp(SHORTEST_POLL, MAX_DURATION)
}

/// A time, or a range of times, of at most a day.
fn durations(
    section: &mut Section,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Range<Duration>> {
    let At { line, value } = section.range::<Duration>(key, problems)?;
    if value.high > MAX_DURATION {
        problems.add(line, format!("`{key} = {value}`: expected at most a day"));
    }
    Some(value)
}

/// Something that takes turns with its opposite; `None` if the file has neither key.
fn turns(
    section: &mut Section,
    (every, lasts): (&'static str, &'static str),
    problems: &mut Problems,
) -> Option<Turns> {
    let given = [durations(section, every, problems), durations(section, lasts, problems)];
    let [every, lasts] = given;
    (every.is_some() || lasts.is_some()).then(|| {
        let usual = Range::just(TURN);
        Turns { every: every.unwrap_or(usual), lasts: lasts.unwrap_or(usual) }
    })
}
