//! The types of values that a key can have, and how each is written.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Kind;
use super::iso::{read_iso, show_iso};
use crate::base::Listener;

/// A value as Kafka's files write it.
pub trait Setting: Sized {
    /// Kafka's type of such a key.
    const KIND: Kind;
    /// Reads a trimmed value; the error says what would be right.
    fn read(text: &str) -> Result<Self, String>;
    /// Writes the value so that `read` returns it.
    fn show(&self) -> String;
    /// Reads a default.
    fn default_of(text: &str) -> Result<Self, String> {
        Self::read(text)
    }
}

macro_rules! numbers {
    ($($type:ty = $kind:ident),*) => {$(
        impl Setting for $type {
            const KIND: Kind = Kind::$kind;

            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| {
                    format!("expected a whole number from {} to {}", Self::MIN, Self::MAX)
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
numbers!(i16 = Short, i32 = Int, i64 = Long, u16 = Int, u32 = Int, u64 = Long, usize = Long);

impl Setting for bool {
    const KIND: Kind = Kind::Boolean;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Ok(true),
            _ if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("expected `true` or `false`".into()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// A number with a fraction, never infinite.
impl Setting for f64 {
    const KIND: Kind = Kind::Double;

    fn read(text: &str) -> Result<Self, String> {
        // Java takes these suffixes of a literal.
        let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
        let number = digits.parse().ok().filter(|number: &Self| number.is_finite());
        number.ok_or_else(|| "expected a number".into())
    }

    /// As Java writes it: `0.5`, `1.7976931348623157E308`.
    fn show(&self) -> String {
        format!("{self:?}").replace('e', "E")
    }
}

/// Comma-separated words.
impl Setting for Vec<String> {
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect())
    }

    fn show(&self) -> String {
        self.join(",")
    }
}

/// Listeners, separated by commas.
impl Setting for Vec<Listener> {
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Result<Self, String> {
        let listeners = text.split(',').map(str::trim).filter(|listener| !listener.is_empty());
        listeners.map(str::parse).collect()
    }

    fn show(&self) -> String {
        self.iter().map(Listener::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Limits of some addresses, as `address:number`, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaxConnectionsOverrides(BTreeMap<String, u32>);

impl MaxConnectionsOverrides {
    /// The limit of an address that has one of its own.
    pub fn of(&self, host: &str) -> Option<u32> {
        self.0.get(host).copied()
    }

    /// Whether no address has a limit of its own.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Setting for MaxConnectionsOverrides {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| {
            let wrong = || format!("`{pair}` is not `address:number`");
            let (host, max) = pair.rsplit_once(':').ok_or_else(wrong)?;
            Ok((host.trim().to_owned(), max.trim().parse().map_err(|_| wrong())?))
        };
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        pairs.map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn show(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(host, max)| format!("{host}:{max}")).collect();
        pairs.join(",")
    }
}

/// Whole milliseconds, as every `.ms` key of Kafka.
impl Setting for Duration {
    const KIND: Kind = Kind::Long;

    fn read(text: &str) -> Result<Self, String> {
        let millis: i64 = text.parse().map_err(|_| "expected whole milliseconds".to_owned())?;
        u64::try_from(millis)
            .map(Self::from_millis)
            .map_err(|_| "expected milliseconds, zero or more".into())
    }

    fn show(&self) -> String {
        self.as_millis().to_string()
    }
}

/// A limit that may be absent: `-1` and Kafka's `Long.MAX_VALUE` mean "none".
impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "-1" | "9223372036854775807" => Ok(None),
            _ => T::read(text).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "-1".into(), T::show)
    }
}

/// A value, and whether it was set: Kafka's clients refuse what contradicts a value that was set,
/// and adapt a default. Equal where the values are.
#[derive(Clone, Copy, Debug)]
pub struct Explicit<T> {
    /// What was set, or else the default.
    pub value: T,
    /// Whether it was set, even to its default.
    pub set: bool,
}

impl<T: PartialEq> PartialEq for Explicit<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Setting> Setting for Explicit<T> {
    const KIND: Kind = T::KIND;

    fn read(text: &str) -> Result<Self, String> {
        T::read(text).map(|value| Self { value, set: true })
    }

    fn show(&self) -> String {
        self.value.show()
    }

    fn default_of(text: &str) -> Result<Self, String> {
        T::read(text).map(|value| Self { value, set: false })
    }
}

/// How many replicas have to store a record before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// `acks=0`: none; there is no response either.
    None,
    /// `acks=1`: the leader's log, which may be no more than its page cache.
    Leader,
    /// `acks=all`: every in-sync replica's log.
    All,
}

impl Acks {
    /// As on the wire.
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl Setting for Acks {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "0" => Ok(Self::None),
            "1" => Ok(Self::Leader),
            "all" | "-1" => Ok(Self::All),
            _ => Err("expected `0`, `1` or `all`".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::None => "0",
            Self::Leader => "1",
            Self::All => "all",
        }
        .into()
    }
}

/// How a topic's old records are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Of each key only the latest record stays.
    pub compact: bool,
    /// Segments are deleted by age and size.
    pub delete: bool,
}

impl Setting for CleanupPolicy {
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Result<Self, String> {
        let mut policy = Self { compact: false, delete: false };
        if text.is_empty() {
            return Ok(policy);
        }
        for word in text.split(',').map(str::trim) {
            match word {
                "compact" => policy.compact = true,
                "delete" => policy.delete = true,
                _ => return Err("expected `delete`, `compact` or `compact,delete`".into()),
            }
        }
        Ok(policy)
    }

    fn show(&self) -> String {
        match (self.compact, self.delete) {
            (true, true) => "compact,delete",
            (true, false) => "compact",
            (false, true) => "delete",
            (false, false) => "",
        }
        .into()
    }
}

/// A codec for record batches; the number is its code in a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Compression {
    /// Records as they are.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Raw blocks, or framed as Java's xerial library does.
    Snappy = 2,
    /// LZ4 frames with independent 64 KiB blocks.
    Lz4 = 3,
    /// RFC 8878 (KIP-110).
    Zstd = 4,
}

