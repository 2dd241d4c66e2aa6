//! What the application of a member does, and what its parts know and record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::effects::Effect;
use super::reading::ReadingLog;
use crate::base::config::ConsumerConfig;
use crate::base::{Flaws, TopicPartition};
use crate::client::{CommittedOffset, ConsumeError, Consumer, ConsumerRecord};
use crate::scenario::Range;
use crate::sim::{MemberEvent, Outcome, SimWorld};

/// Pause after an error that comes at once; how often a waiting member looks at the signals.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How long a commit may take.
const COMMIT: Duration = Duration::from_secs(5);
/// In no generation, or in one that is not known.
pub(super) const NO_GENERATION: i32 = -1;

/// When offsets are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// By the consumer, which commits in a poll what earlier polls returned.
    Auto,
    /// Before the records of a poll are processed.
    Before,
    /// After they are.
    After,
    /// After each record.
    Each,
    /// After the records of a poll, without waiting; before a revocation with waiting.
    Async,
}

impl Commit {
    pub const WORDS: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("before", Self::Before),
        ("after", Self::After),
        ("each", Self::Each),
        ("async", Self::Async),
    ];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, commit)| *commit == self).map_or("", |(word, _)| word)
    }
}

/// Something that begins every so often, and lasts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Turns {
    pub every: Range<Duration>,
    pub lasts: Range<Duration>,
}

/// What an application does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Habits {
    pub commit: Commit,
    /// How long it works on one record.
    pub processing: Range<Duration>,
    /// When it does not poll.
    pub stalls: Option<Turns>,
    /// How long it stays in the group, and how long it is away.
    pub waves: Option<Turns>,
    /// When it wants no records of the partitions that it has, though it polls.
    pub pauses: Option<Turns>,
    /// Whether it does not give partitions up: its listener does not return.
    pub never_revokes: bool,
    /// Whether a worker processes the records, while it polls on.
    pub worker: bool,
    /// How long a poll waits for records.
    pub poll: Duration,
}

/// The habits of a load that are to show in a run.
#[derive(Clone, Default)]
pub(super) struct Shows {
    pub processes: Effect,
    pub stalls: Effect,
    pub leaves: Effect,
    pub returns: Effect,
    pub pauses: Effect,
    pub withholds: Effect,
    pub polls_on: Effect,
}

/// Everything that one member needs to know.
#[derive(Clone)]
pub(super) struct Task {
    pub number: u32,
    pub topics: Vec<Arc<str>>,
    pub habits: Habits,
    pub shows: Shows,
    pub config: ConsumerConfig,
    pub flaws: Flaws,
    /// The number of commits by all its processes.
    pub commits: Arc<Mutex<u64>>,
}

/// What a member and its listener both know.
pub(super) struct Notes {
    pub log: ReadingLog,
    /// Partitions that it was assigned since it asked what is committed.
    pub fresh: BTreeSet<TopicPartition>,
    /// The generation that it was in when it said so last.
    pub generation: i32,
    /// The next offset to be processed of each partition that it owns.
    pub next: Offsets,
}

impl Notes {
    /// A record was processed.
    pub fn processed(&mut self, record: &ConsumerRecord) {
        self.next.insert(record.partition.clone(), after(record));
    }
}

/// Offsets to commit.
pub(super) type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

/// The offset to commit once a record is processed. With the epoch of the record, its next reader does not
/// ask a leader that was deposed before (KIP-320).
pub(super) fn after(record: &ConsumerRecord) -> CommittedOffset {
    CommittedOffset {
        leader_epoch: record.leader_epoch,
        ..CommittedOffset::at(record.offset.next())
    }
}

pub(super) type SharedNotes = Arc<Mutex<Notes>>;

/// Commits, and waits for the outcome. Returns whether it is committed for sure.
pub(super) async fn commit<W: SimWorld>(
    world: &W,
    task: &Task,
    consumer: &mut Consumer<W>,
    offsets: Offsets,
) -> bool {
    let op = committing(world, task, consumer, &offsets);
    let told = consumer.commit_offsets(offsets, COMMIT).await;
    let is_committed = told.is_ok();
    committed(world, task.number, (op, generation(consumer)), told);
    is_committed
}

/// The generation that a member is in, as its consumer knows it. Its application may not have taken the
/// assignment over yet.
pub(super) fn generation<W: SimWorld>(consumer: &Consumer<W>) -> i32 {
    consumer.group_metadata().map_or(NO_GENERATION, |group| group.generation)
}

/// Records that it commits; returns the number of the commit.
pub(super) fn committing<W: SimWorld>(
    world: &W,
    task: &Task,
    consumer: &Consumer<W>,
    offsets: &Offsets,
) -> u64 {
    let op = {
        let mut commits = task.commits.lock();
        *commits += 1;
        *commits
    };
    let generation = generation(consumer);
    let offsets = offsets.iter().map(|(name, at)| (name.clone(), at.offset)).collect();
    world.observe(MemberEvent::Committing { consumer: task.number, op, generation, offsets });
    op
}

/// Records the outcome. After an error, an attempt may have been stored whose answer was lost.
pub(super) fn committed<W: SimWorld>(
    world: &W,
    consumer: u32,
    (op, generation): (u64, i32),
    told: Result<(), ConsumeError>,
) {
    let outcome = match told {
        Ok(()) => Outcome::Ok { offset: None },
        Err(error) => Outcome::Unknown { error: error.name().into() },
    };
    world.observe(MemberEvent::Committed { consumer, op, generation, outcome });
}
