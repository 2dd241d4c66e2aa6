//! Every change of state. Source: Kafka's `QuorumState`.

use super::ballot::Ballot;
use super::candidate::Candidate;
use super::follower::Follower;
use super::leader::Leader;
use super::machine::{Fetching, Quorum, State};
use super::prospective::Prospective;
use super::resigned::Resigned;
use super::terms::{ElectionState, ReplicaKey};
use super::unattached::Unattached;
use crate::base::{BrokerId, Flaw, Instant, LeaderEpoch};

/// What a message says about an epoch contradicts what is known.
pub(super) struct Inconsistent;

impl Quorum {
    /// Takes over what a message says: at least this epoch is current, and `leader` leads it. The
    /// caller has compared the epoch: it is not smaller than the own one.
    ///
    /// Source: Kafka's `KafkaRaftClient.maybeTransition`, which throws where this is inconsistent.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        leader: Option<BrokerId>,
    ) -> Result<(), Inconsistent> {
        let is_newer = epoch > self.epoch();
        match leader {
            Some(leader) if !is_newer && self.leader().is_some() => {
                if self.leader() == Some(leader) { Ok(()) } else { Err(Inconsistent) }
            }
            Some(leader) if leader == self.me.id => self.led_before(now, epoch),
            Some(leader) if self.voters.may_lead(leader) => {
                self.follow(now, epoch, leader);
                Ok(())
            }
            // No voter.
            Some(_) => Err(Inconsistent),
            None => {
                if is_newer {
                    self.detach(now, epoch);
                }
                Ok(())
            }
        }
    }

    /// A peer names this replica as the leader of an epoch that it does not lead: it has lost its disk.
    /// It must neither vote in that epoch nor write other records in it.
    fn led_before(&mut self, now: Instant, epoch: LeaderEpoch) -> Result<(), Inconsistent> {
        let voted = self.election().voted.filter(|_| epoch == self.epoch());
        if !self.is_voter() || voted.is_some_and(|voted| voted.id != self.me.id) {
            return Err(Inconsistent);
        }
        let successors = self.other_voters().collect();
        self.elect(ElectionState { epoch, leader: Some(self.me.id), voted });
        self.resign_as(now, successors);
        Ok(())
    }

    /// Becomes unattached in a newer epoch.
    pub(super) fn detach(&mut self, now: Instant, epoch: LeaderEpoch) {
        // A running election timeout continues: newer epochs must not postpone it forever.
        let election_at = match &self.state {
            State::Unattached(Unattached { election_at })
            | State::Candidate(Candidate { election_at, .. })
            | State::Prospective(Prospective { election_at, .. })
            | State::Resigned(Resigned { election_at, .. }) => *election_at,
            State::Leader(_) | State::Follower(_) => self.draw_election(now),
        };
        self.elect(ElectionState::unknown_leader(epoch));
        self.enter(State::Unattached(Unattached { election_at }));
    }

    /// Follows the leader of this epoch or of a newer one. A vote in this epoch is kept.
    pub(super) fn follow(&mut self, now: Instant, epoch: LeaderEpoch, leader: BrokerId) {
        let voted = self.election().voted.filter(|_| epoch == self.epoch());
        self.elect(ElectionState { epoch, leader: Some(leader), voted });
        self.enter(State::Follower(Follower::new(leader, now + self.settings.fetch_timeout)));
    }

    /// Whether there is no larger epoch to be elected in: only a wrong message leads there.
    pub(super) fn is_last_epoch(&self) -> bool {
        self.epoch() == LeaderEpoch(i32::MAX)
    }

    /// An election or fetch timeout has expired: stands for election, with a pre-vote first (KIP-996).
    pub(super) fn stand(&mut self, now: Instant) {
        if self.is_last_epoch() {
            let election_at = self.draw_election(now);
            self.enter(State::Unattached(Unattached { election_at }));
        } else if self.settings.flaws.has(Flaw::NoPreVote) {
            self.become_candidate(now);
        } else {
            let ballot = Ballot::new(&self.voters, &self.me);
            let election_at = self.draw_election(now);
            self.enter(State::Prospective(Prospective { ballot, election_at }));
            self.count_votes(now);
        }
    }

    /// Raises the epoch, votes for itself, and asks for votes.
    pub(super) fn become_candidate(&mut self, now: Instant) {
        let epoch = self.epoch().next();
        self.elect(ElectionState { epoch, leader: None, voted: Some(self.me) });
        let ballot = Ballot::new(&self.voters, &self.me);
        let election_at = self.draw_election(now);
        self.enter(State::Candidate(Candidate { ballot, election_at }));
        self.count_votes(now);
    }

    /// Moves a nominee on whose ballot is decided. A candidate that has lost waits for its timeout.
    pub(super) fn count_votes(&mut self, now: Instant) {
        match &self.state {
            State::Prospective(nominee) if nominee.ballot.is_won() => self.become_candidate(now),
            State::Prospective(nominee) if nominee.ballot.is_lost() => {
                let election_at = self.draw_election(now);
                self.give_up_pre_vote(now, election_at);
            }
            State::Candidate(nominee) if nominee.ballot.is_won() => {
                let granted = nominee.ballot.granted();
                self.become_leader(now, granted);
            }
            _ => {}
        }
    }

    /// A prospective replica did not win: it returns to the leader that it knows, or looks for one
    /// until `election_at`.
    pub(super) fn give_up_pre_vote(&mut self, now: Instant, election_at: Instant) {
        match self.leader().filter(|leader| self.voters.may_lead(*leader)) {
            Some(leader) => self.follow(now, self.epoch(), leader),
            None => self.enter(State::Unattached(Unattached { election_at })),
        }
    }

    fn become_leader(&mut self, now: Instant, granted: Vec<BrokerId>) {
        self.elect(ElectionState { leader: Some(self.me.id), ..self.election().clone() });
        let quorum_at = now + self.settings.check_quorum_timeout();
        let (voters, flaws) = (&self.voters, self.settings.flaws);
        let start = self.log.offset;
        let mut leader = Leader::new(now, self.me, voters, start, granted, quorum_at, flaws);
        if flaws.has(Flaw::CommitOldEpoch) {
            leader.high_watermark = self.high_watermark;
        }
        self.enter(State::Leader(Box::new(leader)));
        self.advance();
    }

    /// Leads no more, and tells the voters: the first of `successors` stands at once.
    pub(super) fn resign_as(&mut self, now: Instant, successors: Vec<ReplicaKey>) {
        let election_at = self.draw_election(now);
        let resigned = self.resigned_at(election_at, successors);
        self.enter(resigned);
    }

    pub(super) fn resigned_at(&self, election_at: Instant, successors: Vec<ReplicaKey>) -> State {
        let unacknowledged = self.other_voters().map(|voter| voter.id).collect();
        State::Resigned(Resigned { unacknowledged, successors, election_at })
    }

    /// Records the vote for a candidate of this epoch, and waits for it: its chances are at least as
    /// good as this replica's.
    pub(super) fn cast_vote(&mut self, now: Instant, candidate: ReplicaKey) {
        let drawn = self.draw_election(now);
        let (State::Unattached(Unattached { election_at })
        | State::Prospective(Prospective { election_at, .. })) = &mut self.state
        else {
            return;
        };
        *election_at = drawn;
        self.elect(ElectionState { voted: Some(candidate), ..self.election().clone() });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.contacts.reset();
        self.fetching = Fetching::default();
    }
}
