//! Metrics, with exact values.

use super::*;

fn metric(stage: &Stage, name: &str) -> f64 {
    stage.core.metrics(stage.now).get(name).unwrap_or_else(|| panic!("no metric {name}"))
}

fn of_topic(stage: &Stage, name: &str) -> f64 {
    stage.core.metrics(stage.now).of_topic(name, "orders").expect("it was sent to")
}

#[test]
fn sent_batch_is_measured() {
    let mut stage = Stage::new(&[("linger.ms", "5")]);
    assert!(metric(&stage, "batch-size-avg").is_nan());
    let _deliveries: Vec<_> = (0..3).map(|_| stage.send(&"x".repeat(100))).collect();
    stage.pass(Duration::from_millis(5));
    let order = stage.order();
    let size = order.message.topic_data[0].partition_data[0].records.as_ref().unwrap().len() as f64;
    assert_eq!(size, 61.0 + 3.0 * 109.0);
    assert_eq!((metric(&stage, "batch-size-avg"), metric(&stage, "batch-size-max")), (size, size));
    assert_eq!(metric(&stage, "record-queue-time-avg"), 5.0);
    assert_eq!(metric(&stage, "record-send-total"), 3.0);
    assert_eq!(metric(&stage, "records-per-request-avg"), 3.0);
    assert_eq!(metric(&stage, "record-size-max"), 182.0);
    assert_eq!(metric(&stage, "compression-rate-avg"), 1.0);
    assert_eq!(metric(&stage, "requests-in-flight"), 1.0);
    assert_eq!(metric(&stage, "record-send-rate"), 0.1, "3 records in a sample of 30 s");
    assert_eq!(of_topic(&stage, "record-send-total"), 3.0);
    assert_eq!(of_topic(&stage, "byte-total"), size);
    assert!(metric(&stage, "request-latency-avg").is_nan(), "it has no answer yet");
    stage.pass(Duration::from_millis(40));
    stage.stored(&order, 0);
    assert_eq!(metric(&stage, "request-latency-avg"), 40.0);
    assert_eq!(metric(&stage, "produce-throttle-time-max"), 0.0);
    assert_eq!(metric(&stage, "requests-in-flight"), 0.0);
    assert_eq!(metric(&stage, "record-error-total"), 0.0);
}

#[test]
fn compressed_batch_is_measured_by_its_size_on_the_wire() {
    let mut stage = Stage::new(&[("compression.type", "gzip")]);
    let _delivery = stage.send(&"x".repeat(1000));
    let size =
        stage.order().message.topic_data[0].partition_data[0].records.as_ref().unwrap().len();
    assert_eq!(metric(&stage, "batch-size-avg"), size as f64);
    let records = 1000.0 + 9.0;
    let rate = (size as f64 - 61.0) / records;
    assert!(rate < 0.1);
    assert_eq!(metric(&stage, "compression-rate-avg"), rate);
    assert_eq!(of_topic(&stage, "compression-rate"), rate);
}

#[test]
fn retries_and_failures_are_counted_in_records() {
    let mut stage = Stage::new(&[("retries", "1"), ("linger.ms", "5")]);
    let _deliveries: Vec<_> = (0..2).map(|n| stage.send(&n.to_string())).collect();
    stage.pass(Duration::from_millis(5));
    let order = stage.order();
    stage.refuse(&order, ErrorCode::NotEnoughReplicas);
    assert_eq!(
        (metric(&stage, "record-retry-total"), of_topic(&stage, "record-retry-total")),
        (2.0, 2.0)
    );
    stage.pass(Duration::from_secs(1));
    let order = stage.order();
    assert_eq!(metric(&stage, "record-send-total"), 4.0, "a retry is sent, too");
    stage.refuse(&order, ErrorCode::NotEnoughReplicas);
    assert_eq!(
        (metric(&stage, "record-error-total"), of_topic(&stage, "record-error-total")),
        (2.0, 2.0)
    );
    assert_eq!(metric(&stage, "record-retry-total"), 2.0);
}

#[test]
fn attempt_that_never_left_is_no_retry() {
    let mut stage = Stage::new(&[]);
    let _delivery = stage.send("a");
    let order = stage.order();
    stage.lose(&order, false);
    assert_eq!(metric(&stage, "record-retry-total"), 0.0);
}

#[test]
fn split_and_expired_batches_are_counted() {
    let mut stage = Stage::new(&[("linger.ms", "5"), ("delivery.timeout.ms", "31000")]);
    let _deliveries: Vec<_> = (0..4).map(|n| stage.send(&n.to_string().repeat(100))).collect();
    stage.pass(Duration::from_millis(5));
    let order = stage.order();
    stage.refuse(&order, ErrorCode::MessageTooLarge);
    assert_eq!(metric(&stage, "batch-split-total"), 1.0);
    assert_eq!(metric(&stage, "record-retry-total"), 0.0);
    stage.pass(Duration::from_secs(31));
    assert_eq!(metric(&stage, "record-error-total"), 4.0);
}

#[test]
fn waits_for_memory_and_metadata_are_added_up() {
    let mut stage = Stage::new(&[]);
    stage.leaders = None;
    let _delivery = stage.send("a");
    stage.pass(Duration::from_millis(30));
    stage.step(told("b1:9092".parse().unwrap(), &[(1, 0)]));
    assert_eq!(metric(&stage, "metadata-wait-time-ns-total"), 30e6);
    let now = stage.now;
    stage.core.memory_waited(now, Duration::from_secs(6), None);
    stage.core.memory_waited(now, Duration::from_secs(3), Some(&"orders".into()));
    assert_eq!(metric(&stage, "bufferpool-wait-time-ns-total"), 9e9);
    assert_eq!(metric(&stage, "bufferpool-wait-ratio"), 0.3, "of a sample of 30 s");
    assert_eq!(metric(&stage, "buffer-exhausted-total"), 1.0);
    assert_eq!(metric(&stage, "record-error-total"), 1.0);
}
