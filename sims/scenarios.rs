//! Every scenario under `scenarios/`, told as what it shows.
//!
//! `BROKERQUAKE_SCENARIO`, `BROKERQUAKE_SEEDS` and `BROKERQUAKE_SEED` narrow this down.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use brokerquake::check::history;
use brokerquake::lab::files::load_all;
use brokerquake::lab::run::with_history;
use brokerquake::lab::{EngineKind, Scenario, Trial};

#[test]
fn nothing_goes_wrong_where_nothing_is_done() {
    Trial::of("smoke/smoke-calm").seeds(0..5).assert_as_expected();
}

#[test]
fn a_dying_leader_takes_what_it_alone_acknowledged_in_a_short_run_too() {
    Trial::of("smoke/smoke-acks-1-leader-kill").seeds(0..5).assert_as_expected();
}

#[test]
fn a_dying_leader_takes_nothing_in_a_short_run_either() {
    Trial::of("smoke/smoke-acks-all-leader-kill").seeds(0..5).assert_as_expected();
}

#[test]
fn two_good_copies_remain_when_one_leader_loses_power() {
    Trial::of("smoke/smoke-one-power-loss").seeds(0..5).assert_as_expected();
}

#[test]
fn no_good_copy_remains_when_all_lose_power_at_once() {
    Trial::of("smoke/smoke-all-lose-power").seeds(0..5).assert_as_expected();
}

#[test]
fn a_leader_that_is_cut_off_once_promises_nothing_that_it_can_not_keep() {
    Trial::of("smoke/smoke-leader-cut-off").seeds(0..5).assert_as_expected();
}

#[test]
fn a_producer_that_waits_for_nobody_loses_records_when_leaders_die() {
    Trial::of("faults/acks-0-leader-kill").seeds(0..10).assert_as_expected();
}

#[test]
fn a_producer_that_waits_for_the_leader_alone_loses_records_when_it_dies() {
    Trial::of("faults/acks-1-leader-kill").seeds(0..10).assert_as_expected();
}

#[test]
fn whoever_waited_for_all_replicas_loses_nothing_to_dying_processes() {
    Trial::of("faults/acks-all-kills").seeds(0..10).assert_as_expected();
}

#[test]
fn a_dying_controller_forgets_nothing_that_it_committed() {
    Trial::of("faults/acks-all-controller-kills").seeds(0..10).assert_as_expected();
}

#[test]
fn one_power_loss_at_a_time_takes_nothing_that_two_others_have() {
    Trial::of("faults/one-power-loss-at-a-time").seeds(0..10).assert_as_expected();
}

#[test]
fn a_rack_that_loses_power_takes_what_was_on_no_disk() {
    Trial::of("faults/all-lose-power-unflushed").seeds(0..10).assert_as_expected();
}

#[test]
fn a_rack_that_loses_power_takes_nothing_that_was_flushed() {
    Trial::of("faults/all-lose-power-flushed").seeds(0..10).assert_as_expected();
}

#[test]
fn a_leader_that_may_go_on_alone_acknowledges_what_only_it_has() {
    Trial::of("faults/min-insync-1-alone-without-power").seeds(0..10).assert_as_expected();
}

#[test]
fn a_leader_that_may_not_go_on_alone_acknowledges_nothing_that_only_it_has() {
    Trial::of("faults/min-insync-2-alone-without-power").seeds(0..10).assert_as_expected();
}

#[test]
fn a_leader_that_is_cut_off_from_the_cluster_loses_nothing_that_it_acknowledged() {
    Trial::of("faults/leader-cut-off").seeds(0..10).assert_as_expected();
}

#[test]
fn links_that_fail_one_way_only_lose_nothing() {
    Trial::of("faults/one-way-cuts").seeds(0..10).assert_as_expected();
}

#[test]
fn a_paused_leader_that_wakes_after_its_successor_was_elected_does_no_harm() {
    Trial::of("faults/paused-leader").seeds(0..10).assert_as_expected();
}

