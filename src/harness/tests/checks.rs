//! Ready-made checks: each holds on good outputs, and finds the smallest bad ones.

use super::*;
use crate::base::Offset;
use crate::client::ConsumerRecord;

/// Sends these records of topic, key and value one after the other, and returns what the check says.
fn said(
    records: &'static [(&'static str, &'static str, &'static str)],
    check: impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static,
) -> Option<String> {
    let report = Simulation::new("checked")
        .topic("in", |topic| topic.partitions(1).replication_factor(3))
        .topic("out", |topic| topic.partitions(1).replication_factor(3))
        .client("app", move |host| async move {
            let producer = host.producer(&[])?;
            for (topic, key, value) in records {
                let record = ProducerRecord::new(*topic, *value);
                let record = if key.is_empty() { record } else { record.with_key(*key) };
                producer.send_and_wait(record).await?;
            }
            Ok::<(), Failure>(())
        })
        .check("check", check)
        .duration("1s")
        .seeds(0..1)
        .run();
    let broken = report.worst().map(|worst| worst.broken.clone());
    broken.map(|broken| {
        assert_eq!(broken.invariant, "check", "{}", broken.what);
        broken.what
    })
}

#[test]
fn one_output_per_input_counts_records_by_key() {
    let check = || one_output_per_input("in", "out");
    let good = &[
        ("in", "a", "1"),
        ("in", "b", "2"),
        ("in", "a", "3"),
        ("out", "a", "x"),
        ("out", "b", "y"),
    ];
    assert_eq!(said(good, check()).unwrap(), "key `a` has 2 records in `in` and 1 record in `out`");
    assert_eq!(said(&[("in", "a", "1"), ("out", "a", "x")], check()), None);
    assert_eq!(
        said(&[("in", "a", "1"), ("out", "b", "x")], check()).unwrap(),
        "key `a` has 1 record in `in` and 0 records in `out`"
    );
    assert_eq!(
        said(&[("out", "b", "x")], check()).unwrap(),
        "key `b` has 0 records in `in` and 1 record in `out`; the last one is at offset 0 of out-0"
    );
    assert_eq!(
        said(&[("in", "", "1")], check()).unwrap(),
        "offset 0 of in-0 has no key, and the check counts records by key"
    );
    assert_eq!(
        said(&[("in", "a", "1")], one_output_per_input("in", "outt")).unwrap(),
        "the check is about `outt`, which is not declared; did you mean `out`?"
    );
}

#[test]
fn at_least_one_output_per_input_allows_repetitions() {
    let check = || at_least_one_output_per_input("in", "out");
    assert_eq!(said(&[("in", "a", "1"), ("out", "a", "x"), ("out", "a", "x")], check()), None);
    assert_eq!(
        said(&[("in", "a", "1"), ("out", "b", "x")], check()).unwrap(),
        "key `a` has 1 record in `in` and 0 records in `out`"
    );
}

#[test]
fn order_per_key_ignores_repetitions_and_other_keys() {
    let check = || in_order_per_key("in", "out");
    let good = &[
        ("in", "a", "1"),
        ("in", "a", "2"),
        ("in", "b", "3"),
        ("out", "b", "3"),
        ("out", "a", "1"),
        ("out", "a", "2"),
        ("out", "a", "1"),
    ];
    assert_eq!(said(good, check()), None);
    let bad = &[("in", "a", "1"), ("in", "a", "2"), ("out", "a", "2"), ("out", "a", "1")];
    assert_eq!(
        said(bad, check()).unwrap(),
        "key `a`: `2` is at offset 0 of out-0, before `1`, which comes first in `in`"
    );
}

#[test]
fn order_per_key_can_go_by_a_part_of_the_record() {
    let number = |record: &ConsumerRecord| {
        let value = record.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
        value?.strip_prefix("no ").map(str::to_owned)
    };
    let bad = &[
        ("in", "a", "no 1"),
        ("in", "a", "x"),
        ("in", "a", "no 2"),
        ("out", "a", "no 2"),
        ("out", "a", "no 1"),
    ];
    assert_eq!(
        said(bad, in_order_per_key_by("in", "out", number)).unwrap(),
        "key `a`: `2` is at offset 0 of out-0, before `1`, which comes first in `in`"
    );
}

#[test]
fn nothing_lost_finds_an_acknowledged_record_that_is_gone() {
    assert_eq!(said(&[("in", "a", "1"), ("in", "a", "1")], nothing_lost("in")), None);
    let report = small("deleted")
        .topic("short", |topic| topic.replication_factor(3))
        .client("app", |host| async move {
            let producer = host.producer(&[])?;
            for value in ["1", "2"] {
                let record = ProducerRecord::new("short", value).with_key("a");
                producer.send_and_wait(record).await?;
            }
            host.admin(&[])?
                .delete_records(&[(TopicPartition::new("short", 0), Some(Offset(1)))])
                .await?;
            Ok::<(), Failure>(())
        })
        .check("check", nothing_lost("short"))
        .run();
    assert_eq!(
        worst(&report),
        ("check", "`a=1` was acknowledged, and short-0 does not have it in the end")
    );
}

#[test]
fn every_record_read_names_a_record_that_no_poll_returned() {
    let simulation = |orders| {
        let simulation = small("read").client("shop", |host| shop(host, 5));
        let simulation = simulation.client("reader", move |host| reader(host, orders));
        simulation.check("all-read", every_record_read("orders", "reader"))
    };
    simulation(5).assert_holds();
    let report = small("unread")
        .client("shop", |host| shop(host, 1))
        .check("all-read", every_record_read("orders", "reader"))
        .run();
    let (invariant, what) = worst(&report);
    assert_eq!(invariant, "all-read");
    assert!(what.starts_with("`key 0=value 0` at offset 0 of orders-"), "{what}");
    assert!(what.ends_with(" was never read by `reader`"), "{what}");
}
