//! What a coordinator knows beyond its log: deadlines, markers under way, and the last epochs.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

use super::TransactionalId;
use super::outgoing::{Markers, Outgoing};
use super::state::Transactions;
use super::transaction::Transaction;
use crate::base::{Instant, LeaderEpoch, ProducerEpoch, ProducerId, TopicPartition};
use crate::decide::Timers;

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The coordinator was elected: what its log has is to be continued.
    Resume,
    /// All markers of the transaction are written.
    Complete(TransactionalId),
    /// The transaction takes too long.
    Timeout(TransactionalId),
    /// Idle transactional ids may have expired.
    Expiry,
}

/// A change of what is not replicated, other than the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoftEffect {
    /// A producer has another epoch. With the one before it may ask again (KIP-360).
    LastEpoch(TransactionalId, ProducerEpoch),
    /// A transaction began, and takes too long after this time.
    Began(TransactionalId, Instant),
    /// The transaction does not time out any more.
    Ended(TransactionalId),
    /// The outcome is committed: markers are to be sent.
    Prepared(TransactionalId),
    /// All partitions know the outcome.
    Completed(TransactionalId),
    /// The transactional id has expired.
    Expired(TransactionalId),
    /// The search for expired ids is done, until this time.
    ExpiryDone(Instant),
    /// The log was looked through, and what it has is continued.
    Resumed,
    /// A timeout waits for a producer id.
    NeedsProducerId(TransactionalId),
    /// The spare producer id is used.
    ProducerIdUsed,
    /// The shell brings a producer id.
    ProducerId(ProducerId),
    /// Partitions have written their markers, or do not exist any more. Ignored if the coordinator
    /// or the transaction is another one by now.
    Written {
        /// The epoch of the coordinator that sent the markers.
        coordinator: LeaderEpoch,
        /// Whose transaction it is.
        id: TransactionalId,
        /// The producer and epoch of the markers.
        producer: (ProducerId, ProducerEpoch),
        /// Which partitions.
        partitions: Vec<TopicPartition>,
    },
}

/// A transaction whose markers travel.
#[derive(Debug)]
struct Travelling {
    producer: (ProducerId, ProducerEpoch),
    left: BTreeSet<TopicPartition>,
}

/// The state that a failover loses.
#[derive(Debug)]
pub(super) struct Soft {
    partition: i32,
    coordinator: LeaderEpoch,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    timers: Timers<Timer>,
    /// The epoch before the current one, of producers that may ask for it again.
    last_epochs: BTreeMap<TransactionalId, ProducerEpoch>,
    travelling: BTreeMap<TransactionalId, Travelling>,
    /// Transactions whose outcome was in the log when it was loaded, until their markers are sent.
    resuming: Vec<TransactionalId>,
    /// A producer id for what is done without a request.
    spare: Option<ProducerId>,
    /// The shell was asked for a producer id.
    asked: bool,
    /// Transactions that have timed out, and wait for that.
    starved: BTreeSet<TransactionalId>,
}

impl Soft {
    pub(super) fn new(
        partition: i32,
        coordinator: LeaderEpoch,
        outgoing: mpsc::UnboundedSender<Outgoing>,
    ) -> Self {
        Self {
            partition,
            coordinator,
            outgoing,
            timers: Timers::default(),
            last_epochs: BTreeMap::new(),
            travelling: BTreeMap::new(),
            resuming: Vec::new(),
            spare: None,
            asked: false,
            starved: BTreeSet::new(),
        }
    }

    /// Forgets everything, and has the shell forget its markers.
    pub(super) fn resign(&mut self) {
        let (partition, epoch) = (self.partition, self.coordinator);
        *self = Self::new(partition, epoch, self.outgoing.clone());
        self.send(Outgoing::Resigned { partition, epoch });
    }

