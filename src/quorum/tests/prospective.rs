//! Prospective: asks before it raises the epoch (KIP-996).

use super::super::VoteReply;
use super::hand::*;
use crate::wire::ErrorCode;

#[test]
fn pre_votes_raise_no_epoch_until_a_majority_grants() {
    let mut replica = prospective(5);
    let now = replica.seen;
    let requests = replica.requests(now);
    assert_eq!(requests.len(), 4);
    assert_eq!(replica.durable().0, 0, "nothing is to be stored");
    for (index, (to, request)) in requests.iter().take(2).enumerate() {
        assert_eq!(
            (state(&replica), replica.epoch()),
            ("prospective", epoch(5)),
            "{index} granted"
        );
        // The same answer twice is one vote.
        replica.vote_answered(now, *to, request, &granted(5));
        if index == 0 {
            replica.vote_answered(now, *to, request, &granted(5));
        }
    }
    assert_eq!(state(&replica), "candidate");
    assert_eq!(replica.durable().1, &election(6, None, Some(1)));
}

#[test]
fn lost_pre_vote_leads_back_to_the_leader() {
    let mut replica = follower(3);
    replica.expire(after(2000));
    assert_eq!((state(&replica), replica.leader()), ("prospective", Some(id(2))));
    assert_eq!(replica.fetch_plan(after(2000)), None);
    for (to, request) in replica.requests(after(2000)) {
        replica.vote_answered(after(2000), to, &request, &rejected(5));
    }
    assert_eq!((state(&replica), replica.leader()), ("follower", Some(id(2))));
    assert_eq!(replica.deadline(), Some(after(4000)), "with a new fetch timeout");
}

#[test]
fn lost_pre_vote_without_a_leader_leads_to_another_round() {
    let mut replica = prospective(3);
    let now = replica.seen;
    for (to, request) in replica.requests(now) {
        replica.vote_answered(now, to, &request, &rejected(5));
    }
    assert_eq!(state(&replica), "unattached");
    let at = replica.deadline().unwrap();
    assert!(at >= now + std::time::Duration::from_secs(1));
    replica.expire(at);
    assert_eq!((state(&replica), replica.epoch()), ("prospective", epoch(5)));
}

#[test]
fn unanswered_round_is_followed_by_another_one() {
    let mut replica = prospective(3);
    let first = replica.seen;
    replica.requests(first);
    let at = replica.deadline().unwrap();
    assert!(at >= first + std::time::Duration::from_secs(1), "{at}");
    replica.expire(at);
    assert_eq!(state(&replica), "prospective");
    assert_eq!(due(&mut replica, at), [(2, "pre-vote"), (3, "pre-vote")]);
}

#[test]
fn known_leader_ends_the_round() {
    let mut replica = prospective(3);
    let now = replica.seen;
    let (to, request) = replica.requests(now).remove(0);
    let reply = VoteReply { leader: Some(id(3)), ..rejected(5) };
    replica.vote_answered(now, to, &request, &reply);
    assert_eq!((state(&replica), replica.leader()), ("follower", Some(id(3))));
}

#[test]
fn voter_that_knows_no_pre_votes_makes_it_a_candidate() {
    let mut replica = prospective(3);
    let now = replica.seen;
    let (to, request) = replica.requests(now).remove(0);
    let reply = VoteReply { error: ErrorCode::UnsupportedVersion, ..rejected(0) };
    replica.vote_answered(now, to, &request, &reply);
    assert_eq!((state(&replica), replica.epoch()), ("candidate", epoch(6)));
}

#[test]
fn it_may_vote_for_another_and_stays_prospective() {
    let mut replica = prospective(3);
    let now = replica.seen;
    assert!(replica.vote(now, &vote(5, 2, end(3, 10))).is_granted);
    assert_eq!(
        (state(&replica), replica.durable().1),
        ("prospective", &election(5, None, Some(2)))
    );
    assert!(!replica.vote(now, &vote(5, 3, end(3, 10))).is_granted);
    // Its own pre-votes go on, and raise the epoch beyond its vote.
    elect(&mut replica, now);
    assert_eq!(replica.durable().1, &election(6, None, Some(1)));
}

#[cfg(debug_assertions)]
#[test]
fn without_pre_vote_the_epoch_rises_at_each_timeout() {
    use crate::base::{Flaw, Flaws};
    let mut replica = unattached_with(3, Flaws::only(Flaw::NoPreVote));
    for raised in 6..9 {
        let at = replica.deadline().unwrap();
        replica.expire(at);
        assert_eq!((state(&replica), replica.epoch()), ("candidate", epoch(raised)));
        replica.requests(at);
    }
}
