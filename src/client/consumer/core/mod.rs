//! The consumer's decisions, without a clock, a wait or a byte on a wire.
//!
//! For each partition it finds out where to begin (ListOffsets), whether what was read is still
//! there after a change of leader (OffsetForLeaderEpoch, KIP-320), and reads (Fetch, in sessions:
//! KIP-227). One fetch at a time is on its way to each broker, for the partitions of which
//! nothing is buffered.
//!
//! With a `group.id` it is a member of a group (`group`): it joins, reads what it is assigned from the
//! committed offsets on, and commits what was returned.
//!
//! # Calling contract
//!
//! - The application's calls ([`Core::assign`], [`Core::subscribe`], [`Core::seek`],
//!   [`Core::seek_to`], [`Core::begin_lookup`], [`Core::begin_commit`], [`Core::poll`],
//!   [`Core::take`]) change what the consumer wants; questions leave in the next [`Core::step`], for
//!   which [`Input::Tick`] is enough.
//! - Each [`Effect`] is answered by exactly one [`Input`], in any order.
//! - [`Core::deadline`] is valid after each step: step with [`Input::Tick`] then at the latest,
//!   whether or not the application polls.

mod group;
mod lookups;
mod measuring;
mod nearest;
mod replies;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;

use self::group::Group;
use super::Notice;
use super::answers::{Answer, Reply};
use super::assignment::{Assignment, Share, Taken};
use super::lookup::Lookups;
use super::metrics::{Errand, Measured};
#[cfg(test)]
use super::partition::Assigned;
use super::partition::Start;
use super::plan::{Asked, Plan, Plans};
use super::position::Whence;
use super::questions::{self, Question};
use super::sessions::Sessions;
use crate::base::config::{Config, ConfigError, ConsumerConfig, OffsetReset};
use crate::base::{
    BrokerId, Flaws, Instant, LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition,
};
use crate::client::ConsumeError;
use crate::client::ConsumerRecord;
use crate::client::group::Settings;
use crate::client::kernel::{self, ClientSettings, Kernel, RequestId, Requests};
use crate::io::Address;

/// What happened.
#[derive(Debug)]
pub(in crate::client) enum Input {
    /// Time passed, or the application wants something else.
    Tick,
    /// What became of [`Effect::Kernel`].
    Kernel(kernel::Input),
    /// What became of [`Effect::Ask`].
    Answered { request: RequestId, answer: Answer },
}

/// What is to be done.
#[derive(Debug)]
pub(in crate::client) enum Effect {
    /// Ask about the cluster.
    Kernel(kernel::Effect),
    /// Ask a leader.
    Ask(Box<Order>),
}

/// A question on its way.
#[derive(Debug)]
pub(in crate::client) struct Order {
    pub(in crate::client) request: RequestId,
    pub(in crate::client) to: Address,
    pub(in crate::client) question: Question,
    /// Whether there are topics whose id is not known, so that names must be sent.
    pub(in crate::client) by_name: bool,
    /// It leaves no sooner: the coordinator asked for a pause.
    pub(in crate::client) not_before: Instant,
    pub(in crate::client) deadline: Instant,
}

/// A request without an answer.
#[derive(Debug)]
struct InFlight {
    sent: Instant,
    is_fetch: bool,
    /// For the coordinator of the group.
    errand: Option<Errand>,
    asked: Vec<Asked>,
}

/// The consumer's state machine.
#[derive(Debug)]
pub(in crate::client) struct Core {
    config: ConsumerConfig,
    flaws: Flaws,
    read_committed: bool,
    kernel: Kernel,
    assignment: Assignment,
    lookups: Lookups,
    requests: Requests<InFlight>,
    sessions: Sessions,
    /// With a `group.id`.
    group: Option<Box<Group>>,
    /// What this host believes the date to be.
    today: Timestamp,
    /// To be returned to the application once.
    problems: VecDeque<ConsumeError>,
    notices: Vec<Notice>,
    measured: Measured,
    /// What the last poll returned, until it is measured.
    shares: Vec<(TopicPartition, Share)>,
    wake: Instant,
}

impl Core {
    pub(in crate::client) fn new(
        config: ConsumerConfig,
        now: Instant,
        random: ChaCha12Rng,
    ) -> Result<Self, ConfigError> {
        let read_committed = validate(&config)?;
        let mut random = random;
        let group = Settings::new(&config)?.map(|settings| {
            let id = settings.draw_member_id(now, &mut random);
            Box::new(Group::new(settings, id, now))
        });
        let settings = ClientSettings::from(&config);
        let sampling = settings.sampling();
        Ok(Self {
            kernel: settings.kernel(now, random)?,
            group,
            today: Timestamp(0),
            flaws: Flaws::default(),
            read_committed,
            assignment: Assignment::default(),
            lookups: Lookups::default(),
            requests: Requests::default(),
            sessions: Sessions::default(),
            problems: VecDeque::new(),
            notices: Vec::new(),
            measured: Measured::new(sampling),
            shares: Vec::new(),
            wake: Instant::NEVER,
            config,
        })
    }

