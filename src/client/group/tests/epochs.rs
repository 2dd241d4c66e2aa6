//! The machine of the consumer protocol (KIP-848).

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{BY_HAND, orders, pause};
use crate::base::config::{Config, ConsumerConfig};
use crate::base::{BrokerId, Instant, TopicId, TopicPartition};
use crate::client::group::epochs::Epochs;
use crate::client::group::{Event, Request, Response, Settings, Step, Subscription, Trouble};
use crate::client::kernel::{Cluster, RequestId, Requests, metadata};
use crate::wire::ErrorCode;
use crate::wire::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatResponse, message,
};
use std::time::Duration;

/// The id of `orders`, and of a topic that no metadata name.
const ORDERS: TopicId = TopicId([7; 16]);
const UNKNOWN: TopicId = TopicId([8; 16]);

struct Stage {
    member: Epochs,
    now: Instant,
    cluster: Cluster,
    ids: Requests<()>,
    asked: Vec<(RequestId, ConsumerGroupHeartbeatRequest)>,
    has_coordinator: bool,
}

impl Stage {
    /// A consumer that has subscribed to `orders`.
    fn new(settings: &[(&str, &str)]) -> Self {
        let mut config = ConsumerConfig::default();
        config.set_all([("group.id", "shop"), ("group.protocol", "consumer")]).unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let settings = Settings::new(&config).unwrap().unwrap();
        let now = Instant::from_secs(1);
        let mut cluster = Cluster::default();
        cluster.update(&metadata(3, "orders", 7, &[(1, 5); 4]));
        let mut stage = Self {
            member: Epochs::new(settings, "me".into(), now),
            now,
            cluster,
            ids: Requests::default(),
            asked: Vec::new(),
            has_coordinator: true,
        };
        stage.member.subscribe(Subscription::to(["orders".into()]));
        stage
    }

    /// One that owns these partitions in epoch 1.
    fn stable(settings: &[(&str, &str)], owned: impl IntoIterator<Item = i32>) -> Self {
        let mut stage = Self::new(settings);
        stage.poll();
        stage.accept(1, Some(owned.into_iter().collect()));
        stage.poll();
        stage.accept(1, None);
        stage
    }

    fn ask(&mut self) {
        let Self { member, ids, asked, .. } = self;
        member.ask(self.now, self.has_coordinator, &mut |request, _| {
            let id = ids.next_id();
            ids.began(id, BrokerId(1), ());
            let Request::ConsumerHeartbeat(heartbeat) = request else { panic!("{request:?}") };
            asked.push((id, heartbeat));
            id
        });
        member.check();
    }

