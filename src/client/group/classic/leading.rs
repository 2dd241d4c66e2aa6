//! The leader's work: it reads all subscriptions, waits for the metadata of their topics, and assigns.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Settings, Trouble};
use crate::base::{Flaw, Flaws, TopicPartition};
use crate::client::assignor::{Assignor, Members, Racks, Shares, Topics};
use crate::client::group::payload;
use crate::client::kernel::Cluster;
use crate::group::MemberId;
use crate::wire::messages::JoinGroupResponse;

/// A leader that has not assigned yet.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) assignor: Assignor,
    pub(super) members: Members,
    /// The coordinator keeps the assignment of a static leader that came back (KIP-814).
    pub(super) skips: bool,
    /// Topics about which nothing is known yet.
    missing: BTreeSet<Arc<str>>,
}

impl Leading {
    pub(super) fn new(answer: &JoinGroupResponse, assignor: Assignor) -> Result<Self, Trouble> {
        let mut members = Members::new();
        for told in &answer.members {
            let id = MemberId::from(told.member_id.as_str());
            let read = payload::read_subscription(told.metadata.clone());
            let mut member = read.map_err(|error| {
                Trouble::Unreadable(format!("the subscription of member {id}: {error}"))
            })?;
            member.instance = told.group_instance_id.as_ref().map(|id| id.as_str().into());
            members.insert(id, member);
        }
        let missing = members.values().flat_map(|member| member.topics.iter().cloned()).collect();
        Ok(Self { assignor, members, skips: answer.skip_assignment, missing })
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.values().flat_map(|member| &member.topics)
    }

    /// Looks which topics are known by now, or known not to exist.
    pub(super) fn learn(&mut self, cluster: &Cluster, unknown: &[Arc<str>]) {
        self.missing.retain(|topic| cluster.topic(topic).is_none() && !unknown.contains(topic));
    }

    pub(super) fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }

    pub(super) fn assign(&self, cluster: &Cluster, flaws: Flaws) -> Shares {
        if self.skips {
            return Shares::new();
        }
        let topics = self.topics().filter_map(|topic| {
            let known = cluster.topic(topic)?;
            Some((topic.clone(), known.racks()))
        });
        let topics = topics.collect();
        if flaws.has(Flaw::OwnedWithoutGeneration) {
            return self.assignor.assign(&topics, &self.without_older_claims());
        }
        self.assignor.assign(&topics, &self.members)
    }

    /// The members, of which only those of the newest generation own anything (KAFKA-14639).
    fn without_older_claims(&self) -> Members {
        let newest = self.members.values().filter_map(|member| member.generation).max();
        let mut members = self.members.clone();
        for member in members.values_mut().filter(|member| member.generation < newest) {
            member.owned.clear();
        }
        members
    }
}

/// What a leader has assigned, to compare with later metadata. Racks matter to a member that has one.
pub(super) fn snapshot(
    settings: &Settings,
    topics: &BTreeSet<Arc<str>>,
    cluster: &Cluster,
) -> Topics {
    let seen = topics.iter().filter_map(|topic| {
        let mut racks = cluster.topic(topic)?.racks();
        if settings.rack.is_none() {
            racks.iter_mut().for_each(Racks::clear);
        }
        Some((topic.clone(), racks))
    });
    seen.collect()
}

/// The share of each member as its SyncGroup request has it.
pub(super) fn shares_as_bytes(
    shares: &Shares,
) -> impl Iterator<Item = (&MemberId, Result<bytes::Bytes, String>)> {
    shares.iter().map(|(member, share): (_, &Vec<TopicPartition>)| {
        (member, payload::write_assignment(share).map_err(|error| error.to_string()))
    })
}
