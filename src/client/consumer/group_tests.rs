//! The core of a consumer with a group: where it begins, and what it commits.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Answer, Core, Effect, Input, Order, Question};
use crate::base::config::{Config, ConsumerConfig};
use crate::base::{Instant, LeaderEpoch, Offset, Seed, Stream, Timestamp, TopicId, TopicPartition};
use crate::client::ConsumeError;
use crate::client::group::{Request, Response};
use crate::client::kernel::{self, metadata};
use crate::client::testing::Model;
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::*;

/// A consumer that was assigned partition 0 of `orders` by hand; broker 1 leads it in epoch 5, and
/// coordinates the group.
struct Stage {
    core: Core,
    now: Instant,
    orders: VecDeque<Order>,
    model: Model,
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

impl Stage {
    fn new(settings: &[(&str, &str)]) -> Self {
        let mut config = ConsumerConfig::default();
        let group = [("bootstrap.servers", "b1:9092"), ("group.id", "shop")];
        config.set_all(group).unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let now = Instant::from_secs(1);
        let core = Core::new(config, now, Seed(1).stream(Stream::named("test"))).unwrap();
        let mut stage = Self { core, now, orders: VecDeque::new(), model: Model::new(1, &[1]) };
        stage.model.coordinate("shop", Ok(1));
        stage.core.set_date(Timestamp(10_000_000));
        stage.core.assign(vec![orders()]);
        stage.step(Input::Tick);
        stage
    }

    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.core.step(self.now, input, &mut effects);
            for effect in effects {
                inputs.extend(match effect {
                    Effect::Ask(order) => {
                        self.orders.push_back(*order);
                        None
                    }
                    Effect::Kernel(kernel::Effect::Metadata { ask: from, .. }) => {
                        let answer = Some(Box::new(metadata(1, "orders", 7, &[(1, 5)])));
                        Some(Input::Kernel(kernel::Input::Metadata { from, answer }))
                    }
                    Effect::Kernel(kernel::Effect::Coordinators { ask: from, keys }) => {
                        let answer = Some(Box::new(self.model.coordinators(&keys)));
                        Some(Input::Kernel(kernel::Input::Coordinators { from, keys, answer }))
                    }
                });
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        assert_eq!(self.core.poll(self.now), None);
        self.step(Input::Tick);
    }

    fn answer(&mut self, order: &Order, answer: Answer) {
        self.step(Input::Answered { request: order.request, answer });
    }

    fn order(&mut self) -> Order {
        self.orders.pop_front().expect("a question")
    }

    /// The coordinator says what is committed; -1: nothing.
    fn committed(&mut self, offset: i64, epoch: i32, error: ErrorCode) {
        let order = self.order();
        let Question::Group(Request::Committed(asked)) = &order.question else {
            panic!("{order:?}");
        };
        assert!(asked.require_stable, "offsets of open transactions are waited for");
        let row = message!(offset_fetch_response::OffsetFetchResponsePartitions {
            committed_offset: offset,
            committed_leader_epoch: epoch,
            error_code: error.code(),
        });
        let topic = message!(offset_fetch_response::OffsetFetchResponseTopics {
            name: "orders".into(),
            partitions: vec![row],
        });
        let group = message!(offset_fetch_response::OffsetFetchResponseGroup {
            group_id: "shop".into(),
            topics: vec![topic],
        });
        let answer = message!(OffsetFetchResponse { groups: vec![group] });
        self.answer(&order, Answer::Group(Box::new(Response::Committed(answer))));
    }

    /// The offset of the commit under way, which is answered so.
    fn commit(&mut self, error: ErrorCode) -> (i64, i32) {
        let place = self
            .orders
            .iter()
            .position(|order| matches!(order.question, Question::Group(Request::Commit(_))));
        let order = self.orders.remove(place.expect("a commit")).unwrap();
        let Question::Group(Request::Commit(commit)) = &order.question else { unreachable!() };
        let row = &commit.topics[0].partitions[0];
        let offset = (row.committed_offset, row.committed_leader_epoch);
        let row = message!(offset_commit_response::OffsetCommitResponsePartition {
            error_code: error.code(),
        });
        let topic = message!(offset_commit_response::OffsetCommitResponseTopic {
            name: "orders".into(),
            partitions: vec![row],
        });
        let answer = message!(OffsetCommitResponse { topics: vec![topic] });
        self.answer(&order, Answer::Group(Box::new(Response::Commit(answer))));
        offset
    }

