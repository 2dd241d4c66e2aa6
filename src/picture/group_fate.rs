//! The story of a record that a group processed twice, or committed and never processed; and the
//! rebalances of a group that broke another promise.

use super::coordinator::Fact;
use super::fate::{MOST, Step, Teller, step};
use super::members::{Block, Commit, End, Group};
use super::phases::{Phase, states, waits};
use super::recorder::{Read, Send};
use super::words::{lasting, s};
use crate::base::{Instant, Offset, TopicPartition, list};
use crate::check::{GroupWitness, Witness};
use crate::sim::{HostId, MemberEvent, Outcome};

/// Most commits that failed, in one story.
const FAILED: usize = 4;
/// Most changes of an owner, in one story.
const CHANGES: usize = 16;

/// A record in a group: where it is, and who did what with it.
struct Fate<'a> {
    group: &'a Group,
    partition: &'a TopicPartition,
    offset: Offset,
    value: u64,
    /// Whether no member processed it; otherwise two did.
    never: bool,
}

impl Teller<'_> {
    /// A record that a group processed twice or never, from its send on.
    pub(super) fn in_group(&self, group: &Group, send: &Send) -> Vec<Step> {
        let mut steps = self.stored(send);
        let (Some(partition), Some(offset)) = (&self.subject.partition, self.subject.offset) else {
            return steps;
        };
        let witness = self.violation.map(|violation| &*violation.witness);
        let never = matches!(witness, Some(Witness::Group(GroupWitness::NeverProcessed { .. })));
        let fate = Fate { group, partition, offset, value: send.value, never };
        let until = self.group_until(&fate);
        let from = self.polls(&fate).map(|read| read.at).min();
        steps.extend(self.polled(&fate, until));
        steps.extend(self.processed(&fate, until));
        steps.extend(self.group_commits(&fate, until));
        let from = from.unwrap_or(send.at);
        steps.extend(self.ownerships(&fate, from, until));
        steps.extend(self.member_events(&fate, from, until));
        steps.extend(self.coordinators(group, from, until));
        steps.extend(self.faults(from, until));
        steps
    }

    /// The rebalances of a group, and what was done to the cluster meanwhile.
    pub(super) fn rebalanced(&self, group: &Group) -> Vec<Step> {
        let until = self.violation.map_or(self.run.now, |violation| violation.at);
        let from = self.run.began.unwrap_or(Instant::START);
        let mut steps = self.faults(from, until);
        steps.extend(self.coordinators(group, from, until));
        steps.extend(self.generations(group, from, until));
        steps
    }

    /// When the story is over: with the second processing, or once a member starts behind the record.
    fn group_until(&self, fate: &Fate<'_>) -> Instant {
        let found = self.violation.map_or(self.run.now, |violation| violation.at);
        if !fate.never {
            return found;
        }
        let commits = fate.commits();
        let done = commits.into_iter().find_map(|(_, commit)| match commit.told {
            Some((at, Outcome::Ok { .. })) => Some(at),
            _ => None,
        });
        let Some(done) = done else { return found };
        let next = fate.blocks().into_iter().map(|(_, block)| block.from).find(|at| *at > done);
        next.map_or(done, |next| self.recalled(fate, next).map_or(next, |(at, _)| at))
    }

    fn polls<'a>(&'a self, fate: &'a Fate<'_>) -> impl Iterator<Item = &'a Read> {
        self.run.reads.iter().filter(|read| {
            (read.value, read.offset, &read.partition) == (fate.value, fate.offset, fate.partition)
                && fate.member_on(read.host).is_some()
        })
    }

    fn polled(&self, fate: &Fate<'_>, until: Instant) -> Vec<Step> {
        let one = |read: &Read| {
            let name = self.run.name(read.host);
            let consumer = fate.member_on(read.host)?;
            let of = fate.owner(consumer, read.at).map_or(String::new(), |block| {
                let (at, generation) = (super::words::seconds(block.from), block.generation);
                format!(", which owns {} since {at} (generation {generation}),", fate.partition)
            });
            let text = format!("{name}{of} polls the record at offset {}.", fate.offset);
            Some(step(read.at, vec![read.host], "read", "Polled", text))
        };
        self.polls(fate).filter(|read| read.at <= until).filter_map(one).take(CHANGES).collect()
    }

    fn processed(&self, fate: &Fate<'_>, until: Instant) -> Vec<Step> {
        let mut first: Option<(Instant, HostId)> = None;
        let mut steps = Vec::new();
        for said in self.run.said.iter().filter(|said| said.at <= until) {
            let MemberEvent::Processed { partition, offset, value, .. } = &said.event else {
                continue;
            };
            let own = (*value, *offset, partition) == (fate.value, fate.offset, fate.partition);
            if !own || fate.member_on(said.host).is_none() {
                continue;
            }
            let name = self.run.name(said.host);
            let (kind, title, text) = match first {
                None => ("ack", "Processed", format!("{name} processes the record.")),
                Some((at, host)) => {
                    let by = if host == said.host { "it" } else { &*self.run.name(host) };
                    let after = lasting(said.at.since(at));
                    let text =
                        format!("{name} processes the record again, {after} after {by} did.");
                    ("other", "Processed again", text)
                }
            };
            first = first.or(Some((said.at, said.host)));
            steps.push(step(said.at, vec![said.host], kind, title, text));
        }
        steps
    }

    /// Commits past the record: those that failed, and the first that was acknowledged.
    fn group_commits(&self, fate: &Fate<'_>, until: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut failed = 0;
        for (host, commit) in fate.commits() {
            if commit.at > until {
                break;
            }
            let (name, upto) = (self.run.name(host), commit.upto(fate.partition));
            let upto = upto.unwrap_or(fate.offset);
            let what = format!("{} up to offset {upto}, past the record", fate.partition);
            match &commit.told {
                Some((at, Outcome::Ok { .. })) if *at <= until => {
                    let then = if fate.never {
                        "The group counts it as read, whether or not it is processed."
                    } else {
                        "A member that takes over later does not get it again."
                    };
                    let text = format!("{name} commits {what}. {then}");
                    steps.push(step(*at, vec![host], "commit", "Committed", text));
                    break;
                }
                Some((at, Outcome::Fail { error } | Outcome::Unknown { error }))
                    if *at <= until =>
                {
                    failed += 1;
                    if failed <= FAILED {
                        let text = format!("{name} tries to commit {what}, and gets {error}.");
                        steps.push(step(*at, vec![host], "other", "Commit failed", text));
                    }
                }
                _ => {
                    let text =
                        format!("{name} sends a commit of {what}; it gets no answer in time.");
                    steps.push(step(commit.at, vec![host], "other", "Commit open", text));
                }
            }
        }
        steps
    }

    /// Who takes the partition over from whom, and from which offset; who gives it up.
    fn ownerships(&self, fate: &Fate<'_>, from: Instant, until: Instant) -> Vec<Step> {
        let blocks = fate.blocks();
        let partition = fate.partition;
        let mut steps = Vec::new();
        for (index, (host, block)) in blocks.iter().enumerate() {
            let name = self.run.name(*host);
            if block.from > from && block.from <= until {
                let over = match index.checked_sub(1).and_then(|before| blocks.get(before)) {
                    None => String::new(),
                    Some((other, _)) if other == host => " It had it before, too.".to_owned(),
                    Some((other, before)) if before.until > block.from => {
                        format!(" {} does not know yet, and works on.", self.run.name(*other))
                    }
                    Some((other, _)) => format!(" {} had it before.", self.run.name(*other)),
                };
                let text = format!(
                    "{name} is assigned {partition} in generation {}.{over}{}",
                    block.generation,
                    self.start_at(fate, &name, block.from)
                );
                steps.push(step(block.from, vec![*host], "elect", "Taken over", text));
            }
            if block.until < from || block.until > until {
                continue;
            }
            let (title, text) = match block.end {
                End::Revoked => ("Revoked", format!("{name} gives {partition} up.")),
                End::Lost => {
                    let shared = block.shared.map_or(String::new(), |at| {
                        let since = lasting(block.until.since(at));
                        format!(" Another member has owned it for {since}.")
                    });
                    ("Lost", format!("{name} learns that it has lost {partition}.{shared}"))
                }
                End::Left => ("Left", format!("{name} leaves the group, with {partition}.")),
                End::Died => {
                    let done = fate.committed(*host, block);
                    ("Ended", format!("{name}'s process ends while it owns {partition}.{done}"))
                }
                End::Open | End::Unassigned => continue,
            };
            steps.push(step(block.until, vec![*host], "isr", title, text));
        }
        steps.truncate(CHANGES);
        steps
    }

    /// Where a member that takes over starts, seen from the record.
    fn start_at(&self, fate: &Fate<'_>, name: &str, from: Instant) -> String {
        let Some((_, found)) = self.recalled(fate, from) else { return String::new() };
        let Some(found) = found else {
            return format!(
                " The group has no committed offset: {name} starts where it resets to."
            );
        };
        let far = fate.offset.0 - found.0;
        match far {
            0 => format!(" The committed offset is {found}: {name} starts at the record."),
            1.. => format!(
                " The committed offset is {found}: {name} starts {far} offset{} before the record.",
                if far == 1 { "" } else { "s" }
            ),
            _ => format!(" The committed offset is {found}: {name} starts behind the record."),
        }
    }

    /// What a member that owns the partition from then on found committed, and when.
    fn recalled(&self, fate: &Fate<'_>, from: Instant) -> Option<(Instant, Option<Offset>)> {
        let (host, block) = fate.blocks().into_iter().find(|(_, block)| block.from == from)?;
        let later = self.run.said.iter().filter(|said| said.host == host && said.at >= from);
        later.take_while(|said| said.at <= block.until).find_map(|said| {
            let MemberEvent::Recalled { offsets, .. } = &said.event else { return None };
            let (_, found) = offsets.iter().find(|(name, _)| name == fate.partition)?;
            Some((said.at, *found))
        })
    }

    /// What the coordinator did to members that own the partition meanwhile.
    fn member_events(&self, fate: &Fate<'_>, from: Instant, until: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        for member in fate.group.members.values() {
            let owns = |block: &Block| {
                block.partition == *fate.partition && block.from <= until && block.until >= from
            };
            if !member.blocks.iter().any(owns) {
                continue;
            }
            for event in member.events.iter().filter(|e| e.at >= from && e.at <= until) {
                let title = match event.kind {
                    "evicted" => "Evicted",
                    "fenced" => "Fenced",
                    _ => continue,
                };
                let text = format!("{}.", event.text);
                steps.push(step(event.at, vec![member.host], "fault", title, text));
            }
        }
        steps.truncate(CHANGES);
        steps
    }

    /// Other brokers become the group's coordinator.
    fn coordinators(&self, group: &Group, from: Instant, until: Instant) -> Vec<Step> {
        let partition = self.run.coordinators.partitions.get(&*group.name);
        let track = partition.and_then(|name| self.run.tracks.get(name));
        let (Some(partition), Some(track)) = (partition, track) else { return Vec::new() };
        let changes = track.commits.windows(2).filter_map(|pair| {
            let [before, now] = pair else { return None };
            let meanwhile = now.at >= from && now.at <= until && now.epoch != before.epoch;
            let (title, text, host) = match now.leader {
                Some(id) => {
                    let text = format!(
                        "b{id} becomes the coordinator of {}: it leads {partition} in epoch {}.",
                        group.name, now.epoch
                    );
                    ("Coordinator", text, self.broker(id)?)
                }
                None => {
                    let text =
                        format!("{} has no coordinator: {partition} is offline.", group.name);
                    ("No coordinator", text, now.host)
                }
            };
            meanwhile.then(|| step(now.at, vec![host], "elect", title, text))
        });
        changes.take(MOST).collect()
    }

    /// A step for each generation or epoch in which the group became stable again.
    fn generations(&self, group: &Group, from: Instant, until: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut began: Option<Instant> = None;
        let mut known: Vec<String> = Vec::new();
        let mut clients = std::collections::BTreeMap::new();
        let mut facts = self.run.coordinators.of(&group.name).peekable();
        for state in states(self.run, group, &waits(self.run, group)) {
            let mut host = None;
            while let Some(stored) = facts.next_if(|stored| stored.at <= state.at) {
                host = Some(stored.host);
                match &stored.fact {
                    Fact::Formed { members, .. } => clients = members.iter().cloned().collect(),
                    Fact::Member { member, client } => {
                        clients.insert(member.clone(), client.clone());
                    }
                    Fact::Removed { member } => drop(clients.remove(member)),
                    _ => {}
                }
            }
            if state.phase != Phase::Stable {
                began = began.or(Some(state.at));
                continue;
            }
            let took = began.take().map(|began| state.at.since(began));
            let mut now: Vec<String> = clients.values().cloned().collect();
            now.sort();
            if state.at < from || state.at > until || steps.len() >= MOST || now == known {
                known = now;
                continue;
            }
            let took = took.map_or(String::new(), |took| format!(", after {}", lasting(took)));
            let mut text = format!("{} share the partitions{took}.", list(&now));
            let gone: Vec<_> = known.iter().filter(|name| !now.contains(name)).cloned().collect();
            if !gone.is_empty() {
                text.push_str(&format!(" {} no longer take{} part.", list(&gone), s(gone.len())));
            }
            known = now;
            let host = host.into_iter().collect();
            let title = format!("Generation {}", state.generation);
            steps.push(step(state.at, host, "isr", &title, text));
        }
        steps
    }
}

