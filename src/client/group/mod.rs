//! A consumer's side of its group: membership, and committed offsets. Pure: the consumer's core owns
//! it, sends its requests to the coordinator, and hands the answers back.
//!
//! | module | role |
//! |---|---|
//! | `settings`, `subscription` | what the configuration and the application want |
//! | `payload` | subscriptions and assignments as members exchange them |
//! | `request` | the requests to a coordinator, and their answers |
//! | `heartbeat` | when to heartbeat, and when the session or the patience with the application ends |
//! | `step` | what a membership asks of the consumer and its application |
//! | `classic` | joins, assigns, syncs, revokes, leaves: the classic protocol |
//! | `epochs` | heartbeats alone: the consumer protocol (KIP-848) |
//! | `membership` | either of the two |
//! | `commits` | offsets on their way to the coordinator |
//! | `committed` | offsets that are asked for |
//!
//! Source: Kafka's `AbstractCoordinator` and `ConsumerCoordinator`.

mod classic;
mod commits;
mod committed;
mod epochs;
mod heartbeat;
mod membership;
mod payload;
mod request;
mod settings;
mod step;
mod subscription;
#[cfg(test)]
mod tests;

pub use commits::CommittedOffset;
pub(in crate::client) use commits::{Commit, CommitId, Commits, Offsets, TopicIds};
pub(in crate::client) use committed::{Committed, CommittedId, Found};
pub use membership::GroupMetadata;
pub(in crate::client) use membership::Membership;
pub(in crate::client) use request::{Request, Response};
pub(in crate::client) use settings::Settings;
pub use settings::check_consumer;
pub(in crate::client) use step::{Event, Step, Trouble};
pub(in crate::client) use subscription::Subscription;

#[cfg(test)]
pub(in crate::client) use payload::{read_assignment, read_subscription};
