//! The core without a network: a clock that is set by hand, and answers as a broker would give them.

mod arbitrary;
mod buffering;
mod compressing;
mod exactly_once;
mod measuring;
mod numbers;
mod partitioning;
mod sending;
mod throttling;
mod transacting;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::core::Granted;
use super::transactions;
use super::{Core, Delivery, Effect, Input, Order, Outcome, ProducerRecord, RecordMetadata, Taken};
use crate::base::config::{Config, ProducerConfig};
use crate::base::{Instant, Offset, ProducerEpoch, ProducerId, Seed, Stream, Timestamp};
use crate::client::kernel::{self, CoordinatorKey, metadata};
use crate::client::{ProduceCause, ProduceError};
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::batch::{BatchHeader, check, records};
use crate::wire::messages::find_coordinator_response::Coordinator;
use crate::wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use crate::wire::messages::{FindCoordinatorResponse, ProduceResponse, message};

/// A producer's core, its clock, and what it wants sent.
struct Stage {
    core: Core,
    now: Instant,
    orders: VecDeque<Order>,
    /// Requests to coordinators.
    asked: VecDeque<transactions::Order>,
    refreshes: usize,
    identified: usize,
    /// Answers questions for metadata and identity at once, as they stand here.
    leaders: Option<Vec<(i32, i32)>>,
    next_id: i64,
    /// Of answers.
    throttle_ms: i32,
}

impl Stage {
    /// One topic `orders` with one partition, led by broker 1 in epoch 5.
    fn new(settings: &[(&str, &str)]) -> Self {
        let mut config = ProducerConfig::default();
        config.set_all([("bootstrap.servers", "b1:9092"), ("linger.ms", "0")]).unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let random = Seed(1).stream(Stream::named("test"));
        Self {
            core: Core::new(config, Instant::from_secs(1), random).unwrap(),
            now: Instant::from_secs(1),
            orders: VecDeque::new(),
            asked: VecDeque::new(),
            refreshes: 0,
            identified: 0,
            leaders: Some(vec![(1, 5)]),
            next_id: 70,
            throttle_ms: 0,
        }
    }

    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.core.step(self.now, input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Send(order) => self.orders.push_back(order),
                    Effect::Transact(order) => self.asked.push_back(order),
                    Effect::Kernel(kernel::Effect::Coordinators { ask, keys }) => {
                        inputs.push_back(coordinated(ask, keys));
                    }
                    Effect::Kernel(kernel::Effect::Metadata { ask, .. }) => {
                        self.refreshes += 1;
                        if let Some(leaders) = &self.leaders {
                            inputs.push_back(told(ask, leaders));
                        }
                    }
                    Effect::Identify { ask } => {
                        self.identified += 1;
                        let answer = Ok((ProducerId(self.next_id), ProducerEpoch(0)));
                        inputs.push_back(Input::Identity { from: ask, answer, throttle_ms: 0 });
                        self.next_id += 1;
                    }
                }
            }
        }
    }

    /// Lets time pass, and ticks whenever the core wants it.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..10_000 {
            let next = self.core.deadline().max(self.now);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            self.step(Input::Tick);
            if self.core.deadline() <= self.now {
                // What is due now was done; only what comes later matters.
                self.now = self.now + Duration::from_nanos(1);
            }
        }
        panic!("the core wants to be woken again and again");
    }

    fn hand_over(&mut self, record: ProducerRecord) -> Delivery {
        match self.core.append(self.now, Timestamp(1000), record, None) {
            Taken::Yes(delivery) => delivery,
            Taken::NoMemory { .. } => panic!("no memory"),
        }
    }

    /// Sends one record and lets it leave in a batch of its own.
    fn send(&mut self, value: &str) -> Delivery {
        let delivery = self.hand_over(ProducerRecord::new("orders", value.to_owned()));
        self.step(Input::Tick);
        delivery
    }

    fn order(&mut self) -> Order {
        self.orders.pop_front().expect("an order")
    }

    fn answer(&mut self, order: &Order, error: ErrorCode, base: i64) {
        let mut answer = ProduceResponse::default();
        answer.throttle_time_ms = self.throttle_ms;
        for topic in &order.message.topic_data {
            let mut told = TopicProduceResponse::default();
            told.name = topic.name.clone();
            for data in &topic.partition_data {
                let mut partition = PartitionProduceResponse::default();
                partition.index = data.index;
                partition.error_code = error.code();
                partition.base_offset = base;
                partition.log_append_time_ms = -1;
                told.partition_responses.push(partition);
            }
            answer.responses.push(told);
        }
        let outcome = Outcome::Answered(Box::new(answer));
        self.step(Input::Produced { request: order.request, outcome });
    }

    fn stored(&mut self, order: &Order, base: i64) {
        self.answer(order, ErrorCode::None, base);
    }

    fn refuse(&mut self, order: &Order, error: ErrorCode) {
        self.answer(order, error, -1);
    }

    fn lose(&mut self, order: &Order, may_have_reached: bool) {
        let outcome = Outcome::Lost { may_have_reached };
        self.step(Input::Produced { request: order.request, outcome });
    }
}

/// Metadata of three brokers and of `orders` with these leaders and epochs.
fn told(from: Address, leaders: &[(i32, i32)]) -> Input {
    let answer = Some(Box::new(metadata(3, "orders", 7, leaders)));
    Input::Kernel(kernel::Input::Metadata { from, answer })
}

/// Broker 1 coordinates everything.
fn coordinated(from: Address, keys: Vec<CoordinatorKey>) -> Input {
    let named = keys.iter().map(|key| {
        message!(Coordinator { key: (&*key.id).into(), node_id: 1, host: "b1".into(), port: 9092 })
    });
    let answer = message!(FindCoordinatorResponse { coordinators: named.collect() });
    Input::Kernel(kernel::Input::Coordinators { from, keys, answer: Some(Box::new(answer)) })
}

fn verdict(delivery: &mut Delivery) -> Option<Result<RecordMetadata, ProduceError>> {
    match Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => Some(verdict),
        Poll::Pending => None,
    }
}

fn offset(delivery: &mut Delivery) -> Option<Offset> {
    match verdict(delivery) {
        Some(Ok(metadata)) => metadata.offset,
        other => panic!("not stored: {other:?}"),
    }
}

fn error(delivery: &mut Delivery) -> ProduceError {
    match verdict(delivery) {
        Some(Err(error)) => error,
        other => panic!("not failed: {other:?}"),
    }
}

fn batch(order: &Order) -> BatchHeader {
    check(order.message.topic_data[0].partition_data[0].records.as_ref().unwrap()).unwrap()
}

fn values(order: &Order) -> Vec<String> {
    let bytes = order.message.topic_data[0].partition_data[0].records.as_ref().unwrap();
    let records = records(bytes, 1 << 20).unwrap();
    records.iter().map(|r| String::from_utf8_lossy(r.value.as_ref().unwrap()).into()).collect()
}
