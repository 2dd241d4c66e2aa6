//! A member of a classic group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::group::{Client, MemberId};
use crate::wire::messages::join_group_request::JoinGroupRequestProtocol;

/// A name that is compared and cloned often: of a protocol or an instance.
pub(super) type Name = Arc<str>;

/// The protocols (assignors) that a member supports, in its order of preference, each with the
/// member's subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Protocols(Arc<[(Name, Bytes)]>);

impl Protocols {
    /// The protocols of a request. Of a name that is given twice, the first one counts.
    pub(super) fn of(request: &[JoinGroupRequestProtocol]) -> Self {
        let mut protocols: Vec<(Name, Bytes)> = Vec::with_capacity(request.len());
        for protocol in request {
            let name = protocol.name.as_str();
            if protocols.iter().all(|(other, _)| &**other != name) {
                protocols.push((name.into(), protocol.metadata.clone()));
            }
        }
        Self(protocols.into())
    }

    /// The only protocol that is stored: the one that the group has chosen.
    pub(super) fn stored(name: Name, subscription: Bytes) -> Self {
        Self([(name, subscription)].into())
    }

    /// Name and subscription of each.
    pub(super) fn all(&self) -> Vec<(String, Bytes)> {
        self.0.iter().map(|(name, metadata)| (name.to_string(), metadata.clone())).collect()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The member's subscription under a protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.0.iter().find(|(name, _)| &**name == protocol).map(|(_, metadata)| metadata)
    }
}

/// A member that has joined.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    /// `group.instance.id` of a static member (KIP-345).
    pub(super) instance: Option<Name>,
    pub(super) client: Arc<Client>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Protocols,
    /// What the leader assigned in this generation, once that is stored.
    pub(super) assignment: Option<Bytes>,
    /// Its JoinGroup waits for the rebalance.
    pub(super) awaits_join: bool,
    /// Its SyncGroup waits for the leader.
    pub(super) awaits_sync: bool,
    /// It has not been answered yet. So it can't send heartbeats, and its session ends even while
    /// it waits.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn session_timeout(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    /// Whether it is alive though no heartbeat arrived: it waits for the coordinator.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaits_join || self.awaits_sync)
    }
}

/// Milliseconds of a request or a record; none if negative.
pub(super) fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
