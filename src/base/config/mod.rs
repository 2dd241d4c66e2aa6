//! Kafka's configuration: its keys, defaults, bounds and units, as typed structs.
//!
//! There is one table per owner, each in its own file: `broker` (a node by itself), `topic`,
//! `group`, `txn`, `quorum` and `security` compose a [`NodeConfig`]; `own_group` has those of one
//! group, `client` those of clients. `dynamic` has the keys that can change while a node runs.
//! A key is declared once, with its field, its type, its default as Kafka writes it, its bounds and
//! its meaning; `foreign` judges the keys that this code does not have. Every table reads
//! `key=value` pairs from a file, a scenario or a builder alike. An error names the key and the
//! remedy.

mod bounds;
mod broker;
mod client;
mod dynamic;
mod foreign;
mod group;
mod iso;
mod kind;
mod node;
mod own_group;
mod partitioner;
mod properties;
mod protocol;
mod quorum;
mod security;
mod selector;
mod server;
mod setting;
mod storage;
mod table;
mod topic;
mod txn;

pub use bounds::Bounds;
pub use broker::BrokerConfig;
pub use client::{AdminConfig, ConsumerConfig, ProducerConfig};
pub use foreign::Foreign;
pub use group::GroupConfig;
pub use kind::Kind;
pub use node::{Given, NodeConfig};
pub use own_group::OwnGroupConfig;
pub use partitioner::PartitionerChoice;
pub use properties::parse_properties;
pub use protocol::GroupProtocol;
pub use quorum::QuorumConfig;
pub use security::{Protocols, SecurityConfig};
pub use selector::ReplicaSelector;
pub use server::{Purpose, ServerProperties};
pub use setting::{
    Acks, CleanupPolicy, Compression, Explicit, MaxConnectionsOverrides, MigrationPolicy,
    OffsetReset, Setting,
};
pub use storage::{GzipLevel, Lz4Level, TimestampType, TopicCompression, ZstdLevel};
use table::settings;
pub use table::{Config, Key};
pub use topic::TopicConfig;
pub use txn::TxnConfig;

/// An error in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such key.
    #[error("unknown key `{key}`{}", hint(.nearest.as_deref()))]
    UnknownKey {
        key: String,
        /// The known key that was probably meant.
        nearest: Option<String>,
    },
    /// The key is known, its value can't be used.
    #[error("`{key}={value}`: {problem}")]
    BadValue {
        key: String,
        value: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Kafka has this key, and its user relies on something that is not here.
    #[error("`{key}` asks for {thing}: not supported here yet; remove it to do without")]
    NotServed { key: String, thing: &'static str },
    /// Kafka has this key; here it changes nothing that a client was promised.
    #[error("`{key}` has no effect here; remove it")]
    NoEffect { key: String },
    /// A `\u` that is not a character.
    #[error("line {line}: `{text}` has a `\\u` that four hexadecimal digits do not follow")]
    BadEscape {
        /// Counted from 1.
        line: usize,
        text: String,
    },
    /// Something is wrong at a known line of a file.
    #[error("line {line}: {error}")]
    AtLine {
        /// Counted from 1.
        line: usize,
        error: Box<ConfigError>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

impl ConfigError {
    /// The same error about the pair as its file has it.
    fn written_as(self, key: &str, value: &str) -> Self {
        match self {
            Self::BadValue { problem, .. } => {
                Self::BadValue { key: key.to_owned(), value: value.to_owned(), problem }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod kafka_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts_its_defaults<C: Config + PartialEq + std::fmt::Debug>() {
        for key in C::KEYS {
            let mut config = C::default();
            config.set(key.name, key.default).unwrap();
            assert_eq!(config, C::default(), "{}", key.name);
            assert_eq!(config.get(key.name).as_deref(), Some(key.default), "{}", key.name);
        }
    }

    #[test]
    fn defaults_are_accepted_and_written_as_kafka_does() {
        accepts_its_defaults::<BrokerConfig>();
        accepts_its_defaults::<TopicConfig>();
        accepts_its_defaults::<GroupConfig>();
        accepts_its_defaults::<TxnConfig>();
        accepts_its_defaults::<QuorumConfig>();
        accepts_its_defaults::<SecurityConfig>();
        accepts_its_defaults::<ProducerConfig>();
        accepts_its_defaults::<ConsumerConfig>();
        accepts_its_defaults::<AdminConfig>();
    }

    #[test]
    fn unknown_key_names_the_nearest_known_one() {
        let error = TopicConfig::default().set("min.insync.replica", "2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown key `min.insync.replica`; did you mean `min.insync.replicas`?"
        );
    }

    #[test]
    fn value_of_the_wrong_shape_says_what_would_be_right() {
        let error = TopicConfig::default().set("min.insync.replicas", "two").unwrap_err();
        assert!(error.to_string().starts_with("`min.insync.replicas=two`: "), "{error}");
        assert!(ProducerConfig::default().set("acks", "2").is_err());
        assert!(TopicConfig::default().set("cleanup.policy", "compacted").is_err());
        assert!(TopicConfig::default().set("min.cleanable.dirty.ratio", "inf").is_err());
    }

    #[test]
    fn value_outside_of_its_bounds_leaves_the_setting_as_it_was() {
        let mut config = TopicConfig::default();
        config.set("min.insync.replicas", "3").unwrap();
        let error = config.set("min.insync.replicas", "0").unwrap_err();
        assert_eq!(error.to_string(), "`min.insync.replicas=0`: expected at least 1");
        assert_eq!(config.min_insync_replicas, 3);
        let error = config.set("segment.bytes", "1000").unwrap_err();
        assert_eq!(error.to_string(), "`segment.bytes=1000`: expected at least 1048576");
        assert!(config.set("flush.ms", "-1").is_err());
        let mut consumer = ConsumerConfig::default();
        assert_eq!(
            consumer.set("max.poll.records", "0").unwrap_err().to_string(),
            "`max.poll.records=0`: expected 1 to 2147483647"
        );
    }

    #[test]
    fn key_that_kafka_has_and_this_code_does_not_is_not_called_unknown() {
        let refused = |key| ConsumerConfig::default().set(key, "shop").unwrap_err().to_string();
        assert_eq!(
            refused("interceptor.classes"),
            "`interceptor.classes` asks for a Java class: not supported here yet; remove it to do without"
        );
        assert_eq!(
            refused("share.acquire.mode"),
            "`share.acquire.mode` has no effect here; remove it"
        );
        assert!(refused("group.ids").starts_with("unknown key `group.ids`"));
    }

    #[test]
    fn empty_cleanup_policy_keeps_all_records() {
        let mut config = TopicConfig::default();
        config.set("cleanup.policy", "").unwrap();
        assert_eq!(config.cleanup_policy, CleanupPolicy { compact: false, delete: false });
        assert_eq!(config.get("cleanup.policy").as_deref(), Some(""));
    }
}
