//! ElectLeaders, and elections that are due from time to time.

use super::configs::{alter, topic_t};
use super::*;
use crate::wire::messages::elect_leaders_request::TopicPartitions;
use crate::wire::messages::{ElectLeadersRequest, message};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
const SET: i8 = 0;

impl Cluster {
    /// The error of each partition that the answer names.
    fn elect(&mut self, kind: i8, asked: Option<&[(&str, i32)]>) -> Vec<(String, i32, ErrorCode)> {
        let topics = asked.map(|asked| {
            let each = asked.iter().map(|(topic, index)| {
                message!(TopicPartitions { topic: (*topic).into(), partitions: vec![*index] })
            });
            each.collect()
        });
        let request =
            message!(ElectLeadersRequest { election_type: kind, topic_partitions: topics });
        let decision = self.controller.elect_leaders(self.now, &request);
        let answer = self.commit(decision);
        let topics = answer.replica_election_results.iter();
        let each = topics.flat_map(|topic| {
            topic.partition_result.iter().map(|told| {
                let error = ErrorCode::from_code(told.error_code);
                (topic.topic.to_string(), told.partition_id, error)
            })
        });
        each.collect()
    }

    fn elect_one(&mut self, kind: i8) -> ErrorCode {
        let told = self.elect(kind, Some(&[("t", 0)]));
        assert_eq!(told.len(), 1);
        told[0].2
    }

    /// Lets this time pass; all brokers go on sending heartbeats.
    fn live(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.after(1);
            for id in self.brokers() {
                if self.image().is_active(BrokerId(id)) {
                    self.heartbeat(id);
                }
            }
            self.tick();
        }
    }
}

/// Broker 1 is the preferred leader, and 2 leads.
fn led_by_another() -> Cluster {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[]);
    cluster.fence(1);
    cluster.come_back(1);
    assert_eq!(cluster.leader(), Some(2));
    cluster
}

#[test]
fn preferred_leader_is_elected_once_it_is_in_sync() {
    let mut cluster = led_by_another();
    assert_eq!(cluster.elect_one(PREFERRED), ErrorCode::PreferredLeaderNotAvailable);
    assert_eq!(cluster.leader(), Some(2), "1 may lack records");
    cluster.alter_isr(&[1, 2, 3]);
    let before = cluster.partition().leader_epoch;
    assert_eq!(cluster.elect_one(PREFERRED), ErrorCode::None);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(1), vec![1, 2, 3]));
    assert_eq!(cluster.partition().leader_epoch, before.next());
    assert!(!cluster.was_unclean());
    assert_eq!(cluster.elect_one(PREFERRED), ErrorCode::ElectionNotNeeded);
}

#[test]
fn preferred_leader_that_is_only_eligible_does_not_depose_a_leader_in_sync() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    cluster.fence(1);
    cluster.fence(3);
    cluster.come_back(1);
    cluster.come_back(3);
    cluster.alter_isr(&[2]);
    assert_eq!((cluster.leader(), cluster.elr()), (Some(2), vec![3]));
    assert_eq!(cluster.elect_one(PREFERRED), ErrorCode::PreferredLeaderNotAvailable);
}

#[test]
fn preferred_election_is_never_unclean_and_an_unclean_one_needs_no_permission() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.alter_isr(&[1]);
    assert_eq!(cluster.elect_one(UNCLEAN), ErrorCode::ElectionNotNeeded, "there is a leader");
    cluster.fence(1);
    assert_eq!(cluster.leader(), None);
    assert_eq!(cluster.elect_one(PREFERRED), ErrorCode::PreferredLeaderNotAvailable);
    assert_eq!(cluster.elect_one(UNCLEAN), ErrorCode::None);
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    assert!(cluster.was_unclean() && cluster.partition().recovering);
}

#[test]
fn unclean_election_needs_a_replica_that_is_alive() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.fence(1);
    cluster.fence(2);
    assert_eq!(cluster.elect_one(UNCLEAN), ErrorCode::EligibleLeadersNotAvailable);
}

#[test]
fn all_partitions_are_elected_and_those_that_need_none_are_not_named() {
    let mut cluster = led_by_another();
    cluster.alter_isr(&[1, 2, 3]);
    cluster.create(topic("audit", 2, 1)).unwrap();
    assert_eq!(cluster.elect(PREFERRED, None), [("t".to_owned(), 0, ErrorCode::None)]);
    assert_eq!(cluster.elect(PREFERRED, None), []);
    assert_eq!(cluster.leader(), Some(1));
}

