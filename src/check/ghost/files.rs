//! The effects of writes, cuts, renames, removals and power losses on the replicas' logs.

use super::*;

/// The end of a cleaned segment's name until it counts.
const CLEANED: &str = ".log.cleaned";
/// And from then on, until it has its place.
const SWAP: &str = ".log.swap";

impl Ghost {
    /// The partition and base offset of a segment by its path, if it holds clients' data.
    pub(super) fn place_of(&mut self, path: &Arc<str>) -> FilePlace {
        if let Some(known) = self.files.get(path) {
            return known.clone();
        }
        let place = read_path(path);
        self.files.insert(path.clone(), place.clone());
        place
    }

    /// A segment by its path.
    pub(super) fn segment_of(&mut self, on: HostId, path: &Arc<str>) -> Option<&mut Segment> {
        let (name, base) = self.place_of(path)?;
        let host = self.hosts.get_mut(on)?;
        let log = match host.has_aside(&name, path) {
            true => host.log_aside(path),
            false => host.replicas.get_mut(&name)?,
        };
        log.segments.get_mut(&base)
    }

    pub(super) fn wrote(
        &mut self,
        at: Instant,
        on: HostId,
        path: &Arc<str>,
        offset: u64,
        bytes: &[u8],
        changes: &mut Vec<Change>,
    ) {
        if path.ends_with(CLEANED) {
            self.cleaned.entry((on, path.clone())).or_default().write(offset, bytes);
            return;
        }
        let Some((name, base)) = self.place_of(path) else { return };
        let Some(host) = self.hosts.get_mut(on) else { return };
        let crew = Crew::one(host.rank);
        if host.has_aside(&name, path) {
            host.log_aside(path).segments.entry(base).or_default().write(offset, bytes);
            return;
        }
        if !host.replicas.contains_key(&name) {
            host.replicas.insert(name.clone(), Replica::default());
        }
        let Some(replica) = host.replicas.get_mut(&name) else { return };
        replica.lies_at(path);
        let segment = replica.segments.entry(base).or_default();
        let written = segment.write(offset, bytes);
        let completed = segment.batches().len();
        if written.after_garbage {
            let (after, position) = (replica.end(), offset);
            changes.push(Change::Unreadable { host: on, partition: name, after, position });
            return;
        }
        if written.replaced {
            replica.agreed.set(0);
            let end = replica.segments.get(&base).and_then(|segment| {
                let kept = written.first.checked_sub(1)?;
                segment.batches().get(kept).map(|batch| batch.next)
            });
            let end = end.unwrap_or(Offset(base));
            changes.push(Change::Cut { host: on, partition: name.clone(), end });
        }
        let mut partition = self.partitions.get_mut(&name);
        for index in written.first..completed {
            let Some(batch) = replica.segments.get(&base).and_then(|s| s.batches().get(index))
            else {
                break;
            };
            let batch = *batch;
            let place = replica.place(base, index);
            if let Some(partition) = partition.as_deref_mut() {
                partition.wrote(at, &batch, crew);
            }
            if *name.topic == *topics::TRANSACTION_STATE {
                let place = batch.position..batch.position + u64::from(batch.size);
                let records = self.compacted.records_in(on, path, place);
                self.transaction_log.wrote(name.partition, &batch, records);
            }
            changes.push(Change::Appended { host: on, partition: name.clone(), batch, place });
        }
    }

    pub(super) fn cut(&mut self, on: HostId, path: &Arc<str>, len: u64, changes: &mut Vec<Change>) {
        if path.ends_with(CLEANED) {
            self.cleaned.entry((on, path.clone())).or_default().cut(len);
            return;
        }
        let Some((name, base)) = self.place_of(path) else { return };
        let Some(host) = self.hosts.get_mut(on) else { return };
        if host.has_aside(&name, path) {
            host.log_aside(path).segments.entry(base).or_default().cut(len);
            return;
        }
        let replica = host.replicas.entry(name.clone()).or_default();
        replica.lies_at(path);
        let before = replica.end();
        replica.segments.entry(base).or_default().cut(len);
        self.shortened(on, name, before, changes);
    }

