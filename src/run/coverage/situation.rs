//! The situations, each with its name and meaning.

use std::fmt;

macro_rules! situations {
    ($($variant:ident = $name:literal, $about:literal;)*) => {
        /// A situation that a run can reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Situation {
            $(
                #[doc = concat!($name, ": ", $about, ".")]
                $variant,
            )*
        }

        impl Situation {
            /// All situations, in the order of a report.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Its source, or its meaning.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }
        }
    };
}

situations! {
    IsrElection = "election from the ISR", "an in-sync replica takes over";
    ElrElection = "election from the ELR", "KIP-966: no ISR member can lead, but an eligible one that left it";
    LastKnownLeader = "election of the last known leader", "KIP-966: all eligible replicas lost unsynced data";
    UncleanElection = "unclean election", "KIP-106: an out-of-sync replica leads";
    SilentEpoch = "epoch without a record", "KAFKA-7415: the next election came before the leader wrote";
    Leaderless = "partition without a leader", "no replica may lead";
    HighWatermarkBehind = "high watermark behind at an election", "KIP-207: the leader does not know yet what was committed";
    TwoLeaders = "two leaders at once", "the older one does not know of its successor";
    DeposedAppend = "records appended by a deposed leader", "they must not count";
    WokeDeposed = "paused leader woke up deposed", "it does not know that time has passed";
    IsrShrunk = "ISR shrunk", "KIP-497";
    IsrGrown = "ISR grown", "KIP-497";
    IsrBelowMin = "ISR shrunk below min.insync.replicas", "acks=all is refused, the high watermark does not advance";
    IsrEmpty = "empty ISR", "KIP-966: the last member lost unsynced data";
    IsrRefused = "AlterPartition refused", "KIP-841, KIP-903: another epoch, or a replica that may not join";
    Diverging = "fetch answered with a diverging epoch", "KIP-595";
    DivergingOlder = "fetch answered with an older epoch", "KIP-279: the follower's epoch is not the leader's";
    EpochAnswered = "OffsetForLeaderEpoch answered with an older epoch", "KIP-101, KIP-279, KIP-320";
    Truncated = "truncation on diverging epoch", "KIP-101: a follower cuts its log";
    TruncatedExposed = "truncation of exposed records", "only a permitted loss explains it";
    StartedOver = "follower starts over at the leader's log start", "retention deleted what it had to fetch, or all that it had";
    NotLeader = "produce refused by a non-leader", "NOT_LEADER_OR_FOLLOWER";
    NotEnough = "produce refused with too few in-sync replicas", "NOT_ENOUGH_REPLICAS";
    NotEnoughAfter = "too few replicas after the append", "NOT_ENOUGH_REPLICAS_AFTER_APPEND: stored or not";
    OutOfOrder = "out of order sequence", "KIP-98: a batch before this one is missing";
    ProducerFenced = "produce of a fenced producer epoch", "INVALID_PRODUCER_EPOCH";
    DuplicateBatch = "retry recognised as a duplicate", "KIP-98: the response was lost, not the batch";
    Unknown = "send with unknown outcome", "the producer gave up waiting";
    FencedEpoch = "fetch refused for an older epoch", "KIP-320: FENCED_LEADER_EPOCH";
    UnknownEpoch = "fetch refused for a newer epoch", "KIP-320: UNKNOWN_LEADER_EPOCH";
    OutOfRange = "fetch out of range", "OFFSET_OUT_OF_RANGE: the log is shorter than the reader's position";
    SetBack = "consumer position reset", "KIP-320: records that it had read were truncated";
    UncleanRecovery = "recovery of an unclean log", "it was not closed";
    TornTail = "torn tail truncated", "incomplete or corrupt bytes at the end";
    ShortLog = "log shorter than its recovery point", "it was truncated just before the crash";
    DiedRecovering = "crash during recovery", "the node was not ready yet";
    DirtyPagesLost = "power lost with dirty pages", "unsynced data is gone or torn";
    CleanShutdown = "clean shutdown", "logs closed, leaderships handed over";
    SegmentRolled = "segment rolled", "a new file in the log";
    DiskFull = "disk full", "ENOSPC";
    Damaged = "damaged batch refused", "a disk returned other bytes than were written";
    SyncFailed = "sync failed", "EIO: the log directory goes offline";
    ControllerRestart = "controller restart", "it reads its log again and takes a new epoch";
    FencedAlive = "broker fenced while it runs", "its session timed out";
    TransactionAborted = "transaction aborted by its producer", "it asked for that, or its commit failed";
    TransactionTimedOut = "transaction timed out", "its coordinator aborts what is open for transaction.timeout.ms";
    TransactionTakenOver = "open transaction of a transactional id that was taken over", "KIP-360: the coordinator aborts it for the new producer";
    TransactionFenced = "transactional producer fenced", "another one has its transactional id, or its coordinator aborted it";
    TransactionInDoubt = "outcome of a transaction unknown to its producer", "the answer to EndTxn was lost or came too late";
    OffsetsInTransaction = "offsets committed in a transaction", "KIP-447: with the outputs, or not at all";
    OffsetsRefused = "offsets in a transaction refused", "KIP-447: of a generation that is over, or of a coordinator that moved";
    CoordinatorMovedOpen = "transaction coordinator moved with a transaction open", "its successor reads the state of it";
    CoordinatorMovedCompleting = "transaction coordinator moved while completing", "its successor writes the markers that were decided";
    ParticipantDown = "participant down before its marker", "the decision waits for its leader";
    TransactionForgotten = "transaction forgotten within the contract", "its coordinator's log lost committed entries";
    PermittedLoss = "loss within the contract", "committed records are gone, and the configuration permits it";
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
