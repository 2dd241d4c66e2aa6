//! JoinGroup.

use std::sync::Arc;

use super::Decision;
use super::answers::{joined, refused_join};
use super::effect::{Kind, ReplacedAnswer};
use super::group::{ClassicGroup, Phase};
use super::member::{Member, Name, Protocols, millis};
use super::plan::{At, Plan};
use super::soft::Classic;
use crate::base::Flaw;
use crate::group::{Client, GroupId, MemberId, Record, Reply};
use crate::wire::ErrorCode;
use crate::wire::messages::{JoinGroupRequest, JoinGroupResponse};

/// How long a member waits for its first answer at most. It can't send heartbeats before.
/// Source: Kafka's `CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`.
const NEW_MEMBER_TIMEOUT_MS: i32 = 5 * 60 * 1000;

/// From this version on a dynamic member joins with the id that it was given (KIP-394), so that a
/// retry is no second member.
const MEMBER_ID_REQUIRED: i16 = 4;

/// From this version on a leader can be told not to assign (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;

/// The reason of a client is cut to this many characters (KIP-800).
pub(super) const MAX_REASON: usize = 255;

/// A JoinGroup that is being decided.
struct Join<'a> {
    client: &'a Client,
    version: i16,
    request: &'a JoinGroupRequest,
    protocols: Protocols,
    reply: Reply<JoinGroupResponse>,
}

impl Join<'_> {
    fn instance(&self) -> Option<&str> {
        self.request.group_instance_id.as_deref()
    }

    fn rebalance_timeout_ms(&self) -> i32 {
        match self.version {
            0 => self.request.session_timeout_ms,
            _ => self.request.rebalance_timeout_ms,
        }
    }

    /// Why the group rebalances, for people who read logs.
    fn reason(&self, what: &str) -> String {
        format!("{what}; client reason: {}", reason(self.request.reason.as_deref()))
    }

    fn refuse(self, plan: &mut Plan<'_>, member: &str, error: ErrorCode) {
        plan.push(Kind::ReplyJoin(self.reply, refused_join(member, error)));
    }
}

/// What a client gives as its reason (KIP-800).
pub(super) fn reason(given: Option<&str>) -> String {
    match given {
        None | Some("") => "not provided".to_owned(),
        Some(given) => given.chars().take(MAX_REASON).collect(),
    }
}

impl Classic {
    /// Refuses to let a member join.
    pub(in crate::group) fn refuse_join(
        &self,
        request: &JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
        error: ErrorCode,
    ) -> Decision<()> {
        let effect = Kind::ReplyJoin(reply, refused_join(&request.member_id, error));
        Decision::only(()).with(super::Effect(effect))
    }

    /// Answers by `reply`, at once or when the rebalance is complete. `replaced` are tombstones of
    /// an empty group of another kind that has the name.
    pub(in crate::group) fn join(
        &self,
        at: At<'_>,
        client: &Client,
        version: i16,
        request: &JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
        replaced: Vec<Record>,
    ) -> Decision<()> {
        let member = request.member_id.as_str();
        let refuse = |reply, error| self.refuse_join(request, reply, error);
        if request.group_id.is_empty() {
            return refuse(reply, ErrorCode::InvalidGroupId);
        }
        let session = millis(request.session_timeout_ms);
        let (min, max) = (at.settings.min_session_timeout, at.settings.max_session_timeout);
        if request.session_timeout_ms < 0 || session < min || session > max {
            return refuse(reply, ErrorCode::InvalidSessionTimeout);
        }
        if !is_storable(client, request) {
            return refuse(reply, ErrorCode::UnknownServerError);
        }
        let known = self.get(&request.group_id);
        if known.is_none() && !member.is_empty() {
            return refuse(reply, ErrorCode::UnknownMemberId);
        }
        let id = GroupId::from(request.group_id.as_str());
        let group = known.map(|group| ClassicGroup::clone(group));
        let mut plan =
            Plan::new(at, group.unwrap_or_else(|| ClassicGroup::new(id.clone(), at.wall)));
        plan.records = replaced;
        let protocols = Protocols::of(&request.protocols);
        let join = Join { client, version, request, protocols, reply };
        if !accepts(&plan, member) {
            plan.remove(member);
            join.refuse(&mut plan, "", ErrorCode::GroupMaxSizeReached);
        } else if !plan.group.supports(&request.protocol_type, &join.protocols) {
            join.refuse(&mut plan, member, ErrorCode::InconsistentGroupProtocol);
        } else if member.is_empty() {
            self.join_new(&mut plan, join);
        } else {
            join_existing(&mut plan, join);
        }
        if known.is_none() {
            plan.records.push(ClassicGroup::first_record(&id, at.wall));
        }
        plan.finish(())
    }

