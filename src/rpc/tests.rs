//! Connections over real sockets, to peers that play a script.

mod pool;
mod timeless;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::*;
use crate::base::Instant;
use crate::io::real::{RealNet, RealStream, RealWorld};
use crate::io::{Address, Listener, Net, World, timeout};
use crate::wire::Request;
use crate::wire::api::{self, Api, key};
use crate::wire::frame::{decode_request, encode_response};
use crate::wire::messages::*;
use timeless::Timeless;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

fn soon(world: &impl World) -> Instant {
    world.now() + Duration::from_secs(20)
}

/// The other side of a connection.
struct Peer {
    frames: Frames<ReadHalf<RealStream>>,
    out: WriteHalf<RealStream>,
}

impl Peer {
    /// The next request; `None` when the other side has closed.
    async fn request(&mut self) -> Option<Request> {
        let frame = self.frames.next().await.ok().flatten()?;
        Some(decode_request(frame).unwrap())
    }

    async fn answer<M: KafkaResponse>(&mut self, to: &Request, response: &M) {
        let header = &to.header;
        let frame = encode_response(header.correlation_id, header.api_version, response).unwrap();
        self.out.write_all(&frame).await.unwrap();
    }

    /// Answers the ApiVersions request that every connection begins with.
    async fn negotiate(&mut self) {
        let asked = self.request().await.unwrap();
        assert_eq!(asked.header.api_key, key::API_VERSIONS);
        let served = [Api::of::<ProduceRequest>(3, 13), Api::of::<MetadataRequest>(0, 13)];
        self.answer(&asked, &api::versions(&served)).await;
    }

    /// Answers a Metadata request with the topic that it asks for.
    async fn echo(&mut self, asked: &Request) {
        let request: MetadataRequest = asked.decode().unwrap();
        let mut response = MetadataResponse::default();
        for topic in request.topics.unwrap() {
            let mut echoed = metadata_response::MetadataResponseTopic::default();
            echoed.name = topic.name;
            response.topics.push(echoed);
        }
        self.answer(asked, &response).await;
    }
}

/// Listens, and plays `script` for the first connection.
async fn peer<F>(
    world: &impl World<Net = RealNet>,
    script: impl FnOnce(Peer) -> F + Send + 'static,
) -> Address
where
    F: Future<Output = ()> + Send,
{
    let net: &RealNet = world.net();
    let mut listener = net.bind(&Address::new("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_address().unwrap();
    world.spawn("peer", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, out) = tokio::io::split(stream);
        script(Peer { frames: Frames::new(reader, 64 << 20), out }).await;
    });
    address
}

async fn connect<W: World>(world: &W, to: &Address) -> Connection<W> {
    Connection::open(world, to, "test", soon(world)).await.unwrap()
}

/// Asks for one topic, and returns the name that came back.
async fn ask(connection: &Connection<RealWorld>, topic: &str) -> Result<String, RpcError> {
    let mut wanted = metadata_request::MetadataRequestTopic::default();
    wanted.name = Some(StrBytes::from(topic));
    let mut request = MetadataRequest::default();
    request.topics = Some(vec![wanted]);
    let response = connection.call(&request, Some(9), soon(&RealWorld::new())).await?;
    Ok(response.topics[0].name.clone().unwrap().into_string())
}

#[test]
fn requests_in_flight_get_their_own_responses() {
    run(async {
        let world = RealWorld::new();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            let first = peer.request().await.unwrap();
            let second = peer.request().await.unwrap();
            let third = peer.request().await.unwrap();
            for asked in [first, second, third] {
                peer.echo(&asked).await;
            }
        })
        .await;
        let connection = connect(&world, &to).await;
        let asked =
            tokio::join!(ask(&connection, "a"), ask(&connection, "b"), ask(&connection, "c"));
        assert_eq!((asked.0.unwrap(), asked.1.unwrap()), ("a".into(), "b".into()));
        assert_eq!(asked.2.unwrap(), "c");
        assert_eq!(connection.in_flight(), 0);
    });
}

#[test]
fn dropped_call_leaves_the_connection_usable() {
    run(async {
        let world = RealWorld::new();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            while let Some(asked) = peer.request().await {
                peer.echo(&asked).await;
            }
        })
        .await;
        let connection = connect(&world, &to).await;
        for _ in 0..10 {
            tokio::select! {
                biased;
                _ = async { tokio::join!(ask(&connection, "left"), ask(&connection, "left")) } => {
                    panic!("nothing was polled but these calls");
                }
                () = std::future::ready(()) => {}
            }
            assert_eq!(ask(&connection, "stayed").await.unwrap(), "stayed");
        }
    });
}

