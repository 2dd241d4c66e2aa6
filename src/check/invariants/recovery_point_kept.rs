//! `recovery-point-kept`: no log is opened shorter than its recovery point on disk: everything below
//! was synced, so no crash takes it.
//!
//! The recovery point is read from the checkpoint as it lies on the disk: as it was renamed into
//! place, and after a power loss as it survived. A log is cut below it only after a lower one was
//! saved. A log that was given up, or whose topic was deleted, begins again: what the checkpoint says of
//! it is void until the next one. So is a recovery point of a log that a faulty disk has touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Offset, Probe, ReplicaProbe, TopicPartition};
use crate::check::ghost::partition_of_directory;
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::{HostId, What};

/// The end of the checkpoint's path.
const CHECKPOINT: &str = "/recovery-point-offset-checkpoint";

#[derive(Default)]
pub(super) struct RecoveryPointKept {
    /// By host, directory and log.
    points: BTreeMap<(HostId, String, TopicPartition), Offset>,
    /// Logs that were opened since their host booted.
    opened: BTreeSet<(HostId, TopicPartition)>,
    /// Logs that a faulty disk has touched since they began.
    faulty: BTreeSet<(HostId, TopicPartition)>,
}

impl RecoveryPointKept {
    /// A checkpoint is in place.
    fn saved(&mut self, host: HostId, path: &str, text: &[u8]) {
        let Some(directory) = path.strip_suffix(CHECKPOINT) else { return };
        self.points.retain(|(of, known, _), _| *of != host || known != directory);
        let text = String::from_utf8_lossy(text);
        for line in text.lines().skip(2) {
            let mut words = line.split(' ');
            let (Some(topic), Some(index), Some(offset)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if let (Ok(index), Ok(offset)) = (index.parse(), offset.parse()) {
                let partition = TopicPartition::new(topic, index);
                self.points.insert((host, directory.to_owned(), partition), Offset(offset));
            }
        }
    }

    /// A log's directory has another name.
    fn renamed(&mut self, host: HostId, from: &str) {
        let Some(partition) = partition_of_directory(from) else { return };
        let Some((directory, _)) = from.rsplit_once('/') else { return };
        self.faulty.remove(&(host, partition.clone()));
        self.points.remove(&(host, directory.to_owned(), partition));
    }

    /// A fault touched a file of a log.
    fn damaged(&mut self, host: HostId, path: &str) {
        let directory = path.rsplit_once('/').map_or(path, |(directory, _)| directory);
        self.faulty.extend(partition_of_directory(directory).map(|partition| (host, partition)));
    }

    /// A log is served for the first time since its host booted.
    fn opened(
        &mut self,
        event: &Event<'_>,
        ghost: &Ghost,
        partition: &TopicPartition,
    ) -> Result<(), Violation> {
        let id = event.seen.host;
        if !self.opened.insert((id, partition.clone())) {
            return Ok(());
        }
        let points = self.points.iter().filter(|((of, _, log), _)| *of == id && log == partition);
        let mut points = points.map(|(_, point)| *point);
        // Where two directories name it, it is not certain which is meant.
        let (Some(point), None) = (points.next(), points.next()) else { return Ok(()) };
        let Some(host) = ghost.host(id) else { return Ok(()) };
        let log = host.replicas.get(partition);
        if self.faulty.contains(&(id, partition.clone())) {
            return Ok(());
        }
        let end = log.map_or(Offset::ZERO, |log| log.end());
        if end >= point {
            return Ok(());
        }
        let witness = StorageWitness::ShorterThanSynced { broker: host.broker, end, point };
        event.broke("recovery-point-kept", partition, witness)
    }
}

impl Invariant for RecoveryPointKept {
    fn name(&self) -> &'static str {
        "recovery-point-kept"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let host = event.seen.host;
        match &event.seen.what {
            What::Wrote { path, bytes, .. } | What::Survived { path, bytes }
                if path.ends_with(CHECKPOINT) =>
            {
                self.saved(host, path, bytes);
            }
            What::Removed { path } if path.ends_with(CHECKPOINT) => self.saved(host, path, &[]),
            What::Renamed { from, .. } => self.renamed(host, from),
            What::Corrupted { path, .. } | What::Lied { path } => self.damaged(host, path),
            What::PowerLost { .. } => self.points.retain(|(of, ..), _| *of != host),
            What::Booted => self.opened.retain(|(of, _)| *of != host),
            What::Probe(Probe::Replica(
                ReplicaProbe::BecameLeader { partition, .. }
                | ReplicaProbe::BecameFollower { partition, .. },
            )) => return self.opened(event, ghost, partition),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn saved(point: i64) -> Story {
        let mut story = Story::judging("recovery-point-kept");
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 2, 0, &[3]);
        story.saves_recovery_point(1, point);
        story
    }

    #[test]
    fn silent_when_a_power_loss_takes_what_was_not_synced() {
        let mut story = saved(2);
        story.power_loss(1, 2);
        story.recovery_point_survives(1, 2);
        story.boot(1);
        story.became_follower(1, 1, 2);
        story.silent();
    }

    #[test]
    fn fires_when_a_log_is_opened_without_what_was_synced() {
        let mut story = saved(3);
        story.power_loss(1, 2);
        story.recovery_point_survives(1, 3);
        story.boot(1);
        story.became_follower(1, 1, 2);
        story.fired(
            "orders-0 log of b1 was opened at 1.000 s and ends at offset 2; everything below offset 3 \
             was synced",
        );
    }

    #[test]
    fn fires_when_recovery_after_a_kill_cuts_what_was_synced() {
        let mut story = saved(3);
        story.killed(1);
        story.boot(1);
        story.cut(1, 2);
        story.became_follower(1, 1, 2);
        assert!(story.sentence().contains("ends at offset 2"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_an_older_checkpoint_survives_or_the_log_was_cut_after_a_lower_one() {
        let mut story = saved(3);
        story.power_loss(1, 2);
        story.recovery_point_survives(1, 2);
        story.boot(1);
        story.became_follower(1, 1, 2);
        let mut cut = saved(3);
        cut.saves_recovery_point(1, 0);
        cut.cut(1, 2);
        cut.killed(1);
        cut.boot(1);
        cut.became_follower(1, 1, 2);
        story.silent();
        cut.silent();
    }

    #[test]
    fn silent_about_a_log_that_was_given_up_and_one_that_rotted() {
        let mut given_up = saved(3);
        given_up.gives_up(1);
        given_up.killed(1);
        given_up.boot(1);
        given_up.became_follower(1, 1, 2);
        given_up.silent();
        let mut rotten = saved(3);
        rotten.rots(1, 2);
        rotten.killed(1);
        rotten.boot(1);
        rotten.cut(1, 2);
        rotten.became_follower(1, 1, 2);
        rotten.silent();
    }
}
