//! Reads the reports in a directory.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    BrokenLine, KIND, Line, MatrixCell, MatrixSummary, Overview, SCHEMA, SwarmSummary, TIMINGS,
    Timings,
};
use crate::base::TopicPartition;
use crate::check::{Outage, OutageKind};
use crate::lab::report::replay_command;
use crate::lab::{matrix, rebalances, swarm};
use crate::run::EngineKind;

/// Kinds of reports that the page has a place for, or that are known to need none.
const KINDS: [&str; 6] =
    [matrix::KIND, matrix::once::KIND, swarm::KIND, rebalances::KIND, KIND, "timings"];
/// The largest report that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// A file that is not a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// Its name.
    pub file: String,
    /// Why it was skipped.
    pub why: String,
}

/// The fields that every report has.
#[derive(Deserialize)]
struct Head {
    schema: Option<u32>,
    kind: Option<String>,
    scenario: Option<String>,
}

/// The fields of `reports/<scenario>.json` that the page uses.
#[derive(Deserialize)]
struct ScenarioFile {
    scenario: String,
    file: String,
    engine: String,
    verdict: String,
    replay: Option<String>,
    witnesses: Vec<WitnessLine>,
    counts: CountsLine,
    // Both are missing in older reports.
    #[serde(default)]
    outages: Vec<OutageFile>,
    #[serde(default)]
    not_guaranteed: Vec<String>,
    simulated_ms: u64,
    runs: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct WitnessLine {
    invariant: String,
    what: String,
    seed: u64,
    seeds: u64,
    expected: String,
}

#[derive(Deserialize)]
struct OutageFile {
    partition: String,
    kind: OutageKind,
    from_ms: u64,
    until_ms: u64,
}

impl OutageFile {
    /// In words, if the partition has a name.
    fn words(self) -> Option<String> {
        let partition = TopicPartition::from_directory(&self.partition)?;
        let Self { kind, from_ms, until_ms, .. } = self;
        Some(Outage { partition, kind, from_ms, until_ms }.to_string())
    }
}

#[derive(Deserialize)]
struct CountsLine {
    acked: u64,
    /// Missing in older reports.
    #[serde(default)]
    lost: u64,
}

#[derive(Deserialize)]
struct MatrixFile {
    cells: Vec<MatrixCell>,
}

/// The fields of `reports/swarm.json` that the page uses.
#[derive(Deserialize)]
struct SwarmFile {
    verdict: String,
    runs: Vec<serde::de::IgnoredAny>,
    failures: Vec<serde::de::IgnoredAny>,
    features: Vec<serde::de::IgnoredAny>,
    rare_events: Vec<RareEventLine>,
}

#[derive(Deserialize)]
struct RareEventLine {
    name: String,
    runs: u64,
}

impl SwarmFile {
    fn summary(self) -> SwarmSummary {
        let events = self.rare_events.len() as u64;
        let never = self.rare_events.into_iter().filter(|event| event.runs == 0);
        let never: Vec<String> = never.map(|event| event.name).collect();
        SwarmSummary {
            verdict: self.verdict,
            runs: self.runs.len() as u64,
            failures: self.failures.len() as u64,
            features: self.features.len() as u64,
            situations: events - never.len() as u64,
            never,
        }
    }
}

/// Reads every report of a directory. Unreadable and foreign files are listed, and don't fail it.
pub fn gather(dir: &Path) -> Result<Overview, String> {
    let unreadable =
        |error| format!("{}: {error}; `brokerquake run` writes reports there", dir.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        names.push(name);
    }
    names.sort();
    let mut overview = Overview { kind: KIND, schema: SCHEMA, ..Overview::default() };
    for name in names.iter().filter(|name| name.ends_with(".json")) {
        if let Err(why) = add(&mut overview, dir, name, &names) {
            overview.skipped.push(Skipped { file: name.clone(), why });
        }
    }
    overview.scenarios.sort_by(|one, other| one.scenario.cmp(&other.scenario));
    Ok(overview)
}

fn add(overview: &mut Overview, dir: &Path, name: &str, beside: &[String]) -> Result<(), String> {
    let path = dir.join(name);
    let bytes = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
    if bytes > MAX_FILE {
        return Err(format!("{bytes} bytes are too many for a report"));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let broken = |error: serde_json::Error| format!("not a whole report: {error}");
    let head: Head = serde_json::from_str(&text).map_err(broken)?;
    let foreign = "not one of our reports: it has neither `scenario` nor a `kind` that is known";
    let known =
        head.scenario.is_some() || head.kind.as_deref().is_some_and(|kind| KINDS.contains(&kind));
    if !known {
        return Err(foreign.into());
    }
    if head.schema != Some(1) {
        let schema = head.schema.map_or_else(|| "none".into(), |schema| schema.to_string());
        return Err(format!("schema {schema}, and schema 1 is what can be read: run it again"));
    }
    match head.kind.as_deref() {
        // This page's own, and those that have a page of their own.
        Some(KIND | rebalances::KIND | matrix::once::KIND) => {}
        Some("timings") if name == TIMINGS => overview.timings = Timings::parse(&text)?,
        Some(kind) if kind == matrix::KIND => {
            let file: MatrixFile = serde_json::from_str(&text).map_err(broken)?;
            overview.matrix = Some(summary(file.cells));
        }
        Some(kind) if kind == swarm::KIND => {
            let file: SwarmFile = serde_json::from_str(&text).map_err(broken)?;
            overview.swarm = Some(file.summary());
        }
        Some(_) => return Err(foreign.into()),
        None => {
            let file: ScenarioFile = serde_json::from_str(&text).map_err(broken)?;
            overview.scenarios.push(line(file, beside));
        }
    }
    Ok(())
}

fn summary(cells: Vec<MatrixCell>) -> MatrixSummary {
    let count = |status: &str| cells.iter().filter(|cell| cell.status == status).count() as u64;
    let (survives, loses) = (count("survives"), count("loses"));
    MatrixSummary { survives, loses, other: cells.len() as u64 - survives - loses, cells }
}

fn line(file: ScenarioFile, beside: &[String]) -> Line {
    let engine = match file.engine.as_str() {
        #[cfg(feature = "referee")]
        "turmoil" => EngineKind::Turmoil,
        _ => EngineKind::Leap,
    };
    let broken = file.witnesses.into_iter().map(|witness| {
        let picture = format!("{}-seed-{}.html", file.scenario, witness.seed);
        BrokenLine {
            replay: replay_command(&file.file, witness.seed, engine),
            picture: beside.contains(&picture).then_some(picture),
            invariant: witness.invariant,
            expected: witness.expected,
            seeds: witness.seeds,
            seed: witness.seed,
            what: witness.what,
        }
    });
    let length = |outage: &OutageFile| outage.until_ms.saturating_sub(outage.from_ms);
    let longest = file.outages.into_iter().rev().max_by_key(length);
    Line {
        longest_outage: longest.and_then(OutageFile::words),
        not_guaranteed: file.not_guaranteed,
        verdict: file.verdict,
        seeds: file.runs.len() as u64,
        acked: file.counts.acked,
        lost: file.counts.lost,
        simulated_ms: file.simulated_ms,
        replay: file.replay,
        broken: broken.collect(),
        scenario: file.scenario,
    }
}
