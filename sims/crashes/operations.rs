//! Operations on logs, and series of them.

use brokerquake::base::{Seed, Stream};
use rand::RngExt as _;

use self::Operation::*;

/// An operation of a broker on its log.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// A leader appends a batch.
    Append { records: usize, size: usize },
    /// A leader appends the next batch of an idempotent producer.
    Produce { producer: i64, records: usize },
    /// A new leader epoch begins, with its first batch or without one.
    NewEpoch { saved: bool },
    /// A segment was rolled: the sealed segments are synced.
    FlushRolled,
    /// Everything is synced.
    Flush,
    /// The recovery point is saved.
    Checkpoint,
    /// The log is truncated by this many batches.
    Truncate { batches: usize },
    /// The log is emptied and starts at a higher offset.
    StartOver { ahead: i64 },
    /// The log start moves over this many batches, and is saved.
    AdvanceStart { batches: usize },
    /// The process shuts down cleanly, and restarts.
    CleanRestart,
    /// The process is killed, and restarts.
    Killed,
    /// The partition is deleted, and created again.
    Recreate,
    /// A leader appends a batch with a record for each of these keys.
    Put { keys: &'static str, size: usize },
    /// A leader appends a batch with a tombstone for each of these keys.
    Remove { keys: &'static str },
    /// A follower appends the next batch of a compacted leader, after a gap of this many offsets.
    Follow { missing: i64, keys: &'static str },
    /// The log is compacted, and its cleaner offset saved.
    Clean,
    /// Old segments are deleted; the others have at least this many bytes.
    Expire { keep: u64 },
    /// A client deletes the records of this many batches from the start; nothing is saved yet.
    DeleteRecords { batches: usize },
    /// The log start is saved.
    SaveStart,
}

impl Operation {
    /// Whether it needs a compacted log.
    pub fn compacts(&self) -> bool {
        matches!(self, Put { .. } | Remove { .. } | Follow { .. } | Clean)
    }
}

pub const APPEND: Operation = Append { records: 2, size: 40 };
pub const BIG: Operation = Append { records: 1, size: 500 };

/// A random series of operations.
pub fn drawn(seed: u64) -> Vec<Operation> {
    let mut random = Seed(seed).stream(Stream::named("deeds"));
    let mut operations = Vec::new();
    for _ in 0..14 {
        let operation = match random.random_range(0..22u32) {
            0..6 => Append { records: random.random_range(1..4), size: random.random_range(1..90) },
            6..8 => BIG,
            8..11 => Operation::Produce { producer: random.random_range(1..3), records: 1 },
            11 => Operation::NewEpoch { saved: random.random_bool(0.5) },
            12 => Operation::FlushRolled,
            13..15 => Operation::Flush,
            15 => Operation::Checkpoint,
            16 => {
                // A truncation follows from another leader's log.
                operations.push(Operation::Truncate { batches: random.random_range(1..4) });
                Operation::NewEpoch { saved: random.random_bool(0.5) }
            }
            17 => Operation::Killed,
            18 => Operation::CleanRestart,
            19 => Operation::AdvanceStart { batches: 1 },
            20 => Operation::DeleteRecords { batches: 2 },
            _ => Operation::Expire { keep: random.random_range(0..1500) },
        };
        operations.push(operation);
    }
    operations
}

/// The hand-written series of operations.
pub fn workloads() -> Vec<(&'static str, Vec<Operation>)> {
    let rolls = vec![APPEND, BIG, FlushRolled, APPEND, BIG, FlushRolled, Checkpoint, APPEND];
    let checkpoints = vec![APPEND, Flush, Checkpoint, APPEND, APPEND, Flush, Checkpoint, APPEND];
    let truncates = vec![
        APPEND,
        APPEND,
        BIG,
        Flush,
        Checkpoint,
        APPEND,
        Truncate { batches: 3 },
        NewEpoch { saved: true },
        APPEND,
        BIG,
        Flush,
        Checkpoint,
        Truncate { batches: 1 },
        NewEpoch { saved: false },
        APPEND,
        APPEND,
    ];
    let deletes = vec![APPEND, BIG, Flush, Checkpoint, Recreate, APPEND, APPEND, Flush, Recreate];
    let recovers = vec![
        APPEND, BIG, APPEND, Killed, APPEND, BIG, Flush, Checkpoint, Killed, APPEND, Killed, BIG,
    ];
    let restarts = vec![
        APPEND,
        BIG,
        CleanRestart,
        APPEND,
        APPEND,
        BIG,
        CleanRestart,
        APPEND,
        Flush,
        Killed,
        APPEND,
    ];
    let starts = vec![
        APPEND,
        APPEND,
        BIG,
        Flush,
        AdvanceStart { batches: 1 },
        APPEND,
        Checkpoint,
        StartOver { ahead: 5 },
        NewEpoch { saved: true },
        APPEND,
        Flush,
        APPEND,
    ];
    let idempotent = |producer| Produce { producer, records: 2 };
    let produces = vec![
        idempotent(1),
        idempotent(2),
        BIG,
        idempotent(1),
        FlushRolled,
        idempotent(2),
        BIG,
        idempotent(1),
        Flush,
        Checkpoint,
        idempotent(2),
        Truncate { batches: 2 },
        NewEpoch { saved: true },
        idempotent(1),
        Killed,
        idempotent(1),
    ];
    let appends = vec![APPEND; 12];
    let mut all = compacting();
    all.extend(compacting_epochs());
    all.extend(retaining());
    all.extend([
        ("appends", appends),
        ("rolls", rolls),
        ("checkpoints", checkpoints),
        ("truncates", truncates),
        ("deletes", deletes),
        ("recovers", recovers),
        ("restarts", restarts),
        ("starts", starts),
        ("produces", produces),
    ]);
    all
}

/// Series with cleanings, and with operations before, during and after them.
fn compacting() -> Vec<(&'static str, Vec<Operation>)> {
    let put = |keys| Put { keys, size: 60 };
    let follow = |missing, keys| Follow { missing, keys };
    vec![
        (
            "compacts",
            vec![
                put("abc"),
                put("abd"),
                put("ae"),
                FlushRolled,
                Checkpoint,
                put("bf"),
                put("abc"),
                FlushRolled,
                Clean,
                put("ag"),
                put("cd"),
                put("ae"),
                Flush,
                Clean,
                put("ah"),
            ],
        ),
        (
            "tombstones",
            vec![
                put("abc"),
                put("abd"),
                Remove { keys: "ab" },
                put("cd"),
                put("ce"),
                FlushRolled,
                Clean,
                put("cf"),
                put("fg"),
                put("fh"),
                FlushRolled,
                Clean,
                put("ai"),
                Killed,
                put("ck"),
            ],
        ),
        (
            "follows",
            vec![
                follow(0, "abc"),
                follow(3, "abd"),
                follow(2, "ae"),
                follow(5, "fg"),
                Flush,
                follow(1, "abg"),
                Checkpoint,
                follow(4, "hi"),
                follow(4, "abc"),
                follow(2, "d"),
                Killed,
                NewEpoch { saved: true },
                follow(2, "abg"),
                FlushRolled,
                Clean,
                follow(3, "ab"),
            ],
        ),
    ]
}

/// Cleaning of logs with several epochs, and together with retention.
fn compacting_epochs() -> Vec<(&'static str, Vec<Operation>)> {
    let put = |keys| Put { keys, size: 60 };
    vec![
        (
            "compacts epochs",
            vec![
                put("abc"),
                NewEpoch { saved: true },
                put("a"),
                put("b"),
                put("d"),
                put("aed"),
                NewEpoch { saved: false },
                put("abd"),
                put("ef"),
                put("efg"),
                Flush,
                Clean,
                put("ab"),
                Killed,
                put("ef"),
                CleanRestart,
                put("ag"),
            ],
        ),
        (
            "compacts and expires",
            vec![
                put("abc"),
                put("abd"),
                put("aef"),
                put("bf"),
                put("abc"),
                FlushRolled,
                Clean,
                put("agh"),
                put("cde"),
                put("ae"),
                Flush,
                Expire { keep: 500 },
                put("ah"),
            ],
        ),
    ]
}

/// Series with retention by size and on request.
fn retaining() -> Vec<(&'static str, Vec<Operation>)> {
    let idempotent = Produce { producer: 1, records: 2 };
    vec![
        (
            "expires",
            vec![
                APPEND,
                BIG,
                APPEND,
                BIG,
                FlushRolled,
                Checkpoint,
                Expire { keep: 600 },
                APPEND,
                Expire { keep: 0 },
                APPEND,
            ],
        ),
        (
            "expires epochs",
            vec![
                idempotent,
                BIG,
                NewEpoch { saved: true },
                APPEND,
                BIG,
                FlushRolled,
                NewEpoch { saved: false },
                idempotent,
                Flush,
                Expire { keep: 600 },
                Checkpoint,
                idempotent,
                CleanRestart,
                Expire { keep: 0 },
                APPEND,
            ],
        ),
        (
            "deletes records",
            vec![
                APPEND,
                BIG,
                NewEpoch { saved: true },
                APPEND,
                Flush,
                DeleteRecords { batches: 2 },
                APPEND,
                Flush,
                Killed,
                DeleteRecords { batches: 2 },
                SaveStart,
                Expire { keep: 5000 },
                BIG,
                DeleteRecords { batches: 9 },
                Expire { keep: 5000 },
                APPEND,
            ],
        ),
    ]
}
