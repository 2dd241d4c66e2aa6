//! Requests of others: Vote, BeginQuorumEpoch and EndQuorumEpoch.
//!
//! Source: Kafka's `KafkaRaftClient`; where that throws because of a request, this one answers
//! INVALID_REQUEST and changes nothing.

use super::machine::{Quorum, State};
use super::messages::{Reply, Vote, VoteReply};
use super::terms::ReplicaKey;
use crate::base::{BrokerId, Flaw, Instant, LeaderEpoch, Offset};
use crate::wire::ErrorCode;

impl Quorum {
    /// Vote and pre-vote. The candidate need not be a voter here: this replica may not have the record
    /// yet that makes it one (KIP-853).
    pub fn vote(&mut self, now: Instant, ask: &Vote) -> VoteReply {
        self.step(now, |quorum| {
            let decided = quorum.decide_vote(now, ask);
            let error = decided.err().unwrap_or(ErrorCode::None);
            let is_granted = decided.unwrap_or(false);
            VoteReply { error, epoch: quorum.epoch(), leader: quorum.leader(), is_granted }
        })
    }

    /// The leader of an epoch announces itself.
    pub fn begin_epoch(&mut self, now: Instant, epoch: LeaderEpoch, leader: BrokerId) -> Reply {
        self.step(now, |quorum| {
            let learned = quorum.learn_from_leader(now, epoch, leader);
            quorum.reply(learned)
        })
    }

    /// The leader of an epoch has resigned. Its follower stands for election soon: the first of the
    /// successors at once.
    pub fn end_epoch(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        leader: BrokerId,
        successors: &[ReplicaKey],
    ) -> Reply {
        self.step(now, |quorum| {
            let learned = quorum.learn_from_leader(now, epoch, leader);
            if learned.is_ok() {
                quorum.prepare_to_stand(now, leader, successors);
            }
            quorum.reply(learned)
        })
    }

    fn decide_vote(&mut self, now: Instant, ask: &Vote) -> Result<bool, ErrorCode> {
        // A candidate has raised its epoch, so no record has it. A pre-vote has not.
        let is_illegal = match ask.is_pre_vote {
            true => ask.log.epoch > ask.epoch,
            false => ask.log.epoch >= ask.epoch,
        };
        let is_negative = ask.log.epoch < LeaderEpoch(0) || ask.log.offset < Offset::ZERO;
        if is_negative || is_illegal || ask.from.id == self.me.id {
            return Err(ErrorCode::InvalidRequest);
        }
        self.check_sender(ask.epoch, ask.from.id)?;
        if ask.epoch > self.epoch() {
            self.detach(now, ask.epoch);
        }
        if ask.to.is_some_and(|to| !self.is_me(&to)) {
            return Err(ErrorCode::InvalidVoterKey);
        }
        let is_up_to_date = ask.log >= self.log;
        let is_granted = match &self.state {
            State::Unattached(state) => state.grants(ask, self.election(), is_up_to_date),
            State::Prospective(state) => state.grants(ask, self.election(), is_up_to_date),
            State::Candidate(state) => state.grants(ask, is_up_to_date),
            State::Resigned(state) => state.grants(ask, is_up_to_date),
            State::Follower(state) => state.grants(ask, is_up_to_date),
            State::Leader(_) => false,
        };
        if is_granted && !ask.is_pre_vote && self.election().voted.is_none() {
            self.cast_vote(now, ask.from);
        }
        Ok(is_granted)
    }

    fn check_sender(&self, epoch: LeaderEpoch, from: BrokerId) -> Result<(), ErrorCode> {
        if epoch < self.epoch() {
            Err(ErrorCode::FencedLeaderEpoch)
        } else if from < BrokerId(0) {
            Err(ErrorCode::InvalidRequest)
        } else {
            Ok(())
        }
    }

    fn learn_from_leader(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        leader: BrokerId,
    ) -> Result<(), ErrorCode> {
        self.check_sender(epoch, leader)?;
        if leader == self.me.id {
            return Err(ErrorCode::InvalidRequest);
        }
        self.learn(now, epoch, Some(leader)).map_err(|_| ErrorCode::InvalidRequest)
    }

    fn prepare_to_stand(&mut self, now: Instant, leader: BrokerId, successors: &[ReplicaKey]) {
        let position = successors.iter().position(|key| key.matches(&self.me));
        let position = position.unwrap_or(successors.len());
        let stand_at = now + self.settings.successor_backoff(position, successors.len());
        let grants = !self.settings.flaws.has(Flaw::PreVoteRefusedAfterResignation);
        if let State::Follower(follower) = &mut self.state
            && follower.leader == leader
        {
            follower.leader_resigned(stand_at, grants);
        }
    }

    pub(super) fn reply(&self, done: Result<(), ErrorCode>) -> Reply {
        let error = done.err().unwrap_or(ErrorCode::None);
        Reply { error, epoch: self.epoch(), leader: self.leader() }
    }
}
