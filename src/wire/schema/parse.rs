//! Reads the table of schemas.

use super::{Family, Field, Kind, Schema, Versions};

/// What is wrong with the table, and where.
type Wrong = (usize, &'static str);

/// All schemas of a table.
pub(super) fn schemas(text: &'static str) -> Result<Vec<Schema>, Wrong> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let mut lines = lines.filter(|(_, line)| !line.starts_with('#')).peekable();
    let mut schemas = Vec::new();
    while let Some((number, line)) = lines.next() {
        let mut schema = schema(line).ok_or((number, "not the head of a schema"))?;
        schema.fields = fields(&mut lines, 2)?;
        schemas.push(schema);
    }
    Ok(schemas)
}

fn schema(line: &'static str) -> Option<Schema> {
    let mut words = line.split(' ');
    let family = words.next()?;
    let (_, family) = Family::NAMES.into_iter().find(|(name, _)| *name == family)?;
    let api_key = match words.next()? {
        "-" => None,
        key => Some(key.parse().ok()?),
    };
    let (name, valid) = (words.next()?, versions(words.next()?)?);
    let flexible = words.next().filter(|word| *word == "flexible").and(words.next())?;
    let flexible = versions(flexible)?;
    let schema = Schema { family, api_key, name, versions: valid, flexible, fields: Vec::new() };
    words.next().is_none().then_some(schema)
}

/// The fields that stand `indent` spaces from the margin, with what stands below them.
fn fields(
    lines: &mut std::iter::Peekable<impl Iterator<Item = (usize, &'static str)>>,
    indent: usize,
) -> Result<Vec<Field>, Wrong> {
    let mut fields = Vec::new();
    while let Some((number, line)) = lines.peek().copied() {
        let text = line.trim_start_matches(' ');
        if line.len() - text.len() != indent {
            break;
        }
        lines.next();
        let mut field = field(text).ok_or((number, "not a field"))?;
        if let Kind::Struct(inner) = &mut field.kind {
            *inner = self::fields(lines, indent + 2)?;
        }
        fields.push(field);
    }
    Ok(fields)
}

fn field(text: &'static str) -> Option<Field> {
    let mut words = text.split(' ');
    let (name, kind) = (words.next()?, words.next()?);
    let element = kind.trim_start_matches("[]");
    let mut field = Field {
        name,
        kind: self::kind(element)?,
        is_array: element.len() < kind.len(),
        versions: versions(words.next()?)?,
        nullable: Versions::NONE,
        tag: None,
        default: None,
    };
    while let Some(word) = words.next() {
        match word {
            "null" => field.nullable = versions(words.next()?)?,
            "tag" => field.tag = Some((words.next()?.parse().ok()?, versions(words.next()?)?)),
            "default" => field.default = Some(words.next()?),
            _ => return None,
        }
    }
    Some(field)
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "bool" => Kind::Bool,
        "int8" => Kind::Int8,
        "int16" => Kind::Int16,
        "uint16" => Kind::Uint16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float64" => Kind::Float64,
        "uuid" => Kind::Uuid,
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "struct" => Kind::Struct(Vec::new()),
        _ => return None,
    })
}

/// `3`, `0-4`, `2+` or `none`.
fn versions(word: &str) -> Option<Versions> {
    if word == "none" {
        return Some(Versions::NONE);
    }
    let (first, last) = if let Some(first) = word.strip_suffix('+') {
        (first.parse().ok()?, i16::MAX)
    } else if let Some((first, last)) = word.split_once('-') {
        (first.parse().ok()?, last.parse().ok()?)
    } else {
        let only = word.parse().ok()?;
        (only, only)
    };
    Some(Versions { first, last })
}
