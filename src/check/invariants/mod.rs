//! The invariants, one per file.

mod aborted_read;
mod acked_write_lost;
mod acked_write_unseen;
mod assignment_complete;
mod candidate_completeness;
mod clean_election_told;
mod commit_rewound;
mod committed_prefix_agrees;
mod compaction_keeps_latest;
mod converges;
mod decision_durable;
mod dirty_read;
mod duplicate;
mod earliest_is_first;
mod epochs_monotonic;
mod g0;
mod g1b;
mod g1c;
mod generation_monotonic;
mod group_catches_up;
mod group_stabilises;
mod high_watermark_monotonic;
mod inconsistent_offset;
mod index_agrees;
mod input_output_mismatch;
mod isr_superset;
mod latest_monotonic;
mod latest_value_survives;
mod leader_completeness;
mod markers_complete;
mod metadata_catches_up;
mod metadata_log_matches;
mod min_insync_enforced;
mod misbehaviour_refused;
mod no_hanging_transaction;
mod offsets_dense;
mod one_controller_per_epoch;
mod one_leader_per_epoch;
mod one_owner;
mod poll_backward;
mod poll_skip;
mod poll_splice;
mod processed_at_least_once;
mod processed_at_most_once;
mod producer_epoch_unique;
mod reads_reach_end;
mod recovery_point_kept;
mod recovery_trusts_only_synced;
mod registration_known;
mod replaced_replica_waits;
mod send_reorder;
mod static_member_keeps;
mod timestamp_lookup_agrees;
mod torn_transaction;
mod transactions_complete;
mod writes_progress;
mod writes_resume;
mod zombie_fenced;
mod zombie_producer_fenced;

pub(super) use acked_write_unseen::unseen;

use super::{Invariant, Setup};
use crate::base::{LeaderEpoch, Offset};
use Needs::{Brokers, Clients, Idempotence};

/// Those for whose time a run waits while a transaction is open: nothing else shows that it hangs.
pub(super) const OF_OPEN_TRANSACTIONS: [&str; 2] =
    ["no-hanging-transaction", "transactions-complete"];

