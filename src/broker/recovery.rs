//! Opening the logs of a data directory, several at a time, and saying how far that is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::partition::tell_damage;
use crate::base::config::NodeConfig;
use crate::base::{BrokerId, Flaw, Flaws, Instant, Offset, StorageProbe, TopicPartition};
use crate::controller::Image;
use crate::io::{Disk, World};
use crate::log::{self, Log, LogConfig, LogDir, LogError, Recovery, RecoveryReport};

/// How often progress is said while it takes long.
const SAY: Duration = Duration::from_secs(10);

/// How far a node has come with the logs of one of its directories, when it starts. Source: the
/// metrics `remainingLogsToRecover` and `remainingSegmentsToRecover` (KIP-831).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// The directory.
    pub dir: PathBuf,
    /// Logs in it.
    pub logs: usize,
    /// Those of them that are not open yet.
    pub remaining_logs: usize,
    /// Segments that are still to be examined in the logs that are being recovered.
    pub remaining_segments: usize,
    /// Bytes of these segments.
    pub remaining_bytes: u64,
    /// Bytes that were examined, in all logs of the directory.
    pub recovered_bytes: u64,
}

/// Gets the progress of a recovery.
pub trait RecoveryObserver: Send + Sync + 'static {
    /// Called at the beginning, and whenever a segment or a log is done; with no log remaining once
    /// the directory is done. From several threads, in order; recovery waits for the call.
    fn progressed(&self, progress: &RecoveryProgress);
}

/// Ignores progress.
impl RecoveryObserver for () {
    fn progressed(&self, _: &RecoveryProgress) {}
}

/// Opens one log, and recovers it unless it was closed (`clean`). Says what is damaged in it.
///
/// A clean stop saves the end of each log as its recovery point. So a log that has more was not closed
/// like that: a disk lied when the marker was removed, and a power loss brought it back. Such a log is
/// examined. (Apache Kafka trusts the marker.)
pub(crate) async fn open<W: World>(
    world: &W,
    dir: &LogDir<W::Disk>,
    found: &log::Found,
    name: &TopicPartition,
    (config, clean): (LogConfig, bool),
    mut watch: impl FnMut(log::Progress) + Send,
) -> Result<(Log<W::Disk>, Option<LogError>), LogError> {
    let mut recovery = Recovery { clean, ..found.recovery(name) };
    let path = dir.partition_dir(name);
    let (disk, now) = (world.disk().clone(), world.wall_clock());
    let mut opened =
        Log::open_watched(disk.clone(), path.clone(), config, recovery, now, &mut watch).await;
    let closed_at = recovery.recovery_point;
    if clean && !config.flaws.has(Flaw::TrustDirtyStart) && has_more(&opened, closed_at) {
        tracing::warn!(
            partition = %name, %closed_at,
            "a log has more than at its clean stop: the marker is stale, and the log is examined"
        );
        drop(opened);
        recovery.clean = false;
        opened = Log::open_watched(disk, path, config, recovery, now, &mut watch).await;
    }
    let (mut log, report) = opened?;
    if let Some(reason) = &report.cut_because {
        tracing::warn!(partition = %name, bytes = report.bytes_cut, reason, "cut a torn tail");
    }
    if let Some(began) = report.begins_late_after {
        let start = log.log_start();
        tracing::warn!(partition = %name, %began, %start, "the first segments are gone");
    }
    if !recovery.clean {
        world.probe(StorageProbe::Recovered {
            partition: name.clone(),
            cut: report.bytes_cut,
            short: report.shorter_than_synced,
        });
        // What a crashed process left in the page cache is about to be vouched for. One whose sync
        // failed left no clean directory.
        if !found.clean {
            match log.write_again() {
                Err(error) if error.is_full() => {
                    tracing::warn!(partition = %name, %error, "what an earlier sync lost stays lost");
                }
                written => written?,
            }
            world.disk().settle().await;
        }
        let flushed = log.flush_plan().run().await?;
        log.flushed(&flushed);
    }
    log.set_cleaned_to(found.cleaner_offsets.get(name).copied().unwrap_or(Offset::NONE));
    Ok((log, report.damaged.map(LogError::from)))
}

