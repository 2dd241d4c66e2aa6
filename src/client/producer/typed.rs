//! A producer of keys and values of any type, with serializers and interceptors.

use std::sync::Arc;
use std::time::Duration;

use super::interceptor::{Acknowledgement, Interceptors};
use super::{
    Delivery, Interceptor, Producer, ProducerRecord, RecordMetadata, SerializationError, Serializer,
};
use crate::client::{Header, Metrics, ProduceCause, ProduceError};
use crate::io::World;

/// Serializes keys and values, and sends them with a [`Producer`]. A clone is another handle on the
/// same producer.
///
/// A record passes the interceptors, is serialized, and then gets its partition, as in Kafka.
pub struct TypedProducer<W: World, K, V> {
    producer: Producer<W>,
    parts: Arc<Parts<K, V>>,
}

struct Parts<K, V> {
    key: Box<dyn Serializer<K>>,
    value: Box<dyn Serializer<V>>,
    interceptors: Interceptors<K, V>,
}

impl<W: World, K, V> Clone for TypedProducer<W, K, V> {
    fn clone(&self) -> Self {
        Self { producer: self.producer.clone(), parts: Arc::clone(&self.parts) }
    }
}

impl<K, V> Parts<K, V> {
    fn serialize(
        &self,
        record: ProducerRecord<K, V>,
    ) -> Result<ProducerRecord, SerializationError> {
        let ProducerRecord { topic, partition, key, value, mut headers, timestamp } = record;
        let failed = |part, problem| {
            let topic = topic.to_string();
            SerializationError { part, topic, problem }
        };
        let part = |headers: &mut Vec<Header>| self.key.serialize(&topic, headers, key.as_ref());
        let key = part(&mut headers).map_err(|problem| failed("key", problem))?;
        let part =
            |headers: &mut Vec<Header>| self.value.serialize(&topic, headers, value.as_ref());
        let value = part(&mut headers).map_err(|problem| failed("value", problem))?;
        Ok(ProducerRecord { topic, partition, key, value, headers, timestamp })
    }

    fn acknowledge(
        &self,
        topic: &str,
        partition: Option<i32>,
        outcome: &Result<RecordMetadata, ProduceError>,
    ) {
        let stored = outcome.as_ref().ok().map(|stored| stored.partition.partition);
        let partition = stored.or(partition);
        self.interceptors.on_acknowledgement(Acknowledgement { topic, partition, outcome });
    }
}

impl<W: World, K: 'static, V: 'static> TypedProducer<W, K, V> {
    /// Sends with `producer` what these serializers make of keys and values.
    pub fn new(
        producer: Producer<W>,
        key: impl Serializer<K> + 'static,
        value: impl Serializer<V> + 'static,
        interceptors: Vec<Box<dyn Interceptor<K, V>>>,
    ) -> Self {
        let mut list = Interceptors::default();
        interceptors.into_iter().for_each(|interceptor| list.push(interceptor));
        let (key, value) = (Box::new(key), Box::new(value));
        Self { producer, parts: Arc::new(Parts { key, value, interceptors: list }) }
    }

    /// Hands a record over, as [`Producer::send`] does. Fails if it can't be serialized.
    pub async fn send(&self, record: ProducerRecord<K, V>) -> Result<Delivery, SerializationError> {
        let record = self.prepare(record)?;
        if self.parts.interceptors.is_empty() {
            return Ok(self.producer.send(record).await);
        }
        self.send_prepared(record, |_| {}).await
    }

    /// Hands a record over, and calls `callback` with its verdict, as [`Producer::send_with`] does.
    pub async fn send_with(
        &self,
        record: ProducerRecord<K, V>,
        callback: impl FnOnce(Result<RecordMetadata, ProduceError>) + Send + 'static,
    ) -> Result<Delivery, SerializationError> {
        let record = self.prepare(record)?;
        self.send_prepared(record, callback).await
    }

    fn prepare(&self, record: ProducerRecord<K, V>) -> Result<ProducerRecord, SerializationError> {
        let record = self.parts.interceptors.on_send(record);
        let (topic, partition) = (Arc::clone(&record.topic), record.partition);
        self.parts.serialize(record).inspect_err(|_| {
            self.producer.not_serialized();
            let cause = ProduceCause::Serialization;
            let outcome = Err(ProduceError { cause, may_be_stored: false });
            self.parts.acknowledge(&topic, partition, &outcome);
        })
    }

    async fn send_prepared(
        &self,
        record: ProducerRecord,
        callback: impl FnOnce(Result<RecordMetadata, ProduceError>) + Send + 'static,
    ) -> Result<Delivery, SerializationError> {
        let (topic, partition) = (Arc::clone(&record.topic), record.partition);
        let parts = Arc::clone(&self.parts);
        let told = move |outcome: Result<RecordMetadata, ProduceError>| {
            parts.acknowledge(&topic, partition, &outcome);
            callback(outcome);
        };
        Ok(self.producer.send_with(record, told).await)
    }

    /// The producer of bytes, for its transactions.
    pub fn producer(&self) -> &Producer<W> {
        &self.producer
    }

    /// See [`Producer::flush`].
    pub async fn flush(&self) {
        self.producer.flush().await;
    }

    /// See [`Producer::metrics`].
    pub fn metrics(&self) -> Metrics {
        self.producer.metrics()
    }

    /// See [`Producer::close`]. Also closes the interceptors.
    pub async fn close(&self, patience: Duration) {
        self.producer.close(patience).await;
        self.parts.interceptors.close();
    }
}
