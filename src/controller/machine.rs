//! The controller: its image, its settings, and the sessions of brokers.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::check;
use super::image::{Change, Image, ReplayError};
use super::plan::Plan;
use super::record::{FeatureLevel, Record};
use super::rounds::{Intervals, Round, Rounds};
use super::sessions::Sessions;
use crate::base::config::{GroupConfig, NodeConfig, TopicConfig};
use crate::base::{BrokerEpoch, BrokerId, Flaws, Instant, Offset, Seed, Stream, Timestamp};
use crate::decide::{self, Machine};
use crate::wire::ErrorCode;

/// The feature that switches eligible leader replicas on (KIP-966).
pub(super) const ELR_FEATURE: &str = "eligible.leader.replicas.version";

/// The feature that says which records the metadata log has.
pub(super) const METADATA_FEATURE: &str = "metadata.version";

/// The features that this controller has, each with the levels that it may have, and that of a new
/// cluster: those of Kafka 4.0. Source: Kafka's `MetadataVersion.IBP_4_0_IV3`,
/// `EligibleLeaderReplicasVersion.ELRV_1`, `TransactionVersion.TV_2`.
pub const FEATURES: [SupportedFeature; 3] = [
    SupportedFeature { name: METADATA_FEATURE, min: 7, max: 25, initial: 25 },
    SupportedFeature { name: ELR_FEATURE, min: 0, max: 1, initial: 1 },
    SupportedFeature { name: "transaction.version", min: 0, max: 2, initial: 2 },
];

/// A feature that this code has.
#[derive(Clone, Copy, Debug)]
pub struct SupportedFeature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level; 0 if the feature can be off.
    pub min: i16,
    /// The highest level.
    pub max: i16,
    /// The level in a new cluster.
    pub initial: i16,
}

/// What a controller needs to know beyond the metadata log.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// The node of this controller.
    pub me: BrokerId,
    /// Brokers of another cluster are rejected.
    pub cluster_id: String,
    /// Silence after which a broker is fenced.
    pub session_timeout: Duration,
    /// Partitions of a topic that is created without a number.
    pub num_partitions: i32,
    /// Copies of a topic that is created without a number.
    pub default_replication_factor: i32,
    /// Settings of a topic where none are set.
    pub topic_defaults: TopicConfig,
    /// Settings of a group where none are set, and their limits.
    pub groups: GroupConfig,
    /// When leaders are elected though no broker came or went.
    pub rounds: Intervals,
    /// Levels of features in a new cluster, where not those of Kafka 4.0.
    pub features: BTreeMap<&'static str, i16>,
    /// The historical bugs of this controller.
    pub flaws: Flaws,
}

impl ControllerSettings {
    /// The settings of a node's configuration.
    pub fn of(cluster_id: &str, config: &NodeConfig, flaws: Flaws) -> Self {
        Self {
            me: BrokerId(config.node.node_id),
            cluster_id: cluster_id.to_owned(),
            session_timeout: config.node.broker_session_timeout,
            num_partitions: config.node.num_partitions,
            default_replication_factor: config.node.default_replication_factor,
            topic_defaults: config.topics.clone(),
            groups: config.group.clone(),
            rounds: Intervals::of(config),
            features: BTreeMap::new(),
            flaws,
        }
    }

    /// The same for a new cluster whose features have these levels.
    #[must_use]
    pub fn with_features(self, features: BTreeMap<&'static str, i16>) -> Self {
        Self { features, ..self }
    }
}

/// A decision of the controller.
pub type Decision<T> = decide::Decision<Record, T, Effect>;

/// What a decision changes besides the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A registration was heard of, and has read the metadata up to this offset.
    Heard {
        /// The broker.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
        /// The last metadata offset that it has.
        metadata: Offset,
    },
    /// The session of a broker's current registration is over, whatever the clock says.
    SessionEnded(BrokerId),
    /// A session that ended was dealt with.
    SessionExpired(BrokerId),
    /// A round of elections was made.
    RoundMade {
        /// What it elected.
        round: Round,
        /// Whether there was more to elect than one round may.
        left_over: bool,
    },
}

