//! Deliberate bugs: the controller's own assertions catch them before any checker sees an effect.

use super::*;
use crate::base::LeaderEpoch;
use crate::decide::{Active, Loading};

/// Three brokers; topic `t` has replicas on all of them and is led by broker 1.
fn cluster() -> (Cluster, TopicId) {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    let id = cluster.topic(&[1, 2, 3], &[]);
    (cluster, id)
}

/// Commits a change of partition 0 without any handler's checks.
fn force(cluster: &mut Cluster, change: PartitionChange) {
    cluster.commit(Decision::new(vec![Record::PartitionChange(change)], ()));
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

#[test]
#[should_panic(expected = "t-0: leader 3 elected cleanly from ISR [BrokerId(1), BrokerId(2)]")]
fn electing_a_leader_from_outside_the_isr_panics() {
    let (mut cluster, topic) = cluster();
    cluster.alter_isr(&[1, 2]);
    let leader = Some(Some(BrokerId(3)));
    force(&mut cluster, PartitionChange { topic, leader, ..Default::default() });
}

#[test]
#[should_panic(expected = "t-0: leader 1 is not in ISR [BrokerId(2), BrokerId(3)]")]
fn removing_the_leader_from_the_isr_panics() {
    let (mut cluster, topic) = cluster();
    let isr = Some(brokers(&[2, 3]));
    force(&mut cluster, PartitionChange { topic, isr, ..Default::default() });
}

#[test]
#[should_panic(
    expected = "broker 4 of ISR [BrokerId(1), BrokerId(4)] or ELR [] is not in replicas"
)]
fn broker_in_sync_without_a_replica_panics() {
    let (mut cluster, topic) = cluster();
    let isr = Some(brokers(&[1, 4]));
    force(&mut cluster, PartitionChange { topic, isr, ..Default::default() });
}

#[test]
#[should_panic(expected = "t-0: a broker is twice in ISR")]
fn broker_twice_in_the_isr_panics() {
    let (mut cluster, topic) = cluster();
    let isr = Some(brokers(&[1, 2, 2]));
    force(&mut cluster, PartitionChange { topic, isr, ..Default::default() });
}

#[test]
#[should_panic(expected = "t-0: broker 3 of ISR [BrokerId(1), BrokerId(2), BrokerId(3)] is fenced")]
fn fenced_broker_that_joins_the_isr_panics() {
    let (mut cluster, topic) = cluster();
    cluster.fence(3);
    let isr = Some(brokers(&[1, 2, 3]));
    force(&mut cluster, PartitionChange { topic, isr, ..Default::default() });
}

#[test]
#[should_panic(expected = "t-0: partition epoch went from 3 to 1")]
fn partition_epoch_that_falls_panics() {
    let (mut cluster, topic) = cluster();
    for isr in [&[1, 2][..], &[1], &[1, 2]] {
        cluster.alter_isr(isr);
    }
    let before = cluster.partition().clone();
    let record = PartitionRecord {
        partition: 0,
        topic,
        replicas: before.replicas,
        isr: before.isr,
        removing: Vec::new(),
        adding: Vec::new(),
        leader: before.leader,
        recovering: false,
        leader_epoch: before.leader_epoch,
        partition_epoch: crate::base::PartitionEpoch(1),
        directories: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    };
    cluster.commit(Decision::new(vec![Record::Partition(record)], ()));
}

/// Loads a log into a running controller, then appends a wrong decision.
#[test]
#[should_panic(expected = "t-0: leader 1 is fenced or leaving")]
fn runtime_panics_when_a_leader_is_fenced_without_an_election() {
    let (cluster, _) = cluster();
    assert_eq!(cluster.partition().leader_epoch, LeaderEpoch(0));
    let epoch = cluster.epoch(1);
    let empty = Controller::new(
        Instant::START,
        cluster.controller.settings().clone(),
        Seed(7).stream(Stream::named("controller")),
    );
    let mut loading = Loading::new(empty, Offset::ZERO);
    for (offset, record) in (0..).map(Offset).zip(cluster.log) {
        loading.replay(offset.next(), vec![(offset, record)]).unwrap();
    }
    let mut active: Active<Controller, ()> = loading.activate(Instant::from_secs(1000));
    let change = BrokerChange { fenced: Some(true), ..BrokerChange::of(BrokerId(1), epoch) };
    let _ = active.appended(cluster.next, vec![Record::BrokerChange(change)]);
}
