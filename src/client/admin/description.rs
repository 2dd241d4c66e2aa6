//! What an administrator is told.

use crate::base::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicId};
use crate::io::Address;

/// A broker as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its id.
    pub id: BrokerId,
    /// Where clients connect to it.
    pub address: Address,
    /// Where it stands, if it says so.
    pub rack: Option<String>,
}

/// The cluster as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// Whom to ask for changes: some broker, which forwards.
    pub controller: Option<BrokerId>,
    /// By id.
    pub brokers: Vec<BrokerDescription>,
}

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Which creation of it.
    pub id: TopicId,
    /// By index.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its index.
    pub partition: i32,
    /// Nobody, while it is offline.
    pub leader: Option<BrokerId>,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Everyone who is assigned a copy.
    pub replicas: Vec<BrokerId>,
    /// Replicas in sync.
    pub isr: Vec<BrokerId>,
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// A broker's.
    Broker(BrokerId),
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// `None` when it is a secret, or not set.
    pub value: Option<String>,
    /// It can't be changed.
    pub read_only: bool,
    /// Nobody set it.
    pub is_default: bool,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Of the oldest record.
    Earliest,
    /// After the newest one that can be read.
    Latest,
    /// Of the first record of this date or later.
    At(Timestamp),
}

/// An offset, and what else is known of the record there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// `None`: there is no such record.
    pub offset: Option<Offset>,
    /// The record's date, where a date was asked for.
    pub timestamp: Timestamp,
    /// In which epoch it was written.
    pub leader_epoch: LeaderEpoch,
}
