//! How keys and values become bytes.

use bytes::Bytes;

use crate::client::Header;

/// Makes bytes of keys or values of type `T`.
///
/// Source: Kafka's `Serializer`.
pub trait Serializer<T>: Send + Sync {
    /// The bytes of `data`, which is `None` for a record without a key, or for a tombstone. May add
    /// headers to the record. A failure fails the send, and nothing is sent.
    fn serialize(
        &self,
        topic: &str,
        headers: &mut Vec<Header>,
        data: Option<&T>,
    ) -> Result<Option<Bytes>, String>;
}

/// A record that could not be serialized, and is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SERIALIZATION_FAILED: {part} of a record for topic {topic}: {problem}")]
pub struct SerializationError {
    /// `key` or `value`.
    pub part: &'static str,
    /// The topic of the record.
    pub topic: String,
    /// What the serializer reported.
    pub problem: String,
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteArraySerializer;

impl Serializer<Bytes> for ByteArraySerializer {
    fn serialize(
        &self,
        _topic: &str,
        _headers: &mut Vec<Header>,
        data: Option<&Bytes>,
    ) -> Result<Option<Bytes>, String> {
        Ok(data.cloned())
    }
}

/// Text as UTF-8.
#[derive(Clone, Copy, Debug, Default)]
pub struct StringSerializer;

impl Serializer<String> for StringSerializer {
    fn serialize(
        &self,
        _topic: &str,
        _headers: &mut Vec<Header>,
        data: Option<&String>,
    ) -> Result<Option<Bytes>, String> {
        Ok(data.map(|text| Bytes::copy_from_slice(text.as_bytes())))
    }
}

/// 32-bit integers, big-endian.
#[derive(Clone, Copy, Debug, Default)]
pub struct IntegerSerializer;

impl Serializer<i32> for IntegerSerializer {
    fn serialize(
        &self,
        _topic: &str,
        _headers: &mut Vec<Header>,
        data: Option<&i32>,
    ) -> Result<Option<Bytes>, String> {
        Ok(data.map(|number| Bytes::copy_from_slice(&number.to_be_bytes())))
    }
}

/// 64-bit integers, big-endian.
#[derive(Clone, Copy, Debug, Default)]
pub struct LongSerializer;

impl Serializer<i64> for LongSerializer {
    fn serialize(
        &self,
        _topic: &str,
        _headers: &mut Vec<Header>,
        data: Option<&i64>,
    ) -> Result<Option<Bytes>, String> {
        Ok(data.map(|number| Bytes::copy_from_slice(&number.to_be_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_and_nothing_stays_nothing() {
        let mut headers = Vec::new();
        let number = IntegerSerializer.serialize("t", &mut headers, Some(&0x0102_0304));
        assert_eq!(number.unwrap().unwrap()[..], [1, 2, 3, 4]);
        let number = LongSerializer.serialize("t", &mut headers, Some(&-2));
        assert_eq!(number.unwrap().unwrap()[..], [255, 255, 255, 255, 255, 255, 255, 254]);
        assert_eq!(StringSerializer.serialize("t", &mut headers, None), Ok(None));
        assert!(headers.is_empty());
    }
}
