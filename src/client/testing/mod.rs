//! A model of a cluster and a bench on which cores run against it: by value, without a task, a
//! clock or a socket.
//!
//! | module | role |
//! |---|---|
//! | `model` | the [`Model`]: partitions in memory, and what brokers answer about them |
//! | `log` | one partition's log, with the state that makes producers idempotent |

mod log;
mod model;

pub(crate) use log::ModelLog;
pub(crate) use model::{Model, TOPIC};
