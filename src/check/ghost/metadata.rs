//! The metadata log: the controllers' own and each broker's copy, as their files say.

use std::collections::BTreeMap;

use super::Change;
use super::image::Image;
use super::replica::Replica;
use super::segment::{Batch, Segment};
use crate::base::{ControllerProbe, Instant, LeaderEpoch, Offset, Probe};
use crate::sim::{HostId, Observation, What};

/// Decisions of the controller that were committed at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub batch: Batch,
    pub at: Instant,
}

/// Every node's metadata log, and its committed part.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    logs: BTreeMap<HostId, Replica>,
    /// The bytes of each log's segments, by base offset.
    files: BTreeMap<HostId, BTreeMap<i64, Vec<u8>>>,
    committed: Vec<Decision>,
    image: Image,
    /// The controller that began the newest epoch.
    active: Option<(LeaderEpoch, HostId)>,
}

impl Metadata {
    /// Where what is committed ends.
    pub fn frontier(&self) -> Offset {
        self.committed.last().map_or(Offset::ZERO, |last| last.batch.next)
    }

    /// Everything that was committed, in order.
    pub fn committed(&self) -> &[Decision] {
        &self.committed
    }

    /// What was committed at an offset.
    pub fn decision_at(&self, offset: Offset) -> Option<&Decision> {
        let after = self.committed.partition_point(|known| known.batch.base <= offset);
        self.committed.get(after.checked_sub(1)?).filter(|known| known.batch.next > offset)
    }

    /// The committed part, decoded.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The controller that began the newest epoch.
    pub fn active(&self) -> Option<HostId> {
        self.active.map(|(_, host)| host)
    }

    /// Whether a host is the controller that began the newest epoch.
    pub fn leads(&self, host: HostId) -> bool {
        self.active.is_some_and(|(_, active)| active == host)
    }

    /// A host's log, or its copy.
    pub fn log(&self, host: HostId) -> Option<&Replica> {
        self.logs.get(&host)
    }

    pub(super) fn observe(&mut self, seen: &Observation, changes: &mut Vec<Change>) {
        let host = seen.host;
        match &seen.what {
            // Without bytes, a refused write left the file as it was.
            What::Wrote { path, offset, bytes } if !bytes.is_empty() => {
                let Some(base) = segment_of(path) else { return };
                self.written(host, base, *offset, bytes, changes);
            }
            What::Cut { path, len } => {
                let Some(base) = segment_of(path) else { return };
                let log = self.logs.entry(host).or_default();
                let before = log.end();
                log.segments.entry(base).or_default().cut(*len);
                if let Some(file) = self.file(host, base) {
                    file.truncate(usize::try_from(*len).unwrap_or(usize::MAX));
                }
                self.shortened(host, before, changes);
            }
            What::Removed { path } | What::Renamed { from: path, .. } => {
                let Some(base) = segment_of(path) else { return };
                let log = self.logs.entry(host).or_default();
                let before = log.end();
                log.segments.remove(&base);
                self.files.entry(host).or_default().remove(&base);
                self.shortened(host, before, changes);
            }
            What::PowerLost { .. } => self.forget(host),
            What::Replaced { files } if files.iter().any(|path| segment_of(path).is_some()) => {
                self.forget(host);
            }
            What::Survived { path, bytes } => {
                let Some(base) = segment_of(path) else { return };
                let log = self.logs.entry(host).or_default();
                log.segments.insert(base, Segment::survived(bytes, None));
                self.files.entry(host).or_default().insert(base, bytes.to_vec());
            }
            What::Probe(Probe::Controller(ControllerProbe::BecameController { epoch, .. }))
                if self.active.is_none_or(|(newest, _)| newest <= *epoch) =>
            {
                self.active = Some((*epoch, host));
            }
            What::Probe(Probe::Controller(ControllerProbe::MetadataCommitted { end, .. })) => {
                self.commit(seen.at, host, *end);
            }
            _ => {}
        }
    }

    /// Its disk has nothing, as far as is known.
    fn forget(&mut self, host: HostId) {
        self.logs.remove(&host);
        self.files.remove(&host);
    }

    fn file(&mut self, host: HostId, base: i64) -> Option<&mut Vec<u8>> {
        self.files.get_mut(&host)?.get_mut(&base)
    }

    fn written(
        &mut self,
        host: HostId,
        base: i64,
        offset: u64,
        bytes: &[u8],
        changes: &mut Vec<Change>,
    ) {
        let file = self.files.entry(host).or_default().entry(base).or_default();
        // A node that writes behind a gap is judged by `offsets-dense`; its file is not kept.
        if let Some(from) = usize::try_from(offset).ok().filter(|from| *from <= file.len()) {
            file.truncate(from);
            file.extend_from_slice(bytes);
        }
        let log = self.logs.entry(host).or_default();
        let before = log.end();
        let segment = log.segments.entry(base).or_default();
        let written = segment.write(offset, bytes);
        let new = segment.batches().get(written.first..).unwrap_or_default();
        changes.extend(new.iter().map(|batch| Change::Decided { host, batch: *batch }));
        self.shortened(host, before, changes);
    }

    /// Everything below `end` is committed, as it lies on the controller that reports it.
    fn commit(&mut self, at: Instant, host: HostId, end: Offset) {
        let frontier = self.frontier();
        let Some(log) = self.logs.get(&host) else { return };
        let new = log.batches_from(frontier).take_while(|batch| batch.next <= end);
        for batch in new {
            self.committed.push(Decision { batch: *batch, at });
            let segments = log.segments.range(..=batch.base.0);
            let base = segments.last().map_or(0, |(base, _)| *base);
            let file = self.files.get(&host).and_then(|files| files.get(&base));
            let from = usize::try_from(batch.position).unwrap_or(usize::MAX);
            let bytes = file.and_then(|file| file.get(from..)?.get(..batch.size as usize));
            self.image.apply(batch.base, bytes.unwrap_or_default());
        }
    }

    fn shortened(&self, host: HostId, before: Offset, changes: &mut Vec<Change>) {
        let end = self.logs.get(&host).map_or(Offset::ZERO, Replica::end);
        if end < before {
            changes.push(Change::Undecided { host, end });
        }
    }
}

/// `/data/__cluster_metadata-0/00000000000000000000.log`
fn segment_of(path: &str) -> Option<i64> {
    let (directory, file) = path.rsplit_once('/')?;
    if !directory.ends_with("/__cluster_metadata-0") {
        return None;
    }
    file.strip_suffix(".log")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::batch;

    #[test]
    fn a_refused_write_that_wrote_nothing_leaves_the_log() {
        let path = "/data/__cluster_metadata-0/00000000000000000000.log";
        let mut metadata = Metadata::default();
        let mut write = |bytes: &[u8]| {
            let bytes = bytes.to_vec().into();
            let what = What::Wrote { path: path.into(), offset: 0, bytes };
            let mut changes = Vec::new();
            let seen = Observation { at: Instant(0), host: HostId(1), what };
            metadata.observe(&seen, &mut changes);
            (changes, metadata.files[&HostId(1)][&0].clone())
        };
        let whole = batch(0, 1, &[1, 2]);
        let (changes, _) = write(&whole);
        assert!(matches!(changes[..], [Change::Decided { .. }]), "{changes:?}");
        let (changes, file) = write(&[]);
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(file, whole);
    }
}
