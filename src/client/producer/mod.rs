//! The producer.
//!
//! | module | role |
//! |---|---|
//! | `core` | the pure machine: composes the next three, and the kernel |
//! | `accumulator`, `topic`, `partition`, `batch` | records that have no verdict yet, by topic and partition |
//! | `identity`, `sequences` | idempotence: the producer's id, and the numbers of a partition's batches |
//! | `memory` | `buffer.memory` |
//! | `partitioner` | which partition a record goes to |
//! | `outcome` | what a response means for the batches in its request |
//! | `delivery` | how a verdict reaches the application |
//! | `driver`, `lane` | carry the core's effects out |
//! | `handle`, `record` | what the application sees |

mod accumulator;
mod batch;
mod core;
mod delivery;
mod driver;
mod handle;
mod identity;
mod lane;
mod memory;
mod outcome;
mod partition;
mod partitioner;
mod record;
mod sequences;
#[cfg(test)]
mod tests;
mod topic;

pub use delivery::Delivery;
pub use handle::Producer;
pub use partitioner::partition_of;
pub use record::{ProducerRecord, RecordMetadata};

#[cfg(test)]
pub(in crate::client) use self::core::{Core, Effect, Input, Order, Taken};
#[cfg(test)]
pub(in crate::client) use self::outcome::Outcome;
use super::Header;
