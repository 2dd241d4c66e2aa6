//! The mutants, and those that can't be expressed yet.

use super::Mutant;
use crate::base::Flaw;

/// A mutant of the catalogue that can't be expressed in the code yet.
#[derive(Clone, Copy, Debug)]
pub struct Inexpressible {
    /// Its name in the catalogue.
    pub name: &'static str,
    /// The missing feature.
    pub why: &'static str,
}

/// A bug that can be re-enabled and that no scenario has caught.
#[derive(Clone, Copy, Debug)]
pub struct Uncaught {
    /// The flaw that re-enables the bug.
    pub flaw: Flaw,
    /// The known reason.
    pub why: &'static str,
}

const fn mutant(
    flaw: Flaw,
    source: &'static str,
    scenario: &'static str,
    breaks: &'static [&'static str],
) -> Mutant {
    Mutant { flaw, source, scenario, breaks }
}

const fn uncaught(flaw: Flaw, why: &'static str) -> Uncaught {
    Uncaught { flaw, why }
}

const fn missing(name: &'static str, why: &'static str) -> Inexpressible {
    Inexpressible { name, why }
}

const LOST: &[&str] = &["leader-completeness", "candidate-completeness", "acked-write-lost"];

/// `acks=1` promises nothing to producers, but records exposed to consumers are promised.
const INCOMPLETE: &[&str] = &["leader-completeness", "candidate-completeness"];

/// A group that passes by records.
const LEFT_OUT: &[&str] = &["processed-at-least-once"];

/// A group that waits for a member, or has one that no process is.
const UNSTABLE: &[&str] = &["group-stabilises"];

/// Part of a transaction has another outcome than the rest.
const TORN: &[&str] =
    &["torn-transaction", "aborted-read", "g1b", "acked-write-lost", "markers-complete"];

/// The outcome of another producer's transaction, or one that a zombie is told of.
const BY_ZOMBIE: &[&str] = &["zombie-producer-fenced", "torn-transaction", "aborted-read", "g1b"];

/// A transaction that no coordinator ends, or that is shown to readers who are told of its abort.
const LEFT_OPEN: &[&str] = &["no-hanging-transaction", "aborted-read"];

/// A client has an epoch with which no transaction can be ended.
const UNROTATED: &[&str] = &["producer-epoch-unique", "no-hanging-transaction"];

/// A transaction that is decided, or should be, and never complete.
const UNFINISHED: &[&str] =
    &["no-hanging-transaction", "transactions-complete", "decision-durable", "markers-complete"];

/// A node that can't start again, because its files are inconsistent.
const NEVER_BACK: &str = "converges";

/// A stage whose inputs have two outputs, or none, though it commits both in one transaction.
const STAGED: &[&str] = &["input-output-mismatch", "zombie-fenced"];

