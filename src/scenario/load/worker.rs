//! A worker beside a member: it processes what polls returned while the member polls on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;

use super::SharedSignals;
use super::habits::{SharedNotes, Task};
use super::values::number_of;
use crate::base::{Offset, Stream, TopicPartition};
use crate::client::ConsumerRecord;
use crate::sim::{MemberEvent, SimWorld};

/// How often it looks for work, and a member that waits for it looks at it.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct Desk {
    /// The first is being worked on.
    records: VecDeque<ConsumerRecord>,
    closed: bool,
}

/// A handle on a worker. It ends with its process, and what it has then is not processed.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker(Arc<Mutex<Desk>>);

impl Worker {
    /// Begins to wait for records.
    pub fn start<W: SimWorld>(
        world: &W,
        task: &Task,
        signals: &SharedSignals,
        notes: &SharedNotes,
    ) -> Self {
        let worker = Self::default();
        let random = world.random(Stream::named("group worker"));
        let (task, signals, notes) = (task.clone(), signals.clone(), Arc::clone(notes));
        let run = worker.clone().run(world.clone(), task, signals, notes, random);
        world.spawn("worker", run);
        worker
    }

    /// Hands records over.
    pub fn give(&self, records: Vec<ConsumerRecord>) {
        self.0.lock().records.extend(records);
    }

    /// Whether it has records that it has not processed.
    pub fn is_busy(&self) -> bool {
        !self.0.lock().records.is_empty()
    }

    /// Waits until it has processed what it has of these partitions.
    pub async fn finish<W: SimWorld>(&self, world: &W, partitions: &[TopicPartition]) {
        let is_one = |record: &ConsumerRecord| partitions.contains(&record.partition);
        while self.0.lock().records.iter().any(is_one) {
            world.sleep_until(world.now() + PAUSE).await;
        }
    }

    /// Takes the records of these partitions away: they have another owner.
    pub fn forget(&self, partitions: &[TopicPartition]) {
        self.0.lock().records.retain(|record| !partitions.contains(&record.partition));
    }

    /// It stops when it has processed everything.
    pub fn close(&self) {
        self.0.lock().closed = true;
    }

    fn first(&self) -> Option<ConsumerRecord> {
        self.0.lock().records.front().cloned()
    }

    /// Removes a record, unless it was taken away meanwhile.
    fn done(&self, partition: &TopicPartition, offset: Offset) -> bool {
        let mut desk = self.0.lock();
        let is_it =
            |record: &ConsumerRecord| (&record.partition, record.offset) == (partition, offset);
        let kept = desk.records.front().is_some_and(is_it);
        if kept {
            desk.records.pop_front();
        }
        kept
    }

    async fn run<W: SimWorld>(
        self,
        world: W,
        task: Task,
        signals: SharedSignals,
        notes: SharedNotes,
        mut random: ChaCha12Rng,
    ) {
        loop {
            let Some(record) = self.first() else {
                if self.0.lock().closed {
                    return;
                }
                world.sleep_until(world.now() + PAUSE).await;
                continue;
            };
            let works = task.habits.processing.draw(&mut random);
            if !signals.lock().settling {
                task.shows.processes.happened();
                world.sleep_until(world.now() + works).await;
            }
            let (partition, offset) = (record.partition.clone(), record.offset);
            if !self.done(&partition, offset) {
                continue;
            }
            notes.lock().processed(&record);
            if let Some(value) = number_of(&record) {
                let consumer = task.number;
                world.observe(MemberEvent::Processed { consumer, partition, offset, value });
            }
        }
    }
}
