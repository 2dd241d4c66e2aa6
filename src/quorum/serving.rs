//! The leader's side of Fetch and FetchSnapshot.
//!
//! Source: Kafka's `KafkaRaftClient.tryCompleteFetchRequest` and `ReplicatedLog.validateOffsetAndEpoch`.

use super::machine::{Quorum, State};
use super::messages::{Fetch, FetchReply, Fetched, Reply};
use super::terms::{LogEnd, ReplicaKey};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset};
use crate::wire::ErrorCode;

impl Quorum {
    /// The leader's side of Fetch: checks the epoch, finds out whether the logs agree, and learns the
    /// position of the replica.
    pub fn fetch(&mut self, now: Instant, ask: &Fetch) -> FetchReply {
        self.step(now, |quorum| {
            let served = quorum.serve(now, ask);
            let error = served.err().unwrap_or(ErrorCode::None);
            let what = served.unwrap_or(Fetched::Nothing);
            FetchReply { error, epoch: quorum.epoch(), leader: quorum.leader(), what }
        })
    }

    /// The leader's side of FetchSnapshot: whether it may be answered. A voter that fetches a snapshot
    /// follows, so check-quorum counts it.
    pub fn fetch_snapshot(&mut self, now: Instant, epoch: LeaderEpoch, from: ReplicaKey) -> Reply {
        self.step(now, |quorum| {
            let follows = quorum.follows(now, epoch, from);
            quorum.reply(follows)
        })
    }

    fn follows(
        &mut self,
        now: Instant,
        epoch: LeaderEpoch,
        from: ReplicaKey,
    ) -> Result<(), ErrorCode> {
        self.check_leads(epoch)?;
        let quorum_at = now + self.settings.check_quorum_timeout();
        let is_checked = epoch != LeaderEpoch::NONE;
        if let State::Leader(leader) = &mut self.state
            && is_checked
            && from.id != self.me.id
        {
            leader.follows(from, quorum_at);
        }
        Ok(())
    }

    fn serve(&mut self, now: Instant, ask: &Fetch) -> Result<Fetched, ErrorCode> {
        let is_checked = ask.epoch != LeaderEpoch::NONE;
        // A fetch that acknowledges has to say of which log.
        let is_vague = ask.last_epoch < LeaderEpoch(0) || ask.last_epoch > ask.epoch;
        let is_wrong = is_checked && (is_vague || ask.from.id == self.me.id);
        if ask.offset < Offset::ZERO || ask.last_epoch < LeaderEpoch::NONE || is_wrong {
            return Err(ErrorCode::InvalidRequest);
        }
        self.check_leads(ask.epoch)?;
        let what = self.compare(ask);
        let quorum_at = now + self.settings.check_quorum_timeout();
        let log_end = self.log.offset;
        if let State::Leader(leader) = &mut self.state
            && matches!(what, Fetched::Records { .. })
            && ask.from.id >= BrokerId(0)
            && is_checked
        {
            // A position may fall: the replica has lost its log. The high watermark does not.
            leader.fetched(now, ask.from, ask.offset, log_end, quorum_at);
            self.advance();
        }
        Ok(what)
    }

    fn check_leads(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if epoch != LeaderEpoch::NONE && epoch < self.epoch() {
            Err(ErrorCode::FencedLeaderEpoch)
        } else if epoch > self.epoch() {
            Err(ErrorCode::UnknownLeaderEpoch)
        } else if self.is_leader() {
            Ok(())
        } else {
            Err(ErrorCode::NotLeaderOrFollower)
        }
    }

    /// Whether the log up to the fetch offset is the same as here, as far as its last epoch tells.
    fn compare(&self, ask: &Fetch) -> Fetched {
        // Snapshots that end at 0 come from formatting, and are not replicated.
        let snapshot = ask.snapshot.filter(|snapshot| snapshot.offset > Offset::ZERO);
        // An empty log is filled from a snapshot faster than from records.
        if let Some(snapshot) = snapshot
            && (ask.offset == Offset::ZERO || ask.offset < ask.log_start)
        {
            return Fetched::Snapshot(snapshot);
        }
        if ask.offset == Offset::ZERO {
            return Fetched::Records { upto: self.log.offset };
        }
        let (epoch, end) = match ask.last_epoch {
            LeaderEpoch::NONE => (LeaderEpoch::NONE, self.log.offset),
            _ => ask.end_of_last_epoch,
        };
        if epoch == ask.last_epoch && end >= ask.offset && self.log.offset >= ask.offset {
            return Fetched::Records { upto: self.log.offset };
        }
        match snapshot {
            // The logs agree only where this one was deleted.
            Some(snapshot) if end < ask.log_start || epoch < LeaderEpoch(0) => {
                Fetched::Snapshot(snapshot)
            }
            _ => {
                Fetched::Diverging(LogEnd { epoch, offset: end.min(self.log.offset) }.normalised())
            }
        }
    }
}
