//! Scenarios of transactions, as named tests of what each shows.
//!
//! Each also counts what its story is about in its first run: a storm in which no transaction met a fault
//! shows nothing.

#[path = "eos/hanging.rs"]
mod hanging;
#[path = "eos/steps.rs"]
mod steps;

use std::collections::BTreeSet;
use std::ops::Range;

#[cfg(any(debug_assertions, feature = "mutants"))]
use brokerquake::base::{Flaw, Flaws};
use brokerquake::lab::Trial;
use brokerquake::scenario::Scenario;
use serde_json::Value;

use super::scenarios::{waits, with_history};
use super::seen::Seen;
use steps::{Step, deaths};

/// The slow lane takes twenty.
const SEEDS: Range<u64> = 0..1;

/// The first run of a scenario, whose runs end as it expects.
fn seen(scenario: &str) -> Seen {
    Seen::first_of(Trial::of(scenario).seeds(SEEDS))
}

/// How many transactions ended so, as far as their producers know.
fn ended(seen: &Seen, outcome: &str) -> usize {
    seen.events("transaction-ended").filter(|line| line["outcome"] == outcome).count()
}

/// Records that were acknowledged later than a request may take: they were sent again.
fn sent_again(seen: &Seen, patience_ms: u64) -> usize {
    waits(&seen.lines).into_iter().filter(|wait| *wait > patience_ms * 1000).count()
}

/// What breaks in the first run of a scenario without a fix: the story that the fix is about happens.
#[cfg(any(debug_assertions, feature = "mutants"))]
fn broken_by(flaw: Flaw, scenario: &str) -> Vec<String> {
    let flawed = Scenario::load(scenario).unwrap().with_flaws(Flaws::only(flaw));
    let (outcome, _) = with_history(&flawed);
    outcome.broken.into_iter().map(|broken| broken.invariant).collect()
}

#[test]
fn committed_transactions_are_visible_and_aborted_ones_are_not() {
    let seen = seen("eos/calm-transactions");
    let (committed, aborted) = (ended(&seen, "committed"), ended(&seen, "aborted"));
    assert!(committed > 50 && aborted > 10, "{committed} committed, {aborted} aborted");
    let told = seen.outcome.counts.transactions.to_string();
    let expected = format!("{committed} committed, {aborted} aborted, 0 of unknown outcome");
    assert_eq!(told, expected);
}

#[test]
fn zombie_producer_is_fenced_and_changes_nothing() {
    let seen = seen("eos/zombie-producers");
    assert!(seen.strikes("pause of p") >= 4, "{:?}", seen.outcome.story);
    let (committed, fenced) = (ended(&seen, "committed"), ended(&seen, "fenced"));
    assert!(committed > 10 && fenced > 3, "{committed} committed, {fenced} fenced");
}

#[test]
fn decided_transactions_are_completed_by_the_next_coordinator() {
    let seen = seen("eos/coordinator-dies-while-completing");
    assert!(seen.strikes("kill of b") >= 3, "{:?}", seen.outcome.story);
    assert!(ended(&seen, "committed") > 50, "{} committed", ended(&seen, "committed"));
}

#[test]
fn repeated_addition_is_answered_once_the_first_is_committed() {
    let seen = Seen::first_of(Trial::of("eos/repeated-addition-waits").seeds(0..3));
    assert!(seen.strikes("kill of b") >= 5, "{:?}", seen.outcome.story);
    assert!(ended(&seen, "committed") > 20, "{} committed", ended(&seen, "committed"));
}

#[test]
fn transactions_that_are_open_too_long_are_aborted() {
    let seen = seen("eos/transactions-time-out");
    let over: usize = ["fenced", "unknown", "aborted"].iter().map(|end| ended(&seen, end)).sum();
    let committed = ended(&seen, "committed");
    assert!(committed > 50 && over > 5, "{committed} committed, {over} timed out");
}

#[test]
fn zombie_transformer_can_not_commit_what_another_one_reads() {
    let seen = seen("eos/zombie-transformers");
    assert!(seen.strikes("pause of k") >= 4, "{:?}", seen.outcome.story);
    assert!(seen.count("transformed") > 200, "{} inputs", seen.count("transformed"));
    let refused =
        |line: &&Value| line["event"] == "sent-offsets" && line["error"] == "COMMIT_FAILED";
    let refused = seen.lines.iter().filter(refused).count();
    assert!(refused > 0, "no zombie sent offsets after its place was taken");
}

