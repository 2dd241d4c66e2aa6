//! Groups in the middle of a rebalance, full groups, groups that change their protocol, and what requests
//! of groups name twice, wrongly or not at all.

use std::thread::JoinHandle;

use brokerquake::wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use brokerquake::wire::messages::leave_group_request::MemberIdentity;
use brokerquake::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brokerquake::wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use brokerquake::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use brokerquake::wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest,
    DescribeGroupsRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, RequestResponsePair, Uuid,
};

use super::ask::{Node, message};
use super::consumers::{heartbeat as beat, joining};
use super::groups::{Known, heartbeat, join, leave, sync, wait_for};

pub const SETTINGS: &str = "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\n\
                            group.initial.rebalance.delay.ms=0\ngroup.max.size=2\n\
                            group.consumer.max.size=2\n\
                            group.consumer.assignment.interval.ms=0\n";

const TOPIC: &str = "consumers-topic";

pub fn ask(node: &mut Node) {
    node.create("groups-topic", 2, &[]);
    node.create(TOPIC, 2, &[]);
    let mut known = Known::default();
    for topic in [TOPIC, "groups-topic"] {
        let id = node.topics(&[topic]).remove(0).topic_id;
        known.learn(&format!("{id:?}"), &format!("id of {topic}"));
    }
    known.learn(&format!("{:?}", Uuid::ZERO), "no id");
    let groups = ["pair", "odd", "up", "down", "connect", "modern", "offsets", "gone", "a b/c"];
    for group in groups {
        wait_for(node, group);
    }
    pair(node, &mut known);
    joins(node, &mut known);
    beats(node, &mut known);
    changes(node, &mut known);
    commits(node, &known);
    lists(node, &known);
}

/// Asks over a connection of its own, for an answer that waits.
fn later<R>(node: &Node, version: i16, request: R) -> JoinHandle<R::Response>
where
    R: RequestResponsePair + Send + 'static,
    R::Response: Send + 'static,
{
    let address = node.address().to_owned();
    std::thread::spawn(move || Node::new(&address).ask(version, &request))
}

