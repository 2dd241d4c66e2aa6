//! Scenario files, right and wrong.

mod faults;
mod topics;

use std::time::Duration;

use super::Plan;
use super::*;
use crate::base::Seed;

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
fn whole_file_is_read_with_dotted_kafka_keys() {
    let scenario = Scenario::parse("x.toml", GOOD).unwrap();
    assert_eq!(scenario.story.lines().count(), 2);
    assert_eq!(scenario.cluster.config.node.broker_session_timeout, Duration::from_secs(3));
    assert_eq!(scenario.cluster.config.topics.largest_segment(), 65536);
    assert_eq!(scenario.topics[0].config, [("min.insync.replicas".to_owned(), "2".to_owned())]);
    assert_eq!(scenario.topics[0].replication_factor, 3);
    assert_eq!(scenario.loads[0].clients, Range { low: 2, high: 4 });
    assert!(scenario.loads[0].work.promise().idempotence);
    assert_eq!(scenario.rules.len(), 3);
    assert!(scenario.rules[0].settled);
    assert_eq!(scenario.expect.of("duplicate"), Expectation::Holds);
}

#[test]
fn mistyped_words_are_reported_with_line_and_nearest_word() {
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
fn all_problems_are_reported_in_line_order() {
    let text = with("duration = ", "durations = ").replace("every = ", "evry = ");
    let said = complaints(&text);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("x.toml:4: "), "{said}");
}

#[test]
fn unknown_host_is_reported_with_the_number_of_hosts() {
    let text = with("target = \"leader\"", "target = \"b7\"");
    assert!(complaints(&text).contains("no host `b7`: there are 3 brokers"));
    let text = with("target = \"leader\"", "target = \"producers\"");
    assert!(complaints(&text).contains("expected brokers or controllers"));
}

#[test]
fn missing_keys_are_reported() {
    assert!(complaints("").contains("x.toml:1: the file is empty"));
    assert!(complaints("name = \"x\"").contains("`[expect]` is missing"));
    assert!(complaints("[expect]\nholds = [\"*\"]").contains("`name` is missing"));
    assert!(complaints("name = \"x\"\n[expect]\n").contains("what must come of it?"));
    assert!(complaints(&with("target = \"leader\"\n", "")).contains("`target` is missing"));
}

#[test]
fn invalid_toml_is_an_error_with_a_line() {
    for text in ["name = ", "\u{0}", "[[[", "a = 1\na = 2", "x = 1979-05-27", "= 5"] {
        let said = complaints(text);
        assert!(said.starts_with("x.toml:"), "{text}: {said}");
    }
    let deep = format!("name{} = 1", ".a".repeat(5000));
    assert!(complaints(&deep).contains("x.toml:1"));
}

#[test]
fn expected_break_leaves_all_else_to_hold() {
    let text = with("holds = [\"*\"]", "breaks = [\"acked-write-lost\"]\nallows = [\"converges\"]");
    let expect = Scenario::parse("x.toml", &text).unwrap().expect;
    assert_eq!(expect.of("acked-write-lost"), Expectation::Breaks);
    assert_eq!(expect.of("converges"), Expectation::Open);
    assert_eq!(expect.of("duplicate"), Expectation::Holds);
}

