//! The cluster's metadata as of one offset of the metadata log.
//!
//! An image is cheap to clone: a clone shares everything, and [`Image::replay`] copies only what it
//! changes. A broker keeps an `Arc<Image>` for its request handlers and swaps it after each batch.

mod index;
mod replay;

pub use replay::{Change, ReplayError};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::index::Index;
use super::record::Feature;
use crate::base::config::{Config, NodeConfig, TopicConfig};
use crate::base::{
    Address, BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Listener, Offset, PartitionEpoch,
    ProducerId, TopicId, TopicPartition,
};
use crate::decide::SharedMap;
use crate::wire::messages::Uuid;

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Epoch of its registration.
    pub epoch: BrokerEpoch,
    /// Which start of the broker registered.
    pub incarnation: Uuid,
    /// Where it is reached.
    pub listeners: Vec<Listener>,
    /// What it understands.
    pub features: Vec<Feature>,
    /// Where it stands.
    pub rack: Option<String>,
    /// It may neither lead nor be in sync.
    pub fenced: bool,
    /// It has asked to leave: the offset of the record that says so.
    pub shutting_down: Option<Offset>,
    /// Its usable log directories.
    pub log_dirs: Vec<DirectoryId>,
    /// Offset of its registration: once it has read that far, it may be unfenced.
    pub registered_at: Offset,
}

impl Broker {
    /// It may lead and be in sync.
    pub fn is_active(&self) -> bool {
        !self.fenced && self.shutting_down.is_none()
    }

    /// Whether a replica in this log directory is usable. If the directory is not known, it is
    /// (KIP-858).
    pub fn has_directory(&self, directory: DirectoryId) -> bool {
        directory == DirectoryId::UNASSIGNED
            || self.log_dirs.is_empty()
            || self.log_dirs.contains(&directory)
    }
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Which creation of it.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions, by index.
    pub partitions: SharedMap<i32, Arc<PartitionState>>,
}

/// The state of a partition, as the controller decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Who has a copy, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Log directory of each replica, zero where it is not known.
    pub directories: Vec<DirectoryId>,
    /// Replicas in sync. The last member stays when it is fenced; the ISR is empty only after its
    /// last member came back without its unsynced records (KIP-966).
    pub isr: Vec<BrokerId>,
    /// Replicas that are not in sync, but have all committed records (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last leader, while there is none (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
    /// Who leads.
    pub leader: Option<BrokerId>,
    /// Counts leaders.
    pub leader_epoch: LeaderEpoch,
    /// Counts changes.
    pub partition_epoch: PartitionEpoch,
    /// The leader was elected uncleanly and has not reported its recovery yet.
    pub recovering: bool,
}

impl PartitionState {
    /// The first of the assigned replicas, which leads when all is well.
    pub fn preferred_leader(&self) -> Option<BrokerId> {
        self.replicas.first().copied()
    }

    /// The log directory of a replica; zero where it is not known.
    pub fn directory_of(&self, broker: BrokerId) -> DirectoryId {
        let at = self.replicas.iter().position(|replica| *replica == broker);
        at.and_then(|at| self.directories.get(at)).copied().unwrap_or(DirectoryId::UNASSIGNED)
    }
}

type Settings = BTreeMap<String, String>;

/// The metadata up to one offset of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    offset: Option<Offset>,
    brokers: Arc<BTreeMap<BrokerId, Arc<Broker>>>,
    topics: SharedMap<TopicId, Arc<Topic>>,
    names: SharedMap<Arc<str>, TopicId>,
    configs: SharedMap<(i8, String), Arc<Settings>>,
    features: Arc<BTreeMap<String, i16>>,
    next_producer_id: Option<ProducerId>,
    index: Index,
}

impl Image {
    /// The last offset that is in this image.
    pub fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// A batch ended at `offset`; it may have no records of the image, as a control batch.
    pub fn reached(&mut self, offset: Offset) {
        self.offset = self.offset.max(Some(offset));
    }

