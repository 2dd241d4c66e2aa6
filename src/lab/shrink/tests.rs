//! The shrinker on properties that need no run, and on a real failure.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::search::Search;
use super::*;
use crate::scenario::Fault;

/// A minute of kills, numbered by their `pick`, under two loads.
fn kills(count: usize) -> Scenario {
    let mut text = "name = \"x\"\nduration = \"60s\"\nseed = 1\n[cluster]\nbrokers = 7\n\
                    [topic]\npartitions = 8\nreplication.factor = 3\n\
                    [[load]]\nkind = \"producer\"\nclients = 9\nrate = \"500/s\"\n\
                    [[load]]\nkind = \"consumer\"\nclients = 3\n\
                    [expect]\nholds = [\"*\"]\n"
        .to_owned();
    for fault in 0..count {
        let at = 1234 + fault * 777;
        text.push_str(&format!(
            "[[schedule]]\nat = \"{at}ms\"\nkind = \"kill\"\ntarget = \"leader\"\n\
             down = \"3210ms\"\npartition = {}\nwhen = \"settled\"\npick = {}\n",
            fault % 8,
            fault + 1
        ));
    }
    Scenario::parse("x.toml", &text).unwrap()
}

fn picks(scenario: &Scenario) -> BTreeSet<u64> {
    scenario.schedule.iter().flatten().map(|fault| fault.pick).collect()
}

/// Shrinks by a property alone; the result, and whether the search came to its end.
fn shrunk(
    whole: &Scenario,
    budget: usize,
    mut shows: impl FnMut(&Scenario) -> bool,
) -> (Scenario, bool) {
    let mut shows = |scenario: &Scenario| shows(scenario).then_some(scenario.duration);
    let mut search = Search::new(whole.clone(), budget, &mut shows);
    let ended = search.run();
    (search.best, ended)
}

/// Every scenario that is one fault or one step smaller.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let faults = scenario.schedule.clone().unwrap_or_default();
    let without = (0..faults.len()).map(|index| {
        let mut fewer = faults.clone();
        fewer.remove(index);
        Scenario { schedule: Some(fewer), ..scenario.clone() }
    });
    let steps = steps::STEPS.iter().flat_map(|step| step(scenario));
    // Only what a file can say counts.
    without.chain(steps).filter_map(|smaller| steps::as_written(&smaller).ok()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn result_has_the_property_and_nothing_smaller_does(
        count in 1usize..12,
        needed in prop::collection::btree_set(1u64..12, 0..5),
        brokers in 1u16..7,
        clients in 0u64..9,
        rate in 1u64..500,
        seconds in 0u64..10,
        partitions in 1i32..8,
        parity in any::<bool>(),
    ) {
        let whole = kills(count);
        let needed: BTreeSet<u64> = needed.into_iter().filter(|pick| *pick <= count as u64).collect();
        let mut shows = |scenario: &Scenario| {
            let faults = scenario.schedule.as_ref().map_or(0, Vec::len);
            let loads = scenario.loads.iter().filter(|load| load.work.kind() == "producer");
            let sources: u64 = loads.map(|load| load.clients.high).sum();
            let text = steps::text(scenario);
            let rates = text.lines().filter_map(|line| line.strip_prefix("rate = \""));
            let rates = rates.filter_map(|rate| rate.split('/').next()?.parse::<u64>().ok());
            let per_second: u64 = rates.sum();
            needed.is_subset(&picks(scenario))
                && scenario.cluster.brokers >= brokers
                && sources >= clients
                && (clients == 0 || per_second >= rate)
                && scenario.duration >= Duration::from_secs(seconds)
                && scenario.topics[0].partitions >= partitions
                // Properties of real runs are seldom monotonic.
                && (!parity || faults % 2 == count % 2)
        };
        prop_assume!(shows(&whole));
        let (left, ended) = shrunk(&whole, 100_000, &mut shows);
        prop_assert!(ended);
        prop_assert!(shows(&left));
        for smaller in smaller(&left) {
            prop_assert!(!shows(&smaller), "{}", steps::text(&smaller));
        }
    }

    #[test]
    fn search_stays_in_budget_and_never_repeats_a_candidate(
        budget in 1usize..60,
        answers in prop::collection::vec(any::<bool>(), 60),
    ) {
        let mut asked = Vec::new();
        let (left, _) = shrunk(&kills(9), budget, |scenario| {
            asked.push(steps::text(scenario));
            answers[asked.len() % answers.len()]
        });
        prop_assert!(asked.len() <= budget);
        prop_assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len());
        // It keeps what showed the property last, or all.
        prop_assert!(asked.contains(&steps::text(&left)) || left == kills(9));
    }
}

