//! Offsets that a group commits with a transaction: verified, pending, and there as soon as the marker is
//! acknowledged.

use super::*;
use crate::base::{Flaw, ProducerEpoch, ProducerId};
use crate::broker::hosted::InTransaction;
use crate::log::{TransactionEnd, TransactionalWrite};
use crate::wire::messages::TxnOffsetCommitRequest;
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestTopics;
use crate::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

const PRODUCER: ProducerId = ProducerId(9);

/// A coordinator whose log takes verified transactions only.
async fn stage(flaws: Flaws) -> Stage {
    let mut stage = Stage::flawed(TopicConfig::default(), &[], flaws).await;
    stage.replica.partition.configure_producers();
    stage.decide([partition(ME, 5)]);
    stage.replica.elect(ME, 5, &[ME]).await;
    settle().await;
    stage
}

fn write(epoch: i16) -> TransactionalWrite {
    let epoch = ProducerEpoch(epoch);
    TransactionalWrite { producer: PRODUCER, epoch, sequence: -1, bumps_epoch: true }
}

/// A commit of `offset` by no member of the group.
fn request(offset: i64, generation: i32) -> TxnOffsetCommitRequest {
    let partition = message!(TxnOffsetCommitRequestPartition { committed_offset: offset });
    let topic = message!(TxnOffsetCommitRequestTopic {
        name: "orders".into(),
        topic_id: ORDERS.into(),
        partitions: vec![partition],
    });
    message!(TxnOffsetCommitRequest {
        group_id: "workers".into(),
        generation_id_or_member_epoch: generation,
        topics: vec![topic],
    })
}

impl Stage {
    /// Commits as part of a transaction, verified if `verifies`.
    async fn commit_in_transaction(
        &self,
        epoch: i16,
        request: &TxnOffsetCommitRequest,
        verifies: bool,
    ) -> ErrorCode {
        let verified = match verifies {
            true => self.groups.begin_verification("workers", &write(epoch)).unwrap(),
            false => None,
        };
        let (producer, epoch) = (PRODUCER, ProducerEpoch(epoch));
        let of = InTransaction { producer, epoch, verified };
        let decided = self.groups.decide_in_transaction("workers", of, |machine, _, wall| {
            machine.commit_transactional_offsets(wall, 5, request)
        });
        match decided.await {
            Ok(response) => ErrorCode::from_code(response.topics[0].partitions[0].error_code),
            Err(error) => error,
        }
    }

    async fn end_transaction(&self, epoch: i16, commit: bool) -> Result<(), ErrorCode> {
        let deadline = RealWorld::new().now() + Duration::from_secs(30);
        let end = TransactionEnd {
            producer: PRODUCER,
            producer_epoch: ProducerEpoch(epoch),
            coordinator_epoch: 1,
            commit,
            version: 2,
        };
        self.groups.end_transaction(0, &end, deadline).await
    }

    /// The committed offset of the group's partition, as it is now.
    fn fetched(&self, stable: bool) -> Result<i64, ErrorCode> {
        let topic = message!(OffsetFetchRequestTopics {
            name: "orders".into(),
            partition_indexes: vec![0]
        });
        let request = message!(OffsetFetchRequestGroup {
            group_id: "workers".into(),
            topics: Some(vec![topic]),
        });
        let fetched =
            self.groups.read("workers", |groups| groups.fetch_offsets(stable, &request))?;
        let told = &fetched.topics[0].partitions[0];
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None => Ok(told.committed_offset),
            error => Err(error),
        }
    }
}

