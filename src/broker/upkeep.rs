//! Periodic work of a broker: syncs, checkpoints, and the replicas' deadlines.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::Broker;
use super::dirs::Home;
use super::error::NodeError;
use super::partition::Partition;
use crate::base::{NodeProbe, TopicPartition};
use crate::io::{Disk, World};
use crate::log::LogError;

/// Steps replicas at their deadlines, while the node lives.
pub(crate) async fn step_at_deadlines<W: World>(broker: Arc<Broker<W>>) {
    loop {
        for (topic, partition) in broker.replicas.due().await {
            if let Some(partition) = broker.replicas.find(topic, partition) {
                partition.tick();
            }
        }
    }
}

/// Saves high watermarks periodically, while the node lives.
pub(crate) async fn checkpoint_high_watermarks<W: World>(broker: Arc<Broker<W>>) {
    loop {
        let interval = broker.config.node.replica_high_watermark_checkpoint_interval;
        broker.world.sleep_until(broker.world.now() + interval).await;
        for home in broker.replicas.dirs().online() {
            note(home, "high watermarks", save_high_watermarks(&broker, home).await);
        }
    }
}

/// Syncs logs that are due by time, while the node lives. As in Kafka, `flush.ms` has no effect
/// without a scheduler interval, and a log without `flush.ms` is synced at every interval.
pub(crate) async fn flush_by_time<W: World>(broker: Arc<Broker<W>>) {
    let Some(interval) = broker.config.node.log_flush_scheduler_interval else { return };
    loop {
        broker.world.sleep_until(broker.world.now() + interval).await;
        for partition in broker.replicas.all() {
            if partition.flush_by_time_is_due(interval)
                && let Err(error) = partition.sync_to(partition.log_end()).await
            {
                tracing::error!(partition = %partition.name, %error, "can't sync");
            }
        }
    }
}

/// Saves recovery points periodically, while the node lives.
pub(crate) async fn checkpoint_recovery_points<W: World>(broker: Arc<Broker<W>>) {
    loop {
        let interval = broker.config.node.log_flush_offset_checkpoint_interval;
        broker.world.sleep_until(broker.world.now() + interval).await;
        for home in broker.replicas.dirs().online() {
            note(home, "recovery points", save_recovery_points(&broker, home).await);
        }
    }
}

/// Handles the result of saving a checkpoint: a failure takes the directory offline, unless the
/// disk is full.
pub(super) fn note<D: Disk>(home: &Home<D>, what: &str, saved: Result<(), LogError>) {
    if let Err(error) = saved
        && !home.failed(&error)
    {
        tracing::error!(%error, "can't save {what}");
    }
}

/// Drops expired producers, while the node lives.
pub(crate) async fn expire_producers<W: World>(broker: Arc<Broker<W>>) {
    loop {
        let interval = broker.config.txn.producer_id_expiration_check_interval;
        broker.world.sleep_until(broker.world.now() + interval).await;
        broker.replicas.expire_producers();
    }
}

/// Clean shutdown: closes every log and saves every checkpoint. A directory that fails is skipped;
/// if none could be closed, the first error is returned, or that all had failed before. A directory
/// whose metadata log could not be closed is not marked as clean.
pub(crate) async fn close<W: World>(
    broker: &Arc<Broker<W>>,
    metadata_closed: bool,
) -> Result<(), NodeError> {
    let dirs = broker.replicas.dirs();
    let (mut closed, mut all_marked, mut first) = (false, dirs.is_complete(), None);
    for home in dirs.online() {
        let may_mark = metadata_closed || !dirs.has_metadata(home);
        match close_one(broker, home, may_mark).await {
            Ok(marked) => {
                closed = true;
                all_marked &= marked;
            }
            Err(error) => {
                home.failed(&error);
                all_marked = false;
                first.get_or_insert(error);
            }
        }
    }
    if !all_marked {
        // KIP-966: without the marker of one directory, the next registration is not that of a broker
        // that was closed.
        broker.world.probe(NodeProbe::Failed);
    }
    broker.world.disk().settle().await;
    match first {
        _ if closed => Ok(()),
        Some(error) => Err(error.into()),
        None => Err(NodeError::StorageLost),
    }
}

/// Returns whether the directory has the marker of a clean shutdown.
async fn close_one<W: World>(
    broker: &Arc<Broker<W>>,
    home: &Arc<Home<W::Disk>>,
    may_mark: bool,
) -> Result<bool, LogError> {
    save_high_watermarks(broker, home).await?;
    for partition in replicas_in(broker, home) {
        partition.sync_to(partition.log_end()).await?;
    }
    save_recovery_points(broker, home).await?;
    let mut closed = BTreeMap::new();
    for partition in replicas_in(broker, home) {
        if let Some(log) = partition.retire() {
            closed.insert(partition.name.clone(), log.close().await?);
        }
    }
    // Records may have arrived since, and the next start examines a log that has more than this.
    closed.retain(|name, mark| home.dir.recovery_point(name) != Some(mark.offset));
    if !closed.is_empty() {
        home.dir.save_recovery_points(&closed).await?;
    }
    let marked = may_mark && !broker.replicas.has_unusable(home);
    if marked {
        home.dir.mark_clean(broker.epoch()).await?;
    }
    Ok(marked)
}

async fn save_high_watermarks<W: World>(
    broker: &Broker<W>,
    home: &Home<W::Disk>,
) -> Result<(), LogError> {
    let marks = all(broker, home, |partition| Some(partition.marks()?.0));
    home.dir.save_high_watermarks(&marks).await
}

/// Saves recovery points and log starts.
pub(crate) async fn save_recovery_points<W: World>(
    broker: &Broker<W>,
    home: &Home<W::Disk>,
) -> Result<(), LogError> {
    let points = all(broker, home, Partition::mark_recovery_point);
    home.dir.save_recovery_points(&points).await?;
    for partition in replicas_in(broker, home) {
        if let Some(mark) = points.get(&partition.name) {
            partition.recovery_point_saved(mark);
        }
    }
    let starts = all(broker, home, |partition| Some(partition.marks()?.1));
    home.dir.save_log_starts(&starts).await
}

fn replicas_in<W: World>(broker: &Broker<W>, home: &Home<W::Disk>) -> Vec<Arc<Partition<W>>> {
    let mut replicas = broker.replicas.all();
    replicas.retain(|partition| partition.home().id() == home.id());
    replicas
}

pub(super) fn all<W: World, T>(
    broker: &Broker<W>,
    home: &Home<W::Disk>,
    pick: impl Fn(&Partition<W>) -> Option<T>,
) -> BTreeMap<TopicPartition, T> {
    let all = replicas_in(broker, home);
    all.iter().filter_map(|p| Some((p.name.clone(), pick(p)?))).collect()
}
