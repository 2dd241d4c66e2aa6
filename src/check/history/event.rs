//! The lines of a history, and the events that they stand for.

use serde::{Deserialize, Serialize};

use crate::base::config::{Acks, Setting};
use crate::base::{Instant, Offset, TopicPartition};
use crate::sim::{ClientEvent, ConsumerEvent, HostId, Lookup, Misdeed, Outcome, ProducerEvent};

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
    Noted {
        text: String,
    },
    Ended,
    Healed,
    Reading,
    Over,
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
        }) => Said::Sent {
            producer,
            op,
            partition: partition.to_string(),
            value,
            acks: acks.show(),
            idempotent,
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
        ClientEvent::Consumer(ConsumerEvent::Polled { consumer, partition, records }) => {
            Said::Polled { consumer, partition: partition.to_string(), records }
        }
        ClientEvent::Consumer(ConsumerEvent::Positioned { consumer, partition, offset }) => {
            Said::Positioned { consumer, partition: partition.to_string(), offset }
        }
        ClientEvent::Consumer(ConsumerEvent::ReachedEnd { consumer, partition, end }) => {
            Said::ReachedEnd { consumer, partition: partition.to_string(), end }
        }
        ClientEvent::Consumer(ConsumerEvent::Unreadable {
            consumer,
            partition,
            offset,
            served,
        }) => Said::Unreadable { consumer, partition: partition.to_string(), offset, served },
        ClientEvent::Consumer(ConsumerEvent::Skipped { consumer, partition, offset }) => {
            Said::Skipped { consumer, partition: partition.to_string(), offset }
        }
        ClientEvent::Consumer(ConsumerEvent::Asked { consumer, partition }) => {
            Said::Asked { consumer, partition: partition.to_string() }
        }
        ClientEvent::Consumer(ConsumerEvent::Listed { consumer, partition, lookup, offset }) => {
            Said::Listed { consumer, partition: partition.to_string(), lookup, offset }
        }
        ClientEvent::Noted { text } => Said::Noted { text: text.to_string() },
    }
}

/// The event of a line.
pub(super) fn heard(said: Said) -> Result<ClientEvent, String> {
    let told = |producer, op, outcome| {
        ClientEvent::Producer(ProducerEvent::Told { producer, op, outcome })
    };
    Ok(match said {
        Said::Sent { producer, op, partition, value, acks, idempotent } => {
            ClientEvent::Producer(ProducerEvent::Sent {
                producer,
                op,
                partition: read_partition(&partition)?,
                value,
                acks: Acks::read(&acks).map_err(|problem| format!("`acks`: {problem}"))?,
                idempotent,
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
        Said::Polled { consumer, partition, records } => {
            ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer,
                partition: read_partition(&partition)?,
                records,
            })
        }
        Said::Positioned { consumer, partition, offset } => {
            ClientEvent::Consumer(ConsumerEvent::Positioned {
                consumer,
                partition: read_partition(&partition)?,
                offset,
            })
        }
        Said::ReachedEnd { consumer, partition, end } => {
            ClientEvent::Consumer(ConsumerEvent::ReachedEnd {
                consumer,
                partition: read_partition(&partition)?,
                end,
            })
        }
        Said::Unreadable { consumer, partition, offset, served } => {
            let partition = read_partition(&partition)?;
            ClientEvent::Consumer(ConsumerEvent::Unreadable { consumer, partition, offset, served })
        }
        Said::Skipped { consumer, partition, offset } => {
            ClientEvent::Consumer(ConsumerEvent::Skipped {
                consumer,
                partition: read_partition(&partition)?,
                offset,
            })
        }
        Said::Asked { consumer, partition } => {
            let partition = read_partition(&partition)?;
            ClientEvent::Consumer(ConsumerEvent::Asked { consumer, partition })
        }
        Said::Listed { consumer, partition, lookup, offset } => {
            let partition = read_partition(&partition)?;
            ClientEvent::Consumer(ConsumerEvent::Listed { consumer, partition, lookup, offset })
        }
        Said::Noted { text } => ClientEvent::Noted { text: text.into() },
        Said::Ended | Said::Healed | Said::Reading | Said::Over => {
            return Err("not a client's event".into());
        }
    })
}

fn read_partition(name: &str) -> Result<TopicPartition, String> {
    TopicPartition::from_directory(name)
        .ok_or_else(|| format!("`{name}` is not a partition: expected one such as `orders-2`"))
}
