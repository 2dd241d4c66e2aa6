//! Promises of leaders, replicas that lack promised records, and permitted losses.

use super::*;
use crate::base::BrokerId;
use crate::check::verdicts::Permit;
use crate::check::violation::{Absence, brokers};

/// Promises that a replica does not hold.
pub(crate) struct Missing {
    /// Index of the first.
    index: usize,
    /// The first whose loss nothing permits, with their number.
    pub broken: Option<Absence>,
    /// The first whose loss is permitted, with their number, and why.
    permitted: Option<(Absence, Permit)>,
}

impl Ghost {
    /// A leader exposed everything below `upto`. Even a deposed one can do so only when every
    /// member of its maximal ISR, and so every replica that can have been elected since, has the
    /// records: followers stop fetching in its epoch before they follow another. So each advance is
    /// a promise, whichever leader makes it.
    pub(super) fn exposed(
        &mut self,
        at: Instant,
        on: HostId,
        name: &TopicPartition,
        epoch: LeaderEpoch,
        upto: Offset,
        changes: &mut Vec<Change>,
    ) {
        let Some(host) = self.hosts.get(on) else { return };
        let Some(replica) = host.replicas.get(name) else { return };
        let Some(partition) = self.partitions.get_mut(name) else { return };
        let frontier = partition.frontier();
        if upto <= frontier {
            return;
        }
        let isr = self.view.partition(name).map_or(&[][..], |known| known.isr_of(epoch));
        let isr = self.hosts.crew(isr);
        let mut logged = Vec::new();
        for batch in replica.batches_from(frontier).take_while(|batch| batch.next <= upto) {
            let cleaned = cleaned_holders(&self.hosts, name, partition.cleaned_below, batch);
            let step = partition.promise(*batch, host.broker, epoch, at, isr, cleaned);
            changes.extend(step.map(|step| Change::Transaction { partition: name.clone(), step }));
            if *name.topic == *topics::TRANSACTION_STATE {
                logged.push(*batch);
            }
        }
        let promises = partition.frontier() > frontier;
        if promises {
            partition.forget_rivals();
            changes.push(Change::Promised { host: on, partition: name.clone() });
        }
        for batch in &logged {
            self.transaction_log.commit(at, name.partition, batch, changes);
        }
        if promises {
            self.outdone(at, on, name, epoch);
        }
    }

    /// Index of the first promise, of those below `upto`, that a host's log does not hold.
    pub(crate) fn first_lacking(
        &self,
        host: HostId,
        name: &TopicPartition,
        upto: Option<Offset>,
    ) -> Option<usize> {
        let partition = self.partitions.get(name)?;
        let replica = self.hosts.replica(host, name);
        let mut index = replica.map_or(0, |replica| replica.agreed.get());
        let found = loop {
            let Some(promised) = partition.promised.get(index) else { break None };
            if upto.is_some_and(|upto| promised.batch.next > upto) {
                break None;
            }
            if lacks(partition, replica, promised) {
                break Some(index);
            }
            index += 1;
        };
        if let Some(replica) = replica {
            replica.agreed.set(index);
        }
        found
    }

    /// The promise of this index as something that a host lacks.
    pub(crate) fn absence(
        &self,
        host: HostId,
        name: &TopicPartition,
        index: usize,
    ) -> Option<Absence> {
        let promised = self.partitions.get(name)?.promised.get(index)?;
        let replica = self.hosts.replica(host, name);
        let there = replica.and_then(|replica| replica.batch_at(promised.batch.base));
        Some(Absence {
            offset: promised.batch.base,
            epoch: promised.batch.epoch,
            records: records(promised),
            promised_by: promised.by,
            promised_at: promised.at,
            broker: self.hosts.get(host)?.broker,
            instead: there.filter(|batch| !batch.equals(&promised.batch)).map(|batch| batch.epoch),
        })
    }

    /// Everything that a host lacks, told apart by whether the loss is permitted.
    pub(crate) fn missing(&self, host: HostId, name: &TopicPartition) -> Option<Missing> {
        let index = self.first_lacking(host, name, None)?;
        let partition = self.partitions.get(name)?;
        let replica = self.hosts.replica(host, name);
        let mut missing = Missing { index, broken: None, permitted: None };
        for (index, promised) in partition.promised.iter().enumerate().skip(index) {
            if !lacks(partition, replica, promised) {
                continue;
            }
            let Some(absence) = self.absence(host, name, index) else { continue };
            let known = match self.permit(name, promised) {
                Some(permit) => &mut missing.permitted.get_or_insert((absence, permit)).0,
                None => missing.broken.get_or_insert(absence),
            };
            if known.offset != absence.offset {
                known.records += absence.records;
            }
        }
        Some(missing)
    }

