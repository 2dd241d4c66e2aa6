//! Decodes records of internal topics (metadata, coordinators, quorum control records) to JSON by
//! their schemas, as Kafka's own tools print them. For tools only: the broker has its own types.

mod json;
mod parse;
mod read;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

pub use json::Json;
pub use read::SchemaError;

/// What every schema looks like.
static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    // A test reads every line of it.
    parse::schemas(include_str!("records.txt")).unwrap_or_default()
});

/// Which family of records a schema belongs to. Api keys are unique within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Values of the metadata log.
    Metadata,
    /// Keys in `__consumer_offsets`.
    GroupKey,
    /// Values in `__consumer_offsets`.
    GroupValue,
    /// Keys in `__transaction_state`.
    TransactionKey,
    /// Values in `__transaction_state`.
    TransactionValue,
    /// Keys in `__share_group_state`.
    ShareKey,
    /// Values in `__share_group_state`.
    ShareValue,
    /// Has no api key, and is found by its name.
    Data,
}

impl Family {
    const NAMES: [(&'static str, Self); 8] = [
        ("metadata", Self::Metadata),
        ("group-key", Self::GroupKey),
        ("group-value", Self::GroupValue),
        ("transaction-key", Self::TransactionKey),
        ("transaction-value", Self::TransactionValue),
        ("share-key", Self::ShareKey),
        ("share-value", Self::ShareValue),
        ("data", Self::Data),
    ];
}

/// What a kind of record is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    family: Family,
    api_key: Option<i16>,
    name: &'static str,
    versions: Versions,
    flexible: Versions,
    fields: Vec<Field>,
}

/// A range of versions, which may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Versions {
    first: i16,
    last: i16,
}

impl Versions {
    const NONE: Self = Self { first: 0, last: -1 };

    fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: &'static str,
    kind: Kind,
    is_array: bool,
    versions: Versions,
    nullable: Versions,
    tag: Option<(u32, Versions)>,
    default: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Struct(Vec<Field>),
}

impl Schema {
    /// The schema of a kind of record.
    pub fn of(family: Family, api_key: i16) -> Option<&'static Self> {
        SCHEMAS.iter().find(|s| s.family == family && s.api_key == Some(api_key))
    }

    /// The schema of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCHEMAS.iter().find(|schema| schema.name == name)
    }

    /// Kafka's name of it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Kafka's name of it as a constant: `NO_OP_RECORD` for `NoOpRecord`.
    pub fn constant(&self) -> String {
        let mut constant = String::new();
        for letter in self.name.chars() {
            if letter.is_uppercase() && !constant.is_empty() {
                constant.push('_');
            }
            constant.extend(letter.to_uppercase());
        }
        constant
    }
}
