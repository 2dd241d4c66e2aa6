//! The producer's decisions, without a clock, a wait or a byte on a wire.
//!
//! Records are gathered per partition ([`append`](super::append)), sent when a batch is full or has
//! lingered ([`drain`](super::drain)), numbered so that a broker knows a batch again
//! ([`numbering`](super::numbering)), and judged when an answer comes ([`answer`](super::answer)).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;

use super::answer::Sent;
use super::append::Topic;
use super::batch::Batch;
use super::memory::Memory;
use super::numbering::{Identity, Sequences};
use crate::base::config::{Acks, Config, ConfigError, ProducerConfig};
use crate::base::{
    BrokerId, Flaws, Instant, LeaderEpoch, ProducerEpoch, ProducerId, TopicPartition,
};
use crate::client::ProduceCause;
use crate::client::kernel::{self, Kernel, RequestId, Requests};
use crate::io::Address;
use crate::rpc::Backoff;
use crate::wire::ErrorCode;
use crate::wire::messages::{ProduceRequest, ProduceResponse};

/// What happened.
#[derive(Debug)]
pub(super) enum Input {
    /// Time passed, or records were added.
    Tick,
    /// What became of [`Effect::Kernel`].
    Kernel(kernel::Input),
    /// An answer to [`Effect::Identify`].
    Identity { from: Address, answer: Result<(ProducerId, ProducerEpoch), ErrorCode> },
    /// None came.
    NoIdentity { from: Address },
    /// What became of [`Effect::Send`].
    Produced { request: RequestId, outcome: Outcome },
}

/// What became of a request for records.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A broker answered.
    Answered(Box<ProduceResponse>),
    /// It was written to the stream, and no answer is due (`acks=0`).
    Written,
    /// There will be no answer.
    Lost { may_have_reached: bool },
    /// The broker does not speak it.
    Unsupported,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    /// Ask about the cluster.
    Kernel(kernel::Effect),
    /// Ask a broker for a producer id.
    Identify { ask: Address },
    /// Send records. Orders to one broker must reach its stream in their order.
    Send(Order),
}

/// A request for records.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) request: RequestId,
    pub(super) to: Address,
    pub(super) message: ProduceRequest,
    /// Whether there are topics whose id is not known, so that names must be sent.
    pub(super) by_name: bool,
    pub(super) deadline: Instant,
}

/// One partition that records were sent to.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: TopicPartition,
    /// Sent at least once, and not yet judged; in the order in which they were first sent.
    pub(super) sent: VecDeque<Batch>,
    /// Never sent. Records are added to the last.
    pub(super) fresh: VecDeque<Batch>,
    pub(super) sequences: Sequences,
}

impl Partition {
    pub(super) fn has_outstanding(&self) -> bool {
        self.sent.iter().any(Batch::is_outstanding)
    }
}

/// The producer's state machine.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: ProducerConfig,
    pub(super) flaws: Flaws,
    pub(super) kernel: Kernel,
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    pub(super) partitions: Vec<Partition>,
    /// Those that have batches.
    pub(super) active: BTreeSet<usize>,
    pub(super) identity: Identity,
    pub(super) memory: Memory,
    pub(super) requests: Requests<Vec<Sent>>,
    /// Flushes under way: nothing lingers meanwhile.
    pub(super) flushing: usize,
    /// Nothing more is accepted, and nothing lingers.
    pub(super) closing: bool,
    /// The earliest time at which something is to be done though nothing happens.
    pub(super) wake: Instant,
}

impl Core {
    pub(super) fn new(
        config: ProducerConfig,
        now: Instant,
        random: ChaCha12Rng,
    ) -> Result<Self, ConfigError> {
        validate(&config)?;
        let settings = kernel::Settings {
            bootstrap_servers: &config.bootstrap_servers,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
            metadata_max_age: config.metadata_max_age,
            may_create: true,
        };
        Ok(Self {
            kernel: Kernel::new(settings, now, random)?,
            memory: Memory::new(config.buffer_memory),
            identity: Identity::new(config.idempotence),
            config,
            flaws: Flaws::default(),
            topics: BTreeMap::new(),
            partitions: Vec::new(),
            active: BTreeSet::new(),
            requests: Requests::default(),
            flushing: 0,
            closing: false,
            wake: Instant::NEVER,
        })
    }

    /// The same core with these flaws.
    pub(super) fn with_flaws(self, flaws: Flaws) -> Self {
        Self { flaws, ..self }
    }

    /// The earliest time at which `step` wants [`Input::Tick`], though nothing else happened.
    pub(super) fn deadline(&self) -> Instant {
        self.wake
    }

