//! Reading from the replica that the leader names, against answers made by hand.

use std::time::Duration;

use super::tests::{Stage, batch, orders};
use super::{Answer, Input, Question};
use crate::base::Offset;
use crate::wire::ErrorCode;

/// One whose leader, broker 1, has named broker 2 when it was asked for records at 0.
fn near(settings: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::reading(0, settings);
    stage.fetched_with(ErrorCode::None, 9, &[], 2);
    stage
}

impl Stage {
    /// Which broker is asked next, and at which offset.
    fn fetches(&self) -> (String, i64) {
        let order = self.orders.front().expect("a question");
        let Question::Fetch(message) = &order.question else { panic!("{order:?}") };
        (order.to.to_string(), message.topics[0].partitions[0].fetch_offset)
    }

    fn preferred(&mut self) -> f64 {
        let metrics = self.core.metrics(self.now);
        metrics.of_partition("preferred-read-replica", &orders(0)).unwrap()
    }
}

fn at(broker: i32, offset: i64) -> (String, i64) {
    (format!("b{broker}:9092"), offset)
}

#[test]
fn consumer_reads_from_the_replica_that_its_leader_names() {
    let mut stage = near(&[("client.rack", "r2")]);
    assert_eq!((stage.fetches(), stage.preferred()), (at(2, 0), 2.0));
    let Question::Fetch(message) = &stage.orders[0].question else { panic!() };
    assert_eq!(message.rack_id.as_str(), "r2");
    stage.fetched(ErrorCode::None, 3, &[batch(0, 3, 5)]);
    assert_eq!(stage.core.high_watermark(&orders(0)), Some(Offset(3)), "as the follower has it");
    assert_eq!(stage.offsets(), [0, 1, 2]);
    assert_eq!(stage.fetches(), at(2, 3));
}

#[test]
fn leader_is_asked_again_after_the_maximal_age_of_metadata() {
    let mut stage = near(&[("metadata.max.age.ms", "10000")]);
    for _ in 0..10 {
        assert_eq!(stage.fetches(), at(2, 0));
        stage.now = stage.now + Duration::from_secs(1);
        // A follower that names itself does not extend the time.
        stage.fetched_with(ErrorCode::None, 0, &[], 2);
    }
    stage.now = stage.now + Duration::from_millis(1);
    stage.fetched(ErrorCode::None, 0, &[]);
    assert_eq!((stage.fetches(), stage.preferred()), (at(1, 0), -1.0));
}

#[test]
fn offset_out_of_a_followers_range_is_asked_of_the_leader_and_resets_nothing() {
    let mut stage = near(&[]);
    stage.fetched(ErrorCode::OffsetOutOfRange, -1, &[]);
    assert_eq!(stage.fetches(), at(1, 0));
    assert_eq!(stage.take(), Ok(Vec::new()));
    assert_eq!(stage.core.take_notices(), []);
    let mut stage = near(&[]);
    stage.fetched(ErrorCode::OffsetOutOfRange, -1, &[]);
    stage.fetched(ErrorCode::OffsetOutOfRange, -1, &[]);
    assert!(matches!(stage.orders[0].question, Question::List(_)), "the leader's word counts");
}

#[test]
fn corrupt_batch_of_a_follower_is_asked_of_the_leader_after_a_pause() {
    let mut stage = near(&[]);
    for _ in 0..2 {
        stage.fetched(ErrorCode::CorruptMessage, -1, &[]);
        assert_eq!(stage.take(), Ok(Vec::new()));
        assert!(stage.orders.is_empty(), "a leader that names it again makes no loop");
        stage.pass(Duration::from_secs(2));
        assert_eq!(stage.fetches(), at(1, 0));
        stage.fetched_with(ErrorCode::None, 9, &[], 2);
        assert_eq!(stage.fetches(), at(2, 0));
    }
    assert_eq!(stage.core.take_notices(), []);
}

#[test]
fn follower_that_fails_or_refuses_is_left_for_the_leader() {
    for error in [ErrorCode::NotLeaderOrFollower, ErrorCode::KafkaStorageError] {
        let mut stage = near(&[]);
        stage.fetched(error, -1, &[]);
        stage.pass(Duration::from_secs(1));
        assert_eq!(stage.fetches(), at(1, 0));
    }
    let mut stage = near(&[]);
    let request = stage.order().request;
    let answer = Answer::None(ErrorCode::NetworkException);
    stage.step(Input::Answered { request, answer });
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.fetches(), at(1, 0));
}

#[test]
fn replica_that_is_offline_is_left_for_the_leader() {
    let mut stage = near(&[("metadata.max.age.ms", "10000")]);
    stage.offline = vec![2];
    stage.pass(Duration::from_secs(10));
    stage.fetched(ErrorCode::None, 0, &[]);
    assert_eq!(stage.fetches(), at(1, 0));
}

#[test]
fn another_leader_epoch_ends_the_preference() {
    let mut stage = near(&[]);
    stage.elect(3, 6);
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.fetches(), at(3, 0));
}
