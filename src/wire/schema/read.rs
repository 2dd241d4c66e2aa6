//! Reads bytes by a schema. Memory is bounded by the bytes there are, whatever they claim.

use super::{Field, Json, Kind, Schema};
use crate::base::TopicId;

/// Why bytes are not what a schema says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A version that is not in the schema.
    #[error("{name} has no version {version}")]
    Version { name: &'static str, version: i16 },
    /// The bytes end early, or contradict themselves.
    #[error("{name} at byte {at}: {problem}")]
    Malformed { name: &'static str, at: usize, problem: &'static str },
}

type Read<T> = Result<T, &'static str>;

impl Schema {
    /// Reads a record of this version; returns how many bytes it took, too.
    pub fn read(&self, bytes: &[u8], version: i16) -> Result<(Json, usize), SchemaError> {
        if !self.versions.contains(version) {
            return Err(SchemaError::Version { name: self.name, version });
        }
        let flexible = self.flexible.contains(version);
        let mut reader = Reader { bytes, at: 0, version, flexible };
        match reader.fields(&self.fields) {
            Ok(json) => Ok((json, reader.at)),
            Err(problem) => Err(SchemaError::Malformed { name: self.name, at: reader.at, problem }),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let taken = &self.bytes[self.at..end.ok_or("the bytes end within a field")?];
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn unsigned_varint(&mut self) -> Read<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number does not end")
    }

    /// A struct's fields, with the tagged ones behind them.
    fn fields(&mut self, fields: &[Field]) -> Read<Json> {
        let mut values: Vec<(&'static str, Option<Json>)> = Vec::with_capacity(fields.len());
        for field in fields {
            let here = field.versions.contains(self.version) && !self.is_tagged(field);
            values.push((field.name, if here { Some(self.field(field)?) } else { None }));
        }
        if self.flexible {
            self.tags(fields, &mut values)?;
        }
        let there = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Ok(Json::Object(there.collect()))
    }

    fn is_tagged(&self, field: &Field) -> bool {
        field.tag.is_some_and(|(_, versions)| versions.contains(self.version))
    }

    /// Tagged fields that differ from their default; what is not known is passed over.
    fn tags(&mut self, fields: &[Field], values: &mut [(&'static str, Option<Json>)]) -> Read<()> {
        for _ in 0..self.unsigned_varint()? {
            let (tag, len) = (self.unsigned_varint()?, self.unsigned_varint()?);
            let content = self.take(len as usize)?;
            let known = fields.iter().position(|field| {
                self.is_tagged(field) && field.tag.is_some_and(|(number, _)| number == tag)
            });
            let Some(known) = known else { continue };
            let (version, flexible) = (self.version, self.flexible);
            let mut inner = Reader { bytes: content, at: 0, version, flexible };
            let value = inner.tagged(&fields[known])?;
            values[known].1 = Some(value).filter(|value| !fields[known].is_default(value));
        }
        Ok(())
    }

    /// As [`Reader::field`], but for a struct that may be null, which says so in another way.
    fn tagged(&mut self, field: &Field) -> Read<Json> {
        match &field.kind {
            Kind::Struct(fields) if !field.is_array && field.nullable.contains(self.version) => {
                if self.unsigned_varint()? == 0 {
                    Ok(Json::Null)
                } else {
                    self.fields(fields)
                }
            }
            _ => self.field(field),
        }
    }

    fn field(&mut self, field: &Field) -> Read<Json> {
        let nullable = field.nullable.contains(self.version);
        if !field.is_array {
            return self.value(&field.kind, nullable);
        }
        let Some(count) = self.length(nullable, 4)? else { return Ok(Json::Null) };
        // No element is shorter than a byte.
        if count > self.bytes.len() - self.at {
            return Err("an array counts more elements than there are bytes");
        }
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(&field.kind, false)?);
        }
        Ok(Json::Array(values))
    }

    /// The length of a string (`width` 2), of bytes or of an array (4); `None` is null.
    fn length(&mut self, nullable: bool, width: usize) -> Read<Option<usize>> {
        let length = if self.flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else if width == 2 {
            i64::from(i16::from_be_bytes(self.array()?))
        } else {
            i64::from(i32::from_be_bytes(self.array()?))
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if nullable => Ok(None),
            Err(_) => Err("a field is null that must not be"),
        }
    }

    fn value(&mut self, kind: &Kind, nullable: bool) -> Read<Json> {
        Ok(match kind {
            Kind::Bool => Json::Bool(self.array::<1>()? != [0]),
            Kind::Int8 => Json::Int(i8::from_be_bytes(self.array()?).into()),
            Kind::Int16 => Json::Int(i16::from_be_bytes(self.array()?).into()),
            Kind::Uint16 => Json::Int(u16::from_be_bytes(self.array()?).into()),
            Kind::Int32 => Json::Int(i32::from_be_bytes(self.array()?).into()),
            Kind::Int64 => Json::Int(i64::from_be_bytes(self.array()?)),
            Kind::Float64 => Json::Double(f64::from_be_bytes(self.array()?)),
            Kind::Uuid => Json::Text(TopicId(self.array()?).to_string()),
            Kind::String => match self.length(nullable, 2)? {
                Some(len) => Json::Text(String::from_utf8_lossy(self.take(len)?).into_owned()),
                None => Json::Null,
            },
            Kind::Bytes => match self.length(nullable, 4)? {
                Some(len) => Json::Binary(self.take(len)?.to_vec()),
                None => Json::Null,
            },
            Kind::Struct(_) if nullable && i8::from_be_bytes(self.array()?) < 0 => Json::Null,
            Kind::Struct(fields) => self.fields(fields)?,
        })
    }
}

impl Field {
    fn is_default(&self, value: &Json) -> bool {
        match (value, self.default) {
            (Json::Null, default) => default == Some("null"),
            (Json::Int(value), default) => default.unwrap_or("0").parse() == Ok(*value),
            (Json::Bool(value), default) => default.unwrap_or("false").parse() == Ok(*value),
            (Json::Double(value), default) => default.unwrap_or("0").parse() == Ok(*value),
            (Json::Array(values), default) => default.is_none() && values.is_empty(),
            (Json::Binary(bytes), default) => default.is_none() && bytes.is_empty(),
            (Json::Text(text), None) if matches!(self.kind, Kind::Uuid) => {
                *text == TopicId::ZERO.to_string()
            }
            (Json::Text(text), default) => default.unwrap_or_default() == text,
            (Json::Object(values), _) => {
                let Kind::Struct(fields) = &self.kind else { return false };
                values.iter().all(|(name, value)| {
                    fields.iter().any(|field| field.name == *name && field.is_default(value))
                })
            }
        }
    }
}
