//! The answer for one user's settings, in words.

use std::fmt::Write;

use super::{CellResult, Grid, Status, Table};
use crate::lab::report::as_called;

/// Lists what these settings keep and lose, with the seeds that prove it.
pub fn answer(table: &Table) -> String {
    let Some(first) = table.cells.first() else { return String::new() };
    let settings = first.cell.settings.sentence();
    let of = |status: Status| table.cells.iter().filter(move |result| result.status == status);
    let mut text = format!("Your settings: {settings}.\n{}\n", table.assumptions);
    if of(Status::Kept).next().is_some() {
        text.push_str("\nWith these settings an acknowledged record survives when\n");
    }
    for result in of(Status::Kept) {
        let _ = writeln!(text, "  - {}{}", result.cell.misfortune.what(), kept(result));
    }
    if of(Status::Failed).next().is_some() {
        text.push_str("\nIt does not survive when\n");
    }
    for result in of(Status::Failed) {
        let _ = writeln!(text, "  - {}{}", result.cell.misfortune.what(), lost(result));
    }
    let odd = table.cells.iter();
    for result in odd.filter(|r| !matches!(r.status, Status::Kept | Status::Failed)) {
        let what = result.witness.as_ref().map_or("", |witness| witness.what.as_str());
        let replay = result.witness.as_ref().map(|witness| as_called(&witness.replay));
        let replay = replay.unwrap_or_default();
        let _ = writeln!(
            text,
            "\nA bug in the broker, not a consequence of your settings: when {}: {}\n    {what}\n    {replay}",
            result.cell.misfortune.what(),
            result.text(),
        );
    }
    text
}

/// How often records were lost, and whether the settings promise that none are.
fn kept(result: &CellResult) -> String {
    let records = format!("0 of {} seeds lost any of {} records", result.seeds, result.acked);
    if result.cell.promised() {
        format!(" ({records})")
    } else {
        format!(" ({records}, though these settings don't promise it)")
    }
}

fn lost(result: &CellResult) -> String {
    let Some(witness) = &result.witness else { return String::new() };
    let records = if witness.lost == 1 { "record" } else { "records" };
    format!(
        ", for example seed {}, which loses {} acknowledged {records} ({} of {} seeds lost some)\n    {}\n    {}",
        witness.seed,
        witness.lost,
        result.found.seeds_lost,
        result.seeds,
        witness.what,
        as_called(&witness.replay)
    )
}