#[test]
fn sequences_of_transactions_survive_leader_changes() {
    let seen = seen("eos/leaders-die-amid-transactions");
    assert!(seen.strikes("kill of b") >= 3, "{:?}", seen.outcome.story);
    assert!(ended(&seen, "committed") > 50, "{} committed", ended(&seen, "committed"));
}

#[test]
fn flushed_transactions_survive_power_losses_of_all_brokers() {
    let seen = seen("eos/transactions-survive-all-power-losses");
    assert!(seen.strikes("power-loss of b") >= 2, "{:?}", seen.outcome.story);
    assert!(ended(&seen, "committed") > 20, "{} committed", ended(&seen, "committed"));
}

#[test]
fn chain_of_two_stages_makes_one_output_of_each_input() {
    let seen = seen("eos/two-stages");
    assert!(seen.strikes("kill of k") >= 2, "{:?}", seen.outcome.story);
    assert!(seen.count("transformed") > 200, "{} inputs", seen.count("transformed"));
}

#[test]
fn coordinator_that_dies_at_any_step_leaves_nothing_behind() {
    Trial::of("eos/coordinator-dies-at-each-step").seeds(SEEDS).assert_as_expected();
    let mut died = BTreeSet::new();
    // The window of the last step is short: one run alone may miss it.
    for seed in 0..6 {
        if died.len() < Step::ALL.len() {
            died.extend(deaths("eos/coordinator-dies-at-each-step", seed));
        }
    }
    for step in Step::ALL {
        assert!(died.contains(&step), "no coordinator died {step:?}: {died:?}");
    }
}

#[test]
fn late_end_of_a_transaction_changes_nothing_in_the_next_one() {
    let seen = seen("eos/late-end-of-a-transaction");
    assert!(seen.strikes("EndTxn requests of p") >= 3, "{:?}", seen.outcome.story);
    let (committed, aborted) = (ended(&seen, "committed"), ended(&seen, "aborted"));
    assert!(committed > 20 && aborted > 20, "{committed} committed, {aborted} aborted");
}

#[test]
fn late_end_of_a_transaction_tears_the_next_one_in_version_1() {
    Trial::of("eos/late-end-tears-version-1").seeds(SEEDS).assert_as_expected();
}

#[test]
fn held_back_end_commits_offsets_of_a_later_transaction_of_version_1() {
    Trial::of("eos/late-end-commits-offsets-of-version-1").assert_as_expected();
}

#[test]
fn late_marker_of_a_deposed_coordinator_ends_no_later_transaction() {
    // It takes a transaction that is open when the marker arrives: not every seed has one.
    Trial::of("eos/late-marker-of-a-former-coordinator").seeds(1..3).assert_as_expected();
    let seen = seen("eos/late-marker-of-a-former-coordinator");
    assert_eq!(seen.strikes("WriteTxnMarkers requests of b"), 1, "{:?}", seen.outcome.story);
    assert!(seen.strikes("pause of b") >= 5, "{:?}", seen.outcome.story);
    let (committed, aborted) = (ended(&seen, "committed"), ended(&seen, "aborted"));
    assert!(committed > 15 && aborted > 10, "{committed} committed, {aborted} aborted");
}

#[test]
fn late_batch_of_an_aborted_transaction_is_refused_if_it_is_verified() {
    let seen = seen("eos/late-batch-is-verified");
    assert!(seen.strikes("Produce requests of p") >= 3, "{:?}", seen.outcome.story);
    let (committed, aborted) = (ended(&seen, "committed"), ended(&seen, "aborted"));
    assert!(committed > 20 && aborted > 3, "{committed} committed, {aborted} aborted");
}

#[test]
fn late_batch_is_not_taken_for_a_transaction_that_is_being_completed() {
    let seen = seen("eos/late-batch-before-the-last-marker");
    assert!(seen.strikes("Produce requests of p") >= 3, "{:?}", seen.outcome.story);
    assert_eq!(seen.strikes("WriteTxnMarkers requests of b"), 1, "{:?}", seen.outcome.story);
    let (committed, aborted) = (ended(&seen, "committed"), ended(&seen, "aborted"));
    assert!(committed > 20 && aborted > 3, "{committed} committed, {aborted} aborted");
}

