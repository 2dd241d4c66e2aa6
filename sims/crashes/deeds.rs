//! What is done to logs: deeds, and series of them.

use brokerquake::base::{Seed, Stream};
use rand::RngExt as _;

use self::Deed::*;

/// One thing that a broker does to its log.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// A leader appends a batch.
    Append { records: usize, size: usize },
    /// A leader appends the next batch of an idempotent producer.
    Produce { producer: i64, records: usize },
    /// A new leader epoch begins, with its first batch or without one.
    NewEpoch { saved: bool },
    /// A segment was rolled: what is sealed is synced.
    FlushRolled,
    /// Everything is synced.
    Flush,
    /// The recovery point is saved.
    Checkpoint,
    /// The log is cut, by so many batches.
    Truncate { batches: usize },
    /// The log is emptied and begins further on.
    StartAnew { ahead: i64 },
    /// So many batches from the start may not be read any more; that is saved.
    AdvanceStart { batches: usize },
    /// The process ends in order, and starts again.
    CleanRestart,
    /// The process dies, and starts again.
    Killed,
    /// The partition is deleted, and created again.
    Recreate,
    /// A leader appends a batch with a record for each of these keys.
    Put { keys: &'static str, size: usize },
    /// A leader appends a batch with a tombstone for each of these keys.
    Remove { keys: &'static str },
    /// A follower appends what a compacted leader has next: so many offsets further on.
    Follow { missing: i64, keys: &'static str },
    /// The log is compacted, and that is saved.
    Clean,
    /// Old segments go, so that the others have at least so many bytes.
    Expire { keep: u64 },
    /// A client has records deleted, of so many batches from the start; nothing is saved yet.
    DeleteRecords { batches: usize },
    /// The log's start is saved.
    SaveStart,
}

impl Deed {
    /// Whether only a compacted log knows it.
    pub fn compacts(&self) -> bool {
        matches!(self, Put { .. } | Remove { .. } | Follow { .. } | Clean)
    }
}

pub const APPEND: Deed = Append { records: 2, size: 40 };
pub const BIG: Deed = Append { records: 1, size: 500 };

/// Deeds that nobody thought of.
pub fn drawn(seed: u64) -> Vec<Deed> {
    let mut random = Seed(seed).stream(Stream::named("deeds"));
    let mut deeds = Vec::new();
    for _ in 0..14 {
        let deed = match random.random_range(0..22u32) {
            0..6 => Append { records: random.random_range(1..4), size: random.random_range(1..90) },
            6..8 => BIG,
            8..11 => Deed::Produce { producer: random.random_range(1..3), records: 1 },
            11 => Deed::NewEpoch { saved: random.random_bool(0.5) },
            12 => Deed::FlushRolled,
            13..15 => Deed::Flush,
            15 => Deed::Checkpoint,
            16 => {
                // A log is cut where another leader's differs.
                deeds.push(Deed::Truncate { batches: random.random_range(1..4) });
                Deed::NewEpoch { saved: random.random_bool(0.5) }
            }
            17 => Deed::Killed,
            18 => Deed::CleanRestart,
            19 => Deed::AdvanceStart { batches: 1 },
            20 => Deed::DeleteRecords { batches: 2 },
            _ => Deed::Expire { keep: random.random_range(0..1500) },
        };
        deeds.push(deed);
    }
    deeds
}

/// What is done to the logs.
pub fn workloads() -> Vec<(&'static str, Vec<Deed>)> {
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
        StartAnew { ahead: 5 },
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

/// What a cleaner does, and others before, meanwhile and after it.
fn compacting() -> Vec<(&'static str, Vec<Deed>)> {
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

/// What a cleaner does to a log of several epochs, and beside retention.
fn compacting_epochs() -> Vec<(&'static str, Vec<Deed>)> {
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

/// What retention takes, by bytes and on request.
fn retaining() -> Vec<(&'static str, Vec<Deed>)> {
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
