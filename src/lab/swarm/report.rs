//! Reports of a swarm: lines for a terminal, JSON and Markdown for files.
//!
//! # `reports/swarm.json`, schema 1
//! | field | what |
//! |---|---|
//! | `kind`, `schema` | `swarm`, and a number that increases when a field changes its meaning or is removed |
//! | `engine`, `first` | where it ran, and the number of the first run |
//! | `verdict` | the worst of the runs: `held`, `broke`, `stuck`, `nondeterministic` |
//! | `known` | the same for runs whose failure the file of known failures lists |
//! | `failures` | runs that broke what their contract promises: `number`, `verdict`, `invariant`, `what`, `trace`, `file` (its scenario), `replay`, `mutated_from` or null, `not_promised` (reasons), `story` (its faults) |
//! | `promises` | runs by what they did not promise: `not_promised` (reasons; none: everything must hold), `runs`, `lost` (how many of them lost an acknowledged record) |
//! | `allowances` | each invariant that some contract let break: `invariant`, `runs` (that allowed it), `broke` (of these), `first` or null |
//! | `growth` | coverage after 1, 2, 4, … runs and at the end: `runs`, `features`, `situations`, `corpus` (schedules kept) |
//! | `rare_events` | every situation there is: `name`, `about`, `runs`, `first_seed` or null |
//! | `features` | all that were reached, in words |
//! | `notes` | notes of runs, grouped by kind: `note`, `first`, `runs` |
//! | `skipped` | faults that did not strike, by reason: `why`, `faults` |
//! | `counts`, `simulated_ms` | over all runs |
//! | `runs` | by number: `number`, `mutated_from` or null, `seed`, `trace`, `verdict`, `news` (features that no earlier run reached), `faults`, `simulated_ms`, `lost` |

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::failure::{Failure, as_verdict, contract, parent, reasons};
use super::found::Found;
use super::groups::groups;
use super::known::Known;
use super::skipped::{self, Skipped};
use crate::lab::verdict::Verdict;
use crate::run::coverage::{RareEvent, Sightings};
use crate::run::outcome::{Counts, RunVerdict};
use crate::run::{EngineKind, coverage};

/// Increases when a field changes its meaning or is removed.
const SCHEMA: u32 = 1;
/// Distinguishes this file from other reports.
pub const KIND: &str = "swarm";
/// Maximum number of kinds of notes in a report.
const MAX_NOTES: usize = 20;

/// The report of a swarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwarmReport {
    kind: &'static str,
    schema: u32,
    engine: &'static str,
    first: u64,
    /// The worst verdict of the runs.
    pub verdict: Verdict,
    /// Runs that broke what their contract promises.
    pub failures: Vec<Failure>,
    /// The same that are known, and do not count.
    pub known: Vec<Failure>,
    /// Runs grouped by what they did not promise.
    pub promises: Vec<Promise>,
    /// Invariants that contracts let break, and how often they broke.
    pub allowances: Vec<Allowance>,
    /// Coverage after 1, 2, 4, … runs, and at the end.
    pub growth: Vec<Growth>,
    /// All situations, and how many runs reached each.
    pub rare_events: Vec<RareEvent>,
    /// All features reached, in words.
    pub features: Vec<String>,
    notes: Vec<NoteLine>,
    /// Faults that did not strike, by reason, the most frequent first.
    pub skipped: Vec<Skipped>,
    /// Over all runs.
    pub counts: Counts,
    simulated_ms: u64,
    /// Ordered by number.
    pub runs: Vec<SwarmRun>,
    #[serde(skip)]
    sightings: Sightings,
    #[serde(skip)]
    of_engine: EngineKind,
}

/// Runs that did not promise the same things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// Reasons why not everything must hold; if empty, everything must.
    pub not_promised: Vec<String>,
    /// Number of runs.
    pub runs: u64,
    /// How many of them lost an acknowledged record.
    pub lost: u64,
}

/// An invariant that some contract permits to break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allowance {
    pub invariant: &'static str,
    /// Runs that allowed it.
    pub runs: u64,
    /// Runs that broke it.
    pub broke: u64,
    /// The first run that broke it.
    pub first: Option<u64>,
}

