//! Opening a node's data directories at start.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rand_chacha::rand_core::Rng;

use crate::base::config::NodeConfig;
use crate::base::{
    BrokerEpoch, BrokerId, DirectoryId, Flaws, Stream, TopicId, TopicPartition, topics,
};
use crate::broker::error::NodeError;
use crate::io::{Disk, World};
use crate::log::{DirError, DirLock, Found, Identity, LogDir, LogError};

/// A directory that could be opened.
pub(crate) struct OpenDir<D: Disk> {
    pub(crate) dir: LogDir<D>,
    pub(crate) found: Found,
    /// It is one of `log.dirs`.
    pub(crate) holds_replicas: bool,
    /// Its place in the configuration.
    index: usize,
}

/// The directories that could be opened, in the order of `log.dirs`.
pub(crate) struct Opened<D: Disk> {
    pub(crate) dirs: Vec<OpenDir<D>>,
    /// Which of them has the metadata log.
    metadata: usize,
    /// How many could not be opened.
    failed: usize,
    /// Empty ones beside others that have been used. See [`Opened::format`].
    empty: Vec<(usize, PathBuf, Identity)>,
    /// No other process uses them until these are dropped.
    pub(crate) locks: Vec<DirLock<D>>,
}

impl<D: Disk> Opened<D> {
    /// The one with the metadata log.
    pub(crate) fn metadata(&self) -> &OpenDir<D> {
        &self.dirs[self.metadata]
    }

    /// Leaves the directories as cleanly closed as they were found: nothing in them was opened.
    pub(crate) async fn restore_clean(&self) -> Result<(), LogError> {
        for OpenDir { dir, found, .. } in self.dirs.iter().filter(|open| open.found.clean) {
            dir.mark_clean(found.previous_broker_epoch.unwrap_or(BrokerEpoch::NONE)).await?;
        }
        Ok(())
    }

    /// Some could not be opened.
    pub(crate) fn incomplete(&self) -> bool {
        self.failed > 0
    }

    /// The epoch that a broker had when it left all its directories cleanly (KIP-966). Source:
    /// Kafka's `LogManager.readBrokerEpochFromCleanShutdownFiles`.
    pub(crate) fn previous_broker_epoch(&self) -> BrokerEpoch {
        let of_replicas = self.dirs.iter().filter(|dir| dir.holds_replicas);
        let mut epochs = of_replicas.map(|dir| dir.found.previous_broker_epoch);
        let first = epochs.next().flatten();
        first.filter(|first| epochs.all(|epoch| epoch == Some(*first))).unwrap_or(BrokerEpoch::NONE)
    }

