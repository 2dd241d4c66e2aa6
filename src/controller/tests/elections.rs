//! Elections: which replica leads after brokers fail or come back, clean or unclean.

use super::*;

const UNCLEAN: (&str, &str) = ("unclean.leader.election.enable", "true");
const MIN_TWO: (&str, &str) = ("min.insync.replicas", "2");

#[test]
fn fenced_leader_is_replaced_by_next_in_sync_replica_in_order() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[3, 1, 2], &[]);
    assert_eq!(cluster.leader(), Some(3));
    let before = cluster.partition().clone();
    cluster.fence(3);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1, 2]));
    assert_eq!(cluster.partition().leader_epoch, before.leader_epoch.next());
    assert_eq!(cluster.partition().partition_epoch, before.partition_epoch.next());
    assert!(!cluster.was_unclean());
}

#[test]
fn election_skips_replicas_out_of_sync() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[]);
    cluster.alter_isr(&[1, 3]);
    cluster.fence(1);
    assert_eq!(cluster.leader(), Some(3));
}

#[test]
fn fencing_a_follower_keeps_the_leader_epoch() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[]);
    let before = cluster.partition().clone();
    cluster.fence(2);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1, 3]));
    assert_eq!(cluster.partition().leader_epoch, before.leader_epoch);
    assert_eq!(cluster.partition().partition_epoch, before.partition_epoch.next());
}

#[test]
fn last_isr_member_stays_and_leads_again_when_it_returns() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.fence(2);
    cluster.fence(1);
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![1]));
    cluster.come_back(2);
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![1]), "2 may lack records");
    cluster.come_back(1);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1]));
    assert!(!cluster.was_unclean() && !cluster.partition().recovering);
}

#[test]
fn brokers_silent_at_once_are_fenced_one_after_the_other() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[]);
    cluster.after(20).tick();
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![3]));
}

#[test]
fn no_unclean_leader_without_permission() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.alter_isr(&[1]);
    cluster.fence(1);
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![1]));
}

#[test]
fn unclean_leader_is_alone_in_isr_and_marked_recovering() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[UNCLEAN]);
    cluster.alter_isr(&[1]);
    cluster.fence(1);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert!(cluster.was_unclean() && cluster.partition().recovering);
    let probes: Vec<_> = cluster.changes.iter().filter_map(Change::probe).collect();
    let unclean = |probe: &crate::base::Probe| matches!(probe, crate::base::Probe::Controller(crate::base::ControllerProbe::PartitionCommitted(p)) if p.unclean);
    assert!(probes.iter().any(unclean));
    // The leader reports that it has recovered when it expands its ISR.
    cluster.come_back(1);
    cluster.alter_isr(&[1, 2]);
    assert!(!cluster.was_unclean() && !cluster.partition().recovering);
}

#[test]
fn clean_leader_is_preferred_although_unclean_is_permitted() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[UNCLEAN]);
    cluster.alter_isr(&[1, 3]);
    cluster.fence(1);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(3), vec![3]));
    assert!(!cluster.was_unclean());
}

#[test]
fn returning_out_of_sync_replica_leads_where_permitted() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[UNCLEAN]);
    cluster.fence(2);
    cluster.fence(1);
    assert_eq!(cluster.leader(), None);
    cluster.come_back(2);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert!(cluster.was_unclean());
}

// KIP-966: eligible leader replicas.

#[test]
fn replica_leaving_isr_below_min_insync_joins_the_elr() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[MIN_TWO]);
    cluster.alter_isr(&[1, 2]);
    assert_eq!(cluster.elr(), [0; 0], "two are enough, the high watermark advances without 3");
    cluster.alter_isr(&[1]);
    assert_eq!(cluster.elr(), [2]);
    cluster.alter_isr(&[1, 3]);
    assert_eq!(cluster.elr(), [0; 0]);
}

#[test]
fn elr_member_leads_cleanly_when_no_isr_member_can() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[MIN_TWO]);
    cluster.fence(3);
    cluster.alter_isr(&[1]);
    assert_eq!(cluster.elr(), [2]);
    cluster.fence(1);
    assert_eq!((cluster.leader(), cluster.isr(), cluster.elr()), (Some(2), vec![2], vec![1]));
    assert!(!cluster.was_unclean());
}

