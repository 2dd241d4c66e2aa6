//! The transaction coordinators of this broker: a machine on each partition of `__transaction_state`
//! that it leads. Takes requests to the right one, and carries out what they ask for.
//!
//! | file | contents |
//! |---|---|
//! | `markers` | which marker goes where, and what becomes of it |
//! | `sender` | a task for each broker that markers go to |
//!
//! Source: Kafka's `TransactionCoordinator` and `TransactionStateManager`.

mod markers;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use self::markers::Written;
use self::sender::MarkerSender;
use super::hosted::{Coordinators, OnPartition};
use super::partition::Leadership;
use super::serve::listeners::inter_broker;
use crate::base::config::{NodeConfig, TxnConfig};
use crate::base::{BrokerId, Flaws, Instant, LeaderEpoch, ProducerId, Timestamp, topics};
use crate::controller::Image;
use crate::io::{World, timeout};
use crate::txn::{
    self, Asked, Decision, Effect, Found, Markers, Outgoing, SoftEffect, TRANSACTION_VERSION,
    TransactionVersion, Transactions, TxnCoordinator, TxnSettings,
};
use crate::wire::ErrorCode;

/// How long a request waits for the replicas of `__transaction_state`. Source: Kafka's default of
/// `request.timeout.ms`; Kafka itself waits for as long as the transaction may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Host<W> = Arc<OnPartition<W, TxnCoordinator>>;

/// The transaction coordinators of a broker.
pub(crate) struct TxnCoordinators<W: World> {
    world: W,
    coordinators: Arc<Coordinators<W, TxnCoordinator>>,
    known: Arc<Mutex<Known>>,
    sender: Arc<MarkerSender<W>>,
    /// What coordinators ask for, until a task takes it.
    asked: Mutex<Option<mpsc::UnboundedReceiver<Outgoing>>>,
    /// `transaction.state.log.num.partitions`, as long as the topic does not exist.
    partitions: i32,
}

/// What every coordinator needs to know.
struct Known {
    image: Arc<Image>,
    settings: TxnSettings,
}

impl<W: World> TxnCoordinators<W> {
    pub(crate) fn new(world: W, config: &NodeConfig, flaws: Flaws) -> Arc<Self> {
        let (outgoing, asked) = mpsc::unbounded_channel();
        let settings = TxnSettings::of(&config.txn, TransactionVersion::V0, flaws);
        let known = Arc::new(Mutex::new(Known { image: Arc::default(), settings }));
        let of_machine = known.clone();
        let create = move |partition: i32, epoch: LeaderEpoch| {
            let settings = of_machine.lock().settings.clone();
            TxnCoordinator::new((partition, epoch), settings, outgoing.clone())
        };
        let of_loaded = known.clone();
        let loaded = move |partition: i32, host: &Host<W>| {
            let known = of_loaded.lock();
            // Under the lock: older settings must not follow newer ones.
            let _ = host.affect(Effect::Settings(Box::new(known.settings.clone())));
            drop(known);
            let _ = host.read(|transactions| report_damage(partition, transactions));
        };
        let coordinators = Coordinators::new(world.clone(), create, loaded);
        let of_sender = coordinators.clone();
        let me = BrokerId(config.node.node_id);
        let sender =
            MarkerSender::new(world.clone(), (me, &inter_broker(config)), move |written| {
                report(&of_sender, written);
            });
        let partitions = config.txn.transaction_state_log_num_partitions;
        let asked = Mutex::new(Some(asked));
        Arc::new(Self { world, coordinators, known, sender, asked, partitions })
    }

    /// There is a new image. Called by one task, so that images keep their order.
    pub(crate) fn metadata_changed(&self, image: &Arc<Image>) {
        let level = image.feature(TRANSACTION_VERSION);
        // A level of a newer Kafka has all that this one knows.
        let version = TransactionVersion::of(level).unwrap_or(TransactionVersion::V2);
        let changed = {
            let mut known = self.known.lock();
            known.image = image.clone();
            let changed = known.settings.version != version;
            known.settings.version = version;
            changed
        };
        if changed {
            self.push_settings();
        }
        self.sender.image_changed(image);
    }

    /// The coordinators have these settings from now on.
    pub(crate) fn configure(&self, config: &TxnConfig) {
        {
            let settings = &mut self.known.lock().settings;
            *settings = TxnSettings::of(config, settings.version, settings.flaws);
        }
        self.push_settings();
    }

    fn push_settings(&self) {
        let settings = self.settings();
        for (_, _, host) in self.coordinators.all() {
            // One that loads is given them once it has loaded; one that has resigned needs none.
            let _ = host.affect(Effect::Settings(Box::new(settings.clone())));
        }
    }

    /// The settings as they are now.
    pub(crate) fn settings(&self) -> TxnSettings {
        self.known.lock().settings.clone()
    }

    /// The partition of a transactional id.
    pub(crate) fn partition_of(&self, image: &Image, id: &str) -> i32 {
        let topic = image.topic(topics::TRANSACTION_STATE);
        let count = topic.map(|topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
        txn::partition_of(id, count.unwrap_or(self.partitions))
    }

    fn host(&self, id: &str) -> Result<Host<W>, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let image = self.known.lock().image.clone();
        self.coordinators.find(self.partition_of(&image, id))
    }

