//! The values of records, field by field.
//!
//! Source: the schemas in Kafka's `group-coordinator/src/main/resources/common/message`.

use super::kind::{
    CLASSIC_GROUP, CONSUMER_GROUP, CURRENT_ASSIGNMENT, EXPIRING_OFFSET, MEMBER, OFFSET,
    REGULAR_EXPRESSION, TARGET_EPOCH, TARGET_MEMBER,
};
use super::{
    ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, CommittedOffset,
    ConsumerGroupValue, CurrentAssignmentValue, MemberValue, RegularExpressionValue,
    TargetEpochValue, TargetMemberValue, TopicPartitions,
};
use crate::base::{Offset, Timestamp, TopicId};
use crate::wire::fields::{Read, Reader, Writer};

fn i32s(input: &mut Reader) -> Read<Vec<i32>> {
    input.array(Reader::i32)
}

impl CommittedOffset {
    pub(super) fn write(&self) -> Writer {
        let expires = self.expires != Timestamp::NONE;
        let version = if expires { EXPIRING_OFFSET } else { OFFSET.written };
        let mut out = OFFSET.begin(version);
        out.i64(self.offset.0);
        if !expires {
            out.i32(self.leader_epoch);
        }
        out.string(&self.metadata).i64(self.committed.0);
        if expires {
            out.i64(self.expires.0);
        }
        let topic = Some(self.topic_id).filter(|id| *id != TopicId::ZERO);
        out.tag(0, topic, |out, id| out.uuid(&id.0)).end();
        out
    }

    /// The legacy record has the fields of version 0.
    pub(super) fn read(input: &mut Reader, version: i16) -> Read<Self> {
        let mut value = Self {
            offset: Offset(input.i64()?),
            leader_epoch: if version >= 3 { input.i32()? } else { -1 },
            metadata: input.string()?,
            committed: Timestamp(input.i64()?),
            expires: Timestamp::NONE,
            topic_id: TopicId::ZERO,
        };
        if version == EXPIRING_OFFSET {
            value.expires = Timestamp(input.i64()?);
        }
        let topic = input.end()?.get(0, Reader::uuid)?;
        value.topic_id = topic.map_or(TopicId::ZERO, TopicId::from);
        Ok(value)
    }
}

impl ClassicGroupValue {
    pub(super) fn write(&self) -> Writer {
        let mut out = CLASSIC_GROUP.begin(CLASSIC_GROUP.written);
        out.string(&self.protocol_type)
            .i32(self.generation)
            .maybe_string(self.protocol.as_deref())
            .maybe_string(self.leader.as_deref())
            .i64(self.state_since.0)
            .array(&self.members, |out, member| {
                out.string(member.member.as_str())
                    .maybe_string(member.instance.as_deref())
                    .string(&member.client_id)
                    .string(&member.client_host)
                    .i32(member.rebalance_timeout_ms)
                    .i32(member.session_timeout_ms)
                    .bytes(&member.subscription)
                    .bytes(&member.assignment)
                    .end();
            })
            .end();
        out
    }

    pub(super) fn read(input: &mut Reader, version: i16) -> Read<Self> {
        let value = Self {
            protocol_type: input.string()?,
            generation: input.i32()?,
            protocol: input.maybe_string()?,
            leader: input.maybe_string()?,
            state_since: Timestamp(if version >= 2 { input.i64()? } else { -1 }),
            members: input.array(|input| {
                let member = ClassicMemberValue {
                    member: input.string()?.into(),
                    instance: if version >= 3 { input.maybe_string()? } else { None },
                    client_id: input.string()?,
                    client_host: input.string()?,
                    rebalance_timeout_ms: if version >= 1 { input.i32()? } else { -1 },
                    session_timeout_ms: input.i32()?,
                    subscription: input.bytes()?,
                    assignment: input.bytes()?,
                };
                input.end()?;
                Ok(member)
            })?,
        };
        input.end()?;
        Ok(value)
    }
}

impl ConsumerGroupValue {
    pub(super) fn write(&self) -> Writer {
        let mut out = CONSUMER_GROUP.begin(CONSUMER_GROUP.written);
        let hash = Some(self.metadata_hash).filter(|hash| *hash != 0);
        out.i32(self.epoch).tag(0, hash, Writer::i64).end();
        out
    }

    pub(super) fn read(input: &mut Reader, _version: i16) -> Read<Self> {
        let epoch = input.i32()?;
        Ok(Self { epoch, metadata_hash: input.end()?.get(0, Reader::i64)?.unwrap_or(0) })
    }
}

