//! The group coordinator: found, asked in each version, and asked for what it refuses.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use brokerquake::base::config::Compression;
use brokerquake::wire::messages::join_group_request::JoinGroupRequestProtocol;
use brokerquake::wire::messages::leave_group_request::MemberIdentity;
use brokerquake::wire::messages::sync_group_request::SyncGroupRequestAssignment;
use brokerquake::wire::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, MetadataRequest,
    RequestResponsePair, SyncGroupRequest,
};

use super::ask::{Node, error, message, production};
use super::batches::{batch, now};

/// What both nodes are set to besides.
pub const SETTINGS: &str = "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\n\
                            group.initial.rebalance.delay.ms=0\n";

/// Ids that a node draws, each by a name that stays the same.
#[derive(Default)]
pub struct Known(BTreeMap<String, String>);

impl Known {
    pub fn learn(&mut self, drawn: &str, name: &str) {
        if !drawn.is_empty() {
            self.0.insert(drawn.to_owned(), format!("<{name}>"));
        }
    }

    /// The same, unless the id has a name.
    pub fn learn_new(&mut self, drawn: &str, name: &str) {
        self.0.entry(drawn.to_owned()).or_insert_with(|| format!("<{name}>"));
    }

    /// An answer as text, without what differs from run to run.
    pub fn show(&self, answer: &impl Debug) -> String {
        let mut text = format!("{answer:?}");
        for (drawn, name) in &self.0 {
            text = text.replace(drawn.as_str(), name);
        }
        for (noise, plain) in [
            ("throttle_time_ms: 0, ", ""),
            (", unknown_tagged_fields: TaggedFields { fields: [] }", ""),
            ("StrBytes(b\"", "(\""),
        ] {
            text = text.replace(noise, plain);
        }
        named_errors(&without_messages(&text))
    }

    /// Asks, and notes the whole answer.
    pub fn ask<R: RequestResponsePair>(
        &self,
        node: &mut Node,
        what: impl Display,
        version: i16,
        request: &R,
    ) -> Option<R::Response>
    where
        R::Response: Debug,
    {
        let answer = node.try_ask(version, request);
        let shown = answer.as_ref().map_or_else(|| "closed".to_owned(), |answer| self.show(answer));
        node.note(format_args!("{what} v{version}"), shown);
        answer
    }
}

/// Names the errors of an answer.
fn named_errors(text: &str) -> String {
    let mut parts = text.split("error_code: ");
    let mut named = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(part.len());
        let (code, rest) = part.split_at(end);
        named += &format!("error_code: {}{rest}", error(code.parse().expect("a code")));
    }
    named
}

/// Texts of errors are each node's own: only whether there is one counts.
fn without_messages(text: &str) -> String {
    const KEY: &str = "error_message: Some((\"";
    let mut parts = text.split(KEY);
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find("\")").expect("the end of a text");
        let some = if end == 0 { "an empty text" } else { "a text" };
        rest += &format!("error_message: Some({some}{}", &part[end + 2..]);
    }
    rest
}

pub fn ask(node: &mut Node) {
    node.create("groups-topic", 2, &[]);
    let mut known = Known::default();
    find(node, &known);
    internal(node);
    refused(node, &known);
    dynamic(node, &mut known);
    static_member(node, &mut known);
    listed(node, &known);
    left(node, &mut known);
}

