//! The group coordinators of this broker: a machine on each partition of `__consumer_offsets` that
//! it leads. Tells them of new metadata, and takes requests to the right one.
//!
//! Source: Kafka's `GroupCoordinatorService`.

mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::hosted::{Coordinators, OnPartition, Refused};
use super::partition::Leadership;
use crate::base::config::GroupConfig;
use crate::base::{BrokerId, Flaws, Instant, LeaderEpoch, Stream, Timestamp, TopicId, topics};
use crate::controller::{Change, Image};
use crate::group::{self, Decision, Effect, GroupCoordinator, GroupSettings};
use crate::io::{World, timeout};
use crate::wire::ErrorCode;

/// A topic that was deleted.
type Deleted = (String, TopicId);

/// The pause after records about deleted topics could not be appended.
const RETRY: Duration = Duration::from_millis(500);

/// The group coordinators of a broker.
pub(crate) struct Groups<W: World> {
    world: W,
    me: BrokerId,
    coordinators: Arc<Coordinators<W, GroupCoordinator>>,
    metadata: Arc<Mutex<Metadata>>,
    /// `offsets.commit.timeout.ms`.
    patience: Duration,
    /// `offsets.topic.num.partitions`, as long as the topic does not exist.
    partitions: i32,
}

/// What coordinators are told of the cluster.
struct Metadata {
    image: Arc<Image>,
    settings: GroupSettings,
    /// Topics that were deleted and of which the coordinator of a partition has not heard yet: it was
    /// elected, and loads its log.
    missed: BTreeMap<i32, Vec<Deleted>>,
}

impl Metadata {
    /// Topics were deleted while this broker leads these partitions.
    fn miss(&mut self, led: &BTreeMap<i32, LeaderEpoch>, deleted: &[Deleted]) {
        self.missed.retain(|partition, _| led.contains_key(partition));
        for partition in led.keys() {
            self.missed.entry(*partition).or_default().extend_from_slice(deleted);
        }
    }

    /// The coordinator of a partition has heard of them.
    fn told(&mut self, partition: i32, deleted: &[Deleted]) {
        if let Some(missed) = self.missed.get_mut(&partition) {
            missed.retain(|topic| !deleted.contains(topic));
        }
    }
}

type Host<W> = Arc<OnPartition<W, GroupCoordinator>>;

impl<W: World> Groups<W> {
    pub(crate) fn new(world: W, me: BrokerId, config: &GroupConfig, flaws: Flaws) -> Arc<Self> {
        let (image, missed) = Default::default();
        let settings = GroupSettings::of(config, flaws);
        let metadata = Arc::new(Mutex::new(Metadata { image, settings, missed }));
        let (of_machine, known) = (world.clone(), metadata.clone());
        let create = move |partition: i32, epoch: LeaderEpoch| {
            // Each election has a stream of its own: a member id must not be drawn again.
            let stream =
                u64::from(partition.unsigned_abs()) << 32 | u64::from(epoch.0.unsigned_abs());
            let random = of_machine.random(Stream::numbered("group coordinator", stream));
            let known = known.lock();
            GroupCoordinator::new(partition, known.settings.clone(), known.image.clone(), random)
        };
        let (of_loaded, known) = (world.clone(), metadata.clone());
        let loaded = move |partition: i32, host: &Host<W>| {
            let mut metadata = known.lock();
            // Under the lock: an older image must not follow a newer one.
            let _ = host.affect(Effect::Image(metadata.image.clone()));
            let _ = host.affect(Effect::Settings(Box::new(metadata.settings.clone())));
            let missed = metadata.missed.remove(&partition).unwrap_or_default();
            drop(metadata);
            if !missed.is_empty() {
                let _ = delete(&of_loaded, host, &missed);
            }
        };
        let coordinators = Coordinators::new(world.clone(), create, loaded);
        let (patience, partitions) =
            (config.offsets_commit_timeout, config.offsets_topic_num_partitions);
        Arc::new(Self { world, me, coordinators, metadata, patience, partitions })
    }

    /// Follows elections for as long as the node lives.
    pub(crate) async fn run(self: Arc<Self>, elections: mpsc::UnboundedReceiver<Leadership<W>>) {
        self.coordinators.clone().run(elections).await;
    }

