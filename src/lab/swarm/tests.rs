//! Drawn scenarios are valid, contracts follow from settings and schedule, and mutation reaches
//! more than drawing.

mod stopping;
mod transactions;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::base::{Instant, Seed};
use crate::lab::Verdict;
use crate::lab::matrix::{self, Grid};
use crate::run::outcome::RunVerdict;
use crate::run::{self, EngineKind};
use crate::scenario::fault::Reach;
use crate::scenario::{Plan, Role, Scenario};

/// Three brokers and a load, with the given topic, acks and faults.
fn scenario(topic: &str, acks: &str, faults: &str) -> Scenario {
    let text = format!(
        "name = \"x\"\nduration = \"60s\"\n[cluster]\nbrokers = 3\n[topic]\npartitions = 2\n{topic}\n\
         [[load]]\nkind = \"producer\"\nacks = \"{acks}\"\nenable.idempotence = {}\n{faults}\n\
         [expect]\nholds = [\"*\"]\n",
        acks == "all"
    );
    Scenario::parse("x.toml", &text).unwrap()
}

fn contract(topic: &str, acks: &str, faults: &str) -> Vec<Loss> {
    let scenario = scenario(topic, acks, faults);
    let plan = Plan::draw(&scenario, Seed(0));
    Contract::of(&scenario, &plan.faults).losses.into_iter().collect()
}

/// A scheduled fault that does not wait for recovery.
fn wild(kind: &str, target: &str) -> String {
    format!("[[schedule]]\nat = \"9s\"\ndown = \"1s\"\nkind = \"{kind}\"\ntarget = {target}\n")
}

/// A scheduled fault that waits for recovery.
fn settled(kind: &str, target: &str) -> String {
    wild(kind, target) + "when = \"settled\"\n"
}

const RF3_MIN1: &str = "replication.factor = 3\nmin.insync.replicas = 1";
const RF3_MIN2: &str = "replication.factor = 3\nmin.insync.replicas = 2";
const RF1: &str = "replication.factor = 1";
const LEADER: &str = "\"leader\"";
const ALL: &str = "\"all\"";
const BOTH: &str = "[\"leader\", \"isr-follower\"]";

#[test]
fn without_faults_every_acks_level_promises_everything() {
    for acks in ["0", "1", "all"] {
        assert_eq!(contract(RF1, acks, ""), []);
    }
}

#[test]
fn commit_mode_says_how_often_a_group_processes_a_record() {
    let group = |commit: &str| {
        format!("[[load]]\nkind = \"group\"\ncommit = \"{commit}\"\ngroup.id = \"shop\"\n")
    };
    let kill = wild("kill", LEADER);
    let beside = |commit, fault: &str| contract(RF3_MIN2, "all", &(group(commit) + fault));
    assert_eq!(beside("before", ""), []);
    assert_eq!(beside("before", &kill), [Loss::CommittedFirst]);
    assert_eq!(beside("after", &kill), [Loss::Repeated]);
    assert_eq!(beside("auto", ""), [Loss::Repeated]);
    let lost = beside("before", &settled("power-loss", ALL));
    let forgets = [Loss::FollowedLoss, Loss::ForgottenCommits];
    assert_eq!(lost, [[Loss::PowerLoss, Loss::CommittedFirst], forgets].concat());
    // With all replicas of `__consumer_offsets` in sync, one is enough.
    let one = beside("after", &settled("power-loss", LEADER));
    assert_eq!(one, [Loss::Repeated]);
}

#[test]
fn acks_all_with_three_replicas_survives_single_power_losses() {
    for target in [LEADER, "\"any\"", "\"b2\"", BOTH] {
        let one = settled("power-loss", target);
        assert_eq!(contract(RF3_MIN2, "all", &one), [], "{target}");
        assert_eq!(contract(RF3_MIN2, "all", &(one.clone() + &one + &one)), [], "{target}");
        // The ISR is full when it strikes, so even the weaker setting has copies left.
        assert_eq!(contract(RF3_MIN1, "all", &one), [], "{target}");
    }
    assert_eq!(contract(RF3_MIN2, "all", &settled("power-loss", ALL)), [Loss::PowerLoss]);
    assert_eq!(contract(RF1, "all", &settled("power-loss", LEADER)), [Loss::PowerLoss]);
}

