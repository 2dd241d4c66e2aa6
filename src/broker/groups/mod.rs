//! The group coordinators of this broker: a machine on each partition of `__consumer_offsets` that
//! it leads. Tells them of new metadata, and takes requests to the right one.
//!
//! Source: Kafka's `GroupCoordinatorService`.

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
#[derive(Default)]
struct Metadata {
    image: Arc<Image>,
    /// Topics that were deleted while the coordinator of a partition was not there yet: it was
    /// elected, and loads its log.
    missed: BTreeMap<i32, Vec<Deleted>>,
}

type Host<W> = Arc<OnPartition<W, GroupCoordinator>>;

impl<W: World> Groups<W> {
    pub(crate) fn new(world: W, me: BrokerId, config: &GroupConfig, flaws: Flaws) -> Arc<Self> {
        let metadata: Arc<Mutex<Metadata>> = Arc::default();
        let settings = GroupSettings::of(config, flaws);
        let (of_machine, known) = (world.clone(), metadata.clone());
        let create = move |partition: i32, epoch: LeaderEpoch| {
            // Each election has a stream of its own: a member id must not be drawn again.
            let stream =
                u64::from(partition.unsigned_abs()) << 32 | u64::from(epoch.0.unsigned_abs());
            let random = of_machine.random(Stream::numbered("group coordinator", stream));
            let image = known.lock().image.clone();
            GroupCoordinator::new(partition, settings.clone(), image, random)
        };
        let (of_loaded, known) = (world.clone(), metadata.clone());
        let loaded = move |partition: i32, host: &Host<W>| {
            let mut metadata = known.lock();
            let _ = host.affect(Effect::Image(metadata.image.clone()));
            if let Some(missed) = metadata.missed.remove(&partition) {
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

    /// There is a new image; `changes` lead to it.
    pub(crate) fn metadata_changed(&self, image: &Arc<Image>, changes: &[Change]) {
        let mut metadata = self.metadata.lock();
        metadata.image = image.clone();
        let hosts = self.coordinators.all();
        for (_, _, host) in &hosts {
            // One that loads is given the image once it has loaded; one that has resigned needs none.
            let _ = host.affect(Effect::Image(image.clone()));
        }
        let deleted = changes.iter().filter_map(|change| match change {
            Change::TopicDeleted { topic, topic_id } => Some((topic.to_string(), *topic_id)),
            _ => None,
        });
        let deleted: Vec<Deleted> = deleted.collect();
        if deleted.is_empty() {
            return;
        }
        let Some(topic) = image.topic(topics::CONSUMER_OFFSETS) else { return };
        let led = topic.partitions.iter().filter(|(_, state)| state.leader == Some(self.me));
        let led: BTreeMap<i32, LeaderEpoch> =
            led.map(|(partition, state)| (*partition, state.leader_epoch)).collect();
        metadata.missed.retain(|partition, _| led.contains_key(partition));
        for (partition, epoch) in led {
            let host =
                hosts.iter().find(|(of, in_epoch, _)| (*of, *in_epoch) == (partition, epoch));
            let told = host.map(|(_, _, host)| delete(&self.world, host, &deleted));
            if matches!(told, None | Some(Err(Refused::Loading))) {
                metadata.missed.entry(partition).or_default().extend(deleted.iter().cloned());
            }
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

/// Deletes the offsets of topics that were deleted. No request waits for it.
fn delete<W: World>(world: &W, host: &Host<W>, deleted: &[Deleted]) -> Result<(), Refused> {
    let decide = |host: &Host<W>, deleted: &[Deleted]| {
        host.decide_unwatched(|machine, _, _| machine.topics_deleted(deleted))
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
