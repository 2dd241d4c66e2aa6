//! A cluster of decisions: everything that the controller decides is encoded, decoded and replayed,
//! as in production.

mod alter_partition;
mod assertions;
mod brokers;
mod configs;
mod elect_leaders;
mod elections;
mod features;
mod partitions;
mod random;
mod topics;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::base::config::{GroupConfig, NodeConfig, TopicConfig};
use crate::base::{
    BrokerEpoch, BrokerId, DirectoryId, Flaws, Instant, Offset, Seed, Stream, Timestamp, TopicId,
};
use crate::decide::Machine;
use crate::wire::ErrorCode;
use crate::wire::messages::broker_registration_request::Listener;
use crate::wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use crate::wire::messages::{
    AlterPartitionRequest, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerRegistrationRequest, CreateTopicsRequest, Uuid, alter_partition_request,
};

const SESSION: Duration = Duration::from_secs(9);

struct Cluster {
    controller: Controller,
    now: Instant,
    next: Offset,
    /// The changes of the last decision.
    changes: Vec<Change>,
    history: Vec<Change>,
    log: Vec<Record>,
    incarnations: u128,
}

fn directory(broker: i32) -> DirectoryId {
    DirectoryId((1_000_000 + broker as u128).to_be_bytes())
}

impl Cluster {
    /// A new cluster without brokers.
    fn new() -> Self {
        Self::with_features(BTreeMap::new())
    }

    /// The same with other levels of features.
    fn with_features(features: BTreeMap<&'static str, i16>) -> Self {
        Self::with(features, Intervals::of(&NodeConfig::default()))
    }

    /// The same with other times of elections.
    fn with(features: BTreeMap<&'static str, i16>, rounds: Intervals) -> Self {
        let settings = ControllerSettings {
            me: BrokerId(0),
            cluster_id: "quake".into(),
            session_timeout: SESSION,
            num_partitions: 1,
            default_replication_factor: 1,
            topic_defaults: TopicConfig::default(),
            groups: GroupConfig::default(),
            rounds,
            features,
            flaws: Flaws::default(),
        };
        let random = Seed(7).stream(Stream::named("controller"));
        let now = Instant::from_secs(1000);
        let mut cluster = Self {
            controller: Controller::new(now, settings, random),
            now,
            next: Offset::ZERO,
            changes: Vec::new(),
            history: Vec::new(),
            log: Vec::new(),
            incarnations: 0,
        };
        let bootstrap = cluster.controller.bootstrap();
        cluster.commit(bootstrap);
        cluster
    }

    /// A cluster with these brokers, registered and unfenced.
    fn of(brokers: &[i32]) -> Self {
        let mut cluster = Self::new();
        for id in brokers {
            cluster.start(*id);
        }
        cluster
    }

    /// Encodes, decodes and replays a decision.
    fn commit<T>(&mut self, decision: Decision<T>) -> T {
        self.changes.clear();
        let before = self.image().clone();
        for record in &decision.records {
            let read = Record::decode(&record.encode()).unwrap();
            assert_eq!(read, *record);
            self.controller.replay(self.next, &read, &mut self.changes).unwrap();
            self.next = self.next.next();
            self.log.push(read);
        }
        for effect in decision.effects {
            self.controller.carry_out(self.now, effect);
        }
        self.controller.check(&before, &self.changes);
        self.history.extend_from_slice(&self.changes);
        decision.response
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }

    /// A registration of a new process; `previous` is the epoch that a clean shutdown would have
    /// left.
    fn registration(&mut self, id: i32, previous: BrokerEpoch) -> BrokerRegistrationRequest {
        self.incarnations += 1;
        let mut listener = Listener::default();
        listener.name = "PLAINTEXT".into();
        listener.host = format!("b{id}").into();
        listener.port = 9092;
        let mut request = BrokerRegistrationRequest::default();
        request.broker_id = id;
        request.cluster_id = "quake".into();
        request.incarnation_id = Uuid::from_bytes((self.incarnations << 64).to_be_bytes());
        request.listeners = vec![listener];
        request.log_dirs = vec![directory(id).into()];
        request.previous_broker_epoch = previous.0;
        request
    }

    fn register(&mut self, request: &BrokerRegistrationRequest) -> Result<BrokerEpoch, ErrorCode> {
        let decision = self.controller.register_broker(self.now, self.next, request);
        let response = self.commit(decision);
        ErrorCode::from_code(response.error_code).check()?;
        Ok(BrokerEpoch(response.broker_epoch))
    }

    fn request(&self, id: i32) -> BrokerHeartbeatRequest {
        let mut request = BrokerHeartbeatRequest::default();
        request.broker_id = id;
        request.broker_epoch = self.epoch(id).0;
        request.current_metadata_offset = self.next.0 - 1;
        request
    }

    fn beat(&mut self, request: &BrokerHeartbeatRequest) -> BrokerHeartbeatResponse {
        let decision = self.controller.heartbeat(request);
        self.commit(decision)
    }

    fn heartbeat(&mut self, id: i32) -> BrokerHeartbeatResponse {
        self.beat(&self.request(id))
    }

    fn shut_down(&mut self, id: i32) -> BrokerHeartbeatResponse {
        let mut request = self.request(id);
        request.want_shut_down = true;
        self.beat(&request)
    }

    /// Registers a new broker and unfences it.
    fn start(&mut self, id: i32) {
        let request = self.registration(id, BrokerEpoch::NONE);
        self.register(&request).unwrap();
        assert!(!self.heartbeat(id).is_fenced);
    }