#[test]
fn overlapping_power_losses_may_take_min_insync_replicas() {
    let (one, two) = (wild("power-loss", LEADER), wild("power-loss", LEADER).repeat(2));
    let pause = wild("pause", "\"any\"");
    assert_eq!(contract(RF3_MIN2, "all", &(one.clone() + &pause)), []);
    assert_eq!(contract(RF3_MIN1, "all", &(one.clone() + &pause)), [Loss::PowerLoss]);
    assert_eq!(contract(RF3_MIN2, "all", &two), [Loss::PowerLoss]);
    // The same host twice is one host.
    assert_eq!(contract(RF3_MIN2, "all", &wild("power-loss", "\"b1\"").repeat(3)), []);
    // A settled fault may strike just before one that is not.
    assert_eq!(
        contract(RF3_MIN2, "all", &(settled("power-loss", LEADER) + &one)),
        [Loss::PowerLoss]
    );
}

#[test]
fn all_replicas_of_a_leaderless_partition_are_followers() {
    let overlap = wild("kill", LEADER) + &wild("power-loss", "\"followers\"");
    assert_eq!(contract(RF1, "all", &overlap), [Loss::PowerLoss]);
    assert_eq!(contract(RF1, "all", &settled("power-loss", "\"followers\"")), []);
    assert_eq!(contract(RF3_MIN2, "all", &settled("power-loss", "\"followers\"")), []);
}

#[test]
fn kill_counts_as_unclean_shutdown_beside_a_power_loss() {
    let both = wild("power-loss", LEADER) + &wild("kill", "\"any\"");
    assert_eq!(contract(RF3_MIN2, "all", &both), [Loss::PowerLoss]);
    assert_eq!(contract(RF3_MIN2, "all", &wild("kill", ALL).repeat(4)), [], "caches survive");
}

#[test]
fn records_synced_before_ack_survive_unless_a_sync_lies() {
    for flush in ["flush.messages = 1", "flush.before.ack = true"] {
        let topic = format!("{RF3_MIN1}\n{flush}");
        let power = wild("power-loss", ALL).repeat(3);
        assert_eq!(contract(&topic, "all", &power), [], "{flush}");
        let lies = power + &wild("disk-error", LEADER);
        assert_eq!(contract(&topic, "all", &lies), [Loss::PowerLoss], "{flush}");
    }
    let later = format!("{RF3_MIN2}\nflush.messages = 2");
    assert_eq!(contract(&later, "all", &wild("power-loss", ALL)), [Loss::PowerLoss]);
}

#[test]
fn acks_1_may_lose_only_where_leadership_can_move() {
    for kind in ["kill", "power-loss", "pause", "restart", "disk-error", "disk-full"] {
        assert!(
            contract(RF3_MIN2, "1", &settled(kind, LEADER)).contains(&Loss::Uncommitted),
            "{kind}"
        );
    }
    let clients = wild("pause", "\"clients\"");
    assert_eq!(contract(RF3_MIN2, "1", &clients), []);
    let link = "[[schedule]]\nat = \"9s\"\nkind = \"partition\"\nfrom = \"leader\"\nto = ";
    assert_eq!(contract(RF3_MIN2, "1", &format!("{link}\"clients\"\n")), []);
    assert_eq!(contract(RF3_MIN2, "1", &format!("{link}\"followers\"\n")), [Loss::Uncommitted]);
    let jump = wild("clock-jump", ALL) + "by = \"1h\"\n";
    assert_eq!(contract(RF3_MIN2, "1", &jump), [], "sessions do not depend on the wall clock");
    assert_eq!(contract(RF1, "1", &wild("kill", ALL)), [], "there is no other replica");
    assert_eq!(contract(RF1, "1", &wild("power-loss", LEADER)), [Loss::PowerLoss]);
}

#[test]
fn acks_0_promises_nothing_under_any_fault() {
    assert_eq!(contract(RF3_MIN2, "0", &wild("pause", "\"clients\"")), [Loss::Unheard]);
    assert_eq!(Loss::Unheard.breaks(), ["acked-write-unseen"]);
}