#[test]
fn replica_outside_isr_and_elr_is_never_eligible() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[MIN_TWO]);
    cluster.alter_isr(&[1, 2]);
    cluster.fence(1);
    cluster.fence(2);
    assert_eq!((cluster.leader(), cluster.isr(), cluster.elr()), (None, vec![2], vec![1]));
    cluster.come_back(1);
    assert_eq!((cluster.leader(), cluster.isr(), cluster.elr()), (Some(1), vec![1], vec![2]));
    assert!(!cluster.was_unclean());
}

#[test]
fn unclean_election_empties_the_elr() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[MIN_TWO, UNCLEAN]);
    cluster.alter_isr(&[1, 2]);
    cluster.fence(1);
    cluster.fence(2);
    assert_eq!((cluster.leader(), cluster.isr(), cluster.elr()), (Some(3), vec![3], vec![]));
    assert!(cluster.was_unclean());
}

#[test]
fn no_elr_where_the_feature_is_off() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    let off = FeatureLevel { name: "eligible.leader.replicas.version".into(), level: 0 };
    cluster.commit(Decision::new(vec![Record::FeatureLevel(off)], ()));
    cluster.topic(&[1, 2, 3], &[MIN_TWO]);
    cluster.alter_isr(&[1]);
    assert_eq!(cluster.elr(), [0; 0]);
    cluster.fence(1);
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![1]));
}

// KIP-966, `forget-last-in-sync`: replicas that come back from an unclean shutdown.

#[test]
fn last_isr_member_after_power_loss_is_not_elected() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[MIN_TWO]);
    cluster.alter_isr(&[1, 2]);
    cluster.fence(1);
    cluster.fence(2);
    assert_eq!((cluster.isr(), cluster.elr()), (vec![2], vec![1]));
    cluster.restart_uncleanly(2);
    assert_eq!((cluster.isr(), cluster.elr()), (vec![], vec![1]));
    cluster.come_back(2);
    assert_eq!(cluster.leader(), None, "1 has everything, and may still return");
    cluster.come_back(1);
    assert_eq!((cluster.leader(), cluster.isr(), cluster.elr()), (Some(1), vec![1], vec![]));
    assert!(!cluster.was_unclean());
}

#[test]
fn power_loss_removes_a_replica_from_the_elr() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[MIN_TWO]);
    cluster.alter_isr(&[1, 2]);
    cluster.fence(2);
    assert_eq!(cluster.elr(), [2]);
    cluster.restart_uncleanly(2);
    assert_eq!(cluster.elr(), [0; 0]);
    cluster.come_back(2);
    cluster.fence(1);
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![1]));
}

#[test]
fn clean_shutdown_keeps_isr_and_elr_membership() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[MIN_TWO]);
    cluster.alter_isr(&[1, 2]);
    cluster.fence(1);
    cluster.fence(2);
    let request = cluster.registration(2, cluster.epoch(2));
    cluster.register(&request).unwrap();
    assert_eq!((cluster.isr(), cluster.elr()), (vec![2], vec![1]));
    cluster.come_back(2);
    assert_eq!(cluster.leader(), Some(2));
    assert!(!cluster.was_unclean());
}

#[test]
fn older_previous_broker_epoch_is_not_a_clean_shutdown() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[]);
    let first = cluster.epoch(1);
    cluster.fence(1);
    let request = cluster.registration(1, first);
    cluster.register(&request).unwrap();
    assert_eq!(cluster.isr(), [1]);
    cluster.after(10);
    let request = cluster.registration(1, first);
    cluster.register(&request).unwrap();
    assert_eq!(cluster.isr(), [0; 0]);
}

#[test]
fn last_known_leader_leads_uncleanly_when_all_lost_data() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.fence(1);
    cluster.fence(2);
    cluster.restart_uncleanly(1);
    cluster.restart_uncleanly(2);
    assert_eq!((cluster.leader(), cluster.isr()), (None, vec![]));
    cluster.come_back(1);
    assert_eq!(cluster.leader(), None, "2 led last");
    cluster.come_back(2);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert!(cluster.was_unclean());
    assert!(cluster.partition().last_known_elr.is_empty());
}

#[test]
fn leader_that_restarts_within_its_session_is_replaced() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.after(5).heartbeat(2);
    cluster.after(5);
    cluster.restart_uncleanly(1);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert!(!cluster.image().is_alive(BrokerId(1)));
}