/// Until the coordinator of a group is there.
pub fn wait_for(node: &mut Node, group: &str) {
    for _ in 0..300 {
        let found = node.ask(3, &message!(FindCoordinatorRequest { key: group.into() }));
        // It may be named before it has loaded its log.
        let described = message!(DescribeGroupsRequest { groups: vec![group.into()] });
        let described = node.ask(5, &described).groups.remove(0).error_code;
        if found.error_code == 0 && described == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no coordinator of {group}");
}

fn find(node: &mut Node, known: &Known) {
    let first = message!(FindCoordinatorRequest { key: "classic".into() });
    known.ask(node, "find: before there is a topic", 3, &first);
    for group in ["classic", "static", "simple", "other", "", "consumer", "none", "plain"] {
        wait_for(node, group);
    }
    let mut here = Known::default();
    let found = node.ask(3, &first);
    here.learn(&format!("port: {}", found.port), "its port");
    for version in 0..=3 {
        here.ask(node, "find: a group", version, &first);
        // Transactional ids once: afterwards their topic may exist or not.
        for kind in [1, 2, 9] {
            let request = message!(FindCoordinatorRequest { key: "k".into(), key_type: kind });
            if version > 0 && (kind != 1 || version == 1) {
                here.ask(node, format_args!("find: key type {kind}"), version, &request);
            }
        }
    }
    for version in 4..=6 {
        for kind in [0, 2, 9] {
            let keys = ["classic", "", "static", "classic"].map(Into::into);
            let request =
                message!(FindCoordinatorRequest { coordinator_keys: keys.into(), key_type: kind });
            here.ask(node, format_args!("find: keys of type {kind}"), version, &request);
        }
        here.ask(node, "find: no keys", version, &FindCoordinatorRequest::default());
    }
}

/// The topic of the coordinators.
fn internal(node: &mut Node) {
    let topics = node.topics(&["__consumer_offsets"]);
    let shown = |topic: &brokerquake::wire::messages::metadata_response::MetadataResponseTopic| {
        format!("{} {} {}", error(topic.error_code), topic.is_internal, topic.partitions.len())
    };
    node.note("internal topic", format!("{:?}", topics.iter().map(shown).collect::<Vec<_>>()));
    for partition in [0, 5] {
        let request = production(
            "__consumer_offsets",
            partition,
            Some(batch(Compression::None, &[now().0]).into()),
        );
        let answer = node.ask(9, &request).responses.remove(0).partition_responses.remove(0);
        node.note(format_args!("produce to internal topic, {partition}"), error(answer.error_code));
    }
    let asked = Some(Vec::new());
    let all = node.ask(12, &message!(MetadataRequest { topics: asked })).topics.len();
    node.note("topics of no list", all);
}

/// A member's request to join. The metadata are those of a subscription to `groups-topic`.
pub fn join(group: &str, member: &str, instance: Option<&str>) -> JoinGroupRequest {
    let mut metadata = vec![0, 1, 0, 0, 0, 1, 0, 12];
    metadata.extend_from_slice(b"groups-topic");
    metadata.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let protocol = |name: &str| {
        message!(JoinGroupRequestProtocol { name: name.into(), metadata: metadata.clone().into() })
    };
    message!(JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 1_800_000,
        member_id: member.into(),
        group_instance_id: instance.map(Into::into),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range"), protocol("roundrobin")],
    })
}

pub fn sync(group: &str, generation: i32, member: &str) -> SyncGroupRequest {
    let assignment = message!(SyncGroupRequestAssignment {
        member_id: member.into(),
        assignment: vec![1, 2, 3].into(),
    });
    message!(SyncGroupRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: vec![assignment],
    })
}

pub fn heartbeat(group: &str, generation: i32, member: &str) -> HeartbeatRequest {
    message!(HeartbeatRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.into(),
    })
}

/// What a group that does not exist is asked, and what no group accepts.
fn refused(node: &mut Node, known: &Known) {
    for version in [0, 3, 4, 5, 9] {
        known.ask(node, "join: no group", version, &join("", "", None));
        known.ask(node, "join: unknown member", version, &join("none", "stranger", None));
    }
    let mut request = join("none", "", None);
    for timeout in [5_999, 1_800_001, -1] {
        request.session_timeout_ms = timeout;
        known.ask(node, format_args!("join: session of {timeout} ms"), 9, &request);
    }
    let mut request = join("none", "", None);
    request.protocols.clear();
    known.ask(node, "join: no protocols", 3, &request);
    let mut request = join("none", "", None);
    request.protocol_type = "".into();
    known.ask(node, "join: no protocol type", 3, &request);
    known.ask(node, "join: unknown static member", 9, &join("none", "stranger", Some("i")));
    for version in 0..=5 {
        known.ask(node, "sync: no group", version, &sync("", 1, "stranger"));
        known.ask(node, "sync: unknown group", version, &sync("none", 1, "stranger"));
    }
    let mut request = sync("none", 1, "stranger");
    request.protocol_type = None;
    known.ask(node, "sync: no protocol type", 5, &request);
    for version in 0..=4 {
        known.ask(node, "heartbeat: no group", version, &heartbeat("", 1, "stranger"));
        known.ask(node, "heartbeat: unknown group", version, &heartbeat("none", 1, "stranger"));
    }
    known.ask(node, "heartbeat: no member", 4, &heartbeat("none", 1, ""));
    known.ask(node, "heartbeat: negative generation", 4, &heartbeat("none", -1, "stranger"));
    for version in 0..=5 {
        known.ask(node, "leave: no group", version, &leave(version, "", &[("stranger", None)]));
        let request = leave(version, "none", &[("stranger", None)]);
        known.ask(node, "leave: unknown group", version, &request);
    }
}