    pub(super) fn removed(
        &mut self,
        at: Instant,
        on: HostId,
        path: &Arc<str>,
        changes: &mut Vec<Change>,
    ) {
        self.cleaned.remove(&(on, path.clone()));
        let Some((name, base)) = self.place_of(path) else { return };
        if let Some(host) = self.hosts.get_mut(on).filter(|host| host.has_aside(&name, path)) {
            host.log_aside(path).segments.remove(&base);
            return;
        }
        if self.is_shadowed(on, &name, base, path) {
            return;
        }
        self.remove_segment(at, on, name, base, changes);
    }

    /// Whether a cleaned segment counts in the place of this file.
    fn is_shadowed(&self, on: HostId, name: &TopicPartition, base: i64, path: &str) -> bool {
        let replica = self.hosts.replica(on, name);
        !path.ends_with(SWAP) && replica.is_some_and(|replica| replica.swapped.contains(&base))
    }

    /// A cleaned segment counts from now on, in the place of all segments within its range.
    fn swapped_in(&mut self, on: HostId, name: &TopicPartition, base: i64, segment: Segment) {
        let Some(host) = self.hosts.get_mut(on) else { return };
        let replica = host.replicas.entry(name.clone()).or_default();
        let end = segment.batches().last().map_or(Offset(base), |last| last.next);
        if let Some(partition) = self.partitions.get_mut(name) {
            partition.cleaned_below = partition.cleaned_below.max(end);
        }
        replica.segments.retain(|other, _| *other < base || *other >= end.0);
        replica.segments.insert(base, segment);
        replica.swapped.insert(base);
        replica.agreed.set(0);
    }

    /// Retention raised a log's start: the records below are deleted, if it was due for each of
    /// their segments. Their files go later.
    pub(super) fn expired(
        &mut self,
        at: Instant,
        on: HostId,
        name: &TopicPartition,
        start: Offset,
    ) {
        let Some(replica) = self.hosts.replica(on, name) else { return };
        let mut below = replica.segments.range(..start.0).map(|(base, _)| *base);
        if below.all(|base| self.was_due(at, name, replica, base))
            && let Some(partition) = self.partitions.get_mut(name)
        {
            partition.delete(start);
        }
    }

    /// Whether retention was due for one of a replica's segments: its records are too old, or those
    /// behind it have enough bytes.
    fn was_due(&self, at: Instant, name: &TopicPartition, replica: &Replica, base: i64) -> bool {
        let promise = self.setup.promise(&name.topic);
        let Some(segment) = replica.segments.get(&base) else { return false };
        let Some(latest) = segment.batches().iter().map(|batch| batch.latest).max() else {
            return true;
        };
        let now = i128::from(at.0 / 1_000_000) + i128::from(crate::sim::EPOCH_MS);
        let age = now - i128::from(latest.0);
        let old = promise.retention.is_some_and(|keep| age > keep.as_millis() as i128);
        let behind = replica.segments.range(base + 1..);
        let behind: u64 = behind.map(|(_, segment)| segment.readable()).sum();
        old || promise.retention_bytes.is_some_and(|keep| behind >= keep)
    }

    fn remove_segment(
        &mut self,
        at: Instant,
        on: HostId,
        name: TopicPartition,
        base: i64,
        changes: &mut Vec<Change>,
    ) {
        let Some(replica) = self.hosts.replica(on, &name) else { return };
        // Any replica may delete expired segments; followers delete what their leader deleted.
        let due = self.was_due(at, &name, replica, base);
        let role = self.view.node(on).and_then(|node| node.roles.get(&name));
        let leads = due || role.is_some_and(|role| role.leads);
        let Some(host) = self.hosts.get_mut(on) else { return };
        let Some(replica) = host.replicas.get_mut(&name) else { return };
        let before = replica.end();
        replica.swapped.remove(&base);
        if replica.segments.remove(&base).is_none() {
            return;
        }
        // A batch that was known to be here may have been in it.
        replica.agreed.set(0);
        let first = replica.segments.first_key_value().map(|(base, _)| *base);
        // Only retention takes a leader's oldest segment while younger ones stay.
        if let Some(first) = first.filter(|first| leads && base < *first)
            && let Some(partition) = self.partitions.get_mut(&name)
        {
            partition.delete(Offset(first));
        }
        self.shortened(on, name, before, changes);
    }

