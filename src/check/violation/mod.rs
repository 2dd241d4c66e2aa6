//! A broken invariant: its subject, with the evidence, in one plain sentence.
//!
//! Each family of evidence has a file of its own, with its sentences next to it. A `say` matches
//! without a catch-all, so that evidence without a sentence does not compile.

mod consumers;
mod evidence;
mod groups;
mod liveness;
mod metadata;
mod records;
mod replicas;
mod storage;
mod transactions;

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use consumers::ConsumerWitness;
pub use evidence::{Absence, Client, RecordName, Sighting, Told};
pub(crate) use evidence::{Seconds, brokers};
pub use groups::GroupWitness;
pub use liveness::LivenessWitness;
pub use metadata::MetadataWitness;
pub use records::RecordWitness;
pub use replicas::ReplicaWitness;
pub use storage::StorageWitness;
pub(crate) use transactions::say_cycle;
pub use transactions::{Dependency, TransactionName, TransactionWitness};

use crate::base::{BrokerId, Instant, TopicPartition};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its name in the catalogue.
    pub invariant: &'static str,
    /// When it was found, in simulated time.
    pub at: Instant,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// The evidence.
    pub witness: Box<Witness>,
}

/// What a violation is about. Its sentence begins with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One partition, or the metadata log.
    #[serde(serialize_with = "name_of")]
    Partition(TopicPartition),
    /// One broker, whatever the partition.
    Node(BrokerId),
    /// One group of consumers.
    Group(String),
    /// One transactional id.
    TransactionalId(String),
    /// One producer, by its number.
    Producer(u32),
}

/// The evidence of a violation, by family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Witness {
    Record(RecordWitness),
    Consumer(ConsumerWitness),
    Replica(ReplicaWitness),
    Storage(StorageWitness),
    Metadata(MetadataWitness),
    Group(GroupWitness),
    Liveness(LivenessWitness),
    Transaction(TransactionWitness),
}

impl Violation {
    /// An invariant broke: never `Ok`.
    pub(crate) fn found(
        invariant: &'static str,
        at: Instant,
        subject: impl Into<Subject>,
        witness: impl Into<Witness>,
    ) -> Result<(), Self> {
        let (subject, witness) = (subject.into(), Box::new(witness.into()));
        Err(Self { invariant, at, subject, witness })
    }

    /// The partition that it is about, if it is about one.
    pub fn partition(&self) -> Option<&TopicPartition> {
        match &self.subject {
            Subject::Partition(partition) => Some(partition),
            Subject::Node(_)
            | Subject::Group(_)
            | Subject::TransactionalId(_)
            | Subject::Producer(_) => None,
        }
    }
}

impl From<&TopicPartition> for Subject {
    fn from(partition: &TopicPartition) -> Self {
        Self::Partition(partition.clone())
    }
}

impl From<BrokerId> for Subject {
    fn from(broker: BrokerId) -> Self {
        Self::Node(broker)
    }
}

impl From<Arc<str>> for Subject {
    fn from(group: Arc<str>) -> Self {
        Self::Group(group.to_string())
    }
}

macro_rules! families {
    ($($variant:ident($family:ty)),*) => {
        $(
            impl From<$family> for Witness {
                fn from(witness: $family) -> Self {
                    Self::$variant(witness)
                }
            }
        )*

        impl Witness {
            fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
                match self {
                    $(Self::$variant(witness) => witness.say(f, at),)*
                }
            }
        }
    };
}

families!(
    Record(RecordWitness),
    Consumer(ConsumerWitness),
    Replica(ReplicaWitness),
    Storage(StorageWitness),
    Metadata(MetadataWitness),
    Group(GroupWitness),
    Liveness(LivenessWitness),
    Transaction(TransactionWitness)
);

/// A partition as a report writes it.
pub(crate) fn name_of<S: Serializer>(partition: &TopicPartition, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(partition)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(partition) => write!(f, "{partition}"),
            Self::Node(broker) => write!(f, "b{broker}"),
            Self::Group(group) => write!(f, "group {group}"),
            Self::TransactionalId(id) => write!(f, "transactional id {id}"),
            Self::Producer(producer) => write!(f, "p{producer}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.subject)?;
        self.witness.say(f, Seconds(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Offset;

    fn found(subject: impl Into<Subject>) -> Violation {
        let witness = ConsumerWitness::EndFell { consumer: 1, end: Offset(2), exposed: Offset(3) };
        Violation::found("converges", Instant::from_secs(1), subject, witness).unwrap_err()
    }

    #[test]
    fn a_sentence_begins_with_its_subject() {
        assert!(found(&TopicPartition::new("a", 1)).to_string().starts_with("a-1 ends at"));
        assert!(found(BrokerId(3)).to_string().starts_with("b3 ends at"));
    }

    #[test]
    fn json_names_the_subject_and_the_kind_of_evidence() {
        let json = |violation: Violation| serde_json::to_value(violation).unwrap();
        let partition = json(found(&TopicPartition::new("a", 1)));
        assert_eq!(partition["partition"], "a-1");
        assert_eq!(partition["witness"]["kind"], "end-fell");
        assert_eq!(json(found(BrokerId(3)))["node"], 3);
    }
}
