//! A table, whatever its cells are: how they are run, what became of each, and its file.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use serde::Serialize;

use super::{CELLS, Cell, REPORTS};
use crate::lab::Verdict;
use crate::lab::cells::{Runs, Seeds};
use crate::lab::report::{Report, replay_command};
use crate::lab::sweep::Watch;
use crate::lab::verdict::Witness;
use crate::run::EngineKind;
use crate::scenario::{Scenario, ScenarioError};

/// A table by its cells: each is a scenario, in a row and a column.
pub trait Grid: Copy + Debug + PartialEq {
    /// Distinguishes its file from other reports; also the name of its files.
    const KIND: &'static str;
    /// Increases when a field changes its meaning or is removed.
    const SCHEMA: u32;
    /// `Kept` and `Failed` in its file.
    const WORDS: [&'static str; 2];

    type Row: Copy + PartialEq;
    /// Row and column in its file.
    type Keys: Clone + Debug + PartialEq + Eq + Serialize;
    /// What the runs of a cell showed, besides a witness.
    type Found: Clone + Debug + PartialEq + Eq + Serialize;
    /// What the whole table is compared with.
    type Beside: Clone + Debug + PartialEq + Eq + Serialize;

    /// What every cell assumes, in one sentence.
    fn assumptions() -> String;
    /// Name and description of each column, in order.
    fn columns() -> Vec<(&'static str, &'static str)>;

    fn row(&self) -> Self::Row;
    /// The name of its column.
    fn column(&self) -> &'static str;
    fn keys(&self) -> Self::Keys;
    /// The name used in `--write CELL`.
    fn name(&self) -> String;
    /// Whether the settings promise that no run fails.
    fn promised(&self) -> bool;
    /// The text of its scenario.
    fn to_toml(&self) -> String;

    /// What its runs showed, and whether some run failed.
    fn found(report: &Report) -> (Self::Found, bool);
    /// The run that shows the status, if any does: its seed, and what it showed.
    fn shown(found: &Self::Found, status: Status, report: &Report) -> Option<(u64, String)>;
    /// What became of it, if it is kept or failed; without a seed.
    fn said(result: &CellResult<Self>) -> String;

    fn beside(cells: &[CellResult<Self>]) -> Self::Beside;
    /// Whether the comparison shows a defect.
    fn disagrees(_: &Self::Beside) -> bool {
        false
    }

    /// The file for its scenario, in this directory of reports.
    fn file(&self, reports: &Path) -> String {
        reports.join(CELLS).join(format!("{}.toml", self.name())).display().to_string()
    }

    /// Its scenario, as a file in the usual directory of reports.
    fn scenario(&self) -> Result<Scenario, ScenarioError> {
        self.scenario_in(Path::new(REPORTS))
    }

    /// Its scenario, as a file in this directory of reports.
    fn scenario_in(&self, reports: &Path) -> Result<Scenario, ScenarioError> {
        Scenario::parse(&self.file(reports), &self.to_toml())
    }
}

/// The result of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No seed failed.
    Kept,
    /// Some seed did, as the settings permit.
    Failed,
    /// A promise of the settings was broken: a bug in the broker or in the client.
    Broke,
    /// Liveness was violated.
    Stuck,
    /// A seed was nondeterministic.
    Nondeterministic,
    /// No run tested anything.
    Untested,
}

impl Status {
    fn of(verdict: Verdict, failed: bool, promised: bool) -> Self {
        match verdict {
            Verdict::Nondeterministic => Self::Nondeterministic,
            Verdict::Stuck => Self::Stuck,
            Verdict::Broke | Verdict::DidNotBreak => Self::Broke,
            // An exact count needs no invariant to be a broken promise.
            _ if failed && promised => Self::Broke,
            _ if failed => Self::Failed,
            Verdict::Untested => Self::Untested,
            Verdict::Held | Verdict::BrokeAsExpected => Self::Kept,
        }
    }

    fn word<C: Grid>(self) -> &'static str {
        match self {
            Self::Kept => C::WORDS[0],
            Self::Failed => C::WORDS[1],
            Self::Broke => "broke",
            Self::Stuck => "stuck",
            Self::Nondeterministic => "nondeterministic",
            Self::Untested => "untested",
        }
    }

    /// Whether it shows a bug, or nothing.
    pub(super) fn is_defect(self) -> bool {
        !matches!(self, Self::Kept | Self::Failed)
    }
}

/// The run that shows a failure or a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The first seed that showed it.
    pub seed: u64,
    /// Acknowledged records that it lost.
    pub lost: u64,
    /// What it showed, in one sentence.
    pub what: String,
    /// The command that reproduces it.
    pub replay: String,
}

