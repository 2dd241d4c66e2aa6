//! Kafka's replication in miniature, driven at random: a correct protocol must never be accused,
//! however stale its leaders are; and with one rule left out, an invariant must fire.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use crate::base::config::Acks;
use crate::base::{Seed, Stream};
use crate::check::Note;
use crate::check::testing::Story;

/// `min.insync.replicas`, as the stories have it.
const MIN: usize = 2;

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Followers cut their logs to their high watermark before they follow (before KIP-101).
    CutToHighWatermark,
    /// A replica joins the ISR whatever it has fetched.
    JoinUnseen,
    /// The high watermark counts the ISR without those about to join it, and they join late.
    ExposeEarly,
    /// A restart does not cost a replica its place, whatever it lost (before KIP-966).
    TrustRestarts,
    /// Leaders serve whatever the ISR.
    NoMinInsync,
    /// A leader is elected from all running brokers, and the election is called clean.
    ElectAnybody,
    /// A follower keeps what its leader does not have.
    NeverCut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Idle,
    Leads,
    Follows(u16),
}

struct Broker {
    up: bool,
    /// Lost power since it last registered.
    unclean: bool,
    /// Registered and heard of.
    admitted: bool,
    role: Role,
    epoch: i32,
    log: Vec<(i32, u64)>,
    synced: usize,
    high_watermark: usize,
    /// As a leader: who is in sync for all it knows, who may soon be, how far followers have come.
    isr: BTreeSet<u16>,
    joining: BTreeSet<u16>,
    positions: BTreeMap<u16, usize>,
    epoch_start: usize,
}

pub(super) struct Cluster {
    story: Story,
    random: ChaCha12Rng,
    flaw: Flaw,
    with_power_losses: bool,
    brokers: BTreeMap<u16, Broker>,
    leader: Option<u16>,
    epoch: i32,
    isr: BTreeSet<u16>,
    elr: BTreeSet<u16>,
    next_value: u64,
    read: usize,
}

/// What the judge said of one random run.
pub(super) struct Verdict {
    pub broken: Vec<&'static str>,
    /// Losses within the contract.
    pub losses: usize,
}

/// One random run.
pub(super) fn run(seed: u64, flaw: Flaw, with_power_losses: bool) -> Verdict {
    let mut story = Story::judging_all();
    (1..=3).for_each(|broker| story.admitted(broker));
    let broker = |id: u16| Broker {
        up: true,
        unclean: false,
        admitted: true,
        role: if id == 1 { Role::Leads } else { Role::Follows(1) },
        epoch: 0,
        log: Vec::new(),
        synced: 0,
        high_watermark: 0,
        isr: [1, 2, 3].into(),
        joining: BTreeSet::new(),
        positions: BTreeMap::new(),
        epoch_start: 0,
    };
    let mut cluster = Cluster {
        story,
        random: Seed(seed).stream(Stream::named("model")),
        flaw,
        with_power_losses,
        brokers: (1..=3).map(|id| (id, broker(id))).collect(),
        leader: Some(1),
        epoch: 0,
        isr: [1, 2, 3].into(),
        elr: BTreeSet::new(),
        next_value: 1000,
        read: 0,
    };
    (0..400).for_each(|_| cluster.step());
    cluster.heal();
    let verdicts = cluster.story.finish();
    let broken = verdicts.violations.iter().map(|violation| violation.invariant).collect();
    let loss = |note: &&Note| matches!(note, Note::LossWithinContract { .. });
    Verdict { broken, losses: verdicts.notes.iter().filter(loss).count() }
}

impl Cluster {
    fn draw(&mut self, below: usize) -> usize {
        (self.random.next_u64() % below as u64) as usize
    }

    fn step(&mut self) {
        let id = 1 + self.draw(3) as u16;
        match self.draw(40) {
            0..8 => self.append(id),
            8..22 => self.fetch(id),
            22..28 => self.learn(id),
            28 => self.shrink(id),
            29 | 30 => self.fence(id),
            31 => self.kill(id, false),
            32 if self.with_power_losses => self.kill(id, true),
            33..36 => self.boot(id),
            36 => self.brokers.values_mut().for_each(|broker| {
                broker.synced = broker.log.len();
            }),
            _ => self.poll(id),
        }
    }

    fn append(&mut self, id: u16) {
        let (flaw, value) = (self.flaw, self.next_value);
        let broker = self.brokers.get_mut(&id).unwrap();
        let allowed = broker.isr.len() >= MIN || flaw == Flaw::NoMinInsync;
        if !broker.up || broker.role != Role::Leads || !allowed {
            return;
        }
        let (base, epoch) = (broker.log.len() as i64, broker.epoch);
        broker.log.push((epoch, value));
        self.next_value += 1;
        self.story.sent(0, value, value, Acks::All);
        self.story.leader_writes(id, base, epoch, &[value]);
        self.expose(id);
    }

