//! What a coordinator reads back from its log: offsets in transactions, and records that are corrupt.

use bytes::BytesMut;

use super::*;
use crate::base::config::{Acks, Compression};
use crate::base::{ProducerEpoch, ProducerId};
use crate::decide::{KeyValue, LogRecord};
use crate::group::{CommittedOffset, OffsetKey, Record as GroupRecord};
use crate::log::{Pace, TransactionEnd};
use crate::wire::batch::BatchBuilder;
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestTopics;

/// A cleaner that may do as much as it likes.
struct Unbounded;

impl Pace for Unbounded {
    async fn spent(&mut self, _: u64) {}
}

fn offset(partition: i32, offset: i64) -> KeyValue {
    let key = OffsetKey { group: "workers".into(), topic: "orders".into(), partition };
    let value = CommittedOffset {
        offset: Offset(offset),
        leader_epoch: -1,
        metadata: String::new(),
        committed: Timestamp(1_000),
        expires: Timestamp::NONE,
        topic_id: TopicId::ZERO,
    };
    GroupRecord::Offset { key, value: Some(value) }.encode()
}

impl Stage {
    /// What a producer's transaction commits of partition 0 to 2.
    async fn produce(&self, producer: i64, sequence: i32, partition: i32, committed: i64) {
        let now = RealWorld::new().wall_clock();
        let KeyValue { key, value } = offset(partition, committed);
        let mut builder = BatchBuilder::new(Compression::None, now).transactional();
        builder.append(now, key.as_deref(), value.as_deref(), &[]);
        let batch = builder.finish(ProducerId(producer), ProducerEpoch(0), sequence);
        let produced =
            self.replica.partition.produce(BytesMut::from(&batch[..]), Acks::Leader, None);
        assert!(produced.await.is_ok());
    }

    async fn end(&self, producer: i64, commit: bool) {
        let (producer, producer_epoch) = (ProducerId(producer), ProducerEpoch(0));
        let end =
            TransactionEnd { producer, producer_epoch, coordinator_epoch: 1, commit, version: 1 };
        assert!(self.replica.partition.append_marker(&end).await.is_ok());
    }

    /// The committed offset of each partition, -1 for none; an error while one is in a transaction.
    fn offsets(&self, stable: bool) -> Vec<(i32, Result<i64, ErrorCode>)> {
        let topic = message!(OffsetFetchRequestTopics {
            name: "orders".into(),
            partition_indexes: vec![0, 1, 2],
        });
        let request = message!(OffsetFetchRequestGroup {
            group_id: "workers".into(),
            topics: Some(vec![topic]),
        });
        let fetched = self.groups.read("workers", |groups| groups.fetch_offsets(stable, &request));
        let fetched = fetched.expect("the coordinator is there");
        let partitions = fetched.topics.iter().flat_map(|topic| &topic.partitions);
        let told = partitions.map(|told| match ErrorCode::from_code(told.error_code) {
            ErrorCode::None => (told.partition_index, Ok(told.committed_offset)),
            error => (told.partition_index, Err(error)),
        });
        told.collect()
    }
}

#[tokio::test]
async fn offsets_in_a_transaction_count_once_its_marker_says_so() {
    let mut stage = Stage::new(&[]).await;
    stage.elect(ME, 5).await;
    stage.produce(1, 0, 0, 10).await;
    stage.produce(2, 0, 1, 20).await;
    stage.produce(3, 0, 2, 30).await;
    stage.end(1, true).await;
    stage.end(2, false).await;
    stage.replica.replicated_to(5);
    stage.elect(ME, 6).await;
    settle().await;
    let counted = [(0, Ok(10)), (1, Ok(-1)), (2, Ok(-1))];
    assert_eq!(stage.offsets(false), counted, "one is aborted, one is open");
    let unstable = Err(ErrorCode::UnstableOffsetCommit);
    assert_eq!(stage.offsets(true), [(0, Ok(10)), (1, Ok(-1)), (2, unstable)]);
    // The marker arrives while another broker leads, so the next load sees it.
    stage.end(3, true).await;
    stage.replica.replicated_to(6);
    stage.elect(ME, 7).await;
    settle().await;
    assert_eq!(stage.offsets(true), [(0, Ok(10)), (1, Ok(-1)), (2, Ok(30))]);
}

#[tokio::test]
async fn offsets_of_a_transaction_survive_compaction() {
    let mut config = TopicConfig::default();
    // One batch a segment: the last one is never compacted.
    let settings = [("cleanup.policy", "compact"), ("internal.segment.bytes", "200")];
    config.set_all(settings).unwrap();
    let mut stage = Stage::on(config, &[]).await;
    stage.elect(ME, 5).await;
    stage.produce(1, 0, 0, 10).await;
    stage.produce(2, 0, 0, 99).await;
    stage.produce(1, 1, 0, 11).await;
    stage.end(1, true).await;
    stage.end(2, false).await;
    stage.produce(4, 0, 1, 1).await;
    stage.replica.replicated_to(6);
    let partition = &stage.replica.partition;
    partition.sync_to(partition.log_end()).await.unwrap();
    let compacted = partition.compact((1 << 20, 0.9), &mut Unbounded).await;
    assert_eq!(compacted.unwrap(), Some(Offset(4)), "its last segment has an open transaction");
    stage.elect(ME, 6).await;
    settle().await;
    let unstable = Err(ErrorCode::UnstableOffsetCommit);
    assert_eq!(stage.offsets(true), [(0, Ok(11)), (1, unstable), (2, Ok(-1))]);
}
