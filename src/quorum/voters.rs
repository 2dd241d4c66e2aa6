//! The voters of the metadata log.

use std::collections::BTreeMap;

use super::terms::ReplicaKey;
use crate::base::{BrokerId, DirectoryId};

/// One voter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voter {
    /// The directory of its log; `None` with kraft.version 0.
    pub directory: Option<DirectoryId>,
}

/// The replicas that elect the leader: `controller.quorum.voters`, or the last VotersRecord of the
/// log, committed or not (KIP-853).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet {
    voters: BTreeMap<BrokerId, Voter>,
}

impl VoterSet {
    /// Whether a node has a voter, in whatever directory.
    pub fn contains(&self, id: BrokerId) -> bool {
        self.voters.contains_key(&id)
    }

    /// Whether a replica is a voter: a new disk of a voter's node is none, if the former is known.
    pub fn is_voter(&self, replica: &ReplicaKey) -> bool {
        self.key(replica.id).is_some_and(|key| key.matches(replica))
    }

    /// Whether a node may lead. With kraft.version 0 the voters are fixed, and only they do. Later a
    /// replica may hear of a leader whose VotersRecord it has not read yet.
    pub fn may_lead(&self, id: BrokerId) -> bool {
        let is_fixed = self.voters.values().any(|voter| voter.directory.is_none());
        self.contains(id) || !is_fixed
    }

    /// The key of a node's voter.
    pub fn key(&self, id: BrokerId) -> Option<ReplicaKey> {
        let voter = self.voters.get(&id)?;
        Some(ReplicaKey { id, directory: voter.directory })
    }

    /// How many voters have to agree.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// The voters, by id.
    pub fn iter(&self) -> impl Iterator<Item = ReplicaKey> + '_ {
        self.voters.iter().map(|(id, voter)| ReplicaKey { id: *id, directory: voter.directory })
    }

    /// The number of voters.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether there are none: the replica has to learn of its voters from the log.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }
}

impl FromIterator<ReplicaKey> for VoterSet {
    fn from_iter<I: IntoIterator<Item = ReplicaKey>>(keys: I) -> Self {
        let voter = |key: ReplicaKey| (key.id, Voter { directory: key.directory });
        Self { voters: keys.into_iter().map(voter).collect() }
    }
}

impl FromIterator<BrokerId> for VoterSet {
    fn from_iter<I: IntoIterator<Item = BrokerId>>(ids: I) -> Self {
        ids.into_iter().map(ReplicaKey::of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majority_is_more_than_half() {
        let majority = |count| (1..=count).map(BrokerId).collect::<VoterSet>().majority();
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn new_directory_of_a_known_voter_is_not_a_voter() {
        let [old, new] = [1, 2].map(|last| Some(DirectoryId([last; 16])));
        let key = |directory| ReplicaKey { id: BrokerId(1), directory };
        let known: VoterSet = [key(old)].into_iter().collect();
        assert!(known.contains(BrokerId(1)) && known.is_voter(&key(old)));
        assert!(!known.is_voter(&key(new)) && !known.is_voter(&key(None)));
        assert!(known.may_lead(BrokerId(2)), "it may have joined");
        let unknown: VoterSet = [BrokerId(1)].into_iter().collect();
        assert!(unknown.is_voter(&key(new)), "kraft.version 0");
        assert!(!unknown.may_lead(BrokerId(2)));
    }
}
