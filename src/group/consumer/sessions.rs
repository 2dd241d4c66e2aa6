//! What a coordinator knows about consumer groups and does not replicate: who was heard of, who has
//! to give partitions up, and which metadata were looked at. A new coordinator begins with whole
//! timeouts and looks again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::Effect;
use super::group::ConsumerGroup;
use super::member::MemberState;
use crate::base::{Instant, Offset};
use crate::decide::Timers;
use crate::group::{ConsumerSettings, GroupId, MemberId};

/// Kafka's `REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(10);

/// What a member has to do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Heartbeat,
    Revoke,
    /// Classic protocol: JoinGroup, in answer to REBALANCE_IN_PROGRESS.
    Join,
    /// Classic protocol: SyncGroup, after JoinGroup.
    Sync,
}

type Key = (GroupId, MemberId);

/// When the metadata of a group were looked at.
#[derive(Clone, Debug, Default)]
struct Looked {
    /// The image whose topics the metadata hash was computed of.
    metadata: Option<Option<Offset>>,
    /// The image whose topics the regular expressions were matched with, and when.
    patterns: Option<(Option<Offset>, Instant)>,
}

/// A member that missed a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The member.
    pub member: MemberId,
    /// `None`: its session is over. Otherwise it has not revoked partitions in time, at this epoch.
    pub revoking: Option<i32>,
}

/// The soft state of all consumer groups of a coordinator.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    timers: Timers<(GroupId, MemberId, Task)>,
    /// The epoch at which a member was told to give partitions up.
    revoking: BTreeMap<Key, i32>,
    looked: BTreeMap<GroupId, Looked>,
    /// Grows with each member id that is given out: tells them apart.
    drawn: u64,
}

impl Sessions {
    /// Forgets everything: this coordinator has resigned.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The coordinator became active: each member of a group has a whole session to be heard of,
    /// and its whole rebalance timeout.
    pub fn activated(&mut self, now: Instant, group: &ConsumerGroup, settings: &ConsumerSettings) {
        for (id, member) in group.members() {
            let (group, member_id) = (group.id().clone(), id.clone());
            let session = settings.session_timeout;
            self.apply(now, Effect::Heard { group: group.clone(), member: member_id, session });
            if member.state == MemberState::UnrevokedPartitions {
                let timeout = rebalance_timeout(member.info.rebalance_timeout_ms);
                let (member, epoch) = (id.clone(), member.epoch);
                self.apply(now, Effect::Revoking { group, member, epoch, timeout });
            }
        }
    }

    /// A group's tombstone was replayed.
    pub fn removed(&mut self, group: &GroupId) {
        self.looked.remove(group);
    }

