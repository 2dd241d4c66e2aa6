//! Heartbeat, and what else proves that a member lives.

use super::Decision;
use super::effect::{Effect, Kind, Timer};
use super::group::{ClassicGroup, Phase};
use super::member::Member;
use super::soft::Classic;
use crate::base::Instant;
use crate::wire::ErrorCode;
use crate::wire::messages::{HeartbeatRequest, HeartbeatResponse, message};

impl Classic {
    /// Extends the session of a member, and tells it whether to join again.
    pub(in crate::group) fn heartbeat(
        &self,
        now: Instant,
        request: &HeartbeatRequest,
    ) -> Decision<HeartbeatResponse> {
        let (effect, code) = match self.beat(now, request) {
            Ok((effect, true)) => (Some(effect), ErrorCode::RebalanceInProgress),
            Ok((effect, false)) => (Some(effect), ErrorCode::None),
            Err(error) => (None, error),
        };
        let response = message!(HeartbeatResponse { error_code: code.code() });
        let decision = Decision::only(response);
        match effect {
            Some(effect) => decision.with(effect),
            None => decision,
        }
    }

    /// The new deadline of the member, and whether its group rebalances.
    fn beat(&self, now: Instant, request: &HeartbeatRequest) -> Result<(Effect, bool), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.get(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let instance = request.group_instance_id.as_deref();
        let generation = request.generation_id;
        let member = group.validate_generation(&request.member_id, instance, generation)?;
        Ok((extended(group, member, now), group.is_preparing()))
    }

    /// A commit extends the session as a heartbeat does, while the group is stable or its members
    /// join.
    pub(in crate::group) fn committed(
        &self,
        now: Instant,
        group: &str,
        member: &str,
    ) -> Option<Effect> {
        let group = self.get(group)?;
        let member = group.member(member)?;
        let counts = group.is_preparing() || group.phase == Phase::Stable;
        counts.then(|| extended(group, member, now))
    }
}

fn extended(group: &ClassicGroup, member: &Member, now: Instant) -> Effect {
    let timer = Timer::Session(group.id.clone(), member.id.clone());
    Effect(Kind::SetTimer(timer, now + member.session_timeout()))
}
