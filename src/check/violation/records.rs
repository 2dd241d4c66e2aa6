//! Evidence about the fate of single records, as clients saw it.

use std::fmt;

use serde::Serialize;

use super::{Client, RecordName, Seconds, Sighting, Told};
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
    /// Two records were seen at one offset. `records`: their names.
    TwoValues { offset: Offset, first: Sighting, second: Sighting, records: [RecordName; 2] },
    /// One record was seen at two offsets.
    TwoOffsets { record: RecordName, first: Offset, second: Offset, one: Sighting, other: Sighting },
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
                    "{told}; absent where consumer k{consumer} read on to offset {later} at {at}"
                )
            }
            Self::Unseen { told, consumer, end } => {
                write!(f, "{told}; absent where consumer k{consumer} read to the end {end} by {at}")
            }
            Self::TwoValues { offset, first, second, records: [one, other] } => {
                write!(f, "offset {offset} was ")?;
                first.say(f, *one)?;
                f.write_str(" and ")?;
                second.say(f, *other)
            }
            Self::TwoOffsets { record, first, second, one, other } => write!(
                f,
                "{record} is at offset {first} ({} at {}) and at offset {second} ({} at {at})",
                one.by,
                Seconds(one.at),
                other.by
            ),
            Self::RefusedButRead { offset, told, error, consumer } => write!(
                f,
                "offset {offset} read by consumer k{consumer} at {at} is {}, which was refused with {error} at {}",
                told.record(),
                Seconds(told.at)
            ),
            Self::NeverSent { offset, value, consumer } => {
                write!(
                    f,
                    "offset {offset} read by consumer k{consumer} at {at} is {}",
                    RecordName { value: *value, sent: None }
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
                "offset {offset} read by consumer k{consumer} at {at} is a record that p{producer} sent in a request with {}",
                misdeed.words()
            ),
            Self::AboveHighWatermark { offset, consumer, exposed, .. } => {
                write!(
                    f,
                    "offset {offset} read by consumer k{consumer} at {at}; leaders had exposed no more than offset {exposed}"
                )
            }
        }
    }
}

impl Sighting {
    fn say(&self, f: &mut fmt::Formatter<'_>, record: RecordName) -> fmt::Result {
        match self.by {
            Client::Producer(_) => write!(f, "acked as {record} at {}", Seconds(self.at)),
            Client::Consumer(_) => {
                write!(f, "read as {record} by {} at {}", self.by, Seconds(self.at))
            }
        }
    }
}
