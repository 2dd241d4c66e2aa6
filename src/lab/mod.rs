//! The laboratory: a scenario and a seed become a run, and a run becomes a verdict.
//!
//! `scenario` reads what is asked, `schedule` draws what will happen, `runner` lets it happen,
//! `verdict` says what came of it over many seeds, and `report` tells it.
//! `shrink` cuts a run that broke something down to what it needs.
//! `harness` is the laboratory in the hands of somebody else's test.

pub mod disks;
mod engine;
pub mod files;
pub mod harness;
pub mod matrix;
#[cfg(any(debug_assertions, feature = "mutants"))]
pub mod mutants;
pub mod overview;
pub mod picture;
pub mod reached;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod shrink;
pub mod swarm;
pub mod sweep;
mod trial;
pub mod verdict;

pub use engine::EngineKind;
pub use report::Report;
pub use scenario::{Scenario, ScenarioError};
pub use schedule::{Fault, Plan};
pub use shrink::{Shrunk, shrink};
pub use trial::{MAX_SEED, Trial, read_seed, read_seeds};
pub use verdict::{Outcome, Tally, Verdict};