    /// A leader's high watermark, and what it acknowledges.
    fn expose(&mut self, id: u16) {
        let flaw = self.flaw;
        let broker = self.brokers.get_mut(&id).unwrap();
        let mut counted = broker.isr.clone();
        if flaw != Flaw::ExposeEarly {
            counted.extend(&broker.joining);
        }
        let ends = counted.iter().map(|member| match member {
            own if *own == id => broker.log.len(),
            other => broker.positions.get(other).copied().unwrap_or(0),
        });
        let least = ends.min().unwrap_or(0).max(broker.high_watermark);
        let frozen = broker.isr.len() < MIN && flaw != Flaw::NoMinInsync;
        if least == broker.high_watermark || frozen {
            return;
        }
        broker.high_watermark = least;
        let epoch = broker.epoch;
        let values: Vec<(i64, u64)> =
            (0..).zip(broker.log[..least].iter().map(|(_, value)| *value)).collect();
        self.story.high_watermark(id, epoch, least as i64);
        self.story.acknowledged_all(id, epoch, least as i64);
        // The judge takes the first word only.
        for (offset, value) in values {
            self.story.told_ok(0, value, Some(offset));
        }
    }

    fn fetch(&mut self, id: u16) {
        let Role::Follows(leader) = self.brokers[&id].role else { return };
        let (from, to) = (&self.brokers[&leader], &self.brokers[&id]);
        if !from.up || !to.up || from.role != Role::Leads || from.epoch != to.epoch {
            return;
        }
        let common = from.log.iter().zip(&to.log).take_while(|(a, b)| a.0 == b.0).count();
        if common < to.log.len() && self.flaw != Flaw::NeverCut {
            self.cut(id, common);
            return;
        }
        let position = to.log.len();
        let batch: Vec<(i32, u64)> = from.log.iter().skip(position).take(3).copied().collect();
        self.brokers.get_mut(&leader).unwrap().positions.insert(id, position);
        self.expose(leader);
        self.join(leader, id, position);
        let visible = self.brokers[&leader].high_watermark;
        let follower = self.brokers.get_mut(&id).unwrap();
        follower.log.extend(&batch);
        let known = visible.min(follower.log.len());
        let rose = known > follower.high_watermark;
        follower.high_watermark = known.max(follower.high_watermark);
        let epoch = follower.epoch;
        for (offset, (epoch, value)) in (position as i64..).zip(batch) {
            self.story.writes(id, offset, epoch, &[value]);
        }
        if rose {
            self.story.high_watermark(id, epoch, known as i64);
        }
    }

    fn cut(&mut self, id: u16, end: usize) {
        let follower = self.brokers.get_mut(&id).unwrap();
        follower.log.truncate(end);
        follower.synced = follower.synced.min(end);
        follower.high_watermark = follower.high_watermark.min(end);
        self.story.cut(id, end as i64);
    }

    /// The leader lets a follower join that has caught up; the controller may not hear of it.
    fn join(&mut self, leader: u16, id: u16, position: usize) {
        let admitted = self.brokers[&id].admitted;
        let broker = self.brokers.get_mut(&leader).unwrap();
        let caught_up = position >= broker.high_watermark && position >= broker.epoch_start;
        let seen = caught_up || matches!(self.flaw, Flaw::JoinUnseen | Flaw::ExposeEarly);
        if !seen || !admitted || self.epoch != broker.epoch || self.leader != Some(leader) {
            return;
        }
        broker.joining.insert(id);
        if self.random.next_u64().is_multiple_of(4) && self.isr.insert(id) {
            self.elr.retain(|member| *member != id);
            self.commit();
            let isr = self.isr.clone();
            self.hear(leader, isr);
        }
    }

    /// The controller's answer reaches the leader.
    fn hear(&mut self, leader: u16, isr: BTreeSet<u16>) {
        let broker = self.brokers.get_mut(&leader).unwrap();
        broker.isr = isr;
        broker.joining.clear();
        self.expose(leader);
    }

    fn shrink(&mut self, id: u16) {
        let broker = &self.brokers[&id];
        let leads = broker.up && broker.role == Role::Leads && broker.epoch == self.epoch;
        if self.leader != Some(id) || !leads {
            return;
        }
        let Some(victim) = self.isr.iter().copied().find(|member| *member != id) else { return };
        self.leave(victim);
        self.commit();
        let isr = self.isr.clone();
        self.hear(id, isr);
    }

    /// Out of the ISR, and remembered while the ISR is too small (KIP-966).
    fn leave(&mut self, id: u16) {
        if self.isr.len() == 1 && self.isr.contains(&id) {
            return;
        }
        if self.isr.remove(&id) && self.isr.len() < MIN {
            self.elr.insert(id);
        }
    }

    fn commit(&mut self) {
        if self.isr.len() >= MIN {
            self.elr.clear();
        }
        let isr: Vec<i32> = self.isr.iter().map(|id| i32::from(*id)).collect();
        self.story.commits(self.leader.map(i32::from), self.epoch, &isr);
    }

