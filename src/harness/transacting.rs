//! What is recorded of a producer's transactions, beside the calls of its program.

use std::sync::Arc;

use parking_lot::Mutex;

use super::world::AnyWorld;
use crate::base::config::ProducerConfig;
use crate::base::{Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::client::{ErrorClass, GroupMetadata, TransactionError};
use crate::sim::{ClientEvent, Ended, Outcome, TransactionEvent, TransactionRecorder};

/// A record of which others are made.
pub(super) struct Input {
    pub partition: TopicPartition,
    pub offset: Offset,
    /// Its unique value.
    pub value: u64,
}

/// The transactions of one producer.
pub(super) struct Transactions {
    world: AnyWorld,
    /// Of the producer, among all of the run.
    number: u32,
    /// `transactional.id`.
    name: Arc<str>,
    log: Mutex<Log>,
}

struct Log {
    recorder: TransactionRecorder,
    identity: Option<(ProducerId, ProducerEpoch)>,
    /// The transaction can still be committed or aborted.
    open: bool,
}

impl Transactions {
    /// Of the producer with this number; `None` if it has no `transactional.id`.
    pub fn of(world: &AnyWorld, number: u32, config: &ProducerConfig) -> Option<Arc<Self>> {
        config.is_transactional().then(|| {
            let recorder = TransactionRecorder::new(number);
            let log = Mutex::new(Log { recorder, identity: None, open: false });
            let name = config.transactional_id.as_str().into();
            Arc::new(Self { world: world.clone(), number, name, log })
        })
    }

    /// The transaction that a record is sent in.
    pub fn current(&self) -> Option<u64> {
        self.log.lock().recorder.current()
    }

    /// The producer has its id.
    pub fn identified(&self, identity: Option<(ProducerId, ProducerEpoch)>) {
        let Some((id, epoch)) = identity else { return };
        let mut log = self.log.lock();
        (log.identity, log.open) = (identity, false);
        self.observe(log.recorder.identified(Some(Arc::clone(&self.name)), id, epoch));
    }

    /// The producer may have another id or epoch than before.
    pub fn look_at(&self, identity: Option<(ProducerId, ProducerEpoch)>) {
        let mut log = self.log.lock();
        if let Some((id, epoch)) = identity.filter(|_| identity != log.identity) {
            log.identity = identity;
            self.observe(log.recorder.bumped(id, epoch));
        }
    }

    /// A transaction has begun.
    pub fn began(&self) {
        let mut log = self.log.lock();
        log.open = true;
        self.observe(log.recorder.begin());
    }

    /// The outputs of an input are about to be sent.
    pub fn transformed(&self, group: &str, input: Input, outputs: Vec<u64>) {
        let (producer, txn) = (self.number, self.current());
        let Input { partition, offset, value } = input;
        let group = group.into();
        // Programs send outputs to partitions of their own choice: no order per key is promised.
        self.observe(ClientEvent::from(TransactionEvent::Transformed {
            producer,
            txn,
            group,
            partition,
            offset,
            value,
            key: None,
            outputs,
        }));
    }

    /// Offsets are about to be sent in the transaction.
    pub fn sending_offsets(&self, group: &GroupMetadata, offsets: Vec<(TopicPartition, Offset)>) {
        let log = self.log.lock();
        self.observe(log.recorder.sending_offsets(&group.group, group.generation, offsets));
    }

    /// The outcome of that.
    pub fn sent_offsets(&self, group: &str, told: &Result<(), TransactionError>) {
        let outcome = match told {
            Ok(()) => Outcome::Ok { offset: None },
            Err(error) => Outcome::Unknown { error: error.name().into() },
        };
        let log = self.log.lock();
        self.observe(log.recorder.sent_offsets(group, outcome));
    }

    /// The program asks for a commit or an abort. `None` if there is nothing to be asked for.
    pub fn asks(self: &Arc<Self>, commit: bool) -> Option<Asked> {
        let log = self.log.lock();
        if !log.open {
            return None;
        }
        self.observe(log.recorder.ending(commit));
        Some(Asked { of: Arc::clone(self), commit, is_told: false })
    }

    fn ended(&self, outcome: Ended, open: bool) {
        let mut log = self.log.lock();
        log.open = open;
        self.observe(log.recorder.ended(outcome));
    }

    fn observe(&self, event: ClientEvent) {
        self.world.observe(event);
    }
}

/// A question for the outcome of a transaction. A program that drops the call learns none.
pub(super) struct Asked {
    of: Arc<Transactions>,
    commit: bool,
    is_told: bool,
}

impl Asked {
    /// The answer. After an error the program may ask again, if that can help.
    pub fn told(mut self, told: &Result<(), TransactionError>) {
        self.is_told = true;
        let (ended, open) = match told {
            Ok(()) if self.commit => (Ended::Committed, false),
            Ok(()) => (Ended::Aborted, false),
            Err(error) => {
                let name = error.name().into();
                let ended = match error.is_fenced() {
                    true => Ended::Fenced { error: name },
                    false => Ended::Unknown { error: name },
                };
                let again = error.is_retriable() || error.is_abortable();
                (ended, again || error.class == ErrorClass::Misuse)
            }
        };
        self.of.ended(ended, open);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_told {
            self.of.ended(Ended::Unknown { error: "the call was dropped".into() }, true);
        }
    }
}
