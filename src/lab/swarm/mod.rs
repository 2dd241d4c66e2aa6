//! The swarm: randomly generated scenarios. A seed draws the cluster's shape, its settings, the load
//! and the faults; `contract` computes from them what must hold; runs are remembered by what they
//! reached, and schedules that reached something new are mutated further.
//!
//! Whatever is drawn or mutated is an ordinary scenario with an explicit schedule: a failure is
//! written as a file, which `replay` and `shrink` take like any other.

mod contract;
mod corpus;
mod draw;
mod explore;
mod faults;
mod found;
mod mutate;
mod report;
#[cfg(test)]
mod tests;

pub use contract::{Contract, Loss, Terms};
pub use draw::{DIR, draw};
pub use explore::{Swarm, Watch};
pub use found::{Found, Origin};
pub use mutate::mutate;
pub use report::{KIND, SwarmReport, markdown, terminal};
