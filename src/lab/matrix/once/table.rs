//! The words of the table about exactly once.

use super::{Anomaly, Cell, CellResult, Delivery, Table, Trouble};
use crate::lab::matrix::grid::{Grid, Status};
use crate::lab::matrix::text::{Words, lines, list};

/// Width of the names of rows.
const NAME: usize = 18;

/// What a zombie is.
const ZOMBIE: &str = "\"*\": not promised, though no seed showed anything else. \"-\": without a transactional.id or a group no client takes the place of another, \
and nothing fences a producer that comes back. What a zombie can do, by row:";

impl Words for Cell {
    const WIDTH: usize = 14;
    const HEADS: [&'static str; 2] = ["| delivery | promised |", "|---|---|"];
    /// What a zombie did before all else.
    type Strength = (bool, Delivery);

    fn head() -> String {
        format!("{:<NAME$}", "delivery")
    }

    fn row_head(row: Delivery) -> String {
        format!("{:<NAME$}", row.name())
    }

    /// `+`: there are more anomalies; `*`: not promised.
    fn short(result: &CellResult) -> String {
        match (result.status, result.found.anomalies.first()) {
            (Status::Failed, Some(shown)) => {
                let more = if result.found.anomalies.len() > 1 { "+" } else { "" };
                format!("{} {}/{}{more}", shown.kind.verb(), shown.seeds, result.seeds)
            }
            _ if result.cell.promised() => "once".to_owned(),
            _ => "once*".to_owned(),
        }
    }

    fn legend(_: &Table) -> String {
        let promise = |row: Delivery| match row.is_exactly_once() {
            true => format!("{}, promised to be exactly once", row.what()),
            false => row.what().to_owned(),
        };
        let rows = Delivery::ALL.map(|row| (row.name(), promise(row)));
        let rows = rows.iter().map(|(name, what)| (*name, what.as_str()));
        format!(
            "{}\n{}\n{}\n{ZOMBIE}\n{}",
            lines(NAME, rows),
            lines(NAME, Self::columns()),
            lines(NAME, Anomaly::legend()),
            lines(NAME, zombies()),
        )
    }

    fn introduction(seeds: &str) -> String {
        format!(
            "# What is exactly once\n\n\
             Each cell: in how many of {seeds} readers saw something else than each record \
             once, and the first seed that shows it."
        )
    }

    fn row_cells(row: Delivery) -> String {
        let promised = if row.is_exactly_once() { "yes" } else { "no" };
        format!("| `{}` | {promised} |", row.name())
    }

    fn sections(_: &Table) -> String {
        let anomalies = Anomaly::legend().map(|(verb, what)| format!("- {verb}: {what}\n"));
        format!(
            "\n## Ways to deliver\n\n{}\n## The faults\n\n{}\n## What readers see\n\n{}\n\
             A row that is promised to be exactly once is so under every fault that loses no acknowledged \
             record: not under `two-power`, `all-power` and `rack-lost`, which take unsynced pages or disks \
             of min.insync.replicas at once.\n\n## Zombies\n\n{ZOMBIE}\n\n{}",
            list(Delivery::ALL.map(|row| (row.name(), row.what()))),
            list(Self::columns()),
            anomalies.collect::<String>(),
            list(zombies()),
        )
    }

    fn strength(&self) -> (bool, Delivery) {
        (self.trouble == Trouble::Zombie, self.delivery)
    }
}

fn zombies() -> impl Iterator<Item = (&'static str, &'static str)> {
    Delivery::ALL.into_iter().filter_map(|row| Some((row.name(), row.zombie()?)))
}
