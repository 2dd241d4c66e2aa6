//! What is not replicated: groups between two assignments, waiting replies, timers.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::rand_core::Rng;

use super::answers::{joined, refused_join, refused_sync, synced};
use super::effect::{Assignments, Effect, Kind, ReplacedAnswer, Timer};
use super::group::{ClassicGroup, Phase};
use crate::base::{Instant, Seed, Stream};
use crate::decide::Timers;
use crate::group::{GroupId, MemberId, Reply};
use crate::wire::ErrorCode;
use crate::wire::messages::{JoinGroupResponse, SyncGroupResponse};

type Waiting<T> = BTreeMap<(GroupId, MemberId), Reply<T>>;

/// The classic groups of one coordinator.
#[derive(Debug)]
pub(in crate::group) struct Classic {
    groups: BTreeMap<GroupId, Arc<ClassicGroup>>,
    joins: Waiting<JoinGroupResponse>,
    syncs: Waiting<SyncGroupResponse>,
    pub(super) timers: Timers<Timer>,
    /// Of member ids since this coordinator leads.
    seed: Seed,
    /// How many ids were drawn.
    drawn: u64,
}

impl Classic {
    pub(in crate::group) fn new(seed: Seed) -> Self {
        Self {
            groups: BTreeMap::new(),
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            timers: Timers::default(),
            seed,
            drawn: 0,
        }
    }

    /// A group that has members, had some, or was asked for.
    pub(in crate::group) fn get(&self, group: &str) -> Option<&Arc<ClassicGroup>> {
        self.groups.get(group)
    }

    pub(in crate::group) fn iter(&self) -> impl Iterator<Item = (&GroupId, &Arc<ClassicGroup>)> {
        self.groups.iter()
    }

    /// Forgets everything. A request that waits learns that this coordinator does not answer any more.
    pub(in crate::group) fn clear(&mut self) {
        self.groups.clear();
        self.joins.clear();
        self.syncs.clear();
        self.timers.clear();
    }

    /// Draws ids that no other time as the leader has drawn.
    pub(in crate::group) fn reseed(&mut self, now: Instant) {
        self.seed = self.seed.split(Stream::numbered("leads", now.0));
        self.drawn = 0;
    }

    /// A new member id: `<prefix>-<uuid>`, as Kafka's.
    pub(super) fn draw_id(&self, prefix: &str) -> MemberId {
        let mut bytes = [0u8; 16];
        self.seed.stream(Stream::numbered("member id", self.drawn)).fill_bytes(&mut bytes);
        // RFC 4122: version 4, variant 1.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let [a, b, c, d, e] = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        format!("{prefix}-{a}-{b}-{c}-{d}-{e}").into()
    }

    /// A group's tombstone was replayed.
    pub(in crate::group) fn removed(&mut self, id: &GroupId) {
        let Some(group) = self.groups.remove(id) else { return };
        self.timers.cancel(&Timer::Join(id.clone()));
        self.timers.cancel(&Timer::Sync(id.clone()));
        for member in group.members.keys().chain(group.pending_join.keys()) {
            let key = (id.clone(), member.clone());
            // Members still wait only if the group was upgraded: they join the consumer group.
            let error = ErrorCode::RebalanceInProgress;
            if let Some(reply) = self.joins.remove(&key) {
                reply.send(refused_join(member.as_str(), error));
            }
            if let Some(reply) = self.syncs.remove(&key) {
                reply.send(refused_sync(error));
            }
            self.timers.cancel(&Timer::Session(key.0, key.1));
        }
    }

    pub(in crate::group) fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    pub(in crate::group) fn carry_out(&mut self, now: Instant, effect: Effect) {
        match effect.0 {
            Kind::Put(group) => {
                self.groups.insert(group.id.clone(), group);
            }
            Kind::SetTimer(timer, at) => self.timers.set(timer, at),
            Kind::CancelTimer(timer) => {
                self.timers.cancel(&timer);
            }
            Kind::HoldJoin { group, member, reply } => {
                self.joins.insert((group, member), reply);
            }
            Kind::AnswerJoin { group, member, response } => {
                if let Some(reply) = self.joins.remove(&(group, member)) {
                    reply.send(response);
                }
            }
            Kind::ReplyJoin(reply, response) => reply.send(response),
            Kind::HoldSync { group, member, reply } => {
                self.syncs.insert((group, member), reply);
            }
            Kind::AnswerSync { group, member, response } => {
                if let Some(reply) = self.syncs.remove(&(group, member)) {
                    reply.send(response);
                }
            }
            Kind::ReplySync(reply, response) => reply.send(response),
            Kind::Stored { group, generation, assignments } => {
                self.stored(now, &group, generation, &assignments);
            }
            Kind::Replaced { group, member, answer } => self.replaced(&group, &member, answer),
            Kind::Drawn => self.drawn += 1,
            Kind::Rebalancing { group, generation, reason } => {
                tracing::info!(%group, generation, %reason, "preparing to rebalance");
            }
        }
    }

