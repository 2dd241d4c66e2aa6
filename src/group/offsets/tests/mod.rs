//! Each rule of committed offsets, and random sequences against a naive model.

mod commit;
mod expire;
mod fetch;
mod random;
mod recorded;
mod transactional;

use super::*;
use crate::base::{Offset, ProducerId, Timestamp, TopicId};
use crate::decide::{Decision, KeyValue, LogRecord};
use crate::group::record::{CommittedOffset, OffsetKey, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::message;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::messages::offset_commit_response::OffsetCommitResponse;
use crate::wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use crate::wire::messages::offset_delete_response::OffsetDeleteResponse;

/// The id of the topic `orders`.
const ORDERS: TopicId = TopicId([7; 16]);
const NOW: Timestamp = Timestamp(1_000_000);
const LONGEST_METADATA: usize = 10;

/// When the retention of a group's offsets begins.
#[derive(Clone, Copy, Debug)]
enum Since {
    Never,
    Commit,
    Time(i64),
}

/// A group that answers as it is told.
#[derive(Clone, Debug)]
struct Fake {
    /// Whether offsets are committed in a transaction.
    transactional: bool,
    commit: Result<Scope, ErrorCode>,
    /// The only partition that may be committed, if it is asked.
    partition: i32,
    fetch: Result<(), ErrorCode>,
    delete: Result<(), ErrorCode>,
    topics: Vec<&'static str>,
    since: Since,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            transactional: false,
            commit: Ok(Scope::Everything),
            partition: 0,
            fetch: Ok(()),
            delete: Ok(()),
            topics: Vec::new(),
            since: Since::Commit,
        }
    }
}

impl Subscriber for Fake {
    fn validate_commit(&self, committer: &Committer<'_>) -> Result<Scope, ErrorCode> {
        assert_eq!(committer.is_transactional, self.transactional);
        self.commit
    }

    fn validate_partition(
        &self,
        committer: &Committer<'_>,
        topic: TopicId,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        assert_eq!((self.commit, topic), (Ok(Scope::Partitions), ORDERS), "{committer:?}");
        if partition == self.partition { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }

    fn validate_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        assert_eq!((member, epoch), (Some("m"), 5));
        self.fetch
    }

    fn validate_delete(&self) -> Result<(), ErrorCode> {
        self.delete
    }

    fn subscribed_to(&self, topic: &str) -> bool {
        self.topics.contains(&topic)
    }

    fn expires_since(&self, committed: Timestamp) -> Option<Timestamp> {
        match self.since {
            Since::Never => None,
            Since::Commit => Some(committed),
            Since::Time(time) => Some(Timestamp(time)),
        }
    }
}

fn key(group: &str, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey { group: group.into(), topic: topic.into(), partition }
}

fn at(offset: i64, committed: i64) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(offset),
        leader_epoch: 3,
        metadata: "m".into(),
        committed: Timestamp(committed),
        expires: Timestamp::NONE,
        topic_id: ORDERS,
    }
}

/// A log of records, and the state that it makes.
#[derive(Clone, Default)]
struct Log {
    offsets: Offsets,
    next: i64,
}

impl Log {
    /// Replays records as they are read back from a log.
    fn append(&mut self, records: &[Record]) {
        for record in records {
            let read = Record::decode(record.encode()).unwrap();
            assert_eq!(read, *record, "what is decided is what is read after a failover");
            let Record::Offset { key, value } = read else { panic!("{record:?}") };
            self.offsets.replay(Offset(self.next), &key, value.as_ref());
            self.next += 1;
            self.offsets.check();
        }
    }

    fn put(&mut self, key: OffsetKey, value: CommittedOffset) {
        self.append(&[Record::Offset { key, value: Some(value) }]);
    }

    fn put_pending(&mut self, producer: i64, key: &OffsetKey, value: &CommittedOffset) {
        let (next, producer) = (Offset(self.next), ProducerId(producer));
        self.offsets.replay_in_transaction(next, producer, key, Some(value));
        self.next += 1;
        self.offsets.check();
    }

    fn end(&mut self, producer: i64, is_committed: bool) {
        self.offsets.end_transaction(ProducerId(producer), is_committed);
        self.next += 1;
        self.offsets.check();
    }

    fn committed(&self, key: &OffsetKey) -> Option<i64> {
        let committed = self.offsets.get(key.group.as_str(), &key.topic, key.partition);
        committed.map(|committed| committed.value.offset.0)
    }
}

fn delete(
    offsets: &Offsets,
    group: Option<&Fake>,
    id: &str,
    of: &[(&str, &[i32])],
) -> Decision<Record, OffsetDeleteResponse, ()> {
    let topics = of.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter();
        let partitions = partitions
            .map(|index| message!(OffsetDeleteRequestPartition { partition_index: *index }));
        message!(OffsetDeleteRequestTopic {
            name: (*topic).into(),
            partitions: partitions.collect()
        })
    });
    let request = message!(OffsetDeleteRequest { group_id: id.into(), topics: topics.collect() });
    offsets.delete(group.map(|group| group as &dyn Subscriber), &request)
}

/// The errors of each partition, by topic.
fn deleted(response: &OffsetDeleteResponse) -> Vec<(String, i32, ErrorCode)> {
    let topics = response.topics.iter();
    let all = topics.flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let error = ErrorCode::from_code(partition.error_code);
            (topic.name.to_string(), partition.partition_index, error)
        })
    });
    all.collect()
}

