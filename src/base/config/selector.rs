//! The replica selectors that `replica.selector.class` can name (KIP-392).

use super::{Kind, Setting};

/// From which replica a leader lets consumers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaSelector {
    /// From the leader itself.
    Leader,
    /// From one in the consumer's `client.rack`, where there is one in sync.
    Rack,
}

const LEADER: &str = "org.apache.kafka.common.replica.LeaderSelector";
const RACK: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

impl Setting for ReplicaSelector {
    // Kafka's type of this key is STRING, unlike that of other classes.
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "" | LEADER => Ok(Self::Leader),
            RACK => Ok(Self::Rack),
            _ => Err(format!("expected `{LEADER}` or `{RACK}`; other Java classes are not served")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Leader => "",
            Self::Rack => RACK,
        }
        .into()
    }
}
