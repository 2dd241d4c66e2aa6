//! Brokers register, send heartbeats, fall silent, lose directories and leave.

use super::*;
use crate::wire::messages::broker_registration_request::Feature;
use crate::wire::messages::{
    AllocateProducerIdsRequest, AssignReplicasToDirsRequest, assign_replicas_to_dirs_request,
};

#[test]
fn broker_epoch_is_the_offset_of_its_registration() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.fence(2);
    // Records that take the broker out of ISRs come before the registration.
    let request = cluster.registration(1, BrokerEpoch::NONE);
    cluster.after(20);
    let epoch = cluster.register(&request).unwrap();
    assert_eq!(epoch.0, cluster.next.0 - 1);
    assert_eq!(cluster.image().broker(BrokerId(1)).unwrap().registered_at.0, epoch.0);
}

#[test]
fn broker_of_another_cluster_is_rejected() {
    let mut cluster = Cluster::new();
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.cluster_id = "other".into();
    assert_eq!(cluster.register(&request), Err(ErrorCode::InconsistentClusterId));
}

#[test]
fn second_broker_with_a_live_id_is_rejected() {
    let mut cluster = Cluster::of(&[1]);
    let second = cluster.registration(1, BrokerEpoch::NONE);
    assert_eq!(cluster.register(&second), Err(ErrorCode::DuplicateBrokerRegistration));
    cluster.after(8);
    assert_eq!(cluster.register(&second), Err(ErrorCode::DuplicateBrokerRegistration));
    cluster.after(1);
    assert!(cluster.register(&second).is_ok());
}

#[test]
fn known_dead_predecessor_does_not_block_registration() {
    let mut cluster = Cluster::of(&[1]);
    cluster.controller.carry_out(cluster.now, Effect::SessionEnded(BrokerId(1)));
    assert!(cluster.controller.deadline().is_some_and(|deadline| deadline <= cluster.now));
    let request = cluster.registration(1, BrokerEpoch::NONE);
    assert!(cluster.register(&request).is_ok());
}

#[test]
fn late_registration_of_an_earlier_start_does_not_depose_the_next_one() {
    let mut cluster = Cluster::of(&[1]);
    cluster.fence(1);
    let late = cluster.registration(1, BrokerEpoch::NONE);
    cluster.restart_uncleanly(1);
    let epoch = cluster.epoch(1);
    assert_eq!(cluster.register(&late), Err(ErrorCode::DuplicateBrokerRegistration));
    assert_eq!(cluster.epoch(1), epoch);
    cluster.come_back(1);
    // Once its session is over, another start may take its place.
    cluster.fence(1);
    assert!(cluster.register(&late).is_ok());
}

#[test]
fn repeated_registration_keeps_epoch_and_standing() {
    let mut cluster = Cluster::of(&[2]);
    let request = cluster.registration(1, BrokerEpoch::NONE);
    let epoch = cluster.register(&request).unwrap();
    cluster.heartbeat(1);
    assert_eq!(cluster.register(&request), Ok(epoch));
    assert!(cluster.image().is_alive(BrokerId(1)));
}

#[test]
fn invalid_registrations_are_rejected() {
    let mut cluster = Cluster::of(&[2]);
    let good = cluster.registration(1, BrokerEpoch::NONE);
    let mut nameless = good.clone();
    nameless.broker_id = -1;
    let mut deaf = good.clone();
    deaf.listeners.clear();
    let mut twice = good.clone();
    twice.log_dirs.push(directory(1).into());
    let mut taken = good.clone();
    taken.log_dirs = vec![directory(2).into()];
    let mut reserved = good.clone();
    reserved.log_dirs = vec![DirectoryId::LOST.into()];
    let mut long = good.clone();
    long.listeners[0].host = "h".repeat(5000).into();
    for bad in [nameless, deaf, twice, taken, reserved, long] {
        assert_eq!(cluster.register(&bad), Err(ErrorCode::InvalidRegistration));
    }
    assert!(cluster.register(&good).is_ok());
}