#[test]
fn every_chain_of_steps_ends() {
    let mut scenario = kills(4);
    for taken in 0.. {
        assert!(taken < 2000, "{}", steps::text(&scenario));
        let Some(next) = smaller(&scenario).pop() else { break };
        assert_ne!(next, scenario);
        scenario = next;
    }
    assert_eq!(scenario.schedule.as_deref(), Some(&[][..]));
}

#[test]
fn faults_that_fail_only_together_are_all_kept() {
    let pair = |scenario: &Scenario| picks(scenario).is_superset(&BTreeSet::from([3, 8]));
    let shows = |scenario: &Scenario| pair(scenario) && scenario.loads.len() == 2;
    let (left, ended) = shrunk(&kills(10), 1000, shows);
    assert!(ended);
    let kept: Vec<&Fault> = left.schedule.iter().flatten().collect();
    assert_eq!(kept.iter().map(|fault| fault.pick).collect::<Vec<_>>(), [3, 8]);
    assert!(kept.iter().all(|fault| !fault.settled && fault.partition == 0));
    assert_eq!(kept[0].at, Duration::ZERO);
    assert_eq!(left.duration, Duration::from_secs(1));
    assert_eq!(left.cluster.brokers, 3, "one for each copy is the least");
}

fn broken(what: &str) -> Broken {
    Broken::new("acked-write-lost", crate::base::Instant::START, what)
}

#[test]
fn witness_shape_ignores_names_times_and_numbers() {
    let past = "orders-2 offset 0 (p2's record 9) acked at 0.227 s; absent where consumer k3 read on to offset 158 at 15.414 s";
    let same = "orders-0 offset 41 (p1's record 80) acked at 3.1 s; absent where consumer k1 read on to offset 42 at 9 s";
    let send = "orders-0 p1's record 7 acked at 3.1 s; absent where consumer k1 read on to offset 42 at 9 s";
    assert_eq!(shape(&broken(past)), shape(&broken(same)));
    assert_ne!(shape(&broken(past)), shape(&broken(send)));
    let few = "orders-0 offset 4 is on b1 only, of 2 that are needed";
    let more = "orders-0 offset 4 (61 records from there on) is on b1, b2 and b3 only, of 2 that are needed";
    assert_eq!(shape(&broken(few)), shape(&broken(more)));
    let panic = |place: &str| Broken::new(PANICS, crate::base::Instant::START, place);
    assert_ne!(
        shape(&panic("panicked at src/a.rs:1:2: index 3")),
        shape(&panic("panicked at src/a.rs:7:2: index 3"))
    );
}

#[test]
fn long_names_are_cut_at_the_end_of_the_scenario_name() {
    assert_eq!(name("leader-kill", "duplicate", 7), "leader-kill-duplicate-7");
    let long = name(&"very-".repeat(15), "committed-prefix-agrees", u64::MAX);
    assert!(
        long.len() <= MAX_NAME && long.ends_with("-committed-prefix-agrees-18446744073709551615")
    );
    assert!(Scenario::parse("x", &format!("name = \"{long}\"\n[expect]\nholds = [\"*\"]")).is_ok());
}

/// All replicas lose power, among other things that have nothing to do with it.
const POWER: &str = "name = \"power\"\nduration = \"12s\"\n[cluster]\n\
    broker.session.timeout.ms = 3000\nbroker.heartbeat.interval.ms = 500\n\
    [topic]\npartitions = 2\nmin.insync.replicas = 2\n\
    [[load]]\nkind = \"producer\"\nclients = 2\nrate = \"100/s\"\n\
    [[load]]\nkind = \"consumer\"\n\
    [[fault]]\nkind = \"pause\"\ntarget = \"any\"\nevery = \"3s\"\ndown = \"200ms\"\n\
    [[fault]]\nkind = \"power-loss\"\ntarget = \"all\"\nat = \"5s\"\nsurvival = \"nothing\"\ndown = \"1s\"\n\
    [expect]\nbreaks = [\"acked-write-lost\"]\n\
    allows = [\"acked-write-unseen\", \"inconsistent-offset\", \"dirty-read\", \"high-watermark-monotonic\"]\n";

#[test]
fn loss_shrinks_to_the_one_fault_that_causes_it() {
    let scenario = Scenario::parse("power.toml", POWER).unwrap();
    let one = shrink(&scenario, 3, EngineKind::Leap, BUDGET).unwrap();
    assert!(one.minimal, "{} runs", one.runs);
    assert!(one.before.faults >= 4 && one.after.faults == 1, "{} to {}", one.before, one.after);
    assert!(one.after.records <= 20, "{}", one.after);
    assert_eq!(one.broken.invariant, "acked-write-lost");
    let other = shrink(&scenario, 3, EngineKind::Leap, BUDGET).unwrap();
    assert_eq!(one.to_toml(), other.to_toml());

    // The saved file reproduces the run that the search saw.
    let read = Scenario::parse(&one.scenario.file, &one.to_toml()).unwrap();
    let again = run_caught(&read, read.seed.unwrap(), EngineKind::Leap);
    assert_eq!(again.trace.to_string(), one.trace);
    assert_eq!(again.verdict(&read.expect), RunVerdict::BrokeAsExpected);
    assert!(read.story.contains("power.toml, seed 3"), "{}", read.story);
    assert!(read.story.contains("replay: cargo run --release -- replay scenarios/regressions/"));
}

