//! librdkafka changes topics of `serve` while they are in use.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use super::clients::clients::server::Server;
use super::clients::clients::traffic::{Load, Sent, consume_all, produce};

type Admin = AdminClient<DefaultClientContext>;

fn with_admin<T>(server: &Server, ask: impl AsyncFnOnce(&Admin, &AdminOptions) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config = ClientConfig::new();
    let admin: Admin = config.set("bootstrap.servers", server.bootstrap()).create().unwrap();
    runtime.block_on(ask(&admin, &AdminOptions::new()))
}

fn send(server: &Server, first: u64, partitions: i32, size: usize) -> Vec<Sent> {
    let load = Load { topic: "orders", codec: "none", acks: "all", first, count: 60, partitions };
    produce(&server.bootstrap(), &load, |_| size)
}

fn extend(server: &Server, count: usize) -> Result<String, (String, RDKafkaErrorCode)> {
    with_admin(server, async |admin, options| {
        let wanted = NewPartitions::new("orders", count);
        admin.create_partitions(&[wanted], options).await.unwrap().remove(0)
    })
}

#[test]
fn new_partitions_are_written_and_read_beside_the_old_ones() {
    let server = Server::start();
    server.create_topic("orders", 1, 1, &[]);
    assert!(send(&server, 0, 1, 100).iter().all(Sent::is_acknowledged));
    assert_eq!(extend(&server, 3), Ok("orders".into()));
    assert!(send(&server, 60, 3, 100).iter().all(Sent::is_acknowledged));
    assert_eq!(consume_all(&server.bootstrap(), "orders", 3).len(), 120);
    let fewer = extend(&server, 2).unwrap_err();
    assert_eq!(fewer, ("orders".into(), RDKafkaErrorCode::InvalidPartitions));
}

#[test]
fn settings_of_a_topic_count_at_once_and_survive_a_restart() {
    let mut server = Server::start();
    server.create_topic("orders", 1, 1, &[]);
    assert!(send(&server, 0, 1, 5000).iter().all(Sent::is_acknowledged));
    let alter = |server: &Server, key: &str, value: &str| {
        with_admin(server, async |admin, options| {
            let change = AlterConfig::new(ResourceSpecifier::Topic("orders")).set(key, value);
            admin.alter_configs(&[change], options).await.unwrap().remove(0).map(drop)
        })
    };
    assert_eq!(alter(&server, "max.message.bytes", "3000").map_err(|(_, error)| error), Ok(()));
    assert!(!send(&server, 60, 1, 5000).iter().any(Sent::is_acknowledged), "they are too large");
    assert!(send(&server, 120, 1, 10).iter().all(Sent::is_acknowledged));
    server.terminate();
    server.restart();
    assert!(!send(&server, 180, 1, 5000).iter().any(Sent::is_acknowledged), "and still are");
    // AlterConfigs replaces all settings; one that is refused leaves all of them. (The answer's error
    // does not come through this client.)
    let _ = alter(&server, "segment.ms", "0");
    assert!(!send(&server, 240, 1, 5000).iter().any(Sent::is_acknowledged), "and still are");
    assert_eq!(alter(&server, "segment.ms", "60000").map_err(|(_, error)| error), Ok(()));
    assert!(send(&server, 300, 1, 5000).iter().all(Sent::is_acknowledged));
}
