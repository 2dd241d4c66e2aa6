//! The leader's side of one partition: the ISR and the high watermark.
//!
//! Source: Kafka's `Partition` and `Replica`; KIP-497 (AlterPartition), KIP-841 and KIP-903
//! (eligibility for the ISR), KIP-966 (the high watermark below min.insync.replicas).

mod check;
mod terms;

pub use terms::{
    EpochMismatch, LeaderEffect, LeaderInput, LeaderStart, NotEnoughReplicas, Progress, Proposal,
    Refusal,
};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use check::Before;

use super::nearest::Readable;
use super::peers::Peers;
use super::progress::FollowerProgress;
use crate::base::{
    BrokerEpoch, BrokerId, Flaw, Flaws, Instant, LeaderEpoch, Offset, PartitionEpoch,
};

/// Delay before a proposal without a known outcome is sent again.
const RETRY: Duration = Duration::from_millis(50);

/// The leader of one partition in one epoch.
#[derive(Debug)]
pub struct Leader {
    me: BrokerId,
    epoch: LeaderEpoch,
    /// First offset of this epoch. A replica must reach it to join the ISR (KAFKA-7128).
    epoch_start: Offset,
    partition_epoch: PartitionEpoch,
    replicas: Vec<BrokerId>,
    /// The ISR that the controller has committed.
    isr: BTreeSet<BrokerId>,
    /// The proposal in flight; at most one at a time.
    pending: Option<Pending>,
    /// Members added by proposals that were sent twice. One copy was refused, but the other may
    /// still be applied until the partition epoch moves.
    doubtful: BTreeSet<BrokerId>,
    /// No proposal before this time, after a refusal.
    quiet_until: Instant,
    /// Time of the last step.
    seen: Instant,
    followers: BTreeMap<BrokerId, FollowerProgress>,
    peers: Peers,
    log_end: Offset,
    /// Never falls within an epoch, never exceeds the log end.
    high_watermark: Offset,
    min_insync: usize,
    lag_time_max: Duration,
    flaws: Flaws,
}

#[derive(Debug)]
struct Pending {
    proposal: Proposal,
    /// The members that it adds. Removed members count until the removal is committed.
    joining: BTreeSet<BrokerId>,
    /// When to send it again.
    retry_at: Option<Instant>,
    sent_again: bool,
}

impl Leader {
    /// Starts leading. Call once per leader epoch, even if this broker led the previous one:
    /// fetches of an earlier epoch do not count (KAFKA-15665).
    pub fn new(now: Instant, start: LeaderStart, peers: Peers) -> Self {
        let isr: BTreeSet<BrokerId> = start.isr.into_iter().collect();
        let followers = start.replicas.iter().filter(|id| **id != start.me);
        let followers =
            followers.map(|id| (*id, FollowerProgress::at_start(now, isr.contains(id)))).collect();
        Self {
            me: start.me,
            epoch: start.epoch,
            epoch_start: start.log_end,
            partition_epoch: start.partition_epoch,
            replicas: start.replicas,
            isr,
            pending: None,
            doubtful: BTreeSet::new(),
            quiet_until: now,
            seen: now,
            followers,
            peers,
            log_end: start.log_end,
            high_watermark: start.high_watermark.min(start.log_end),
            min_insync: start.min_insync,
            lag_time_max: start.lag_time_max,
            flaws: start.flaws,
        }
    }

    /// Applies an input and appends its effects. An outdated input changes nothing.
    pub fn step(&mut self, now: Instant, input: LeaderInput, effects: &mut Vec<LeaderEffect>) {
        let before = cfg!(debug_assertions).then(|| (Before::of(self), effects.len()));
        match input {
            LeaderInput::Appended { end } => self.log_end = self.log_end.max(end),
            LeaderInput::Fetched { replica, broker_epoch, position } => {
                self.fetched(now, replica, broker_epoch, position, effects);
            }
            LeaderInput::Alive { sessions } => {
                for (replica, at) in sessions {
                    if let Some(follower) = self.followers.get_mut(&replica) {
                        follower.alive(at, self.log_end);
                    }
                }
            }
            LeaderInput::Committed { partition_epoch, isr } => {
                self.committed(partition_epoch, isr);
            }
            LeaderInput::Refused { partition_epoch, refusal } => {
                self.refused(now, partition_epoch, refusal);
            }
            LeaderInput::MinInsync(replicas) => self.min_insync = replicas,
            LeaderInput::Peers(peers) => self.peers = peers,
            LeaderInput::Tick => self.retry(now, effects),
        }
        self.shrink(now, effects);
        self.advance(now, effects);
        self.seen = now;
        if let Some((before, from)) = before {
            self.check();
            self.check_step(&before, &effects[from..]);
        }
    }

