//! Reads a scenario file: everything that is wrong with it at once, each with its line.

use std::time::Duration;

use super::document::{At, Document, Problems, ScenarioError, Section, unknown};
use super::entries::{MAX_DURATION, MAX_HOSTS, bounded, kafka_keys};
use super::known::Known;
use super::link::link;
use super::load::Choice;
use super::rule::{planned_fault, rule};
use super::{Cluster, Expect, Load, Rule, Scenario, Topic, Written, accepted_key, disk};
use crate::base::config::{Config, NodeConfig, TopicConfig};
use crate::base::{Flaws, TopicPartition};
use crate::scenario::seeds::MAX_SEED;
use crate::txn::{TRANSACTION_VERSION, TransactionVersion};

/// More partitions than a scenario may have.
const MAX_PARTITIONS: u64 = 1000;
impl Scenario {
    /// Reads the text of a scenario file; `file` is how messages and replay commands name it.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_among(file, text, None)
    }

    /// The same with programs on hosts of their own, which faults may strike too. Loads beside
    /// programs need not say which of several topics they are about: it is the first then.
    pub(crate) fn parse_among(
        file: &str,
        text: &str,
        programs: Option<&[&str]>,
    ) -> Result<Self, ScenarioError> {
        let mut problems = Problems::default();
        if text.trim().is_empty() {
            problems.add(1, "the file is empty: a scenario needs at least a `name` and `[expect]`");
            return problems.finish(file, ()).map(|()| unreachable!("a problem was added"));
        }
        let tables = ["cluster", "topic", "disk", "expect"];
        let arrays = ["topic", "link", "load", "fault", "schedule"];
        let Some(mut document) = Document::parse(text, &tables, &arrays, &mut problems) else {
            return problems.finish(file, ()).map(|()| unreachable!("a problem was added"));
        };
        let section = |document: &mut Document, name: &str| {
            document.table(name).unwrap_or_else(|| Section::empty(&format!("[{name}]"), 1))
        };
        let p = &mut problems;
        let name = name(&mut document.top, p);
        let duration = duration(&mut document.top, p);
        let seed = seed(&mut document.top, p);
        let mut written = Written::default();
        let cluster = cluster(section(&mut document, "cluster"), &mut written, p);
        let topics = topics(&mut document, &cluster, p);
        let (disk, disk_written) = disk::profile(document.table("disk"), p);
        written.disk = disk_written;
        let choice = if programs.is_some() { Choice::First } else { Choice::Named };
        let load = |table, p: &mut Problems| Load::parse(table, &topics, choice, p);
        let loads: Vec<_> =
            document.array("load").into_iter().filter_map(|table| load(table, p)).collect();
        let programs = programs.unwrap_or_default();
        let known = Known { cluster: &cluster, topics: &topics, loads: &loads, programs };
        let links = document.array("link").into_iter().filter_map(|table| link(table, &known, p));
        let links = links.collect();
        let rules = document
            .array("fault")
            .into_iter()
            .filter_map(|table| rule(table, &known, p))
            .collect();
        let planned = document.array("schedule");
        let schedule = (!planned.is_empty()).then(|| {
            let mut faults: Vec<_> =
                planned.into_iter().filter_map(|table| planned_fault(table, &known, p)).collect();
            faults.sort_by_key(|fault| fault.at);
            faults
        });
        let expect = expect(document.table("expect"), p);
        document.top.finish(p);
        let (file_name, story) = (file.to_owned(), story(text));
        problems.finish(
            file,
            Self {
                name,
                file: file_name,
                story,
                duration,
                seed,
                cluster,
                disk,
                topics,
                loads,
                links,
                rules,
                schedule,
                expect,
                written,
                flaws: Flaws::default(),
            },
        )
    }
}

