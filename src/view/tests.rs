//! The fold, observation by observation.

use super::*;
use crate::base::config::Acks;
use crate::base::{BrokerEpoch, Instant, PartitionCommitted, PartitionEpoch, TopicId};
use crate::sim::{ClientEvent, ConsumerEvent, Outcome, ProducerEvent};

const FIRST: TopicId = TopicId([1; 16]);
const SECOND: TopicId = TopicId([2; 16]);

/// Brokers 1 to 3 on hosts of the same numbers; host 0 is the controller.
struct Stage {
    view: View,
    now: u64,
}

impl Stage {
    fn new() -> Self {
        let brokers = (1..=3).map(|id| (HostId(id), BrokerId(i32::from(id)))).collect();
        Self { view: View::new(&brokers, [("orders".into(), 2)].into()), now: 0 }
    }

    /// `orders-0` of three replicas is committed, led by b1; all brokers are admitted as 1.
    fn running() -> Self {
        let mut stage = Self::new();
        for broker in 1..=3 {
            stage.unfences(broker, 1);
        }
        stage.commits(FIRST, 0, Some(1), 0, &[1, 2, 3]);
        stage
    }

    fn sees(&mut self, host: u16, what: What) -> Vec<Change> {
        self.now += 1;
        let at = Instant::from_secs(self.now);
        self.view.fold(&Observation { at, host: HostId(host), what });
        self.view.changes().to_vec()
    }

    fn probes(&mut self, host: u16, probe: impl Into<Probe>) -> Vec<Change> {
        self.sees(host, What::Probe(probe.into()))
    }

    fn client(&mut self, event: impl Into<ClientEvent>) -> Vec<Change> {
        self.sees(9, What::Client(event.into()))
    }

    fn commits_as(
        &mut self,
        topic_id: TopicId,
        version: i32,
        leader: Option<i32>,
        (epoch, unclean): (i32, bool),
        isr: &[i32],
    ) -> Vec<Change> {
        let committed = PartitionCommitted {
            partition: orders(),
            topic_id,
            replicas: [1, 2, 3].map(BrokerId).to_vec(),
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(version),
            isr: isr.iter().copied().map(BrokerId).collect(),
            unclean,
        };
        self.probes(0, ControllerProbe::PartitionCommitted(committed))
    }

    fn commits(
        &mut self,
        topic_id: TopicId,
        version: i32,
        leader: Option<i32>,
        epoch: i32,
        isr: &[i32],
    ) -> Vec<Change> {
        self.commits_as(topic_id, version, leader, (epoch, false), isr)
    }

    /// How the leader of the next epoch was chosen.
    fn elects(
        &mut self,
        epoch: i32,
        leader: Option<i32>,
        unclean: bool,
        isr: &[i32],
    ) -> Option<Election> {
        match &self.commits_as(FIRST, 10 + epoch, leader, (epoch, unclean), isr)[..] {
            [Change::Committed(committed)] => committed.election,
            other => panic!("{other:?}"),
        }
    }

    fn unfences(&mut self, broker: i32, epoch: i64) -> Vec<Change> {
        self.registers(broker, epoch);
        self.unfences_only(broker, epoch)
    }

    fn registers(&mut self, broker: i32, epoch: i64) {
        let host = u16::try_from(broker).unwrap();
        self.probes(host, NodeProbe::Registered { epoch: BrokerEpoch(epoch) });
    }

    fn unfences_only(&mut self, broker: i32, epoch: i64) -> Vec<Change> {
        let (broker, epoch) = (BrokerId(broker), BrokerEpoch(epoch));
        self.probes(0, ControllerProbe::BrokerUnfenced { broker, epoch })
    }

    fn fences(&mut self, broker: i32, epoch: i64) -> Vec<Change> {
        let (broker, epoch) = (BrokerId(broker), BrokerEpoch(epoch));
        self.probes(0, ControllerProbe::BrokerFenced { broker, epoch })
    }

    fn leads(&mut self, host: u16, topic_id: TopicId, epoch: i32) -> Vec<Change> {
        let (partition, epoch, log_end) = (orders(), LeaderEpoch(epoch), Offset::ZERO);
        self.probes(host, ReplicaProbe::BecameLeader { partition, topic_id, epoch, log_end })
    }