    /// The earliest time at which `step` needs a `Tick` without other inputs.
    pub fn deadline(&self) -> Option<Instant> {
        let lags_from = |(id, follower): (&BrokerId, &FollowerProgress)| {
            // An ISR member that lags can be removed, with one proposal at a time. Any other
            // follower may hold back the high watermark until it lags.
            let matters = match self.isr.contains(id) {
                true => self.pending.is_none(),
                false => self.is_about_to_join(*id, follower),
            };
            follower.lags_from(self.log_end, self.lag_time_max).filter(|_| matters)
        };
        let lags = self.followers.iter().filter_map(lags_from);
        let retry = self.pending.as_ref().and_then(|pending| pending.retry_at);
        // Anything due at the last step was done then, or could not be.
        let due = lags.chain(retry).chain([self.quiet_until]);
        due.filter(|at| *at > self.seen).min()
    }

    fn fetched(
        &mut self,
        now: Instant,
        replica: BrokerId,
        broker_epoch: Option<BrokerEpoch>,
        position: Offset,
        effects: &mut Vec<LeaderEffect>,
    ) {
        // The position may be beyond our log end: replicas fetch appended records, but the leader
        // counts them only once they are as durable as the flush policy requires.
        if self.is_from_the_past(replica, broker_epoch) {
            return;
        }
        let Some(follower) = self.followers.get_mut(&replica) else { return };
        let to_reach = match self.flaws.has(Flaw::LagByFetchTime) {
            true => position,
            false => self.log_end,
        };
        follower.fetched(now, position, to_reach, broker_epoch);
        if self.may_propose(now) && self.may_join(replica) {
            let mut isr = self.isr.clone();
            isr.insert(replica);
            self.propose(isr, effects);
        }
    }

    /// KIP-903: a fetch that was sent before the broker registered again says nothing about what
    /// the broker has now.
    pub fn is_from_the_past(&self, replica: BrokerId, broker_epoch: Option<BrokerEpoch>) -> bool {
        match (self.peers.get(replica), broker_epoch) {
            (Some(peer), Some(epoch)) if !self.flaws.has(Flaw::NoBrokerEpochInIsr) => {
                epoch != BrokerEpoch::NONE && epoch < peer.epoch
            }
            _ => false,
        }
    }

    fn may_join(&self, id: BrokerId) -> bool {
        let Some(follower) = self.followers.get(&id) else { return false };
        !self.isr.contains(&id) && self.has_reached_the_isr(follower) && self.is_eligible(id)
    }

    /// Whether a follower has fetched in this epoch, and has everything that may be committed. A
    /// new leader's high watermark may be old, but everything committed before is below the start
    /// of its epoch (KAFKA-7128).
    fn has_reached_the_isr(&self, follower: &FollowerProgress) -> bool {
        if self.flaws.has(Flaw::LagByFetchTime) {
            return follower.position().is_some();
        }
        let start = match self.flaws.has(Flaw::JoinBeforeEpochStart) {
            true => Offset::ZERO,
            false => self.epoch_start,
        };
        follower.position().is_some_and(|at| at >= self.high_watermark && at >= start)
    }

    /// KIP-841: neither fenced nor shutting down. KIP-903: still the registration that fetched.
    fn is_eligible(&self, id: BrokerId) -> bool {
        let Some(follower) = self.followers.get(&id) else { return false };
        let Some(peer) = self.peers.get(id) else { return false };
        let present = !peer.fenced && !peer.shutting_down;
        let same = follower.broker_epoch() == Some(peer.epoch);
        (present || self.flaws.has(Flaw::FencedMayJoin))
            && (same || self.flaws.has(Flaw::NoBrokerEpochInIsr))
    }

