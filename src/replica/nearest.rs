//! Chooses the replica in a consumer's rack.
//!
//! Source: Kafka's `ReplicaManager.findPreferredReadReplica` and `RackAwareReplicaSelector`; KIP-392.

use crate::base::{BrokerId, Instant, Offset};

/// A follower that is in sync, as its leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readable {
    pub id: BrokerId,
    /// It has everything below.
    pub log_end: Offset,
    /// When it last had everything that the leader had.
    pub caught_up_at: Option<Instant>,
}

/// The replica to read from instead of the leader, if there is a better one: of those in the reader's
/// rack, the one that is closest to the leader's log end. The leader is preferred to all others there.
pub fn nearest(
    leader: BrokerId,
    followers: impl IntoIterator<Item = Readable>,
    in_rack: &[BrokerId],
) -> Option<BrokerId> {
    if in_rack.contains(&leader) {
        return None;
    }
    let near = followers.into_iter().filter(|follower| in_rack.contains(&follower.id));
    let best = near.max_by_key(|follower| (follower.log_end, follower.caught_up_at, follower.id));
    best.map(|follower| follower.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: BrokerId = BrokerId(1);

    fn follower(id: i32, log_end: i64, caught_up_at: u64) -> Readable {
        let caught_up_at = Some(Instant::from_secs(caught_up_at));
        Readable { id: BrokerId(id), log_end: Offset(log_end), caught_up_at }
    }

    fn chosen(followers: &[Readable], in_rack: &[i32]) -> Option<i32> {
        let in_rack: Vec<_> = in_rack.iter().copied().map(BrokerId).collect();
        nearest(LEADER, followers.iter().copied(), &in_rack).map(|id| id.0)
    }

    #[test]
    fn leader_in_the_readers_rack_is_preferred_to_followers_there() {
        assert_eq!(chosen(&[follower(2, 10, 5)], &[1, 2]), None);
        assert_eq!(chosen(&[follower(2, 10, 5)], &[2]), Some(2));
    }

    #[test]
    fn rack_without_a_readable_replica_is_served_by_the_leader() {
        assert_eq!(chosen(&[follower(2, 10, 5)], &[]), None);
        assert_eq!(chosen(&[follower(2, 10, 5)], &[3]), None);
    }

    #[test]
    fn most_caught_up_follower_of_the_rack_is_chosen() {
        assert_eq!(chosen(&[follower(2, 10, 5), follower(3, 11, 1)], &[2, 3]), Some(3));
        assert_eq!(chosen(&[follower(2, 10, 5), follower(3, 10, 4)], &[2, 3]), Some(2));
        assert_eq!(chosen(&[follower(2, 10, 5), follower(3, 10, 5)], &[2, 3]), Some(3));
    }
}
