//! Guarantees that a configuration gives up under faults, and the invariants that show it.

use std::fmt;

/// A way in which the settings permit the loss of an acknowledged record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// acks=0.
    Unheard,
    /// acks=1 and a change of leaders.
    Uncommitted,
    /// `unclean.leader.election.enable`.
    UncleanElection,
    /// Power loss on `min.insync.replicas` replicas at once, or on all.
    PowerLoss,
    /// No intact copy may be left.
    Rot,
    /// All copies may be on disks that were replaced.
    ReplacedDisk,
    /// A topic is deleted, and created again with its name.
    DeletedTopic,
    /// A group commits what it has processed: the next owner may process it again.
    Repeated,
    /// A group commits before it processes, and may fail in between.
    CommittedFirst,
    /// A group reads a log that may lose records.
    FollowedLoss,
    /// A coordinator's log may lose what groups have committed: they process it again.
    ForgottenCommits,
    /// A coordinator's log may lose outcomes of transactions: what was committed may be aborted.
    ForgottenTransactions,
    /// A request that a link held back may end a later transaction of its producer, which has the same
    /// epoch (KIP-890).
    LateEnds,
    /// The same where a group's offsets are sent in transactions: such a request commits some that no
    /// client commits, or older ones than are committed.
    LateOffsets,
}

impl Loss {
    /// Invariants that clients may see broken by such a loss.
    pub fn breaks(self) -> &'static [&'static str] {
        match self {
            // Without an offset it is unknown where the record should be.
            Self::Unheard => &["acked-write-unseen"],
            // The offset was returned, and is given to another record later.
            Self::Uncommitted => &["acked-write-lost", "acked-write-unseen", "inconsistent-offset"],
            // A record that was read is lost too: its producer may still retry and store it again.
            // So is the producer state: a broker accepts any sequence number from an unknown
            // producer (KIP-360), such as the second of two batches in flight before the first.
            Self::UncleanElection
            | Self::PowerLoss
            | Self::Rot
            | Self::ReplacedDisk
            | Self::DeletedTopic => &[
                "acked-write-lost",
                "acked-write-unseen",
                "inconsistent-offset",
                "duplicate",
                "send-reorder",
                // The same producer state says what comes out of order.
                "misbehaviour-refused",
            ],
            Self::Repeated | Self::ForgottenCommits => &["processed-at-most-once"],
            Self::CommittedFirst => &["processed-at-least-once"],
            // Another input at the offset of a lost one has outputs of its own.
            Self::FollowedLoss => {
                &["processed-at-least-once", "processed-at-most-once", "input-output-mismatch"]
            }
            // Readers of committed records pass by what is aborted after all.
            Self::ForgottenTransactions => &["acked-write-lost", "acked-write-unseen"],
            // A part of a transaction is committed too early, or is aborted although the rest is committed.
            Self::LateEnds => &[
                "g1b",
                "aborted-read",
                "torn-transaction",
                "acked-write-lost",
                "acked-write-unseen",
            ],
            Self::LateOffsets => &["commit-rewound"],
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unheard => "acks=0, under any fault",
            Self::Uncommitted => "acks=1, and leadership may move",
            Self::UncleanElection => "unclean election is on, and may be needed",
            Self::PowerLoss => "power loss of records that no replica had synced",
            Self::Rot => "rot, and possibly no intact copy",
            Self::ReplacedDisk => "replaced disks, and possibly no other copy",
            Self::DeletedTopic => "a topic is deleted while it is used",
            Self::Repeated => "a group commits after it processes",
            Self::CommittedFirst => "a group commits before it processes, under any fault",
            Self::FollowedLoss => "a group reads what may be lost",
            Self::ForgottenCommits => "what groups have committed may be lost",
            Self::ForgottenTransactions => "outcomes of transactions may be lost",
            Self::LateEnds => "links of clients fail, and transactions have no epochs of their own",
            Self::LateOffsets => "nor have those in which a group sends its offsets",
        })
    }
}
