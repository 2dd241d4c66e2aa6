//! Each key's latest offset, in bounded memory: a key is identified by a hash of 128 bits, so an
//! entry takes 24 bytes for any key length. Pure. Source: Kafka's `SkimpyOffsetMap`, which uses
//! MD5.

use xxhash_rust::xxh3::xxh3_128;

use crate::base::Offset;

/// Bytes of an entry.
const ENTRY: usize = 24;
/// Initial number of slots; the table grows on demand.
const FIRST: usize = 64;

#[derive(Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    /// `NONE` in an empty slot.
    offset: Offset,
}

const EMPTY: Slot = Slot { hash: [0; 2], offset: Offset::NONE };

/// Latest offsets by key.
pub(crate) struct OffsetMap {
    slots: Vec<Slot>,
    used: usize,
    /// Maximum number of keys.
    limit: usize,
    /// Everything up to this offset was read.
    latest: Offset,
}

impl OffsetMap {
    /// A map for as many keys as fit into `bytes` at the load factor `load`, at least one.
    pub(crate) fn new(bytes: usize, load: f64) -> Self {
        let slots = bytes / ENTRY;
        // A search needs an empty slot to end.
        let limit = (slots as f64 * load.clamp(0.0, 1.0)) as usize;
        let limit = limit.min(slots.saturating_sub(1)).max(1);
        Self { slots: Vec::new(), used: 0, limit, latest: Offset::NONE }
    }

    /// Records that the latest record of a key so far is at `offset`. Returns `false` if there is
    /// no room for another key.
    #[must_use]
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = hash(key);
        if let Some(at) = self.find(hash)
            && self.slots[at].offset != Offset::NONE
        {
            self.slots[at].offset = offset;
            return true;
        }
        if self.used >= self.limit {
            return false;
        }
        // At most nine tenths full, even for a small limit.
        if (self.used + 1) * 10 > self.slots.len() * 9 {
            self.grow();
        }
        if let Some(at) = self.find(hash) {
            self.slots[at] = Slot { hash, offset };
            self.used += 1;
        }
        true
    }

    /// The offset of a key's latest record.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(hash(key))?];
        (slot.offset != Offset::NONE).then_some(slot.offset)
    }

    /// Records that everything up to `offset` was read.
    pub(crate) fn reached(&mut self, offset: Offset) {
        self.latest = self.latest.max(offset);
    }

    /// The offset up to which everything was read; `NONE` before that.
    pub(crate) fn latest(&self) -> Offset {
        self.latest
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// The slot of a hash, or the empty slot for it; `None` without slots.
    fn find(&self, hash: [u64; 2]) -> Option<usize> {
        let len = self.slots.len();
        let mut at = (hash[0] % u64::try_from(len).ok().filter(|len| *len > 0)?) as usize;
        while self.slots[at].offset != Offset::NONE && self.slots[at].hash != hash {
            at = (at + 1) % len;
        }
        Some(at)
    }

    fn grow(&mut self) {
        let most = (self.limit * 10).div_ceil(9) + 1;
        let len = (self.slots.len() * 2).clamp(FIRST.min(most), most).max(self.used + 2);
        let before = std::mem::replace(&mut self.slots, vec![EMPTY; len]);
        for slot in before.into_iter().filter(|slot| slot.offset != Offset::NONE) {
            if let Some(at) = self.find(slot.hash) {
                self.slots[at] = slot;
            }
        }
    }
}

fn hash(key: &[u8]) -> [u64; 2] {
    let hash = xxh3_128(key);
    [hash as u64, (hash >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_map_takes_no_new_key_but_newer_offsets_of_known_ones() {
        let mut map = OffsetMap::new(24 * 11, 0.9);
        for key in 0..9u8 {
            assert!(map.put(&[key], Offset(i64::from(key))), "key {key}");
        }
        assert!(!map.put(b"another", Offset(9)));
        assert!(map.put(&[4], Offset(10)));
        assert_eq!((map.get(&[4]), map.get(b"another"), map.len()), (Some(Offset(10)), None, 9));
        assert!(map.slots.len() * ENTRY <= 24 * 11);
    }

    #[test]
    fn map_without_memory_still_takes_one_key() {
        let mut map = OffsetMap::new(0, 0.0);
        assert_eq!(map.get(b"a"), None);
        assert!(map.put(b"a", Offset(1)));
        assert!(!map.put(b"b", Offset(2)));
    }

    proptest! {
        #[test]
        fn offset_map_agrees_with_a_plain_map(
            puts in proptest::collection::vec((0..400u16, 0..1000i64), 0..600),
        ) {
            let (mut map, mut plain) = (OffsetMap::new(24 * 1000, 0.9), BTreeMap::new());
            for (key, offset) in puts {
                prop_assert!(map.put(&key.to_be_bytes(), Offset(offset)));
                plain.insert(key, offset);
            }
            for key in 0..400u16 {
                let found = map.get(&key.to_be_bytes()).map(|offset| offset.0);
                prop_assert_eq!(found, plain.get(&key).copied());
            }
            prop_assert_eq!(map.len(), plain.len());
        }
    }
}
