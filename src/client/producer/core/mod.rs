//! The producer's decisions, without a clock, a wait or a byte on a wire.
//!
//! Records are gathered per partition, sent when a batch is full or has lingered, numbered so that a
//! broker recognizes a batch that is sent again, and judged when an answer comes.
//!
//! # Calling contract
//!
//! - [`Core::append`] takes a record, or says that `buffer.memory` is exhausted: then the sender
//!   waits for [`Core::wait_for_memory`], and appends with what it was granted. Memory that was
//!   granted and is not used is given back.
//! - If [`Core::deadline`] moves closer by an append, the driver steps at the new deadline.
//! - [`Core::step`] is the only source of effects. Each [`Effect`] is answered by exactly one
//!   [`Input`]; [`Effect::Send`]s to one broker reach its stream in the order of the effects.
//! - [`Core::deadline`] is valid after each step: step with [`Input::Tick`] then at the latest.
//! - After [`Core::close`], the driver steps until [`Core::is_over`].
//! - A transactional call is made on [`Core::transactions`], and followed by a step.

mod intake;
mod transacting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use tokio::sync::oneshot;

pub(in crate::client) use self::intake::{Granted, Taken};
use self::transacting::transactions_of;
use super::accumulator::Accumulator;
use super::availability::Availability;
use super::delivery::Settled;
use super::granted::GrantedId;
use super::identity::Identity;
use super::memory::Memory;
use super::metrics::{Call, Gauges, Measured, PRODUCER};
use super::outcome::{Outcome, Sent, learn_leaders};
use super::partition::{Next, Readiness, Tools};
use super::partitioner::{Partitioner, RoundRobin};
use super::ratio::Ratios;
use super::transactions::{self, Told, Transactions};
use crate::base::config::{ConfigError, PartitionerChoice, ProducerConfig};
use crate::base::{BrokerId, Flaws, Instant, LeaderEpoch, TopicId};
use crate::client::ProduceCause;
use crate::client::kernel::{self, ClientSettings, Kernel, RequestId, Requests};
use crate::client::metrics::{Metrics, Nodes};
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::produce_request::TopicProduceData;
use crate::wire::messages::{ProduceRequest, message};

/// Room in a request for what is not records.
const REQUEST_OVERHEAD: usize = 512;

/// What happened.
#[derive(Debug)]
pub(in crate::client) enum Input {
    /// Time passed, or records were added.
    Tick,
    /// What became of [`Effect::Kernel`].
    Kernel(kernel::Input),
    /// An answer to [`Effect::Identify`].
    Identity { from: Address, answer: Result<GrantedId, ErrorCode>, throttle_ms: i32 },
    /// None came.
    NoIdentity { from: Address },
    /// What became of [`Effect::Send`].
    Produced { request: RequestId, outcome: Outcome },
    /// What became of [`Effect::Transact`].
    Transacted { ticket: u64, answer: transactions::Answer },
}

/// What is to be done.
#[derive(Debug)]
pub(in crate::client) enum Effect {
    /// Ask about the cluster.
    Kernel(kernel::Effect),
    /// Ask a broker for a producer id.
    Identify { ask: Address },
    /// Send records.
    Send(Order),
    /// Ask a coordinator.
    Transact(transactions::Order),
}

/// A request for records.
#[derive(Debug)]
pub(in crate::client) struct Order {
    pub(in crate::client) request: RequestId,
    pub(in crate::client) to: Address,
    pub(in crate::client) message: ProduceRequest,
    /// Whether there are topics whose id is not known, so that names must be sent.
    pub(in crate::client) by_name: bool,
    /// Whether its coordinator was told of the partitions: their leaders must not be (KIP-890).
    pub(in crate::client) explicit: bool,
    pub(in crate::client) deadline: Instant,
}

/// A request under way.
#[derive(Debug)]
struct InFlight {
    sent: Vec<Sent>,
    began: Instant,
}

