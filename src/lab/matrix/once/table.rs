//! The table, for a terminal and for a file.

use std::fmt::Write;

use super::{Anomaly, CellResult, Delivery, Status, Table, Trouble};
use crate::lab::report::as_called;

/// Width of a column on a terminal, and of the names of rows.
const WIDTH: usize = 14;
const NAME: usize = 18;

/// What a zombie is.
const ZOMBIE: &str = "\"*\": not promised, though no seed showed anything else. \"-\": without a transactional.id or a group no client takes the place of another, \
and nothing fences a producer that comes back. What a zombie can do, by row:";

/// The rows that were run, with one result per column if the cell makes sense.
fn by_row(table: &Table) -> Vec<(Delivery, Vec<Option<&CellResult>>)> {
    let cell = |row: Delivery, column: Trouble| {
        table.cells.iter().find(|r| r.cell.delivery == row && r.cell.trouble == column)
    };
    let rows = Delivery::ALL.into_iter();
    let rows = rows.filter(|row| table.cells.iter().any(|result| result.cell.delivery == *row));
    rows.map(|row| (row, Trouble::ALL.map(|column| cell(row, column)).to_vec())).collect()
}

/// Lines for a terminal.
pub fn terminal(table: &Table) -> String {
    let mut text = format!("{}\n\n{:<NAME$}", table.assumptions, "delivery");
    for column in Trouble::ALL {
        let _ = write!(text, "{:<WIDTH$}", column.name());
    }
    text = text.trim_end().to_owned();
    text.push('\n');
    for (row, results) in by_row(table) {
        let mut line = format!("{:<NAME$}", row.name());
        for result in results {
            let cell = result.map_or_else(|| "-".to_owned(), CellResult::short);
            let _ = write!(line, "{cell:<WIDTH$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    for row in Delivery::ALL {
        let promise = if row.is_exactly_once() { ", promised to be exactly once" } else { "" };
        let _ = writeln!(text, "{:<NAME$}{}{promise}", row.name(), row.what());
    }
    text.push('\n');
    for column in Trouble::ALL {
        let _ = writeln!(text, "{:<NAME$}{}", column.name(), column.what());
    }
    text.push('\n');
    for (verb, what) in Anomaly::legend() {
        let _ = writeln!(text, "{verb:<NAME$}{what}");
    }
    let _ = writeln!(text, "\n{ZOMBIE}");
    for (row, what) in zombies() {
        let _ = writeln!(text, "{:<NAME$}{what}", row.name());
    }
    for result in table.cells.iter().filter(|result| is_defect(result)) {
        let what = result.witness.as_ref().map_or("", |witness| witness.what.as_str());
        let _ = writeln!(text, "\n{}: {}\n  {what}", result.cell.name(), result.text());
        if let Some(witness) = &result.witness {
            let _ = writeln!(text, "  replay: {}", as_called(&witness.replay));
        }
    }
    if let Some((result, witness)) = example(table) {
        let _ = writeln!(
            text,
            "\nfor example {}: {}\n  {}\n  replay: {}",
            result.cell.name(),
            result.text(),
            witness.what,
            as_called(&witness.replay)
        );
    }
    text
}

fn zombies() -> impl Iterator<Item = (Delivery, &'static str)> {
    Delivery::ALL.into_iter().filter_map(|row| Some((row, row.zombie()?)))
}

/// Whether a cell shows a bug, or nothing.
fn is_defect(result: &CellResult) -> bool {
    !matches!(result.status, Status::ExactlyOnce | Status::Fails)
}

/// What a zombie did under the strongest settings that let it; else the last row that failed.
fn example(table: &Table) -> Option<(&CellResult, &super::result::Evidence)> {
    let failed = table.cells.iter().filter(|result| result.status == Status::Fails);
    let result = failed
        .max_by_key(|result| (result.cell.trouble == Trouble::Zombie, result.cell.delivery))?;
    result.witness.as_ref().map(|witness| (result, witness))
}

/// `reports/exactly-once-matrix.md`.
pub fn markdown(table: &Table) -> String {
    let mut text = format!(
        "# What is exactly once\n\n\
         Each cell: in how many of {} seeds ({}..{}, {}) readers saw something else than each record \
         once, and the first seed that shows it.\n\n{}\n\n| delivery | promised |",
        table.seeds.to.saturating_sub(table.seeds.from),
        table.seeds.from,
        table.seeds.to,
        table.engine,
        table.assumptions,
    );
    for column in Trouble::ALL {
        let _ = write!(text, " {} |", column.name());
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(Trouble::ALL.len()));
    text.push('\n');
    for (row, results) in by_row(table) {
        let promised = if row.is_exactly_once() { "yes" } else { "no" };
        let _ = write!(text, "| `{}` | {promised} |", row.name());
        for result in results {
            let cell = result.map_or_else(|| "–".into(), CellResult::text);
            let loud = result.is_some_and(|result| result.status != Status::ExactlyOnce);
            let _ = if loud { write!(text, " **{cell}** |") } else { write!(text, " {cell} |") };
        }
        text.push('\n');
    }
    text.push_str("\n## Ways to deliver\n\n");
    for row in Delivery::ALL {
        let _ = writeln!(text, "- `{}`: {}", row.name(), row.what());
    }
    text.push_str("\n## The faults\n\n");
    for column in Trouble::ALL {
        let _ = writeln!(text, "- `{}`: {}", column.name(), column.what());
    }
    text.push_str("\n## What readers see\n\n");
    for (verb, what) in Anomaly::legend() {
        let _ = writeln!(text, "- {verb}: {what}");
    }
    text.push_str(
        "\nA row that is promised to be exactly once is so under every fault that loses no acknowledged \
         record: not under `two-power`, `all-power` and `rack-lost`, which take unsynced pages or disks \
         of min.insync.replicas at once.\n",
    );
    let _ = writeln!(text, "\n## Zombies\n\n{ZOMBIE}\n");
    for (row, what) in zombies() {
        let _ = writeln!(text, "- `{}`: {what}", row.name());
    }
    let shown: Vec<_> =
        table.cells.iter().filter_map(|result| Some((result, result.witness.as_ref()?))).collect();
    if !shown.is_empty() {
        text.push_str("\n## Witnesses\n\nThe scenarios are in `matrix/`, next to this file.\n\n");
    }
    for (result, witness) in shown {
        let _ = writeln!(
            text,
            "- `{}`: {}. {}\n  `{}`",
            result.cell.name(),
            result.text(),
            witness.what,
            witness.replay
        );
    }
    text
}
