//! What came of runs: one verdict per run, and one per scenario over all its seeds.

use crate::check::is_liveness;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::disks::DiskLine;
use super::reached::{Reached, Sightings};
use super::scenario::{Expect, Expectation};
use crate::base::Instant;
use crate::check;
use crate::sim::TraceHash;

/// The laboratory's own: the cluster came up and created its topic.
pub const STARTS: &str = "starts";
/// The laboratory's own: no code panicked.
pub const PANICS: &str = "panics";
/// The laboratory's own: programs that take part came to their end.
pub const ENDS: &str = "ends";
/// The laboratory's own: no program ended with an error.
pub const SUCCEEDS: &str = "succeeds";

/// An invariant that a run broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its name.
    pub invariant: String,
    /// When it was seen, in simulated time.
    pub at_ms: u64,
    /// The witness, in one sentence.
    pub what: String,
}

impl Broken {
    /// An invariant broken at a moment.
    pub fn new(invariant: &str, at: Instant, what: impl Into<String>) -> Self {
        Self { invariant: invariant.into(), at_ms: at.0 / 1_000_000, what: what.into() }
    }
}

/// How often things happened in a run, or in all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Faults that struck.
    pub faults: u64,
    /// Faults that were due and found nobody to strike.
    pub faults_skipped: u64,
    /// Records that producers tried to send.
    pub sent: u64,
    /// Of these: acknowledged.
    pub acked: u64,
    /// Of these: refused.
    pub refused: u64,
    /// Of these: nobody knows.
    pub unknown: u64,
    /// Of the acknowledged: those that the final reads did not find.
    pub lost: u64,
    /// Records that consumers read, the final reads included.
    pub read: u64,
    /// Elections of a partition's leader, as the controller committed them.
    pub elections: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.faults += other.faults;
        self.faults_skipped += other.faults_skipped;
        self.sent += other.sent;
        self.acked += other.acked;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.lost += other.lost;
        self.read += other.read;
        self.elections += other.elections;
    }
}

/// Everything that is kept of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Hash of everything that happened.
    pub trace: TraceHash,
    /// How long it took, in simulated time.
    pub simulated: Duration,
    /// The first violation of each invariant that broke, in the order in which they were found.
    pub broken: Vec<Broken>,
    /// What is worth saying though nothing is wrong with it.
    pub notes: Vec<String>,
    /// The faults, as they struck.
    pub story: Vec<String>,
    /// How often things happened.
    pub counts: Counts,
    /// What each broker's disk did.
    pub disks: Vec<DiskLine>,
    /// A second run of the same seed went another way: its hash.
    pub differs: Option<TraceHash>,
    /// The situations that it came to, and how.
    pub reached: Reached,
}

impl Outcome {
    /// What broke against expectation, or else as expected; a loss before a wait.
    pub fn gravest(&self, expect: &Expect) -> Option<&Broken> {
        let of = |broken: &Broken| expected(expect, &broken.invariant);
        let spoken_of = self.broken.iter().filter(|broken| of(broken) != Expectation::Open);
        // Of equals the first: the others may be its consequences.
        spoken_of
            .min_by_key(|broken| (of(broken) != Expectation::Holds, is_liveness(&broken.invariant)))
    }

    /// The run's own verdict.
    pub fn verdict(&self, expect: &Expect) -> RunVerdict {
        let unexpected =
            |broken: &&Broken| expected(expect, &broken.invariant) == Expectation::Holds;
        let live = |broken: &Broken| !is_stuck(broken);
        if self.differs.is_some() {
            RunVerdict::Nondeterministic
        } else if self.broken.iter().filter(unexpected).any(live) {
            RunVerdict::Broke
        } else if self.broken.iter().any(|broken| unexpected(&broken)) {
            RunVerdict::Stuck
        } else if self
            .broken
            .iter()
            .any(|broken| expected(expect, &broken.invariant) == Expectation::Breaks)
        {
            RunVerdict::BrokeAsExpected
        } else {
            RunVerdict::Held
        }
    }
}

