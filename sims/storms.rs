//! Scenarios of groups that consume through storms, as named tests of what each shows.
//!
//! Each also counts what its story is about in its first run: a storm in which nothing happened shows
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use brokerquake::lab::Trial;
use serde_json::Value;

use super::seen::Seen;

const SEEDS: std::ops::Range<u64> = 0..3;

/// The first run of a scenario, whose runs end as it expects.
fn seen(scenario: &str) -> Seen {
    Seen::first_of(Trial::of(scenario).seeds(SEEDS))
}

fn generations(seen: &Seen) -> BTreeSet<i64> {
    seen.events("joined").filter_map(|line| line["generation"].as_i64()).collect()
}

/// When something happened, in milliseconds.
fn ms(line: &Value) -> u64 {
    line["at"].as_u64().unwrap() / 1_000_000
}

#[test]
fn records_fetched_but_not_returned_are_not_committed_in_a_crash() {
    let seen = seen("groups/prefetch-crash");
    assert!(seen.strikes("kill of k") >= 4, "{:?}", seen.outcome.story);
    // A full poll leaves records of its fetch behind, except where they are just as many.
    let size = |line: &Value| line["records"].as_array().unwrap().len();
    let members: Vec<_> = seen.events("polled").filter(|line| line["consumer"] != 4).collect();
    let full = members.iter().filter(|line| size(line) == 5).count();
    assert!(members.iter().all(|line| size(line) <= 5));
    assert!(full * 2 > members.len(), "{full} of {} polls were full", members.len());
}

#[test]
fn rebalance_waits_for_a_batch_that_is_processed() {
    let seen = seen("groups/rebalance-waits-for-a-batch");
    assert!(generations(&seen).len() >= 5, "{:?}", generations(&seen));
    // A member went on with its batch after another one began to join, and then gave partitions up.
    let interrupted =
        seen.events("subscribed").filter(|line| line["consumer"] == 3).filter(|line| {
            let later = |name: &str| {
                let of = |other: &&Value| other["consumer"] == 1 && ms(other) > ms(line);
                seen.lines.iter().filter(|line| line["event"] == name).find(of).map(ms)
            };
            later("processed").zip(later("revoked")).is_some_and(|(one, other)| one + 200 < other)
        });
    assert!(interrupted.count() >= 2);
}

#[test]
fn batch_that_outlasts_the_poll_interval_is_processed_twice() {
    let seen = seen("groups/batch-outlasts-poll-interval");
    let lost = seen.events("lost").filter(|line| line["consumer"] == 3).count();
    assert!(lost >= 3, "the slow member was in time but for {lost} times");
}

#[test]
fn coordinator_killed_in_each_phase_of_a_rebalance_forgets_nothing() {
    let seen = seen("groups/coordinator-dies-in-each-phase");
    for phase in ["during rebalance", "during joining", "during syncing"] {
        assert!(seen.strikes(phase) >= 2, "{phase}: {:?}", seen.outcome.story);
    }
}

#[test]
fn coordinator_killed_while_members_reconcile_forgets_nothing() {
    let seen = seen("groups/coordinator-dies-while-reconciling");
    assert!(seen.strikes("during rebalance") >= 3, "{:?}", seen.outcome.story);
    assert!(seen.count("revoked") > 5);
}

#[test]
fn brokers_restarted_in_turn_cost_a_group_nothing() {
    let seen = seen("groups/rolling-restart-brokers");
    assert!(seen.strikes("restart of b") >= 5, "{:?}", seen.outcome.story);
}

#[test]
fn large_fetch_over_a_narrow_link_never_completes() {
    let seen = seen("groups/narrow-link-large-fetch");
    let processed = seen.count("processed");
    assert!((1..250).contains(&processed), "{processed} records");
    // Its heartbeats kept it in the group, and it tried for another minute.
    assert_eq!((seen.count("joined"), seen.count("lost")), (1, 0));
    let last = seen.events("processed").map(ms).max().unwrap();
    let lasted = seen.outcome.simulated.as_millis();
    assert!(lasted > u128::from(last) + 60_000, "read at {last} ms of {lasted} ms");
}

#[test]
fn small_fetches_over_a_narrow_link_flow() {
    let seen = seen("groups/narrow-link-small-fetch");
    let times: Vec<_> = seen.events("processed").map(ms).collect();
    assert_eq!(times.len(), 250);
    // 64 kbit/s carry 250 kB in half a minute: the link was narrow.
    assert!(times[249] - times[0] > 25_000, "{} ms", times[249] - times[0]);
}

#[test]
fn record_above_every_fetch_limit_is_replicated_and_read() {
    let seen = seen("groups/messages-above-fetch-limits");
    let processed = seen.count("processed");
    assert!(processed > 300, "{processed} records, each above the limits");
    assert!(seen.strikes("kill of b") >= 2, "{:?}", seen.outcome.story);
}