/// Every invariant, in the order in which they are asked. Adding one takes a file, and a row here.
const TABLE: &[Row] = &[
    safety(
        "one-leader-per-epoch",
        "No two replicas accept writes in one leader epoch.",
        Brokers,
        new::<one_leader_per_epoch::OneLeaderPerEpoch>,
    ),
    safety(
        "leader-completeness",
        "A leader has every record that was ever committed.",
        Brokers,
        new::<leader_completeness::LeaderCompleteness>,
    ),
    safety(
        "candidate-completeness",
        "Every replica that can be elected has every record that was ever committed.",
        Brokers,
        new::<candidate_completeness::CandidateCompleteness>,
    ),
    safety(
        "committed-prefix-agrees",
        "Replicas agree below their high watermarks.",
        Brokers,
        new::<committed_prefix_agrees::CommittedPrefixAgrees>,
    ),
    safety(
        "offsets-dense",
        "The offsets of a log have no gap and no repeat.",
        Brokers,
        new::<offsets_dense::OffsetsDense>,
    ),
    safety(
        "epochs-monotonic",
        "Leader epochs never fall along a log.",
        Brokers,
        new::<epochs_monotonic::EpochsMonotonic>,
    ),
    safety(
        "high-watermark-monotonic",
        "Exposed records stay exposed.",
        Brokers,
        new::<high_watermark_monotonic::HighWatermarkMonotonic>,
    ),
    safety(
        "min-insync-enforced",
        "acks=all is never acknowledged by too few replicas.",
        Brokers,
        new::<min_insync_enforced::MinInsyncEnforced>,
    ),
    safety(
        "isr-superset",
        "A leader counts every replica that the controller has in sync.",
        Brokers,
        new::<isr_superset::IsrSuperset>,
    ),
    safety(
        "metadata-log-matches",
        "Committed metadata is the same on every node.",
        Brokers,
        new::<metadata_log_matches::MetadataLogMatches>,
    ),
    safety(
        "registration-known",
        "A broker is unfenced, and takes partitions over, only once it knows its own registration.",
        Brokers,
        new::<registration_known::RegistrationKnown>,
    ),
    safety(
        "one-controller-per-epoch",
        "Only one controller commits in an epoch.",
        Brokers,
        new::<one_controller_per_epoch::OneControllerPerEpoch>,
    ),
    safety(
        "recovery-trusts-only-synced",
        "A log recovers to its valid prefix, without stale batches, and no reader gets a batch with a \
         wrong checksum.",
        Brokers,
        new::<recovery_trusts_only_synced::RecoveryTrustsOnlySynced>,
    ),
    safety(
        "recovery-point-kept",
        "No log is opened shorter than what was synced of it.",
        Brokers,
        new::<recovery_point_kept::RecoveryPointKept>,
    ),
    safety(
        "replaced-replica-waits",
        "A replica on a replaced disk leads only after it was in sync again.",
        Brokers,
        new::<replaced_replica_waits::ReplacedReplicaWaits>,
    ),
    safety(
        "clean-election-told",
        "The election of a replica in sync, or eligible, is not told as unclean.",
        Brokers,
        new::<clean_election_told::CleanElectionTold>,
    ),
    safety(
        "index-agrees",
        "An index points at batches, and equals one that is built from scratch.",
        Brokers,
        new::<index_agrees::IndexAgrees>,
    ),
    safety(
        "compaction-keeps-latest",
        "Compaction keeps the latest record of each key.",
        Brokers,
        new::<compaction_keeps_latest::CompactionKeepsLatest>,
    ),
    safety(
        "latest-value-survives",
        "A leader of a compacted topic has the last committed value of each key.",
        Brokers,
        new::<latest_value_survives::LatestValueSurvives>,
    ),
    safety(
        "latest-monotonic",
        "The end that ListOffsets tells a client never falls.",
        Brokers,
        new::<latest_monotonic::LatestMonotonic>,
    ),
    safety(
        "timestamp-lookup-agrees",
        "A lookup by timestamp finds the first record from then on.",
        Brokers,
        new::<timestamp_lookup_agrees::TimestampLookupAgrees>,
    ),
    safety(
        "earliest-is-first",
        "The beginning that ListOffsets tells is that of the first record.",
        Brokers,
        new::<earliest_is_first::EarliestIsFirst>,
    ),
    safety(
        "dirty-read",
        "No consumer reads a record above the high watermark, nor above the last stable offset if it reads \
         only committed ones.",
        Brokers,
        new::<dirty_read::DirtyRead>,
    ),
    liveness(
        "writes-progress",
        "Writes are acknowledged in bounded time while faults spare the leader and \
         min.insync.replicas.",
        Brokers,
        |setup| Box::new(writes_progress::WritesProgress::new(setup.progress)),
    ),
    liveness(
        "converges",
        "Once faults end, replicas become equal in bounded time.",
        Brokers,
        |setup| Box::new(converges::Converges { within: setup.within }),
    ),
    liveness(
        "metadata-catches-up",
        "Once faults end, brokers get all metadata in bounded time.",
        Brokers,
        |setup| Box::new(metadata_catches_up::MetadataCatchesUp { within: setup.within }),
    ),
    safety(
        "one-owner",
        "No partition has two owners in a generation, and a member processes only what it owns.",
        Brokers,
        new::<one_owner::OneOwner>,
    ),
    safety(
        "assignment-complete",
        "The members of a stable group own every partition of their topics.",
        Brokers,
        new::<assignment_complete::AssignmentComplete>,
    ),
    safety(
        "generation-monotonic",
        "The generations of a group never fall, and rise when all its members have left.",
        Brokers,
        new::<generation_monotonic::GenerationMonotonic>,
    ),
    safety(
        "zombie-fenced",
        "A commit of an old generation is not acknowledged after a newer one began.",
        Brokers,
        new::<zombie_fenced::ZombieFenced>,
    ),
    safety(
        "commit-rewound",
        "A committed offset never goes back or vanishes, and no other is told.",
        Brokers,
        new::<commit_rewound::CommitRewound>,
    ),
    safety(
        "static-member-keeps",
        "A static member that is back within its session timeout causes no rebalance, and is not fenced.",
        Brokers,
        new::<static_member_keeps::StaticMemberKeeps>,
    ),
    safety(
        "processed-at-least-once",
        "Every record below a group's committed offset was processed.",
        Clients,
        new::<processed_at_least_once::ProcessedAtLeastOnce>,
    ),
    safety(
        "processed-at-most-once",
        "No record is processed twice in a group.",
        Clients,
        new::<processed_at_most_once::ProcessedAtMostOnce>,
    ),
    liveness(
        "group-stabilises",
        "Once faults end, the members of a group share all partitions in one generation in bounded \
         time.",
        Brokers,
        |setup| Box::new(group_stabilises::GroupStabilises { within: setup.within }),
    ),
    liveness(
        "group-catches-up",
        "Once faults end, the members of a group read every partition to its end in bounded time.",
        Brokers,
        |setup| Box::new(group_catches_up::GroupCatchesUp { within: setup.within }),
    ),
    safety(
        "producer-epoch-unique",
        "No two clients get one producer id and epoch.",
        Clients,
        new::<producer_epoch_unique::ProducerEpochUnique>,
    ),
    safety(
        "zombie-producer-fenced",
        "Once another producer has a transactional id, nothing that the one before begins succeeds.",
        Clients,
        new::<zombie_producer_fenced::ZombieProducerFenced>,
    ),
    safety(
        "decision-durable",
        "Once the outcome of a transaction is decided, it never changes.",
        Brokers,
        new::<decision_durable::DecisionDurable>,
    ),
    safety(
        "markers-complete",
        "Each participant of a transaction gets the decided marker and no other.",
        Brokers,
        new::<markers_complete::MarkersComplete>,
    ),
    liveness(
        "no-hanging-transaction",
        "Once faults end, no transaction holds the last stable offset down beyond its timeout.",
        Brokers,
        |setup| Box::new(no_hanging_transaction::NoHangingTransaction { within: setup.within }),
    ),
    liveness(
        "transactions-complete",
        "Once faults end, commits and aborts complete in bounded time.",
        Clients,
        |setup| Box::new(transactions_complete::TransactionsComplete { within: setup.within }),
    ),
    safety(
        "torn-transaction",
        "Readers of committed records get all of a transaction, or nothing.",
        Clients,
        new::<torn_transaction::TornTransaction>,
    ),
    safety(
        "input-output-mismatch",
        "Each input that a group committed has exactly one visible output, in order per key.",
        Clients,
        new::<input_output_mismatch::InputOutputMismatch>,
    ),
    safety(
        "g0",
        "Transactions of one transactional id are in one order in all partitions (G0).",
        Clients,
        new::<g0::G0>,
    ),
    safety(
        "g1b",
        "No reader of committed records gets one before its commit was asked for (G1b).",
        Clients,
        new::<g1b::G1b>,
    ),
    safety(
        "g1c",
        "Committed transactions do not read each other's records in a cycle (G1c).",
        Clients,
        new::<g1c::G1c>,
    ),
    safety(
        "acked-write-lost",
        "No acknowledged record is missing where a later one was read.",
        Clients,
        new::<acked_write_lost::AckedWriteLost>,
    ),
    safety(
        "acked-write-unseen",
        "Every acknowledged record is read in the end.",
        Clients,
        new::<acked_write_unseen::AckedWriteUnseen>,
    ),
    safety(
        "inconsistent-offset",
        "An offset never shows two different records.",
        Clients,
        new::<inconsistent_offset::InconsistentOffset>,
    ),
    safety(
        "aborted-read",
        "No consumer reads a refused record, and no reader of committed records an aborted one (G1a).",
        Clients,
        new::<aborted_read::AbortedRead>,
    ),
    safety(
        "misbehaviour-refused",
        "A request that must be refused is, with Kafka's error, and nothing of it is read.",
        Clients,
        new::<misbehaviour_refused::MisbehaviourRefused>,
    ),
    safety("poll-skip", "A consumer skips nothing.", Clients, new::<poll_skip::PollSkip>),
    safety(
        "poll-backward",
        "A consumer never goes back by itself.",
        Clients,
        new::<poll_backward::PollBackward>,
    ),
    safety(
        "poll-splice",
        "A consumer continues in the log that it began in, or gets an error.",
        Clients,
        new::<poll_splice::PollSplice>,
    ),
    safety(
        "duplicate",
        "With idempotence, no record is stored twice.",
        Idempotence,
        new::<duplicate::Duplicate>,
    ),
    safety(
        "send-reorder",
        "Records of one producer are stored in the order of sending.",
        Idempotence,
        new::<send_reorder::SendReorder>,
    ),
    liveness(
        "writes-resume",
        "Once faults end, writes are acknowledged again in bounded time.",
        Clients,
        |setup| Box::new(writes_resume::WritesResume { within: setup.within }),
    ),
    liveness(
        "reads-reach-end",
        "Once faults end, a reader reaches the end in bounded time, and skips nothing of which an \
         intact copy exists.",
        Clients,
        |setup| Box::new(reads_reach_end::ReadsReachEnd { within: setup.within }),
    ),
];

