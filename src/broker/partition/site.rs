//! What all replicas of one broker share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Leadership;
use super::events::Elections;
use crate::base::{BrokerId, Flaws, TopicId};
use crate::broker::outbox::Outbox;
use crate::broker::timers::Timers;
use crate::io::{World, timeout};

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
}

impl<W: World> Site<W> {
    pub(crate) fn new(
        world: W,
        me: BrokerId,
        lag_time_max: Duration,
        flaws: Flaws,
        outbox: Outbox,
    ) -> Arc<Self> {
        let (elections, timers) = (Elections::default(), Timers::default());
        Arc::new(Self { world, me, lag_time_max, flaws, outbox, elections, timers })
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
