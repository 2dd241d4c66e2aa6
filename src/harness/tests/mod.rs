//! Programs in the simulation: what is recorded of them, what fails them, what they command.

mod checks;
mod groups;
mod instances;
mod misuse;
mod racks;
mod requirements;
mod transactions;

use std::time::Duration;

use super::*;
use crate::base::TopicPartition;
use crate::client::ProducerRecord;
use crate::lab::{Report, Verdict, report};
use crate::run::EngineKind;
use crate::run::outcome::{ADVANCES, ENDS, PANICS, SUCCEEDS};

type Failure = Box<dyn std::error::Error>;

const SECOND: Duration = Duration::from_secs(1);

fn small(name: &str) -> Simulation {
    Simulation::new(name)
        .topic("orders", |topic| topic.partitions(2).replication_factor(3).min_insync_replicas(2))
        .set("broker.session.timeout.ms", 3000)
        .set("broker.heartbeat.interval.ms", 500)
        .set("replica.lag.time.max.ms", 4000)
        .duration("4s")
        .seeds(0..1)
}

fn all() -> Vec<TopicPartition> {
    vec![TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)]
}

/// Sends orders, each with a key of its own, and waits for each.
async fn shop(host: Host, orders: u64) -> Result<(), Failure> {
    let producer = host.producer(&[("acks", "all"), ("linger.ms", "0")])?;
    for order in 0..orders {
        let record = ProducerRecord::new("orders", format!("value {order}"));
        producer.send_and_wait(record.with_key(format!("key {order}"))).await?;
        host.sleep(Duration::from_millis(host.draw(1..50))).await;
    }
    Ok(())
}

/// Reads a number of records.
async fn reader(host: Host, orders: usize) -> Result<(), Failure> {
    let mut consumer = host.consumer(&[("auto.offset.reset", "earliest")])?;
    consumer.assign(all());
    let mut read = 0;
    while read < orders {
        for record in consumer.poll(SECOND).await? {
            assert!(record.headers.is_empty(), "the number is taken off");
            let (key, value) = (record.key.unwrap(), record.value.unwrap());
            assert_eq!(key.strip_prefix(b"key "), value.strip_prefix(b"value "));
            read += 1;
        }
    }
    host.note(format!("read {read}"));
    Ok(())
}

fn worst(report: &Report) -> (&str, &str) {
    let broken = &report.worst().expect("something broke").broken;
    (&broken.invariant, &broken.what)
}

fn traces(report: &Report) -> Vec<String> {
    report.runs.iter().map(|run| run.trace.clone()).collect()
}

#[test]
fn same_seed_replays_a_program_identically() {
    let run = || {
        let simulation = small("twice").client("shop", |host| shop(host, 40));
        let simulation = simulation.service("reader", |host| reader(host, usize::MAX));
        let faults = ["leader", "shop", "reader"].map(|target| Fault::kill(target).down("500ms"));
        faults.into_iter().fold(simulation, Simulation::fault).seeds(3..6).run()
    };
    let (first, second) = (run(), run());
    assert_eq!(first.verdict, Verdict::Held, "{:?}", first.worst());
    assert_eq!(traces(&first), traces(&second));
    assert_eq!(first.to_json(), second.to_json());
    let distinct: std::collections::BTreeSet<_> = traces(&first).into_iter().collect();
    assert_eq!(distinct.len(), 3, "each seed goes its own way");
}

