//! Topics with their ELR, page by page (KIP-966).

use super::Admin;
use super::attempts::Verdict;
use super::description::{PartitionDescription, TopicDescription};
use crate::base::{BrokerId, LeaderEpoch};
use crate::client::AdminError;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use crate::wire::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::wire::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, message,
};

/// Kafka's `DescribeTopicsOptions.partitionSizeLimitPerResponse`.
const PAGE: i32 = 2000;

/// Where the next page begins: a topic and a partition.
type Place = (String, i32);

impl<W: World> Admin<W> {
    /// These topics, or all of them, by name, with their ELR. A topic that does not exist is an error.
    pub async fn describe_topic_partitions(
        &self,
        topics: Option<&[&str]>,
    ) -> Result<Vec<TopicDescription>, AdminError> {
        self.describe_by_page(topics, PAGE).await
    }

    /// The same with this many partitions in an answer.
    pub(in crate::client) async fn describe_by_page(
        &self,
        topics: Option<&[&str]>,
        size: i32,
    ) -> Result<Vec<TopicDescription>, AdminError> {
        let mut described: Vec<TopicDescription> = Vec::new();
        if topics.is_some_and(<[_]>::is_empty) {
            return Ok(described);
        }
        let mut from: Option<Place> = None;
        loop {
            let request = question(topics.unwrap_or_default(), size, from.as_ref());
            let (page, next) = self.ask_any(&request, |answer, _| read(answer)).await?;
            for mut topic in page {
                match described.last_mut().filter(|last| last.name == topic.name) {
                    // Deleted and created again between two pages.
                    Some(last) if last.id != topic.id => *last = topic,
                    Some(last) => last.partitions.append(&mut topic.partitions),
                    None => described.push(topic),
                }
            }
            let Some(next) = next else { return Ok(described) };
            if from.as_ref().is_some_and(|from| next <= *from) {
                let place = format!("topics behind {}-{}", next.0, next.1);
                return Err(AdminError::Incomplete(place));
            }
            from = Some(next);
        }
    }
}

fn question(topics: &[&str], size: i32, from: Option<&Place>) -> DescribeTopicPartitionsRequest {
    let topic = |name: &&str| message!(TopicRequest { name: (*name).into() });
    let cursor = |(topic, partition): &Place| {
        message!(Cursor { topic_name: topic.as_str().into(), partition_index: *partition })
    };
    message!(DescribeTopicPartitionsRequest {
        topics: topics.iter().map(topic).collect(),
        response_partition_limit: size,
        cursor: from.map(cursor),
    })
}

fn read(
    answer: &DescribeTopicPartitionsResponse,
) -> Verdict<(Vec<TopicDescription>, Option<Place>)> {
    let mut topics = Vec::with_capacity(answer.topics.len());
    for told in &answer.topics {
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None => topics.push(topic(told)),
            error => {
                let message = told.name.as_ref().map(|name| format!("topic `{}`", name.as_str()));
                return Verdict::Refused(AdminError::Broker { error, message });
            }
        }
    }
    let next = answer.next_cursor.as_ref();
    let next = next.map(|next| (next.topic_name.to_string(), next.partition_index));
    Verdict::Done((topics, next))
}

fn topic(told: &DescribeTopicPartitionsResponseTopic) -> TopicDescription {
    TopicDescription {
        name: told.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        id: told.topic_id.into(),
        partitions: told.partitions.iter().map(partition).collect(),
    }
}

fn partition(told: &DescribeTopicPartitionsResponsePartition) -> PartitionDescription {
    let brokers = |ids: &[i32]| ids.iter().map(|id| BrokerId(*id)).collect::<Vec<_>>();
    let optional = |ids: &Option<Vec<i32>>| ids.as_deref().map(brokers).unwrap_or_default();
    PartitionDescription {
        partition: told.partition_index,
        leader: (told.leader_id >= 0).then_some(BrokerId(told.leader_id)),
        leader_epoch: LeaderEpoch(told.leader_epoch),
        replicas: brokers(&told.replica_nodes),
        isr: brokers(&told.isr_nodes),
        elr: optional(&told.eligible_leader_replicas),
        last_known_elr: optional(&told.last_known_elr),
    }
}
