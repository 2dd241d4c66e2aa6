//! Every client's operations and their outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Partition;
use super::transactions::{Fate, Read, Transaction, Transactions, Visible};
use crate::base::config::Acks;
use crate::base::{Instant, Offset, TopicPartition};
use crate::check::violation::{RecordName, Told};
use crate::sim::{
    ClientEvent, ConsumerEvent, Ended, HostId, Outcome, ProducerEvent, TransactionEvent,
};
use crate::view::{Change as Folded, View};

/// One record, as clients know it.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    pub producer: u32,
    /// How many times the producer's process had ended before.
    pub incarnation: u32,
    pub op: u64,
    /// Its place among all sends.
    pub order: usize,
    pub partition: TopicPartition,
    pub value: u64,
    pub acks: Acks,
    pub idempotent: bool,
    /// The number of the transaction that it belongs to, of its producer's.
    pub txn: Option<u64>,
    /// When its producer learned that this transaction is committed.
    pub(super) committed: Option<Instant>,
    pub at: Instant,
    /// The outcome that its producer learned, and when.
    pub told: Option<(Instant, Outcome)>,
    /// Where it was first read.
    pub read: Option<Read>,
    /// When it was last read.
    pub last_read: Option<Instant>,
    /// Where it was first read by a reader of committed records.
    pub stable: Option<Read>,
    /// Whether it was read at another offset, too.
    pub doubled: bool,
    /// Its topic was deleted since.
    gone: bool,
}

impl Send {
    /// The outcome that its producer learned, as evidence.
    pub fn as_told(&self) -> Told {
        let offset = match &self.told {
            Some((_, Outcome::Ok { offset })) => *offset,
            _ => None,
        };
        let at = self.told.as_ref().map_or(self.at, |(at, _)| *at);
        Told { producer: self.producer, op: self.op, value: self.value, offset, at }
    }

    /// The offset at which it was acknowledged, or else read.
    pub fn offset(&self) -> Option<Offset> {
        self.as_told().offset.or(self.read.map(|read| read.offset))
    }

    /// When its producer learned that it is stored, if it did.
    pub fn stored(&self) -> Option<Instant> {
        match &self.told {
            Some((at, Outcome::Ok { .. })) => Some(*at),
            _ => None,
        }
    }

    /// When it was acknowledged, if it was. A record of a transaction is when the commit is, too.
    pub fn acknowledged(&self) -> Option<Instant> {
        let stored = self.stored()?;
        match self.txn {
            None => Some(stored),
            Some(_) => Some(self.committed?.max(stored)),
        }
    }

    /// Where it was first read by a reader that gets nothing that may still be aborted.
    pub fn visible(&self) -> Option<Read> {
        if self.txn.is_some() { self.stable } else { self.read }
    }
}

/// A range of offsets that a consumer passed in one poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub from: Offset,
    pub to: Offset,
    pub consumer: u32,
    /// Whether it reads only committed records.
    pub stable: bool,
    pub at: Instant,
}

impl Pass {
    /// The last offset of the range.
    pub fn last(&self) -> Offset {
        Offset(self.to.0.saturating_sub(1))
    }
}

/// A final read that reached the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub end: Offset,
    pub consumer: u32,
    /// Whether it reads only committed records.
    pub stable: bool,
    /// When that consumer's position was last set.
    pub since: Instant,
    /// To which offset it was set.
    pub from: Offset,
    pub at: Instant,
}

/// All clients' records and reads.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    sends: Vec<Send>,
    by_op: BTreeMap<(u32, u64), usize>,
    by_value: BTreeMap<u64, usize>,
    /// Values that were sent to a topic before it was deleted, or deleted and created again.
    former: BTreeSet<u64>,
    /// How often each client's process has ended.
    incarnations: BTreeMap<HostId, u32>,
    passes: BTreeMap<TopicPartition, Vec<Pass>>,
    /// Where records of each key are known to be, with their values, of compacted topics.
    keyed: BTreeMap<(TopicPartition, u64), BTreeMap<Offset, u64>>,
    reached: BTreeMap<TopicPartition, Vec<Reached>>,
    /// Records that a consumer gave up, because it was refused to read them.
    skipped: BTreeMap<TopicPartition, Vec<(u32, Offset)>>,
    /// Topics that got records of transactions.
    transactional: BTreeSet<Arc<str>>,
    /// Sends to these topics, by the offsets at which they are stored.
    by_offset: BTreeMap<TopicPartition, BTreeMap<Offset, usize>>,
}

impl Clients {
    /// Every send, in order, but those to topics that are gone.
    pub fn sends(&self) -> impl Iterator<Item = &Send> {
        self.sends.iter().filter(|send| !send.gone)
    }

    /// The send of a value.
    pub fn send_of(&self, value: u64) -> Option<&Send> {
        self.sends.get(*self.by_value.get(&value)?)
    }

    /// Whether a value was sent to a topic that is gone: a read that began before may still return it.
    pub fn is_former(&self, value: u64) -> bool {
        self.former.contains(&value)
    }

