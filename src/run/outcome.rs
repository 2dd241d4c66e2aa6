//! The outcome of one run: what broke, what was counted, and the verdict that follows.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::coverage::Reached;
use super::disks::DiskLine;
use crate::base::Instant;
use crate::check::{Outage, is_liveness, is_loss};
use crate::scenario::{Expect, Expectation};
use crate::sim::{Ended, TraceHash};

/// Our own invariant: the cluster came up and created its topics.
pub const STARTS: &str = "starts";
/// Our own invariant: no code panicked.
pub const PANICS: &str = "panics";
/// Our own invariant: programs that take part ended.
pub const ENDS: &str = "ends";
/// Our own invariant: no program ended with an error.
pub const SUCCEEDS: &str = "succeeds";
/// Our own invariant: a run does what its test requires of it.
pub const REQUIRES: &str = "requires";

/// Our own invariant: simulated time advances, however much work there is at one instant.
pub const ADVANCES: &str = "advances";

/// Our own invariants, each in one plain sentence.
pub const OWN: [(&str, &str); 6] = [
    (STARTS, "The cluster comes up and creates its topics."),
    (PANICS, "No code panics."),
    (ENDS, "Programs that take part end."),
    (SUCCEEDS, "No program ends with an error."),
    (REQUIRES, "A run does what its test requires of it, so that it tests something."),
    (ADVANCES, "Simulated time advances, however much work there is at one instant."),
];

/// A violated invariant.
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

/// Counters of a run, or of all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Faults that struck.
    pub faults: u64,
    /// Faults that were due but found no host to strike.
    pub faults_skipped: u64,
    /// Records that producers tried to send.
    pub sent: u64,
    /// Records that were acknowledged.
    pub acked: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Records with an unknown outcome.
    pub unknown: u64,
    /// Acknowledged records that the final reads did not find.
    pub lost: u64,
    /// Records that consumers found at more than one offset.
    #[serde(skip)]
    pub doubled: u64,
    /// Records that consumers got although their transactions were not committed.
    #[serde(skip)]
    pub uncommitted: u64,
    /// Records that consumers read, including the final reads.
    pub read: u64,
    /// Elections of a partition's leader, as the controller committed them.
    pub elections: u64,
    /// Transactions that producers have ended.
    #[serde(skip_serializing_if = "TransactionCounts::is_empty")]
    pub transactions: TransactionCounts,
}

/// Transactions by the outcome that their producers learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TransactionCounts {
    /// EndTxn was answered, and committed it.
    pub committed: u64,
    /// It was aborted.
    pub aborted: u64,
    /// The answer did not come, or another producer had the transactional id by then.
    pub unknown: u64,
}

impl TransactionCounts {
    /// Whether none has ended.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts one more.
    pub fn ended(&mut self, how: &Ended) {
        match how {
            Ended::Committed => self.committed += 1,
            Ended::Aborted => self.aborted += 1,
            Ended::Unknown { .. } | Ended::Fenced { .. } => self.unknown += 1,
        }
    }
}

impl fmt::Display for TransactionCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { committed, aborted, unknown } = self;
        write!(f, "{committed} committed, {aborted} aborted, {unknown} of unknown outcome")
    }
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
        self.doubled += other.doubled;
        self.uncommitted += other.uncommitted;
        self.read += other.read;
        self.elections += other.elections;
        self.transactions.committed += other.transactions.committed;
        self.transactions.aborted += other.transactions.aborted;
        self.transactions.unknown += other.transactions.unknown;
    }
}

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub seed: u64,
    /// Trace hash.
    pub trace: TraceHash,
    /// Duration in simulated time.
    pub simulated: Duration,
    /// The first violation of each invariant that broke, in the order in which they were found.
    pub broken: Vec<Broken>,
    /// Remarks that are not violations.
    pub notes: Vec<String>,
    /// The faults, as they struck.
    pub story: Vec<String>,
    /// How often things happened.
    pub counts: Counts,
    /// When partitions could not be used, in the order of time.
    pub outages: Vec<Outage>,
    /// What each broker's disk did.
    pub disks: Vec<DiskLine>,
    /// The hash of a second run of the same seed, if it differs.
    pub differs: Option<TraceHash>,
    /// The first event that differed then, in words.
    pub difference: Option<String>,
    /// The situations that it reached.
    pub reached: Reached,
    /// Why the run tested nothing, if so: a verdict about it would be empty.
    pub untested: Option<String>,
}

impl Outcome {
    /// The violation that headlines, `shrink` and pictures are about, unless the scenario leaves it
    /// open.
    pub fn gravest(&self, expect: &Expect) -> Option<&Broken> {
        let open = |broken: &Broken| expected(expect, &broken.invariant) == Expectation::Open;
        self.gravest_of_all(expect).filter(|broken| !open(broken))
    }

