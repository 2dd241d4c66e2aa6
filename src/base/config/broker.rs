//! What can be set for a node, as in `server.properties`.

use std::time::Duration;

use super::{Config, ConfigError, MaxConnectionsOverrides, TopicConfig, settings};

settings! {
    /// A node's settings. Source of names and defaults: Kafka's `KRaftConfigs`, `ReplicationConfigs`,
    /// `SocketServerConfigs`, `ServerLogConfigs`.
    pub struct BrokerConfig {
        node_id: i32 = "1", "node.id",
            "this node's id";
        process_roles: Vec<String> = "broker,controller", "process.roles",
            "what this node is: `broker`, `controller` or both";
        controller_quorum_voters: Vec<String> = "", "controller.quorum.voters",
            "the controllers, as `id@host:port`; empty: this node alone";
        listeners: Vec<String> = "PLAINTEXT://127.0.0.1:9092", "listeners",
            "where this node listens, as `NAME://host:port`";
        advertised_listeners: Vec<String> = "", "advertised.listeners",
            "where clients should connect to; empty: as `listeners`";
        controller_listener_names: Vec<String> = "CONTROLLER", "controller.listener.names",
            "names of the listeners that serve the controller";
        log_dirs: Vec<String> = "/tmp/kafka-logs", "log.dirs",
            "directories for the logs";
        metadata_log_dir: String = "", "metadata.log.dir",
            "directory for the metadata log; empty: the first of `log.dirs`";
        log_dir_failure_timeout: Duration = "30000", "log.dir.failure.timeout.ms",
            "time after which a broker ends that can't tell the controller of a failed directory";
        broker_rack: String = "", "broker.rack",
            "where this node stands";
        num_partitions: i32 = "1", "num.partitions",
            "partitions of a topic that is created without a number";
        default_replication_factor: i32 = "1", "default.replication.factor",
            "copies of a topic that is created without a number";
        auto_create_topics: bool = "true", "auto.create.topics.enable",
            "whether asking for an unknown topic creates it";
        message_max_bytes: i32 = "1048588", "message.max.bytes",
            "largest record batch that is accepted";
        socket_request_max_bytes: i32 = "104857600", "socket.request.max.bytes",
            "largest request that is accepted";
        connections_max_idle: Duration = "600000", "connections.max.idle.ms",
            "idle time after which a connection is closed";
        max_connections: u32 = "2147483647", "max.connections",
            "most connections at a time, in all";
        max_connections_per_ip: u32 = "2147483647", "max.connections.per.ip",
            "most connections at a time from one address";
        max_connections_per_ip_overrides: MaxConnectionsOverrides = "", "max.connections.per.ip.overrides",
            "the same for some addresses, as `address:number`";
        replica_lag_time_max: Duration = "30000", "replica.lag.time.max.ms",
            "a follower that has not reached the leader's log end for this long is not in sync";
        replica_fetch_wait_max: Duration = "500", "replica.fetch.wait.max.ms",
            "longest wait of a follower's fetch";
        replica_fetch_min_bytes: i32 = "1", "replica.fetch.min.bytes",
            "bytes for which a follower's fetch waits";
        replica_fetch_max_bytes: i32 = "1048576", "replica.fetch.max.bytes",
            "most bytes of one partition in a follower's fetch";
        replica_fetch_response_max_bytes: i32 = "10485760", "replica.fetch.response.max.bytes",
            "most bytes of a follower's fetch";
        replica_fetch_backoff: Duration = "1000", "replica.fetch.backoff.ms",
            "pause of a follower after an error";
        replica_socket_timeout: Duration = "30000", "replica.socket.timeout.ms",
            "time after which a follower gives a fetch up";
        replica_high_watermark_checkpoint_interval: Duration = "5000", "replica.high.watermark.checkpoint.interval.ms",
            "how often high watermarks are saved";
        broker_heartbeat_interval: Duration = "2000", "broker.heartbeat.interval.ms",
            "how often a broker tells the controller that it lives";
        broker_session_timeout: Duration = "9000", "broker.session.timeout.ms",
            "silence after which the controller fences a broker";
        initial_broker_registration_timeout: Duration = "60000", "initial.broker.registration.timeout.ms",
            "time after which a broker that can't register gives up";
        controller_socket_timeout: Duration = "30000", "controller.socket.timeout.ms",
            "time after which a request to the controller is given up";
        log_flush_scheduler_interval: Option<Duration> = "9223372036854775807", "log.flush.scheduler.interval.ms",
            "how often the flusher looks for logs that are due";
        log_flush_offset_checkpoint_interval: Duration = "60000", "log.flush.offset.checkpoint.interval.ms",
            "how often recovery points are saved";
        log_flush_start_offset_checkpoint_interval: Duration = "60000", "log.flush.start.offset.checkpoint.interval.ms",
            "how often log starts are saved";
        log_retention_check_interval: Duration = "300000", "log.retention.check.interval.ms",
            "how often logs are asked for segments that are to be deleted";
        log_cleaner_enable: bool = "true", "log.cleaner.enable",
            "whether logs with cleanup.policy=compact are compacted";
        log_cleaner_threads: i32 = "1", "log.cleaner.threads",
            "logs that are compacted at a time";
        log_cleaner_backoff: Duration = "15000", "log.cleaner.backoff.ms",
            "pause of the cleaner when no log is dirty enough";
        log_cleaner_dedupe_buffer_size: i64 = "134217728", "log.cleaner.dedupe.buffer.size",
            "bytes of memory for the keys of the logs that are being compacted";
        log_cleaner_load_factor: f64 = "0.9", "log.cleaner.io.buffer.load.factor",
            "how full that memory may become";
        log_cleaner_max_bytes_per_second: f64 = "1.7976931348623157E308", "log.cleaner.io.max.bytes.per.second",
            "bytes that the cleaner may read and write per second";
        num_recovery_threads_per_data_dir: i32 = "2", "num.recovery.threads.per.data.dir",
            "logs that are recovered at a time";
        offsets_topic_replication_factor: i16 = "3", "offsets.topic.replication.factor",
            "copies of `__consumer_offsets`";
        offsets_topic_num_partitions: i32 = "50", "offsets.topic.num.partitions",
            "partitions of `__consumer_offsets`";
        transaction_state_log_replication_factor: i16 = "3", "transaction.state.log.replication.factor",
            "copies of `__transaction_state`";
        transaction_state_log_min_isr: i32 = "2", "transaction.state.log.min.isr",
            "min.insync.replicas of `__transaction_state`";
    }
}