#[test]
fn rot_on_one_disk_is_safe_with_two_intact_replicas() {
    let rot = |intact: u8, manner: fn(&str, &str) -> String| {
        manner("disk-corruption", LEADER)
            + &format!("pages = 2\nplace = \"cold\"\nintact = {intact}\n")
    };
    let power = settled("power-loss", "\"any\"");
    assert_eq!(contract(RF3_MIN2, "all", &rot(2, settled)), []);
    assert_eq!(contract(RF3_MIN2, "all", &(rot(2, settled) + &power)), []);
    assert_eq!(contract(RF3_MIN2, "all", &(rot(0, settled) + &power)), [Loss::Rot]);
    assert_eq!(contract(RF1, "all", &rot(2, settled)), [Loss::Rot]);
    let overlap = rot(2, wild) + &wild("pause", "\"any\"");
    assert_eq!(
        contract(RF3_MIN1, "all", &overlap),
        [Loss::Rot],
        "a leader alone in the ISR may rot"
    );
    // Above the recovery point it is truncated like a torn tail, and others may need the records.
    let kills = rot(2, wild) + &wild("kill", ALL);
    assert!(contract(RF3_MIN2, "all", &kills).contains(&Loss::PowerLoss));
    let heals = |topic: &str, faults: &str| {
        let scenario = scenario(topic, "all", faults);
        Contract::heals(&scenario, &Plan::draw(&scenario, Seed(0)).faults)
    };
    assert!(heals(RF3_MIN2, &(rot(2, settled) + &power)));
    assert!(!heals(RF3_MIN2, &overlap) && !heals(RF1, &rot(2, settled)));
    assert!(!heals(RF3_MIN2, &(rot(2, settled) + &settled("power-loss", ALL))));
}

#[test]
fn unclean_election_costs_only_where_the_isr_may_be_gone() {
    let topic = format!("{RF3_MIN2}\nunclean.leader.election.enable = true");
    let (one, two) = (settled("kill", LEADER), wild("kill", LEADER).repeat(2));
    assert_eq!(contract(&topic, "all", &one), []);
    assert_eq!(contract(&topic, "all", &settled("kill", ALL)), [], "all were in sync");
    assert_eq!(contract(&topic, "all", &two), [Loss::UncleanElection]);
    assert_eq!(contract(RF3_MIN2, "all", &two), []);
    // A controller that is cut off fences all brokers, also healthy ones.
    let blind = settled("isolate", "\"controller\"");
    assert_eq!(contract(&topic, "all", &blind), [Loss::UncleanElection]);
    let alone = format!("{RF1}\nunclean.leader.election.enable = true");
    assert_eq!(contract(&alone, "all", &two), []);
}

#[test]
fn contract_permits_exactly_the_possible_violations() {
    let scenario = scenario(RF3_MIN2, "1", &wild("kill", LEADER));
    let plan = Plan::draw(&scenario, Seed(0));
    let expect = Contract::of(&scenario, &plan.faults).expect();
    assert_eq!((expect.holds.as_slice(), expect.breaks.len()), (["*".to_owned()].as_slice(), 0));
    assert_eq!(expect.allows, ["acked-write-lost", "acked-write-unseen", "inconsistent-offset"]);
    let all = [Loss::Unheard, Loss::Uncommitted, Loss::UncleanElection, Loss::PowerLoss, Loss::Rot];
    let all = [&all[..], &[Loss::LateEnds, Loss::LateOffsets]].concat();
    for loss in all {
        for name in loss.breaks() {
            assert!(crate::check::NAMES.contains(name), "{name}");
            assert!(!crate::check::is_liveness(name), "{name}: liveness may never be violated");
        }
    }
}

#[test]
fn contract_promises_what_the_matrix_promises() {
    for cell in matrix::cells(&matrix::rows()) {
        let scenario = cell.scenario().unwrap();
        let plan = Plan::draw(&scenario, Seed(0));
        let contract = Contract::of(&scenario, &plan.faults);
        assert!(!cell.promised() || contract.is_whole(), "{}: {:?}", cell.name(), contract.losses);
    }
}

#[test]
fn seeds_are_deterministic_and_cover_all_kinds() {
    let mut kinds = BTreeSet::new();
    let (mut whole, mut settings) = (0, BTreeSet::new());
    for seed in 0..300 {
        let scenario = draw(seed).unwrap();
        assert_eq!(scenario, draw(seed).unwrap(), "{seed}");
        let faults = scenario.schedule.as_deref().unwrap();
        kinds.extend(faults.iter().map(|fault| fault.action.kind()));
        let contract = Contract::of(&scenario, faults);
        assert_eq!(contract.expect(), scenario.expect, "{seed}");
        whole += u32::from(contract.is_whole());
        let terms = &Terms::of(&scenario)[0];
        settings.insert((terms.replicas, terms.min_insync, terms.synced_first, terms.unclean));
    }
    // Composite kinds are expanded into their parts.
    assert_eq!(kinds.len(), 18, "{kinds:?}");
    assert!(settings.len() > 20, "{settings:?}");
    assert!((80..240).contains(&whole), "{whole} of 300 promise everything");
}

