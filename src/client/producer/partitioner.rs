//! The choice of a record's partition.
//!
//! Source: Kafka's `BuiltInPartitioner` and `Utils.murmur2`; KIP-480, KIP-794.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

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

/// Where records without a key go: to one partition until it got a batch's worth, then to another.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    chosen: Option<i32>,
    /// Bytes that went there.
    given: usize,
}

impl Sticky {
    /// The partition to use now: one with a leader, if any has one.
    pub(super) fn choose(
        &mut self,
        available: &[i32],
        count: usize,
        random: &mut ChaCha12Rng,
    ) -> i32 {
        if let Some(chosen) = self.chosen {
            return chosen;
        }
        self.given = 0;
        let draw = random.next_u32() as usize;
        let chosen = match available.len() {
            0 => (draw % count.max(1)) as i32,
            some => available[draw % some],
        };
        self.chosen = Some(chosen);
        chosen
    }

    /// Counts bytes that went there. Switches to another partition after a batch's worth, preferably
    /// at the end of a batch, so that batches don't become small (KAFKA-14156).
    pub(super) fn gave(&mut self, bytes: usize, batch_size: usize, batch_ended: bool) {
        self.given += bytes;
        if (self.given >= batch_size && batch_ended) || self.given >= batch_size.saturating_mul(2) {
            self.chosen = None;
        }
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
    fn records_without_a_key_stick_for_a_batch_to_a_led_partition() {
        let mut random = Seed(1).stream(Stream::named("test"));
        let mut sticky = Sticky::default();
        let first = sticky.choose(&[1, 2], 4, &mut random);
        sticky.gave(900, 1000, false);
        assert_eq!(sticky.choose(&[1, 2], 4, &mut random), first);
        sticky.gave(200, 1000, false);
        assert_eq!(sticky.choose(&[1, 2], 4, &mut random), first, "not in the middle of a batch");
        sticky.gave(1, 1000, true);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            seen.insert(sticky.choose(&[1, 2], 4, &mut random));
            sticky.gave(2000, 1000, true);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2]);
    }
}
