//! A record as bytes. The key begins with the type of the record, the value with the version of its
//! schema, both as 16-bit integers.
//!
//! Source: Kafka's `GroupCoordinatorRecordSerde` and `GroupCoordinatorRecordHelpers`.

use bytes::Bytes;

use super::kind::{
    CLASSIC_GROUP, CONSUMER_GROUP, CURRENT_ASSIGNMENT, Decoded, Kind, LEGACY_OFFSET, MEMBER,
    OFFSET, PARTITION_METADATA, REGULAR_EXPRESSION, RecordError, TARGET_EPOCH, TARGET_MEMBER,
};
use super::{
    ClassicGroupValue, CommittedOffset, ConsumerGroupValue, CurrentAssignmentValue, MemberValue,
    OffsetKey, Record, RegularExpressionValue, TargetEpochValue, TargetMemberValue,
};
use crate::decide::{KeyValue, LogRecord};
use crate::group::{GroupId, MemberId};
use crate::wire::fields::{Read, Reader, Writer};

impl LogRecord for Record {
    type Error = RecordError;

    fn encode(&self) -> KeyValue {
        self.write().0
    }

    fn decode(KeyValue { key, value }: KeyValue) -> Result<Self, RecordError> {
        let bytes = key.ok_or(RecordError::NoKey)?;
        let malformed = |error| RecordError::Key { name: "record type", error };
        let mut key = Reader::plain(bytes.clone()).map_err(malformed)?;
        match key.i16().map_err(malformed)? {
            0 => Self::read_offset(&LEGACY_OFFSET, key, value),
            1 => Self::read_offset(&OFFSET, key, value),
            2 => {
                let group = CLASSIC_GROUP.read_key(key, group)?;
                let value = CLASSIC_GROUP.read_value(&group, value, ClassicGroupValue::read)?;
                Ok(Self::ClassicGroup { group, value })
            }
            3 => {
                let group = CONSUMER_GROUP.read_key(key, group)?;
                let value = CONSUMER_GROUP.read_value(&group, value, ConsumerGroupValue::read)?;
                Ok(Self::ConsumerGroup { group, value })
            }
            5 => {
                let (group, member) = MEMBER.read_key(key, member)?;
                let value = MEMBER.read_value(&group, value, MemberValue::read)?;
                Ok(Self::Member { group, member, value })
            }
            6 => {
                let group = TARGET_EPOCH.read_key(key, group)?;
                let value = TARGET_EPOCH.read_value(&group, value, TargetEpochValue::read)?;
                Ok(Self::TargetEpoch { group, value })
            }
            7 => {
                let (group, member) = TARGET_MEMBER.read_key(key, member)?;
                let value = TARGET_MEMBER.read_value(&group, value, TargetMemberValue::read)?;
                Ok(Self::TargetMember { group, member, value })
            }
            8 => {
                let (group, member) = CURRENT_ASSIGNMENT.read_key(key, member)?;
                let read = CurrentAssignmentValue::read;
                let value = CURRENT_ASSIGNMENT.read_value(&group, value, read)?;
                Ok(Self::CurrentAssignment { group, member, value })
            }
            16 => {
                let read = |key: &mut Reader| Ok((group(key)?, key.string()?));
                let (group, pattern) = REGULAR_EXPRESSION.read_key(key, read)?;
                let read = RegularExpressionValue::read;
                let value = REGULAR_EXPRESSION.read_value(&group, value, read)?;
                Ok(Self::RegularExpression { group, pattern, value })
            }
            _ => Ok(Self::Foreign(KeyValue { key: Some(bytes), value })),
        }
    }
}

impl Record {
    /// The tombstone of an offset.
    pub fn no_offset(key: OffsetKey) -> Self {
        Self::Offset { key, value: None }
    }

    /// The tombstone of what Kafka before 4.1 stored about the topics of a consumer group. Kafka
    /// writes it when the group is deleted.
    pub fn no_partition_metadata(group: &GroupId) -> Self {
        let key = begin_key(PARTITION_METADATA, group).finish();
        Self::Foreign(KeyValue { key: Some(key), value: None })
    }

    /// Whether Kafka's format can hold the record: a string in the plain encoding has at most
    /// 32,767 bytes. Kafka fails a request that would need more with UNKNOWN_SERVER_ERROR.
    pub fn is_writable(&self) -> bool {
        self.write().1
    }

    /// The record as bytes, and whether it is complete.
    fn write(&self) -> (KeyValue, bool) {
        match self {
            Self::Offset { key: of, value } => {
                let mut key = begin_key(OFFSET.id, &of.group);
                key.string(&of.topic).i32(of.partition);
                finish(key, value.as_ref().map(CommittedOffset::write))
            }
            Self::ClassicGroup { group, value } => {
                let key = begin_key(CLASSIC_GROUP.id, group);
                finish(key, value.as_ref().map(ClassicGroupValue::write))
            }
            Self::ConsumerGroup { group, value } => {
                let key = begin_key(CONSUMER_GROUP.id, group);
                finish(key, value.as_ref().map(ConsumerGroupValue::write))
            }
            Self::Member { group, member, value } => {
                let mut key = begin_key(MEMBER.id, group);
                key.string(member.as_str());
                finish(key, value.as_ref().map(MemberValue::write))
            }
            Self::TargetEpoch { group, value } => {
                let key = begin_key(TARGET_EPOCH.id, group);
                finish(key, value.as_ref().map(TargetEpochValue::write))
            }
            Self::TargetMember { group, member, value } => {
                let mut key = begin_key(TARGET_MEMBER.id, group);
                key.string(member.as_str());
                finish(key, value.as_ref().map(TargetMemberValue::write))
            }
            Self::CurrentAssignment { group, member, value } => {
                let mut key = begin_key(CURRENT_ASSIGNMENT.id, group);
                key.string(member.as_str());
                finish(key, value.as_ref().map(CurrentAssignmentValue::write))
            }
            Self::RegularExpression { group, pattern, value } => {
                let mut key = begin_key(REGULAR_EXPRESSION.id, group);
                key.string(pattern);
                finish(key, value.as_ref().map(RegularExpressionValue::write))
            }
            Self::Foreign(bytes) => (bytes.clone(), true),
        }
    }

    fn read_offset(kind: &Kind, key: Reader, value: Option<Bytes>) -> Decoded<Self> {
        let key = kind.read_key(key, |key| {
            Ok(OffsetKey { group: group(key)?, topic: key.string()?, partition: key.i32()? })
        })?;
        let value = kind.read_value(&key.group, value, CommittedOffset::read)?;
        Ok(Self::Offset { key, value })
    }
}

/// Keys are in the plain encoding, and all begin with a group.
fn begin_key(id: i16, group: &GroupId) -> Writer {
    let mut key = Writer::plain();
    key.i16(id).string(group.as_str());
    key
}

fn finish(mut key: Writer, value: Option<Writer>) -> (KeyValue, bool) {
    let complete = !key.is_cut() && value.as_ref().is_none_or(|value| !value.is_cut());
    let value = value.map(|mut value| value.finish());
    (KeyValue { key: Some(key.finish()), value }, complete)
}

fn group(key: &mut Reader) -> Read<GroupId> {
    key.string().map(GroupId::from)
}

fn member(key: &mut Reader) -> Read<(GroupId, MemberId)> {
    Ok((group(key)?, key.string()?.into()))
}
