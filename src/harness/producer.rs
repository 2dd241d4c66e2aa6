//! The producer as a program has it: the client of this crate, and what is recorded beside it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Host;
use super::host::{Waits, Watched};
use super::transacting::{Asked, Input, Transactions};
use super::world::AnyWorld;
use crate::base::TopicPartition;
use crate::base::config::{Acks, ConfigError, ProducerConfig};
use crate::client::{
    self, CommittedOffset, GroupMetadata, Metrics, ProduceError, ProducerRecord, RecordMetadata,
    TransactionError, partition_of,
};
use crate::run::guests::Content;
use crate::scenario::load;
use crate::sim::{Outcome, ProducerEvent};

/// Sends records in batches. A clone is another handle on the same producer.
///
/// What it sends to declared topics is recorded, and judged: each such record travels with a header
/// of a few bytes by which it is recognised, which [`Consumer`](super::Consumer) takes off again.
/// Its transactions are recorded and judged, too.
///
/// With `transactional.id`, its records are parts of transactions:
///
/// ```no_run
/// use brokerquake::prelude::*;
///
/// async fn till(host: Host) -> Result<(), Box<dyn std::error::Error>> {
///     let producer = host.producer(&[("transactional.id", host.name())])?;
///     producer.init_transactions().await?;
///     producer.begin_transaction()?;
///     for topic in ["orders", "invoices"] {
///         let _ = producer.send(ProducerRecord::new(topic, "three apples")).await;
///     }
///     match producer.commit_transaction().await {
///         Err(error) if error.is_abortable() => producer.abort_transaction().await?,
///         told => told?,
///     }
///     Ok(())
/// }
/// # let _ = till;
/// ```
#[derive(Clone)]
pub struct Producer {
    host: Host,
    client: client::Producer<AnyWorld>,
    recording: Option<Arc<Recording>>,
}

struct Recording {
    watched: Watched,
    /// Of this producer, among all of the run.
    number: u32,
    /// Sends so far.
    sends: AtomicU64,
    acks: Acks,
    idempotent: bool,
    transactions: Option<Arc<Transactions>>,
}

/// Where a record goes, and its number among the sends of its producer.
type Placed = (TopicPartition, u64);

impl Producer {
    pub(super) fn start(host: Host, config: ProducerConfig) -> Result<Self, ConfigError> {
        let (acks, idempotent) = (config.acks, config.idempotent());
        let client = client::Producer::start(host.world().clone(), config.clone())?;
        let recording = host.watched().map(|watched| {
            let number = {
                let mut book = watched.book.lock();
                book.producers += 1;
                book.transacts |= config.is_transactional();
                book.producers
            };
            let transactions = Transactions::of(host.world(), number, &config);
            Arc::new(Recording {
                watched: watched.clone(),
                number,
                sends: AtomicU64::new(0),
                acks,
                idempotent,
                transactions,
            })
        });
        Ok(Self { host, client, recording })
    }

    /// Hands a record over. Waits only while `buffer.memory` is exhausted, up to `max.block.ms`;
    /// what is awaited from the [`Delivery`] is the broker's word.
    ///
    /// In a simulation a record that has neither partition nor key goes to a drawn partition, each
    /// on its own, and not to one partition for a batch.
    pub async fn send(&self, record: ProducerRecord) -> Delivery {
        let placed = self.number(&record);
        self.send_placed(record, placed).await
    }

    /// Sends what a program made of an input, in a transaction of which its group's offset is a part.
    pub(super) async fn transform(
        &self,
        group: &str,
        input: Option<Input>,
        outputs: Vec<ProducerRecord>,
    ) {
        let placed = outputs.into_iter().map(|output| (self.number(&output), output));
        let placed: Vec<_> = placed.collect();
        if let (Some(recording), Some(input)) = (&self.recording, input)
            && let Some(transactions) = &recording.transactions
        {
            let ops = placed.iter().filter_map(|(placed, _)| placed.as_ref().map(|(_, op)| *op));
            let values = ops.map(|op| recording.value(op)).collect();
            transactions.transformed(group, input, values);
        }
        for (placed, output) in placed {
            // The commit waits for it, and fails if it does.
            drop(self.send_placed(output, placed).await);
        }
    }

