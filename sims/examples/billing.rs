//! The example of README.md, which shows this file from the first `use` on.

use std::collections::BTreeSet;
use std::time::Duration;

use brokerquake::prelude::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Runs in the simulation, and against a real cluster with `run_for_real`.
async fn billing(host: Host) -> Outcome {
    let producer = host.producer(&[("acks", "all")])?;
    let mut consumer = host.consumer(&[
        ("group.id", "billing"),
        ("group.instance.id", host.name()),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ])?;
    consumer.subscribe(["orders"])?;
    while let Some(polled) = host.unless_terminated(consumer.poll(Duration::from_secs(1))).await {
        for order in polled? {
            let invoice = ProducerRecord::new("invoices", "10 €");
            producer.send_and_wait(invoice.with_key(order.key.unwrap())).await?;
        }
        // A later commit makes up for one that fails.
        let _ = consumer.commit_sync(Duration::from_secs(5)).await;
    }
    Ok(())
}

/// Sends orders, and waits for an invoice of each.
async fn shop(host: Host) -> Outcome {
    let producer = host.producer(&[("acks", "all")])?;
    for order in 0..60 {
        let order = ProducerRecord::new("orders", "a book").with_key(format!("order {order}"));
        producer.send_and_wait(order).await?;
    }
    let mut consumer = host.consumer(&[("auto.offset.reset", "earliest")])?;
    consumer.assign([TopicPartition::new("invoices", 0)]);
    let mut invoiced = BTreeSet::new();
    while invoiced.len() < 60 {
        let invoices = consumer.poll(Duration::from_secs(1)).await?;
        invoiced.extend(invoices.into_iter().filter_map(|invoice| invoice.key));
    }
    Ok(())
}

#[test]
fn each_order_gets_an_invoice() {
    Simulation::new("each order gets an invoice")
        .topic("orders", |t| t.partitions(3).replication_factor(3).min_insync_replicas(2))
        .topic("invoices", |t| t.replication_factor(3).min_insync_replicas(2))
        .client("shop", shop)
        .service("billing", billing)
        .instances(3)
        .fault(Fault::kill("billing").every("1s..3s").down("100ms..1s"))
        .fault(
            // Between an invoice and the commit of its order.
            Fault::isolate("coordinator of billing")
                .of("invoices", 0)
                .when(Moment::Acknowledged)
                .at("3s")
                .down("2s"),
        )
        .check("an-invoice-each", at_least_one_output_per_input("orders", "invoices"))
        .require(acknowledged("orders").at_least(50))
        .require(struck("billing").at_least(1))
        .assert_holds();
}
