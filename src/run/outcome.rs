//! The outcome of one run: what broke, what was counted, and the verdict that follows.

use std::time::Duration;

use serde::Serialize;

use super::coverage::Reached;
use super::disks::DiskLine;
use crate::base::Instant;
use crate::check::is_liveness;
use crate::scenario::{Expect, Expectation};
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
pub(crate) fn is_stuck(broken: &Broken) -> bool {
    [STARTS, ENDS].contains(&broken.invariant.as_str()) || is_liveness(&broken.invariant)
}

/// What a scenario says of an invariant; of the laboratory's own it can't say anything.
pub(crate) fn expected(expect: &Expect, invariant: &str) -> Expectation {
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
