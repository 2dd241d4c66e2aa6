//! The consumer as an application has it.
//!
//! | module | role |
//! |---|---|
//! | `groups`, `committing` | membership in its group, and commits |
//! | `offsets` | offsets that are looked up |
//! | `stream` | records one by one |
//! | `deserializer`, `interceptor`, `listener` | what the application brings |

mod committing;
mod deserializer;
mod groups;
mod interceptor;
mod listener;
mod offsets;
mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Notice;
use super::core::{Core, Input};
use super::driver::Driver;
use super::position::Whence;
use crate::base::config::{ConfigError, ConsumerConfig};
use crate::base::{Flaws, Instant, Offset, TopicPartition};
use crate::client::ConsumerRecord;
use crate::client::kernel::ClientSettings;
use crate::client::metrics::Nodes;
use crate::client::{ConsumeError, Metrics};
use crate::io::World;

pub use committing::Committing;
pub use deserializer::{
    BytesDeserializer, DeserializeError, Deserializer, Deserializers, LongDeserializer,
    StringDeserializer,
};
pub use interceptor::{ConsumerInterceptor, InterceptError};
pub use listener::{RebalanceListener, Told};
pub use stream::RecordStream;

/// Reads the partitions that it is assigned: by hand, or by its group.
///
/// It connects with the first poll or lookup. From then on it also works between calls: it keeps its
/// metadata fresh, and fetches ahead for each partition. Positions move past records only in
/// [`Consumer::poll`]. A call may be dropped half-way: nothing that was fetched is lost.
///
/// With `group.id` it has a group, in which offsets are committed. A member that subscribes heartbeats
/// between polls; it must poll every `max.poll.interval.ms`. Close a consumer to leave its group at
/// once: after a drop, the group waits for `session.timeout.ms`.
///
/// Keys and values are bytes, unless it is made with [`Consumer::deserializing`].
pub struct Consumer<W: World, K = Bytes, V = Bytes> {
    world: W,
    driver: Arc<Driver<W>>,
    nodes: Arc<Nodes>,
    /// `default.api.timeout.ms`.
    api_timeout: Duration,
    deserializers: Deserializers<K, V>,
    interceptors: Vec<Arc<dyn ConsumerInterceptor<K, V>>>,
    listener: Option<Arc<dyn RebalanceListener<W, K, V>>>,
}

impl<W: World, K, V> Drop for Consumer<W, K, V> {
    fn drop(&mut self) {
        self.driver.close();
    }
}

impl<W: World> Consumer<W> {
    /// A consumer of nothing yet.
    pub fn new(world: W, config: ConsumerConfig) -> Result<Self, ConfigError> {
        Self::flawed(world, config, Flaws::default())
    }

    /// A consumer that has historical bugs.
    pub fn flawed(world: W, config: ConsumerConfig, flaws: Flaws) -> Result<Self, ConfigError> {
        let bytes = Deserializers::new(BytesDeserializer, BytesDeserializer);
        Self::start(world, config, flaws, bytes)
    }
}

impl<W: World, K, V> Consumer<W, K, V> {
    /// A consumer of nothing yet, whose records have keys and values of other types than bytes.
    ///
    /// A record that can't be deserialized fails the poll that would return it first, and the position
    /// stays in front of it: [`ConsumeError::Deserialization`] has the record, so that the application
    /// can put it aside and seek past it.
    pub fn deserializing(
        world: W,
        config: ConsumerConfig,
        deserializers: Deserializers<K, V>,
    ) -> Result<Self, ConfigError> {
        Self::start(world, config, Flaws::default(), deserializers)
    }

    fn start(
        world: W,
        config: ConsumerConfig,
        flaws: Flaws,
        deserializers: Deserializers<K, V>,
    ) -> Result<Self, ConfigError> {
        let settings = ClientSettings::from(&config);
        let (random, (pool, nodes)) = (settings.random(&world), settings.pool(&world));
        let (request_timeout, api_timeout) = (config.request_timeout, config.default_api_timeout);
        let core = Core::new(config, world.now(), random)?.with_flaws(flaws);
        let driver = Driver::start(world.clone(), pool, core, request_timeout);
        let interceptors = Vec::new();
        Ok(Self { world, driver, nodes, api_timeout, deserializers, interceptors, listener: None })
    }

    /// When a call is given up that names this timeout, or none: then `default.api.timeout.ms` counts.
    fn deadline(&self, timeout: Option<Duration>) -> Instant {
        self.world.now() + timeout.unwrap_or(self.api_timeout)
    }