impl Compression {
    /// Every codec, by code.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Kafka's name of the codec.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Setting for Compression {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|codec| codec.name() == text);
        found.ok_or_else(|| "expected `none`, `gzip`, `snappy`, `lz4` or `zstd`".into())
    }

    fn show(&self) -> String {
        self.name().into()
    }
}

/// Where a consumer begins when it has no position, or one that no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// The oldest record that is kept.
    Earliest,
    /// After the newest.
    Latest,
    /// With an error.
    None,
    /// The first record that is at least as young as this (KIP-1106).
    ByDuration(Duration),
}

/// The name of [`OffsetReset::ByDuration`], before its duration.
const BY_DURATION: &str = "by_duration:";

impl Setting for OffsetReset {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            "none" => Ok(Self::None),
            _ => {
                let duration = text.strip_prefix(BY_DURATION).and_then(read_iso);
                duration.map(Self::ByDuration).ok_or_else(|| {
                    "expected `earliest`, `latest`, `none`, or `by_duration:` and a duration such \
                     as `P1DT2H3M4.5S`"
                        .into()
                })
            }
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::None => "none",
            Self::ByDuration(duration) => return format!("{BY_DURATION}{}", show_iso(*duration)),
        }
        .into()
    }
}

/// Whether a group may change between the classic and the consumer protocol while it has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Only an empty group changes.
    Disabled,
    /// From the classic to the consumer protocol.
    Upgrade,
    /// From the consumer to the classic protocol.
    Downgrade,
    /// In both directions.
    Bidirectional,
}

impl MigrationPolicy {
    /// Whether a classic group becomes a consumer group when a consumer member joins it.
    pub const fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a consumer group becomes a classic group when its last consumer member leaves it.
    pub const fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

impl Setting for MigrationPolicy {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "disabled" => Ok(Self::Disabled),
            "upgrade" => Ok(Self::Upgrade),
            "downgrade" => Ok(Self::Downgrade),
            "bidirectional" => Ok(Self::Bidirectional),
            _ => Err("expected `disabled`, `upgrade`, `downgrade` or `bidirectional`".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Disabled => "disabled",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Bidirectional => "bidirectional",
        }
        .into()
    }
}
