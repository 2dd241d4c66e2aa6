//! A run of the swarm that broke what its contract promises.

use serde::Serialize;

use super::contract::Contract;
use super::found::{Found, Origin};
use crate::lab::report::{as_called, replay_command};
use crate::lab::verdict::Verdict;
use crate::run::EngineKind;
use crate::run::outcome::RunVerdict;

/// A run that broke what its contract promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub number: u64,
    pub verdict: RunVerdict,
    /// The worst violation.
    pub invariant: String,
    /// The witness, in one sentence.
    pub what: String,
    pub trace: String,
    /// The file of its scenario.
    pub file: String,
    /// The command that reproduces it.
    pub replay: String,
    pub(super) mutated_from: Option<u64>,
    pub(super) not_promised: Vec<String>,
    pub(super) story: Vec<String>,
}

impl Failure {
    pub(super) fn of(found: &Found, verdict: RunVerdict, engine: EngineKind) -> Self {
        let Found { number, scenario, outcome, .. } = found;
        let (invariant, what) = match (outcome.differs, outcome.gravest(&scenario.expect)) {
            (Some(other), _) => {
                let part = outcome.difference.as_deref().unwrap_or_default();
                let what = format!("trace {}, then {other}; {part}", outcome.trace);
                ("determinism".to_owned(), what)
            }
            (None, Some(broken)) => (broken.invariant.clone(), broken.what.clone()),
            (None, None) => (String::new(), String::new()),
        };
        Self {
            number: *number,
            verdict,
            invariant,
            what,
            trace: outcome.trace.to_string(),
            file: scenario.file.clone(),
            replay: replay_command(&scenario.file, outcome.seed, engine),
            mutated_from: parent(found),
            not_promised: reasons(&contract(found)),
            story: outcome.story.clone(),
        }
    }
}

pub(super) fn parent(found: &Found) -> Option<u64> {
    match found.origin {
        Origin::Drawn => None,
        Origin::Mutated(parent) => Some(parent),
    }
}

pub(super) fn contract(found: &Found) -> Contract {
    let faults = found.scenario.schedule.as_deref().unwrap_or_default();
    Contract::of(&found.scenario, faults)
}

pub(super) fn reasons(contract: &Contract) -> Vec<String> {
    contract.losses.iter().map(ToString::to_string).collect()
}

/// The overall verdict of a run. Nothing has to break, so a permitted violation counts as held.
pub(super) fn as_verdict(verdict: RunVerdict) -> Verdict {
    match verdict {
        RunVerdict::Held | RunVerdict::BrokeAsExpected | RunVerdict::Untested => Verdict::Held,
        RunVerdict::Broke => Verdict::Broke,
        RunVerdict::Stuck => Verdict::Stuck,
        RunVerdict::Nondeterministic => Verdict::Nondeterministic,
    }
}

/// A failure for a terminal: what broke, the command to replay it, the witness.
pub fn failure(failure: &Failure) -> String {
    let Failure { number, invariant, what, trace, verdict, .. } = failure;
    let replay = as_called(&failure.replay);
    format!(
        "{} {invariant}  swarm-{number}  trace {trace}\nreplay: {replay}\nwhat:   {what}\n",
        as_verdict(*verdict)
    )
}
