//! What a member asks its coordinator, and when.

use std::time::Duration;

use super::leading::{shares_as_bytes, snapshot};
use super::{Classic, Generation, LastCommit, Leave, Settings, State, Trouble};
use crate::base::{Flaw, Instant, TopicPartition};
use crate::client::assignor::Member;
use crate::client::group::{Request, Subscription, payload};
use crate::client::kernel::{Cluster, RequestId};
use crate::group::MemberId;
use crate::wire::messages::leave_group_request::MemberIdentity;
use crate::wire::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, StrBytes, SyncGroupRequest,
    join_group_request, message, sync_group_request,
};

/// The kind of group, as all its members have to have it.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// How much longer than the rebalance a JoinGroup may take. Source: Kafka's
/// `AbstractCoordinator.JOIN_GROUP_TIMEOUT_LAPSE`.
const JOIN_LAPSE: Duration = Duration::from_secs(5);

/// How a request leaves: with the time that it may take. Returns its id.
type Send<'a> = &'a mut dyn FnMut(Request, Duration) -> RequestId;

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

fn instance(settings: &Settings) -> Option<StrBytes> {
    settings.instance.as_ref().map(|instance| (&**instance).into())
}

pub(super) fn leave(settings: &Settings, member: &MemberId, reason: &str) -> LeaveGroupRequest {
    let member =
        message!(MemberIdentity { member_id: member.as_str().into(), reason: Some(reason.into()) });
    message!(LeaveGroupRequest { group_id: (&*settings.group).into(), members: vec![member] })
}

impl Classic {
    /// Asks what is due; `has_coordinator`: there is one to ask. Returns whether the coordinator has
    /// been silent for a session, so that another one should be looked for.
    pub(in crate::client) fn ask(
        &mut self,
        now: Instant,
        has_coordinator: bool,
        cluster: &Cluster,
        send: Send<'_>,
    ) -> bool {
        if has_coordinator && !self.has_coordinator {
            self.heartbeat.renew(now);
        }
        self.has_coordinator = has_coordinator;
        if matches!(self.last_commit, LastCommit::Begun { until } if until <= now) {
            self.last_commit = LastCommit::Ended;
        }
        if self.is_joined() && now >= self.heartbeat.patience_ends() && !self.waits_for_listener() {
            self.begin_leave("consumer poll timeout has expired.");
        }
        if !has_coordinator {
            return false;
        }
        if let Leave::Wanted(request) = &self.leave {
            let request = Request::Leave(request.clone());
            self.leave = Leave::Asked(send(request, self.settings.request_timeout));
        }
        if self.is_joined() && now >= self.heartbeat.session_ends() {
            return true;
        }
        if self.is_joined() && now >= self.heartbeat.next() {
            self.heartbeat.sent(now);
            let heartbeat = send(self.heartbeat(), self.settings.request_timeout);
            self.heartbeats.insert(heartbeat);
        }
        match &self.state {
            State::Assigning(leading) if leading.as_ref().is_none_or(|l| l.is_ready()) => {
                self.assign(cluster, send);
            }
            State::Unjoined | State::Stable if self.may_join() && now >= self.not_before => {
                self.join(send);
            }
            _ => {}
        }
        false
    }

    /// Whether the coordinator expects heartbeats.
    fn is_joined(&self) -> bool {
        matches!(self.state, State::Assigning(_) | State::Syncing(_) | State::Stable)
    }

    /// Whether the listener may take as long as it wants (KAFKA-8831).
    fn waits_for_listener(&self) -> bool {
        self.telling.is_some() && self.settings.flaws.has(Flaw::EndlessCooperative)
    }

    fn may_join(&self) -> bool {
        let is_free = self.arrived.is_none() && self.telling.is_none() && !self.fenced;
        self.subscription.as_ref().is_some_and(Subscription::is_known)
            && self.rejoin.is_some()
            && self.is_prepared
            && is_free
            && !self.waits_for_poll
    }