    fn commits(&self) -> usize {
        let is_commit =
            |order: &&Order| matches!(order.question, Question::Group(Request::Commit(_)));
        self.orders.iter().filter(is_commit).count()
    }

    /// The leader answers the fetch under way with these records.
    fn fetched(&mut self, records: i64) {
        self.model.fill(0, records);
        let place =
            self.orders.iter().position(|order| matches!(order.question, Question::Fetch(_)));
        let order = self.orders.remove(place.expect("a fetch")).unwrap();
        let Question::Fetch(fetch) = &order.question else { unreachable!() };
        let mut fetch = fetch.clone();
        fetch.topics[0].partitions[0].current_leader_epoch = -1;
        let answer = self.model.fetch(1, &fetch);
        self.answer(&order, Answer::Fetch(Box::new(answer)));
    }

    fn asks_at(&self) -> Option<i64> {
        self.orders.iter().find_map(|order| match &order.question {
            Question::Fetch(fetch) => Some(fetch.topics[0].partitions[0].fetch_offset),
            _ => None,
        })
    }

    /// The timestamp of the ListOffsets request under way.
    fn lists(&self) -> Option<i64> {
        self.orders.iter().find_map(|order| match &order.question {
            Question::List(list) => Some(list.topics[0].partitions[0].timestamp),
            _ => None,
        })
    }
}

#[test]
fn reading_begins_at_the_committed_offset() {
    let mut stage = Stage::new(&[]);
    assert_eq!(stage.asks_at(), None);
    stage.committed(7, -1, ErrorCode::None);
    assert_eq!(stage.asks_at(), Some(7));
    assert!(stage.core.take_notices().is_empty(), "no one is surprised by that");
}

#[test]
fn committed_offset_with_an_epoch_is_validated_first() {
    let mut stage = Stage::new(&[]);
    stage.committed(7, 4, ErrorCode::None);
    let order = stage.order();
    let Question::Validate(asked) = &order.question else { panic!("{order:?}") };
    assert_eq!(asked.topics[0].partitions[0].leader_epoch, 4);
}

#[test]
fn leader_from_before_a_committed_epoch_is_not_asked() {
    let mut stage = Stage::new(&[]);
    stage.committed(7, 6, ErrorCode::None);
    assert!(stage.orders.is_empty(), "{:?}", stage.orders);
}

#[test]
fn reset_policy_applies_where_nothing_is_committed() {
    let listed = |policy| {
        let mut stage = Stage::new(&[("auto.offset.reset", policy)]);
        stage.committed(-1, -1, ErrorCode::None);
        stage.lists()
    };
    assert_eq!(listed("earliest"), Some(-2));
    assert_eq!(listed("latest"), Some(-1));
    assert_eq!(listed("by_duration:PT1H"), Some(10_000_000 - 3_600_000));
    let mut stage = Stage::new(&[("auto.offset.reset", "none")]);
    stage.committed(-1, -1, ErrorCode::None);
    assert_eq!(stage.core.take(stage.now), Err(ConsumeError::NoOffset(orders())));
}

#[test]
fn unstable_offsets_and_a_moved_coordinator_are_asked_for_again() {
    for error in [ErrorCode::UnstableOffsetCommit, ErrorCode::NotCoordinator] {
        let mut stage = Stage::new(&[]);
        stage.committed(-1, -1, error);
        assert!(stage.orders.is_empty(), "{error}: after a pause");
        stage.pass(Duration::from_millis(200));
        stage.committed(7, -1, ErrorCode::None);
        assert_eq!(stage.asks_at(), Some(7));
    }
    let mut stage = Stage::new(&[]);
    stage.committed(-1, -1, ErrorCode::TopicAuthorizationFailed);
    let error = stage.core.take(stage.now).unwrap_err();
    assert_eq!(error.name(), "TOPIC_AUTHORIZATION_FAILED");
}

#[test]
fn seek_beats_what_is_committed() {
    let mut stage = Stage::new(&[]);
    stage.core.seek(&orders(), Offset(3));
    stage.committed(7, -1, ErrorCode::None);
    assert_eq!(stage.asks_at(), Some(3));
}

#[test]
fn only_what_a_poll_returned_is_committed() {
    let settings = [("max.poll.records", "2"), ("auto.commit.interval.ms", "1000")];
    let mut stage = Stage::new(&settings);
    stage.committed(0, -1, ErrorCode::None);
    stage.fetched(6);
    assert_eq!(stage.core.position(&orders()), Some(Offset(0)), "fetched, and not returned");
    let returned = stage.core.take(stage.now).unwrap();
    assert_eq!(returned.len(), 2);
    assert_eq!(stage.commits(), 0, "the application processes them");
    stage.pass(Duration::from_millis(1100));
    assert_eq!(stage.commit(ErrorCode::None), (2, 0), "the next poll commits them");
    stage.core.take(stage.now).unwrap();
    stage.pass(Duration::from_millis(500));
    assert_eq!(stage.commits(), 0, "not before the interval has passed");
    stage.pass(Duration::from_millis(600));
    assert_eq!(stage.commit(ErrorCode::None), (4, 0));
}

#[test]
fn failed_automatic_commit_is_made_up_for_soon() {
    let mut stage = Stage::new(&[("auto.commit.interval.ms", "10000")]);
    stage.committed(0, -1, ErrorCode::None);
    stage.fetched(3);
    stage.core.take(stage.now).unwrap();
    stage.pass(Duration::from_secs(10));
    assert_eq!(stage.commit(ErrorCode::CoordinatorLoadInProgress).0, 3);
    assert_eq!(stage.commits(), 0, "it is not repeated: a later commit would be overtaken");
    stage.pass(Duration::from_millis(200));
    assert_eq!(stage.commit(ErrorCode::None).0, 3);
}

#[test]
fn commit_that_waits_is_sent_again_until_it_succeeds() {
    let mut stage = Stage::new(&[("enable.auto.commit", "false")]);
    stage.committed(3, -1, ErrorCode::None);
    let (_, mut outcome) = stage.core.begin_commit(None, true).unwrap();
    stage.step(Input::Tick);
    for error in [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator] {
        assert_eq!(stage.commit(error).0, 3);
        assert!(outcome.try_recv().is_err());
        stage.pass(Duration::from_secs(1));
    }
    stage.commit(ErrorCode::None);
    assert_eq!(outcome.try_recv().unwrap(), Ok(()));
}

#[test]
fn later_commit_is_not_overtaken_by_one_that_is_retried() {
    let mut stage = Stage::new(&[("enable.auto.commit", "false")]);
    stage.committed(3, -1, ErrorCode::None);
    let (_, mut first) = stage.core.begin_commit(None, true).unwrap();
    stage.step(Input::Tick);
    stage.commit(ErrorCode::CoordinatorLoadInProgress);
    stage.core.seek(&orders(), Offset(9));
    let (_, mut second) = stage.core.begin_commit(None, false).unwrap();
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.commits(), 1);
    assert_eq!(stage.commit(ErrorCode::None).0, 9);
    assert_eq!(first.try_recv().unwrap(), Err(ConsumeError::TimedOut));
    assert_eq!(second.try_recv().unwrap(), Ok(()));
}

