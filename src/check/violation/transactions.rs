//! Evidence about transactions: their outcomes, markers, producers, and what was made of their inputs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{RecordName, Seconds, name_of};
use crate::base::{Instant, Offset, ProducerEpoch, ProducerId, TopicPartition};

/// A client's transaction: the number of its producer, and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(missing_docs)]
pub struct TransactionName {
    pub producer: u32,
    pub number: u64,
}

/// One transaction depends on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Dependency {
    pub from: TransactionName,
    pub to: TransactionName,
    #[serde(serialize_with = "name_of")]
    pub partition: TopicPartition,
    /// Of the record of `from`.
    pub offset: Offset,
    /// Of the record of `to` that was written after it; `None` if `to` read that of `from`.
    pub next: Option<Offset>,
}

/// Evidence about transactions: their outcomes, markers, producers, and what was made of their inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum TransactionWitness {
    /// A reader of committed records got one of a transaction that is not. `aborted`: when its producer
    /// learned that; `None` if it never asked for a commit.
    ReadAborted {
        offset: Offset,
        record: RecordName,
        transaction: TransactionName,
        consumer: u32,
        aborted: Option<Instant>,
    },
    /// A reader of committed records got one that an abort marker follows.
    ReadMarkedAborted {
        offset: Offset,
        value: u64,
        consumer: u32,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        marker: Offset,
    },
    /// A reader of committed records got one above the last stable offset.
    AboveLastStable { offset: Offset, value: u64, consumer: u32, stable: Offset },
    /// A reader of committed records got one before a commit was asked for.
    ReadEarly {
        offset: Offset,
        record: RecordName,
        transaction: TransactionName,
        consumer: u32,
        read: Instant,
    },
    /// Part of a transaction was visible, and part was not.
    Torn {
        transaction: TransactionName,
        seen: RecordName,
        #[serde(serialize_with = "name_of")]
        seen_in: TopicPartition,
        seen_at: Offset,
        missing: RecordName,
        offset: Option<Offset>,
        consumer: u32,
        later: Offset,
    },
    /// Transactions depend on each other in a cycle.
    Cycle { anomaly: &'static str, cycle: Vec<Dependency> },
    /// Two attempts at one input are both visible.
    TwoOutputs {
        offset: Offset,
        input: RecordName,
        origin: RecordName,
        group: String,
        outputs: [RecordName; 2],
    },
    /// An input was committed, and nothing that was made of it is visible.
    NoOutput {
        offset: Offset,
        input: RecordName,
        origin: RecordName,
        group: String,
        committed: Offset,
        attempts: usize,
    },
    /// Part of what was made of an input is visible, and part is not.
    PartOfOutputs {
        offset: Offset,
        input: RecordName,
        group: String,
        seen: RecordName,
        missing: RecordName,
    },
    /// Outputs of one key are in another order than their inputs.
    OutputsReordered { group: String, key: u64, first: (Offset, Offset), second: (Offset, Offset) },
    /// Two clients got one producer id and epoch.
    EpochTwice { producer_id: ProducerId, epoch: ProducerEpoch, first: u32, since: Instant },
    /// A client got the epoch that is left to fence the last client of a producer id.
    FencingEpoch { producer_id: ProducerId, epoch: ProducerEpoch },
    /// One producer id belongs to two transactional ids.
    IdTwice { producer_id: ProducerId, other: String },
    /// The epoch of a transactional id fell.
    EpochFell { producer_id: ProducerId, before: ProducerEpoch, after: ProducerEpoch },
    /// A batch of an old epoch is in a log.
    OldEpoch {
        offset: Offset,
        marker: bool,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        newest: ProducerEpoch,
    },
    /// A record of a fenced producer was acknowledged.
    ZombieStored {
        record: RecordName,
        epoch: ProducerEpoch,
        by: u32,
        newest: ProducerEpoch,
        since: Instant,
    },
    /// A fenced producer's transaction was committed.
    ZombieCommitted {
        transaction: TransactionName,
        epoch: ProducerEpoch,
        by: u32,
        newest: ProducerEpoch,
        since: Instant,
    },
    /// A decision was followed by something else than its completion.
    DecisionChanged { before: &'static str, after: &'static str, decided: Instant, offset: Offset },
    /// A client was told an outcome that its coordinator did not decide.
    NotDecided { transaction: TransactionName, commit: bool, decided: Option<bool> },
    /// A committed entry of a coordinator can't be read.
    UnreadableEntry { offset: Offset },
    /// A marker says something else than the decision.
    WrongMarker { id: String, offset: Offset, commit: bool, decided: Instant },
    /// A marker ended a transaction of which no outcome had been decided.
    NoDecision { id: Option<String>, offset: Offset, commit: bool, state: &'static str },
    /// A transaction is complete, and a participant lacks its marker.
    NoMarker {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        commit: bool,
        decided: Instant,
    },
    /// A transaction without a marker holds the last stable offset down.
    Hanging {
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        first: Offset,
        since: Instant,
        healed: Instant,
        within: Duration,
    },
    /// A decision was not carried out in time.
    NotCompleted { commit: bool, decided: Instant, healed: Instant, within: Duration },
    /// A producer was not told an outcome in time.
    NotTold {
        transaction: TransactionName,
        commit: bool,
        asked: Instant,
        healed: Instant,
        within: Duration,
    },
}

fn verb(commit: bool) -> &'static str {
    if commit { "commit" } else { "abort" }
}

