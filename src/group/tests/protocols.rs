//! Consumer groups in the coordinator, beside classic groups and their offsets.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::{BrokerId, LeaderEpoch, Offset, PartitionEpoch, TopicId};
use crate::controller::{self, ConfigRecord, Image, PartitionRecord, TopicRecord};
use crate::group::Effect;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, OffsetCommitRequest,
    consumer_group_heartbeat_request,
};

pub(super) const TOPIC: TopicId = TopicId([7; 16]);

/// A cluster with the topic `orders`.
fn image(partitions: i32) -> Arc<Image> {
    let mut image = Image::default();
    let topic = TopicRecord { name: "orders".into(), id: TOPIC };
    let partition = |partition| PartitionRecord {
        partition,
        topic: TOPIC,
        replicas: vec![BrokerId(1)],
        isr: vec![BrokerId(1)],
        removing: Vec::new(),
        adding: Vec::new(),
        leader: Some(BrokerId(1)),
        recovering: false,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        directories: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    };
    let partitions = (0..partitions).map(partition).map(controller::Record::Partition);
    let records = std::iter::once(controller::Record::Topic(topic)).chain(partitions);
    for (offset, record) in (0..).map(Offset).zip(records) {
        image.replay(offset, &record, &mut Vec::new()).unwrap();
        image.reached(offset);
    }
    Arc::new(image)
}

pub(super) fn shell(partitions: i32) -> Shell {
    let mut shell = Shell::new(GroupSettings::default());
    shell.image = image(partitions);
    shell.fail_over(0);
    shell
}

pub(super) fn consume(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    let mut request = message!(ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        member_epoch: epoch,
    });
    if epoch == 0 {
        request.rebalance_timeout_ms = 60_000;
        request.subscribed_topic_names = Some(vec!["orders".into()]);
        request.topic_partitions = Some(Vec::new());
    }
    request
}

impl Shell {
    pub(super) fn consume(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let decided = self.decide(|machine, now, wall| {
            machine.consumer_heartbeat(now, wall, &client("app"), 1, request)
        });
        decided.expect("heartbeats are not refused")
    }

    /// A heartbeat that must be accepted. Returns the member epoch.
    #[track_caller]
    fn consumes(&mut self, member: &str, epoch: i32) -> i32 {
        let response = self.consume(&consume(member, epoch));
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        response.member_epoch
    }

    fn state_of(&self) -> Vec<(String, String)> {
        let none: [&str; 0] = [];
        let groups = self.machine().list(&none, &none);
        groups.iter().map(|g| (g.group_type.to_string(), g.group_state.to_string())).collect()
    }

    fn commits(&mut self, member: &str, epoch: i32, offset: i64) -> ErrorCode {
        let partition = message!(OffsetCommitRequestPartition { committed_offset: offset });
        let topic = message!(OffsetCommitRequestTopic {
            name: "orders".into(),
            topic_id: TOPIC.into(),
            partitions: vec![partition],
        });
        let request = message!(OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: epoch,
            member_id: member.into(),
            topics: vec![topic],
        });
        let response = self
            .decide(|machine, now, wall| machine.commit_offsets(now, wall, 9, &request))
            .expect("commits are not refused");
        ErrorCode::from_code(response.topics[0].partitions[0].error_code)
    }

    fn delete(&mut self) -> ErrorCode {
        self.decide(|machine, now, _| machine.delete_group(now, GROUP)).unwrap().unwrap()
    }
}

fn named(kind: &str, state: &str) -> Vec<(String, String)> {
    vec![(kind.to_owned(), state.to_owned())]
}

