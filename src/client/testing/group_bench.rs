//! The consumers of a group against the model and its coordinator, on a clock that is set by hand.
//!
//! What was returned by a poll counts as processed when the next one begins. A commit of more than
//! that is a bug, and so are two members that own a partition in one generation.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::coordinator::{Token, refused};
use super::{Model, ModelCoordinator};
use crate::base::config::{Config, ConsumerConfig};
use crate::base::{Instant, Offset, Seed, Stream, TopicPartition};
use crate::client::consumer::{self, Answer, Core, Order, Question};
use crate::client::group::{Event, Request, Subscription};
use crate::client::kernel::{self, RequestId};
use crate::wire::ErrorCode;
use crate::wire::messages::OffsetCommitRequest;

/// How often what goes wrong, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupFaults {
    pub(crate) lost_request: u32,
    pub(crate) lost_response: u32,
    /// The coordinator refuses a request with an error that passes.
    pub(crate) refused: u32,
    /// A member stands still after a poll, heartbeats included, for up to a minute.
    pub(crate) frozen: u32,
    /// A member does not poll for up to a minute, but heartbeats.
    pub(crate) slow: u32,
    /// The longest delay of a request or response, beyond 1 ms.
    pub(crate) delay: Duration,
}

enum Happens {
    Arrives { member: usize, order: Box<Order>, is_answered: bool },
    Input { member: usize, input: consumer::Input },
    Poll { member: usize },
    Start { member: usize },
    Leave { member: usize },
}

struct Member {
    core: Core,
    runs: bool,
    leaves: bool,
    frozen_until: Instant,
    /// What was returned by the polls before the last one: where the next record would be.
    processed: BTreeMap<TopicPartition, Offset>,
    returned: BTreeMap<TopicPartition, Offset>,
    told: Vec<Event>,
}

/// Consumers, the cluster, and what happens next.
pub(crate) struct GroupBench {
    pub(crate) now: Instant,
    pub(crate) model: Model,
    pub(crate) coordinator: ModelCoordinator,
    pub(crate) faults: GroupFaults,
    /// How often each offset was returned.
    pub(crate) read: BTreeMap<(i32, Offset), u32>,
    members: Vec<Member>,
    random: ChaCha12Rng,
    events: BTreeMap<(Instant, u64), Happens>,
    scheduled: u64,
    /// Who waits for which answer of the coordinator.
    tokens: BTreeMap<Token, (usize, RequestId, bool)>,
}

impl GroupBench {
    pub(crate) fn new(seed: u64, model: Model, members: usize, settings: &[(&str, &str)]) -> Self {
        let random = |name, n| Seed(seed).stream(Stream::numbered(name, n));
        let now = Instant::from_secs(1);
        let member = |n: usize| {
            let mut config = ConsumerConfig::default();
            let own = [("bootstrap.servers", "b1:9092"), ("group.id", "shop")];
            config.set_all(own).unwrap();
            config.set("auto.offset.reset", "earliest").unwrap();
            config.set_all(settings.iter().copied()).unwrap();
            Member {
                core: Core::new(config, now, random("member", n as u64)).unwrap(),
                runs: false,
                leaves: false,
                frozen_until: Instant::START,
                processed: BTreeMap::new(),
                returned: BTreeMap::new(),
                told: Vec::new(),
            }
        };
        let mut bench = Self {
            now,
            model,
            coordinator: ModelCoordinator::new(),
            faults: GroupFaults::default(),
            read: BTreeMap::new(),
            members: (0..members).map(member).collect(),
            random: random("bench", 0),
            events: BTreeMap::new(),
            scheduled: 0,
            tokens: BTreeMap::new(),
        };
        bench.model.coordinate("shop", Ok(1));
        bench
    }

    /// A member subscribes at this time.
    pub(crate) fn start_at(&mut self, time: Instant, member: usize) {
        self.schedule(time, Happens::Start { member });
    }

    /// A member unsubscribes and stops at this time.
    pub(crate) fn leave_at(&mut self, time: Instant, member: usize) {
        self.schedule(time, Happens::Leave { member });
    }

    fn schedule(&mut self, time: Instant, event: Happens) {
        self.scheduled += 1;
        self.events.insert((time.max(self.now), self.scheduled), event);
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.random.next_u32() % 100 < percent
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let most = u32::try_from(most.as_micros()).unwrap_or(u32::MAX);
        Duration::from_micros(u64::from(self.random.next_u32() % most.max(1)))
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(1) + self.up_to(self.faults.delay)
    }

