//! Lets faults strike when they are due, and ends them.

mod hardware;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::guests::Refusal;
use super::roles::{Cast, Host, Kind};
use crate::base::{Instant, TopicPartition};
use crate::scenario::Fault;
use crate::scenario::{Action, Moment, Notation};
use crate::sim::disk::DiskProfile;
use crate::sim::{Engine, HostId, Link, Survival};

/// A host whose power was to fail at a disk operation that it does not reach loses it after this.
const ARMED: Duration = Duration::from_secs(1);
/// How closely a moment that a fault waits for is watched.
const CLOSELY: Duration = Duration::from_millis(1);
/// A process that has not ended so long after it was asked to is not going to.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a fault does as long as it lasts, and how it ends.
#[derive(Clone, Debug)]
enum Effect {
    /// These are down, and boot again.
    Down(Vec<HostId>),
    /// These are down, and boot again one after the other, so far apart.
    Staggered(Vec<HostId>, Duration),
    /// These are paused.
    Paused(Vec<HostId>),
    /// Nothing goes from the one to the other.
    Cut(Vec<(HostId, HostId)>),
    /// The power fails at a disk operation, or at the given time.
    Armed(HostId, Survival, Instant),
    /// Asked to end; down from then on.
    Ending(Vec<HostId>, Instant),
    /// Disks of these are not what they were.
    Disk(Vec<HostId>, Action),
    /// Platters of these hold no longer what was written: it stays so.
    Corrupt(Vec<HostId>, Action, TopicPartition),
    /// Clocks of these are wrong, by so many milliseconds and millionths.
    Clock(Vec<HostId>, i64, i32),
    /// Bytes from the one to the other travel like this.
    Slow(Vec<(HostId, HostId)>, Link),
}

impl Effect {
    fn strikes_no_host(&self) -> bool {
        match self {
            Self::Down(hosts)
            | Self::Staggered(hosts, _)
            | Self::Paused(hosts)
            | Self::Ending(hosts, _)
            | Self::Disk(hosts, _)
            | Self::Corrupt(hosts, ..)
            | Self::Clock(hosts, ..) => hosts.is_empty(),
            Self::Cut(pairs) | Self::Slow(pairs, _) => pairs.is_empty(),
            Self::Armed(..) => false,
        }
    }
}

/// A fault that has not struck.
#[derive(Clone, Debug)]
struct Pending {
    fault: Fault,
    /// When it strikes, once its moment has come.
    strikes: Option<Instant>,
}

/// A fault that lasts.
#[derive(Clone, Debug)]
struct Lasting {
    effect: Effect,
    down: Option<Duration>,
    /// When it ends; nothing while it is not known when it began.
    until: Option<Instant>,
}

/// All faults of a run: to come, and lasting.
pub(super) struct Faults {
    topic: String,
    began: Instant,
    /// Those that are not yet due, or wait for somebody to strike.
    to_come: VecDeque<Pending>,
    lasting: Vec<Lasting>,
    /// What every disk is like while nothing is wrong with it.
    disk: DiskProfile,
    /// Brokers whose platters were corrupted.
    corrupted: BTreeSet<HostId>,
    /// How many faults cut each direction.
    cuts: BTreeMap<(HostId, HostId), u32>,
    /// When a fault struck, and of which kind, since somebody last asked.
    pub strikes: Vec<(Instant, &'static str)>,
    /// One line for each that struck.
    pub story: Vec<String>,
    pub struck: u64,
    /// Those that this engine can't do, with its reason.
    pub unable: BTreeSet<String>,
    unable_count: u64,
    /// Processes that did not end when asked to.
    pub deaf: Vec<(Instant, String)>,
}

impl Faults {
    pub fn new(topic: &str, faults: Vec<Fault>, began: Instant) -> Self {
        Self {
            topic: topic.to_owned(),
            began,
            to_come: faults.into_iter().map(|fault| Pending { fault, strikes: None }).collect(),
            lasting: Vec::new(),
            disk: DiskProfile::default(),
            corrupted: BTreeSet::new(),
            cuts: BTreeMap::new(),
            strikes: Vec::new(),
            story: Vec::new(),
            struck: 0,
            unable: BTreeSet::new(),
            unable_count: 0,
            deaf: Vec::new(),
        }
    }

    /// The same where disks are like this.
    pub fn on(self, disk: DiskProfile) -> Self {
        Self { disk, ..self }
    }

