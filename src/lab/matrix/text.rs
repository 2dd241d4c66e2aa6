//! A table for a terminal and for a file: what both tables have in common.

use std::fmt::Write;

use super::grid::{CellResult, Evidence, Grid, Status, Table};
use crate::lab::report::as_called;

/// The words of one table.
pub trait Words: Grid {
    /// Width of a column on a terminal.
    const WIDTH: usize;
    /// The heads of rows in a file, with their rule.
    const HEADS: [&'static str; 2];
    /// The stronger a cell's settings, the more its failure says.
    type Strength: Ord;

    /// The head above the heads of rows, on a terminal.
    fn head() -> String;
    fn row_head(row: Self::Row) -> String;
    /// A short form of a cell that is kept or failed, so that all columns fit on a line.
    fn short(result: &CellResult<Self>) -> String;
    /// What is below the table on a terminal.
    fn legend(table: &Table<Self>) -> String;

    /// Title and introduction of the file; `seeds` says which were run.
    fn introduction(seeds: &str) -> String;
    /// The head of a row in the file.
    fn row_cells(row: Self::Row) -> String;
    /// What is below the table in the file.
    fn sections(table: &Table<Self>) -> String;

    fn strength(&self) -> Self::Strength;
}

/// Names and descriptions, a line each.
pub(super) fn lines<'a>(
    width: usize,
    named: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    named.into_iter().map(|(name, what)| format!("{name:<width$}{what}\n")).collect()
}

/// Names and descriptions as a list in a file.
pub(super) fn list<'a>(named: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    named.into_iter().map(|(name, what)| format!("- `{name}`: {what}\n")).collect()
}

/// A row: one result per column if the cell makes sense.
type Row<'a, C> = (<C as Grid>::Row, Vec<Option<&'a CellResult<C>>>);

/// The rows that were run.
fn by_row<C: Grid>(table: &Table<C>) -> Vec<Row<'_, C>> {
    let mut rows: Vec<C::Row> = Vec::new();
    for result in &table.cells {
        if !rows.contains(&result.cell.row()) {
            rows.push(result.cell.row());
        }
    }
    let cell = |row: C::Row, column: &str| {
        table.cells.iter().find(|r| r.cell.row() == row && r.cell.column() == column)
    };
    let columns = C::columns();
    let results = |row| (row, columns.iter().map(|(column, _)| cell(row, column)).collect());
    rows.into_iter().map(results).collect()
}

/// Lines for a terminal.
pub fn terminal<C: Words>(table: &Table<C>) -> String {
    let width = C::WIDTH;
    let mut head = C::head();
    for (column, _) in C::columns() {
        let _ = write!(head, "{column:<width$}");
    }
    let mut text = format!("{}\n\n{}\n", table.assumptions, head.trim_end());
    for (row, results) in by_row(table) {
        let mut line = C::row_head(row);
        for result in results {
            let cell = match result {
                None => "-".to_owned(),
                Some(result) if result.status.is_defect() => result.text(),
                Some(result) => C::short(result),
            };
            let _ = write!(line, "{cell:<width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    text.push_str(&C::legend(table));
    for result in table.cells.iter().filter(|result| result.status.is_defect()) {
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

/// The failure under the strongest settings.
fn example<C: Words>(table: &Table<C>) -> Option<(&CellResult<C>, &Evidence)> {
    let failed = table.cells.iter().filter(|result| result.status == Status::Failed);
    let result = failed.max_by_key(|result| result.cell.strength())?;
    result.witness.as_ref().map(|witness| (result, witness))
}

/// Its file in the reports, for readers.
pub fn markdown<C: Words>(table: &Table<C>) -> String {
    let (from, to) = (table.seeds.from, table.seeds.to);
    let seeds = format!("{} seeds ({from}..{to}, {})", to.saturating_sub(from), table.engine);
    let [heads, rule] = C::HEADS;
    let mut text = format!("{}\n\n{}\n\n{heads}", C::introduction(&seeds), table.assumptions);
    let columns = C::columns();
    for (column, _) in &columns {
        let _ = write!(text, " {column} |");
    }
    let _ = writeln!(text, "\n{rule}{}", "---|".repeat(columns.len()));
    for (row, results) in by_row(table) {
        text.push_str(&C::row_cells(row));
        for result in results {
            let cell = result.map_or_else(|| "–".into(), CellResult::text);
            let loud = result.is_some_and(|result| result.status != Status::Kept);
            let _ = if loud { write!(text, " **{cell}** |") } else { write!(text, " {cell} |") };
        }
        text.push('\n');
    }
    text.push_str(&C::sections(table));
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
