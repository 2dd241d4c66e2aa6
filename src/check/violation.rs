//! What broke, with the witness in it, in one plain sentence.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, TopicPartition};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its name in the catalogue.
    pub invariant: &'static str,
    /// When it was seen, in simulated time.
    pub at: Instant,
    /// Where.
    #[serde(serialize_with = "name_of")]
    pub partition: TopicPartition,
    /// The evidence.
    pub witness: Box<Witness>,
}

impl Violation {
    /// An invariant broke: never `Ok`.
    pub(crate) fn found(
        invariant: &'static str,
        at: Instant,
        partition: &TopicPartition,
        witness: Witness,
    ) -> Result<(), Self> {
        Err(Self { invariant, at, partition: partition.clone(), witness: Box::new(witness) })
    }
}

/// Somebody's word that a value is at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// The record's unique value.
    pub value: u64,
    /// Who says so.
    pub by: Client,
    /// When.
    pub at: Instant,
}

/// A client, by the number it has in the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// It sent.
    Producer(u32),
    /// It polled.
    Consumer(u32),
}

/// A send, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// By which producer.
    pub producer: u32,
    /// Which of its sends.
    pub op: u64,
    /// The record's unique value.
    pub value: u64,
    /// Where it was said to be.
    pub offset: Option<Offset>,
    /// When the producer was told.
    pub at: Instant,
}

/// Records that were promised, and where they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Absence {
    /// The first of them.
    pub offset: Offset,
    /// The epoch in which it was written.
    pub epoch: LeaderEpoch,
    /// How many records from there on were promised.
    pub records: u64,
    /// Who promised.
    pub promised_by: BrokerId,
    /// When.
    pub promised_at: Instant,
    /// Who does not have it.
    pub broker: BrokerId,
    /// Epoch of the record that is there instead.
    pub instead: Option<LeaderEpoch>,
}