    /// Faults that never struck.
    pub fn skipped(&self) -> u64 {
        self.to_come.len() as u64 + self.unable_count
    }

    /// When something is due next, as far as that is known.
    pub fn next(&self, now: Instant) -> Instant {
        let due = self.to_come.iter().filter_map(|pending| {
            let due = pending.strikes.unwrap_or(self.began + pending.fault.at);
            let waits = pending.fault.moment.is_some() && pending.strikes.is_none();
            if due > now { Some(due) } else { waits.then(|| now + CLOSELY) }
        });
        let ends = self.lasting.iter().filter_map(|lasting| lasting.until);
        ends.chain(due).min().unwrap_or(Instant::NEVER)
    }

    /// Does everything that is due now.
    pub fn step<E: Engine>(&mut self, engine: &mut E, cast: &mut Cast) {
        let now = engine.now();
        self.follow(engine, cast, now);
        let (ended, lasting) = std::mem::take(&mut self.lasting)
            .into_iter()
            .partition(|lasting| lasting.until.is_some_and(|until| until <= now));
        self.lasting = lasting;
        for lasting in ended {
            self.end(engine, lasting.effect);
        }
        self.meet(cast);
        let mut index = 0;
        while let Some(pending) = self.to_come.get(index) {
            let fault = &pending.fault;
            if self.began + fault.at > now {
                break;
            }
            let settled = self.lasting.is_empty() && cast.settled();
            let early = pending.strikes.is_none_or(|strikes| strikes > now);
            if fault.settled && !settled || fault.moment.is_some() && early {
                index += 1;
                continue;
            }
            let fault = fault.clone();
            if self.strike(engine, cast, &fault, now) {
                self.to_come.remove(index);
                continue;
            }
            // Nobody was there at its moment: it waits for the next one.
            if let Some(pending) = self.to_come.get_mut(index) {
                pending.strikes = None;
            }
            index += 1;
        }
    }

    /// Lets faults strike that somebody orders now. What they do at once is told; what has several
    /// parts, or a moment to wait for, joins those to come.
    pub fn strike_now<E: Engine>(
        &mut self,
        engine: &mut E,
        cast: &mut Cast,
        ordered: Vec<Fault>,
    ) -> Result<String, Refusal> {
        let now = engine.now();
        if let [fault] = ordered.as_slice()
            && fault.moment.is_none()
            && !fault.settled
        {
            let (told, unable) = (self.story.len(), self.unable_count);
            if !self.strike(engine, cast, fault, now) {
                return Err(Refusal::Nobody);
            }
            if self.unable_count > unable {
                let why = self.unable.last().cloned().unwrap_or_default();
                return Err(Refusal::Unsupported(why));
            }
            return Ok(self.story.get(told).cloned().unwrap_or_default());
        }
        let first = ordered.first().map_or(Duration::ZERO, |fault| fault.at);
        let kinds: Vec<_> = ordered.iter().map(|fault| fault.action.kind()).collect();
        for fault in ordered {
            let at = now.since(self.began) + fault.at.saturating_sub(first);
            let place = self.to_come.partition_point(|pending| pending.fault.at <= at);
            let fault = Fault { at, ..fault };
            self.to_come.insert(place, Pending { fault, strikes: None });
        }
        Ok(format!("to come: {}", kinds.join(", ")))
    }

    /// Sets those going whose moment has come since the last look.
    fn meet(&mut self, cast: &mut Cast) {
        for (at, event, place) in std::mem::take(&mut cast.moments) {
            for pending in &mut self.to_come {
                let Some(Moment { event: awaited, delay }) = pending.fault.moment else { continue };
                let here = place.as_ref().is_none_or(|p| p.partition == pending.fault.partition);
                let due = self.began + pending.fault.at <= at;
                if pending.strikes.is_none() && awaited == event && here && due {
                    pending.strikes = Some(at + delay);
                }
            }
        }
    }

    /// Ends everything that lasts, and lets nothing more come.
    pub fn heal<E: Engine>(&mut self, engine: &mut E) {
        for lasting in std::mem::take(&mut self.lasting) {
            self.end(engine, lasting.effect);
        }
    }

