//! The situations, each with its name and what it is about.

use std::fmt;

macro_rules! situations {
    ($($variant:ident = $name:literal, $about:literal;)*) => {
        /// Something that a run can come to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Situation {
            $(
                #[doc = concat!($name, ": ", $about, ".")]
                $variant,
            )*
        }

        impl Situation {
            /// All of them, in the order of a report.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Where it comes from, or what it means.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }
        }
    };
}

situations! {
    IsrElection = "election from the ISR", "a replica in sync takes over";
    ElrElection = "election from the ELR", "KIP-966: nobody in sync can lead, who left last can";
    LastKnownLeader = "election of the last known leader", "KIP-966: everybody eligible lost unsynced data";
    UncleanElection = "unclean election", "KIP-106: a laggard leads";
    SilentEpoch = "epoch without a record", "KAFKA-7415: the next election comes before the leader wrote";
    Leaderless = "partition without a leader", "nobody may lead";
    HighWatermarkBehind = "high watermark behind at an election", "KIP-207: the leader does not know yet what was exposed";
    TwoLeaders = "two leaders at once", "the older one has not heard";
    DeposedAppend = "records appended by a deposed leader", "they must not count";
    WokeDeposed = "paused leader woke up deposed", "it does not know that time has passed";
    IsrShrunk = "ISR shrunk", "KIP-497";
    IsrGrown = "ISR grown", "KIP-497";
    IsrBelowMin = "ISR shrunk below min.insync.replicas", "acks=all is refused, the high watermark stands still";
    IsrEmpty = "empty ISR", "KIP-966: the last member lost unsynced data";
    IsrRefused = "AlterPartition refused", "KIP-841, KIP-903: another epoch, or a replica that may not join";
    Diverging = "fetch answered with where the logs part", "KIP-595";
    DivergingOlder = "fetch answered with an older epoch", "KIP-279: the follower's epoch is not the leader's";
    EpochAnswered = "OffsetForLeaderEpoch answered with an older epoch", "KIP-101, KIP-279, KIP-320";
    Truncated = "truncation on diverging epoch", "KIP-101: a follower cuts its log";
    TruncatedExposed = "truncation of what had been exposed", "only a loss within the contract explains it";
    StartedOver = "follower starts over where the leader's log begins", "it lags behind retention";
    NotLeader = "produce refused by one who does not lead", "NOT_LEADER_OR_FOLLOWER";
    NotEnough = "produce refused for want of replicas", "NOT_ENOUGH_REPLICAS";
    NotEnoughAfter = "too few replicas after the append", "NOT_ENOUGH_REPLICAS_AFTER_APPEND: stored or not";
    OutOfOrder = "out of order sequence", "KIP-98: a batch is missing before this one";
    ProducerFenced = "produce of a fenced producer epoch", "INVALID_PRODUCER_EPOCH";
    DuplicateBatch = "retry recognised as a duplicate", "KIP-98: its answer was lost, not the batch";
    Unknown = "send with unknown outcome", "the producer gave up waiting";
    FencedEpoch = "fetch refused for an older epoch", "KIP-320: FENCED_LEADER_EPOCH";
    UnknownEpoch = "fetch refused for a newer epoch", "KIP-320: UNKNOWN_LEADER_EPOCH";
    OutOfRange = "fetch out of range", "OFFSET_OUT_OF_RANGE: the log is shorter than the reader's position";
    SetBack = "consumer set back", "KIP-320: what it had read was truncated";
    UncleanRecovery = "recovery of an unclean log", "nobody closed it";
    TornTail = "torn tail cut", "bytes that are no whole batch, or follow none";
    ShortLog = "log shorter than its recovery point", "it was cut just before the crash";
    DiedRecovering = "crash during recovery", "of a node that does not answer yet";
    DirtyPagesLost = "power lost with dirty pages", "what was not synced is gone or torn";
    CleanShutdown = "clean shutdown", "the logs are closed, leaderships handed over";
    SegmentRolled = "segment rolled", "a new file in the log";
    DiskFull = "disk full", "ENOSPC";
    Damaged = "damaged batch refused", "a disk gave back other bytes than it was given";
    SyncFailed = "sync failed", "EIO: the directory is given up";
    ControllerRestart = "controller restart", "it reads its log again and takes a new epoch";
    FencedAlive = "broker fenced while it runs", "its session timed out";
    PermittedLoss = "loss within the contract", "committed records are gone, and the configuration permits it";
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
