//! Injects faults when they are due, and ends them.

mod reasons;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use self::stage::{Floor, Lasting, Ongoing, View};
use super::roles::{Hosts, Kind};
use crate::base::{Instant, TopicPartition};
use crate::check::Touched;
use crate::scenario::fault::{Begins, SlowLink, Strike, TopicChange};
use crate::scenario::{Fault, Moment, Notation};
use crate::sim::disk::DiskProfile;
use crate::sim::{Engine, HostId};

/// How often to check for an event that a fault waits for.
const CLOSELY: Duration = Duration::from_millis(1);

/// Why a fault did not strike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No host fits its target now.
    NoHost,
    /// The fault is invalid.
    Wrong(String),
    /// The engine does not support it.
    Unsupported(String),
}

/// A fault that has not struck.
#[derive(Clone, Debug)]
struct Pending {
    fault: Fault,
    /// When it strikes, once the event that it waits for has happened.
    strikes: Option<Instant>,
    /// Why it did not strike when it was due.
    why: Option<String>,
}

impl Pending {
    fn new(fault: Fault) -> Self {
        Self { fault, strikes: None, why: None }
    }
}

/// All faults of a run: pending and active.
pub(super) struct Faults {
    /// The topic for faults that name none.
    topic: String,
    began: Instant,
    /// Faults that are not due yet, or wait for a host that fits.
    to_come: VecDeque<Pending>,
    ongoing: Ongoing,
    /// Time and kind of each strike since the last call of `drain`.
    pub strikes: Vec<(Instant, &'static str)>,
    /// The hosts that each strike hit, and those at the ends of links.
    pub hits: Vec<BTreeSet<HostId>>,
    /// One line per fault that struck.
    pub story: Vec<String>,
    pub struck: u64,
    /// Faults that this engine does not support, with the reason.
    pub unable: BTreeSet<String>,
    unable_count: u64,
    /// Rules whose strikes are due after the end, in words.
    late: Vec<String>,
}

impl Faults {
    pub fn new(topic: &str, faults: Vec<Fault>, began: Instant) -> Self {
        Self {
            topic: topic.to_owned(),
            began,
            to_come: faults.into_iter().map(Pending::new).collect(),
            ongoing: Ongoing::default(),
            strikes: Vec::new(),
            hits: Vec::new(),
            story: Vec::new(),
            struck: 0,
            unable: BTreeSet::new(),
            unable_count: 0,
            late: Vec::new(),
        }
    }

    /// Rules whose strikes are due after the end, in words.
    pub fn and_late(mut self, late: Vec<String>) -> Self {
        self.late = late;
        self
    }

    /// The same, with disks of this profile.
    pub fn on(mut self, disk: DiskProfile) -> Self {
        self.ongoing.disk = disk;
        self
    }

    /// Lays links that are slow all the time between hosts that have these roles now.
    pub fn lay<E: Engine>(&mut self, links: &[SlowLink], engine: &mut E, hosts: &Hosts) {
        let partition = TopicPartition::new(self.topic.as_str(), 0);
        for slow in links {
            let view = View { hosts, ongoing: &self.ongoing, partition: &partition, pick: 0 };
            let (hit, link) = (slow.aim(&view), slow.link().unwrap_or_default());
            for (from, to) in hit.links {
                match engine.set_link(from, to, link.clone()) {
                    Ok(()) => drop(self.ongoing.links.insert((from, to), link.clone())),
                    Err(why) => self.unable(why.to_string()),
                }
            }
        }
    }

    /// Processes that ignored SIGTERM.
    pub fn deaf(&self) -> &[(Instant, String)] {
        &self.ongoing.deaf
    }

    /// What an admin client has to do to topics since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<TopicChange> {
        std::mem::take(&mut self.ongoing.changes)
    }

    /// The hosts and links that faults touch now.
    pub fn touched(&self) -> Touched {
        let hits = || self.ongoing.lasting.iter().map(|lasting| &lasting.hit);
        Touched {
            hosts: hits().flat_map(|hit| hit.hosts.iter().copied()).collect(),
            links: hits().flat_map(|hit| hit.links.iter().copied()).collect(),
        }
    }

