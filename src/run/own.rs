//! Clients of the run itself: the admin that creates the topics, and the reader of the final reads.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::config::{AdminConfig, ConsumerConfig, OffsetReset};
use crate::base::{Flaws, TopicPartition};
use crate::client::{Admin, ConsumerRecord};
use crate::scenario::Topic;
use crate::scenario::load::{Reader, SharedSignals, boot, unnumber};
use crate::sim::{Boot, SimWorld};

/// Delay after an immediate error.
const PAUSE: Duration = Duration::from_millis(100);

/// Communication between the run and its own clients. Accessed between and within steps of one
/// thread only.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// Signals to and from the clients of loads.
    pub signals: SharedSignals,
    /// The result of creating the topics.
    pub created: Option<Result<(), String>>,
    /// The final reads reached the end of every partition.
    pub read: bool,
    /// Whether to keep the records that the final reads find.
    pub keeps: bool,
    /// The records of the final reads, in order, if kept.
    pub read_last: Vec<ConsumerRecord>,
}

/// A shared handle.
pub(super) type Shared = Arc<Mutex<Control>>;

/// Creates the topics, with retries.
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
    let config = topic.requested();
    loop {
        let created =
            admin.create_topic(&topic.name, topic.partitions, topic.replication_factor, &config);
        match created.await {
            Ok(()) => return Ok(()),
            // The previous response was lost.
            Err(error) if error.name() == "TOPIC_ALREADY_EXISTS" => return Ok(()),
            // Brokers register one after the other.
            Err(error) => control.lock().created = Some(Err(error.to_string())),
        }
        world.sleep_until(world.now() + PAUSE).await;
    }
}

/// Reads its partitions from the beginning to the log end at its start.
pub(super) fn final_reader<W: SimWorld>(
    number: u32,
    partitions: Vec<TopicPartition>,
    config: ConsumerConfig,
    control: Shared,
) -> Boot<W> {
    let config = ConsumerConfig { auto_offset_reset: OffsetReset::Earliest, ..config };
    boot(move |world: W| {
        let (partitions, config) = (partitions.clone(), config.clone());
        let control = control.clone();
        async move {
            // It reads without flaws, to find what is really there.
            let settings = (config, Flaws::default());
            let reader = Reader::start(world, number, partitions.clone(), settings);
            let Some(mut reader) = reader.map(Reader::giving_up) else { return };
            let keeps = control.lock().keeps;
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
                let mut records = reader.poll().await;
                if keeps {
                    records.iter_mut().for_each(unnumber);
                    control.lock().read_last.append(&mut records);
                }
            }
            control.lock().read = true;
        }
    })
}
