//! A classic group becomes a consumer group.

use std::collections::BTreeSet;

use super::super::effect::Effect;
use super::super::partitions::{Owned, Target};
use super::super::plan::Plan;
use super::super::refusal::Refusal;
use super::protocol::{read_assignment, read_subscription};
use super::session_of;
use crate::controller::Image;
use crate::group::GroupId;
use crate::group::record::{
    ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, ConsumerGroupValue,
    CurrentAssignmentValue, MemberValue, Record, TargetEpochValue, TargetMemberValue,
};

/// The records that make a classic group a consumer group, with its members as they are: each in the
/// epoch that was its generation, with what its leader assigned to it. `protocols` are those of each
/// member.
pub fn upgraded(
    id: &GroupId,
    value: &ClassicGroupValue,
    protocols: impl Fn(&ClassicMemberValue) -> ClassicMemberMetadata,
    image: &Image,
) -> Result<Vec<Record>, Refusal> {
    let refuse = |reason| Refusal::NotUpgraded { group: id.clone(), reason };
    // A group in its first rebalance has no generation yet.
    let epoch = value.generation.max(1);
    let mut taken = BTreeSet::new();
    let mut records = vec![Record::ClassicGroup { group: id.clone(), value: None }];
    let mut later = Vec::new();
    for member in &value.members {
        let classic = protocols(member);
        let metadata = classic.protocols.first().map(|(_, metadata)| metadata.clone());
        let subscription = metadata.and_then(|bytes| read_subscription(&bytes, image));
        let assigned = read_assignment(&member.assignment, image);
        let (Some(subscription), Some(assigned)) = (subscription, assigned) else {
            return Err(refuse("the embedded consumer protocol is malformed"));
        };
        if subscription.has_user_data {
            return Err(refuse(
                "an unsupported custom assignor is in use. Please refer to the documentation or \
                 switch to a default assignor before re-attempting the upgrade",
            ));
        }
        // The assignor of a client may have given one partition to several members.
        let assigned: Target = assigned.into_iter().filter(|found| taken.insert(*found)).collect();
        let (group, member_id) = (id.clone(), member.member.clone());
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
        records.push(Record::Member { group, member: member_id.clone(), value: Some(info) });
        later.push((member_id, assigned));
    }
    let value = Some(ConsumerGroupValue { epoch, metadata_hash: 0 });
    records.push(Record::ConsumerGroup { group: id.clone(), value });
    for (member, assigned) in &later {
        let value = Some(TargetMemberValue { partitions: assigned.to_record() });
        records.push(Record::TargetMember { group: id.clone(), member: member.clone(), value });
    }
    let value = Some(TargetEpochValue { epoch, ..TargetEpochValue::default() });
    records.push(Record::TargetEpoch { group: id.clone(), value });
    for (member, assigned) in later {
        let mut owned = Owned::default();
        for (topic, partition) in assigned.iter() {
            owned.insert(topic, partition, epoch);
        }
        let value = CurrentAssignmentValue {
            epoch,
            previous_epoch: epoch,
            state: 0,
            assigned: owned.to_record(),
            pending_revocation: Vec::new(),
        };
        records.push(Record::CurrentAssignment { group: id.clone(), member, value: Some(value) });
    }
    Ok(records)
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