    /// There is a new image; `changes` lead to it. Called by one task, so that images keep their
    /// order. Coordinators are told without a lock: one may be in the middle of a long decision.
    pub(crate) fn metadata_changed(&self, image: &Arc<Image>, changes: &[Change]) {
        let deleted = changes.iter().filter_map(|change| match change {
            Change::TopicDeleted { topic, topic_id } => Some((topic.to_string(), *topic_id)),
            _ => None,
        });
        let deleted: Vec<Deleted> = deleted.collect();
        let led = if deleted.is_empty() { BTreeMap::new() } else { self.led(image) };
        {
            let mut metadata = self.metadata.lock();
            metadata.image = image.clone();
            if !deleted.is_empty() {
                metadata.miss(&led, &deleted);
            }
        }
        let hosts = self.coordinators.all();
        for (_, _, host) in &hosts {
            // One that loads is given the image once it has loaded; one that has resigned needs none.
            let _ = host.affect(Effect::Image(image.clone()));
        }
        for (partition, epoch) in led {
            let host =
                hosts.iter().find(|(of, in_epoch, _)| (*of, *in_epoch) == (partition, epoch));
            let told = host.map(|(_, _, host)| delete(&self.world, host, &deleted));
            if !matches!(told, None | Some(Err(Refused::Loading))) {
                self.metadata.lock().told(partition, &deleted);
            }
        }
    }

    /// The partitions of `__consumer_offsets` that this broker leads.
    fn led(&self, image: &Image) -> BTreeMap<i32, LeaderEpoch> {
        let topic = image.topic(topics::CONSUMER_OFFSETS);
        let partitions = topic.into_iter().flat_map(|topic| topic.partitions.iter());
        let led = partitions.filter(|(_, state)| state.leader == Some(self.me));
        led.map(|(partition, state)| (*partition, state.leader_epoch)).collect()
    }

    fn flaws(&self) -> Flaws {
        self.metadata.lock().settings.flaws
    }

    /// The coordinators have these settings from now on.
    pub(crate) fn configure(&self, config: &GroupConfig) {
        let settings = {
            let mut metadata = self.metadata.lock();
            metadata.settings = GroupSettings::of(config, metadata.settings.flaws);
            metadata.settings.clone()
        };
        for (_, _, host) in self.coordinators.all() {
            let _ = host.affect(Effect::Settings(Box::new(settings.clone())));
        }
    }

    /// The partition of a group.
    pub(crate) fn partition_of(&self, image: &Image, group: &str) -> i32 {
        let topic = image.topic(topics::CONSUMER_OFFSETS);
        let count = topic.map(|topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
        group::partition_of(group, count.unwrap_or(self.partitions))
    }

    fn host(&self, group: &str) -> Result<Host<W>, ErrorCode> {
        let image = self.metadata.lock().image.clone();
        self.coordinators.find(self.partition_of(&image, group))
    }

    /// Has the coordinator of a group decide. Returns once that is committed, with an error if it is
    /// not within `offsets.commit.timeout.ms`: the outcome is unknown then.
    pub(crate) async fn decide<T>(
        &self,
        group: &str,
        handler: impl FnOnce(&GroupCoordinator, Instant, Timestamp) -> Decision<T>,
    ) -> Result<T, ErrorCode> {
        let host = self.host(group)?;
        let (wall, deadline) = (self.world.wall_clock(), self.world.now() + self.patience);
        let decided = host.decide(|machine, now, _| handler(machine, now, wall));
        match timeout(&self.world, deadline, decided).await {
            Some(decided) => decided.map_err(|refused| refused.code()),
            None => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Asks the coordinator of a group for what it holds, committed or not.
    pub(crate) fn see<T>(
        &self,
        group: &str,
        see: impl FnOnce(&GroupCoordinator) -> T,
    ) -> Result<T, ErrorCode> {
        self.host(group)?.see(see).map_err(|refused| refused.code())
    }

    /// Reads what the coordinator of a group has committed.
    pub(crate) fn read<T>(
        &self,
        group: &str,
        read: impl FnOnce(&group::Groups) -> T,
    ) -> Result<T, ErrorCode> {
        self.host(group)?.read(read).map_err(|refused| refused.code())
    }

    /// Asks each coordinator of this broker, in order of their partitions.
    pub(crate) fn see_all<T>(
        &self,
        see: impl Fn(&GroupCoordinator) -> T,
    ) -> Result<Vec<T>, ErrorCode> {
        let mut seen = Vec::new();
        for (_, _, host) in self.coordinators.all() {
            match host.see(&see).map_err(|refused| refused.code()) {
                Ok(one) => seen.push(one),
                // Resigned a moment ago.
                Err(ErrorCode::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }
}

/// Deletes the offsets of topics that were deleted, one batch after another. No request waits for it.
fn delete<W: World>(world: &W, host: &Host<W>, deleted: &[Deleted]) -> Result<(), Refused> {
    let decide = |host: &Host<W>, deleted: &[Deleted]| {
        while !host.decide_unwatched(|machine, _, _| machine.topics_deleted(deleted))? {}
        Ok(())
    };
    let decided = decide(host, deleted);
    if let Err(Refused::NotAppended(_)) = decided {
        let (of_task, host, deleted) = (world.clone(), host.clone(), deleted.to_vec());
        world.spawn("deleted topics", async move {
            while let Err(Refused::NotAppended(_)) = decide(&host, &deleted) {
                of_task.sleep_until(of_task.now() + RETRY).await;
            }
        });
        return Ok(());
    }
    decided
}

#[cfg(test)]
mod tests;