/// What a scenario can say, and whether a drawn file says it.
type Feature = (&'static str, fn(&str) -> bool);

const FEATURES: &[Feature] = &[
    ("several log directories", |text| text.contains("log.dirs = \"/data1,/data2")),
    ("a metadata directory", |text| text.contains("metadata.log.dir")),
    ("compaction with keys", |text| text.contains("\"compact\"") && text.contains("keys =")),
    ("compaction and deletion", |text| text.contains("\"compact,delete\"")),
    ("retention by age", |text| text.contains("\nretention.ms")),
    ("retention by size", |text| text.contains("\nretention.bytes")),
    ("small segments", |text| value(text, "segment.bytes").is_some_and(|bytes| bytes < 131_073)),
    ("segments by age", |text| text.contains("segment.ms")),
    ("full indexes", |text| text.contains("segment.index.bytes")),
    ("flush of each record", |text| value(text, "flush.messages") == Some(1)),
    ("flush after some records", |text| value(text, "flush.messages").is_some_and(|n| n > 1)),
    ("flush by time", |text| text.contains("\nflush.ms")),
    ("flush before ack", |text| text.contains("flush.before.ack = \"true\"")),
    ("a small page cache", |text| value(text, "memory.pages").is_some_and(|pages| pages < 1024)),
    ("early writeback", |text| {
        value(text, "vm.dirty_expire_centisecs").is_some_and(|expire| expire < 300)
    }),
    ("slow pages", |text| value(text, "page.read.us").is_some_and(|micros| micros > 1000)),
    ("fast elections", |text| {
        value(text, "broker.session.timeout.ms").is_some_and(|session| session < 400)
    }),
    ("latency of seconds", |text| {
        let high = text
            .lines()
            .filter_map(|line| line.strip_prefix("latency = \"1ms..")?.strip_suffix('"'));
        high.into_iter().any(|high| high.ends_with('s') && !high.ends_with("ms") || high.len() > 5)
    }),
    ("disk-lies", |text| text.contains("kind = \"disk-lies\"")),
    ("dir-failure", |text| text.contains("kind = \"dir-failure\"")),
    ("disk-replaced", |text| text.contains("kind = \"disk-replaced\"")),
    ("a replaced directory", |text| has_fault(text, "disk-replaced", "dir = ")),
    ("failing syncs", |text| has_fault(text, "disk-error", "\nsyncs")),
    ("syncs without space", |text| has_fault(text, "disk-error", "full-syncs")),
    ("late syncs", |text| has_fault(text, "disk-error", "late-syncs")),
    ("short writes", |text| has_fault(text, "disk-error", "writes")),
    ("failing renames", |text| has_fault(text, "disk-error", "renames")),
    ("failing reads", |text| has_fault(text, "disk-error", "reads")),
    ("damaged batches", |text| has_fault(text, "wire-damage", "\"batches\"")),
    ("damaged lengths", |text| has_fault(text, "wire-damage", "\"lengths\"")),
    ("killed clients", |text| {
        ["clients", "producers", "consumers"]
            .iter()
            .any(|role| has_fault(text, "kill", &format!("target = \"{role}\"")))
    }),
    ("a kill and then a power loss", |text| follow(text, "kill", "power-loss")),
    ("a restart and then a power loss", |text| follow(text, "restart", "power-loss")),
    ("a power loss after an ack while syncs hang", |text| {
        has_fault(text, "disk-stall", "") && has_fault(text, "power-loss", "after = \"ack\"")
    }),
    ("lookups", |text| text.contains("kind = \"lookup\"")),
    ("seeks", |text| text.contains("kind = \"seeker\"")),
    ("misbehaviour", |text| text.contains("kind = \"misbehaving-producer\"")),
    ("classic groups", |text| text.contains("partition.assignment.strategy")),
    ("groups of the consumer protocol", |text| text.contains("group.protocol = \"consumer\"")),
    ("cooperative groups", |text| text.contains("\"cooperative-sticky\"")),
    ("several groups", |text| text.contains("\"shop\"") && text.contains("\"books\"")),
    ("a group of several topics", |text| text.contains("all-topics = true")),
    ("static members", |text| text.contains("static = true")),
    ("commits before processing", |text| text.contains("commit = \"before\"")),
    ("members in waves", |text| text.contains("\naway = ")),
    ("late polls", |text| text.contains("\nstall.every = ")),
    ("paused partitions", |text| text.contains("\npause.every = ")),
    ("members that never revoke", |text| text.contains("never-revokes = true")),
    ("a fault of a coordinator", |text| has_fault(text, "kill", "target = \"coordinator\"")),
    ("a paused member", |text| has_fault(text, "pause", "target = \"k2\"")),
    ("a fault during a rebalance", |text| text.contains("during = \"rebalance\"")),
    ("faults that the contract can't judge", |text| text.contains("Left out: ")),
];

/// The first value of a key.
fn value(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    lines.next()?.trim_matches('"').parse().ok()
}

fn faults_of<'a>(text: &'a str, kind: &str) -> impl Iterator<Item = &'a str> {
    let title = format!("kind = \"{kind}\"\n");
    text.split("[[schedule]]").filter(move |fault| fault.contains(&title))
}

