//! Starting: from nothing, and from what the quorum-state file had.

use super::super::{LogEnd, ReplicaKey, VoterSet};
use super::hand::*;
use crate::base::{DirectoryId, Flaws};

fn restart(durable: super::super::ElectionState, log: LogEnd) -> super::super::Quorum {
    start(voters(&[1, 2, 3]), durable, log, Flaws::default())
}

#[test]
fn only_voter_leads_at_once() {
    for (durable, expected) in [
        (election(0, None, None), 1),
        (election(4, Some(1), Some(1)), 5),
        (election(4, None, Some(1)), 5),
    ] {
        let mut replica = start(voters(&[1]), durable, LogEnd::EMPTY, Flaws::default());
        let leading = replica.leads().unwrap();
        assert_eq!((leading.epoch, leading.start), (epoch(expected), LogEnd::EMPTY.offset));
        assert_eq!((leading.granted, leading.voters), (vec![ME], vec![ME]));
        assert_eq!(replica.durable().1, &election(expected, Some(1), Some(1)));
        assert!(replica.durable().0 > 0, "it is to be stored");
        assert_eq!(replica.deadline(), None, "it needs no other");
        assert_eq!(due(&mut replica, T0), []);
    }
}

#[test]
fn new_voter_waits_for_one_to_two_election_timeouts() {
    let replica = restart(election(0, None, None), LogEnd::EMPTY);
    assert_eq!((state(&replica), replica.epoch()), ("unattached", epoch(0)));
    assert_eq!(replica.durable().0, 0, "nothing is to be stored");
    let at = replica.deadline().unwrap();
    assert!(after(1000) <= at && at < after(2000), "{at}");
}

#[test]
fn former_leader_starts_resigned_in_its_epoch() {
    let replica = restart(election(7, Some(1), Some(1)), end(6, 10));
    assert_eq!((state(&replica), replica.epoch()), ("resigned", epoch(7)));
    assert_eq!(replica.leads(), None);
}

#[test]
fn vote_is_kept_over_a_restart() {
    for voted in [1, 2] {
        let mut replica = restart(election(7, None, Some(voted)), end(6, 10));
        assert_eq!(state(&replica), "unattached");
        assert!(!replica.vote(T0, &vote(7, 3, end(6, 99))).is_granted);
        assert_eq!(replica.durable(), (0, &election(7, None, Some(voted))));
    }
}

#[test]
fn known_leader_is_followed_and_the_vote_kept() {
    let replica = restart(election(7, Some(3), Some(2)), end(6, 10));
    assert_eq!((state(&replica), replica.leader()), ("follower", Some(id(3))));
    assert_eq!(replica.durable(), (0, &election(7, Some(3), Some(2))));
}

#[test]
fn log_with_a_larger_epoch_than_the_file_wins() {
    let replica = restart(election(4, Some(1), Some(1)), end(6, 10));
    assert_eq!(state(&replica), "unattached");
    assert_eq!(replica.durable(), (1, &election(6, None, None)));
}

#[test]
fn leader_that_is_no_voter_can_not_be_followed_but_ends_the_votes_of_its_epoch() {
    let mut replica = restart(election(7, Some(9), None), end(6, 10));
    assert_eq!((state(&replica), replica.leader()), ("unattached", Some(id(9))));
    assert!(!replica.vote(T0, &vote(7, 2, end(6, 99))).is_granted);
    assert!(replica.vote(T0, &vote(8, 2, end(6, 99))).is_granted);
}

#[test]
fn observer_looks_for_the_leader_and_never_stands() {
    let mut replica =
        start(voters(&[2, 3, 4]), election(5, None, None), end(3, 10), Flaws::default());
    assert!(!replica.is_voter());
    assert_eq!(replica.deadline(), None);
    replica.expire(after(1_000_000));
    assert_eq!(state(&replica), "unattached");
    assert_eq!(replica.fetch_plan(T0).unwrap().to, None);
    replica.begin_epoch(T0, epoch(5), id(2));
    assert_eq!(replica.fetch_plan(T0).unwrap().to, Some(id(2)));
    assert_eq!(replica.deadline(), None);
}

#[test]
fn replica_with_a_new_disk_is_an_observer_of_voters_with_directories() {
    let directory = |byte| Some(DirectoryId([byte; 16]));
    let known: VoterSet =
        (1..=3).map(|node| ReplicaKey { id: id(node), directory: directory(node as u8) }).collect();
    let durable = election(0, None, None);
    // These tests know no directory of replica 1: another one than the voters'.
    let replica = start(known, durable, LogEnd::EMPTY, Flaws::default());
    assert!(!replica.is_voter());
    assert_eq!(replica.deadline(), None);
}