    fn poll(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Some(step) = self.member.poll(self.now) {
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

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.ask();
    }

    fn answer(&mut self, id: RequestId, answer: Result<&Response, ErrorCode>) {
        let Self { member, cluster, .. } = self;
        member.answered(self.now, id, answer, cluster, &mut pause);
        member.check();
        self.ask();
    }

    fn heartbeat(&mut self) -> (RequestId, ConsumerGroupHeartbeatRequest) {
        assert!(!self.asked.is_empty(), "no heartbeat is under way");
        self.asked.remove(0)
    }

    /// The coordinator accepts the heartbeat under way, and perhaps says what to own.
    fn accept(
        &mut self,
        epoch: i32,
        target: Option<BTreeSet<i32>>,
    ) -> ConsumerGroupHeartbeatRequest {
        self.accept_topics(epoch, target.map(|target| vec![(ORDERS, target)]))
    }

    fn accept_topics(
        &mut self,
        epoch: i32,
        target: Option<Vec<(TopicId, BTreeSet<i32>)>>,
    ) -> ConsumerGroupHeartbeatRequest {
        let (id, heartbeat) = self.heartbeat();
        let assignment = target.map(|target| {
            let topics = target.into_iter().map(|(topic, indexes)| {
                message!(TopicPartitions {
                    topic_id: topic.into(),
                    partitions: indexes.into_iter().collect(),
                })
            });
            message!(Assignment { topic_partitions: topics.collect() })
        });
        let answer = message!(ConsumerGroupHeartbeatResponse {
            member_epoch: epoch,
            heartbeat_interval_ms: 5000,
            assignment: assignment,
        });
        self.answer(id, Ok(&Response::ConsumerHeartbeat(answer)));
        heartbeat
    }

    fn refuse(&mut self, error: ErrorCode) {
        let (id, _) = self.heartbeat();
        let answer = message!(ConsumerGroupHeartbeatResponse { error_code: error.code() });
        self.answer(id, Ok(&Response::ConsumerHeartbeat(answer)));
    }

    fn owns(&self) -> Vec<TopicPartition> {
        self.member.owned().iter().cloned().collect()
    }
}

fn owned_in(heartbeat: &ConsumerGroupHeartbeatRequest) -> Option<Vec<i32>> {
    let topics = heartbeat.topic_partitions.as_ref()?;
    Some(topics.iter().flat_map(|topic| topic.partitions.iter().copied()).collect())
}

#[test]
fn member_joins_takes_its_target_and_acknowledges_it() {
    let mut stage = Stage::new(&[("group.remote.assignor", "uniform")]);
    assert!(stage.asked.is_empty(), "before the first poll");
    assert!(stage.poll().is_empty());
    let join = stage.accept(3, Some([0, 2].into()));
    assert_eq!((join.member_id.as_str(), join.member_epoch), ("me", 0));
    assert_eq!(join.rebalance_timeout_ms, 300_000);
    assert_eq!(join.subscribed_topic_names.as_ref().map(Vec::len), Some(1));
    assert_eq!(join.server_assignor.as_ref().map(|name| name.as_str()), Some("uniform"));
    assert_eq!(owned_in(&join), Some(vec![]));
    assert!(stage.owns().is_empty() && stage.asked.is_empty(), "between polls, nothing is taken");
    assert_eq!(stage.poll(), [Event::Assigned(orders([0, 2]))]);
    let acknowledgement = stage.accept(3, None);
    assert_eq!(acknowledgement.member_epoch, 3);
    assert_eq!(owned_in(&acknowledgement), Some(vec![0, 2]));
    assert_eq!(acknowledgement.subscribed_topic_names, None, "only what has changed");
    stage.pass(4);
    assert!(stage.asked.is_empty(), "the coordinator sets the pace");
    stage.pass(1);
    let (_, quiet) = stage.heartbeat();
    assert_eq!((owned_in(&quiet), quiet.rebalance_timeout_ms), (None, -1));
}

/// The pattern in the heartbeat under way, which is accepted.
fn pattern_said(stage: &mut Stage, epoch: i32) -> Option<String> {
    let heartbeat = stage.accept(epoch, None);
    heartbeat.subscribed_topic_regex.map(|regex| regex.as_str().to_owned())
}

#[test]
fn pattern_for_the_coordinator_is_said_once_and_taken_back() {
    let mut stage = Stage::new(&[]);
    stage.member.subscribe(Subscription::evaluated_by_coordinator("ord.*"));
    stage.poll();
    assert!(stage.member.topics().next().is_none(), "the coordinator knows the topics");
    assert_eq!(pattern_said(&mut stage, 1).as_deref(), Some("ord.*"));
    stage.pass(5);
    assert_eq!(pattern_said(&mut stage, 1), None);
    stage.member.subscribe(Subscription::to(["orders".into()]));
    stage.pass(5);
    let (id, heartbeat) = stage.heartbeat();
    assert_eq!(heartbeat.subscribed_topic_regex.as_ref().map(|regex| regex.as_str()), Some(""));
    // Whether it arrived is not known: it is said again with everything else.
    stage.answer(id, Err(ErrorCode::NetworkException));
    stage.pass(5);
    assert_eq!(pattern_said(&mut stage, 1).as_deref(), Some(""));
    stage.pass(5);
    assert_eq!(pattern_said(&mut stage, 1), None);
}

#[test]
fn invalid_pattern_is_an_error_for_the_application() {
    let mut stage = Stage::new(&[]);
    stage.member.subscribe(Subscription::evaluated_by_coordinator("("));
    stage.poll();
    stage.refuse(ErrorCode::InvalidRegularExpression);
    let refused = Trouble::Refused(ErrorCode::InvalidRegularExpression);
    assert_eq!(stage.member.take_trouble(), Some(refused));
}

#[test]
fn what_is_not_in_the_target_is_committed_revoked_and_acknowledged() {
    let mut stage = Stage::stable(&[], 0..3);
    stage.pass(5);
    stage.accept(2, Some([1, 3].into()));
    assert!(stage.asked.is_empty(), "the application is still processing");
    let until = stage.now + Duration::from_secs(300);
    assert_eq!(stage.member.poll(stage.now), Some(Step::Commit { until }));
    assert!(stage.member.holds_back());
    stage.member.committed();
    let revoked = Event::Revoked(orders([0, 2]));
    assert_eq!(stage.member.poll(stage.now), Some(Step::Tell(revoked)));
    assert_eq!(stage.owns(), orders(0..3), "the listener can still commit");
    assert_eq!(stage.member.identity().map(|identity| identity.epoch), Some(2));
    stage.member.told();
    assert_eq!(stage.poll(), [Event::Assigned(orders([3]))]);
    assert_eq!(owned_in(&stage.accept(2, None)), Some(vec![1, 3]));
}

#[test]
fn target_that_comes_during_a_reconciliation_is_next() {
    let mut stage = Stage::stable(&[BY_HAND], 0..3);
    stage.pass(5);
    stage.accept(2, Some([0, 1].into()));
    assert!(matches!(stage.member.poll(stage.now), Some(Step::Tell(Event::Revoked(_)))));
    stage.pass(5);
    stage.accept(3, Some([0].into()));
    stage.member.told();
    let expected = [Event::Assigned(vec![]), Event::Revoked(orders([1])), Event::Assigned(vec![])];
    assert_eq!(stage.poll(), expected, "nothing goes without a word");
    assert_eq!(stage.owns(), orders([0]));
}

#[test]
fn topic_without_a_known_name_waits_for_metadata() {
    let mut stage = Stage::new(&[]);
    stage.poll();
    stage.accept_topics(1, Some(vec![(ORDERS, [0].into()), (UNKNOWN, [5].into())]));
    assert!(stage.member.needs_metadata());
    assert_eq!(stage.poll(), [Event::Assigned(orders([0]))]);
    stage.accept(1, None);
    assert!(stage.poll().is_empty() && stage.asked.is_empty());
    stage.cluster.update(&metadata(3, "payments", 8, &[(1, 5); 6]));
    stage.member.metadata_changed(&stage.cluster, false);
    assert!(!stage.member.needs_metadata());
    assert_eq!(stage.poll(), [Event::Assigned(vec![TopicPartition::new("payments", 5)])]);
}

#[test]
fn target_of_which_nothing_more_can_be_taken_is_acknowledged_as_far_as_it_is() {
    let mut stage = Stage::stable(&[BY_HAND], 0..2);
    stage.pass(5);
    stage.accept_topics(2, Some(vec![(ORDERS, [0, 1].into()), (UNKNOWN, [5].into())]));
    assert!(stage.poll().is_empty());
    let acknowledgement = stage.accept(2, None);
    assert_eq!(acknowledgement.member_epoch, 2);
    assert_eq!(owned_in(&acknowledgement), Some(vec![0, 1]));
    stage.poll();
    assert!(stage.asked.is_empty(), "once is enough");
}

#[test]
fn fenced_member_loses_its_partitions_and_joins_again() {
    for error in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut stage = Stage::stable(&[], 0..3);
        stage.pass(5);
        stage.refuse(error);
        assert!(stage.member.identity().is_none(), "nothing can be committed");
        stage.pass(5);
        assert!(stage.asked.is_empty(), "not before the application knows");
        assert_eq!(stage.poll(), [Event::Lost(orders(0..3))]);
        stage.pass(1);
        let (_, join) = stage.heartbeat();
        assert_eq!((join.member_id.as_str(), join.member_epoch), ("me", 0), "{error}");
        assert_eq!(owned_in(&join), Some(vec![]));
    }
}

