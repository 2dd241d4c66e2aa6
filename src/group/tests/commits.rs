//! Offsets of classic groups: who may commit, what expires, what goes with a group.

use std::time::Duration;

use super::*;
use crate::base::TopicId;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::messages::{
    ApiVersion, ConsumerProtocolSubscription, encode_consumer_protocol_subscription,
};

impl Shell {
    fn commit_offset(&mut self, member: &str, generation: i32, topic: &str) -> ErrorCode {
        let partition = message!(OffsetCommitRequestPartition { committed_offset: 42 });
        let topic =
            message!(OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition] });
        let request = message!(OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: generation,
            member_id: member.into(),
            topics: vec![topic],
        });
        let response =
            self.decide(|machine, now, wall| machine.commit_offsets(now, wall, 8, &request));
        let response = response.expect("the append is not refused");
        ErrorCode::from_code(response.topics[0].partitions[0].error_code)
    }

    fn delete_offset(&mut self, topic: &str) -> ErrorCode {
        let partition = message!(OffsetDeleteRequestPartition { partition_index: 0 });
        let topic =
            message!(OffsetDeleteRequestTopic { name: topic.into(), partitions: vec![partition] });
        let request = message!(OffsetDeleteRequest { group_id: GROUP.into(), topics: vec![topic] });
        let response = self.decide(|machine, now, _| machine.delete_offsets(now, &request));
        let response = response.expect("the append is not refused");
        match response.topics.first() {
            Some(topic) => ErrorCode::from_code(topic.partitions[0].error_code),
            None => ErrorCode::from_code(response.error_code),
        }
    }

    fn committed_topics(&self) -> Vec<String> {
        let request = message!(OffsetFetchRequestGroup { group_id: GROUP.into(), topics: None });
        let fetched = self.committed().fetch_offsets(false, &request);
        fetched.topics.iter().map(|topic| topic.name.as_str().to_owned()).collect()
    }
}

/// A member that subscribes to these topics.
fn subscribing(topics: &[&str]) -> JoinGroupRequest {
    let topics = topics.iter().map(|topic| (*topic).into()).collect();
    let subscription = message!(ConsumerProtocolSubscription { topics: topics });
    let mut bytes = bytes::BytesMut::new();
    encode_consumer_protocol_subscription(&mut bytes, &subscription, ApiVersion::new(3)).unwrap();
    let mut request = join("");
    request.protocols[0].metadata = bytes.freeze();
    request
}

impl Shell {
    /// A stable group of one member with this subscription, at generation 1.
    fn subscribed(&mut self, topics: &[&str]) -> String {
        let waiter = self.join(3, &subscribing(topics));
        self.pass_secs(6);
        let id = waiter.get().member_id.as_str().to_owned();
        self.sync(&assign(&id, 1, std::slice::from_ref(&id))).get();
        id
    }

    fn pass_days(&mut self, days: u64) {
        self.pass(Duration::from_secs(days * 24 * 60 * 60));
    }
}

#[test]
fn only_members_of_the_generation_commit() {
    let mut shell = shell();
    let ids = shell.stable_statics();
    assert_eq!(shell.commit_offset("stranger", 1, "t"), ErrorCode::UnknownMemberId);
    assert_eq!(shell.commit_offset("", -1, "t"), ErrorCode::UnknownMemberId);
    assert_eq!(shell.commit_offset(&ids[0], 0, "t"), ErrorCode::IllegalGeneration);
    assert_eq!(shell.commit_offset(&ids[0], 1, "t"), ErrorCode::None);
    shell.given_id();
    let joining = shell.join(3, &join(""));
    assert_eq!(
        shell.commit_offset(&ids[0], 1, "t"),
        ErrorCode::None,
        "before it gives its partitions up"
    );
    drop(joining);
}

#[test]
fn member_that_has_joined_and_not_synced_commits_nothing() {
    let mut shell = shell();
    let waiter = shell.join(3, &join(""));
    shell.pass_secs(6);
    let id = waiter.get().member_id.as_str().to_owned();
    assert_eq!(shell.commit_offset(&id, 1, "t"), ErrorCode::RebalanceInProgress);
    assert!(shell.committed_topics().is_empty());
}

#[test]
fn consumer_that_assigns_to_itself_commits_into_an_empty_group() {
    let mut shell = shell();
    assert_eq!(shell.commit_offset("", -1, "t"), ErrorCode::None);
    assert_eq!(shell.state(), "Empty", "a simple group");
    assert_eq!(shell.machine().list::<&str>(&[], &[]).len(), 1);
    assert_eq!(shell.commit_offset("m", 3, "t"), ErrorCode::UnknownMemberId);
    let ids = shell.stable(1);
    assert_eq!(shell.committed_topics(), ["t"], "a group of members inherits them");
    shell.leaves(&ids[0]);
    assert_eq!(shell.commit_offset("", -1, "u"), ErrorCode::None);
    shell.fail_over(shell.log.len());
    assert_eq!(shell.committed_topics(), ["t", "u"]);
}

