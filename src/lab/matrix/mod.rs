//! What outlives which fault under which settings: a table of counts with witness seeds.
//!
//! A row is settings, a column a fault, and a cell a scenario of some ten simulated seconds that
//! is run over the same seeds as all others. Nothing in the table is looked up: a cell counts the
//! acknowledged records that a reader no longer finds in the end.
//!
//! # `reports/durability-matrix.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `durability-matrix`, and a number that rises when a field changes its meaning or goes |
//! | `engine`, `seeds` | where it ran, and which seeds of each cell: `from`, `to` (not included) |
//! | `cells` | by row and column: `name`, `acks`, `replication_factor`, `min_insync_replicas`, `flush`, `unclean`, `fault`, `promised` (whether the settings promise survival), `status` (`survives`, `loses`, `broke`, `stuck`, `nondeterministic`), `seeds`, `seeds_lost`, `acked`, `lost` (records, over all seeds), `witness` (`seed`, `lost` in that seed, `what`, `replay`) or null |
//! | `beside_kafka` | what Apache Kafka lost under real power cuts, what this cell lost, and whether they agree in kind |

mod answer;
mod cell;
mod settings;
mod table;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::ops::Range;

use serde::Serialize;

pub use answer::answer;
pub use cell::{CELLS, Cell, Misfortune};
pub use settings::{Flush, Named, Settings, SettingsError, read, rows};
pub use table::{markdown, terminal};

use super::Verdict;
use super::report::{Report, replay_command};
use super::sweep::{Sweep, Watch};
use crate::base::config::{Acks, Setting};
use crate::base::nearest;
use crate::run::EngineKind;
use crate::scenario::ScenarioError;

/// Rises when a field changes its meaning or goes.
const SCHEMA: u32 = 1;
/// Tells this file from others among the reports.
pub const KIND: &str = "durability-matrix";

/// Every cell of these rows that makes sense, by row and column.
pub fn cells(rows: &[Settings]) -> Vec<Cell> {
    let columns = |row: &Settings| Misfortune::ALL.map(|misfortune| Cell::new(*row, misfortune));
    rows.iter().flat_map(columns).flatten().collect()
}

/// The cell of the whole table that has this name; the error names the nearest.
pub fn find(name: &str) -> Result<Cell, String> {
    let all = cells(&rows());
    if let Some(cell) = all.iter().find(|cell| cell.name() == name) {
        return Ok(*cell);
    }
    let names: Vec<_> = all.iter().map(Cell::name).collect();
    let near = nearest(name, names.iter().map(String::as_str));
    let near = near.map_or_else(
        || "; such as `acks-all-rf3-min2-cache-clean-all-power`".to_owned(),
        |near| format!("; did you mean `{near}`?"),
    );
    Err(format!("no cell `{name}`{near}"))
}

/// What was seen of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// No seed lost an acknowledged record.
    Survives,
    /// Some seed lost one, and the settings don't promise otherwise.
    Loses,
    /// Something broke that the settings promise: a defect of the broker.
    Broke,
    /// Liveness was violated.
    Stuck,
    /// A seed was nondeterministic.
    Nondeterministic,
}

/// The run that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Its seed: the first that lost something.
    pub seed: u64,
    /// Acknowledged records that it lost.
    pub lost: u64,
    /// One of them, or what else broke, in a sentence.
    pub what: String,
    /// The command that shows it again.
    pub replay: String,
}

/// A cell and what was seen.
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
    /// What was seen.
    pub status: Status,
    /// How many were run.
    pub seeds: u64,
    /// How many lost an acknowledged record.
    pub seeds_lost: u64,
    /// Records that were acknowledged, over all seeds.
    pub acked: u64,
    /// Of these: not found in the end.
    pub lost: u64,
    /// The run that shows a loss or a break.
    pub witness: Option<Evidence>,
}

impl CellResult {
    /// What a cell's report says.
    fn new(cell: Cell, report: &Report, engine: EngineKind) -> Self {
        let status = match report.verdict {
            Verdict::Nondeterministic => Status::Nondeterministic,
            Verdict::Stuck => Status::Stuck,
            Verdict::Broke | Verdict::DidNotBreak => Status::Broke,
            Verdict::Held | Verdict::BrokeAsExpected if report.counts.lost == 0 => Status::Survives,
            Verdict::Held | Verdict::BrokeAsExpected => Status::Loses,
        };
        let lossy = report.runs.iter().filter(|run| run.lost > 0);
        let first = lossy.clone().next();
        let shown = if status == Status::Loses {
            // The final reads' own invariant breaks in every run that lost something.
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
            replay: replay_command(&cell.file(), seed, engine),
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

    /// As a cell of the table: `survives (0 of 20)`, `LOSES 20/20, 312 records, seed 0`.
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

/// The same misfortune under Apache Kafka itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BesideKafka {
    /// The cell.
    pub cell: String,
    /// Acknowledged records in Kafka's run.
    pub kafka_acked: u64,
    /// Of these: lost.
    pub kafka_lost: u64,
    /// The same of our cell, over all seeds.
    pub acked: u64,
    /// Of these: lost.
    pub lost: u64,
    /// Whether both lose, or both lose nothing.
    pub agrees: bool,
}

/// Records acknowledged by Apache Kafka 4.3.1 (acks=all, replication factor 3, min.insync.replicas 2)
/// before the power of all three machines was cut, and how many of them were gone.
const KAFKA_MEASURED: [(Flush, u64, u64); 2] =
    [(Flush::NEVER, 18_880, 3_800), (Flush::EACH, 18_880, 0)];

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    kind: &'static str,
    schema: u32,
    engine: &'static str,
    seeds: Seeds,
    /// By row and column.
    pub cells: Vec<CellResult>,
    /// Of the cells that Kafka was put through as well.
    pub beside_kafka: Vec<BesideKafka>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Seeds {
    from: u64,
    to: u64,
}

impl Table {
    /// The exit code of a command that ends with it: 1 also where Kafka did otherwise.
    pub fn exit_code(&self) -> u8 {
        let verdicts = self.cells.iter().map(|result| match result.status {
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
            engine: engine.name(),
            seeds: Seeds { from: seeds.start, to: seeds.end },
            beside_kafka: beside_kafka.collect(),
            cells,
        }
    }
}

/// How cells are run.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Of each cell; the end is not included.
    pub seeds: Range<u64>,
    /// Threads.
    pub jobs: NonZeroUsize,
    /// Where they run.
    pub engine: EngineKind,
}

/// Runs cells. They all see the same seeds.
pub fn run(cells: &[Cell], runs: &Runs, watch: &mut dyn Watch) -> Result<Table, ScenarioError> {
    let scenarios = cells.iter().map(Cell::scenario).collect::<Result<Vec<_>, _>>()?;
    let sweep =
        Sweep { scenarios, seeds: runs.seeds.clone(), jobs: runs.jobs, engine: runs.engine };
    let reports = sweep.run(watch);
    let results = cells.iter().zip(&reports);
    let results = results.map(|(cell, report)| CellResult::new(*cell, report, runs.engine));
    Ok(Table::new(results.collect(), &runs.seeds, runs.engine))
}