/// The broker's name of a topic's setting, where it has one: `log.segment.bytes` for `segment.bytes`.
/// Source: Kafka's `ServerTopicConfigSynonyms`.
const TOPIC_SYNONYMS: &[(&str, &str)] = &[
    ("min.insync.replicas", "min.insync.replicas"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
    ("log.segment.bytes", "segment.bytes"),
    ("log.roll.ms", "segment.ms"),
    ("log.index.size.max.bytes", "segment.index.bytes"),
    ("log.index.interval.bytes", "index.interval.bytes"),
    ("log.flush.interval.messages", "flush.messages"),
    ("log.flush.interval.ms", "flush.ms"),
    ("log.flush.before.ack", "flush.before.ack"),
    ("compression.type", "compression.type"),
    ("compression.gzip.level", "compression.gzip.level"),
    ("compression.lz4.level", "compression.lz4.level"),
    ("compression.zstd.level", "compression.zstd.level"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.message.timestamp.before.max.ms", "message.timestamp.before.max.ms"),
    ("log.message.timestamp.after.max.ms", "message.timestamp.after.max.ms"),
    ("log.retention.ms", "retention.ms"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.roll.jitter.ms", "segment.jitter.ms"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.segment.delete.delay.ms", "file.delete.delay.ms"),
    ("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    ("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    ("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
];

impl BrokerConfig {
    /// Reads one key of `server.properties`: a node's own, or the default of a topic's.
    pub fn set_with_topic_defaults(
        &mut self,
        topics: &mut TopicConfig,
        key: &str,
        value: &str,
    ) -> Result<(), ConfigError> {
        if let Some((_, topic_key)) = TOPIC_SYNONYMS.iter().find(|(name, _)| *name == key) {
            return topics.set(topic_key, value);
        }
        if key == "message.max.bytes" {
            topics.set("max.message.bytes", value)?;
        }
        if Self::knows(key) {
            return self.set(key, value);
        }
        let known = Self::KEYS.iter().map(|k| k.name).chain(TOPIC_SYNONYMS.iter().map(|s| s.0));
        Err(ConfigError::UnknownKey {
            key: key.to_owned(),
            nearest: crate::base::nearest(key, known).map(str::to_owned),
        })
    }

    /// Whether this node is a broker.
    pub fn is_broker(&self) -> bool {
        self.process_roles.iter().any(|role| role == "broker")
    }

    /// Whether this node is a controller.
    pub fn is_controller(&self) -> bool {
        self.process_roles.iter().any(|role| role == "controller")
    }
}