    /// The same core with these flaws.
    pub(in crate::client) fn with_flaws(mut self, flaws: Flaws) -> Self {
        self.flaws = flaws;
        if let Some(group) = &mut self.group {
            group.set_flaws(flaws);
        }
        self
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
            Input::Answered { request, answer } => self.take_answer(now, request, &answer),
        }
        self.ask(now, effects);
        self.ask_group(now, effects);
        self.measure_rebalance(now);
        self.ask_kernel(now, effects);
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    /// The date, by which `auto.offset.reset=by_duration` goes.
    pub(in crate::client) fn set_date(&mut self, today: Timestamp) {
        self.today = today;
    }

    /// Reads these partitions from now on; those that are kept keep their positions.
    pub(in crate::client) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.end_subscription();
        self.assignment.assign(partitions, self.start());
    }

    fn start(&self) -> Start {
        match &self.group {
            Some(_) => Start::Committed,
            None => Start::Reset(self.policy()),
        }
    }

    /// Returns no more records of these partitions, or returns them again.
    pub(super) fn pause(&mut self, partitions: &[TopicPartition], paused: bool) {
        for partition in partitions {
            self.assignment.change(partition, |assigned| assigned.pause(paused));
        }
    }

    pub(in crate::client) fn assigned(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assignment.iter().map(|(partition, _)| partition)
    }

    pub(super) fn paused(&self) -> impl Iterator<Item = &TopicPartition> {
        let paused = self.assignment.iter().filter(|(_, assigned)| assigned.is_paused());
        paused.map(|(partition, _)| partition)
    }

    pub(in crate::client) fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        self.assignment.change(partition, |assigned| assigned.seek(offset));
    }

    pub(super) fn seek_to(&mut self, partition: &TopicPartition, whence: Whence) {
        self.assignment.change(partition, |assigned| assigned.seek_to(whence));
    }

    /// Records that were fetched, up to `max.poll.records`; else a problem, if there is one.
    pub(in crate::client) fn take(
        &mut self,
        now: Instant,
    ) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        self.take_up_to(now, self.config.max_poll_records)
    }

    /// The same, up to `limit` records.
    pub(super) fn take_up_to(
        &mut self,
        now: Instant,
        limit: usize,
    ) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        if let Some(problem) = self.group_problem() {
            return Err(problem);
        }
        if self.holds_back() {
            return Ok(Vec::new());
        }
        self.count_consumed(now);
        let Taken { records, shares, corrupt } = self.assignment.take(limit);
        self.shares = shares;
        for (partition, problem) in corrupt {
            self.postpone(now, &partition);
            self.problems.push_back(problem);
        }
        if !records.is_empty() {
            return Ok(records);
        }
        if let Some(problem) = self.problems.pop_front() {
            return Err(problem);
        }
        let stuck = self.assignment.iter().find_map(|(_, assigned)| assigned.stuck());
        stuck.map_or(Ok(records), |problem| Err(problem.clone()))
    }

    /// Whether records of a partition that is not paused are buffered.
    pub(super) fn is_ready(&self) -> bool {
        self.assignment.is_ready()
    }

    /// The application can't read what the last [`Core::take_up_to`] returned of a partition, except
    /// for the records that are `kept`: its position goes back behind those.
    pub(super) fn give_back(
        &mut self,
        partition: &TopicPartition,
        kept: &mut dyn Iterator<Item = (Offset, LeaderEpoch)>,
    ) {
        let mut count = 0;
        let mut kept = kept.inspect(|_| count += 1);
        self.assignment.change(partition, |assigned| assigned.give_back(&mut kept));
        if let Some((_, share)) = self.shares.iter_mut().find(|(name, _)| name == partition) {
            // Sizes are not known one by one: all records of a poll count the same.
            share.bytes = share.bytes * count / share.records.max(1);
            share.records = count;
        }
    }

    /// What moved positions since the last call, in order.
    pub(in crate::client) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    pub(in crate::client) fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assignment.get(partition)?.position()
    }

    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assignment.get(partition)?.high_watermark()
    }

    /// `auto.offset.reset`.
    fn policy(&self) -> Option<Whence> {
        match self.config.auto_offset_reset {
            OffsetReset::Earliest => Some(Whence::Earliest),
            OffsetReset::Latest => Some(Whence::Latest),
            OffsetReset::None => None,
            OffsetReset::ByDuration(age) => Some(Whence::Ago(age)),
        }
    }

    fn take_news(&mut self, now: Instant, input: kernel::Input) {
        let changes = self.kernel.step(now, input);
        for (topic, error) in changes.refused {
            let mut partitions = self.assignment.iter().map(|(partition, _)| partition);
            // One of its partitions stands for all.
            if let Some(partition) = partitions.find(|partition| partition.topic == topic).cloned()
            {
                self.problems.push_back(ConsumeError::Broker { partition, error });
            } else {
                let problem = ConsumeError::Topic { topic: topic.to_string(), error };
                if !self.lookups.refuse(&topic, &problem) {
                    self.problems.push_back(problem);
                }
            }
        }
        if changes.metadata {
            self.doubt_positions();
            self.tell_group(changes.is_complete, &changes.unknown);
        }
    }

    /// Asks every leader what there is to ask.
    fn ask(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.look_at_preferred_replicas(now);
        let plans =
            Plans::new((now, self.today), &self.assignment, &self.lookups, self.kernel.cluster());
        self.wake = plans.wake;
        if plans.leaderless {
            self.kernel.want_metadata_unless_asked();
        }
        for (broker, plan) in plans.by_broker {
            if let Some(until) = self.kernel.broker_muted_until(now, broker) {
                self.wake = self.wake.min(until);
                continue;
            }
            let Plan { mut fetch, list, validate } = plan;
            if !fetch.is_empty() && !self.is_fetching(broker) {
                // Those at the end of a full answer come first the next time.
                let rotation = self.requests.rotation(fetch.len());
                fetch.rotate_left(rotation);
                let request = self.sessions.next(broker, &fetch, self.kernel.cluster());
                let question = questions::fetch(request, &self.config, self.read_committed);
                self.send(now, broker, question, without(fetch), effects);
            }
            if !list.is_empty() {
                let question = questions::list(&list, self.read_committed);
                self.send(now, broker, question, without(list), effects);
            }
            if !validate.is_empty() {
                let question = questions::validate(&validate);
                self.send(now, broker, question, without(validate), effects);
            }
        }
    }

    fn is_fetching(&self, broker: BrokerId) -> bool {
        self.requests.iter().any(|(_, to, request)| to == broker && request.is_fetch)
    }

    fn send(
        &mut self,
        now: Instant,
        broker: BrokerId,
        question: Question,
        asked: Vec<Asked>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = self.kernel.cluster().address(broker).cloned() else { return };
        let request = self.requests.next_id();
        let mut by_name = false;
        for Asked { partition, lookup, .. } in &asked {
            by_name |= self.kernel.cluster().id(&partition.topic) == TopicId::ZERO;
            match lookup {
                Some(id) => self.lookups.asked(*id, partition, request),
                None => {
                    self.assignment.change(partition, |assigned| assigned.asked(request));
                }
            }
        }
        let is_fetch = matches!(question, Question::Fetch(_));
        self.requests.began(request, broker, InFlight { sent: now, is_fetch, errand: None, asked });
        let deadline = now + self.config.request_timeout;
        let not_before = Instant::START;
        let order = Order { request, to, question, by_name, not_before, deadline };
        effects.push(Effect::Ask(Box::new(order)));
    }

    /// Asks for metadata if something is amiss, or it is old.
    fn ask_kernel(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let mut looked_up: BTreeSet<Arc<str>> = self.lookups.topics().collect();
        looked_up.extend(self.group_topics());
        looked_up.retain(|topic| !self.assignment.topics().contains(topic));
        let topics = || self.assignment.topics().iter().chain(&looked_up);
        if topics().any(|topic| self.kernel.cluster().topic(topic).is_none()) {
            self.kernel.want_metadata_unless_asked();
        }
        self.kernel.ask(now, topics(), |effect| effects.push(Effect::Kernel(effect)));
        self.wake = self.wake.min(self.kernel.deadline());
    }

    /// Panics if an invariant is broken.
    pub(in crate::client) fn check(&self) {
        self.kernel.check();
        self.assignment.check();
        self.lookups.check();
        self.requests.check();
        if let Some(group) = &self.group {
            group.check();
        }
        let mut fetched_from = BTreeSet::new();
        for (request, broker, in_flight) in self.requests.iter() {
            let first = !in_flight.is_fetch || fetched_from.insert(broker);
            assert!(first, "{request:?} is the second fetch on its way to broker {broker}");
        }
    }

    #[cfg(test)]
    pub(super) fn assigned_mut(
        &mut self,
        partition: &TopicPartition,
        change: impl FnOnce(&mut Assigned),
    ) {
        self.assignment.change(partition, change);
    }
}

/// The partitions without what is asked about them.
fn without<T>(asked: Vec<(Asked, T)>) -> Vec<Asked> {
    asked.into_iter().map(|(asked, _)| asked).collect()
}

/// Refuses settings that can't be honoured. Returns whether only committed records are read.
fn validate(config: &ConsumerConfig) -> Result<bool, ConfigError> {
    let refuse = |key: &str, problem: &str| {
        let value = config.get(key).unwrap_or_default();
        Err(ConfigError::BadValue { key: key.into(), value, problem: problem.into() })
    };
    if config.max_poll_records == 0 {
        return refuse("max.poll.records", "expected at least 1");
    }
    match config.isolation_level.as_str() {
        "read_uncommitted" => Ok(false),
        "read_committed" => Ok(true),
        _ => refuse("isolation.level", "expected `read_uncommitted` or `read_committed`"),
    }
}
