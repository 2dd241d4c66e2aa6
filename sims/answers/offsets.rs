//! Committed offsets: committed, fetched and deleted in each version, and what is refused.

use brokerquake::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brokerquake::wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use brokerquake::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use brokerquake::wire::messages::{
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, Uuid,
};

use super::ask::{Node, message};
use super::groups::{Known, join, wait_for};

const UNKNOWN: [u8; 16] = [9; 16];

pub fn ask(node: &mut Node) {
    node.create("offsets-topic", 2, &[]);
    node.create("offsets-other", 1, &[]);
    let mut known = Known::default();
    let topic = node.topics(&["offsets-topic"]).remove(0).topic_id;
    let other = node.topics(&["offsets-other"]).remove(0).topic_id;
    for group in ["simple", "member", "none", "other", ""] {
        wait_for(node, group);
    }
    known.learn(&format!("{topic:?}"), "id of the topic");
    known.learn(&format!("{other:?}"), "id of the other topic");
    known.learn(&format!("{:?}", Uuid::from_bytes(UNKNOWN)), "an unknown id");
    known.learn(&format!("{:?}", Uuid::ZERO), "no id");
    simple(node, &known, topic);
    by_member(node, &mut known);
    fetched(node, &known, (topic, other));
    deleted(node, &known);
}

type Partition = (i32, i64, &'static str);

fn topic(name: &str, id: Uuid, partitions: &[Partition]) -> OffsetCommitRequestTopic {
    let partitions = partitions.iter().map(|(index, offset, metadata)| {
        message!(OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            committed_leader_epoch: 3,
            committed_metadata: Some((*metadata).into()),
        })
    });
    message!(OffsetCommitRequestTopic {
        name: name.into(),
        topic_id: id,
        partitions: partitions.collect(),
    })
}

fn commit(group: &str, topics: Vec<OffsetCommitRequestTopic>) -> OffsetCommitRequest {
    message!(OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: topics,
    })
}

/// A group without members.
fn simple(node: &mut Node, known: &Known, id: Uuid) {
    let named = |partitions: &[Partition]| topic("offsets-topic", Uuid::ZERO, partitions);
    let unknown = topic("offsets-none", Uuid::ZERO, &[(0, 1, "")]);
    for version in 2..=9 {
        let offset = i64::from(version) * 10;
        let partitions = [(0, offset, "text"), (1, offset + 1, ""), (7, 1, "")];
        let request = commit("simple", vec![named(&partitions), unknown.clone()]);
        known.ask(node, "commit: known and unknown", version, &request);
    }
    let by_id = |id: Uuid, partitions: &[Partition]| topic("", id, partitions);
    let request = commit(
        "simple",
        vec![
            by_id(id, &[(0, 100, "by id"), (7, 1, "")]),
            by_id(Uuid::from_bytes(UNKNOWN), &[(0, 1, ""), (1, 1, "")]),
            by_id(Uuid::ZERO, &[(0, 1, "")]),
        ],
    );
    known.ask(node, "commit: by id", 10, &request);
    for version in [2, 8] {
        let request = commit("", vec![named(&[(0, 1, "")])]);
        known.ask(node, "commit: no group", version, &request);
        let request = commit("simple", vec![unknown.clone()]);
        known.ask(node, "commit: unknown topic", version, &request);
    }
    known.ask(node, "commit: no topics", 8, &commit("simple", Vec::new()));
    known.ask(node, "commit: negative offset", 8, &commit("simple", vec![named(&[(1, -5, "")])]));
    let twice = vec![named(&[(0, 5, "")]), named(&[(0, 6, ""), (0, 7, "")])];
    known.ask(node, "commit: one partition three times", 8, &commit("simple", twice));
    for length in [4096, 4097] {
        let mut topic = named(&[(0, 8, ""), (1, 9, "")]);
        topic.partitions[0].committed_metadata = Some("m".repeat(length).into());
        let request = commit("simple", vec![topic]);
        known.ask(node, format_args!("commit: {length} bytes of metadata"), 8, &request);
    }
    for (what, generation, member, instance) in [
        ("generation without a member", 0, "", None),
        ("stranger without a generation", -1, "stranger", None),
        ("stranger", 1, "stranger", None),
        ("instance", -1, "", Some("i")),
    ] {
        for group in ["simple", "none"] {
            let mut request = commit(group, vec![named(&[(0, 1, "")])]);
            request.generation_id_or_member_epoch = generation;
            request.member_id = member.into();
            request.group_instance_id = instance.map(|instance: &str| instance.into());
            known.ask(node, format_args!("commit: {what}, {group}"), 8, &request);
        }
    }
}

fn by_member(node: &mut Node, known: &mut Known) {
    let joined = node.ask(3, &join("member", "", None));
    let member = joined.member_id.to_string();
    known.learn(&member, "member");
    let of = |generation: i32, member: &str| {
        let mut request =
            commit("member", vec![topic("offsets-topic", Uuid::ZERO, &[(0, 42, "of a member")])]);
        request.generation_id_or_member_epoch = generation;
        request.member_id = member.into();
        request
    };
    known.ask(node, "commit: before syncing", 8, &of(1, &member));
    let request = message!(SyncGroupRequest {
        group_id: "member".into(),
        generation_id: 1,
        member_id: member.as_str().into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
    });
    known.ask(node, "sync: without an assignment", 5, &request);
    for (what, generation, member) in [
        ("in its generation", 1, member.as_str()),
        ("generation 0", 0, &member),
        ("generation 2", 2, &member),
        ("no generation", -1, &member),
        ("stranger", 1, "stranger"),
        ("no member", -1, ""),
        ("generation without a member", 1, ""),
    ] {
        known.ask(node, format_args!("commit of a member: {what}"), 8, &of(generation, member));
    }
    let mut wrong = of(1, &member);
    wrong.group_instance_id = Some("i".into());
    known.ask(node, "commit of a member: unknown instance", 8, &wrong);
}

