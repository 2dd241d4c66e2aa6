//! The records of the metadata log, with the fields that this controller knows (KIP-631, KIP-858,
//! KIP-966), in Kafka's format.
//!
//! Not supported: records about ACLs, quotas, delegation tokens and SCRAM.

#![allow(missing_docs)]

mod codec;

pub use codec::RecordError;

use crate::base::{
    BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Listener, PartitionEpoch, ProducerId, TopicId,
};
use crate::wire::messages::Uuid;

/// One committed fact about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A broker started, or registered again.
    RegisterBroker(RegisterBroker),
    /// A topic was created; its partitions follow.
    Topic(TopicRecord),
    /// A partition was created.
    Partition(PartitionRecord),
    /// A setting changed, or returned to its default.
    Config(ConfigRecord),
    /// Parts of a partition's state changed.
    PartitionChange(PartitionChange),
    /// A broker is fenced (older clusters; today a [`BrokerChange`]).
    FenceBroker(Fencing),
    /// A broker is unfenced (older clusters; today a [`BrokerChange`]).
    UnfenceBroker(Fencing),
    /// A topic was deleted, with its partitions and settings.
    RemoveTopic(TopicId),
    /// A feature is used at another level from now on.
    FeatureLevel(FeatureLevel),
    /// A block of producer ids was given to a broker.
    ProducerIds(ProducerIds),
    /// Parts of a broker's registration changed.
    BrokerChange(BrokerChange),
    /// Changes nothing; makes the log advance.
    NoOp,
    /// The following records count together, once the transaction ends.
    BeginTransaction(Option<String>),
    /// The records since the beginning of the transaction count.
    EndTransaction,
    /// The records since the beginning of the transaction are void.
    AbortTransaction(Option<String>),
}

/// The registration of a broker at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    pub broker: BrokerId,
    /// Differs between two starts of a broker.
    pub incarnation: Uuid,
    pub epoch: BrokerEpoch,
    /// Where it is reached.
    pub listeners: Vec<Listener>,
    /// The levels of features that the broker supports.
    pub features: Vec<Feature>,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// A new broker is fenced until it has caught up with the metadata.
    pub fenced: bool,
    /// The broker has asked to shut down.
    pub in_controlled_shutdown: bool,
    /// Its usable log directories (KIP-858).
    pub log_dirs: Vec<DirectoryId>,
}

/// The levels of a feature that a broker supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: String,
    pub min: i16,
    pub max: i16,
}

/// A topic's name and the identity of this creation of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    pub name: String,
    pub id: TopicId,
}

/// A whole partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    pub partition: i32,
    pub topic: TopicId,
    /// The preferred leader first.
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// Replicas that a reassignment removes.
    pub removing: Vec<BrokerId>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<BrokerId>,
    pub leader: Option<BrokerId>,
    /// The leader was elected uncleanly and has not reported its recovery yet.
    pub recovering: bool,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// Log directory of each replica, in the order of `replicas`.
    pub directories: Vec<DirectoryId>,
    /// Eligible leader replicas: not in sync, but they have all committed records (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last leader, while there is none (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
}

/// A change of a partition; `None` where a field stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChange {
    pub partition: i32,
    pub topic: TopicId,
    pub isr: Option<Vec<BrokerId>>,
    /// The new leader; an inner `None` means no leader. Begins a leader epoch even if the leader is
    /// the same.
    pub leader: Option<Option<BrokerId>>,
    pub replicas: Option<Vec<BrokerId>>,
    pub removing: Option<Vec<BrokerId>>,
    pub adding: Option<Vec<BrokerId>>,
    /// `true` in the record of an unclean election, `false` once its leader has recovered.
    pub recovering: Option<bool>,
    pub directories: Option<Vec<DirectoryId>>,
    pub elr: Option<Vec<BrokerId>>,
    /// The last leader, while there is none.
    pub last_known_elr: Option<Vec<BrokerId>>,
}

/// A setting of a topic or broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRecord {
    /// [`ConfigRecord::TOPIC`], [`ConfigRecord::BROKER`] or [`ConfigRecord::GROUP`].
    pub resource_type: i8,
    /// The topic's name, the broker's id or the group's; empty for all brokers.
    pub resource: String,
    pub name: String,
    /// `None` restores the default.
    pub value: Option<String>,
}

impl ConfigRecord {
    /// A topic's setting. Source: Kafka's `ConfigResource.Type`.
    pub const TOPIC: i8 = 2;
    /// A broker's setting.
    pub const BROKER: i8 = 4;
    /// A group's setting (KIP-848).
    pub const GROUP: i8 = 32;
}

/// The registration that is fenced or unfenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fencing {
    pub broker: BrokerId,
    pub epoch: BrokerEpoch,
}

/// The level at which a feature is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureLevel {
    pub name: String,
    /// The level; 0 is off.
    pub level: i16,
}

/// A block of producer ids was given to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIds {
    pub broker: BrokerId,
    pub epoch: BrokerEpoch,
    /// The first id that no broker has.
    pub next: ProducerId,
}

/// A change of a broker's registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerChange {
    pub broker: BrokerId,
    pub epoch: BrokerEpoch,
    /// `None` if that does not change.
    pub fenced: Option<bool>,
    /// The broker has asked to shut down.
    pub in_controlled_shutdown: bool,
    /// The log directories that are left, if some are lost.
    pub log_dirs: Option<Vec<DirectoryId>>,
}

impl BrokerChange {
    /// A change of nothing; set the fields that change.
    pub fn of(broker: BrokerId, epoch: BrokerEpoch) -> Self {
        Self { broker, epoch, fenced: None, in_controlled_shutdown: false, log_dirs: None }
    }
}

#[cfg(test)]
mod tests;
