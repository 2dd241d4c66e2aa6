//! The membership machine against answers made by hand, and against arbitrary ones.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::membership::{Event, Membership, Step, Trouble};
use super::*;
use crate::base::config::{Config, ConsumerConfig};
use crate::base::{BrokerId, Instant, TopicPartition};
use crate::client::kernel::{Cluster, RequestId, Requests, metadata};
use crate::wire::ErrorCode;
use crate::wire::messages::join_group_response::JoinGroupResponseMember;
use crate::wire::messages::*;

/// A member, its clock, and what it has asked.
struct Stage {
    member: Membership,
    now: Instant,
    cluster: Cluster,
    ids: Requests<()>,
    asked: Vec<(RequestId, Request)>,
    has_coordinator: bool,
    /// The honest coordinator's generation.
    generation: i32,
}

const COOPERATIVE: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");
const BY_HAND: (&str, &str) = ("enable.auto.commit", "false");

fn orders(partitions: impl IntoIterator<Item = i32>) -> Vec<TopicPartition> {
    partitions.into_iter().map(|index| TopicPartition::new("orders", index)).collect()
}

fn pause(failures: u32) -> Duration {
    Duration::from_millis(100) * failures.min(10)
}

impl Stage {
    /// A consumer that has subscribed to `orders`, which has three partitions.
    fn new(settings: &[(&str, &str)]) -> Self {
        let mut config = ConsumerConfig::default();
        config.set("group.id", "shop").unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let settings = Settings::new(&config).unwrap().unwrap();
        let now = Instant::from_secs(1);
        let mut stage = Self {
            member: Membership::new(settings, now),
            now,
            cluster: Cluster::default(),
            ids: Requests::default(),
            asked: Vec::new(),
            has_coordinator: true,
            generation: 0,
        };
        stage.member.subscribe(Subscription::to(["orders".into()]));
        stage.partitions(3);
        stage
    }

    /// One that owns these partitions in generation 1 as `m`.
    fn stable(settings: &[(&str, &str)], owned: impl IntoIterator<Item = i32>) -> Self {
        let mut stage = Self::new(settings);
        stage.poll();
        stage.generation = 1;
        stage.follow(owned);
        stage
    }

    /// Metadata say that `orders` has so many partitions.
    fn partitions(&mut self, count: usize) {
        self.cluster.update(&metadata(3, "orders", 7, &vec![(1, 5); count]));
        self.member.metadata_changed(&self.cluster, false, &[]);
    }

    fn ask(&mut self) -> bool {
        let Self { member, ids, asked, cluster, .. } = self;
        let silent = member.ask(self.now, self.has_coordinator, cluster, &mut |request, _| {
            let id = ids.next_id();
            ids.began(id, BrokerId(1), ());
            asked.push((id, request));
            id
        });
        member.check();
        silent
    }

    /// Polls until nothing is to be done; listeners return at once, commits succeed. Returns what the
    /// listener was told.
    fn poll(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Some(step) = self.member.poll(self.now) {
            self.member.check();
            match step {
                Step::Commit { .. } => self.member.committed(),
                Step::Tell(event) => {
                    told.push(event);
                    self.member.told();
                }
            }
            self.member.check();
        }
        self.ask();
        told
    }

    fn pass(&mut self, millis: u64) -> bool {
        self.now = self.now + Duration::from_millis(millis);
        self.ask()
    }

