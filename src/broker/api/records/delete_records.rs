//! DeleteRecords: the log's start moves up, and the answer waits until every replica that lives
//! has moved its own (KIP-107).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::{Offset, topics};
use crate::broker::context::Broker;
use crate::broker::partition::Partition;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::{World, timeout};
use crate::wire::ErrorCode;
use crate::wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use crate::wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use crate::wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse, StrBytes, message};

/// "All that is committed." Source: Kafka's `DeleteRecordsRequest.HIGH_WATERMARK`.
const HIGH_WATERMARK: i64 = -1;

/// One partition of the request.
struct Asked<W: World> {
    index: i32,
    /// Below which offset, or why not.
    below: Result<(Arc<Partition<W>>, Offset), ErrorCode>,
}

/// What is said of one partition.
#[derive(Clone, Copy)]
enum Answer {
    /// Some replica that lives still has records below the offset.
    Waits,
    /// No replica has; this is the lowest log start offset of all.
    Done(Offset),
    Refused(ErrorCode),
}

pub(in crate::broker) struct DeleteRecords;

impl<W: World> Handler<Broker<W>> for DeleteRecords {
    type Request = DeleteRecordsRequest;
    type Response = DeleteRecordsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DeleteRecordsRequest,
        _: Context<'_>,
    ) -> DeleteRecordsResponse {
        let deadline = broker.world.now() + Duration::from_millis(request.timeout_ms.max(0) as u64);
        let topics: Vec<(_, Vec<Asked<W>>)> = merged(request.topics)
            .into_iter()
            .map(|topic| (topic.name.clone(), delete(broker, &topic)))
            .collect();
        let bell = Arc::new(Notify::new());
        loop {
            let late = broker.world.now() >= deadline;
            let answers: Vec<Vec<Answer>> = topics
                .iter()
                .map(|(_, partitions)| partitions.iter().map(|asked| look(asked, &bell)).collect())
                .collect();
            let waits = answers.iter().flatten().any(|answer| matches!(answer, Answer::Waits));
            if waits && !late {
                timeout(&broker.world, deadline, bell.notified()).await;
                continue;
            }
            let results = topics.into_iter().zip(answers).map(|((name, partitions), answers)| {
                let results = partitions.iter().zip(answers);
                let results = results.map(|(asked, answer)| result(asked.index, answer)).collect();
                message!(DeleteRecordsTopicResult { name: name, partitions: results })
            });
            return message!(DeleteRecordsResponse { topics: results.collect() });
        }
    }
}

/// Each topic and partition once, with the last of its offsets: Kafka reads them into a map.
fn merged(asked: Vec<DeleteRecordsTopic>) -> Vec<DeleteRecordsTopic> {
    let mut at: BTreeMap<StrBytes, usize> = BTreeMap::new();
    let mut topics: Vec<DeleteRecordsTopic> = Vec::new();
    let mut partitions: BTreeMap<(usize, i32), usize> = BTreeMap::new();
    for topic in asked.into_iter().filter(|topic| !topic.partitions.is_empty()) {
        let next = topics.len();
        let index = *at.entry(topic.name.clone()).or_insert(next);
        if index == next {
            topics.push(message!(DeleteRecordsTopic { name: topic.name }));
        }
        let all = &mut topics[index].partitions;
        for partition in topic.partitions {
            let next = all.len();
            match *partitions.entry((index, partition.partition_index)).or_insert(next) {
                known if known < next => all[known].offset = partition.offset,
                _ => all.push(partition),
            }
        }
    }
    topics
}

/// Moves the leaders' log starts.
fn delete<W: World>(broker: &Broker<W>, topic: &DeleteRecordsTopic) -> Vec<Asked<W>> {
    let image = broker.image();
    let found = image.topic(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition);
    let delete = |asked: &DeleteRecordsPartition| {
        let found = found?;
        let exists = found.partitions.contains_key(&asked.partition_index);
        if exists && topics::is_internal(&topic.name) {
            return Err(ErrorCode::InvalidTopicException);
        }
        let partition = broker.replica_of(found, asked.partition_index)?;
        let offset = Some(asked.offset).filter(|offset| *offset != HIGH_WATERMARK).map(Offset);
        let below = partition.delete_records(offset)?;
        Ok((partition, below))
    };
    let asked = topic.partitions.iter();
    asked.map(|asked| Asked { index: asked.partition_index, below: delete(asked) }).collect()
}

fn look<W: World>(asked: &Asked<W>, bell: &Arc<Notify>) -> Answer {
    let (partition, below) = match &asked.below {
        Ok(asked) => asked,
        Err(error) => return Answer::Refused(*error),
    };
    match partition.low_watermark(bell) {
        Ok(low) if low >= *below => Answer::Done(low),
        Ok(_) => Answer::Waits,
        Err(error) => Answer::Refused(error),
    }
}

fn result(index: i32, answer: Answer) -> DeleteRecordsPartitionResult {
    let (error, low) = match answer {
        Answer::Done(low) => (ErrorCode::None, low),
        Answer::Waits => (ErrorCode::RequestTimedOut, Offset::NONE),
        Answer::Refused(error) => (error, Offset::NONE),
    };
    message!(DeleteRecordsPartitionResult {
        partition_index: index,
        low_watermark: low.0,
        error_code: error.code(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: &[(i32, i64)]) -> DeleteRecordsTopic {
        let partition = |(index, offset): &(i32, i64)| {
            message!(DeleteRecordsPartition { partition_index: *index, offset: *offset })
        };
        message!(DeleteRecordsTopic {
            name: name.into(),
            partitions: partitions.iter().map(partition).collect(),
        })
    }

    #[test]
    fn a_partition_that_is_named_twice_counts_once_with_its_last_offset() {
        let asked = vec![
            topic("a", &[(1, 5), (0, 2), (1, 6)]),
            topic("none", &[]),
            topic("b", &[(0, 1)]),
            topic("a", &[(0, 3), (2, 4)]),
        ];
        let expected = vec![topic("a", &[(1, 6), (0, 3), (2, 4)]), topic("b", &[(0, 1)])];
        assert_eq!(merged(asked), expected);
    }
}
