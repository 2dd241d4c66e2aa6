//! The log grew, was synced, was truncated; and the high watermark that follows from it.

use super::machine::{Quorum, State};
use super::terms::LogEnd;
use super::voters::VoterSet;
use crate::base::{Flaw, Instant, Offset};

/// A truncation would remove committed records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "can't truncate the metadata log to offset {end}: records below offset {high_watermark} are \
     committed; the leader has lost them, so restore its log directory or remove it from the voters"
)]
pub struct BelowHighWatermark {
    /// Where the log was to end.
    pub end: Offset,
    /// Everything below is committed.
    pub high_watermark: Offset,
}

impl Quorum {
    /// The log was appended to, by the leader or by the follower, and ends at `end`. Not synced yet.
    pub fn appended(&mut self, now: Instant, end: LogEnd) {
        self.step(now, |quorum| {
            let end = end.normalised();
            assert!(
                end.offset >= quorum.log.offset && end.epoch >= quorum.log.epoch,
                "appended up to {end}, but the log ended at {}",
                quorum.log
            );
            quorum.log = end;
            if quorum.settings.flaws.has(Flaw::NoFsyncBeforeAck) {
                quorum.synced = end.offset;
                quorum.advance();
            }
        });
    }

    /// Everything below `upto` is synced. Only now does a leader count its own position, and a
    /// follower acknowledge with its next fetch (KIP-595, KAFKA-10533).
    pub fn flushed(&mut self, now: Instant, upto: Offset) {
        self.step(now, |quorum| {
            quorum.synced = quorum.synced.max(upto.min(quorum.log.offset));
            quorum.advance();
        });
    }

    /// The leader's high watermark came with a fetch whose records are appended and synced.
    pub fn fetched(&mut self, now: Instant, high_watermark: Offset) {
        self.step(now, |quorum| {
            if quorum.is_leader() || high_watermark < Offset::ZERO {
                return;
            }
            // The records between this log's end and the leader's high watermark are yet to come.
            let known = high_watermark.min(quorum.log.offset);
            quorum.high_watermark = quorum.high_watermark.max(Some(known));
        });
    }

    /// The log is about to be truncated, and to end at `end`. If that is refused, it must not be.
    pub fn truncated(&mut self, end: LogEnd) -> Result<(), BelowHighWatermark> {
        let end = end.normalised();
        if let Some(high_watermark) = self.high_watermark.filter(|known| end.offset < *known) {
            return Err(BelowHighWatermark { end: end.offset, high_watermark });
        }
        self.step(self.seen, |quorum| {
            if end < quorum.log {
                quorum.log = end;
                quorum.synced = quorum.synced.min(end.offset);
            }
        });
        Ok(())
    }

    /// The log was replaced by a snapshot of the leader's that ends at `end`, and is synced. All of a
    /// snapshot is committed.
    pub fn restored(&mut self, now: Instant, end: LogEnd) {
        self.step(now, |quorum| {
            let end = end.normalised();
            quorum.log = end;
            quorum.synced = end.offset;
            quorum.high_watermark = quorum.high_watermark.max(Some(end.offset));
        });
    }

    /// The voters are now these: those of the last VotersRecord of the log, committed or not (KIP-853).
    pub fn set_voters(&mut self, now: Instant, voters: VoterSet) {
        self.step(now, |quorum| {
            quorum.voters = voters;
            match &mut quorum.state {
                State::Leader(leader) => leader.set_voters(&quorum.voters),
                State::Prospective(_) | State::Candidate(_) => {
                    // Its ballot counts voters of before.
                    let election_at = quorum.draw_election(now);
                    quorum.give_up_pre_vote(now, election_at);
                }
                _ => {}
            }
            quorum.advance();
        });
    }

    /// A leader's high watermark, after a position or the voters changed.
    pub(super) fn advance(&mut self) {
        if let State::Leader(leader) = &mut self.state
            && leader.advance(self.synced)
        {
            self.high_watermark = self.high_watermark.max(leader.high_watermark);
        }
    }
}
