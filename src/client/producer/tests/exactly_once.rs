//! Transactions against a model of coordinators and leaders, over a network that loses and delays:
//! what was committed is there once, and nothing else is.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use tokio::sync::oneshot::Receiver;

use super::*;
use crate::base::TopicPartition;
use crate::client::producer::transactions::{Answer, Operation, Request, Told, Transactions};
use crate::client::testing::Model;
use crate::client::{CommittedOffset, GroupMetadata, TransactionError};
use crate::wire::messages::EndTxnResponse;

const PARTITIONS: i32 = 3;
const GROUP: &str = "shop";

enum Event {
    Input(Input),
    Produce { order: Order, answered: bool },
    Ask { order: transactions::Order, answered: bool },
}

/// One try to get the values of a transaction stored.
#[derive(Debug)]
struct Attempt {
    values: Vec<(i32, String)>,
    offset: Option<i64>,
    /// Whether it was committed; `None` if the producer never learned it.
    committed: Option<bool>,
}

struct Shop {
    core: Core,
    now: Instant,
    model: Model,
    random: ChaCha12Rng,
    events: BTreeMap<(Instant, u64), Event>,
    scheduled: u64,
    last_arrival: Instant,
    /// Version 2 of the protocol.
    implicit: bool,
    /// The percentage of requests that something happens to.
    faults: u32,
    attempts: Vec<Attempt>,
    restarts: usize,
    deliveries: Vec<Delivery>,
}

fn core(seed: u64) -> Core {
    let mut config = ProducerConfig::default();
    let settings = [
        ("bootstrap.servers", "b1:9092"),
        ("linger.ms", "2"),
        ("batch.size", "120"),
        ("transactional.id", "till"),
        ("request.timeout.ms", "300"),
        ("delivery.timeout.ms", "900"),
        ("retry.backoff.ms", "10"),
        ("retry.backoff.max.ms", "50"),
    ];
    config.set_all(settings).unwrap();
    Core::new(config, Instant::from_secs(1), Seed(seed).stream(Stream::named("core"))).unwrap()
}

impl Shop {
    fn new(seed: u64, implicit: bool, faults: u32) -> Self {
        let mut model = Model::new(1, &[1; PARTITIONS as usize]);
        model.coordinate("till", Ok(1));
        model.coordinate(GROUP, Ok(1));
        Self {
            core: core(seed),
            now: Instant::from_secs(1),
            model,
            random: Seed(seed).stream(Stream::named("shop")),
            events: BTreeMap::new(),
            scheduled: 0,
            last_arrival: Instant::START,
            implicit,
            faults,
            attempts: Vec::new(),
            restarts: 0,
            deliveries: Vec::new(),
        }
    }

    fn draw(&mut self, below: u32) -> u32 {
        self.random.next_u32() % below
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.draw(100) < percent
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(200 + u64::from(self.draw(5000)))
    }

    fn schedule(&mut self, time: Instant, event: Event) {
        self.scheduled += 1;
        self.events.insert((time.max(self.now), self.scheduled), event);
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.core.learn_transaction_level(if self.implicit { 2 } else { 1 });
        self.core.step(self.now, input, &mut effects);
        for effect in effects {
            let time = self.now + self.delay();
            match effect {
                Effect::Kernel(kernel::Effect::Metadata { ask, topics, .. }) => {
                    let answer = Some(Box::new(self.model.metadata(&topics)));
                    let news = kernel::Input::Metadata { from: ask, answer };
                    self.schedule(time, Event::Input(Input::Kernel(news)));
                }
                Effect::Kernel(kernel::Effect::Coordinators { ask, keys }) => {
                    let answer = Some(Box::new(self.model.coordinators(&keys)));
                    let news = kernel::Input::Coordinators { from: ask, keys, answer };
                    self.schedule(time, Event::Input(Input::Kernel(news)));
                }
                Effect::Identify { .. } => panic!("only the coordinator grants an id"),
                Effect::Send(order) => self.dispatch(order),
                Effect::Transact(order) => self.ask(order),
            }
        }
    }

    /// Puts records on their way. What breaks the connection may arrive all the same, much later.
    fn dispatch(&mut self, order: Order) {
        let arrives = (self.now + self.delay()).max(self.last_arrival);
        let request = order.request;
        if self.percent(self.faults) {
            let may_have_reached = self.percent(80);
            let outcome = Outcome::Lost { may_have_reached };
            self.schedule(arrives, Event::Input(Input::Produced { request, outcome }));
            if may_have_reached && self.percent(70) {
                let late = arrives + self.delay() * self.draw(200);
                self.schedule(late, Event::Produce { order, answered: false });
            }
            return;
        }
        self.last_arrival = arrives;
        self.schedule(arrives, Event::Produce { order, answered: true });
    }

