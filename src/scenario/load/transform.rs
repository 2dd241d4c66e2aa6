//! `transform`: members of a group that make one record of each that they read, in transactions with
//! the offsets that they have read up to.
//!
//! A transaction that fails is aborted, a producer that can't go on is replaced, and the group's
//! committed offsets say where to read on. Loads whose inputs are outputs of others form chains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::entries::bounded;
use super::super::writer::Writer;
use super::effects::Effect;
use super::habits::{Commit, Habits, NO_GENERATION, Notes, SharedNotes, Shows, Task, generation};
use super::listener::Listener;
use super::reading::{READ_COMMITTED, ReadingLog, report_isolation};
use super::transacting::{Desk, Fate, Input, Past, Transacting};
use super::transactional::pause;
use super::values::{self, number_of};
use super::{Kind, Processing, Promise, Seats, Settings, Share, Side, Smaller, boot, settle};
use crate::base::config::{
    Acks, Config, ConfigError, ConsumerConfig, Foreign, Key, ProducerConfig, Setting,
};
use crate::base::{Offset, Stream, TopicPartition};
use crate::client::{
    CommittedOffset, ConsumeError, Consumer, ConsumerRecord, GroupMetadata, check_consumer,
};
use crate::scenario::{Range, Topic};
use crate::sim::{Boot, MemberEvent, SimWorld};

/// How long a poll waits for records.
const POLL: Duration = Duration::from_millis(500);
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
const PERCENT: u64 = 100;
/// Producers of these loads are numbered from here on: their clients' numbers are those of consumers.
const PRODUCERS: u32 = 10_000;
const ISOLATION: &str = "isolation.level";

/// Settings of a consumer and a producer. One that both have counts for both.
#[derive(Clone, Debug, Default, PartialEq)]
struct Both {
    reads: ConsumerConfig,
    writes: ProducerConfig,
}

impl Config for Both {
    const KEYS: &'static [Key] = ConsumerConfig::KEYS;
    const FOREIGN: &'static [&'static [Foreign]] = ConsumerConfig::FOREIGN;

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if ProducerConfig::knows(key) {
            self.writes.set(key, value)?;
            if !ConsumerConfig::knows(key) {
                return Ok(());
            }
        }
        self.reads.set(key, value)
    }

    fn get(&self, key: &str) -> Option<String> {
        self.reads.get(key).or_else(|| self.writes.get(key))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transform {
    /// The topic that it writes to.
    output: String,
    /// How long it works on what it read, before it sends offsets.
    processing: Range<Duration>,
    /// How long a transaction stays open after its records are stored.
    hold: Range<Duration>,
    /// The share of transactions that are aborted, in percent.
    aborts: u64,
    /// Whether offsets are sent with the member's id and generation (KIP-447).
    generation: bool,
    settings: Settings<Both>,
}

impl Kind for Transform {
    const NAME: &'static str = "transform";
    const SIDE: Side = Side::Consumes;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let line = section.line;
        let output = section.scalar("output", problems).map(|output| output.value);
        if output.is_none() {
            problems.add(line, "`output` is missing: the topic to write to");
        }
        let processing = pause(section, "processing", Range::just(Duration::ZERO), problems);
        let hold = pause(section, "hold", Range::just(Duration::ZERO), problems);
        let aborts = bounded(section, "aborts", (0, PERCENT), 0, problems);
        let generation = section.boolean("generation", problems).unwrap_or(true);
        if let Some(line) = section.line_of("enable.auto.commit") {
            let why = "offsets are committed in transactions: leave it out";
            problems.add(line, format!("`enable.auto.commit`: {why}"));
        }
        let settings = Settings::parse_checked(section, problems, |both: &Both| {
            check_consumer(&both.reads)?;
            both.with_id(1).check()
        });
        if settings.config.reads.group_id.is_empty() {
            problems.add(line, "`group.id` is missing: a name, such as `\"billing\"`");
        }
        Self { output: output.unwrap_or_default(), processing, hold, aborts, generation, settings }
    }

    fn write(&self, out: &mut Writer) {
        out.text("output", &self.output);
        if self.processing != Range::just(Duration::ZERO) {
            out.range("processing", &self.processing);
        }
        if self.hold != Range::just(Duration::ZERO) {
            out.range("hold", &self.hold);
        }
        if self.aborts > 0 {
            out.plain("aborts", self.aborts);
        }
        if !self.generation {
            out.plain("generation", false);
        }
        self.settings.write(out);
    }

    fn promise(&self) -> Promise {
        let config = &self.settings.config.writes;
        Promise {
            acks: Some(Acks::All),
            idempotence: true,
            patience: Some(config.request_timeout),
            processing: Some(Processing::ExactlyOnce),
        }
    }

    fn group(&self) -> Option<&str> {
        Some(&self.settings.config.reads.group_id)
    }

    fn transactional_id(&self) -> Option<String> {
        Some(self.settings.config.with_id(1).transactional_id)
    }

    fn output(&self) -> Option<&str> {
        Some(self.output.as_str()).filter(|output| !output.is_empty())
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let shows = match self.aborts > 0 {
            true => seats.expects(Self::SIDE.letter(), "aborts", "no transaction was aborted"),
            false => Effect::default(),
        };
        let output = seats.topics.iter().find(|topic| topic.name == self.output);
        let output = output.unwrap_or(seats.topic);
        let host = |number| {
            let Both { reads, .. } = self.settings.config.as_ref();
            let mut reads = settle(reads, number, seats.servers.clone());
            reads.enable_auto_commit.value = false;
            reads.enable_auto_commit.set = true;
            if !self.settings.written.iter().any(|(key, _)| key == ISOLATION) {
                reads.isolation_level = READ_COMMITTED.into();
            }
            let mut writes = self.settings.config.with_id(number - seats.first + 1);
            writes.bootstrap_servers.clone_from(&seats.servers);
            writes.client_id = format!("{}-producer", reads.client_id);
            let desk = Desk {
                number: PRODUCERS + number,
                config: writes,
                flaws: seats.flaws,
                past: Past::of(PRODUCERS + number),
                signals: seats.signals.clone(),
                stops: |signals| signals.stop_consuming,
            };
            let task = Task {
                number,
                topics: vec![seats.topic.name.as_str().into()],
                habits: without_habits(),
                shows: Shows::default(),
                config: reads,
                flaws: seats.flaws,
                commits: Arc::default(),
            };
            let client = Client {
                load: self.clone(),
                output: output.clone(),
                desk,
                task,
                aborts: shows.clone(),
            };
            client.program()
        };
        seats.numbers().map(host).collect()
    }

    fn smaller(&self, way: Smaller, _share: Share) -> Vec<Self> {
        let mut ways = Vec::new();
        if way == Smaller::LowerRate {
            if self.aborts > 0 {
                ways.push(Self { aborts: 0, ..self.clone() });
            }
            if self.processing.high > Duration::ZERO {
                ways.push(Self { processing: Range::just(Duration::ZERO), ..self.clone() });
            }
            if self.hold.high > Duration::ZERO {
                ways.push(Self { hold: Range::just(Duration::ZERO), ..self.clone() });
            }
        }
        ways
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use crate::scenario::fault::any;
        use proptest::prelude::*;
        let keys = [("max.poll.records", "7"), ("transaction.timeout.ms", "9000")];
        let keys = proptest::option::of(proptest::sample::select(keys.to_vec()));
        let parts = ((any::times(), any::times()), 0..=PERCENT, any::<bool>(), keys);
        let any = parts.prop_map(|((processing, hold), aborts, generation, pair)| {
            let mut pairs = vec![("group.id".to_owned(), "billing".to_owned())];
            pairs.extend(pair.map(|(key, value)| (key.to_owned(), value.to_owned())));
            let settings = Settings::of(pairs);
            Self { output: "orders".into(), processing, hold, aborts, generation, settings }
        });
        any.boxed()
    }
}

