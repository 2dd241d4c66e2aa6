//! Leader: what is committed, who follows, and whom it serves.

use std::time::Duration;

use super::super::{Fetch, Fetched, Quorum, ReplicaKey};
use super::hand::*;
use crate::base::{DirectoryId, Instant, LeaderEpoch, Offset};
use crate::wire::ErrorCode;

fn committed(replica: &Quorum) -> Option<i64> {
    replica.high_watermark().map(|offset| offset.0)
}

/// A voter or observer fetches at `log`, and gets records.
fn follow(replica: &mut Quorum, now: Instant, from: i32, log: super::super::LogEnd) {
    let reply = replica.fetch(now, &fetch(6, from, log));
    assert_eq!(reply.error, ErrorCode::None);
    assert_eq!(reply.what, Fetched::Records { upto: replica.log().offset });
}

#[test]
fn record_is_committed_once_a_majority_has_synced_it() {
    let (mut replica, now) = leader(3);
    follow(&mut replica, now, 2, end(6, 11));
    assert_eq!(committed(&replica), None, "its own log is not synced");
    replica.flushed(now, Offset(11));
    assert_eq!(committed(&replica), Some(11));
    replica.appended(now, end(6, 15));
    follow(&mut replica, now, 2, end(6, 13));
    follow(&mut replica, now, 3, end(6, 14));
    assert_eq!(committed(&replica), Some(13), "two others are a majority without it");
    replica.flushed(now, Offset(99));
    assert_eq!(committed(&replica), Some(14));
}

#[test]
fn records_of_older_epochs_are_committed_with_one_of_its_own() {
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    follow(&mut replica, now, 2, end(3, 10));
    assert_eq!(committed(&replica), None, "the epoch starts at 10");
    follow(&mut replica, now, 2, end(6, 11));
    assert_eq!(committed(&replica), Some(11));
}

#[test]
fn observers_and_fetches_without_an_epoch_commit_nothing() {
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    for from in [9, -1] {
        follow(&mut replica, now, from, end(6, 11));
    }
    let unchecked = Fetch { epoch: LeaderEpoch::NONE, ..fetch(6, 2, end(6, 11)) };
    assert_eq!(replica.fetch(now, &unchecked).error, ErrorCode::None);
    assert_eq!(committed(&replica), None);
    let replicas = replica.replicas(now).unwrap();
    assert_eq!(
        replicas.voters.iter().map(|voter| voter.log_end).collect::<Vec<_>>(),
        [Some(Offset(11)), None, None]
    );
    assert_eq!(replicas.observers.iter().map(|one| one.key).collect::<Vec<_>>(), [key(9)]);
    let later = now + Duration::from_secs(301);
    assert!(replica.replicas(later).unwrap().observers.is_empty(), "gone for five minutes");
}

#[test]
fn high_watermark_stays_when_a_voter_has_lost_its_log() {
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    follow(&mut replica, now, 2, end(6, 11));
    follow(&mut replica, now, 2, end(0, 0));
    assert_eq!(committed(&replica), Some(11));
    assert_eq!(replica.replicas(now).unwrap().voters[1].log_end, Some(Offset(0)));
}

#[test]
fn removed_leader_counts_for_nothing() {
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    replica.set_voters(now, voters(&[2, 3]));
    assert!(!replica.is_voter() && replica.leads().is_some());
    follow(&mut replica, now, 2, end(6, 11));
    assert_eq!(committed(&replica), None, "one of two voters (KAFKA-16530)");
    let later = now + Duration::from_secs(2);
    follow(&mut replica, later, 2, end(6, 11));
    replica.expire(now + Duration::from_secs(3));
    assert_eq!(state(&replica), "resigned", "one of two voters (KAFKA-16531)");
}

