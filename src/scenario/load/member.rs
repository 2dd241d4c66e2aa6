//! A member of a group: joins, processes what it reads, commits, and records all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;

use super::reading::ReadingLog;
use super::values::number_of;
use super::{SharedSignals, boot};
use crate::base::config::{ConsumerConfig, GroupProtocol, Setting};
use crate::base::{Flaws, Instant, Offset, Stream, TopicPartition};
use crate::client::{
    CommittedOffset, ConsumeError, Consumer, ConsumerRecord, RebalanceListener, Told,
};
use crate::scenario::Range;
use crate::sim::{Boot, MemberEvent, Outcome, SimWorld};
use crate::wire::ErrorCode;

/// Pause after an error that comes at once; how often a waiting member looks at the signals.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a commit may take.
const COMMIT: Duration = Duration::from_secs(5);
/// How long a question about committed offsets may take.
const RECALL: Duration = Duration::from_secs(2);
/// How long a member that leaves waits for the coordinator.
const CLOSE: Duration = Duration::from_secs(3);
/// How long it takes to start an application again whose consumer failed for good.
const RESTART: Duration = Duration::from_secs(1);
/// In no generation, or in one that is not known.
const NO_GENERATION: i32 = -1;

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
    /// How long a poll waits for records.
    pub poll: Duration,
}

/// Everything that one member needs to know.
#[derive(Clone)]
pub(super) struct Task {
    pub number: u32,
    pub topics: Vec<Arc<str>>,
    pub habits: Habits,
    pub config: ConsumerConfig,
    pub flaws: Flaws,
    /// The number of commits by all its processes.
    pub commits: Arc<Mutex<u64>>,
}

/// Is a member until it is told to stop. Once the last fault has ended, it neither stalls nor leaves.
pub(super) fn program<W: SimWorld>(task: Task, signals: SharedSignals) -> Boot<W> {
    boot(move |world: W| {
        let (task, signals) = (task.clone(), signals.clone());
        async move {
            let mut random = world.random(Stream::named("group load"));
            loop {
                let waves = task.habits.waves.as_ref();
                let until = waves
                    .map_or(Instant::NEVER, |turns| world.now() + turns.every.draw(&mut random));
                let application = Application::start(&world, &task, &signals, &mut random);
                let Some(application) = application else { return };
                let end = application.run(until).await;
                if end == End::Failed && !signals.lock().stop_consuming {
                    continue;
                }
                let Some(turns) = waves.filter(|_| !signals.lock().stop_consuming) else { return };
                let back = world.now() + turns.lasts.draw(&mut random);
                rest(&world, &signals, back).await;
            }
        }
    })
}

/// Does nothing until then, or until the last fault has ended.
async fn rest<W: SimWorld>(world: &W, signals: &SharedSignals, until: Instant) {
    while world.now() < until && !signals.lock().settling {
        world.sleep_until(until.min(world.now() + PAUSE)).await;
    }
}

/// What a member and its listener both know.
struct Notes {
    log: ReadingLog,
    /// Partitions that it was assigned since it asked what is committed.
    fresh: BTreeSet<TopicPartition>,
    /// The generation that it was in when it said so last.
    generation: i32,
    /// The next offset to be processed of each partition that it owns.
    next: BTreeMap<TopicPartition, Offset>,
}

type SharedNotes = Arc<Mutex<Notes>>;

/// Why a stay in the group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was time to leave, or another process has its place.
    Left,
    /// The consumer failed for good: only another one can join.
    Failed,
}

/// One stay in the group.
struct Application<'a, W: SimWorld> {
    world: &'a W,
    task: &'a Task,
    signals: &'a SharedSignals,
    random: &'a mut ChaCha12Rng,
    consumer: Consumer<W>,
    notes: SharedNotes,
    next_stall: Instant,
    next_pause: Instant,
    /// When it wants the records of paused partitions again.
    resumes: Option<Instant>,
}

