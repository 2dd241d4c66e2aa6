//! Prospective: asks the voters whether they would vote for it, before it raises the epoch (KIP-996).
//!
//! Until then it keeps its leader, if it knows one, and its vote. Source: Kafka's `ProspectiveState`.

use super::ballot::Ballot;
use super::messages::Vote;
use super::terms::ElectionState;
use crate::base::Instant;

#[derive(Clone, Debug)]
pub(super) struct Prospective {
    pub(super) ballot: Ballot,
    /// When the round counts as lost.
    pub(super) election_at: Instant,
}

impl Prospective {
    pub(super) fn grants(&self, ask: &Vote, election: &ElectionState, is_up_to_date: bool) -> bool {
        match ask.is_pre_vote {
            true => is_up_to_date,
            false => election.permits_vote(&ask.from, is_up_to_date),
        }
    }
}