pub fn leave(version: i16, group: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    if version < 3 {
        let member = members.first().map_or("", |(member, _)| *member);
        return message!(LeaveGroupRequest { group_id: group.into(), member_id: member.into() });
    }
    let members = members.iter().map(|(member, instance)| {
        message!(MemberIdentity {
            member_id: (*member).into(),
            group_instance_id: instance.map(Into::into),
        })
    });
    message!(LeaveGroupRequest { group_id: group.into(), members: members.collect() })
}

/// Joins, and notes the answer with the id that the member has from now on.
fn joined(
    (node, known): (&mut Node, &mut Known),
    what: &str,
    version: i16,
    request: &JoinGroupRequest,
    name: &str,
) -> JoinGroupResponse {
    let answer = node.ask(version, request);
    known.learn(&answer.member_id, name);
    let shown = known.show(&answer);
    node.note(format_args!("{what} v{version}"), shown);
    answer
}

/// One dynamic member from its first request on.
fn dynamic(node: &mut Node, known: &mut Known) {
    let asked = joined((node, known), "join: new member", 9, &join("classic", "", None), "member");
    let member = asked.member_id.to_string();
    known.ask(node, "heartbeat: before joining", 4, &heartbeat("classic", 0, &member));
    known.ask(node, "sync: before joining", 5, &sync("classic", 0, &member));
    joined((node, known), "join: with its id", 9, &join("classic", &member, None), "member");
    let mut stream = join("classic", "", None);
    stream.protocol_type = "connect".into();
    known.ask(node, "join: another protocol type", 9, &stream);
    let mut other = join("classic", "", None);
    other.protocols.truncate(1);
    other.protocols[0].name = "sticky".into();
    known.ask(node, "join: no common protocol", 9, &other);
    known.ask(node, "join: stranger", 9, &join("classic", "stranger", None));
    known.ask(node, "heartbeat: before syncing", 4, &heartbeat("classic", 1, &member));
    known.ask(node, "sync: stranger", 5, &sync("classic", 1, "stranger"));
    for generation in [0, 2, -1] {
        let what = format_args!("sync: generation {generation}");
        known.ask(node, what, 5, &sync("classic", generation, &member));
    }
    let mut wrong = sync("classic", 1, &member);
    wrong.protocol_name = Some("roundrobin".into());
    known.ask(node, "sync: another protocol", 5, &wrong);
    let mut wrong = sync("classic", 1, &member);
    wrong.protocol_type = Some("connect".into());
    known.ask(node, "sync: another protocol type", 5, &wrong);
    let mut wrong = sync("classic", 1, &member);
    wrong.group_instance_id = Some("i".into());
    known.ask(node, "sync: unknown instance", 5, &wrong);
    for version in [5, 3, 0] {
        known.ask(node, "sync: its assignment", version, &sync("classic", 1, &member));
    }
    known.ask(node, "heartbeat: in its generation", 4, &heartbeat("classic", 1, &member));
    for generation in [0, 2, -1] {
        let what = format_args!("heartbeat: generation {generation}");
        known.ask(node, what, 4, &heartbeat("classic", generation, &member));
    }
    known.ask(node, "heartbeat: stranger", 4, &heartbeat("classic", 1, "stranger"));
    // A member whose metadata are the same stays in its generation, unless it leads.
    joined((node, known), "join: the leader again", 5, &join("classic", &member, None), "member");
    known.ask(node, "heartbeat: of the last generation", 4, &heartbeat("classic", 1, &member));
    known.ask(node, "sync: of the next generation", 5, &sync("classic", 2, &member));
}

