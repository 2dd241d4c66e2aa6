//! The requests that the coordinator serves, each passed on to the protocol of its group.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::classic::{ClassicGroup, describe_absent};
use super::consumer;
use super::machine::{Decision, Effect, GroupCoordinator};
use super::offsets::{self, Subscriber};
use super::record::Record;
use super::{Client, GroupId, Reply};
use crate::base::{Flaw, Instant, Timestamp, TopicId};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_groups_response::DescribedGroup;
use crate::wire::messages::list_groups_response::ListedGroup;
use crate::wire::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

/// Bytes of the tombstones that are appended at once, about. Source: a quarter of Kafka's default
/// `max.message.bytes`.
const BATCH_OF_TOMBSTONES: usize = 256 * 1024;

/// The bytes of a tombstone of an offset, about.
fn size(record: &Record) -> usize {
    match record {
        Record::Offset { key, .. } => key.group.as_str().len() + key.topic.len() + 32,
        _ => 0,
    }
}

/// As many tombstones as a batch holds, and whether that is all of them: a larger batch would be
/// refused as a whole.
fn one_batch(mut records: Vec<Record>) -> (Vec<Record>, bool) {
    let mut bytes = 0;
    let fits = records.iter().take_while(|record| {
        bytes += size(record);
        bytes <= BATCH_OF_TOMBSTONES
    });
    let (count, all) = (fits.count().max(1), records.len());
    records.truncate(count);
    (records, count >= all)
}

impl GroupCoordinator {
    /// JoinGroup. Answers by `reply`, at once or when the rebalance is complete.
    pub fn join(
        &self,
        now: Instant,
        wall: Timestamp,
        client: &Client,
        version: i16,
        request: &JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
    ) -> Decision<()> {
        let at = self.at(now, wall);
        let replaced = match self.state.consumer(&request.group_id) {
            Some(group) if group.is_empty() => group.tombstones(),
            Some(group) => {
                return self.join_consumers(group, (now, wall), client, version, request, reply);
            }
            None => Vec::new(),
        };
        self.classic.join(at, client, version, request, reply, replaced).lift(Effect::Classic)
    }

    /// SyncGroup. Answers by `reply`, at once or when the leader's assignment is committed.
    pub fn sync(
        &self,
        now: Instant,
        wall: Timestamp,
        version: i16,
        request: &SyncGroupRequest,
        reply: Reply<SyncGroupResponse>,
    ) -> Decision<()> {
        if let Some(group) = self.state.consumer(&request.group_id) {
            return consumer::sync(group, &self.image, request, reply).lift(Effect::Consumer);
        }
        self.classic.sync(self.at(now, wall), version, request, reply).lift(Effect::Classic)
    }

    /// Heartbeat. While the coordinator loads, Kafka answers it without an error.
    pub fn heartbeat(
        &self,
        now: Instant,
        wall: Timestamp,
        request: &HeartbeatRequest,
    ) -> Decision<HeartbeatResponse> {
        if let Some(group) = self.state.consumer(&request.group_id) {
            return self.beat_consumers(group, (now, wall), request);
        }
        self.classic.heartbeat(now, request).lift(Effect::Classic)
    }

    /// LeaveGroup: of one member up to version 2, of several from version 3 on.
    pub fn leave(
        &self,
        now: Instant,
        wall: Timestamp,
        version: i16,
        request: &LeaveGroupRequest,
    ) -> Decision<LeaveGroupResponse> {
        if let Some(group) = self.state.consumer(&request.group_id) {
            return self.leave_consumers(group, (now, wall), version, request);
        }
        self.classic.leave(self.at(now, wall), version, request).lift(Effect::Classic)
    }

    /// DescribeGroups, for one group.
    pub fn describe(&self, version: i16, group: &str) -> DescribedGroup {
        match self.classic_or_simple(group) {
            Some(group) => group.describe(),
            None => describe_absent(version, group),
        }
    }

    /// ListGroups. Filters are compared regardless of case; without one, all groups are listed.
    pub fn list<S: AsRef<str>>(&self, states: &[S], types: &[S]) -> Vec<ListedGroup> {
        let accepts = |filter: &[S], value: &str| {
            filter.is_empty()
                || filter.iter().any(|one| one.as_ref().trim().eq_ignore_ascii_case(value))
        };
        let list = |id: &GroupId| match self.state.consumer(id.as_str()) {
            Some(group) => Some(group.list()),
            None => self.classic_or_simple(id.as_str()).map(|group| group.list()),
        };
        let groups = self.names().into_iter().filter_map(list);
        groups
            .filter(|group| accepts(states, &group.group_state))
            .filter(|group| accepts(types, &group.group_type))
            .collect()
    }

    /// DeleteGroups, for one group: tombstones for it and its offsets. `None`: it has more of them than
    /// a batch holds, and is to be asked again.
    pub fn delete_group(&self, _now: Instant, group: &str) -> Decision<Option<ErrorCode>> {
        let (is_empty, tombstones) = match self.state.consumer(group) {
            Some(known) => (known.is_empty(), known.tombstones()),
            None => {
                let Some(known) = self.classic_or_simple(group) else {
                    return Decision::only(Some(ErrorCode::GroupIdNotFound));
                };
                let tombstone = Record::ClassicGroup { group: group.into(), value: None };
                (known.is_empty(), vec![tombstone])
            }
        };
        if !is_empty {
            return Decision::only(Some(ErrorCode::NonEmptyGroup));
        }
        let (mut records, complete) =
            one_batch(self.state.offsets().group_deleted(&GroupId::from(group)));
        if complete {
            records.extend(tombstones);
        }
        Decision::new(records, complete.then_some(ErrorCode::None))
    }

