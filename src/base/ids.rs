//! Ids, offsets and epochs: one type each, sized as in Kafka's protocol.

#![warn(missing_docs, reason = "in the prelude")]

use std::fmt;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The position of a record in a partition's log. The first is 0; `-1` is "none" on the wire.
    Offset(i64)
}
number! {
    /// Counts the leaders of one partition (KIP-101); `-1` is "unknown" on the wire.
    LeaderEpoch(i32)
}
number! {
    /// Counts the changes of one partition's metadata; the compare-and-set of AlterPartition (KIP-497).
    PartitionEpoch(i32)
}
number! {
    /// The `node.id` of a broker or controller; `-1` is "none" on the wire.
    BrokerId(i32)
}
number! {
    /// One registration of a broker: the metadata offset of its record (KIP-380, KIP-631).
    BrokerEpoch(i64)
}
number! {
    /// The id of an idempotent producer (KIP-98); `-1` is "none".
    ProducerId(i64)
}
number! {
    /// Fences older instances of one producer id (KIP-98); `-1` is "none".
    ProducerEpoch(i16)
}

impl Offset {
    /// Where every log begins.
    pub const ZERO: Self = Self(0);
    /// "No offset" on the wire.
    pub const NONE: Self = Self(-1);

    /// The offset `count` records later.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }

    /// The next offset.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl LeaderEpoch {
    /// "Unknown" on the wire.
    pub const NONE: Self = Self(-1);

    /// The epoch of the next leader.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl PartitionEpoch {
    /// The epoch after the next change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl BrokerId {
    /// "No leader" on the wire.
    pub const NONE: Self = Self(-1);
}

impl BrokerEpoch {
    /// "Unknown" on the wire.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// A producer that is not idempotent.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// A producer that is not idempotent.
    pub const NONE: Self = Self(-1);
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Printed as Kafka prints a UUID: 22 characters of URL-safe base 64.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base64(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                read_base64(text).map(Self)
            }
        }
    };
}

uuid! {
    /// Identifies one creation of a topic: a topic deleted and created again has another (KIP-516).
    TopicId
}
uuid! {
    /// Identifies a data directory: the `directory.id` of its `meta.properties` (KIP-858).
    DirectoryId
}

/// The last of sixteen bytes; the others are zero. Kafka reserves the first hundred such ids.
const fn reserved(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

impl TopicId {
    /// "No id" on the wire.
    pub const ZERO: Self = Self(reserved(0));
    /// `__cluster_metadata`, fixed by KIP-595.
    pub const METADATA: Self = Self(reserved(1));
}

/// Source: Kafka's `DirectoryId` (KIP-858). Its `MIGRATING` is used by ZooKeeper migrations only.
impl DirectoryId {
    /// The directory of a replica is not known.
    pub const UNASSIGNED: Self = Self(reserved(0));
    /// The replica is in no directory that can be used.
    pub const LOST: Self = Self(reserved(1));

    /// Whether no directory may have this id: Kafka keeps the first hundred for special purposes.
    pub fn is_reserved(self) -> bool {
        u128::from_be_bytes(self.0) < 100
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn write_base64(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            let sextet = (word >> (18 - 6 * position)) & 0x3f;
            write!(f, "{}", char::from(BASE64[sextet as usize]))?;
        }
    }
    Ok(())
}

fn read_base64(text: &str) -> Result<[u8; 16], String> {
    let wrong = || format!("`{text}` is not an id: expected 22 characters of URL-safe base 64");
    if text.len() != 22 {
        return Err(wrong());
    }
    let mut bytes = [0u8; 16];
    let mut bits = 0u32;
    let mut held = 0;
    let mut filled = 0;
    for character in text.bytes() {
        let value = BASE64.iter().position(|c| *c == character).ok_or_else(wrong)?;
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 && filled < 16 {
            held -= 8;
            bytes[filled] = (bits >> held) as u8;
            filled += 1;
        }
    }
    Ok(bytes)
}

/// One partition of one topic, by name. Shown as Kafka names its directory: `orders-2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Index of the partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The longest name that Kafka accepts for a topic (`Topic.MAX_NAME_LENGTH`).
    pub const MAX_NAME_LENGTH: usize = 249;

    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// Reads a log directory's name: everything before the last dash is the topic.
    pub fn from_directory(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        let partition: i32 = partition.parse().ok().filter(|p| *p >= 0)?;
        (!topic.is_empty()).then(|| Self::new(topic, partition))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_kafka_prints_uuids_and_parse_back() {
        assert_eq!(TopicId::METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = TopicId([0xfb, 0xff, 0xfe, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(id.to_string().parse::<TopicId>().unwrap(), id);
        assert!("short".parse::<TopicId>().is_err());
        assert!("AAAAAAAAAAAAAAAAAAAA*Q".parse::<TopicId>().is_err());
    }

    #[test]
    fn reserved_directory_ids_are_those_of_kafka() {
        assert_eq!(DirectoryId::UNASSIGNED.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(DirectoryId::LOST.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert!(DirectoryId(reserved(99)).is_reserved());
        assert!(!DirectoryId(reserved(100)).is_reserved());
    }

    #[test]
    fn directory_name_splits_at_its_last_dash() {
        let read = TopicPartition::from_directory("eu-orders-12").unwrap();
        assert_eq!(read, TopicPartition::new("eu-orders", 12));
        assert_eq!(TopicPartition::from_directory("lost+found"), None);
        assert_eq!(TopicPartition::from_directory("orders--1x"), None);
    }
}
