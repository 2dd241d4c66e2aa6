//! What producer, consumer and admin share: the cluster as this client knows it, and how it learns.
//!
//! | module | role |
//! |---|---|
//! | `core` | the [`Kernel`]: composes the others; pure, driven by the machine that owns it |
//! | `cluster` | brokers, topics and leaders |
//! | `contacts` | which broker to ask next; bootstrap and rebootstrap |
//! | `refresh` | when to ask for metadata |
//! | `coordinators` | which broker coordinates a group or transactional id |
//! | `settings` | what the settings of all clients have in common, and what a client begins with |
//! | `requests` | request ids, and the requests that have no response yet |
//! | `throttle` | nodes that asked for a pause |
//! | `driver` | carries the kernel's effects out over a pool of connections |

mod cluster;
mod contacts;
mod coordinators;
mod core;
mod driver;
mod refresh;
mod requests;
mod settings;
#[cfg(test)]
mod tests;
mod throttle;

#[cfg(test)]
pub(crate) use cluster::tests::metadata;
pub(crate) use cluster::{Cluster, KnownTopic};
pub(crate) use coordinators::{CoordinatorKey, CoordinatorType};
#[cfg(test)]
pub(crate) use core::Settings;
pub(crate) use core::{Effect, Input, Kernel};
#[cfg(test)]
pub(crate) use driver::connecting;
pub(crate) use driver::{carry_out, question_deadline};
pub(crate) use requests::{RequestId, Requests};
pub(in crate::client) use settings::ClientSettings;
pub(crate) use throttle::Node;
