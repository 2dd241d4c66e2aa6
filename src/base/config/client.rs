//! The settings of producers, consumers and admin clients.

use std::time::Duration;

use super::bounds::Bounds::{Any, AtLeast, Between, OneOf};
use super::bounds::INT;
use super::foreign::{CONTROLLER_CLIENTS, Foreign, JAVA_CLASS, TRANSACTIONS, harmless, relied};
use super::{
    Acks, Bounds, Compression, Config, ConfigError, Explicit, GroupProtocol, GzipLevel, Kind,
    Lz4Level, OffsetReset, PartitionerChoice, ZstdLevel, security, settings,
};

settings! {
    /// The settings of a producer. Source: Kafka's `ProducerConfig`.
    pub struct ProducerConfig, foreign [PRODUCER, SHARED, security::SHARED, security::CLIENT] {
        bootstrap_servers: Vec<String> = "", "bootstrap.servers", Any,
            "The brokers that are asked for the cluster first, as `host:port`";
        client_id: String = "", "client.id", Any,
            "The name under which brokers log this client";
        acks: Acks = "all", "acks", Any,
            "How many replicas have to store a record before it is acknowledged";
        idempotence: Explicit<bool> = "true", "enable.idempotence", Any,
            "Whether retries are kept from duplicating or reordering records; see `idempotent`";
        batch_size: usize = "16384", "batch.size", Between(0, INT),
            "A batch is sent at this size";
        linger: Duration = "5", "linger.ms", AtLeast(0),
            "A batch waits this long for more records";
        buffer_memory: u64 = "33554432", "buffer.memory", AtLeast(0),
            "The bytes of records that may wait to be sent";
        max_block: Duration = "60000", "max.block.ms", AtLeast(0),
            "A send waits this long for memory or metadata";
        max_request_size: usize = "1048576", "max.request.size", Between(0, INT),
            "The largest request";
        max_in_flight: usize = "5", "max.in.flight.requests.per.connection", Between(1, INT),
            "The most unanswered requests on one connection";
        compression: Compression = "none", "compression.type", Any,
            "The codec of batches";
        compression_gzip_level: GzipLevel = "-1", "compression.gzip.level", Any,
            "The level of gzip";
        compression_lz4_level: Lz4Level = "9", "compression.lz4.level", Any,
            "Checked, but without effect: this lz4 encoder has one level";
        compression_zstd_level: ZstdLevel = "3", "compression.zstd.level", Any,
            "The level of zstd";
        retries: i32 = "2147483647", "retries", Between(0, INT),
            "A batch is sent again this many times";
        retry_backoff: Duration = "100", "retry.backoff.ms", AtLeast(0),
            "The pause before the first retry; it doubles with each further one";
        retry_backoff_max: Duration = "1000", "retry.backoff.max.ms", AtLeast(0),
            "The longest pause before a retry";
        reconnect_backoff: Duration = "50", "reconnect.backoff.ms", AtLeast(0),
            "The pause before the first attempt to reconnect; it doubles with each further one";
        reconnect_backoff_max: Duration = "1000", "reconnect.backoff.max.ms", AtLeast(0),
            "The longest pause before an attempt to reconnect";
        request_timeout: Duration = "30000", "request.timeout.ms", Between(0, INT),
            "A request is given up after this time";
        delivery_timeout: Explicit<Duration> = "120000", "delivery.timeout.ms", Between(0, INT),
            "A record is given up after this time, retries included; see `gives_up_after`";
        metadata_max_age: Duration = "300000", "metadata.max.age.ms", AtLeast(0),
            "Metadata is refreshed at this age";
        metrics_samples: usize = "2", "metrics.num.samples", Between(1, INT),
            "Averages, maxima and rates are of this many samples";
        metrics_window: Duration = "30000", "metrics.sample.window.ms", AtLeast(0),
            "A sample of metrics lasts this long";
        partitioner: PartitionerChoice = "", "partitioner.class", Any,
            "How partitions are chosen: empty for the built-in partitioner (KIP-794), or `roundrobin`";
        adaptive_partitioning: bool = "true", "partitioner.adaptive.partitioning.enable", Any,
            "Whether the built-in partitioner prefers partitions with short queues";
        availability_timeout: Duration = "0", "partitioner.availability.timeout.ms", AtLeast(0),
            "The built-in partitioner avoids partitions whose broker took no request for this long, \
             if it is more than 0";
        transactional_id: String = "", "transactional.id", Any,
            "A name that is this producer's alone, under which it has transactions";
        transaction_timeout_ms: i32 = "60000", "transaction.timeout.ms", Any,
            "The coordinator aborts a transaction that is open for more milliseconds than this";
        ignore_keys: bool = "false", "partitioner.ignore.keys", Any,
            "Whether the built-in partitioner treats records with a key as those without";
    }
}