    async fn send_placed(&self, record: ProducerRecord, placed: Option<Placed>) -> Delivery {
        let (Some(recording), Some((partition, op))) = (&self.recording, placed) else {
            return Delivery(Awaits::Client(self.client.send(record).await));
        };
        let record = recording.record(&self.host, record, &partition, op);
        let waits = self.host.waits(|| format!("room for its send {op} to {partition}"));
        let delivery = self.client.send(record).await;
        drop(waits);
        let (tell, told) = oneshot::channel();
        let (world, producer) = (self.host.world().clone(), recording.number);
        // Recorded whether or not the program awaits it: it may rely on `flush`.
        self.host.spawn(async move {
            let verdict = delivery.await;
            let outcome = match &verdict {
                Ok(stored) => Outcome::Ok { offset: stored.offset },
                Err(error) if error.may_be_stored => {
                    Outcome::Unknown { error: error.name().into() }
                }
                Err(error) => Outcome::Fail { error: error.name().into() },
            };
            world.observe(ProducerEvent::Told { producer, op, outcome });
            let _ = tell.send(verdict);
        });
        let what = format!("the answer to its send {op} to {partition}");
        Delivery(Awaits::Told { told, host: self.host.clone(), what, waits: None })
    }

    /// Hands a record over and waits for the broker's word.
    pub async fn send_and_wait(
        &self,
        record: ProducerRecord,
    ) -> Result<RecordMetadata, ProduceError> {
        self.send(record).await.await
    }

    /// Gets the producer id of its `transactional.id`. Fences every earlier producer that has it, and
    /// waits until what that left open is completed or aborted. To be called once, before any
    /// transaction.
    ///
    /// # Errors
    /// Its [class](crate::client::ErrorClass) says what to do next. After a timeout (`max.block.ms`),
    /// make the same call again: it continues.
    pub async fn init_transactions(&self) -> Result<(), TransactionError> {
        let _waits = self.host.waits(|| "its producer's transactional id".into());
        self.client.init_transactions().await?;
        if let Some(transactions) = self.transactions() {
            transactions.identified(self.client.identity());
        }
        Ok(())
    }

    /// Begins a transaction. Nothing is sent before its first record or offsets.
    ///
    /// # Errors
    /// Without `transactional.id`, before [`Self::init_transactions`], and in the middle of another
    /// transaction.
    pub fn begin_transaction(&self) -> Result<(), TransactionError> {
        if let Some(transactions) = self.transactions() {
            transactions.look_at(self.client.identity());
        }
        self.client.begin_transaction()?;
        if let Some(transactions) = self.transactions() {
            transactions.began();
        }
        Ok(())
    }

