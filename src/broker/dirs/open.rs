//! Opening a node's data directories at start.

use std::path::PathBuf;

use rand_chacha::rand_core::Rng;

use crate::base::config::NodeConfig;
use crate::base::{BrokerEpoch, BrokerId, DirectoryId, Flaws, Stream, TopicId};
use crate::broker::error::NodeError;
use crate::io::{Disk, World};
use crate::log::{DirError, Found, Identity, LogDir, LogError};

/// A directory that could be opened.
pub(crate) struct OpenDir<D: Disk> {
    pub(crate) dir: LogDir<D>,
    pub(crate) found: Found,
    /// It is one of `log.dirs`.
    pub(crate) holds_replicas: bool,
}

/// The directories that could be opened, in the order of `log.dirs`.
pub(crate) struct Opened<D: Disk> {
    pub(crate) dirs: Vec<OpenDir<D>>,
    /// Which of them has the metadata log.
    metadata: usize,
    /// Some could not be opened.
    pub(crate) incomplete: bool,
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

    /// The epoch that a broker had when it left all its directories cleanly (KIP-966). Source:
    /// Kafka's `LogManager.readBrokerEpochFromCleanShutdownFiles`.
    pub(crate) fn previous_broker_epoch(&self) -> BrokerEpoch {
        let of_replicas = self.dirs.iter().filter(|dir| dir.holds_replicas);
        let mut epochs = of_replicas.map(|dir| dir.found.previous_broker_epoch);
        let first = epochs.next().flatten();
        first.filter(|first| epochs.all(|epoch| epoch == Some(*first))).unwrap_or(BrokerEpoch::NONE)
    }
}

/// Opens every directory. One that can't be read is left out, as long as there are others and the
/// metadata log is not in it. `ask_for_cluster` is called where none has been used before and this
/// node is no controller: then it belongs to the cluster of its controller.
pub(crate) async fn open<W: World, F: Future<Output = Result<String, NodeError>>>(
    world: &W,
    config: &NodeConfig,
    flaws: Flaws,
    ask_for_cluster: impl FnOnce() -> F,
) -> Result<Opened<W::Disk>, NodeError> {
    let (paths, metadata) = paths(config)?;
    let disk = world.disk();
    // What can't even be looked at will be found to be so when it is opened.
    let used = |path: &PathBuf| disk.exists(&path.join("meta.properties")).unwrap_or(false);
    let (mut order, new): (Vec<usize>, Vec<usize>) =
        (0..paths.len()).partition(|index| used(&paths[*index]));
    let cluster = match !order.is_empty() || config.node.is_controller() {
        true => None,
        false => Some(ask_for_cluster().await?),
    };
    // Those that have been used say to which cluster the others belong.
    order.extend(new);
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
        flaws,
    };
    let (mut opened, mut failure) = (Vec::new(), None);
    for index in order {
        identity.fresh_directory = DirectoryId(fresh());
        let path = paths[index].clone();
        match LogDir::open(disk.clone(), path, identity.clone()).await {
            Ok((dir, found)) => {
                identity.cluster = Some(dir.cluster_id().to_owned());
                let holds_replicas = config.node.log_dirs.iter().any(|of| *of == *dir.path());
                opened.push((index, OpenDir { dir, found, holds_replicas }));
            }
            Err(DirError::Log(error)) if error.condemns_directory() => {
                tracing::error!(%error, "a directory can't be opened");
                failure = failure.or(Some(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    opened.sort_by_key(|(index, _)| *index);
    check_copies(opened.iter().map(|(_, open)| &open.dir))?;
    let at = opened.iter().position(|(index, _)| *index == metadata);
    let incomplete = failure.is_some();
    let dirs: Vec<_> = opened.into_iter().map(|(_, open)| open).collect();
    match (at, failure) {
        (Some(metadata), _) if dirs.iter().any(|dir| dir.holds_replicas) => {
            Ok(Opened { dirs, metadata, incomplete })
        }
        (_, Some(error)) => Err(LogError::into(error)),
        (_, None) => Err(NodeError::StorageLost),
    }
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
