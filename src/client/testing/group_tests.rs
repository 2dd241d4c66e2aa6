//! Whole groups: every partition has one owner, and every record is returned at least once.

use std::time::Duration;

use proptest::prelude::*;

use super::{GroupBench, GroupFaults, Model};
use crate::base::Offset;
use crate::client::group::Event;

const PARTITIONS: i32 = 6;
const RECORDS: i64 = 40;

const STRATEGY: &str = "partition.assignment.strategy";

fn bench(seed: u64, members: usize, settings: &[(&str, &str)]) -> GroupBench {
    let leaders: Vec<i32> = (0..PARTITIONS).map(|index| 1 + index % 3).collect();
    let mut model = Model::new(3, &leaders);
    (0..PARTITIONS).for_each(|partition| model.fill(partition, RECORDS));
    let quick = [("max.poll.records", "5"), ("auto.commit.interval.ms", "1000")];
    let settings: Vec<_> = quick.iter().chain(settings).copied().collect();
    GroupBench::new(seed, model, members, &settings)
}

fn settle(bench: &mut GroupBench) {
    bench.faults = GroupFaults::default();
    for _ in 0..30 {
        let settled = bench.run(Duration::from_secs(900), GroupBench::is_settled);
        assert!(settled, "{:?}", bench.owners());
        // It stays so: no member has anything left to say.
        bench.run(Duration::from_secs(5), |_| false);
        if bench.is_settled() {
            return;
        }
    }
    panic!("the group rebalances again and again");
}

fn finish(bench: &mut GroupBench) {
    settle(bench);
    let over = bench.run(Duration::from_secs(300), |b| b.is_read() && b.is_committed());
    assert!(over, "read: {}, committed: {:?}", bench.is_read(), bench.coordinator.committed);
}

#[test]
fn members_share_the_partitions_and_read_every_record_once() {
    for strategy in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
        let mut bench = bench(1, 3, &[(STRATEGY, strategy)]);
        for member in 0..3 {
            bench.start_at(bench.now, member);
        }
        finish(&mut bench);
        let owners = bench.owners();
        for member in 0..3 {
            assert_eq!(owners.values().filter(|owner| **owner == member).count(), 2, "{strategy}");
        }
        let doubled = bench.read.iter().find(|(_, count)| **count > 1);
        assert_eq!(doubled, None, "{strategy}: a rebalance without faults repeats nothing");
    }
}

#[test]
fn leaving_member_hands_over_where_it_stopped() {
    for strategy in ["range", "cooperative-sticky"] {
        let mut bench = bench(2, 3, &[(STRATEGY, strategy)]);
        for member in 0..3 {
            bench.start_at(bench.now, member);
        }
        bench.run(Duration::from_secs(2), |_| false);
        bench.leave_at(bench.now, 1);
        finish(&mut bench);
        assert!(bench.owners().values().all(|owner| *owner != 1));
        assert_eq!(bench.told(1).len(), bench.told(1).iter().filter(|e| !is_lost(e)).count());
    }
}

fn is_lost(event: &Event) -> bool {
    matches!(event, Event::Lost(_))
}

#[test]
fn cooperative_member_keeps_its_partitions_when_another_joins() {
    let told = |strategy| {
        let mut bench = bench(3, 2, &[(STRATEGY, strategy)]);
        bench.start_at(bench.now, 0);
        settle(&mut bench);
        bench.start_at(bench.now, 1);
        bench.run(Duration::from_secs(1), |_| false);
        settle(&mut bench);
        let revoked = bench.told(0).iter().filter_map(|event| match event {
            Event::Revoked(partitions) => Some(partitions.len()),
            Event::Assigned(_) | Event::Lost(_) => None,
        });
        revoked.sum::<usize>()
    };
    assert_eq!(told("cooperative-sticky"), 3, "those that the other one gets");
    assert_eq!(told("sticky"), 6, "all of them");
}

#[test]
fn frozen_member_loses_its_partitions_to_others() {
    let mut bench =
        bench(4, 2, &[("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")]);
    bench.start_at(bench.now, 0);
    bench.start_at(bench.now, 1);
    settle(&mut bench);
    bench.faults.frozen = 30;
    bench
        .run(Duration::from_secs(300), |b| (0..2).any(|member| b.told(member).iter().any(is_lost)));
    assert!((0..2).any(|member| bench.told(member).iter().any(is_lost)));
    finish(&mut bench);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_partition_has_one_owner_and_every_record_is_read(
        seed in 0..u64::MAX,
        strategy in prop::sample::select(vec!["range", "roundrobin", "sticky", "cooperative-sticky"]),
        members in 1..5usize,
        starts in prop::collection::vec(0..20_000u64, 4),
        leaver in prop::option::of(20_000..60_000u64),
        faults in (0..20u32, 0..20u32, 0..20u32, 0..3u32, 0..3u32, 0..2000u64),
    ) {
        let settings = [
            (STRATEGY, strategy),
            ("session.timeout.ms", "10000"),
            ("max.poll.interval.ms", "30000"),
        ];
        let mut bench = bench(seed, members, &settings);
        let begin = bench.now;
        for (member, start) in starts.iter().take(members).enumerate() {
            bench.start_at(begin + Duration::from_millis(*start), member);
        }
        if let Some(time) = leaver.filter(|_| members > 1) {
            bench.leave_at(begin + Duration::from_millis(time), 0);
        }
        let (lost_request, lost_response, refused, frozen, slow, delay) = faults;
        let delay = Duration::from_millis(delay);
        bench.faults =
            GroupFaults { lost_request, lost_response, refused, frozen, slow, delay };
        bench.run(Duration::from_secs(90), |_| false);
        finish(&mut bench);
        prop_assert!(bench.read.keys().all(|(_, offset)| *offset < Offset(RECORDS)));
    }
}
