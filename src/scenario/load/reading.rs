//! A consumer that records what it reads beside itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::number_of;
use crate::base::config::ConsumerConfig;
use crate::base::{Flaws, Instant, Offset, TopicPartition};
use crate::client::{ConsumeError, Consumer, ConsumerRecord, Notice};
use crate::sim::{ClientEvent, ConsumerEvent, Isolation, SimWorld, isolated};
use crate::wire::ErrorCode;

/// The `isolation.level` of consumers that get only records of committed transactions.
pub(crate) const READ_COMMITTED: &str = "read_committed";
/// How long a poll may wait.
const POLL: Duration = Duration::from_millis(500);
/// Pause after an error that comes at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a reader that gives up tries to read a record that is refused as corrupt: longer than
/// another replica that has it takes to lead.
const PATIENCE: Duration = Duration::from_secs(8);

/// A consumer, and what is recorded beside it.
pub(crate) struct Reader<W: SimWorld> {
    world: W,
    consumer: Consumer<W>,
    log: ReadingLog,
    /// Since when a partition has had records that can't be read, and the last one of them.
    unreadable: BTreeMap<TopicPartition, (Instant, (Offset, bool))>,
    /// Skips what can't be read, after a while.
    gives_up: bool,
}

impl<W: SimWorld> Reader<W> {
    /// Begins at the beginning of these partitions.
    pub fn start(
        world: W,
        number: u32,
        partitions: Vec<TopicPartition>,
        (config, flaws): (ConsumerConfig, Flaws),
    ) -> Option<Self> {
        report_isolation(&world, number, &config);
        let mut consumer = Consumer::flawed(world.clone(), config, flaws).ok()?;
        consumer.assign(partitions.clone());
        consumer.seek_to_beginning(&partitions);
        let mut log = ReadingLog::new(number);
        log.assigned(&partitions);
        Some(Self { world, consumer, log, unreadable: BTreeMap::new(), gives_up: false })
    }

    /// Skips a record that can't be read after a while, instead of trying for ever.
    pub fn giving_up(mut self) -> Self {
        self.gives_up = true;
        self
    }

    /// Where partitions end now; asks until there is an answer.
    pub async fn ends(
        &mut self,
        partitions: &[TopicPartition],
    ) -> BTreeMap<TopicPartition, Offset> {
        loop {
            match self.consumer.end_offsets(partitions, Duration::from_secs(5)).await {
                Ok(ends) => return ends,
                Err(_) => self.world.sleep_until(self.world.now() + PAUSE).await,
            }
        }
    }

    /// Continues reading at this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        // What moved a position before comes before the seek.
        let moved = self.log.moved(&self.consumer.take_notices());
        moved.into_iter().for_each(|event| self.world.observe(event));
        self.consumer.seek(partition, offset);
        let event = self.log.positioned(partition, offset);
        self.world.observe(event);
    }

    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// Records that the end of a partition was reached.
    pub fn reached(&self, partition: TopicPartition, end: Offset) {
        let consumer = self.log.number;
        self.world.observe(ConsumerEvent::ReachedEnd { consumer, partition, end });
    }

    /// Reads and records what is there; the records are given as well.
    pub async fn poll(&mut self) -> Vec<ConsumerRecord> {
        let polled = self.consumer.poll(POLL).await;
        // What moved a position comes before what was read from there.
        let moved = self.log.moved(&self.consumer.take_notices());
        moved.into_iter().for_each(|event| self.world.observe(event));
        match polled {
            Ok(records) => {
                let read = self.log.read(&records);
                read.into_iter().for_each(|event| self.world.observe(event));
                return records;
            }
            Err(ConsumeError::Broker { partition, error: ErrorCode::CorruptMessage }) => {
                self.can_not_read(partition, false).await;
            }
            Err(ConsumeError::Corrupt { partition, .. }) => {
                self.can_not_read(partition, true).await;
            }
            Err(_) => {
                // Nothing but `auto.offset.reset=none` ends here: begin again.
                let all = self.log.partitions();
                self.consumer.seek_to_beginning(&all);
                self.log.sought(&all);
                self.world.sleep_until(self.world.now() + PAUSE).await;
            }
        }
        Vec::new()
    }
}

