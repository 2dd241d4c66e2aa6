//! Each rule of membership, and each error.

use std::time::Duration;

use super::*;
use crate::client::assignor::{Assignor, Member};
use crate::client::group::Trouble;

fn subscription_of(join: &JoinGroupRequest) -> Member {
    read_subscription(join.protocols[0].metadata.clone()).unwrap()
}

#[test]
fn new_member_joins_in_two_steps_and_leads() {
    let mut stage = Stage::new(&[]);
    assert!(stage.poll().is_empty());
    let (id, first) = stage.join();
    assert_eq!((first.member_id.as_str(), first.rebalance_timeout_ms), ("", 300_000));
    let names: Vec<_> = first.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
    assert_eq!(names, ["range", "cooperative-sticky"]);
    let required = ErrorCode::MemberIdRequired.code();
    let answer = message!(JoinGroupResponse { error_code: required, member_id: "m".into() });
    stage.answer(id, &Response::Join(answer));
    let Request::Join(second) = &stage.asked[0].1 else { panic!("{:?}", stage.asked) };
    assert_eq!(second.member_id.as_str(), "m", "at once, without a poll");
    stage.be_honest();
    let (id, sync) = stage.sync();
    assert_eq!((sync.generation_id, sync.assignments.len()), (1, 1));
    let share = read_assignment(sync.assignments[0].assignment.clone()).unwrap();
    assert_eq!(share, orders(0..3));
    let answer = message!(SyncGroupResponse { assignment: sync.assignments[0].assignment.clone() });
    stage.answer(id, &Response::Sync(answer));
    assert!(stage.owns().is_empty(), "between polls, nothing is assigned");
    assert_eq!(stage.poll(), [Event::Assigned(orders(0..3))]);
    assert_eq!(stage.owns(), orders(0..3));
}

#[test]
fn leader_waits_for_metadata_of_topics_that_only_others_read() {
    let mut stage = Stage::new(&[]);
    stage.poll();
    let (id, join) = stage.join();
    let other = Member { topics: ["payments".into()].into(), ..Default::default() };
    let row = |member: &str, metadata| {
        message!(JoinGroupResponseMember { member_id: member.into(), metadata: metadata })
    };
    let answer = message!(JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some("range".into()),
        leader: "m".into(),
        member_id: "m".into(),
        members: vec![
            row("m", join.protocols[0].metadata.clone()),
            row("other", payload::write_subscription(&other).unwrap()),
        ],
    });
    stage.answer(id, &Response::Join(answer));
    assert!(stage.asked.is_empty());
    assert!(stage.member.topics().any(|topic| &**topic == "payments"));
    stage.member.metadata_changed(&stage.cluster, false, &["payments".into()]);
    stage.ask();
    let (_, sync) = stage.sync();
    assert_eq!(sync.assignments.len(), 2, "a topic that does not exist is not waited for");
}

#[test]
fn stable_member_heartbeats_between_polls() {
    let mut stage = Stage::stable(&[], 0..3);
    let begin = stage.now;
    for n in 1..=5 {
        while stage.asked.is_empty() {
            stage.pass(100);
        }
        assert_eq!(stage.now, begin + Duration::from_secs(3 * n));
        stage.heartbeat(ErrorCode::None);
    }
}

#[test]
fn eager_member_commits_and_gives_everything_up_before_it_joins_again() {
    let mut stage = Stage::stable(&[], 0..3);
    stage.heartbeat(ErrorCode::RebalanceInProgress);
    assert!(stage.asked.is_empty(), "the application is still processing");
    let until = stage.now + Duration::from_secs(300);
    assert_eq!(stage.member.poll(stage.now), Some(Step::Commit { until }));
    assert!(stage.member.holds_back(), "what is committed is all that was returned");
    stage.member.committed();
    let revoked = Event::Revoked(orders(0..3));
    assert_eq!(stage.member.poll(stage.now), Some(Step::Tell(revoked.clone())));
    assert_eq!(
        stage.member.poll(stage.now),
        Some(Step::Tell(revoked)),
        "a dropped call is repeated"
    );
    assert_eq!(stage.owns(), orders(0..3), "the listener can still commit");
    stage.ask();
    assert!(stage.asked.is_empty());
    stage.member.told();
    stage.ask();
    let Request::Join(join) = &stage.asked[0].1 else { panic!("{:?}", stage.asked) };
    assert_eq!((join.member_id.as_str(), subscription_of(join).owned), ("m", vec![]));
    assert_eq!(stage.follow([1]), [Event::Assigned(orders([1]))]);
    assert_eq!(stage.owns(), orders([1]));
}

