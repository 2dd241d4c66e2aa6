//! Records what a transactional producer does: what a load says beside its client's calls.
//!
//! The order of the calls is part of what is recorded: each `…ing` comes before the client's call, and
//! the outcome after it. `transformed` is recorded for each input, also for one of which nothing is made,
//! before its outputs are sent; an input may be transformed again after an abort, with outputs of other
//! values. (`MemberEvent::Processed` is for applications without outputs: it counts every attempt.)
//!
//! ```text
//! let mut log = TransactionRecorder::new(number);             // kept over restarts of the process
//! world.observe(log.identified(Some(id), producer, epoch));   // after init_transactions
//! world.observe(log.begin());                                 // before begin_transaction
//! world.observe(log.transformed("shop", &input, &[value]));   // before the outputs are sent
//! // Each `ProducerEvent::Sent` has `txn: log.current()`.
//! world.observe(log.sending_offsets("shop", generation, offsets));
//! world.observe(log.sent_offsets("shop", outcome));
//! world.observe(log.ending(true));                            // before commit_transaction
//! world.observe(log.ended(Ended::Committed));
//! world.observe(log.bumped(producer, epoch));                 // if the answer had another epoch
//! ```

use std::sync::Arc;

use super::history::{ClientEvent, ConsumerEvent, Ended, Isolation, Outcome, TransactionEvent};
use crate::base::{Offset, ProducerEpoch, ProducerId, TopicPartition};

/// A record that is transformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformedInput {
    pub partition: TopicPartition,
    pub offset: Offset,
    /// Its unique value.
    pub value: u64,
    /// Its key, if order per key is promised.
    pub key: Option<u64>,
}

/// Numbers one producer's transactions, and makes the events of each.
#[derive(Clone, Debug)]
pub struct TransactionRecorder {
    producer: u32,
    /// Transactions so far.
    begun: u64,
    current: Option<u64>,
}

impl TransactionRecorder {
    /// Of the producer with this number.
    pub fn new(producer: u32) -> Self {
        Self { producer, begun: 0, current: None }
    }

    /// The transaction that it is in, or whose outcome it has not recorded: for `Sent`.
    pub fn current(&self) -> Option<u64> {
        self.current
    }

    /// InitProducerId answered. A transaction of the process before is over for this one.
    pub fn identified(
        &mut self,
        transactional_id: Option<Arc<str>>,
        id: ProducerId,
        epoch: ProducerEpoch,
    ) -> ClientEvent {
        self.current = None;
        let producer = self.producer;
        TransactionEvent::Identified { producer, transactional_id, id, epoch }.into()
    }

    /// EndTxn answered with the id and epoch of the next transaction.
    pub fn bumped(&self, id: ProducerId, epoch: ProducerEpoch) -> ClientEvent {
        TransactionEvent::Bumped { producer: self.producer, id, epoch }.into()
    }

    /// It begins a transaction.
    pub fn begin(&mut self) -> ClientEvent {
        self.begun += 1;
        self.current = Some(self.begun);
        TransactionEvent::Began { producer: self.producer, txn: self.begun }.into()
    }

    /// It makes outputs of an input, in a transaction or without.
    pub fn transformed(
        &self,
        group: &str,
        input: &TransformedInput,
        outputs: &[u64],
    ) -> ClientEvent {
        let TransformedInput { partition, offset, value, key } = input.clone();
        TransactionEvent::Transformed {
            producer: self.producer,
            txn: self.current,
            group: group.into(),
            partition,
            offset,
            value,
            key,
            outputs: outputs.to_vec(),
        }
        .into()
    }

    /// It is about to send offsets in its transaction.
    pub fn sending_offsets(
        &self,
        group: &str,
        generation: i32,
        offsets: Vec<(TopicPartition, Offset)>,
    ) -> ClientEvent {
        let (producer, txn, group) = (self.producer, self.number(), group.into());
        TransactionEvent::SendingOffsets { producer, txn, group, generation, offsets }.into()
    }

    /// It learned the outcome of that.
    pub fn sent_offsets(&self, group: &str, outcome: Outcome) -> ClientEvent {
        let (producer, txn, group) = (self.producer, self.number(), group.into());
        TransactionEvent::SentOffsets { producer, txn, group, outcome }.into()
    }

    /// It is about to commit or abort its transaction.
    pub fn ending(&self, commit: bool) -> ClientEvent {
        let (producer, txn) = (self.producer, self.number());
        TransactionEvent::Ending { producer, txn, commit }.into()
    }

    /// It learned the outcome: the transaction is over.
    pub fn ended(&mut self, outcome: Ended) -> ClientEvent {
        let (producer, txn) = (self.producer, self.number());
        self.current = None;
        TransactionEvent::Ended { producer, txn, outcome }.into()
    }

    /// The transaction that it is in; without one the last.
    fn number(&self) -> u64 {
        self.current.unwrap_or(self.begun)
    }
}

/// A consumer's `isolation.level`: recorded before its first poll.
pub fn isolated(consumer: u32, isolation: Isolation) -> ClientEvent {
    ConsumerEvent::Isolated { consumer, isolation }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_numbered_over_restarts() {
        let mut log = TransactionRecorder::new(3);
        assert_eq!(log.current(), None);
        log.begin();
        assert_eq!(log.current(), Some(1));
        let ending = TransactionEvent::Ending { producer: 3, txn: 1, commit: true };
        assert_eq!(log.ending(true), ending.into());
        log.identified(None, ProducerId(7), ProducerEpoch(1));
        assert_eq!(log.current(), None, "the process before had it");
        log.begin();
        assert_eq!(log.current(), Some(2));
        let ended = TransactionEvent::Ended { producer: 3, txn: 2, outcome: Ended::Aborted };
        assert_eq!(log.ended(Ended::Aborted), ended.into());
        assert_eq!(log.current(), None);
    }
}
