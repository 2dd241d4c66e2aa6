//! What members own and go through, from hand-made reports.

use super::*;
use crate::picture::coordinator::Coordinators;
use crate::picture::recorder::Operation;
use crate::run::{Lane, LaneKind};

fn partitions(numbers: &[i32]) -> Vec<TopicPartition> {
    numbers.iter().map(|number| TopicPartition::new("orders", *number)).collect()
}

/// Members k1 and k2 on hosts 1 and 2, and their coordinator b3.
fn run(events: Vec<(u64, MemberEvent)>) -> Recorder {
    let mut run = Recorder::default();
    let lanes = [("k1", LaneKind::Consumer), ("k2", LaneKind::Consumer), ("b3", LaneKind::Admin)];
    run.lanes = (1..)
        .zip(lanes)
        .map(|(n, (name, kind))| Lane { host: HostId(n), name: name.into(), kind })
        .collect();
    run.now = Instant(100);
    let said = |(at, event): (u64, MemberEvent)| {
        let host = HostId(u16::try_from(event.consumer()).unwrap());
        Said { at: Instant(at), host, event }
    };
    run.said = events.into_iter().map(said).collect();
    run
}

fn subscribed(consumer: u32) -> MemberEvent {
    MemberEvent::Subscribed {
        consumer,
        group: "shop".into(),
        topics: vec!["orders".into()],
        is_static: false,
        protocol: "classic".into(),
        session_ms: 6000,
    }
}

fn joined(consumer: u32, generation: i32, owned: &[i32]) -> MemberEvent {
    let (member, owned) = (format!("k{consumer}-id").into(), partitions(owned));
    MemberEvent::Joined { consumer, generation, member, owned }
}

fn shop(run: &Recorder) -> Group {
    Members::of(run).groups.remove("shop").unwrap()
}

fn blocks(group: &Group, consumer: u32) -> Vec<(i32, u64, u64, End)> {
    let blocks = group.members[&consumer].blocks.iter();
    blocks.map(|b| (b.partition.partition, b.from.0, b.until.0, b.end)).collect()
}

#[test]
fn ownership_ends_as_its_member_reports_or_with_its_process() {
    let mut run = run(vec![
        (1, subscribed(1)),
        (10, joined(1, 1, &[0, 1, 2])),
        (20, MemberEvent::Revoked { consumer: 1, partitions: partitions(&[0]) }),
        (30, joined(1, 2, &[1, 3])),
        (40, MemberEvent::Lost { consumer: 1, partitions: partitions(&[1]) }),
        (50, joined(1, 3, &[1])),
        (60, subscribed(1)),
        (70, joined(1, 4, &[2])),
    ]);
    let (at, host, other) = (Instant(55), HostId(1), None);
    run.operations.push(Operation { at, host, other, what: OperationKind::Killed });
    let group = shop(&run);
    assert_eq!(
        blocks(&group, 1),
        [
            (0, 10, 20, End::Revoked),
            (1, 10, 40, End::Lost),
            (2, 10, 30, End::Unassigned),
            (3, 30, 50, End::Unassigned),
            (1, 50, 55, End::Died),
            (2, 70, 100, End::Open),
        ]
    );
    let shares = group.members[&1].shares.iter();
    let shares: Vec<_> = shares.map(|s| (s.generation, s.from.0, s.until.0)).collect();
    assert_eq!(shares, [(1, 10, 30), (2, 30, 40), (3, 50, 55), (4, 70, 100)]);
}

#[test]
fn owner_that_has_not_heard_of_the_next_one_shares_with_it() {
    let run = run(vec![
        (1, subscribed(1)),
        (1, subscribed(2)),
        (10, joined(1, 1, &[0])),
        (30, joined(2, 2, &[0, 1])),
        (50, MemberEvent::Lost { consumer: 1, partitions: partitions(&[0]) }),
    ]);
    let group = shop(&run);
    assert_eq!(group.members[&1].blocks[0].shared, Some(Instant(30)));
    assert!(group.members[&2].blocks.iter().all(|block| block.shared.is_none()));
    let unowned = group.unowned(&partitions(&[0, 1, 2]));
    let unowned: Vec<_> = unowned.into_iter().map(|(at, count)| (at.0, count)).collect();
    // Partition 0 keeps an owner at 50.
    assert_eq!(unowned, [(10, 2), (30, 1), (50, 1), (100, 3)]);
}

fn formed(run: &mut Recorder, at: u64, generation: i32, clients: &[(&str, &str)]) {
    let member = |(id, client): &(&str, &str)| ((*id).into(), (*client).to_owned());
    let members = clients.iter().map(member).collect();
    let Coordinators { stored, .. } = &mut run.coordinators;
    let fact = Fact::Formed { generation, members };
    stored.push(Stored { at: Instant(at), host: HostId(3), group: "shop".into(), fact });
}

fn evicted(run: &Recorder, consumer: u32) -> Vec<(u64, String)> {
    let group = shop(run);
    let events = group.members[&consumer].events.iter().filter(|e| e.kind == "evicted");
    events.map(|event| (event.at.0, event.text.clone())).collect()
}

#[test]
fn member_that_the_coordinator_leaves_out_was_evicted() {
    let mut run = run(vec![(1, subscribed(1)), (1, subscribed(2))]);
    formed(&mut run, 10, 1, &[("a", "k1"), ("b", "k2")]);
    formed(&mut run, 20, 2, &[("b", "k2")]);
    formed(&mut run, 30, 3, &[("c", "k2")]);
    assert_eq!(evicted(&run, 1), [(20, "b3 forms generation 2 without k1".to_owned())]);
    assert_eq!(evicted(&run, 2), [], "it came back under another id");
}

#[test]
fn member_that_left_was_not_evicted() {
    let mut run = run(vec![(1, subscribed(1)), (15, MemberEvent::Left { consumer: 1 })]);
    formed(&mut run, 10, 1, &[("a", "k1"), ("b", "k2")]);
    formed(&mut run, 20, 2, &[("b", "k2")]);
    assert_eq!(evicted(&run, 1), []);
}

#[test]
fn member_of_a_consumer_group_is_evicted_with_its_tombstone() {
    let mut run = run(vec![(1, subscribed(1)), (1, subscribed(2))]);
    let mut store = |at, fact| {
        let stored = Stored { at: Instant(at), host: HostId(3), group: "shop".into(), fact };
        run.coordinators.stored.push(stored);
    };
    store(5, Fact::Member { member: "a".into(), client: "k1".into() });
    store(40, Fact::Removed { member: "a".into() });
    assert_eq!(evicted(&run, 1), [(40, "b3 removes k1 from the group".to_owned())]);
    run.said.push(Said {
        at: Instant(41),
        host: HostId(1),
        event: MemberEvent::Left { consumer: 1 },
    });
    assert_eq!(evicted(&run, 1), [], "its leave was reported after the coordinator took it");
}

#[test]
fn commit_has_the_outcome_of_its_own_number() {
    let commit = |op| MemberEvent::Committing {
        consumer: 1,
        op,
        generation: 1,
        offsets: vec![(TopicPartition::new("orders", 0), Offset(7))],
    };
    let told = |op, outcome| MemberEvent::Committed { consumer: 1, op, generation: 1, outcome };
    let run = run(vec![
        (1, subscribed(1)),
        (10, commit(1)),
        (11, commit(2)),
        (12, told(2, Outcome::Ok { offset: None })),
    ]);
    let group = shop(&run);
    let commits: Vec<_> =
        group.members[&1].commits.iter().map(|c| (c.op, c.told.is_some())).collect();
    assert_eq!(commits, [(1, false), (2, true)]);
}