#[test]
fn unknown_topics_partitions_and_types_are_refused_and_change_nothing() {
    let mut cluster = led_by_another();
    cluster.alter_isr(&[1, 2, 3]);
    let asked = [("audit", 0), ("t", 9), ("t", -1)];
    let told = cluster.elect(PREFERRED, Some(&asked));
    assert!(told.iter().all(|told| told.2 == ErrorCode::UnknownTopicOrPartition), "{told:?}");
    assert_eq!(told.len(), 3);
    for kind in [-1, 2, 127] {
        assert_eq!(cluster.elect_one(kind), ErrorCode::InvalidRequest);
        let request = message!(ElectLeadersRequest { election_type: kind, topic_partitions: None });
        let decision = cluster.controller.elect_leaders(cluster.now, &request);
        assert_eq!(decision.response.error_code, ErrorCode::InvalidRequest.code());
        let nothing = message!(ElectLeadersRequest {
            election_type: kind,
            topic_partitions: Some(Vec::new()),
        });
        let decision = cluster.controller.elect_leaders(cluster.now, &nothing);
        assert_eq!(decision.response.error_code, ErrorCode::None.code());
    }
    assert_eq!(cluster.leader(), Some(2));
}

#[test]
fn preferred_leaders_lead_again_after_the_interval() {
    let mut cluster = led_by_another();
    cluster.alter_isr(&[1, 2, 3]);
    cluster.controller.activated(cluster.now);
    cluster.live(299);
    assert_eq!(cluster.leader(), Some(2));
    cluster.live(2);
    assert_eq!(cluster.leader(), Some(1));
}

#[test]
fn preferred_leaders_wait_for_an_operator_where_the_setting_is_off() {
    let mut config = NodeConfig::default();
    config.set("auto.leader.rebalance.enable", "false").unwrap();
    let mut cluster = Cluster::with(BTreeMap::new(), Intervals::of(&config));
    for id in [1, 2, 3] {
        cluster.start(id);
    }
    cluster.topic(&[1, 2, 3], &[]);
    cluster.fence(1);
    cluster.come_back(1);
    cluster.alter_isr(&[1, 2, 3]);
    cluster.controller.activated(cluster.now);
    cluster.live(700);
    assert_eq!(cluster.leader(), Some(2));
}

#[test]
fn topic_that_permits_it_later_gets_an_unclean_leader_after_the_interval() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1, 2], &[]);
    cluster.alter_isr(&[1]);
    cluster.fence(1);
    cluster.controller.activated(cluster.now);
    cluster.live(301);
    assert_eq!(cluster.leader(), None);
    alter(&mut cluster, topic_t(&[("unclean.leader.election.enable", SET, Some("true"))]));
    cluster.live(298);
    assert_eq!(cluster.leader(), None);
    cluster.live(3);
    assert_eq!(cluster.leader(), Some(2));
    let unclean = |change: &Change| matches!(change, Change::Partition { unclean: true, .. });
    assert!(cluster.history.iter().any(unclean));
}

#[test]
fn one_round_elects_a_bounded_number_and_the_next_follows_at_once() {
    let mut cluster = Cluster::of(&[1, 2]);
    let mut wide = topic("wide", -1, -1);
    for partition in 0..1500 {
        let mut assigned = CreatableReplicaAssignment::default();
        assigned.partition_index = partition;
        assigned.broker_ids = vec![1, 2];
        wide.assignments.push(assigned);
    }
    cluster.create(wide).unwrap();
    let led_by = |cluster: &Cluster, id| cluster.image().led_by(Some(BrokerId(id))).count();
    cluster.fence(1);
    assert_eq!(led_by(&cluster, 2), 1500);
    cluster.come_back(1);
    let request = cluster.proposal_for("wide", &[1, 2]);
    assert_eq!(cluster.alter(&request), Ok(()));
    cluster.controller.activated(cluster.now);
    cluster.after(300);
    for id in [1, 2] {
        cluster.heartbeat(id);
    }
    cluster.tick();
    assert_eq!(led_by(&cluster, 1), 1000);
    assert_eq!(cluster.controller.deadline(), Some(cluster.now));
    cluster.tick();
    assert_eq!(led_by(&cluster, 1), 1500);
}
