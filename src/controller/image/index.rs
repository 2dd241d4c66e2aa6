//! Partitions by broker and topics by metric, so that none has to be searched for.

use std::sync::Arc;

use super::PartitionState;
use crate::base::{BrokerId, TopicId};
use crate::decide::SharedMap;

/// A set of partitions for each broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ByBroker(SharedMap<(BrokerId, TopicId, i32), ()>);

impl ByBroker {
    /// The partitions of a broker, by topic id and index.
    fn of(&self, broker: BrokerId) -> impl Iterator<Item = (TopicId, i32)> {
        // Indexes come from the log: one may be negative.
        let entries = self.0.from(&(broker, TopicId::ZERO, i32::MIN));
        entries
            .take_while(move |((other, ..), ())| *other == broker)
            .map(|((_, topic, index), ())| (*topic, *index))
    }

    /// Moves a partition from the brokers that had it to those that have it now.
    fn moved(&mut self, (topic, index): (TopicId, i32), before: &[BrokerId], after: &[BrokerId]) {
        for id in before.iter().filter(|id| !after.contains(id)) {
            self.0.remove(&(*id, topic, index));
        }
        for id in after.iter().filter(|id| !before.contains(id)) {
            self.0.insert((*id, topic, index), ());
        }
    }
}

/// Who leads what and is in sync where. Source: Kafka's `BrokersToIsrs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Partitions without a leader are below [`BrokerId::NONE`].
    led: ByBroker,
    in_sync: ByBroker,
    eligible: ByBroker,
    /// Names of topics that other names could collide with, below their form as a metric.
    metrics: SharedMap<(Arc<str>, Arc<str>), ()>,
}

/// The name of a topic in metrics, if it differs between names: they write `.` and `_` alike.
fn metric(name: &str) -> Option<Arc<str>> {
    name.contains(['.', '_']).then(|| name.replace('.', "_").into())
}

impl Index {
    /// A partition was created, changed or deleted.
    pub(super) fn replaced(
        &mut self,
        partition: (TopicId, i32),
        before: Option<&PartitionState>,
        after: Option<&PartitionState>,
    ) {
        let leader = |state: &PartitionState| state.leader.unwrap_or(BrokerId::NONE);
        let (old, new) = (before.map(leader), after.map(leader));
        self.led.moved(partition, old.as_slice(), new.as_slice());
        let (old, new) = (before.map(|state| &state.isr[..]), after.map(|state| &state.isr[..]));
        self.in_sync.moved(partition, old.unwrap_or_default(), new.unwrap_or_default());
        let (old, new) = (before.map(|state| &state.elr[..]), after.map(|state| &state.elr[..]));
        self.eligible.moved(partition, old.unwrap_or_default(), new.unwrap_or_default());
    }

    pub(super) fn topic_created(&mut self, name: &Arc<str>) {
        if let Some(metric) = metric(name) {
            self.metrics.insert((metric, name.clone()), ());
        }
    }

    pub(super) fn topic_deleted(&mut self, name: &Arc<str>) {
        if let Some(metric) = metric(name) {
            self.metrics.remove(&(metric, name.clone()));
        }
    }

    /// A topic whose name looks the same in metrics.
    pub(super) fn colliding(&self, name: &str) -> Option<&Arc<str>> {
        let metric = metric(name)?;
        let ((found, other), ()) = self.metrics.from(&(metric.clone(), "".into())).next()?;
        (*found == metric).then_some(other)
    }

    /// What a broker leads; what no broker leads for `None`.
    pub(super) fn led_by(&self, broker: Option<BrokerId>) -> impl Iterator<Item = (TopicId, i32)> {
        self.led.of(broker.unwrap_or(BrokerId::NONE))
    }

    /// Partitions with a broker in their ISR.
    pub(super) fn in_sync_on(&self, broker: BrokerId) -> impl Iterator<Item = (TopicId, i32)> {
        self.in_sync.of(broker)
    }

    /// Partitions with a broker in their ELR.
    pub(super) fn eligible_on(&self, broker: BrokerId) -> impl Iterator<Item = (TopicId, i32)> {
        self.eligible.of(broker)
    }
}