/// Those whose violation means that clients lost an acknowledged record.
const LOSSES: [&str; 2] = ["acked-write-lost", "acked-write-unseen"];

/// An invariant of the table.
struct Row {
    /// As in scenario files, in reports, and in its file.
    name: &'static str,
    /// The invariant in one plain sentence, for reports and pictures.
    promise: &'static str,
    needs: Needs,
    make: Make,
}

/// The part of a run without which an invariant can't be judged.
#[derive(Clone, Copy)]
enum Needs {
    /// Only what clients did and read.
    Clients,
    /// Brokers whose disks and reports are observed.
    Brokers,
    /// An idempotent producer: no other promises that records are neither duplicated nor reordered.
    Idempotence,
}

#[derive(Clone, Copy)]
enum Make {
    Safety(fn() -> Box<dyn Invariant>),
    /// Something must happen in time.
    Liveness(fn(&Setup) -> Box<dyn Invariant>),
}

const fn safety(
    name: &'static str,
    promise: &'static str,
    needs: Needs,
    make: fn() -> Box<dyn Invariant>,
) -> Row {
    Row { name, promise, needs, make: Make::Safety(make) }
}

const fn liveness(
    name: &'static str,
    promise: &'static str,
    needs: Needs,
    make: fn(&Setup) -> Box<dyn Invariant>,
) -> Row {
    Row { name, promise, needs, make: Make::Liveness(make) }
}