fn fetched(node: &mut Node, known: &Known, (id, other): (Uuid, Uuid)) {
    let old = |name: &str, indexes: &[i32]| {
        message!(OffsetFetchRequestTopic { name: name.into(), partition_indexes: indexes.into() })
    };
    for version in 1..=7 {
        for group in ["simple", "none", ""] {
            let topics = vec![
                old("offsets-topic", &[0, 1, 7]),
                old("offsets-other", &[0]),
                old("offsets-none", &[0]),
            ];
            let request = message!(OffsetFetchRequest {
                group_id: group.into(),
                topics: Some(topics),
                require_stable: version == 7,
            });
            known.ask(node, format_args!("fetch: {group:?}"), version, &request);
        }
        if version >= 2 {
            let request = message!(OffsetFetchRequest { group_id: "simple".into(), topics: None });
            all(node, known, "fetch: all", version, &request);
        }
    }
    let new = |version: i16, (name, id): (&str, Uuid), indexes: &[i32]| {
        let (name, id) = if version < 10 { (name, Uuid::ZERO) } else { ("", id) };
        message!(OffsetFetchRequestTopics {
            name: name.into(),
            topic_id: id,
            partition_indexes: indexes.into(),
        })
    };
    for version in 8..=10 {
        let topics = vec![
            new(version, ("offsets-topic", id), &[0, 1, 7]),
            new(version, ("offsets-other", other), &[0]),
            new(version, ("offsets-none", Uuid::from_bytes(UNKNOWN)), &[0, 1]),
        ];
        let of = |group: &str, topics: Option<Vec<OffsetFetchRequestTopics>>| {
            message!(OffsetFetchRequestGroup { group_id: group.into(), topics: topics })
        };
        let groups = vec![
            of("simple", Some(topics.clone())),
            of("none", Some(topics.clone())),
            of("", Some(topics[..1].to_vec())),
            of("simple", Some(Vec::new())),
        ];
        let request = message!(OffsetFetchRequest { groups: groups, require_stable: true });
        known.ask(node, "fetch: several groups", version, &request);
        let request = message!(OffsetFetchRequest { groups: vec![of("simple", None)] });
        all(node, known, "fetch: all of a group", version, &request);
        known.ask(node, "fetch: no groups", version, &OffsetFetchRequest::default());
    }
    for version in [9, 10] {
        for (member, epoch) in [(Some("stranger"), 1), (Some("stranger"), -1), (None, 4)] {
            let topics = vec![new(version, ("offsets-topic", id), &[0])];
            let group = message!(OffsetFetchRequestGroup {
                group_id: "member".into(),
                member_id: member.map(Into::into),
                member_epoch: epoch,
                topics: Some(topics),
            });
            let request = message!(OffsetFetchRequest { groups: vec![group] });
            let what = format_args!("fetch: member {member:?}, epoch {epoch}");
            known.ask(node, what, version, &request);
        }
    }
}

/// Asks for all offsets: Kafka answers in the order of a hash.
fn all(node: &mut Node, known: &Known, what: &str, version: i16, request: &OffsetFetchRequest) {
    let mut answer = node.ask(version, request);
    for topic in &mut answer.topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    }
    for topic in answer.groups.iter_mut().flat_map(|group| &mut group.topics) {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    }
    let shown = known.show(&answer);
    node.note(format_args!("{what} v{version}"), shown);
}

fn deleted(node: &mut Node, known: &Known) {
    let of = |group: &str, topics: &[(&str, &[i32])]| {
        let topics = topics.iter().map(|(name, indexes)| {
            let partitions = indexes.iter();
            let partitions = partitions
                .map(|index| message!(OffsetDeleteRequestPartition { partition_index: *index }));
            message!(OffsetDeleteRequestTopic {
                name: (*name).into(),
                partitions: partitions.collect(),
            })
        });
        message!(OffsetDeleteRequest { group_id: group.into(), topics: topics.collect() })
    };
    let asked: [(&str, &[i32]); 3] =
        [("offsets-topic", &[0, 7]), ("offsets-other", &[0]), ("offsets-none", &[0])];
    for group in ["simple", "none", "", "member"] {
        let mut answer = node.ask(0, &of(group, &asked));
        answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
        let shown = known.show(&answer);
        node.note(format_args!("delete offsets: {group:?}"), shown);
    }
    known.ask(node, "delete offsets: no topics", 0, &of("simple", &[]));
    known.ask(node, "delete offsets: subscribed", 0, &of("member", &[("groups-topic", &[0])]));
    let request = message!(OffsetFetchRequest { group_id: "simple".into(), topics: None });
    all(node, known, "fetch: what is left", 7, &request);
}
