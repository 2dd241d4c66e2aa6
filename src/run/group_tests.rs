//! Groups in simulated clusters: members report what they do, in both protocols, and a seed decides all
//! of it.

use crate::check::history;
use crate::run::outcome::RunVerdict;
use crate::run::{EngineKind, Observers, run, watched};
use crate::scenario::Scenario;

/// Three members, of which one comes and goes and one is killed, and a coordinator that is killed.
fn scenario(protocol: &str, keys: &str) -> Scenario {
    let text = format!(
        "name = \"group\"\nduration = \"25s\"\n[cluster]\nbrokers = 3\ncontrollers = 1\n\
         broker.heartbeat.interval.ms = 300\nbroker.session.timeout.ms = 1500\n\
         replica.lag.time.max.ms = 3000\ngroup.initial.rebalance.delay.ms = 500\n\
         group.consumer.min.session.timeout.ms = 3000\ngroup.consumer.session.timeout.ms = 6000\n\
         group.consumer.min.heartbeat.interval.ms = 500\ngroup.consumer.heartbeat.interval.ms = 500\n\
         [topic]\nname = \"orders\"\npartitions = 4\nreplication.factor = 3\n\
         [[load]]\nkind = \"producer\"\nrate = \"40/s\"\nacks = \"all\"\nrequest.timeout.ms = 4000\n\
         [[load]]\nkind = \"group\"\nclients = 2\ncommit = \"async\"\ngroup.id = \"shop\"\n\
         group.protocol = \"{protocol}\"\n{keys}\
         [[load]]\nkind = \"group\"\ncommit = \"after\"\nstays = \"4s\"\naway = \"2s\"\n\
         group.id = \"shop\"\ngroup.protocol = \"{protocol}\"\n{keys}\
         [[schedule]]\nkind = \"kill\"\ntarget = \"k1\"\nat = \"9s\"\ndown = \"2s\"\n\
         [[schedule]]\nkind = \"kill\"\ntarget = \"coordinator\"\nat = \"15s\"\ndown = \"3s\"\n\
         [expect]\nholds = [\"*\"]\nallows = [\"processed-at-most-once\"]\n"
    );
    Scenario::parse("group.toml", &text).unwrap()
}

const CLASSIC: &str = "session.timeout.ms = 6000\nheartbeat.interval.ms = 500\n";

fn reports_what_it_does(scenario: &Scenario) {
    let mut bytes = Vec::new();
    let observers = Observers { history: Some(&mut bytes), ..Observers::default() };
    let outcome = watched(scenario, 0, EngineKind::Leap, observers);
    let fine = [RunVerdict::Held, RunVerdict::BrokeAsExpected];
    assert!(fine.contains(&outcome.verdict(&scenario.expect)), "{:?}", outcome.broken);
    assert!(outcome.story.iter().any(|fault| fault.contains("kill of b")), "{:?}", outcome.story);
    let text = String::from_utf8(bytes).unwrap();
    for event in [
        "subscribed",
        "joined",
        "revoked",
        "left",
        "committing",
        "committed",
        "recalling",
        "recalled",
        "processed",
    ] {
        assert!(text.contains(&format!("\"event\":\"{event}\"")), "never reported: {event}");
    }
    let (_, verdicts) = history::judge(text.as_bytes()).unwrap();
    assert!(verdicts.judged.contains(&"processed-at-least-once"));
    assert!(verdicts.broke("processed-at-least-once").is_none(), "{:?}", verdicts.violations);
}

#[test]
fn members_of_the_classic_protocol_report_what_they_do() {
    reports_what_it_does(&scenario("classic", CLASSIC));
}

#[test]
fn members_of_the_consumer_protocol_report_what_they_do() {
    reports_what_it_does(&scenario("consumer", ""));
}

#[test]
fn static_member_is_started_again_until_its_instance_is_released() {
    // The coordinator keeps the place of the killed process for a session, and refuses the next one.
    let scenario = Scenario::parse(
        "group.toml",
        "name = \"group\"\nduration = \"6s\"\n[cluster]\nbrokers = 1\ncontrollers = 1\n\
         group.consumer.min.session.timeout.ms = 3000\ngroup.consumer.session.timeout.ms = 6000\n\
         [topic]\nname = \"orders\"\npartitions = 2\nreplication.factor = 1\n\
         [[load]]\nkind = \"producer\"\nrate = \"20/s\"\n\
         [[load]]\nkind = \"group\"\nclients = 2\nstatic = true\ncommit = \"after\"\n\
         group.id = \"shop\"\ngroup.protocol = \"consumer\"\n\
         [[schedule]]\nkind = \"kill\"\ntarget = \"k1\"\nat = \"4s\"\ndown = \"1s\"\n\
         [expect]\nholds = [\"*\"]\nallows = [\"processed-at-most-once\"]\n",
    );
    let scenario = scenario.unwrap();
    let outcome = run(&scenario, 0, EngineKind::Leap, None);
    let fine = [RunVerdict::Held, RunVerdict::BrokeAsExpected];
    assert!(fine.contains(&outcome.verdict(&scenario.expect)), "{:?}", outcome.broken);
}

