//! The table, for a terminal and for a file.

use std::fmt::Write;

use super::{CellResult, Misfortune, Settings, Status, Table};
use crate::base::config::{Acks, Setting};
use crate::lab::report::as_called;

/// Width of a column on a terminal.
const WIDTH: usize = 13;

/// A row of the table: its settings and one result per column, if the cell makes sense.
fn by_row(table: &Table) -> Vec<(Settings, Vec<Option<&CellResult>>)> {
    let mut rows: Vec<Settings> = Vec::new();
    for result in &table.cells {
        if !rows.contains(&result.cell.settings) {
            rows.push(result.cell.settings);
        }
    }
    let cell = |row: &Settings, column: Misfortune| {
        table.cells.iter().find(|r| r.cell.settings == *row && r.cell.misfortune == column)
    };
    let results = |row: Settings| (row, Misfortune::ALL.map(|column| cell(&row, column)).to_vec());
    rows.into_iter().map(results).collect()
}

/// `min.insync.replicas`, if it has an effect.
fn min_insync(row: &Settings) -> String {
    if row.acks == Acks::All { row.min_insync.to_string() } else { "any".into() }
}

fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

/// A short form of a cell, so that all columns fit on a line.
fn short(result: Option<&CellResult>) -> String {
    let Some(result) = result else { return "-".into() };
    match result.status {
        Status::Survives => "survives".into(),
        Status::Loses => format!("LOSES {}/{}", result.seeds_lost, result.seeds),
        _ => result.text(),
    }
}

/// Which settings the table omits, and why.
const LEFT_OUT: &str = "Left out: min.insync.replicas above the replication factor (Kafka takes it for the replication factor: Partition.effectiveMinIsr), \
and unclean election with a single copy (there is no other replica to elect). Without acks=all, \
min.insync.replicas has no effect. \"-\": one copy has no followers, nor a rack with two of them.";

/// Lines for a terminal.
pub fn terminal(table: &Table) -> String {
    let mut text = format!("{}\n\n", table.assumptions);
    let _ = write!(text, "{:<5}{:>2} {:>4}  {:<17}{:<8}", "acks", "rf", "min", "flush", "unclean");
    for column in Misfortune::ALL {
        let _ = write!(text, "{:<WIDTH$}", column.name());
    }
    text = text.trim_end().to_owned();
    text.push('\n');
    for (row, results) in by_row(table) {
        let mut line = format!(
            "{:<5}{:>2} {:>4}  {:<17}{:<8}",
            row.acks.show(),
            row.replication_factor,
            min_insync(&row),
            row.flush.name(),
            on_off(row.unclean),
        );
        for result in results {
            let _ = write!(line, "{:<WIDTH$}", short(result));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    for column in Misfortune::ALL {
        let _ = writeln!(text, "{:<14}{}", column.name(), column.what());
    }
    let _ = writeln!(text, "\n{LEFT_OUT}");
    text.push_str(&beside_kafka(table, ""));
    for result in defects(table) {
        let what = result.witness.as_ref().map_or("", |witness| witness.what.as_str());
        let _ = writeln!(text, "\n{}: {}\n  {what}", result.cell.name(), result.text());
        if let Some(witness) = &result.witness {
            let _ = writeln!(text, "  replay: {}", as_called(&witness.replay));
        }
    }
    if let Some((result, witness)) = worst_loss(table) {
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

/// Cells that show a bug.
fn defects(table: &Table) -> impl Iterator<Item = &CellResult> {
    let fine = |status| matches!(status, Status::Survives | Status::Loses);
    table.cells.iter().filter(move |result| !fine(result.status))
}

/// The loss under the strongest settings: acks=all with the largest `min.insync.replicas`.
fn worst_loss(table: &Table) -> Option<(&CellResult, &super::Evidence)> {
    let losing = table.cells.iter().filter(|result| result.status == Status::Loses);
    let strength = |result: &&CellResult| {
        let row = &result.cell.settings;
        (row.acks == Acks::All, row.flush.covers_acks(), !row.unclean, row.min_insync)
    };
    let result = losing.max_by_key(strength)?;
    result.witness.as_ref().map(|witness| (result, witness))
}

fn beside_kafka(table: &Table, bullet: &str) -> String {
    let mut text = String::new();
    if table.beside_kafka.is_empty() {
        return text;
    }
    text.push_str(
        "\nApache Kafka 4.3.1, real power cuts of all three machines at once \
         (acks=all, replication factor 3, min.insync.replicas=2):\n",
    );
    if !bullet.is_empty() {
        text.push('\n');
    }
    for beside in &table.beside_kafka {
        let agrees = if beside.agrees { "agrees in kind" } else { "DISAGREES" };
        let _ = writeln!(
            text,
            "{bullet}{}: Kafka lost {} of {} acknowledged records, the simulation {} of {}: {agrees}",
            beside.cell, beside.kafka_lost, beside.kafka_acked, beside.lost, beside.acked,
        );
    }
    text
}

/// `reports/durability-matrix.md`.
pub fn markdown(table: &Table) -> String {
    let mut text = format!(
        "# Which acknowledged records survive\n\n\
         Each cell: how many of {} seeds ({}..{}, {}) lost an acknowledged record, how many records in \
         all, and the first seed that shows it. What a disk had not synced when power failed is gone \
         altogether: the worst that a power loss may do.\n\n{}\n\n\
         | acks | replication factor | min.insync.replicas | flush | unclean election |",
        table.seeds.to.saturating_sub(table.seeds.from),
        table.seeds.from,
        table.seeds.to,
        table.engine,
        table.assumptions,
    );
    for column in Misfortune::ALL {
        let _ = write!(text, " {} |", column.name());
    }
    text.push_str("\n|---|--:|--:|---|---|");
    text.push_str(&"---|".repeat(Misfortune::ALL.len()));
    text.push('\n');
    for (row, results) in by_row(table) {
        let _ = write!(
            text,
            "| {} | {} | {} | {} | {} |",
            row.acks.show(),
            row.replication_factor,
            min_insync(&row),
            row.flush.name(),
            on_off(row.unclean),
        );
        for result in results {
            let cell = result.map_or_else(|| "–".into(), CellResult::text);
            let loud = result.is_some_and(|result| result.status != Status::Survives);
            let _ = if loud { write!(text, " **{cell}** |") } else { write!(text, " {cell} |") };
        }
        text.push('\n');
    }
    text.push_str("\n## The faults\n\n");
    for column in Misfortune::ALL {
        let _ = writeln!(text, "- `{}`: {}", column.name(), column.what());
    }
    let _ = writeln!(text, "\n{LEFT_OUT}");
    if !table.beside_kafka.is_empty() {
        text.push_str("\n## Beside Apache Kafka\n");
        text.push_str(&beside_kafka(table, "- "));
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
