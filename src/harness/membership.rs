//! A consumer's membership in its group: what is recorded of it, and what its program hears.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::world::AnyWorld;
use crate::base::config::{ConsumerConfig, Setting};
use crate::base::{Offset, TopicPartition};
use crate::client::{self, CommittedOffset, ConsumeError, Notice, Told};
use crate::scenario::load::ReadingLog;
use crate::sim::{Isolation, MemberEvent, Outcome, isolated};

/// In no generation, or in one that is not known.
pub(super) const NO_GENERATION: i32 = -1;

/// Hears which partitions a consumer gets and has to give up while its group rebalances. Calls come
/// from inside [`Consumer::poll`], [`Consumer::unsubscribe`] and [`Consumer::close`], and the rebalance
/// waits for them. Kafka's `ConsumerRebalanceListener`.
///
/// ```
/// use std::time::Duration;
/// use brokerquake::prelude::*;
///
/// /// Commits what was read before another member gets it.
/// struct CommitsLast;
///
/// impl RebalanceListener for CommitsLast {
///     fn revoked<'a>(
///         &'a self,
///         mut member: Member<'a>,
///         _partitions: &'a [TopicPartition],
///     ) -> Told<'a> {
///         Box::pin(async move {
///             // The next owner reads again what this did not commit.
///             let _ = member.commit_sync(Duration::from_secs(5)).await;
///         })
///     }
/// }
/// ```
///
/// [`Consumer::poll`]: super::Consumer::poll
/// [`Consumer::unsubscribe`]: super::Consumer::unsubscribe
/// [`Consumer::close`]: super::Consumer::close
pub trait RebalanceListener: Send + Sync {
    /// These partitions get other owners: the last chance to commit what was read of them.
    fn revoked<'a>(&'a self, member: Member<'a>, partitions: &'a [TopicPartition]) -> Told<'a> {
        let _ = (member, partitions);
        Box::pin(std::future::ready(()))
    }

    /// These partitions are read from now on, besides those that were kept.
    fn assigned<'a>(&'a self, member: Member<'a>, partitions: &'a [TopicPartition]) -> Told<'a> {
        let _ = (member, partitions);
        Box::pin(std::future::ready(()))
    }

    /// These partitions may have other owners already: their offsets can't be committed any more. Does
    /// what `revoked` does unless it is implemented.
    fn lost<'a>(&'a self, member: Member<'a>, partitions: &'a [TopicPartition]) -> Told<'a> {
        self.revoked(member, partitions)
    }
}

/// A consumer as its [`RebalanceListener`] may use it during a rebalance.
pub struct Member<'a> {
    client: &'a mut client::Consumer<AnyWorld>,
    relay: &'a Relay,
}

impl<'a> Member<'a> {
    pub(super) fn new(client: &'a mut client::Consumer<AnyWorld>, relay: &'a Relay) -> Self {
        Self { client, relay }
    }

    /// Commits what polls have returned, and waits for it. Without a timeout, `default.api.timeout.ms`
    /// counts.
    ///
    /// # Errors
    /// When the coordinator refuses it, or the timeout passes: it may be committed anyway.
    pub async fn commit_sync(
        &mut self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), ConsumeError> {
        let offsets = self.client.consumed();
        self.commit_offsets(offsets, timeout).await
    }

    /// Commits these offsets, each the next one to be read, and waits for it.
    ///
    /// # Errors
    /// When the coordinator refuses it, or the timeout passes: it may be committed anyway.
    pub async fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), ConsumeError> {
        let (offsets, timeout): (BTreeMap<_, _>, _) =
            (offsets.into_iter().collect(), timeout.into());
        let generation_now = generation(self.client);
        let recorder = self.relay.recorder.as_deref();
        let op = recorder.map(|recorder| recorder.committing(generation_now, &offsets));
        let told = self.client.commit_offsets(offsets, timeout).await;
        if let (Some(recorder), Some(op)) = (recorder, op) {
            recorder.committed(op, generation(self.client), &told);
        }
        told
    }

    /// Continues reading at this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        // What moved a position before comes before the seek.
        self.relay.keep_notices(self.client);
        self.client.seek(partition, offset);
        if let Some(recorder) = &self.relay.recorder {
            recorder.positioned(partition, offset);
        }
    }

    /// The offset after the last record that was returned; `None` until it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.client.position(partition)
    }

    /// The partitions that it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.client.assignment()
    }
}

/// The generation that a member is in, as its consumer knows it.
pub(super) fn generation(client: &client::Consumer<AnyWorld>) -> i32 {
    client.group_metadata().map_or(NO_GENERATION, |group| group.generation)
}

/// Records what one consumer does.
pub(super) struct Recorder {
    world: AnyWorld,
    number: u32,
    /// What it reads. Public to this module's siblings only.
    pub log: Mutex<ReadingLog>,
    /// Commits so far.
    commits: AtomicU64,
}

impl Recorder {
    pub fn new(world: AnyWorld, number: u32) -> Self {
        let log = Mutex::new(ReadingLog::new(number));
        Self { world, number, log, commits: AtomicU64::new(0) }
    }

