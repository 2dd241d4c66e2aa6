//! A record as bytes: frame version, api key and version as unsigned varints, then the body.
//! Source: Kafka's `AbstractApiMessageSerde` and the schemas of its metadata records.

use bytes::Bytes;

use super::{
    BrokerChange, ConfigRecord, Feature, FeatureLevel, Fencing, PartitionChange, PartitionRecord,
    ProducerIds, Record, RegisterBroker, TopicRecord,
};
use crate::base::{
    Address, BrokerEpoch, BrokerId, LeaderEpoch, Listener, PartitionEpoch, ProducerId,
    SecurityProtocol, TopicId,
};
use crate::decide::{KeyValue, LogRecord};
use crate::wire::fields::{Read, Reader, Writer};
use crate::wire::messages::DecodeError;
use crate::wire::schema::{Family, Schema};

const FRAME_VERSION: u32 = 1;

/// "The leader does not change" in a PartitionChangeRecord.
const NO_LEADER_CHANGE: i32 = -2;
/// "The recovery state does not change" in a PartitionChangeRecord.
const NO_RECOVERY_CHANGE: i8 = -1;

/// Api key, name and newest version of each record. Older versions are read, the newest is written.
const SCHEMAS: &[(u32, &str, u32)] = &[
    (0, "RegisterBrokerRecord", 3),
    (2, "TopicRecord", 0),
    (3, "PartitionRecord", 2),
    (4, "ConfigRecord", 0),
    (5, "PartitionChangeRecord", 2),
    (7, "FenceBrokerRecord", 0),
    (8, "UnfenceBrokerRecord", 0),
    (9, "RemoveTopicRecord", 0),
    (12, "FeatureLevelRecord", 0),
    (15, "ProducerIdsRecord", 0),
    (17, "BrokerRegistrationChangeRecord", 2),
    (20, "NoOpRecord", 0),
    (23, "BeginTransactionRecord", 0),
    (24, "EndTransactionRecord", 0),
    (25, "AbortTransactionRecord", 0),
];

/// Bytes that are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the framing that Kafka 2.8 and later write.
    #[error("metadata record frame version {0}; only 1 is known")]
    Frame(u32),
    /// A kind of record, or a version of one, that this version does not know.
    #[error("unknown metadata record: {}, version {version}", name_of(*.api_key))]
    Unknown {
        /// Which kind.
        api_key: u32,
        /// Which version.
        version: u32,
    },
    /// The bytes end early, or contradict themselves.
    #[error("malformed {name}: {error}")]
    Malformed {
        /// Kafka's name of the record.
        name: &'static str,
        /// What is wrong with the bytes.
        error: DecodeError,
    },
}

impl LogRecord for Record {
    type Error = RecordError;

    fn encode(&self) -> KeyValue {
        KeyValue { key: None, value: Some(Self::encode(self)) }
    }

    fn decode(bytes: KeyValue) -> Result<Self, RecordError> {
        Self::decode(&bytes.value.unwrap_or_default())
    }
}

impl Record {
    fn api_key(&self) -> u32 {
        match self {
            Self::RegisterBroker(_) => 0,
            Self::Topic(_) => 2,
            Self::Partition(_) => 3,
            Self::Config(_) => 4,
            Self::PartitionChange(_) => 5,
            Self::FenceBroker(_) => 7,
            Self::UnfenceBroker(_) => 8,
            Self::RemoveTopic(_) => 9,
            Self::FeatureLevel(_) => 12,
            Self::ProducerIds(_) => 15,
            Self::BrokerChange(_) => 17,
            Self::NoOp => 20,
            Self::BeginTransaction(_) => 23,
            Self::EndTransaction => 24,
            Self::AbortTransaction(_) => 25,
        }
    }

