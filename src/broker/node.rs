//! A node's life: it opens its directory, starts what its roles ask for, serves, and ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::channel::ControllerChannel;
use super::context::Broker;
use super::controller::ControllerShell;
use super::dirs::{self, Dirs, OpenDir, Opened, Permit};
use super::error::NodeError;
use super::fetcher::Fetchers;
use super::metadata_log::{self, MetadataCopy, MetadataFollower};
use super::outbox::Outbox;
use super::partition::Site;
use super::recovery::RecoveryObserver;
use super::replicas::{Found, FoundOf, Replicas};
use super::serve::connection::Server;
use super::serve::limits::ConnectionLimits;
use super::serve::listeners::{ListenerType, OwnListener, listeners, voters};
use super::{assignments, cleanup, dir_failures, isr, lifecycle, recovery, txn_work, upkeep};
use crate::base::config::NodeConfig;
use crate::base::{
    BrokerId, Flaw, Flaws, NodeProbe, Offset, Stream, TopicId, TopicPartition, topics,
};
use crate::controller::{Controller, ControllerSettings, Image};
use crate::io::{Address, Listener, Net, World};
use crate::log::{DirError, DirLock, Log, LogConfig, LogDir, LogError, Recovery};
use crate::wire::messages::{DescribeClusterRequest, message};

/// How long a controlled shutdown may take. Source: Kafka's default, twice its socket timeout
/// would be longer than most supervisors wait.
const LEAVE_PATIENCE: Duration = Duration::from_secs(20);

/// A running node: a broker, a controller, or both.
pub struct Node<W: World> {
    world: W,
    broker: Option<Arc<Broker<W>>>,
    metadata: Metadata<W>,
    /// The directory of the metadata log.
    metadata_dir: LogDir<W::Disk>,
    addresses: Vec<Address>,
    /// Fed by tasks that can't go on.
    fatal: mpsc::UnboundedReceiver<NodeError>,
    /// Dropped when everything is closed.
    _locks: Locks<W>,
}

/// How a node is run, beyond its configuration.
pub struct NodeOptions {
    /// Is notified of the progress of log recovery at start.
    pub observer: Arc<dyn RecoveryObserver>,
    /// Whether an empty log directory is used in the place of one that is missing. What was in that
    /// one is given up, as by `kafka-storage.sh format`.
    pub format: bool,
    /// Levels of features in a new cluster, where not the newest: `kafka-storage.sh format --feature`.
    pub features: BTreeMap<&'static str, i16>,
    /// The historical bugs that this node has.
    pub flaws: Flaws,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            observer: Arc::new(()),
            format: false,
            features: BTreeMap::new(),
            flaws: Flaws::default(),
        }
    }
}

/// What start-up gathers.
struct Start<W: World> {
    world: W,
    config: NodeConfig,
    specs: Vec<OwnListener>,
    voters: Vec<(BrokerId, Address)>,
    options: NodeOptions,
    fatal: mpsc::UnboundedSender<NodeError>,
}

/// Largest batch of the metadata log.
const MAX_DECISION: usize = 64 * 1024 * 1024;

/// What a node's start results in.
struct Roles<W: World> {
    broker: Option<Arc<Broker<W>>>,
    metadata: Metadata<W>,
    metadata_dir: LogDir<W::Disk>,
    locks: Locks<W>,
}

type Locks<W> = Vec<DirLock<<W as World>::Disk>>;
type ListenerOf<W> = <<W as World>::Net as Net>::Listener;

impl<W: World> Node<W> {
    /// Starts a node and returns once it serves: a broker when the controller has let it in.
    pub async fn start(world: W, config: NodeConfig) -> Result<Self, NodeError> {
        Self::start_with(world, config, NodeOptions::default()).await
    }

