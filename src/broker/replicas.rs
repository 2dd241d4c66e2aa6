//! All replicas on this broker, and how committed metadata becomes roles.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use tokio::sync::Notify;

use super::dirs::{Dirs, Home};
use super::partition::{Partition, Site, is_expendable};
use crate::base::config::TopicConfig;
use crate::base::{DirectoryId, Offset, Stream, TopicId, TopicPartition};
use crate::controller::{Change, Image, PartitionState};
use crate::io::{Disk, World};
use crate::log::{Log, LogConfig, LogError, Recovery};
use crate::replica::Peers;

/// Replicas by topic and partition.
type Hosted<W> = BTreeMap<(TopicId, i32), Arc<Partition<W>>>;

/// A new log, and where it is.
type Created<W> = (Arc<Home<<W as World>::Disk>>, Log<<W as World>::Disk>);

/// The replicas of one broker.
pub(crate) struct Replicas<W: World> {
    site: Arc<Site<W>>,
    dirs: Dirs<W::Disk>,
    topic_defaults: TopicConfig,
    /// Names directories that are being deleted.
    unique: Mutex<ChaCha12Rng>,
    hosted: RwLock<Hosted<W>>,
    /// Logs found at start that metadata has not claimed yet, with their high watermarks.
    found: Mutex<BTreeMap<TopicPartition, Found<W>>>,
    /// Logs of this broker's replicas that can't be opened, and may not be given up yet.
    unusable: Mutex<BTreeMap<TopicPartition, Found<W>>>,
    /// Rung when somebody to follow has changed.
    pub(crate) followed_changed: Notify,
}

/// A log that was on disk at start.
pub(crate) struct Found<W: World> {
    /// Nothing where it is too damaged to be opened.
    pub(crate) log: Option<Log<W::Disk>>,
    /// What is damaged in it, as far as that was seen.
    pub(crate) damage: Option<LogError>,
    /// In which directory.
    pub(crate) home: Arc<Home<W::Disk>>,
    /// From `partition.metadata`; a log without one belongs to whichever topic has its name.
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) high_watermark: Offset,
}

