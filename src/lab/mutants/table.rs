//! Which mutants there are, and which there are not yet.

use super::Mutant;
use crate::base::Flaw;

/// A mutant of the catalogue that the present code has no place for.
#[derive(Clone, Copy, Debug)]
pub struct Inexpressible {
    /// Its name in the catalogue.
    pub name: &'static str,
    /// What is missing.
    pub why: &'static str,
}

/// A flaw that can be switched on and that no exploration has found out.
#[derive(Clone, Copy, Debug)]
pub struct Uncaught {
    /// What is switched off.
    pub flaw: Flaw,
    /// What is known of the reason.
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

/// What a client is told with `acks=1` is no promise; what was exposed to readers is.
const INCOMPLETE: &[&str] = &["leader-completeness", "candidate-completeness"];

/// Every mutant that is hunted.
pub const MUTANTS: &[Mutant] = &[
    mutant(Flaw::TruncateToHighWatermark, "KIP-101", "kills", LOST),
    mutant(Flaw::IgnoreDivergingOffset, "KAFKA-13141", "long-tails", INCOMPLETE),
    mutant(Flaw::TruncateAfterHighWatermark, "KAFKA-14704", "kills", &["committed-prefix-agrees"]),
    mutant(Flaw::HighWatermarkOverCommittedIsr, "KAFKA-8836", "cuts", LOST),
    mutant(Flaw::ForgetLastInSync, "KIP-966", "power", LOST),
    mutant(Flaw::HighWatermarkBelowMinIsr, "KAFKA-15583", "acks-1", INCOMPLETE),
    mutant(Flaw::NoMinInsync, "KAFKA-1555", "cuts", &["acked-write-lost", "min-insync-enforced"]),
    mutant(Flaw::UncleanOn, "KIP-106", "kills", &["acked-write-lost"]),
    mutant(Flaw::LagByFetchTime, "replica.lag.time.max.ms", "stale-watermark", LOST),
    mutant(Flaw::NoDirectorySync, "KAFKA-3968", "flushed-power", LOST),
    mutant(Flaw::EarlyTombstone, "KIP-534", "compaction", &["compaction-keeps-latest"]),
];

/// Flaws that are there and not found.
pub const UNCAUGHT: &[Uncaught] = &[
    uncaught(
        Flaw::NoEpochEntryOnElection,
        "elections without writes are explored, but no two logs were seen to part by it",
    ),
    uncaught(
        Flaw::UnfencedFetch,
        "followers compare epochs with each fetch, so that one of an old epoch is true all the same",
    ),
    uncaught(
        Flaw::JoinBeforeEpochStart,
        "a high watermark is stale for one round trip only: links have to be slower",
    ),
    uncaught(
        Flaw::FencedMayJoin,
        "a fenced member that has all records is no loss; no invariant says that it may not be there",
    ),
    uncaught(
        Flaw::NoBrokerEpochInIsr,
        "an AlterPartition has to arrive after its subject's session timed out: requests have to be slower",
    ),
    uncaught(
        Flaw::ConsumerIgnoresTruncation,
        "after an unclean election an offset shows two records anyway; no invariant follows what one \
         consumer missed",
    ),
    uncaught(
        Flaw::TrustDirtyStart,
        "no invariant says yet that recovery trusts only what was synced",
    ),
    uncaught(
        Flaw::RenameBeforeSync,
        "not seen where the rack loses power; a malformed history of epochs is rebuilt from batches",
    ),
    uncaught(
        Flaw::DropMarkers,
        "no load writes transactions; a test of the log shows that it leaves a transaction open for ever",
    ),
    uncaught(
        Flaw::OneBatchWindow,
        "not seen where answers were cut off from producers; the reason is not known yet",
    ),
];

/// Mutants of the catalogue that the present code has no place for.
pub const INEXPRESSIBLE: &[Inexpressible] = &[
    missing(
        "truncate-to-hw-diverge",
        "the same switch as `truncate-to-hw-loss`, told by another invariant",
    ),
    missing(
        "epoch-reply-without-epoch",
        "followers learn where logs part from Fetch, which always names the epoch",
    ),
    missing("stale-epoch-in-session", "there are no fetch sessions"),
    missing("join-without-epoch-fetch", "replicas are not reassigned"),
    missing("no-topic-id", "no fault deletes a topic and creates it again"),
    missing(
        "stale-control-request",
        "no controller sends requests to brokers: they fetch the metadata log",
    ),
    missing("retry-fsync", "no fault makes a sync fail"),
    missing("serve-bad-crc", "no fault lets bits rot"),
    missing("dead-dir-stays-leader", "no fault breaks a log directory"),
    missing("forget-producer", "no switch lets retention take producers along"),
    missing("no-fsync-before-ack", "there is no quorum of controllers"),
    missing("commit-old-epoch", "there is no quorum of controllers"),
    missing("no-check-quorum", "there is no quorum of controllers"),
    missing("no-pre-vote", "there is no quorum of controllers"),
    missing("two-controllers", "there is no quorum of controllers"),
    missing("stale-alter-partition", "there is no change of controller"),
    missing("unverified-transaction", "there are no transactions"),
    missing("no-epoch-bump", "there are no transactions"),
    missing("no-generation-fence", "there are no transactions"),
    missing("zombie-end-txn", "there are no transactions"),
    missing("commit-prefetched", "there are no groups"),
    missing("owned-without-generation", "there are no groups"),
    missing("endless-cooperative", "there are no groups"),
    missing("slow-commit-expels", "there are no groups"),
    missing("forget-static-member", "there are no groups"),
    missing("wrong-offset-expiry", "there are no groups"),
];
