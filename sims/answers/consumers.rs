//! Groups of the consumer protocol (KIP-848): heartbeats, commits with a member epoch, and how they
//! look to requests of the classic protocol.

use brokerquake::wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use brokerquake::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brokerquake::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use brokerquake::wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest,
    DescribeGroupsRequest, HeartbeatRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest, Uuid,
};

use super::ask::{Node, message};
use super::groups::{Known, join, wait_for};

pub fn ask(node: &mut Node) {
    node.create("consumers-topic", 2, &[]);
    let mut known = Known::default();
    let topic = node.topics(&["consumers-topic"]).remove(0).topic_id;
    known.learn(&format!("{topic:?}"), "id of the topic");
    known.learn(&format!("{:?}", Uuid::ZERO), "no id");
    for group in ["modern", "none", "nothing", "old", "fixed"] {
        wait_for(node, group);
    }
    refused(node, &known);
    member(node, &mut known, topic);
    static_member(node, &mut known);
    classic(node, &mut known);
}

pub fn heartbeat(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    message!(ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: member.into(),
        member_epoch: epoch,
        rebalance_timeout_ms: -1,
    })
}

/// A first heartbeat, with everything that it needs.
pub fn joining(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest {
    let mut request = heartbeat(group, member, 0);
    request.rebalance_timeout_ms = 300_000;
    request.subscribed_topic_names = Some(vec!["consumers-topic".into()]);
    request.topic_partitions = Some(Vec::new());
    request
}

fn refused(node: &mut Node, known: &Known) {
    let changed = |change: fn(&mut ConsumerGroupHeartbeatRequest)| {
        let mut request = joining("none", "m");
        change(&mut request);
        request
    };
    for (what, request) in [
        ("no group", changed(|r| r.group_id = "".into())),
        ("no member id", changed(|r| r.member_id = "".into())),
        ("empty instance", changed(|r| r.instance_id = Some("".into()))),
        ("empty rack", changed(|r| r.rack_id = Some("".into()))),
        ("no rebalance timeout", changed(|r| r.rebalance_timeout_ms = -1)),
        ("no owned partitions", changed(|r| r.topic_partitions = None)),
        (
            "owned partitions",
            changed(|r| {
                r.topic_partitions = Some(vec![message!(TopicPartitions { partitions: vec![0] })]);
            }),
        ),
        ("no subscription", changed(|r| r.subscribed_topic_names = None)),
        (
            "empty subscription and regex",
            changed(|r| {
                r.subscribed_topic_names = Some(Vec::new());
                r.subscribed_topic_regex = Some("".into());
            }),
        ),
        ("unknown assignor", changed(|r| r.server_assignor = Some("none".into()))),
        (
            "bad regex",
            changed(|r| {
                r.subscribed_topic_names = None;
                r.subscribed_topic_regex = Some("[".into());
            }),
        ),
        ("epoch -2 without an instance", heartbeat("none", "m", -2)),
        ("epoch -3", heartbeat("none", "m", -3)),
        ("epoch 1 of an unknown group", heartbeat("nothing", "m", 1)),
        ("leaving an unknown group", heartbeat("nothing", "m", -1)),
    ] {
        known.ask(node, format_args!("beat: {what}"), 1, &request);
    }
    for version in [0, 1] {
        let groups = ["none", ""].map(Into::into);
        let request = message!(ConsumerGroupDescribeRequest { group_ids: groups.into() });
        let mut answer = node.ask(version, &request);
        answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        let shown = known.show(&answer);
        node.note(format_args!("describe: unknown and no name v{version}"), shown);
    }
}

fn member(node: &mut Node, known: &mut Known, topic: Uuid) {
    // The first version has the coordinator choose the id.
    let answer = node.ask(0, &joining("modern", ""));
    let epoch = answer.member_epoch;
    let drawn = answer.member_id.as_ref().map(ToString::to_string).unwrap_or_default();
    known.learn(&drawn, "drawn id");
    let shown = known.show(&answer);
    node.note("beat: first v0", shown);
    known.ask(node, "beat: its epoch", 0, &heartbeat("modern", &drawn, epoch));
    known.ask(node, "beat: its epoch again", 0, &heartbeat("modern", &drawn, epoch));
    let mut owner = heartbeat("modern", &drawn, epoch);
    owner.topic_partitions =
        Some(vec![message!(TopicPartitions { topic_id: topic, partitions: vec![0, 1] })]);
    known.ask(node, "beat: what it owns", 1, &owner);
    for other in [epoch - 1, epoch + 1, -2] {
        let what = format_args!("beat: epoch {other}");
        known.ask(node, what, 1, &heartbeat("modern", &drawn, other));
    }
    known.ask(node, "beat: stranger", 1, &heartbeat("modern", "stranger", epoch));
    for version in [0, 1] {
        let request = message!(ConsumerGroupDescribeRequest {
            group_ids: vec!["modern".into()],
            include_authorized_operations: version == 1,
        });
        known.ask(node, "describe: modern", version, &request);
    }
    offsets(node, known, &drawn, epoch);
    foreign(node, known, &drawn);
    known.ask(node, "beat: leaving", 1, &heartbeat("modern", &drawn, -1));
    known.ask(node, "beat: after leaving", 1, &heartbeat("modern", &drawn, epoch));
    let request = message!(ConsumerGroupDescribeRequest { group_ids: vec!["modern".into()] });
    known.ask(node, "describe: empty", 1, &request);
}

fn offsets(node: &mut Node, known: &Known, member: &str, now: i32) {
    for (what, member, epoch, version) in [
        ("its epoch", member, now, 9),
        ("its epoch, old version", member, now, 8),
        ("earlier epoch", member, now - 1, 9),
        ("later epoch", member, now + 1, 9),
        ("later epoch, old version", member, now + 1, 8),
        ("stranger", "stranger", now, 9),
        ("no member", "", -1, 9),
    ] {
        let partition =
            message!(OffsetCommitRequestPartition { partition_index: 0, committed_offset: 7 });
        let topic = message!(OffsetCommitRequestTopic {
            name: "consumers-topic".into(),
            partitions: vec![partition],
        });
        let request = message!(OffsetCommitRequest {
            group_id: "modern".into(),
            generation_id_or_member_epoch: epoch,
            member_id: member.into(),
            topics: vec![topic],
        });
        known.ask(node, format_args!("commit: {what}"), version, &request);
    }
    for (what, member, epoch) in [
        ("its epoch", Some(member), now),
        ("earlier epoch", Some(member), now - 1),
        ("later epoch", Some(member), now + 1),
        ("stranger", Some("stranger"), now),
        ("no member", None, -1),
    ] {
        let topic = message!(OffsetFetchRequestTopics {
            name: "consumers-topic".into(),
            partition_indexes: vec![0, 1],
        });
        let group = message!(OffsetFetchRequestGroup {
            group_id: "modern".into(),
            member_id: member.map(Into::into),
            member_epoch: epoch,
            topics: Some(vec![topic]),
        });
        let request = message!(OffsetFetchRequest { groups: vec![group] });
        known.ask(node, format_args!("fetch: {what}"), 9, &request);
    }
}

/// Requests of the classic protocol.
fn foreign(node: &mut Node, known: &mut Known, member: &str) {
    let joined = node.ask(9, &join("modern", "", None));
    known.learn(&joined.member_id, "classic member");
    let shown = known.show(&joined);
    node.note("join: into the group v9", shown);
    let request = message!(HeartbeatRequest {
        group_id: "modern".into(),
        generation_id: 1,
        member_id: member.into(),
    });
    known.ask(node, "classic heartbeat", 4, &request);
    for version in [5, 6] {
        let request = message!(DescribeGroupsRequest { groups: vec!["modern".into()] });
        known.ask(node, "classic describe", version, &request);
    }
    let request = message!(ListGroupsRequest { types_filter: vec!["consumer".into()] });
    known.ask(node, "list: consumer groups", 5, &request);
    let request = message!(DeleteGroupsRequest { groups_names: vec!["modern".into()] });
    known.ask(node, "delete: with a member", 2, &request);
}

fn static_member(node: &mut Node, known: &mut Known) {
    let instance = |member: &str, epoch: i32| {
        let mut request = match epoch {
            0 => joining("fixed", member),
            _ => heartbeat("fixed", member, epoch),
        };
        request.instance_id = Some("i".into());
        request
    };
    known.ask(node, "beat: static", 1, &instance("first", 0));
    known.ask(node, "beat: static, another member", 1, &instance("second", 0));
    known.ask(node, "beat: static, leaves for a while", 1, &instance("first", -2));
    let request = message!(ConsumerGroupDescribeRequest { group_ids: vec!["fixed".into()] });
    known.ask(node, "describe: static, away", 1, &request);
    known.ask(node, "beat: static, its successor", 1, &instance("second", 0));
    known.ask(node, "beat: static, fenced", 1, &instance("first", 2));
    known.ask(node, "beat: static, leaves for good", 1, &instance("second", -1));
}

/// A group of the classic protocol is asked as one of the consumer protocol.
fn classic(node: &mut Node, known: &mut Known) {
    let joined = node.ask(3, &join("old", "", None));
    known.learn(&joined.member_id, "classic member");
    let request = message!(ConsumerGroupDescribeRequest { group_ids: vec!["old".into()] });
    known.ask(node, "describe: classic group", 1, &request);
    known.ask(node, "beat: of a classic group", 1, &heartbeat("old", &joined.member_id, 1));
}
