//! Consume, transform, produce: exactly once, over crashes, rebalances and fencing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::transacting::Input;
use super::{Consumer, Host, Producer};
use crate::base::config::{Config, ConfigError, ConsumerConfig, ProducerConfig};
use crate::base::{Offset, TopicPartition};
use crate::client::{
    CommittedOffset, ConsumeError, ConsumerRecord, ErrorClass, GroupMetadata, ProducerRecord,
    TransactionError,
};

/// How long it waits for its group's committed offsets, and for the producer that it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of one [pass](Transformer::pass).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// There were no records.
    Nothing,
    /// So many records were read, and their outputs and offsets are committed.
    Committed(usize),
    /// Nothing was committed. The next pass reads the same records again, unless another member of the
    /// group has got them.
    Repeats(TransactionError),
}

/// The reason why a transformer can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// The consumer needs its program. The next pass continues.
    #[error("{0}")]
    Consume(#[from] ConsumeError),
    /// The transaction failed in a way that another producer can't repair.
    #[error("{0}")]
    Transaction(#[from] TransactionError),
    /// A setting of the producer is invalid.
    #[error("{0}")]
    Config(#[from] ConfigError),
}

/// A consumer in a group and a transactional producer: what it reads, what it writes because of that,
/// and that it was read, become visible together or not at all (KIP-447).
///
/// A transaction that fails is aborted, and the records are read again. A producer that is fenced is
/// replaced by another one. So each record is transformed at least once, and its outputs are committed
/// once. A transformation that has other effects than its outputs repeats those.
///
/// Each instance needs a `transactional.id` of its own, which it has again after a crash: with one, its
/// successor aborts at once what it left open.
///
/// ```no_run
/// use std::time::Duration;
/// use brokerquake::prelude::*;
///
/// async fn invoices(host: Host) -> Result<(), Box<dyn std::error::Error>> {
///     let reads = [("group.id", "invoices"), ("auto.offset.reset", "earliest")];
///     let writes = [("transactional.id", host.name())];
///     let mut transformer = host.transformer(&reads, &writes)?;
///     transformer.subscribe(["orders"])?;
///     let mut pass = async || {
///         let invoice = |order: &ConsumerRecord| {
///             vec![ProducerRecord::new("invoices", order.value.clone().unwrap_or_default())]
///         };
///         transformer.pass(Duration::from_secs(1), invoice).await
///     };
///     while let Some(passed) = host.unless_terminated(pass()).await {
///         if let Passed::Repeats(error) = passed? {
///             host.note(format!("repeats: {error}"));
///         }
///     }
///     transformer.close(Duration::from_secs(5)).await;
///     Ok(())
/// }
/// # let _ = invoices;
/// ```
pub struct Transformer {
    host: Host,
    consumer: Consumer,
    /// With its id; `None` before the first pass, and after it could not go on.
    producer: Option<Producer>,
    settings: ProducerConfig,
    /// The first records of a pass that was not committed, or perhaps was.
    unsettled: BTreeMap<TopicPartition, Offset>,
}

/// A record that was read, and what is made of it.
struct Made {
    record: ConsumerRecord,
    /// Its unique value, if it was recorded when it was sent.
    value: Option<u64>,
    outputs: Vec<ProducerRecord>,
}

impl Host {
    /// A consumer in a group and a transactional producer, with these settings by Kafka's names, that
    /// read, transform and write exactly once. It reads committed records only, unless
    /// `isolation.level` is set.
    ///
    /// # Errors
    /// When a setting is missing, unknown, invalid or not supported; it says what would be right.
    pub fn transformer(
        &self,
        reads: &[(&str, &str)],
        writes: &[(&str, &str)],
    ) -> Result<Transformer, ConfigError> {
        let (mut consumer, mut producer) = (ConsumerConfig::default(), ProducerConfig::default());
        consumer.set_all(self.found_at())?;
        consumer.set("isolation.level", "read_committed")?;
        consumer.set_all(reads.iter().copied())?;
        producer.set_all(self.found_at())?;
        producer.set_all(writes.iter().copied())?;
        Transformer::new(self.clone(), consumer, producer)
    }
}

impl Transformer {
    pub(super) fn new(
        host: Host,
        mut reads: ConsumerConfig,
        writes: ProducerConfig,
    ) -> Result<Self, ConfigError> {
        let refuse = |key: &str, value: &str, problem: &str| {
            let (key, value, problem) = (key.into(), value.into(), problem.into());
            Err(ConfigError::BadValue { key, value, problem })
        };
        if reads.group_id.is_empty() {
            return refuse("group.id", "", "a transformer reads as a member of a group: set it");
        }
        if !writes.is_transactional() {
            return refuse("transactional.id", "", "a transformer writes in transactions: set it");
        }
        if reads.enable_auto_commit.set && reads.enable_auto_commit.value {
            let problem = "a transformer commits offsets in its transactions: leave it out";
            return refuse("enable.auto.commit", "true", problem);
        }
        writes.check()?;
        reads.set("enable.auto.commit", "false")?;
        let consumer = Consumer::new(host.clone(), reads)?;
        let unsettled = BTreeMap::new();
        Ok(Self { host, consumer, producer: None, settings: writes, unsettled })
    }

    /// Joins the group, with the next pass, to read a share of these topics.
    ///
    /// # Errors
    /// See [`Consumer::subscribe`].
    pub fn subscribe<T: AsRef<str>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ConsumeError> {
        self.consumer.subscribe(topics)
    }

    /// The consumer, to look at it. It must not poll, seek or commit itself.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Reads once, for up to `timeout`, and sends what `transform` makes of each record, in one
    /// transaction with the offsets.
    ///
    /// # Errors
    /// When the consumer needs its program, or the producer its operator. The records are read again.
    pub async fn pass(
        &mut self,
        timeout: Duration,
        mut transform: impl FnMut(&ConsumerRecord) -> Vec<ProducerRecord>,
    ) -> Result<Passed, TransformError> {
        if self.producer.is_none() {
            match self.start().await {
                Ok(producer) => self.producer = Some(producer),
                Err(TransformError::Transaction(error)) => return self.settle(error).await,
                Err(error) => return Err(error),
            }
        }
        self.rewind().await?;
        let records = self.consumer.poll_numbered(timeout).await?;
        let Some((first, _)) = records.first() else { return Ok(Passed::Nothing) };
        let topic = first.partition.topic.to_string();
        for (record, _) in records.iter().rev() {
            self.unsettled.insert(record.partition.clone(), record.offset);
        }
        // Of the generation in which they were read: a later one proves nothing (KIP-447).
        let Some(group) = self.consumer.group_metadata().filter(|group| group.generation >= 0)
        else {
            tracing::debug!(topic, "no member of the group any more");
            self.unsettled.clear();
            return Ok(Passed::Nothing);
        };
        let count = records.len();
        let made = records.into_iter().map(|(record, value)| {
            let outputs = transform(&record);
            Made { record, value, outputs }
        });
        match self.transact(made.collect(), group).await {
            Ok(()) => {
                self.unsettled.clear();
                Ok(Passed::Committed(count))
            }
            Err(error) => self.settle(error).await,
        }
    }

    /// Leaves the group, and closes the producer. A transaction is never open between two passes.
    pub async fn close(mut self, timeout: Duration) {
        if let Some(producer) = self.producer.take() {
            producer.close(timeout).await;
        }
        self.consumer.close(timeout).await;
    }

    async fn start(&self) -> Result<Producer, TransformError> {
        let producer = Producer::start(self.host.clone(), self.settings.clone())?;
        loop {
            match producer.init_transactions().await {
                Ok(()) => return Ok(producer),
                Err(error) if error.is_retriable() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn transact(
        &self,
        made: Vec<Made>,
        group: GroupMetadata,
    ) -> Result<(), TransactionError> {
        let Some(producer) = &self.producer else { return Err(TransactionError::closed()) };
        producer.begin_transaction()?;
        let offsets = next_offsets(made.iter().map(|made| &made.record));
        for Made { record, value, outputs } in made {
            let (partition, offset) = (record.partition, record.offset);
            let input = value.map(|value| Input { partition, offset, value });
            producer.transform(&group.group, input, outputs).await;
        }
        producer.send_offsets_to_transaction(offsets, group).await?;
        loop {
            match producer.commit_transaction().await {
                Err(error) if error.is_retriable() => {}
                told => return told,
            }
        }
    }

    /// Brings the producer back to where a transaction can begin, if there is a way.
    async fn settle(&mut self, error: TransactionError) -> Result<Passed, TransformError> {
        let mut last = error.clone();
        if (last.is_abortable() || last.is_retriable())
            && let Some(producer) = &self.producer
        {
            loop {
                match producer.abort_transaction().await {
                    Ok(()) => return Ok(Passed::Repeats(error)),
                    Err(again) if again.is_retriable() => {}
                    Err(other) => {
                        last = other;
                        break;
                    }
                }
            }
        }
        // Its successor aborts, or finds completed, what it left open.
        if let Some(producer) = self.producer.take() {
            producer.close(Duration::ZERO).await;
        }
        match last.class {
            ErrorClass::InvalidConfiguration | ErrorClass::Misuse => Err(last.into()),
            _ => Ok(Passed::Repeats(error)),
        }
    }

    /// Goes back to what the group has committed, after a pass that was not, or perhaps was.
    async fn rewind(&mut self) -> Result<(), ConsumeError> {
        let owned = self.consumer.assignment();
        self.unsettled.retain(|partition, _| owned.contains(partition));
        if self.unsettled.is_empty() {
            return Ok(());
        }
        let partitions: Vec<_> = self.unsettled.keys().cloned().collect();
        let committed = self.consumer.committed(&partitions, PATIENCE).await?;
        for (partition, first) in std::mem::take(&mut self.unsettled) {
            let known = committed.get(&partition).and_then(Option::as_ref);
            self.consumer.seek(&partition, known.map_or(first, |committed| committed.offset));
        }
        Ok(())
    }
}

/// After the last record of each partition.
fn next_offsets<'a>(
    records: impl Iterator<Item = &'a ConsumerRecord>,
) -> BTreeMap<TopicPartition, CommittedOffset> {
    let next = |record: &ConsumerRecord| CommittedOffset {
        offset: record.offset.next(),
        leader_epoch: record.leader_epoch,
        metadata: String::new(),
    };
    records.map(|record| (record.partition.clone(), next(record))).collect()
}
