//! What looks at records and commits on their way.

use std::collections::BTreeMap;
use std::error::Error;

use bytes::Bytes;

use crate::base::TopicPartition;
use crate::client::CommittedOffset;
use crate::client::ConsumerRecord;

/// The reason why an interceptor failed.
pub type InterceptError = Box<dyn Error + Send + Sync>;

/// Looks at records before the application gets them, and at offsets once they are committed. It is
/// called from inside the calls of the consumer, and should not block.
///
/// A failure is logged, and the records are those that the interceptor before returned.
///
/// Source: Kafka's `ConsumerInterceptor`.
pub trait ConsumerInterceptor<K = Bytes, V = Bytes>: Send + Sync {
    /// The records that a poll is about to return. Returns those to return instead, or `None` for the
    /// same. Positions have moved past all of them, whatever it returns.
    fn on_consume(
        &self,
        records: &[ConsumerRecord<K, V>],
    ) -> Result<Option<Vec<ConsumerRecord<K, V>>>, InterceptError> {
        let _ = records;
        Ok(None)
    }

    /// These offsets are committed.
    fn on_commit(
        &self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), InterceptError> {
        let _ = offsets;
        Ok(())
    }

    /// The consumer is closed. It is not called if the consumer is dropped.
    fn close(&self) {}
}
