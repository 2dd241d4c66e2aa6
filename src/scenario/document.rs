//! A TOML file as sections of flat keys, each with its line, and the problems found in it.
//!
//! Kafka's dotted names nest in TOML: `min.insync.replicas` is three tables. A section undoes that,
//! so that a key is read as it was written. A reader takes the keys of a section one by one; a key
//! that is left over is unknown, and is reported with the nearest of the keys asked for.

use std::ops::Range as Span;

use toml::de::{DeTable, DeValue};

use super::value::{Notation, Range};
use crate::base::nearest;

/// Deeper nesting than any key has.
const MAX_DEPTH: usize = 16;

/// One problem of a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// Names what is wrong and the remedy.
    pub message: String,
}

/// All problems of a scenario file, shown as one `file:line: message` per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// In the order of lines; never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ScenarioError {}

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{}: {}", self.file, problem.line, problem.message)?;
        }
        Ok(())
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, line: usize, message: impl Into<String>) {
        self.0.push(Problem { line, message: message.into() });
    }

    /// Whether a problem so far suggests this instead of what the file says.
    pub(super) fn suggest(&self, what: &str) -> bool {
        let suggestion = format!("did you mean `{what}`?");
        self.0.iter().any(|problem| problem.message.ends_with(&suggestion))
    }

    /// `value` if nothing was wrong.
    pub(super) fn finish<T>(mut self, file: &str, value: T) -> Result<T, ScenarioError> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort();
        Err(ScenarioError { file: file.to_owned(), problems: self.0 })
    }
}

/// A value with its line.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

#[derive(Clone, Debug)]
enum Item {
    /// A string, number or boolean, in text; and whether it was a string.
    Scalar(String, bool),
    /// An array of such.
    List(Vec<At<String>>),
    /// Something that no key takes.
    Other(&'static str),
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    line: usize,
    item: Item,
}

/// One table of the file: `[topic]`, or one of `[[fault]]`.
#[derive(Debug)]
pub(crate) struct Section {
    /// As the file writes it: `[topic]`.
    pub(super) title: String,
    pub(super) line: usize,
    entries: Vec<Entry>,
    asked: Vec<&'static str>,
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Document {
    /// The keys before the first table.
    pub(super) top: Section,
    /// Single tables, by name.
    tables: Vec<(String, Section)>,
    /// Repeated tables, by name, in the order of the file.
    arrays: Vec<(String, Vec<Section>)>,
}

impl Document {
    pub(super) fn parse(
        text: &str,
        tables: &[&str],
        arrays: &[&str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let root = match DeTable::parse(text) {
            Ok(root) => root.into_inner(),
            Err(error) => {
                let line = line_of(text, &error.span().unwrap_or(0..0));
                problems.add(line, error.message().to_owned());
                return None;
            }
        };
        let mut document =
            Self { top: Section::empty("top-level", 1), tables: Vec::new(), arrays: Vec::new() };
        for (key, value) in &root {
            let (name, line) = (key.get_ref().as_ref(), line_of(text, &key.span()));
            match value.get_ref() {
                DeValue::Table(table) if tables.contains(&name) => {
                    let title = format!("[{name}]");
                    document.tables.push((name.into(), Section::read(text, title, line, table)));
                }
                DeValue::Array(array) if arrays.contains(&name) => {
                    let mut sections = Vec::new();
                    for element in array {
                        let line = line_of(text, &element.span());
                        match element.get_ref() {
                            DeValue::Table(table) => {
                                let title = format!("[[{name}]]");
                                sections.push(Section::read(text, title, line, table));
                            }
                            _ => problems.add(line, format!("expected `[[{name}]]` tables")),
                        }
                    }
                    document.arrays.push((name.into(), sections));
                }
                other => {
                    document.other(text, name, line, other, (tables, arrays), problems);
                }
            }
        }
        Some(document)
    }

    /// A key of the top, or a table that is unknown or of the wrong form.
    fn other(
        &mut self,
        text: &str,
        name: &str,
        line: usize,
        value: &DeValue<'_>,
        (tables, arrays): (&[&str], &[&str]),
        problems: &mut Problems,
    ) {
        let repeated = matches!(value, DeValue::Array(array)
            if array.iter().any(|element| element.get_ref().is_table()));
        if tables.contains(&name) {
            problems.add(line, format!("`{name}` is written as `[{name}]`"));
        } else if arrays.contains(&name) {
            problems.add(line, format!("`{name}` is written as `[[{name}]]`"));
        } else if repeated || value.is_table() {
            let known = tables.iter().chain(arrays).copied();
            let hint = nearest(name, known.clone()).map_or_else(
                || format!("; known are {}", quoted(known)),
                |near| {
                    let either = tables.contains(&near) && arrays.contains(&near);
                    let double = if either { repeated } else { arrays.contains(&near) };
                    let brackets = if double { ("[[", "]]") } else { ("[", "]") };
                    format!("; did you mean `{}{near}{}`?", brackets.0, brackets.1)
                },
            );
            let written = if repeated { format!("[[{name}]]") } else { format!("[{name}]") };
            problems.add(line, format!("unknown section `{written}`{hint}"));
        } else {
            self.top.flatten(text, name.to_owned(), line, value, 0);
        }
    }

    /// The table of that name, empty when the file has none.
    pub(super) fn table(&mut self, name: &str) -> Option<Section> {
        let at = self.tables.iter().position(|(table, _)| table == name)?;
        Some(self.tables.swap_remove(at).1)
    }

    /// The repeated table of that name.
    pub(super) fn array(&mut self, name: &str) -> Vec<Section> {
        let at = self.arrays.iter().position(|(array, _)| array == name);
        at.map_or_else(Vec::new, |at| self.arrays.swap_remove(at).1)
    }
}

impl Section {
    pub(super) fn empty(title: &str, line: usize) -> Self {
        Self { title: title.into(), line, entries: Vec::new(), asked: Vec::new() }
    }