    fn elect(&mut self) {
        let eligible = |id: &u16| {
            let broker = &self.brokers[id];
            broker.up && broker.admitted
        };
        let any: Vec<u16> = self.brokers.keys().copied().collect();
        let from_isr = self.isr.iter().copied().find(&eligible);
        let from_elr = self.elr.iter().copied().find(&eligible).filter(|_| from_isr.is_none());
        self.leader = match self.flaw {
            Flaw::ElectAnybody => any.into_iter().rev().find(&eligible),
            _ => from_isr.or(from_elr),
        };
        if let Some(leader) = self.leader.filter(|leader| !self.isr.contains(leader)) {
            self.elr.extend(std::mem::replace(&mut self.isr, [leader].into()));
            self.elr.remove(&leader);
        }
        self.epoch += 1;
        self.commit();
    }

    /// The controller has not heard of a broker, be it alive or not.
    fn fence(&mut self, id: u16) {
        if !self.brokers[&id].admitted {
            return;
        }
        self.brokers.get_mut(&id).unwrap().admitted = false;
        self.story.fenced(i32::from(id));
        let led = self.leader == Some(id);
        self.leave(id);
        if led { self.elect() } else { self.commit() }
    }

    fn kill(&mut self, id: u16, power: bool) {
        if !self.brokers[&id].up {
            return;
        }
        let random = self.draw(1000);
        let broker = self.brokers.get_mut(&id).unwrap();
        broker.up = false;
        broker.role = Role::Idle;
        let unsynced = broker.log.len() - broker.synced;
        if !power || unsynced == 0 {
            return self.story.killed(id);
        }
        broker.unclean = true;
        let kept = broker.synced + random % unsynced;
        broker.log.truncate(kept);
        broker.synced = kept;
        broker.high_watermark = broker.high_watermark.min(kept);
        self.story.power_loss(id, kept as i64);
    }

    /// A host boots and registers; or one that is alive is heard of again.
    fn boot(&mut self, id: u16) {
        let trusted = self.flaw == Flaw::TrustRestarts;
        if !self.brokers[&id].up {
            self.story.boot(id);
            if self.brokers[&id].admitted {
                self.fence(id);
            }
            if std::mem::take(&mut self.brokers.get_mut(&id).unwrap().unclean) && !trusted {
                let others = self.elr.iter().any(|member| *member != id);
                if self.isr == [id].into() && others {
                    self.isr.clear();
                } else if self.isr.len() > 1 {
                    self.isr.remove(&id);
                }
                if !self.isr.is_empty() || others {
                    self.elr.remove(&id);
                }
                self.commit();
            }
        }
        let broker = self.brokers.get_mut(&id).unwrap();
        broker.up = true;
        if !std::mem::replace(&mut broker.admitted, true) {
            self.story.admitted(i32::from(id));
        }
        if self.leader.is_none() {
            self.elect();
        }
    }

    /// A broker hears what the controller last decided.
    fn learn(&mut self, id: u16) {
        let (leader, epoch, isr) = (self.leader, self.epoch, self.isr.clone());
        let broker = self.brokers.get_mut(&id).unwrap();
        if !broker.up || (broker.epoch == epoch && broker.role != Role::Idle) {
            return;
        }
        broker.epoch = epoch;
        broker.isr = isr;
        broker.joining.clear();
        broker.positions.clear();
        match leader {
            Some(leader) if leader == id => {
                broker.role = Role::Leads;
                broker.epoch_start = broker.log.len();
                self.story.became_leader(id, epoch);
                self.expose(id);
            }
            other => {
                broker.role = other.map_or(Role::Idle, Role::Follows);
                let known = broker.high_watermark;
                self.story.became_follower(id, epoch, other.map_or(-1, i32::from));
                if self.flaw == Flaw::CutToHighWatermark && known < self.brokers[&id].log.len() {
                    self.cut(id, known);
                }
            }
        }
    }

    fn poll(&mut self, id: u16) {
        let broker = &self.brokers[&id];
        if !broker.up || broker.role != Role::Leads || self.with_power_losses {
            return;
        }
        let records: Vec<(i64, u64)> = (0..)
            .zip(broker.log[..broker.high_watermark].iter().map(|(_, value)| *value))
            .skip(self.read)
            .collect();
        if let Some((last, _)) = records.last() {
            self.read = *last as usize + 1;
            self.story.polled(0, &records);
        }
    }

    fn heal(&mut self) {
        (1..=3).for_each(|id| self.boot(id));
        self.story.later();
        self.story.healed();
        for _ in 0..400 {
            for id in 1..=3 {
                self.learn(id);
                self.fetch(id);
            }
        }
        self.story.long_later();
        self.story.reading();
        let Some(leader) = self.leader else { return };
        let broker = &self.brokers[&leader];
        let records: Vec<(i64, u64)> =
            (0..).zip(broker.log[..broker.high_watermark].iter().map(|(_, v)| *v)).collect();
        self.story.positioned(9, 0);
        self.story.polled(9, &records);
        self.story.reached_end(9, records.len() as i64);
        self.story.long_later();
    }
}
