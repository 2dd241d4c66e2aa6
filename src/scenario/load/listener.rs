//! What a member does when its partitions come and go.

use super::SharedSignals;
use super::habits::{Commit, PAUSE, SharedNotes, Task, commit};
use super::worker::Worker;
use crate::base::TopicPartition;
use crate::client::{Consumer, RebalanceListener, Told};
use crate::sim::{MemberEvent, SimWorld};

/// Hears what the member is assigned and has to give up.
pub(super) struct Listener<W: SimWorld> {
    pub world: W,
    pub task: Task,
    pub notes: SharedNotes,
    pub signals: SharedSignals,
    pub worker: Option<Worker>,
}

impl<W: SimWorld> Listener<W> {
    /// Keeps partitions until the run is over, though others wait for them.
    async fn withhold(&self, partitions: &[TopicPartition]) {
        if !self.signals.lock().stop_consuming {
            self.task.shows.withholds.happened();
        }
        let (consumer, partitions) = (self.task.number, partitions.to_vec());
        self.world.observe(MemberEvent::Withholds { consumer, partitions });
        while !self.signals.lock().stop_consuming {
            self.world.sleep_until(self.world.now() + PAUSE).await;
        }
    }

    fn gone(&self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut notes = self.notes.lock();
        notes.next.retain(|partition, _| !partitions.contains(partition));
        notes.fresh.retain(|partition| !partitions.contains(partition));
        partitions.to_vec()
    }
}

impl<W: SimWorld> RebalanceListener<W> for Listener<W> {
    fn revoked<'a>(
        &'a self,
        consumer: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            if self.task.habits.never_revokes && !partitions.is_empty() {
                self.withhold(partitions).await;
            }
            if let Some(worker) = &self.worker {
                worker.finish(&self.world, partitions).await;
            }
            let commits = match self.task.habits.commit {
                Commit::Async => true,
                Commit::After | Commit::Each => self.worker.is_some(),
                Commit::Auto | Commit::Before => false,
            };
            if commits {
                let mut offsets = self.notes.lock().next.clone();
                offsets.retain(|partition, _| partitions.contains(partition));
                if !offsets.is_empty() {
                    commit(&self.world, &self.task, consumer, offsets).await;
                }
            }
            let partitions = self.gone(partitions);
            if !partitions.is_empty() {
                let consumer = self.task.number;
                self.world.observe(MemberEvent::Revoked { consumer, partitions });
            }
        })
    }

    fn assigned<'a>(
        &'a self,
        consumer: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            // An assignment of a generation that is over is lost at once.
            let group = consumer.group_metadata().filter(|group| group.generation >= 0);
            let Some(group) = group else { return };
            // What moved positions of an earlier assignment comes before this one begins.
            let moved = self.notes.lock().log.moved(&consumer.take_notices());
            moved.into_iter().for_each(|event| self.world.observe(event));
            {
                let mut notes = self.notes.lock();
                notes.fresh.extend(partitions.iter().cloned());
                notes.log.sought(partitions);
                notes.generation = group.generation;
            }
            self.world.observe(MemberEvent::Joined {
                consumer: self.task.number,
                generation: group.generation,
                member: group.member.into(),
                owned: consumer.assignment(),
            });
        })
    }

    fn lost<'a>(
        &'a self,
        _consumer: &'a mut Consumer<W>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        Box::pin(async move {
            if let Some(worker) = &self.worker {
                worker.forget(partitions);
            }
            let partitions = self.gone(partitions);
            let consumer = self.task.number;
            self.world.observe(MemberEvent::Lost { consumer, partitions });
        })
    }
}
