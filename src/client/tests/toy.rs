//! A toy broker that keeps batches in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use crate::base::{LeaderEpoch, Offset};
use crate::client::cluster;
use crate::io::{Address, Listener, Net, Stream, World};
use crate::rpc::Frames;
use crate::wire::api::{self, key};
use crate::wire::batch::{BatchHeader, assign, check, records};
use crate::wire::frame::{decode_request, encode_response};
use crate::wire::messages::*;
use crate::wire::{ErrorCode, Request};

/// The id of `orders`.
pub(super) const TOPIC: Uuid = Uuid::from_bytes([7; 16]);

/// A log in memory, and what it knows of a producer: the batch to come.
#[derive(Default)]
pub(super) struct Log {
    batches: Vec<(BatchHeader, Bytes)>,
    pub(super) end: Offset,
    /// Epoch, and the sequence to come, of each producer.
    producers: BTreeMap<i64, (i16, i32)>,
}

impl Log {
    /// What all batches hold: offsets and values, in order.
    pub(super) fn values(&self) -> Vec<(Offset, Bytes)> {
        let records = self.batches.iter().flat_map(|(_, batch)| records(batch, 1 << 20).unwrap());
        records.map(|record| (record.offset, record.value.unwrap())).collect()
    }

    /// Checks as a broker does whether a batch is the next of its producer (KIP-98, KIP-360).
    fn check_producer(&mut self, header: &BatchHeader) -> Result<(), ErrorCode> {
        let (epoch, sequence) = (header.producer_epoch.0, header.base_sequence);
        let known = self.producers.entry(header.producer_id.0).or_insert((epoch, 0));
        match epoch.cmp(&known.0) {
            std::cmp::Ordering::Less => return Err(ErrorCode::InvalidProducerEpoch),
            std::cmp::Ordering::Greater if sequence != 0 => {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            std::cmp::Ordering::Greater => *known = (epoch, 0),
            std::cmp::Ordering::Equal => {}
        }
        match sequence.cmp(&known.1) {
            std::cmp::Ordering::Less => Err(ErrorCode::DuplicateSequenceNumber),
            std::cmp::Ordering::Greater => Err(ErrorCode::OutOfOrderSequenceNumber),
            std::cmp::Ordering::Equal => {
                known.1 += header.count;
                Ok(())
            }
        }
    }
}

/// The one broker of a cluster with one topic, `orders`.
pub(super) struct Toy<W> {
    world: W,
    pub(super) logs: Mutex<BTreeMap<i32, Log>>,
    partitions: i32,
    address: Address,
    /// What goes wrong follows from it, if something is to go wrong.
    chaos: Option<Mutex<ChaCha12Rng>>,
    pub(super) produced: AtomicUsize,
}

impl<W: World> Toy<W> {
    pub(super) async fn start(
        world: &W,
        at: Address,
        partitions: i32,
        chaos: Option<ChaCha12Rng>,
    ) -> Arc<Self> {
        let mut listener = world.net().bind(&at).await.unwrap();
        let port = listener.local_address().unwrap().port;
        let toy = Arc::new(Self {
            world: world.clone(),
            logs: Mutex::default(),
            partitions,
            address: Address::new(at.host, port),
            chaos: chaos.map(Mutex::new),
            produced: AtomicUsize::new(0),
        });
        let (toy2, world2) = (Arc::clone(&toy), world.clone());
        world.spawn("toy", async move {
            while let Ok((stream, _)) = listener.accept().await {
                world2.spawn("toy connection", Arc::clone(&toy2).serve(stream));
            }
        });
        toy
    }

    pub(super) fn servers(&self) -> String {
        self.address.to_string()
    }

