//! `buffer.memory`: what takes it, who waits for it, and what that makes leave.

use super::*;

const SMALL: [(&str, &str); 3] =
    [("buffer.memory", "2000"), ("batch.size", "1000"), ("linger.ms", "100")];

/// Three partitions of one leader, their topic known.
fn stage(settings: &[(&str, &str)]) -> Stage {
    let mut stage = Stage::new(settings);
    stage.leaders = Some(vec![(1, 5); 3]);
    drop(stage.hand_over(to(0, 10)));
    stage.step(Input::Tick);
    stage.pass(Duration::from_secs(1));
    let order = stage.order();
    stage.stored(&order, 0);
    stage
}

fn to(partition: i32, size: usize) -> ProducerRecord {
    ProducerRecord::new("orders", vec![b'x'; size]).to_partition(partition)
}

fn available(stage: &Stage) -> f64 {
    stage.core.metrics(stage.now).get("buffer-available-bytes").unwrap()
}

/// The memory that a record has to wait for.
fn lacks(stage: &mut Stage, record: ProducerRecord) -> u64 {
    match stage.core.append(stage.now, Timestamp(0), record, None) {
        Taken::NoMemory { bytes, .. } => bytes,
        Taken::Yes(_) => panic!("there was memory"),
    }
}

#[test]
fn batch_takes_batch_size_from_its_first_record_to_its_verdict() {
    let mut stage = stage(&SMALL);
    assert_eq!(available(&stage), 2000.0);
    let _first = stage.hand_over(to(0, 10));
    let _second = stage.hand_over(to(1, 10));
    assert_eq!(available(&stage), 0.0);
    assert_eq!(lacks(&mut stage, to(2, 10)), 1000);
    let _third = stage.hand_over(to(0, 10));
    stage.pass(Duration::from_millis(100));
    assert_eq!(available(&stage), 0.0, "also while it is under way");
    let order = stage.order();
    stage.stored(&order, 1);
    assert_eq!(available(&stage), 2000.0);
}

#[test]
fn large_record_takes_what_it_needs_and_its_batch_has_room_for_no_more() {
    let mut stage = stage(&SMALL);
    // Header, lengths and deltas at most: 61 + 21.
    let _large = stage.hand_over(to(0, 1500));
    assert_eq!(available(&stage), 2000.0 - 1582.0);
    assert_eq!(lacks(&mut stage, to(0, 10)), 1000, "its batch is closed");
    stage.step(Input::Tick);
    assert_eq!(values(&stage.order())[0].len(), 1500, "and leaves at once");
}

#[test]
fn record_larger_than_memory_or_request_is_refused() {
    let mut stage = stage(&SMALL);
    let mut largest = stage.hand_over(to(0, 2000 - 82));
    assert!(verdict(&mut largest).is_none());
    let mut larger = stage.hand_over(to(0, 2000 - 81));
    let expected = ProduceError { cause: ProduceCause::RecordTooLarge, may_be_stored: false };
    assert_eq!(error(&mut larger), expected);
    let errors = stage.core.metrics(stage.now).get("record-error-total");
    assert_eq!(errors, Some(1.0));
}

#[test]
fn exhausted_memory_makes_lingering_batches_leave_and_waiters_get_theirs_in_order() {
    let mut stage = stage(&SMALL);
    let _first = stage.hand_over(to(0, 10));
    let _second = stage.hand_over(to(1, 10));
    stage.step(Input::Tick);
    assert!(stage.orders.is_empty(), "they linger");
    let bytes = lacks(&mut stage, to(2, 10));
    let (mut third, _) = stage.core.wait_for_memory(bytes);
    let (mut fourth, _) = stage.core.wait_for_memory(1200);
    stage.step(Input::Tick);
    let order = stage.order();
    assert_eq!(order.message.topic_data[0].partition_data.len(), 2);
    let metric = |stage: &Stage, name| stage.core.metrics(stage.now).get(name);
    assert_eq!(metric(&stage, "waiting-threads"), Some(2.0));
    stage.stored(&order, 1);
    assert!(third.try_recv().is_ok() && fourth.try_recv().is_err());
    let granted = Some(Granted { bytes, since: stage.now });
    let taken = stage.core.append(stage.now, Timestamp(0), to(2, 10), granted);
    assert!(matches!(taken, Taken::Yes(_)));
    stage.step(Input::Tick);
    let order = stage.order();
    stage.stored(&order, 0);
    assert!(fourth.try_recv().is_ok());
}

