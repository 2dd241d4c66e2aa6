//! What each member of a group owned, committed and went through, folded from what it reported, what
//! its coordinator wrote, and how the coordinator answered it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::coordinator::{Fact, Stored};
use super::recorder::{OperationKind, Recorder, Said};
use crate::base::{Instant, Offset, TopicPartition, list};
use crate::sim::{HostId, MemberEvent, Outcome};
use crate::wire::{ErrorCode, api};

/// A leave is reported at most this long after the coordinator took it.
const LEAVING: Duration = Duration::from_secs(3);

/// Within this time, the same refusal is one event.
const AGAIN: Duration = Duration::from_secs(1);

/// A partition that a member owned for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub partition: TopicPartition,
    pub generation: i32,
    pub from: Instant,
    pub until: Instant,
    pub end: End,
    /// From then on another member owned it as well: this one had not heard that it lost it.
    pub shared: Option<Instant>,
}

/// How an ownership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Not before the run did.
    Open,
    Revoked,
    /// The member learned that it may have another owner already.
    Lost,
    Left,
    /// Its process ended.
    Died,
    /// A new assignment came without it.
    Unassigned,
}

/// A generation, or a member epoch, that a member was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub generation: i32,
    pub from: Instant,
    pub until: Instant,
}

/// A commit of offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub at: Instant,
    pub op: u64,
    pub generation: i32,
    pub offsets: Vec<(TopicPartition, Offset)>,
    /// What the member learned of it, and when.
    pub told: Option<(Instant, Outcome)>,
}

/// Something that happened to a member at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub at: Instant,
    /// `join`, `leave`, `lost`, `fenced`, `moved`, `evicted`
    pub kind: &'static str,
    pub text: String,
}

/// A member of a group, over all its processes.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub consumer: u32,
    pub host: HostId,
    pub blocks: Vec<Block>,
    pub shares: Vec<Share>,
    pub commits: Vec<Commit>,
    pub events: Vec<Event>,
    in_generation: bool,
    owned: BTreeMap<TopicPartition, usize>,
}

/// A group and its members.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub name: Arc<str>,
    pub protocol: Arc<str>,
    pub topics: BTreeSet<Arc<str>>,
    pub members: BTreeMap<u32, Member>,
}

/// All groups of a run.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub groups: BTreeMap<Arc<str>, Group>,
    /// The group that each consumer is in.
    current: BTreeMap<u32, Arc<str>>,
}

impl Members {
    pub fn of(run: &Recorder) -> Self {
        let mut all = Self::default();
        let ended = |kind: &OperationKind| {
            let ends = [OperationKind::Killed, OperationKind::Ended];
            ends.contains(kind) || matches!(kind, OperationKind::PowerLost { .. })
        };
        let mut deaths = run.operations.iter().filter(|operation| ended(&operation.what));
        let mut death = deaths.next();
        for said in &run.said {
            while let Some(next) = death.filter(|death| death.at < said.at) {
                all.died(next.at, next.host);
                death = deaths.next();
            }
            all.take(said);
        }
        for next in death.into_iter().chain(deaths) {
            all.died(next.at, next.host);
        }
        for group in all.groups.values_mut() {
            group.finish(run);
        }
        all
    }

    fn take(&mut self, said: &Said) {
        let consumer = said.event.consumer();
        if let MemberEvent::Subscribed { group: name, topics, protocol, .. } = &said.event {
            self.current.insert(consumer, name.clone());
            let group = self.groups.entry(name.clone()).or_insert_with(|| Group {
                name: name.clone(),
                protocol: protocol.clone(),
                topics: BTreeSet::new(),
                members: BTreeMap::new(),
            });
            group.topics.extend(topics.iter().cloned());
            group.members.entry(consumer).or_insert_with(|| Member::new(consumer, said.host));
        }
        let group = self.current.get(&consumer).and_then(|name| self.groups.get_mut(name));
        if let Some(member) = group.and_then(|group| group.members.get_mut(&consumer)) {
            member.take(said.at, &said.event);
        }
    }

    fn died(&mut self, at: Instant, host: HostId) {
        let members = self.groups.values_mut().flat_map(|group| group.members.values_mut());
        for member in members.filter(|member| member.host == host) {
            member.end_all(at, End::Died);
            member.end_share(at);
        }
    }
}

impl Member {
    fn new(consumer: u32, host: HostId) -> Self {
        Self {
            consumer,
            host,
            blocks: Vec::new(),
            shares: Vec::new(),
            commits: Vec::new(),
            events: Vec::new(),
            in_generation: false,
            owned: BTreeMap::new(),
        }
    }

