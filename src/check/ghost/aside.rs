//! Logs of a partition in other directories than its replica's.
//!
//! Where a directory fails, another one takes its replicas over. Once it is back, a node finds two logs of a
//! partition, keeps that of the directory which the metadata name, and sets the other one aside. A log that
//! could not be created leaves an empty one there, too.

use super::*;

impl Host {
    /// Whether a file belongs to another log of a partition than its replica.
    pub(super) fn has_aside(&self, name: &TopicPartition, file: &str) -> bool {
        let replica = self.replicas.get(name);
        replica.is_some_and(|replica| !replica.may_lie_in(directory_of(file)))
    }

    /// The log of a file that is not its partition's replica.
    pub(super) fn log_aside(&mut self, file: &str) -> &mut Replica {
        self.aside.entry(directory_of(file).into()).or_default()
    }
}

impl Replica {
    /// It is the log with this file, unless it has another directory.
    pub(super) fn lies_at(&mut self, file: &str) {
        self.dir.get_or_insert_with(|| directory_of(file).into());
    }

    /// Whether its files are in this directory, as far as is known.
    pub(super) fn may_lie_in(&self, directory: &str) -> bool {
        self.dir.as_deref().is_none_or(|known| known == directory)
    }
}

impl Ghost {
    /// The log that has a file: a replica, or another log of its partition.
    pub(crate) fn log_with(
        &self,
        host: HostId,
        name: &TopicPartition,
        file: &str,
    ) -> Option<&Replica> {
        let host = self.hosts.get(host)?;
        match host.has_aside(name, file) {
            true => host.aside.get(directory_of(file)),
            false => host.replicas.get(name),
        }
    }

    /// A node says in which of its directories a replica is.
    pub(super) fn hosted(
        &mut self,
        on: HostId,
        name: &TopicPartition,
        dir: &str,
        changes: &mut Vec<Change>,
    ) {
        let dir: Arc<str> = format!("{dir}/{name}").into();
        let Some(host) = self.hosts.get_mut(on) else { return };
        let replica = host.replicas.entry(name.clone()).or_default();
        if replica.may_lie_in(&dir) {
            replica.dir = Some(dir);
            return;
        }
        let before = replica.end();
        let mut new = host.aside.remove(&dir).unwrap_or_default();
        new.dir = Some(dir);
        // What the replica has lost counts wherever it begins again.
        new.lost = std::mem::take(&mut replica.lost);
        let old = std::mem::replace(replica, new);
        if let Some(place) = old.dir.clone() {
            host.aside.insert(place, old);
        }
        self.shortened(on, name.clone(), before, changes);
    }
}

fn directory_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(directory, _)| directory)
}