/// Until a group has this many members, those that wait included. Its state does not tell: a member that
/// leaves before it has joined begins a rebalance as well.
fn wait_members(node: &mut Node, group: &str, members: usize) {
    for _ in 0..400 {
        let request = message!(DescribeGroupsRequest { groups: vec![group.into()] });
        if node.ask(5, &request).groups[0].members.len() == members {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{group} never has {members} members");
}

fn commit(group: &str, generation: i32, member: &str) -> OffsetCommitRequest {
    let partition =
        message!(OffsetCommitRequestPartition { partition_index: 0, committed_offset: 7 });
    let topic = message!(OffsetCommitRequestTopic {
        name: "groups-topic".into(),
        partitions: vec![partition],
    });
    message!(OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        retention_time_ms: -1,
        topics: vec![topic],
    })
}

fn deletion(group: &str, topics: &[(&str, &[i32])]) -> OffsetDeleteRequest {
    let topic = |(name, indexes): &(&str, &[i32])| {
        let partition =
            |index: &i32| message!(OffsetDeleteRequestPartition { partition_index: *index });
        message!(OffsetDeleteRequestTopic {
            name: (*name).into(),
            partitions: indexes.iter().map(partition).collect(),
        })
    };
    message!(OffsetDeleteRequest {
        group_id: group.into(),
        topics: topics.iter().map(topic).collect(),
    })
}

/// Everything that a classic group is asked in whatever state it is.
fn in_state(node: &mut Node, known: &mut Known, state: &str, generation: i32, member: &str) {
    for of in [generation, generation + 1] {
        let what = format_args!("{state}: heartbeat, generation {of}");
        known.ask(node, what, 4, &heartbeat("pair", of, member));
        known.ask(node, format_args!("{state}: commit, {of}"), 8, &commit("pair", of, member));
    }
    let request = sync("pair", generation + 1, member);
    known.ask(node, format_args!("{state}: sync of the next generation"), 5, &request);
    known.ask(node, format_args!("{state}: plain commit"), 8, &commit("pair", -1, ""));
    known.ask(node, format_args!("{state}: stranger"), 4, &heartbeat("pair", generation, "s"));
    let third = node.ask(5, &join("pair", "", None));
    known.learn(&third.member_id, "third");
    node.note(format_args!("{state}: join of a third"), known.show(&third));
    // The group would wait for it.
    let request = leave(5, "pair", &[(&third.member_id, None)]);
    known.ask(node, format_args!("{state}: the third leaves"), 5, &request);
    let request = message!(DescribeGroupsRequest { groups: vec!["pair".into()] });
    let mut answer = node.ask(5, &request);
    for group in &mut answer.groups {
        for member in &group.members {
            known.learn_new(&member.member_id, "another");
        }
        group.members.sort_by_key(|member| known.show(&member.member_id));
    }
    node.note(format_args!("{state}: described"), known.show(&answer));
    known.ask(
        node,
        format_args!("{state}: listed"),
        5,
        &message!(ListGroupsRequest { states_filter: vec![state.into()] }),
    );
    let request = message!(DeleteGroupsRequest { groups_names: vec!["pair".into()] });
    known.ask(node, format_args!("{state}: deleted"), 2, &request);
    let request = deletion("pair", &[("groups-topic", &[0])]);
    known.ask(node, format_args!("{state}: offsets deleted"), 0, &request);
    let request = message!(ConsumerGroupDescribeRequest { group_ids: vec!["pair".into()] });
    known.ask(node, format_args!("{state}: described as another kind"), 1, &request);
}

/// Two members, through the states of a classic group.
fn pair(node: &mut Node, known: &mut Known) {
    let first = node.ask(3, &join("pair", "", None)).member_id.to_string();
    known.learn(&first, "first");
    in_state(node, known, "CompletingRebalance", 1, &first);
    known.ask(node, "sync: first", 3, &sync("pair", 1, &first));
    let joining = later(node, 3, join("pair", "", None));
    wait_members(node, "pair", 2);
    known.ask(node, "PreparingRebalance: sync", 5, &sync("pair", 1, &first));
    in_state(node, known, "PreparingRebalance", 1, &first);
    let again = node.ask(5, &join("pair", &first, None));
    let second = joining.join().unwrap();
    known.learn(&second.member_id, "second");
    let mut all = again.clone();
    all.members.sort_by_key(|member| known.show(&member.member_id));
    node.note("pair: the leader is answered", known.show(&all));
    node.note("pair: the follower is answered", known.show(&second));
    let second = second.member_id.to_string();
    let mut wrong = sync("pair", 2, &second);
    wrong.protocol_name = Some("".into());
    known.ask(node, "pair: sync, no protocol", 5, &wrong);
    let waiting = later(node, 5, sync("pair", 2, &second));
    let mut request = sync("pair", 2, &first);
    request.assignments[0].member_id = "stranger".into();
    known.ask(node, "pair: sync with an assignment of a stranger", 5, &request);
    node.note("pair: sync without an assignment", known.show(&waiting.join().unwrap()));
    // A follower with the same metadata keeps its generation.
    let mut answer = node.ask(9, &join("pair", &second, None));
    answer.members.clear();
    node.note("pair: the follower again", known.show(&answer));
    let members = [(second.as_str(), None), (second.as_str(), None), ("", None)];
    known.ask(node, "pair: leave twice", 5, &leave(5, "pair", &members));
    known.ask(node, "pair: heartbeat afterwards", 4, &heartbeat("pair", 2, &first));
    known.ask(node, "pair: the last leaves", 5, &leave(5, "pair", &[(&first, None)]));
    in_state(node, known, "Empty", 3, &first);
}

fn joins(node: &mut Node, known: &mut Known) {
    let changed = |change: fn(&mut JoinGroupRequest)| {
        let mut request = join("odd", "", None);
        change(&mut request);
        request
    };
    let requests = [
        ("instance of no letters", changed(|r| r.group_instance_id = Some("".into()))),
        ("instance with a slash", changed(|r| r.group_instance_id = Some("a/b".into()))),
        ("instance of a dot", changed(|r| r.group_instance_id = Some(".".into()))),
        ("long instance", changed(|r| r.group_instance_id = Some("i".repeat(250).into()))),
        ("protocol type of spaces", changed(|r| r.protocol_type = " ".into())),
        ("group named by a space", changed(|r| r.group_id = " ".into())),
        (
            "no protocols, no type",
            changed(|r| {
                r.protocols.clear();
                r.protocol_type = "".into();
            }),
        ),
    ];
    for (index, (what, mut request)) in requests.into_iter().enumerate() {
        // A group of its own: the next member would wait for this one.
        if *request.group_id == *"odd" {
            request.group_id = format!("odd-{index}").into();
            wait_for(node, &request.group_id.clone());
        }
        let answer = node.ask(9, &request);
        known.learn(&answer.member_id, "new member");
        node.note(format_args!("join: {what}"), known.show(&answer));
    }
    let request = join("odd", "", None);
    let answer = node.ask(3, &request);
    known.learn(&answer.member_id, "odd member");
    node.note("join: an odd member", known.show(&answer));
    let member = answer.member_id.to_string();
    let none: Vec<MemberIdentity> = Vec::new();
    let request = message!(LeaveGroupRequest { group_id: "odd".into(), members: none });
    known.ask(node, "leave: nobody", 4, &request);
    for version in [3, 5] {
        let both = [(member.as_str(), Some("i")), ("", Some("")), ("", None)];
        known.ask(node, "leave: with an instance", version, &leave(version, "odd", &both));
    }
    let mut request = sync("odd", 1, "");
    known.ask(node, "sync: no member", 5, &request);
    request.member_id = member.as_str().into();
    request.protocol_type = None;
    known.ask(node, "sync: no type of a member", 5, &request);
    request.protocol_type = Some("".into());
    request.protocol_name = None;
    known.ask(node, "sync: empty type, no name", 5, &request);
    known.ask(node, "leave: it", 5, &leave(5, "odd", &[(&member, None)]));
    known.ask(node, "sync: of an empty group", 5, &sync("odd", 2, &member));
    let mut other = join("odd", "", None);
    other.protocol_type = "connect".into();
    let answer = node.ask(3, &other);
    known.learn(&answer.member_id, "member of another type");
    node.note("join: an empty group with another type", known.show(&answer));
}

/// Heartbeats of the consumer protocol that change something, and those that are refused.
fn beats(node: &mut Node, known: &mut Known) {
    known.ask(node, "beat: first", 1, &joining("modern", "m1"));
    let changed = |epoch: i32, change: fn(&mut ConsumerGroupHeartbeatRequest)| {
        let mut request = beat("modern", "m1", epoch);
        change(&mut request);
        request
    };
    for (what, request) in [
        ("its first again", joining("modern", "m1")),
        ("an unknown assignor", changed(1, |r| r.server_assignor = Some("none".into()))),
        ("an empty assignor", changed(1, |r| r.server_assignor = Some("".into()))),
        ("a bad regex", changed(1, |r| r.subscribed_topic_regex = Some("(".into()))),
        ("an empty rack", changed(1, |r| r.rack_id = Some("".into()))),
        ("an empty instance", changed(1, |r| r.instance_id = Some("".into()))),
        ("another instance", changed(1, |r| r.instance_id = Some("i".into()))),
        ("no subscription", changed(1, |r| r.subscribed_topic_names = Some(Vec::new()))),
        (
            "what it does not own",
            changed(1, |r| {
                let owned = TopicPartitions::default();
                r.topic_partitions = Some(vec![owned]);
            }),
        ),
        (
            "an unknown topic",
            changed(2, |r| {
                r.subscribed_topic_names = Some(vec!["none".into(), "consumers-topic".into()]);
            }),
        ),
        (
            "a topic twice",
            changed(3, |r| {
                r.subscribed_topic_names =
                    Some(vec!["consumers-topic".into(), "consumers-topic".into()]);
            }),
        ),
        ("an invalid topic", changed(3, |r| r.subscribed_topic_names = Some(vec!["a b".into()]))),
        ("another timeout", changed(3, |r| r.rebalance_timeout_ms = 1)),
        ("timeout 0", changed(3, |r| r.rebalance_timeout_ms = 0)),
        ("timeout -2", changed(3, |r| r.rebalance_timeout_ms = -2)),
        ("range", changed(3, |r| r.server_assignor = Some("range".into()))),
    ] {
        known.ask(node, format_args!("beat: {what}"), 1, &request);
    }
    known.ask(node, "beat: second", 1, &joining("modern", "m2"));
    known.ask(node, "beat: third of two", 1, &joining("modern", "m3"));
    let mut request = joining("modern", "m3");
    request.instance_id = Some("i".into());
    known.ask(node, "beat: static third of two", 1, &request);
    let request = message!(ConsumerGroupDescribeRequest {
        group_ids: ["modern", "modern", "none"].map(Into::into).into(),
    });
    let mut answer = node.ask(1, &request);
    answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    for group in &mut answer.groups {
        group.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        for member in &mut group.members {
            // How far a reconciliation is at this moment differs.
            let sort = |topics: &mut brokerquake::wire::messages::consumer_group_describe_response::Assignment| {
                topics.topic_partitions.sort_by(|a, b| a.topic_name.cmp(&b.topic_name));
            };
            sort(&mut member.assignment);
            sort(&mut member.target_assignment);
        }
    }
    node.note("beat: described twice", known.show(&answer));
    let request = deletion("modern", &[(TOPIC, &[0]), ("groups-topic", &[0])]);
    known.ask(node, "offsets deleted of a subscribed topic", 0, &request);
    for member in ["m2", "m1"] {
        known.ask(node, format_args!("beat: {member} leaves"), 1, &beat("modern", member, -1));
    }
    for group in ["", " ", "a b/c"] {
        known.ask(node, format_args!("beat: group {group:?}"), 1, &beat(group, "m", 1));
        known.ask(node, format_args!("beat: join {group:?}"), 1, &joining(group, "m"));
    }
    let mut long = joining("modern", &"m".repeat(250));
    known.ask(node, "beat: a long id", 1, &long);
    long.member_id = "a b/c".into();
    known.ask(node, "beat: an id with a slash", 1, &long);
}

/// Groups that change from one protocol to the other.
fn changes(node: &mut Node, known: &mut Known) {
    let old = node.ask(3, &join("up", "", None)).member_id.to_string();
    known.learn(&old, "classic member");
    known.ask(node, "up: while it completes", 1, &joining("up", "new"));
    known.ask(node, "up: sync", 3, &{
        let mut request = sync("up", 1, &old);
        // No partitions.
        request.assignments[0].assignment = vec![0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff].into();
        request
    });
    known.ask(node, "up: joins", 1, &joining("up", "new"));
    let request = message!(ConsumerGroupDescribeRequest { group_ids: vec!["up".into()] });
    let mut answer = node.ask(1, &request);
    for group in &mut answer.groups {
        group.members.sort_by_key(|member| known.show(&member.member_id));
    }
    node.note("up: described", known.show(&answer));
    let request = message!(DescribeGroupsRequest { groups: vec!["up".into()] });
    known.ask(node, "up: described as before", 6, &request);
    for generation in [0, 1, 2, 3] {
        let what = format_args!("up: classic heartbeat {generation}");
        known.ask(node, what, 4, &heartbeat("up", generation, &old));
        let what = format_args!("up: classic sync {generation}");
        known.ask(node, what, 5, &sync("up", generation, &old));
        let what = format_args!("up: classic commit {generation}");
        known.ask(node, what, 8, &commit("up", generation, &old));
    }
    let mut answer = node.ask(5, &join("up", &old, None));
    answer.members.clear();
    node.note("up: classic join", known.show(&answer));
    known.ask(node, "up: classic sync", 5, &sync("up", answer.generation_id, &old));
    known.ask(node, "up: beat with a classic id", 1, &beat("up", &old, answer.generation_id));
    known.ask(node, "up: the new one leaves", 1, &beat("up", "new", -1));
    let request = message!(DescribeGroupsRequest { groups: vec!["up".into()] });
    known.ask(node, "up: described again", 6, &request);

    let mut other = join("connect", "", None);
    other.protocol_type = "connect".into();
    let member = node.ask(3, &other).member_id.to_string();
    known.learn(&member, "member of a connect group");
    known.ask(node, "connect: sync", 3, &sync("connect", 1, &member));
    known.ask(node, "connect: beat", 1, &joining("connect", "new"));
    let request = deletion("connect", &[("groups-topic", &[0])]);
    known.ask(node, "connect: offsets deleted", 0, &request);

    known.ask(node, "down: beat", 1, &joining("down", "m"));
    known.ask(node, "down: leaves", 1, &beat("down", "m", -1));
    let answer = node.ask(3, &join("down", "", None));
    known.learn(&answer.member_id, "classic successor");
    node.note("down: classic join", known.show(&answer));
    let request = message!(DescribeGroupsRequest { groups: vec!["down".into()] });
    known.ask(node, "down: described", 6, &request);
}

fn commits(node: &mut Node, known: &Known) {
    let named = |name: &str, index: i32, metadata: Option<&str>| {
        let partition = message!(OffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: 3,
            committed_metadata: metadata.map(Into::into),
        });
        message!(OffsetCommitRequestTopic { name: name.into(), partitions: vec![partition] })
    };
    let twice = vec![named("groups-topic", 0, None), named("groups-topic", 0, Some(""))];
    let mut empty = named("groups-topic", 0, None);
    empty.partitions.clear();
    for (what, topics) in [
        ("null metadata", vec![named("groups-topic", 0, None)]),
        ("negative partition", vec![named("groups-topic", -1, None)]),
        ("no topic name", vec![named("", 0, None)]),
        ("invalid topic", vec![named("a b", 0, None)]),
        ("internal topic", vec![named("__consumer_offsets", 0, None)]),
        ("a topic twice", twice),
        ("no partitions", vec![empty]),
    ] {
        let mut request = commit("offsets", -1, "");
        request.topics = topics;
        known.ask(node, format_args!("commit: {what}"), 8, &request);
    }
    for group in [" ", "a b/c"] {
        known.ask(node, format_args!("commit: group {group:?}"), 8, &commit(group, -1, ""));
    }
    let fetch = |group: &str, topics: &[(&str, &[i32])]| {
        let topic = |(name, indexes): &(&str, &[i32])| {
            message!(OffsetFetchRequestTopics {
                name: (*name).into(),
                partition_indexes: indexes.to_vec(),
            })
        };
        message!(OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: Some(topics.iter().map(topic).collect()),
        })
    };
    for (what, groups) in [
        (
            "a topic twice",
            vec![fetch("offsets", &[("groups-topic", &[0]), ("groups-topic", &[0, 1])])],
        ),
        ("a partition twice", vec![fetch("offsets", &[("groups-topic", &[0, 0])])]),
        (
            "a group twice",
            vec![
                fetch("offsets", &[("groups-topic", &[0])]),
                fetch("offsets", &[("groups-topic", &[1])]),
            ],
        ),
        ("negative partition", vec![fetch("offsets", &[("groups-topic", &[-1])])]),
        ("no topic name", vec![fetch("offsets", &[("", &[0])])]),
        ("no partitions", vec![fetch("offsets", &[("groups-topic", &[])])]),
    ] {
        let request = message!(OffsetFetchRequest { groups: groups });
        known.ask(node, format_args!("fetch: {what}"), 9, &request);
    }
    for (what, topics) in [
        ("a partition twice", &[("groups-topic", &[0, 0][..])][..]),
        ("a topic twice", &[("groups-topic", &[0][..]), ("groups-topic", &[1][..])][..]),
        ("negative partition", &[("groups-topic", &[-1][..])][..]),
        ("no topic name", &[("", &[0][..])][..]),
        ("no partitions", &[("groups-topic", &[][..])][..]),
    ] {
        known.ask(node, format_args!("delete: {what}"), 0, &deletion("offsets", topics));
    }
}

