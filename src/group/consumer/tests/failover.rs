//! Another coordinator takes over: at any record, and from a log that was compacted meanwhile.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A rebalance of two members, with regular expressions and a static member.
fn story() -> Shell {
    let mut shell = Shell::new(4, 2);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join_pattern("b", "pay.*|orders"));
    shell.accepted(&join_static("s", "one"));
    shell.accepted(&beat("a", 2));
    shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0])]));
    shell.accepted(&beat("b", 3));
    shell.accepted(&leave_static("s", "one"));
    shell.accepted(&join_static("t", "one"));
    shell.accepted(&beat("b", -1));
    shell.accepted(&join("c", &["payments"]));
    shell
}

/// A member that does what it is told; it may have to join again.
fn obey(shell: &mut Shell, member: &str, epoch: &mut i32, owns: &mut Vec<(TopicId, Vec<i32>)>) {
    let mut request =
        if *epoch == 0 { join(member, &["orders", "payments"]) } else { beat(member, *epoch) };
    if *epoch > 0 {
        let named: Vec<_> = owns.iter().map(|(topic, list)| (*topic, &list[..])).collect();
        request.topic_partitions = owned(&named);
    }
    let response = shell.send(1, &request);
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None => {
            *epoch = response.member_epoch;
            if let Some(list) = assigned(&response) {
                *owns = list;
            }
        }
        _ => (*epoch, *owns) = (0, Vec::new()),
    }
}

fn converges(shell: &mut Shell) {
    // Those of the story are gone after their session; two others come.
    let mut members = [("x", 0, Vec::new()), ("y", 0, Vec::new())];
    for _ in 0..24 {
        shell.wait(seconds(5));
        for (member, epoch, owns) in &mut members {
            obey(shell, member, epoch, owns);
        }
    }
    shell.group().check();
    assert_eq!((shell.group().state(), shell.group().len()), (GroupState::Stable, 2));
    let total: usize =
        members.iter().flat_map(|(_, _, owns)| owns).map(|(_, list)| list.len()).sum();
    assert_eq!(total, 6, "every partition has an owner");
}

#[test]
fn group_continues_from_any_record_of_its_log() {
    let end = story().log.len();
    for cut in 0..=end {
        let mut shell = story();
        // The first records of a batch without the others: only a foreign writer leaves that.
        shell.checks = false;
        shell.fail_over(cut);
        converges(&mut shell);
    }
}

#[test]
fn new_coordinator_gives_members_whole_timeouts() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&beat("a", 2));
    shell.wait(seconds(29));
    shell.fail_over(usize::MAX);
    shell.wait(seconds(29));
    assert_eq!(shell.group().len(), 2);
    shell.wait(seconds(1));
    assert_eq!(shell.group().len(), 1, "a had 30 s again to revoke");
    shell.wait(seconds(15));
    assert!(shell.group().is_empty(), "b had a session of 45 s again");
}

#[test]
fn new_coordinator_looks_at_the_topics_again() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join_pattern("b", "pay.*"));
    shell.create_partitions(ORDERS, 2..3);
    shell.create_topic("payments-eu", topic_id(3), 1);
    shell.fail_over(usize::MAX);
    shell.accepted(&beat("b", 3));
    shell.accepted(&beat("a", 2));
    assert_eq!(shell.group().epoch(), 4);
    assert!(shell.group().subscribes_to("payments-eu"));
}

#[test]
fn tombstones_of_what_is_not_there_change_nothing() {
    let shell = story();
    let mut tombstones = shell.group().tombstones();
    tombstones.push(Record::RegularExpression {
        group: "g".into(),
        pattern: "none".into(),
        value: None,
    });
    for record in &tombstones {
        assert_eq!(replayed(None, record), None, "{record:?}");
    }
    let mut group = ConsumerGroup::new("g".into());
    for record in tombstones
        .iter()
        .filter(|r| !matches!(r, Record::ConsumerGroup { .. } | Record::TargetEpoch { .. }))
    {
        assert!(group.replay(record));
    }
    assert_eq!(group, ConsumerGroup::new("g".into()));
}

#[test]
fn late_record_of_a_former_owner_does_not_free_a_partition() {
    // Compaction has removed the record with which `a` gave the partition up.
    let mut shell = Shell::new(1, 1);
    shell.accepted(&join("a", &["orders"]));
    let owning = |member: &str, partitions: Named<'_>| {
        let topic = |(topic, list): &(TopicId, &[i32])| crate::group::record::TopicPartitions {
            topic: *topic,
            partitions: list.to_vec(),
            epochs: None,
        };
        Record::CurrentAssignment {
            group: "g".into(),
            member: member.into(),
            value: Some(crate::group::record::CurrentAssignmentValue {
                epoch: 3,
                assigned: partitions.iter().map(topic).collect(),
                ..Default::default()
            }),
        }
    };
    let mut group = shell.group().clone();
    group.replay(&owning("b", &[(ORDERS, &[0])]));
    group.replay(&owning("a", &[]));
    assert_eq!(group.owner(ORDERS, 0), Some(&"b".into()));
}

/// What compaction keeps apart.
fn key(record: &Record) -> String {
    match record {
        Record::ConsumerGroup { .. } => "group".into(),
        Record::TargetEpoch { .. } => "target".into(),
        Record::Member { member, .. } => format!("member {member}"),
        Record::TargetMember { member, .. } => format!("target {member}"),
        Record::CurrentAssignment { member, .. } => format!("current {member}"),
        Record::RegularExpression { pattern, .. } => format!("pattern {pattern}"),
        other => panic!("not of a consumer group: {other:?}"),
    }
}

fn is_tombstone(record: &Record) -> bool {
    concerns(record).is_some_and(|(_, creates)| !creates)
}

proptest! {
    #[test]
    fn compacted_log_describes_the_same_group(dropped in proptest::collection::vec(any::<bool>(), 80)) {
        // Each older record of a key is there or not. A newest tombstone goes only after them.
        let shell = story();
        let mut last = BTreeMap::new();
        for (at, record) in shell.log.iter().enumerate() {
            last.insert(key(record), at);
        }
        let dropped = |at: usize| dropped[at % dropped.len()];
        let mut group = None;
        for (at, record) in shell.log.iter().enumerate() {
            let newest = last[&key(record)] == at;
            let older = shell.log[..at].iter().enumerate().filter(|(_, other)| key(other) == key(record));
            let needed = newest && (!is_tombstone(record) || !older.clone().all(|(at, _)| dropped(at)));
            if needed || !dropped(at) {
                group = replayed(group, record);
            }
        }
        let group = group.unwrap();
        let expected = shell.group();
        prop_assert_eq!(group.epoch(), expected.epoch());
        prop_assert!(group.members().eq(expected.members()));
        prop_assert_eq!(&group, expected);
    }
}
