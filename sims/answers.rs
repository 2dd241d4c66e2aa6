//! Raw requests, and the answers of Apache Kafka 4.3.1 and of this broker.
//!
//! `answers.json` has Kafka's answers as they were recorded. Our broker is asked the same, and
//! answers the same, but for what `differences.json` lists with our answer and a reason. Where
//! `BROKERQUAKE_KAFKA` names Kafka's jars, Kafka itself is asked again.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

pub mod answers {
    pub mod alterations;
    pub mod ask;
    pub mod batches;
    pub mod codecs;
    pub mod configs;
    pub mod consumers;
    pub mod fetches;
    pub mod groups;
    pub mod kafka;
    pub mod lookups;
    pub mod names;
    pub mod offsets;
    pub mod rebalances;
    pub mod topics;
    pub mod transactional;
    pub mod transactions;
    pub mod written;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::clients::clients::server::Server;
use answers::ask::Node;
use answers::kafka::{Kafka, SETTINGS};
use answers::{
    alterations, batches, codecs, configs, consumers, fetches, groups, lookups, names, offsets,
    rebalances, topics, transactions, written,
};

type Answers = BTreeMap<String, String>;

/// The name of a part, settings of its node, and what sends its requests.
type Part = (&'static str, &'static str, fn(&mut Node));

const PARTS: [Part; 16] = [
    ("fetches", "", fetches::ask),
    ("batches", "", batches::ask),
    ("codecs", "", codecs::ask),
    ("lookups", "", lookups::ask),
    ("names", "", names::ask),
    ("configs", "", configs::ask),
    ("groups", groups::SETTINGS, groups::ask),
    ("offsets", groups::SETTINGS, offsets::ask),
    ("consumers", groups::SETTINGS, consumers::ask),
    ("rebalances", rebalances::SETTINGS, rebalances::ask),
    ("topics", groups::SETTINGS, topics::ask),
    ("alterations", groups::SETTINGS, alterations::ask),
    ("transactions", transactions::SETTINGS, transactions::ask),
    ("transactions_1", transactions::SETTINGS, transactions::ask_old),
    ("written", transactions::SETTINGS, written::ask),
    ("written_1", transactions::SETTINGS, written::ask_old),
];

fn file(part: &str) -> PathBuf {
    let name = format!("sims/fixtures/kafka/answers/{part}.json");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(part: &str) -> Answers {
    serde_json::from_str(&std::fs::read_to_string(file(part)).unwrap()).unwrap()
}

/// The lines in which answers differ.
fn differences(ours: &Answers, kafka: &Answers) -> Vec<String> {
    let mut all: Vec<&String> = ours.keys().chain(kafka.keys()).collect();
    all.sort();
    all.dedup();
    let none = "(not asked)".to_owned();
    let differing = all.into_iter().filter(|request| ours.get(*request) != kafka.get(*request));
    differing
        .map(|request| {
            let (ours, kafka) = (ours.get(request), kafka.get(request));
            format!(
                "{request}\n  now:      {}\n  recorded: {}",
                ours.unwrap_or(&none),
                kafka.unwrap_or(&none)
            )
        })
        .collect()
}

fn ours(part: &str) {
    let (_, settings, ask) = PARTS.into_iter().find(|(name, ..)| *name == part).unwrap();
    let server = Server::start_with(&format!("{SETTINGS}{settings}"));
    let mut node = Node::new(&server.bootstrap());
    ask(&mut node);
    let mut expected = read(part);
    // Where Kafka runs into an exception that it does not expect, ours names the fault.
    for answer in expected.values_mut().filter(|answer| *answer == "UNKNOWN_SERVER_ERROR") {
        *answer = "CORRUPT_MESSAGE".to_owned();
    }
    // A broker shows those keys that have an effect here.
    expected.retain(|request, _| {
        !request.starts_with("describe broker: ") || node.answers.contains_key(request)
    });
    let deviations: BTreeMap<String, Answers> =
        serde_json::from_str(&std::fs::read_to_string(file("differences")).unwrap()).unwrap();
    for (request, deviation) in deviations {
        if let Some(recorded) = expected.get_mut(&request) {
            assert_ne!(*recorded, deviation["ours"], "{request}: no difference any more");
            *recorded = deviation["ours"].clone();
        }
    }
    let found = differences(&node.answers, &expected);
    assert!(found.is_empty(), "{} answers differ:\n{}", found.len(), found.join("\n"));
}

#[test]
fn fetches_wait_as_apache_kafkas() {
    ours("fetches");
}

#[test]
fn batches_are_judged_as_by_apache_kafka() {
    ours("batches");
}

#[test]
fn codecs_are_read_as_by_apache_kafka() {
    ours("codecs");
}

#[test]
fn offsets_are_looked_up_as_in_apache_kafka() {
    ours("lookups");
}

#[test]
fn names_are_null_or_empty_as_in_apache_kafka() {
    ours("names");
}

#[test]
fn settings_are_judged_and_shown_as_by_apache_kafka() {
    ours("configs");
}

#[test]
fn groups_are_answered_as_by_apache_kafka() {
    ours("groups");
}

#[test]
fn committed_offsets_are_answered_as_by_apache_kafka() {
    ours("offsets");
}

#[test]
fn consumer_protocol_is_answered_as_by_apache_kafka() {
    ours("consumers");
}

#[test]
fn rebalances_and_odd_groups_are_answered_as_by_apache_kafka() {
    ours("rebalances");
}

#[test]
fn topics_are_grown_and_shown_as_by_apache_kafka() {
    ours("topics");
}

#[test]
fn settings_are_altered_as_by_apache_kafka() {
    ours("alterations");
}

#[test]
fn transactions_are_coordinated_as_by_apache_kafka() {
    ours("transactions");
}

#[test]
fn transactions_of_version_1_are_coordinated_as_by_apache_kafka() {
    ours("transactions_1");
}

#[test]
fn transactional_batches_are_judged_and_read_as_by_apache_kafka() {
    ours("written");
}

#[test]
fn transactional_batches_of_version_1_are_judged_as_by_apache_kafka() {
    ours("written_1");
}

/// Records them where `BROKERQUAKE_RECORD` is set: to the name of a part, or to `all`.
#[test]
fn apache_kafka_answers_as_recorded() {
    let Some(libs) = Kafka::jars() else { return };
    let recorded = std::env::var("BROKERQUAKE_RECORD").ok();
    let is_asked = |part: &str| recorded.as_ref().is_none_or(|name| name == "all" || name == part);
    let plain = Kafka::start(&libs, "");
    let mut wrong = Vec::new();
    for (part, settings, ask) in PARTS.into_iter().filter(|(part, ..)| is_asked(part)) {
        // Groups outlive the part that made them: each part has a node of its own.
        let own = (!settings.is_empty()).then(|| Kafka::start(&libs, settings));
        let kafka = own.as_ref().unwrap_or(&plain);
        let mut node = Node::new(&kafka.address());
        ask(&mut node);
        if recorded.is_some() {
            let text = serde_json::to_string_pretty(&node.answers).unwrap();
            std::fs::create_dir_all(file(part).parent().unwrap()).unwrap();
            std::fs::write(file(part), text + "\n").unwrap();
        }
        wrong.extend(differences(&node.answers, &read(part)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
