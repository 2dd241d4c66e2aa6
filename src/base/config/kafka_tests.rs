//! Compares the tables with the `ConfigDef`s of Kafka 4.3.1, as recorded in a file: table, key,
//! type, default, validator, and whether the key is internal.

use super::foreign::Foreign;
use super::{
    AdminConfig, Bounds, BrokerConfig, Config, ConfigError, ConsumerConfig, GroupConfig, Key,
    NodeConfig, ProducerConfig, QuorumConfig, SecurityConfig, TopicConfig, TxnConfig,
};

const RECORDED: &str = include_str!("../../../sims/fixtures/kafka/configs.tsv");

/// Keys that have another default here, and why.
const OTHER_DEFAULTS: &[(&str, &str)] = &[
    ("node.id", "required in Kafka; a single node needs no file"),
    ("process.roles", "required in Kafka"),
    ("controller.listener.names", "required in Kafka"),
    ("bootstrap.servers", "required in Kafka"),
    ("listeners", "the loopback alone"),
    ("log.dirs", "Kafka's is that of log.dir"),
    ("internal.segment.bytes", "-1 stands for null"),
];

/// Keys of ours that Kafka does not have: of topics, and of transactions.
const BEYOND: [&str; 1] = ["flush.before.ack"];
const BEYOND_TXN: [&str; 1] = ["transaction.first.producer.epoch"];

/// Keys that stand for another one in a file.
const OVERRIDDEN: [&str; 6] = [
    "log.retention.hours",
    "log.retention.minutes",
    "log.roll.hours",
    "log.roll.jitter.hours",
    "log.dir",
    "broker.id",
];

struct Recorded {
    key: &'static str,
    kind: &'static str,
    default: &'static str,
    validator: &'static str,
}

fn recorded(table: &str) -> Vec<Recorded> {
    let rows = RECORDED.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let rows = rows.filter(|row| row[0] == table);
    let null = |text: &'static str| if matches!(text, "<null>" | "<required>") { "" } else { text };
    rows.map(|row| Recorded { key: row[1], kind: row[2], default: null(row[3]), validator: row[4] })
        .collect()
}

/// What is wrong with our row for a key of Kafka's.
fn differs(ours: &Key, kafka: &Recorded) -> Option<String> {
    let known = OTHER_DEFAULTS.iter().any(|(key, _)| *key == ours.name);
    if ours.default != kafka.default && !known {
        return Some(format!("{}: default {}, not {}", ours.name, ours.default, kafka.default));
    }
    let kind = format!("{:?}", ours.kind).to_uppercase();
    if kind != kafka.kind {
        return Some(format!("{}: type {kind}, not {}", ours.name, kafka.kind));
    }
    let (least, most) = match ours.bounds {
        Bounds::AtLeast(least) => (Some(least as f64), None),
        Bounds::Between(least, most) => (Some(least as f64), Some(most as f64)),
        Bounds::Share(least, most) => (Some(least), Some(most)),
        Bounds::Any | Bounds::NotEmpty | Bounds::OneOf(_) | Bounds::Words(_) => (None, None),
    };
    let range = kafka.validator.trim_matches(['[', ']']).split(",...");
    let mut range = range.map(|end| end.trim_start_matches(',').parse::<f64>().ok());
    let (low, high) = (range.next().flatten(), range.next().flatten());
    let int = kafka.kind == "INT" && most == Some(f64::from(i32::MAX));
    let same_low = low.is_none() || low == least || leveled(ours);
    let same_high = high == most || high.is_none() && int || leveled(ours);
    let wider = format!("{}: bounds {}, not {}", ours.name, ours.bounds, kafka.validator);
    (!same_low || !same_high).then_some(wider)
}

/// The type of a compression level has the bounds.
fn leveled(ours: &Key) -> bool {
    ours.name.starts_with("compression.")
}

fn compare(table: &str, keys: &[&Key], verdict: impl Fn(&str, &str) -> ConfigError) -> Vec<String> {
    let mut wrong = Vec::new();
    for kafka in recorded(table) {
        match keys.iter().find(|key| key.name == kafka.key) {
            Some(ours) => wrong.extend(differs(ours, &kafka)),
            None if OVERRIDDEN.contains(&kafka.key) => {}
            None => {
                if !matches!(verdict(kafka.key, kafka.default), ConfigError::NoEffect { .. }) {
                    wrong.push(format!("{}: the default is not accepted", kafka.key));
                }
            }
        }
    }
    wrong
}