    /// A member without an id joins.
    fn join_new(&self, plan: &mut Plan<'_>, join: Join<'_>) {
        let id = self.draw_id(join.instance().unwrap_or(&join.client.id));
        plan.push(Kind::Drawn);
        let former = join.instance().and_then(|instance| plan.group.instances.get(instance));
        if let Some(former) = former.cloned() {
            replace_static(plan, join, &former, &id);
        } else if join.instance().is_none() && join.version >= MEMBER_ID_REQUIRED {
            plan.group.pending_join.insert(id.clone(), ());
            plan.extend_session(&id, millis(join.request.session_timeout_ms));
            join.refuse(plan, id.as_str(), ErrorCode::MemberIdRequired);
        } else {
            add(plan, join, id);
        }
    }
}

/// Whether a record can hold these names: a string of Kafka's records has 32767 bytes at most, and
/// newer requests allow more. Kafka fails to write the record.
fn is_storable(client: &Client, request: &JoinGroupRequest) -> bool {
    const UUID: usize = 37;
    let instance = request.group_instance_id.as_deref().unwrap_or_default();
    let protocols = request.protocols.iter().map(|protocol| protocol.name.len());
    let given = [instance.len() + UUID, client.id.len() + UUID, client.host.len()];
    let names = [request.group_id.len(), request.member_id.len(), request.protocol_type.len()];
    let mut lengths = given.into_iter().chain(names).chain(protocols);
    lengths.all(|length| length <= i16::MAX as usize)
}

/// Whether the group has room for one that joins, or it has its place already.
fn accepts(plan: &Plan<'_>, member: &str) -> bool {
    let (group, max) = (&plan.group, plan.at.settings.max_size);
    let member = group.member(member);
    match group.phase {
        Phase::Empty => true,
        // Of those who join again the last ones are turned away, should the limit have been lowered.
        Phase::PreparingRebalance { .. } => {
            member.is_some_and(|member| member.awaits_join) || group.awaiting_join < max
        }
        Phase::CompletingRebalance { .. } | Phase::Stable => {
            member.is_some() || group.members.len() < max
        }
    }
}

fn add(plan: &mut Plan<'_>, join: Join<'_>, id: MemberId) {
    let request = join.request;
    let reason = join.reason(&format!("adding new member {id}"));
    let member = Member {
        id: id.clone(),
        instance: join.instance().map(Name::from),
        client: Arc::new(join.client.clone()),
        rebalance_timeout_ms: join.rebalance_timeout_ms(),
        session_timeout_ms: request.session_timeout_ms,
        protocols: join.protocols,
        assignment: None,
        awaits_join: true,
        awaits_sync: false,
        is_new: true,
    };
    if let Phase::PreparingRebalance { initial: Some(initial) } = &mut plan.group.phase {
        initial.grown = true;
    }
    plan.group.add(Some(request.protocol_type.as_str().into()), member);
    plan.hold_join(&id, join.reply);
    plan.extend_session(&id, millis(NEW_MEMBER_TIMEOUT_MS));
    plan.rebalance_or_complete(&reason);
}

