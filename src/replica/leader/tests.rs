//! Guarantees of a leader, as stories; tests of historical bugs name them.

use proptest::prelude::*;

use super::*;
use crate::replica::{EpochMismatch, Peer, check_epoch};

const ME: BrokerId = BrokerId(1);
const EPOCH: LeaderEpoch = LeaderEpoch(5);
const LAG: Duration = Duration::from_secs(10);

/// Broker `n` is registered with epoch `100 + n`.
fn epoch_of(id: i32) -> BrokerEpoch {
    BrokerEpoch(100 + i64::from(id))
}

fn peer(id: i32) -> Peer {
    Peer { epoch: epoch_of(id), fenced: false, shutting_down: false }
}

fn peers(change: impl Fn(i32, &mut Peer)) -> Peers {
    let with = |id| {
        let mut peer = peer(id);
        change(id, &mut peer);
        (BrokerId(id), peer)
    };
    (1..=3).map(with).collect()
}

/// A leader with replicas 1, 2 and 3, and its proposals.
struct Story {
    leader: Leader,
    now: Instant,
    effects: Vec<LeaderEffect>,
}

impl Story {
    fn new(isr: &[i32], log_end: i64, high_watermark: i64, min_insync: usize) -> Self {
        let start = LeaderStart {
            me: ME,
            epoch: EPOCH,
            partition_epoch: PartitionEpoch(20),
            replicas: (1..=3).map(BrokerId).collect(),
            isr: isr.iter().map(|id| BrokerId(*id)).collect(),
            log_end: Offset(log_end),
            high_watermark: Offset(high_watermark),
            min_insync,
            lag_time_max: LAG,
            flaws: Flaws::default(),
        };
        let now = Instant::from_secs(100);
        let leader = Leader::new(now, start, peers(|_, _| {}));
        Self { leader, now, effects: Vec::new() }
    }

    fn step(&mut self, input: LeaderInput) -> &mut Self {
        self.leader.step(self.now, input, &mut self.effects);
        self
    }

    fn append(&mut self, end: i64) -> &mut Self {
        self.step(LeaderInput::Appended { end: Offset(end) })
    }

    fn fetch(&mut self, id: i32, position: i64) -> &mut Self {
        self.fetch_with(id, position, Some(epoch_of(id)))
    }

    fn fetch_with(&mut self, id: i32, position: i64, epoch: Option<BrokerEpoch>) -> &mut Self {
        self.step(LeaderInput::Fetched {
            replica: BrokerId(id),
            broker_epoch: epoch,
            position: Offset(position),
        })
    }

    fn commit(&mut self, partition_epoch: i32, isr: &[i32]) -> &mut Self {
        self.step(LeaderInput::Committed {
            partition_epoch: PartitionEpoch(partition_epoch),
            isr: isr.iter().map(|id| BrokerId(*id)).collect(),
        })
    }

    fn refuse(&mut self, partition_epoch: i32, refusal: Refusal) -> &mut Self {
        let partition_epoch = PartitionEpoch(partition_epoch);
        self.step(LeaderInput::Refused { partition_epoch, refusal })
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }

    fn tick(&mut self) -> &mut Self {
        self.step(LeaderInput::Tick)
    }

    /// ISRs proposed since the last call.
    fn proposed(&mut self) -> Vec<Vec<i32>> {
        let effects = std::mem::take(&mut self.effects);
        let isr = |effect| match effect {
            LeaderEffect::ProposeIsr(proposal) => {
                Some(proposal.isr.iter().map(|(id, _)| id.0).collect())
            }
            LeaderEffect::HighWatermark(_) => None,
        };
        effects.into_iter().filter_map(isr).collect()
    }

    fn high_watermark(&self) -> i64 {
        self.leader.high_watermark().0
    }
}

#[test]
fn records_on_all_in_sync_replicas_are_committed() {
    let mut story = Story::new(&[1, 2, 3], 10, 10, 2);
    story.append(20).fetch(2, 20).fetch(3, 15);
    assert_eq!(story.high_watermark(), 15);
    assert!(story.effects.contains(&LeaderEffect::HighWatermark(Offset(15))));
    assert_eq!(story.leader.progress(Offset(16)), Progress::Waiting);
    story.fetch(3, 20);
    assert_eq!(story.leader.progress(Offset(20)), Progress::Acknowledged);
}

#[test]
fn leader_alone_in_the_isr_commits_by_itself() {
    let mut story = Story::new(&[1], 10, 4, 1);
    story.append(11);
    assert_eq!(story.high_watermark(), 11);
}

