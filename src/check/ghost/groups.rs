//! Members of groups, as they reported it: who is in which generation, and who owns what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::pace::Pace;
use crate::base::{Instant, Offset, TopicPartition, topics};
use crate::group;
use crate::sim::{HostId, MemberEvent};
use crate::view::View;

/// The protocol in which all members of a group share a generation.
const CLASSIC: &str = "classic";

/// A member, from the moment it begins to join until its process ends or it leaves.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub host: HostId,
    pub group: Arc<str>,
    pub topics: Vec<Arc<str>>,
    pub is_static: bool,
    pub session: Duration,
    /// When it last began to join.
    pub begun: Instant,
    /// The newest generation of the group that any member had reported when this one last began to
    /// join.
    pub begun_after: i32,
    pub joined: Option<Joined>,
    /// How many generations it has taken over.
    pub joins: u64,
    /// The static member that it was before its process ended.
    pub before: Option<Before>,
    /// What it owns now.
    pub owned: BTreeSet<TopicPartition>,
    /// Its application does not give partitions up: its group has to do without it.
    pub withholds: bool,
    pace: Pace,
}

/// What a static member was when its process ended.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub ended: Instant,
    pub generation: i32,
}

/// A member's share of a generation.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub generation: i32,
    /// The id that the coordinator gave it.
    pub member: Arc<str>,
    pub at: Instant,
    pub assigned: BTreeSet<TopicPartition>,
}

/// Why a group is not stable.
#[derive(Clone, Debug)]
pub(crate) enum Unstable {
    /// A member is in no generation, or in an older one than another.
    Behind { group: Arc<str>, consumer: u32, generation: Option<i32>, newest: i32 },
    /// All are in one generation, since this time, but no member owns a partition.
    Unowned { group: Arc<str>, partition: TopicPartition, generation: i32, since: Instant },
}

impl Unstable {
    pub(crate) fn group(&self) -> &Arc<str> {
        match self {
            Self::Behind { group, .. } | Self::Unowned { group, .. } => group,
        }
    }
}

impl std::fmt::Display for Unstable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Behind { consumer, generation: None, newest, .. } => {
                write!(f, "k{consumer} has not joined, and others are in generation {newest}")
            }
            Self::Behind { consumer, generation: Some(own), newest, .. } => {
                write!(f, "k{consumer} is in generation {own}, and others are in {newest}")
            }
            Self::Unowned { partition, generation, .. } => {
                write!(f, "no member of generation {generation} owns {partition}")
            }
        }
    }
}

/// A partition that its group has not read to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lagging {
    pub group: Arc<str>,
    pub partition: TopicPartition,
    /// The next offset that a member would read.
    pub read: Offset,
    pub end: Offset,
    /// The member that owns it was busy most of the time: it reads as fast as it processes.
    pub is_busy: bool,
}

impl std::fmt::Display for Lagging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is read up to offset {}, and ends at {}", self.partition, self.read, self.end)
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    members: BTreeMap<u32, Member>,
    /// Members whose process ended, until the next one begins.
    dead: BTreeMap<u32, (Instant, Member)>,
    newest: BTreeMap<Arc<str>, i32>,
    /// Groups that have had members of the consumer protocol, each with an epoch of its own.
    by_epochs: BTreeSet<Arc<str>>,
    /// When a leader of a partition of `__consumer_offsets` was last found to lack committed records
    /// within the contract.
    forgot: BTreeMap<i32, Instant>,
    /// Groups of which a member asked what is committed while a deposed coordinator may have answered.
    misled: BTreeSet<Arc<str>>,
    /// The next offset that a member would read, by group.
    read: BTreeMap<(Arc<str>, TopicPartition), Offset>,
    /// Why a group was not stable when the final reads began.
    at_reading: Option<Unstable>,
    /// What a group had not read when the final reads began.
    lag_at_reading: Option<Lagging>,
}

impl Groups {
    pub fn members(&self) -> impl Iterator<Item = (u32, &Member)> {
        self.members.iter().map(|(consumer, member)| (*consumer, member))
    }

