//! Which way of delivering records is exactly once under which faults: a second table, with a column for
//! a zombie.
//!
//! All cells have acks=all, replication factor 3 and min.insync.replicas=2, for internal topics too: what
//! these settings lose, every row may lose. A cell counts seeds in which readers saw something else than
//! each record once.
//!
//! # `reports/exactly-once-matrix.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `exactly-once-matrix`, and a number that increases when a field changes its meaning or is removed |
//! | `assumptions` | what every cell assumes, in one sentence |
//! | `engine`, `seeds` | where it ran, and which seeds of each cell: `from`, `to` (not included) |
//! | `cells` | by row and column: `name`, `delivery`, `fault`, `promised` (whether the settings promise exactly once), `status` (`exactly-once`, `fails`, `broke`, `stuck`, `nondeterministic`), `seeds`, `acked`, `anomalies` (the gravest first: `kind`, `seeds` that showed it), `witness` (`seed`, `what`, `replay`) or null |

mod cell;
mod delivery;
mod result;
mod table;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::Serialize;

pub use cell::{Cell, Trouble, assumptions};
pub use delivery::Delivery;
pub use result::{Anomaly, CellResult, Status};
pub use table::{markdown, terminal};

use super::Runs;
use crate::lab::Verdict;
use crate::lab::sweep::{Sweep, Watch};
use crate::run::EngineKind;
use crate::scenario::ScenarioError;

/// Increases when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;
/// Distinguishes this file from other reports.
pub const KIND: &str = "exactly-once-matrix";

/// All cells that make sense, by row and column.
pub fn cells() -> Vec<Cell> {
    let columns = |row: Delivery| Trouble::ALL.map(|trouble| Cell::new(row, trouble));
    Delivery::ALL.into_iter().flat_map(columns).flatten().collect()
}

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    kind: &'static str,
    schema: u32,
    assumptions: String,
    engine: &'static str,
    seeds: Seeds,
    /// Ordered by row and column.
    pub cells: Vec<CellResult>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Seeds {
    from: u64,
    to: u64,
}

impl Table {
    fn new(cells: Vec<CellResult>, seeds: &Range<u64>, engine: EngineKind) -> Self {
        Self {
            kind: KIND,
            schema: SCHEMA,
            assumptions: assumptions(),
            engine: engine.name(),
            seeds: Seeds { from: seeds.start, to: seeds.end },
            cells,
        }
    }

    /// The exit code of the command: 1 also, with `fail_on_loss`, if a cell was not exactly once.
    pub fn exit_code(&self, fail_on_loss: bool) -> u8 {
        Verdict::exit_code_of_all(self.cells.iter().map(|result| match result.status {
            Status::Fails if fail_on_loss => Verdict::Broke,
            Status::ExactlyOnce | Status::Fails => Verdict::Held,
            Status::Broke => Verdict::Broke,
            Status::Stuck => Verdict::Stuck,
            Status::Nondeterministic => Verdict::Nondeterministic,
            Status::Untested => Verdict::Untested,
        }))
    }

    /// As `reports/exactly-once-matrix.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Runs cells, all with the same seeds.
pub fn run(cells: &[Cell], runs: &Runs, watch: &mut dyn Watch) -> Result<Table, ScenarioError> {
    let scenarios = cells.iter().map(|cell| cell.scenario_in(&runs.reports));
    let scenarios = scenarios.collect::<Result<Vec<_>, _>>()?;
    let sweep =
        Sweep { scenarios, seeds: runs.seeds.clone(), jobs: runs.jobs, engine: runs.engine };
    let reports = sweep.run(watch);
    let results = cells.iter().zip(&reports);
    let results =
        results.map(|(cell, report)| CellResult::new(*cell, report, runs.engine, &runs.reports));
    Ok(Table::new(results.collect(), &runs.seeds, runs.engine))
}
