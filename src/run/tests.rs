//! Whole runs of scenarios with several topics.

use super::{EngineKind, run};
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
