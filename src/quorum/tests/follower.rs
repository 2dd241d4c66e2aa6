//! Follower: fetches, acknowledges what is synced, and stands when its leader is gone.

use super::super::{FetchAnswer, Next};
use super::hand::*;
use crate::base::{Flaws, Offset};
use crate::wire::ErrorCode;

#[test]
fn follower_whose_leader_lives_refuses_pre_votes() {
    let mut replica = unattached(3);
    replica.begin_epoch(T0, epoch(5), id(2));
    let ask = pre_vote(5, 3, end(3, 10));
    assert!(replica.vote(T0, &ask).is_granted, "nothing was fetched yet");
    replica.fetch_answered(T0, id(2), &fetched(5, Some(2)));
    assert!(!replica.vote(T0, &ask).is_granted);
    assert!(!replica.vote(T0, &vote(5, 3, end(3, 10))).is_granted);
}

#[test]
fn follower_whose_leader_resigned_grants_pre_votes() {
    let mut replica = follower(5);
    let ask = pre_vote(5, 3, end(3, 10));
    assert!(!replica.vote(T0, &ask).is_granted);
    replica.end_epoch(T0, epoch(5), id(2), &[key(3), key(1)]);
    assert!(replica.vote(T0, &ask).is_granted, "KAFKA-20895");
    assert!(!replica.vote(T0, &pre_vote(5, 3, end(3, 9))).is_granted, "a shorter log");
    assert!(!replica.vote(T0, &vote(5, 3, end(3, 10))).is_granted, "the epoch has had its leader");
}

#[cfg(debug_assertions)]
#[test]
fn resignation_can_be_ignored_for_pre_votes() {
    use crate::base::Flaw;
    let flaws = Flaws::only(Flaw::PreVoteRefusedAfterResignation);
    let mut replica = unattached_with(5, flaws);
    replica.begin_epoch(T0, epoch(5), id(2));
    replica.fetch_answered(T0, id(2), &fetched(5, Some(2)));
    replica.end_epoch(T0, epoch(5), id(2), &[key(3), key(1)]);
    assert!(!replica.vote(T0, &pre_vote(5, 3, end(3, 10))).is_granted);
}

#[test]
fn successors_stand_one_after_the_other() {
    for (successors, waits) in [(vec![1, 3], 0), (vec![3, 1, 4], 250), (vec![3], 1000), (vec![], 0)]
    {
        let mut replica = follower(5);
        let keys: Vec<_> = successors.iter().map(|id| key(*id)).collect();
        let reply = replica.end_epoch(T0, epoch(5), id(2), &keys);
        assert_eq!(reply, accepted(5, Some(2)));
        assert_eq!(replica.deadline(), Some(after(waits)), "{successors:?}");
        replica.expire(after(waits));
        assert_eq!((state(&replica), replica.epoch()), ("prospective", epoch(5)));
    }
}

#[test]
fn each_fetch_postpones_the_election() {
    let mut replica = follower(3);
    assert_eq!(replica.deadline(), Some(after(2000)));
    replica.fetch_answered(after(1500), id(2), &fetched(5, Some(2)));
    replica.expire(after(3499));
    assert_eq!(state(&replica), "follower");
    replica.expire(after(3500));
    assert_eq!(state(&replica), "prospective");
}

#[test]
fn voter_fetches_only_from_a_synced_offset() {
    let mut replica = follower(3);
    replica.appended(T0, end(5, 12));
    assert_eq!(replica.fetch_plan(T0), None, "its offset would acknowledge");
    replica.flushed(T0, Offset(11));
    assert_eq!(replica.fetch_plan(T0), None);
    replica.flushed(T0, Offset(12));
    assert_eq!(replica.fetch_plan(T0).unwrap().log, end(5, 12));
    let mut observer =
        start(voters(&[2, 3]), election(5, Some(2), None), end(3, 10), Flaws::default());
    observer.appended(T0, end(5, 12));
    assert_eq!(observer.fetch_plan(T0).unwrap().log, end(5, 12));
}

