//! Administration: settings of brokers and groups, topics page by page, the cluster, and offsets by
//! every name that ListOffsets has.

use brokerquake::base::config::Compression;
use brokerquake::wire::messages::alter_configs_request::{
    AlterConfigsResource as LegacyResource, AlterableConfig as LegacyConfig,
};
use brokerquake::wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use brokerquake::wire::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use brokerquake::wire::messages::describe_configs_request::DescribeConfigsResource;
use brokerquake::wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use brokerquake::wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use brokerquake::wire::messages::{
    AlterConfigsRequest, DeleteRecordsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeTopicPartitionsRequest, IncrementalAlterConfigsRequest, StrBytes,
};

use super::ask::{Node, error, message};
use super::batches::batch;
use super::configs::shown;
use super::groups::wait_for;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub fn ask(node: &mut Node) {
    settings_of_brokers(node);
    settings_of_groups(node);
    topics_by_page(node);
    cluster(node);
    offsets(node);
    deletions(node);
}

type Operation<'a> = (&'a str, i8, Option<&'a str>);

impl Node {
    fn alter(&mut self, kind: i8, name: &str, operations: &[Operation<'_>]) -> String {
        let config = |(name, operation, value): &Operation<'_>| {
            message!(AlterableConfig {
                name: (*name).into(),
                config_operation: *operation,
                value: value.map(Into::into),
            })
        };
        let resource = message!(AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: operations.iter().map(config).collect(),
        });
        let request = message!(IncrementalAlterConfigsRequest { resources: vec![resource] });
        error(self.ask(1, &request).responses.remove(0).error_code)
    }

    fn note_alteration(&mut self, what: &str, kind: i8, name: &str, asked: &[Operation<'_>]) {
        let answer = self.alter(kind, name, asked);
        self.note(format_args!("alter: {what}"), answer);
    }

    fn replace(&mut self, kind: i8, name: &str, pairs: &[(&str, &str)]) -> String {
        let config = |(name, value): &(&str, &str)| {
            message!(LegacyConfig { name: (*name).into(), value: Some((*value).into()) })
        };
        let resource = message!(LegacyResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: pairs.iter().map(config).collect(),
        });
        let request = message!(AlterConfigsRequest { resources: vec![resource] });
        error(self.ask(2, &request).responses.remove(0).error_code)
    }

    /// One setting as it is shown, once the node has taken up what was changed.
    fn note_shown(&mut self, what: &str, kind: i8, name: &str, keys: &[&str]) {
        std::thread::sleep(std::time::Duration::from_millis(700));
        let names = (!keys.is_empty()).then(|| keys.iter().map(|key| StrBytes::from(*key)));
        let resource = message!(DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: names.map(Iterator::collect),
        });
        let request = message!(DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            include_documentation: true,
        });
        let answer = self.ask(4, &request).results.remove(0);
        if answer.error_code != 0 {
            self.note(format_args!("shown: {what}"), error(answer.error_code));
        }
        for config in &answer.configs {
            self.note(format_args!("shown: {what}: {}", &*config.name), shown(config));
        }
    }
}