#[test]
fn first_share_since_a_join_is_told_even_if_it_is_empty() {
    let mut stage = Stage::new(&[]);
    stage.poll();
    stage.accept(1, Some([].into()));
    assert_eq!(stage.poll(), [Event::Assigned(Vec::new())]);
    stage.accept(1, None);
    stage.pass(5);
    stage.accept(2, Some([].into()));
    assert!(stage.poll().is_empty(), "nothing has changed");
    stage.pass(5);
    stage.refuse(ErrorCode::UnknownMemberId);
    assert!(stage.poll().is_empty(), "nothing is lost");
    stage.pass(1);
    stage.accept(1, Some([].into()));
    assert_eq!(stage.poll(), [Event::Assigned(Vec::new())]);
}

#[test]
fn errors_that_pass_lead_to_another_heartbeat_that_says_everything() {
    for error in [
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotCoordinator,
    ] {
        let mut stage = Stage::stable(&[], 0..3);
        stage.pass(5);
        for failures in 1..4 {
            stage.refuse(error);
            assert!(stage.asked.is_empty());
            assert_eq!(stage.member.deadline().since(stage.now), pause(failures));
            stage.now = stage.member.deadline();
            stage.ask();
        }
        let (_, again) = stage.heartbeat();
        assert_eq!((again.member_epoch, owned_in(&again)), (1, Some(vec![0, 1, 2])));
        assert_eq!(again.subscribed_topic_names.map(|names| names.len()), Some(1));
    }
}

