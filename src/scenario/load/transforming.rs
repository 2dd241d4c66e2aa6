//! A member of a group that transforms what it reads, and records what it does beside itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::boot;
use super::effects::Effect;
use super::habits::{NO_GENERATION, Notes, SharedNotes, Task, commit, generation};
use super::listener::Listener;
use super::reading::{ReadingLog, report_isolation};
use super::transacting::{Desk, Fate, Input, Transacting};
use super::values::{self, number_of};
use crate::base::config::Setting;
use crate::base::{Offset, Stream, TopicPartition};
use crate::client::{CommittedOffset, ConsumeError, Consumer, ConsumerRecord, GroupMetadata};
use crate::scenario::{Range, Topic};
use crate::sim::{Boot, MemberEvent, SimWorld};

/// How long a poll waits for records.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// How long a question about committed offsets may take.
const RECALL: Duration = Duration::from_secs(10);
/// How long a member that leaves waits for coordinators.
const CLOSE: Duration = Duration::from_secs(3);
/// The time after which a client starts again whose producer or consumer can't go on.
const RESTART: Duration = Duration::from_secs(1);
/// Pause after an error that comes at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of an output's value.
const SIZE: u64 = 100;
pub(super) const PERCENT: u64 = 100;

/// When the offsets of what was read are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commits {
    /// In the transaction of the outputs: exactly once.
    InTransaction,
    /// Before the outputs are sent: at most once.
    Before,
    /// After the outputs are stored: at least once.
    After,
}

impl Commits {
    pub const WORDS: [(&'static str, Self); 3] =
        [("transaction", Self::InTransaction), ("before", Self::Before), ("after", Self::After)];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, commits)| *commits == self).map_or("", |(word, _)| word)
    }
}

/// One client.
#[derive(Clone)]
pub(super) struct Client {
    pub commits: Commits,
    pub processing: Range<Duration>,
    pub hold: Range<Duration>,
    /// In percent.
    pub aborts: u64,
    /// Whether coordinators are told the generation of a transaction's offsets.
    pub generation: bool,
    /// That a transaction was aborted.
    pub shows: Effect,
    pub output: Topic,
    pub desk: Desk,
    pub task: Task,
}

impl Client {
    /// What it runs when it boots.
    pub fn program<W: SimWorld>(self) -> Boot<W> {
        boot(move |world: W| {
            let client = self.clone();
            async move {
                let process = {
                    let mut past = client.desk.past.lock();
                    past.processes += 1;
                    past.processes - 1
                };
                let mut random = world.random(Stream::numbered("transform load", process));
                while !client.desk.stops() {
                    let Some(stay) = Stay::start(&world, &client) else { return };
                    stay.run(&mut random).await;
                    world.sleep_until(world.now() + RESTART).await;
                }
            }
        })
    }
}

/// One stay in the group.
struct Stay<'a, W: SimWorld> {
    world: &'a W,
    client: &'a Client,
    consumer: Consumer<W>,
    notes: SharedNotes,
    producer: Option<Transacting<W>>,
    /// The first records of a transaction that was not committed, or perhaps was.
    unsettled: BTreeMap<TopicPartition, Offset>,
}

impl<'a, W: SimWorld> Stay<'a, W> {
    fn start(world: &'a W, client: &'a Client) -> Option<Self> {
        let task = &client.task;
        let mut consumer = Consumer::flawed(world.clone(), task.config.clone(), task.flaws).ok()?;
        let notes = Arc::new(Mutex::new(Notes {
            log: ReadingLog::new(task.number),
            fresh: BTreeSet::new(),
            generation: NO_GENERATION,
            next: BTreeMap::new(),
        }));
        let listener = Listener {
            world: world.clone(),
            task: task.clone(),
            notes: Arc::clone(&notes),
            signals: client.desk.signals.clone(),
            worker: None,
        };
        consumer.set_listener(Arc::new(listener));
        consumer.subscribe(&task.topics).ok()?;
        report_isolation(world, task.number, &task.config);
        let session = task.config.session_timeout.as_millis();
        world.observe(MemberEvent::Subscribed {
            consumer: task.number,
            group: task.config.group_id.as_str().into(),
            topics: task.topics.clone(),
            is_static: false,
            protocol: task.config.group_protocol.show().into(),
            session_ms: u64::try_from(session).unwrap_or(u64::MAX),
        });
        let unsettled = BTreeMap::new();
        Some(Self { world, client, consumer, notes, producer: None, unsettled })
    }

