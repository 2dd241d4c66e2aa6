//! Programs that write in transactions: what is recorded of them, and what finds their mistakes.

use super::*;

/// Sends two records in each of some transactions, and aborts every third.
async fn till(host: Host, transactions: u64) -> Result<(), Failure> {
    let producer = host.producer(&[("transactional.id", "till")])?;
    producer.init_transactions().await?;
    for transaction in 0..transactions {
        producer.begin_transaction()?;
        for part in ["debit", "credit"] {
            let record = ProducerRecord::new("orders", format!("{part} {transaction}"));
            drop(producer.send(record).await);
        }
        producer.flush().await;
        match transaction % 3 {
            2 => producer.abort_transaction().await?,
            _ => producer.commit_transaction().await?,
        }
        host.sleep(Duration::from_millis(host.draw(1..50))).await;
    }
    Ok(())
}

/// Reads every partition until it is asked to end.
async fn audit(host: Host, isolation: &'static str) -> Result<(), Failure> {
    let mut consumer =
        host.consumer(&[("auto.offset.reset", "earliest"), ("isolation.level", isolation)])?;
    consumer.assign(all());
    while let Some(polled) = host.unless_terminated(consumer.poll(SECOND)).await {
        for record in polled? {
            assert!(record.headers.is_empty(), "the number is taken off");
        }
    }
    Ok(())
}

fn count(history: &History, is_such: impl Fn(&Happening) -> bool) -> usize {
    history.of("till").filter(|event| is_such(&event.what)).count()
}

#[test]
fn records_of_an_aborted_transaction_are_neither_acknowledged_nor_lost() {
    let report = small("aborts")
        .client("till", |host| till(host, 12))
        .service("audit", |host| audit(host, "read_committed"))
        .check("nothing-lost", nothing_lost("orders"))
        .check("as-it-was", |history: &History| {
            let began = count(history, |what| matches!(what, Happening::TransactionBegan(_)));
            let done = count(history, |what| matches!(what, Happening::TransactionCommitted(_)));
            let undone = count(history, |what| matches!(what, Happening::TransactionAborted(_)));
            let told = count(history, |what| matches!(what, Happening::Acknowledged(..)));
            let stored = history.topic("orders").count();
            let kept = history.acknowledged("orders").count();
            let counts = ([began, done, undone], [told, kept, stored]);
            if counts == ([12, 8, 4], [24, 16, 16]) { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn transactions_of_a_program_hold_through_deaths_of_brokers_and_of_itself() {
    let report = small("shaken")
        .client("till", |host| async move {
            while let Err(error) = till(host.clone(), 30).await {
                host.note(error.to_string());
            }
        })
        .service("audit", |host| audit(host, "read_committed"))
        .service("gossip", |host| audit(host, "read_uncommitted"))
        .fault(Fault::kill("leader").every("1s..3s").down("500ms..2s"))
        .fault(Fault::kill("till").every("2s..4s").down("500ms"))
        .check("nothing-lost", nothing_lost("orders"))
        .duration("12s")
        .seeds(0..4)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

/// Reads payments and writes one receipt for each, exactly once.
async fn receipts(host: Host) -> Result<(), Failure> {
    let reads = [
        ("group.id", "receipts"),
        ("auto.offset.reset", "earliest"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
    ];
    let mut transformer = host.transformer(&reads, &[("transactional.id", host.name())])?;
    transformer.subscribe(["orders"])?;
    let receipt = |order: &crate::client::ConsumerRecord| {
        let receipt = ProducerRecord::new("receipts", order.value.clone().unwrap_or_default());
        vec![receipt.with_key(order.key.clone().unwrap_or_default())]
    };
    while let Some(passed) = host.unless_terminated(transformer.pass(SECOND, receipt)).await {
        passed?;
    }
    transformer.close(5 * SECOND).await;
    Ok(())
}

/// A member of the same group that has no part in the work: it reads, and commits what it has read.
async fn meddler(host: Host) -> Result<(), Failure> {
    let mut consumer = host.consumer(&[
        ("group.id", "receipts"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
    ])?;
    // By then, inputs of both partitions have had their outputs.
    host.sleep(8 * SECOND).await;
    consumer.subscribe(["orders"])?;
    while let Some(polled) = host.unless_terminated(consumer.poll(SECOND)).await {
        if !polled?.is_empty() {
            consumer.commit_sync(5 * SECOND).await?;
        }
    }
    consumer.close(5 * SECOND).await;
    Ok(())
}

/// A shop, and a service that writes receipts.
fn with_receipts(name: &str) -> Simulation {
    small(name)
        .topic("receipts", |topic| topic.partitions(2).replication_factor(3))
        .client("shop", |host| async move {
            shop(host.clone(), 600).await?;
            host.sleep(15 * SECOND).await;
            Ok::<(), Failure>(())
        })
        .service("receipts", receipts)
        .duration("8s")
}

#[test]
fn transformer_makes_one_output_per_input_through_its_own_deaths() {
    let report = with_receipts("careful")
        .fault(Fault::kill("receipts").every("1s..2s").down("500ms"))
        .check("one-receipt-each", one_output_per_input("orders", "receipts"))
        .seeds(0..3)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn inputs_that_another_member_commits_without_outputs_are_found() {
    let report = with_receipts("meddled").service("meddler", meddler).run();
    let (invariant, what) = worst(&report);
    assert_eq!(invariant, "input-output-mismatch", "{what}");
}

#[test]
fn transactional_id_that_two_programs_share_fences_the_first() {
    let program = |host: Host| async move {
        let first = host.producer(&[("transactional.id", "till")])?;
        first.init_transactions().await?;
        first.begin_transaction()?;
        drop(first.send(ProducerRecord::new("orders", "of the first")).await);
        first.flush().await;
        let second = host.producer(&[("transactional.id", "till")])?;
        second.init_transactions().await?;
        second.begin_transaction()?;
        drop(second.send(ProducerRecord::new("orders", "of the second")).await);
        second.commit_transaction().await?;
        let told = first.commit_transaction().await;
        assert!(told.is_err_and(|error| error.is_fenced()));
        Ok::<(), Failure>(())
    };
    let report = small("shared")
        .client("till", program)
        .service("audit", |host| audit(host, "read_committed"))
        .check("one-of-two", |history: &History| {
            let acknowledged: Vec<_> = history.acknowledged("orders").collect();
            let [record] = acknowledged.as_slice() else {
                return Err(format!("{acknowledged:?}"));
            };
            assert_eq!(record.value.as_deref(), Some(b"of the second".as_slice()));
            Ok(())
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}