    /// Lets time pass with heartbeats that succeed, and polls.
    fn pass_quietly(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1000);
            self.poll();
            for (id, request) in std::mem::take(&mut self.asked) {
                assert!(matches!(request, Request::Heartbeat(_)), "{request:?}");
                self.answer(id, &Response::Heartbeat(HeartbeatResponse::default()));
            }
        }
    }

    fn answer(&mut self, id: RequestId, answer: &Response) -> ErrorCode {
        let Self { member, cluster, .. } = self;
        let error = member.answered(self.now, id, Ok(answer), cluster, &mut pause);
        member.check();
        self.ask();
        error
    }

    fn fail(&mut self, id: RequestId, error: ErrorCode) {
        let Self { member, cluster, .. } = self;
        member.answered(self.now, id, Err(error), cluster, &mut pause);
        member.check();
        self.ask();
    }

    fn join(&mut self) -> (RequestId, JoinGroupRequest) {
        match self.asked.remove(0) {
            (id, Request::Join(join)) => (id, join),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn sync(&mut self) -> (RequestId, SyncGroupRequest) {
        match self.asked.remove(0) {
            (id, Request::Sync(sync)) => (id, sync),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn leave(&mut self) -> LeaveGroupRequest {
        match self.asked.remove(0) {
            (_, Request::Leave(leave)) => leave,
            (_, other) => panic!("{other:?}"),
        }
    }

    fn heartbeat(&mut self, error: ErrorCode) {
        while self.asked.is_empty() {
            self.pass(1000);
        }
        let (id, request) = self.asked.remove(0);
        assert!(matches!(request, Request::Heartbeat(_)), "{request:?}");
        let answer = message!(HeartbeatResponse { error_code: error.code() });
        self.answer(id, &Response::Heartbeat(answer));
    }

    fn refuse_join(&mut self, error: ErrorCode) {
        let (id, _) = self.join();
        let answer =
            message!(JoinGroupResponse { error_code: error.code(), member_id: "m".into() });
        self.answer(id, &Response::Join(answer));
    }

    fn refuse_sync(&mut self, error: ErrorCode) {
        let (id, _) = self.sync();
        let answer = message!(SyncGroupResponse { error_code: error.code() });
        self.answer(id, &Response::Sync(answer));
    }

    /// The group completes a join that another member leads.
    fn joined(&mut self) -> JoinGroupRequest {
        let (id, join) = self.join();
        let answer = message!(JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some("consumer".into()),
            protocol_name: Some(join.protocols[0].name.clone()),
            leader: "another".into(),
            member_id: "m".into(),
        });
        self.answer(id, &Response::Join(answer));
        join
    }

    fn synced(&mut self, share: &[TopicPartition]) -> Vec<Event> {
        let (id, _) = self.sync();
        let assignment = payload::write_assignment(share).unwrap();
        self.answer(id, &Response::Sync(message!(SyncGroupResponse { assignment: assignment })));
        self.poll()
    }

    /// Joins as a follower, and is assigned these.
    fn follow(&mut self, share: impl IntoIterator<Item = i32>) -> Vec<Event> {
        self.joined();
        let told = self.synced(&orders(share));
        self.generation += 1;
        told
    }

    /// Answers everything as a coordinator does that has this member alone.
    fn be_honest(&mut self) {
        for (id, request) in std::mem::take(&mut self.asked) {
            let answer = match request {
                Request::Join(join) if join.member_id.is_empty() => {
                    Response::Join(message!(JoinGroupResponse {
                        error_code: ErrorCode::MemberIdRequired.code(),
                        member_id: "honest".into(),
                    }))
                }
                Request::Join(join) => {
                    self.generation += 1;
                    let own = message!(JoinGroupResponseMember {
                        member_id: join.member_id.clone(),
                        metadata: join.protocols[0].metadata.clone(),
                    });
                    Response::Join(message!(JoinGroupResponse {
                        generation_id: self.generation,
                        protocol_name: Some(join.protocols[0].name.clone()),
                        leader: join.member_id.clone(),
                        member_id: join.member_id,
                        members: vec![own],
                    }))
                }
                Request::Sync(sync) => {
                    let own = sync.assignments.iter().find(|a| a.member_id == sync.member_id);
                    let assignment = own.map_or(Bytes::new(), |own| own.assignment.clone());
                    Response::Sync(message!(SyncGroupResponse { assignment: assignment }))
                }
                Request::Heartbeat(_) => Response::Heartbeat(HeartbeatResponse::default()),
                Request::Leave(_) => Response::Leave(LeaveGroupResponse::default()),
                other => panic!("{other:?}"),
            };
            self.answer(id, &answer);
        }
    }

    fn owns(&self) -> Vec<TopicPartition> {
        self.member.owned().iter().cloned().collect()
    }
}

fn subscription_of(join: &JoinGroupRequest) -> crate::client::assignor::Member {
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
    let other = crate::client::assignor::Member {
        topics: ["payments".into()].into(),
        ..Default::default()
    };
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
}

#[test]
fn cooperative_member_revokes_only_what_it_is_not_assigned_again() {
    let mut stage = Stage::stable(&[COOPERATIVE, BY_HAND], 0..3);
    stage.heartbeat(ErrorCode::RebalanceInProgress);
    assert!(stage.poll().is_empty(), "it goes on reading");
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
            assert!(stage.member.stable_generation().is_none(), "nothing can be committed");
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
    assert!(stage.member.stable_generation().is_some());
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
    assert_eq!(stage.poll(), [Event::Revoked(orders(0..2))], "nobody reads it here any more");
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
    let remembered = crate::client::assignor::Assignor::Sticky.user_data(Some((&orders(1..3), 1)));
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

/// What happens in an arbitrary order.
#[derive(Clone, Debug)]
enum Act {
    Poll,
    PollPartly,
    Told,
    Committed,
    Pass(u64),
    Honest,
    /// A request, counted from the oldest, is answered with this error, or with an answer to another.
    Refuse(usize, ErrorCode),
    Fail(usize),
    Wrong(usize),
    Coordinator(bool),
    Partitions(usize),
    Subscribe(bool),
    Unsubscribe,
    RefuseCommit(ErrorCode),
}

fn act() -> impl Strategy<Value = Act> {
    let error = || prop::sample::select(ErrorCode::ALL.to_vec());
    prop_oneof![
        4 => Just(Act::Poll),
        2 => Just(Act::PollPartly),
        2 => Just(Act::Told),
        1 => Just(Act::Committed),
        4 => (0..40_000u64).prop_map(Act::Pass),
        6 => Just(Act::Honest),
        4 => (0..3usize, error()).prop_map(|(which, error)| Act::Refuse(which, error)),
        1 => (0..3usize).prop_map(Act::Fail),
        1 => (0..3usize).prop_map(Act::Wrong),
        1 => prop::bool::ANY.prop_map(Act::Coordinator),
        1 => (1..6usize).prop_map(Act::Partitions),
        1 => prop::bool::ANY.prop_map(Act::Subscribe),
        1 => Just(Act::Unsubscribe),
        1 => error().prop_map(Act::RefuseCommit),
    ]
}

impl Stage {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Poll => drop(self.poll()),
            Act::PollPartly => drop(self.member.poll(self.now)),
            Act::Told => self.member.told(),
            Act::Committed => self.member.committed(),
            Act::Pass(millis) => drop(self.pass(*millis)),
            Act::Honest => self.be_honest(),
            Act::Refuse(which, error) => self.refuse(*which, *error),
            Act::Fail(which) if *which < self.asked.len() => {
                let (id, _) = self.asked.remove(*which);
                self.fail(id, ErrorCode::NetworkException);
            }
            Act::Wrong(which) if *which < self.asked.len() => {
                let (id, _) = self.asked.remove(*which);
                self.answer(id, &Response::Commit(OffsetCommitResponse::default()));
            }
            Act::Fail(_) | Act::Wrong(_) => {}
            Act::Coordinator(known) => self.has_coordinator = *known,
            Act::Partitions(count) => self.partitions(*count),
            Act::Subscribe(other) => {
                let topics: &[&str] = if *other { &["orders", "payments"] } else { &["orders"] };
                let topics = topics.iter().map(|topic| Arc::from(*topic));
                self.member.subscribe(Subscription::to(topics));
            }
            Act::Unsubscribe => self.member.unsubscribe("closed"),
            Act::RefuseCommit(error) => {
                let sent = self.member.stable_generation().cloned();
                self.member.commit_refused(sent.as_ref(), *error);
            }
        }
        self.member.check();
        self.ask();
    }

    fn refuse(&mut self, which: usize, error: ErrorCode) {
        if which >= self.asked.len() {
            return;
        }
        let (id, request) = self.asked.remove(which);
        let error_code = error.code();
        let answer = match request {
            Request::Join(_) => Response::Join(message!(JoinGroupResponse {
                error_code: error_code,
                member_id: "m".into(),
            })),
            Request::Sync(_) => {
                Response::Sync(message!(SyncGroupResponse { error_code: error_code }))
            }
            Request::Heartbeat(_) => {
                Response::Heartbeat(message!(HeartbeatResponse { error_code: error_code }))
            }
            Request::Leave(_) => {
                Response::Leave(message!(LeaveGroupResponse { error_code: error_code }))
            }
            other => panic!("{other:?}"),
        };
        self.answer(id, &answer);
    }

    /// Whether anything will still happen without the application's help.
    fn waits_for_application(&mut self) -> bool {
        self.member.poll(self.now).is_some()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn member_recovers_from_whatever_it_is_answered(
        acts in prop::collection::vec(act(), 0..60),
        cooperative in prop::bool::ANY,
        is_static in prop::bool::ANY,
    ) {
        let mut settings = vec![("max.poll.interval.ms", "60000")];
        settings.extend(cooperative.then_some(COOPERATIVE));
        settings.extend(is_static.then_some(("group.instance.id", "i")));
        let mut stage = Stage::new(&settings);
        for act in &acts {
            stage.act(act);
        }
        // From now on all is well.
        let fenced = Some(Trouble::Refused(ErrorCode::FencedInstanceId));
        let mut last = None;
        while let Some(trouble) = stage.member.take_trouble() {
            let again = last.as_ref() == Some(&trouble) && fenced.as_ref() == Some(&trouble);
            last = Some(trouble);
            if again {
                break;
            }
        }
        if last == fenced {
            stage.poll();
            stage.asked.clear();
            stage.pass(100_000);
            let silent = stage.asked.iter().all(|(_, asked)| matches!(asked, Request::Leave(_)));
            prop_assert!(silent, "fenced, and asks {:?}", stage.asked);
            return Ok(());
        }
        stage.has_coordinator = true;
        stage.member.subscribe(Subscription::to(["orders".into()]));
        for _ in 0..20 {
            if stage.ask() {
                // Another coordinator is found.
                stage.has_coordinator = false;
                stage.ask();
                stage.has_coordinator = true;
            }
            // Of `payments` it is known that it does not exist.
            stage.member.metadata_changed(&stage.cluster, false, &["payments".into()]);
            stage.poll();
            stage.be_honest();
            stage.pass(1000);
        }
        let all = stage.cluster.topic("orders").map_or(0, |topic| topic.partitions.len());
        prop_assert_eq!(stage.owns(), orders(0..all as i32));
        prop_assert!(!stage.waits_for_application());
    }
}
