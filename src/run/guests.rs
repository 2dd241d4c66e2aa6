//! A user's programs that take part in a run, and their communication with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use tokio::sync::oneshot;

use super::cluster::Seated;
use super::faults::{Faults, Refusal};
use super::outcome::{Broken, ENDS};
use super::part::Part;
use super::roles::{Host, Kind};
use super::{CLOSELY, Run, STEP};
use crate::base::{Instant, TopicPartition};
use crate::client::ConsumerRecord;
use crate::scenario::{Scenario, schedule};
use crate::sim::leap::LeapWorld;
#[cfg(feature = "referee")]
use crate::sim::turmoil::TurmoilWorld;
use crate::sim::{Boot, Engine, HostId, Observation, SimWorld};

/// A service that ignores SIGTERM is killed after this (Kubernetes'
/// `terminationGracePeriodSeconds`).
const GRACE: Duration = Duration::from_secs(30);
/// Maximum number of pending waits in a report about one program.
const MAX_WAITS: usize = 4;

/// Programs that join the scenario's own hosts.
pub(crate) struct Guests<W> {
    /// In boot order.
    pub hosts: Vec<Guest<W>>,
    /// Communication between programs and the run.
    pub book: SharedBook,
    /// Observes everything, and judges it in the end.
    pub audience: Box<dyn Audience>,
    /// How long after the heal clients may take to end.
    pub patience: Duration,
    /// Randomness for faults that programs order.
    pub random: ChaCha12Rng,
}

/// Creates the guests of a run, new ones for each run and world.
pub(crate) trait Programs<W> {
    /// The guests of one run.
    fn guests(&self, scenario: &Scenario, seed: u64) -> Guests<W>;
}

/// Programs that can join a run on either engine.
#[cfg(feature = "referee")]
pub(crate) trait ProgramsAnywhere: Programs<LeapWorld> + Programs<TurmoilWorld> {}

#[cfg(feature = "referee")]
impl<P: Programs<LeapWorld> + Programs<TurmoilWorld>> ProgramsAnywhere for P {}

/// Programs that can join a run.
#[cfg(not(feature = "referee"))]
pub(crate) trait ProgramsAnywhere: Programs<LeapWorld> {}

#[cfg(not(feature = "referee"))]
impl<P: Programs<LeapWorld>> ProgramsAnywhere for P {}

/// One program on a host of its own.
pub(crate) struct Guest<W> {
    /// The host's name.
    pub name: String,
    /// The program's name, if it has several instances.
    pub program: Option<String>,
    /// When it is expected to end.
    pub part: Part,
    /// What the host runs each time it boots.
    pub boot: Boot<W>,
}

/// The observer of a run with guests.
pub(crate) trait Audience {
    /// The next observation, and the name of its host.
    fn see(&mut self, seen: &Observation, host: &str, book: &Book);
    /// The run is over.
    fn finish(&mut self, over: Over) -> Vec<Broken>;
}

/// The end of a run.
pub(crate) struct Over {
    pub now: Instant,
    /// What the final reads found.
    pub read: Vec<ConsumerRecord>,
    /// The names of the hosts that each fault struck.
    pub struck: Vec<Vec<String>>,
}

/// Communication between programs and the run. Accessed between and within steps of one thread
/// only.
#[derive(Default)]
pub(crate) struct Book {
    /// The last number given to a producer or consumer.
    pub producers: u32,
    pub consumers: u32,
    /// Whether a program has a transactional producer.
    pub transacts: bool,
    /// Sent records, by the unique value that identifies them in the history.
    pub contents: BTreeMap<u64, Content>,
    /// Hosts whose programs ended by themselves.
    ended: BTreeSet<String>,
    /// Programs that ended badly: when, the broken invariant, and the message.
    failures: Vec<(Instant, &'static str, String)>,
    /// What each program waits for, by host and in order.
    waits: BTreeMap<(Arc<str>, u64), (Instant, String)>,
    last_wait: u64,
    orders: VecDeque<Order>,
    /// Topics that were used and not declared, with the first use: `shop sent to`.
    pub undeclared: BTreeMap<String, String>,
    /// Whether a program has an admin client, and may create topics itself.
    pub administers: bool,
    /// Whether a program holds a handle on the cluster and may send orders.
    pub directed: bool,
    /// No more faults.
    over: bool,
}

/// A shared handle.
pub(crate) type SharedBook = Arc<Mutex<Book>>;

/// A record as a program sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
}

