//! Sends markers: one task for each broker that they go to, and one request to it at a time.
//!
//! Source: Kafka's `TransactionMarkerChannelManager`, whose channel has the same limits.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::markers::{MarkerQueues, Written};
use crate::base::{BrokerId, LeaderEpoch};
use crate::controller::Image;
use crate::io::World;
use crate::rpc::{Backoff, Connecting, Pool, Purpose, RpcError};
use crate::txn::Markers;
use crate::wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

/// How long a broker may take to answer. Source: Kafka's default of `request.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause after markers that were not written. Source: the reconnect backoff of Kafka's
/// `TransactionMarkerChannelManager`.
const BACKOFF: Duration = Duration::from_millis(50);

/// Senders pause after any failure and need no other backoff.
const CONNECTING: Connecting =
    Connecting { backoff: Backoff::NONE, setup_timeout: Duration::from_secs(5) };

/// Takes what was written.
type Report = Box<dyn Fn(Written) + Send + Sync>;

/// Sends the markers of all coordinators of a broker.
pub(crate) struct MarkerSender<W: World> {
    world: W,
    pool: Pool<W>,
    queues: Mutex<MarkerQueues>,
    /// The bell of each running task: rung when something waits for its broker.
    running: Mutex<BTreeMap<BrokerId, Arc<Notify>>>,
    report: Report,
}

impl<W: World> MarkerSender<W> {
    pub(crate) fn new(
        world: W,
        (me, listener): (BrokerId, &str),
        report: impl Fn(Written) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let pool = Pool::new(world.clone(), &format!("broker-{me}-txn-marker-sender"), CONNECTING);
        let queues = Mutex::new(MarkerQueues::new(listener));
        let (running, report) = (Mutex::default(), Box::new(report));
        Arc::new(Self { world, pool, queues, running, report })
    }

    /// A coordinator has decided.
    pub(crate) fn send(self: &Arc<Self>, markers: Markers) {
        let gone = self.queues.lock().add(markers);
        gone.into_iter().for_each(&self.report);
        self.ring();
    }

    /// A coordinator has resigned.
    pub(crate) fn resigned(&self, partition: i32, epoch: LeaderEpoch) {
        self.queues.lock().resigned(partition, epoch);
    }

    /// There is a new image.
    pub(crate) fn image_changed(self: &Arc<Self>, image: &Arc<Image>) {
        let gone = self.queues.lock().image_changed(image.clone());
        gone.into_iter().for_each(&self.report);
        self.ring();
    }

    /// Wakes the tasks of all brokers for which something waits.
    fn ring(self: &Arc<Self>) {
        let destinations = self.queues.lock().destinations();
        let mut running = self.running.lock();
        for broker in destinations {
            match running.entry(broker) {
                Entry::Occupied(bell) => bell.get().notify_one(),
                Entry::Vacant(place) => {
                    let bell = place.insert(Arc::new(Notify::new())).clone();
                    self.world.spawn("txn markers", self.clone().serve(broker, bell));
                }
            }
        }
    }

    /// Sends to one broker, for as long as the node lives: leaders come back.
    async fn serve(self: Arc<Self>, broker: BrokerId, bell: Arc<Notify>) {
        loop {
            let taken = self.queues.lock().take(broker);
            let Some((request, sent)) = taken else {
                bell.notified().await;
                continue;
            };
            let (written, again) = match self.call(broker, &request).await {
                Ok(response) => self.queues.lock().answered(sent, &response),
                Err(error) => {
                    tracing::debug!(%broker, %error, "can't send markers");
                    (self.queues.lock().failed(sent), true)
                }
            };
            written.into_iter().for_each(&self.report);
            // What is sent again may go to another broker by now.
            self.ring();
            if again {
                self.world.sleep_until(self.world.now() + BACKOFF).await;
            }
        }
    }

    async fn call(
        &self,
        broker: BrokerId,
        request: &WriteTxnMarkersRequest,
    ) -> Result<WriteTxnMarkersResponse, RpcError> {
        let address = self.queues.lock().address(broker).ok_or_else(|| RpcError::Connect {
            to: crate::base::Address::new(format!("broker {broker}"), 0),
            reason: "not registered".into(),
        })?;
        let deadline = self.world.now() + PATIENCE;
        self.pool.call(&address, Purpose::Questions, request, None, deadline).await
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
