//! Transactions from InitProducerId to the marker, in both versions of the protocol, on one node.

use super::*;
use crate::wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use crate::wire::messages::{AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest};

/// The kinds of coordinators in FindCoordinator.
const OF_GROUPS: i8 = 0;
const OF_TRANSACTIONS: i8 = 1;

/// A producer of `payments` in one of its epochs.
#[derive(Clone, Copy)]
struct Producing {
    id: i64,
    epoch: i16,
}

impl Served {
    async fn find_coordinator(&self, key: &str, kind: i8) {
        let find =
            message!(FindCoordinatorRequest { key_type: kind, coordinator_keys: vec![key.into()] });
        while found(self.ask(4, &find).await.coordinators[0].error_code).is_err() {
            self.pause().await;
        }
    }

    async fn init(&self) -> Producing {
        let init = message!(InitProducerIdRequest {
            transactional_id: Some("payments".into()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
        });
        loop {
            let given = self.ask(5, &init).await;
            if given.error_code == 0 {
                return Producing { id: given.producer_id, epoch: given.producer_epoch };
            }
            self.pause().await;
        }
    }

    /// Produce in version 12 adds the partition to the transaction, in version 11 it verifies that.
    async fn send(&self, version: i16, of: Producing, sequence: i32) -> Result<i64, ErrorCode> {
        let records = transactional(of.id, of.epoch, sequence);
        let data = message!(PartitionProduceData { records: Some(records) });
        let topic =
            message!(TopicProduceData { name: "orders".into(), partition_data: vec![data] });
        let request = message!(ProduceRequest {
            transactional_id: Some("payments".into()),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
        });
        let response = self.ask(version, &request).await;
        let partition = &response.responses[0].partition_responses[0];
        found(partition.error_code).map(|()| partition.base_offset)
    }

    async fn send_offset(&self, of: Producing, offset: i64) {
        let partition = message!(TxnOffsetCommitRequestPartition { committed_offset: offset });
        let topic = message!(TxnOffsetCommitRequestTopic {
            name: "orders".into(),
            partitions: vec![partition],
        });
        let request = message!(TxnOffsetCommitRequest {
            transactional_id: "payments".into(),
            group_id: "workers".into(),
            producer_id: of.id,
            producer_epoch: of.epoch,
            topics: vec![topic],
        });
        loop {
            let response = self.ask(5, &request).await;
            match ErrorCode::from_code(response.topics[0].partitions[0].error_code) {
                ErrorCode::None => return,
                error => assert!(error.is_retriable(), "{error}"),
            }
            self.pause().await;
        }
    }

    async fn end(&self, version: i16, of: Producing, commit: bool) -> Producing {
        let request = message!(EndTxnRequest {
            transactional_id: "payments".into(),
            producer_id: of.id,
            producer_epoch: of.epoch,
            committed: commit,
        });
        let ended = self.ask(version, &request).await;
        assert_eq!(ended.error_code, 0, "{ended:?}");
        Producing { id: ended.producer_id, epoch: ended.producer_epoch }
    }

    async fn wait_until_stable(&self, offset: i64) {
        while self.stable().await != Ok(offset) {
            self.pause().await;
        }
    }
}

#[tokio::test]
async fn transaction_of_version_2_has_an_epoch_of_its_own() {
    let served = Served::new("true").await;
    served.find_coordinator("payments", OF_TRANSACTIONS).await;
    served.find_coordinator("workers", OF_GROUPS).await;
    let mut producer = served.init().await;
    for round in 0..3 {
        assert_eq!(served.send(12, producer, 0).await, Ok(round * 2));
        assert_eq!(served.stable().await, Ok(round * 2));
        served.send_offset(producer, 42 + round).await;
        assert_eq!(served.committed().await, Err(ErrorCode::UnstableOffsetCommit));
        let next = served.end(5, producer, true).await;
        assert_eq!((next.id, next.epoch), (producer.id, producer.epoch + 1));
        served.wait_until_stable(round * 2 + 2).await;
        while served.committed().await != Ok(42 + round) {
            served.pause().await;
        }
        let zombie = served.send(11, producer, 1).await;
        assert_eq!(zombie, Err(ErrorCode::InvalidProducerEpoch));
        producer = next;
    }
}

#[tokio::test]
async fn partition_of_version_1_is_verified_once_it_was_added() {
    let served = Served::new("true").await;
    served.find_coordinator("payments", OF_TRANSACTIONS).await;
    let producer = served.init().await;
    assert_eq!(served.send(11, producer, 0).await, Err(ErrorCode::TransactionAbortable));
    assert_eq!(served.send(10, producer, 0).await, Err(ErrorCode::InvalidTxnState));
    let topic = message!(AddPartitionsToTxnTopic { name: "orders".into(), partitions: vec![0] });
    let add = message!(AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "payments".into(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![topic],
    });
    let added = served.ask(3, &add).await;
    let partition = &added.results_by_topic_v3_and_below[0].results_by_partition[0];
    assert_eq!(partition.partition_error_code, 0);
    assert_eq!(served.send(11, producer, 0).await, Ok(0));
    assert_eq!(served.send(10, producer, 1).await, Ok(1));
    served.end(4, producer, false).await;
    served.wait_until_stable(3).await;
}