    /// Starts a node with options that no configuration key sets.
    pub async fn start_with(
        world: W,
        config: NodeConfig,
        options: NodeOptions,
    ) -> Result<Self, NodeError> {
        config.check().map_err(|error| NodeError::Config(error.to_string()))?;
        let specs = listeners(&config).map_err(NodeError::Config)?;
        let voters = voters(&config).map_err(NodeError::Config)?;
        if config.node.is_controller() && voters.iter().any(|(id, _)| id.0 != config.node.node_id) {
            return Err(NodeError::Config(
                "`controller.quorum.voters` names several controllers; one is supported so far"
                    .into(),
            ));
        }
        let (fatal, mut failures) = mpsc::unbounded_channel();
        let mut start = Start { world, config, specs, voters, options, fatal };
        let mut bound = start.bind().await?;
        // What is started may end for good while the rest is still waited for: a copy of the metadata
        // that finds no room, and a broker that waits for ever to hear that it may take part.
        let roles = tokio::select! {
            biased;
            Some(error) = failures.recv() => return Err(error),
            roles = start.roles(&mut bound) => roles?,
        };
        let addresses = start.specs.iter().filter(|spec| spec.kind == ListenerType::Broker);
        let addresses = addresses.map(|spec| spec.bind.address.clone()).collect();
        start.world.probe(NodeProbe::Ready);
        let Roles { broker, metadata, metadata_dir, locks } = roles;
        Ok(Self {
            world: start.world,
            broker,
            metadata,
            metadata_dir,
            addresses,
            fatal: failures,
            _locks: locks,
        })
    }

    /// Where clients find this broker, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Serves until this host is asked to end, or until something breaks for good.
    pub async fn run(self) -> Result<(), NodeError> {
        let world = self.world.clone();
        let ended = self.serve().await;
        if ended.is_err() {
            world.probe(NodeProbe::Failed);
        }
        ended
    }

    async fn serve(mut self) -> Result<(), NodeError> {
        tokio::select! {
            biased;
            failure = self.fatal.recv() => match failure {
                Some(error) => {
                    tracing::error!(%error, "this node can't go on");
                    return Err(error);
                }
                None => std::future::pending().await,
            },
            () = storage_lost(self.broker.as_deref()) => {
                // As Kafka does when its last directory fails, or that of the metadata log.
                return Err(NodeError::StorageLost);
            }
            () = self.world.terminated() => {}
        }
        if let Some(broker) = &self.broker {
            lifecycle::leave(broker, LEAVE_PATIENCE).await;
        }
        // First, so that no role is taken up any more, and every log is closed where a directory is
        // marked as clean.
        let metadata = self.metadata.close(&self.metadata_dir).await;
        if let Err(error) = &metadata {
            tracing::error!(%error, "can't close the metadata log");
        }
        if let Some(broker) = &self.broker {
            upkeep::close(broker, metadata.is_ok()).await?;
        }
        metadata
    }
}

async fn storage_lost<W: World>(broker: Option<&Broker<W>>) {
    match broker {
        Some(broker) => broker.replicas.dirs().lost.notified().await,
        None => std::future::pending().await,
    }
}

/// Where a node has the metadata log.
enum Metadata<W: World> {
    /// It is a controller.
    Controllers(Arc<ControllerShell<W>>),
    /// It is a broker only.
    Copy(Arc<MetadataCopy<W>>),
}

impl<W: World> Metadata<W> {
    /// Closes it at a clean stop: no metadata arrives after that. Kafka's own metadata log is
    /// opened as after a crash even so (`KafkaRaftLog`), and so is this one. A controller's has no
    /// copy, so the next start has to know where it ended.
    async fn close(&self, dir: &LogDir<W::Disk>) -> Result<(), NodeError> {
        match self {
            Self::Controllers(shell) => {
                if let Some(mark) = shell.close().await? {
                    let points = BTreeMap::from([(metadata_log::partition(), mark)]);
                    dir.save_recovery_points(&points).await?;
                }
                Ok(())
            }
            Self::Copy(copy) => copy.close().await,
        }
    }
}

impl<W: World> Start<W> {
    /// Opens every listener, and learns the ports that the system chose.
    async fn bind(&mut self) -> Result<Vec<ListenerOf<W>>, NodeError> {
        let mut bound = Vec::with_capacity(self.specs.len());
        for spec in &mut self.specs {
            let failed = |error| NodeError::Bind { address: spec.bind.address.clone(), error };
            let listener = self.world.net().bind(&spec.bind.address).await.map_err(failed)?;
            let failed = |error| NodeError::Bind { address: spec.bind.address.clone(), error };
            let port = listener.local_address().map_err(failed)?.port;
            spec.set_port(port);
            bound.push(listener);
        }
        if self.voters.is_empty() {
            let alone = self.specs.iter().find(|spec| spec.kind == ListenerType::Controller);
            let Some(spec) = alone else {
                return Err(NodeError::Config(
                    "a broker without a controller needs `controller.quorum.voters`".into(),
                ));
            };
            self.voters =
                vec![(BrokerId(self.config.node.node_id), spec.advertised.address.clone())];
        }
        Ok(bound)
    }

