//! The public harness: a user's programs inside the simulation, faults, checks and a verdict, in a
//! plain `#[test]`.
//!
//! A [`Simulation`] is a scenario like any other: what the builder says is read by the scenario's
//! own parser, and the run is made by the same [`run`](super::run). What is added here is the
//! programs' side of it: the [`Host`] that a program gets, whose world is any of the three; clients
//! that record what they do beside themselves; and the [`History`] that checks are made on.

#![warn(missing_docs, reason = "in the prelude")]

mod checker;
mod checks;
mod cluster;
mod company;
mod consumer;
mod draft;
mod fault;
mod history;
mod host;
mod membership;
mod misuse;
mod producer;
mod real;
mod requirement;
mod simulation;
#[cfg(test)]
mod tests;
mod transacting;
mod transform;
pub mod world;

pub use checker::Checker;
pub use checks::{
    Mismatch, at_least_one_output_per_input, every_record_read, in_order_per_key,
    in_order_per_key_by, nothing_lost, one_output_per_input,
};
pub use cluster::{Cluster, FaultError};
pub use consumer::Consumer;
pub use fault::{Fault, Moment, Numbers, Target, Times, Unsynced};
pub use history::{Event, Happening, History, Read, Sent};
pub use host::{Ending, Host};
pub use membership::{Member, RebalanceListener};
pub use producer::{Delivery, Producer};
pub use real::run_for_real;
pub use requirement::{
    Count, Requirement, acknowledged, assigned, faults, noted, read, stored, struck,
};
pub use simulation::{Simulation, Topic};
pub use transform::{Passed, TransformError, Transformer};

/// Makes and asks: topics, brokers, settings, offsets.
pub type Admin = crate::client::Admin<world::AnyWorld>;
