//! The producer.
//!
//! | module | role |
//! |---|---|
//! | `core` | the pure machine: composes the next three, and the kernel |
//! | `accumulator`, `topic`, `partition`, `batch` | records that have no verdict yet, by topic and partition |
//! | `transactions` | the producer's side of transactions |
//! | `identity`, `granted`, `sequences` | idempotence: the producer's id, and the numbers of a partition's batches |
//! | `memory`, `ratio` | `buffer.memory`; how well the records of a topic compress |
//! | `partitioner`, `availability` | which partition a record goes to, and which brokers take requests |
//! | `metrics` | what it measures |
//! | `outcome` | what a response means for the batches in its request |
//! | `delivery` | how a verdict reaches the application |
//! | `driver`, `lane` | carry the core's effects out |
//! | `handle`, `transacting`, `record`, `callbacks` | what the application sees |
//! | `typed`, `serializer`, `interceptor` | a producer of keys and values of other types than bytes |

mod accumulator;
mod availability;
mod batch;
mod callbacks;
mod core;
mod delivery;
mod driver;
mod granted;
mod handle;
mod identity;
mod interceptor;
mod lane;
mod memory;
mod metrics;
mod outcome;
mod partition;
mod partitioner;
mod ratio;
mod record;
mod sequences;
mod serializer;
#[cfg(test)]
mod tests;
mod topic;
mod transacting;
mod transactions;
mod typed;

pub use delivery::Delivery;
pub use handle::Producer;
pub use interceptor::{Acknowledgement, Interceptor};
pub use partitioner::{Partitioner, Partitions, partition_of};
pub use record::{ProducerRecord, RecordMetadata};
pub use serializer::{
    ByteArraySerializer, IntegerSerializer, LongSerializer, SerializationError, Serializer,
    StringSerializer,
};
pub use typed::TypedProducer;

#[cfg(test)]
pub(in crate::client) use self::core::Order;
pub(in crate::client) use self::core::{Core, Effect, Input, Taken};
pub(in crate::client) use self::outcome::Outcome;
use super::Header;
