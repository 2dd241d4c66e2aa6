//! The core against answers made by hand, without a network.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::position::Whence;
use super::{Answer, Core, Effect, Input, Notice, Order, Question};
use crate::base::config::{Compression, Config, ConsumerConfig};
use crate::base::{
    Instant, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Seed, Stream, Timestamp,
    TopicPartition,
};
use crate::client::ConsumeError;
use crate::client::ConsumerRecord;
use crate::client::kernel::{self, metadata};
use crate::log::TransactionEnd;
use crate::wire::ErrorCode;
use crate::wire::batch::{BatchBuilder, assign};
use crate::wire::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use crate::wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use crate::wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use crate::wire::messages::{
    FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse, Uuid, message,
};

pub(super) struct Stage {
    pub(super) core: Core,
    pub(super) now: Instant,
    pub(super) orders: VecDeque<Order>,
    refreshes: usize,
    pub(super) leaders: Vec<(i32, i32)>,
    /// Brokers that are down, as far as metadata say.
    pub(super) offline: Vec<i32>,
    /// Of answers to fetches.
    pub(super) throttle_ms: i32,
    /// Whether the last question for metadata lets brokers create topics.
    pub(super) may_create: bool,
}

pub(super) fn orders(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A batch of records whose values are their offsets, written in `epoch`.
pub(super) fn batch(base: i64, count: i64, epoch: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None, Timestamp(1));
    for n in 0..count {
        builder.append(Timestamp(1), None, Some((base + n).to_string().as_bytes()), &[]);
    }
    placed(builder, base, epoch)
}

fn placed(builder: BatchBuilder, base: i64, epoch: i32) -> Bytes {
    let mut bytes = BytesMut::from(&builder.finish_plain()[..]);
    assign(&mut bytes, Offset(base), LeaderEpoch(epoch));
    bytes.freeze()
}

