//! What client hosts run: an admin that creates the topic, producers, consumers, and the reader
//! that in the end reads everything once more. Each records what it does and sees beside itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngExt;

use crate::base::config::{Acks, AdminConfig, ConsumerConfig, OffsetReset, ProducerConfig};
use crate::base::{Offset, Stream, TopicPartition};
use crate::client::{Admin, Consumer, ConsumerRecord, Notice, Producer, ProducerRecord};
use crate::lab::scenario::{Range, Topic};
use crate::sim::{Boot, ClientEvent, Outcome, SimWorld};

/// How long a poll may wait.
const POLL: Duration = Duration::from_millis(500);
/// Pause after an error that comes at once.
const PAUSE: Duration = Duration::from_millis(100);
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
}

/// A handle on it.
pub(super) type Shared = Arc<Mutex<Control>>;

/// Creates the topic, as often as that takes.
pub(super) fn admin<W: SimWorld>(topic: Topic, config: AdminConfig, control: Shared) -> Boot<W> {
    boot(move |world: W| {
        let (topic, config, control) = (topic.clone(), config.clone(), control.clone());
        async move {
            let created = create(&world, &topic, config, &control).await;
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
    pub interval: Duration,
    /// What is due before is drawn, and not sent.
    pub begins: Duration,
    /// How many it sends at most.
    pub records: Option<u64>,
    pub record_size: Range<u64>,
    pub config: ProducerConfig,
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
    let Ok(producer) = Producer::start(world.clone(), work.config) else { return };
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
        let value = u64::from(work.number) << 40 | op;
        world.observe(ClientEvent::Sent {
            producer: work.number,
            op,
            partition: TopicPartition::new(work.topic.clone(), partition),
            value,
            acks,
            idempotent,
        });
        let record = ProducerRecord::new(work.topic.clone(), padded(value, size));
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
            told.observe(ClientEvent::Told { producer, op, outcome });
        });
    }
    producer.close(CLOSE).await;
    if work.records.is_some() {
        // The host ends with this task: those beside it still have to say what was delivered.
        world.sleep_until(world.now() + PAUSE).await;
    }
}

/// A value that begins with its unique number.
fn padded(value: u64, size: u64) -> Bytes {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(8).max(8)];
    bytes[..8].copy_from_slice(&value.to_be_bytes());
    bytes.into()
}

/// The unique number of a record; `None` for bytes that no producer of ours sent.
fn number_of(record: &ConsumerRecord) -> Option<u64> {
    let head = record.value.as_ref()?.get(..8)?;
    head.try_into().ok().map(u64::from_be_bytes)
}

/// Everything that a consumer needs to know.
#[derive(Clone)]
pub(super) struct Consuming {
    pub number: u32,
    pub partitions: Vec<TopicPartition>,
    pub config: ConsumerConfig,
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
    number: u32,
    consumer: Consumer<W>,
    /// Partitions whose first position has been recorded.
    begun: BTreeMap<TopicPartition, bool>,
}

impl<W: SimWorld> Reader<W> {
    fn start(world: W, work: Consuming) -> Option<Self> {
        let mut consumer = Consumer::new(world.clone(), work.config).ok()?;
        consumer.assign(work.partitions.clone());
        consumer.seek_to_beginning(&work.partitions);
        let begun = work.partitions.into_iter().map(|partition| (partition, false)).collect();
        Some(Self { world, number: work.number, consumer, begun })
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

    fn positioned(&self, partition: &TopicPartition, offset: Offset) {
        let (consumer, partition) = (self.number, partition.clone());
        self.world.observe(ClientEvent::Positioned { consumer, partition, offset });
    }

    fn reached(&self, partition: TopicPartition, end: Offset) {
        self.world.observe(ClientEvent::ReachedEnd { consumer: self.number, partition, end });
    }

    async fn poll(&mut self) {
        let polled = self.consumer.poll(POLL).await;
        // What moved a position comes before what was read from there.
        for notice in self.consumer.take_notices() {
            match notice {
                Notice::Reset { partition, to, .. }
                | Notice::Truncated { partition, to: Some(to), .. } => {
                    self.begun.insert(partition.clone(), true);
                    self.positioned(&partition, to);
                }
                Notice::Truncated { to: None, .. } => {}
            }
        }
        match polled {
            Ok(records) => self.record(&records),
            Err(_) => {
                // Nothing but `auto.offset.reset=none` or damage ends here: begin again.
                let all: Vec<_> = self.begun.keys().cloned().collect();
                self.consumer.seek_to_beginning(&all);
                self.begun.values_mut().for_each(|begun| *begun = false);
                self.world.sleep_until(self.world.now() + PAUSE).await;
            }
        }
    }

    /// One event for each run of records of one partition.
    fn record(&mut self, records: &[ConsumerRecord]) {
        for run in records.chunk_by(|one, next| one.partition == next.partition) {
            let Some(first) = run.first() else { continue };
            if self.begun.insert(first.partition.clone(), true) == Some(false) {
                self.positioned(&first.partition, first.offset);
            }
            let seen = run.iter().filter_map(|record| Some((record.offset, number_of(record)?)));
            self.world.observe(ClientEvent::Polled {
                consumer: self.number,
                partition: first.partition.clone(),
                records: seen.collect(),
            });
        }
    }
}

/// A boot function from one that makes a future.
pub(super) fn boot<W, F>(run: impl Fn(W) -> F + Send + Sync + 'static) -> Boot<W>
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |world| Box::pin(run(world)))
}
