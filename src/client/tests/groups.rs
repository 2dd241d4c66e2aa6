//! Consumers of a group over real sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::toy::Toy;
use super::{config, run, toy};
use crate::base::config::{ConsumerConfig, ProducerConfig};
use crate::base::{Offset, TopicPartition};
use crate::client::{
    CommittedOffset, ConsumeError, Consumer, Producer, ProducerRecord, RebalanceListener, Told,
};
use crate::io::World;
use crate::io::real::RealWorld;

const SECOND: Duration = Duration::from_secs(1);

fn orders(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A member of `shop`, with short sessions.
fn member(
    world: &RealWorld,
    toy: &Toy<RealWorld>,
    settings: &[(&str, &str)],
) -> Consumer<RealWorld> {
    toy.model.lock().coordinate("shop", Ok(1));
    let mut all = vec![
        ("group.id", "shop"),
        ("auto.offset.reset", "earliest"),
        ("session.timeout.ms", "1000"),
        ("heartbeat.interval.ms", "100"),
        ("fetch.max.wait.ms", "50"),
    ];
    all.extend(settings);
    Consumer::new(world.clone(), config::<_, ConsumerConfig>(toy, &all)).unwrap()
}

async fn send(world: &RealWorld, toy: &Toy<RealWorld>, partition: i32, values: &[&str]) {
    let producer = Producer::start(world.clone(), config::<_, ProducerConfig>(toy, &[])).unwrap();
    for value in values {
        let record = ProducerRecord::new("orders", (*value).to_owned()).to_partition(partition);
        producer.send(record).await.await.unwrap();
    }
    producer.close(SECOND).await;
}

/// Polls until so many records have come.
async fn read(consumer: &mut Consumer<RealWorld>, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    for _ in 0..100 {
        for record in consumer.poll(Duration::from_millis(100)).await.unwrap() {
            values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
        }
        if values.len() >= count {
            break;
        }
    }
    values
}

/// Writes down what it is told, and commits before partitions are revoked.
#[derive(Default)]
struct Diary {
    lines: Mutex<Vec<String>>,
    commits: bool,
}

impl Diary {
    fn write(&self, what: &str, partitions: &[TopicPartition]) {
        let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        self.lines.lock().push(format!("{what} {}", names.join(",")));
    }
}

impl<W: World> RebalanceListener<W> for Diary {
    fn revoked<'a>(
        &'a self,
        consumer: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            self.write("revoked", partitions);
            if self.commits {
                consumer.commit_sync(SECOND).await.unwrap();
            }
        })
    }

    fn assigned<'a>(
        &'a self,
        _: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        self.write("assigned", partitions);
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn member_that_closes_leaves_its_offsets_to_the_next_one() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 2).await;
        send(&world, &toy, 0, &["a", "b"]).await;
        let mut first = member(&world, &toy, &[]);
        first.subscribe(["orders"]).unwrap();
        assert_eq!(read(&mut first, 2).await, ["a", "b"]);
        assert_eq!(first.assignment(), [orders(0), orders(1)]);
        first.close(SECOND).await;
        assert_eq!(toy.coordinator.lock().members(), 0, "it has left");
        send(&world, &toy, 0, &["c"]).await;
        let mut second = member(&world, &toy, &[]);
        second.subscribe_pattern("ord.*").unwrap();
        assert_eq!(read(&mut second, 1).await, ["c"], "it begins where the first one ended");
        let found = second.committed(&[orders(0), orders(1)], SECOND).await.unwrap();
        let offsets = found.values().map(|found| found.as_ref().map(|at| at.offset));
        assert_eq!(offsets.collect::<Vec<_>>(), [Some(Offset(2)), Some(Offset(0))]);
    });
}