#[test]
fn timeout_of_a_throttled_commit_begins_after_the_pause() {
    let settings = [("enable.auto.commit", "false"), ("request.timeout.ms", "3000")];
    let mut stage = Stage::new(&settings);
    stage.committed(3, -1, ErrorCode::None);
    let commit = |stage: &mut Stage| {
        drop(stage.core.begin_commit(None, false).unwrap());
        stage.step(Input::Tick);
        let order = stage.orders.pop_back().expect("a commit");
        assert!(matches!(order.question, Question::Group(Request::Commit(_))), "{order:?}");
        order
    };
    let first = commit(&mut stage);
    assert_eq!(first.deadline, stage.now + Duration::from_secs(3));
    let row = message!(offset_commit_response::OffsetCommitResponsePartition { error_code: 0 });
    let topic = message!(offset_commit_response::OffsetCommitResponseTopic {
        name: "orders".into(),
        partitions: vec![row],
    });
    let answer = message!(OffsetCommitResponse { throttle_time_ms: 10_000, topics: vec![topic] });
    stage.answer(&first, Answer::Group(Box::new(Response::Commit(answer))));
    let second = commit(&mut stage);
    assert_eq!(second.not_before, stage.now + Duration::from_secs(10));
    assert_eq!(second.deadline, stage.now + Duration::from_secs(13));
}