    pub fn member(&self, consumer: u32) -> Option<&Member> {
        self.members.get(&consumer)
    }

    /// The newest generation that a member has reported; -1 before the first.
    pub fn newest(&self, group: &str) -> i32 {
        self.newest.get(group).copied().unwrap_or(-1)
    }

    /// The newest generation that a member is in; -1 if none is in any.
    fn newest_now(&self, group: &str) -> i32 {
        let members = self.members.values().filter(|member| *member.group == *group);
        members.filter_map(|member| Some(member.joined.as_ref()?.generation)).max().unwrap_or(-1)
    }

    /// Whether all members of a group share one generation.
    pub fn has_generations(&self, group: &str) -> bool {
        !self.by_epochs.contains(group)
    }

    /// When the coordinator of a group last lost what it had committed, within the contract. It then
    /// counts generations again that members have been in.
    pub fn last_loss(&self, view: &View, group: &str) -> Option<Instant> {
        self.forgot.get(&self.coordinator(view, group).partition).copied()
    }

    /// Whether a coordinator of a group was deposed and does not know that yet. It tells members what was
    /// committed in its time: as in Kafka, only what it writes is fenced, by the epoch of its log.
    pub fn has_deposed_coordinator(&self, view: &View, group: &str) -> bool {
        view.leaders(&self.coordinator(view, group)) > 1
    }

    /// Whether a deposed coordinator may have told a member of a group where to begin.
    pub fn is_misled(&self, group: &str) -> bool {
        self.misled.contains(group)
    }

    /// A member asks what its group has committed, or is told.
    pub(super) fn recalls(&mut self, view: &View, consumer: u32) {
        let Some(member) = self.members.get(&consumer) else { return };
        if self.has_deposed_coordinator(view, &member.group) {
            self.misled.insert(member.group.clone());
        }
    }

    /// The partition of `__consumer_offsets` that has a group.
    pub(super) fn coordinator(&self, view: &View, group: &str) -> TopicPartition {
        let names = view.partitions().map(|(name, _)| name);
        let count = names.filter(|name| *name.topic == *topics::CONSUMER_OFFSETS).count();
        let partition = group::partition_of(group, i32::try_from(count).unwrap_or(i32::MAX));
        TopicPartition::new(topics::CONSUMER_OFFSETS, partition)
    }

    /// A partition of `__consumer_offsets` lost committed records within the contract.
    pub(super) fn forgot(&mut self, partition: i32, at: Instant) {
        self.forgot.insert(partition, at);
    }

    /// Why a group was not stable when the final reads began.
    pub fn at_reading(&self) -> Option<&Unstable> {
        self.at_reading.as_ref()
    }

    /// What a group had not read when the final reads began.
    pub fn lag_at_reading(&self) -> Option<&Lagging> {
        self.lag_at_reading.as_ref()
    }

    pub(super) fn reading(&mut self, unstable: Option<Unstable>, lag: Option<Lagging>) {
        (self.at_reading, self.lag_at_reading) = (unstable, lag);
    }

    /// The first partition with records below `end` that the members of its group have not read, unless
    /// the group `waits` for committed offsets; rather one whose member has nothing to do.
    pub(super) fn lagging(
        &self,
        now: Instant,
        view: &View,
        waits: impl Fn(&str) -> bool,
        end: impl Fn(&TopicPartition) -> Option<Offset>,
    ) -> Option<Lagging> {
        let lags = self.members.values().flat_map(|member| {
            let all = view.partitions().map(|(name, _)| name);
            let subscribed = all.filter(|name| member.topics.contains(&name.topic));
            subscribed.filter_map(|name| {
                let end = end(name)?;
                let (group, partition) = (member.group.clone(), name.clone());
                let read = self.read.get(&(group.clone(), partition.clone()));
                let read = read.copied().unwrap_or(Offset::ZERO);
                if read >= end || waits(&group) {
                    return None;
                }
                let is_busy = self.is_busy(now, &group, &partition);
                Some(Lagging { group, partition, read, end, is_busy })
            })
        });
        lags.min_by_key(|lag| lag.is_busy)
    }

