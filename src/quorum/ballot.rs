//! The votes that a nominee has collected. Source: Kafka's `EpochElection`.

use std::collections::BTreeMap;

use super::terms::ReplicaKey;
use super::voters::VoterSet;
use crate::base::BrokerId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opinion {
    Open,
    Granted,
    Rejected,
}

/// The opinions of the voters about one nominee, in one round.
#[derive(Clone, Debug)]
pub(super) struct Ballot {
    voters: VoterSet,
    opinions: BTreeMap<BrokerId, Opinion>,
}

impl Ballot {
    /// A round in which only the nominee has voted: for itself, if it is a voter.
    pub(super) fn new(voters: &VoterSet, nominee: &ReplicaKey) -> Self {
        let opinions = voters.iter().map(|voter| (voter.id, Opinion::Open)).collect();
        let mut ballot = Self { voters: voters.clone(), opinions };
        if voters.is_voter(nominee) {
            ballot.record(nominee.id, true);
        }
        ballot
    }

    /// Records an answer. Answers of other replicas do not count, and a vote is not taken back: a
    /// later rejection is an answer to an earlier copy of the request.
    pub(super) fn record(&mut self, voter: BrokerId, is_granted: bool) {
        let Some(opinion) = self.opinions.get_mut(&voter) else { return };
        if *opinion != Opinion::Granted {
            *opinion = if is_granted { Opinion::Granted } else { Opinion::Rejected };
        }
    }

    /// Whether a majority has granted.
    pub(super) fn is_won(&self) -> bool {
        self.count(Opinion::Granted) >= self.voters.majority()
    }

    /// Whether a majority can't grant any more.
    pub(super) fn is_lost(&self) -> bool {
        self.count(Opinion::Granted) + self.count(Opinion::Open) < self.voters.majority()
    }

    /// The voters that have not answered.
    pub(super) fn open(&self) -> impl Iterator<Item = ReplicaKey> + '_ {
        self.voters.iter().filter(|voter| self.opinions.get(&voter.id) == Some(&Opinion::Open))
    }

    /// The voters that have granted.
    pub(super) fn granted(&self) -> Vec<BrokerId> {
        let granted =
            |(id, opinion): (&BrokerId, &Opinion)| (*opinion == Opinion::Granted).then_some(*id);
        self.opinions.iter().filter_map(granted).collect()
    }

    fn count(&self, wanted: Opinion) -> usize {
        self.opinions.values().filter(|opinion| **opinion == wanted).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(voters: i32) -> Ballot {
        let voters = (1..=voters).map(BrokerId).collect();
        Ballot::new(&voters, &ReplicaKey::of(BrokerId(1)))
    }

    #[test]
    fn only_voter_has_won_at_once() {
        assert!(ballot(1).is_won());
        assert!(!ballot(2).is_won());
    }

    #[test]
    fn strangers_do_not_vote_and_repeated_votes_count_once() {
        let mut ballot = ballot(5);
        for _ in 0..3 {
            ballot.record(BrokerId(2), true);
            ballot.record(BrokerId(9), true);
        }
        assert!(!ballot.is_won());
        ballot.record(BrokerId(2), false);
        ballot.record(BrokerId(3), true);
        assert!(ballot.is_won(), "a vote is not taken back");
        assert_eq!(ballot.granted(), [1, 2, 3].map(BrokerId));
    }

    #[test]
    fn ballot_is_lost_once_a_majority_can_not_be_reached() {
        let mut ballot = ballot(4);
        ballot.record(BrokerId(2), false);
        assert!(!ballot.is_lost());
        ballot.record(BrokerId(3), false);
        assert!(ballot.is_lost(), "two of four are not enough");
        assert_eq!(ballot.open().map(|key| key.id).collect::<Vec<_>>(), [BrokerId(4)]);
    }
}
