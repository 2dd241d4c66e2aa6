//! Listing and describing groups.

use std::collections::BTreeMap;

use super::super::attempts::Verdict;
use crate::base::{TopicPartition, nearest};
use crate::client::{Admin, AdminError};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DecodeLimits,
    DescribeGroupsRequest, DescribeGroupsResponse, ListGroupsRequest, ListGroupsResponse,
    consumer_group_describe_response as consumer, decode_consumer_protocol_assignment,
    describe_groups_response as classic, message,
};

/// The newest version of DescribeGroups whose answer about an absent group is not an error.
const ABSENT_IS_DEAD: i16 = 5;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its id.
    pub group: String,
    /// `consumer` for consumers; empty if it only commits offsets.
    pub protocol_type: String,
    /// `Stable`, `Empty` and so on.
    pub state: String,
    /// `classic` or `consumer`.
    pub kind: String,
}

/// A group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: String,
    /// `Stable`, `Empty`, `Dead` and so on.
    pub state: String,
    /// The assignor.
    pub assignor: String,
    /// By id.
    pub members: Vec<MemberDescription>,
}

/// A member as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`, if it is static.
    pub instance: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connected from.
    pub host: String,
    /// What it owns.
    pub assignment: Vec<TopicPartition>,
}

impl<W: World> Admin<W> {
    /// All groups, from the brokers that coordinate them, by id.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, AdminError> {
        let mut groups = Vec::new();
        for broker in self.describe_cluster().await?.brokers {
            let (request, to) = (ListGroupsRequest::default(), Some(&broker.address));
            let mut attempts = self.attempts();
            let listed = self.ask(&mut attempts, to, &request, |answer, _| listed(answer)).await?;
            groups.extend(listed);
        }
        groups.sort();
        groups.dedup_by(|a, b| a.group == b.group);
        Ok(groups)
    }

    /// A group of either protocol, with its members.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let request = message!(ConsumerGroupDescribeRequest { group_ids: vec![group.into()] });
        let modern = self.ask_coordinator(group, &request, None, described).await;
        match modern {
            Ok(Some(description)) => return Ok(description),
            // It is a classic group, or the broker does not know the protocol.
            Ok(None) | Err(AdminError::UnsupportedVersion(_)) => {}
            Err(error) => return Err(error),
        }
        let request = message!(DescribeGroupsRequest { groups: vec![group.into()] });
        self.ask_coordinator(group, &request, Some(ABSENT_IS_DEAD), described_classic).await
    }

    /// The group that was probably meant, where there is none of this id.
    pub async fn nearest_group(&self, group: &str) -> Result<Option<String>, AdminError> {
        let all = self.list_groups().await?;
        let names = all.iter().map(|listed| listed.group.as_str());
        Ok(nearest(group, names).map(str::to_owned))
    }
}

fn listed(answer: &ListGroupsResponse) -> Verdict<Vec<GroupListing>> {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {}
        error => return Verdict::from_error(error, None),
    }
    let groups = answer.groups.iter().map(|group| GroupListing {
        group: group.group_id.to_string(),
        protocol_type: group.protocol_type.to_string(),
        state: group.group_state.to_string(),
        kind: group.group_type.to_string(),
    });
    Verdict::Done(groups.collect())
}

/// `None` without a group of this name and of the consumer protocol.
fn described(answer: &ConsumerGroupDescribeResponse) -> Verdict<Option<GroupDescription>> {
    let Some(group) = answer.groups.first() else {
        return Verdict::Refused(AdminError::Incomplete("a group".into()));
    };
    match ErrorCode::from_code(group.error_code) {
        ErrorCode::None => {}
        ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion => return Verdict::Done(None),
        error => {
            let message = group.error_message.as_ref().map(ToString::to_string);
            return Verdict::from_error(error, message);
        }
    }
    Verdict::Done(Some(GroupDescription {
        group: group.group_id.to_string(),
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        members: group.members.iter().map(member).collect(),
    }))
}

fn member(member: &consumer::Member) -> MemberDescription {
    let topics = member.assignment.topic_partitions.iter();
    let owned = topics.flat_map(|topic| {
        let name = topic.topic_name.as_str();
        topic.partitions.iter().map(move |partition| TopicPartition::new(name, *partition))
    });
    MemberDescription {
        id: member.member_id.to_string(),
        instance: member.instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: owned.collect(),
    }
}

fn described_classic(answer: &DescribeGroupsResponse) -> Verdict<GroupDescription> {
    let Some(group) = answer.groups.first() else {
        return Verdict::Refused(AdminError::Incomplete("a group".into()));
    };
    match ErrorCode::from_code(group.error_code) {
        ErrorCode::None => Verdict::Done(GroupDescription {
            group: group.group_id.to_string(),
            state: group.group_state.to_string(),
            assignor: group.protocol_data.to_string(),
            members: group.members.iter().map(classic_member).collect(),
        }),
        error => Verdict::from_error(error, None),
    }
}

fn classic_member(member: &classic::DescribedGroupMember) -> MemberDescription {
    let bytes = member.member_assignment.clone();
    // Members of other protocol types have other bytes: they own no partitions.
    let read = decode_consumer_protocol_assignment(bytes, DecodeLimits::default()).ok();
    let mut owned = BTreeMap::new();
    for topic in read.iter().flat_map(|(_, assignment)| &assignment.assigned_partitions) {
        for partition in &topic.partitions {
            owned.insert(TopicPartition::new(topic.topic.as_str(), *partition), ());
        }
    }
    MemberDescription {
        id: member.member_id.to_string(),
        instance: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: owned.into_keys().collect(),
    }
}
