//! The traits of a machine, its state and its records.

use std::error::Error;
use std::fmt::Debug;

use bytes::Bytes;

use super::Decision;
use crate::base::{Instant, Offset, Probe, ProducerId, Timestamp};

/// A record of a decided log as bytes. A record without a value is a tombstone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; compaction keeps the newest record of each.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
}

/// A record that can be written to a log and read back.
pub trait LogRecord: Clone + Debug + Send + 'static {
    /// Why bytes are not a record.
    type Error: Error + Send + Sync + 'static;

    /// The record as bytes.
    fn encode(&self) -> KeyValue;

    /// Reads a record. Bytes come from a file: any are possible.
    fn decode(bytes: KeyValue) -> Result<Self, Self::Error>;
}

/// The replicated part of a machine: only replayed records change it.
///
/// A clone should be cheap (see [`super::SharedMap`]): there is a committed state beside the
/// speculative one, and a machine that loses leadership goes back to it.
pub trait State: Clone + Send + 'static {
    /// A record of its log.
    type Record: LogRecord;
    /// What a record changed, for those who follow the state.
    type Change: Send + 'static;
    /// A record that does not fit what came before it.
    type Error: Error + Send + Sync + 'static;

    /// Applies the record at `offset`, and lists what that changed. An error leaves the state as
    /// it was.
    fn replay(
        &mut self,
        offset: Offset,
        record: &Self::Record,
        changes: &mut Vec<Self::Change>,
    ) -> Result<(), Self::Error>;

    /// Applies a record of a producer's transaction. A state whose log has no transactions takes it for
    /// one that counts.
    fn replay_in_transaction(
        &mut self,
        (offset, producer): (Offset, ProducerId),
        record: &Self::Record,
        changes: &mut Vec<Self::Change>,
    ) -> Result<(), Self::Error> {
        let _ = producer;
        self.replay(offset, record, changes)
    }

    /// Applies the marker that ends a producer's transaction.
    fn end_transaction(
        &mut self,
        producer: ProducerId,
        is_committed: bool,
        changes: &mut Vec<Self::Change>,
    ) {
        let _ = (producer, is_committed, changes);
    }

    /// A batch ends at `offset`; after a batch without records of this state, such as a control
    /// batch, it is the only call.
    fn reached(&mut self, offset: Offset) {
        let _ = offset;
    }

    /// What observers of the node are shown once the record of a change is committed.
    fn probe(change: &Self::Change) -> Option<Probe> {
        let _ = change;
        None
    }
}

/// A state machine that decides records of a log.
///
/// Its handlers are its own methods; each takes `&self`. A decision has to be replayed before the
/// next handler is called: otherwise two decisions would rest on one state.
pub trait Machine: Send + 'static {
    /// What is replicated.
    type State: State;
    /// A change of what is not replicated: a session, a timer.
    type Effect: Send + 'static;

    /// The speculative state: everything appended, committed or not.
    fn state(&self) -> &Self::State;

    /// Applies a record to the state.
    fn replay(
        &mut self,
        offset: Offset,
        record: &RecordOf<Self>,
        changes: &mut Vec<ChangeOf<Self>>,
    ) -> Result<(), ErrorOf<Self>>;

    /// See [`State::replay_in_transaction`].
    fn replay_in_transaction(
        &mut self,
        (offset, producer): (Offset, ProducerId),
        record: &RecordOf<Self>,
        changes: &mut Vec<ChangeOf<Self>>,
    ) -> Result<(), ErrorOf<Self>> {
        let _ = producer;
        self.replay(offset, record, changes)
    }

    /// See [`State::end_transaction`].
    fn end_transaction(
        &mut self,
        producer: ProducerId,
        is_committed: bool,
        changes: &mut Vec<ChangeOf<Self>>,
    ) {
        let _ = (producer, is_committed, changes);
    }

    /// See [`State::reached`].
    fn reached(&mut self, offset: Offset);

    /// Replaces the state by the committed one.
    fn restore(&mut self, committed: Self::State);

    /// This machine leads from now on, with everything loaded that its log has.
    fn activated(&mut self, now: Instant);

    /// Carries an effect out.
    fn carry_out(&mut self, now: Instant, effect: Self::Effect);

    /// When to call `expire`, unless something else happens before.
    fn deadline(&self) -> Option<Instant>;

    /// Decides what follows from deadlines that have passed. Its effects must move them. `wall` is
    /// what the host believes the date to be.
    fn expire(&self, now: Instant, wall: Timestamp) -> Decision<RecordOf<Self>, (), Self::Effect>;

    /// Asserts what must hold after a batch of its own decisions was replayed on `before`. Called
    /// in tests and simulations only. Not called for what was loaded: that comes from a file.
    fn check(&self, before: &Self::State, changes: &[ChangeOf<Self>]);
}

/// The records of a machine.
pub type RecordOf<M> = <<M as Machine>::State as State>::Record;

/// What a record of a machine changes.
pub type ChangeOf<M> = <<M as Machine>::State as State>::Change;

/// Why a record of a machine can't be replayed.
pub type ErrorOf<M> = <<M as Machine>::State as State>::Error;