#[test]
fn consumer_group_is_served_beside_its_offsets() {
    let mut shell = shell(2);
    assert_eq!(shell.consumes("a", 0), 2);
    assert_eq!(shell.state_of(), named("consumer", "Stable"));
    assert_eq!(shell.commits("a", 2, 5), ErrorCode::None);
    assert_eq!(shell.commits("a", 3, 6), ErrorCode::StaleMemberEpoch);
    assert_eq!(shell.commits("b", 2, 6), ErrorCode::UnknownMemberId);
    let fetch = |member: &str, epoch| {
        message!(OffsetFetchRequestGroup {
            group_id: GROUP.into(),
            member_id: Some(member.into()),
            member_epoch: epoch,
            topics: None,
        })
    };
    let found = shell.committed().fetch_offsets(false, &fetch("a", 2));
    assert_eq!(found.topics[0].partitions[0].committed_offset, 5);
    let stale = shell.committed().fetch_offsets(false, &fetch("a", 1));
    assert_eq!(stale.error_code, ErrorCode::StaleMemberEpoch.code());
    let described = shell.machine().consumer_describe(GROUP);
    assert_eq!((described.error_code, &*described.group_state), (0, "Stable"));
    assert_eq!(described.members[0].assignment.topic_partitions[0].partitions, [0, 1]);
    let classic = shell.machine().describe(6, GROUP);
    assert_eq!(classic.error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(shell.delete(), ErrorCode::NonEmptyGroup);
    shell.consumes("a", -1);
    assert_eq!(shell.state_of(), named("consumer", "Empty"));
    assert_eq!(shell.delete(), ErrorCode::None);
    assert!(shell.state_of().is_empty() && shell.machine().state.offsets().is_empty());
}

/// The image with settings of a group.
fn with_settings(image: &Image, group: &str, pairs: &[(&str, &str)]) -> Arc<Image> {
    let mut image = image.clone();
    for (name, value) in pairs {
        let record = controller::Record::Config(ConfigRecord {
            resource_type: ConfigRecord::GROUP,
            resource: group.to_owned(),
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        });
        let at = image.offset().map_or(Offset::ZERO, Offset::next);
        image.replay(at, &record, &mut Vec::new()).unwrap();
    }
    Arc::new(image)
}

#[test]
fn settings_of_a_group_count_from_the_next_heartbeat() {
    let mut shell = shell(2);
    let epoch = shell.consumes("a", 0);
    let interval = |shell: &mut Shell| shell.consume(&consume("a", epoch)).heartbeat_interval_ms;
    assert_eq!(interval(&mut shell), 5000);
    let pairs =
        [("consumer.heartbeat.interval.ms", "9000"), ("consumer.session.timeout.ms", "60000")];
    let others = with_settings(&shell.image, "other", &pairs);
    shell.affect(Effect::Image(others));
    assert_eq!(interval(&mut shell), 5000, "they are another group's");
    let own = with_settings(&shell.image, GROUP, &pairs);
    shell.affect(Effect::Image(own.clone()));
    assert_eq!(interval(&mut shell), 9000);
    shell.pass_secs(59);
    assert_eq!(shell.state_of(), named("consumer", "Stable"), "its session is longer now");
    shell.pass_secs(1);
    assert_eq!(shell.state_of(), named("consumer", "Empty"));
    // A coordinator that takes over knows them too.
    shell.image = own;
    shell.consumes("b", 0);
    shell.fail_over(shell.log.len());
    shell.pass_secs(59);
    assert_eq!(shell.state_of(), named("consumer", "Stable"));
    shell.pass_secs(1);
    assert_eq!(shell.state_of(), named("consumer", "Empty"));
}

#[test]
fn changed_settings_count_for_groups_without_their_own() {
    let mut shell = shell(2);
    let epoch = shell.consumes("a", 0);
    let mut settings = GroupSettings::default();
    settings.consumer.heartbeat_interval = Duration::from_secs(7);
    shell.affect(Effect::Settings(Box::new(settings)));
    assert_eq!(shell.consume(&consume("a", epoch)).heartbeat_interval_ms, 7000);
}

#[test]
fn members_of_consumer_groups_are_fenced_by_the_new_coordinator_too() {
    let mut shell = shell(2);
    shell.consumes("a", 0);
    shell.consumes("b", 0);
    shell.pass_secs(40);
    shell.fail_over(shell.log.len());
    shell.pass_secs(40);
    let epoch = shell.consumes("b", 2);
    assert_eq!(shell.state_of(), named("consumer", "Reconciling"));
    shell.pass_secs(6);
    let described = shell.machine().consumer_describe(GROUP);
    let members: Vec<_> = described.members.iter().map(|member| &*member.member_id).collect();
    assert_eq!(members, ["b"], "a was silent for 46 s since the failover");
    assert_eq!(shell.consumes("b", epoch), epoch + 1);
    shell.pass_secs(50);
    assert_eq!(shell.state_of(), named("consumer", "Empty"));
}

#[test]
fn new_topics_reach_members_once_the_image_has_them() {
    let mut shell = shell(0);
    assert_eq!(shell.consumes("a", 0), 2);
    let effect = |image| super::super::Effect::Image(image);
    let grown = image(2);
    shell.image = grown.clone();
    shell.decide(|_, _, _| crate::decide::Decision::only(()).with(effect(grown)));
    shell.pass_secs(2);
    let response = shell.consume(&consume("a", 2));
    assert_eq!(response.member_epoch, 3);
    assert_eq!(response.assignment.unwrap().topic_partitions[0].partitions, [0, 1]);
}

#[test]
fn empty_group_gives_way_to_one_of_the_other_protocol() {
    let mut shell = shell(2);
    let waiter = shell.join(3, &join(""));
    shell.pass_secs(3);
    let member = waiter.get().member_id;
    assert_eq!(shell.consume(&consume("c", 1)).error_code, ErrorCode::GroupIdNotFound.code());
    shell.leave(3, vec![message!(MemberIdentity { member_id: member })]);
    assert_eq!(shell.state_of(), named("classic", "Empty"));
    shell.consumes("c", 0);
    assert_eq!(shell.state_of(), named("consumer", "Stable"));
    shell.fail_over(shell.log.len());
    assert_eq!(shell.state_of(), named("consumer", "Stable"));
    shell.consumes("c", -1);
    let waiter = shell.join(3, &join(""));
    shell.pass_secs(3);
    assert_eq!(waiter.get().error_code, 0);
    shell.fail_over(shell.log.len());
    let none: [&str; 0] = [];
    assert_eq!(&*shell.machine().list(&none, &none)[0].group_type, "classic");
    assert!(shell.machine().state.consumer(GROUP).is_none());
}

#[test]
fn coordinator_makes_a_uuid_for_members_of_version_zero() {
    let mut shell = shell(2);
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let request = consume("", 0);
        let response = shell.decide(|machine, now, wall| {
            machine.consumer_heartbeat(now, wall, &client("app"), 0, &request)
        });
        let id = response.unwrap().member_id.unwrap().to_string();
        assert_eq!(id.len(), 22, "{id}");
        ids.insert(id);
        shell.fail_over(shell.log.len());
        shell.pass_secs(1);
    }
    assert_eq!(ids.len(), 3);
}