    /// An assignment is committed. It counts if its generation still waits for it: another member
    /// may have joined meanwhile.
    fn stored(&mut self, now: Instant, id: &GroupId, generation: i32, assigned: &Assignments) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if !group.is_completing() || group.generation != generation {
            return;
        }
        let group = Arc::make_mut(group);
        group.phase = Phase::Stable;
        let mut waiting = Vec::new();
        group.change_all(|member| {
            let assignment = assigned.get(&member.id).cloned().unwrap_or_default();
            member.assignment = Some(assignment);
            if std::mem::take(&mut member.awaits_sync) {
                waiting.push((member.id.clone(), member.session_timeout()));
            }
        });
        for (member, session) in waiting {
            let response = synced(group, &member);
            if let Some(reply) = self.syncs.remove(&(id.clone(), member.clone())) {
                reply.send(response);
            }
            self.timers.set(Timer::Session(id.clone(), member), now + session);
        }
    }

    /// The new process of a static member is committed. If a rebalance began meanwhile, it takes
    /// part in that.
    fn replaced(&mut self, id: &GroupId, member: &MemberId, answer: ReplacedAnswer) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let awaits = group.member(member.as_str()).is_some_and(|member| member.awaits_join);
        if !awaits || group.phase != Phase::Stable {
            return;
        }
        let group = Arc::make_mut(group);
        group.change(member, |member| member.awaits_join = false);
        let mut response = joined(group, member);
        match answer {
            ReplacedAnswer::Skipping => {
                response.skip_assignment = group.is_leader(member.as_str());
            }
            ReplacedAnswer::Naming { leader } => {
                response.members = Vec::new();
                response.leader = leader.as_ref().map_or("", MemberId::as_str).into();
            }
        }
        if let Some(reply) = self.joins.remove(&(id.clone(), member.clone())) {
            reply.send(response);
        }
    }

    /// Asserts what must hold of one group.
    pub(in crate::group) fn check(&self, id: &GroupId) {
        let Some(group) = self.groups.get(id) else { return };
        assert_eq!(group.id, *id, "a group under another name");
        group.check();
        let joining = self.timers.get(&Timer::Join(id.clone())).is_some();
        assert_eq!(joining, group.is_preparing(), "{id}: the timer of joins, {:?}", group.phase);
        let syncing = self.timers.get(&Timer::Sync(id.clone())).is_some();
        assert_eq!(syncing, !group.pending_sync.is_empty(), "{id}: the timer of syncs");
        for member in group.members.values() {
            let key = (id.clone(), member.id.clone());
            let name = &member.id;
            let (joins, syncs) = (self.joins.contains_key(&key), self.syncs.contains_key(&key));
            assert_eq!(joins, member.awaits_join, "{id}: does {name} await its join?");
            assert_eq!(syncs, member.awaits_sync, "{id}: does {name} await its sync?");
            let session = self.timers.get(&Timer::Session(key.0, key.1));
            assert!(
                session.is_some() || member.has_satisfied_heartbeat(),
                "{id}: {name} has no session and waits for nothing"
            );
        }
        for member in group.pending_join.keys() {
            let timer = Timer::Session(id.clone(), member.clone());
            assert!(self.timers.get(&timer).is_some(), "{id}: pending {member} never expires");
        }
    }

    /// Asserts what must hold of all groups: costs as much as they are large.
    #[cfg(test)]
    pub(in crate::group) fn check_all(&self) {
        self.timers.check();
        let mut replies = 0;
        for (id, group) in &self.groups {
            self.check(id);
            let awaits = |member: &Arc<super::member::Member>| {
                usize::from(member.awaits_join) + usize::from(member.awaits_sync)
            };
            replies += group.members.values().map(awaits).sum::<usize>();
        }
        assert_eq!(replies, self.joins.len() + self.syncs.len(), "no other member waits");
        for timer in self.timers.expired(Instant::NEVER) {
            let Some(group) = self.groups.get(timer.group()) else {
                panic!("{timer:?} of a group that is not there")
            };
            if let Timer::Session(_, member) = timer {
                let known = group.members.contains_key(member);
                assert!(known || group.pending_join.contains_key(member), "{timer:?} of no member");
            }
        }
    }
}

impl ClassicGroup {
    /// Asserts what must hold between decisions.
    fn check(&self) {
        let id = &self.id;
        let empty = self.members.is_empty();
        match &self.phase {
            Phase::Empty => assert!(empty, "{id} is Empty and has members"),
            Phase::PreparingRebalance { .. } => {}
            Phase::CompletingRebalance { .. } | Phase::Stable => {
                assert!(!empty, "{id} is {} without members", self.state_name());
                let protocol = self.protocol.as_deref().unwrap_or_default();
                assert_eq!(self.support.of(protocol), self.members.len(), "{id}: {protocol}");
            }
        }
        assert_eq!(self.leader.is_none(), empty, "{id}: leader {:?}", self.leader);
        if let Some(leader) = &self.leader {
            assert!(self.members.contains_key(leader), "{id}: leader {leader} is not a member");
        }
        let awaiting = self.members.values().filter(|member| member.awaits_join).count();
        assert_eq!(awaiting, self.awaiting_join, "{id}: members that await their join");
        let mut support = super::votes::Support::default();
        let mut instances = 0;
        for (key, member) in self.members.iter() {
            assert_eq!(*key, member.id, "{id}: a member under another id");
            support.add(&member.protocols);
            assert!(!self.pending_join.contains_key(key), "{id}: member {key} is pending");
            assert!(!member.awaits_sync || self.is_completing(), "{id}: {key} awaits a sync");
            if self.phase == Phase::Stable {
                assert!(member.assignment.is_some(), "{id} is Stable, {key} has no assignment");
            }
            if let Some(instance) = &member.instance {
                assert_eq!(self.instances.get(instance), Some(key), "{id}: instance {instance}");
                instances += 1;
            }
        }
        assert_eq!(support, self.support, "{id}: supported protocols");
        assert_eq!(instances, self.instances.len(), "{id}: instances without a member");
        let syncing = self.is_completing() || self.phase == Phase::Stable;
        assert!(syncing || self.pending_sync.is_empty(), "{id}: members are yet to sync");
        for member in self.pending_sync.keys() {
            assert!(self.members.contains_key(member), "{id}: {member} is yet to sync");
        }
    }
}