/// Whether a log that was opened as after a clean stop has anything at or beyond the end that it had
/// then.
fn has_more<D: Disk>(
    opened: &Result<(Log<D>, RecoveryReport), LogError>,
    closed_at: Offset,
) -> bool {
    match opened {
        Ok((log, _)) => log.log_end() > closed_at,
        Err(LogError::Corrupt { offset, .. }) => *offset >= closed_at,
        Err(_) => false,
    }
}

/// What a log's settings are, as far as this node knows before it has heard of the controller. A
/// log has been compacted if its policy or the cleaner's checkpoint says so, for policies change,
/// and this node's copy of the metadata may be lost: in any other one a gap is damage.
pub(crate) fn config_of(
    name: &TopicPartition,
    found: &log::Found,
    image: &Image,
    node: &NodeConfig,
    flaws: Flaws,
) -> LogConfig {
    let id = found.partitions.get(name).copied().flatten();
    let known = image.topic(&name.topic).filter(|topic| id.is_none_or(|id| id == topic.id));
    let (me, defaults) = (BrokerId(node.node.node_id), &node.topics);
    let config = known.map(|topic| image.topic_config(&topic.name, me, defaults));
    let was_compacted = found.cleaner_offsets.contains_key(name);
    let log = LogConfig::new(config.as_ref().unwrap_or(defaults), flaws);
    LogConfig { was_compacted, ..log.on_node(&node.txn) }
}

/// A log, if it could be opened, and what is damaged in it.
pub(crate) type OpenedLog<W> = (Option<Log<<W as World>::Disk>>, Option<LogError>);

/// What the tasks that open logs share.
struct Work<W: World> {
    world: W,
    dir: LogDir<W::Disk>,
    found: log::Found,
    waiting: Mutex<BTreeMap<TopicPartition, LogConfig>>,
    tally: Mutex<Tally>,
    observer: Arc<dyn RecoveryObserver>,
}

/// How far they are.
struct Tally {
    logs: usize,
    opened: usize,
    /// In logs that are done.
    recovered_bytes: u64,
    recovering: BTreeMap<TopicPartition, log::Progress>,
    said: Instant,
}

/// Opens all these logs, `threads` of them at a time (`num.recovery.threads.per.data.dir`). One that
/// is damaged costs itself alone; whatever else keeps one from being opened is the error.
pub(crate) async fn open_all<W: World>(
    world: &W,
    dir: &LogDir<W::Disk>,
    found: &log::Found,
    logs: BTreeMap<TopicPartition, LogConfig>,
    threads: usize,
    observer: Arc<dyn RecoveryObserver>,
) -> Result<BTreeMap<TopicPartition, OpenedLog<W>>, LogError> {
    let (all, began) = (logs.len(), world.now());
    let work = Arc::new(Work {
        world: world.clone(),
        dir: dir.clone(),
        found: found.clone(),
        waiting: Mutex::new(logs),
        tally: Mutex::new(Tally::new(all, began)),
        observer,
    });
    work.note(|_| ());
    let (opened, mut results) = mpsc::unbounded_channel();
    for _ in 0..threads.clamp(1, all.max(1)) {
        let (work, opened) = (work.clone(), opened.clone());
        world.spawn("recovery", async move {
            while let Some((name, config)) = work.next() {
                let log = work.open(&name, config).await;
                // The receiver is gone when another log could not be opened.
                if opened.send((name, log)).is_err() {
                    break;
                }
            }
        });
    }
    drop(opened);
    let mut logs = BTreeMap::new();
    while let Some((name, log)) = results.recv().await {
        let (log, damage) = match log {
            Ok((log, damage)) => (Some(log), damage),
            Err(error) if error.is_damage() => (None, Some(error)),
            Err(error) => return Err(error),
        };
        if let Some(error) = &damage {
            tell_damage(world, &name, error);
        }
        logs.insert(name, (log, damage));
    }
    let seconds = world.now().since(began).as_secs_f64();
    let (dir, clean) = (dir.path().display(), found.clean);
    tracing::info!(%dir, logs = all, clean, seconds, "opened all logs");
    Ok(logs)
}

