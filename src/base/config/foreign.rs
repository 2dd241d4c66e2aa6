//! Keys of Kafka that this code does not have, each with its verdict.
//!
//! A `server.properties` that serves a Kafka broker should be readable here. A key that only tunes
//! threads, buffers or metrics changes nothing that a client was promised: it is accepted, and
//! reported as without effect. A key on which its user relies (TLS, a quota) is refused: a node must
//! not serve without it as if nothing were missing. Kafka's own default is accepted for any key.
//!
//! Each owner's file lists its keys. Source: the `ConfigDef`s of Kafka 4.3.

use super::{Bounds, ConfigError, Kind, Setting};

/// A key of Kafka that this code does not have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foreign {
    pub name: &'static str,
    /// Kafka's default, as a file would have it; empty for none.
    pub default: &'static str,
    pub kind: Kind,
    pub bounds: Bounds,
    /// What a user of this key relies on, and does not get here.
    pub relies_on: Option<&'static str>,
}

impl Foreign {
    /// The same key with its type and its bounds; without, it is a text.
    pub(super) const fn typed(self, kind: Kind, bounds: Bounds) -> Self {
        Self { kind, bounds, ..self }
    }

    /// The error for setting this key. A value that Kafka refuses is refused here too.
    pub fn refuse(&self, value: &str) -> ConfigError {
        let (key, text) = (self.name.to_owned(), value.trim());
        if text == self.default {
            return ConfigError::NoEffect { key };
        }
        let valid = has_kind(self.kind, text).and_then(|()| self.bounds.check(text));
        if let Err(problem) = valid {
            return ConfigError::BadValue { key, value: value.to_owned(), problem };
        }
        let same = self.kind == Kind::Boolean && text.eq_ignore_ascii_case(self.default);
        match self.relies_on {
            Some(thing) if !same => ConfigError::NotServed { key, thing },
            _ => ConfigError::NoEffect { key },
        }
    }
}

/// Checks that a trimmed value has this type. `Err` says what would be right.
fn has_kind(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Boolean => bool::read(text).map(drop),
        Kind::Int => i32::read(text).map(drop),
        Kind::Short => i16::read(text).map(drop),
        Kind::Long => i64::read(text).map(drop),
        Kind::Double => f64::read(text).map(drop),
        Kind::String | Kind::List | Kind::Class | Kind::Password => Ok(()),
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

/// The names in these tables.
pub(super) fn names(tables: &'static [&'static [Foreign]]) -> impl Iterator<Item = &'static str> {
    tables.iter().flat_map(|table| table.iter()).map(|row| row.name)
}

/// A key that changes nothing that a client was promised.
pub(super) const fn harmless(name: &'static str, default: &'static str) -> Foreign {
    Foreign { name, default, kind: Kind::String, bounds: Bounds::Any, relies_on: None }
}

/// A key whose user relies on something that is not served here.
pub(super) const fn relied(
    name: &'static str,
    default: &'static str,
    thing: &'static str,
) -> Foreign {
    Foreign { relies_on: Some(thing), ..harmless(name, default) }
}

pub(super) const AUTHORIZATION: &str = "authorization";
pub(super) const CONNECTION_LIMITS: &str = "a limit on new connections";
pub(super) const CONTROLLER_CLIENTS: &str = "requests to controllers";
pub(super) const CORDONED: &str = "cordoned log directories";
pub(super) const JAVA_CLASS: &str = "a Java class";
pub(super) const NO_DELETION: &str = "topics that cannot be deleted";
pub(super) const QUOTAS: &str = "quotas";
pub(super) const SASL: &str = "SASL";
pub(super) const TIERED: &str = "tiered storage";
pub(super) const TLS: &str = "TLS";
pub(super) const TLS_OR_SASL: &str = "TLS or SASL";
pub(super) const TRANSACTIONS: &str = "transactions";
pub(super) const TWO_PHASE_COMMIT: &str = "transactions in two phases";

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
        assert_eq!(verdict("delete.topic.enable", "TRUE"), no_effect("delete.topic.enable"));
    }

    #[test]
    fn value_that_kafka_refuses_is_refused_for_a_key_without_effect() {
        for (key, value) in [
            ("num.io.threads", "0"),
            ("num.network.threads", "many"),
            ("delete.topic.enable", "yes"),
            ("log.local.retention.ms", "-3"),
        ] {
            assert!(matches!(verdict(key, value), ConfigError::BadValue { .. }), "{key}={value}");
        }
        let topic = |key, value| TopicConfig::default().set(key, value).unwrap_err();
        assert!(matches!(topic("preallocate", "1"), ConfigError::BadValue { .. }));
        assert_eq!(topic("remote.storage.enable", "FALSE"), no_effect("remote.storage.enable"));
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
        let two_phases = "transaction.two.phase.commit.enable";
        assert_eq!(producer(two_phases, "true"), not_served(two_phases, TRANSACTIONS));
        assert_eq!(producer("sasl.jaas.config", "x"), not_served("sasl.jaas.config", SASL));
    }

    #[test]
    fn key_that_is_not_kafkas_stays_unknown() {
        for key in ["num.netwrk.threads", "log.cleaner.thread", "min.insync.replica"] {
            assert!(matches!(verdict(key, "1"), ConfigError::UnknownKey { .. }), "{key}");
        }
    }
}