    fn ask(&mut self, order: transactions::Order) {
        let arrives = self.now + self.delay();
        let ticket = order.ticket;
        if self.percent(self.faults) {
            let may_have_reached = self.percent(80);
            let lost = Input::Transacted { ticket, answer: Answer::Lost { may_have_reached } };
            if may_have_reached && self.percent(70) {
                // Only epochs per transaction keep a late request out of the next one (KIP-890).
                let late =
                    if self.implicit { self.delay() * self.draw(100) } else { Duration::ZERO };
                self.schedule(arrives + late, Event::Ask { order, answered: false });
            }
            return self.schedule(arrives + Duration::from_micros(1), Event::Input(lost));
        }
        self.schedule(arrives, Event::Ask { order, answered: true });
    }

    fn answer(&mut self, request: &Request) -> Answer {
        // Markers of the last transaction travel, or the coordinator loads.
        if self.percent(self.faults) {
            let code = match self.draw(2) {
                0 => ErrorCode::ConcurrentTransactions,
                _ => ErrorCode::CoordinatorLoadInProgress,
            };
            if let Request::End(_) = request {
                return Answer::End(message!(EndTxnResponse {
                    error_code: code.code(),
                    producer_id: -1,
                    producer_epoch: -1,
                }));
            }
        }
        let implicit = self.implicit;
        match request {
            Request::Init(request) => Answer::Init(self.model.init(request)),
            Request::AddPartitions(request) => {
                Answer::AddPartitions(self.model.add_partitions(request))
            }
            Request::AddOffsets(request) => Answer::AddOffsets(self.model.add_offsets(request)),
            Request::CommitOffsets(request) => {
                Answer::CommitOffsets(self.model.commit_in_transaction(request, implicit))
            }
            Request::End(request) => Answer::End(self.model.end(request, implicit)),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.step(input),
            Event::Produce { order, answered } => {
                assert_eq!(order.explicit, !self.implicit);
                let refused = answered && self.percent(self.faults);
                let answer = match refused {
                    true => Model::refused(&order.message, ErrorCode::NotEnoughReplicas),
                    false => self.model.produce_in(1, &order.message, self.implicit),
                };
                if answered {
                    let outcome = Outcome::Answered(Box::new(answer));
                    let input = Input::Produced { request: order.request, outcome };
                    let time = self.now + self.delay();
                    self.schedule(time, Event::Input(input));
                }
            }
            Event::Ask { order, answered } => {
                let answer = self.answer(&order.request);
                if answered {
                    let time = self.now + self.delay();
                    let input = Input::Transacted { ticket: order.ticket, answer };
                    self.schedule(time, Event::Input(input));
                }
            }
        }
    }

    /// Lets the next thing happen; false: nothing does until `end`.
    fn advance(&mut self, end: Instant) -> bool {
        let event = self.events.first_key_value().map_or(Instant::NEVER, |((time, _), _)| *time);
        let next = self.core.deadline().min(event).max(self.now);
        if next > end {
            self.now = end;
            return false;
        }
        self.now = next;
        match self.events.first_entry() {
            Some(entry) if entry.key().0 <= next => {
                let event = entry.remove();
                self.happen(event);
            }
            _ => {
                self.step(Input::Tick);
                // What was due is done.
                self.now = self.now + Duration::from_nanos(1);
            }
        }
        true
    }

    /// Makes a call again and again until its outcome is known.
    fn operate(
        &mut self,
        operation: Operation,
        call: impl Fn(&mut Transactions) -> Result<Receiver<Told>, TransactionError>,
    ) -> Told {
        for _ in 0..200 {
            let mut waiting = self.core.transactions(operation.call()).and_then(&call)?;
            self.step(Input::Tick);
            let end = self.now + Duration::from_millis(150);
            loop {
                if let Ok(told) = waiting.try_recv() {
                    self.core.transactions("").unwrap().acknowledge(operation);
                    return told;
                }
                if !self.advance(end) {
                    break;
                }
            }
        }
        panic!("{operation:?} never ends: {:?}", self.core.transactions(""));
    }

    /// The producer process is replaced by another one; what it has sent still travels.
    fn restart(&mut self) {
        self.restarts += 1;
        self.events.retain(|_, event| !matches!(event, Event::Input(_)));
        for event in self.events.values_mut() {
            match event {
                Event::Produce { answered, .. } | Event::Ask { answered, .. } => *answered = false,
                Event::Input(_) => {}
            }
        }
        self.core = core(1000 + self.restarts as u64);
        loop {
            match self.operate(Operation::Init, Transactions::init) {
                Ok(()) => return,
                // A late request of the process before got between.
                Err(error) => {
                    assert!(error.is_fenced(), "{error}");
                    self.core = core(2000 + self.scheduled);
                }
            }
        }
    }

    fn send(&mut self, partition: i32, value: String) {
        let record = ProducerRecord::new("orders", value).to_partition(partition);
        if let Taken::Yes(delivery) = self.core.append(self.now, Timestamp(1), record, None) {
            self.deliveries.push(delivery);
        }
        self.step(Input::Tick);
        for _ in 0..self.draw(4) {
            self.advance(self.now + Duration::from_millis(1));
        }
    }

