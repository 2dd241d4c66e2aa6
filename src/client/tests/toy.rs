//! The model of a cluster behind a real socket: one broker, with troubles of its own.

mod admin;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI16, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::oneshot;

use crate::client::group::{Request as ToCoordinator, Response};
use crate::client::kernel::{CoordinatorKey, CoordinatorType};
use crate::client::testing::{Model, ModelCoordinator};
use crate::io::{Address, Listener, Net, Stream, World};
use crate::rpc::Frames;
use crate::wire::api::{self, Api, key};
use crate::wire::frame::{decode_request, encode_response};
use crate::wire::messages::api_versions_response::FinalizedFeatureKey;
use crate::wire::messages::*;
use crate::wire::{ErrorCode, Request};

/// The id of the only broker.
const ME: i32 = 1;

const FIND_COORDINATOR: i16 = FindCoordinatorRequest::API_KEY.value();

const JOIN: i16 = JoinGroupRequest::API_KEY.value();
const SYNC: i16 = SyncGroupRequest::API_KEY.value();
const HEARTBEAT: i16 = HeartbeatRequest::API_KEY.value();
const LEAVE: i16 = LeaveGroupRequest::API_KEY.value();
const COMMIT: i16 = OffsetCommitRequest::API_KEY.value();
const ADD_PARTITIONS: i16 = AddPartitionsToTxnRequest::API_KEY.value();
const ADD_OFFSETS: i16 = AddOffsetsToTxnRequest::API_KEY.value();
const COMMIT_OFFSETS: i16 = TxnOffsetCommitRequest::API_KEY.value();
const END: i16 = EndTxnRequest::API_KEY.value();
const COMMITTED: i16 = OffsetFetchRequest::API_KEY.value();

const SERVED: &[Api] = &[
    Api::of::<ProduceRequest>(3, 13),
    Api::of::<FetchRequest>(4, 18),
    Api::of::<ListOffsetsRequest>(1, 11),
    Api::of::<MetadataRequest>(0, 13),
    Api::of::<CreateTopicsRequest>(2, 7),
    Api::of::<InitProducerIdRequest>(0, 5),
    Api::of::<AddPartitionsToTxnRequest>(0, 3),
    Api::of::<AddOffsetsToTxnRequest>(0, 4),
    Api::of::<TxnOffsetCommitRequest>(0, 5),
    Api::of::<EndTxnRequest>(0, 5),
    Api::of::<JoinGroupRequest>(0, 9),
    Api::of::<SyncGroupRequest>(0, 5),
    Api::of::<HeartbeatRequest>(0, 4),
    Api::of::<LeaveGroupRequest>(0, 5),
    Api::of::<OffsetCommitRequest>(2, 10),
    Api::of::<OffsetFetchRequest>(1, 10),
    Api::of::<CreatePartitionsRequest>(0, 3),
    Api::of::<DescribeConfigsRequest>(1, 4),
    Api::of::<IncrementalAlterConfigsRequest>(0, 1),
    Api::of::<DescribeTopicPartitionsRequest>(0, 0),
];

/// Answers of the coordinator, and who waits for them.
#[derive(Default)]
struct Waiting {
    last: u64,
    open: BTreeMap<u64, oneshot::Sender<Response>>,
}

