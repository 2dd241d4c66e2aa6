//! The shell around the machines: it accepts connections, hands each request to its API's file,
//! carries out what the machines decide, and makes requests wait where Kafka makes them wait.
//!
//! | file | what |
//! |---|---|
//! | `node`, `error` | a node's life: start, run, end |
//! | `context` | what the tasks and handlers of a broker share |
//! | `serve/` | listeners, connections, sessions; from bytes to a handler and back |
//! | `api/` | one file for each API, and the table with one row for each |
//! | `partition/`, `replicas`, `purgatory` | the replicas on this broker, and the requests that wait for them |
//! | `dirs/`, `dir_failures`, `recovery` | data directories: opened, chosen, recovered, given up |
//! | `fetcher`, `sessions` | following leaders; what each fetch session asks and was sent |
//! | `timers` | replicas are stepped at their own deadlines |
//! | `outbox`, `isr`, `assignments` | what replicas have for the controller, and how it gets there |
//! | `groups` | the group coordinators of this broker |
//! | `verifying` | asking the coordinators of transactions |
//! | `txn/`, `txn_work`, `producer_ids` | its transaction coordinators, what they ask for, and ids for producers |
//! | `auto_topics` | topics that are created on demand |
//! | `metadata_log`, `lifecycle`, `channel` | following the controller; standing with it |
//! | `upkeep`, `cleanup` | flushing, checkpoints, lag; retention and compaction |
//! | `hosted/` | the shell of a decided log: load, append, commit, answer |
//! | `controller/` | the metadata log as its journal, and how brokers fetch it |

mod api;
mod assignments;
mod auto_topics;
mod channel;
mod cleanup;
mod context;
mod controller;
mod dir_failures;
mod dirs;
mod error;
mod fetcher;
mod groups;
mod hosted;
mod isr;
mod lifecycle;
mod metadata_log;
mod node;
mod outbox;
mod partition;
mod producer_ids;
mod purgatory;
mod recovery;
mod replicas;
mod serve;
mod sessions;
mod timers;
mod txn;
mod txn_work;
mod upkeep;
mod verifying;

pub use api::served;
pub use error::NodeError;
pub use node::{Node, NodeOptions};
pub use recovery::{RecoveryObserver, RecoveryProgress};
pub use serve::ListenerType;