    fn read(text: &str, title: String, line: usize, table: &DeTable<'_>) -> Self {
        let mut section = Self::empty(&title, line);
        for (key, value) in table {
            let line = line_of(text, &key.span());
            section.flatten(text, key.get_ref().to_string(), line, value.get_ref(), 0);
        }
        section
    }

    fn flatten(&mut self, text: &str, key: String, line: usize, value: &DeValue<'_>, depth: usize) {
        let item = match value {
            DeValue::Table(table) if depth < MAX_DEPTH && !table.is_empty() => {
                for (inner, value) in table {
                    let line = line_of(text, &inner.span());
                    let key = format!("{key}.{}", inner.get_ref());
                    self.flatten(text, key, line, value.get_ref(), depth + 1);
                }
                return;
            }
            DeValue::Array(array) => {
                let scalars = array.iter().map(|element| {
                    let line = line_of(text, &element.span());
                    scalar(element.get_ref()).map(|(value, _)| At { line, value })
                });
                scalars.collect::<Option<_>>().map_or(Item::Other("a list of tables"), Item::List)
            }
            other => scalar(other)
                .map_or(Item::Other(other.type_str()), |(text, quoted)| Item::Scalar(text, quoted)),
        };
        self.entries.push(Entry { key, line, item });
    }

    fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.asked.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// Whether the key is there, without taking it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The line of a key, if it is there.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.line)
    }

    /// Every key that was not asked for yet, with its line.
    pub(super) fn lines(&self) -> impl Iterator<Item = (String, usize)> + '_ {
        self.entries.iter().map(|entry| (entry.key.clone(), entry.line))
    }

    /// Whether entries are left that were not asked for.
    pub(super) fn has_more(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether a key is absent, or a list of nothing.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.is_none_or(|entry| matches!(&entry.item, Item::List(list) if list.is_empty()))
    }

    /// Whether a key that is missing may be meant by one that is not known.
    pub(super) fn mistypes(&self, key: &str) -> bool {
        let mut keys = self.entries.iter();
        !self.has(key) && keys.any(|entry| nearest(&entry.key, [key]).is_some())
    }

