//! The drivers, over real sockets, against a toy broker.

mod admin;
mod consuming;
mod groups;
mod measuring;
mod toy;
mod transacting;
mod typed;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::toy::Toy;
use super::kernel::{CoordinatorKey, CoordinatorType};
use super::testing::TOPIC;
use super::*;
use crate::base::config::{AdminConfig, Config, ConsumerConfig, ProducerConfig};
use crate::base::{Offset, Seed, Stream, TopicPartition};
use crate::io::real::RealWorld;
use crate::io::{Address, World};
use crate::rpc::Pool;
use crate::wire::ErrorCode;

async fn toy(world: &RealWorld, partitions: i32) -> Arc<Toy<RealWorld>> {
    Toy::start(world, Address::new("127.0.0.1", 0), partitions, None).await
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

fn config<W: World, C: Config>(toy: &Toy<W>, settings: &[(&str, &str)]) -> C {
    let mut config = C::default();
    config.set("bootstrap.servers", &toy.servers()).unwrap();
    config.set_all(settings.iter().copied()).unwrap();
    config
}

async fn read_all(
    world: &RealWorld,
    toy: &Toy<RealWorld>,
    partitions: &[i32],
) -> Vec<ConsumerRecord> {
    let settings = [("auto.offset.reset", "earliest")];
    let mut consumer =
        Consumer::new(world.clone(), config::<_, ConsumerConfig>(toy, &settings)).unwrap();
    let assigned: Vec<_> = partitions.iter().map(|p| TopicPartition::new("orders", *p)).collect();
    consumer.assign(assigned.clone());
    let ends = consumer.end_offsets(&assigned, Duration::from_secs(10)).await.unwrap();
    let mut records = Vec::new();
    while assigned.iter().any(|p| consumer.position(p).is_none_or(|at| at < ends[p])) {
        records.extend(consumer.poll(Duration::from_secs(1)).await.unwrap());
    }
    records
}

#[test]
fn sent_records_are_read_back() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 3).await;
        let admin = Admin::new(world.clone(), config::<_, AdminConfig>(&toy, &[])).unwrap();
        admin.create_topic("orders", 3, 1, &[]).await.unwrap();
        let topics = admin.metadata(Some(&["orders"])).await.unwrap();
        assert_eq!((topics[0].partitions.len(), topics[0].id.into()), (3, TOPIC));

        let producer =
            Producer::start(world.clone(), config::<_, ProducerConfig>(&toy, &[])).unwrap();
        let mut deliveries = Vec::new();
        for n in 0..1000 {
            let record = ProducerRecord::new("orders", n.to_string()).with_key(format!("k{n}"));
            deliveries.push(producer.send(record).await);
        }
        producer.flush().await;
        let mut sent = Vec::new();
        for (n, delivery) in deliveries.into_iter().enumerate() {
            let stored = delivery.await.unwrap();
            sent.push((stored.partition, stored.offset.unwrap(), n.to_string()));
        }
        producer.close(Duration::from_secs(1)).await;
        let mut read: Vec<_> = read_all(&world, &toy, &[0, 1, 2])
            .await
            .into_iter()
            .map(|r| (r.partition, r.offset, String::from_utf8(r.value.unwrap().into()).unwrap()))
            .collect();
        sent.sort();
        read.sort();
        assert_eq!(sent, read);
        let spec = (TopicPartition::new("orders", 0), OffsetSpec::Latest);
        let listed = admin.list_offsets(std::slice::from_ref(&spec)).await.unwrap();
        assert_eq!(listed[&spec.0].offset, Some(toy.model.lock().log(0).end()));
    });
}