/// A cell and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(bound(serialize = ""))]
pub struct CellResult<C: Grid = Cell> {
    /// The cell.
    #[serde(skip)]
    pub cell: C,
    name: String,
    #[serde(flatten)]
    keys: C::Keys,
    promised: bool,
    #[serde(rename = "status")]
    word: &'static str,
    /// The overall result.
    #[serde(skip)]
    pub status: Status,
    /// Number of seeds that were run.
    pub seeds: u64,
    /// Records that were acknowledged, over all seeds.
    pub acked: u64,
    /// What the seeds showed.
    #[serde(flatten)]
    pub found: C::Found,
    /// The run that shows a failure or a break.
    pub witness: Option<Evidence>,
}

impl<C: Grid> CellResult<C> {
    /// Summarises the report of a cell, whose scenario is in this directory of reports.
    pub(super) fn new(cell: C, report: &Report, engine: EngineKind, reports: &Path) -> Self {
        let (found, failed) = C::found(report);
        let status = Status::of(report.verdict, failed, cell.promised());
        let witness = C::shown(&found, status, report).map(|(seed, what)| Evidence {
            seed,
            lost: report.runs.iter().find(|run| run.seed == seed).map_or(0, |run| run.lost),
            what,
            replay: replay_command(&cell.file(reports), seed, engine),
        });
        Self {
            cell,
            name: cell.name(),
            keys: cell.keys(),
            promised: cell.promised(),
            word: status.word::<C>(),
            status,
            seeds: report.runs.len() as u64,
            acked: report.counts.acked,
            found,
            witness,
        }
    }

    /// The text of the cell: `survives (0 of 20)`, `DOUBLES 7/10, seed 0`.
    pub fn text(&self) -> String {
        let said = match self.status {
            Status::Kept => return C::said(self),
            Status::Untested => return "nothing tested".to_owned(),
            Status::Failed => C::said(self),
            Status::Broke => "BROKE".to_owned(),
            Status::Stuck => "STUCK".to_owned(),
            Status::Nondeterministic => "NONDETERMINISTIC".to_owned(),
        };
        self.witness
            .as_ref()
            .map_or(said.clone(), |witness| format!("{said}, seed {}", witness.seed))
    }
}

/// The seed of a broken invariant, and what it says.
pub(super) fn told(witness: &Witness) -> (u64, String) {
    (witness.seed, format!("{}: {}", witness.broken.invariant, witness.broken.what))
}

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(bound(serialize = ""))]
pub struct Table<C: Grid = Cell> {
    kind: &'static str,
    schema: u32,
    pub(super) assumptions: String,
    pub(super) engine: &'static str,
    pub(super) seeds: Seeds,
    /// Ordered by row and column.
    pub cells: Vec<CellResult<C>>,
    /// What it is compared with.
    #[serde(flatten)]
    pub beside: C::Beside,
}

impl<C: Grid> Table<C> {
    pub(super) fn new(cells: Vec<CellResult<C>>, seeds: &Range<u64>, engine: EngineKind) -> Self {
        Self {
            kind: C::KIND,
            schema: C::SCHEMA,
            assumptions: C::assumptions(),
            engine: engine.name(),
            seeds: seeds.into(),
            beside: C::beside(&cells),
            cells,
        }
    }

    /// The exit code of the command: 1 also if the comparison shows a defect, or, with `fail_on_loss`, if
    /// a cell failed.
    pub fn exit_code(&self, fail_on_loss: bool) -> u8 {
        let verdicts = self.cells.iter().map(|result| match result.status {
            Status::Failed if fail_on_loss => Verdict::Broke,
            Status::Kept | Status::Failed => Verdict::Held,
            Status::Broke => Verdict::Broke,
            Status::Stuck => Verdict::Stuck,
            Status::Nondeterministic => Verdict::Nondeterministic,
            Status::Untested => Verdict::Untested,
        });
        let disagrees = C::disagrees(&self.beside).then_some(Verdict::Broke);
        Verdict::exit_code_of_all(verdicts.chain(disagrees))
    }

    /// As its file in the reports.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Runs cells, all with the same seeds.
pub fn run<C: Grid>(
    cells: &[C],
    runs: &Runs,
    watch: &mut dyn Watch,
) -> Result<Table<C>, ScenarioError> {
    let scenarios = cells.iter().map(|cell| cell.scenario_in(&runs.reports));
    let scenarios = scenarios.collect::<Result<Vec<_>, _>>()?;
    let sweep = runs.sweep(scenarios);
    let reports = sweep.run(watch);
    let results = cells.iter().zip(&reports);
    let results =
        results.map(|(cell, report)| CellResult::new(*cell, report, runs.engine, &runs.reports));
    Ok(Table::new(results.collect(), &runs.seeds, runs.engine))
}
