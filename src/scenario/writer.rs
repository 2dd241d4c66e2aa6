//! Writes sections and keys of a scenario file so that they can be read again.

use std::fmt::{Display, Write};

use super::role::Roles;
use super::value::{Notation, Range};

/// The text of a scenario file, line by line.
#[derive(Debug, Default)]
pub(crate) struct Writer(String);

impl Writer {
    /// `[cluster]`, `[[fault]]`, ….
    pub(super) fn title(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "{gap}{title}");
    }

    /// A line of a comment.
    pub(super) fn comment(&mut self, line: &str) {
        self.0.push_str(format!("# {line}").trim_end());
        self.0.push('\n');
    }

    /// A number or a boolean.
    pub(super) fn plain(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    /// A string.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.plain(key, quote(value));
    }

    /// A value in its own notation.
    pub(super) fn value(&mut self, key: &str, value: &impl Notation) {
        self.text(key, &value.show());
    }

    /// A value or a range of values; a whole number is written without quotes.
    pub(super) fn range<T: Notation + PartialEq>(&mut self, key: &str, range: &Range<T>) {
        let text = range.to_string();
        match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => self.plain(key, text),
            false => self.text(key, &text),
        }
    }

    /// A list of strings.
    pub(super) fn list(&mut self, key: &str, items: impl IntoIterator<Item = impl AsRef<str>>) {
        let items: Vec<_> = items.into_iter().map(|item| quote(item.as_ref())).collect();
        self.plain(key, format!("[{}]", items.join(", ")));
    }

    /// One role or several.
    pub(super) fn roles(&mut self, key: &str, roles: &Roles) {
        self.plain(key, roles.to_toml());
    }

    /// Kafka's keys.
    pub(super) fn keys(&mut self, pairs: &[(String, String)]) {
        for (key, value) in pairs {
            self.text(key, value);
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