#[test]
fn every_key_of_a_kafka_node_is_ours_or_has_a_verdict() {
    // Without a value of their own, these follow keys that Kafka reads before them.
    let kafka = recorded("server");
    let follows = |name: &str| kafka.iter().any(|row| row.key == name && row.default.is_empty());
    let topics: Vec<&str> = TopicConfig::synonyms().map(|(broker, _)| broker).collect();
    let keys: Vec<Key> = NodeConfig::keys()
        .map(|key| match topics.contains(&key.name) && follows(key.name) {
            true => Key { default: "", ..key },
            false => key,
        })
        .collect();
    let keys: Vec<&Key> = keys.iter().collect();
    let wrong = compare("server", &keys, |key, value| {
        NodeConfig::default().set(key, value).expect_err("no such key")
    });
    assert_eq!(wrong, [""; 0]);
}

fn compare_table<C: Config>(table: &str) {
    let keys: Vec<&Key> = C::KEYS.iter().collect();
    let wrong =
        compare(table, &keys, |key, value| C::default().set(key, value).expect_err("no such key"));
    assert_eq!(wrong, [""; 0], "{table}");
}

#[test]
fn every_key_of_topics_and_clients_is_ours_or_has_a_verdict() {
    compare_table::<TopicConfig>("topic");
    compare_table::<ProducerConfig>("producer");
    compare_table::<ConsumerConfig>("consumer");
    compare_table::<AdminConfig>("admin");
}

fn invented<C: Config>(table: &str) -> Vec<&'static str> {
    let kafka = recorded(table);
    let unknown = |name: &&str| !kafka.iter().any(|row| row.key == *name);
    let foreign = C::FOREIGN.iter().flat_map(|rows| rows.iter());
    // Those of the authorizer are in no `ConfigDef`; some of SASL's belong to other clients.
    let listed =
        |row: &&Foreign| !matches!(row.name, "super.users" | "allow.everyone.if.no.acl.found");
    let foreign = foreign.filter(listed).map(|row| row.name);
    C::KEYS.iter().map(|key| key.name).chain(foreign).filter(unknown).collect()
}

/// Values that a key without effect must refuse.
fn outside(kafka: &Recorded) -> Vec<String> {
    let range = kafka.validator.trim_matches(['[', ']']).split(",...");
    let range: Vec<&str> = range.map(|end| end.trim_start_matches(',')).collect();
    let ends = |at: usize, by: i64| {
        let end = range.get(at).and_then(|end| end.parse::<i64>().ok());
        end.map(|end| (end + by).to_string())
    };
    let wrong_type = match kafka.kind {
        "BOOLEAN" => Some("maybe"),
        "INT" => Some("2147483648"),
        "SHORT" => Some("32768"),
        "LONG" => Some("9223372036854775808"),
        "DOUBLE" => Some("half"),
        _ => None,
    };
    ends(0, -1).into_iter().chain(ends(1, 1)).chain(wrong_type.map(str::to_owned)).collect()
}

/// Whether a value is refused for what it is, not for its key.
fn bad(verdict: Result<(), ConfigError>) -> bool {
    matches!(verdict, Err(ConfigError::BadValue { .. }))
}

#[test]
fn values_outside_of_kafkas_bounds_are_refused_for_every_key() {
    let mut accepted = Vec::new();
    for kafka in recorded("server").iter().filter(|row| !OVERRIDDEN.contains(&row.key)) {
        accepted.extend(outside(kafka).into_iter().filter_map(|value| {
            let refused = bad(NodeConfig::default().set(kafka.key, &value));
            (!refused).then(|| format!("{}={value}", kafka.key))
        }));
    }
    for kafka in recorded("topic") {
        accepted.extend(outside(&kafka).into_iter().filter_map(|value| {
            let refused = bad(TopicConfig::default().set(kafka.key, &value));
            (!refused).then(|| format!("topic's {}={value}", kafka.key))
        }));
    }
    assert_eq!(accepted, [""; 0]);
}

#[test]
fn keys_without_a_default_are_kafkas() {
    for kafka in RECORDED.lines().map(|line| line.split('\t').collect::<Vec<_>>()) {
        let ours = NodeConfig::keys().any(|key| key.name == kafka[1]);
        if kafka[0] == "server" && ours {
            let has_default = !matches!(kafka[3], "<null>" | "<required>");
            assert_eq!(NodeConfig::has_default(kafka[1]), has_default, "{}", kafka[1]);
        }
    }
}

#[test]
fn no_key_is_invented() {
    assert_eq!(invented::<TopicConfig>("topic"), BEYOND);
    let none = [""; 0];
    assert_eq!(invented::<BrokerConfig>("server"), none);
    assert_eq!(invented::<GroupConfig>("server"), none);
    assert_eq!(invented::<TxnConfig>("server"), BEYOND_TXN);
    assert_eq!(invented::<QuorumConfig>("server"), none);
    assert_eq!(invented::<SecurityConfig>("server"), none);
    assert_eq!(invented::<ProducerConfig>("producer"), none);
    assert_eq!(invented::<ConsumerConfig>("consumer"), none);
    assert_eq!(invented::<AdminConfig>("admin"), none);
}
