//! The shell around the machines: it accepts connections, hands each request to its API's file,
//! carries out what the machines decide, and makes requests wait where Kafka makes them wait.
//!
//! | file | what |
//! |---|---|
//! | `node` | a node's life: start, run, end |
//! | `connection`, `dispatch`, `api/` | from bytes to a handler and back |
//! | `partition/`, `replicas`, `purgatory` | the replicas on this broker, and who waits for them |
//! | `fetcher`, `isr` | following leaders; asking for another ISR |
//! | `metadata_log`, `lifecycle`, `channel` | following the controller; standing with it |
//! | `upkeep` | flushing, checkpoints, lag |
//! | `controller/` | the shell around the controller itself |

mod api;
mod channel;
mod cleanup;
mod connection;
mod context;
mod controller;
mod dirs;
mod dispatch;
mod error;
mod fetcher;
mod isr;
mod lifecycle;
mod listeners;
mod metadata_log;
mod node;
mod partition;
mod purgatory;
mod recovery;
mod replicas;
mod upkeep;

pub use error::NodeError;
pub use node::Node;
pub use recovery::{RecoveryObserver, RecoveryProgress};
