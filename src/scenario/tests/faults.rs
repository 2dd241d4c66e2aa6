//! Faults of every kind, drawn, written and read back.

use super::*;

/// One rule of every kind, at every sort of target, for every moment.
const FAULTS: &str = r#"
[[fault]]
kind = "kill"
target = "isr-follower"
after = "ack"
delay = "0ms..20ms"

[[fault]]
kind = "power-loss"
target = "minority"
survival = "drawn"
on = "isr-shrunk"

[[fault]]
kind = "pause"
target = "majority"
on = "isr-grown"

[[fault]]
kind = "partition"
from = "out-of-sync"
to = ["clients", "controller"]

[[fault]]
kind = "isolate"
target = "controller"
on = "leader-elected"
delay = "3ms"

[[fault]]
kind = "restart"
target = "recovering"
during = "recovery"

[[fault]]
kind = "rolling-restart"

[[fault]]
kind = "restart-storm"
target = "any"
times = "2..4"
gap = "100ms..1s"

[[fault]]
kind = "flapping"
from = "leader"
to = "followers"
one-way = true
times = 3

[[fault]]
kind = "swizzle-clog"
gap = "500ms"

[[fault]]
kind = "slow-link"
from = "leader"
to = "followers"
latency = "10ms..200ms"
bandwidth = "10000..20000"
loss = "1..20"

[[fault]]
kind = "slow-disk"
target = "b1"
factor = "2..9"

[[fault]]
kind = "disk-stall"
target = "all"
stall = "1s..2s"

[[fault]]
kind = "disk-full"
target = "follower"

[[fault]]
kind = "disk-error"
target = "leader"
syncs = "1..4"

[[fault]]
kind = "disk-error"
target = "leader"
late-syncs = 2

[[fault]]
kind = "power-loss"
target = ["b1", "b2"]
keep = ["names", ".log 0..3", "checkpoint"]
stagger = "1s..3s"

[[fault]]
kind = "power-loss"
target = "all"
survival = "ext4-ordered"

[[fault]]
kind = "disk-lies"
target = "any"

[[fault]]
kind = "dir-failure"
target = "b2"
dir = "/data"

[[fault]]
kind = "disk-replaced"
target = "b3"
dir = "/data"
clean = true

[[fault]]
kind = "disk-corruption"
target = "follower"
what = "misdirected-write"
pages = "1..9"
intact = 2

[[fault]]
kind = "topic-recreated"

[[fault]]
kind = "partitions-added"
partitions = 12

[[fault]]
kind = "clock-jump"
target = "any"
by = "1s..1h"
back = true

[[fault]]
kind = "clock-drift"
target = "c1"
ppm = "10..100000"
slow = true
"#;

fn faulty(faults: &str) -> String {
    format!("name = \"x\"\nduration = \"60s\"\n{faults}\n[expect]\nholds = [\"*\"]\n")
}

#[test]
fn every_drawn_fault_round_trips_through_a_schedule() {
    let rules =
        faulty(&FAULTS.replace("\n\n[[fault]]", "\nat = \"1s..5s\"\ndown = \"2s\"\n\n[[fault]]"));
    let scenario = Scenario::parse("x.toml", &rules).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scenario.rules.len(), 26);
    for seed in 0..20 {
        let plan = Plan::draw(&scenario, Seed(seed));
        let text = scenario.to_toml(&plan);
        let saved = Scenario::parse("x.toml", &text);
        let saved = saved.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(Plan::draw(&saved, Seed(99)), plan, "{text}");
        let kinds: std::collections::BTreeSet<_> =
            plan.faults.iter().map(|fault| fault.action.kind()).collect();
        let all = ["clock-drift", "clock-jump", "dir-failure", "disk-corruption", "disk-error"];
        let more = ["disk-full", "disk-lies", "disk-replaced", "disk-stall", "isolate", "kill"];
        let rest = ["partition", "partitions-added", "pause", "power-loss", "restart"];
        let last = ["slow-disk", "slow-link", "topic-recreated"];
        let all = [&all[..], &more, &rest, &last].concat();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
        let moments = plan.faults.iter().filter_map(|fault| fault.moment);
        assert_eq!(
            moments.map(|moment| moment.event).collect::<std::collections::BTreeSet<_>>().len(),
            5
        );
    }
}

#[test]
fn invalid_fault_is_rejected_with_a_remedy() {
    for (old, new, message) in [
        ("times = \"2..4\"", "times = 0", "expected 1 to 100"),
        ("bandwidth = \"10000..20000\"", "bandwidth = 1", "expected 1000 to"),
        ("loss = \"1..20\"", "loss = 100", "expected 1 to 90"),
        ("factor = \"2..9\"", "factor = 1", "expected 2 to 10000"),
        ("after = \"ack\"", "after = \"acks\"", "did you mean `ack`?"),
        ("after = \"ack\"", "", "`delay` counts from a moment"),
        ("after = \"ack\"", "after = \"ack\"\nduring = \"recovery\"", "waits for one moment"),
        ("during = \"recovery\"", "during = \"recovery\"\nwhen = \"settled\"", "either until all"),
        (
            "partitions = 12",
            "partitions = 1",
            "expected more than the 1 that there are, up to 1000",
        ),
        ("partitions = 12", "", "how many are there then?"),
        ("target = \"c1\"", "target = \"clients\"", "expected brokers or controllers"),
        ("kind = \"swizzle-clog\"", "kind = \"swizle-clog\"", "did you mean `swizzle-clog`?"),
    ] {
        assert!(FAULTS.contains(old), "{old}");
        let said = complaints(&faulty(&FAULTS.replacen(old, new, 1)));
        assert!(said.contains(message), "{new}: {said}");
    }
    let bare = "[[fault]]\nkind = \"slow-link\"\nfrom = \"b1\"\nto = \"b2\"\n";
    assert!(complaints(&faulty(bare)).contains("what is slow about this link?"));
    let planned = FAULTS.replace("[[fault]]", "[[schedule]]\nat = \"1s\"");
    let said = complaints(&faulty(&planned));
    for message in [
        "names each `restart` of a `rolling-restart`",
        "names each `kill` of a `restart-storm`",
        "names each `partition` of a `swizzle-clog`",
        "`bandwidth` is one value",
        "`factor` is one value",
        "`syncs` is one value",
        "`by` is one value",
        "`ppm` is one value",
    ] {
        assert!(said.contains(message), "{message}: {said}");
    }
}

#[test]
fn survival_is_a_word_or_a_list_and_not_both() {
    let fault = |keys: &str| {
        let text = format!(
            "name = \"x\"\n[[fault]]\nkind = \"power-loss\"\ntarget = \"all\"\n{keys}\n\
             [expect]\nholds = [\"*\"]\n"
        );
        complaints(&text)
    };
    assert!(fault("survival = \"drawn\"\nkeep = [\"names\"]").contains("not both"));
    assert!(fault("keep = [\".log 3..1\"]").contains("such as `.log 0..3`"));
    assert!(fault("survival = \"weekest\"").contains("did you mean `weakest`?"));
}
