//! An example: reminders that are delivered at a time of their own, by a group of schedulers in the
//! consumer protocol (KIP-848), with a check of its own beside a ready-made one. The programs are in
//! `app.rs`; two broken versions show that the checks find what they do wrong.
//!
//! Try it: `cargo test --test scenarios delayed_delivery`.

pub mod app;

use std::time::Duration;

use app::{REMINDERS, Version, calendar, due, person, scheduler};
use brokerquake::prelude::*;

/// No reminder is delivered before its time. Its producer's date is the timestamp of a record.
fn never_early(history: &History) -> Result<(), String> {
    let early = history.topic("delivered").find_map(|record| {
        let early = due(record.value.as_deref()) - record.timestamp.0;
        (early > 0).then_some((record, early))
    });
    early.map_or(Ok(()), |(record, early)| {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        Err(format!("{key} was delivered {early} ms before its time"))
    })
}

/// Three schedulers that are killed and cut off, and a coordinator that loses power.
fn reminders(version: Version) -> Simulation {
    let replicated = |topic: Topic| topic.replication_factor(3).min_insync_replicas(2);
    Simulation::new("reminders come in time")
        .topic("reminders", |topic| replicated(topic).partitions(4))
        .topic("delivered", replicated)
        // A scheduler that was killed is expelled after this.
        .set("group.consumer.session.timeout.ms", 6000)
        .set("group.consumer.min.session.timeout.ms", 6000)
        .set("group.consumer.heartbeat.interval.ms", 1000)
        .set("group.consumer.min.heartbeat.interval.ms", 1000)
        .client("calendar", calendar)
        .client("person", person)
        .service("scheduler", move |host| scheduler(host, version))
        .instances(3)
        .fault(Fault::kill("scheduler").every("1s..4s").down("100ms..2s"))
        .fault(Fault::isolate("scheduler").every("4s..8s").down("1s..8s"))
        .fault(Fault::power_loss("coordinator of schedulers").at("4s..8s").down("1s..3s"))
        .check("never-early", never_early)
        .check("each-delivered", at_least_one_output_per_input("reminders", "delivered"))
        .require(acknowledged("reminders").at_least(REMINDERS))
        .require(struck("scheduler").at_least(2))
        .require(assigned("schedulers").at_least(3))
        .duration("15s")
        .patience(Duration::from_secs(120))
        .seeds(0..6)
}

#[test]
fn schedulers_deliver_each_reminder_at_least_once_and_never_early() {
    reminders(Version::Correct).assert_holds();
}

#[test]
fn scheduler_that_commits_what_it_holds_loses_reminders() {
    let witness = reminders(Version::Forgetful).assert_breaks("each-delivered");
    if let Some(witness) = witness {
        let what = &witness.broken.what;
        assert!(
            what.ends_with("has 1 record in `reminders` and 0 records in `delivered`"),
            "{what}"
        );
    }
}

#[test]
fn scheduler_that_rounds_down_delivers_early() {
    let witness = reminders(Version::Hasty).assert_breaks("never-early");
    if let Some(witness) = witness {
        let what = &witness.broken.what;
        assert!(what.ends_with(" ms before its time"), "{what}");
    }
}