    async fn run(mut self, random: &mut ChaCha12Rng) {
        while !self.client.desk.stops() && self.pass(random).await {}
        let consumer = self.client.task.number;
        if let Some(producer) = self.producer.take() {
            producer.close(CLOSE).await;
        }
        if self.consumer.end(CLOSE).await {
            self.world.observe(MemberEvent::Dismissed { consumer });
        }
        self.world.observe(MemberEvent::Left { consumer });
    }

    /// Reads once, and transforms that in one transaction. Returns whether the stay continues.
    async fn pass(&mut self, random: &mut ChaCha12Rng) -> bool {
        if self.producer.is_none() {
            self.producer = Transacting::start(self.world, &self.client.desk).await;
            if self.producer.is_none() {
                self.world.sleep_until(self.world.now() + RESTART).await;
                return true;
            }
        }
        if !self.rewind().await {
            self.world.sleep_until(self.world.now() + PAUSE).await;
            return true;
        }
        let polled = self.consumer.poll(POLL).await;
        self.say_what_moved();
        self.look_at_generation();
        let records = match polled {
            Ok(records) => records,
            Err(error) => {
                self.world.sleep_until(self.world.now() + PAUSE).await;
                let of_group = matches!(error, ConsumeError::Group { .. });
                return !of_group || error.is_retriable();
            }
        };
        let read = self.notes.lock().log.read(&records);
        read.into_iter().for_each(|event| self.world.observe(event));
        self.notes.lock().fresh.clear();
        if records.is_empty() {
            return true;
        }
        for record in records.iter().rev() {
            self.unsettled.insert(record.partition.clone(), record.offset);
        }
        // Of the generation in which they were read: a later one proves nothing (KIP-447).
        let group = self.consumer.group_metadata().filter(|group| group.generation >= 0);
        let Some(group) = group else { return true };
        let signals = &self.client.desk.signals;
        signals.lock().transformed.insert(self.client.task.number, self.world.true_now());
        match self.client.commits {
            Commits::InTransaction => self.transact(&records, group, random).await,
            Commits::Before => self.commit_first(&records, group, random).await,
            Commits::After => self.commit_last(&records, group, random).await,
        }
        true
    }

    /// Commits, then sends the outputs: they are lost if it dies, or the partition refuses them.
    async fn commit_first(
        &mut self,
        records: &[ConsumerRecord],
        group: GroupMetadata,
        random: &mut ChaCha12Rng,
    ) {
        if self.commit(records).await
            && let Some(producer) = &self.producer
        {
            self.unsettled.clear();
            self.send(producer, records, &group, random).await;
            producer.flush().await;
        }
    }

    /// Sends the outputs, then commits: they are sent again if it dies, or any of them may be missing.
    async fn commit_last(
        &mut self,
        records: &[ConsumerRecord],
        group: GroupMetadata,
        random: &mut ChaCha12Rng,
    ) {
        let Some(producer) = &self.producer else { return };
        self.send(producer, records, &group, random).await;
        producer.flush().await;
        if producer.take_failures() == 0 && self.commit(records).await {
            self.unsettled.clear();
        }
    }

    /// Commits what follows these records. Returns whether it is committed for sure.
    async fn commit(&mut self, records: &[ConsumerRecord]) -> bool {
        let offsets = next_offsets(records).into_iter().collect();
        commit(self.world, &self.client.task, &mut self.consumer, offsets).await
    }

    async fn transact(
        &mut self,
        records: &[ConsumerRecord],
        group: GroupMetadata,
        random: &mut ChaCha12Rng,
    ) {
        let commits = random.random_range(0..PERCENT) >= self.client.aborts;
        let hold = self.client.hold.draw(random);
        let Some(mut producer) = self.producer.take() else { return };
        let sender = if self.client.generation { group.clone() } else { anonymous(&group) };
        let fate = if producer.begin().is_ok() {
            self.send(&producer, records, &group, random).await;
            let part = producer.send_offsets(next_offsets(records), sender).await;
            if !hold.is_zero() || !commits {
                producer.flush().await;
                self.world.sleep_until(self.world.now() + hold).await;
            }
            Some(producer.end(part && commits).await)
        } else {
            None
        };
        match fate {
            Some(Fate::Committed) => self.unsettled.clear(),
            Some(Fate::Aborted) => self.client.shows.happened(),
            // Its successor aborts, or finds completed, what it left open.
            Some(Fate::Over(_)) | None => return producer.close(Duration::ZERO).await,
        }
        self.producer = Some(producer);
    }

