//! SyncGroup.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Decision;
use super::answers::{refused_sync, synced};
use super::effect::{Effect, Kind};
use super::group::{ClassicGroup, Phase};
use super::plan::{At, Plan};
use super::soft::Classic;
use crate::group::{MemberId, Reply};
use crate::wire::ErrorCode;
use crate::wire::messages::{SyncGroupRequest, SyncGroupResponse};

/// From this version on a member has to name the protocol (KIP-559).
const NAMES_PROTOCOL: i16 = 5;

impl Classic {
    /// Answers by `reply`, at once or when the leader's assignment is committed.
    pub(in crate::group) fn sync(
        &self,
        at: At<'_>,
        version: i16,
        request: &SyncGroupRequest,
        reply: Reply<SyncGroupResponse>,
    ) -> Decision<()> {
        let group = match self.validate_sync(version, request) {
            Ok(group) => group,
            Err(error) => return answer(reply, refused_sync(error)),
        };
        let member = MemberId::from(request.member_id.as_str());
        match group.phase {
            Phase::Empty => answer(reply, refused_sync(ErrorCode::UnknownMemberId)),
            Phase::PreparingRebalance { .. } => {
                answer(reply, refused_sync(ErrorCode::RebalanceInProgress))
            }
            Phase::CompletingRebalance { storing } => {
                let mut plan = Plan::new(at, ClassicGroup::clone(group));
                plan.group.change(&member, |member| member.awaits_sync = true);
                plan.has_synced(member.as_str());
                // A leader that asks again while its assignment is stored waits like the others.
                if group.is_leader(member.as_str()) && !storing {
                    store(&mut plan, request);
                }
                let group = plan.group.id.clone();
                plan.push(Kind::HoldSync { group, member, reply });
                plan.finish(())
            }
            Phase::Stable if group.pending_sync.contains_key(&member) => {
                let mut plan = Plan::new(at, ClassicGroup::clone(group));
                plan.has_synced(member.as_str());
                plan.push(Kind::ReplySync(reply, synced(group, &member)));
                plan.finish(())
            }
            Phase::Stable => answer(reply, synced(group, &member)),
        }
    }

    fn validate_sync(
        &self,
        version: i16,
        request: &SyncGroupRequest,
    ) -> Result<&Arc<ClassicGroup>, ErrorCode> {
        let (kind, name) = (request.protocol_type.as_deref(), request.protocol_name.as_deref());
        if version >= NAMES_PROTOCOL && (kind.is_none() || name.is_none()) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.get(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let instance = request.group_instance_id.as_deref();
        group.validate_generation(&request.member_id, instance, request.generation_id)?;
        let differs = |given: Option<&str>, own: &Option<Arc<str>>| {
            given.zip(own.as_deref()).is_some_and(|(given, own)| given != own)
        };
        if differs(kind, &group.protocol_type) || differs(name, &group.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(group)
    }
}

fn answer(reply: Reply<SyncGroupResponse>, response: SyncGroupResponse) -> Decision<()> {
    Decision::only(()).with(Effect(Kind::ReplySync(reply, response)))
}

/// The leader has assigned. Assignments count for members only; members without one get nothing.
fn store(plan: &mut Plan<'_>, request: &SyncGroupRequest) {
    let mut assignments = BTreeMap::new();
    for assignment in &request.assignments {
        let member = MemberId::from(assignment.member_id.as_str());
        if plan.group.members.contains_key(&member) {
            assignments.insert(member, assignment.assignment.clone());
        }
    }
    let record =
        plan.group.record(|member| assignments.get(&member.id).cloned().unwrap_or_default());
    plan.records.push(record);
    plan.group.phase = Phase::CompletingRebalance { storing: true };
    plan.push_after(Kind::Stored {
        group: plan.group.id.clone(),
        generation: plan.group.generation,
        assignments: Arc::new(assignments),
    });
}