impl Stage {
    /// Partition 0 of `orders` is assigned; broker 1 leads it in epoch 5.
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        let mut config = ConsumerConfig::default();
        config.set("bootstrap.servers", "b1:9092").unwrap();
        config.set("auto.offset.reset", "earliest").unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let random = Seed(1).stream(Stream::named("test"));
        let mut stage = Self {
            core: Core::new(config, Instant::from_secs(1), random).unwrap(),
            now: Instant::from_secs(1),
            orders: VecDeque::new(),
            refreshes: 0,
            leaders: vec![(1, 5)],
            offline: Vec::new(),
            throttle_ms: 0,
            may_create: false,
        };
        stage.core.assign(vec![orders(0)]);
        stage
    }

    /// One that reads at `offset` and has asked for records there.
    pub(super) fn reading(offset: i64, settings: &[(&str, &str)]) -> Self {
        let mut stage = Self::new(settings);
        stage.core.seek(&orders(0), Offset(offset));
        stage.tick();
        stage
    }

    pub(super) fn tick(&mut self) {
        self.step(Input::Tick);
    }

    pub(super) fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.core.step(self.now, input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Ask(order) => self.orders.push_back(*order),
                    Effect::Kernel(kernel::Effect::Metadata { ask: from, may_create, .. }) => {
                        self.refreshes += 1;
                        self.may_create = may_create;
                        let mut answer = metadata(3, "orders", 7, &self.leaders);
                        answer.topics[0].partitions[0].offline_replicas = self.offline.clone();
                        let answer = Some(Box::new(answer));
                        inputs.push_back(Input::Kernel(kernel::Input::Metadata { from, answer }));
                    }
                    Effect::Kernel(other) => panic!("unexpected {other:?}"),
                }
            }
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.tick();
    }

    pub(super) fn take(&mut self) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let taken = self.core.take(self.now);
        self.tick();
        taken
    }

    pub(super) fn offsets(&mut self) -> Vec<i64> {
        self.take().unwrap().iter().map(|record| record.offset.0).collect()
    }

    pub(super) fn order(&mut self) -> Order {
        self.orders.pop_front().expect("a question")
    }

    pub(super) fn fetched(&mut self, error: ErrorCode, high_watermark: i64, batches: &[Bytes]) {
        self.fetched_with(error, high_watermark, batches, -1);
    }

    /// The same without an error, and the leader names aborted transactions.
    fn fetched_aborted(&mut self, batches: &[Bytes], aborted: Vec<AbortedTransaction>) {
        let mut data = PartitionData::default();
        data.high_watermark = 9;
        data.records = Some(Bytes::from(batches.concat()));
        data.aborted_transactions = Some(aborted);
        self.fetched_data(data);
    }

    /// The same, and the leader names a replica to read from.
    pub(super) fn fetched_with(
        &mut self,
        error: ErrorCode,
        high_watermark: i64,
        batches: &[Bytes],
        preferred: i32,
    ) {
        let mut data = PartitionData::default();
        data.error_code = error.code();
        data.high_watermark = high_watermark;
        data.preferred_read_replica = preferred;
        data.records = Some(Bytes::from(batches.concat()));
        self.fetched_data(data);
    }

    fn fetched_data(&mut self, data: PartitionData) {
        let order = self.order();
        assert!(matches!(order.question, Question::Fetch(_)), "{order:?}");
        let mut topic = FetchableTopicResponse::default();
        topic.topic_id = Uuid::from_bytes([7; 16]);
        topic.partitions.push(data);
        let mut answer = FetchResponse::default();
        answer.throttle_time_ms = self.throttle_ms;
        answer.responses.push(topic);
        let answer = Answer::Fetch(Box::new(answer));
        self.step(Input::Answered { request: order.request, answer });
    }

    fn listed(&mut self, offset: i64) -> i64 {
        self.listed_with(ErrorCode::None, offset)
    }

    /// The leader answers the lookup under way. Returns the timestamp that was asked for.
    fn listed_with(&mut self, error: ErrorCode, offset: i64) -> i64 {
        let order = self.order();
        let Question::List(message) = &order.question else { panic!("{order:?}") };
        let mut partition = ListOffsetsPartitionResponse::default();
        partition.partition_index = message.topics[0].partitions[0].partition_index;
        partition.error_code = error.code();
        partition.offset = offset;
        partition.timestamp = offset + 1_000;
        partition.leader_epoch = 5;
        let asked = message.topics[0].partitions[0].timestamp;
        let mut topic = ListOffsetsTopicResponse::default();
        topic.name = "orders".into();
        topic.partitions.push(partition);
        let mut answer = ListOffsetsResponse::default();
        answer.topics.push(topic);
        let answer = Answer::List(Box::new(answer));
        self.step(Input::Answered { request: order.request, answer });
        asked
    }

    /// The leader's log of the asked epoch ends so.
    fn validated(&mut self, epoch: i32, end: i64) -> i32 {
        let order = self.order();
        let Question::Validate(message) = &order.question else { panic!("{order:?}") };
        let asked = message.topics[0].partitions[0].leader_epoch;
        let mut partition = EpochEndOffset::default();
        partition.leader_epoch = epoch;
        partition.end_offset = end;
        let mut topic = OffsetForLeaderTopicResult::default();
        topic.topic = "orders".into();
        topic.partitions.push(partition);
        let mut answer = OffsetForLeaderEpochResponse::default();
        answer.topics.push(topic);
        let answer = Answer::Validate(Box::new(answer));
        self.step(Input::Answered { request: order.request, answer });
        asked
    }

    /// Elects another leader, of which the consumer learns by a refused fetch.
    pub(super) fn elect(&mut self, leader: i32, epoch: i32) {
        self.leaders = vec![(leader, epoch)];
        self.now = self.now + Duration::from_secs(60);
        self.fetched(ErrorCode::FencedLeaderEpoch, -1, &[]);
    }

    fn asks_at(&self) -> Option<i64> {
        match &self.orders.front()?.question {
            Question::Fetch(message) => Some(message.topics[0].partitions[0].fetch_offset),
            _ => None,
        }
    }
}

#[test]
fn first_position_follows_the_reset_policy_and_is_announced() {
    for (policy, timestamp) in [("earliest", -2), ("latest", -1)] {
        let mut stage = Stage::new(&[("auto.offset.reset", policy)]);
        stage.tick();
        assert_eq!(stage.core.position(&orders(0)), None);
        assert_eq!(stage.listed(40), timestamp);
        assert_eq!(stage.core.position(&orders(0)), Some(Offset(40)));
        assert_eq!(stage.asks_at(), Some(40));
        let expected = Notice::Reset { partition: orders(0), from: None, to: Offset(40) };
        assert_eq!(stage.core.take_notices(), [expected]);
    }
}

#[test]
fn partition_without_a_reset_policy_waits_for_a_seek() {
    let mut stage = Stage::new(&[("auto.offset.reset", "none")]);
    stage.tick();
    assert_eq!(stage.take(), Err(ConsumeError::NoOffset(orders(0))));
    assert!(stage.orders.is_empty());
    stage.core.seek(&orders(0), Offset(3));
    assert_eq!(stage.take(), Ok(Vec::new()));
    assert_eq!(stage.asks_at(), Some(3));
}

