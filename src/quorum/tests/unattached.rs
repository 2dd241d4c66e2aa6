//! Unattached: one vote per epoch, and looking for the leader.

use super::super::{ReplicaKey, Vote};
use super::hand::*;
use crate::base::{BrokerId, DirectoryId, LeaderEpoch};
use crate::wire::ErrorCode;

#[test]
fn one_vote_per_epoch_is_granted_to_a_log_that_is_long_enough() {
    let mut replica = unattached(3);
    for (log, is_granted) in [(end(3, 9), false), (end(2, 99), false), (end(3, 10), true)] {
        assert_eq!(replica.vote(T0, &vote(5, 2, log)).is_granted, is_granted, "{log}");
    }
    assert_eq!(replica.durable(), (1, &election(5, None, Some(2))));
    assert!(!replica.vote(T0, &vote(5, 3, end(4, 99))).is_granted, "it has voted");
    assert!(replica.vote(T0, &vote(5, 2, end(3, 10))).is_granted, "the same vote again");
    assert_eq!(replica.durable().0, 1);
    assert!(replica.vote(T0, &vote(6, 3, end(4, 99))).is_granted, "a newer epoch");
    assert_eq!(replica.durable(), (3, &election(6, None, Some(3))), "the epoch, then the vote");
}

#[test]
fn vote_is_for_one_directory() {
    let from = |byte| ReplicaKey { id: id(2), directory: Some(DirectoryId([byte; 16])) };
    let ask = |byte| Vote { from: from(byte), ..vote(5, 2, end(3, 10)) };
    let mut replica = unattached(3);
    assert!(replica.vote(T0, &ask(7)).is_granted);
    assert!(!replica.vote(T0, &ask(8)).is_granted);
}

#[test]
fn vote_restarts_the_election_timeout() {
    let mut replica = unattached(3);
    let now = after(900);
    replica.vote(now, &vote(5, 2, end(3, 10)));
    assert!(replica.deadline().unwrap() >= after(1900));
}

#[test]
fn pre_vote_is_granted_to_several_and_stores_nothing() {
    let mut replica = unattached(3);
    for from in [2, 3] {
        assert!(replica.vote(T0, &pre_vote(5, from, end(3, 10))).is_granted);
        assert!(!replica.vote(T0, &pre_vote(5, from, end(3, 9))).is_granted);
    }
    assert_eq!(replica.durable().0, 0);
    replica.vote(T0, &vote(5, 2, end(3, 10)));
    assert!(replica.vote(T0, &pre_vote(5, 3, end(3, 10))).is_granted, "though it has voted");
}

#[test]
fn newer_epochs_do_not_postpone_the_election() {
    let mut replica = unattached(3);
    let at = replica.deadline();
    replica.vote(after(500), &vote(6, 2, end(0, 0)));
    assert_eq!((replica.epoch(), replica.deadline()), (epoch(6), at));
}

#[test]
fn wrong_requests_are_refused() {
    let mut replica = unattached(3);
    let mut error = |ask: Vote| {
        let reply = replica.vote(T0, &ask);
        assert!(!reply.is_granted);
        (reply.error, replica.epoch().0)
    };
    let log = end(3, 10);
    assert_eq!(error(vote(4, 2, log)), (ErrorCode::FencedLeaderEpoch, 5));
    assert_eq!(error(vote(6, -1, log)), (ErrorCode::InvalidRequest, 5));
    assert_eq!(error(vote(6, 1, log)), (ErrorCode::InvalidRequest, 5), "itself");
    assert_eq!(error(vote(6, 2, end(6, 20))), (ErrorCode::InvalidRequest, 5), "records of its own");
    assert_eq!(error(pre_vote(6, 2, end(7, 20))), (ErrorCode::InvalidRequest, 5));
    assert_eq!(error(vote(6, 2, end(-1, 0))), (ErrorCode::InvalidRequest, 5));
    assert_eq!(error(vote(6, 2, end(0, -1))), (ErrorCode::InvalidRequest, 5));
    let elsewhere = Vote { to: Some(key(3)), ..vote(6, 2, log) };
    assert_eq!(error(elsewhere), (ErrorCode::InvalidVoterKey, 6), "the epoch is news");
}

#[test]
fn contradictions_of_a_leader_are_refused() {
    let mut replica = unattached(3);
    let mut error = |at, leader| {
        let reply = replica.begin_epoch(T0, epoch(at), BrokerId(leader));
        (reply.error, replica.epoch().0, replica.leader().map(|id| id.0))
    };
    assert_eq!(error(4, 2), (ErrorCode::FencedLeaderEpoch, 5, None));
    assert_eq!(error(6, -1), (ErrorCode::InvalidRequest, 5, None));
    assert_eq!(error(6, 1), (ErrorCode::InvalidRequest, 5, None), "itself");
    assert_eq!(error(6, 9), (ErrorCode::InvalidRequest, 5, None), "no voter");
    assert_eq!(error(6, 2), (ErrorCode::None, 6, Some(2)));
    assert_eq!(error(6, 3), (ErrorCode::InvalidRequest, 6, Some(2)), "two leaders");
    assert_eq!(error(i32::MAX, 3), (ErrorCode::None, i32::MAX, Some(3)));
}

#[test]
fn leader_is_discovered_by_fetching_from_any_voter() {
    let mut replica = unattached(3);
    let plan = replica.fetch_plan(T0).unwrap();
    assert_eq!((plan.to, plan.epoch, plan.log), (None, epoch(5), end(3, 10)));
    let knows_nothing =
        super::super::FetchAnswer { error: ErrorCode::NotLeaderOrFollower, ..fetched(5, None) };
    assert_eq!(replica.fetch_answered(T0, id(3), &knows_nothing), super::super::Next::BackOff);
    assert_eq!(replica.fetch_plan(T0), None);
    assert_eq!(replica.deadline(), Some(after(20)));
    replica.expire(after(20));
    assert!(replica.deadline().unwrap() > after(20), "a fetch may be in flight");
    assert_eq!(replica.fetch_plan(after(20)).unwrap().to, None);
    let knows = super::super::FetchAnswer { leader: Some(id(2)), ..knows_nothing };
    assert_eq!(replica.fetch_answered(after(20), id(3), &knows), super::super::Next::Ignore);
    assert_eq!(replica.fetch_plan(after(20)).unwrap().to, Some(id(2)));
}

#[test]
fn leader_that_was_asked_by_chance_is_followed_at_once() {
    let mut replica = unattached(3);
    let next = replica.fetch_answered(T0, id(2), &fetched(5, Some(2)));
    assert_eq!((next, state(&replica)), (super::super::Next::Append, "follower"));
}

#[test]
fn last_epoch_can_not_be_left() {
    let mut replica = unattached(3);
    replica.vote(T0, &vote(i32::MAX, 2, end(3, 10)));
    for _ in 0..5 {
        let at = replica.deadline().unwrap();
        replica.expire(at);
        assert_eq!((state(&replica), replica.epoch()), ("unattached", LeaderEpoch(i32::MAX)));
    }
}