#[test]
fn names_that_do_not_fit_into_a_record_are_refused() {
    let mut shell = shell(2);
    let response = shell.consume(&consume(&"a".repeat(40_000), 0));
    assert_eq!(response.error_code, ErrorCode::UnknownServerError.code());
    assert!(shell.log.is_empty() && shell.state_of().is_empty());
}

#[test]
fn empty_consumer_group_without_offsets_expires() {
    let mut shell = shell(2);
    shell.consumes("a", 0);
    shell.commits("a", 2, 5);
    shell.consumes("a", -1);
    shell.pass_secs(6 * 24 * 3_600);
    assert_eq!(shell.state_of(), named("consumer", "Empty"));
    shell.pass_secs(2 * 24 * 3_600);
    assert!(shell.state_of().is_empty());
}

#[test]
fn thousand_members_of_the_consumer_protocol_stabilise_in_little_time() {
    let mut shell = shell(1_000);
    shell.checks = false;
    let mut epochs = vec![0; 1_000];
    let mut owned: Vec<Vec<i32>> = vec![Vec::new(); 1_000];
    // All within five seconds, and then every five seconds: Kafka's defaults.
    for _ in 0..6 {
        for at in 0..1_000 {
            shell.pass(std::time::Duration::from_millis(5));
            let mut request = consume(&format!("member-{at:04}"), epochs[at]);
            if epochs[at] > 0 {
                let topic = message!(consumer_group_heartbeat_request::TopicPartitions {
                    topic_id: TOPIC.into(),
                    partitions: owned[at].clone(),
                });
                request.topic_partitions = Some(vec![topic]);
            }
            let response = shell.consume(&request);
            epochs[at] = response.member_epoch;
            if let Some(assigned) = response.assignment {
                let topics = assigned.topic_partitions.into_iter();
                owned[at] = topics.flat_map(|topic| topic.partitions).collect();
            }
        }
        if shell.state_of() == named("consumer", "Stable") {
            assert!(owned.iter().all(|owned| owned.len() == 1));
            assert!(shell.log.len() < 20_000, "{} records", shell.log.len());
            return;
        }
    }
    panic!("not stable after 30 s: {:?}", shell.state_of());
}