fn settings_of_brokers(node: &mut Node) {
    node.create("admin-inherits", 1, &[]);
    let ms = "log.segment.delete.delay.ms";
    for (what, name, operations) in [
        ("one broker", "1", &[(ms, SET, Some("5000"))][..]),
        ("one broker, threads", "1", &[("log.cleaner.threads", SET, Some("2"))][..]),
        ("one broker, appended", "1", &[("log.cleanup.policy", APPEND, Some("compact"))][..]),
        ("one broker, subtracted", "1", &[("log.cleanup.policy", SUBTRACT, Some("delete"))][..]),
        ("one broker, deleted", "1", &[("log.cleanup.policy", DELETE, None)][..]),
        ("one broker, not a list", "1", &[(ms, APPEND, Some("1"))][..]),
        ("one broker, not dynamic", "1", &[("num.partitions", SET, Some("3"))][..]),
        ("one broker, its identity", "1", &[("node.id", SET, Some("3"))][..]),
        ("one broker, too small", "1", &[(ms, SET, Some("-1"))][..]),
        ("one broker, no number", "1", &[(ms, SET, Some("soon"))][..]),
        ("one broker, null", "1", &[(ms, SET, None)][..]),
        ("one broker, min ISR with ELR", "1", &[("min.insync.replicas", SET, Some("1"))][..]),
        ("one broker, no operation", "1", &[(ms, 9, Some("1"))][..]),
        ("one broker, a key twice", "1", &[(ms, SET, Some("1")), (ms, SET, Some("2"))][..]),
        (
            "one broker, threads by far too many",
            "1",
            &[("log.cleaner.threads", SET, Some("200"))][..],
        ),
        ("other broker", "7", &[(ms, SET, Some("5000"))][..]),
        ("broker without a number", "one", &[(ms, SET, Some("5000"))][..]),
        ("negative broker", "-2", &[(ms, SET, Some("5000"))][..]),
        (
            "all brokers",
            "",
            &[(ms, SET, Some("7000")), ("log.retention.bytes", SET, Some("99000"))][..],
        ),
        ("all brokers, not dynamic", "", &[("num.partitions", SET, Some("3"))][..]),
        ("all brokers, min ISR removed with ELR", "", &[("min.insync.replicas", DELETE, None)][..]),
        ("all brokers, connections", "", &[("max.connections.per.ip", SET, Some("77"))][..]),
    ] {
        node.note_alteration(what, BROKER, name, operations);
    }
    let keys = [ms, "log.cleaner.threads", "log.retention.bytes", "max.connections.per.ip"];
    node.note_shown("one broker over all brokers", BROKER, "1", &keys);
    node.note_shown("all brokers", BROKER, "", &keys);
    let keys = ["file.delete.delay.ms", "retention.bytes", "retention.ms"];
    node.note_shown("topic below both", TOPIC, "admin-inherits", &keys);
    let own = [("file.delete.delay.ms", SET, Some("3000"))];
    node.note_alteration("topic over both", TOPIC, "admin-inherits", &own);
    node.note_shown("topic over both", TOPIC, "admin-inherits", &["file.delete.delay.ms"]);
    let answer = node.replace(BROKER, "1", &[("log.cleaner.backoff.ms", "14000")]);
    node.note("replace: one broker", answer);
    let keys = [ms, "log.cleaner.threads", "log.cleaner.backoff.ms"];
    node.note_shown("one broker, replaced", BROKER, "1", &keys);
    let answer = node.replace(BROKER, "1", &[("num.partitions", "3")]);
    node.note("replace: one broker, not dynamic", answer);
    let answer = node.replace(BROKER, "7", &[("log.cleaner.backoff.ms", "14000")]);
    node.note("replace: other broker", answer);
    let answer = node.replace(BROKER, "1", &[]);
    node.note("replace: one broker, by nothing", answer);
    let all = [ms, "log.retention.bytes", "max.connections.per.ip"].map(|key| (key, DELETE, None));
    node.note_alteration("all brokers, deleted", BROKER, "", &all);
    node.note_shown("one broker, all removed", BROKER, "1", &[ms, "log.cleaner.threads"]);
    node.note_alteration("kind 3", 3, "x", &[(ms, SET, Some("1"))]);
}

