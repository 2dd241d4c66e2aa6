//! A decision in the making: records, and the group that they lead to.

use super::effect::Effect;
use super::group::ConsumerGroup;
use super::member::Member;
use super::sessions::Sessions;
use crate::base::{Flaws, Instant, Timestamp};
use crate::controller::Image;
use crate::decide::Decision;
use crate::group::{ConsumerSettings, MemberId, Record};

/// What a decision about a consumer group rests on besides the group.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// The date, for what is replicated.
    pub wall: Timestamp,
    /// The cluster's metadata.
    pub image: &'a Image,
    /// The settings of the group.
    pub settings: &'a ConsumerSettings,
    /// `group.max.size`: members of a classic group at most.
    pub classic_max_size: usize,
    /// The soft state of this coordinator.
    pub sessions: &'a Sessions,
    /// Historical bugs of this coordinator.
    pub flaws: Flaws,
    /// Makes the id of a member that brings none (version 0 only).
    pub new_member: &'a dyn Fn() -> MemberId,
}

/// Records decided so far. Each is replayed at once on a copy of the group, which is cheap, so that
/// the next decision sees its effect.
pub(super) struct Plan {
    group: ConsumerGroup,
    /// The group before.
    before: ConsumerGroup,
    records: Vec<Record>,
    effects: Vec<Effect>,
    after: Vec<Effect>,
}

impl Plan {
    /// Begins with everything decided before.
    pub(super) fn new(group: ConsumerGroup) -> Self {
        Self {
            before: group.clone(),
            group,
            records: Vec::new(),
            effects: Vec::new(),
            after: Vec::new(),
        }
    }

    /// Whether a member may use other partitions than before.
    pub(super) fn changes_assignment_of(&self, id: &MemberId) -> bool {
        let before = self.before.member(id.as_str()).map(|member| &member.assigned);
        let after = self.group.member(id.as_str()).map(|member| &member.assigned);
        match (before, after) {
            (Some(before), Some(after)) => !before.same_partitions(after),
            (before, after) => before.is_some() != after.is_some(),
        }
    }

    /// The group with everything decided so far.
    pub(super) fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Members that were not in the group before.
    pub(super) fn arrived(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.group.members().filter(|(id, _)| self.before.member(id.as_str()).is_none())
    }

    /// Whether Kafka's format can hold all records.
    pub(super) fn is_writable(&self) -> bool {
        self.records.iter().all(Record::is_writable)
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: Record) {
        self.group.replay(&record);
        self.records.push(record);
    }

    /// Adds an effect.
    pub(super) fn then(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Adds an effect that waits until the records are committed.
    pub(super) fn once_committed(&mut self, effect: Effect) {
        self.after.push(effect);
    }

    /// The decision, with its response.
    pub(super) fn decide<T>(self, response: T) -> Decision<Record, T, Effect> {
        let mut decision = Decision::new(self.records, response);
        (decision.effects, decision.after) = (self.effects, self.after);
        decision
    }
}