#[test]
fn isr_member_without_a_fetch_in_this_epoch_blocks_commits() {
    let mut story = Story::new(&[1, 2], 10, 4, 1);
    story.append(12);
    assert_eq!(story.high_watermark(), 4);
    assert!(!story.leader.has_caught_up_with_its_past());
    story.fetch(2, 12);
    assert_eq!(story.high_watermark(), 12);
    assert!(story.leader.has_caught_up_with_its_past());
}

// KAFKA-7128, `join-before-epoch-start`.

#[test]
fn replica_below_the_epoch_start_does_not_join() {
    let mut story = Story::new(&[1, 2], 10, 4, 1);
    story.fetch(3, 5);
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
    story.fetch(3, 9);
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
}

#[test]
fn replica_joins_at_the_epoch_start_and_high_watermark() {
    let mut story = Story::new(&[1, 2], 10, 4, 1);
    story.append(15).fetch(3, 10);
    assert_eq!(story.proposed(), [[1, 2, 3]]);
    let mut story = Story::new(&[1], 10, 10, 1);
    story.append(15).fetch(3, 12);
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new(), "15 is committed already");
}

// KAFKA-8836, `hw-over-committed-isr`.

#[test]
fn possible_joiner_counts_for_the_high_watermark() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch(2, 10).fetch(3, 10);
    assert_eq!(story.proposed(), [[1, 2, 3]]);
    story.append(20).fetch(2, 20).after(60).tick();
    assert_eq!(story.high_watermark(), 10, "3 may be elected, and has only 10");
    story.fetch(3, 20);
    assert_eq!(story.high_watermark(), 20);
}

#[test]
fn member_counts_until_its_removal_is_committed() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.append(20).after(11).tick();
    assert_eq!(story.proposed(), [[1]]);
    assert_eq!(story.high_watermark(), 10);
    story.commit(21, &[1]);
    assert_eq!(story.high_watermark(), 20);
}

#[test]
fn repeated_state_keeps_pending_joiners() {
    let mut story = Story::new(&[1], 10, 10, 1);
    story.fetch(2, 10).commit(21, &[1, 2]);
    story.fetch(3, 10);
    assert_eq!(story.proposed(), [vec![1, 2], vec![1, 2, 3]]);
    // The metadata log repeats what the AlterPartition response has reported.
    story.commit(21, &[1, 2]).append(20).fetch(2, 20).after(60).tick();
    assert_eq!(story.high_watermark(), 10);
}

#[test]
fn older_state_changes_nothing() {
    let mut story = Story::new(&[1, 2, 3], 10, 10, 1);
    story.commit(19, &[1]);
    assert_eq!(story.leader.isr().count(), 3);
    assert_eq!(story.leader.partition_epoch(), PartitionEpoch(20));
}

#[test]
fn only_one_proposal_is_in_flight() {
    let mut story = Story::new(&[1], 10, 10, 1);
    story.fetch(2, 10).fetch(3, 10).fetch(3, 10);
    assert_eq!(story.proposed(), [[1, 2]]);
    story.commit(21, &[1, 2]).fetch(3, 10);
    assert_eq!(story.proposed(), [[1, 2, 3]]);
}

// KIP-841, `fenced-may-join`.

#[test]
fn fenced_replica_does_not_join() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.step(LeaderInput::Peers(peers(|id, peer| peer.fenced = id == 3)));
    story.fetch(3, 10);
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
    story.step(LeaderInput::Peers(peers(|_, _| {}))).fetch(3, 10);
    assert_eq!(story.proposed(), [[1, 2, 3]]);
}

#[test]
fn replica_shutting_down_or_unregistered_does_not_join() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.step(LeaderInput::Peers(peers(|id, peer| peer.shutting_down = id == 3)));
    story.fetch(3, 10);
    let two = (1..=2).map(|id| (BrokerId(id), peer(id))).collect();
    story.step(LeaderInput::Peers(two)).fetch(3, 10);
    story.fetch(9, 10);
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
}

// KIP-903, `no-broker-epoch-in-isr`.

#[test]
fn fetch_of_an_earlier_registration_does_not_join() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    let again = |id, peer: &mut Peer| {
        if id == 3 {
            peer.epoch = BrokerEpoch(500);
        }
    };
    story.step(LeaderInput::Peers(peers(again))).fetch(3, 10);
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
    assert!(story.leader.is_from_the_past(BrokerId(3), Some(epoch_of(3))));
    story.fetch_with(3, 10, Some(BrokerEpoch(500)));
    assert_eq!(story.proposed(), [[1, 2, 3]]);
}