    /// Reads these partitions from now on, and leaves the group. Partitions that it read before keep
    /// their positions; the others begin at the group's committed offsets, or without any as
    /// `auto.offset.reset` says, unless they are sought.
    pub fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.driver.with(|core| core.assign(partitions));
    }

    /// Continues reading at this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        self.driver.with(|core| core.seek(partition, offset));
    }

    /// Continues reading at the oldest record.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) {
        self.seek_to(partitions, Whence::Earliest);
    }

    /// Continues reading after the newest record.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) {
        self.seek_to(partitions, Whence::Latest);
    }

    fn seek_to(&mut self, partitions: &[TopicPartition], whence: Whence) {
        self.driver.with(|core| {
            partitions.iter().for_each(|partition| core.seek_to(partition, whence));
        });
    }

    /// Returns records as soon as there are any; none when the time is over.
    ///
    /// Those of one partition come in order, without a gap unless the log has one. What moved a
    /// position since the last call is in [`Consumer::take_notices`].
    pub async fn poll(
        &mut self,
        timeout: Duration,
    ) -> Result<Vec<ConsumerRecord<K, V>>, ConsumeError> {
        let deadline = self.world.now() + timeout;
        self.records(None, deadline).await
    }

    /// Records one by one: a loop over them does the same as one over polls.
    pub fn stream(&mut self) -> RecordStream<'_, W, K, V> {
        RecordStream::new(self)
    }

    /// Up to `limit` records, or `max.poll.records`, as soon as there are any.
    async fn records(
        &mut self,
        limit: Option<usize>,
        deadline: Instant,
    ) -> Result<Vec<ConsumerRecord<K, V>>, ConsumeError> {
        self.driver.with(|core| core.begin_poll(self.world.now()));
        // With one record of many there is nothing to ask for yet.
        let asks = |core: &mut Core| limit.is_none() || !core.is_ready();
        if self.driver.with(asks) {
            self.driver.step(Input::Tick);
        }
        let records = loop {
            let now = self.world.now();
            if let Some(event) = self.driver.with(|core| core.poll(now)) {
                self.tell(event).await;
                self.driver.step(Input::Tick);
                continue;
            }
            let records = self.take(now, limit);
            let nothing = records.as_ref().is_ok_and(Vec::is_empty);
            // Asks for more while the application looks at these.
            if nothing || self.driver.with(asks) {
                self.driver.step(Input::Tick);
            }
            if nothing && now < deadline {
                if !self.driver.with(|core| core.has_step()) {
                    self.driver.progress(deadline).await;
                }
                continue;
            }
            break records;
        };
        self.driver.with(|core| core.poll_ends(self.world.now()));
        self.report_commits();
        Ok(self.intercept(records?))
    }

    /// Takes records that were fetched, and deserializes them.
    fn take(
        &self,
        now: Instant,
        limit: Option<usize>,
    ) -> Result<Vec<ConsumerRecord<K, V>>, ConsumeError> {
        let mut taken = self
            .driver
            .with(|core| match limit {
                Some(limit) => core.take_up_to(now, limit),
                None => core.take(now),
            })?
            .into_iter();
        let mut records = Vec::with_capacity(taken.len());
        while let Some(record) = taken.next() {
            let partition = record.partition.clone();
            match self.deserializers.read(record) {
                Ok(record) => records.push(record),
                Err(problem) => {
                    let mut unread: BTreeSet<_> = taken.map(|record| record.partition).collect();
                    unread.insert(partition);
                    self.give_back(&unread, &records);
                    // Those before it come first; the next poll fails.
                    return if records.is_empty() { Err(problem) } else { Ok(records) };
                }
            }
        }
        Ok(records)
    }

    /// What was taken of these partitions is read again, except for records that are `kept`.
    fn give_back(&self, partitions: &BTreeSet<TopicPartition>, kept: &[ConsumerRecord<K, V>]) {
        self.driver.with(|core| {
            for partition in partitions {
                let kept = kept.iter().filter(|record| record.partition == *partition);
                let mut kept = kept.map(|record| (record.offset, record.leader_epoch));
                core.give_back(partition, &mut kept);
            }
        });
    }

    /// Shows it records and commits from now on, after the interceptors that it has.
    pub fn add_interceptor(&mut self, interceptor: Arc<dyn ConsumerInterceptor<K, V>>) {
        self.driver.with(Core::keep_committed);
        self.interceptors.push(interceptor);
    }

    fn intercept(&self, mut records: Vec<ConsumerRecord<K, V>>) -> Vec<ConsumerRecord<K, V>> {
        if records.is_empty() {
            return records;
        }
        for interceptor in &self.interceptors {
            match interceptor.on_consume(&records) {
                Ok(None) => {}
                Ok(Some(others)) => records = others,
                Err(error) => tracing::warn!(%error, "an interceptor failed at records"),
            }
        }
        records
    }

    /// Shows the interceptors what was committed since the last call.
    fn report_commits(&self) {
        if self.interceptors.is_empty() {
            return;
        }
        for offsets in self.driver.with(Core::take_committed) {
            for interceptor in &self.interceptors {
                if let Err(error) = interceptor.on_commit(&offsets) {
                    tracing::warn!(%error, "an interceptor failed at a commit");
                }
            }
        }
    }

    /// Returns no records of these partitions until they are resumed. They are still owned.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        self.driver.with(|core| core.pause(partitions, true));
    }

    /// Returns records of these partitions again.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        self.driver.with(|core| core.pause(partitions, false));
    }

    /// How many records are still to be read of a partition, as far as the last fetch knew; `None`
    /// until that and the position are known. With `read_committed`, those of open transactions do not
    /// count.
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.driver.with(|core| core.lag(partition))
    }

    /// The partitions that it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.driver.with(|core| core.assigned().cloned().collect())
    }

    /// Those of them that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        self.driver.with(|core| core.paused().cloned().collect())
    }

    /// The offset after the last record that was returned; `None` until it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.driver.with(|core| core.position(partition))
    }

    /// What it has measured so far, under Kafka's names: totals, and averages, maxima and rates
    /// over `metrics.num.samples` windows of `metrics.sample.window.ms`: a minute unless set.
    pub fn metrics(&self) -> Metrics {
        self.driver.with(|core| core.metrics_with(self.world.now(), &self.nodes))
    }

    /// The high watermark that the last fetch returned.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.driver.with(|core| core.high_watermark(partition))
    }

    /// What moved positions since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.driver.with(Core::take_notices)
    }
}
