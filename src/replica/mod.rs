//! Leader and follower of one partition. Pure: no await, no clock, no I/O.
//!
//! The leader tracks the ISR and the high watermark; the follower finds where its log diverges from
//! the leader's, and which part is committed. The shell owns the log, requests and responses, and
//! the waiting.

mod follower;
mod leader;
mod nearest;
mod peers;
mod progress;
mod starts;

pub use follower::{Follower, Position, RangeRemedy};
pub use leader::{
    EpochMismatch, Leader, LeaderEffect, LeaderInput, LeaderStart, NotEnoughReplicas, Progress,
    Proposal, Refusal,
};
pub use nearest::{Readable, nearest};
pub use peers::{Peer, Peers};
pub use starts::LogStarts;

use crate::base::{LeaderEpoch, Offset};

/// KIP-320: whether a request names this replica's leader epoch. `-1` is not checked.
pub fn check_epoch(ours: LeaderEpoch, theirs: LeaderEpoch) -> Result<(), EpochMismatch> {
    if theirs == LeaderEpoch::NONE || theirs == ours {
        Ok(())
    } else if theirs < ours {
        Err(EpochMismatch::Fenced)
    } else {
        Err(EpochMismatch::Unknown)
    }
}

/// Where a reader's log diverges from this one, if it does: the largest epoch here that is not
/// above the reader's last one, and its end (KIP-101, KIP-279, KIP-595).
///
/// `here` is that epoch and its end in this log, looked up for `last_fetched`.
pub fn diverging(
    last_fetched: LeaderEpoch,
    position: Offset,
    here: (LeaderEpoch, Offset),
) -> Option<(LeaderEpoch, Offset)> {
    (here.0 < last_fetched || here.1 < position).then_some(here)
}
