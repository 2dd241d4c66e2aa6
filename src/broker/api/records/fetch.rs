//! Fetch: slices of logs go out, to consumers up to the high watermark, to replicas up to the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, TopicId};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::partition::{FetchAnswer, FetchRead, Isolation, Partition, Reader};
use crate::broker::serve::handler::{Context, Fetched, FileOf, Handler, Outcome};
use crate::io::{Disk, World, timeout};
use crate::log::Aborted;
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_request::{FetchPartition, FetchTopic};
use crate::wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use crate::wire::messages::{FetchRequest, FetchResponse, StrBytes, message};

/// From here on what comes may be zstd (KIP-110).
const ZSTD: i16 = 10;
/// From here on topics are named by id (KIP-516).
const TOPIC_IDS: i16 = 13;
/// From here on a replica sends its epoch, and its id in another field (KIP-903).
const REPLICA_STATE: i16 = 15;
/// From here on a partition's answer tells diverging epochs and the current leader (KIP-595).
const LEADER_HINTS: i16 = 12;
/// From here on the answer tells where leaders are found (KIP-951).
const NODE_ENDPOINTS: i16 = 16;
/// "No preferred read replica."
const NO_REPLICA: i32 = -1;

/// One partition of the request, resolved.
struct Asked<W: World> {
    index: i32,
    partition: Result<Arc<Partition<W>>, ErrorCode>,
    read: FetchRead,
}

/// One topic of the request, resolved.
struct AskedTopic<W: World> {
    name: StrBytes,
    id: TopicId,
    partitions: Vec<Asked<W>>,
}

pub(in crate::broker) struct Fetch;

impl<W: World> Handler<Broker<W>> for Fetch {
    type Request = FetchRequest;
    type Response = Fetched<FileOf<W>>;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: FetchRequest,
        context: Context<'_>,
    ) -> Fetched<FileOf<W>> {
        let version = context.version;
        let deadline =
            broker.world.now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
        let reader = reader(&request, version);
        let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
        let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
        let topics: Vec<_> = request
            .topics
            .into_iter()
            .map(|topic| resolve(broker, topic, reader, version))
            .collect();

        let bell = Arc::new(Notify::new());
        let mut first = true;
        loop {
            let round = look(&topics, max_bytes, first, &bell);
            first = false;
            let enough = round.bytes >= min_bytes || round.urgent || topics.is_empty();
            if !enough
                && broker.world.now() < deadline
                && timeout(&broker.world, deadline, bell.notified()).await.is_some()
            {
                continue;
            }
            broker.world.disk().settle().await;
            return respond(broker, &topics, round.answers, &context);
        }
    }
}

/// The controllers' Fetch: brokers follow the metadata log.
impl<W: World> Handler<ControllerShell<W>> for Fetch {
    type Request = FetchRequest;
    type Response = Outcome<Fetched<FileOf<W>>>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: FetchRequest,
        _: Context<'_>,
    ) -> Outcome<Fetched<FileOf<W>>> {
        controller.fetch(request).await.into()
    }
}

fn reader(request: &FetchRequest, version: i16) -> Reader {
    let (id, epoch) = if version >= REPLICA_STATE {
        let state = &request.replica_state;
        (state.replica_id, Some(BrokerEpoch(state.replica_epoch)))
    } else {
        (request.replica_id, None)
    };
    match id {
        0.. => Reader::Replica { id: BrokerId(id), epoch },
        _ => Reader::Consumer(Isolation::from_level(request.isolation_level)),
    }
}

fn resolve<W: World>(
    broker: &Broker<W>,
    topic: FetchTopic,
    reader: Reader,
    version: i16,
) -> AskedTopic<W> {
    let image = broker.image();
    let found = if version < TOPIC_IDS {
        image.topic(&topic.topic).ok_or(ErrorCode::UnknownTopicOrPartition)
    } else {
        image.topic_by_id(topic.topic_id.into()).ok_or(ErrorCode::UnknownTopicId)
    };
    let id = found.map_or_else(|_| topic.topic_id.into(), |found| found.id);
    let resolve = |asked: &FetchPartition| Asked {
        index: asked.partition,
        partition: found.and_then(|found| broker.replica_of(found, asked.partition)),
        read: FetchRead {
            reader,
            current_epoch: LeaderEpoch(asked.current_leader_epoch),
            offset: Offset(asked.fetch_offset),
            last_fetched_epoch: LeaderEpoch(asked.last_fetched_epoch),
            log_start: Offset(asked.log_start_offset),
            max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
            at_least_one: false,
            knows_zstd: version >= ZSTD,
        },
    };
    let partitions = topic.partitions.iter().map(resolve).collect();
    AskedTopic { name: topic.topic, id, partitions }
}