fn has_fault(text: &str, kind: &str, with: &str) -> bool {
    faults_of(text, kind).any(|fault| fault.contains(with))
}

/// Whether both strike one broker by name.
fn follow(text: &str, first: &str, second: &str) -> bool {
    let named = |fault: &str| {
        fault.lines().find(|line| line.starts_with("target = \"b")).map(str::to_owned)
    };
    let firsts: BTreeSet<_> = faults_of(text, first).filter_map(named).collect();
    faults_of(text, second).filter_map(named).any(|host| firsts.contains(&host))
}

#[test]
fn the_swarm_draws_everything_that_scenarios_can_say() {
    let texts: Vec<String> = (0..300)
        .map(|seed| {
            let scenario = draw(seed).unwrap();
            let text = scenario.to_toml(&Plan::draw(&scenario, Seed(seed)));
            assert!(Scenario::parse(&scenario.file, &text).is_ok(), "{text}");
            text
        })
        .collect();
    for (what, drawn) in FEATURES {
        assert!(texts.iter().any(|text| drawn(text)), "never drawn: {what}");
    }
}

#[test]
fn schedules_have_no_fault_that_can_not_strike() {
    let followers = [Role::Follower, Role::Followers, Role::IsrFollower, Role::OutOfSync];
    for seed in 0..300 {
        let scenario = draw(seed).unwrap();
        for fault in scenario.schedule.iter().flatten() {
            let cost = fault.action.as_strike().unwrap().may_cost();
            let single = scenario.topic(fault.topic.as_deref()).replication_factor == 1;
            if let (true, Reach::Hosts(target)) = (single, cost.reach) {
                let all = target.0.iter().all(|role| followers.contains(role));
                assert!(!all, "{seed}: {fault:?}");
            }
            assert!(fault.at < scenario.duration, "{seed}: {fault:?}");
        }
    }
}

#[test]
fn faults_that_can_not_be_judged_are_left_out_and_named() {
    let left = |topic: &str, faults: &str| {
        let scenario = scenario(topic, "all", faults);
        let mut faults = Plan::draw(&scenario, Seed(0)).faults;
        let left: Vec<_> = Contract::without_unjudged(&scenario, &mut faults).into_iter().collect();
        (left, faults.len())
    };
    let jump = settled("clock-jump", ALL) + "by = \"1h\"\n";
    let short = format!("{RF3_MIN2}\nretention.ms = 5000");
    assert_eq!(left(&short, &jump), (vec![(Unjudged::AgeByWrongClock, vec!["clock-jump"])], 0));
    assert_eq!(left(RF3_MIN2, &jump), (vec![], 1));
    let lies = settled("disk-lies", LEADER);
    let torn = settled("power-loss", LEADER);
    let nothing = torn.clone() + "survival = \"nothing\"\n";
    let told = vec![(Unjudged::TornBehindLies, vec!["disk-lies"])];
    assert_eq!(left(RF3_MIN2, &(lies.clone() + &torn)), (told, 1));
    assert_eq!(left(RF3_MIN2, &(lies.clone() + &nothing)), (vec![], 2));
    let compacted = format!("{RF3_MIN2}\ncleanup.policy = \"compact\"\nkeys = 16");
    let told = vec![(Unjudged::GapsBehindLies, vec!["disk-lies"])];
    assert_eq!(left(&compacted, &(lies.clone() + &nothing)), (told, 1));
    assert_eq!(left(&compacted, &(lies + &settled("kill", LEADER))), (vec![], 2));
    let rot = settled("disk-corruption", LEADER) + "pages = 2\nintact = 0\n";
    let told = vec![(Unjudged::MayNotHeal, vec!["disk-corruption"])];
    assert_eq!(left(RF1, &rot), (told, 0));
}

