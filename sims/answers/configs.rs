//! Settings: what a topic accepts, and how topics and brokers show theirs.

use brokerquake::wire::messages::describe_configs_request::DescribeConfigsResource;
use brokerquake::wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use brokerquake::wire::messages::{DescribeConfigsRequest, StrBytes};

use super::ask::{Node, creation, error, message};

/// Kafka's keys of topics with values at, inside and outside of their bounds.
const VALUES: &[(&str, &[&str])] = &[
    (
        "cleanup.policy",
        &[
            "compact",
            "delete",
            "compact,delete",
            "",
            " compact , delete ",
            "COMPACT",
            "keep",
            "delete,delete",
        ],
    ),
    (
        "compression.type",
        &[
            "uncompressed",
            "zstd",
            "lz4",
            "snappy",
            "gzip",
            "producer",
            "none",
            "ZSTD",
            "Producer",
            "",
        ],
    ),
    ("compression.gzip.level", &["-1", "0", "1", "9", "10", "-2"]),
    ("compression.lz4.level", &["0", "1", "17", "18"]),
    ("compression.zstd.level", &["-131073", "-131072", "0", "22", "23"]),
    ("delete.retention.ms", &["-1", "0", "9223372036854775807", "9223372036854775808"]),
    ("file.delete.delay.ms", &["-1", "0"]),
    ("flush.messages", &["0", "1", "-1", "9223372036854775807"]),
    ("flush.ms", &["-1", "0", "9223372036854775807"]),
    ("follower.replication.throttled.replicas", &["", "*", "0:1", "0:1,1:2", "none", "abc"]),
    ("leader.replication.throttled.replicas", &["", "*", "0:1", "x:y"]),
    ("index.interval.bytes", &["-1", "0", "2147483647", "2147483648"]),
    ("internal.segment.bytes", &["0", "1", "1000", "-1"]),
    ("local.retention.bytes", &["-3", "-2", "-1", "0", "5"]),
    ("local.retention.ms", &["-3", "-2", "-1", "0", "5"]),
    ("max.compaction.lag.ms", &["0", "1", "-1", "9223372036854775807"]),
    (
        "max.message.bytes",
        &["-1", "0", "2147483647", "1e3", "1000000.0", "+5", " 5 ", "0x10", "1_000", "null", ""],
    ),
    ("message.timestamp.after.max.ms", &["-1", "0", "9223372036854775807"]),
    ("message.timestamp.before.max.ms", &["-1", "0", "9223372036854775807"]),
    ("message.timestamp.type", &["CreateTime", "LogAppendTime", "createtime", "NoTimestampType"]),
    (
        "min.cleanable.dirty.ratio",
        &["-0.1", "0", "0.5", "1", "1.1", "NaN", "1e-1", ".5", "0.5d", "0,5"],
    ),
    ("min.compaction.lag.ms", &["-1", "0"]),
    ("min.insync.replicas", &["-1", "0", "1", "2147483647", "2147483648", "1.0"]),
    ("preallocate", &["true", "false", "TRUE", "False", " true ", "yes", "1", ""]),
    ("remote.log.copy.disable", &["true", "false"]),
    ("remote.log.delete.on.disable", &["true", "false"]),
    ("remote.storage.enable", &["false", "true", "FALSE"]),
    ("retention.bytes", &["-2", "-1", "0", "9223372036854775807"]),
    ("retention.ms", &["-2", "-1", "0", "9223372036854775807"]),
    ("segment.bytes", &["0", "1048575", "1048576", "2147483647", "2147483648", "-1"]),
    ("segment.index.bytes", &["3", "4", "2147483647", "-1"]),
    ("segment.jitter.ms", &["-1", "0", "5"]),
    ("segment.ms", &["-1", "0", "1", "9223372036854775807"]),
    ("unclean.leader.election.enable", &["true", "TRUE", "no"]),
    ("message.downconversion.enable", &["true", "false"]),
    ("message.format.version", &["3.0-IV1"]),
    ("message.timestamp.difference.max.ms", &["5"]),
    ("flush.before.ak", &["true"]),
    ("", &["1"]),
];

/// Pairs of settings that may contradict each other.
const TOGETHER: &[(&[(&str, &str)], &str)] = &[
    (&[("min.compaction.lag.ms", "8"), ("max.compaction.lag.ms", "7")], "lags crossed"),
    (&[("min.compaction.lag.ms", "7"), ("max.compaction.lag.ms", "7")], "lags equal"),
    (&[("retention.ms", "5"), ("local.retention.ms", "6")], "local retention longer"),
    (&[("retention.bytes", "5"), ("local.retention.bytes", "6")], "local retention larger"),
    (&[("segment.ms", "5"), ("segment.jitter.ms", "6")], "jitter longer than the segment"),
    (&[("cleanup.policy", "compact"), ("remote.storage.enable", "false")], "compacted, not remote"),
];