#[test]
fn commit_extends_the_session() {
    let mut shell = shell();
    let ids = shell.stable(1);
    for _ in 0..5 {
        shell.pass_secs(9);
        assert_eq!(shell.commit_offset(&ids[0], 1, "t"), ErrorCode::None);
    }
    shell.pass_secs(9);
    assert_eq!(shell.commit_offset(&ids[0], 7, "t"), ErrorCode::IllegalGeneration);
    shell.pass_secs(1);
    assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::UnknownMemberId, "a refused one does not");
}

#[test]
fn offsets_expire_once_the_group_is_empty_for_the_retention() {
    let mut shell = shell();
    let id = shell.subscribed(&["t"]);
    assert_eq!(shell.commit_offset(&id, 1, "t"), ErrorCode::None);
    shell.leaves(&id);
    shell.pass_days(6);
    assert_eq!(shell.committed_topics(), ["t"]);
    shell.fail_over(shell.log.len());
    shell.pass_secs(23 * 60 * 60);
    assert_eq!(shell.committed_topics(), ["t"], "the record has the time of the last member");
    shell.pass_secs(2 * 60 * 60);
    assert!(shell.committed_topics().is_empty());
    assert_eq!(shell.state(), "Dead", "nothing is left of the group");
}

#[test]
fn retention_of_an_empty_group_counts_from_its_last_member() {
    let mut shell = shell();
    let id = shell.subscribed(&["t"]);
    shell.leaves(&id);
    shell.pass_secs(60);
    shell.commit_offset("", -1, "reset");
    shell.pass_days(6);
    // As in Kafka: a commit does not extend it.
    shell.commit_offset("", -1, "late");
    assert_eq!(shell.committed_topics(), ["late", "reset"]);
    shell.pass_secs(24 * 60 * 60 + 600);
    assert!(shell.committed_topics().is_empty());
}

