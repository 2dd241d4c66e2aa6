//! The real world, in which time does not pass: no deadline, and no limit of a connection, ends a test
//! on a machine that is slow.

use std::future::Future;

use rand_chacha::ChaCha12Rng;

use crate::base::{Instant, Probe, Stream, Timestamp};
use crate::io::World;
use crate::io::real::{RealDisk, RealNet, RealWorld};

#[derive(Clone)]
pub(super) struct Timeless(RealWorld);

impl Timeless {
    pub(super) fn new() -> Self {
        Self(RealWorld::new())
    }
}

impl World for Timeless {
    type Net = RealNet;
    type Disk = RealDisk;

    fn net(&self) -> &RealNet {
        self.0.net()
    }

    fn disk(&self) -> &RealDisk {
        self.0.disk()
    }

    fn now(&self) -> Instant {
        Instant::from_secs(1)
    }

    fn wall_clock(&self) -> Timestamp {
        self.0.wall_clock()
    }

    async fn sleep_until(&self, deadline: Instant) {
        if deadline > self.now() {
            std::future::pending::<()>().await;
        }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(name, task);
    }

    async fn terminated(&self) {
        self.0.terminated().await;
    }

    fn random(&self, stream: Stream) -> ChaCha12Rng {
        self.0.random(stream)
    }

    fn probe(&self, probe: impl Into<Probe>) {
        self.0.probe(probe);
    }
}
