//! Historical Kafka bugs that can be re-enabled, to prove that our checkers find them.
//!
//! A flaw switches one fix off. [`Flaws`] is passed to a node or a client beside its settings: no
//! configuration key sets it. Flaws exist only in test builds (`debug_assertions`) and under the
//! feature `mutants`; in any other build [`Flaws::has`] is a constant `false`.

#[cfg(any(debug_assertions, feature = "mutants"))]
use std::cell::RefCell;
#[cfg(any(debug_assertions, feature = "mutants"))]
use std::collections::BTreeSet;

/// Declares the flaws: name in the catalogue, and what is switched off.
macro_rules! flaws {
    ($($(#[$doc:meta])* $flaw:ident = $name:literal,)*) => {
        /// One historical bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Flaw {
            $($(#[$doc])* $flaw,)*
        }

        #[cfg(any(debug_assertions, feature = "mutants"))]
        impl Flaw {
            pub const ALL: &'static [Self] = &[$(Self::$flaw,)*];

            /// The name in reports and on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$flaw => $name,)*
                }
            }
        }
    };
}

flaws! {
    /// KIP-101: a new follower truncates its log to its own high watermark, without comparing epochs.
    TruncateToHighWatermark = "truncate-to-hw-loss",
    /// KAFKA-7415: a new leader does not record that its epoch begins at its log end. Asked about a
    /// newer epoch than it has recorded, it has no answer, and the follower truncates its log to its
    /// own high watermark.
    NoEpochEntryOnElection = "no-epoch-entry-on-election",
    /// KIP-320: a leader accepts a fetch with another leader epoch, and trusts its position.
    UnfencedFetch = "unfenced-fetch",
    /// KAFKA-7128: a follower joins the ISR at the high watermark, below the start of the epoch.
    JoinBeforeEpochStart = "join-before-epoch-start",
    /// KAFKA-13141: a leader counts the position of a follower whose log diverges from its own.
    IgnoreDivergingOffset = "ignore-diverging-offset",
    /// KAFKA-14704: a follower takes over the high watermark before it truncates its log.
    TruncateAfterHighWatermark = "truncate-after-hw",
    /// KAFKA-8836: the high watermark waits for the committed ISR only, not for joining replicas.
    HighWatermarkOverCommittedIsr = "hw-over-committed-isr",
    /// KIP-841: a replica that is fenced or shutting down may join the ISR.
    FencedMayJoin = "fenced-may-join",
    /// KIP-903: AlterPartition does not check the broker epochs of new ISR members.
    NoBrokerEpochInIsr = "no-broker-epoch-in-isr",
    /// KIP-966: there is no ELR, and an unclean restart of a broker is not detected.
    ForgetLastInSync = "forget-last-in-sync",
    /// KAFKA-15583: the high watermark advances while the ISR is below `min.insync.replicas`.
    HighWatermarkBelowMinIsr = "hw-below-min-isr",
    /// KAFKA-1555: `min.insync.replicas` is not checked.
    NoMinInsync = "no-min-insync",
    /// KIP-106: unclean leader election is on by default.
    UncleanOn = "unclean-on",
    /// KAFKA-7747: a consumer does not check after a leader change whether its log was truncated.
    ConsumerIgnoresTruncation = "consumer-ignores-truncation",
    /// `replica.lag.time.max.ms`: a follower that fetched recently counts as caught up.
    LagByFetchTime = "lag-by-fetch-time",
    /// KAFKA-10471: the marker of a clean shutdown stays while the log is in use.
    TrustDirtyStart = "trust-dirty-start",
    /// KAFKA-3968: a directory is not synced after a file was created in it.
    NoDirectorySync = "no-dir-sync",
    /// KAFKA-16541: a checkpoint is renamed before it is synced.
    RenameBeforeSync = "rename-before-sync",
    /// "fsyncgate": a failed sync is retried, and the success of the retry believed.
    RetryFsync = "retry-fsync",
    /// KIP-858: a failed log directory is not reported to the controller.
    DeadDirectoryStaysLeader = "dead-dir-stays-leader",
    /// KIP-858: a replica counts as the one that was assigned, whatever the id of its directory: an
    /// empty disk in the place of the former one makes it an empty candidate.
    IgnoreDirectoryIds = "ignore-directory-ids",
    /// KIP-534: a cleaner removes a tombstone the first time that it reads it.
    EarlyTombstone = "early-tombstone",
    /// KAFKA-14055: a cleaner removes the marker of a transaction before its records.
    DropMarkers = "drop-markers",
    /// Recovery and reads do not verify checksums.
    ServeBadCrc = "serve-bad-crc",
    /// KAFKA-5494: only the last batch of a producer is remembered, and a producer with a gap in its
    /// sequence numbers sends all unacknowledged batches under new ones, as Kafka's does.
    OneBatchWindow = "one-batch-window",
    /// KAFKA-12152: a producer that raises its epoch numbers the batches of all partitions from 0, also
    /// where batches of the old epoch are under way.
    ResetAllSequences = "reset-all-sequences",
    /// KAFKA-18635: an eligible leader that restarts uncleanly stays eligible.
    UncleanRestartUnseen = "unclean-restart-unseen",
    /// KAFKA-18940: the election of an eligible leader replica counts as unclean.
    ElrCountedAsUnclean = "elr-counted-as-unclean",
    /// KIP-98: a broker takes any sequence number, and any epoch, of a producer that it knows.
    AnySequence = "any-sequence",
    /// Brokers append batches without verifying their checksums.
    UncheckedAppend = "unchecked-append",
    /// KAFKA-2942: an automatic commit takes the end of what was fetched, not of what was returned.
    CommitPrefetched = "commit-prefetched",
    /// KAFKA-18641: the commit before a revocation takes the end of what was fetched.
    CommitFromBuffer = "commit-from-buffer",
    /// KAFKA-14639: a member whose claim is of an older generation than another's owns nothing.
    OwnedWithoutGeneration = "owned-without-generation",
    /// KAFKA-8831: the coordinator waits for members that do not join for as long as they heartbeat,
    /// and a member heartbeats for as long as its listener takes.
    EndlessCooperative = "endless-cooperative",
    /// KAFKA-14024: each poll begins the commit before a rebalance again, without a limit.
    SlowCommitExpels = "slow-commit-expels",
    /// KAFKA-10284: the new member id of a static member is not stored.
    ForgetStaticMember = "forget-static-member",
    /// KIP-211: offsets expire though their group has members.
    WrongOffsetExpiry = "wrong-offset-expiry",
    /// KAFKA-16147: a partition that a member had to give up and gets back has no owner.
    EpochLostOnReturn = "epoch-lost-on-return",
    /// KAFKA-16555: a heartbeat counts as answered if one before it was answered at the same time; a
    /// member without an id is then another one with each.
    PhantomMembers = "phantom-members",
    /// KAFKA-19233: a member that the coordinator knows may not join again with epoch 0.
    EpochZeroRefused = "epoch-zero-refused",
    /// KAFKA-20442: the assignment epoch of a group stays behind when its last member goes.
    FencedLastMember = "fenced-last-member",
    /// KAFKA-16215: a heartbeat that was answered with an error counts as being under way.
    ErrorKeepsInFlight = "error-keeps-in-flight",
    /// KAFKA-16639: a member that leaves while a heartbeat is under way does not say so.
    LeaveDropped = "leave-dropped",
    /// KIP-360: a producer is forgotten when retention deletes its last batch.
    ForgetProducer = "forget-producer",
    /// KIP-890: a partition takes the first batch of a transaction without asking its coordinator.
    UnverifiedTransaction = "unverified-transaction",
    /// KAFKA-19446: under transaction version 2, a marker with the epoch of the open transaction ends it,
    /// though it is the late marker of the transaction before.
    LateMarkerOfAnEarlierTransaction = "late-marker-of-an-earlier-transaction",
    /// KAFKA-19999: under transaction version 2, a marker that is written again is refused.
    StrictMarker = "strict-marker",
    /// KIP-447: offsets in a transaction are taken from any member, of any generation.
    NoGenerationFence = "no-generation-fence",
    /// KAFKA-15784: the generation of offsets in a transaction is checked before the transaction is
    /// verified, and not after.
    CommitCheckedTooEarly = "commit-checked-too-early",
    /// KAFKA-17507: a marker in `__consumer_offsets` is acknowledged before the group coordinator has
    /// committed the offsets of the transaction.
    MarkersBeforeCache = "markers-before-cache",
    /// KIP-890, part 2: all transactions of a producer have one epoch.
    NoEpochBump = "no-epoch-bump",
    /// KAFKA-9600: a transaction may be ended with any epoch of its producer id.
    ZombieEndTxn = "zombie-end-txn",
    /// KAFKA-18575: the next transaction may begin while the markers of the last one travel.
    NextWhileCompleting = "next-while-completing",
    /// KAFKA-18660: when the epochs are exhausted, the answer to EndTxn names the former producer id.
    WrongIdAtOverflow = "wrong-id-at-overflow",
    /// KAFKA-20090: a fence that exhausts the epochs does not change the producer id, and a
    /// transaction in the last epoch can't be ended.
    NoRotationAtFence = "no-rotation-at-fence",
    /// KAFKA-10533: a replica of the metadata log counts, and acknowledges, what it has not synced.
    NoFsyncBeforeAck = "no-fsync-before-ack",
    /// Raft, section 5.4.2: a leader commits records of older epochs by counting replicas.
    CommitOldEpoch = "commit-old-epoch",
    /// KAFKA-15489: a leader that is cut off from the voters leads on.
    NoCheckQuorum = "no-check-quorum",
    /// KIP-996: a voter raises the epoch without asking first whether it can be elected.
    NoPreVote = "no-pre-vote",
    /// KAFKA-16530: a leader that is not a voter any more counts itself for the high watermark.
    LeaderCountsItself = "leader-counts-itself",
    /// KAFKA-20895: a follower refuses pre-votes though its leader has resigned.
    PreVoteRefusedAfterResignation = "pre-vote-refused-after-resignation",
}

#[cfg(any(debug_assertions, feature = "mutants"))]
thread_local! {
    /// Whether each flaw was asked for on this thread.
    static ASKED: RefCell<[bool; Flaw::ALL.len()]> = const { RefCell::new([false; Flaw::ALL.len()]) };
}

/// The flaws of one node or client: at most one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    #[cfg(any(debug_assertions, feature = "mutants"))]
    one: Option<Flaw>,
}