#[test]
fn commit_before_a_revocation_is_bounded_by_the_rebalance_timeout() {
    let mut stage = Stage::stable(&[("max.poll.interval.ms", "10000")], 0..3);
    stage.heartbeat(ErrorCode::RebalanceInProgress);
    assert!(matches!(stage.member.poll(stage.now), Some(Step::Commit { .. })));
    stage.now = stage.now + Duration::from_secs(9);
    assert!(matches!(stage.member.poll(stage.now), Some(Step::Commit { .. })));
    stage.now = stage.now + Duration::from_secs(1);
    assert_eq!(stage.member.poll(stage.now), Some(Step::Tell(Event::Revoked(orders(0..3)))));
    let mut stage = Stage::stable(&[("max.poll.interval.ms", "10000")], 0..3);
    stage.heartbeat(ErrorCode::RebalanceInProgress);
    for _ in 0..2 {
        assert!(matches!(stage.member.poll(stage.now), Some(Step::Commit { .. })));
        stage.pass(6000);
    }
    assert!(stage.member.deadline() > stage.now, "without a poll, no one waits for it");
}

#[test]
fn cooperative_member_revokes_only_what_it_is_not_assigned_again() {
    let mut stage = Stage::stable(&[COOPERATIVE, BY_HAND], 0..3);
    stage.heartbeat(ErrorCode::RebalanceInProgress);
    assert!(stage.poll().is_empty(), "it continues to read");
    let join = stage.joined();
    let told = subscription_of(&join);
    assert_eq!((told.owned, told.generation), (orders(0..3), Some(1)));
    let told = stage.synced(&orders(0..2));
    assert_eq!(told, [Event::Revoked(orders([2])), Event::Assigned(vec![])]);
    stage.generation = 3;
    let join = stage.joined();
    assert_eq!(
        join.reason.as_ref().map(|r| r.as_str()),
        Some("need to revoke partitions and re-join")
    );
    assert_eq!(subscription_of(&join).owned, orders(0..2));
    assert_eq!(stage.synced(&orders(0..2)), [Event::Assigned(vec![])]);
    assert_eq!(stage.owns(), orders(0..2));
}

#[test]
fn expelled_member_loses_its_partitions_and_joins_as_told() {
    for (error, id) in [(ErrorCode::UnknownMemberId, ""), (ErrorCode::IllegalGeneration, "m")] {
        for settings in [&[][..], &[COOPERATIVE]] {
            let mut stage = Stage::stable(settings, 0..3);
            stage.heartbeat(error);
            assert!(stage.asked.is_empty());
            assert!(stage.member.identity().is_none(), "nothing can be committed");
            assert_eq!(stage.poll(), [Event::Lost(orders(0..3))], "{error}");
            let (_, join) = stage.join();
            assert_eq!(join.member_id.as_str(), id);
            assert_eq!(subscription_of(&join).generation, None);
        }
    }
}

#[test]
fn member_whose_application_polls_too_late_leaves() {
    let settings = [("max.poll.interval.ms", "10000"), BY_HAND];
    let mut stage = Stage::stable(&settings, 0..3);
    for _ in 0..3 {
        stage.heartbeat(ErrorCode::None);
    }
    stage.pass(1000);
    let leave = stage.leave();
    assert_eq!(leave.members[0].member_id.as_str(), "m");
    stage.pass(60_000);
    assert!(stage.asked.is_empty(), "no heartbeat, and no join before a poll");
    assert_eq!(stage.poll(), [Event::Lost(orders(0..3))]);
    assert_eq!(stage.join().1.member_id.as_str(), "");
    let statically = [settings[0], settings[1], ("group.instance.id", "i")];
    let mut stage = Stage::stable(&statically, 0..3);
    for _ in 0..3 {
        stage.heartbeat(ErrorCode::None);
    }
    stage.pass(1000);
    assert!(stage.asked.is_empty(), "a static member does not leave");
    assert_eq!(stage.poll(), [Event::Lost(orders(0..3))]);
}

#[test]
fn dynamic_member_leaves_at_the_end_and_a_static_one_stays() {
    let mut stage = Stage::stable(&[], 0..3);
    stage.member.unsubscribe("closed");
    assert!(!stage.member.has_left());
    assert_eq!(stage.poll(), [Event::Revoked(orders(0..3))]);
    assert_eq!(stage.asked.len(), 1);
    stage.be_honest();
    assert!(stage.member.has_left() && stage.owns().is_empty());
    let mut stage = Stage::stable(&[("group.instance.id", "i")], 0..3);
    stage.member.unsubscribe("closed");
    assert_eq!(stage.poll(), [Event::Revoked(orders(0..3))]);
    assert!(stage.asked.is_empty() && stage.member.has_left());
}

