//! Operations on single settings. Source: Kafka's `AlterConfigOp`.

use std::collections::{BTreeMap, BTreeSet};

use super::LONGEST_VALUE;
use crate::controller::refusal::{Refusal, refusal};
use crate::wire::ErrorCode;

pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// The name of a setting, what is to be done to it, and the value for that.
pub type Change<'a> = (&'a str, i8, Option<&'a str>);

/// What is to be done to one setting.
pub(super) enum Operation<'a> {
    Set(&'a str),
    Delete,
    /// To a list.
    Append(&'a str),
    /// From a list.
    Subtract(&'a str),
}

/// Resources that a request names more than once.
pub(super) fn repeated<'a>(
    resources: impl Iterator<Item = (i8, &'a str)>,
) -> BTreeSet<(i8, &'a str)> {
    let mut seen = BTreeSet::new();
    resources.filter(|resource| !seen.insert(*resource)).collect()
}

/// Reads the operations on one resource: name, operation and value of each.
pub(super) fn operations<'a>(
    configs: &[Change<'a>],
) -> Result<Vec<(&'a str, Operation<'a>)>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut operations = Vec::with_capacity(configs.len());
    for (name, code, value) in configs {
        if !seen.insert(*name) {
            return refusal(ErrorCode::InvalidRequest, "Error due to duplicate config keys");
        }
        let operation = match (*code, value) {
            (DELETE, _) => Operation::Delete,
            (SET, Some(value)) => Operation::Set(value),
            (APPEND, Some(value)) => Operation::Append(value),
            (SUBTRACT, Some(value)) => Operation::Subtract(value),
            (SET | APPEND | SUBTRACT, None) => {
                let text = format!("Null value not supported for : {name}");
                return refusal(ErrorCode::InvalidRequest, text);
            }
            (code, _) => {
                let text = format!("Unknown operation type {code} for {name}");
                return refusal(ErrorCode::InvalidRequest, text);
            }
        };
        operations.push((*name, operation));
    }
    Ok(operations)
}

impl Operation<'_> {
    /// Applies the operation to the settings of a resource. `inherited` is the value of a list that
    /// the resource does not set itself, and `None` for a key that is not a list.
    pub(super) fn apply(
        &self,
        settings: &mut BTreeMap<String, String>,
        key: &str,
        inherited: impl FnOnce() -> Option<String>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Set(value) => {
                settings.insert(key.to_owned(), (*value).to_owned());
            }
            Self::Delete => {
                settings.remove(key);
            }
            Self::Append(value) | Self::Subtract(value) => {
                let appends = matches!(self, Self::Append(_));
                let Some(inherited) = inherited() else {
                    let verb = if appends { "APPEND" } else { "SUBTRACT" };
                    let text = format!("Can't {verb} to key {key} because its type is not LIST.");
                    return refusal(ErrorCode::InvalidConfig, text);
                };
                let present = settings.get(key).unwrap_or(&inherited);
                settings.insert(key.to_owned(), merged(present, value, appends));
            }
        }
        if settings.get(key).is_some_and(|value| value.len() > LONGEST_VALUE) {
            return refusal(ErrorCode::InvalidConfig, format!("The value of {key} is too long."));
        }
        Ok(())
    }
}

/// A list with entries added or removed. As in Kafka, entries are what is between commas, spaces and all,
/// and an entry that is removed is removed once. Commas at the end of `value` add no entries, as Java's
/// `split` drops them; a value that is empty is one empty entry.
fn merged(present: &str, value: &str, appends: bool) -> String {
    let mut list: Vec<&str> = present.split(',').filter(|entry| !entry.is_empty()).collect();
    let entries = value.trim_end_matches(',');
    let nothing = entries.is_empty() && !value.is_empty();
    for entry in entries.split(',').filter(|_| !nothing) {
        let at = list.iter().position(|known| *known == entry);
        match at {
            None if appends => list.push(entry),
            Some(at) if !appends => drop(list.remove(at)),
            _ => {}
        }
    }
    list.join(",")
}
