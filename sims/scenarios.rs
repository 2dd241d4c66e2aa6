//! Every scenario under `scenarios/`, as a named test of what it shows.
//!
//! `BROKERQUAKE_SCENARIO`, `BROKERQUAKE_SEEDS` and `BROKERQUAKE_SEED` narrow this down.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use brokerquake::check::history;
use brokerquake::lab::Trial;
use brokerquake::run::outcome::{Broken, Outcome};
use brokerquake::run::{EngineKind, Observers, watched};
use brokerquake::scenario::Scenario;
use brokerquake::scenario::files::load_all;
use serde_json::Value;

use super::seen::{Seen, lines};

#[test]
fn smoke_calm_loses_nothing() {
    Trial::of("smoke/smoke-calm").seeds(0..3).assert_as_expected();
}

#[test]
fn smoke_acks_1_leader_kill_loses_acknowledged_records() {
    Trial::of("smoke/smoke-acks-1-leader-kill").seeds(0..5).assert_as_expected();
}

#[test]
fn smoke_acks_all_leader_kill_loses_nothing() {
    Trial::of("smoke/smoke-acks-all-leader-kill").seeds(0..3).assert_as_expected();
}

#[test]
fn smoke_one_power_loss_loses_nothing() {
    Trial::of("smoke/smoke-one-power-loss").seeds(0..3).assert_as_expected();
}

#[test]
fn smoke_all_lose_power_loses_unflushed_records() {
    Trial::of("smoke/smoke-all-lose-power").seeds(0..5).assert_as_expected();
}

#[test]
fn smoke_leader_cut_off_loses_nothing() {
    Trial::of("smoke/smoke-leader-cut-off").seeds(0..3).assert_as_expected();
}

#[test]
fn acks_0_loses_records_when_leaders_are_killed() {
    Trial::of("faults/acks-0-leader-kill").seeds(0..5).assert_as_expected();
}

#[test]
fn acks_1_loses_records_when_leaders_are_killed() {
    Trial::of("faults/acks-1-leader-kill").seeds(0..2).assert_as_expected();
}

#[test]
fn each_topic_is_judged_by_its_own_promise() {
    Trial::of("faults/two-topics").seeds(7..10).assert_as_expected();
}

#[test]
fn acks_all_loses_nothing_when_processes_are_killed() {
    Trial::of("faults/acks-all-kills").seeds(0..3).assert_as_expected();
}

#[test]
fn controller_kills_lose_no_committed_metadata() {
    Trial::of("faults/acks-all-controller-kills").seeds(0..3).assert_as_expected();
}

#[test]
fn one_power_loss_at_a_time_loses_nothing() {
    Trial::of("faults/one-power-loss-at-a-time").seeds(0..3).assert_as_expected();
}

#[test]
fn rack_power_loss_loses_unflushed_records() {
    Trial::of("faults/all-lose-power-unflushed").seeds(0..5).assert_as_expected();
}

#[test]
fn rack_power_loss_keeps_flushed_records() {
    Trial::of("faults/all-lose-power-flushed").seeds(0..3).assert_as_expected();
}

#[test]
fn rack_power_losses_keep_records_flushed_before_ack() {
    Trial::of("faults/all-lose-power-before-ack").seeds(0..3).assert_as_expected();
}

#[test]
fn min_insync_1_loses_records_of_a_lone_leader() {
    Trial::of("faults/min-insync-1-alone-without-power").seeds(0..5).assert_as_expected();
}

#[test]
fn min_insync_2_loses_no_records_of_a_lone_leader() {
    Trial::of("faults/min-insync-2-alone-without-power").seeds(0..3).assert_as_expected();
}

#[test]
fn leader_cut_off_from_the_cluster_loses_nothing() {
    Trial::of("faults/leader-cut-off").seeds(0..3).assert_as_expected();
}

