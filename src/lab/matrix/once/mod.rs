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
//! | `cells` | by row and column: `name`, `delivery`, `fault`, `promised` (whether the settings promise exactly once), `status` (`exactly-once`, `fails`, `broke`, `stuck`, `nondeterministic`, `untested`), `seeds`, `acked`, `anomalies` (the gravest first: `kind`, `seeds` that showed it), `witness` (`seed`, `lost` in that seed, `what`, `replay`) or null |

mod cell;
mod delivery;
mod result;
mod table;
#[cfg(test)]
mod tests;

pub use cell::{Cell, Trouble};
pub use delivery::Delivery;
pub use result::{Anomalies, Anomaly, Nothing};

use super::grid::{self, Grid};

/// Distinguishes this file from other reports.
pub const KIND: &str = <Cell as Grid>::KIND;

/// The whole table.
pub type Table = grid::Table<Cell>;
/// A cell and its result.
pub type CellResult = grid::CellResult<Cell>;

/// All cells that make sense, by row and column.
pub fn cells() -> Vec<Cell> {
    let columns = |row: Delivery| Trouble::ALL.map(|trouble| Cell::new(row, trouble));
    Delivery::ALL.into_iter().flat_map(columns).flatten().collect()
}
