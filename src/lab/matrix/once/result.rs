//! The result of a cell: in how many seeds readers saw something else than each record once, and the run
//! that shows it.

use serde::Serialize;

use super::cell::{Cell, Trouble, assumptions};
use super::{CellResult, Delivery};
use crate::lab::matrix::grid::{Grid, Status, told};
use crate::lab::report::Report;
use crate::lab::verdict::{RunLine, Witness};

/// What readers saw instead of each record once, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    /// A record, or an output of one, is missing.
    Lost,
    /// A record is there twice, or was processed twice.
    Doubled,
    /// Part of a transaction is visible, and part is not.
    Torn,
    /// Records of transactions that were not committed were read.
    Aborted,
}

impl Anomaly {
    const ALL: [Self; 4] = [Self::Lost, Self::Doubled, Self::Torn, Self::Aborted];

    /// As a cell says it.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Lost => "LOSES",
            Self::Doubled => "DOUBLES",
            Self::Torn => "TEARS",
            Self::Aborted => "ABORTED",
        }
    }

    /// In words, for reports.
    pub fn what(self) -> &'static str {
        match self {
            Self::Lost => "an acknowledged record, or what was to be made of it, is missing",
            Self::Doubled => "a record is stored twice, processed twice, or has two outputs",
            Self::Torn => "part of a transaction is visible, and part is not",
            Self::Aborted => "records of transactions that were not committed were read",
        }
    }

    /// All of them with their verbs, for reports.
    pub fn legend() -> impl Iterator<Item = (&'static str, &'static str)> {
        Self::ALL.into_iter().map(|anomaly| (anomaly.verb(), anomaly.what()))
    }

    /// The one that a broken invariant shows.
    fn shown_by(witness: &Witness) -> Option<Self> {
        Some(match witness.broken.invariant.as_str() {
            "processed-at-least-once" | "acked-write-unseen" => Self::Lost,
            "processed-at-most-once" | "duplicate" => Self::Doubled,
            "torn-transaction" => Self::Torn,
            "aborted-read" => Self::Aborted,
            "input-output-mismatch" => match witness.broken.what.contains(" no visible output ") {
                true => Self::Lost,
                false => Self::Doubled,
            },
            _ => return None,
        })
    }

    /// How many records of a run show it, where that is counted.
    fn count(self, run: &RunLine) -> u64 {
        match self {
            Self::Lost => run.lost,
            Self::Doubled => run.doubled,
            Self::Torn => 0,
            Self::Aborted => run.uncommitted,
        }
    }

    /// What is said of the records of a run that show it.
    fn counted(self, records: u64) -> String {
        let is = if records == 1 { "record" } else { "records" };
        match self {
            Self::Lost => format!("{records} acknowledged {is} missing"),
            Self::Doubled => format!("{records} {is} found at more than one offset"),
            Self::Torn => format!("{records} {is} of torn transactions"),
            Self::Aborted => format!("{records} {is} of transactions that were not committed read"),
        }
    }
}

/// An anomaly, and the number of seeds that showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub(super) kind: Anomaly,
    pub(super) seeds: u64,
}

/// What the seeds of a cell showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anomalies {
    /// The gravest first.
    pub anomalies: Vec<Shown>,
}

/// Row and column of a cell, as its file has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Keys {
    delivery: &'static str,
    fault: &'static str,
}

/// This table is compared with nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nothing {}

impl Grid for Cell {
    const KIND: &'static str = "exactly-once-matrix";
    const SCHEMA: u32 = 1;
    const WORDS: [&'static str; 2] = ["exactly-once", "fails"];

    type Row = Delivery;
    type Keys = Keys;
    type Found = Anomalies;
    type Beside = Nothing;

    fn assumptions() -> String {
        assumptions()
    }

    fn columns() -> Vec<(&'static str, &'static str)> {
        Trouble::ALL.map(|column| (column.name(), column.what())).to_vec()
    }

    fn row(&self) -> Delivery {
        self.delivery
    }

    fn column(&self) -> &'static str {
        self.trouble.name()
    }

    fn keys(&self) -> Keys {
        Keys { delivery: self.delivery.name(), fault: self.trouble.name() }
    }

    /// Such as `once-stage-zombie`.
    fn name(&self) -> String {
        format!("once-{}-{}", self.delivery.name(), self.trouble.name())
    }

    /// Whether the settings promise that readers see each record once: the way to deliver does, and the
    /// fault takes nothing that was acknowledged.
    fn promised(&self) -> bool {
        self.delivery.is_exactly_once() && self.keeps_acknowledged()
    }

    fn to_toml(&self) -> String {
        self.toml(&self.name())
    }

    fn found(report: &Report) -> (Anomalies, bool) {
        let found = Anomaly::ALL.into_iter().filter_map(|kind| {
            let counted = report.runs.iter().filter(|run| kind.count(run) > 0).count() as u64;
            let such = report.witnesses.iter().filter(|one| Anomaly::shown_by(one) == Some(kind));
            // One seed may break several invariants: the one that most seeds broke is a lower bound.
            let broke = such.map(|witness| witness.seeds).max().unwrap_or(0);
            let seeds = counted.max(broke);
            (seeds > 0).then_some(Shown { kind, seeds })
        });
        let anomalies: Vec<Shown> = found.collect();
        let failed = !anomalies.is_empty();
        (Anomalies { anomalies }, failed)
    }

    fn shown(found: &Anomalies, status: Status, report: &Report) -> Option<(u64, String)> {
        let gravest = || found.anomalies.first().and_then(|shown| show(shown.kind, report));
        match status {
            Status::Kept | Status::Untested => None,
            Status::Failed => gravest(),
            _ => report.worst().map(told).or_else(gravest),
        }
    }

    fn said(result: &CellResult) -> String {
        if result.status == Status::Kept {
            let promised = if result.cell.promised() { "" } else { ", not promised" };
            return format!("exactly once (0 of {}){promised}", result.seeds);
        }
        let one = |shown: &Shown| format!("{} {}/{}", shown.kind.verb(), shown.seeds, result.seeds);
        result.found.anomalies.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn beside(_: &[CellResult]) -> Nothing {
        Nothing {}
    }
}

/// The first run that shows an anomaly: its seed, and what it showed.
fn show(kind: Anomaly, report: &Report) -> Option<(u64, String)> {
    let broken = report.witnesses.iter().find(|one| Anomaly::shown_by(one) == Some(kind));
    broken.map(told).or_else(|| {
        let run = report.runs.iter().find(|run| kind.count(run) > 0)?;
        Some((run.seed, kind.counted(kind.count(run))))
    })
}
