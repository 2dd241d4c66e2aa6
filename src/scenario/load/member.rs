//! A member of a group: joins, processes what it reads, commits, and records all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;

use super::habits::{
    Commit, NO_GENERATION, Notes, Offsets, PAUSE, SharedNotes, Task, Turns, after, commit,
    committed, committing, generation,
};
use super::listener::Listener;
use super::reading::{ReadingLog, report_isolation};
use super::values::number_of;
use super::worker::Worker;
use super::{SharedSignals, boot};
use crate::base::config::{GroupProtocol, Setting};
use crate::base::{Instant, Stream};
use crate::client::{CommittedOffset, ConsumeError, Consumer, ConsumerRecord};
use crate::sim::{Boot, MemberEvent, SimWorld};
use crate::wire::ErrorCode;

/// How long a question about committed offsets may take.
const RECALL: Duration = Duration::from_secs(2);
/// How long a member that leaves waits for the coordinator.
const CLOSE: Duration = Duration::from_secs(3);
/// How long it takes to start an application again whose consumer failed for good.
const RESTART: Duration = Duration::from_secs(1);

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
                if world.now() >= until {
                    task.shows.leaves.happened();
                }
                let back = world.now() + turns.lasts.draw(&mut random);
                rest(&world, &signals, back).await;
                if world.now() >= back {
                    task.shows.returns.happened();
                }
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
    worker: Option<Worker>,
    /// What it has committed of what its worker has processed.
    committed: Offsets,
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
        let worker = task.habits.worker.then(|| Worker::start(world, task, signals, &notes));
        let listener = Listener {
            world: world.clone(),
            task: task_too,
            notes: notes_too,
            signals: signals.clone(),
            worker: worker.clone(),
        };
        consumer.set_listener(Arc::new(listener));
        consumer.subscribe(&task.topics).ok()?;
        report_isolation(world, task.number, &task.config);
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
            worker,
            committed: BTreeMap::new(),
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
                    match self.worker.clone() {
                        Some(worker) => self.hand_over(&worker, records).await,
                        None => self.take(records).await,
                    }
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
        self.worker.iter().for_each(Worker::close);
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

    /// Gives the worker what a poll returned, and commits what it has processed.
    async fn hand_over(&mut self, worker: &Worker, records: Vec<ConsumerRecord>) {
        let commit = self.task.habits.commit;
        if commit == Commit::Before
            && !records.is_empty()
            && !self.commit(read_up_to(&records)).await
        {
            return self.give_back(&records);
        }
        if worker.is_busy() {
            self.task.shows.polls_on.happened();
        }
        worker.give(records);
        let done = self.notes.lock().next.clone();
        let mut news = done.clone();
        news.retain(|partition, next| self.committed.get(partition) != Some(next));
        if matches!(commit, Commit::Auto | Commit::Before) || news.is_empty() {
            return;
        }
        match commit {
            Commit::Async => self.commit_later(news),
            // A later commit makes up for one that fails.
            _ if !self.commit(news).await => return,
            _ => {}
        }
        self.committed = done;
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
                    self.task.shows.processes.happened();
                    self.world.sleep_until(self.world.now() + works).await;
                }
            }
            if let Some(value) = number_of(record) {
                let (partition, offset) = (record.partition.clone(), record.offset);
                self.world.observe(MemberEvent::Processed { consumer, partition, offset, value });
            }
            self.notes.lock().processed(record);
            if commit == Commit::Each {
                self.commit(read_up_to(std::slice::from_ref(record))).await;
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

    async fn commit(&mut self, offsets: Offsets) -> bool {
        commit(self.world, self.task, &mut self.consumer, offsets).await
    }

    fn commit_later(&mut self, offsets: Offsets) {
        let op = committing(self.world, self.task, &self.consumer, &offsets);
        let committing = self.consumer.commit_async(Some(offsets));
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
            if !all.is_empty() {
                self.task.shows.pauses.happened();
            }
            self.resumes = Some(now + turns.lasts.draw(self.random));
        }
    }

    /// Does not poll for a while, if it is time for that.
    async fn stall(&mut self) {
        let Some(turns) = self.task.habits.stalls.as_ref() else { return };
        if self.world.now() >= self.next_stall {
            let until = self.world.now() + turns.lasts.draw(self.random);
            if !self.signals.lock().settling {
                self.task.shows.stalls.happened();
            }
            rest(self.world, self.signals, until).await;
            self.next_stall = self.world.now() + turns.every.draw(self.random);
        }
    }
}

/// The offsets behind these records.
fn read_up_to(records: &[ConsumerRecord]) -> Offsets {
    records.iter().map(|record| (record.partition.clone(), after(record))).collect()
}
