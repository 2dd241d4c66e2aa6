//! Hand-made histories: three brokers, one partition of three replicas, b1 leads epoch 0 and all
//! are in sync, one second has passed.

mod clients;
mod groups;
mod keyed;
mod metadata;
mod storage;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Judge, Setup, TopicPromise, Touched, Verdicts, Violation, invariants};
use crate::base::config::{Acks, Compression};
use crate::base::{
    BrokerEpoch, BrokerId, ControllerProbe, Instant, LeaderEpoch, NodeProbe, Offset,
    PartitionCommitted, PartitionEpoch, Probe, ProducerEpoch, ProducerId, ReplicaProbe,
    StorageProbe, Timestamp, TopicId, TopicPartition, topics,
};
use crate::sim::{
    ClientEvent, ConsumerEvent, EPOCH_MS, HostId, Lookup, MemberEvent, Misdeed, Observation,
    Outcome, ProducerEvent, What,
};
use crate::wire::batch::{self, BatchBuilder, BatchHeader};

const METADATA: &str = "/data/__cluster_metadata-0/00000000000000000000.log";

/// A batch of records with these values, as it lies on a disk.
pub(crate) fn batch(base: i64, epoch: i32, values: &[u64]) -> Vec<u8> {
    let values: Vec<Vec<u8>> = values.iter().map(|value| value.to_be_bytes().to_vec()).collect();
    batch_of(base, epoch, &values)
}

fn batch_of(base: i64, epoch: i32, values: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
    for value in values {
        builder.append(Timestamp(0), None, Some(value), &[]);
    }
    let mut bytes = builder.finish(ProducerId::NONE, ProducerEpoch::NONE, -1).to_vec();
    batch::assign(&mut bytes, Offset(base), LeaderEpoch(epoch));
    bytes
}

/// Three brokers; `min.insync.replicas` of the topic is 2, and unclean elections are allowed.
pub(crate) fn setup() -> Setup {
    let promise = TopicPromise {
        min_insync_replicas: 2,
        unclean_election: true,
        index_interval: Some(50),
        ..TopicPromise::default()
    };
    Setup {
        brokers: (1..=3).map(|id| (HostId(id), BrokerId(i32::from(id)))).collect(),
        topics: [(Arc::from("orders"), promise)].into(),
        idempotence: true,
        within: Duration::from_secs(30),
        progress: Duration::from_secs(30),
    }
}

/// Three brokers, and another promise for the topic.
fn promising(promise: TopicPromise) -> Setup {
    Setup { topics: [(Arc::from("orders"), promise)].into(), ..setup() }
}

pub(crate) struct Story {
    judge: Option<Judge>,
    now: Instant,
    partition: TopicPartition,
    topic_id: TopicId,
    partition_epoch: i32,
    /// In which b1 leads, as stories of transactions have it.
    epoch: i32,
    registrations: i64,
    /// Each broker's segments.
    disks: BTreeMap<u16, BTreeMap<i64, Vec<u8>>>,
    /// Each node's metadata log.
    metadata: BTreeMap<u16, Vec<u8>>,
    verdicts: Verdicts,
    /// Partitions to which the story may turn again.
    others: BTreeMap<TopicPartition, Other>,
}

/// A partition that the story has left.
struct Other {
    topic_id: TopicId,
    partition_epoch: i32,
    epoch: i32,
    disks: BTreeMap<u16, BTreeMap<i64, Vec<u8>>>,
}

impl Story {
    pub fn judging(name: &str) -> Self {
        Self::judging_under(setup(), name)
    }

    /// The topic is compacted: records have one of ten keys, tombstones go after thirty seconds.
    pub fn compacting(name: &str) -> Self {
        let delete_retention = Duration::from_secs(30);
        let promise = setup().promise("orders");
        let promise = TopicPromise { compacted: true, keys: 10, delete_retention, ..promise };
        Self::judging_under(promising(promise), name)
    }

