//! The current roles of hosts, from the committed state; resolved when a fault is due.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::part::Part;
use crate::base::{BrokerId, GroupProbe, Instant, NodeProbe, Probe, TopicPartition, topics};
use crate::group;
use crate::scenario::{Event, Role, Roles};
use crate::sim::{
    ClientEvent, HostId, MemberEvent, Observation, Outcome, ProducerEvent, TransactionEvent, What,
};
use crate::view::{Change, Committed, Election, State, View};

/// A host of the scenario.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub id: HostId,
    pub name: String,
    pub kind: Kind,
    /// Whether its process runs, as far as faults know.
    pub up: bool,
    pub paused: bool,
    /// Whether it has reported since its last boot that it answers requests.
    pub ready: bool,
}

/// The purpose of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Controller,
    Broker(BrokerId),
    Producer,
    Consumer,
    /// Creates the topic.
    Admin,
    /// Runs a user's program.
    Program(Part),
}

/// All hosts of a run, and the partitions whose roles they have.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    pub all: Vec<Host>,
    partitions: BTreeMap<TopicPartition, Arc<State>>,
    /// The partition whose leader is the coordinator of the scenario's group.
    pub coordinator: Option<TopicPartition>,
    /// The partition whose leader is the coordinator of the scenario's first transactional id.
    pub transaction_coordinator: Option<TopicPartition>,
    /// The hosts of each program that has several instances.
    pub instances: BTreeMap<String, Vec<HostId>>,
    pub elections: u64,
    /// Events that faults can wait for, since the last call; those of nodes have no partition.
    pub moments: Vec<(Instant, Event, Option<TopicPartition>)>,
}

impl Hosts {
    pub fn new(hosts: Vec<Host>) -> Self {
        Self { all: hosts, ..Self::default() }
    }

    /// Takes the next observation, which the view has folded.
    pub fn see(&mut self, seen: &Observation, view: &View) {
        for change in view.changes() {
            match change {
                Change::Committed(committed) => self.committed(seen.at, committed, view),
                Change::Gone { partition } => drop(self.partitions.remove(partition)),
                Change::Answered { partition } if is_ack(&seen.what) => {
                    self.moments.push((seen.at, Event::Ack, Some(partition.clone())));
                }
                Change::Down(_) => self.change(seen.host, |host| {
                    host.up = false;
                    host.paused = false;
                    host.ready = false;
                }),
                _ => {}
            }
        }
        match &seen.what {
            What::Probe(Probe::Node(NodeProbe::Ready)) => {
                self.change(seen.host, |host| host.ready = true);
            }
            What::Booted => {
                if self.nodes().any(|host| host.id == seen.host) {
                    self.moments.push((seen.at, Event::Recovery, None));
                }
                self.change(seen.host, |host| {
                    host.up = true;
                    host.paused = false;
                    host.ready = false;
                });
            }
            What::Client(ClientEvent::Member(MemberEvent::Revoked { .. })) => {
                self.moments.push((seen.at, Event::Rebalance, None));
            }
            What::Client(ClientEvent::Transaction(TransactionEvent::Ending { .. })) => {
                self.moments.push((seen.at, Event::Commit, None));
            }
            What::Probe(Probe::Group(probe)) => {
                let event = match probe {
                    GroupProbe::Joining { .. } => Event::Joining,
                    GroupProbe::Joined { .. } => Event::Syncing,
                };
                self.moments.push((seen.at, event, None));
            }
            What::Paused => self.change(seen.host, |host| host.paused = true),
            What::Resumed => self.change(seen.host, |host| host.paused = false),
            _ => {}
        }
    }

    fn committed(&mut self, at: Instant, committed: &Committed, view: &View) {
        let name = &committed.partition;
        let Some(state) = view.partition(name).map(|known| known.state().clone()) else { return };
        let mut happened = |event| self.moments.push((at, event, Some(name.clone())));
        if committed.election.is_some_and(|election| election != Election::Leaderless) {
            self.elections += 1;
            happened(Event::LeaderElected);
        }
        if let Some(before) = &committed.before {
            match state.isr.len().cmp(&before.isr.len()) {
                Ordering::Less => happened(Event::IsrShrunk),
                Ordering::Greater => happened(Event::IsrGrown),
                Ordering::Equal => {}
            }
        }
        self.partitions.insert(name.clone(), state);
    }

