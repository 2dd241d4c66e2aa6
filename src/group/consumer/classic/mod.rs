//! Members of a consumer group that speak the classic protocol: JoinGroup, SyncGroup, Heartbeat,
//! LeaveGroup. So a group can change its protocol while it is in use, one member after the other.
//!
//! A classic group becomes a consumer group when the first member of the new protocol joins
//! (`upgrade`), and a classic one again when the last of them is gone (`downgrade`), as far as
//! `group.consumer.migration.policy` allows. In between, the coordinator assigns for all; a member of
//! the classic protocol is told by REBALANCE_IN_PROGRESS to join again, which is a step of its
//! reconciliation. Its generation is its member epoch.
//!
//! | file | contents |
//! |---|---|
//! | `protocol` | subscriptions and assignments as the classic protocol embeds them |
//! | `join`, `sync`, `beat`, `leave` | one file per request |
//! | `upgrade`, `downgrade` | groups that change their protocol |
//!
//! Left out: Kafka also downgrades when a static member of the classic protocol takes the place of
//! the last one of the new protocol; here the group stays until a member leaves.

mod beat;
mod downgrade;
mod join;
mod leave;
mod protocol;
mod sync;
mod upgrade;

pub use beat::beat;
pub(super) use downgrade::downgrade;
pub use join::join;
pub use leave::leave;
pub use sync::sync;
pub(super) use upgrade::begin_sessions;
pub use upgrade::upgraded;

use std::time::Duration;

use super::group::ConsumerGroup;
use super::member::Member;
use super::sessions::rebalance_timeout;
use crate::wire::ErrorCode;

/// The session timeout that a member of the classic protocol asked for.
fn session_of(member: &Member) -> Duration {
    let classic = member.info.classic.as_ref();
    rebalance_timeout(classic.map_or(0, |classic| classic.session_timeout_ms))
}

/// The protocol that a member of the classic protocol uses: the first that it supports.
fn protocol_of(member: &Member) -> &str {
    let protocols = member.info.classic.iter().flat_map(|classic| &classic.protocols);
    protocols.map(|(name, _)| name.as_str()).next().unwrap_or_default()
}

/// The member that sends a request, if it speaks the classic protocol.
fn sender<'a>(
    group: &'a ConsumerGroup,
    id: &str,
    instance: Option<&str>,
    generation: i32,
) -> Result<&'a Member, ErrorCode> {
    let member = match instance {
        None => group.member(id),
        Some(instance) => match group.instance(instance) {
            Some((owner, _)) if owner.as_str() != id => return Err(ErrorCode::FencedInstanceId),
            found => found.map(|(_, member)| member),
        },
    };
    let member = member.filter(|member| member.is_classic()).ok_or(ErrorCode::UnknownMemberId)?;
    if generation == member.epoch { Ok(member) } else { Err(ErrorCode::IllegalGeneration) }
}