    /// Whether a host lacks, within the contract, something that was promised before a leader epoch.
    pub(super) fn lacks_within_contract(
        &self,
        host: HostId,
        name: &TopicPartition,
        epoch: LeaderEpoch,
    ) -> bool {
        let first = self.first_lacking(host, name, None);
        let Some((index, partition)) = first.zip(self.partitions.get(name)) else { return false };
        let replica = self.hosts.replica(host, name);
        partition.promised[index..].iter().any(|promised| {
            promised.in_epoch < epoch
                && lacks(partition, replica, promised)
                && self.permit(name, promised).is_some()
        })
    }

    /// Why the configuration permits the loss of a promised batch, if it does: an unclean election
    /// that the topic allows, or that of a last known leader, ran since, by the view's own account of
    /// ISR and ELR; or `min.insync.replicas` of its ISR lost data from
    /// unsynced pages and are not in sync again.
    fn permit(&self, name: &TopicPartition, promised: &Promised) -> Option<Permit> {
        let partition = self.view.partition(name)?;
        let since = |epoch: &LeaderEpoch| *epoch > promised.in_epoch;
        let allowed = self.setup.promise(&name.topic).unclean_election;
        if let Some(epoch) = partition.unclean().filter(|epoch| allowed && since(epoch)) {
            return Some(Permit::UncleanElection { epoch });
        }
        if let Some(epoch) = partition.last_known().filter(since) {
            return Some(Permit::LastKnownLeader { epoch });
        }
        // The controller can't know which data a replica lost: all of it counts as lost.
        let losers: Vec<BrokerId> = self
            .hosts
            .iter()
            .filter(|(_, host)| {
                let replica = host.replicas.get(name);
                let in_sync = promised.isr.has(host.rank) && promised.holders.has(host.rank);
                replica.is_some_and(|r| r.lost.iter().any(|lost| lost.in_sync || in_sync))
            })
            .map(|(_, host)| host.broker)
            .collect();
        (losers.len() >= self.copies_needed(name).max(1))
            .then_some(Permit::PowerLoss { brokers: losers })
    }

    /// A replica that was admitted again, is in sync, and holds everything promised is whole again.
    pub(super) fn forgive_power_losses(&mut self, name: &TopicPartition) {
        let Some(state) = self.view.partition(name).map(|known| known.state().clone()) else {
            return;
        };
        for broker in state.isr.iter().copied() {
            let Some(id) = self.hosts.id_of(broker) else { continue };
            let lost = self.hosts.replica(id, name).is_some_and(|r| !r.lost.is_empty());
            let restarted = self.view.node(id).is_none_or(|node| node.ended.is_some());
            if !lost || restarted || self.first_lacking(id, name, None).is_some() {
                continue;
            }
            if let Some(replica) = self.hosts.get_mut(id).and_then(|h| h.replicas.get_mut(name)) {
                replica.lost.clear();
            }
        }
    }

    /// Whether the loss of a promise is permitted.
    pub(crate) fn may_lack(&self, name: &TopicPartition, index: usize) -> bool {
        self.partitions.get(name).is_some_and(|partition| {
            let promised = partition.promised.get(index);
            promised.is_some_and(|promised| self.permit(name, promised).is_some())
        })
    }

    /// Whether the loss of a promised record is permitted, or it is promised no more.
    pub(crate) fn may_lack_record(&self, name: &TopicPartition, offset: Offset) -> bool {
        let Some(partition) = self.partitions.get(name) else { return true };
        let index = partition.promised.partition_point(|promised| promised.batch.next <= offset);
        let promised = partition.promised.get(index);
        promised.is_none_or(|promised| self.permit(name, promised).is_some())
    }

    /// Whether records at or after an offset may have been lost so far: some are known to be, or a
    /// leader was elected that may lack them.
    pub(crate) fn may_have_lost(&self, name: &TopicPartition, from: Offset) -> bool {
        let lossy = self.view.partition(name).and_then(|partition| partition.lossy_epoch());
        let losses = self.partitions.get(name).map_or(&[][..], |partition| &partition.losses);
        lossy.is_some() || losses.iter().any(|loss| loss.from.0 <= from.0)
    }

    /// Whether a leader of `epoch`, or a replica that follows one, may lack a promise because of an
    /// election up to that epoch, although the leader learned of its own so late that another has been
    /// elected since.
    pub(crate) fn may_be_without(
        &self,
        name: &TopicPartition,
        index: usize,
        epoch: LeaderEpoch,
    ) -> bool {
        let lossy = self.view.partition(name).and_then(|partition| partition.lossy_epoch());
        lossy.is_some_and(|lossy| lossy <= epoch) && self.may_lack(name, index)
    }

