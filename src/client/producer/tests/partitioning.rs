//! Which partition a record goes to.

use super::*;
use crate::client::producer::{Partitioner, Partitions, partition_of};

/// Batches of one record each, to three partitions that brokers 1 to 3 lead.
fn stage(settings: &[(&str, &str)]) -> Stage {
    let mut all = vec![("batch.size", "0")];
    all.extend_from_slice(settings);
    let mut stage = Stage::new(&all);
    stage.leaders = Some(vec![(1, 5), (2, 5), (3, 5)]);
    for partition in 0..3 {
        drop(stage.hand_over(any().to_partition(partition)));
        stage.step(Input::Tick);
        let order = stage.order();
        stage.stored(&order, 0);
    }
    stage
}

fn partition(order: &Order) -> i32 {
    order.message.topic_data[0].partition_data[0].index
}

/// Sends a record without a partition, and answers every broker but the first. Returns the partition
/// of the record; it is 0 if nothing left.
fn send_to_any(stage: &mut Stage, record: ProducerRecord) -> i32 {
    drop(stage.hand_over(record));
    stage.step(Input::Tick);
    let Some(order) = stage.orders.pop_front() else { return 0 };
    if order.to.host != "b1" {
        stage.stored(&order, 0);
    }
    partition(&order)
}

/// Lets broker 1 have five requests without an answer, and more batches wait.
fn block_first(stage: &mut Stage, queued: usize) {
    for _ in 0..5 + queued {
        drop(stage.hand_over(any().to_partition(0)));
        stage.step(Input::Tick);
    }
    assert_eq!(stage.orders.len(), 5, "as many as may be in flight");
    stage.orders.clear();
}

/// A record of a size of which two are no batch.
fn any() -> ProducerRecord {
    ProducerRecord::new("orders", vec![b'x'; 100])
}

#[test]
fn long_queue_gets_its_share_and_no_more() {
    let mut stage = stage(&[]);
    block_first(&mut stage, 4);
    // Queues of n, 0 and 0 get one, n + 1 and n + 1 shares.
    let (mut queue, mut expected, mut variance, mut got) = (4.0, 0.0, 0.0, 0.0);
    for _ in 0..2000 {
        let share = 1.0 / (2.0 * queue + 3.0);
        expected += share;
        variance += share * (1.0 - share);
        if send_to_any(&mut stage, any()) == 0 {
            (queue, got) = (queue + 1.0, got + 1.0);
        }
    }
    let error: f64 = (got - expected) / f64::sqrt(variance);
    assert!(error.abs() < 4.0, "got {got}, expected {expected}");
    assert!(expected < 100.0, "far less than a third");
}

#[test]
fn without_adaptive_partitioning_each_partition_gets_as_much() {
    let mut stage = stage(&[("partitioner.adaptive.partitioning.enable", "false")]);
    block_first(&mut stage, 4);
    let first = (0..900).filter(|_| send_to_any(&mut stage, any()) == 0).count();
    // A third of 900, with a standard deviation of 14.
    assert!((240..=360).contains(&first), "{first} of 900");
}

#[test]
fn partition_whose_broker_takes_no_request_is_avoided_after_the_timeout() {
    let mut stage = stage(&[("partitioner.availability.timeout.ms", "2000")]);
    block_first(&mut stage, 1);
    stage.pass(Duration::from_millis(2001));
    stage.orders.clear();
    let first = (0..500).filter(|_| send_to_any(&mut stage, any()) == 0).count();
    assert_eq!(first, 0);
}

#[test]
fn keys_choose_by_hash_unless_they_are_ignored() {
    let keyed = |n: usize| any().with_key(n.to_string());
    let mut hashed = stage(&[]);
    let mut ignoring = stage(&[("partitioner.ignore.keys", "true")]);
    let mut differ = 0;
    for n in 0..100 {
        let expected = partition_of(n.to_string().as_bytes(), 3);
        drop(hashed.hand_over(keyed(n)));
        hashed.step(Input::Tick);
        let order = hashed.order();
        assert_eq!(partition(&order), expected);
        hashed.stored(&order, 0);
        differ += usize::from(send_to_any(&mut ignoring, keyed(n)) != expected);
    }
    assert!(differ > 30, "{differ} of 100 went elsewhere");
}

