//! The batches of one partition: gathered, sent, judged.

use std::collections::VecDeque;

use super::ProducerRecord;
use super::availability::Availability;
use super::batch::{Batch, Number};
use super::delivery::{Delivery, Settled};
use super::identity::Identity;
use super::memory::Memory;
use super::metrics::{Leaving, Measured};
use super::outcome::{Fate, Sent};
use super::partitioner::Partitioner;
use super::ratio::Ratios;
use super::sequences::Sequences;
use crate::base::config::{Compression, ProducerConfig};
use crate::base::{Flaw, Flaws, Instant, LeaderEpoch, Timestamp, TopicPartition};
use crate::client::ProduceCause;
use crate::client::kernel::{Kernel, RequestId};
use crate::wire::ErrorCode;
use crate::wire::batch::BatchBuilder;
use crate::wire::messages::message;
use crate::wire::messages::produce_request::PartitionProduceData;

/// What a partition uses of the producer that it belongs to.
pub(super) struct Tools<'a> {
    pub(super) config: &'a ProducerConfig,
    pub(super) flaws: Flaws,
    pub(super) kernel: &'a mut Kernel,
    pub(super) identity: &'a mut Identity,
    pub(super) memory: &'a mut Memory,
    pub(super) metrics: &'a mut Measured,
    pub(super) ratios: &'a mut Ratios,
    pub(super) availability: &'a Availability,
    pub(super) partitioner: &'a mut Option<Box<dyn Partitioner>>,
}

/// A record that is to get into a batch.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    pub(super) now: Instant,
    pub(super) timestamp: Timestamp,
    pub(super) record: &'a ProducerRecord,
    /// See [`upper_bound`](super::record::upper_bound).
    pub(super) most: usize,
}

/// Whether a batch of a partition may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// A batch is due.
    Ready(Next),
    /// A batch may go along with others, and goes by itself at this time.
    Lingers(Instant),
    NotBefore(Instant),
    /// Not before something else happens.
    Blocked,
}

/// Which batch is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// One that was sent before, by its place.
    Again(usize),
    /// The first of those never sent.
    Fresh,
}

/// One partition that records were sent to.
#[derive(Debug)]
pub(super) struct Partition {
    name: TopicPartition,
    /// Sent at least once, and not yet judged; in the order in which they were first sent.
    sent: VecDeque<Batch>,
    /// Never sent. Records are added to the last.
    fresh: VecDeque<Batch>,
    sequences: Sequences,
}

impl Partition {
    pub(super) fn new(name: TopicPartition) -> Self {
        let (sent, fresh) = (VecDeque::new(), VecDeque::new());
        Self { name, sent, fresh, sequences: Sequences::new() }
    }

    pub(super) fn name(&self) -> &TopicPartition {
        &self.name
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.fresh.is_empty()
    }

    fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.sent.iter().chain(&self.fresh)
    }

    fn has_outstanding(&self) -> bool {
        self.sent.iter().any(Batch::is_outstanding)
    }

    /// Bytes of `buffer.memory` that its batches take.
    pub(super) fn memory(&self) -> u64 {
        self.batches().map(Batch::memory).sum()
    }

    /// Batches whose request has no answer yet.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = RequestId> {
        self.sent.iter().filter_map(Batch::outstanding)
    }

    pub(super) fn settled(&self) -> impl Iterator<Item = Settled> {
        self.batches().map(Batch::settled)
    }

    /// Whether no batch takes another record.
    pub(super) fn is_full(&self) -> bool {
        self.fresh.back().is_none_or(Batch::is_full)
    }

    /// Batches that wait to be sent.
    pub(super) fn queued(&self) -> usize {
        let again = self.sent.iter().filter(|batch| !batch.is_outstanding());
        self.fresh.len() + again.count()
    }

    /// Adds a record to the last batch, or closes that if it has no room. A batch smaller than `limit`
    /// may take up to `spare` bytes more memory. Returns the record's verdict to come, the bytes by
    /// which the batch grew, and the memory that it took.
    pub(super) fn try_add(
        &mut self,
        offer: &Offer<'_>,
        spare: u64,
        limit: u64,
    ) -> Option<(Delivery, usize, u64)> {
        let last = self.fresh.back_mut()?;
        let before = last.memory();
        let room = before.max(limit.min(before + spare));
        let added = last.try_append(offer.timestamp, offer.record, offer.most, room);
        match added {
            Some((delivery, grown)) => Some((delivery, grown, last.memory() - before)),
            None => {
                last.close();
                None
            }
        }
    }

    /// Adds a record to a new batch, which takes so much memory. Returns the record's verdict to come,
    /// and the bytes of the batch.
    pub(super) fn add_batch(
        &mut self,
        offer: &Offer<'_>,
        memory: u64,
        (config, ratios): (&ProducerConfig, &Ratios),
    ) -> (Delivery, usize) {
        let mut builder = BatchBuilder::new(config.compression, offer.timestamp)
            .at_level(config.compression_level());
        if config.is_transactional() {
            builder = builder.transactional();
        }
        let mut batch = Batch::new(builder, offer.now, memory);
        if config.compression != Compression::None {
            batch = batch.expecting(ratios.estimate(&self.name.topic));
        }
        let added = batch.try_append(offer.timestamp, offer.record, offer.most, memory);
        self.fresh.push_back(batch);
        let Some(added) = added else { unreachable!("the first record always fits") };
        added
    }

    /// Whether a batch may leave, to a leader of this epoch. `urgent`: nothing lingers.
    pub(super) fn readiness(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        urgent: bool,
        tools: &mut Tools<'_>,
    ) -> Readiness {
        let config = tools.config;
        // Numbered batches, and those of a producer that has only one request in flight, are sent
        // again one by one from the first on; others in any order (Kafka's `RecordAccumulator`).
        let in_order = tools.identity.is_idempotent() || config.max_in_flight == 1;
        let waiting = self.sent.iter().position(|batch| !batch.is_outstanding());
        if let Some(place) = waiting {
            if in_order && place > 0 {
                return Readiness::Blocked;
            }
            return match self.sent[place].again_at(epoch) {
                time if time > now => Readiness::NotBefore(time),
                _ => Readiness::Ready(Next::Again(place)),
            };
        }
        let Some(first) = self.fresh.front() else { return Readiness::Blocked };
        let lingers = first.created() + config.linger;
        let is_due = first.is_full() || self.fresh.len() > 1 || now >= lingers || urgent;
        if config.max_in_flight == 1 && self.has_outstanding() {
            return Readiness::Blocked;
        }
        if !self.may_number(tools.identity) {
            return Readiness::Blocked;
        }
        if is_due { Readiness::Ready(Next::Fresh) } else { Readiness::Lingers(lingers) }
    }

    /// Whether a batch that was never sent may get a number now.
    fn may_number(&self, identity: &mut Identity) -> bool {
        if !identity.is_idempotent() {
            return true;
        }
        let current = identity.require();
        let may_number = |current| self.sequences.may_number(current, self.sent.len());
        current.is_some_and(may_number) && identity.admits(&self.name)
    }

    /// The size of the next batch.
    pub(super) fn size(&self, next: Next) -> usize {
        let batch = match next {
            Next::Again(place) => self.sent.get(place),
            Next::Fresh => self.fresh.front(),
        };
        batch.map_or(0, Batch::size)
    }

    /// Makes the next batch part of a request to a leader of this epoch; `None`: it may not leave, as
    /// another partition raised the producer's epoch since it was found ready.
    pub(super) fn begin_attempt(
        &mut self,
        now: Instant,
        request: RequestId,
        next: Next,
        epoch: LeaderEpoch,
        (identity, metrics, ratios): (&mut Identity, &mut Measured, &mut Ratios),
    ) -> Option<(Number, i32, PartitionProduceData)> {
        let place = match next {
            Next::Again(place) => place,
            Next::Fresh if !self.may_number(identity) => return None,
            Next::Fresh => {
                let mut batch = self.fresh.pop_front()?;
                batch.seal(match identity.current() {
                    Some(current) => self.sequences.number(current, batch.count()),
                    None => Number::NONE,
                });
                if let Some(ratio) = batch.observed() {
                    ratios.observed(&self.name.topic, ratio);
                }
                self.sent.push_back(batch);
                self.sent.len() - 1
            }
        };
        let batch = self.sent.get_mut(place)?;
        batch.begin_attempt(request, epoch);
        identity.leaves(&self.name);
        metrics.leaves(
            now,
            &self.name.topic,
            Leaving {
                size: batch.size(),
                records: batch.count().unsigned_abs().into(),
                waited: now.since(batch.created()),
                compression_rate: batch.ratio().as_f64(),
                largest_record: batch.largest_record(),
            },
        );
        let data = message!(PartitionProduceData {
            index: self.name.partition,
            records: Some(batch.bytes()),
        });
        Some((batch.number(), batch.count(), data))
    }

    /// Decides what becomes of a batch that was in a request.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        request: RequestId,
        sent: &Sent,
        fate: Fate,
        tools: &mut Tools<'_>,
    ) {
        let mut places = self.sent.iter();
        let place = places.position(|batch| batch.outstanding() == Some(request));
        if let Fate::Stored { base, append_time } = fate {
            self.sequences.acknowledge(sent.number, sent.count);
            if let Some(batch) = place.and_then(|place| self.sent.remove(place)) {
                tools.identity.stored();
                tools.memory.release(batch.stored(self.name.clone(), base, append_time));
            }
            return;
        }
        // It was given up since.
        let Some(place) = place else { return };
        let batch = &mut self.sent[place];
        let certain_before = !batch.may_be_stored();
        let mut left = true;
        let retriable = match fate {
            Fate::Stored { .. } => return,
            Fate::Unsupported => {
                batch.attempt_failed(ProduceCause::UnsupportedVersion, false);
                false
            }
            Fate::Lost { may_have_reached: false } => {
                batch.never_left();
                left = false;
                true
            }
            Fate::Lost { may_have_reached: true } => {
                batch.attempt_failed(ProduceCause::Disconnected, true);
                true
            }
            Fate::Refused { error, before_append } => {
                batch.attempt_failed(ProduceCause::Broker(error), !before_append);
                if error == ErrorCode::MessageTooLarge && certain_before && batch.count() > 1 {
                    return self.split(now, place, tools);
                }
                self.may_retry(place, error, tools.identity)
            }
        };
        let batch = &mut self.sent[place];
        let retries = u32::try_from(tools.config.retries).unwrap_or(0);
        if retriable && batch.attempts() <= retries {
            let pause = tools.kernel.pause(batch.next_failure());
            batch.wait_until(now + pause);
            if left {
                tools.metrics.retries(now, &self.name.topic, batch.count());
            }
        } else {
            self.give_up(now, place, tools);
        }
    }

    /// Whether a refused batch may be sent again. Where a broker misses a number, it may if that
    /// number is still to come, or if all can be renumbered.
    fn may_retry(&mut self, place: usize, error: ErrorCode, identity: &Identity) -> bool {
        let misses_number =
            matches!(error, ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId);
        if !identity.is_idempotent() || !misses_number {
            return error.is_retriable();
        }
        let number_may_come = place > 0 && error == ErrorCode::OutOfOrderSequenceNumber;
        if !number_may_come {
            self.sequences.set_broken();
        }
        // One that may be stored under its number must not get another: it could be stored twice. In
        // a transaction there is no other before the abort.
        number_may_come || !(identity.is_transactional() || self.sent[place].may_be_stored())
    }

    /// Fails a batch that has no attempt under way any more.
    fn give_up(&mut self, now: Instant, place: usize, tools: &mut Tools<'_>) {
        let Some(mut batch) = self.sent.remove(place) else { return };
        batch.wait_until(Instant::NEVER);
        self.sequences.lost(&batch);
        tools.identity.record_failed(&self.name, batch.last_problem(), true);
        tools.metrics.fails(now, &self.name.topic, batch.count());
        tools.memory.release(batch.give_up());
    }

    /// Cuts a batch that is too large for its topic, and sends the parts under its numbers.
    fn split(&mut self, now: Instant, place: usize, tools: &mut Tools<'_>) {
        let Some(mut batch) = self.sent.remove(place) else { return };
        batch.wait_until(Instant::START);
        if let Some(ratio) = batch.observed() {
            tools.ratios.too_large(&self.name.topic, ratio);
        }
        match batch.split(tools.config.batch_size) {
            Ok(parts) => {
                tools.metrics.splits(now);
                for (nth, part) in parts.into_iter().enumerate() {
                    self.sent.insert(place + nth, part);
                }
            }
            Err(whole) => {
                self.sent.insert(place, *whole);
                self.give_up(now, place, tools);
            }
        }
    }

    /// Fails the batches that have waited for too long. Returns when the next one has.
    pub(super) fn expire(&mut self, now: Instant, tools: &mut Tools<'_>) -> Instant {
        while let Some(first) = self.sent.front().or(self.fresh.front()) {
            let expires = first.created() + tools.config.gives_up_after();
            if expires > now {
                return expires;
            }
            let expired = match self.sent.pop_front() {
                Some(batch) => {
                    self.sequences.lost(&batch);
                    Some((batch, true))
                }
                None => self.fresh.pop_front().map(|batch| (batch, false)),
            };
            if let Some((batch, numbered)) = expired {
                tools.identity.record_failed(&self.name, ProduceCause::TimedOut, numbered);
                tools.metrics.fails(now, &self.name.topic, batch.count());
                tools.memory.release(batch.abandon(ProduceCause::TimedOut));
            }
        }
        Instant::NEVER
    }

    /// Settles what is open about the numbers, as far as that is possible now. Returns whether
    /// batches that have a number may be sent.
    pub(super) fn settle_numbers(&mut self, now: Instant, tools: &mut Tools<'_>) -> bool {
        if !tools.identity.is_idempotent() {
            return true;
        }
        if tools.flaws.has(Flaw::ResetAllSequences) {
            self.reset_sequences(tools.identity);
        }
        if self.sent.is_empty() {
            self.sequences.resolve();
        }
        if !self.sequences.is_broken() {
            return true;
        }
        if self.has_outstanding() {
            return false;
        }
        if tools.identity.is_transactional() {
            return self.settle_in_transaction(now, tools);
        }
        if tools.identity.current() == Some(self.sequences.owner()) {
            tools.identity.raise();
        }
        let Some(identity) = tools.identity.require() else { return false };
        // Numbers the batches that were never stored from 0, and gives up the others.
        self.sequences = Sequences::of(identity);
        for mut batch in std::mem::take(&mut self.sent) {
            // Kafka's producer renumbers all.
            let renumbers_all = tools.flaws.has(Flaw::OneBatchWindow);
            if batch.may_be_stored() && !renumbers_all {
                tools.metrics.fails(now, &self.name.topic, batch.count());
                tools.memory.release(batch.give_up());
                continue;
            }
            batch.seal(self.sequences.number(identity, batch.count()));
            self.sent.push_back(batch);
        }
        true
    }

    /// What a flawed producer does once its epoch was raised because of any partition.
    fn reset_sequences(&mut self, identity: &Identity) {
        let owner = self.sequences.owner();
        let Some(current) = identity.current().filter(|_| owner != Sequences::new().owner()) else {
            return;
        };
        if owner != current {
            self.sequences.start_over(current);
        }
        for batch in self.sent.iter_mut().filter(|batch| !batch.is_outstanding()) {
            if !self.sequences.is_ours(batch.number()) {
                batch.seal(self.sequences.number(current, batch.count()));
            }
        }
    }

    /// The same in a transaction, which can only be aborted: batches that have a number fail, and the
    /// next epoch begins with 0. Returns whether that is the case.
    fn settle_in_transaction(&mut self, now: Instant, tools: &mut Tools<'_>) -> bool {
        if tools.identity.current() == Some(self.sequences.owner())
            && let Some(transactions) = tools.identity.transactions_mut()
        {
            transactions.numbers_broken(&self.name);
        }
        for batch in std::mem::take(&mut self.sent) {
            tools.metrics.fails(now, &self.name.topic, batch.count());
            tools.memory.release(batch.give_up());
        }
        match tools.identity.current() {
            Some(current) if current != self.sequences.owner() => {
                self.sequences = Sequences::of(current);
                true
            }
            _ => false,
        }
    }

    /// Fails what was never sent: its transaction is aborted.
    pub(super) fn drop_fresh(&mut self, now: Instant, cause: ProduceCause, tools: &mut Tools<'_>) {
        for batch in std::mem::take(&mut self.fresh) {
            tools.metrics.fails(now, &self.name.topic, batch.count());
            tools.memory.release(batch.abandon(cause));
        }
    }

    /// Fails everything: the producer can't go on.
    pub(super) fn drop_all(&mut self, now: Instant, cause: ProduceCause, tools: &mut Tools<'_>) {
        for batch in std::mem::take(&mut self.sent) {
            self.sequences.lost(&batch);
            tools.metrics.fails(now, &self.name.topic, batch.count());
            tools.memory.release(batch.abandon(cause));
        }
        self.drop_fresh(now, cause, tools);
    }

    /// Fails everything at once.
    pub(super) fn abandon(&mut self, cause: ProduceCause) {
        for batch in self.sent.drain(..).chain(self.fresh.drain(..)) {
            batch.abandon(cause);
        }
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self, config: &ProducerConfig) {
        let Self { name, sent, .. } = self;
        for batch in sent {
            batch.check(true);
        }
        for batch in &self.fresh {
            batch.check(false);
        }
        let closed = self.fresh.iter().rev().skip(1).all(Batch::is_full);
        assert!(closed, "{name} has an open batch before its last one");
        self.sequences.check(sent);
        let outstanding = self.outstanding().count();
        let most = match (config.max_in_flight, config.idempotent()) {
            (1, _) => 1,
            (_, true) => Sequences::WINDOW,
            (_, false) => usize::MAX,
        };
        assert!(outstanding <= most, "{outstanding} batches of {name} in flight, at most {most}");
    }
}
