//! From the bytes of a record to an application's types.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;

use crate::client::ConsumerRecord;
use crate::client::{ConsumeError, Header, RecordPart};

/// The reason why a deserializer can't read a key or value.
pub type DeserializeError = Box<dyn Error + Send + Sync>;

/// Reads keys or values. Null is never deserialized: it is `None` in the record.
///
/// A function of the topic, the headers and the bytes is one too.
///
/// Source: Kafka's `Deserializer`.
pub trait Deserializer<T>: Send + Sync {
    /// Reads the key or value of a record of this topic with these headers.
    fn deserialize(
        &self,
        topic: &str,
        headers: &[Header],
        data: &Bytes,
    ) -> Result<T, DeserializeError>;
}

impl<T, F> Deserializer<T> for F
where
    F: Fn(&str, &[Header], &Bytes) -> Result<T, DeserializeError> + Send + Sync,
{
    fn deserialize(
        &self,
        topic: &str,
        headers: &[Header],
        data: &Bytes,
    ) -> Result<T, DeserializeError> {
        self(topic, headers, data)
    }
}

/// Returns the bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesDeserializer;

impl Deserializer<Bytes> for BytesDeserializer {
    fn deserialize(&self, _: &str, _: &[Header], data: &Bytes) -> Result<Bytes, DeserializeError> {
        Ok(data.clone())
    }
}

/// Reads UTF-8. Invalid text is an error, where Kafka's replaces it.
#[derive(Clone, Copy, Debug, Default)]
pub struct StringDeserializer;

impl Deserializer<String> for StringDeserializer {
    fn deserialize(&self, _: &str, _: &[Header], data: &Bytes) -> Result<String, DeserializeError> {
        Ok(std::str::from_utf8(data)?.to_owned())
    }
}

/// Reads eight bytes, the most significant first.
#[derive(Clone, Copy, Debug, Default)]
pub struct LongDeserializer;

impl Deserializer<i64> for LongDeserializer {
    fn deserialize(&self, _: &str, _: &[Header], data: &Bytes) -> Result<i64, DeserializeError> {
        match <[u8; 8]>::try_from(&data[..]) {
            Ok(bytes) => Ok(i64::from_be_bytes(bytes)),
            Err(_) => Err(format!("expected 8 bytes, found {}", data.len()).into()),
        }
    }
}

/// The deserializers of a consumer.
pub struct Deserializers<K, V> {
    key: Arc<dyn Deserializer<K>>,
    value: Arc<dyn Deserializer<V>>,
}

impl<K, V> Deserializers<K, V> {
    /// One for keys and one for values.
    pub fn new(key: impl Deserializer<K> + 'static, value: impl Deserializer<V> + 'static) -> Self {
        Self { key: Arc::new(key), value: Arc::new(value) }
    }

    /// Deserializes a record, or names the partition and offset of one that can't be read.
    pub(super) fn read(
        &self,
        record: ConsumerRecord,
    ) -> Result<ConsumerRecord<K, V>, ConsumeError> {
        let (topic, headers) = (&record.partition.topic, &record.headers);
        let key = record.key.as_ref().map(|key| self.key.deserialize(topic, headers, key));
        let key = match key.transpose() {
            Ok(key) => key,
            Err(problem) => return Err(unreadable(record, RecordPart::Key, &*problem)),
        };
        let value = record.value.as_ref();
        let value = value.map(|value| self.value.deserialize(topic, headers, value));
        let value = match value.transpose() {
            Ok(value) => value,
            Err(problem) => return Err(unreadable(record, RecordPart::Value, &*problem)),
        };
        let ConsumerRecord { partition, offset, timestamp, headers, leader_epoch, .. } = record;
        Ok(ConsumerRecord { partition, offset, timestamp, key, value, headers, leader_epoch })
    }
}

fn unreadable(record: ConsumerRecord, part: RecordPart, problem: &dyn Error) -> ConsumeError {
    let problem = problem.to_string();
    ConsumeError::Deserialization { record: Box::new(record), part, problem }
}