fn lists(node: &mut Node, known: &Known) {
    for (what, states, types) in [
        ("an unknown state", &["nothing"][..], &[][..]),
        ("share groups", &[][..], &["share"][..]),
        ("streams groups", &[][..], &["streams"][..]),
        ("consumer groups that assign", &["assigning"][..], &["consumer"][..]),
        ("empty groups", &["EMPTY"][..], &[][..]),
        ("an empty type", &[][..], &[""][..]),
        ("dead groups", &["Dead"][..], &[][..]),
    ] {
        let request = message!(ListGroupsRequest {
            states_filter: states.iter().map(|state| (*state).into()).collect(),
            types_filter: types.iter().map(|kind| (*kind).into()).collect(),
        });
        let Some(mut answer) = node.try_ask(5, &request) else {
            node.note(format_args!("list: {what}"), "closed");
            continue;
        };
        answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        node.note(format_args!("list: {what}"), known.show(&answer));
    }
    let request = message!(DescribeGroupsRequest { groups: vec!["pair".into(), "pair".into()] });
    known.ask(node, "describe: a group twice", 6, &request);
    known.ask(node, "describe: nothing", 6, &DescribeGroupsRequest::default());
    known.ask(node, "describe: no consumer groups", 1, &ConsumerGroupDescribeRequest::default());
    known.ask(node, "delete: nothing", 2, &DeleteGroupsRequest::default());
    for group in ["offsets", "modern", "gone", "up"] {
        for times in ["first", "second"] {
            let request = message!(DeleteGroupsRequest { groups_names: vec![group.into()] });
            known.ask(node, format_args!("delete: {group}, {times} time"), 2, &request);
        }
    }
}
