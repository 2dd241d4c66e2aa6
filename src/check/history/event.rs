//! The lines of a history, and the events that they stand for.

use serde::{Deserialize, Serialize};

use crate::base::config::{Acks, Setting};
use crate::base::{Instant, LeaderEpoch, Offset, TopicPartition};
use crate::sim::{
    ClientEvent, HostId, Isolation, Lookup, MemberEvent, Misdeed, Outcome, ProducerEvent,
};

mod consumer;
mod transaction;

#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub at: Instant,
    pub host: HostId,
    #[serde(flatten)]
    pub said: Said,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Said {
    Sent {
        producer: u32,
        op: u64,
        partition: String,
        value: u64,
        acks: String,
        idempotent: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        txn: Option<u64>,
    },
    Ok {
        producer: u32,
        op: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<Offset>,
    },
    Fail {
        producer: u32,
        op: u64,
        error: String,
    },
    Unknown {
        producer: u32,
        op: u64,
        error: String,
    },
    Misbehaved {
        producer: u32,
        partition: String,
        value: u64,
        misdeed: Misdeed,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeats: Option<Offset>,
    },
    Answered {
        producer: u32,
        value: u64,
        error: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<Offset>,
    },
    Polled {
        consumer: u32,
        partition: String,
        records: Vec<(Offset, u64)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        epochs: Vec<(Offset, LeaderEpoch)>,
    },
    Positioned {
        consumer: u32,
        partition: String,
        offset: Offset,
    },
    ReachedEnd {
        consumer: u32,
        partition: String,
        end: Offset,
    },
    Unreadable {
        consumer: u32,
        partition: String,
        offset: Offset,
        served: bool,
    },
    Skipped {
        consumer: u32,
        partition: String,
        offset: Offset,
    },
    Asked {
        consumer: u32,
        partition: String,
    },
    Listed {
        consumer: u32,
        partition: String,
        lookup: Lookup,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<Offset>,
    },
    Subscribed {
        consumer: u32,
        group: String,
        topics: Vec<String>,
        is_static: bool,
        protocol: String,
        session_ms: u64,
    },
    Joined {
        consumer: u32,
        generation: i32,
        member: String,
        owned: Vec<String>,
    },
    Entered {
        consumer: u32,
        generation: i32,
    },
    Revoked {
        consumer: u32,
        partitions: Vec<String>,
    },
    Lost {
        consumer: u32,
        partitions: Vec<String>,
    },
    Withholds {
        consumer: u32,
        partitions: Vec<String>,
    },
    Fenced {
        consumer: u32,
    },
    Dismissed {
        consumer: u32,
    },
    Left {
        consumer: u32,
    },
    Committing {
        consumer: u32,
        op: u64,
        generation: i32,
        offsets: Vec<(String, Offset)>,
    },
    Committed {
        consumer: u32,
        op: u64,
        generation: i32,
        outcome: Told,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Recalling {
        consumer: u32,
    },
    Recalled {
        consumer: u32,
        offsets: Vec<(String, Option<Offset>)>,
    },
    Processed {
        consumer: u32,
        partition: String,
        offset: Offset,
        value: u64,
    },
    Isolated {
        consumer: u32,
        isolation: Isolation,
    },
    Identified {
        producer: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transactional_id: Option<String>,
        producer_id: i64,
        epoch: i16,
    },
    Bumped {
        producer: u32,
        producer_id: i64,
        epoch: i16,
    },
    TransactionBegan {
        producer: u32,
        txn: u64,
    },
    Transformed {
        producer: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        txn: Option<u64>,
        group: String,
        partition: String,
        offset: Offset,
        value: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<u64>,
        outputs: Vec<u64>,
    },
    SendingOffsets {
        producer: u32,
        txn: u64,
        group: String,
        generation: i32,
        offsets: Vec<(String, Offset)>,
    },
    SentOffsets {
        producer: u32,
        txn: u64,
        group: String,
        outcome: Told,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    TransactionEnding {
        producer: u32,
        txn: u64,
        commit: bool,
    },
    TransactionEnded {
        producer: u32,
        txn: u64,
        outcome: End,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Noted {
        text: String,
    },
    Ended,
    Healed,
    Reading,
    Over,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    Committed,
    Aborted,
    Unknown,
    Fenced,
}

/// The outcome of a commit.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    Ok,
    Fail,
    Unknown,
}

/// The line of an event.
pub(super) fn said(event: &ClientEvent) -> Said {
    match event.clone() {
        ClientEvent::Producer(ProducerEvent::Sent {
            producer,
            op,
            partition,
            value,
            acks,
            idempotent,
            txn,
        }) => Said::Sent {
            producer,
            op,
            partition: partition.to_string(),
            value,
            acks: acks.show(),
            idempotent,
            txn,
        },
        ClientEvent::Producer(ProducerEvent::Told { producer, op, outcome }) => match outcome {
            Outcome::Ok { offset } => Said::Ok { producer, op, offset },
            Outcome::Fail { error } => Said::Fail { producer, op, error },
            Outcome::Unknown { error } => Said::Unknown { producer, op, error },
        },
        ClientEvent::Producer(ProducerEvent::Misbehaved {
            producer,
            partition,
            value,
            misdeed,
            repeats,
        }) => {
            let partition = partition.to_string();
            Said::Misbehaved { producer, partition, value, misdeed, repeats }
        }
        ClientEvent::Producer(ProducerEvent::Answered { producer, value, error, offset }) => {
            Said::Answered { producer, value, error, offset }
        }
        ClientEvent::Consumer(event) => consumer::said(event),
        ClientEvent::Member(event) => said_of_member(event),
        ClientEvent::Transaction(event) => transaction::said(event),
        ClientEvent::Noted { text } => Said::Noted { text: text.to_string() },
    }
}

/// The event of a line.
pub(super) fn heard(said: Said) -> Result<ClientEvent, String> {
    let told = |producer, op, outcome| {
        ClientEvent::Producer(ProducerEvent::Told { producer, op, outcome })
    };
    Ok(match said {
        Said::Sent { producer, op, partition, value, acks, idempotent, txn } => {
            ClientEvent::Producer(ProducerEvent::Sent {
                producer,
                op,
                partition: read_partition(&partition)?,
                value,
                acks: Acks::read(&acks).map_err(|problem| format!("`acks`: {problem}"))?,
                idempotent,
                txn,
            })
        }
        Said::Ok { producer, op, offset } => told(producer, op, Outcome::Ok { offset }),
        Said::Fail { producer, op, error } => told(producer, op, Outcome::Fail { error }),
        Said::Unknown { producer, op, error } => told(producer, op, Outcome::Unknown { error }),
        Said::Misbehaved { producer, partition, value, misdeed, repeats } => {
            let partition = read_partition(&partition)?;
            ClientEvent::Producer(ProducerEvent::Misbehaved {
                producer,
                partition,
                value,
                misdeed,
                repeats,
            })
        }
        Said::Answered { producer, value, error, offset } => {
            ClientEvent::Producer(ProducerEvent::Answered { producer, value, error, offset })
        }
        Said::Polled { .. }
        | Said::Positioned { .. }
        | Said::ReachedEnd { .. }
        | Said::Unreadable { .. }
        | Said::Skipped { .. }
        | Said::Asked { .. }
        | Said::Listed { .. }
        | Said::Isolated { .. } => ClientEvent::Consumer(consumer::heard(said)?),
        Said::Subscribed { .. }
        | Said::Joined { .. }
        | Said::Entered { .. }
        | Said::Revoked { .. }
        | Said::Lost { .. }
        | Said::Withholds { .. }
        | Said::Fenced { .. }
        | Said::Dismissed { .. }
        | Said::Left { .. }
        | Said::Committing { .. }
        | Said::Committed { .. }
        | Said::Recalling { .. }
        | Said::Recalled { .. }
        | Said::Processed { .. } => ClientEvent::Member(heard_of_member(said)?),
        Said::Identified { .. }
        | Said::Bumped { .. }
        | Said::TransactionBegan { .. }
        | Said::Transformed { .. }
        | Said::SendingOffsets { .. }
        | Said::SentOffsets { .. }
        | Said::TransactionEnding { .. }
        | Said::TransactionEnded { .. } => ClientEvent::Transaction(transaction::heard(said)?),
        Said::Noted { text } => ClientEvent::Noted { text: text.into() },
        Said::Ended | Said::Healed | Said::Reading | Said::Over => {
            return Err("not a client's event".into());
        }
    })
}

/// The outcome of a commit, as its line has it.
fn told(outcome: Outcome) -> (Told, Option<String>) {
    match outcome {
        Outcome::Ok { .. } => (Told::Ok, None),
        Outcome::Fail { error } => (Told::Fail, Some(error)),
        Outcome::Unknown { error } => (Told::Unknown, Some(error)),
    }
}

/// The outcome of a commit by its line.
fn outcome_of(told: Told, error: Option<String>) -> Outcome {
    let error = error.unwrap_or_default();
    match told {
        Told::Ok => Outcome::Ok { offset: None },
        Told::Fail => Outcome::Fail { error },
        Told::Unknown => Outcome::Unknown { error },
    }
}

fn read_partition(name: &str) -> Result<TopicPartition, String> {
    TopicPartition::from_directory(name)
        .ok_or_else(|| format!("`{name}` is not a partition: expected one such as `orders-2`"))
}

/// The line of a member's event.
fn said_of_member(event: MemberEvent) -> Said {
    match event {
        MemberEvent::Subscribed { consumer, group, topics, is_static, protocol, session_ms } => {
            let topics = topics.iter().map(|topic| topic.to_string()).collect();
            let (group, protocol) = (group.to_string(), protocol.to_string());
            Said::Subscribed { consumer, group, topics, is_static, protocol, session_ms }
        }
        MemberEvent::Joined { consumer, generation, member, owned } => {
            let (member, owned) = (member.to_string(), names(&owned));
            Said::Joined { consumer, generation, member, owned }
        }
        MemberEvent::Revoked { consumer, partitions } => {
            Said::Revoked { consumer, partitions: names(&partitions) }
        }
        MemberEvent::Lost { consumer, partitions } => {
            Said::Lost { consumer, partitions: names(&partitions) }
        }
        MemberEvent::Withholds { consumer, partitions } => {
            Said::Withholds { consumer, partitions: names(&partitions) }
        }
        MemberEvent::Entered { consumer, generation } => Said::Entered { consumer, generation },
        MemberEvent::Fenced { consumer } => Said::Fenced { consumer },
        MemberEvent::Dismissed { consumer } => Said::Dismissed { consumer },
        MemberEvent::Left { consumer } => Said::Left { consumer },
        MemberEvent::Committing { consumer, op, generation, offsets } => {
            let offsets =
                offsets.iter().map(|(partition, offset)| (partition.to_string(), *offset));
            Said::Committing { consumer, op, generation, offsets: offsets.collect() }
        }
        MemberEvent::Committed { consumer, op, generation, outcome } => {
            let (outcome, error) = told(outcome);
            Said::Committed { consumer, op, generation, outcome, error }
        }
        MemberEvent::Recalling { consumer } => Said::Recalling { consumer },
        MemberEvent::Recalled { consumer, offsets } => {
            let offsets =
                offsets.iter().map(|(partition, offset)| (partition.to_string(), *offset));
            Said::Recalled { consumer, offsets: offsets.collect() }
        }
        MemberEvent::Processed { consumer, partition, offset, value } => {
            Said::Processed { consumer, partition: partition.to_string(), offset, value }
        }
    }
}

/// The event of a member's line.
fn heard_of_member(said: Said) -> Result<MemberEvent, String> {
    Ok(match said {
        Said::Subscribed { consumer, group, topics, is_static, protocol, session_ms } => {
            let topics = topics.iter().map(|topic| topic.as_str().into()).collect();
            let (group, protocol) = (group.into(), protocol.into());
            MemberEvent::Subscribed { consumer, group, topics, is_static, protocol, session_ms }
        }
        Said::Joined { consumer, generation, member, owned } => {
            let (member, owned) = (member.into(), partitions_of(&owned)?);
            MemberEvent::Joined { consumer, generation, member, owned }
        }
        Said::Revoked { consumer, partitions } => {
            MemberEvent::Revoked { consumer, partitions: partitions_of(&partitions)? }
        }
        Said::Lost { consumer, partitions } => {
            MemberEvent::Lost { consumer, partitions: partitions_of(&partitions)? }
        }
        Said::Withholds { consumer, partitions } => {
            MemberEvent::Withholds { consumer, partitions: partitions_of(&partitions)? }
        }
        Said::Entered { consumer, generation } => MemberEvent::Entered { consumer, generation },
        Said::Fenced { consumer } => MemberEvent::Fenced { consumer },
        Said::Dismissed { consumer } => MemberEvent::Dismissed { consumer },
        Said::Left { consumer } => MemberEvent::Left { consumer },
        Said::Committing { consumer, op, generation, offsets } => {
            let offsets = offsets.iter().map(|(name, offset)| Ok((read_partition(name)?, *offset)));
            let offsets = offsets.collect::<Result<_, String>>()?;
            MemberEvent::Committing { consumer, op, generation, offsets }
        }
        Said::Committed { consumer, op, generation, outcome, error } => {
            let outcome = outcome_of(outcome, error);
            MemberEvent::Committed { consumer, op, generation, outcome }
        }
        Said::Recalling { consumer } => MemberEvent::Recalling { consumer },
        Said::Recalled { consumer, offsets } => {
            let offsets = offsets.iter().map(|(name, offset)| Ok((read_partition(name)?, *offset)));
            MemberEvent::Recalled { consumer, offsets: offsets.collect::<Result<_, String>>()? }
        }
        Said::Processed { consumer, partition, offset, value } => {
            let partition = read_partition(&partition)?;
            MemberEvent::Processed { consumer, partition, offset, value }
        }
        _ => return Err("not an event of a member".into()),
    })
}

fn names(partitions: &[TopicPartition]) -> Vec<String> {
    partitions.iter().map(TopicPartition::to_string).collect()
}

fn partitions_of(names: &[String]) -> Result<Vec<TopicPartition>, String> {
    names.iter().map(|name| read_partition(name)).collect()
}