#[test]
fn fenced_instance_stops_for_good() {
    let mut stage = Stage::stable(&[("group.instance.id", "i")], 0..3);
    stage.heartbeat(ErrorCode::FencedInstanceId);
    for _ in 0..3 {
        let fenced = Some(Trouble::Refused(ErrorCode::FencedInstanceId));
        assert_eq!(stage.member.take_trouble(), fenced);
        stage.poll();
        stage.pass(100_000);
        assert!(stage.asked.is_empty() && stage.owns().is_empty());
    }
}

#[test]
fn errors_that_do_not_pass_are_reported_and_the_next_poll_tries_again() {
    for error in [
        ErrorCode::InconsistentGroupProtocol,
        ErrorCode::InvalidSessionTimeout,
        ErrorCode::InvalidGroupId,
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::GroupMaxSizeReached,
        ErrorCode::UnsupportedVersion,
        ErrorCode::UnknownServerError,
    ] {
        let mut stage = Stage::new(&[]);
        stage.poll();
        stage.refuse_join(error);
        assert_eq!(stage.member.take_trouble(), Some(Trouble::Refused(error)));
        stage.pass(100_000);
        assert!(stage.asked.is_empty(), "{error}: only the application can know");
        stage.poll();
        stage.join();
    }
}

#[test]
fn errors_that_pass_lead_to_another_join_after_growing_pauses() {
    for error in [
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotCoordinator,
    ] {
        let mut stage = Stage::new(&[]);
        stage.poll();
        for failures in 1..5 {
            stage.refuse_join(error);
            assert!(stage.asked.is_empty());
            let wait = stage.member.deadline().since(stage.now);
            assert_eq!(wait, pause(failures), "{error}");
            stage.now = stage.member.deadline();
            stage.ask();
        }
        assert_eq!(stage.member.take_trouble(), None);
    }
}

#[test]
fn interrupted_sync_leads_to_another_join() {
    let rejoins = |error: ErrorCode| {
        let mut stage = Stage::new(&[]);
        stage.poll();
        stage.generation = 1;
        stage.joined();
        stage.refuse_sync(error);
        stage.poll();
        stage.pass(1000);
        stage.join().1.member_id.as_str().to_owned()
    };
    assert_eq!(rejoins(ErrorCode::RebalanceInProgress), "m");
    assert_eq!(rejoins(ErrorCode::NotCoordinator), "m");
    assert_eq!(rejoins(ErrorCode::IllegalGeneration), "m");
    assert_eq!(rejoins(ErrorCode::UnknownMemberId), "");
}

#[test]
fn cooperative_member_that_is_expelled_in_a_rebalance_loses_what_it_kept() {
    for (error, lost) in [
        (ErrorCode::RebalanceInProgress, false),
        (ErrorCode::CoordinatorNotAvailable, false),
        (ErrorCode::IllegalGeneration, true),
        (ErrorCode::UnknownMemberId, true),
    ] {
        let mut stage = Stage::stable(&[COOPERATIVE, BY_HAND], 0..3);
        stage.heartbeat(ErrorCode::RebalanceInProgress);
        stage.poll();
        stage.joined();
        stage.refuse_sync(error);
        let told = if lost { vec![Event::Lost(orders(0..3))] } else { vec![] };
        assert_eq!(stage.poll(), told, "{error}");
        stage.pass(1000);
        let keeps = if lost { vec![] } else { orders(0..3) };
        assert_eq!(subscription_of(&stage.join().1).owned, keeps, "{error}");
    }
}

#[test]
fn answers_of_an_earlier_generation_change_nothing() {
    let mut stage = Stage::stable(&[BY_HAND], 0..3);
    stage.pass(3000);
    let (late, _) = stage.asked.remove(0);
    stage.pass(3000);
    stage.heartbeat(ErrorCode::RebalanceInProgress);
    stage.poll();
    stage.follow(0..3);
    let answer = message!(HeartbeatResponse { error_code: ErrorCode::UnknownMemberId.code() });
    stage.answer(late, &Response::Heartbeat(answer));
    assert!(stage.member.identity().is_some());
}

