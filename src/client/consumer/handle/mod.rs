//! The consumer as an application has it, with what it awaits (`committing`) and is told (`listener`).

mod committing;
mod listener;

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
use crate::client::group::{Event, Subscription};
use crate::client::kernel::connecting;
use crate::client::{CommittedOffset, ConsumeError, GroupMetadata};
use crate::io::{self, World};
use crate::rpc::Pool;

pub use committing::Committing;
pub use listener::{RebalanceListener, Told};

/// Reads the partitions that it is assigned: by hand, or by its group.
///
/// It connects with the first poll or lookup. From then on it also works between calls: it keeps its
/// metadata fresh, and fetches ahead for each partition. Positions move past records only in
/// [`Consumer::poll`]. A call may be dropped half-way: nothing that was fetched is lost.
///
/// With `group.id` it has a group, in which offsets are committed. A member that subscribes heartbeats
/// between polls; it must poll every `max.poll.interval.ms`. Close a consumer to leave its group at
/// once: after a drop, the group waits for `session.timeout.ms`.
pub struct Consumer<W: World> {
    world: W,
    driver: Arc<Driver<W>>,
    listener: Option<Arc<dyn RebalanceListener<W>>>,
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
        Ok(Self { world, driver, listener: None })
    }

    /// Joins the group, with the next poll, to read a share of these topics. Replaces an earlier
    /// subscription.
    pub fn subscribe<T: AsRef<str>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ConsumeError> {
        let topics = topics.into_iter().map(|topic| Arc::from(topic.as_ref()));
        self.driver.with(|core| core.subscribe(Subscription::to(topics)))
    }

    /// Subscribes to all topics whose whole name matches a regular expression, and to those that are
    /// created later.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), ConsumeError> {
        let subscription = Subscription::matching(pattern)
            .map_err(|error| ConsumeError::Pattern(error.to_string()))?;
        self.driver.with(|core| core.subscribe(subscription))
    }

    /// Is told from now on which partitions come and go.
    pub fn set_listener(&mut self, listener: Arc<dyn RebalanceListener<W>>) {
        self.listener = Some(listener);
    }

    /// Leaves the group: its partitions go to others.
    pub async fn unsubscribe(&mut self) {
        self.leave("the consumer unsubscribed from all topics").await;
    }

    async fn leave(&mut self, reason: &'static str) {
        self.driver.with(|core| core.unsubscribe(reason));
        while let Some(event) = self.driver.with(|core| core.poll(self.world.now())) {
            self.tell(event).await;
        }
        self.driver.step(Input::Tick);
    }

    /// Commits, if it does so automatically, leaves the group, and ends. All of it takes no longer
    /// than the timeout, the listener aside.
    pub async fn close(self, timeout: Duration) {
        self.depart(timeout).await;
    }

    /// Closes. Returns whether the coordinator has confirmed that it left its group.
    pub(crate) async fn depart(mut self, timeout: Duration) -> bool {
        let deadline = self.world.now() + timeout;
        if self.driver.with(|core| core.commits_automatically()) {
            // There is no one to tell; what is not committed is read again by the next owner.
            drop(self.commit_sync(timeout).await);
        }
        self.leave("the consumer is being closed").await;
        while !self.driver.with(|core| core.has_left()) && self.world.now() < deadline {
            self.driver.progress(deadline).await;
        }
        self.driver.with(|core| core.is_dismissed())
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
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let deadline = self.world.now() + timeout;
        self.driver.with(Core::begin_poll);
        self.driver.step(Input::Tick);
        loop {
            let now = self.world.now();
            if let Some(event) = self.driver.with(|core| core.poll(now)) {
                self.tell(event).await;
                self.driver.step(Input::Tick);
                continue;
            }
            let records = self.driver.with(|core| core.take(now));
            // Asks for more while the application looks at these.
            self.driver.step(Input::Tick);
            if records.as_ref().is_ok_and(Vec::is_empty) && now < deadline {
                if !self.driver.with(|core| core.has_step()) {
                    self.driver.progress(deadline).await;
                }
                continue;
            }
            return records;
        }
    }

    /// Calls the listener.
    async fn tell(&mut self, event: Event) {
        if let Some(listener) = self.listener.clone() {
            match &event {
                Event::Revoked(partitions) => listener.revoked(self, partitions).await,
                Event::Lost(partitions) => listener.lost(self, partitions).await,
                Event::Assigned(partitions) => listener.assigned(self, partitions).await,
            }
        }
        self.driver.with(|core| core.told(self.world.now()));
    }

    /// Commits what polls have returned, and waits for it. Retries what may pass.
    pub async fn commit_sync(&mut self, timeout: Duration) -> Result<(), ConsumeError> {
        self.commit(None, timeout).await
    }

    /// Commits these offsets, each the next one to be read, and waits for it.
    pub async fn commit_offsets(
        &mut self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        timeout: Duration,
    ) -> Result<(), ConsumeError> {
        self.commit(Some(offsets), timeout).await
    }

    async fn commit(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, CommittedOffset>>,
        timeout: Duration,
    ) -> Result<(), ConsumeError> {
        let deadline = self.world.now() + timeout;
        let (id, outcome) = self.driver.with(|core| core.begin_commit(offsets, true))?;
        self.driver.step(Input::Tick);
        match io::timeout(&self.world, deadline, Committing::new(outcome)).await {
            Some(outcome) => outcome,
            None => {
                self.driver.with(|core| core.abandon_commit(id));
                Err(ConsumeError::TimedOut)
            }
        }
    }

    /// Commits what polls have returned, or these offsets, in the background. It is tried once: a
    /// later commit makes up for it.
    pub fn commit_async(
        &mut self,
        offsets: Option<BTreeMap<TopicPartition, CommittedOffset>>,
    ) -> Committing {
        let begun = self.driver.with(|core| core.begin_commit(offsets, false));
        self.driver.step(Input::Tick);
        match begun {
            Ok((_, outcome)) => Committing::new(outcome),
            Err(error) => Committing::refused(error),
        }
    }

    /// What the group has committed; `None`: nothing.
    pub async fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, ConsumeError> {
        let deadline = self.world.now() + timeout;
        let id = self.driver.with(|core| core.begin_committed(partitions))?;
        self.driver.step(Input::Tick);
        while !self.driver.with(|core| core.is_committed_known(id)) && self.world.now() < deadline {
            self.driver.progress(deadline).await;
        }
        self.driver.with(|core| core.end_committed(id))
    }

    /// Returns no records of these partitions until they are resumed. They are still owned.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        self.driver.with(|core| core.pause(partitions, true));
    }

    /// Returns records of these partitions again.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        self.driver.with(|core| core.pause(partitions, false));
    }

    /// Its member in its group, as the coordinator knows it; `None` without `group.id`.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.driver.with(|core| core.group_metadata())
    }

    /// How many records are still to be read of a partition, as far as the last fetch knew; `None`
    /// until that and the position are known.
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<u64> {
        let (position, end) = (self.position(partition)?, self.high_watermark(partition)?);
        Some(u64::try_from(end.0 - position.0).unwrap_or(0))
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
