//! Markers over real sockets, to brokers that play a script.

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::super::markers::tests::{image_at, markers, response};
use super::*;
use crate::io::real::{RealNet, RealWorld};
use crate::io::{Address, Listener, Net, timeout};
use crate::rpc::Frames;
use crate::wire::ErrorCode;
use crate::wire::api::{self, Api};
use crate::wire::frame::{decode_request, encode_response};
use crate::wire::messages::ApiVersionsRequest;

/// A broker that answers each WriteTxnMarkers with the next of these responses, and then closes.
async fn broker(world: &RealWorld, answers: Vec<WriteTxnMarkersResponse>) -> Address {
    let net: &RealNet = world.net();
    let mut listener = net.bind(&Address::new("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_address().unwrap();
    world.spawn("peer", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut out) = tokio::io::split(stream);
        let mut frames = Frames::new(reader, 1 << 20);
        let mut answers = answers.into_iter();
        while let Ok(Some(frame)) = frames.next().await {
            let asked = decode_request(frame).unwrap();
            let (id, version) = (asked.header.correlation_id, asked.header.api_version);
            let answer = match asked.decode::<ApiVersionsRequest>() {
                Ok(_) if asked.header.api_key == api::key::API_VERSIONS => {
                    let served = [Api::of::<WriteTxnMarkersRequest>(1, 2)];
                    encode_response(id, version, &api::versions(&served))
                }
                _ => match answers.next() {
                    Some(answer) => encode_response(id, version, &answer),
                    None => return,
                },
            };
            out.write_all(&answer.unwrap()).await.unwrap();
        }
    });
    address
}

/// A sender, and what it reports.
fn sender(world: &RealWorld) -> (Arc<MarkerSender<RealWorld>>, mpsc::UnboundedReceiver<Written>) {
    let (reports, written) = mpsc::unbounded_channel();
    let me = (BrokerId(1), "PLAINTEXT");
    (MarkerSender::new(world.clone(), me, move |one| drop(reports.send(one))), written)
}

async fn next(world: &RealWorld, written: &mut mpsc::UnboundedReceiver<Written>) -> Vec<i32> {
    let deadline = world.now() + Duration::from_secs(20);
    let written = timeout(world, deadline, written.recv()).await.flatten().expect("a report");
    written.partitions.iter().map(|partition| partition.partition).collect()
}

#[tokio::test]
async fn markers_are_sent_until_every_partition_has_written_its_own() {
    let world = RealWorld::new();
    let errors = [(0, ErrorCode::None), (1, ErrorCode::NotEnoughReplicas)];
    let answers = vec![response(7, &errors), response(7, &[(1, ErrorCode::None)])];
    let first = broker(&world, answers).await;
    let (sender, mut written) = sender(&world);
    sender.image_changed(&image_at(&[first], &[Some(1), Some(1)]));
    sender.send(markers("a", 7, &[0, 1]));
    assert_eq!(next(&world, &mut written).await, [0]);
    assert_eq!(next(&world, &mut written).await, [1]);
}

#[tokio::test]
async fn markers_for_a_leader_that_is_gone_go_to_the_next_one() {
    let world = RealWorld::new();
    let gone = broker(&world, Vec::new()).await;
    let leader = broker(&world, vec![response(7, &[(0, ErrorCode::None)])]).await;
    let brokers = [gone, leader];
    let (sender, mut written) = sender(&world);
    sender.image_changed(&image_at(&brokers, &[Some(1)]));
    sender.send(markers("a", 7, &[0]));
    // It accepts the first request and closes; afterwards it refuses connections.
    world.sleep_until(world.now() + Duration::from_millis(120)).await;
    assert!(written.try_recv().is_err());
    sender.image_changed(&image_at(&brokers, &[Some(2)]));
    assert_eq!(next(&world, &mut written).await, [0]);
}
