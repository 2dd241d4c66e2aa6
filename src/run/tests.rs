//! Whole runs: several topics, and what a verdict says of the time without service.

use super::{EngineKind, run};
use crate::check::OutageKind;
use crate::scenario::Scenario;

const TWO_TOPICS: &str = include_str!("../../scenarios/faults/two-topics.toml");

#[test]
fn each_topic_is_judged_by_its_own_promise() {
    let scenario = Scenario::parse("two-topics.toml", TWO_TOPICS).unwrap();
    let mut lost = 0;
    for seed in 0..20 {
        let outcome = run(&scenario, seed, EngineKind::Leap, None);
        for broken in &outcome.broken {
            assert!(broken.what.contains("clicks-"), "seed {seed}: {}", broken.what);
            assert!(!broken.what.contains("orders-"), "seed {seed}: {}", broken.what);
            lost += u64::from(broken.invariant == "acked-write-lost");
        }
    }
    assert!(lost > 0, "clicks are lost with the leader that alone acknowledged them");
}

#[test]
fn killed_leader_is_an_outage_of_its_partitions_and_a_calm_run_has_none() {
    let outages =
        |name: &str| run(&Scenario::load(name).unwrap(), 0, EngineKind::Leap, None).outages;
    assert_eq!(outages("smoke/smoke-calm"), []);
    let killed = outages("smoke/smoke-acks-all-leader-kill");
    assert!(!killed.is_empty(), "the session of the dead leader lasts seconds");
    for outage in &killed {
        assert_eq!(outage.kind, OutageKind::NotWritable, "{outage}");
        assert!((1000..10_000).contains(&outage.length_ms()), "{outage}");
    }
}
