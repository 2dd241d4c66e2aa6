//! Chooses the violation that a picture is about, and its record or partition.

use std::sync::Arc;

use super::marks::Span;
use super::recorder::{Recorder, Track};
use super::transactions::Transactions;
use crate::base::{Instant, Offset, TopicPartition};
use crate::check::{
    self, Client, GroupWitness, RecordWitness, ReplicaWitness, TransactionName, TransactionWitness,
    Violation, Witness,
};
use crate::run::LaneKind;
use crate::run::outcome::Outcome as RunOutcome;
use crate::scenario::Expect;
use crate::sim::{HostId, Outcome};

/// The record or partition of a story.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub partition: Option<TopicPartition>,
    pub offset: Option<Offset>,
    /// A second place of the same record, where it was doubled.
    pub second: Option<Offset>,
    pub value: Option<u64>,
    /// The group that it is about, and its members that the evidence names.
    pub group: Option<Arc<str>>,
    pub members: Vec<u32>,
    /// The transactions that it is about, by their places among all.
    pub transactions: Vec<usize>,
}

/// The violation that a picture is about, the one that reports name first, and its subject. Without
/// one, the partition that faults struck.
pub(super) fn choose<'a>(
    expect: &Expect,
    run: &'a Recorder,
    outcome: &RunOutcome,
    spans: &[Span],
    transactions: &Transactions,
) -> (Option<&'a Violation>, Subject) {
    let violation = outcome.gravest_of_all(expect).and_then(|broken| {
        run.violations.iter().find(|violation| violation.invariant == broken.invariant)
    });
    let mut subject = violation.map(|violation| subject(run, violation)).unwrap_or_default();
    if let Some(violation) = violation {
        subject.transactions = of_transactions(run, violation, transactions);
    }
    if subject.partition.is_none() {
        subject.partition = struck(run, &outcome.story, spans);
    }
    (violation, subject)
}

/// The partition that faults struck most: named by them, or led by a host that they struck. Of
/// equals the one with the most changes of leader and ISR.
fn struck(run: &Recorder, faults: &[String], spans: &[Span]) -> Option<TopicPartition> {
    // Of equals the first.
    let most = run.tracks.iter().rev().max_by_key(|(name, track)| {
        let name = name.to_string();
        let named = faults.iter().filter(|fault| names(fault, &name)).count();
        let hosts = spans.iter().filter(|span| leads(run, track, span.host, span.at)).count();
        (named, hosts, track.commits.len())
    });
    most.map(|(name, _)| name.clone())
}

/// Whether a fault's description has the partition's name as a word.
fn names(fault: &str, partition: &str) -> bool {
    let part_of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    fault.split(|c| !part_of_a_name(c)).any(|word| word == partition)
}

/// Whether a host led the partition just before a moment.
fn leads(run: &Recorder, track: &Track, host: HostId, at: Instant) -> bool {
    let state = track.commits.iter().rev().find(|commit| commit.at < at);
    let leader = state.and_then(|commit| commit.leader);
    let broker = run.lanes.iter().find(|lane| lane.host == host).map(|lane| lane.kind);
    leader.is_some_and(|id| broker == Some(LaneKind::Broker(id)))
}

/// The subject of a violation's story.
fn subject(run: &Recorder, violation: &Violation) -> Subject {
    let mut subject = Subject { partition: violation.partition().cloned(), ..Subject::default() };
    match &*violation.witness {
        Witness::Record(witness) => subject.of_record(witness),
        Witness::Replica(witness) => subject.offset = offset_of(witness),
        Witness::Group(witness) => subject.of_group(violation, witness),
        Witness::Consumer(_)
        | Witness::Storage(_)
        | Witness::Metadata(_)
        | Witness::Liveness(_)
        | Witness::Transaction(_) => {}
    }
    if let (Some(partition), Some(offset), None) =
        (violation.partition(), subject.offset, subject.value)
    {
        subject.value = value_at(run, partition, offset);
    }
    if let (None, Some(value)) = (subject.offset, subject.value) {
        let read = run.reads.iter().find(|read| read.value == value);
        subject.offset = read.map(|read| read.offset);
    }
    subject
}