fn new<I: Invariant + Default + 'static>() -> Box<dyn Invariant> {
    Box::<I>::default()
}

/// Every invariant's name, as in scenario files.
pub const NAMES: &[&str] = &{
    let mut names = [""; TABLE.len()];
    let mut index = 0;
    while index < TABLE.len() {
        names[index] = TABLE[index].name;
        index += 1;
    }
    names
};

/// The invariant in one plain sentence; empty for a name that is not in the table.
pub fn promise(name: &str) -> &'static str {
    TABLE.iter().find(|row| row.name == name).map_or("", |row| row.promise)
}

/// Whether a violation of the invariant means that clients lost an acknowledged record.
pub fn is_loss(name: &str) -> bool {
    LOSSES.contains(&name)
}

/// Whether a violation of the invariant means that something did not happen in time, and not that
/// something wrong happened.
pub fn is_liveness(name: &str) -> bool {
    TABLE.iter().any(|row| row.name == name && matches!(row.make, Make::Liveness(_)))
}

/// The invariants by which a run is judged.
pub(super) fn of(setup: &Setup) -> Vec<Box<dyn Invariant>> {
    let applies = |row: &&Row| match row.needs {
        Clients => true,
        Brokers => !setup.brokers.is_empty(),
        Idempotence => setup.idempotence,
    };
    let make = |row: &Row| match row.make {
        Make::Safety(make) => make(),
        Make::Liveness(make) => make(setup),
    };
    TABLE.iter().filter(applies).map(make).collect()
}

/// The leader epoch of the batch with an offset, as a consumer reports it: the first offset of each run of
/// batches of one epoch.
fn epoch_at(epochs: &[(Offset, LeaderEpoch)], offset: Offset) -> Option<LeaderEpoch> {
    let after = epochs.partition_point(|(from, _)| *from <= offset);
    let (_, epoch) = epochs.get(after.checked_sub(1)?)?;
    Some(*epoch).filter(|epoch| *epoch != LeaderEpoch::NONE)
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
    fn every_loss_is_an_invariant_of_the_table() {
        assert!(LOSSES.iter().all(|name| NAMES.contains(name) && !is_liveness(name)));
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
