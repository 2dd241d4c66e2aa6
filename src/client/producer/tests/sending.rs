//! Sending: what leaves when, and the verdicts on records.

use super::*;

#[test]
fn stored_record_gets_its_offset() {
    let mut stage = Stage::new(&[]);
    let mut delivery = stage.send("a");
    let order = stage.order();
    assert_eq!((order.message.acks, values(&order)), (-1, vec!["a".to_owned()]));
    assert!(verdict(&mut delivery).is_none());
    stage.stored(&order, 42);
    assert_eq!(offset(&mut delivery), Some(Offset(42)));
    stage.core.close();
    assert!(stage.core.is_over());
}

#[test]
fn records_linger_and_leave_together() {
    let mut stage = Stage::new(&[("linger.ms", "5")]);
    let mut first = stage.send("a");
    stage.pass(Duration::from_millis(3));
    let mut second = stage.send("b");
    assert!(stage.orders.is_empty());
    stage.pass(Duration::from_millis(2));
    let order = stage.order();
    assert_eq!(values(&order), ["a", "b"]);
    stage.stored(&order, 10);
    assert_eq!(offset(&mut first), Some(Offset(10)));
    assert_eq!(offset(&mut second), Some(Offset(11)));
}

#[test]
fn full_batch_does_not_linger() {
    let mut stage = Stage::new(&[("linger.ms", "1000"), ("batch.size", "200")]);
    let _first = stage.send(&"x".repeat(90));
    assert!(stage.orders.is_empty());
    let _second = stage.send(&"y".repeat(90));
    assert_eq!(values(&stage.order()), ["x".repeat(90)]);
    assert!(stage.orders.is_empty(), "the second batch is not full");
}

#[test]
fn send_that_timed_out_after_leaving_may_be_stored() {
    let mut stage = Stage::new(&[("delivery.timeout.ms", "31000")]);
    let mut delivery = stage.send("a");
    stage.pass(Duration::from_secs(30));
    assert!(verdict(&mut delivery).is_none());
    stage.pass(Duration::from_secs(1));
    let expected = ProduceError { cause: ProduceCause::TimedOut, may_be_stored: true };
    assert_eq!(error(&mut delivery), expected);
}

#[test]
fn send_that_never_left_is_not_stored() {
    let mut stage = Stage::new(&[("delivery.timeout.ms", "31000")]);
    stage.leaders = Some(vec![(-1, 5)]);
    let mut delivery = stage.send("a");
    stage.pass(Duration::from_secs(31));
    let expected = ProduceError { cause: ProduceCause::TimedOut, may_be_stored: false };
    assert_eq!(error(&mut delivery), expected);
}

#[test]
fn send_without_a_reachable_broker_is_not_stored() {
    let mut stage = Stage::new(&[("delivery.timeout.ms", "31000")]);
    let mut delivery = stage.send("a");
    for _ in 0..40 {
        if let Some(order) = stage.orders.pop_front() {
            stage.lose(&order, false);
        }
        stage.pass(Duration::from_secs(1));
    }
    assert!(!error(&mut delivery).may_be_stored);
}

#[test]
fn record_refused_before_every_append_is_not_stored() {
    let mut stage = Stage::new(&[("retries", "2")]);
    let mut delivery = stage.send("a");
    for _ in 0..3 {
        let order = stage.order();
        stage.refuse(&order, ErrorCode::NotEnoughReplicas);
        stage.pass(Duration::from_secs(1));
    }
    let cause = ProduceCause::Broker(ErrorCode::NotEnoughReplicas);
    assert_eq!(error(&mut delivery), ProduceError { cause, may_be_stored: false });
}

#[test]
fn ambiguous_attempt_makes_later_refusals_uncertain() {
    for doubt in [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
        ErrorCode::KafkaStorageError,
    ] {
        let mut stage = Stage::new(&[("retries", "1")]);
        let mut delivery = stage.send("a");
        let order = stage.order();
        stage.refuse(&order, doubt);
        stage.pass(Duration::from_secs(1));
        let order = stage.order();
        stage.refuse(&order, ErrorCode::NotEnoughReplicas);
        assert!(error(&mut delivery).may_be_stored, "{doubt}");
    }
}

#[test]
fn retry_to_a_new_leader_skips_the_backoff() {
    let mut stage = Stage::new(&[("retry.backoff.ms", "10000"), ("retry.backoff.max.ms", "10000")]);
    let mut delivery = stage.send("a");
    let order = stage.order();
    assert_eq!(order.to.host, "b1");
    stage.leaders = Some(vec![(2, 6)]);
    stage.pass(Duration::from_secs(60));
    let before = stage.refreshes;
    stage.refuse(&order, ErrorCode::NotLeaderOrFollower);
    assert_eq!(stage.refreshes, before + 1);
    let again = stage.order();
    assert_eq!(again.to.host, "b2", "at once: another leads");
    stage.stored(&again, 7);
    assert_eq!(offset(&mut delivery), Some(Offset(7)));
}

