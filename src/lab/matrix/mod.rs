//! Which settings survive which faults: a table of counts with witness seeds.
//!
//! A row is settings, a column a fault, and a cell a scenario of about ten simulated seconds; all
//! cells run the same seeds. Nothing in the table is precomputed: a cell counts the acknowledged
//! records that a final read no longer finds. [`once`] is a second table; `grid` and `text` are what both
//! have in common.
//!
//! # `reports/durability-matrix.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `durability-matrix`, and a number that increases when a field changes its meaning or is removed |
//! | `assumptions` | what every cell assumes besides its settings, in one sentence |
//! | `engine`, `seeds` | where it ran, and which seeds of each cell: `from`, `to` (not included) |
//! | `cells` | by row and column: `name`, `acks`, `replication_factor`, `min_insync_replicas`, `flush`, `unclean`, `fault`, `promised` (whether the settings promise survival), `status` (`survives`, `loses`, `broke`, `stuck`, `nondeterministic`, `untested`), `seeds`, `seeds_lost`, `acked`, `lost` (records, over all seeds), `witness` (`seed`, `lost` in that seed, `what`, `replay`) or null |
//! | `beside_kafka` | what Apache Kafka lost under real power cuts, what this cell lost, and whether they agree in kind |

mod answer;
mod cell;
mod grid;
pub mod once;
mod result;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use answer::answer;
pub use cell::{CELLS, Cell, Misfortune, REPORTS};
pub use grid::{CellResult, Evidence, Grid, Status, Table, run};
pub use result::{Beside, BesideKafka, Lost};
pub use settings::{Asked, Flush, Named, Settings, SettingsError, read, rows};
pub use text::{Words, markdown, terminal};

use crate::base::nearest;

/// Distinguishes this file from other reports.
pub const KIND: &str = <Cell as Grid>::KIND;

/// All cells of these rows that make sense, by row and column.
pub fn cells(rows: &[Settings]) -> Vec<Cell> {
    let columns = |row: &Settings| Misfortune::ALL.map(|misfortune| Cell::new(*row, misfortune));
    rows.iter().flat_map(columns).flatten().collect()
}

/// Finds a cell of either table by name, and returns the text of its scenario; the error suggests the
/// nearest name.
pub fn find(name: &str) -> Result<String, String> {
    let (durability, exactly_once) = (cells(&rows()), once::cells());
    if let Some(cell) = durability.iter().find(|cell| cell.name() == name) {
        return Ok(cell.to_toml());
    }
    if let Some(cell) = exactly_once.iter().find(|cell| cell.name() == name) {
        return Ok(cell.to_toml());
    }
    let names = durability.iter().map(Cell::name);
    let names: Vec<_> = names.chain(exactly_once.iter().map(once::Cell::name)).collect();
    let near = nearest(name, names.iter().map(String::as_str));
    let near = near.map_or_else(
        || "; such as `acks-all-rf3-min2-cache-clean-all-power`".to_owned(),
        |near| format!("; did you mean `{near}`?"),
    );
    Err(format!("no cell `{name}`{near}"))
}