    /// A log may have lost its tail: earlier comparisons may not hold any more.
    pub(super) fn shortened(
        &mut self,
        on: HostId,
        name: TopicPartition,
        before: Offset,
        changes: &mut Vec<Change>,
    ) {
        let Some(replica) = self.hosts.replica(on, &name) else { return };
        let end = replica.end();
        if let Some(partition) = self.partitions.get(&name) {
            let agreed = partition.promised.partition_point(|promised| promised.batch.next <= end);
            replica.agreed.set(replica.agreed.get().min(agreed));
        }
        if end < before {
            changes.push(Change::Cut { host: on, partition: name, end });
        }
    }

    pub(super) fn renamed(
        &mut self,
        at: Instant,
        on: HostId,
        from: &Arc<str>,
        to: &Arc<str>,
        changes: &mut Vec<Change>,
    ) {
        if let Some(segment) = self.cleaned.remove(&(on, from.clone())) {
            if let Some((name, base)) = self.place_of(to) {
                match self.hosts.get_mut(on).filter(|host| host.has_aside(&name, to)) {
                    Some(host) => drop(host.log_aside(to).segments.insert(base, segment)),
                    None => self.swapped_in(on, &name, base, segment),
                }
            }
            return;
        }
        if from.ends_with(".log") || from.ends_with(SWAP) {
            let Some((name, base)) = self.place_of(from) else { return };
            let new = self.place_of(to);
            if let Some(host) = self.hosts.get_mut(on).filter(|host| host.has_aside(&name, from)) {
                let log = host.log_aside(from);
                if let (Some(segment), Some((_, base))) = (log.segments.remove(&base), new) {
                    log.segments.insert(base, segment);
                }
                return;
            }
            if self.is_shadowed(on, &name, base, from) {
                return;
            }
            if from.ends_with(SWAP) && to.ends_with(".log") {
                let host = self.hosts.get_mut(on);
                if let Some(replica) = host.and_then(|host| host.replicas.get_mut(&name)) {
                    replica.swapped.remove(&base);
                }
                return;
            }
            let Some(host) = self.hosts.get_mut(on) else { return };
            let replica = host.replicas.get_mut(&name);
            let segment = replica.and_then(|replica| replica.segments.remove(&base));
            match (segment, new) {
                (Some(segment), Some((name, base))) => {
                    let replica = host.replicas.entry(name).or_default();
                    replica.agreed.set(0);
                    replica.segments.insert(base, segment);
                }
                (Some(segment), None) => {
                    if let Some(replica) = host.replicas.get_mut(&name) {
                        replica.segments.insert(base, segment);
                    }
                    self.remove_segment(at, on, name, base, changes);
                }
                (None, _) => {}
            }
            return;
        }
        self.cleaned.retain(|(of, path), _| *of != on || !is_inside(path, from));
        let Some(host) = self.hosts.get_mut(on) else { return };
        let Some(name) = partition_of(from) else { return };
        if host.replicas.get(&name).is_some_and(|replica| !replica.may_lie_in(from)) {
            host.aside.remove(from);
            return;
        }
        if let Some(mut replica) = host.replicas.remove(&name)
            && let Some(new) = partition_of(to)
        {
            replica.dir = Some(to.clone());
            replica.agreed.set(0);
            host.replicas.insert(new, replica);
        }
    }

    /// The power failed; `eligible`: where the broker was in the ISR or the ELR.
    pub(super) fn power_lost(&mut self, on: HostId, eligible: &[TopicPartition]) {
        let Some(host) = self.hosts.get_mut(on) else { return };
        let mut before = BTreeMap::new();
        for (name, replica) in &mut host.replicas {
            before.insert(name.clone(), (replica.end(), eligible.contains(name)));
            replica.before = std::mem::take(&mut replica.segments);
            replica.swapped.clear();
            replica.agreed.set(0);
        }
        for log in host.aside.values_mut() {
            log.before = std::mem::take(&mut log.segments);
        }
        host.before_power_loss = Some(before);
        self.cleaned.retain(|(of, _), _| *of != on);
        self.losing_power.insert(on);
    }

