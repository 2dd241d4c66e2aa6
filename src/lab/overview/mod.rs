//! An overview of the last runs, from their reports: an HTML page, Markdown and JSON.
//!
//! # `reports/index.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `overview`, and a number that is incremented when a field changes its meaning or is removed |
//! | `scenarios` | by name: `scenario`, `verdict`, `seeds`, `acked`, `lost`, `longest_outage` (in words, or null), `not_guaranteed`, `simulated_ms`, `replay`, `broken` (`invariant`, `expected`, `seeds`, `seed`, `what`, `replay`, `picture`) |
//! | `matrix` | cells of the durability matrix by their `status`, or null |
//! | `swarm` | the swarm's result: `verdict`, `runs`, `failures`, `features`, `situations`, `never` (situations that no run reached), or null |
//! | `skipped` | files that are not reports, with the reason |

mod chart;
mod html;
mod markdown;
mod read;
#[cfg(test)]
mod tests;
mod timings;

use serde::Serialize;

pub use html::html;
pub use markdown::markdown;
pub use read::{Skipped, gather};
pub use timings::{TIMINGS, Timing, Timings};

/// Incremented when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;
/// Distinguishes `index.json` from the other reports.
const KIND: &str = "overview";

/// The contents of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overview {
    kind: &'static str,
    schema: u32,
    /// By name.
    pub scenarios: Vec<Line>,
    /// The durability matrix, if it exists.
    pub matrix: Option<MatrixSummary>,
    /// The swarm's result, if it ran.
    pub swarm: Option<SwarmSummary>,
    /// Files that are not reports.
    pub skipped: Vec<Skipped>,
    /// Wall times differ from day to day: they are shown on the page and kept out of its JSON.
    #[serde(skip)]
    pub timings: Timings,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name.
    pub scenario: String,
    /// The verdict in its own report.
    pub verdict: String,
    /// The number of seeds.
    pub seeds: u64,
    /// Records that were acknowledged, over all seeds.
    pub acked: u64,
    /// Acknowledged records that the final reads did not find.
    pub lost: u64,
    /// The longest time in which a partition could not be used, in words.
    pub longest_outage: Option<String>,
    /// Ways in which the settings let acknowledged records be lost.
    pub not_guaranteed: Vec<String>,
    /// Over all seeds.
    pub simulated_ms: u64,
    /// The command that replays the worst run.
    pub replay: Option<String>,
    /// Invariants that broke, the gravest first.
    pub broken: Vec<BrokenLine>,
}

impl Line {
    /// The verdict in words. What held without a guarantee says so.
    fn verdict_words(&self) -> String {
        let but = self.verdict == "held" && !self.not_guaranteed.is_empty();
        let but = if but { " (not guaranteed)" } else { "" };
        format!("{}{but}", verdict_words(&self.verdict))
    }
}

/// An invariant that a scenario broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenLine {
    /// Its name.
    pub invariant: String,
    /// `holds`, `breaks` or `open`.
    pub expected: String,
    /// How many seeds broke it.
    pub seeds: u64,
    /// The first.
    pub seed: u64,
    /// The witness, in a sentence.
    pub what: String,
    /// The replay command.
    pub replay: String,
    /// The picture of that run, if it exists: a file beside the page.
    pub picture: Option<String>,
}

/// The summary of the durability matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatrixSummary {
    /// Cells in which every acknowledged record survived.
    pub survives: u64,
    /// Cells that lost records, as the settings permit.
    pub loses: u64,
    /// All other cells.
    pub other: u64,
    /// Each cell, for the chart.
    #[serde(skip)]
    pub cells: Vec<MatrixCell>,
}

/// The summary of the swarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwarmSummary {
    /// The worst verdict of the runs.
    pub verdict: String,
    /// The number of runs.
    pub runs: u64,
    /// Runs that broke their contract.
    pub failures: u64,
    /// Situations under faults and after one another that were reached.
    pub features: u64,
    /// Named situations that were reached.
    pub situations: u64,
    /// Those that were not.
    pub never: Vec<String>,
}

impl SwarmSummary {
    fn sentence(&self) -> String {
        let never = match self.never.is_empty() {
            true => String::new(),
            false => format!("; never reached: {}", self.never.join(", ")),
        };
        format!(
            "{}: {} runs, {} failed; {} features, {} situations{never}",
            verdict_words(&self.verdict),
            self.runs,
            self.failures,
            self.features,
            self.situations
        )
    }
}

/// A cell of the durability matrix.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct MatrixCell {
    name: String,
    acks: String,
    replication_factor: i16,
    min_insync_replicas: i32,
    flush: String,
    unclean: bool,
    fault: String,
    status: String,
    seeds: u64,
    seeds_lost: u64,
    acked: u64,
    lost: u64,
}

impl Overview {
    /// As `reports/index.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// A verdict in words.
fn verdict_words(verdict: &str) -> String {
    verdict.replace('-', " ")
}