    /// Whether a replica that last followed or led in `epoch` may still hold records that were lost
    /// at an offset: it has not heard of the leader that lacked them.
    pub(crate) fn may_hold_remains(
        &self,
        name: &TopicPartition,
        offset: Offset,
        epoch: LeaderEpoch,
    ) -> bool {
        let losses = self.partitions.get(name).map_or(&[][..], |partition| &partition.losses);
        let lost = losses.iter().any(|loss| loss.epoch > epoch && loss.from <= offset);
        let lossy = self.view.partition(name).and_then(|partition| partition.lossy_epoch());
        lost || lossy.is_some_and(|lossy| lossy > epoch)
    }

    /// The hosts whose logs are now to be compared with promises, because of what just happened.
    pub(crate) fn leaders_in_doubt<'a>(
        &'a self,
        changes: &'a [Change],
    ) -> impl Iterator<Item = (&'a TopicPartition, LeaderEpoch, HostId)> {
        let elected = self.view.changes().iter().filter_map(|change| match change {
            Folded::TookOver { host, partition, epoch } => Some((partition, *epoch, *host)),
            _ => None,
        });
        // Another than the newest leader promised something.
        let outdone = changes.iter().filter_map(|change| match change {
            Change::Promised { host, partition } => {
                let (epoch, leader) = self.view.leader(partition)?;
                // One that learns late of several elections passes through earlier epochs: what it
                // promises there does not concern the leaders before it.
                let promised_in = self.view.node(*host)?.roles.get(partition)?.epoch;
                let is_outdone = leader != *host && epoch >= promised_in;
                is_outdone.then_some((partition, epoch, leader))
            }
            _ => None,
        });
        elected.chain(outdone)
    }

    /// After the invariants have looked: records that the newest leader lacks are gone for good,
    /// and a permitted loss is noted.
    pub(crate) fn forget_what_is_lost(&mut self, at: Instant, changes: &[Change]) {
        let in_doubt: Vec<_> = self
            .leaders_in_doubt(changes)
            .filter_map(|(name, epoch, host)| {
                Some((name.clone(), epoch, self.missing(host, name)?))
            })
            .collect();
        for (name, epoch, missing) in in_doubt {
            if let Some((absence, permit)) = missing.permitted {
                self.note_loss(at, &name, epoch, &absence, permit);
            }
            let permitted = missing.broken.is_none();
            let Some(partition) = self.partitions.get_mut(&name) else { continue };
            partition.lose(missing.index, epoch, at);
            if *name.topic == *topics::TRANSACTION_STATE {
                let from = partition.frontier();
                self.transaction_log.lose(at, name.partition, from, permitted);
            }
            let (frontier, kept) = (partition.frontier(), partition.promised.len());
            for host in self.hosts.iter_mut() {
                let crew = Crew::one(host.rank);
                let Some(replica) = host.replicas.get_mut(&name) else { continue };
                replica.agreed.set(replica.agreed.get().min(kept));
                // Batches that lie there now may still be promised.
                for batch in replica.batches_from(frontier) {
                    partition.copied(batch, crew);
                }
            }
        }
    }

    fn note_loss(
        &mut self,
        at: Instant,
        name: &TopicPartition,
        epoch: LeaderEpoch,
        absence: &Absence,
        permit: Permit,
    ) {
        let known =
            self.notes.iter_mut().find_map(|note| match note {
                Note::LossWithinContract {
                    partition, epoch: known, permit: why, records, ..
                } if partition == name && *known == epoch && *why == permit => Some(records),
                _ => None,
            });
        if let Some(records) = known {
            *records += absence.records;
            return;
        }
        self.notes.push(Note::LossWithinContract {
            at,
            partition: name.clone(),
            from: absence.offset,
            records: absence.records,
            leader: absence.broker,
            epoch,
            permit,
        });
    }

    /// The last fault has ended.
    pub(crate) fn healed(&mut self, at: Instant) {
        self.healed = true;
        self.groups.healed(at);
        for partition in self.partitions.values_mut() {
            let exposed = partition.frontier();
            partition.exposed_at_heal = Some(exposed);
            partition.stable_at_heal = Some(partition.stability.last_stable(exposed));
        }
    }

    /// The notes so far.
    pub(crate) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The brokers that had held a promised batch.
    pub(crate) fn holders(&self, promised: &Promised) -> Vec<BrokerId> {
        self.hosts.brokers(promised.holders)
    }

    /// The first partition that has not converged, and why. `thorough`: compares whole logs and
    /// not only their ends.
    pub(crate) fn unsettled(&self, thorough: bool) -> Option<(TopicPartition, String)> {
        self.view.partitions().find_map(|(name, partition)| {
            let why = self.why_unsettled(name, partition, thorough)?;
            Some((name.clone(), why))
        })
    }

    fn why_unsettled(
        &self,
        name: &TopicPartition,
        partition: &view::Partition,
        thorough: bool,
    ) -> Option<String> {
        let state = partition.state();
        let cleaned_below = self.partition(name).map_or(Offset::ZERO, |known| known.cleaned_below);
        let Some(leader) = state.leader else { return Some("has no leader".into()) };
        if !state.is_full() {
            let of = state.replicas.len();
            return Some(format!("has only {} of {of} replicas in sync", brokers(&state.isr)));
        }
        let id = self.hosts.id_of(leader)?;
        let role = self.view.role(id, name);
        if !role.is_some_and(|role| role.leads && role.epoch == state.leader_epoch) {
            return Some(format!("is not led by b{leader}, whom the controller chose"));
        }
        let empty = Replica::default();
        let on_leader = self.hosts.replica(id, name).unwrap_or(&empty);
        for broker in state.replicas.iter().filter(|id| **id != leader) {
            let id = self.hosts.id_of(*broker)?;
            let log = self.hosts.replica(id, name).unwrap_or(&empty);
            if log.end() != on_leader.end() {
                let (end, leader_end) = (log.end(), on_leader.end());
                return Some(format!(
                    "ends at offset {end} on b{broker} and at offset {leader_end} on leader b{leader}"
                ));
            }
            if let Some(at) = first_difference(on_leader, log, cleaned_below, thorough) {
                return Some(format!("differs on b{broker} and leader b{leader} at offset {at}"));
            }
        }
        None
    }
}

