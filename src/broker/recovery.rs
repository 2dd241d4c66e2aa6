//! Opening the logs of a data directory, several at a time, and saying how far that is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::base::config::TopicConfig;
use crate::base::{Offset, Probe, TopicPartition};
use crate::controller::Image;
use crate::io::{Disk, World};
use crate::log::{self, Log, LogConfig, LogDir, LogError, Recovery};

/// How often progress is said while it takes long.
const SAY: Duration = Duration::from_secs(10);

/// Opens one log, and recovers it unless it was closed (`clean`). Says what is damaged in it.
pub(crate) async fn open<W: World>(
    world: &W,
    dir: &LogDir<W::Disk>,
    found: &log::Found,
    name: &TopicPartition,
    config: LogConfig,
    clean: bool,
) -> Result<(Log<W::Disk>, Option<LogError>), LogError> {
    let recovery = Recovery {
        recovery_point: found.recovery_points.get(name).copied().unwrap_or(Offset::ZERO),
        clean,
        log_start: found.log_starts.get(name).copied().unwrap_or(Offset::ZERO),
    };
    let path = dir.partition_dir(name);
    let (disk, now) = (world.disk().clone(), world.wall_clock());
    let (mut log, report) = Log::open(disk, path, config, recovery, now).await?;
    if let Some(reason) = &report.cut_because {
        tracing::warn!(partition = %name, bytes = report.bytes_cut, reason, "cut a torn tail");
    }
    if let Some(began) = report.begins_late_after {
        let start = log.log_start();
        tracing::warn!(partition = %name, %began, %start, "the first segments are gone");
    }
    if !clean {
        world.probe(Probe::Recovered {
            partition: name.clone(),
            cut: report.bytes_cut,
            short: report.shorter_than_synced,
        });
        // What a crashed process left in the page cache is about to be vouched for. One whose sync
        // failed left no clean directory.
        if !found.clean {
            match log.write_again() {
                Err(error) if error.is_full() => {
                    tracing::warn!(partition = %name, %error, "what an earlier sync lost stays lost");
                }
                written => written?,
            }
            world.disk().settle().await;
        }
        let flushed = log.flush_plan().run().await?;
        log.flushed(&flushed);
    }
    log.set_cleaned_to(found.cleaner_offsets.get(name).copied().unwrap_or(Offset::NONE));
    Ok((log, report.damaged.map(LogError::from)))
}

/// What a log's settings are, as far as this node knows before it has heard of the controller. Of
/// a topic that it does not know (its copy of the metadata may be lost), a log has been compacted if
/// the cleaner's checkpoint says so: in any other one a gap is damage.
pub(crate) fn config_of(
    name: &TopicPartition,
    found: &log::Found,
    image: &Image,
    defaults: &TopicConfig,
) -> LogConfig {
    let id = found.partitions.get(name).copied().flatten();
    let known = image.topic(&name.topic).filter(|topic| id.is_none_or(|id| id == topic.id));
    match known {
        Some(topic) => LogConfig::from(&image.topic_config(&topic.name, defaults)),
        None => {
            let compacted = found.cleaner_offsets.contains_key(name);
            LogConfig { compacted, ..LogConfig::from(defaults) }
        }
    }
}

/// A log, if it could be opened, and what is damaged in it.
pub(crate) type OpenedLog<W> = (Option<Log<<W as World>::Disk>>, Option<LogError>);

/// What the tasks that open logs share.
struct Work<W: World> {
    world: W,
    dir: LogDir<W::Disk>,
    found: log::Found,
    waiting: Mutex<BTreeMap<TopicPartition, LogConfig>>,
    opened: AtomicUsize,
}

/// Opens all these logs, `threads` of them at a time (`num.recovery.threads.per.data.dir`). One that
/// is damaged costs itself alone; whatever else keeps one from being opened is the error.
pub(crate) async fn open_all<W: World>(
    world: &W,
    dir: &LogDir<W::Disk>,
    found: &log::Found,
    logs: BTreeMap<TopicPartition, LogConfig>,
    threads: usize,
) -> Result<BTreeMap<TopicPartition, OpenedLog<W>>, LogError> {
    let all = logs.len();
    let work = Arc::new(Work {
        world: world.clone(),
        dir: dir.clone(),
        found: found.clone(),
        waiting: Mutex::new(logs),
        opened: AtomicUsize::new(0),
    });
    let (opened, mut results) = mpsc::unbounded_channel();
    for _ in 0..threads.clamp(1, all.max(1)) {
        let (work, opened) = (work.clone(), opened.clone());
        world.spawn("recovery", async move {
            while let Some((name, config)) = work.next() {
                let Work { world, dir, found, .. } = &*work;
                let log = open(world, dir, found, &name, config, found.clean).await;
                work.opened.fetch_add(1, Ordering::Relaxed);
                // Nobody listens any more when another log could not be opened.
                if opened.send((name, log)).is_err() {
                    break;
                }
            }
        });
    }
    drop(opened);
    let began = world.now();
    let (mut logs, mut said) = (BTreeMap::new(), began);
    while let Some((name, log)) = results.recv().await {
        let (log, damage) = match log {
            Ok((log, damage)) => (Some(log), damage),
            Err(error @ LogError::Corrupt { .. }) => (None, Some(error)),
            Err(error) => return Err(error),
        };
        if let Some(error @ LogError::Corrupt { offset, .. }) = &damage {
            tracing::error!(partition = %name, %error, "a log is damaged");
            world.probe(Probe::Damaged { partition: name.clone(), offset: *offset });
        }
        logs.insert(name, (log, damage));
        if world.now().since(said) >= SAY {
            said = world.now();
            tracing::info!(opened = work.opened.load(Ordering::Relaxed), of = all, "opening logs");
        }
    }
    let seconds = world.now().since(began).as_secs_f64();
    let (dir, clean) = (dir.path().display(), found.clean);
    tracing::info!(%dir, logs = all, clean, seconds, "opened all logs");
    Ok(logs)
}

impl<W: World> Work<W> {
    fn next(&self) -> Option<(TopicPartition, LogConfig)> {
        self.waiting.lock().pop_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_an_unknown_topic_may_have_gaps_only_where_a_cleaner_was() {
        let name = TopicPartition::new("orders", 3);
        let (mut found, image) = (log::Found::default(), Image::default());
        let defaults = TopicConfig::default();
        assert!(!config_of(&name, &found, &image, &defaults).compacted);
        found.cleaner_offsets.insert(name.clone(), Offset(157));
        assert!(config_of(&name, &found, &image, &defaults).compacted);
    }
}
