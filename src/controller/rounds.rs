//! When elections are due though no broker came or went: of preferred leaders, and of leaders for
//! partitions without one whose topic permits an unclean election by now.
//!
//! Source: Kafka's `QuorumController`, tasks `maybeBalancePartitionLeaders` and `electUnclean`.

use std::time::Duration;

use crate::base::Instant;
use crate::base::config::NodeConfig;
use crate::decide::Timers;

/// What a round elects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Round {
    /// The first of the assigned replicas, where another one leads.
    Preferred,
    /// Any replica, where none leads and an unclean election is permitted.
    Unclean,
}

/// The time between two rounds of each kind; `None`: there are none.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    preferred: Option<Duration>,
    unclean: Duration,
}

impl Intervals {
    /// Those of a node's configuration.
    pub fn of(config: &NodeConfig) -> Self {
        let seconds = u64::try_from(config.node.leader_imbalance_check_interval_seconds);
        let every = Duration::from_secs(seconds.unwrap_or(u64::MAX));
        Self {
            preferred: config.node.auto_leader_rebalance.then_some(every),
            unclean: config.node.unclean_leader_election_interval,
        }
    }

    fn of_round(&self, round: Round) -> Option<Duration> {
        match round {
            Round::Preferred => self.preferred,
            Round::Unclean => Some(self.unclean),
        }
    }
}

/// When the next round of each kind is due. Only the active controller makes any.
#[derive(Debug)]
pub(super) struct Rounds {
    intervals: Intervals,
    due: Timers<Round>,
}

impl Rounds {
    pub(super) fn new(intervals: Intervals) -> Self {
        Self { intervals, due: Timers::default() }
    }

    /// The controller became active: the first rounds are a whole interval away.
    pub(super) fn activated(&mut self, now: Instant) {
        for round in [Round::Preferred, Round::Unclean] {
            self.made(now, round, false);
        }
    }

    /// A round was made. What was left over is elected at once.
    pub(super) fn made(&mut self, now: Instant, round: Round, left_over: bool) {
        match self.intervals.of_round(round) {
            Some(_) if left_over => self.due.set(round, now),
            Some(interval) => self.due.set(round, now + interval),
            None => {}
        }
    }

    pub(super) fn clear(&mut self) {
        self.due.clear();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.deadline()
    }

    /// The round that is due first.
    pub(super) fn due(&self, now: Instant) -> Option<Round> {
        self.due.expired(now).next().copied()
    }

    pub(super) fn check(&self) {
        self.due.check();
    }
}
