//! A broker's data directories: which still work, where a new replica goes, and what follows when
//! one fails (KIP-112, KIP-858).
//!
//! A directory fails with the first call in it that the file system refuses for another reason
//! than lack of space. It stays failed until the next start: after a failed sync it is unknown what
//! is durable ("fsyncgate", ATC'20).

mod open;

pub(super) use open::{OpenDir, Opened, Permit, open};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};

use crate::base::DirectoryId;
use crate::io::Disk;
use crate::log::{LogDir, LogError};

/// One data directory.
pub(crate) struct Home<D: Disk> {
    pub(crate) dir: LogDir<D>,
    /// Replicas live here; not so where the metadata log has a directory of its own.
    holds_replicas: bool,
    offline: AtomicBool,
    /// The controller knows that it has failed.
    reported: AtomicBool,
    failures: mpsc::UnboundedSender<DirectoryId>,
}

impl<D: Disk> Home<D> {
    /// `directory.id`.
    pub(crate) fn id(&self) -> DirectoryId {
        self.dir.id()
    }

    pub(crate) fn is_online(&self) -> bool {
        !self.offline.load(Ordering::Acquire)
    }

    /// Whether the controller has been told that this directory failed.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported.load(Ordering::Acquire)
    }

    /// The controller has answered a heartbeat that reported this directory.
    pub(crate) fn set_reported(&self) {
        self.reported.store(true, Ordering::Release);
    }

    /// A call in this directory failed. For want of space it may succeed later; after anything
    /// else the directory is given up. Says whether it was.
    pub(crate) fn failed(&self, error: &LogError) -> bool {
        if !error.condemns_directory() {
            return false;
        }
        if !self.offline.swap(true, Ordering::AcqRel) {
            tracing::error!(dir = %self.dir.path().display(), %error, "the directory has failed");
            // The receiver only ends with the node.
            let _ = self.failures.send(self.id());
        }
        true
    }
}

/// All data directories of a broker that could be opened at start.
pub(crate) struct Dirs<D: Disk> {
    homes: Vec<Arc<Home<D>>>,
    /// Without this one a broker can't go on.
    metadata: DirectoryId,
    /// Some of those that are configured could not be opened.
    incomplete: bool,
    /// Rung when the broker can't go on.
    pub(crate) lost: Notify,
}

impl<D: Disk> Dirs<D> {
    /// `dirs` are those that were opened, and whether each holds replicas. Failures of them are
    /// told to the receiver.
    pub(crate) fn new(
        dirs: impl IntoIterator<Item = (LogDir<D>, bool)>,
        metadata: DirectoryId,
        incomplete: bool,
    ) -> (Self, mpsc::UnboundedReceiver<DirectoryId>) {
        let (failures, failed) = mpsc::unbounded_channel();
        let homes = dirs.into_iter().map(|(dir, holds_replicas)| {
            let (offline, reported) = (AtomicBool::new(false), AtomicBool::new(false));
            Arc::new(Home { dir, holds_replicas, offline, reported, failures: failures.clone() })
        });
        (Self { homes: homes.collect(), metadata, incomplete, lost: Notify::new() }, failed)
    }

    /// Those in which replicas live, failed or not.
    pub(crate) fn of_replicas(&self) -> impl Iterator<Item = &Arc<Home<D>>> {
        self.homes.iter().filter(|home| home.holds_replicas)
    }

    /// Whether a replica may be in more than one directory, with those that could not be opened.
    pub(crate) fn are_several(&self) -> bool {
        self.incomplete || self.of_replicas().count() > 1
    }

    /// Those in which replicas live, as long as they work.
    pub(crate) fn online(&self) -> impl Iterator<Item = &Arc<Home<D>>> {
        self.of_replicas().filter(|home| home.is_online())
    }

    /// Whether all that are configured work.
    pub(crate) fn is_complete(&self) -> bool {
        !self.incomplete && self.of_replicas().all(|home| home.is_online())
    }

    /// Ids of those that work, as a registration tells them: in order.
    pub(crate) fn online_ids(&self) -> Vec<DirectoryId> {
        let mut ids: Vec<_> = self.online().map(|home| home.id()).collect();
        ids.sort_unstable();
        ids
    }

    /// Ids of those that have failed since the start.
    pub(crate) fn failed_ids(&self) -> Vec<DirectoryId> {
        self.of_replicas().filter(|home| !home.is_online()).map(|home| home.id()).collect()
    }

    /// Whether a replica's directory is neither here nor one that has failed: it was replaced, or is
    /// not attached.
    pub(crate) fn is_missing(&self, told: DirectoryId) -> bool {
        !told.is_reserved() && !self.of_replicas().any(|home| home.id() == told)
    }

