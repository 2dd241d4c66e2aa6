//! The consumer's decisions, without a clock, a wait or a byte on a wire.
//!
//! For each partition it finds out where to begin (ListOffsets), whether what was read is still
//! there after a change of leader (OffsetForLeaderEpoch, KIP-320), and reads (Fetch, without
//! sessions). One fetch at a time is on its way to each broker, for the partitions of which
//! nothing is buffered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;

use super::lookup::{Lookup, LookupId};
use super::position::{Assigned, Position, State, Whence};
use super::{ConsumerRecord, Notice};
use crate::base::config::{Config, ConfigError, ConsumerConfig, OffsetReset};
use crate::base::{Flaw, Flaws, Instant, LeaderEpoch, Offset, TopicPartition};
use crate::client::ConsumeError;
use crate::client::kernel::{self, Kernel, RequestId, Requests};
use crate::io::Address;
use crate::rpc::Backoff;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

/// A question to a partition's leader.
#[derive(Debug)]
pub(super) enum Question {
    Fetch(FetchRequest),
    List(ListOffsetsRequest),
    Validate(OffsetForLeaderEpochRequest),
}

/// What came back, or why nothing did.
#[derive(Debug)]
pub(super) enum Answer {
    Fetch(Box<FetchResponse>),
    List(Box<ListOffsetsResponse>),
    Validate(Box<OffsetForLeaderEpochResponse>),
    None(ErrorCode),
}

/// What happened.
#[derive(Debug)]
pub(super) enum Input {
    /// Time passed, or the application wants something else.
    Tick,
    /// What became of [`Effect::Kernel`].
    Kernel(kernel::Input),
    /// What became of [`Effect::Ask`].
    Answered { request: RequestId, answer: Answer },
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    /// Ask about the cluster.
    Kernel(kernel::Effect),
    /// Ask a leader.
    Ask(Box<Order>),
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) request: RequestId,
    pub(super) to: Address,
    pub(super) question: Question,
    /// Whether there are topics whose id is not known, so that names must be sent.
    pub(super) by_name: bool,
    pub(super) deadline: Instant,
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) is_fetch: bool,
    pub(super) asked: Vec<Asked>,
}

/// A partition in a request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) partition: TopicPartition,
    /// The position at that time.
    pub(super) position: Option<Position>,
    /// Epoch of the leader that was asked.
    pub(super) leader_epoch: LeaderEpoch,
    /// On whose behalf, if not on that of the assignment.
    pub(super) lookup: Option<LookupId>,
}

/// The consumer's state machine.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: ConsumerConfig,
    pub(super) flaws: Flaws,
    pub(super) read_committed: bool,
    pub(super) kernel: Kernel,
    pub(super) assigned: BTreeMap<TopicPartition, Assigned>,
    pub(super) lookups: BTreeMap<LookupId, Lookup>,
    /// Partitions with something buffered, in the order in which it came.
    pub(super) buffered: VecDeque<TopicPartition>,
    pub(super) requests: Requests<InFlight>,
    /// To be told to the application once.
    pub(super) problems: VecDeque<ConsumeError>,
    pub(super) notices: Vec<Notice>,
    pub(super) wake: Instant,
}

impl Core {
    pub(super) fn new(
        config: ConsumerConfig,
        now: Instant,
        random: ChaCha12Rng,
    ) -> Result<Self, ConfigError> {
        let read_committed = match config.isolation_level.as_str() {
            "read_uncommitted" => false,
            "read_committed" => true,
            other => {
                return Err(ConfigError::BadValue {
                    key: "isolation.level".into(),
                    value: other.into(),
                    problem: "expected `read_uncommitted` or `read_committed`".into(),
                });
            }
        };
        if config.max_poll_records == 0 {
            return Err(ConfigError::BadValue {
                key: "max.poll.records".into(),
                value: config.get("max.poll.records").unwrap_or_default(),
                problem: "expected at least 1".into(),
            });
        }
        let settings = kernel::Settings {
            bootstrap_servers: &config.bootstrap_servers,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
            metadata_max_age: config.metadata_max_age,
            may_create: false,
        };
        Ok(Self {
            kernel: Kernel::new(settings, now, random)?,
            config,
            flaws: Flaws::default(),
            read_committed,
            assigned: BTreeMap::new(),
            lookups: BTreeMap::new(),
            buffered: VecDeque::new(),
            requests: Requests::default(),
            problems: VecDeque::new(),
            notices: Vec::new(),
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

    pub(super) fn step(&mut self, now: Instant, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Kernel(input) => self.take_news(now, input),
            Input::Answered { request, answer } => self.take_answer(now, request, answer),
        }
        self.wake = Instant::NEVER;
        self.ask(now, effects);
        self.refresh(now, effects);
    }

    /// Reads these partitions from now on; those that are kept keep their positions.
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        let mut before = std::mem::take(&mut self.assigned);
        for partition in partitions {
            let assigned = before
                .remove(&partition)
                .unwrap_or_else(|| Assigned::new(self.beginning(&partition)));
            self.assigned.insert(partition, assigned);
        }
        self.buffered.retain(|partition| self.assigned.contains_key(partition));
    }

    /// What to do without a position.
    fn beginning(&self, partition: &TopicPartition) -> State {
        match self.policy() {
            Some(whence) => State::Reset { whence, announce: true },
            None => State::Stuck(ConsumeError::NoOffset(partition.clone())),
        }
    }

    /// `auto.offset.reset`.
    pub(super) fn policy(&self) -> Option<Whence> {
        match self.config.auto_offset_reset {
            OffsetReset::Earliest => Some(Whence::Earliest),
            OffsetReset::Latest => Some(Whence::Latest),
            OffsetReset::None => None,
        }
    }

    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        if let Some(assigned) = self.assigned.get_mut(partition) {
            assigned.turn(State::Fetch);
            assigned.position = Some(Position::new(offset, LeaderEpoch::NONE));
            self.forget_buffered(partition);
        }
    }

