//! What must hold in a cluster, whatever happens. The laws have a memory of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{ElectionState, ReplicaKey};
use super::shell::{Record, Shell};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset};

/// A leader that was replaced resigns after check-quorum's 3 s, counted from the last fetch of the epoch,
/// which may have been under way for 3 s.
const RESIGNS_WITHIN: Duration = Duration::from_millis(6500);

/// The memory of the laws.
#[derive(Debug, Default)]
pub struct Laws {
    /// The leader of each epoch.
    leaders: BTreeMap<LeaderEpoch, BrokerId>,
    /// The vote of each replica in each epoch, once a message has told of it.
    votes: BTreeMap<(LeaderEpoch, BrokerId), ReplicaKey>,
    /// All records that any replica took for committed.
    pub committed: Vec<Record>,
    /// The high watermark of each running replica.
    high_watermarks: BTreeMap<BrokerId, Offset>,
    /// Since when a leader leads on though another has been elected.
    replaced: BTreeMap<BrokerId, Instant>,
    pub broken: Option<String>,
}

impl Laws {
    pub fn forget(&mut self, id: BrokerId) {
        self.high_watermarks.remove(&id);
        self.replaced.remove(&id);
    }

    /// A message leaves that was made in this election state.
    pub fn told(&mut self, id: BrokerId, election: &ElectionState) {
        let Some(voted) = election.voted else { return };
        let first = *self.votes.entry((election.epoch, id)).or_insert(voted);
        if first != voted {
            self.fail(format!("{id} voted for {first} and {voted} in epoch {}", election.epoch));
        }
    }

    /// A replica was stepped.
    pub fn observe(&mut self, now: Instant, id: BrokerId, shell: &Shell) {
        if shell.machine.leads().is_none() {
            self.replaced.remove(&id);
        }
        if let Some(leading) = shell.machine.leads() {
            let epoch = leading.epoch;
            let is_new = !self.leaders.contains_key(&epoch);
            let leader = *self.leaders.entry(epoch).or_insert(id);
            if leader != id {
                self.fail(format!("{leader} and {id} lead epoch {epoch}"));
            }
            if is_new && !shell.log.starts_with(&self.committed) {
                let (count, end) = (self.committed.len(), shell.log.len());
                let lacks = format!("lacks some of the {count} committed records, and has {end}");
                self.fail(format!("leader {id} of epoch {epoch} {lacks}"));
            }
            self.resigns(now, id, epoch);
        }
        self.commits(id, shell);
    }

    fn commits(&mut self, id: BrokerId, shell: &Shell) {
        let known = self.high_watermarks.get(&id).copied();
        let Some(now) = shell.machine.high_watermark() else { return };
        if Some(now) == known {
            return;
        }
        if known.is_some_and(|known| now < known) {
            self.fail(format!("the high watermark of {id} fell from {known:?} to {now}"));
        }
        self.high_watermarks.insert(id, now);
        let upto = now.0 as usize;
        if upto > shell.log.len() {
            return self.fail(format!("{id} committed {upto} of {} records", shell.log.len()));
        }
        let both = upto.min(self.committed.len());
        if shell.log[..both] != self.committed[..both] {
            return self.fail(format!("{id} committed other records below {upto}"));
        }
        self.committed.extend_from_slice(&shell.log[both..upto]);
    }

    /// Check-quorum: a leader that another one has replaced resigns before long.
    fn resigns(&mut self, now: Instant, id: BrokerId, epoch: LeaderEpoch) {
        let newest = self.leaders.keys().next_back().copied();
        if newest <= Some(epoch) {
            self.replaced.remove(&id);
            return;
        }
        let since = *self.replaced.entry(id).or_insert(now);
        if now.since(since) > RESIGNS_WITHIN {
            self.fail(format!("{id} leads epoch {epoch} on, though replaced since {since}"));
        }
    }

    fn fail(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}