impl<'a, W: SimWorld> Application<'a, W> {
    fn start(
        world: &'a W,
        task: &'a Task,
        signals: &'a SharedSignals,
        random: &'a mut ChaCha12Rng,
    ) -> Option<Self> {
        let mut consumer = Consumer::flawed(world.clone(), task.config.clone(), task.flaws).ok()?;
        let notes = Arc::new(Mutex::new(Notes {
            log: ReadingLog::new(task.number),
            fresh: BTreeSet::new(),
            generation: NO_GENERATION,
            next: BTreeMap::new(),
        }));
        let (notes_too, task_too) = (Arc::clone(&notes), task.clone());
        let listener = Listener {
            world: world.clone(),
            task: task_too,
            notes: notes_too,
            signals: signals.clone(),
        };
        consumer.set_listener(Arc::new(listener));
        consumer.subscribe(&task.topics).ok()?;
        let session = task.config.session_timeout.as_millis();
        world.observe(MemberEvent::Subscribed {
            consumer: task.number,
            group: task.config.group_id.as_str().into(),
            topics: task.topics.clone(),
            is_static: !task.config.group_instance_id.is_empty(),
            protocol: task.config.group_protocol.show().into(),
            session_ms: u64::try_from(session).unwrap_or(u64::MAX),
        });
        let mut first = |turns: &Option<Turns>| {
            let turns = turns.as_ref();
            turns.map_or(Instant::NEVER, |turns| world.now() + turns.every.draw(random))
        };
        let (next_stall, next_pause) = (first(&task.habits.stalls), first(&task.habits.pauses));
        let resumes = None;
        Some(Self {
            world,
            task,
            signals,
            random,
            consumer,
            notes,
            next_stall,
            next_pause,
            resumes,
        })
    }

    async fn run(mut self, until: Instant) -> End {
        let mut end = End::Left;
        loop {
            let leaves = {
                let signals = self.signals.lock();
                signals.stop_consuming || (self.world.now() >= until && !signals.settling)
            };
            if leaves {
                break;
            }
            let polled = self.consumer.poll(self.task.habits.poll).await;
            self.say_what_moved();
            self.look_at_generation();
            match polled {
                Ok(records) => {
                    let read = self.notes.lock().log.read(&records);
                    read.into_iter().for_each(|event| self.world.observe(event));
                    self.recall().await;
                    self.take(records).await;
                }
                Err(ConsumeError::Group { error: ErrorCode::FencedInstanceId, .. }) => {
                    self.world.observe(MemberEvent::Fenced { consumer: self.task.number });
                    break;
                }
                Err(error) if self.is_final(&error) => {
                    end = End::Failed;
                    self.world.sleep_until(self.world.now() + RESTART).await;
                    break;
                }
                Err(_) => self.world.sleep_until(self.world.now() + PAUSE).await,
            }
            self.stall().await;
            self.pause();
        }
        let consumer = self.task.number;
        if self.consumer.end(CLOSE).await {
            self.world.observe(MemberEvent::Dismissed { consumer });
        }
        self.world.observe(MemberEvent::Left { consumer });
        end
    }

    /// Whether the consumer never joins again. In the consumer protocol, whatever a coordinator refuses
    /// is final: above all UNRELEASED_INSTANCE_ID, until the session of the process before has ended.
    fn is_final(&self, error: &ConsumeError) -> bool {
        let of_group = matches!(error, ConsumeError::Group { .. }) && !error.is_retriable();
        of_group && self.task.config.group_protocol == GroupProtocol::Consumer
    }

    /// Says what moved positions since the last call.
    fn say_what_moved(&mut self) {
        let moved = self.notes.lock().log.moved(&self.consumer.take_notices());
        moved.into_iter().for_each(|event| self.world.observe(event));
    }

    /// Says so if it is in another generation and its share is as before.
    fn look_at_generation(&mut self) {
        let (consumer, generation) = (self.task.number, generation(&self.consumer));
        let known = std::mem::replace(&mut self.notes.lock().generation, generation);
        if generation > NO_GENERATION && generation != known {
            self.world.observe(MemberEvent::Entered { consumer, generation });
        }
    }

