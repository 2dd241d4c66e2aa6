//! Partitions as the controller committed them, and how far leaders exposed them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::nodes::End;
use super::{Change, Committed, Election, Role, State};
use crate::base::{
    BrokerId, Instant, LeaderEpoch, Offset, PartitionCommitted, TopicId, TopicPartition,
};
use crate::sim::HostId;

/// One creation of a partition.
#[derive(Debug)]
pub(crate) struct Partition {
    state: Arc<State>,
    /// Brokers that were ever in sync, by leader epoch.
    isrs: BTreeMap<LeaderEpoch, Vec<BrokerId>>,
    /// Out of sync since the ISR fell below `min.insync.replicas`, with everything committed; a
    /// restart ends it (KIP-966).
    elr: Vec<BrokerId>,
    /// The ELR, and those of its former members that have been restarted cleanly since: electing one
    /// is a clean election.
    eligible: Vec<BrokerId>,
    /// Replicas that reported damage in their logs. Such a replica is not eligible while another one is
    /// in sync: its broker is about to replace the log by an empty one.
    damaged: BTreeSet<BrokerId>,
    full_since: Option<Instant>,
    /// The newest leader that took over.
    pub(super) led: Option<(LeaderEpoch, HostId)>,
    /// The latest epoch in which a leader appended.
    written: Option<LeaderEpoch>,
    exposed: Offset,
    unclean: Option<LeaderEpoch>,
    last_known: Option<LeaderEpoch>,
    /// The leader before this one, or the last one while there is none.
    last_leader: Option<BrokerId>,
}

impl Partition {
    fn new(committed: &PartitionCommitted, at: Instant) -> Self {
        let state = State::new(committed, true);
        Self {
            isrs: [(state.leader_epoch, state.isr.clone())].into(),
            elr: Vec::new(),
            eligible: Vec::new(),
            damaged: BTreeSet::new(),
            full_since: state.is_full().then_some(at),
            state: Arc::new(state),
            led: None,
            written: None,
            exposed: Offset::ZERO,
            unclean: None,
            last_known: None,
            last_leader: None,
        }
    }

    /// Takes a newer state over; returns the one before. Kafka reports "recovering" after an
    /// unclean election until the ISR next changes; only the election itself permits a loss.
    fn commit(
        &mut self,
        at: Instant,
        next: State,
        unclean: bool,
        min_insync: usize,
    ) -> (Arc<State>, Option<Election>) {
        let elected = next.leader_epoch > self.state.leader_epoch;
        self.last_leader = self.state.leader.or(self.last_leader);
        let election = elected.then(|| self.election(&next, unclean));
        match election {
            Some(Election::LastKnownLeader) => self.last_known = Some(next.leader_epoch),
            Some(Election::Unclean) => self.unclean = Some(next.leader_epoch),
            Some(Election::Leaderless | Election::Isr | Election::Elr) | None => {}
        }
        let isr = self.isrs.entry(next.leader_epoch).or_default();
        for id in &next.isr {
            if !isr.contains(id) {
                isr.push(*id);
            }
        }
        self.damaged.retain(|id| !next.isr.contains(id) || self.state.isr.contains(id));
        // The former ISR may have records that the new leader lacks: it is not eligible beside it.
        let lossy = matches!(election, Some(Election::Unclean | Election::LastKnownLeader));
        for eligible in [&mut self.elr, &mut self.eligible] {
            if lossy {
                eligible.clear();
                continue;
            }
            for id in &self.state.isr {
                if !eligible.contains(id) {
                    eligible.push(*id);
                }
            }
            let small = next.isr.len() < min_insync;
            let lost = |id: &BrokerId| !next.isr.is_empty() && self.damaged.contains(id);
            eligible.retain(|id| small && !next.isr.contains(id) && !lost(id));
        }
        if !next.is_full() {
            self.full_since = None;
        } else if self.full_since.is_none() {
            self.full_since = Some(at);
        }
        (std::mem::replace(&mut self.state, Arc::new(next)), election)
    }

    fn election(&self, next: &State, unclean: bool) -> Election {
        match next.leader {
            None => Election::Leaderless,
            Some(id) if self.state.isr.contains(&id) => Election::Isr,
            // The controller's word can make an election clean, and never unclean.
            Some(id) if !unclean || self.eligible.contains(&id) => Election::Elr,
            // With no replica eligible, the last leader is asked first, allowed or not.
            Some(_)
                if self.state.isr.is_empty()
                    && self.elr.is_empty()
                    && next.leader == self.last_leader =>
            {
                Election::LastKnownLeader
            }
            Some(_) => Election::Unclean,
        }
    }

    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Eligible leader replicas (KIP-966).
    pub fn elr(&self) -> &[BrokerId] {
        &self.elr
    }

    /// Since when there has been a leader and a full ISR, if there is now.
    pub fn full_since(&self) -> Option<Instant> {
        self.full_since
    }

    /// Every offset that a leader ever exposed, lost or not, is below.
    pub fn exposed(&self) -> Offset {
        self.exposed
    }

    /// Whether a leader appended in the epoch, or in a later one.
    pub fn is_written_in(&self, epoch: LeaderEpoch) -> bool {
        self.written.is_some_and(|written| written >= epoch)
    }

    /// The latest epoch that an unclean election began.
    pub fn unclean(&self) -> Option<LeaderEpoch> {
        self.unclean
    }