    /// Every registered broker, by id.
    pub fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Broker)> {
        self.brokers.iter().map(|(id, broker)| (*id, &**broker))
    }

    /// A registered broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id).map(|broker| &**broker)
    }

    /// Whether it is known in which log directory of its broker a replica is.
    pub fn names_directory(&self, partition: &TopicPartition, broker: BrokerId) -> bool {
        let state = self
            .topic(&partition.topic)
            .and_then(|topic| topic.partitions.get(&partition.partition));
        state.is_some_and(|state| !state.directory_of(broker).is_reserved())
    }

    /// Every log directory that the metadata know of a broker: those of its registration, and those
    /// of its replicas.
    pub fn directories_of(&self, id: BrokerId) -> BTreeSet<DirectoryId> {
        let registered = self.broker(id).into_iter().flat_map(|broker| &broker.log_dirs).copied();
        let assigned = self.partitions().map(|(_, _, state)| state.directory_of(id));
        registered.chain(assigned).filter(|directory| !directory.is_reserved()).collect()
    }

    /// Whether a broker is registered and not fenced.
    pub fn is_alive(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|broker| !broker.fenced)
    }

    /// Whether a broker may lead and be in sync: registered, not fenced and not on its way out.
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(Broker::is_active)
    }

    /// Where a broker is reached by those that use its listener of this name.
    pub fn address(&self, id: BrokerId, listener: &str) -> Option<&Address> {
        let found = self.broker(id)?.listeners.iter().find(|found| found.name == listener)?;
        Some(&found.address)
    }

    /// Every topic, by id.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values().map(|topic| &**topic)
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topic_by_id(*self.names.get(name)?)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id).map(|topic| &**topic)
    }

    /// A partition's state.
    pub fn partition(&self, topic: TopicId, partition: i32) -> Option<&PartitionState> {
        self.topics.get(&topic)?.partitions.get(&partition).map(|state| &**state)
    }

    /// The leader of a partition and its epoch.
    pub fn leader_of(&self, topic: &str, partition: i32) -> Option<(BrokerId, LeaderEpoch)> {
        let state = self.topic(topic)?.partitions.get(&partition)?;
        Some((state.leader?, state.leader_epoch))
    }

    /// Every partition, in order of topic id and index.
    pub fn partitions(&self) -> impl Iterator<Item = (&Topic, i32, &PartitionState)> {
        self.topics().flat_map(|topic| {
            topic.partitions.iter().map(move |(index, state)| (topic, *index, &**state))
        })
    }

    /// A topic whose name looks the same in metrics, which write `.` and `_` alike.
    pub fn colliding(&self, name: &str) -> Option<&Arc<str>> {
        self.index.colliding(name)
    }

    /// Partitions that a broker leads; those that no broker leads for `None`.
    pub fn led_by(&self, broker: Option<BrokerId>) -> impl Iterator<Item = (TopicId, i32)> {
        self.index.led_by(broker)
    }

    /// Partitions that another than their preferred leader leads, or none.
    pub fn partitions_led_by_another(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.topics().flat_map(|topic| {
            let all = topic.partitions.iter();
            let others = all.filter(|(_, state)| state.leader != state.preferred_leader());
            others.map(|(index, _)| (topic.id, *index))
        })
    }

    /// Partitions with a broker in their ISR.
    pub fn in_sync_on(&self, broker: BrokerId) -> impl Iterator<Item = (TopicId, i32)> {
        self.index.in_sync_on(broker)
    }

    /// Partitions with a broker in their ELR.
    pub fn eligible_on(&self, broker: BrokerId) -> impl Iterator<Item = (TopicId, i32)> {
        self.index.eligible_on(broker)
    }

    /// The settings of one topic, without defaults.
    pub fn topic_overrides(&self, name: &str) -> &BTreeMap<String, String> {
        self.settings(super::record::ConfigRecord::TOPIC, name)
    }

    /// A topic's settings on a broker: its own, over those set for the broker, over those set for
    /// all brokers, over the node's defaults.
    ///
    /// A key or value that this version does not know has no effect; the controller that set it
    /// knew and checked it.
    pub fn topic_config(
        &self,
        name: &str,
        broker: BrokerId,
        defaults: &TopicConfig,
    ) -> TopicConfig {
        let mut config = defaults.clone();
        for settings in self.broker_overrides(broker) {
            for (key, value) in settings {
                let _ = config.set_default(key, value);
            }
        }
        for (key, value) in self.topic_overrides(name) {
            let _ = config.set(key, value);
        }
        config
    }

    /// A node's settings as they are now: what was set while it runs, over its file.
    pub fn node_config(&self, broker: BrokerId, file: &NodeConfig) -> NodeConfig {
        let [all, own] = self.broker_overrides(broker);
        file.with(all).with(own)
    }

    /// What was set for all brokers and for this one, in the order in which they count.
    pub fn broker_overrides(&self, broker: BrokerId) -> [&BTreeMap<String, String>; 2] {
        let kind = super::record::ConfigRecord::BROKER;
        [self.settings(kind, ""), self.settings(kind, &broker.to_string())]
    }

    /// The settings of a topic (2), broker (4) or group (32) as they were set, without defaults. The
    /// name of all brokers is empty.
    pub fn overrides(&self, resource_type: i8, resource: &str) -> &BTreeMap<String, String> {
        self.settings(resource_type, resource)
    }

    fn settings(&self, resource_type: i8, resource: &str) -> &Settings {
        static NONE: Settings = BTreeMap::new();
        self.configs
            .get(&(resource_type, resource.to_owned()))
            .map_or(&NONE, |settings| &**settings)
    }

    /// The level at which a feature is used; 0 if it is off.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Every feature in use, with its level.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// The first producer id that no broker has been given.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id.unwrap_or(ProducerId(0))
    }
}
