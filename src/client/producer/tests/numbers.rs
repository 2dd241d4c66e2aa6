//! Sequence numbers: no record is doubled or out of order.

use super::*;

#[test]
fn five_batches_of_a_partition_are_in_flight_at_most() {
    let mut stage = Stage::new(&[]);
    let mut deliveries: Vec<_> = (0..7).map(|n| stage.send(&n.to_string())).collect();
    let orders: Vec<_> = stage.orders.drain(..).collect();
    let sequences: Vec<_> = orders.iter().map(|order| batch(order).base_sequence).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4], "five, and not more");
    for (base, order) in (100..).zip(&orders) {
        stage.stored(order, base);
    }
    let order = stage.order();
    assert_eq!((batch(&order).base_sequence, values(&order)), (5, vec!["5".into(), "6".into()]));
    stage.stored(&order, 105);
    let offsets: Vec<_> = deliveries.iter_mut().map(|d| offset(d).unwrap().0).collect();
    assert_eq!(offsets, [100, 101, 102, 103, 104, 105, 106]);
}

#[test]
fn retried_batch_keeps_its_sequence() {
    let mut stage = Stage::new(&[]);
    let mut delivery = stage.send("a");
    let first = stage.order();
    stage.lose(&first, true);
    assert!(stage.orders.is_empty(), "it backs off");
    stage.pass(Duration::from_millis(130));
    let again = stage.order();
    assert_eq!(
        first.message.topic_data[0].partition_data[0].records,
        again.message.topic_data[0].partition_data[0].records
    );
    stage.refuse(&again, ErrorCode::DuplicateSequenceNumber);
    assert_eq!(offset(&mut delivery), None);
}

#[test]
fn refused_batches_are_retried_one_by_one_in_order() {
    let mut stage = Stage::new(&[]);
    let mut deliveries: Vec<_> = (0..3).map(|n| stage.send(&n.to_string())).collect();
    let orders: Vec<_> = stage.orders.drain(..).collect();
    stage.refuse(&orders[0], ErrorCode::NotEnoughReplicas);
    stage.refuse(&orders[1], ErrorCode::OutOfOrderSequenceNumber);
    stage.refuse(&orders[2], ErrorCode::OutOfOrderSequenceNumber);
    for n in 0..3 {
        stage.pass(Duration::from_millis(500));
        let order = stage.order();
        assert_eq!((batch(&order).base_sequence, values(&order)), (n, vec![n.to_string()]));
        assert!(stage.orders.is_empty());
        stage.stored(&order, i64::from(n));
    }
    assert!(deliveries.iter_mut().all(|delivery| offset(delivery).is_some()));
    assert_eq!(stage.identified, 1);
}

#[test]
fn later_batch_is_not_retried_before_the_first_is_judged() {
    let mut stage = Stage::new(&[]);
    let _deliveries: Vec<_> = (0..2).map(|n| stage.send(&n.to_string())).collect();
    let orders: Vec<_> = stage.orders.drain(..).collect();
    stage.refuse(&orders[1], ErrorCode::OutOfOrderSequenceNumber);
    stage.pass(Duration::from_secs(2));
    assert!(stage.orders.is_empty(), "the first may still be on its way");
    stage.stored(&orders[0], 0);
    assert_eq!(batch(&stage.order()).base_sequence, 1);
}

#[test]
fn sequence_gap_raises_the_epoch_and_renumbers_from_zero() {
    let mut stage = Stage::new(&[("retries", "1")]);
    let mut deliveries: Vec<_> = (0..3).map(|n| stage.send(&n.to_string())).collect();
    let orders: Vec<_> = stage.orders.drain(..).collect();
    stage.refuse(&orders[0], ErrorCode::InvalidRecord);
    assert!(!error(&mut deliveries[0]).may_be_stored);
    stage.refuse(&orders[1], ErrorCode::OutOfOrderSequenceNumber);
    stage.pass(Duration::from_secs(2));
    assert!(stage.orders.is_empty(), "not before the last of the old numbers is judged");
    stage.refuse(&orders[2], ErrorCode::OutOfOrderSequenceNumber);
    for n in 0..2 {
        stage.pass(Duration::from_secs(1));
        let order = stage.order();
        let header = batch(&order);
        assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(70), ProducerEpoch(1)));
        assert_eq!((header.base_sequence, values(&order)), (n, vec![(n + 1).to_string()]));
        stage.stored(&order, i64::from(n));
    }
}

#[test]
fn possibly_stored_batch_never_gets_another_number() {
    let mut stage = Stage::new(&[]);
    let mut first = stage.send("a");
    let mut second = stage.send("b");
    let orders: Vec<_> = stage.orders.drain(..).collect();
    stage.lose(&orders[0], true);
    stage.refuse(&orders[1], ErrorCode::OutOfOrderSequenceNumber);
    stage.pass(Duration::from_secs(1));
    let again = stage.order();
    assert_eq!(batch(&again).base_sequence, 0);
    // The leader changed without its last records: the batch before is gone, and this one with it.
    stage.refuse(&again, ErrorCode::OutOfOrderSequenceNumber);
    let error = error(&mut first);
    assert_eq!(error.cause, ProduceCause::Broker(ErrorCode::OutOfOrderSequenceNumber));
    assert!(error.may_be_stored);
    stage.pass(Duration::from_secs(1));
    let order = stage.order();
    assert_eq!(
        (batch(&order).producer_epoch, values(&order)),
        (ProducerEpoch(1), vec!["b".into()])
    );
    stage.stored(&order, 5);
    assert_eq!(offset(&mut second), Some(Offset(5)));
}