    /// Whether every record has its verdict.
    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty() && self.topics.values().all(|topic| topic.pending.is_empty())
    }

    pub(super) fn step(&mut self, now: Instant, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Kernel(input) => self.take_news(now, input),
            Input::Identity { from, answer } => self.take_identity(now, &from, answer),
            Input::NoIdentity { from } => {
                self.kernel.contact_failed(now, &from);
                self.identity.failed(now, &mut self.kernel);
            }
            Input::Produced { request, outcome } => self.take_outcome(now, request, outcome),
        }
        self.wake = Instant::NEVER;
        self.expire(now);
        self.drain(now, effects);
        self.identify(now, effects);
        self.kernel.ask(now, self.topics.keys(), |effect| effects.push(Effect::Kernel(effect)));
        self.wake = self.wake.min(self.kernel.deadline());
        if cfg!(debug_assertions) {
            self.kernel.check();
            self.requests.check();
        }
    }

    fn take_news(&mut self, now: Instant, input: kernel::Input) {
        let changes = self.kernel.step(now, input);
        for (topic, error) in changes.refused {
            self.fail_pending(&topic, ProduceCause::Broker(error));
        }
        if changes.metadata {
            self.place_pending(now);
        }
    }

    /// Fails what has waited for too long.
    fn expire(&mut self, now: Instant) {
        let patience = self.config.delivery_timeout;
        let active: Vec<usize> = self.active.iter().copied().collect();
        for index in active {
            let partition = &mut self.partitions[index];
            while let Some(first) = partition.sent.front().or(partition.fresh.front()) {
                if first.created + patience > now {
                    self.wake = self.wake.min(first.created + patience);
                    break;
                }
                let was_sent = !partition.sent.is_empty();
                let queue = if was_sent { &mut partition.sent } else { &mut partition.fresh };
                let Some(mut batch) = queue.pop_front() else { break };
                if was_sent {
                    batch.promise.may_be_stored |= batch.is_outstanding();
                    partition.sequences.lost(&batch);
                }
                self.memory.release(batch.memory);
                batch.promise.failed(ProduceCause::TimedOut);
            }
            self.retire(index);
        }
        self.expire_pending(now);
    }

    /// Takes a partition without batches off the list of those to look at.
    pub(super) fn retire(&mut self, index: usize) {
        let partition = &self.partitions[index];
        if partition.sent.is_empty() && partition.fresh.is_empty() {
            self.active.remove(&index);
        }
    }

    /// Gives up everything at once.
    pub(super) fn abandon(&mut self, cause: ProduceCause) {
        self.closing = true;
        for partition in &mut self.partitions {
            for mut batch in partition.sent.drain(..) {
                batch.promise.may_be_stored |= batch.is_outstanding();
                batch.promise.failed(cause);
            }
            partition.fresh.drain(..).for_each(|batch| batch.promise.failed(cause));
        }
        self.active.clear();
        for topic in self.topics.values_mut() {
            topic.pending.drain(..).for_each(|pending| pending.promise.failed(cause));
        }
        self.memory.close();
    }

    /// Who leads a partition and where, if that is known.
    pub(super) fn leader(&self, index: usize) -> Option<(BrokerId, LeaderEpoch)> {
        self.kernel.cluster().leader(&self.partitions[index].name)
    }
}

/// Refuses settings that contradict each other, as Kafka does.
fn validate(config: &ProducerConfig) -> Result<(), ConfigError> {
    let refuse = |key: &str, problem: &str| {
        let value = config.get(key).unwrap_or_default();
        Err(ConfigError::BadValue { key: key.into(), value, problem: problem.into() })
    };
    if config.idempotence {
        let remedy = "contradicts enable.idempotence=true, which needs";
        if config.acks != Acks::All {
            return refuse("acks", &format!("{remedy} acks=all: set one of both"));
        }
        if config.max_in_flight > Sequences::WINDOW {
            let key = "max.in.flight.requests.per.connection";
            return refuse(key, &format!("{remedy} at most {}", Sequences::WINDOW));
        }
        if config.retries == 0 {
            return refuse("retries", &format!("{remedy} at least 1"));
        }
    }
    if config.max_in_flight == 0 {
        return refuse("max.in.flight.requests.per.connection", "expected at least 1");
    }
    if config.retries < 0 {
        return refuse("retries", "expected 0 or more");
    }
    if config.delivery_timeout < config.linger + config.request_timeout {
        let problem = "expected at least the sum of linger.ms and request.timeout.ms";
        return refuse("delivery.timeout.ms", problem);
    }
    Ok(())
}