#[test]
fn round_robin_is_chosen_by_its_key() {
    let mut stage = stage(&[("partitioner.class", "roundrobin")]);
    let mut partitions = Vec::new();
    for _ in 0..6 {
        drop(stage.hand_over(any().with_key("same")));
        stage.step(Input::Tick);
        let order = stage.order();
        partitions.push(partition(&order));
        stage.stored(&order, 0);
    }
    assert_eq!(partitions, [0, 1, 2, 0, 1, 2]);
}

/// Goes by the first byte of the value.
struct ByValue;

impl Partitioner for ByValue {
    fn partition(&mut self, record: &ProducerRecord, partitions: Partitions<'_>) -> i32 {
        assert!(partitions.count > 0, "the topic is known");
        i32::from(record.value.as_ref().unwrap()[0].cast_signed())
    }
}

fn by_value(settings: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::new(settings);
    stage.leaders = None;
    let other = Stage::new(settings).core.with_partitioner(Box::new(ByValue));
    stage.core = other;
    stage
}

#[test]
fn custom_partitioner_chooses_once_the_topic_is_known() {
    let mut stage = by_value(&[("max.block.ms", "5000")]);
    let mut second = stage.hand_over(ProducerRecord::new("orders", vec![2]));
    let mut negative = stage.hand_over(ProducerRecord::new("orders", vec![255]));
    let mut unknown = stage.hand_over(ProducerRecord::new("orders", vec![3]));
    stage.step(Input::Tick);
    stage.leaders = Some(vec![(1, 5); 3]);
    stage.step(told("b1:9092".parse().unwrap(), &[(1, 5); 3]));
    assert_eq!(error(&mut negative).cause, ProduceCause::InvalidPartition);
    let order = stage.order();
    assert_eq!(partition(&order), 2);
    stage.stored(&order, 0);
    assert_eq!(offset(&mut second), Some(Offset(0)));
    stage.pass(Duration::from_secs(5));
    assert_eq!(error(&mut unknown).cause, ProduceCause::UnknownTopic, "partition 3 is not there");
}

#[test]
fn negative_partition_is_refused() {
    let mut stage = stage(&[]);
    let mut refused = stage.hand_over(any().to_partition(-1));
    let expected = ProduceError { cause: ProduceCause::InvalidPartition, may_be_stored: false };
    assert_eq!(error(&mut refused), expected);
}

#[test]
fn partitioner_is_not_asked_again_after_a_wait_for_memory() {
    let settings = [("partitioner.class", "roundrobin"), ("buffer.memory", "200")];
    let mut stage = stage(&settings);
    let _first = stage.hand_over(ProducerRecord::new("orders", vec![0; 100]));
    let record = ProducerRecord::new("orders", vec![0; 100]);
    match stage.core.append(stage.now, Timestamp(0), record, None) {
        Taken::NoMemory { partition, bytes, record } => {
            assert_eq!((partition, bytes), (Some(1), 182));
            assert_eq!(record.partition, None, "the record is given back as it was");
        }
        Taken::Yes(_) => panic!("there was memory"),
    }
}

#[test]
fn record_that_does_not_fit_goes_elsewhere_once_its_partition_got_a_batchs_worth() {
    let mut stage = Stage::new(&[("batch.size", "1000"), ("linger.ms", "1000")]);
    stage.leaders = Some(vec![(1, 5); 50]);
    drop(stage.hand_over(any().to_partition(0)));
    stage.step(Input::Tick);
    // A batch has room for two. The fourth makes 1,000 bytes full, but not its batch; the fifth does.
    for _ in 0..6 {
        drop(stage.hand_over(ProducerRecord::new("orders", vec![b'y'; 400])));
    }
    stage.step(Input::Tick);
    stage.pass(Duration::from_secs(1));
    let mut sizes = std::collections::BTreeMap::new();
    while let Some(order) = stage.orders.pop_front() {
        for data in &order.message.topic_data[0].partition_data {
            let count = records(data.records.as_ref().unwrap(), 1 << 20).unwrap().len();
            sizes.entry(data.index).or_insert_with(Vec::new).push(count);
        }
        stage.stored(&order, 0);
    }
    assert_eq!(sizes.remove(&0), Some(vec![1]));
    let mut sizes: Vec<_> = sizes.into_values().collect();
    sizes.sort();
    assert_eq!(sizes, [vec![2], vec![2, 2]]);
}