    /// The broker falls silent until it is fenced; the others keep sending heartbeats.
    fn fence(&mut self, id: i32) {
        self.after(5);
        for other in self.brokers().into_iter().filter(|other| *other != id) {
            if self.image().is_alive(BrokerId(other)) {
                self.heartbeat(other);
            }
        }
        self.after(5).tick();
        assert!(!self.image().is_alive(BrokerId(id)));
    }

    fn tick(&mut self) {
        let decision = self.controller.expire(self.now, Timestamp::NONE);
        self.commit(decision);
    }

    /// A fenced broker that kept all its data is unfenced.
    fn come_back(&mut self, id: i32) {
        assert!(!self.heartbeat(id).is_fenced);
    }

    /// A fenced broker registers a new process after an unclean shutdown.
    fn restart_uncleanly(&mut self, id: i32) {
        let request = self.registration(id, BrokerEpoch::NONE);
        self.register(&request).unwrap();
    }

    fn image(&self) -> &Image {
        self.controller.image()
    }

    fn brokers(&self) -> Vec<i32> {
        self.image().brokers().map(|(id, _)| id.0).collect()
    }

    fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image().broker(BrokerId(id)).map_or(BrokerEpoch::NONE, |broker| broker.epoch)
    }

    /// Creates topic `t` with one partition on these replicas.
    fn topic(&mut self, replicas: &[i32], configs: &[(&str, &str)]) -> TopicId {
        let mut assignment = CreatableReplicaAssignment::default();
        assignment.broker_ids = replicas.to_vec();
        let mut topic = topic("t", -1, -1);
        topic.assignments = vec![assignment];
        topic.configs = settings(configs);
        let result = self.create(topic);
        assert_eq!(result, Ok(()));
        self.image().topic("t").unwrap().id
    }

    fn create(&mut self, topic: CreatableTopic) -> Result<(), ErrorCode> {
        let mut request = CreateTopicsRequest::default();
        request.topics = vec![topic];
        let decision = self.controller.create_topics(self.now, &request);
        let response = self.commit(decision);
        ErrorCode::from_code(response.topics[0].error_code).check()
    }

    /// The state of partition 0 of topic `t`.
    fn partition(&self) -> &PartitionState {
        self.image().topic("t").unwrap().partitions.get(&0).unwrap()
    }

    fn leader(&self) -> Option<i32> {
        self.partition().leader.map(|id| id.0)
    }

    fn isr(&self) -> Vec<i32> {
        self.partition().isr.iter().map(|id| id.0).collect()
    }

    fn elr(&self) -> Vec<i32> {
        self.partition().elr.iter().map(|id| id.0).collect()
    }

    /// Whether the last decision elected a leader uncleanly.
    fn was_unclean(&self) -> bool {
        let unclean = |change: &Change| matches!(change, Change::Partition { unclean: true, .. });
        self.changes.iter().any(unclean)
    }

    /// The proposal that the leader of partition 0 of `t` would send for this ISR.
    fn proposal(&self, isr: &[i32]) -> AlterPartitionRequest {
        self.proposal_for("t", isr)
    }

    /// The proposal that the leader of all partitions of a topic would send for this ISR.
    fn proposal_for(&self, topic: &str, isr: &[i32]) -> AlterPartitionRequest {
        let topic = self.image().topic(topic).unwrap();
        let member = |id: &i32| {
            let mut member = alter_partition_request::BrokerState::default();
            member.broker_id = *id;
            member.broker_epoch = self.epoch(*id).0;
            member
        };
        let proposed = topic.partitions.iter().map(|(index, state)| {
            let mut partition = alter_partition_request::PartitionData::default();
            partition.partition_index = *index;
            partition.leader_epoch = state.leader_epoch.0;
            partition.partition_epoch = state.partition_epoch.0;
            partition.new_isr_with_epochs = isr.iter().map(member).collect();
            partition
        });
        let mut topic_data = alter_partition_request::TopicData::default();
        topic_data.topic_id = topic.id.into();
        topic_data.partitions = proposed.collect();
        let leader = topic.partitions.values().find_map(|state| state.leader);
        let leader = leader.unwrap_or(BrokerId::NONE).0;
        let mut request = AlterPartitionRequest::default();
        request.broker_id = leader;
        request.broker_epoch = self.epoch(leader).0;
        request.topics = vec![topic_data];
        request
    }

    fn alter(&mut self, request: &AlterPartitionRequest) -> Result<(), ErrorCode> {
        let decision = self.controller.alter_partition(self.now, request);
        let response = self.commit(decision);
        ErrorCode::from_code(response.error_code).check()?;
        ErrorCode::from_code(response.topics[0].partitions[0].error_code).check()
    }

    /// The leader of partition 0 of `t` changes its ISR.
    fn alter_isr(&mut self, isr: &[i32]) {
        let request = self.proposal(isr);
        assert_eq!(self.alter(&request), Ok(()));
    }
}

fn topic(name: &str, partitions: i32, copies: i16) -> CreatableTopic {
    let mut topic = CreatableTopic::default();
    topic.name = name.into();
    topic.num_partitions = partitions;
    topic.replication_factor = copies;
    topic
}

fn settings(pairs: &[(&str, &str)]) -> Vec<CreatableTopicConfig> {
    let setting = |(name, value): &(&str, &str)| {
        let mut setting = CreatableTopicConfig::default();
        setting.name = (*name).into();
        setting.value = Some((*value).into());
        setting
    };
    pairs.iter().map(setting).collect()
}
