//! Which settings survive which faults: a table of counts with witness seeds.
//!
//! A row is settings, a column a fault, and a cell a scenario of about ten simulated seconds; all
//! cells run the same seeds. Nothing in the table is precomputed: a cell counts the acknowledged
//! records that a final read no longer finds.
//!
//! # `reports/durability-matrix.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `durability-matrix`, and a number that increases when a field changes its meaning or is removed |
//! | `assumptions` | what every cell assumes besides its settings, in one sentence |
//! | `engine`, `seeds` | where it ran, and which seeds of each cell: `from`, `to` (not included) |
//! | `cells` | by row and column: `name`, `acks`, `replication_factor`, `min_insync_replicas`, `flush`, `unclean`, `fault`, `promised` (whether the settings promise survival), `status` (`survives`, `loses`, `broke`, `stuck`, `nondeterministic`), `seeds`, `seeds_lost`, `acked`, `lost` (records, over all seeds), `witness` (`seed`, `lost` in that seed, `what`, `replay`) or null |
//! | `beside_kafka` | what Apache Kafka lost under real power cuts, what this cell lost, and whether they agree in kind |

mod answer;
mod cell;
pub mod once;
mod settings;
mod table;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use answer::answer;
pub use cell::{CELLS, Cell, Misfortune, REPORTS, assumptions};
pub use settings::{Asked, Flush, Named, Settings, SettingsError, read, rows};
pub use table::{markdown, terminal};

use super::Verdict;
use super::report::{Report, replay_command};
use super::sweep::{Sweep, Watch};
use crate::base::config::{Acks, Setting};
use crate::base::nearest;
use crate::run::EngineKind;
use crate::scenario::ScenarioError;

/// Increases when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;
/// Distinguishes this file from other reports.
pub const KIND: &str = "durability-matrix";

/// All cells of these rows that make sense, by row and column.
pub fn cells(rows: &[Settings]) -> Vec<Cell> {
    let columns = |row: &Settings| Misfortune::ALL.map(|misfortune| Cell::new(*row, misfortune));
    rows.iter().flat_map(columns).flatten().collect()
}

/// Finds a cell of either table by name, and returns the text of its scenario; the error suggests the
/// nearest name.
pub fn find(name: &str) -> Result<String, String> {
    let (durability, exactly_once) = (cells(&rows()), once::cells());
    if let Some(cell) = durability.iter().find(|cell| cell.name() == name) {
        return Ok(cell.to_toml());
    }
    if let Some(cell) = exactly_once.iter().find(|cell| cell.name() == name) {
        return Ok(cell.to_toml());
    }
    let names = durability.iter().map(Cell::name);
    let names: Vec<_> = names.chain(exactly_once.iter().map(once::Cell::name)).collect();
    let near = nearest(name, names.iter().map(String::as_str));
    let near = near.map_or_else(
        || "; such as `acks-all-rf3-min2-cache-clean-all-power`".to_owned(),
        |near| format!("; did you mean `{near}`?"),
    );
    Err(format!("no cell `{name}`{near}"))
}

/// The result of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// No seed lost an acknowledged record.
    Survives,
    /// Some seed lost one, as the settings permit.
    Loses,
    /// A promise of the settings was broken: a bug in the broker.
    Broke,
    /// Liveness was violated.
    Stuck,
    /// A seed was nondeterministic.
    Nondeterministic,
}

/// The run that shows a loss or a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The first seed that lost something.
    pub seed: u64,
    /// Acknowledged records that it lost.
    pub lost: u64,
    /// One lost record, or what else broke, in one sentence.
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
    acks: String,
    replication_factor: i16,
    min_insync_replicas: i32,
    flush: String,
    unclean: bool,
    fault: &'static str,
    promised: bool,
    /// The overall result.
    pub status: Status,
    /// Number of seeds that were run.
    pub seeds: u64,
    /// Number of seeds that lost an acknowledged record.
    pub seeds_lost: u64,
    /// Records that were acknowledged, over all seeds.
    pub acked: u64,
    /// Acknowledged records that the final read did not find, over all seeds.
    pub lost: u64,
    /// The run that shows a loss or a break.
    pub witness: Option<Evidence>,
}

impl CellResult {
    /// Summarises the report of a cell, whose scenario is in this directory of reports.
    fn new(cell: Cell, report: &Report, engine: EngineKind, reports: &Path) -> Self {
        let status = match report.verdict {
            Verdict::Nondeterministic => Status::Nondeterministic,
            Verdict::Stuck => Status::Stuck,
            Verdict::Broke | Verdict::DidNotBreak => Status::Broke,
            Verdict::Held | Verdict::BrokeAsExpected | Verdict::Untested
                if report.counts.lost == 0 =>
            {
                Status::Survives
            }
            Verdict::Held | Verdict::BrokeAsExpected | Verdict::Untested => Status::Loses,
        };
        let lossy = report.runs.iter().filter(|run| run.lost > 0);
        let first = lossy.clone().next();
        let shown = if status == Status::Loses {
            // `acked-write-unseen` breaks in every run that lost something.
            report.witnesses.iter().find(|witness| witness.broken.invariant == "acked-write-unseen")
        } else {
            report.worst()
        };
        let seed = shown.map(|witness| witness.seed).or(first.map(|run| run.seed));
        let witness = seed.map(|seed| Evidence {
            seed,
            lost: report.runs.iter().find(|run| run.seed == seed).map_or(0, |run| run.lost),
            what: shown.map_or_else(String::new, |witness| {
                format!("{}: {}", witness.broken.invariant, witness.broken.what)
            }),
            replay: replay_command(&cell.file(reports), seed, engine),
        });
        Self {
            cell,
            name: cell.name(),
            acks: cell.settings.acks.show(),
            replication_factor: cell.settings.replication_factor,
            min_insync_replicas: cell.settings.min_insync,
            flush: cell.settings.flush.name(),
            unclean: cell.settings.unclean,
            fault: cell.misfortune.name(),
            promised: cell.promised(),
            status,
            seeds: report.runs.len() as u64,
            seeds_lost: lossy.count() as u64,
            acked: report.counts.acked,
            lost: report.counts.lost,
            witness,
        }
    }

