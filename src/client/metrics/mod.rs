//! Metrics of clients under Kafka's names: averages, maxima and rates over the last minute, and totals.
//!
//! A client's core records what happens with the time at which it happens, so that a simulation and
//! a real run measure alike. A snapshot has every metric with its value at that time.

mod sampled;
mod snapshot;

pub(in crate::client) use sampled::{Count, Gauge, Latency, Sampled};
pub use snapshot::{MetricName, Metrics};