    pub(super) fn seek_to(&mut self, partition: &TopicPartition, whence: Whence) {
        if let Some(assigned) = self.assigned.get_mut(partition) {
            assigned.turn(State::Reset { whence, announce: false });
            assigned.position = None;
            self.forget_buffered(partition);
        }
    }

    pub(super) fn forget_buffered(&mut self, partition: &TopicPartition) {
        self.buffered.retain(|buffered| buffered != partition);
    }

    /// Records that were fetched, up to `max.poll.records`; else a problem, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let limit = self.config.max_poll_records;
        let mut records = Vec::new();
        while records.len() < limit {
            let Some(partition) = self.buffered.front().cloned() else { break };
            let Some(assigned) = self.assigned.get_mut(&partition) else {
                self.buffered.pop_front();
                continue;
            };
            let (Some(buffered), Some(position)) = (&mut assigned.buffered, &mut assigned.position)
            else {
                self.buffered.pop_front();
                continue;
            };
            let room = limit - records.len();
            match buffered.take(&partition, position, room, &mut records) {
                Ok(true) => {}
                Ok(false) => {
                    assigned.buffered = None;
                    self.buffered.pop_front();
                }
                Err(problem) => {
                    let offset = position.offset;
                    let problem = problem.to_string();
                    assigned.buffered = None;
                    self.buffered.pop_front();
                    self.postpone(now, &partition);
                    self.problems.push_back(ConsumeError::Corrupt { partition, offset, problem });
                }
            }
        }
        if !records.is_empty() {
            return Ok(records);
        }
        if let Some(problem) = self.problems.pop_front() {
            return Err(problem);
        }
        let stuck = self.assigned.values().find_map(|assigned| match &assigned.state {
            State::Stuck(problem) => Some(problem.clone()),
            _ => None,
        });
        stuck.map_or(Ok(records), Err)
    }

    /// Lets a partition rest for a while after a failure.
    pub(super) fn postpone(&mut self, now: Instant, partition: &TopicPartition) {
        if let Some(assigned) = self.assigned.get_mut(partition) {
            assigned.failures = assigned.failures.saturating_add(1);
            let pause = self.kernel.pause(assigned.failures);
            assigned.not_before = now + pause;
        }
    }

    fn take_news(&mut self, now: Instant, input: kernel::Input) {
        let changes = self.kernel.step(now, input);
        for (topic, error) in changes.refused {
            self.refused(&topic, error);
        }
        if changes.metadata {
            self.doubt_positions();
        }
    }

    /// A topic can't be had: says so for one of its partitions.
    fn refused(&mut self, topic: &str, error: ErrorCode) {
        let partition = self.assigned.keys().find(|partition| &*partition.topic == topic).cloned();
        if let Some(partition) = partition {
            self.problems.push_back(ConsumeError::Broker { partition, error });
        }
    }

    /// After a change of leader, what was read may be gone: positions are good only for the leader
    /// for which they were checked (KIP-320).
    pub(super) fn doubt_positions(&mut self) {
        for (partition, assigned) in &mut self.assigned {
            let Some((_, epoch)) = self.kernel.cluster().leader(partition) else { continue };
            if epoch <= assigned.good_for || assigned.state != State::Fetch {
                continue;
            }
            match assigned.position {
                Some(position)
                    if position.epoch != LeaderEpoch::NONE
                        && !self.flaws.has(Flaw::ConsumerIgnoresTruncation) =>
                {
                    assigned.turn(State::Validate);
                    self.buffered.retain(|buffered| buffered != partition);
                }
                _ => assigned.good_for = epoch,
            }
        }
    }

    /// Asks for metadata if something is amiss, or it is old.
    fn refresh(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut topics: BTreeSet<Arc<str>> = BTreeSet::new();
        topics.extend(self.assigned.keys().map(|partition| partition.topic.clone()));
        topics.extend(self.lookups.values().flat_map(Lookup::topics));
        if topics.iter().any(|topic| self.kernel.cluster().topic(topic).is_none()) {
            self.kernel.want_metadata_unless_asked();
        }
        self.kernel.ask(now, &topics, |effect| effects.push(Effect::Kernel(effect)));
        self.wake = self.wake.min(self.kernel.deadline());
        if cfg!(debug_assertions) {
            self.kernel.check();
            self.requests.check();
        }
    }

    pub(super) fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        Some(self.assigned.get(partition)?.position?.offset)
    }

    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.get(partition)?.high_watermark
    }
}