/// Coverage after a number of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// Number of runs.
    pub runs: u64,
    /// Features reached.
    pub features: usize,
    /// Situations reached.
    pub situations: usize,
    /// Kept schedules.
    pub corpus: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct NoteLine {
    note: String,
    first: u64,
    runs: u64,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwarmRun {
    pub number: u64,
    /// The number of the mutated scenario, if it was not drawn.
    pub mutated_from: Option<u64>,
    pub seed: u64,
    /// Trace hash: 16 hex digits.
    pub trace: String,
    pub verdict: RunVerdict,
    /// Features that no run before it reached.
    pub news: usize,
    /// Number of faults that struck.
    pub faults: u64,
    /// Simulated duration in milliseconds.
    pub simulated_ms: u64,
    /// Acknowledged records that the final reads did not find.
    pub lost: u64,
}

impl SwarmReport {
    pub(super) fn new(engine: EngineKind, first: u64) -> Self {
        Self {
            kind: KIND,
            schema: SCHEMA,
            engine: engine.name(),
            first,
            verdict: Verdict::Held,
            failures: Vec::new(),
            known: Vec::new(),
            promises: Vec::new(),
            allowances: Vec::new(),
            growth: Vec::new(),
            rare_events: Sightings::default().table(),
            features: Vec::new(),
            notes: Vec::new(),
            skipped: Vec::new(),
            counts: Counts::default(),
            simulated_ms: 0,
            runs: Vec::new(),
            sightings: Sightings::default(),
            of_engine: engine,
        }
    }

    /// Adds the next run, and gives its failure, and whether that is known. `covered`: features
    /// reached and schedules kept by now.
    pub(super) fn add(
        &mut self,
        found: &Found,
        news: usize,
        covered: (usize, usize),
        known: &Known,
    ) -> Option<(&Failure, bool)> {
        let outcome = &found.outcome;
        let verdict = found.verdict();
        let simulated_ms = u64::try_from(outcome.simulated.as_millis()).unwrap_or(u64::MAX);
        self.counts += outcome.counts;
        self.simulated_ms += simulated_ms;
        self.sightings.add(found.number, &outcome.reached);
        self.rare_events = self.sightings.table();
        self.runs.push(SwarmRun {
            number: found.number,
            mutated_from: parent(found),
            seed: outcome.seed,
            trace: outcome.trace.to_string(),
            verdict,
            news,
            faults: outcome.counts.faults,
            simulated_ms,
            lost: outcome.counts.lost,
        });
        self.agree(found);
        self.note(found);
        skipped::add(&mut self.skipped, &outcome.notes);
        self.grow(covered);
        if as_verdict(verdict).is_expected() {
            return None;
        }
        let failure = Failure::of(found, verdict, self.of_engine);
        if known.has(&failure) {
            self.known.push(failure);
            return self.known.last().map(|failure| (failure, true));
        }
        let gravest = [self.verdict, as_verdict(verdict)];
        let code = Verdict::exit_code_of_all(gravest);
        let same = |verdict: &Verdict| verdict.exit_code() == code;
        self.verdict = gravest.into_iter().find(same).unwrap_or(self.verdict);
        self.failures.push(failure);
        self.failures.last().map(|failure| (failure, false))
    }

    /// Counts what the run promised, and whether a permitted violation happened.
    fn agree(&mut self, found: &Found) {
        let contract = contract(found);
        let not_promised = reasons(&contract);
        let lost = u64::from(found.outcome.counts.lost > 0);
        match self.promises.iter_mut().find(|promise| promise.not_promised == not_promised) {
            Some(promise) => {
                promise.runs += 1;
                promise.lost += lost;
            }
            None => self.promises.push(Promise { not_promised, runs: 1, lost }),
        }
        self.promises.sort_by(|one, other| one.not_promised.cmp(&other.not_promised));
        for invariant in contract.may_break().into_keys() {
            let at = self.allowances.iter().position(|known| known.invariant == invariant);
            let at = at.unwrap_or_else(|| {
                self.allowances.push(Allowance { invariant, runs: 0, broke: 0, first: None });
                self.allowances.len() - 1
            });
            let allowance = &mut self.allowances[at];
            allowance.runs += 1;
            if found.outcome.broken.iter().any(|broken| broken.invariant == invariant) {
                allowance.broke += 1;
                allowance.first = allowance.first.or(Some(found.number));
            }
        }
        self.allowances.sort_by_key(|allowance| allowance.invariant);
    }

    fn note(&mut self, found: &Found) {
        let kind = |note: &str| note.split(':').next().unwrap_or_default().to_owned();
        // A note of a loss starts with the partition; the rest is its kind.
        let kind = |note: &str| {
            let kind = kind(note);
            kind.split_once(" loss").map_or(kind.clone(), |(_, rest)| format!("loss{rest}"))
        };
        let said: BTreeMap<String, &String> =
            found.outcome.notes.iter().rev().map(|note| (kind(note), note)).collect();
        for (name, note) in said {
            let known = self.notes.iter().position(|known| kind(&known.note) == name);
            match known {
                Some(at) => self.notes[at].runs += 1,
                None if self.notes.len() < MAX_NOTES => {
                    self.notes.push(NoteLine { note: note.clone(), first: found.number, runs: 1 });
                }
                None => {}
            }
        }
    }

    fn grow(&mut self, (features, corpus): (usize, usize)) {
        let runs = self.runs.len() as u64;
        let situations = self.rare_events.iter().filter(|event| event.runs > 0).count();
        // The last line is current; the others are kept where the number of runs had doubled.
        if self.growth.last().is_some_and(|last| !last.runs.is_power_of_two()) {
            self.growth.pop();
        }
        self.growth.push(Growth { runs, features, situations, corpus });
    }

    /// As `reports/swarm.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The summary for a terminal.
pub fn terminal(report: &SwarmReport) -> String {
    let mut text = String::new();
    groups(&report.failures).iter().for_each(|group| group.tell(&mut text));
    if !report.known.is_empty() {
        text.push_str("known failures, which don't count:\n");
        groups(&report.known).iter().for_each(|group| group.tell(&mut text));
    }
    let runs = report.runs.len();
    let mutated = report.runs.iter().filter(|run| run.mutated_from.is_some()).count();
    let whole: u64 =
        report.promises.iter().filter(|p| p.not_promised.is_empty()).map(|p| p.runs).sum();
    let reached = report.rare_events.iter().filter(|event| event.runs > 0).count();
    let lossy: u64 = report.promises.iter().map(|promise| promise.lost).sum();
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "{}  swarm  {runs} runs ({mutated} mutated)  {} s simulated  {} faults  {reached} of {} \
         situations",
        report.verdict,
        report.simulated_ms / 1000,
        report.counts.faults,
        report.rare_events.len()
    );
    if !report.counts.transactions.is_empty() {
        let _ = writeln!(text, "transactions: {}", report.counts.transactions);
    }
    let (struck, did_not) = (report.counts.faults, report.counts.faults_skipped);
    text.push_str(&skipped::tell(struck, did_not, &report.skipped));
    let _ = writeln!(
        text,
        "contract: {whole} runs promised everything; of the others, {lossy} lost what they did \
         not promise"
    );
    for Allowance { invariant, runs, broke, .. } in &report.allowances {
        let _ = writeln!(
            text,
            "          {invariant} permitted to break in {runs} runs, broke in {broke}"
        );
    }
    text.push_str("coverage:   runs  features  situations  corpus\n");
    for Growth { runs, features, situations, corpus } in &report.growth {
        let _ = writeln!(text, "        {runs:>8}  {features:>8}  {situations:>10}  {corpus:>6}");
    }
    text.push_str("rare events by number of runs:\n");
    text.push_str(&coverage::terminal(&report.rare_events));
    text
}

/// The summary as `reports/swarm.md`.
pub fn markdown(report: &SwarmReport) -> String {
    let mut text = format!("# Swarm: {}\n\n", report.verdict);
    let mutated = report.runs.iter().filter(|run| run.mutated_from.is_some()).count();
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "{} runs from number {} on, {mutated} of them mutated from earlier ones; {} s simulated, \
         {} faults, {} of {} records acknowledged.\n",
        report.runs.len(),
        report.first,
        report.simulated_ms / 1000,
        report.counts.faults,
        report.counts.acked,
        report.counts.sent
    );
    for each in &report.failures {
        let _ = writeln!(
            text,
            "- `{}` broke in run {} (`{}`), trace `{}`: {}\n\n  ```\n  {}\n  ```\n",
            each.invariant, each.number, each.file, each.trace, each.what, each.replay
        );
    }
    text.push_str(
        "## What was promised\n\n| not promised | runs | lost records |\n|---|--:|--:|\n",
    );
    for promise in &report.promises {
        let why = match promise.not_promised.is_empty() {
            true => "everything was promised".to_owned(),
            false => promise.not_promised.join("; "),
        };
        let _ = writeln!(text, "| {why} | {} | {} |", promise.runs, promise.lost);
    }
    text.push_str("\n| permitted to break | runs | broke | first |\n|---|--:|--:|--:|\n");
    for Allowance { invariant, runs, broke, first } in &report.allowances {
        let first = first.map_or_else(|| "–".into(), |first| first.to_string());
        let _ = writeln!(text, "| `{invariant}` | {runs} | {broke} | {first} |");
    }
    text.push_str(
        "\n## Coverage\n\n| runs | features | situations | schedules kept |\n|--:|--:|--:|--:|\n",
    );
    for Growth { runs, features, situations, corpus } in &report.growth {
        let _ = writeln!(text, "| {runs} | {features} | {situations} | {corpus} |");
    }
    text.push_str("\n## Faults that did not strike\n\n| why | faults |\n|---|--:|\n");
    for Skipped { why, faults } in &report.skipped {
        let _ = writeln!(text, "| {why} | {faults} |");
    }
    text.push_str("\n## Rare events\n\n");
    text.push_str(&coverage::markdown(&report.rare_events, report.runs.len() as u64));
    if !report.notes.is_empty() {
        text.push_str("\n## Notes\n\n");
    }
    for NoteLine { note, first, runs } in &report.notes {
        let _ = writeln!(text, "- {note} ({runs} runs, first {first})");
    }
    text
}
