//! Evidence about the members of a group, and about what they commit and process.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{Client, RecordName, Seconds, TransactionName, name_of};
use crate::base::{Instant, Offset, TopicPartition};

/// Evidence about the members of a group, and about what they commit and process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum GroupWitness {
    /// Two members of one generation were assigned a partition.
    TwoOwners {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        generation: i32,
        members: [u32; 2],
    },
    /// A partition was assigned before its owner, who stayed a member, had given it up.
    NotGivenUp {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        owner: u32,
        owned_in: i32,
        next: u32,
        generation: i32,
        assigned: Instant,
    },
    /// A member processed a record of a partition that it did not own.
    ProcessedUnowned {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        consumer: u32,
        offset: Offset,
    },
    /// No member of a stable generation owned a partition.
    Unowned {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        generation: i32,
        since: Instant,
    },
    /// A member joined a generation older than one that had been reported when it began to join.
    GenerationFell { consumer: u32, generation: i32, before: i32 },
    /// A member of a group that all others had left got a generation that these had had.
    GenerationAgain { consumer: u32, generation: i32, newest: i32 },
    /// A commit of an old generation was acknowledged.
    ZombieCommitted { consumer: u32, generation: i32, newest: i32, op: u64 },
    /// A member was told less than had been committed.
    CommitRewound {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        consumer: u32,
        found: Option<Offset>,
        committed: Offset,
        by: Client,
        at: Instant,
    },
    /// A member was told an offset that only a transaction sent that is not committed.
    Uncommitted {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        consumer: u32,
        offset: Offset,
        transaction: TransactionName,
    },
    /// A transactional commit of an old generation was accepted.
    ZombieSentOffsets { transaction: TransactionName, generation: i32, newest: i32 },
    /// A static member came back in time, and the group had to rebalance.
    StaticMemberMoved { consumer: u32, away: Duration, before: i32, after: i32 },
    /// A static member was refused in favour of another process, and there was none.
    StaticMemberFenced { consumer: u32, since: Instant },
    /// A group did not become stable in time.
    NotStable { why: String, healed: Instant, within: Duration },
    /// A group did not read a partition to its end in time.
    Behind {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        read: Offset,
        end: Offset,
        healed: Instant,
        within: Duration,
    },
    /// An acknowledged record was committed, and no member processed it.
    NeverProcessed {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        offset: Offset,
        record: RecordName,
        committed: Offset,
    },
    /// A record was processed twice.
    ProcessedTwice {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        offset: Offset,
        record: RecordName,
        members: [u32; 2],
    },
}

impl GroupWitness {
    /// The partition that it is about, if it is about one.
    pub fn partition(&self) -> Option<&TopicPartition> {
        match self {
            Self::TwoOwners { partition, .. }
            | Self::NotGivenUp { partition, .. }
            | Self::ProcessedUnowned { partition, .. }
            | Self::Unowned { partition, .. }
            | Self::CommitRewound { partition, .. }
            | Self::Uncommitted { partition, .. }
            | Self::Behind { partition, .. }
            | Self::NeverProcessed { partition, .. }
            | Self::ProcessedTwice { partition, .. } => Some(partition),
            Self::GenerationFell { .. }
            | Self::GenerationAgain { .. }
            | Self::StaticMemberFenced { .. }
            | Self::ZombieCommitted { .. }
            | Self::ZombieSentOffsets { .. }
            | Self::StaticMemberMoved { .. }
            | Self::NotStable { .. } => None,
        }
    }

    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::TwoOwners { partition, generation, members: [one, other] } => write!(
                f,
                "assigned {partition} to both k{one} and k{other} in generation {generation}, as of {at}"
            ),
            Self::NotGivenUp { partition, owner, owned_in, next, generation, assigned } => write!(
                f,
                "assigned {partition} to k{next} in generation {generation} at {}, though k{owner}, a \
                 member since generation {owned_in}, had not given it up",
                Seconds(*assigned)
            ),
            Self::ProcessedUnowned { partition, consumer, offset } => write!(
                f,
                "member k{consumer} processed offset {offset} of {partition} at {at}, which it did not \
                 own"
            ),
            Self::Unowned { partition, generation, since } => write!(
                f,
                "has had all its members in generation {generation} since {}, and none of them owns \
                 {partition} at {at}",
                Seconds(*since)
            ),
            Self::GenerationFell { consumer, generation, before } => write!(
                f,
                "gave k{consumer} generation {generation} at {at}, after generation {before}"
            ),
            Self::GenerationAgain { consumer, generation, newest } => write!(
                f,
                "gave k{consumer} generation {generation} at {at}, though the members of generation \
                 {newest} had all left before it came"
            ),
            Self::ZombieCommitted { consumer, generation, newest, op } => write!(
                f,
                "acknowledged k{consumer}'s commit {op} of generation {generation} at {at}, though \
                 generation {newest} had begun before it was sent"
            ),
            Self::CommitRewound { partition, consumer, found, committed, by, at: when } => {
                write!(f, "told k{consumer} that ")?;
                match found {
                    Some(found) => write!(f, "offset {found} of {partition} is committed")?,
                    None => write!(f, "nothing of {partition} is committed")?,
                }
                write!(
                    f,
                    " at {at}, though {} knew offset {committed} to be committed at {}",
                    by.short(),
                    Seconds(*when)
                )
            }
            Self::Uncommitted { partition, consumer, offset, transaction } => write!(
                f,
                "told k{consumer} that offset {offset} of {partition} is committed at {at}, which only \
                 {transaction} sent, and that is not"
            ),
            Self::ZombieSentOffsets { transaction, generation, newest } => write!(
                f,
                "accepted offsets of generation {generation} in {transaction} at {at}, though generation \
                 {newest} had begun before they were sent"
            ),
            Self::StaticMemberMoved { consumer, away, before, after } => write!(
                f,
                "went from generation {before} to {after} by {at} because k{consumer}, a static member, \
                 was away for {:.3} s, within its session timeout",
                away.as_secs_f64()
            ),
            Self::StaticMemberFenced { consumer, since } => write!(
                f,
                "refused k{consumer}, a static member since {}, at {at} in favour of another process, \
                 though no other ran",
                Seconds(*since)
            ),
            Self::NotStable { why, healed, within } => write!(
                f,
                "not stable {} s after the heal at {}: {why}",
                within.as_secs_f64(),
                Seconds(*healed)
            ),
            Self::Behind { partition, read, end, healed, within } => write!(
                f,
                "had read {partition} only up to offset {read} of {end} {} s after the heal at {}",
                within.as_secs_f64(),
                Seconds(*healed)
            ),
            Self::NeverProcessed { partition, offset, record, committed } => write!(
                f,
                "committed {partition} up to offset {committed}, but no member had processed offset \
                 {offset} ({record}) by {at}"
            ),
            Self::ProcessedTwice { partition, offset, record, members: [first, second] } => write!(
                f,
                "processed offset {offset} of {partition} ({record}) twice: k{first}, and k{second} at \
                 {at}"
            ),
        }
    }
}
