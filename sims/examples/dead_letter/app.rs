//! Orders that are tried again after a backoff, and end in a dead-letter topic after three attempts.
//!
//! `fulfilment` reads `orders`. An attempt that fails is put into `orders-retry` with the time before
//! which it is not tried again; `retries` reads that topic and waits. After the last attempt an order
//! goes to `orders-dead`. An offset is committed once the next step of each record up to it is
//! acknowledged, so that a crash repeats attempts, and loses none.

use std::error::Error;
use std::time::Duration;

use brokerquake::prelude::*;

/// Attempts before an order is dead.
pub const ATTEMPTS: u64 = 3;
/// Orders of a run.
pub const ORDERS: u64 = 40;
/// The clerk leaves when nothing more has come for this long.
const SILENCE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

type Outcome = Result<(), Box<dyn Error>>;

/// What a version of the application does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Nothing.
    Correct,
    /// It commits what it has read before it has processed it.
    CommitsFirst,
    /// It tries again at once.
    Impatient,
}

/// The time from attempt `attempt` to the next.
pub fn backoff(attempt: u64) -> Duration {
    Duration::from_millis(500 << attempt)
}

/// Sends orders. The value says how many attempts fail.
pub async fn shop(host: Host) -> Outcome {
    let producer = host.producer(&[("acks", "all")])?;
    for order in 0..ORDERS {
        let fails = host.draw(0..ATTEMPTS + 2).to_string();
        let order = ProducerRecord::new("orders", fails).with_key(format!("order-{order}"));
        producer.send_and_wait(order).await?;
        host.sleep(Duration::from_millis(host.draw(50..200))).await;
    }
    Ok(())
}

/// Waits until every order is fulfilled or dead, or nothing happens any more.
pub async fn clerk(host: Host) -> Outcome {
    let mut consumer = host.consumer(&[("auto.offset.reset", "earliest")])?;
    consumer.assign(["fulfilled", "orders-dead"].map(|topic| TopicPartition::new(topic, 0)));
    let mut ended = std::collections::BTreeSet::new();
    let mut last = host.now();
    while ended.len() < ORDERS as usize && host.now().since(last) < SILENCE {
        for record in consumer.poll(SECOND).await? {
            last = host.now();
            ended.extend(record.key);
        }
    }
    Ok(())
}

/// Reads `orders`, as one of several members of a group.
pub async fn fulfilment(host: Host, version: Version) -> Outcome {
    work(host, "fulfilment", "orders", version).await
}

/// Reads `orders-retry`, and waits with each record until it may be tried again.
pub async fn retries(host: Host, version: Version) -> Outcome {
    work(host, "retries", "orders-retry", version).await
}

async fn work(host: Host, group: &str, topic: &str, version: Version) -> Outcome {
    let producer = host.producer(&[("acks", "all")])?;
    let mut consumer = host.consumer(&[
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        // The longest wait is below this, so that a member that waits is not expelled.
        ("max.poll.interval.ms", "60000"),
        ("max.poll.records", "5"),
        // A program that crashed comes back as the same member, and keeps its partitions.
        ("group.instance.id", host.name()),
        ("session.timeout.ms", "10000"),
    ])?;
    consumer.subscribe([topic])?;
    while let Some(polled) = host.unless_terminated(consumer.poll(SECOND)).await {
        let records = polled?;
        if version == Version::CommitsFirst {
            commit(&mut consumer).await;
        }
        for record in &records {
            attempt(&host, &producer, record, version).await?;
        }
        commit(&mut consumer).await;
    }
    consumer.close(SECOND).await;
    Ok(())
}

/// A later commit makes up for one that fails, and a repeated attempt does no harm.
async fn commit(consumer: &mut Consumer) {
    let _ = consumer.commit_sync(5 * SECOND).await;
}

/// Tries an order, and sends it where it goes next.
async fn attempt(
    host: &Host,
    producer: &Producer,
    record: &ConsumerRecord,
    version: Version,
) -> Outcome {
    let attempt = number(record, "attempt").unwrap_or(1);
    if let Some(not_before) = number(record, "not-before")
        && version != Version::Impatient
    {
        let now = host.wall_clock().0.unsigned_abs();
        host.sleep(Duration::from_millis(not_before.saturating_sub(now))).await;
    }
    let (order, fails) = (text(record.key.as_deref()), text(record.value.as_deref()));
    host.note(format!("{order} {attempt}"));
    host.sleep(Duration::from_millis(host.draw(1..30))).await;
    let topic = match fails.parse::<u64>()? < attempt {
        true => "fulfilled",
        false if attempt < ATTEMPTS => "orders-retry",
        false => "orders-dead",
    };
    let mut next = ProducerRecord::new(topic, fails).with_key(order);
    if topic == "orders-retry" {
        let not_before = host.wall_clock().0.unsigned_abs() + backoff(attempt).as_millis() as u64;
        next = with(with(next, "attempt", attempt + 1), "not-before", not_before);
    }
    producer.send_and_wait(next).await?;
    Ok(())
}

fn with(mut record: ProducerRecord, key: &str, value: u64) -> ProducerRecord {
    record
        .headers
        .push(Header { key: key.to_owned().into(), value: Some(value.to_string().into()) });
    record
}

fn number(record: &ConsumerRecord, key: &str) -> Option<u64> {
    let header = record.headers.iter().find(|header| header.key == key)?;
    text(header.value.as_deref()).parse().ok()
}

/// Bytes as text.
pub fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
