//! Seeds that split into named streams: a new draw from one stream does not change the others.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of a run, or of one part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// The purpose of a generator. The same stream of the same seed always yields the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    name: &'static str,
    index: u64,
}

impl Stream {
    /// The only stream of its name.
    pub const fn named(name: &'static str) -> Self {
        Self { name, index: 0 }
    }

    /// One of several streams of a name, such as one per host.
    pub const fn numbered(name: &'static str, index: u64) -> Self {
        Self { name, index }
    }
}

impl Seed {
    /// The seed of a part, independent of that of every other part.
    #[must_use]
    pub fn split(self, stream: Stream) -> Self {
        Self(xxh3_64_with_seed(stream.name.as_bytes(), self.0 ^ stream.index.rotate_left(32)))
    }

    /// A generator for `stream`.
    pub fn stream(self, stream: Stream) -> ChaCha12Rng {
        let part = self.split(stream);
        let mut key = [0u8; 32];
        for (word, bytes) in key.chunks_mut(8).enumerate() {
            let value = xxh3_64_with_seed(&(word as u64).to_le_bytes(), part.0);
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        ChaCha12Rng::from_seed(key)
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::Rng;

    #[test]
    fn stream_depends_only_on_seed_name_and_index() {
        let draw = |seed, stream| Seed(seed).stream(stream).next_u64();
        let first = draw(7, Stream::named("net"));
        assert_eq!(first, draw(7, Stream::named("net")));
        assert_ne!(first, draw(8, Stream::named("net")));
        assert_ne!(first, draw(7, Stream::named("disk")));
        assert_ne!(first, draw(7, Stream::numbered("net", 1)));
    }
}
