//! Writes a scenario with its schedule spelled out: a file that anyone can read, edit and run.

use std::fmt::Write;

use super::disk::{CORRUPTIONS, ERRORS, PLACES, show_survival};
use super::{Action, Expect, Moment, Notation, Roles, Scenario, Work};
use super::{Fault, Plan};

impl Scenario {
    /// The scenario as a file, with the faults and client counts of `plan` in the place of what
    /// they were drawn from. It sets no key that this scenario's own file did not.
    pub fn to_toml(&self, plan: &Plan) -> String {
        let mut text = String::new();
        for line in self.story.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        push(&mut text, "name", &quote(&self.name));
        push(&mut text, "duration", &quote(&self.duration.show()));
        if let Some(seed) = self.seed {
            push(&mut text, "seed", &seed.to_string());
        }
        text.push_str("\n[cluster]\n");
        push(&mut text, "brokers", &self.cluster.brokers.to_string());
        push(&mut text, "controllers", &self.cluster.controllers.to_string());
        keys(&mut text, &self.written.cluster);
        text.push_str("\n[topic]\n");
        push(&mut text, "name", &quote(&self.topic.name));
        push(&mut text, "partitions", &self.topic.partitions.to_string());
        push(&mut text, "replication.factor", &self.topic.replication_factor.to_string());
        if self.topic.keys > 0 {
            push(&mut text, "keys", &self.topic.keys.to_string());
        }
        keys(&mut text, &self.written.topic);
        if !self.written.disk.is_empty() {
            text.push_str("\n[disk]\n");
        }
        for (key, value) in &self.written.disk {
            push(&mut text, key, &value.to_string());
        }
        for (load, clients) in self.loads.iter().zip(&plan.clients) {
            text.push_str("\n[[load]]\n");
            match &load.work {
                Work::Produce { rate, begins, records, record_size, .. } => {
                    push(&mut text, "kind", "\"producer\"");
                    push(&mut text, "clients", &clients.to_string());
                    push(&mut text, "rate", &quote(&rate.show()));
                    if !begins.is_zero() {
                        push(&mut text, "begins", &quote(&begins.show()));
                    }
                    if let Some(records) = records {
                        push(&mut text, "records", &records.to_string());
                    }
                    push(&mut text, "record.size", &quote(&record_size.to_string()));
                }
                Work::Consume { .. } => {
                    push(&mut text, "kind", "\"consumer\"");
                    push(&mut text, "clients", &clients.to_string());
                }
            }
            keys(&mut text, &load.written);
        }
        for fault in &plan.faults {
            text.push('\n');
            text.push_str(&fault.to_toml());
        }
        text.push_str(&expect(&self.expect));
        text
    }
}

impl Fault {
    /// As one `[[schedule]]` table.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("[[schedule]]\n");
        push(&mut text, "at", &quote(&self.at.show()));
        push(&mut text, "kind", &quote(self.action.kind()));
        self.action.write(&mut text);
        push(&mut text, "partition", &self.partition.to_string());
        if let Some(down) = self.down {
            push(&mut text, "down", &quote(&down.show()));
        }
        if self.settled {
            push(&mut text, "when", "\"settled\"");
        }
        if let Some(Moment { event, delay }) = self.moment {
            let (key, word) = event.words();
            push(&mut text, key, &quote(word));
            push(&mut text, "delay", &quote(&delay.show()));
        }
        push(&mut text, "pick", &self.pick.to_string());
        text
    }
}

