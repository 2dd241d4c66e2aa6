//! Reminders that are delivered at a time of their own, and a group of schedulers that keeps them until
//! then.
//!
//! A scheduler holds the reminders of its partitions in memory. It commits the offset of the first one
//! that is still to be delivered, so that the next owner of a partition reads it, and everything after
//! it, again: delivery is at least once.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brokerquake::prelude::*;

/// Reminders of a run.
pub const REMINDERS: u64 = 40;
/// The listener leaves when nothing more has come for this long.
const SILENCE: Duration = Duration::from_secs(40);
const SECOND: Duration = Duration::from_secs(1);

type Outcome = Result<(), Box<dyn Error>>;

/// What a version of the scheduler does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Nothing.
    Correct,
    /// It commits what it has read, delivered or not.
    Forgetful,
    /// It counts in whole seconds, and rounds down.
    Hasty,
}

/// The time for which a reminder asks, in milliseconds of the date: its value.
pub fn due(value: Option<&[u8]>) -> i64 {
    let text = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    text.parse().unwrap_or(i64::MAX)
}

/// Asks for reminders in up to eight seconds.
pub async fn calendar(host: Host) -> Outcome {
    let producer = host.producer(&[("acks", "all")])?;
    for reminder in 0..REMINDERS {
        let due = host.wall_clock().0 + host.draw(100..8000) as i64;
        let reminder = ProducerRecord::new("reminders", due.to_string())
            .with_key(format!("reminder-{reminder}"));
        producer.send_and_wait(reminder).await?;
        host.sleep(Duration::from_millis(host.draw(50..300))).await;
    }
    Ok(())
}

/// Reads what is delivered, until that is everything or nothing more comes.
pub async fn person(host: Host) -> Outcome {
    let mut consumer = host.consumer(&[("auto.offset.reset", "earliest")])?;
    consumer.assign([TopicPartition::new("delivered", 0)]);
    let (mut heard, mut last) = (BTreeSet::new(), host.now());
    while heard.len() < REMINDERS as usize && host.now().since(last) < SILENCE {
        for record in consumer.poll(SECOND).await? {
            last = host.now();
            heard.extend(record.key);
        }
    }
    Ok(())
}

/// Reminders that are still to be delivered, by time and place.
type Pending = BTreeMap<(i64, TopicPartition, Offset), ConsumerRecord>;

/// What a scheduler and its rebalance listener share.
type Shared = Arc<Mutex<Pending>>;

/// Forgets the reminders of partitions that other members get.
struct Handover(Shared);

impl RebalanceListener for Handover {
    fn revoked<'a>(&'a self, _: Member<'a>, gone: &'a [TopicPartition]) -> Told<'a> {
        self.0.lock().unwrap().retain(|(_, partition, _), _| !gone.contains(partition));
        Box::pin(std::future::ready(()))
    }
}

/// Keeps reminders until they are due.
pub async fn scheduler(host: Host, version: Version) -> Outcome {
    let producer = host.producer(&[("acks", "all")])?;
    let mut consumer = host.consumer(&[
        ("group.id", "schedulers"),
        ("group.protocol", "consumer"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ])?;
    let pending = Shared::default();
    consumer.set_listener(Handover(Arc::clone(&pending)));
    consumer.subscribe(["reminders"])?;
    let mut committed = Vec::new();
    while let Some(polled) = host.unless_terminated(consumer.poll(Duration::from_millis(100))).await
    {
        let records = polled?.into_iter();
        let records = records.map(|record| {
            let place = (record.partition.clone(), record.offset);
            ((due(record.value.as_deref()), place.0, place.1), record)
        });
        pending.lock().unwrap().extend(records);
        deliver(&host, &producer, &pending, version).await?;
        let offsets = match version {
            Version::Forgetful => positions(&consumer),
            Version::Correct | Version::Hasty => undelivered(&consumer, &pending),
        };
        // A later commit makes up for one that fails.
        if offsets != committed
            && consumer.commit_offsets(offsets.clone(), 5 * SECOND).await.is_ok()
        {
            committed = offsets;
        }
    }
    consumer.close(SECOND).await;
    Ok(())
}

/// Delivers what is due.
async fn deliver(host: &Host, producer: &Producer, pending: &Shared, version: Version) -> Outcome {
    loop {
        let now = host.wall_clock().0;
        let next = pending
            .lock()
            .unwrap()
            .first_key_value()
            .map(|(place, record)| (place.clone(), record.key.clone(), record.value.clone()));
        let Some((place, Some(key), Some(value))) = next else { return Ok(()) };
        let is_due = match version {
            Version::Hasty => place.0 / 1000 <= now / 1000,
            Version::Correct | Version::Forgetful => place.0 <= now,
        };
        if !is_due {
            return Ok(());
        }
        let delivery = ProducerRecord::new("delivered", value).with_key(key);
        producer.send_and_wait(delivery).await?;
        pending.lock().unwrap().remove(&place);
    }
}

/// The end of what was read.
fn positions(consumer: &Consumer) -> Vec<(TopicPartition, CommittedOffset)> {
    let all = consumer.assignment().into_iter();
    let all = all.filter_map(|partition| Some((consumer.position(&partition)?, partition)));
    all.map(|(offset, partition)| (partition, CommittedOffset::at(offset))).collect()
}

/// The first reminder of each partition that is still to be delivered, or the end of what was read.
fn undelivered(consumer: &Consumer, pending: &Shared) -> Vec<(TopicPartition, CommittedOffset)> {
    let mut offsets: BTreeMap<_, _> = positions(consumer).into_iter().collect();
    for (_, partition, offset) in pending.lock().unwrap().keys() {
        if let Some(committed) = offsets.get_mut(partition) {
            committed.offset = committed.offset.min(*offset);
        }
    }
    offsets.into_iter().collect()
}
