//! The promises of a run: everything that the judge must know in advance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::BrokerId;
use crate::sim::HostId;

/// The hosts of a run, and its configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The hosts that hold partitions, with their `node.id`. If empty, only clients are judged.
    pub brokers: BTreeMap<HostId, BrokerId>,
    /// Promises by topic; other topics have [`TopicPromise::default`].
    pub topics: BTreeMap<Arc<str>, TopicPromise>,
    /// Whether any producer is idempotent: only then are doubled or reordered records judged, and
    /// only those of idempotent sends.
    pub idempotence: bool,
    /// Simulated time after which liveness must show: counted from the heal, for final reads from
    /// their beginning.
    pub within: Duration,
    /// Simulated time within which writes must be acknowledged while faults last elsewhere.
    pub progress: Duration,
}

/// The configuration of a topic, as far as it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicPromise {
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// `unclean.leader.election.enable`: such an election may lose records.
    pub unclean_election: bool,
    /// `cleanup.policy` has `compact`: of each key only the latest record need be there.
    pub compacted: bool,
    /// Records have one of this many keys; 0: no key.
    pub keys: u64,
    /// `delete.retention.ms`.
    pub delete_retention: Duration,
    /// `retention.ms`, where `cleanup.policy` has `delete`.
    pub retention: Option<Duration>,
    /// `retention.bytes`, where `cleanup.policy` has `delete`.
    pub retention_bytes: Option<u64>,
    /// `index.interval.bytes`, where it is known.
    pub index_interval: Option<u64>,
}

impl TopicPromise {
    /// Set in the value of a record that is a tombstone.
    pub const TOMBSTONE: u64 = 1 << 39;

    /// The key of the record with this value, as loads choose it.
    pub fn key_of(&self, value: u64) -> Option<u64> {
        (value & (Self::TOMBSTONE - 1)).checked_rem(self.keys)
    }
}

impl Default for TopicPromise {
    fn default() -> Self {
        Self {
            min_insync_replicas: 1,
            unclean_election: false,
            compacted: false,
            keys: 0,
            delete_retention: Duration::from_secs(86_400),
            retention: None,
            retention_bytes: None,
            index_interval: None,
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            idempotence: true,
            within: Duration::from_secs(30),
            progress: Duration::from_secs(60),
        }
    }
}

impl Setup {
    /// `min.insync.replicas` by topic.
    pub(super) fn min_insync(&self) -> BTreeMap<Arc<str>, usize> {
        let least = |promise: &TopicPromise| promise.min_insync_replicas;
        self.topics.iter().map(|(name, promise)| (name.clone(), least(promise))).collect()
    }

    /// The promise of a topic.
    pub fn promise(&self, topic: &str) -> TopicPromise {
        self.topics.get(topic).copied().unwrap_or_default()
    }
}