impl ProducerConfig {
    /// The level of the codec; 0 for a codec without levels.
    pub fn compression_level(&self) -> i32 {
        match self.compression {
            Compression::Gzip => self.compression_gzip_level.0,
            Compression::Lz4 => self.compression_lz4_level.0,
            Compression::Zstd => self.compression_zstd_level.0,
            Compression::None | Compression::Snappy => 0,
        }
    }

    /// Whether retries are kept from duplicating or reordering records: as `enable.idempotence`
    /// says, or where it was not set, if `acks` and `retries` allow it. Source: Kafka's
    /// `ProducerConfig.postProcessAndValidateIdempotenceConfigs`.
    pub fn idempotent(&self) -> bool {
        let allowed = self.acks == Acks::All && self.retries != 0;
        self.idempotence.value && (self.idempotence.set || allowed)
    }

    /// Whether its records are parts of transactions: it has a `transactional.id`.
    pub fn is_transactional(&self) -> bool {
        !self.transactional_id.is_empty()
    }

    /// A record is given up after this time: `delivery.timeout.ms`, or where it was not set, at
    /// least the sum of `linger.ms` and `request.timeout.ms`. Source: Kafka's
    /// `KafkaProducer.configureDeliveryTimeout`.
    pub fn gives_up_after(&self) -> Duration {
        match self.delivery_timeout {
            Explicit { value, set: true } => value,
            Explicit { value, set: false } => value.max(self.one_request()),
        }
    }

    /// Refuses settings that contradict each other, with Kafka's messages. Source: Kafka's
    /// `ProducerConfig.postProcessAndValidateIdempotenceConfigs`,
    /// `KafkaProducer.configureDeliveryTimeout`.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, problem: String| {
            let value = self.get(key).unwrap_or_default();
            Err(ConfigError::BadValue { key: key.into(), value, problem })
        };
        if self.idempotence.value {
            if self.idempotence.set && self.retries == 0 {
                let problem = "Must set retries to non-zero when using the idempotent producer.";
                return refuse("retries", problem.into());
            }
            if self.idempotence.set && self.acks != Acks::All {
                let problem = "Must set acks to all in order to use the idempotent producer. \
                               Otherwise we cannot guarantee idempotence.";
                return refuse("acks", problem.into());
            }
            // Also where a default is adapted: in Kafka too only `enable.idempotence=false` helps.
            if self.max_in_flight > Self::MAX_IN_FLIGHT_IDEMPOTENT {
                let key = "max.in.flight.requests.per.connection";
                let problem = format!(
                    "To use the idempotent producer, {key} must be set to at most 5. Current value \
                     is {}.",
                    self.max_in_flight
                );
                return refuse(key, problem);
            }
        }
        if self.is_transactional() && !self.idempotent() {
            let problem = "Cannot set a transactional.id without also enabling idempotence.";
            return refuse("transactional.id", problem.into());
        }
        if self.gives_up_after() < self.one_request() {
            let problem = "delivery.timeout.ms should be equal to or larger than linger.ms + \
                           request.timeout.ms";
            return refuse("delivery.timeout.ms", problem.into());
        }
        // Kafka's producer starts, and then fails every send.
        if self.batch_size as u64 > self.buffer_memory {
            let problem = format!(
                "expected at most buffer.memory={}, of which each batch takes as much",
                self.buffer_memory
            );
            return refuse("batch.size", problem);
        }
        Ok(())
    }

    /// How long a batch may wait and be under way once, at most Java's largest `int` of milliseconds.
    fn one_request(&self) -> Duration {
        let largest = Duration::from_millis(i32::MAX.unsigned_abs().into());
        (self.linger + self.request_timeout).min(largest)
    }

    /// A broker remembers this many batches of a producer.
    const MAX_IN_FLIGHT_IDEMPOTENT: usize = 5;
}