#[test]
fn records_come_in_order_up_to_max_poll_records() {
    let mut stage = Stage::reading(0, &[("max.poll.records", "3")]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5), batch(4, 1, 5)]);
    assert_eq!(stage.core.high_watermark(&orders(0)), Some(Offset(9)));
    assert!(stage.orders.is_empty(), "something is buffered");
    assert_eq!(stage.offsets(), [0, 1, 2]);
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(3)));
    assert_eq!(stage.offsets(), [3, 4]);
    assert_eq!(stage.asks_at(), Some(5));
}

#[test]
fn position_inside_a_batch_skips_earlier_records() {
    let mut stage = Stage::reading(2, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    assert_eq!(stage.offsets(), [2, 3]);
}

#[test]
fn fetch_that_ends_inside_a_batch_is_read_up_to_it() {
    let mut stage = Stage::reading(0, &[]);
    let torn = batch(4, 4, 5).slice(..70);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5), torn]);
    assert_eq!(stage.offsets(), [0, 1, 2, 3]);
    assert_eq!(stage.asks_at(), Some(4));
}

#[test]
fn control_batches_are_skipped() {
    let mut stage = Stage::reading(0, &[]);
    let mut marker = BatchBuilder::new(Compression::None, Timestamp(1)).control();
    marker.append(Timestamp(1), Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[]);
    stage.fetched(ErrorCode::None, 9, &[placed(marker, 0, 5), batch(1, 1, 5)]);
    assert_eq!(stage.offsets(), [1]);
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(2)));
}

#[test]
fn corrupt_batch_is_an_error_and_keeps_the_position() {
    let mut stage = Stage::reading(0, &[]);
    let mut damaged = BytesMut::from(&batch(2, 2, 5)[..]);
    let last = damaged.len() - 3;
    damaged[last] ^= 1;
    stage.fetched(ErrorCode::None, 9, &[batch(0, 2, 5), damaged.freeze()]);
    assert_eq!(stage.offsets(), [0, 1]);
    let error = stage.take().unwrap_err();
    assert_eq!(error.name(), "CORRUPT_MESSAGE");
    assert!(stage.orders.is_empty(), "it rests");
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.asks_at(), Some(2), "and stays in front of the damage");
}

#[test]
fn answer_from_before_a_seek_is_ignored() {
    let mut stage = Stage::reading(0, &[]);
    stage.core.seek(&orders(0), Offset(100));
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    assert_eq!(stage.take(), Ok(Vec::new()));
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(100)));
    assert_eq!(stage.asks_at(), Some(100));
}

#[test]
fn new_leader_is_asked_to_validate_the_position() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    assert_eq!(stage.offsets(), [0, 1, 2, 3]);
    stage.elect(2, 6);
    assert_eq!(stage.orders[0].to.host, "b2");
    assert_eq!(stage.validated(5, 4), 5);
    assert_eq!(stage.asks_at(), Some(4));
    assert!(stage.core.take_notices().is_empty());
}

#[test]
fn truncation_moves_the_position_back_and_is_announced() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    assert_eq!(stage.offsets(), [0, 1, 2, 3]);
    stage.elect(2, 6);
    stage.validated(5, 2);
    let expected = Notice::Truncated { partition: orders(0), from: Offset(4), to: Some(Offset(2)) };
    assert_eq!(stage.core.take_notices(), [expected]);
    assert_eq!(stage.asks_at(), Some(2));
}

#[test]
fn epoch_unknown_to_the_leader_is_truncated_to_its_start() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 4), batch(4, 2, 5)]);
    assert_eq!(stage.offsets(), [0, 1, 2, 3, 4, 5]);
    stage.elect(2, 6);
    stage.validated(4, 10);
    let expected = Notice::Truncated { partition: orders(0), from: Offset(6), to: Some(Offset(4)) };
    assert_eq!(stage.core.take_notices(), [expected]);
    assert_eq!(stage.asks_at(), Some(4));
}

#[test]
fn leader_without_any_earlier_epoch_causes_a_reset() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    stage.offsets();
    stage.elect(2, 6);
    stage.validated(-1, -1);
    assert_eq!(stage.listed(1), -2);
    let expected = [
        Notice::Truncated { partition: orders(0), from: Offset(4), to: None },
        Notice::Reset { partition: orders(0), from: Some(Offset(4)), to: Offset(1) },
    ];
    assert_eq!(stage.core.take_notices(), expected);
}

