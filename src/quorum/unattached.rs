//! Unattached: the leader of the epoch is unknown, or can't be reached.
//!
//! It may have voted in this epoch: that is in the election state. It looks for the leader by fetching
//! from any voter. Source: Kafka's `UnattachedState`.

use super::messages::Vote;
use super::terms::ElectionState;
use crate::base::Instant;

#[derive(Clone, Debug)]
pub(super) struct Unattached {
    /// When a voter stands for election.
    pub(super) election_at: Instant,
}

impl Unattached {
    pub(super) fn grants(&self, ask: &Vote, election: &ElectionState, is_up_to_date: bool) -> bool {
        match ask.is_pre_vote {
            true => is_up_to_date,
            false => election.permits_vote(&ask.from, is_up_to_date),
        }
    }
}