#[test]
fn written_schedule_is_read_back_and_replays_without_rules() {
    let scenario = Scenario::parse("x.toml", GOOD).unwrap();
    let plan = Plan::draw(&scenario, Seed(11));
    assert!(plan.faults.len() > 5);
    let text = scenario.to_toml(&plan);
    let saved = Scenario::parse("x.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(saved.rules.is_empty());
    assert_eq!(Plan::draw(&saved, Seed(99)), plan);
    assert_eq!(saved.cluster, scenario.cluster);
    assert_eq!(saved.topics, scenario.topics);
    assert_eq!(saved.story, scenario.story);
    assert_eq!(saved.to_toml(&plan), text);
}

#[test]
fn disk_section_round_trips() {
    let disk = "[disk]\nmemory.pages = 256\nvm.dirty_ratio = 30\nread_ahead_kb = 64\n\
                vm.dirty_expire_centisecs = 500\npage.read.us = 8000\n";
    let text = format!("name = \"x\"\n{disk}[expect]\nholds = [\"*\"]\n");
    let scenario = Scenario::parse("x.toml", &text).unwrap();
    let memory = scenario.disk.memory.clone().unwrap();
    assert_eq!((memory.pages, memory.dirty_ratio, memory.background_ratio), (256, 30, 10));
    assert_eq!(memory.read_ahead, 16);
    let writeback = scenario.disk.writeback.clone().unwrap();
    assert_eq!((writeback.interval.as_secs(), writeback.expire.as_secs()), (5, 5));
    assert_eq!(scenario.disk.read_miss.as_millis(), 8);
    let saved = scenario.to_toml(&Plan::draw(&scenario, Seed(0)));
    assert_eq!(Scenario::parse("x.toml", &saved).unwrap().disk, scenario.disk, "{saved}");
    let wrong = text.replace("vm.dirty_ratio = 30", "vm.dirty_ration = 30");
    assert!(
        complaints(&wrong).contains("did you mean `vm.dirty_ratio`?"),
        "{}",
        complaints(&wrong)
    );
}

#[test]
fn cluster_may_begin_with_an_older_transaction_version() {
    assert_eq!(Scenario::parse("x.toml", GOOD).unwrap().cluster.transaction_version, None);
    let text = with("brokers = 3\n", "brokers = 3\ntransaction.version = 1\n");
    let scenario = Scenario::parse("x.toml", &text).unwrap();
    assert_eq!(scenario.cluster.transaction_version, Some(1));
    let saved = scenario.to_toml(&Plan::draw(&scenario, Seed(0)));
    assert_eq!(Scenario::parse("x.toml", &saved).unwrap().cluster, scenario.cluster, "{saved}");
    for (wrong, message) in [
        ("transaction.version = 3", "x.toml:8: `transaction.version = 3`: expected 0, 1 or 2"),
        ("transaction.version = -1", "x.toml:8: "),
        ("transaction.verison = 1", "did you mean `transaction.version`?"),
    ] {
        let said = complaints(&with("brokers = 3\n", &format!("brokers = 3\n{wrong}\n")));
        assert!(said.contains(message), "{wrong}: {said}");
    }
}

#[test]
fn file_may_name_its_seed() {
    let text = with("duration = \"60s\"", "duration = \"60s\"\nseed = 3053");
    let scenario = Scenario::parse("x.toml", &text).unwrap();
    assert_eq!(scenario.seed, Some(3053));
    assert!(scenario.to_toml(&Plan::draw(&scenario, Seed(0))).contains("\nseed = 3053\n"));
    assert!(
        complaints(&with("duration = \"60s\"", "seed = -1")).contains("expected a whole number")
    );
    let last = complaints(&with("duration = \"60s\"", "seed = 18446744073709551615"));
    assert!(last.contains("the largest seed is 18446744073709551614"), "{last}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_their_line() {
    let said = |keys: &str| {
        let text = format!(
            "name = \"x\"\n[[load]]\nkind = \"producer\"\nlinger.ms = 5\n{keys}\n[expect]\n\
             holds = [\"*\"]\n"
        );
        Scenario::parse("x.toml", &text).map(drop).map_err(|wrong| wrong.to_string())
    };
    let refused = |keys: &str, line: usize, what: &str| {
        let wrong = said(keys).unwrap_err();
        assert!(wrong.starts_with(&format!("x.toml:{line}: `{what}`: ")), "{wrong}");
    };
    refused("enable.idempotence = true\nacks = 0", 6, "acks=0");
    refused("enable.idempotence = true\nretries = 0", 6, "retries=0");
    refused(
        "max.in.flight.requests.per.connection = 6",
        5,
        "max.in.flight.requests.per.connection=6",
    );
    let late = "request.timeout.ms = 130000\ndelivery.timeout.ms = 120000";
    refused(late, 6, "delivery.timeout.ms=120000");
    refused("delivery.timeout.ms = 1000", 5, "delivery.timeout.ms=1000");
    // Defaults are adapted.
    assert_eq!(said("acks = 1"), Ok(()));
    assert_eq!(said("retries = 0"), Ok(()));
    assert_eq!(said("request.timeout.ms = 130000"), Ok(()));
    assert_eq!(said("acks = 1\nenable.idempotence = false\nretries = 0"), Ok(()));
}

#[test]
fn mistyped_key_gives_one_error() {
    let said = |text: &str| Scenario::parse("x.toml", text).unwrap_err().to_string();
    let key = said("name = \"x\"\n[expect]\nhold = [\"*\"]\n");
    assert_eq!(key, "x.toml:3: unknown [expect] key `hold`; did you mean `holds`?");
    let invariant = said("name = \"x\"\n[expect]\nbreaks = [\"acked-write-los\"]\n");
    let lost = "did you mean `acked-write-lost`?";
    assert_eq!(invariant, format!("x.toml:3: unknown invariant `acked-write-los`; {lost}"));
    let section = said("name = \"x\"\n[expct]\nholds = [\"*\"]\n");
    assert_eq!(section, "x.toml:2: unknown section `[expct]`; did you mean `[expect]`?");
    let name = said("nam = \"x\"\n[expect]\nholds = [\"*\"]\n");
    assert_eq!(name.lines().count(), 1, "{name}");
    let nothing = said("name = \"x\"\n[expect]\nholds = []\n");
    assert!(nothing.contains("what must come of it?"), "{nothing}");
}
