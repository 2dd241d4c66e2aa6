//! Writes a scenario with its schedule spelled out: a file that anyone can read, edit and run.

use std::fmt::{Display, Write};

use super::{Expect, Moment, Notation, Range, Roles, Scenario, Topic};
use super::{Fault, Plan};

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

    fn comment(&mut self, line: &str) {
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

impl Scenario {
    /// The scenario as a file, with the faults and client counts of `plan` in the place of what
    /// they were drawn from. It sets no key that this scenario's own file did not.
    pub fn to_toml(&self, plan: &Plan) -> String {
        let mut out = Writer::default();
        self.story.lines().for_each(|line| out.comment(line));
        out.text("name", &self.name);
        out.value("duration", &self.duration);
        if let Some(seed) = self.seed {
            out.plain("seed", seed);
        }
        out.title("[cluster]");
        out.plain("brokers", self.cluster.brokers);
        out.plain("controllers", self.cluster.controllers);
        out.keys(&self.written.cluster);
        for topic in &self.topics {
            out.title(if self.topics.len() > 1 { "[[topic]]" } else { "[topic]" });
            topic.write(&mut out);
        }
        if !self.written.disk.is_empty() {
            out.title("[disk]");
        }
        for (key, value) in &self.written.disk {
            out.plain(key, value);
        }
        for (load, clients) in self.loads.iter().zip(&plan.clients) {
            load.write(*clients, self.topics.len() > 1, &mut out);
        }
        plan.faults.iter().for_each(|fault| fault.write(&mut out));
        self.expect.write(&mut out);
        out.finish()
    }
}

impl Topic {
    fn write(&self, out: &mut Writer) {
        out.text("name", &self.name);
        out.plain("partitions", self.partitions);
        out.plain("replication.factor", self.replication_factor);
        if self.keys > 0 {
            out.plain("keys", self.keys);
        }
        out.keys(&self.config);
    }
}

impl Fault {
    /// As one `[[schedule]]` table.
    pub fn to_toml(&self) -> String {
        let mut out = Writer::default();
        self.write(&mut out);
        out.finish()
    }

    fn write(&self, out: &mut Writer) {
        out.title("[[schedule]]");
        out.value("at", &self.at);
        out.text("kind", self.action.kind());
        self.action.write(out);
        if let Some(topic) = &self.topic {
            out.text("topic", topic);
        }
        out.plain("partition", self.partition);
        if let Some(down) = &self.down {
            out.value("down", down);
        }
        if self.settled {
            out.text("when", "settled");
        }
        if let Some(Moment { event, delay }) = &self.moment {
            let (key, word) = event.words();
            out.text(key, word);
            out.value("delay", delay);
        }
        out.plain("pick", self.pick);
    }
}

impl Expect {
    fn write(&self, out: &mut Writer) {
        out.title("[expect]");
        for (key, names) in
            [("holds", &self.holds), ("breaks", &self.breaks), ("allows", &self.allows)]
        {
            if !names.is_empty() {
                out.list(key, names);
            }
        }
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