settings! {
    /// The settings of a consumer. Source: Kafka's `ConsumerConfig`.
    pub struct ConsumerConfig, foreign [CONSUMER, SHARED, security::SHARED, security::CLIENT] {
        bootstrap_servers: Vec<String> = "", "bootstrap.servers", Any,
            "The brokers that are asked for the cluster first, as `host:port`";
        client_id: String = "", "client.id", Any,
            "The name under which brokers log this client";
        auto_offset_reset: OffsetReset = "latest", "auto.offset.reset", Any,
            "Where a consumer begins without a position: `earliest`, `latest`, `by_duration:PT1H` for \
             an hour ago, or `none` for an error";
        group_id: String = "", "group.id", Any,
            "The group whose members share partitions, and for which offsets are committed";
        group_protocol: GroupProtocol = "classic", "group.protocol", Any,
            "`consumer` if the coordinator assigns partitions (KIP-848), `classic` if a member does";
        group_remote_assignor: String = "", "group.remote.assignor", Any,
            "The coordinator's assignor that a member prefers, with `group.protocol=consumer`";
        group_instance_id: String = "", "group.instance.id", Any,
            "A name that makes this a static member, whose partitions wait for it over a restart";
        session_timeout: Duration = "45000", "session.timeout.ms", Between(0, INT),
            "A member without a heartbeat for this long is expelled from its group";
        heartbeat_interval: Duration = "3000", "heartbeat.interval.ms", Between(0, INT),
            "The time between two heartbeats";
        max_poll_interval: Duration = "300000", "max.poll.interval.ms", Between(1, INT),
            "A member whose application does not poll for this long leaves its group; others wait \
             this long for it in a rebalance";
        partition_assignment_strategy: Vec<String> =
            "class org.apache.kafka.clients.consumer.RangeAssignor,class org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
            "partition.assignment.strategy", Any,
            "The assignors that a member can use, the preferred one first: `range`, `roundrobin`, \
             `sticky`, `cooperative-sticky`, or Kafka's classes of them";
        enable_auto_commit: Explicit<bool> = "true", "enable.auto.commit", Any,
            "Whether polls commit what earlier ones returned; without a group, nothing is committed";
        auto_commit_interval: Duration = "5000", "auto.commit.interval.ms", Between(0, INT),
            "The time between two such commits";
        exclude_internal_topics: bool = "true", "exclude.internal.topics", Any,
            "Whether a pattern never matches internal topics";
        client_rack: String = "", "client.rack", Any,
            "The rack of this client: brokers may let it read from a replica there (KIP-392), and some \
             assignors prefer partitions with such a replica";
        isolation_level: String = "read_uncommitted", "isolation.level",
            OneOf(&["read_uncommitted", "read_committed"]),
            "`read_committed` hides the records of open and aborted transactions";
        fetch_min_bytes: i32 = "1", "fetch.min.bytes", AtLeast(0),
            "A broker holds a fetch back until it has this many bytes";
        fetch_max_bytes: i32 = "52428800", "fetch.max.bytes", AtLeast(0),
            "The most bytes in a fetch; a larger first batch is sent whole";
        max_partition_fetch_bytes: i32 = "1048576", "max.partition.fetch.bytes", AtLeast(0),
            "The most bytes of one partition in a fetch; a larger first batch is sent whole";
        fetch_max_wait: Duration = "500", "fetch.max.wait.ms", Between(0, INT),
            "The longest time that a broker holds a fetch back";
        max_poll_records: usize = "500", "max.poll.records", Between(1, INT),
            "The most records that one poll returns";
        check_crcs: bool = "true", "check.crcs", Any,
            "Whether the checksum of each batch is verified";
        request_timeout: Duration = "30000", "request.timeout.ms", Between(0, INT),
            "A request is given up after this time";
        default_api_timeout: Duration = "60000", "default.api.timeout.ms", Between(0, INT),
            "A call that waits for a broker is given up after this time, unless it names another";
        allow_auto_create: bool = "true", "allow.auto.create.topics", Any,
            "Whether brokers may create a topic that is subscribed to or assigned, and does not exist";
        retry_backoff: Duration = "100", "retry.backoff.ms", AtLeast(0),
            "The pause before the first retry; it doubles with each further one";
        retry_backoff_max: Duration = "1000", "retry.backoff.max.ms", AtLeast(0),
            "The longest pause before a retry";
        reconnect_backoff: Duration = "50", "reconnect.backoff.ms", AtLeast(0),
            "The pause before the first attempt to reconnect; it doubles with each further one";
        reconnect_backoff_max: Duration = "1000", "reconnect.backoff.max.ms", AtLeast(0),
            "The longest pause before an attempt to reconnect";
        metadata_max_age: Duration = "300000", "metadata.max.age.ms", AtLeast(0),
            "Metadata is refreshed at this age";
        metrics_samples: usize = "2", "metrics.num.samples", Between(1, INT),
            "Averages, maxima and rates are of this many samples";
        metrics_window: Duration = "30000", "metrics.sample.window.ms", AtLeast(0),
            "A sample of metrics lasts this long";
    }
}