    /// Kafka's name of this kind of record.
    pub fn name(&self) -> &'static str {
        SCHEMAS.iter().find(|schema| schema.0 == self.api_key()).map_or("", |schema| schema.1)
    }

    /// The record as the value of a record in the metadata log.
    pub fn encode(&self) -> Bytes {
        let key = self.api_key();
        let version = SCHEMAS.iter().find(|schema| schema.0 == key).map_or(0, |schema| schema.2);
        let mut out = Writer::default();
        out.varint(FRAME_VERSION).varint(key).varint(version);
        match self {
            Self::RegisterBroker(record) => record.write(&mut out),
            Self::Topic(record) => out.string(&record.name).uuid(&record.id.0),
            Self::Partition(record) => record.write(&mut out),
            Self::Config(record) => out
                .i8(record.resource_type)
                .string(&record.resource)
                .string(&record.name)
                .maybe_string(record.value.as_deref()),
            Self::PartitionChange(record) => record.write(&mut out),
            Self::FenceBroker(record) | Self::UnfenceBroker(record) => {
                out.i32(record.broker.0).i64(record.epoch.0)
            }
            Self::RemoveTopic(topic) => out.uuid(&topic.0),
            Self::FeatureLevel(record) => out.string(&record.name).i16(record.level),
            Self::ProducerIds(record) => {
                out.i32(record.broker.0).i64(record.epoch.0).i64(record.next.0)
            }
            Self::BrokerChange(record) => record.write(&mut out),
            Self::NoOp | Self::EndTransaction => &mut out,
            Self::BeginTransaction(text) | Self::AbortTransaction(text) => {
                out.tag(0, text.as_deref(), Writer::string)
            }
        };
        out.end().finish()
    }

    /// Reads a record from the value of a record in the metadata log.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let frame = |error| RecordError::Malformed { name: "metadata record", error };
        let mut input = Reader::new(bytes.clone()).map_err(frame)?;
        let version = input.varint().map_err(frame)?;
        if version != FRAME_VERSION {
            return Err(RecordError::Frame(version));
        }
        let api_key = input.varint().map_err(frame)?;
        let version = input.varint().map_err(frame)?;
        let known = SCHEMAS.iter().find(|schema| schema.0 == api_key && version <= schema.2);
        let Some((_, name, _)) = known else {
            return Err(RecordError::Unknown { api_key, version });
        };
        let read = Self::read(&mut input, api_key, version);
        let record = read.and_then(|record| input.finish().map(|()| record));
        record.map_err(|error| RecordError::Malformed { name, error })?.ok_or(
            // The table and `read` list the same keys.
            RecordError::Unknown { api_key, version },
        )
    }

    fn read(input: &mut Reader, api_key: u32, version: u32) -> Read<Option<Self>> {
        let record = match api_key {
            0 => {
                return RegisterBroker::read(input, version).map(|r| Some(Self::RegisterBroker(r)));
            }
            3 => return PartitionRecord::read(input, version).map(|r| Some(Self::Partition(r))),
            5 => return PartitionChange::read(input).map(|r| Some(Self::PartitionChange(r))),
            17 => return BrokerChange::read(input).map(|r| Some(Self::BrokerChange(r))),
            23 | 25 => {
                let text = input.end()?.get(0, Reader::maybe_string)?.flatten();
                return Ok(Some(match api_key {
                    23 => Self::BeginTransaction(text),
                    _ => Self::AbortTransaction(text),
                }));
            }
            2 => Self::Topic(TopicRecord { name: input.string()?, id: topic(input)? }),
            4 => Self::Config(ConfigRecord {
                resource_type: input.i8()?,
                resource: input.string()?,
                name: input.string()?,
                value: input.maybe_string()?,
            }),
            7 => Self::FenceBroker(Fencing { broker: broker(input)?, epoch: epoch(input)? }),
            8 => Self::UnfenceBroker(Fencing { broker: broker(input)?, epoch: epoch(input)? }),
            9 => Self::RemoveTopic(topic(input)?),
            12 => Self::FeatureLevel(FeatureLevel { name: input.string()?, level: input.i16()? }),
            15 => Self::ProducerIds(ProducerIds {
                broker: broker(input)?,
                epoch: epoch(input)?,
                next: ProducerId(input.i64()?),
            }),
            20 => Self::NoOp,
            24 => Self::EndTransaction,
            _ => return Ok(None),
        };
        input.end()?;
        Ok(Some(record))
    }
}

/// Kafka's name of a kind of record that this controller may not know.
fn name_of(api_key: u32) -> String {
    let schema = i16::try_from(api_key).ok().and_then(|key| Schema::of(Family::Metadata, key));
    match schema {
        Some(schema) => format!("{} (api key {api_key})", schema.name()),
        None => format!("api key {api_key}"),
    }
}

fn topic(input: &mut Reader) -> Read<TopicId> {
    Ok(input.uuid()?.into())
}

fn broker(input: &mut Reader) -> Read<BrokerId> {
    Ok(BrokerId(input.i32()?))
}

fn epoch(input: &mut Reader) -> Read<BrokerEpoch> {
    Ok(BrokerEpoch(input.i64()?))
}

fn leader(id: i32) -> Option<BrokerId> {
    Some(BrokerId(id)).filter(|id| *id != BrokerId::NONE)
}

/// An empty list is written as its default, null.
fn unless_empty<T>(list: &[T]) -> Option<&[T]> {
    Some(list).filter(|list| !list.is_empty())
}

impl RegisterBroker {
    fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.i32(self.broker.0)
            // "Is a ZooKeeper broker in migration": there are none here.
            .bool(false)
            .uuid(self.incarnation.as_bytes())
            .i64(self.epoch.0)
            .array(&self.listeners, |out, listener| {
                out.string(&listener.name)
                    .string(&listener.address.host)
                    .u16(listener.address.port)
                    .i16(listener.protocol.0)
                    .end();
            })
            .array(&self.features, |out, feature| {
                out.string(&feature.name).i16(feature.min).i16(feature.max).end();
            })
            .maybe_string(self.rack.as_deref())
            .bool(self.fenced)
            .bool(self.in_controlled_shutdown)
            .tag(0, unless_empty(&self.log_dirs), Writer::directories)
    }

    fn read(input: &mut Reader, version: u32) -> Read<Self> {
        let broker = broker(input)?;
        if version >= 2 {
            input.bool()?;
        }
        let mut record = Self {
            broker,
            incarnation: input.uuid()?,
            epoch: epoch(input)?,
            listeners: input.array(|input| {
                let listener = Listener {
                    name: input.string()?,
                    address: Address { host: input.string()?, port: input.u16()? },
                    protocol: SecurityProtocol(input.i16()?),
                };
                input.end()?;
                Ok(listener)
            })?,
            features: input.array(|input| {
                let feature =
                    Feature { name: input.string()?, min: input.i16()?, max: input.i16()? };
                input.end()?;
                Ok(feature)
            })?,
            rack: input.maybe_string()?,
            fenced: input.bool()?,
            in_controlled_shutdown: version >= 1 && input.bool()?,
            log_dirs: Vec::new(),
        };
        record.log_dirs = input.end()?.get(0, Reader::directories)?.unwrap_or_default();
        Ok(record)
    }
}

