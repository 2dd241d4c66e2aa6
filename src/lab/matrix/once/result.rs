//! The result of a cell: in how many seeds readers saw something else than each record once, and the run
//! that shows it.

use std::path::Path;

use serde::Serialize;

use super::Cell;
use crate::lab::Verdict;
use crate::lab::report::{Report, replay_command};
use crate::lab::verdict::{RunLine, Witness};
use crate::run::EngineKind;

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
    fn verb(self) -> &'static str {
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

/// The result of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// In every seed readers saw each record once.
    ExactlyOnce,
    /// In some seed they did not, as the settings permit.
    Fails,
    /// A promise of the settings was broken: a bug in the broker or in the client.
    Broke,
    /// Liveness was violated.
    Stuck,
    /// A seed was nondeterministic.
    Nondeterministic,
    /// No run tested anything.
    Untested,
}

/// An anomaly, and the number of seeds that showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    kind: Anomaly,
    seeds: u64,
}

/// The run that shows an anomaly or a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The first seed that showed it.
    pub seed: u64,
    /// What it showed, in one sentence.
    pub what: String,
    /// The command that reproduces it.
    pub replay: String,
}

/// A cell and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellResult {
    /// The cell.
    #[serde(skip)]
    pub cell: Cell,
    name: String,
    delivery: &'static str,
    fault: &'static str,
    promised: bool,
    /// The overall result.
    pub status: Status,
    /// Number of seeds that were run.
    pub seeds: u64,
    /// Records that were acknowledged, over all seeds.
    pub acked: u64,
    /// The gravest first.
    pub anomalies: Vec<Shown>,
    /// The run that shows the gravest, or a break.
    pub witness: Option<Evidence>,
}

impl CellResult {
    /// Summarises the report of a cell, whose scenario is in this directory of reports.
    pub(super) fn new(cell: Cell, report: &Report, engine: EngineKind, reports: &Path) -> Self {
        let found = Anomaly::ALL.into_iter().filter_map(|kind| {
            let counted = report.runs.iter().filter(|run| kind.count(run) > 0).count() as u64;
            let such = report.witnesses.iter().filter(|one| Anomaly::shown_by(one) == Some(kind));
            // One seed may break several invariants: the one that most seeds broke is a lower bound.
            let broke = such.map(|witness| witness.seeds).max().unwrap_or(0);
            let seeds = counted.max(broke);
            (seeds > 0).then_some(Shown { kind, seeds })
        });
        let anomalies: Vec<Shown> = found.collect();
        let status = match report.verdict {
            Verdict::Nondeterministic => Status::Nondeterministic,
            Verdict::Stuck => Status::Stuck,
            Verdict::Broke | Verdict::DidNotBreak => Status::Broke,
            Verdict::Untested => Status::Untested,
            Verdict::Held | Verdict::BrokeAsExpected if anomalies.is_empty() => Status::ExactlyOnce,
            // An exact count needs no invariant to be a broken promise.
            Verdict::Held | Verdict::BrokeAsExpected if cell.promised() => Status::Broke,
            Verdict::Held | Verdict::BrokeAsExpected => Status::Fails,
        };
        let shown = match status {
            Status::ExactlyOnce | Status::Untested => None,
            Status::Fails => anomalies.first().and_then(|shown| show(shown.kind, report)),
            _ => report
                .worst()
                .map(told)
                .or_else(|| anomalies.first().and_then(|shown| show(shown.kind, report))),
        };
        let witness = shown.map(|(seed, what)| Evidence {
            seed,
            what,
            replay: replay_command(&cell.file(reports), seed, engine),
        });
        Self {
            cell,
            name: cell.name(),
            delivery: cell.delivery.name(),
            fault: cell.trouble.name(),
            promised: cell.promised(),
            status,
            seeds: report.runs.len() as u64,
            acked: report.counts.acked,
            anomalies,
            witness,
        }
    }

    /// The text of the cell: `exactly once (0 of 10)`, `DOUBLES 7/10, seed 0`.
    pub fn text(&self) -> String {
        let seed = self.witness.as_ref().map_or_else(String::new, |w| format!(", seed {}", w.seed));
        let said = match self.status {
            Status::ExactlyOnce => {
                let promised = if self.promised { "" } else { ", not promised" };
                return format!("exactly once (0 of {}){promised}", self.seeds);
            }
            Status::Untested => return "nothing tested".to_owned(),
            Status::Fails => {
                let one =
                    |shown: &Shown| format!("{} {}/{}", shown.kind.verb(), shown.seeds, self.seeds);
                self.anomalies.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            Status::Broke => "BROKE".to_owned(),
            Status::Stuck => "STUCK".to_owned(),
            Status::Nondeterministic => "NONDETERMINISTIC".to_owned(),
        };
        said + &seed
    }

    /// A short form, so that all columns fit on a line; `+`: there are more anomalies; `*`: not promised.
    pub(super) fn short(&self) -> String {
        match (self.status, self.anomalies.first()) {
            (Status::ExactlyOnce, _) if self.promised => "once".to_owned(),
            (Status::ExactlyOnce, _) => "once*".to_owned(),
            (Status::Fails, Some(shown)) => {
                let more = if self.anomalies.len() > 1 { "+" } else { "" };
                format!("{} {}/{}{more}", shown.kind.verb(), shown.seeds, self.seeds)
            }
            _ => self.text(),
        }
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

fn told(witness: &Witness) -> (u64, String) {
    (witness.seed, format!("{}: {}", witness.broken.invariant, witness.broken.what))
}
