//! AlterConfigs and IncrementalAlterConfigs: settings of topics, brokers and groups, legal and illegal, and
//! how they are shown afterwards.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use brokerquake::wire::messages::alter_configs_request::{
    AlterConfigsResource as ReplacedResource, AlterableConfig as ReplacedConfig,
};
use brokerquake::wire::messages::describe_configs_request::DescribeConfigsResource;
use brokerquake::wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use brokerquake::wire::messages::{
    AlterConfigsRequest, ConsumerGroupHeartbeatRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, StrBytes,
};

use super::ask::{Node, error, message};
use super::configs::{BROKER, TOPIC, shown};
use super::groups::wait_for;

const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Key, operation, value.
type Operation<'a> = (&'a str, i8, Option<&'a str>);

/// Type, name, operations.
type Resource<'a> = (i8, &'a str, &'a [Operation<'a>]);

pub fn ask(node: &mut Node) {
    for topic in ["altered", "altered-other", "altered-inherits", "altered-marker"] {
        node.create(topic, 1, &[]);
    }
    topics(node);
    several(node);
    brokers(node);
    groups(node);
    others(node);
}

/// Error and whether there is a text, of one resource.
fn refused(kind: i8, name: &str, code: i16, text: Option<&StrBytes>) -> String {
    let text = match text {
        None => "null",
        Some(text) if text.is_empty() => "empty",
        Some(_) => "a text",
    };
    format!("{kind} {name:?} {} {text}", error(code))
}

/// The answers of all resources: a broker may give them in any order.
fn in_order(answers: impl Iterator<Item = String>) -> String {
    let mut answers: Vec<String> = answers.collect();
    answers.sort();
    answers.join(", ")
}

