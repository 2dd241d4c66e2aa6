//! An ordered map that is cheap to clone: the clones share what neither has changed.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// Entries of a chunk at most. A change copies one chunk and the list of chunks, unless nothing
/// else refers to them.
const CHUNK: usize = 64;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// A sorted list of sorted chunks, copied on write.
///
/// States are cloned for each decision and each reader, and one record changes one entry: a
/// `BTreeMap` would be copied whole each time.
pub struct SharedMap<K, V> {
    /// None is empty. Ascending, within a chunk and from chunk to chunk.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> SharedMap<K, V> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The chunk that has the key, if any has.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| first(chunk) <= key).saturating_sub(1)
    }

    /// Where the key is: its chunk and its place there.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(usize, usize)>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let place = place(self.chunks.get(at)?, key).ok()?;
        Some((at, place))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(|(at, place)| &self.chunks[at][place].1)
    }

    /// Whether the key has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }

    /// Entries from `key` on, in order.
    pub fn from<'a, Q: Ord + ?Sized>(
        &'a self,
        key: &Q,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V, Q>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let skipped =
            self.chunks.get(at).map_or(0, |chunk| place(chunk, key).unwrap_or_else(|p| p));
        let chunks = self.chunks.iter().skip(at).flat_map(|chunk| chunk.iter());
        chunks.skip(skipped).map(|(key, value)| (key, value))
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Sets the value of a key, and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(&mut chunks[at]);
        let place = match place(chunk, &key) {
            Ok(place) => return Some(std::mem::replace(&mut chunk[place].1, value)),
            Err(place) => place,
        };
        chunk.insert(place, (key, value));
        self.len += 1;
        if chunk.len() > CHUNK {
            // Keys often ascend: then the chunk stays full, and the next one begins.
            let cut = if place == CHUNK { CHUNK } else { CHUNK / 2 };
            let rest = chunk.split_off(cut);
            chunks.insert(at + 1, Arc::new(rest));
        }
        None
    }

    /// Removes a key, and returns the value that it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key)?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let (_, value) = chunk.remove(place);
        self.len -= 1;
        let left = chunk.len();
        if left == 0 {
            chunks.remove(at);
        } else if chunks.get(at + 1).is_some_and(|next| left + next.len() <= CHUNK / 2) {
            let next = chunks.remove(at + 1);
            Arc::make_mut(&mut chunks[at]).extend(next.iter().cloned());
        }
        Some(value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key)?;
        let chunk = Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[at]);
        Some(&mut chunk[place].1)
    }
}

fn first<K: Borrow<Q>, V, Q: ?Sized>(chunk: &Chunk<K, V>) -> &Q {
    chunk[0].0.borrow()
}

fn place<K: Borrow<Q>, V, Q: Ord + ?Sized>(chunk: &[(K, V)], key: &Q) -> Result<usize, usize> {
    chunk.binary_search_by(|(other, _)| other.borrow().cmp(key))
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Equal entries are equal maps: how they are cut into chunks depends on the past.
impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len
            && (Arc::ptr_eq(&self.chunks, &other.chunks) || self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized> Index<&Q> for SharedMap<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key has a value")
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl<K: Ord + Clone + fmt::Debug, V: Clone> SharedMap<K, V> {
        fn check(&self) {
            assert!(self.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
            let keys: Vec<_> = self.keys().collect();
            assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
            assert_eq!(keys.len(), self.len);
        }
    }

    proptest! {
        #[test]
        fn shared_map_agrees_with_btree_map_and_clones_do_not_change(
            steps in proptest::collection::vec((0..300u16, 0..5u8, any::<bool>()), 0..600),
            ascending in 0..300u16,
        ) {
            let mut map: SharedMap<u16, u8> = (0..ascending).map(|key| (key, 9)).collect();
            let mut model: BTreeMap<u16, u8> = (0..ascending).map(|key| (key, 9)).collect();
            let mut clones = Vec::new();
            for (key, value, removes) in steps {
                if value == 4 {
                    clones.push((map.clone(), model.clone()));
                }
                if removes {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                } else if value == 3 {
                    prop_assert_eq!(map.get_mut(&key), model.get_mut(&key));
                } else {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert!(map.from(&key).eq(model.range(key..)));
                map.check();
            }
            clones.push((map, model));
            for (map, model) in clones {
                prop_assert!(map.iter().eq(model.iter()), "a clone changed");
                let rebuilt: SharedMap<u16, u8> = model.into_iter().collect();
                prop_assert_eq!(map, rebuilt);
            }
        }
    }

    #[test]
    fn change_copies_one_chunk_and_not_the_whole_map() {
        let mut map: SharedMap<u32, u32> = (0..10_000).map(|key| (key, 0)).collect();
        let before = map.clone();
        map.insert(5_000, 1);
        let shared = before.chunks.iter().zip(map.chunks.iter());
        assert_eq!(shared.filter(|(old, new)| !Arc::ptr_eq(old, new)).count(), 1);
        assert!(before.chunks.len() < 10_000 / CHUNK + 2, "ascending keys fill their chunks");
    }
}
