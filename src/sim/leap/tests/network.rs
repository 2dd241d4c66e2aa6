//! Streams behave as TCP's users expect.

use std::io::{self, IoSlice};
use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::io::{Disk, File, Open, Part, Slice, Stream, timeout};
use crate::sim::run_to_end;

fn ends(hosts: Vec<(&'static str, Boot<LeapWorld>)>) -> Leap {
    run_to_end(Seed(3), hosts, Duration::from_secs(1000)).unwrap_or_else(|late| panic!("{late}"))
}

/// Accepts one connection and serves it.
fn serve_one<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(LeapWorld, LeapStream) -> F + Clone + Send + Sync + 'static,
) -> Boot<LeapWorld> {
    boot(move |world| {
        let serve = serve.clone();
        async move {
            let at = Address::new("0.0.0.0", 1);
            let mut listener = world.net().bind(&at).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            serve(world, stream).await;
        }
    })
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 / 7) as u8).collect()
}

#[test]
fn bytes_arrive_in_order_and_before_the_fin() {
    let sink = serve_one(|_, mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert!(all == pattern(3_000_000));
        stream.write_all(b"thanks").await.unwrap();
    });
    let source = boot(|world| async move {
        let mut stream = connect(&world, "sink").await;
        stream.write_all(&pattern(3_000_000)).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "thanks");
        assert_eq!(stream.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
    ends(vec![("sink", sink), ("source", source)]);
}

#[test]
fn message_takes_the_latency_of_its_link() {
    let client = boot(|world| async move {
        let mut stream = connect(&world, "echo").await;
        let start = world.now();
        for _ in 0..100 {
            ping(&mut stream).await.unwrap();
        }
        let took = world.now().since(start);
        assert!(took > Duration::from_micros(100 * 2 * 200));
        assert!(took < Duration::from_micros(100 * 2 * 1500));
    });
    let mut leap = leap();
    leap.add_host("echo", echo());
    let client = leap.add_host("client", client);
    leap.run_until(at(1_000));
    assert!(!leap.is_running(client));
}

#[test]
fn full_window_blocks_the_writer() {
    let reader = serve_one(|world, mut stream| async move {
        sleep(&world, ms(500)).await;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 1_000_000);
    });
    let writer = boot(|world| async move {
        let mut stream = connect(&world, "reader").await;
        let mut written = 0;
        while written < 1_000_000 {
            let deadline = world.now() + ms(100);
            let chunk = [0; 10_000];
            match timeout(&world, deadline, stream.write(&chunk)).await {
                Some(count) => written += count.unwrap(),
                None => {
                    assert!((64 * 1024..=256 * 1024).contains(&written), "{written}");
                    stream.write_all(&vec![0; 1_000_000 - written]).await.unwrap();
                    assert!(world.now() > at(500));
                    return;
                }
            }
        }
        panic!("nothing stopped the writer");
    });
    ends(vec![("reader", reader), ("writer", writer)]);
}

#[test]
fn closed_port_refuses_and_unknown_name_is_not_found() {
    let client = boot(|world| async move {
        let error = |to: &'static str| {
            let world = world.clone();
            async move { world.net().connect(&to.parse().unwrap()).await.err().unwrap().kind() }
        };
        assert_eq!(error("other:9").await, io::ErrorKind::ConnectionRefused);
        assert_eq!(error("localhost:9").await, io::ErrorKind::ConnectionRefused);
        assert_eq!(error("nobody:9").await, io::ErrorKind::NotFound);
    });
    let mut leap = leap();
    leap.add_host("other", idle());
    let client = leap.add_host("client", client);
    leap.run_until(at(100));
    assert!(!leap.is_running(client));
}

#[test]
fn a_port_is_taken_until_its_listener_is_dropped() {
    let host = boot(|world| async move {
        let at = Address::new("a", 9);
        let first = world.net().bind(&at).await.unwrap();
        let taken = world.net().bind(&at).await.err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        world.net().bind(&at).await.unwrap();
        let elsewhere = world.net().bind(&Address::new("b", 9)).await.err().unwrap();
        assert_eq!(elsewhere.kind(), io::ErrorKind::AddrNotAvailable);
        let chosen = world.net().bind(&Address::new("0.0.0.0", 0)).await.unwrap();
        assert!(chosen.local_address().unwrap().port >= 49152);
    });
    ends(vec![("a", host), ("b", boot(|_| async {}))]);
}