#[tokio::test]
async fn offsets_are_there_as_soon_as_the_marker_is_acknowledged() {
    let stage = stage(Flaws::default()).await;
    let commit = request(42, -1);
    let unverified = stage.commit_in_transaction(0, &commit, false).await;
    assert_eq!(unverified, ErrorCode::InvalidTxnState);
    assert_eq!(stage.commit_in_transaction(0, &commit, true).await, ErrorCode::None);
    let again = stage.commit_in_transaction(0, &request(43, -1), false).await;
    assert_eq!(again, ErrorCode::None, "its transaction has offsets here");
    assert_eq!(stage.fetched(false), Ok(-1));
    assert_eq!(stage.fetched(true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(stage.end_transaction(1, true).await, Ok(()));
    assert_eq!((stage.fetched(false), stage.fetched(true)), (Ok(43), Ok(43)));
    assert_eq!(stage.end_transaction(1, true).await, Ok(()), "the answer was lost");
    let fenced = stage.commit_in_transaction(0, &commit, false).await;
    assert_eq!(fenced, ErrorCode::InvalidProducerEpoch);
    let fenced = stage.groups.begin_verification("workers", &write(0));
    assert_eq!(fenced, Err(ErrorCode::InvalidProducerEpoch));
}

#[tokio::test]
async fn aborted_offsets_are_given_up() {
    let stage = stage(Flaws::default()).await;
    assert_eq!(stage.commit_in_transaction(0, &request(42, -1), true).await, ErrorCode::None);
    assert_eq!(stage.end_transaction(1, false).await, Ok(()));
    assert_eq!(stage.fetched(true), Ok(-1));
}

#[tokio::test]
async fn marker_of_a_fenced_producer_or_coordinator_is_refused_and_the_coordinator_lives() {
    let stage = stage(Flaws::default()).await;
    assert_eq!(stage.commit_in_transaction(3, &request(42, -1), true).await, ErrorCode::None);
    let late = stage.end_transaction(3, true).await;
    assert_eq!(late, Err(ErrorCode::InvalidProducerEpoch), "of the transaction before");
    assert_eq!(stage.fetched(true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(stage.end_transaction(4, true).await, Ok(()));
    assert_eq!(stage.fetched(true), Ok(42));
}

#[tokio::test]
async fn marker_waits_for_its_replicas_and_for_the_coordinator() {
    let mut stage = Stage::new(&[]).await;
    assert_eq!(stage.end_transaction(1, true).await, Err(ErrorCode::NotLeaderOrFollower));
    stage.elect(ME, 5).await;
    settle().await;
    let commit = request(42, -1);
    {
        let mut committed = pin!(stage.commit_in_transaction(0, &commit, false));
        assert!(is_pending(committed.as_mut()));
        stage.replica.replicated_to(1);
        assert_eq!(committed.await, ErrorCode::None);
        let mut ended = pin!(stage.end_transaction(1, true));
        assert!(is_pending(ended.as_mut()));
        assert_eq!(stage.fetched(false), Ok(-1), "not committed yet");
        stage.replica.replicated_to(2);
        assert_eq!(ended.await, Ok(()));
    }
    assert_eq!(stage.fetched(false), Ok(42));
    // The next coordinator reads the same from the log.
    stage.elect(ME, 6).await;
    settle().await;
    assert_eq!(stage.fetched(true), Ok(42));
}

#[tokio::test]
async fn flawed_coordinator_hears_of_a_marker_after_it_was_acknowledged() {
    let stage = stage(Flaws::only(Flaw::MarkersBeforeCache)).await;
    assert_eq!(stage.commit_in_transaction(0, &request(42, -1), true).await, ErrorCode::None);
    assert_eq!(stage.end_transaction(1, true).await, Ok(()));
    assert_eq!(stage.fetched(false), Ok(-1), "rewound");
}

#[tokio::test]
async fn deleted_offset_takes_what_is_pending_along() {
    let stage = stage(Flaws::default()).await;
    assert_eq!(stage.commit_in_transaction(0, &request(42, -1), true).await, ErrorCode::None);
    let deleted =
        stage.groups.decide("workers", |machine, now, _| machine.delete_group(now, "workers"));
    assert_eq!(deleted.await, Ok(Some(ErrorCode::None)));
    assert_eq!(stage.fetched(true), Ok(-1));
    assert_eq!(stage.end_transaction(1, true).await, Ok(()));
    assert_eq!(stage.fetched(true), Ok(-1));
}