#[test]
fn fetch_from_before_a_restart_changes_nothing() {
    let mut story = Story::new(&[1, 2], 20, 10, 1);
    let again = |id, peer: &mut Peer| {
        if id == 2 {
            peer.epoch = BrokerEpoch(500);
        }
    };
    story.step(LeaderInput::Peers(peers(again))).fetch(2, 20);
    assert_eq!(story.high_watermark(), 10);
    story.fetch_with(2, 20, Some(BrokerEpoch(500)));
    assert_eq!(story.high_watermark(), 20);
}

#[test]
fn fetch_without_a_broker_epoch_never_joins() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch_with(3, 10, None).fetch_with(3, 10, Some(BrokerEpoch::NONE));
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
}

#[test]
fn proposal_names_registrations_that_fetched_in_this_epoch() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch(3, 10);
    let proposal = Proposal {
        leader_epoch: EPOCH,
        partition_epoch: PartitionEpoch(20),
        isr: vec![
            (BrokerId(1), epoch_of(1)),
            (BrokerId(2), BrokerEpoch::NONE),
            (BrokerId(3), epoch_of(3)),
        ],
    };
    assert_eq!(story.effects, [LeaderEffect::ProposeIsr(proposal)]);
}

// KAFKA-15665, `join-without-epoch-fetch`.

#[test]
fn fetch_of_an_earlier_epoch_does_not_count_for_joining() {
    let mut story = Story::new(&[1, 2, 3], 10, 10, 1);
    story.fetch(3, 10);
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.tick().commit(21, &[1, 2]).tick();
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
}

// KAFKA-15583, `hw-below-min-isr`.

#[test]
fn nothing_is_committed_below_min_insync() {
    let mut story = Story::new(&[1, 2], 10, 10, 2);
    story.fetch(2, 10).commit(21, &[1]).append(20);
    assert_eq!(story.high_watermark(), 10);
    let refused = NotEnoughReplicas { in_sync: 1, needed: 2 };
    assert_eq!(story.leader.check_min_insync(), Err(refused));
    story.fetch(2, 20);
    assert_eq!(story.proposed(), [[1, 2]]);
    assert_eq!(story.high_watermark(), 10, "2 is not in sync until that is committed");
    story.commit(22, &[1, 2]);
    assert_eq!(story.high_watermark(), 20);
    assert_eq!(story.leader.check_min_insync(), Ok(()));
}

#[test]
fn min_insync_is_capped_at_the_number_of_replicas() {
    let mut story = Story::new(&[1, 2, 3], 10, 10, 5);
    assert_eq!(story.leader.check_min_insync(), Ok(()));
    story.commit(21, &[1, 2]);
    let refused = NotEnoughReplicas { in_sync: 2, needed: 3 };
    assert_eq!(story.leader.check_min_insync(), Err(refused));
}

#[test]
fn committed_write_below_min_insync_is_not_acknowledged() {
    let mut story = Story::new(&[1, 2], 10, 10, 2);
    story.append(12).fetch(2, 12).commit(21, &[1]);
    assert_eq!(story.leader.progress(Offset(12)), Progress::NotEnoughAfterAppend);
    assert_eq!(story.leader.progress(Offset(13)), Progress::Waiting);
}

// `lag-by-fetch-time`: the arithmetic is tested in `progress.rs`.

#[test]
fn follower_that_fetches_but_never_catches_up_is_removed() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    for second in 1..=10 {
        story.append(10 + 100 * second).after(1).fetch(2, 10 + 10 * second);
    }
    assert_eq!(story.proposed(), [[1]]);
}

#[test]
fn follower_of_a_steady_stream_stays_and_joins() {
    let mut story = Story::new(&[1, 2], 0, 0, 1);
    for second in 1..=60 {
        let before = 100 * (second - 1);
        story.append(100 * second).after(1).fetch(2, before).fetch(3, before);
        if second == 2 {
            assert_eq!(story.proposed(), [[1, 2, 3]]);
            story.commit(21, &[1, 2, 3]);
        }
    }
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
}

#[test]
fn deadline_is_when_the_first_follower_lags_too_long() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch(2, 10).tick();
    assert_eq!(story.leader.deadline(), None, "at the log end there is no lag");
    story.after(5).append(11);
    let deadline = Instant::from_secs(110);
    assert_eq!(story.leader.deadline(), Some(deadline));
    story.now = deadline;
    assert_eq!(story.tick().proposed(), [[1]]);
    assert_eq!(story.leader.deadline(), None, "one proposal at a time");
}

