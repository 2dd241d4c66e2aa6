//! Keys and values as bytes.

use std::sync::Arc;

use super::{
    Record, RecordError, Transaction, TransactionState, TransactionVersion, TransactionalId,
};
use crate::base::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::decide::{KeyValue, LogRecord};
use crate::wire::fields::{LONGEST_PLAIN_STRING, Read, Reader, Writer};

/// The type of `TransactionLogKey`, at the start of the key.
const KEY: i16 = 0;

/// The newest version of the value that is read.
const NEWEST: i16 = 1;

/// The first version in the flexible encoding.
const FLEXIBLE: i16 = 1;

/// Tags of the value.
mod tag {
    pub(super) const PREVIOUS: u32 = 0;
    pub(super) const NEXT: u32 = 1;
    pub(super) const CLIENT_VERSION: u32 = 2;
}

/// The partitions of one topic, as the record lists them.
type Topic = (String, Vec<i32>);

impl LogRecord for Record {
    /// Never: what can't be read is [`Record::Corrupt`], and costs one transactional id.
    type Error = RecordError;

    fn encode(&self) -> KeyValue {
        match self {
            Self::Stored { id, version, transaction } => {
                KeyValue { key: Some(key(id)), value: Some(value(*version, transaction)) }
            }
            Self::Expired(id) => KeyValue { key: Some(key(id)), value: None },
            Self::Corrupt { bytes, .. } | Self::Unreadable { bytes, .. } => bytes.clone(),
        }
    }

    fn decode(bytes: KeyValue) -> Result<Self, RecordError> {
        let id = match read_key(&bytes) {
            Ok(id) => id,
            Err(error) => return Ok(Self::Unreadable { error, bytes }),
        };
        let Some(value) = &bytes.value else { return Ok(Self::Expired(id)) };
        Ok(match read_value(value.clone()) {
            Ok((version, transaction)) => Self::Stored { id, version, transaction },
            Err(error) => Self::Corrupt { id, error, bytes },
        })
    }
}

impl TransactionalId {
    /// Whether Kafka's format can hold the id: a string in the plain encoding has at most 32,767
    /// bytes.
    pub fn is_writable(&self) -> bool {
        self.as_str().len() <= LONGEST_PLAIN_STRING
    }
}

fn key(id: &TransactionalId) -> bytes::Bytes {
    Writer::plain().i16(KEY).string(id.as_str()).finish()
}

fn read_key(bytes: &KeyValue) -> Result<TransactionalId, RecordError> {
    let key = bytes.key.clone().ok_or(RecordError::NoKey)?;
    let mut input = Reader::plain(key).map_err(RecordError::Key)?;
    match input.i16().map_err(RecordError::Key)? {
        KEY => {}
        other => return Err(RecordError::Type(other)),
    }
    let id = input.string().map_err(RecordError::Key)?;
    input.finish().map_err(RecordError::Key)?;
    Ok(id.into())
}

fn value(version: i16, of: &Transaction) -> bytes::Bytes {
    let mut out = if version >= FLEXIBLE { Writer::default() } else { Writer::plain() };
    let topics = (of.state != TransactionState::Empty).then(|| topics(of));
    let some = |id: ProducerId| Some(id.0).filter(|id| *id != ProducerId::NONE.0);
    let client = Some(of.client_version.level()).filter(|level| *level != 0);
    out.i16(version)
        .i64(of.producer.0)
        .i16(of.epoch.0)
        .i32(of.timeout_ms)
        .i8(of.state.id())
        .maybe_array(topics.as_deref(), |out, (topic, partitions)| {
            out.string(topic).i32s(partitions).end();
        })
        .i64(of.updated.0)
        .i64(of.started.0)
        .tag(tag::PREVIOUS, some(of.previous), Writer::i64)
        .tag(tag::NEXT, some(of.next), Writer::i64)
        .tag(tag::CLIENT_VERSION, client, Writer::i16)
        .end()
        .finish()
}

/// The partitions, by topic.
fn topics(of: &Transaction) -> Vec<Topic> {
    let mut topics: Vec<Topic> = Vec::new();
    for partition in &*of.partitions {
        match topics.last_mut().filter(|(topic, _)| *topic == *partition.topic) {
            Some((_, partitions)) => partitions.push(partition.partition),
            None => topics.push((partition.topic.to_string(), vec![partition.partition])),
        }
    }
    topics
}

fn read_value(bytes: bytes::Bytes) -> Result<(i16, Transaction), RecordError> {
    let mut input = Reader::plain(bytes).map_err(RecordError::Value)?;
    let version = input.i16().map_err(RecordError::Value)?;
    if !(0..=NEWEST).contains(&version) {
        return Err(RecordError::Version(version));
    }
    input.flexible(version >= FLEXIBLE);
    let fields = read_fields(&mut input).and_then(|read| input.finish().map(|()| read));
    let Fields { state, topics, client_version, mut transaction } =
        fields.map_err(RecordError::Value)?;
    transaction.state = TransactionState::stored(state).ok_or(RecordError::State(state))?;
    let client = TransactionVersion::of(client_version);
    transaction.client_version = client.ok_or(RecordError::ClientVersion(client_version))?;
    let (producer, epoch) = (transaction.producer.0, transaction.epoch.0);
    if producer < 0 || epoch < 0 {
        return Err(RecordError::Producer { producer, epoch });
    }
    if transaction.state != TransactionState::Empty {
        let missing = RecordError::NoPartitions(transaction.state.name());
        let partitions = topics.ok_or(missing)?.into_iter().flat_map(|(topic, partitions)| {
            let topic: Arc<str> = topic.into();
            partitions.into_iter().map(move |one| TopicPartition::new(topic.clone(), one))
        });
        transaction.partitions = Arc::new(partitions.collect());
    }
    Ok((version, transaction))
}

/// A value before its numbers are checked.
struct Fields {
    state: i8,
    topics: Option<Vec<Topic>>,
    client_version: i16,
    transaction: Transaction,
}

fn read_fields(input: &mut Reader) -> Read<Fields> {
    let mut transaction = Transaction::new(ProducerId(input.i64()?));
    transaction.epoch = ProducerEpoch(input.i16()?);
    transaction.timeout_ms = input.i32()?;
    let state = input.i8()?;
    let topics = input.maybe_array(|input| {
        let topic = (input.string()?, input.array(Reader::i32)?);
        input.end()?;
        Ok(topic)
    })?;
    transaction.updated = Timestamp(input.i64()?);
    transaction.started = Timestamp(input.i64()?);
    let tags = input.end()?;
    let producer = |tag| Ok(tags.get(tag, Reader::i64)?.map_or(ProducerId::NONE, ProducerId));
    transaction.previous = producer(tag::PREVIOUS)?;
    transaction.next = producer(tag::NEXT)?;
    let client_version = tags.get(tag::CLIENT_VERSION, Reader::i16)?.unwrap_or(0);
    Ok(Fields { state, topics, client_version, transaction })
}
