//! The consumer as a program has it: the client of this crate, and what is recorded beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Host;
use super::host::Waits;
use super::membership::{Member, NO_GENERATION, RebalanceListener, Recorder, Relay, generation};
use super::world::AnyWorld;
use crate::base::config::{ConfigError, ConsumerConfig};
use crate::base::{Offset, TopicPartition};
use crate::client::{
    self, CommittedOffset, ConsumeError, ConsumerRecord, GroupMetadata, Metrics, Notice,
};
use crate::scenario::load;

/// Reads the partitions that it is assigned, by hand or by its group. What it reads is recorded, and
/// judged.
///
/// It connects with the first call that needs a broker, and fetches ahead between calls. Positions
/// move past records only in `poll`. A call may be dropped half-way: nothing that was fetched is lost.
///
/// With `group.id` it has a group, in which offsets are committed: automatically every
/// `auto.commit.interval.ms`, unless `enable.auto.commit` is `false`. A member that
/// [subscribes](Self::subscribe) heartbeats between polls, and must poll every `max.poll.interval.ms`.
/// [Close](Self::close) it to leave the group at once: after a drop, or a crash, the group waits for
/// `session.timeout.ms`.
///
/// ```
/// use std::time::Duration;
/// use brokerquake::prelude::*;
///
/// async fn reader(host: Host) -> Result<(), Box<dyn std::error::Error>> {
///     let group = [("group.id", "audit"), ("auto.offset.reset", "earliest")];
///     let mut consumer = host.consumer(&group)?;
///     consumer.subscribe(["orders"])?;
///     while let Some(polled) = host.unless_terminated(consumer.poll(Duration::from_secs(1))).await {
///         for record in polled? {
///             host.note(format!("{} {}", record.partition, record.offset));
///         }
///     }
///     consumer.close(Duration::from_secs(5)).await;
///     Ok(())
/// }
///
/// Simulation::new("a group reads everything")
///     .topic("orders", |topic| topic.partitions(4).replication_factor(3))
///     .client("shop", |host| async move {
///         let producer = host.producer(&[])?;
///         for order in 0..20 {
///             let order = ProducerRecord::new("orders", format!("order {order}"));
///             producer.send_and_wait(order).await?;
///         }
///         host.sleep(Duration::from_secs(10)).await;
///         Ok::<(), Box<dyn std::error::Error>>(())
///     })
///     .service("audit", reader)
///     .instances(2)
///     .check("all-read", every_record_read("orders", "audit"))
///     .duration("5s")
///     .seeds(0..1)
///     .assert_holds();
/// ```
pub struct Consumer {
    host: Host,
    client: client::Consumer<AnyWorld>,
    config: ConsumerConfig,
    relay: Relay,
    /// Whether it is a member of its group, as far as is recorded.
    subscribed: bool,
    /// Records of what it waits for: partitions by hand, or topics.
    reads: Reads,
}

enum Reads {
    Partitions(Vec<TopicPartition>),
    Topics(String),
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.leaves();
    }
}

impl Consumer {
    pub(super) fn new(host: Host, config: ConsumerConfig) -> Result<Self, ConfigError> {
        let mut client = client::Consumer::new(host.world().clone(), config.clone())?;
        let recorder = host.watched().map(|watched| {
            let mut book = watched.book.lock();
            book.consumers += 1;
            Arc::new(Recorder::new(host.world().clone(), book.consumers))
        });
        if let Some(recorder) = recorder.as_ref().filter(|_| reads_committed(&config)) {
            recorder.isolated();
        }
        let relay = Relay { recorder, ..Relay::default() };
        client.set_listener(Arc::new(relay.clone()));
        let reads = Reads::Partitions(Vec::new());
        Ok(Self { host, client, config, relay, subscribed: false, reads })
    }

    fn recorder(&self) -> Option<&Recorder> {
        self.relay.recorder.as_deref()
    }

    /// Joins the group, with the next poll, to read a share of these topics. Replaces an earlier
    /// subscription.
    ///
    /// # Errors
    /// [`ConsumeError::NoGroup`] without `group.id`.
    pub fn subscribe<T: AsRef<str>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ConsumeError> {
        let topics: Vec<Arc<str>> =
            topics.into_iter().map(|topic| Arc::from(topic.as_ref())).collect();
        self.client.subscribe(&topics)?;
        for topic in &topics {
            self.host.names(topic, "subscribed to");
        }
        self.reads = Reads::Topics(topics.join(", "));
        self.joins(topics);
        Ok(())
    }

