//! Carries the core's decisions out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::callbacks::Callbacks;
use super::core::{Core, Effect, Input, Order};
use super::lane::lane;
use super::transactions::{self, Answer, Request};
use crate::base::{Instant, ProducerEpoch, ProducerId};
use crate::client::kernel::{self, question_deadline};
use crate::client::metrics::Nodes;
use crate::io::{Address, World};
use crate::rpc::{Pool, Purpose};
use crate::wire::ErrorCode;
use crate::wire::messages::InitProducerIdRequest;

/// The feature whose level says which version of the protocol of transactions brokers want.
const TRANSACTION_VERSION: &str = "transaction.version";

/// What handles and driver share.
pub(super) struct Shared<W: World> {
    pub(super) world: W,
    pub(super) core: Mutex<Core>,
    pub(super) request_timeout: Duration,
    pub(super) nodes: Arc<Nodes>,
    /// The core has something to do before its deadline.
    pub(super) wake: Notify,
    pub(super) callbacks: Arc<Callbacks>,
}

/// The task behind a producer.
pub(super) struct Driver<W: World> {
    shared: Arc<Shared<W>>,
    pool: Pool<W>,
    lanes: BTreeMap<Address, UnboundedSender<Order>>,
    inputs: UnboundedReceiver<Input>,
    input: UnboundedSender<Input>,
    effects: Vec<Effect>,
}

impl<W: World> Driver<W> {
    pub(super) fn new(shared: Arc<Shared<W>>, pool: Pool<W>) -> Self {
        let (input, inputs) = unbounded_channel();
        Self { shared, pool, lanes: BTreeMap::new(), inputs, input, effects: Vec::new() }
    }

    /// Runs until the producer is closed and every record has its verdict.
    pub(super) async fn run(mut self) {
        let mut input = Some(Input::Tick);
        loop {
            let (deadline, is_over) = self.step(input.take().unwrap_or(Input::Tick));
            self.carry_out();
            self.shared.callbacks.run();
            if is_over {
                self.pool.close();
                return;
            }
            tokio::select! {
                biased;
                next = self.inputs.recv() => input = next,
                () = self.shared.wake.notified() => {}
                () = self.shared.world.sleep_until(deadline) => {}
            }
        }
    }

    fn step(&mut self, input: Input) -> (Instant, bool) {
        let now = self.shared.world.now();
        let level = self.pool.finalized_level(TRANSACTION_VERSION);
        let mut core = self.shared.core.lock();
        core.learn_transaction_level(level);
        core.step(now, input, &mut self.effects);
        // One step for each of several answers, but one look at the clock and one lock.
        while let Ok(input) = self.inputs.try_recv() {
            core.step(now, input, &mut self.effects);
        }
        (core.deadline(), core.is_over())
    }

    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Send(order) => self.send(order),
                Effect::Kernel(effect) => {
                    let (pool, input) = (self.pool.clone(), self.input.clone());
                    let deadline = self.question_deadline();
                    self.shared.world.spawn("producer metadata", async move {
                        let news = kernel::carry_out(&pool, effect, deadline).await;
                        let _ = input.send(Input::Kernel(news));
                    });
                }
                Effect::Transact(order) => {
                    let (pool, input) = (self.pool.clone(), self.input.clone());
                    let deadline = self.shared.world.now() + self.shared.request_timeout;
                    self.shared.world.spawn("producer transaction", async move {
                        let _ = input.send(transact(&pool, order, deadline).await);
                    });
                }
                Effect::Identify { ask } => {
                    let (pool, input) = (self.pool.clone(), self.input.clone());
                    let deadline = self.question_deadline();
                    self.shared.world.spawn("producer id", async move {
                        let _ = input.send(identify(&pool, ask, deadline).await);
                    });
                }
            }
        }
    }

    fn question_deadline(&self) -> Instant {
        question_deadline(self.shared.world.now(), self.shared.request_timeout)
    }

    fn send(&mut self, order: Order) {
        let (pool, input) = (&self.pool, &self.input);
        let lane = self.lanes.entry(order.to.clone()).or_insert_with(|| {
            let (orders, receiver) = unbounded_channel();
            let lane = lane(pool.clone(), receiver, input.clone());
            self.shared.world.spawn("producer lane", lane);
            orders
        });
        // A lane outlives its driver only.
        let _ = lane.send(order);
    }
}

async fn transact<W: World>(
    pool: &Pool<W>,
    order: transactions::Order,
    deadline: Instant,
) -> Input {
    let transactions::Order { ticket, to, request, max_version } = order;
    let (to, purpose) = (&to, Purpose::Coordinator);
    let answer = match request {
        Request::Init(request) => {
            pool.call(to, purpose, &request, max_version, deadline).await.map(Answer::Init)
        }
        Request::AddPartitions(request) => {
            pool.call(to, purpose, &request, max_version, deadline).await.map(Answer::AddPartitions)
        }
        Request::AddOffsets(request) => {
            pool.call(to, purpose, &request, max_version, deadline).await.map(Answer::AddOffsets)
        }
        Request::CommitOffsets(request) => {
            pool.call(to, purpose, &request, max_version, deadline).await.map(Answer::CommitOffsets)
        }
        Request::End(request) => {
            pool.call(to, purpose, &request, max_version, deadline).await.map(Answer::End)
        }
    };
    let answer = answer.unwrap_or_else(|error| match error.is_final() {
        true => Answer::Unsupported,
        false => Answer::Lost { may_have_reached: error.may_have_reached() },
    });
    Input::Transacted { ticket, answer }
}

async fn identify<W: World>(pool: &Pool<W>, ask: Address, deadline: Instant) -> Input {
    let mut request = InitProducerIdRequest::default();
    request.transactional_id = None;
    request.transaction_timeout_ms = i32::MAX;
    request.producer_id = ProducerId::NONE.0;
    request.producer_epoch = ProducerEpoch::NONE.0;
    match pool.call(&ask, Purpose::Questions, &request, None, deadline).await {
        Ok(answer) => {
            let error = ErrorCode::from_code(answer.error_code);
            let identity = (ProducerId(answer.producer_id), ProducerEpoch(answer.producer_epoch));
            let answered = error.check().map(|()| identity);
            let throttle_ms = answer.throttle_time_ms;
            Input::Identity { from: ask, answer: answered, throttle_ms }
        }
        Err(_) => Input::NoIdentity { from: ask },
    }
}
