//! Offsets that groups have committed.

use std::collections::BTreeMap;

use super::super::attempts::Verdict;
use crate::base::{LeaderEpoch, Offset, TopicPartition};
use crate::client::{Admin, AdminError};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, message,
};

/// The newest versions in which topics are named, not identified.
const NAMES: i16 = 9;

/// An offset that a group has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// The next record to read.
    pub offset: Offset,
    /// Of the record before, as far as its reader knew.
    pub leader_epoch: LeaderEpoch,
    /// What the group keeps with it.
    pub metadata: String,
}

impl<W: World> Admin<W> {
    /// Everything that a group has committed.
    pub async fn group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, AdminError> {
        let asked = message!(OffsetFetchRequestGroup {
            group_id: group.into(),
            member_epoch: -1,
            topics: None,
        });
        let request = message!(OffsetFetchRequest { groups: vec![asked], require_stable: true });
        self.ask_coordinator(group, &request, Some(NAMES), fetched).await
    }

    /// Commits offsets of a group without members.
    pub async fn set_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), AdminError> {
        let mut topics: BTreeMap<&str, OffsetCommitRequestTopic> = BTreeMap::new();
        for (TopicPartition { topic, partition }, offset) in offsets {
            let entry = topics.entry(topic).or_default();
            entry.name = (&**topic).into();
            entry.partitions.push(message!(OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: offset.0,
                committed_leader_epoch: LeaderEpoch::NONE.0,
                committed_metadata: Some("".into()),
            }));
        }
        let request = message!(OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: -1,
            topics: topics.into_values().collect(),
        });
        self.ask_coordinator(group, &request, Some(NAMES), committed).await
    }

    /// Deletes committed offsets of topics that the group does not subscribe to.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<(), AdminError> {
        let mut topics: BTreeMap<&str, OffsetDeleteRequestTopic> = BTreeMap::new();
        for TopicPartition { topic, partition } in partitions {
            let entry = topics.entry(topic).or_default();
            entry.name = (&**topic).into();
            let deleted = message!(OffsetDeleteRequestPartition { partition_index: *partition });
            entry.partitions.push(deleted);
        }
        let request = message!(OffsetDeleteRequest {
            group_id: group.into(),
            topics: topics.into_values().collect(),
        });
        self.ask_coordinator(group, &request, None, deleted).await
    }
}

fn fetched(answer: &OffsetFetchResponse) -> Verdict<BTreeMap<TopicPartition, GroupOffset>> {
    let Some(group) = answer.groups.first() else {
        return Verdict::Refused(AdminError::Incomplete("a group's offsets".into()));
    };
    match ErrorCode::from_code(group.error_code) {
        ErrorCode::None => {}
        error => return Verdict::from_error(error, None),
    }
    let mut offsets = BTreeMap::new();
    for topic in &group.topics {
        for partition in &topic.partitions {
            let name = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            match ErrorCode::from_code(partition.error_code) {
                ErrorCode::None => {}
                error => return Verdict::from_error(error, Some(name.to_string())),
            }
            if partition.committed_offset < 0 {
                continue;
            }
            let metadata = partition.metadata.as_ref().map(ToString::to_string);
            offsets.insert(
                name,
                GroupOffset {
                    offset: Offset(partition.committed_offset),
                    leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
                    metadata: metadata.unwrap_or_default(),
                },
            );
        }
    }
    Verdict::Done(offsets)
}

fn committed(answer: &OffsetCommitResponse) -> Verdict<()> {
    let partitions = answer.topics.iter().flat_map(|topic| {
        let of_topic = topic.partitions.iter();
        of_topic.map(|p| (topic.name.as_str(), p.partition_index, p.error_code))
    });
    first_error(partitions)
}

fn deleted(answer: &OffsetDeleteResponse) -> Verdict<()> {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {}
        error => return Verdict::from_error(error, None),
    }
    let partitions = answer.topics.iter().flat_map(|topic| {
        let of_topic = topic.partitions.iter();
        of_topic.map(|p| (topic.name.as_str(), p.partition_index, p.error_code))
    });
    first_error(partitions)
}

/// The first partition that was refused is named.
fn first_error<'a>(mut partitions: impl Iterator<Item = (&'a str, i32, i16)>) -> Verdict<()> {
    match partitions.find(|(_, _, code)| *code != 0) {
        None => Verdict::Done(()),
        Some((topic, partition, code)) => {
            let name = TopicPartition::new(topic, partition).to_string();
            Verdict::from_error(ErrorCode::from_code(code), Some(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::offset_commit_response::{
        OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    };
    use crate::wire::messages::offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };

    #[test]
    fn refused_partition_of_a_commit_is_named_and_a_busy_coordinator_asked_again() {
        let answer = |code: ErrorCode| {
            let partitions = [(0, ErrorCode::None), (3, code)].map(|(index, code)| {
                message!(OffsetCommitResponsePartition {
                    partition_index: index,
                    error_code: code.code(),
                })
            });
            let topic = message!(OffsetCommitResponseTopic {
                name: "orders".into(),
                partitions: partitions.into(),
            });
            committed(&message!(OffsetCommitResponse { topics: vec![topic] }))
        };
        assert!(matches!(answer(ErrorCode::None), Verdict::Done(())));
        assert!(matches!(answer(ErrorCode::CoordinatorLoadInProgress), Verdict::Again(_)));
        let Verdict::Refused(error) = answer(ErrorCode::UnknownMemberId) else { panic!("refused") };
        assert_eq!(error.to_string(), "UNKNOWN_MEMBER_ID: orders-3");
    }

    #[test]
    fn partition_without_a_commit_is_left_out() {
        let partitions = [(0, 7), (1, -1)].map(|(index, offset)| {
            message!(OffsetFetchResponsePartitions {
                partition_index: index,
                committed_offset: offset,
            })
        });
        let topic = message!(OffsetFetchResponseTopics {
            name: "orders".into(),
            partitions: partitions.into(),
        });
        let group = message!(OffsetFetchResponseGroup { topics: vec![topic] });
        let Verdict::Done(found) = fetched(&message!(OffsetFetchResponse { groups: vec![group] }))
        else {
            panic!("done")
        };
        let found: Vec<_> = found.into_iter().map(|(name, at)| (name, at.offset)).collect();
        assert_eq!(found, [(TopicPartition::new("orders", 0), Offset(7))]);
    }
}