    fn change(&mut self, id: HostId, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.all.iter_mut().find(|host| host.id == id) {
            change(host);
        }
    }

    pub fn host(&self, id: HostId) -> Option<&Host> {
        self.all.iter().find(|host| host.id == id)
    }

    /// The host that leads a partition.
    pub fn leader_of(&self, partition: &TopicPartition) -> Option<String> {
        let leader = self.partitions.get(partition)?.leader?;
        self.of_broker(leader).map(|host| host.name.clone())
    }

    /// Whether every node answers and every partition has a leader and a full ISR.
    pub fn settled(&self) -> bool {
        let nodes = self.nodes().all(|host| host.up && host.ready && !host.paused);
        nodes
            && self
                .partitions
                .values()
                .all(|state| state.leader.is_some() && state.isr.len() == state.replicas.len())
    }

    /// Whether the cluster has partitions of this topic.
    pub fn has_topic(&self, topic: &str) -> bool {
        self.partitions.keys().any(|partition| *partition.topic == *topic)
    }

    /// Brokers and controllers.
    pub fn nodes(&self) -> impl Iterator<Item = &Host> {
        self.all.iter().filter(|host| matches!(host.kind, Kind::Broker(_) | Kind::Controller))
    }

    fn of_broker(&self, id: BrokerId) -> Option<&Host> {
        self.all.iter().find(|host| host.kind == Kind::Broker(id))
    }

    /// The hosts that fit a role and `fits`; `pick` chooses among several.
    pub fn resolve(
        &self,
        roles: &Roles,
        partition: &TopicPartition,
        pick: u64,
        fits: impl Fn(&Host) -> bool,
    ) -> Vec<HostId> {
        let mut found: Vec<HostId> = Vec::new();
        for role in &roles.0 {
            let (candidates, most) = self.candidates(role, partition);
            let candidates: Vec<_> = candidates.into_iter().filter(|host| fits(host)).collect();
            let first = usize::try_from(pick).unwrap_or(0) % candidates.len().max(1);
            // Several of a larger number: consecutive ones from there on, wrapping around.
            let chosen = candidates.iter().cycle().skip(first).take(most.min(candidates.len()));
            found.extend(chosen.map(|host| host.id));
        }
        found.sort();
        found.dedup();
        found
    }

    /// The hosts that fit a role, and the maximum number to choose.
    fn candidates(&self, role: &Role, partition: &TopicPartition) -> (Vec<&Host>, usize) {
        const ONE: usize = 1;
        const ALL: usize = usize::MAX;
        let state = self.partitions.get(partition);
        let leader = state.and_then(|state| state.leader);
        let copies = |fits: &dyn Fn(&State, BrokerId) -> bool| -> Vec<&Host> {
            let Some(state) = state else { return Vec::new() };
            let ids = state.replicas.iter().filter(|id| fits(state, **id));
            ids.filter_map(|id| self.of_broker(*id)).collect()
        };
        let kinds = |fits: &dyn Fn(Kind) -> bool| -> Vec<&Host> {
            self.all.iter().filter(|host| fits(host.kind)).collect()
        };
        let follows = |id: BrokerId| Some(id) != leader;
        match role {
            Role::Leader => (copies(&|_, id| !follows(id)), ONE),
            Role::Follower => (copies(&|_, id| follows(id)), ONE),
            Role::Followers => (copies(&|_, id| follows(id)), ALL),
            Role::IsrFollower => (copies(&|state, id| follows(id) && state.isr.contains(&id)), ONE),
            Role::OutOfSync => (copies(&|state, id| follows(id) && !state.isr.contains(&id)), ONE),
            Role::Any => (kinds(&|kind| matches!(kind, Kind::Broker(_))), ONE),
            Role::All => (kinds(&|kind| matches!(kind, Kind::Broker(_))), ALL),
            Role::Minority => {
                let brokers = kinds(&|kind| matches!(kind, Kind::Broker(_)));
                let most = (brokers.len().saturating_sub(1) / 2).max(ONE);
                (brokers, most)
            }
            Role::Majority => {
                let brokers = kinds(&|kind| matches!(kind, Kind::Broker(_)));
                let most = brokers.len() / 2 + 1;
                (brokers, most)
            }
            Role::Recovering => (self.nodes().filter(|host| host.up && !host.ready).collect(), ONE),
            Role::Coordinator => (self.led(self.coordinator.as_ref()), ONE),
            Role::TransactionCoordinator => (self.led(self.transaction_coordinator.as_ref()), ONE),
            Role::CoordinatorOf(group) => (self.led(self.place_of(group).as_ref()), ONE),
            Role::Controller => (kinds(&|kind| kind == Kind::Controller), ALL),
            Role::Producers => (kinds(&|kind| kind == Kind::Producer), ALL),
            Role::Consumers => (kinds(&|kind| kind == Kind::Consumer), ALL),
            Role::Clients => {
                let programs = [Part::Client, Part::Service].map(Kind::Program);
                let clients = |kind| matches!(kind, Kind::Producer | Kind::Consumer);
                (kinds(&|kind| clients(kind) || programs.contains(&kind)), ALL)
            }
            Role::Everyone => {
                let outside = [Kind::Admin, Kind::Program(Part::Driver)];
                (kinds(&|kind| !outside.contains(&kind)), ALL)
            }
            Role::Program(name) => (self.of_program(name), ONE),
            Role::AllOf(program) => (self.of_program(program), ALL),
            Role::LeaderOf(other) => (self.led(Some(other)), ONE),
            Role::Host(..) => {
                let name = role.to_string();
                (self.all.iter().filter(|host| host.name == name).collect(), ALL)
            }
        }
    }

