//! What client hosts run: an admin that creates the topic, producers, consumers, and the reader
//! that in the end reads everything once more. Each records what it does and sees beside itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngExt;

use crate::base::config::{Acks, AdminConfig, ConsumerConfig, OffsetReset, ProducerConfig};
use crate::base::{Flaws, Instant, Offset, Stream, TopicPartition};
use crate::check::TopicPromise;
use crate::client::{
    Admin, ConsumeError, Consumer, ConsumerRecord, Header, Notice, Producer, ProducerRecord,
};
use crate::scenario::{Range, Topic};
use crate::sim::{Boot, ClientEvent, ConsumerEvent, Outcome, ProducerEvent, SimWorld};
use crate::wire::ErrorCode;

/// How long a poll may wait.
const POLL: Duration = Duration::from_millis(500);
/// One of so many records with a key is a tombstone.
const TOMBSTONES: u64 = 10;
/// Pause after an error that comes at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a final read tries to read a record that is refused as damaged: longer than another
/// replica that has it takes to lead.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a producer that stops waits for what is under way.
const CLOSE: Duration = Duration::from_secs(30);

/// What the driver tells clients, and they it. Read and written between and within steps of one
/// thread only.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// What came of creating the topic.
    pub created: Option<Result<(), String>>,
    /// No new records.
    pub stop_producing: bool,
    /// Producers that have ended.
    pub produced: u64,
    /// No new polls.
    pub stop_consuming: bool,
    /// The final reads reached the end of every partition.
    pub read: bool,
    /// Whether somebody wants what the final reads find…
    pub keeps: bool,
    /// …which is here then, in the order in which it was read.
    pub read_last: Vec<ConsumerRecord>,
}

/// A handle on it.
pub(super) type Shared = Arc<Mutex<Control>>;

/// Creates the topics, as often as that takes.
pub(super) fn admin<W: SimWorld>(
    topics: Vec<Topic>,
    config: AdminConfig,
    control: Shared,
) -> Boot<W> {
    boot(move |world: W| {
        let (topics, config, control) = (topics.clone(), config.clone(), control.clone());
        async move {
            let mut created = Ok(());
            for topic in &topics {
                created = create(&world, topic, config.clone(), &control).await;
                if created.is_err() {
                    break;
                }
            }
            control.lock().created = Some(created);
        }
    })
}

async fn create<W: SimWorld>(
    world: &W,
    topic: &Topic,
    config: AdminConfig,
    control: &Shared,
) -> Result<(), String> {
    let admin = Admin::new(world.clone(), config).map_err(|error| error.to_string())?;
    let config: Vec<(&str, &str)> =
        topic.config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    loop {
        let created =
            admin.create_topic(&topic.name, topic.partitions, topic.replication_factor, &config);
        match created.await {
            Ok(()) => return Ok(()),
            // An answer that was lost on the way.
            Err(error) if error.name() == "TOPIC_ALREADY_EXISTS" => return Ok(()),
            // Brokers register one after the other.
            Err(error) => control.lock().created = Some(Err(error.to_string())),
        }
        world.sleep_until(world.now() + PAUSE).await;
    }
}

/// Everything that a producer needs to know.
#[derive(Clone)]
pub(super) struct Producing {
    pub number: u32,
    pub topic: Arc<str>,
    pub partitions: i32,
    /// Of so many keys; 0: none.
    pub keys: u64,
    pub interval: Duration,
    /// What is due before is drawn, and not sent.
    pub begins: Duration,
    /// How many it sends at most.
    pub records: Option<u64>,
    pub record_size: Range<u64>,
    pub config: ProducerConfig,
    pub flaws: Flaws,
}

/// Sends records at its rate until it is told to stop.
pub(super) fn producer<W: SimWorld>(work: Producing, control: Shared) -> Boot<W> {
    boot(move |world: W| {
        let (work, control) = (work.clone(), control.clone());
        async move {
            produce(&world, work, &control).await;
            control.lock().produced += 1;
        }
    })
}