#[test]
fn broker_without_the_features_in_use_is_rejected() {
    let mut cluster = Cluster::new();
    let mut feature = Feature::default();
    feature.name = "metadata.version".into();
    (feature.min_supported_version, feature.max_supported_version) = (7, 24);
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.features = vec![feature];
    assert_eq!(cluster.register(&request), Err(ErrorCode::UnsupportedVersion));
    request.features[0].max_supported_version = 25;
    assert!(cluster.register(&request).is_ok());
}

#[test]
fn broker_is_unfenced_once_it_read_its_own_registration() {
    let mut cluster = Cluster::new();
    let request = cluster.registration(1, BrokerEpoch::NONE);
    cluster.register(&request).unwrap();
    let mut early = cluster.request(1);
    early.current_metadata_offset -= 1;
    let answer = cluster.beat(&early);
    assert!(answer.is_fenced && !answer.is_caught_up);
    let answer = cluster.heartbeat(1);
    assert!(!answer.is_fenced && answer.is_caught_up);
    assert_eq!(
        cluster.changes,
        [Change::BrokerUnfenced { id: BrokerId(1), epoch: cluster.epoch(1) }]
    );
}

#[test]
fn broker_that_wants_to_be_fenced_stays_fenced() {
    let mut cluster = Cluster::of(&[1]);
    let mut request = cluster.request(1);
    request.want_fence = true;
    assert!(cluster.beat(&request).is_fenced);
    assert!(cluster.beat(&request).is_fenced);
    assert!(!cluster.image().is_alive(BrokerId(1)));
    assert!(!cluster.heartbeat(1).is_fenced);
}

#[test]
fn heartbeat_of_an_earlier_registration_is_rejected() {
    let mut cluster = Cluster::of(&[1]);
    let old = cluster.request(1);
    cluster.fence(1);
    cluster.restart_uncleanly(1);
    assert_eq!(cluster.beat(&old).error_code, ErrorCode::StaleBrokerEpoch.code());
    let mut unknown = old.clone();
    unknown.broker_id = 9;
    assert_eq!(cluster.beat(&unknown).error_code, ErrorCode::StaleBrokerEpoch.code());
}

#[test]
fn silent_broker_is_fenced_exactly_when_its_session_ends() {
    let mut cluster = Cluster::of(&[1]);
    let end = cluster.now + SESSION;
    assert_eq!(cluster.controller.deadline(), Some(end));
    cluster.now = Instant(end.0 - 1);
    assert!(cluster.controller.expire(cluster.now, Timestamp::NONE).records.is_empty());
    cluster.now = end;
    cluster.tick();
    assert_eq!(
        cluster.changes,
        [Change::BrokerFenced { id: BrokerId(1), epoch: cluster.epoch(1) }]
    );
    assert_eq!(cluster.controller.deadline(), None);
}

#[test]
fn new_controller_grants_every_broker_a_whole_session() {
    let mut cluster = Cluster::of(&[1]);
    cluster.after(100);
    cluster.controller.activated(cluster.now);
    assert!(cluster.controller.expire(cluster.now, Timestamp::NONE).records.is_empty());
    assert_eq!(cluster.controller.deadline(), Some(cluster.now + SESSION));
}

#[test]
fn broker_that_leads_nothing_may_shut_down_at_once() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    let answer = cluster.shut_down(2);
    assert!(answer.should_shut_down && answer.is_fenced);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1]));
}

#[test]
fn leader_may_shut_down_once_all_others_know_its_successors() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[]);
    let behind = (cluster.request(2), cluster.request(3));
    assert!(!cluster.shut_down(1).should_shut_down);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2, 3]));
    assert!(!cluster.partition().recovering);
    cluster.beat(&behind.0);
    cluster.beat(&behind.1);
    assert!(!cluster.shut_down(1).should_shut_down, "2 and 3 have not read the new leaders yet");
    cluster.heartbeat(2);
    assert!(!cluster.shut_down(1).should_shut_down, "3 has not");
    cluster.heartbeat(3);
    assert!(cluster.shut_down(1).should_shut_down);
    assert!(!cluster.image().is_alive(BrokerId(1)));
    assert!(cluster.shut_down(1).should_shut_down, "the previous response may have been lost");
}