#[test]
fn search_that_exhausts_its_budget_keeps_its_best() {
    let scenario = Scenario::parse("power.toml", POWER).unwrap();
    let budget = NonZeroUsize::new(2).unwrap();
    let shrunk = shrink(&scenario, 3, EngineKind::Leap, budget).unwrap();
    assert!(!shrunk.minimal && shrunk.runs == 2);
    let read = Scenario::parse("x.toml", &shrunk.to_toml()).unwrap();
    let outcome = run_caught(&read, 3, EngineKind::Leap);
    assert!(outcome.broken.iter().any(|broken| broken.invariant == "acked-write-lost"));
}

#[test]
fn nothing_to_shrink_is_an_error() {
    let calm = POWER.replace("\"power-loss\"", "\"kill\"").replace("survival = \"nothing\"\n", "");
    let calm = Scenario::parse("calm.toml", &calm).unwrap();
    let said = |scenario: &Scenario, invariant| {
        shrink_watched(scenario, 3, EngineKind::Leap, BUDGET, invariant, &mut |_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(said(&calm, None).contains("calm.toml: seed 3 breaks nothing under leap"));
    let power = Scenario::parse("power.toml", POWER).unwrap();
    let other = said(&power, Some("duplicate"));
    assert!(other.contains("does not break `duplicate`; it breaks"), "{other}");
    assert!(other.contains("`acked-write-lost`"), "{other}");
}

/// The leader is cut off from its followers and continues alone.
#[cfg(any(debug_assertions, feature = "mutants"))]
const ALONE: &str = "name = \"alone\"\nduration = \"9s\"\n[cluster]\n\
    broker.session.timeout.ms = 3000\nbroker.heartbeat.interval.ms = 500\n\
    replica.lag.time.max.ms = 1000\n\
    [topic]\nmin.insync.replicas = 2\n\
    [[load]]\nkind = \"producer\"\nclients = 2\nrate = \"100/s\"\nacks = \"all\"\n\
    [[fault]]\nkind = \"partition\"\nfrom = \"leader\"\nto = \"followers\"\nat = \"3s\"\ndown = \"4s\"\n\
    [expect]\nholds = [\"*\"]\n";

#[test]
#[cfg(any(debug_assertions, feature = "mutants"))]
fn mutant_witness_shrinks_and_holds_without_the_flaw() {
    use crate::base::{Flaw, Flaws};

    let flaws = Flaws::only(Flaw::NoMinInsync);
    let scenario = Scenario::parse("alone.toml", ALONE).unwrap().with_flaws(flaws);
    let invariant = Some("min-insync-enforced");
    let shrunk =
        shrink_watched(&scenario, 1, EngineKind::Leap, BUDGET, invariant, &mut |_| ()).unwrap();
    assert!(shrunk.after.faults == 1 && shrunk.after.records <= 20, "{}", shrunk.after);
    assert_eq!(shrunk.scenario.file, "reports/mutants/no-min-insync-min-insync-enforced-1.toml");
    let read = Scenario::parse("x.toml", &shrunk.to_toml()).unwrap();
    assert!(read.story.contains("--features mutants -- replay"), "{}", read.story);
    assert!(read.story.contains("--mutant no-min-insync"), "{}", read.story);
    let held = run_caught(&read, 1, EngineKind::Leap);
    assert_eq!(held.verdict(&read.expect), RunVerdict::Held);
    let again = run_caught(&read.with_flaws(flaws), 1, EngineKind::Leap);
    assert_eq!(again.trace.to_string(), shrunk.trace);
}

#[test]
fn load_that_begins_later_sends_the_same_records_from_there() {
    let calm = |load: &str| {
        let text = format!(
            "name = \"calm\"\nduration = \"4s\"\n\
             [[load]]\nkind = \"producer\"\nrate = \"10/s\"\n{load}[expect]\nholds = [\"*\"]\n"
        );
        run_caught(&Scenario::parse("calm.toml", &text).unwrap(), 1, EngineKind::Leap).counts
    };
    assert!(calm("").sent >= 40);
    assert_eq!(calm("records = 7\n").sent, 7);
    let late = calm("begins = \"3s\"\n");
    assert!((10..=16).contains(&late.sent), "{late:?}");
    assert_eq!(calm("begins = \"3s\"\nrecords = 7\n").acked, 7);
}
