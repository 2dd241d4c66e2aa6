//! One direction between two hosts: latency, loss, bandwidth, cuts.

use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::damage::Damager;
use super::messages::{Happens, Mishaps};
use super::side::Side;
use crate::base::{Seed, Stream};
use crate::sim::{HostId, Link};

/// Linux's smallest retransmission timeout (`TCP_RTO_MIN`); it doubles with every retry.
const RETRY_FIRST: u64 = 200_000_000;
/// Linux caps the doubling at 120 s (`TCP_RTO_MAX`). The cap is smaller here: runs are seldom that
/// long, and must show how a cluster recovers.
const RETRY_LAST: u64 = 6_400_000_000;

/// A host's link to itself, without a network.
fn loopback() -> Link {
    let latency = Duration::from_micros(20)..=Duration::from_micros(50);
    Link { latency, loss: 0.0, bandwidth: None, damage: None, mishaps: Vec::new() }
}

/// The state of one direction.
pub(super) struct LinkState {
    random: ChaCha12Rng,
    latency_min: u64,
    latency_span: u64,
    /// Probability in units of 2^-32.
    loss: u64,
    bandwidth: Option<u64>,
    /// When the last byte so far leaves, if bandwidth is limited.
    busy_until: u64,
    /// What damages bytes, if anything does.
    damage: Option<Damager>,
    /// The seed of its draws.
    damage_seed: Seed,
    mishaps: Mishaps,
    mishap_seed: Seed,
    /// Segments do not arrive.
    pub cut: bool,
    /// Segments wait until `release`.
    pub held: bool,
}

/// The fate of a segment.
pub(super) struct Transit {
    pub arrive: u64,
    /// It was lost at first, so it arrives only if its sender lives to retransmit it.
    pub retried: bool,
}

impl LinkState {
    pub fn new(seed: Seed, from: HostId, to: HostId, link: &Link) -> Self {
        let index = u64::from(from.0) << 16 | u64::from(to.0);
        let mut state = Self {
            random: seed.stream(Stream::numbered("leap link", index)),
            latency_min: 0,
            latency_span: 1,
            loss: 0,
            bandwidth: None,
            busy_until: 0,
            damage: None,
            damage_seed: seed.split(Stream::numbered("leap damage", index)),
            mishaps: Mishaps::default(),
            mishap_seed: seed.split(Stream::numbered("leap mishaps", index)),
            cut: false,
            held: false,
        };
        if from == to {
            state.set(&loopback());
        } else {
            state.set(link);
        }
        state
    }

    /// Changes how segments travel from now on.
    pub fn set(&mut self, link: &Link) {
        let nanos = |duration: &Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.latency_min = nanos(link.latency.start());
        let span = nanos(link.latency.end()).saturating_sub(self.latency_min);
        self.latency_span = span.saturating_add(1);
        // A link that loses everything is a cut, which is a fault of its own.
        self.loss = (link.loss.clamp(0.0, 0.99) * (1u64 << 32) as f64) as u64;
        self.bandwidth = link.bandwidth.map(|bytes| bytes.max(1));
        self.busy_until = 0;
        let before = self.damage.take();
        self.damage = link.damage.map(|damage| Damager::new(damage, self.damage_seed, before));
        self.mishaps.set(link.mishaps.clone(), self.mishap_seed);
    }

    /// Whether anything may happen to messages.
    pub fn has_mishaps(&self) -> bool {
        !self.mishaps.is_empty()
    }

    /// What happens to a message of this API, from this side of its connection.
    pub fn mishap(&mut self, api: i16, side: Side) -> Option<Happens> {
        self.mishaps.strike(api, side)
    }

    /// The bytes as they arrive, if they are damaged on the way.
    pub fn damaged(&mut self, bytes: &Bytes) -> Option<Bytes> {
        self.damage.as_mut()?.damaged(bytes)
    }

    /// Whether segments arrive.
    pub fn open(&self) -> bool {
        !self.cut && !self.held
    }

    /// Whether segments queue for bandwidth.
    pub fn is_limited(&self) -> bool {
        self.bandwidth.is_some()
    }

    /// Draws a one-way delay.
    pub fn latency(&mut self) -> u64 {
        let draw = u128::from(self.random.next_u64()) * u128::from(self.latency_span);
        self.latency_min.saturating_add((draw >> 64) as u64)
    }