/// The only broker of a cluster with one topic, `orders`.
pub(super) struct Toy<W> {
    world: W,
    pub(super) model: Mutex<Model>,
    address: Address,
    /// Faults are drawn from it, if there are to be any.
    chaos: Option<Mutex<ChaCha12Rng>>,
    /// The newest version of FindCoordinator that it serves.
    pub(super) find_coordinator: AtomicI16,
    /// Of the feature `transaction.version`.
    pub(super) transaction_level: AtomicI16,
    pub(super) metadata_asked: AtomicUsize,
    pub(super) fetched: AtomicUsize,
    /// The group `shop`.
    pub(super) coordinator: Mutex<ModelCoordinator>,
    waiting: Mutex<Waiting>,
    pub(super) managed: Mutex<admin::Managed>,
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
            model: Mutex::new(Model::new(ME, &vec![ME; partitions as usize])),
            address: Address::new(at.host, port),
            chaos: chaos.map(Mutex::new),
            find_coordinator: AtomicI16::new(6),
            transaction_level: AtomicI16::new(0),
            metadata_asked: AtomicUsize::new(0),
            fetched: AtomicUsize::new(0),
            coordinator: Mutex::new(ModelCoordinator::new()),
            waiting: Mutex::default(),
            managed: Mutex::default(),
        });
        let toy3 = Arc::clone(&toy);
        world.spawn("toy coordinator", async move {
            loop {
                toy3.world.sleep_until(toy3.world.now() + Duration::from_millis(50)).await;
                toy3.coordinator.lock().advance(toy3.world.now());
                toy3.deliver();
            }
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
            key::API_VERSIONS => {
                let newest = self.find_coordinator.load(Ordering::Relaxed);
                let coordinators = Api::of::<FindCoordinatorRequest>(0, newest);
                let served = SERVED.iter().chain([&coordinators]);
                let mut answer = api::versions(served);
                answer.finalized_features_epoch = 1;
                answer.finalized_features.push(message!(FinalizedFeatureKey {
                    name: "transaction.version".into(),
                    min_version_level: 0,
                    max_version_level: self.transaction_level.load(Ordering::Relaxed),
                }));
                Some(response(asked, &answer))
            }
            FIND_COORDINATOR => Some(response(asked, &self.coordinators(asked))),
            key::METADATA => Some(response(asked, &self.metadata())),
            key::INIT_PRODUCER_ID | ADD_PARTITIONS | ADD_OFFSETS | COMMIT_OFFSETS | END => {
                self.transact(asked)
            }
            key::PRODUCE => self.produce(asked),
            key::FETCH => Some(self.fetch(asked).await),
            key::LIST_OFFSETS => {
                let answer = self.model.lock().list_offsets(ME, &asked.decode().unwrap());
                Some(response(asked, &answer))
            }
            key::CREATE_TOPICS => {
                let request: CreateTopicsRequest = asked.decode().unwrap();
                let mut created = create_topics_response::CreatableTopicResult::default();
                created.name = request.topics[0].name.clone();
                let mut answer = CreateTopicsResponse::default();
                answer.topics.push(created);
                Some(response(asked, &answer))
            }
            key::CREATE_PARTITIONS => {
                Some(response(asked, &self.managed.lock().extend(&asked.decode().unwrap())))
            }
            key::INCREMENTAL_ALTER_CONFIGS => {
                Some(response(asked, &self.managed.lock().alter(&asked.decode().unwrap())))
            }
            key::DESCRIBE_CONFIGS => {
                Some(response(asked, &self.managed.lock().describe(&asked.decode().unwrap())))
            }
            key::DESCRIBE_TOPIC_PARTITIONS => {
                Some(response(asked, &self.managed.lock().page(&asked.decode().unwrap())))
            }
            _ => self.ask_coordinator(asked).await,
        }
    }

    /// Hands a request to the coordinator, and waits for the answer, perhaps for a whole rebalance.
    async fn ask_coordinator(&self, asked: &Request) -> Option<BytesMut> {
        let request = match asked.header.api_key {
            JOIN => ToCoordinator::Join(asked.decode().unwrap()),
            SYNC => ToCoordinator::Sync(asked.decode().unwrap()),
            HEARTBEAT => ToCoordinator::Heartbeat(asked.decode().unwrap()),
            LEAVE => ToCoordinator::Leave(asked.decode().unwrap()),
            COMMIT => ToCoordinator::Commit(asked.decode().unwrap()),
            COMMITTED => ToCoordinator::Committed(asked.decode().unwrap()),
            other => panic!("the toy does not know API {other}"),
        };
        let (sender, answer) = oneshot::channel();
        let token = {
            let mut waiting = self.waiting.lock();
            waiting.last += 1;
            let token = waiting.last;
            waiting.open.insert(token, sender);
            token
        };
        self.coordinator.lock().handle(self.world.now(), token, &request);
        self.deliver();
        Some(match answer.await.ok()? {
            Response::Join(answer) => response(asked, &answer),
            Response::Sync(answer) => response(asked, &answer),
            Response::Heartbeat(answer) => response(asked, &answer),
            Response::Leave(answer) => response(asked, &answer),
            Response::Commit(answer) => response(asked, &answer),
            Response::ConsumerHeartbeat(answer) => response(asked, &answer),
            Response::Committed(answer) => response(asked, &answer),
        })
    }

    fn deliver(&self) {
        for (token, answer) in self.coordinator.lock().take_answers() {
            if let Some(sender) = self.waiting.lock().open.remove(&token) {
                drop(sender.send(answer));
            }
        }
    }

    fn coordinators(&self, asked: &Request) -> FindCoordinatorResponse {
        let request: FindCoordinatorRequest = asked.decode().unwrap();
        let names_one = asked.header.api_version <= 3;
        let ids = if names_one { vec![request.key] } else { request.coordinator_keys };
        let keys = ids.iter().map(|id| CoordinatorKey::new(CoordinatorType::Group, id.as_str()));
        let mut answer = self.model.lock().coordinators(&keys.collect::<Vec<_>>());
        for named in answer.coordinators.iter_mut().filter(|named| named.error_code == 0) {
            // The model's brokers have no real addresses.
            named.host = self.address.host.as_str().into();
            named.port = i32::from(self.address.port);
        }
        if names_one {
            let only = answer.coordinators.remove(0);
            (answer.error_code, answer.node_id) = (only.error_code, only.node_id);
            (answer.host, answer.port) = (only.host, only.port);
        }
        answer
    }

    fn metadata(&self) -> MetadataResponse {
        self.metadata_asked.fetch_add(1, Ordering::Relaxed);
        let mut answer = self.model.lock().metadata(&[]);
        answer.brokers[0].host = self.address.host.as_str().into();
        answer.brokers[0].port = i32::from(self.address.port);
        answer
    }

    /// Carries a request of a transaction out, perhaps, and answers, perhaps.
    fn transact(&self, asked: &Request) -> Option<BytesMut> {
        let (before, after) = (self.trouble(10) == Some(0), self.trouble(10) == Some(0));
        if before {
            return None;
        }
        let (mut model, version) = (self.model.lock(), asked.header.api_version);
        let answer = match asked.header.api_key {
            ADD_PARTITIONS => response(asked, &model.add_partitions(&asked.decode().unwrap())),
            ADD_OFFSETS => response(asked, &model.add_offsets(&asked.decode().unwrap())),
            COMMIT_OFFSETS => {
                let request = asked.decode().unwrap();
                response(asked, &model.commit_in_transaction(&request, version >= 5))
            }
            END => response(asked, &model.end(&asked.decode().unwrap(), version >= 5)),
            _ => response(asked, &model.init(&asked.decode().unwrap())),
        };
        (!after).then_some(answer)
    }

    /// A number below `sides`, if there are to be faults at all.
    fn trouble(&self, sides: u32) -> Option<usize> {
        let mut chaos = self.chaos.as_ref()?.lock();
        Some((chaos.next_u32() % sides) as usize)
    }

    /// Appends, perhaps, and answers, perhaps; `None`: the connection breaks.
    fn produce(&self, asked: &Request) -> Option<BytesMut> {
        if self.trouble(10) == Some(0) {
            return None;
        }
        let request: ProduceRequest = asked.decode().unwrap();
        let before = [ErrorCode::NotEnoughReplicas, ErrorCode::InvalidRecord];
        let after = [
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotLeaderOrFollower,
        ];
        let trouble = self.trouble(20);
        let answer = match trouble.and_then(|which| before.get(which)) {
            Some(error) => Model::refused(&request, *error),
            None => {
                let implicit = asked.header.api_version >= 12;
                let answer = self.model.lock().produce_in(ME, &request, implicit);
                let error = trouble.and_then(|which| after.get(which.wrapping_sub(before.len())));
                error.map_or(answer, |error| Model::refused(&request, *error))
            }
        };
        match (self.trouble(10), request.acks) {
            (Some(0), _) => None,
            (_, 0) => Some(BytesMut::new()),
            _ => Some(response(asked, &answer)),
        }
    }

    async fn fetch(&self, asked: &Request) -> BytesMut {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let request: FetchRequest = asked.decode().unwrap();
        let answer = self.model.lock().fetch(ME, &request);
        let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        if partitions.all(|data| data.records.as_ref().is_none_or(Bytes::is_empty)) {
            let wait = Duration::from_millis(request.max_wait_ms as u64);
            self.world.sleep_until(self.world.now() + wait).await;
        }
        response(asked, &answer)
    }
}

fn response<M: KafkaResponse>(to: &Request, answer: &M) -> BytesMut {
    encode_response(to.header.correlation_id, to.header.api_version, answer).unwrap()
}
