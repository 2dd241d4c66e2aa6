//! Every transaction of a run, put together from its ledger: what its producer did and was told, what
//! its coordinator decided, and what its partitions hold.

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Entry, Fact, Ledger, Verified};
use crate::base::{Instant, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::sim::{Ended, HostId, Outcome, TransactionEvent};
use crate::txn::TransactionState;

/// A producer that got an epoch of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identified {
    pub at: Instant,
    pub host: HostId,
    pub id: Arc<str>,
    pub producer: ProducerId,
    pub epoch: ProducerEpoch,
}

/// A decision of a coordinator, or its completion: when it wrote the entry, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    pub at: Instant,
    pub host: HostId,
    pub commit: bool,
}

/// A marker in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub at: Instant,
    pub host: HostId,
    pub offset: Offset,
    pub commit: bool,
}

/// A transaction in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub partition: TopicPartition,
    /// When its leader wrote the first of its records, and where.
    pub first: Option<(Instant, HostId, Offset)>,
    pub marker: Option<Marker>,
    /// When its records were cut off the leader's log.
    pub lost: Option<Instant>,
}

/// Offsets of a group, sent in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    pub at: Instant,
    pub group: Arc<str>,
    pub generation: i32,
    pub told: Option<(Instant, Outcome)>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No outcome is known.
    Open,
    Committed,
    Aborted,
}

/// One transaction.
#[derive(Clone, Debug)]
pub(super) struct Txn {
    /// Its producer's number, and its own; `None` if only brokers know of it.
    pub client: Option<(u32, u64)>,
    pub host: Option<HostId>,
    pub id: Option<Arc<str>>,
    pub producer: ProducerId,
    /// Of its records.
    pub epoch: ProducerEpoch,
    pub began: Instant,
    pub records: usize,
    pub offsets: Vec<Offsets>,
    /// When its producer asked for the outcome first, and whether for a commit.
    pub asked: Option<(Instant, bool)>,
    pub told: Option<(Instant, Ended)>,
    /// When its producer's process ended before it learned the outcome.
    pub orphaned: Option<Instant>,
    pub decided: Option<Decided>,
    pub completed: Option<Decided>,
    pub parts: Vec<Part>,
}

impl Txn {
    /// What became of it: what its coordinator decided counts, then what its producer was told.
    pub fn fate(&self) -> Fate {
        let of = |commit| if commit { Fate::Committed } else { Fate::Aborted };
        match (&self.decided, &self.told) {
            (Some(decided), _) => of(decided.commit),
            (None, Some((_, Ended::Committed))) => Fate::Committed,
            (None, Some((_, Ended::Aborted))) => Fate::Aborted,
            // It never asked for a commit, and its successor would abort what it had stored.
            (None, Some((_, Ended::Fenced { .. })))
                if self.parts.is_empty() && !self.asked.is_some_and(|(_, commit)| commit) =>
            {
                Fate::Aborted
            }
            _ => {
                let marker = self.parts.iter().find_map(|part| part.marker);
                marker.map_or(Fate::Open, |marker| of(marker.commit))
            }
        }
    }

    /// Whether its producer was told that another one has its transactional id.
    pub fn is_fenced(&self) -> bool {
        matches!(self.told, Some((_, Ended::Fenced { .. })))
    }

    /// How long its outcome took to be decided once its producer had asked for it.
    pub fn wait(&self) -> Option<Duration> {
        let (asked, _) = self.asked?;
        let decided = self.decided.filter(|decided| decided.at >= asked)?;
        Some(decided.at.since(asked))
    }