#[test]
fn missed_deadline_closes_the_connection_for_all_calls() {
    run(async {
        let world = RealWorld::new();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            while peer.request().await.is_some() {}
        })
        .await;
        let connection = connect(&world, &to).await;
        let request = MetadataRequest::default();
        let early = world.now() + Duration::from_millis(50);
        let late = soon(&world);
        let (timed_out, other) = tokio::join!(
            connection.call(&request, None, early),
            connection.call(&request, None, late)
        );
        let timed_out = timed_out.unwrap_err();
        assert!(matches!(timed_out, RpcError::TimedOut { sent: true, .. }), "{timed_out}");
        assert!(timed_out.may_have_reached());
        let other = other.unwrap_err();
        assert!(matches!(other, RpcError::Disconnected { sent: true, .. }), "{other}");
        assert!(connection.is_closed());
        let after = ask(&connection, "late").await.unwrap_err();
        assert!(!after.may_have_reached(), "{after}");
    });
}

#[test]
fn closing_peer_fails_all_calls() {
    run(async {
        let world = RealWorld::new();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            peer.request().await.unwrap();
        })
        .await;
        let connection = connect(&world, &to).await;
        let error = ask(&connection, "x").await.unwrap_err();
        assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error}");
        assert!(connection.is_closed());
    });
}

#[test]
fn responses_out_of_order_close_the_connection() {
    run(async {
        let world = RealWorld::new();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            let first = peer.request().await.unwrap();
            let second = peer.request().await.unwrap();
            peer.echo(&second).await;
            peer.echo(&first).await;
            while peer.request().await.is_some() {}
        })
        .await;
        let connection = connect(&world, &to).await;
        let (first, second) = tokio::join!(ask(&connection, "a"), ask(&connection, "b"));
        assert!(first.unwrap_err().to_string().contains("was due"));
        assert!(second.unwrap_err().may_have_reached());
    });
}

#[test]
fn undecodable_response_closes_the_connection() {
    run(async {
        let world = RealWorld::new();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            let asked = peer.request().await.unwrap();
            let mut frame = 7u32.to_be_bytes().to_vec();
            frame.extend_from_slice(&asked.header.correlation_id.to_be_bytes());
            frame.extend_from_slice(&[0, 1, 2]);
            peer.out.write_all(&frame).await.unwrap();
            while peer.request().await.is_some() {}
        })
        .await;
        let connection = connect(&world, &to).await;
        let error = ask(&connection, "x").await.unwrap_err();
        assert!(matches!(error, RpcError::Answer { .. }), "{error}");
        assert!(connection.is_closed());
    });
}

#[test]
fn api_versions_falls_back_to_version_0() {
    run(async {
        let world = RealWorld::new();
        let to = peer(&world, |mut peer| async move {
            let asked = peer.request().await.unwrap();
            let refusal = api::unsupported_versions(&Api::of::<ApiVersionsRequest>(0, 0));
            let frame = encode_response(asked.header.correlation_id, 0, &refusal).unwrap();
            peer.out.write_all(&frame).await.unwrap();
            let asked = peer.request().await.unwrap();
            assert_eq!(asked.header.api_version, 0);
            peer.answer(&asked, &api::versions(&[Api::of::<FetchRequest>(4, 18)])).await;
            while peer.request().await.is_some() {}
        })
        .await;
        let connection = connect(&world, &to).await;
        assert_eq!(connection.version::<FetchRequest>(None).unwrap(), 18);
        assert_eq!(connection.version::<FetchRequest>(Some(12)).unwrap(), 12);
        assert!(connection.version::<FetchRequest>(Some(3)).is_err());
        let error = ask(&connection, "x").await.unwrap_err();
        assert!(matches!(error, RpcError::Unsupported { .. }), "{error}");
        assert!(!error.may_have_reached());
    });
}

#[test]
fn refused_connection_cannot_have_received_the_request() {
    run(async {
        let world = RealWorld::new();
        let free = {
            let listener = world.net().bind(&Address::new("127.0.0.1", 0)).await.unwrap();
            listener.local_address().unwrap()
        };
        let error = Connection::open(&world, &free, "test", soon(&world)).await.unwrap_err();
        assert!(matches!(error, RpcError::Connect { .. }), "{error}");
        assert!(!error.may_have_reached());
    });
}

