//! Replaying records: the only way in which the image changes.

#![allow(missing_docs)]

use std::sync::Arc;

use super::{Broker, Image, PartitionState, Topic};
use crate::base::{
    BrokerEpoch, BrokerId, ControllerProbe, LeaderEpoch, Offset, PartitionCommitted,
    PartitionEpoch, Probe, ProducerId, TopicId, TopicPartition,
};
use crate::controller::record::{
    BrokerChange, ConfigRecord, Fencing, PartitionChange, PartitionRecord, Record, RegisterBroker,
    TopicRecord,
};
use crate::decide::{SharedMap, State};

/// A change that a replayed record made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A broker registered. It is fenced, unless the record says otherwise.
    BrokerRegistered { id: BrokerId, epoch: BrokerEpoch },
    /// A broker is fenced; `epoch` is that of its registration.
    BrokerFenced { id: BrokerId, epoch: BrokerEpoch },
    /// A broker is unfenced; `epoch` is that of its registration.
    BrokerUnfenced { id: BrokerId, epoch: BrokerEpoch },
    /// A broker has begun to shut down.
    BrokerShuttingDown { id: BrokerId },
    /// A broker has lost log directories.
    BrokerDirectories { id: BrokerId },
    /// A topic was created.
    TopicCreated { topic: Arc<str>, topic_id: TopicId },
    /// A topic was deleted.
    TopicDeleted { topic: Arc<str>, topic_id: TopicId },
    /// A partition was created or changed.
    Partition {
        topic: Arc<str>,
        topic_id: TopicId,
        partition: i32,
        /// Its state right after the record; later records of a batch may change it again.
        state: Arc<PartitionState>,
        /// This record elects a leader from outside ISR and ELR: records may be lost by permission.
        unclean: bool,
    },
    /// A topic's settings changed.
    TopicConfig { topic: Arc<str> },
    /// Settings of one broker, or of all, changed.
    BrokerConfig {
        /// Which broker; `None` for all.
        id: Option<BrokerId>,
    },
}

impl Change {
    /// What observers are shown once the record is committed.
    pub fn probe(&self) -> Option<Probe> {
        Some(match self {
            Self::BrokerFenced { id, epoch } => {
                Probe::Controller(ControllerProbe::BrokerFenced { broker: *id, epoch: *epoch })
            }
            Self::BrokerUnfenced { id, epoch } => {
                Probe::Controller(ControllerProbe::BrokerUnfenced { broker: *id, epoch: *epoch })
            }
            Self::TopicDeleted { topic_id, .. } => {
                Probe::Controller(ControllerProbe::TopicDeleted { topic_id: *topic_id })
            }
            Self::Partition { topic, topic_id, partition, state, unclean } => {
                Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
                    partition: TopicPartition::new(topic.clone(), *partition),
                    topic_id: *topic_id,
                    replicas: state.replicas.clone(),
                    leader: state.leader,
                    leader_epoch: state.leader_epoch,
                    partition_epoch: state.partition_epoch,
                    isr: state.isr.clone(),
                    unclean: *unclean,
                }))
            }
            _ => return None,
        })
    }
}

/// A committed record that contradicts the records before it: the log is not the one that its
/// writer replayed. The node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// An offset came twice, or out of order.
    #[error("metadata offset {offset} after {last}")]
    Order {
        offset: Offset,
        /// The last one replayed.
        last: Offset,
    },
    /// The record is about an unknown topic.
    #[error("metadata offset {offset}: no topic {topic}")]
    NoTopic { offset: Offset, topic: TopicId },
    /// The record is about an unknown partition.
    #[error("metadata offset {offset}: no partition {partition} of topic {topic}")]
    NoPartition { offset: Offset, topic: TopicId, partition: i32 },
    /// A topic of that name or id exists.
    #[error("metadata offset {offset}: topic `{name}` exists already")]
    TopicExists { offset: Offset, name: String },
    /// The record is about a registration that is not the current one.
    #[error("metadata offset {offset}: broker {broker} is not registered with epoch {epoch}")]
    NoBroker { offset: Offset, broker: BrokerId, epoch: BrokerEpoch },
    /// The record would give producer ids to two brokers.
    #[error("metadata offset {offset}: next producer id {next} after {last}")]
    ProducerIds { offset: Offset, next: ProducerId, last: ProducerId },
    /// Metadata transactions are not supported: Kafka holds their records back until the end.
    #[error(
        "metadata offset {offset}: {record} is about metadata transactions, which are not supported"
    )]
    Transaction { offset: Offset, record: &'static str },
}