    fn high_watermark(&mut self, host: u16, epoch: i32, offset: i64) -> Vec<Change> {
        let (partition, epoch, offset) = (orders(), LeaderEpoch(epoch), Offset(offset));
        self.probes(host, ReplicaProbe::HighWatermark { partition, epoch, leads: true, offset })
    }
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn gone() -> Change {
    Change::Gone { partition: orders() }
}

#[test]
fn repeated_partition_states_change_nothing() {
    let mut stage = Stage::running();
    assert_eq!(stage.commits(FIRST, 3, Some(2), 1, &[2, 3]).len(), 1);
    // A controller that starts reports all versions again, then a new one.
    assert_eq!(stage.commits(FIRST, 0, Some(1), 0, &[1, 2, 3]), []);
    assert_eq!(stage.commits(FIRST, 3, Some(2), 1, &[2, 3]), []);
    let known = stage.view.partition(&orders()).unwrap();
    assert_eq!((known.state().leader, known.state().isr.len()), (Some(BrokerId(2)), 2));
    assert_eq!(stage.commits(FIRST, 4, Some(2), 1, &[2, 3, 1]).len(), 1);
}

#[test]
fn repeated_states_of_a_deleted_topic_change_nothing() {
    let mut stage = Stage::running();
    assert_eq!(stage.probes(0, ControllerProbe::TopicDeleted { topic_id: FIRST }), [gone()]);
    assert_eq!(stage.commits(FIRST, 9, Some(1), 0, &[1, 2, 3]), []);
    assert_eq!(stage.probes(0, ControllerProbe::TopicDeleted { topic_id: FIRST }), []);
    assert!(stage.view.partition(&orders()).is_none());
}

#[test]
fn topic_created_again_is_gone_before_it_is_committed() {
    let mut stage = Stage::running();
    let changes = stage.commits(SECOND, 0, Some(1), 0, &[1, 2, 3]);
    assert_eq!(changes[0], gone());
    let Change::Committed(committed) = &changes[1] else { panic!("{changes:?}") };
    assert_eq!((&committed.before, committed.election), (&None, None));
    assert_eq!(stage.commits(FIRST, 99, Some(1), 0, &[1]), []);
}

#[test]
fn elections_are_told_apart_by_the_winner() {
    let mut stage = Stage::running();
    assert_eq!(stage.elects(1, Some(2), false, &[2, 3]), Some(Election::Isr));
    // Below min.insync.replicas, b3 stays eligible.
    assert_eq!(stage.elects(2, Some(2), false, &[2]), Some(Election::Isr));
    assert_eq!(stage.elects(3, Some(3), false, &[3]), Some(Election::Elr));
    assert_eq!(stage.elects(4, Some(1), true, &[1]), Some(Election::Unclean));
    assert_eq!(stage.elects(5, None, false, &[1]), Some(Election::Leaderless));
    let known = stage.view.partition(&orders()).unwrap();
    assert_eq!((known.unclean(), known.last_known()), (Some(LeaderEpoch(4)), None));
}

#[test]
fn election_of_an_eligible_replica_is_clean_whatever_the_controller_says() {
    let mut stage = Stage::running();
    stage.probes(2, NodeProbe::Ready);
    stage.elects(1, Some(1), false, &[1, 2]);
    stage.elects(2, Some(1), false, &[1]);
    // It has closed its log, and is not among those that ran ever since.
    stage.sees(2, What::Ended);
    assert_eq!(stage.view.partition(&orders()).unwrap().elr(), []);
    assert_eq!(stage.elects(3, Some(2), true, &[2]), Some(Election::Elr));
}

#[test]
fn election_of_a_replica_whose_node_ended_in_an_error_is_unclean() {
    let mut stage = Stage::running();
    stage.probes(2, NodeProbe::Ready);
    stage.elects(1, Some(1), false, &[1]);
    stage.probes(2, NodeProbe::Failed);
    stage.sees(2, What::Ended);
    assert_eq!(stage.elects(2, Some(2), true, &[2]), Some(Election::Unclean));
}

#[test]
fn election_of_a_replica_that_crashed_or_is_damaged_is_unclean() {
    let mut crashed = Stage::running();
    crashed.elects(1, Some(1), false, &[1]);
    crashed.sees(2, What::Killed);
    assert_eq!(crashed.elects(2, Some(2), true, &[2]), Some(Election::Unclean));
    let mut damaged = Stage::running();
    let probe = || StorageProbe::Damaged { partition: orders(), offset: Offset::ZERO };
    damaged.probes(2, probe());
    damaged.elects(1, Some(1), false, &[1]);
    assert_eq!(damaged.view.partition(&orders()).unwrap().elr(), [BrokerId(3)]);
    assert_eq!(damaged.elects(2, Some(2), true, &[2]), Some(Election::Unclean));
}

#[test]
fn former_isr_is_not_eligible_after_an_unclean_election() {
    let mut stage = Stage::running();
    stage.probes(3, StorageProbe::Damaged { partition: orders(), offset: Offset::ZERO });
    stage.elects(1, Some(1), false, &[1, 2]);
    assert_eq!(stage.elects(2, Some(3), true, &[3]), Some(Election::Unclean));
    assert_eq!(stage.view.partition(&orders()).unwrap().elr(), []);
    assert_eq!(stage.elects(3, Some(1), true, &[1]), Some(Election::Unclean));
}

#[test]
fn last_leader_is_told_from_unclean_when_no_replica_is_eligible() {
    let mut stage = Stage::running();
    stage.elects(1, Some(1), false, &[1]);
    for host in 1..=3 {
        stage.sees(host, What::Killed);
    }
    assert_eq!(stage.elects(2, None, false, &[]), Some(Election::Leaderless));
    assert_eq!(stage.elects(3, Some(1), true, &[1]), Some(Election::LastKnownLeader));
}

#[test]
fn fencing_is_a_change_only_for_a_running_admitted_process() {
    let mut stage = Stage::running();
    // Another registration, which is fenced at first.
    assert_eq!(stage.fences(2, 5), []);
    assert_eq!(stage.unfences(2, 5), [Change::Admitted { host: HostId(2) }]);
    assert_eq!(stage.fences(2, 5), [Change::Fenced { host: HostId(2) }]);
    // A session that times out after the process died.
    stage.unfences(2, 5);
    stage.sees(2, What::Killed);
    assert_eq!(stage.fences(2, 5), []);
}

#[test]
fn replayed_fencing_ends_with_the_last_state_and_changes_nothing() {
    let mut stage = Stage::running();
    stage.probes(0, ControllerProbe::BecameController { id: BrokerId(101), epoch: LeaderEpoch(2) });
    assert_eq!(stage.fences(2, 1), []);
    stage.unfences(2, 1);
    assert!(!stage.view.node(HostId(2)).unwrap().fenced);
    stage.probes(0, NodeProbe::Ready);
    assert_eq!(stage.fences(2, 1), [Change::Fenced { host: HostId(2) }]);
}

#[test]
fn replayed_admission_does_not_admit_a_restarted_process() {
    let mut stage = Stage::running();
    stage.sees(3, What::Killed);
    stage.sees(3, What::Booted);
    assert_eq!(stage.unfences_only(3, 1), []);
    assert!(!stage.view.node(HostId(3)).unwrap().admitted);
    assert_eq!(stage.unfences(3, 2), [Change::Admitted { host: HostId(3) }]);
}

#[test]
fn heartbeat_that_outlived_its_process_does_not_admit_the_next_one() {
    let mut stage = Stage::running();
    stage.sees(3, What::Killed);
    stage.sees(3, What::Booted);
    stage.registers(3, 2);
    stage.sees(3, What::Killed);
    stage.sees(3, What::Booted);
    assert_eq!(stage.unfences_only(3, 2), []);
    assert_eq!(stage.unfences(3, 3), [Change::Admitted { host: HostId(3) }]);
}

#[test]
fn death_reports_where_the_broker_was_eligible_and_ends_its_elr() {
    let mut stage = Stage::running();
    stage.commits(FIRST, 1, Some(1), 0, &[1]);
    assert_eq!(stage.view.partition(&orders()).unwrap().elr(), [BrokerId(2), BrokerId(3)]);
    let eligible = vec![orders()];
    let down = Down { up: true, ready: false, failed: false, eligible };
    assert_eq!(stage.sees(2, What::PowerLost { lost_pages: 1 }), [Change::Down(down)]);
    assert_eq!(stage.view.partition(&orders()).unwrap().elr(), [BrokerId(3)]);
    let down = Down { up: false, ready: false, failed: false, eligible: Vec::new() };
    assert_eq!(stage.sees(2, What::Killed), [Change::Down(down)]);
}

#[test]
fn only_the_chosen_leader_takes_over() {
    let mut stage = Stage::running();
    stage.commits(FIRST, 1, Some(2), 1, &[2, 3]);
    assert_eq!(stage.leads(1, FIRST, 0), []);
    let (host, epoch) = (HostId(2), LeaderEpoch(1));
    let took_over = Change::TookOver { host, partition: orders(), epoch };
    assert_eq!(stage.leads(2, FIRST, 1), [took_over]);
    assert_eq!(stage.view.leader(&orders()), Some((epoch, host)));
    assert_eq!(stage.view.leaders(&orders()), 2);
    stage.sees(2, What::Killed);
    assert_eq!((stage.view.leader(&orders()), stage.view.leaders(&orders())), (None, 1));
}

#[test]
fn exposures_count_in_the_present_creation_and_show_who_is_behind() {
    let exposed = |epoch, upto, behind| Change::Exposed {
        epoch: LeaderEpoch(epoch),
        upto: Offset(upto),
        behind,
    };
    let mut stage = Stage::running();
    assert_eq!(stage.high_watermark(1, 0, 4), []);
    stage.leads(1, FIRST, 0);
    assert_eq!(stage.high_watermark(1, 0, 5), [exposed(0, 5, false)]);
    stage.commits(FIRST, 1, Some(2), 1, &[2, 3]);
    stage.leads(2, FIRST, 1);
    assert_eq!(stage.high_watermark(2, 1, 3), [exposed(1, 3, true)]);
    assert_eq!(stage.high_watermark(2, 1, 4), [exposed(1, 4, false)]);
    assert_eq!(stage.view.exposed_below(&orders()), Offset(5));
    stage.commits(SECOND, 0, Some(1), 0, &[1, 2, 3]);
    assert_eq!(stage.high_watermark(2, 1, 9), []);
    assert_eq!(stage.view.exposed_below(&orders()), Offset(0));
}

#[test]
fn an_outcome_is_joined_with_its_send_once() {
    let mut stage = Stage::new();
    let (producer, op) = (1, 7);
    let sent = ProducerEvent::Sent {
        producer,
        op,
        partition: orders(),
        value: 3,
        acks: Acks::All,
        idempotent: true,
        txn: None,
    };
    assert_eq!(stage.client(sent), []);
    let told = ProducerEvent::Told { producer, op, outcome: Outcome::Ok { offset: None } };
    assert_eq!(stage.client(told.clone()), [Change::Answered { partition: orders() }]);
    assert_eq!(stage.client(told), []);
}

#[test]
fn polls_pass_or_jump_from_the_position() {
    let mut stage = Stage::new();
    let consumer = 0;
    let polled = |offsets: &[i64]| ConsumerEvent::Polled {
        consumer,
        partition: orders(),
        records: offsets.iter().map(|offset| (Offset(*offset), 1)).collect(),
        epochs: Vec::new(),
    };
    let positioned = |offset| ConsumerEvent::Positioned {
        consumer,
        partition: orders(),
        offset: Offset(offset),
    };
    let passed = |from, to| Change::Passed { from: Offset(from), to: Offset(to) };
    let jumped = |expected, got| Change::Jumped {
        consumer,
        partition: orders(),
        expected: Offset(expected),
        got: Offset(got),
    };
    assert_eq!(stage.client(polled(&[3, 4])), [passed(3, 5)]);
    assert_eq!(stage.client(polled(&[6])), [jumped(5, 6), passed(5, 7)]);
    let skipped = ConsumerEvent::Skipped { consumer, partition: orders(), offset: Offset(7) };
    assert_eq!(stage.client(skipped), []);
    assert_eq!(stage.client(polled(&[8])), [passed(8, 9)]);
    assert_eq!(stage.client(positioned(8)), [Change::SetBack]);
    assert_eq!(stage.client(positioned(9)), []);
    let down = Down { up: false, ready: false, failed: false, eligible: Vec::new() };
    let died = stage.sees(9, What::Killed);
    assert_eq!(died, [Change::Down(down), Change::Stopped { consumer }]);
    assert_eq!(stage.view.position(consumer, &orders()), None);
    // The next process has no position, but continues below the last one.
    assert_eq!(stage.client(polled(&[2])), [passed(2, 3)]);
    stage.sees(9, What::Killed);
    assert_eq!(stage.client(positioned(1)), [Change::SetBack]);
}