/// The evidence of a violation. Its fields are named after what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Witness {
    /// Acknowledged, then not read, and somebody read on past it.
    ReadPast { told: Told, consumer: u32, later: Offset },
    /// Acknowledged, then not read, and somebody read to the end.
    Unseen { told: Told, consumer: u32, end: Offset },
    /// Two values at one offset.
    TwoValues { offset: Offset, first: Sighting, second: Sighting },
    /// One value at two offsets.
    TwoOffsets { first: Offset, second: Offset, sent_by: u32, one: Sighting, other: Sighting },
    /// A record was read whose producer knows that it was refused.
    RefusedButRead { offset: Offset, told: Told, error: String, consumer: u32 },
    /// A record was read that nobody sent.
    NeverSent { offset: Offset, value: u64, consumer: u32 },
    /// A record was read that no leader had yet exposed.
    AboveHighWatermark { offset: Offset, value: u64, consumer: u32, exposed: Offset },
    /// A record was read, or acknowledged, of which too few copies were ever made.
    TooFewCopies {
        offset: Offset,
        epoch: LeaderEpoch,
        copies: Vec<BrokerId>,
        needed: usize,
        to: Option<Client>,
        leader: BrokerId,
    },
    /// A leader acknowledged though its epoch began, and still is, with too small an ISR.
    TooSmallIsr {
        epoch: LeaderEpoch,
        leader: BrokerId,
        isr: Vec<BrokerId>,
        needed: usize,
        end: Offset,
    },
    /// Two brokers accepted writes in one epoch.
    TwoLeaders { epoch: LeaderEpoch, first: BrokerId, second: BrokerId, offset: Offset },
    /// Two different batches of one epoch at one offset.
    TwoBatches { epoch: LeaderEpoch, offset: Offset, first: BrokerId, second: BrokerId },
    /// A leader, or one who could be elected, lacks what was promised.
    Lacks { absence: Absence, leads: bool, in_epoch: LeaderEpoch },
    /// A replica holds other records below its high watermark than those that were exposed.
    Disagrees { absence: Absence, high_watermark: Offset },
    /// A batch does not begin where the log ended.
    Gap { broker: BrokerId, expected: Offset, found: Offset },
    /// Bytes inside a log are no record batch, and the log goes on after them.
    Unreadable { broker: BrokerId, after: Offset, position: u64 },
    /// A batch holds another number of records than of offsets.
    Hollow { broker: BrokerId, offset: Offset, offsets: i64, records: i32 },
    /// A batch's epoch is less than that of the one before.
    EpochFell { broker: BrokerId, offset: Offset, before: LeaderEpoch, after: LeaderEpoch },
    /// A leader's high watermark went back.
    HighWatermarkFell { broker: BrokerId, epoch: LeaderEpoch, before: Offset, after: Offset },
    /// After the heal, a consumer was told an end below what had been exposed.
    EndFell { consumer: u32, end: Offset, exposed: Offset },
    /// A poll went on elsewhere than where the last one ended.
    Jump { consumer: u32, expected: Offset, got: Offset },
    /// Records of one producer in another order than sent.
    Reordered { producer: u32, consumer: u32, earlier: (Offset, u64), later: (Offset, u64) },
    /// The replicas of a partition did not become equal. `waits`: who waits for what.
    NotConverged { why: String, healed: Instant, within: Duration, waits: String },
    /// No write was acknowledged.
    NoWrite { attempts: u64, healed: Instant, within: Duration, waits: String },
    /// No final read reached the end.
    EndNotReached { since: Instant, within: Duration, waits: String },
    /// A broker's copy of the metadata log stayed behind.
    MetadataBehind {
        broker: BrokerId,
        end: Offset,
        committed: Offset,
        committed_at: Instant,
        up: bool,
        since: Instant,
        within: Duration,
    },
    /// A node's metadata log lacks what was committed, or has something else there.
    MetadataDiffers {
        node: String,
        offset: Offset,
        epoch: LeaderEpoch,
        committed_at: Instant,
        instead: Option<LeaderEpoch>,
    },
    /// A broker holds metadata that nobody has committed.
    MetadataUncommitted { broker: BrokerId, offset: Offset, epoch: LeaderEpoch, committed: Offset },
    /// One epoch of the metadata log was begun twice.
    TwoControllers { epoch: LeaderEpoch, first: BrokerId, first_at: Instant, second: BrokerId },
    /// A controller committed after another had begun a newer epoch.
    StaleController {
        controller: BrokerId,
        epoch: LeaderEpoch,
        end: Offset,
        newer: LeaderEpoch,
        newer_at: Instant,
    },
    /// A leader does not count somebody who is in sync.
    NotCounted {
        leader: BrokerId,
        epoch: LeaderEpoch,
        counted: Vec<BrokerId>,
        committed: Vec<BrokerId>,
    },
    /// After a power loss, a log was opened with bytes in it that are no valid prefix.
    TrustsUnsynced {
        broker: BrokerId,
        valid: Offset,
        position: Option<u64>,
        claims: Option<Offset>,
        stale: Option<Offset>,
    },
    /// A log was refused as damaged whose disk did what it should.
    CalledDamaged { broker: BrokerId, offset: Offset },
    /// A broker served bytes that fail their checksum.
    ServedDamaged { consumer: u32, offset: Offset },
    /// A final read had to do without a record that a broker which runs holds intact.
    HadToSkip { consumer: u32, offset: Offset, intact_on: BrokerId },
    /// Somebody is in sync from now on who can't be elected.
    JoinedFenced { broker: BrokerId, epoch: LeaderEpoch },
    /// A consumer read on in a log that had lost what it read before, and was not told.
    Spliced { consumer: u32, offset: Offset, value: u64, instead: u64, later: Offset },
    /// A cleaned segment has not what it should.
    Stale { broker: BrokerId, key: String, offset: Offset, why: &'static str },
    /// An index entry points at something else than it says.
    IndexDisagrees { broker: BrokerId, file: String, entry: u64, says: String, instead: String },
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
            Self::Consumer(number) => write!(f, "consumer {number}"),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "offset {offset}")?,
            None => write!(f, "send {}", self.op)?,
        }
        write!(f, " acked to p{} at {}", self.producer, Seconds(self.at))
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
    let names: Vec<String> = who.iter().map(|id| format!("b{id}")).collect();
    match names.split_last() {
        None => "nobody".into(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// A partition as a report writes it.
pub(crate) fn name_of<S: Serializer>(partition: &TopicPartition, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(partition)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.partition)?;
        self.witness.say(f, Seconds(self.at))
    }
}