    async fn serve(self: Arc<Self>, stream: impl Stream) {
        let (reader, mut out): (_, WriteHalf<_>) = tokio::io::split(stream);
        let mut frames: Frames<ReadHalf<_>> = Frames::new(reader, 64 << 20);
        while let Ok(Some(frame)) = frames.next().await {
            let asked = decode_request(frame).unwrap();
            let Some(answer) = self.answer(&asked).await else { return };
            if out.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, asked: &Request) -> Option<BytesMut> {
        match asked.header.api_key {
            key::API_VERSIONS => Some(told(asked, &api::versions(api::Listener::Broker))),
            key::METADATA => Some(told(asked, &self.metadata())),
            key::INIT_PRODUCER_ID => {
                let mut answer = InitProducerIdResponse::default();
                answer.producer_id = 1;
                Some(told(asked, &answer))
            }
            key::PRODUCE => self.produce(asked),
            key::FETCH => Some(self.fetch(asked).await),
            key::LIST_OFFSETS => Some(told(asked, &self.list(&asked.decode().unwrap()))),
            key::CREATE_TOPICS => {
                let request: CreateTopicsRequest = asked.decode().unwrap();
                let mut created = create_topics_response::CreatableTopicResult::default();
                created.name = request.topics[0].name.clone();
                let mut answer = CreateTopicsResponse::default();
                answer.topics.push(created);
                Some(told(asked, &answer))
            }
            other => panic!("the toy does not know API {other}"),
        }
    }

    fn metadata(&self) -> MetadataResponse {
        let leaders = vec![(1, 0); self.partitions as usize];
        let mut answer = cluster::tests::metadata(1, "orders", 7, &leaders);
        answer.brokers[0].host = self.address.host.as_str().into();
        answer.brokers[0].port = i32::from(self.address.port);
        answer
    }

    /// A number below `sides`, if something is to go wrong at all.
    fn trouble(&self, sides: u32) -> Option<usize> {
        let mut chaos = self.chaos.as_ref()?.lock();
        Some((chaos.next_u32() % sides) as usize)
    }

    fn produce(&self, asked: &Request) -> Option<BytesMut> {
        if self.trouble(10) == Some(0) {
            return None;
        }
        let request: ProduceRequest = asked.decode().unwrap();
        let mut answer = ProduceResponse::default();
        for topic in &request.topic_data {
            let mut told = produce_response::TopicProduceResponse::default();
            told.topic_id = topic.topic_id;
            told.name = topic.name.clone();
            for data in &topic.partition_data {
                let mut partition = produce_response::PartitionProduceResponse::default();
                partition.index = data.index;
                partition.log_append_time_ms = -1;
                let (error, base) = self.append(data.index, data.records.as_ref().unwrap());
                (partition.error_code, partition.base_offset) = (error.code(), base.0);
                told.partition_responses.push(partition);
            }
            answer.responses.push(told);
        }
        self.produced.fetch_add(1, Ordering::Relaxed);
        match (self.trouble(10), request.acks) {
            (Some(0), _) => None,
            (_, 0) => Some(BytesMut::new()),
            _ => Some(told(asked, &answer)),
        }
    }

    fn append(&self, partition: i32, records: &Bytes) -> (ErrorCode, Offset) {
        let header = check(records).unwrap();
        let mut logs = self.logs.lock();
        let log = logs.entry(partition).or_default();
        let before = [ErrorCode::NotEnoughReplicas, ErrorCode::InvalidRecord];
        let after = [
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotLeaderOrFollower,
        ];
        let trouble = self.trouble(20);
        if let Some(error) = trouble.and_then(|which| before.get(which)) {
            return (*error, Offset::NONE);
        }
        if header.has_producer()
            && let Err(error) = log.check_producer(&header)
        {
            return (error, Offset::NONE);
        }
        let base = log.end;
        let mut bytes = BytesMut::from(&records[..]);
        assign(&mut bytes, base, LeaderEpoch(0));
        let header = BatchHeader::parse(&bytes).unwrap();
        log.end = header.next_offset();
        log.batches.push((header, bytes.freeze()));
        match trouble.and_then(|which| after.get(which.wrapping_sub(before.len()))) {
            Some(error) => (*error, Offset::NONE),
            None => (ErrorCode::None, base),
        }
    }

    async fn fetch(&self, asked: &Request) -> BytesMut {
        let request: FetchRequest = asked.decode().unwrap();
        let mut answer = FetchResponse::default();
        let mut empty = true;
        for topic in &request.topics {
            let mut told = fetch_response::FetchableTopicResponse::default();
            told.topic_id = topic.topic_id;
            told.topic = topic.topic.clone();
            for partition in &topic.partitions {
                let mut data = fetch_response::PartitionData::default();
                data.partition_index = partition.partition;
                let logs = self.logs.lock();
                let mut records = BytesMut::new();
                if let Some(log) = logs.get(&partition.partition) {
                    data.high_watermark = log.end.0;
                    let from = Offset(partition.fetch_offset);
                    let first = log.batches.partition_point(|(h, _)| h.next_offset() <= from);
                    for (_, batch) in &log.batches[first..] {
                        if records.len() > partition.partition_max_bytes as usize {
                            break;
                        }
                        records.extend_from_slice(batch);
                    }
                }
                empty &= records.is_empty();
                data.records = Some(records.freeze());
                told.partitions.push(data);
            }
            answer.responses.push(told);
        }
        if empty {
            let wait = Duration::from_millis(request.max_wait_ms as u64);
            self.world.sleep_until(self.world.now() + wait).await;
        }
        told(asked, &answer)
    }

    fn list(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let mut answer = ListOffsetsResponse::default();
        for topic in &request.topics {
            let mut told = list_offsets_response::ListOffsetsTopicResponse::default();
            told.name = topic.name.clone();
            for asked in &topic.partitions {
                let mut partition = list_offsets_response::ListOffsetsPartitionResponse::default();
                partition.partition_index = asked.partition_index;
                let logs = self.logs.lock();
                let end = logs.get(&asked.partition_index).map_or(Offset::ZERO, |log| log.end);
                partition.offset = if asked.timestamp == -1 { end.0 } else { 0 };
                told.partitions.push(partition);
            }
            answer.topics.push(told);
        }
        answer
    }
}

fn told<M: KafkaResponse>(to: &Request, answer: &M) -> BytesMut {
    encode_response(to.header.correlation_id, to.header.api_version, answer).unwrap()
}