#[test]
fn commit_that_is_repeated_names_the_topic_that_was_read() {
    let mut stage = Stage::new(&[("enable.auto.commit", "false")]);
    stage.committed(3, -1, ErrorCode::None);
    drop(stage.core.begin_commit(None, true).unwrap());
    stage.step(Input::Tick);
    let asked = |stage: &Stage| {
        stage.orders.iter().find_map(|order| match &order.question {
            Question::Group(Request::Commit(commit)) => Some(commit.topics[0].topic_id.into()),
            _ => None,
        })
    };
    let read = Some(TopicId([7; 16]));
    assert_eq!(asked(&stage), read);
    stage.commit(ErrorCode::UnknownTopicId);
    // Another topic has its name by now.
    let from = Address::new("b1", 9092);
    let answer = Some(Box::new(metadata(1, "orders", 8, &[(1, 0)])));
    stage.step(Input::Kernel(kernel::Input::Metadata { from, answer }));
    stage.pass(Duration::from_secs(1));
    assert_eq!(asked(&stage), read);
}

#[test]
fn refused_commits_say_why() {
    let outcome = |error| {
        let mut stage = Stage::new(&[("enable.auto.commit", "false")]);
        stage.committed(3, -1, ErrorCode::None);
        let (_, mut outcome) = stage.core.begin_commit(None, true).unwrap();
        stage.step(Input::Tick);
        stage.commit(error);
        outcome.try_recv().unwrap().unwrap_err()
    };
    assert_eq!(outcome(ErrorCode::UnknownMemberId), ConsumeError::CommitFailed);
    assert_eq!(outcome(ErrorCode::RebalanceInProgress), ConsumeError::RebalanceInProgress);
    assert_eq!(outcome(ErrorCode::OffsetMetadataTooLarge).name(), "OFFSET_METADATA_TOO_LARGE");
    assert_eq!(outcome(ErrorCode::GroupAuthorizationFailed).name(), "GROUP_AUTHORIZATION_FAILED");
}

#[test]
fn refused_coordinator_is_reported_and_looked_up_again_by_the_next_poll() {
    let mut stage = Stage::new(&[]);
    stage.orders.clear();
    stage.model.coordinate("shop", Err(ErrorCode::GroupAuthorizationFailed));
    let mut config = ConsumerConfig::default();
    config.set_all([("bootstrap.servers", "b1:9092"), ("group.id", "shop")]).unwrap();
    let random = Seed(2).stream(Stream::named("test"));
    stage.core = Core::new(config, stage.now, random).unwrap();
    stage.core.assign(vec![orders()]);
    stage.step(Input::Tick);
    for _ in 0..3 {
        let error = stage.core.take(stage.now).unwrap_err();
        assert_eq!(error.name(), "GROUP_AUTHORIZATION_FAILED");
        assert!(stage.core.take(stage.now).is_ok(), "it is reported once for each attempt");
        stage.pass(Duration::from_secs(1));
    }
    stage.model.coordinate("shop", Ok(1));
    stage.pass(Duration::from_secs(1));
    stage.pass(Duration::from_secs(1));
    stage.committed(5, -1, ErrorCode::None);
    assert_eq!(stage.asks_at(), Some(5));
}

#[test]
fn epoch_of_the_last_record_is_committed_with_the_offset() {
    let mut stage = Stage::new(&[("enable.auto.commit", "false")]);
    stage.model.elect(0, 1);
    stage.committed(0, -1, ErrorCode::None);
    stage.fetched(2);
    let last = stage.core.take(stage.now).unwrap().pop().unwrap();
    assert_eq!(last.leader_epoch, LeaderEpoch(1));
    let _outcome = stage.core.begin_commit(None, false).unwrap();
    stage.step(Input::Tick);
    assert_eq!(stage.commit(ErrorCode::None), (2, 1));
}

#[test]
fn paused_partition_is_neither_fetched_nor_returned() {
    let mut stage = Stage::new(&[]);
    stage.committed(0, -1, ErrorCode::None);
    stage.fetched(3);
    stage.core.pause(&[orders()], true);
    assert_eq!(stage.core.take(stage.now), Ok(vec![]));
    stage.core.pause(&[orders()], false);
    assert_eq!(stage.core.take(stage.now).unwrap().len(), 3, "what was fetched is kept");
    stage.core.pause(&[orders()], true);
    stage.step(Input::Tick);
    assert_eq!(stage.asks_at(), None);
    stage.core.pause(&[orders()], false);
    stage.step(Input::Tick);
    assert_eq!(stage.asks_at(), Some(3));
}
