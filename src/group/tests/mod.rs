//! Stories of classic groups. Each decision is appended, replayed and checked as in production.

mod commits;
mod consumers;
mod failover;
mod joins;
mod leaves;
mod protocols;
mod random;
mod requests;
mod scale;
mod statics;
mod syncs;
mod transactions;
mod upgrades;

use bytes::Bytes;

use super::testing::{Shell, Waiter, client};
use super::{GroupSettings, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::join_group_request::JoinGroupRequestProtocol;
use crate::wire::messages::leave_group_request::MemberIdentity;
use crate::wire::messages::sync_group_request::SyncGroupRequestAssignment;
use crate::wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse, message,
};

const GROUP: &str = "payments";

/// A JoinGroup as consumers send it: ten seconds of session, a minute to join again.
fn join(member: &str) -> JoinGroupRequest {
    let protocol = message!(JoinGroupRequestProtocol {
        name: "range".into(),
        metadata: Bytes::from_static(b"topics"),
    });
    message!(JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
    })
}

fn join_static(member: &str, instance: &str) -> JoinGroupRequest {
    let mut request = join(member);
    request.group_instance_id = Some(instance.into());
    request
}

fn with_protocols(mut request: JoinGroupRequest, protocols: &[&str]) -> JoinGroupRequest {
    let protocol = |name: &&str| {
        message!(JoinGroupRequestProtocol {
            name: (*name).into(),
            metadata: Bytes::from(format!("as {name}")),
        })
    };
    request.protocols = protocols.iter().map(protocol).collect();
    request
}

fn sync(member: &str, generation: i32) -> SyncGroupRequest {
    message!(SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: generation,
        member_id: member.into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
    })
}

/// A leader's SyncGroup: each member is assigned its own id.
fn assign(leader: &str, generation: i32, members: &[String]) -> SyncGroupRequest {
    let mut request = sync(leader, generation);
    let assignment = |member: &String| {
        message!(SyncGroupRequestAssignment {
            member_id: member.as_str().into(),
            assignment: Bytes::from(member.clone()),
        })
    };
    request.assignments = members.iter().map(assignment).collect();
    request
}

impl Shell {
    fn join(&mut self, version: i16, request: &JoinGroupRequest) -> Waiter<JoinGroupResponse> {
        let (reply, waiter) = Waiter::new();
        self.decide(|machine, now, wall| {
            machine.join(now, wall, &client("app"), version, request, reply)
        });
        waiter
    }

    fn sync(&mut self, request: &SyncGroupRequest) -> Waiter<SyncGroupResponse> {
        let (reply, waiter) = Waiter::new();
        self.decide(|machine, now, wall| machine.sync(now, wall, 5, request, reply));
        waiter
    }

    fn beat(&mut self, member: &str, instance: Option<&str>, generation: i32) -> ErrorCode {
        let request = message!(HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: member.into(),
            group_instance_id: instance.map(Into::into),
        });
        let response = self.decide(|machine, now, wall| machine.heartbeat(now, wall, &request));
        ErrorCode::from_code(response.expect("a heartbeat appends nothing").error_code)
    }

    fn leave(&mut self, version: i16, members: Vec<MemberIdentity>) -> LeaveGroupResponse {
        let mut request = message!(LeaveGroupRequest { group_id: GROUP.into() });
        match version {
            ..3 => request.member_id = members[0].member_id.clone(),
            _ => request.members = members,
        }
        self.decide(|machine, now, wall| machine.leave(now, wall, version, &request))
            .expect("leaving is not refused")
    }

    /// A dynamic member leaves.
    fn leaves(&mut self, member: &str) -> ErrorCode {
        let leaving = message!(MemberIdentity { member_id: member.into() });
        ErrorCode::from_code(self.leave(5, vec![leaving]).members[0].error_code)
    }

    /// A dynamic member is given an id.
    fn given_id(&mut self) -> String {
        let answer = self.join(9, &join("")).get();
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        answer.member_id.as_str().to_owned()
    }

    /// Members that are given ids and wait for their first rebalance.
    fn joining(&mut self, count: usize) -> (Vec<String>, Vec<Waiter<JoinGroupResponse>>) {
        let ids: Vec<_> = (0..count).map(|_| self.given_id()).collect();
        let waiters = ids.iter().map(|id| self.join(9, &join(id))).collect();
        (ids, waiters)
    }

    /// A stable group of dynamic members: the leader first. Its generation is 1.
    fn stable(&mut self, count: usize) -> Vec<String> {
        let (ids, waiters) = self.joining(count);
        self.pass_secs(6);
        let answers: Vec<_> = waiters.into_iter().map(Waiter::get).collect();
        let leader = answers[0].leader.as_str().to_owned();
        let mut members = vec![leader.clone()];
        members.extend(ids.into_iter().filter(|id| *id != leader));
        let waiters: Vec<_> = members[1..].iter().map(|id| self.sync(&sync(id, 1))).collect();
        self.sync(&assign(&leader, 1, &members)).get();
        waiters.into_iter().for_each(|waiter| drop(waiter.get()));
        assert_eq!(self.state(), "Stable");
        members
    }

    /// Two static members, `a` and `b`, in a stable group; the leader `a` first.
    fn stable_statics(&mut self) -> Vec<String> {
        let waiters = ["a", "b"].map(|instance| self.join(9, &join_static("", instance)));
        self.pass_secs(6);
        let ids = waiters.map(|waiter| waiter.get().member_id.as_str().to_owned());
        let other = self.sync(&sync(&ids[1], 1));
        self.sync(&assign(&ids[0], 1, &ids)).get();
        other.get();
        assert_eq!(self.state(), "Stable");
        ids.into()
    }

    fn state(&self) -> String {
        self.machine().describe(5, GROUP).group_state.as_str().to_owned()
    }

    fn members(&self) -> Vec<String> {
        let described = self.machine().describe(5, GROUP);
        described.members.iter().map(|member| member.member_id.as_str().to_owned()).collect()
    }

    /// The last record of the group.
    fn stored(&self) -> super::record::ClassicGroupValue {
        let stored = self.log.iter().rev().find_map(|record| match record {
            Record::ClassicGroup { value, .. } => Some(value.clone()),
            _ => None,
        });
        stored.expect("the group has a record").expect("it is not a tombstone")
    }
}

#[track_caller]
fn assert_join(waiter: Waiter<JoinGroupResponse>, error: ErrorCode) -> JoinGroupResponse {
    let answer = waiter.get();
    assert_eq!(ErrorCode::from_code(answer.error_code), error);
    answer
}

#[track_caller]
fn assert_sync(waiter: Waiter<SyncGroupResponse>, error: ErrorCode) -> SyncGroupResponse {
    let answer = waiter.get();
    assert_eq!(ErrorCode::from_code(answer.error_code), error);
    answer
}

fn shell() -> Shell {
    Shell::new(GroupSettings::default())
}
