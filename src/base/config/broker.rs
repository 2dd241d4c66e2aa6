//! The settings of a node by itself: identity, listeners, replication, directories, cleaner.

use std::time::Duration;

use super::bounds::Bounds::{Any, AtLeast, Between, NotEmpty, Words};
use super::bounds::INT;
use super::foreign::{
    CONNECTION_LIMITS, CORDONED, Foreign, JAVA_CLASS, NO_DELETION, QUOTAS, TIERED, harmless, relied,
};
use super::{Bounds, Kind, MaxConnectionsOverrides, ReplicaSelector, settings};
use crate::base::Listener;

settings! {
    /// The settings of a node by itself. Source: Kafka's `KRaftConfigs`, `ReplicationConfigs`,
    /// `SocketServerConfigs`, `ServerLogConfigs` and `CleanerConfig`.
    pub struct BrokerConfig, foreign [FOREIGN] {
        node_id: i32 = "1", "node.id", AtLeast(0),
            "The id of this node, unique in the cluster";
        process_roles: Vec<String> = "broker,controller", "process.roles", Words(&["broker", "controller"]),
            "The roles of this node: `broker`, `controller` or both";
        listeners: Vec<Listener> = "PLAINTEXT://127.0.0.1:9092", "listeners", NotEmpty,
            "The addresses on which this node listens, as `NAME://host:port`";
        advertised_listeners: Vec<Listener> = "", "advertised.listeners", Any,
            "The addresses to which clients connect, as `NAME://host:port`; empty: those of `listeners`";
        inter_broker_listener_name: String = "", "inter.broker.listener.name", Any,
            "The listener at which brokers reach each other; empty: `PLAINTEXT`, or else the first";
        log_dirs: Vec<String> = "/tmp/kafka-logs", "log.dirs", NotEmpty,
            "The directories that hold the logs";
        log_dir_failure_timeout: Duration = "30000", "log.dir.failure.timeout.ms", AtLeast(1),
            "A broker shuts down if it cannot report a failed directory to the controller within this time";
        broker_rack: String = "", "broker.rack", Any,
            "The rack of this broker, for the placement of replicas and for consumers with a `client.rack`";
        replica_selector: ReplicaSelector = "", "replica.selector.class", Any,
            "From which replica consumers read (KIP-392): the leader, or with \
             `org.apache.kafka.common.replica.RackAwareReplicaSelector` one in their rack";
        num_partitions: i32 = "1", "num.partitions", AtLeast(1),
            "The number of partitions of a topic that is created without one";
        default_replication_factor: i32 = "1", "default.replication.factor", Any,
            "The replication factor of a topic that is created without one";
        auto_create_topics: bool = "true", "auto.create.topics.enable", Any,
            "Whether a metadata request for an unknown topic creates it";
        socket_request_max_bytes: i32 = "104857600", "socket.request.max.bytes", AtLeast(1),
            "The largest request that a connection accepts";
        connections_max_idle: Duration = "600000", "connections.max.idle.ms", Any,
            "A connection is closed after this time without a request";
        max_connections: u32 = "2147483647", "max.connections", Between(0, INT),
            "The most connections at a time";
        max_connections_per_ip: u32 = "2147483647", "max.connections.per.ip", Between(0, INT),
            "The most connections at a time from one address";
        max_connections_per_ip_overrides: MaxConnectionsOverrides = "",
            "max.connections.per.ip.overrides", Any,
            "The most connections at a time from some addresses, as `address:number`";
        fetch_max_bytes: i32 = "57671680", "fetch.max.bytes", AtLeast(1024),
            "The most bytes in a consumer's fetch; a larger first batch is sent whole";
        max_request_partition_size_limit: i32 = "2000", "max.request.partition.size.limit", AtLeast(1),
            "The most partitions in one answer to DescribeTopicPartitions";
        fetch_session_slots: u32 = "1000", "max.incremental.fetch.session.cache.slots", Between(0, INT),
            "The most incremental fetch sessions that the broker keeps";
        replica_lag_time_max: Duration = "30000", "replica.lag.time.max.ms", Any,
            "A follower that has not reached the leader's log end for this time leaves the ISR";
        replica_fetch_wait_max: Duration = "500", "replica.fetch.wait.max.ms", Between(0, INT),
            "The longest time that a leader holds a follower's fetch back";
        replica_fetch_min_bytes: i32 = "1", "replica.fetch.min.bytes", Any,
            "A leader holds a follower's fetch back until it has this many bytes";
        replica_fetch_max_bytes: i32 = "1048576", "replica.fetch.max.bytes", AtLeast(0),
            "The most bytes of one partition in a follower's fetch; a larger first batch is sent whole";
        replica_fetch_response_max_bytes: i32 = "10485760", "replica.fetch.response.max.bytes", AtLeast(0),
            "The most bytes in a follower's fetch; a larger first batch is sent whole";
        replica_fetch_backoff: Duration = "1000", "replica.fetch.backoff.ms", Between(0, INT),
            "A follower waits this long after a failed fetch";
        replica_socket_timeout: Duration = "30000", "replica.socket.timeout.ms", Between(0, INT),
            "A follower gives a fetch up after this time";
        replica_high_watermark_checkpoint_interval: Duration = "5000", "replica.high.watermark.checkpoint.interval.ms", Any,
            "The time between two checkpoints of the high watermarks";
        broker_heartbeat_interval: Duration = "2000", "broker.heartbeat.interval.ms", Between(0, INT),
            "The time between two heartbeats of a broker to the controller";
        broker_session_timeout: Duration = "9000", "broker.session.timeout.ms", Between(0, INT),
            "The controller fences a broker after this time without a heartbeat";
        auto_leader_rebalance: bool = "true", "auto.leader.rebalance.enable", Any,
            "Whether the controller elects preferred leaders again from time to time";
        leader_imbalance_check_interval_seconds: i64 = "300", "leader.imbalance.check.interval.seconds", AtLeast(1),
            "The time between two searches for partitions that another than their preferred leader leads";
        unclean_leader_election_interval: Duration = "300000", "unclean.leader.election.interval.ms", AtLeast(1),
            "The time between two searches for partitions without a leader whose topic permits an unclean election";
        initial_broker_registration_timeout: Duration = "60000", "initial.broker.registration.timeout.ms", Between(0, INT),
            "A broker that cannot register within this time shuts down";
        controller_socket_timeout: Duration = "30000", "controller.socket.timeout.ms", Between(0, INT),
            "A request to the controller is given up after this time";
        log_flush_scheduler_interval: Option<Duration> = "9223372036854775807", "log.flush.scheduler.interval.ms", Any,
            "The time between two searches for logs to flush by `log.flush.interval.ms`";
        log_flush_offset_checkpoint_interval: Duration = "60000", "log.flush.offset.checkpoint.interval.ms", Between(0, INT),
            "The time between two checkpoints of the recovery points";
        log_flush_start_offset_checkpoint_interval: Duration = "60000", "log.flush.start.offset.checkpoint.interval.ms", Between(0, INT),
            "The time between two checkpoints of the log start offsets";
        log_retention_check_interval: Duration = "300000", "log.retention.check.interval.ms", AtLeast(1),
            "The time between two searches for segments to delete";
        log_cleaner_enable: bool = "true", "log.cleaner.enable", Any,
            "Whether logs with `cleanup.policy=compact` are compacted";
        log_cleaner_threads: i32 = "1", "log.cleaner.threads", AtLeast(0),
            "The number of logs that are compacted at the same time";
        log_cleaner_backoff: Duration = "15000", "log.cleaner.backoff.ms", AtLeast(0),
            "A cleaner waits this long when no log is dirty enough";
        log_cleaner_dedupe_buffer_size: i64 = "134217728", "log.cleaner.dedupe.buffer.size", Any,
            "The bytes of memory that all cleaners together have for keys";
        log_cleaner_load_factor: f64 = "0.9", "log.cleaner.io.buffer.load.factor", Any,
            "The share of that memory that is filled before a round of cleaning begins";
        log_cleaner_max_bytes_per_second: f64 = "1.7976931348623157E308", "log.cleaner.io.max.bytes.per.second", Any,
            "The most bytes that all cleaners together read and write in a second";
        num_recovery_threads_per_data_dir: i32 = "2", "num.recovery.threads.per.data.dir", AtLeast(1),
            "The number of logs of one directory that are recovered at the same time";
    }
}