impl Subject {
    fn of_group(&mut self, violation: &Violation, witness: &GroupWitness) {
        if let check::Subject::Group(name) = &violation.subject {
            self.group = Some(name.as_str().into());
        }
        self.partition = witness.partition().cloned();
        self.members = match witness {
            GroupWitness::TwoOwners { members, .. }
            | GroupWitness::ProcessedTwice { members, .. } => members.to_vec(),
            GroupWitness::NotGivenUp { owner, next, .. } => vec![*owner, *next],
            GroupWitness::CommitRewound { consumer, by: Client::Consumer(by), .. } => {
                vec![*consumer, *by]
            }
            GroupWitness::CommitRewound { consumer, .. }
            | GroupWitness::Uncommitted { consumer, .. }
            | GroupWitness::ProcessedUnowned { consumer, .. }
            | GroupWitness::GenerationFell { consumer, .. }
            | GroupWitness::ZombieCommitted { consumer, .. }
            | GroupWitness::GenerationAgain { consumer, .. }
            | GroupWitness::StaticMemberFenced { consumer, .. }
            | GroupWitness::StaticMemberMoved { consumer, .. } => vec![*consumer],
            GroupWitness::Unowned { .. }
            | GroupWitness::ZombieSentOffsets { .. }
            | GroupWitness::Behind { .. }
            | GroupWitness::NotStable { .. }
            | GroupWitness::NeverProcessed { .. } => Vec::new(),
        };
        if let GroupWitness::NeverProcessed { offset, record, .. }
        | GroupWitness::ProcessedTwice { offset, record, .. } = witness
        {
            (self.offset, self.value) = (Some(*offset), Some(record.value));
        }
    }

    fn of_record(&mut self, witness: &RecordWitness) {
        let (offset, value) = match witness {
            RecordWitness::ReadPast { told, .. } | RecordWitness::Unseen { told, .. } => {
                (told.offset, told.value)
            }
            RecordWitness::TwoValues { offset, first, .. } => (Some(*offset), first.value),
            RecordWitness::TwoOffsets { first, second, one, .. } => {
                self.second = Some(*second);
                (Some(*first), one.value)
            }
            RecordWitness::RefusedButRead { offset, told, .. } => (Some(*offset), told.value),
            RecordWitness::NeverSent { offset, value, .. }
            | RecordWitness::MisbehavedRead { offset, value, .. }
            | RecordWitness::AboveHighWatermark { offset, value, .. } => (Some(*offset), *value),
            RecordWitness::NotRefused { at, value, .. } => (*at, *value),
        };
        (self.offset, self.value) = (offset, Some(value));
    }
}

