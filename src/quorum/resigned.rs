//! Resigned: led this epoch, and leads it no more: it was stopped, cut off from the voters, or restarted.
//!
//! It does not vote in this epoch, and leaves it only for a larger one: records that it appended may be
//! lost, so no other may get their offsets in this epoch. Source: Kafka's `ResignedState`.

use std::collections::BTreeSet;

use super::messages::Vote;
use super::terms::ReplicaKey;
use crate::base::{BrokerId, Instant};

#[derive(Clone, Debug)]
pub(super) struct Resigned {
    /// Voters that have not acknowledged the end of the epoch.
    pub(super) unacknowledged: BTreeSet<BrokerId>,
    /// The voters, the one with the longest log first.
    pub(super) successors: Vec<ReplicaKey>,
    /// When it raises the epoch, and becomes an ordinary replica.
    pub(super) election_at: Instant,
}

impl Resigned {
    pub(super) fn grants(&self, ask: &Vote, is_up_to_date: bool) -> bool {
        ask.is_pre_vote && is_up_to_date
    }
}