impl Fate<'_> {
    fn member_on(&self, host: HostId) -> Option<u32> {
        let own = self.group.members.values().find(|member| member.host == host);
        own.map(|member| member.consumer)
    }

    fn owner(&self, consumer: u32, at: Instant) -> Option<&Block> {
        let member = self.group.members.get(&consumer)?;
        member.blocks.iter().find(|block| {
            block.partition == *self.partition && block.from <= at && block.until >= at
        })
    }

    /// Who owned the partition, in order of time.
    fn blocks(&self) -> Vec<(HostId, &Block)> {
        let members = self.group.members.values();
        let mut found: Vec<(HostId, &Block)> = members
            .flat_map(|member| member.blocks.iter().map(|block| (member.host, block)))
            .filter(|(_, block)| block.partition == *self.partition)
            .collect();
        found.sort_by_key(|(_, block)| block.from);
        found
    }

    /// How far the owner of a block committed the partition meanwhile.
    fn committed(&self, host: HostId, block: &Block) -> String {
        let member = self.group.members.values().find(|member| member.host == host);
        let commits = member.into_iter().flat_map(|member| &member.commits);
        let acknowledged = |commit: &&Commit| {
            let told = commit.told.as_ref().filter(|(_, told)| matches!(told, Outcome::Ok { .. }));
            told.is_some_and(|(at, _)| *at >= block.from && *at <= block.until)
        };
        let upto = commits.filter(acknowledged).filter_map(|commit| commit.upto(self.partition));
        match upto.max() {
            Some(upto) => format!(" It had committed up to offset {upto}."),
            // A consumer does not report what it commits by itself.
            None => String::new(),
        }
    }

    /// Commits past the record, in order of time.
    fn commits(&self) -> Vec<(HostId, &Commit)> {
        let members = self.group.members.values();
        let mut found: Vec<(HostId, &Commit)> = members
            .flat_map(|member| member.commits.iter().map(|commit| (member.host, commit)))
            .filter(|(_, commit)| commit.upto(self.partition) > Some(self.offset))
            .collect();
        found.sort_by_key(|(_, commit)| commit.at);
        found
    }
}

impl Commit {
    fn upto(&self, partition: &TopicPartition) -> Option<Offset> {
        let own = self.offsets.iter().find(|(name, _)| name == partition);
        own.map(|(_, offset)| *offset)
    }
}
