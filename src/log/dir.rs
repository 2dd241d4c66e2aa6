//! A data directory: its owner, how it was closed, and the checkpoints of all its partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::checkpoint::{self, Saver, read_offsets};
use super::lock;
use super::meta::{self, Identity, Meta};
use super::names::PARTITION_METADATA;
use super::{DirError, LogError, RecoveryMark, Unreadable};
use crate::base::{BrokerEpoch, DirectoryId, Flaw, Flaws, Offset, TopicId, TopicPartition};
use crate::io::Disk;

const META: &str = "meta.properties";
const CLEAN: &str = ".kafka_cleanshutdown";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";
const CLEANER: &str = "cleaner-offset-checkpoint";
const DELETED: &str = "-delete";
/// Source: Kafka's `LogManager.StrayDirSuffix`.
const STRAY: &str = "-stray";
/// Files that are replaced as a whole: a crash may leave one of these names with more behind it.
const REPLACED: [&str; 6] = [META, CLEAN, RECOVERY_POINTS, HIGH_WATERMARKS, LOG_STARTS, CLEANER];
/// Of most file systems.
const LONGEST_NAME: usize = 255;

/// What was found in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The last process closed all logs before it ended. Its marker is already removed.
    pub clean: bool,
    /// The broker epoch that the last process had when it ended cleanly (KIP-966).
    pub previous_broker_epoch: Option<BrokerEpoch>,
    /// Partitions with a directory, with the creation of their topic where it is known.
    pub partitions: BTreeMap<TopicPartition, Option<TopicId>>,
    /// Those whose `partition.metadata` can't be read.
    pub unreadable: BTreeMap<TopicPartition, Unreadable>,
    /// `recovery-point-offset-checkpoint`.
    pub recovery_points: BTreeMap<TopicPartition, Offset>,
    /// `replication-offset-checkpoint`.
    pub high_watermarks: BTreeMap<TopicPartition, Offset>,
    /// `log-start-offset-checkpoint`.
    pub log_starts: BTreeMap<TopicPartition, Offset>,
    /// `cleaner-offset-checkpoint`: up to where compacted logs are clean.
    pub cleaner_offsets: BTreeMap<TopicPartition, Offset>,
}

impl Found {
    /// What is known about a partition's log before it is opened.
    pub fn recovery(&self, partition: &TopicPartition) -> super::Recovery {
        let of = |offsets: &BTreeMap<_, Offset>| {
            offsets.get(partition).copied().unwrap_or(Offset::ZERO).max(Offset::ZERO)
        };
        super::Recovery {
            recovery_point: of(&self.recovery_points),
            clean: self.clean,
            log_start: of(&self.log_starts),
            cleaned_to: of(&self.cleaner_offsets),
        }
    }
}

/// A data directory. A clone is another handle on the same.
#[derive(Clone)]
pub struct LogDir<D: Disk> {
    disk: D,
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    meta: Meta,
    clean: Saver,
    recovery_points: Saver,
    high_watermarks: Saver,
    log_starts: Saver,
    cleaner: Saver,
    saved: Mutex<Saved>,
}

/// What the checkpoints hold, or will once all saves are done.
#[derive(Default)]
struct Saved {
    /// An older mark never replaces a newer one.
    recovery_points: BTreeMap<TopicPartition, RecoveryMark>,
    high_watermarks: BTreeMap<TopicPartition, Offset>,
    log_starts: BTreeMap<TopicPartition, Offset>,
    cleaner: BTreeMap<TopicPartition, Offset>,
    /// Deleted, and not created again: later saves for them are dropped.
    deleted: BTreeSet<TopicPartition>,
}

impl Saved {
    /// The entries of partitions that still are.
    fn current(&self, of: &BTreeMap<TopicPartition, Offset>) -> BTreeMap<TopicPartition, Offset> {
        let mut current = of.clone();
        current.retain(|partition, _| !self.deleted.contains(partition));
        current
    }
}