#[test]
fn few_drawn_faults_are_skipped() {
    let report = swarm(100..112, false).0;
    assert_eq!(report.verdict, Verdict::Held, "{}", terminal(&report));
    let (struck, skipped) = (report.counts.faults, report.counts.faults_skipped);
    assert!(struck > 30, "{}", terminal(&report));
    assert!(100 * skipped <= 10 * (struck + skipped), "{}", terminal(&report));
}

#[test]
fn drawn_scenario_round_trips_through_its_file() {
    for seed in 0..60 {
        let scenario = draw(seed).unwrap();
        let text = scenario.to_toml(&Plan::draw(&scenario, Seed(seed)));
        let read = Scenario::parse(&scenario.file, &text).unwrap();
        assert_eq!(read.schedule.clone().unwrap_or_default(), scenario.schedule.clone().unwrap());
        assert_eq!(read.expect, scenario.expect);
        assert_eq!(read.seed, Some(seed));
        let (read, drawn) = (read.to_toml(&Plan::draw(&read, Seed(seed))), text);
        assert_eq!(read, drawn);
    }
}

/// A broker with several directories continues without one that failed, until it is restarted.
fn assert_restarts_after_disk_faults(child: &Scenario, number: u64) {
    if child.cluster.log_dirs().len() == 1 {
        return;
    }
    let text = child.to_toml(&Plan::draw(child, Seed(number)));
    for fault in text.split("[[schedule]]").skip(1) {
        let costs = ["disk-error", "disk-full", "dir-failure"];
        let costs_a_dir = costs.iter().any(|kind| fault.contains(&format!("kind = \"{kind}\"")));
        assert!(!costs_a_dir || fault.contains("restart = true"), "{number}: {fault}");
    }
}

#[test]
fn mutation_changes_the_schedule_and_recomputes_the_contract() {
    let (mut changed, mut promises) = (0, BTreeSet::new());
    for number in 1000..1600 {
        let (parent, beside) = (draw(number % 60).unwrap(), draw(number % 7).unwrap());
        let Some(child) = mutate(&parent, &beside, number) else { continue };
        assert_eq!(mutate(&parent, &beside, number).as_ref(), Some(&child));
        assert_eq!(child.cluster, parent.cluster);
        assert_eq!(child.topics, parent.topics);
        let faults = child.schedule.as_deref().unwrap();
        let contract = Contract::of(&child, faults);
        assert_eq!(contract.expect(), child.expect, "{number}");
        assert_restarts_after_disk_faults(&child, number);
        promises.insert((
            Contract::of(&parent, parent.schedule.as_deref().unwrap()).is_whole(),
            contract.is_whole(),
        ));
        changed += 1;
    }
    assert!(changed > 500, "{changed}");
    assert_eq!(promises.len(), 4, "some mutations weaken what is promised, some strengthen it");
}

fn swarm(seeds: std::ops::Range<u64>, mutates: bool) -> (SwarmReport, Vec<Found>) {
    struct Kept(Vec<Found>);
    impl Watch for Kept {
        fn ran(&mut self, found: &Found, _: usize) {
            self.0.push(found.clone());
        }
    }
    let mut kept = Kept(Vec::new());
    let swarm = Swarm {
        seeds,
        jobs: NonZeroUsize::MIN,
        engine: EngineKind::Leap,
        limit: None,
        mutates,
        stop_at_first: false,
        known: Known::default(),
        dir: DIR.into(),
    };
    let report = swarm.run(&mut kept).unwrap();
    (report, kept.0)
}

