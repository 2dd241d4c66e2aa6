//! A classic group: its phase, its members, and who waits for what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::member::{Member, Name, Protocols, millis};
use super::topics::{self, CONSUMER};
use super::votes::Support;
use crate::base::Timestamp;
use crate::decide::SharedMap;
use crate::group::{GroupId, MemberId};
use crate::wire::ErrorCode;

/// Kafka's state of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No members, though there may be offsets.
    Empty,
    /// Members join.
    PreparingRebalance {
        /// The first rebalance of an empty group waits for more members.
        initial: Option<Initial>,
    },
    /// Members wait for the leader's assignment.
    CompletingRebalance {
        /// The assignment was appended and is not committed yet.
        storing: bool,
    },
    /// Every member has an assignment.
    Stable,
}

/// The delay of a first rebalance (`group.initial.rebalance.delay.ms`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Initial {
    /// The delay that runs now.
    pub(super) delay: Duration,
    /// What is left of the rebalance timeout after it.
    pub(super) remaining: Duration,
    /// A member joined during this delay.
    pub(super) grown: bool,
}

/// A group. Cheap to clone: members are shared.
#[derive(Clone, Debug)]
pub struct ClassicGroup {
    pub(super) id: GroupId,
    pub(super) phase: Phase,
    /// When it entered its phase. Records have it: offsets expire that long after a group is empty.
    pub(super) since: Timestamp,
    pub(super) generation: i32,
    /// `consumer` for consumers; none as long as no member ever joined.
    pub(super) protocol_type: Option<Name>,
    /// The protocol that this generation chose.
    pub(super) protocol: Option<Name>,
    pub(super) leader: Option<MemberId>,
    pub(super) members: SharedMap<MemberId, Arc<Member>>,
    /// Static members by instance.
    pub(super) instances: SharedMap<Name, MemberId>,
    pub(super) support: Support,
    /// Ids that were given out and not joined with yet (KIP-394).
    pub(super) pending_join: SharedMap<MemberId, ()>,
    /// Members that have yet to send SyncGroup in this generation.
    pub(super) pending_sync: SharedMap<MemberId, ()>,
    /// How many members await their join.
    pub(super) awaiting_join: usize,
    /// Topics that the members of this generation subscribe to, if they say so in the way of
    /// consumers.
    pub(super) topics: Option<Arc<BTreeSet<String>>>,
}