impl<D: Disk> LogDir<D> {
    /// Opens or creates a directory, refuses another cluster's or node's, removes (durably, before
    /// it returns) the marker of a clean shutdown, finishes deletions that were begun.
    pub async fn open(
        disk: D,
        path: PathBuf,
        identity: Identity,
    ) -> Result<(Self, Found), DirError> {
        lock::create(&disk, &path).await?;
        let meta_path = path.join(META);
        let meta = match Meta::read(&disk, &meta_path)? {
            Some(meta) => {
                meta.check(&meta_path, &identity)?;
                meta
            }
            None => {
                Self::check_empty(&disk, &path)?;
                let fresh = || identity.fresh_cluster.to_string();
                let cluster = identity.cluster.clone().unwrap_or_else(fresh);
                let meta =
                    Meta { cluster, node: identity.node, directory: identity.fresh_directory };
                Saver::new(meta_path).save(&disk, meta.to_text().into_bytes()).await?;
                meta
            }
        };
        let saver = |name| Saver::new(path.join(name)).with(identity.flaws);
        let shared = Shared {
            clean: saver(CLEAN),
            recovery_points: saver(RECOVERY_POINTS),
            high_watermarks: saver(HIGH_WATERMARKS),
            log_starts: saver(LOG_STARTS),
            cleaner: saver(CLEANER),
            saved: Mutex::default(),
            path,
            meta,
        };
        let dir = Self { disk, shared: Arc::new(shared) };
        let found = dir.take_stock(identity.flaws).await?;
        Ok((dir, found))
    }