    /// One transaction, repeated until it is committed or aborted on purpose.
    fn transact(&mut self, number: i64) {
        loop {
            let attempt = self.attempts.len();
            let count = 1 + self.draw(12);
            let values = (0..count)
                .map(|nth| (self.random.next_u32() as i32 & 1, format!("{attempt:05}.{nth:03}")));
            let values: Vec<_> = values.collect();
            let with_offsets = self.percent(50);
            let offset = with_offsets.then_some(number);
            self.attempts.push(Attempt { values: values.clone(), offset, committed: None });
            let wants_abort = self.percent(15);
            match self.try_transact(values, offset, wants_abort) {
                Ok(()) => {
                    self.attempts[attempt].committed = Some(!wants_abort);
                    return;
                }
                Err(error) if error.is_abortable() => {
                    match self.operate(Operation::Abort, Transactions::abort) {
                        Ok(()) => self.attempts[attempt].committed = Some(false),
                        Err(_) => self.restart(),
                    }
                }
                Err(_) => self.restart(),
            }
        }
    }

    fn try_transact(
        &mut self,
        values: Vec<(i32, String)>,
        offset: Option<i64>,
        abort: bool,
    ) -> Told {
        self.core.transactions("begin")?.begin()?;
        for (partition, value) in values {
            self.send(partition, value);
        }
        if let Some(offset) = offset {
            let group = GroupMetadata {
                group: GROUP.into(),
                generation: 4,
                member: "m".into(),
                instance: None,
            };
            let offsets = [(TopicPartition::new("in", 0), CommittedOffset::at(Offset(offset)))];
            // The commit waits for it.
            drop(self.core.transactions("")?.send_offsets(offsets.into(), group)?);
            self.step(Input::Tick);
        }
        match abort {
            true => self.operate(Operation::Abort, Transactions::abort),
            false => self.operate(Operation::Commit, Transactions::commit),
        }
    }

    /// Everything that was committed is there once and in order, and nothing else.
    fn judge(&mut self) {
        let mut stored: BTreeMap<String, i32> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            assert_eq!(self.model.last_stable(partition), self.model.log(partition).end());
            let values = self.model.log(partition).committed_values();
            let values =
                values.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            let values: Vec<_> = values.collect();
            assert!(values.is_sorted(), "partition {partition}: {values:?}");
            for value in values {
                let before = stored.insert(value.clone(), partition);
                assert_eq!(before, None, "{value} is there twice");
            }
        }
        let mut offset = None;
        for attempt in &self.attempts {
            let there = attempt.values.iter().filter(|(partition, value)| {
                let at = stored.remove(value);
                assert!(at.is_none_or(|at| at == *partition));
                at.is_some()
            });
            let there = there.count();
            let all = there == attempt.values.len();
            assert!(all || there == 0, "{there} values are left of {attempt:?}");
            assert!(attempt.committed.is_none_or(|committed| committed == all), "{attempt:?}");
            if all && attempt.offset.is_some() {
                offset = attempt.offset;
            }
        }
        assert_eq!(stored, BTreeMap::new(), "values that were never sent");
        let committed = &self.model.transactions().committed;
        let committed = committed.get(GROUP).and_then(|of| of.get(&("in".to_owned(), 0)));
        assert_eq!(committed.copied(), offset);
    }
}

fn run(seed: u64, implicit: bool, faults: u32) -> (u64, usize) {
    let mut shop = Shop::new(seed, implicit, faults);
    shop.model.transactions().generations.insert(GROUP.into(), 4);
    shop.operate(Operation::Init, Transactions::init).unwrap();
    for number in 1..=25 {
        shop.transact(number);
    }
    shop.faults = 0;
    while shop.advance(shop.now + Duration::from_secs(5)) {}
    // Aborts what is open.
    shop.restart();
    shop.judge();
    (shop.model.transactions().commits, shop.restarts)
}

#[test]
fn quiet_network_commits_each_transaction_at_its_first_attempt() {
    for implicit in [false, true] {
        let (commits, restarts) = run(7, implicit, 0);
        assert!(commits >= 15 && restarts == 1, "{commits} commits, {restarts} restarts");
    }
}

#[test]
fn lost_replies_neither_double_nor_tear_transactions_of_version_1() {
    for seed in 0..60 {
        run(seed, false, 12);
    }
}

#[test]
fn lost_replies_neither_double_nor_tear_transactions_of_version_2() {
    for seed in 0..60 {
        run(seed, true, 12);
    }
}

#[test]
fn consumer_that_lost_its_partitions_commits_no_offsets() {
    let mut shop = Shop::new(3, true, 0);
    shop.model.transactions().generations.insert(GROUP.into(), 5);
    shop.operate(Operation::Init, Transactions::init).unwrap();
    let error = shop.try_transact(vec![(0, "v".into())], Some(9), false).unwrap_err();
    assert_eq!((error.name(), error.is_abortable()), ("COMMIT_FAILED", true), "{error}");
    shop.operate(Operation::Abort, Transactions::abort).unwrap();
    assert_eq!(shop.model.log(0).committed_values(), []);
    assert!(shop.model.transactions().committed.is_empty());
}
