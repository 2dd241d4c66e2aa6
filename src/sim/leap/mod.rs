//! The default engine: one thread, one queue of ready tasks, one agenda of future events. Idle time
//! costs nothing: time jumps to the next event.
//!
//! Deterministic by construction: tasks run one at a time, woken in the order of the agenda, with a
//! small jitter drawn from the seed; no address, hash map or real clock has any influence. Tasks
//! may use any synchronisation that needs no runtime (`tokio::sync` does not).

mod agenda;
mod conn;
mod damage;
mod link;
mod messages;
mod net;
mod side;
mod stream;
mod task;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;

use self::agenda::{Agenda, Event};
use self::net::Network;
use self::task::{Ready, Task};
use self::world::{Shared, State};
use super::clock::HostClock;
use super::disk::{Corruption, DiskProfile, DiskStats, Failing, PagePool, Place, SimDisk};
use super::engine::DISK_PATIENCE;
use super::process::Process;
use super::watchdog::Watchdog;
use super::witness::Witness;
use super::{
    Boot, Engine, HostId, Link, Observation, Shot, Survival, TraceHash, Unsupported, What,
};
use crate::base::{Instant, Seed, Stream};

pub use stream::{LeapListener, LeapNet, LeapStream};
pub use world::LeapWorld;

/// A simulation under control of its driver.
pub struct Leap {
    seed: Seed,
    shared: Arc<Shared>,
    jitter: ChaCha12Rng,
    pages: PagePool,
    hosts: Vec<Host>,
}

struct Host {
    name: Arc<str>,
    boot: Boot<LeapWorld>,
    disk: SimDisk,
    clock: Arc<HostClock>,
    incarnation: u32,
    /// The running process, and its first task.
    running: Option<(Arc<Process>, u64)>,
    powered: bool,
    /// Tasks that were ready while the host was paused.
    parked: Vec<Arc<Task>>,
}

impl Leap {
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

    fn see(&self, host: HostId, what: What) {
        self.shared.witness.see(self.shared.now(), host, what);
    }

    fn fault(&self, name: &str, host: HostId) {
        self.shared.witness.fault(self.shared.now(), name, host, 0);
    }

    fn fault_between(&self, name: &str, from: HostId, to: HostId) {
        self.shared.witness.fault_between(self.shared.now(), name, from, to);
    }

    /// Polls until no task is ready, or the simulation is frozen.
    fn run_ready(&mut self) {
        while let Some(task) = self.shared.ready.next(&mut self.jitter) {
            let process = &task.process;
            if !process.alive() {
                continue;
            }
            let host = process.host;
            if process.paused() {
                self.host_mut(host).parked.push(task);
                continue;
            }
            if !self.shared.watchdog.polls(self.shared.now(), process, task.id, task.name) {
                return;
            }
            self.poll(&task, host);
        }
    }

    fn poll(&mut self, task: &Arc<Task>, host: HostId) {
        let now = self.shared.now();
        self.shared.witness.polls(now, host, task.id, task.name);
        let watch = Watch { task, now };
        let ended = task.poll();
        std::mem::forget(watch);
        if !task.process.alive() {
            self.struck(host);
        } else if ended {
            self.shared.state.lock().tasks[usize::from(host.0)].remove(&task.id);
            if self.host(host).running.as_ref().is_some_and(|(_, first)| *first == task.id) {
                self.end_process(host, What::Ended);
                self.fault("ended", host);
            }
        }
    }

    /// Power of a host failed during the last poll.
    fn struck(&mut self, host: HostId) {
        self.fault("power-loss", host);
        self.host_mut(host).powered = false;
        self.shared.state.lock().net.power_lost(host);
        self.drop_tasks(host);
    }

    /// The process is gone, but its kernel still runs.
    fn end_process(&mut self, host: HostId, what: What) {
        if let Some((process, _)) = &self.host(host).running {
            process.die();
            {
                let state = &mut *self.shared.state.lock();
                state.net.process_ended(&mut state.agenda, host);
            }
            self.host(host).disk.kill();
            self.drop_tasks(host);
            self.see(host, what);
        }
    }

    /// Drops the tasks of a process that is already marked dead, so that their drops have no
    /// effect.
    fn drop_tasks(&mut self, host: HostId) {
        let this = self.host_mut(host);
        this.running = None;
        let parked = std::mem::take(&mut this.parked);
        let tasks = std::mem::take(&mut self.shared.state.lock().tasks[usize::from(host.0)]);
        for task in tasks.into_values() {
            task.cancel();
        }
        drop(parked);
    }