#[test]
fn other_errors_are_final() {
    for error in [
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::GroupMaxSizeReached,
        ErrorCode::InvalidRequest,
        ErrorCode::UnsupportedAssignor,
        ErrorCode::UnsupportedVersion,
        ErrorCode::UnreleasedInstanceId,
        ErrorCode::FencedInstanceId,
    ] {
        let mut stage = Stage::stable(&[], 0..3);
        stage.pass(5);
        stage.refuse(error);
        assert_eq!(stage.poll(), [Event::Lost(orders(0..3))]);
        stage.pass(1000);
        assert!(stage.asked.is_empty(), "{error}");
        assert_eq!(stage.member.take_trouble(), Some(Trouble::Refused(error)));
        assert_eq!(stage.member.take_trouble(), Some(Trouble::Refused(error)), "it stays");
    }
}

#[test]
fn member_leaves_for_good_and_a_static_one_for_a_while() {
    for (settings, epoch) in [(vec![], -1), (vec![("group.instance.id", "i")], -2)] {
        let mut stage = Stage::stable(&settings, 0..3);
        stage.member.unsubscribe("closed");
        assert_eq!(stage.poll(), [Event::Revoked(orders(0..3))]);
        assert!(!stage.member.has_left());
        assert_eq!(stage.accept(epoch, None).member_epoch, epoch);
        assert!(stage.member.has_left() && stage.owns().is_empty());
    }
}

#[test]
fn member_whose_application_polls_too_late_leaves_and_joins_again() {
    let mut stage = Stage::stable(&[("max.poll.interval.ms", "10000"), BY_HAND], 0..3);
    stage.pass(5);
    stage.accept(1, None);
    stage.pass(5);
    assert_eq!(stage.heartbeat().1.member_epoch, -1);
    assert_eq!(stage.poll(), [Event::Lost(orders(0..3))]);
    assert!(stage.asked.is_empty(), "first it leaves");
}

