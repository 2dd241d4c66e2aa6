//! Clients of the run itself: admins that create and change topics, and the reader of the final reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::config::{AdminConfig, ConsumerConfig, OffsetReset};
use crate::base::{Flaws, TopicPartition};
use crate::client::{Admin, AdminError, ConsumerRecord, ElectionType};
use crate::scenario::Topic;
use crate::scenario::fault::TopicChange;
use crate::scenario::load::{Reader, SharedSignals, boot, unnumber};
use crate::sim::{Boot, SimWorld};

/// Delay after an immediate error.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the operator looks for something to do.
const IDLE: Duration = Duration::from_millis(20);

/// Communication between the run and its own clients. Accessed between and within steps of one
/// thread only.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// Signals to and from the clients of loads.
    pub signals: SharedSignals,
    /// The result of creating the topics.
    pub created: Option<Result<(), String>>,
    /// Changes of topics that faults ordered, in order.
    pub changes: VecDeque<TopicChange>,
    /// Whether a change is under way.
    pub changing: bool,
    /// Changes that changed nothing.
    pub vain: Vec<String>,
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

/// Makes the changes of topics that faults order, one after the other, and retries each.
pub(super) fn operator<W: SimWorld>(
    topics: Vec<Topic>,
    config: AdminConfig,
    control: Shared,
) -> Boot<W> {
    boot(move |world: W| {
        let (topics, config, control) = (topics.clone(), config.clone(), control.clone());
        async move {
            loop {
                let change = {
                    let mut control = control.lock();
                    let change = control.changes.pop_front();
                    control.changing = change.is_some();
                    change
                };
                match change {
                    Some(change) => make(&world, &topics, &config, &control, change).await,
                    None => world.sleep_until(world.now() + IDLE).await,
                }
            }
        }
    })
}

/// Changes a topic; tries again until it is changed.
async fn make<W: SimWorld>(
    world: &W,
    topics: &[Topic],
    config: &AdminConfig,
    control: &Shared,
    change: TopicChange,
) {
    let Ok(admin) = Admin::new(world.clone(), config.clone()) else { return };
    loop {
        let made = match &change {
            TopicChange::Delete(name) => admin.delete_topic(name).await,
            TopicChange::Create(name) => {
                let Some(topic) = topics.iter().find(|topic| topic.name == *name) else { return };
                let (partitions, copies) = (topic.partitions, topic.replication_factor);
                admin.create_topic(name, partitions, copies, &topic.requested()).await
            }
            TopicChange::Grow(name, partitions) => admin.create_partitions(name, *partitions).await,
            TopicChange::Feature(name, level) => admin.update_feature(name, *level).await,
            TopicChange::Elect(name, election) => elect(&admin, name, *election, control).await,
        };
        // An earlier attempt may have made it, and its answer was lost.
        let names = match &change {
            TopicChange::Delete(_) => "UNKNOWN_TOPIC_OR_PARTITION",
            TopicChange::Create(_) => "TOPIC_ALREADY_EXISTS",
            TopicChange::Grow(..) => "INVALID_PARTITIONS",
            // An update to the level that a feature has succeeds; one that is refused is not made.
            TopicChange::Feature(..) => "INVALID_UPDATE_VERSION",
            TopicChange::Elect(..) => "UNKNOWN_TOPIC_OR_PARTITION",
        };
        if made.is_ok() || made.is_err_and(|error| error.name() == names) {
            break;
        }
        world.sleep_until(world.now() + PAUSE).await;
    }
    let signals = control.lock().signals.clone();
    match change {
        TopicChange::Grow(name, partitions) => {
            signals.lock().partitions.insert(name, partitions);
        }
        TopicChange::Create(name) => drop(signals.lock().partitions.remove(&name)),
        TopicChange::Delete(_) | TopicChange::Feature(..) | TopicChange::Elect(..) => {}
    }
}

/// Has the leaders of a topic's partitions elected, and remembers if none changed.
async fn elect<W: SimWorld>(
    admin: &Admin<W>,
    topic: &str,
    election: ElectionType,
    control: &Shared,
) -> Result<(), AdminError> {
    let known = admin.metadata(Some(&[topic])).await?;
    let partitions = known.iter().flat_map(|topic| &topic.partitions);
    let names: Vec<_> =
        partitions.map(|partition| TopicPartition::new(topic, partition.partition)).collect();
    let elections = admin.elect_leaders(election, Some(&names)).await?;
    if elections.values().all(Result::is_err) {
        let why = elections.values().find_map(|ended| ended.as_ref().err());
        let why = why.map_or("it has no partitions", AdminError::name);
        let kind = format!("{election:?}").to_lowercase();
        let what = format!("the {kind} election of the leaders of {topic} changed nothing: {why}");
        control.lock().vain.push(what);
    }
    Ok(())
}

/// Reads its partitions from the beginning to the log end at its start.
pub(super) fn final_reader<W: SimWorld>(
    number: u32,
    partitions: Vec<TopicPartition>,
    config: ConsumerConfig,
    control: Shared,
) -> Boot<W> {
    let config = ConsumerConfig {
        auto_offset_reset: OffsetReset::Earliest,
        // It reads what is there, and makes nothing.
        allow_auto_create: false,
        ..config
    };
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
