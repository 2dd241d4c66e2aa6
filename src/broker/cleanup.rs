//! What becomes of old records in the background: segments expire, and compacted logs are cleaned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::context::Broker;
use super::partition::Partition;
use super::upkeep::{all, note, save_recovery_points};
use crate::base::{Offset, TopicId, TopicPartition};
use crate::io::{Disk, World};
use crate::log::{LogError, Pace};

/// Shorter pauses of the cleaner are put together.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// Deletes what is due by retention or lies below a log's start, for as long as the node lives.
pub(crate) async fn expire<W: World>(broker: Arc<Broker<W>>) {
    loop {
        let interval = broker.config.log_retention_check_interval;
        broker.world.sleep_until(broker.world.now() + interval).await;
        expire_once(&broker).await;
    }
}

/// A log's start is durable before anything below it goes: see [`crate::log::Log::expire`].
async fn expire_once<W: World>(broker: &Broker<W>) {
    let mut due = Vec::new();
    for partition in broker.replicas.all() {
        // One log's failure is noted there, and is not the others'.
        if let Ok(Some(start)) = partition.expire() {
            due.push((partition, start));
        }
        broker.world.disk().settle().await;
    }
    for home in broker.replicas.dirs().online() {
        let here = due.iter().filter(|(partition, _)| partition.home().id() == home.id());
        let here: Vec<_> = here.collect();
        if here.is_empty() {
            continue;
        }
        let starts = here.iter().map(|(partition, start)| (partition.name.clone(), *start));
        if let Err(error) = home.dir.save_log_starts(&starts.collect()).await {
            note(home, "log starts", Err(error));
            continue;
        }
        for (partition, start) in here {
            let _ = partition.retire_segments(*start);
            broker.world.disk().settle().await;
        }
    }
}

/// Saves log starts that were moved by a deletion of records, for as long as the node lives.
pub(crate) async fn checkpoint_log_starts<W: World>(broker: Arc<Broker<W>>) {
    let mut saved: BTreeMap<TopicId, BTreeMap<TopicPartition, Offset>> = BTreeMap::new();
    loop {
        let interval = broker.config.log_flush_start_offset_checkpoint_interval;
        broker.world.sleep_until(broker.world.now() + interval).await;
        for home in broker.replicas.dirs().online() {
            let mut starts = all(&broker, home, |partition| Some(partition.marks()?.1));
            starts.retain(|_, start| *start > Offset::ZERO);
            let saved = saved.entry(home.id()).or_default();
            if starts == *saved {
                continue;
            }
            match home.dir.save_log_starts(&starts).await {
                Ok(()) => *saved = starts,
                Err(error) => note(home, "log starts", Err(error)),
            }
        }
    }
}

/// Compacts the dirtiest log, again and again, for as long as the node lives.
pub(crate) async fn compact<W: World>(broker: Arc<Broker<W>>) {
    if !broker.config.log_cleaner_enable {
        return;
    }
    let memory = usize::try_from(broker.config.log_cleaner_dedupe_buffer_size).unwrap_or(0);
    let memory = (memory, broker.config.log_cleaner_load_factor);
    let mut budget = Budget::new(&broker);
    let mut uncleanable = BTreeSet::new();
    let mut reached = BTreeMap::new();
    loop {
        let Some(partition) = dirtiest(&broker, &mut uncleanable) else {
            broker.world.sleep_until(broker.world.now() + broker.config.log_cleaner_backoff).await;
            continue;
        };
        match partition.compact(memory, &mut budget).await {
            // A batch with more keys than there is memory for: it would be tried for ever.
            Ok(Some(until)) if reached.insert(key(&partition), until) == Some(until) => {
                tracing::error!(partition = %partition.name, %until, "can't compact any further");
                uncleanable.insert(key(&partition));
            }
            Ok(Some(until)) => {
                let home = partition.home();
                note(home, "how far logs are clean", save_clean(&broker, &partition, until).await);
            }
            Ok(None) => {}
            Err(error) if error.is_full() => {
                tracing::warn!(partition = %partition.name, %error, "no room to compact");
            }
            Err(error) => {
                uncleanable.insert(key(&partition));
                partition.compaction_failed(&error);
            }
        }
        // Also after a cleaning that brought nothing: it must not go round in a circle.
        broker.world.disk().settle().await;
        broker.world.sleep_until(broker.world.now() + LEAST_PAUSE).await;
    }
}

/// What is clean was synced, and the checkpoints say both, this one last: so the log is not cut
/// below it before both are lowered.
async fn save_clean<W: World>(
    broker: &Broker<W>,
    partition: &Partition<W>,
    until: Offset,
) -> Result<(), LogError> {
    let home = partition.home();
    save_recovery_points(broker, home).await?;
    home.dir.save_cleaner_offsets(&BTreeMap::from([(partition.name.clone(), until)])).await
}

fn key<W: World>(partition: &Partition<W>) -> (TopicId, i32) {
    (partition.topic_id, partition.name.partition)
}

fn dirtiest<W: World>(
    broker: &Broker<W>,
    uncleanable: &mut BTreeSet<(TopicId, i32)>,
) -> Option<Arc<Partition<W>>> {
    let mut dirtiest: Option<(f64, Arc<Partition<W>>)> = None;
    for partition in broker.replicas.all() {
        if uncleanable.contains(&key(&partition)) {
            continue;
        }
        match partition.due_for_compaction() {
            Ok(Some(ratio)) if dirtiest.as_ref().is_none_or(|(most, _)| ratio > *most) => {
                dirtiest = Some((ratio, partition));
            }
            Ok(_) => {}
            Err(error) => {
                uncleanable.insert(key(&partition));
                partition.compaction_failed(&error);
            }
        }
    }
    dirtiest.map(|(_, partition)| partition)
}

/// `log.cleaner.io.max.bytes.per.second`.
struct Budget<W: World> {
    world: W,
    bytes_per_second: f64,
    owed: Duration,
}

impl<W: World> Budget<W> {
    fn new(broker: &Broker<W>) -> Self {
        let bytes_per_second = broker.config.log_cleaner_max_bytes_per_second;
        Self { world: broker.world.clone(), bytes_per_second, owed: Duration::ZERO }
    }
}

impl<W: World> Pace for Budget<W> {
    async fn spent(&mut self, bytes: u64) {
        let seconds = bytes as f64 / self.bytes_per_second.max(1.0);
        self.owed += Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1));
        // Whatever the budget: others want the processor, too.
        let pause = match self.owed >= LEAST_PAUSE {
            true => std::mem::take(&mut self.owed),
            false => Duration::from_nanos(1),
        };
        self.world.sleep_until(self.world.now() + pause).await;
    }
}
