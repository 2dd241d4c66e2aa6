//! The choice of a record's partition.
//!
//! Source: Kafka's `BuiltInPartitioner` and `Utils.murmur2`; KIP-480, KIP-794.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::ProducerRecord;

/// Austin Appleby's MurmurHash2 of 32 bits, with the seed that Kafka's clients share.
pub(super) fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of `count` to which every Kafka client sends a key.
pub fn partition_of(key: &[u8], count: usize) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) as usize % count.max(1)) as i32
}

/// A topic's partitions, as a [`Partitioner`] sees them.
#[derive(Clone, Copy, Debug)]
pub struct Partitions<'a> {
    /// How many there are.
    pub count: usize,
    /// Those that have a leader, in order.
    pub available: &'a [i32],
}

/// Chooses the partition of a record that names none. It is asked once for each record, except while
/// the partition that it chose is not known.
pub trait Partitioner: Send {
    /// The partition for `record`. A negative one fails the record.
    fn partition(&mut self, record: &ProducerRecord, partitions: Partitions<'_>) -> i32;
}

impl fmt::Debug for dyn Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Partitioner")
    }
}

/// Sends records to one available partition after the other, whatever their keys.
///
/// Source: Kafka's `RoundRobinPartitioner`.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    given: BTreeMap<Arc<str>, usize>,
}

impl Partitioner for RoundRobin {
    fn partition(&mut self, record: &ProducerRecord, partitions: Partitions<'_>) -> i32 {
        let given = self.given.entry(Arc::clone(&record.topic)).or_default();
        let nth = *given;
        *given = given.wrapping_add(1);
        match partitions.available {
            [] => (nth % partitions.count.max(1)) as i32,
            available => available[nth % available.len()],
        }
    }
}

/// Where records without a key go: to one partition until it got a batch's worth, then to another.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    chosen: Option<i32>,
    /// Bytes that went there.
    given: usize,
}

impl Sticky {
    /// The partition that records go to now, if one is chosen.
    pub(super) fn chosen(&self) -> Option<i32> {
        self.chosen
    }

    /// Chooses another partition: by `queues` if there are any, else any with a leader, else any.
    pub(super) fn choose(
        &mut self,
        partitions: Partitions<'_>,
        queues: Option<&Queues>,
        random: &mut ChaCha12Rng,
    ) -> i32 {
        let draw = (random.next_u32() & i32::MAX as u32) as usize;
        let by_load = queues.and_then(|queues| queues.choose(draw));
        let chosen = by_load.unwrap_or_else(|| match partitions.available {
            [] => (draw % partitions.count.max(1)) as i32,
            available => available[draw % available.len()],
        });
        (self.chosen, self.given) = (Some(chosen), 0);
        chosen
    }

    /// Another partition is to be chosen.
    pub(super) fn switch(&mut self) {
        self.chosen = None;
    }

    /// Whether the partition got a batch's worth, and its batch is to be the last.
    pub(super) fn has_enough(&self, batch_size: usize) -> bool {
        self.given >= batch_size.max(1)
    }

    /// Counts bytes that went there. Switches to another partition after a batch's worth, preferably
    /// at the end of a batch, so that batches don't become small (KAFKA-14156).
    pub(super) fn gave(&mut self, bytes: usize, batch_size: usize, batch_ended: bool) {
        let batch_size = batch_size.max(1);
        self.given += bytes;
        if (self.given >= batch_size && batch_ended) || self.given >= batch_size.saturating_mul(2) {
            self.switch();
        }
    }
}

/// The batches that wait in each partition of a topic (KIP-794). A partition gets records the more
/// often the fewer there are: as often as the longest queue is longer than its own, plus one.
#[derive(Debug)]
pub(super) struct Queues {
    /// Partitions with a leader that takes requests, and their batches.
    lengths: Vec<(i32, usize)>,
    /// Partitions of the topic, those left out included.
    count: usize,
}

impl Queues {
    pub(super) fn new(lengths: Vec<(i32, usize)>, count: usize) -> Self {
        Self { lengths, count }
    }

