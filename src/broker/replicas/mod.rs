//! All replicas on this broker, and how committed metadata becomes roles.
//!
//! | file | what |
//! |---|---|
//! | `found` | logs that were on disk at start, until metadata claims them |
//! | `place` | the log of a replica: hosted, found, replaced, or missing |
//! | `create` | new logs, many at a time: they share syncs |
//! | `remove` | deleted topics, damaged and stray logs |

mod create;
mod found;
mod place;
mod remove;

pub(crate) use found::{Found, FoundOf};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rand_chacha::ChaCha12Rng;
use tokio::sync::Notify;

use super::dirs::{Dirs, Home};
use super::partition::{Partition, Site};
use crate::base::config::{TopicConfig, TxnConfig};
use crate::base::{Stream, TopicId, TopicPartition};
use crate::controller::{Change, Image, PartitionState};
use crate::io::{World, together};
use crate::log::LogError;
use crate::replica::Peers;
use found::FoundLogs;
use place::Place;

/// Most calls that wait for the disk at the same time. Concurrent syncs share a commit of the file
/// system's journal.
const AT_ONCE: usize = 64;

/// Replicas by topic and partition.
type Hosted<W> = BTreeMap<(TopicId, i32), Arc<Partition<W>>>;

/// The replicas of one broker.
pub(crate) struct Replicas<W: World> {
    site: Arc<Site<W>>,
    dirs: Dirs<W::Disk>,
    topic_defaults: TopicConfig,
    /// Names directories that are being deleted.
    unique: Mutex<ChaCha12Rng>,
    hosted: RwLock<Hosted<W>>,
    found: FoundLogs<W>,
    /// Notified when a replica may have another leader to follow.
    pub(crate) followed_changed: Notify,
}

/// The role of one replica on this broker, as committed metadata has it.
struct Role<'a> {
    name: TopicPartition,
    topic_id: TopicId,
    state: &'a PartitionState,
}

impl<W: World> Replicas<W> {
    pub(crate) fn new(
        site: Arc<Site<W>>,
        dirs: Dirs<W::Disk>,
        topic_defaults: TopicConfig,
        found: BTreeMap<TopicPartition, FoundOf<W>>,
    ) -> Self {
        Self {
            unique: Mutex::new(site.world().random(Stream::named("deleted directories"))),
            site,
            dirs,
            topic_defaults,
            hosted: RwLock::default(),
            found: FoundLogs::new(found),
            followed_changed: Notify::new(),
        }
    }

    /// The replica of a partition, if this broker has one.
    pub(crate) fn find(&self, topic: TopicId, partition: i32) -> Option<Arc<Partition<W>>> {
        self.hosted.read().get(&(topic, partition)).cloned()
    }

    /// All replicas, in order of topic id and partition.
    pub(crate) fn all(&self) -> Vec<Arc<Partition<W>>> {
        self.hosted.read().values().cloned().collect()
    }

    /// Waits for the first deadline of a replica. Returns all that are reached.
    pub(crate) async fn due(&self) -> Vec<(TopicId, i32)> {
        self.site.due().await
    }

    /// The directories below which the logs are.
    pub(crate) fn dirs(&self) -> &Dirs<W::Disk> {
        &self.dirs
    }

    /// Whether a directory has a log that can't be opened. It was not recovered either, so the
    /// directory must not be marked as cleanly closed.
    pub(crate) fn has_unusable(&self, home: &Home<W::Disk>) -> bool {
        self.found.has_unusable(home.id())
    }

    /// Applies the whole image: after start, once this broker is registered.
    pub(crate) async fn apply_all(&self, image: &Image) -> Result<(), LogError> {
        let topics = image.topics();
        let roles = topics.flat_map(|topic| {
            let roles = topic.partitions.iter();
            roles.map(|(index, state)| self.role(&topic.name, topic.id, *index, state))
        });
        self.assume_all(image, roles.flatten().collect(), &Peers::from(image)).await?;
        self.set_strays_aside().await?;
        self.followed_changed.notify_one();
        Ok(())
    }