    /// Asks what is committed of the partitions that it was just assigned.
    async fn recall(&mut self) {
        let fresh: Vec<_> = std::mem::take(&mut self.notes.lock().fresh).into_iter().collect();
        if fresh.is_empty() {
            return;
        }
        let consumer = self.task.number;
        self.world.observe(MemberEvent::Recalling { consumer });
        if let Ok(found) = self.consumer.committed(&fresh, RECALL).await {
            let offset = |found: Option<CommittedOffset>| found.map(|found| found.offset);
            let offsets = found.into_iter().map(|(partition, found)| (partition, offset(found)));
            self.world.observe(MemberEvent::Recalled { consumer, offsets: offsets.collect() });
        }
    }

    /// Processes what a poll returned, and commits.
    async fn take(&mut self, records: Vec<ConsumerRecord>) {
        let commit = self.task.habits.commit;
        if records.is_empty() {
            return;
        }
        if commit == Commit::Before && !self.commit(read_up_to(&records)).await {
            return self.give_back(&records);
        }
        let consumer = self.task.number;
        for record in &records {
            if self.task.habits.processing.high > Duration::ZERO {
                let works = self.task.habits.processing.draw(self.random);
                if !self.signals.lock().settling {
                    self.world.sleep_until(self.world.now() + works).await;
                }
            }
            let (partition, offset) = (record.partition.clone(), record.offset);
            if let Some(value) = number_of(record) {
                let partition = partition.clone();
                self.world.observe(MemberEvent::Processed { consumer, partition, offset, value });
            }
            self.notes.lock().next.insert(partition.clone(), offset.next());
            if commit == Commit::Each {
                self.commit([(partition, offset.next())].into()).await;
            }
        }
        match commit {
            // A later commit makes up for one that fails.
            Commit::After => drop(self.commit(read_up_to(&records)).await),
            Commit::Async => self.commit_later(read_up_to(&records)),
            Commit::Auto | Commit::Before | Commit::Each => {}
        }
    }

    /// Nothing is committed: what was read is read again.
    fn give_back(&mut self, records: &[ConsumerRecord]) {
        // What moved a position before comes before the seek.
        self.say_what_moved();
        let mut first = BTreeMap::new();
        for record in records {
            first.entry(record.partition.clone()).or_insert(record.offset);
        }
        let owned = self.consumer.assignment();
        for (partition, offset) in first.into_iter().filter(|(name, _)| owned.contains(name)) {
            self.consumer.seek(&partition, offset);
            let event = self.notes.lock().log.positioned(&partition, offset);
            self.world.observe(event);
        }
    }

    async fn commit(&mut self, offsets: BTreeMap<TopicPartition, Offset>) -> bool {
        commit(self.world, self.task, &mut self.consumer, offsets).await
    }

    fn commit_later(&mut self, offsets: BTreeMap<TopicPartition, Offset>) {
        let op = committing(self.world, self.task, &self.consumer, &offsets);
        let committing = self.consumer.commit_async(Some(at(offsets)));
        let (world, number) = (self.world.clone(), self.task.number);
        self.world.spawn("commit", async move {
            let told = committing.await;
            // It may have waited for its coordinator, and been sent in a later generation.
            committed(&world, number, (op, NO_GENERATION), told);
        });
    }

    /// Pauses the partitions that it has, or resumes them, if it is time for that.
    fn pause(&mut self) {
        let Some(turns) = self.task.habits.pauses.as_ref() else { return };
        let (now, settling) = (self.world.now(), self.signals.lock().settling);
        if self.resumes.is_some_and(|at| at <= now || settling) {
            let paused = self.consumer.paused();
            self.consumer.resume(&paused);
            self.next_pause = now + turns.every.draw(self.random);
            self.resumes = None;
        } else if self.resumes.is_none() && now >= self.next_pause && !settling {
            let all = self.consumer.assignment();
            self.consumer.pause(&all);
            self.resumes = Some(now + turns.lasts.draw(self.random));
        }
    }

    /// Does not poll for a while, if it is time for that.
    async fn stall(&mut self) {
        let Some(turns) = self.task.habits.stalls.as_ref() else { return };
        if self.world.now() >= self.next_stall {
            let until = self.world.now() + turns.lasts.draw(self.random);
            rest(self.world, self.signals, until).await;
            self.next_stall = self.world.now() + turns.every.draw(self.random);
        }
    }
}

/// The offsets behind these records.
fn read_up_to(records: &[ConsumerRecord]) -> BTreeMap<TopicPartition, Offset> {
    let next = records.iter().map(|record| (record.partition.clone(), record.offset.next()));
    next.collect()
}