/// The first offset at which two logs hold different batches, from where both have begun and
/// neither was cleaned: that is done by each for itself.
fn first_difference(
    one: &Replica,
    other: &Replica,
    cleaned_below: Offset,
    thorough: bool,
) -> Option<Offset> {
    let from = one.start().max(other.start()).max(cleaned_below);
    let from = if thorough { from } else { one.last().map_or(from, |last| last.base.max(from)) };
    let (mut one, mut other) = (one.batches_from(from), other.batches_from(from));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return None,
            (Some(one), Some(other)) if one.equals(other) => {}
            (Some(one), _) => return Some(one.base),
            (None, Some(other)) => return Some(other.base),
        }
    }
}

/// Whether a replica's log does not hold a promise, and nothing may have taken it by right.
fn lacks(partition: &Partition, replica: Option<&Replica>, promised: &Promised) -> bool {
    !holds(replica, promised) && !may_be_gone(partition, replica, promised)
}

/// Whether retention or a cleaner may have taken a promise from a replica's log, or given it another
/// shape. Neither shortens a log: what is beyond its end was lost, with the offsets; nor is a
/// cleaner to blame where the log shows that it went on without the promise.
fn may_be_gone(partition: &Partition, replica: Option<&Replica>, promised: &Promised) -> bool {
    let Some(replica) = replica else { return false };
    let Promised { batch, .. } = promised;
    let deleted = batch.base < partition.deleted_below && batch.base < replica.end();
    deleted || may_be_cleaned(replica, partition.cleaned_below, batch)
}

fn may_be_cleaned(replica: &Replica, cleaned_below: Offset, batch: &Batch) -> bool {
    let Batch { base, epoch, .. } = *batch;
    base < cleaned_below && base < replica.end() && !replica.rules_out(base, epoch)
}

/// The brokers that have a batch in some shape, or whose cleaner may have taken it. That matters
/// where records that were lost are promised again: each replica cleans its log for itself, also one
/// that is out of sync.
fn cleaned_holders(
    hosts: &Hosts,
    name: &TopicPartition,
    cleaned_below: Offset,
    batch: &Batch,
) -> Crew {
    if batch.base >= cleaned_below {
        return Crew::default();
    }
    let mut crew = Crew::default();
    for (_, host) in hosts.iter() {
        let replica = host.replicas.get(name);
        if replica.is_some_and(|replica| may_be_cleaned(replica, cleaned_below, batch)) {
            crew |= Crew::one(host.rank);
        }
    }
    crew
}

fn holds(replica: Option<&Replica>, promised: &Promised) -> bool {
    let there = replica.and_then(|replica| replica.batch_at(promised.batch.base));
    there.is_some_and(|batch| batch.equals(&promised.batch))
}

fn records(promised: &Promised) -> u64 {
    u64::try_from(promised.batch.count).unwrap_or(0)
}
