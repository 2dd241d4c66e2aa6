//! Where markers go, and what becomes of them.

use super::*;
use crate::base::{Listener, PartitionEpoch, SecurityProtocol, TopicId};
use crate::controller::{PartitionRecord, Record, RegisterBroker, TopicRecord};
use crate::txn::TransactionVersion;
use crate::wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};

const ORDERS: TopicId = TopicId([5; 16]);

/// The metadata of a topic with a leader for each partition; brokers 1 and 2 are alive.
fn image(leaders: &[Option<i32>]) -> Arc<Image> {
    image_at(&[Address::new("broker1", 9092), Address::new("broker2", 9092)], leaders)
}

/// The same with brokers at these addresses, from id 1 on.
pub(crate) fn image_at(brokers: &[Address], leaders: &[Option<i32>]) -> Arc<Image> {
    let mut image = Image::default();
    let mut replay = |record: Record| {
        let at = image.offset().map_or(crate::base::Offset::ZERO, crate::base::Offset::next);
        image.replay(at, &record, &mut Vec::new()).unwrap();
    };
    for (id, address) in (1..).zip(brokers) {
        replay(Record::RegisterBroker(RegisterBroker {
            broker: BrokerId(id),
            incarnation: Default::default(),
            epoch: crate::base::BrokerEpoch(i64::from(id)),
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                address: address.clone(),
                protocol: SecurityProtocol(0),
            }],
            features: Vec::new(),
            rack: None,
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
        }));
    }
    if !leaders.is_empty() {
        replay(Record::Topic(TopicRecord { name: "orders".into(), id: ORDERS }));
    }
    for (partition, leader) in (0..).zip(leaders) {
        replay(Record::Partition(PartitionRecord {
            partition,
            topic: ORDERS,
            replicas: vec![BrokerId(1), BrokerId(2)],
            isr: vec![BrokerId(1), BrokerId(2)],
            removing: Vec::new(),
            adding: Vec::new(),
            leader: leader.map(BrokerId),
            recovering: false,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            directories: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        }));
    }
    Arc::new(image)
}

fn queues(leaders: &[Option<i32>]) -> MarkerQueues {
    let mut queues = MarkerQueues::new("PLAINTEXT");
    assert!(queues.image_changed(image(leaders)).is_empty());
    queues
}

pub(crate) fn markers(id: &str, producer: i64, partitions: &[i32]) -> Markers {
    let partitions = partitions.iter().map(|one| TopicPartition::new("orders", *one));
    Markers {
        partition: 3,
        coordinator: LeaderEpoch(4),
        id: id.into(),
        producer: ProducerId(producer),
        epoch: ProducerEpoch(1),
        outcome: Outcome::Commit,
        version: TransactionVersion::V2,
        partitions: Arc::new(partitions.collect()),
    }
}

/// A response in which each partition has the error of its place.
pub(crate) fn response(producer: i64, errors: &[(i32, ErrorCode)]) -> WriteTxnMarkersResponse {
    let partitions = errors.iter().map(|(partition, error)| {
        message!(WritableTxnMarkerPartitionResult {
            partition_index: *partition,
            error_code: error.code(),
        })
    });
    let topic = message!(WritableTxnMarkerTopicResult {
        name: "orders".into(),
        partitions: partitions.collect(),
    });
    let marker = message!(WritableTxnMarkerResult { producer_id: producer, topics: vec![topic] });
    message!(WriteTxnMarkersResponse { markers: vec![marker] })
}

/// The partitions of the markers that wait for a broker, by producer.
fn waiting(queues: &mut MarkerQueues, broker: i32) -> Vec<(i64, Vec<i32>)> {
    let Some((request, sent)) = queues.take(BrokerId(broker)) else { return Vec::new() };
    let seen = request.markers.iter().map(|marker| {
        (
            marker.producer_id,
            marker.topics.iter().flat_map(|t| t.partition_indexes.clone()).collect(),
        )
    });
    let seen = seen.collect();
    assert!(queues.failed(sent).is_empty());
    seen
}

#[test]
fn markers_go_to_the_leaders_of_their_partitions_in_one_request_each() {
    let mut queues = queues(&[Some(1), Some(2), Some(1)]);
    assert_eq!(queues.add(markers("a", 7, &[0, 1, 2])), None);
    assert_eq!(queues.add(markers("b", 8, &[0])), None);
    assert_eq!(queues.destinations(), [BrokerId(1), BrokerId(2)]);
    let (request, _) = queues.take(BrokerId(1)).unwrap();
    assert_eq!(request.markers.len(), 2);
    let first = &request.markers[0];
    assert_eq!((first.producer_id, first.producer_epoch, first.coordinator_epoch), (7, 1, 4));
    assert_eq!((first.transaction_result, first.transaction_version), (true, 2));
    assert_eq!(first.topics[0].partition_indexes, [0, 2]);
    assert!(queues.take(BrokerId(1)).is_none(), "taken once");
    assert_eq!(waiting(&mut queues, 2), [(7, vec![1])]);
}