/// A request from a program to the run.
pub(crate) enum Order {
    /// A fault, as a `[[fault]]` table; answered with what struck.
    Strike(String, oneshot::Sender<Result<String, Refusal>>),
    /// Ends all active faults.
    Heal(oneshot::Sender<()>),
    /// The host that leads a partition.
    Leader(TopicPartition, oneshot::Sender<Option<String>>),
    /// Whether all nodes answer and all replicas are in sync.
    Settled(oneshot::Sender<bool>),
}

impl Book {
    /// A program ended by itself.
    pub fn ended(&mut self, host: &str) {
        self.ended.insert(host.to_owned());
    }

    /// A program broke an invariant of its own, such as that nothing panics.
    pub fn failed(&mut self, at: Instant, host: &str, (invariant, how): (&'static str, String)) {
        self.failures.push((at, invariant, format!("{host} {how}")));
    }

    /// Records what a program waits for; returns a number to end the wait with.
    pub fn waits(&mut self, at: Instant, host: &Arc<str>, what: String) -> u64 {
        self.last_wait += 1;
        self.waits.insert((Arc::clone(host), self.last_wait), (at, what));
        self.last_wait
    }

    /// Ends a wait.
    pub fn goes_on(&mut self, host: &Arc<str>, wait: u64) {
        self.waits.remove(&(Arc::clone(host), wait));
    }

    /// Queues an order; returns it when the run no longer accepts orders.
    pub fn order(&mut self, order: Order) -> Result<(), Order> {
        if self.over && !matches!(order, Order::Leader(..) | Order::Settled(_)) {
            return Err(order);
        }
        self.orders.push_back(order);
        Ok(())
    }

    /// What a program waits for, as a phrase.
    fn who_waits(&self, host: &str) -> String {
        let mine = self.waits.iter().filter(|((name, _), _)| &**name == host);
        let mut told: Vec<String> = mine
            .map(|(_, (since, what))| format!("{what} since {:.3} s", since.as_secs_f64()))
            .collect();
        if told.is_empty() {
            return "waits for something outside brokerquake".into();
        }
        let more = told.len().saturating_sub(MAX_WAITS);
        told.truncate(MAX_WAITS);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        format!("waits for {}", told.join("; "))
    }
}

impl<E: Engine<World: SimWorld>> Run<'_, '_, E> {
    /// Adds guests to the run.
    pub(super) fn joined_by(mut self, guests: Guests<E::World>) -> Self {
        self.guests = Some(guests);
        self.judge = self.new_judge();
        self.control.lock().keeps = true;
        self
    }

    /// Boots the guests' hosts, after those of the loads.
    pub(super) fn seat_guests(&mut self) {
        let Some(guests) = &mut self.guests else { return };
        let seated = Seated::by(self.scenario, &self.plan);
        let mut book = guests.book.lock();
        book.producers += seated.producers;
        book.consumers += seated.consumers;
        drop(book);
        for guest in &guests.hosts {
            let id = self.engine.add_host(&guest.name, guest.boot.clone());
            let (name, kind) = (guest.name.clone(), Kind::Program(guest.part));
            if let Some(program) = &guest.program {
                self.hosts.instances.entry(program.clone()).or_default().push(id);
            }
            self.hosts.all.push(Host { id, name, kind, up: true, paused: false, ready: false });
        }
    }

    /// The guests with this part that have not ended.
    fn still_at_it(&self, part: Part) -> Vec<String> {
        let Some(guests) = &self.guests else { return Vec::new() };
        let book = guests.book.lock();
        let of_part = guests.hosts.iter().filter(|guest| guest.part == part);
        let late = of_part.filter(|guest| !book.ended.contains(&guest.name));
        late.map(|guest| guest.name.clone()).collect()
    }

    /// Whether faults continue: while a driver runs, but with a limit.
    pub(super) fn is_directed(&self, end: Instant) -> bool {
        let patience = self.guests.as_ref().map_or(Duration::ZERO, |guests| guests.patience);
        self.before(end + patience) && !self.still_at_it(Part::Driver).is_empty()
    }

    /// Longest time until the next observation.
    pub(super) fn step(&self) -> Duration {
        let directed = self.guests.as_ref().is_some_and(|guests| guests.book.lock().directed);
        if directed { CLOSELY } else { STEP }
    }

