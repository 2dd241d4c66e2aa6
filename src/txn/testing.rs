//! A small shell for the coordinator on a log in memory, and partitions that write markers when a
//! test says so.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::sync::mpsc;

use super::record::Record;
use super::{
    AddRequest, Asked, Decision, Effect, EndRequest, Ended, InitRequest, Initialised, Markers,
    Outcome, Outgoing, SoftEffect, Transaction, TransactionState, TransactionVersion, Transactions,
    TxnCoordinator, TxnSettings, Verified,
};
use crate::base::{
    Flaw, Flaws, Instant, LeaderEpoch, ProducerEpoch, ProducerId, Timestamp, TopicPartition,
};
use crate::decide::on_log::OnLog;
use crate::decide::{KeyValue, LogRecord, Machine};
use crate::wire::ErrorCode;

/// The transactional id of most tests.
pub(crate) const ID: &str = "transfers";

/// The coordinator's partition of `__transaction_state`.
const PARTITION: i32 = 3;

/// The timeout that producers of the tests ask for, in seconds.
pub(crate) const TIMEOUT: u64 = 60;

pub(crate) type Producer = (ProducerId, ProducerEpoch);

pub(crate) fn producer(id: i64, epoch: i16) -> Producer {
    (ProducerId(id), ProducerEpoch(epoch))
}

pub(crate) fn partitions<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<TopicPartition> {
    let parse = |name: &str| TopicPartition::from_directory(name).unwrap();
    names.into_iter().map(parse).collect()
}

/// A coordinator on its log.
pub(crate) struct Shell {
    on_log: OnLog<TxnCoordinator>,
    settings: TxnSettings,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    received: mpsc::UnboundedReceiver<Outgoing>,
    epoch: LeaderEpoch,
    /// The next producer id that the shell brings.
    pub(crate) next_producer: i64,
    /// Whether producer ids can be had.
    pub(crate) has_producers: bool,
    /// The coordinator waits for a producer id.
    waits_for_producer: bool,
    /// Markers that were to be sent, and are not written yet.
    pub(crate) markers: Vec<Markers>,
}

impl Deref for Shell {
    type Target = OnLog<TxnCoordinator>;

    fn deref(&self) -> &Self::Target {
        &self.on_log
    }
}

