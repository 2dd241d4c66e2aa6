//! The words of the table about durability.

use std::fmt::Write;

use super::text::{Words, lines, list};
use super::{Cell, CellResult, Grid, Settings, Status, Table};
use crate::base::config::{Acks, Setting};

/// Which settings the table omits, and why.
const LEFT_OUT: &str = "Left out: min.insync.replicas above the replication factor (Kafka takes it for the replication factor: Partition.effectiveMinIsr), \
and unclean election with a single copy (there is no other replica to elect). Without acks=all, \
min.insync.replicas has no effect. \"-\": one copy has no followers, nor a rack with two of them.";

impl Words for Cell {
    const WIDTH: usize = 13;
    const HEADS: [&'static str; 2] = [
        "| acks | replication factor | min.insync.replicas | flush | unclean election |",
        "|---|--:|--:|---|---|",
    ];
    /// acks=all with the largest `min.insync.replicas`.
    type Strength = (bool, bool, bool, i32);

    fn head() -> String {
        format!("{:<5}{:>2} {:>4}  {:<17}{:<8}", "acks", "rf", "min", "flush", "unclean")
    }

    fn row_head(row: Settings) -> String {
        format!(
            "{:<5}{:>2} {:>4}  {:<17}{:<8}",
            row.acks.show(),
            row.replication_factor,
            min_insync(&row),
            row.flush.name(),
            on_off(row.unclean),
        )
    }

    fn short(result: &CellResult) -> String {
        match result.status {
            Status::Failed => format!("LOSES {}/{}", result.found.seeds_lost, result.seeds),
            _ => "survives".to_owned(),
        }
    }

    fn legend(table: &Table) -> String {
        let columns = lines(14, Self::columns());
        format!("{columns}\n{LEFT_OUT}\n{}", beside_kafka(table, ""))
    }

    fn introduction(seeds: &str) -> String {
        format!(
            "# Which acknowledged records survive\n\n\
             Each cell: how many of {seeds} lost an acknowledged record, how many records in \
             all, and the first seed that shows it. What a disk had not synced when power failed is gone \
             altogether: the worst that a power loss may do."
        )
    }

    fn row_cells(row: Settings) -> String {
        format!(
            "| {} | {} | {} | {} | {} |",
            row.acks.show(),
            row.replication_factor,
            min_insync(&row),
            row.flush.name(),
            on_off(row.unclean),
        )
    }

    fn sections(table: &Table) -> String {
        let mut text = format!("\n## The faults\n\n{}\n{LEFT_OUT}\n", list(Self::columns()));
        if !table.beside.beside_kafka.is_empty() {
            text.push_str("\n## Beside Apache Kafka\n");
            text.push_str(&beside_kafka(table, "- "));
        }
        text
    }

    fn strength(&self) -> Self::Strength {
        let row = &self.settings;
        (row.acks == Acks::All, row.flush.covers_acks(), !row.unclean, row.min_insync)
    }
}

/// `min.insync.replicas`, if it has an effect.
fn min_insync(row: &Settings) -> String {
    if row.acks == Acks::All { row.min_insync.to_string() } else { "any".into() }
}

fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

fn beside_kafka(table: &Table, bullet: &str) -> String {
    let mut text = String::new();
    if table.beside.beside_kafka.is_empty() {
        return text;
    }
    text.push_str(
        "\nApache Kafka 4.3.1, real power cuts of all three machines at once \
         (acks=all, replication factor 3, min.insync.replicas=2):\n",
    );
    if !bullet.is_empty() {
        text.push('\n');
    }
    for beside in &table.beside.beside_kafka {
        let agrees = if beside.agrees { "agrees in kind" } else { "DISAGREES" };
        let _ = writeln!(
            text,
            "{bullet}{}: Kafka lost {} of {} acknowledged records, the simulation {} of {}: {agrees}",
            beside.cell, beside.kafka_lost, beside.kafka_acked, beside.lost, beside.acked,
        );
    }
    text
}
