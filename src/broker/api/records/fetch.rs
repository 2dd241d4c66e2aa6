//! Fetch: slices of logs go out, to consumers up to the high watermark, to replicas up to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::base::config::ReplicaSelector;
use crate::base::{BrokerEpoch, BrokerId, TopicId};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::partition::{FetchAnswer, FetchRead, Isolation, Partition, Reader};
use crate::broker::serve::handler::{Context, Fetched, FileOf, Handler, Outcome};
use crate::broker::sessions::{Begun, FetchSession, Slot, TOPIC_IDS};
use crate::controller::Image;
use crate::io::{Disk, Slice, World, timeout};
use crate::log::Aborted;
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use crate::wire::messages::{FetchRequest, FetchResponse, StrBytes, message};

/// From here on what comes may be zstd (KIP-110).
const ZSTD: i16 = 10;
/// From here on a consumer names its rack, and may read from a follower (KIP-392).
const RACK: i16 = 11;
/// From here on a replica sends its epoch, and its id in another field (KIP-903).
const REPLICA_STATE: i16 = 15;
/// From here on a partition's answer tells diverging epochs and the current leader (KIP-595).
const LEADER_HINTS: i16 = 12;
/// From here on the answer tells where leaders are found (KIP-951).
const NODE_ENDPOINTS: i16 = 16;

pub(in crate::broker) struct Fetch;

impl<W: World> Handler<Broker<W>> for Fetch {
    type Request = FetchRequest;
    type Response = Fetched<FileOf<W>>;

    async fn handle(
        broker: &Arc<Broker<W>>,
        mut request: FetchRequest,
        context: Context<'_>,
    ) -> Fetched<FileOf<W>> {
        let (version, now) = (context.version, broker.world.now());
        let deadline = now + Duration::from_millis(request.max_wait_ms.max(0) as u64);
        let reader = reader(&request, version);
        let privileged = matches!(reader, Reader::Replica { .. });
        let begun = broker.fetch_sessions.begin(&mut request, version, privileged, now);
        let Begun { session, full } = match begun {
            Ok(begun) => begun,
            Err(error) => return refusal(error),
        };
        if let Reader::Replica { id, .. } = reader {
            session.watch.heard(id, now);
        }
        let max_bytes = largest(broker, &request, reader);
        // More than the largest answer never comes. Source: Kafka's `KafkaApis.handleFetchRequest`.
        let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0).min(max_bytes as u64);
        let mut look = Look {
            broker,
            session: &session,
            reader,
            version,
            rack: rack(broker, &request, reader, version),
            listener: context.session.listener(),
            max_bytes,
            found: Found::default(),
        };
        let mut first = true;
        loop {
            look.again(first);
            first = false;
            let enough =
                look.found.available() >= min_bytes || look.found.urgent() || session.is_empty();
            if !enough
                && broker.world.now() < deadline
                && timeout(&broker.world, deadline, session.watch.changed()).await.is_some()
            {
                continue;
            }
            broker.world.disk().settle().await;
            let found = std::mem::take(&mut look.found);
            return respond(broker, &session, full, found, &context);
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

/// The most bytes in an answer: what was asked for, and of a consumer no more than
/// `fetch.max.bytes`.
fn largest<W: World>(broker: &Broker<W>, request: &FetchRequest, reader: Reader) -> usize {
    let most = match reader {
        Reader::Consumer(_) => request.max_bytes.min(broker.config.node.fetch_max_bytes),
        Reader::Replica { .. } => request.max_bytes,
    };
    usize::try_from(most).unwrap_or(0)
}

/// The consumer's rack, if the leader may name a replica there.
fn rack<'a, W: World>(
    broker: &Broker<W>,
    request: &'a FetchRequest,
    reader: Reader,
    version: i16,
) -> Option<&'a str> {
    let selects = broker.config.node.replica_selector == ReplicaSelector::Rack;
    let consumes = matches!(reader, Reader::Consumer(_));
    let rack = Some(request.rack_id.as_str()).filter(|rack| !rack.is_empty());
    rack.filter(|_| selects && consumes && version >= RACK)
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

/// What was read for a request so far.
struct Found<W: World> {
    answers: BTreeMap<u32, FetchAnswer<W>>,
    /// Partitions that may have more than what there was room for.
    capped: BTreeSet<u32>,
}

impl<W: World> Default for Found<W> {
    fn default() -> Self {
        Self { answers: BTreeMap::new(), capped: BTreeSet::new() }
    }
}

impl<W: World> Found<W> {
    /// What could be read, whether or not a whole batch of it had room: a partition with more than
    /// it may send will not have enough later either. Source: Kafka's `DelayedFetch`.
    fn available(&self) -> u64 {
        self.answers.values().map(|answer| answer.available.bytes).sum()
    }

