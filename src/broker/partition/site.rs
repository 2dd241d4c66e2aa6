//! What all replicas of one broker share.

use std::sync::Arc;
use std::time::Duration;

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
}

impl<W: World> Site<W> {
    pub(crate) fn new(
        world: W,
        me: BrokerId,
        lag_time_max: Duration,
        flaws: Flaws,
        outbox: Outbox,
    ) -> Arc<Self> {
        Arc::new(Self { world, me, lag_time_max, flaws, outbox })
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
}
