//! Kafka's configuration: its keys, defaults and units, as typed structs.
//!
//! Every struct here reads `key=value` pairs from a file, a scenario or a builder alike. A key is
//! declared once, with its field, its default as Kafka writes it and its meaning; an unknown key
//! or a value of the wrong shape is an error that names the place and the remedy.

mod broker;
mod client;
mod foreign;
mod properties;
mod server;
mod setting;
mod storage;
mod topic;

pub use broker::BrokerConfig;
pub use client::{AdminConfig, ConsumerConfig, ProducerConfig};
pub use foreign::{Foreign, foreign};
pub use properties::parse_properties;
pub use server::{Purpose, ServerProperties};
pub use setting::{
    Acks, CleanupPolicy, Compression, MaxConnectionsOverrides, OffsetReset, Setting,
};
pub use storage::{GzipLevel, Lz4Level, TimestampType, TopicCompression, ZstdLevel};
pub use topic::TopicConfig;

use crate::base::nearest;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such key.
    #[error("unknown key `{key}`{}", hint(.nearest.as_deref()))]
    UnknownKey {
        /// As it was written.
        key: String,
        /// The known key that was probably meant.
        nearest: Option<String>,
    },
    /// The key is known, its value can't be used.
    #[error("`{key}={value}`: {problem}")]
    BadValue {
        /// Which key.
        key: String,
        /// As it was written.
        value: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Kafka has this key, and whoever sets it relies on something that is not here.
    #[error("`{key}` asks for {thing}, which is not served here; remove the line to do without")]
    NotServed {
        /// Which key.
        key: String,
        /// What it asks for.
        thing: &'static str,
    },
    /// A line that is no `key=value`.
    #[error("line {line}: `{text}` is not `key=value`")]
    NotAPair {
        /// Counted from 1.
        line: usize,
        /// As it was written.
        text: String,
    },
    /// Something is wrong at a known line of a file.
    #[error("line {line}: {error}")]
    AtLine {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        error: Box<ConfigError>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

/// One key as a person may look it up.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// As it would be written in a file.
    pub default: &'static str,
    /// What it means, in one sentence.
    pub about: &'static str,
}

/// A struct of settings that can be read and written by Kafka's names.
pub trait Config: Default {
    /// Every key, in the order of declaration.
    const KEYS: &'static [Key];

    /// Sets one key.
    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError>;

    /// Reads one key, as it would be written in a file.
    fn get(&self, key: &str) -> Option<String>;

    /// Whether the key belongs to this struct.
    fn knows(key: &str) -> bool {
        Self::KEYS.iter().any(|known| known.name == key)
    }

    /// The error for a key that no struct knows, with the nearest of those that this one does.
    fn unknown(key: &str) -> ConfigError {
        let known = Self::KEYS.iter().map(|known| known.name);
        ConfigError::UnknownKey {
            key: key.to_owned(),
            nearest: nearest(key, known).map(str::to_owned),
        }
    }

    /// Sets every pair, in order.
    fn set_all<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ConfigError> {
        pairs.into_iter().try_for_each(|(key, value)| self.set(key, value))
    }
}

/// Declares a struct of settings: `field: Type = "default", "kafka.name", "meaning";`.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($field:ident: $type:ty = $default:literal, $key:literal, $about:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`: ", $about)] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: <$type as $crate::base::config::Setting>::read($default)
                        .unwrap_or_else(|problem| panic!("default of {}: {problem}", $key)),)*
                }
            }
        }

        impl $crate::base::config::Config for $name {
            const KEYS: &'static [$crate::base::config::Key] = &[
                $($crate::base::config::Key { name: $key, default: $default, about: $about },)*
            ];

            fn set(&mut self, key: &str, value: &str) -> Result<(), $crate::base::config::ConfigError> {
                match key {
                    $($key => {
                        self.$field = <$type as $crate::base::config::Setting>::read(value.trim())
                            .map_err(|problem| $crate::base::config::ConfigError::BadValue {
                                key: key.to_owned(),
                                value: value.to_owned(),
                                problem,
                            })?;
                        Ok(())
                    })*
                    _ => Err(Self::unknown(key)),
                }
            }

            fn get(&self, key: &str) -> Option<String> {
                match key {
                    $($key => Some($crate::base::config::Setting::show(&self.$field)),)*
                    _ => None,
                }
            }
        }
    };
}
use settings;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_one_that_its_own_key_accepts() {
        for key in BrokerConfig::KEYS {
            BrokerConfig::default().set(key.name, key.default).unwrap();
        }
        for key in TopicConfig::KEYS {
            TopicConfig::default().set(key.name, key.default).unwrap();
        }
        for key in ProducerConfig::KEYS {
            ProducerConfig::default().set(key.name, key.default).unwrap();
        }
        for key in ConsumerConfig::KEYS {
            ConsumerConfig::default().set(key.name, key.default).unwrap();
        }
        for key in AdminConfig::KEYS {
            AdminConfig::default().set(key.name, key.default).unwrap();
        }
    }

    #[test]
    fn an_unknown_key_names_the_one_that_was_meant() {
        let error = TopicConfig::default().set("min.insync.replica", "2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown key `min.insync.replica`; did you mean `min.insync.replicas`?"
        );
    }

    #[test]
    fn a_value_of_the_wrong_shape_says_what_would_be_right() {
        let error = TopicConfig::default().set("min.insync.replicas", "two").unwrap_err();
        assert!(error.to_string().starts_with("`min.insync.replicas=two`: "), "{error}");
        assert!(ProducerConfig::default().set("acks", "2").is_err());
        assert!(TopicConfig::default().set("cleanup.policy", "compacted").is_err());
        assert!(TopicConfig::default().set("min.cleanable.dirty.ratio", "inf").is_err());
    }
}
