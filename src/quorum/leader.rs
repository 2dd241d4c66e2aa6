//! Leader: appends, and commits what a majority of the voters has synced.
//!
//! Source: Kafka's `LeaderState`; KIP-595, KAFKA-15489 (check-quorum), KAFKA-16530 and KAFKA-16531 (a
//! leader that is not a voter any more).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::progress::Progress;
use super::terms::ReplicaKey;
use super::voters::VoterSet;
use crate::base::{BrokerId, Flaw, Flaws, Instant, Offset};

/// An observer that has not fetched for this long is forgotten. Source: Kafka's
/// `LeaderState.OBSERVER_SESSION_TIMEOUT_MS`.
const OBSERVER_SESSION_TIMEOUT: Duration = Duration::from_secs(300);

/// Observers that are remembered: their ids come from outside.
const MAX_OBSERVERS: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Leader {
    me: ReplicaKey,
    /// The log end when it was elected.
    pub(super) start: Offset,
    /// The voters that elected it.
    pub(super) granted: Vec<BrokerId>,
    /// The high watermark of this epoch. An earlier one is not exposed: it may be lower than what the
    /// former leader exposed.
    pub(super) high_watermark: Option<Offset>,
    voters: BTreeMap<BrokerId, Progress>,
    observers: BTreeMap<ReplicaKey, Progress>,
    /// Voters that have fetched since check-quorum last succeeded.
    fetched: BTreeSet<BrokerId>,
    /// When it resigns.
    pub(super) quorum_at: Instant,
    /// When it reminds voters that do not fetch.
    pub(super) begin_at: Instant,
    flaws: Flaws,
}

impl Leader {
    pub(super) fn new(
        now: Instant,
        me: ReplicaKey,
        voters: &VoterSet,
        start: Offset,
        granted: Vec<BrokerId>,
        quorum_at: Instant,
        flaws: Flaws,
    ) -> Self {
        Self {
            me,
            start,
            granted,
            high_watermark: None,
            voters: voters.iter().map(|key| (key.id, Progress::unknown(key))).collect(),
            observers: BTreeMap::new(),
            fetched: BTreeSet::new(),
            quorum_at,
            begin_at: now,
            flaws,
        }
    }

    /// The voters with what is known of them, this replica among them if it is one.
    pub(super) fn voters(&self) -> impl Iterator<Item = &Progress> {
        self.voters.values()
    }

    /// The observers that have fetched lately.
    pub(super) fn observers(&self, now: Instant) -> impl Iterator<Item = &Progress> {
        self.observers.values().filter(move |observer| is_recent(observer, now))
    }

    fn is_voter(&self) -> bool {
        self.voters.get(&self.me.id).is_some_and(|voter| voter.key.matches(&self.me))
    }

    /// Other voters whose fetches make a majority, together with this replica if it is a voter
    /// (KAFKA-16531).
    fn needed(&self) -> usize {
        self.voters.len() / 2 + 1 - usize::from(self.is_voter())
    }

    /// Whether it needs no other voter: then check-quorum never fails (KAFKA-16144).
    pub(super) fn needs_no_other(&self) -> bool {
        self.needed() == 0
    }

    /// A replica has fetched at `offset`, and has everything below.
    pub(super) fn fetched(
        &mut self,
        now: Instant,
        from: ReplicaKey,
        offset: Offset,
        log_end: Offset,
        quorum_at: Instant,
    ) {
        if let Some(progress) = self.progress(now, from) {
            progress.fetched(now, offset, log_end);
        }
        self.follows(from, quorum_at);
    }

    /// A replica follows. Once a majority does, check-quorum starts over and fails at `quorum_at`.
    pub(super) fn follows(&mut self, from: ReplicaKey, quorum_at: Instant) {
        if self.voters.get(&from.id).is_some_and(|voter| voter.key.matches(&from)) {
            self.fetched.insert(from.id);
        }
        if self.fetched.len() >= self.needed() {
            self.fetched.clear();
            self.quorum_at = quorum_at;
        }
    }

