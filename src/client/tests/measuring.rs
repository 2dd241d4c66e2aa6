//! Metrics of connections, and deadlines, over real sockets.

use super::*;
use crate::io::{Listener, Net};

#[test]
fn requests_and_bytes_are_counted_by_broker() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let producer =
            Producer::start(world.clone(), config::<_, ProducerConfig>(&toy, &[])).unwrap();
        let record = ProducerRecord::new("orders", "x".repeat(1000)).to_partition(0);
        producer.send(record).await.await.unwrap();
        let metrics = producer.metrics();
        let of_node = |name| metrics.of_node(name, 1).unwrap();
        // Versions on two connections, metadata, a producer id and the record.
        assert_eq!((of_node("request-total"), of_node("response-total")), (5.0, 5.0));
        assert!((1000.0..2000.0).contains(&of_node("outgoing-byte-total")));
        assert!((1000.0..1200.0).contains(&of_node("request-size-max")));
        assert!(of_node("incoming-byte-total") > 100.0 && of_node("request-rate") > 0.0);
        assert!(of_node("request-latency-avg") > 0.0);
        assert_eq!(metrics.get("request-total"), Some(5.0));
        assert_eq!(metrics.get("outgoing-byte-total"), Some(of_node("outgoing-byte-total")));
        let groups: std::collections::BTreeSet<_> =
            metrics.iter().map(|(name, _)| name.group).collect();
        let expected = ["producer-metrics", "producer-node-metrics", "producer-topic-metrics"];
        assert!(groups.into_iter().eq(expected));

        let settings = [("auto.offset.reset", "earliest")];
        let mut consumer =
            Consumer::new(world.clone(), config::<_, ConsumerConfig>(&toy, &settings)).unwrap();
        consumer.assign(vec![TopicPartition::new("orders", 0)]);
        assert_eq!(consumer.poll(Duration::from_secs(5)).await.unwrap().len(), 1);
        let metrics = consumer.metrics();
        assert!(metrics.of_node("incoming-byte-total", 1).unwrap() > 1000.0);
        assert!(metrics.of_node("request-latency-max", 1).unwrap() > 0.0);
    });
}

#[test]
fn address_of_no_known_broker_has_a_negative_id() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let silent = world.net().bind(&Address::new("127.0.0.1", 0)).await.unwrap();
        let servers = silent.local_address().unwrap().to_string();
        let mut settings: ConsumerConfig = config(&toy, &[]);
        settings.bootstrap_servers = vec![servers];
        let mut consumer = Consumer::new(world.clone(), settings).unwrap();
        consumer.assign(vec![TopicPartition::new("orders", 0)]);
        consumer.poll(Duration::from_millis(200)).await.unwrap();
        assert_eq!(consumer.metrics().of_node("request-total", -1), Some(1.0));
    });
}

#[test]
fn calls_without_a_timeout_end_after_the_default_one() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let settings = [("default.api.timeout.ms", "200"), ("group.id", "nobodys")];
        let mut consumer =
            Consumer::new(world.clone(), config::<_, ConsumerConfig>(&toy, &settings)).unwrap();
        let orders = TopicPartition::new("orders", 0);
        let began = world.now();
        // No broker coordinates this group.
        let error = consumer.committed(std::slice::from_ref(&orders), None).await.unwrap_err();
        let took = world.now().since(began);
        assert!((200..2000).contains(&took.as_millis()), "{took:?}");
        assert_eq!(error.name(), "TIMEOUT");
        let offsets = [(orders.clone(), CommittedOffset::at(Offset(1)))].into();
        let error = consumer.commit_offsets(offsets, None).await.unwrap_err();
        assert_eq!((error.name(), error.is_retriable()), ("TIMEOUT", true));
        let ends = consumer.end_offsets(&[orders], None).await.unwrap();
        assert_eq!(ends.len(), 1);
    });
}
