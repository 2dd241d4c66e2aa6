//! The records of the metadata log, with the fields that this controller knows (KIP-631, KIP-858,
//! KIP-966). Kafka's tools can read what is written here, and this can read what Kafka wrote.
//!
//! Not here: records of reassignments' progress, ACLs, quotas, delegation tokens and SCRAM.

mod codec;
mod fields;

pub use codec::RecordError;

use crate::base::{
    BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Listener, PartitionEpoch, ProducerId, TopicId,
};
use crate::wire::messages::Uuid;

/// One committed fact about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A broker started, or told more about itself.
    RegisterBroker(RegisterBroker),
    /// A topic was created; its partitions follow.
    Topic(TopicRecord),
    /// A partition was created.
    Partition(PartitionRecord),
    /// A setting got another value, or its default again.
    Config(ConfigRecord),
    /// Parts of a partition's state changed.
    PartitionChange(PartitionChange),
    /// A broker may not take part (older clusters; today a [`BrokerChange`]).
    FenceBroker(Fencing),
    /// A broker may take part (older clusters; today a [`BrokerChange`]).
    UnfenceBroker(Fencing),
    /// A topic was deleted, with its partitions and settings.
    RemoveTopic(TopicId),
    /// A feature is used at a level from now on.
    FeatureLevel(FeatureLevel),
    /// A block of producer ids was given to a broker.
    ProducerIds(ProducerIds),
    /// Parts of a broker's registration changed.
    BrokerChange(BrokerChange),
    /// Nothing; makes the log advance.
    NoOp,
    /// Records up to the end or abort of the transaction count together.
    BeginTransaction(Option<String>),
    /// The records since the begin count.
    EndTransaction,
    /// The records since the begin never happened.
    AbortTransaction(Option<String>),
}

/// A broker's word about itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Which broker.
    pub broker: BrokerId,
    /// Differs between two starts of one broker.
    pub incarnation: Uuid,
    /// Epoch of the registration.
    pub epoch: BrokerEpoch,
    /// Where it is reached.
    pub listeners: Vec<Listener>,
    /// Which levels of which features it understands.
    pub features: Vec<Feature>,
    /// Where it stands.
    pub rack: Option<String>,
    /// A new broker is fenced until it has caught up with the metadata.
    pub fenced: bool,
    /// It has asked to leave.
    pub in_controlled_shutdown: bool,
    /// Its usable log directories (KIP-858).
    pub log_dirs: Vec<DirectoryId>,
}

/// Levels of a feature that a broker understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The feature's name.
    pub name: String,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// A topic's name and the identity of this creation of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The topic's name.
    pub name: String,
    /// Which creation.
    pub id: TopicId,
}

/// A whole partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Index of the partition.
    pub partition: i32,
    /// Of which topic.
    pub topic: TopicId,
    /// Who has a copy, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Who is in sync.
    pub isr: Vec<BrokerId>,
    /// Who is on the way out (reassignment).
    pub removing: Vec<BrokerId>,
    /// Who is on the way in (reassignment).
    pub adding: Vec<BrokerId>,
    /// Who leads.
    pub leader: Option<BrokerId>,
    /// The leader was chosen uncleanly and has not said yet that it has recovered.
    pub recovering: bool,
    /// Counts leaders.
    pub leader_epoch: LeaderEpoch,
    /// Counts changes.
    pub partition_epoch: PartitionEpoch,
    /// Log directory of each replica, in the order of `replicas`; zero where it is not known.
    pub directories: Vec<DirectoryId>,
    /// Eligible leader replicas: not in sync, yet known to hold all that is committed (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last leader, while there is none (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
}

/// What changes about a partition; `None` where nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChange {
    /// Index of the partition.
    pub partition: i32,
    /// Of which topic.
    pub topic: TopicId,
    /// Who is in sync.
    pub isr: Option<Vec<BrokerId>>,
    /// Who leads; an inner `None` means nobody. Begins a leader epoch even if the leader is the same.
    pub leader: Option<Option<BrokerId>>,
    /// Who has a copy.
    pub replicas: Option<Vec<BrokerId>>,
    /// Who is on the way out.
    pub removing: Option<Vec<BrokerId>>,
    /// Who is on the way in.
    pub adding: Option<Vec<BrokerId>>,
    /// `true` in the record of an unclean election, `false` once its leader has recovered.
    pub recovering: Option<bool>,
    /// Log directory of each replica.
    pub directories: Option<Vec<DirectoryId>>,
    /// Eligible leader replicas.
    pub elr: Option<Vec<BrokerId>>,
    /// The last leader, while there is none.
    pub last_known_elr: Option<Vec<BrokerId>>,
}

/// A setting of a topic or broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRecord {
    /// [`ConfigRecord::TOPIC`] or [`ConfigRecord::BROKER`].
    pub resource_type: i8,
    /// The topic's name or the broker's id; empty for all brokers.
    pub resource: String,
    /// The key.
    pub name: String,
    /// The value; `None` gives the default back.
    pub value: Option<String>,
}

impl ConfigRecord {
    /// A topic's setting. Source: Kafka's `ConfigResource.Type`.
    pub const TOPIC: i8 = 2;
    /// A broker's setting.
    pub const BROKER: i8 = 4;
}

/// Which registration is fenced or unfenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fencing {
    /// Which broker.
    pub broker: BrokerId,
    /// Which registration of it.
    pub epoch: BrokerEpoch,
}

/// The level at which a feature is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureLevel {
    /// The feature's name.
    pub name: String,
    /// The level; 0 is off.
    pub level: i16,
}

/// A block of producer ids was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIds {
    /// To which broker.
    pub broker: BrokerId,
    /// To which registration of it.
    pub epoch: BrokerEpoch,
    /// The first id that nobody has.
    pub next: ProducerId,
}

/// What changes about a broker's registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerChange {
    /// Which broker.
    pub broker: BrokerId,
    /// Which registration of it.
    pub epoch: BrokerEpoch,
    /// Whether it is fenced, if that changes.
    pub fenced: Option<bool>,
    /// It has asked to leave.
    pub in_controlled_shutdown: bool,
    /// The log directories that are left, if some are lost.
    pub log_dirs: Option<Vec<DirectoryId>>,
}

impl BrokerChange {
    /// A change of nothing, to begin with.
    pub fn of(broker: BrokerId, epoch: BrokerEpoch) -> Self {
        Self { broker, epoch, fenced: None, in_controlled_shutdown: false, log_dirs: None }
    }
}

#[cfg(test)]
mod tests;
