//! A producer's and a consumer's core against the model, on a clock that is set by hand. Requests
//! and responses are delayed, lost, duplicated by retries and refused, as a seed decides.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::Model;
use crate::base::config::{ConsumerConfig, ProducerConfig};
use crate::base::{
    Flaws, Instant, Offset, ProducerEpoch, ProducerId, Seed, Stream, Timestamp, TopicPartition,
};
use crate::client::consumer::{self, Answer, Notice, Question};
use crate::client::kernel;
use crate::client::producer::{self, Outcome, Taken};
use crate::client::{ConsumerRecord, Delivery, ProduceError, ProducerRecord, RecordMetadata};
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::{FetchResponse, ProduceRequest};

/// How often what goes wrong, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// A request never arrives, and the client may or may not know that.
    pub(crate) lost_request: u32,
    /// A request is carried out, perhaps long after the client gave up, and its response is lost.
    pub(crate) lost_response: u32,
    /// A produce is refused, before or after it is appended.
    pub(crate) refused: u32,
    /// A request makes another broker the leader of a partition.
    pub(crate) election: u32,
    /// The longest delay of a request or response, beyond 1 ms.
    pub(crate) delay: Duration,
}

/// What happens at a time.
enum Event {
    ProduceArrives { order: producer::Order, fate: Fate },
    AskArrives(Box<consumer::Order>),
    Producer(producer::Input),
    Consumer(consumer::Input),
    Send(ProducerRecord),
    Poll,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It is carried out, and the client has been told that it is lost, or will be.
    Unanswered,
    RefusedBefore(ErrorCode),
    RefusedAfter(ErrorCode),
}

/// A record that was sent, and its verdict as soon as it has one.
pub(crate) struct SentRecord {
    pub(crate) value: Vec<u8>,
    pub(crate) verdict: Option<Result<RecordMetadata, ProduceError>>,
    delivery: Option<Delivery>,
}

/// Two cores, the cluster between them, and what happens next.
pub(crate) struct Bench {
    pub(crate) now: Instant,
    pub(crate) model: Model,
    pub(crate) sent: Vec<SentRecord>,
    pub(crate) read: BTreeMap<i32, Vec<ConsumerRecord>>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) faults: Faults,
    producer: producer::Core,
    consumer: consumer::Core,
    random: ChaCha12Rng,
    events: BTreeMap<(Instant, u64), Event>,
    scheduled: u64,
    /// When the last produce arrives at each broker: a stream keeps its order.
    arrivals: BTreeMap<Address, Instant>,
}

impl Bench {
    pub(crate) fn new(
        seed: u64,
        model: Model,
        producer: ProducerConfig,
        consumer: ConsumerConfig,
        flaws: Flaws,
    ) -> Self {
        let random = |name: &'static str| Seed(seed).stream(Stream::named(name));
        let now = Instant::from_secs(1);
        Self {
            now,
            model,
            sent: Vec::new(),
            read: BTreeMap::new(),
            notices: Vec::new(),
            faults: Faults::default(),
            producer: producer::Core::new(producer, now, random("producer"))
                .unwrap()
                .with_flaws(flaws),
            consumer: consumer::Core::new(consumer, now, random("consumer"))
                .unwrap()
                .with_flaws(flaws),
            random: random("bench"),
            events: BTreeMap::new(),
            scheduled: 0,
            arrivals: BTreeMap::new(),
        }
    }

    /// Sends a record to a partition at a time.
    pub(crate) fn send_at(&mut self, time: Instant, partition: i32, value: &str) {
        let record = ProducerRecord::new("orders", value.to_owned()).to_partition(partition);
        self.schedule(time, Event::Send(record));
    }

    /// Assigns partitions, and polls now and then.
    pub(crate) fn consume(&mut self, partitions: i32) {
        let assigned = (0..partitions).map(|index| TopicPartition::new("orders", index));
        self.consumer.assign(assigned.collect());
        self.schedule(self.now, Event::Poll);
    }

    fn schedule(&mut self, time: Instant, event: Event) {
        self.scheduled += 1;
        self.events.insert((time.max(self.now), self.scheduled), event);
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.random.next_u32() % 100 < percent
    }

    fn delay(&mut self) -> Duration {
        let most = u32::try_from(self.faults.delay.as_micros()).unwrap_or(u32::MAX);
        let delay = self.random.next_u32() % most.max(1);
        Duration::from_millis(1) + Duration::from_micros(u64::from(delay))
    }