    /// Sends a segment of `len` bytes at `now`.
    pub fn send(&mut self, now: u64, len: usize) -> Transit {
        let mut depart = now;
        if let Some(bandwidth) = self.bandwidth {
            let takes = u128::from(len as u64) * 1_000_000_000 / u128::from(bandwidth);
            depart = self.busy_until.max(now).saturating_add(takes as u64);
            self.busy_until = depart;
        }
        let mut retry = RETRY_FIRST;
        let mut retried = false;
        while self.loss > 0 && u64::from(self.random.next_u32()) < self.loss {
            depart = depart.saturating_add(retry);
            retry = (retry * 2).min(RETRY_LAST);
            retried = true;
        }
        Transit { arrive: depart.saturating_add(self.latency()), retried }
    }
}

/// All directions between hosts.
pub(super) struct Links {
    seed: Seed,
    default: Link,
    /// By sender, then by receiver, up to the last one that mattered: most clients talk to servers only,
    /// which come first.
    states: Vec<Vec<LinkState>>,
}

impl Links {
    pub fn new(seed: Seed, default: Link) -> Self {
        Self { seed, default, states: Vec::new() }
    }

    pub fn add_host(&mut self) {
        self.states.push(Vec::new());
    }

    pub fn between(&mut self, (from, to): (HostId, HostId)) -> &mut LinkState {
        let row = &mut self.states[usize::from(from.0)];
        for to in row.len()..=usize::from(to.0) {
            row.push(LinkState::new(self.seed, from, HostId(to as u16), &self.default));
        }
        &mut row[usize::from(to.0)]
    }
}

/// When a sender whose segments have been lost since `since` next retries, at or after `now`.
pub(super) fn next_retry(since: u64, now: u64) -> u64 {
    let mut retry = RETRY_FIRST;
    let mut at = since.saturating_add(retry);
    while at < now {
        retry = (retry * 2).min(RETRY_LAST);
        at = at.saturating_add(retry);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(loss: f64, bandwidth: Option<u64>) -> LinkState {
        let latency = Duration::from_millis(1)..=Duration::from_millis(2);
        LinkState::new(
            Seed(1),
            HostId(0),
            HostId(1),
            &Link { latency, loss, bandwidth, damage: None, mishaps: Vec::new() },
        )
    }

    #[test]
    fn clients_take_no_memory_for_each_other() {
        let mut links = Links::new(Seed(1), Link::default());
        (0..1000).for_each(|_| links.add_host());
        for client in (3..1000).map(HostId) {
            links.between((client, HostId(2))).latency();
            links.between((HostId(2), client)).latency();
        }
        let states: usize = links.states.iter().map(Vec::len).sum();
        assert_eq!(states, 997 * 3 + 1000);
    }

    #[test]
    fn latency_is_drawn_from_the_whole_range_and_never_outside() {
        let mut link = link(0.0, None);
        let drawn: Vec<u64> = (0..1000).map(|_| link.send(0, 10).arrive).collect();
        assert!(drawn.iter().all(|nanos| (1_000_000..=2_000_000).contains(nanos)));
        assert!(drawn.iter().any(|nanos| *nanos < 1_100_000));
        assert!(drawn.iter().any(|nanos| *nanos > 1_900_000));
    }

    #[test]
    fn a_lost_segment_is_late_by_a_retransmission() {
        let mut link = link(0.5, None);
        let sent: Vec<Transit> = (0..1000).map(|_| link.send(0, 10)).collect();
        let late = sent.iter().filter(|transit| transit.retried).count();
        assert!((400..600).contains(&late), "{late}");
        assert!(sent.iter().all(|transit| transit.retried == (transit.arrive > 200_000_000)));
    }

    #[test]
    fn bandwidth_makes_segments_queue() {
        let mut link = link(0.0, Some(1_000_000));
        link.send(0, 500_000);
        assert!(link.send(0, 500_000).arrive >= 1_000_000_000);
    }

    #[test]
    fn retries_double_up_to_a_limit() {
        assert_eq!(next_retry(0, 1), 200_000_000);
        assert_eq!(next_retry(0, 200_000_001), 600_000_000);
        assert!(next_retry(0, 60_000_000_000) <= 60_000_000_000 + RETRY_LAST);
    }
}