    /// A file as it was found after the power loss.
    pub(super) fn survived(&mut self, on: HostId, path: &Arc<str>, bytes: &[u8]) {
        let Some((partition, base)) = self.place_of(path) else { return };
        let Some(host) = self.hosts.get_mut(on) else { return };
        let replica = match host.has_aside(&partition, path) {
            true => host.log_aside(path),
            false => host.replicas.entry(partition).or_default(),
        };
        if path.ends_with(SWAP) {
            replica.swapped.insert(base);
        }
        // Sorted by name, so that a swapped-in segment comes after those that it replaces.
        let segment = Segment::survived(bytes, replica.before.get(&base));
        replica.segments.insert(base, segment);
    }

    /// An empty disk is in the place of the one that had these files.
    pub(super) fn replaced(&mut self, on: HostId, files: &[Arc<str>], changes: &mut Vec<Change>) {
        let placed = files.iter().filter_map(|path| Some((self.place_of(path)?.0, path)));
        let placed: Vec<_> = placed.collect();
        if let Some(host) = self.hosts.get_mut(on) {
            host.aside.retain(|dir, _| !files.iter().any(|path| is_inside(path, dir)));
        }
        let of_replicas = placed.into_iter().filter(|(name, path)| {
            self.hosts.get(on).is_some_and(|host| !host.has_aside(name, path))
        });
        let places: BTreeSet<_> = of_replicas.map(|(name, _)| name).collect();
        self.cleaned.retain(|(of, path), _| *of != on || !files.contains(path));
        let Some(host) = self.hosts.get_mut(on) else { return };
        for partition in places {
            let Some(replica) = host.replicas.get_mut(&partition) else { continue };
            let in_sync = host.eligible_at_end.contains(&partition);
            let before = replica.end();
            let mut lost = std::mem::take(&mut replica.lost);
            lost.push(Lost { in_sync });
            *replica = Replica { lost, topic_id: replica.topic_id, ..Replica::default() };
            if before > Offset::ZERO {
                changes.push(Change::Cut { host: on, partition, end: Offset::ZERO });
            }
        }
    }

    /// Every surviving file has been seen as soon as anything else happens: now the loss is known.
    pub(super) fn settle_power_losses(&mut self, next_on: HostId, next: &What) {
        let waiting = matches!(next, What::Survived { .. }).then_some(next_on);
        let done: Vec<HostId> =
            self.losing_power.iter().copied().filter(|host| Some(*host) != waiting).collect();
        for host in done {
            self.losing_power.remove(&host);
            let Some(host) = self.hosts.get_mut(host) else { continue };
            for (name, (before, in_sync)) in host.before_power_loss.take().unwrap_or_default() {
                let Some(replica) = host.replicas.get_mut(&name) else { continue };
                let compacted = self.setup.promise(&name.topic).compacted;
                if compacted {
                    replica.drop_covered();
                }
                replica.settle();
                if compacted {
                    // A cleaned segment and those that it replaces are both valid.
                    replica.stale = None;
                }
                let end = replica.contiguous_end(compacted);
                if end < before {
                    replica.lost.push(Lost { in_sync });
                }
            }
        }
    }
}

/// Whether a file is in a directory.
pub(crate) fn is_inside(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// The partition of a file.
pub(super) fn partition_of_file(path: &str) -> Option<TopicPartition> {
    partition_of(path.rsplit_once('/')?.0)
}

/// Reads `/data/orders-2/00000000000000000000.log`; the metadata log holds no client's data. A
/// `.log.swap` counts as the log that it is about to be, as the next start would make it.
fn read_path(path: &str) -> FilePlace {
    let (directory, file) = path.rsplit_once('/')?;
    let digits = file.strip_suffix(".log").or_else(|| file.strip_suffix(SWAP))?;
    let base = (digits.len() == 20).then(|| digits.parse().ok()).flatten()?;
    Some((partition_of(directory)?, base))
}

/// The partition whose log a directory holds, by its path.
pub(crate) fn partition_of(directory: &str) -> Option<TopicPartition> {
    let name = directory.rsplit_once('/').map_or(directory, |(_, name)| name);
    TopicPartition::from_directory(name).filter(|name| &*name.topic != "__cluster_metadata")
}
