//! A classic group becomes a consumer group.

use std::collections::BTreeSet;

use super::super::effect::Effect;
use super::super::partitions::{Owned, Target};
use super::super::plan::Plan;
use super::super::refusal::Refusal;
use super::protocol::{Subscription, read_assignment, read_subscription};
use super::session_of;
use crate::base::TopicId;
use crate::controller::Image;
use crate::group::GroupId;
use crate::group::record::{
    ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, ConsumerGroupValue,
    CurrentAssignmentValue, MemberValue, Record, TargetEpochValue, TargetMemberValue,
};

/// A member of the classic group, and what it may be using.
struct Former<'a> {
    member: &'a ClassicMemberValue,
    classic: ClassicMemberMetadata,
    subscription: Subscription,
    assigned: Vec<(TopicId, i32)>,
    owned: Target,
}

/// The records that make a classic group a consumer group, with its members as they are: each in the
/// epoch that was its generation, with what it may be using. `protocols` are those of each member.
///
/// In the middle of a rebalance, a cooperative member still uses what it reported when it joined,
/// although its leader assigned less. Kafka takes the assignments alone, and may give such a
/// partition away too early.
pub fn upgraded(
    id: &GroupId,
    value: &ClassicGroupValue,
    protocols: impl Fn(&ClassicMemberValue) -> ClassicMemberMetadata,
    image: &Image,
) -> Result<Vec<Record>, Refusal> {
    let refuse = |reason| Refusal::NotUpgraded { group: id.clone(), reason };
    let mut members = Vec::with_capacity(value.members.len());
    for member in &value.members {
        let former = read(member, protocols(member), image);
        members.push(former.ok_or_else(|| refuse("the embedded consumer protocol is malformed"))?);
    }
    if members.iter().any(|former| former.subscription.has_user_data) {
        return Err(refuse(
            "an unsupported custom assignor is in use. Please refer to the documentation or switch \
             to a default assignor before re-attempting the upgrade",
        ));
    }
    settle_owners(&mut members);
    // A group in its first rebalance has no generation yet.
    Ok(records(id, value.generation.max(1), members))
}

fn read<'a>(
    member: &'a ClassicMemberValue,
    classic: ClassicMemberMetadata,
    image: &Image,
) -> Option<Former<'a>> {
    let (_, metadata) = classic.protocols.first()?;
    let subscription = read_subscription(metadata, image)?;
    let assigned = read_assignment(&member.assignment, image)?;
    Some(Former { member, classic, subscription, assigned, owned: Target::default() })
}

/// Gives each partition to one member: to the one that reported it when it joined, or else to the one
/// that it is assigned to. Clients may have given it to several.
fn settle_owners(members: &mut [Former<'_>]) {
    let mut taken = BTreeSet::new();
    for former in members.iter_mut() {
        for reported in &former.subscription.owned {
            let topic = TopicId::from(reported.topic_id);
            for partition in &reported.partitions {
                if taken.insert((topic, *partition)) {
                    former.owned.insert(topic, *partition);
                }
            }
        }
    }
    for former in members.iter_mut() {
        for (topic, partition) in &former.assigned {
            if taken.insert((*topic, *partition)) {
                former.owned.insert(*topic, *partition);
            }
        }
    }
}

fn records(id: &GroupId, epoch: i32, members: Vec<Former<'_>>) -> Vec<Record> {
    let group = || id.clone();
    let mut records = vec![Record::ClassicGroup { group: group(), value: None }];
    let mut owners = Vec::with_capacity(members.len());
    for Former { member, classic, subscription, owned, .. } in members {
        let info = MemberValue {
            instance: member.instance.clone(),
            rack: subscription.rack,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: subscription.topics,
            pattern: Some(String::new()),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            assignor: None,
            classic: Some(classic),
        };
        let member = member.member.clone();
        owners.push((member.clone(), owned));
        records.push(Record::Member { group: group(), member, value: Some(info) });
    }
    let value = Some(ConsumerGroupValue { epoch, metadata_hash: 0 });
    records.push(Record::ConsumerGroup { group: group(), value });
    for (member, owned) in &owners {
        let value = Some(TargetMemberValue { partitions: owned.to_record() });
        records.push(Record::TargetMember { group: group(), member: member.clone(), value });
    }
    let value = Some(TargetEpochValue { epoch, ..TargetEpochValue::default() });
    records.push(Record::TargetEpoch { group: group(), value });
    for (member, target) in owners {
        let mut owned = Owned::default();
        for (topic, partition) in target.iter() {
            owned.insert(topic, partition, epoch);
        }
        let value = CurrentAssignmentValue {
            epoch,
            previous_epoch: epoch,
            state: 0,
            assigned: owned.to_record(),
            pending_revocation: Vec::new(),
        };
        records.push(Record::CurrentAssignment { group: group(), member, value: Some(value) });
    }
    records
}

/// The members of a classic group that was upgraded just now have their sessions from now on.
pub(in super::super) fn begin_sessions(plan: &mut Plan) {
    for (group, member, session) in plan
        .arrived()
        .map(|(id, member)| (plan.group().id().clone(), id.clone(), session_of(member)))
        .collect::<Vec<_>>()
    {
        plan.then(Effect::Beat { group, member, session });
    }
}
