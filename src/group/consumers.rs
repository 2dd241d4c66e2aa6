//! The consumer protocol in the coordinator: which group a request is for, and what replaces what.

use std::borrow::Cow;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::consumer::{self, ConsumerGroup, Context, Found, Overdue, Refusal, expire, heartbeat};
use super::machine::{Decision, Effect, GroupCoordinator};
use super::record::{ClassicMemberValue, Record};
#[cfg(test)]
use super::state::Group;
use super::{Client, ConsumerSettings, GroupId, MemberId, Reply};
use crate::base::config::MigrationPolicy;
use crate::base::{Instant, Stream, Timestamp, TopicId};
use crate::controller::ConfigRecord;
use crate::decide;
use crate::wire::ErrorCode;
use crate::wire::messages::consumer_group_describe_response::DescribedGroup;
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    message,
};

impl GroupCoordinator {
    /// ConsumerGroupHeartbeat.
    pub fn consumer_heartbeat(
        &self,
        now: Instant,
        wall: Timestamp,
        client: &Client,
        version: i16,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Decision<ConsumerGroupHeartbeatResponse> {
        let new_member = || self.new_member();
        let settings = self.settings_of(&request.group_id);
        let context = self.context(&settings, (now, wall), &new_member);
        let found = self.find(&request.group_id);
        let decision = heartbeat(found, &context, client, version, request);
        if decision.records.iter().all(Record::is_writable) {
            return decision.lift(Effect::Consumer);
        }
        let error = ErrorCode::UnknownServerError.code();
        decide::Decision::only(message!(ConsumerGroupHeartbeatResponse { error_code: error }))
    }

    /// ConsumerGroupDescribe, for one group.
    pub fn consumer_describe(&self, group: &str) -> DescribedGroup {
        if let Some(group) = self.state.consumer(group) {
            return group.describe(&self.image, &self.settings.consumer);
        }
        let text = match self.classic_or_simple(group) {
            Some(_) => format!("Group {group} is not a consumer group."),
            None => format!("Group {group} not found."),
        };
        message!(DescribedGroup {
            group_id: group.into(),
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(text.into()),
        })
    }

    /// Fences members of consumer groups that missed a deadline.
    pub(super) fn expire_consumers(&self, now: Instant, wall: Timestamp) -> Decision<()> {
        let new_member = || self.new_member();
        let mut decision = decide::Decision::only(());
        for (id, overdue) in self.consumers.overdue(now) {
            match self.state.consumer(id.as_str()) {
                Some(group) => {
                    let settings = self.settings_of(id.as_str());
                    let context = self.context(&settings, (now, wall), &new_member);
                    let fenced = expire(group, &context, &overdue).lift(Effect::Consumer);
                    decision.records.extend(fenced.records);
                    decision.effects.extend(fenced.effects);
                }
                // The group was deleted, or became a classic one.
                None => {
                    decision.effects.extend(overdue.into_iter().map(|overdue| left(&id, overdue)))
                }
            }
        }
        decision
    }

    /// JoinGroup to a consumer group with members.
    pub(super) fn join_consumers(
        &self,
        group: &ConsumerGroup,
        (now, wall): (Instant, Timestamp),
        client: &Client,
        version: i16,
        request: &JoinGroupRequest,
        reply: Reply<JoinGroupResponse>,
    ) -> Decision<()> {
        let session = u64::try_from(request.session_timeout_ms).map(Duration::from_millis);
        let (min, max) = (self.settings.min_session_timeout, self.settings.max_session_timeout);
        if !session.is_ok_and(|session| (min..=max).contains(&session)) {
            let error = ErrorCode::InvalidSessionTimeout;
            return self.classic.refuse_join(request, reply, error).lift(Effect::Classic);
        }
        let new_member = || self.new_member();
        let settings = self.settings_of(group.id().as_str());
        let context = self.context(&settings, (now, wall), &new_member);
        let decision = consumer::join(group, &context, client, version, request, reply);
        decision.lift(Effect::Consumer)
    }

    /// Heartbeat to a consumer group.
    pub(super) fn beat_consumers(
        &self,
        group: &ConsumerGroup,
        (now, wall): (Instant, Timestamp),
        request: &HeartbeatRequest,
    ) -> Decision<HeartbeatResponse> {
        let new_member = || self.new_member();
        let settings = self.settings_of(group.id().as_str());
        let context = self.context(&settings, (now, wall), &new_member);
        consumer::beat(group, &context, request).lift(Effect::Consumer)
    }

    /// LeaveGroup to a consumer group.
    pub(super) fn leave_consumers(
        &self,
        group: &ConsumerGroup,
        (now, wall): (Instant, Timestamp),
        version: i16,
        request: &LeaveGroupRequest,
    ) -> Decision<LeaveGroupResponse> {
        let new_member = || self.new_member();
        let settings = self.settings_of(group.id().as_str());
        let context = self.context(&settings, (now, wall), &new_member);
        consumer::leave(group, &context, version, request).lift(Effect::Consumer)
    }

    /// The settings of a group: its own, over those of all groups.
    pub(super) fn settings_of(&self, group: &str) -> Cow<'_, ConsumerSettings> {
        let own = self.image.overrides(ConfigRecord::GROUP, group);
        match own.is_empty() {
            true => Cow::Borrowed(&self.settings.consumer),
            false => Cow::Owned(self.settings.consumer.with(own, &self.settings.config)),
        }
    }