#[test]
fn late_batch_of_an_aborted_transaction_hangs_if_it_is_not_verified() {
    let seen = seen("eos/late-batch-hangs-unverified");
    assert!(seen.strikes("Produce requests of p") >= 3, "{:?}", seen.outcome.story);
    let (committed, aborted) = (ended(&seen, "committed"), ended(&seen, "aborted"));
    assert!(committed > 20 && aborted > 3, "{committed} committed, {aborted} aborted");
}

#[test]
fn producers_continue_with_other_ids_when_their_epochs_run_out() {
    let seen = seen("eos/epochs-run-out");
    let got =
        |line: &&Value| ["identified", "bumped"].contains(&line["event"].as_str().unwrap_or(""));
    let epochs = seen.lines.iter().filter(got).filter_map(|line| line["epoch"].as_i64());
    let epochs: Vec<i64> = epochs.collect();
    let (last, first) = (epochs.contains(&32_766), epochs.contains(&0));
    assert!(last && first, "epochs of clients: {epochs:?}");
    assert!(ended(&seen, "committed") > 20, "{} committed", ended(&seen, "committed"));
}

#[test]
fn transactions_survive_the_switch_to_version_2() {
    let seen = seen("eos/version-2-comes-under-load");
    assert_eq!(seen.strikes("update of transaction.version to level 2"), 1);
    let bumps = || seen.lines.iter().filter(|line| line["event"] == "bumped");
    let before = bumps().filter(|line| line["at"].as_u64().is_some_and(|at| at < 16_000_000_000));
    let (before, all) = (before.count(), bumps().count());
    assert!(all > 50 && before < all / 4, "{before} of {all} epochs before the switch");
}

#[test]
fn five_batches_in_flight_are_sent_again_without_duplicates_or_reordering() {
    const SCENARIO: &str = "eos/lost-answers-five-in-flight";
    let seen = seen(SCENARIO);
    let again = sent_again(&seen, 1500);
    assert!(again > 500, "{again} records were sent again");
    #[cfg(any(debug_assertions, feature = "mutants"))]
    assert!(broken_by(Flaw::OneBatchWindow, SCENARIO).contains(&"duplicate".into()));
}

#[test]
fn six_batches_in_flight_without_idempotence_are_doubled_and_reordered() {
    let seen = seen("eos/lost-answers-six-in-flight");
    let again = sent_again(&seen, 1500);
    assert!(again > 100, "{again} records were sent again");
    // An idempotent producer refuses a sixth, and says so.
    let text = std::fs::read_to_string("scenarios/eos/lost-answers-six-in-flight.toml").unwrap();
    let refused = text.replace("enable.idempotence = false", "enable.idempotence = true");
    let refused = Scenario::parse("six.toml", &refused).unwrap_err().to_string();
    assert!(refused.contains("max.in.flight.requests.per.connection"), "{refused}");
}

#[test]
fn leader_changes_with_batches_in_flight_double_and_reorder_nothing() {
    const SCENARIO: &str = "eos/leaders-change-with-batches-in-flight";
    let seen = seen(SCENARIO);
    let struck = ["kill of b", "restart of b", "pause of b"].map(|words| seen.strikes(words));
    assert!(struck.iter().all(|count| *count >= 2), "{:?}", seen.outcome.story);
    let again = sent_again(&seen, 3000);
    assert!(again > 200, "{again} records were sent again");
}

#[test]
fn retry_of_a_batch_that_retention_deleted_is_recognised() {
    const SCENARIO: &str = "eos/retention-over-the-last-batch";
    let seen = seen(SCENARIO);
    assert!(seen.strikes("restart of b") >= 2, "{:?}", seen.outcome.story);
    #[cfg(any(debug_assertions, feature = "mutants"))]
    assert!(broken_by(Flaw::ForgetProducer, SCENARIO).contains(&"duplicate".into()));
}

#[test]
fn outcome_of_transactions_survives_compaction() {
    const SCENARIO: &str = "eos/compaction-over-markers";
    let seen = seen(SCENARIO);
    let (committed, aborted) = (ended(&seen, "committed"), ended(&seen, "aborted"));
    assert!(committed > 50 && aborted > 10, "{committed} committed, {aborted} aborted");
    #[cfg(any(debug_assertions, feature = "mutants"))]
    assert!(!broken_by(Flaw::DropMarkers, SCENARIO).is_empty());
}
