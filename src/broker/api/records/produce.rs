//! Produce: records go into the leader's log, and the answer waits for what `acks` asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::produce_verified::{self, Prepared, Ready};
use crate::base::config::{Acks, Compression};
use crate::base::{Address, BrokerId, Instant, Offset, Timestamp, TopicId, topics};
use crate::broker::context::Broker;
use crate::broker::partition::{Partition, Produced, Refusal};
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::controller;
use crate::io::{Disk, World, timeout};
use crate::log::RecordProblem;
use crate::wire::ErrorCode;
use crate::wire::batch::{self, BatchHeader};
use crate::wire::messages::produce_request::TopicProduceData;
use crate::wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use crate::wire::messages::{ProduceRequest, ProduceResponse, StrBytes, message};

/// From here on an error about leadership says who leads instead (KIP-951).
const LEADER_HINTS: i16 = 10;

/// The first version that may carry zstd (KIP-110).
const ZSTD: i16 = 7;

/// From here on topics are named by id (KIP-516).
const TOPIC_IDS: i16 = 13;

/// Source: Kafka's `AdminUtils.ADMIN_CLIENT_ID`.
const ADMIN_CLIENT: &str = "__admin_client";

pub(in crate::broker) struct Produce;

impl<W: World> Handler<Broker<W>> for Produce {
    type Request = ProduceRequest;
    type Response = Outcome<ProduceResponse>;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: ProduceRequest,
        context: Context<'_>,
    ) -> Outcome<ProduceResponse> {
        let acks = match request.acks {
            0 => Ok(Acks::None),
            1 => Ok(Acks::Leader),
            -1 => Ok(Acks::All),
            _ => Err(ErrorCode::InvalidRequiredAcks),
        };
        let acks = match without_transaction(&request) {
            Some(error) => Err(error),
            None => acks,
        };
        let transactional_id = request.transactional_id.clone();
        let deadline = broker.world.now() + Duration::from_millis(request.timeout_ms.max(0) as u64);

        let topics = once(request.topic_data).into_iter();
        let mut topics: Vec<Topic<Prepared<W>>> =
            topics.map(|topic| prepare(broker, topic, acks, &context)).collect();
        let mut all: Vec<_> = topics.iter_mut().flat_map(Topic::results).collect();
        let id = transactional_id.as_deref();
        produce_verified::verify(broker, context.version, id, &mut all).await;
        let mut written = Vec::with_capacity(topics.len());
        for topic in topics {
            written.push(append(topic, acks).await);
        }
        broker.world.disk().settle().await;
        if acks == Ok(Acks::None) {
            let mut results = written.iter().flat_map(|topic| &topic.partitions);
            let refusal = results.find_map(|(_, result)| result.as_ref().err());
            return refusal.map_or(Outcome::Silence, |refusal| {
                Outcome::Close(format!("a write with acks=0 failed: {}", refusal.code))
            });
        }
        acknowledge(broker, &mut written, deadline).await;
        Outcome::Respond(respond(broker, written, &context))
    }
}

/// One topic of the request, with what became of each partition's records.
struct Topic<T> {
    name: StrBytes,
    id: TopicId,
    partitions: Vec<(i32, T)>,
}

impl<T> Topic<T> {
    fn results(&mut self) -> impl Iterator<Item = &mut T> {
        self.partitions.iter_mut().map(|(_, result)| result)
    }
}

type Appended = Topic<Result<Produced, Refusal>>;

/// Makes sure of what can be known before records are appended.
fn prepare<W: World>(
    broker: &Arc<Broker<W>>,
    topic: TopicProduceData,
    acks: Result<Acks, ErrorCode>,
    context: &Context<'_>,
) -> Topic<Prepared<W>> {
    let version = context.version;
    let image = broker.image();
    let found = if version < TOPIC_IDS {
        image.topic(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)
    } else {
        image.topic_by_id(topic.topic_id.into()).ok_or(ErrorCode::UnknownTopicId)
    };
    let topic_id = found.map_or_else(|_| topic.topic_id.into(), |found| found.id);
    let mut results = Vec::with_capacity(topic.partition_data.len());
    for data in topic.partition_data {
        let partition = found.and_then(|found| writable(broker, found, data.index, context));
        let result = match (acks, partition, data.records) {
            (Err(error), _, _) | (_, Err(error), _) => Err(error.into()),
            (Ok(_), Ok(_), None) => Err(ErrorCode::InvalidRecord.into()),
            (Ok(_), Ok(partition), Some(mut records)) => {
                check_shape(&records, version).map(|size| {
                    records.truncate(size);
                    Ready::new(partition, records)
                })
            }
        };
        results.push((data.index, result));
    }
    Topic { name: topic.name, id: topic_id, partitions: results }
}