    /// The leader of a partition, if there is one.
    fn led(&self, partition: Option<&TopicPartition>) -> Vec<&Host> {
        let leader = partition.and_then(|name| self.partitions.get(name)?.leader);
        leader.and_then(|leader| self.of_broker(leader)).into_iter().collect()
    }

    /// The partition whose leader coordinates a group, once the cluster has it.
    fn place_of(&self, group: &str) -> Option<TopicPartition> {
        let offsets = |name: &&TopicPartition| *name.topic == *topics::CONSUMER_OFFSETS;
        let count = self.partitions.keys().filter(offsets).count();
        let count = i32::try_from(count).ok().filter(|count| *count > 0)?;
        Some(TopicPartition::new(topics::CONSUMER_OFFSETS, group::partition_of(group, count)))
    }

    /// The host of a program, or of each of its instances.
    fn of_program(&self, name: &str) -> Vec<&Host> {
        let instances = self.instances.get(name);
        let is_it = |host: &&Host| match instances {
            Some(ids) => ids.contains(&host.id),
            None => host.name == *name,
        };
        self.all.iter().filter(is_it).collect()
    }

    /// A host by name, with what it leads of a partition: `b2 (leader of orders-1)`.
    pub fn describe(&self, ids: &[HostId], partition: &TopicPartition) -> String {
        let leader = self.partitions.get(partition).and_then(|state| state.leader);
        let names: Vec<String> = ids
            .iter()
            .filter_map(|id| self.host(*id))
            .map(|host| match (host.kind, leader) {
                (Kind::Broker(id), Some(leader)) if id == leader => {
                    format!("{} (leader of {partition})", host.name)
                }
                _ => host.name.clone(),
            })
            .collect();
        names.join(", ")
    }
}