    async fn roles(&self, bound: &mut Vec<ListenerOf<W>>) -> Result<Roles<W>, NodeError> {
        let permit = Permit { format: self.options.format, flaws: self.options.flaws };
        let mut opened =
            dirs::open(&self.world, &self.config, permit, || self.ask_for_cluster()).await?;
        let locks = std::mem::take(&mut opened.locks);
        let metadata_dir = opened.metadata().dir.clone();
        let cluster_id = metadata_dir.cluster_id().to_owned();

        let mut listeners: Vec<_> = self.specs.iter().zip(bound.drain(..)).collect();
        let loaded = self.load_metadata(opened.metadata(), &cluster_id, &mut listeners).await;
        let (metadata, image) = match loaded {
            Err(error) if error.is_unusable_metadata() => {
                // No log was touched, so the next start may trust what this one might have.
                opened.restore_clean().await?;
                return Err(error);
            }
            loaded => loaded?,
        };
        let known = image.directories_of(BrokerId(self.config.node.node_id));
        let formatted = opened.format(self.world.disk(), &known, self.options.format).await;
        if let Err(error) = formatted {
            opened.restore_clean().await?;
            return Err(error);
        }
        if !self.config.node.is_broker() {
            return Ok(Roles { broker: None, metadata, metadata_dir, locks });
        }
        let broker = self.broker(opened, cluster_id, (&metadata, image), listeners).await?;
        Ok(Roles { broker: Some(broker), metadata, metadata_dir, locks })
    }

    /// Opens and replays the metadata log.
    async fn load_metadata<'a>(
        &'a self,
        dir: &OpenDir<W::Disk>,
        cluster_id: &str,
        listeners: &mut Vec<(&'a OwnListener, ListenerOf<W>)>,
    ) -> Result<(Metadata<W>, Image), NodeError> {
        if self.config.node.is_controller() {
            let at = listeners.iter().position(|(spec, _)| spec.kind == ListenerType::Controller);
            let listener = at.map(|at| listeners.remove(at));
            let shell = self.controller(dir, cluster_id.to_owned(), listener).await?;
            let image = shell.image()?;
            return Ok((Metadata::Controllers(shell), image));
        }
        let copy = MetadataCopy::new(self.open_metadata(dir).await?);
        let image = copy.image()?;
        Ok((Metadata::Copy(Arc::new(copy)), image))
    }

    /// A broker that starts on an empty directory belongs to the cluster of its controller.
    async fn ask_for_cluster(&self) -> Result<String, NodeError> {
        let name = format!("broker-{}", self.config.node.node_id);
        let channel = ControllerChannel::new(self.world.clone(), self.voters.clone(), name);
        let limit = self.config.node.initial_broker_registration_timeout;
        let end = self.world.now() + limit;
        loop {
            let request = message!(DescribeClusterRequest { endpoint_type: 2 });
            let soon = end.min(self.world.now() + Duration::from_secs(2));
            match channel.call(&request, soon).await {
                Ok(answer) if answer.error_code == 0 => return Ok(answer.cluster_id.to_string()),
                Ok(_) => {}
                Err(error) if self.world.now() >= end => {
                    let (seconds, reason) = (limit.as_secs(), error.to_string());
                    return Err(NodeError::Registration { seconds, reason });
                }
                Err(_) => {}
            }
            channel.back_off().await;
        }
    }