#[test]
fn record_above_message_max_bytes_is_refused_and_others_are_read() {
    let seen = seen("groups/messages-above-message-max");
    let errors: BTreeSet<_> =
        seen.events("fail").filter_map(|line| line["error"].as_str()).collect();
    assert!(errors.contains("MESSAGE_TOO_LARGE"), "{errors:?}");
    let (refused, acked) = (seen.outcome.counts.refused, seen.outcome.counts.acked);
    assert!(refused > 300 && acked > 300, "{refused} refused, {acked} acknowledged");
}

#[test]
fn exhausted_buffer_pool_fails_sends_before_they_have_an_offset() {
    let seen = seen("groups/buffer-pool-exhausted");
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for error in seen.events("fail").filter_map(|line| line["error"].as_str()) {
        *errors.entry(error).or_default() += 1;
    }
    assert!(errors.get("BUFFER_EXHAUSTED").is_some_and(|count| *count > 20), "{errors:?}");
    assert!(seen.outcome.counts.acked > 1000);
}

#[test]
fn commit_that_arrives_in_the_next_generation_changes_nothing() {
    let seen = seen("groups/late-commits");
    assert!(seen.strikes("OffsetCommit requests of k") >= 5, "{:?}", seen.outcome.story);
    assert!(generations(&seen).len() > 10, "{:?}", generations(&seen));
    let unknown = seen.events("committed").filter(|line| line["outcome"] == "unknown").count();
    assert!(unknown > 5, "{unknown} commits without an answer");
}

#[test]
fn late_commit_of_what_a_consumer_gave_up_changes_nothing() {
    let seen = seen("groups/late-commits-consumer");
    assert!(seen.strikes("OffsetCommit requests of k") >= 5, "{:?}", seen.outcome.story);
    let unknown = seen.events("committed").filter(|line| line["outcome"] == "unknown").count();
    assert!(unknown > 5, "{unknown} commits without an answer");
}

#[test]
fn members_that_know_a_later_leader_do_not_go_back_to_a_deposed_one() {
    for name in ["groups/deposed-leader-is-left", "groups/committed-offset-names-a-later-leader"] {
        let seen = seen(name);
        assert!(seen.strikes("cut off") >= 3, "{name}: {:?}", seen.outcome.story);
        assert!(seen.count("processed") > 2000, "{name}: {}", seen.count("processed"));
        assert!(generations(&seen).len() > 10, "{name}: {:?}", generations(&seen));
    }
}

#[test]
fn group_that_was_down_catches_up_with_its_backlog() {
    let seen = seen("groups/backlog-catches-up");
    let back = seen.events("subscribed").map(ms).max().unwrap();
    let before = |name| seen.events(name).filter(|line| ms(line) < back).count();
    let (acked, processed) = (before("ok"), before("processed"));
    assert!(acked > processed + 3000, "{acked} acknowledged, {processed} processed by {back} ms");
    assert!(seen.count("processed") >= seen.count("ok"));
}

#[test]
fn group_reads_a_topic_that_was_created_again_from_its_beginning() {
    let seen = seen("groups/topic-created-again");
    assert_eq!(seen.strikes("deletion of orders"), 1, "{:?}", seen.outcome.story);
    let first = seen.events("processed").filter(|line| line["offset"] == 0);
    let mut begun: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for line in first {
        let value = line["value"].as_u64().unwrap();
        begun.entry(line["partition"].as_str().unwrap()).or_default().insert(value);
    }
    assert_eq!(begun.len(), 6);
    assert!(begun.values().all(|values| values.len() == 2), "{begun:?}");
}

#[test]
fn group_reads_partitions_that_were_added() {
    let seen = seen("groups/partitions-added");
    assert_eq!(seen.strikes("growth of orders"), 2, "{:?}", seen.outcome.story);
    let read: BTreeSet<_> =
        seen.events("processed").filter_map(|line| line["partition"].as_str()).collect();
    assert_eq!(read.len(), 12, "{read:?}");
    assert!(generations(&seen).len() >= 3, "{:?}", generations(&seen));
}

#[test]
fn names_at_the_limits_are_names_like_others() {
    let seen = seen("groups/names-at-the-limits");
    let groups: BTreeSet<_> =
        seen.events("subscribed").filter_map(|line| line["group"].as_str()).collect();
    assert_eq!(groups.len(), 2);
    assert!(
        groups.iter().any(|name| name.len() == 2000) && groups.iter().any(|n| n.contains('🛒'))
    );
    for consumer in 1..=4 {
        let of = seen.events("processed").filter(|line| line["consumer"] == consumer);
        assert!(of.count() > 100, "k{consumer}");
    }
    let partitions: BTreeSet<_> =
        seen.events("processed").filter_map(|line| line["partition"].as_str()).collect();
    assert!(partitions.iter().all(|name| name.len() == 251), "{partitions:?}");
    assert!(seen.strikes("kill of b") >= 1, "{:?}", seen.outcome.story);
}
