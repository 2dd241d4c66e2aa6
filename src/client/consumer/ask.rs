//! Which questions leave now, and to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::core::{Asked, Core, Effect, InFlight, Order, Question};
use super::lookup::LookupId;
use super::position::{Position, State};
use crate::base::{BrokerId, Instant, LeaderEpoch, TopicId, TopicPartition};
use crate::client::kernel::RequestId;
use crate::wire::messages::fetch_request::{FetchPartition, FetchTopic};
use crate::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use crate::wire::messages::{FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

/// "A consumer, not a replica."
const NO_REPLICA: i32 = -1;

/// What one broker is to be asked.
#[derive(Default)]
struct Plan {
    fetch: Vec<Asked>,
    list: Vec<(Asked, i64)>,
    validate: Vec<Asked>,
}

impl Core {
    /// Asks every leader what there is to ask.
    pub(super) fn ask(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for (broker, mut plan) in self.plan(now) {
            let is_fetch = |(_, to, request): (_, _, &InFlight)| to == broker && request.is_fetch;
            let fetching = self.requests.iter().any(is_fetch);
            if !fetching && !plan.fetch.is_empty() {
                // Those at the end of a full answer come first the next time.
                let rotation = self.requests.rotation(plan.fetch.len());
                plan.fetch.rotate_left(rotation);
                let question = Question::Fetch(self.fetch(&plan.fetch));
                self.send(now, broker, question, plan.fetch, effects);
            }
            if !plan.list.is_empty() {
                let question = Question::List(self.list(&plan.list));
                let asked = plan.list.into_iter().map(|(asked, _)| asked).collect();
                self.send(now, broker, question, asked, effects);
            }
            if !plan.validate.is_empty() {
                let question = Question::Validate(validate(&plan.validate));
                self.send(now, broker, question, plan.validate, effects);
            }
        }
    }

    /// What there is to ask, by leader.
    fn plan(&mut self, now: Instant) -> BTreeMap<BrokerId, Plan> {
        let mut plans: BTreeMap<BrokerId, Plan> = BTreeMap::new();
        let (mut wake, mut lost) = (self.wake, false);
        // A broker refuses a partition that occurs twice in a request: the second waits its turn.
        let mut listed: BTreeSet<TopicPartition> = BTreeSet::new();
        for (partition, assigned) in &self.assigned {
            let idle = match assigned.state {
                State::Stuck(_) => true,
                State::Fetch => assigned.buffered.is_some(),
                _ => false,
            };
            if idle || assigned.asked.is_some() {
                continue;
            }
            if assigned.not_before > now {
                wake = wake.min(assigned.not_before);
                continue;
            }
            let Some((broker, leader_epoch)) = self.kernel.cluster().leader(partition) else {
                lost = true;
                continue;
            };
            let plan = plans.entry(broker).or_default();
            let (partition, position) = (partition.clone(), assigned.position);
            let asked = Asked { partition, position, leader_epoch, lookup: None };
            match assigned.state {
                State::Reset { whence, .. } => {
                    listed.insert(asked.partition.clone());
                    plan.list.push((asked, whence.timestamp()));
                }
                State::Validate => plan.validate.push(asked),
                State::Fetch => plan.fetch.push(asked),
                State::Stuck(_) => {}
            }
        }
        for (id, lookup) in &self.lookups {
            for (partition, missing) in &lookup.missing {
                if missing.asked.is_some() || listed.contains(partition) {
                    continue;
                }
                if missing.not_before > now {
                    wake = wake.min(missing.not_before);
                    continue;
                }
                let Some((broker, leader_epoch)) = self.kernel.cluster().leader(partition) else {
                    lost = true;
                    continue;
                };
                listed.insert(partition.clone());
                let (partition, lookup_id) = (partition.clone(), Some(*id));
                let asked = Asked { partition, position: None, leader_epoch, lookup: lookup_id };
                let timestamp = lookup.whence.timestamp();
                plans.entry(broker).or_default().list.push((asked, timestamp));
            }
        }
        self.wake = wake;
        if lost {
            self.kernel.want_metadata_unless_asked();
        }
        plans
    }

    fn send(
        &mut self,
        now: Instant,
        broker: BrokerId,
        question: Question,
        asked: Vec<Asked>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = self.kernel.cluster().address(broker).cloned() else { return };
        let request = self.requests.next_id();
        let mut by_name = false;
        for Asked { partition, lookup, .. } in &asked {
            by_name |= self.kernel.cluster().id(&partition.topic) == TopicId::ZERO;
            self.mark(partition, *lookup, request);
        }
        let is_fetch = matches!(question, Question::Fetch(_));
        self.requests.began(request, broker, InFlight { is_fetch, asked });
        let deadline = now + self.config.request_timeout;
        let order = Order { request, to, question, by_name, deadline };
        effects.push(Effect::Ask(Box::new(order)));
    }

    fn mark(&mut self, partition: &TopicPartition, lookup: Option<LookupId>, request: RequestId) {
        match lookup {
            None => {
                if let Some(assigned) = self.assigned.get_mut(partition) {
                    assigned.asked = Some(request);
                }
            }
            Some(id) => {
                let lookup = self.lookups.get_mut(&id);
                if let Some(missing) = lookup.and_then(|l| l.missing.get_mut(partition)) {
                    missing.asked = Some(request);
                }
            }
        }
    }

    fn fetch(&self, asked: &[Asked]) -> FetchRequest {
        let mut message = FetchRequest::default();
        message.replica_id = NO_REPLICA;
        let wait = self.config.fetch_max_wait.as_millis();
        message.max_wait_ms = i32::try_from(wait).unwrap_or(i32::MAX);
        message.min_bytes = self.config.fetch_min_bytes;
        message.max_bytes = self.config.fetch_max_bytes;
        message.isolation_level = i8::from(self.read_committed);
        // Without a session (KIP-227).
        message.session_id = 0;
        message.session_epoch = -1;
        for (topic, asked) in by_topic(asked.iter()) {
            let mut fetched = FetchTopic::default();
            fetched.topic = (&*topic).into();
            fetched.topic_id = self.kernel.cluster().id(&topic).into();
            for asked in asked {
                let Some(Position { offset, .. }) = asked.position else { continue };
                let mut partition = FetchPartition::default();
                partition.partition = asked.partition.partition;
                partition.current_leader_epoch = asked.leader_epoch.0;
                partition.fetch_offset = offset.0;
                partition.last_fetched_epoch = LeaderEpoch::NONE.0;
                partition.log_start_offset = -1;
                partition.partition_max_bytes = self.config.max_partition_fetch_bytes;
                fetched.partitions.push(partition);
            }
            message.topics.push(fetched);
        }
        message
    }

    fn list(&self, asked: &[(Asked, i64)]) -> ListOffsetsRequest {
        let mut message = ListOffsetsRequest::default();
        message.replica_id = NO_REPLICA;
        message.isolation_level = i8::from(self.read_committed);
        for (topic, asked) in by_topic_with(asked.iter().map(|(asked, at)| (asked, *at))) {
            let mut listed = ListOffsetsTopic::default();
            listed.name = (&*topic).into();
            for (asked, timestamp) in asked {
                let mut partition = ListOffsetsPartition::default();
                partition.partition_index = asked.partition.partition;
                partition.current_leader_epoch = asked.leader_epoch.0;
                partition.timestamp = timestamp;
                listed.partitions.push(partition);
            }
            message.topics.push(listed);
        }
        message
    }
}

fn validate(asked: &[Asked]) -> OffsetForLeaderEpochRequest {
    let mut message = OffsetForLeaderEpochRequest::default();
    message.replica_id = NO_REPLICA;
    for (topic, asked) in by_topic(asked.iter()) {
        let mut told = OffsetForLeaderTopic::default();
        told.topic = (&*topic).into();
        for asked in asked {
            let mut partition = OffsetForLeaderPartition::default();
            partition.partition = asked.partition.partition;
            partition.current_leader_epoch = asked.leader_epoch.0;
            partition.leader_epoch = asked.position.map_or(LeaderEpoch::NONE, |p| p.epoch).0;
            told.partitions.push(partition);
        }
        message.topics.push(told);
    }
    message
}

/// Something of partitions, by topic.
type ByTopic<T> = Vec<(Arc<str>, Vec<T>)>;

/// Runs of partitions of one topic. A topic occurs once, or brokers would answer it twice.
fn by_topic<'a>(asked: impl Iterator<Item = &'a Asked>) -> ByTopic<&'a Asked> {
    let with = by_topic_with(asked.map(|asked| (asked, 0)));
    with.into_iter().map(|(t, asked)| (t, asked.into_iter().map(|(a, _)| a).collect())).collect()
}

/// As [`by_topic`], with something beside each.
fn by_topic_with<'a, T>(asked: impl Iterator<Item = (&'a Asked, T)>) -> ByTopic<(&'a Asked, T)> {
    let mut topics: ByTopic<(&Asked, T)> = Vec::new();
    let mut places: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for (asked, beside) in asked {
        let name = asked.partition.topic.clone();
        let place = *places.entry(name.clone()).or_insert_with(|| {
            topics.push((name, Vec::new()));
            topics.len() - 1
        });
        topics[place].1.push((asked, beside));
    }
    topics
}
