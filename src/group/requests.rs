//! The requests that the coordinator serves, each passed on to the protocol of its group.

use super::classic::describe_absent;
use super::machine::{Decision, Effect, GroupCoordinator};
use super::record::Record;
use super::{Client, GroupId, Reply};
use crate::base::{Instant, Timestamp};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_groups_response::DescribedGroup;
use crate::wire::messages::list_groups_response::ListedGroup;
use crate::wire::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

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
        self.classic.join(at, client, version, request, reply, Vec::new()).lift(Effect::Classic)
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
        self.classic.sync(self.at(now, wall), version, request, reply).lift(Effect::Classic)
    }

    /// Heartbeat. While the coordinator loads, Kafka answers it without an error.
    pub fn heartbeat(
        &self,
        now: Instant,
        request: &HeartbeatRequest,
    ) -> Decision<HeartbeatResponse> {
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
        self.classic.leave(self.at(now, wall), version, request).lift(Effect::Classic)
    }

    /// DescribeGroups, for one group.
    pub fn describe(&self, version: i16, group: &str) -> DescribedGroup {
        match self.classic.get(group) {
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
        let groups = self.classic.iter().map(|(_, group)| group.list());
        groups
            .filter(|group| accepts(states, &group.group_state))
            .filter(|group| accepts(types, &group.group_type))
            .collect()
    }

    /// DeleteGroups, for one group: tombstones for it and its offsets.
    pub fn delete_group(&self, _now: Instant, group: &str) -> Decision<ErrorCode> {
        let Some(known) = self.classic.get(group) else {
            return Decision::only(ErrorCode::GroupIdNotFound);
        };
        if !known.is_empty() {
            return Decision::only(ErrorCode::NonEmptyGroup);
        }
        let group = GroupId::from(group);
        let records = vec![Record::ClassicGroup { group, value: None }];
        Decision::new(records, ErrorCode::None)
    }
}
