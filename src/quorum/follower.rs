//! Follower: fetches from the leader of its epoch. Source: Kafka's `FollowerState`.

use super::messages::Vote;
use crate::base::{BrokerId, Instant};

#[derive(Clone, Debug)]
pub(super) struct Follower {
    pub(super) leader: BrokerId,
    /// When a voter stands for election; each successful fetch postpones it.
    pub(super) fetch_at: Instant,
    /// Whether it has fetched from this leader.
    has_fetched: bool,
    /// Whether this leader has said that it resigned.
    has_resigned: bool,
}

impl Follower {
    pub(super) fn new(leader: BrokerId, fetch_at: Instant) -> Self {
        Self { leader, fetch_at, has_fetched: false, has_resigned: false }
    }

    /// A fetch succeeded: the leader is alive.
    pub(super) fn fetched(&mut self, fetch_at: Instant) {
        self.has_fetched = true;
        self.fetch_at = fetch_at;
    }

    /// The leader has resigned; this replica stands for election at `stand_at`.
    pub(super) fn leader_resigned(&mut self, stand_at: Instant, grants_pre_votes: bool) {
        self.fetch_at = stand_at;
        self.has_resigned |= grants_pre_votes;
    }

    /// The epoch has its leader, so there is no vote. A pre-vote is granted only if there is no sign
    /// that the leader is alive: nothing was fetched from it yet, or it has resigned (KAFKA-20895).
    pub(super) fn grants(&self, ask: &Vote, is_up_to_date: bool) -> bool {
        ask.is_pre_vote && is_up_to_date && (!self.has_fetched || self.has_resigned)
    }
}