settings! {
    /// The settings of an admin client. Source: Kafka's `AdminClientConfig`.
    pub struct AdminConfig, foreign [ADMIN, SHARED, security::SHARED, security::CLIENT] {
        bootstrap_servers: Vec<String> = "", "bootstrap.servers", Any,
            "The brokers that are asked for the cluster first, as `host:port`";
        client_id: String = "", "client.id", Any,
            "The name under which brokers log this client";
        request_timeout: Duration = "30000", "request.timeout.ms", Between(0, INT),
            "A request is given up after this time";
        default_api_timeout: Duration = "60000", "default.api.timeout.ms", Between(0, INT),
            "An operation is given up after this time, retries included";
        retry_backoff: Duration = "100", "retry.backoff.ms", AtLeast(0),
            "The pause before the first retry; it doubles with each further one";
        retry_backoff_max: Duration = "1000", "retry.backoff.max.ms", AtLeast(0),
            "The longest pause before a retry";
        reconnect_backoff: Duration = "50", "reconnect.backoff.ms", AtLeast(0),
            "The pause before the first attempt to reconnect; it doubles with each further one";
        reconnect_backoff_max: Duration = "1000", "reconnect.backoff.max.ms", AtLeast(0),
            "The longest pause before an attempt to reconnect";
        metrics_samples: usize = "2", "metrics.num.samples", Between(1, INT),
            "Averages, maxima and rates are of this many samples";
        metrics_window: Duration = "30000", "metrics.sample.window.ms", AtLeast(0),
            "A sample of metrics lasts this long";
    }
}

