//! The heartbeats that a member sends, and the targets that it is sent.

use super::{ByTopic, Epochs, LEAVE, LEAVE_FOR_A_WHILE, State, Told};
use crate::base::Flaw;
use crate::wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::wire::messages::consumer_group_heartbeat_response::Assignment;
use crate::wire::messages::{ConsumerGroupHeartbeatRequest, StrBytes, message};

impl Epochs {
    /// The id that a heartbeat names. Before KIP-1082 the coordinator gave a member its id.
    fn known_id(&self) -> StrBytes {
        match self.state == State::Joining && self.settings.flaws.has(Flaw::PhantomMembers) {
            true => "".into(),
            false => self.id.as_str().into(),
        }
    }

    fn instance(&self) -> Option<StrBytes> {
        self.settings.instance.as_ref().map(|instance| (&**instance).into())
    }

    pub(super) fn farewell(&self) -> ConsumerGroupHeartbeatRequest {
        message!(ConsumerGroupHeartbeatRequest {
            group_id: (&*self.settings.group).into(),
            member_id: self.id.as_str().into(),
            member_epoch: if self.settings.instance.is_some() { LEAVE_FOR_A_WHILE } else { LEAVE },
            instance_id: self.instance(),
            rebalance_timeout_ms: -1,
        })
    }

    pub(super) fn heartbeat(&mut self) -> ConsumerGroupHeartbeatRequest {
        let topics = self.topics().cloned().collect();
        let regex = self.subscription.as_ref().and_then(|s| s.regex().cloned());
        let says = Told { topics, regex, owned: self.owned_ids.clone() };
        let known = self.said.take();
        let is_new = known.is_none();
        let topics_changed = known.as_ref().is_none_or(|said| said.topics != says.topics);
        let regex_before = known.as_ref().and_then(|said| said.regex.as_ref());
        let takes_back = is_new && self.has_said_regex;
        let says_regex = takes_back || regex_before != says.regex.as_ref();
        self.has_said_regex |= says.regex.is_some();
        // An empty one takes an earlier one back.
        let regex = says.regex.as_deref().unwrap_or_default();
        let owned_changed = known.as_ref().is_none_or(|said| said.owned != says.owned);
        let rebalance_timeout = self.settings.max_poll_interval.as_millis();
        let rebalance_timeout = i32::try_from(rebalance_timeout).unwrap_or(i32::MAX);
        let assignor = self.settings.remote_assignor.as_ref().filter(|_| is_new);
        let rack = self.settings.rack.as_ref().filter(|_| is_new);
        let owned = says.owned.iter().map(|(id, indexes)| {
            let indexes = indexes.iter().copied().collect();
            message!(TopicPartitions { topic_id: (*id).into(), partitions: indexes })
        });
        let names = says.topics.iter().map(|topic| (&**topic).into());
        let request = message!(ConsumerGroupHeartbeatRequest {
            group_id: (&*self.settings.group).into(),
            member_id: self.known_id(),
            member_epoch: self.epoch,
            instance_id: self.instance(),
            rack_id: rack.map(|rack| (&**rack).into()),
            rebalance_timeout_ms: if is_new { rebalance_timeout } else { -1 },
            subscribed_topic_names: topics_changed.then(|| names.collect()),
            subscribed_topic_regex: says_regex.then(|| regex.into()),
            server_assignor: assignor.map(|assignor| (&**assignor).into()),
            topic_partitions: (owned_changed || self.acknowledges).then(|| owned.collect()),
        });
        self.said = Some(says);
        self.acknowledges = false;
        request
    }
}

pub(super) fn by_topic(assignment: &Assignment) -> ByTopic {
    let mut target = ByTopic::new();
    for topic in &assignment.topic_partitions {
        target.entry(topic.topic_id.into()).or_default().extend(topic.partitions.iter().copied());
    }
    target.retain(|_, indexes| !indexes.is_empty());
    target
}