    /// The partition for a draw; `None` if they make no difference.
    fn choose(&self, draw: usize) -> Option<i32> {
        let lengths = self.lengths.iter().map(|(_, length)| *length);
        let (longest, shortest) = (lengths.clone().max()?, lengths.min()?);
        let is_complete = self.lengths.len() == self.count;
        if self.count < 2 || (longest == shortest && is_complete) {
            return None;
        }
        let shares = self.lengths.iter().map(|(index, length)| (*index, longest + 1 - length));
        let total: usize = shares.clone().map(|(_, share)| share).sum();
        let mut left = draw % total;
        for (index, share) in shares {
            if left < share {
                return Some(index);
            }
            left -= share;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Seed, Stream};

    #[test]
    fn keys_hash_as_in_kafka() {
        // From Kafka's own UtilsTest.
        let known: [(&[u8], i32); 5] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key) as i32, hash);
        }
        assert!((0..3).contains(&partition_of(b"", 3)));
    }

    #[test]
    fn negative_hash_keeps_its_lower_bits() {
        // As Kafka's `toPositive`, and not the absolute value.
        let hash = -973_932_308_i32;
        let expected = |count: i32| (hash & i32::MAX) % count;
        for count in [1, 2, 3, 7, 50, 1000] {
            assert_eq!(partition_of(b"21", count as usize), expected(count));
        }
    }

    fn all(available: &[i32], count: usize) -> Partitions<'_> {
        Partitions { count, available }
    }

    #[test]
    fn records_without_a_key_stick_for_a_batch_to_a_led_partition() {
        let mut random = Seed(1).stream(Stream::named("test"));
        let mut sticky = Sticky::default();
        let first = sticky.choose(all(&[1, 2], 4), None, &mut random);
        sticky.gave(900, 1000, false);
        sticky.gave(200, 1000, false);
        assert_eq!(sticky.chosen(), Some(first), "not in the middle of a batch");
        sticky.gave(1, 1000, true);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            assert_eq!(sticky.chosen(), None);
            seen.insert(sticky.choose(all(&[1, 2], 4), None, &mut random));
            sticky.gave(2000, 1000, false);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn short_queues_are_chosen_in_proportion() {
        // The example of KIP-794, and queues with a partition that has no leader.
        for (lengths, count, shares) in [
            (vec![(0, 0), (1, 3), (2, 1)], 3, vec![4, 1, 3]),
            (vec![(0, 5), (2, 5)], 3, vec![1, 0, 1]),
            (vec![(0, 1), (1, 0)], 2, vec![1, 2]),
        ] {
            let queues = Queues::new(lengths, count);
            let total: usize = shares.iter().sum();
            let mut chosen = vec![0; count];
            for draw in 0..total * 100 {
                chosen[queues.choose(draw).unwrap() as usize] += 1;
            }
            let expected: Vec<_> = shares.iter().map(|share| share * 100).collect();
            assert_eq!(chosen, expected);
        }
    }

    #[test]
    fn equal_queues_and_single_partitions_make_no_difference() {
        assert_eq!(Queues::new(vec![(0, 2), (1, 2)], 2).choose(7), None);
        assert_eq!(Queues::new(vec![(0, 2)], 1).choose(7), None);
        assert_eq!(Queues::new(Vec::new(), 2).choose(7), None);
    }

    #[test]
    fn round_robin_ignores_keys_and_skips_partitions_without_a_leader() {
        let mut round = RoundRobin::default();
        let record = |topic: &str| ProducerRecord::new(topic, "x").with_key("same");
        let mut next = |topic: &str, available: &[i32]| {
            round.partition(&record(topic), Partitions { count: 3, available })
        };
        let orders: Vec<_> = (0..4).map(|_| next("orders", &[0, 2])).collect();
        assert_eq!(orders, [0, 2, 0, 2]);
        assert_eq!(next("bills", &[0, 1, 2]), 0, "each topic has its own turn");
        let none: Vec<_> = (0..3).map(|_| next("orders", &[])).collect();
        assert_eq!(none, [1, 2, 0]);
    }
}
