//! Requirements on every network. Each test runs on one host that connects to itself as `host`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use brokerquake::io::{
    Address, Disk, File, Listener, Net, Open, Part, Slice, Stream, World, timeout,
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

type StreamOf<W> = <<W as World>::Net as Net>::Stream;
type ListenerOf<W> = <<W as World>::Net as Net>::Listener;

async fn listen<W: World>(world: &W, host: &str) -> (ListenerOf<W>, Address) {
    let listener = world.net().bind(&Address::new(host, 0)).await.unwrap();
    let port = listener.local_address().unwrap().port;
    (listener, Address::new(host, port))
}

/// Two ends of one connection.
async fn pair<W: World>(world: &W, host: &str) -> (StreamOf<W>, StreamOf<W>) {
    let (mut listener, address) = listen(world, host).await;
    let (accepted, connected) = oneshot::channel();
    world.spawn("accept", async move {
        let _ = accepted.send(listener.accept().await.unwrap().0);
    });
    let near = world.net().connect(&address).await.unwrap();
    (near, connected.await.unwrap())
}

async fn soon<W: World, T>(world: &W, future: impl Future<Output = T>) -> T {
    let deadline = world.now() + Duration::from_secs(30);
    timeout(world, deadline, future).await.expect("within 30 s")
}

/// Bytes that encode their position.
fn pattern(len: usize, salt: u32) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 13) as u8)
        .collect()
}

