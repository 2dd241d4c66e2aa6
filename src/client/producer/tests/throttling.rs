//! Brokers that ask for a pause (KIP-219).

use super::*;

#[test]
fn throttled_broker_is_sent_nothing_until_its_pause_is_over() {
    let mut stage = Stage::new(&[]);
    let _first = stage.send("a");
    let order = stage.order();
    stage.throttle_ms = 500;
    stage.stored(&order, 0);
    let _others = [stage.send("b"), stage.send("c")];
    stage.pass(Duration::from_millis(499));
    assert!(stage.orders.is_empty());
    stage.pass(Duration::from_millis(1));
    let order = stage.order();
    assert_eq!(values(&order), ["b", "c"]);
    assert_eq!(stage.core.metrics(stage.now).get("produce-throttle-time-max"), Some(500.0));
}

#[test]
fn other_brokers_than_the_throttled_one_get_their_batches() {
    let mut stage = Stage::new(&[]);
    stage.leaders = Some(vec![(1, 5), (2, 5)]);
    let to = |partition| ProducerRecord::new("orders", "x").to_partition(partition);
    let _first = stage.hand_over(to(0));
    stage.step(Input::Tick);
    let order = stage.order();
    stage.throttle_ms = 500;
    stage.stored(&order, 0);
    let _others = [stage.hand_over(to(0)), stage.hand_over(to(1))];
    stage.step(Input::Tick);
    let order = stage.order();
    assert_eq!(order.to.to_string(), "b2:9092");
    assert!(stage.orders.is_empty());
}