/// The active controller.
///
/// A handler decides about the image as it is. So its records have to be replayed (though not yet
/// committed) before the next handler is called; otherwise two decisions would be about one state.
#[derive(Debug)]
pub struct Controller {
    settings: ControllerSettings,
    image: Image,
    sessions: Sessions,
    rounds: Rounds,
    seed: Seed,
}

impl Controller {
    /// A controller with an empty image. `random` decides topic ids and where replicas are placed.
    pub fn new(now: Instant, settings: ControllerSettings, mut random: ChaCha12Rng) -> Self {
        Self {
            sessions: Sessions::new(now, settings.session_timeout),
            rounds: Rounds::new(settings.rounds),
            settings,
            image: Image::default(),
            seed: Seed(random.next_u64()),
        }
    }

    /// The image, with everything that was replayed.
    pub fn image(&self) -> &Image {
        &self.image
    }

    pub(super) fn settings(&self) -> &ControllerSettings {
        &self.settings
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The records with which a new cluster's log begins; none if it has begun.
    pub fn bootstrap(&self) -> Decision<()> {
        let mut records = Vec::new();
        if self.image.features().next().is_none() {
            for SupportedFeature { name, min, max, initial } in FEATURES {
                let asked = self.settings.features.get(name).copied();
                let level = asked.unwrap_or(initial).clamp(min, max);
                let record = FeatureLevel { name: name.to_owned(), level };
                records.push(Record::FeatureLevel(record));
            }
        }
        Decision::new(records, ())
    }

    pub(super) fn plan(&self) -> Plan {
        Plan::new(&self.image)
    }

    /// A generator for one decision. Draws differ with the point of the log at which it is made.
    pub(super) fn random(&self, purpose: &'static str) -> ChaCha12Rng {
        let at = self.image.offset().map_or(0, |offset| offset.0.unsigned_abs() + 1);
        self.seed.stream(Stream::numbered(purpose, at))
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

impl Machine for Controller {
    type State = Image;
    type Effect = Effect;

    fn state(&self) -> &Image {
        &self.image
    }

    fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), ReplayError> {
        self.image.replay(offset, record, changes)
    }

    fn reached(&mut self, offset: Offset) {
        self.image.reached(offset);
    }

    fn restore(&mut self, committed: Image) {
        self.image = committed;
        self.sessions.clear();
        self.rounds.clear();
    }

    fn activated(&mut self, now: Instant) {
        let alive = self.image.brokers().filter(|(_, broker)| !broker.fenced);
        self.sessions.activated(now, alive.map(|(id, _)| id));
        self.rounds.activated(now);
    }

    fn carry_out(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Heard { broker, epoch, metadata } => {
                self.sessions.heard(now, broker, epoch, metadata);
            }
            Effect::SessionEnded(id) => {
                if let Some(broker) = self.image.broker(id) {
                    self.sessions.ended(id, broker.epoch);
                }
            }
            Effect::SessionExpired(broker) => self.sessions.expired(broker),
            Effect::RoundMade { round, left_over } => self.rounds.made(now, round, left_over),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.sessions.deadline(), self.rounds.deadline()].into_iter().flatten().min()
    }

    fn expire(&self, now: Instant, _wall: Timestamp) -> Decision<()> {
        // A round elects among those that are left.
        match self.rounds.due(now) {
            Some(round) if self.sessions.overdue(now).is_empty() => self.make_round(round),
            _ => self.fence_overdue(now),
        }
    }

    fn check(&self, before: &Image, changes: &[Change]) {
        check::check(&self.image, before, changes, self.settings.flaws);
        self.sessions.check();
        self.rounds.check();
    }
}