    async fn controller(
        &self,
        dir: &OpenDir<W::Disk>,
        cluster_id: String,
        listener: Option<(&OwnListener, ListenerOf<W>)>,
    ) -> Result<Arc<ControllerShell<W>>, NodeError> {
        let log = self.open_metadata(dir).await?;
        let settings = ControllerSettings::of(&cluster_id, &self.config, self.options.flaws)
            .with_features(self.options.features.clone());
        let random = self.world.random(Stream::named("controller"));
        let machine = Controller::new(self.world.now(), settings, random);
        let me = BrokerId(self.config.node.node_id);
        let shell =
            ControllerShell::start(self.world.clone(), me, cluster_id, machine, log).await?;
        if self.config.node.is_broker() {
            shell.predecessor_is_gone()?;
        }
        self.supervise("controller", shell.clone().serve());
        if let Some((spec, socket)) = listener {
            let limits = ConnectionLimits::new(&self.config.node);
            let world = self.world.clone();
            let server = Server::new(world, shell.clone(), None, limits, &self.config.node);
            self.world.spawn("controller listener", server.serve(spec.name().into(), socket));
        }
        Ok(shell)
    }

    async fn broker(
        &self,
        opened: Opened<W::Disk>,
        cluster_id: String,
        (metadata, image): (&Metadata<W>, Image),
        listeners: Vec<(&OwnListener, ListenerOf<W>)>,
    ) -> Result<Arc<Broker<W>>, NodeError> {
        let previous = opened.previous_broker_epoch();
        let handles = opened.dirs.iter().map(|open| (open.dir.clone(), open.holds_replicas));
        let metadata_dir = opened.metadata().dir.id();
        let (dirs, failures) = Dirs::new(handles, metadata_dir, opened.incomplete());
        let logs = self.recover(&dirs, &opened, &image).await?;
        let me = BrokerId(self.config.node.node_id);
        let (outbox, undelivered) = Outbox::new();
        let (lag, flaws) = (self.config.node.replica_lag_time_max, self.options.flaws);
        let site = Site::new(self.world.clone(), me, lag, flaws, outbox);
        site.configure(&image.node_config(me, &self.config).txn);
        let elections = site.elections_of(topics::CONSUMER_OFFSETS);
        let txn_elections = site.elections_of(topics::TRANSACTION_STATE);
        let replicas = Replicas::new(site, dirs, self.config.topics.clone(), logs);
        let channel = |purpose: &str| {
            let name = format!("broker-{me}-{purpose}");
            ControllerChannel::new(self.world.clone(), self.voters.clone(), name)
        };
        let broker = Broker::new(
            self.world.clone(),
            cluster_id,
            self.config.clone(),
            self.options.flaws,
            replicas,
            channel,
        );
        let copy = match metadata {
            Metadata::Controllers(_) => None,
            Metadata::Copy(copy) => Some(copy.clone()),
        };
        self.world.spawn("group coordinators", broker.groups.clone().run(elections));
        let coordinators = broker.txns.clone().run(txn_elections);
        self.world.spawn("transaction coordinators", coordinators);
        self.world.spawn("transactions", txn_work::run(broker.clone()));
        let follower = MetadataFollower::new(broker.clone(), copy)?;
        self.supervise("metadata", follower.run());
        self.world.spawn("fetchers", Fetchers::run(broker.clone()));
        self.world.spawn("isr", isr::run(broker.clone(), undelivered.isr_changes));
        self.world.spawn("directories", dir_failures::run(broker.clone(), failures));

        lifecycle::register(&broker, &self.specs, previous).await?;
        let assigned = assignments::run(broker.clone(), undelivered.assignments);
        self.world.spawn("assignments", assigned);
        self.world.spawn("heartbeat", lifecycle::heartbeat(broker.clone()));
        broker.wait_until_unfenced().await;

        self.world.spawn("deadlines", upkeep::step_at_deadlines(broker.clone()));
        self.world.spawn("checkpoints", upkeep::checkpoint_high_watermarks(broker.clone()));
        self.world.spawn("flusher", upkeep::flush_by_time(broker.clone()));
        self.world.spawn("recovery points", upkeep::checkpoint_recovery_points(broker.clone()));
        self.world.spawn("expiry", upkeep::expire_producers(broker.clone()));
        self.world.spawn("retention", cleanup::expire(broker.clone()));
        self.world.spawn("log starts", cleanup::checkpoint_log_starts(broker.clone()));
        self.world.spawn("cleaners", cleanup::compact(broker.clone()));
        let protected = Some(broker.inter_broker_listener.as_str()).filter(|_| listeners.len() > 1);
        let server = Server::new(
            self.world.clone(),
            broker.clone(),
            protected.map(Into::into),
            broker.limits.clone(),
            &self.config.node,
        );
        for (spec, socket) in listeners {
            self.world.spawn("listener", server.clone().serve(spec.name().into(), socket));
        }
        Ok(broker)
    }

