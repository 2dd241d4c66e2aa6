//! Offsets in a transaction are fenced by member and generation (KIP-447).

use super::*;
use crate::base::{Flaw, Flaws, Offset, ProducerId};
use crate::decide::State;
use crate::group::{Groups, Record};
use crate::wire::messages::TxnOffsetCommitRequest;
use crate::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

/// A commit for two partitions, one with much metadata.
fn request(member: &str, generation: i32) -> TxnOffsetCommitRequest {
    let partition = |index: i32, metadata: usize| {
        message!(TxnOffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: 42,
            committed_metadata: Some("m".repeat(metadata).as_str().into()),
        })
    };
    let topic = message!(TxnOffsetCommitRequestTopic {
        name: "orders".into(),
        partitions: vec![partition(0, 1), partition(1, 5000)],
    });
    message!(TxnOffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![topic],
    })
}

/// The errors of both partitions, and how many offsets would be written.
fn commit(shell: &Shell, request: &TxnOffsetCommitRequest) -> (Vec<ErrorCode>, usize) {
    let decision = shell.machine().commit_transactional_offsets(shell.wall(), 3, request);
    let partitions = decision.response.topics.iter().flat_map(|topic| &topic.partitions);
    let errors = partitions.map(|partition| ErrorCode::from_code(partition.error_code));
    (errors.collect(), decision.records.len())
}

fn refused(error: ErrorCode) -> (Vec<ErrorCode>, usize) {
    (vec![error; 2], 0)
}

fn taken() -> (Vec<ErrorCode>, usize) {
    (vec![ErrorCode::None, ErrorCode::OffsetMetadataTooLarge], 1)
}

#[test]
fn client_without_a_group_commits_what_it_likes() {
    let shell = Shell::new(GroupSettings::default());
    assert_eq!(commit(&shell, &request("", -1)), taken());
    assert_eq!(commit(&shell, &request("", 3)), refused(ErrorCode::IllegalGeneration));
}

#[test]
fn member_of_another_generation_is_fenced() {
    let mut shell = Shell::new(GroupSettings::default());
    let members = shell.stable(2);
    let member = members[1].as_str();
    assert_eq!(commit(&shell, &request(member, 1)), taken());
    assert_eq!(commit(&shell, &request(member, 0)), refused(ErrorCode::IllegalGeneration));
    assert_eq!(commit(&shell, &request("other", 1)), refused(ErrorCode::UnknownMemberId));
    // Clients before KIP-447 name neither.
    assert_eq!(commit(&shell, &request("", -1)), taken());
}

#[test]
fn generation_is_checked_when_the_offsets_are_written() {
    let mut shell = Shell::new(GroupSettings::default());
    let members = shell.stable(2);
    let commits = request(&members[1], 1);
    assert_eq!(shell.machine().check_transactional_commit(3, &commits), Ok(()));
    // While the transaction is verified, the member is removed.
    assert_eq!(shell.leaves(&members[1]), ErrorCode::None);
    assert_eq!(commit(&shell, &commits), refused(ErrorCode::UnknownMemberId));
    let flaws = Flaws::only(Flaw::CommitCheckedTooEarly);
    let mut flawed = Shell::new(GroupSettings { flaws, ..GroupSettings::default() });
    let members = flawed.stable(2);
    let commits = request(&members[1], 1);
    assert_eq!(flawed.machine().check_transactional_commit(3, &commits), Ok(()));
    assert_eq!(flawed.leaves(&members[1]), ErrorCode::None);
    assert_eq!(commit(&flawed, &commits), taken(), "a zombie's");
}

#[test]
fn zombie_commits_without_the_fence() {
    let flaws = Flaws::only(Flaw::NoGenerationFence);
    let mut shell = Shell::new(GroupSettings { flaws, ..GroupSettings::default() });
    let members = shell.stable(2);
    assert_eq!(commit(&shell, &request(&members[1], 0)), taken());
    assert_eq!(shell.machine().check_transactional_commit(3, &request("gone", 7)), Ok(()));
}

#[test]
fn group_whose_only_offsets_were_aborted_exists_until_its_tombstone() {
    let shell = Shell::new(GroupSettings::default());
    let commits = request("", -1);
    let decision = shell.machine().commit_transactional_offsets(shell.wall(), 3, &commits);
    let (mut groups, mut changes) = (Groups::default(), Vec::new());
    let producer = ProducerId(7);
    for record in &decision.records {
        let replayed = groups.replay_in_transaction((Offset(0), producer), record, &mut changes);
        replayed.unwrap();
    }
    groups.end_transaction(producer, false, &mut changes);
    assert!(!groups.offsets().has_group(GROUP));
    assert!(groups.is_simple(GROUP), "Kafka answers UNKNOWN_MEMBER_ID to a member of it");
    let tombstone = Record::ClassicGroup { group: GROUP.into(), value: None };
    groups.replay(Offset(2), &tombstone, &mut changes).unwrap();
    assert!(!groups.is_simple(GROUP));
}