impl Both {
    /// The settings of one client's producer. Clients are counted from 1, and each has an id of its own,
    /// which follows the group's name unless the file says another.
    fn with_id(&self, client: u32) -> ProducerConfig {
        let mut writes = self.writes.clone();
        let name = Some(&writes.transactional_id).filter(|name| !name.is_empty());
        let name = name.unwrap_or(&self.reads.group_id);
        writes.transactional_id = format!("{name}-{client}");
        writes
    }
}

/// Its members do nothing but read and transform.
fn without_habits() -> Habits {
    Habits {
        commit: Commit::Auto,
        processing: Range::just(Duration::ZERO),
        stalls: None,
        waves: None,
        pauses: None,
        never_revokes: false,
        worker: false,
        poll: POLL,
    }
}

/// One client.
#[derive(Clone)]
struct Client {
    load: Transform,
    output: Topic,
    desk: Desk,
    task: Task,
    aborts: Effect,
}

impl Client {
    fn program<W: SimWorld>(self) -> Boot<W> {
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
        self.transact(&records, group, random).await;
        true
    }

    async fn transact(
        &mut self,
        records: &[ConsumerRecord],
        group: GroupMetadata,
        random: &mut ChaCha12Rng,
    ) {
        let commits = random.random_range(0..PERCENT) >= self.client.load.aborts;
        let hold = self.client.load.hold.draw(random);
        let Some(mut producer) = self.producer.take() else { return };
        let sender = if self.client.load.generation { group.clone() } else { anonymous(&group) };
        let fate = if producer.begin().is_ok() {
            self.send(&producer, records, &group).await;
            self.process(random).await;
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
            Some(Fate::Aborted) => self.client.aborts.happened(),
            // Its successor aborts, or finds completed, what it left open.
            Some(Fate::Over(_)) | None => return producer.close(Duration::ZERO).await,
        }
        self.producer = Some(producer);
    }

    /// Works on what it read. A member that does not draws nothing.
    async fn process(&self, random: &mut ChaCha12Rng) {
        let processing = self.client.load.processing;
        if processing.high > Duration::ZERO {
            self.world.sleep_until(self.world.now() + processing.draw(random)).await;
        }
    }

    /// Sends one output for each record. Those of one partition stay together, in their order.
    async fn send(
        &self,
        producer: &Transacting<W>,
        records: &[ConsumerRecord],
        group: &GroupMetadata,
    ) {
        let Topic { name, partitions, keys, .. } = &self.client.output;
        let topic = name.as_str().into();
        for record in records {
            let Some(value) = number_of(record) else { continue };
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