impl Node {
    fn alter(&mut self, version: i16, validate_only: bool, resources: &[Resource<'_>]) -> String {
        let config = |(name, operation, value): &Operation<'_>| {
            message!(AlterableConfig {
                name: (*name).into(),
                config_operation: *operation,
                value: value.map(Into::into),
            })
        };
        let resource = |(kind, name, operations): &Resource<'_>| {
            message!(AlterConfigsResource {
                resource_type: *kind,
                resource_name: (*name).into(),
                configs: operations.iter().map(config).collect(),
            })
        };
        let request = message!(IncrementalAlterConfigsRequest {
            resources: resources.iter().map(resource).collect(),
            validate_only: validate_only,
        });
        let Some(answer) = self.try_ask(version, &request) else { return "closed".to_owned() };
        let answers = answer.responses.iter().map(|of| {
            let text = of.error_message.as_ref();
            refused(of.resource_type, &of.resource_name, of.error_code, text)
        });
        in_order(answers)
    }

    fn replace(&mut self, version: i16, validate_only: bool, resources: &[Resource<'_>]) -> String {
        let config = |(name, _, value): &Operation<'_>| {
            message!(ReplacedConfig { name: (*name).into(), value: value.map(Into::into) })
        };
        let resource = |(kind, name, operations): &Resource<'_>| {
            message!(ReplacedResource {
                resource_type: *kind,
                resource_name: (*name).into(),
                configs: operations.iter().map(config).collect(),
            })
        };
        let request = message!(AlterConfigsRequest {
            resources: resources.iter().map(resource).collect(),
            validate_only: validate_only,
        });
        let Some(answer) = self.try_ask(version, &request) else { return "closed".to_owned() };
        let answers = answer.responses.iter().map(|of| {
            let text = of.error_message.as_ref();
            refused(of.resource_type, &of.resource_name, of.error_code, text)
        });
        in_order(answers)
    }

    /// Alters one resource, and notes the answer and what it sets itself from then on.
    fn note_alteration(&mut self, what: &str, resource: Resource<'_>) {
        let answer = self.alter(1, false, &[resource]);
        self.note_change(format_args!("alter {what}"), &answer, resource);
    }

    /// The same for AlterConfigs.
    fn note_replacement(&mut self, what: &str, resource: Resource<'_>) {
        let answer = self.replace(2, false, &[resource]);
        self.note_change(format_args!("replace {what}"), &answer, resource);
    }

    fn note_change(&mut self, what: impl Display, answer: &str, resource: Resource<'_>) {
        if answer.contains("NONE") {
            self.settle(resource.0);
        }
        let settings = self.settings(resource);
        self.note(what, format!("{answer}; {settings}"));
    }

    /// What a resource sets itself.
    fn settings(&mut self, (kind, name, _): Resource<'_>) -> String {
        if kind != BROKER && kind != TOPIC && kind != GROUP {
            return "not shown".to_owned();
        }
        let source = match (kind, name) {
            (TOPIC, _) => 1,
            (BROKER, "") => 3,
            (BROKER, _) => 2,
            _ => 8,
        };
        let mut own = Vec::new();
        for config in self.described(kind, name, None) {
            // A formatted Kafka node has it for all brokers, for the ELR (KIP-966).
            let of_elr = kind == BROKER && *config.name == *"min.insync.replicas";
            if config.config_source == source && !of_elr {
                let value = config.value.as_ref().map_or("null", |value| value.as_str());
                own.push(format!("{}={value}", config.name.as_str()));
            }
        }
        own.sort();
        format!("{own:?}")
    }

    fn described(
        &mut self,
        kind: i8,
        name: &str,
        keys: Option<&[&str]>,
    ) -> Vec<brokerquake::wire::messages::describe_configs_response::DescribeConfigsResourceResult>
    {
        let resource = message!(DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
        });
        let request = message!(DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            include_documentation: true,
        });
        self.ask(4, &request).results.remove(0).configs
    }

    /// Waits until the broker has what the controller decided: the metadata are one log.
    fn settle(&mut self, kind: i8) {
        static MARKS: AtomicU32 = AtomicU32::new(1);
        let mark = MARKS.fetch_add(1, Ordering::Relaxed).to_string();
        let set = [("retention.ms", SET, Some(mark.as_str()))];
        self.alter(1, false, &[(TOPIC, "altered-marker", &set)]);
        for _ in 0..400 {
            let marker = self.described(TOPIC, "altered-marker", Some(&["retention.ms"]));
            if marker.iter().any(|config| config.value.as_deref() == Some(&*mark)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if kind == BROKER {
            // Kafka shows them once each of its parts has them.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn note_shown(&mut self, what: &str, kind: i8, name: &str, keys: &[&str]) {
        self.settle(kind);
        for config in self.described(kind, name, Some(keys)) {
            self.note(format_args!("shown {what}: {}", &*config.name), shown(&config));
        }
    }
}

fn topics(node: &mut Node) {
    let (ms, list) = ("retention.ms", "cleanup.policy");
    let cases: &[(&str, &str, &[Operation<'_>])] = &[
        ("topic: set", "altered", &[(ms, SET, Some("5000"))]),
        ("topic: the same again", "altered", &[(ms, SET, Some("5000"))]),
        ("topic: no operations", "altered", &[]),
        ("topic: null", "altered", &[(ms, SET, None)]),
        ("topic: empty", "altered", &[(ms, SET, Some(""))]),
        ("topic: too small", "altered", &[(ms, SET, Some("-2"))]),
        ("topic: no number", "altered", &[(ms, SET, Some("soon"))]),
        ("topic: spaces", "altered", &[(ms, SET, Some(" 6000 "))]),
        ("topic: unknown key", "altered", &[("retention.msec", SET, Some("1"))]),
        ("topic: empty key", "altered", &[("", SET, Some("1"))]),
        ("topic: a key of brokers", "altered", &[("log.retention.ms", SET, Some("1"))]),
        ("topic: unknown operation", "altered", &[(ms, 4, Some("1"))]),
        ("topic: negative operation", "altered", &[(ms, -1, Some("1"))]),
        ("topic: a key twice", "altered", &[(ms, SET, Some("1")), (ms, SET, Some("2"))]),
        ("topic: set and deleted", "altered", &[(ms, SET, Some("1")), (ms, DELETE, None)]),
        (
            "topic: one good, one bad",
            "altered",
            &[("segment.ms", SET, Some("7000")), (ms, SET, Some("-2"))],
        ),
        ("topic: append to a number", "altered", &[(ms, APPEND, Some("1"))]),
        ("topic: subtract from a number", "altered", &[(ms, SUBTRACT, Some("5000"))]),
        ("topic: append to an unknown key", "altered", &[("retention.msec", APPEND, Some("1"))]),
        ("topic: append null", "altered", &[(list, APPEND, None)]),
        ("topic: append to a default", "altered", &[(list, APPEND, Some("compact"))]),
        ("topic: append it again", "altered", &[(list, APPEND, Some("compact"))]),
        ("topic: append two", "altered", &[(list, APPEND, Some("delete,compact"))]),
        ("topic: append what is unknown", "altered", &[(list, APPEND, Some("keep"))]),
        ("topic: subtract what is not there", "altered", &[(list, SUBTRACT, Some("keep"))]),
        ("topic: subtract with spaces", "altered", &[(list, SUBTRACT, Some(" compact "))]),
        ("topic: subtract", "altered", &[(list, SUBTRACT, Some("compact"))]),
        ("topic: subtract the last", "altered", &[(list, SUBTRACT, Some("delete"))]),
        ("topic: append to an empty list", "altered", &[(list, APPEND, Some("compact"))]),
        ("topic: append nothing", "altered", &[(list, APPEND, Some(""))]),
        ("topic: a list with spaces", "altered", &[(list, SET, Some(" compact , delete "))]),
        ("topic: append to it", "altered", &[(list, APPEND, Some("delete"))]),
        ("topic: subtract from it", "altered", &[(list, SUBTRACT, Some("delete"))]),
        ("topic: delete a list", "altered", &[(list, DELETE, None)]),
        ("topic: subtract from a default", "altered", &[(list, SUBTRACT, Some("delete"))]),
        ("topic: delete with a value", "altered", &[(ms, DELETE, Some("9"))]),
        ("topic: delete what is not set", "altered", &[(ms, DELETE, None)]),
        ("topic: delete an unknown key", "altered", &[("retention.msec", DELETE, None)]),
        (
            "topic: lags crossed",
            "altered",
            &[("min.compaction.lag.ms", SET, Some("8")), ("max.compaction.lag.ms", SET, Some("7"))],
        ),
        ("topic: remote storage", "altered", &[("remote.storage.enable", SET, Some("true"))]),
        ("topic: min ISR", "altered", &[("min.insync.replicas", SET, Some("2"))]),
        ("topic: unknown", "altered-none", &[(ms, SET, Some("1"))]),
        ("topic: unknown, no operations", "altered-none", &[]),
        ("topic: unknown, bad value", "altered-none", &[(ms, SET, Some("-2"))]),
        ("topic: invalid name", "a b", &[(ms, SET, Some("1"))]),
        ("topic: no name", "", &[(ms, SET, Some("1"))]),
        ("topic: no name, deleted", "", &[(ms, DELETE, None)]),
    ];
    for (what, name, operations) in cases {
        node.note_alteration(what, (TOPIC, name, operations));
    }
    for (what, name, operations) in [
        ("topic: one", "altered-other", &[(ms, SET, Some("5000"))][..]),
        ("topic: another", "altered-other", &[("segment.ms", SET, Some("7000"))][..]),
        ("topic: bad", "altered-other", &[("segment.ms", SET, Some("-1"))][..]),
        ("topic: null", "altered-other", &[("segment.ms", SET, None)][..]),
        ("topic: unknown key", "altered-other", &[("segment.msec", SET, Some("1"))][..]),
        ("topic: a key twice", "altered-other", &[(ms, SET, Some("1")), (ms, SET, Some("2"))][..]),
        ("topic: unknown", "altered-none", &[(ms, SET, Some("1"))][..]),
        ("topic: by nothing", "altered-other", &[][..]),
    ] {
        node.note_replacement(what, (TOPIC, name, operations));
    }
}

/// Several resources of one request, checks that change nothing, and older versions.
fn several(node: &mut Node) {
    let good: &[Operation<'_>] = &[("segment.ms", SET, Some("8000"))];
    let bad: &[Operation<'_>] = &[("segment.ms", SET, Some("-1"))];
    let requests: &[(&str, &[Resource<'_>])] = &[
        ("nothing", &[]),
        ("a topic twice", &[(TOPIC, "altered", good), (TOPIC, "altered", good)]),
        (
            "a topic twice, and another",
            &[(TOPIC, "altered", good), (TOPIC, "altered-other", good), (TOPIC, "altered", bad)],
        ),
        ("good and bad", &[(TOPIC, "altered", bad), (TOPIC, "altered-other", good)]),
        ("an unknown topic twice", &[(TOPIC, "altered-none", good), (TOPIC, "altered-none", good)]),
        (
            "topic, broker and group",
            &[
                (TOPIC, "altered", bad),
                (BROKER, "1", &[("num.partitions", SET, Some("3"))]),
                (GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("1"))]),
            ],
        ),
        ("a broker twice", &[(BROKER, "1", &[]), (BROKER, "1", &[])]),
    ];
    for (what, resources) in requests {
        let answer = node.alter(1, true, resources);
        node.note(format_args!("check: {what}"), answer);
        let answer = node.replace(2, true, resources);
        node.note(format_args!("check a replacement: {what}"), answer);
    }
    let good: Resource<'_> = (TOPIC, "altered", good);
    let settings = node.settings(good);
    node.note("after the checks", settings);
    let (first, second) = (node.alter(0, true, &[good]), node.replace(0, true, &[good]));
    node.note("check: in version 0", format!("{first}; {second}"));
}

fn brokers(node: &mut Node) {
    let (ms, list) = ("log.segment.delete.delay.ms", "log.cleanup.policy");
    let cases: &[(&str, &str, &[Operation<'_>])] = &[
        ("one broker: set", "1", &[(ms, SET, Some("5000"))]),
        ("one broker: threads", "1", &[("log.cleaner.threads", SET, Some("2"))]),
        ("one broker: append", "1", &[(list, APPEND, Some("compact"))]),
        ("one broker: subtract", "1", &[(list, SUBTRACT, Some("delete"))]),
        ("one broker: delete a list", "1", &[(list, DELETE, None)]),
        ("one broker: append to a number", "1", &[(ms, APPEND, Some("1"))]),
        ("one broker: append to an unknown key", "1", &[("log.none", APPEND, Some("1"))]),
        ("one broker: not dynamic", "1", &[("num.partitions", SET, Some("3"))]),
        ("one broker: its identity", "1", &[("node.id", SET, Some("3"))]),
        ("one broker: unknown key", "1", &[("log.none", SET, Some("3"))]),
        ("one broker: unknown key deleted", "1", &[("log.none", DELETE, None)]),
        ("one broker: a key of topics", "1", &[("retention.ms", SET, Some("3"))]),
        ("one broker: a key of topics deleted", "1", &[("retention.ms", DELETE, None)]),
        ("one broker: too small", "1", &[(ms, SET, Some("-1"))]),
        ("one broker: no number", "1", &[(ms, SET, Some("soon"))]),
        ("one broker: null", "1", &[(ms, SET, None)]),
        ("one broker: unknown operation", "1", &[(ms, 9, Some("1"))]),
        ("one broker: a key twice", "1", &[(ms, SET, Some("1")), (ms, SET, Some("2"))]),
        ("one broker: min ISR with ELR", "1", &[("min.insync.replicas", SET, Some("1"))]),
        ("one broker: far too many threads", "1", &[("log.cleaner.threads", SET, Some("200"))]),
        ("one broker: no threads", "1", &[("log.cleaner.threads", SET, Some("0"))]),
        ("one broker: for all only", "1", &[("max.connections.per.ip", SET, Some("77"))]),
        ("one broker: no operations", "1", &[]),
        ("other broker", "7", &[(ms, SET, Some("5000"))]),
        ("other broker: no operations", "7", &[]),
        ("broker 01", "01", &[(ms, SET, Some("5000"))]),
        ("broker without a number", "one", &[(ms, SET, Some("5000"))]),
        ("negative broker", "-2", &[(ms, SET, Some("5000"))]),
        (
            "all brokers: two keys",
            "",
            &[(ms, SET, Some("7000")), ("log.retention.bytes", SET, Some("99000"))],
        ),
        ("all brokers: not dynamic", "", &[("num.partitions", SET, Some("3"))]),
        ("all brokers: for one only", "", &[("listeners", SET, Some("PLAINTEXT://:9"))]),
        ("all brokers: min ISR removed with ELR", "", &[("min.insync.replicas", DELETE, None)]),
        ("all brokers: connections", "", &[("max.connections.per.ip", SET, Some("77"))]),
        ("all brokers: too small", "", &[("log.retention.bytes", SET, Some("-5"))]),
        ("all brokers: append", "", &[(list, APPEND, Some("compact"))]),
        ("all brokers: delete a list", "", &[(list, DELETE, None)]),
    ];
    for (what, name, operations) in cases {
        node.note_alteration(what, (BROKER, name, operations));
    }
    let keys = [ms, "log.cleaner.threads", "log.retention.bytes", "max.connections.per.ip"];
    node.note_shown("one broker over all brokers", BROKER, "1", &keys);
    node.note_shown("all brokers", BROKER, "", &keys);
    let keys = ["file.delete.delay.ms", "retention.bytes", "retention.ms"];
    node.note_shown("topic below both", TOPIC, "altered-inherits", &keys);
    let own: &[Operation<'_>] = &[("file.delete.delay.ms", SET, Some("3000"))];
    node.note_alteration("topic over both", (TOPIC, "altered-inherits", own));
    node.note_shown("topic over both", TOPIC, "altered-inherits", &["file.delete.delay.ms"]);
    for (what, name, operations) in [
        ("one broker", "1", &[("log.cleaner.backoff.ms", SET, Some("14000"))][..]),
        ("one broker: not dynamic", "1", &[("num.partitions", SET, Some("3"))][..]),
        ("other broker", "7", &[("log.cleaner.backoff.ms", SET, Some("14000"))][..]),
        ("one broker: by nothing", "1", &[][..]),
    ] {
        node.note_replacement(what, (BROKER, name, operations));
    }
    let all = [ms, "log.retention.bytes", "max.connections.per.ip"].map(|key| (key, DELETE, None));
    node.note_alteration("all brokers: delete", (BROKER, "", &all));
}

fn groups(node: &mut Node) {
    let (session, heartbeat) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    let cases: &[(&str, &str, &[Operation<'_>])] = &[
        ("group: set", "shop", &[(heartbeat, SET, Some("6000"))]),
        (
            "group: two keys",
            "shop",
            &[(session, SET, Some("50000")), (heartbeat, SET, Some("7000"))],
        ),
        ("group: session too short", "shop", &[(session, SET, Some("44999"))]),
        ("group: session too long", "shop", &[(session, SET, Some("60001"))]),
        ("group: interval too short", "shop", &[(heartbeat, SET, Some("4999"))]),
        ("group: interval too long", "shop", &[(heartbeat, SET, Some("15001"))]),
        ("group: no number", "shop", &[(heartbeat, SET, Some("often"))]),
        ("group: null", "shop", &[(heartbeat, SET, None)]),
        ("group: append to a number", "shop", &[(heartbeat, APPEND, Some("1"))]),
        ("group: unknown key", "shop", &[("consumer.heartbeat.ms", SET, Some("6000"))]),
        ("group: a key of topics", "shop", &[("retention.ms", SET, Some("6000"))]),
        ("group: a key of brokers", "shop", &[("group.consumer.max.size", SET, Some("6000"))]),
        ("group: unknown key deleted", "shop", &[("consumer.heartbeat.ms", DELETE, None)]),
        ("group: no name", "", &[(heartbeat, SET, Some("6000"))]),
        ("group: no operations", "shop", &[]),
        ("group: assignment", "shop", &[("consumer.assignment.interval.ms", SET, Some("2000"))]),
        (
            "group: assignment too long",
            "shop",
            &[("consumer.assignment.interval.ms", SET, Some("15001"))],
        ),
        ("group: share session", "shop", &[("share.session.timeout.ms", SET, Some("50000"))]),
        ("group: share reset", "shop", &[("share.auto.offset.reset", SET, Some("earliest"))]),
        ("group: streams standbys", "shop", &[("streams.num.standby.replicas", SET, Some("1"))]),
        (
            "group: of others deleted",
            "shop",
            &[
                ("share.session.timeout.ms", DELETE, None),
                ("share.auto.offset.reset", DELETE, None),
                ("streams.num.standby.replicas", DELETE, None),
            ],
        ),
        ("group: not there, deleted", "none", &[(heartbeat, DELETE, None)]),
    ];
    for (what, name, operations) in cases {
        node.note_alteration(what, (GROUP, name, operations));
    }
    let keys = [session, heartbeat, "consumer.assignment.interval.ms"];
    node.note_shown("group", GROUP, "shop", &keys);
    node.note_shown("group without settings", GROUP, "stall", &keys);
    node.note_shown("group, unknown key", GROUP, "shop", &["retention.ms"]);
    for config in node.described(GROUP, "all-keys", None) {
        node.note(format_args!("shown of a group: {}", &*config.name), shown(&config));
    }
    for (what, name, operations) in [
        ("group", "shop", &[(session, SET, Some("48000"))][..]),
        ("group: too short", "shop", &[(session, SET, Some("1"))][..]),
        ("group: no name", "", &[(session, SET, Some("48000"))][..]),
    ] {
        node.note_replacement(what, (GROUP, name, operations));
    }
    node.note_alteration("group: interval", (GROUP, "shop", &[(heartbeat, SET, Some("9000"))]));
    for group in ["shop", "stall"] {
        wait_for(node, group);
        let request = message!(ConsumerGroupHeartbeatRequest {
            group_id: group.into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["altered".into()]),
            topic_partitions: Some(Vec::new()),
        });
        let answer = node.ask(1, &request);
        let answer = format!("{} {} ms", error(answer.error_code), answer.heartbeat_interval_ms);
        node.note(format_args!("interval of {group}"), answer);
    }
}

/// Kinds of resources that are rare, or that there are not.
fn others(node: &mut Node) {
    const LOGGER: i8 = 8;
    const METRICS: i8 = 16;
    let cases: &[(&str, Resource<'_>)] = &[
        ("kind 0", (0, "x", &[("a", SET, Some("1"))])),
        ("kind 1", (1, "x", &[("a", SET, Some("1"))])),
        ("kind 3", (3, "x", &[("a", SET, Some("1"))])),
        ("kind 127", (127, "x", &[("a", SET, Some("1"))])),
        ("kind 3, no operations", (3, "x", &[])),
        ("share session too short", (GROUP, "g", &[("share.session.timeout.ms", SET, Some("1"))])),
        ("wrong share reset", (GROUP, "g", &[("share.auto.offset.reset", SET, Some("now"))])),
        ("logger: no logger", (LOGGER, "1", &[("no.such.logger", SET, Some("INFO"))])),
        ("logger: other broker", (LOGGER, "7", &[("root", SET, Some("INFO"))])),
        ("metrics: unknown key", (METRICS, "m", &[("a", SET, Some("1"))])),
        ("metrics: no name", (METRICS, "", &[("interval.ms", SET, Some("1000"))])),
    ];
    for (what, resource) in cases {
        let answer = node.alter(1, true, &[*resource]);
        node.note(format_args!("check: {what}"), answer);
        let answer = node.replace(2, true, &[*resource]);
        node.note(format_args!("check a replacement: {what}"), answer);
    }
}
