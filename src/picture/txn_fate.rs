//! The story of a transaction: from its producer's epoch to its markers, and what is missing of it; and
//! the transactions of a run that faults struck.

#[cfg(test)]
mod tests;

use super::fate::{MOST, Step, Teller, step};
use super::transactions::{Decided, Fate, Identified, Part, Txn};
use super::txn_spans::{LONG, is_odd};
use super::words::{lasting, seconds};
use crate::base::{Instant, TopicPartition, list};
use crate::check::{TransactionWitness, Witness};
use crate::sim::{Ended, HostId, Outcome};

/// Most transactions whose whole story is told.
const WHOLE: usize = 3;
/// Most transactions that are told in a step or two.
const BRIEF: usize = 24;

impl Teller<'_> {
    /// The whole story of the transactions that a violation is about.
    pub(super) fn of_transactions(&self) -> Vec<Step> {
        let found = self.violation.map_or(self.run.now, |violation| violation.at);
        let mut steps = Vec::new();
        let (mut from, mut until) = (found, Instant::START);
        let mut homes = Vec::new();
        for index in self.subject.transactions.iter().take(WHOLE) {
            let Some(txn) = self.transactions.all.get(*index) else { continue };
            let name = self.run.called(*index, txn);
            let over = txn.until(self.run.now).min(found);
            (from, until) = (from.min(txn.began), until.max(over));
            steps.extend(self.identities(txn, over));
            steps.extend(self.begins(&name, txn));
            steps.extend(self.writes(*index, txn));
            steps.extend(self.sends_offsets(&name, txn));
            steps.extend(self.ends(&name, txn));
            steps.extend(self.markers(txn));
            steps.extend(self.lacks(&name, txn, found));
            let home = txn.id.as_ref().and_then(|id| self.run.ledger.homes.get(id));
            homes.extend(home.filter(|home| !homes.contains(home)));
        }
        steps.extend(self.visible(found));
        for home in homes {
            steps.extend(self.moves(home, from, until));
        }
        steps.extend(self.faults(from, until));
        steps.sort_by_key(|step| step.at);
        steps.dedup();
        steps
    }

    /// What faults did to the transactions of a run: fenced producers, outcomes that their producers did
    /// not ask for, and decisions that another coordinator completed.
    pub(super) fn struck_transactions(&self) -> Vec<Step> {
        let until = self.violation.map_or(self.run.now, |violation| violation.at);
        let from = self.run.began.unwrap_or(Instant::START);
        let mut steps = self.faults(from, until);
        let all = &self.transactions.all;
        let odd = all.iter().enumerate().filter(|(_, txn)| txn.began <= until && is_odd(txn));
        // The end of the load leaves the last ones open: nothing struck them.
        let odd = odd.filter(|(_, txn)| txn.decided.is_some() || txn.told.is_some());
        for (index, txn) in odd.take(BRIEF) {
            let name = self.run.called(index, txn);
            steps.extend(self.decision(&name, txn));
            if txn.is_fenced() {
                steps.extend(self.told_of(&name, txn));
            }
        }
        let mut homes: Vec<_> = self.run.ledger.homes.values().collect();
        homes.sort();
        homes.dedup();
        for home in homes {
            steps.extend(self.moves(home, from, until));
        }
        steps.sort_by_key(|step| step.at);
        steps.dedup();
        steps
    }

    /// Its producer's epoch, and producers that take its transactional id over meanwhile.
    fn identities(&self, txn: &Txn, until: Instant) -> Vec<Step> {
        let of_id = |one: &&Identified| Some(&one.id) == txn.id.as_ref();
        let all = self.transactions.identified.iter().filter(of_id);
        let (before, after): (Vec<_>, Vec<_>) = all.partition(|one| one.at <= txn.began);
        let mut steps = Vec::new();
        if let Some(own) = before.into_iter().rev().find(|one| Some(one.host) == txn.host) {
            let text = format!(
                "{} gets producer id {} and epoch {} for transactional id {}.",
                self.run.name(own.host),
                own.producer,
                own.epoch,
                own.id
            );
            steps.push(step(own.at, vec![own.host], "boot", "Identified", text));
        }
        let later = after.into_iter().filter(|one| one.at <= until && Some(one.host) != txn.host);
        for one in later.take(WHOLE) {
            let own = txn.host.map_or("its producer".to_owned(), |host| self.run.name(host));
            let text = format!(
                "{} starts with transactional id {} and gets epoch {}: what {own} still asks in epoch {} \
                 is refused.",
                self.run.name(one.host),
                one.id,
                one.epoch,
                txn.epoch
            );
            let hosts = [Some(one.host), txn.host].into_iter().flatten().collect();
            steps.push(step(one.at, hosts, "elect", "Fenced", text));
        }
        steps
    }

    fn begins(&self, name: &str, txn: &Txn) -> Option<Step> {
        let host = txn.host?;
        let id = txn.id.as_deref().unwrap_or("no transactional id");
        let text = format!(
            "{} begins {name} as {id}, in epoch {}. It sends {} record{} in it.",
            self.run.name(host),
            txn.epoch,
            txn.records,
            if txn.records == 1 { "" } else { "s" },
        );
        Some(step(txn.began, vec![host], "send", "Begun", text))
    }

    /// How it came into each partition: with the question to its coordinator, if messages are known.
    fn writes(&self, index: usize, txn: &Txn) -> Vec<Step> {
        let mut steps = Vec::new();
        for part in &txn.parts {
            let Some((at, leader, offset)) = part.first else { continue };
            let asked = self.transactions.verified.iter().filter(|(of, asked)| {
                *of == index && asked.at <= at && asked.partitions.contains(&part.partition)
            });
            let last = asked.map(|(_, asked)| asked).next_back();
            if let Some(asked) = last {
                let (leader, coordinator) =
                    (self.run.name(asked.leader), self.run.name(asked.coordinator));
                let text = if asked.only {
                    format!(
                        "{leader}, leader of {}, asks the coordinator {coordinator} whether the \
                         transaction is ongoing (AddPartitionsToTxn, VerifyOnly).",
                        part.partition
                    )
                } else {
                    format!(
                        "{leader}, leader of {}, adds it to the transaction at the coordinator \
                         {coordinator} (AddPartitionsToTxn), as the producer leaves that to it.",
                        part.partition
                    )
                };
                let hosts = vec![asked.leader, asked.coordinator];
                steps.push(step(asked.at, hosts, "copy", "Verified", text));
            }
            let unasked = if last.is_none() && !self.run.verified().is_empty() {
                " It did not ask the coordinator."
            } else {
                ""
            };
            let text = format!(
                "{} writes the first record of it to {} at offset {offset}.{unasked} The last stable \
                 offset does not pass it before its marker.",
                self.run.name(leader),
                part.partition
            );
            steps.push(step(at, vec![leader], "append", "Written", text));
        }
        steps
    }

    fn sends_offsets(&self, name: &str, txn: &Txn) -> Vec<Step> {
        let Some(host) = txn.host else { return Vec::new() };
        let one = |sent: &super::transactions::Offsets| {
            let generation = match sent.generation {
                -1 => "without a generation".to_owned(),
                generation => format!("of generation {generation}"),
            };
            let what = format!("offsets of group {} {generation}", sent.group);
            let (at, kind, title, told) = match &sent.told {
                Some((at, Outcome::Ok { .. })) => (*at, "ack", "Offsets sent", "They are taken."),
                Some((at, _)) => (*at, "other", "Offsets refused", "They are refused."),
                None => (sent.at, "other", "Offsets sent", "There is no answer."),
            };
            let error = match &sent.told {
                Some((_, Outcome::Fail { error } | Outcome::Unknown { error })) => {
                    format!(" ({error})")
                }
                _ => String::new(),
            };
            let text = format!("{} sends {what} in {name}. {told}{error}", self.run.name(host));
            step(at, vec![host], kind, title, text)
        };
        txn.offsets.iter().map(one).collect()
    }

    /// What its producer asks, what its coordinator decides, and what its producer is told.
    fn ends(&self, name: &str, txn: &Txn) -> Vec<Step> {
        let mut steps = Vec::new();
        if let (Some((at, commit)), Some(host)) = (txn.asked, txn.host) {
            let what = if commit { "commit" } else { "abort" };
            let text = format!("{} asks to {what} {name} (EndTxn).", self.run.name(host));
            steps.push(step(at, vec![host], "send", &format!("{} asked", capital(what)), text));
        }
        steps.extend(self.decision(name, txn));
        steps.extend(self.told_of(name, txn));
        steps
    }

    /// The decision, and its completion.
    fn decision(&self, name: &str, txn: &Txn) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(decided) = txn.decided else { return steps };
        let (what, title) = match decided.commit {
            true => ("commit", "Prepared to commit"),
            false => ("abort", "Prepared to abort"),
        };
        let asked =
            txn.asked.is_some_and(|(at, commit)| commit == decided.commit && at <= decided.at);
        let why = if asked { String::new() } else { self.reason(txn, decided) };
        let wait = txn.wait().filter(|wait| *wait >= LONG);
        let wait =
            wait.map_or(String::new(), |wait| format!(" {} after it was asked", lasting(wait)));
        let text = format!(
            "The coordinator {} stores the decision to {what} {name}{wait}{why}: from here on it can't \
             change.",
            self.run.name(decided.host)
        );
        let kind = if decided.commit { "commit" } else { "isr" };
        steps.push(step(decided.at, vec![decided.host], kind, title, text));
        if let Some(completed) = txn.completed {
            let (by, after) = (self.run.name(completed.host), completed.at.since(decided.at));
            let other = match completed.host == decided.host {
                true => String::new(),
                false => format!(
                    " It found the decision of {} when it loaded the log.",
                    self.run.name(decided.host)
                ),
            };
            let text = format!(
                "The coordinator {by} takes all markers for written, and stores that {name} is complete, \
                 {} after the decision.{other}",
                lasting(after)
            );
            steps.push(step(completed.at, vec![completed.host], "ack", "Completed", text));
        }
        steps
    }

    /// Why a coordinator aborts what its producer did not ask to abort.
    fn reason(&self, txn: &Txn, decided: Decided) -> String {
        let taken = self.transactions.identified.iter().find(|one| {
            Some(&one.id) == txn.id.as_ref()
                && Some(one.host) != txn.host
                && one.at >= decided.at
                && one.at.since(decided.at).as_secs() < 5
        });
        match taken {
            Some(one) => format!(
                ", as {} starts with the same transactional id and is to get epoch {}",
                self.run.name(one.host),
                one.epoch
            ),
            None => ", which its producer did not ask for".to_owned(),
        }
    }

    fn told_of(&self, name: &str, txn: &Txn) -> Option<Step> {
        let host = txn.host?;
        let who = self.run.name(host);
        if let (None, Some(at)) = (&txn.told, txn.orphaned) {
            let text = format!("{who}'s process ends: it never learns the outcome of {name}.");
            return Some(step(at, vec![host], "other", "Producer ended", text));
        }
        let (at, ended) = txn.told.as_ref()?;
        let (kind, title, text) = match ended {
            Ended::Committed => {
                ("ack", "Committed", format!("{who} is told: {name} is committed."))
            }
            Ended::Aborted => ("ack", "Aborted", format!("{who} is told: {name} is aborted.")),
            Ended::Unknown { error } => (
                "other",
                "Unknown",
                format!("{who} gives up with {error}: committed or not, it can't know."),
            ),
            Ended::Fenced { error } => (
                "other",
                "Told that it is fenced",
                format!("{who} is told {error} about {name}: {}.", self.successor(txn, *at)),
            ),
        };
        Some(step(*at, vec![host], kind, title, text))
    }

    /// The producer that has the transactional id of a fenced one.
    fn successor(&self, txn: &Txn, at: Instant) -> String {
        let newest = self.transactions.identified.iter().rev().find(|one| {
            Some(&one.id) == txn.id.as_ref() && Some(one.host) != txn.host && one.at <= at
        });
        newest.map_or("another producer has its transactional id".to_owned(), |one| {
            format!(
                "{} has {} since {}, in epoch {}",
                self.run.name(one.host),
                one.id,
                seconds(one.at),
                one.epoch
            )
        })
    }

    fn markers(&self, txn: &Txn) -> Vec<Step> {
        let one = |part: &Part| {
            let marker = part.marker?;
            let (kind, title, then) = match marker.commit {
                true => {
                    ("commit", "Commit marker", "readers of committed records may get its records")
                }
                false => {
                    ("gone", "Abort marker", "readers of committed records pass over its records")
                }
            };
            let against = txn.decided.filter(|decided| decided.commit != marker.commit);
            let against = against.map_or("", |decided| match decided.commit {
                true => " The decision was to commit.",
                false => " The decision was to abort.",
            });
            let text = format!(
                "{} writes the {} to {} at offset {}: {then}.{against}",
                self.run.name(marker.host),
                title.to_lowercase(),
                part.partition,
                marker.offset
            );
            Some(step(marker.at, vec![marker.host], kind, title, text))
        };
        txn.parts.iter().filter_map(one).collect()
    }

    /// Partitions that lack a marker at the end of the story, or the transaction's records.
    fn lacks(&self, name: &str, txn: &Txn, found: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        for part in &txn.parts {
            let Some((since, leader, first)) = part.first else { continue };
            if let Some(at) = part.lost {
                let text = format!(
                    "The records of {name} are cut off {}, from offset {first} on.",
                    part.partition
                );
                steps.push(step(at, vec![leader], "gone", "Lost", text));
            }
            if part.hangs() {
                let decided = match (txn.decided, txn.fate()) {
                    (Some(decided), _) => format!(
                        "though its coordinator decided to {} at {}",
                        if decided.commit { "commit" } else { "abort" },
                        seconds(decided.at)
                    ),
                    (None, Fate::Open) => "and no coordinator has decided its outcome".to_owned(),
                    (None, _) => "and no coordinator knows of it".to_owned(),
                };
                let text = format!(
                    "{} has no marker for {name}, {decided}. The last stable offset stays at {first} \
                     since {}: readers of committed records get nothing from there on.",
                    part.partition,
                    seconds(since)
                );
                // Just before the verdict, of which it is the cause.
                steps.push(step(found, vec![leader], "gone", "Hangs", text));
            }
        }
        steps
    }

    /// Which record of it a reader got, and which not.
    fn visible(&self, until: Instant) -> Vec<Step> {
        let witness = self.violation.map(|violation| &*violation.witness);
        let Some(Witness::Transaction(witness)) = witness else { return Vec::new() };
        let values: Vec<(u64, &str)> = match witness {
            TransactionWitness::Torn { seen, .. } => vec![(seen.value, "a record of it")],
            TransactionWitness::ReadAborted { record, .. }
            | TransactionWitness::ReadEarly { record, .. } => {
                vec![(record.value, "a record of it")]
            }
            TransactionWitness::ReadMarkedAborted { value, .. }
            | TransactionWitness::AboveLastStable { value, .. } => vec![(*value, "a record of it")],
            TransactionWitness::TwoOutputs { outputs, .. } => {
                vec![
                    (outputs[0].value, "the first output"),
                    (outputs[1].value, "the second output"),
                ]
            }
            _ => Vec::new(),
        };
        let one = |(value, what): (u64, &str)| {
            let reads = self.run.reads.iter();
            let read = reads.into_iter().find(|read| read.value == value && read.at <= until)?;
            let text = format!(
                "{} reads {what} at offset {} of {}.",
                self.run.name(read.host),
                read.offset,
                read.partition
            );
            Some(step(read.at, vec![read.host], "read", "Read", text))
        };
        let mut steps: Vec<Step> = values.into_iter().filter_map(one).collect();
        if let TransactionWitness::Torn { missing, seen_in, offset, later, consumer, .. } = witness
        {
            let place =
                offset.map_or(String::new(), |offset| format!(" (stored at offset {offset})"));
            let text = format!(
                "k{consumer} reads on to offset {later} and never gets {missing}{place}: of one \
                 transaction it saw a part, in {seen_in}, and missed another."
            );
            steps.push(step(until, Vec::new(), "gone", "Torn", text));
        }
        steps
    }

    /// Other brokers become the coordinator of a partition of transactional ids.
    fn moves(&self, home: &TopicPartition, from: Instant, until: Instant) -> Vec<Step> {
        let Some(track) = self.run.tracks.get(home) else { return Vec::new() };
        let ids = self.run.ledger.homes.iter().filter(|(_, of)| *of == home);
        let ids: Vec<String> = ids.map(|(id, _)| id.to_string()).collect();
        let ids = list(&ids);
        let changes = track.commits.windows(2).filter_map(|pair| {
            let [before, now] = pair else { return None };
            if now.at < from || now.at > until || now.epoch == before.epoch {
                return None;
            }
            let (title, text, host): (_, _, HostId) = match now.leader {
                Some(id) => (
                    "Coordinator",
                    format!(
                        "b{id} becomes the coordinator of {ids}: it leads {home} in epoch {}.",
                        now.epoch
                    ),
                    self.broker(id)?,
                ),
                None => (
                    "No coordinator",
                    format!("{ids} has no coordinator: {home} is offline."),
                    now.host,
                ),
            };
            Some(step(now.at, vec![host], "elect", title, text))
        });
        changes.take(MOST).collect()
    }
}

fn capital(word: &str) -> &'static str {
    if word == "commit" { "Commit" } else { "Abort" }
}
