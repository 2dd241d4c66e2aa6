//! What rebalances cost: ways to be a member of a group, side by side under the same storms.
//!
//! A table is a storm, a row a strategy, and a cell a scenario of 45 simulated seconds in which four
//! members share six partitions; all cells run the same seeds. Every figure is measured in these runs.
//!
//! # `reports/rebalances.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `rebalances`, and a number that increases when a field changes its meaning or is removed |
//! | `engine`, `seeds` | where it ran, and which seeds of each cell: `from`, `to` (not included) |
//! | `cells` | by storm and strategy: `storm`, `strategy`, `settings`, `verdict`, `storm_ms` (over all seeds), `rebalances`, `rebalances_per_minute`, `without_owner_percent` (of all partitions' time), `without_owner_ms` and `to_stable_ms` (`count`, `median`, `p99`, `max`), `processed`, `processed_again`, `duplicates_per_thousand`, `replay`, and `broken` or null |

mod meter;
mod page;
mod storm;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

pub use page::html;
pub use storm::{Cell, PARTITIONS, Storm, Strategy};
pub use table::markdown;

use self::meter::{Figures, Meter};
use super::Verdict;
use super::cells::{Runs, Seeds};
use super::report::{Report, replay_command};
use super::sweep::Watch;
use crate::run::caught::caught;
use crate::run::{self, Observers};
use crate::scenario::{Scenario, ScenarioError};

/// Increases when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;
/// Distinguishes this file from other reports.
pub const KIND: &str = "rebalances";

/// Some durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half of them are not longer.
    pub median: u64,
    /// 99 of 100 are not longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Spread {
    /// By nearest rank: each figure is one of the durations.
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let ms = |index: usize| {
            let found = all.get(index).copied().unwrap_or_default();
            u64::try_from(found.as_millis()).unwrap_or(u64::MAX)
        };
        let rank = |percent: usize| (all.len() * percent).div_ceil(100).saturating_sub(1);
        let last = all.len().saturating_sub(1);
        Self { count: all.len(), median: ms(rank(50)), p99: ms(rank(99)), max: ms(last) }
    }
}

/// A strategy under a storm, as measured over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The table that it is in.
    pub storm: Storm,
    /// How members share partitions.
    pub strategy: Strategy,
    settings: &'static str,
    /// Whether every run kept its promises.
    pub verdict: Verdict,
    storm_ms: u64,
    /// Generations that a member began; member epochs in the consumer protocol.
    pub rebalances: u64,
    /// The same per minute of storm.
    pub rebalances_per_minute: f64,
    /// The share of all partitions' time in which no running member owned them.
    pub without_owner_percent: f64,
    /// How long a partition had no owner, each time that it lost one.
    pub without_owner_ms: Spread,
    /// How long the group was not stable, each time that it was disturbed.
    pub to_stable_ms: Spread,
    /// Different records that were processed.
    pub processed: u64,
    processed_again: u64,
    /// How many of a thousand records were processed again.
    pub duplicates_per_thousand: f64,
    /// The command that runs the first seed again, or the one that broke.
    pub replay: String,
    /// What broke against expectation.
    pub broken: Option<String>,
}