impl AdminConfig {
    /// Refuses settings that contradict each other. Source: Kafka's `KafkaAdminClient`.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.default_api_timeout < self.request_timeout {
            return Err(ConfigError::BadValue {
                key: "default.api.timeout.ms".into(),
                value: self.default_api_timeout.as_millis().to_string(),
                problem: format!(
                    "expected at least request.timeout.ms={}",
                    self.request_timeout.as_millis()
                ),
            });
        }
        Ok(())
    }
}

/// Keys of Kafka that every client has.
pub(super) const SHARED: &[Foreign] = &[
    harmless("client.dns.lookup", "use_all_dns_ips"),
    harmless("send.buffer.bytes", "131072").typed(Kind::Int, Bounds::AtLeast(-1)),
    harmless("metrics.recording.level", "INFO"),
    harmless("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter")
        .typed(Kind::List, Bounds::Any),
    harmless("socket.connection.setup.timeout.ms", "10000").typed(Kind::Long, Bounds::Any),
    harmless("socket.connection.setup.timeout.max.ms", "30000").typed(Kind::Long, Bounds::Any),
    harmless("metadata.recovery.strategy", "rebootstrap"),
    harmless("metadata.recovery.rebootstrap.trigger.ms", "300000")
        .typed(Kind::Long, Bounds::AtLeast(0)),
    relied("config.providers", "", JAVA_CLASS).typed(Kind::List, Bounds::Any),
];

/// Keys of Kafka's producer.
pub(super) const PRODUCER: &[Foreign] = &[
    harmless("receive.buffer.bytes", "32768").typed(Kind::Int, Bounds::AtLeast(-1)),
    harmless("enable.metrics.push", "true").typed(Kind::Boolean, Bounds::Any),
    harmless("metadata.max.idle.ms", "300000").typed(Kind::Long, Bounds::AtLeast(5000)),
    harmless("key.serializer", "").typed(Kind::Class, Bounds::Any),
    harmless("value.serializer", "").typed(Kind::Class, Bounds::Any),
    harmless("connections.max.idle.ms", "540000").typed(Kind::Long, Bounds::Any),
    relied("interceptor.classes", "", JAVA_CLASS).typed(Kind::List, Bounds::Any),
    relied("transaction.two.phase.commit.enable", "false", TRANSACTIONS)
        .typed(Kind::Boolean, Bounds::Any),
];

/// Keys of Kafka's consumer.
pub(super) const CONSUMER: &[Foreign] = &[
    harmless("receive.buffer.bytes", "65536").typed(Kind::Int, Bounds::AtLeast(-1)),
    harmless("enable.metrics.push", "true").typed(Kind::Boolean, Bounds::Any),
    harmless("key.deserializer", "").typed(Kind::Class, Bounds::Any),
    harmless("value.deserializer", "").typed(Kind::Class, Bounds::Any),
    harmless("connections.max.idle.ms", "540000").typed(Kind::Long, Bounds::Any),
    relied("interceptor.classes", "", JAVA_CLASS).typed(Kind::List, Bounds::Any),
    harmless("internal.throw.on.fetch.stable.offset.unsupported", "false")
        .typed(Kind::Boolean, Bounds::Any),
    harmless("share.acknowledgement.mode", "implicit"),
    harmless("share.acquire.mode", "BATCH_OPTIMIZED"),
];

