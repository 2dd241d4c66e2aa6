//! Historical Kafka bugs that can be re-enabled, to prove that our checkers find them.
//!
//! A flaw switches one fix off. [`Flaws`] is passed to a node or a client beside its settings: no
//! configuration key sets it. Flaws exist only in test builds (`debug_assertions`) and under the
//! feature `mutants`; in any other build [`Flaws::has`] is a constant `false`.

/// Declares the flaws: name in the catalogue, and what is switched off.
macro_rules! flaws {
    ($($(#[$doc:meta])* $flaw:ident = $name:literal,)*) => {
        /// A fix that is switched off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Flaw {
            $($(#[$doc])* $flaw,)*
        }

        #[cfg(any(debug_assertions, feature = "mutants"))]
        impl Flaw {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$flaw,)*];

            /// As reports and the command line have it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$flaw => $name,)*
                }
            }
        }
    };
}

flaws! {
    /// KIP-101: a new follower cuts its log at its own high watermark, and no epochs are compared.
    TruncateToHighWatermark = "truncate-to-hw-loss",
    /// KAFKA-7415: a new leader does not note that its epoch begins at its log's end, and has no
    /// answer about an epoch above those it has noted: then a follower cuts its log at its own high
    /// watermark.
    NoEpochEntryOnElection = "no-epoch-entry-on-election",
    /// KIP-320: a leader takes the fetch of a follower that believes in another epoch, and takes its
    /// position at its word.
    UnfencedFetch = "unfenced-fetch",
    /// KAFKA-7128: to join the ISR, a follower has to reach the high watermark only.
    JoinBeforeEpochStart = "join-before-epoch-start",
    /// KAFKA-13141: a leader counts the position of a follower whose log parts from its own.
    IgnoreDivergingOffset = "ignore-diverging-offset",
    /// KAFKA-14704: a follower takes the leader's high watermark before it cuts its log.
    TruncateAfterHighWatermark = "truncate-after-hw",
    /// KAFKA-8836: the high watermark waits for the committed ISR only, and not for who is joining.
    HighWatermarkOverCommittedIsr = "hw-over-committed-isr",
    /// KIP-841: a fenced replica, or one on its way out, may join the ISR.
    FencedMayJoin = "fenced-may-join",
    /// KIP-903: nobody asks which registration of a broker fetched.
    NoBrokerEpochInIsr = "no-broker-epoch-in-isr",
    /// KIP-966: who left the ISR last is not remembered, nor that a broker came back uncleanly.
    ForgetLastInSync = "forget-last-in-sync",
    /// KAFKA-15583: the high watermark moves while fewer than `min.insync.replicas` are in sync.
    HighWatermarkBelowMinIsr = "hw-below-min-isr",
    /// KAFKA-1555: `min.insync.replicas` is not checked.
    NoMinInsync = "no-min-insync",
    /// KIP-106: unclean election is on, though nobody asked for it.
    UncleanOn = "unclean-on",
    /// KAFKA-7747: a consumer does not ask whether what it has read is still there.
    ConsumerIgnoresTruncation = "consumer-ignores-truncation",
    /// `replica.lag.time.max.ms`: who fetched lately counts as caught up.
    LagByFetchTime = "lag-by-fetch-time",
    /// KAFKA-10471: the marker of a clean shutdown stays while the log is in use.
    TrustDirtyStart = "trust-dirty-start",
    /// KAFKA-3968: a directory is not synced after a file was made in it.
    NoDirectorySync = "no-dir-sync",
    /// KAFKA-16541: a checkpoint gets its name before it is synced.
    RenameBeforeSync = "rename-before-sync",
    /// "fsyncgate": a sync that failed is tried again, and its success believed.
    RetryFsync = "retry-fsync",
    /// KIP-858: a failed log directory is not reported to the controller.
    DeadDirectoryStaysLeader = "dead-dir-stays-leader",
    /// KIP-534: a cleaner removes a tombstone the first time that it sees it.
    EarlyTombstone = "early-tombstone",
    /// KAFKA-14055: a cleaner removes the markers of transactions whose records are there.
    DropMarkers = "drop-markers",
    /// Recovery and reads take batches without a look at their checksums.
    ServeBadCrc = "serve-bad-crc",
    /// KAFKA-5494: of a producer only the last batch is remembered; and a producer whose numbers no
    /// longer fit sends all that is open under new ones, as Kafka's does.
    OneBatchWindow = "one-batch-window",
}

/// The flaws of one node or client: at most one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    #[cfg(any(debug_assertions, feature = "mutants"))]
    one: Option<Flaw>,
}

impl Flaws {
    /// Whether a fix is switched off.
    #[cfg(any(debug_assertions, feature = "mutants"))]
    pub fn has(self, flaw: Flaw) -> bool {
        self.one == Some(flaw)
    }

    /// Whether a fix is switched off: in this build never.
    #[cfg(not(any(debug_assertions, feature = "mutants")))]
    pub const fn has(self, _: Flaw) -> bool {
        false
    }

    /// What is switched off, if anything is.
    pub fn name(self) -> Option<&'static str> {
        #[cfg(any(debug_assertions, feature = "mutants"))]
        return self.one.map(Flaw::name);
        #[cfg(not(any(debug_assertions, feature = "mutants")))]
        return None;
    }

    /// This one and no other.
    #[cfg(any(debug_assertions, feature = "mutants"))]
    pub fn only(flaw: Flaw) -> Self {
        Self { one: Some(flaw) }
    }
}

#[cfg(all(test, any(debug_assertions, feature = "mutants")))]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_a_flaw_unless_it_was_switched_on_and_then_no_other() {
        for flaw in Flaw::ALL {
            assert!(!Flaws::default().has(*flaw));
            let having = |one: &&Flaw| Flaws::only(**one).has(*flaw);
            assert_eq!(Flaw::ALL.iter().filter(having).collect::<Vec<_>>(), [flaw]);
        }
    }
}