fn at(offsets: BTreeMap<TopicPartition, Offset>) -> BTreeMap<TopicPartition, CommittedOffset> {
    offsets.into_iter().map(|(name, offset)| (name, CommittedOffset::at(offset))).collect()
}

/// Commits, and waits for the outcome. Returns whether it is committed for sure.
async fn commit<W: SimWorld>(
    world: &W,
    task: &Task,
    consumer: &mut Consumer<W>,
    offsets: BTreeMap<TopicPartition, Offset>,
) -> bool {
    let op = committing(world, task, consumer, &offsets);
    let told = consumer.commit_offsets(at(offsets), COMMIT).await;
    let is_committed = told.is_ok();
    committed(world, task.number, (op, generation(consumer)), told);
    is_committed
}

/// The generation that a member is in, as its consumer knows it. Its application may not have taken the
/// assignment over yet.
fn generation<W: SimWorld>(consumer: &Consumer<W>) -> i32 {
    consumer.group_metadata().map_or(NO_GENERATION, |group| group.generation)
}

/// Records that it commits; returns the number of the commit.
fn committing<W: SimWorld>(
    world: &W,
    task: &Task,
    consumer: &Consumer<W>,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> u64 {
    let op = {
        let mut commits = task.commits.lock();
        *commits += 1;
        *commits
    };
    let generation = generation(consumer);
    let offsets = offsets.iter().map(|(name, offset)| (name.clone(), *offset)).collect();
    world.observe(MemberEvent::Committing { consumer: task.number, op, generation, offsets });
    op
}

/// Records the outcome. After an error, an attempt may have been stored whose answer was lost.
fn committed<W: SimWorld>(
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

/// Hears what the member is assigned and has to give up.
struct Listener<W: SimWorld> {
    world: W,
    task: Task,
    notes: SharedNotes,
    signals: SharedSignals,
}

impl<W: SimWorld> Listener<W> {
    /// Keeps partitions until the run is over, though others wait for them.
    async fn withhold(&self, partitions: &[TopicPartition]) {
        let (consumer, partitions) = (self.task.number, partitions.to_vec());
        self.world.observe(MemberEvent::Withholds { consumer, partitions });
        while !self.signals.lock().stop_consuming {
            self.world.sleep_until(self.world.now() + PAUSE).await;
        }
    }

    fn gone(&self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut notes = self.notes.lock();
        notes.next.retain(|partition, _| !partitions.contains(partition));
        notes.fresh.retain(|partition| !partitions.contains(partition));
        partitions.to_vec()
    }
}

impl<W: SimWorld> RebalanceListener<W> for Listener<W> {
    fn revoked<'a>(
        &'a self,
        consumer: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            if self.task.habits.never_revokes && !partitions.is_empty() {
                self.withhold(partitions).await;
            }
            if self.task.habits.commit == Commit::Async {
                let mut offsets = self.notes.lock().next.clone();
                offsets.retain(|partition, _| partitions.contains(partition));
                if !offsets.is_empty() {
                    commit(&self.world, &self.task, consumer, offsets).await;
                }
            }
            let partitions = self.gone(partitions);
            if !partitions.is_empty() {
                let consumer = self.task.number;
                self.world.observe(MemberEvent::Revoked { consumer, partitions });
            }
        })
    }

    fn assigned<'a>(
        &'a self,
        consumer: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            // An assignment of a generation that is over is lost at once.
            let group = consumer.group_metadata().filter(|group| group.generation >= 0);
            let Some(group) = group else { return };
            {
                let mut notes = self.notes.lock();
                notes.fresh.extend(partitions.iter().cloned());
                notes.log.sought(partitions);
                notes.generation = group.generation;
            }
            self.world.observe(MemberEvent::Joined {
                consumer: self.task.number,
                generation: group.generation,
                member: group.member.into(),
                owned: consumer.assignment(),
            });
        })
    }

    fn lost<'a>(
        &'a self,
        _consumer: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            let partitions = self.gone(partitions);
            let consumer = self.task.number;
            self.world.observe(MemberEvent::Lost { consumer, partitions });
        })
    }
}