#[test]
fn history_contains_what_programs_sent_and_read() {
    let report = small("seen")
        .client("shop", |host| shop(host, 20))
        .client("reader", |host| reader(host, 20))
        .check("as-it-was", |history: &History| {
            let told: Vec<_> = history.acknowledged("orders").collect();
            let stored: Vec<_> = history.topic("orders").collect();
            let read = history.events().iter().filter(|event| {
                let read = matches!(&event.what, Happening::Read(read) if read.record.is_some());
                read && *event.host == *"reader"
            });
            let counts = (told.len(), stored.len(), read.count());
            let note = history.notes("reader").map(|(_, note)| note.to_owned()).next();
            if counts != (20, 20, 20) || note.as_deref() != Some("read 20") {
                return Err(format!("{counts:?} {note:?}"));
            }
            for record in stored {
                let partition = crate::client::partition_of(record.key.as_ref().unwrap(), 2);
                assert_eq!(record.partition.partition, partition, "keys go where Kafka sends them");
                assert!(told.iter().any(|sent| sent.value == record.value));
            }
            Ok(())
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
    assert_eq!((report.counts.sent, report.counts.acked), (20, 20));
}

#[test]
fn every_invariant_judges_the_records_of_programs() {
    let report = small("hasty")
        .topic("slips", |topic| topic.partitions(1).replication_factor(3))
        .client("hasty", |host| async move {
            let producer = host.producer(&[("acks", "1"), ("enable.idempotence", "false")])?;
            for slip in 0..400 {
                let slip = ProducerRecord::new("slips", format!("slip {slip}"));
                // What is not stored may be lost; what was called stored may not.
                drop(producer.send(slip).await);
                host.sleep(Duration::from_millis(10)).await;
            }
            producer.flush().await;
            Ok::<(), Failure>(())
        })
        .set("replica.fetch.min.bytes", 100_000)
        .fault(Fault::kill("leader of slips-0").every("1s..2s").down("4s"))
        .allow("acked-write-unseen")
        .allow("inconsistent-offset")
        .allow("dirty-read")
        .allow("high-watermark-monotonic")
        .seeds(0..6)
        .assert_breaks("acked-write-lost")
        .expect("a word of one broker is lost with it");
    let what = &report.broken.what;
    assert!(what.starts_with("slips-0 offset ") && what.ends_with(" (p1 is hasty)"), "{what}");
}

#[test]
fn panic_in_program_or_task_is_reported_with_its_location() {
    let report = small("careless")
        .client("careless", |host| async move {
            host.sleep(SECOND).await;
            assert_eq!(1 + 1, 3, "sums");
        })
        .run();
    let (invariant, what) = worst(&report);
    assert_eq!((report.verdict, invariant), (Verdict::Broke, PANICS));
    assert!(what.starts_with("careless panicked at src/harness/tests/mod.rs:"), "{what}");
    assert!(what.contains("sums") && what.contains(" s"), "{what}");
    assert_ne!(report.runs[0].trace, "0000000000000000", "the rest of the run went on");

    let report = small("careless-task")
        .client("careless", |host| async move {
            let other = host.clone();
            host.spawn(async move { panic!("in {}", other.name()) });
            host.sleep(SECOND).await;
        })
        .run();
    let (invariant, what) = worst(&report);
    assert_eq!(invariant, PANICS);
    assert!(what.contains("in careless"), "{what}");
}

#[test]
fn error_returned_by_a_program_fails_the_run() {
    let simulation = small("wrong")
        .client("wrong", |host| async move { host.producer(&[("ackz", "all")]).map(drop) });
    let report = simulation.run();
    let (invariant, what) = worst(&report);
    assert_eq!((report.verdict, invariant), (Verdict::Broke, SUCCEEDS));
    assert!(what.starts_with("wrong ended with an error: unknown key `ackz`"), "{what}");
}

#[test]
fn hanging_program_is_stuck_and_reports_what_it_awaits() {
    let report = small("patient").client("patient", |host| reader(host, 1)).run();
    let (invariant, what) = worst(&report);
    assert_eq!((report.verdict, invariant), (Verdict::Stuck, ENDS));
    let expected = "patient has not ended 60 s after the heal, and waits for records of orders-0";
    assert!(what.starts_with(expected), "{what}");

    let report = small("silent").client("silent", |_| std::future::pending::<()>()).run();
    let (_, what) = worst(&report);
    assert!(what.ends_with("waits for something outside brokerquake"), "{what}");
}

#[test]
fn service_is_asked_to_stop_and_killed_after_the_grace_period() {
    let report = small("services")
        .client("shop", |host| shop(host, 3))
        .service("polite", |host| async move {
            host.terminated().await;
            host.note("good bye");
        })
        .service("deaf", |host| async move {
            loop {
                host.sleep(SECOND).await;
            }
        })
        .check("ends", |history: &History| {
            let end = |name: &str| {
                let mut of_host = history.events().iter().filter(|event| *event.host == *name);
                of_host.next_back().map(|event| event.to_string()).unwrap_or_default()
            };
            let (polite, deaf) = (end("polite"), end("deaf"));
            let expected = polite.ends_with("polite ended") && deaf.ends_with("deaf was killed");
            if expected { Ok(()) } else { Err(format!("{polite}; {deaf}")) }
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn killed_program_restarts_with_its_saved_files() {
    let report = small("saving")
        .client("counter", |host| async move {
            let saved = host.load("count").await?.unwrap_or_default();
            let mut count: u64 = String::from_utf8(saved)?.parse().unwrap_or(0);
            while count < 100 {
                count += 1;
                host.save("count", count.to_string().as_bytes()).await?;
                host.note(count.to_string());
                host.sleep(Duration::from_millis(20)).await;
            }
            Ok::<(), Failure>(())
        })
        // Inside of a save, too: what the program comes to in that moment is void.
        .fault(
            Fault::power_loss("counter")
                .every("300ms..900ms")
                .down("100ms")
                .with("operation", "0..20"),
        )
        .check("counts-on", |history: &History| {
            let counts: Vec<u64> =
                history.notes("counter").filter_map(|(_, note)| note.parse().ok()).collect();
            let boots = history.events().iter().filter(|event| {
                *event.host == *"counter" && matches!(event.what, Happening::Booted)
            });
            // A count that was saved but not noted is skipped; none comes twice.
            let rises = counts.windows(2).all(|two| two[0] < two[1]);
            match (boots.count(), rises, counts.last()) {
                (3.., true, Some(100)) => Ok(()),
                other => Err(format!("{other:?} {counts:?}")),
            }
        })
        .seeds(0..3)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn driver_injects_faults_and_gets_a_description_back() {
    small("driven")
        .client("shop", |host| shop(host, 30))
        .driver(|cluster| async move {
            cluster.settled().await?;
            let old = cluster.leader("orders", 0).await?;
            let struck = cluster.strike(Fault::kill("leader of orders-0")).await?;
            assert!(struck.contains(&format!("kill of {}", old.clone().unwrap())), "{struck}");
            let again = cluster.strike(Fault::kill(old.clone().unwrap())).await;
            assert!(matches!(again, Err(FaultError::NoHost(_))), "{again:?}");
            let wrong = cluster.strike(Fault::kill("laeder")).await.unwrap_err().to_string();
            assert!(wrong.contains("did you mean `leader`?"), "{wrong}");
            while cluster.leader("orders", 0).await? == old {
                cluster.host().sleep(Duration::from_millis(20)).await;
            }
            cluster.heal().await?;
            cluster.settled().await?;
            cluster.strike(Fault::pause("shop").down("1s")).await?;
            // Longer than the simulation's own duration: it waits for its driver.
            cluster.host().sleep(5 * SECOND).await;
            Ok::<(), FaultError>(())
        })
        .assert_holds();
}

#[test]
fn faults_are_refused_after_the_heal() {
    let report = small("late")
        .client("late", |host| async move {
            host.sleep(10 * SECOND).await;
            let late = host.cluster().strike(Fault::kill("b1")).await;
            assert_eq!(late, Err(FaultError::Over));
            assert!(host.cluster().leader("orders", 1).await.unwrap().is_some());
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn invalid_simulation_is_rejected_with_a_remedy() {
    let said = |simulation: Simulation| {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulation.run()));
        let panic = ran.expect_err("refused");
        panic.downcast_ref::<String>().expect("with words").clone()
    };
    let nothing = |_: Host| async {};
    for (simulation, expected) in [
        (Simulation::new("x"), "it has no topic: add"),
        (
            small("x").fault(Fault::kill("all of shopp")).client("shop", nothing),
            "did you mean `shop`?",
        ),
        (
            small("x").fault(Fault::kill("leader").before_disk_operation(0..40)),
            "unknown [[fault]] key `operation`",
        ),
        (small("x").fault(Fault::power_loss("leader").before_disk_operation(5..5)), "smaller end"),
        (small("x").fault(Fault::slow_link("b1", "b2")), "what is slow about this link?"),
        (
            small("x").set("broker.sesion.timeout.ms", 1),
            "did you mean `broker.session.timeout.ms`?",
        ),
        (small("x").fault(Fault::kill("shopp")).client("shop", nothing), "did you mean `shop`?"),
        (small("x").fault(Fault::kill("leader").every("often")), "`every = often`"),
        (small("x").client("leader", nothing), "no program can be called `leader`"),
        (small("x").client("b1", nothing), "no program can be called `b1`"),
        (small("x").client("a", nothing).service("a", nothing), "two programs are called `a`"),
        (small("x").topic("orders", |topic| topic), "two topics are called `orders`"),
        (small("x").topic("more", |topic| topic.set("x", 1)), "unknown [[topic]] key `x`"),
        (small("x").allow("duplicat"), "did you mean `duplicate`?"),
        (small("x").check("duplicate", |_| Ok::<(), String>(())), "two checks are called"),
        (small("x").fault(Fault::kill("leader of orders-7")), "there is no orders-7"),
    ] {
        let said = said(simulation);
        assert!(said.contains(expected), "{said}");
    }
}

#[cfg(feature = "referee")]
#[test]
fn turmoil_runs_the_same_programs() {
    let report = small("refereed")
        .client("shop", |host| shop(host, 10))
        .client("reader", |host| reader(host, 10))
        .fault(Fault::kill("reader").at("50ms").down("500ms"))
        .on(EngineKind::Turmoil)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[cfg(feature = "referee")]
#[test]
fn faults_that_turmoil_lacks_are_reported_or_refused() {
    let slow = || {
        let links = Fault::of_kind("slow-link").with("from", "b1").with("to", "b2");
        links.with("bandwidth", "100000")
    };
    let report = small("refused")
        .fault(slow().at("500ms"))
        .driver(move |cluster| async move {
            let refused = cluster.strike(slow()).await.unwrap_err();
            assert!(matches!(&refused, FaultError::Unsupported(_)), "{refused:?}");
            assert!(refused.to_string().contains("no bandwidth"), "{refused}");
        })
        .duration("1s")
        .on(EngineKind::Turmoil)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
    let why: Vec<_> = report.left_out().collect();
    assert!(
        why.len() == 1 && why[0].contains("turmoil") && why[0].contains("bandwidth"),
        "{why:?}"
    );
}

#[test]
fn program_that_spins_while_time_stands_still_is_stuck_and_named() {
    let engines = [
        EngineKind::Leap,
        #[cfg(feature = "referee")]
        EngineKind::Turmoil,
    ];
    for engine in engines {
        let report = small("spins")
            .client("spinner", |host| async move {
                host.sleep(SECOND).await;
                while host.name() == "spinner" {
                    host.sleep(Duration::ZERO).await;
                }
            })
            .on(engine)
            .run();
        let (invariant, what) = worst(&report);
        assert_eq!((report.verdict, invariant), (Verdict::Stuck, ADVANCES), "{engine:?}");
        assert!(what.contains("spinner's task `boot`"), "{what}");
    }
}

#[test]
fn simulation_without_clients_tests_nothing() {
    let report = small("empty").run();
    assert_eq!(report.verdict, Verdict::Untested);
    assert!(report::failure(&report).contains("no client takes part"));
}

#[test]
fn program_that_sends_to_an_undeclared_topic_fails() {
    let report = small("mistyped")
        .client("shop", |host| async move {
            let producer = host.producer(&[("max.block.ms", "500")])?;
            let _ = producer.send_and_wait(ProducerRecord::new("order", "one")).await;
            Ok::<(), Failure>(())
        })
        .run();
    let (invariant, what) = worst(&report);
    assert_eq!((report.verdict, invariant), (Verdict::Broke, SUCCEEDS));
    assert_eq!(what, "shop sent to `order`, which is not declared; did you mean `orders`?");
}

#[test]
fn nondeterminism_of_a_program_is_named_by_its_first_event() {
    static RUNS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let report = small("astray")
        .client("astray", |host| async move {
            let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            host.sleep(SECOND).await;
            host.note(format!("run {run}"));
        })
        .run();
    assert_eq!(report.verdict, Verdict::Nondeterministic);
    let said = report::failure(&report);
    assert!(said.contains("run 2") && said.contains("run 3"), "the event of both runs: {said}");
    assert!(said.contains("hash map") && said.contains("`host.now`"), "cause and remedy: {said}");
}