    /// Names the record of a value.
    pub fn name_of(&self, value: u64) -> RecordName {
        RecordName { value, sent: self.send_of(value).map(|send| (send.producer, send.op)) }
    }

    /// One of a producer's sends.
    pub fn send(&self, producer: u32, op: u64) -> Option<&Send> {
        self.sends.get(*self.by_op.get(&(producer, op))?)
    }

    /// The first time from `since` on that a consumer at or before an offset got to one after it.
    pub fn passed(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        since: Instant,
    ) -> Option<Pass> {
        let passes = self.passes.get(partition)?;
        let later = passes.get(passes.partition_point(|pass| pass.at < since)..)?;
        later.iter().find(|pass| pass.from <= offset && offset < pass.last()).copied()
    }

    /// Like [`Clients::passed`], of consumers that read only committed records.
    pub fn passed_stable(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        since: Instant,
    ) -> Option<Pass> {
        let passes = self.passes.get(partition)?;
        let later = passes.get(passes.partition_point(|pass| pass.at < since)..)?;
        let over = |pass: &&Pass| pass.from <= offset && offset < pass.last();
        later.iter().find(|pass| pass.stable && over(pass)).copied()
    }

    /// The last poll of a partition.
    pub fn last_pass(&self, partition: &TopicPartition) -> Option<Pass> {
        self.passes.get(partition)?.last().copied()
    }

    /// The partitions whose end a final read reached, with those reads.
    pub fn reached(&self, partition: &TopicPartition) -> &[Reached] {
        self.reached.get(partition).map_or(&[], Vec::as_slice)
    }

    /// Records that a consumer gave up, because it was refused to read them.
    pub fn skipped(&self, partition: &TopicPartition) -> &[(u32, Offset)] {
        self.skipped.get(partition).map_or(&[], Vec::as_slice)
    }

    /// How many records were read at several offsets, and how many were read though their transaction
    /// is not committed.
    pub fn read_amiss(&self, transactions: &Transactions) -> (usize, usize) {
        let failed = |send: &&Send| {
            let of = send.txn.and_then(|txn| transactions.get(send.producer, txn));
            let fate = of.map(Transaction::fate);
            matches!(fate, Some(Fate::Aborted(_) | Fate::NeverAsked)) && send.read.is_some()
        };
        let doubled = self.sends().filter(|send| send.doubled).count();
        (doubled, self.sends().filter(failed).count())
    }

    /// Whether a topic got records of transactions: markers then have offsets of their own.
    pub fn is_transactional(&self, topic: &str) -> bool {
        self.transactional.contains(topic)
    }

    /// Sends to a topic with transactions that are stored in a range of offsets.
    pub fn stored_in(
        &self,
        partition: &TopicPartition,
        range: std::ops::Range<Offset>,
    ) -> impl Iterator<Item = &Send> {
        let known = self.by_offset.get(partition);
        let found = known.into_iter().flat_map(move |known| known.range(range.clone()));
        found.filter_map(|(_, index)| self.sends.get(*index))
    }

    /// A record of a key is at an offset.
    pub fn keyed(&mut self, partition: &TopicPartition, key: u64, (offset, value): (Offset, u64)) {
        self.keyed.entry((partition.clone(), key)).or_default().insert(offset, value);
    }

    /// Values of a key's records behind an offset, the latest first.
    pub fn later_of(
        &self,
        partition: &TopicPartition,
        key: u64,
        offset: Offset,
    ) -> impl Iterator<Item = u64> {
        let known = self.keyed.get(&(partition.clone(), key)).into_iter();
        known.flat_map(move |known| known.range(offset.next()..).rev()).map(|(_, value)| *value)
    }

    /// A topic is gone, with everything that was reported about it.
    pub fn forget(&mut self, partition: &TopicPartition) {
        for send in self.sends.iter_mut().filter(|send| send.partition == *partition) {
            self.by_value.remove(&send.value);
            self.former.insert(send.value);
            self.by_op.remove(&(send.producer, send.op));
            send.gone = true;
        }
        self.passes.remove(partition);
        self.by_offset.remove(partition);
        self.keyed.retain(|(of, _), _| of != partition);
        self.reached.remove(partition);
        self.skipped.remove(partition);
    }

    /// How often the process on a client's host has ended.
    pub fn incarnation(&self, host: HostId) -> u32 {
        self.incarnations.get(&host).copied().unwrap_or_default()
    }

    /// A process ended. If it was a client's, the next one is another client: its producer has a
    /// new id, so that nothing orders its records after the old ones.
    pub fn ended(&mut self, on: HostId) {
        *self.incarnations.entry(on).or_default() += 1;
    }

    /// Takes a client's event in; `folded` is what the view made of it.
    pub fn observe(
        &mut self,
        (at, on): (Instant, HostId),
        event: &ClientEvent,
        view: &View,
        folded: &[Folded],
        partitions: &BTreeMap<TopicPartition, Partition>,
        transactions: &mut Transactions,
    ) {
        match event {
            ClientEvent::Producer(event) => self.producer(at, on, event, transactions),
            ClientEvent::Consumer(event) => {
                self.consumer(at, event, view, folded, partitions, transactions);
            }
            ClientEvent::Transaction(event) => self.transaction(at, on, event, transactions),
            ClientEvent::Member(_) | ClientEvent::Noted { .. } => {}
        }
    }

