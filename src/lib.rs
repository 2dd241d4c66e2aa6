//! brokerquake: a Kafka broker, its replication and its clients. The same code runs on real sockets
//! and files or inside a deterministic simulation that checks it.
//!
//! # In your own tests
//!
//! Everything that a test needs is in [`prelude`]: build a [`Simulation`](prelude::Simulation), add
//! programs, faults and checks, and assert on the verdict. The other modules are internal; they may
//! change with any version.
//!
//! # Modules
//!
//! A module uses only modules above it in this list; `sims/tidy.rs` enforces the order.

#![cfg_attr(
    not(feature = "cli"),
    allow(dead_code, unused_imports, reason = "the swarm and the matrix use it")
)]

// Ids, offsets, epochs, time, configuration keys, seeded randomness. No bytes, no I/O.
pub mod base;
// Kafka's protocol as bytes: framing, the table of APIs, error codes, our record batch. No I/O.
pub mod wire;
// The boundary: what a host may touch (net, disk, clock, tasks), as traits, and the real world
// behind them.
pub mod io;
// Requests over a stream: one connection, correlation ids, deadlines. Used between nodes and by clients.
pub mod rpc;
// A partition on disk: segments, indexes, epochs, producer state, recovery. `Log<D: Disk>`.
pub mod log;
// Decided logs: the shape of a coordinator, and when its responses are sent. Pure.
pub mod decide;
// The quorum of the metadata log: KRaft elections and the high watermark. Pure.
pub mod quorum;
// Cluster metadata and the operations that change it. Pure: no await, no clock, no I/O.
pub mod controller;
// The group coordinator: members, assignments, committed offsets. Pure.
pub mod group;
// The transaction coordinator: transactional ids, their epochs, and the outcome of transactions. Pure.
pub mod txn;
// Leader and follower of one partition: in-sync replicas, high watermark, truncation. Pure.
pub mod replica;
// The async shell around the state machines: accepts, dispatches (one file per API), carries out
// effects.
pub mod broker;
// Producer, consumer, admin: pure cores with thin drivers.
pub mod client;
// The simulated world: engines, disk and page cache, faults, a cluster in one process.
pub mod sim;
// One fold of the event stream into the cluster's state and its changes.
pub mod view;
// Guarantees: the history of a run, the ghost that records its promises, one invariant per file.
pub mod check;
// Scenario files: cluster, topics, loads and faults, and the schedule that a seed draws from them.
pub mod scenario;
// One run of one seed: boots the cluster, carries out loads and faults, heals, and judges it.
pub mod run;
// Many runs: sweeps, reports, shrinking, the swarm, the matrix, mutants.
pub mod lab;
// A run as a picture: one self-contained HTML page, or columns for a terminal.
pub mod picture;
// The public harness: your own programs in a simulated cluster, under `cargo test`.
pub mod harness;
// The commands, one file each.
#[cfg(feature = "cli")]
pub mod cli;

/// What a test needs: `use brokerquake::prelude::*;`
///
/// Begin with [`Simulation`](prelude::Simulation).
pub mod prelude {
    pub use crate::base::{Instant, Offset, Timestamp, TopicPartition};
    pub use crate::client::{
        AdminError, CommittedOffset, ConsumeError, ConsumerRecord, ElectionType, ErrorClass,
        GroupMetadata, Header, MetricName, Metrics, Notice, ProduceError, ProducerRecord,
        RecordMetadata, Told, TransactionCause, TransactionError,
    };
    pub use crate::harness::{
        Admin, Checker, Cluster, Consumer, Count, Delivery, Ending, Event, Fault, FaultError,
        Happening, History, Host, Member, Mismatch, Moment, Numbers, Passed, Producer, Read,
        RebalanceListener, Requirement, Sent, Simulation, Target, Times, Topic, TransformError,
        Transformer, Unsynced, acknowledged, assigned, at_least_one_output_per_input,
        every_record_read, faults, in_order_per_key, in_order_per_key_by, noted, nothing_lost,
        one_output_per_input, read, run_for_real, stored, struck,
    };
    pub use crate::lab::verdict::Witness;
    pub use crate::lab::{Report, Verdict};
    pub use crate::run::EngineKind;
}
