//! Carries the core's decisions out, whether or not the application polls.
//!
//! Every answer steps the core where it arrives, and a task in the background steps it at its
//! deadline. So metadata is refreshed and records are fetched ahead between two polls, up to one
//! fetch for each partition.
//!
//! Requests to a coordinator leave in the order in which the core decided them, whichever way an
//! executor runs its tasks: the later one of two commits must take effect last.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::answers::Answer;
use super::core::{Core, Effect, Input, Order};
use super::questions::Question;
use crate::base::Instant;
use crate::client::group::{Request, Response};
use crate::client::kernel::{self, question_deadline};
use crate::io::{Address, World};
use crate::rpc::{Pool, Purpose, RpcError};
use crate::wire::ErrorCode;
use crate::wire::messages::Uuid;

/// Up to this version of Fetch, topics go by name (KIP-516).
const LAST_VERSION_BY_NAME: i16 = 12;

/// Up to this version of OffsetCommit and OffsetFetch, topics go by name (KIP-848).
const LAST_COMMIT_BY_NAME: i16 = 9;
/// The last version of ConsumerGroupHeartbeat in which a member may join without an id (KIP-1082).
const LAST_WITHOUT_ID: i16 = 0;

/// A consumer's core, and what it takes to carry its effects out.
pub(super) struct Driver<W: World> {
    world: W,
    pool: Pool<W>,
    request_timeout: Duration,
    state: Mutex<State>,
    /// Notified when the core's deadline moves closer, and when the consumer is dropped.
    sooner: Notify,
    /// Notified when an input may have given the application something to see.
    progress: Notify,
}

/// The way to each coordinator, by address.
type Lanes = BTreeMap<Address, UnboundedSender<Box<Order>>>;

struct State {
    core: Core,
    /// The requests to each coordinator that have not left.
    lanes: Lanes,
    /// When the background task wakes up.
    alarm: Instant,
    closed: bool,
}

impl<W: World> Driver<W> {
    /// Begins, with its task in the background.
    pub(super) fn start(
        world: W,
        pool: Pool<W>,
        core: Core,
        request_timeout: Duration,
    ) -> Arc<Self> {
        let lanes = BTreeMap::new();
        let state = State { core, lanes, alarm: Instant::NEVER, closed: false };
        let driver = Arc::new(Self {
            world,
            pool,
            request_timeout,
            state: Mutex::new(state),
            sooner: Notify::new(),
            progress: Notify::new(),
        });
        driver.world.spawn("consumer", Arc::clone(&driver).run());
        driver
    }

    /// Steps the core at its deadline, until the consumer is dropped. Heartbeats leave here.
    async fn run(self: Arc<Self>) {
        loop {
            let alarm = {
                let mut state = self.state.lock();
                if state.closed {
                    return;
                }
                state.alarm = state.core.deadline();
                state.alarm
            };
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = self.world.sleep_until(alarm) => {
                    self.step(Input::Tick);
                    self.progress.notify_one();
                }
            }
        }
    }

    pub(super) fn close(&self) {
        {
            let mut state = self.state.lock();
            state.closed = true;
            state.lanes.clear();
        }
        self.pool.close();
        self.sooner.notify_one();
    }

    /// Looks at the core, or changes what the application wants of it.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Core) -> T) -> T {
        look(&mut self.state.lock().core)
    }

    /// Steps the core, and carries out what it decides.
    pub(super) fn step(self: &Arc<Self>, input: Input) {
        let now = self.world.now();
        let mut effects = Vec::new();
        let is_sooner = {
            let mut state = self.state.lock();
            if state.closed {
                return;
            }
            state.core.set_date(self.world.wall_clock());
            state.core.step(now, input, &mut effects);
            // Under the lock, so that no later decision comes before them.
            self.ask_coordinators(&mut state.lanes, &mut effects);
            state.core.deadline() < state.alarm
        };
        for effect in effects {
            self.carry_out(effect);
        }
        if is_sooner {
            self.sooner.notify_one();
        }
    }

    /// Sends the requests to coordinators on their way, and leaves the other effects.
    fn ask_coordinators(self: &Arc<Self>, lanes: &mut Lanes, effects: &mut Vec<Effect>) {
        for effect in std::mem::take(effects) {
            match effect {
                Effect::Ask(order) if matches!(order.question, Question::Group(_)) => {
                    let lane = lanes.entry(order.to.clone()).or_insert_with(|| {
                        let (orders, receiver) = unbounded_channel();
                        self.world.spawn("consumer lane", Arc::clone(self).lane(receiver));
                        orders
                    });
                    // A lane outlives its sender, unless the host dies.
                    let _ = lane.send(order);
                }
                other => effects.push(other),
            }
        }
    }

    /// Carries the requests to one coordinator out. They leave in order, and several are in flight.
    async fn lane(self: Arc<Self>, mut orders: UnboundedReceiver<Box<Order>>) {
        while let Some(order) = orders.recv().await {
            if !self.pause(order.not_before).await {
                continue;
            }
            let mut call = Box::pin(Arc::clone(&self).ask(order));
            // With its first poll a call has its place in the stream.
            let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            if polled.is_pending() {
                self.world.spawn("consumer question", call);
            }
        }
    }

    async fn ask(self: Arc<Self>, order: Box<Order>) {
        let request = order.request;
        let answer = answer(&self.pool, *order).await;
        self.arrived(Input::Answered { request, answer });
    }

    /// Waits until something happens that a waiting call may want to see.
    pub(super) async fn progress(&self, until: Instant) {
        tokio::select! {
            biased;
            () = self.progress.notified() => {}
            () = self.world.sleep_until(until) => {}
        }
    }

    fn carry_out(self: &Arc<Self>, effect: Effect) {
        let driver = Arc::clone(self);
        match effect {
            Effect::Kernel(effect) => {
                let deadline = question_deadline(self.world.now(), self.request_timeout);
                self.world.spawn("consumer metadata", async move {
                    let news = kernel::carry_out(&driver.pool, effect, deadline).await;
                    driver.arrived(Input::Kernel(news));
                });
            }
            Effect::Ask(order) => self.world.spawn("consumer question", async move {
                if driver.pause(order.not_before).await {
                    driver.ask(order).await;
                }
            }),
        }
    }

    /// Waits until then; returns false if the consumer was dropped meanwhile. A pause may last 24
    /// days, but keeps a dropped consumer's driver alive no longer than `request.timeout.ms`.
    async fn pause(&self, until: Instant) -> bool {
        // The setting may be 0.
        let slice = self.request_timeout.max(Duration::from_secs(1));
        let mut now = self.world.now();
        while now < until {
            self.world.sleep_until(until.min(now + slice)).await;
            now = self.world.now();
            if now < until && self.is_closed() {
                return false;
            }
        }
        true
    }

    fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn arrived(self: &Arc<Self>, input: Input) {
        self.step(input);
        self.progress.notify_one();
    }
}

