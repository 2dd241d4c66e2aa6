//! The consumer as a program has it: the client of this crate, and what is recorded beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Host;
use super::world::AnyWorld;
use crate::base::config::{ConfigError, ConsumerConfig};
use crate::base::{Offset, TopicPartition};
use crate::client::{self, ConsumeError, ConsumerRecord, Notice};
use crate::scenario::load::{self, ReadingLog};

/// Reads the partitions that it is assigned. What it reads is recorded, and judged.
///
/// It connects with the first call that needs a broker, and fetches ahead between calls. Positions
/// move past records only in `poll`. A call may be dropped half-way: nothing that was fetched is lost.
pub struct Consumer {
    host: Host,
    client: client::Consumer<AnyWorld>,
    /// What is recorded; in reality nothing is.
    log: Option<ReadingLog>,
    assigned: Vec<TopicPartition>,
    notices: Vec<Notice>,
}

impl Consumer {
    pub(super) fn new(host: Host, config: ConsumerConfig) -> Result<Self, ConfigError> {
        let client = client::Consumer::new(host.world().clone(), config)?;
        let log = host.watched().map(|watched| {
            let mut book = watched.book.lock();
            book.consumers += 1;
            ReadingLog::new(book.consumers)
        });
        Ok(Self { host, client, log, assigned: Vec::new(), notices: Vec::new() })
    }

    /// Reads these partitions from now on. Those that it read before keep their positions; the
    /// others begin as `auto.offset.reset` says, unless they are sought.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.assigned = partitions.into_iter().collect();
        self.client.assign(self.assigned.clone());
        if let Some(log) = &mut self.log {
            log.assigned(&self.assigned);
        }
    }

    /// Reads on at this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        self.client.seek(partition, offset);
        if let Some(log) = &mut self.log {
            self.host.world().observe(log.positioned(partition, offset));
        }
    }

    /// Reads on at the oldest record.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) {
        self.client.seek_to_beginning(partitions);
        if let Some(log) = &mut self.log {
            log.sought(partitions);
        }
    }

    /// Reads on after the newest record.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) {
        self.client.seek_to_end(partitions);
        if let Some(log) = &mut self.log {
            log.sought(partitions);
        }
    }

    /// Records, as soon as there are any; none when the time is over. Those of one partition come
    /// in order.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let waits = self.host.waits(|| {
            let names: Vec<_> =
                self.assigned.iter().map(|partition| self.place(partition)).collect();
            format!("records of {}", names.join(", "))
        });
        let mut polled = self.client.poll(timeout).await;
        drop(waits);
        // What moved a position comes before what was read from there.
        let notices = self.client.take_notices();
        if let Some(log) = &mut self.log {
            let mut events = log.moved(&notices);
            if let Ok(records) = &mut polled {
                events.extend(log.read(records));
                records.iter_mut().for_each(load::unnumber);
            }
            events.into_iter().for_each(|event| self.host.world().observe(event));
        }
        self.notices.extend(notices);
        polled
    }

    /// The offset after the last record that was returned; `None` until it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.client.position(partition)
    }

    /// Positions that moved without a seek since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The offset after the last record that can be read, of each.
    pub async fn end_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let _waits = self.host.waits(|| "the ends of partitions".into());
        self.client.end_offsets(partitions, timeout).await
    }

    /// The offset of the oldest record, of each.
    pub async fn beginning_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let _waits = self.host.waits(|| "the beginnings of partitions".into());
        self.client.beginning_offsets(partitions, timeout).await
    }

    fn place(&self, partition: &TopicPartition) -> String {
        match self.position(partition) {
            Some(offset) => format!("{partition} from offset {offset} on"),
            None => partition.to_string(),
        }
    }
}
