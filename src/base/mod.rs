//! The words everything else is written in: ids, offsets, epochs, time, settings, randomness.

pub mod config;
mod flaws;
mod ids;
mod list;
mod listener;
mod name;
mod nearest;
mod number;
mod probe;
mod random;
mod time;
pub mod topics;

pub use flaws::{Flaw, Flaws};
pub use ids::{
    BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Offset, PartitionEpoch, ProducerEpoch,
    ProducerId, TopicId, TopicPartition,
};
pub use list::list;
pub use listener::{Address, Listener, SecurityProtocol};
pub(crate) use name::name;
pub use nearest::{mistyped, nearest};
pub use number::thousands;
pub use probe::{
    ControllerProbe, GroupProbe, NodeProbe, PartitionCommitted, Probe, ReplicaProbe, Request,
    StorageProbe,
};
pub use random::{Seed, Stream};
pub use time::{Instant, Timestamp};
