//! Background work on old records: retention and compaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::context::Broker;
use super::partition::Partition;
use super::upkeep::{all, note, save_recovery_points};
use crate::base::{DirectoryId, Instant, Offset, TopicId, TopicPartition};
use crate::io::{Disk, World};
use crate::log::{LogError, Pace};

/// Shorter pauses of the cleaner are accumulated.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// Applies retention and deletes segments below the log start, while the node lives.
pub(crate) async fn expire<W: World>(broker: Arc<Broker<W>>) {
    loop {
        let interval = broker.config.node.log_retention_check_interval;
        broker.world.sleep_until(broker.world.now() + interval).await;
        expire_once(&broker).await;
    }
}

/// The log start is durable before segments below it go: see [`crate::log::Log::expire`].
async fn expire_once<W: World>(broker: &Broker<W>) {
    let mut due = Vec::new();
    for partition in broker.replicas.all() {
        // A failure is recorded in its partition, and does not affect the others.
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

/// Saves log starts that DeleteRecords moved, while the node lives.
pub(crate) async fn checkpoint_log_starts<W: World>(broker: Arc<Broker<W>>) {
    let mut saved: BTreeMap<DirectoryId, BTreeMap<TopicPartition, Offset>> = BTreeMap::new();
    loop {
        let interval = broker.config.node.log_flush_start_offset_checkpoint_interval;
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

/// Compacts the dirtiest logs, `log.cleaner.threads` at a time, while the node lives. Their number may
/// change at any time.
pub(crate) async fn compact<W: World>(broker: Arc<Broker<W>>) {
    if !broker.config.node.log_cleaner_enable {
        return;
    }
    let cleaners = Arc::new(Cleaners::new(broker.clone()));
    loop {
        for number in 0..cleaners.threads() {
            if cleaners.running.lock().insert(number) {
                broker.world.spawn("cleaner", cleaners.clone().run(number));
            }
        }
        broker.settings_changed().await;
    }
}

/// Identifies one creation of a partition: a topic may be deleted and its name reused.
type Key = (TopicId, i32);

/// State shared by the cleaners of a node. Source: Kafka's `LogCleanerManager`.
struct Cleaners<W: World> {
    broker: Arc<Broker<W>>,
    budget: Budget<W>,
    /// The numbers of the cleaners that run: a cleaner ends when there are to be fewer.
    running: Mutex<BTreeSet<usize>>,
    logs: Mutex<Logs>,
}

/// State of the logs, as known to the cleaners.
#[derive(Default)]
struct Logs {
    /// Being cleaned.
    in_progress: BTreeSet<Key>,
    /// Skipped, because another attempt would fail again.
    uncleanable: BTreeSet<Key>,
    /// Where the last cleaning ended.
    reached: BTreeMap<Key, Offset>,
}

impl<W: World> Cleaners<W> {
    fn new(broker: Arc<Broker<W>>) -> Self {
        let budget = Budget::new(&broker);
        Self { broker, budget, running: Mutex::default(), logs: Mutex::default() }
    }

    fn threads(&self) -> usize {
        usize::try_from(self.broker.settings().node.log_cleaner_threads).unwrap_or(0)
    }

    /// Bytes for the keys of one log, and the maximum load factor. As in Kafka, all cleaners have
    /// equal shares.
    fn memory(&self) -> (usize, f64) {
        let settings = self.broker.settings();
        let memory = usize::try_from(settings.node.log_cleaner_dedupe_buffer_size).unwrap_or(0);
        (memory / self.threads().max(1), settings.node.log_cleaner_load_factor)
    }

    async fn run(self: Arc<Self>, number: usize) {
        let world = &self.broker.world;
        loop {
            {
                let mut running = self.running.lock();
                if number >= self.threads() {
                    running.remove(&number);
                    return;
                }
            }
            let Some(partition) = self.take_dirtiest() else {
                let backoff = self.broker.settings().node.log_cleaner_backoff;
                world.sleep_until(world.now() + backoff).await;
                continue;
            };
            self.clean(&partition).await;
            self.logs.lock().in_progress.remove(&key(&partition));
            // Also after a cleaning without progress: the loop must not spin.
            world.disk().settle().await;
            world.sleep_until(world.now() + LEAST_PAUSE).await;
        }
    }

    async fn clean(&self, partition: &Partition<W>) {
        match partition.compact(self.memory(), &mut &self.budget).await {
            Ok(Some(until)) if self.logs.lock().stands_still(key(partition), until) => {
                let reason = "a batch has more keys than fit into memory";
                tracing::error!(partition = %partition.name, %until, reason, "compaction is stuck");
            }
            Ok(Some(until)) => {
                let home = partition.home();
                note(home, "cleaner offsets", save_clean(&self.broker, partition, until).await);
            }
            Ok(None) => {}
            Err(error) if error.is_full() => {
                tracing::warn!(partition = %partition.name, %error, "no room to compact");
            }
            Err(error) => {
                self.logs.lock().uncleanable.insert(key(partition));
                partition.compaction_failed(&error);
            }
        }
    }

    /// The dirtiest log that is not being cleaned; the caller gets it exclusively.
    fn take_dirtiest(&self) -> Option<Arc<Partition<W>>> {
        let mut logs = self.logs.lock();
        let mut dirtiest: Option<(f64, Arc<Partition<W>>)> = None;
        for partition in self.broker.replicas.all() {
            let key = key(&partition);
            if logs.uncleanable.contains(&key) || logs.in_progress.contains(&key) {
                continue;
            }
            match partition.due_for_compaction() {
                Ok(Some(ratio)) if dirtiest.as_ref().is_none_or(|(most, _)| ratio > *most) => {
                    dirtiest = Some((ratio, partition));
                }
                Ok(_) => {}
                Err(error) => {
                    logs.uncleanable.insert(key);
                    partition.compaction_failed(&error);
                }
            }
        }
        let (_, partition) = dirtiest?;
        logs.in_progress.insert(key(&partition));
        Some(partition)
    }
}

/// Saves the recovery point and then the cleaner offset of a log. In this order the log is not
/// truncated below the cleaner offset before both are lowered.
async fn save_clean<W: World>(
    broker: &Broker<W>,
    partition: &Partition<W>,
    until: Offset,
) -> Result<(), LogError> {
    let home = partition.home();
    save_recovery_points(broker, home).await?;
    home.dir.save_cleaner_offsets(&BTreeMap::from([(partition.name.clone(), until)])).await
}

impl Logs {
    /// Whether a cleaning ended where the previous one did: a batch has more keys than fit into
    /// memory, and would be retried forever.
    fn stands_still(&mut self, key: Key, until: Offset) -> bool {
        let stands = self.reached.insert(key, until) == Some(until);
        if stands {
            self.uncleanable.insert(key);
        }
        stands
    }
}

fn key<W: World>(partition: &Partition<W>) -> Key {
    (partition.topic_id, partition.name.partition)
}

/// `log.cleaner.io.max.bytes.per.second`, shared by all cleaners.
struct Budget<W: World> {
    broker: Arc<Broker<W>>,
    spent: Mutex<Spent>,
}

struct Spent {
    /// Accumulated pauses that are too short to wait for.
    owed: Duration,
    /// When everything spent so far is paid for.
    paid: Instant,
}

impl<W: World> Budget<W> {
    fn new(broker: &Arc<Broker<W>>) -> Self {
        let spent = Spent { owed: Duration::ZERO, paid: broker.world.now() };
        Self { broker: broker.clone(), spent: Mutex::new(spent) }
    }
}

impl Spent {
    /// Until when to wait after spending `seconds`; a long wait also delays the other cleaners.
    fn more(&mut self, now: Instant, seconds: f64) -> Instant {
        self.owed += Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1));
        if self.owed < LEAST_PAUSE {
            // Yields even with an unlimited budget.
            return now + Duration::from_nanos(1);
        }
        self.paid = self.paid.max(now) + std::mem::take(&mut self.owed);
        self.paid
    }
}

impl<W: World> Pace for &Budget<W> {
    async fn spent(&mut self, bytes: u64) {
        let (world, node) = (&self.broker.world, &self.broker.settings().node);
        let seconds = bytes as f64 / node.log_cleaner_max_bytes_per_second.max(1.0);
        let until = self.spent.lock().more(world.now(), seconds);
        world.sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cleaners_share_one_budget() {
        let mut spent = Spent { owed: Duration::ZERO, paid: Instant::from_secs(0) };
        let now = Instant::from_secs(10);
        assert_eq!(spent.more(now, 2.0), Instant::from_secs(12), "the first");
        assert_eq!(spent.more(now, 2.0), Instant::from_secs(14), "the second waits for both");
        let later = Instant::from_secs(20);
        assert_eq!(spent.more(later, 1.0), Instant::from_secs(21), "unused budget expires");
        let now = Instant::from_secs(30);
        assert_eq!(spent.more(now, 0.0004), now + Duration::from_nanos(1));
        assert_eq!(spent.more(now, 0.0006), now + LEAST_PAUSE, "small amounts accumulate");
    }
}
