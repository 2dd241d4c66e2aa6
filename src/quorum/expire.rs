//! What follows from time alone.

use super::machine::{Quorum, State};
use crate::base::{Flaw, Instant};

impl Quorum {
    /// The earliest time at which something is due though nothing else happened: call `expire`, and
    /// ask for requests and the fetch plan. A time that has passed means now.
    pub fn deadline(&self) -> Option<Instant> {
        let fetching = [self.fetching.leader_after, self.fetching.others_after];
        // A pause that is over was reported then; whether a fetch is in flight is not known here.
        let fetching = fetching.into_iter().filter(|at| *at > self.seen);
        self.timeout().into_iter().chain(self.request_at()).chain(fetching).min()
    }

    /// Carries out what is due: election and fetch timeouts, and check-quorum.
    pub fn expire(&mut self, now: Instant) {
        self.step(now, |quorum| {
            while quorum.timeout().is_some_and(|at| at <= now) {
                quorum.time_out(now);
            }
        });
    }

    /// When the state ends by itself. Observers wait for a leader forever.
    fn timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Unattached(unattached) => self.is_voter().then_some(unattached.election_at),
            State::Prospective(prospective) => Some(prospective.election_at),
            State::Candidate(candidate) => Some(candidate.election_at),
            State::Follower(follower) => self.is_voter().then_some(follower.fetch_at),
            State::Leader(leader) => {
                let checks =
                    !leader.needs_no_other() && !self.settings.flaws.has(Flaw::NoCheckQuorum);
                checks.then_some(leader.quorum_at)
            }
            State::Resigned(resigned) => (!self.is_last_epoch()).then_some(resigned.election_at),
        }
    }

    fn time_out(&mut self, now: Instant) {
        match &self.state {
            State::Unattached(_) | State::Candidate(_) | State::Follower(_) => self.stand(now),
            State::Prospective(prospective) => {
                let election_at = prospective.election_at;
                self.give_up_pre_vote(now, election_at);
            }
            State::Leader(leader) => {
                let successors = leader.successors();
                self.resign_as(now, successors);
            }
            // The epoch rises, so that no replica takes this one for its leader any more.
            State::Resigned(_) => self.detach(now, self.epoch().next()),
        }
    }

    /// A clean stop of a leader: it tells the voters, the one with the longest log stands at once. Of
    /// any other replica it changes nothing.
    pub fn resign(&mut self, now: Instant) {
        self.step(now, |quorum| {
            if let State::Leader(leader) = &quorum.state {
                let successors = leader.successors();
                quorum.resign_as(now, successors);
            }
        });
    }
}