    /// A string, number or boolean, in text.
    pub(super) fn scalar(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<String>> {
        let entry = self.take(key)?;
        match entry.item {
            Item::Scalar(value, _) => Some(At { line: entry.line, value }),
            Item::List(_) => {
                problems.add(entry.line, format!("`{key}`: expected one value, found a list"));
                None
            }
            Item::Other(kind) => {
                problems.add(entry.line, format!("`{key}`: expected a value, found {kind}"));
                None
            }
        }
    }

    /// A value in its own notation.
    pub(super) fn value<T: Notation>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<T>> {
        let At { line, value: text } = self.scalar(key, problems)?;
        let read = T::read(&text);
        if read.is_none() {
            problems.add(line, format!("`{key} = {text}`: expected {}", T::EXPECTED));
        }
        read.map(|value| At { line, value })
    }

    /// A value or a range of values.
    pub(super) fn range<T: Notation + PartialOrd + Copy>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<Range<T>>> {
        let At { line, value: text } = self.scalar(key, problems)?;
        match Range::read(&text) {
            Ok(value) => Some(At { line, value }),
            Err(problem) => {
                problems.add(line, format!("`{key} = {text}`: {problem}"));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let At { line, value } = self.scalar(key, problems)?;
        let read = value.parse().ok();
        if read.is_none() {
            problems.add(line, format!("`{key} = {value}`: expected `true` or `false`"));
        }
        read
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        problems: &mut Problems,
    ) -> Option<At<T>> {
        let At { line, value: text } = self.scalar(key, problems)?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Some(At { line, value: *value }),
            None => {
                let message = unknown(
                    &format!("{} {key}", self.title),
                    &text,
                    words.iter().map(|(word, _)| *word),
                );
                problems.add(line, message);
                None
            }
        }
    }

    /// A list of words; one word alone is a list too.
    pub(super) fn list(&mut self, key: &'static str, problems: &mut Problems) -> Vec<At<String>> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        match entry.item {
            Item::List(list) => list,
            Item::Scalar(value, true) => vec![At { line: entry.line, value }],
            Item::Scalar(value, false) => {
                problems.add(
                    entry.line,
                    format!("`{key} = {value}`: expected words, such as `[\"…\"]`"),
                );
                Vec::new()
            }
            Item::Other(kind) => {
                problems.add(entry.line, format!("`{key}`: expected words, found {kind}"));
                Vec::new()
            }
        }
    }

    /// Entries that were not asked for, as pairs for Kafka's own configuration.
    pub(super) fn rest(&mut self, problems: &mut Problems) -> Vec<(String, At<String>)> {
        let mut pairs = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            let value = match entry.item {
                Item::Scalar(value, _) => value,
                Item::List(list) => {
                    list.into_iter().map(|item| item.value).collect::<Vec<_>>().join(",")
                }
                Item::Other(kind) => {
                    let message = format!("`{}`: expected a value, found {kind}", entry.key);
                    problems.add(entry.line, message);
                    continue;
                }
            };
            pairs.push((entry.key, At { line: entry.line, value }));
        }
        pairs
    }

    /// The keys asked for so far.
    pub(super) fn asked(&self) -> impl Iterator<Item = &'static str> + Clone + '_ {
        self.asked.iter().copied()
    }

    /// Reports every entry that was not asked for.
    pub(super) fn finish(mut self, problems: &mut Problems) {
        for entry in std::mem::take(&mut self.entries) {
            let message = unknown(&format!("{} key", self.title), &entry.key, self.asked());
            problems.add(entry.line, message);
        }
    }
}

/// "unknown … `x`; did you mean `y`?", or all known words when none is near.
pub(super) fn unknown<'a>(
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> String {
    let known = known.into_iter();
    match nearest(word, known.clone()) {
        Some(near) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{word}`; known are {}", quoted(known)),
    }
}

fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn scalar(value: &DeValue<'_>) -> Option<(String, bool)> {
    match value {
        DeValue::String(text) => Some((text.to_string(), true)),
        DeValue::Integer(number) if number.radix() == 10 => {
            Some((number.as_str().to_owned(), false))
        }
        DeValue::Float(number) => Some((number.as_str().to_owned(), false)),
        DeValue::Boolean(truth) => Some((truth.to_string(), false)),
        _ => None,
    }
}

/// The line on which a span begins, counted from 1.
fn line_of(text: &str, span: &Span<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