    /// Opens every log that the directories have, and recovers what was not closed. A directory in
    /// which that fails is left out.
    async fn recover(
        &self,
        dirs: &Dirs<W::Disk>,
        opened: &Opened<W::Disk>,
        image: &Image,
    ) -> Result<BTreeMap<TopicPartition, FoundOf<W>>, NodeError> {
        let me = BrokerId(self.config.node.node_id);
        let threads = image.node_config(me, &self.config).node.num_recovery_threads_per_data_dir;
        let threads = usize::try_from(threads).unwrap_or(1);
        let mut logs: BTreeMap<TopicPartition, FoundOf<W>> = BTreeMap::new();
        for home in dirs.of_replicas() {
            let open = opened.dirs.iter().find(|open| open.dir.id() == home.id());
            let Some(OpenDir { dir, found, .. }) = open else { continue };
            let names =
                found.partitions.keys().filter(|name| &*name.topic != topics::CLUSTER_METADATA);
            let config = |name: &TopicPartition| {
                recovery::config_of(name, found, image, &self.config, self.options.flaws)
            };
            let wanted = names.map(|name| (name.clone(), config(name))).collect();
            let observer = self.options.observer.clone();
            let opened =
                recovery::open_all(&self.world, dir, found, wanted, threads, observer).await;
            let opened = match opened {
                Ok(opened) => opened,
                Err(error) if home.failed(&error) && dirs.online().next().is_some() => continue,
                Err(error) => return Err(error.into()),
            };
            for (name, (log, damage)) in opened {
                let topic_id = found.partitions.get(&name).copied().flatten();
                let high_watermark =
                    found.high_watermarks.get(&name).copied().unwrap_or(Offset::ZERO);
                if let Some(log) = &log
                    && high_watermark > log.log_end()
                {
                    let end = log.log_end();
                    tracing::warn!(partition = %name, %end, %high_watermark, "committed records are gone");
                }
                let home = home.clone();
                let found = Found { log, damage, home, topic_id, high_watermark };
                let of_name = logs.entry(name.clone()).or_default();
                of_name.push(found);
                if let [before, ..] = &of_name[..of_name.len() - 1]
                    && !image.names_directory(&name, me)
                {
                    let (first, second) = (before.home.dir.path(), dir.path());
                    return Err(DirError::Twice {
                        partition: name,
                        first: first.to_owned(),
                        second: second.to_owned(),
                    }
                    .into());
                }
            }
        }
        Ok(logs)
    }

    async fn open_metadata(&self, open: &OpenDir<W::Disk>) -> Result<Log<W::Disk>, LogError> {
        let OpenDir { dir, found, .. } = open;
        let name = metadata_log::partition();
        // The flaw trusts the marker of logs that can lose records; this log was always examined.
        let clean = found.clean && !self.options.flaws.has(Flaw::TrustDirtyStart);
        metadata_log::refuse_damage(
            self.world.disk(),
            &dir.partition_dir(&name),
            Recovery { clean, ..found.recovery(&name) },
            self.config.node.is_controller(),
        )?;
        // All of it is examined: its indexes are not trusted either.
        let mut found = found.clone();
        found.recovery_points.remove(&name);
        dir.create_partition(&name, TopicId::METADATA).await?;
        // One decision is one batch, however many partitions it concerns.
        let config = LogConfig {
            max_message_bytes: MAX_DECISION,
            max_decompressed_bytes: MAX_DECISION,
            timestamp_after_max: None,
            ..LogConfig::default()
        };
        // Whatever the end was: this log is short, and others build on it. As Kafka's is.
        let (log, damage) =
            recovery::open(&self.world, dir, &found, &name, (config, false), |_| ()).await?;
        // What was decided is either known whole, or not at all.
        damage.map_or(Ok(log), Err)
    }

    /// Runs a task whose end is the node's end.
    fn supervise(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), NodeError>> + Send + 'static,
    ) {
        let fatal = self.fatal.clone();
        self.world.spawn(name, async move {
            if let Err(error) = task.await {
                // The receiver is gone when the node is ending anyway.
                let _ = fatal.send(error);
            }
        });
    }
}