    /// Sends one output for each record. Those of one partition stay together, in their order.
    async fn send(
        &self,
        producer: &Transacting<W>,
        records: &[ConsumerRecord],
        group: &GroupMetadata,
        random: &mut ChaCha12Rng,
    ) {
        let Topic { name, partitions, keys, .. } = &self.client.output;
        let processing = &self.client.processing;
        let topic = name.as_str().into();
        for record in records {
            let Some(value) = number_of(record) else { continue };
            if !processing.high.is_zero() {
                self.world.sleep_until(self.world.now() + processing.draw(random)).await;
            }
            let (partition, offset) = (record.partition.clone(), record.offset);
            let key = u64::try_from(partition.partition).unwrap_or(0);
            let to = partition.partition.checked_rem(*partitions).unwrap_or(0);
            let output = values::record(&topic, *keys, producer.value(), SIZE).to_partition(to);
            let input = Input { partition, offset, value, key };
            producer.transform(&group.group, input, output).await;
        }
    }

    /// Goes back to what the group has committed, after a transaction that was not, or perhaps was.
    /// Returns whether that is known.
    async fn rewind(&mut self) -> bool {
        let owned = self.consumer.assignment();
        self.unsettled.retain(|partition, _| owned.contains(partition));
        if self.unsettled.is_empty() {
            return true;
        }
        let consumer = self.client.task.number;
        let partitions: Vec<_> = self.unsettled.keys().cloned().collect();
        self.world.observe(MemberEvent::Recalling { consumer });
        let Ok(found) = self.consumer.committed(&partitions, RECALL).await else { return false };
        let offset = |found: &Option<CommittedOffset>| found.as_ref().map(|found| found.offset);
        let offsets = found.iter().map(|(partition, found)| (partition.clone(), offset(found)));
        self.world.observe(MemberEvent::Recalled { consumer, offsets: offsets.collect() });
        self.say_what_moved();
        for (partition, first) in std::mem::take(&mut self.unsettled) {
            let known = found.get(&partition).and_then(Option::as_ref);
            let to = known.map_or(first, |committed| committed.offset);
            self.consumer.seek(&partition, to);
            let event = self.notes.lock().log.positioned(&partition, to);
            self.world.observe(event);
        }
        true
    }

    /// Says what moved positions since the last call.
    fn say_what_moved(&mut self) {
        let moved = self.notes.lock().log.moved(&self.consumer.take_notices());
        moved.into_iter().for_each(|event| self.world.observe(event));
    }

    /// Says so if it is in another generation and its share is as before.
    fn look_at_generation(&mut self) {
        let (consumer, generation) = (self.client.task.number, generation(&self.consumer));
        let known = std::mem::replace(&mut self.notes.lock().generation, generation);
        if generation > NO_GENERATION && generation != known {
            self.world.observe(MemberEvent::Entered { consumer, generation });
        }
    }
}

/// The group without the member: a coordinator can't tell whether it still has its place.
fn anonymous(group: &GroupMetadata) -> GroupMetadata {
    let (generation, member) = (NO_GENERATION, String::new());
    GroupMetadata { group: group.group.clone(), generation, member, instance: None }
}

/// After the last record of each partition.
fn next_offsets(records: &[ConsumerRecord]) -> Vec<(TopicPartition, CommittedOffset)> {
    let next = |record: &ConsumerRecord| CommittedOffset {
        offset: record.offset.next(),
        leader_epoch: record.leader_epoch,
        metadata: String::new(),
    };
    let next = records.iter().map(|record| (record.partition.clone(), next(record)));
    let last: BTreeMap<TopicPartition, CommittedOffset> = next.collect();
    last.into_iter().collect()
}