#[test]
fn unknown_producer_id_raises_the_epoch() {
    let mut stage = Stage::new(&[]);
    let _first = stage.send("a");
    let order = stage.order();
    stage.stored(&order, 0);
    let mut second = stage.send("b");
    let order = stage.order();
    stage.refuse(&order, ErrorCode::UnknownProducerId);
    stage.pass(Duration::from_secs(1));
    let order = stage.order();
    assert_eq!((batch(&order).producer_epoch, batch(&order).base_sequence), (ProducerEpoch(1), 0));
    stage.stored(&order, 1);
    assert_eq!(offset(&mut second), Some(Offset(1)));
}

#[test]
fn numbers_continue_if_a_given_up_batch_was_stored() {
    let mut stage = Stage::new(&[("delivery.timeout.ms", "31000")]);
    let mut first = stage.send("a");
    let order = stage.order();
    stage.pass(Duration::from_secs(30));
    let _second = stage.send("b");
    let next = stage.order();
    stage.pass(Duration::from_secs(1));
    assert!(error(&mut first).may_be_stored);
    let _third = stage.send("c");
    assert!(stage.orders.is_empty(), "nothing new while a number is unresolved");
    stage.stored(&order, 0);
    stage.stored(&next, 1);
    let header = batch(&stage.order());
    assert_eq!((header.producer_epoch, header.base_sequence), (ProducerEpoch(0), 2));
}

#[test]
fn given_up_batch_raises_the_epoch_before_the_next() {
    let mut stage = Stage::new(&[("delivery.timeout.ms", "31000")]);
    let _first = stage.send("a");
    stage.orders.clear();
    stage.pass(Duration::from_secs(31));
    let _second = stage.send("b");
    let header = batch(&stage.order());
    assert_eq!((header.producer_epoch, header.base_sequence), (ProducerEpoch(1), 0));
}

#[test]
fn other_partition_keeps_its_epoch_until_judged() {
    let mut stage = Stage::new(&[]);
    stage.leaders = Some(vec![(1, 5), (1, 5)]);
    let to = |partition, value: &str| {
        ProducerRecord::new("orders", value.to_owned()).to_partition(partition)
    };
    let _a = stage.hand_over(to(0, "a"));
    stage.step(Input::Tick);
    let _b = stage.hand_over(to(1, "b"));
    stage.step(Input::Tick);
    let (a, b) = (stage.order(), stage.order());
    stage.refuse(&a, ErrorCode::InvalidRecord);
    let _c = stage.hand_over(to(0, "c"));
    let _d = stage.hand_over(to(1, "d"));
    stage.step(Input::Tick);
    let c = stage.order();
    assert_eq!((values(&c), batch(&c).producer_epoch), (vec!["c".to_owned()], ProducerEpoch(1)));
    assert!(stage.orders.is_empty(), "d waits for b, which has the old epoch");
    stage.lose(&b, true);
    stage.pass(Duration::from_secs(1));
    let again = stage.order();
    assert_eq!(
        (values(&again), batch(&again).producer_epoch),
        (vec!["b".into()], ProducerEpoch(0))
    );
    stage.stored(&again, 0);
    let d = batch(&stage.order());
    assert_eq!((d.producer_epoch, d.base_sequence), (ProducerEpoch(1), 0));
}

#[test]
fn epoch_raised_by_another_partition_holds_back_numbered_ones() {
    let mut stage = Stage::new(&[]);
    stage.leaders = Some(vec![(1, 5), (1, 5)]);
    let to = |partition, value: &str| {
        ProducerRecord::new("orders", value.to_owned()).to_partition(partition)
    };
    let _a = stage.hand_over(to(0, "a"));
    stage.step(Input::Tick);
    let _b = stage.hand_over(to(1, "b"));
    stage.step(Input::Tick);
    let (_a, b) = (stage.order(), stage.order());
    // In one step, c is found ready under the old epoch, and then d raises it: b left a gap.
    let _c = stage.hand_over(to(0, "c"));
    let _d = stage.hand_over(to(1, "d"));
    stage.refuse(&b, ErrorCode::InvalidRecord);
    let order = stage.order();
    assert_eq!(
        (values(&order), batch(&order).producer_epoch),
        (vec!["d".into()], ProducerEpoch(1))
    );
    assert_eq!(order.message.topic_data[0].partition_data.len(), 1, "a has no answer yet");
    assert!(stage.orders.is_empty());
}

#[test]
fn oversized_batch_is_split_and_keeps_its_numbers() {
    let mut stage = Stage::new(&[("linger.ms", "5")]);
    let mut deliveries: Vec<_> = (0..4).map(|n| stage.send(&n.to_string().repeat(100))).collect();
    stage.pass(Duration::from_millis(5));
    let order = stage.order();
    stage.refuse(&order, ErrorCode::MessageTooLarge);
    let mut sequences = Vec::new();
    let mut base = 0;
    while let Some(order) = stage.orders.pop_front() {
        sequences.push(batch(&order).base_sequence);
        stage.stored(&order, base);
        base += i64::from(batch(&order).count);
    }
    assert_eq!(sequences, [0, 1, 2, 3]);
    let offsets: Vec<_> = deliveries.iter_mut().map(|d| offset(d).unwrap().0).collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
}
