//! Lets faults strike when they are due, and ends them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::roles::{Cast, Host, Kind};
use crate::base::{Instant, TopicPartition};
use crate::lab::scenario::{Action, Notation};
use crate::lab::schedule::Fault;
use crate::sim::{Engine, HostId, Survival};

/// A host whose power was to fail at a disk operation that it does not reach loses it after this.
const ARMED: Duration = Duration::from_secs(1);
/// A process that has not ended so long after it was asked to is not going to.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a fault does as long as it lasts, and how it ends.
#[derive(Clone, Debug)]
enum Effect {
    /// These are down, and boot again.
    Down(Vec<HostId>),
    /// These are paused.
    Paused(Vec<HostId>),
    /// Nothing goes from the one to the other.
    Cut(Vec<(HostId, HostId)>),
    /// The power fails at a disk operation, or at the given time.
    Armed(HostId, Survival, Instant),
    /// Asked to end; down from then on.
    Ending(Vec<HostId>, Instant),
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
    to_come: VecDeque<Fault>,
    lasting: Vec<Lasting>,
    /// How many faults cut each direction.
    cuts: BTreeMap<(HostId, HostId), u32>,
    /// One line for each that struck.
    pub story: Vec<String>,
    pub struck: u64,
    /// Processes that did not end when asked to.
    pub deaf: Vec<(Instant, String)>,
}

impl Faults {
    pub fn new(topic: &str, faults: Vec<Fault>, began: Instant) -> Self {
        Self {
            topic: topic.to_owned(),
            began,
            to_come: faults.into(),
            lasting: Vec::new(),
            cuts: BTreeMap::new(),
            story: Vec::new(),
            struck: 0,
            deaf: Vec::new(),
        }
    }

    /// Faults that never struck.
    pub fn skipped(&self) -> u64 {
        self.to_come.len() as u64
    }

    /// When something is due next, as far as that is known.
    pub fn next(&self, now: Instant) -> Instant {
        let due = self.to_come.iter().map(|fault| self.began + fault.at).find(|due| *due > now);
        let ends = self.lasting.iter().filter_map(|lasting| lasting.until);
        ends.chain(due).min().unwrap_or(Instant::NEVER)
    }

    /// Does everything that is due now.
    pub fn step<E: Engine>(&mut self, engine: &mut E, cast: &mut Cast) {
        let now = engine.now();
        self.follow(engine, cast, now);
        for lasting in std::mem::take(&mut self.lasting) {
            if lasting.until.is_some_and(|until| until <= now) {
                self.end(engine, lasting.effect);
            } else {
                self.lasting.push(lasting);
            }
        }
        let mut index = 0;
        while let Some(fault) = self.to_come.get(index) {
            if self.began + fault.at > now {
                break;
            }
            if fault.settled && !(self.lasting.is_empty() && cast.settled()) {
                index += 1;
                continue;
            }
            let fault = fault.clone();
            if self.strike(engine, cast, &fault, now) {
                self.to_come.remove(index);
            } else {
                index += 1;
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
            Effect::Down(hosts) => {
                for host in hosts {
                    if !engine.is_running(host) {
                        engine.boot(host);
                    }
                }
            }
            Effect::Paused(hosts) => hosts.into_iter().for_each(|host| engine.resume(host)),
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
            Action::PowerLoss { target, survival, operation } => {
                let hosts = hosts(target, &running);
                let what = format!("power-loss of {}", cast.describe(&hosts, &partition));
                match (hosts.as_slice(), operation) {
                    ([host], Some(operation)) => {
                        engine.power_loss_at(*host, operation.low, survival.clone());
                        let what = format!("{what} before its disk operation {}", operation.low);
                        (Effect::Armed(*host, survival.clone(), now + ARMED), what)
                    }
                    (hosts, _) => {
                        hosts.iter().for_each(|host| engine.power_loss(*host, survival.clone()));
                        (Effect::Down(hosts.to_vec()), what)
                    }
                }
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
            Action::RollingRestart => return true,
        };
        let nobody = match &effect {
            Effect::Down(hosts) | Effect::Paused(hosts) | Effect::Ending(hosts, _) => {
                hosts.is_empty()
            }
            Effect::Cut(pairs) => pairs.is_empty(),
            Effect::Armed(..) => false,
        };
        if nobody {
            return false;
        }
        self.mark(cast, &effect);
        let until = match effect {
            Effect::Armed(..) | Effect::Ending(..) => None,
            _ => fault.down.map(|down| now + down),
        };
        let lasts =
            fault.down.map_or("until the end".into(), |down| format!("for {}", down.show()));
        self.story.push(format!("{:.3} s: {what}, {lasts}", now.as_secs_f64()));
        self.struck += 1;
        self.lasting.push(Lasting { effect, down: fault.down, until });
        true
    }

    /// What was just done is known here before it is observed, so that two faults that are due at
    /// one moment don't strike the same host.
    fn mark(&self, cast: &mut Cast, effect: &Effect) {
        let (hosts, paused) = match effect {
            Effect::Down(hosts) | Effect::Ending(hosts, _) => (hosts.as_slice(), false),
            Effect::Armed(host, ..) => (std::slice::from_ref(host), false),
            Effect::Paused(hosts) => (hosts.as_slice(), true),
            Effect::Cut(_) => return,
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

/// Whether a host holds a place in the cluster that a heal must fill again.
pub(super) fn is_node(kind: Kind) -> bool {
    matches!(kind, Kind::Broker(_) | Kind::Controller)
}