/// Sends records through a broker that breaks connections and refuses batches, before and after
/// it appends them, and compares every verdict with what is stored.
async fn compare_verdicts<W: World>(world: &W, toy: &Toy<W>, settings: &[(&str, &str)]) {
    let mut config: ProducerConfig = config(toy, settings);
    config.retry_backoff = Duration::from_millis(1);
    config.retry_backoff_max = Duration::from_millis(5);
    let idempotent = config.idempotent();
    let producer = Producer::start(world.clone(), config).unwrap();
    let mut deliveries = Vec::new();
    for n in 0..2000_usize {
        let record = ProducerRecord::new("orders", format!("{n:05}")).to_partition(0);
        deliveries.push(producer.send(record).await);
        if n % 10 == 0 {
            world.sleep_until(world.now() + Duration::from_micros(300)).await;
        }
    }
    let mut verdicts = Vec::new();
    for delivery in deliveries {
        verdicts.push(delivery.await);
    }
    let stored = toy.model.lock().log(0).values();
    let mut places: Vec<Vec<Offset>> = vec![Vec::new(); verdicts.len()];
    for (offset, value) in &stored {
        let n: usize = std::str::from_utf8(value).unwrap().parse().unwrap();
        places[n].push(*offset);
    }
    for (n, (verdict, places)) in verdicts.iter().zip(&places).enumerate() {
        match verdict {
            Ok(told) => assert!(
                told.offset.map_or(!places.is_empty(), |offset| places.contains(&offset)),
                "{n}: {told:?}, but it is at {places:?}",
            ),
            Err(error) if !error.may_be_stored => {
                assert!(places.is_empty(), "{n}: {error}, but it is at {places:?}");
            }
            Err(_) => {}
        }
        assert!(!idempotent || places.len() <= 1, "{n} is doubled: {places:?}");
    }
    let ordered = stored.windows(2).all(|pair| pair[0].1 < pair[1].1);
    assert!(!idempotent || ordered, "records are out of order");
    assert!(verdicts.iter().filter(|verdict| verdict.is_ok()).count() > 500);
}

#[test]
fn verdicts_are_true_under_faults() {
    let idempotent = [("batch.size", "150"), ("linger.ms", "0")];
    let impatient = [("batch.size", "150"), ("linger.ms", "0"), ("retries", "2")];
    let plain = [("batch.size", "150"), ("acks", "1"), ("enable.idempotence", "false")];
    for (seed, settings) in (0..).zip([&idempotent[..], &impatient, &plain]) {
        run(async {
            let world = RealWorld::new();
            let chaos = Seed(seed).stream(Stream::named("chaos"));
            let here = Address::new("127.0.0.1", 0);
            let toy = Toy::start(&world, here, 1, Some(chaos)).await;
            compare_verdicts(&world, &toy, settings).await;
        });
    }
}

#[test]
fn full_buffer_makes_senders_wait_until_memory_is_released() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let settings = [("buffer.memory", "2000"), ("batch.size", "1000"), ("linger.ms", "10000")];
        let producer =
            Producer::start(world.clone(), config::<_, ProducerConfig>(&toy, &settings)).unwrap();
        let mut deliveries = Vec::new();
        for _ in 0..100 {
            deliveries.push(producer.send(ProducerRecord::new("orders", vec![0; 500])).await);
        }
        producer.close(Duration::from_secs(10)).await;
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    });
}

#[test]
fn close_without_a_broker_ends_in_time_with_nothing_stored() {
    run(async {
        let world = RealWorld::new();
        let mut settings = ProducerConfig::default();
        settings.set("bootstrap.servers", "127.0.0.1:1").unwrap();
        let producer = Producer::start(world.clone(), settings).unwrap();
        let delivery = producer.send(ProducerRecord::new("orders", "a")).await;
        producer.close(Duration::from_millis(200)).await;
        assert!(!delivery.await.unwrap_err().may_be_stored);
        let late = producer.send(ProducerRecord::new("orders", "b")).await;
        assert_eq!(late.await.unwrap_err().cause, ProduceCause::Closed);
    });
}

#[test]
fn records_with_acks_0_are_acknowledged_when_written() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let settings = [("acks", "0"), ("enable.idempotence", "false")];
        let producer =
            Producer::start(world.clone(), config::<_, ProducerConfig>(&toy, &settings)).unwrap();
        let delivery = producer.send(ProducerRecord::new("orders", "a")).await;
        assert_eq!(delivery.await.unwrap().offset, None);
        producer.close(Duration::from_secs(1)).await;
        assert_eq!(read_all(&world, &toy, &[0]).await.len(), 1);
    });
}

#[test]
fn two_hundred_thousand_small_records_stay_in_order() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let settings = [("batch.size", "65536")];
        let producer =
            Producer::start(world.clone(), config::<_, ProducerConfig>(&toy, &settings)).unwrap();
        let begin = world.now();
        let mut last = None;
        for n in 0..200_000_u64 {
            let value = [&n.to_be_bytes()[..], &[b'x'; 92]].concat();
            last = Some(producer.send(ProducerRecord::new("orders", value)).await);
        }
        producer.flush().await;
        assert_eq!(last.unwrap().await.unwrap().offset.unwrap().0, 199_999);
        let seconds = world.now().since(begin).as_secs_f64();
        println!("{:.0} records/s, the toy broker included", 2e5 / seconds);
        let mut expected = 0;
        for record in read_all(&world, &toy, &[0]).await {
            assert_eq!(record.value.unwrap()[..8], u64::to_be_bytes(expected));
            expected += 1;
        }
        assert_eq!(expected, 200_000);
    });
}