#[test]
fn broker_shutting_down_stops_leading_without_a_successor() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[]);
    cluster.shut_down(1);
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![1]));
    assert!(cluster.shut_down(1).should_shut_down);
    let request = cluster.registration(1, cluster.epoch(1));
    cluster.register(&request).unwrap();
    cluster.come_back(1);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1]));
    assert!(!cluster.was_unclean());
}

#[test]
fn failed_directory_costs_its_partitions_not_its_broker() {
    let mut cluster = Cluster::of(&[2]);
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.log_dirs.push(directory(11).into());
    cluster.register(&request).unwrap();
    cluster.heartbeat(1);
    let id = cluster.topic(&[1, 2], &[]);
    let change = PartitionChange {
        topic: id,
        directories: Some(vec![directory(11), directory(2)]),
        ..PartitionChange::default()
    };
    cluster.commit(Decision::new(vec![Record::PartitionChange(change)], ()));
    let mut beat = cluster.request(1);
    beat.offline_log_dirs = vec![directory(1).into()];
    cluster.beat(&beat);
    assert_eq!(cluster.leader(), Some(1), "another directory");
    beat.offline_log_dirs = vec![directory(11).into()];
    assert_eq!(cluster.beat(&beat).error_code, 0);
    assert_eq!(cluster.leader(), Some(1), "the last directory: the broker stops by itself");
}

#[test]
fn partition_in_a_failed_directory_gets_another_leader() {
    let mut cluster = Cluster::of(&[2]);
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.log_dirs = vec![directory(11).into()];
    cluster.register(&request).unwrap();
    cluster.heartbeat(1);
    cluster.topic(&[1, 2], &[]);
    let epoch = cluster.epoch(1);
    let change = BrokerChange {
        log_dirs: Some(vec![directory(11), directory(12)]),
        ..BrokerChange::of(BrokerId(1), epoch)
    };
    cluster.commit(Decision::new(vec![Record::BrokerChange(change)], ()));
    let mut beat = cluster.request(1);
    beat.offline_log_dirs = vec![directory(11).into()];
    cluster.beat(&beat);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert!(cluster.image().is_alive(BrokerId(1)));
}

/// Broker 1 reports the directory of its replica of partition 0 of `t`.
fn assign(cluster: &mut Cluster, topic: TopicId, dir: DirectoryId) -> (i16, i16) {
    let mut partition = assign_replicas_to_dirs_request::PartitionData::default();
    partition.partition_index = 0;
    let mut topic_data = assign_replicas_to_dirs_request::TopicData::default();
    topic_data.topic_id = topic.into();
    topic_data.partitions = vec![partition];
    let mut asked = assign_replicas_to_dirs_request::DirectoryData::default();
    asked.id = dir.into();
    asked.topics = vec![topic_data];
    let mut request = AssignReplicasToDirsRequest::default();
    request.broker_id = 1;
    request.broker_epoch = cluster.epoch(1).0;
    request.directories = vec![asked];
    let decision = cluster.controller.assign_replicas_to_dirs(&request);
    let answer = cluster.commit(decision);
    let told = answer.directories.first().and_then(|dir| dir.topics.first());
    (answer.error_code, told.map_or(0, |topic| topic.partitions[0].error_code))
}