    fn context<'a>(
        &'a self,
        settings: &'a ConsumerSettings,
        (now, wall): (Instant, Timestamp),
        new_member: &'a dyn Fn() -> MemberId,
    ) -> Context<'a> {
        Context {
            now,
            wall,
            image: &self.image,
            classic_max_size: self.settings.max_size,
            settings,
            sessions: &self.consumers,
            flaws: self.settings.flaws,
            new_member,
        }
    }

    /// What has the name of a group. A classic group without members gives way to a consumer group.
    fn find(&self, group: &str) -> Found<'_> {
        if let Some(group) = self.state.consumer(group) {
            return Found::Consumer(group);
        }
        let Some(classic) = self.classic.get(group) else { return Found::Nothing };
        let group = GroupId::from(group);
        if classic.is_empty() {
            return Found::Classic(Ok(vec![Record::ClassicGroup { group, value: None }]));
        }
        let upgrades = matches!(
            self.settings.consumer.migration_policy,
            MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade
        );
        let refuse = |reason| Err(Refusal::NotUpgraded { group: group.clone(), reason });
        Found::Classic(if !upgrades {
            refuse("online upgrade is disabled")
        } else if !classic.has_consumers() {
            refuse("the group does not use the consumer embedded protocol")
        } else if classic.len() > self.settings.consumer.max_size {
            refuse("the group size exceeds the consumer group maximum size")
        } else {
            let protocols =
                |member: &ClassicMemberValue| classic.metadata_of(member.member.as_str());
            consumer::upgraded(&group, &classic.snapshot(), protocols, &self.image)
        })
    }

    /// Asserts what must hold of all consumer groups: costs as much as they are large.
    #[cfg(test)]
    pub(super) fn check_consumers(&self) {
        self.consumers.check();
        for (_, group) in self.state.iter() {
            if let Group::Consumer(group) = group {
                group.check();
                self.consumers.check_group(group);
            }
        }
    }

    /// An id as Kafka makes them: a UUID.
    fn new_member(&self) -> MemberId {
        let mut bytes = [0u8; 16];
        let stream = Stream::numbered("member id", self.consumers.drawn());
        self.seed.stream(stream).fill_bytes(&mut bytes);
        // RFC 4122: version 4, variant 1.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        TopicId(bytes).to_string().into()
    }
}

fn left(group: &GroupId, overdue: Overdue) -> Effect {
    Effect::Consumer(consumer::Effect::Left { group: group.clone(), member: overdue.member })
}
