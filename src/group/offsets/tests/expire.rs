//! Expiry (KIP-211).

use std::time::Duration;

use super::*;

const RETENTION: Duration = Duration::from_secs(60);

/// The partitions of which offsets expire, and whether nothing is left.
fn expire(log: &Log, group: Option<&Fake>, now: i64) -> (Vec<String>, bool) {
    let mut records = Vec::new();
    let group = group.map(|group| group as &dyn Subscriber);
    let all = log.offsets.expire(&"g".into(), group, Timestamp(now), RETENTION, &mut records);
    let expired = records.iter().map(|record| {
        let Record::Offset { key, value: None } = record else { panic!("{record:?}") };
        assert_eq!(key.group.as_str(), "g");
        format!("{}-{}", key.topic, key.partition)
    });
    (expired.collect(), all)
}

fn log() -> Log {
    let mut log = Log::default();
    log.put(key("g", "orders", 0), at(1, 0));
    log.put(key("g", "orders", 1), at(1, 30_000));
    log.put(key("h", "orders", 0), at(1, 0));
    log
}

fn names(expired: &[&str]) -> Vec<String> {
    expired.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn offsets_of_a_simple_group_expire_by_the_time_of_their_commit() {
    let log = log();
    assert_eq!(expire(&log, None, 59_999), (names(&[]), false));
    assert_eq!(expire(&log, None, 60_000), (names(&["orders-0"]), false));
    assert_eq!(expire(&log, None, 90_000), (names(&["orders-0", "orders-1"]), true));
}

#[test]
fn offsets_of_an_empty_group_expire_together() {
    let log = log();
    let empty = Fake { since: Since::Time(100_000), ..Fake::default() };
    assert_eq!(expire(&log, Some(&empty), 159_999), (names(&[]), false));
    let both = names(&["orders-0", "orders-1"]);
    assert_eq!(expire(&log, Some(&empty), 160_000), (both, true));
}

#[test]
fn group_that_keeps_its_offsets_keeps_also_those_with_an_expiry() {
    let mut log = log();
    let expiring = CommittedOffset {
        expires: Timestamp(5),
        leader_epoch: -1,
        topic_id: TopicId::ZERO,
        ..at(1, 0)
    };
    log.put(key("g", "orders", 0), expiring);
    let busy = Fake { since: Since::Never, ..Fake::default() };
    assert_eq!(expire(&log, Some(&busy), i64::MAX), (names(&[]), false));
    assert_eq!(expire(&log, None, 4), (names(&[]), false));
    assert_eq!(expire(&log, None, 5), (names(&["orders-0"]), false), "long before its retention");
}

#[test]
fn topics_that_a_group_subscribes_to_do_not_expire() {
    let mut log = log();
    log.put(key("g", "old", 0), at(1, 0));
    let group = Fake { topics: vec!["orders"], ..Fake::default() };
    assert_eq!(expire(&log, Some(&group), 1_000_000), (names(&["old-0"]), false));
}

#[test]
fn open_transaction_keeps_an_offset_and_its_group() {
    let mut log = log();
    log.put_pending(1, &key("g", "orders", 0), &at(2, 0));
    assert_eq!(expire(&log, None, 1_000_000), (names(&["orders-1"]), false));
    log.end(1, false);
    assert_eq!(expire(&log, None, 1_000_000), (names(&["orders-0", "orders-1"]), true));
    let mut log = Log::default();
    assert_eq!(expire(&log, None, 0), (names(&[]), true), "a group without offsets");
    log.put_pending(1, &key("g", "orders", 0), &at(2, 0));
    assert_eq!(expire(&log, None, 1_000_000), (names(&[]), false));
}

#[test]
fn clock_that_jumps_back_expires_nothing() {
    let mut log = Log::default();
    log.put(key("g", "orders", 0), at(1, i64::MAX));
    log.put(key("g", "orders", 1), at(1, i64::MIN));
    assert_eq!(expire(&log, None, 0), (names(&["orders-1"]), false));
    assert_eq!(expire(&log, None, i64::MIN), (names(&[]), false));
}
