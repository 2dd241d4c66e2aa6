//! The cluster's metadata and who may change it. Pure: no await, no clock, no I/O.
//!
//! A handler looks at the image and decides: records for the metadata log, and a response that may
//! leave once they are committed. Only [`Image::replay`] changes the image, on controllers and
//! brokers alike, so what a failover replays is exactly what happened.
//!
//! Left to the shell: appending and committing records, answering, finding the active controller.

mod alter_partition;
mod brokers;
mod check;
mod directories;
mod election;
mod heartbeat;
mod image;
mod machine;
mod placement;
mod plan;
mod producer_ids;
mod record;
mod sessions;
mod topics;

pub use image::{Broker, Change, Image, PartitionState, ReplayError, Topic};
pub use machine::{Controller, ControllerSettings, Decision, Effect};
pub use record::{
    BrokerChange, ConfigRecord, Feature, FeatureLevel, Fencing, PartitionChange, PartitionRecord,
    ProducerIds, Record, RecordError, RegisterBroker, TopicRecord,
};

#[cfg(test)]
mod tests;
