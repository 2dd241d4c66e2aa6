//! The producer's id and epoch, and how it gets them (KIP-98): from any broker or, with a transactional
//! id, from the coordinator of its transactions.

use super::granted::GrantedId;
use super::transactions::Transactions;
use crate::base::{Instant, ProducerEpoch, TopicPartition};
use crate::client::ProduceCause;
use crate::client::kernel::Kernel;
use crate::io::Address;

/// The identity of an idempotent producer; other producers have none.
#[derive(Debug)]
pub(super) struct Identity {
    idempotent: bool,
    current: Option<GrantedId>,
    /// A batch waits for it.
    wanted: bool,
    outstanding: bool,
    not_before: Instant,
    failures: u32,
    transactions: Option<Box<Transactions>>,
}

impl Identity {
    pub(super) fn new(idempotent: bool, transactions: Option<Transactions>) -> Self {
        Self {
            idempotent,
            current: None,
            wanted: false,
            outstanding: false,
            not_before: Instant::START,
            failures: 0,
            transactions: transactions.map(Box::new),
        }
    }

    pub(super) fn transactions(&self) -> Option<&Transactions> {
        self.transactions.as_deref()
    }

    pub(super) fn transactions_mut(&mut self) -> Option<&mut Transactions> {
        self.transactions.as_deref_mut()
    }

    pub(super) fn is_transactional(&self) -> bool {
        self.transactions.is_some()
    }

    /// Whether a first batch may leave for this partition.
    pub(super) fn admits(&mut self, partition: &TopicPartition) -> bool {
        self.transactions.as_mut().is_none_or(|transactions| transactions.admits(partition))
    }

    /// A batch of this partition leaves.
    pub(super) fn leaves(&mut self, partition: &TopicPartition) {
        if let Some(transactions) = &mut self.transactions {
            transactions.leaves(partition);
        }
    }

    /// A batch is stored.
    pub(super) fn stored(&mut self) {
        if let Some(transactions) = &mut self.transactions {
            transactions.stored();
        }
    }

    /// A record or batch failed. `numbered`: its number may be lost.
    pub(super) fn record_failed(
        &mut self,
        partition: &TopicPartition,
        cause: ProduceCause,
        numbered: bool,
    ) {
        if let Some(transactions) = &mut self.transactions {
            transactions.record_failed(partition, cause, numbered);
        }
    }

    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(super) fn current(&self) -> Option<GrantedId> {
        match &self.transactions {
            Some(transactions) => transactions.producer(),
            None => self.current,
        }
    }

    /// The current identity; if there is none, it is asked for, unless transactions do that.
    pub(super) fn require(&mut self) -> Option<GrantedId> {
        self.wanted |= self.current.is_none() && self.transactions.is_none();
        self.current()
    }

    /// The broker to ask now, if an identity is needed.
    pub(super) fn begin_due(&mut self, now: Instant, kernel: &mut Kernel) -> Option<Address> {
        if !self.wanted || self.outstanding || now < self.not_before {
            return None;
        }
        if let Some(until) = kernel.contacts_muted_until(now) {
            self.not_before = until;
            return None;
        }
        self.outstanding = true;
        Some(kernel.next_contact(now))
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Instant {
        if self.wanted && !self.outstanding { self.not_before } else { Instant::NEVER }
    }

    pub(super) fn granted(&mut self, granted: GrantedId) {
        self.current = Some(granted);
        self.wanted = false;
        self.outstanding = false;
        self.failures = 0;
    }

    pub(super) fn failed(&mut self, now: Instant, kernel: &mut Kernel) {
        self.outstanding = false;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + kernel.pause(self.failures);
    }

    /// Raises the epoch (KIP-360); after the last one, the producer needs another id. Not for
    /// transactions: their coordinator raises it.
    pub(super) fn raise(&mut self) {
        self.current = self.current.and_then(|(id, epoch)| {
            epoch.0.checked_add(1).filter(|e| *e < i16::MAX).map(|e| (id, ProducerEpoch(e)))
        });
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        let Self { idempotent, current, wanted, outstanding, .. } = self;
        assert!(*idempotent || current.is_none(), "not idempotent, but has {current:?}");
        assert!(*idempotent || !wanted, "not idempotent, but asks for an id");
        assert!(!outstanding || *wanted, "an id is asked for that is not wanted");
        if let Some(transactions) = &self.transactions {
            assert!(*idempotent, "transactions without idempotence");
            assert!(current.is_none() && !wanted, "a transactional producer has {current:?}");
            transactions.check();
        }
        if let Some((id, epoch)) = current {
            assert!(id.0 >= 0 && epoch.0 >= 0, "brokers granted {id:?} in {epoch:?}");
        }
    }
}