#[test]
fn run_of_a_group_has_the_same_trace_twice() {
    for (protocol, keys) in [("classic", CLASSIC), ("consumer", "")] {
        let scenario = scenario(protocol, keys);
        let trace = || run(&scenario, 1, EngineKind::Leap, None).trace;
        assert_eq!(trace(), trace(), "{protocol}");
    }
}

#[cfg(feature = "referee")]
#[test]
fn turmoil_and_leap_agree_about_groups() {
    for (protocol, keys) in [("classic", CLASSIC), ("consumer", "")] {
        let scenario = scenario(protocol, keys);
        for seed in 0..2 {
            let verdict = |engine| {
                let outcome = run(&scenario, seed, engine, None);
                assert!(outcome.counts.faults > 0, "{engine:?} {seed}: no fault struck");
                let broken: Vec<_> = outcome.broken.iter().map(|broken| &broken.what).collect();
                let verdict = outcome.verdict(&scenario.expect);
                assert_ne!(
                    verdict,
                    RunVerdict::Broke,
                    "{protocol}, {engine:?}, {seed}: {broken:?}"
                );
                verdict == RunVerdict::Held || verdict == RunVerdict::BrokeAsExpected
            };
            assert!(verdict(EngineKind::Leap) && verdict(EngineKind::Turmoil), "{protocol} {seed}");
        }
    }
}

/// A cluster without faults, with this much of one group beside a producer.
fn calm(producer: &str, group: &str) -> Scenario {
    let text = format!(
        "name = \"calm\"\nduration = \"8s\"\n[cluster]\nbrokers = 1\ncontrollers = 1\n\
         group.initial.rebalance.delay.ms = 500\n\
         [topic]\nname = \"orders\"\npartitions = 4\nreplication.factor = 1\n\
         [[load]]\nkind = \"producer\"\nrate = \"40/s\"\n{producer}\
         [[load]]\nkind = \"group\"\nclients = 2\ncommit = \"after\"\ngroup.id = \"shop\"\n\
         {CLASSIC}{group}[expect]\nholds = [\"*\"]\n"
    );
    Scenario::parse("calm.toml", &text).unwrap()
}

/// The notes about options that never showed.
fn idle(scenario: &Scenario) -> Vec<String> {
    let outcome = run(scenario, 0, EngineKind::Leap, None);
    assert_eq!(outcome.broken, []);
    outcome.notes.into_iter().filter(|note| note.contains("had no effect")).collect()
}

#[test]
fn options_that_never_showed_are_noted_with_the_reason() {
    let group = "pause.every = \"9s\"\nstall.every = \"9s\"\nstays = \"9s\"\nnever-revokes = true\n\
                 all-topics = true\n";
    let expected = [
        "`begins` of p1 had no effect: nothing was due between 9s and the end",
        "`records` of p1 had no effect: no client came to 5000 records before the load ended",
        "`stall.every` of k1 to k2 had no effect: no member was due to stall before the load ended",
        "`stays` of k1 to k2 had no effect: no member was due to leave before the load ended",
        "`away` of k1 to k2 had no effect: no member was due to return before the load ended",
        "`pause.every` of k1 to k2 had no effect: no member with partitions was due to pause them \
         before the load ended",
        "`never-revokes` of k1 to k2 had no effect: no member was asked to give partitions up",
        "`all-topics` of k1 to k2 had no effect: the scenario has no other topic",
    ];
    let notes = idle(&calm("begins = \"9s\"\nrecords = 5000\n", group));
    for note in expected {
        assert!(notes.iter().any(|found| found == note), "{note}: {notes:#?}");
    }
}

#[test]
fn options_that_showed_are_not_noted() {
    let group = "pause.every = \"1s\"\npause.lasts = \"500ms\"\nstall.every = \"2s\"\n\
                 stall.lasts = \"300ms\"\nstays = \"2s\"\naway = \"1s\"\nprocessing = \"1ms\"\n\
                 worker = true\n";
    let notes = idle(&calm("begins = \"1s\"\nrecords = 20\n", group));
    let others: Vec<_> = notes.iter().filter(|note| !note.starts_with("`worker`")).collect();
    assert_eq!(others, [""; 0]);
}
