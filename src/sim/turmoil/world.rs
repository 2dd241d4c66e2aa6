//! The world of a host under turmoil, and the state that all hosts share.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use tokio::sync::Notify;

use super::gate::Gate;
use super::net::TurmoilNet;
use super::reach::Reach;
use crate::base::{Instant, Probe, Seed, Stream, Timestamp};
use crate::io::World;
use crate::sim::clock::HostClock;
use crate::sim::disk::{SimDisk, Sleep};
use crate::sim::process::Process;
use crate::sim::watchdog::Watchdog;
use crate::sim::witness::Witness;
use crate::sim::{ClientEvent, HostId, SimWorld};

/// State shared by engine, worlds and streams.
#[derive(Default)]
pub(super) struct Shared {
    /// True time of the running task. Within a tick, hosts run one after another through the same
    /// millisecond.
    now: Arc<AtomicU64>,
    /// The latest time that any host has seen: the date of observations, in order.
    latest: Arc<AtomicU64>,
    pub witness: Witness,
    pub watchdog: Watchdog,
    pub reach: Mutex<Reach>,
    last_task: AtomicU64,
    /// The first panic of a task; the driver's thread resumes it.
    pub panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Shared {
    pub fn now(&self) -> Instant {
        Instant(self.now.load(Ordering::Relaxed))
    }

    pub fn latest(&self) -> Instant {
        Instant(self.latest.load(Ordering::Relaxed))
    }

    pub fn set_now(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.now.store(nanos, Ordering::Relaxed);
        self.latest.fetch_max(nanos, Ordering::Relaxed);
    }

    /// The clock for disk events.
    pub fn clock(&self) -> Arc<dyn Fn() -> Instant + Send + Sync> {
        let latest = self.latest.clone();
        Arc::new(move || Instant(latest.load(Ordering::Relaxed)))
    }

    pub fn next_task(&self) -> u64 {
        self.last_task.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// One boot of one host.
pub(super) struct Tenant {
    pub process: Process,
    /// Its first task has ended.
    pub ended: AtomicBool,
    /// Tasks that were woken during a pause.
    pub parked: Mutex<Vec<Waker>>,
    pub clock: Arc<HostClock>,
    /// Notifies that deadlines have moved.
    pub clock_set: Arc<Notify>,
}

/// Shorter disk waits are accumulated: turmoil's time has milliseconds only.
const GATHERED: Duration = Duration::from_micros(200);

/// Lets a disk take its time: on average what it asks for, in whole milliseconds.
pub(super) fn disk_sleep() -> Sleep {
    let owed = Mutex::new(Duration::ZERO);
    Arc::new(move |time| {
        let mut owed = owed.lock();
        *owed += time;
        let wait = if time < GATHERED && *owed < Duration::from_millis(1) {
            Duration::ZERO
        } else {
            // Any wait for the platter takes at least one tick.
            let millis = owed.as_millis().max(1) as u64;
            Duration::from_millis(millis)
        };
        *owed = owed.saturating_sub(wait);
        Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        })
    })
}

/// One boot of one host of a [`super::Referee`] simulation.
#[derive(Clone)]
pub struct TurmoilWorld {
    inner: Arc<Inner>,
}

struct Inner {
    seed: Seed,
    net: TurmoilNet,
    disk: SimDisk,
}

impl TurmoilWorld {
    /// `seed` is the seed of this boot.
    pub(super) fn new(seed: Seed, net: TurmoilNet, disk: SimDisk) -> Self {
        Self { inner: Arc::new(Inner { seed, net, disk }) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.net.shared
    }

    pub(super) fn tenant(&self) -> &Arc<Tenant> {
        &self.inner.net.tenant
    }

    /// Records what a client did or saw.
    pub fn observe(&self, event: impl Into<ClientEvent>) {
        SimWorld::observe(self, event);
    }
}

impl World for TurmoilWorld {
    type Net = TurmoilNet;
    type Disk = SimDisk;

    fn net(&self) -> &TurmoilNet {
        &self.inner.net
    }

    fn disk(&self) -> &SimDisk {
        &self.inner.disk
    }

    fn now(&self) -> Instant {
        self.tenant().clock.local(self.shared().now())
    }

    fn wall_clock(&self) -> Timestamp {
        self.tenant().clock.wall(self.shared().now())
    }

    async fn sleep_until(&self, deadline: Instant) {
        let tenant = self.tenant();
        tenant.process.go_on().await;
        loop {
            let set = tenant.clock_set.notified();
            let (now, until) = (self.shared().now(), tenant.clock.truth(deadline));
            if now >= until {
                if self.shared().watchdog.goes_on(now) {
                    return;
                }
                std::future::pending::<()>().await;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(until.since(now)) => {}
                () = set => {}
            }
        }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        if self.tenant().process.alive() {
            let gate = Gate::new(self.shared().clone(), self.tenant().clone(), name, task);
            // Not `spawn`: the runtime drops its tasks by a number that counts through the whole
            // process, so the connections of a host that ends would close in another order each
            // time. A local set drops them in the order of spawning.
            tokio::task::spawn_local(gate);
        }
    }

    async fn terminated(&self) {
        self.tenant().process.terminated().await;
    }

    fn random(&self, stream: Stream) -> ChaCha12Rng {
        self.inner.seed.stream(stream)
    }

    fn probe(&self, probe: impl Into<Probe>) {
        if self.tenant().process.alive() {
            self.shared().witness.probe(self.shared().latest(), self.host(), probe);
        }
    }
}

impl SimWorld for TurmoilWorld {
    fn observe(&self, event: impl Into<ClientEvent>) {
        if self.tenant().process.alive() {
            self.shared().witness.client(self.shared().latest(), self.host(), event);
        }
    }

    fn host(&self) -> HostId {
        self.tenant().process.host
    }

    fn true_now(&self) -> Instant {
        self.shared().now()
    }
}
