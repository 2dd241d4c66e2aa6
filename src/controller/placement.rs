//! Places the replicas of a new topic: striped over racks and brokers, from a random start.
//!
//! Source: Kafka's `StripedReplicaPlacer`. Fenced brokers come last and never first in a list,
//! because the first is the preferred leader.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::image::Image;
use crate::base::BrokerId;

/// Why a topic can't be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlacementError {
    #[error("All brokers are currently fenced.")]
    NobodyActive,
    #[error(
        "The target replication factor of {wanted} cannot be reached because only {registered} \
         broker(s) are registered."
    )]
    TooFewBrokers { wanted: usize, registered: usize },
}

/// Draws below a bound, without bias that matters: bounds are counts of brokers.
fn below(random: &mut ChaCha12Rng, bound: usize) -> usize {
    (random.next_u64() % bound.max(1) as u64) as usize
}

fn shuffle<T>(random: &mut ChaCha12Rng, list: &mut [T]) {
    for at in (1..list.len()).rev() {
        list.swap(at, below(random, at + 1));
    }
}

/// Brokers of one rack and standing. Each round begins one further than the last.
#[derive(Default)]
struct Ring {
    brokers: Vec<BrokerId>,
    start: usize,
    round: usize,
    taken: usize,
}

impl Ring {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.round != round {
            self.round = round;
            self.taken = 0;
            self.start = (self.start + 1) % self.brokers.len();
        }
        let at = (self.start + self.taken) % self.brokers.len();
        let broker = (self.taken < self.brokers.len()).then(|| self.brokers[at]);
        self.taken += 1;
        broker
    }
}

#[derive(Default)]
struct Rack {
    active: Ring,
    fenced: Ring,
}

/// Hands out lists of replicas, one per partition.
pub(super) struct Placer {
    random: ChaCha12Rng,
    racks: Vec<Rack>,
    registered: usize,
    active: usize,
    round: usize,
    offset: usize,
}

impl Placer {
    pub(super) fn new(image: &Image, mut random: ChaCha12Rng) -> Self {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        let (mut registered, mut active) = (0, 0);
        for (id, broker) in image.brokers().filter(|(_, b)| b.fenced || b.shutting_down.is_none()) {
            let rack = racks.entry(broker.rack.as_deref()).or_default();
            let ring = if broker.fenced { &mut rack.fenced } else { &mut rack.active };
            ring.brokers.push(id);
            registered += 1;
            active += usize::from(!broker.fenced);
        }
        let mut racks: Vec<Rack> = racks.into_values().collect();
        for rack in &mut racks {
            rack.active.start = below(&mut random, rack.active.brokers.len());
            rack.fenced.start = below(&mut random, rack.fenced.brokers.len());
        }
        let offset = below(&mut random, racks.len());
        Self { random, racks, registered, active, round: 0, offset }
    }

    /// Replicas of the next partition, the preferred leader first.
    pub(super) fn place(&mut self, wanted: usize) -> Result<Vec<BrokerId>, PlacementError> {
        if self.active == 0 {
            return Err(PlacementError::NobodyActive);
        }
        if wanted > self.registered {
            return Err(PlacementError::TooFewBrokers { wanted, registered: self.registered });
        }
        if self.round > 0 && self.active > 1 && self.round.is_multiple_of(self.active) {
            // Every start was used: other neighbours from now on.
            let Self { random, racks, .. } = self;
            shuffle(random, racks);
            for rack in racks {
                shuffle(random, &mut rack.active.brokers);
                shuffle(random, &mut rack.fenced.brokers);
            }
        }
        let replicas = self.one_each(wanted);
        self.round += 1;
        self.offset = (self.offset + 1) % self.racks.len();
        Ok(replicas)
    }

    /// One broker of each rack in turn; the first is an active one. Ends, because there are at
    /// least `wanted` brokers and at least one that is active.
    fn one_each(&mut self, wanted: usize) -> Vec<BrokerId> {
        let (racks, round) = (self.racks.len(), self.round);
        let mut replicas = Vec::with_capacity(wanted);
        let mut first = None;
        for step in 0..racks {
            let rack = (self.offset + step) % racks;
            if let Some(broker) = self.racks[rack].active.next(round) {
                replicas.push(broker);
                first = Some(rack);
                break;
            }
        }
        let mut rack = self.offset;
        while replicas.len() < wanted {
            // The rack of the first replica has had its turn.
            if first == Some(rack) {
                first = None;
            } else {
                let rack = &mut self.racks[rack];
                let broker = rack.active.next(round).or_else(|| rack.fenced.next(round));
                replicas.extend(broker);
            }
            rack = (rack + 1) % racks;
        }
        replicas
    }
}