#[test]
fn silent_coordinator_is_looked_for_after_a_session() {
    let mut stage = Stage::stable(&[("session.timeout.ms", "10000")], 0..3);
    for _ in 0..3 {
        assert!(!stage.pass(3000));
    }
    assert!(stage.pass(1000), "no heartbeat was answered for ten seconds");
    stage.has_coordinator = false;
    stage.pass(1000);
    stage.has_coordinator = true;
    assert!(!stage.pass(1000), "another one was found");
}

#[test]
fn changed_partitions_make_the_leader_assign_again() {
    let mut stage = Stage::new(&[BY_HAND]);
    for _ in 0..4 {
        stage.poll();
        stage.be_honest();
    }
    assert_eq!(stage.poll().len() + stage.owns().len(), 3, "it owns all three");
    stage.partitions(3);
    assert!(stage.poll().is_empty(), "nothing has changed");
    stage.partitions(4);
    assert_eq!(stage.poll(), [Event::Revoked(orders(0..3))]);
    for _ in 0..3 {
        stage.be_honest();
        stage.poll();
    }
    assert_eq!(stage.owns(), orders(0..4));
    let mut follower = Stage::stable(&[BY_HAND], 0..3);
    follower.partitions(4);
    assert!(follower.poll().is_empty(), "a follower leaves that to the leader");
}

#[test]
fn changed_subscription_leads_to_another_join() {
    let mut stage = Stage::stable(&[COOPERATIVE, BY_HAND], 0..2);
    stage.member.subscribe(Subscription::to(["payments".into()]));
    assert_eq!(stage.poll(), [Event::Revoked(orders(0..2))], "it is not read here any more");
    assert_eq!(subscription_of(&stage.join().1).topics, ["payments".into()].into());
}

#[test]
fn assignment_of_a_topic_without_subscription_is_not_taken() {
    let mut stage = Stage::new(&[]);
    stage.poll();
    stage.generation = 1;
    stage.joined();
    assert!(stage.synced(&[TopicPartition::new("payments", 0)]).is_empty());
    stage.poll();
    assert!(stage.owns().is_empty());
    stage.join();
}

#[test]
fn pattern_takes_topics_that_the_leader_knew_first() {
    let mut stage = Stage::new(&[COOPERATIVE, BY_HAND]);
    stage.member.subscribe(Subscription::matching("o.*").unwrap());
    stage.poll();
    assert!(stage.asked.is_empty(), "what matches is not known yet");
    stage.member.metadata_changed(&stage.cluster, true, &[]);
    stage.ask();
    stage.generation = 1;
    stage.joined();
    let share = [TopicPartition::new("offers", 0)];
    assert_eq!(stage.synced(&share), [Event::Assigned(share.to_vec())]);
    assert!(stage.poll().is_empty() && stage.asked.is_empty(), "no reason to join again");
}

#[test]
fn sticky_member_remembers_its_last_assignment() {
    let sticky = [("partition.assignment.strategy", "sticky"), BY_HAND];
    let mut stage = Stage::stable(&sticky, 1..3);
    stage.heartbeat(ErrorCode::RebalanceInProgress);
    stage.poll();
    let told = subscription_of(&stage.join().1);
    let remembered = Assignor::Sticky.user_data(Some((&orders(1..3), 1)));
    assert_eq!((told.owned, told.user_data), (vec![], remembered));
}

#[test]
fn unreadable_assignment_is_reported() {
    let mut stage = Stage::new(&[]);
    stage.poll();
    stage.generation = 1;
    stage.joined();
    let (id, _) = stage.sync();
    stage.answer(id, &Response::Sync(SyncGroupResponse::default()));
    assert!(matches!(stage.member.take_trouble(), Some(Trouble::Unreadable(_))));
    stage.poll();
    stage.pass(1000);
    stage.join();
}

#[test]
fn enforced_rebalance_joins_again_with_its_reason() {
    let mut stage = Stage::stable(&[COOPERATIVE, BY_HAND], 0..3);
    stage.poll();
    assert!(stage.asked.is_empty(), "nothing has changed");
    for (reason, said) in [(None, "rebalance enforced by user"), (Some("new rack"), "new rack")] {
        stage.member.enforce_rebalance(reason);
        stage.poll();
        let (_, join) = stage.join();
        assert_eq!(join.reason.as_ref().map(|reason| reason.as_str()), Some(said));
        stage.member = Stage::stable(&[COOPERATIVE, BY_HAND], 0..3).member;
    }
    stage.member.enforce_rebalance(Some(&"x".repeat(300)));
    stage.poll();
    assert_eq!(stage.join().1.reason.map(|reason| reason.as_str().len()), Some(255));
}