    /// Begins to use the empty directories, unless one of them may be in the place of another one
    /// that is missing: of those that the metadata know of this broker (`known`). Kafka asks for
    /// `kafka-storage.sh format` here; so does this, as `permitted`.
    pub(crate) async fn format(
        &mut self,
        disk: &D,
        known: &BTreeSet<DirectoryId>,
        permitted: bool,
    ) -> Result<(), NodeError> {
        let is_here = |id: &DirectoryId| self.dirs.iter().any(|open| open.dir.id() == *id);
        let missing: Vec<_> = known.iter().copied().filter(|id| !is_here(id)).collect();
        if let [id, ..] = missing[..] {
            if let Some((_, path, _)) = self.empty.first()
                && missing.len() > self.failed
                && !permitted
            {
                return Err(DirError::Replaced { path: path.clone(), missing: Some(id) }.into());
            }
            let count = missing.len();
            tracing::error!(
                %id, count, "log directories of this broker are missing; their replicas are offline"
            );
        }
        for (index, path, identity) in std::mem::take(&mut self.empty) {
            let (dir, found) = match LogDir::open(disk.clone(), path, identity).await {
                Ok(opened) => opened,
                Err(error) if error.condemns_directory() => {
                    tracing::error!(%error, "a directory can't be opened");
                    self.failed += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let at = self.dirs.partition_point(|open| open.index < index);
            self.dirs.insert(at, OpenDir { dir, found, holds_replicas: true, index });
            self.metadata += usize::from(at <= self.metadata);
        }
        Ok(check_copies(self.dirs.iter().map(|open| &open.dir))?)
    }
}

/// What a node may do to the directories that it finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permit {
    /// Begin to use an empty directory in the place of one that is missing.
    pub(crate) format: bool,
    pub(crate) flaws: Flaws,
}

/// Locks and opens every directory. One that can't be read is left out, as long as there are others
/// and the metadata log is not in it. Empty ones wait for [`Opened::format`], unless all are.
/// `ask_for_cluster` is called where none has been used before and this node is not a controller: then
/// it belongs to the cluster of its controller.
pub(crate) async fn open<W: World, F: Future<Output = Result<String, NodeError>>>(
    world: &W,
    config: &NodeConfig,
    permit: Permit,
    ask_for_cluster: impl FnOnce() -> F,
) -> Result<Opened<W::Disk>, NodeError> {
    let (paths, metadata) = paths(config)?;
    let disk = world.disk();
    let locks = lock(disk, &paths).await?;
    // What can't even be looked at will be found to be so when it is opened.
    let used = |path: &PathBuf| disk.exists(&path.join("meta.properties")).unwrap_or(false);
    let (mut order, new): (Vec<usize>, Vec<usize>) =
        (0..paths.len()).partition(|index| used(&paths[*index]));
    check_metadata(disk, &paths, metadata, &order, permit.format && !config.node.is_controller())?;
    let is_new = order.is_empty();
    let cluster = match !is_new || config.node.is_controller() {
        true => None,
        false => Some(ask_for_cluster().await?),
    };
    let mut random = world.random(Stream::named("directory"));
    let mut fresh = || {
        let mut id = [0; 16];
        random.fill_bytes(&mut id);
        id
    };
    let mut identity = Identity {
        node: BrokerId(config.node.node_id),
        cluster,
        fresh_cluster: TopicId(fresh()),
        fresh_directory: DirectoryId::UNASSIGNED,
        flaws: permit.flaws,
    };
    // Those that have been used say to which cluster the others belong. The metadata log says which
    // others there should be; a crash while all are new must not leave them without it.
    let (first, rest): (Vec<_>, Vec<_>) = new.into_iter().partition(|index| *index == metadata);
    order.extend(first);
    let known = order.len();
    order.extend(rest);
    let (mut opened, mut failure, mut failed, mut empty) = (Vec::new(), None, 0, Vec::new());
    for (at, index) in order.into_iter().enumerate() {
        identity.fresh_directory = DirectoryId(fresh());
        let path = paths[index].clone();
        let waits = at >= known && !is_new;
        let open = match waits {
            true => LogDir::check_empty(disk, &path).map(|()| None),
            false => LogDir::open(disk.clone(), path.clone(), identity.clone()).await.map(Some),
        };
        match open {
            Ok(None) => empty.push((index, path, identity.clone())),
            Ok(Some((dir, found))) => {
                identity.cluster = Some(dir.cluster_id().to_owned());
                let holds_replicas = config.node.log_dirs.iter().any(|of| *of == *dir.path());
                opened.push(OpenDir { dir, found, holds_replicas, index });
            }
            Err(error) if error.condemns_directory() => {
                tracing::error!(%error, "a directory can't be opened");
                failed += 1;
                failure = failure.or(Some(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    opened.sort_by_key(|open| open.index);
    check_copies(opened.iter().map(|open| &open.dir))?;
    let at = opened.iter().position(|open| open.index == metadata);
    let holds_replicas = opened.iter().any(|dir| dir.holds_replicas) || !empty.is_empty();
    match (at, failure) {
        (Some(metadata), _) if holds_replicas => {
            Ok(Opened { dirs: opened, metadata, failed, empty, locks })
        }
        (_, Some(error)) => Err(error.into()),
        (_, None) => Err(NodeError::StorageLost),
    }
}

/// Checks that the metadata log is where it is configured to be, before anything is changed: a node
/// that begins an empty one beside logs of topics would believe that all topics are gone. Source:
/// Kafka's `KafkaRaftServer.initializeLogDirs`.
fn check_metadata<D: Disk>(
    disk: &D,
    paths: &[PathBuf],
    metadata: usize,
    used: &[usize],
    may_begin: bool,
) -> Result<(), DirError> {
    let log = TopicPartition::new(topics::CLUSTER_METADATA, 0).to_string();
    for index in used.iter().copied().filter(|index| *index != metadata) {
        if disk.exists(&paths[index].join(&log)).unwrap_or(false) {
            let (found, configured) = (paths[index].clone(), paths[metadata].clone());
            return Err(DirError::MetadataElsewhere { found, configured });
        }
    }
    if !used.is_empty() && !used.contains(&metadata) && !may_begin {
        let path = paths[metadata].clone();
        // One that can't be looked at is reported as that when it is opened.
        return match disk.list(&path) {
            Ok(_) => Err(DirError::Replaced { path, missing: None }),
            Err(_) => Ok(()),
        };
    }
    Ok(())
}

/// Locks all directories before any is changed. One that can't be used is left out: opening it
/// finds out the same.
async fn lock<D: Disk>(disk: &D, paths: &[PathBuf]) -> Result<Vec<DirLock<D>>, DirError> {
    let mut locks = Vec::with_capacity(paths.len());
    for path in paths {
        // A directory that is not ours gets no file of ours.
        let is_ours = !matches!(disk.exists(path), Ok(true))
            || !matches!(disk.exists(&path.join("meta.properties")), Ok(false));
        let lock = match is_ours {
            true => DirLock::take(disk, path).await,
            false => match LogDir::check_empty(disk, path) {
                Ok(()) => DirLock::take(disk, path).await,
                Err(error) => Err(error),
            },
        };
        match lock {
            Ok(lock) => locks.push(lock),
            Err(error) if error.condemns_directory() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(locks)
}

/// All directories, and which of them has the metadata log.
fn paths(config: &NodeConfig) -> Result<(Vec<PathBuf>, usize), NodeError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in config.node.log_dirs.iter().map(PathBuf::from) {
        if paths.contains(&path) {
            return Err(NodeError::Config(format!("`log.dirs` names {} twice", path.display())));
        }
        paths.push(path);
    }
    if paths.is_empty() {
        return Err(NodeError::Config("`log.dirs` is empty".into()));
    }
    let metadata = PathBuf::from(&config.quorum.metadata_log_dir);
    if config.quorum.metadata_log_dir.is_empty() {
        return Ok((paths, 0));
    }
    let at = paths.iter().position(|path| *path == metadata).unwrap_or(paths.len());
    if at == paths.len() {
        paths.push(metadata);
    }
    Ok((paths, at))
}

fn check_copies<'a, D: Disk>(dirs: impl Iterator<Item = &'a LogDir<D>>) -> Result<(), DirError> {
    let mut seen: Vec<&LogDir<D>> = Vec::new();
    for dir in dirs {
        if let Some(other) = seen.iter().find(|other| other.id() == dir.id()) {
            let (first, second) = (other.path().to_owned(), dir.path().to_owned());
            return Err(DirError::Copied { first, second });
        }
        seen.push(dir);
    }
    Ok(())
}
