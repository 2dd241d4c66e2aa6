//! Evidence about the metadata log, its copies, and the controllers that write it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{Seconds, name_of};
use crate::base::{BrokerEpoch, BrokerId, Instant, LeaderEpoch, Offset, TopicPartition};

/// Evidence about the metadata log, its copies, and the controllers that write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum MetadataWitness {
    /// A node's metadata log lacks a committed batch, or has another one there.
    MetadataDiffers {
        node: String,
        offset: Offset,
        epoch: LeaderEpoch,
        committed_at: Instant,
        instead: Option<LeaderEpoch>,
    },
    /// A broker holds metadata that is not committed.
    MetadataUncommitted { broker: BrokerId, offset: Offset, epoch: LeaderEpoch, committed: Offset },
    /// A broker's copy of the metadata log stayed behind.
    MetadataBehind {
        end: Offset,
        committed: Offset,
        committed_at: Instant,
        up: bool,
        since: Instant,
        within: Duration,
    },
    /// A broker was unfenced; `end`: where its copy ended when it was longest.
    UnfencedTooEarly { epoch: BrokerEpoch, end: Offset },
    /// A broker took over a partition; `end`: as above.
    TookOverTooEarly {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
        epoch: BrokerEpoch,
        end: Offset,
    },
    /// A process took over a partition before it was registered.
    TookOverUnregistered {
        #[serde(serialize_with = "name_of")]
        partition: TopicPartition,
    },
    /// A committed record can't be decoded.
    UnreadableMetadata { offset: Offset },
    /// The controller reported a decision. `logged`: what its log has instead.
    Misreported { logged: String },
    /// One epoch of the metadata log was begun twice.
    TwoControllers { epoch: LeaderEpoch, first: BrokerId, first_at: Instant, second: BrokerId },
    /// A controller committed after another one had begun a newer epoch.
    StaleController {
        controller: BrokerId,
        epoch: LeaderEpoch,
        end: Offset,
        newer: LeaderEpoch,
        newer_at: Instant,
    },
}

const NEVER_MORE: &str =
    "though its copy of the metadata log never had more than what is below offset";

impl MetadataWitness {
    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::MetadataDiffers { node, offset, epoch, committed_at, instead } => {
                let committed = Seconds(*committed_at);
                write!(
                    f,
                    "offset {offset} of epoch {epoch} was committed at {committed}; {node} "
                )?;
                match instead {
                    None => write!(f, "lacks it at {at}"),
                    Some(other) => write!(f, "has a record of epoch {other} there at {at}"),
                }
            }
            Self::MetadataUncommitted { broker, offset, epoch, committed } => write!(
                f,
                "offset {offset} of epoch {epoch} is in the copy of b{broker} at {at}; only what is below offset {committed} is committed"
            ),
            Self::MetadataBehind { end, committed, committed_at, up, since, within } => {
                let state = if *up { "" } else { ", and is down" };
                write!(
                    f,
                    "holds the metadata log only below offset {end} {} s after {}{state}; everything below offset {committed} was committed by {}",
                    within.as_secs_f64(),
                    Seconds(*since),
                    Seconds(*committed_at)
                )
            }
            Self::UnfencedTooEarly { epoch, end } => {
                write!(f, "was unfenced at {at} in broker epoch {epoch}, {NEVER_MORE} {end}")
            }
            Self::TookOverTooEarly { partition, epoch, end } => {
                write!(
                    f,
                    "took {partition} over at {at} in broker epoch {epoch}, {NEVER_MORE} {end}"
                )
            }
            Self::TookOverUnregistered { partition } => {
                write!(f, "took {partition} over at {at} before it was registered")
            }
            Self::UnreadableMetadata { offset } => {
                write!(f, "the committed record at offset {offset} can't be read at {at}")
            }
            Self::Misreported { logged } => {
                write!(f, "the controller reports a decision at {at}, but its log has {logged}")
            }
            Self::TwoControllers { epoch, first, first_at, second } => write!(
                f,
                "epoch {epoch} was begun by controller {first} at {} and by controller {second} at {at}",
                Seconds(*first_at)
            ),
            Self::StaleController { controller, epoch, end, newer, newer_at } => write!(
                f,
                "controller {controller} of epoch {epoch} committed below offset {end} at {at}, though epoch {newer} began at {}",
                Seconds(*newer_at)
            ),
        }
    }
}