/// One digit behind the point.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Row {
    fn new(cell: Cell, report: &Report, measured: Vec<Figures>, runs: &Runs) -> Self {
        let (mut storm, mut unowned) = (Duration::ZERO, Duration::ZERO);
        let (mut rebalances, mut processed, mut again) = (0, 0, 0);
        let (mut gaps, mut unstable) = (Vec::new(), Vec::new());
        for mut figures in measured {
            storm += figures.storm;
            unowned += figures.unowned;
            rebalances += figures.rebalances;
            processed += figures.processed;
            again += figures.again;
            gaps.append(&mut figures.gaps);
            unstable.append(&mut figures.unstable);
        }
        let seconds = storm.as_secs_f64().max(0.001);
        let worst = report.worst().filter(|_| !report.verdict.is_expected());
        let seed = worst.map_or(runs.seeds.start, |witness| witness.seed);
        let file = cell.file(&runs.reports);
        let broken = |witness: &super::verdict::Witness| {
            format!("seed {seed}: {}: {}", witness.broken.invariant, witness.broken.what)
        };
        Self {
            storm: cell.storm,
            strategy: cell.strategy,
            settings: cell.strategy.settings(),
            verdict: report.verdict,
            storm_ms: u64::try_from(storm.as_millis()).unwrap_or(u64::MAX),
            rebalances,
            rebalances_per_minute: tenths(rebalances as f64 * 60.0 / seconds),
            without_owner_percent: tenths(
                unowned.as_secs_f64() * 100.0 / (seconds * f64::from(PARTITIONS)),
            ),
            without_owner_ms: Spread::of(gaps),
            to_stable_ms: Spread::of(unstable),
            processed,
            processed_again: again,
            duplicates_per_thousand: tenths(again as f64 * 1000.0 / processed.max(1) as f64),
            replay: replay_command(&file, seed, runs.engine),
            broken: worst.map(broken),
        }
    }
}

/// All tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    kind: &'static str,
    schema: u32,
    engine: &'static str,
    seeds: Seeds,
    /// By storm and strategy.
    #[serde(rename = "cells")]
    pub rows: Vec<Row>,
}

impl Table {
    /// The exit code of the command: that of the worst cell.
    pub fn exit_code(&self) -> u8 {
        Verdict::exit_code_of_all(self.rows.iter().map(|row| row.verdict))
    }

    /// As `reports/rebalances.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The storms, each with its rows.
    fn by_storm(&self) -> Vec<(Storm, Vec<&Row>)> {
        let of = |storm| self.rows.iter().filter(|row| row.storm == storm).collect();
        let storms = Storm::ALL.into_iter().map(|storm| (storm, of(storm)));
        storms.filter(|(_, rows): &(Storm, Vec<_>)| !rows.is_empty()).collect()
    }
}

/// Runs cells, all with the same seeds.
pub fn run(cells: &[Cell], runs: &Runs, watch: &mut dyn Watch) -> Result<Table, ScenarioError> {
    let scenarios = cells.iter().map(|cell| cell.scenario_in(&runs.reports));
    let scenarios = scenarios.collect::<Result<Vec<_>, _>>()?;
    let sweep = runs.sweep(scenarios);
    // A seed that is run twice to compare its traces measures the same twice.
    let measured: Mutex<BTreeMap<(String, u64), Figures>> = Mutex::default();
    let reports = sweep.run_by(
        &|scenario: &Scenario, seed, events| {
            let mut meter = Meter::default();
            let outcome = caught(seed, || {
                let events = events.map(|watch| watch as &mut dyn FnMut(&str));
                let observers = Observers { events, recorder: Some(&mut meter), history: None };
                run::watched(scenario, seed, runs.engine, observers)
            });
            measured.lock().insert((scenario.name.clone(), seed), meter.figures());
            outcome
        },
        watch,
    );
    let measured = measured.into_inner();
    let rows = cells.iter().zip(&reports).map(|(cell, report)| {
        let of_cell = measured.iter().filter(|((name, _), _)| *name == report.scenario);
        Row::new(*cell, report, of_cell.map(|(_, figures)| figures.clone()).collect(), runs)
    });
    Ok(Table {
        kind: KIND,
        schema: SCHEMA,
        engine: runs.engine.name(),
        seeds: (&runs.seeds).into(),
        rows: rows.collect(),
    })
}

/// The files that replay commands name: each cell's scenario, by path.
pub fn files(cells: &[Cell], reports: &Path) -> Vec<(PathBuf, String)> {
    cells.iter().map(|cell| (cell.file(reports).into(), cell.to_toml())).collect()
}