#[test]
fn written_markers_are_reported_and_others_sent_again() {
    let mut queues = queues(&[Some(1), Some(1), Some(1), Some(1)]);
    queues.add(markers("a", 7, &[0, 1, 2, 3]));
    let (_, sent) = queues.take(BrokerId(1)).unwrap();
    let errors = [
        (0, ErrorCode::None),
        (1, ErrorCode::NotEnoughReplicas),
        (2, ErrorCode::UnsupportedForMessageFormat),
    ];
    let (written, again) = queues.answered(sent, &response(7, &errors));
    assert!(again);
    assert_eq!(written.len(), 1);
    let partitions: Vec<_> = written[0].partitions.iter().map(|one| one.partition).collect();
    assert_eq!(partitions, [0, 2]);
    assert_eq!(written[0].producer, (ProducerId(7), ProducerEpoch(1)));
    assert_eq!(waiting(&mut queues, 1), [(7, vec![1, 3])], "one failed, one was left out");
}

#[test]
fn every_error_that_may_pass_is_tried_again() {
    for error in [
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
        ErrorCode::KafkaStorageError,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CorruptMessage,
    ] {
        let mut queues = queues(&[Some(1)]);
        queues.add(markers("a", 7, &[0]));
        let (_, sent) = queues.take(BrokerId(1)).unwrap();
        assert_eq!(queues.answered(sent, &response(7, &[(0, error)])), (Vec::new(), true));
        assert_eq!(waiting(&mut queues, 1), [(7, vec![0])], "{error:?}");
    }
}

#[test]
fn fenced_coordinator_sends_no_marker_of_the_transaction_any_more() {
    for error in [ErrorCode::InvalidProducerEpoch, ErrorCode::TransactionCoordinatorFenced] {
        let mut queues = queues(&[Some(1), Some(2)]);
        queues.add(markers("a", 7, &[0, 1]));
        queues.add(markers("b", 8, &[1]));
        let (_, under_way) = queues.take(BrokerId(1)).unwrap();
        assert_eq!(queues.answered(under_way, &response(7, &[(0, error)])), (Vec::new(), false));
        assert_eq!(waiting(&mut queues, 2), [(8, vec![1])], "those of others stay");
        assert_eq!(waiting(&mut queues, 1), []);
    }
}

#[test]
fn markers_follow_leaders_and_wait_where_there_is_none() {
    let mut queues = queues(&[Some(1), None]);
    queues.add(markers("a", 7, &[0, 1]));
    assert_eq!(queues.destinations(), [BrokerId(1)]);
    assert!(queues.image_changed(image(&[Some(2), Some(9)])).is_empty());
    assert_eq!(queues.destinations(), [BrokerId(2)], "broker 9 is not registered");
    assert!(queues.image_changed(image(&[Some(2), Some(1)])).is_empty());
    assert_eq!(waiting(&mut queues, 2), [(7, vec![0])]);
    assert_eq!(waiting(&mut queues, 1), [(7, vec![1])]);
}

#[test]
fn request_that_failed_goes_to_the_leader_of_the_time() {
    let mut queues = queues(&[Some(1)]);
    queues.add(markers("a", 7, &[0]));
    let (_, sent) = queues.take(BrokerId(1)).unwrap();
    queues.image_changed(image(&[Some(2)]));
    assert!(queues.failed(sent).is_empty());
    assert_eq!(queues.destinations(), [BrokerId(2)]);
}

#[test]
fn deleted_partition_needs_no_marker() {
    let mut queues = queues(&[Some(1)]);
    let written = queues.add(markers("a", 7, &[0, 5])).unwrap();
    assert_eq!(written.partitions, [TopicPartition::new("orders", 5)]);
    let written = queues.image_changed(image(&[]));
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].partitions, [TopicPartition::new("orders", 0)]);
    assert_eq!(queues.destinations(), []);
}

#[test]
fn markers_of_a_coordinator_that_resigned_are_dropped_also_those_under_way() {
    let mut queues = queues(&[Some(1), None]);
    queues.add(markers("a", 7, &[0, 1]));
    let (_, under_way) = queues.take(BrokerId(1)).unwrap();
    queues.add(markers("b", 8, &[0]));
    queues.resigned(3, LeaderEpoch(4));
    assert_eq!(queues.destinations(), []);
    assert!(queues.failed(under_way).is_empty());
    queues.image_changed(image(&[Some(1), Some(1)]));
    assert_eq!(queues.destinations(), []);
    queues.add(Markers { coordinator: LeaderEpoch(5), ..markers("a", 7, &[0]) });
    assert_eq!(waiting(&mut queues, 1), [(7, vec![0])], "the next coordinator sends its own");
}

#[test]
fn nothing_is_kept_of_a_transaction_that_is_written() {
    let mut queues = queues(&[Some(1)]);
    queues.add(markers("a", 7, &[0, 5]));
    let (_, sent) = queues.take(BrokerId(1)).unwrap();
    queues.answered(sent, &response(7, &[(0, ErrorCode::None)]));
    assert!(queues.live.values().all(BTreeMap::is_empty));
}
