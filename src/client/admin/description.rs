//! What an administrator's operations return.

use crate::base::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicId};
use crate::io::Address;

/// A broker as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its id.
    pub id: BrokerId,
    /// Where clients connect to it.
    pub address: Address,
    /// Its `broker.rack`, if it has one.
    pub rack: Option<String>,
}

/// The cluster as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// The broker to send changes to: any of them, which forwards.
    pub controller: Option<BrokerId>,
    /// By id.
    pub brokers: Vec<BrokerDescription>,
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id, which tells it from earlier topics of the same name.
    pub id: TopicId,
    /// By index.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its index.
    pub partition: i32,
    /// `None` while it is offline.
    pub leader: Option<BrokerId>,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Brokers that are assigned a copy.
    pub replicas: Vec<BrokerId>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Eligible leader replicas (KIP-966), if they were asked for.
    pub elr: Vec<BrokerId>,
    /// The last leader while there is none, if it was asked for.
    pub last_known_elr: Vec<BrokerId>,
}

/// The owner of settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// A broker's.
    Broker(BrokerId),
    /// What was set for all brokers while they run.
    AllBrokers,
    /// A group's (KIP-848).
    Group(String),
}

/// A change of one setting (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Sets it.
    Set(String),
    /// Returns it to its default.
    Delete,
    /// Adds entries to a list.
    Append(String),
    /// Removes entries from a list.
    Subtract(String),
}

/// Where the value of a setting comes from. Source: Kafka's `ConfigEntry.ConfigSource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for the broker while it runs.
    Broker,
    /// Set for all brokers while they run.
    AllBrokers,
    /// In the broker's file.
    File,
    /// The default.
    Default,
    /// Set for the group.
    Group,
    /// None of these.
    Other,
}

/// A key that decides about a setting, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key.
    pub name: String,
    /// `None` when it is a secret.
    pub value: Option<String>,
    /// Where it is set.
    pub source: ConfigSource,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// `None` when it is a secret, or not set.
    pub value: Option<String>,
    /// Whether it can't be changed.
    pub read_only: bool,
    /// Whether it has its default because no one set it.
    pub is_default: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// All values that it could have, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// Names an offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OffsetSpec {
    /// The oldest record's.
    Earliest,
    /// The one after the newest record that can be read.
    Latest,
    /// The first record's with this timestamp or a later one.
    At(Timestamp),
    /// The record's with the latest timestamp (KIP-734).
    MaxTimestamp,
    /// The oldest one that the leader has on its own disks (KIP-405).
    EarliestLocal,
    /// The newest one in remote storage (KIP-1005); none without tiered storage.
    LatestTiered,
    /// The oldest one that is yet to be copied to remote storage (KIP-1023); none without tiered storage.
    EarliestPendingUpload,
}

/// An offset, and what else is known of the record there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// `None` if no record matches.
    pub offset: Option<Offset>,
    /// The record's timestamp, if it was searched by timestamp.
    pub timestamp: Timestamp,
    /// Epoch of the leader that wrote the record.
    pub leader_epoch: LeaderEpoch,
}
