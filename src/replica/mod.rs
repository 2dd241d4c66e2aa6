//! Leader and follower of one partition. Pure: no await, no clock, no I/O.
//!
//! The leader knows who is in sync and what is committed; the follower knows where its log parts
//! from the leader's and what of it is committed. Left to the shell: the log itself, requests and
//! answers, who waits for what.

mod follower;
mod leader;
mod peers;
mod progress;
mod starts;

pub use follower::{Follower, Position, RangeRemedy};
pub use leader::{
    EpochMismatch, Leader, LeaderEffect, LeaderInput, LeaderStart, NotEnoughReplicas, Progress,
    Proposal, Refusal,
};
pub use peers::{Peer, Peers};
pub use starts::LogStarts;

use crate::base::{LeaderEpoch, Offset};

/// Where a reader's log parts from this one, if it does: the largest epoch here that is not above
/// the reader's last one, and where it ends (KIP-101, KIP-279, KIP-595).
///
/// `here` is that epoch and its end, as the log knows it for `last_fetched`.
pub fn diverging(
    last_fetched: LeaderEpoch,
    position: Offset,
    here: (LeaderEpoch, Offset),
) -> Option<(LeaderEpoch, Offset)> {
    (here.0 < last_fetched || here.1 < position).then_some(here)
}
