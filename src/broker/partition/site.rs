//! What all replicas of one broker share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::Leadership;
use super::events::Elections;
use super::expiry::Expiring;
use crate::base::config::{TopicConfig, TxnConfig};
use crate::base::{BrokerId, Flaws, TopicId};
use crate::broker::outbox::Outbox;
use crate::broker::timers::Timers;
use crate::io::{World, timeout};
use crate::log::LogConfig;

/// The broker as its replicas see it.
pub(crate) struct Site<W: World> {
    pub(super) world: W,
    pub(super) me: BrokerId,
    /// `replica.lag.time.max.ms`.
    pub(super) lag_time_max: Duration,
    pub(super) flaws: Flaws,
    pub(super) outbox: Outbox,
    pub(super) elections: Elections<W>,
    pub(super) timers: Timers,
    pub(super) expiring: Expiring,
    /// The node's settings for producers and transactions, as they are now.
    txn: RwLock<TxnConfig>,
}

impl<W: World> Site<W> {
    pub(crate) fn new(
        world: W,
        me: BrokerId,
        lag_time_max: Duration,
        flaws: Flaws,
        outbox: Outbox,
    ) -> Arc<Self> {
        Arc::new(Self {
            world,
            me,
            lag_time_max,
            flaws,
            outbox,
            elections: Elections::default(),
            timers: Timers::default(),
            expiring: Expiring::default(),
            txn: RwLock::default(),
        })
    }

    /// The node has these settings for producers and transactions from now on. Logs have them once
    /// they are configured again.
    pub(crate) fn configure(&self, txn: &TxnConfig) {
        *self.txn.write() = txn.clone();
    }

    /// The settings of a log with these topic settings, on this node.
    pub(crate) fn log_config(&self, topic: &TopicConfig) -> LogConfig {
        LogConfig::new(topic, self.flaws).on_node(&self.txn.read())
    }

    /// The replicas, by topic and partition, that may have a producer to forget.
    pub(crate) fn take_expiring(&self) -> Vec<(TopicId, i32)> {
        self.expiring.take(self.world.wall_clock())
    }

    /// Returns the replicas, by topic and partition, whose deadlines are reached; waits for the
    /// first one.
    pub(crate) async fn due(&self) -> Vec<(TopicId, i32)> {
        loop {
            let due = self.timers.take(self.world.now());
            if !due.is_empty() {
                return due;
            }
            timeout(&self.world, self.timers.next(), self.timers.earlier()).await;
        }
    }

    pub(crate) fn world(&self) -> &W {
        &self.world
    }

    pub(crate) fn me(&self) -> BrokerId {
        self.me
    }

    pub(crate) fn flaws(&self) -> Flaws {
        self.flaws
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Subscribes to the elections of a topic's replicas on this broker. Those that lead already
    /// are not announced: subscribe before roles are assumed.
    pub(crate) fn elections_of(&self, topic: &str) -> mpsc::UnboundedReceiver<Leadership<W>> {
        self.elections.subscribe(topic)
    }
}
