//! Scenario files, right and wrong.

use std::time::Duration;

use super::*;
use crate::base::Seed;
use crate::lab::Plan;

const GOOD: &str = r#"# The leader loses power with dirty pages;
# acked data must survive.
name = "leader-power-loss"
duration = "60s"

[cluster]
brokers = 3
controllers = 1
broker.session.timeout.ms = 3000
log.segment.bytes = 65536

[topic]
name = "orders"
partitions = 3
replication.factor = 3
min.insync.replicas = 2

[[load]]
kind = "producer"
clients = "2..4"
rate = "500/s"
record.size = "100..1000"
acks = "all"
enable.idempotence = true

[[load]]
kind = "consumer"
clients = 2
fetch.max.wait.ms = 100

[[fault]]
kind = "power-loss"
target = "leader"
every = "5s..15s"
down = "1s..8s"
operation = "0..40"
when = "settled"

[[fault]]
kind = "partition"
from = "leader"
to = ["followers", "controller"]
one-way = true
partition = 1
at = "20s"
down = "5s"

[[fault]]
kind = "rolling-restart"
at = "30s"

[expect]
holds = ["*"]
"#;

fn complaints(text: &str) -> String {
    Scenario::parse("x.toml", text).unwrap_err().to_string()
}

/// The good file with one text in the place of another.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

#[test]
fn a_whole_file_is_read_and_dotted_kafka_keys_are_what_they_were() {
    let scenario = Scenario::parse("x.toml", GOOD).unwrap();
    assert_eq!(scenario.story.lines().count(), 2);
    assert_eq!(scenario.cluster.config.broker_session_timeout, Duration::from_secs(3));
    assert_eq!(scenario.cluster.topic_defaults.segment_bytes, 65536);
    assert_eq!(scenario.topic.config, [("min.insync.replicas".to_owned(), "2".to_owned())]);
    assert_eq!(scenario.topic.replication_factor, 3);
    assert_eq!(scenario.loads[0].clients, Range { low: 2, high: 4 });
    let Work::Produce { config, .. } = &scenario.loads[0].work else { panic!() };
    assert!(config.idempotence);
    assert_eq!(scenario.rules.len(), 3);
    assert!(scenario.rules[0].settled);
    assert_eq!(scenario.expect.of("duplicate"), Expectation::Holds);
}

#[test]
fn a_mistyped_word_is_answered_with_its_line_and_the_word_that_was_meant() {
    let lines = |text: &str, at: &str| text[..text.find(at).unwrap()].matches('\n').count() + 1;
    for (old, new, message) in [
        ("kind = \"power-loss\"", "kind = \"powerloss\"", "did you mean `power-loss`?"),
        ("target = \"leader\"", "target = \"leeder\"", "did you mean `leader`?"),
        ("min.insync.replicas", "min.insync.replica", "did you mean `min.insync.replicas`?"),
        ("broker.session.timeout.ms", "broker.session.timout.ms", "did you mean `broker.session"),
        ("duration = ", "durations = ", "did you mean `duration`?"),
        ("rate = ", "rates = ", "did you mean `rate`?"),
        ("every = ", "evry = ", "did you mean `every`?"),
        ("[cluster]", "[clusters]", "did you mean `[cluster]`?"),
        ("[[load]]", "[[loads]]", "did you mean `[[load]]`?"),
        ("brokers = 3", "brokers = \"three\"", "expected a whole number"),
        ("brokers = 3", "brokers = 0", "expected 1 to 100"),
        ("controllers = 1", "controllers = 3", "exactly 1 controller"),
        ("\"60s\"", "60", "expected a duration"),
        ("\"60s\"", "\"0s\"", "more than nothing"),
        ("\"500/s\"", "500", "expected a rate"),
        ("acks = \"all\"", "acks = \"some\"", "expected `0`, `1` or `all`"),
        ("acks = \"all\"", "bootstrap.servers = \"b1:1\"", "set by the laboratory"),
        ("\"5s..15s\"", "\"15s..5s\"", "smaller end"),
        ("replication.factor = 3", "replication.factor = 4", "there are 3 brokers"),
        ("partition = 1", "partition = 3", "there are 3 partitions"),
        ("one-way = true", "one-way = 1", "expected `true` or `false`"),
        ("one-way = true", "survival = \"nothing\"", "unknown [[fault]] key `survival`"),
        ("holds = [\"*\"]", "holds = [\"duplicates\"]", "did you mean `duplicate`?"),
        ("holds = [\"*\"]", "breaks = [\"*\"]", "unknown invariant `*`"),
        ("name = \"orders\"", "name = \"or/ders\"", "Kafka accepts no such topic"),
        ("name = \"leader-power-loss\"", "name = \"Leader\"", "names the report"),
        ("name = \"leader-power-loss\"", "name = ", ""),
    ] {
        let text = with(old, new);
        let said = complaints(&text);
        let place = format!("x.toml:{}: ", lines(&text, new));
        assert!(said.lines().any(|line| line.starts_with(&place)), "{new}: {said}");
        assert!(said.contains(message), "{new}: {said}");
    }
}