/// The mutants that are hunted.
pub const MUTANTS: &[Mutant] = &[
    mutant(Flaw::TruncateToHighWatermark, "KIP-101", "kills", LOST),
    mutant(Flaw::NoEpochEntryOnElection, "KAFKA-7415", "blind-brokers", LOST),
    mutant(Flaw::UnfencedFetch, "KIP-320", "old-news", INCOMPLETE),
    mutant(Flaw::JoinBeforeEpochStart, "KAFKA-7128", "cuts", INCOMPLETE),
    mutant(Flaw::IgnoreDivergingOffset, "KAFKA-13141", "long-tails", INCOMPLETE),
    mutant(Flaw::TruncateAfterHighWatermark, "KAFKA-14704", "kills", &["committed-prefix-agrees"]),
    mutant(Flaw::HighWatermarkOverCommittedIsr, "KAFKA-8836", "slow-controller", LOST),
    mutant(Flaw::FencedMayJoin, "KIP-841", "cuts", &["candidate-completeness"]),
    mutant(Flaw::ForgetLastInSync, "KIP-966", "power", LOST),
    mutant(Flaw::HighWatermarkBelowMinIsr, "KAFKA-15583", "acks-1", INCOMPLETE),
    mutant(Flaw::NoMinInsync, "KAFKA-1555", "cuts", &["acked-write-lost", "min-insync-enforced"]),
    mutant(Flaw::UncleanOn, "KIP-106", "kills", &["acked-write-lost"]),
    mutant(Flaw::ConsumerIgnoresTruncation, "KAFKA-7747", "unclean", &["poll-splice"]),
    mutant(Flaw::LagByFetchTime, "replica.lag.time.max.ms", "stale-watermark", LOST),
    mutant(Flaw::TrustDirtyStart, "KAFKA-10471", "restart-power", &["recovery-trusts-only-synced"]),
    mutant(Flaw::NoDirectorySync, "KAFKA-3968", "flushed-power", LOST),
    mutant(Flaw::RetryFsync, "fsyncgate", "failing-syncs", LOST),
    mutant(Flaw::DeadDirectoryStaysLeader, "KIP-858", "dead-directory", &["writes-resume"]),
    mutant(
        Flaw::RenameBeforeSync,
        "KAFKA-16541",
        "flushed-power",
        &["committed-prefix-agrees", NEVER_BACK],
    ),
    mutant(Flaw::IgnoreDirectoryIds, "KIP-858", "replaced", &["replaced-replica-waits"]),
    mutant(Flaw::ServeBadCrc, "bit rot", "rot", &["recovery-trusts-only-synced"]),
    mutant(Flaw::OneBatchWindow, "KAFKA-5494", "lost-answers", &["duplicate"]),
    mutant(Flaw::EarlyTombstone, "KIP-534", "compaction", &["compaction-keeps-latest"]),
    mutant(Flaw::UncleanRestartUnseen, "KAFKA-18635", "power", LOST),
    mutant(Flaw::ElrCountedAsUnclean, "KAFKA-18940", "elr", &["clean-election-told"]),
    mutant(Flaw::AnySequence, "KIP-98", "misbehaving", &["misbehaviour-refused"]),
    mutant(
        Flaw::UncheckedAppend,
        "damage on the wire",
        "damaged-wire",
        &["recovery-trusts-only-synced", "dirty-read", "acked-write-lost"],
    ),
    mutant(Flaw::CommitPrefetched, "KAFKA-2942", "auto-commit", LEFT_OUT),
    mutant(Flaw::CommitFromBuffer, "KAFKA-18641", "auto-commit", LEFT_OUT),
    mutant(Flaw::OwnedWithoutGeneration, "KAFKA-14639", "lost-joins", &["one-owner"]),
    mutant(Flaw::EndlessCooperative, "KAFKA-8831", "never-revokes", UNSTABLE),
    mutant(Flaw::SlowCommitExpels, "KAFKA-14024", "short-polls", UNSTABLE),
    mutant(Flaw::ForgetStaticMember, "KAFKA-10284", "static-members", &["static-member-keeps"]),
    mutant(Flaw::WrongOffsetExpiry, "KIP-211", "late-clocks", &["commit-rewound"]),
    mutant(Flaw::EpochLostOnReturn, "KAFKA-16147", "slow-revocations", &["one-owner"]),
    mutant(Flaw::PhantomMembers, "KAFKA-16555", "slow-leaves", &["assignment-complete"]),
    mutant(Flaw::EpochZeroRefused, "KAFKA-19233", "lost-leaves", UNSTABLE),
    mutant(Flaw::FencedLastMember, "KAFKA-20442", "lone-members", &["generation-monotonic"]),
    mutant(Flaw::ErrorKeepsInFlight, "KAFKA-16215", "fenced-members", UNSTABLE),
    mutant(Flaw::LeaveDropped, "KAFKA-16639", "slow-leaves", UNSTABLE),
    mutant(Flaw::UnverifiedTransaction, "KIP-890", "late-batches", LEFT_OPEN),
    mutant(Flaw::NoEpochBump, "KIP-890", "late-ends", TORN),
    mutant(Flaw::ZombieEndTxn, "KAFKA-9600", "zombie-producers", BY_ZOMBIE),
    mutant(Flaw::LateMarkerOfAnEarlierTransaction, "KAFKA-19446", "late-markers", TORN),
    mutant(Flaw::StrictMarker, "KAFKA-19999", "lost-markers", UNFINISHED),
    mutant(Flaw::NextWhileCompleting, "KAFKA-18575", "slow-markers", UNFINISHED),
    mutant(Flaw::WrongIdAtOverflow, "KAFKA-18660", "last-epochs", &["producer-epoch-unique"]),
    mutant(Flaw::NoRotationAtFence, "KAFKA-20090", "last-fences", UNROTATED),
    mutant(Flaw::ForgetProducer, "KIP-360", "retained-away", &["duplicate"]),
    mutant(
        Flaw::ResetAllSequences,
        "KAFKA-12152",
        "epochs-in-flight",
        &["send-reorder", "duplicate"],
    ),
    mutant(Flaw::NoGenerationFence, "KIP-447", "zombie-members", STAGED),
    mutant(Flaw::CommitCheckedTooEarly, "KAFKA-15784", "slow-verification", STAGED),
    mutant(
        Flaw::MarkersBeforeCache,
        "KAFKA-17507",
        "aborts-after-commits",
        &["commit-rewound", "input-output-mismatch"],
    ),
    mutant(Flaw::DropMarkers, "KAFKA-14055", "compacted-markers", &["compaction-keeps-latest"]),
];

