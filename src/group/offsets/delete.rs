//! OffsetDelete (KIP-496).

use super::state::Offsets;
use super::subscriber::Subscriber;
use crate::decide::Decision;
use crate::group::record::{OffsetKey, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::message;
use crate::wire::messages::offset_delete_request::OffsetDeleteRequest;
use crate::wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

impl Offsets {
    /// Decides the deletion of offsets. One that a transaction has is deleted as well.
    pub fn delete<E>(
        &self,
        group: Option<&dyn Subscriber>,
        request: &OffsetDeleteRequest,
    ) -> Decision<Record, OffsetDeleteResponse, E> {
        let id = request.group_id.as_str();
        let allowed = match group {
            _ if id.is_empty() => Err(ErrorCode::InvalidGroupId),
            Some(group) => group.validate_delete(),
            None if self.has_group(id) => Ok(()),
            None => Err(ErrorCode::GroupIdNotFound),
        };
        if let Err(error) = allowed {
            return Decision::only(message!(OffsetDeleteResponse { error_code: error.code() }));
        }
        let mut records = Vec::new();
        let mut topics = Vec::new();
        for topic in &request.topics {
            let subscribed = group.is_some_and(|group| group.subscribed_to(&topic.name));
            let error =
                if subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            let mut partitions = Vec::new();
            for partition in topic.partitions.iter().map(|partition| partition.partition_index) {
                partitions.push(message!(OffsetDeleteResponsePartition {
                    partition_index: partition,
                    error_code: error.code(),
                }));
                let exists = self.get(id, &topic.name, partition).is_some()
                    || self.pending.contains(id, &topic.name, partition);
                if exists && !subscribed {
                    let topic = topic.name.to_string();
                    records.push(Record::no_offset(OffsetKey {
                        group: id.into(),
                        topic,
                        partition,
                    }));
                }
            }
            topics.push(message!(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: partitions,
            }));
        }
        Decision::new(records, message!(OffsetDeleteResponse { topics: topics }))
    }
}