    /// The latest epoch that the election of a last known leader began. Kafka marks it as it marks
    /// an unclean election, but it needs no permission.
    pub fn last_known(&self) -> Option<LeaderEpoch> {
        self.last_known
    }

    /// The latest epoch whose leader may lack promised records: it was in neither ISR nor ELR.
    pub fn lossy_epoch(&self) -> Option<LeaderEpoch> {
        self.unclean.max(self.last_known)
    }

    /// All brokers that were in sync at any time in a leader's epoch.
    pub fn isr_of(&self, epoch: LeaderEpoch) -> &[BrokerId] {
        self.isrs.get(&epoch).map_or(&[], Vec::as_slice)
    }

    /// Whether a broker is in the ISR or the ELR.
    pub fn may_lead(&self, broker: BrokerId) -> bool {
        self.state.isr.contains(&broker) || self.elr.contains(&broker)
    }
}

/// Every partition that exists.
#[derive(Debug)]
pub(super) struct Partitions {
    min_insync: BTreeMap<Arc<str>, usize>,
    by_name: BTreeMap<TopicPartition, Partition>,
    deleted: BTreeSet<TopicId>,
}

impl Partitions {
    pub fn new(min_insync: BTreeMap<Arc<str>, usize>) -> Self {
        Self { min_insync, by_name: BTreeMap::new(), deleted: BTreeSet::new() }
    }

    pub fn get(&self, name: &TopicPartition) -> Option<&Partition> {
        self.by_name.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Partition)> {
        self.by_name.iter()
    }

    /// The controller committed, or repeats, a state. `ended`: whether the broker's process has ended
    /// since it was last admitted, and how.
    pub fn committed(
        &mut self,
        at: Instant,
        committed: &PartitionCommitted,
        ended: &dyn Fn(BrokerId) -> Option<End>,
        changes: &mut Vec<Change>,
    ) {
        let PartitionCommitted { partition, topic_id, partition_epoch, .. } = committed;
        if self.deleted.contains(topic_id) {
            return;
        }
        let min_insync = self.min_insync.get(&partition.topic).copied().unwrap_or(1);
        let (mut before, mut election) = (None, None);
        match self.by_name.get_mut(partition) {
            Some(known) if known.state.topic_id == *topic_id => {
                if *partition_epoch <= known.state.partition_epoch {
                    return;
                }
                let elected = committed.leader_epoch > known.state.leader_epoch;
                let min_insync = min_insync.min(committed.replicas.len());
                let next = State::new(committed, elected);
                let (old, how) = known.commit(at, next, committed.unclean, min_insync);
                known.elr.retain(|id| ended(*id).is_none());
                known.eligible.retain(|id| ended(*id) != Some(End::Crash));
                (before, election) = (Some(old), how);
            }
            Some(other) => {
                self.deleted.insert(other.state.topic_id);
                *other = Partition::new(committed, at);
                changes.push(Change::Gone { partition: partition.clone() });
            }
            None => {
                self.by_name.insert(partition.clone(), Partition::new(committed, at));
            }
        }
        let partition = partition.clone();
        changes.push(Change::Committed(Committed { partition, before, election }));
    }

    pub fn deleted(&mut self, topic_id: TopicId, changes: &mut Vec<Change>) {
        self.deleted.insert(topic_id);
        self.by_name.retain(|name, partition| {
            let gone = partition.state.topic_id == topic_id;
            changes.extend(gone.then(|| Change::Gone { partition: name.clone() }));
            !gone
        });
    }

    /// A replica's log is damaged, as its broker reports.
    pub fn damaged(&mut self, name: &TopicPartition, broker: BrokerId) {
        if let Some(partition) = self.by_name.get_mut(name) {
            partition.damaged.insert(broker);
        }
    }

    /// A process died. Returns where it was eligible; a restart ends its place in each ELR.
    pub fn died(&mut self, broker: Option<BrokerId>, end: End) -> Vec<TopicPartition> {
        let Some(broker) = broker else { return Vec::new() };
        let mut eligible = Vec::new();
        for (name, partition) in &mut self.by_name {
            if partition.may_lead(broker) {
                eligible.push(name.clone());
            }
            partition.elr.retain(|id| *id != broker);
            if end == End::Crash {
                partition.eligible.retain(|id| *id != broker);
            }
        }
        eligible
    }

    /// A replica leads; returns whether it is the leader that the controller chose last.
    pub fn took_over(
        &mut self,
        host: HostId,
        broker: Option<BrokerId>,
        name: &TopicPartition,
        role: Role,
    ) -> bool {
        let Some(partition) = self.by_name.get_mut(name) else { return false };
        let state = &partition.state;
        let chosen = broker.is_some() && state.leader == broker;
        let current = state.topic_id == role.topic_id && state.leader_epoch == role.epoch;
        if chosen && current {
            partition.led = Some((role.epoch, host));
        }
        chosen && current
    }

    pub fn appended(&mut self, name: &TopicPartition, epoch: LeaderEpoch) {
        if let Some(partition) = self.by_name.get_mut(name) {
            partition.written = partition.written.max(Some(epoch));
        }
    }

    /// A leader exposed everything below `upto`.
    pub fn exposed(&mut self, name: &TopicPartition, upto: Offset) {
        if let Some(partition) = self.by_name.get_mut(name) {
            partition.exposed = partition.exposed.max(upto);
        }
    }
}