    /// Makes consumed offsets, each the next one to be read, part of the transaction: they are committed
    /// with it, if the consumer is still a member of its group in that generation. Take `group` after
    /// the poll that returned the records. [`Transformer`](super::Transformer) does all of that.
    ///
    /// # Errors
    /// See [`Self::init_transactions`].
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        group: GroupMetadata,
    ) -> Result<(), TransactionError> {
        let _waits = self.host.waits(|| format!("offsets of `{}` in a transaction", group.group));
        let offsets: Vec<_> = offsets.into_iter().collect();
        let Some(transactions) = self.transactions() else {
            return self.client.send_offsets_to_transaction(offsets, group).await;
        };
        let at = |(name, at): &(TopicPartition, CommittedOffset)| (name.clone(), at.offset);
        transactions.sending_offsets(&group, offsets.iter().map(at).collect());
        let name = group.group.clone();
        let told = self.client.send_offsets_to_transaction(offsets, group).await;
        transactions.sent_offsets(&name, &told);
        told
    }

    /// Waits until every record of the transaction is stored, and commits it.
    ///
    /// # Errors
    /// See [`Self::init_transactions`]. If a record failed, the transaction has to be aborted.
    pub async fn commit_transaction(&self) -> Result<(), TransactionError> {
        let _waits = self.host.waits(|| "the commit of a transaction".into());
        let asked = self.transactions().and_then(|transactions| transactions.asks(true));
        let told = self.client.commit_transaction().await;
        self.ended(asked, &told);
        told
    }

    /// Gives up the records of the transaction that were not sent, waits for the others, and aborts it.
    ///
    /// # Errors
    /// See [`Self::init_transactions`].
    pub async fn abort_transaction(&self) -> Result<(), TransactionError> {
        let _waits = self.host.waits(|| "the abort of a transaction".into());
        let asked = self.transactions().and_then(|transactions| transactions.asks(false));
        let told = self.client.abort_transaction().await;
        self.ended(asked, &told);
        told
    }

    /// Waits until every record that was handed over has its verdict. Nothing lingers meanwhile.
    pub async fn flush(&self) {
        let _waits = self.host.waits(|| "a flush of its producer".into());
        self.client.flush().await;
    }

    /// What it has measured so far, under Kafka's names.
    pub fn metrics(&self) -> Metrics {
        self.client.metrics()
    }

    /// Flushes for up to `patience`, then gives up the rest. Nothing can be sent afterwards.
    pub async fn close(&self, patience: Duration) {
        let _waits = self.host.waits(|| "the end of its producer".into());
        self.client.close(patience).await;
    }

    fn transactions(&self) -> Option<&Arc<Transactions>> {
        self.recording.as_ref()?.transactions.as_ref()
    }

    /// Records the outcome of a transaction, and the epoch of the next one.
    fn ended(&self, asked: Option<Asked>, told: &Result<(), TransactionError>) {
        if let Some(asked) = asked {
            asked.told(told);
        }
        if let Some(transactions) = self.transactions() {
            transactions.look_at(self.client.identity());
        }
    }

    /// Numbers a record that is recorded.
    fn number(&self, record: &ProducerRecord) -> Option<Placed> {
        let recording = self.recording.as_ref()?;
        let partition = self.place(recording, record)?;
        Some((partition, recording.sends.fetch_add(1, Ordering::Relaxed)))
    }

    /// Where a record goes; `None` for a topic or partition that was not declared, whose records
    /// are not recorded.
    fn place(&self, recording: &Recording, record: &ProducerRecord) -> Option<TopicPartition> {
        let Some(count) = recording.watched.partitions.get(&*record.topic).copied() else {
            self.host.names(&record.topic, "sent to");
            return None;
        };
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, usize::try_from(count).ok()?),
            (None, None) => i32::try_from(self.host.draw(0..u64::try_from(count).ok()?)).ok()?,
        };
        let known = (0..count).contains(&partition);
        known.then(|| TopicPartition::new(Arc::clone(&record.topic), partition))
    }
}

impl Recording {
    /// The unique value of a send.
    fn value(&self, op: u64) -> u64 {
        u64::from(self.number) << 40 | op
    }

    /// Records that this is about to be sent, and numbers it.
    fn record(
        &self,
        host: &Host,
        mut record: ProducerRecord,
        partition: &TopicPartition,
        op: u64,
    ) -> ProducerRecord {
        let value = self.value(op);
        let txn = self.transactions.as_ref().and_then(|transactions| transactions.current());
        let content = Content { key: record.key.clone(), value: record.value.clone() };
        self.watched.book.lock().contents.insert(value, content);
        host.world().observe(ProducerEvent::Sent {
            producer: self.number,
            op,
            partition: partition.clone(),
            value,
            acks: self.acks,
            idempotent: self.idempotent,
            txn,
        });
        load::number(&mut record, value);
        record.to_partition(partition.partition)
    }
}

/// The broker's word on one record, to be awaited: where it is stored, or why it is not, or
/// perhaps is not. Dropping it changes nothing.
#[must_use = "whether the record was stored is known only to who awaits this"]
pub struct Delivery(Awaits);

enum Awaits {
    Client(client::Delivery),
    Told {
        told: oneshot::Receiver<Result<RecordMetadata, ProduceError>>,
        host: Host,
        what: String,
        waits: Option<Waits>,
    },
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Awaits::Client(delivery) => Pin::new(delivery).poll(context),
            Awaits::Told { told, host, what, waits } => match Pin::new(told).poll(context) {
                Poll::Ready(Ok(verdict)) => {
                    *waits = None;
                    Poll::Ready(verdict)
                }
                // Who tells is dropped only with its machine, and so is this soon.
                Poll::Ready(Err(_)) => Poll::Pending,
                Poll::Pending => {
                    if waits.is_none() {
                        *waits = host.waits(|| what.clone());
                    }
                    Poll::Pending
                }
            },
        }
    }
}