impl Witness {
    fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::ReadPast { .. }
            | Self::Unseen { .. }
            | Self::TwoValues { .. }
            | Self::TwoOffsets { .. }
            | Self::RefusedButRead { .. }
            | Self::NeverSent { .. }
            | Self::AboveHighWatermark { .. }
            | Self::Jump { .. }
            | Self::Spliced { .. }
            | Self::Reordered { .. }
            | Self::EndFell { .. } => self.say_of_clients(f, at),
            Self::NotConverged { .. }
            | Self::NoWrite { .. }
            | Self::EndNotReached { .. }
            | Self::MetadataBehind { .. } => self.say_of_liveness(f),
            Self::MetadataDiffers { .. }
            | Self::MetadataUncommitted { .. }
            | Self::TwoControllers { .. }
            | Self::StaleController { .. }
            | Self::NotCounted { .. }
            | Self::TrustsUnsynced { .. }
            | Self::CalledDamaged { .. }
            | Self::ServedDamaged { .. }
            | Self::HadToSkip { .. }
            | Self::Stale { .. }
            | Self::IndexDisagrees { .. } => self.say_of_nodes(f, at),
            _ => self.say_of_replicas(f, at),
        }
    }

    fn say_of_clients(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
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
            Self::AboveHighWatermark { offset, consumer, exposed, .. } => {
                write!(
                    f,
                    "offset {offset} read by consumer {consumer} at {at}; leaders had exposed no more than offset {exposed}"
                )
            }
            Self::Jump { consumer, expected, got } => {
                write!(
                    f,
                    "consumer {consumer} was at offset {expected} and got offset {got} at {at}"
                )
            }
            Self::Spliced { consumer, offset, value, instead, later } => write!(
                f,
                "offset {offset} was value {value} to consumer {consumer} and is value {instead} at {at}, yet it read on to offset {later} and was told of no truncation"
            ),
            Self::Reordered { producer, consumer, earlier, later } => write!(
                f,
                "send {} of p{producer} is at offset {}, before its send {} at offset {}, as consumer {consumer} read at {at}",
                earlier.1, earlier.0, later.1, later.0
            ),
            Self::EndFell { consumer, end, exposed } => {
                write!(
                    f,
                    "ends at offset {end} for consumer {consumer} at {at}, though offset {exposed} had been exposed"
                )
            }
            _ => Ok(()),
        }
    }

    fn say_of_replicas(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
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
            Self::Gap { broker, expected, found } => {
                write!(f, "log of b{broker} goes from offset {expected} to offset {found} at {at}")
            }
            Self::Unreadable { broker, after, position } => {
                write!(
                    f,
                    "log of b{broker} goes on at {at} after bytes that are no batch, at position {position} after offset {after}"
                )
            }
            Self::Hollow { broker, offset, offsets, records } => {
                write!(
                    f,
                    "batch at offset {offset} of b{broker} spans {offsets} offsets and holds {records} records at {at}"
                )
            }
            Self::EpochFell { broker, offset, before, after } => {
                write!(
                    f,
                    "log of b{broker} falls from epoch {before} to epoch {after} at offset {offset} at {at}"
                )
            }
            Self::JoinedFenced { broker, epoch } => {
                write!(f, "b{broker} joins those in sync in epoch {epoch} at {at}, and is fenced")
            }
            Self::HighWatermarkFell { broker, epoch, before, after } => {
                write!(
                    f,
                    "high watermark of leader b{broker} fell from {before} to {after} in epoch {epoch} at {at}"
                )
            }
            _ => Ok(()),
        }
    }
}