async fn produce<W: SimWorld>(world: &W, work: Producing, control: &Shared) {
    let (acks, idempotent) = (work.config.acks, work.config.idempotence);
    let idempotent = idempotent && acks == Acks::All;
    let config = work.config.clone();
    let producer = Producer::start_flawed(world.clone(), config, work.flaws);
    let Ok(producer) = producer else { return };
    let mut random = world.random(Stream::named("producer load"));
    let begins = world.now() + work.begins;
    let mut due = world.now() + work.interval.mul_f64(random.random_range(0.0..1.0));
    let mut left = work.records.unwrap_or(u64::MAX);
    for op in 0.. {
        if left == 0 {
            break;
        }
        if due < begins {
            // Drawn all the same, so that what follows is what it would have been.
            let _: i32 = random.random_range(0..work.partitions);
            work.record_size.draw(&mut random);
            due = due + work.interval;
            continue;
        }
        left -= 1;
        world.sleep_until(due).await;
        if control.lock().stop_producing {
            break;
        }
        // A producer that was held up sends what it owes, but not all at once.
        due = (due + work.interval).max(world.now() - 100 * work.interval);
        let partition = random.random_range(0..work.partitions);
        let size = work.record_size.draw(&mut random);
        let mut value = u64::from(work.number) << 40 | op;
        if work.keys > 0 && random.random_range(0..TOMBSTONES) == 0 {
            value |= TopicPromise::TOMBSTONE;
        }
        world.observe(ProducerEvent::Sent {
            producer: work.number,
            op,
            partition: TopicPartition::new(work.topic.clone(), partition),
            value,
            acks,
            idempotent,
        });
        let record = record(&work, value, size);
        let delivery = producer.send(record.to_partition(partition)).await;
        let (told, producer) = (world.clone(), work.number);
        world.spawn("delivery", async move {
            let outcome = match delivery.await {
                Ok(stored) => Outcome::Ok { offset: stored.offset },
                Err(error) if error.may_be_stored => {
                    Outcome::Unknown { error: error.name().into() }
                }
                Err(error) => Outcome::Fail { error: error.name().into() },
            };
            told.observe(ProducerEvent::Told { producer, op, outcome });
        });
    }
    producer.close(CLOSE).await;
    if work.records.is_some() {
        // The host ends with this task: those beside it still have to say what was delivered.
        world.sleep_until(world.now() + PAUSE).await;
    }
}

/// The record of a value: a tombstone has its number in a header, for it has no value.
fn record(work: &Producing, value: u64, size: u64) -> ProducerRecord {
    let mut record = ProducerRecord::new(work.topic.clone(), padded(value, size));
    let promise = TopicPromise { keys: work.keys, ..TopicPromise::default() };
    if let Some(key) = promise.key_of(value) {
        record = record.with_key(key.to_string());
        if value & TopicPromise::TOMBSTONE != 0 {
            record.value = None;
            number(&mut record, value);
        }
    }
    record
}

/// A value that begins with its unique number.
fn padded(value: u64, size: u64) -> Bytes {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(8).max(8)];
    bytes[..8].copy_from_slice(&value.to_be_bytes());
    bytes.into()
}

/// Holds the unique number of a record whose value is somebody else's.
const NUMBER: &str = "brokerquake-number";

/// Gives a record its unique number beside its value.
pub(crate) fn number(record: &mut ProducerRecord, number: u64) {
    let value = Some(Bytes::copy_from_slice(&number.to_be_bytes()));
    record.headers.push(Header { key: NUMBER.into(), value });
}

/// Takes the number off again, so that a reader gets what was sent.
pub(crate) fn unnumber(record: &mut ConsumerRecord) {
    record.headers.retain(|header| header.key != NUMBER);
}

/// The unique number of a record; `None` for bytes that no producer of ours sent.
fn number_of(record: &ConsumerRecord) -> Option<u64> {
    let beside = record.headers.iter().find(|header| header.key == NUMBER);
    let number = beside.map_or(record.value.as_ref(), |header| header.value.as_ref());
    number?.get(..8)?.try_into().ok().map(u64::from_be_bytes)
}

