//! OffsetFetch.

use super::*;
use crate::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
};

/// One partition of an answer: topic, index, offset, leader epoch, metadata, error.
pub(super) type Seen = (String, i32, i64, i32, String, ErrorCode);

pub(super) fn request(topics: Option<&[(&str, TopicId, &[i32])]>) -> OffsetFetchRequestGroup {
    let topic = |(name, id, partitions): &(&str, TopicId, &[i32])| {
        message!(OffsetFetchRequestTopics {
            name: (*name).into(),
            topic_id: (*id).into(),
            partition_indexes: partitions.to_vec(),
        })
    };
    message!(OffsetFetchRequestGroup {
        group_id: "g".into(),
        member_id: Some("m".into()),
        member_epoch: 5,
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
    })
}

pub(super) fn seen(response: &OffsetFetchResponseGroup) -> Vec<Seen> {
    let partition = |topic: &str, of: &OffsetFetchResponsePartitions| {
        let metadata = of.metadata.as_ref().unwrap().to_string();
        let error = ErrorCode::from_code(of.error_code);
        let (offset, epoch) = (of.committed_offset, of.committed_leader_epoch);
        (topic.to_owned(), of.partition_index, offset, epoch, metadata, error)
    };
    let topics = response.topics.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|of| partition(&topic.name, of))).collect()
}

fn found(topic: &str, partition: i32, offset: i64) -> Seen {
    (topic.into(), partition, offset, 3, "m".into(), ErrorCode::None)
}

fn missing(topic: &str, partition: i32, error: ErrorCode) -> Seen {
    (topic.into(), partition, -1, -1, String::new(), error)
}

fn log() -> Log {
    let mut log = Log::default();
    log.put(key("g", "orders", 0), at(10, 0));
    log.put(key("g", "orders", 2), at(12, 0));
    log.put(key("g", "a", 0), at(20, 0));
    log.put(key("h", "orders", 1), at(99, 0));
    log
}

#[test]
fn named_partitions_are_answered_in_order_with_minus_one_if_missing() {
    let of: &[(&str, TopicId, &[i32])] =
        &[("orders", TopicId::ZERO, &[2, 1, 0]), ("none", TopicId::ZERO, &[0])];
    let response = log().offsets.fetch(None, false, &request(Some(of)));
    assert_eq!((response.group_id.as_str(), response.error_code), ("g", 0));
    let expected = [
        found("orders", 2, 12),
        missing("orders", 1, ErrorCode::None),
        found("orders", 0, 10),
        missing("none", 0, ErrorCode::None),
    ];
    assert_eq!(seen(&response), expected);
}

#[test]
fn all_partitions_of_one_group_are_answered_if_none_is_named() {
    let response = log().offsets.fetch(Some(&Fake::default()), false, &request(None));
    let expected = [found("a", 0, 20), found("orders", 0, 10), found("orders", 2, 12)];
    assert_eq!(seen(&response), expected);
    let none = Offsets::default().fetch(None, false, &request(None));
    assert!(none.topics.is_empty() && none.error_code == 0, "no such group is no error");
}

#[test]
fn offset_of_a_topic_that_was_created_again_is_missing() {
    let mut log = log();
    log.put(key("g", "by-name", 0), CommittedOffset { topic_id: TopicId::ZERO, ..at(1, 0) });
    let again = TopicId([8; 16]);
    let fetch = |topic: &str, id| {
        let of: &[(&str, TopicId, &[i32])] = &[(topic, id, &[0])];
        let response = log.offsets.fetch(None, false, &request(Some(of)));
        assert_eq!(TopicId::from(response.topics[0].topic_id), id);
        seen(&response)[0].2
    };
    assert_eq!(fetch("orders", ORDERS), 10);
    assert_eq!(fetch("orders", again), -1);
    assert_eq!(fetch("orders", TopicId::ZERO), 10);
    assert_eq!(fetch("by-name", again), 1, "committed without an id");
}

#[test]
fn fetch_that_the_group_refuses_has_an_error_and_no_topics() {
    let group = Fake { fetch: Err(ErrorCode::StaleMemberEpoch), ..Fake::default() };
    let response = log().offsets.fetch(Some(&group), false, &request(None));
    assert_eq!(response.error_code, ErrorCode::StaleMemberEpoch.code());
    assert!(response.topics.is_empty());
}

#[test]
fn stable_fetch_is_refused_for_partitions_of_open_transactions() {
    let mut log = log();
    log.put_pending(1, &key("g", "orders", 0), &at(30, 0));
    log.put_pending(1, &key("g", "orders", 1), &at(31, 0));
    let of: &[(&str, TopicId, &[i32])] = &[("orders", ORDERS, &[0, 1, 2])];
    let fetch =
        |log: &Log, stable, topics| seen(&log.offsets.fetch(None, stable, &request(topics)));
    let unstable = |partition| missing("orders", partition, ErrorCode::UnstableOffsetCommit);
    let expected = [unstable(0), unstable(1), found("orders", 2, 12)];
    assert_eq!(fetch(&log, true, Some(of)), expected);
    // Of all, only those that have a committed offset.
    let expected = [found("a", 0, 20), unstable(0), found("orders", 2, 12)];
    assert_eq!(fetch(&log, true, None), expected);
    let before = [found("orders", 0, 10), missing("orders", 1, ErrorCode::None)];
    assert_eq!(fetch(&log, false, Some(of))[..2], before);
    log.end(1, true);
    let after = [found("orders", 0, 30), found("orders", 1, 31), found("orders", 2, 12)];
    assert_eq!(fetch(&log, true, Some(of)), after);
}
