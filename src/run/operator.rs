//! Topics that faults change: by an operator with an admin client, on a host of its own.

use super::faults::Faults;
use super::{Run, cluster};
use crate::scenario::Topic;
use crate::sim::{Engine, SimWorld};

impl<E: Engine<World: SimWorld>> Run<'_, '_, E> {
    /// Passes changes of topics on to the operator, whose host exists from the first one on.
    pub(super) fn administer(&mut self, faults: &mut Faults) {
        let changes = faults.take_changes();
        if changes.is_empty() {
            return;
        }
        self.control.lock().changes.extend(changes);
        if !self.has_operator {
            self.has_operator = true;
            let operator = cluster::operator(&mut self.engine, self.scenario, &self.control);
            self.hosts.all.push(operator);
        }
    }

    /// Whether every change of a topic has been made.
    pub(super) fn is_administered(&self) -> bool {
        let control = self.control.lock();
        control.changes.is_empty() && !control.changing
    }

    /// The number of partitions that a topic has by now.
    pub(super) fn partitions_of(&self, topic: &Topic) -> i32 {
        let grown = self.signals().lock().partitions.get(&topic.name).copied();
        grown.unwrap_or(topic.partitions)
    }
}