/// Everything that a consumer needs to know.
#[derive(Clone)]
pub(super) struct Consuming {
    pub number: u32,
    pub partitions: Vec<TopicPartition>,
    pub config: ConsumerConfig,
    pub flaws: Flaws,
}

/// Reads its partitions from the beginning until it is told to stop.
pub(super) fn consumer<W: SimWorld>(work: Consuming, control: Shared) -> Boot<W> {
    boot(move |world: W| {
        let (work, control) = (work.clone(), control.clone());
        async move {
            let Some(mut reader) = Reader::start(world, work) else { return };
            while !control.lock().stop_consuming {
                reader.poll().await;
            }
        }
    })
}

/// Reads its partitions from the beginning to the end that they have when it begins.
pub(super) fn final_reader<W: SimWorld>(work: Consuming, control: Shared) -> Boot<W> {
    boot(move |world: W| {
        let (mut work, control) = (work.clone(), control.clone());
        async move {
            work.config.auto_offset_reset = OffsetReset::Earliest;
            let partitions = work.partitions.clone();
            let Some(mut reader) = Reader::start(world, work) else { return };
            reader.gives_up = true;
            reader.kept = control.lock().keeps.then(|| control.clone());
            let mut ends = reader.ends(&partitions).await;
            loop {
                let reached: Vec<_> = ends
                    .iter()
                    .filter(|(partition, end)| reader.position(partition) >= Some(**end))
                    .map(|(partition, end)| (partition.clone(), *end))
                    .collect();
                for (partition, end) in reached {
                    ends.remove(&partition);
                    reader.reached(partition, end);
                }
                if ends.is_empty() {
                    break;
                }
                reader.poll().await;
            }
            control.lock().read = true;
        }
    })
}

/// A consumer, and what is recorded beside it.
struct Reader<W: SimWorld> {
    world: W,
    consumer: Consumer<W>,
    log: ReadingLog,
    /// Where what is read goes, if somebody wants it.
    kept: Option<Shared>,
    /// What could not be read: since when some of a partition, and what it was last.
    unreadable: BTreeMap<TopicPartition, (Instant, (Offset, bool))>,
    /// Reads on behind what can't be read.
    gives_up: bool,
}

impl<W: SimWorld> Reader<W> {
    fn start(world: W, work: Consuming) -> Option<Self> {
        let mut consumer = Consumer::flawed(world.clone(), work.config, work.flaws).ok()?;
        consumer.assign(work.partitions.clone());
        consumer.seek_to_beginning(&work.partitions);
        let mut log = ReadingLog::new(work.number);
        log.assigned(&work.partitions);
        let unreadable = BTreeMap::new();
        Some(Self { world, consumer, log, kept: None, unreadable, gives_up: false })
    }

