//! What the core measures, on a clock that is set by hand.

use std::time::Duration;

use super::tests::{Stage, batch, orders};
use crate::base::{Instant, Offset};
use crate::client::Metrics;
use crate::wire::ErrorCode;

impl Stage {
    fn metrics(&mut self) -> Metrics {
        self.core.metrics(self.now)
    }

    fn polls(&mut self, takes: Duration) {
        self.core.begin_poll(self.now);
        self.now = self.now + takes;
        self.core.take_up_to(self.now, 3).unwrap();
        self.core.poll_ends(self.now);
        self.tick();
    }
}

#[test]
fn fetches_and_records_are_measured_under_kafkas_names() {
    let mut stage = Stage::reading(0, &[]);
    let (first, second) = (batch(0, 4, 5), batch(4, 2, 5));
    let size = first.len() + second.len();
    stage.now = stage.now + Duration::from_millis(20);
    stage.fetched(ErrorCode::None, 10, &[first, second]);
    let metrics = stage.metrics();
    let get = |name| metrics.get(name).unwrap();
    assert_eq!((get("fetch-latency-avg"), get("fetch-latency-max")), (20.0, 20.0));
    assert_eq!((get("fetch-size-avg"), get("fetch-total")), (size as f64, 1.0));
    assert_eq!(get("records-per-request-avg"), 6.0);
    assert_eq!(get("records-consumed-total"), 0.0, "the application has nothing yet");
    assert!(get("records-lag-max").is_nan());

    stage.polls(Duration::ZERO);
    let metrics = stage.metrics();
    assert_eq!(metrics.get("records-consumed-total"), Some(3.0));
    assert_eq!(metrics.of_topic("records-consumed-total", "orders"), Some(3.0));
    // Length, attributes, timestamp, offset, key, value and headers: a byte each, and the value.
    assert_eq!(metrics.get("bytes-consumed-total"), Some(3.0 * 8.0));
    assert_eq!(metrics.of_partition("records-lag", &orders(0)), Some(7.0));
    assert_eq!(metrics.get("assigned-partitions"), Some(1.0));
    stage.polls(Duration::ZERO);
    let metrics = stage.metrics();
    assert_eq!(metrics.of_partition("records-lag", &orders(0)), Some(4.0));
    assert_eq!(metrics.get("records-lag-max"), Some(7.0));
    assert_eq!(metrics.of_partition("records-lag-avg", &orders(0)), Some(5.5));
    assert_eq!(metrics.get("rebalance-total"), None, "it has no group");
    stage.core.assign(Vec::new());
    assert_eq!(stage.metrics().of_partition("records-lag", &orders(0)), None);
}

#[test]
fn records_that_are_given_back_are_not_consumed() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 10, &[batch(0, 3, 5)]);
    let records = stage.core.take_up_to(stage.now, 3).unwrap();
    let mut kept = records[..1].iter().map(|record| (record.offset, record.leader_epoch));
    stage.core.give_back(&orders(0), &mut kept);
    stage.core.poll_ends(stage.now);
    assert_eq!(stage.metrics().get("records-consumed-total"), Some(1.0));
    assert_eq!(stage.metrics().get("bytes-consumed-total"), Some(8.0));
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(1)));
}

#[test]
fn polls_are_measured_by_their_distance_and_idle_time() {
    let mut stage = Stage::reading(0, &[]);
    assert_eq!(stage.metrics().get("last-poll-seconds-ago"), Some(-1.0));
    stage.now = Instant::from_secs(100);
    stage.polls(Duration::from_secs(1));
    stage.now = Instant::from_secs(104);
    stage.polls(Duration::from_secs(1));
    stage.now = Instant::from_secs(107);
    let metrics = stage.metrics();
    assert_eq!(metrics.get("last-poll-seconds-ago"), Some(3.0));
    assert_eq!(metrics.get("time-between-poll-max"), Some(4_000.0));
    // All of the first poll's time was idle, and a quarter of the second one's.
    assert_eq!(metrics.get("poll-idle-ratio-avg"), Some(0.625));
}
