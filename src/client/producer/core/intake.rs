//! How records get in: into a batch, or into the queue for memory or metadata.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Core;
use crate::base::{Instant, Timestamp, TopicPartition};
use crate::client::ProduceCause;
use crate::client::producer::accumulator::Added;
use crate::client::producer::partition::Offer;
use crate::client::producer::record::upper_bound;
use crate::client::producer::transactions::Transactions;
use crate::client::producer::{Delivery, ProducerRecord};

/// Whether a record could be taken.
#[derive(Debug)]
pub(in crate::client) enum Taken {
    /// It was, or was refused for good: its verdict will come.
    Yes(Delivery),
    /// `buffer.memory` is exhausted.
    NoMemory {
        record: ProducerRecord,
        /// The memory to wait for.
        bytes: u64,
        /// The partition that a partitioner chose: it is not asked again.
        partition: Option<i32>,
    },
}

/// Memory for which a sender waited.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Granted {
    pub(in crate::client) bytes: u64,
    /// When the sender began to wait: `max.block.ms` counts from there.
    pub(in crate::client) since: Instant,
}

impl Core {
    /// Takes a record. `granted`: the memory for which its sender waited.
    pub(in crate::client) fn append(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        granted: Option<Granted>,
    ) -> Taken {
        let most = upper_bound(&record);
        let too_large = most > self.config.max_request_size || !self.memory.could_hold(most as u64);
        if self.closing || too_large {
            let cause = match self.closing {
                true => ProduceCause::Closed,
                false => ProduceCause::RecordTooLarge,
            };
            return self.refuse(now, &record.topic, cause, granted);
        }
        let transactions = self.identity.transactions();
        if let Some(cause) = transactions.and_then(Transactions::refuses_records) {
            return self.refuse(now, &record.topic, cause, granted);
        }
        let (accumulator, mut tools) = self.parts();
        let offer = Offer { now, timestamp, record: &record, most };
        let memory = granted.map(|granted| granted.bytes);
        let (added, leaves) = accumulator.add(&offer, memory, &mut tools);
        self.wake = self.wake.min(leaves);
        match added {
            Added::Yes(delivery) => Taken::Yes(delivery),
            Added::NoMemory { bytes, partition } => Taken::NoMemory { record, bytes, partition },
            Added::Invalid => {
                self.refuse(now, &record.topic, ProduceCause::InvalidPartition, granted)
            }
            Added::Unknown => self.wait_for_partition(now, timestamp, record, granted),
        }
    }

    fn refuse(
        &mut self,
        now: Instant,
        topic: &Arc<str>,
        cause: ProduceCause,
        granted: Option<Granted>,
    ) -> Taken {
        if cause == ProduceCause::RecordTooLarge {
            self.lacks(topic, cause);
        }
        if let Some(granted) = granted {
            self.memory.give_back(granted.bytes);
        }
        // Kafka counts what it can't send, but not what comes after the end.
        if cause != ProduceCause::Closed {
            self.metrics.refused(now);
        }
        Taken::Yes(Delivery::refused(cause))
    }

    /// A transaction lacks a record that was to be part of it.
    fn lacks(&mut self, topic: &Arc<str>, cause: ProduceCause) {
        self.identity.record_failed(&TopicPartition::new(Arc::clone(topic), -1), cause, false);
    }

    /// Keeps a record until its partition is known.
    fn wait_for_partition(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
        record: ProducerRecord,
        granted: Option<Granted>,
    ) -> Taken {
        let (memory, since) = match granted {
            Some(Granted { bytes, since }) => {
                self.memory.take_reserved(bytes);
                (bytes, since)
            }
            None => {
                let bytes = upper_bound(&record) as u64;
                if !self.memory.try_take(bytes) {
                    return Taken::NoMemory { record, bytes, partition: None };
                }
                (bytes, now)
            }
        };
        let delivery = self.accumulator.wait(since, timestamp, record, memory);
        self.kernel.want_metadata_unless_asked();
        self.wake = now;
        Taken::Yes(delivery)
    }

    /// Memory for a record, later: when the receiver gets its message. Also returns how long to wait.
    pub(in crate::client::producer) fn wait_for_memory(
        &mut self,
        bytes: u64,
    ) -> (oneshot::Receiver<()>, Duration) {
        (self.memory.wait_for(bytes), self.config.max_block)
    }

    /// Gives back memory that was granted for a record.
    pub(in crate::client::producer) fn give_back(&mut self, bytes: u64) {
        self.memory.give_back(bytes);
    }

    /// Forgets a sender that no longer waits for memory.
    pub(in crate::client::producer) fn stopped_waiting(&mut self) {
        self.memory.grant();
    }

    /// A sender waited for memory this long, and got it or gave up on a record for this topic.
    pub(in crate::client::producer) fn memory_waited(
        &mut self,
        now: Instant,
        time: Duration,
        exhausted: Option<&Arc<str>>,
    ) {
        self.metrics.memory_waited(now, time, exhausted.is_some());
        if let Some(topic) = exhausted {
            self.lacks(topic, ProduceCause::BufferExhausted);
            self.metrics.refused(now);
        }
    }
}
