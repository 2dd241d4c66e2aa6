//! The transaction coordinator of one partition of `__transaction_state`.

use std::convert::Infallible;

use tokio::sync::mpsc;

use super::TransactionalId;
use super::check;
use super::outgoing::Outgoing;
use super::record::Record;
use super::settings::TxnSettings;
use super::soft::{Soft, SoftEffect};
use super::state::{Change, Transactions};
use super::transaction::Transaction;
use super::version::TransactionVersion;
use crate::base::{Instant, LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::decide::{self, Machine, State};
use crate::wire::ErrorCode;

/// A decision of the transaction coordinator.
pub type Decision<T> = decide::Decision<Record, T, Effect>;

/// An answer, or none: then it takes a producer id that was never used. The shell gets one and asks
/// again.
pub type Asked<T> = Option<Result<T, ErrorCode>>;

/// A change of what is not replicated.
#[derive(Debug)]
pub enum Effect {
    /// The settings of the coordinator changed.
    Settings(Box<TxnSettings>),
    /// A change around a transactional id.
    Soft(SoftEffect),
}

impl From<SoftEffect> for Effect {
    fn from(effect: SoftEffect) -> Self {
        Self::Soft(effect)
    }
}

/// The transaction coordinator of one partition.
#[derive(Debug)]
pub struct TxnCoordinator {
    pub(super) settings: TxnSettings,
    pub(super) state: Transactions,
    pub(super) soft: Soft,
}

impl TxnCoordinator {
    /// A coordinator without transactional ids. `outgoing` takes what it asks of the shell.
    pub fn new(
        (partition, coordinator): (i32, LeaderEpoch),
        settings: TxnSettings,
        outgoing: mpsc::UnboundedSender<Outgoing>,
    ) -> Self {
        let soft = Soft::new(partition, coordinator, outgoing);
        Self { settings, state: Transactions::default(), soft }
    }

    /// The level of `transaction.version` at which this coordinator decides.
    pub fn version(&self) -> TransactionVersion {
        self.settings.version
    }

    /// A decision that stores a transactional id.
    pub(super) fn store<T>(
        &self,
        id: &TransactionalId,
        transaction: Transaction,
        answer: T,
    ) -> Decision<T> {
        let record = Record::stored(id.clone(), self.settings.version, transaction);
        Decision::new(vec![record], answer)
    }
}

/// A decision that changes nothing.
pub(super) fn refuse<T>(error: ErrorCode) -> Decision<Asked<T>> {
    Decision::only(Some(Err(error)))
}

/// The first check of each request. Source: Kafka's `TransactionCoordinator`.
pub(super) fn check_id(id: &str) -> Result<TransactionalId, ErrorCode> {
    let id = match id.is_empty() {
        true => return Err(ErrorCode::InvalidRequest),
        false => TransactionalId::from(id),
    };
    match id.is_writable() {
        true => Ok(id),
        // Kafka can't encode the key of its record.
        false => Err(ErrorCode::UnknownServerError),
    }
}

/// A producer id that was never used: the shell's, if it has brought one.
pub(super) type Fresh = Option<ProducerId>;

impl Machine for TxnCoordinator {
    type State = Transactions;
    type Effect = Effect;

    fn state(&self) -> &Transactions {
        &self.state
    }

    fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), Infallible> {
        self.state.replay(offset, record, changes)
    }

    fn reached(&mut self, offset: Offset) {
        self.state.reached(offset);
    }

    fn restore(&mut self, committed: Transactions) {
        self.state = committed;
        self.soft.resign();
    }

    fn activated(&mut self, now: Instant) {
        let expiry = now + self.settings.expiration_interval;
        self.soft.activated(now, expiry, &self.state);
    }

    fn carry_out(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Settings(settings) => self.settings = *settings,
            Effect::Soft(effect) => self.soft.apply(now, effect, &self.state),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.soft.deadline()
    }

    fn expire(&self, now: Instant, wall: Timestamp) -> Decision<()> {
        self.overdue(now, wall)
    }

    fn check(&self, before: &Transactions, changes: &[Change]) {
        for Change(id) in changes {
            check::transition(id, before, &self.state, &self.settings);
        }
        self.soft.check();
    }
}