    /// Moves on those whose beginning was not in our hands.
    fn follow<E: Engine>(&mut self, engine: &mut E, cast: &Cast, now: Instant) {
        for lasting in &mut self.lasting {
            match &lasting.effect {
                Effect::Armed(host, survival, limit) => {
                    if engine.is_running(*host) {
                        if now < *limit {
                            continue;
                        }
                        engine.power_loss(*host, survival.clone());
                    }
                    lasting.effect = Effect::Down(vec![*host]);
                }
                Effect::Ending(hosts, limit) => {
                    let late: Vec<_> =
                        hosts.iter().copied().filter(|host| engine.is_running(*host)).collect();
                    if !late.is_empty() && now < *limit {
                        continue;
                    }
                    for host in late {
                        let name = cast.host(host).map_or("", |host| host.name.as_str());
                        self.deaf.push((now, name.to_owned()));
                        engine.kill(host);
                    }
                    lasting.effect = Effect::Down(hosts.clone());
                }
                _ => continue,
            }
            lasting.until = lasting.down.map(|down| now + down);
        }
    }

    fn end<E: Engine>(&mut self, engine: &mut E, effect: Effect) {
        match effect {
            Effect::Down(hosts) | Effect::Staggered(hosts, _) => {
                for host in hosts {
                    if !engine.is_running(host) {
                        engine.boot(host);
                    }
                }
            }
            Effect::Paused(hosts) => hosts.into_iter().for_each(|host| engine.resume(host)),
            Effect::Disk(hosts, action) => self.heal_disks(engine, &hosts, &action),
            Effect::Corrupt(hosts, action, _) => self.heal_disks(engine, &hosts, &action),
            Effect::Clock(hosts, ..) => {
                for host in hosts {
                    let _ = self.set_clock(engine, host);
                }
            }
            Effect::Slow(pairs, _) => {
                for (from, to) in pairs {
                    let _ = self.set_link(engine, from, to);
                }
            }
            Effect::Cut(pairs) => {
                for (from, to) in pairs {
                    let Some(count) = self.cuts.get_mut(&(from, to)) else { continue };
                    *count -= 1;
                    if *count == 0 {
                        self.cuts.remove(&(from, to));
                        engine.mend(from, to);
                    }
                }
            }
            // The heal comes before the power failed: it fails now, and comes back at once.
            Effect::Armed(host, survival, _) => {
                if engine.is_running(host) {
                    engine.power_loss(host, survival);
                }
                engine.boot(host);
            }
            // Those that have not ended by now are waited for while the cluster converges.
            Effect::Ending(hosts, _) => {
                for host in hosts {
                    if !engine.is_running(host) {
                        engine.boot(host);
                    }
                }
            }
        }
    }

    /// Whether there was somebody to strike.
    fn strike<E: Engine>(
        &mut self,
        engine: &mut E,
        cast: &mut Cast,
        fault: &Fault,
        now: Instant,
    ) -> bool {
        let partition = TopicPartition::new(self.topic.as_str(), fault.partition);
        let running = |host: &Host| host.up && !host.paused;
        let hosts =
            |roles, fits: &dyn Fn(&Host) -> bool| cast.resolve(roles, &partition, fault.pick, fits);
        let (effect, what) = match &fault.action {
            Action::Kill { target } => {
                let hosts = hosts(target, &running);
                hosts.iter().for_each(|host| engine.kill(*host));
                let what = format!("kill of {}", cast.describe(&hosts, &partition));
                (Effect::Down(hosts), what)
            }
            Action::PowerLoss { target, survival, operation, stagger } => {
                let hosts = hosts(target, &running);
                let what = format!("power-loss of {}", cast.describe(&hosts, &partition));
                let operation = operation.as_ref().map(|operation| operation.low);
                let stagger = stagger.as_ref().map(|stagger| stagger.low);
                power_loss(engine, hosts, (survival, operation, stagger), what)
            }
            Action::Pause { target } => {
                let hosts = hosts(target, &running);
                hosts.iter().for_each(|host| engine.pause(*host));
                let what = format!("pause of {}", cast.describe(&hosts, &partition));
                (Effect::Paused(hosts), what)
            }
            Action::Partition { from, to, one_way } => {
                let (from, to) = (hosts(from, &|_| true), hosts(to, &|_| true));
                let pairs = self.cut(engine, &from, &to, *one_way);
                let way = if *one_way { "to" } else { "from and to" };
                let what = format!(
                    "{} cut off {way} {}",
                    cast.describe(&from, &partition),
                    cast.describe(&to, &partition)
                );
                (Effect::Cut(pairs), what)
            }
            Action::Restart { target } => {
                let answers = |host: &Host| host.up && !host.paused && host.ready;
                let hosts = hosts(target, &answers);
                hosts.iter().for_each(|host| engine.terminate(*host));
                let what = format!("restart of {}", cast.describe(&hosts, &partition));
                (Effect::Ending(hosts, now + PATIENCE), what)
            }
            other => match self.unsound(cast, other, &partition, fault.pick) {
                Some(effect) => effect,
                // A schedule names what it is made of.
                None => return true,
            },
        };
        if effect.strikes_no_host() {
            return false;
        }
        self.mark(cast, &effect);
        let until = match effect {
            Effect::Armed(..) | Effect::Ending(..) => None,
            _ => fault.down.map(|down| now + down),
        };
        match effect {
            Effect::Staggered(hosts, gap) => {
                let mut until = until;
                for host in hosts {
                    let effect = Effect::Down(vec![host]);
                    self.lasting.push(Lasting { effect, down: fault.down, until });
                    until = until.map(|until| until + gap);
                }
            }
            effect => self.lasting.push(Lasting { effect, down: fault.down, until }),
        }
        if let Err(why) = self.apply(engine) {
            self.lasting.pop();
            self.unable.insert(why.to_string());
            self.unable_count += 1;
            return true;
        }
        let lasts =
            fault.down.map_or("until the end".into(), |down| format!("for {}", down.show()));
        let when = fault.moment.map_or(String::new(), |moment| {
            let (key, word) = moment.event.words();
            format!(", {key} {word}")
        });
        self.story.push(format!("{:.3} s: {what}, {lasts}{when}", now.as_secs_f64()));
        self.strikes.push((now, fault.action.kind()));
        self.struck += 1;
        true
    }