#[test]
fn dropping_a_stream_with_unread_bytes_resets_the_peer() {
    let rude = serve_one(|world, mut stream| async move {
        stream.read_exact(&mut [0; 3]).await.unwrap();
        drop(stream);
        sleep(&world, ms(100)).await;
    });
    let client = boot(|world| async move {
        let mut stream = connect(&world, "rude").await;
        stream.write_all(b"abcdef").await.unwrap();
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        stream.write_all(b"?").await.unwrap_err();
    });
    ends(vec![("rude", rude), ("client", client)]);
}

#[test]
fn dropping_a_drained_stream_sends_fin_then_resets_writes() {
    let polite = serve_one(|world, mut stream| async move {
        stream.read_exact(&mut [0; 3]).await.unwrap();
        stream.write_all(b"bye").await.unwrap();
        drop(stream);
        sleep(&world, ms(100)).await;
    });
    let client = boot(|world| async move {
        let mut stream = connect(&world, "polite").await;
        stream.write_all(b"abc").await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"bye");
        stream.write_all(b"are you there?").await.unwrap();
        sleep(&world, ms(10)).await;
        assert_eq!(stream.write(b"?").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(stream.write(b"?").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
    ends(vec![("polite", polite), ("client", client)]);
}

#[test]
fn dropped_listener_resets_pending_connections() {
    let server = boot(|world| async move {
        let listener = world.net().bind(&Address::new("server", 1)).await.unwrap();
        sleep(&world, ms(50)).await;
        drop(listener);
        sleep(&world, ms(50)).await;
    });
    let client = boot(|world| async move {
        let mut stream = connect(&world, "server").await;
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
    ends(vec![("server", server), ("client", client)]);
}

#[test]
fn file_slice_is_sent_in_order_with_other_parts() {
    let source = serve_one(|world, mut stream| async move {
        let file = world.disk().open(Path::new("/big"), Open::New).unwrap();
        file.write_at(&pattern(500_000), 0).unwrap();
        let slice = Slice { file, offset: 1_000, len: 400_000 };
        let parts = [
            Part::Bytes(Bytes::from_static(b"head")),
            Part::Slice(slice),
            Part::Bytes(Bytes::from_static(b"tail")),
        ];
        stream.send(&parts).await.unwrap();
    });
    let sink = boot(|world| async move {
        let mut stream = connect(&world, "source").await;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 400_008);
        assert!(all.starts_with(b"head") && all.ends_with(b"tail"));
        assert!(all[4..400_004] == pattern(500_000)[1_000..401_000]);
    });
    ends(vec![("source", source), ("sink", sink)]);
}

#[test]
fn message_of_several_parts_is_one_segment() {
    let source = serve_one(|world, mut stream| async move {
        let file = world.disk().open(Path::new("/small"), Open::New).unwrap();
        file.write_at(&pattern(700), 0).unwrap();
        let slice = Slice { file, offset: 100, len: 600 };
        let [head, tail] = [b"head", b"tail"].map(|text| Part::Bytes(Bytes::from_static(text)));
        stream.send(&[head, Part::Slice(slice), tail]).await.unwrap();
        let pieces = [IoSlice::new(b"one"), IoSlice::new(b"and"), IoSlice::new(b"more")];
        assert_eq!(stream.write_vectored(&pieces).await.unwrap(), 10);
    });
    let sink = boot(|world| async move {
        let mut all = Vec::new();
        connect(&world, "source").await.read_to_end(&mut all).await.unwrap();
        let expected = [b"head", &pattern(700)[100..], b"tail", b"oneandmore"].concat();
        assert!(all == expected, "{all:?}");
    });
    let mut leap = leap();
    leap.record_trace();
    leap.add_host("source", source);
    leap.add_host("sink", sink);
    leap.run_until(at(1_000));
    let trace = leap.take_trace();
    let sizes: Vec<&str> =
        trace.iter().filter_map(|line| line.split_once(" data ").map(|(_, size)| size)).collect();
    assert_eq!(sizes, ["608", "10"]);
}

#[test]
fn slots_of_closed_connections_are_reused() {
    let client = boot(|world| async move {
        for _ in 0..1_000 {
            let mut stream = connect(&world, "echo").await;
            ping(&mut stream).await.unwrap();
        }
    });
    let mut leap = leap();
    leap.add_host("echo", echo());
    let client = leap.add_host("client", client);
    leap.run_until(at(60_000));
    assert!(!leap.is_running(client));
    assert!(leap.shared.state.lock().net.places() < 10);
}