#[test]
fn high_watermark_waits_for_a_joiner_but_not_forever() {
    let mut story = Story::new(&[1], 10, 10, 1);
    story.fetch(2, 10);
    assert_eq!(story.proposed(), [[1, 2]]);
    story.refuse(20, Refusal::NotApplied).append(20);
    assert_eq!(story.high_watermark(), 10, "otherwise 2 could never catch up");
    let mut last = story.now;
    while let Some(deadline) = story.leader.deadline() {
        assert!(deadline > last, "time must pass");
        last = deadline;
        story.now = deadline;
        story.tick();
    }
    assert_eq!(story.high_watermark(), 20);
}

#[test]
fn unanswered_proposal_is_resent_and_its_joiner_counts() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch(2, 10).fetch(3, 10);
    let first = story.effects.pop();
    story.refuse(20, Refusal::Unknown);
    story.now = story.leader.deadline().unwrap();
    story.tick();
    assert_eq!(story.effects.pop(), first);
    // One of the two was refused. The other may still be applied.
    story.refuse(20, Refusal::NotApplied);
    story.append(20).fetch(2, 20).after(60).fetch(2, 20);
    assert_eq!(story.high_watermark(), 10);
    story.commit(21, &[1, 2]);
    assert_eq!(story.high_watermark(), 20);
}

#[test]
fn outdated_proposal_waits_for_the_metadata_log() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch(3, 10).refuse(20, Refusal::Outdated).fetch(3, 10);
    assert_eq!(story.proposed(), [[1, 2, 3]]);
    story.commit(21, &[1, 2]).fetch(3, 10);
    assert_eq!(story.proposed(), [[1, 2, 3]]);
}

#[test]
fn answer_to_an_earlier_proposal_keeps_the_current_one() {
    let mut story = Story::new(&[1], 10, 10, 1);
    story.fetch(2, 10).commit(21, &[1]).fetch(2, 10);
    assert_eq!(story.proposed(), [[1, 2], [1, 2]]);
    story.refuse(20, Refusal::NotApplied).append(20).after(60).tick();
    assert_eq!(story.high_watermark(), 10, "2 may have joined by the second proposal");
}

#[test]
fn refused_proposal_is_not_repeated_at_once() {
    let mut story = Story::new(&[1], 10, 10, 1);
    story.fetch(2, 10).refuse(20, Refusal::NotApplied).fetch(2, 10);
    assert_eq!(story.proposed(), [[1, 2]]);
    story.after(1).fetch(2, 10);
    assert_eq!(story.proposed(), [[1, 2]]);
}

#[test]
fn records_unsynced_on_the_leader_are_not_committed() {
    // The log has records up to 20; those above 10 are not synced yet.
    let mut story = Story::new(&[1, 2], 10, 4, 1);
    story.fetch(2, 20);
    assert_eq!(story.high_watermark(), 10);
    story.after(60).append(20);
    assert_eq!(story.high_watermark(), 20);
    assert_eq!(story.proposed(), Vec::<Vec<i32>>::new());
}

#[test]
fn requests_of_other_epochs_are_fenced_or_unknown() {
    assert_eq!(check_epoch(EPOCH, EPOCH), Ok(()));
    assert_eq!(check_epoch(EPOCH, LeaderEpoch::NONE), Ok(()));
    assert_eq!(check_epoch(EPOCH, LeaderEpoch(4)), Err(EpochMismatch::Fenced));
    assert_eq!(check_epoch(EPOCH, LeaderEpoch(6)), Err(EpochMismatch::Unknown));
}

/// Injects a bug, then runs one more step.
fn broken(flaw: impl FnOnce(&mut Leader)) {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch(3, 10);
    flaw(&mut story.leader);
    story.tick();
}

#[test]
#[should_panic(expected = "the high watermark 11 is beyond the log end 10")]
fn high_watermark_beyond_the_log_end_is_caught() {
    broken(|leader| leader.high_watermark = Offset(11));
}

#[test]
#[should_panic(expected = "has members that are not replicas")]
fn isr_member_without_a_copy_is_caught() {
    broken(|leader| {
        leader.isr.insert(BrokerId(9));
    });
}

#[test]
#[should_panic(expected = "leader 1 is not in its ISR")]
fn leader_outside_its_isr_is_caught() {
    broken(|leader| {
        leader.isr.remove(&ME);
    });
}

