//! The state that faults act on: active faults and their combined effect.
//!
//! Several faults may be active on one host or link. Disks, clocks and links get the combination of
//! all active faults; a direction works again when every fault that cut it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{Instant, TopicPartition};
use crate::run::roles::{Host, Hosts, Kind};
use crate::scenario::fault::{Fits, Hit, Scene, Stage, Strike, TopicChange};
use crate::scenario::{Action, Roles};
use crate::sim::disk::{Corruption, DiskProfile, Failing, Place};
use crate::sim::{Engine, HostId, Link, Survival, Unsupported};

/// An active fault.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    pub action: Action,
    pub hit: Hit,
    pub struck: Instant,
    /// How long it lasts once it has begun; until the heal when absent.
    pub down: Option<Duration>,
    /// Whether it has begun: some faults begin later than they strike.
    pub begun: bool,
    /// When it ends, if known.
    pub until: Option<Instant>,
}

impl Lasting {
    /// Its implementation. A series is never active: a schedule expands it.
    pub fn strike(&self) -> Option<&dyn Strike> {
        self.action.as_strike()
    }
}

/// All active faults, and their lasting effects.
#[derive(Default)]
pub(super) struct Ongoing {
    pub lasting: Vec<Lasting>,
    /// The profile of a disk without faults.
    pub disk: DiskProfile,
    /// Links that are slow without a fault.
    pub links: BTreeMap<(HostId, HostId), Link>,
    /// Processes that ignored SIGTERM.
    pub deaf: Vec<(Instant, String)>,
    /// What an admin client has to do, in order.
    pub changes: Vec<TopicChange>,
    /// Brokers whose platters were corrupted.
    corrupted: BTreeSet<HostId>,
    /// How many faults cut each direction.
    cuts: BTreeMap<(HostId, HostId), u32>,
}

impl Ongoing {
    /// Whether enough brokers keep an intact copy if this one does not.
    fn may_corrupt(&self, hosts: &Hosts, host: &Host, intact: u64) -> bool {
        let is_broker = |other: &&Host| matches!(other.kind, Kind::Broker(_));
        let brokers = hosts.all.iter().filter(is_broker);
        let sound =
            brokers.filter(|other| other.id != host.id && !self.corrupted.contains(&other.id));
        self.corrupted.contains(&host.id) || sound.count() as u64 >= intact
    }

    fn strikes_on(&self, host: HostId) -> impl Iterator<Item = &dyn Strike> {
        let here = self.lasting.iter().filter(move |lasting| lasting.hit.hosts.contains(&host));
        here.filter_map(Lasting::strike)
    }

    fn disk_of(&self, host: HostId) -> DiskProfile {
        let slowdown = self.strikes_on(host).map(Strike::slowdown).max().unwrap_or(1);
        // Slowness first: the length of a stall does not depend on it.
        let mut profile = self.disk.clone().slower(slowdown);
        self.strikes_on(host).for_each(|strike| strike.alter_disk(&mut profile));
        profile
    }
}

/// The cluster as a fault sees it when it selects targets.
pub(super) struct View<'a> {
    pub hosts: &'a Hosts,
    pub ongoing: &'a Ongoing,
    pub partition: &'a TopicPartition,
    pub pick: u64,
}

impl Scene for View<'_> {
    fn partition(&self) -> &TopicPartition {
        self.partition
    }

    fn hosts(&self, roles: &Roles, fits: Fits) -> Vec<HostId> {
        let running = |host: &Host| host.up && !host.paused;
        let fits = |host: &Host| match fits {
            Fits::All => true,
            Fits::Up => host.up,
            Fits::Running => running(host),
            Fits::Answering => running(host) && host.ready,
            Fits::RunningBroker => running(host) && matches!(host.kind, Kind::Broker(_)),
            Fits::Corruptible { intact } => {
                running(host) && self.ongoing.may_corrupt(self.hosts, host, intact)
            }
        };
        self.hosts.resolve(roles, self.partition, self.pick, fits)
    }

    fn others(&self, roles: &Roles, than: &[HostId]) -> Vec<HostId> {
        let other = |host: &Host| !than.contains(&host.id);
        self.hosts.resolve(roles, self.partition, self.pick, other)
    }

    fn describe(&self, hosts: &[HostId]) -> String {
        self.hosts.describe(hosts, self.partition)
    }
}