#[test]
fn deletion_spares_topics_that_the_group_subscribes_to() {
    let mut log = Log::default();
    for topic in ["orders", "old"] {
        log.put(key("g", topic, 0), at(1, 0));
    }
    let group = Fake { topics: vec!["orders"], ..Fake::default() };
    let of: &[(&str, &[i32])] = &[("orders", &[0]), ("old", &[0, 1])];
    let decision = delete(&log.offsets, Some(&group), "g", of);
    let subscribed = ErrorCode::GroupSubscribedToTopic;
    let expected =
        [("orders", 0, subscribed), ("old", 0, ErrorCode::None), ("old", 1, ErrorCode::None)];
    let expected = expected.map(|(topic, index, error)| (topic.to_owned(), index, error));
    assert_eq!(deleted(&decision.response), expected);
    assert_eq!(decision.records, [Record::no_offset(key("g", "old", 0))]);
    log.append(&decision.records);
    assert_eq!(log.offsets.len(), 1);
}

#[test]
fn deletion_is_refused_for_groups_that_forbid_it_or_do_not_exist() {
    let mut log = Log::default();
    log.put(key("g", "orders", 0), at(1, 0));
    let error = |group: Option<&Fake>, id: &str| {
        let decision = delete(&log.offsets, group, id, &[("orders", &[0])]);
        assert_eq!(decision.records.is_empty(), decision.response.error_code != 0);
        ErrorCode::from_code(decision.response.error_code)
    };
    let busy = Fake { delete: Err(ErrorCode::NonEmptyGroup), ..Fake::default() };
    assert_eq!(error(Some(&busy), "g"), ErrorCode::NonEmptyGroup);
    assert_eq!(error(None, "other"), ErrorCode::GroupIdNotFound);
    assert_eq!(error(None, ""), ErrorCode::InvalidGroupId);
    assert_eq!(error(None, "g"), ErrorCode::None, "a simple group");
}

#[test]
fn deletion_reaches_offsets_of_open_transactions() {
    let mut log = Log::default();
    let of = key("g", "orders", 0);
    log.put_pending(1, &of, &at(5, 0));
    log.put_pending(2, &of, &at(6, 0));
    assert!(log.offsets.has_group("g"));
    let decision = delete(&log.offsets, None, "g", &[("orders", &[0])]);
    assert_eq!(decision.records, [Record::no_offset(of.clone())]);
    log.append(&decision.records);
    assert!(!log.offsets.has_group("g"));
    log.end(1, true);
    log.end(2, true);
    assert_eq!(log.committed(&of), None, "the transaction does not bring it back");
}

#[test]
fn deleted_group_leaves_no_offset() {
    let mut log = Log::default();
    log.put(key("g", "a", 0), at(1, 0));
    log.put(key("g", "b", 1), at(1, 0));
    log.put(key("h", "a", 0), at(1, 0));
    log.put_pending(1, &key("g", "a", 0), &at(2, 0));
    log.put_pending(1, &key("g", "c", 0), &at(2, 0));
    let records = log.offsets.group_deleted(&"g".into());
    let expected = [key("g", "a", 0), key("g", "b", 1), key("g", "c", 0)].map(Record::no_offset);
    assert_eq!(records, expected);
    log.append(&records);
    assert_eq!(log.offsets.groups().cloned().collect::<Vec<_>>(), ["h".into()]);
}

#[test]
fn offsets_of_deleted_topic_go_unless_it_was_created_again() {
    let mut log = Log::default();
    let with_id = |id| CommittedOffset { topic_id: id, ..at(1, 0) };
    let again = TopicId([8; 16]);
    log.put(key("a", "orders", 0), with_id(ORDERS));
    log.put(key("b", "orders", 0), with_id(again));
    log.put(key("c", "orders", 0), with_id(TopicId::ZERO));
    log.put(key("c", "other", 0), with_id(ORDERS));
    log.put_pending(1, &key("d", "orders", 0), &with_id(TopicId::ZERO));
    log.put_pending(1, &key("c", "orders", 0), &with_id(TopicId::ZERO));
    let records = log.offsets.topics_deleted(&[("orders".into(), ORDERS), ("none".into(), again)]);
    let gone = [key("a", "orders", 0), key("c", "orders", 0), key("d", "orders", 0)];
    assert_eq!(records, gone.map(Record::no_offset));
}

#[test]
fn commits_of_a_transaction_count_in_the_order_of_their_records() {
    let mut log = Log::default();
    let of = key("g", "orders", 0);
    log.put_pending(1, &of, &at(5, 0));
    log.put_pending(2, &of, &at(6, 0));
    log.put_pending(3, &of, &at(7, 0));
    assert_eq!(log.committed(&of), None);
    log.end(2, true);
    assert_eq!(log.committed(&of), Some(6));
    log.end(1, true);
    assert_eq!(log.committed(&of), Some(6), "its record is older");
    log.end(3, false);
    assert_eq!(log.committed(&of), Some(6), "aborted");
    log.put_pending(4, &of, &at(8, 0));
    log.put(of.clone(), at(9, 0));
    log.end(4, true);
    assert_eq!(log.committed(&of), Some(9), "a plain commit came after its record");
    log.end(4, true);
    assert_eq!(log.committed(&of), Some(9), "nothing is pending any more");
}
