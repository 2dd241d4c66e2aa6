//! The story of the record that a failure is about, from send to verdict, step by step in plain
//! words; where no single record is to blame, the story of the run's faults and elections.

use std::collections::BTreeMap;

use super::marks::{Mark, Span};
use super::members::Members;
use super::presence::{Copies, copies_of};
use super::recorder::{Recorder, Send, Track};
use super::subject::Subject;
use super::transactions::Transactions;
use super::words::{copies, s, seconds};
use crate::base::{BrokerId, Instant, Offset, list};
use crate::check::{self, Violation};
use crate::run::LaneKind;
use crate::run::outcome::Outcome as RunOutcome;
use crate::sim::{HostId, Outcome};

/// One step of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub at: Instant,
    /// The hosts that it concerns, the most important first.
    pub hosts: Vec<HostId>,
    /// `send`, `append`, `copy`, `ack`, `commit`, `read`, `fault`, `elect`, `isr`, `gone`, `other`,
    /// `boot`, `verdict`
    pub kind: &'static str,
    pub title: String,
    pub text: String,
}

/// Most steps of one kind in the story of a run without a record to blame.
pub(super) const MOST: usize = 40;

/// Tells a story.
pub(super) struct Teller<'a> {
    pub run: &'a Recorder,
    pub outcome: &'a RunOutcome,
    pub subject: &'a Subject,
    pub violation: Option<&'a Violation>,
    pub marks: &'a [Mark],
    pub spans: &'a [Span],
    pub members: &'a Members,
    pub transactions: &'a Transactions,
}

