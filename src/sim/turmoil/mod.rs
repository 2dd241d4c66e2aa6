//! The referee: turmoil's scheduler, hosts and TCP, written by others. If a verdict depends on the
//! engine, one of the engines has a bug.
//!
//! Our own parts are the disk, clocks, pauses (a gate before every task), and silence. turmoil
//! closes a crashed host's connections gracefully and treats a cut as a refusal; so a host that
//! loses power is cut off first, and connection attempts to a silent host are repeated. Weaker than
//! in leap: time has whole milliseconds; a connection that lost a segment to a cut never recovers,
//! so calls need deadlines; links have no loss and bandwidth; held segments are not kept.
//!
//! A simulation must not be driven from within a tokio runtime: it has its own.
#![allow(clippy::disallowed_methods, reason = "turmoil lends its hosts a runtime of their own")]

mod gate;
mod net;
mod reach;
#[cfg(test)]
mod tests;
mod world;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rand_chacha::rand_core::Rng;
use tokio::sync::Notify;

use self::gate::Gate;
use self::world::{Shared, Tenant, disk_sleep};
use super::clock::HostClock;
use super::disk::{Corruption, DiskProfile, DiskStats, Failing, PagePool, Place, SimDisk};
use super::engine::DISK_PATIENCE;
use super::process::Process;
use super::witness::Witness;
use super::{
    Boot, Engine, HostId, Link, Observation, Shot, Survival, TraceHash, Unsupported, What,
};
use crate::base::{Instant, Seed, Stream};

pub use net::{TurmoilListener, TurmoilNet, TurmoilStream};
pub use world::TurmoilWorld;

/// Capacity of a connection's queue in pieces, and of a listener's in connections.
const QUEUE: usize = 512;
/// turmoil's finest resolution.
const TICK: Duration = Duration::from_millis(1);

/// A simulation under control of its driver.
pub struct Referee {
    seed: Seed,
    sim: turmoil::Sim<'static>,
    shared: Arc<Shared>,
    pages: PagePool,
    hosts: Vec<Host>,
}

struct Host {
    name: Arc<str>,
    /// What the next start of the host runs; only its kernel if empty.
    next: Arc<Mutex<Option<TurmoilWorld>>>,
    disk: SimDisk,
    clock: Arc<HostClock>,
    clock_set: Arc<Notify>,
    incarnation: u32,
    running: Option<Arc<Tenant>>,
    powered: bool,
}

type Software = Pin<Box<dyn Future<Output = turmoil::Result>>>;

/// The software that turmoil runs on a host when it starts.
fn software(boot: &Boot<TurmoilWorld>, next: &Mutex<Option<TurmoilWorld>>) -> Software {
    let process = next.lock().take().map(|world| {
        let (shared, tenant, boot) = (world.shared().clone(), world.tenant().clone(), boot.clone());
        let first = tenant.clone();
        Gate::new(shared, tenant, "boot", async move {
            boot(world).await;
            first.ended.store(true, Ordering::Relaxed);
            first.process.die();
        })
    });
    Box::pin(async move {
        if let Some(process) = process {
            process.await;
        }
        // turmoil delivers nothing to a host that has ended, not even refusals.
        std::future::pending().await
    })
}

impl Referee {
    /// The disk of a host, for disk faults and inspection.
    pub fn disk(&self, host: HostId) -> &SimDisk {
        &self.host(host).disk
    }

    fn host(&self, host: HostId) -> &Host {
        &self.hosts[usize::from(host.0)]
    }

    fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[usize::from(host.0)]
    }

    fn ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u16).map(HostId)
    }

    fn see(&self, host: HostId, what: What) {
        self.shared.witness.see(self.shared.latest(), host, what);
    }

    fn fault(&self, name: &str, host: HostId, number: u64) {
        self.shared.witness.fault(self.now(), name, host, number);
    }

    fn fault_between(&self, name: &str, from: HostId, to: HostId) {
        self.shared.witness.fault_between(self.now(), name, from, to);
    }

    /// Restarts a host: its tasks are dropped and `next` is run.
    fn restart(&mut self, host: HostId) {
        let name = self.host(host).name.clone();
        self.sim.bounce(&*name);
    }

    /// Tells turmoil whether bytes get from one host to the other.
    fn apply(&self, from: HostId, to: HostId) {
        if from != to {
            let (first, second) = (&*self.host(from).name, &*self.host(to).name);
            if self.shared.reach.lock().open(from, to) {
                self.sim.repair_oneway(first, second);
            } else {
                self.sim.partition_oneway(first, second);
            }
        }
    }

    fn set_powered(&mut self, host: HostId, powered: bool) {
        self.host_mut(host).powered = powered;
        self.shared.reach.lock().set_powered(host, powered);
        for other in self.ids() {
            self.apply(host, other);
            self.apply(other, host);
        }
    }

    /// The process is gone, but its kernel still runs.
    fn end_process(&mut self, host: HostId, what: What) {
        if let Some(tenant) = self.host_mut(host).running.take() {
            tenant.process.die();
            self.shared.reach.lock().set_paused(host, false);
            self.host(host).disk.kill();
            self.restart(host);
            self.see(host, what);
        }
    }

    /// Silences a host before its process is dropped, so that no peer notices.
    fn power_off(&mut self, host: HostId) {
        self.set_powered(host, false);
        if let Some(tenant) = self.host_mut(host).running.take() {
            tenant.process.die();
            self.shared.reach.lock().set_paused(host, false);
        }
        self.restart(host);
    }

    fn step(&mut self) {
        self.sim.step().expect("hosts neither fail nor end");
        self.shared.set_now(self.sim.elapsed());
        if let Some(panic) = self.shared.panicked.lock().take() {
            std::panic::resume_unwind(panic);
        }
        for host in self.ids() {
            let Some(tenant) = &self.host(host).running else { continue };
            if tenant.ended.load(Ordering::Relaxed) {
                self.fault("ended", host, 0);
                self.end_process(host, What::Ended);
            } else if !tenant.process.alive() {
                self.fault("power-loss", host, 0);
                self.power_off(host);
            }
        }
    }

    fn set_paused(&mut self, host: HostId, paused: bool) {
        let Some(tenant) = self.host(host).running.clone() else { return };
        if tenant.process.paused() == paused {
            return;
        }
        tenant.process.set_paused(paused);
        self.shared.reach.lock().set_paused(host, paused);
        self.fault(if paused { "pause" } else { "resume" }, host, 0);
        self.see(host, if paused { What::Paused } else { What::Resumed });
        for waker in std::mem::take(&mut *tenant.parked.lock()) {
            waker.wake();
        }
    }
}

fn unsupported(what: &'static str, why: &'static str) -> Unsupported {
    Unsupported { engine: Referee::NAME, what, why }
}

impl Engine for Referee {
    type World = TurmoilWorld;
    const NAME: &'static str = "turmoil";

    /// The link's loss and bandwidth are ignored: turmoil has neither for streams.
    fn new(seed: Seed, link: Link) -> Self {
        let sim = turmoil::Builder::new()
            .epoch(SystemTime::UNIX_EPOCH)
            .simulation_duration(Duration::from_secs(u64::from(u32::MAX)))
            .tick_duration(TICK)
            .tcp_capacity(QUEUE)
            .min_message_latency(*link.latency.start())
            .max_message_latency((*link.latency.end()).max(*link.latency.start()))
            .enable_random_order()
            .rng_seed(seed.stream(Stream::named("turmoil")).next_u64())
            .build();
        Self { seed, sim, shared: Arc::default(), pages: PagePool::default(), hosts: Vec::new() }
    }

    fn add_host(&mut self, name: &str, boot: Boot<TurmoilWorld>) -> HostId {
        let host = HostId(u16::try_from(self.hosts.len()).expect("fewer than 65536 hosts"));
        let addr = self.sim.lookup(name);
        let name: Arc<str> = name.into();
        self.shared.reach.lock().add(name.clone(), addr);
        let Witness { observer, trace, .. } = self.shared.witness.clone();
        let disk = SimDisk::new(host, self.seed, self.shared.clock(), observer, trace);
        disk.set_patience(DISK_PATIENCE);
        disk.share_pages(&self.pages);
        let next = Arc::default();
        self.hosts.push(Host {
            name: name.clone(),
            next: Arc::clone(&next),
            disk,
            clock: Arc::default(),
            clock_set: Arc::default(),
            incarnation: 0,
            running: None,
            powered: true,
        });
        self.sim.host(&*name, move || software(&boot, &next));
        self.boot(host);
        host
    }

    fn name(&self, host: HostId) -> &str {
        &self.host(host).name
    }

    fn now(&self) -> Instant {
        Instant::START + self.sim.elapsed()
    }

    /// Time moves in whole milliseconds: it may end up to 1 ms late.
    fn run_until(&mut self, until: Instant) {
        while self.now() < until {
            self.step();
        }
    }

    fn spin(&self) -> Option<String> {
        self.shared.watchdog.spin()
    }

    fn drain(&mut self) -> Vec<Observation> {
        self.shared.witness.observer.drain()
    }

    fn is_running(&self, host: HostId) -> bool {
        self.host(host).running.is_some()
    }

    fn terminate(&mut self, host: HostId) {
        self.fault("terminate", host, 0);
        if let Some(tenant) = &self.host(host).running {
            tenant.process.terminate();
        }
    }

    fn kill(&mut self, host: HostId) {
        self.fault("kill", host, 0);
        self.end_process(host, What::Killed);
    }

