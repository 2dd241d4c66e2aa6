//! TxnOffsetCommit.

use super::*;
use crate::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

/// A commit of partitions of `orders`, each with as much metadata.
fn request(generation: i32, partitions: &[(i32, usize)]) -> TxnOffsetCommitRequest {
    let partition = |(index, metadata): &(i32, usize)| {
        message!(TxnOffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: 42,
            committed_leader_epoch: 3,
            committed_metadata: Some("m".repeat(*metadata).as_str().into()),
        })
    };
    let topic = message!(TxnOffsetCommitRequestTopic {
        name: "orders".into(),
        topic_id: ORDERS.into(),
        partitions: partitions.iter().map(partition).collect(),
    });
    message!(TxnOffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        topics: vec![topic],
    })
}

fn check(commit: Result<Scope, ErrorCode>, partitions: &[(i32, usize)]) -> Result<(), ErrorCode> {
    let group = Fake { transactional: true, commit, ..Fake::default() };
    check_transactional(Some(&group), 5, &request(7, partitions))
}

#[test]
fn transaction_hears_of_generations_and_not_of_member_epochs() {
    assert_eq!(check(Ok(Scope::Everything), &[(3, 1)]), Ok(()));
    let illegal = Err(ErrorCode::IllegalGeneration);
    assert_eq!(check(Err(ErrorCode::StaleMemberEpoch), &[(0, 1)]), illegal);
    let unknown = Err(ErrorCode::UnknownMemberId);
    assert_eq!(check(Err(ErrorCode::UnknownMemberId), &[(0, 1)]), unknown);
    assert_eq!(check(Ok(Scope::Partitions), &[(0, 1)]), Ok(()));
    assert_eq!(check(Ok(Scope::Partitions), &[(0, 1), (1, 1)]), illegal, "given up since");
}

#[test]
fn group_that_does_not_exist_takes_offsets_of_no_generation() {
    assert_eq!(check_transactional(None, 5, &request(-1, &[(0, 1)])), Ok(()));
    let illegal = Err(ErrorCode::IllegalGeneration);
    assert_eq!(check_transactional(None, 5, &request(0, &[(0, 1)])), illegal);
}

#[test]
fn offset_in_a_transaction_is_written_without_topic_id_and_too_much_metadata_is_refused() {
    let decided: Decision<Record, _, ()> =
        commit_transactional(NOW, &request(-1, &[(0, 1), (1, 11)]), LONGEST_METADATA);
    let errors = decided.response.topics[0].partitions.iter().map(|partition| partition.error_code);
    assert_eq!(errors.collect::<Vec<_>>(), [0, ErrorCode::OffsetMetadataTooLarge.code()]);
    let value = CommittedOffset { topic_id: TopicId::ZERO, ..at(42, NOW.0) };
    let record = Record::Offset { key: key("g", "orders", 0), value: Some(value) };
    assert_eq!(decided.records, [record]);
}
