//! Hostile clients: a server answers, refuses or closes, and keeps serving others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokerquake::base::{Instant, Seed};
use brokerquake::broker::ListenerType;
use brokerquake::io::real::RealWorld;
use brokerquake::io::{Address, World};
use brokerquake::rpc::Connection;
use brokerquake::sim::leap::Leap;
use brokerquake::sim::{Boot, Engine, Link};
use brokerquake::wire::messages::MetadataRequest;

use super::super::server::Server;
use super::attacks::{Kind, attack, everything, sane_requests};
use super::samples::Target;
use super::stand_in;
use super::storm::{Tally, fire, storm};

const LISTENERS: [ListenerType; 2] = [ListenerType::Broker, ListenerType::Controller];

/// `BROKERQUAKE_SEED`, if it is set.
fn seed(default: u64) -> Seed {
    let set = std::env::var("BROKERQUAKE_SEED").ok();
    Seed(set.map_or(default, |seed| seed.parse().expect("BROKERQUAKE_SEED is a number")))
}

fn real<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

#[test]
fn attack_depends_on_its_number_alone() {
    let target = Target::default();
    for number in 0..200 {
        let make = || attack(Seed(5), number, ListenerType::Broker, &target);
        assert_eq!(make().bytes, make().bytes, "{}", make());
    }
    let first = |seed| attack(Seed(seed), 0, ListenerType::Broker, &target).bytes;
    assert!((0..10).map(first).collect::<BTreeSet<_>>().len() > 5);
}

#[test]
fn attacks_cover_every_request_in_every_version() {
    let target = Target::default();
    let mut attacked = BTreeSet::new();
    for listener in LISTENERS {
        let attacks = (0..10_000).map(|number| attack(Seed(1), number, listener, &target));
        let mut kinds = BTreeSet::new();
        for attack in attacks {
            kinds.insert(attack.kind);
            attacked.extend(attack.of);
        }
        assert_eq!(kinds.len(), Kind::ALL.len());
    }
    for api in everything() {
        for version in api.min..=api.max {
            assert!(attacked.contains(&(api.name, version)), "{} v{version}", api.name);
        }
    }
}

/// The layers below a broker: framing, headers, and the bodies of all requests.
#[test]
fn framing_and_decoding_survive_a_storm() {
    real(async {
        let world = RealWorld::new();
        for listener in LISTENERS {
            let to = stand_in::serve(&world, listener, "127.0.0.1", 0).await;
            let target = Target::default();
            let tally = storm(&world, &to, listener, &target, Seed(11), 0..1500).await;
            let tally = tally.unwrap_or_else(|why| panic!("{why}"));
            let reactions: BTreeSet<_> = tally.keys().map(|(_, reaction)| *reaction).collect();
            assert!(reactions.len() >= 2, "some are answered, some are refused: {tally:?}");
        }
    });
}

fn boot<W, F>(run: impl Fn(W) -> F + Send + Sync + 'static) -> Boot<W>
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |world| Box::pin(run(world)))
}

/// The same storm in a simulation with losses and delays; returns trace and tally.
fn simulated(seed: Seed) -> (u64, Tally) {
    let link = Link { loss: 0.02, ..Link::default() };
    let mut leap = Leap::new(seed, link);
    leap.add_host(
        "server",
        boot(|world: <Leap as Engine>::World| async move {
            stand_in::serve(&world, ListenerType::Broker, "server", 9092).await;
            std::future::pending().await
        }),
    );
    let outcome: Arc<Mutex<Option<Result<Tally, String>>>> = Arc::default();
    let told = Arc::clone(&outcome);
    leap.add_host(
        "stranger",
        boot(move |world: <Leap as Engine>::World| {
            let told = Arc::clone(&told);
            async move {
                world.sleep_until(world.now() + Duration::from_secs(1)).await;
                let to = Address::new("server", 9092);
                let target = Target::default();
                let tally = storm(&world, &to, ListenerType::Broker, &target, seed, 0..400).await;
                *told.lock().unwrap() = Some(tally);
            }
        }),
    );
    leap.run_until(Instant::from_secs(600));
    let tally = outcome.lock().unwrap().take().expect("a storm that ends");
    (leap.trace().0, tally.unwrap_or_else(|why| panic!("{why}")))
}

#[test]
fn simulated_storm_is_survived_and_deterministic() {
    let (trace, tally) = simulated(Seed(3));
    assert_eq!((trace, tally), simulated(Seed(3)));
    assert_ne!(trace, simulated(Seed(4)).0);
}

/// The topic's id, as any client can learn it.
async fn target(world: &RealWorld, server: &Server, topic: &str) -> Target {
    let to = server.bootstrap().parse().unwrap();
    let deadline = world.now() + Duration::from_secs(10);
    let connection = Connection::open(world, &to, "stranger", deadline).await.unwrap();
    let mut everything = MetadataRequest::default();
    everything.topics = None;
    let answer = connection.call(&everything, Some(12), deadline).await.unwrap();
    let found = answer.topics.into_iter().find(|found| found.name.as_deref() == Some(topic));
    Target { topic: topic.into(), topic_id: found.expect("the topic just made").topic_id }
}

/// The codec refuses to encode a field in a version that lacks it, so a response that is valid in
/// one version may fail in another.
#[test]
fn every_request_of_every_served_version_is_answered() {
    let server = Server::start();
    server.create_topic("orders", 2, 1, &[]);
    real(async {
        let world = RealWorld::new();
        let target = target(&world, &server, "orders").await;
        let mut unanswered = Vec::new();
        for (listener, to) in listeners(&server) {
            for request in sane_requests(listener, &target) {
                if let Err(why) = fire(&world, &to, &request).await {
                    unanswered.push(format!("{listener:?}, {request}: {why}"));
                }
            }
        }
        assert!(unanswered.is_empty(), "{}", unanswered.join("\n"));
    });
}

fn listeners(server: &Server) -> [(ListenerType, Address); 2] {
    let broker = server.bootstrap().parse().unwrap();
    let controller = server.controller_address().parse().unwrap();
    [(ListenerType::Broker, broker), (ListenerType::Controller, controller)]
}

#[test]
fn broker_and_controller_survive_a_storm() {
    let server = Server::start();
    server.create_topic("orders", 2, 1, &[]);
    real(async {
        let world = RealWorld::new();
        let target = target(&world, &server, "orders").await;
        for (listener, to) in listeners(&server) {
            let tally = storm(&world, &to, listener, &target, seed(21), 0..2000).await;
            tally.unwrap_or_else(|why| panic!("{listener:?}: {why}"));
        }
        let memory = server.resident_kib();
        assert!(memory < 300 << 10, "{memory} KiB after the storm");
    });
}
