//! Keys and values as text.

use bytes::Bytes;

use crate::wire::batch::Record;
use crate::wire::schema::{Family, Json, Schema};

/// How bytes without a schema are shown: Kafka's classes of `org.apache.kafka.tools.api`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    /// `StringDecoder`: UTF-8.
    #[default]
    Text,
    /// `IntegerDecoder`: four bytes.
    Integer,
    /// `LongDecoder`: eight bytes.
    Long,
}

impl Plain {
    /// By the name of Kafka's class, with its package or without.
    pub fn of_class(name: &str) -> Option<Self> {
        match name.strip_prefix("org.apache.kafka.tools.api.").unwrap_or(name) {
            "StringDecoder" => Some(Self::Text),
            "IntegerDecoder" => Some(Self::Integer),
            "LongDecoder" => Some(Self::Long),
            _ => None,
        }
    }

    fn show(self, bytes: &[u8]) -> Result<String, String> {
        let wrong = |len| format!("{} bytes are not a number of {len} bytes", bytes.len());
        match self {
            Self::Text => Ok(text(bytes)),
            Self::Integer => {
                let bytes = bytes.try_into().map_err(|_| wrong(4))?;
                Ok(i32::from_be_bytes(bytes).to_string())
            }
            Self::Long => {
                let bytes = bytes.try_into().map_err(|_| wrong(8))?;
                Ok(i64::from_be_bytes(bytes).to_string())
            }
        }
    }
}

/// Bytes as Java reads UTF-8: half of a surrogate pair is one unreadable character, not three.
fn text(mut bytes: &[u8]) -> String {
    let is_surrogate = |window: &[u8]| matches!(window, [0xed, 0xa0..=0xbf]);
    let mut text = String::new();
    while let Some(at) = bytes.windows(2).position(is_surrogate) {
        text.push_str(&String::from_utf8_lossy(&bytes[..at]));
        text.push(char::REPLACEMENT_CHARACTER);
        let is_whole = matches!(bytes.get(at + 2), Some(0x80..=0xbf));
        bytes = &bytes[at + if is_whole { 3 } else { 2 }..];
    }
    text.push_str(&String::from_utf8_lossy(bytes));
    text
}

/// How keys and values are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// By themselves.
    Plain { key: Plain, value: Plain },
    /// As records of `__consumer_offsets`.
    Offsets,
    /// As records of `__transaction_state`.
    TransactionLog,
    /// As records of `__share_group_state`.
    ShareGroupState,
    /// As records of `__cluster_metadata`.
    ClusterMetadata,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::Plain { key: Plain::default(), value: Plain::default() }
    }
}

/// A record's key and value, where they are to be shown.
type Shown = (Option<String>, Option<String>);

impl Decoder {
    /// A record's key and value. What can't be understood is said in their place, but for a number
    /// that is none.
    pub(super) fn show(self, record: &Record) -> Result<Shown, String> {
        let families = match self {
            Self::Plain { key, value } => {
                let show = |plain: Plain, bytes: &Option<Bytes>| {
                    bytes.as_ref().map(|bytes| plain.show(bytes)).transpose()
                };
                return Ok((show(key, &record.key)?, show(value, &record.value)?));
            }
            Self::ClusterMetadata => return Ok((None, Some(metadata(record)))),
            Self::Offsets => (Family::GroupKey, Family::GroupValue),
            Self::TransactionLog => (Family::TransactionKey, Family::TransactionValue),
            Self::ShareGroupState => (Family::ShareKey, Family::ShareValue),
        };
        coordinator(families, record)
    }
}

/// A record of a coordinator: the key begins with its type, the value with its version.
fn coordinator((keys, values): (Family, Family), record: &Record) -> Result<Shown, String> {
    let Some(key) = &record.key else {
        return Err(format!(
            "the record at offset {} has no key, which this decoder needs",
            record.offset
        ));
    };
    let at = record.offset;
    let failed =
        |problem: String| (Some(format!("Error at offset {at}, skipping. {problem}")), None);
    let Some((api_key, key)) = split_short(key) else {
        return Ok(failed("the key ends within its type".to_owned()));
    };
    let (Some(of_key), Some(of_value)) = (Schema::of(keys, api_key), Schema::of(values, api_key))
    else {
        let text = format!("Unknown record type {api_key} at offset {at}, skipping.");
        return Ok((Some(text), None));
    };
    let key = match of_key.read(key, 0) {
        Ok((json, _)) => format!("{{\"type\":\"{api_key}\",\"data\":{json}}}"),
        Err(error) => return Ok(failed(error.to_string())),
    };
    let Some(value) = &record.value else { return Ok((Some(key), Some("<DELETE>".to_owned()))) };
    let Some((version, value)) = split_short(value) else {
        return Ok(failed("the value ends within its version".to_owned()));
    };
    match of_value.read(value, version) {
        Ok((mut json, _)) => {
            if of_value.name() == "GroupMetadataValue" {
                show_members(&mut json);
            }
            let value = format!("{{\"version\":\"{version}\",\"data\":{json}}}");
            Ok((Some(key), Some(value)))
        }
        Err(error) => Ok(failed(error.to_string())),
    }
}

