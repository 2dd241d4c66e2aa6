//! Answers of others. Source: Kafka's `KafkaRaftClient.maybeHandleCommonResponse`.

use super::machine::{Quorum, State};
use super::messages::{FetchAnswer, Next, Reply, Request, VoteReply};
use crate::base::{BrokerId, Instant, LeaderEpoch};
use crate::wire::ErrorCode;

/// What an answer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It is about this epoch, and has no error.
    Counts,
    /// It told about an epoch or its leader, or is out of date.
    Heard,
    /// It is an error.
    Failed,
}

impl Quorum {
    /// The answer to a Vote.
    pub fn vote_answered(
        &mut self,
        now: Instant,
        from: BrokerId,
        asked: &Request,
        reply: &VoteReply,
    ) {
        self.step(now, |quorum| {
            let Request::Vote(vote) = asked else { return };
            let is_pre_vote = vote.is_pre_vote;
            if reply.error == ErrorCode::UnsupportedVersion
                && matches!(quorum.state, State::Prospective(_))
                && is_pre_vote
                && asked.epoch() == quorum.epoch()
            {
                // The voter is too old for pre-votes, and others can't be had without it.
                quorum.become_candidate(now);
                return;
            }
            let answer = quorum.hear(now, reply.error, reply.epoch, reply.leader);
            if !quorum.settle(now, from, asked, answer) {
                return;
            }
            match &mut quorum.state {
                State::Prospective(nominee) if is_pre_vote => {
                    nominee.ballot.record(from, reply.is_granted);
                }
                State::Candidate(nominee) if !is_pre_vote => {
                    nominee.ballot.record(from, reply.is_granted);
                }
                _ => return,
            }
            quorum.count_votes(now);
        });
    }

    /// The answer to a BeginQuorumEpoch or EndQuorumEpoch.
    pub fn answered(&mut self, now: Instant, from: BrokerId, asked: &Request, reply: &Reply) {
        self.step(now, |quorum| {
            let answer = quorum.hear(now, reply.error, reply.epoch, reply.leader);
            if quorum.settle(now, from, asked, answer)
                && let State::Resigned(resigned) = &mut quorum.state
                && matches!(asked, Request::EndQuorumEpoch { .. })
            {
                resigned.unacknowledged.remove(&from);
            }
        });
    }

    /// A request was not answered: no connection, or too late.
    pub fn failed(&mut self, now: Instant, from: BrokerId, asked: &Request) {
        self.step(now, |quorum| {
            quorum.settle(now, from, asked, Answer::Failed);
        });
    }

    /// The answer to a fetch: what to do with it.
    pub fn fetch_answered(&mut self, now: Instant, from: BrokerId, answer: &FetchAnswer) -> Next {
        self.step(now, |quorum| {
            let before = (quorum.epoch(), quorum.leader());
            let heard = quorum.hear(now, answer.error, answer.epoch, answer.leader);
            if heard == Answer::Counts {
                return quorum.follow_up(now, from, answer);
            }
            if before != (quorum.epoch(), quorum.leader()) {
                return Next::Ignore;
            }
            quorum.pause_fetching(now, from);
            Next::BackOff
        })
    }

    /// A fetch was not answered. `from` is the replica that was asked; `None` if no voter could be.
    pub fn fetch_failed(&mut self, now: Instant, from: Option<BrokerId>) {
        self.step(now, |quorum| quorum.pause_fetching(now, from.unwrap_or(BrokerId::NONE)));
    }

    /// The answer to a FetchSnapshot of this follower: whether it counts. It then shows that the
    /// leader is alive.
    pub fn snapshot_answered(&mut self, now: Instant, from: BrokerId, reply: &Reply) -> bool {
        self.step(now, |quorum| {
            let heard = quorum.hear(now, reply.error, reply.epoch, reply.leader);
            let counts = heard == Answer::Counts && quorum.is_followed(from);
            match counts {
                true => quorum.leader_is_alive(now),
                false => quorum.pause_fetching(now, from),
            }
            counts
        })
    }

    /// Takes over what an answer says about epoch and leader, and finds out whether it counts.
    fn hear(
        &mut self,
        now: Instant,
        error: ErrorCode,
        epoch: LeaderEpoch,
        leader: Option<BrokerId>,
    ) -> Answer {
        let leader = leader.filter(|leader| *leader >= BrokerId(0));
        let is_about_epochs =
            matches!(error, ErrorCode::FencedLeaderEpoch | ErrorCode::NotLeaderOrFollower);
        if epoch < self.epoch() || error == ErrorCode::UnknownLeaderEpoch {
            return Answer::Heard;
        }
        if epoch > self.epoch() || is_about_epochs || self.leader().is_none() {
            let is_newer = epoch > self.epoch();
            // A leader that this replica can't follow leaves at least the epoch.
            if self.learn(now, epoch, leader).is_err() && is_newer {
                self.detach(now, epoch);
            }
            if is_newer || is_about_epochs {
                return Answer::Heard;
            }
        }
        if error == ErrorCode::None { Answer::Counts } else { Answer::Failed }
    }

    /// Ends the flight of a request. Returns whether its answer counts: whether it is about what this
    /// replica still wants to know.
    fn settle(&mut self, now: Instant, from: BrokerId, asked: &Request, answer: Answer) -> bool {
        if asked.epoch() != self.epoch() {
            return false;
        }
        let counts = answer == Answer::Counts;
        match counts {
            true => self.contacts.settle(from),
            false => self.contacts.hold(from, now + self.settings.retry_backoff),
        }
        counts
    }

    fn follow_up(&mut self, now: Instant, from: BrokerId, answer: &FetchAnswer) -> Next {
        if !self.is_followed(from) {
            return Next::Ignore;
        }
        let next = if let Some(diverging) = answer.diverging {
            if self.high_watermark.is_some_and(|committed| diverging.offset < committed) {
                // The leader has lost committed records. The fetch timeout continues.
                self.pause_fetching(now, from);
                return Next::BackOff;
            }
            Next::Truncate { epoch: diverging.epoch, end: diverging.offset }
        } else if let Some(snapshot) = answer.snapshot {
            Next::Snapshot(snapshot)
        } else {
            Next::Append
        };
        self.leader_is_alive(now);
        next
    }

    fn is_followed(&self, from: BrokerId) -> bool {
        matches!(&self.state, State::Follower(follower) if follower.leader == from)
    }

    fn leader_is_alive(&mut self, now: Instant) {
        let fetch_at = now + self.settings.fetch_timeout;
        if let State::Follower(follower) = &mut self.state {
            follower.fetched(fetch_at);
        }
    }

    fn pause_fetching(&mut self, now: Instant, from: BrokerId) {
        let after = now + self.settings.retry_backoff;
        match self.is_followed(from) {
            true => self.fetching.leader_after = after,
            false => self.fetching.others_after = after,
        }
    }
}