fn kind(commit: bool) -> &'static str {
    if commit { "a commit" } else { "an abort" }
}

fn done(commit: bool) -> &'static str {
    if commit { "committed" } else { "aborted" }
}

impl TransactionWitness {
    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::ReadAborted { .. }
            | Self::ReadMarkedAborted { .. }
            | Self::AboveLastStable { .. }
            | Self::ReadEarly { .. }
            | Self::Torn { .. }
            | Self::Cycle { .. } => self.say_of_reads(f, at),
            Self::TwoOutputs { .. }
            | Self::NoOutput { .. }
            | Self::PartOfOutputs { .. }
            | Self::OutputsReordered { .. } => self.say_of_outputs(f, at),
            Self::EpochTwice { .. }
            | Self::FencingEpoch { .. }
            | Self::IdTwice { .. }
            | Self::EpochFell { .. }
            | Self::OldEpoch { .. }
            | Self::ZombieStored { .. }
            | Self::ZombieCommitted { .. } => self.say_of_producers(f, at),
            Self::DecisionChanged { .. }
            | Self::NotDecided { .. }
            | Self::UnreadableEntry { .. }
            | Self::WrongMarker { .. }
            | Self::NoDecision { .. }
            | Self::NoMarker { .. }
            | Self::Hanging { .. }
            | Self::NotCompleted { .. }
            | Self::NotTold { .. } => self.say_of_outcomes(f, at),
        }
    }

    fn say_of_reads(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::ReadAborted { offset, record, transaction, consumer, aborted } => {
                write!(
                    f,
                    "offset {offset} read by read_committed consumer k{consumer} is {record} of \
                     {transaction}, "
                )?;
                match aborted {
                    Some(at) => write!(f, "which was aborted at {}", Seconds(*at)),
                    None => write!(f, "for which no commit was asked by {at}"),
                }
            }
            Self::ReadMarkedAborted { offset, consumer, producer_id, epoch, marker, .. } => write!(
                f,
                "offset {offset} read by read_committed consumer k{consumer} at {at} is a record of \
                 producer id {producer_id}, whose abort marker of epoch {epoch} is at offset {marker}"
            ),
            Self::AboveLastStable { offset, consumer, stable, .. } => write!(
                f,
                "offset {offset} read by read_committed consumer k{consumer} at {at}; the last stable \
                 offset had never been above {stable}"
            ),
            Self::ReadEarly { offset, record, transaction, consumer, read } => write!(
                f,
                "offset {offset} read by read_committed consumer k{consumer} at {} is {record} of \
                 {transaction}, for which a commit was asked only at {at}",
                Seconds(*read)
            ),
            Self::Torn {
                transaction,
                seen,
                seen_in,
                seen_at,
                missing,
                offset,
                consumer,
                later,
            } => {
                write!(
                    f,
                    "{missing} of {transaction} is absent where read_committed consumer k{consumer} read \
                     on to offset {later}"
                )?;
                if let Some(offset) = offset {
                    write!(f, " past its offset {offset}")?;
                }
                write!(f, " by {at}, but {seen} of it was read at offset {seen_at} of {seen_in}")
            }
            Self::Cycle { anomaly, cycle } => {
                write!(f, "{anomaly} by {at}: ")?;
                say_cycle(f, cycle)
            }
            _ => Ok(()),
        }
    }

    fn say_of_outputs(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::TwoOutputs { offset, input, origin, group, outputs: [one, other] } => {
                write!(f, "offset {offset} ({input}")?;
                say_origin(f, input, origin)?;
                write!(f, ") has two visible outputs of group {group} by {at}: {one} and {other}")
            }
            Self::NoOutput { offset, input, origin, group, committed, attempts } => {
                write!(f, "offset {offset} ({input}")?;
                say_origin(f, input, origin)?;
                write!(
                    f,
                    ") has no visible output of group {group} by {at} after {attempts} attempts, though \
                     the group committed offset {committed}"
                )
            }
            Self::PartOfOutputs { offset, input, group, seen, missing } => write!(
                f,
                "offset {offset} ({input}) has only part of its outputs of group {group} visible by {at}: \
                 {seen} but not {missing}"
            ),
            Self::OutputsReordered { group, key, first, second } => write!(
                f,
                "outputs of group {group} for key {key} are out of order by {at}: input {} is at offset \
                 {}, after input {} at offset {}",
                second.0, second.1, first.0, first.1
            ),
            _ => Ok(()),
        }
    }

    fn say_of_producers(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::EpochTwice { producer_id, epoch, first, since } => write!(
                f,
                "got epoch {epoch} of producer id {producer_id} at {at}, which p{first} has had since {}",
                Seconds(*since)
            ),
            Self::FencingEpoch { producer_id, epoch } => write!(
                f,
                "got epoch {epoch} of producer id {producer_id} at {at}: the last one fences producers, and \
                 no transaction can be ended with it"
            ),
            Self::IdTwice { producer_id, other } => write!(
                f,
                "got producer id {producer_id} at {at}, which belongs to transactional id {other}"
            ),
            Self::EpochFell { producer_id, before, after } => write!(
                f,
                "fell from epoch {before} to epoch {after} of producer id {producer_id} at {at}"
            ),
            Self::OldEpoch { offset, marker, producer_id, epoch, newest } => {
                let what = if *marker { "marker" } else { "record" };
                write!(
                    f,
                    "offset {offset} is a {what} of epoch {epoch} of producer id {producer_id} at {at}, \
                     after epoch {newest} of it"
                )
            }
            Self::ZombieStored { record, epoch, by, newest, since } => write!(
                f,
                "{record} of epoch {epoch} was acknowledged at {at}, though p{by} had had epoch {newest} \
                 since {} before it was sent",
                Seconds(*since)
            ),
            Self::ZombieCommitted { transaction, epoch, by, newest, since } => write!(
                f,
                "committed {transaction} of epoch {epoch} at {at}, though p{by} had had epoch {newest} \
                 since {} before that was asked for",
                Seconds(*since)
            ),
            _ => Ok(()),
        }
    }

    fn say_of_outcomes(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::DecisionChanged { before, after, decided, offset } => write!(
                f,
                "had {before} at {}, and {after} at {at} (offset {offset} of its coordinator's log)",
                Seconds(*decided)
            ),
            Self::NotDecided { transaction, commit, decided } => {
                let told = done(*commit);
                write!(f, "told {transaction} at {at} that it is {told}, and ")?;
                match decided {
                    Some(commit) => write!(f, "its coordinator decided to {}", verb(*commit)),
                    None => write!(f, "its coordinator decided nothing"),
                }
            }
            Self::UnreadableEntry { offset } => {
                write!(f, "the committed entries from offset {offset} on can't be read at {at}")
            }
            Self::WrongMarker { id, offset, commit, decided } => write!(
                f,
                "offset {offset} is {} marker at {at}, though the coordinator of transactional id {id} \
                 decided otherwise at {}",
                kind(*commit),
                Seconds(*decided)
            ),
            Self::NoDecision { id, offset, commit, state } => {
                write!(f, "offset {offset} is {} marker at {at}, though ", kind(*commit))?;
                match id {
                    Some(id) => write!(f, "transactional id {id} has {state}"),
                    None => write!(f, "no transactional id has its producer id"),
                }
            }
            Self::NoMarker { partition, commit, decided } => write!(
                f,
                "is complete at {at}, but {partition} has no {} marker since that was decided at {}",
                verb(*commit),
                Seconds(*decided)
            ),
            Self::Hanging { producer_id, epoch, first, since, healed, within } => write!(
                f,
                "the last stable offset is still {first} {} s after the heal at {}: a transaction of \
                 producer id {producer_id}, epoch {epoch}, is open since {}",
                within.as_secs_f64(),
                Seconds(*healed),
                Seconds(*since)
            ),
            Self::NotCompleted { commit, decided, healed, within } => write!(
                f,
                "is not complete {} s after the heal at {}; the {} was decided at {}",
                within.as_secs_f64(),
                Seconds(*healed),
                verb(*commit),
                Seconds(*decided)
            ),
            Self::NotTold { transaction, commit, asked, healed, within } => write!(
                f,
                "has no outcome of {transaction} {} s after the heal at {}; it asked for the {} at {}",
                within.as_secs_f64(),
                Seconds(*healed),
                verb(*commit),
                Seconds(*asked)
            ),
            _ => Ok(()),
        }
    }
}

/// Names the record that a chain of stages began with.
fn say_origin(f: &mut fmt::Formatter<'_>, input: &RecordName, origin: &RecordName) -> fmt::Result {
    if input == origin { Ok(()) } else { write!(f, ", made of {origin}") }
}

/// Writes each step of a cycle.
pub(crate) fn say_cycle(f: &mut fmt::Formatter<'_>, cycle: &[Dependency]) -> fmt::Result {
    for (index, step) in cycle.iter().enumerate() {
        if index > 0 {
            f.write_str("; ")?;
        }
        let Dependency { from, to, partition, offset, next } = step;
        match next {
            Some(next) => write!(
                f,
                "{to} wrote offset {next} of {partition} after {from} wrote offset {offset}"
            )?,
            None => write!(f, "{to} read offset {offset} of {partition}, which {from} wrote")?,
        }
    }
    Ok(())
}

impl fmt::Display for TransactionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}'s transaction {}", self.producer, self.number)
    }
}
