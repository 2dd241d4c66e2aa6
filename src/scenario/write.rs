//! Writes a scenario with its schedule spelled out: a file that anyone can read, edit and run.

use super::fault::Kind;
use super::writer::Writer;
use super::{Expect, Fault, Moment, Plan, Scenario, Topic};
use crate::txn::TRANSACTION_VERSION;

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
        if self.cluster.racks > 0 {
            out.plain("racks", self.cluster.racks);
        }
        out.keys(&self.written.cluster);
        // After other keys that begin as it does: a table keeps them together.
        if let Some(level) = self.cluster.transaction_version {
            out.plain(TRANSACTION_VERSION, level);
        }
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
        for link in &self.links {
            out.title("[[link]]");
            link.write(&mut out);
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
