//! The log of a replica: hosted already, found at start, replaced, or still to be created.

use std::sync::Arc;

use super::create::NewLog;
use super::{Found, FoundOf, Replicas, Role};
use crate::base::config::TopicConfig;
use crate::base::{DirectoryId, Flaw, Offset, StorageProbe, TopicId, TopicPartition};
use crate::broker::dirs::Home;
use crate::broker::partition::{Partition, is_expendable};
use crate::controller::{Image, PartitionState};
use crate::io::World;
use crate::log::{Log, LogError};

/// Where the log of a replica is.
pub(super) enum Place<W: World> {
    Hosted(Arc<Partition<W>>),
    /// It has to be created.
    Missing(Box<NewLog>),
    /// It is too damaged to be opened, and may not be given up.
    Unusable,
}

/// The log that is a replica's.
enum Chosen<W: World> {
    Log(Box<Found<W>>),
    /// There is none: it has to be created.
    None,
    /// It is in a directory that is missing.
    Missing,
}

impl<W: World> Replicas<W> {
    /// Finds the log of a replica that this broker has to have.
    pub(super) async fn place(&self, image: &Image, role: &Role<'_>) -> Result<Place<W>, LogError> {
        let Role { name, topic_id, state } = role;
        let known = self.find(*topic_id, name.partition);
        if let Some(known) = known.as_ref().filter(|known| !known.may_be_replaced(state)) {
            return Ok(Place::Hosted(known.clone()));
        }
        let config = image.topic_config(&name.topic, self.site.me(), &self.topic_defaults);
        let new = |config, place| {
            let new = NewLog { name: name.clone(), topic_id: *topic_id, config, place };
            Place::Missing(Box::new(new))
        };
        if let Some(damaged) = known {
            self.give_up(&damaged).await?;
            return Ok(new(config, damaged.home().id()));
        }
        let place = state.directory_of(self.site.me());
        let is_ours = |found: &Found<W>| found.topic_id.is_none_or(|id| id == *topic_id);
        let (ours, stale): (Vec<_>, Vec<_>) = self.found.claim(name).into_iter().partition(is_ours);
        for stale in stale {
            // KIP-516: same name, another creation. Its records are not this topic's.
            self.set_aside(name, stale, "it belongs to an earlier topic of this name").await?;
        }
        match self.choose(role, ours).await? {
            Chosen::Log(found) => {
                self.name_topic(role, &found).await?;
                self.claim(role, *found, config, place, new).await
            }
            Chosen::None => Ok(new(config, place)),
            Chosen::Missing => Ok(Place::Unusable),
        }
    }

    /// Finds the log that is this replica, among all that were found of its partition (KIP-858).
    ///
    /// The log in the directory that the metadata name is the replica. Without it, another log may
    /// have been moved there by an operator, as long as that directory is still here. Once it is
    /// missing, every other log is another replica: an earlier one that lacks records, or an empty
    /// one. Then this replica begins again, if no other relies on it, and else it waits for its
    /// directory.
    async fn choose(&self, role: &Role<'_>, found: FoundOf<W>) -> Result<Chosen<W>, LogError> {
        let (name, me) = (&role.name, self.site.me());
        let place = role.state.directory_of(me);
        let missing =
            self.dirs.is_missing(place) && !self.site.flaws().has(Flaw::IgnoreDirectoryIds);
        let (mut here, mut elsewhere): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| found.home.id() == place);
        if here.is_empty() && !missing && elsewhere.len() == 1 {
            here = std::mem::take(&mut elsewhere);
        }
        if let Some(log) = here.pop() {
            for other in elsewhere {
                self.set_aside(name, other, "another directory has this replica now").await?;
            }
            return Ok(Chosen::Log(Box::new(log)));
        }
        if (missing || !elsewhere.is_empty()) && !is_expendable(role.state, me) {
            let found: Vec<_> =
                elsewhere.iter().map(|found| found.home.dir.path().display().to_string()).collect();
            tracing::error!(
                partition = %name, directory = %place, ?found,
                "this replica's log directory is missing, and no other replica can lead: offline \
                 until the directory is back in `log.dirs`, or the topic is deleted"
            );
            self.found.keep_unusable(name.clone(), elsewhere);
            return Ok(Chosen::Missing);
        }
        for other in elsewhere {
            self.set_aside(name, other, "it is not the replica that the metadata name").await?;
        }
        if missing {
            tracing::warn!(
                partition = %name, directory = %place,
                "this replica's log directory is missing: it is fetched again from the leader"
            );
        }
        Ok(Chosen::None)
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
            self.found.keep_unusable(name.clone(), vec![found]);
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
        log.set_config(self.site.log_config(&config));
        // With one directory a replica can be in no other.
        if self.dirs.are_several() {
            let dir = home.dir.path().display().to_string();
            self.site.world().probe(StorageProbe::Hosted { partition: name.clone(), dir });
        }
        let key = (topic_id, name.partition);
        let (site, ids) = (self.site.clone(), (name, topic_id));
        let partition = Partition::new(site, ids, (log, config), high_watermark, home);
        self.hosted.write().insert(key, partition.clone());
        partition
    }
}
