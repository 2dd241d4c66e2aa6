//! Resigned: tells the voters, and leaves its epoch only for a larger one.

use std::time::Duration;

use super::super::{FetchAnswer, Next, Request, VoteReply};
use super::hand::*;
use crate::wire::ErrorCode;

#[test]
fn voters_are_told_until_they_acknowledge_the_longest_log_first() {
    let (mut replica, now) = leader(4);
    replica.fetch(now, &fetch(6, 3, end(6, 11)));
    replica.fetch(now, &fetch(6, 2, end(3, 10)));
    replica.resign(now);
    assert_eq!((state(&replica), replica.leads()), ("resigned", None));
    let requests = replica.requests(now);
    let expected = Request::EndQuorumEpoch {
        epoch: epoch(6),
        leader: ME,
        successors: vec![key(3), key(2), key(4)],
    };
    assert!(requests.iter().all(|(_, request)| *request == expected), "{requests:?}");
    assert_eq!(requests.iter().map(|(to, _)| to.0).collect::<Vec<_>>(), [2, 3, 4]);
    for to in [2, 3] {
        assert!(replica.is_resigning());
        replica.answered(now, id(to), &expected, &accepted(6, Some(1)));
    }
    replica.failed(now, id(4), &expected);
    assert_eq!(due(&mut replica, now + Duration::from_millis(20)), [(4, "end")]);
    replica.answered(now, id(4), &expected, &accepted(6, Some(1)));
    assert!(!replica.is_resigning());
}

#[test]
fn former_leader_after_a_restart_tells_the_voters_too() {
    let mut replica =
        start(voters(&[1, 2, 3]), election(7, Some(1), Some(1)), end(7, 10), Default::default());
    assert_eq!(due(&mut replica, T0), [(2, "end"), (3, "end")]);
}

#[test]
fn it_serves_and_fetches_nothing_and_does_not_vote_in_its_epoch() {
    let (mut replica, now) = leader(3);
    replica.resign(now);
    assert_eq!(replica.fetch_plan(now), None);
    assert_eq!(replica.fetch(now, &fetch(6, 2, end(3, 10))).error, ErrorCode::NotLeaderOrFollower);
    assert!(!replica.vote(now, &vote(6, 2, end(5, 99))).is_granted);
    assert!(!replica.vote(now, &pre_vote(6, 2, end(5, 99))).is_granted, "a log of older epochs");
    assert!(replica.vote(now, &pre_vote(6, 2, end(6, 11))).is_granted);
    assert_eq!(replica.begin_epoch(now, epoch(6), id(2)).error, ErrorCode::InvalidRequest);
    assert!(replica.vote(now, &vote(7, 2, end(6, 99))).is_granted);
}

#[test]
fn it_becomes_an_ordinary_replica_of_the_next_epoch() {
    let (mut replica, now) = leader(3);
    replica.resign(now);
    replica.requests(now);
    let at = replica.deadline().unwrap();
    assert!(at >= now + Duration::from_secs(1));
    replica.expire(at);
    assert_eq!(
        (state(&replica), replica.epoch()),
        ("prospective", epoch(7)),
        "it may stand at once"
    );
    assert_eq!(replica.durable().1, &election(7, None, None));
}

#[test]
fn resigning_changes_nothing_of_a_replica_that_does_not_lead() {
    let mut replica = follower(3);
    replica.resign(T0);
    assert_eq!(state(&replica), "follower");
}

#[test]
fn voter_that_lost_its_disk_resigns_where_others_know_it_as_the_leader() {
    // It led epoch 7, and has forgotten that.
    let mut replica = start(
        voters(&[1, 2, 3]),
        election(0, None, None),
        super::super::LogEnd::EMPTY,
        Default::default(),
    );
    let answer = FetchAnswer { error: ErrorCode::FencedLeaderEpoch, ..fetched(7, Some(1)) };
    assert_eq!(replica.fetch_answered(T0, id(2), &answer), Next::Ignore);
    assert_eq!((state(&replica), replica.epoch()), ("resigned", epoch(7)));
    assert!(!replica.vote(T0, &vote(7, 2, end(6, 99))).is_granted, "it voted for itself then");
}

#[test]
fn candidate_that_others_know_as_the_leader_of_its_epoch_resigns() {
    let (mut replica, now) = candidate(3);
    let (to, request) = replica.requests(now).remove(0);
    let reply = VoteReply { leader: Some(ME), ..rejected(6) };
    replica.vote_answered(now, to, &request, &reply);
    assert_eq!((state(&replica), replica.epoch()), ("resigned", epoch(6)));
}

#[test]
fn replica_that_voted_for_another_does_not_believe_that_it_led() {
    let mut replica = unattached(3);
    replica.vote(T0, &vote(5, 2, end(3, 10)));
    let answer = FetchAnswer { error: ErrorCode::NotLeaderOrFollower, ..fetched(5, Some(1)) };
    assert_eq!(replica.fetch_answered(T0, id(3), &answer), Next::BackOff);
    assert_eq!((state(&replica), replica.leader()), ("unattached", None));
}
