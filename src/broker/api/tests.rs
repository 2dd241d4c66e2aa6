//! A partition's side of transactions, asked over a socket of a node of its own. Its coordinator is not
//! asked where the node does not verify transactions.

mod end_to_end;

use std::time::Duration;

use bytes::Bytes;

use crate::base::config::{Compression, NodeConfig};
use crate::base::{Address, ProducerEpoch, ProducerId, Timestamp, topics};
use crate::broker::Node;
use crate::io::World;
use crate::io::real::RealWorld;
use crate::rpc::Connection;
use crate::wire::ErrorCode;
use crate::wire::batch::BatchBuilder;
use crate::wire::messages::create_topics_request::CreatableTopic;
use crate::wire::messages::describe_producers_request::TopicRequest;
use crate::wire::messages::describe_producers_response::PartitionResponse;
use crate::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use crate::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::wire::messages::{
    CreateTopicsRequest, DescribeProducersRequest, FindCoordinatorRequest, ListOffsetsRequest,
    OffsetFetchRequest, ProduceRequest, RequestResponsePair, TxnOffsetCommitRequest,
    WriteTxnMarkersRequest, message,
};

const PRODUCER: i64 = 9;

/// A node with a topic `orders` of one partition, and a connection to it.
struct Served {
    world: RealWorld,
    connection: Connection<RealWorld>,
    _place: tempfile::TempDir,
}

impl Served {
    async fn new(verifies: &str) -> Self {
        let (place, world) = (tempfile::tempdir().unwrap(), RealWorld::new());
        let mut config = NodeConfig::default();
        let settings = [
            ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
            ("offsets.topic.num.partitions", "1"),
            ("offsets.topic.replication.factor", "1"),
            ("transaction.state.log.replication.factor", "1"),
            ("transaction.state.log.min.isr", "1"),
            ("transaction.partition.verification.enable", verifies),
        ];
        config.set_all(settings).unwrap();
        config.node.log_dirs = vec![place.path().join("data").display().to_string()];
        let node = Node::start(world.clone(), config).await.unwrap();
        let address: Address = node.addresses()[0].clone();
        world.spawn("node", async move { drop(node.run().await) });
        let deadline = world.now() + Duration::from_secs(30);
        let connection = Connection::open(&world, &address, "test", deadline).await.unwrap();
        let served = Self { world, connection, _place: place };
        let topic = message!(CreatableTopic {
            name: "orders".into(),
            num_partitions: 1,
            replication_factor: 1,
        });
        let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000 });
        assert_eq!(served.ask(7, &request).await.topics[0].error_code, 0);
        while served.stable().await.is_err() {
            served.pause().await;
        }
        served
    }

    async fn pause(&self) {
        self.world.sleep_until(self.world.now() + Duration::from_millis(5)).await;
    }

    async fn ask<R: RequestResponsePair + Sync + 'static>(
        &self,
        version: i16,
        request: &R,
    ) -> R::Response {
        let deadline = self.world.now() + Duration::from_secs(30);
        self.connection.call(request, Some(version), deadline).await.unwrap()
    }

    /// A record of a transaction.
    async fn produce(&self, epoch: i16, sequence: i32) -> Result<i64, ErrorCode> {
        let id = Some("payments".into());
        self.produce_as(id, transactional(PRODUCER, epoch, sequence)).await
    }

    async fn produce_as(
        &self,
        transactional_id: Option<crate::wire::messages::StrBytes>,
        records: Bytes,
    ) -> Result<i64, ErrorCode> {
        let data = message!(PartitionProduceData { records: Some(records) });
        let topic =
            message!(TopicProduceData { name: "orders".into(), partition_data: vec![data] });
        let request = message!(ProduceRequest {
            transactional_id: transactional_id,
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
        });
        let response = self.ask(11, &request).await;
        let partition = &response.responses[0].partition_responses[0];
        found(partition.error_code).map(|()| partition.base_offset)
    }

    async fn mark(&self, topic: &str, epoch: i16, version: i8) -> ErrorCode {
        let named =
            message!(WritableTxnMarkerTopic { name: topic.into(), partition_indexes: vec![0] });
        let marker = message!(WritableTxnMarker {
            producer_id: PRODUCER,
            producer_epoch: epoch,
            transaction_result: true,
            topics: vec![named],
            coordinator_epoch: 1,
            transaction_version: version,
        });
        let request = message!(WriteTxnMarkersRequest { markers: vec![marker] });
        let response = self.ask(2, &request).await;
        assert_eq!(response.markers[0].producer_id, PRODUCER);
        ErrorCode::from_code(response.markers[0].topics[0].partitions[0].error_code)
    }

    async fn describe(&self, topic: &str) -> PartitionResponse {
        let topic = message!(TopicRequest { name: topic.into(), partition_indexes: vec![0] });
        let request = message!(DescribeProducersRequest { topics: vec![topic] });
        self.ask(0, &request).await.topics.remove(0).partitions.remove(0)
    }

    /// Where `read_committed` ends.
    async fn stable(&self) -> Result<i64, ErrorCode> {
        let asked = message!(ListOffsetsPartition { current_leader_epoch: -1, timestamp: -1 });
        let topic = message!(ListOffsetsTopic { name: "orders".into(), partitions: vec![asked] });
        let request = message!(ListOffsetsRequest {
            replica_id: -1,
            isolation_level: 1,
            topics: vec![topic],
        });
        let answer = self.ask(10, &request).await.topics.remove(0).partitions.remove(0);
        found(answer.error_code).map(|()| answer.offset)
    }

    async fn commit(&self, topic: &str, generation: i32) -> ErrorCode {
        let partition = message!(TxnOffsetCommitRequestPartition { committed_offset: 42 });
        let topic = message!(TxnOffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![partition],
        });
        let request = message!(TxnOffsetCommitRequest {
            transactional_id: "payments".into(),
            group_id: "workers".into(),
            producer_id: PRODUCER,
            generation_id_or_member_epoch: generation,
            topics: vec![topic],
        });
        let response = self.ask(4, &request).await;
        ErrorCode::from_code(response.topics[0].partitions[0].error_code)
    }

    async fn committed(&self) -> Result<i64, ErrorCode> {
        let topic = message!(OffsetFetchRequestTopics {
            name: "orders".into(),
            partition_indexes: vec![0],
        });
        let group = message!(OffsetFetchRequestGroup {
            group_id: "workers".into(),
            member_epoch: -1,
            topics: Some(vec![topic]),
        });
        let request = message!(OffsetFetchRequest { groups: vec![group], require_stable: true });
        let response = self.ask(9, &request).await;
        found(response.groups[0].error_code)?;
        let partition = &response.groups[0].topics[0].partitions[0];
        found(partition.error_code).map(|()| partition.committed_offset)
    }
}