impl ClassicGroup {
    /// An empty group that no member ever joined.
    pub(in crate::group) fn new(id: GroupId, since: Timestamp) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            since,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: SharedMap::default(),
            instances: SharedMap::default(),
            support: Support::default(),
            pending_join: SharedMap::default(),
            pending_sync: SharedMap::default(),
            awaiting_join: 0,
            topics: None,
        }
    }

    /// Kafka's name of the state.
    pub(in crate::group) fn state_name(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::PreparingRebalance { .. } => "PreparingRebalance",
            Phase::CompletingRebalance { .. } => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }

    pub(in crate::group) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty
    }

    /// The number of its members.
    pub(in crate::group) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_preparing(&self) -> bool {
        matches!(self.phase, Phase::PreparingRebalance { .. })
    }

    pub(super) fn is_initial(&self) -> bool {
        matches!(self.phase, Phase::PreparingRebalance { initial: Some(_) })
    }

    pub(super) fn is_completing(&self) -> bool {
        matches!(self.phase, Phase::CompletingRebalance { .. })
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.as_str() == member)
    }

    pub(super) fn member(&self, member: &str) -> Option<&Arc<Member>> {
        self.members.get(member)
    }

    /// Whether members speak the protocol of consumers, so that their subscriptions can be read.
    pub(in crate::group) fn has_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Everyone has joined, and everyone who was given an id.
    pub(super) fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// The longest of the members' rebalance timeouts.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max();
        millis(longest.unwrap_or(0))
    }

    /// Whether a member with these protocols may join: it and all others have one in common.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &Protocols) -> bool {
        if self.is_empty() {
            return !protocol_type.is_empty() && protocols.names().next().is_some();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.names().any(|name| self.support.of(name) == self.members.len())
    }

    pub(super) fn select_protocol(&self) -> Option<Name> {
        let members = self.members.values().map(|member| &**member);
        self.support.select(members, self.members.len())
    }

    /// Whether a request comes from this member, and not from one that was replaced.
    pub(super) fn validate_member(
        &self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<&Arc<Member>, ErrorCode> {
        if let Some(instance) = instance {
            let current = self.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if current.as_str() != member {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        self.member(member).ok_or(ErrorCode::UnknownMemberId)
    }

    /// The same for a request that belongs to a generation.
    pub(super) fn validate_generation(
        &self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<&Arc<Member>, ErrorCode> {
        let found = self.validate_member(member, instance)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(found)
    }

    /// The topics that the members subscribe to under the protocol of their generation; none if they
    /// are no consumers, or a subscription can't be read.
    pub(super) fn subscribed_topics(&self) -> Option<Arc<BTreeSet<String>>> {
        if !self.has_consumers() {
            return None;
        }
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values();
        let topics = topics::topics(members.map(|member| member.protocols.metadata(protocol)))?;
        Some(Arc::new(topics))
    }

    /// Adds a member. The first one leads and names the protocol type.
    pub(super) fn add(&mut self, protocol_type: Option<Name>, member: Member) {
        if self.members.is_empty() {
            self.protocol_type = protocol_type;
        }
        let id = member.id.clone();
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.support.add(&member.protocols);
        self.awaiting_join += usize::from(member.awaits_join);
        self.pending_join.remove(&id);
        self.members.insert(id, Arc::new(member));
    }

    /// Removes a member, or an id that was given out. Another member leads if it led.
    pub(super) fn remove(&mut self, id: &str) -> Option<Arc<Member>> {
        let removed = self.members.remove(id);
        if let Some(member) = &removed {
            self.support.remove(&member.protocols);
            self.awaiting_join -= usize::from(member.awaits_join);
            if let Some(instance) = &member.instance {
                self.instances.remove(instance);
            }
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        removed
    }

    /// Changes a member. Its id stays.
    pub(super) fn change(&mut self, id: &MemberId, change: impl FnOnce(&mut Member)) {
        let Some(shared) = self.members.get_mut(id) else { return };
        let before = shared.clone();
        let member = Arc::make_mut(shared);
        change(member);
        let awaits = member.awaits_join;
        if member.protocols != before.protocols {
            let protocols = member.protocols.clone();
            self.support.remove(&before.protocols);
            self.support.add(&protocols);
        }
        self.awaiting_join -= usize::from(before.awaits_join);
        self.awaiting_join += usize::from(awaits);
    }

    /// Changes every member.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&mut Member)) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            self.change(&id, &mut change);
        }
    }

    /// A new process of a static member takes its place, with all that it had. Returns the member
    /// that it was.
    pub(super) fn replace(&mut self, old: &str, new: &MemberId) -> Option<Arc<Member>> {
        let replaced = self.members.remove(old)?;
        let mut member = Member::clone(&replaced);
        member.id = new.clone();
        member.awaits_join = false;
        member.awaits_sync = false;
        member.is_new = false;
        self.awaiting_join -= usize::from(replaced.awaits_join);
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), new.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        // Kafka leaves the old id behind here, and rebalances when the time to sync is over.
        if self.pending_sync.remove(old).is_some() {
            self.pending_sync.insert(new.clone(), ());
        }
        self.members.insert(new.clone(), Arc::new(member));
        Some(replaced)
    }

    /// If the leader has not joined again, one who has leads. Whether there is such a leader.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.member(leader.as_str()).is_some_and(|leader| leader.awaits_join) {
            return true;
        }
        let joined = self.members.values().find(|member| member.awaits_join);
        match joined.map(|member| member.id.clone()) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// The members that have joined make the next generation; without any, the group is empty.
    pub(super) fn next_generation(&mut self, wall: Timestamp) {
        self.generation = self.generation.saturating_add(1);
        self.protocol = self.select_protocol();
        self.topics = self.subscribed_topics();
        self.pending_sync = SharedMap::default();
        self.since = wall;
        self.phase = match self.members.is_empty() {
            true => Phase::Empty,
            false => Phase::CompletingRebalance { storing: false },
        };
    }
}