    /// Faults that never struck.
    pub fn skipped(&self) -> u64 {
        (self.to_come.len() + self.late.len()) as u64 + self.unable_count
    }

    /// When something is due next, if known.
    pub fn next(&self, now: Instant) -> Instant {
        let due = self.to_come.iter().filter_map(|pending| {
            let due = pending.strikes.unwrap_or(self.began + pending.fault.at);
            let waits = pending.fault.moment.is_some() && pending.strikes.is_none();
            if due > now { Some(due) } else { waits.then(|| now + CLOSELY) }
        });
        let ends = self.ongoing.lasting.iter().filter_map(|lasting| lasting.until);
        ends.chain(due).min().unwrap_or(Instant::NEVER)
    }

    /// Starts and ends all faults that are due now.
    pub fn step<E: Engine>(&mut self, engine: &mut E, hosts: &mut Hosts) {
        let now = engine.now();
        self.follow(engine, hosts, now);
        let (ended, lasting) = std::mem::take(&mut self.ongoing.lasting)
            .into_iter()
            .partition(|lasting| lasting.until.is_some_and(|until| until <= now));
        self.ongoing.lasting = lasting;
        for lasting in ended {
            self.end(engine, hosts, &lasting);
        }
        self.meet(hosts);
        let mut index = 0;
        while let Some(pending) = self.to_come.get(index) {
            let fault = &pending.fault;
            if self.began + fault.at > now {
                break;
            }
            let settled = self.ongoing.lasting.is_empty() && hosts.settled();
            let early = pending.strikes.is_none_or(|strikes| strikes > now);
            if fault.settled && !settled || fault.moment.is_some() && early {
                index += 1;
                continue;
            }
            let fault = fault.clone();
            let struck = self.strike(engine, hosts, &fault, now);
            let Err(why) = struck else {
                self.to_come.remove(index);
                continue;
            };
            // No host fitted at that event: it waits for the next one.
            if let Some(pending) = self.to_come.get_mut(index) {
                pending.strikes = None;
                pending.why = Some(why);
            }
            index += 1;
        }
    }