fn settings_of_groups(node: &mut Node) {
    let (session, heartbeat) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    for (what, name, operations) in [
        ("group", "shop", &[(heartbeat, SET, Some("6000"))][..]),
        (
            "group, both",
            "shop",
            &[(session, SET, Some("50000")), (heartbeat, SET, Some("7000"))][..],
        ),
        ("group, session too short", "shop", &[(session, SET, Some("44999"))][..]),
        ("group, session too long", "shop", &[(session, SET, Some("60001"))][..]),
        ("group, interval too short", "shop", &[(heartbeat, SET, Some("4999"))][..]),
        ("group, interval too long", "shop", &[(heartbeat, SET, Some("15001"))][..]),
        ("group, no number", "shop", &[(heartbeat, SET, Some("often"))][..]),
        ("group, null", "shop", &[(heartbeat, SET, None)][..]),
        ("group, appended", "shop", &[(heartbeat, APPEND, Some("1"))][..]),
        ("group, unknown key", "shop", &[("consumer.heartbeat.ms", SET, Some("6000"))][..]),
        ("group, of a topic", "shop", &[("retention.ms", SET, Some("6000"))][..]),
        ("group without a name", "", &[(heartbeat, SET, Some("6000"))][..]),
        (
            "group, assignment",
            "shop",
            &[("consumer.assignment.interval.ms", SET, Some("2000"))][..],
        ),
        ("group that is not there, removed", "none", &[(heartbeat, DELETE, None)][..]),
    ] {
        node.note_alteration(what, GROUP, name, operations);
    }
    let keys = [session, heartbeat, "consumer.assignment.interval.ms"];
    node.note_shown("group", GROUP, "shop", &keys);
    node.note_shown("group without settings", GROUP, "stall", &keys);
    node.note_shown("group without a name", GROUP, "", &keys);
    node.note_shown("group, unknown key", GROUP, "shop", &["retention.ms"]);
    let answer = node.replace(GROUP, "shop", &[(session, "48000")]);
    node.note("replace: group", answer);
    node.note_shown("group, replaced", GROUP, "shop", &[session, heartbeat]);
    let answer = node.replace(GROUP, "shop", &[(session, "1")]);
    node.note("replace: group, too short", answer);
    node.note_alteration(
        "group, interval once more",
        GROUP,
        "shop",
        &[(heartbeat, SET, Some("9000"))],
    );
    std::thread::sleep(std::time::Duration::from_millis(700));
    for (group, what) in [("shop", "group with an interval"), ("stall", "group without one")] {
        let answer = node.join_consumers(group);
        node.note(format_args!("heartbeat: {what}"), answer);
    }
}

impl Node {
    /// Joins a group of the consumer protocol; returns how often it is to send a heartbeat.
    fn join_consumers(&mut self, group: &str) -> String {
        let request = message!(ConsumerGroupHeartbeatRequest {
            group_id: group.into(),
            member_id: "m1".into(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["admin-inherits".into()]),
            topic_partitions: Some(Vec::new()),
        });
        wait_for(self, group);
        let answer = self.ask(1, &request);
        format!("{} {}", error(answer.error_code), answer.heartbeat_interval_ms)
    }
}

fn topics_by_page(node: &mut Node) {
    node.create("page-a", 3, &[]);
    node.create("page-b", 2, &[]);
    for (what, topics, limit, cursor) in [
        ("both", &["page-b", "page-a"][..], 2000, None),
        ("one at a time", &["page-a", "page-b"][..], 1, None),
        ("four at a time", &["page-a", "page-b"][..], 4, None),
        ("exactly a topic", &["page-a", "page-b"][..], 3, None),
        ("behind a partition", &["page-a", "page-b"][..], 2000, Some(("page-a", 2))),
        ("behind all partitions", &["page-a", "page-b"][..], 2000, Some(("page-a", 3))),
        ("from the next topic", &["page-a", "page-b"][..], 2000, Some(("page-b", 0))),
        ("cursor between topics", &["page-a", "page-b"][..], 2000, Some(("page-aa", 1))),
        ("cursor behind all", &["page-a"][..], 2000, Some(("page-z", 0))),
        ("cursor at a topic that is not asked", &["page-b"][..], 2000, Some(("page-a", 1))),
        ("negative cursor", &["page-a"][..], 2000, Some(("page-a", -1))),
        ("unknown", &["page-none"][..], 2000, None),
        ("unknown beside known", &["page-none", "page-a"][..], 2000, None),
        ("invalid", &["page a"][..], 2000, None),
        ("empty name", &[""][..], 2000, None),
        ("twice", &["page-b", "page-b"][..], 2000, None),
        ("no limit", &["page-b"][..], 0, None),
        ("negative limit", &["page-b"][..], -1, None),
    ] {
        let topic = |name: &&str| message!(TopicRequest { name: (*name).into() });
        let at = |(topic, partition): (&str, i32)| {
            message!(Cursor { topic_name: topic.into(), partition_index: partition })
        };
        let request = message!(DescribeTopicPartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            response_partition_limit: limit,
            cursor: cursor.map(at),
        });
        let Some(answer) = node.try_ask(0, &request) else {
            node.note(format_args!("pages: {what}"), "closed");
            continue;
        };
        let mut told = Vec::new();
        for topic in &answer.topics {
            let name = topic.name.as_ref().map_or("null", |name| name.as_str());
            let partitions: Vec<_> = topic
                .partitions
                .iter()
                .map(|p| {
                    format!(
                        "{} {} leader {} in {} of {:?} isr {:?} elr {:?} was {:?} off {:?}",
                        p.partition_index,
                        error(p.error_code),
                        p.leader_id,
                        p.leader_epoch,
                        p.replica_nodes,
                        p.isr_nodes,
                        p.eligible_leader_replicas,
                        p.last_known_elr,
                        p.offline_replicas
                    )
                })
                .collect();
            told.push(format!(
                "{name} {} internal {} operations {} [{}]",
                error(topic.error_code),
                topic.is_internal,
                topic.topic_authorized_operations,
                partitions.join("; ")
            ));
        }
        let next = answer.next_cursor.as_ref().map_or_else(
            || "end".to_owned(),
            |cursor| format!("next {} {}", cursor.topic_name.as_str(), cursor.partition_index),
        );
        node.note(format_args!("pages: {what}"), format!("{} {next}", told.join(" | ")));
    }
}

