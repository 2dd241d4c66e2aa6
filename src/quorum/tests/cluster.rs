//! Shells on one network, with time, faults and clients. One seed decides everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::super::{ElectionState, ReplicaKey, Settings, VoterSet};
use super::laws::Laws;
use super::shell::{Content, Disk, Effect, Message, Shell};
use crate::base::{BrokerId, DirectoryId, Instant, LeaderEpoch};

/// A node, running or not.
pub struct Node {
    pub shell: Option<Shell>,
    pub disk: Disk,
    /// Counts its lives: what was meant for an earlier one does not arrive.
    life: u32,
    wakes_at: Option<Instant>,
}

enum Event {
    Deliver { from: BrokerId, to: BrokerId, life: Option<u32>, message: Message },
    Wake { node: BrokerId, life: u32 },
    Synced { node: BrokerId, life: u32, upto: usize },
    Stored { node: BrokerId, life: u32, version: u64, election: ElectionState },
    TimedOut { node: BrokerId, life: u32, number: u64 },
}

/// How the network and the disks behave.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Of 1,000 messages.
    pub lost: u32,
    pub doubled: u32,
    pub late: u32,
    /// Pairs (from, to) between which nothing arrives.
    pub cut: BTreeSet<(BrokerId, BrokerId)>,
    pub longest_sync: Duration,
}

impl Weather {
    pub fn fair() -> Self {
        let longest_sync = Duration::from_millis(5);
        Self { lost: 0, doubled: 0, late: 0, cut: BTreeSet::new(), longest_sync }
    }

    /// Cuts a node off, in both directions.
    pub fn isolate(&mut self, node: BrokerId, others: impl Iterator<Item = BrokerId>) {
        for other in others.filter(|other| *other != node) {
            self.cut.insert((node, other));
            self.cut.insert((other, node));
        }
    }
}

/// A late message arrives within this, in milliseconds.
const LATEST_MS: u64 = 3000;

/// Each node has one directory.
pub fn key(id: BrokerId) -> ReplicaKey {
    ReplicaKey { id, directory: Some(DirectoryId([id.0 as u8; 16])) }
}

pub struct Cluster {
    pub now: Instant,
    pub nodes: BTreeMap<BrokerId, Node>,
    pub random: ChaCha12Rng,
    pub weather: Weather,
    pub laws: Laws,
    /// Whether messages leave before the election state that they rest on is stored.
    pub is_hasty: bool,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    voters: VoterSet,
    settings: Settings,
    values: u64,
}

impl Cluster {
    /// A cluster whose voters are fixed: kraft.version 0.
    pub fn new(voters: i32, settings: Settings, seed: u64) -> Self {
        Self::of((1..=voters).map(BrokerId).map(ReplicaKey::of).collect(), settings, seed)
    }

    pub fn of(voters: VoterSet, settings: Settings, seed: u64) -> Self {
        let ids: Vec<BrokerId> = voters.iter().map(|voter| voter.id).collect();
        let node = |id: &BrokerId| {
            (*id, Node { shell: None, disk: Disk::default(), life: 0, wakes_at: None })
        };
        let mut cluster = Self {
            now: Instant::from_secs(1),
            nodes: ids.iter().map(node).collect(),
            random: ChaCha12Rng::seed_from_u64(seed),
            weather: Weather::fair(),
            laws: Laws::default(),
            is_hasty: false,
            queue: BTreeMap::new(),
            sequence: 0,
            voters,
            settings,
            values: 0,
        };
        cluster.start_all();
        cluster
    }

    pub fn ids(&self) -> Vec<BrokerId> {
        self.nodes.keys().copied().collect()
    }

