//! Requests that are due.

use super::candidate::Candidate;
use super::machine::{Quorum, State};
use super::messages::{Request, Vote};
use super::prospective::Prospective;
use super::terms::ReplicaKey;
use crate::base::{BrokerId, Instant};

impl Quorum {
    /// The requests that are due, each for one replica. They count as in flight, until they are
    /// answered or fail, or for `request_timeout`. To be asked for after every step: an answer may make
    /// the next ones due.
    pub fn requests(&mut self, now: Instant) -> Vec<(BrokerId, Request)> {
        self.step(now, |quorum| quorum.due(now))
    }

    /// Whether this replica has resigned, and voters are left that do not know yet: a clean stop waits
    /// for them.
    pub fn is_resigning(&self) -> bool {
        matches!(self.state, State::Resigned(_)) && !self.addressees().is_empty()
    }

    /// When the next request is due.
    pub(super) fn request_at(&self) -> Option<Instant> {
        if let State::Leader(leader) = &self.state {
            return (!leader.needs_no_other()).then_some(leader.begin_at);
        }
        self.addressees().into_iter().map(|to| self.contacts.ready_at(to.id)).min()
    }

    /// The replicas from which an answer is wanted.
    fn addressees(&self) -> Vec<ReplicaKey> {
        match &self.state {
            State::Prospective(Prospective { ballot, .. })
            | State::Candidate(Candidate { ballot, .. })
                if !ballot.is_lost() =>
            {
                ballot.open().collect()
            }
            State::Resigned(resigned) => self
                .other_voters()
                .filter(|voter| resigned.unacknowledged.contains(&voter.id))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn due(&mut self, now: Instant) -> Vec<(BrokerId, Request)> {
        let mut addressees = self.addressees();
        let interval = self.settings.begin_quorum_interval();
        if let State::Leader(leader) = &mut self.state
            && leader.begin_at <= now
        {
            leader.begin_at = now + interval;
            addressees.extend(leader.silent(now, interval));
        }
        let mut due = Vec::new();
        for to in addressees {
            if self.contacts.ready_at(to.id) > now {
                continue;
            }
            let Some(request) = self.request_to(to) else { continue };
            self.contacts.hold(to.id, now + self.settings.request_timeout);
            due.push((to.id, request));
        }
        due
    }

    fn request_to(&self, to: ReplicaKey) -> Option<Request> {
        let (epoch, leader) = (self.epoch(), self.me.id);
        let vote = |is_pre_vote| {
            Request::Vote(Vote { epoch, from: self.me, to: Some(to), log: self.log, is_pre_vote })
        };
        match &self.state {
            State::Prospective(_) => Some(vote(true)),
            State::Candidate(_) => Some(vote(false)),
            State::Leader(_) => Some(Request::BeginQuorumEpoch { epoch, leader, to }),
            State::Resigned(resigned) => {
                let successors = resigned.successors.clone();
                Some(Request::EndQuorumEpoch { epoch, leader, successors })
            }
            State::Unattached(_) | State::Follower(_) => None,
        }
    }
}