    fn committed(&mut self, partition_epoch: PartitionEpoch, isr: Vec<BrokerId>) {
        // The same state may arrive twice, from the AlterPartition response and from the metadata
        // log. The second time it says nothing about a proposal made in between, which may still be
        // applied: its joiners must keep counting.
        if partition_epoch <= self.partition_epoch {
            return;
        }
        self.partition_epoch = partition_epoch;
        self.isr = isr.into_iter().collect();
        // A proposal based on an earlier partition epoch can't be applied any more.
        self.pending = None;
        self.doubtful.clear();
    }

    fn refused(&mut self, now: Instant, rested_on: PartitionEpoch, refusal: Refusal) {
        let concerned = |pending: &Pending| pending.proposal.partition_epoch == rested_on;
        let Some(mut pending) = self.pending.take_if(|pending| concerned(pending)) else { return };
        match refusal {
            Refusal::NotApplied => {
                if pending.sent_again {
                    self.doubtful.append(&mut pending.joining);
                }
                self.quiet_until = now + RETRY;
                return;
            }
            // Stays pending, so that possible joiners count, until the metadata log has the new
            // state.
            Refusal::Outdated => {}
            Refusal::Unknown => pending.retry_at = Some(now + RETRY),
        }
        self.pending = Some(pending);
    }

    fn retry(&mut self, now: Instant, effects: &mut Vec<LeaderEffect>) {
        if let Some(pending) = &mut self.pending
            && pending.retry_at.is_some_and(|at| at <= now)
        {
            pending.retry_at = None;
            pending.sent_again = true;
            effects.push(LeaderEffect::ProposeIsr(pending.proposal.clone()));
        }
    }

    /// Proposes to remove all members that have lagged for too long.
    fn shrink(&mut self, now: Instant, effects: &mut Vec<LeaderEffect>) {
        if !self.may_propose(now) {
            return;
        }
        let lags = |id: &BrokerId| {
            let caught_up = |follower: &FollowerProgress| {
                follower.is_caught_up(now, self.log_end, self.lag_time_max)
            };
            *id != self.me && !self.followers.get(id).is_some_and(caught_up)
        };
        if self.isr.iter().any(lags) {
            let isr = self.isr.iter().copied().filter(|id| !lags(id)).collect();
            self.propose(isr, effects);
        }
    }

    fn may_propose(&self, now: Instant) -> bool {
        self.pending.is_none() && now >= self.quiet_until
    }

    fn propose(&mut self, isr: BTreeSet<BrokerId>, effects: &mut Vec<LeaderEffect>) {
        let joining = isr.difference(&self.isr).copied().collect();
        let proposal = Proposal {
            leader_epoch: self.epoch,
            partition_epoch: self.partition_epoch,
            isr: isr.into_iter().map(|id| (id, self.heard_epoch(id))).collect(),
        };
        effects.push(LeaderEffect::ProposeIsr(proposal.clone()));
        self.pending = Some(Pending { proposal, joining, retry_at: None, sent_again: false });
    }

    /// The registration of a member that the proposal vouches for (KIP-903); `-1` for a member that
    /// has not fetched in this epoch. If such a member restarts, the controller removes it and so
    /// refuses this proposal.
    fn heard_epoch(&self, id: BrokerId) -> BrokerEpoch {
        let epoch = if self.flaws.has(Flaw::NoBrokerEpochInIsr) {
            None
        } else if id == self.me {
            self.peers.get(id).map(|peer| peer.epoch)
        } else {
            self.followers.get(&id).and_then(FollowerProgress::broker_epoch)
        };
        epoch.unwrap_or(BrokerEpoch::NONE)
    }

    /// Advances the high watermark, if possible.
    fn advance(&mut self, now: Instant, effects: &mut Vec<LeaderEffect>) {
        if self.is_below_min_insync() {
            return;
        }
        let counts = |id: &BrokerId, follower: &FollowerProgress| {
            self.may_be_in_sync(*id)
                || !self.flaws.has(Flaw::HighWatermarkOverCommittedIsr)
                    && self.is_about_to_join(*id, follower)
                    && follower.is_caught_up(now, self.log_end, self.lag_time_max)
        };
        let counted = self.followers.iter().filter(|(id, follower)| counts(id, follower));
        let positions = counted.map(|(_, follower)| follower.position());
        // A replica that has not fetched in this epoch may have nothing.
        let lowest = positions.map(|position| position.unwrap_or(Offset::ZERO)).min();
        let reached = lowest.map_or(self.log_end, |lowest| lowest.min(self.log_end));
        if reached > self.high_watermark {
            self.high_watermark = reached;
            effects.push(LeaderEffect::HighWatermark(reached));
        }
    }