    /// Has the coordinator of a transactional id decide. Returns once that is committed, with an error
    /// if it takes too long: the outcome is unknown then.
    pub(crate) async fn decide<T>(
        &self,
        id: &str,
        handler: impl FnOnce(&TxnCoordinator, Instant, Timestamp) -> Decision<T>,
    ) -> Result<T, ErrorCode> {
        let host = self.host(id)?;
        let (wall, deadline) = (self.world.wall_clock(), self.world.now() + PATIENCE);
        let decided = host.decide(|machine, now, _| handler(machine, now, wall));
        match timeout(&self.world, deadline, decided).await {
            Some(decided) => decided.map_err(|refused| refused.code()),
            None => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// The same for an answer that may take a producer id that was never used: `fresh` gets one.
    pub(crate) async fn ask<T>(
        &self,
        id: &str,
        fresh: impl AsyncFnOnce() -> Result<ProducerId, ErrorCode>,
        handler: impl Fn(&TxnCoordinator, Instant, Timestamp, Option<ProducerId>) -> Decision<Asked<T>>,
    ) -> Result<T, ErrorCode> {
        let asked = self.decide(id, |machine, now, wall| handler(machine, now, wall, None)).await?;
        if let Some(answer) = asked {
            return answer;
        }
        let fresh = fresh().await?;
        let asked = self.decide(id, |machine, now, wall| handler(machine, now, wall, Some(fresh)));
        // With a producer id there is an answer.
        asked.await?.unwrap_or(Err(ErrorCode::UnknownServerError))
    }

    /// Asks the coordinator of a transactional id for what it holds, committed or not.
    pub(crate) fn see<T>(
        &self,
        id: &str,
        see: impl FnOnce(&TxnCoordinator) -> T,
    ) -> Result<T, ErrorCode> {
        self.host(id)?.see(see).map_err(|refused| refused.code())
    }

    /// Reads what the coordinator of a transactional id has committed.
    pub(crate) fn read<T>(
        &self,
        id: &str,
        read: impl FnOnce(&Transactions) -> T,
    ) -> Result<T, ErrorCode> {
        self.host(id)?.read(read).map_err(|refused| refused.code())
    }

    /// Reads what each coordinator of this broker has committed, in order of their partitions.
    pub(crate) fn read_all<T>(
        &self,
        read: impl Fn(&Transactions) -> T,
    ) -> Result<Vec<T>, ErrorCode> {
        let mut seen = Vec::new();
        for (_, _, host) in self.coordinators.all() {
            match host.read(&read).map_err(|refused| refused.code()) {
                Ok(one) => seen.push(one),
                // Resigned a moment ago.
                Err(ErrorCode::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// Follows elections for as long as the node lives.
    pub(crate) async fn run(self: Arc<Self>, elections: mpsc::UnboundedReceiver<Leadership<W>>) {
        self.coordinators.clone().run(elections).await;
    }

    /// What coordinators ask for. The task that takes it is the only one.
    pub(crate) fn asked(&self) -> Option<mpsc::UnboundedReceiver<Outgoing>> {
        self.asked.lock().take()
    }

    /// Sends markers until they are written, or their coordinator resigns.
    pub(crate) fn send(&self, markers: Markers) {
        self.sender.send(markers);
    }

    /// A coordinator has resigned: its markers are not sent any more.
    pub(crate) fn resigned(&self, partition: i32, epoch: LeaderEpoch) {
        self.sender.resigned(partition, epoch);
    }

    /// Whether a coordinator that was elected in this epoch is still here.
    pub(crate) fn leads(&self, partition: i32, epoch: LeaderEpoch) -> bool {
        self.elected_in(partition, epoch).is_some()
    }

    /// Brings a producer id to a coordinator that asked for one.
    pub(crate) fn bring(&self, partition: i32, epoch: LeaderEpoch, id: ProducerId) {
        if let Some(host) = self.elected_in(partition, epoch) {
            let _ = host.affect(Effect::Soft(SoftEffect::ProducerId(id)));
        }
    }

    fn elected_in(&self, partition: i32, epoch: LeaderEpoch) -> Option<Host<W>> {
        let mut all = self.coordinators.all().into_iter();
        let found = all.find(|(of, in_epoch, _)| (*of, *in_epoch) == (partition, epoch));
        found.map(|(_, _, host)| host)
    }
}

/// Reports to a coordinator what was written; one that has resigned needs no report.
fn report<W: World>(coordinators: &Coordinators<W, TxnCoordinator>, written: Written) {
    let Written { partition, coordinator, id, producer, partitions } = written;
    let Ok(host) = coordinators.find(partition) else { return };
    let _ =
        host.affect(Effect::Soft(SoftEffect::Written { coordinator, id, producer, partitions }));
}

/// Logs what a coordinator could not read: one transactional id is offline for each, and no more.
fn report_damage(partition: i32, transactions: &Transactions) {
    for (id, found) in transactions.iter() {
        if let Found::Offline { at, error } = found {
            tracing::error!(
                partition, %id, %at, %error,
                "transactional id is offline: its record in __transaction_state can't be read"
            );
        }
    }
    for (at, error) in transactions.unreadable() {
        tracing::error!(partition, %at, %error, "record in __transaction_state is ignored");
    }
}

#[cfg(test)]
mod tests;