async fn answer<W: World>(pool: &Pool<W>, order: Order) -> Answer {
    let Order { to, question, by_name, deadline, .. } = order;
    let questions = Purpose::Questions;
    let answer = match question {
        Question::Fetch(message) => {
            let version = by_name.then_some(LAST_VERSION_BY_NAME);
            let answer = pool.call(&to, Purpose::Records, &message, version, deadline).await;
            answer.map(|answer| Answer::Fetch(Box::new(answer)))
        }
        Question::List(message) => {
            let answer = pool.call(&to, questions, &message, None, deadline).await;
            answer.map(|answer| Answer::List(Box::new(answer)))
        }
        Question::Validate(message) => {
            let answer = pool.call(&to, questions, &message, None, deadline).await;
            answer.map(|answer| Answer::Validate(Box::new(answer)))
        }
        Question::Group(request) => {
            let answer = ask_coordinator(pool, &to, request, deadline).await;
            answer.map(|answer| Answer::Group(Box::new(answer)))
        }
    };
    answer.unwrap_or_else(|error| {
        tracing::debug!(%to, %error, "no answer");
        Answer::None(match error.is_final() {
            true => ErrorCode::UnsupportedVersion,
            false => ErrorCode::NetworkException,
        })
    })
}

/// Asks the coordinator of the group, on a connection of its own.
async fn ask_coordinator<W: World>(
    pool: &Pool<W>,
    to: &Address,
    request: Request,
    deadline: Instant,
) -> Result<Response, RpcError> {
    let purpose = Purpose::Coordinator;
    Ok(match request {
        Request::Join(message) => {
            Response::Join(pool.call(to, purpose, &message, None, deadline).await?)
        }
        Request::Sync(message) => {
            Response::Sync(pool.call(to, purpose, &message, None, deadline).await?)
        }
        Request::Heartbeat(message) => {
            Response::Heartbeat(pool.call(to, purpose, &message, None, deadline).await?)
        }
        Request::Leave(message) => {
            Response::Leave(pool.call(to, purpose, &message, None, deadline).await?)
        }
        Request::ConsumerHeartbeat(message) => {
            let version = message.member_id.is_empty().then_some(LAST_WITHOUT_ID);
            Response::ConsumerHeartbeat(pool.call(to, purpose, &message, version, deadline).await?)
        }
        Request::Commit(message) => {
            let by_name = message.topics.iter().any(|topic| topic.topic_id == Uuid::ZERO);
            let version = by_name.then_some(LAST_COMMIT_BY_NAME);
            Response::Commit(pool.call(to, purpose, &message, version, deadline).await?)
        }
        Request::Committed(message) => {
            let version = Some(LAST_COMMIT_BY_NAME);
            Response::Committed(pool.call(to, purpose, &message, version, deadline).await?)
        }
    })
}