#[test]
fn lookups_agree_with_the_log_while_leaders_change() {
    Trial::of("faults/lookups").seeds(0..3).assert_as_expected();
}

#[test]
fn seeking_consumers_read_on_from_where_they_sought() {
    Trial::of("faults/seeks").seeds(0..3).assert_as_expected();
}

#[test]
fn one_way_cuts_lose_nothing() {
    Trial::of("faults/one-way-cuts").seeds(0..3).assert_as_expected();
}

#[test]
fn paused_leader_is_fenced_when_it_wakes() {
    Trial::of("faults/paused-leader").seeds(0..3).assert_as_expected();
}

#[test]
fn nearest_replica_serves_only_what_is_committed() {
    Trial::of("faults/nearest-replica").seeds(0..3).assert_as_expected();
}

#[test]
fn exhausted_buffer_pool_fails_sends_and_loses_nothing() {
    Trial::of("faults/exhausted-buffer-pool").seeds(0..2).assert_as_expected();
    let failed = |scenario: &Scenario| {
        let lines = lines(&with_history(scenario).1);
        lines.iter().filter(|line| line["error"] == "BUFFER_EXHAUSTED").count()
    };
    let scenario = Scenario::load("faults/exhausted-buffer-pool").unwrap();
    let scarce = failed(&scenario);
    let text = include_str!("../scenarios/faults/exhausted-buffer-pool.toml");
    let text = text.replace("buffer.memory = 65536", "buffer.memory = 33554432");
    let ample = failed(&Scenario::parse("ample", &text).unwrap());
    assert!(scarce > 0 && ample == 0, "{scarce} sends failed, with ample memory {ample}");
}

#[test]
fn unclean_election_loses_acknowledged_records() {
    Trial::of("faults/unclean-election-on").seeds(0..5).assert_as_expected();
}

#[test]
fn partition_without_unclean_election_waits_and_loses_nothing() {
    Trial::of("faults/unclean-election-off").seeds(0..3).assert_as_expected();
}

#[test]
fn unclean_election_that_is_asked_for_loses_acknowledged_records() {
    Trial::of("faults/unclean-election-asked-for").seeds(0..3).assert_as_expected();
}

#[test]
fn preferred_leaders_lead_again_and_lose_nothing() {
    let trial = Trial::of("faults/preferred-leaders-come-back").seeds(0..3);
    for outcome in trial.assert_observed(|run| run(Observers::default())) {
        let vain = outcome.notes.iter().find(|note| note.contains("changed nothing"));
        assert_eq!(vain, None, "seed {}", outcome.seed);
    }
}

#[test]
fn election_that_changes_nothing_is_noted() {
    let text = "name = \"x\"\nduration = \"6s\"\n[[load]]\nkind = \"producer\"\n[[fault]]\nkind = \
                \"leaders-elected\"\nelection = \"unclean\"\nat = \"3s\"\n[expect]\nholds = [\"*\"]\n";
    let scenario = Scenario::parse("x.toml", text).unwrap();
    let outcome = watched(&scenario, 0, EngineKind::Leap, Observers::default());
    let said = "the unclean election of the leaders of orders changed nothing: ELECTION_NOT_NEEDED";
    assert!(outcome.notes.iter().any(|note| note == said), "{:?}", outcome.notes);
}

#[test]
fn rolling_restart_loses_nothing() {
    Trial::of("faults/rolling-restart").seeds(0..3).assert_as_expected();
}

#[test]
fn swizzle_clogged_links_lose_nothing() {
    Trial::of("faults/swizzle-clog").seeds(0..3).assert_as_expected();
}

#[test]
fn flapping_links_lose_nothing() {
    Trial::of("faults/flapping-links").seeds(0..3).assert_as_expected();
}

#[test]
fn restart_storm_during_recovery_loses_nothing() {
    Trial::of("faults/restart-storm").seeds(0..3).assert_as_expected();
}