    /// Lets time pass until `done`, or until `limit`. Returns whether it is done.
    pub(crate) fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        let mut idle = 0;
        while !done(self) {
            let deadline = self.producer.deadline().min(self.consumer.deadline());
            let event = self.events.first_key_value().map(|((time, _), _)| *time);
            let next = deadline.min(event.unwrap_or(Instant::NEVER)).max(self.now);
            if next > end {
                return false;
            }
            idle = if next == self.now { idle + 1 } else { 0 };
            assert!(idle < 10_000, "the cores want to be stepped again and again at {next:?}");
            self.now = next;
            match self.events.first_key_value() {
                Some(((time, _), _)) if *time <= next => {
                    let Some((_, event)) = self.events.pop_first() else { continue };
                    self.happen(event);
                }
                _ => {
                    self.step_producer(producer::Input::Tick);
                    self.step_consumer(consumer::Input::Tick);
                }
            }
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ProduceArrives { order, fate } => self.carry_out_produce(order, fate),
            Event::AskArrives(order) => self.carry_out_ask(*order),
            Event::Producer(input) => self.step_producer(input),
            Event::Consumer(input) => self.step_consumer(input),
            Event::Send(record) => self.send(record),
            Event::Poll => self.poll(),
        }
    }

    fn send(&mut self, record: ProducerRecord) {
        let value = record.value.as_ref().unwrap().to_vec();
        let taken = self.producer.append(self.now, Timestamp(1000), record, None);
        let Taken::Yes(delivery) = taken else { panic!("no memory") };
        self.sent.push(SentRecord { value, verdict: None, delivery: Some(delivery) });
        self.step_producer(producer::Input::Tick);
    }

    fn poll(&mut self) {
        let records = self.consumer.take(self.now).unwrap();
        for record in records {
            self.read.entry(record.partition.partition).or_default().push(record);
        }
        self.notices.extend(self.consumer.take_notices());
        self.step_consumer(consumer::Input::Tick);
        let pause = Duration::from_millis(u64::from(self.random.next_u32() % 50));
        self.schedule(self.now + pause, Event::Poll);
    }

    fn step_producer(&mut self, input: producer::Input) {
        let mut effects = Vec::new();
        self.producer.step(self.now, input, &mut effects);
        for effect in effects {
            match effect {
                producer::Effect::Kernel(effect) => {
                    let (time, input) = self.ask_cluster(effect);
                    self.schedule(time, Event::Producer(producer::Input::Kernel(input)));
                }
                producer::Effect::Identify { ask } => {
                    let input = match self.percent(self.faults.lost_request) {
                        true => producer::Input::NoIdentity { from: ask },
                        false => {
                            let id = ProducerId(self.model.init_producer_id());
                            let answer = Ok((id, ProducerEpoch(0)));
                            producer::Input::Identity { from: ask, answer, throttle_ms: 0 }
                        }
                    };
                    let time = self.now + self.delay();
                    self.schedule(time, Event::Producer(input));
                }
                producer::Effect::Send(order) => self.dispatch_produce(order),
                producer::Effect::Transact(order) => panic!("this producer has none: {order:?}"),
            }
        }
        self.collect_verdicts();
    }

    fn collect_verdicts(&mut self) {
        for sent in &mut self.sent {
            let Some(delivery) = &mut sent.delivery else { continue };
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(verdict) = Pin::new(delivery).poll(&mut context) {
                sent.verdict = Some(verdict);
                sent.delivery = None;
            }
        }
    }

    fn step_consumer(&mut self, input: consumer::Input) {
        let mut effects = Vec::new();
        self.consumer.step(self.now, input, &mut effects);
        for effect in effects {
            match effect {
                consumer::Effect::Kernel(effect) => {
                    let (time, input) = self.ask_cluster(effect);
                    self.schedule(time, Event::Consumer(consumer::Input::Kernel(input)));
                }
                consumer::Effect::Ask(order) => {
                    let arrives = self.now + self.delay();
                    if self.percent(self.faults.lost_request) {
                        self.answer(arrives, &order, Answer::None(ErrorCode::NetworkException));
                    } else {
                        self.schedule(arrives, Event::AskArrives(order));
                    }
                }
            }
        }
    }

    /// Answers a question about the cluster; it may be lost.
    fn ask_cluster(&mut self, effect: kernel::Effect) -> (Instant, kernel::Input) {
        let time = self.now + self.delay() + self.delay();
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
        (time, input)
    }

    /// Puts a produce on its way, and decides what becomes of it.
    fn dispatch_produce(&mut self, order: producer::Order) {
        let delayed = self.now + self.delay();
        if self.percent(self.faults.lost_request) {
            let may_have_reached = self.percent(50);
            return self.produced(delayed, &order, Outcome::Lost { may_have_reached });
        }
        let last = self.arrivals.get(&order.to).copied().unwrap_or(self.now);
        let arrives = delayed.max(last);
        if self.percent(self.faults.lost_response) {
            // The connection broke; what was in it may be carried out much later.
            self.produced(arrives, &order, Outcome::Lost { may_have_reached: true });
            let late = arrives + self.delay() * (self.random.next_u32() % 20);
            return self.schedule(late, Event::ProduceArrives { order, fate: Fate::Unanswered });
        }
        let fate = match self.percent(self.faults.refused) {
            false => Fate::Answered,
            true => self.refusal(),
        };
        self.arrivals.insert(order.to.clone(), arrives);
        self.schedule(arrives, Event::ProduceArrives { order, fate });
    }

    fn refusal(&mut self) -> Fate {
        let before = [ErrorCode::NotEnoughReplicas, ErrorCode::InvalidRecord];
        let after = [
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotLeaderOrFollower,
        ];
        let draw = self.random.next_u32() as usize;
        match draw.is_multiple_of(2) {
            true => Fate::RefusedBefore(before[draw / 2 % before.len()]),
            false => Fate::RefusedAfter(after[draw / 2 % after.len()]),
        }
    }

    fn carry_out_produce(&mut self, order: producer::Order, fate: Fate) {
        if self.percent(self.faults.election) {
            let partitions = self.model.partitions() as u32;
            let partition = self.random.next_u32() % partitions;
            let leader = 1 + self.random.next_u32() % self.model.brokers() as u32;
            self.model.elect(partition as i32, leader as i32);
        }
        let request: &ProduceRequest = &order.message;
        let answer = match fate {
            Fate::RefusedBefore(error) => Model::refused(request, error),
            Fate::RefusedAfter(error) => {
                self.model.produce(id(&order.to), request);
                Model::refused(request, error)
            }
            Fate::Answered | Fate::Unanswered => self.model.produce(id(&order.to), request),
        };
        if fate != Fate::Unanswered {
            let time = self.now + self.delay();
            self.produced(time, &order, Outcome::Answered(Box::new(answer)));
        }
    }

    fn produced(&mut self, time: Instant, order: &producer::Order, outcome: Outcome) {
        let input = producer::Input::Produced { request: order.request, outcome };
        self.schedule(time, Event::Producer(input));
    }

    fn carry_out_ask(&mut self, order: consumer::Order) {
        let at = id(&order.to);
        let mut time = self.now + self.delay();
        let answer = match &order.question {
            Question::Fetch(request) => {
                let answer = self.model.fetch(at, request);
                if is_empty(&answer) {
                    time = time + Duration::from_millis(100);
                }
                Answer::Fetch(Box::new(answer))
            }
            Question::List(request) => Answer::List(Box::new(self.model.list_offsets(at, request))),
            Question::Validate(request) => {
                Answer::Validate(Box::new(self.model.epoch_ends(at, request)))
            }
            Question::Group(request) => panic!("this consumer has no group: {request:?}"),
        };
        self.answer(time, &order, answer);
    }

    fn answer(&mut self, time: Instant, order: &consumer::Order, answer: Answer) {
        let input = consumer::Input::Answered { request: order.request, answer };
        self.schedule(time, Event::Consumer(input));
    }

    /// Whether every record has its verdict.
    pub(crate) fn is_judged(&self) -> bool {
        self.sent.iter().all(|sent| sent.verdict.is_some())
    }

    /// Whether the consumer has read all that is stored.
    pub(crate) fn is_read(&self) -> bool {
        (0..self.model.partitions()).all(|index| {
            let position = self.consumer.position(&TopicPartition::new("orders", index));
            position == Some(self.model.log(index).end())
        })
    }

    /// What the consumer read of a partition.
    pub(crate) fn values_read(&self, partition: i32) -> VecDeque<(Offset, Vec<u8>)> {
        let records = self.read.get(&partition).into_iter().flatten();
        records.map(|record| (record.offset, record.value.clone().unwrap().to_vec())).collect()
    }
}

fn is_empty(answer: &FetchResponse) -> bool {
    let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .all(|data| data.error_code == 0 && data.records.as_ref().is_none_or(|r| r.is_empty()))
}

/// The broker at `b1:9092` is 1.
fn id(address: &Address) -> i32 {
    address.host.trim_start_matches('b').parse().unwrap()
}
