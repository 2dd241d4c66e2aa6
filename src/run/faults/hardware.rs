//! Faults of hardware: disks, clocks and links that work, but not as they should. Several may last
//! at once on one host; what it gets is what all that last come to.

use super::{Effect, Faults};
use crate::base::TopicPartition;
use crate::run::roles::{Cast, Host, Kind};
use crate::scenario::{Action, Notation, Roles};
use crate::sim::disk::{Corruption, DiskProfile, Failing, Place};
use crate::sim::{Engine, HostId, Link, Unsupported};

impl Faults {
    /// What such a fault does and how it is told. Nothing is done yet.
    pub(super) fn unsound(
        &self,
        cast: &Cast,
        action: &Action,
        partition: &TopicPartition,
        pick: u64,
    ) -> Option<(Effect, String)> {
        let hosts = |roles: &Roles, fits: &dyn Fn(&Host) -> bool| {
            cast.resolve(roles, partition, pick, fits)
        };
        let up = |host: &Host| host.up;
        let disk = |target: &Roles, what: String| {
            let hosts = hosts(target, &up);
            let what = format!("{what} of {}", cast.describe(&hosts, partition));
            Some((Effect::Disk(hosts, action.clone()), what))
        };
        let clock = |target: &Roles, offset_ms: i64, ppm: i32, what: String| {
            let hosts = hosts(target, &up);
            let what = format!("clock of {} {what}", cast.describe(&hosts, partition));
            Some((Effect::Clock(hosts, offset_ms, ppm), what))
        };
        match action {
            Action::SlowDisk { target, factor } => {
                disk(target, format!("{} times slower disk", factor.low))
            }
            Action::DiskStall { target, stall } => {
                disk(target, format!("syncs that hang for {stall}, disk"))
            }
            Action::DiskFull { target } => disk(target, "full disk".into()),
            Action::DiskError { target, what, count, dir } => {
                let what = match what {
                    Failing::Sync => "failing syncs",
                    Failing::SyncFull => "syncs without space",
                    Failing::WriteBack => "errors told late",
                    Failing::Write => "short writes",
                    Failing::Rename => "failing renames",
                    Failing::Read => "failing reads",
                };
                let of = dir.as_deref().unwrap_or("disk");
                disk(target, format!("{} {what}, {of}", count.low))
            }
            Action::DiskLies { target } => disk(target, "lying disk".into()),
            Action::Corruption { target, what, pages, place, intact } => {
                // What a paused process was about to send was verified before.
                let awake = |host: &Host| host.up && !host.paused;
                let hosts =
                    hosts(target, &|host| awake(host) && self.may_corrupt(cast, host, *intact));
                let what = match what {
                    Corruption::BitRot => "rotten pages",
                    Corruption::LatentError => "unreadable pages",
                    Corruption::MisdirectedWrite => "misdirected writes",
                    Corruption::LostWrite => "lost writes",
                    Corruption::StaleRead => "stale reads",
                };
                let on = cast.describe(&hosts, partition);
                let of = match place {
                    Place::Disk => "disk".to_owned(),
                    Place::Log => format!("log of {partition}"),
                    Place::Cold => format!("cold segments of {partition}"),
                };
                let what = format!("{} {what}, {of} of {on}", pages.low);
                Some((Effect::Corrupt(hosts, action.clone(), partition.clone()), what))
            }
            Action::DirFailure { target, dir } => disk(target, format!("broken {dir}")),
            Action::ClockJump { target, by, back } => {
                let ms = i64::try_from(by.low.as_millis()).unwrap_or(i64::MAX);
                let (sign, way) = if *back { (-1, "back") } else { (1, "ahead") };
                clock(target, sign * ms, 0, format!("jumps {} {way}", by.low.show()))
            }
            Action::ClockDrift { target, ppm, slow } => {
                let rate = i32::try_from(ppm.low).unwrap_or(i32::MAX);
                let (sign, way) = if *slow { (-1, "slow") } else { (1, "fast") };
                clock(target, 0, sign * rate, format!("runs {} ppm {way}", ppm.low))
            }
            Action::SlowLink { from, to, one_way, latency, bandwidth, loss } => {
                let (from, to) = (hosts(from, &|_| true), hosts(to, &|_| true));
                let pairs = super::pairs(&from, &to, *one_way);
                let link = Link {
                    latency: latency.low..=latency.high,
                    bandwidth: bandwidth.map(|bytes| bytes.low),
                    loss: loss.map_or(0.0, |percent| percent.low as f64 / 100.0),
                };
                let way = if *one_way { "to" } else { "from and to" };
                let (from, to) = (cast.describe(&from, partition), cast.describe(&to, partition));
                Some((Effect::Slow(pairs, link), format!("{from} slow {way} {to}")))
            }
            _ => None,
        }
    }