#[test]
fn broker_with_several_directories_assigns_its_replicas() {
    let mut cluster = Cluster::of(&[2]);
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.log_dirs = vec![directory(11).into(), directory(12).into()];
    cluster.register(&request).unwrap();
    cluster.heartbeat(1);
    let id = cluster.topic(&[1, 2], &[]);
    assert_eq!(
        cluster.partition().directory_of(BrokerId(1)),
        DirectoryId::UNASSIGNED,
        "the broker chooses the directory"
    );
    assert_eq!(assign(&mut cluster, id, directory(12)), (0, 0));
    assert_eq!(cluster.partition().directory_of(BrokerId(1)), directory(12));
    let epoch = cluster.partition().partition_epoch;
    assert_eq!(assign(&mut cluster, id, directory(12)), (0, 0));
    assert_eq!(cluster.partition().partition_epoch, epoch, "a repeated report writes no record");
    assert_eq!(cluster.leader(), Some(1));
    let unknown = assign(&mut cluster, TopicId([9; 16]), directory(12));
    assert_eq!(unknown.1, ErrorCode::UnknownTopicId.code());
    let mut beat = cluster.request(1);
    beat.offline_log_dirs = vec![directory(12).into()];
    cluster.beat(&beat);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
}

#[test]
fn replica_assigned_to_a_failed_directory_loses_leadership() {
    let mut cluster = Cluster::of(&[2]);
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.log_dirs = vec![directory(11).into(), directory(12).into()];
    cluster.register(&request).unwrap();
    cluster.heartbeat(1);
    let id = cluster.topic(&[1, 2], &[]);
    let mut beat = cluster.request(1);
    beat.offline_log_dirs = vec![directory(12).into()];
    cluster.beat(&beat);
    assert_eq!(cluster.leader(), Some(1), "the directory of the replica is not known yet");
    assert_eq!(assign(&mut cluster, id, directory(12)), (0, 0));
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
}

#[test]
fn lost_replica_leaves_isr_and_elr_and_others_lead() {
    let mut cluster = Cluster::of(&[1, 2]);
    let id = cluster.topic(&[1, 2], &[("min.insync.replicas", "2")]);
    let epoch = cluster.partition().leader_epoch;
    assert_eq!(assign(&mut cluster, id, DirectoryId::LOST), (0, 0));
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert_eq!(cluster.elr(), Vec::<i32>::new(), "it is unknown what it lacks");
    assert_eq!(cluster.partition().leader_epoch.0, epoch.0 + 1);
    assert!(cluster.image().is_alive(BrokerId(1)), "only the replica is lost, not its broker");
    // An empty log replaced it, and it joins like any replica that has caught up.
    assert_eq!(assign(&mut cluster, id, directory(1)), (0, 0));
    cluster.alter_isr(&[1, 2]);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![1, 2]));
}

#[test]
fn losing_a_follower_begins_one_new_leader_epoch() {
    let mut cluster = Cluster::of(&[1, 2]);
    let id = cluster.topic(&[2, 1], &[]);
    let epoch = cluster.partition().leader_epoch;
    for _ in 0..2 {
        assert_eq!(assign(&mut cluster, id, DirectoryId::LOST), (0, 0));
        assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
        assert_eq!(cluster.partition().leader_epoch.0, epoch.0 + 1);
    }
}

#[test]
fn lost_replica_leads_again_where_no_other_can() {
    let mut cluster = Cluster::of(&[1, 2]);
    let id = cluster.topic(&[1], &[]);
    assert_eq!(assign(&mut cluster, id, DirectoryId::LOST), (0, 0));
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![1]));
    assert_eq!(assign(&mut cluster, id, directory(1)), (0, 0));
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1]));
    assert!(!cluster.was_unclean());
}

/// Broker 1 starts again on an empty disk.
fn restart_on_an_empty_disk(cluster: &mut Cluster) {
    cluster.fence(1);
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.log_dirs = vec![directory(21).into()];
    cluster.register(&request).unwrap();
    cluster.come_back(1);
}

#[test]
fn replica_on_a_replaced_disk_is_another_replica() {
    let mut cluster = Cluster::of(&[1, 2]);
    let id = cluster.topic(&[1, 2], &[]);
    restart_on_an_empty_disk(&mut cluster);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert_eq!(cluster.partition().directory_of(BrokerId(1)), directory(1));
    // Its directory is missing: it can't join, whatever the leader believes.
    let proposal = cluster.proposal(&[1, 2]);
    assert_eq!(cluster.alter(&proposal), Err(ErrorCode::IneligibleReplica));
    assert_eq!(assign(&mut cluster, id, directory(21)), (0, 0));
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    cluster.alter_isr(&[1, 2]);
    assert_eq!(cluster.isr(), [1, 2]);
}