/// One look at everything that was asked for.
struct Round<W: World> {
    answers: Vec<FetchAnswer<W>>,
    bytes: u64,
    /// Something that the reader should know at once.
    urgent: bool,
}

fn look<W: World>(
    topics: &[AskedTopic<W>],
    max_bytes: usize,
    first: bool,
    bell: &Arc<Notify>,
) -> Round<W> {
    let mut round = Round { answers: Vec::new(), bytes: 0, urgent: false };
    for asked in topics.iter().flat_map(|topic| &topic.partitions) {
        let left = max_bytes.saturating_sub(usize::try_from(round.bytes).unwrap_or(usize::MAX));
        let read = FetchRead {
            max_bytes: asked.read.max_bytes.min(left),
            // KIP-74: the first batch of the first partition that has one is always sent.
            at_least_one: round.bytes == 0,
            ..asked.read
        };
        let answer = match &asked.partition {
            Ok(partition) => partition.read(&read, first, bell),
            Err(error) => FetchAnswer::refusal(*error),
        };
        round.bytes += answer.slice.as_ref().map_or(0, |slice| slice.len);
        round.urgent |= answer.error != ErrorCode::None || answer.diverging.is_some();
        round.answers.push(answer);
    }
    round
}

fn respond<W: World>(
    broker: &Broker<W>,
    topics: &[AskedTopic<W>],
    answers: Vec<FetchAnswer<W>>,
    context: &Context<'_>,
) -> Fetched<FileOf<W>> {
    let (version, listener) = (context.version, context.session.listener());
    let image = broker.image();
    let mut answers = answers.into_iter();
    let mut slices = Vec::new();
    let mut endpoints = BTreeMap::new();
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (asked, answer) in topic.partitions.iter().zip(answers.by_ref()) {
            partitions.push(partition_data(asked.index, &answer, version));
            if version >= NODE_ENDPOINTS
                && is_about_leadership(answer.error)
                && let Some((leader, address)) = answer
                    .leader
                    .and_then(|leader| Some((leader, image.address(leader, listener)?)))
            {
                let endpoint = message!(NodeEndpoint {
                    node_id: leader.0,
                    host: address.host.as_str().into(),
                    port: i32::from(address.port),
                });
                endpoints.insert(leader, endpoint);
            }
            slices.push(answer.slice);
        }
        responses.push(message!(FetchableTopicResponse {
            topic: if version < TOPIC_IDS { topic.name.clone() } else { StrBytes::default() },
            topic_id: if version < TOPIC_IDS { Default::default() } else { topic.id.into() },
            partitions: partitions,
        }));
    }
    // Session 0 declines a session: every fetch says all that it wants.
    let node_endpoints = endpoints.into_values().collect();
    let response = message!(FetchResponse { responses: responses, node_endpoints: node_endpoints });
    Fetched { response, slices }
}

fn is_about_leadership(error: ErrorCode) -> bool {
    matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
}

fn partition_data<W: World>(index: i32, answer: &FetchAnswer<W>, version: i16) -> PartitionData {
    let mut data = message!(PartitionData {
        partition_index: index,
        error_code: answer.error.code(),
        high_watermark: answer.high_watermark.0,
        last_stable_offset: answer.last_stable.0,
        log_start_offset: answer.log_start.0,
        preferred_read_replica: NO_REPLICA,
        aborted_transactions: answer.aborted.as_ref().map(|aborted| {
            let transaction = |aborted: &Aborted| {
                message!(AbortedTransaction {
                    producer_id: aborted.producer.0,
                    first_offset: aborted.first.0,
                })
            };
            aborted.iter().map(transaction).collect()
        }),
        records: Some(Default::default()),
    });
    if version < LEADER_HINTS {
        return data;
    }
    if let Some((epoch, end)) = answer.diverging {
        data.diverging_epoch = message!(EpochEndOffset { epoch: epoch.0, end_offset: end.0 });
    }
    if is_about_leadership(answer.error) {
        data.current_leader = message!(LeaderIdAndEpoch {
            leader_id: answer.leader.unwrap_or(BrokerId::NONE).0,
            leader_epoch: answer.leader_epoch.0,
        });
    }
    data
}