#[test]
fn progress_is_kept_when_the_voters_change() {
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    follow(&mut replica, now, 4, end(6, 11));
    replica.set_voters(now, voters(&[1, 3, 4]));
    assert_eq!(committed(&replica), Some(11), "the new voter has it already");
    let replicas = replica.replicas(now).unwrap();
    assert_eq!(replicas.voters.iter().map(|voter| voter.key.id.0).collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn leader_without_fetches_from_a_majority_resigns() {
    let (mut replica, now) = leader(5);
    let at = |millis| now + Duration::from_millis(millis);
    follow(&mut replica, at(1000), 2, end(3, 10));
    replica.expire(at(2999));
    assert_eq!(state(&replica), "leader");
    let mut lonely = replica.clone();
    lonely.expire(at(3000));
    assert_eq!(state(&lonely), "resigned", "one of four others");
    // A replica that fetches a snapshot follows too; an observer does not count.
    follow(&mut replica, at(2000), 9, end(3, 10));
    assert_eq!(replica.fetch_snapshot(at(2999), epoch(6), key(3)).error, ErrorCode::None);
    replica.expire(at(5998));
    assert_eq!(state(&replica), "leader");
    replica.expire(at(5999));
    assert_eq!(state(&replica), "resigned");
}

#[test]
fn voters_that_do_not_fetch_are_reminded() {
    let (mut replica, now) = leader(3);
    assert_eq!(due(&mut replica, now), [(2, "begin"), (3, "begin")]);
    let at = |millis| now + Duration::from_millis(millis);
    follow(&mut replica, at(500), 2, end(3, 10));
    assert_eq!(due(&mut replica, at(999)), []);
    let request =
        super::super::Request::BeginQuorumEpoch { epoch: epoch(6), leader: ME, to: key(3) };
    replica.answered(at(999), id(3), &request, &accepted(6, Some(1)));
    assert_eq!(replica.deadline(), Some(at(1000)));
    assert_eq!(due(&mut replica, at(1000)), [(3, "begin")]);
}

#[test]
fn fetches_of_other_epochs_are_refused() {
    let (mut replica, now) = leader(3);
    let mut error = |ask: &Fetch| replica.fetch(now, ask).error;
    assert_eq!(error(&fetch(5, 2, end(3, 10))), ErrorCode::FencedLeaderEpoch);
    assert_eq!(error(&fetch(7, 2, end(3, 10))), ErrorCode::UnknownLeaderEpoch);
    assert_eq!(error(&fetch(6, 1, end(3, 10))), ErrorCode::InvalidRequest, "itself");
    assert_eq!(error(&fetch(6, 2, end(7, 10))), ErrorCode::InvalidRequest, "records to come");
    assert_eq!(error(&fetch(6, 2, end(3, -1))), ErrorCode::InvalidRequest);
    assert_eq!(error(&fetch(6, 2, end(-1, 10))), ErrorCode::InvalidRequest, "of which log?");
    assert_eq!(replica.epoch(), epoch(6), "a fetch raises no epoch");
    assert_eq!(
        follower(3).fetch(T0, &fetch(5, 3, end(3, 10))).error,
        ErrorCode::NotLeaderOrFollower
    );
}

#[test]
fn diverging_logs_are_told_where() {
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    let ask = Fetch { end_of_last_epoch: (epoch(3), Offset(10)), ..fetch(6, 2, end(4, 14)) };
    assert_eq!(replica.fetch(now, &ask).what, Fetched::Diverging(end(3, 10)));
    let ask = Fetch { end_of_last_epoch: (epoch(3), Offset(10)), ..fetch(6, 2, end(3, 14)) };
    assert_eq!(replica.fetch(now, &ask).what, Fetched::Diverging(end(3, 10)));
    assert_eq!(replica.replicas(now).unwrap().voters[1].log_end, None, "it counts for nothing");
    let reader = Fetch { epoch: LeaderEpoch::NONE, last_epoch: LeaderEpoch::NONE, ..ask };
    assert_eq!(replica.fetch(now, &reader).what, Fetched::Diverging(end(0, 11)), "beyond the end");
}

#[test]
fn log_below_the_start_gets_a_snapshot() {
    let (mut replica, now) = leader(3);
    let snapshot = Some(end(3, 8));
    let with = |ask: Fetch| Fetch { log_start: Offset(5), snapshot, ..ask };
    let below = with(fetch(6, 2, end(2, 3)));
    assert_eq!(replica.fetch(now, &below).what, Fetched::Snapshot(end(3, 8)));
    let empty = with(fetch(6, 2, end(0, 0)));
    assert_eq!(replica.fetch(now, &empty).what, Fetched::Snapshot(end(3, 8)));
    let agrees_below = Fetch { end_of_last_epoch: (epoch(1), Offset(4)), ..fetch(6, 2, end(2, 9)) };
    assert_eq!(replica.fetch(now, &with(agrees_below)).what, Fetched::Snapshot(end(3, 8)));
    let bootstrap = Fetch { snapshot: Some(end(0, 0)), ..fetch(6, 2, end(0, 0)) };
    assert_eq!(replica.fetch(now, &bootstrap).what, Fetched::Records { upto: Offset(11) });
}

#[test]
fn voter_with_another_directory_is_an_observer() {
    let directory = |byte| Some(DirectoryId([byte; 16]));
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    let known = ReplicaKey { id: id(2), directory: directory(2) };
    replica.set_voters(now, [key(1), known, key(3)].into_iter().collect());
    let from = |byte| Fetch {
        from: ReplicaKey { id: id(2), directory: directory(byte) },
        ..fetch(6, 2, end(6, 11))
    };
    replica.fetch(now, &from(8));
    assert_eq!(committed(&replica), None);
    replica.fetch(now, &from(2));
    assert_eq!(committed(&replica), Some(11));
}

#[test]
fn deposed_leader_keeps_its_high_watermark_and_its_log() {
    let (mut replica, now) = leader(3);
    replica.flushed(now, Offset(11));
    follow(&mut replica, now, 2, end(6, 11));
    replica.begin_epoch(now, epoch(7), id(2));
    assert_eq!((state(&replica), replica.leads()), ("follower", None));
    assert_eq!((committed(&replica), replica.log()), (Some(11), end(6, 11)));
    assert!(replica.truncated(end(3, 10)).is_err());
}

#[test]
fn new_leader_does_not_expose_what_it_knew_before() {
    let mut replica = follower(3);
    replica.fetched(T0, Offset(8));
    assert_eq!(committed(&replica), Some(8));
    replica.expire(after(2000));
    elect(&mut replica, after(2000));
    elect(&mut replica, after(2000));
    assert_eq!((state(&replica), committed(&replica)), ("leader", None));
}

#[cfg(debug_assertions)]
mod flaws {
    use super::*;
    use crate::base::{Flaw, Flaws};

    fn flawed(count: i32, flaw: Flaw) -> (Quorum, Instant) {
        let mut replica = unattached_with(count, Flaws::only(flaw));
        let at = replica.deadline().unwrap();
        replica.expire(at);
        elect(&mut replica, at);
        elect(&mut replica, at);
        replica.appended(at, end(6, 11));
        (replica, at)
    }

    #[test]
    fn unsynced_position_counts() {
        let (mut replica, now) = flawed(3, Flaw::NoFsyncBeforeAck);
        follow(&mut replica, now, 2, end(6, 11));
        assert_eq!(committed(&replica), Some(11));
    }

    #[test]
    fn old_epochs_are_committed_by_counting() {
        let (mut replica, now) = flawed(3, Flaw::CommitOldEpoch);
        replica.flushed(now, Offset(11));
        follow(&mut replica, now, 2, end(3, 9));
        assert_eq!(committed(&replica), Some(9));
    }

    #[test]
    fn removed_leader_counts_itself() {
        let (mut replica, now) = flawed(3, Flaw::LeaderCountsItself);
        replica.flushed(now, Offset(11));
        replica.set_voters(now, voters(&[2, 3]));
        follow(&mut replica, now, 2, end(6, 11));
        assert_eq!(committed(&replica), Some(11));
    }

    #[test]
    fn lonely_leader_leads_on() {
        let (mut replica, now) = flawed(3, Flaw::NoCheckQuorum);
        replica.expire(now + Duration::from_secs(60));
        assert_eq!(state(&replica), "leader");
    }
}