#[test]
fn all_complaints_come_at_once_in_the_order_of_lines() {
    let text = with("duration = ", "durations = ").replace("every = ", "evry = ");
    let said = complaints(&text);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("x.toml:4: "), "{said}");
}

#[test]
fn an_unknown_host_is_named_with_how_many_there_are() {
    let text = with("target = \"leader\"", "target = \"b7\"");
    assert!(complaints(&text).contains("no host `b7`: there are 3 brokers"));
    let text = with("target = \"leader\"", "target = \"producers\"");
    assert!(complaints(&text).contains("expected brokers or controllers"));
}

#[test]
fn what_is_missing_is_asked_for() {
    assert!(complaints("").contains("x.toml:1: the file is empty"));
    assert!(complaints("name = \"x\"").contains("`[expect]` is missing"));
    assert!(complaints("[expect]\nholds = [\"*\"]").contains("`name` is missing"));
    assert!(complaints("name = \"x\"\n[expect]\n").contains("what must come of it?"));
    assert!(complaints(&with("target = \"leader\"\n", "")).contains("`target` is missing"));
}

#[test]
fn bytes_that_are_no_toml_are_an_error_with_a_line() {
    for text in ["name = ", "\u{0}", "[[[", "a = 1\na = 2", "x = 1979-05-27", "= 5"] {
        let said = complaints(text);
        assert!(said.starts_with("x.toml:"), "{text}: {said}");
    }
    let deep = format!("name{} = 1", ".a".repeat(5000));
    assert!(complaints(&deep).contains("x.toml:1"));
}

#[test]
fn a_break_that_is_expected_leaves_all_else_to_hold() {
    let text = with("holds = [\"*\"]", "breaks = [\"acked-write-lost\"]\nallows = [\"converges\"]");
    let expect = Scenario::parse("x.toml", &text).unwrap().expect;
    assert_eq!(expect.of("acked-write-lost"), Expectation::Breaks);
    assert_eq!(expect.of("converges"), Expectation::Open);
    assert_eq!(expect.of("duplicate"), Expectation::Holds);
}

#[test]
fn a_schedule_that_is_written_out_is_read_back_the_same_and_replays_without_its_rules() {
    let scenario = Scenario::parse("x.toml", GOOD).unwrap();
    let plan = Plan::draw(&scenario, Seed(11));
    assert!(plan.faults.len() > 5);
    let text = scenario.to_toml(&plan);
    let saved = Scenario::parse("x.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(saved.rules.is_empty());
    assert_eq!(Plan::draw(&saved, Seed(99)), plan);
    assert_eq!(saved.cluster, scenario.cluster);
    assert_eq!(saved.topic, scenario.topic);
    assert_eq!(saved.story, scenario.story);
    assert_eq!(saved.to_toml(&plan), text);
}
