//! The cluster as a client knows it: brokers, topics and leaders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{BrokerId, LeaderEpoch, TopicId, TopicPartition};
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::MetadataResponse;

/// The leader of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// `None` while the partition is offline.
    pub(crate) leader: Option<BrokerId>,
    /// `NONE` when the broker does not report it.
    pub(crate) epoch: LeaderEpoch,
}

/// A topic as a client knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownTopic {
    /// `ZERO` when the broker does not report it (Metadata before version 10).
    pub(crate) id: TopicId,
    pub(crate) partitions: BTreeMap<i32, Leadership>,
    /// Racks with a replica, of partitions that have such.
    racks: BTreeMap<i32, BTreeSet<Arc<str>>>,
    /// The replicas of each partition that are online.
    online: BTreeMap<i32, Box<[BrokerId]>>,
    is_internal: bool,
}

impl KnownTopic {
    /// The racks with a replica of each partition, from 0.
    pub(crate) fn racks(&self) -> Vec<BTreeSet<Arc<str>>> {
        let racks = self.partitions.keys().map(|index| self.racks.get(index).cloned());
        racks.map(Option::unwrap_or_default).collect()
    }
}

/// Brokers, topics and leaders, as far as they were asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    brokers: BTreeMap<BrokerId, Address>,
    /// The racks of brokers that have one.
    racks: BTreeMap<BrokerId, Arc<str>>,
    topics: BTreeMap<Arc<str>, KnownTopic>,
    names: BTreeMap<TopicId, Arc<str>>,
    /// The ids of topics that are gone, until there is another one of their name.
    former: BTreeMap<Arc<str>, TopicId>,
}