#[test]
fn slow_narrow_and_lossy_links_lose_nothing() {
    Trial::of("faults/slow-links").seeds(0..3).assert_as_expected();
}

#[test]
fn stalled_disks_delay_acknowledgements_and_lose_nothing() {
    Trial::of("faults/slow-disks").seeds(0..3).assert_as_expected();
}

#[test]
fn wrong_clocks_lose_nothing() {
    Trial::of("faults/wrong-clocks").seeds(0..3).assert_as_expected();
}

#[test]
fn full_disk_keeps_its_records() {
    Trial::of("faults/disk-full").seeds(0..3).assert_as_expected();
}

#[test]
fn failed_sync_acknowledges_nothing() {
    Trial::of("faults/disk-errors").seeds(0..3).assert_as_expected();
}

#[test]
fn failed_log_dir_takes_only_its_own_replicas_offline() {
    Trial::of("faults/dead-directory").seeds(0..3).assert_as_expected();
}

#[test]
fn replaced_disk_neither_leads_nor_counts_before_it_has_caught_up() {
    Trial::of("faults/disk-replaced").seeds(0..3).assert_as_expected();
}

#[test]
fn corrupt_leader_serves_no_corrupt_batch_and_steps_down() {
    assert!(reaches_damage("faults/rotten-segments", 0..4));
}

#[test]
fn corruption_of_the_only_copy_costs_only_the_corrupt_batch() {
    let seen = Seen::first_of(Trial::of("faults/rotten-only-copy").seeds(0..4));
    // Refused by name and skipped, and the end was reached nevertheless.
    assert!(seen.count("unreadable") > 0 && seen.count("skipped") > 0);
    assert!(seen.count("skipped") < 20, "only records in the one page: {}", seen.count("skipped"));
    assert_eq!(seen.count("reached-end"), 2);
    let broken: Vec<_> = seen.outcome.broken.iter().map(|broken| &*broken.invariant).collect();
    assert_eq!(broken, ["acked-write-unseen"]);
}

#[test]
fn corruption_before_a_rack_power_loss_is_not_served_or_cut() {
    assert!(reaches_damage("faults/rot-before-all-lose-power", 0..4));
}

/// Whether a broker refused a damaged batch in some run; all end as the scenario expects.
fn reaches_damage(scenario: &str, seeds: Range<u64>) -> bool {
    let refused = Trial::of(scenario).seeds(seeds).assert_observed(|run| {
        let reached = run(Observers::default()).reached;
        reached.situations.iter().any(|seen| seen.name() == "damaged batch refused")
    });
    refused.contains(&true)
}

#[test]
fn lying_disk_loses_acknowledged_records() {
    Trial::of("faults/disk-lies").seeds(0..3).assert_as_expected();
}

#[test]
fn stalled_sync_acknowledges_nothing_early() {
    Trial::of("faults/fsync-stalls").seeds(0..3).assert_as_expected();
    let report = Trial::of("faults/fsync-stalls").seeds(0..1).run();
    let stalled: u64 = report.disks.iter().map(|disk| disk.stalled_ms).sum();
    let stalls: u64 = report.disks.iter().map(|disk| disk.stalls).sum();
    assert!(stalls > 0 && stalled > 1000 * stalls / 2, "{:?}", report.disks);
}

#[test]
fn nothing_counts_before_its_sync_has_ended() {
    for name in ["faults/repeated-batch-waits-for-its-sync", "faults/elected-while-its-sync-hangs"]
    {
        let seen = Seen::first_of(Trial::of(name).seeds(0..3));
        assert!(seen.strikes("syncs that hang") >= 3, "{name}: {:?}", seen.outcome.story);
        assert!(seen.strikes("power-loss of b1") >= 3, "{name}: {:?}", seen.outcome.story);
        assert!(seen.outcome.counts.acked > 500, "{name}: {:?}", seen.outcome.counts);
    }
}