/// Batches to put into one request: places of partitions, and which batch of each.
type Candidates = Vec<(usize, Next)>;

/// The producer's state machine.
#[derive(Debug)]
pub(in crate::client) struct Core {
    config: ProducerConfig,
    flaws: Flaws,
    kernel: Kernel,
    identity: Identity,
    memory: Memory,
    accumulator: Accumulator,
    requests: Requests<InFlight>,
    metrics: Measured,
    ratios: Ratios,
    availability: Availability,
    /// Instead of the built-in one.
    partitioner: Option<Box<dyn Partitioner>>,
    /// Flushes under way: nothing lingers meanwhile.
    flushing: usize,
    /// Nothing more is accepted, and nothing lingers.
    closing: bool,
    wake: Instant,
}

impl Core {
    pub(in crate::client) fn new(
        config: ProducerConfig,
        now: Instant,
        random: ChaCha12Rng,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let settings = ClientSettings::from(&config);
        let sampling = settings.sampling();
        Ok(Self {
            kernel: settings.kernel(now, random)?,
            identity: Identity::new(config.idempotent(), transactions_of(&config)),
            memory: Memory::new(config.buffer_memory),
            metrics: Measured::new(sampling),
            ratios: Ratios::default(),
            availability: Availability::new(config.availability_timeout),
            partitioner: match config.partitioner {
                PartitionerChoice::BuiltIn => None,
                PartitionerChoice::RoundRobin => Some(Box::new(RoundRobin::default())),
            },
            config,
            flaws: Flaws::default(),
            accumulator: Accumulator::default(),
            requests: Requests::default(),
            flushing: 0,
            closing: false,
            wake: Instant::NEVER,
        })
    }

    /// The same core with these flaws.
    pub(in crate::client) fn with_flaws(self, flaws: Flaws) -> Self {
        Self { flaws, ..self }
    }

    /// The same core with another partitioner than the configuration names.
    pub(in crate::client) fn with_partitioner(self, partitioner: Box<dyn Partitioner>) -> Self {
        Self { partitioner: Some(partitioner), ..self }
    }

    /// The earliest time at which `step` wants [`Input::Tick`], though nothing else happened.
    pub(in crate::client) fn deadline(&self) -> Instant {
        self.wake
    }

