//! How a table of settings is declared, read and written.

use super::bounds::INT;
use super::foreign::{self, Foreign};
use super::{Bounds, ConfigError, Kind};
use crate::base::{mistyped, nearest};

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    /// The default, as a file would have it.
    pub default: &'static str,
    pub kind: Kind,
    /// The values that are accepted, beyond what the type can read.
    pub bounds: Bounds,
    /// What the key means, in one sentence.
    pub about: &'static str,
}

/// The type of a key with these bounds: milliseconds are an INT where the bounds say so.
pub(super) const fn kind_within(kind: Kind, bounds: Bounds) -> Kind {
    match (kind, bounds) {
        (Kind::Long, Bounds::Between(_, INT)) => Kind::Int,
        _ => kind,
    }
}

/// A struct of settings that is read and written by Kafka's names.
pub trait Config: Default {
    /// All keys, in the order of declaration.
    const KEYS: &'static [Key];
    /// Kafka's other keys of this owner, with their verdicts.
    const FOREIGN: &'static [&'static [Foreign]];

    /// Sets one key.
    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError>;

    /// Returns the value of one key, as a file would have it.
    fn get(&self, key: &str) -> Option<String>;

    /// Whether the key belongs to this struct.
    fn knows(key: &str) -> bool {
        Self::KEYS.iter().any(|known| known.name == key)
    }

    /// The error for a key that this struct does not have.
    fn refusal(key: &str, value: &str) -> ConfigError {
        foreign::refusal(Self::FOREIGN, key, value).unwrap_or_else(|| Self::unknown(key))
    }

    /// The error for an unknown key, with the nearest one that this struct has.
    fn unknown(key: &str) -> ConfigError {
        let known = Self::KEYS.iter().map(|known| known.name);
        ConfigError::UnknownKey {
            key: key.to_owned(),
            nearest: nearest(key, known).map(str::to_owned),
        }
    }

    /// The key of Kafka's that an unknown key is probably a mistyping of.
    fn mistyped(key: &str) -> Option<&'static str> {
        let own = Self::KEYS.iter().map(|known| known.name);
        mistyped(key, own.chain(foreign::names(Self::FOREIGN)))
    }

    /// Sets all pairs, in order.
    fn set_all<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ConfigError> {
        pairs.into_iter().try_for_each(|(key, value)| self.set(key, value))
    }
}

/// Declares a struct of settings, one row per key:
/// `field: Type = "default", "kafka.name", bounds, "meaning";`, and names the tables of Kafka's other
/// keys of that owner.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        pub struct $name:ident, foreign $foreign:tt {
            $($field:ident: $type:ty = $default:literal, $key:literal, $bounds:expr, $about:literal;)*
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
                    $($field: <$type as $crate::base::config::Setting>::default_of($default)
                        .unwrap_or_else(|problem| panic!("default of {}: {problem}", $key)),)*
                }
            }
        }

        impl $crate::base::config::Config for $name {
            const KEYS: &'static [$crate::base::config::Key] = &[
                $($crate::base::config::Key {
                    name: $key,
                    default: $default,
                    kind: $crate::base::config::table::kind_within(
                        <$type as $crate::base::config::Setting>::KIND,
                        $bounds,
                    ),
                    bounds: $bounds,
                    about: $about,
                },)*
            ];
            const FOREIGN: &'static [&'static [$crate::base::config::Foreign]] = &$foreign;

            fn set(&mut self, key: &str, value: &str) -> Result<(), $crate::base::config::ConfigError> {
                let text = value.trim();
                let read = match key {
                    $($key => <$type as $crate::base::config::Setting>::read(text)
                        .and_then(|read| $bounds.check(text).map(|()| self.$field = read)),)*
                    _ => return Err(Self::refusal(key, value)),
                };
                read.map_err(|problem| $crate::base::config::ConfigError::BadValue {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    problem,
                })
            }

            fn get(&self, key: &str) -> Option<String> {
                // Some values are written in several ways: a default as Kafka writes it.
                match key {
                    $($key => {
                        let default = <$type as $crate::base::config::Setting>::read($default);
                        if default.as_ref() == Ok(&self.$field) {
                            return Some($default.to_owned());
                        }
                        Some($crate::base::config::Setting::show(&self.$field))
                    })*
                    _ => None,
                }
            }
        }
    };
}
pub(super) use settings;