/// Appends one topic's records, partition by partition.
async fn append<W: World>(topic: Topic<Prepared<W>>, acks: Result<Acks, ErrorCode>) -> Appended {
    let mut results = Vec::with_capacity(topic.partitions.len());
    for (index, prepared) in topic.partitions {
        let result = match (acks, prepared) {
            (Err(error), _) => Err(error.into()),
            (_, Err(refusal)) => Err(refusal),
            (Ok(acks), Ok(Ready { partition, records, verified })) => {
                partition.produce(owned(records), acks, verified).await
            }
        };
        results.push((index, result));
    }
    Topic { name: topic.name, id: topic.id, partitions: results }
}

/// The replica to which a client may write. An internal topic's records are its coordinator's; as
/// in Kafka, only clients that call themselves by one reserved name may write them.
fn writable<W: World>(
    broker: &Arc<Broker<W>>,
    topic: &controller::Topic,
    partition: i32,
    context: &Context<'_>,
) -> Result<Arc<Partition<W>>, ErrorCode> {
    let replica = broker.replica_of(topic, partition);
    let protected = topics::is_internal(&topic.name) && context.session.client_id() != ADMIN_CLIENT;
    match replica {
        Ok(_) | Err(ErrorCode::NotLeaderOrFollower) if protected => {
            Err(ErrorCode::InvalidTopicException)
        }
        replica => replica,
    }
}

/// Why the request's transactional records have no transaction to be written in: it does not name
/// one. Like Kafka, looks at the first batch of each partition.
fn without_transaction(request: &ProduceRequest) -> Option<ErrorCode> {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let mut records = partitions.filter_map(|data| data.records.as_ref());
    let transactional =
        |records: &Bytes| BatchHeader::read(records).is_ok_and(|header| header.is_transactional());
    let nameless = request.transactional_id.is_none() && records.any(transactional);
    nameless.then_some(ErrorCode::TransactionalIdAuthorizationFailed)
}

/// Each partition once: of one that is named again, the last records count, as in Kafka.
fn once(mut topics: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    let mut seen = BTreeSet::new();
    for topic in topics.iter_mut().rev() {
        let (name, id) = (&topic.name, TopicId::from(topic.topic_id));
        let named = std::mem::take(&mut topic.partition_data).into_iter().rev();
        let mut last: Vec<_> =
            named.filter(|data| seen.insert((name.clone(), id, data.index))).collect();
        last.reverse();
        topic.partition_data = last;
    }
    topics.retain(|topic| !topic.partition_data.is_empty());
    topics
}

/// The records as bytes of their own, in which offsets can be set. The usual request, with one
/// partition, gives its buffer away; only one that is shared is copied.
fn owned(records: Bytes) -> BytesMut {
    records.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

/// What Kafka asks of a request before it looks for the partition's leader: one batch, in a codec
/// that the version knows. Returns its size; bytes behind it that are not a batch are passed over.
///
/// Source: Kafka's `ProduceRequest.validateRecords` and `UnifiedLog.trimInvalidBytes`.
fn check_shape(records: &[u8], version: i16) -> Result<usize, Refusal> {
    let invalid = |message: &str| Refusal::telling(ErrorCode::InvalidRecord, message.into());
    let whole = |bytes: &[u8]| {
        let corrupt = |problem: batch::BatchError| {
            Refusal::telling(ErrorCode::CorruptMessage, problem.to_string())
        };
        batch::whole_size(bytes).map_err(corrupt)
    };
    let size = whole(records)?.ok_or_else(|| invalid("a partition has no whole batch"))?;
    // A shorter one is the log's to refuse.
    let Ok(header) = BatchHeader::read(records) else { return Ok(size) };
    if header.magic != batch::MAGIC {
        return Err(invalid("batches of other versions than magic 2 are not accepted"));
    }
    if header.compression() == Compression::Zstd && version < ZSTD {
        let message = format!("Produce v{version} does not know zstd; v{ZSTD} does");
        return Err(Refusal::telling(ErrorCode::UnsupportedCompressionType, message));
    }
    let behind = records.get(size..).unwrap_or_default();
    if whole(behind)?.is_some() {
        return Err(invalid("a request has one batch for each partition"));
    }
    Ok(size)
}

fn partition_response(index: i32, result: Result<Produced, Refusal>) -> PartitionProduceResponse {
    let mut response = message!(PartitionProduceResponse { index: index });
    match result {
        Ok(produced) => {
            response.base_offset = produced.base.0;
            response.log_append_time_ms = produced.append_time.unwrap_or(Timestamp::NONE).0;
            response.log_start_offset = produced.log_start.0;
        }
        Err(refusal) => {
            response.error_code = refusal.code.code();
            response.base_offset = Offset::NONE.0;
            response.log_append_time_ms = Timestamp::NONE.0;
            response.log_start_offset = Offset::NONE.0;
            response.error_message = refusal.message.map(Into::into);
            response.record_errors = refusal.records.into_iter().map(record_error).collect();
        }
    }
    response
}

fn record_error(told: RecordProblem) -> BatchIndexAndErrorMessage {
    message!(BatchIndexAndErrorMessage {
        batch_index: told.index,
        batch_index_error_message: Some(told.problem.into()),
    })
}

/// Waits until the records are as safe as `acks` asks.
async fn acknowledge<W: World>(broker: &Broker<W>, topics: &mut [Appended], deadline: Instant) {
    for (_, result) in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if let Ok(produced) = result {
            let waited = timeout(&broker.world, deadline, Partition::<W>::acknowledged(produced));
            let code = waited.await.unwrap_or(ErrorCode::RequestTimedOut);
            if code != ErrorCode::None {
                *result = Err(code.into());
            }
        }
    }
}

