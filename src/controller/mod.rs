//! The cluster's metadata and the controller that changes it. Pure: no await, no clock, no I/O.
//!
//! A handler reads the image and decides: records for the metadata log, and a response that leaves
//! once they are committed. Only [`Image::replay`] changes the image, on controllers and brokers
//! alike, so a failover replays exactly what happened.
//!
//! | file | contents |
//! |---|---|
//! | `machine` | the controller as a `decide::Machine`, its settings and effects |
//! | `image/` | the metadata as of one offset, and how records change it |
//! | `record/` | metadata records and their bytes |
//! | `sessions` | which brokers were heard of lately |
//! | `brokers`, `heartbeat`, `directories` | registration, heartbeats, log directories |
//! | `topics/`, `placement` | creating, extending and deleting topics, placing replicas |
//! | `configs/` | changing settings of topics, brokers and groups |
//! | `alter_partition`, `election` | ISR, ELR and leader of a partition |
//! | `elect_leaders`, `rounds` | elections on request and from time to time, and when those are due |
//! | `producer_ids` | blocks of producer ids |
//! | `plan`, `refusal` | a decision in the making; why a part of a request is refused |
//! | `check` | assertions about every decision |
//!
//! Left to the shell: appending and committing records, answering, finding the active controller.

mod alter_partition;
mod brokers;
mod check;
mod configs;
mod directories;
mod elect_leaders;
mod election;
mod features;
mod heartbeat;
mod image;
mod machine;
mod placement;
mod plan;
mod producer_ids;
mod record;
mod refusal;
mod rounds;
mod sessions;
mod topics;

pub use configs::Alteration;
pub use image::{Broker, Change, Image, PartitionState, ReplayError, Topic};
pub use machine::{Controller, ControllerSettings, Decision, Effect, FEATURES, SupportedFeature};
pub use record::{
    BrokerChange, ConfigRecord, Feature, FeatureLevel, Fencing, PartitionChange, PartitionRecord,
    ProducerIds, Record, RecordError, RegisterBroker, TopicRecord,
};
pub use rounds::{Intervals, Round};

#[cfg(test)]
mod tests;
