//! A node with several listeners: connection limits apply, other clients are served, and each
//! client gets the addresses of its own listener.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokerquake::base::config::NodeConfig;
use brokerquake::base::{Instant, Seed};
use brokerquake::broker::Node;
use brokerquake::io::{Address, Net, World, timeout};
use brokerquake::rpc::{Connection, Frames};
use brokerquake::sim::leap::Leap;
use brokerquake::sim::{Boot, Engine, Link};
use brokerquake::wire::frame::encode_request;
use brokerquake::wire::messages::{ApiVersionsRequest, DescribeClusterRequest, MetadataRequest};
use tokio::io::AsyncWriteExt;

type LeapWorld = <Leap as Engine>::World;
type Stream = <<LeapWorld as World>::Net as Net>::Stream;

const PATIENCE: Duration = Duration::from_secs(5);
const EXTERNAL: u16 = 9092;
const INTERNAL: u16 = 9091;

/// The result of a request.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Closed,
    /// Neither within [`PATIENCE`].
    Waiting,
}

struct Client {
    world: LeapWorld,
    frames: Frames<Stream>,
}

impl Client {
    async fn connect(world: &LeapWorld, port: u16) -> Self {
        let stream = world.net().connect(&Address::new("server", port)).await.unwrap();
        Self { world: world.clone(), frames: Frames::new(stream, 1 << 20) }
    }

    async fn ask(&mut self) -> Fate {
        let request = encode_request(1, "crowd", 0, &ApiVersionsRequest::default()).unwrap();
        if self.frames.stream().write_all(&request).await.is_err() {
            return Fate::Closed;
        }
        self.wait().await
    }

    async fn wait(&mut self) -> Fate {
        let deadline = self.world.now() + PATIENCE;
        match timeout(&self.world, deadline, self.frames.next()).await {
            Some(Ok(Some(_))) => Fate::Answered,
            Some(Ok(None) | Err(_)) => Fate::Closed,
            None => Fate::Waiting,
        }
    }
}

async fn connect_and_ask(world: &LeapWorld, port: u16, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(world, port).await;
        assert_eq!(client.ask().await, Fate::Answered);
        clients.push(client);
    }
    clients
}

fn boot<F>(run: impl Fn(LeapWorld) -> F + Send + Sync + 'static) -> Boot<LeapWorld>
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |world| Box::pin(run(world)))
}

/// Runs a node with these settings, and a client on each of two other hosts.
fn run<A, B>(
    settings: &'static [(&str, &str)],
    first: fn(LeapWorld) -> A,
    second: fn(LeapWorld) -> B,
) where
    A: Future<Output = ()> + Send + 'static,
    B: Future<Output = ()> + Send + 'static,
{
    let mut leap = Leap::new(Seed(1), Link::default());
    leap.add_host(
        "server",
        boot(move |world: LeapWorld| async move {
            let mut config = NodeConfig::default();
            let listeners =
                "EXTERNAL://server:9092,INTERNAL://server:9091,CONTROLLER://server:9093";
            let node = [
                ("listeners", listeners),
                ("inter.broker.listener.name", "INTERNAL"),
                ("log.dirs", "/data"),
            ];
            config.set_all(node.into_iter().chain(settings.iter().copied())).unwrap();
            let node = Node::start(world, config).await.unwrap();
            node.run().await.unwrap();
        }),
    );
    let done: Arc<Mutex<u32>> = Arc::default();
    let count = done.clone();
    leap.add_host(
        "first",
        boot(move |world: LeapWorld| {
            let count = count.clone();
            async move {
                world.sleep_until(world.now() + Duration::from_secs(10)).await;
                first(world).await;
                *count.lock().unwrap() += 1;
            }
        }),
    );
    let count = done.clone();
    leap.add_host(
        "second",
        boot(move |world: LeapWorld| {
            let count = count.clone();
            async move {
                world.sleep_until(world.now() + Duration::from_secs(20)).await;
                second(world).await;
                *count.lock().unwrap() += 1;
            }
        }),
    );
    leap.run_until(Instant::from_secs(120));
    assert_eq!(*done.lock().unwrap(), 2, "clients that came to their end");
}

/// Waits until the other host has had its turn.
async fn pause(world: &LeapWorld, seconds: u64) {
    world.sleep_until(world.now() + Duration::from_secs(seconds)).await;
}

#[test]
fn an_address_at_its_limit_is_refused_until_it_closes_a_connection() {
    run(
        &[("max.connections.per.ip", "5")],
        |world| async move {
            let mut clients = connect_and_ask(&world, EXTERNAL, 3).await;
            clients.extend(connect_and_ask(&world, INTERNAL, 2).await);
            for port in [INTERNAL, EXTERNAL] {
                assert_eq!(Client::connect(&world, port).await.wait().await, Fate::Closed);
            }
            pause(&world, 20).await;
            clients.pop();
            pause(&world, 1).await;
            clients.extend(connect_and_ask(&world, EXTERNAL, 1).await);
            for client in &mut clients {
                assert_eq!(client.ask().await, Fate::Answered);
            }
        },
        |world| async move {
            connect_and_ask(&world, EXTERNAL, 5).await;
        },
    );
}

#[test]
fn a_connection_beyond_the_maximum_waits_and_brokers_go_first() {
    run(
        &[("max.connections", "4")],
        |world| async move {
            let mut clients = connect_and_ask(&world, EXTERNAL, 4).await;
            let mut waiting = Client::connect(&world, EXTERNAL).await;
            assert_eq!(waiting.ask().await, Fate::Waiting);
            clients.remove(0);
            assert_eq!(waiting.wait().await, Fate::Answered);
            // From now on the other host connects as a broker.
            pause(&world, 15).await;
            let mut evicted = clients.remove(0);
            assert_eq!(evicted.ask().await, Fate::Closed, "used least recently");
            for client in clients.iter_mut().chain([&mut waiting]) {
                assert_eq!(client.ask().await, Fate::Answered);
            }
        },
        |world| async move {
            let _broker = connect_and_ask(&world, INTERNAL, 1).await;
            pause(&world, 30).await;
        },
    );
}

#[test]
fn client_gets_the_addresses_of_its_own_listener() {
    async fn ports(world: LeapWorld, port: u16) -> [i32; 2] {
        let deadline = world.now() + PATIENCE;
        let to = Address::new("server", port);
        let connection = Connection::open(&world, &to, "client", deadline).await.unwrap();
        let asked = connection.call(&MetadataRequest::default(), None, deadline).await.unwrap();
        let described = connection.call(&DescribeClusterRequest::default(), None, deadline).await;
        [asked.brokers[0].port, described.unwrap().brokers[0].port]
    }
    run(
        &[],
        |world| async { assert_eq!(ports(world, EXTERNAL).await, [9092; 2]) },
        |world| async { assert_eq!(ports(world, INTERNAL).await, [9091; 2]) },
    );
}
