//! A consumer group becomes a classic group.

use super::super::effect::Effect;
use super::super::plan::{Context, Plan};
use super::session_of;
use super::sync::assignment;
use crate::base::config::MigrationPolicy;
use crate::group::record::{ClassicGroupValue, ClassicMemberValue, Record};

/// Makes the group a classic one if only members of the classic protocol are left, and if the
/// policy allows it. Returns whether it did. Its members then join again.
pub(in super::super) fn downgrade(plan: &mut Plan, context: &Context<'_>) -> bool {
    let group = plan.group();
    let allowed = matches!(
        context.settings.migration_policy,
        MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade
    );
    let all_classic = group.members().all(|(_, member)| member.is_classic());
    let fits = (1..=context.classic_max_size).contains(&group.len());
    let protocol = if allowed && all_classic && fits { common_protocol(plan) } else { None };
    let Some(protocol) = protocol else { return false };
    let members = group.members().map(|(id, member)| {
        let protocols = member.info.classic.iter().flat_map(|classic| &classic.protocols);
        let subscription = protocols.filter(|(name, _)| *name == protocol).map(|(_, bytes)| bytes);
        ClassicMemberValue {
            member: id.clone(),
            instance: member.info.instance.clone(),
            client_id: member.info.client_id.clone(),
            client_host: member.info.client_host.clone(),
            rebalance_timeout_ms: member.info.rebalance_timeout_ms,
            session_timeout_ms: i32::try_from(session_of(member).as_millis()).unwrap_or(i32::MAX),
            subscription: subscription.cloned().next().unwrap_or_default(),
            assignment: assignment(member, context.image),
        }
    });
    let members: Vec<_> = members.collect();
    let id = group.id().clone();
    let value = ClassicGroupValue {
        protocol_type: "consumer".to_owned(),
        generation: group.epoch(),
        protocol: Some(protocol),
        // The rebalance that follows is not in the log: a group with members and without a leader
        // tells the next coordinator that it is due.
        leader: None,
        state_since: context.wall,
        members,
    };
    let left = group.members().map(|(member, _)| member.clone()).collect::<Vec<_>>();
    for record in plan.group().tombstones() {
        plan.push(record);
    }
    plan.push(Record::ClassicGroup { group: id.clone(), value: Some(value) });
    for member in left {
        plan.then(Effect::Left { group: id.clone(), member });
    }
    plan.then(Effect::Downgraded { group: id });
    true
}

/// The first protocol of the first member that all members support.
fn common_protocol(plan: &Plan) -> Option<String> {
    let mut members = plan.group().members().filter_map(|(_, member)| member.info.classic.as_ref());
    let first = members.next()?;
    let others: Vec<_> = members.collect();
    let supported = |name: &str| {
        others.iter().all(|other| other.protocols.iter().any(|(known, _)| known == name))
    };
    first.protocols.iter().map(|(name, _)| name).find(|name| supported(name)).cloned()
}
