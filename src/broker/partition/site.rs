//! What all replicas of one broker share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Leadership;
use super::events::Elections;
use crate::base::{BrokerId, Flaws};
use crate::broker::outbox::Outbox;
use crate::io::World;

/// The broker as its replicas see it.
pub(crate) struct Site<W: World> {
    pub(super) world: W,
    pub(super) me: BrokerId,
    /// `replica.lag.time.max.ms`.
    pub(super) lag_time_max: Duration,
    pub(super) flaws: Flaws,
    pub(super) outbox: Outbox,
    pub(super) elections: Elections<W>,
}

impl<W: World> Site<W> {
    pub(crate) fn new(
        world: W,
        me: BrokerId,
        lag_time_max: Duration,
        flaws: Flaws,
        outbox: Outbox,
    ) -> Arc<Self> {
        let elections = Elections::default();
        Arc::new(Self { world, me, lag_time_max, flaws, outbox, elections })
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
    #[allow(dead_code, reason = "coordinators are built on it")]
    pub(crate) fn elections_of(&self, topic: &str) -> mpsc::UnboundedReceiver<Leadership<W>> {
        self.elections.subscribe(topic)
    }
}
