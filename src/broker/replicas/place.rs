//! The log of a replica: hosted already, found at start, replaced, or still to be created.

use std::sync::Arc;

use super::create::NewLog;
use super::{Found, Replicas, Role};
use crate::base::config::TopicConfig;
use crate::base::{DirectoryId, Offset, TopicId, TopicPartition};
use crate::broker::dirs::Home;
use crate::broker::partition::{Partition, is_expendable};
use crate::controller::{Image, PartitionState};
use crate::io::World;
use crate::log::{Log, LogConfig, LogError};

/// Where the log of a replica is.
pub(super) enum Place<W: World> {
    Hosted(Arc<Partition<W>>),
    /// It has to be created.
    Missing(Box<NewLog>),
    /// It is too damaged to be opened, and may not be given up.
    Unusable,
}

impl<W: World> Replicas<W> {
    /// Finds the log of a replica that this broker has to have.
    pub(super) async fn place(&self, image: &Image, role: &Role<'_>) -> Result<Place<W>, LogError> {
        let Role { name, topic_id, state } = role;
        let known = self.find(*topic_id, name.partition);
        if let Some(known) = known.as_ref().filter(|known| !known.may_be_replaced(state)) {
            return Ok(Place::Hosted(known.clone()));
        }
        let config = image.topic_config(&name.topic, &self.topic_defaults);
        let new = |config, place| {
            let new = NewLog { name: name.clone(), topic_id: *topic_id, config, place };
            Place::Missing(Box::new(new))
        };
        if let Some(damaged) = known {
            self.give_up(&damaged).await?;
            return Ok(new(config, damaged.home().id()));
        }
        let place = state.directory_of(self.site.me());
        match self.found.claim(name) {
            Some(found) if found.topic_id.is_none_or(|id| id == *topic_id) => {
                self.name_topic(role, &found).await?;
                self.claim(role, found, config, place, new).await
            }
            Some(stale) => {
                // KIP-516: same name, another creation. Its records are not this topic's.
                self.set_aside(name.clone(), stale).await?;
                Ok(new(config, place))
            }
            None => Ok(new(config, place)),
        }
    }

    /// Restores a missing `partition.metadata`, as Kafka does once it knows the topic's id.
    async fn name_topic(&self, role: &Role<'_>, found: &Found<W>) -> Result<(), LogError> {
        if found.topic_id.is_some() || found.log.is_none() {
            return Ok(());
        }
        let saved = found.home.dir.create_partition(&role.name, role.topic_id).await;
        self.spare(&found.home, saved).map(drop)
    }

    /// Hosts a log that was found at start, unless it is too damaged.
    async fn claim(
        &self,
        role: &Role<'_>,
        found: Found<W>,
        config: TopicConfig,
        place: DirectoryId,
        new: impl Fn(TopicConfig, DirectoryId) -> Place<W>,
    ) -> Result<Place<W>, LogError> {
        let name = &role.name;
        let damaged = place == DirectoryId::LOST || found.damage.is_some();
        if damaged && is_expendable(role.state, self.site.me()) {
            // It stepped aside before the last restart, or recovery met damage that no crash
            // leaves: another replica has it all.
            drop(found.log);
            tracing::warn!(partition = %name, "a damaged log is given up and fetched again");
            self.spare(&found.home, self.remove(&found.home, name).await)?;
            return Ok(new(config, found.home.id()));
        }
        let Some(log) = found.log else {
            let problem = found.damage.as_ref().map(ToString::to_string);
            tracing::error!(
                partition = %name, problem,
                "offline until another replica leads, its file is restored, or its directory is \
                 removed"
            );
            self.lost(role.topic_id, name.partition, role.state);
            self.found.keep_unusable(name.clone(), found);
            return Ok(Place::Unusable);
        };
        let ids = (name.clone(), role.topic_id);
        let partition = self.host(ids, config, found.home, log, found.high_watermark);
        if let Some(error) = found.damage {
            partition.found_damaged(&error);
        }
        Ok(Place::Hosted(partition))
    }

    /// Reports that a replica here can't be used: others have to do without it.
    fn lost(&self, topic_id: TopicId, partition: i32, told: &PartitionState) {
        if told.directory_of(self.site.me()) != DirectoryId::LOST {
            self.site.outbox().assign(topic_id, partition, DirectoryId::LOST);
        }
    }

    /// Begins a replica with this log.
    pub(super) fn host(
        &self,
        (name, topic_id): (TopicPartition, TopicId),
        config: TopicConfig,
        home: Arc<Home<W::Disk>>,
        mut log: Log<W::Disk>,
        high_watermark: Offset,
    ) -> Arc<Partition<W>> {
        // A log that was found at start was opened with the defaults.
        log.set_config(LogConfig::new(&config, self.site.flaws()));
        let key = (topic_id, name.partition);
        let (site, ids) = (self.site.clone(), (name, topic_id));
        let partition = Partition::new(site, ids, (log, config), high_watermark, home);
        self.hosted.write().insert(key, partition.clone());
        partition
    }
}