/// Bugs that no scenario catches.
pub const UNCAUGHT: &[Uncaught] = &[
    uncaught(
        Flaw::NoBrokerEpochInIsr,
        "a dead broker can't register again before its session times out, and a leader's AlterPartition \
         arrives before that, or the leader is fenced too; only a broker that dies during its shutdown, \
         or while it is fenced and its leader does not know, registers sooner",
    ),
    uncaught(Flaw::NoFsyncBeforeAck, NO_SCENARIO),
    uncaught(Flaw::CommitOldEpoch, NO_SCENARIO),
    uncaught(Flaw::NoCheckQuorum, NO_SCENARIO),
    uncaught(Flaw::NoPreVote, NO_SCENARIO),
    uncaught(Flaw::LeaderCountsItself, NO_SCENARIO),
    uncaught(Flaw::PreVoteRefusedAfterResignation, NO_SCENARIO),
];

/// Bugs of the quorum, which its own simulation catches (`quorum/tests`).
const NO_SCENARIO: &str = "no scenario yet";

/// Mutants of the catalogue that can't be expressed yet.
pub const INEXPRESSIBLE: &[Inexpressible] = &[
    missing(
        "truncate-to-hw-diverge",
        "the same switch as `truncate-to-hw-loss`, caught by another invariant",
    ),
    missing(
        "epoch-reply-without-epoch",
        "followers learn where logs diverge from Fetch, which always has the epoch",
    ),
    missing(
        "stale-epoch-in-session",
        "no switch makes a follower keep an old leader epoch in its fetch session",
    ),
    missing(
        "join-without-epoch-fetch",
        "replicas are not reassigned, and a leader starts every epoch without follower state",
    ),
    missing(
        "reused-buffer",
        "a batch in flight is immutable and shared with its request: safe Rust can't write into it, and \
         it is freed when the last of both is gone",
    ),
    missing("no-topic-id", "no fault deletes a topic and creates it again"),
    missing(
        "stale-control-request",
        "no controller sends requests to brokers: they fetch the metadata log",
    ),
    missing("two-controllers", "there is no quorum of controllers"),
    missing("stale-alter-partition", "there is no change of controller"),
];