impl<W: World> Work<W> {
    fn next(&self) -> Option<(TopicPartition, LogConfig)> {
        self.waiting.lock().pop_first()
    }

    async fn open(
        &self,
        name: &TopicPartition,
        config: LogConfig,
    ) -> Result<(Log<W::Disk>, Option<LogError>), LogError> {
        let Self { world, dir, found, .. } = self;
        if let Some(unreadable) = found.unreadable.get(name) {
            self.note(|tally| tally.done(name));
            return Err(unreadable.clone().into());
        }
        let watch = |progress| self.note(|tally| tally.examined(name, progress));
        let log = open(world, dir, found, name, (config, found.clean), watch).await;
        self.note(|tally| tally.done(name));
        log
    }

    /// Something is done: the observer hears of it, and from time to time so does the log.
    fn note(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.lock();
        change(&mut tally);
        let progress = tally.progress(self.dir.path());
        self.observer.progressed(&progress);
        let now = self.world.now();
        if progress.remaining_logs > 0 && now.since(tally.said) >= SAY {
            tally.said = now;
            let RecoveryProgress { logs, remaining_logs, remaining_segments, .. } = progress;
            let (dir, opened) = (progress.dir.display(), logs - remaining_logs);
            let (recovered_bytes, remaining_bytes) =
                (progress.recovered_bytes, progress.remaining_bytes);
            tracing::info!(
                %dir, opened, of = logs, remaining_logs, remaining_segments, recovered_bytes,
                remaining_bytes, "recovering logs"
            );
        }
    }
}

impl Tally {
    fn new(logs: usize, now: Instant) -> Self {
        Self { logs, opened: 0, recovered_bytes: 0, recovering: BTreeMap::new(), said: now }
    }

    fn examined(&mut self, name: &TopicPartition, progress: log::Progress) {
        self.recovering.insert(name.clone(), progress);
    }

    /// A log is open. Of one that was cut, segments may be left that will not be examined.
    fn done(&mut self, name: &TopicPartition) {
        self.opened += 1;
        let last = self.recovering.remove(name).unwrap_or_default();
        self.recovered_bytes += last.bytes_done;
    }

