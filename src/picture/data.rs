//! The data of a page: the run, thinned out to the visible resolution.
//!
//! Times are microseconds since the start of the simulation, hosts are indices into `hosts`. Long
//! series are flat lists of differences, because they are most of the file.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fate::Teller;
use super::groups::{Around, GroupData, opens_on};
use super::marks::{Span, marks, spans};
use super::members::Members;
use super::messages::Message;
use super::recorder::{Recorder, Track};
use super::subject::{self, Subject};
use super::thin::{self, Windows, micros};
use super::transactions::Transactions;
use super::txn_spans::{self, TransactionsData};
use crate::base::{Instant, TopicPartition};
use crate::check::{Violation, longest};
use crate::lab::report::{lost_records, no_guarantee, not_guaranteed, replay_command};
use crate::run::EngineKind;
use crate::run::LaneKind;
use crate::run::outcome::{Broken, Counts, Outcome, RunVerdict};
use crate::scenario::{Expectation, Scenario};
use crate::sim::HostId;
use crate::wire::api;

/// Rises when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

/// Everything that a page shows.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    schema: u32,
    scenario: String,
    story: String,
    seed: u64,
    engine: &'static str,
    trace: String,
    replay: String,
    verdict: &'static str,
    expected: bool,
    headline: String,
    end: u64,
    began: u64,
    healed: Option<u64>,
    hosts: Vec<HostData>,
    spans: Vec<SpanData>,
    faults: Vec<MarkData>,
    broken: Vec<BrokenData>,
    notes: Vec<String>,
    counts: Counts,
    partitions: Vec<PartitionData>,
    /// Index of the one that the story is about.
    partition: usize,
    groups: Vec<GroupData>,
    /// Index of the one that the page opens on; otherwise it opens on the partition.
    group: Option<usize>,
    transactions: Option<TransactionsData>,
    /// Whether the page opens on the transactions.
    opens_on_transactions: bool,
    offset: Option<i64>,
    steps: Vec<StepData>,
    /// Names of APIs; messages name them by index.
    apis: Vec<String>,
    /// Flat, six numbers each: sent (difference to the one before), microseconds under way, from,
    /// to, twice the API's index plus one for a response, bytes.
    messages: Vec<i64>,
    /// Windows in which every message is kept; elsewhere Produce and Fetch are left out.
    windows: Vec<(u64, u64)>,
    /// Whether the engine reports its messages at all.
    tells_messages: bool,
}

#[derive(Debug, Serialize)]
struct HostData {
    name: String,
    kind: &'static str,
    /// Acknowledged sends, or records read, in equal parts of the run.
    done: Vec<u32>,
    /// Sends that were refused, or whose fate the producer does not know.
    failed: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct SpanData {
    host: usize,
    other: Option<usize>,
    kind: &'static str,
    at: u64,
    until: u64,
}

#[derive(Debug, Serialize)]
struct MarkData {
    kind: &'static str,
    hosts: Vec<usize>,
    at: u64,
    until: u64,
    text: String,
}

#[derive(Debug, Serialize)]
struct BrokenData {
    invariant: String,
    at: u64,
    what: String,
    expected: &'static str,
}

#[derive(Debug, Serialize)]
struct PartitionData {
    name: String,
    /// As committed: when, leader (`-1`: none), epoch, in-sync replicas, and 1 after an unclean
    /// election, 2 after that of a last known leader, else 0.
    commits: Vec<(u64, i64, i32, Vec<usize>, u8)>,
    /// As replicas believe: when, host, epoch, whether it leads.
    roles: Vec<(u64, usize, i32, bool)>,
    replicas: Vec<usize>,
    /// By replica: log end, as differences of time and offset.
    ends: Vec<Vec<i64>>,
    /// The leader's high watermark, likewise.
    watermark: Vec<i64>,
    /// The last stable offset, likewise; empty without transactions.
    stable: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct StepData {
    at: u64,
    hosts: Vec<usize>,
    kind: &'static str,
    title: String,
    text: String,
}

/// Most outages that a page lists.
const MAX_OUTAGES: usize = 10;
/// Parts of the run in which clients' work is counted.
const PARTS: usize = 240;

/// Hosts in the order of lanes.
struct Lanes(BTreeMap<HostId, usize>);

impl Lanes {
    fn of(&self, host: HostId) -> Option<usize> {
        self.0.get(&host).copied()
    }