    /// When nothing more happened to it; `end` if it is open.
    pub fn until(&self, end: Instant) -> Instant {
        let hangs = self.parts.iter().any(|part| part.hangs());
        if hangs || self.told.is_none() && self.decided.is_none() && self.orphaned.is_none() {
            return end;
        }
        let markers = self.parts.iter().filter_map(|part| part.marker.map(|marker| marker.at));
        let told = self.told.as_ref().map(|(at, _)| *at);
        let decided = [self.decided, self.completed].into_iter().flatten().map(|one| one.at);
        let all = markers.chain(told).chain(decided).chain(self.orphaned);
        all.max().unwrap_or(self.began).max(self.began)
    }
}

impl Part {
    /// Whether its records are there, and no marker is.
    pub fn hangs(&self) -> bool {
        self.first.is_some() && self.marker.is_none() && self.lost.is_none()
    }
}

/// All transactions of a run.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// In the order in which they began.
    pub all: Vec<Txn>,
    pub identified: Vec<Identified>,
    /// By the partition's leader: which transaction, and what was asked.
    pub verified: Vec<(usize, Verified)>,
}

impl Transactions {
    pub fn of(ledger: &Ledger, verified: &[Verified]) -> Self {
        let mut fold = Fold::default();
        ledger.entries.iter().for_each(|entry| fold.take(entry));
        let mut found = fold.found;
        for asked in verified {
            // A leader asks about the newest transaction of this epoch.
            let newest = found.all.iter().enumerate().rev().find(|(_, txn)| {
                txn.id.as_ref() == Some(&asked.id)
                    && txn.epoch == asked.epoch
                    && txn.began <= asked.at
            });
            if let Some((index, _)) = newest {
                found.verified.push((index, asked.clone()));
            }
        }
        found
    }

    /// A client's transaction.
    pub fn of_client(&self, producer: u32, number: u64) -> Option<usize> {
        self.all.iter().position(|txn| txn.client == Some((producer, number)))
    }

    /// The transaction whose records a partition has at an offset.
    pub fn at(&self, partition: &TopicPartition, offset: Offset) -> Option<usize> {
        let holds = |part: &Part| {
            let from = part.first.is_some_and(|(_, _, first)| first <= offset);
            let until = part.marker.is_none_or(|marker| marker.offset >= offset);
            part.partition == *partition && from && until
        };
        // Several may be open at once: the one that began last is the likeliest.
        self.all.iter().rposition(|txn| txn.parts.iter().any(holds))
    }

    /// The transaction of a producer that a partition has from an offset on.
    pub fn beginning_at(
        &self,
        partition: &TopicPartition,
        producer: ProducerId,
        offset: Offset,
    ) -> Option<usize> {
        let begins = |part: &Part| {
            part.partition == *partition && part.first.is_some_and(|(_, _, at)| at == offset)
        };
        let fits = |txn: &Txn| txn.producer == producer && txn.parts.iter().any(begins);
        self.all.iter().position(fits)
    }

    /// The transaction that a marker ended.
    pub fn ended_at(&self, partition: &TopicPartition, offset: Offset) -> Option<usize> {
        let ends = |part: &Part| {
            part.partition == *partition
                && part.marker.is_some_and(|marker| marker.offset == offset)
        };
        self.all.iter().position(|txn| txn.parts.iter().any(ends))
    }

    /// The last transaction of a transactional id that began before a moment.
    pub fn of_id(&self, id: &str, before: Instant) -> Option<usize> {
        let fits = |txn: &Txn| txn.id.as_deref() == Some(id) && txn.began <= before;
        self.all.iter().rposition(fits)
    }
}

/// Takes entries in, one by one.
#[derive(Default)]
struct Fold {
    found: Transactions,
    /// The identity of each producer.
    identities: BTreeMap<u32, (Option<Arc<str>>, ProducerId, ProducerEpoch)>,
    /// The newest transaction of a client, of a producer's epoch, and of a transactional id.
    of_client: BTreeMap<u32, usize>,
    of_epoch: BTreeMap<(ProducerId, ProducerEpoch), usize>,
    of_id: BTreeMap<Arc<str>, usize>,
    ids: BTreeMap<ProducerId, Arc<str>>,
    /// Open in a partition: transaction and part.
    open: BTreeMap<(TopicPartition, ProducerId), (usize, usize)>,
}