    /// Lets time pass until `done`, or until `limit`. Returns whether it is done.
    pub(crate) fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        let mut idle = 0;
        while !done(self) {
            let event =
                self.events.first_key_value().map_or(Instant::NEVER, |((time, _), _)| *time);
            let due = |member: &Member| member.core.deadline().max(member.frozen_until);
            let deadline = self.members.iter().filter(|m| m.runs).map(due).min();
            let tick = self.now + Duration::from_millis(500);
            let next = event.min(deadline.unwrap_or(Instant::NEVER)).min(tick).max(self.now);
            if next > end {
                return false;
            }
            idle = if next == self.now { idle + 1 } else { 0 };
            assert!(idle < 10_000, "the cores want to be stepped again and again at {next}");
            self.now = next;
            if event <= next {
                let Some((_, event)) = self.events.pop_first() else { continue };
                self.happen(event);
            } else {
                for member in 0..self.members.len() {
                    let Member { core, runs, frozen_until, .. } = &self.members[member];
                    if *runs && *frozen_until <= self.now && core.deadline() <= self.now {
                        self.step(member, consumer::Input::Tick);
                    }
                }
            }
            self.coordinator.advance(self.now);
            self.deliver();
            self.check();
        }
        true
    }

    fn happen(&mut self, event: Happens) {
        match event {
            Happens::Arrives { member, order, is_answered } => {
                self.arrive(member, &order, is_answered);
            }
            Happens::Input { member, input } => {
                let until = self.members[member].frozen_until;
                if until > self.now {
                    self.schedule(until, Happens::Input { member, input });
                } else {
                    self.step(member, input);
                }
            }
            Happens::Poll { member } => self.poll(member),
            Happens::Start { member } => {
                let subscription = Subscription::to(["orders".into()]);
                self.members[member].core.subscribe(subscription).unwrap();
                self.members[member].runs = true;
                self.schedule(self.now, Happens::Poll { member });
            }
            Happens::Leave { member } => {
                self.members[member].leaves = true;
                self.members[member].core.unsubscribe("the test is over for it");
            }
        }
    }

    fn poll(&mut self, member: usize) {
        let Member { core, processed, returned, told, leaves, .. } = &mut self.members[member];
        processed.extend(returned.iter().map(|(partition, next)| (partition.clone(), *next)));
        while let Some(event) = core.poll(self.now) {
            if matches!(event, Event::Assigned(_)) {
                for partition in event.partitions() {
                    // Where it begins is what is committed, and no longer what it read itself once.
                    returned.remove(partition);
                    processed.remove(partition);
                }
            }
            told.push(event);
            core.told(self.now);
        }
        // Without a reset policy that applies, and refused by an authorizer that is not there, no
        // error can come but those that pass.
        for record in core.take(self.now).unwrap_or_default() {
            *self.read.entry((record.partition.partition, record.offset)).or_default() += 1;
            returned.insert(record.partition, record.offset.next());
        }
        let has_left = *leaves && core.has_left();
        self.step(member, consumer::Input::Tick);
        if has_left {
            self.members[member].runs = false;
            return;
        }
        let mut pause = self.up_to(Duration::from_millis(300));
        if self.percent(self.faults.slow) {
            pause += self.up_to(Duration::from_secs(60));
        }
        if self.percent(self.faults.frozen) {
            pause += self.up_to(Duration::from_secs(60));
            self.members[member].frozen_until = self.now + pause;
        }
        self.schedule(self.now + pause, Happens::Poll { member });
    }

    fn step(&mut self, member: usize, input: consumer::Input) {
        let mut effects = Vec::new();
        self.members[member].core.step(self.now, input, &mut effects);
        for effect in effects {
            match effect {
                consumer::Effect::Kernel(effect) => self.ask_cluster(member, effect),
                consumer::Effect::Ask(order) => self.send(member, order),
            }
        }
    }

    fn ask_cluster(&mut self, member: usize, effect: kernel::Effect) {
        let lost = self.percent(self.faults.lost_request);
        let input = match effect {
            kernel::Effect::Metadata { ask, topics, .. } => {
                let answer = (!lost).then(|| Box::new(self.model.metadata(&topics)));
                kernel::Input::Metadata { from: ask, answer }
            }
            kernel::Effect::Coordinators { ask, keys } => {
                let answer = (!lost).then(|| Box::new(self.model.coordinators(&keys)));
                kernel::Input::Coordinators { from: ask, keys, answer }
            }
        };
        let time = self.now + self.delay() + self.delay();
        let input = consumer::Input::Kernel(input);
        self.schedule(time, Happens::Input { member, input });
    }

    fn send(&mut self, member: usize, order: Box<Order>) {
        let (arrives, request) = (self.now + self.delay(), order.request);
        let lost = Answer::None(ErrorCode::NetworkException);
        if self.percent(self.faults.lost_request) {
            return self.answer(arrives, member, request, lost);
        }
        if let Question::Group(Request::Commit(commit)) = &order.question {
            self.check_commit(member, commit);
        }
        let is_answered = !self.percent(self.faults.lost_response);
        if !is_answered {
            self.answer(arrives, member, request, lost);
        }
        self.schedule(arrives, Happens::Arrives { member, order, is_answered });
    }

    fn answer(&mut self, time: Instant, member: usize, request: RequestId, answer: Answer) {
        let input = consumer::Input::Answered { request, answer };
        self.schedule(time, Happens::Input { member, input });
    }

    fn arrive(&mut self, member: usize, order: &Order, is_answered: bool) {
        let at = order.to.host.trim_start_matches('b').parse().unwrap();
        let mut time = self.now + self.delay();
        let answer = match &order.question {
            Question::Fetch(request) => {
                time = time + Duration::from_millis(50);
                Answer::Fetch(Box::new(self.model.fetch(at, request)))
            }
            Question::List(request) => Answer::List(Box::new(self.model.list_offsets(at, request))),
            Question::Validate(request) => {
                Answer::Validate(Box::new(self.model.epoch_ends(at, request)))
            }
            Question::Group(request) if self.percent(self.faults.refused) => {
                let errors = [
                    ErrorCode::NotCoordinator,
                    ErrorCode::CoordinatorNotAvailable,
                    ErrorCode::CoordinatorLoadInProgress,
                    ErrorCode::RequestTimedOut,
                ];
                let error = errors[self.random.next_u32() as usize % errors.len()];
                Answer::Group(Box::new(refused(request, error)))
            }
            Question::Group(request) => {
                self.scheduled += 1;
                self.tokens.insert(self.scheduled, (member, order.request, is_answered));
                return self.coordinator.handle(self.now, self.scheduled, request);
            }
        };
        if is_answered {
            self.answer(time, member, order.request, answer);
        }
    }

    /// Puts answers of the coordinator on their way.
    fn deliver(&mut self) {
        for (token, answer) in self.coordinator.take_answers() {
            let Some((member, request, is_answered)) = self.tokens.remove(&token) else { continue };
            if is_answered {
                let time = self.now + self.delay();
                self.answer(time, member, request, Answer::Group(Box::new(answer)));
            }
        }
    }

    /// A member may commit what is processed: what was returned before its last poll.
    fn check_commit(&self, member: usize, commit: &OffsetCommitRequest) {
        for topic in &commit.topics {
            for row in &topic.partitions {
                let partition = TopicPartition::new(topic.name.as_str(), row.partition_index);
                let offset = Offset(row.committed_offset);
                let processed = self.members[member].processed.get(&partition);
                // Where it began is committed, or the beginning.
                let begun = self.coordinator.committed.get(&partition).copied();
                let most = processed.copied().max(begun).unwrap_or(Offset::ZERO);
                let told = &self.members[member].told;
                assert!(
                    offset <= most,
                    "{member} commits {partition} at {offset}, and processed {most}; told {told:?}"
                );
            }
        }
    }

    /// Partitions by owner, of the members that are in the current generation.
    pub(crate) fn owners(&self) -> BTreeMap<TopicPartition, usize> {
        let mut owners = BTreeMap::new();
        for (n, member) in self.members.iter().enumerate() {
            let current = member.core.generation() == Some(self.coordinator.generation);
            for partition in member.core.assigned().filter(|_| current && member.runs) {
                let before = owners.insert(partition.clone(), n);
                assert_eq!(before, None, "{partition} has two owners, {n} the second of them");
            }
        }
        owners
    }

    fn check(&self) {
        self.owners();
    }

    /// Whether the group is stable, and every partition has an owner.
    pub(crate) fn is_settled(&self) -> bool {
        let running = self.members.iter().filter(|member| member.runs);
        self.coordinator.is_stable()
            && self.coordinator.members() == running.count()
            && self.owners().len() == self.model.partitions() as usize
            && self
                .members
                .iter()
                .filter(|member| member.runs)
                .all(|member| member.core.generation() == Some(self.coordinator.generation))
    }

    /// Whether every record was returned at least once.
    pub(crate) fn is_read(&self) -> bool {
        (0..self.model.partitions()).all(|index| {
            let mut offsets = (0..self.model.log(index).end().0).map(Offset);
            offsets.all(|offset| self.read.contains_key(&(index, offset)))
        })
    }

    /// Whether what was read is committed.
    pub(crate) fn is_committed(&self) -> bool {
        (0..self.model.partitions()).all(|index| {
            let committed = self.coordinator.committed.get(&TopicPartition::new("orders", index));
            committed.copied().unwrap_or_default() == self.model.log(index).end()
        })
    }

    /// What the listener of a member was told.
    pub(crate) fn told(&self, member: usize) -> &[Event] {
        &self.members[member].told
    }
}