#[test]
fn granted_memory_is_given_back_when_a_batch_has_room_by_then() {
    let mut stage = stage(&SMALL);
    let _first = stage.hand_over(to(0, 10));
    let (mut granted, _) = stage.core.wait_for_memory(1000);
    assert!(granted.try_recv().is_ok() && available(&stage) == 0.0);
    let granted = Some(Granted { bytes: 1000, since: stage.now });
    let taken = stage.core.append(stage.now, Timestamp(0), to(0, 10), granted);
    assert!(matches!(taken, Taken::Yes(_)));
    assert_eq!(available(&stage), 1000.0);
}

#[test]
fn records_that_wait_for_metadata_get_batches_of_what_memory_there_is() {
    let mut stage = Stage::new(&SMALL);
    stage.leaders = None;
    let deliveries: Vec<_> = (0..3).map(|p| stage.hand_over(to(p, 100))).collect();
    stage.step(Input::Tick);
    assert_eq!(available(&stage), 2000.0 - 3.0 * 182.0);
    stage.step(told("b1:9092".parse().unwrap(), &[(1, 5); 3]));
    // The first gets 1000, the second what is left, the third keeps its own.
    assert_eq!(available(&stage), 0.0);
    stage.pass(Duration::from_millis(100));
    let order = stage.order();
    assert_eq!(order.message.topic_data[0].partition_data.len(), 3);
    stage.stored(&order, 0);
    assert_eq!(available(&stage), 2000.0);
    drop(deliveries);
}

#[test]
fn records_that_wait_for_metadata_share_batches_though_memory_is_exhausted() {
    let mut stage = Stage::new(&SMALL);
    stage.leaders = None;
    let deliveries: Vec<_> = (0..8).map(|_| stage.hand_over(to(0, 100))).collect();
    stage.step(Input::Tick);
    let (mut granted, _) = stage.core.wait_for_memory(1000);
    assert!(granted.try_recv().is_err());
    stage.step(told("b1:9092".parse().unwrap(), &[(1, 5); 3]));
    let order = stage.order();
    assert_eq!(values(&order).len(), 8, "in 61 + 8 * 109 bytes");
    assert!(granted.try_recv().is_ok());
    assert_eq!(available(&stage), 2000.0 - 1000.0 - 933.0);
    stage.stored(&order, 0);
    assert_eq!(available(&stage), 1000.0);
    drop(deliveries);
}

#[test]
fn max_block_ms_covers_the_wait_for_memory_and_for_metadata() {
    let mut stage = Stage::new(&[("max.block.ms", "5000")]);
    stage.leaders = Some(Vec::new());
    let (mut granted, patience) = stage.core.wait_for_memory(16384);
    assert!(granted.try_recv().is_ok() && patience == Duration::from_secs(5));
    let since = stage.now;
    stage.pass(Duration::from_secs(3));
    let granted = Some(Granted { bytes: 16384, since });
    let taken = stage.core.append(stage.now, Timestamp(0), to(0, 10), granted);
    let Taken::Yes(mut delivery) = taken else { panic!("memory was granted") };
    stage.step(Input::Tick);
    stage.pass(Duration::from_millis(1999));
    assert!(verdict(&mut delivery).is_none());
    stage.pass(Duration::from_millis(1));
    assert_eq!(error(&mut delivery).cause, ProduceCause::UnknownTopic);
    assert_eq!(available(&stage), 33_554_432.0);
}