impl PartitionRecord {
    fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.i32(self.partition)
            .uuid(&self.topic.0)
            .brokers(&self.replicas)
            .brokers(&self.isr)
            .brokers(&self.removing)
            .brokers(&self.adding)
            .i32(self.leader.unwrap_or(BrokerId::NONE).0)
            .i32(self.leader_epoch.0)
            .i32(self.partition_epoch.0)
            .directories(&self.directories)
            .tag(0, self.recovering.then_some(1), Writer::i8)
            .tag(1, unless_empty(&self.elr), Writer::brokers)
            .tag(2, unless_empty(&self.last_known_elr), Writer::brokers)
    }

    fn read(input: &mut Reader, version: u32) -> Read<Self> {
        let mut record = Self {
            partition: input.i32()?,
            topic: topic(input)?,
            replicas: input.brokers()?,
            isr: input.brokers()?,
            removing: input.brokers()?,
            adding: input.brokers()?,
            leader: leader(input.i32()?),
            recovering: false,
            leader_epoch: LeaderEpoch(input.i32()?),
            partition_epoch: PartitionEpoch(input.i32()?),
            directories: if version >= 1 { input.directories()? } else { Vec::new() },
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        };
        let tags = input.end()?;
        record.recovering = tags.get(0, Reader::i8)?.unwrap_or(0) == 1;
        record.elr = tags.get(1, Reader::maybe_brokers)?.flatten().unwrap_or_default();
        record.last_known_elr = tags.get(2, Reader::maybe_brokers)?.flatten().unwrap_or_default();
        Ok(record)
    }
}

impl PartitionChange {
    fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        let leader = self.leader.map(|leader| leader.unwrap_or(BrokerId::NONE).0);
        out.i32(self.partition)
            .uuid(&self.topic.0)
            .tag(0, self.isr.as_deref(), Writer::brokers)
            .tag(1, leader, Writer::i32)
            .tag(2, self.replicas.as_deref(), Writer::brokers)
            .tag(3, self.removing.as_deref(), Writer::brokers)
            .tag(4, self.adding.as_deref(), Writer::brokers)
            .tag(5, self.recovering.map(i8::from), Writer::i8)
            .tag(6, self.elr.as_deref(), Writer::brokers)
            .tag(7, self.last_known_elr.as_deref(), Writer::brokers)
            .tag(8, self.directories.as_deref(), Writer::directories)
    }

    fn read(input: &mut Reader) -> Read<Self> {
        let (partition, topic) = (input.i32()?, topic(input)?);
        let tags = input.end()?;
        let brokers = |tag| Ok(tags.get(tag, Reader::maybe_brokers)?.flatten());
        let new_leader = tags.get(1, Reader::i32)?.filter(|id| *id != NO_LEADER_CHANGE);
        let recovery = tags.get(5, Reader::i8)?.filter(|state| *state != NO_RECOVERY_CHANGE);
        Ok(Self {
            partition,
            topic,
            isr: brokers(0)?,
            leader: new_leader.map(leader),
            replicas: brokers(2)?,
            removing: brokers(3)?,
            adding: brokers(4)?,
            recovering: recovery.map(|state| state == 1),
            elr: brokers(6)?,
            last_known_elr: brokers(7)?,
            directories: tags.get(8, Reader::maybe_directories)?.flatten(),
        })
    }
}

impl BrokerChange {
    fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        let fencing = self.fenced.map(|fenced| if fenced { 1 } else { -1 });
        out.i32(self.broker.0)
            .i64(self.epoch.0)
            .tag(0, fencing, Writer::i8)
            .tag(1, self.in_controlled_shutdown.then_some(1), Writer::i8)
            .tag(2, self.log_dirs.as_deref().and_then(unless_empty), Writer::directories)
    }

    fn read(input: &mut Reader) -> Read<Self> {
        let mut record = Self::of(broker(input)?, epoch(input)?);
        let tags = input.end()?;
        record.fenced = tags.get(0, Reader::i8)?.filter(|state| *state != 0).map(|state| state > 0);
        record.in_controlled_shutdown = tags.get(1, Reader::i8)?.unwrap_or(0) == 1;
        record.log_dirs = tags.get(2, Reader::directories)?.filter(|dirs| !dirs.is_empty());
        Ok(record)
    }
}
