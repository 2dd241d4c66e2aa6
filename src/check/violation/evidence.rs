//! Parts of which evidence is made, and how they print.

#![allow(missing_docs)]

use std::fmt;

use serde::Serialize;

use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, list};

/// A client's report that a value is at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    pub value: u64,
    pub by: Client,
    pub at: Instant,
}

/// A record, by its producer and the number of the send; by its value where no producer sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RecordName {
    pub value: u64,
    /// The producer, and its send.
    pub sent: Option<(u32, u64)>,
}

/// A client, by the number it has in the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    Producer(u32),
    Consumer(u32),
}

impl Client {
    /// Its name alone: `p1` or `k1`.
    pub(crate) fn short(self) -> String {
        match self {
            Self::Producer(number) => format!("p{number}"),
            Self::Consumer(number) => format!("k{number}"),
        }
    }
}

/// A send, and its outcome as its producer learned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    pub producer: u32,
    /// Counts the producer's sends.
    pub op: u64,
    pub value: u64,
    /// The offset in the response, if it was acknowledged with one.
    pub offset: Option<Offset>,
    /// When the producer learned the outcome.
    pub at: Instant,
}

/// Promised records that a replica lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Absence {
    /// Offset of the first.
    pub offset: Offset,
    /// The epoch in which the first was written.
    pub epoch: LeaderEpoch,
    /// How many records from there on were promised.
    pub records: u64,
    /// The leader that exposed the first.
    pub promised_by: BrokerId,
    pub promised_at: Instant,
    /// The broker whose replica lacks them.
    pub broker: BrokerId,
    /// Epoch of the record that is there instead.
    pub instead: Option<LeaderEpoch>,
}

/// Seconds with three digits.
pub(crate) struct Seconds(pub Instant);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Producer(number) => write!(f, "p{number}"),
            Self::Consumer(number) => write!(f, "consumer k{number}"),
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sent {
            Some((producer, op)) => write!(f, "p{producer}'s record {op}"),
            None => write!(f, "a record that no producer sent (value {})", self.value),
        }
    }
}

impl Told {
    /// Names the record.
    pub fn record(&self) -> RecordName {
        RecordName { value: self.value, sent: Some((self.producer, self.op)) }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (record, at) = (self.record(), Seconds(self.at));
        match self.offset {
            Some(offset) => write!(f, "offset {offset} ({record}) acked at {at}"),
            None => write!(f, "{record} acked at {at}"),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, epoch, promised_by, promised_at, .. } = self;
        write!(
            f,
            "offset {offset} of epoch {epoch} committed by b{promised_by} at {}",
            Seconds(*promised_at)
        )?;
        if self.records > 1 {
            write!(f, " ({} records from there on)", self.records)?;
        }
        Ok(())
    }
}

/// `b1, b2 and b3`.
pub(crate) fn brokers(who: &[BrokerId]) -> String {
    list(&who.iter().map(|id| format!("b{id}")).collect::<Vec<_>>())
}
