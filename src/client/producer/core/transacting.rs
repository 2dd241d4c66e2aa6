//! Transactions among the producer's decisions.

use tokio::sync::oneshot;

use super::{Core, Effect};
use crate::base::Instant;
use crate::base::config::ProducerConfig;
use crate::client::TransactionError;
use crate::client::producer::transactions::{Answer, Told, Transactions};

/// The transactions of a producer with a transactional id.
pub(super) fn transactions_of(config: &ProducerConfig) -> Option<Transactions> {
    let id = config.is_transactional().then_some(&config.transactional_id)?;
    Some(Transactions::new(id, config.transaction_timeout_ms))
}

impl Core {
    /// The transactions, for a call of the application.
    pub(in crate::client) fn transactions(
        &mut self,
        call: &'static str,
    ) -> Result<&mut Transactions, TransactionError> {
        if self.closing {
            return Err(TransactionError::closed());
        }
        let problem = "the producer has no transactional.id: set it";
        self.identity.transactions_mut().ok_or_else(|| TransactionError::misuse(call, problem))
    }

    /// The cluster has the feature `transaction.version` at this level.
    pub(in crate::client) fn learn_transaction_level(&mut self, level: i16) {
        if let Some(transactions) = self.identity.transactions_mut() {
            transactions.learn_level(level);
        }
    }

    pub(super) fn take_answer(&mut self, now: Instant, ticket: u64, answer: &Answer) {
        let Self { identity, kernel, .. } = self;
        if let Some(transactions) = identity.transactions_mut() {
            transactions.answered(now, ticket, answer, kernel);
        }
    }

    /// Fails the records that an aborted transaction, or a producer that can't go on, gives up.
    pub(super) fn drop_records(&mut self, now: Instant) {
        let Some(transactions) = self.identity.transactions() else { return };
        let (all, fresh) = (transactions.drops_all(), transactions.drops_fresh());
        let Some(cause) = all.or(fresh).filter(|_| !self.accumulator.is_idle()) else { return };
        let (accumulator, mut tools) = self.parts();
        accumulator.drop_records(now, cause, all.is_some(), &mut tools);
    }

    /// Asks a coordinator, if that is due.
    pub(super) fn transact(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Self { identity, kernel, accumulator, requests, .. } = self;
        let Some(transactions) = identity.transactions_mut() else { return };
        let idle = accumulator.is_idle() && requests.iter().next().is_none();
        if let Some(order) = transactions.next(now, idle, kernel) {
            effects.push(Effect::Transact(order));
        }
        self.wake = self.wake.min(transactions.deadline());
    }

    /// Aborts the transaction that is open when the producer is closed. Source: Kafka's `Sender`.
    pub(super) fn abort_at_close(&mut self) -> Option<oneshot::Receiver<Told>> {
        let transactions = self.identity.transactions_mut()?;
        if transactions.is_open() { transactions.abort().ok() } else { None }
    }

    /// Panics if records are left of a transaction that is over.
    pub(super) fn check_transactions(&self) {
        let Some(transactions) = self.identity.transactions() else { return };
        if transactions.is_outside() {
            let is_idle = self.accumulator.is_idle() && self.requests.iter().next().is_none();
            assert!(is_idle, "no transaction is open, but batches are under way: {transactions:?}");
        }
    }
}
