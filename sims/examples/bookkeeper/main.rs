//! An example of your own test: a bookkeeper that reads payments and keeps balances, once with a
//! bug that few tests find, and once correct. The programs are in `app.rs`, as they would be in
//! your project; this is the test. Copy it to start your own.
//!
//! Try it: `cargo test --test scenarios bookkeeper`. To watch one run of the faulty bookkeeper, say which:
//! `BROKERQUAKE_SEED=0 cargo test --test scenarios bookkeeper -- --nocapture`.

pub mod app;

use std::collections::BTreeMap;
use std::time::Duration;

use app::{
    Careful, Memory, OneFile, PARTITIONS, Shelf, Trusting, TwoFiles, bookkeeper, member, shop,
};
use brokerquake::prelude::*;

/// Every payment that is in the topic is in a balance, once.
fn books_balance(history: &History) -> Result<(), String> {
    let mut owed: BTreeMap<String, u64> = BTreeMap::new();
    for record in history.topic("payments") {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let (Some(account), Some(amount)) = (&record.key, &record.value) {
            *owed.entry(text(account)).or_default() += text(amount).parse().unwrap_or(0);
        }
    }
    let mut booked: BTreeMap<String, u64> = BTreeMap::new();
    for (_, note) in history.notes("bookkeeper") {
        let (account, balance) = note.split_once(' ').unwrap_or((note, "0"));
        booked.insert(account.to_owned(), balance.parse().unwrap_or(0));
    }
    match owed.iter().find(|(account, sum)| booked.get(*account) != Some(sum)) {
        None => Ok(()),
        Some((account, sum)) => {
            let booked = booked.get(account).copied().unwrap_or(0);
            Err(format!("{account} was paid {sum} and is booked with {booked}"))
        }
    }
}

/// A shop, and a cluster with its own faults.
fn payments_of_a_shop() -> Simulation {
    Simulation::new("payments are booked once")
        .topic("payments", |topic| {
            topic.partitions(PARTITIONS).replication_factor(3).min_insync_replicas(2)
        })
        .client("shop", shop)
        .check("books-balance", books_balance)
        .duration("10s")
        .seeds(0..20)
}

/// The machine of the bookkeeper often loses power just before one of its next disk operations.
fn power_cuts() -> Fault {
    let (second, ms) = (Duration::from_secs(1), Duration::from_millis(100));
    Fault::power_loss("bookkeeper")
        .every(second..3 * second)
        .down(ms..5 * ms)
        .before_disk_operation(0..=40)
}

/// A bookkeeper that keeps its own offsets.
pub fn payments(shelf: impl Shelf) -> Simulation {
    payments_of_a_shop()
        .client("bookkeeper", move |host| bookkeeper(host, shelf))
        .fault(power_cuts())
        .fault(Fault::kill("leader").at("3s..6s").down("1s..3s"))
}

/// A bookkeeper whose group keeps its offsets, and which also dies between its disk and its commit.
fn payments_in_a_group(memory: impl Memory) -> Simulation {
    payments_of_a_shop()
        .client("bookkeeper", move |host| member(host, memory))
        .fault(power_cuts())
        .fault(Fault::kill("bookkeeper").every("300ms..1s").down("100ms..500ms"))
        .fault(Fault::kill("coordinator of bookkeeping").at("3s..6s").down("1s..3s"))
        .require(acknowledged("payments").at_least(200))
        .require(struck("bookkeeper").at_least(3))
}

#[test]
fn bookkeeper_that_saves_offsets_first_loses_payments() {
    let witness = payments(TwoFiles).assert_breaks("books-balance");
    if let Some(witness) = witness {
        println!("seed {}: {}", witness.seed, witness.broken.what);
        println!("in {} of 20 runs; there:\n{}", witness.seeds, witness.story.join("\n"));
        assert!(witness.broken.what.contains("was paid"), "{}", witness.broken.what);
    }
}

#[test]
fn bookkeeper_that_saves_atomically_books_each_payment_once() {
    payments(OneFile).assert_holds();
}

#[test]
fn member_that_trusts_its_group_books_payments_twice() {
    let witness = payments_in_a_group(Trusting).assert_breaks("books-balance");
    if let Some(witness) = witness {
        assert!(witness.broken.what.contains("was paid"), "{}", witness.broken.what);
    }
}

#[test]
fn member_that_remembers_offsets_books_each_payment_once() {
    payments_in_a_group(Careful).assert_holds();
}
