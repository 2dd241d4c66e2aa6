//! Deletion of records by the partitions' leaders (KIP-107).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Admin;
use super::leaders::Asked;
use crate::base::{Offset, TopicPartition};
use crate::client::AdminError;
use crate::io::World;
use crate::wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use crate::wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

/// "All that is committed." Source: Kafka's `DeleteRecordsRequest.HIGH_WATERMARK`.
const HIGH_WATERMARK: Offset = Offset(-1);

impl<W: World> Admin<W> {
    /// Deletes all records below an offset, of each partition; `None`: all that are committed.
    /// Returns where each one starts, once every live replica has deleted them.
    pub async fn delete_records(
        &self,
        partitions: &[(TopicPartition, Option<Offset>)],
    ) -> Result<BTreeMap<TopicPartition, Offset>, AdminError> {
        let below = |offset: Option<Offset>| offset.unwrap_or(HIGH_WATERMARK);
        let missing =
            partitions.iter().map(|(name, offset)| (name.clone(), below(*offset))).collect();
        self.ask_leaders(missing, question, read).await
    }
}

fn question(asked: &[Asked<Offset>], left: Duration) -> DeleteRecordsRequest {
    let mut request = DeleteRecordsRequest::default();
    request.timeout_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
    for Asked { partition, about, .. } in asked {
        let name = &*partition.topic;
        if request.topics.last().is_none_or(|topic| topic.name.as_str() != name) {
            let mut topic = DeleteRecordsTopic::default();
            topic.name = name.into();
            request.topics.push(topic);
        }
        let mut told = DeleteRecordsPartition::default();
        told.partition_index = partition.partition;
        told.offset = about.0;
        if let Some(topic) = request.topics.last_mut() {
            topic.partitions.push(told);
        }
    }
    request
}

/// The low watermark.
fn read(partition: &TopicPartition, answer: &DeleteRecordsResponse) -> Option<(i16, Offset)> {
    let topics = answer.topics.iter().filter(|t| t.name.as_str() == &*partition.topic);
    let mut told = topics.flat_map(|topic| &topic.partitions);
    let told = told.find(|told| told.partition_index == partition.partition)?;
    Some((told.error_code, Offset(told.low_watermark)))
}