fn found(code: i16) -> Result<(), ErrorCode> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        error => Err(error),
    }
}

fn transactional(producer: i64, epoch: i16, sequence: i32) -> Bytes {
    let now = Timestamp(1_700_000_000_000);
    let mut builder = BatchBuilder::new(Compression::None, now).transactional();
    builder.append(now, None, Some(b"v"), &[]);
    builder.finish(ProducerId(producer), ProducerEpoch(epoch), sequence)
}

#[tokio::test]
async fn transaction_is_written_ended_and_shown() {
    let served = Served::new("false").await;
    assert_eq!(served.produce(0, 0).await, Ok(0));
    assert_eq!(served.produce(0, 1).await, Ok(1));
    assert_eq!(served.stable().await, Ok(0));
    let open = served.describe("orders").await;
    let producer = &open.active_producers[0];
    assert_eq!((producer.producer_id, producer.producer_epoch), (PRODUCER, 0));
    assert_eq!((producer.last_sequence, producer.current_txn_start_offset), (1, 0));
    assert_eq!(producer.coordinator_epoch, -1);
    let late = served.mark("orders", 0, 2).await;
    assert_eq!(late, ErrorCode::InvalidProducerEpoch, "of the transaction before");
    assert_eq!(served.mark("orders", 1, 2).await, ErrorCode::None);
    assert_eq!(served.mark("orders", 1, 2).await, ErrorCode::None, "its answer was lost");
    assert_eq!(served.stable().await, Ok(4));
    assert_eq!(served.produce(0, 2).await, Err(ErrorCode::InvalidProducerEpoch));
    let ended = served.describe("orders").await;
    let producer = &ended.active_producers[0];
    assert_eq!((producer.producer_epoch, producer.current_txn_start_offset), (1, -1));
    assert_eq!((producer.last_sequence, producer.coordinator_epoch), (-1, 1));
}

#[tokio::test]
async fn requests_about_partitions_that_do_not_exist_are_refused() {
    let served = Served::new("false").await;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(served.mark("nothing", 1, 2).await, unknown);
    assert_eq!(served.describe("nothing").await.error_code, unknown.code());
    let invalid = served.describe("no topic").await;
    assert_eq!(invalid.error_code, ErrorCode::InvalidTopicException.code());
    assert!(invalid.error_message.is_some());
    assert_eq!(served.commit("nothing", -1).await, unknown);
    assert_eq!(served.commit("orders", -1).await, ErrorCode::NotCoordinator);
}

#[tokio::test]
async fn partition_takes_no_transaction_that_its_coordinator_does_not_verify() {
    let served = Served::new("true").await;
    // No broker coordinates transactions yet: the producer retries.
    assert_eq!(served.produce(0, 0).await, Err(ErrorCode::NotEnoughReplicas));
    let nameless = served.produce_as(None, transactional(PRODUCER, 0, 0)).await;
    assert_eq!(nameless, Err(ErrorCode::TransactionalIdAuthorizationFailed));
    assert_eq!(served.stable().await, Ok(0));
}

#[tokio::test]
async fn offsets_of_a_transaction_are_pending_until_its_marker() {
    let served = Served::new("false").await;
    let find = message!(FindCoordinatorRequest { coordinator_keys: vec!["workers".into()] });
    while found(served.ask(4, &find).await.coordinators[0].error_code).is_err() {
        served.pause().await;
    }
    while served.committed().await.is_err() {
        served.pause().await;
    }
    assert_eq!(served.commit("orders", 3).await, ErrorCode::IllegalGeneration);
    assert_eq!(served.commit("orders", -1).await, ErrorCode::None);
    assert_eq!(served.committed().await, Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(served.mark(topics::CONSUMER_OFFSETS, 1, 2).await, ErrorCode::None);
    assert_eq!(served.committed().await, Ok(42), "at once");
    assert_eq!(served.commit("orders", -1).await, ErrorCode::InvalidProducerEpoch);
}