    /// KIP-966: nothing more is committed while fewer than min.insync.replicas are in sync.
    /// Otherwise a replica that left the ISR and is still eligible to lead would lack it
    /// (KAFKA-15583).
    fn is_below_min_insync(&self) -> bool {
        self.isr.len() < self.needed() && !self.flaws.has(Flaw::HighWatermarkBelowMinIsr)
    }

    /// Whether a replica is in the maximal ISR: in the committed one, or possibly added by a
    /// proposal. Counting both is the safe side (KIP-497, KAFKA-8836).
    fn may_be_in_sync(&self, id: BrokerId) -> bool {
        let joining = self.pending.as_ref().is_some_and(|pending| pending.joining.contains(&id));
        let counts = !self.flaws.has(Flaw::HighWatermarkOverCommittedIsr);
        self.isr.contains(&id) || counts && (joining || self.doubtful.contains(&id))
    }

    /// All members of the maximal ISR.
    pub fn maximal_isr(&self) -> impl Iterator<Item = BrokerId> {
        self.replicas.iter().copied().filter(|id| self.may_be_in_sync(*id))
    }

    /// Whether the high watermark waits for a follower that has caught up. Without this it might
    /// never join: with an ISR of one, the high watermark would always be ahead of it.
    fn is_about_to_join(&self, id: BrokerId, follower: &FollowerProgress) -> bool {
        follower.position().is_some() && self.is_eligible(id)
    }

    /// `min.insync.replicas`, at most the number of replicas.
    fn needed(&self) -> usize {
        if self.flaws.has(Flaw::NoMinInsync) {
            return 1;
        }
        self.min_insync.min(self.replicas.len())
    }

    /// Whether an `acks=all` write may be appended.
    pub fn check_min_insync(&self) -> Result<(), NotEnoughReplicas> {
        let (in_sync, needed) = (self.isr.len(), self.needed());
        if in_sync < needed { Err(NotEnoughReplicas { in_sync, needed }) } else { Ok(()) }
    }

    /// The state of an `acks=all` write that ends at `end`.
    pub fn progress(&self, end: Offset) -> Progress {
        if self.high_watermark < end {
            Progress::Waiting
        } else if self.check_min_insync().is_ok() {
            Progress::Acknowledged
        } else {
            Progress::NotEnoughAfterAppend
        }
    }

    /// Everything below is committed.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Whether the high watermark is known to be as high as it ever was. A new leader's may be old
    /// until it reaches the start of its epoch (KIP-207).
    pub fn has_caught_up_with_its_past(&self) -> bool {
        self.high_watermark >= self.epoch_start
    }

    /// First offset of this epoch.
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// The epoch in which this replica leads.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The version of the partition's state that this leader knows.
    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// The committed ISR.
    pub fn isr(&self) -> impl Iterator<Item = BrokerId> {
        self.isr.iter().copied()
    }

    /// The followers from which a consumer may read at `offset`. Those outside of the ISR may lag ever
    /// further, and take the consumer with them (KIP-392).
    pub fn readable_at(&self, offset: Offset) -> impl Iterator<Item = Readable> {
        let in_sync = self.followers.iter().filter(|(id, _)| self.isr.contains(id));
        let readable = in_sync.filter_map(|(id, follower)| {
            let (log_end, caught_up_at) = (follower.position()?, follower.caught_up_at());
            Some(Readable { id: *id, log_end, caught_up_at })
        });
        readable.filter(move |follower| follower.log_end >= offset)
    }

    /// Whether a broker is registered and not fenced.
    pub fn lives(&self, id: BrokerId) -> bool {
        self.peers.get(id).is_some_and(|peer| !peer.fenced)
    }

    /// Whether another replica could lead at once: it is in the committed ISR that this leader
    /// knows, and is active.
    pub fn has_successor(&self) -> bool {
        let takes_part = |id: &BrokerId| {
            self.peers.get(*id).is_some_and(|peer| !peer.fenced && !peer.shutting_down)
        };
        self.isr.iter().any(|id| *id != self.me && takes_part(id))
    }

    /// Whether a broker has a replica of the partition.
    pub fn is_replica(&self, id: BrokerId) -> bool {
        self.replicas.contains(&id)
    }
}

#[cfg(test)]
mod tests;