impl Action {
    /// As in `kind = "…"`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::PowerLoss { .. } => "power-loss",
            Self::Pause { .. } => "pause",
            Self::Partition { .. } => "partition",
            Self::Restart { .. } => "restart",
            Self::RollingRestart => "rolling-restart",
            Self::RestartStorm { .. } => "restart-storm",
            Self::Flapping { .. } => "flapping",
            Self::SwizzleClog { .. } => "swizzle-clog",
            Self::SlowLink { .. } => "slow-link",
            Self::SlowDisk { .. } => "slow-disk",
            Self::DiskStall { .. } => "disk-stall",
            Self::DiskFull { .. } => "disk-full",
            Self::DiskError { .. } => "disk-error",
            Self::DiskLies { .. } => "disk-lies",
            Self::DirFailure { .. } => "dir-failure",
            Self::Corruption { .. } => "disk-corruption",
            Self::ClockJump { .. } => "clock-jump",
            Self::ClockDrift { .. } => "clock-drift",
        }
    }

    /// Its own keys. What a schedule is never made of has none here.
    fn write(&self, text: &mut String) {
        match self {
            Self::Kill { target }
            | Self::Pause { target }
            | Self::Restart { target }
            | Self::DiskFull { target }
            | Self::DiskLies { target } => push(text, "target", &target.to_toml()),
            Self::PowerLoss { target, survival, operation, stagger } => {
                push(text, "target", &target.to_toml());
                let (key, value) = show_survival(survival);
                push(text, key, &value);
                if let Some(stagger) = stagger {
                    push(text, "stagger", &quote(&stagger.to_string()));
                }
                if let Some(operation) = operation {
                    push(text, "operation", &operation.to_string());
                }
            }
            Self::Partition { from, to, one_way } => links(text, from, to, *one_way),
            Self::SlowLink { from, to, one_way, latency, bandwidth, loss } => {
                links(text, from, to, *one_way);
                push(text, "latency", &quote(&latency.to_string()));
                if let Some(bandwidth) = bandwidth {
                    push(text, "bandwidth", &bandwidth.to_string());
                }
                if let Some(loss) = loss {
                    push(text, "loss", &loss.to_string());
                }
            }
            Self::SlowDisk { target, factor } => {
                push(text, "target", &target.to_toml());
                push(text, "factor", &factor.to_string());
            }
            Self::DiskStall { target, stall } => {
                push(text, "target", &target.to_toml());
                push(text, "stall", &quote(&stall.to_string()));
            }
            Self::DiskError { target, what, count, dir } => {
                push(text, "target", &target.to_toml());
                let key = ERRORS.iter().find(|(_, error)| error == what);
                push(text, key.map_or("syncs", |(key, _)| *key), &quote(&count.to_string()));
                if let Some(dir) = dir {
                    push(text, "dir", &quote(dir));
                }
            }
            Self::DirFailure { target, dir } => {
                push(text, "target", &target.to_toml());
                push(text, "dir", &quote(dir));
            }
            Self::Corruption { target, what, pages, place, intact } => {
                push(text, "target", &target.to_toml());
                let word = CORRUPTIONS.iter().find(|(_, corruption)| corruption == what);
                push(text, "what", &quote(word.map_or("bit-rot", |(word, _)| *word)));
                push(text, "pages", &quote(&pages.to_string()));
                if let Some((word, _)) = PLACES.iter().skip(1).find(|(_, known)| known == place) {
                    push(text, "place", &quote(word));
                }
                push(text, "intact", &intact.to_string());
            }
            Self::ClockJump { target, by, back } => {
                push(text, "target", &target.to_toml());
                push(text, "by", &quote(&by.to_string()));
                push(text, "back", &back.to_string());
            }
            Self::ClockDrift { target, ppm, slow } => {
                push(text, "target", &target.to_toml());
                push(text, "ppm", &ppm.to_string());
                push(text, "slow", &slow.to_string());
            }
            Self::RollingRestart
            | Self::RestartStorm { .. }
            | Self::Flapping { .. }
            | Self::SwizzleClog { .. } => {}
        }
    }
}

fn links(text: &mut String, from: &Roles, to: &Roles, one_way: bool) {
    push(text, "from", &from.to_toml());
    push(text, "to", &to.to_toml());
    push(text, "one-way", &one_way.to_string());
}

fn expect(expect: &Expect) -> String {
    let mut text = String::from("\n[expect]\n");
    for (key, names) in
        [("holds", &expect.holds), ("breaks", &expect.breaks), ("allows", &expect.allows)]
    {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| quote(name)).collect();
            push(&mut text, key, &format!("[{}]", names.join(", ")));
        }
    }
    text
}

fn keys(text: &mut String, pairs: &[(String, String)]) {
    for (key, value) in pairs {
        push(text, key, &quote(value));
    }
}

fn push(text: &mut String, key: &str, value: &str) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
