//! The state of idempotent producers, kept beside the log: snapshots of it, and how it is rebuilt
//! from one of them and what was appended since.

use super::producers::Producers;
use super::scan::{NEAR, Walk};
use super::segment::Segment;
use super::{Log, LogError, checkpoint, names, snapshot};
use crate::base::Offset;
use crate::io::{Disk, File, Open};
use crate::wire::batch::BatchHeader;

/// Bytes of log before a snapshot that are looked through for what it leaves out.
const LOOK_BACK: u64 = 1 << 20;

impl<D: Disk> Log<D> {
    /// Leaves the producers' state beside the log. Without it, the next start reads more of the
    /// log: a failure is not one of the append.
    pub(super) fn write_snapshot(&mut self) {
        let (at, path) = (self.log_end, names::snapshot(&self.dir, self.log_end));
        let bytes = snapshot::encode(&self.producers);
        let written = self.disk.open(&path, Open::OrCreate).and_then(|file| {
            file.set_len(0)?;
            file.write_at(&bytes, 0)
        });
        match written {
            Ok(()) => {
                self.snapshots.insert(at);
                self.durability.snapshot_written(at);
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "no producer snapshot");
                let _ = self.disk.remove(&path);
            }
        }
    }

    /// Loads the newest snapshot that is whole, and what was appended since.
    pub(super) fn load_producers(&mut self) -> Result<(), LogError> {
        self.producers.clear();
        let mut from = self.log_start;
        while let Some(at) = self.snapshots.last().copied() {
            let path = names::snapshot(&self.dir, at);
            let bytes = checkpoint::read_file(&self.disk, &path)?.unwrap_or_default();
            match snapshot::decode(&bytes) {
                Ok(producers) => {
                    self.producers = producers;
                    self.look_back(at)?;
                    // What is below the log's start may count, while it is there.
                    from = at;
                    break;
                }
                Err(problem) => {
                    tracing::warn!(file = %path.display(), problem, "no producer snapshot");
                    self.forget_snapshots(|other| other == at)?;
                }
            }
        }
        let floor = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            let mut walk = segment.headers_from(from)?;
            let producers = &mut self.producers;
            each_header(segment, &mut walk, |header| producers.apply(header))?;
        }
        Ok(())
    }

    /// A snapshot has only the last batch of a producer, but it may have had more in flight, and
    /// will repeat them all: those are looked for in the log just before the snapshot.
    fn look_back(&mut self, at: Offset) -> Result<(), LogError> {
        if self.producers.is_empty() {
            return Ok(());
        }
        let (mut walks, mut left) = (Vec::new(), LOOK_BACK);
        for segment in self.segments.range(..at).rev().map(|(_, segment)| segment) {
            let end = segment.locate(at)?.map_or(segment.size, |found| found.position);
            let from = segment.start_of_tail(end.saturating_sub(left))?;
            walks.push((segment, Walk::new(&segment.file, &segment.path, from, end, NEAR)));
            left = left.saturating_sub(end - from);
            if left == 0 {
                break;
            }
        }
        let mut seen = Producers::default();
        for (segment, mut walk) in walks.into_iter().rev() {
            each_header(segment, &mut walk, |header| seen.apply(header))?;
        }
        self.producers.complete_from(&seen);
        Ok(())
    }

    /// Removes snapshots whose place is not in the log any more.
    pub(super) fn forget_snapshots(
        &mut self,
        stale: impl Fn(Offset) -> bool,
    ) -> Result<(), LogError> {
        let stale: Vec<Offset> = self.snapshots.iter().copied().filter(|at| stale(*at)).collect();
        for at in stale {
            let path = names::snapshot(&self.dir, at);
            match self.disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LogError::io("remove", &path)(error));
                }
                _ => {}
            }
            self.snapshots.remove(&at);
            self.durability.names_changed();
        }
        Ok(())
    }
}

fn each_header<D: Disk>(
    segment: &Segment<D>,
    walk: &mut Walk<'_, D::File>,
    mut see: impl FnMut(&BatchHeader),
) -> Result<(), LogError> {
    loop {
        let at = walk.position();
        match walk.next() {
            Ok(Some((_, header))) => see(&header),
            Ok(None) => return Ok(()),
            Err(stop) => return Err(stop.into_error(&segment.path, at, segment.base)),
        }
    }
}