#[test]
fn consumer_works_while_the_application_does_not_poll() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let settings = [("metadata.max.age.ms", "100"), ("auto.offset.reset", "earliest")];
        let mut consumer =
            Consumer::new(world.clone(), config::<_, ConsumerConfig>(&toy, &settings)).unwrap();
        let orders = TopicPartition::new("orders", 0);
        consumer.assign(vec![orders.clone()]);
        // Long enough only for a first question to leave.
        assert!(consumer.poll(Duration::ZERO).await.unwrap().is_empty());
        let producer =
            Producer::start(world.clone(), config::<_, ProducerConfig>(&toy, &[])).unwrap();
        let _ = producer.send(ProducerRecord::new("orders", "apples")).await.await.unwrap();
        for _ in 0..200 {
            world.sleep_until(world.now() + Duration::from_millis(20)).await;
            let refreshed = toy.metadata_asked.load(Ordering::Relaxed) > 4;
            if refreshed && consumer.high_watermark(&orders) == Some(Offset(1)) {
                break;
            }
        }
        assert!(toy.metadata_asked.load(Ordering::Relaxed) > 4, "metadata is kept fresh");
        assert_eq!(consumer.position(&orders), Some(Offset(0)), "nothing was returned yet");
        let fetched = toy.fetched.load(Ordering::Relaxed);
        let records = consumer.poll(Duration::ZERO).await.unwrap();
        assert_eq!(records[0].value.as_deref(), Some(&b"apples"[..]), "it was fetched ahead");
        assert_eq!(toy.fetched.load(Ordering::Relaxed), fetched, "no fetch was needed");
    });
}

#[test]
fn dropped_consumer_stops_its_background_work() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let settings = [("fetch.max.wait.ms", "10"), ("auto.offset.reset", "earliest")];
        let mut consumer =
            Consumer::new(world.clone(), config::<_, ConsumerConfig>(&toy, &settings)).unwrap();
        consumer.assign(vec![TopicPartition::new("orders", 0)]);
        consumer.poll(Duration::from_millis(200)).await.unwrap();
        let before = toy.fetched.load(Ordering::Relaxed);
        assert!(before > 2, "an idle consumer fetches again and again");
        drop(consumer);
        world.sleep_until(world.now() + Duration::from_millis(200)).await;
        let after = toy.fetched.load(Ordering::Relaxed);
        assert!(after <= before + 1, "{before} fetches before the drop, {after} after it");
    });
}

#[test]
fn coordinators_are_found_with_every_version_of_the_request() {
    run(async {
        let world = RealWorld::new();
        for version in 0..=6 {
            let toy = toy(&world, 1).await;
            toy.find_coordinator.store(version, Ordering::Relaxed);
            toy.model.lock().coordinate("a", Ok(1));
            let unauthorized = ErrorCode::GroupAuthorizationFailed;
            toy.model.lock().coordinate("b", Err(unauthorized));
            let backoff = (Duration::from_millis(50), Duration::from_secs(1));
            let pool = Pool::new(world.clone(), "test", kernel::connecting(backoff));
            let ask = toy.servers().parse().unwrap();
            let keys = ["b", "a"].map(|id| CoordinatorKey::new(CoordinatorType::Group, id)).into();
            let effect = kernel::Effect::Coordinators { ask, keys };
            let deadline = world.now() + Duration::from_secs(10);
            let input = kernel::carry_out(&pool, effect, deadline).await;
            let kernel::Input::Coordinators { answer: Some(answer), .. } = input else {
                panic!("version {version}: {input:?}");
            };
            let found = answer.coordinators.iter();
            let found: Vec<_> = found.map(|c| (c.key.as_str(), c.node_id, c.error_code)).collect();
            let (first, second) = (("b", -1, unauthorized.code()), ("a", 1, 0));
            // The older versions name one key; the kernel asks for the others again.
            let expected = if version < 4 { vec![first] } else { vec![first, second] };
            assert_eq!(found, expected, "version {version}");
        }
    });
}