    pub(in crate::client) fn step(
        &mut self,
        now: Instant,
        input: Input,
        effects: &mut Vec<Effect>,
    ) {
        match input {
            Input::Tick => {}
            Input::Kernel(input) => self.take_news(now, input),
            Input::Identity { from, answer, throttle_ms } => {
                self.kernel.throttled(now, &from, throttle_ms);
                self.take_identity(now, &from, answer);
            }
            Input::NoIdentity { from } => {
                self.kernel.contact_failed(now, &from);
                self.identity.failed(now, &mut self.kernel);
            }
            Input::Produced { request, outcome } => self.take_outcome(now, request, &outcome),
            Input::Transacted { ticket, answer } => self.take_answer(now, ticket, &answer),
        }
        let (accumulator, mut tools) = self.parts();
        self.wake = accumulator.expire(now, &mut tools);
        self.drop_records(now);
        self.drain(now, effects);
        self.drop_records(now);
        self.transact(now, effects);
        if let Some(ask) = self.identity.begin_due(now, &mut self.kernel) {
            effects.push(Effect::Identify { ask });
        }
        let topics = self.accumulator.topics();
        self.kernel.ask(now, topics, |effect| effects.push(Effect::Kernel(effect)));
        let others = self.identity.deadline().min(self.kernel.deadline());
        self.wake = self.wake.min(others);
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    /// The accumulator, and what it uses of the producer.
    fn parts(&mut self) -> (&mut Accumulator, Tools<'_>) {
        let Self { config, kernel, identity, memory, accumulator, metrics, .. } = self;
        let Self { flaws, availability, partitioner, ratios, .. } = self;
        let tools = Tools {
            config,
            flaws: *flaws,
            kernel,
            identity,
            memory,
            metrics,
            ratios,
            availability,
            partitioner,
        };
        (accumulator, tools)
    }

    /// A record could not be serialized.
    pub(super) fn not_serialized(&mut self, now: Instant) {
        self.metrics.refused(now);
    }

    /// A flush took this long.
    pub(super) fn flushed(&mut self, time: Duration) {
        self.metrics.flushed(time);
    }

    /// A transactional call succeeded after this long.
    pub(super) fn transacted(&mut self, call: Call, time: Duration) {
        self.metrics.transacted(call, time);
    }

    /// `max.block.ms`.
    pub(super) fn max_block(&self) -> Duration {
        self.config.max_block
    }

    /// All metrics now, with those of connections.
    pub(super) fn metrics_with(&self, now: Instant, nodes: &Nodes) -> Metrics {
        let mut metrics = self.metrics(now);
        let groups = (PRODUCER, "producer-node-metrics");
        nodes.write(now, groups, |address| self.kernel.node_id(address), &mut metrics);
        metrics
    }

    /// All metrics now.
    pub(in crate::client) fn metrics(&self, now: Instant) -> Metrics {
        let gauges = Gauges {
            buffer_total: self.memory.limit(),
            buffer_available: self.memory.available(),
            waiting: self.memory.waiting(),
            in_flight: self.requests.iter().count(),
        };
        self.metrics.snapshot(now, gauges)
    }

    /// Lets nothing linger until [`Core::end_flush`]. Returns what has no verdict yet.
    pub(super) fn begin_flush(&mut self) -> Vec<Settled> {
        self.flushing += 1;
        self.accumulator.unsettled()
    }

    pub(super) fn end_flush(&mut self) {
        self.flushing -= 1;
    }

    /// Accepts nothing more, and lets nothing linger. Returns what has no verdict yet, and the abort of
    /// the transaction that was open.
    pub(super) fn close(&mut self) -> (Vec<Settled>, Option<oneshot::Receiver<Told>>) {
        self.closing = true;
        let aborting = self.abort_at_close();
        (self.accumulator.unsettled(), aborting)
    }

    /// Gives up everything at once.
    pub(super) fn abandon(&mut self, cause: ProduceCause) {
        self.closing = true;
        if let Some(transactions) = self.identity.transactions_mut() {
            transactions.abandon();
        }
        self.accumulator.abandon(cause, &mut self.memory);
        self.memory.close();
    }

    /// Whether it is closed, and every record has its verdict.
    pub(super) fn is_over(&self) -> bool {
        let settled = self.identity.transactions().is_none_or(Transactions::is_settled);
        self.closing && self.accumulator.is_idle() && settled
    }

    fn take_news(&mut self, now: Instant, input: kernel::Input) {
        let changes = self.kernel.step(now, input);
        let (accumulator, mut tools) = self.parts();
        for (topic, error) in changes.refused {
            accumulator.refuse(now, &topic, ProduceCause::Broker(error), &mut tools);
        }
        if changes.metadata && accumulator.update(now, &mut tools) {
            self.kernel.want_metadata();
        }
    }

    fn take_identity(
        &mut self,
        now: Instant,
        from: &Address,
        answer: Result<GrantedId, ErrorCode>,
    ) {
        match answer {
            Ok(granted) => {
                self.kernel.contact_answered(from);
                self.identity.granted(granted);
            }
            Err(error) => {
                self.kernel.contact_failed(now, from);
                self.identity.failed(now, &mut self.kernel);
                if error == ErrorCode::ClusterAuthorizationFailed {
                    self.abandon(ProduceCause::Broker(error));
                }
            }
        }
    }

    fn take_outcome(&mut self, now: Instant, request: RequestId, outcome: &Outcome) {
        let Some((broker, InFlight { sent, began })) = self.requests.end(request) else { return };
        let lost = matches!(outcome, Outcome::Lost { .. });
        self.availability.ended(broker, !lost);
        match outcome {
            Outcome::Answered(answer) => {
                let throttle_ms = answer.throttle_time_ms;
                self.metrics.answered(now, now.since(began), throttle_ms);
                self.kernel.throttled_by(now, broker, throttle_ms);
                learn_leaders(answer, &mut self.kernel);
            }
            Outcome::Lost { .. } => {
                self.kernel.want_metadata();
                self.kernel.broker_failed(now, broker);
            }
            Outcome::Written | Outcome::Unsupported => {}
        }
        let (accumulator, mut tools) = self.parts();
        for sent in &sent {
            let name = accumulator.partition(sent.partition).name();
            let fate = outcome.fate(name, tools.kernel.cluster());
            if fate.is_stale_metadata() {
                tools.kernel.want_metadata();
            }
            accumulator.change(sent.partition, |partition| {
                partition.judge(now, request, sent, fate, &mut tools);
            });
        }
    }

    /// Sends what may be sent.
    fn drain(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        loop {
            let (due, mut along) = self.candidates(now);
            let mut sent = false;
            for (broker, mut batches) in due {
                let may_send = self.may_send(now, broker);
                self.availability.ready(now, broker, may_send);
                if may_send {
                    // So that those at the end of the list get into a request, too.
                    let rotation = self.requests.rotation(batches.len());
                    batches.rotate_left(rotation);
                    batches.extend(along.remove(&broker).unwrap_or_default());
                    sent |= self.send(now, broker, &batches, effects);
                }
            }
            if !sent {
                return;
            }
        }
    }

    /// Batches that are due, and those that may go along with them, by leader.
    fn candidates(
        &mut self,
        now: Instant,
    ) -> (BTreeMap<BrokerId, Candidates>, BTreeMap<BrokerId, Candidates>) {
        let (mut due, mut along): (BTreeMap<_, Candidates>, BTreeMap<_, Candidates>) =
            Default::default();
        let urgent = self.flushing > 0
            || self.closing
            || self.memory.is_exhausted()
            || self.identity.transactions().is_some_and(Transactions::is_completing);
        let (mut wake, mut blocked) = (self.wake, BTreeSet::new());
        let (accumulator, mut tools) = self.parts();
        for place in accumulator.active() {
            let leader = tools.kernel.cluster().leader(accumulator.partition(place).name());
            let readiness = accumulator.change(place, |partition| {
                let may_send = partition.settle_numbers(now, &mut tools);
                let (broker, epoch) = leader?;
                let readiness = match may_send {
                    true => partition.readiness(now, epoch, urgent, &mut tools),
                    false => Readiness::Blocked,
                };
                Some((broker, readiness))
            });
            match readiness {
                Some((broker, Readiness::Ready(next))) => {
                    due.entry(broker).or_default().push((place, next));
                }
                Some((broker, Readiness::Lingers(until))) => {
                    wake = wake.min(until);
                    along.entry(broker).or_default().push((place, Next::Fresh));
                }
                Some((_, Readiness::NotBefore(time))) => wake = wake.min(time),
                Some((broker, Readiness::Blocked)) => {
                    if accumulator.partition(place).queued() > 0 {
                        blocked.insert(broker);
                    }
                }
                None => tools.kernel.want_metadata_unless_asked(),
            }
        }
        self.wake = wake;
        for broker in blocked {
            let may_send = self.may_send(now, broker);
            self.availability.ready(now, broker, may_send);
        }
        (due, along)
    }

    /// Whether a broker takes another request. If it does after a pause, that ends the wait.
    fn may_send(&mut self, now: Instant, broker: BrokerId) -> bool {
        let muted_until = self.kernel.broker_muted_until(now, broker);
        self.wake = self.wake.min(muted_until.unwrap_or(Instant::NEVER));
        muted_until.is_none() && self.requests.in_flight(broker) < self.config.max_in_flight
    }

    /// Puts one batch of each partition into a request, as far as there is room. Returns whether any
    /// could leave.
    fn send(
        &mut self,
        now: Instant,
        broker: BrokerId,
        batches: &[(usize, Next)],
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(to) = self.kernel.cluster().address(broker).cloned() else { return false };
        let request = self.requests.next_id();
        let timeout = self.config.request_timeout.as_millis();
        let mut message = message!(ProduceRequest {
            acks: self.config.acks.code(),
            timeout_ms: i32::try_from(timeout).unwrap_or(i32::MAX),
        });
        let (mut by_name, mut records) = (false, 0);
        let mut sent = Vec::new();
        let mut room = self.config.max_request_size.saturating_sub(REQUEST_OVERHEAD);
        let mut topics: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (place, next) in batches {
            let partition = self.accumulator.partition(*place);
            let (size, name) = (partition.size(*next), partition.name().clone());
            if size > room && !sent.is_empty() {
                continue;
            }
            let epoch = self.kernel.cluster().leader(&name).map(|(_, epoch)| epoch);
            let epoch = epoch.unwrap_or(LeaderEpoch::NONE);
            let tools = (&mut self.identity, &mut self.metrics, &mut self.ratios);
            let attempt = self.accumulator.change(*place, |partition| {
                partition.begin_attempt(now, request, *next, epoch, tools)
            });
            let Some((number, count, data)) = attempt else { continue };
            records += u64::from(count.unsigned_abs());
            sent.push(Sent { partition: *place, number, count });
            // It may have compressed worse than expected.
            room = room.saturating_sub(data.records.as_ref().map_or(size, Bytes::len));
            let at = *topics.entry(name.topic.clone()).or_insert_with(|| {
                let id = self.kernel.cluster().id(&name.topic);
                by_name |= id == TopicId::ZERO;
                let name = (&*name.topic).into();
                message
                    .topic_data
                    .push(message!(TopicProduceData { name: name, topic_id: id.into() }));
                message.topic_data.len() - 1
            });
            message.topic_data[at].partition_data.push(data);
        }
        if sent.is_empty() {
            return false;
        }
        self.metrics.request(now, records);
        self.requests.began(request, broker, InFlight { sent, began: now });
        let deadline = now + self.config.request_timeout;
        let explicit = match self.identity.transactions() {
            Some(transactions) => {
                message.transactional_id = Some(transactions.id().into());
                !transactions.is_implicit()
            }
            None => false,
        };
        effects.push(Effect::Send(Order { request, to, message, by_name, explicit, deadline }));
        true
    }

    /// Panics if an invariant is broken.
    pub(in crate::client) fn check(&self) {
        self.kernel.check();
        self.identity.check();
        self.check_transactions();
        self.requests.check();
        self.accumulator.check(&self.config);
        self.memory.check(self.accumulator.memory());
        let (mut in_requests, mut outstanding) = (0, 0);
        let most = self.config.max_in_flight;
        for (_, broker, InFlight { sent, .. }) in self.requests.iter() {
            let in_flight = self.requests.in_flight(broker);
            assert!(in_flight <= most, "{in_flight} requests to broker {broker}, at most {most}");
            in_requests += sent.len();
        }
        for place in self.accumulator.active() {
            let partition = self.accumulator.partition(place);
            for request in partition.outstanding() {
                let (name, is_waiting) = (partition.name(), self.requests.is_waiting(request));
                assert!(is_waiting, "{name} waits for {request:?}, which is over");
                outstanding += 1;
            }
        }
        let fit = outstanding <= in_requests;
        assert!(fit, "{outstanding} batches are outstanding, but requests hold {in_requests}");
    }

    /// A flaw made by hand: a record's memory is taken twice.
    #[cfg(test)]
    pub(super) fn leak(&mut self, bytes: u64) {
        self.memory.try_take(bytes);
    }
}