fn static_member(node: &mut Node, known: &mut Known) {
    let request = join("static", "", Some("i"));
    let first = joined((node, known), "join: static member", 9, &request, "first static");
    let old = first.member_id.to_string();
    known.ask(node, "sync: static member", 5, &sync("static", 1, &old));
    let again = joined((node, known), "join: restarted static member", 9, &request, "static");
    let new = again.member_id.to_string();
    let beat = |generation: i32, member: &str| {
        let mut request = heartbeat("static", generation, member);
        request.group_instance_id = Some("i".into());
        request
    };
    known.ask(node, "heartbeat: fenced static member", 4, &beat(1, &old));
    known.ask(node, "heartbeat: static member", 4, &beat(1, &new));
    known.ask(node, "join: fenced static member", 9, &join("static", &old, Some("i")));
    let mut wrong = sync("static", 1, &old);
    wrong.group_instance_id = Some("i".into());
    known.ask(node, "sync: fenced static member", 5, &wrong);
    known.ask(node, "sync: restarted static member", 5, &sync("static", 1, &new));
}

fn listed(node: &mut Node, known: &Known) {
    for version in 0..=6 {
        let groups = ["classic", "static", "none", ""].map(Into::into);
        let request = message!(DescribeGroupsRequest {
            groups: groups.into(),
            include_authorized_operations: version == 3,
        });
        let mut answer = node.ask(version, &request);
        // Kafka answers in the order of its partitions.
        answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        node.note(format_args!("describe v{version}"), known.show(&answer));
    }
    let filters: [(&[&str], &[&str]); 7] = [
        (&[], &[]),
        (&["Stable"], &[]),
        (&["stable", "Empty"], &[]),
        (&["Unknown"], &[]),
        (&[], &["classic"]),
        (&[], &["Consumer"]),
        (&["Stable"], &["what"]),
    ];
    for version in 0..=5 {
        for (states, types) in filters {
            let known_since = i16::from(!states.is_empty()) * 4;
            if version < known_since.max(i16::from(!types.is_empty()) * 5) {
                continue;
            }
            let request = message!(ListGroupsRequest {
                states_filter: states.iter().map(|state| (*state).into()).collect(),
                types_filter: types.iter().map(|kind| (*kind).into()).collect(),
            });
            let mut answer = node.ask(version, &request);
            answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
            let what = format_args!("list {states:?} {types:?} v{version}");
            node.note(what, known.show(&answer));
        }
    }
}

/// Members leave, and groups are deleted.
fn left(node: &mut Node, known: &mut Known) {
    let delete = |groups: &[&str]| {
        message!(DeleteGroupsRequest { groups_names: groups.iter().map(|g| (*g).into()).collect() })
    };
    let deleted = |node: &mut Node, known: &Known, what: &str, groups: &[&str], version| {
        let mut answer = node.ask(version, &delete(groups));
        answer.results.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        let shown = known.show(&answer);
        node.note(format_args!("delete: {what} v{version}"), shown);
    };
    deleted(node, known, "with members, unknown, and no name", &["classic", "none", ""], 2);
    deleted(node, known, "twice", &["none", "none"], 1);
    let plain = joined((node, known), "join: old member", 3, &join("plain", "", None), "old");
    let member = plain.member_id.to_string();
    known.ask(node, "leave: stranger", 2, &leave(2, "plain", &[("stranger", None)]));
    known.ask(node, "leave: member", 2, &leave(2, "plain", &[(&member, None)]));
    known.ask(node, "heartbeat: after leaving", 4, &heartbeat("plain", 1, &member));
    let request = message!(DescribeGroupsRequest { groups: vec!["plain".into()] });
    known.ask(node, "describe: empty group", 5, &request);
    deleted(node, known, "empty group", &["plain"], 0);
    known.ask(node, "describe: deleted group", 5, &request);
    known.ask(node, "describe: deleted group", 6, &request);
    let several = [("stranger", None), ("", Some("i")), ("stranger", Some("i")), ("", Some("j"))];
    for version in [5, 3] {
        known.ask(node, "leave: several", version, &leave(version, "static", &several));
    }
    known.ask(node, "leave: nobody", 5, &leave(5, "static", &[]));
    deleted(node, known, "group that its static member left", &["static"], 2);
}