#[test]
fn follower_that_gives_its_log_up_comes_back_in_a_new_epoch() {
    assert!(reaches_damage("faults/log-given-up-over-slow-links", 0..3));
}

#[test]
fn writer_faster_than_the_disk_is_throttled_and_loses_nothing() {
    Trial::of("faults/dirty-ratio").seeds(0..2).assert_as_expected();
    let scenario = Scenario::load("faults/dirty-ratio").unwrap();
    let mut roomy = scenario.clone();
    roomy.disk.memory = None;
    let waits = |scenario: &Scenario| {
        let (outcome, text) = with_history(scenario);
        let throttled: u64 = outcome.disks.iter().map(|disk| disk.throttled).sum();
        (throttled, median(&waits_for_acks(&text)))
    };
    let ((throttled, late), (never, early)) = (waits(&scenario), waits(&roomy));
    assert!(throttled > 100 && never == 0, "{throttled} writes throttled");
    assert!(late > 5 * early, "acknowledged after {late} us against {early} us");
}

#[test]
fn lagging_consumer_slows_down_the_tail_consumer() {
    let Seen { outcome, lines } = Seen::first_of(Trial::of("faults/lagging-consumer").seeds(0..2));
    // k2 is away from 2 s on, and catches up from 27 s on; k1 reads at the tail all the time.
    let (before, meanwhile, caught_up) = tail_latencies(&lines);
    let (alone, together) = (median(&before), median(&meanwhile));
    assert!(together > alone * 3 / 2, "read after {together} us against {alone} us alone");
    assert!(median(&caught_up) < (alone + together) / 2, "no consumer lags any more");
    let missed: u64 = outcome.disks.iter().map(|disk| disk.page_misses).sum();
    let evicted: u64 = outcome.disks.iter().map(|disk| disk.evicted).sum();
    assert!(missed > 100 && evicted > 1000, "{:?}", outcome.disks);
}