    /// Like `gravest`, with those that the scenario leaves open last.
    pub fn gravest_of_all(&self, expect: &Expect) -> Option<&Broken> {
        // The first of equals: the others may be its consequences.
        self.broken.iter().min_by_key(|broken| gravity(expect, &broken.invariant))
    }

    /// All violations, the gravest first.
    pub fn by_gravity(&self, expect: &Expect) -> Vec<&Broken> {
        let mut all: Vec<&Broken> = self.broken.iter().collect();
        all.sort_by_key(|broken| gravity(expect, &broken.invariant));
        all
    }

    /// The run's own verdict.
    pub fn verdict(&self, expect: &Expect) -> RunVerdict {
        let unexpected =
            |broken: &&Broken| expected(expect, &broken.invariant) == Expectation::Holds;
        let live = |broken: &Broken| !is_stuck(&broken.invariant);
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
        } else if self.untested.is_some() {
            RunVerdict::Untested
        } else {
            RunVerdict::Held
        }
    }
}

/// How bad it is that an invariant broke: the least is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gravity {
    expectation: u8,
    kind: u8,
}

/// The one order of violations: what must hold before what is expected to break, and that before what
/// is left open; among these, lost records first, and what merely did not happen in time last.
pub(crate) fn gravity(expect: &Expect, invariant: &str) -> Gravity {
    let expectation = match expected(expect, invariant) {
        Expectation::Holds => 0,
        Expectation::Breaks => 1,
        Expectation::Open => 2,
    };
    let kind = if is_loss(invariant) {
        0
    } else if is_stuck(invariant) || invariant == REQUIRES {
        2
    } else {
        1
    };
    Gravity { expectation, kind }
}

/// Whether it is a liveness violation: nothing went wrong, but something did not happen.
pub(crate) fn is_stuck(invariant: &str) -> bool {
    [STARTS, ENDS, ADVANCES].contains(&invariant) || is_liveness(invariant)
}

/// The expectation for an invariant; a scenario can't set one for our own invariants.
pub(crate) fn expected(expect: &Expect, invariant: &str) -> Expectation {
    let own = OWN.iter().any(|(name, _)| *name == invariant);
    if own { Expectation::Holds } else { expect.of(invariant) }
}

/// The verdict of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunVerdict {
    /// Everything that must hold held, and nothing broke that was expected to.
    Held,
    /// An invariant broke that the configuration does not promise.
    BrokeAsExpected,
    /// An invariant broke that must hold.
    Broke,
    /// A liveness invariant was violated, and nothing worse.
    Stuck,
    /// The same seed gave two different runs.
    Nondeterministic,
    /// Nothing broke, but nothing was tested either.
    Untested,
}

impl RunVerdict {
    /// Whether no invariant broke against expectation.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Held | Self::BrokeAsExpected | Self::Untested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{NAMES, promise};

    fn order(expect: &Expect, mut names: Vec<&'static str>) -> Vec<&'static str> {
        names.sort_by_key(|name| gravity(expect, name));
        names
    }

    #[test]
    fn lost_records_are_graver_than_other_breaks_and_those_than_waiting() {
        let names = vec!["converges", "inconsistent-offset", "own-check", "acked-write-unseen"];
        let all = Expect { holds: vec!["*".into()], ..Expect::default() };
        let sorted = ["acked-write-unseen", "inconsistent-offset", "own-check", "converges"];
        assert_eq!(order(&all, names), sorted);
    }

    #[test]
    fn readme_names_every_invariant_with_its_sentence() {
        let mut all: Vec<_> = NAMES.iter().map(|name| (*name, promise(name))).collect();
        all.sort_by_key(|(name, _)| !is_loss(name));
        let all = all.into_iter().chain(OWN);
        let rows = all.map(|(name, sentence)| {
            let (first, rest) = sentence.split_at(1);
            let sentence = format!("{}{}", first.to_lowercase(), rest.trim_end_matches('.'));
            format!("| `{name}` | {sentence} |\n")
        });
        let table =
            format!("| invariant | holds when |\n|---|---|\n{}\n", rows.collect::<String>());
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&table), "README.md needs this table:\n\n{table}");
    }

    #[test]
    fn what_must_hold_is_graver_than_an_expected_loss() {
        let expect = Expect {
            holds: vec!["*".into()],
            breaks: vec!["acked-write-lost".into()],
            allows: vec!["acked-write-unseen".into()],
        };
        let names = vec!["acked-write-unseen", "acked-write-lost", PANICS, "converges"];
        let sorted = [PANICS, "converges", "acked-write-lost", "acked-write-unseen"];
        assert_eq!(order(&expect, names), sorted);
    }
}
