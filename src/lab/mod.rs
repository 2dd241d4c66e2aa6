//! The laboratory: many runs become a verdict, a report, a smaller scenario or a table.
//!
//! | file | what |
//! |---|---|
//! | `sweep`, `trial` | scenarios over many seeds: on all cores, and under `cargo test` |
//! | `difference` | where two runs of one seed part |
//! | `verdict`, `report/` | what the runs of a scenario came to, and how it is printed |
//! | `shrink/` | a failing run, cut down to what it needs |
//! | `cells` | how the cells of a table are run |
//! | `matrix/` | settings against faults |
//! | `rebalances/` | ways to be a member of a group against storms |
//! | `mutants` | historical bugs switched on again, to prove that they are found |
//! | `swarm/` | scenarios drawn from seeds and mutated, judged by what they promise |
//! | `overview/` | the last runs on one page |

#[cfg(feature = "cli")]
pub mod cells;
mod difference;
#[cfg(feature = "cli")]
mod escape;
#[cfg(feature = "cli")]
pub mod matrix;
#[cfg(all(feature = "cli", any(debug_assertions, feature = "mutants")))]
pub mod mutants;
#[cfg(feature = "cli")]
pub mod overview;
#[cfg(feature = "cli")]
pub mod rebalances;
pub mod report;
pub mod shrink;
pub mod swarm;
pub mod sweep;
mod trial;
pub mod verdict;

pub use report::Report;
pub use shrink::{Shrunk, shrink};
pub use trial::Trial;
pub use verdict::{Tally, Verdict};
