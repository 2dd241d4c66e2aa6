//! Open sends, and where consumers stand.

use std::collections::BTreeMap;

use super::Change;
use crate::base::{Instant, Offset, TopicPartition};
use crate::sim::{ClientEvent, ConsumerEvent, HostId, ProducerEvent};

/// Where a consumer stands in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The next offset to read.
    pub next: Offset,
    /// When the position was last set, and to what.
    pub since: Instant,
    pub from: Offset,
    /// The process or the topic is gone: it only shows whether the next one is set back.
    stale: bool,
}

impl Position {
    fn set(at: Instant, offset: Offset) -> Self {
        Self { next: offset, since: at, from: offset, stale: false }
    }
}

#[derive(Debug)]
struct Consumer {
    host: HostId,
    positions: BTreeMap<TopicPartition, Position>,
}

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Partitions of sends whose outcome is open.
    open: BTreeMap<(u32, u64), TopicPartition>,
    consumers: BTreeMap<u32, Consumer>,
}

impl Clients {
    pub fn position(&self, consumer: u32, partition: &TopicPartition) -> Option<Position> {
        let position = self.consumers.get(&consumer)?.positions.get(partition)?;
        (!position.stale).then_some(*position)
    }

    pub fn fold(
        &mut self,
        at: Instant,
        host: HostId,
        event: &ClientEvent,
        changes: &mut Vec<Change>,
    ) {
        match event {
            ClientEvent::Producer(event) => self.producer(event, changes),
            ClientEvent::Consumer(event) => self.consumer(at, host, event, changes),
            ClientEvent::Member(_) | ClientEvent::Transaction(_) | ClientEvent::Noted { .. } => {}
        }
    }

    fn producer(&mut self, event: &ProducerEvent, changes: &mut Vec<Change>) {
        match event {
            ProducerEvent::Sent { producer, op, partition, .. } => {
                self.open.insert((*producer, *op), partition.clone());
            }
            ProducerEvent::Misbehaved { .. } | ProducerEvent::Answered { .. } => {}
            ProducerEvent::Told { producer, op, .. } => {
                let partition = self.open.remove(&(*producer, *op));
                changes.extend(partition.map(|partition| Change::Answered { partition }));
            }
        }
    }

    fn consumer(
        &mut self,
        at: Instant,
        host: HostId,
        event: &ConsumerEvent,
        changes: &mut Vec<Change>,
    ) {
        match event {
            ConsumerEvent::Polled { consumer, partition, records, .. } => {
                let Some((first, _)) = records.first() else { return };
                let positions = self.positions(*consumer, host);
                let known = positions.get(partition).copied().filter(|known| !known.stale);
                let known = known.unwrap_or(Position::set(at, *first));
                let mut next = known.next;
                for (offset, _) in records {
                    if next != *offset {
                        let (consumer, partition) = (*consumer, partition.clone());
                        let (expected, got) = (next, *offset);
                        changes.push(Change::Jumped { consumer, partition, expected, got });
                    }
                    next = Offset(offset.0.saturating_add(1));
                }
                match positions.get_mut(partition) {
                    Some(position) => *position = Position { next, ..known },
                    None => drop(positions.insert(partition.clone(), Position { next, ..known })),
                }
                changes.push(Change::Passed { from: known.next, to: next });
            }
            ConsumerEvent::Positioned { consumer, partition, offset } => {
                let position = Position::set(at, *offset);
                let before = self.positions(*consumer, host).insert(partition.clone(), position);
                let back = before.is_some_and(|before| *offset < before.next);
                changes.extend(back.then_some(Change::SetBack));
            }
            ConsumerEvent::Skipped { consumer, partition, offset } => {
                // The position was not set: it is the same read, without this record.
                let position = self.positions(*consumer, host).get_mut(partition);
                if let Some(position) = position.filter(|position| !position.stale) {
                    position.next = Offset(offset.0.saturating_add(1));
                }
            }
            ConsumerEvent::ReachedEnd { .. }
            | ConsumerEvent::Unreadable { .. }
            | ConsumerEvent::Asked { .. }
            | ConsumerEvent::Listed { .. }
            | ConsumerEvent::Isolated { .. } => {}
        }
    }

    fn positions(
        &mut self,
        consumer: u32,
        host: HostId,
    ) -> &mut BTreeMap<TopicPartition, Position> {
        let new = || Consumer { host, positions: BTreeMap::new() };
        let consumer = self.consumers.entry(consumer).or_insert_with(new);
        consumer.host = host;
        &mut consumer.positions
    }

    pub fn gone(&mut self, partition: &TopicPartition) {
        for consumer in self.consumers.values_mut() {
            if let Some(position) = consumer.positions.get_mut(partition) {
                position.stale = true;
            }
        }
    }

    pub fn died(&mut self, host: HostId, changes: &mut Vec<Change>) {
        for (number, consumer) in self.consumers.iter_mut().filter(|(_, c)| c.host == host) {
            consumer.positions.values_mut().for_each(|position| position.stale = true);
            changes.push(Change::Stopped { consumer: *number });
        }
    }
}
