//! The last runs at a glance: one page, its Markdown and its JSON, from the reports that runs left.
//!
//! # `reports/index.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `overview`, and a number that rises when a field changes its meaning or goes |
//! | `scenarios` | by name: `scenario`, `verdict`, `seeds`, `acked`, `lost`, `simulated_ms`, `replay`, `broken` (`invariant`, `expected`, `seeds`, `seed`, `what`, `replay`, `picture`) |
//! | `matrix` | cells of the durability matrix by their `status`, or null |
//! | `swarm` | what the swarm came to: `verdict`, `runs`, `failures`, `features`, `situations`, `never` (situations that no run reached), or null |
//! | `skipped` | files that are no report, with the reason |

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

/// Rises when a field changes its meaning or goes.
const SCHEMA: u32 = 1;
/// Tells `index.json` from others among the reports.
const KIND: &str = "overview";

/// Everything that the page tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overview {
    kind: &'static str,
    schema: u32,
    /// By name.
    pub scenarios: Vec<Line>,
    /// The durability matrix, where there is one.
    pub matrix: Option<MatrixSummary>,
    /// What the swarm came to, where there was one.
    pub swarm: Option<SwarmSummary>,
    /// Files that are no report.
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
    /// What came of it, as in its own report.
    pub verdict: String,
    /// How many were run.
    pub seeds: u64,
    /// Records that were acknowledged, over all seeds.
    pub acked: u64,
    /// Of these: not found in the end.
    pub lost: u64,
    /// Over all seeds.
    pub simulated_ms: u64,
    /// The command that shows the gravest run again.
    pub replay: Option<String>,
    /// Invariants that broke, by name.
    pub broken: Vec<BrokenLine>,
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
    /// The command that shows it again.
    pub replay: String,
    /// The picture of that run, where there is one: a file beside the page.
    pub picture: Option<String>,
}

/// What the page tells of the durability matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatrixSummary {
    /// Cells in which every acknowledged record survived.
    pub survives: u64,
    /// Cells in which some did not, as the settings permit.
    pub loses: u64,
    /// All other cells.
    pub other: u64,
    /// Each cell, for the chart.
    #[serde(skip)]
    pub cells: Vec<MatrixCell>,
}

/// What the page tells of the swarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwarmSummary {
    /// The gravest of the runs.
    pub verdict: String,
    /// How many there were.
    pub runs: u64,
    /// How many broke what their contract promises.
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

/// A verdict as a person says it.
fn verdict_words(verdict: &str) -> String {
    verdict.replace('-', " ")
}
