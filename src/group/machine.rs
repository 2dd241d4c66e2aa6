//! The group coordinator of one partition of `__consumer_offsets`.

use std::convert::Infallible;
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::GroupId;
use super::classic::{self, At, Classic, ClassicGroup};
use super::consumer::{self, Sessions};
use super::record::Record;
use super::settings::GroupSettings;
use super::state::{Change, Group, Groups};
use crate::base::{Instant, Offset, ProducerId, Seed, Stream, Timestamp};
use crate::controller::Image;
use crate::decide::{self, Machine, State};

/// A decision of the group coordinator.
pub type Decision<T> = decide::Decision<Record, T, Effect>;

/// A change of what is not replicated.
#[derive(Debug)]
pub enum Effect {
    /// The cluster's metadata changed.
    Image(Arc<Image>),
    /// The settings of the coordinator changed.
    Settings(Box<GroupSettings>),
    /// A change of a classic group.
    Classic(classic::Effect),
    /// A change around a consumer group.
    Consumer(consumer::Effect),
    /// Offsets were checked for their retention.
    OffsetsChecked,
}

/// The group coordinator of one partition.
///
/// A waiting answer is a [`super::Reply`]: a handler takes it along, and an effect answers it.
/// Machines that resign drop it.
#[derive(Debug)]
pub struct GroupCoordinator {
    pub(super) settings: GroupSettings,
    pub(super) state: Groups,
    pub(super) classic: Classic,
    pub(super) consumers: Sessions,
    /// Of the ids of members of consumer groups since this coordinator leads.
    pub(super) seed: Seed,
    pub(super) image: Arc<Image>,
    /// When to look for offsets that have expired.
    offsets_check: Option<Instant>,
}

impl GroupCoordinator {
    /// A coordinator without groups. `random` decides member ids.
    pub fn new(
        partition: i32,
        settings: GroupSettings,
        image: Arc<Image>,
        mut random: ChaCha12Rng,
    ) -> Self {
        let partition = Stream::numbered("partition", u64::from(partition.unsigned_abs()));
        let seed = Seed(random.next_u64()).split(partition);
        Self {
            state: Groups::flawed(settings.flaws),
            settings,
            classic: Classic::new(seed.split(Stream::named("classic"))),
            consumers: Sessions::default(),
            seed: seed.split(Stream::named("consumer")),
            image,
            offsets_check: None,
        }
    }

    /// A consumer group became a classic one: its record was replayed just now.
    fn downgraded(&mut self, now: Instant, id: &GroupId) {
        let Some(value) = self.state.classic(id.as_str()).cloned() else { return };
        let settings = self.settings.clone();
        let at = At { now, wall: value.state_since, settings: &settings };
        self.classic.downgraded(at, ClassicGroup::loaded(id, &value));
    }

    pub(super) fn at(&self, now: Instant, wall: Timestamp) -> At<'_> {
        At { now, wall, settings: &self.settings }
    }
}

impl Machine for GroupCoordinator {
    type State = Groups;
    type Effect = Effect;

    fn state(&self) -> &Groups {
        &self.state
    }

    fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), Infallible> {
        if let Record::ClassicGroup { group, value: None } = record {
            self.classic.removed(group);
        }
        if let Record::ConsumerGroup { group, value: None } = record {
            self.consumers.removed(group);
        }
        self.state.replay(offset, record, changes)
    }

    fn replay_in_transaction(
        &mut self,
        (offset, producer): (Offset, ProducerId),
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), Infallible> {
        if let Record::Offset { .. } = record {
            return self.state.replay_in_transaction((offset, producer), record, changes);
        }
        self.replay(offset, record, changes)
    }

    fn end_transaction(
        &mut self,
        producer: ProducerId,
        is_committed: bool,
        changes: &mut Vec<Change>,
    ) {
        self.state.end_transaction(producer, is_committed, changes);
    }

    fn reached(&mut self, offset: Offset) {
        self.state.reached(offset);
    }

    fn restore(&mut self, committed: Groups) {
        self.state = committed;
        self.classic.clear();
        self.consumers.clear();
        self.offsets_check = None;
    }

    fn activated(&mut self, now: Instant) {
        self.classic.clear();
        self.classic.reseed(now);
        self.consumers.clear();
        self.seed = self.seed.split(Stream::numbered("leads", now.0));
        self.offsets_check = Some(now + self.settings.offsets_retention_check_interval);
        let settings = self.settings.clone();
        for (id, group) in self.state.iter() {
            match group {
                Group::Classic(value) => {
                    let wall = value.state_since;
                    let at = At { now, wall, settings: &settings };
                    let group = ClassicGroup::loaded(id, value);
                    if value.leader.is_none() && !value.members.is_empty() {
                        self.classic.downgraded(at, group);
                    } else {
                        self.classic.loaded(at, group);
                    }
                }
                Group::Consumer(group) => {
                    let settings = self.settings_of(id.as_str()).into_owned();
                    self.consumers.activated(now, group, &settings);
                }
            }
        }
    }

    fn carry_out(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Image(image) => self.image = image,
            Effect::Settings(settings) => self.settings = *settings,
            Effect::Classic(effect) => self.classic.carry_out(now, effect),
            Effect::Consumer(effect) => {
                if let consumer::Effect::Downgraded { group } = &effect {
                    self.downgraded(now, group);
                }
                self.consumers.apply(now, effect);
            }
            Effect::OffsetsChecked => {
                self.offsets_check = Some(now + self.settings.offsets_retention_check_interval);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let members = self.classic.deadline().into_iter().chain(self.consumers.deadline());
        members.chain(self.offsets_check).min()
    }

    fn expire(&self, now: Instant, wall: Timestamp) -> Decision<()> {
        let mut decision = self.classic.expire(self.at(now, wall)).lift(Effect::Classic);
        let consumers = self.expire_consumers(now, wall);
        decision.records.extend(consumers.records);
        decision.effects.extend(consumers.effects);
        decision.after.extend(consumers.after);
        // Members first, and offsets next time: what expires in a group depends on its members.
        let touched = !decision.effects.is_empty();
        if !touched && self.offsets_check.is_some_and(|at| at <= now) {
            let (records, complete) = self.expire_offsets(wall);
            decision.records.extend(records);
            // Otherwise the deadline stays: the rest follows at once.
            decision.effects.extend(complete.then_some(Effect::OffsetsChecked));
        }
        decision
    }

    fn check(&self, before: &Groups, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Group(group) => {
                    self.classic.check(group);
                    self.state.check_group(before, group);
                }
                Change::Member(group, member) => {
                    if let Some(after) = self.state.consumer(group.as_str()) {
                        let before = before.consumer(group.as_str());
                        after.check_member(before.map(|group| &**group), member);
                    }
                }
                Change::Offset(_) => {}
            }
        }
    }
}