    fn all(&self, hosts: &[HostId]) -> Vec<usize> {
        hosts.iter().filter_map(|host| self.of(*host)).collect()
    }
}

impl Data {
    pub fn new(scenario: &Scenario, engine: EngineKind, run: &Recorder, outcome: &Outcome) -> Self {
        let mut order: Vec<_> = run.lanes.iter().collect();
        order.sort_by_key(|lane| (lane.kind, lane.host));
        let lanes = order.iter().enumerate().map(|(index, lane)| (lane.host, index));
        let lanes = Lanes(lanes.collect());

        let spans = spans(run);
        let members = &Members::of(run);
        let transactions = &Transactions::of(&run.ledger, run.verified());
        let (violation, mut subject) =
            subject::choose(&scenario.expect, run, outcome, &spans, transactions);
        if violation.is_none() {
            // Nothing broke: a group's rebalances are the story.
            subject.group = members.groups.keys().next().cloned();
        }
        let marks = marks(run, &spans);
        let (marks, spans) = (&marks, &spans);
        let teller = Teller {
            run,
            outcome,
            subject: &subject,
            violation,
            marks,
            spans,
            members,
            transactions,
        };
        let steps = teller.tell();
        let verdict = outcome.verdict(&scenario.expect);
        let windows = Windows::around(&steps, run);
        let partitions = partitions(run, &lanes, &subject, &windows);
        let lane = &|host| lanes.of(host);
        let groups = Around { run, subject: &subject, windows: &windows, lane }.groups(members);
        let around = txn_spans::Around { run, subject: &subject, windows: &windows, lane };
        let txn_data = around.transactions(transactions);
        let opens_on_transactions =
            txn_data.is_some() && (violation.is_none() || !subject.transactions.is_empty());
        let wanted = subject.partition.as_ref();
        let at = run.tracks.keys().position(|name| Some(name) == wanted).unwrap_or(0);
        let (apis, messages, windows) = messages(run.messages(), &lanes, &windows);
        Self {
            schema: SCHEMA,
            scenario: scenario.name.clone(),
            story: scenario.story.clone(),
            seed: outcome.seed,
            engine: engine.name(),
            trace: outcome.trace.to_string(),
            replay: replay_command(&scenario.file, outcome.seed, engine),
            verdict: word(verdict),
            expected: verdict.is_fine(),
            headline: headline(
                run,
                violation,
                &subject,
                (outcome.gravest_of_all(&scenario.expect), outcome),
            ),
            end: micros(run.now),
            began: run.began.map_or(0, micros),
            healed: run.healed.map(micros),
            hosts: order.iter().map(|lane| host(run, lane.host, &lane.name, lane.kind)).collect(),
            spans: span_data(spans, &lanes),
            faults: marks
                .iter()
                .map(|mark| MarkData {
                    kind: mark.kind.name(),
                    hosts: lanes.all(&mark.hosts),
                    at: micros(mark.at),
                    until: micros(mark.until),
                    text: mark.text.clone(),
                })
                .collect(),
            broken: broken(scenario, outcome),
            notes: notes(scenario, outcome),
            counts: outcome.counts,
            partitions,
            partition: at,
            groups,
            group: opens_on(members, &subject).filter(|_| !opens_on_transactions),
            transactions: txn_data,
            opens_on_transactions,
            offset: subject.offset.map(|offset| offset.0),
            steps: steps
                .iter()
                .map(|step| StepData {
                    at: micros(step.at),
                    hosts: lanes.all(&step.hosts),
                    kind: step.kind,
                    title: step.title.clone(),
                    text: step.text.clone(),
                })
                .collect(),
            apis,
            messages,
            windows,
            tells_messages: engine == EngineKind::Leap,
        }
    }

    /// The title of the page.
    pub fn title(&self) -> String {
        format!("{} seed {}: {}", self.scenario, self.seed, self.verdict)
    }

    /// The same in words, for readers without the chart.
    pub fn steps(&self) -> impl Iterator<Item = (u64, &str, &str)> {
        self.steps.iter().map(|step| (step.at, step.title.as_str(), step.text.as_str()))
    }

