//! Producer, consumer and administrator, in Kafka's terms.
//!
//! Each is a pure core that decides, and a thin driver that carries its decisions out over an
//! [`io::World`](crate::io::World): the same client talks to a real cluster and inside a simulation.
//! Neither needs a particular executor.
//!
//! | module | role |
//! |---|---|
//! | `group`, `assignor` | a consumer's membership in its group, and who reads which partition |
//! | `kernel` | shared by the three: the cluster as a client knows it, coordinators, request ids |
//! | `producer`, `consumer`, `admin` | the three, each with its core and driver |
//! | `metrics` | what they measure, under Kafka's names |
//! | `error`, `transaction_error` | their errors |
//! | `record` | what a consumer returns |
//! | `offline` | producer and consumer without a network, for benchmarks |
//! | `testing` | in unit tests: a model of a cluster, and a bench for cores by value |
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use brokerquake::base::TopicPartition;
//! use brokerquake::base::config::{AdminConfig, Config, ConsumerConfig, ProducerConfig};
//! use brokerquake::client::{Admin, Consumer, Producer, ProducerRecord};
//! use brokerquake::io::World;
//!
//! async fn through<W: World>(world: W) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut config = AdminConfig::default();
//!     config.set("bootstrap.servers", "127.0.0.1:9092")?;
//!     Admin::new(world.clone(), config)?.create_topic("orders", 3, 1, &[]).await?;
//!
//!     let mut config = ProducerConfig::default();
//!     config.set_all([("bootstrap.servers", "127.0.0.1:9092"), ("linger.ms", "5")])?;
//!     let producer = Producer::start(world.clone(), config)?;
//!     // The outer await waits only while `buffer.memory` is exhausted, the inner one for the broker.
//!     let delivery = producer.send(ProducerRecord::new("orders", "one apple").to_partition(0)).await;
//!     match delivery.await {
//!         Ok(stored) => println!("{} at {:?}", stored.partition, stored.offset),
//!         Err(error) if error.may_be_stored => println!("perhaps: {error}"),
//!         Err(error) => println!("definitely not: {error}"),
//!     }
//!     producer.close(Duration::from_secs(10)).await;
//!
//!     let mut config = ConsumerConfig::default();
//!     config.set("bootstrap.servers", "127.0.0.1:9092")?;
//!     config.set("auto.offset.reset", "earliest")?;
//!     let mut consumer = Consumer::new(world.clone(), config)?;
//!     consumer.assign(vec![TopicPartition::new("orders", 0)]);
//!     for record in consumer.poll(Duration::from_secs(1)).await? {
//!         println!("{} {}: {:?}", record.partition, record.offset, record.value);
//!     }
//!
//!     let mut config = ConsumerConfig::default();
//!     config.set_all([("bootstrap.servers", "127.0.0.1:9092"), ("group.id", "shop")])?;
//!     config.set("enable.auto.commit", "false")?;
//!     let mut member = Consumer::new(world, config)?;
//!     member.subscribe(["orders"])?;
//!     for record in member.poll(Duration::from_secs(1)).await? {
//!         println!("{} {}: {:?}", record.partition, record.offset, record.value);
//!     }
//!     member.commit_sync(Duration::from_secs(5)).await?;
//!     member.close(Duration::from_secs(5)).await;
//!     Ok(())
//! }
//! ```

mod admin;
mod assignor;
mod consumer;
mod error;
mod group;
mod kernel;
mod metrics;
pub mod offline;
mod producer;
mod record;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transaction_error;

pub use crate::wire::batch::Header;
pub use admin::{
    AbortSpec, Admin, BrokerDescription, ClusterDescription, ConfigChange, ConfigEntry,
    ConfigResource, ConfigSource, ConfigSynonym, ElectionType, Elections, GroupDescription,
    GroupListing, GroupOffset, HangingTransaction, ListedOffset, MemberDescription, MemberToRemove,
    OffsetSpec, PartitionDescription, ProducerDescription, TopicDescription,
    TransactionDescription, TransactionFilter, TransactionListing,
};
pub use consumer::{
    BytesDeserializer, Committing, Consumer, ConsumerInterceptor, DeserializeError, Deserializer,
    Deserializers, InterceptError, LongDeserializer, Notice, OffsetAndTimestamp, RebalanceListener,
    RecordStream, StringDeserializer, Told,
};
pub use error::{AdminError, ConsumeError, ProduceCause, ProduceError, RecordPart};
pub use group::{CommittedOffset, GroupMetadata, check_consumer};
pub use metrics::{MetricName, Metrics};
pub use producer::{
    Acknowledgement, ByteArraySerializer, Delivery, IntegerSerializer, Interceptor, LongSerializer,
    Partitioner, Partitions, Producer, ProducerRecord, RecordMetadata, SerializationError,
    Serializer, StringSerializer, TypedProducer, partition_of,
};
pub use record::ConsumerRecord;
pub use transaction_error::{ErrorClass, TransactionCause, TransactionError};