    fn progress(&mut self, now: Instant, from: ReplicaKey) -> Option<&mut Progress> {
        if self.voters.get(&from.id).is_some_and(|voter| voter.key.matches(&from)) {
            return self.voters.get_mut(&from.id);
        }
        if !self.observers.contains_key(&from) {
            self.observers.retain(|_, observer| is_recent(observer, now));
            if self.observers.len() == MAX_OBSERVERS {
                return None;
            }
        }
        Some(self.observers.entry(from).or_insert(Progress::unknown(from)))
    }

    /// Advances the high watermark to what a majority of the voters has synced; this replica has
    /// synced everything below `synced`. Returns whether it moved.
    ///
    /// It moves only across a record of this epoch (Raft, section 5.4.2): an older record may be on a
    /// majority and still be overwritten by a leader that never had it.
    pub(super) fn advance(&mut self, synced: Offset) -> bool {
        let is_me = |voter: &&Progress| voter.key.matches(&self.me);
        let mut positions: Vec<Option<Offset>> = self
            .voters()
            .map(|voter| if is_me(&voter) { Some(synced) } else { voter.log_end })
            .collect();
        let index = positions.len() / 2;
        if !self.is_voter() && self.flaws.has(Flaw::LeaderCountsItself) {
            positions.push(Some(synced));
        }
        positions.sort_unstable_by(|one, other| other.cmp(one));
        let Some(Some(reached)) = positions.get(index).copied() else { return false };
        let is_of_this_epoch = reached > self.start || self.flaws.has(Flaw::CommitOldEpoch);
        // It does not fall when the voters change, or when one of them has lost its log.
        let moves = is_of_this_epoch && Some(reached) > self.high_watermark;
        if moves {
            self.high_watermark = Some(reached);
        }
        moves
    }

    /// The voters that have not fetched for `interval`: those that may not know of this leader.
    pub(super) fn silent(
        &self,
        now: Instant,
        interval: Duration,
    ) -> impl Iterator<Item = ReplicaKey> + '_ {
        let is_silent =
            move |voter: &&Progress| voter.last_fetch.is_none_or(|last| last + interval <= now);
        let others = self.voters().filter(|voter| voter.key.id != self.me.id);
        others.filter(is_silent).map(|voter| voter.key)
    }

    /// The other voters, those with the longest logs first.
    pub(super) fn successors(&self) -> Vec<ReplicaKey> {
        let mut others: Vec<&Progress> =
            self.voters().filter(|voter| !voter.key.matches(&self.me)).collect();
        others.sort_by(|one, other| other.log_end.cmp(&one.log_end).then(one.key.cmp(&other.key)));
        others.into_iter().map(|voter| voter.key).collect()
    }

    /// The voters are now these. What is known of a replica is kept, whether it joins or leaves them.
    pub(super) fn set_voters(&mut self, voters: &VoterSet) {
        let mut former = std::mem::take(&mut self.voters);
        for key in voters.iter() {
            let known = match former.remove(&key.id) {
                Some(voter) if voter.key.matches(&key) => Some(voter),
                Some(voter) => {
                    self.observers.insert(voter.key, voter);
                    None
                }
                None => None,
            };
            let known = known.or_else(|| self.observers.remove(&key));
            let progress = known.map(|known| Progress { key, ..known });
            self.voters.insert(key.id, progress.unwrap_or(Progress::unknown(key)));
        }
        let gone = former.into_values().map(|voter| (voter.key, voter));
        self.observers.extend(gone.filter(|(key, _)| !key.matches(&self.me)));
        self.fetched.retain(|id| self.voters.contains_key(id));
    }
}

fn is_recent(observer: &Progress, now: Instant) -> bool {
    observer.last_fetch.is_some_and(|last| now.since(last) < OBSERVER_SESSION_TIMEOUT)
}