    /// A directory without `meta.properties` must be empty: it may be a home directory, or a data
    /// directory that lost the file.
    pub fn check_empty(disk: &D, dir: &Path) -> Result<(), DirError> {
        let entries = disk.list(dir).map_err(LogError::io("list", dir))?;
        let is_new =
            |name: &str| name == "lost+found" || name.starts_with('.') || is_temporary(name);
        match entries.into_iter().find(|entry| !is_new(&entry.name)) {
            Some(entry) => Err(DirError::Unmarked { path: dir.to_owned(), found: entry.name }),
            None => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// `cluster.id`.
    pub fn cluster_id(&self) -> &str {
        &self.shared.meta.cluster
    }

    /// `directory.id`.
    pub fn id(&self) -> DirectoryId {
        self.shared.meta.directory
    }

    /// Looks at everything in the directory. From here on it counts as not cleanly closed: were
    /// the marker still there after a crash while logs are opened, the next start would trust
    /// what this one has half done (KAFKA-10471).
    async fn take_stock(&self, flaws: Flaws) -> Result<Found, DirError> {
        let (disk, path) = (&self.disk, self.path());
        let mut found = Found::default();
        let marker = path.join(CLEAN);
        if let Some(content) = checkpoint::read_file(disk, &marker)? {
            found.clean = true;
            found.previous_broker_epoch = broker_epoch(&content);
            if !flaws.has(Flaw::TrustDirtyStart) {
                disk.remove(&marker).map_err(LogError::io("remove", &marker))?;
                disk.sync_dir(path).await.map_err(LogError::io("sync", path))?;
            }
        }
        for entry in disk.list(path).map_err(LogError::io("list", path))? {
            let child = path.join(&entry.name);
            if entry.is_dir && entry.name.ends_with(DELETED) {
                remove_dir(disk, &child)?;
            } else if entry.is_dir {
                if let Some(partition) = TopicPartition::from_directory(&entry.name) {
                    let topic = match meta::read_partition(disk, &child.join(PARTITION_METADATA)) {
                        Err(LogError::Malformed { path, line, problem }) => {
                            let unreadable = Unreadable { path, line, problem };
                            found.unreadable.insert(partition.clone(), unreadable);
                            None
                        }
                        topic => topic?,
                    };
                    found.partitions.insert(partition, topic);
                }
            } else if is_temporary(&entry.name) {
                disk.remove(&child).map_err(LogError::io("remove", &child))?;
            }
        }
        self.read_checkpoints(&mut found)?;
        let marked = |offset: &Offset| RecoveryMark { offset: *offset, number: 0 };
        *self.shared.saved.lock() = Saved {
            recovery_points: found
                .recovery_points
                .iter()
                .map(|(partition, offset)| (partition.clone(), marked(offset)))
                .collect(),
            high_watermarks: found.high_watermarks.clone(),
            log_starts: found.log_starts.clone(),
            cleaner: found.cleaner_offsets.clone(),
            deleted: BTreeSet::new(),
        };
        disk.settle().await;
        Ok(found)
    }

    /// Reads the checkpoints. A malformed one costs the directory, except that the start continues
    /// without a recovery point or log start that is not a number. Source: Kafka's
    /// `LogManager.loadLogs`, `CheckpointFileWithFailureHandler.read`.
    fn read_checkpoints(&self, found: &mut Found) -> Result<(), DirError> {
        let read = |name: &str, without: &str, resets: bool| {
            let remedy = format!("remove the file to have {without}");
            let costs = |error: LogError| DirError::Checkpoint(error.or_else(&remedy));
            let entries = match read_offsets(&self.disk, &self.path().join(name)) {
                Err(error) if error.is_damage() => return Err(costs(error)),
                entries => entries?,
            };
            match entries {
                Err(error) if resets => {
                    tracing::warn!(%error, "a checkpoint is not used; this start has {without}");
                    Ok(BTreeMap::new())
                }
                entries => entries.map_err(costs),
            }
        };
        let every_log = "every log examined from its beginning";
        found.recovery_points = read(RECOVERY_POINTS, every_log, true)?;
        let agree = "replicas agree again on what is committed";
        found.high_watermarks = read(HIGH_WATERMARKS, agree, false)?;
        let deleted = "deleted records back whose files are still there";
        found.log_starts = read(LOG_STARTS, deleted, true)?;
        let again = "logs compacted from their beginnings again";
        found.cleaner_offsets = read(CLEANER, again, false)?;
        Ok(())
    }

    /// The directory of a partition.
    pub fn partition_dir(&self, partition: &TopicPartition) -> PathBuf {
        self.path().join(partition.to_string())
    }

    /// Creates a partition's directory, if it is missing, with its `partition.metadata`, durably.
    pub fn create_partition(
        &self,
        partition: &TopicPartition,
        topic: TopicId,
    ) -> impl Future<Output = Result<PathBuf, LogError>> + Send + use<D> {
        let (disk, shared) = (self.disk.clone(), self.shared.clone());
        let dir = self.partition_dir(partition);
        self.shared.saved.lock().deleted.remove(partition);
        async move {
            disk.create_dir_all(&dir).map_err(LogError::io("create", &dir))?;
            disk.sync_dir(&shared.path).await.map_err(LogError::io("sync", &shared.path))?;
            save_topic(disk, dir, topic).await
        }
    }

    /// Creates the directories of partitions, those that are missing, and makes all of their names
    /// durable by one sync. For each, what comes back saves `partition.metadata`, durably, and
    /// returns the partition's directory.
    pub fn create_partitions(
        &self,
        partitions: Vec<(&TopicPartition, TopicId)>,
    ) -> impl Future<
        Output = Result<
            Vec<impl Future<Output = Result<PathBuf, LogError>> + Send + use<D>>,
            LogError,
        >,
    > + Send
    + use<D> {
        let (disk, shared) = (self.disk.clone(), self.shared.clone());
        let dirs = partitions.into_iter().map(|(partition, topic)| {
            self.shared.saved.lock().deleted.remove(partition);
            (self.partition_dir(partition), topic)
        });
        let dirs: Vec<_> = dirs.collect();
        async move {
            for (dir, _) in &dirs {
                disk.create_dir_all(dir).map_err(LogError::io("create", dir))?;
            }
            disk.sync_dir(&shared.path).await.map_err(LogError::io("sync", &shared.path))?;
            let save = |(dir, topic)| save_topic(disk.clone(), dir, topic);
            Ok(dirs.into_iter().map(save).collect())
        }
    }

    /// The recovery point of a partition that the checkpoint holds, or will once all saves are done.
    pub fn recovery_point(&self, partition: &TopicPartition) -> Option<Offset> {
        self.shared.saved.lock().recovery_points.get(partition).map(|mark| mark.offset)
    }

    /// Saves recovery points. Partitions that are not named keep what was saved last. A log is not
    /// called clean beyond its recovery point: it is about to be truncated there, or was.
    pub fn save_recovery_points(
        &self,
        points: &BTreeMap<TopicPartition, RecoveryMark>,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let mut saved = self.shared.saved.lock();
        let current = points.iter().filter(|(partition, _)| !saved.deleted.contains(partition));
        let newest = current.map(|(partition, mark)| {
            let before = saved.recovery_points.get(partition);
            let before = before.filter(|before| before.number > mark.number);
            (partition.clone(), *before.unwrap_or(mark))
        });
        let newest: Vec<_> = newest.collect();
        let mut cut = false;
        for (partition, mark) in newest {
            if let Some(clean) = saved.cleaner.get_mut(&partition).filter(|c| **c > mark.offset) {
                (*clean, cut) = (mark.offset, true);
            }
            saved.recovery_points.insert(partition, mark);
        }
        let cleaner = cut.then(|| self.write_offsets(&self.shared.cleaner, &saved.cleaner));
        let points = self.write_recovery_points(&saved);
        async move {
            if let Some(cleaner) = cleaner {
                cleaner.await?;
            }
            points.await
        }
    }

    /// Saves high watermarks. Partitions that are not named keep what was saved last.
    pub fn save_high_watermarks(
        &self,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let mut saved = self.shared.saved.lock();
        let current = saved.current(offsets);
        saved.high_watermarks.extend(current);
        self.write_offsets(&self.shared.high_watermarks, &saved.high_watermarks)
    }

    /// Saves log starts. Partitions that are not named keep what was saved last.
    pub fn save_log_starts(
        &self,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let mut saved = self.shared.saved.lock();
        let current = saved.current(offsets);
        saved.log_starts.extend(current);
        self.write_offsets(&self.shared.log_starts, &saved.log_starts)
    }

    /// Saves up to where logs are clean, but no further than their recovery points, which have to be
    /// saved before. Partitions that are not named keep what was saved last.
    pub fn save_cleaner_offsets(
        &self,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let mut saved = self.shared.saved.lock();
        let mut current = saved.current(offsets);
        for (partition, clean) in &mut current {
            let point = saved.recovery_points.get(partition).map(|mark| mark.offset);
            *clean = (*clean).min(point.unwrap_or(Offset::ZERO));
        }
        saved.cleaner.extend(current);
        self.write_offsets(&self.shared.cleaner, &saved.cleaner)
    }

    /// To be called under the lock of what is saved: the order of saves is that of the contents.
    fn write_recovery_points(
        &self,
        saved: &Saved,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let points = saved.recovery_points.iter();
        let text = checkpoint::offsets_text(points.map(|(p, mark)| (p, mark.offset)));
        self.shared.recovery_points.save(&self.disk, text.into_bytes())
    }

    fn write_offsets(
        &self,
        to: &Saver,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let text = checkpoint::offsets_text(offsets.iter().map(|(p, offset)| (p, *offset)));
        to.save(&self.disk, text.into_bytes())
    }

    /// Removes a partition from the checkpoints, durably: what they say of it must not be taken
    /// for the truth about the next partition of that name.
    async fn forget(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let (points, others) = {
            let mut saved = self.shared.saved.lock();
            let points = saved.recovery_points.remove(partition).is_some();
            let watermarks = saved.high_watermarks.remove(partition).is_some();
            let starts = saved.log_starts.remove(partition).is_some();
            let cleaner = saved.cleaner.remove(partition).is_some();
            saved.deleted.insert(partition.clone());
            let shared = &self.shared;
            let others = [
                (watermarks, &shared.high_watermarks, &saved.high_watermarks),
                (starts, &shared.log_starts, &saved.log_starts),
                (cleaner, &shared.cleaner, &saved.cleaner),
            ];
            let changed = others.into_iter().filter(|(changed, ..)| *changed);
            let others: Vec<_> = changed.map(|(_, to, of)| self.write_offsets(to, of)).collect();
            (points.then(|| self.write_recovery_points(&saved)), others)
        };
        if let Some(save) = points {
            save.await?;
        }
        for save in others {
            save.await?;
        }
        Ok(())
    }

    /// Takes a partition, whose log must be dropped, out of the directory: its own is renamed,
    /// durably. `unique` tells it from other deletions of the same name. What comes back removes
    /// the files, whenever that is run; what it leaves, the next start removes.
    pub fn delete_partition(
        &self,
        partition: &TopicPartition,
        unique: TopicId,
    ) -> impl Future<
        Output = Result<impl FnOnce() -> Result<(), LogError> + Send + use<D>, LogError>,
    > + Send
    + use<D> {
        let (dir, partition) = (self.clone(), partition.clone());
        async move {
            let to = dir.rename_partition(&partition, unique, DELETED).await?;
            let disk = dir.disk;
            Ok(move || to.map_or(Ok(()), |to| remove_dir(&disk, &to)))
        }
    }

    /// Renames the log of a partition that is not in the metadata, and keeps it, as Kafka does with
    /// stray logs. Returns its new path, unless it is gone. `unique` as above.
    pub fn set_stray_aside(
        &self,
        partition: &TopicPartition,
        unique: TopicId,
    ) -> impl Future<Output = Result<Option<PathBuf>, LogError>> + Send + use<D> {
        let (dir, partition) = (self.clone(), partition.clone());
        async move { dir.rename_partition(&partition, unique, STRAY).await }
    }

    async fn rename_partition(
        &self,
        partition: &TopicPartition,
        unique: TopicId,
        suffix: &str,
    ) -> Result<Option<PathBuf>, LogError> {
        let (disk, path) = (&self.disk, self.path());
        self.forget(partition).await?;
        let from = self.partition_dir(partition);
        let to = path.join(former_name(partition, unique, suffix));
        match disk.rename(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed.map_err(LogError::io("rename", &from))?,
        }
        disk.sync_dir(path).await.map_err(LogError::io("sync", path))?;
        Ok(Some(to))
    }

    /// Leaves the marker of a clean shutdown: every log must be closed, every checkpoint saved.
    pub fn mark_clean(
        &self,
        broker_epoch: BrokerEpoch,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let text = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        self.shared.clean.save(&self.disk, text.into_bytes())
    }
}

impl<D: Disk> std::fmt::Debug for LogDir<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogDir({})", self.path().display())
    }
}