#[test]
fn changed_subscription_is_said_with_the_next_heartbeat() {
    let mut stage = Stage::stable(&[], 0..3);
    stage.member.subscribe(Subscription::to(["orders".into(), "payments".into()]));
    stage.poll();
    assert!(stage.asked.is_empty());
    stage.pass(5);
    let names = stage.heartbeat().1.subscribed_topic_names.unwrap();
    assert_eq!(names.len(), 2);
}

#[derive(Clone, Debug)]
enum Act {
    Poll,
    PollPartly,
    Told,
    Pass(u64),
    Accept(i32, Option<BTreeSet<i32>>),
    Refuse(ErrorCode),
    Fail,
    Wrong,
    Coordinator(bool),
    Subscribe,
    Unsubscribe,
}

fn act() -> impl Strategy<Value = Act> {
    let target = prop::option::of(prop::collection::btree_set(0..4i32, 0..4));
    prop_oneof![
        4 => Just(Act::Poll),
        2 => Just(Act::PollPartly),
        2 => Just(Act::Told),
        3 => (0..40u64).prop_map(Act::Pass),
        6 => (-1..9i32, target).prop_map(|(epoch, target)| Act::Accept(epoch, target)),
        2 => prop::sample::select(ErrorCode::ALL.to_vec()).prop_map(Act::Refuse),
        1 => Just(Act::Fail),
        1 => Just(Act::Wrong),
        1 => prop::bool::ANY.prop_map(Act::Coordinator),
        1 => Just(Act::Subscribe),
        1 => Just(Act::Unsubscribe),
    ]
}

impl Stage {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Poll => drop(self.poll()),
            Act::PollPartly => drop(self.member.poll(self.now)),
            Act::Told => self.member.told(),
            Act::Pass(seconds) => self.pass(*seconds),
            Act::Coordinator(known) => self.has_coordinator = *known,
            Act::Subscribe => self.member.subscribe(Subscription::to(["orders".into()])),
            Act::Unsubscribe => self.member.unsubscribe("closed"),
            _ if self.asked.is_empty() => {}
            Act::Accept(epoch, target) => drop(self.accept(*epoch, target.clone())),
            Act::Refuse(error) => self.refuse(*error),
            Act::Fail => {
                let (id, _) = self.heartbeat();
                self.answer(id, Err(ErrorCode::NetworkException));
            }
            Act::Wrong => {
                let (id, _) = self.heartbeat();
                self.answer(id, Ok(&Response::Heartbeat(HeartbeatResponse::default())));
            }
        }
        self.member.check();
        self.ask();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn member_of_the_consumer_protocol_recovers_from_whatever_it_is_answered(
        acts in prop::collection::vec(act(), 0..60),
        is_static in prop::bool::ANY,
    ) {
        let mut settings = vec![("max.poll.interval.ms", "60000")];
        settings.extend(is_static.then_some(("group.instance.id", "i")));
        let mut stage = Stage::new(&settings);
        for act in &acts {
            stage.act(act);
        }
        stage.has_coordinator = true;
        stage.member.subscribe(Subscription::to(["orders".into()]));
        let mut epoch = 10;
        for _ in 0..20 {
            stage.poll();
            while let Some((_, heartbeat)) = stage.asked.first() {
                if heartbeat.member_epoch < 0 {
                    stage.accept(heartbeat.member_epoch, None);
                } else {
                    epoch += 1;
                    stage.accept(epoch, Some([0, 1, 2, 3].into()));
                }
            }
            stage.pass(6);
        }
        if stage.member.take_trouble().is_some() {
            prop_assert!(stage.owns().is_empty() && stage.asked.is_empty());
        } else {
            prop_assert_eq!(stage.owns(), orders(0..4));
        }
    }
}