    /// Does what the fault that lasts since now needs.
    pub(super) fn apply<E: Engine>(&mut self, engine: &mut E) -> Result<(), Unsupported> {
        match self.lasting.last().map(|lasting| &lasting.effect) {
            Some(Effect::Disk(hosts, action)) => {
                let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
                for host in hosts {
                    match action {
                        Action::DiskError { what, count, dir, .. } => {
                            engine.fail_disk(*host, *what, number(count.low), dir.as_deref());
                        }
                        _ => engine.set_disk(*host, self.disk_of(*host)),
                    }
                }
                Ok(())
            }
            Some(Effect::Corrupt(hosts, action, partition)) => {
                let Action::Corruption { what, pages, place, .. } = action else { return Ok(()) };
                let count = u32::try_from(pages.low).unwrap_or(u32::MAX);
                let log = partition.to_string();
                for host in hosts {
                    if engine.corrupt_disk(*host, *what, count, (*place, &log)) > 0 {
                        self.corrupted.insert(*host);
                    }
                }
                Ok(())
            }
            Some(Effect::Clock(hosts, ..)) => {
                hosts.iter().try_for_each(|host| self.set_clock(engine, *host))
            }
            Some(Effect::Slow(pairs, _)) => {
                pairs.iter().try_for_each(|(from, to)| self.set_link(engine, *from, *to))
            }
            _ => Ok(()),
        }
    }

    /// A disk is well again, and whoever gave up because of it is started again.
    pub(super) fn heal_disks<E: Engine>(&self, engine: &mut E, hosts: &[HostId], was: &Action) {
        for host in hosts {
            match was {
                Action::DiskError { what, .. } => engine.fail_disk(*host, *what, 0, None),
                // What is corrupt stays so.
                Action::Corruption { .. } => {}
                _ => engine.set_disk(*host, self.disk_of(*host)),
            }
            let held_down = self.lasting.iter().any(|lasting| match &lasting.effect {
                Effect::Down(hosts) | Effect::Ending(hosts, _) => hosts.contains(host),
                Effect::Armed(armed, ..) => armed == host,
                _ => false,
            });
            if !held_down && !engine.is_running(*host) {
                engine.boot(*host);
            }
        }
    }

    /// Whether enough brokers keep an intact copy if this one does not.
    fn may_corrupt(&self, cast: &Cast, host: &Host, intact: u64) -> bool {
        let is_broker = |other: &&Host| matches!(other.kind, Kind::Broker(_));
        let brokers = cast.hosts.iter().filter(is_broker);
        let sound =
            brokers.filter(|other| other.id != host.id && !self.corrupted.contains(&other.id));
        self.corrupted.contains(&host.id) || sound.count() as u64 >= intact
    }

    fn disk_of(&self, host: HostId) -> DiskProfile {
        let faults: Vec<&Action> = self
            .lasting
            .iter()
            .filter_map(|lasting| match &lasting.effect {
                Effect::Disk(hosts, action) if hosts.contains(&host) => Some(action),
                _ => None,
            })
            .collect();
        let factors = faults.iter().map(|action| match action {
            Action::SlowDisk { factor, .. } => u32::try_from(factor.low).unwrap_or(u32::MAX),
            _ => 1,
        });
        // Slowness first: a stall says how long it is, on whatever disk.
        let mut profile = self.disk.clone().slower(factors.max().unwrap_or(1));
        for action in faults {
            match action {
                Action::DiskStall { stall, .. } => {
                    profile.stall_one_in = 1;
                    profile.stall = stall.low..=stall.high;
                }
                // What is there stays there; not a page more fits.
                Action::DiskFull { .. } => profile.capacity = Some(0),
                Action::DiskLies { .. } => profile.lies = true,
                Action::DirFailure { dir, .. } => profile.dead = Some(dir.clone()),
                _ => {}
            }
        }
        profile
    }

    pub(super) fn set_clock<E: Engine>(
        &self,
        engine: &mut E,
        host: HostId,
    ) -> Result<(), Unsupported> {
        let (mut offset_ms, mut ppm) = (0i64, 0i32);
        for lasting in &self.lasting {
            if let Effect::Clock(hosts, ms, rate) = &lasting.effect
                && hosts.contains(&host)
            {
                offset_ms = offset_ms.saturating_add(*ms);
                ppm = ppm.saturating_add(*rate);
            }
        }
        engine.set_clock(host, offset_ms, ppm)
    }

    pub(super) fn set_link<E: Engine>(
        &self,
        engine: &mut E,
        from: HostId,
        to: HostId,
    ) -> Result<(), Unsupported> {
        let links = self.lasting.iter().rev().filter_map(|lasting| match &lasting.effect {
            Effect::Slow(pairs, link) if pairs.contains(&(from, to)) => Some(link.clone()),
            _ => None,
        });
        let link = links.into_iter().next().unwrap_or_default();
        engine.set_link(from, to, link)
    }
}
