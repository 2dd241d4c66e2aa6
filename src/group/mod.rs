//! The group coordinator: who is in a group, who owns which partition, and how far each group has
//! read. Pure: no await, no clock, no I/O.
//!
//! | file | contents |
//! |---|---|
//! | `record` | the records of `__consumer_offsets`, in Kafka's format |
//! | `offsets` | committed offsets: commit, fetch, delete, expiry |
//! | `classic` | the classic protocol: join, sync, heartbeat, leave |
//! | `consumer` | the consumer protocol (KIP-848) |
//! | `machine` | all of it as one machine on one partition of the log |
//!
//! Source: Kafka's `GroupMetadataManager` and `OffsetMetadataManager`. Left to the shell
//! (`broker/api/groups`): finding the coordinator, waiting for commits, answering.

pub mod consumer;
mod ids;
pub mod record;
mod reply;

pub use ids::{GroupId, MemberId};
pub use record::Record;
pub use reply::{Client, Reply};