    /// Carries out the next event, if it is due; returns whether it was.
    fn next_event(&mut self, until: Instant) -> bool {
        let State { agenda, net, .. } = &mut *self.shared.state.lock();
        let Some(at) = agenda.next_at().filter(|at| *at <= until.0) else { return false };
        agenda.now = Instant(at);
        self.shared.now.store(at, Ordering::Relaxed);
        while let Some(event) = agenda.pop(at) {
            match event {
                Event::Timer(key) => agenda.fire_timer(key),
                Event::Arrival(key, side) => net.arrival(agenda, key, side),
                Event::Window(key, side) => net.window(key, side),
            }
        }
        true
    }
}

/// Logs which task panicked while the panic unwinds.
struct Watch<'a> {
    task: &'a Task,
    now: Instant,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let Task { id, name, process, .. } = self.task;
        tracing::error!(host = &*process.name, task = id, name, at = %self.now, "a task panicked");
    }
}

impl Engine for Leap {
    type World = LeapWorld;
    const NAME: &'static str = "leap";

    fn new(seed: Seed, link: Link) -> Self {
        let witness = Witness::default();
        let state = State {
            agenda: Agenda::new(witness.clone()),
            net: Network::new(seed, link),
            tasks: Vec::new(),
            last_task: 0,
        };
        let shared = Shared {
            now: Arc::new(AtomicU64::new(0)),
            ready: Arc::new(Ready::default()),
            state: Mutex::new(state),
            witness,
            watchdog: Watchdog::default(),
        };
        let jitter = seed.stream(Stream::named("leap jitter"));
        Self {
            seed,
            shared: Arc::new(shared),
            jitter,
            pages: PagePool::default(),
            hosts: Vec::new(),
        }
    }

    fn add_host(&mut self, name: &str, boot: Boot<LeapWorld>) -> HostId {
        let host = HostId(u16::try_from(self.hosts.len()).expect("fewer than 65536 hosts"));
        let name: Arc<str> = name.into();
        {
            let mut state = self.shared.state.lock();
            state.net.add_host(host, name.clone());
            state.tasks.push(BTreeMap::new());
        }
        let clock = self.shared.now.clone();
        let clock = Arc::new(move || Instant(clock.load(Ordering::Relaxed)));
        let Witness { observer, trace, .. } = self.shared.witness.clone();
        let disk = SimDisk::new(host, self.seed, clock, observer, trace);
        disk.set_patience(DISK_PATIENCE);
        disk.share_pages(&self.pages);
        self.hosts.push(Host {
            name,
            boot,
            disk,
            clock: Arc::default(),
            incarnation: 0,
            running: None,
            powered: true,
            parked: Vec::new(),
        });
        self.boot(host);
        host
    }

    fn name(&self, host: HostId) -> &str {
        &self.host(host).name
    }

    fn now(&self) -> Instant {
        self.shared.now()
    }

    fn run_until(&mut self, until: Instant) {
        self.run_ready();
        while !self.shared.watchdog.is_frozen() && self.next_event(until) {
            self.run_ready();
        }
        let agenda = &mut self.shared.state.lock().agenda;
        agenda.now = agenda.now.max(until);
        self.shared.now.store(agenda.now.0, Ordering::Relaxed);
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
        self.fault("terminate", host);
        if let Some((process, _)) = &self.host(host).running {
            process.terminate();
        }
    }

    fn kill(&mut self, host: HostId) {
        self.fault("kill", host);
        self.end_process(host, What::Killed);
    }

    fn power_loss(&mut self, host: HostId, survival: Survival) {
        self.fault("power-loss", host);
        let this = self.host_mut(host);
        this.powered = false;
        if let Some((process, _)) = &this.running {
            process.die();
        }
        this.disk.power_loss(&survival);
        self.shared.state.lock().net.power_lost(host);
        self.drop_tasks(host);
    }

    fn power_loss_at(&mut self, host: HostId, operation: u64, survival: Survival) {
        self.shared.witness.fault(self.now(), "power-loss-at", host, operation);
        if self.is_running(host) {
            self.host(host).disk.power_loss_at(operation, survival);
        }
    }