    /// Carries out the orders since the last call.
    pub(super) fn take_orders(&mut self, mut faults: Option<&mut Faults>) {
        let Some(guests) = &mut self.guests else { return };
        let orders = std::mem::take(&mut guests.book.lock().orders);
        for order in orders {
            // The program that asked may be dead by now; then the response is dropped.
            match (order, &mut faults) {
                (Order::Strike(table, answer), Some(faults)) => {
                    let names = guests.hosts.iter().map(|guest| &*guest.name);
                    let programs = names.chain(self.hosts.instances.keys().map(String::as_str));
                    let programs: Vec<_> = programs.collect();
                    let rule = self.scenario.rule_of(&table, &programs);
                    let struck = rule.map_err(Refusal::Wrong).and_then(|rule| {
                        let drawn = schedule::draw_now(&rule, self.scenario, &mut guests.random);
                        faults.strike_now(&mut self.engine, &mut self.hosts, drawn)
                    });
                    let _ = answer.send(struck);
                }
                (Order::Heal(answer), Some(faults)) => {
                    faults.heal(&mut self.engine, &mut self.hosts);
                    let _ = answer.send(());
                }
                (Order::Leader(partition, answer), _) => {
                    let _ = answer.send(self.hosts.leader_of(&partition));
                }
                (Order::Settled(answer), _) => {
                    let _ = answer.send(self.hosts.settled());
                }
                // A dropped response means that faults are over.
                (Order::Strike(..) | Order::Heal(_), None) => {}
            }
        }
    }

    /// No more faults from now on.
    pub(super) fn end_orders(&mut self) {
        if let Some(guests) = &self.guests {
            guests.book.lock().over = true;
        }
        self.take_orders(None);
    }

    /// Waits until every client has ended, then asks the services to end.
    pub(super) fn await_guests(&mut self) -> Vec<Broken> {
        let Some(patience) = self.guests.as_ref().map(|guests| guests.patience) else {
            return Vec::new();
        };
        let healed = self.healed.unwrap_or(self.engine.now());
        let limit = self.engine.now().max(healed + patience);
        let late = |run: &Self| [Part::Driver, Part::Client].map(|part| run.still_at_it(part));
        while self.before(limit) && late(self).iter().any(|names| !names.is_empty()) {
            self.advance(limit);
            self.take_orders(None);
            self.revive();
        }
        let late = late(self).concat();
        let stuck = late.iter().map(|name| self.stuck(name, healed)).collect();
        let services: Vec<_> = self
            .hosts
            .all
            .iter()
            .filter(|host| matches!(host.kind, Kind::Program(_)))
            .map(|host| host.id)
            .filter(|id| self.engine.is_running(*id))
            .collect();
        services.iter().for_each(|id| self.engine.terminate(*id));
        let limit = self.engine.now() + GRACE;
        while self.before(limit) && services.iter().any(|id| self.engine.is_running(*id)) {
            self.advance(limit);
            self.take_orders(None);
            self.revive();
        }
        for id in services {
            if self.engine.is_running(id) {
                self.engine.kill(id);
            }
        }
        stuck
    }

    /// The violation for a program that has not ended, with what it waits for.
    fn stuck(&self, name: &str, healed: Instant) -> Broken {
        let now = self.engine.now();
        let waits = self.guests.as_ref().map_or_else(String::new, |guests| {
            let book = guests.book.lock();
            format!(", and {}", book.who_waits(name))
        });
        let cluster = self.judge.unsettled(now);
        let cluster = cluster.map_or_else(String::new, |why| format!("; {why}"));
        let after = now.since(healed).as_secs_f64();
        let what = format!("{name} has not ended {after} s after the heal{waits}{cluster}");
        Broken::new(ENDS, now, what)
    }

    /// Violations by the guests, and by their checkers.
    pub(super) fn dismiss_guests(&mut self, faults: &Faults) -> Vec<Broken> {
        let now = self.engine.now();
        let name = |id: &HostId| self.engine.name(*id).to_owned();
        let struck = faults.hits.iter().map(|hosts| hosts.iter().map(name).collect()).collect();
        let Some(guests) = &mut self.guests else { return Vec::new() };
        let failures = std::mem::take(&mut guests.book.lock().failures);
        let read = std::mem::take(&mut self.control.lock().read_last);
        let mut broken: Vec<_> = failures
            .into_iter()
            .map(|(at, invariant, what)| {
                Broken::new(invariant, at, format!("{what} at {:.3} s", at.as_secs_f64()))
            })
            .collect();
        broken.extend(guests.audience.finish(Over { now, read, struck }));
        broken
    }
}