fn respond<W: World>(
    broker: &Broker<W>,
    topics: Vec<Appended>,
    context: &Context<'_>,
) -> ProduceResponse {
    let image = broker.image();
    let mut endpoints = BTreeMap::new();
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, result) in topic.partitions {
            let mut response = partition_response(index, result);
            if context.version >= LEADER_HINTS
                && response.error_code == ErrorCode::NotLeaderOrFollower.code()
                && let Some(state) = image.partition(topic.id, index)
                && let Some(leader) = state.leader
            {
                response.current_leader = message!(LeaderIdAndEpoch {
                    leader_id: leader.0,
                    leader_epoch: state.leader_epoch.0
                });
                if let Some(address) = image.address(leader, context.session.listener()) {
                    endpoints.insert(leader, node_endpoint(leader, address));
                }
            }
            partitions.push(response);
        }
        let by_name = context.version < TOPIC_IDS;
        responses.push(message!(TopicProduceResponse {
            name: if by_name { topic.name } else { Default::default() },
            topic_id: if by_name { Default::default() } else { topic.id.into() },
            partition_responses: partitions,
        }));
    }
    message!(ProduceResponse {
        responses: responses,
        node_endpoints: endpoints.into_values().collect(),
    })
}

/// KIP-951: where the leader is, so that the client need not ask.
fn node_endpoint(leader: BrokerId, address: &Address) -> NodeEndpoint {
    message!(NodeEndpoint {
        node_id: leader.0,
        host: address.host.as_str().into(),
        port: i32::from(address.port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::BatchBuilder;
    use crate::wire::frame;

    #[test]
    fn records_at_fault_are_named_to_whoever_understands_and_no_version_chokes_on_them() {
        let records = vec![RecordProblem { index: 3, problem: "no key".into() }];
        let refusal = Refusal { code: ErrorCode::InvalidRecord, message: None, records };
        for version in 3..=13 {
            let mut topic = TopicProduceResponse::default();
            topic.partition_responses = vec![partition_response(0, Err(refusal.clone()))];
            let response = message!(ProduceResponse { responses: vec![topic] });
            let bytes = frame::encode_response(1, version, &response).unwrap();
            let told = bytes.windows(6).any(|window| window == b"no key");
            assert_eq!(told, version >= 8, "v{version}");
        }
    }

    #[test]
    fn a_request_has_one_batch_in_a_codec_that_its_version_knows() {
        let batch = |codec| {
            let mut builder = BatchBuilder::new(codec, Timestamp(0));
            builder.append(Timestamp(0), None, Some(b"v"), &[]);
            builder.finish_plain()
        };
        let code = |bytes: &[u8], version| check_shape(bytes, version).err().map(|r| r.code);
        let (plain, zstd) = (batch(Compression::None), batch(Compression::Zstd));
        assert_eq!(code(&plain, 3), None);
        assert_eq!(code(&zstd, 6), Some(ErrorCode::UnsupportedCompressionType));
        assert_eq!(code(&zstd, 7), None);
        let two = [&plain[..], &plain[..]].concat();
        assert_eq!(code(&two, 9), Some(ErrorCode::InvalidRecord));
        let (half, garbage) = ([&plain[..], &plain[..40]].concat(), [&plain[..], b"x"].concat());
        for followed in [half, garbage] {
            assert_eq!(check_shape(&followed, 9), Ok(plain.len()));
        }
    }
}
