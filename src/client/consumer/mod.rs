//! The consumer.
//!
//! | module | role |
//! |---|---|
//! | `core` | the pure machine: composes the next four, the kernel, and the group's membership |
//! | `assignment`, `partition`, `position`, `buffer` | the assigned partitions: what each is about, where it is read, what is buffered |
//! | `lookup` | offsets that the application asks for |
//! | `plan`, `questions` | what to ask which leader now, as requests |
//! | `sessions` | what fetches name: only what changed |
//! | `answers` | what a response says about a partition |
//! | `driver` | carries the core's effects out, also between polls |
//! | `handle`, `record` | what the application sees |

mod answers;
mod assignment;
mod buffer;
mod core;
mod driver;
#[cfg(test)]
mod group_tests;
mod handle;
mod lookup;
mod partition;
mod plan;
mod position;
mod questions;
mod record;
mod sessions;
#[cfg(test)]
mod tests;

pub use handle::{Committing, Consumer, RebalanceListener, Told};
pub use record::{ConsumerRecord, Notice};

pub(in crate::client) use self::answers::Answer;
#[cfg(test)]
pub(in crate::client) use self::core::Order;
pub(in crate::client) use self::core::{Core, Effect, Input};
pub(in crate::client) use self::questions::Question;