    /// The topic does not allow unclean elections.
    pub fn clean_only(name: &str) -> Self {
        let promise = TopicPromise { unclean_election: false, ..setup().promise("orders") };
        Self::judging_under(promising(promise), name)
    }

    /// The topic keeps a thousand bytes.
    pub fn expiring(name: &str) -> Self {
        let promise = TopicPromise { retention_bytes: Some(1000), ..setup().promise("orders") };
        Self::judging_under(promising(promise), name)
    }

    /// The logs of group coordinators allow unclean elections.
    pub fn unclean_coordinators(name: &str) -> Self {
        let promise = TopicPromise { unclean_election: true, ..TopicPromise::default() };
        let mut setup = setup();
        setup.topics.insert(topics::CONSUMER_OFFSETS.into(), promise);
        Self::judging_under(setup, name)
    }

    fn judging_under(setup: Setup, name: &str) -> Self {
        let mut chosen = invariants::of(&setup);
        chosen.retain(|invariant| invariant.name() == name);
        assert_eq!(chosen.len(), 1, "no invariant {name}");
        Self::begin(Judge::with(setup, chosen))
    }

    pub fn judging_all() -> Self {
        Self::begin(Judge::new(setup()))
    }

    fn begin(judge: Judge) -> Self {
        let mut story = Self {
            judge: Some(judge),
            now: Instant::from_secs(1),
            partition: TopicPartition::new("orders", 0),
            topic_id: TopicId([1; 16]),
            partition_epoch: 0,
            epoch: 0,
            registrations: 0,
            disks: BTreeMap::new(),
            metadata: BTreeMap::new(),
            verdicts: Verdicts::default(),
            others: BTreeMap::new(),
        };
        story.commits(Some(1), 0, &[1, 2, 3]);
        story.became_leader(1, 0);
        story.became_follower(2, 0, 1);
        story.became_follower(3, 0, 1);
        story
    }

    fn sees(&mut self, host: u16, what: What) {
        let seen = Observation { at: self.now, host: HostId(host), what };
        eprintln!("{:?}", seen);
        if let Some(judge) = &mut self.judge {
            judge.observe(&seen);
        }
    }

    fn probe(&mut self, host: u16, probe: impl Into<Probe>) {
        self.sees(host, What::Probe(probe.into()));
    }

    fn client(&mut self, event: impl Into<ClientEvent>) {
        self.sees(100, What::Client(event.into()));
    }

    // Time.

    pub fn later(&mut self) {
        self.now = self.now + Duration::from_secs(1);
    }

    pub fn long_later(&mut self) {
        self.now = self.now + Duration::from_secs(60);
    }

    pub fn healed(&mut self) {
        self.judge.as_mut().unwrap().healed(self.now);
    }

    /// Faults touch these hosts, and these links in both directions.
    pub fn touches(&mut self, hosts: &[u16], links: &[(u16, u16)]) {
        let both = |(one, other): &(u16, u16)| {
            let (one, other) = (HostId(*one), HostId(*other));
            [(one, other), (other, one)]
        };
        let hosts = hosts.iter().copied().map(HostId).collect();
        let touched = Touched { hosts, links: links.iter().flat_map(both).collect() };
        self.judge.as_mut().unwrap().touched(self.now, touched);
    }

    pub fn reading(&mut self) {
        self.judge.as_mut().unwrap().reading(self.now);
    }

    // The controller.

    pub fn commits(&mut self, leader: Option<i32>, epoch: i32, isr: &[i32]) {
        self.commits_as(leader, epoch, isr, false);
    }

    pub fn commits_unclean(&mut self, leader: i32, epoch: i32, isr: &[i32]) {
        self.commits_as(Some(leader), epoch, isr, true);
    }