impl Flaws {
    /// Whether this bug is present.
    #[cfg(any(debug_assertions, feature = "mutants"))]
    pub fn has(self, flaw: Flaw) -> bool {
        ASKED.with_borrow_mut(|asked| asked[flaw as usize] = true);
        self.one == Some(flaw)
    }

    /// Whether this bug is present: never in this build.
    #[cfg(not(any(debug_assertions, feature = "mutants")))]
    pub const fn has(self, _: Flaw) -> bool {
        false
    }

    /// The flaws that were asked for on this thread since the last call. A run that never asks for one
    /// is the same with it.
    #[cfg(any(debug_assertions, feature = "mutants"))]
    pub fn take_asked() -> BTreeSet<Flaw> {
        let asked = ASKED.replace([false; Flaw::ALL.len()]);
        Flaw::ALL.iter().zip(asked).filter_map(|(flaw, asked)| asked.then_some(*flaw)).collect()
    }

    /// The name of the bug that is present, if any.
    pub fn name(self) -> Option<&'static str> {
        #[cfg(any(debug_assertions, feature = "mutants"))]
        return self.one.map(Flaw::name);
        #[cfg(not(any(debug_assertions, feature = "mutants")))]
        return None;
    }

    /// This bug alone.
    #[cfg(any(debug_assertions, feature = "mutants"))]
    pub fn only(flaw: Flaw) -> Self {
        Self { one: Some(flaw) }
    }
}

#[cfg(all(test, any(debug_assertions, feature = "mutants")))]
mod tests {
    use super::*;

    #[test]
    fn flaws_that_were_asked_for_are_known_once() {
        Flaws::take_asked();
        Flaws::default().has(Flaw::ZombieEndTxn);
        Flaws::only(Flaw::NoEpochBump).has(Flaw::NoEpochBump);
        assert_eq!(Flaws::take_asked(), BTreeSet::from([Flaw::NoEpochBump, Flaw::ZombieEndTxn]));
        assert!(Flaws::take_asked().is_empty());
    }

    #[test]
    fn only_the_flaw_that_was_switched_on_is_present() {
        for flaw in Flaw::ALL {
            assert!(!Flaws::default().has(*flaw));
            let having = |one: &&Flaw| Flaws::only(**one).has(*flaw);
            assert_eq!(Flaw::ALL.iter().filter(having).collect::<Vec<_>>(), [flaw]);
        }
    }
}