impl State for Image {
    type Record = Record;
    type Change = Change;
    type Error = ReplayError;

    fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        Self::replay(self, offset, record, changes)
    }

    fn reached(&mut self, offset: Offset) {
        Self::reached(self, offset);
    }

    fn probe(change: &Change) -> Option<Probe> {
        change.probe()
    }
}

impl Image {
    /// Applies the record at `offset`, and lists what that changed.
    pub fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        if let Some(last) = self.offset.filter(|last| *last >= offset) {
            return Err(ReplayError::Order { offset, last });
        }
        match record {
            Record::RegisterBroker(record) => self.register(offset, record, changes),
            Record::Topic(record) => self.create_topic(offset, record, changes)?,
            Record::Partition(record) => self.create_partition(offset, record, changes)?,
            Record::Config(record) => self.configure(record, changes),
            Record::PartitionChange(record) => self.change_partition(offset, record, changes)?,
            Record::FenceBroker(Fencing { broker, epoch }) => {
                let change =
                    BrokerChange { fenced: Some(true), ..BrokerChange::of(*broker, *epoch) };
                self.change_broker(offset, &change, changes)?;
            }
            Record::UnfenceBroker(Fencing { broker, epoch }) => {
                let change =
                    BrokerChange { fenced: Some(false), ..BrokerChange::of(*broker, *epoch) };
                self.change_broker(offset, &change, changes)?;
            }
            Record::RemoveTopic(topic) => self.remove_topic(offset, *topic, changes)?,
            Record::FeatureLevel(record) => {
                Arc::make_mut(&mut self.features).insert(record.name.clone(), record.level);
            }
            Record::ProducerIds(record) => {
                if let Some(last) = self.next_producer_id.filter(|last| *last >= record.next) {
                    return Err(ReplayError::ProducerIds { offset, next: record.next, last });
                }
                self.next_producer_id = Some(record.next);
            }
            Record::BrokerChange(record) => self.change_broker(offset, record, changes)?,
            Record::NoOp => {}
            Record::BeginTransaction(_) | Record::EndTransaction | Record::AbortTransaction(_) => {
                let name = record.name();
                return Err(ReplayError::Transaction { offset, record: name });
            }
        }
        self.offset = Some(offset);
        Ok(())
    }

    fn register(&mut self, offset: Offset, record: &RegisterBroker, changes: &mut Vec<Change>) {
        let was_alive = self.is_alive(record.broker);
        let broker = Broker {
            epoch: record.epoch,
            incarnation: record.incarnation,
            listeners: record.listeners.clone(),
            features: record.features.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            shutting_down: record.in_controlled_shutdown.then_some(offset),
            log_dirs: record.log_dirs.clone(),
            registered_at: offset,
        };
        Arc::make_mut(&mut self.brokers).insert(record.broker, Arc::new(broker));
        let id = record.broker;
        changes.push(Change::BrokerRegistered { id, epoch: record.epoch });
        match (was_alive, record.fenced) {
            (true, true) => changes.push(Change::BrokerFenced { id, epoch: record.epoch }),
            (false, false) => changes.push(Change::BrokerUnfenced { id, epoch: record.epoch }),
            _ => {}
        }
    }

    fn change_broker(
        &mut self,
        offset: Offset,
        record: &BrokerChange,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        let (id, epoch) = (record.broker, record.epoch);
        let broker = Arc::make_mut(&mut self.brokers).get_mut(&id);
        let broker = broker.filter(|broker| broker.epoch == epoch).map(Arc::make_mut);
        let broker = broker.ok_or(ReplayError::NoBroker { offset, broker: id, epoch })?;
        if let Some(fenced) = record.fenced.filter(|fenced| *fenced != broker.fenced) {
            broker.fenced = fenced;
            changes.push(match fenced {
                true => Change::BrokerFenced { id, epoch },
                false => Change::BrokerUnfenced { id, epoch },
            });
        }
        if record.in_controlled_shutdown && broker.shutting_down.is_none() {
            broker.shutting_down = Some(offset);
            changes.push(Change::BrokerShuttingDown { id });
        }
        if let Some(log_dirs) = &record.log_dirs {
            broker.log_dirs.clone_from(log_dirs);
            changes.push(Change::BrokerDirectories { id });
        }
        Ok(())
    }

    fn create_topic(
        &mut self,
        offset: Offset,
        record: &TopicRecord,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        let name: Arc<str> = record.name.as_str().into();
        if self.names.contains_key(&name) || self.topics.contains_key(&record.id) {
            return Err(ReplayError::TopicExists { offset, name: record.name.clone() });
        }
        let topic = Topic { id: record.id, name: name.clone(), partitions: SharedMap::default() };
        self.topics.insert(record.id, Arc::new(topic));
        self.names.insert(name.clone(), record.id);
        self.index.topic_created(&name);
        changes.push(Change::TopicCreated { topic: name, topic_id: record.id });
        Ok(())
    }

    fn remove_topic(
        &mut self,
        offset: Offset,
        id: TopicId,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        let topic = self.topics.remove(&id);
        let topic = topic.ok_or(ReplayError::NoTopic { offset, topic: id })?;
        self.names.remove(&topic.name);
        self.index.topic_deleted(&topic.name);
        self.configs.remove(&(ConfigRecord::TOPIC, topic.name.to_string()));
        for (partition, state) in topic.partitions.iter() {
            self.index.replaced((id, *partition), Some(state), None);
        }
        changes.push(Change::TopicDeleted { topic: topic.name.clone(), topic_id: id });
        Ok(())
    }

    fn create_partition(
        &mut self,
        offset: Offset,
        record: &PartitionRecord,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        let state = PartitionState {
            replicas: record.replicas.clone(),
            directories: record.directories.clone(),
            isr: record.isr.clone(),
            elr: record.elr.clone(),
            last_known_elr: record.last_known_elr.clone(),
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            recovering: record.recovering,
        };
        self.put_partition(offset, record.topic, record.partition, state, false, changes)
    }

    fn change_partition(
        &mut self,
        offset: Offset,
        record: &PartitionChange,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        let (topic, partition) = (record.topic, record.partition);
        let before = self.partition(topic, partition);
        let before = before.ok_or(ReplayError::NoPartition { offset, topic, partition })?;
        let state = before.merged(record);
        let unclean = record.recovering == Some(true) && matches!(record.leader, Some(Some(_)));
        self.put_partition(offset, topic, partition, state, unclean, changes)
    }

    fn put_partition(
        &mut self,
        offset: Offset,
        topic_id: TopicId,
        partition: i32,
        state: PartitionState,
        unclean: bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        let topic = self.topics.get_mut(&topic_id);
        let topic = topic.ok_or(ReplayError::NoTopic { offset, topic: topic_id })?;
        let state = Arc::new(state);
        let before = Arc::make_mut(topic).partitions.insert(partition, state.clone());
        self.index.replaced((topic_id, partition), before.as_deref(), Some(&state));
        let topic = topic.name.clone();
        changes.push(Change::Partition { topic, topic_id, partition, state, unclean });
        Ok(())
    }

    fn configure(&mut self, record: &ConfigRecord, changes: &mut Vec<Change>) {
        let resource = (record.resource_type, record.resource.clone());
        let mut settings = self.configs.get(&resource).cloned().unwrap_or_default();
        let changed = Arc::make_mut(&mut settings);
        match &record.value {
            Some(value) => changed.insert(record.name.clone(), value.clone()),
            None => changed.remove(&record.name),
        };
        match changed.is_empty() {
            true => self.configs.remove(&resource),
            false => self.configs.insert(resource, settings),
        };
        match record.resource_type {
            ConfigRecord::TOPIC => {
                changes.push(Change::TopicConfig { topic: record.resource.as_str().into() });
            }
            ConfigRecord::BROKER => {
                let id = record.resource.parse().ok().map(BrokerId);
                changes.push(Change::BrokerConfig { id });
            }
            // A group's are read from the image when they are needed; client metrics are not served.
            _ => {}
        }
    }
}

impl PartitionState {
    /// This state with a change applied. Every change counts one partition epoch; naming a leader
    /// begins a leader epoch, even if it is the same one.
    pub(in crate::controller) fn merged(&self, change: &PartitionChange) -> Self {
        let mut state = self.clone();
        let set = |field: &mut Vec<_>, value: &Option<Vec<_>>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        set(&mut state.replicas, &change.replicas);
        set(&mut state.isr, &change.isr);
        set(&mut state.elr, &change.elr);
        set(&mut state.last_known_elr, &change.last_known_elr);
        if let Some(directories) = &change.directories {
            state.directories.clone_from(directories);
        }
        if let Some(leader) = change.leader {
            state.leader = leader;
            state.leader_epoch = LeaderEpoch(self.leader_epoch.0.saturating_add(1));
        }
        if let Some(recovering) = change.recovering {
            state.recovering = recovering;
        }
        state.partition_epoch = PartitionEpoch(self.partition_epoch.0.saturating_add(1));
        state
    }
}