#[test]
fn offsets_of_members_expire_for_topics_that_none_subscribes_to() {
    let mut shell = shell();
    let mut request = subscribing(&["t"]);
    request.session_timeout_ms = 1_800_000;
    let waiter = shell.join(3, &request);
    shell.pass_secs(6);
    let id = waiter.get().member_id.as_str().to_owned();
    shell.sync(&assign(&id, 1, std::slice::from_ref(&id))).get();
    shell.commit_offset(&id, 1, "t");
    shell.commit_offset(&id, 1, "former");
    for _ in 0..8 * 48 {
        shell.beat(&id, None, 1);
        shell.pass_secs(30 * 60 - 1);
    }
    assert_eq!(shell.committed_topics(), ["t"]);
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn offsets_of_a_simple_group_expire_by_their_commit() {
    let mut shell = shell();
    shell.commit_offset("", -1, "t");
    shell.pass_days(4);
    shell.commit_offset("", -1, "u");
    shell.pass_days(4);
    assert_eq!(shell.committed_topics(), ["u"]);
    shell.pass_days(4);
    assert_eq!(shell.state(), "Dead");
}

#[test]
fn simple_group_without_offsets_exists_until_the_next_check() {
    let mut shell = shell();
    shell.commit_offset("", -1, "t");
    assert_eq!(shell.delete_offset("t"), ErrorCode::None);
    shell.fail_over(shell.log.len());
    assert_eq!(shell.state(), "Empty");
    assert_eq!(shell.commit_offset("m", 3, "t"), ErrorCode::UnknownMemberId);
    shell.pass_secs(600);
    assert_eq!(shell.state(), "Dead");
    assert_eq!(shell.commit_offset("m", 3, "t"), ErrorCode::IllegalGeneration);
}

impl Shell {
    /// Commits 2,000 offsets, of topics whose names are as long as they may be.
    fn commit_many(&mut self) -> Vec<String> {
        let topics: Vec<_> = (0..40).map(|number| format!("{number:0>249}")).collect();
        for topic in &topics {
            let partition =
                |partition| message!(OffsetCommitRequestPartition { partition_index: partition });
            let topic = message!(OffsetCommitRequestTopic {
                name: topic.as_str().into(),
                partitions: (0..50).map(partition).collect(),
            });
            let request = message!(OffsetCommitRequest {
                group_id: GROUP.into(),
                generation_id_or_member_epoch: -1,
                topics: vec![topic],
            });
            self.decide(|machine, now, wall| machine.commit_offsets(now, wall, 8, &request));
        }
        assert_eq!(self.machine().state.offsets().len(), 2000);
        topics
    }

    /// All offsets were deleted since then, and no batch is larger than a log accepts.
    #[track_caller]
    fn assert_deleted_in_batches(&self, since: usize, records: usize) {
        assert!(self.machine().state.offsets().is_empty());
        assert_eq!(self.log.len(), since + records);
        let batches = self.batches_since(since);
        assert!(batches.len() > 1 && batches.iter().all(|count| *count < 1000), "{batches:?}");
    }
}

#[test]
fn offsets_expire_in_batches_that_a_log_accepts() {
    let mut shell = shell();
    shell.commit_many();
    let appended = shell.log.len();
    shell.pass_days(8);
    shell.assert_deleted_in_batches(appended, 2001);
    assert_eq!(shell.state(), "Dead");
}

#[test]
fn offsets_of_a_deleted_group_go_in_batches_that_a_log_accepts() {
    let mut shell = shell();
    shell.commit_many();
    let appended = shell.log.len();
    let delete = |shell: &mut Shell| {
        shell.decide(|machine, now, _| machine.delete_group(now, GROUP)).unwrap()
    };
    let mut answers = vec![delete(&mut shell)];
    while answers.last() == Some(&None) {
        assert_eq!(shell.state(), "Empty", "it is there until its last offset is gone");
        answers.push(delete(&mut shell));
    }
    assert_eq!(answers.last(), Some(&Some(ErrorCode::None)));
    shell.assert_deleted_in_batches(appended, 2001);
    assert_eq!(shell.state(), "Dead");
}

#[test]
fn offsets_of_many_deleted_topics_go_in_batches_that_a_log_accepts() {
    let mut shell = shell();
    let topics: Vec<_> =
        shell.commit_many().into_iter().map(|name| (name, TopicId::ZERO)).collect();
    let appended = shell.log.len();
    while shell.decide(|machine, _, _| machine.topics_deleted(&topics)) == Some(false) {}
    shell.assert_deleted_in_batches(appended, 2000);
}

#[test]
fn empty_group_without_offsets_is_removed_by_the_next_check() {
    let mut shell = shell();
    shell.given_id();
    shell.pass_secs(599);
    assert_eq!(shell.state(), "Empty");
    shell.pass_secs(1);
    assert_eq!(shell.state(), "Dead");
}

#[test]
fn offsets_of_subscribed_topics_are_not_deleted() {
    let mut shell = shell();
    assert_eq!(shell.delete_offset("t"), ErrorCode::GroupIdNotFound);
    let id = shell.subscribed(&["t"]);
    shell.commit_offset(&id, 1, "t");
    shell.commit_offset(&id, 1, "former");
    assert_eq!(shell.delete_offset("t"), ErrorCode::GroupSubscribedToTopic);
    assert_eq!(shell.delete_offset("former"), ErrorCode::None);
    assert_eq!(shell.committed_topics(), ["t"]);
    shell.leaves(&id);
    assert_eq!(shell.delete_offset("t"), ErrorCode::None);
    assert!(shell.committed_topics().is_empty());
}

#[test]
fn offsets_of_a_group_that_does_not_consume_are_deleted_when_it_is_empty() {
    let mut shell = shell();
    let mut connect = join("");
    connect.protocol_type = "connect".into();
    let waiter = shell.join(3, &connect);
    assert_eq!(shell.delete_offset("t"), ErrorCode::NonEmptyGroup);
    drop(waiter);
    let mut unreadable = super::shell();
    unreadable.stable(1);
    let refused = ErrorCode::GroupSubscribedToTopic;
    assert_eq!(unreadable.delete_offset("any"), refused, "its topics are unknown");
}

#[test]
fn deleted_group_takes_its_offsets_along() {
    let mut shell = shell();
    shell.commit_offset("", -1, "t");
    let deleted = shell.decide(|machine, now, _| machine.delete_group(now, GROUP));
    assert_eq!(deleted, Some(Some(ErrorCode::None)));
    assert!(shell.committed_topics().is_empty());
    assert_eq!(shell.state(), "Dead");
}

#[test]
fn offsets_of_deleted_topics_are_removed() {
    let mut shell = shell();
    shell.commit_offset("", -1, "t");
    shell.commit_offset("", -1, "u");
    let topics = [("t".to_owned(), TopicId::ZERO)];
    assert_eq!(shell.decide(|machine, _, _| machine.topics_deleted(&topics)), Some(true));
    assert_eq!(shell.committed_topics(), ["u"]);
}