#[test]
fn listener_commits_before_its_partitions_go_to_another_member() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 2).await;
        send(&world, &toy, 0, &["a"]).await;
        send(&world, &toy, 1, &["b"]).await;
        let settings = [
            ("enable.auto.commit", "false"),
            ("partition.assignment.strategy", "cooperative-sticky"),
        ];
        let mut first = member(&world, &toy, &settings);
        let diary = Arc::new(Diary { commits: true, ..Diary::default() });
        first.set_listener(diary.clone());
        first.subscribe(["orders"]).unwrap();
        assert_eq!(read(&mut first, 2).await.len(), 2);
        let mut second = member(&world, &toy, &settings);
        second.subscribe(["orders"]).unwrap();
        for _ in 0..50 {
            first.poll(Duration::from_millis(20)).await.unwrap();
            assert!(second.poll(Duration::from_millis(20)).await.unwrap().is_empty());
            if second.assignment() == [orders(1)] {
                break;
            }
        }
        assert_eq!((first.assignment(), second.assignment()), (vec![orders(0)], vec![orders(1)]));
        let lines = diary.lines.lock().clone();
        let expected = ["assigned orders-0,orders-1", "revoked orders-1", "assigned "];
        assert_eq!(lines[..3], expected, "{lines:?}");
        assert_eq!(toy.coordinator.lock().committed[&orders(1)], Offset(1));
        second.unsubscribe().await;
        assert!(second.assignment().is_empty());
    });
}

#[test]
fn member_stays_in_its_group_while_it_processes_and_loses_it_when_dropped() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let mut first = member(&world, &toy, &[]);
        first.subscribe(["orders"]).unwrap();
        first.poll(Duration::from_millis(500)).await.unwrap();
        assert_eq!(first.assignment(), [orders(0)]);
        let generation = toy.coordinator.lock().generation;
        world.sleep_until(world.now() + 3 * SECOND).await;
        assert_eq!(toy.coordinator.lock().members(), 1, "heartbeats leave between polls");
        assert_eq!(toy.coordinator.lock().generation, generation);
        drop(first);
        world.sleep_until(world.now() + 2 * SECOND).await;
        assert_eq!(toy.coordinator.lock().members(), 0, "its session is over");
    });
}

#[test]
fn paused_partition_keeps_its_records_until_it_is_resumed() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 2).await;
        send(&world, &toy, 0, &["a"]).await;
        send(&world, &toy, 1, &["b"]).await;
        let mut consumer = member(&world, &toy, &[]);
        consumer.assign(vec![orders(0), orders(1)]);
        consumer.pause(&[orders(0)]);
        assert_eq!(
            (read(&mut consumer, 1).await, consumer.paused()),
            (vec!["b".into()], vec![orders(0)])
        );
        assert!(consumer.poll(Duration::from_millis(200)).await.unwrap().is_empty());
        consumer.resume(&[orders(0)]);
        assert_eq!(read(&mut consumer, 1).await, ["a"]);
    });
}

#[test]
fn offsets_of_partitions_assigned_by_hand_are_committed_for_the_group() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        send(&world, &toy, 0, &["a", "b", "c"]).await;
        let settings = [("enable.auto.commit", "false")];
        let mut consumer = member(&world, &toy, &settings);
        consumer.assign(vec![orders(0)]);
        let two = BTreeMap::from([(orders(0), CommittedOffset::at(Offset(2)))]);
        consumer.commit_async(Some(two)).await.unwrap();
        assert_eq!(read(&mut consumer, 1).await, ["c"]);
        consumer.commit_sync(SECOND).await.unwrap();
        assert_eq!(toy.coordinator.lock().committed[&orders(0)], Offset(3));
        let mut alone =
            Consumer::new(world.clone(), config::<_, ConsumerConfig>(&toy, &[])).unwrap();
        assert_eq!(alone.subscribe(["orders"]), Err(ConsumeError::NoGroup));
        assert_eq!(alone.commit_async(None).await, Err(ConsumeError::NoGroup));
    });
}

#[test]
fn commit_without_a_coordinator_times_out() {
    run(async {
        let world = RealWorld::new();
        let toy = toy(&world, 1).await;
        let mut consumer = member(&world, &toy, &[]);
        toy.model.lock().coordinate("shop", Err(crate::wire::ErrorCode::CoordinatorNotAvailable));
        consumer.assign(vec![orders(0)]);
        let offsets = BTreeMap::from([(orders(0), CommittedOffset::at(Offset(2)))]);
        let committed = consumer.commit_offsets(offsets, Duration::from_millis(300)).await;
        assert_eq!(committed, Err(ConsumeError::TimedOut));
        toy.model.lock().coordinate("shop", Ok(1));
        let committed = consumer.committed(&[orders(0)], 5 * SECOND).await.unwrap();
        assert_eq!(committed[&orders(0)], None, "it was not sent later");
    });
}