/// Whether nothing went on, which is not to say that something went wrong.
fn is_stuck(broken: &Broken) -> bool {
    [STARTS, ENDS].contains(&broken.invariant.as_str()) || check::is_liveness(&broken.invariant)
}

/// What a scenario says of an invariant; of the laboratory's own it can't say anything.
fn expected(expect: &Expect, invariant: &str) -> Expectation {
    let own = [STARTS, PANICS, ENDS, SUCCEEDS].contains(&invariant);
    if own { Expectation::Holds } else { expect.of(invariant) }
}

/// What came of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunVerdict {
    /// Everything that must hold held, and nothing broke that was expected to.
    Held,
    /// An invariant broke that the configuration does not promise.
    BrokeAsExpected,
    /// An invariant broke that must hold.
    Broke,
    /// Nothing went wrong, but something that must go on did not.
    Stuck,
    /// The same seed went two ways.
    Nondeterministic,
}

/// What came of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No seed broke anything.
    Held,
    /// What was to break broke, and nothing else.
    BrokeAsExpected,
    /// Something broke that must hold.
    Broke,
    /// No seed broke what was to break.
    DidNotBreak,
    /// Something that must go on did not.
    Stuck,
    /// A seed went two ways.
    Nondeterministic,
}

impl Verdict {
    /// Whether it is what the scenario expects.
    pub fn is_expected(self) -> bool {
        matches!(self, Self::Held | Self::BrokeAsExpected)
    }

    /// The exit code of a command that ends with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Held | Self::BrokeAsExpected => 0,
            Self::Broke | Self::DidNotBreak => 1,
            Self::Stuck => 3,
            Self::Nondeterministic => 4,
        }
    }

    /// The exit code over several scenarios: the gravest of theirs.
    pub fn exit_code_of_all(verdicts: impl IntoIterator<Item = Self>) -> u8 {
        // Nothing that a run says can be trusted once a seed goes two ways; a loss outweighs a wait.
        let gravity = |code: &u8| [0, 3, 1, 4].iter().position(|other| other == code);
        verdicts.into_iter().map(Self::exit_code).max_by_key(gravity).unwrap_or(0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::BrokeAsExpected => "broke as expected",
            Self::Broke => "BROKE",
            Self::DidNotBreak => "did not break",
            Self::Stuck => "stuck",
            Self::Nondeterministic => "nondeterministic",
        })
    }
}

/// One run in a long list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// Its seed.
    pub seed: u64,
    /// Hash of everything that happened: 16 hex digits.
    pub trace: String,
    /// What came of it.
    pub verdict: RunVerdict,
    /// How long it took, in simulated milliseconds.
    pub simulated_ms: u64,
    /// Acknowledged records that its final reads did not find.
    pub lost: u64,
}

/// The first run, by seed, that broke an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// What broke.
    #[serde(flatten)]
    pub broken: Broken,
    /// In which run.
    pub seed: u64,
    /// That run's trace hash.
    pub trace: String,
    /// How many seeds broke this invariant.
    pub seeds: u64,
    /// Whether the scenario expects it: `holds`, `breaks` or `open`.
    pub expected: &'static str,
    /// The faults of that run, as they struck.
    pub story: Vec<String>,
}

/// All runs of one scenario, added in the order of their seeds. Details are kept of first
/// witnesses only, so that a sweep of any length fits into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    expect: Expect,
    /// One line per run, by seed.
    pub runs: Vec<RunLine>,
    /// By invariant.
    pub witnesses: BTreeMap<String, Witness>,
    /// What is worth saying, by its kind: the first, with its seed, and how many runs said it.
    pub notes: BTreeMap<String, (String, u64, u64)>,
    /// Over all runs.
    pub counts: Counts,
    /// Each broker's disk, over all runs.
    pub disks: Vec<DiskLine>,
    /// Over all runs, in simulated time.
    pub simulated: Duration,
    /// The first seed that went two ways, with both hashes.
    pub differs: Option<(u64, TraceHash, TraceHash)>,
    /// How many runs reached which situation.
    pub sightings: Sightings,
}

/// Most kinds of notes that a report lists.
const MAX_NOTES: usize = 20;

