//! The group coordinator: who is in a group, who owns which partition, and how far each group has
//! read. Pure: no await, no clock, no I/O.
//!
//! | file | contents |
//! |---|---|
//! | `record` | the records of `__consumer_offsets`, in Kafka's format |
//! | `offsets` | committed offsets: commit, fetch, delete, expiry |
//! | `classic` | the classic protocol: join, sync, heartbeat, leave |
//! | `consumer` | the consumer protocol (KIP-848) |
//! | `placement` | which partition of `__consumer_offsets` has a group |
//! | `state` | what is replicated |
//! | `machine`, `requests`, `consumers` | all of it as one machine on one partition of the log |
//! | `settings` | what it needs to know beyond its log |
//!
//! Source: Kafka's `GroupMetadataManager` and `OffsetMetadataManager`. Left to the shell
//! (`broker/api/groups`): finding the coordinator, waiting for commits, answering.

mod classic;
mod consumer;
mod consumers;
mod ids;
mod machine;
pub mod offsets;
mod placement;
pub mod record;
mod reply;
mod requests;
mod settings;
mod state;

pub use consumer::ConsumerGroup;
pub use ids::{GroupId, MemberId};
pub use machine::{Decision, Effect, GroupCoordinator};
pub use placement::partition_of;
pub use record::{CommittedOffset, OffsetKey, Record};
pub use reply::{Client, Reply};
pub use settings::{ConsumerSettings, GroupSettings};
pub use state::{Change, Group, Groups};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