/// Whether a producer learned that its send was acknowledged.
fn is_ack(what: &What) -> bool {
    matches!(
        what,
        What::Client(ClientEvent::Producer(ProducerEvent::Told {
            outcome: Outcome::Ok { .. },
            ..
        }))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ControllerProbe, LeaderEpoch, PartitionCommitted, PartitionEpoch, TopicId};

    fn observation(what: What) -> Observation {
        Observation { at: Instant::START, host: HostId(0), what }
    }

    fn committed(epoch: i32, leader: Option<i32>, isr: &[i32]) -> Observation {
        observation(What::Probe(Probe::Controller(ControllerProbe::PartitionCommitted(
            PartitionCommitted {
                partition: TopicPartition::new("orders", 0),
                topic_id: TopicId::ZERO,
                replicas: [1, 2, 3].map(BrokerId).to_vec(),
                leader: leader.map(BrokerId),
                leader_epoch: LeaderEpoch(epoch),
                partition_epoch: PartitionEpoch(epoch),
                isr: isr.iter().copied().map(BrokerId).collect(),
                unclean: false,
            },
        ))))
    }

    fn view() -> View {
        View::new(&BTreeMap::new(), BTreeMap::new())
    }

    fn sees(hosts: &mut Hosts, view: &mut View, seen: &Observation) {
        view.fold(seen);
        hosts.see(seen, view);
    }

    fn hosts() -> Hosts {
        let mut hosts = Hosts::default();
        let kinds = [Kind::Controller, Kind::Broker(BrokerId(1)), Kind::Broker(BrokerId(2))];
        let kinds = kinds.into_iter().chain([Kind::Broker(BrokerId(3)), Kind::Producer]);
        for (number, (kind, name)) in (0..).zip(kinds.zip(["c1", "b1", "b2", "b3", "p1"])) {
            let (id, name) = (HostId(number), name.to_owned());
            hosts.all.push(Host { id, name, kind, up: true, paused: false, ready: true });
        }
        hosts
    }

    fn names(hosts: &Hosts, role: Role, pick: u64) -> Vec<String> {
        let orders = TopicPartition::new("orders", 0);
        let found = hosts.resolve(&Roles::one(role), &orders, pick, |host| host.up);
        found.iter().map(|id| hosts.host(*id).unwrap().name.clone()).collect()
    }

    #[test]
    fn roles_follow_the_last_committed_state() {
        let (mut hosts, mut view) = (hosts(), view());
        assert!(names(&hosts, Role::Leader, 0).is_empty());
        sees(&mut hosts, &mut view, &committed(1, Some(2), &[1, 2]));
        assert_eq!(names(&hosts, Role::Leader, 7), ["b2"]);
        assert_eq!(names(&hosts, Role::Followers, 0), ["b1", "b3"]);
        assert_eq!(names(&hosts, Role::Follower, 1), ["b3"]);
        assert_eq!(names(&hosts, Role::IsrFollower, 5), ["b1"]);
        assert_eq!(names(&hosts, Role::OutOfSync, 5), ["b3"]);
        assert_eq!(names(&hosts, Role::All, 0), ["b1", "b2", "b3"]);
        assert_eq!(names(&hosts, Role::Host('c', 1), 0), ["c1"]);
        assert_eq!(names(&hosts, Role::Everyone, 0).len(), 5);
    }

    #[test]
    fn replay_of_a_booting_controller_changes_nothing() {
        let (mut hosts, mut view) = (hosts(), view());
        sees(&mut hosts, &mut view, &committed(5, Some(3), &[1, 2, 3]));
        sees(&mut hosts, &mut view, &committed(4, Some(1), &[1]));
        assert_eq!(names(&hosts, Role::Leader, 0), ["b3"]);
        assert_eq!(hosts.elections, 0);
        sees(&mut hosts, &mut view, &committed(6, Some(1), &[1, 2]));
        assert_eq!(hosts.elections, 1);
    }

    #[test]
    fn cluster_is_settled_when_all_nodes_answer_and_are_in_sync() {
        let (mut hosts, mut view) = (hosts(), view());
        sees(&mut hosts, &mut view, &committed(1, Some(1), &[1, 2]));
        assert!(!hosts.settled());
        sees(&mut hosts, &mut view, &committed(2, Some(1), &[1, 2, 3]));
        assert!(hosts.settled());
        sees(&mut hosts, &mut view, &observation(What::Killed));
        assert!(!hosts.settled());
        sees(&mut hosts, &mut view, &observation(What::Booted));
        assert!(!hosts.settled());
        sees(&mut hosts, &mut view, &observation(What::Probe(Probe::Node(NodeProbe::Ready))));
        assert!(hosts.settled());
    }

    #[test]
    fn host_that_is_down_does_not_fit() {
        let (mut hosts, mut view) = (hosts(), view());
        sees(&mut hosts, &mut view, &committed(1, Some(1), &[1, 2, 3]));
        hosts.all[1].up = false;
        assert!(names(&hosts, Role::Leader, 0).is_empty());
        assert_eq!(names(&hosts, Role::Any, 2), ["b2"]);
    }

    #[test]
    fn minority_and_majority_have_the_right_size_and_vary() {
        let hosts = hosts();
        let drawn = |role: Role| -> std::collections::BTreeSet<Vec<String>> {
            (0..9).map(|pick| names(&hosts, role.clone(), pick)).collect()
        };
        assert_eq!(drawn(Role::Minority).len(), 3);
        assert!(drawn(Role::Minority).iter().all(|names| names.len() == 1));
        assert_eq!(drawn(Role::Majority).len(), 3);
        assert!(drawn(Role::Majority).iter().all(|names| names.len() == 2));
    }
}