impl Tally {
    /// No runs yet.
    pub fn new(expect: &Expect) -> Self {
        Self {
            expect: expect.clone(),
            runs: Vec::new(),
            witnesses: BTreeMap::new(),
            notes: BTreeMap::new(),
            counts: Counts::default(),
            disks: Vec::new(),
            simulated: Duration::ZERO,
            differs: None,
            sightings: Sightings::default(),
        }
    }

    /// Adds the run with the next seed.
    pub fn add(&mut self, outcome: Outcome) {
        let verdict = outcome.verdict(&self.expect);
        self.sightings.add(outcome.seed, &outcome.reached);
        self.counts += outcome.counts;
        self.simulated += outcome.simulated;
        for disk in &outcome.disks {
            match self.disks.iter_mut().find(|known| known.broker == disk.broker) {
                Some(known) => *known += disk,
                None => self.disks.push(disk.clone()),
            }
        }
        if let (Some(other), None) = (outcome.differs, &self.differs) {
            self.differs = Some((outcome.seed, outcome.trace, other));
        }
        for note in outcome.notes {
            // A note tells of one record; what repeats is its kind, which stands before the colon.
            let kind = note.split(':').next().unwrap_or_default().to_owned();
            if self.notes.len() < MAX_NOTES || self.notes.contains_key(&kind) {
                self.notes.entry(kind).or_insert((note, outcome.seed, 0)).2 += 1;
            }
        }
        for broken in outcome.broken {
            if let Some(witness) = self.witnesses.get_mut(&broken.invariant) {
                witness.seeds += 1;
                continue;
            }
            let expected = match expected(&self.expect, &broken.invariant) {
                Expectation::Holds => "holds",
                Expectation::Breaks => "breaks",
                Expectation::Open => "open",
            };
            let name = broken.invariant.clone();
            let witness = Witness {
                broken,
                seed: outcome.seed,
                trace: outcome.trace.to_string(),
                seeds: 1,
                expected,
                story: outcome.story.clone(),
            };
            self.witnesses.insert(name, witness);
        }
        let simulated_ms = u64::try_from(outcome.simulated.as_millis()).unwrap_or(u64::MAX);
        let trace = outcome.trace.to_string();
        let (seed, lost) = (outcome.seed, outcome.counts.lost);
        self.runs.push(RunLine { seed, trace, verdict, simulated_ms, lost });
    }

    /// What came of the scenario so far.
    pub fn verdict(&self) -> Verdict {
        let any = |verdict| self.runs.iter().any(|run| run.verdict == verdict);
        if any(RunVerdict::Nondeterministic) {
            Verdict::Nondeterministic
        } else if any(RunVerdict::Broke) {
            Verdict::Broke
        } else if any(RunVerdict::Stuck) {
            Verdict::Stuck
        } else if !self.unbroken().is_empty() {
            Verdict::DidNotBreak
        } else if self.expect.breaks.is_empty() {
            Verdict::Held
        } else {
            Verdict::BrokeAsExpected
        }
    }

    /// What was to break and did not.
    pub fn unbroken(&self) -> Vec<&str> {
        let names = self.expect.breaks.iter().map(String::as_str);
        names.filter(|name| !self.witnesses.contains_key(*name)).collect()
    }