    /// Joins the group for all topics whose whole name matches a regular expression, and those that are
    /// created later.
    ///
    /// # Errors
    /// [`ConsumeError::NoGroup`] without `group.id`, [`ConsumeError::Pattern`] for an invalid pattern.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), ConsumeError> {
        self.client.subscribe_pattern(pattern)?;
        self.reads = Reads::Topics(format!("topics that match `{pattern}`"));
        // Which topics it should own is not known to the checkers, so that they expect none.
        self.joins(Vec::new());
        Ok(())
    }

    fn joins(&mut self, topics: Vec<Arc<str>>) {
        self.leaves();
        self.subscribed = true;
        if let Some(recorder) = self.recorder() {
            recorder.subscribed(&self.config, topics);
        }
    }

    /// Records that it left its group.
    fn leaves(&mut self) {
        if std::mem::take(&mut self.subscribed)
            && let Some(recorder) = self.recorder()
        {
            recorder.left();
        }
    }

    /// Hears from now on which partitions come and go, in the place of an earlier listener.
    pub fn set_listener(&mut self, listener: impl RebalanceListener + 'static) {
        *self.relay.listener.lock() = Some(Arc::new(listener));
    }

    /// Leaves the group: its partitions go to others.
    pub async fn unsubscribe(&mut self) {
        let _waits = self.host.waits(|| "leaving its group".into());
        self.client.unsubscribe().await;
        self.leaves();
    }

    /// Commits what polls have returned, if it does so automatically, and leaves the group. Takes no
    /// longer than the timeout, the listener aside.
    pub async fn close(mut self, timeout: Duration) {
        let _waits = self.host.waits(|| "leaving its group".into());
        self.client.end(timeout).await;
        self.leaves();
    }

    /// Reads these partitions from now on, and leaves the group. Those that it read before keep their
    /// positions; the others begin at the group's committed offsets, or without any as
    /// `auto.offset.reset` says, unless they are sought.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        let partitions: Vec<_> = partitions.into_iter().collect();
        for partition in &partitions {
            self.host.names_partition(partition);
        }
        self.client.assign(partitions.clone());
        self.leaves();
        if let Some(recorder) = self.recorder() {
            recorder.log.lock().assigned(&partitions);
        }
        self.reads = Reads::Partitions(partitions);
    }

    /// Reads on at this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        // What moved a position before comes before the seek.
        self.keep_notices();
        self.client.seek(partition, offset);
        if let Some(recorder) = self.recorder() {
            recorder.positioned(partition, offset);
        }
    }

    /// Reads on at the oldest record.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) {
        self.keep_notices();
        self.client.seek_to_beginning(partitions);
        self.sought(partitions);
    }

    /// Reads on after the newest record.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) {
        self.keep_notices();
        self.client.seek_to_end(partitions);
        self.sought(partitions);
    }

    fn sought(&self, partitions: &[TopicPartition]) {
        if let Some(recorder) = self.recorder() {
            recorder.log.lock().sought(partitions);
        }
    }

    /// Returns records as soon as there are any; none when the time is over. Those of one partition
    /// come in order.
    ///
    /// # Errors
    /// When the program has to decide: a position that is not in the log with
    /// `auto.offset.reset=none`, a corrupt record, a group that refuses the member.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let polled = self.poll_numbered(timeout).await?;
        Ok(polled.into_iter().map(|(record, _)| record).collect())
    }

    /// Polls; each record comes with its unique value, if it was recorded when it was sent.
    pub(super) async fn poll_numbered(
        &mut self,
        timeout: Duration,
    ) -> Result<Vec<(ConsumerRecord, Option<u64>)>, ConsumeError> {
        let waits = self.host.waits(|| format!("records of {}", self.wanted()));
        let polled = self.client.poll(timeout).await;
        drop(waits);
        // What moved a position comes before what was read from there.
        self.keep_notices();
        let records = polled?;
        let Some(recorder) = &self.relay.recorder else {
            return Ok(records.into_iter().map(|record| (record, None)).collect());
        };
        let events = recorder.log.lock().read(&records);
        events.into_iter().for_each(|event| self.host.world().observe(event));
        let numbered = records.into_iter().map(|mut record| {
            let number = load::number_of(&record);
            load::unnumber(&mut record);
            (record, number)
        });
        Ok(numbered.collect())
    }

    /// Records what moved positions since the last call, and keeps it for the program.
    fn keep_notices(&mut self) {
        self.relay.keep_notices(&mut self.client);
    }

    /// Commits what polls have returned, and waits for it. Retries what may pass. Without a timeout,
    /// `default.api.timeout.ms` counts.
    ///
    /// # Errors
    /// When the coordinator refuses it, or the timeout passes: it may be committed anyway.
    pub async fn commit_sync(
        &mut self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), ConsumeError> {
        let _waits = self.waits_for_commit();
        self.member().commit_sync(timeout).await
    }

    /// Commits these offsets, each the next one to be read, and waits for it. A program that commits
    /// smaller ones than before on purpose needs `.allow("commit-rewound")`.
    ///
    /// # Errors
    /// When the coordinator refuses it, or the timeout passes: it may be committed anyway.
    pub async fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), ConsumeError> {
        let _waits = self.waits_for_commit();
        self.member().commit_offsets(offsets, timeout).await
    }

    fn waits_for_commit(&self) -> Option<Waits> {
        self.host.waits(|| format!("a commit of group `{}`", self.config.group_id))
    }

    fn member(&mut self) -> Member<'_> {
        Member::new(&mut self.client, &self.relay)
    }

    /// Commits what polls have returned in the background. It is tried once: a later commit makes up
    /// for it.
    pub fn commit_async(&mut self) {
        let offsets = self.client.consumed();
        let recorder = self.relay.recorder.clone();
        let op = recorder.map(|recorder| {
            let op = recorder.committing(generation(&self.client), &offsets);
            (recorder, op)
        });
        let committing = self.client.commit_async(Some(offsets));
        self.host.spawn(async move {
            let told = committing.await;
            if let Some((recorder, op)) = op {
                // It may have waited for its coordinator, and been sent in a later generation.
                recorder.committed(op, NO_GENERATION, &told);
            }
        });
    }

    /// What the group has committed of each; `None`: nothing.
    ///
    /// # Errors
    /// When the coordinator does not answer within the timeout, or refuses.
    pub async fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, ConsumeError> {
        let _waits = self.host.waits(|| "its group's committed offsets".into());
        if let Some(recorder) = self.recorder() {
            recorder.recalling();
        }
        let found = self.client.committed(partitions, timeout).await?;
        if let Some(recorder) = self.recorder() {
            recorder.recalled(&found);
        }
        Ok(found)
    }

    /// Returns no records of these partitions until they are resumed. They are still owned.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        self.client.pause(partitions);
    }

    /// Returns records of these partitions again.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        self.client.resume(partitions);
    }

    /// The partitions that it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.client.assignment()
    }

    /// Those of them that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        self.client.paused()
    }

    /// Its member in its group, as the coordinator knows it; `None` without `group.id`.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.client.group_metadata()
    }

    /// The offset after the last record that was returned; `None` until it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.client.position(partition)
    }

    /// How many records are still to be read of a partition, as far as the last fetch knew; `None`
    /// until that and the position are known.
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.client.current_lag(partition)
    }

    /// What it has measured so far, under Kafka's names.
    pub fn metrics(&self) -> Metrics {
        self.client.metrics()
    }

    /// Positions that moved without a seek since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut *self.relay.notices.lock())
    }

    /// The offset after the last record that can be read, of each.
    ///
    /// # Errors
    /// [`ConsumeError::TimedOut`] when the leaders do not answer in time.
    pub async fn end_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let _waits = self.host.waits(|| "the ends of partitions".into());
        self.client.end_offsets(partitions, timeout).await
    }

    /// The offset of the oldest record, of each.
    ///
    /// # Errors
    /// [`ConsumeError::TimedOut`] when the leaders do not answer in time.
    pub async fn beginning_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let _waits = self.host.waits(|| "the beginnings of partitions".into());
        self.client.beginning_offsets(partitions, timeout).await
    }

    /// What it reads, in words.
    fn wanted(&self) -> String {
        let place = |partition: &TopicPartition| match self.position(partition) {
            Some(offset) => format!("{partition} from offset {offset} on"),
            None => partition.to_string(),
        };
        match &self.reads {
            Reads::Partitions(all) => all.iter().map(place).collect::<Vec<_>>().join(", "),
            Reads::Topics(topics) => {
                let owned: Vec<_> = self.assignment().iter().map(place).collect();
                let owned = if owned.is_empty() { "nothing yet".into() } else { owned.join(", ") };
                format!("{topics} as a member of `{}`, which owns {owned}", self.config.group_id)
            }
        }
    }
}

fn reads_committed(config: &ConsumerConfig) -> bool {
    config.isolation_level == load::READ_COMMITTED
}