    /// Injects faults that a program orders now, and describes what they did. A fault that has
    /// several parts, or waits for an event, is scheduled.
    pub fn strike_now<E: Engine>(
        &mut self,
        engine: &mut E,
        hosts: &mut Hosts,
        ordered: Vec<Fault>,
    ) -> Result<String, Refusal> {
        let now = engine.now();
        if let [fault] = ordered.as_slice()
            && fault.moment.is_none()
            && !fault.settled
        {
            let (told, unable) = (self.story.len(), self.unable_count);
            if self.strike(engine, hosts, fault, now).is_err() {
                return Err(Refusal::NoHost);
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
            self.to_come.insert(place, Pending::new(fault));
        }
        Ok(format!("scheduled: {}", kinds.join(", ")))
    }

    /// Schedules the faults whose event has happened since the last call.
    fn meet(&mut self, hosts: &mut Hosts) {
        for (at, event, place) in std::mem::take(&mut hosts.moments) {
            for pending in &mut self.to_come {
                let Some(Moment { event: awaited, delay }) = pending.fault.moment else { continue };
                let partition = partition_of(&pending.fault, &self.topic);
                let here = place.as_ref().is_none_or(|place| *place == partition);
                let due = self.began + pending.fault.at <= at;
                if pending.strikes.is_none() && awaited == event && here && due {
                    pending.strikes = Some(at + delay);
                }
            }
        }
    }

    /// Ends all active faults, and drops the pending ones.
    pub fn heal<E: Engine>(&mut self, engine: &mut E, hosts: &mut Hosts) {
        for lasting in std::mem::take(&mut self.ongoing.lasting) {
            self.end(engine, hosts, &lasting);
        }
    }

    /// Notices faults that began later than they struck.
    fn follow<E: Engine>(&mut self, engine: &mut E, hosts: &mut Hosts, now: Instant) {
        for index in 0..self.ongoing.lasting.len() {
            let Some(lasting) = self.ongoing.lasting.get(index).filter(|l| !l.begun) else {
                continue;
            };
            let mut lasting = lasting.clone();
            let Some(strike) = lasting.action.as_strike() else { continue };
            let ongoing = &mut self.ongoing;
            let mut floor = Floor { engine: &mut *engine, hosts: &mut *hosts, ongoing };
            if strike.has_begun(&mut floor, &lasting.hit, lasting.struck) {
                lasting.begun = true;
                lasting.until = lasting.down.map(|down| now + down);
                self.ongoing.lasting[index] = lasting;
            }
        }
    }

    fn end<E: Engine>(&mut self, engine: &mut E, hosts: &mut Hosts, lasting: &Lasting) {
        let mut floor = Floor { engine, hosts, ongoing: &mut self.ongoing };
        if let Some(strike) = lasting.strike() {
            strike.end(&mut floor, &lasting.hit, lasting.begun);
        }
    }

    /// Injects a fault, or returns why there was no host or link to strike.
    fn strike<E: Engine>(
        &mut self,
        engine: &mut E,
        hosts: &mut Hosts,
        fault: &Fault,
        now: Instant,
    ) -> Result<(), String> {
        let partition = partition_of(fault, &self.topic);
        let Some(strike) = fault.action.as_strike() else {
            self.unable(format!("a schedule names what a `{}` is made of", fault.action.kind()));
            return Ok(());
        };
        let (ongoing, pick) = (&self.ongoing, fault.pick);
        let view = View { hosts, ongoing, partition: &partition, pick };
        let hit = strike.aim(&view);
        if hit.is_empty() {
            return Err(reasons::missed(strike, &view));
        }
        let what = hit.what.clone();
        let lasting = Lasting {
            action: fault.action.clone(),
            hit: hit.clone(),
            struck: now,
            down: fault.down,
            begun: true,
            until: fault.down.map(|down| now + down),
        };
        self.ongoing.lasting.push(lasting.clone());
        let begins = strike.strike(&mut Floor { engine, hosts, ongoing: &mut self.ongoing }, &hit);
        // The strike may have changed how long the fault lasts.
        self.ongoing.lasting.pop();
        match begins {
            Err(why) => {
                self.unable(why.to_string());
                return Ok(());
            }
            Ok(Begins::Later) => {
                self.ongoing.lasting.push(Lasting { begun: false, until: None, ..lasting });
            }
            Ok(Begins::Now) => match strike.stagger().filter(|_| hit.hosts.len() > 1) {
                Some(gap) => self.stagger(&lasting, gap),
                None => self.ongoing.lasting.push(lasting),
            },
        }
        let lasts =
            fault.down.map_or("until the end".into(), |down| format!("for {}", down.show()));
        let when = fault.moment.map_or(String::new(), |moment| {
            let (key, word) = moment.event.words();
            format!(", {key} {word}")
        });
        self.story.push(format!("{:.3} s: {what}, {lasts}{when}", now.as_secs_f64()));
        self.strikes.push((now, fault.action.kind()));
        let ends = hit.links.iter().flat_map(|(from, to)| [*from, *to]);
        self.hits.push(hit.hosts.iter().copied().chain(ends).collect());
        self.struck += 1;
        Ok(())
    }

    /// Ends the fault on its hosts one after the other.
    fn stagger(&mut self, lasting: &Lasting, gap: Duration) {
        let mut until = lasting.until;
        for host in &lasting.hit.hosts {
            let mut one = Lasting { until, ..lasting.clone() };
            one.hit.hosts = vec![*host];
            self.ongoing.lasting.push(one);
            until = until.map(|until| until + gap);
        }
    }

    /// Records a fault that can't strike here.
    fn unable(&mut self, why: String) {
        self.unable.insert(why);
        self.unable_count += 1;
    }
}

/// The partition that a fault is about.
fn partition_of(fault: &Fault, first_topic: &str) -> TopicPartition {
    TopicPartition::new(fault.topic.as_deref().unwrap_or(first_topic), fault.partition)
}

/// Whether a host is a node that must be up after a heal.
pub(super) fn is_node(kind: Kind) -> bool {
    matches!(kind, Kind::Broker(_) | Kind::Controller)
}