    fn take(&mut self, at: Instant, event: &MemberEvent) {
        let k = format!("k{}", self.consumer);
        let mut happened = |kind, text| self.events.push(Event { at, kind, text });
        match event {
            MemberEvent::Subscribed { group, .. } => {
                happened("join", format!("{k} starts, and asks to join {group}"));
            }
            MemberEvent::Joined { generation, owned, .. } => self.joined(at, *generation, owned),
            MemberEvent::Revoked { partitions, .. } => self.end(at, partitions, End::Revoked),
            MemberEvent::Lost { partitions, .. } => {
                let what = match partitions.len() {
                    0 => "its membership".to_owned(),
                    _ => names(partitions),
                };
                happened("lost", format!("{k} learns that it has lost {what}"));
                self.end(at, partitions, End::Lost);
                self.end_share(at);
            }
            MemberEvent::Left { .. } => {
                happened("leave", format!("{k} has left the group"));
                self.end_all(at, End::Left);
                self.end_share(at);
            }
            MemberEvent::Committing { op, generation, offsets, .. } => self.commits.push(Commit {
                at,
                op: *op,
                generation: *generation,
                offsets: offsets.clone(),
                told: None,
            }),
            MemberEvent::Committed { op, outcome, .. } => {
                let commit = self.commits.iter_mut().rev().find(|commit| commit.op == *op);
                if let Some(commit) = commit {
                    commit.told = Some((at, outcome.clone()));
                }
            }
            MemberEvent::Recalling { .. }
            | MemberEvent::Recalled { .. }
            | MemberEvent::Processed { .. } => {}
        }
    }

    fn joined(&mut self, at: Instant, generation: i32, owned: &[TopicPartition]) {
        let same =
            self.in_generation && self.shares.last().map(|s| s.generation) == Some(generation);
        if !same {
            self.end_share(at);
            self.shares.push(Share { generation, from: at, until: Instant::NEVER });
            self.in_generation = true;
        }
        let gone: Vec<_> =
            self.owned.keys().filter(|name| !owned.contains(name)).cloned().collect();
        self.end(at, &gone, End::Unassigned);
        for partition in
            owned.iter().filter(|name| !self.owned.contains_key(name)).cloned().collect::<Vec<_>>()
        {
            self.owned.insert(partition.clone(), self.blocks.len());
            let (until, end, shared) = (Instant::NEVER, End::Open, None);
            self.blocks.push(Block { partition, generation, from: at, until, end, shared });
        }
    }

    fn end(&mut self, at: Instant, partitions: &[TopicPartition], how: End) {
        for partition in partitions {
            if let Some(index) = self.owned.remove(partition) {
                let block = &mut self.blocks[index];
                (block.until, block.end) = (at, how);
            }
        }
    }

    fn end_all(&mut self, at: Instant, how: End) {
        let all: Vec<_> = self.owned.keys().cloned().collect();
        self.end(at, &all, how);
    }

    fn end_share(&mut self, at: Instant) {
        if std::mem::take(&mut self.in_generation)
            && let Some(share) = self.shares.last_mut()
        {
            share.until = at;
        }
    }
}

impl Group {
    /// The member of a client id, which is its host's name.
    fn client(&self, run: &Recorder, client: &str) -> Option<u32> {
        let own = |member: &&Member| run.name(member.host) == client;
        self.members.values().find(own).map(|member| member.consumer)
    }

    /// Closes what is open at the end of the run, and adds what others tell about the members.
    fn finish(&mut self, run: &Recorder) {
        for member in self.members.values_mut() {
            member.end_all(run.now, End::Open);
            member.end_share(run.now);
        }
        self.find_shared();
        self.find_evicted(run);
        self.find_refused(run);
        for member in self.members.values_mut() {
            member.events.sort_by_key(|event| event.at);
        }
    }

    fn find_shared(&mut self) {
        let mut starts: BTreeMap<TopicPartition, Vec<(Instant, u32)>> = BTreeMap::new();
        for member in self.members.values() {
            for block in &member.blocks {
                let of = starts.entry(block.partition.clone()).or_default();
                of.push((block.from, member.consumer));
            }
        }
        for member in self.members.values_mut() {
            for block in &mut member.blocks {
                let others = starts.get(&block.partition).into_iter().flatten();
                let later = others.filter(|(at, consumer)| {
                    *consumer != member.consumer && *at > block.from && *at < block.until
                });
                block.shared = later.map(|(at, _)| *at).min();
            }
        }
    }