impl Scenario {
    /// Reads one `[[fault]]` table that a test orders during a run of this scenario.
    pub(crate) fn rule_of(&self, text: &str, programs: &[&str]) -> Result<Rule, String> {
        let mut problems = Problems::default();
        let document = Document::parse(text, &[], &["fault"], &mut problems);
        let known = Known::of(self, programs);
        let tables = document.map(|mut document| document.array("fault")).unwrap_or_default();
        let rule = tables.into_iter().find_map(|table| rule(table, &known, &mut problems));
        let rule = problems.finish("fault", rule).map_err(|wrong| {
            let said = wrong.problems.into_iter().map(|problem| problem.message);
            said.collect::<Vec<_>>().join("; ")
        })?;
        rule.ok_or_else(|| "that is no fault".into())
    }
}

/// The comment with which the file begins.
fn story(text: &str) -> String {
    let comment = text.lines().map(str::trim).take_while(|line| line.starts_with('#'));
    comment.map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join("\n")
}

fn name(top: &mut Section, problems: &mut Problems) -> String {
    let mistyped = top.mistypes("name");
    let Some(At { line, value }) = top.scalar("name", problems) else {
        if !mistyped {
            problems.add(1, "`name` is missing: add `name = \"…\"` at the top");
        }
        return String::new();
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if value.is_empty() || value.len() > 80 || !value.chars().all(fits) {
        let rule = "expected up to 80 of `a`–`z`, `0`–`9` and `-`: it names the report";
        problems.add(line, format!("`name = {value}`: {rule}"));
    }
    value
}

fn duration(top: &mut Section, problems: &mut Problems) -> Duration {
    let Some(At { line, value }) = top.value::<Duration>("duration", problems) else {
        return Duration::from_secs(60);
    };
    if value.is_zero() || value > MAX_DURATION {
        problems.add(line, "`duration`: expected more than nothing and at most a day");
    }
    value
}

/// Runs of a seed are counted as a range whose end is not included, so the very last number has none.
fn seed(top: &mut Section, problems: &mut Problems) -> Option<u64> {
    let At { line, value } = top.value::<u64>("seed", problems)?;
    if value > MAX_SEED {
        problems.add(line, format!("`seed = {value}`: the largest seed is {MAX_SEED}"));
        return None;
    }
    Some(value)
}

fn cluster(mut section: Section, written: &mut Written, problems: &mut Problems) -> Cluster {
    let brokers = bounded(&mut section, "brokers", (1, MAX_HOSTS), 3, problems);
    let controllers = match section.value::<u64>("controllers", problems) {
        Some(At { line, value }) if value != 1 => {
            let limit = "a cluster has exactly 1 controller so far";
            problems.add(line, format!("`controllers = {value}`: {limit}"));
            1
        }
        _ => 1,
    };
    let racks = bounded(&mut section, "racks", (0, brokers), 0, problems);
    let transaction_version = transaction_version(&mut section, problems);
    let mut config = NodeConfig::default();
    written.cluster = kafka_keys(&mut section, problems, |key, value| match key {
        "log.segment.bytes" => config.topics.set(accepted_key("segment.bytes", value), value),
        _ => config.set(key, value),
    });
    if let Err(error) = config.check() {
        problems.add(section.line, error.to_string());
    }
    for dir in config.node.log_dirs.iter().chain([&config.quorum.metadata_log_dir]) {
        if dir.is_empty() || dir.starts_with('/') {
            continue;
        }
        problems.add(section.line, format!("`{dir}` is no directory of a node: expected `/{dir}`"));
    }
    let brokers = u16::try_from(brokers).unwrap_or(1);
    let racks = u16::try_from(racks).unwrap_or(0);
    Cluster { brokers, controllers, racks, transaction_version, config }
}

/// The level of the feature `transaction.version` in the new cluster.
fn transaction_version(section: &mut Section, problems: &mut Problems) -> Option<i16> {
    let At { line, value } = section.value::<u64>(TRANSACTION_VERSION, problems)?;
    let version = i16::try_from(value).ok().and_then(TransactionVersion::of);
    if version.is_none() {
        problems.add(line, format!("`{TRANSACTION_VERSION} = {value}`: expected 0, 1 or 2"));
    }
    version.map(TransactionVersion::level)
}

/// All of `[[topic]]`, or the one of `[topic]`; a file that says nothing has one with defaults.
fn topics(document: &mut Document, cluster: &Cluster, problems: &mut Problems) -> Vec<Topic> {
    let mut sections = document.array("topic");
    sections.extend(document.table("topic"));
    if sections.is_empty() {
        sections.push(Section::empty("[topic]", 1));
    }
    let several = sections.len() > 1;
    let mut topics: Vec<Topic> = Vec::new();
    for section in sections {
        let line = section.line_of("name").unwrap_or(section.line);
        if several && !section.has("name") {
            problems.add(line, "`name` is missing: each of several topics needs one");
        }
        let topic = topic(section, cluster, problems);
        if topics.iter().any(|other| other.name == topic.name) {
            problems.add(line, format!("two topics are called `{}`", topic.name));
        }
        topics.push(topic);
    }
    topics
}

fn topic(mut section: Section, cluster: &Cluster, problems: &mut Problems) -> Topic {
    let name = section.scalar("name", problems);
    if let Some(At { line, value }) = &name {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let long = value.len() > TopicPartition::MAX_NAME_LENGTH;
        if value.is_empty() || long || !value.chars().all(fits) || value == "." || value == ".." {
            problems.add(*line, format!("`name = {value}`: Kafka accepts no such topic"));
        }
    }
    let partitions = bounded(&mut section, "partitions", (1, MAX_PARTITIONS), 1, problems);
    let brokers = u64::from(cluster.brokers);
    let copies = match section.value::<u64>("replication.factor", problems) {
        Some(At { line, value }) if value == 0 || value > brokers => {
            let message = format!("`replication.factor = {value}`: there are {brokers} brokers");
            problems.add(line, message);
            1
        }
        Some(At { value, .. }) => value,
        None => brokers.min(3),
    };
    let keys = section.value::<u64>("keys", problems).map_or(0, |keys| keys.value);
    let mut config = TopicConfig::default();
    let written = kafka_keys(&mut section, problems, |key, value| {
        config.set(accepted_key(key, value), value)
    });
    if config.cleanup_policy.compact && keys == 0 {
        let line = section.line;
        problems.add(
            line,
            "`cleanup.policy = compact` removes what has no key: set `keys`, such as 20",
        );
    }
    Topic {
        keys,
        name: name.map_or_else(|| "orders".into(), |name| name.value),
        partitions: i32::try_from(partitions).unwrap_or(1),
        replication_factor: i16::try_from(copies).unwrap_or(1),
        config: written,
    }
}

fn expect(section: Option<Section>, problems: &mut Problems) -> Expect {
    let missing = "what must come of it? Add `[expect]` with `holds = [\"*\"]` or `breaks = […]`";
    let Some(mut section) = section else {
        if !problems.suggest("[expect]") {
            problems.add(1, format!("`[expect]` is missing: {missing}"));
        }
        return Expect::default();
    };
    let line = section.line;
    let said_holds = section.has("holds");
    let empty = ["holds", "breaks"].iter().all(|key| section.is_empty_list(key));
    let mut names = |key: &'static str, problems: &mut Problems| -> Vec<String> {
        let mut names = Vec::new();
        for At { line, value } in section.list(key, problems) {
            let known = crate::check::NAMES.iter().copied();
            if value == "*" && key == "holds" || known.clone().any(|name| name == value) {
                names.push(value);
            } else {
                problems.add(line, unknown("invariant", &value, known));
            }
        }
        names
    };
    let mut holds = names("holds", problems);
    let breaks = names("breaks", problems);
    let allows = names("allows", problems);
    // A mistyped key or name has its own message.
    if empty && !section.has_more() {
        problems.add(line, missing);
    }
    for name in &breaks {
        if holds.contains(name) || allows.contains(name) {
            problems.add(line, format!("`{name}` can't both break and hold"));
        }
    }
    if !said_holds {
        holds = vec!["*".into()];
    }
    section.finish(problems);
    Expect { holds, breaks, allows }
}