    /// Carries an effect out.
    pub fn apply(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Heard { group, member, session } => {
                self.drawn += 1;
                // It may have spoken the classic protocol before.
                self.cancel(&group, &member, &[Task::Join, Task::Sync]);
                self.timers.set((group, member, Task::Heartbeat), now + session);
            }
            Effect::Beat { group, member, session } => {
                self.timers.set((group, member, Task::Heartbeat), now + session);
            }
            Effect::Rejoining { group, member, timeout } => {
                let key = (group, member, Task::Join);
                if self.timers.get(&key).is_none() {
                    self.timers.set(key, now + timeout);
                }
            }
            Effect::Joined { group, member, session, timeout } => {
                self.drawn += 1;
                self.cancel(&group, &member, &[Task::Join]);
                let key = |task| (group.clone(), member.clone(), task);
                self.timers.set(key(Task::Heartbeat), now + session);
                self.timers.set(key(Task::Sync), now + timeout);
                self.revoked(group, member);
            }
            Effect::Synced { group, member, session } => {
                self.cancel(&group, &member, &[Task::Sync]);
                self.timers.set((group, member, Task::Heartbeat), now + session);
            }
            Effect::Revoking { group, member, epoch, timeout } => {
                self.revoking.insert((group.clone(), member.clone()), epoch);
                self.timers.set((group, member, Task::Revoke), now + timeout);
            }
            Effect::Revoked { group, member } => self.revoked(group, member),
            Effect::Left { group, member } => {
                self.cancel(&group, &member, &[Task::Heartbeat, Task::Join, Task::Sync]);
                self.revoked(group, member);
            }
            Effect::MetadataChecked { group, image } => {
                self.looked.entry(group).or_default().metadata = Some(image);
            }
            Effect::PatternsResolved { group, image } => {
                self.looked.entry(group).or_default().patterns = Some((image, now));
            }
            // The machine turns it into a classic group.
            Effect::Downgraded { .. } => {}
            Effect::Drawn => self.drawn += 1,
            Effect::AnswerJoin(reply, response) => reply.send(response),
            Effect::AnswerSync(reply, response) => reply.send(response),
        }
    }

    fn cancel(&mut self, group: &GroupId, member: &MemberId, tasks: &[Task]) {
        for task in tasks {
            self.timers.cancel(&(group.clone(), member.clone(), *task));
        }
    }

    fn revoked(&mut self, group: GroupId, member: MemberId) {
        let key = (group, member);
        if self.revoking.remove(&key).is_some() {
            self.timers.cancel(&(key.0, key.1, Task::Revoke));
        }
    }

    /// A number that no member id was drawn with since this coordinator leads.
    pub fn drawn(&self) -> u64 {
        self.drawn
    }

    /// When a member will be overdue, unless it is heard of before.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    /// Members that have missed a deadline, by group.
    pub fn overdue(&self, now: Instant) -> BTreeMap<GroupId, Vec<Overdue>> {
        let mut overdue: BTreeMap<GroupId, Vec<Overdue>> = BTreeMap::new();
        for (group, member, task) in self.timers.expired(now) {
            let epoch = || self.revoking.get(&(group.clone(), member.clone())).copied();
            let revoking = if *task == Task::Revoke { epoch() } else { None };
            let member = member.clone();
            overdue.entry(group.clone()).or_default().push(Overdue { member, revoking });
        }
        overdue
    }

    /// Whether the metadata of this image were compared with the metadata hash of a group.
    pub(super) fn has_checked(&self, group: &GroupId, image: Option<Offset>) -> bool {
        self.looked.get(group).is_some_and(|looked| looked.metadata == Some(image))
    }

    /// Whether the regular expressions of a group were matched with the topics of this image.
    pub(super) fn has_resolved(&self, group: &GroupId, image: Option<Offset>) -> bool {
        let patterns = self.looked.get(group).and_then(|looked| looked.patterns);
        patterns.is_some_and(|(resolved, _)| resolved == image)
    }

    /// Whether the regular expressions of a group may be resolved: that takes time, so it is not
    /// done too often.
    pub(super) fn may_resolve(&self, now: Instant, group: &GroupId) -> bool {
        let patterns = self.looked.get(group).and_then(|looked| looked.patterns);
        patterns.is_none_or(|(_, at)| now >= at + RESOLVE_INTERVAL)
    }

    /// Asserts that each timer belongs to what it is for.
    #[cfg(test)]
    pub fn check(&self) {
        self.timers.check();
        for (group, member) in self.revoking.keys() {
            let timer = self.timers.get(&(group.clone(), member.clone(), Task::Revoke));
            assert!(timer.is_some(), "member {member} of {group} revokes without a deadline");
        }
    }

    /// Asserts that each member of a group has a session, and the rebalance timeout that its state
    /// asks for.
    #[cfg(test)]
    pub fn check_group(&self, group: &ConsumerGroup) {
        for (id, member) in group.members() {
            let key = |task| (group.id().clone(), id.clone(), task);
            let session = self.timers.get(&key(Task::Heartbeat));
            assert!(session.is_some(), "member {id} of {} has no session", group.id());
            // A static member that left keeps its state, and needs no time to revoke.
            let revokes = member.state == MemberState::UnrevokedPartitions && member.epoch >= 0;
            let timer = self.timers.get(&key(Task::Revoke));
            assert!(
                !revokes || timer.is_some() || member.is_classic(),
                "member {id} of {} revokes without a deadline",
                group.id()
            );
        }
    }
}

/// A rebalance timeout as a duration. Members from the wire may name any.
pub(super) fn rebalance_timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
