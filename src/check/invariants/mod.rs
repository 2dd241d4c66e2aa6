//! The invariants, one per file.

mod aborted_read;
mod acked_write_lost;
mod acked_write_unseen;
mod candidate_completeness;
mod committed_prefix_agrees;
mod compaction_keeps_latest;
mod converges;
mod dirty_read;
mod duplicate;
mod epochs_monotonic;
mod high_watermark_monotonic;
mod inconsistent_offset;
mod index_agrees;
mod isr_superset;
mod leader_completeness;
mod metadata_catches_up;
mod metadata_log_matches;
mod min_insync_enforced;
mod offsets_dense;
mod one_controller_per_epoch;
mod one_leader_per_epoch;
mod poll_backward;
mod poll_skip;
mod poll_splice;
mod reads_reach_end;
mod recovery_trusts_only_synced;
mod send_reorder;
mod writes_resume;

pub(super) use acked_write_unseen::unseen;

use super::{Invariant, Setup};

/// Every invariant's name, as in scenario files.
pub const NAMES: &[&str] = &[
    "one-leader-per-epoch",
    "leader-completeness",
    "candidate-completeness",
    "committed-prefix-agrees",
    "offsets-dense",
    "epochs-monotonic",
    "high-watermark-monotonic",
    "min-insync-enforced",
    "isr-superset",
    "metadata-log-matches",
    "one-controller-per-epoch",
    "recovery-trusts-only-synced",
    "index-agrees",
    "compaction-keeps-latest",
    "dirty-read",
    "converges",
    "metadata-catches-up",
    "acked-write-lost",
    "acked-write-unseen",
    "inconsistent-offset",
    "aborted-read",
    "poll-skip",
    "poll-backward",
    "poll-splice",
    "duplicate",
    "send-reorder",
    "writes-resume",
    "reads-reach-end",
];

/// Whether an invariant's violation means that nothing went on, and not that something went wrong.
pub fn is_liveness(name: &str) -> bool {
    matches!(name, "converges" | "metadata-catches-up" | "writes-resume" | "reads-reach-end")
}

/// Those that a run is judged by: without brokers to look into, only what clients saw; without
/// idempotence, nobody promised that records are neither doubled nor reordered.
pub(super) fn of(setup: &Setup) -> Vec<Box<dyn Invariant>> {
    let within = setup.within;
    let mut chosen: Vec<Box<dyn Invariant>> = Vec::new();
    if !setup.brokers.is_empty() {
        chosen.push(Box::new(one_leader_per_epoch::OneLeaderPerEpoch::default()));
        chosen.push(Box::new(leader_completeness::LeaderCompleteness));
        chosen.push(Box::new(candidate_completeness::CandidateCompleteness));
        chosen.push(Box::new(committed_prefix_agrees::CommittedPrefixAgrees::default()));
        chosen.push(Box::new(offsets_dense::OffsetsDense));
        chosen.push(Box::new(epochs_monotonic::EpochsMonotonic));
        chosen.push(Box::new(high_watermark_monotonic::HighWatermarkMonotonic::default()));
        chosen.push(Box::new(min_insync_enforced::MinInsyncEnforced::default()));
        chosen.push(Box::new(isr_superset::IsrSuperset::default()));
        chosen.push(Box::new(metadata_log_matches::MetadataLogMatches));
        chosen.push(Box::new(one_controller_per_epoch::OneControllerPerEpoch::default()));
        let recovery = recovery_trusts_only_synced::RecoveryTrustsOnlySynced::default();
        chosen.push(Box::new(recovery));
        chosen.push(Box::new(index_agrees::IndexAgrees::default()));
        let latest = compaction_keeps_latest::CompactionKeepsLatest::default();
        chosen.push(Box::new(latest));
        chosen.push(Box::new(dirty_read::DirtyRead));
        chosen.push(Box::new(converges::Converges { within }));
        chosen.push(Box::new(metadata_catches_up::MetadataCatchesUp { within }));
    }
    chosen.push(Box::new(acked_write_lost::AckedWriteLost));
    chosen.push(Box::new(acked_write_unseen::AckedWriteUnseen));
    chosen.push(Box::new(inconsistent_offset::InconsistentOffset::default()));
    chosen.push(Box::new(aborted_read::AbortedRead));
    chosen.push(Box::new(poll_skip::PollSkip));
    chosen.push(Box::new(poll_backward::PollBackward));
    chosen.push(Box::new(poll_splice::PollSplice::default()));
    if setup.idempotence {
        chosen.push(Box::new(duplicate::Duplicate));
        chosen.push(Box::new(send_reorder::SendReorder::default()));
    }
    chosen.push(Box::new(writes_resume::WritesResume { within }));
    chosen.push(Box::new(reads_reach_end::ReadsReachEnd { within }));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing;

    #[test]
    fn every_name_is_judged_when_everything_is_promised_and_no_other() {
        let judged: Vec<&str> = of(&testing::setup()).iter().map(|i| i.name()).collect();
        assert_eq!(judged, NAMES);
    }

    #[test]
    fn without_brokers_only_what_clients_saw_is_judged() {
        let judged = of(&Setup::default());
        assert!(judged.iter().all(|i| i.name() != "leader-completeness"));
        assert!(judged.iter().any(|i| i.name() == "acked-write-lost"));
    }

    #[test]
    fn without_idempotence_doubled_records_are_not_judged() {
        let judged = of(&Setup { idempotence: false, ..Setup::default() });
        assert!(judged.iter().all(|i| i.name() != "duplicate" && i.name() != "send-reorder"));
    }
}
