//! Reports of scenarios: lines for a terminal, JSON and Markdown files.
//!
//! Reports contain simulated time only, so reports of the same runs are equal byte for byte.
//!
//! # `reports/<scenario>.json`, schema 1
//! | field | what |
//! |---|---|
//! | `schema` | this number; incremented when a field changes its meaning or is removed |
//! | `scenario`, `file`, `story` | the scenario's name, its file as it was named, its first comment |
//! | `engine` | `leap` or `turmoil` |
//! | `expect` | `holds`, `breaks`, `allows`: lists of invariants, `*` for all others |
//! | `verdict` | `held`, `broke-as-expected`, `broke`, `did-not-break`, `stuck`, `nondeterministic`, `untested` |
//! | `replay` | the command that replays the worst run, as in a checkout of this repository (or the test), or null |
//! | `differs` | the seed whose runs differed, with both trace hashes; or null |
//! | `untested` | why the runs tested nothing, if none did; or null |
//! | `witnesses` | the gravest first, the first run that broke each invariant: `invariant`, `at_ms`, `what`, `seed`, `trace`, `seeds` (how many broke it), `expected` (`holds`, `breaks` or `open`), `story` (its faults) |
//! | `unbroken` | invariants that were expected to break and did not |
//! | `notes` | notes about runs that are not failures: `note`, `first_seed`, `runs` |
//! | `not_guaranteed` | ways in which the settings let acknowledged records be lost, whether or not these runs did |
//! | `counts` | over all runs: faults, records, elections |
//! | `rare_events` | every known situation: `name`, `about`, `runs` (how many reached it), `first_seed` or null |
//! | `outages` | by partition and `kind` (`not-writable`: producers tried, and no write was acknowledged; `no-leader`), if one took a second or more: `partition`, `kind`, `from_ms`, `until_ms` and `seed` of the longest, `outages` (how many), `total_ms` |
//! | `disks` | by broker, over all runs: pages found in memory and waited for, evictions, read-ahead, write-back, syncs; stalls and throttled writes, and how long they took |
//! | `simulated_ms` | over all runs |
//! | `runs` | by seed: `seed`, `trace`, `verdict` (as above, of this run), `simulated_ms`, `lost` (acknowledged records that the final reads did not find), `longest_outage` (`partition`, `kind`, `from_ms`, `until_ms`, or null) |

#![warn(missing_docs, reason = "in the prelude")]

mod markdown;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;

use serde::Serialize;

pub use markdown::summary;
pub use text::{failure, failure_with_story, line};

use super::swarm::Contract;
use super::verdict::{OutageLine, RunLine, Tally, Verdict, Witness};
use crate::base::{Seed, thousands};
use crate::run::coverage::RareEvent;
use crate::run::disks::DiskLine;
use crate::run::outcome::{Counts, gravity};
use crate::run::{EngineKind, LEFT_OUT};
use crate::scenario::{Expect, Plan, Scenario};

/// Incremented when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;
/// This program in a checkout of its repository.
const BY_CARGO: &str = "cargo run --release --";

/// The report of one scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    schema: u32,
    /// The scenario's name.
    pub scenario: String,
    file: String,
    story: String,
    engine: &'static str,
    expect: Expect,
    /// The scenario's verdict.
    pub verdict: Verdict,
    replay: Option<String>,
    differs: Option<String>,
    untested: Option<String>,
    /// The first run, by seed, that broke each invariant; the gravest violation first.
    pub witnesses: Vec<Witness>,
    unbroken: Vec<String>,
    notes: Vec<NoteLine>,
    /// Ways in which the settings let acknowledged records be lost under faults of these runs.
    not_guaranteed: Vec<String>,
    /// Over all runs.
    pub counts: Counts,
    /// Every known situation, and the number of runs that reached it.
    pub rare_events: Vec<RareEvent>,
    /// Partitions that could not be used for a second or more, over all runs.
    pub outages: Vec<OutageLine>,
    /// Each broker's page cache and disk, over all runs.
    pub disks: Vec<DiskLine>,
    simulated_ms: u64,
    /// By seed.
    pub runs: Vec<RunLine>,
    #[serde(skip)]
    worst: Option<Witness>,
    #[serde(skip)]
    to_replay: Option<u64>,
    /// The replay command for the terminal.
    #[serde(skip)]
    hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct NoteLine {
    note: String,
    first_seed: u64,
    runs: u64,
}

impl Report {
    /// The worst witness, if an invariant broke that the scenario names.
    pub fn worst(&self) -> Option<&Witness> {
        self.worst.as_ref()
    }

    /// The report of a scenario's tally.
    pub fn new(scenario: &Scenario, engine: EngineKind, tally: Tally) -> Self {
        let worst = tally.worst().cloned();
        let verdict = tally.verdict();
        let differs = tally.differs.map(|(seed, one, other)| {
            let part =
                tally.difference.as_ref().map(|part| format!("; {part}")).unwrap_or_default();
            format!("seed {seed} gave trace {one} and then trace {other}{part}")
        });
        let seed = match (&tally.differs, &worst) {
            (Some((seed, ..)), _) => Some(*seed),
            (None, worst) => worst.as_ref().map(|witness| witness.seed),
        };
        let unbroken = tally.unbroken().into_iter().map(str::to_owned).collect();
        let mut witnesses: Vec<_> = tally.witnesses.into_values().collect();
        witnesses.sort_by_key(|witness| gravity(&scenario.expect, &witness.broken.invariant));
        let replay = seed.map(|seed| replay_command(&scenario.file, seed, engine));
        Self {
            schema: SCHEMA,
            hint: replay.as_deref().map(as_called),
            scenario: scenario.name.clone(),
            file: scenario.file.clone(),
            story: scenario.story.clone(),
            engine: engine.name(),
            expect: scenario.expect.clone(),
            verdict,
            untested: tally.untested.clone().filter(|_| verdict == Verdict::Untested),
            replay,
            unbroken,
            witnesses,
            notes: tally
                .notes
                .into_values()
                .map(|(note, first_seed, runs)| NoteLine { note, first_seed, runs })
                .collect(),
            not_guaranteed: not_guaranteed(scenario, tally.runs.iter().map(|run| run.seed)),
            counts: tally.counts,
            rare_events: tally.sightings.table(),
            outages: tally.outages.into_values().collect(),
            disks: tally.disks,
            simulated_ms: u64::try_from(tally.simulated.as_millis()).unwrap_or(u64::MAX),
            runs: tally.runs,
            worst,
            to_replay: seed,
            differs,
        }
    }

