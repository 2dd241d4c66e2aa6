//! The consumer.

mod answers;
mod ask;
mod buffer;
mod core;
mod lookup;
mod position;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use xxhash_rust::xxh3::xxh3_64;

pub use record::{ConsumerRecord, Notice};

use self::core::{Answer, Core, Effect, Input, Order, Question};
use self::lookup::{Lookup, LookupId};
use self::position::Whence;
use super::ConsumeError;
use super::kernel::{self, connecting, question_deadline};
use crate::base::config::{ConfigError, ConsumerConfig};
use crate::base::{Flaws, Instant, Offset, Stream, TopicPartition};
use crate::io::World;
use crate::rpc::{Pool, Purpose};
use crate::wire::ErrorCode;

/// Before this version of Fetch, topics go by name (KIP-516).
const LAST_VERSION_BY_NAME: i16 = 12;

/// Reads the partitions that it is assigned.
///
/// Nothing happens between calls, except that answers to earlier questions arrive. A call may be
/// dropped half-way: nothing that was fetched is lost.
pub struct Consumer<W: World> {
    world: W,
    pool: Pool<W>,
    core: Core,
    inputs: UnboundedReceiver<Input>,
    input: UnboundedSender<Input>,
    last_lookup: LookupId,
}

impl<W: World> Consumer<W> {
    /// A consumer of nothing yet. Connects when it is polled.
    pub fn new(world: W, config: ConsumerConfig) -> Result<Self, ConfigError> {
        Self::flawed(world, config, Flaws::default())
    }

    /// A consumer that has historical bugs.
    pub fn flawed(world: W, config: ConsumerConfig, flaws: Flaws) -> Result<Self, ConfigError> {
        let client_id = config.client_id.clone();
        let random = world.random(Stream::numbered("consumer", xxh3_64(client_id.as_bytes())));
        let reconnect = (config.reconnect_backoff, config.reconnect_backoff_max);
        let core = Core::new(config, world.now(), random)?.with_flaws(flaws);
        let (input, inputs) = unbounded_channel();
        let pool = Pool::new(world.clone(), &client_id, connecting(reconnect));
        Ok(Self { world, pool, core, inputs, input, last_lookup: LookupId::default() })
    }

    /// Reads these partitions from now on. Those that it read before keep their positions; the
    /// others begin as `auto.offset.reset` says, unless they are sought.
    pub fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.core.assign(partitions);
    }

    /// Reads on at this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        self.core.seek(partition, offset);
    }

    /// Reads on at the oldest record.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|partition| self.core.seek_to(partition, Whence::Earliest));
    }

    /// Reads on after the newest record.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|partition| self.core.seek_to(partition, Whence::Latest));
    }

    /// Records, as soon as there are any; none when the time is over.
    ///
    /// Those of one partition come in order, without a gap unless the log has one. What moved a
    /// position since the last call is in [`Consumer::take_notices`].
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let deadline = self.world.now() + timeout;
        let mut input = Input::Tick;
        loop {
            self.step(input);
            let records = self.core.take(self.world.now());
            if records.as_ref().is_ok_and(Vec::is_empty) && self.world.now() < deadline {
                input = self.next(deadline).await;
                continue;
            }
            // Asks for more while the application looks at these.
            self.step(Input::Tick);
            return records;
        }
    }

    /// The offset after the last record that was returned; `None` until it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.core.position(partition)
    }

    /// The high watermark that the last fetch told.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.core.high_watermark(partition)
    }

    /// What moved positions since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.core.notices)
    }

    /// The offset after the last record that can be read, of each.
    pub async fn end_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        self.look_up(Whence::Latest, partitions, timeout).await
    }

    /// The offset of the oldest record, of each.
    pub async fn beginning_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        self.look_up(Whence::Earliest, partitions, timeout).await
    }

    async fn look_up(
        &mut self,
        whence: Whence,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let deadline = self.world.now() + timeout;
        // What a call that was dropped asked for is of no interest any more.
        self.core.lookups.clear();
        self.last_lookup = LookupId(self.last_lookup.0 + 1);
        let id = self.last_lookup;
        self.core.lookups.insert(id, Lookup::new(whence, partitions));
        let mut input = Input::Tick;
        loop {
            self.step(input);
            let is_found = |lookup: &Lookup| lookup.missing.is_empty();
            let is_over = self.core.lookups.get(&id).is_none_or(is_found);
            if is_over || self.world.now() >= deadline {
                let lookup = self.core.lookups.remove(&id);
                let found = lookup.filter(is_found).map(|lookup| lookup.found);
                return found.ok_or(ConsumeError::TimedOut);
            }
            input = self.next(deadline).await;
        }
    }

    /// Waits for something to happen, until then at most.
    async fn next(&mut self, until: Instant) -> Input {
        let until = until.min(self.core.deadline());
        tokio::select! {
            biased;
            input = self.inputs.recv() => input.unwrap_or(Input::Tick),
            () = self.world.sleep_until(until) => Input::Tick,
        }
    }

    fn step(&mut self, input: Input) {
        let now = self.world.now();
        let mut effects = Vec::new();
        self.core.step(now, input, &mut effects);
        while let Ok(input) = self.inputs.try_recv() {
            self.core.step(now, input, &mut effects);
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&self, effect: Effect) {
        let (pool, input) = (self.pool.clone(), self.input.clone());
        match effect {
            Effect::Kernel(effect) => {
                let timeout = self.core.config.request_timeout;
                let deadline = question_deadline(self.world.now(), timeout);
                self.world.spawn("consumer metadata", async move {
                    let news = kernel::carry_out(&pool, effect, deadline).await;
                    let _ = input.send(Input::Kernel(news));
                });
            }
            Effect::Ask(order) => self.world.spawn("consumer question", async move {
                let request = order.request;
                let answer = answer(&pool, *order).await;
                let _ = input.send(Input::Answered { request, answer });
            }),
        }
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
    };
    answer.unwrap_or_else(|error| {
        tracing::debug!(%to, %error, "no answer");
        Answer::None(match error.is_final() {
            true => ErrorCode::UnsupportedVersion,
            false => ErrorCode::NetworkException,
        })
    })
}
