//! Evidence about what one consumer was served, poll by poll.

use std::fmt;

use serde::Serialize;

use super::{RecordName, Seconds};
use crate::base::{BrokerId, Offset};

/// Evidence about what one consumer was served, poll by poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ConsumerWitness {
    /// A poll continued elsewhere than where the last one ended.
    Jump { consumer: u32, expected: Offset, got: Offset },
    /// It read on in a log that had lost what it read before, without a truncation error.
    Spliced {
        consumer: u32,
        offset: Offset,
        record: RecordName,
        instead: RecordName,
        later: Offset,
    },
    /// It got two records of one producer in another order than they were sent.
    Reordered { producer: u32, consumer: u32, earlier: (Offset, u64), later: (Offset, u64) },
    /// After the last fault, it was told an end below what had been exposed.
    EndFell { consumer: u32, end: Offset, exposed: Offset },
    /// ListOffsets told it a smaller end than before.
    LatestFell { consumer: u32, before: Offset, after: Offset },
    /// ListOffsets told it a beginning above the first record that is there.
    BeginsLate { consumer: u32, told: Offset, first: Offset },
    /// ListOffsets by timestamp did not tell it the first record at or after the time.
    FoundOther { consumer: u32, timestamp: i64, found: Option<Offset>, first: (Offset, Offset) },
    /// It was served bytes that fail their checksum.
    ServedDamaged { consumer: u32, offset: Offset },
    /// Its final read had to skip a record that a running broker holds intact.
    HadToSkip { consumer: u32, offset: Offset, intact_on: BrokerId },
}

impl ConsumerWitness {
    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::Jump { consumer, expected, got } => {
                write!(
                    f,
                    "consumer k{consumer} was at offset {expected} and got offset {got} at {at}"
                )
            }
            Self::Spliced { consumer, offset, record, instead, later } => write!(
                f,
                "offset {offset} was {record} to consumer k{consumer} and is {instead} at {at}, yet it read on to offset {later} and was told of no truncation"
            ),
            Self::Reordered { producer, consumer, earlier, later } => write!(
                f,
                "p{producer}'s record {} is at offset {}, before its record {} at offset {}, as consumer k{consumer} read at {at}",
                earlier.1, earlier.0, later.1, later.0
            ),
            Self::EndFell { consumer, end, exposed } => {
                write!(
                    f,
                    "ends at offset {end} for consumer k{consumer} at {at}, though offset {exposed} had been exposed"
                )
            }
            Self::LatestFell { consumer, before, after } => write!(
                f,
                "consumer k{consumer} was told that the end is offset {after} at {at}, after it was told \
                 offset {before}"
            ),
            Self::BeginsLate { consumer, told, first } => write!(
                f,
                "consumer k{consumer} was told that the beginning is offset {told} by {at}, and nothing \
                 from offset {first} on was deleted"
            ),
            Self::FoundOther { consumer, timestamp, found, first } => {
                write!(
                    f,
                    "consumer k{consumer} asked for the first record from {timestamp} ms on and was told "
                )?;
                match found {
                    Some(found) => write!(f, "offset {found}")?,
                    None => f.write_str("that there is none")?,
                }
                let (from, to) = first;
                write!(f, " at {at}; it is in the batch of offsets {from} to {to}")
            }
            Self::ServedDamaged { consumer, offset } => {
                write!(
                    f,
                    "consumer k{consumer} was served bytes at offset {offset} by {at} that "
                )?;
                f.write_str("fail their checksum")
            }
            Self::HadToSkip { consumer, offset, intact_on } => write!(
                f,
                "consumer k{consumer} was refused offset {offset} and read on to the end by {at}, though \
                 b{intact_on} holds it intact"
            ),
        }
    }
}