#[test]
fn high_watermark_ends_with_the_log_and_never_falls() {
    let mut replica = follower(3);
    assert_eq!(replica.high_watermark(), None);
    for (leaders, known) in [(7, 7), (99, 10), (3, 10), (-1, 10)] {
        replica.fetched(T0, Offset(leaders));
        assert_eq!(replica.high_watermark(), Some(Offset(known)));
    }
}

#[test]
fn diverging_log_is_truncated_but_not_below_the_high_watermark() {
    let mut replica = follower(3);
    replica.fetched(T0, Offset(8));
    let diverging = |offset| FetchAnswer { diverging: Some(end(2, offset)), ..fetched(5, Some(2)) };
    let next = replica.fetch_answered(after(100), id(2), &diverging(9));
    assert_eq!(next, Next::Truncate { epoch: epoch(2), end: Offset(9) });
    assert_eq!(replica.truncated(end(2, 9)), Ok(()));
    assert_eq!(
        (replica.log(), replica.fetch_plan(after(100)).unwrap().log),
        (end(2, 9), end(2, 9))
    );
    let refused = replica.truncated(end(2, 7)).unwrap_err();
    assert_eq!((refused.end, refused.high_watermark), (Offset(7), Offset(8)));
    assert_eq!(replica.log(), end(2, 9));
    // The leader has lost records: the election is not postponed for it.
    assert_eq!(replica.fetch_answered(after(200), id(2), &diverging(7)), Next::BackOff);
    replica.expire(after(2100));
    assert_eq!(state(&replica), "prospective");
}

#[test]
fn snapshot_replaces_the_log_and_is_committed() {
    let mut replica = follower(3);
    let answer = FetchAnswer { snapshot: Some(end(4, 50)), ..fetched(5, Some(2)) };
    assert_eq!(replica.fetch_answered(T0, id(2), &answer), Next::Snapshot(end(4, 50)));
    assert!(replica.snapshot_answered(after(1900), id(2), &accepted(5, Some(2))));
    replica.expire(after(3899));
    assert_eq!(state(&replica), "follower", "parts of the snapshot are signs of life");
    replica.restored(after(3899), end(4, 50));
    assert_eq!((replica.log(), replica.high_watermark()), (end(4, 50), Some(Offset(50))));
    assert_eq!(replica.fetch_plan(after(3899)).unwrap().log, end(4, 50));
}

#[test]
fn answers_of_others_and_of_older_epochs_are_ignored() {
    let mut replica = follower(3);
    assert_eq!(replica.fetch_answered(T0, id(3), &fetched(5, Some(2))), Next::Ignore);
    assert_eq!(replica.fetch_answered(T0, id(2), &fetched(4, Some(2))), Next::BackOff);
    replica.expire(after(2000));
    assert_eq!(state(&replica), "prospective");
    assert_eq!(replica.fetch_answered(after(2000), id(2), &fetched(5, Some(2))), Next::Ignore);
}

#[test]
fn newer_leader_is_learned_from_an_answer() {
    let mut replica = follower(3);
    let fenced = FetchAnswer { error: ErrorCode::FencedLeaderEpoch, ..fetched(7, Some(3)) };
    assert_eq!(replica.fetch_answered(T0, id(2), &fenced), Next::Ignore);
    assert_eq!((replica.epoch(), replica.leader()), (epoch(7), Some(id(3))));
    let unknown = FetchAnswer { error: ErrorCode::FencedLeaderEpoch, ..fetched(9, None) };
    assert_eq!(replica.fetch_answered(T0, id(3), &unknown), Next::Ignore);
    assert_eq!((state(&replica), replica.epoch()), ("unattached", epoch(9)));
}

#[test]
fn other_voters_are_asked_while_the_leader_does_not_answer() {
    let mut replica = follower(3);
    replica.fetch_failed(T0, Some(id(2)));
    assert_eq!(replica.fetch_plan(T0).unwrap().to, None);
    replica.fetch_failed(T0, None);
    assert_eq!(replica.fetch_plan(T0), None);
    assert_eq!(replica.deadline(), Some(after(20)));
    assert_eq!(replica.fetch_plan(after(20)).unwrap().to, Some(id(2)));
}
