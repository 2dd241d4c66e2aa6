//! An example: retries with backoff and a dead-letter topic, on consumer groups of two members each,
//! with a checker of its own. The programs are in `app.rs`; two broken versions show that the checker
//! finds what they do wrong.
//!
//! Try it: `cargo test --test scenarios dead_letter`.

pub mod app;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use app::{ATTEMPTS, ORDERS, Version, backoff, clerk, fulfilment, retries, shop, text};
use brokerquake::prelude::*;

/// Each order is fulfilled or dead, as its attempts went, and no attempt comes before its time.
#[derive(Default)]
struct EachOrderEnds {
    /// When each attempt was first made, by order and number.
    attempts: BTreeMap<(String, u64), Instant>,
}

/// What is wrong with an order.
#[derive(Debug, PartialEq)]
enum Wrong {
    Lost { order: String, attempts: u64 },
    Early { order: String, attempt: u64, after: Duration },
    Elsewhere { order: String, ended: String, fails: u64 },
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost { order, attempts } => {
                write!(f, "{order} is neither fulfilled nor dead after {attempts} attempts")
            }
            Self::Early { order, attempt, after } => {
                let due = backoff(attempt - 1);
                write!(f, "attempt {attempt} of {order} came after {after:?}, not after {due:?}")
            }
            Self::Elsewhere { order, ended, fails } => {
                write!(f, "{order} is in `{ended}`, and {fails} of {ATTEMPTS} attempts fail")
            }
        }
    }
}

impl Checker for EachOrderEnds {
    type Violation = Wrong;

    fn observe(&mut self, event: &Event) -> Result<(), Wrong> {
        let Happening::Noted(note) = &event.what else { return Ok(()) };
        let Some((order, attempt)) = note.split_once(' ') else { return Ok(()) };
        let attempt = attempt.parse().unwrap_or(1);
        self.attempts.entry((order.to_owned(), attempt)).or_insert(event.at);
        let before = self.attempts.get(&(order.to_owned(), attempt - 1));
        let after = before.map(|before| event.at.since(*before));
        match after.filter(|after| *after < backoff(attempt - 1)) {
            Some(after) => Err(Wrong::Early { order: order.to_owned(), attempt, after }),
            None => Ok(()),
        }
    }

    fn finish(&mut self, history: &History) -> Result<(), Wrong> {
        let orders = |topic: &str| -> BTreeSet<String> {
            history.topic(topic).map(|record| text(record.key.as_deref())).collect()
        };
        let (fulfilled, dead) = (orders("fulfilled"), orders("orders-dead"));
        for record in history.topic("orders") {
            let order = text(record.key.as_deref());
            let fails = text(record.value.as_deref()).parse().unwrap_or(0);
            let (good, bad) = match fails < ATTEMPTS {
                true => (&fulfilled, ("orders-dead", &dead)),
                false => (&dead, ("fulfilled", &fulfilled)),
            };
            if bad.1.contains(&order) {
                return Err(Wrong::Elsewhere { order, ended: bad.0.to_owned(), fails });
            }
            if !good.contains(&order) {
                let attempts = self.attempts.keys().filter(|(name, _)| *name == order).count();
                return Err(Wrong::Lost { order, attempts: attempts as u64 });
            }
        }
        Ok(())
    }
}

/// Two members of each group, which are killed and lose power, and a cluster that loses its leaders.
fn orders(version: Version) -> Simulation {
    let replicated = |topic: Topic| topic.replication_factor(3).min_insync_replicas(2);
    Simulation::new("each order ends")
        // Both groups share out their partitions at once: the faults are to strike while they work.
        .set("group.initial.rebalance.delay.ms", 200)
        .topic("orders", |topic| replicated(topic).partitions(3))
        .topic("orders-retry", |topic| replicated(topic).partitions(3))
        .topic("fulfilled", replicated)
        .topic("orders-dead", replicated)
        .client("shop", shop)
        .client("clerk", clerk)
        .service("fulfilment", move |host| fulfilment(host, version))
        .instances(2)
        .service("retries", move |host| retries(host, version))
        .instances(2)
        .fault(Fault::kill("fulfilment").every("1s..3s").down("100ms..1s"))
        .fault(Fault::power_loss("retries").every("2s..5s").down("100ms..1s"))
        .fault(Fault::kill("leader").at("3s..6s").down("1s..3s"))
        .checker("each-order-ends", EachOrderEnds::default)
        .require(acknowledged("orders").at_least(ORDERS))
        .require(struck("fulfilment").at_least(1))
        .require(assigned("retries").at_least(2))
        .duration("20s")
        .patience(Duration::from_secs(120))
        .seeds(0..6)
}

#[test]
fn retries_with_backoff_end_each_order_once_it_is_settled() {
    orders(Version::Correct).assert_holds();
}

#[test]
fn offsets_committed_before_processing_lose_orders() {
    let witness = orders(Version::CommitsFirst).assert_breaks("each-order-ends");
    if let Some(witness) = witness {
        let what = &witness.broken.what;
        assert!(what.contains("is neither fulfilled nor dead after "), "{what}");
    }
}

#[test]
fn retries_without_backoff_come_before_their_time() {
    let witness = orders(Version::Impatient).assert_breaks("each-order-ends");
    if let Some(witness) = witness {
        let what = &witness.broken.what;
        assert!(what.starts_with("attempt ") && what.contains(", not after "), "{what}");
    }
}
