//! The consumer.
//!
//! | module | role |
//! |---|---|
//! | `core` | the pure machine: composes the next four, the kernel, and the group's membership |
//! | `assignment`, `partition`, `position`, `buffer` | the assigned partitions: what each is about, where it is read, what is buffered |
//! | `lookup` | offsets that the application asks for |
//! | `plan`, `questions` | what to ask which leader now, as requests |
//! | `sessions` | what fetches name: only what changed |
//! | `aborted` | what a `read_committed` reader leaves out |
//! | `answers` | what a response says about a partition |
//! | `driver` | carries the core's effects out, also between polls |
//! | `metrics` | what it measures |
//! | `handle`, `notice` | what the application sees |

mod aborted;
mod answers;
mod assignment;
mod buffer;
mod core;
mod driver;
#[cfg(test)]
mod group_tests;
mod handle;
mod lookup;
mod metrics;
mod notice;
mod partition;
mod plan;
mod position;
mod questions;
mod sessions;
#[cfg(test)]
mod measuring_tests;
#[cfg(test)]
mod nearest_tests;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;

pub use handle::{
    BytesDeserializer, Committing, Consumer, ConsumerInterceptor, DeserializeError, Deserializer,
    Deserializers, InterceptError, LongDeserializer, RebalanceListener, RecordStream,
    StringDeserializer, Told,
};
pub use lookup::OffsetAndTimestamp;
pub use notice::Notice;

pub(in crate::client) use self::answers::Answer;
#[cfg(test)]
pub(in crate::client) use self::core::Order;
pub(in crate::client) use self::core::{Core, Effect, Input};
pub(in crate::client) use self::questions::Question;