impl<W: SimWorld> Reader<W> {
    /// The record at the position is corrupt. The position stays; a reader that gives up skips the
    /// record after a while, and with it those behind it that are refused, too.
    async fn can_not_read(&mut self, partition: TopicPartition, served: bool) {
        let Some(offset) = self.consumer.position(&partition) else { return };
        let (consumer, now) = (self.log.number, self.world.now());
        let told = (offset, served);
        if self.unreadable.get(&partition).is_none_or(|(_, before)| *before != told) {
            let partition = partition.clone();
            self.world.observe(ConsumerEvent::Unreadable { consumer, partition, offset, served });
        }
        let since = self.unreadable.get(&partition).map_or(now, |(since, _)| *since);
        self.unreadable.insert(partition.clone(), (since, told));
        if self.gives_up && now.since(since) >= PATIENCE {
            self.consumer.seek(&partition, offset.next());
            self.world.observe(ConsumerEvent::Skipped { consumer, partition, offset });
            return;
        }
        self.world.sleep_until(now + PAUSE).await;
    }
}

/// Records that a consumer gets only records of committed transactions, if it does.
pub(super) fn report_isolation<W: SimWorld>(world: &W, consumer: u32, config: &ConsumerConfig) {
    if config.isolation_level == READ_COMMITTED {
        world.observe(isolated(consumer, Isolation::ReadCommitted));
    }
}

/// What is recorded of one consumer: where it was positioned, and what it read from there.
#[derive(Debug)]
pub(crate) struct ReadingLog {
    number: u32,
    /// Partitions, and whether their position has been recorded since it was last set.
    begun: BTreeMap<TopicPartition, bool>,
}

impl ReadingLog {
    /// Of the consumer with this number.
    pub fn new(number: u32) -> Self {
        Self { number, begun: BTreeMap::new() }
    }

    /// All partitions that are read from now on.
    pub fn assigned(&mut self, partitions: &[TopicPartition]) {
        self.begun.retain(|partition, _| partitions.contains(partition));
        for partition in partitions {
            self.begun.entry(partition.clone()).or_insert(false);
        }
    }

    /// All partitions that are read.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.begun.keys().cloned().collect()
    }

    /// Positions were set; where they are shows when the first record comes.
    pub fn sought(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.begun.insert(partition.clone(), false);
        }
    }

    /// A position was set to this offset.
    pub fn positioned(&mut self, partition: &TopicPartition, offset: Offset) -> ClientEvent {
        self.begun.insert(partition.clone(), true);
        let (consumer, partition) = (self.number, partition.clone());
        ClientEvent::Consumer(ConsumerEvent::Positioned { consumer, partition, offset })
    }

    /// Events for positions that moved without a seek.
    pub fn moved(&mut self, notices: &[Notice]) -> Vec<ClientEvent> {
        let moves = notices.iter().filter_map(|notice| match notice {
            Notice::Reset { partition, to, .. }
            | Notice::Truncated { partition, to: Some(to), .. } => {
                Some(self.positioned(partition, *to))
            }
            Notice::Truncated { to: None, .. } => None,
        });
        moves.collect()
    }

    /// One event for each run of records of one partition.
    pub fn read(&mut self, records: &[ConsumerRecord]) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        for run in records.chunk_by(|one, next| one.partition == next.partition) {
            let Some(first) = run.first() else { continue };
            if self.begun.insert(first.partition.clone(), true) == Some(false) {
                events.push(self.positioned(&first.partition, first.offset));
            }
            let seen = run.iter().filter_map(|record| Some((record.offset, number_of(record)?)));
            let epochs = run.chunk_by(|one, next| one.leader_epoch == next.leader_epoch);
            let epochs = epochs.filter_map(|same| same.first());
            events.push(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer: self.number,
                partition: first.partition.clone(),
                records: seen.collect(),
                epochs: epochs.map(|first| (first.offset, first.leader_epoch)).collect(),
            }));
        }
        events
    }
}
