//! The partitioners that `partitioner.class` can name.

use super::{Kind, Setting};

/// How a producer chooses the partition of a record that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionerChoice {
    /// By the hash of its key, or without one to a partition for a batch at a time (KIP-794).
    BuiltIn,
    /// To one partition after the other, whatever its key.
    RoundRobin,
}

/// Kafka's class of [`PartitionerChoice::RoundRobin`].
const ROUND_ROBIN: &str = "org.apache.kafka.clients.producer.RoundRobinPartitioner";

impl Setting for PartitionerChoice {
    const KIND: Kind = Kind::Class;

    fn read(text: &str) -> Result<Self, String> {
        match text.strip_prefix("class ").unwrap_or(text) {
            "" => Ok(Self::BuiltIn),
            "roundrobin" | ROUND_ROBIN => Ok(Self::RoundRobin),
            _ => Err(format!(
                "expected nothing, `roundrobin` or `{ROUND_ROBIN}`; other Java classes are not served: \
                 pass a partitioner to `Producer::start_with`"
            )),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::BuiltIn => "",
            Self::RoundRobin => "roundrobin",
        }
        .into()
    }
}
