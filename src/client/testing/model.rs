//! A cluster in memory that answers clients' requests about one topic, `orders`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::ModelLog;
use super::transactions::ModelTransactions;
use crate::base::config::Compression;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::client::kernel::{CoordinatorKey, metadata};
use crate::wire::ErrorCode;
use crate::wire::batch::BatchBuilder;
use crate::wire::messages::*;

/// The id of `orders`.
pub(crate) const TOPIC: Uuid = Uuid::from_bytes([7; 16]);

/// Brokers `b1:9092` and so on, and one topic, `orders`. What a leader appended is on every broker.
#[derive(Debug)]
pub(crate) struct Model {
    brokers: i32,
    partitions: Vec<ModelPartition>,
    coordinators: BTreeMap<String, Result<i32, ErrorCode>>,
    last_producer_id: i64,
    pub(super) transactions: ModelTransactions,
}

#[derive(Debug)]
struct ModelPartition {
    leader: i32,
    epoch: LeaderEpoch,
    log: ModelLog,
}

impl Model {
    /// So many brokers, and one partition for each of these leaders.
    pub(crate) fn new(brokers: i32, leaders: &[i32]) -> Self {
        let partition = |leader: &i32| ModelPartition {
            leader: *leader,
            epoch: LeaderEpoch(0),
            log: ModelLog::default(),
        };
        Self {
            brokers,
            partitions: leaders.iter().map(partition).collect(),
            coordinators: BTreeMap::new(),
            last_producer_id: 0,
            transactions: ModelTransactions::default(),
        }
    }

    pub(crate) fn brokers(&self) -> i32 {
        self.brokers
    }

    pub(crate) fn partitions(&self) -> i32 {
        self.partitions.len() as i32
    }

    pub(crate) fn log(&self, partition: i32) -> &ModelLog {
        &self.partitions[partition as usize].log
    }

    pub(super) fn log_mut(&mut self, partition: i32) -> &mut ModelLog {
        &mut self.partitions[partition as usize].log
    }

    /// Appends so many records, whose values are their offsets, in batches of three.
    pub(crate) fn fill(&mut self, partition: i32, records: i64) {
        let ModelPartition { log, epoch, .. } = &mut self.partitions[partition as usize];
        while log.end().0 < records {
            let mut builder = BatchBuilder::new(Compression::None, Timestamp(1));
            for offset in log.end().0..records.min(log.end().0 + 3) {
                builder.append(Timestamp(1), None, Some(offset.to_string().as_bytes()), &[]);
            }
            log.append(&Bytes::copy_from_slice(&builder.finish_plain()), *epoch).unwrap();
        }
    }

    /// Elects another leader in a new epoch.
    pub(crate) fn elect(&mut self, partition: i32, leader: i32) {
        let partition = &mut self.partitions[partition as usize];
        partition.leader = leader;
        partition.epoch = LeaderEpoch(partition.epoch.0 + 1);
    }

    /// Elects another leader, which lacks what follows `offset`.
    pub(crate) fn elect_unclean(&mut self, partition: i32, leader: i32, offset: Offset) {
        self.elect(partition, leader);
        self.partitions[partition as usize].log.truncate(offset);
    }

    /// This broker coordinates the group or transactional id, or none does.
    pub(crate) fn coordinate(&mut self, id: &str, by: Result<i32, ErrorCode>) {
        self.coordinators.insert(id.to_owned(), by);
    }

    pub(crate) fn metadata(&self, topics: &[Arc<str>]) -> MetadataResponse {
        let leaders = self.partitions.iter().map(|partition| (partition.leader, partition.epoch.0));
        let leaders: Vec<_> = leaders.collect();
        let mut answer = metadata(self.brokers, "orders", 7, &leaders);
        for topic in topics.iter().filter(|topic| &***topic != "orders") {
            answer.topics.push(message!(metadata_response::MetadataResponseTopic {
                name: Some((&**topic).into()),
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
            }));
        }
        answer
    }

    pub(crate) fn coordinators(&self, keys: &[CoordinatorKey]) -> FindCoordinatorResponse {
        let coordinators = keys.iter().map(|key| {
            let unavailable = Err(ErrorCode::CoordinatorNotAvailable);
            let by = self.coordinators.get(&*key.id).copied().unwrap_or(unavailable);
            message!(find_coordinator_response::Coordinator {
                key: (&*key.id).into(),
                node_id: by.unwrap_or(-1),
                host: by.map_or_else(|_| "".into(), |broker| format!("b{broker}").into()),
                port: if by.is_ok() { 9092 } else { -1 },
                error_code: by.map_or_else(ErrorCode::code, |_| 0),
            })
        });
        message!(FindCoordinatorResponse { coordinators: coordinators.collect() })
    }

    /// Another producer id, in epoch 0.
    pub(crate) fn init_producer_id(&mut self) -> i64 {
        self.last_producer_id += 1;
        self.last_producer_id
    }

