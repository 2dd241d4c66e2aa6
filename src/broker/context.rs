//! What every handler of a broker shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::RwLock;
use tokio::sync::Notify;

use super::auto_topics::AutoTopics;
use super::channel::ControllerChannel;
use super::groups::Groups;
use super::partition::Partition;
use super::producer_ids::ProducerIds;
use super::replicas::Replicas;
use super::serve::limits::ConnectionLimits;
use super::serve::listeners::inter_broker;
use super::sessions::FetchSessions;
use super::txn::TxnCoordinators;
use super::verifying::{Question, Unverified, Verifier};
use crate::base::config::NodeConfig;
use crate::base::{Address, BrokerEpoch, BrokerId, Flaws, ProducerId, Stream};
use crate::controller::{Change, Image, Topic};
use crate::io::World;
use crate::wire::ErrorCode;

/// One broker, as its tasks and handlers see it.
pub(crate) struct Broker<W: World> {
    pub(crate) world: W,
    pub(crate) me: BrokerId,
    pub(crate) cluster_id: String,
    /// As its file has them: what can change at run time is in `settings`.
    pub(crate) config: NodeConfig,
    /// The name of the listener at which brokers reach each other.
    pub(crate) inter_broker_listener: String,
    pub(crate) flaws: Flaws,
    pub(crate) replicas: Replicas<W>,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) controller: ControllerChannel<W>,
    /// For what clients want of the controller: their deadlines may close it.
    pub(crate) forward: ControllerChannel<W>,
    /// For the metadata log alone: its fetches wait for long, and answers come in order.
    pub(crate) metadata_controller: ControllerChannel<W>,
    pub(crate) auto_topics: Arc<AutoTopics<W>>,
    pub(crate) groups: Arc<Groups<W>>,
    /// Asks the coordinators of transactions.
    verifier: Arc<Verifier<W>>,
    pub(crate) txns: Arc<TxnCoordinators<W>>,
    /// Of the listeners for clients and brokers.
    pub(crate) limits: Arc<ConnectionLimits>,
    producer_ids: ProducerIds<W>,
    /// Rung when the controller should be told something before the next heartbeat is due.
    pub(crate) heartbeat_due: Notify,
    /// A controlled shutdown has begun.
    leaving: AtomicBool,
    /// Of this registration; `NONE` until registered.
    epoch: AtomicI64,
    /// Committed metadata, as far as it was fetched. Replaced whole, so that a handler sees one state.
    image: RwLock<Arc<Image>>,
    image_changed: Notify,
    /// The settings as they are now.
    settings: RwLock<Arc<NodeConfig>>,
    settings_changed: Notify,
}

impl<W: World> Broker<W> {
    pub(crate) fn new(
        world: W,
        cluster_id: String,
        config: NodeConfig,
        flaws: Flaws,
        replicas: Replicas<W>,
        channel: impl Fn(&str) -> ControllerChannel<W>,
    ) -> Arc<Self> {
        let random = world.random(Stream::named("fetch sessions"));
        let slots = config.node.fetch_session_slots as usize;
        Arc::new(Self {
            fetch_sessions: FetchSessions::new(slots, random),
            me: BrokerId(config.node.node_id),
            cluster_id,
            inter_broker_listener: inter_broker(&config),
            flaws,
            replicas,
            controller: channel("controller"),
            forward: channel("forward"),
            metadata_controller: channel("metadata"),
            auto_topics: AutoTopics::new(world.clone(), channel("auto-topics"), &config),
            groups: Groups::new(world.clone(), BrokerId(config.node.node_id), &config.group, flaws),
            verifier: Verifier::new(world.clone(), BrokerId(config.node.node_id)),
            txns: TxnCoordinators::new(world.clone(), &config, flaws),
            limits: ConnectionLimits::new(&config.node),
            producer_ids: ProducerIds::new(world.clone(), BrokerId(config.node.node_id)),
            heartbeat_due: Notify::new(),
            leaving: AtomicBool::new(false),
            epoch: AtomicI64::new(BrokerEpoch::NONE.0),
            image: RwLock::new(Arc::default()),
            image_changed: Notify::new(),
            settings: RwLock::new(Arc::new(config.clone())),
            settings_changed: Notify::new(),
            config,
            world,
        })
    }

    /// Where another broker is reached by this one.
    pub(crate) fn address_of(&self, id: BrokerId) -> Option<Address> {
        self.image().address(id, &self.inter_broker_listener).cloned()
    }

    /// Asks the coordinator of a transaction about partitions of this broker.
    pub(crate) async fn verify(&self, question: Question) -> Unverified {
        self.verifier.ask(&self.image(), &self.inter_broker_listener, question).await
    }

    /// A producer id that was never used. A client may ask again after an error.
    pub(crate) async fn next_producer_id(&self) -> Result<ProducerId, ErrorCode> {
        self.producer_ids.next(&self.controller, self.epoch()).await
    }

    /// The newest committed metadata known here.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.read().clone()
    }

    /// Replaces it; `changes` lead from one to the other.
    pub(crate) fn set_image(&self, image: Arc<Image>, changes: &[Change]) {
        let before = std::mem::replace(&mut *self.image.write(), image.clone());
        if before.broker_overrides(self.me) != image.broker_overrides(self.me) {
            self.configure(image.node_config(self.me, &self.config));
        }
        self.groups.metadata_changed(&image, changes);
        self.txns.metadata_changed(&image);
        self.image_changed.notify_waiters();
    }

    /// The settings of this broker as they are now (KIP-226).
    pub(crate) fn settings(&self) -> Arc<NodeConfig> {
        self.settings.read().clone()
    }

    /// Returns once they have changed.
    pub(crate) async fn settings_changed(&self) {
        self.settings_changed.notified().await;
    }

    fn configure(&self, settings: NodeConfig) {
        self.limits.configure(&settings.node);
        self.groups.configure(&settings.group);
        if self.settings().txn != settings.txn {
            self.replicas.configure_producers(&settings.txn);
        }
        self.txns.configure(&settings.txn);
        *self.settings.write() = Arc::new(settings);
        self.settings_changed.notify_one();
    }

    /// Returns once committed metadata says that this registration takes part in the cluster.
    pub(crate) async fn wait_until_unfenced(&self) {
        loop {
            let changed = self.image_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.image().is_alive(self.me)
                && self.image().offset().is_some_and(|at| at.0 > self.epoch().0)
            {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(crate) fn set_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// The epoch of this broker's registration.
    pub(crate) fn epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.epoch.load(Ordering::Acquire))
    }

    pub(crate) fn set_epoch(&self, epoch: BrokerEpoch) {
        self.epoch.store(epoch.0, Ordering::Release);
    }

    /// The replica of a topic's partition on this broker.
    pub(crate) fn replica_of(
        &self,
        topic: &Topic,
        partition: i32,
    ) -> Result<Arc<Partition<W>>, ErrorCode> {
        if !topic.partitions.contains_key(&partition) {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        self.replicas.find(topic.id, partition).ok_or(ErrorCode::NotLeaderOrFollower)
    }

    /// Kafka's brokers name any live broker as "the controller": each passes such requests on.
    pub(crate) fn some_broker(&self, image: &Image) -> BrokerId {
        if image.is_alive(self.me) {
            return self.me;
        }
        let alive = image.brokers().find(|(_, registered)| !registered.fenced);
        alive.map_or(BrokerId::NONE, |(id, _)| id)
    }
}