    /// When to step again though nothing else happens.
    pub(in crate::client) fn deadline(&self) -> Instant {
        let mut deadline = Instant::NEVER;
        if self.is_joined() {
            if !self.waits_for_listener() {
                deadline = self.heartbeat.patience_ends();
            }
            if self.has_coordinator {
                let heartbeat = self.heartbeat.next().min(self.heartbeat.session_ends());
                deadline = deadline.min(heartbeat);
            }
        }
        let rests = matches!(self.state, State::Unjoined | State::Stable);
        if rests && self.may_join() && self.has_coordinator {
            deadline = deadline.min(self.not_before);
        }
        if let LastCommit::Begun { until } = self.last_commit {
            deadline = deadline.min(until);
        }
        deadline
    }

    fn join(&mut self, send: Send<'_>) {
        let Some(subscription) = &self.subscription else { return };
        let topics = subscription.topics().clone();
        let last = self.last.as_ref().map(|(owned, generation)| (&owned[..], *generation));
        let mut protocols = Vec::new();
        for assignor in &self.settings.assignors {
            let member = Member {
                instance: None,
                topics: topics.clone(),
                owned: self.owned.iter().cloned().collect::<Vec<TopicPartition>>(),
                generation: Some(self.generation.id).filter(|generation| *generation >= 0),
                user_data: assignor.user_data(last),
                rack: self.settings.rack.clone(),
            };
            match payload::write_subscription(&member) {
                Ok(metadata) => {
                    protocols.push(message!(join_group_request::JoinGroupRequestProtocol {
                        name: assignor.name().into(),
                        metadata: metadata,
                    }))
                }
                Err(error) => return self.give_up(Trouble::Unreadable(error.to_string())),
            }
        }
        let request = message!(JoinGroupRequest {
            group_id: (&*self.settings.group).into(),
            session_timeout_ms: millis(self.settings.session_timeout),
            rebalance_timeout_ms: millis(self.settings.max_poll_interval),
            member_id: self.generation.member.as_str().into(),
            group_instance_id: instance(&self.settings),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: protocols,
            reason: self.rejoin.as_deref().map(Into::into),
        });
        let patience = self.settings.max_poll_interval + JOIN_LAPSE;
        let timeout = patience.max(self.settings.request_timeout);
        self.joined = Some(topics);
        self.heartbeats.clear();
        self.state = State::Joining(send(Request::Join(request), timeout));
    }

    /// Sends every member's share as the leader, and asks for its own.
    fn assign(&mut self, cluster: &Cluster, send: Send<'_>) {
        let State::Assigning(Some(leading)) = &self.state else {
            return self.sync(Vec::new(), send);
        };
        let shares = leading.assign(cluster, self.settings.flaws);
        let mut assignments = Vec::new();
        for (member, share) in shares_as_bytes(&shares) {
            match share {
                Ok(share) => {
                    assignments.push(message!(sync_group_request::SyncGroupRequestAssignment {
                        member_id: member.as_str().into(),
                        assignment: share,
                    }))
                }
                Err(error) => {
                    self.state = State::Unjoined;
                    self.heartbeats.clear();
                    return self.give_up(Trouble::Unreadable(error));
                }
            }
        }
        self.snapshot = Some(snapshot(&self.settings, &self.group_topics, cluster));
        self.sync(assignments, send);
    }

    fn sync(
        &mut self,
        assignments: Vec<sync_group_request::SyncGroupRequestAssignment>,
        send: Send<'_>,
    ) {
        let Generation { id, member, assignor } = &self.generation;
        let request = message!(SyncGroupRequest {
            group_id: (&*self.settings.group).into(),
            generation_id: *id,
            member_id: member.as_str().into(),
            group_instance_id: instance(&self.settings),
            protocol_type: Some(PROTOCOL_TYPE.into()),
            protocol_name: assignor.map(|assignor| assignor.name().into()),
            assignments: assignments,
        });
        let timeout = self.settings.request_timeout;
        self.state = State::Syncing(send(Request::Sync(request), timeout));
    }

    fn heartbeat(&self) -> Request {
        Request::Heartbeat(message!(HeartbeatRequest {
            group_id: (&*self.settings.group).into(),
            generation_id: self.generation.id,
            member_id: self.generation.member.as_str().into(),
            group_instance_id: instance(&self.settings),
        }))
    }
}