impl Cluster {
    /// Takes over a broker's answer, and returns the topics with errors.
    ///
    /// A partition keeps the newest leader epoch: brokers learn of elections one after another, and
    /// a stale answer must not turn the client back (KIP-320).
    pub(crate) fn update(&mut self, answer: &MetadataResponse) -> Vec<(Arc<str>, ErrorCode)> {
        if !answer.brokers.is_empty() {
            self.brokers.clear();
            self.racks.clear();
        }
        for broker in &answer.brokers {
            if let Some(rack) = &broker.rack {
                self.racks.insert(BrokerId(broker.node_id), rack.as_str().into());
            }
            let port = u16::try_from(broker.port).unwrap_or(0);
            let address = Address::new(broker.host.as_str(), port);
            self.brokers.insert(BrokerId(broker.node_id), address);
        }
        let mut problems = Vec::new();
        for told in &answer.topics {
            let Some(name) = &told.name else { continue };
            let name: Arc<str> = match self.topics.get_key_value(name.as_str()) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::from(name.as_str()),
            };
            let error = ErrorCode::from_code(told.error_code);
            if !error.is_none() {
                if !error.is_retriable() || error == ErrorCode::UnknownTopicOrPartition {
                    self.forget(&name);
                }
                problems.push((name, error));
                continue;
            }
            let mut topic = KnownTopic {
                id: told.topic_id.into(),
                is_internal: told.is_internal,
                ..KnownTopic::default()
            };
            let before = self.topics.get(&name).filter(|before| before.id == topic.id);
            for partition in &told.partitions {
                let leader = BrokerId(partition.leader_id);
                let mut now = Leadership {
                    leader: (leader.0 >= 0).then_some(leader),
                    epoch: LeaderEpoch(partition.leader_epoch),
                };
                let known =
                    before.and_then(|topic| topic.partitions.get(&partition.partition_index));
                if let Some(known) = known.filter(|known| known.epoch > now.epoch) {
                    now = *known;
                }
                topic.partitions.insert(partition.partition_index, now);
                let online = partition.replica_nodes.iter();
                let online = online.filter(|node| !partition.offline_replicas.contains(node));
                let online = online.map(|node| BrokerId(*node)).collect();
                topic.online.insert(partition.partition_index, online);
                let replicas = partition.replica_nodes.iter().map(|node| BrokerId(*node));
                let racks = replicas.filter_map(|broker| self.racks.get(&broker).cloned());
                let racks: BTreeSet<_> = racks.collect();
                if !racks.is_empty() {
                    topic.racks.insert(partition.partition_index, racks);
                }
            }
            if topic.id != TopicId::ZERO {
                self.names.insert(topic.id, Arc::clone(&name));
            }
            self.former.remove(&name);
            self.topics.insert(name, topic);
        }
        problems
    }

    /// Forgets topics that an answer about all topics does not name.
    pub(crate) fn forget_all_but(&mut self, answer: &MetadataResponse) {
        let named = answer.topics.iter().filter_map(|topic| topic.name.as_ref());
        let named: BTreeSet<&str> = named.map(|name| name.as_str()).collect();
        let gone = self.topics.keys().filter(|topic| !named.contains(&***topic));
        for topic in gone.cloned().collect::<Vec<_>>() {
            self.forget(&topic);
        }
    }

    /// Forgets where brokers are, and keeps what is known about topics.
    pub(crate) fn forget_brokers(&mut self) {
        self.brokers.clear();
    }

    fn forget(&mut self, name: &str) {
        if let Some((name, topic)) = self.topics.remove_entry(name) {
            self.names.remove(&topic.id);
            self.former.insert(name, topic.id);
        }
    }

    /// Takes over the leader that a refusing broker names (KIP-951). Returns whether it is newer.
    pub(crate) fn learn_leader(
        &mut self,
        partition: &TopicPartition,
        leader: BrokerId,
        epoch: LeaderEpoch,
    ) -> bool {
        let known = self.topics.get_mut(&partition.topic);
        let Some(known) = known.and_then(|topic| topic.partitions.get_mut(&partition.partition))
        else {
            return false;
        };
        if leader.0 < 0 || epoch <= known.epoch || !self.brokers.contains_key(&leader) {
            return false;
        }
        *known = Leadership { leader: Some(leader), epoch };
        true
    }

    /// There is a record of this leader epoch. Where that is newer than the leader that is known, the leader
    /// was deposed, and the next one is not known (KIP-320). Returns whether that is so.
    pub(crate) fn saw_epoch(&mut self, partition: &TopicPartition, epoch: LeaderEpoch) -> bool {
        let known = self.topics.get_mut(&partition.topic);
        let known = known.and_then(|topic| topic.partitions.get_mut(&partition.partition));
        // A broker that reports no epochs can't be behind one.
        let deposed = known.filter(|known| known.epoch != LeaderEpoch::NONE && epoch > known.epoch);
        let is_newer = deposed.is_some();
        deposed.into_iter().for_each(|known| *known = Leadership { leader: None, epoch });
        is_newer
    }

    pub(crate) fn address(&self, broker: BrokerId) -> Option<&Address> {
        self.brokers.get(&broker)
    }

    /// The broker at an address.
    pub(crate) fn broker_at(&self, address: &Address) -> Option<BrokerId> {
        let found = self.brokers.iter().find(|(_, known)| *known == address);
        found.map(|(broker, _)| *broker)
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.brokers.values()
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&KnownTopic> {
        self.topics.get(name)
    }

    /// All known topics, and whether each is internal, as `__consumer_offsets` is.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.topics.iter().map(|(name, topic)| (name, topic.is_internal))
    }

    pub(crate) fn name(&self, id: TopicId) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    /// The id of a topic; `ZERO` if it is unknown.
    pub(crate) fn id(&self, name: &str) -> TopicId {
        self.topics.get(name).map_or(TopicId::ZERO, |topic| topic.id)
    }

    /// The id of a topic, or the one that it had before it was gone; `ZERO` if it never was known.
    pub(crate) fn last_id(&self, name: &str) -> TopicId {
        let known = self.topics.get(name).map(|topic| topic.id);
        known.or_else(|| self.former.get(name).copied()).unwrap_or(TopicId::ZERO)
    }

    /// The leadership of a partition, if the partition is known.
    pub(crate) fn leadership(&self, partition: &TopicPartition) -> Option<Leadership> {
        self.topics.get(&partition.topic)?.partitions.get(&partition.partition).copied()
    }

    /// The leader of a partition, if there is one whose address is known.
    pub(crate) fn leader(&self, partition: &TopicPartition) -> Option<(BrokerId, LeaderEpoch)> {
        let leadership = self.leadership(partition)?;
        let leader = leadership.leader.filter(|leader| self.brokers.contains_key(leader))?;
        Some((leader, leadership.epoch))
    }

    /// Whether a broker has a replica of a partition that is online, and its address is known.
    pub(crate) fn is_online(&self, partition: &TopicPartition, broker: BrokerId) -> bool {
        let topic = self.topics.get(&partition.topic);
        let online = topic.and_then(|topic| topic.online.get(&partition.partition));
        self.brokers.contains_key(&broker) && online.is_some_and(|online| online.contains(&broker))
    }

    /// Panics if an invariant is broken.
    pub(crate) fn check(&self) {
        for (id, name) in &self.names {
            let known = self.topics.get(name).map(|topic| topic.id);
            assert!(known.is_some(), "{id:?} is the id of `{name}`, which is unknown");
        }
        for (name, topic) in &self.topics {
            let named = topic.id == TopicId::ZERO || self.names.get(&topic.id) == Some(name);
            assert!(named, "`{name}` has id {:?}, which names {:?}", topic.id, self.names);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::messages::Uuid;
    use crate::wire::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };

    /// An answer with brokers `b1:9092`… and one topic with these leaders and leader epochs.
    pub(crate) fn metadata(
        brokers: i32,
        topic: &str,
        id: u8,
        leaders: &[(i32, i32)],
    ) -> MetadataResponse {
        let mut answer = MetadataResponse::default();
        for node in 1..=brokers {
            let mut broker = MetadataResponseBroker::default();
            broker.node_id = node;
            broker.host = format!("b{node}").into();
            broker.port = 9092;
            answer.brokers.push(broker);
        }
        let mut told = MetadataResponseTopic::default();
        told.name = Some(topic.into());
        told.topic_id = Uuid::from_bytes([id; 16]);
        for (index, (leader, epoch)) in leaders.iter().enumerate() {
            let mut partition = MetadataResponsePartition::default();
            partition.partition_index = index as i32;
            partition.leader_id = *leader;
            partition.leader_epoch = *epoch;
            partition.replica_nodes = (1..=brokers).collect();
            told.partitions.push(partition);
        }
        answer.topics.push(told);
        answer
    }

    #[test]
    fn topic_that_is_gone_keeps_its_id_until_there_is_another_one() {
        let mut cluster = Cluster::default();
        assert_eq!(cluster.last_id("orders"), TopicId::ZERO);
        cluster.update(&metadata(1, "orders", 7, &[(1, 0)]));
        let mut gone = metadata(1, "orders", 0, &[]);
        gone.topics[0].error_code = ErrorCode::UnknownTopicOrPartition.code();
        cluster.update(&gone);
        let ids = (cluster.id("orders"), cluster.last_id("orders"));
        assert_eq!(ids, (TopicId::ZERO, TopicId([7; 16])));
        cluster.update(&metadata(1, "orders", 8, &[(1, 0)]));
        assert_eq!(cluster.last_id("orders"), TopicId([8; 16]));
    }

    #[test]
    fn stale_answer_does_not_lower_a_leader_epoch() {
        let orders = TopicPartition::new("orders", 0);
        let mut cluster = Cluster::default();
        cluster.update(&metadata(3, "orders", 7, &[(2, 5)]));
        cluster.update(&metadata(3, "orders", 7, &[(1, 4)]));
        assert_eq!(cluster.leader(&orders), Some((BrokerId(2), LeaderEpoch(5))));
        cluster.update(&metadata(3, "orders", 7, &[(3, 6)]));
        assert_eq!(cluster.leader(&orders), Some((BrokerId(3), LeaderEpoch(6))));
    }

    #[test]
    fn recreated_topic_starts_with_its_own_epochs() {
        let orders = TopicPartition::new("orders", 0);
        let mut cluster = Cluster::default();
        cluster.update(&metadata(3, "orders", 7, &[(2, 5)]));
        cluster.update(&metadata(3, "orders", 8, &[(1, 0)]));
        assert_eq!(cluster.leader(&orders), Some((BrokerId(1), LeaderEpoch(0))));
        assert_eq!(cluster.id("orders"), TopicId([8; 16]));
    }

    #[test]
    fn leader_named_in_a_refusal_must_be_newer_and_known() {
        let orders = TopicPartition::new("orders", 0);
        let mut cluster = Cluster::default();
        cluster.update(&metadata(2, "orders", 7, &[(2, 5)]));
        assert!(!cluster.learn_leader(&orders, BrokerId(1), LeaderEpoch(5)));
        assert!(!cluster.learn_leader(&orders, BrokerId(9), LeaderEpoch(6)));
        assert!(cluster.learn_leader(&orders, BrokerId(1), LeaderEpoch(6)));
        assert_eq!(cluster.leader(&orders), Some((BrokerId(1), LeaderEpoch(6))));
    }

    #[test]
    fn leader_before_an_epoch_that_was_seen_is_one_no_more() {
        let orders = TopicPartition::new("orders", 0);
        let mut cluster = Cluster::default();
        assert!(!cluster.saw_epoch(&orders, LeaderEpoch(5)), "nothing is known of it");
        cluster.update(&metadata(2, "orders", 7, &[(2, 5)]));
        assert!(!cluster.saw_epoch(&orders, LeaderEpoch(5)));
        assert_eq!(cluster.leader(&orders), Some((BrokerId(2), LeaderEpoch(5))));
        assert!(cluster.saw_epoch(&orders, LeaderEpoch(6)));
        assert_eq!(cluster.leader(&orders), None);
        cluster.update(&metadata(2, "orders", 7, &[(2, 5)]));
        assert_eq!(cluster.leader(&orders), None, "this broker has not heard of it");
        cluster.update(&metadata(2, "orders", 7, &[(1, 6)]));
        assert_eq!(cluster.leader(&orders), Some((BrokerId(1), LeaderEpoch(6))));
    }

    #[test]
    fn deleted_topic_is_forgotten_and_one_without_a_leader_is_kept() {
        let mut cluster = Cluster::default();
        cluster.update(&metadata(1, "orders", 7, &[(1, 5)]));
        let mut answer = metadata(1, "orders", 7, &[]);
        answer.topics[0].error_code = ErrorCode::LeaderNotAvailable.code();
        assert_eq!(cluster.update(&answer).len(), 1);
        assert!(cluster.topic("orders").is_some());
        answer.topics[0].error_code = ErrorCode::UnknownTopicOrPartition.code();
        cluster.update(&answer);
        assert!(cluster.topic("orders").is_none());
        assert_eq!(cluster.name(TopicId([7; 16])), None);
    }
}