    pub fn start(&mut self, id: BrokerId) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.shell.is_some() {
            return;
        }
        node.life += 1;
        node.wakes_at = None;
        let random = ChaCha12Rng::seed_from_u64(self.random.next_u64());
        let me = key(id);
        let (disk, settings) = (&node.disk, &self.settings);
        node.shell = Some(Shell::start(self.now, me, &self.voters, disk, settings, random));
        self.laws.forget(id);
        self.pump(id);
    }

    pub fn start_all(&mut self) {
        for id in self.ids() {
            self.start(id);
        }
    }

    pub fn crash(&mut self, id: BrokerId) {
        let node = self.nodes.get_mut(&id).unwrap();
        if let Some(shell) = node.shell.take() {
            shell.crash(&mut node.disk, &mut self.random);
        }
    }

    pub fn shell(&mut self, id: BrokerId) -> Option<&mut Shell> {
        self.nodes.get_mut(&id)?.shell.as_mut()
    }

    /// Carries out an operation on a running node, and what follows from it.
    pub fn with(&mut self, id: BrokerId, act: impl FnOnce(&mut Shell, Instant)) {
        let now = self.now;
        if let Some(shell) = self.shell(id) {
            act(shell, now);
            self.pump(id);
        }
    }

    /// The nodes that lead, with their epochs, the newest last.
    pub fn leaders(&self) -> Vec<(LeaderEpoch, BrokerId)> {
        let leading = |(id, node): (&BrokerId, &Node)| {
            let leads = node.shell.as_ref()?.machine.leads()?;
            Some((leads.epoch, *id))
        };
        let mut leaders: Vec<_> = self.nodes.iter().filter_map(leading).collect();
        leaders.sort();
        leaders
    }

    /// The current leader.
    pub fn leader(&self) -> Option<BrokerId> {
        self.leaders().last().map(|(_, id)| *id)
    }

    /// A client appends to every node that takes itself for the leader.
    pub fn write(&mut self) {
        for (_, id) in self.leaders() {
            self.values += 1;
            let value = Content::Value(self.values);
            self.with(id, |shell, now| shell.append(now, value));
        }
    }

    /// Lets time pass. Ends early if a law is broken.
    pub fn run(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle(event);
            if let Some(broken) = self.laws.broken.take() {
                return Err(format!("at {at}: {broken}"));
            }
        }
        self.now = end;
        Ok(())
    }

    /// Lets time pass until something holds, at most `limit`.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let begin = self.now;
        while !holds(self) {
            if self.now.since(begin) >= limit {
                return Err(format!("not within {limit:?}: {what}"));
            }
            self.run(Duration::from_millis(20))?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        let (id, life) = match &event {
            Event::Deliver { to, life, .. } => (*to, *life),
            Event::Wake { node, life }
            | Event::Synced { node, life, .. }
            | Event::Stored { node, life, .. }
            | Event::TimedOut { node, life, .. } => (*node, Some(*life)),
        };
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(shell) = &mut node.shell else { return };
        if life.is_some_and(|life| life != node.life) {
            return;
        }
        match event {
            Event::Deliver { from, message, .. } => {
                shell.receive(now, &mut node.disk, from, message);
            }
            Event::Wake { .. } => node.wakes_at = None,
            Event::Synced { upto, .. } => shell.synced(now, &mut node.disk, upto),
            Event::Stored { version, election, .. } => {
                shell.stored(&mut node.disk, version, election);
            }
            Event::TimedOut { number, .. } => shell.timed_out(now, number),
        }
        self.pump(id);
    }

    fn pump(&mut self, id: BrokerId) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(shell) = &mut node.shell else { return };
        let life = node.life;
        let effects = shell.pump(now, self.is_hasty);
        self.laws.observe(now, id, shell);
        let deadline = shell.deadline().map(|at| at.max(now));
        let wakes = deadline.filter(|at| node.wakes_at.is_none_or(|wakes| *at < wakes));
        if let Some(at) = wakes {
            node.wakes_at = Some(at);
            self.push(at, Event::Wake { node: id, life });
        }
        for effect in effects {
            self.carry_out(id, life, effect);
        }
    }

    fn carry_out(&mut self, node: BrokerId, life: u32, effect: Effect) {
        match effect {
            Effect::Send(to, message, election) => {
                self.laws.told(node, &election);
                self.send(node, to, message);
            }
            Effect::Sync(upto) => {
                let at = self.now + self.sync_time();
                self.push(at, Event::Synced { node, life, upto });
            }
            Effect::Store(version, election) => {
                let at = self.now + self.sync_time();
                self.push(at, Event::Stored { node, life, version, election });
            }
            Effect::Timeout(at, number) => self.push(at, Event::TimedOut { node, life, number }),
        }
    }

    fn send(&mut self, from: BrokerId, to: BrokerId, message: Message) {
        if self.weather.cut.contains(&(from, to)) || self.draws(self.weather.lost) {
            return;
        }
        // An answer reaches the process that asked, a request whichever runs then.
        let is_request = matches!(message, Message::Ask(..) | Message::Fetch(..));
        let life = (!is_request).then(|| self.nodes[&to].life);
        let copies = if self.draws(self.weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let mut delay = Duration::from_micros(500 + self.random.next_u64() % 4500);
            if self.draws(self.weather.late) {
                delay += Duration::from_millis(self.random.next_u64() % LATEST_MS);
            }
            let message = message.clone();
            self.push(self.now + delay, Event::Deliver { from, to, life, message });
        }
    }

    fn draws(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.random.next_u32() % 1000 < per_mille
    }

    fn sync_time(&mut self) -> Duration {
        let longest = self.weather.longest_sync.as_micros() as u64;
        Duration::from_micros(100 + self.random.next_u64() % longest)
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }
}
