//! Messages that replicas leave for the controller. A replica only puts them down: the tasks
//! [`super::isr`] and [`super::assignments`] deliver them, until the controller has answered.

use tokio::sync::mpsc;

use crate::base::{DirectoryId, TopicId, TopicPartition};
use crate::replica::Proposal;

/// A leader asks the controller to change its in-sync replicas.
#[derive(Debug)]
pub(crate) struct IsrChange {
    /// Tells the partition from a later one of the same name.
    pub(crate) topic_id: TopicId,
    pub(crate) name: TopicPartition,
    pub(crate) proposal: Proposal,
}

/// A replica is not in the directory that the metadata names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    /// The directory that holds it, or [`DirectoryId::LOST`].
    pub(crate) directory: DirectoryId,
}

/// Where replicas leave their messages.
#[derive(Clone)]
pub(crate) struct Outbox {
    isr_changes: mpsc::UnboundedSender<IsrChange>,
    assignments: mpsc::UnboundedSender<Assignment>,
}

/// Where the tasks that deliver the messages take them from.
pub(crate) struct Undelivered {
    pub(crate) isr_changes: mpsc::UnboundedReceiver<IsrChange>,
    pub(crate) assignments: mpsc::UnboundedReceiver<Assignment>,
}

impl Outbox {
    /// An empty outbox, and its other end.
    pub(crate) fn new() -> (Self, Undelivered) {
        let (isr_changes, proposed) = mpsc::unbounded_channel();
        let (assignments, assigned) = mpsc::unbounded_channel();
        let undelivered = Undelivered { isr_changes: proposed, assignments: assigned };
        (Self { isr_changes, assignments }, undelivered)
    }

    /// Reports the directory that holds a replica.
    pub(crate) fn assign(&self, topic_id: TopicId, partition: i32, directory: DirectoryId) {
        // The receivers only end with the node.
        let _ = self.assignments.send(Assignment { topic_id, partition, directory });
    }

    /// Asks for another ISR.
    pub(crate) fn propose(&self, change: IsrChange) {
        let _ = self.isr_changes.send(change);
    }
}