    /// The metadata log is in this one.
    pub(crate) fn has_metadata(&self, home: &Home<D>) -> bool {
        home.id() == self.metadata
    }

    /// Where a replica goes that is on no disk yet. `told` is what the metadata says, zero if it
    /// says nothing; `hosted` counts the replicas in each. Without an answer the replica has to
    /// stay offline: it is in a directory that has failed, and a second copy would be none.
    ///
    /// Source: Kafka's `LogManager.nextLogDirs` and `getOrCreateLog`.
    pub(crate) fn choose(
        &self,
        told: DirectoryId,
        hosted: &BTreeMap<DirectoryId, usize>,
    ) -> Option<&Arc<Home<D>>> {
        if let Some(home) = self.online().find(|home| home.id() == told) {
            return Some(home);
        }
        if told != DirectoryId::UNASSIGNED && !self.is_complete() {
            return None;
        }
        let count = |home: &&Arc<Home<D>>| hosted.get(&home.id()).copied().unwrap_or(0);
        self.online().min_by_key(count)
    }

    /// One has failed: whether the broker can go on without it.
    pub(crate) fn can_go_on(&self, failed: DirectoryId) -> bool {
        failed != self.metadata && self.online().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::{BrokerId, Flaws};
    use crate::io::real::RealDisk;
    use crate::log::Identity;

    async fn open(path: &Path, id: u8) -> LogDir<RealDisk> {
        let identity = Identity {
            node: BrokerId(1),
            cluster: Some("c".into()),
            fresh_cluster: crate::base::TopicId::ZERO,
            fresh_directory: DirectoryId([id; 16]),
            flaws: Flaws::default(),
        };
        LogDir::open(RealDisk, path.join(id.to_string()), identity).await.unwrap().0
    }

    async fn three(incomplete: bool) -> (tempfile::TempDir, Dirs<RealDisk>) {
        let place = tempfile::tempdir().unwrap();
        let mut dirs = Vec::new();
        for id in 1..=3 {
            dirs.push((open(place.path(), id).await, true));
        }
        (place, Dirs::new(dirs, DirectoryId([1; 16]), incomplete).0)
    }

    fn eio() -> LogError {
        LogError::Io {
            action: "sync",
            path: "/x".into(),
            source: std::io::Error::from_raw_os_error(5),
        }
    }

    #[tokio::test]
    async fn a_new_replica_goes_where_the_fewest_are_unless_it_has_a_place() {
        let (_place, dirs) = three(false).await;
        let hosted = BTreeMap::from([(DirectoryId([1; 16]), 2), (DirectoryId([2; 16]), 1)]);
        let chosen =
            |told: u8| dirs.choose(DirectoryId([told; 16]), &hosted).map(|home| home.id().0[0]);
        assert_eq!(chosen(0), Some(3));
        assert_eq!(chosen(1), Some(1), "as the metadata says");
        assert_eq!(chosen(9), Some(3), "its directory is gone for good: it begins again");
        dirs.homes[2].failed(&eio());
        assert_eq!(chosen(0), Some(2));
        assert_eq!(chosen(3), None, "it is in a directory that has failed");
        assert_eq!(chosen(9), None, "perhaps it is there");
        assert_eq!(dirs.online_ids(), [DirectoryId([1; 16]), DirectoryId([2; 16])]);
        assert_eq!(dirs.failed_ids(), [DirectoryId([3; 16])]);
    }

    #[tokio::test]
    async fn a_replica_may_be_in_a_directory_that_could_not_be_opened() {
        let (_place, dirs) = three(true).await;
        assert!(dirs.choose(DirectoryId([9; 16]), &BTreeMap::new()).is_none());
        assert!(dirs.choose(DirectoryId::UNASSIGNED, &BTreeMap::new()).is_some());
    }

    #[tokio::test]
    async fn only_the_metadata_directory_and_the_last_one_end_the_broker() {
        let (_place, dirs) = three(false).await;
        assert!(!dirs.can_go_on(DirectoryId([1; 16])));
        assert!(dirs.homes[2].failed(&eio()));
        assert!(dirs.can_go_on(DirectoryId([3; 16])));
        let full = LogError::Io {
            action: "append to",
            path: "/x".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        assert!(!dirs.homes[1].failed(&full) && dirs.homes[1].is_online());
        dirs.homes[0].failed(&eio());
        dirs.homes[1].failed(&eio());
        assert!(!dirs.can_go_on(DirectoryId([2; 16])));
    }
}
