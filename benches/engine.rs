//! How fast simulated time passes: 5 hosts and 10 clients for 60 simulated seconds, on one core.
//!
//! `cargo bench --bench engine`. The figures to reach on leap: `idle` in at most 60 ms (1,000 times
//! real time), `busy` at a million messages per second or more. turmoil is measured beside it.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use brokerquake::base::{Instant, Seed};
use brokerquake::io::{Address, Listener, Net, World};
use brokerquake::sim::leap::Leap;
use brokerquake::sim::turmoil::Referee;
use brokerquake::sim::{Boot, Engine, Link};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SERVERS: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];
const CLIENTS: usize = 10;
/// Bytes of one message.
const MESSAGE: usize = 100;

fn boot<W: World, F: Future<Output = ()> + Send + 'static>(
    body: impl Fn(W) -> F + Send + Sync + 'static,
) -> Boot<W> {
    Arc::new(move |world| Box::pin(body(world)))
}

/// Sends each message back.
async fn serve<W: World>(world: W) {
    let at = Address::new("0.0.0.0", 1);
    let mut listener = world.net().bind(&at).await.expect("the port is free");
    while let Ok((mut stream, _)) = listener.accept().await {
        world.spawn("serve", async move {
            let mut message = [0; MESSAGE];
            while stream.read_exact(&mut message).await.is_ok() {
                if stream.write_all(&message).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Sends a message and waits for it to come back, again and again, resting in between.
async fn talk<W: World>(world: W, server: &'static str, rest: Duration, messages: Arc<AtomicU64>) {
    world.sleep_until(world.now() + Duration::from_millis(5)).await;
    let to = Address::new(server, 1);
    let mut stream = world.net().connect(&to).await.expect("the server listens");
    let mut message = [7; MESSAGE];
    loop {
        stream.write_all(&message).await.expect("the server lives");
        stream.read_exact(&mut message).await.expect("the server answers");
        messages.fetch_add(2, Ordering::Relaxed);
        if !rest.is_zero() {
            world.sleep_until(world.now() + rest).await;
        }
    }
}

/// Runs the cluster for a minute; how many messages arrived.
fn minute<E: Engine>(seed: u64, rest: Duration) -> u64 {
    let mut engine = E::new(Seed(seed), Link::default());
    for name in SERVERS {
        engine.add_host(name, boot(serve));
    }
    let messages = Arc::new(AtomicU64::new(0));
    for client in 0..CLIENTS {
        let (server, count) = (SERVERS[client % SERVERS.len()], messages.clone());
        let body = move |world| talk(world, server, rest, count.clone());
        engine.add_host(&format!("c{client}"), boot(body));
    }
    engine.run_until(Instant::from_secs(60));
    black_box(engine.trace());
    messages.load(Ordering::Relaxed)
}

fn bench<E: Engine>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(E::NAME);
    group.sample_size(10);
    // A heartbeat per client and half second.
    group.bench_function("idle", |b| b.iter(|| minute::<E>(1, Duration::from_millis(500))));
    group.throughput(Throughput::Elements(minute::<E>(1, Duration::ZERO)));
    group.bench_function("busy", |b| b.iter(|| minute::<E>(1, Duration::ZERO)));
    group.finish();
}

fn engines(criterion: &mut Criterion) {
    bench::<Leap>(criterion);
    bench::<Referee>(criterion);
}

criterion_group!(benches, engines);
criterion_main!(benches);