impl Teller<'_> {
    /// All steps, in order of time.
    pub fn tell(&self) -> Vec<Step> {
        let group = self.subject.group.as_ref().and_then(|name| self.members.groups.get(name));
        let own = !self.subject.transactions.is_empty();
        let mut steps = match (group, self.sent()) {
            _ if own => self.of_transactions(),
            _ if self.violation.is_none() && !self.transactions.all.is_empty() => {
                self.struck_transactions()
            }
            (Some(group), Some(send)) => self.in_group(group, send),
            (Some(group), None) => self.rebalanced(group),
            (None, Some(send)) => self.record(send),
            (None, None) => self.events(),
        };
        steps.push(self.verdict());
        in_order(&mut steps);
        steps
    }

    fn sent(&self) -> Option<&Send> {
        let value = self.subject.value?;
        self.run.sends.iter().find(|send| send.value == value)
    }

    fn track(&self) -> Option<&Track> {
        self.run.tracks.get(self.subject.partition.as_ref()?)
    }

    /// `p1's record 17`, by the value that a record carries.
    fn called(&self, value: u64) -> String {
        let send = self.run.sends.iter().find(|send| send.value == value);
        send.map_or_else(
            || format!("a record that no producer sent (value {value})"),
            |send| format!("p{}'s record {}", send.producer, send.op),
        )
    }

    fn names(&self, hosts: &[HostId]) -> String {
        list(&hosts.iter().map(|host| self.run.name(*host)).collect::<Vec<_>>())
    }

    pub(super) fn broker(&self, id: BrokerId) -> Option<HostId> {
        let lane = self.run.lanes.iter().find(|lane| lane.kind == LaneKind::Broker(id));
        lane.map(|lane| lane.host)
    }

    // A record's way

    /// Where the record was, and when, if its offset is known.
    fn found(&self, send: &Send) -> Option<(Offset, &Track, Copies)> {
        self.subject.offset.zip(self.track()).map(|(offset, track)| {
            let ends = track.ends.iter();
            let all = ends.map(|(host, ends)| (*host, copies_of(offset, ends))).collect();
            (offset, track, Copies::of(all, send.at))
        })
    }

    /// How the record came into the log, for a story that continues in a group.
    pub(super) fn stored(&self, send: &Send) -> Vec<Step> {
        let mut steps = vec![self.send(send)];
        let found = self.found(send);
        if let Some((offset, track, held)) = &found {
            steps.extend(self.copied(*offset, track, held).into_iter().take(1));
            steps.extend(self.committed(*offset, track, held));
        }
        steps.extend(self.told(send, found.as_ref().map(|(_, _, held)| held)));
        steps
    }

    fn record(&self, send: &Send) -> Vec<Step> {
        let mut steps = vec![self.send(send)];
        let found = self.found(send);
        let Some((offset, track, held)) = found else {
            steps.extend(self.told(send, None));
            let until = self.violation.map_or(self.run.now, |violation| violation.at);
            steps.extend(self.faults(send.at, until));
            return steps;
        };
        steps.extend(self.copied(offset, track, &held));
        steps.extend(self.told(send, Some(&held)));
        steps.extend(self.committed(offset, track, &held));
        steps.extend(self.gone(offset, track, &held));
        steps.extend(self.others(offset, &held));
        steps.extend(self.read(offset, send.value));
        let rival = held.others.first().map(|copy| copy.1.from);
        let until = held.over().into_iter().chain(rival).max();
        let verdict = self.violation.map(|violation| violation.at);
        let until = until.or(verdict).unwrap_or(self.run.now);
        steps.extend(self.faults(send.at, until));
        steps.extend(self.elections(track, send.at, until));
        steps
    }

    fn send(&self, send: &Send) -> Step {
        let mut text = format!(
            "p{} sends its record {} to {}, and {}.",
            send.producer, send.op, send.partition, send.acks
        );
        let commits = self.track().map(|track| track.commits.as_slice()).unwrap_or_default();
        if let Some(state) = commits.iter().rev().find(|commit| commit.at <= send.at) {
            let isr = names_of(&state.isr);
            let leader = match state.leader {
                Some(id) => format!("b{id} leads it in epoch {}", state.epoch),
                None => "it has no leader".into(),
            };
            text.push_str(&format!(" {leader}; in sync: {}.", list(&isr)));
        }
        let mut down: Vec<String> = Vec::new();
        for span in self.spans.iter().filter(|s| s.at < send.at && s.until > send.at) {
            let name = self.run.name(span.host);
            if span.other.is_none() && !down.contains(&name) {
                down.push(name);
            }
        }
        if !down.is_empty() {
            let is = if down.len() == 1 { "is" } else { "are" };
            text.push_str(&format!(" {} {is} down or paused.", list(&down)));
        }
        step(send.at, vec![send.host], "send", "Sent", text)
    }

    fn copied(&self, offset: Offset, track: &Track, held: &Copies) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, (host, copy)) in held.own.iter().enumerate() {
            let name = self.run.name(*host);
            let role = track.roles.iter().rev().find(|r| r.1 == *host && r.0 <= copy.from);
            let leads = role.is_some_and(|role| role.3);
            let (kind, title, text) = if index == 0 && leads {
                let text = format!(
                    "{name}, leader of epoch {}, writes it to its log at offset {offset}.",
                    copy.epoch
                );
                ("append", "Written by the leader", text)
            } else {
                ("copy", "Copied", format!("{name} has a copy."))
            };
            steps.push(step(copy.from, vec![*host], kind, title, text));
        }
        steps
    }

    fn told(&self, send: &Send, held: Option<&Copies>) -> Option<Step> {
        let (at, outcome) = send.told.as_ref()?;
        let (kind, title, mut text) = match outcome {
            Outcome::Ok { offset: Some(offset) } => (
                "ack",
                "Acknowledged",
                format!("p{} is told: your record is stored at offset {offset}.", send.producer),
            ),
            Outcome::Ok { offset: None } => {
                ("ack", "Done", format!("p{} takes it for sent.", send.producer))
            }
            Outcome::Fail { error } => {
                ("other", "Refused", format!("p{} is told {error}.", send.producer))
            }
            Outcome::Unknown { error } => (
                "other",
                "Unknown",
                format!("p{} gives up with {error}: stored or not, it can't know.", send.producer),
            ),
        };
        if let (Some(held), "ack") = (held, kind) {
            let there = held.at(*at);
            let of = self.track().map_or(0, |track| track.ends.len());
            text.push_str(&match there.len() {
                0 => " No replica has it at this moment.".to_owned(),
                n => {
                    format!(" At this moment {n} of {of} replicas have it: {}.", self.names(&there))
                }
            });
        }
        Some(step(*at, vec![send.host], kind, title, text))
    }

    fn committed(&self, offset: Offset, track: &Track, held: &Copies) -> Option<Step> {
        let first = held.own.first()?.1.from;
        // A leader that does not have the record commits another one at its offset.
        let (at, host, mark) = *track.watermarks.iter().find(|(at, host, mark)| {
            *at >= first && *mark > offset && held.at(*at).contains(host)
        })?;
        let text = format!(
            "{}'s high watermark rises to {mark}, past the record: every in-sync replica has it, and consumers may read it.",
            self.run.name(host)
        );
        Some(step(at, vec![host], "commit", "Committed", text))
    }

    fn gone(&self, offset: Offset, track: &Track, held: &Copies) -> Vec<Step> {
        let mut moments: BTreeMap<(Instant, &'static str), Vec<(HostId, Offset)>> = BTreeMap::new();
        for (host, copy) in &held.own {
            let Some((at, end)) = copy.until else { continue };
            let cut = track.truncated.iter().any(|cut| {
                cut.1 == *host && cut.2 <= offset && {
                    // The probe follows the cut of the file within a moment.
                    cut.0 >= at && cut.0.since(at).as_millis() < 1000
                }
            });
            let power = self
                .spans
                .iter()
                .any(|s| s.host == *host && s.at == at && s.kind == super::marks::Fault::PowerLoss);
            let why = if power {
                "power"
            } else if cut {
                "cut"
            } else {
                "other"
            };
            moments.entry((at, why)).or_default().push((*host, end));
        }
        let mut steps = Vec::new();
        for ((at, why), lost) in moments {
            let mut hosts: Vec<HostId> = lost.iter().map(|(host, _)| *host).collect();
            hosts.sort();
            let names = self.names(&hosts);
            let n = hosts.len();
            let mut ends: Vec<String> = lost.iter().map(|(_, end)| end.to_string()).collect();
            ends.sort();
            ends.dedup();
            let mut text = match why {
                "power" => format!(
                    "The record was only in the page cache of {names}, not on the disk: the {} {} gone. What is left ends at offset {}.",
                    copies(n),
                    if n == 1 { "is" } else { "are" },
                    list(&ends)
                ),
                "cut" => format!(
                    "{names} cut{} the log to offset {} to agree with the new leader, which does not have the record.",
                    s(n),
                    list(&ends)
                ),
                _ => format!("The record is no longer in the log of {names}."),
            };
            let left = held.at(at);
            text.push_str(&match left.len() {
                0 => " No copy is left anywhere.".to_owned(),
                _ => format!(" Still on {}.", self.names(&left)),
            });
            let title = if left.is_empty() { "Gone" } else { "A copy is gone" };
            steps.push(step(at, hosts, "gone", title, text));
        }
        steps
    }

    /// Another record takes the offset.
    fn others(&self, offset: Offset, held: &Copies) -> Option<Step> {
        let (host, copy) = held.others.first()?;
        let own = self.subject.value;
        let rival = self.run.sends.iter().find(|send| {
            Some(send.value) != own
                && Some(&send.partition) == self.subject.partition.as_ref()
                && matches!(&send.told, Some((_, Outcome::Ok { offset: Some(at) })) if *at == offset)
        });
        let what = rival.map_or("another record".into(), |send| self.called(send.value));
        let text = format!(
            "{} writes {what} at offset {offset}, in epoch {}. The place is taken.",
            self.run.name(*host),
            copy.epoch
        );
        Some(step(copy.from, vec![*host], "other", "Overwritten", text))
    }

    fn read(&self, offset: Offset, value: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut reads = self.run.reads.iter();
        let of = self.subject.partition.as_ref();
        if let Some(read) = reads.find(|read| read.value == value && read.offset == offset) {
            let text = format!("{} reads it at offset {offset}.", self.run.name(read.host));
            steps.push(step(read.at, vec![read.host], "read", "Read", text));
        }
        let other = |read: &&super::recorder::Read| {
            Some(&read.partition) == of && read.offset == offset && read.value != value
        };
        if let Some(read) = self.run.reads.iter().find(other) {
            let text = format!(
                "{} reads offset {offset} and gets {} there.",
                self.run.name(read.host),
                self.called(read.value)
            );
            steps.push(step(read.at, vec![read.host], "other", "Something else is read", text));
        }
        if let Some(second) = self.subject.second
            && let Some(read) =
                self.run.reads.iter().find(|read| read.value == value && read.offset == second)
        {
            let text = format!(
                "{} reads the same record again at offset {second}: it is stored twice.",
                self.run.name(read.host)
            );
            steps.push(step(read.at, vec![read.host], "other", "Doubled", text));
        }
        steps
    }

    // What happens around it

    /// Faults that strike meanwhile, and the boots after them.
    pub(super) fn faults(&self, from: Instant, until: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut boots: BTreeMap<Instant, Vec<HostId>> = BTreeMap::new();
        for mark in self.marks.iter().filter(|mark| mark.at <= until && mark.until >= from) {
            if mark.at >= from && steps.len() < MOST {
                let lasts = mark.until.since(mark.at).as_millis();
                let lasts = match lasts {
                    0 => String::new(),
                    _ => format!(" For {}.{:03} s.", lasts / 1000, lasts % 1000),
                };
                let text = format!("{}.{lasts}", capital(&mark.text));
                let title = match mark.kind.name() {
                    "kill" => "Killed",
                    "power-loss" => "Power lost",
                    "restart" => "Restarted",
                    "ended" => "Ended",
                    "pause" => "Paused",
                    "cut" => "Cut off",
                    "hold" => "Held back",
                    _ => "Fault",
                };
                steps.push(step(mark.at, mark.hosts.clone(), "fault", title, text));
            }
        }
        use super::marks::Fault;
        let down = [Fault::Kill, Fault::PowerLoss, Fault::Restart, Fault::Ended];
        for span in self.spans.iter().filter(|span| down.contains(&span.kind)) {
            if span.until >= from && span.until <= until && span.until < self.run.now {
                boots.entry(span.until).or_default().push(span.host);
            }
        }
        for (at, mut hosts) in boots.into_iter().take(MOST) {
            hosts.dedup();
            let text = format!("{} boot{} again.", self.names(&hosts), s(hosts.len()));
            steps.push(step(at, hosts, "boot", "Back", text));
        }
        steps
    }

    /// Elections meanwhile, and who leaves the in-sync set.
    fn elections(&self, track: &Track, from: Instant, until: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        for pair in track.commits.windows(2) {
            let [before, now] = pair else { continue };
            if now.at < from || now.at > until || steps.len() >= MOST {
                continue;
            }
            let isr = names_of(&now.isr);
            if now.epoch == before.epoch {
                let left: Vec<String> = before
                    .isr
                    .iter()
                    .filter(|id| !now.isr.contains(id))
                    .map(|id| format!("b{id}"))
                    .collect();
                if !left.is_empty() {
                    let text = format!(
                        "{} leave{} the in-sync replicas; left: {}.",
                        list(&left),
                        s(left.len()),
                        list(&isr)
                    );
                    steps.push(step(now.at, vec![now.host], "isr", "Out of sync", text));
                }
                continue;
            }
            let Some(leader) = now.leader else {
                let text = format!(
                    "No replica may lead: the partition is offline in epoch {}.",
                    now.epoch
                );
                steps.push(step(now.at, vec![now.host], "elect", "Offline", text));
                continue;
            };
            let mut text = format!("The controller makes b{leader} leader in epoch {}", now.epoch);
            if now.last_known {
                text.push_str(
                    ", the last known leader, after every in-sync replica had lost unsynced data",
                );
            } else if now.unclean {
                text.push_str(", though it was not in sync (an unclean election)");
            }
            text.push_str(&format!("; in sync: {}.", list(&isr)));
            let mut hosts = vec![now.host];
            if let Some(host) = self.broker(leader) {
                hosts.insert(0, host);
                if let (Some(offset), Some(ends)) = (self.subject.offset, track.ends.get(&host)) {
                    let end = ends.iter().rev().find(|end| end.at <= now.at);
                    let end = end.map_or(Offset::ZERO, |end| end.end);
                    if end <= offset {
                        text.push_str(&format!(
                            " Its log ends at offset {end}: the record is not in it."
                        ));
                    }
                }
            }
            let title = match (now.last_known, now.unclean) {
                (true, _) => "Last known leader",
                (false, true) => "Unclean election",
                (false, false) => "Elected",
            };
            steps.push(step(now.at, hosts, "elect", title, text));
        }
        steps
    }

    /// No record to blame: what was done to the cluster, and what the partition went through.
    fn events(&self) -> Vec<Step> {
        let until = self.violation.map_or(self.run.now, |violation| violation.at);
        let from = self.run.began.unwrap_or(Instant::START);
        let mut steps = self.faults(from, until);
        if let Some(track) = self.track() {
            steps.extend(self.elections(track, from, until));
        }
        steps
    }

    fn verdict(&self) -> Step {
        let Some(violation) = self.violation else {
            let at = self.run.now;
            return match (self.outcome.broken.first(), &self.outcome.untested) {
                // No checker found it: a panic, or a cluster that did not start.
                (Some(broken), _) => {
                    let title = format!("{} broken", broken.invariant);
                    step(at, Vec::new(), "verdict", &title, broken.what.clone())
                }
                (None, Some(why)) => {
                    step(at, Vec::new(), "verdict", "Nothing tested", format!("{}.", capital(why)))
                }
                (None, None) => {
                    let text = "Everything that must hold held.".to_owned();
                    step(at, Vec::new(), "verdict", "Nothing broke", text)
                }
            };
        };
        let promise = match check::promise(violation.invariant) {
            "" => String::new(),
            promise => format!("The promise: {promise} "),
        };
        let text =
            format!("{promise}The evidence, seen at {}: {violation}.", seconds(violation.at));
        let title = format!("{} broken", violation.invariant);
        step(violation.at, Vec::new(), "verdict", &title, text)
    }
}