impl Fold {
    fn take(&mut self, entry: &Entry) {
        let (at, host) = (entry.at, entry.host);
        match &entry.fact {
            Fact::Said(event) => self.said(at, host, event),
            Fact::Sent { producer, txn } => {
                if let Some(txn) = self.client(*producer, *txn) {
                    txn.records += 1;
                }
            }
            Fact::Ended => {
                let open = self.found.all.iter_mut().filter(|txn| {
                    txn.host == Some(host) && txn.told.is_none() && txn.orphaned.is_none()
                });
                open.for_each(|txn| txn.orphaned = Some(at));
            }
            Fact::Stored { id, producer, epoch, state, .. } => {
                self.ids.entry(*producer).or_insert_with(|| Arc::clone(id));
                self.stored(at, host, id, (*producer, *epoch), *state);
            }
            Fact::Wrote { partition, producer, epoch, base } => {
                let key = (partition.clone(), *producer);
                if self.open.contains_key(&key) {
                    return;
                }
                let index = self.newest(at, *producer, *epoch);
                let part = Part {
                    partition: partition.clone(),
                    first: Some((at, host, *base)),
                    marker: None,
                    lost: None,
                };
                if let Some(txn) = self.found.all.get_mut(index) {
                    txn.parts.push(part);
                    self.open.insert(key, (index, txn.parts.len() - 1));
                }
            }
            Fact::Marked { partition, producer, commit, offset } => {
                let marker = Marker { at, host, offset: *offset, commit: *commit };
                self.marked(partition, *producer, marker);
            }
            Fact::Cut { partition, end } => self.cut(at, partition, *end),
        }
    }

    fn client(&mut self, producer: u32, number: u64) -> Option<&mut Txn> {
        let index = *self.of_client.get(&producer)?;
        let txn = self.found.all.get_mut(index)?;
        (txn.client == Some((producer, number))).then_some(txn)
    }

    fn said(&mut self, at: Instant, host: HostId, event: &TransactionEvent) {
        match event {
            TransactionEvent::Identified { producer, transactional_id, id, epoch } => {
                self.identities.insert(*producer, (transactional_id.clone(), *id, *epoch));
                if let Some(name) = transactional_id {
                    self.ids.entry(*id).or_insert_with(|| Arc::clone(name));
                    let id_of = Arc::clone(name);
                    let (producer, epoch) = (*id, *epoch);
                    let known = Identified { at, host, id: id_of, producer, epoch };
                    self.found.identified.push(known);
                }
            }
            TransactionEvent::Bumped { producer, id, epoch } => {
                if let Some(identity) = self.identities.get_mut(producer) {
                    (identity.1, identity.2) = (*id, *epoch);
                }
            }
            TransactionEvent::Began { producer, txn } => {
                let identity = self.identities.get(producer).cloned();
                let (id, pid, epoch) =
                    identity.unwrap_or((None, ProducerId::NONE, ProducerEpoch::NONE));
                let index = self.begin(at, id, pid, epoch);
                if let Some(begun) = self.found.all.get_mut(index) {
                    (begun.client, begun.host) = (Some((*producer, *txn)), Some(host));
                }
                self.of_client.insert(*producer, index);
            }
            TransactionEvent::Transformed { .. } => {}
            TransactionEvent::SendingOffsets { producer, txn, group, generation, .. } => {
                if let Some(txn) = self.client(*producer, *txn) {
                    let (group, generation) = (Arc::clone(group), *generation);
                    txn.offsets.push(Offsets { at, group, generation, told: None });
                }
            }
            TransactionEvent::SentOffsets { producer, txn, outcome, .. } => {
                let sent = self.client(*producer, *txn).and_then(|txn| txn.offsets.last_mut());
                if let Some(sent) = sent {
                    sent.told = Some((at, outcome.clone()));
                }
            }
            TransactionEvent::Ending { producer, txn, commit } => {
                if let Some(txn) = self.client(*producer, *txn) {
                    txn.asked.get_or_insert((at, *commit));
                }
            }
            TransactionEvent::Ended { producer, txn, outcome } => {
                if let Some(txn) = self.client(*producer, *txn) {
                    txn.told.get_or_insert((at, outcome.clone()));
                }
            }
        }
    }

