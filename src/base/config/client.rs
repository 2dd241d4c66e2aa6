//! What can be set for a producer, a consumer and an administrator.

use std::time::Duration;

use super::{Acks, Compression, GzipLevel, Lz4Level, OffsetReset, ZstdLevel, settings};

settings! {
    /// A producer's settings. Source of names and defaults: Kafka's `ProducerConfig`.
    pub struct ProducerConfig {
        bootstrap_servers: Vec<String> = "", "bootstrap.servers",
            "where to ask for the cluster first, as `host:port`";
        client_id: String = "", "client.id",
            "a name that brokers log";
        acks: Acks = "all", "acks",
            "how many copies to wait for";
        idempotence: bool = "true", "enable.idempotence",
            "whether retries are kept from doubling or reordering records";
        batch_size: usize = "16384", "batch.size",
            "bytes at which a batch is full";
        linger: Duration = "5", "linger.ms",
            "how long a batch waits to fill";
        buffer_memory: u64 = "33554432", "buffer.memory",
            "bytes of records that may wait to be sent";
        max_block: Duration = "60000", "max.block.ms",
            "how long a send may wait for memory or metadata";
        max_request_size: usize = "1048576", "max.request.size",
            "largest request";
        max_in_flight: usize = "5", "max.in.flight.requests.per.connection",
            "requests sent on a connection before the first is answered";
        compression: Compression = "none", "compression.type",
            "codec of batches";
        compression_gzip_level: GzipLevel = "-1", "compression.gzip.level",
            "how hard gzip tries";
        compression_lz4_level: Lz4Level = "9", "compression.lz4.level",
            "taken for Kafka's sake: lz4 has one level here";
        compression_zstd_level: ZstdLevel = "3", "compression.zstd.level",
            "how hard zstd tries";
        retries: i32 = "2147483647", "retries",
            "how often a batch is sent again";
        retry_backoff: Duration = "100", "retry.backoff.ms",
            "pause before a first retry";
        retry_backoff_max: Duration = "1000", "retry.backoff.max.ms",
            "longest pause before a retry";
        reconnect_backoff: Duration = "50", "reconnect.backoff.ms",
            "pause before a first attempt to reconnect";
        reconnect_backoff_max: Duration = "1000", "reconnect.backoff.max.ms",
            "longest pause before an attempt to reconnect";
        request_timeout: Duration = "30000", "request.timeout.ms",
            "time after which a request is given up";
        delivery_timeout: Duration = "120000", "delivery.timeout.ms",
            "time after which a record is given up";
        metadata_max_age: Duration = "300000", "metadata.max.age.ms",
            "time after which metadata is asked for again";
    }
}

impl ProducerConfig {
    /// How hard the codec tries; 0 if it has no levels.
    pub fn compression_level(&self) -> i32 {
        match self.compression {
            Compression::Gzip => self.compression_gzip_level.0,
            Compression::Lz4 => self.compression_lz4_level.0,
            Compression::Zstd => self.compression_zstd_level.0,
            Compression::None | Compression::Snappy => 0,
        }
    }
}

settings! {
    /// A consumer's settings. Source of names and defaults: Kafka's `ConsumerConfig`.
    pub struct ConsumerConfig {
        bootstrap_servers: Vec<String> = "", "bootstrap.servers",
            "where to ask for the cluster first, as `host:port`";
        client_id: String = "", "client.id",
            "a name that brokers log";
        auto_offset_reset: OffsetReset = "latest", "auto.offset.reset",
            "where to begin without a position";
        isolation_level: String = "read_uncommitted", "isolation.level",
            "whether records of open and aborted transactions are read";
        fetch_min_bytes: i32 = "1", "fetch.min.bytes",
            "bytes for which a fetch waits";
        fetch_max_bytes: i32 = "52428800", "fetch.max.bytes",
            "most bytes of a fetch";
        max_partition_fetch_bytes: i32 = "1048576", "max.partition.fetch.bytes",
            "most bytes of one partition in a fetch";
        fetch_max_wait: Duration = "500", "fetch.max.wait.ms",
            "longest wait of a fetch";
        max_poll_records: usize = "500", "max.poll.records",
            "most records of a poll";
        check_crcs: bool = "true", "check.crcs",
            "whether batches are checked against their CRC";
        request_timeout: Duration = "30000", "request.timeout.ms",
            "time after which a request is given up";
        retry_backoff: Duration = "100", "retry.backoff.ms",
            "pause before a first retry";
        retry_backoff_max: Duration = "1000", "retry.backoff.max.ms",
            "longest pause before a retry";
        reconnect_backoff: Duration = "50", "reconnect.backoff.ms",
            "pause before a first attempt to reconnect";
        reconnect_backoff_max: Duration = "1000", "reconnect.backoff.max.ms",
            "longest pause before an attempt to reconnect";
        metadata_max_age: Duration = "300000", "metadata.max.age.ms",
            "time after which metadata is asked for again";
    }
}

settings! {
    /// An administrator's settings. Source of names and defaults: Kafka's `AdminClientConfig`.
    pub struct AdminConfig {
        bootstrap_servers: Vec<String> = "", "bootstrap.servers",
            "where to ask for the cluster first, as `host:port`";
        client_id: String = "", "client.id",
            "a name that brokers log";
        request_timeout: Duration = "30000", "request.timeout.ms",
            "time after which a request is given up";
        default_api_timeout: Duration = "60000", "default.api.timeout.ms",
            "time after which an operation is given up, retries included";
        retry_backoff: Duration = "100", "retry.backoff.ms",
            "pause before a first retry";
        retry_backoff_max: Duration = "1000", "retry.backoff.max.ms",
            "longest pause before a retry";
        reconnect_backoff: Duration = "50", "reconnect.backoff.ms",
            "pause before a first attempt to reconnect";
        reconnect_backoff_max: Duration = "1000", "reconnect.backoff.max.ms",
            "longest pause before an attempt to reconnect";
    }
}