#[test]
fn replica_on_a_replaced_disk_does_not_lead_where_no_other_can() {
    let mut cluster = Cluster::of(&[1, 2]);
    let id = cluster.topic(&[1], &[]);
    restart_on_an_empty_disk(&mut cluster);
    assert_eq!(cluster.leader(), None);
    let refused = ErrorCode::KafkaStorageError.code();
    assert_eq!(assign(&mut cluster, id, directory(21)), (0, refused));
    assert_eq!(cluster.leader(), None);
    // The former disk is back.
    cluster.fence(1);
    cluster.restart_uncleanly(1);
    cluster.come_back(1);
    assert_eq!(cluster.leader(), Some(1));
}

#[test]
fn replica_that_was_moved_between_two_directories_stays_in_sync() {
    let mut cluster = Cluster::of(&[2]);
    let mut request = cluster.registration(1, BrokerEpoch::NONE);
    request.log_dirs = vec![directory(11).into(), directory(12).into()];
    cluster.register(&request).unwrap();
    cluster.heartbeat(1);
    let id = cluster.topic(&[1, 2], &[]);
    assert_eq!(assign(&mut cluster, id, directory(11)), (0, 0));
    assert_eq!(assign(&mut cluster, id, directory(12)), (0, 0));
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1, 2]));
}

#[test]
fn producer_id_blocks_do_not_overlap() {
    let mut cluster = Cluster::of(&[1, 2]);
    let mut next = |id: i32| {
        let mut request = AllocateProducerIdsRequest::default();
        request.broker_id = id;
        request.broker_epoch = cluster.epoch(id).0;
        let decision = cluster.controller.allocate_producer_ids(cluster.now, &request);
        let answer = cluster.commit(decision);
        (answer.error_code, answer.producer_id_start, answer.producer_id_len)
    };
    assert_eq!(next(1), (0, 0, 1000));
    assert_eq!(next(2), (0, 1000, 1000));
    assert_eq!(next(1), (0, 2000, 1000));
    assert_eq!(next(9).0, ErrorCode::StaleBrokerEpoch.code());
}

#[test]
fn record_that_contradicts_the_log_is_an_error() {
    let mut image = Image::default();
    let mut changes = Vec::new();
    let mut replay = |offset, record| image.replay(Offset(offset), &record, &mut changes);
    assert!(replay(0, Record::NoOp).is_ok());
    assert!(matches!(replay(0, Record::NoOp), Err(ReplayError::Order { .. })));
    let gone = TopicId([9; 16]);
    assert!(matches!(replay(1, Record::RemoveTopic(gone)), Err(ReplayError::NoTopic { .. })));
    let change = PartitionChange { topic: gone, ..PartitionChange::default() };
    let change = Record::PartitionChange(change);
    assert!(matches!(replay(1, change), Err(ReplayError::NoPartition { .. })));
    let change = Record::BrokerChange(BrokerChange::of(BrokerId(1), BrokerEpoch(1)));
    assert!(matches!(replay(1, change), Err(ReplayError::NoBroker { .. })));
    assert!(changes.is_empty());
}

#[test]
fn cloned_image_does_not_change_with_its_origin() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    let before = cluster.image().clone();
    cluster.fence(1);
    assert_eq!(before.leader_of("t", 0).unwrap().0, BrokerId(1));
    assert_eq!(cluster.image().leader_of("t", 0).unwrap().0, BrokerId(2));
    let alive = |image: &Image| [1, 2].map(|id| image.is_alive(BrokerId(id)));
    assert_eq!(alive(&before), [true, true]);
    assert_eq!(alive(cluster.image()), [false, true]);
    let address = cluster.image().address(BrokerId(2), "PLAINTEXT").unwrap();
    assert_eq!(address.to_string(), "b2:9092");
    assert_eq!(cluster.image().address(BrokerId(2), "EXTERNAL"), None);
}
