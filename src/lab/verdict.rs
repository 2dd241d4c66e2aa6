//! The verdict of a scenario over all its seeds, and the tally from which it follows.

#![warn(missing_docs, reason = "in the prelude")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::base::TopicPartition;
use crate::check::{Outage, OutageKind};
use crate::run::coverage::Sightings;
use crate::run::disks::DiskLine;
use crate::run::outcome::{Broken, Counts, Gravity, Outcome, RunVerdict, expected, gravity};
use crate::scenario::{Expect, Expectation};
use crate::sim::TraceHash;

/// The verdict of a scenario over all its seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No seed broke an invariant.
    Held,
    /// The expected invariants broke, and no others.
    BrokeAsExpected,
    /// An invariant broke that must hold.
    Broke,
    /// No seed broke the invariant that was expected to break.
    DidNotBreak,
    /// A run made no progress.
    Stuck,
    /// Two runs of one seed differed.
    Nondeterministic,
    /// Nothing broke, but no run tested anything.
    Untested,
}

impl Verdict {
    /// Whether it is what the scenario expects.
    pub fn is_expected(self) -> bool {
        matches!(self, Self::Held | Self::BrokeAsExpected)
    }

    /// The exit code of a command with this verdict.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Held | Self::BrokeAsExpected => 0,
            Self::Broke | Self::DidNotBreak => 1,
            Self::Untested => 2,
            Self::Stuck => 3,
            Self::Nondeterministic => 4,
        }
    }

    /// The exit code for several scenarios: the worst of theirs.
    pub fn exit_code_of_all(verdicts: impl IntoIterator<Item = Self>) -> u8 {
        Self::worst_exit_code(verdicts.into_iter().map(Self::exit_code))
    }

    /// The worst of several exit codes.
    pub fn worst_exit_code(codes: impl IntoIterator<Item = u8>) -> u8 {
        // Nondeterminism makes every result doubtful; a broken invariant outweighs a stuck run.
        let gravity = |code: &u8| [0, 2, 3, 1, 4].iter().position(|other| other == code);
        codes.into_iter().max_by_key(gravity).unwrap_or(0)
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
            Self::Untested => "nothing tested",
        })
    }
}

/// The summary of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// Its seed.
    pub seed: u64,
    /// The trace hash: 16 hex digits.
    pub trace: String,
    /// The run's verdict.
    pub verdict: RunVerdict,
    /// Length in simulated milliseconds.
    pub simulated_ms: u64,
    /// Acknowledged records that the final reads did not find.
    pub lost: u64,
    /// Records that consumers found at more than one offset.
    #[serde(skip)]
    pub doubled: u64,
    /// Records that consumers got although their transactions were not committed.
    #[serde(skip)]
    pub uncommitted: u64,
    /// The longest time of at least a second in which a partition had no leader, or acknowledged no
    /// write though producers tried.
    pub longest_outage: Option<Outage>,
}

/// The outages of one partition, over all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutageLine {
    /// The longest one.
    #[serde(flatten)]
    pub longest: Outage,
    /// The run that had it.
    pub seed: u64,
    /// How many there were of at least a second.
    pub outages: u64,
    /// How long all of them took, in simulated milliseconds.
    pub total_ms: u64,
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