    fn power_loss(&mut self, host: HostId, survival: Survival) {
        self.fault("power-loss", host, 0);
        if let Some(tenant) = &self.host(host).running {
            tenant.process.die();
        }
        self.host(host).disk.power_loss(&survival);
        self.power_off(host);
    }

    fn power_loss_at(&mut self, host: HostId, operation: u64, survival: Survival) {
        self.fault("power-loss-at", host, operation);
        if self.is_running(host) {
            self.host(host).disk.power_loss_at(operation, survival);
        }
    }

    fn boot(&mut self, host: HostId) {
        if self.is_running(host) {
            return;
        }
        self.fault("boot", host, 0);
        let shared = self.shared.clone();
        let this = self.host_mut(host);
        this.incarnation += 1;
        let tenant = Arc::new(Tenant {
            process: Process::new(host, this.name.clone(), this.incarnation),
            ended: AtomicBool::new(false),
            parked: Mutex::default(),
            clock: this.clock.clone(),
            clock_set: this.clock_set.clone(),
        });
        let victim = tenant.clone();
        let disk = this.disk.boot(disk_sleep(), Arc::new(move || victim.process.die()));
        let net = TurmoilNet { shared, tenant: tenant.clone() };
        this.running = Some(tenant.clone());
        let was_off = !this.powered;
        let world = TurmoilWorld::new(tenant.process.seed(self.seed), net, disk);
        *self.host(host).next.lock() = Some(world);
        if was_off {
            self.set_powered(host, true);
        }
        self.see(host, What::Booted);
        self.restart(host);
    }

    fn pause(&mut self, host: HostId) {
        self.set_paused(host, true);
    }

    fn resume(&mut self, host: HostId) {
        self.set_paused(host, false);
    }

    fn cut(&mut self, from: HostId, to: HostId) {
        self.fault_between("cut", from, to);
        self.shared.reach.lock().set_cut(from, to, true);
        self.apply(from, to);
    }

    fn heal(&mut self, from: HostId, to: HostId) {
        self.fault_between("heal", from, to);
        self.shared.reach.lock().set_cut(from, to, false);
        self.apply(from, to);
    }

    fn hold(&mut self, _: HostId, _: HostId) -> Result<(), Unsupported> {
        Err(unsupported(
            "hold",
            "it holds both directions at once, and forgets cuts when it lets go",
        ))
    }

    fn release(&mut self, _: HostId, _: HostId) -> Result<(), Unsupported> {
        Err(unsupported("release", "it can't hold one direction"))
    }

    fn set_link(&mut self, _: HostId, _: HostId, _: Link) -> Result<(), Unsupported> {
        let why = "its links have one latency for both directions, no bandwidth, and a loss that \
                   breaks streams for good";
        Err(unsupported("set_link", why))
    }

    fn set_clock(
        &mut self,
        host: HostId,
        offset_ms: i64,
        drift_ppm: i32,
    ) -> Result<(), Unsupported> {
        self.fault("clock", host, 0);
        self.host(host).clock.set(self.now(), offset_ms, drift_ppm);
        self.host(host).clock_set.notify_waiters();
        Ok(())
    }

    fn set_disk(&mut self, host: HostId, profile: DiskProfile) {
        self.fault("disk", host, 0);
        self.disk(host).set_profile(profile);
    }

    fn fail_disk(&mut self, host: HostId, what: Failing, count: u32, dir: Option<&str>) {
        self.fault("disk errors", host, u64::from(count));
        self.disk(host).fail(what, count, dir);
    }

    fn corrupt_disk(
        &mut self,
        host: HostId,
        what: Corruption,
        count: u32,
        place: (Place, &str),
    ) -> u32 {
        self.fault("corruption", host, u64::from(count));
        self.disk(host).corrupt(what, count, place.0, place.1)
    }

    fn replace_disk(&mut self, host: HostId, dir: Option<&str>) {
        if !self.is_running(host) {
            self.fault("replaced disk", host, 0);
            self.disk(host).replace(dir);
        }
    }

    fn disk_stats(&self, host: HostId) -> DiskStats {
        self.disk(host).stats()
    }

    fn trace(&self) -> TraceHash {
        self.shared.witness.trace.lock().hash()
    }

    fn record_trace(&mut self) {
        self.shared.witness.trace.lock().record();
    }

    fn take_trace(&mut self) -> Vec<String> {
        self.shared.witness.trace.lock().take_lines()
    }

    fn record_film(&mut self) {
        self.shared.witness.film.record();
    }

    fn take_film(&mut self) -> Vec<Shot> {
        self.shared.witness.film.take()
    }
}

impl Drop for Referee {
    /// Tasks that are dropped with the simulation have no effect.
    fn drop(&mut self) {
        for host in &self.hosts {
            if let Some(tenant) = &host.running {
                tenant.process.die();
            }
        }
    }
}
