//! Loads that provoke: what they do is recorded, holds, and is found where it does not.

use crate::base::{Flaw, Flaws};
use crate::check::history;
use crate::run::outcome::RunVerdict;
use crate::run::{EngineKind, Observers, run, watched};
use crate::scenario::Scenario;

/// The history of a run, line by line; it held.
fn history_of(scenario: &Scenario, seed: u64) -> Vec<String> {
    let mut bytes = Vec::new();
    let observers = Observers { history: Some(&mut bytes), ..Observers::default() };
    let outcome = watched(scenario, seed, EngineKind::Leap, observers);
    assert_eq!(outcome.verdict(&scenario.expect), RunVerdict::Held, "{:?}", outcome.broken);
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn broken(scenario: &Scenario, flaw: Flaw, seed: u64) -> Vec<String> {
    let flawed = scenario.clone().with_flaws(Flaws::only(flaw));
    let broken = run(&flawed, seed, EngineKind::Leap, None).broken.into_iter();
    broken.map(|broken| broken.invariant).collect()
}

#[test]
fn producers_get_an_epoch_per_transaction_from_version_2_on() {
    let bumps = |level: i16| {
        let mut scenario = Scenario::load("eos/calm-transactions").unwrap();
        scenario.cluster.transaction_version = Some(level);
        let lines = history_of(&scenario, 0);
        let count = |event: &str| lines.iter().filter(|line| line.contains(event)).count();
        assert!(count("\"event\":\"transaction-ended\"") > 50);
        count("\"event\":\"bumped\"")
    };
    assert_eq!((bumps(0), bumps(1)), (0, 0));
    assert!(bumps(2) > 50);
}

#[test]
fn misbehaviour_of_each_kind_is_refused_and_found_where_it_is_not() {
    let scenario = Scenario::load("mutants/misbehaving").unwrap();
    let lines = history_of(&scenario, 0);
    for misdeed in crate::sim::Misdeed::ALL {
        let name = format!("\"misdeed\":{}", serde_json::to_string(&misdeed).unwrap());
        assert!(lines.iter().any(|line| line.contains(&name)), "never sent: {name}");
    }
    let answered = lines.iter().filter(|line| line.contains("\"event\":\"answered\"")).count();
    assert!(answered > 300, "{answered} requests were answered");
    let broken = broken(&scenario, Flaw::AnySequence, 0);
    assert!(broken.contains(&"misbehaviour-refused".into()), "{broken:?}");
}

#[test]
fn damage_on_the_wire_is_refused_and_found_where_checksums_are_not_verified() {
    let scenario = Scenario::load("mutants/damaged-wire").unwrap();
    let lines = history_of(&scenario, 0);
    assert!(lines.iter().any(|line| line.contains("\"event\":\"unreadable\"")));
    let broken = broken(&scenario, Flaw::UncheckedAppend, 0);
    let safe = |name: &&String| !crate::check::is_liveness(name);
    assert!(broken.iter().any(|name| safe(&name)), "{broken:?}");
}

#[test]
fn seeks_of_each_kind_are_judged_by_what_is_read_after_them() {
    let scenario = Scenario::load("faults/seeks").unwrap();
    let lines = history_of(&scenario, 0);
    for lookup in ["\"earliest\"", "\"latest\"", "{\"at\":"] {
        let asked = format!("\"lookup\":{lookup}");
        assert!(lines.iter().any(|line| line.contains(&asked)), "never asked: {lookup}");
    }
    let judged = |lines: &[String]| {
        let (_, verdicts) = history::judge(lines.join("\n").as_bytes()).unwrap();
        let violations = verdicts.violations.iter();
        violations.map(|violation| violation.invariant).collect::<Vec<_>>()
    };
    assert!(!judged(&lines).contains(&"poll-skip"));
    // Had each seek landed one record too late, some read would show it.
    let late = lines.iter().map(|line| match line.rsplit_once("\"offset\":") {
        Some((begin, offset)) if line.contains("\"event\":\"positioned\"") => {
            let offset: u64 = offset.trim_end_matches('}').parse().unwrap();
            format!("{begin}\"offset\":{}}}", offset.saturating_sub(1))
        }
        _ => line.clone(),
    });
    let late: Vec<_> = late.collect();
    assert!(judged(&late).contains(&"poll-skip"), "{:?}", judged(&late));
}
