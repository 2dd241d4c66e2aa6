//! Candidate: has raised the epoch, voted for itself, and asks for votes.
//!
//! A candidate that was rejected waits until its election times out: that time is drawn, and so keeps
//! two candidates from colliding again. Source: Kafka's `CandidateState`.

use super::ballot::Ballot;
use super::messages::Vote;
use crate::base::Instant;

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) ballot: Ballot,
    /// When it starts over with a pre-vote.
    pub(super) election_at: Instant,
}

impl Candidate {
    /// Its vote in this epoch is its own.
    pub(super) fn grants(&self, ask: &Vote, is_up_to_date: bool) -> bool {
        ask.is_pre_vote && is_up_to_date
    }
}