    /// A coordinator continues without a member that did not leave.
    fn find_evicted(&mut self, run: &Recorder) {
        let mut clients: BTreeMap<String, String> = BTreeMap::new();
        let mut before: BTreeMap<String, String> = BTreeMap::new();
        let mut formed = Instant::START;
        let mut found = Vec::new();
        for Stored { at, host, fact, .. } in run.coordinators.of(&self.name) {
            let by = run.name(*host);
            match fact {
                Fact::Formed { generation, members } => {
                    let now: BTreeMap<String, String> = members
                        .iter()
                        .map(|(id, client)| (id.to_string(), client.clone()))
                        .collect();
                    for client in
                        before.iter().filter(|(id, _)| !now.contains_key(*id)).map(|m| m.1)
                    {
                        if now.values().all(|other| other != client) {
                            let text =
                                format!("{by} forms generation {generation} without {client}");
                            found.push((formed, *at, client.clone(), text));
                        }
                    }
                    (before, formed) = (now, *at);
                }
                Fact::Member { member, client } => {
                    clients.insert(member.to_string(), client.clone());
                }
                Fact::Removed { member } => {
                    let Some(client) = clients.remove(member.as_str()) else { continue };
                    let text = format!("{by} removes {client} from the group");
                    found.push((*at, *at, client, text));
                }
                Fact::Epoch(_) | Fact::Target(_) | Fact::Current { .. } => {}
            }
        }
        for (since, at, client, text) in found {
            let Some(consumer) = self.client(run, &client) else { continue };
            if let Some(member) = self.members.get_mut(&consumer)
                && !member.left_since(since, at)
            {
                member.events.push(Event { at, kind: "evicted", text });
            }
        }
    }

    /// A coordinator tells a member that it is none, or not its own.
    fn find_refused(&mut self, run: &Recorder) {
        for message in run.messages() {
            let (Some(error), true) = (message.error, message.answer) else { continue };
            let kind = match error {
                ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::FencedInstanceId
                | ErrorCode::FencedMemberEpoch
                | ErrorCode::StaleMemberEpoch
                | ErrorCode::UnreleasedInstanceId => "fenced",
                ErrorCode::NotCoordinator => "moved",
                _ => continue,
            };
            let own = |member: &&mut Member| member.host == message.to;
            let Some(member) = self.members.values_mut().find(own) else { continue };
            let text = format!(
                "{} answers {} to {}'s {}",
                run.name(message.from),
                error.name(),
                run.name(message.to),
                api::name(message.key).unwrap_or("request"),
            );
            let before = member.events.iter().rev().find(|event| event.kind == kind);
            let again = |event: &Event| event.text == text && event.at + AGAIN > message.at;
            if !before.is_some_and(again) {
                member.events.push(Event { at: message.at, kind, text });
            }
        }
    }

    /// How many of these partitions no member owned, from each moment on.
    pub fn unowned(&self, partitions: &[TopicPartition]) -> Vec<(Instant, usize)> {
        let blocks = || self.members.values().flat_map(|member| &member.blocks);
        let Some(first) = blocks().map(|block| block.from).min() else { return Vec::new() };
        let mut changes: Vec<(Instant, &TopicPartition, i32)> = Vec::new();
        for block in blocks().filter(|block| partitions.contains(&block.partition)) {
            changes.push((block.from, &block.partition, 1));
            changes.push((block.until, &block.partition, -1));
        }
        changes.sort();
        let mut owners: BTreeMap<&TopicPartition, i32> = BTreeMap::new();
        let mut curve = vec![(first, partitions.len())];
        let mut owned = 0;
        for (at, partition, by) in changes {
            let count = owners.entry(partition).or_insert(0);
            owned -= usize::from(*count > 0);
            *count += by;
            owned += usize::from(*count > 0);
            let now = partitions.len() - owned;
            match curve.last_mut() {
                Some(last) if last.0 == at => last.1 = now,
                _ => curve.push((at, now)),
            }
        }
        curve
    }
}

impl Member {
    /// Whether it left by itself since then, or is about to: an answer may take its time.
    fn left_since(&self, since: Instant, at: Instant) -> bool {
        let lost = |event: &&Event| event.kind == "lost" && event.at > at;
        let until = self.events.iter().find(lost).map_or(at + LEAVING, |event| event.at);
        let left = |event: &Event| event.kind == "leave" && since <= event.at && event.at <= until;
        self.events.iter().any(left)
    }
}

/// `orders-0, orders-1 and orders-2`; of many only the number.
pub(super) fn names(partitions: &[TopicPartition]) -> String {
    match partitions.len() {
        0 => "no partition".into(),
        1..=6 => list(&partitions.iter().map(ToString::to_string).collect::<Vec<_>>()),
        n => format!("{n} partitions"),
    }
}