fn cluster(node: &mut Node) {
    for (version, endpoint, fenced) in
        [(0, 1, false), (1, 1, false), (1, 2, false), (1, 0, false), (2, 1, true), (2, 1, false)]
    {
        let request = message!(DescribeClusterRequest {
            endpoint_type: endpoint,
            include_fenced_brokers: fenced,
            include_cluster_authorized_operations: true,
        });
        let what = format!("cluster: version {version}, type {endpoint}, fenced {fenced}");
        let Some(answer) = node.try_ask(version, &request) else {
            node.note(what, "closed");
            continue;
        };
        let brokers: Vec<_> =
            answer.brokers.iter().map(|b| (b.broker_id, b.rack.clone(), b.is_fenced)).collect();
        node.note(
            what,
            format!(
                "{} type {} controller {} {brokers:?} operations {}",
                error(answer.error_code),
                answer.endpoint_type,
                answer.controller_id,
                answer.cluster_authorized_operations
            ),
        );
    }
}

fn offsets(node: &mut Node) {
    node.create("admin-offsets", 1, &[]);
    for (first, times) in [(0, [50, 90]), (2, [70, 60])] {
        let produced = node.produce("admin-offsets", batch(Compression::None, &times));
        assert_eq!((produced.error_code, produced.base_offset), (0, first));
    }
    for time in [-1, -2, -3, -4, -5, -6, -7, 0, 60, 80, 91] {
        let (code, offset, timestamp, epoch) = node.list("admin-offsets", 0, time);
        node.note(
            format_args!("offset: {time}"),
            format!("{code} {offset} at {timestamp} in {epoch}"),
        );
    }
    for (what, topic, partition) in [
        ("unknown topic", "admin-none", 0),
        ("unknown partition", "admin-offsets", 9),
        ("negative partition", "admin-offsets", -1),
    ] {
        let (code, offset, ..) = node.list(topic, partition, -1);
        node.note(format_args!("offset: {what}"), format!("{code} {offset}"));
    }
}

fn deletions(node: &mut Node) {
    for (what, topic, partition, offset) in [
        ("below an offset", "admin-offsets", 0, 1),
        ("below an earlier one", "admin-offsets", 0, 0),
        ("beyond the end", "admin-offsets", 0, 5),
        ("below -2", "admin-offsets", 0, -2),
        ("all", "admin-offsets", 0, -1),
        ("unknown topic", "admin-none", 0, 1),
        ("unknown partition", "admin-offsets", 9, 1),
        ("invalid topic", "a b", 0, 1),
    ] {
        let partition =
            message!(DeleteRecordsPartition { partition_index: partition, offset: offset });
        let topic =
            message!(DeleteRecordsTopic { name: topic.into(), partitions: vec![partition] });
        let request = message!(DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 });
        let answer = node.ask(2, &request).topics.remove(0).partitions.remove(0);
        node.note(
            format_args!("delete records: {what}"),
            format!("{} {}", error(answer.error_code), answer.low_watermark),
        );
    }
    for time in [-1, -2, -3, -4] {
        let (code, offset, timestamp, epoch) = node.list("admin-offsets", 0, time);
        node.note(
            format_args!("offset of an empty log: {time}"),
            format!("{code} {offset} at {timestamp} in {epoch}"),
        );
    }
}