#[test]
fn oversized_record_is_refused_before_or_by_the_broker() {
    let mut stage = Stage::new(&[("max.request.size", "1000")]);
    let mut huge = stage.send(&"x".repeat(1000));
    let expected = ProduceError { cause: ProduceCause::RecordTooLarge, may_be_stored: false };
    assert_eq!(error(&mut huge), expected);
    let mut large = stage.send(&"x".repeat(500));
    let order = stage.order();
    stage.refuse(&order, ErrorCode::MessageTooLarge);
    assert!(!error(&mut large).may_be_stored);
    let _next = stage.send("b");
    assert_eq!(batch(&stage.order()).base_sequence, 0, "its number is used by the next");
}

#[test]
fn record_with_acks_0_is_acknowledged_when_written() {
    let mut stage = Stage::new(&[("acks", "0"), ("enable.idempotence", "false")]);
    let mut delivery = stage.send("a");
    let order = stage.order();
    assert_eq!((order.message.acks, batch(&order).base_sequence), (0, -1));
    stage.step(Input::Produced { request: order.request, outcome: Outcome::Written });
    assert_eq!(offset(&mut delivery), None);
    assert_eq!(stage.identified, 0);
}

#[test]
fn one_request_in_flight_keeps_order_without_idempotence() {
    let mut stage = Stage::new(&[
        ("acks", "1"),
        ("enable.idempotence", "false"),
        ("max.in.flight.requests.per.connection", "1"),
    ]);
    let _deliveries: Vec<_> = (0..3).map(|n| stage.send(&n.to_string())).collect();
    let order = stage.order();
    assert!(stage.orders.is_empty());
    stage.lose(&order, true);
    stage.pass(Duration::from_secs(1));
    let again = stage.order();
    assert_eq!(values(&again), ["0"]);
    stage.stored(&again, 0);
    assert_eq!(values(&stage.order()), ["1", "2"]);
}

#[test]
fn records_wait_for_metadata_and_leave_in_order() {
    let mut stage = Stage::new(&[]);
    stage.leaders = None;
    let mut deliveries: Vec<_> = (0..3).map(|n| stage.send(&n.to_string())).collect();
    assert_eq!(stage.refreshes, 1);
    stage.step(told("b1:9092".parse().unwrap(), &[(1, 0)]));
    let order = stage.order();
    assert_eq!(values(&order), ["0", "1", "2"]);
    stage.stored(&order, 10);
    let offsets: Vec<_> = deliveries.iter_mut().map(|d| offset(d).unwrap().0).collect();
    assert_eq!(offsets, [10, 11, 12]);
}

#[test]
fn unknown_topic_fails_after_max_block_ms() {
    let mut stage = Stage::new(&[("max.block.ms", "5000")]);
    stage.leaders = Some(Vec::new());
    let mut delivery = stage.send("a");
    stage.pass(Duration::from_secs(5));
    let expected = ProduceError { cause: ProduceCause::UnknownTopic, may_be_stored: false };
    assert_eq!(error(&mut delivery), expected);
    assert!((4..20).contains(&stage.refreshes), "asked {} times", stage.refreshes);
}

#[test]
fn buffer_memory_is_bounded_and_released() {
    let mut stage = Stage::new(&[("buffer.memory", "1000"), ("batch.size", "0")]);
    let _first = stage.send(&"x".repeat(900));
    let record = ProducerRecord::new("orders", "y".repeat(100));
    let taken = stage.core.append(stage.now, Timestamp(0), record.clone(), None);
    assert!(matches!(taken, Taken::NoMemory { .. }));
    let order = stage.order();
    stage.stored(&order, 0);
    let taken = stage.core.append(stage.now, Timestamp(0), record, None);
    assert!(matches!(taken, Taken::Yes(_)));
}

#[test]
fn abandoned_records_are_uncertain_only_if_they_left() {
    let mut stage = Stage::new(&[("linger.ms", "5")]);
    let mut sent = stage.send("a");
    stage.pass(Duration::from_millis(5));
    let mut kept = stage.send("b");
    stage.core.abandon(ProduceCause::Closed);
    assert!(error(&mut sent).may_be_stored);
    assert!(!error(&mut kept).may_be_stored);
    let mut late = stage.send("c");
    assert_eq!(error(&mut late).cause, ProduceCause::Closed);
}

#[test]
fn contradicting_settings_are_refused() {
    let refused = |settings: &[(&str, &str)]| {
        let mut config = ProducerConfig::default();
        config.set("bootstrap.servers", "b1:9092").unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let random = Seed(1).stream(Stream::named("test"));
        Core::new(config, Instant::START, random).is_err()
    };
    assert!(!refused(&[]));
    assert!(!refused(&[("acks", "1")]));
    assert!(refused(&[("acks", "1"), ("enable.idempotence", "true")]));
    assert!(refused(&[("max.in.flight.requests.per.connection", "6")]));
    assert!(refused(&[("retries", "0"), ("enable.idempotence", "true")]));
    assert!(refused(&[("delivery.timeout.ms", "1000")]));
    assert!(refused(&[("bootstrap.servers", "")]));
}

#[test]
#[should_panic(expected = "bytes held")]
fn leaked_memory_trips_the_check() {
    let mut stage = Stage::new(&[]);
    let _delivery = stage.send("a");
    stage.core.leak(10);
    stage.step(Input::Tick);
}
