//! Evidence about the fate of single records, as clients saw it.

use std::fmt;

use serde::Serialize;

use super::{Seconds, Sighting, Told};
use crate::base::Offset;
use crate::sim::Misdeed;

/// Evidence about the fate of single records, as clients saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RecordWitness {
    /// It was acknowledged and never read, although a consumer read on past its offset.
    ReadPast { told: Told, consumer: u32, later: Offset },
    /// It was acknowledged and never read, although a final read reached the end.
    Unseen { told: Told, consumer: u32, end: Offset },
    /// Two values were seen at one offset.
    TwoValues { offset: Offset, first: Sighting, second: Sighting },
    /// One value was seen at two offsets.
    TwoOffsets { first: Offset, second: Offset, sent_by: u32, one: Sighting, other: Sighting },
    /// It was read, although its producer knows that it was refused.
    RefusedButRead { offset: Offset, told: Told, error: String, consumer: u32 },
    /// A value was read that no producer sent.
    NeverSent { offset: Offset, value: u64, consumer: u32 },
    /// A request that must be refused was not, or with another error than Kafka's.
    NotRefused { producer: u32, misdeed: Misdeed, value: u64, error: String, at: Option<Offset> },
    /// A record of such a request was read.
    MisbehavedRead { producer: u32, misdeed: Misdeed, value: u64, offset: Offset, consumer: u32 },
    /// It was read before any leader had exposed it.
    AboveHighWatermark { offset: Offset, value: u64, consumer: u32, exposed: Offset },
}

impl RecordWitness {
    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::ReadPast { told, consumer, later } => {
                write!(
                    f,
                    "{told}; absent where consumer {consumer} read on to offset {later} at {at}"
                )
            }
            Self::Unseen { told, consumer, end } => {
                write!(f, "{told}; absent where consumer {consumer} read to the end {end} by {at}")
            }
            Self::TwoValues { offset, first, second } => write!(
                f,
                "offset {offset} is value {} to {} at {} and value {} to {} at {at}",
                first.value,
                first.by,
                Seconds(first.at),
                second.value,
                second.by
            ),
            Self::TwoOffsets { first, second, sent_by, one, other } => write!(
                f,
                "value {} of p{sent_by} is at offset {first} ({} at {}) and at offset {second} ({} at {at})",
                one.value,
                one.by,
                Seconds(one.at),
                other.by
            ),
            Self::RefusedButRead { offset, told, error, consumer } => write!(
                f,
                "offset {offset} read by consumer {consumer} at {at} is send {} of p{}, which was told {error} at {}",
                told.op,
                told.producer,
                Seconds(told.at)
            ),
            Self::NeverSent { offset, value, consumer } => {
                write!(
                    f,
                    "offset {offset} read by consumer {consumer} at {at} is value {value}, which nobody sent"
                )
            }
            Self::NotRefused { producer, misdeed, error, at: stored, .. } => {
                let what = misdeed.words();
                write!(f, "p{producer} sent a request with {what} and was answered {error}")?;
                if let Some(offset) = stored {
                    write!(f, " at offset {offset}")?;
                }
                write!(f, " at {at}; Kafka answers {}", misdeed.refusals().join(" or "))
            }
            Self::MisbehavedRead { producer, misdeed, offset, consumer, .. } => write!(
                f,
                "offset {offset} read by consumer {consumer} at {at} is a record that p{producer} sent in a request with {}",
                misdeed.words()
            ),
            Self::AboveHighWatermark { offset, consumer, exposed, .. } => {
                write!(
                    f,
                    "offset {offset} read by consumer {consumer} at {at}; leaders had exposed no more than offset {exposed}"
                )
            }
        }
    }
}
