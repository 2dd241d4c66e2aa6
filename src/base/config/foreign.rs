//! Keys of Kafka that this code does not have, each with its verdict.
//!
//! A `server.properties` that serves a Kafka broker should be readable here. A key that only tunes
//! threads, buffers or metrics changes nothing that a client was promised: it is accepted, and
//! reported as without effect. A key on which its user relies (TLS, a quota) is refused: a node must
//! not serve without it as if nothing were missing. Kafka's own default is accepted for any key.
//!
//! Each owner's file lists its keys. Source: the `ConfigDef`s of Kafka 4.3.

use super::ConfigError;

/// A key of Kafka that this code does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub name: &'static str,
    /// Kafka's default, as a file would have it; empty for none.
    pub default: &'static str,
    /// What a user of this key relies on, and does not get here.
    pub relies_on: Option<&'static str>,
}

impl Foreign {
    /// The error for setting this key.
    pub fn refuse(&self, value: &str) -> ConfigError {
        let key = self.name.to_owned();
        match self.relies_on {
            Some(thing) if value.trim() != self.default => ConfigError::NotServed { key, thing },
            _ => ConfigError::NoEffect { key },
        }
    }
}

/// Families of keys whose names a user completes, and what they rely on.
const OPEN: &[(&str, Option<&str>)] = &[
    ("listener.name.", Some(TLS_OR_SASL)),
    ("config.providers.", Some(JAVA_CLASS)),
    ("rsm.config.", None),
    ("rlmm.config.", None),
];

/// The verdict on a key that a table does not have: an error, or `None` if the key is not Kafka's.
pub(super) fn refusal(tables: &[&[Foreign]], key: &str, value: &str) -> Option<ConfigError> {
    if let Some(known) = tables.iter().flat_map(|table| table.iter()).find(|row| row.name == key) {
        return Some(known.refuse(value));
    }
    let (_, relies_on) = OPEN.iter().find(|(family, _)| key.starts_with(family))?;
    let key = key.to_owned();
    Some(match relies_on {
        Some(thing) => ConfigError::NotServed { key, thing },
        None => ConfigError::NoEffect { key },
    })
}

/// A key that changes nothing that a client was promised.
pub(super) const fn harmless(name: &'static str, default: &'static str) -> Foreign {
    Foreign { name, default, relies_on: None }
}

/// A key whose user relies on something that is not served here.
pub(super) const fn relied(
    name: &'static str,
    default: &'static str,
    thing: &'static str,
) -> Foreign {
    Foreign { name, default, relies_on: Some(thing) }
}

pub(super) const AUTHORIZATION: &str = "authorization";
pub(super) const CONNECTION_LIMITS: &str = "a limit on new connections";
pub(super) const CONTROLLER_CLIENTS: &str = "requests to controllers";
pub(super) const CORDONED: &str = "cordoned log directories";
pub(super) const GROUPS: &str = "consumer groups";
pub(super) const JAVA_CLASS: &str = "a Java class";
pub(super) const NEAREST_REPLICA: &str = "fetching from the nearest replica";
pub(super) const NO_DELETION: &str = "topics that cannot be deleted";
pub(super) const PRODUCER_EXPIRATION: &str = "another expiration of idle producers than one day";
pub(super) const QUOTAS: &str = "quotas";
pub(super) const SASL: &str = "SASL";
pub(super) const TIERED: &str = "tiered storage";
pub(super) const TLS: &str = "TLS";
pub(super) const TLS_OR_SASL: &str = "TLS or SASL";
pub(super) const TRANSACTIONS: &str = "transactions";

#[cfg(test)]
mod tests {
    use super::super::{Config, NodeConfig, ProducerConfig, TopicConfig};
    use super::*;

    fn verdict(key: &str, value: &str) -> ConfigError {
        NodeConfig::default().set(key, value).unwrap_err()
    }

    fn not_served(key: &str, thing: &'static str) -> ConfigError {
        ConfigError::NotServed { key: key.into(), thing }
    }

    fn no_effect(key: &str) -> ConfigError {
        ConfigError::NoEffect { key: key.into() }
    }

    #[test]
    fn key_that_users_rely_on_is_refused() {
        for (key, value, thing) in [
            ("ssl.keystore.location", "/etc/keys", TLS),
            ("remote.log.storage.system.enable", "true", TIERED),
            ("authorizer.class.name", "Standard", AUTHORIZATION),
            ("delete.topic.enable", "false", NO_DELETION),
            ("listener.name.external.ssl.keystore.location", "/etc/keys", TLS_OR_SASL),
        ] {
            assert_eq!(verdict(key, value), not_served(key, thing));
        }
    }

    #[test]
    fn key_that_only_tunes_has_no_effect() {
        for key in ["num.network.threads", "socket.send.buffer.bytes", "metric.reporters"] {
            assert_eq!(verdict(key, "7"), no_effect(key));
        }
    }

    #[test]
    fn default_of_kafka_is_accepted_for_a_key_that_users_rely_on() {
        assert_eq!(verdict("delete.topic.enable", " true "), no_effect("delete.topic.enable"));
        assert_eq!(verdict("authorizer.class.name", ""), no_effect("authorizer.class.name"));
        assert_eq!(verdict("ssl.client.auth", "none"), no_effect("ssl.client.auth"));
    }

    #[test]
    fn topics_and_clients_have_verdicts_of_their_own() {
        let topic = |key, value| TopicConfig::default().set(key, value).unwrap_err();
        assert_eq!(topic("preallocate", "true"), no_effect("preallocate"));
        assert_eq!(
            topic("remote.storage.enable", "true"),
            not_served("remote.storage.enable", TIERED)
        );
        let producer = |key, value| ProducerConfig::default().set(key, value).unwrap_err();
        assert_eq!(producer("transactional.id", "t"), not_served("transactional.id", TRANSACTIONS));
        assert_eq!(producer("sasl.jaas.config", "x"), not_served("sasl.jaas.config", SASL));
    }

    #[test]
    fn key_that_is_not_kafkas_stays_unknown() {
        for key in ["num.netwrk.threads", "log.cleaner.thread", "min.insync.replica"] {
            assert!(matches!(verdict(key, "1"), ConfigError::UnknownKey { .. }), "{key}");
        }
    }
}
