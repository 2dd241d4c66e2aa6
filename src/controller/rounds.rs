//! Elections that are due from time to time, though no broker came or went: of preferred leaders, and
//! of leaders for partitions without one whose topic permits an unclean election by now.
//!
//! Source: Kafka's `QuorumController`, tasks `maybeBalancePartitionLeaders` and `electUnclean`.

use std::time::Duration;

use super::election::{Cause, Wanted};
use super::machine::{Controller, Decision, Effect};
use crate::base::config::NodeConfig;
use crate::base::{Instant, TopicId};
use crate::decide::Timers;

/// Most elections of one round. Source: Kafka's `maxElectionsPerImbalance`.
const MOST_ELECTIONS: usize = 1000;

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

impl Controller {
    /// Elects what a round is for.
    pub(super) fn make_round(&self, round: Round) -> Decision<()> {
        let mut plan = self.plan();
        let candidates: Vec<(TopicId, i32)> = match round {
            Round::Preferred => self.image().partitions_led_by_another().collect(),
            Round::Unclean => self.image().led_by(None).collect(),
        };
        let mut left_over = false;
        for partition in candidates {
            if plan.len() >= MOST_ELECTIONS {
                left_over = true;
                break;
            }
            match round {
                Round::Preferred => {
                    let _ = plan.elect(self.settings(), Wanted::Preferred, partition);
                }
                Round::Unclean => plan.reelect(self.settings(), Cause::default(), [partition]),
            }
        }
        let mut decision = Decision::new(plan.into_records(), ());
        decision.effects.push(Effect::RoundMade { round, left_over });
        decision
    }
}