    async fn ends(&mut self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Offset> {
        loop {
            match self.consumer.end_offsets(partitions, Duration::from_secs(5)).await {
                Ok(ends) => return ends,
                Err(_) => self.world.sleep_until(self.world.now() + PAUSE).await,
            }
        }
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    fn reached(&self, partition: TopicPartition, end: Offset) {
        let consumer = self.log.number;
        self.world.observe(ConsumerEvent::ReachedEnd { consumer, partition, end });
    }

    async fn poll(&mut self) {
        let polled = self.consumer.poll(POLL).await;
        // What moved a position comes before what was read from there.
        let moved = self.log.moved(&self.consumer.take_notices());
        moved.into_iter().for_each(|event| self.world.observe(event));
        match polled {
            Ok(mut records) => {
                let read = self.log.read(&records);
                read.into_iter().for_each(|event| self.world.observe(event));
                if let Some(kept) = &self.kept {
                    records.iter_mut().for_each(unnumber);
                    kept.lock().read_last.append(&mut records);
                }
            }
            Err(ConsumeError::Broker { partition, error: ErrorCode::CorruptMessage }) => {
                self.can_not_read(partition, false).await;
            }
            Err(ConsumeError::Corrupt { partition, .. }) => {
                self.can_not_read(partition, true).await;
            }
            Err(_) => {
                // Nothing but `auto.offset.reset=none` ends here: begin again.
                let all = self.log.partitions();
                self.consumer.seek_to_beginning(&all);
                self.log.sought(&all);
                self.world.sleep_until(self.world.now() + PAUSE).await;
            }
        }
    }
}

impl<W: SimWorld> Reader<W> {
    /// The record at the position is damaged. The position stays; a final read gives the record up
    /// after a while, and with it those behind it that are refused, too.
    async fn can_not_read(&mut self, partition: TopicPartition, served: bool) {
        let Some(offset) = self.consumer.position(&partition) else { return };
        let (consumer, now) = (self.log.number, self.world.now());
        let told = (offset, served);
        if self.unreadable.get(&partition).is_none_or(|(_, before)| *before != told) {
            let partition = partition.clone();
            self.world.observe(ConsumerEvent::Unreadable { consumer, partition, offset, served });
        }
        let since = self.unreadable.get(&partition).map_or(now, |(since, _)| *since);
        self.unreadable.insert(partition.clone(), (since, told));
        if self.gives_up && now.since(since) >= PATIENCE {
            self.consumer.seek(&partition, offset.next());
            self.world.observe(ConsumerEvent::Skipped { consumer, partition, offset });
            return;
        }
        self.world.sleep_until(now + PAUSE).await;
    }
}

/// What is recorded of one consumer: where it was positioned, and what it read from there.
#[derive(Debug)]
pub(crate) struct ReadingLog {
    number: u32,
    /// Partitions, and whether their position has been recorded since it was last set.
    begun: BTreeMap<TopicPartition, bool>,
}

impl ReadingLog {
    /// Of the consumer with this number.
    pub fn new(number: u32) -> Self {
        Self { number, begun: BTreeMap::new() }
    }

    /// All partitions that are read from now on.
    pub fn assigned(&mut self, partitions: &[TopicPartition]) {
        self.begun.retain(|partition, _| partitions.contains(partition));
        for partition in partitions {
            self.begun.entry(partition.clone()).or_insert(false);
        }
    }

    /// All partitions that are read.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.begun.keys().cloned().collect()
    }

    /// Positions were set; where they are shows when the first record comes.
    pub fn sought(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.begun.insert(partition.clone(), false);
        }
    }

    /// A position was set to this offset.
    pub fn positioned(&mut self, partition: &TopicPartition, offset: Offset) -> ClientEvent {
        self.begun.insert(partition.clone(), true);
        let (consumer, partition) = (self.number, partition.clone());
        ClientEvent::Consumer(ConsumerEvent::Positioned { consumer, partition, offset })
    }

    /// What moved positions though nobody sought.
    pub fn moved(&mut self, notices: &[Notice]) -> Vec<ClientEvent> {
        let moves = notices.iter().filter_map(|notice| match notice {
            Notice::Reset { partition, to, .. }
            | Notice::Truncated { partition, to: Some(to), .. } => {
                Some(self.positioned(partition, *to))
            }
            Notice::Truncated { to: None, .. } => None,
        });
        moves.collect()
    }

    /// One event for each run of records of one partition.
    pub fn read(&mut self, records: &[ConsumerRecord]) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        for run in records.chunk_by(|one, next| one.partition == next.partition) {
            let Some(first) = run.first() else { continue };
            if self.begun.insert(first.partition.clone(), true) == Some(false) {
                events.push(self.positioned(&first.partition, first.offset));
            }
            let seen = run.iter().filter_map(|record| Some((record.offset, number_of(record)?)));
            events.push(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer: self.number,
                partition: first.partition.clone(),
                records: seen.collect(),
            }));
        }
        events
    }
}

/// A boot function from one that makes a future.
pub(crate) fn boot<W, F>(run: impl Fn(W) -> F + Send + Sync + 'static) -> Boot<W>
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |world| Box::pin(run(world)))
}