    /// OffsetCommit. The shell has refused unknown topics and partitions already.
    pub fn commit_offsets(
        &self,
        now: Instant,
        wall: Timestamp,
        version: i16,
        request: &OffsetCommitRequest,
    ) -> Decision<OffsetCommitResponse> {
        let group = self.subscriber(&request.group_id);
        let group = group.as_deref();
        let longest = self.settings.offset_metadata_max_bytes;
        let mut decision = offsets::commit(group, wall, version, request, longest);
        if !decision.records.is_empty() {
            let alive = self.classic.committed(now, &request.group_id, &request.member_id);
            decision.effects.extend(alive.map(Effect::Classic));
        }
        decision
    }

    /// Whether the client of a TxnOffsetCommit may commit offsets for its group now.
    pub fn check_transactional_commit(
        &self,
        version: i16,
        request: &TxnOffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        if self.settings.flaws.has(Flaw::NoGenerationFence) {
            return Ok(());
        }
        let group = self.subscriber(&request.group_id);
        offsets::check_transactional(group.as_deref(), version, request)
    }

    /// TxnOffsetCommit, after its transaction was verified. Only now the generation is checked: the
    /// group may have rebalanced meanwhile (KAFKA-15784). The shell has refused unknown topics and
    /// partitions already.
    pub fn commit_transactional_offsets(
        &self,
        wall: Timestamp,
        version: i16,
        request: &TxnOffsetCommitRequest,
    ) -> Decision<TxnOffsetCommitResponse> {
        let checked = match self.settings.flaws.has(Flaw::CommitCheckedTooEarly) {
            true => Ok(()),
            false => self.check_transactional_commit(version, request),
        };
        match checked {
            Ok(()) => {
                let longest = self.settings.offset_metadata_max_bytes;
                offsets::commit_transactional(wall, request, longest)
            }
            Err(error) => Decision::only(offsets::refuse_transactional(request, error)),
        }
    }

    /// OffsetDelete.
    pub fn delete_offsets(
        &self,
        _now: Instant,
        request: &OffsetDeleteRequest,
    ) -> Decision<OffsetDeleteResponse> {
        let group = self.subscriber(&request.group_id);
        self.state.offsets().delete(group.as_deref(), request)
    }

    /// Topics were deleted: so are the offsets that were committed for them. Returns whether that is all
    /// of them: otherwise it is to be called again.
    pub fn topics_deleted(&self, topics: &[(String, TopicId)]) -> Decision<bool> {
        let (records, complete) = one_batch(self.state.offsets().topics_deleted(topics));
        Decision::new(records, complete)
    }

    /// Tombstones for offsets that have expired, and for empty groups that have none left; and
    /// whether that is all of them. More than a batch holds would be refused as a whole.
    pub(super) fn expire_offsets(&self, wall: Timestamp) -> (Vec<Record>, bool) {
        let mut records = Vec::new();
        let mut budget = BATCH_OF_TOMBSTONES;
        let (offsets, retention) = (self.state.offsets(), self.settings.offsets_retention);
        for id in self.names() {
            let subscriber = self.subscriber(id.as_str());
            let subscriber =
                subscriber.filter(|_| !self.settings.flaws.has(Flaw::WrongOffsetExpiry));
            let first = records.len();
            let all_gone = offsets.expire(id, subscriber.as_deref(), wall, retention, &mut records);
            for (number, record) in records.iter().enumerate().skip(first) {
                match budget.checked_sub(size(record)) {
                    Some(left) => budget = left,
                    None => {
                        records.truncate(number.max(1));
                        return (records, false);
                    }
                }
            }
            if !all_gone {
                continue;
            }
            let group = self.classic_or_simple(id.as_str());
            if let Some(group) = self.state.consumer(id.as_str()) {
                if group.is_empty() {
                    records.extend(group.tombstones());
                }
            } else if group.is_some_and(|group| group.is_empty()) {
                budget = budget.saturating_sub(id.as_str().len());
                records.push(Record::ClassicGroup { group: id.clone(), value: None });
            }
        }
        (records, true)
    }

    /// Every group, in order.
    fn names(&self) -> BTreeSet<&GroupId> {
        let classic = self.classic.iter().map(|(id, _)| id);
        classic.chain(self.state.names()).collect()
    }

    /// A group as its offsets see it. Those that only commit offsets are classic groups.
    fn subscriber(&self, group: &str) -> Option<Arc<dyn Subscriber>> {
        if let Some(group) = self.state.consumer(group) {
            return Some(group.clone());
        }
        let group = self.classic_or_simple(group)?;
        Some(group)
    }

    /// A classic group, or one that only commits offsets: Kafka shows that as an empty classic
    /// group.
    pub(super) fn classic_or_simple(&self, group: &str) -> Option<Arc<ClassicGroup>> {
        if self.state.consumer(group).is_some() {
            return None;
        }
        let known = self.classic.get(group).cloned();
        known.or_else(|| {
            let simple = || Arc::new(ClassicGroup::new(group.into(), Timestamp::NONE));
            self.state.is_simple(group).then(simple)
        })
    }
}
