//! What an application brings to a consumer, and asks of it, over real sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::toy::Toy;
use super::{config, run, toy};
use crate::base::config::{ConsumerConfig, ProducerConfig};
use crate::base::{Offset, Timestamp, TopicPartition};
use crate::client::{
    CommittedOffset, ConsumeError, Consumer, ConsumerInterceptor, ConsumerRecord, Deserializers,
    InterceptError, LongDeserializer, Producer, ProducerRecord, RecordPart, StringDeserializer,
};
use crate::io::World;
use crate::io::real::RealWorld;

const SECOND: Duration = Duration::from_secs(1);

fn orders(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn settings(toy: &Toy<RealWorld>, more: &[(&str, &str)]) -> ConsumerConfig {
    toy.model.lock().coordinate("shop", Ok(1));
    let mut all = vec![("auto.offset.reset", "earliest"), ("fetch.max.wait.ms", "50")];
    all.extend(more);
    config(toy, &all)
}

/// Records with these keys and values, one second of dates apart.
async fn send(world: &RealWorld, toy: &Toy<RealWorld>, records: &[(i64, &[u8])]) {
    let producer = Producer::start(world.clone(), config::<_, ProducerConfig>(toy, &[])).unwrap();
    for (key, value) in records {
        let record = ProducerRecord::new("orders", Bytes::copy_from_slice(value));
        let record = record.to_partition(0).with_key(key.to_be_bytes().to_vec());
        producer.send(record.at(Timestamp(key * 1_000))).await.await.unwrap();
    }
    producer.close(SECOND).await;
}

type Typed = Consumer<RealWorld, i64, String>;

fn typed(world: &RealWorld, toy: &Toy<RealWorld>) -> Typed {
    let deserializers = Deserializers::new(LongDeserializer, StringDeserializer);
    let group = [("group.id", "shop"), ("enable.auto.commit", "false")];
    let mut consumer =
        Consumer::deserializing(world.clone(), settings(toy, &group), deserializers).unwrap();
    consumer.assign(vec![orders(0)]);
    consumer
}

fn pairs(records: Vec<ConsumerRecord<i64, String>>) -> Vec<(i64, String)> {
    records.into_iter().map(|record| (record.key.unwrap(), record.value.unwrap())).collect()
}

async fn read(consumer: &mut Typed, count: usize) -> Vec<(i64, String)> {
    let mut read = Vec::new();
    while read.len() < count {
        read.extend(pairs(consumer.poll(SECOND).await.unwrap()));
    }
    read
}

#[test]
fn record_that_cannot_be_deserialized_stops_the_position_in_front_of_it() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        send(&world, &toy, &[(1, b"a"), (2, b"b"), (3, b"\xff"), (4, b"d")]).await;
        let mut consumer = typed(&world, &toy);
        let first = [(1, "a".to_owned()), (2, "b".to_owned())];
        assert_eq!(read(&mut consumer, 2).await, first);
        assert_eq!(consumer.position(&orders(0)), Some(Offset(2)));
        consumer.commit_sync(SECOND).await.unwrap();
        assert_eq!(toy.coordinator.lock().committed[&orders(0)], Offset(2));
        for _ in 0..2 {
            let problem = loop {
                match consumer.poll(SECOND).await {
                    Ok(records) => assert_eq!(records, []),
                    Err(problem) => break problem,
                }
            };
            let text = problem.to_string();
            let ConsumeError::Deserialization { record, part, .. } = problem else {
                panic!("{problem:?}");
            };
            assert_eq!((record.offset, part), (Offset(2), RecordPart::Value));
            assert_eq!(record.value.as_deref(), Some(&b"\xff"[..]), "for a dead letter queue");
            assert!(text.contains("the value of orders-0 at offset 2"), "{text}");
            assert_eq!(consumer.position(&orders(0)), Some(Offset(2)), "it stays");
        }
        consumer.seek(&orders(0), Offset(3));
        assert_eq!(read(&mut consumer, 1).await, [(4, "d".to_owned())]);
        let consumed = consumer.metrics().get("records-consumed-total");
        assert_eq!(consumed, Some(3.0), "the one that is not readable does not count");
    });
}