#[test]
fn a_laggard_that_may_lead_takes_what_it_lacks_from_everybody() {
    Trial::of("faults/unclean-election-on").seeds(0..10).assert_as_expected();
}

#[test]
fn a_partition_whose_laggards_may_not_lead_waits_and_loses_nothing() {
    Trial::of("faults/unclean-election-off").seeds(0..10).assert_as_expected();
}

#[test]
fn a_rolling_restart_is_noticed_by_nobody() {
    Trial::of("faults/rolling-restart").seeds(0..10).assert_as_expected();
}

#[test]
fn nodes_that_are_cut_off_one_by_one_and_mended_in_another_order_lose_nothing() {
    Trial::of("faults/swizzle-clog").seeds(0..10).assert_as_expected();
}

#[test]
fn links_that_fail_and_mend_and_fail_again_lose_nothing() {
    Trial::of("faults/flapping-links").seeds(0..10).assert_as_expected();
}

#[test]
fn a_process_that_dies_again_while_it_recovers_loses_nothing() {
    Trial::of("faults/restart-storm").seeds(0..10).assert_as_expected();
}

#[test]
fn links_that_are_slow_narrow_or_lossy_lose_nothing() {
    Trial::of("faults/slow-links").seeds(0..10).assert_as_expected();
}

#[test]
fn disks_that_hang_delay_what_is_acknowledged_and_take_nothing() {
    Trial::of("faults/slow-disks").seeds(0..10).assert_as_expected();
}

#[test]
fn no_clock_decides_what_is_safe() {
    Trial::of("faults/wrong-clocks").seeds(0..10).assert_as_expected();
}

#[test]
fn a_full_disk_keeps_what_it_has() {
    Trial::of("faults/disk-full").seeds(0..10).assert_as_expected();
}

#[test]
fn a_sync_that_failed_acknowledges_nothing() {
    Trial::of("faults/disk-errors").seeds(0..10).assert_as_expected();
}

#[test]
fn there_is_no_worst_moment() {
    Trial::of("faults/at-the-worst-moment").seeds(0..10).assert_as_expected();
}

#[test]
fn the_smaller_half_of_a_split_cluster_promises_nothing() {
    Trial::of("faults/split-brain").seeds(0..10).assert_as_expected();
}

#[test]
fn a_compacted_log_keeps_each_keys_latest_record_whatever_dies() {
    Trial::of("faults/compaction-kills").seeds(0..6).assert_as_expected();
}

#[test]
fn retention_takes_only_what_was_due_whatever_dies() {
    Trial::of("faults/retention-kills").seeds(0..6).assert_as_expected();
}

#[test]
fn what_was_once_shrunk_still_ends_as_its_file_expects() {
    let found = load_all(&["scenarios/regressions".into()]).unwrap();
    assert!(!found.is_empty());
    for scenario in found {
        assert!(scenario.seed.is_some(), "{}: a regression names its seed", scenario.file);
        Trial::of(&scenario.file).assert_as_expected();
    }
}

#[test]
fn every_scenario_has_its_story_here() {
    let told = include_str!("scenarios.rs");
    for scenario in load_all(&["scenarios".into()]).unwrap() {
        // Regressions are told together, above; mutants in `sims/mutants.rs`.
        let elsewhere = ["scenarios/regressions/", "scenarios/mutants/"];
        if elsewhere.iter().any(|dir| scenario.file.starts_with(dir)) {
            continue;
        }
        let place = scenario.file.trim_start_matches("scenarios/").trim_end_matches(".toml");
        assert!(told.contains(&format!("Trial::of(\"{place}\")")), "nobody tells {place}");
    }
}

#[test]
fn a_history_on_file_breaks_the_same_promises_as_the_run_that_it_tells_of() {
    for (name, breaks) in
        [("smoke/smoke-all-lose-power", true), ("smoke/smoke-leader-cut-off", false)]
    {
        let scenario = Scenario::load(name).unwrap();
        let (outcome, text) = with_history(&scenario, 0, EngineKind::Leap).unwrap();
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