/// The transactions that a violation is about.
fn of_transactions(run: &Recorder, violation: &Violation, all: &Transactions) -> Vec<usize> {
    let named = |name: &TransactionName| all.of_client(name.producer, name.number);
    let of_value = |value: u64| {
        let send = run.sends.iter().find(|send| send.value == value)?;
        all.of_client(send.producer, send.txn?)
    };
    let partition = violation.partition();
    let at = |offset| partition.and_then(|partition| all.at(partition, offset));
    let of_id = |before| match &violation.subject {
        check::Subject::TransactionalId(id) => all.of_id(id, before),
        _ => None,
    };
    let witness = match &*violation.witness {
        Witness::Transaction(witness) => witness,
        Witness::Group(
            GroupWitness::Uncommitted { transaction, .. }
            | GroupWitness::ZombieSentOffsets { transaction, .. },
        ) => return named(transaction).into_iter().collect(),
        _ => return Vec::new(),
    };
    use TransactionWitness as W;
    let found = match witness {
        W::ReadAborted { transaction, .. }
        | W::ReadEarly { transaction, .. }
        | W::Torn { transaction, .. }
        | W::ZombieCommitted { transaction, .. }
        | W::NotDecided { transaction, .. }
        | W::NotTold { transaction, .. } => vec![named(transaction)],
        W::ReadMarkedAborted { marker, .. } => {
            vec![partition.and_then(|partition| all.ended_at(partition, *marker))]
        }
        W::AboveLastStable { offset, stable, .. } => vec![at(*stable), at(*offset)],
        W::Cycle { cycle, .. } => cycle.iter().map(|step| named(&step.from)).collect(),
        W::TwoOutputs { outputs, .. } => outputs.iter().map(|one| of_value(one.value)).collect(),
        W::PartOfOutputs { seen, missing, .. } => {
            vec![of_value(seen.value), of_value(missing.value)]
        }
        W::ZombieStored { record, .. } => vec![of_value(record.value)],
        W::Hanging { producer_id, first, .. } => {
            vec![partition.and_then(|name| all.beginning_at(name, *producer_id, *first))]
        }
        W::OldEpoch { offset, .. }
        | W::WrongMarker { offset, .. }
        | W::NoDecision { offset, .. } => {
            let ended = partition.and_then(|partition| all.ended_at(partition, *offset));
            vec![ended.or_else(|| at(*offset))]
        }
        W::NoMarker { decided, .. }
        | W::DecisionChanged { decided, .. }
        | W::NotCompleted { decided, .. } => vec![of_id(*decided)],
        W::NoOutput { .. }
        | W::OutputsReordered { .. }
        | W::EpochTwice { .. }
        | W::FencingEpoch { .. }
        | W::IdTwice { .. }
        | W::EpochFell { .. }
        | W::UnreadableEntry { .. } => Vec::new(),
    };
    let mut found: Vec<usize> = found.into_iter().flatten().collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn offset_of(witness: &ReplicaWitness) -> Option<Offset> {
    match witness {
        ReplicaWitness::Lacks { absence, .. } | ReplicaWitness::Disagrees { absence, .. } => {
            Some(absence.offset)
        }
        ReplicaWitness::TooFewCopies { offset, .. }
        | ReplicaWitness::TwoLeaders { offset, .. }
        | ReplicaWitness::TwoBatches { offset, .. } => Some(*offset),
        ReplicaWitness::TooSmallIsr { .. }
        | ReplicaWitness::HighWatermarkFell { .. }
        | ReplicaWitness::JoinedFenced { .. }
        | ReplicaWitness::LeadsReplaced { .. }
        | ReplicaWitness::CalledUnclean { .. }
        | ReplicaWitness::NotCounted { .. } => None,
    }
}

/// Whose record was first said to be at an offset.
fn value_at(run: &Recorder, partition: &TopicPartition, offset: Offset) -> Option<u64> {
    let told = run.sends.iter().filter(|send| send.partition == *partition).find(
        |send| matches!(&send.told, Some((_, Outcome::Ok { offset: Some(at) })) if *at == offset),
    );
    let read = || {
        let mut reads = run.reads.iter();
        reads.find(|read| read.partition == *partition && read.offset == offset).map(|r| r.value)
    };
    told.map(|send| send.value).or_else(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BrokerId, LeaderEpoch};
    use crate::picture::marks::Fault;
    use crate::picture::recorder::Commit;
    use crate::run::Lane;

    fn led(by: i32, changes: u64) -> Track {
        let commit = |at| Commit {
            at: Instant(at),
            host: HostId(0),
            leader: Some(BrokerId(by)),
            epoch: LeaderEpoch(0),
            isr: vec![BrokerId(by)],
            unclean: false,
            last_known: false,
        };
        Track { commits: (1..=changes).map(commit).collect(), ..Track::default() }
    }

    /// Three partitions: b1 leads the first, with most changes, b2 the others.
    fn run() -> Recorder {
        let mut run = Recorder::default();
        run.lanes = (1..=2)
            .map(|n| Lane {
                host: HostId(n),
                name: format!("b{n}"),
                kind: LaneKind::Broker(BrokerId(i32::from(n))),
            })
            .collect();
        for (number, track) in [(0, led(1, 9)), (1, led(2, 3)), (2, led(2, 1))] {
            run.tracks.insert(TopicPartition::new("orders", number), track);
        }
        run
    }

    fn killed(host: u16) -> Span {
        let (at, until) = (Instant(20), Instant(30));
        Span { host: HostId(host), other: None, kind: Fault::Kill, at, until }
    }

    fn chosen(faults: &[&str], spans: &[Span]) -> String {
        let faults: Vec<String> = faults.iter().map(|fault| (*fault).to_owned()).collect();
        struck(&run(), &faults, spans).unwrap().to_string()
    }

    #[test]
    fn partition_whose_leader_a_fault_struck_is_shown() {
        assert_eq!(chosen(&[], &[]), "orders-0");
        assert_eq!(chosen(&["1 s: kill of b2, for 9ms"], &[killed(2)]), "orders-1");
    }

    #[test]
    fn partition_that_a_fault_names_is_shown_before_others_of_its_leader() {
        let fault = "1.000 s: kill of b2 (leader of orders-2), for 9ms";
        assert_eq!(chosen(&[fault], &[killed(2)]), "orders-2");
        assert!(!names("kill of b2 (leader of orders-21), for 9ms", "orders-2"));
    }
}