    fn begin(
        &mut self,
        at: Instant,
        id: Option<Arc<str>>,
        producer: ProducerId,
        epoch: ProducerEpoch,
    ) -> usize {
        let index = self.found.all.len();
        self.found.all.push(Txn {
            client: None,
            host: None,
            id,
            producer,
            epoch,
            began: at,
            records: 0,
            offsets: Vec::new(),
            asked: None,
            told: None,
            orphaned: None,
            decided: None,
            completed: None,
            parts: Vec::new(),
        });
        self.of_epoch.insert((producer, epoch), index);
        index
    }

    /// The newest transaction of a producer's epoch; one that no client reported is begun.
    fn newest(&mut self, at: Instant, producer: ProducerId, epoch: ProducerEpoch) -> usize {
        if let Some(index) = self.of_epoch.get(&(producer, epoch)) {
            return *index;
        }
        let id = self.ids.get(&producer).cloned();
        self.begin(at, id, producer, epoch)
    }

    fn stored(
        &mut self,
        at: Instant,
        host: HostId,
        id: &Arc<str>,
        (producer, epoch): (ProducerId, ProducerEpoch),
        state: TransactionState,
    ) {
        let decided = |commit| Decided { at, host, commit };
        match state {
            TransactionState::Ongoing => {
                let index = self.newest(at, producer, epoch);
                self.of_id.insert(Arc::clone(id), index);
            }
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                let of = self.of_id.get(id).and_then(|index| self.found.all.get_mut(*index));
                if let Some(txn) = of {
                    let commit = state == TransactionState::PrepareCommit;
                    txn.decided.get_or_insert(decided(commit));
                }
            }
            TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                let of = self.of_id.remove(id).and_then(|index| self.found.all.get_mut(index));
                if let Some(txn) = of {
                    txn.completed = Some(decided(state == TransactionState::CompleteCommit));
                }
            }
            TransactionState::Empty
            | TransactionState::Dead
            | TransactionState::PrepareEpochFence => {}
        }
    }

    fn marked(&mut self, partition: &TopicPartition, producer: ProducerId, marker: Marker) {
        if let Some((txn, part)) = self.open.remove(&(partition.clone(), producer)) {
            let part = self.found.all.get_mut(txn).and_then(|txn| txn.parts.get_mut(part));
            if let Some(part) = part {
                part.marker = Some(marker);
            }
            return;
        }
        // A participant without records: its producer added it and wrote nothing, or they were lost.
        let decided = |txn: &&mut Txn| txn.producer == producer && txn.decided.is_some();
        if let Some(txn) = self.found.all.iter_mut().rev().find(decided) {
            let known = txn.parts.iter().any(|part| part.partition == *partition);
            if !known {
                let (partition, marker) = (partition.clone(), Some(marker));
                txn.parts.push(Part { partition, first: None, marker, lost: None });
            }
        }
    }

    fn cut(&mut self, at: Instant, partition: &TopicPartition, end: Offset) {
        let all = &mut self.found.all;
        self.open.retain(|(of, _), (txn, part)| {
            let part = all.get_mut(*txn).and_then(|txn| txn.parts.get_mut(*part));
            let lost = part.filter(|part| {
                of == partition && part.first.is_some_and(|(_, _, first)| first >= end)
            });
            let is_lost = lost.is_some();
            if let Some(part) = lost {
                part.lost = Some(at);
            }
            !is_lost
        });
    }
}