/// All runs of one scenario, added in the order of their seeds. It keeps details of first witnesses
/// only, so that a sweep of any length fits into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    expect: Expect,
    /// One line per run, by seed.
    pub runs: Vec<RunLine>,
    /// By invariant.
    pub witnesses: BTreeMap<String, Witness>,
    /// Notes by kind: the first one, its seed, and the number of runs that had one.
    pub notes: BTreeMap<String, (String, u64, u64)>,
    /// Over all runs.
    pub counts: Counts,
    /// By partition and kind.
    pub outages: BTreeMap<(TopicPartition, OutageKind), OutageLine>,
    /// Each broker's disk, over all runs.
    pub disks: Vec<DiskLine>,
    /// Over all runs, in simulated time.
    pub simulated: Duration,
    /// The first seed whose runs differed, with both trace hashes.
    pub differs: Option<(u64, TraceHash, TraceHash)>,
    /// The first event that differed then, in words.
    pub difference: Option<String>,
    /// The number of runs that reached each situation.
    pub sightings: Sightings,
    /// Why the first run that tested nothing did not.
    pub untested: Option<String>,
    /// The gravest violation of the first run that had such a one.
    gravest: Option<(Gravity, String)>,
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
            outages: BTreeMap::new(),
            disks: Vec::new(),
            simulated: Duration::ZERO,
            differs: None,
            difference: None,
            sightings: Sightings::default(),
            untested: None,
            gravest: None,
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
        if self.untested.is_none() {
            self.untested.clone_from(&outcome.untested);
        }
        if let (Some(other), None) = (outcome.differs, &self.differs) {
            self.differs = Some((outcome.seed, outcome.trace, other));
            self.difference.clone_from(&outcome.difference);
        }
        let gravest = self.gravest.as_ref().map(|(gravity, _)| *gravity);
        if let Some(broken) = outcome.gravest(&self.expect) {
            let gravity = gravity(&self.expect, &broken.invariant);
            if gravest.is_none_or(|known| gravity < known) {
                self.gravest = Some((gravity, broken.invariant.clone()));
            }
        }
        for note in outcome.notes {
            // A note is about one record; its kind, which repeats, ends at the colon.
            let kind = note.split(':').next().unwrap_or_default().to_owned();
            if self.notes.len() < MAX_NOTES || self.notes.contains_key(&kind) {
                self.notes.entry(kind).or_insert((note, outcome.seed, 0)).2 += 1;
            }
        }
        let longest_outage =
            outcome.outages.iter().max_by_key(|outage| outage.length_ms()).cloned();
        self.outages(outcome.seed, outcome.outages);
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
        let (seed, Counts { lost, doubled, uncommitted, .. }) = (outcome.seed, outcome.counts);
        self.runs.push(RunLine {
            seed,
            trace,
            verdict,
            simulated_ms,
            lost,
            doubled,
            uncommitted,
            longest_outage,
        });
    }

    fn outages(&mut self, seed: u64, outages: Vec<Outage>) {
        for outage in outages {
            let length = outage.length_ms();
            let new = || OutageLine { longest: outage.clone(), seed, outages: 0, total_ms: 0 };
            let key = (outage.partition.clone(), outage.kind);
            let line = self.outages.entry(key).or_insert_with(new);
            line.outages += 1;
            line.total_ms += length;
            if length > line.longest.length_ms() {
                (line.longest, line.seed) = (outage, seed);
            }
        }
    }

    /// The scenario's verdict so far.
    pub fn verdict(&self) -> Verdict {
        let any = |verdict| self.runs.iter().any(|run| run.verdict == verdict);
        if any(RunVerdict::Nondeterministic) {
            Verdict::Nondeterministic
        } else if any(RunVerdict::Broke) {
            Verdict::Broke
        } else if any(RunVerdict::Stuck) {
            Verdict::Stuck
        } else if self.tested_nothing() {
            Verdict::Untested
        } else if !self.unbroken().is_empty() {
            Verdict::DidNotBreak
        } else if self.expect.breaks.is_empty() {
            Verdict::Held
        } else {
            Verdict::BrokeAsExpected
        }
    }

    /// Whether there are runs, and none of them tested anything.
    fn tested_nothing(&self) -> bool {
        let mut runs = self.runs.iter();
        !self.runs.is_empty() && runs.all(|run| run.verdict == RunVerdict::Untested)
    }

    /// Invariants that were expected to break and did not.
    pub fn unbroken(&self) -> Vec<&str> {
        let names = self.expect.breaks.iter().map(String::as_str);
        names.filter(|name| !self.witnesses.contains_key(*name)).collect()
    }

    /// The witness of the gravest violation, in the first run that had one as grave: `shrink` and the
    /// picture of that run are about the same.
    pub fn worst(&self) -> Option<&Witness> {
        let (_, name) = self.gravest.as_ref()?;
        self.witnesses.get(name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::run::coverage::Reached;
    use crate::run::outcome::{ENDS, PANICS, STARTS, SUCCEEDS};

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
            outages: Vec::new(),
            disks: Vec::new(),
            differs: None,
            untested: None,
            difference: None,
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
    fn holding_scenario_gets_the_verdict_of_its_worst_seed() {
        assert_eq!(verdict(&holds(), &[&[], &[]]), Verdict::Held);
        assert_eq!(verdict(&holds(), &[&[], &["converges"]]), Verdict::Stuck);
        assert_eq!(verdict(&holds(), &[&["converges"], &["duplicate"]]), Verdict::Broke);
        assert_eq!(verdict(&holds(), &[&[STARTS]]), Verdict::Stuck);
        assert_eq!(verdict(&holds(), &[&[PANICS]]), Verdict::Broke);
    }

    #[test]
    fn expected_break_needs_one_seed_and_no_other_break() {
        assert_eq!(verdict(&breaks(), &[&[], &[]]), Verdict::DidNotBreak);
        assert_eq!(verdict(&breaks(), &[&[], &["acked-write-lost"]]), Verdict::BrokeAsExpected);
        let more: &[&[&str]] = &[&["acked-write-lost", "duplicate"]];
        assert_eq!(verdict(&breaks(), more), Verdict::Broke);
        let allows = Expect { allows: vec!["duplicate".into()], ..breaks() };
        assert_eq!(verdict(&allows, more), Verdict::BrokeAsExpected);
        assert_eq!(verdict(&allows, &[&["duplicate"]]), Verdict::DidNotBreak);
    }

    #[test]
    fn custom_checks_are_expected_like_invariants() {
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
    fn worst_witness_is_what_the_picture_of_its_run_is_about() {
        let runs: [&[&str]; 4] = [
            &["converges"],
            &["inconsistent-offset", "duplicate"],
            &["inconsistent-offset", "acked-write-lost", "converges"],
            &["acked-write-unseen", "acked-write-lost"],
        ];
        let mut tally = Tally::new(&holds());
        let worst: Vec<_> = (0..)
            .zip(runs)
            .map(|(seed, broken)| {
                let outcome = outcome(seed, broken);
                let own = outcome.gravest(&holds()).map(|broken| broken.invariant.clone());
                tally.add(outcome);
                let worst = tally.worst().unwrap();
                assert!(worst.seed < seed || Some(&worst.broken.invariant) == own.as_ref());
                (worst.seed, worst.broken.invariant.clone())
            })
            .collect();
        let names = ["converges", "inconsistent-offset", "acked-write-lost", "acked-write-lost"];
        let seeds = [0, 1, 2, 2];
        assert_eq!(worst, seeds.into_iter().zip(names.map(str::to_owned)).collect::<Vec<_>>());
    }

    #[test]
    fn longest_outage_of_each_partition_is_kept_with_its_seed() {
        let outage = |partition, from_ms, until_ms| Outage {
            partition: TopicPartition::new("orders", partition),
            kind: OutageKind::NotWritable,
            from_ms,
            until_ms,
        };
        let mut tally = Tally::new(&holds());
        let runs = [vec![outage(0, 1000, 3000)], vec![outage(0, 0, 9000), outage(1, 0, 1500)]];
        for (seed, outages) in (0..).zip(runs) {
            tally.add(Outcome { outages, ..outcome(seed, &[]) });
        }
        let lines: Vec<_> = tally.outages.values().collect();
        assert_eq!((lines[0].seed, lines[0].outages, lines[0].total_ms), (1, 2, 11_000));
        assert_eq!(lines[0].longest, outage(0, 0, 9000));
        assert_eq!(lines[1].longest, outage(1, 0, 1500));
        assert_eq!(tally.runs[1].longest_outage, Some(outage(0, 0, 9000)));
    }

    #[test]
    fn first_witness_of_each_invariant_is_kept_and_others_counted() {
        let mut tally = Tally::new(&breaks());
        for seed in 0..5 {
            let broken: &[&str] = if seed < 2 { &[] } else { &["acked-write-lost"] };
            tally.add(outcome(seed, broken));
        }
        let witness = tally.worst().unwrap();
        assert_eq!((witness.seed, witness.seeds, witness.expected), (2, 3, "breaks"));
    }
}
