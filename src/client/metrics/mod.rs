//! Metrics of clients under Kafka's names: averages, maxima and rates of the last samples, and totals.
//!
//! A client's core records what happens with the time at which it happens, so that a simulation and
//! a real run measure alike. A snapshot has every metric with its value at that time. Times whose
//! name does not end in `-ns-total` are in milliseconds.
//!
//! | module | role |
//! |---|---|
//! | `sampled` | values over a window of time |
//! | `nodes` | requests, responses and bytes of each broker's connections |
//! | `snapshot` | what an application reads |

mod nodes;
mod sampled;
mod snapshot;

pub(in crate::client) use nodes::Nodes;
pub(in crate::client) use sampled::{Count, Gauge, Latency, Now, Sampled, Sampling};
pub use snapshot::{MetricName, Metrics};
