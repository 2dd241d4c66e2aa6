//! AlterPartition: valid proposals, and each reason to reject one.

use super::*;
use crate::wire::messages::alter_partition_request::PartitionData;

fn three() -> Cluster {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[]);
    cluster
}

/// The result of an otherwise valid request with one change.
fn altered(
    cluster: &mut Cluster,
    isr: &[i32],
    change: impl FnOnce(&mut AlterPartitionRequest),
) -> Result<(), ErrorCode> {
    let before = cluster.partition().clone();
    let mut request = cluster.proposal(isr);
    change(&mut request);
    let result = cluster.alter(&request);
    if result.is_err() {
        assert_eq!(*cluster.partition(), before);
    }
    result
}

fn partition(request: &mut AlterPartitionRequest) -> &mut PartitionData {
    &mut request.topics[0].partitions[0]
}

#[test]
fn leader_shrinks_and_expands_its_isr() {
    let mut cluster = three();
    cluster.alter_isr(&[1, 3]);
    assert_eq!((cluster.isr(), cluster.partition().partition_epoch.0), (vec![1, 3], 1));
    cluster.alter_isr(&[1, 2, 3]);
    assert_eq!((cluster.isr(), cluster.partition().partition_epoch.0), (vec![1, 2, 3], 2));
    assert_eq!(cluster.partition().leader_epoch.0, 0);
}

#[test]
fn alter_partition_answers_with_the_state_it_commits() {
    let mut cluster = three();
    let request = cluster.proposal(&[1, 3]);
    let decision = cluster.controller.alter_partition(cluster.now, &request);
    let answer = cluster.commit(decision);
    let answer = &answer.topics[0].partitions[0];
    assert_eq!((answer.leader_id, answer.leader_epoch, answer.partition_epoch), (1, 0, 1));
    assert_eq!(answer.isr, [1, 3]);
}

#[test]
fn proposal_with_an_old_partition_epoch_is_rejected() {
    // `stale-alter-partition`: the compare-and-set.
    let mut cluster = three();
    let stale = cluster.proposal(&[1, 2]);
    cluster.alter_isr(&[1, 3]);
    assert_eq!(cluster.alter(&stale), Err(ErrorCode::InvalidUpdateVersion));
    assert_eq!(cluster.isr(), [1, 3]);
}

#[test]
fn proposal_of_a_deposed_leader_is_rejected() {
    let mut cluster = three();
    let deposed = cluster.proposal(&[1]);
    let mut request = cluster.request(1);
    request.want_fence = true;
    cluster.beat(&request);
    cluster.come_back(1);
    assert_eq!(cluster.leader(), Some(2));
    assert_eq!(cluster.alter(&deposed), Err(ErrorCode::FencedLeaderEpoch));
}

#[test]
fn proposal_with_newer_epochs_is_answered_not_controller() {
    let mut cluster = three();
    let newer = altered(&mut cluster, &[1, 2], |r| partition(r).leader_epoch += 1);
    assert_eq!(newer, Err(ErrorCode::NotController));
    let newer = altered(&mut cluster, &[1, 2], |r| partition(r).partition_epoch += 1);
    assert_eq!(newer, Err(ErrorCode::NotController));
}

#[test]
fn proposal_of_a_follower_is_rejected() {
    let mut cluster = three();
    let epoch = cluster.epoch(2).0;
    let other = altered(&mut cluster, &[1, 2], |r| (r.broker_id, r.broker_epoch) = (2, epoch));
    assert_eq!(other, Err(ErrorCode::InvalidRequest));
}

#[test]
fn proposal_of_an_earlier_registration_is_rejected() {
    let mut cluster = three();
    let stale = altered(&mut cluster, &[1, 2], |r| r.broker_epoch -= 1);
    assert_eq!(stale, Err(ErrorCode::StaleBrokerEpoch));
}

#[test]
fn unknown_topics_and_partitions_are_named() {
    let mut cluster = three();
    let gone = altered(&mut cluster, &[1], |r| r.topics[0].topic_id = Uuid::ZERO);
    assert_eq!(gone, Err(ErrorCode::UnknownTopicId));
    let gone = altered(&mut cluster, &[1], |r| partition(r).partition_index = 7);
    assert_eq!(gone, Err(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn isr_must_have_its_leader_and_only_replicas_once_each() {
    let mut cluster = three();
    cluster.start(4);
    for isr in [&[2, 3][..], &[], &[1, 4], &[1, 2, 2], &[1, 2, 3, 3]] {
        assert_eq!(altered(&mut cluster, isr, |_| {}), Err(ErrorCode::InvalidRequest), "{isr:?}");
    }
}

#[test]
fn fenced_or_leaving_broker_cannot_join_the_isr() {
    // KIP-841, `fenced-may-join`.
    let mut cluster = three();
    cluster.fence(3);
    let fenced = altered(&mut cluster, &[1, 2, 3], |_| {});
    assert_eq!(fenced, Err(ErrorCode::IneligibleReplica));
    cluster.come_back(3);
    assert_eq!(altered(&mut cluster, &[1, 2, 3], |_| {}), Ok(()));
    assert_eq!(altered(&mut cluster, &[1, 2], |_| {}), Ok(()));
    let change = BrokerChange {
        in_controlled_shutdown: true,
        ..BrokerChange::of(BrokerId(3), cluster.epoch(3))
    };
    cluster.commit(Decision::new(vec![Record::BrokerChange(change)], ()));
    let leaving = altered(&mut cluster, &[1, 3], |_| {});
    assert_eq!(leaving, Err(ErrorCode::IneligibleReplica));
}

#[test]
fn broker_restarted_since_its_last_fetch_cannot_join() {
    // KIP-903, `no-broker-epoch-in-isr`.
    let mut cluster = three();
    let heard = cluster.epoch(3).0;
    cluster.fence(3);
    cluster.restart_uncleanly(3);
    cluster.come_back(3);
    let stale = altered(&mut cluster, &[1, 2, 3], |r| {
        partition(r).new_isr_with_epochs[2].broker_epoch = heard;
    });
    assert_eq!(stale, Err(ErrorCode::IneligibleReplica));
    assert_eq!(altered(&mut cluster, &[1, 2, 3], |_| {}), Ok(()));
}

#[test]
fn recovering_leader_is_alone_in_the_isr() {
    let mut cluster = three();
    let back = altered(&mut cluster, &[1], |r| partition(r).leader_recovery_state = 1);
    assert_eq!(back, Err(ErrorCode::InvalidRequest), "a clean election has nothing to recover");
    let nonsense = altered(&mut cluster, &[1], |r| partition(r).leader_recovery_state = 7);
    assert_eq!(nonsense, Err(ErrorCode::InvalidRequest));
}

#[test]
fn proposal_that_changes_nothing_writes_no_record() {
    let cluster = three();
    let request = cluster.proposal(&[1, 2, 3]);
    let decision = cluster.controller.alter_partition(cluster.now, &request);
    assert!(decision.records.is_empty());
    assert_eq!(decision.response.topics[0].partitions[0].partition_epoch, 0);
}
