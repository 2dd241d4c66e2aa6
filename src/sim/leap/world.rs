//! The world of a host in a simulation, and the state that all hosts share.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;

use super::agenda::{Agenda, TimerKey};
use super::net::Network;
use super::stream::LeapNet;
use super::task::{Ready, Task};
use crate::base::{Instant, Probe, Seed, Stream, Timestamp};
use crate::io::World;
use crate::sim::clock::HostClock;
use crate::sim::disk::SimDisk;
use crate::sim::process::Process;
use crate::sim::watchdog::Watchdog;
use crate::sim::witness::Witness;
use crate::sim::{ClientEvent, HostId, SimWorld};

/// State shared by engine, worlds, streams and sleeps.
pub(super) struct Shared {
    pub now: Arc<AtomicU64>,
    pub ready: Arc<Ready>,
    pub state: Mutex<State>,
    pub witness: Witness,
    pub watchdog: Watchdog,
}

/// Mutable state behind the lock.
pub(super) struct State {
    pub agenda: Agenda,
    pub net: Network,
    /// Tasks that have not ended, per host.
    pub tasks: Vec<BTreeMap<u64, Arc<Task>>>,
    pub last_task: u64,
}

impl Shared {
    pub fn now(&self) -> Instant {
        Instant(self.now.load(Ordering::Relaxed))
    }

    /// Starts a task of a process and returns its number.
    pub fn spawn(
        &self,
        process: &Arc<Process>,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> u64 {
        let mut state = self.state.lock();
        state.last_task += 1;
        let id = state.last_task;
        let host = process.host;
        self.witness.spawned(self.now(), host, id, name);
        let task = Task::start(id, name, process.clone(), &self.ready, future);
        state.tasks[usize::from(host.0)].insert(id, task);
        id
    }
}

/// One boot of one host of a [`super::Leap`] simulation.
#[derive(Clone)]
pub struct LeapWorld {
    inner: Arc<Inner>,
}

struct Inner {
    seed: Seed,
    net: LeapNet,
    disk: SimDisk,
    clock: Arc<HostClock>,
}

impl LeapWorld {
    /// `seed` is the seed of this boot.
    pub(super) fn new(seed: Seed, net: LeapNet, disk: SimDisk, clock: Arc<HostClock>) -> Self {
        Self { inner: Arc::new(Inner { seed, net, disk, clock }) }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.net.shared
    }

    fn process(&self) -> &Arc<Process> {
        &self.inner.net.process
    }

    /// Records what a client did or saw.
    pub fn observe(&self, event: impl Into<ClientEvent>) {
        SimWorld::observe(self, event);
    }
}

impl World for LeapWorld {
    type Net = LeapNet;
    type Disk = SimDisk;

    fn net(&self) -> &LeapNet {
        &self.inner.net
    }

    fn disk(&self) -> &SimDisk {
        &self.inner.disk
    }

    fn now(&self) -> Instant {
        self.inner.clock.local(self.shared().now())
    }

    fn wall_clock(&self) -> Timestamp {
        self.inner.clock.wall(self.shared().now())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        Sleep {
            shared: self.shared().clone(),
            process: self.process().clone(),
            until: Until::Local(self.inner.clock.clone(), deadline),
            timer: None,
        }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        if self.process().alive() {
            self.shared().spawn(self.process(), name, task);
        }
    }

    async fn terminated(&self) {
        self.process().terminated().await;
    }

    fn random(&self, stream: Stream) -> ChaCha12Rng {
        self.inner.seed.stream(stream)
    }

    fn probe(&self, probe: impl Into<Probe>) {
        if self.process().alive() {
            self.shared().witness.probe(self.shared().now(), self.process().host, probe);
        }
    }
}

impl SimWorld for LeapWorld {
    fn observe(&self, event: impl Into<ClientEvent>) {
        if self.process().alive() {
            self.shared().witness.client(self.shared().now(), self.process().host, event);
        }
    }

    fn host(&self) -> HostId {
        self.process().host
    }

    fn true_now(&self) -> Instant {
        self.shared().now()
    }
}

/// When a task's wait ends.
enum Until {
    /// At this time of the host's clock.
    Local(Arc<HostClock>, Instant),
    /// At this true time: for hardware, which is independent of the host's clock.
    True(Instant),
}

/// A task that waits.
struct Sleep {
    shared: Arc<Shared>,
    process: Arc<Process>,
    until: Until,
    timer: Option<(Instant, TimerKey)>,
}

/// Lets a process wait for its disk.
pub(super) fn wait(
    shared: Arc<Shared>,
    process: Arc<Process>,
    duration: Duration,
) -> impl Future<Output = ()> + Send {
    let until = Until::True(shared.now() + duration);
    Sleep { shared, process, until, timer: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.process.alive() {
            return Poll::Pending;
        }
        // Computed at each poll: the clock may have been set.
        let until = match &this.until {
            Until::Local(clock, deadline) => clock.truth(*deadline),
            Until::True(deadline) => *deadline,
        };
        let now = this.shared.now();
        if now >= until {
            let goes_on = this.shared.watchdog.goes_on(now);
            return if goes_on { Poll::Ready(()) } else { Poll::Pending };
        }
        if until == Instant::NEVER {
            return Poll::Pending;
        }
        let agenda = &mut this.shared.state.lock().agenda;
        if let Some((at, key)) = this.timer.take() {
            if at == until && agenda.renew_timer(key, context.waker()) {
                this.timer = Some((at, key));
                return Poll::Pending;
            }
            agenda.cancel_timer(key);
        }
        let key = agenda.set_timer(until, this.process.host, context.waker());
        this.timer = Some((until, key));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((at, key)) = self.timer.take()
            && at > self.shared.now()
        {
            self.shared.state.lock().agenda.cancel_timer(key);
        }
    }
}