#[test]
fn truncation_without_a_reset_policy_is_an_error_until_a_seek() {
    let mut stage = Stage::reading(0, &[("auto.offset.reset", "none")]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    stage.offsets();
    stage.elect(2, 6);
    stage.validated(5, 2);
    let expected = ConsumeError::Truncated {
        partition: orders(0),
        offset: Offset(4),
        diverges_at: Some(Offset(2)),
    };
    assert_eq!(stage.take(), Err(expected.clone()));
    assert_eq!(stage.take(), Err(expected));
    stage.core.seek(&orders(0), Offset(2));
    assert_eq!(stage.take(), Ok(Vec::new()));
}

#[test]
fn position_from_a_seek_is_not_validated() {
    let mut stage = Stage::reading(7, &[]);
    stage.elect(2, 6);
    stage.pass(Duration::from_secs(1));
    assert_eq!((stage.asks_at(), stage.orders[0].to.host.as_str()), (Some(7), "b2"));
}

#[test]
fn unread_records_of_a_former_leader_are_fetched_again() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    stage.leaders = vec![(2, 6)];
    stage.pass(Duration::from_secs(600));
    assert_eq!(stage.take(), Ok(Vec::new()), "they may be gone");
    assert_eq!((stage.asks_at(), stage.orders[0].to.host.as_str()), (Some(0), "b2"));
    stage.fetched(ErrorCode::None, 9, &[batch(0, 2, 6)]);
    assert_eq!(stage.offsets(), [0, 1]);
}

#[test]
fn offset_out_of_range_causes_a_reset() {
    let mut stage = Stage::reading(1000, &[]);
    stage.fetched(ErrorCode::OffsetOutOfRange, -1, &[]);
    assert_eq!(stage.listed(20), -2);
    let expected = Notice::Reset { partition: orders(0), from: Some(Offset(1000)), to: Offset(20) };
    assert_eq!(stage.core.take_notices(), [expected]);
}

#[test]
fn seek_to_end_is_not_announced() {
    let mut stage = Stage::new(&[]);
    stage.core.seek_to(&orders(0), Whence::Latest);
    stage.tick();
    assert_eq!(stage.listed(9), -1);
    assert!(stage.core.take_notices().is_empty());
}

#[test]
fn moved_leader_is_fetched_from_after_a_pause() {
    let mut stage = Stage::reading(0, &[]);
    let before = stage.refreshes;
    stage.leaders = vec![(3, 5)];
    stage.now = stage.now + Duration::from_secs(60);
    stage.fetched(ErrorCode::NotLeaderOrFollower, -1, &[]);
    assert_eq!(stage.refreshes, before + 1);
    assert!(stage.orders.is_empty());
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.orders[0].to.host, "b3");
}

#[test]
fn each_broker_gets_one_fetch_at_a_time() {
    let mut stage = Stage::new(&[]);
    stage.leaders = vec![(1, 5), (1, 5), (2, 5)];
    stage.core.assign((0..3).map(orders).collect());
    for partition in 0..3 {
        stage.core.seek(&orders(partition), Offset(0));
    }
    stage.tick();
    let hosts: Vec<_> = stage.orders.iter().map(|order| order.to.host.clone()).collect();
    assert_eq!(hosts, ["b1", "b2"]);
    stage.tick();
    assert_eq!(stage.orders.len(), 2);
}

#[test]
fn lookup_runs_beside_reading() {
    let mut stage = Stage::reading(0, &[]);
    stage.orders.clear();
    let id = stage.core.begin_lookup([(orders(0), Whence::Latest)]);
    stage.tick();
    assert!(!stage.core.is_looked_up(id));
    assert_eq!(stage.listed(77), -1);
    assert!(stage.core.is_looked_up(id));
    let found = stage.core.end_lookup(id).unwrap();
    assert_eq!(found[&orders(0)].map(|place| place.offset), Some(Offset(77)));
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(0)));
}

#[test]
fn lookup_by_time_finds_a_record_or_learns_that_there_is_none() {
    let mut stage = Stage::reading(0, &[]);
    stage.orders.clear();
    let time = Whence::Time(Timestamp(1_050));
    let mut look_up = |offset| {
        let id = stage.core.begin_lookup([(orders(0), time)]);
        stage.tick();
        assert_eq!(stage.listed(offset), 1_050);
        stage.core.end_lookup(id).unwrap()[&orders(0)]
    };
    let found = look_up(60).unwrap();
    assert_eq!((found.offset, found.timestamp), (Offset(60), Timestamp(1_060)));
    assert_eq!(found.leader_epoch, LeaderEpoch(5));
    assert_eq!(look_up(-1), None);
    // There is always a newest offset: a leader that does not know it yet is asked again.
    let id = stage.core.begin_lookup([(orders(0), Whence::Latest)]);
    stage.tick();
    stage.listed(-1);
    assert!(!stage.core.is_looked_up(id));
}

