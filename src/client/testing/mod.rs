//! A model of a cluster and a bench on which cores run against it: by value, without a task, a
//! socket or a real clock.
//!
//! | module | role |
//! |---|---|
//! | `model` | the [`Model`]: partitions in memory, and what brokers answer about them |
//! | `log` | one partition's log, with the state that makes producers idempotent |
//! | `bench` | the [`Bench`]: a producer and a consumer, delays and faults between them and the model |

mod bench;
mod log;
mod model;
#[cfg(test)]
mod tests;

pub(crate) use bench::{Bench, Faults};
pub(crate) use log::ModelLog;
pub(crate) use model::{Model, TOPIC};