    /// Whether the reader should have its answer at once.
    fn urgent(&self) -> bool {
        let urgent = |answer: &FetchAnswer<W>| {
            answer.error != ErrorCode::None
                || answer.diverging.is_some()
                || answer.preferred.is_some()
                || answer.available.in_next_segment
        };
        self.answers.values().any(urgent)
    }
}

/// Reads partitions for a request, again and again until there is enough.
struct Look<'a, W: World> {
    broker: &'a Broker<W>,
    session: &'a FetchSession,
    reader: Reader,
    version: i16,
    /// The reader's, if the leader may name a replica there.
    rack: Option<&'a str>,
    listener: &'a str,
    max_bytes: usize,
    found: Found<W>,
}

impl<W: World> Look<'_, W> {
    /// Reads what changed since the last look; and again what had records then, for meanwhile the
    /// log may have been cut.
    fn again(&mut self, first: bool) {
        let mut slots = self.session.watch.take();
        let found = &mut self.found;
        let readable = found.answers.iter().filter(|(_, a)| a.available.bytes > 0);
        slots.extend(readable.map(|(slot, _)| *slot));
        found.answers.retain(|slot, _| !slots.contains(slot));
        found.capped.retain(|slot| !slots.contains(slot));
        let mut fetched = self.session.fetched();
        let image = self.broker.image();
        let mut bytes = 0;
        for slot in fetched.in_turn(slots.iter().copied()) {
            let Some(asked) = fetched.get(slot) else { continue };
            let left = self.max_bytes.saturating_sub(bytes);
            // KIP-74: the first batch of the first partition that has one is always sent.
            let limits = (asked.max_bytes.min(left), bytes == 0);
            let answer = match self.replica(&image, asked) {
                Ok(partition) => {
                    let near = self.near(&image, partition.topic_id, asked.partition);
                    let read = self.read(asked, limits, &near);
                    partition.read(&read, first, &self.session.watch, slot)
                }
                Err(error) => FetchAnswer::refusal(error),
            };
            if left < asked.max_bytes {
                self.found.capped.insert(slot);
            }
            if let Some(slice) = &answer.slice {
                bytes += usize::try_from(slice.len).unwrap_or(usize::MAX);
                fetched.served(slot);
            }
            self.found.answers.insert(slot, answer);
        }
    }

    /// The live replicas in the reader's rack that its listener reaches.
    fn near(&self, image: &Image, topic: TopicId, index: i32) -> Vec<BrokerId> {
        let Some(rack) = self.rack else { return Vec::new() };
        let partition = image.partition(topic, index);
        let replicas = partition.into_iter().flat_map(|partition| partition.replicas.iter());
        let is_near = |id: BrokerId| {
            let in_rack = image.broker(id).is_some_and(|it| it.rack.as_deref() == Some(rack));
            in_rack && image.is_alive(id) && image.address(id, self.listener).is_some()
        };
        replicas.copied().filter(|id| is_near(*id)).collect()
    }

    fn read<'b>(
        &self,
        asked: &Slot,
        (max_bytes, at_least_one): (usize, bool),
        near: &'b [BrokerId],
    ) -> FetchRead<'b> {
        let consumes = matches!(self.reader, Reader::Consumer(_));
        FetchRead {
            reader: self.reader,
            from_follower: consumes && self.version >= RACK,
            near,
            current_epoch: asked.current_epoch,
            offset: asked.offset,
            last_fetched_epoch: asked.last_fetched_epoch,
            log_start: asked.log_start,
            max_bytes,
            at_least_one,
            knows_zstd: self.version >= ZSTD,
        }
    }

    fn replica(&self, image: &Image, asked: &Slot) -> Result<Arc<Partition<W>>, ErrorCode> {
        let topic = if self.version < TOPIC_IDS {
            image.topic(&asked.topic).ok_or(ErrorCode::UnknownTopicOrPartition)?
        } else {
            image.topic_by_id(asked.topic_id).ok_or(ErrorCode::UnknownTopicId)?
        };
        self.broker.replica_of(topic, asked.partition)
    }
}

