//! OffsetCommit.

use super::*;

struct Commit {
    member: &'static str,
    epoch: i32,
    version: i16,
    retention: i64,
    metadata: Option<&'static str>,
    partitions: &'static [i32],
}

impl Default for Commit {
    fn default() -> Self {
        Self { member: "", epoch: -1, version: 9, retention: -1, metadata: None, partitions: &[0] }
    }
}

impl Commit {
    fn to(self, group: Option<&Fake>) -> Decision<Record, OffsetCommitResponse, ()> {
        let partitions = self.partitions.iter().map(|index| {
            message!(OffsetCommitRequestPartition {
                partition_index: *index,
                committed_offset: 42,
                committed_leader_epoch: 3,
                committed_metadata: self.metadata.map(Into::into),
            })
        });
        let topic = message!(OffsetCommitRequestTopic {
            name: "orders".into(),
            topic_id: ORDERS.into(),
            partitions: partitions.collect(),
        });
        let request = message!(OffsetCommitRequest {
            group_id: "g".into(),
            member_id: self.member.into(),
            generation_id_or_member_epoch: self.epoch,
            retention_time_ms: self.retention,
            topics: vec![topic],
        });
        let group = group.map(|group| group as &dyn Subscriber);
        commit(group, NOW, self.version, &request, LONGEST_METADATA)
    }
}

/// The error of each partition.
fn errors(decision: &Decision<Record, OffsetCommitResponse, ()>) -> Vec<ErrorCode> {
    let [topic] = &decision.response.topics[..] else { panic!("{:?}", decision.response) };
    assert_eq!((topic.name.as_str(), TopicId::from(topic.topic_id)), ("orders", ORDERS));
    topic.partitions.iter().map(|of| ErrorCode::from_code(of.error_code)).collect()
}

#[test]
fn commit_writes_what_the_client_names() {
    let decision = Commit { metadata: Some("note"), ..Commit::default() }.to(None);
    assert_eq!(errors(&decision), [ErrorCode::None]);
    let value = CommittedOffset { metadata: "note".into(), ..at(42, NOW.0) };
    let record = Record::Offset { key: key("g", "orders", 0), value: Some(value) };
    assert_eq!(decision.records, [record]);
    let decision = Commit::default().to(Some(&Fake::default()));
    let [Record::Offset { value: Some(value), .. }] = &decision.records[..] else { panic!() };
    assert_eq!(value.metadata, "", "null becomes empty");
}

#[test]
fn commit_to_a_group_that_does_not_exist_needs_no_member() {
    let commit = |epoch, version| {
        let decision = Commit { epoch, version, ..Commit::default() }.to(None);
        (errors(&decision)[0], decision.records.len())
    };
    assert_eq!(commit(-1, 8), (ErrorCode::None, 1));
    assert_eq!(commit(0, 9), (ErrorCode::GroupIdNotFound, 0));
    assert_eq!(commit(0, 8), (ErrorCode::IllegalGeneration, 0));
}

#[test]
fn commit_that_the_group_refuses_fails_for_all_partitions() {
    let group = Fake { commit: Err(ErrorCode::RebalanceInProgress), ..Fake::default() };
    let commit =
        Commit { metadata: Some("much too long"), partitions: &[0, 1], ..Commit::default() };
    let decision = commit.to(Some(&group));
    assert_eq!(errors(&decision), [ErrorCode::RebalanceInProgress; 2]);
    assert!(decision.records.is_empty());
}

#[test]
fn commit_in_an_older_epoch_needs_every_partition_to_be_the_members() {
    let group = Fake { commit: Ok(Scope::Partitions), partition: 1, ..Fake::default() };
    let commit = |partitions| {
        let commit = Commit { member: "m", epoch: 4, partitions, ..Commit::default() };
        let decision = commit.to(Some(&group));
        (errors(&decision), decision.records.len())
    };
    assert_eq!(commit(&[1]), (vec![ErrorCode::None], 1));
    assert_eq!(commit(&[1, 2]), (vec![ErrorCode::StaleMemberEpoch; 2], 0));
}

#[test]
fn metadata_beyond_the_limit_fails_its_partition_only() {
    let commit = |metadata| {
        let decision = Commit { metadata: Some(metadata), ..Commit::default() }.to(None);
        (errors(&decision)[0], decision.records.len())
    };
    assert_eq!(commit("0123456789"), (ErrorCode::None, 1));
    assert_eq!(commit("0123456789a"), (ErrorCode::OffsetMetadataTooLarge, 0));
    assert_eq!(commit("éééééééééé"), (ErrorCode::None, 1), "20 bytes, but 10 UTF-16 units");
    assert_eq!(commit("𝄞𝄞𝄞𝄞𝄞𝄞"), (ErrorCode::OffsetMetadataTooLarge, 0), "two units each");

    let mut request = message!(OffsetCommitRequest { group_id: "g".into() });
    let of = |index, metadata: &str| {
        message!(OffsetCommitRequestPartition {
            partition_index: index,
            committed_metadata: Some(metadata.into()),
        })
    };
    request.topics.push(message!(OffsetCommitRequestTopic {
        name: "orders".into(),
        topic_id: ORDERS.into(),
        partitions: vec![of(0, "much too long"), of(1, "short")],
    }));
    let decision = super::commit(None, NOW, 9, &request, LONGEST_METADATA);
    assert_eq!(errors(&decision), [ErrorCode::OffsetMetadataTooLarge, ErrorCode::None]);
    assert_eq!(decision.records.len(), 1);
}

#[test]
fn retention_time_of_old_clients_becomes_an_expiry() {
    let expires = |retention| {
        let decision = Commit { retention, version: 4, ..Commit::default() }.to(None);
        // Read back as it was decided: its version has no leader epoch and no topic id.
        Log::default().append(&decision.records);
        let [Record::Offset { value: Some(value), .. }] = &decision.records[..] else { panic!() };
        value.expires
    };
    assert_eq!(expires(-1), Timestamp::NONE);
    assert_eq!(expires(5_000), Timestamp(NOW.0 + 5_000));
    assert_eq!(expires(i64::MAX), Timestamp(i64::MAX), "kept forever");
}

#[test]
fn group_id_that_no_record_can_hold_fails_the_request() {
    let mut request = message!(OffsetCommitRequest { group_id: "g".repeat(40_000).into() });
    request.topics.push(message!(OffsetCommitRequestTopic {
        name: "orders".into(),
        topic_id: ORDERS.into(),
        partitions: vec![OffsetCommitRequestPartition::default()],
    }));
    let decision = super::commit(None, NOW, 9, &request, LONGEST_METADATA);
    assert_eq!(errors(&decision), [ErrorCode::UnknownServerError]);
    assert!(decision.records.is_empty());
}