/// The run of a scenario's first seed, and the history of its clients.
pub(super) fn with_history(scenario: &Scenario) -> (Outcome, Vec<u8>) {
    let mut text = Vec::new();
    let observers = Observers { history: Some(&mut text), ..Observers::default() };
    let outcome = watched(scenario, 0, EngineKind::Leap, observers);
    (outcome, text)
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// How long each producer waited for each acknowledgement, in microseconds.
fn waits_for_acks(text: &[u8]) -> Vec<u64> {
    waits(&lines(text))
}

/// The same, of the lines of a history.
pub(super) fn waits(lines: &[Value]) -> Vec<u64> {
    let (mut sent, mut waits) = (BTreeMap::new(), Vec::new());
    for line in lines {
        let key = (line["producer"].as_u64(), line["op"].as_u64());
        let at = line["at"].as_u64().unwrap_or(0);
        match line["event"].as_str() {
            Some("sent") => drop(sent.insert(key, at)),
            Some("ok") => waits.extend(sent.get(&key).map(|then| (at - then) / 1000)),
            _ => {}
        }
    }
    waits
}

/// The age of records when consumer 1 read them, in microseconds: before another consumer lagged,
/// while it caught up, and afterwards.
fn tail_latencies(all: &[Value]) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let polls = |consumer: u64| {
        let polled = move |line: &&Value| {
            line["event"] == "polled" && line["consumer"].as_u64() == Some(consumer)
        };
        all.iter().filter(polled)
    };
    let sent = all.iter().filter(|line| line["event"] == "sent");
    let sent: BTreeMap<u64, u64> =
        sent.map(|line| (line["value"].as_u64().unwrap(), line["at"].as_u64().unwrap())).collect();
    // The lagging consumer is back when it polls after a long silence, and has caught up when it
    // reads recent records.
    let mut silent = (0, 0);
    for pair in polls(2).collect::<Vec<_>>().windows(2) {
        let times = (pair[0]["at"].as_u64().unwrap(), pair[1]["at"].as_u64().unwrap());
        if times.1 - times.0 > silent.1 - silent.0 {
            silent = times;
        }
    }
    let ages = |line: &Value| {
        let at = line["at"].as_u64().unwrap();
        let records = line["records"].as_array().unwrap().iter();
        let sent = records.filter_map(|record| sent.get(&record[1].as_u64()?).copied());
        sent.map(move |then| at.saturating_sub(then) / 1000).collect::<Vec<u64>>()
    };
    let young = |line: &&Value| {
        line["at"].as_u64().unwrap() > silent.1 && ages(line).iter().all(|age| *age < 2_000_000)
    };
    let caught_up = polls(2).find(young).map_or(u64::MAX, |line| line["at"].as_u64().unwrap());
    let (mut before, mut meanwhile, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for line in polls(1) {
        let at = line["at"].as_u64().unwrap();
        match () {
            () if at < silent.1 => before.extend(ages(line)),
            () if at < caught_up => meanwhile.extend(ages(line)),
            () => after.extend(ages(line)),
        }
    }
    (before, meanwhile, after)
}

#[test]
fn kills_at_the_worst_moments_lose_nothing() {
    Trial::of("faults/at-the-worst-moment").seeds(0..3).assert_as_expected();
}

#[test]
fn minority_side_of_a_split_brain_acknowledges_nothing() {
    Trial::of("faults/split-brain").seeds(0..3).assert_as_expected();
}

#[test]
fn compacted_log_keeps_each_keys_latest_record_under_kills() {
    Trial::of("faults/compaction-kills").seeds(0..3).assert_as_expected();
}

#[test]
fn retention_deletes_only_expired_records_under_kills() {
    Trial::of("faults/retention-kills").seeds(0..3).assert_as_expected();
}

#[test]
fn calm_group_processes_each_record_once() {
    Trial::of("groups/calm-group").seeds(0..3).assert_as_expected();
}

#[test]
fn automatic_commits_lose_nothing_when_members_are_killed() {
    Trial::of("groups/auto-commit-crashes").seeds(0..5).assert_as_expected();
}

#[test]
fn commit_before_processing_loses_records_of_killed_members() {
    Trial::of("groups/commit-before-processing").seeds(0..5).assert_as_expected();
}

#[test]
fn commit_after_processing_only_repeats_records() {
    Trial::of("groups/commit-after-processing").seeds(0..5).assert_as_expected();
}

#[test]
fn automatic_commits_lose_what_a_worker_still_processes() {
    Trial::of("groups/auto-commit-with-worker").seeds(0..3).assert_as_expected();
}

#[test]
fn commits_after_a_worker_processed_lose_nothing() {
    Trial::of("groups/commit-after-worker").seeds(0..3).assert_as_expected();
}

#[test]
fn rebalance_storm_loses_nothing_and_ends_stable() {
    Trial::of("groups/rebalance-storm").seeds(0..3).assert_as_expected();
}

#[test]
fn cooperative_storm_loses_nothing_and_ends_stable() {
    Trial::of("groups/cooperative-storm").seeds(0..3).assert_as_expected();
}

#[test]
fn members_that_poll_too_late_are_fenced() {
    Trial::of("groups/slow-polls").seeds(0..3).assert_as_expected();
}

#[test]
fn coordinator_killed_in_a_rebalance_forgets_nothing() {
    Trial::of("groups/coordinator-kills").seeds(0..3).assert_as_expected();
}

#[test]
fn rolling_restart_of_static_members_causes_no_rebalance() {
    let seen = generations("groups/rolling-restart-static");
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn rolling_restart_of_dynamic_members_rebalances_each_time() {
    // One for each restart: it ends when the session of the former member does.
    let seen = generations("groups/rolling-restart-dynamic");
    assert_eq!(seen, BTreeSet::from([1, 2, 3, 4]));
}

/// The generations that members of a scenario's group joined in its first run; all end as it expects.
fn generations(scenario: &str) -> BTreeSet<i64> {
    let seen = Seen::first_of(Trial::of(scenario).seeds(0..3));
    seen.events("joined").filter_map(|line| line["generation"].as_i64()).collect()
}

#[test]
fn shrunk_regressions_keep_their_verdict() {
    let found = load_all(&["scenarios/regressions".into()]).unwrap();
    assert!(!found.is_empty());
    for scenario in found {
        assert!(scenario.seed.is_some(), "{}: a regression names its seed", scenario.file);
        Trial::of(&scenario.file).assert_observed(|run| drop(run(Observers::default())));
    }
}

/// Few: the referee takes several times as long.
const REFEREED: Range<u64> = 0..2;

#[test]
fn turmoil_and_leap_agree_on_every_smoke_verdict() {
    let mut compared = 0;
    for scenario in load_all(&["scenarios/smoke".into()]).unwrap() {
        let judged = |engine| {
            let report = Trial::of(&scenario.file).seeds(REFEREED).on(engine).run();
            // The consequences of a violation may differ with who read what, and when.
            let spoken_of = report.witnesses.iter().filter(|witness| witness.expected != "open");
            let broken: Vec<_> = spoken_of.map(|witness| witness.broken.clone()).collect();
            (report, broken)
        };
        let (referee, by_referee) = judged(EngineKind::Turmoil);
        if let Some(why) = referee.left_out().next() {
            println!("{}: not compared, {why}", scenario.name);
            continue;
        }
        let (leap, by_leap) = judged(EngineKind::Leap);
        let names = |broken: &[Broken]| -> Vec<String> {
            broken.iter().map(|broken| broken.invariant.clone()).collect()
        };
        assert!(
            leap.verdict == referee.verdict && names(&by_leap) == names(&by_referee),
            "{}: {} under leap {by_leap:?}, {} under turmoil {by_referee:?}",
            scenario.name,
            leap.verdict,
            referee.verdict,
        );
        compared += 1;
    }
    assert!(compared > 0, "no scenario was compared");
}

#[test]
fn every_scenario_has_a_test_here() {
    let told = concat!(
        include_str!("scenarios.rs"),
        include_str!("storms.rs"),
        include_str!("eos.rs"),
        include_str!("guarantees.rs"),
    );
    for scenario in load_all(&["scenarios".into()]).unwrap() {
        // Regressions have one test, above; mutants are in `sims/mutants.rs`.
        let elsewhere = ["scenarios/regressions/", "scenarios/mutants/"];
        if elsewhere.iter().any(|dir| scenario.file.starts_with(dir)) {
            continue;
        }
        let place = scenario.file.trim_start_matches("scenarios/").trim_end_matches(".toml");
        assert!(told.contains(&format!("\"{place}\"")), "no test runs {place}");
    }
}

#[test]
fn history_file_breaks_the_same_invariants_as_its_run() {
    for (name, breaks) in
        [("smoke/smoke-all-lose-power", true), ("smoke/smoke-leader-cut-off", false)]
    {
        let scenario = Scenario::load(name).unwrap();
        let mut text = Vec::new();
        let observers = Observers { history: Some(&mut text), ..Observers::default() };
        let outcome = watched(&scenario, 0, EngineKind::Leap, observers);
        let (header, verdicts) = history::judge(text.as_slice()).unwrap();
        assert_eq!(header.scenario, scenario.name);
        let mut then: Vec<(&str, String)> = outcome
            .broken
            .iter()
            .map(|broken| (broken.invariant.as_str(), broken.what.clone()))
            .filter(|(name, _)| verdicts.judged.contains(name))
            .collect();
        let mut later: Vec<(&str, String)> = verdicts
            .violations
            .iter()
            .map(|broken| (broken.invariant, broken.to_string()))
            .collect();
        then.sort();
        later.sort();
        assert_eq!(then, later, "{name}");
        assert_eq!(!then.is_empty(), breaks, "{name}");
    }
}