/// Sorts by time. Within one moment a cause comes before its effects, and the verdict after its
/// evidence; the sort is stable for the rest.
fn in_order(steps: &mut [Step]) {
    let rank = |step: &Step| match step.kind {
        "fault" => 0,
        "verdict" => 2,
        _ => 1,
    };
    steps.sort_by_key(|step| (step.at, rank(step)));
}

pub(super) fn step(
    at: Instant,
    hosts: Vec<HostId>,
    kind: &'static str,
    title: &str,
    text: String,
) -> Step {
    Step { at, hosts, kind, title: title.to_owned(), text }
}

/// Their names, as lanes are ordered.
fn names_of(ids: &[BrokerId]) -> Vec<String> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids.iter().map(|id| format!("b{id}")).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().filter(|_| !starts_with_a_name(text));
    match first {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => text.to_owned(),
    }
}

/// Hosts are written small wherever they stand: `b1`.
fn starts_with_a_name(text: &str) -> bool {
    text.chars().nth(1).is_some_and(|second| second.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_order_of_time_with_the_verdict_among_them() {
        let at = |at, kind| step(Instant(at), Vec::new(), kind, "", String::new());
        let mut steps = [
            at(9, "gone"),
            at(5, "verdict"),
            at(5, "other"),
            at(5, "fault"),
            at(5, "boot"),
            at(1, "send"),
        ];
        in_order(&mut steps);
        let order = steps.map(|step| step.kind);
        assert_eq!(order, ["send", "fault", "other", "boot", "verdict", "gone"]);
    }
}
