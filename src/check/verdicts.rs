//! The judge's findings.

#![allow(missing_docs)]

use std::fmt;

use serde::Serialize;

use super::violation::{Dependency, Seconds, brokers, name_of, say_cycle};
use super::{Outage, Violation};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, TopicPartition};

/// The outcome of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdicts {
    /// The first violation of each invariant that broke, in the order in which they were found.
    pub violations: Vec<Violation>,
    /// Notable events that break nothing.
    pub notes: Vec<Note>,
    /// Acknowledged records that the final reads did not find.
    pub lost: u64,
    /// Records that consumers found at more than one offset.
    #[serde(skip)]
    pub doubled: u64,
    /// Records that consumers got although their transactions were not committed.
    #[serde(skip)]
    pub uncommitted: u64,
    /// When partitions could not be used, in the order of time.
    pub outages: Vec<Outage>,
    /// Every invariant that was judged, by name.
    pub judged: Vec<&'static str>,
}

impl Verdicts {
    /// The violation of an invariant, if it broke.
    pub fn broke(&self, name: &str) -> Option<&Violation> {
        self.violations.iter().find(|violation| violation.invariant == name)
    }
}

/// A notable event that is not a violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Note {
    /// Records below a true high watermark are gone, and the configuration permits it.
    LossWithinContract {
        /// When a leader without them took over.
        at: Instant,
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        /// The first of them.
        from: Offset,
        records: u64,
        /// The leader without them.
        leader: BrokerId,
        epoch: LeaderEpoch,
        permit: Permit,
    },
    /// A liveness invariant could not be judged: the run ended before its time was over.
    EndedEarly { invariant: &'static str },
    /// A group had not read everything when the final reads began, but its member was busy all the time:
    /// the load was more than it can process.
    StillWorking {
        group: String,
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        read: Offset,
        end: Offset,
    },
    /// Transactions of several producers depend on each other in a cycle. Kafka permits that: their
    /// records may interleave in a partition.
    PermittedCycle {
        /// `G0` or `G1c`.
        anomaly: &'static str,
        cycle: Vec<Dependency>,
    },
    /// A coordinator that was deposed and did not know it may have told a member an older committed offset,
    /// or none. Kafka permits that: OffsetFetch writes nothing, and so nothing fences it. The member reads
    /// records again that its group has processed, also in a transaction.
    ToldByDeposed {
        /// When the member was told.
        at: Instant,
        group: String,
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        consumer: u32,
        told: Option<Offset>,
        /// What was committed, as was known.
        committed: Offset,
    },
}

/// The reason why a loss of committed records is permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Permit {
    /// An unclean election ran after they were committed.
    UncleanElection {
        /// The epoch it began.
        epoch: LeaderEpoch,
    },
    /// All eligible replicas had lost unsynced data, and the last leader was elected again (KIP-966).
    LastKnownLeader {
        /// The epoch it began.
        epoch: LeaderEpoch,
    },
    /// At least `min.insync.replicas` in-sync replicas lost data from unsynced pages.
    PowerLoss { brokers: Vec<BrokerId> },
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UncleanElection { epoch } => write!(f, "unclean election of epoch {epoch}"),
            Self::LastKnownLeader { epoch } => {
                write!(f, "last known leader elected again in epoch {epoch}")
            }
            Self::PowerLoss { brokers: who } => {
                write!(f, "{} lost unsynced data", brokers(who))
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LossWithinContract { at, partition, from, records, leader, epoch, permit } => {
                write!(
                    f,
                    "{partition} loss within the contract: {records} committed records from offset \
                     {from} are absent on leader b{leader} of epoch {epoch} at {} ({permit})",
                    Seconds(*at)
                )
            }
            Self::EndedEarly { invariant } => {
                write!(f, "{invariant} not judged: the run ended before its time was over")
            }
            Self::StillWorking { group, partition, read, end } => {
                write!(
                    f,
                    "group {group} can't process what is written: busy for most of the time after the \
                     heal, and {partition} is read up to offset {read} of {end}"
                )
            }
            Self::PermittedCycle { anomaly, cycle } => {
                write!(f, "{anomaly} that Kafka permits: ")?;
                say_cycle(f, cycle)
            }
            Self::ToldByDeposed { at, group, partition, consumer, told, committed } => {
                write!(f, "group {group}: k{consumer} was told ")?;
                match told {
                    Some(offset) => write!(f, "offset {offset} of {partition}")?,
                    None => write!(f, "no offset of {partition}")?,
                }
                write!(
                    f,
                    " at {} while a deposed coordinator answered, though offset {committed} was \
                     committed: Kafka permits that, and records are processed again",
                    Seconds(*at)
                )
            }
        }
    }
}