    /// The partition, if this broker leads it in `epoch`; -1: in whichever epoch.
    fn led(&mut self, by: i32, index: i32, epoch: i32) -> Result<&mut ModelPartition, ErrorCode> {
        let partition = usize::try_from(index).ok().and_then(|i| self.partitions.get_mut(i));
        let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if partition.leader != by {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        match epoch {
            -1 => Ok(partition),
            epoch if epoch < partition.epoch.0 => Err(ErrorCode::FencedLeaderEpoch),
            epoch if epoch > partition.epoch.0 => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(partition),
        }
    }

    /// An answer that refuses every batch of a request.
    pub(crate) fn refused(request: &ProduceRequest, error: ErrorCode) -> ProduceResponse {
        let topics = request.topic_data.iter().map(|topic| {
            let refused = topic.partition_data.iter().map(|data| {
                message!(produce_response::PartitionProduceResponse {
                    index: data.index,
                    error_code: error.code(),
                    base_offset: -1,
                    log_append_time_ms: -1,
                })
            });
            message!(produce_response::TopicProduceResponse {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partition_responses: refused.collect(),
            })
        });
        message!(ProduceResponse { responses: topics.collect() })
    }

    pub(crate) fn produce(&mut self, at: i32, request: &ProduceRequest) -> ProduceResponse {
        self.produce_in(at, request, false)
    }

    /// The same; `implicit`: the leaders add partitions to transactions, as from version 12 on.
    pub(crate) fn produce_in(
        &mut self,
        at: i32,
        request: &ProduceRequest,
        implicit: bool,
    ) -> ProduceResponse {
        let mut answer = ProduceResponse::default();
        for topic in &request.topic_data {
            let stored = topic.partition_data.iter().map(|data| {
                let verified = match (&request.transactional_id, &data.records) {
                    (Some(id), Some(records)) if self.led(at, data.index, -1).is_ok() => {
                        self.verify(id.as_str(), data.index, records, implicit)
                    }
                    _ => Ok(()),
                };
                let stored = match (&data.records, self.led(at, data.index, -1)) {
                    (Some(records), Ok(led)) => {
                        verified.and_then(|()| led.log.append(records, led.epoch))
                    }
                    (None, Ok(_)) => Err(ErrorCode::InvalidRequest),
                    (_, Err(error)) => Err(error),
                };
                message!(produce_response::PartitionProduceResponse {
                    index: data.index,
                    error_code: stored.map_or_else(ErrorCode::code, |_| 0),
                    base_offset: stored.unwrap_or(Offset::NONE).0,
                    log_append_time_ms: -1,
                })
            });
            answer.responses.push(message!(produce_response::TopicProduceResponse {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partition_responses: stored.collect(),
            }));
        }
        answer
    }

    pub(crate) fn fetch(&mut self, at: i32, request: &FetchRequest) -> FetchResponse {
        let mut answer = FetchResponse::default();
        for topic in &request.topics {
            let fetched = topic.partitions.iter().map(|asked| {
                let mut data = fetch_response::PartitionData::default();
                data.partition_index = asked.partition;
                data.high_watermark = -1;
                match self.led(at, asked.partition, asked.current_leader_epoch) {
                    Err(error) => data.error_code = error.code(),
                    Ok(led) if Offset(asked.fetch_offset) > led.log.end() => {
                        data.error_code = ErrorCode::OffsetOutOfRange.code();
                    }
                    Ok(led) => {
                        let max = asked.partition_max_bytes as usize;
                        let from = Offset(asked.fetch_offset);
                        data.high_watermark = led.log.end().0;
                        data.last_stable_offset = led.log.last_stable().0;
                        if request.isolation_level == 1 {
                            let (records, aborted) = led.log.read_committed(from, max);
                            data.records = Some(records);
                            data.aborted_transactions = Some(aborted);
                        } else {
                            data.records = Some(led.log.read(from, max));
                        }
                    }
                }
                data
            });
            answer.responses.push(message!(fetch_response::FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions: fetched.collect(),
            }));
        }
        answer
    }

    pub(crate) fn list_offsets(
        &mut self,
        at: i32,
        request: &ListOffsetsRequest,
    ) -> ListOffsetsResponse {
        let mut answer = ListOffsetsResponse::default();
        for topic in &request.topics {
            let listed = topic.partitions.iter().map(|asked| {
                let led = self.led(at, asked.partition_index, asked.current_leader_epoch);
                let listed = led.map(|led| match asked.timestamp {
                    -1 => (led.log.end().0, -1, led.epoch.0),
                    0.. => match led.log.at_time(Timestamp(asked.timestamp)) {
                        Some((offset, timestamp)) => (offset.0, timestamp.0, led.epoch.0),
                        None => (-1, -1, -1),
                    },
                    _ => (0, -1, led.epoch.0),
                });
                message!(list_offsets_response::ListOffsetsPartitionResponse {
                    partition_index: asked.partition_index,
                    error_code: listed.map_or_else(ErrorCode::code, |_| 0),
                    offset: listed.map_or(-1, |(offset, ..)| offset),
                    timestamp: listed.map_or(-1, |(_, timestamp, _)| timestamp),
                    leader_epoch: listed.map_or(-1, |(.., epoch)| epoch),
                })
            });
            answer.topics.push(message!(list_offsets_response::ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions: listed.collect(),
            }));
        }
        answer
    }

    pub(crate) fn epoch_ends(
        &mut self,
        at: i32,
        request: &OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let mut answer = OffsetForLeaderEpochResponse::default();
        for topic in &request.topics {
            let ends = topic.partitions.iter().map(|asked| {
                let led = self.led(at, asked.partition, asked.current_leader_epoch);
                let end = led.map(|led| led.log.epoch_end(LeaderEpoch(asked.leader_epoch)));
                let known = end.ok().flatten();
                message!(offset_for_leader_epoch_response::EpochEndOffset {
                    partition: asked.partition,
                    error_code: end.map_or_else(ErrorCode::code, |_| 0),
                    leader_epoch: known.map_or(-1, |(epoch, _)| epoch.0),
                    end_offset: known.map_or(-1, |(_, end)| end.0),
                })
            });
            let ends = ends.collect();
            answer.topics.push(message!(
                offset_for_leader_epoch_response::OffsetForLeaderTopicResult {
                    topic: topic.topic.clone(),
                    partitions: ends,
                }
            ));
        }
        answer
    }
}