impl<W: World> Replicas<W> {
    pub(crate) fn new(
        site: Arc<Site<W>>,
        dirs: Dirs<W::Disk>,
        topic_defaults: TopicConfig,
        found: BTreeMap<TopicPartition, Found<W>>,
    ) -> Self {
        Self {
            unique: Mutex::new(site.world().random(Stream::named("deleted directories"))),
            site,
            dirs,
            topic_defaults,
            hosted: RwLock::default(),
            found: Mutex::new(found),
            unusable: Mutex::default(),
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

    /// The directories below which the logs are.
    pub(crate) fn dirs(&self) -> &Dirs<W::Disk> {
        &self.dirs
    }

    /// Takes up what the whole image says: after start, once this broker is registered.
    pub(crate) async fn apply_all(&self, image: &Image) -> Result<(), LogError> {
        let peers = Peers::from(image);
        for topic in image.topics() {
            for (index, state) in topic.partitions.iter() {
                self.assume(image, &topic.name, topic.id, *index, state, &peers).await?;
            }
        }
        self.set_strays_aside().await?;
        self.followed_changed.notify_one();
        Ok(())
    }

    /// Takes up what changed.
    pub(crate) async fn apply(&self, image: &Image, changes: &[Change]) -> Result<(), LogError> {
        let mut brokers_changed = false;
        let peers = Peers::from(image);
        // Roles that were over before this broker heard of them are not played.
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
        for ((topic_id, partition), (topic, state)) in newest {
            if image.topic_by_id(topic_id).is_some() {
                self.assume(image, topic, topic_id, partition, state, &peers).await?;
            }
        }
        if brokers_changed {
            for partition in self.all() {
                partition.peers_changed(&peers);
            }
        }
        self.followed_changed.notify_one();
        Ok(())
    }

    async fn assume(
        &self,
        image: &Image,
        topic: &Arc<str>,
        topic_id: TopicId,
        index: i32,
        state: &PartitionState,
        peers: &Peers,
    ) -> Result<(), LogError> {
        if !state.replicas.contains(&self.site.me()) {
            return Ok(());
        }
        let known = self.find(topic_id, index);
        let replaced = match &known {
            Some(known) if known.may_be_replaced(state) => {
                Some(self.replace(known, image.topic_config(topic, &self.topic_defaults)).await?)
            }
            _ => None,
        };
        let partition = match (replaced, known) {
            (Some(replaced), _) => replaced,
            (None, known @ Some(_)) => known,
            (None, None) => {
                let name = TopicPartition::new(topic.clone(), index);
                let config = image.topic_config(topic, &self.topic_defaults);
                self.host(name, topic_id, config, state).await?
            }
        };
        // Without a place it is in a directory that has failed, or too damaged to be opened, and
        // stays there.
        let Some(partition) = partition else { return Ok(()) };
        let directory = partition.home().id();
        if partition.comes_back(state) && state.directory_of(self.site.me()) != directory {
            self.site.outbox().assign(topic_id, index, directory);
        }
        self.spare(partition.home(), partition.assume(state, peers).await).map(drop)
    }

    /// A failure of the file system costs a directory, and not the broker. Nothing where it did.
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

    /// Opens (or takes over from start) the log of a partition that this broker has to have. Nothing
    /// if there is no place for it, or if it can't be opened and may not be given up.
    async fn host(
        &self,
        name: TopicPartition,
        topic_id: TopicId,
        config: TopicConfig,
        told: &PartitionState,
    ) -> Result<Option<Arc<Partition<W>>>, LogError> {
        let mut place = told.directory_of(self.site.me());
        let found = self.found.lock().remove(&name);
        let found = found.or_else(|| self.unusable.lock().remove(&name));
        let known = match found {
            Some(found) if found.topic_id.is_none_or(|id| id == topic_id) => {
                let damaged = place == DirectoryId::LOST || found.damage.is_some();
                match found.log {
                    // It stepped aside before the last restart, or recovery met what is no crash's
                    // doing: another has it all.
                    log if damaged && is_expendable(told, self.site.me()) => {
                        drop(log);
                        tracing::warn!(partition = %name, "a damaged log is given up and fetched anew");
                        self.spare(&found.home, self.remove(&found.home, &name).await)?;
                        place = found.home.id();
                        None
                    }
                    Some(log) => Some((found.home, log, found.high_watermark, found.damage)),
                    None => {
                        let problem = found.damage.as_ref().map(ToString::to_string);
                        tracing::error!(
                            partition = %name, problem,
                            "offline until another replica leads, its file is restored, or its \
                             directory is removed"
                        );
                        self.lost(topic_id, name.partition, told);
                        let found = Found { log: None, ..found };
                        self.unusable.lock().insert(name, found);
                        return Ok(None);
                    }
                }
            }
            Some(stale) => {
                // KIP-516: same name, another creation. Its records are not this topic's.
                self.set_aside(name.clone(), stale).await?;
                None
            }
            None => None,
        };
        let (home, log, high_watermark, damage) = match known {
            Some(known) => known,
            None => match self.create(&name, topic_id, &config, place).await? {
                Some((home, log)) => (home, log, Offset::ZERO, None),
                None => return Ok(None),
            },
        };
        let partition = self.begin((name, topic_id), config, home, log, high_watermark);
        if let Some(error) = damage {
            partition.found_damaged(&error);
        }
        Ok(Some(partition))
    }

    /// Whether a directory has a log that can't be opened: then it was not recovered either, and must
    /// not pass for closed at the next start.
    pub(crate) fn has_unusable(&self, home: &Home<W::Disk>) -> bool {
        self.unusable.lock().values().any(|found| found.home.id() == home.id())
    }

    /// A replica here can't be used: others have to do without it.
    fn lost(&self, topic_id: TopicId, partition: i32, told: &PartitionState) {
        if told.directory_of(self.site.me()) != DirectoryId::LOST {
            self.site.outbox().assign(topic_id, partition, DirectoryId::LOST);
        }
    }

    /// Gives up a damaged log on which nobody counts; an empty one takes its place, and fetches all
    /// from its leader. The old one goes after `file.delete.delay.ms`.
    async fn replace(
        &self,
        damaged: &Partition<W>,
        config: TopicConfig,
    ) -> Result<Option<Arc<Partition<W>>>, LogError> {
        let (name, topic_id) = (damaged.name.clone(), damaged.topic_id);
        tracing::warn!(partition = %name, "a damaged log is given up and fetched anew");
        self.hosted.write().remove(&(topic_id, name.partition));
        drop(damaged.retire());
        let home = damaged.home();
        self.spare(home, self.remove(home, &name).await)?;
        let created = self.create(&name, topic_id, &config, home.id()).await?;
        Ok(created.map(|(home, log)| self.begin((name, topic_id), config, home, log, Offset::ZERO)))
    }

    /// A replica with this log, from now on.
    fn begin(
        &self,
        (name, topic_id): (TopicPartition, TopicId),
        config: TopicConfig,
        home: Arc<Home<W::Disk>>,
        mut log: Log<W::Disk>,
        high_watermark: Offset,
    ) -> Arc<Partition<W>> {
        // A log that was found at start was opened with the defaults.
        log.set_config(LogConfig::new(&config, self.site.flaws()));
        let (site, ids) = (self.site.clone(), (name, topic_id));
        let partition = Partition::new(site, ids, (log, config), high_watermark, home);
        self.hosted.write().insert((topic_id, partition.name.partition), partition.clone());
        partition
    }

    /// An empty log in the directory that has the fewest; in the next one if that fails by it.
    async fn create(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
        config: &TopicConfig,
        told: DirectoryId,
    ) -> Result<Option<Created<W>>, LogError> {
        let mut hosted = BTreeMap::new();
        for partition in self.hosted.read().values() {
            *hosted.entry(partition.home().id()).or_insert(0) += 1;
        }
        while let Some(home) = self.dirs.choose(told, &hosted) {
            let created = self.create_in(home, name, topic_id, config).await;
            if let Some(log) = self.spare(home, created)? {
                return Ok(Some((home.clone(), log)));
            }
        }
        Ok(None)
    }

    async fn create_in(
        &self,
        home: &Home<W::Disk>,
        name: &TopicPartition,
        topic_id: TopicId,
        config: &TopicConfig,
    ) -> Result<Log<W::Disk>, LogError> {
        let path = home.dir.create_partition(name, topic_id).await?;
        let disk = self.site.world().disk().clone();
        let (now, new) =
            (self.site.world().wall_clock(), Recovery { clean: true, ..Recovery::default() });
        Ok(Log::open(disk, path, LogConfig::new(config, self.site.flaws()), new, now).await?.0)
    }

    async fn remove(&self, home: &Home<W::Disk>, name: &TopicPartition) -> Result<(), LogError> {
        let remove = home.dir.delete_partition(name, self.draw_unique()).await?;
        let (world, name) = (self.site.world().clone(), name.clone());
        let delay = self.topic_defaults.file_delete_delay_ms;
        self.site.world().spawn("file deletion", async move {
            world.sleep_until(world.now() + delay).await;
            if let Err(error) = remove() {
                tracing::warn!(partition = %name, %error, "can't remove a deleted log");
            }
            world.disk().settle().await;
        });
        Ok(())
    }

    async fn delete(&self, topic: TopicId) -> Result<(), LogError> {
        let gone: Vec<_> = {
            let mut hosted = self.hosted.write();
            let keys: Vec<_> =
                hosted.range((topic, 0)..=(topic, i32::MAX)).map(|(key, _)| *key).collect();
            keys.into_iter().filter_map(|key| hosted.remove(&key)).collect()
        };
        let unusable: BTreeMap<TopicPartition, Found<W>> = {
            let mut unusable = self.unusable.lock();
            let all = std::mem::take(&mut *unusable);
            let (gone, kept) = all.into_iter().partition(|(_, f)| f.topic_id == Some(topic));
            *unusable = kept;
            gone
        };
        for (name, found) in unusable {
            self.spare(&found.home, self.remove(&found.home, &name).await)?;
        }
        for partition in gone {
            drop(partition.retire());
            // In a failed directory it is found, and removed, at the next start.
            let home = partition.home();
            if home.is_online() {
                self.spare(home, self.remove(home, &partition.name).await)?;
            }
        }
        Ok(())
    }

    /// Logs that no topic claims belong to topics that were deleted while this broker was down, or
    /// never were this cluster's.
    async fn set_strays_aside(&self) -> Result<(), LogError> {
        let strays = std::mem::take(&mut *self.found.lock());
        for (name, stray) in strays {
            self.set_aside(name, stray).await?;
        }
        Ok(())
    }

    async fn set_aside(&self, name: TopicPartition, stray: Found<W>) -> Result<(), LogError> {
        drop(stray.log);
        let aside = stray.home.dir.set_stray_aside(&name, self.draw_unique()).await;
        if let Some(Some(path)) = self.spare(&stray.home, aside)? {
            let path = path.display();
            tracing::warn!(partition = %name, %path, "no topic has this log; it is kept aside");
        }
        Ok(())
    }

    fn draw_unique(&self) -> TopicId {
        let mut unique = [0; 16];
        self.unique.lock().fill_bytes(&mut unique);
        TopicId(unique)
    }
}
