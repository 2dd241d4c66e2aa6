//! Evidence about replication: leaders, in-sync replicas and promises.

use std::fmt;

use serde::Serialize;

use super::{Absence, Client, Seconds, brokers};
use crate::base::{BrokerId, LeaderEpoch, Offset};

/// Evidence about replication: leaders, in-sync replicas and promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ReplicaWitness {
    /// A record was read, or acknowledged, of which too few copies were ever made.
    TooFewCopies {
        offset: Offset,
        epoch: LeaderEpoch,
        copies: Vec<BrokerId>,
        needed: usize,
        to: Option<Client>,
        leader: BrokerId,
    },
    /// A leader acknowledged in an epoch that began with too small an ISR and still has it.
    TooSmallIsr {
        epoch: LeaderEpoch,
        leader: BrokerId,
        isr: Vec<BrokerId>,
        needed: usize,
        end: Offset,
    },
    /// Two brokers accepted writes in one epoch.
    TwoLeaders { epoch: LeaderEpoch, first: BrokerId, second: BrokerId, offset: Offset },
    /// Two different batches of one epoch are at one offset.
    TwoBatches { epoch: LeaderEpoch, offset: Offset, first: BrokerId, second: BrokerId },
    /// A leader, or a replica that could be elected, lacks promised records.
    Lacks { absence: Absence, leads: bool, in_epoch: LeaderEpoch },
    /// Below its high watermark, a replica holds other records than those that were exposed.
    Disagrees { absence: Absence, high_watermark: Offset },
    /// A leader's high watermark fell.
    HighWatermarkFell { broker: BrokerId, epoch: LeaderEpoch, before: Offset, after: Offset },
    /// A fenced broker joined the ISR.
    JoinedFenced { broker: BrokerId, epoch: LeaderEpoch },
    /// A replica leads whose disk was replaced since it was last in sync.
    LeadsReplaced { broker: BrokerId, epoch: LeaderEpoch },
    /// The controller calls an election unclean, and the new leader was in sync or eligible.
    CalledUnclean { leader: BrokerId, epoch: LeaderEpoch, in_sync: bool },
    /// A leader does not count a replica that the controller has in sync.
    NotCounted {
        leader: BrokerId,
        epoch: LeaderEpoch,
        counted: Vec<BrokerId>,
        committed: Vec<BrokerId>,
    },
}

impl ReplicaWitness {
    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::TooFewCopies { offset, epoch, copies, needed, to, leader } => {
                write!(f, "offset {offset} of epoch {epoch} ")?;
                match to {
                    None => write!(f, "acknowledged by leader b{leader} at {at}")?,
                    Some(client) => write!(f, "read by {client} at {at}")?,
                }
                write!(
                    f,
                    " with copies on {} only; min.insync.replicas is {needed}",
                    brokers(copies)
                )
            }
            Self::TooSmallIsr { epoch, leader, isr, needed, end } => write!(
                f,
                "leader b{leader} of epoch {epoch} acknowledged below offset {end} at {at} with {} in sync; min.insync.replicas is {needed}",
                brokers(isr)
            ),
            Self::TwoLeaders { epoch, first, second, offset } => {
                write!(
                    f,
                    "b{first} and b{second} both accepted writes in epoch {epoch}; b{second} at offset {offset} at {at}"
                )
            }
            Self::TwoBatches { epoch, offset, first, second } => {
                write!(
                    f,
                    "offset {offset} of epoch {epoch} is one record on b{first} and another on b{second} at {at}"
                )
            }
            Self::Lacks { absence, leads, in_epoch } => {
                let Absence { broker, instead, .. } = absence;
                let role = if *leads { "leader" } else { "in-sync" };
                match instead {
                    None => write!(
                        f,
                        "{absence}; absent on {role} b{broker} of epoch {in_epoch} at {at}"
                    ),
                    Some(other) => write!(
                        f,
                        "{absence}; {role} b{broker} of epoch {in_epoch} has a record of epoch {other} there at {at}"
                    ),
                }
            }
            Self::Disagrees { absence, high_watermark } => {
                let Absence { broker, instead, .. } = absence;
                match instead {
                    None => write!(
                        f,
                        "{absence}; absent on b{broker} below its high watermark {high_watermark} at {at}"
                    ),
                    Some(other) => write!(
                        f,
                        "{absence}; b{broker} has a record of epoch {other} there, below its high watermark {high_watermark} at {at}"
                    ),
                }
            }
            Self::HighWatermarkFell { broker, epoch, before, after } => {
                write!(
                    f,
                    "high watermark of leader b{broker} fell from {before} to {after} in epoch {epoch} at {at}"
                )
            }
            Self::JoinedFenced { broker, epoch } => {
                write!(f, "b{broker} joins those in sync in epoch {epoch} at {at}, and is fenced")
            }
            Self::LeadsReplaced { broker, epoch } => write!(
                f,
                "b{broker} leads epoch {epoch} at {at}, but its disk was replaced since it was last in sync"
            ),
            Self::CalledUnclean { leader, epoch, in_sync } => write!(
                f,
                "the election of b{leader} for epoch {epoch} is told as unclean at {at}, though it was {}",
                if *in_sync { "in sync" } else { "eligible" }
            ),
            Self::NotCounted { leader, epoch, counted, committed } => write!(
                f,
                "leader b{leader} of epoch {epoch} counts {} at {at}; {} are in sync for the controller",
                brokers(counted),
                brokers(committed)
            ),
        }
    }
}
