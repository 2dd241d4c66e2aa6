//! The coordinator, one request and one state after another.

mod complete;
mod corrupt;
mod end;
mod expire;
mod flaws;
mod init;
mod partitions;
mod random;
mod views;

use std::sync::Arc;
use std::time::Duration;

use super::testing::{ID, Producer, Shell, TIMEOUT, init, partitions, producer};
use super::*;
use crate::base::{Flaw, ProducerEpoch, ProducerId};
use crate::wire::ErrorCode;

/// The epoch before the last one that a client gets, and the last one.
const LAST: i16 = i16::MAX - 1;

/// A coordinator with a producer: id 1000, epoch 0.
fn started() -> (Shell, Producer) {
    let mut shell = Shell::new();
    let producer = shell.init(None).unwrap();
    assert_eq!(producer, self::producer(1000, 0));
    (shell, producer)
}

/// The same with an ongoing transaction.
fn ongoing() -> (Shell, Producer) {
    let (mut shell, producer) = started();
    assert_eq!(shell.add(producer, &["orders-0", "orders-1"]), ErrorCode::None);
    (shell, producer)
}

/// An ongoing transaction with this epoch.
fn ongoing_at(epoch: i16) -> (Shell, Producer) {
    let mut shell = Shell::new();
    stage(&mut shell, TransactionState::Ongoing, epoch);
    (shell, producer(7, epoch))
}

/// Stores the id in this state, as if a coordinator had: producer 7, with partitions of a
/// transaction where it has one.
fn stage(shell: &mut Shell, state: TransactionState, epoch: i16) {
    let touched = !state.is_idle();
    let started = if state == TransactionState::Empty { -1 } else { shell.wall().0 };
    let wall = shell.wall();
    shell.begin_with(Transaction {
        previous: ProducerId(7),
        epoch: ProducerEpoch(epoch),
        timeout_ms: TIMEOUT as i32 * 1000,
        state,
        partitions: Arc::new(partitions(if touched { vec!["orders-0"] } else { vec![] })),
        started: crate::base::Timestamp(started),
        updated: wall,
        client_version: TransactionVersion::V2,
        ..Transaction::new(ProducerId(7))
    });
}

const STATES: [TransactionState; 6] = [
    TransactionState::Empty,
    TransactionState::Ongoing,
    TransactionState::PrepareCommit,
    TransactionState::PrepareAbort,
    TransactionState::CompleteCommit,
    TransactionState::CompleteAbort,
];