    /// Continues at once what the log has, and looks for expired ids later.
    pub(super) fn activated(&mut self, now: Instant, expiry: Instant, state: &Transactions) {
        let pending = state.transactions().filter(|(_, one)| one.state.pending().is_some());
        self.resuming = pending.map(|(id, _)| id.clone()).collect();
        self.timers.set(Timer::Resume, now);
        self.timers.set(Timer::Expiry, expiry);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    pub(super) fn expired(&self, now: Instant) -> impl Iterator<Item = &Timer> {
        self.timers.expired(now)
    }

    /// Transactions whose markers are to be sent because the log has their outcome. No request
    /// changes them until that is done.
    pub(super) fn resuming(&self) -> &[TransactionalId] {
        &self.resuming
    }

    /// Whether the transaction has a deadline.
    pub(super) fn times_out(&self, id: &TransactionalId) -> bool {
        self.timers.get(&Timer::Timeout(id.clone())).is_some()
    }

    pub(super) fn last_epoch(&self, id: &str) -> ProducerEpoch {
        self.last_epochs.get(id).copied().unwrap_or(ProducerEpoch::NONE)
    }

    pub(super) fn spare(&self) -> Option<ProducerId> {
        self.spare
    }

    /// The partitions that have not written their markers yet, of a transaction whose markers
    /// travel.
    pub(super) fn left(&self, id: &str) -> Option<&BTreeSet<TopicPartition>> {
        self.travelling.get(id).map(|travelling| &travelling.left)
    }

    pub(super) fn apply(&mut self, now: Instant, effect: SoftEffect, state: &Transactions) {
        match effect {
            SoftEffect::LastEpoch(id, ProducerEpoch::NONE) => drop(self.last_epochs.remove(&id)),
            SoftEffect::LastEpoch(id, epoch) => drop(self.last_epochs.insert(id, epoch)),
            SoftEffect::Began(id, deadline) => self.timers.set(Timer::Timeout(id), deadline),
            SoftEffect::Ended(id) => drop(self.timers.cancel(&Timer::Timeout(id))),
            SoftEffect::Prepared(id) => {
                if let Some(transaction) = state.stored(id.as_str()) {
                    self.prepared(now, id, transaction);
                }
            }
            SoftEffect::Completed(id) => {
                self.travelling.remove(&id);
                self.timers.cancel(&Timer::Complete(id));
            }
            SoftEffect::Expired(id) => drop(self.last_epochs.remove(&id)),
            SoftEffect::ExpiryDone(next) => self.timers.set(Timer::Expiry, next),
            SoftEffect::Resumed => {
                self.resuming.clear();
                self.timers.cancel(&Timer::Resume);
            }
            SoftEffect::NeedsProducerId(id) => {
                self.timers.set(Timer::Timeout(id.clone()), Instant::NEVER);
                self.starved.insert(id);
                if !std::mem::replace(&mut self.asked, true) {
                    let (partition, epoch) = (self.partition, self.coordinator);
                    self.send(Outgoing::NeedsProducerId { partition, epoch });
                }
            }
            SoftEffect::ProducerIdUsed => self.spare = None,
            SoftEffect::ProducerId(id) => {
                self.spare = Some(id);
                self.asked = false;
                for id in std::mem::take(&mut self.starved) {
                    let timer = Timer::Timeout(id);
                    // Otherwise it has ended, and another transaction may have begun.
                    if self.timers.get(&timer) == Some(Instant::NEVER) {
                        self.timers.set(timer, now);
                    }
                }
            }
            SoftEffect::Written { coordinator, id, producer, partitions } => {
                if coordinator == self.coordinator {
                    self.written(now, id, producer, &partitions);
                }
            }
        }
    }

    fn prepared(&mut self, now: Instant, id: TransactionalId, transaction: &Transaction) {
        let Some(outcome) = transaction.state.pending() else { return };
        let producer = (transaction.producer, transaction.epoch);
        let partitions = transaction.partitions.clone();
        let left = (*partitions).clone();
        self.travelling.insert(id.clone(), Travelling { producer, left });
        if partitions.is_empty() {
            return self.timers.set(Timer::Complete(id), now);
        }
        self.send(Outgoing::Markers(Markers {
            partition: self.partition,
            coordinator: self.coordinator,
            id,
            producer: transaction.producer,
            epoch: transaction.epoch,
            outcome,
            version: transaction.client_version,
            partitions,
        }));
    }

    fn written(
        &mut self,
        now: Instant,
        id: TransactionalId,
        producer: (ProducerId, ProducerEpoch),
        partitions: &[TopicPartition],
    ) {
        let Some(travelling) = self.travelling.get_mut(&id) else { return };
        if travelling.producer != producer {
            return;
        }
        for partition in partitions {
            travelling.left.remove(partition);
        }
        if travelling.left.is_empty() {
            self.timers.set(Timer::Complete(id), now);
        }
    }

    fn send(&self, outgoing: Outgoing) {
        // The receiver only ends with the node.
        let _ = self.outgoing.send(outgoing);
    }

    pub(super) fn check(&self) {
        self.timers.check();
    }

    /// Asserts that exactly the prepared transactions are under way, once everything is committed
    /// and continued: costs as much as there are ids.
    #[cfg(test)]
    pub(super) fn check_travelling(&self, state: &Transactions) {
        let pending = state.transactions().filter(|(_, one)| one.state.pending().is_some());
        let pending: Vec<_> = pending.map(|(id, _)| id).collect();
        assert_eq!(self.travelling.keys().collect::<Vec<_>>(), pending);
        for (id, travelling) in &self.travelling {
            let waits = self.timers.get(&Timer::Complete(id.clone())).is_none();
            assert_eq!(waits, !travelling.left.is_empty(), "{id} is completed once all is written");
        }
    }

    /// Asserts that every ongoing transaction with a timeout has a deadline.
    #[cfg(test)]
    pub(super) fn check_timeouts(&self, state: &Transactions) {
        use super::status::TransactionState;
        for (id, transaction) in state.transactions() {
            let timer = self.timers.get(&Timer::Timeout(id.clone()));
            let ongoing = transaction.state == TransactionState::Ongoing;
            assert_eq!(timer.is_some(), ongoing && transaction.has_timeout(), "{id}: {timer:?}");
        }
    }
}
