//! A coordinator of one group without a broker around it: every decision is replayed, as in
//! production, and checked.

mod check;
mod failover;
mod members;
mod offsets;
mod random;
mod rebalance;
mod refusals;
mod scale;
mod topics;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use super::group::GroupState;
use super::member::MemberState;
use super::partitions::Target;
use super::*;
use crate::base::{BrokerEpoch, BrokerId, Instant, LeaderEpoch, Offset, PartitionEpoch, Timestamp};
use crate::base::{DirectoryId, Flaws, TopicId};
use crate::controller::{self, Image, PartitionRecord, RegisterBroker, TopicRecord};
use crate::decide::Decision;
use crate::group::{Client, ConsumerSettings, MemberId, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, Uuid, message,
};

type Request = ConsumerGroupHeartbeatRequest;
type Response = ConsumerGroupHeartbeatResponse;

const ORDERS: TopicId = topic_id(1);
const PAYMENTS: TopicId = topic_id(2);

const fn topic_id(number: u128) -> TopicId {
    TopicId((number << 64).to_be_bytes())
}

/// Partitions as tests name them: a topic and the indexes of partitions.
type Named<'a> = &'a [(TopicId, &'a [i32])];

struct Shell {
    group: Option<ConsumerGroup>,
    sessions: Sessions,
    settings: ConsumerSettings,
    image: Image,
    now: Instant,
    wall: Timestamp,
    log: Vec<Record>,
    made: Cell<u32>,
    /// Whether everything is checked after each decision: not in large groups.
    checks: bool,
    flaws: Flaws,
}

impl Shell {
    /// A cluster with the topics `orders` and `payments`, and a coordinator without a group.
    fn new(orders: i32, payments: i32) -> Self {
        let mut shell = Self::empty();
        shell.create_topic("orders", ORDERS, orders);
        shell.create_topic("payments", PAYMENTS, payments);
        shell
    }

    fn empty() -> Self {
        Self {
            group: None,
            sessions: Sessions::default(),
            settings: ConsumerSettings {
                assignment_interval: Duration::ZERO,
                ..ConsumerSettings::default()
            },
            image: Image::default(),
            now: Instant::from_secs(1_000),
            wall: Timestamp(1_700_000_000_000),
            log: Vec::new(),
            made: Cell::new(0),
            checks: true,
            flaws: Flaws::default(),
        }
    }

    fn metadata(&mut self, record: controller::Record) {
        let offset = self.image.offset().map_or(Offset::ZERO, Offset::next);
        self.image.replay(offset, &record, &mut Vec::new()).unwrap();
        self.image.reached(offset);
    }

    fn register(&mut self, broker: i32, rack: &str) {
        self.metadata(controller::Record::RegisterBroker(RegisterBroker {
            broker: BrokerId(broker),
            incarnation: Uuid::from_bytes([broker as u8; 16]),
            epoch: BrokerEpoch(1),
            listeners: Vec::new(),
            features: Vec::new(),
            rack: Some(rack.to_owned()),
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs: vec![DirectoryId([9; 16])],
        }));
    }

    fn create_topic(&mut self, name: &str, id: TopicId, partitions: i32) {
        if self.image.broker(BrokerId(1)).is_none() {
            self.register(1, "a");
        }
        self.metadata(controller::Record::Topic(TopicRecord { name: name.into(), id }));
        self.create_partitions(id, 0..partitions);
    }

    fn create_partitions(&mut self, topic: TopicId, partitions: std::ops::Range<i32>) {
        for partition in partitions {
            self.metadata(controller::Record::Partition(PartitionRecord {
                partition,
                topic,
                replicas: vec![BrokerId(1)],
                isr: vec![BrokerId(1)],
                removing: Vec::new(),
                adding: Vec::new(),
                leader: Some(BrokerId(1)),
                recovering: false,
                leader_epoch: LeaderEpoch(0),
                partition_epoch: PartitionEpoch(0),
                directories: vec![DirectoryId([9; 16])],
                elr: Vec::new(),
                last_known_elr: Vec::new(),
            }));
        }
    }

    fn decide<T>(
        &self,
        handler: impl FnOnce(Option<&ConsumerGroup>, &Context<'_>) -> Decision<Record, T, Effect>,
    ) -> Decision<Record, T, Effect> {
        let new_member = || {
            self.made.set(self.made.get() + 1);
            MemberId::from(format!("made-{}", self.made.get()))
        };
        let context = Context {
            now: self.now,
            wall: self.wall,
            image: &self.image,
            settings: &self.settings,
            classic_max_size: usize::MAX,
            sessions: &self.sessions,
            flaws: self.flaws,
            new_member: &new_member,
        };
        handler(self.group.as_ref(), &context)
    }

    fn carry_out<T>(&mut self, decision: Decision<Record, T, Effect>) -> T {
        let before = self.group.clone();
        let mut members = BTreeSet::new();
        for record in decision.records {
            self.group = replayed(self.group.take(), &record);
            if let Record::CurrentAssignment { member, .. } = &record {
                members.insert(member.clone());
            }
            self.log.push(record);
        }
        for effect in decision.effects {
            self.sessions.apply(self.now, effect);
        }
        if let Some(group) = &self.group {
            for member in members {
                group.check_member(before.as_ref(), &member);
            }
            if self.checks {
                group.check();
                self.sessions.check();
                self.sessions.check_group(group);
            }
        }
        decision.response
    }

    fn send(&mut self, version: i16, request: &Request) -> Response {
        let client = Client { id: "client".into(), host: "/10.0.0.1".into() };
        let decision = self.decide(|group, context| {
            let found = group.map_or(Found::Nothing, Found::Consumer);
            heartbeat(found, context, &client, version, request)
        });
        self.carry_out(decision)
    }

    fn accepted(&mut self, request: &Request) -> Response {
        let response = self.send(1, request);
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        response
    }

    /// Sends a request that must be refused, and returns the error with its message.
    fn refused(&mut self, request: &Request) -> (ErrorCode, String) {
        let (group, log) = (self.group.clone(), self.log.len());
        let response = self.send(1, request);
        assert_eq!((&self.group, self.log.len()), (&group, log), "a refusal changes nothing");
        let text = response.error_message.map(|text| text.to_string());
        (ErrorCode::from_code(response.error_code), text.unwrap_or_default())
    }

    /// Time passes; members that missed a deadline are fenced.
    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.wall.0 += i64::try_from(time.as_millis()).unwrap();
        let overdue = self.sessions.overdue(self.now).remove("g");
        let Some(overdue) = overdue else { return };
        let decision = self.decide(|group, context| expire(group.unwrap(), context, &overdue));
        self.carry_out(decision);
        assert!(self.sessions.overdue(self.now).is_empty(), "effects move deadlines");
    }

    /// Another broker becomes the coordinator. It has read the log up to `end`.
    fn fail_over(&mut self, end: usize) {
        self.log.truncate(end);
        self.group = self.log.iter().fold(None, replayed);
        self.sessions = Sessions::default();
        if let Some(group) = &self.group {
            self.sessions.activated(self.now, group, &self.settings);
        }
    }

    fn group(&self) -> &ConsumerGroup {
        self.group.as_ref().unwrap()
    }

    fn owned(&self, member: &str) -> Vec<(TopicId, Vec<i32>)> {
        self.group().member(member).unwrap().assigned.topics().collect()
    }

    /// Asserts epoch, state and partitions of a member.
    fn expect(&self, member: &str, epoch: i32, state: MemberState, owned: Named<'_>) {
        let found = self.group().member(member).unwrap();
        assert_eq!((found.epoch, found.state), (epoch, state), "member {member}");
        let owned: Vec<_> = owned.iter().map(|(topic, list)| (*topic, list.to_vec())).collect();
        assert_eq!(self.owned(member), owned, "member {member}");
    }
}

/// The group after a record.
fn replayed(group: Option<ConsumerGroup>, record: &Record) -> Option<ConsumerGroup> {
    let Some((id, creates)) = concerns(record) else { return group };
    let mut group = match group {
        Some(group) => group,
        None if creates => ConsumerGroup::new(id.clone()),
        None => return None,
    };
    group.replay(record).then_some(group)
}

fn owned(partitions: Named<'_>) -> Option<Vec<TopicPartitions>> {
    let topic = |(topic, list): &(TopicId, &[i32])| {
        message!(TopicPartitions { topic_id: (*topic).into(), partitions: list.to_vec() })
    };
    Some(partitions.iter().map(topic).collect())
}

/// A member joins, subscribed to topics.
fn join(member: &str, topics: &[&str]) -> Request {
    message!(Request {
        group_id: "g".into(),
        member_id: member.into(),
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(topics.iter().map(|name| (*name).into()).collect()),
        topic_partitions: Some(Vec::new()),
    })
}

fn join_pattern(member: &str, pattern: &str) -> Request {
    let mut request = join(member, &[]);
    request.subscribed_topic_names = None;
    request.subscribed_topic_regex = Some(pattern.into());
    request
}

fn join_static(member: &str, instance: &str) -> Request {
    let mut request = join(member, &["orders"]);
    request.instance_id = Some(instance.into());
    request
}

/// A heartbeat that says nothing new.
fn beat(member: &str, epoch: i32) -> Request {
    message!(Request { group_id: "g".into(), member_id: member.into(), member_epoch: epoch })
}

/// A heartbeat that reports what the member owns.
fn beat_owning(member: &str, epoch: i32, partitions: Named<'_>) -> Request {
    let mut request = beat(member, epoch);
    request.topic_partitions = owned(partitions);
    request
}

fn leave_static(member: &str, instance: &str) -> Request {
    let mut request = beat(member, -2);
    request.instance_id = Some(instance.into());
    request
}

/// What a response assigns, if anything.
fn assigned(response: &Response) -> Option<Vec<(TopicId, Vec<i32>)>> {
    let topics = &response.assignment.as_ref()?.topic_partitions;
    Some(topics.iter().map(|topic| (topic.topic_id.into(), topic.partitions.clone())).collect())
}

fn orders(partitions: &[i32]) -> Option<Vec<(TopicId, Vec<i32>)>> {
    Some(vec![(ORDERS, partitions.to_vec())])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