#[test]
fn refused_lookup_fails_its_call_and_no_poll() {
    let mut stage = Stage::reading(0, &[]);
    stage.orders.clear();
    let id = stage.core.begin_lookup([(orders(0), Whence::Latest)]);
    stage.tick();
    stage.listed_with(ErrorCode::TopicAuthorizationFailed, -1);
    assert!(stage.core.is_looked_up(id));
    let (partition, error) = (orders(0), ErrorCode::TopicAuthorizationFailed);
    assert_eq!(stage.core.end_lookup(id), Err(ConsumeError::Broker { partition, error }));
    assert_eq!(stage.take(), Ok(vec![]));
}

#[test]
fn records_that_are_given_back_are_read_again_with_their_epochs() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 2, 3), batch(2, 2, 5)]);
    assert_eq!(stage.core.take(stage.now).unwrap().len(), 4);
    let mut kept = [(Offset(0), LeaderEpoch(3)), (Offset(1), LeaderEpoch(3))].into_iter();
    stage.core.give_back(&orders(0), &mut kept);
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(2)));
    stage.tick();
    assert_eq!(stage.asks_at(), Some(2));
    // The epoch of the last record that was kept counts for truncation (KIP-320).
    stage.elect(2, 6);
    assert_eq!(stage.validated(3, 2), 3);
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(2)));
}

#[test]
fn batches_with_producer_ids_are_read_like_others() {
    let mut stage = Stage::reading(0, &[]);
    let mut builder = BatchBuilder::new(Compression::Zstd, Timestamp(1));
    builder.append(Timestamp(1), Some(b"k"), None, &[(b"h", None)]);
    let mut bytes = BytesMut::from(&builder.finish(ProducerId(1), ProducerEpoch(0), 0)[..]);
    assign(&mut bytes, Offset(0), LeaderEpoch(5));
    stage.fetched(ErrorCode::None, 1, &[bytes.freeze()]);
    let records = stage.take().unwrap();
    assert_eq!((records[0].key.as_deref(), &records[0].value), (Some(&b"k"[..]), &None));
    assert_eq!(records[0].headers.len(), 1);
}

#[test]
#[should_panic(expected = "orders-0 fell to 1 from 4 without a seek or reset")]
fn position_that_falls_without_a_reason_trips_the_check() {
    let mut stage = Stage::reading(0, &[]);
    stage.fetched(ErrorCode::None, 9, &[batch(0, 4, 5)]);
    assert_eq!(stage.offsets(), [0, 1, 2, 3]);
    stage.core.assigned_mut(&orders(0), |assigned| assigned.misplace(Offset(1)));
    stage.tick();
}

/// A batch of a producer's transaction, with one record.
fn of_transaction(producer: i64, offset: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None, Timestamp(1)).transactional();
    builder.append(Timestamp(1), None, Some(b"v"), &[]);
    let bytes = builder.finish(ProducerId(producer), ProducerEpoch(0), 0);
    let mut bytes = BytesMut::from(&bytes[..]);
    assign(&mut bytes, Offset(offset), LeaderEpoch(5));
    bytes.freeze()
}

fn marker(producer: i64, offset: i64, commit: bool) -> Bytes {
    let (producer, producer_epoch) = (ProducerId(producer), ProducerEpoch(0));
    let end = TransactionEnd { producer, producer_epoch, coordinator_epoch: 0, commit, version: 1 };
    let mut bytes = end.batch(Timestamp(1));
    assign(&mut bytes, Offset(offset), LeaderEpoch(5));
    bytes.freeze()
}

/// Offsets that a reader gets of two interleaved transactions of producer 7, the first of them aborted,
/// and one of producer 8.
fn read_of_transactions(isolation: &str) -> Vec<i64> {
    let mut stage = Stage::reading(0, &[("isolation.level", isolation)]);
    let batches = [
        of_transaction(7, 0),
        of_transaction(8, 1),
        batch(2, 1, 5),
        marker(7, 3, false),
        of_transaction(7, 4),
        marker(8, 5, true),
        marker(7, 6, true),
    ];
    let aborted = message!(AbortedTransaction { producer_id: 7, first_offset: 0 });
    stage.fetched_aborted(&batches, vec![aborted]);
    let offsets = stage.offsets();
    assert_eq!(stage.core.position(&orders(0)), Some(Offset(7)), "nothing is read twice");
    offsets
}

#[test]
fn committed_reader_leaves_out_aborted_records_up_to_their_marker() {
    assert_eq!(read_of_transactions("read_committed"), [1, 2, 4]);
    assert_eq!(read_of_transactions("read_uncommitted"), [0, 1, 2, 4]);
}