    /// The story in one line.
    pub fn headline(&self) -> &str {
        &self.headline
    }
}

fn span_data(spans: &[Span], lanes: &Lanes) -> Vec<SpanData> {
    let one = |span: &Span| {
        Some(SpanData {
            host: lanes.of(span.host)?,
            other: span.other.and_then(|other| lanes.of(other)),
            kind: span.kind.name(),
            at: micros(span.at),
            until: micros(span.until),
        })
    };
    spans.iter().filter_map(one).collect()
}

fn broken(scenario: &Scenario, outcome: &Outcome) -> Vec<BrokenData> {
    let one = |broken: &Broken| BrokenData {
        invariant: broken.invariant.clone(),
        at: broken.at_ms * 1000,
        what: broken.what.clone(),
        expected: match scenario.expect.of(&broken.invariant) {
            Expectation::Holds => "must hold",
            Expectation::Breaks => "expected to break",
            Expectation::Open => "allowed",
        },
    };
    outcome.broken.iter().map(one).collect()
}

fn word(verdict: RunVerdict) -> &'static str {
    match verdict {
        RunVerdict::Held => "held",
        RunVerdict::BrokeAsExpected => "broke as expected",
        RunVerdict::Broke => "BROKE",
        RunVerdict::Stuck => "stuck",
        RunVerdict::Nondeterministic => "nondeterministic",
        RunVerdict::Untested => "nothing tested",
    }
}

/// What was lost and for how long, what the settings do not guarantee, and the notes of the run.
fn notes(scenario: &Scenario, outcome: &Outcome) -> Vec<String> {
    let Counts { lost, acked, .. } = outcome.counts;
    let lost = (lost > 0).then(|| lost_records(lost, acked));
    let outages = longest(&outcome.outages, MAX_OUTAGES).0.into_iter().map(ToString::to_string);
    let reasons = not_guaranteed(scenario, [outcome.seed]);
    let reservation = (!reasons.is_empty()).then(|| no_guarantee(&reasons));
    let first = lost.into_iter().chain(outages).chain(reservation);
    first.chain(outcome.notes.iter().cloned()).collect()
}

fn headline(
    run: &Recorder,
    violation: Option<&Violation>,
    subject: &Subject,
    (gravest, outcome): (Option<&Broken>, &Outcome),
) -> String {
    let Some(violation) = violation else {
        return match (gravest, &outcome.untested) {
            (Some(broken), _) => format!("{}: {}", broken.invariant, broken.what),
            (None, Some(why)) => format!("Nothing was tested: {why}"),
            (None, None) => "Nothing broke in this run".into(),
        };
    };
    let send = run.sends.iter().find(|send| Some(send.value) == subject.value);
    match (send, subject.offset) {
        (Some(send), Some(offset)) => {
            let who = format!(
                "p{}'s record {} ({} offset {offset})",
                send.producer, send.op, send.partition
            );
            match violation.invariant {
                "acked-write-lost" | "acked-write-unseen" => {
                    format!("{who} was acknowledged, and is lost")
                }
                "duplicate" => format!("{who} is stored twice"),
                "inconsistent-offset" => format!("{who} was replaced by another record"),
                "processed-at-most-once" => format!("{who} was processed twice"),
                "processed-at-least-once" => format!("{who} was committed, and never processed"),
                name => format!("{who}: {name} does not hold"),
            }
        }
        _ => format!("{}: {violation}", violation.invariant),
    }
}

fn host(run: &Recorder, host: HostId, name: &str, kind: LaneKind) -> HostData {
    let mut data = HostData {
        name: name.to_owned(),
        kind: match kind {
            LaneKind::Controller => "controller",
            LaneKind::Broker(_) => "broker",
            LaneKind::Producer => "producer",
            LaneKind::Consumer => "consumer",
            LaneKind::Admin => "admin",
        },
        done: Vec::new(),
        failed: Vec::new(),
    };
    if !matches!(kind, LaneKind::Producer | LaneKind::Consumer) {
        return data;
    }
    (data.done, data.failed) = (vec![0; PARTS], vec![0; PARTS]);
    let part = |at: Instant| {
        let part = u128::from(at.0) * PARTS as u128 / u128::from(run.now.0.max(1));
        usize::try_from(part).unwrap_or(PARTS).min(PARTS - 1)
    };
    for read in run.reads.iter().filter(|read| read.host == host) {
        data.done[part(read.at)] += 1;
    }
    for send in run.sends.iter().filter(|send| send.host == host) {
        match &send.told {
            Some((at, crate::sim::Outcome::Ok { .. })) => data.done[part(*at)] += 1,
            Some((at, _)) => data.failed[part(*at)] += 1,
            None => {}
        }
    }
    data
}

fn partitions(
    run: &Recorder,
    lanes: &Lanes,
    subject: &Subject,
    windows: &Windows,
) -> Vec<PartitionData> {
    let series = run.tracks.values().map(|track| track.ends.len() + 1).sum();
    let bin = thin::bin(run.now, series);
    let none = Windows::default();
    let one = |(name, track): (&TopicPartition, &Track)| {
        let windows = if subject.partition.as_ref() == Some(name) { windows } else { &none };
        let broker = |id| {
            let lane = run.lanes.iter().find(|lane| lane.kind == LaneKind::Broker(id));
            lane.and_then(|lane| lanes.of(lane.host))
        };
        let commits = track.commits.iter().map(|commit| {
            let leader = commit.leader.and_then(broker).and_then(|at| i64::try_from(at).ok());
            let mut isr: Vec<usize> = commit.isr.iter().filter_map(|id| broker(*id)).collect();
            isr.sort_unstable();
            let how = if commit.last_known { 2 } else { u8::from(commit.unclean) };
            (micros(commit.at), leader.unwrap_or(-1), commit.epoch.0, isr, how)
        });
        let roles = track.roles.iter().filter_map(|(at, host, epoch, leads)| {
            Some((micros(*at), lanes.of(*host)?, epoch.0, *leads))
        });
        let ends = track.ends.values().map(|ends| {
            thin::curve(ends.iter().map(|end| (micros(end.at), end.end.0)), bin, windows)
        });
        let marks = track.watermarks.iter().map(|(at, _, mark)| (micros(*at), mark.0));
        let stable = run.ledger.stable.get(name).map_or(&[][..], Vec::as_slice);
        let stable = stable.iter().map(|(at, offset)| (micros(*at), offset.0));
        PartitionData {
            name: name.to_string(),
            commits: commits.collect(),
            roles: roles.collect(),
            replicas: track.ends.keys().filter_map(|host| lanes.of(*host)).collect(),
            ends: ends.collect(),
            watermark: thin::curve(marks, bin, windows),
            stable: thin::curve(stable, bin, windows),
        }
    };
    run.tracks.iter().map(one).collect()
}

fn messages(
    all: &[Message],
    lanes: &Lanes,
    windows: &Windows,
) -> (Vec<String>, Vec<i64>, Vec<(u64, u64)>) {
    let (kept, windows) = thin::messages(all, windows);
    let mut keys: Vec<i16> = kept.iter().map(|message| message.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let names = keys.iter().map(|key| match api::name(*key) {
        Some(name) => name.to_owned(),
        None => format!("API {key}"),
    });
    let names = names.collect();
    let mut flat = Vec::with_capacity(kept.len() * 6);
    let mut before = 0;
    let number = |n: usize| i64::try_from(n).unwrap_or(0);
    for message in kept {
        let (Some(from), Some(to)) = (lanes.of(message.from), lanes.of(message.to)) else {
            continue;
        };
        let api = keys.binary_search(&message.key).unwrap_or(0);
        let sent = i64::try_from(micros(message.sent)).unwrap_or(i64::MAX);
        let way = i64::try_from(message.at.since(message.sent).as_micros()).unwrap_or(i64::MAX);
        flat.extend([sent - before, way, number(from), number(to)]);
        flat.extend([number(api) * 2 + i64::from(message.answer), i64::from(message.bytes)]);
        before = sent;
    }
    (names, flat, windows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Outage, OutageKind};
    use crate::run::caught::caught;

    #[test]
    fn notes_begin_with_losses_outages_and_missing_guarantees() {
        let text = "name = \"x\"\n[topic]\nreplication.factor = 3\n[[load]]\nkind = \"producer\"\n\
                    acks = 1\nenable.idempotence = false\n[[fault]]\nkind = \"kill\"\n\
                    target = \"leader\"\nat = \"5s\"\ndown = \"1s\"\n[expect]\nholds = [\"*\"]\n";
        let scenario = Scenario::parse("x.toml", text).unwrap();
        let mut outcome = caught(0, || panic!("only the rest of the outcome counts"));
        (outcome.counts.lost, outcome.counts.acked) = (1, 2_000);
        outcome.notes.push("a note".into());
        outcome.outages.push(Outage {
            partition: TopicPartition::new("orders", 2),
            kind: OutageKind::NoLeader,
            from_ms: 20_210,
            until_ms: 29_140,
        });
        assert_eq!(
            notes(&scenario, &outcome),
            [
                "1 of 2,000 acknowledged records was lost",
                "orders-2 without a leader 20.2–29.1 s",
                "these settings do not guarantee it (acks=1, and leadership may move)",
                "a note",
            ]
        );
    }
}