/// A refusal of the whole request.
fn refusal<F>(error: ErrorCode) -> Fetched<F> {
    let response = message!(FetchResponse { error_code: error.code() });
    Fetched { response, slices: Vec::new() }
}

/// An answer's partitions, by topic, with the slices in the same order.
struct Answered<F> {
    topic: (TopicId, StrBytes),
    partitions: Vec<PartitionData>,
    slices: Vec<Option<Slice<F>>>,
}

fn respond<W: World>(
    broker: &Broker<W>,
    session: &FetchSession,
    full: bool,
    found: Found<W>,
    context: &Context<'_>,
) -> Fetched<FileOf<W>> {
    let (version, listener) = (context.version, context.session.listener());
    let image = broker.image();
    let mut endpoints = BTreeMap::new();
    let mut topics: Vec<Answered<FileOf<W>>> = Vec::new();
    let mut places: BTreeMap<(TopicId, StrBytes), usize> = BTreeMap::new();
    let mut fetched = session.fetched();
    let mut again = found.capped;
    for (slot, answer) in found.answers {
        let failed = answer.error != ErrorCode::None || answer.diverging.is_some();
        let marks = (!failed).then_some((answer.high_watermark, answer.log_start));
        let changed = fetched.note(slot, marks);
        let news = changed || answer.slice.is_some() || answer.preferred.is_some();
        // Also what had no room in this answer: the next one has to look at it. And a consumer that was
        // sent elsewhere may be back, with nothing that a session names.
        let sent_away = answer.preferred.is_some();
        if failed || sent_away || answer.available.bytes > 0 || answer.may_join {
            again.insert(slot);
        }
        let Some(asked) = fetched.get(slot).filter(|_| full || news) else { continue };
        if version >= NODE_ENDPOINTS
            && is_about_leadership(answer.error)
            && let Some((leader, address)) =
                answer.leader.and_then(|leader| Some((leader, image.address(leader, listener)?)))
        {
            let endpoint = message!(NodeEndpoint {
                node_id: leader.0,
                host: address.host.as_str().into(),
                port: i32::from(address.port),
            });
            endpoints.insert(leader, endpoint);
        }
        let topic = (asked.topic_id, asked.topic.clone());
        let place = *places.entry(topic.clone()).or_insert(topics.len());
        if place == topics.len() {
            topics.push(Answered { topic, partitions: Vec::new(), slices: Vec::new() });
        }
        let Some(topic) = topics.get_mut(place) else { continue };
        topic.partitions.push(partition_data(asked.partition, &answer, version));
        topic.slices.push(answer.slice);
    }
    session.watch.look_again_at(again);
    let mut slices = Vec::new();
    let responses = topics.into_iter().map(|answered| {
        let (id, name) = answered.topic;
        slices.extend(answered.slices);
        message!(FetchableTopicResponse {
            topic: name,
            topic_id: id.into(),
            partitions: answered.partitions,
        })
    });
    let response = message!(FetchResponse {
        responses: responses.collect(),
        session_id: session.id,
        node_endpoints: endpoints.into_values().collect(),
    });
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
        preferred_read_replica: answer.preferred.unwrap_or(BrokerId::NONE).0,
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