    /// It gets only records of committed transactions.
    pub fn isolated(&self) {
        self.world.observe(isolated(self.number, Isolation::ReadCommitted));
    }

    pub fn positioned(&self, partition: &TopicPartition, offset: Offset) {
        let event = self.log.lock().positioned(partition, offset);
        self.world.observe(event);
    }

    pub fn subscribed(&self, config: &ConsumerConfig, topics: Vec<Arc<str>>) {
        let session = config.session_timeout.as_millis();
        self.world.observe(MemberEvent::Subscribed {
            consumer: self.number,
            group: config.group_id.as_str().into(),
            topics,
            is_static: !config.group_instance_id.is_empty(),
            protocol: config.group_protocol.show().into(),
            session_ms: u64::try_from(session).unwrap_or(u64::MAX),
        });
    }

    pub fn left(&self) {
        self.world.observe(MemberEvent::Left { consumer: self.number });
    }

    /// Records that it commits; returns the number of the commit.
    pub fn committing(
        &self,
        generation: i32,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> u64 {
        let op = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        let offsets = offsets.iter().map(|(name, committed)| (name.clone(), committed.offset));
        let (consumer, offsets) = (self.number, offsets.collect());
        self.world.observe(MemberEvent::Committing { consumer, op, generation, offsets });
        op
    }

    /// Records the outcome. After an error, an attempt may have been stored whose response was lost.
    pub fn committed(&self, op: u64, generation: i32, told: &Result<(), ConsumeError>) {
        let outcome = match told {
            Ok(()) => Outcome::Ok { offset: None },
            Err(error) => Outcome::Unknown { error: error.name().into() },
        };
        let consumer = self.number;
        self.world.observe(MemberEvent::Committed { consumer, op, generation, outcome });
    }

    pub fn recalling(&self) {
        self.world.observe(MemberEvent::Recalling { consumer: self.number });
    }

    pub fn recalled(&self, found: &BTreeMap<TopicPartition, Option<CommittedOffset>>) {
        let offsets = found.iter().map(|(partition, found)| {
            (partition.clone(), found.as_ref().map(|committed| committed.offset))
        });
        let offsets = offsets.collect();
        self.world.observe(MemberEvent::Recalled { consumer: self.number, offsets });
    }
}

/// Records rebalances, and passes them on to the program's listener.
#[derive(Clone, Default)]
pub(super) struct Relay {
    pub recorder: Option<Arc<Recorder>>,
    pub listener: Arc<Mutex<Option<Arc<dyn RebalanceListener>>>>,
    /// What moved positions, until the program takes it.
    pub notices: Arc<Mutex<Vec<Notice>>>,
}

impl Relay {
    fn listener(&self) -> Option<Arc<dyn RebalanceListener>> {
        self.listener.lock().clone()
    }

    fn member<'a>(&'a self, client: &'a mut client::Consumer<AnyWorld>) -> Member<'a> {
        Member::new(client, self)
    }

    /// Records what moved positions since the last call, and keeps it for the program.
    pub fn keep_notices(&self, client: &mut client::Consumer<AnyWorld>) {
        let notices = client.take_notices();
        if let Some(recorder) = &self.recorder {
            let events = recorder.log.lock().moved(&notices);
            events.into_iter().for_each(|event| recorder.world.observe(event));
        }
        self.notices.lock().extend(notices);
    }

    fn observe(&self, event: impl FnOnce(u32) -> MemberEvent) {
        if let Some(recorder) = &self.recorder {
            recorder.world.observe(event(recorder.number));
        }
    }
}

impl client::RebalanceListener<AnyWorld> for Relay {
    fn revoked<'a>(
        &'a self,
        consumer: &'a mut client::Consumer<AnyWorld>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            if let Some(listener) = self.listener() {
                listener.revoked(self.member(consumer), partitions).await;
            }
            if !partitions.is_empty() {
                let partitions = partitions.to_vec();
                self.observe(|consumer| MemberEvent::Revoked { consumer, partitions });
            }
        })
    }

    fn assigned<'a>(
        &'a self,
        consumer: &'a mut client::Consumer<AnyWorld>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            // An assignment of a generation that is over is lost at once.
            let group = consumer.group_metadata().filter(|group| group.generation >= 0);
            if let (Some(recorder), Some(group)) = (&self.recorder, group) {
                recorder.log.lock().sought(partitions);
                recorder.world.observe(MemberEvent::Joined {
                    consumer: recorder.number,
                    generation: group.generation,
                    member: group.member.into(),
                    owned: consumer.assignment(),
                });
            }
            if let Some(listener) = self.listener() {
                listener.assigned(self.member(consumer), partitions).await;
            }
        })
    }

    fn lost<'a>(
        &'a self,
        consumer: &'a mut client::Consumer<AnyWorld>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            let gone = partitions.to_vec();
            self.observe(|consumer| MemberEvent::Lost { consumer, partitions: gone });
            if let Some(listener) = self.listener() {
                listener.lost(self.member(consumer), partitions).await;
            }
        })
    }
}
