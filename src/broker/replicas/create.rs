//! Creating logs, many at a time.
//!
//! A new topic may bring thousands of logs to one broker. Their directories are created first, and
//! made durable by one sync of the data directory; then the files of each, side by side. A replica
//! begins only when all of its own is durable: see "The order of syncs" in ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AT_ONCE, Replicas};
use crate::base::config::TopicConfig;
use crate::base::{DirectoryId, Offset, TopicId, TopicPartition};
use crate::broker::dirs::Home;
use crate::broker::partition::Partition;
use crate::controller::PartitionState;
use crate::io::{World, together};
use crate::log::{Log, LogError, Recovery};

/// A log that is to be created.
pub(super) struct NewLog {
    pub(super) name: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) config: TopicConfig,
    /// The directory that the metadata names.
    pub(super) place: DirectoryId,
}

/// New logs, and the states of their partitions.
type NewLogs<'a> = Vec<(NewLog, &'a PartitionState)>;

/// The logs to create in one directory.
type InHome<'a, W> = (Arc<Home<<W as World>::Disk>>, NewLogs<'a>);

impl<W: World> Replicas<W> {
    /// Creates empty logs, each in the directory that has the fewest, or in the next one if that
    /// fails meanwhile. A log without a place is left out: its directory has failed.
    pub(super) async fn create<'a>(
        &self,
        mut missing: NewLogs<'a>,
    ) -> Result<Vec<(Arc<Partition<W>>, &'a PartitionState)>, LogError> {
        let mut begun = Vec::with_capacity(missing.len());
        while !missing.is_empty() {
            for (home, logs) in self.distribute(std::mem::take(&mut missing)) {
                let created = self.create_in(&home, &logs).await;
                let Some(created) = self.spare(&home, created)? else {
                    missing.extend(logs);
                    continue;
                };
                for ((new, state), created) in logs.into_iter().zip(created) {
                    match self.spare(&home, created)? {
                        Some(log) => {
                            let ids = (new.name, new.topic_id);
                            let home = home.clone();
                            let partition = self.host(ids, new.config, home, log, Offset::ZERO);
                            begun.push((partition, state));
                        }
                        None => missing.push((new, state)),
                    }
                }
            }
        }
        Ok(begun)
    }

    /// Chooses a directory for each log.
    fn distribute<'a>(&self, logs: NewLogs<'a>) -> Vec<InHome<'a, W>> {
        let mut hosted: BTreeMap<DirectoryId, usize> = BTreeMap::new();
        for partition in self.hosted.read().values() {
            *hosted.entry(partition.home().id()).or_default() += 1;
        }
        let mut chosen: BTreeMap<DirectoryId, InHome<'a, W>> = BTreeMap::new();
        for (new, state) in logs {
            let Some(home) = self.dirs.choose(new.place, &hosted) else { continue };
            *hosted.entry(home.id()).or_default() += 1;
            let (_, logs) = chosen.entry(home.id()).or_insert_with(|| (home.clone(), Vec::new()));
            logs.push((new, state));
        }
        chosen.into_values().collect()
    }

    /// Creates logs in one directory.
    async fn create_in(
        &self,
        home: &Home<W::Disk>,
        logs: &NewLogs<'_>,
    ) -> Result<Vec<Result<Log<W::Disk>, LogError>>, LogError> {
        let names = logs.iter().map(|(new, _)| (&new.name, new.topic_id));
        let prepared = home.dir.create_partitions(names.collect()).await?;
        let world = self.site.world();
        let created = logs.iter().zip(prepared).map(|((new, _), prepare)| {
            let (disk, now) = (world.disk().clone(), world.wall_clock());
            let config = self.site.log_config(&new.config);
            async move {
                let path = prepare.await?;
                let empty = Recovery { clean: true, ..Recovery::default() };
                Ok(Log::open(disk, path, config, empty, now).await?.0)
            }
        });
        Ok(together(AT_ONCE, created.collect()).await)
    }
}