    /// Whether the member that owns a partition was busy most of the time.
    fn is_busy(&self, now: Instant, group: &str, partition: &TopicPartition) -> bool {
        let of_group = self.members.values().filter(|member| *member.group == *group);
        let mut owners = of_group.filter(|member| member.owned.contains(partition));
        owners.any(|owner| owner.pace.is_busy(now))
    }

    /// The last fault has ended: what members did before tells nothing of their pace.
    pub(super) fn healed(&mut self, at: Instant) {
        for member in self.members.values_mut() {
            member.pace = Pace::since(at);
        }
    }

    /// A consumer read a partition up to this offset.
    pub(super) fn read(
        &mut self,
        at: Instant,
        consumer: u32,
        partition: &TopicPartition,
        upto: Offset,
    ) {
        let Some(member) = self.members.get_mut(&consumer) else { return };
        member.pace.gets(at);
        let read = self.read.entry((member.group.clone(), partition.clone())).or_insert(upto);
        *read = upto.max(*read);
    }

    /// A partition's topic was deleted.
    pub(super) fn gone(&mut self, partition: &TopicPartition) {
        self.read.retain(|(_, name), _| name != partition);
    }

    /// Why some group is not stable; `None` if each has its members in one generation, in which they
    /// own all partitions of their topics. A coordinator that lost records of its log counts generations
    /// again, so that earlier ones of its groups don't count. A member that `waits` for something in vain
    /// may have stopped polling: it is not waited for.
    pub(super) fn unstable(
        &self,
        view: &View,
        waits: impl Fn(&Member) -> bool,
    ) -> Option<Unstable> {
        let members = || self.members.iter().filter(|(_, member)| !member.withholds);
        members().find_map(|(consumer, member)| {
            let group = member.group.clone();
            let newest = match self.last_loss(view, &group) {
                Some(_) => self.newest_now(&group),
                None => self.newest(&group),
            };
            let consumer = *consumer;
            let Some(joined) = &member.joined else {
                let is_behind = !waits(member);
                return is_behind.then_some(Unstable::Behind {
                    group,
                    consumer,
                    generation: None,
                    newest,
                });
            };
            let generation = joined.generation;
            if generation < newest && self.has_generations(&group) {
                let (generation, is_behind) = (Some(generation), !waits(member));
                return is_behind.then_some(Unstable::Behind {
                    group,
                    consumer,
                    generation,
                    newest,
                });
            }
            let of_group =
                || members().map(|(_, other)| other).filter(|other| other.group == group);
            let is_owned = |name| of_group().any(|other| other.owned.contains(name));
            let mut all = view.partitions().map(|(name, _)| name);
            let partition =
                all.find(|name| member.topics.contains(&name.topic) && !is_owned(name)).cloned()?;
            let joins = of_group().filter_map(|other| other.joined.as_ref());
            let since = joins.map(|joined| joined.at).max().unwrap_or(joined.at);
            Some(Unstable::Unowned { group, partition, generation, since })
        })
    }