impl MemberValue {
    pub(super) fn write(&self) -> Writer {
        let mut out = MEMBER.begin(MEMBER.written);
        // The default is not null, but a structure of defaults: null is written.
        let classic = Some(&self.classic).filter(|c| **c != Some(ClassicMemberMetadata::default()));
        out.maybe_string(self.instance.as_deref())
            .maybe_string(self.rack.as_deref())
            .string(&self.client_id)
            .string(&self.client_host)
            .strings(&self.topics)
            .maybe_string(self.pattern.as_deref())
            .i32(self.rebalance_timeout_ms)
            .maybe_string(self.assignor.as_deref())
            .tag(0, classic, |out, classic| match classic {
                None => out.varint(0),
                Some(classic) => {
                    out.varint(1).i32(classic.session_timeout_ms);
                    out.array(&classic.protocols, |out, (name, subscription)| {
                        out.string(name).bytes(subscription).end();
                    });
                    out.end()
                }
            })
            .end();
        out
    }

    pub(super) fn read(input: &mut Reader, _version: i16) -> Read<Self> {
        let mut value = Self {
            instance: input.maybe_string()?,
            rack: input.maybe_string()?,
            client_id: input.string()?,
            client_host: input.string()?,
            topics: input.array(Reader::string)?,
            pattern: input.maybe_string()?,
            rebalance_timeout_ms: input.i32()?,
            assignor: input.maybe_string()?,
            classic: None,
        };
        let classic = input.end()?.get(0, |input| {
            if input.varint()? == 0 {
                return Ok(None);
            }
            let session_timeout_ms = input.i32()?;
            let protocols = input.array(|input| {
                let protocol = (input.string()?, input.bytes()?);
                input.end()?;
                Ok(protocol)
            })?;
            input.end()?;
            Ok(Some(ClassicMemberMetadata { session_timeout_ms, protocols }))
        })?;
        value.classic = classic.unwrap_or(Some(ClassicMemberMetadata::default()));
        Ok(value)
    }
}

impl TargetEpochValue {
    pub(super) fn write(&self) -> Writer {
        let mut out = TARGET_EPOCH.begin(TARGET_EPOCH.written);
        let computed = Some(self.computed.0).filter(|time| *time != 0);
        out.i32(self.epoch).tag(0, computed, Writer::i64).end();
        out
    }

    pub(super) fn read(input: &mut Reader, _version: i16) -> Read<Self> {
        let epoch = input.i32()?;
        let computed = input.end()?.get(0, Reader::i64)?;
        Ok(Self { epoch, computed: Timestamp(computed.unwrap_or(0)) })
    }
}

impl TargetMemberValue {
    pub(super) fn write(&self) -> Writer {
        let mut out = TARGET_MEMBER.begin(TARGET_MEMBER.written);
        out.array(&self.partitions, |out, of| {
            out.uuid(&of.topic.0).i32s(&of.partitions).end();
        });
        out.end();
        out
    }

    pub(super) fn read(input: &mut Reader, _version: i16) -> Read<Self> {
        let partitions = input.array(|input| {
            let (topic, partitions) = (input.uuid()?.into(), i32s(input)?);
            input.end()?;
            Ok(TopicPartitions { topic, partitions, epochs: None })
        })?;
        input.end()?;
        Ok(Self { partitions })
    }
}

impl CurrentAssignmentValue {
    pub(super) fn write(&self) -> Writer {
        let mut out = CURRENT_ASSIGNMENT.begin(CURRENT_ASSIGNMENT.written);
        out.i32(self.epoch)
            .i32(self.previous_epoch)
            .i8(self.state)
            .array(&self.assigned, TopicPartitions::write)
            .array(&self.pending_revocation, TopicPartitions::write)
            .end();
        out
    }

    pub(super) fn read(input: &mut Reader, _version: i16) -> Read<Self> {
        let value = Self {
            epoch: input.i32()?,
            previous_epoch: input.i32()?,
            state: input.i8()?,
            assigned: input.array(TopicPartitions::read)?,
            pending_revocation: input.array(TopicPartitions::read)?,
        };
        input.end()?;
        Ok(value)
    }
}

/// Of a current assignment: with epochs.
impl TopicPartitions {
    fn write(out: &mut Writer, of: &Self) {
        // The default is not null, but an empty list: null is written.
        let epochs = Some(of.epochs.as_deref()).filter(|epochs| *epochs != Some(&[]));
        out.uuid(&of.topic.0).i32s(&of.partitions).tag(0, epochs, Writer::maybe_i32s).end();
    }

    pub(super) fn read(input: &mut Reader) -> Read<Self> {
        let (topic, partitions) = (input.uuid()?.into(), i32s(input)?);
        let epochs = input.end()?.get(0, |input| input.maybe_array(Reader::i32))?;
        Ok(Self { topic, partitions, epochs: epochs.unwrap_or(Some(Vec::new())) })
    }
}

impl RegularExpressionValue {
    pub(super) fn write(&self) -> Writer {
        let mut out = REGULAR_EXPRESSION.begin(REGULAR_EXPRESSION.written);
        out.strings(&self.topics).i64(self.version).i64(self.resolved.0).end();
        out
    }

    pub(super) fn read(input: &mut Reader, _version: i16) -> Read<Self> {
        let value = Self {
            topics: input.array(Reader::string)?,
            version: input.i64()?,
            resolved: Timestamp(input.i64()?),
        };
        input.end()?;
        Ok(value)
    }
}