impl DerefMut for Shell {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.on_log
    }
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self::with(TxnSettings::default())
    }

    pub(crate) fn flawed(flaw: Flaw) -> Self {
        Self::with(TxnSettings { flaws: Flaws::only(flaw), ..TxnSettings::default() })
    }

    pub(crate) fn at(version: TransactionVersion) -> Self {
        Self::with(TxnSettings { version, ..TxnSettings::default() })
    }

    pub(crate) fn with(settings: TxnSettings) -> Self {
        let (outgoing, received) = mpsc::unbounded_channel();
        let epoch = LeaderEpoch(0);
        let machine = TxnCoordinator::new((PARTITION, epoch), settings.clone(), outgoing.clone());
        let mut shell = Self {
            on_log: OnLog::new(machine, Instant::from_secs(1000)),
            settings,
            outgoing,
            received,
            epoch,
            next_producer: 1000,
            has_producers: true,
            waits_for_producer: false,
            markers: Vec::new(),
        };
        shell.pass(Duration::ZERO);
        shell
    }

    pub(crate) fn speculative(&self) -> &Transactions {
        self.machine().state()
    }

    /// Decides; the answer is none if the append was refused.
    pub(crate) fn decide<T>(
        &mut self,
        handler: impl FnOnce(&TxnCoordinator, Instant, Timestamp) -> Decision<T>,
    ) -> Option<T> {
        let answer = self.on_log.decide(handler);
        self.receive();
        answer
    }

    /// The same, with a producer id if the answer takes one.
    pub(crate) fn ask<T>(
        &mut self,
        handler: impl Fn(&TxnCoordinator, Instant, Timestamp, Option<ProducerId>) -> Decision<Asked<T>>,
    ) -> Result<T, ErrorCode> {
        let refused = Err(ErrorCode::CoordinatorNotAvailable);
        let Some(asked) = self.decide(|machine, now, wall| handler(machine, now, wall, None))
        else {
            return refused;
        };
        if let Some(answer) = asked {
            return answer;
        }
        if !self.has_producers {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let fresh = self.fresh();
        let again = self.decide(|machine, now, wall| handler(machine, now, wall, Some(fresh)));
        again.map_or(refused, |asked| asked.expect("it has a producer id now"))
    }

    fn fresh(&mut self) -> ProducerId {
        self.next_producer += 1;
        ProducerId(self.next_producer - 1)
    }

    /// Commits the log up to here.
    pub(crate) fn commit(&mut self, end: usize) {
        self.on_log.commit(end);
        self.receive();
    }

    /// Commits everything.
    pub(crate) fn commit_all(&mut self) {
        self.commit(self.log.len());
    }

    /// Takes what the coordinator asks of the shell.
    fn receive(&mut self) {
        while let Ok(outgoing) = self.received.try_recv() {
            match outgoing {
                Outgoing::Markers(markers) => {
                    let stored = self.committed().stored(markers.id.as_str()).unwrap();
                    assert_eq!(
                        (stored.state.pending(), stored.producer, stored.epoch),
                        (Some(markers.outcome), markers.producer, markers.epoch),
                        "markers are sent for a committed outcome only"
                    );
                    self.markers.push(markers);
                }
                Outgoing::Resigned { partition, epoch } => {
                    assert_eq!((partition, epoch), (PARTITION, self.epoch));
                }
                Outgoing::NeedsProducerId { partition, epoch } => {
                    assert_eq!((partition, epoch), (PARTITION, self.epoch));
                    self.waits_for_producer = true;
                }
            }
        }
        if self.has_producers && std::mem::take(&mut self.waits_for_producer) {
            let fresh = self.fresh();
            self.affect(SoftEffect::ProducerId(fresh));
        }
    }

    /// Whether producer ids can be had, from now on.
    pub(crate) fn set_producers(&mut self, has: bool) {
        self.has_producers = has;
        self.receive();
    }

    fn affect(&mut self, effect: SoftEffect) {
        self.on_log.affect(Effect::Soft(effect));
    }

    /// The partitions have written these markers.
    pub(crate) fn written(&mut self, markers: &Markers, partitions: &BTreeSet<TopicPartition>) {
        self.affect(SoftEffect::Written {
            coordinator: markers.coordinator,
            id: markers.id.clone(),
            producer: (markers.producer, markers.epoch),
            partitions: partitions.iter().cloned().collect(),
        });
        self.pass(Duration::ZERO);
    }

    /// All partitions write all markers.
    pub(crate) fn write_markers(&mut self) {
        for markers in std::mem::take(&mut self.markers) {
            self.written(&markers, &markers.partitions.clone());
        }
    }

    /// Time passes; every deadline is kept.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut decisions = 0;
        while self.reach_deadline(end) {
            if self.decide(|machine, now, wall| machine.expire(now, wall)).is_none() {
                break;
            }
            decisions += 1;
            assert!(decisions < 10_000, "deadlines do not move");
        }
        self.now = end;
    }

    pub(crate) fn pass_secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Another coordinator takes over with the first `kept` records of the log. What it is to do at
    /// once follows with [`Shell::pass`].
    pub(crate) fn elect(&mut self, kept: usize) {
        self.epoch = LeaderEpoch(self.epoch.0 + 1);
        self.markers.clear();
        self.waits_for_producer = false;
        let at = (PARTITION, self.epoch);
        let machine = TxnCoordinator::new(at, self.settings.clone(), self.outgoing.clone());
        let committed = self.committed_end();
        self.on_log.elect(machine, kept, committed);
    }

    /// The same, and it has begun.
    pub(crate) fn fail_over(&mut self, kept: usize) {
        self.elect(kept);
        self.pass(Duration::ZERO);
    }

    /// Adds the record of another writer to the log, which a failover loads.
    pub(crate) fn inject(&mut self, bytes: KeyValue) {
        self.on_log.inject(Record::decode(bytes).unwrap());
        self.fail_over(self.log.len());
    }

    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut TxnSettings)) {
        change(&mut self.settings);
        let settings = Box::new(self.settings.clone());
        self.on_log.affect(Effect::Settings(settings));
    }

    // Requests, as a well-meaning client of version 2 would send them.

    pub(crate) fn init_as(&mut self, request: InitRequest<'_>) -> Result<Initialised, ErrorCode> {
        self.ask(|machine, now, wall, fresh| machine.init(now, wall, request, fresh))
    }

    pub(crate) fn init(&mut self, expected: Option<Producer>) -> Result<Initialised, ErrorCode> {
        self.init_as(InitRequest { expected, ..init() })
    }

    pub(crate) fn add(&mut self, producer: Producer, names: &[&str]) -> ErrorCode {
        self.add_in(TransactionVersion::V2, producer, names)
    }

    pub(crate) fn add_in(
        &mut self,
        version: TransactionVersion,
        producer: Producer,
        names: &[&str],
    ) -> ErrorCode {
        let partitions = &partitions(names.iter().copied());
        let request = AddRequest { id: ID, producer, partitions, version };
        let added = self.decide(|machine, now, wall| machine.add_partitions(now, wall, request));
        added.unwrap_or(ErrorCode::CoordinatorNotAvailable)
    }

    pub(crate) fn verify(&mut self, producer: Producer, names: &[&str]) -> Verified {
        let partitions = &partitions(names.iter().copied());
        let version = TransactionVersion::V0;
        let request = AddRequest { id: ID, producer, partitions, version };
        self.decide(|machine, _, _| machine.verify_partitions(request)).unwrap()
    }

    pub(crate) fn end(&mut self, producer: Producer, outcome: Outcome) -> Result<Ended, ErrorCode> {
        self.end_in(TransactionVersion::V2, producer, outcome)
    }

    pub(crate) fn end_in(
        &mut self,
        version: TransactionVersion,
        producer: Producer,
        outcome: Outcome,
    ) -> Result<Ended, ErrorCode> {
        let request = EndRequest { id: ID, producer, outcome, version };
        self.ask(|machine, now, wall, fresh| machine.end(now, wall, request, fresh))
    }

    /// The committed state of the id.
    #[track_caller]
    pub(crate) fn state(&self) -> TransactionState {
        self.stored().state
    }

    #[track_caller]
    pub(crate) fn stored(&self) -> &Transaction {
        self.committed().stored(ID).unwrap()
    }

    /// Stores the id as if a coordinator had, and fails over.
    pub(crate) fn begin_with(&mut self, transaction: Transaction) {
        let record = Record::stored(ID.into(), TransactionVersion::V2, transaction);
        self.inject(record.encode());
    }
}

pub(crate) fn init() -> InitRequest<'static> {
    InitRequest {
        id: ID,
        timeout_ms: TIMEOUT as i32 * 1000,
        expected: None,
        two_phase: false,
        keep_prepared: false,
    }
}