    fn boot(&mut self, host: HostId) {
        if self.is_running(host) {
            return;
        }
        self.fault("boot", host);
        let shared = self.shared.clone();
        let this = self.host_mut(host);
        this.incarnation += 1;
        let process = Arc::new(Process::new(host, this.name.clone(), this.incarnation));
        let (waiter, waits) = (process.clone(), shared.clone());
        let victim = process.clone();
        let disk = this.disk.boot(
            Arc::new(move |time| Box::pin(world::wait(waits.clone(), waiter.clone(), time))),
            Arc::new(move || victim.die()),
        );
        if !std::mem::replace(&mut this.powered, true) {
            let state = &mut *shared.state.lock();
            state.net.powered(&mut state.agenda, host);
        }
        let (boot, clock) = (this.boot.clone(), this.clock.clone());
        let seed = process.seed(self.seed);
        let net = LeapNet { shared: shared.clone(), process: process.clone() };
        let world = LeapWorld::new(seed, net, disk, clock);
        self.see(host, What::Booted);
        let first = shared.spawn(&process, "boot", async move { boot(world).await });
        self.host_mut(host).running = Some((process, first));
    }

    fn pause(&mut self, host: HostId) {
        self.set_paused(host, true);
    }

    fn resume(&mut self, host: HostId) {
        self.set_paused(host, false);
    }

    fn cut(&mut self, from: HostId, to: HostId) {
        self.fault_between("cut", from, to);
        self.shared.state.lock().net.cut(from, to);
    }

    fn heal(&mut self, from: HostId, to: HostId) {
        self.fault_between("heal", from, to);
        let state = &mut *self.shared.state.lock();
        state.net.heal(&mut state.agenda, from, to);
    }

    fn hold(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported> {
        self.fault_between("hold", from, to);
        self.shared.state.lock().net.hold(from, to);
        Ok(())
    }

    fn release(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported> {
        self.fault_between("release", from, to);
        let state = &mut *self.shared.state.lock();
        state.net.release(&mut state.agenda, from, to);
        Ok(())
    }

    fn set_link(&mut self, from: HostId, to: HostId, link: Link) -> Result<(), Unsupported> {
        self.fault_between("link", from, to);
        self.shared.state.lock().net.set_link(from, to, &link);
        Ok(())
    }

    fn set_clock(
        &mut self,
        host: HostId,
        offset_ms: i64,
        drift_ppm: i32,
    ) -> Result<(), Unsupported> {
        self.fault("clock", host);
        self.host(host).clock.set(self.now(), offset_ms, drift_ppm);
        self.shared.state.lock().agenda.wake_timers_of(host);
        Ok(())
    }

    fn set_disk(&mut self, host: HostId, profile: DiskProfile) {
        self.fault("disk", host);
        self.disk(host).set_profile(profile);
    }

    fn fail_disk(&mut self, host: HostId, what: Failing, count: u32, dir: Option<&str>) {
        self.fault("disk errors", host);
        self.disk(host).fail(what, count, dir);
    }

    fn corrupt_disk(
        &mut self,
        host: HostId,
        what: Corruption,
        count: u32,
        place: (Place, &str),
    ) -> u32 {
        self.fault("corruption", host);
        self.disk(host).corrupt(what, count, place.0, place.1)
    }

    fn replace_disk(&mut self, host: HostId, dir: Option<&str>) {
        if !self.is_running(host) {
            self.fault("replaced disk", host);
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

impl Leap {
    fn set_paused(&mut self, host: HostId, paused: bool) {
        let Some((process, _)) = &self.host(host).running else { return };
        if process.paused() == paused {
            return;
        }
        process.set_paused(paused);
        let name = if paused { "pause" } else { "resume" };
        self.fault(name, host);
        self.see(host, if paused { What::Paused } else { What::Resumed });
        if !paused {
            let parked = std::mem::take(&mut self.host_mut(host).parked);
            self.shared.ready.unpark(parked);
        }
    }
}

impl Drop for Leap {
    /// Breaks the reference cycle between tasks and the world.
    fn drop(&mut self) {
        for host in &self.hosts {
            if let Some((process, _)) = &host.running {
                process.die();
            }
        }
        for index in 0..self.hosts.len() {
            self.drop_tasks(HostId(index as u16));
        }
        self.shared.ready.clear();
    }
}