    fn transaction(
        &mut self,
        at: Instant,
        on: HostId,
        event: &TransactionEvent,
        transactions: &mut Transactions,
    ) {
        transactions.observe(at, on, event);
        let TransactionEvent::Ended { producer, txn, outcome: Ended::Committed } = event else {
            return;
        };
        let Some(ended) = transactions.get(*producer, *txn) else { return };
        if ended.fate() != Fate::Committed(at) {
            return;
        }
        for value in &ended.sends {
            let send = self.by_value.get(value).and_then(|index| self.sends.get_mut(*index));
            if let Some(send) = send {
                send.committed = Some(at);
            }
        }
    }

    fn producer(
        &mut self,
        at: Instant,
        on: HostId,
        event: &ProducerEvent,
        transactions: &mut Transactions,
    ) {
        match event {
            ProducerEvent::Sent { producer, op, partition, value, acks, idempotent, txn } => {
                if let Some(txn) = txn {
                    transactions.sent(*producer, *txn, *value);
                    self.transactional.insert(Arc::clone(&partition.topic));
                }
                let index = self.sends.len();
                self.by_op.insert((*producer, *op), index);
                self.by_value.insert(*value, index);
                self.sends.push(Send {
                    producer: *producer,
                    incarnation: self.incarnations.get(&on).copied().unwrap_or_default(),
                    op: *op,
                    order: index,
                    partition: partition.clone(),
                    value: *value,
                    acks: *acks,
                    idempotent: *idempotent,
                    txn: *txn,
                    committed: None,
                    at,
                    told: None,
                    read: None,
                    last_read: None,
                    stable: None,
                    doubled: false,
                    gone: false,
                });
            }
            ProducerEvent::Misbehaved { .. } | ProducerEvent::Answered { .. } => {}
            ProducerEvent::Told { producer, op, outcome } => {
                let send = self.by_op.get(&(*producer, *op)).and_then(|i| self.sends.get_mut(*i));
                // The first outcome counts: a client that reports two is not to be believed.
                if let Some(send) = send.filter(|send| send.told.is_none()) {
                    send.told = Some((at, outcome.clone()));
                    if let Outcome::Ok { offset: Some(offset) } = outcome
                        && self.transactional.contains(&send.partition.topic)
                    {
                        let known = self.by_offset.entry(send.partition.clone()).or_default();
                        known.insert(*offset, send.order);
                    }
                }
            }
        }
    }

    fn consumer(
        &mut self,
        at: Instant,
        event: &ConsumerEvent,
        view: &View,
        folded: &[Folded],
        partitions: &BTreeMap<TopicPartition, Partition>,
        transactions: &mut Transactions,
    ) {
        match event {
            ConsumerEvent::Polled { consumer, partition, records, .. } => {
                let consumer = *consumer;
                let stable = transactions.reads_committed(consumer);
                let known = partitions.get(partition);
                for (offset, value) in records {
                    let send = self.by_value.get(value).and_then(|i| self.sends.get_mut(*i));
                    let Some(send) = send else { continue };
                    let read = Read { offset: *offset, consumer, at };
                    let first = send.read.get_or_insert(read).offset;
                    send.doubled |= first != *offset;
                    send.last_read = Some(at);
                    if stable {
                        send.stable.get_or_insert(read);
                    }
                    // Its own outcome is not what made it visible if the marker was lost.
                    let lost = || known.and_then(|known| known.lost_outcome(*offset));
                    if let Some(txn) = send.txn.filter(|_| stable && lost() != Some(false)) {
                        let visible = Visible { value: *value, read };
                        transactions.read(send.producer, txn, visible);
                    }
                }
                if let Some(Folded::Passed { from, to }) = folded.last() {
                    let pass = Pass { from: *from, to: *to, consumer, stable, at };
                    match self.passes.get_mut(partition) {
                        Some(passes) => passes.push(pass),
                        None => drop(self.passes.insert(partition.clone(), vec![pass])),
                    }
                }
            }
            ConsumerEvent::ReachedEnd { consumer, partition, end } => {
                let position = view.position(*consumer, partition);
                let since = position.map_or(at, |position| position.since);
                let from = position.map_or(*end, |position| position.from);
                let (end, consumer) = (*end, *consumer);
                let stable = transactions.reads_committed(consumer);
                let reached = Reached { end, consumer, stable, since, from, at };
                self.reached.entry(partition.clone()).or_default().push(reached);
            }
            ConsumerEvent::Skipped { consumer, partition, offset } => {
                self.skipped.entry(partition.clone()).or_default().push((*consumer, *offset));
            }
            ConsumerEvent::Isolated { consumer, isolation } => {
                transactions.isolated(*consumer, *isolation);
            }
            ConsumerEvent::Positioned { .. }
            | ConsumerEvent::Unreadable { .. }
            | ConsumerEvent::Asked { .. }
            | ConsumerEvent::Listed { .. } => {}
        }
    }
}
