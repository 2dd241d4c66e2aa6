//! Clients' transactions: what each holds, what its producer asked for, and what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Instant, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::check::violation::TransactionName;
use crate::sim::{Ended, HostId, Isolation, Outcome, TransactionEvent};

/// Who a transactional producer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub transactional_id: Option<Arc<str>>,
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    /// When InitProducerId told it so.
    pub since: Instant,
}

/// Offsets that were sent in a transaction.
#[derive(Clone, Debug)]
pub(crate) struct SentOffsets {
    pub group: Arc<str>,
    /// Their member was in it; -1 if they name none.
    pub generation: i32,
    pub offsets: Vec<(TopicPartition, Offset)>,
    /// Whether it is known that they were refused.
    pub refused: bool,
}

/// Where a record was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub offset: Offset,
    pub consumer: u32,
    pub at: Instant,
}

/// Where a record was first read by a reader of committed records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visible {
    pub value: u64,
    pub read: Read,
}

/// What is known of a transaction's outcome from its producer alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its producer never asked for a commit: it can't be committed.
    NeverAsked,
    /// Its producer was told that it is committed.
    Committed(Instant),
    /// Its producer was told that it is aborted.
    Aborted(Instant),
    /// It may be either.
    Unknown,
}

/// One transaction of a client.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub producer: u32,
    /// Counts its producer's.
    pub number: u64,
    pub host: HostId,
    pub identity: Option<Identity>,
    pub began: Instant,
    /// The unique values of its records, in the order of sending.
    pub sends: Vec<u64>,
    pub offsets: Vec<SentOffsets>,
    /// When it first asked for a commit.
    pub commit_asked: Option<Instant>,
    /// When it last asked for one or the other.
    pub asked: Option<(Instant, bool)>,
    pub ended: Option<(Instant, Ended)>,
    /// Its process ended before it learned the outcome.
    pub orphaned: bool,
    /// The first of its records that a reader of committed records got.
    pub visible: Option<Visible>,
    /// The first that one got before a commit was asked for.
    pub early: Option<Visible>,
}

impl Transaction {
    /// Its name in evidence.
    pub fn name(&self) -> TransactionName {
        TransactionName { producer: self.producer, number: self.number }
    }

    /// What is known of its outcome from its producer alone.
    pub fn fate(&self) -> Fate {
        match &self.ended {
            Some((at, Ended::Committed)) => Fate::Committed(*at),
            Some((at, Ended::Aborted)) => Fate::Aborted(*at),
            _ if self.commit_asked.is_none() => Fate::NeverAsked,
            _ => Fate::Unknown,
        }
    }

    /// Whether it is committed: its producer was told so, or a reader of committed records got some
    /// of it after a commit was asked for.
    pub fn is_committed(&self) -> bool {
        match self.fate() {
            Fate::Committed(_) => true,
            Fate::Unknown => self.visible.is_some(),
            Fate::Aborted(_) | Fate::NeverAsked => false,
        }
    }

    /// Its transactional id, if that is known.
    pub fn transactional_id(&self) -> Option<&Arc<str>> {
        self.identity.as_ref()?.transactional_id.as_ref()
    }
}

/// All clients' transactions.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    all: BTreeMap<(u32, u64), Transaction>,
    /// Those without an outcome, by the host of their producer.
    open: BTreeMap<HostId, BTreeSet<(u32, u64)>>,
    identities: BTreeMap<u32, Identity>,
    isolations: BTreeMap<u32, Isolation>,
}

impl Transactions {
    /// Every transaction, by producer and number.
    pub fn all(&self) -> impl Iterator<Item = &Transaction> {
        self.all.values()
    }

    /// A producer's transaction.
    pub fn get(&self, producer: u32, number: u64) -> Option<&Transaction> {
        self.all.get(&(producer, number))
    }

    /// Who a producer is.
    pub fn identity(&self, producer: u32) -> Option<&Identity> {
        self.identities.get(&producer)
    }