/// Keys of Kafka's admin client.
pub(super) const ADMIN: &[Foreign] = &[
    relied("bootstrap.controllers", "", CONTROLLER_CLIENTS).typed(Kind::List, Bounds::Any),
    harmless("metadata.max.age.ms", "300000").typed(Kind::Long, Bounds::AtLeast(0)),
    harmless("receive.buffer.bytes", "65536").typed(Kind::Int, Bounds::AtLeast(-1)),
    harmless("enable.metrics.push", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("connections.max.idle.ms", "300000").typed(Kind::Long, Bounds::Any),
    harmless("retries", "2147483647").typed(Kind::Int, Bounds::Between(0, 2_147_483_647)),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(pairs: &[(&str, &str)]) -> ProducerConfig {
        let mut config = ProducerConfig::default();
        config.set_all(pairs.iter().copied()).unwrap();
        config
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        producer(pairs).check().unwrap_err().to_string()
    }

    const ON: (&str, &str) = ("enable.idempotence", "true");
    const OFF: (&str, &str) = ("enable.idempotence", "false");
    const SIX: (&str, &str) = ("max.in.flight.requests.per.connection", "6");

    #[test]
    fn idempotence_that_was_not_set_follows_acks_and_retries() {
        assert!(producer(&[]).idempotent() && producer(&[ON]).idempotent());
        for pair in [("acks", "0"), ("acks", "1"), ("retries", "0"), OFF] {
            let config = producer(&[pair]);
            assert!(config.check().is_ok() && !config.idempotent(), "{pair:?}");
        }
    }

    #[test]
    fn explicit_idempotence_that_is_contradicted_is_refused_with_the_words_of_kafka() {
        assert_eq!(
            refusal(&[ON, ("retries", "0"), ("acks", "1"), SIX]),
            "`retries=0`: Must set retries to non-zero when using the idempotent producer."
        );
        assert_eq!(
            refusal(&[("acks", "1"), ON]),
            "`acks=1`: Must set acks to all in order to use the idempotent producer. Otherwise we \
             cannot guarantee idempotence."
        );
        let in_flight = "`max.in.flight.requests.per.connection=6`: To use the idempotent producer, \
                         max.in.flight.requests.per.connection must be set to at most 5. Current \
                         value is 6.";
        assert_eq!(refusal(&[SIX]), in_flight);
        assert_eq!(refusal(&[SIX, ("acks", "1")]), in_flight, "only `false` permits it");
        assert_eq!(producer(&[SIX, OFF]).check(), Ok(()));
    }

    #[test]
    fn batch_that_no_memory_could_hold_is_refused() {
        let small = ("buffer.memory", "16383");
        assert_eq!(
            refusal(&[small]),
            "`batch.size=16384`: expected at most buffer.memory=16383, of which each batch takes as \
             much"
        );
        assert_eq!(producer(&[small, ("batch.size", "16383")]).check(), Ok(()));
    }

    #[test]
    fn partitioner_is_built_in_or_named() {
        let class = "org.apache.kafka.clients.producer.RoundRobinPartitioner";
        for (text, choice) in [
            ("", PartitionerChoice::BuiltIn),
            ("roundrobin", PartitionerChoice::RoundRobin),
            (class, PartitionerChoice::RoundRobin),
        ] {
            assert_eq!(producer(&[("partitioner.class", text)]).partitioner, choice);
        }
        let other = ProducerConfig::default().set("partitioner.class", "com.shop.Partitioner");
        let text = other.unwrap_err().to_string();
        assert!(text.contains("`roundrobin`") && text.contains("Producer::start_with"), "{text}");
    }

    #[test]
    fn mistyped_key_names_the_one_that_was_meant() {
        let mistyped = ProducerConfig::default().set("partitioner.ignore.key", "true");
        let text = mistyped.unwrap_err().to_string();
        assert!(text.contains("did you mean `partitioner.ignore.keys`"), "{text}");
    }

    #[test]
    fn delivery_timeout_that_was_not_set_covers_one_request() {
        let late = ("request.timeout.ms", "130000");
        assert_eq!(producer(&[]).gives_up_after(), Duration::from_secs(120));
        let config = producer(&[late]);
        assert_eq!((config.check(), config.gives_up_after().as_millis()), (Ok(()), 130_005));
        let longest = "2147483647";
        let both = [("request.timeout.ms", longest), ("delivery.timeout.ms", longest)];
        assert_eq!(producer(&both).check(), Ok(()), "the sum is no larger than an int");
        let refused = refusal(&[late, ("delivery.timeout.ms", "120000")]);
        assert!(refused.contains("equal to or larger than linger.ms + request.timeout.ms"));
    }
}