    /// Replaces the replay command by that of a test.
    pub(crate) fn replayed_in(mut self, test: Option<&str>) -> Self {
        // A test's thread has its name only if tests run side by side, so files do without it.
        self.replay = self.to_replay.map(|seed| test_command(seed, None));
        self.hint = self.to_replay.map(|seed| test_command(seed, test));
        self
    }

    /// The seed to draw: the first unexpected failure.
    pub fn to_draw(&self) -> Option<u64> {
        let unexpected = |witness: &&Witness| witness.expected == "holds";
        self.worst.as_ref().filter(unexpected).map(|witness| witness.seed)
    }

    /// Faults that the engine skipped, each with its reason.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(|note| note.note.as_str()).filter(|note| note.starts_with(LEFT_OUT))
    }

    /// What a verdict of `held` is worth, where the settings do not guarantee it.
    pub fn reservation(&self) -> Option<String> {
        let held = self.verdict == Verdict::Held && !self.not_guaranteed.is_empty();
        let runs = self.runs.len();
        held.then(|| {
            let but = no_guarantee(&self.not_guaranteed);
            format!("held in {runs} of {runs} seeds; {but}")
        })
    }

    /// What the runs cost clients: lost records first, then the longest outage. `None` if nothing.
    pub fn damage(&self) -> Option<String> {
        let Counts { lost, acked, .. } = self.counts;
        let lost = (lost > 0).then(|| lost_records(lost, acked));
        let outage = self
            .longest_outage()
            .map(|line| format!("longest outage: {} (seed {})", line.longest, line.seed));
        let parts: Vec<_> = lost.into_iter().chain(outage).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The longest outage of all partitions.
    fn longest_outage(&self) -> Option<&OutageLine> {
        // Of equals the first partition's.
        self.outages.iter().rev().max_by_key(|line| line.longest.length_ms())
    }

    /// As `reports/<scenario>.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Over all runs.
    pub fn simulated_ms(&self) -> u64 {
        self.simulated_ms
    }

    fn simulated_seconds(&self) -> u64 {
        self.simulated_ms / 1000
    }
}

/// `1,902 of 3,020 acknowledged records`.
pub(crate) fn share_lost(lost: u64, acked: u64) -> String {
    format!("{} of {} acknowledged records", thousands(lost), thousands(acked))
}

/// `1,902 of 3,020 acknowledged records were lost`.
pub(crate) fn lost_records(lost: u64, acked: u64) -> String {
    let was = if lost == 1 { "was" } else { "were" };
    format!("{} {was} lost", share_lost(lost, acked))
}

/// What a verdict of `held` is not worth, for these reasons.
pub(crate) fn no_guarantee(reasons: &[String]) -> String {
    format!("these settings do not guarantee it ({})", reasons.join("; "))
}

/// The ways in which a scenario lets acknowledged records be lost under the faults of these seeds.
pub(crate) fn not_guaranteed(
    scenario: &Scenario,
    seeds: impl IntoIterator<Item = u64>,
) -> Vec<String> {
    let losses = seeds.into_iter().flat_map(|seed| {
        let plan = Plan::draw(scenario, Seed(seed));
        Contract::of(scenario, &plan.faults).losses
    });
    let losses: BTreeSet<_> = losses.collect();
    losses.iter().map(ToString::to_string).collect()
}

/// The command that replays one run, for files: it does not depend on how this program was called.
pub fn replay_command(file: &str, seed: u64, engine: EngineKind) -> String {
    let engine = engine.flag();
    format!("{BY_CARGO} replay {file} --seed {seed}{engine}")
}

/// The same command for a terminal: it begins with this program as the user called it.
pub fn as_called(command: &str) -> String {
    as_called_by(&program(), command)
}

fn as_called_by(program: &str, command: &str) -> String {
    let arguments = command.strip_prefix(BY_CARGO);
    arguments.map_or_else(|| command.to_owned(), |arguments| format!("{program}{arguments}"))
}

/// The command that runs one seed of a test again. The test harness names a test's thread after the
/// test, unless it runs them one by one.
fn test_command(seed: u64, test: Option<&str>) -> String {
    let test = test.filter(|name| *name != "main").map_or(String::new(), |name| format!(" {name}"));
    format!("BROKERQUAKE_SEED={seed} cargo test{test}")
}

/// This program as the user called it: by its path, or through cargo.
fn program() -> String {
    called(std::env::args().next().as_deref(), std::env::var_os("CARGO").is_some())
}

fn called(path: Option<&str>, by_cargo: bool) -> String {
    let own = |path: &&str| {
        std::path::Path::new(path).file_stem().is_some_and(|name| name == "brokerquake")
    };
    match path.filter(own) {
        Some(path) if !by_cargo && path.contains(char::is_whitespace) => format!("'{path}'"),
        Some(path) if !by_cargo => path.to_owned(),
        // Also in tests, whose binary can't replay.
        _ => BY_CARGO.to_owned(),
    }
}
