//! A group as a record, and back.

use std::sync::Arc;

use bytes::Bytes;

use super::group::{ClassicGroup, Phase};
use super::member::{Member, Name, Protocols};
use crate::base::Timestamp;
use crate::group::record::{ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue};
use crate::group::{Client, GroupId, Record};

impl ClassicGroup {
    /// The record of a group with these assignments; a member that has none is assigned nothing.
    pub(super) fn record(&self, assigned: impl Fn(&Member) -> Bytes) -> Record {
        let protocol = self.protocol.as_deref();
        let members = self.members.values().map(|member| ClassicMemberValue {
            member: member.id.clone(),
            instance: member.instance.as_deref().map(str::to_owned),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: protocol
                .and_then(|protocol| member.protocols.metadata(protocol))
                .cloned()
                .unwrap_or_default(),
            assignment: assigned(member),
        });
        let value = ClassicGroupValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().to_owned(),
            generation: self.generation,
            protocol: protocol.map(str::to_owned),
            leader: self.leader.as_ref().map(|leader| leader.as_str().to_owned()),
            state_since: self.since,
            members: members.collect(),
        };
        Record::ClassicGroup { group: self.id.clone(), value: Some(value) }
    }

    /// The group as it is, whether its assignment was stored or not.
    pub(in crate::group) fn snapshot(&self) -> ClassicGroupValue {
        match self.record(|member| member.assignment.clone().unwrap_or_default()) {
            Record::ClassicGroup { value: Some(value), .. } => value,
            _ => ClassicGroupValue::default(),
        }
    }

    /// What a member told when it joined.
    pub(in crate::group) fn metadata_of(&self, member: &str) -> ClassicMemberMetadata {
        let member = self.member(member);
        ClassicMemberMetadata {
            session_timeout_ms: member.map_or(0, |member| member.session_timeout_ms),
            protocols: member.map(|member| member.protocols.all()).unwrap_or_default(),
        }
    }

    /// The record of a group that a member asks to join, as long as it has none.
    pub(super) fn first_record(id: &GroupId, since: Timestamp) -> Record {
        let value = ClassicGroupValue { state_since: since, ..Default::default() };
        Record::ClassicGroup { group: id.clone(), value: Some(value) }
    }

    /// A group as its record has it. The record comes from a file: of members with the same id or
    /// instance the last one counts, and a leader that is no member is replaced.
    pub(in crate::group) fn loaded(id: &GroupId, value: &ClassicGroupValue) -> Self {
        let mut group = Self::new(id.clone(), value.state_since);
        group.generation = value.generation;
        group.protocol = value.protocol.as_deref().map(Name::from);
        group.protocol_type =
            (!value.protocol_type.is_empty()).then(|| value.protocol_type.as_str().into());
        let protocol = group.protocol.clone().unwrap_or_else(|| "".into());
        if !value.members.is_empty() {
            group.protocol = Some(protocol.clone());
            group.phase = Phase::Stable;
        }
        for stored in &value.members {
            let former = stored.instance.as_deref().and_then(|name| group.instances.get(name));
            if let Some(former) = former.cloned() {
                group.remove(former.as_str());
            }
            group.remove(stored.member.as_str());
            let protocol_type = group.protocol_type.clone();
            group.add(protocol_type, member(stored, &protocol));
        }
        if let Some(leader) = value.leader.as_deref().and_then(|id| group.member(id)) {
            group.leader = Some(leader.id.clone());
        }
        group.topics = group.subscribed_topics();
        group
    }
}

fn member(stored: &ClassicMemberValue, protocol: &Name) -> Member {
    let rebalance_timeout_ms = match stored.rebalance_timeout_ms {
        -1 => stored.session_timeout_ms,
        timeout => timeout,
    };
    let client = Client { id: stored.client_id.clone(), host: stored.client_host.clone() };
    Member {
        id: stored.member.clone(),
        instance: stored.instance.as_deref().map(Name::from),
        client: Arc::new(client),
        rebalance_timeout_ms,
        session_timeout_ms: stored.session_timeout_ms,
        protocols: Protocols::stored(protocol.clone(), stored.subscription.clone()),
        assignment: Some(stored.assignment.clone()),
        awaits_join: false,
        awaits_sync: false,
        is_new: false,
    }
}