impl BrokerConfig {
    /// Whether this node is a broker.
    pub fn is_broker(&self) -> bool {
        self.process_roles.iter().any(|role| role == "broker")
    }

    /// Whether this node is a controller.
    pub fn is_controller(&self) -> bool {
        self.process_roles.iter().any(|role| role == "controller")
    }
}

/// Keys of Kafka that have no effect on this node.
pub(super) const FOREIGN: &[Foreign] = &[
    relied("remote.log.storage.system.enable", "false", TIERED).typed(Kind::Boolean, Bounds::Any),
    harmless("remote.log.storage.manager.impl.prefix", "rsm.config."),
    harmless("remote.log.metadata.manager.impl.prefix", "rlmm.config."),
    harmless("remote.log.storage.manager.class.name", ""),
    harmless("remote.log.storage.manager.class.path", ""),
    harmless(
        "remote.log.metadata.manager.class.name",
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
    ),
    harmless("remote.log.metadata.manager.class.path", ""),
    harmless("remote.log.metadata.manager.listener.name", ""),
    harmless("remote.log.metadata.custom.metadata.max.bytes", "128")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("remote.log.index.file.cache.total.size.bytes", "1073741824")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("remote.log.index.file.cache.ttl.ms", "900000").typed(Kind::Long, Bounds::AtLeast(-1)),
    harmless("remote.log.manager.thread.pool.size", "2").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.manager.copier.thread.pool.size", "10")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.manager.expiration.thread.pool.size", "10")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.manager.follower.thread.pool.size", "2")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.manager.task.interval.ms", "30000").typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("remote.log.manager.task.retry.backoff.ms", "500")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("remote.log.manager.task.retry.backoff.max.ms", "30000")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("remote.log.manager.task.retry.jitter", "0.2")
        .typed(Kind::Double, Bounds::Share(0.0, 0.5)),
    harmless("remote.log.reader.threads", "10").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.reader.max.pending.tasks", "100").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("log.local.retention.ms", "-2").typed(Kind::Long, Bounds::AtLeast(-2)),
    harmless("log.local.retention.bytes", "-2").typed(Kind::Long, Bounds::AtLeast(-2)),
    harmless("remote.log.manager.copy.max.bytes.per.second", "9223372036854775807")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("remote.log.manager.copy.quota.window.num", "11").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.manager.copy.quota.window.size.seconds", "1")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.manager.fetch.max.bytes.per.second", "9223372036854775807")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("remote.log.manager.fetch.quota.window.num", "11")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.log.manager.fetch.quota.window.size.seconds", "1")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.fetch.max.wait.ms", "500").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("remote.list.offsets.request.timeout.ms", "30000")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("num.io.threads", "8").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("num.replica.alter.log.dirs.threads", "").typed(Kind::Int, Bounds::Any),
    harmless("background.threads", "10").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("request.timeout.ms", "30000").typed(Kind::Int, Bounds::Any),
    harmless("socket.connection.setup.timeout.ms", "10000").typed(Kind::Long, Bounds::Any),
    harmless("socket.connection.setup.timeout.max.ms", "30000").typed(Kind::Long, Bounds::Any),
    relied("config.providers", "", JAVA_CLASS).typed(Kind::List, Bounds::Any),
    harmless("early.start.listeners", "").typed(Kind::List, Bounds::Any),
    harmless("controlled.shutdown.enable", "true").typed(Kind::Boolean, Bounds::Any),
    relied("delete.topic.enable", "true", NO_DELETION).typed(Kind::Boolean, Bounds::Any),
    harmless("unstable.api.versions.enable", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("unstable.feature.versions.enable", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("server.max.startup.time.ms", "9223372036854775807")
        .typed(Kind::Long, Bounds::AtLeast(0)),
    harmless("socket.send.buffer.bytes", "102400").typed(Kind::Int, Bounds::Any),
    harmless("socket.receive.buffer.bytes", "102400").typed(Kind::Int, Bounds::Any),
    harmless("socket.listen.backlog.size", "50").typed(Kind::Int, Bounds::AtLeast(1)),
    relied("max.connection.creation.rate", "2147483647", CONNECTION_LIMITS)
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("queued.max.requests", "500").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("queued.max.request.bytes", "-1").typed(Kind::Long, Bounds::Any),
    harmless("num.network.threads", "3").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("replica.socket.receive.buffer.bytes", "65536").typed(Kind::Int, Bounds::Any),
    harmless("num.replica.fetchers", "1").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("fetch.purgatory.purge.interval.requests", "1000").typed(Kind::Int, Bounds::Any),
    harmless("producer.purgatory.purge.interval.requests", "1000").typed(Kind::Int, Bounds::Any),
    harmless("delete.records.purgatory.purge.interval.requests", "1").typed(Kind::Int, Bounds::Any),
    harmless("follower.fetch.last.tiered.offset.enable", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("log.cleaner.io.buffer.size", "524288").typed(Kind::Int, Bounds::AtLeast(0)),
    relied("cordoned.log.dirs", "", CORDONED).typed(Kind::List, Bounds::Any),
    harmless("log.preallocate", "false").typed(Kind::Boolean, Bounds::Any),
    relied("create.topic.policy.class.name", "", JAVA_CLASS).typed(Kind::Class, Bounds::Any),
    relied("alter.config.policy.class.name", "", JAVA_CLASS).typed(Kind::Class, Bounds::Any),
    harmless("log.initial.task.delay.ms", "30000").typed(Kind::Long, Bounds::AtLeast(0)),
    harmless("metrics.num.samples", "2").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("metrics.sample.window.ms", "30000").typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter")
        .typed(Kind::List, Bounds::Any),
    harmless("metrics.recording.level", "INFO"),
    harmless("kafka.metrics.reporters", "").typed(Kind::List, Bounds::Any),
    harmless("kafka.metrics.polling.interval.secs", "10").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("telemetry.max.bytes", "1048576").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("quota.window.num", "11").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("replication.quota.window.num", "11").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("alter.log.dirs.replication.quota.window.num", "11")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("controller.quota.window.num", "11").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("quota.window.size.seconds", "1").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("replication.quota.window.size.seconds", "1").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("alter.log.dirs.replication.quota.window.size.seconds", "1")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("controller.quota.window.size.seconds", "1").typed(Kind::Int, Bounds::AtLeast(1)),
    relied("client.quota.callback.class", "", QUOTAS).typed(Kind::Class, Bounds::Any),
];