/// What members of a classic group of consumers subscribe to and have, instead of its bytes.
fn show_members(group: &mut Json) {
    if group.get("protocolType") != Some(&Json::Text("consumer".to_owned())) {
        return;
    }
    let Some(Json::Array(members)) = group.get_mut("members") else { return };
    for member in members {
        for (field, schema) in [
            ("subscription", "ConsumerProtocolSubscription"),
            ("assignment", "ConsumerProtocolAssignment"),
        ] {
            let Some(place) = member.get_mut(field) else { continue };
            let Json::Binary(bytes) = &*place else { continue };
            let Some((version, rest)) = split_short(bytes) else { continue };
            let read = Schema::named(schema).and_then(|schema| schema.read(rest, version).ok());
            if let Some((json, _)) = read {
                *place = json;
            }
        }
    }
}

/// A record of the metadata log: frame version, api key, version, then its fields (KIP-631).
fn metadata(record: &Record) -> String {
    let shown = || -> Result<String, String> {
        let bytes: &[u8] = record.value.as_deref().unwrap_or_default();
        let mut rest = bytes;
        let mut number = || unsigned_varint(&mut rest).ok_or("the value ends within its head");
        let (frame, api_key, version) = (number()?, number()?, number()?);
        if frame != 1 {
            return Err(format!("frame version {frame} is unknown"));
        }
        let schema = i16::try_from(api_key).ok();
        let schema = schema.and_then(|api_key| Schema::of(Family::Metadata, api_key));
        let schema = schema.ok_or_else(|| format!("unknown metadata record {api_key}"))?;
        let version = i16::try_from(version).unwrap_or(i16::MAX);
        let (json, len) = schema.read(rest, version).map_err(|error| error.to_string())?;
        if len < rest.len() {
            return Err(format!("{} bytes follow the record", rest.len() - len));
        }
        let name = schema.constant();
        Ok(format!("{{\"type\":\"{name}\",\"version\":{version},\"data\":{json}}}"))
    };
    shown().unwrap_or_else(|problem| format!("Error at {}, skipping. {problem}", record.offset))
}

/// What a control record says, after its own fields.
pub(super) fn control(record: &Record) -> String {
    let key = record.key.as_deref().unwrap_or_default();
    let value: &[u8] = record.value.as_deref().unwrap_or_default();
    // Version, then type.
    let kind = split_short(key).and_then(|(_, rest)| split_short(rest));
    let Some((kind, _)) = kind else { return " controlType: no key".to_owned() };
    let (label, schema) = match kind {
        0 | 1 => return end_marker(kind == 1, value),
        2 => (" LeaderChange: ", "LeaderChangeMessage"),
        3 => (" SnapshotHeader ", "SnapshotHeaderRecord"),
        4 => (" SnapshotFooter ", "SnapshotFooterRecord"),
        5 => (" KRaftVersion ", "KRaftVersionRecord"),
        6 => (" KRaftVoters ", "VotersRecord"),
        other => return format!(" controlType: UNKNOWN({other})"),
    };
    // The first field is the version of the whole.
    let version = split_short(value).map_or(0, |(version, _)| version);
    match Schema::named(schema).map(|schema| schema.read(value, version)) {
        Some(Ok((json, _))) => format!("{label}{json}"),
        Some(Err(error)) => format!("{label}{error}"),
        None => label.to_owned(),
    }
}

/// Ends a transaction: version, then epoch of the coordinator.
fn end_marker(commit: bool, value: &[u8]) -> String {
    let kind = if commit { "COMMIT" } else { "ABORT" };
    match split_short(value).and_then(|(_, rest)| rest.first_chunk::<4>()) {
        Some(epoch) => {
            let epoch = i32::from_be_bytes(*epoch);
            format!(" endTxnMarker: {kind} coordinatorEpoch: {epoch}")
        }
        None => format!(" endTxnMarker: {kind} without an epoch"),
    }
}

fn split_short(bytes: &[u8]) -> Option<(i16, &[u8])> {
    let (short, rest) = bytes.split_first_chunk()?;
    Some((i16::from_be_bytes(*short), rest))
}

fn unsigned_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_shown_as_java_shows_them() {
        assert_eq!(text("a dozen é".as_bytes()), "a dozen é");
        assert_eq!(text(b"a\xed\xa0\x80b\xed\xbf\xbf"), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(b"\xed\xa0b\xed\xbf"), "\u{fffd}b\u{fffd}");
        assert_eq!(text(b"\xed\x9f\xbf\xff"), "\u{d7ff}\u{fffd}");
        assert_eq!(Plain::Long.show(&[0, 0, 0, 0, 0, 0, 1, 0]), Ok("256".to_owned()));
        assert!(Plain::Integer.show(&[1]).is_err());
        assert_eq!(Plain::of_class("org.apache.kafka.tools.api.LongDecoder"), Some(Plain::Long));
        assert_eq!(Plain::of_class("com.example.Mine"), None);
    }
}