#[test]
#[should_panic(expected = "the pending proposal is based on")]
fn proposal_of_an_old_partition_epoch_is_caught() {
    broken(|leader| leader.partition_epoch = PartitionEpoch(21));
}

#[test]
#[should_panic(expected = "is in flight")]
fn second_proposal_in_flight_is_caught() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    story.fetch(3, 10);
    let before = check::Before::of(&story.leader);
    // Dropped although it is in flight.
    story.leader.pending = None;
    story.effects.clear();
    story.after(60).append(20);
    story.leader.check_step(&before, &story.effects);
}

#[test]
#[should_panic(expected = "the high watermark fell from 10 to 9 within leader epoch 5")]
fn falling_high_watermark_is_caught() {
    let mut story = Story::new(&[1, 2], 10, 10, 1);
    let before = check::Before::of(&story.leader);
    story.leader.high_watermark = Offset(9);
    story.leader.check_step(&before, &[]);
}

#[test]
#[should_panic(expected = "but replica 2, which may be in sync, has None")]
fn high_watermark_ahead_of_an_in_sync_replica_is_caught() {
    let mut story = Story::new(&[1, 2], 10, 4, 1);
    let before = check::Before::of(&story.leader);
    story.leader.high_watermark = Offset(10);
    story.leader.check_step(&before, &[]);
}

fn any_input() -> impl Strategy<Value = (u64, LeaderInput)> {
    let fetch = (1..=4i32, 0..30i64, proptest::bool::weighted(0.8)).prop_map(|(id, at, ours)| {
        let broker_epoch = if ours { epoch_of(id) } else { BrokerEpoch(500) };
        let (replica, position) = (BrokerId(id), Offset(at));
        LeaderInput::Fetched { replica, broker_epoch: Some(broker_epoch), position }
    });
    let isr = proptest::collection::btree_set(2..=3i32, 0..=2);
    let committed = (20..30i32, isr).prop_map(|(version, isr)| LeaderInput::Committed {
        partition_epoch: PartitionEpoch(version),
        isr: isr.into_iter().chain([1]).map(BrokerId).collect(),
    });
    let refusal =
        prop_oneof![Just(Refusal::NotApplied), Just(Refusal::Outdated), Just(Refusal::Unknown)];
    let refused = (20..30i32, refusal).prop_map(|(version, refusal)| LeaderInput::Refused {
        partition_epoch: PartitionEpoch(version),
        refusal,
    });
    let standing = (any::<[bool; 3]>(), any::<bool>()).prop_map(|(fenced, again)| {
        LeaderInput::Peers(peers(|id, peer| {
            peer.fenced = fenced[id as usize - 1];
            if again && id == 3 {
                peer.epoch = BrokerEpoch(500);
            }
        }))
    });
    let input = prop_oneof![
        4 => fetch,
        3 => (0..30i64).prop_map(|end| LeaderInput::Appended { end: Offset(end) }),
        2 => committed,
        1 => refused,
        1 => standing,
        1 => Just(LeaderInput::Tick),
    ];
    (0..8u64, input)
}

proptest! {
    #[test]
    fn only_replicated_records_are_committed(
        inputs in proptest::collection::vec(any_input(), 1..60),
    ) {
        let mut story = Story::new(&[1, 2, 3], 10, 5, 2);
        for (seconds, input) in inputs {
            let before = story.leader.high_watermark();
            let pending = story.leader.pending.is_some();
            story.after(seconds).step(input);
            let leader = &story.leader;
            let reached = leader.high_watermark();
            prop_assert!(reached >= before && reached <= leader.log_end);
            if reached > before {
                prop_assert!(leader.isr.len() >= leader.needed());
                let members = leader.maximal_isr().filter(|id| *id != ME);
                for position in members.map(|id| leader.followers[&id].position()) {
                    prop_assert!(position.is_some_and(|position| position >= reached));
                }
            }
            let proposals = story.proposed();
            prop_assert!(proposals.len() <= 1);
            if let [isr] = &proposals[..] {
                let leader = &story.leader;
                prop_assert!(isr.contains(&ME.0));
                for id in isr.iter().map(|id| BrokerId(*id)).filter(|id| !leader.isr.contains(id)) {
                    prop_assert!(pending || leader.is_eligible(id));
                    prop_assert!(leader.has_reached_the_isr(&leader.followers[&id]) || pending
                        || leader.high_watermark() > before);
                }
            }
            if let Some(deadline) = story.leader.deadline() {
                prop_assert!(deadline > story.now, "a deadline in the past causes a busy loop");
            }
        }
    }
}
