//! The tables as Markdown: for a terminal and for a file.

use std::fmt::Write;

use super::{Row, Spread, Table};

/// How to read the tables, which figures matter for whom.
pub(super) const READING: &str = "Owner lost: how often a partition lost its owner. Without an owner: no running member owns the partition, so nothing \
of it is processed; the share of all partitions' time, and how long each time. To stable: from a \
disturbance until all members share one generation and own every partition. Duplicates: records that \
were processed again, per 1,000, by members that commit after they process. Rebalances: generations \
that a member began, per minute; in the consumer protocol its epochs, which cost far less.\n\n\
Choose by what you can bear least: latency by the longest time without an owner, throughput by the \
share of time, side effects by the duplicates. The best of a column is bold.";

/// What all cells have in common.
pub(super) const SETTING: &str = "Four members share six partitions of a topic with three replicas; \
60 records/s; session.timeout.ms is 6 s and heartbeat.interval.ms 1 s in both protocols.";

/// Seconds with as many digits as matter.
pub(super) fn seconds(ms: u64) -> String {
    if ms < 10_000 {
        format!("{:.2} s", ms as f64 / 1000.0)
    } else {
        format!("{:.0} s", ms as f64 / 1000.0)
    }
}

/// A column: its head, how a row shows it, and what is best if it is least.
type Column = (&'static str, fn(&Row) -> String, fn(&Row) -> f64);

fn spread(spread: &Spread, figure: u64) -> String {
    if spread.count == 0 { "–".into() } else { seconds(figure) }
}

pub(super) const COLUMNS: [Column; 9] = [
    (
        "rebalances/min",
        |row| format!("{:.1}", row.rebalances_per_minute),
        |row| row.rebalances_per_minute,
    ),
    (
        "owner lost",
        |row| row.without_owner_ms.count.to_string(),
        |row| row.without_owner_ms.count as f64,
    ),
    (
        "without an owner",
        |row| format!("{:.1} %", row.without_owner_percent),
        |row| row.without_owner_percent,
    ),
    (
        "median",
        |row| spread(&row.without_owner_ms, row.without_owner_ms.median),
        |row| row.without_owner_ms.median as f64,
    ),
    (
        "p99",
        |row| spread(&row.without_owner_ms, row.without_owner_ms.p99),
        |row| row.without_owner_ms.p99 as f64,
    ),
    (
        "longest",
        |row| spread(&row.without_owner_ms, row.without_owner_ms.max),
        |row| row.without_owner_ms.max as f64,
    ),
    (
        "duplicates/1,000",
        |row| format!("{:.1}", row.duplicates_per_thousand),
        |row| row.duplicates_per_thousand,
    ),
    (
        "to stable, median",
        |row| spread(&row.to_stable_ms, row.to_stable_ms.median),
        |row| row.to_stable_ms.median as f64,
    ),
    (
        "to stable, longest",
        |row| spread(&row.to_stable_ms, row.to_stable_ms.max),
        |row| row.to_stable_ms.max as f64,
    ),
];

/// Whether a row is the best of its storm in a column in which the rows differ.
pub(super) fn is_best(rows: &[&Row], row: &Row, of: fn(&Row) -> f64) -> bool {
    let least = rows.iter().map(|row| of(row)).fold(f64::INFINITY, f64::min);
    of(row) <= least && rows.iter().any(|other| of(other) > least)
}

/// `reports/rebalances.md`.
pub fn markdown(table: &Table) -> String {
    let seeds = table.seeds.to.saturating_sub(table.seeds.from);
    let plural = if seeds == 1 { "seed" } else { "seeds" };
    let mut text = format!(
        "# What rebalances cost\n\n{SETTING} {seeds} {plural} ({}..{}, {}).\n\n{READING}\n",
        table.seeds.from, table.seeds.to, table.engine,
    );
    for (storm, rows) in table.by_storm() {
        let _ = write!(text, "\n## {}\n\n{}\n\n| strategy |", storm.name(), storm.what());
        for (head, ..) in COLUMNS {
            let _ = write!(text, " {head} |");
        }
        let _ = writeln!(text, "\n|---|{}", "--:|".repeat(COLUMNS.len()));
        for row in &rows {
            let _ = write!(text, "| {} |", row.strategy.name());
            for (_, show, of) in COLUMNS {
                let bold = if is_best(&rows, row, of) { "**" } else { "" };
                let _ = write!(text, " {bold}{}{bold} |", show(row));
            }
            text.push('\n');
        }
        for row in rows.iter().filter(|row| !row.verdict.is_expected()) {
            let what = row.broken.as_deref().unwrap_or("no run tested anything");
            let (name, verdict) = (row.strategy.name(), row.verdict);
            let _ = write!(text, "\n**{name}: {verdict}**, {what}\n`{}`\n", row.replay);
        }
    }
    text.push_str("\n## The strategies\n\n");
    let mut named: Vec<_> = table.rows.iter().map(|row| (row.strategy, row.settings)).collect();
    named.sort_unstable();
    named.dedup();
    for (strategy, settings) in named {
        let _ = writeln!(text, "- {}: `{settings}`", strategy.name());
    }
    if let Some(row) = table.rows.first() {
        let _ = write!(
            text,
            "\nThe scenarios of all cells are in `rebalances/`, next to this file. One run as a picture:\n\
             `{} --picture`\n",
            row.replay
        );
    }
    text
}
