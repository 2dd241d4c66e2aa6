//! Interceptors see each record before it is serialized, and each verdict.

use super::{ProducerRecord, RecordMetadata};
use crate::client::ProduceError;

/// The verdict on a record, as an [`Interceptor`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement<'a> {
    /// The topic that the record was sent to.
    pub topic: &'a str,
    /// The partition, if the record is stored or named one.
    pub partition: Option<i32>,
    /// Where it is stored, or why not.
    pub outcome: &'a Result<RecordMetadata, ProduceError>,
}

/// Changes or observes what an application sends. An error of an interceptor is logged; the record
/// and those after it are sent as if that interceptor were absent.
///
/// Source: Kafka's `ProducerInterceptor` and `ProducerInterceptors`.
pub trait Interceptor<K, V>: Send + Sync {
    /// Sees a record before it is serialized and gets a partition. Returns the record to send.
    fn on_send(&self, record: &ProducerRecord<K, V>) -> Result<ProducerRecord<K, V>, String>;

    /// Sees the verdict on a record, before the callback of the application does.
    fn on_acknowledgement(&self, _acknowledgement: Acknowledgement<'_>) -> Result<(), String> {
        Ok(())
    }

    /// The producer is closed.
    fn close(&self) {}
}

/// Interceptors, which are called one after the other.
pub(super) struct Interceptors<K, V> {
    list: Vec<Box<dyn Interceptor<K, V>>>,
}

impl<K, V> Default for Interceptors<K, V> {
    fn default() -> Self {
        Self { list: Vec::new() }
    }
}

impl<K, V> Interceptors<K, V> {
    pub(super) fn push(&mut self, interceptor: Box<dyn Interceptor<K, V>>) {
        self.list.push(interceptor);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each interceptor gets what the last one that did not fail returned.
    pub(super) fn on_send(&self, mut record: ProducerRecord<K, V>) -> ProducerRecord<K, V> {
        for interceptor in &self.list {
            match interceptor.on_send(&record) {
                Ok(changed) => record = changed,
                Err(error) => {
                    let (topic, partition) = (&record.topic, record.partition);
                    tracing::warn!(%topic, ?partition, %error, "an interceptor's on_send failed");
                }
            }
        }
        record
    }

    pub(super) fn on_acknowledgement(&self, acknowledgement: Acknowledgement<'_>) {
        for interceptor in &self.list {
            if let Err(error) = interceptor.on_acknowledgement(acknowledgement) {
                let topic = acknowledgement.topic;
                tracing::warn!(%topic, %error, "an interceptor's on_acknowledgement failed");
            }
        }
    }

    pub(super) fn close(&self) {
        self.list.iter().for_each(|interceptor| interceptor.close());
    }
}
