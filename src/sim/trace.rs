//! The trace hash: two runs are equal if and only if their traces are.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::HostId;
use crate::base::Instant;

/// Hash of all events, in order: 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The trace of a simulation, shared by all parts that add to it.
pub type SharedTrace = Arc<Mutex<Trace>>;

/// Kinds of engine events in the trace. Disks mark their own.
pub(crate) mod kind {
    pub const SPAWN: u64 = 1;
    pub const POLL: u64 = 2;
    pub const TIMER: u64 = 3;
    pub const DELIVER: u64 = 4;
    pub const FAULT: u64 = 5;
    pub const PROBE: u64 = 6;
    pub const CLIENT: u64 = 7;
}

/// Folds events into a hash, and records their texts on request.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
    /// Buffer for the value that is being added.
    scratch: Scratch,
}

/// The bytes that a value feeds to its hasher. Formatting values as text would take a twelfth of a
/// run.
#[derive(Debug, Default)]
struct Scratch(Vec<u8>);

impl Hasher for Scratch {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Unused: the trace hashes the bytes itself.
    fn finish(&self) -> u64 {
        0
    }
}

/// Adds a word to a hash. Most events are just four numbers; for those, an invertible step is
/// enough, because it loses nothing.
fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

impl Trace {
    /// Adds an event: time, kind, numbers, bytes. `text` is only called when texts are recorded.
    pub fn add(
        &mut self,
        at: Instant,
        kind: u64,
        numbers: [u64; 2],
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        for word in [at.0, kind, numbers[0], numbers[1]] {
            self.hash = mix(self.hash, word);
        }
        if !bytes.is_empty() {
            self.hash = xxh3_64_with_seed(bytes, self.hash);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at} {:016x} {}", self.hash, text()));
        }
    }

    /// Adds an event that is a value, hashed completely.
    pub fn add_value(
        &mut self,
        at: Instant,
        kind: u64,
        host: HostId,
        value: &(impl Hash + fmt::Debug),
    ) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.0.clear();
        value.hash(&mut scratch);
        self.add(at, kind, [u64::from(host.0), 0], &scratch.0, || format!("{host} {value:?}"));
        self.scratch = scratch;
    }

    /// The current hash.
    pub fn hash(&self) -> TraceHash {
        TraceHash(self.hash)
    }

    /// Records texts from now on.
    pub fn record(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// Takes the texts recorded so far.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