/// A member with an id joins: again, or for the first time with the id that it was given.
fn join_existing(plan: &mut Plan<'_>, join: Join<'_>) {
    let id = MemberId::from(join.request.member_id.as_str());
    if plan.group.pending_join.contains_key(&id) {
        // Ids are given to dynamic members only. Kafka fails with an IllegalStateException.
        return match join.instance() {
            Some(_) => join.refuse(plan, id.as_str(), ErrorCode::UnknownServerError),
            None => add(plan, join, id),
        };
    }
    let member = match plan.group.validate_member(id.as_str(), join.instance()) {
        Ok(member) => member,
        Err(error) => return join.refuse(plan, id.as_str(), error),
    };
    let same = member.protocols == join.protocols;
    let leads = plan.group.is_leader(id.as_str());
    let state = plan.group.state_name();
    let reason = match plan.group.phase {
        Phase::Empty => return join.refuse(plan, id.as_str(), ErrorCode::UnknownMemberId),
        Phase::PreparingRebalance { .. } => format!("member {id} is joining during {state}"),
        // Its answer may have been lost.
        Phase::CompletingRebalance { .. } if same => return answer_again(plan, join, &id),
        // Topics may have changed that the leader knows of.
        Phase::Stable if leads => format!("leader {id} is joining again during {state}"),
        Phase::Stable if same => return answer_again(plan, join, &id),
        _ => format!("member {id} joins with other metadata during {state}"),
    };
    let reason = join.reason(&reason);
    update(plan, join, &id);
    plan.rebalance_or_complete(&reason);
}

fn answer_again(plan: &mut Plan<'_>, join: Join<'_>, id: &MemberId) {
    plan.push(Kind::ReplyJoin(join.reply, joined(&plan.group, id)));
}

/// The member is as this request says, and waits.
fn update(plan: &mut Plan<'_>, join: Join<'_>, id: &MemberId) {
    let rebalance_timeout_ms = join.rebalance_timeout_ms();
    let (session_timeout_ms, protocols) = (join.request.session_timeout_ms, join.protocols);
    plan.group.change(id, |member| {
        member.protocols = protocols;
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        member.awaits_join = true;
    });
    plan.hold_join(id, join.reply);
}

/// A new process of a static member joins (KIP-345).
fn replace_static(plan: &mut Plan<'_>, join: Join<'_>, former: &MemberId, id: &MemberId) {
    let leader = plan.group.leader.clone();
    let Some(replaced) = plan.group.replace(former.as_str(), id) else { return };
    plan.dismiss(&replaced, former.as_str(), ErrorCode::FencedInstanceId);
    plan.cancel_timer(plan.session_timer(former));
    plan.extend_session(id, replaced.session_timeout());
    let what = format!("static member {former} joins again as {id}");
    let reason = join.reason(&what);
    let version = join.version;
    update(plan, join, id);
    match plan.group.phase {
        Phase::Stable if plan.group.select_protocol() == plan.group.protocol => {
            if !plan.at.settings.flaws.has(Flaw::ForgetStaticMember) {
                let assigned = |member: &Member| member.assignment.clone().unwrap_or_default();
                plan.records.push(plan.group.record(assigned));
            }
            let answer = match version >= SKIPS_ASSIGNMENT {
                true => ReplacedAnswer::Skipping,
                false => ReplacedAnswer::Naming { leader },
            };
            let (group, member) = (plan.group.id.clone(), id.clone());
            plan.push_after(Kind::Replaced { group, member, answer });
        }
        Phase::Stable => plan.rebalance_or_complete(&reason),
        // The leader may have been told of the former id, and would assign to that.
        Phase::CompletingRebalance { .. } => plan.prepare(&reason),
        Phase::PreparingRebalance { .. } | Phase::Empty => plan.maybe_complete_join(),
    }
}
