//! Whole runs, judged by all invariants.

mod model;
mod transactions;

use model::Flaw;

use super::testing::Story;
use crate::base::config::Acks;

/// A record goes its whole way: sent, written by the leader, fetched, committed, acknowledged, read.
fn one_record(story: &mut Story, leader: u16, epoch: i32, offset: i64, followers: &[u16]) {
    let (op, value) = (offset as u64, 1000 + offset as u64);
    story.sent(0, op, value, Acks::All);
    story.leader_writes(leader, offset, epoch, &[value]);
    for follower in followers {
        story.writes(*follower, offset, epoch, &[value]);
    }
    story.high_watermark(leader, epoch, offset + 1);
    story.acknowledged_all(leader, epoch, offset + 1);
    story.told_ok(0, op, Some(offset));
    for follower in followers {
        story.high_watermark(*follower, epoch, offset + 1);
    }
}

fn everything_is_read(story: &mut Story, end: i64) {
    story.long_later();
    story.reading();
    story.positioned(9, 0);
    let records: Vec<(i64, u64)> = (0..end).map(|offset| (offset, 1000 + offset as u64)).collect();
    for poll in records.chunks(500) {
        story.polled(9, poll);
    }
    story.reached_end(9, end);
    story.long_later();
}

#[test]
fn a_run_with_a_failover_and_a_power_loss_that_keeps_every_promise_breaks_nothing() {
    let mut story = Story::judging_all();
    for broker in 1..=3 {
        story.admitted(broker);
    }
    for offset in 0..50 {
        one_record(&mut story, 1, 0, offset, &[2, 3]);
    }
    // b1 writes a record that no follower fetches, then loses power and half of its log.
    story.leader_writes(1, 50, 0, &[7777]);
    story.power_loss(1, 25);
    story.commits(Some(2), 1, &[2, 3]);
    story.became_leader(2, 1);
    story.became_follower(3, 1, 2);
    for offset in 50..60 {
        one_record(&mut story, 2, 1, offset, &[3]);
    }
    // It comes back, follows, and is fed again.
    story.boot(1);
    story.admitted(1);
    story.became_follower(1, 1, 2);
    for offset in 25..60 {
        story.writes(1, offset, i32::from(offset >= 50), &[1000 + offset as u64]);
    }
    story.high_watermark(1, 1, 60);
    story.healed();
    story.commits(Some(2), 1, &[2, 3, 1]);
    for offset in 60..70 {
        one_record(&mut story, 2, 1, offset, &[1, 3]);
    }
    everything_is_read(&mut story, 70);
    let verdicts = story.finish();
    assert_eq!(verdicts.violations, Vec::new());
    assert_eq!(verdicts.notes, Vec::new());
}

#[test]
fn a_correct_protocol_is_never_accused_of_anything_while_processes_come_and_go() {
    for seed in 0..300 {
        let run = model::run(seed, Flaw::None, false);
        assert_eq!((run.broken, run.losses), (Vec::new(), 0), "seed {seed}");
    }
}

#[test]
fn a_correct_protocol_is_never_accused_of_its_replication_while_hosts_lose_power() {
    let mut losses = 0;
    for seed in 0..300 {
        let mut run = model::run(seed, Flaw::None, true);
        if run.losses > 0 {
            losses += 1;
            // Clients see it all the same: to them, a word is a word.
            let black_box = ["acked-write-lost", "acked-write-unseen", "inconsistent-offset"];
            run.broken.retain(|name| !black_box.contains(name));
        }
        assert_eq!(run.broken, Vec::<&str>::new(), "seed {seed}");
    }
    assert!(losses > 0, "nothing was ever lost: this test shows nothing");
}

#[test]
fn a_protocol_with_a_rule_left_out_is_found_out() {
    for (flaw, with_power_losses, breaks) in [
        (Flaw::CutToHighWatermark, false, "leader-completeness"),
        (Flaw::CutToHighWatermark, false, "acked-write-lost"),
        (Flaw::JoinUnseen, false, "candidate-completeness"),
        (Flaw::JoinUnseen, false, "leader-completeness"),
        (Flaw::ExposeEarly, false, "candidate-completeness"),
        (Flaw::TrustRestarts, true, "candidate-completeness"),
        (Flaw::TrustRestarts, true, "leader-completeness"),
        (Flaw::NoMinInsync, false, "min-insync-enforced"),
        (Flaw::NoMinInsync, false, "dirty-read"),
        (Flaw::ElectAnybody, false, "leader-completeness"),
        (Flaw::ElectAnybody, false, "inconsistent-offset"),
        (Flaw::NeverCut, false, "committed-prefix-agrees"),
        (Flaw::NeverCut, false, "converges"),
    ] {
        let found =
            (0..300).any(|seed| model::run(seed, flaw, with_power_losses).broken.contains(&breaks));
        assert!(found, "{flaw:?} breaks {breaks} in no seed");
    }
}

#[test]
fn records_found_twice_are_counted_also_without_idempotence() {
    let mut story = Story::judging("duplicate");
    story.sent_plain(3, 0, 100, Acks::All);
    story.sent_plain(3, 1, 101, Acks::All);
    story.polled(0, &[(7, 100), (8, 101), (9, 100)]);
    story.polled(1, &[(7, 100), (8, 101)]);
    let verdicts = story.finish();
    assert_eq!((verdicts.doubled, verdicts.uncommitted), (1, 0));
    assert!(verdicts.violations.is_empty(), "nothing was promised");
}

#[test]
fn records_of_transactions_that_were_not_committed_are_counted_if_they_are_read() {
    let mut story = Story::judging("aborted-read");
    for (txn, value) in [(1, 100), (2, 101), (3, 102), (4, 103)] {
        story.begins(3, txn);
        story.stored_in(3, txn, value, i64::try_from(value).unwrap());
    }
    story.aborts_transaction(3, 1);
    story.commits_transaction(3, 2);
    story.aborts_transaction(3, 3);
    // The third is not read, and the fourth may be committed for all that is known.
    story.commits_in_doubt(3, 4);
    story.polled(1, &[(100, 100), (101, 101), (103, 103)]);
    let verdicts = story.finish();
    assert_eq!((verdicts.doubled, verdicts.uncommitted), (0, 1));
}