#[test]
fn swarm_holds_and_mutation_reaches_more_than_drawing() {
    let (report, found) = swarm(0..32, true);
    assert_eq!(report.verdict, Verdict::Held, "{}", terminal(&report));
    let (runs, features): (Vec<_>, Vec<_>) =
        report.growth.iter().map(|growth| (growth.runs, growth.features)).unzip();
    assert_eq!(runs, [1, 2, 4, 8, 16, 32]);
    assert!(features.is_sorted() && features[5] > features[3], "{features:?}");
    assert_eq!(report.features.len(), features[5]);
    let plain = swarm(0..32, false).0;
    assert!(plain.runs.iter().all(|run| run.mutated_from.is_none()));
    let drawn: BTreeSet<_> = plain.features.iter().collect();
    let by_mutation = |found: &&Found| matches!(found.origin, Origin::Mutated(_));
    let reached =
        found.iter().filter(by_mutation).flat_map(|found| &found.outcome.reached.features);
    let new: Vec<String> =
        reached.map(ToString::to_string).filter(|feature| !drawn.contains(feature)).collect();
    assert!(!new.is_empty(), "mutation reached nothing that drawing did not");
    // The mutated scenario is written to a file that gives the same run.
    let mutated = found.iter().find(by_mutation).unwrap();
    let scenario = &mutated.scenario;
    let seed = scenario.seed.unwrap();
    let text = scenario.to_toml(&Plan::draw(scenario, Seed(seed)));
    let read = Scenario::parse("elsewhere.toml", &text).unwrap();
    let again = run::run(&read, seed, EngineKind::Leap, None);
    assert_eq!(again.trace, mutated.outcome.trace);
    assert_eq!(again.verdict(&read.expect), RunVerdict::Held);
}

#[test]
fn runs_do_not_depend_on_threads_or_the_time_limit() {
    let run = |jobs: usize, limit: Option<Duration>| {
        let jobs = NonZeroUsize::new(jobs).unwrap();
        let engine = EngineKind::Leap;
        let swarm = Swarm {
            seeds: 0..18,
            jobs,
            engine,
            limit,
            mutates: true,
            stop_at_first: false,
            known: Known::default(),
            dir: DIR.into(),
        };
        swarm.run(&mut ()).unwrap()
    };
    let one = run(1, None);
    assert_eq!(one, run(3, None));
    let some = run(2, Some(Duration::from_millis(300)));
    assert!(one.runs.starts_with(&some.runs), "the same runs, possibly fewer");
    assert!(run(1, Some(Duration::ZERO)).runs.is_empty());
}

#[test]
fn failures_are_grouped_by_invariant_and_witness_and_known_ones_are_apart() {
    let scenario = |number: u64| draw(number).unwrap();
    let found = |number: u64, invariant: &str, what: &str| {
        let mut outcome = run::caught::caught(number, || panic!("replaced below"));
        outcome.broken = vec![run::outcome::Broken::new(invariant, Instant::START, what)];
        Found { number, origin: Origin::Drawn, scenario: scenario(number), outcome }
    };
    let known =
        Known::read("# one a line\nisr-superset: orders-1 # since the last release\n").unwrap();
    let mut report = SwarmReport::new(EngineKind::Leap, 0);
    let mut add = |number, invariant, what| {
        let failed = report.add(&found(number, invariant, what), 0, (0, 0), &known);
        failed.map(|(_, known)| known)
    };
    assert_eq!(add(3, "isr-superset", "orders-0 at 12.5 s"), Some(false));
    assert_eq!(add(5, "isr-superset", "orders-1 at 9 s"), Some(true));
    assert_eq!(add(8, "isr-superset", "orders-7 at 204.75 s"), Some(false));
    assert_eq!(add(9, "isr-superset", "another story"), Some(false));
    assert_eq!((report.failures.len(), report.known.len()), (3, 1));
    let text = terminal(&report);
    assert!(
        text.starts_with("BROKE isr-superset in 2 runs: orders-0 at 12.5 s\n  swarm-3  "),
        "{text}"
    );
    assert!(text.contains("BROKE isr-superset in 1 runs: another story\n  swarm-9  "), "{text}");
    assert!(
        text.contains("known failures, which don't count:\nBROKE isr-superset in 1 runs"),
        "{text}"
    );
    assert_eq!(
        Known::read("two words"),
        Err("line 1: expected `INVARIANT` or `INVARIANT: WORDS`".into())
    );
}
