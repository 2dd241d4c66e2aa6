//! What becomes of old records in the background: segments expire, and compacted logs are cleaned.

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

/// Shorter pauses of the cleaner are put together.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// Deletes what is due by retention or lies below a log's start, for as long as the node lives.
pub(crate) async fn expire<W: World>(broker: Arc<Broker<W>>) {
    loop {
        let interval = broker.config.node.log_retention_check_interval;
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

/// Compacts the dirtiest logs, `log.cleaner.threads` at a time, for as long as the node lives.
pub(crate) fn compact<W: World>(broker: &Arc<Broker<W>>) {
    let threads = match broker.config.node.log_cleaner_enable {
        true => usize::try_from(broker.config.node.log_cleaner_threads).unwrap_or(0),
        false => 0,
    };
    let cleaners = Arc::new(Cleaners::new(broker.clone(), threads));
    for _ in 0..threads {
        broker.world.spawn("cleaner", cleaners.clone().run());
    }
}

/// Which creation of which partition: a topic may be deleted, and another have its name.
type Key = (TopicId, i32);

/// What the cleaners of a node share. Source: Kafka's `LogCleanerManager`.
struct Cleaners<W: World> {
    broker: Arc<Broker<W>>,
    /// For the keys of one log, and how full it may become.
    memory: (usize, f64),
    budget: Budget<W>,
    logs: Mutex<Logs>,
}

/// What the cleaners know of logs.
#[derive(Default)]
struct Logs {
    /// One of them is at work on it.
    in_progress: BTreeSet<Key>,
    /// It would fail again.
    uncleanable: BTreeSet<Key>,
    /// Where the last cleaning ended.
    reached: BTreeMap<Key, Offset>,
}

impl<W: World> Cleaners<W> {
    fn new(broker: Arc<Broker<W>>, threads: usize) -> Self {
        let memory =
            usize::try_from(broker.config.node.log_cleaner_dedupe_buffer_size).unwrap_or(0);
        // As in Kafka, each has the same share.
        let memory = (memory / threads.max(1), broker.config.node.log_cleaner_load_factor);
        let budget = Budget::new(&broker);
        Self { broker, memory, budget, logs: Mutex::default() }
    }

    async fn run(self: Arc<Self>) {
        let world = &self.broker.world;
        loop {
            let Some(partition) = self.take_dirtiest() else {
                let backoff = self.broker.config.node.log_cleaner_backoff;
                world.sleep_until(world.now() + backoff).await;
                continue;
            };
            self.clean(&partition).await;
            self.logs.lock().in_progress.remove(&key(&partition));
            // Also after a cleaning that brought nothing: it must not go round in a circle.
            world.disk().settle().await;
            world.sleep_until(world.now() + LEAST_PAUSE).await;
        }
    }

    async fn clean(&self, partition: &Partition<W>) {
        match partition.compact(self.memory, &mut &self.budget).await {
            Ok(Some(until)) if self.logs.lock().stands_still(key(partition), until) => {
                tracing::error!(partition = %partition.name, %until, "can't compact any further");
            }
            Ok(Some(until)) => {
                let home = partition.home();
                note(
                    home,
                    "how far logs are clean",
                    save_clean(&self.broker, partition, until).await,
                );
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

    /// The dirtiest log on which nobody is at work; whoever takes it has it alone.
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

impl Logs {
    /// A cleaning ended where the last one did: there is a batch with more keys than there is memory
    /// for, and it would be tried for ever.
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

/// `log.cleaner.io.max.bytes.per.second`, of all cleaners together.
struct Budget<W: World> {
    world: W,
    bytes_per_second: f64,
    spent: Mutex<Spent>,
}

struct Spent {
    /// Too little to wait for.
    owed: Duration,
    /// Until then all that was spent is paid for.
    paid: Instant,
}

impl<W: World> Budget<W> {
    fn new(broker: &Broker<W>) -> Self {
        let bytes_per_second = broker.config.node.log_cleaner_max_bytes_per_second;
        let spent = Spent { owed: Duration::ZERO, paid: broker.world.now() };
        Self { world: broker.world.clone(), bytes_per_second, spent: Mutex::new(spent) }
    }
}

impl Spent {
    /// Until when to wait after this: one who waits for long holds up the others, too.
    fn more(&mut self, now: Instant, seconds: f64) -> Instant {
        self.owed += Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1));
        if self.owed < LEAST_PAUSE {
            // Whatever the budget: others want the processor, too.
            return now + Duration::from_nanos(1);
        }
        self.paid = self.paid.max(now) + std::mem::take(&mut self.owed);
        self.paid
    }
}

impl<W: World> Pace for &Budget<W> {
    async fn spent(&mut self, bytes: u64) {
        let seconds = bytes as f64 / self.bytes_per_second.max(1.0);
        let until = self.spent.lock().more(self.world.now(), seconds);
        self.world.sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaners_share_one_budget_however_many_they_are() {
        let mut spent = Spent { owed: Duration::ZERO, paid: Instant::from_secs(0) };
        let now = Instant::from_secs(10);
        assert_eq!(spent.more(now, 2.0), Instant::from_secs(12), "the first");
        assert_eq!(spent.more(now, 2.0), Instant::from_secs(14), "the second waits for both");
        let later = Instant::from_secs(20);
        assert_eq!(spent.more(later, 1.0), Instant::from_secs(21), "what was not used is gone");
        let now = Instant::from_secs(30);
        assert_eq!(spent.more(now, 0.0004), now + Duration::from_nanos(1));
        assert_eq!(spent.more(now, 0.0006), now + LEAST_PAUSE, "small sums are put together");
    }
}