/// The broker epoch in a marker of a clean shutdown; Kafka before 3.7 left an empty one.
fn broker_epoch(content: &[u8]) -> Option<BrokerEpoch> {
    let content: serde_json::Value = serde_json::from_slice(content).ok()?;
    content.get("brokerEpoch")?.as_i64().map(BrokerEpoch)
}

/// As Kafka names it: the partition, a unique part, `-delete` or `-stray`; a long topic is shortened.
fn former_name(partition: &TopicPartition, unique: TopicId, suffix: &str) -> String {
    let unique: String = unique.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let end = format!("-{}.{unique}{suffix}", partition.partition);
    let topic: String = partition.topic.chars().take(LONGEST_NAME - end.len()).collect();
    format!("{topic}{end}")
}

/// Saves the `partition.metadata` of a partition's directory, and returns the directory.
async fn save_topic<D: Disk>(disk: D, dir: PathBuf, topic: TopicId) -> Result<PathBuf, LogError> {
    let text = meta::partition_text(topic).into_bytes();
    Saver::new(dir.join(PARTITION_METADATA)).save(&disk, text).await?;
    Ok(dir)
}

/// What a crash left of a file that was being replaced.
fn is_temporary(name: &str) -> bool {
    let mut rests = REPLACED.iter().filter_map(|replaced| name.strip_prefix(replaced));
    name.ends_with(".tmp") && rests.any(|rest| rest.starts_with('.'))
}

/// Removes a directory of files.
fn remove_dir<D: Disk>(disk: &D, dir: &Path) -> Result<(), LogError> {
    for entry in disk.list(dir).map_err(LogError::io("list", dir))? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            remove_dir(disk, &path)?;
        } else {
            disk.remove(&path).map_err(LogError::io("remove", &path))?;
        }
    }
    disk.remove_dir(dir).map_err(LogError::io("remove", dir))
}