#[test]
fn null_is_not_deserialized() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let producer =
            Producer::start(world.clone(), config::<_, ProducerConfig>(&toy, &[])).unwrap();
        let mut tombstone = ProducerRecord::new("orders", "").to_partition(0);
        tombstone.value = None;
        producer.send(tombstone).await.await.unwrap();
        producer.close(SECOND).await;
        let mut consumer = typed(&world, &toy);
        let records = consumer.poll(5 * SECOND).await.unwrap();
        assert_eq!((records[0].key, records[0].value.as_ref()), (None, None));
    });
}

/// Counts what it sees; hides the record with a key, or fails.
#[derive(Default)]
struct Interceptor {
    hides: Option<i64>,
    fails: bool,
    seen: Mutex<Vec<i64>>,
    committed: Mutex<Vec<i64>>,
    closed: Mutex<bool>,
}

impl ConsumerInterceptor<i64, String> for Interceptor {
    fn on_consume(
        &self,
        records: &[ConsumerRecord<i64, String>],
    ) -> Result<Option<Vec<ConsumerRecord<i64, String>>>, InterceptError> {
        self.seen.lock().extend(records.iter().filter_map(|record| record.key));
        if self.fails {
            return Err("it always fails".into());
        }
        let others = records.iter().filter(|record| record.key != self.hides);
        Ok(self.hides.map(|_| others.cloned().collect()))
    }

    fn on_commit(
        &self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), InterceptError> {
        self.committed.lock().extend(offsets.values().map(|at| at.offset.0));
        if self.fails { Err("it always fails".into()) } else { Ok(()) }
    }

    fn close(&self) {
        *self.closed.lock() = true;
    }
}

#[test]
fn interceptors_see_records_and_commits_and_one_that_fails_is_skipped() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        send(&world, &toy, &[(1, b"a"), (2, b"b"), (3, b"c")]).await;
        let mut consumer = typed(&world, &toy);
        let hides = Arc::new(Interceptor { hides: Some(2), ..Interceptor::default() });
        let fails = Arc::new(Interceptor { fails: true, ..Interceptor::default() });
        let last = Arc::new(Interceptor::default());
        consumer.add_interceptor(hides.clone());
        consumer.add_interceptor(fails.clone());
        consumer.add_interceptor(last.clone());
        let read = read(&mut consumer, 2).await;
        assert_eq!(read, [(1, "a".to_owned()), (3, "c".to_owned())]);
        assert_eq!(*hides.seen.lock(), [1, 2, 3]);
        assert_eq!((fails.seen.lock().clone(), last.seen.lock().clone()), (vec![1, 3], vec![1, 3]));
        consumer.commit_sync(SECOND).await.unwrap();
        assert_eq!(*last.committed.lock(), [3], "what was hidden is read all the same");
        let offsets = BTreeMap::from([(orders(0), CommittedOffset::at(Offset(1)))]);
        consumer.commit_async(Some(offsets)).await.unwrap();
        consumer.poll(Duration::ZERO).await.unwrap();
        assert_eq!(*last.committed.lock(), [3, 1]);
        assert!(!*last.closed.lock());
        consumer.close(SECOND).await;
        assert!(*last.closed.lock());
    });
}

#[test]
fn stream_returns_record_by_record_and_commits_only_those() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        send(&world, &toy, &[(1, b"a"), (2, b"b"), (3, b"\xff"), (4, b"d")]).await;
        let mut consumer = typed(&world, &toy);
        let mut stream = consumer.stream();
        assert_eq!(stream.next().await.unwrap().key, Some(1));
        stream.consumer().commit_sync(SECOND).await.unwrap();
        assert_eq!(toy.coordinator.lock().committed[&orders(0)], Offset(1));
        assert_eq!(stream.next().await.unwrap().key, Some(2));
        // A call that is dropped half-way loses nothing.
        stream.consumer().seek(&orders(0), Offset(1));
        let early = crate::io::timeout(&world, world.now(), stream.next()).await;
        let again = match early {
            Some(again) => again.unwrap(),
            None => stream.next().await.unwrap(),
        };
        assert_eq!(again.key, Some(2));
        let problem = stream.next().await.unwrap_err();
        assert_eq!(problem.name(), "RECORD_DESERIALIZATION");
        stream.consumer().seek(&orders(0), Offset(3));
        assert_eq!(stream.next().await.unwrap().key, Some(4));
    });
}