/// What a fault can act on.
pub(super) struct Floor<'a, E> {
    pub engine: &'a mut E,
    pub hosts: &'a mut Hosts,
    pub ongoing: &'a mut Ongoing,
}

impl<E> Floor<'_, E> {
    /// Updated before it is observed, so that two faults that are due at the same time don't strike
    /// the same host.
    fn mark(&mut self, host: HostId, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.all.iter_mut().find(|other| other.id == host) {
            change(host);
        }
    }

    fn mark_down(&mut self, host: HostId) {
        self.mark(host, |host| {
            host.up = false;
            host.ready = false;
        });
    }
}

impl<E: Engine> Stage for Floor<'_, E> {
    fn now(&self) -> Instant {
        self.engine.now()
    }

    fn is_running(&self, host: HostId) -> bool {
        self.engine.is_running(host)
    }

    fn kill(&mut self, host: HostId) {
        self.engine.kill(host);
        self.mark_down(host);
    }

    fn power_loss(&mut self, host: HostId, survival: &Survival) {
        self.engine.power_loss(host, survival.clone());
        self.mark_down(host);
    }

    fn power_loss_at(&mut self, host: HostId, operation: u64, survival: &Survival) {
        self.engine.power_loss_at(host, operation, survival.clone());
        self.mark_down(host);
    }

    fn terminate(&mut self, host: HostId) {
        self.engine.terminate(host);
        self.mark_down(host);
    }

    fn pause(&mut self, host: HostId) {
        self.engine.pause(host);
        self.mark(host, |host| host.paused = true);
    }

    fn resume(&mut self, host: HostId) {
        self.engine.resume(host);
    }

    fn boot(&mut self, host: HostId) {
        if !self.engine.is_running(host) {
            self.engine.boot(host);
        }
    }

    fn revive(&mut self, host: HostId) {
        if !self.ongoing.strikes_on(host).any(Strike::holds_down) {
            self.boot(host);
        }
    }

    fn report_deaf(&mut self, host: HostId) {
        let name = self.hosts.host(host).map_or("", |host| host.name.as_str()).to_owned();
        self.ongoing.deaf.push((self.engine.now(), name));
    }

    fn cut(&mut self, from: HostId, to: HostId) {
        let count = self.ongoing.cuts.entry((from, to)).or_insert(0);
        *count += 1;
        if *count == 1 {
            self.engine.cut(from, to);
        }
    }

    fn reconnect(&mut self, from: HostId, to: HostId) {
        let Some(count) = self.ongoing.cuts.get_mut(&(from, to)) else { return };
        *count -= 1;
        if *count == 0 {
            self.ongoing.cuts.remove(&(from, to));
            self.engine.heal(from, to);
        }
    }

    fn refit_disk(&mut self, host: HostId) {
        self.engine.set_disk(host, self.ongoing.disk_of(host));
    }

    fn refit_clock(&mut self, host: HostId) -> Result<(), Unsupported> {
        let (mut offset_ms, mut ppm) = (0i64, 0i32);
        for error in self.ongoing.strikes_on(host).map(Strike::clock) {
            offset_ms = offset_ms.saturating_add(error.offset_ms);
            ppm = ppm.saturating_add(error.ppm);
        }
        self.engine.set_clock(host, offset_ms, ppm)
    }

    fn refit_link(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported> {
        let here = || {
            let here = self.ongoing.lasting.iter().rev();
            here.filter(|lasting| lasting.hit.links.contains(&(from, to)))
                .filter_map(Lasting::strike)
        };
        let without = || self.ongoing.links.get(&(from, to)).cloned().unwrap_or_default();
        let mut link = here().find_map(Strike::link).unwrap_or_else(without);
        link.damage = here().find_map(Strike::damage);
        link.mishaps = here().filter_map(Strike::mishap).collect();
        self.engine.set_link(from, to, link)
    }

    fn fail_disk(&mut self, host: HostId, what: Failing, count: u32, dir: Option<&str>) {
        self.engine.fail_disk(host, what, count, dir);
    }

    fn corrupt_disk(&mut self, host: HostId, what: Corruption, pages: u32, at: (Place, &str)) {
        if self.engine.corrupt_disk(host, what, pages, at) > 0 {
            self.ongoing.corrupted.insert(host);
        }
    }

    fn replace_disk(&mut self, host: HostId, dir: Option<&str>) {
        self.engine.replace_disk(host, dir);
    }

    fn administer(&mut self, change: TopicChange) {
        self.ongoing.changes.push(change);
    }
}
