//! `reports/summary.md`: an overview of all scenarios of a run.

use std::fmt::Write;

use super::{DiskLine, Report};
use crate::run::coverage;
use crate::run::outcome::TransactionCounts;

/// Each broker's page cache and disk, if it had a page miss, a stall or a throttled write.
fn disks(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let told = |disk: &&DiskLine| disk.page_misses + disk.stalls + disk.throttled > 0;
        for disk in report.disks.iter().filter(told) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} ({} ms) | {} ({} ms) |",
                report.scenario,
                disk.broker,
                disk.page_hits,
                disk.page_misses,
                disk.read_ahead,
                disk.evicted,
                disk.stalls,
                disk.stalled_ms,
                disk.throttled,
                disk.throttled_ms,
            );
        }
    }
    if text.is_empty() {
        return text;
    }
    let head = "\n## Page caches and disks\n\n\
                | scenario | broker | page hits | misses | read ahead | evicted | stalls | throttled writes |\n\
                |---|---|--:|--:|--:|--:|--:|--:|\n";
    format!("{head}{text}")
}

/// The transactions of each scenario that has any.
fn transactions(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports.iter().filter(|report| !report.counts.transactions.is_empty()) {
        let TransactionCounts { committed, aborted, unknown } = report.counts.transactions;
        let name = &report.scenario;
        let _ = writeln!(text, "| {name} | {committed} | {aborted} | {unknown} |");
    }
    if text.is_empty() {
        return text;
    }
    let head = "\n## Transactions, as their producers learned\n\n\
                | scenario | committed | aborted | of unknown outcome |\n\
                |---|--:|--:|--:|\n";
    format!("{head}{text}")
}

/// A table of scenarios, and below it what broke, with the replay commands.
pub fn summary(reports: &[Report]) -> String {
    let mut text = String::from(
        "# What held and what broke\n\n\
         | scenario | expected | verdict | seeds | faults | acknowledged | lost | longest outage | simulated |\n\
         |---|---|---|--:|--:|--:|--:|---|--:|\n",
    );
    for report in reports {
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "| [{name}]({name}.json) | {} | {}{} | {} | {} | {} of {} | {} | {} | {} s |",
            report.expect.summary(),
            report.verdict,
            if report.reservation().is_some() { " (not guaranteed)" } else { "" },
            report.runs.len(),
            report.counts.faults,
            report.counts.acked,
            report.counts.sent,
            report.counts.lost,
            outage(report),
            report.simulated_seconds(),
            name = report.scenario,
        );
    }
    text.push_str(&transactions(reports));
    text.push_str(&disks(reports));
    for report in reports {
        let silent = report.witnesses.is_empty() && report.unbroken.is_empty();
        let quiet = report.notes.is_empty() && report.not_guaranteed.is_empty();
        if silent && quiet && report.differs.is_none() {
            continue;
        }
        let _ = writeln!(text, "\n## {}: {}\n", report.scenario, report.verdict);
        if !report.story.is_empty() {
            let _ = writeln!(text, "{}\n", report.story.replace('\n', " "));
        }
        if let Some(differs) = &report.differs {
            let _ = writeln!(text, "- {differs}");
        }
        contract(report, &mut text);
        for witness in &report.witnesses {
            let _ = writeln!(
                text,
                "- `{}` broke in {} of {} seeds ({}); first in seed {}, trace `{}`: {}",
                witness.broken.invariant,
                witness.seeds,
                report.runs.len(),
                match witness.expected {
                    "holds" => "it must hold",
                    "breaks" => "as expected",
                    _ => "allowed",
                },
                witness.seed,
                witness.trace,
                witness.broken.what,
            );
        }
        for name in &report.unbroken {
            let _ = writeln!(text, "- `{name}` was expected to break and did not");
        }
        for note in &report.notes {
            let _ = writeln!(
                text,
                "- {} ({} runs, first seed {})",
                note.note, note.runs, note.first_seed
            );
        }
        if let Some(replay) = &report.replay {
            let _ = writeln!(text, "\n```\n{replay}\n```");
        }
    }
    rare_events(reports, &mut text);
    text
}

/// The longest outage, for a cell of the table.
fn outage(report: &Report) -> String {
    report.longest_outage().map_or_else(|| "–".into(), |line| line.longest.to_string())
}

/// What was lost, and what the settings do not guarantee.
fn contract(report: &Report, text: &mut String) {
    if let Some(damage) = report.damage() {
        let _ = writeln!(text, "- {damage}");
    }
    if let Some(reservation) = report.reservation() {
        let _ = writeln!(text, "- {reservation}");
    } else if !report.not_guaranteed.is_empty() {
        let _ = writeln!(text, "- not guaranteed: {}", report.not_guaranteed.join("; "));
    }
}

/// The situations that the runs reached, and those that they never did.
fn rare_events(reports: &[Report], text: &mut String) {
    let Some((first, others)) = reports.split_first() else { return };
    let (mut events, mut runs) = (first.rare_events.clone(), first.runs.len() as u64);
    for report in others {
        runs += report.runs.len() as u64;
        for (event, other) in events.iter_mut().zip(&report.rare_events) {
            event.runs += other.runs;
        }
    }
    // A seed is meaningful only within its scenario, whose file has it.
    events.iter_mut().for_each(|event| event.first_seed = None);
    text.push_str("\n## Rare events\n\n");
    text.push_str(&coverage::markdown(&events, runs));
}
