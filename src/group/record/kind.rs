//! The types of records: their names, and the versions of their schemas.

use bytes::Bytes;

use crate::group::GroupId;
use crate::wire::fields::{Read, Reader, Writer};
use crate::wire::messages::DecodeError;

/// Bytes that are not a record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No record of Kafka's lacks a key.
    #[error("record without a key; every record of __consumer_offsets has one")]
    NoKey,
    /// The key ends early, or contradicts itself.
    #[error("malformed {name}: {error}")]
    Key {
        /// Kafka's name of the key.
        name: &'static str,
        /// What is wrong with the bytes.
        error: DecodeError,
    },
    /// A version of a value that 4.3.1 does not know.
    #[error(
        "unknown version {version} of {name} in group `{group}`: this log was written by a newer \
         broker"
    )]
    Version {
        /// Whose value it is.
        group: GroupId,
        /// Kafka's name of the value.
        name: &'static str,
        /// Which version.
        version: i16,
    },
    /// The value ends early, or contradicts itself.
    #[error("malformed {name} in group `{group}`: {error}")]
    Value {
        /// Whose value it is.
        group: GroupId,
        /// Kafka's name of the value.
        name: &'static str,
        /// What is wrong with the bytes.
        error: DecodeError,
    },
}

impl RecordError {
    /// The group that the record belongs to, if its key can be read.
    pub fn group(&self) -> Option<&GroupId> {
        match self {
            Self::NoKey | Self::Key { .. } => None,
            Self::Version { group, .. } | Self::Value { group, .. } => Some(group),
        }
    }
}

/// How one type of record is written.
pub(super) struct Kind {
    /// The type, at the start of the key.
    pub(super) id: i16,
    /// Kafka's names of key and value.
    key: &'static str,
    value: &'static str,
    /// The newest version that is read.
    newest: i16,
    /// The first version in the flexible encoding.
    flexible: i16,
    /// The version that Kafka 4.3.1 writes.
    pub(super) written: i16,
}

pub(super) type Decoded<T> = Result<T, RecordError>;

pub(super) const LEGACY_OFFSET: Kind =
    Kind::new(0, "LegacyOffsetCommitKey", "LegacyOffsetCommitValue").versions(0, i16::MAX, 0);
pub(super) const OFFSET: Kind =
    Kind::new(1, "OffsetCommitKey", "OffsetCommitValue").versions(4, 4, 4);
pub(super) const CLASSIC_GROUP: Kind =
    Kind::new(2, "GroupMetadataKey", "GroupMetadataValue").versions(4, 4, 3);
pub(super) const CONSUMER_GROUP: Kind =
    Kind::new(3, "ConsumerGroupMetadataKey", "ConsumerGroupMetadataValue");
pub(super) const MEMBER: Kind =
    Kind::new(5, "ConsumerGroupMemberMetadataKey", "ConsumerGroupMemberMetadataValue");
pub(super) const TARGET_EPOCH: Kind = Kind::new(
    6,
    "ConsumerGroupTargetAssignmentMetadataKey",
    "ConsumerGroupTargetAssignmentMetadataValue",
);
pub(super) const TARGET_MEMBER: Kind = Kind::new(
    7,
    "ConsumerGroupTargetAssignmentMemberKey",
    "ConsumerGroupTargetAssignmentMemberValue",
);
pub(super) const CURRENT_ASSIGNMENT: Kind = Kind::new(
    8,
    "ConsumerGroupCurrentMemberAssignmentKey",
    "ConsumerGroupCurrentMemberAssignmentValue",
);
pub(super) const REGULAR_EXPRESSION: Kind =
    Kind::new(16, "ConsumerGroupRegularExpressionKey", "ConsumerGroupRegularExpressionValue");
/// The type of the metadata of subscribed topics, which Kafka no longer writes but still deletes.
pub(super) const PARTITION_METADATA: i16 = 4;

/// The version of an offset that expires at a time of its own.
pub(super) const EXPIRING_OFFSET: i16 = 1;

impl Kind {
    /// Version 0 only, which is flexible: all newer records.
    const fn new(id: i16, key: &'static str, value: &'static str) -> Self {
        Self { id, key, value, newest: 0, flexible: 0, written: 0 }
    }

    const fn versions(self, newest: i16, flexible: i16, written: i16) -> Self {
        Self { newest, flexible, written, ..self }
    }

    /// Begins the value, in the encoding of its version.
    pub(super) fn begin(&self, version: i16) -> Writer {
        let mut out = if version >= self.flexible { Writer::default() } else { Writer::plain() };
        out.i16(version);
        out
    }

    /// Reads what follows the type in the key.
    pub(super) fn read_key<T>(
        &self,
        mut key: Reader,
        read: impl Fn(&mut Reader) -> Read<T>,
    ) -> Decoded<T> {
        let fields = read(&mut key).and_then(|fields| key.finish().map(|()| fields));
        fields.map_err(|error| RecordError::Key { name: self.key, error })
    }

    /// Reads a value of the group, unless the record is a tombstone. `read` gets the version.
    pub(super) fn read_value<T>(
        &self,
        group: &GroupId,
        value: Option<Bytes>,
        read: impl Fn(&mut Reader, i16) -> Read<T>,
    ) -> Decoded<Option<T>> {
        let Some(bytes) = value else { return Ok(None) };
        let name = self.value;
        let malformed = |error| RecordError::Value { group: group.clone(), name, error };
        let mut input = Reader::plain(bytes).map_err(malformed)?;
        let version = input.i16().map_err(malformed)?;
        if !(0..=self.newest).contains(&version) {
            return Err(RecordError::Version { group: group.clone(), name, version });
        }
        input.flexible(version >= self.flexible);
        let fields = read(&mut input, version).and_then(|fields| input.finish().map(|()| fields));
        fields.map(Some).map_err(malformed)
    }
}