#[test]
fn offsets_are_found_by_time() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 2).await;
        send(&world, &toy, &[(1, b"a"), (2, b"b"), (3, b"c")]).await;
        let mut consumer = Consumer::new(world.clone(), settings(&toy, &[])).unwrap();
        let times = |time| {
            let time = Timestamp(time);
            BTreeMap::from([(orders(0), time), (orders(1), time)])
        };
        let found = consumer.offsets_for_times(&times(1_001), 5 * SECOND).await.unwrap();
        let place = found[&orders(0)].unwrap();
        assert_eq!((place.offset, place.timestamp), (Offset(1), Timestamp(2_000)));
        assert_eq!(found[&orders(1)], None);
        let found = consumer.offsets_for_times(&times(3_001), 5 * SECOND).await.unwrap();
        assert_eq!(found[&orders(0)], None, "after the last record");
        let refused = consumer.offsets_for_times(&times(-1), 5 * SECOND).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "INVALID_TIMESTAMP: orders-0: the timestamp -1 is negative"
        );
        let both = [orders(0), orders(1)];
        let ends = consumer.end_offsets(&both, 5 * SECOND).await.unwrap();
        assert_eq!((ends[&orders(0)], ends[&orders(1)]), (Offset(3), Offset(0)));
        let starts = consumer.beginning_offsets(&both, 5 * SECOND).await.unwrap();
        assert_eq!(starts[&orders(0)], Offset(0));
    });
}

#[test]
fn member_measures_its_group() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        send(&world, &toy, &[(1, b"a")]).await;
        let group = [
            ("group.id", "shop"),
            ("group.instance.id", "till-1"),
            ("enable.auto.commit", "false"),
            ("heartbeat.interval.ms", "50"),
        ];
        let mut consumer = Consumer::new(world.clone(), settings(&toy, &group)).unwrap();
        consumer.subscribe(["orders"]).unwrap();
        assert_eq!(consumer.metrics().get("last-rebalance-seconds-ago"), Some(-1.0));
        while consumer.poll(SECOND).await.unwrap().is_empty() {}
        consumer.commit_sync(SECOND).await.unwrap();
        world.sleep_until(world.now() + Duration::from_millis(300)).await;
        let metrics = consumer.metrics();
        let get = |name| metrics.get(name).unwrap();
        assert_eq!((get("join-total"), get("sync-total"), get("rebalance-total")), (1.0, 1.0, 1.0));
        assert_eq!((get("commit-total"), get("assigned-partitions")), (1.0, 1.0));
        assert!(get("heartbeat-total") >= 2.0, "{}", get("heartbeat-total"));
        assert_eq!(get("last-rebalance-seconds-ago"), 0.0);
        for latency in
            ["join-time-avg", "sync-time-max", "rebalance-latency-avg", "commit-latency-avg"]
        {
            assert!(get(latency) > 0.0, "{latency}: {}", get(latency));
        }
        let member = consumer.group_metadata().unwrap();
        assert_eq!((&*member.group, member.instance.as_deref()), ("shop", Some("till-1")));
        assert!(member.generation > 0 && !member.member.is_empty(), "{member:?}");
        consumer.enforce_rebalance(Some("a new rack")).unwrap();
        for _ in 0..100 {
            consumer.poll(Duration::from_millis(20)).await.unwrap();
        }
        assert_eq!(consumer.metrics().get("rebalance-total"), Some(2.0));
    });
}

#[test]
fn what_needs_a_group_or_the_other_protocol_is_refused() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let mut alone = Consumer::new(world.clone(), settings(&toy, &[])).unwrap();
        assert_eq!(alone.enforce_rebalance(None), Err(ConsumeError::NoGroup));
        assert_eq!(alone.subscribe_regex("o.*"), Err(ConsumeError::NoGroup));
        assert_eq!(alone.group_metadata(), None);
        let group = [("group.id", "shop")];
        let mut member = Consumer::new(world.clone(), settings(&toy, &group)).unwrap();
        let refused = member.subscribe_regex("o.*").unwrap_err();
        assert!(refused.to_string().contains("group.protocol=consumer"), "{refused}");
    });
}