#[test]
fn silent_peer_fails_the_connection_at_its_deadline() {
    run(async {
        let world = RealWorld::new();
        let to =
            peer(&world, |mut peer| async move { while peer.request().await.is_some() {} }).await;
        let deadline = world.now() + Duration::from_millis(50);
        let error = Connection::open(&world, &to, "test", deadline).await.unwrap_err();
        assert!(matches!(error, RpcError::Connect { .. }), "{error}");
    });
}

fn produce(records: &Bytes, acks: i16) -> ProduceRequest {
    let mut partition = produce_request::PartitionProduceData::default();
    partition.records = Some(records.clone());
    let mut topic = produce_request::TopicProduceData::default();
    topic.name = StrBytes::from("orders");
    topic.partition_data = vec![partition; 2];
    let mut request = ProduceRequest::default();
    request.acks = acks;
    request.topic_data = vec![topic];
    request
}

#[test]
fn large_batches_arrive_whole_between_other_requests() {
    run(async {
        let world = RealWorld::new();
        let records = Bytes::from((0..8_000_000u32).map(|n| n as u8).collect::<Vec<_>>());
        let expected = records.clone();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            let before = peer.request().await.unwrap();
            peer.echo(&before).await;
            let asked = peer.request().await.unwrap();
            let request: ProduceRequest = asked.decode().unwrap();
            assert_eq!(request.topic_data[0].partition_data.len(), 2);
            for partition in &request.topic_data[0].partition_data {
                assert!(partition.records.as_ref() == Some(&expected));
            }
            peer.answer(&asked, &ProduceResponse::default()).await;
            let after = peer.request().await.unwrap();
            peer.echo(&after).await;
        })
        .await;
        let connection = connect(&world, &to).await;
        let request = produce(&records, -1);
        let (before, produced, after) = tokio::join!(
            ask(&connection, "before"),
            connection.call(&request, Some(12), soon(&world)),
            ask(&connection, "after")
        );
        assert_eq!(before.unwrap(), "before");
        produced.unwrap();
        assert_eq!(after.unwrap(), "after");
    });
}

#[test]
fn queued_requests_leave_after_the_last_handle_is_dropped() {
    run(async {
        let world = Timeless::new();
        let (arrived, received) = tokio::sync::oneshot::channel();
        let (read, begins) = tokio::sync::oneshot::channel();
        let to = peer(&world, |mut peer| async move {
            peer.negotiate().await;
            begins.await.unwrap();
            let mut requests = 0;
            while let Some(asked) = peer.request().await {
                let request: ProduceRequest = asked.decode().unwrap();
                assert_eq!(request.acks, 0);
                requests += 1;
            }
            arrived.send(requests).unwrap();
        })
        .await;
        let connection = connect(&world, &to).await;
        // More than the sockets take while the peer does not read: the rest of the first request and
        // the others are queued by callers that give up at once, and let go with the connection.
        let records = Bytes::from(vec![1; 16 << 20]);
        for _ in 0..3 {
            let request = produce(&records, 0);
            tokio::select! {
                biased;
                _ = connection.send_only(&request, Some(12), soon(&world)) => panic!("not full"),
                () = std::future::ready(()) => {}
            }
        }
        read.send(()).unwrap();
        drop(connection);
        assert_eq!(received.await.unwrap(), 3);
    });
}

/// A peer that reports when it has read the end of the stream.
async fn peer_until_the_end(world: &RealWorld) -> (Address, impl Future<Output = bool>) {
    let (ended, end) = tokio::sync::oneshot::channel();
    let to = peer(world, |mut peer| async move {
        peer.negotiate().await;
        assert!(peer.request().await.is_none());
        ended.send(()).unwrap();
    });
    let to = to.await;
    let deadline = world.now() + Duration::from_secs(5);
    let world = world.clone();
    (to, async move { matches!(timeout(&world, deadline, end).await, Some(Ok(()))) })
}

#[test]
fn dropping_the_last_handle_closes_the_stream() {
    run(async {
        let world = RealWorld::new();
        let (to, ends) = peer_until_the_end(&world).await;
        let connection = connect(&world, &to).await;
        let other = connection.clone();
        drop(connection);
        assert!(!other.is_closed());
        drop(other);
        assert!(ends.await);
    });
}

#[test]
fn closed_connection_closes_its_socket_although_a_handle_is_kept() {
    run(async {
        let world = RealWorld::new();
        let (to, ends) = peer_until_the_end(&world).await;
        let connection = connect(&world, &to).await;
        let kept = connection.clone();
        connection.close();
        assert!(ends.await, "the peer never reads the end of the stream");
        assert!(kept.is_closed());
    });
}
