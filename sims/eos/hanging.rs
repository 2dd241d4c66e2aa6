//! A transaction that no coordinator knows is found, and aborted by an administrator.

use std::time::Duration;

use brokerquake::base::ProducerEpoch;
use brokerquake::client::AbortSpec;
use brokerquake::prelude::*;

/// A producer whose only batch arrives after it has aborted its transaction, in version 1 and without
/// verification.
fn hangs() -> Simulation {
    Simulation::new("a transaction hangs")
        .set("transaction.version", 1)
        .set("transaction.partition.verification.enable", false)
        .topic("payments", |topic| topic.partitions(1))
        .client("till", |host| async move {
            let settings = [
                ("transactional.id", "till"),
                ("request.timeout.ms", "1000"),
                ("delivery.timeout.ms", "1000"),
                ("linger.ms", "0"),
                ("transaction.timeout.ms", "5000"),
            ];
            let producer = host.producer(&settings).unwrap();
            producer.init_transactions().await.unwrap();
            producer.begin_transaction().unwrap();
            let lost = producer.send_and_wait(ProducerRecord::new("payments", "a")).await;
            host.note(format!("stored: {}", lost.is_ok()));
            let aborted = producer.abort_transaction().await;
            host.note(format!("aborted: {}", aborted.is_ok()));
        })
        .tables(
            "[[fault]]\nkind = \"late-messages\"\ntarget = \"till\"\napi = \"Produce\"\n\
             latency = \"6s\"\nat = \"0s\"\n",
        )
        .duration("30s")
        .seeds(0..1)
}

/// Looks for hanging transactions, and aborts them.
async fn operator(host: Host) {
    let admin = host.admin(&[]).unwrap();
    let payments = [TopicPartition::new("payments", 0)];
    let open = Duration::from_secs(1);
    host.sleep(Duration::from_secs(12)).await;
    for hanging in admin.find_hanging_transactions(&payments, open).await.unwrap() {
        host.note(format!("{} hangs", hanging.partition));
        let told = &hanging.producer;
        let spec = AbortSpec {
            partition: hanging.partition.clone(),
            producer: told.producer,
            epoch: ProducerEpoch(i16::try_from(told.epoch).unwrap()),
            coordinator_epoch: told.coordinator_epoch.max(0),
        };
        admin.abort_transaction(&spec).await.unwrap();
    }
    let left = admin.find_hanging_transactions(&payments, Duration::ZERO).await.unwrap();
    host.note(format!("{} left", left.len()));
}

#[test]
fn transaction_of_a_late_batch_hangs_until_an_administrator_aborts_it() {
    hangs().assert_breaks("no-hanging-transaction");
    hangs()
        .client("operator", operator)
        .check("found-and-aborted", |history: &History| {
            let of = |program| -> Vec<_> { history.notes(program).map(|(_, note)| note).collect() };
            let (till, operator) = (of("till"), of("operator"));
            let gave_up = till == ["stored: false", "aborted: true"];
            match gave_up && operator == ["payments-0 hangs", "0 left"] {
                true => Ok(()),
                false => Err(format!("{till:?} {operator:?}")),
            }
        })
        // The transaction ended, and with a marker that no coordinator decided.
        .assert_breaks("markers-complete");
}
