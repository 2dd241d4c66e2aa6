//! The swarm: randomly generated scenarios. A seed draws the cluster's shape, its settings, the
//! load and the faults; `contract` computes what must hold; schedules that reached new features are
//! kept and mutated.
//!
//! Every scenario, drawn or mutated, is an ordinary one with an explicit schedule: a failure is
//! written to a file that `replay` and `shrink` accept.

mod contract;
mod corpus;
mod draw;
mod explore;
mod failure;
mod faults;
mod found;
mod groups;
mod known;
mod load;
mod loss;
mod members;
mod mutate;
mod pairs;
mod possible;
mod report;
mod skipped;
mod topic;
mod transactions;
mod users;
#[cfg(test)]
mod tests;

pub use contract::{Contract, Terms, Unjudged};
pub use draw::{DIR, draw};
pub use explore::{Swarm, Watch};
pub use failure::{Failure, failure};
pub use found::{Found, Origin};
pub use known::Known;
pub use loss::Loss;
pub use mutate::mutate;
pub use report::{KIND, SwarmReport, markdown, terminal};
