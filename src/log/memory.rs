//! The state of producers, kept beside the log: snapshots of it, how it is rebuilt from one of them
//! and what was appended since, and what follows from it about transactions.

use std::collections::BTreeSet;

use super::lookup::Located;
use super::producers::{Ended, Producers};
use super::scan::{NEAR, Walk};
use super::segment::Segment;
use super::transactions::{Aborted, Marker, coordinator_epoch};
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
        self.unreplicated.clear();
        let mut from = self.first_known();
        while let Some(at) = self.snapshots.last().copied() {
            // Without the batches between them, it has half the truth about a producer, which refuses
            // its next batch; nothing at all takes it (KIP-360).
            if self.segments.keys().next().is_some_and(|first| at < *first) {
                self.forget_snapshots(|other| other == at)?;
                continue;
            }
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
        self.idle_since = None;
        let floor = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            let mut walk = segment.headers_from(from)?;
            let (known, rest) = segment.aborted_with_rest()?;
            let mut aborted = known.clone();
            // Of the others, what a power loss left is as good as nothing.
            aborted.retain(|aborted| (segment.base..from).contains(&aborted.last));
            let (producers, unreplicated) = (&mut self.producers, &mut self.unreplicated);
            each_header(segment, &mut walk, |position, header| {
                let ended = producers.apply(header);
                if header.is_control() && header.has_producer() {
                    let batch = segment.load(&Located { position, header: *header })?;
                    note_coordinator(producers, header, &batch);
                    if let Some(ended) = ended {
                        aborted.extend(aborted_by(producers, ended, &batch));
                        unreplicated.push_back(ended);
                    }
                }
                Ok(())
            })?;
            // Nothing that is appended behind such a rest would be read.
            if aborted != known || rest > 0 {
                segment.set_aborted(&aborted, false)?;
            }
        }
        self.idle_since = self.producers.longest_silent();
        Ok(())
    }

    /// Where the log is read from without a snapshot. Its start may lie in the middle of a transaction,
    /// whose marker tells nothing to who has not seen the batches: then the aborted rest would be
    /// served as committed. So the segment that has the start counts from its beginning, unless what is
    /// below the start can't be read.
    pub(super) fn first_known(&self) -> Offset {
        let at_start = self.segments.range(..=self.log_start).next_back();
        let Some((base, segment)) = at_start.filter(|(base, _)| **base < self.log_start) else {
            return self.log_start;
        };
        let Ok(mut walk) = segment.headers_from(*base) else { return self.log_start };
        loop {
            match walk.next() {
                Ok(Some((_, header))) if header.next_offset() < self.log_start => {}
                Ok(_) => return *base,
                Err(_) => return self.log_start,
            }
        }
    }

    /// Takes a batch into account that was appended.
    pub(super) fn remember(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), LogError> {
        let ended = self.producers.apply(header);
        note_coordinator(&mut self.producers, header, batch);
        if header.has_producer() {
            self.note_idle_since(header.max_timestamp);
            if header.is_transactional() {
                let (producer, epoch) = (header.producer_id, header.producer_epoch);
                self.verifications.end(producer, epoch, header.is_control());
            }
        }
        let Some(ended) = ended else { return Ok(()) };
        self.unreplicated.push_back(ended);
        match aborted_by(&self.producers, ended, batch) {
            Some(aborted) => self.active()?.push_aborted(&aborted),
            None => Ok(()),
        }
    }

    /// Below it every transaction has ended, and its end is committed. Source: Kafka's
    /// `UnifiedLog.lastStableOffset`.
    pub fn last_stable_offset(&mut self, high_watermark: Offset) -> Offset {
        self.committed(high_watermark);
        let undecided = self.unreplicated.iter().map(|ended| ended.first).min();
        let open = self.producers.first_open_transaction();
        let stable = undecided.into_iter().chain(open).fold(high_watermark, Offset::min);
        // Records of an open transaction may have been deleted. Source: Kafka's
        // `UnifiedLog.maybeIncrementFirstUnstableOffset`.
        stable.max(self.log_start.min(high_watermark))
    }

    /// Forgets transactions whose markers are committed: everything below the high watermark is.
    pub fn committed(&mut self, high_watermark: Offset) {
        let floor = high_watermark.max(self.log_start);
        self.unreplicated.retain(|ended| ended.marker >= floor);
    }

    /// Looks in the log just before a snapshot for what the snapshot leaves out: earlier batches of a
    /// producer that had several in flight and will repeat them all, and transactions whose markers may
    /// not be committed yet. Kafka forgets those, and its last stable offset may pass them too early.
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
        let (mut seen, mut begin, mut known) = (Producers::default(), None, BTreeSet::new());
        let unreplicated = &mut self.unreplicated;
        for (segment, mut walk) in walks.into_iter().rev() {
            each_header(segment, &mut walk, |_, header| {
                let first = *begin.get_or_insert(header.base_offset);
                let ended = seen.apply(header);
                let (producer, marker) = (header.producer_id, header.last_offset());
                let is_marker = header.is_control() && header.has_producer();
                // Without a marker before it, the transaction may have begun before what is read.
                if is_marker && known.insert(producer) && left == 0 {
                    unreplicated.push_back(Ended { producer, first, marker });
                } else {
                    unreplicated.extend(ended);
                }
                Ok(())
            })?;
        }
        self.producers.complete_from(&seen);
        Ok(())
    }

    /// Removes snapshots at offsets that are no longer in the log.
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
    mut see: impl FnMut(u64, &BatchHeader) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let mut due = segment.base;
    loop {
        let at = walk.position();
        match walk.next() {
            Ok(Some((position, header))) => {
                see(position, &header)?;
                due = header.next_offset();
            }
            Ok(None) => return Ok(()),
            Err(stop) => return Err(stop.into_error(&segment.path, at, due)),
        }
    }
}

/// Remembers the coordinator epoch of a marker.
fn note_coordinator(producers: &mut Producers, header: &BatchHeader, batch: &[u8]) {
    if header.is_control()
        && header.has_producer()
        && let Some(epoch) = coordinator_epoch(batch)
    {
        producers.note_coordinator(header.producer_id, epoch);
    }
}

/// The transaction that this batch aborts, if its marker says so.
fn aborted_by(producers: &Producers, ended: Ended, batch: &[u8]) -> Option<Aborted> {
    let Ended { producer, first, marker } = ended;
    // A marker that can't be read was checked when it came: a cleaner has emptied it.
    let aborts = matches!(Marker::of(batch), Ok(Some(Marker::Abort)));
    let last_stable = producers.first_open_transaction().unwrap_or(marker.next());
    aborts.then_some(Aborted { producer, first, last: marker, last_stable })
}