    /// The gravest witness: of what broke against expectation, or else as expected.
    pub fn worst(&self) -> Option<&Witness> {
        let gravity = |witness: &&Witness| {
            let stuck = is_stuck(&witness.broken);
            (witness.expected != "holds", witness.expected != "breaks", stuck, witness.seed)
        };
        self.witnesses.values().filter(|witness| witness.expected != "open").min_by_key(gravity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn outcome(seed: u64, broken: &[&str]) -> Outcome {
        let broken = broken.iter().map(|name| Broken::new(name, Instant::from_secs(9), "it did"));
        Outcome {
            seed,
            trace: TraceHash(seed),
            simulated: Duration::from_secs(60),
            broken: broken.collect(),
            notes: Vec::new(),
            story: Vec::new(),
            counts: Counts::default(),
            disks: Vec::new(),
            differs: None,
            reached: Reached::default(),
        }
    }

    fn verdict(expect: &Expect, runs: &[&[&str]]) -> Verdict {
        let mut tally = Tally::new(expect);
        for (seed, broken) in (0..).zip(runs) {
            tally.add(outcome(seed, broken));
        }
        tally.verdict()
    }

    fn holds() -> Expect {
        Expect { holds: vec!["*".into()], ..Expect::default() }
    }

    fn breaks() -> Expect {
        Expect { breaks: vec!["acked-write-lost".into()], ..holds() }
    }

    #[test]
    fn a_scenario_that_must_hold_is_judged_by_its_worst_seed() {
        assert_eq!(verdict(&holds(), &[&[], &[]]), Verdict::Held);
        assert_eq!(verdict(&holds(), &[&[], &["converges"]]), Verdict::Stuck);
        assert_eq!(verdict(&holds(), &[&["converges"], &["duplicate"]]), Verdict::Broke);
        assert_eq!(verdict(&holds(), &[&[STARTS]]), Verdict::Stuck);
        assert_eq!(verdict(&holds(), &[&[PANICS]]), Verdict::Broke);
    }

    #[test]
    fn an_expected_break_needs_one_seed_that_shows_it_and_none_that_breaks_more() {
        assert_eq!(verdict(&breaks(), &[&[], &[]]), Verdict::DidNotBreak);
        assert_eq!(verdict(&breaks(), &[&[], &["acked-write-lost"]]), Verdict::BrokeAsExpected);
        let more: &[&[&str]] = &[&["acked-write-lost", "duplicate"]];
        assert_eq!(verdict(&breaks(), more), Verdict::Broke);
        let allows = Expect { allows: vec!["duplicate".into()], ..breaks() };
        assert_eq!(verdict(&allows, more), Verdict::BrokeAsExpected);
        assert_eq!(verdict(&allows, &[&["duplicate"]]), Verdict::DidNotBreak);
    }

    #[test]
    fn what_somebody_checks_besides_is_expected_as_an_invariant_is() {
        let own: &[&[&str]] = &[&[], &["orders-add-up"]];
        assert_eq!(verdict(&holds(), own), Verdict::Broke);
        let breaks = Expect { breaks: vec!["orders-add-up".into()], ..holds() };
        assert_eq!(verdict(&breaks, own), Verdict::BrokeAsExpected);
        assert_eq!(verdict(&breaks, &[&[ENDS]]), Verdict::Stuck);
        assert_eq!(verdict(&breaks, &[&[SUCCEEDS]]), Verdict::Broke);
    }

    #[test]
    fn a_panic_can_not_be_allowed() {
        let open = Expect { holds: vec!["duplicate".into()], ..Expect::default() };
        assert_eq!(verdict(&open, &[&["converges"]]), Verdict::Held);
        assert_eq!(verdict(&open, &[&[PANICS]]), Verdict::Broke);
    }

    #[test]
    fn two_ways_of_one_seed_outweigh_everything() {
        let mut tally = Tally::new(&holds());
        tally.add(Outcome { differs: Some(TraceHash(1)), ..outcome(0, &["duplicate"]) });
        assert_eq!(tally.verdict(), Verdict::Nondeterministic);
        let all = [Verdict::Held, Verdict::Broke, Verdict::Stuck, Verdict::Nondeterministic];
        assert_eq!(Verdict::exit_code_of_all(all), 4);
        assert_eq!(Verdict::exit_code_of_all([Verdict::Stuck, Verdict::DidNotBreak]), 1);
        assert_eq!(Verdict::exit_code_of_all([Verdict::Held, Verdict::Stuck]), 3);
        assert_eq!(Verdict::exit_code_of_all([]), 0);
    }

    #[test]
    fn the_first_witness_of_each_invariant_is_kept_and_the_others_are_counted() {
        let mut tally = Tally::new(&breaks());
        for seed in 0..5 {
            let broken: &[&str] = if seed < 2 { &[] } else { &["acked-write-lost"] };
            tally.add(outcome(seed, broken));
        }
        let witness = tally.worst().unwrap();
        assert_eq!((witness.seed, witness.seeds, witness.expected), (2, 3, "breaks"));
    }
}