    /// What was just done is known here before it is observed, so that two faults that are due at
    /// one moment don't strike the same host.
    fn mark(&self, cast: &mut Cast, effect: &Effect) {
        let (hosts, paused) = match effect {
            Effect::Down(hosts) | Effect::Staggered(hosts, _) | Effect::Ending(hosts, _) => {
                (hosts.as_slice(), false)
            }
            Effect::Armed(host, ..) => (std::slice::from_ref(host), false),
            Effect::Paused(hosts) => (hosts.as_slice(), true),
            _ => return,
        };
        for host in cast.hosts.iter_mut().filter(|host| hosts.contains(&host.id)) {
            if paused {
                host.paused = true;
            } else {
                host.up = false;
                host.ready = false;
            }
        }
    }

    fn cut<E: Engine>(
        &mut self,
        engine: &mut E,
        from: &[HostId],
        to: &[HostId],
        one_way: bool,
    ) -> Vec<(HostId, HostId)> {
        let pairs = pairs(from, to, one_way);
        for (one, other) in &pairs {
            let count = self.cuts.entry((*one, *other)).or_insert(0);
            *count += 1;
            if *count == 1 {
                engine.cut(*one, *other);
            }
        }
        pairs
    }
}

/// Cuts the power of hosts: at once, or of a single one before its n-th disk operation from now.
fn power_loss<E: Engine>(
    engine: &mut E,
    hosts: Vec<HostId>,
    (survival, operation, stagger): (&Survival, Option<u64>, Option<Duration>),
    what: String,
) -> (Effect, String) {
    if let ([host], Some(operation)) = (hosts.as_slice(), operation) {
        engine.power_loss_at(*host, operation, survival.clone());
        let limit = engine.now() + ARMED;
        let what = format!("{what} before its disk operation {operation}");
        return (Effect::Armed(*host, survival.clone(), limit), what);
    }
    hosts.iter().for_each(|host| engine.power_loss(*host, survival.clone()));
    match stagger {
        Some(stagger) if hosts.len() > 1 => {
            let what = format!("{what}, back {} apart", stagger.show());
            (Effect::Staggered(hosts, stagger), what)
        }
        _ => (Effect::Down(hosts), what),
    }
}

/// The directions between two sides.
fn pairs(from: &[HostId], to: &[HostId], one_way: bool) -> Vec<(HostId, HostId)> {
    let mut pairs = Vec::new();
    for one in from {
        // `from` against `everyone` means all others: a side is not cut off from itself.
        for other in to.iter().filter(|other| !from.contains(other)) {
            pairs.push((*one, *other));
            if !one_way {
                pairs.push((*other, *one));
            }
        }
    }
    pairs
}

/// Whether a host holds a place in the cluster that a heal must fill again.
pub(super) fn is_node(kind: Kind) -> bool {
    matches!(kind, Kind::Broker(_) | Kind::Controller)
}
