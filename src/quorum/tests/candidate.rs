//! Candidate: one round of votes.

use std::time::Duration;

use super::super::{Request, VoteReply};
use super::hand::*;
use crate::wire::ErrorCode;

#[test]
fn majority_of_votes_makes_a_leader() {
    let (mut replica, now) = candidate(5);
    let requests = replica.requests(now);
    for (to, request) in &requests[..2] {
        assert_eq!(replica.leads(), None);
        replica.vote_answered(now, *to, request, &granted(6));
    }
    let leading = replica.leads().unwrap();
    assert_eq!((leading.epoch, leading.start), (epoch(6), end(3, 10).offset));
    assert_eq!(leading.granted, [1, 2, 3].map(id));
    assert_eq!(leading.voters, [1, 2, 3, 4, 5].map(id));
    assert_eq!(replica.durable().1, &election(6, Some(1), Some(1)));
    assert_eq!(replica.high_watermark(), None);
}

#[test]
fn answers_of_strangers_other_rounds_and_other_epochs_are_no_votes() {
    let (mut replica, now) = candidate(3);
    let (to, request) = replica.requests(now).remove(0);
    let Request::Vote(vote) = &request else { panic!() };
    let mut of_pre_vote = vote.clone();
    of_pre_vote.is_pre_vote = true;
    replica.vote_answered(now, to, &Request::Vote(of_pre_vote), &granted(6));
    let mut of_earlier = vote.clone();
    of_earlier.epoch = epoch(5);
    replica.vote_answered(now, to, &Request::Vote(of_earlier), &granted(6));
    replica.vote_answered(now, id(9), &request, &granted(6));
    replica.vote_answered(now, to, &request, &granted(5));
    let failed = VoteReply { error: ErrorCode::InvalidVoterKey, ..granted(6) };
    replica.vote_answered(now, to, &request, &failed);
    assert_eq!(state(&replica), "candidate");
    replica.vote_answered(now, to, &request, &granted(6));
    assert_eq!(state(&replica), "leader");
}

#[test]
fn rejected_candidate_waits_and_asks_for_pre_votes_again() {
    let (mut replica, now) = candidate(3);
    let at = replica.deadline();
    for (to, request) in replica.requests(now) {
        replica.vote_answered(now, to, &request, &rejected(6));
    }
    assert_eq!(state(&replica), "candidate");
    assert_eq!(due(&mut replica, now + Duration::from_millis(500)), []);
    let until = replica.deadline().unwrap();
    assert!(at < Some(until) && until >= now + Duration::from_secs(1));
    replica.expire(until);
    assert_eq!((state(&replica), replica.epoch()), ("prospective", epoch(6)));
}

#[test]
fn request_that_failed_is_sent_again_after_a_pause() {
    let (mut replica, now) = candidate(3);
    let requests = replica.requests(now);
    assert_eq!(due(&mut replica, now), [], "in flight");
    let (to, request) = &requests[0];
    replica.failed(now, *to, request);
    assert_eq!(due(&mut replica, now), []);
    let at = now + Duration::from_millis(20);
    assert_eq!(replica.deadline(), Some(at));
    assert_eq!(due(&mut replica, at), [(2, "vote")]);
}

#[test]
fn leader_of_the_same_epoch_is_followed_and_the_own_vote_kept() {
    let (mut replica, now) = candidate(3);
    replica.begin_epoch(now, epoch(6), id(3));
    assert_eq!(state(&replica), "follower");
    assert_eq!(replica.durable().1, &election(6, Some(3), Some(1)));
}

#[test]
fn it_votes_for_no_other_in_its_epoch() {
    let (mut replica, now) = candidate(3);
    assert!(!replica.vote(now, &vote(6, 2, end(5, 99))).is_granted);
    assert!(replica.vote(now, &pre_vote(6, 2, end(5, 99))).is_granted);
    assert!(replica.vote(now, &vote(7, 2, end(5, 99))).is_granted);
    assert_eq!(state(&replica), "unattached");
}
