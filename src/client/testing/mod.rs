//! A model of a cluster and a bench on which cores run against it: by value, without a task, a
//! socket or a real clock.
//!
//! | module | role |
//! |---|---|
//! | `model` | the [`Model`]: partitions in memory, and what brokers answer about them |
//! | `log` | one partition's log, with the state that makes producers idempotent |
//! | `transactions` | the coordinator of transactions, and what leaders do for them |
//! | `coordinator` | the [`ModelCoordinator`] of one group, in the classic protocol |
//! | `group_bench` | the [`GroupBench`]: the consumers of a group, that coordinator, and faults between them |
//! | `bench` | the [`Bench`]: a producer and a consumer, delays and faults between them and the model |

mod bench;
mod coordinator;
mod group_bench;
mod log;
mod model;
mod transactions;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;

pub(crate) use bench::{Bench, Faults};
pub(crate) use coordinator::ModelCoordinator;
pub(crate) use group_bench::{GroupBench, GroupFaults};
pub(crate) use log::ModelLog;
pub(crate) use model::{Model, TOPIC};