    pub(super) fn observe(&mut self, at: Instant, host: HostId, event: &MemberEvent) {
        if let MemberEvent::Subscribed {
            consumer,
            group,
            topics,
            is_static,
            protocol,
            session_ms,
        } = event
        {
            if **protocol != *CLASSIC {
                self.by_epochs.insert(group.clone());
            }
            let before = self.dead.remove(consumer).and_then(|(ended, dead)| {
                let generation =
                    dead.joined.filter(|_| *is_static && dead.group == *group)?.generation;
                (generation == self.newest(group)).then_some(Before { ended, generation })
            });
            let member = Member {
                host,
                group: group.clone(),
                topics: topics.clone(),
                is_static: *is_static,
                session: Duration::from_millis(*session_ms),
                begun: at,
                begun_after: self.newest(group),
                joined: None,
                joins: 0,
                before,
                owned: BTreeSet::new(),
                withholds: false,
                pace: Pace::since(at),
            };
            self.members.insert(*consumer, member);
            return;
        }
        let Some(member) = self.members.get_mut(&event.consumer()) else { return };
        match event {
            MemberEvent::Joined { generation, member: id, owned, .. } => {
                let assigned: BTreeSet<_> = owned.iter().cloned().collect();
                let (generation, id) = (*generation, id.clone());
                member.joins += 1;
                member.owned.clone_from(&assigned);
                member.joined = Some(Joined { generation, member: id, at, assigned });
                let newest = self.newest.entry(member.group.clone()).or_insert(generation);
                *newest = generation.max(*newest);
            }
            // Without a share, it does not take one over.
            MemberEvent::Entered { generation, .. } if member.joined.is_none() => {
                let (generation, assigned) = (*generation, member.owned.clone());
                member.joined = Some(Joined { generation, member: "".into(), at, assigned });
            }
            MemberEvent::Withholds { .. } => member.withholds = true,
            MemberEvent::Revoked { partitions, .. } => {
                member.withholds = false;
                member.owned.retain(|partition| !partitions.contains(partition));
            }
            MemberEvent::Lost { partitions, .. } => {
                member.owned.retain(|partition| !partitions.contains(partition));
                member.joined = None;
                member.begun = at;
                member.begun_after = self.newest.get(&member.group).copied().unwrap_or(-1);
            }
            MemberEvent::Left { consumer } => drop(self.members.remove(consumer)),
            MemberEvent::Committed { .. } | MemberEvent::Processed { .. } => {
                member.pace.works(at);
            }
            MemberEvent::Subscribed { .. }
            | MemberEvent::Entered { .. }
            | MemberEvent::Fenced { .. }
            | MemberEvent::Dismissed { .. }
            | MemberEvent::Committing { .. }
            | MemberEvent::Recalling { .. }
            | MemberEvent::Recalled { .. } => {}
        }
    }

    /// A process ended, with the member that it was.
    pub(super) fn died(&mut self, at: Instant, host: HostId) {
        let members = std::mem::take(&mut self.members).into_iter();
        let (dead, alive): (Vec<_>, Vec<_>) = members.partition(|(_, member)| member.host == host);
        self.members = alive.into_iter().collect();
        self.dead.extend(dead.into_iter().map(|(consumer, member)| (consumer, (at, member))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(generations: &[i32]) -> Groups {
        let mut groups = Groups::default();
        let mut event = |event| groups.observe(Instant::START, HostId(0), &event);
        for (consumer, generation) in (1..).zip(generations.iter().copied()) {
            event(MemberEvent::Subscribed {
                consumer,
                group: "shop".into(),
                topics: vec!["orders".into()],
                is_static: false,
                protocol: CLASSIC.into(),
                session_ms: 9000,
            });
            let (member, owned) = ("id".into(), Vec::new());
            event(MemberEvent::Joined { consumer, generation, member, owned });
        }
        groups
    }

    fn why(groups: &Groups) -> Option<String> {
        let view = View::new(&BTreeMap::new(), BTreeMap::new());
        groups.unstable(&view, |_| false).map(|unstable| unstable.to_string())
    }

    #[test]
    fn generations_of_a_lost_log_count_only_while_a_member_is_in_them() {
        let mut groups = group(&[1, 1, 6]);
        let behind = Some("k1 is in generation 1, and others are in 6".to_owned());
        groups.observe(Instant::START, HostId(0), &MemberEvent::Left { consumer: 3 });
        assert_eq!(why(&groups), behind, "the log is there: the group has to move on");
        groups.forgot(1, Instant::START);
        assert_eq!(why(&groups), behind, "another coordinator's log");
        groups.forgot(0, Instant::START);
        assert_eq!(why(&groups), None);
    }

    #[test]
    fn members_share_a_generation_also_after_a_loss() {
        let mut groups = group(&[1, 1, 6]);
        groups.forgot(0, Instant::START);
        let behind = "k1 is in generation 1, and others are in 6";
        assert_eq!(why(&groups).as_deref(), Some(behind));
    }
}
