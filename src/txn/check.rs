//! Which transitions are legal: what Kafka's `TransactionMetadata.completeTransitionTo` asserts.

use super::TransactionalId;
use super::settings::TxnSettings;
use super::state::Transactions;
use super::status::TransactionState;
use super::transaction::Transaction;
use crate::base::{Flaw, ProducerEpoch, ProducerId};

/// Asserts what must hold after a decision has changed a transactional id.
pub(super) fn transition(
    id: &TransactionalId,
    before: &Transactions,
    after: &Transactions,
    settings: &TxnSettings,
) {
    let before = before.stored(id.as_str());
    let Some(after) = after.stored(id.as_str()) else {
        let idle = before.is_none_or(|before| before.state.is_idle());
        assert!(idle, "{id} expired in state {before:?}");
        return;
    };
    let Some(before) = before else {
        assert_eq!(after.state, TransactionState::Empty, "{id} begins with {after:?}");
        assert_eq!(after.epoch, settings.first_epoch, "{id} begins with {after:?}");
        return;
    };
    if settings.flaws.has(Flaw::NextWhileCompleting) && before.state.pending().is_some() {
        return;
    }
    assert!(before.state.may_become(after.state), "{id}: from {before:?} to {after:?}");
    assert!(is_valid(before, after), "{id}: from {before:?} to {after:?}");
}

fn is_valid(before: &Transaction, after: &Transaction) -> bool {
    let same_producer = before.producer == after.producer;
    let next_epoch = before.epoch.0.checked_add(1) == Some(after.epoch.0);
    let stays = same_producer && before.epoch == after.epoch;
    let rotates = !same_producer && after.epoch == ProducerEpoch(0);
    let same_timeout = before.timeout_ms == after.timeout_ms;
    let unchosen = after.next == ProducerId::NONE;
    match after.state {
        TransactionState::Empty => {
            let moves = stays || same_producer && next_epoch || rotates;
            moves && unchosen && after.partitions.is_empty() && after.started.0 == -1
        }
        TransactionState::Ongoing => {
            stays && unchosen && same_timeout && before.partitions.is_subset(&after.partitions)
        }
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            let rotates_later = unchosen || before.is_exhausted() && after.next != before.producer;
            let began = before.state.is_idle() || before.started == after.started;
            let moves = stays || same_producer && next_epoch;
            let same = same_timeout && before.partitions == after.partitions;
            moves && rotates_later && began && same
        }
        TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
            let chosen = before.next != ProducerId::NONE;
            let moves = if chosen { rotates && after.producer == before.next } else { stays };
            moves && unchosen && same_timeout && after.partitions.is_empty()
        }
        TransactionState::Dead | TransactionState::PrepareEpochFence => false,
    }
}
