//! Consumer groups for people: ConsumerGroupDescribe and ListGroups.

use super::group::ConsumerGroup;
use super::member::Member;
use super::partitions::Target;
use super::target::assignor_of;
use crate::base::TopicId;
use crate::controller::Image;
use crate::group::{ConsumerSettings, MemberId};
use crate::wire::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use crate::wire::messages::list_groups_response::ListedGroup;
use crate::wire::messages::message;

/// Kafka's name of the protocol of consumers, of either generation.
const PROTOCOL: &str = "consumer";

impl ConsumerGroup {
    /// As ConsumerGroupDescribe shows it. Topics that no longer exist are left out.
    pub fn describe(&self, image: &Image, settings: &ConsumerSettings) -> DescribedGroup {
        let members =
            self.members.iter().map(|(id, member)| self.describe_member(id, member, image));
        message!(DescribedGroup {
            group_id: self.id.as_str().into(),
            group_state: self.state().name().into(),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: assignor_of(self, settings).name().into(),
            members: members.collect(),
        })
    }

    fn describe_member(&self, id: &MemberId, member: &Member, image: &Image) -> DescribedMember {
        let info = &member.info;
        let target = self.target(id.as_str()).map(Target::topics).into_iter().flatten();
        let target =
            target.map(|(topic, partitions)| (topic, partitions.iter().copied().collect()));
        message!(DescribedMember {
            member_id: id.as_str().into(),
            instance_id: info.instance.as_deref().map(Into::into),
            rack_id: info.rack.as_deref().map(Into::into),
            member_epoch: member.epoch,
            client_id: info.client_id.as_str().into(),
            client_host: info.client_host.as_str().into(),
            subscribed_topic_names: info.topics.iter().map(|name| name.as_str().into()).collect(),
            subscribed_topic_regex: info.pattern.as_deref().map(Into::into),
            assignment: assignment(member.assigned.topics(), image),
            target_assignment: assignment(target, image),
            member_type: i8::from(!member.is_classic()),
        })
    }

    /// As ListGroups shows it.
    pub fn list(&self) -> ListedGroup {
        message!(ListedGroup {
            group_id: self.id.as_str().into(),
            protocol_type: PROTOCOL.into(),
            group_state: self.state().name().into(),
            group_type: PROTOCOL.into(),
        })
    }
}

fn assignment(topics: impl Iterator<Item = (TopicId, Vec<i32>)>, image: &Image) -> Assignment {
    let topics = topics.filter_map(|(id, partitions)| {
        let topic = image.topic_by_id(id)?;
        Some(message!(TopicPartitions {
            topic_id: id.into(),
            topic_name: (&*topic.name).into(),
            partitions: partitions,
        }))
    });
    message!(Assignment { topic_partitions: topics.collect() })
}
