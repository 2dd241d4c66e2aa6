//! Large groups: what a rebalance costs.

use std::collections::BTreeMap;

use super::*;

/// Members that join within a second and send a heartbeat every five seconds; the interval between
/// target assignments is Kafka's.
fn stabilise(members: usize, partitions: i32) -> (Shell, u64) {
    let mut shell = Shell::new(partitions, 1);
    shell.settings.assignment_interval = seconds(1);
    shell.checks = false;
    type Client = (i32, Vec<(TopicId, Vec<i32>)>);
    let mut consumers: BTreeMap<usize, Client> = BTreeMap::new();
    let step = Duration::from_micros(5_000_000 / members as u64);
    for round in 0..6 {
        for at in 0..members {
            shell.wait(step);
            let id = format!("member-{at:04}");
            let (epoch, owns) = consumers.entry(at).or_default();
            let request = if *epoch == 0 {
                join(&id, &["orders"])
            } else {
                let named: Vec<_> = owns.iter().map(|(topic, list)| (*topic, &list[..])).collect();
                beat_owning(&id, *epoch, &named)
            };
            let response = shell.accepted(&request);
            *epoch = response.member_epoch;
            if let Some(list) = assigned(&response) {
                *owns = list;
            }
        }
        if shell.group().state() == GroupState::Stable {
            return (shell, (round + 1) * 5);
        }
    }
    panic!("not stable after 30 s: {:?}", shell.group().state());
}

#[test]
fn thousand_members_on_a_thousand_partitions_stabilise_within_thirty_seconds() {
    let (shell, time) = stabilise(1_000, 1_000);
    shell.group().check();
    assert!(time <= 30, "{time} s");
    assert!(shell.group().members().all(|(id, _)| shell.owned(id.as_str()).len() == 1));
    // Each member joins with three records, and its target changes a few times.
    let records = shell.log.len();
    assert!(records < 20 * 1_000, "{records} records for 1,000 members");
}
