//! Keys that can change while a node runs, for one broker or for all (KIP-226).
//!
//! A topic's own setting counts most, then that of its broker, then that of all brokers, then the file,
//! then the default.

use std::collections::BTreeMap;

use super::{ConfigError, NodeConfig};

/// Keys with an effect at run time. Source: Kafka's `DynamicBrokerConfig`.
const DYNAMIC: &[&str] = &[
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "group.consumer.assignment.interval.ms",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleaner.threads",
    "log.cleanup.policy",
    "log.flush.before.ack",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "log.segment.delete.delay.ms",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "message.max.bytes",
    "min.insync.replicas",
    "num.recovery.threads.per.data.dir",
    "producer.id.expiration.ms",
    "transaction.partition.verification.enable",
    "unclean.leader.election.enable",
];

/// Keys that Kafka changes at run time and that have no effect here at any time: they tune threads,
/// buffers, or what is not served.
const WITHOUT_EFFECT: &[&str] = &[
    "background.threads",
    "group.coordinator.cached.buffer.max.bytes",
    "group.share.assignment.interval.ms",
    "group.streams.assignment.interval.ms",
    "log.cleaner.io.buffer.size",
    "log.local.retention.bytes",
    "log.local.retention.ms",
    "log.preallocate",
    "num.io.threads",
    "num.network.threads",
    "num.replica.fetchers",
    "remote.fetch.max.wait.ms",
    "remote.list.offsets.request.timeout.ms",
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
    "share.coordinator.cached.buffer.max.bytes",
];

impl NodeConfig {
    /// Whether a key can change while a node runs.
    pub fn is_dynamic(key: &str) -> bool {
        DYNAMIC.contains(&key) || WITHOUT_EFFECT.contains(&key)
    }

    /// Sets a key while the node runs; `None` for a key that can't change then.
    pub fn set_dynamic(&mut self, key: &str, value: &str) -> Option<Result<(), ConfigError>> {
        if !Self::is_dynamic(key) {
            return None;
        }
        Some(match self.set(key, value) {
            Err(ConfigError::NoEffect { .. }) => Ok(()),
            set => set,
        })
    }

    /// These settings with others over them. A pair that this version can't read has no effect: the
    /// controller that accepted it could.
    #[must_use]
    pub fn with(&self, over: &BTreeMap<String, String>) -> Self {
        let mut config = self.clone();
        for (key, value) in over {
            let _ = config.set_dynamic(key, value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dynamic_keys_are_set_over_others() {
        let over = [("log.cleaner.threads", "3"), ("node.id", "9"), ("num.io.threads", "4")];
        let over = over.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let config = NodeConfig::default().with(&over);
        assert_eq!((config.node.log_cleaner_threads, config.node.node_id), (3, 1));
    }

    #[test]
    fn each_dynamic_key_is_known_and_accepts_its_default() {
        let mut config = NodeConfig::default();
        for key in NodeConfig::keys().filter(|key| NodeConfig::is_dynamic(key.name)) {
            assert_eq!(config.set_dynamic(key.name, key.default), Some(Ok(())), "{}", key.name);
        }
        for name in DYNAMIC {
            assert!(NodeConfig::keys().any(|key| key.name == *name), "{name}");
        }
        for name in WITHOUT_EFFECT {
            let set = config.set(name, "1000000");
            let known =
                matches!(set, Err(ConfigError::NoEffect { .. } | ConfigError::BadValue { .. }));
            assert!(known, "{name}: {set:?}");
        }
        assert_eq!(config.set_dynamic("listeners", "PLAINTEXT://:1"), None);
    }
}