    /// The text of the cell: `survives (0 of 20)`, `LOSES 20/20, 312 records, seed 0`.
    pub fn text(&self) -> String {
        let seed = self.witness.as_ref().map_or_else(String::new, |w| format!(", seed {}", w.seed));
        match self.status {
            Status::Survives => format!("survives (0 of {})", self.seeds),
            Status::Loses => {
                let records = if self.lost == 1 { "record" } else { "records" };
                format!("LOSES {}/{}, {} {records}{seed}", self.seeds_lost, self.seeds, self.lost)
            }
            Status::Broke => format!("BROKE{seed}"),
            Status::Stuck => format!("STUCK{seed}"),
            Status::Nondeterministic => format!("NONDETERMINISTIC{seed}"),
        }
    }
}

/// A comparison with Apache Kafka under the same fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BesideKafka {
    /// The cell.
    pub cell: String,
    /// Acknowledged records in Kafka's run.
    pub kafka_acked: u64,
    /// Acknowledged records that Kafka lost.
    pub kafka_lost: u64,
    /// Acknowledged records of our cell, over all seeds.
    pub acked: u64,
    /// Acknowledged records that our cell lost.
    pub lost: u64,
    /// Whether both lose, or both lose nothing.
    pub agrees: bool,
}

/// Records acknowledged by Apache Kafka 4.3.1 (acks=all, replication factor 3, min.insync.replicas
/// 2) before the power of all three machines was cut, and how many of them were lost.
const KAFKA_MEASURED: [(Flush, u64, u64); 2] =
    [(Flush::NEVER, 18_880, 3_800), (Flush::EACH, 18_880, 0)];

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    kind: &'static str,
    schema: u32,
    assumptions: String,
    engine: &'static str,
    seeds: Seeds,
    /// Ordered by row and column.
    pub cells: Vec<CellResult>,
    /// Comparisons for the cells that were also measured with Kafka.
    pub beside_kafka: Vec<BesideKafka>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Seeds {
    from: u64,
    to: u64,
}

impl Table {
    /// The exit code of the command: 1 also if Kafka behaved differently, or, with `fail_on_loss`, if
    /// a cell lost an acknowledged record.
    pub fn exit_code(&self, fail_on_loss: bool) -> u8 {
        let verdicts = self.cells.iter().map(|result| match result.status {
            Status::Loses if fail_on_loss => Verdict::Broke,
            Status::Survives | Status::Loses => Verdict::Held,
            Status::Broke => Verdict::Broke,
            Status::Stuck => Verdict::Stuck,
            Status::Nondeterministic => Verdict::Nondeterministic,
        });
        let disagrees = self.beside_kafka.iter().any(|beside| !beside.agrees);
        let disagrees = disagrees.then_some(Verdict::Broke);
        Verdict::exit_code_of_all(verdicts.chain(disagrees))
    }

    /// As `reports/durability-matrix.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    fn new(cells: Vec<CellResult>, seeds: &Range<u64>, engine: EngineKind) -> Self {
        let beside_kafka = KAFKA_MEASURED.iter().filter_map(|(flush, acked, lost)| {
            let settings = Settings {
                acks: Acks::All,
                replication_factor: 3,
                min_insync: 2,
                flush: *flush,
                unclean: false,
            };
            let cell = Cell::new(settings, Misfortune::AllPower)?;
            let ours = cells.iter().find(|result| result.cell == cell)?;
            Some(BesideKafka {
                cell: cell.name(),
                kafka_acked: *acked,
                kafka_lost: *lost,
                acked: ours.acked,
                lost: ours.lost,
                agrees: (ours.lost > 0) == (*lost > 0),
            })
        });
        Self {
            kind: KIND,
            schema: SCHEMA,
            assumptions: assumptions(),
            engine: engine.name(),
            seeds: Seeds { from: seeds.start, to: seeds.end },
            beside_kafka: beside_kafka.collect(),
            cells,
        }
    }
}

/// How to run cells.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Seeds of each cell; the end is exclusive.
    pub seeds: Range<u64>,
    /// Number of threads.
    pub jobs: NonZeroUsize,
    /// The engine to run on.
    pub engine: EngineKind,
    /// The directory of the reports, where the scenarios of cells go.
    pub reports: PathBuf,
}

/// Runs cells, all with the same seeds.
pub fn run(cells: &[Cell], runs: &Runs, watch: &mut dyn Watch) -> Result<Table, ScenarioError> {
    let scenarios = cells.iter().map(|cell| cell.scenario_in(&runs.reports));
    let scenarios = scenarios.collect::<Result<Vec<_>, _>>()?;
    let sweep =
        Sweep { scenarios, seeds: runs.seeds.clone(), jobs: runs.jobs, engine: runs.engine };
    let reports = sweep.run(watch);
    let results = cells.iter().zip(&reports);
    let results =
        results.map(|(cell, report)| CellResult::new(*cell, report, runs.engine, &runs.reports));
    Ok(Table::new(results.collect(), &runs.seeds, runs.engine))
}
