//! The consumer as an application has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::core::{Core, Input};
use super::driver::Driver;
use super::position::Whence;
use super::{ConsumerRecord, Notice};
use crate::base::config::{ConfigError, ConsumerConfig};
use crate::base::{Flaws, Offset, Stream, TopicPartition};
use crate::client::ConsumeError;
use crate::client::kernel::connecting;
use crate::io::World;
use crate::rpc::Pool;

/// Reads the partitions that it is assigned.
///
/// It connects with the first poll or lookup. From then on it also works between calls: it keeps its
/// metadata fresh, and fetches ahead for each partition. Positions move past records only in
/// [`Consumer::poll`]. A call may be dropped half-way: nothing that was fetched is lost.
pub struct Consumer<W: World> {
    world: W,
    driver: Arc<Driver<W>>,
}

impl<W: World> Drop for Consumer<W> {
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
        let client_id = config.client_id.clone();
        let random = world.random(Stream::numbered("consumer", xxh3_64(client_id.as_bytes())));
        let reconnect = (config.reconnect_backoff, config.reconnect_backoff_max);
        let request_timeout = config.request_timeout;
        let core = Core::new(config, world.now(), random)?.with_flaws(flaws);
        let pool = Pool::new(world.clone(), &client_id, connecting(reconnect));
        let driver = Driver::start(world.clone(), pool, core, request_timeout);
        Ok(Self { world, driver })
    }

    /// Reads these partitions from now on. Those that it read before keep their positions; the
    /// others begin as `auto.offset.reset` says, unless they are sought.
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
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let deadline = self.world.now() + timeout;
        self.driver.step(Input::Tick);
        loop {
            let now = self.world.now();
            let records = self.driver.with(|core| core.take(now));
            if records.as_ref().is_ok_and(Vec::is_empty) && now < deadline {
                self.driver.progress(deadline).await;
                continue;
            }
            // Asks for more while the application looks at these.
            self.driver.step(Input::Tick);
            return records;
        }
    }

    /// The offset after the last record that was returned; `None` until it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.driver.with(|core| core.position(partition))
    }

    /// The high watermark that the last fetch returned.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.driver.with(|core| core.high_watermark(partition))
    }

    /// What moved positions since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.driver.with(Core::take_notices)
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
        let id = self.driver.with(|core| core.begin_lookup(whence, partitions));
        self.driver.step(Input::Tick);
        while !self.driver.with(|core| core.is_looked_up(id)) && self.world.now() < deadline {
            self.driver.progress(deadline).await;
        }
        self.driver.with(|core| core.end_lookup(id)).ok_or(ConsumeError::TimedOut)
    }
}
