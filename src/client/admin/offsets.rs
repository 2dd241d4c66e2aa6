//! Offsets of partitions, from their leaders.

use std::collections::BTreeMap;

use super::Admin;
use super::description::{ListedOffset, OffsetSpec};
use super::leaders::Asked;
use crate::base::{LeaderEpoch, Offset, Timestamp, TopicPartition};
use crate::client::AdminError;
use crate::io::World;
use crate::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

impl<W: World> Admin<W> {
    /// Returns offsets by kind or timestamp. Every partition must have a leader before time runs out.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, AdminError> {
        let missing = partitions.iter().cloned().collect();
        self.ask_leaders(missing, |asked, _| question(asked), read).await
    }
}

fn question(asked: &[Asked<OffsetSpec>]) -> ListOffsetsRequest {
    let mut request = ListOffsetsRequest::default();
    // Not a replica.
    request.replica_id = -1;
    for Asked { partition, about, epoch } in asked {
        let name = &*partition.topic;
        if request.topics.last().is_none_or(|topic| topic.name.as_str() != name) {
            let mut topic = ListOffsetsTopic::default();
            topic.name = name.into();
            request.topics.push(topic);
        }
        let mut told = ListOffsetsPartition::default();
        told.partition_index = partition.partition;
        told.current_leader_epoch = epoch.0;
        told.timestamp = match about {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::At(timestamp) => timestamp.0,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::EarliestLocal => -4,
            OffsetSpec::LatestTiered => -5,
            OffsetSpec::EarliestPendingUpload => -6,
        };
        if let Some(topic) = request.topics.last_mut() {
            topic.partitions.push(told);
        }
    }
    request
}

fn read(partition: &TopicPartition, answer: &ListOffsetsResponse) -> Option<(i16, ListedOffset)> {
    let topics = answer.topics.iter().filter(|t| t.name.as_str() == &*partition.topic);
    let mut told = topics.flat_map(|topic| &topic.partitions);
    let told = told.find(|told| told.partition_index == partition.partition)?;
    let listed = ListedOffset {
        offset: (told.offset >= 0).then_some(Offset(told.offset)),
        timestamp: Timestamp(told.timestamp),
        leader_epoch: LeaderEpoch(told.leader_epoch),
    };
    Some((told.error_code, listed))
}