pub fn ask(node: &mut Node) {
    for (key, values) in VALUES {
        for value in *values {
            node.note_creation(&format!("{key}={value:?}"), &[(key, value)]);
        }
    }
    for (pairs, what) in TOGETHER {
        node.note_creation(what, pairs);
    }
    describe(node);
}

impl Node {
    /// Whether a topic with these settings could be created. None is.
    fn note_creation(&mut self, what: &str, configs: &[(&str, &str)]) {
        let mut request = creation("configs-checked", 1, configs);
        request.validate_only = true;
        let answer = self.ask(7, &request).topics.remove(0);
        self.note(format_args!("settings: {what}"), error(answer.error_code));
    }

    fn describe(
        &mut self,
        kind: i8,
        name: &str,
        keys: Option<&[&str]>,
    ) -> (i16, Option<StrBytes>, Vec<DescribeConfigsResourceResult>) {
        let keys = keys.map(|keys| keys.iter().map(|key| StrBytes::from(*key)).collect());
        let resource = message!(DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: keys,
        });
        let request = message!(DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            include_documentation: true,
        });
        let answer = self.ask(4, &request).results.remove(0);
        (answer.error_code, answer.error_message, answer.configs)
    }
}

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;

pub fn shown(config: &DescribeConfigsResourceResult) -> String {
    let text = |value: &Option<StrBytes>| {
        value.as_ref().map_or_else(|| "null".to_owned(), |value| format!("{:?}", &**value))
    };
    let synonyms: Vec<_> = config
        .synonyms
        .iter()
        .map(|known| format!("{}={} ({})", &*known.name, text(&known.value), known.source))
        .collect();
    format!(
        "{} source {} type {}{}{}{} [{}]",
        text(&config.value),
        config.config_source,
        config.config_type,
        if config.read_only { " read-only" } else { "" },
        if config.is_sensitive { " sensitive" } else { "" },
        if config.documentation.is_none() { " undocumented" } else { "" },
        synonyms.join(", ")
    )
}

/// Keys of a broker whose values differ from one start to the next.
const OF_THE_PLACE: &[&str] = &[
    "listeners",
    "advertised.listeners",
    "log.dirs",
    "log.dir",
    // Beyond Kafka.
    "log.flush.before.ack",
    "transaction.first.producer.epoch",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
];

fn describe(node: &mut Node) {
    let own = [
        ("retention.ms", "604800000"),
        ("segment.bytes", "2097152"),
        ("cleanup.policy", "compact"),
    ];
    node.create("configs-described", 1, &own);
    let (code, _, configs) = node.describe(TOPIC, "configs-described", None);
    assert_eq!(code, 0);
    for config in &configs {
        if *config.name != *"flush.before.ack" {
            node.note(format_args!("describe topic: {}", &*config.name), shown(config));
        }
    }
    let (code, _, configs) = node.describe(BROKER, "1", None);
    assert_eq!(code, 0);
    for config in configs.iter().filter(|config| !OF_THE_PLACE.contains(&&*config.name)) {
        node.note(format_args!("describe broker: {}", &*config.name), shown(config));
    }
    for (what, kind, name, keys) in [
        ("no keys", TOPIC, "configs-described", Some(&[][..])),
        ("one key", TOPIC, "configs-described", Some(&["segment.bytes"][..])),
        ("unknown key", TOPIC, "configs-described", Some(&["segment.byte"][..])),
        ("a key twice", TOPIC, "configs-described", Some(&["segment.ms", "segment.ms"][..])),
        ("unknown topic", TOPIC, "configs-none", None),
        ("invalid topic", TOPIC, "a b", None),
        ("empty topic", TOPIC, "", None),
        ("other broker", BROKER, "7", Some(&["num.io.threads"][..])),
        ("no number", BROKER, "one", Some(&["num.io.threads"][..])),
        ("all brokers", BROKER, "", Some(&["log.retention.ms"][..])),
        ("unknown kind", 3, "x", None),
        ("kind 0", 0, "x", None),
    ] {
        let (code, message, configs) = node.describe(kind, name, keys);
        let names: Vec<&str> = configs.iter().map(|config| &*config.name).collect();
        let count =
            if names.len() > 3 { format!("{}", names.len() > 3) } else { format!("{names:?}") };
        let message = match message {
            _ if code != 0 => "",
            None => "null",
            Some(text) if text.is_empty() => "empty",
            Some(_) => "a message",
        };
        node.note(format_args!("describe: {what}"), format!("{} {message} {count}", error(code)));
    }
}