pub async fn bytes_arrive_in_order<W: World>(world: &W, host: &str) {
    let (mut near, mut far) = pair(world, host).await;
    let sent = pattern(100_000, 1);
    let expected = sent.clone();
    world.spawn("write", async move {
        for piece in sent.chunks(7_001) {
            near.write_all(piece).await.unwrap();
        }
        near.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    soon(world, far.read_to_end(&mut received)).await.unwrap();
    assert!(received == expected);
}

pub async fn a_slow_reader_holds_the_writer_back<W: World>(world: &W, host: &str) {
    let (mut near, mut far) = pair(world, host).await;
    let written = Arc::new(Mutex::new(0));
    let count = written.clone();
    world.spawn("write", async move {
        let piece = vec![7; 64 * 1024];
        for _ in 0..1024 {
            near.write_all(&piece).await.unwrap();
            *count.lock() += piece.len();
        }
    });
    world.sleep_until(world.now() + Duration::from_millis(500)).await;
    let before = *written.lock();
    assert!(before < 48 * 1024 * 1024, "{before} bytes left without a reader");
    let mut received = vec![0; 64 * 1024 * 1024];
    soon(world, far.read_exact(&mut received)).await.unwrap();
    assert!(received.iter().all(|byte| *byte == 7));
}

pub async fn one_direction_may_end_while_the_other_goes_on<W: World>(world: &W, host: &str) {
    let (mut near, mut far) = pair(world, host).await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    soon(world, far.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "question");
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    let mut heard = String::new();
    soon(world, near.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "answer");
}

pub async fn a_dropped_stream_ends_for_its_peer<W: World>(world: &W, host: &str) {
    let (near, mut far) = pair(world, host).await;
    drop(near);
    let mut byte = [0];
    match soon(world, far.read(&mut byte)).await {
        Ok(0) => {}
        Ok(_) => panic!("nothing was sent"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    // Writing fails eventually, once the peer's refusal has arrived.
    let deadline = world.now() + Duration::from_secs(30);
    while far.write_all(b"anybody?").await.is_ok() {
        assert!(world.now() < deadline, "writes to a closed connection never fail");
        world.sleep_until(world.now() + Duration::from_millis(10)).await;
    }
}

pub async fn closed_port_refuses<W: World>(world: &W, host: &str) {
    let (listener, address) = listen(world, host).await;
    drop(listener);
    let refused = soon(world, world.net().connect(&address)).await;
    assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
}

pub async fn a_port_has_one_listener<W: World>(world: &W, host: &str) {
    let (_listener, address) = listen(world, host).await;
    let second = world.net().bind(&address).await;
    assert_eq!(second.err().map(|error| error.kind()), Some(ErrorKind::AddrInUse));
}

pub async fn sixty_four_mebibytes_arrive_unharmed<W: World>(world: &W, host: &str) {
    const SIZE: usize = 64 * 1024 * 1024;
    let (mut near, mut far) = pair(world, host).await;
    world.spawn("write", async move {
        let sent = pattern(SIZE, 2);
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
    });
    let mut received = Vec::with_capacity(SIZE);
    soon(world, far.read_to_end(&mut received)).await.unwrap();
    assert!(received == pattern(SIZE, 2));
}

pub async fn slices_of_files_arrive_between_bytes<W: World>(world: &W, host: &str) {
    let dir = PathBuf::from(format!("/tmp/brokerquake-conformance-{}", std::process::id()));
    world.disk().create_dir_all(&dir).unwrap();
    let path = dir.join("slices.log");
    let file = world.disk().open(&path, Open::OrCreate).unwrap();
    let content = pattern(3_000_000, 3);
    file.write_at(&content, 0).unwrap();

    let (mut near, mut far) = pair(world, host).await;
    let parts = vec![
        Part::Bytes(Bytes::from_static(b"head")),
        Part::Slice(Slice { file: file.clone(), offset: 17, len: 2_000_000 }),
        Part::Bytes(Bytes::from_static(b"middle")),
        Part::Slice(Slice { file: file.clone(), offset: 2_999_999, len: 1 }),
        Part::Bytes(Bytes::new()),
    ];
    world.spawn("send", async move {
        near.send(&parts).await.unwrap();
        near.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    soon(world, far.read_to_end(&mut received)).await.unwrap();
    let expected = [b"head", &content[17..2_000_017], b"middle", &content[2_999_999..]].concat();
    assert!(received == expected);

    // A slice beyond the end of its file is an error, never a truncated message.
    let (mut near, _far) = pair(world, host).await;
    let beyond = Part::Slice(Slice { file, offset: 2_999_999, len: 2 });
    let error = soon(world, near.send(&[beyond])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    world.disk().remove(&path).unwrap();
    world.disk().remove_dir(&dir).unwrap();
}

pub async fn many_connections_do_not_mix<W: World>(world: &W, host: &str) {
    let (mut listener, address) = listen(world, host).await;
    let server = world.clone();
    world.spawn("serve", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            server.spawn("echo", async move {
                let mut buffer = [0; 512];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..count]).await.unwrap();
                }
            });
        }
    });
    let (done, mut results) = mpsc::unbounded_channel();
    for client in 0..20u32 {
        let (world, address, done) = (world.clone(), address.clone(), done.clone());
        world.clone().spawn("client", async move {
            let mut stream = world.net().connect(&address).await.unwrap();
            for round in 0..20 {
                let sent = pattern(400, client * 100 + round);
                stream.write_all(&sent).await.unwrap();
                let mut received = vec![0; sent.len()];
                stream.read_exact(&mut received).await.unwrap();
                assert!(received == sent);
            }
            done.send(client).unwrap();
        });
    }
    let mut finished = Vec::new();
    while finished.len() < 20 {
        finished.push(soon(world, results.recv()).await.unwrap());
    }
    finished.sort_unstable();
    assert_eq!(finished, (0..20).collect::<Vec<_>>());
}

pub async fn timers_fire_in_order_and_not_early<W: World>(world: &W, _host: &str) {
    let start = world.now();
    let (fired, mut results) = mpsc::unbounded_channel();
    for millis in [60u64, 20, 40] {
        let (sleeper, fired) = (world.clone(), fired.clone());
        world.spawn("sleep", async move {
            let deadline = start + Duration::from_millis(millis);
            sleeper.sleep_until(deadline).await;
            assert!(sleeper.now() >= deadline);
            fired.send(millis).unwrap();
        });
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(soon(world, results.recv()).await.unwrap());
    }
    assert_eq!(order, [20, 40, 60]);
    // A deadline in the past ends at once.
    world.sleep_until(start).await;
    let late = timeout(world, start, std::future::pending::<()>()).await;
    assert!(late.is_none());
}