    fn commits_as(&mut self, leader: Option<i32>, epoch: i32, isr: &[i32], unclean: bool) {
        let probe = Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
            partition: self.partition.clone(),
            topic_id: self.topic_id,
            replicas: (1..=3).map(BrokerId).collect(),
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(self.partition_epoch),
            isr: isr.iter().copied().map(BrokerId).collect(),
            unclean,
        }));
        self.partition_epoch += 1;
        self.probe(0, probe);
    }

    pub fn admitted(&mut self, broker: i32) {
        self.registrations += 1;
        self.admitted_as(broker, self.registrations);
    }

    pub fn admitted_as(&mut self, broker: i32, epoch: i64) {
        self.registers(broker, epoch);
        self.unfenced_as(broker, epoch);
    }

    pub fn fenced(&mut self, broker: i32) {
        self.fenced_as(broker, self.registrations);
    }

    pub fn fenced_as(&mut self, broker: i32, epoch: i64) {
        let (broker, epoch) = (BrokerId(broker), BrokerEpoch(epoch));
        self.probe(0, ControllerProbe::BrokerFenced { broker, epoch });
    }

    pub fn created_again(&mut self) {
        self.probe(0, ControllerProbe::TopicDeleted { topic_id: self.topic_id });
        for broker in self.disks.keys().copied().collect::<Vec<_>>() {
            self.gives_up(broker);
        }
        self.topic_id = TopicId([2; 16]);
        self.partition_epoch = 0;
        self.commits(Some(1), 0, &[1, 2, 3]);
    }

    /// A broker takes a log out of its directory; another one may take its place.
    pub fn gives_up(&mut self, broker: u16) {
        self.disks.remove(&broker);
        let (from, to) = (Arc::from("/data/orders-0"), Arc::from("/data/orders-0.abc-delete"));
        self.sees(broker, What::Renamed { from, to });
    }

    /// The controller chooses a leader, and it takes over.
    pub fn elected(&mut self, broker: u16, epoch: i32, isr: &[i32]) {
        self.commits(Some(i32::from(broker)), epoch, isr);
        self.became_leader(broker, epoch);
    }

    // Replicas.

    pub fn became_leader(&mut self, broker: u16, epoch: i32) {
        let (partition, topic_id) = (self.partition.clone(), self.topic_id);
        let epoch = LeaderEpoch(epoch);
        let log_end = Offset::ZERO;
        self.probe(broker, ReplicaProbe::BecameLeader { partition, topic_id, epoch, log_end });
    }

    pub fn leads_with_log_end(&mut self, broker: u16, epoch: i32, log_end: i64) {
        let (partition, topic_id) = (self.partition.clone(), self.topic_id);
        let (epoch, log_end) = (LeaderEpoch(epoch), Offset(log_end));
        self.probe(broker, ReplicaProbe::BecameLeader { partition, topic_id, epoch, log_end });
    }

    /// A leader says whom it counts.
    pub fn counts(&mut self, broker: u16, epoch: i32, isr: &[i32]) {
        let (partition, epoch) = (self.partition.clone(), LeaderEpoch(epoch));
        let isr = isr.iter().copied().map(BrokerId).collect();
        self.probe(broker, ReplicaProbe::MayBeInSync { partition, epoch, isr });
    }

    pub fn became_follower(&mut self, broker: u16, epoch: i32, leader: i32) {
        let (partition, topic_id) = (self.partition.clone(), self.topic_id);
        let (epoch, leader) = (LeaderEpoch(epoch), Some(BrokerId(leader)));
        self.probe(broker, ReplicaProbe::BecameFollower { partition, topic_id, epoch, leader });
    }

    pub fn writes(&mut self, broker: u16, base: i64, epoch: i32, values: &[u64]) {
        let bytes = batch(base, epoch, values);
        let segments = self.disks.entry(broker).or_default();
        if segments.is_empty() {
            segments.insert(0, Vec::new());
        }
        let (segment, file) = segments.iter_mut().next_back().unwrap();
        let (path, offset) = (path(&self.partition, *segment), file.len() as u64);
        file.extend_from_slice(&bytes);
        self.sees(broker, What::Wrote { path, offset, bytes: bytes.into() });
    }

    pub fn leader_writes(&mut self, broker: u16, base: i64, epoch: i32, values: &[u64]) {
        self.writes(broker, base, epoch, values);
        let probe = Probe::Replica(ReplicaProbe::LeaderAppended {
            partition: self.partition.clone(),
            epoch: LeaderEpoch(epoch),
            base: Offset(base),
            end: Offset(base + values.len() as i64),
        });
        self.probe(broker, probe);
    }

    pub fn rolls(&mut self, broker: u16, base: i64) {
        self.disks.entry(broker).or_default().insert(base, Vec::new());
        self.sees(broker, What::Cut { path: path(&self.partition, base), len: 0 });
    }

    pub fn removes_segment(&mut self, broker: u16, base: i64) {
        self.disks.get_mut(&broker).unwrap().remove(&base);
        self.sees(broker, What::Removed { path: path(&self.partition, base) });
    }

    /// Retention raises the log start; the files below are still there.
    pub fn expires(&mut self, broker: u16, start: i64) {
        let (partition, start) = (self.partition.clone(), Offset(start));
        self.probe(broker, Probe::Replica(ReplicaProbe::Expired { partition, start }));
    }

    /// Cuts the last segment so that it ends at an offset.
    pub fn cut(&mut self, broker: u16, end: i64) {
        let segments = self.disks.entry(broker).or_default();
        let Some((base, file)) = segments.iter_mut().next_back() else { return };
        file.truncate(position_of(file, end));
        let (path, len) = (path(&self.partition, *base), file.len() as u64);
        self.sees(broker, What::Cut { path, len });
    }

    pub fn high_watermark(&mut self, broker: u16, epoch: i32, offset: i64) {
        let leads = self.judge.as_ref().is_some_and(|judge| {
            let role = judge.ghost().view().role(HostId(broker), &self.partition);
            role.is_some_and(|role| role.leads)
        });
        let probe = Probe::Replica(ReplicaProbe::HighWatermark {
            partition: self.partition.clone(),
            epoch: LeaderEpoch(epoch),
            leads,
            offset: Offset(offset),
        });
        self.probe(broker, probe);
    }

    pub fn acknowledged_all(&mut self, broker: u16, epoch: i32, end: i64) {
        let (partition, epoch) = (self.partition.clone(), LeaderEpoch(epoch));
        self.probe(broker, ReplicaProbe::AcknowledgedAll { partition, epoch, end: Offset(end) });
    }

    // Faults.

    /// What lies at or after an offset was not synced.
    pub fn power_loss(&mut self, broker: u16, kept_below: i64) {
        for file in self.disks.entry(broker).or_default().values_mut() {
            file.truncate(position_of(file, kept_below));
        }
        self.loses_power(broker);
    }

    /// One segment is cut to so many bytes.
    pub fn power_loss_keeping(&mut self, broker: u16, segment: i64, bytes: usize) {
        self.disks.get_mut(&broker).unwrap().get_mut(&segment).unwrap().truncate(bytes);
        self.loses_power(broker);
    }

    /// A sync of one segment made nothing durable.
    pub fn lies(&mut self, broker: u16, segment: i64) {
        let path = path(&self.partition, segment);
        self.sees(broker, What::Lied { path });
    }

    /// The last byte is another.
    pub fn power_loss_tearing(&mut self, broker: u16) {
        let (_, file) = self.disks.get_mut(&broker).unwrap().iter_mut().next_back().unwrap();
        *file.last_mut().unwrap() ^= 1;
        self.loses_power(broker);
    }

    fn loses_power(&mut self, broker: u16) {
        self.sees(broker, What::PowerLost { lost_pages: 1 });
        let own = (&self.partition, self.disks.get(&broker));
        let others = self.others.iter().map(|(name, other)| (name, other.disks.get(&broker)));
        let mut survived = Vec::new();
        for (name, files) in std::iter::once(own).chain(others) {
            for (base, file) in files.into_iter().flatten() {
                survived.push((path(name, *base), file.clone()));
            }
        }
        for (path, bytes) in survived {
            self.sees(broker, What::Survived { path, bytes: bytes.into() });
        }
    }

    /// The power fails, and the last batch is the other one again.
    pub fn power_loss_bringing_back(&mut self, broker: u16, base: i64, bytes: &[u8]) {
        let (_, file) = self.disks.get_mut(&broker).unwrap().iter_mut().next_back().unwrap();
        file.truncate(position_of(file, base));
        file.extend_from_slice(bytes);
        self.loses_power(broker);
    }

    /// A bit rots on the disk, in the batch that begins at an offset of the first segment.
    pub fn rots(&mut self, broker: u16, offset: i64) {
        let (base, file) = self.disks.get_mut(&broker).unwrap().iter_mut().next().unwrap();
        let at = position_of(file, offset) + 61;
        file[at] ^= 1;
        let range = at as u64..at as u64 + 1;
        let path = path(&self.partition, *base);
        self.sees(broker, What::Corrupted { path, range });
    }

    pub fn calls_damaged(&mut self, broker: u16, offset: i64) {
        let (partition, offset) = (self.partition.clone(), Offset(offset));
        self.probe(broker, StorageProbe::Damaged { partition, offset });
    }

    /// The process ends, and its disk is replaced by an empty one.
    pub fn disk_replaced(&mut self, broker: u16) {
        self.killed(broker);
        let segments = std::mem::take(self.disks.entry(broker).or_default());
        let files: Vec<_> = segments.keys().map(|base| path(&self.partition, *base)).collect();
        self.sees(broker, What::Replaced { files: files.clone().into() });
        files.into_iter().for_each(|path| self.sees(broker, What::Removed { path }));
    }

    pub fn killed(&mut self, broker: u16) {
        self.sees(broker, What::Killed);
    }

    /// A process ends by itself.
    pub fn stops(&mut self, broker: u16) {
        self.sees(broker, What::Ended);
    }

    pub fn ready(&mut self, broker: u16) {
        self.probe(broker, NodeProbe::Ready);
    }

    pub fn boot(&mut self, broker: u16) {
        self.sees(broker, What::Booted);
    }

    // Verdicts.

    fn broken(&self) -> Option<&Violation> {
        match &self.judge {
            Some(judge) => judge.broken(),
            None => self.verdicts.violations.first(),
        }
    }

    #[track_caller]
    pub fn silent(&self) {
        assert_eq!(self.broken().map(ToString::to_string), None);
    }

    pub fn sentence(&self) -> String {
        self.broken().map(ToString::to_string).unwrap_or_default()
    }

    #[track_caller]
    pub fn fired(&self, sentence: &str) {
        assert_eq!(self.sentence(), sentence);
    }

    pub fn finish(&mut self) -> Verdicts {
        if let Some(judge) = self.judge.take() {
            self.verdicts = judge.finish(self.now);
        }
        self.verdicts.clone()
    }

    #[track_caller]
    pub fn finish_silent(&mut self) {
        self.finish();
        self.silent();
    }

    pub fn finish_sentence(&mut self) -> String {
        self.finish();
        self.sentence()
    }

    #[track_caller]
    pub fn finish_fired(&mut self, sentence: &str) {
        assert_eq!(self.finish_sentence(), sentence);
    }
}

fn path(partition: &TopicPartition, base: i64) -> Arc<str> {
    format!("/data/{partition}/{base:020}.log").into()
}

/// Where the first batch at or after an offset begins.
fn position_of(file: &[u8], offset: i64) -> usize {
    let mut position = 0;
    while let Ok(header) = BatchHeader::parse(&file[position..]) {
        if header.base_offset.0 >= offset {
            break;
        }
        position += header.size();
    }
    position
}
