//! The controller: its image, its settings, and the little it remembers beyond committed records.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::heartbeat::Session;
use super::image::{Change, Image, ReplayError};
use super::plan::Plan;
use super::record::{FeatureLevel, Record};
use crate::base::config::{NodeConfig, TopicConfig};
use crate::base::{BrokerEpoch, BrokerId, Flaws, Instant, Offset, Seed};
use crate::wire::ErrorCode;

/// The feature that switches eligible leader replicas on (KIP-966).
pub(super) const ELR_FEATURE: &str = "eligible.leader.replicas.version";

/// Features of a new cluster and their levels: those of Kafka 4.0 that this controller has.
/// Source: Kafka's `MetadataVersion.IBP_4_0_IV3`, `EligibleLeaderReplicasVersion.ELRV_1`.
const FEATURES: [(&str, i16); 2] = [("metadata.version", 25), (ELR_FEATURE, 1)];

/// What a controller needs to know beyond the metadata log.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// Brokers of another cluster are turned away.
    pub cluster_id: String,
    /// Silence after which a broker is fenced.
    pub session_timeout: Duration,
    /// Partitions of a topic that is created without a number.
    pub num_partitions: i32,
    /// Copies of a topic that is created without a number.
    pub default_replication_factor: i32,
    /// What a topic's settings are where nobody has set them.
    pub topic_defaults: TopicConfig,
    /// The historical bugs of this controller.
    pub flaws: Flaws,
}

impl ControllerSettings {
    /// As a node's configuration has them.
    pub fn of(cluster_id: &str, config: &NodeConfig, flaws: Flaws) -> Self {
        Self {
            cluster_id: cluster_id.to_owned(),
            session_timeout: config.node.broker_session_timeout,
            num_partitions: config.node.num_partitions,
            default_replication_factor: config.node.default_replication_factor,
            topic_defaults: config.topics.clone(),
            flaws,
        }
    }
}

/// What a handler decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<T> {
    /// To be appended as one batch: all of them count, or none.
    pub records: Vec<Record>,
    /// May leave once the records are committed.
    pub response: T,
}

impl<T> Decision<T> {
    /// An answer that changes nothing.
    pub(super) fn only(response: T) -> Self {
        Self { records: Vec::new(), response }
    }
}

/// The active controller.
///
/// A handler decides about the image as it is. So its records have to be replayed (though not yet
/// committed) before the next handler is called; otherwise two decisions would be about one state.
#[derive(Debug)]
pub struct Controller {
    pub(super) settings: ControllerSettings,
    pub(super) image: Image,
    /// When brokers were last heard of. Not in the log: a new controller gives everyone a new term.
    pub(super) sessions: BTreeMap<BrokerId, Session>,
    pub(super) active_since: Instant,
    seed: Seed,
}

impl Controller {
    /// A controller with an empty image. `random` decides topic ids and where replicas are placed.
    pub fn new(now: Instant, settings: ControllerSettings, mut random: ChaCha12Rng) -> Self {
        Self {
            settings,
            image: Image::default(),
            sessions: BTreeMap::new(),
            active_since: now,
            seed: Seed(random.next_u64()),
        }
    }

    /// The image, with everything that was replayed.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Takes a record of the log in.
    pub fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        self.image.replay(offset, record, changes)
    }

    /// The log holds nothing more for the image up to `offset`.
    pub fn reached(&mut self, offset: Offset) {
        self.image.reached(offset);
    }

    /// This controller became active: every broker has a whole session timeout to be heard from.
    pub fn took_over(&mut self, now: Instant) {
        self.active_since = now;
        self.sessions.clear();
    }

    /// The records with which a new cluster's log begins; none if it has begun.
    pub fn bootstrap(&self) -> Decision<()> {
        let mut records = Vec::new();
        if self.image.features().next().is_none() {
            for (name, level) in FEATURES {
                let record = FeatureLevel { name: name.to_owned(), level };
                records.push(Record::FeatureLevel(record));
            }
        }
        Decision { records, response: () }
    }

    pub(super) fn plan(&self) -> Plan {
        Plan::new(&self.image)
    }

    /// A generator for one decision. Draws differ with the point of the log at which it is made.
    pub(super) fn random(&self, purpose: &'static str) -> ChaCha12Rng {
        let at = self.image.offset().map_or(0, |offset| offset.0.unsigned_abs() + 1);
        self.seed.stream(crate::base::Stream::numbered(purpose, at))
    }

    /// KIP-380, KIP-631: a request of an earlier registration is void.
    pub(super) fn check_broker_epoch(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<(), ErrorCode> {
        match self.image.broker(broker) {
            Some(registered) if registered.epoch == epoch => Ok(()),
            _ => Err(ErrorCode::StaleBrokerEpoch),
        }
    }
}
