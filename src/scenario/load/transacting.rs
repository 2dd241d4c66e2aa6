//! A transactional producer that records what it does beside itself. One without a transactional id
//! sends the same way, outside transactions.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{SharedSignals, Signals};
use crate::base::config::ProducerConfig;
use crate::base::{Flaws, Instant, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::client::{
    CommittedOffset, GroupMetadata, ProduceError, Producer, ProducerRecord, RecordMetadata,
    TransactionError,
};
use crate::sim::{
    ClientEvent, Ended, Outcome, ProducerEvent, SimWorld, TransactionEvent, TransactionRecorder,
};

/// Pause before a call that failed is made again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a producer that is to stop tries to learn the outcome of its transaction.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client's processes have done so far: one that was killed is followed by another.
#[derive(Debug)]
pub(super) struct Past {
    /// How many there were.
    pub processes: u64,
    /// The number of the next record.
    next: u64,
    log: TransactionRecorder,
}

/// A handle on it.
pub(super) type SharedPast = Arc<Mutex<Past>>;

impl Past {
    /// Of the producer with this number.
    pub fn of(producer: u32) -> SharedPast {
        Arc::new(Mutex::new(Self {
            processes: 0,
            next: 0,
            log: TransactionRecorder::new(producer),
        }))
    }
}

/// What a producer needs to know.
#[derive(Clone)]
pub(super) struct Desk {
    pub number: u32,
    pub config: ProducerConfig,
    pub flaws: Flaws,
    pub past: SharedPast,
    pub signals: SharedSignals,
    /// Whether it is to stop.
    pub stops: fn(&Signals) -> bool,
}

impl Desk {
    pub fn stops(&self) -> bool {
        (self.stops)(&self.signals.lock())
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Committed,
    Aborted,
    /// The producer can't go on; the transaction may be committed if that was asked for.
    Over(TransactionError),
}

/// A record of which another is made.
pub(super) struct Input {
    pub partition: TopicPartition,
    pub offset: Offset,
    /// Its unique value.
    pub value: u64,
    /// Outputs of one key are in one partition, in the order of their inputs.
    pub key: u64,
}

/// A producer that has its id.
pub(super) struct Transacting<W: SimWorld> {
    world: W,
    desk: Desk,
    producer: Producer<W>,
    identity: Option<(ProducerId, ProducerEpoch)>,
    /// Records that may not be stored, since the last look.
    failures: Arc<Mutex<u64>>,
}

impl<W: SimWorld> Transacting<W> {
    /// Starts a producer and waits for its id, if it is transactional. `None` if it does not get one, or
    /// is to stop.
    pub async fn start(world: &W, desk: &Desk) -> Option<Self> {
        let config = desk.config.clone();
        let producer = Producer::start_flawed(world.clone(), config, desk.flaws).ok()?;
        while !desk.config.transactional_id.is_empty() {
            match producer.init_transactions().await {
                Ok(()) => break,
                Err(error) if error.is_retriable() && !desk.stops() => {
                    world.sleep_until(world.now() + PAUSE).await;
                }
                Err(_) => {
                    producer.close(Duration::ZERO).await;
                    return None;
                }
            }
        }
        let is_transactional = !desk.config.transactional_id.is_empty();
        let identity = producer.identity().filter(|_| is_transactional);
        if let Some((id, epoch)) = identity {
            let name = desk.config.transactional_id.as_str().into();
            world.observe(desk.past.lock().log.identified(Some(name), id, epoch));
        }
        let (world, desk) = (world.clone(), desk.clone());
        Some(Self { world, desk, producer, identity, failures: Arc::default() })
    }

    /// The value of the next record.
    pub fn value(&self) -> u64 {
        u64::from(self.desk.number) << 40 | self.desk.past.lock().next
    }

    /// Begins a transaction; returns whether that was possible.
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        self.look_at_identity();
        self.observe(|log| log.begin());
        self.producer.begin_transaction().inspect_err(|error| {
            self.observe(|log| log.ended(fate_of(error)));
        })
    }

    /// Sends the record that is made of an input.
    pub async fn transform(&self, group: &str, input: Input, record: ProducerRecord) {
        let Input { partition, offset, value, key } = input;
        let (producer, outputs) = (self.desk.number, vec![self.value()]);
        let txn = self.desk.past.lock().log.current();
        let (group, key) = (group.into(), Some(key));
        let made = TransactionEvent::Transformed {
            producer,
            txn,
            group,
            partition,
            offset,
            value,
            key,
            outputs,
        };
        self.world.observe(ClientEvent::from(made));
        self.send(record).await;
    }

    /// Sends a record with [`Self::value`], to the partition that it names.
    pub async fn send(&self, record: ProducerRecord) {
        let value = self.value();
        let (op, txn) = {
            let mut past = self.desk.past.lock();
            past.next += 1;
            (past.next - 1, past.log.current())
        };
        let producer = self.desk.number;
        let partition = record.partition.unwrap_or_default();
        self.world.observe(ProducerEvent::Sent {
            producer,
            op,
            partition: TopicPartition::new(record.topic.clone(), partition),
            value,
            acks: self.desk.config.acks,
            idempotent: self.desk.config.idempotent(),
            txn,
        });
        let delivery = self.producer.send(record).await;
        let (told, failures) = (self.world.clone(), Arc::clone(&self.failures));
        delivery.on_completion(move |outcome| {
            if outcome.is_err() {
                *failures.lock() += 1;
            }
            told.observe(ProducerEvent::Told { producer, op, outcome: outcome_of(outcome) });
        });
    }

    /// The number of records that may not be stored, since the last call.
    pub fn take_failures(&self) -> u64 {
        std::mem::take(&mut *self.failures.lock())
    }

    /// Waits until all records have an outcome.
    pub async fn flush(&self) {
        self.producer.flush().await;
    }

    /// Sends offsets in the transaction; returns whether they are part of it.
    pub async fn send_offsets(
        &self,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        group: GroupMetadata,
    ) -> bool {
        let (name, generation) = (group.group.clone(), group.generation);
        let at: Vec<(TopicPartition, Offset)> =
            offsets.iter().map(|(partition, at)| (partition.clone(), at.offset)).collect();
        self.observe(|log| log.sending_offsets(&name, generation, at));
        let told = self.producer.send_offsets_to_transaction(offsets, group).await;
        let outcome = match &told {
            Ok(()) => Outcome::Ok { offset: None },
            Err(error) => Outcome::Unknown { error: error.name().into() },
        };
        self.observe(|log| log.sent_offsets(&name, outcome));
        told.is_ok()
    }

    /// Commits or aborts the transaction. One that can't be committed is aborted.
    pub async fn end(&mut self, commit: bool) -> Fate {
        self.observe(|log| log.ending(commit));
        let mut told = self.ask(commit).await;
        let mut commits = commit;
        if commit && told.as_ref().is_err_and(TransactionError::is_abortable) {
            self.observe(|log| log.ending(false));
            commits = false;
            told = self.ask(false).await;
        }
        let (ended, fate) = match told {
            Ok(()) if commits => (Ended::Committed, Fate::Committed),
            Ok(()) => (Ended::Aborted, Fate::Aborted),
            Err(error) => (fate_of(&error), Fate::Over(error)),
        };
        self.observe(|log| log.ended(ended));
        self.look_at_identity();
        fate
    }

    /// Closes the producer. A transaction that is open is left to its successor if `patience` is too
    /// short.
    pub async fn close(self, patience: Duration) {
        self.producer.close(patience).await;
    }

    /// Asks until there is an outcome.
    async fn ask(&self, commit: bool) -> Result<(), TransactionError> {
        let mut until = Instant::NEVER;
        loop {
            let told = match commit {
                true => self.producer.commit_transaction().await,
                false => self.producer.abort_transaction().await,
            };
            if !told.as_ref().is_err_and(TransactionError::is_retriable) {
                return told;
            }
            let now = self.world.now();
            if self.desk.stops() {
                until = until.min(now + PATIENCE);
            }
            if now >= until {
                return told;
            }
            self.world.sleep_until(now + PAUSE).await;
        }
    }

    /// Records that it has another id or epoch than before.
    fn look_at_identity(&mut self) {
        let identity = self.producer.identity();
        if let Some((id, epoch)) = identity.filter(|_| identity != self.identity) {
            self.identity = identity;
            self.observe(|log| log.bumped(id, epoch));
        }
    }

    fn observe(&self, event: impl FnOnce(&mut TransactionRecorder) -> ClientEvent) {
        let event = event(&mut self.desk.past.lock().log);
        self.world.observe(event);
    }
}

/// What a producer that can't go on knows of its transaction.
fn fate_of(error: &TransactionError) -> Ended {
    let name = error.name().into();
    if error.is_fenced() { Ended::Fenced { error: name } } else { Ended::Unknown { error: name } }
}

/// The outcome of a send, as the history has it.
pub(super) fn outcome_of(outcome: Result<RecordMetadata, ProduceError>) -> Outcome {
    match outcome {
        Ok(stored) => Outcome::Ok { offset: stored.offset },
        Err(error) if error.may_be_stored => Outcome::Unknown { error: error.name().into() },
        Err(error) => Outcome::Fail { error: error.name().into() },
    }
}