    /// Whether a consumer reads only committed records.
    pub fn reads_committed(&self, consumer: u32) -> bool {
        self.isolations.get(&consumer) == Some(&Isolation::ReadCommitted)
    }

    pub(super) fn isolated(&mut self, consumer: u32, isolation: Isolation) {
        self.isolations.insert(consumer, isolation);
    }

    /// A record is sent in a transaction.
    pub(super) fn sent(&mut self, producer: u32, number: u64, value: u64) {
        if let Some(transaction) = self.all.get_mut(&(producer, number)) {
            transaction.sends.push(value);
        }
    }

    /// A reader of committed records got a transaction's record.
    pub(super) fn read(&mut self, producer: u32, number: u64, visible: Visible) {
        let Some(transaction) = self.all.get_mut(&(producer, number)) else { return };
        transaction.visible.get_or_insert(visible);
        if transaction.commit_asked.is_none() {
            transaction.early.get_or_insert(visible);
        }
    }

    /// A process ended: it learns no outcome any more.
    pub(super) fn ended(&mut self, on: HostId) {
        for key in self.open.remove(&on).unwrap_or_default() {
            if let Some(transaction) = self.all.get_mut(&key) {
                transaction.orphaned = true;
            }
        }
    }

    pub(super) fn observe(&mut self, at: Instant, host: HostId, event: &TransactionEvent) {
        match event {
            TransactionEvent::Identified { producer, transactional_id, id, epoch } => {
                let transactional_id = transactional_id.clone();
                let identity = Identity { transactional_id, id: *id, epoch: *epoch, since: at };
                self.identities.insert(*producer, identity);
            }
            TransactionEvent::Bumped { producer, id, epoch } => {
                if let Some(identity) = self.identities.get_mut(producer) {
                    (identity.id, identity.epoch) = (*id, *epoch);
                }
            }
            TransactionEvent::Began { producer, txn } => {
                let transaction = Transaction {
                    producer: *producer,
                    number: *txn,
                    host,
                    identity: self.identities.get(producer).cloned(),
                    began: at,
                    sends: Vec::new(),
                    offsets: Vec::new(),
                    commit_asked: None,
                    asked: None,
                    ended: None,
                    orphaned: false,
                    visible: None,
                    early: None,
                };
                self.all.insert((*producer, *txn), transaction);
                self.open.entry(host).or_default().insert((*producer, *txn));
            }
            TransactionEvent::Transformed { .. } => {}
            TransactionEvent::SendingOffsets { producer, txn, group, generation, offsets } => {
                let (group, offsets) = (Arc::clone(group), offsets.clone());
                if let Some(transaction) = self.all.get_mut(&(*producer, *txn)) {
                    let (generation, refused) = (*generation, false);
                    transaction.offsets.push(SentOffsets { group, generation, offsets, refused });
                }
            }
            TransactionEvent::SentOffsets { producer, txn, group, outcome } => {
                let transaction = self.all.get_mut(&(*producer, *txn));
                let mut sent = transaction.into_iter().flat_map(|one| one.offsets.iter_mut().rev());
                if let Some(sent) = sent.find(|sent| sent.group == *group) {
                    sent.refused = matches!(outcome, Outcome::Fail { .. });
                }
            }
            TransactionEvent::Ending { producer, txn, commit } => {
                let Some(transaction) = self.all.get_mut(&(*producer, *txn)) else { return };
                transaction.asked = Some((at, *commit));
                if *commit {
                    transaction.commit_asked.get_or_insert(at);
                }
            }
            TransactionEvent::Ended { producer, txn, outcome } => {
                let Some(transaction) = self.all.get_mut(&(*producer, *txn)) else { return };
                // What is known for sure stays: a client that says otherwise later is not believed.
                let known = matches!(transaction.fate(), Fate::Committed(_) | Fate::Aborted(_));
                if !known {
                    transaction.ended = Some((at, outcome.clone()));
                }
                let host = transaction.host;
                if let Some(open) = self.open.get_mut(&host) {
                    open.remove(&(*producer, *txn));
                }
            }
        }
    }
}