    /// Applies what has changed.
    pub(crate) async fn apply(&self, image: &Image, changes: &[Change]) -> Result<(), LogError> {
        self.configure(image, changes);
        let mut brokers_changed = false;
        let peers = Peers::from(image);
        // A role that was over before this broker heard of it is never assumed.
        let mut newest = BTreeMap::new();
        for change in changes {
            match change {
                Change::Partition { topic, topic_id, partition, state, .. } => {
                    newest.insert((*topic_id, *partition), (topic, state));
                }
                Change::TopicDeleted { topic_id, .. } => self.delete(*topic_id).await?,
                Change::BrokerRegistered { .. }
                | Change::BrokerFenced { .. }
                | Change::BrokerUnfenced { .. }
                | Change::BrokerShuttingDown { .. } => brokers_changed = true,
                _ => {}
            }
        }
        newest.retain(|(topic_id, _), _| image.topic_by_id(*topic_id).is_some());
        let roles = newest.into_iter();
        let roles =
            roles.filter_map(|((id, index), (name, state))| self.role(name, id, index, state));
        self.assume_all(image, roles.collect(), &peers).await?;
        if brokers_changed {
            for partition in self.all() {
                partition.peers_changed(&peers);
            }
        }
        self.followed_changed.notify_one();
        Ok(())
    }

    /// Settings change before the roles that were decided after them.
    fn configure(&self, image: &Image, changes: &[Change]) {
        let mut all = false;
        let mut topics = BTreeSet::new();
        for change in changes {
            match change {
                Change::TopicConfig { topic } => drop(topics.insert(topic.clone())),
                Change::BrokerConfig { id } => {
                    all |= id.is_none_or(|id| id == self.site.me());
                }
                _ => {}
            }
        }
        if !all && topics.is_empty() {
            return;
        }
        for partition in self.all() {
            let topic = &partition.name.topic;
            if all || topics.contains(topic) {
                let (me, defaults) = (self.site.me(), &self.topic_defaults);
                partition.configure(image.topic_config(topic, me, defaults));
            }
        }
    }

    /// The node has other settings for producers and transactions.
    pub(crate) fn configure_producers(&self, txn: &TxnConfig) {
        self.site.configure(txn);
        for partition in self.all() {
            partition.configure_producers();
        }
    }

    /// Removes silent producers from the replicas that may have some.
    pub(crate) fn expire_producers(&self) {
        for (topic, partition) in self.site.take_expiring() {
            if let Some(partition) = self.find(topic, partition) {
                partition.expire_producers();
            }
        }
    }

    /// The role of this broker in a partition, if it is assigned a copy.
    fn role<'a>(
        &self,
        topic: &Arc<str>,
        topic_id: TopicId,
        index: i32,
        state: &'a PartitionState,
    ) -> Option<Role<'a>> {
        let name = || TopicPartition::new(topic.clone(), index);
        state.replicas.contains(&self.site.me()).then(|| Role { name: name(), topic_id, state })
    }

    /// Makes replicas assume their roles: those that have a log first, then the new ones.
    async fn assume_all(
        &self,
        image: &Image,
        roles: Vec<Role<'_>>,
        peers: &Peers,
    ) -> Result<(), LogError> {
        let (mut ready, mut missing) = (Vec::new(), Vec::new());
        for role in roles {
            match self.place(image, &role).await? {
                Place::Hosted(partition) => ready.push((partition, role.state)),
                Place::Missing(log) => missing.push((*log, role.state)),
                Place::Unusable => {}
            }
        }
        self.assume(ready, peers).await?;
        let created = self.create(missing).await?;
        self.assume(created, peers).await
    }

    async fn assume(
        &self,
        replicas: Vec<(Arc<Partition<W>>, &PartitionState)>,
        peers: &Peers,
    ) -> Result<(), LogError> {
        for (partition, state) in &replicas {
            let directory = partition.home().id();
            if partition.comes_back(state) && state.directory_of(self.site.me()) != directory {
                self.site.outbox().assign(partition.topic_id, partition.name.partition, directory);
            }
        }
        let assumed = replicas.iter().map(|(partition, state)| partition.assume(state, peers));
        let assumed = together(AT_ONCE, assumed.collect::<Vec<_>>()).await;
        for ((partition, _), result) in replicas.iter().zip(assumed) {
            self.spare(partition.home(), result)?;
        }
        Ok(())
    }

    /// Takes the error out of a result where a failure of the file system costs only a directory,
    /// and not the broker.
    fn spare<T>(
        &self,
        home: &Home<W::Disk>,
        result: Result<T, LogError>,
    ) -> Result<Option<T>, LogError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if home.failed(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
