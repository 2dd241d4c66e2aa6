//! One world that is any of the three, so that a program is written once, without a type parameter,
//! and does not learn where it runs.

mod disk;
mod net;

use std::future::Future;
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;

pub use disk::{AnyDisk, AnyFile, AnyMap};
pub use net::{AnyListener, AnyNet, AnyStream};

use crate::base::{Instant, Probe, Stream, Timestamp};
use crate::io::World;
use crate::io::real::RealWorld;
use crate::sim::leap::LeapWorld;
#[cfg(feature = "referee")]
use crate::sim::turmoil::TurmoilWorld;
use crate::sim::{ClientEvent, SimWorld};

/// A handle on one host, in whichever world it is.
#[derive(Clone)]
pub struct AnyWorld(Arc<Inner>);

struct Inner {
    kind: Kind,
    net: AnyNet,
    disk: AnyDisk,
}

#[derive(Clone)]
enum Kind {
    Leap(LeapWorld),
    #[cfg(feature = "referee")]
    Turmoil(TurmoilWorld),
    Real(RealWorld),
}

/// The same expression for whichever world it is.
macro_rules! whichever {
    ($kind:expr, $world:ident => $does:expr) => {
        match $kind {
            Kind::Leap($world) => $does,
            #[cfg(feature = "referee")]
            Kind::Turmoil($world) => $does,
            Kind::Real($world) => $does,
        }
    };
}

impl AnyWorld {
    fn new(kind: Kind) -> Self {
        let disk = match &kind {
            Kind::Leap(world) => AnyDisk::of_simulation(world.disk()),
            #[cfg(feature = "referee")]
            Kind::Turmoil(world) => AnyDisk::of_simulation(world.disk()),
            Kind::Real(world) => AnyDisk::of_reality(world.disk()),
        };
        Self(Arc::new(Inner { net: AnyNet(kind.clone()), disk, kind }))
    }

    /// Records what a client did or saw; does nothing outside a simulation.
    pub(crate) fn observe(&self, event: impl Into<ClientEvent>) {
        match &self.0.kind {
            Kind::Leap(world) => SimWorld::observe(world, event),
            #[cfg(feature = "referee")]
            Kind::Turmoil(world) => SimWorld::observe(world, event),
            Kind::Real(_) => {}
        }
    }

    /// True simulated time, whatever the host's clock shows.
    pub(crate) fn true_now(&self) -> Instant {
        match &self.0.kind {
            Kind::Leap(world) => world.true_now(),
            #[cfg(feature = "referee")]
            Kind::Turmoil(world) => world.true_now(),
            Kind::Real(world) => world.now(),
        }
    }
}

impl From<LeapWorld> for AnyWorld {
    fn from(world: LeapWorld) -> Self {
        Self::new(Kind::Leap(world))
    }
}

#[cfg(feature = "referee")]
impl From<TurmoilWorld> for AnyWorld {
    fn from(world: TurmoilWorld) -> Self {
        Self::new(Kind::Turmoil(world))
    }
}

impl From<RealWorld> for AnyWorld {
    fn from(world: RealWorld) -> Self {
        Self::new(Kind::Real(world))
    }
}

impl World for AnyWorld {
    type Net = AnyNet;
    type Disk = AnyDisk;

    fn net(&self) -> &AnyNet {
        &self.0.net
    }

    fn disk(&self) -> &AnyDisk {
        &self.0.disk
    }

    fn now(&self) -> Instant {
        whichever!(&self.0.kind, world => world.now())
    }

    fn wall_clock(&self) -> Timestamp {
        whichever!(&self.0.kind, world => world.wall_clock())
    }

    async fn sleep_until(&self, deadline: Instant) {
        whichever!(&self.0.kind, world => world.sleep_until(deadline).await);
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        whichever!(&self.0.kind, world => world.spawn(name, task));
    }

    async fn terminated(&self) {
        whichever!(&self.0.kind, world => world.terminated().await);
    }

    fn random(&self, stream: Stream) -> ChaCha12Rng {
        whichever!(&self.0.kind, world => world.random(stream))
    }

    fn probe(&self, probe: impl Into<Probe>) {
        whichever!(&self.0.kind, world => world.probe(probe));
    }
}
