//! Settings and answers that change when a consumer asks, and what.

use std::time::Duration;

use super::tests::{Stage, batch};
use crate::wire::ErrorCode;

#[test]
fn brokers_may_create_topics_unless_the_consumer_forbids_it() {
    for (setting, expected) in [("true", true), ("false", false)] {
        let mut stage = Stage::new(&[("allow.auto.create.topics", setting)]);
        stage.tick();
        assert_eq!(stage.may_create, expected);
    }
    let mut stage = Stage::new(&[]);
    stage.tick();
    assert!(stage.may_create, "as by Kafka's default");
}

#[test]
fn throttled_leader_is_asked_nothing_until_its_pause_is_over() {
    let mut stage = Stage::reading(0, &[]);
    stage.throttle_ms = 700;
    stage.fetched(ErrorCode::None, 9, &[batch(0, 3, 5)]);
    assert_eq!(stage.offsets(), [0, 1, 2]);
    assert!(stage.orders.is_empty());
    assert!(stage.core.deadline() <= stage.now + Duration::from_millis(700));
    stage.pass(Duration::from_millis(699));
    assert!(stage.orders.is_empty());
    stage.pass(Duration::from_millis(1));
    assert_eq!(stage.orders.len(), 1);
}