    fn progress(&self, dir: &Path) -> RecoveryProgress {
        let running = self.recovering.values();
        RecoveryProgress {
            dir: dir.to_owned(),
            logs: self.logs,
            remaining_logs: self.logs - self.opened,
            remaining_segments: running.clone().map(|log| log.segments_left).sum(),
            remaining_bytes: running.clone().map(|log| log.bytes_left).sum(),
            recovered_bytes: self.recovered_bytes + running.map(|log| log.bytes_done).sum::<u64>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::BytesMut;

    use super::*;
    use crate::base::config::Compression;
    use crate::base::{BrokerEpoch, DirectoryId, LeaderEpoch, Timestamp, TopicId};
    use crate::io::real::{RealDisk, RealWorld};
    use crate::log::Identity;
    use crate::wire::batch::BatchBuilder;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// A compacted log of several segments, in a directory that was closed.
    struct Closed {
        place: tempfile::TempDir,
        name: TopicPartition,
        config: LogConfig,
        end: Offset,
        bases: Vec<Offset>,
    }

    impl Closed {
        /// `saves`: the checkpoint has the log's recovery point.
        async fn new(saves: bool) -> Self {
            let place = tempfile::tempdir().unwrap();
            let name = TopicPartition::new("orders", 1);
            let config = LogConfig { compacted: true, segment_bytes: 1000, ..LogConfig::default() };
            let (dir, _) = Self::dir(&place).await;
            let path = dir.create_partition(&name, TopicId([9; 16])).await.unwrap();
            let new = Recovery { clean: true, ..Recovery::default() };
            let mut log = Log::open(RealDisk, path, config, new, NOW).await.unwrap().0;
            for key in 0..40 {
                let mut builder = BatchBuilder::new(Compression::None, NOW);
                builder.append(NOW, Some(&[key]), Some(b"value"), &[]);
                let mut batch = BytesMut::from(&*builder.finish_plain());
                log.append_as_leader(&mut batch, LeaderEpoch(1), NOW).unwrap();
            }
            let (end, bases) = (log.log_end(), log.segment_bases().collect());
            let mark = log.close().await.unwrap();
            if saves {
                dir.save_recovery_points(&BTreeMap::from([(name.clone(), mark)])).await.unwrap();
            }
            dir.mark_clean(BrokerEpoch(7)).await.unwrap();
            Self { place, name, config, end, bases }
        }

        async fn dir(place: &tempfile::TempDir) -> (LogDir<RealDisk>, log::Found) {
            let identity = Identity {
                node: BrokerId(1),
                cluster: Some("c".into()),
                fresh_cluster: TopicId::ZERO,
                fresh_directory: DirectoryId([5; 16]),
                flaws: Flaws::default(),
            };
            LogDir::open(RealDisk, place.path().join("data"), identity).await.unwrap()
        }

        fn segment(&self, base: Offset) -> PathBuf {
            let dir = self.place.path().join("data").join(self.name.to_string());
            dir.join(format!("{:020}.log", base.0))
        }

        /// Opens it as the next start does. Returns where it begins and ends, and what is damaged.
        async fn open(&self) -> (Offset, Offset, Option<LogError>) {
            let (dir, found) = Self::dir(&self.place).await;
            assert!(found.clean);
            let (world, how) = (RealWorld::new(), (self.config, found.clean));
            let opened = open(&world, &dir, &found, &self.name, how, |_| ()).await;
            let (log, damage) = opened.unwrap();
            (log.log_start(), log.log_end(), damage)
        }
    }

    #[tokio::test]
    async fn log_that_ends_where_it_was_closed_is_trusted() {
        let closed = Closed::new(true).await;
        assert!(closed.bases.len() > 2);
        // Only an examination would find it.
        fs::write(closed.segment(closed.bases[0]), "").unwrap();
        let (start, end, damage) = closed.open().await;
        assert_eq!((start, end), (Offset(0), closed.end));
        assert!(damage.is_none());
    }

    #[tokio::test]
    async fn log_without_a_recovery_point_is_examined_after_a_clean_stop() {
        let closed = Closed::new(false).await;
        let (start, end, damage) = closed.open().await;
        assert_eq!((start, end), (Offset(0), closed.end), "an intact log stays whole");
        assert!(damage.is_none());
        let closed = Closed::new(false).await;
        fs::write(closed.segment(closed.bases[0]), "").unwrap();
        let (start, end, damage) = closed.open().await;
        assert_eq!((start, end), (Offset(0), Offset(0)), "it ends at the gap");
        assert!(damage.is_none());
        assert!(!closed.segment(closed.bases[1]).exists());
    }

    #[tokio::test]
    async fn torn_tail_beyond_the_recovery_point_is_cut_after_a_clean_stop() {
        let closed = Closed::new(true).await;
        let last = closed.segment(*closed.bases.last().unwrap());
        let whole = fs::read(&last).unwrap();
        fs::write(&last, [&whole[..], &[0; 100]].concat()).unwrap();
        let (_, end, damage) = closed.open().await;
        assert_eq!(end, closed.end);
        assert!(damage.is_none());
        assert_eq!(fs::read(&last).unwrap(), whole);
    }

    #[test]
    fn a_log_whose_policy_does_not_say_so_may_have_gaps_only_where_a_cleaner_was() {
        let name = TopicPartition::new("orders", 3);
        let (mut found, image) = (log::Found::default(), Image::default());
        let defaults = NodeConfig::default();
        assert!(!config_of(&name, &found, &image, &defaults, Flaws::default()).may_have_gaps());
        found.cleaner_offsets.insert(name.clone(), Offset(157));
        let config = config_of(&name, &found, &image, &defaults, Flaws::default());
        assert!(config.may_have_gaps() && !config.compacted, "it takes records without a key");
    }
}
