//! The data of a page about groups: a lane for each member, and the state of the group.

use std::collections::BTreeMap;

use serde::Serialize;

use super::members::{Block, Commit, End, Event, Group, Member, Members};
use super::phases::{Phase, State, Wait, states, waits};
use super::recorder::Recorder;
use super::subject::Subject;
use super::thin::{Windows, micros};
use crate::base::TopicPartition;
use crate::sim::{HostId, Outcome};

/// Most members of a group that are drawn: more lanes could not be told apart.
const MEMBERS: usize = 40;
/// Most ownerships of a group that are drawn, the longest first.
const BLOCKS: usize = 12_000;
/// Most events of a member.
const EVENTS: usize = 300;
/// Outside of windows, one commit of a member is enough in each of these parts of the run.
const PARTS: u64 = 600;
/// Most commits of a member.
const COMMITS: usize = 4_000;

#[derive(Debug, Serialize)]
pub(super) struct GroupData {
    name: String,
    protocol: String,
    /// Index of its partition of `__consumer_offsets`: the leader of that is the coordinator.
    coordinator: Option<usize>,
    /// Names of the partitions that it shares out.
    partitions: Vec<String>,
    members: Vec<MemberData>,
    /// When, phase, generation or group epoch, number of members.
    states: Vec<(u64, u8, i32, usize)>,
    /// How many partitions no member owned, from each moment on.
    unowned: Vec<(u64, usize)>,
    /// Members, and ownerships, that are not drawn.
    left_out: (usize, usize),
}

#[derive(Debug, Serialize)]
struct MemberData {
    host: usize,
    /// From, until, generation or member epoch.
    shares: Vec<(u64, u64, i32)>,
    /// Partition, from, until, how it ended, generation, and since when another member owned it too
    /// (-1: never).
    blocks: Vec<(usize, u64, u64, u8, i32, i64)>,
    /// From, until, 0 for JoinGroup and 1 for SyncGroup.
    waits: Vec<(u64, u64, u8)>,
    /// When, microseconds until the outcome (-1: none), 0 acknowledged, 1 refused or unknown, 2 open,
    /// generation, how many commits after it are left out, and pairs of partition and offset.
    commits: Vec<Vec<i64>>,
    /// Kafka's name of the error, by the place of a commit that failed.
    errors: BTreeMap<usize, String>,
    events: Vec<EventData>,
}

#[derive(Debug, Serialize)]
struct EventData {
    at: u64,
    kind: &'static str,
    text: String,
}

/// What the pages of a run need to know beside the groups.
pub(super) struct Around<'a> {
    pub run: &'a Recorder,
    pub subject: &'a Subject,
    pub windows: &'a Windows,
    pub lane: &'a dyn Fn(HostId) -> Option<usize>,
}

impl Around<'_> {
    /// All groups of a run, in the order of their names.
    pub fn groups(&self, members: &Members) -> Vec<GroupData> {
        members.groups.values().map(|group| self.group(group)).collect()
    }

    fn group(&self, group: &Group) -> GroupData {
        let run = self.run;
        let names = run.tracks.keys().filter(|name| group.topics.contains(&name.topic));
        let names: Vec<TopicPartition> = names.cloned().collect();
        let waits = waits(run, group);
        let state = |state: State| {
            let phase = match state.phase {
                Phase::Empty => 0,
                Phase::PreparingRebalance => 1,
                Phase::CompletingRebalance => 2,
                Phase::Stable => 3,
                Phase::Assigning => 4,
                Phase::Reconciling => 5,
            };
            (micros(state.at), phase, state.generation, state.members)
        };
        let of = run.coordinators.partitions.get(&*group.name);
        let mut shown: Vec<&Member> = group.members.values().collect();
        shown.sort_by_key(|member| {
            (!self.subject.members.contains(&member.consumer), member.consumer)
        });
        shown.truncate(MEMBERS);
        shown.sort_by_key(|member| member.consumer);
        let blocks: usize = shown.iter().map(|member| member.blocks.len()).sum();
        let shortest = shortest(&shown);
        let members: Vec<MemberData> = shown
            .iter()
            .filter_map(|member| self.member(member, &names, &waits, shortest))
            .collect();
        let drawn: usize = members.iter().map(|member| member.blocks.len()).sum();
        GroupData {
            name: group.name.to_string(),
            protocol: group.protocol.to_string(),
            coordinator: run.tracks.keys().position(|name| Some(name) == of),
            partitions: names.iter().map(ToString::to_string).collect(),
            states: states(run, group, &waits).into_iter().map(state).collect(),
            unowned: group.unowned(&names).into_iter().map(|(at, n)| (micros(at), n)).collect(),
            left_out: (group.members.len() - members.len(), blocks - drawn),
            members,
        }
    }

    fn member(
        &self,
        member: &Member,
        names: &[TopicPartition],
        waits: &[Wait],
        shortest: u64,
    ) -> Option<MemberData> {
        let place = |name: &TopicPartition| names.binary_search(name).ok();
        let block = |block: &Block| {
            let end = match block.end {
                End::Open => 0,
                End::Revoked => 1,
                End::Lost => 2,
                End::Left => 3,
                End::Died => 4,
                End::Unassigned => 5,
            };
            let (from, until) = (micros(block.from), micros(block.until));
            let shared = block.shared.map_or(-1, |at| i64::try_from(micros(at)).unwrap_or(-1));
            let fits = until - from >= shortest;
            let partition = place(&block.partition).filter(|_| fits)?;
            Some((partition, from, until, end, block.generation, shared))
        };
        let own = waits.iter().filter(|wait| wait.host == member.host);
        let (commits, errors) = self.commits(member, &place);
        let event = |event: &Event| {
            let (at, kind, text) = (micros(event.at), event.kind, event.text.clone());
            EventData { at, kind, text }
        };
        Some(MemberData {
            host: (self.lane)(member.host)?,
            shares: member
                .shares
                .iter()
                .map(|share| (micros(share.from), micros(share.until), share.generation))
                .collect(),
            blocks: member.blocks.iter().filter_map(block).collect(),
            waits: own.map(|w| (micros(w.from), micros(w.until), u8::from(w.syncs))).collect(),
            commits,
            errors,
            events: member.events.iter().take(EVENTS).map(event).collect(),
        })
    }

    /// The commits of a member: all that failed or are near the story, and enough of the others.
    fn commits(
        &self,
        member: &Member,
        place: &dyn Fn(&TopicPartition) -> Option<usize>,
    ) -> (Vec<Vec<i64>>, BTreeMap<usize, String>) {
        let bin = (micros(self.run.now) / PARTS).max(1);
        let number = |n: u64| i64::try_from(n).unwrap_or(-1);
        let mut kept: Vec<Vec<i64>> = Vec::new();
        let mut errors = BTreeMap::new();
        let mut last: Option<u64> = None;
        for commit in &member.commits {
            let at = micros(commit.at);
            let (took, outcome, error) = told(commit);
            let near = self.windows.contains(at);
            let first = last.is_none_or(|last| last / bin != at / bin);
            if outcome == 0 && !near && !first || kept.len() >= COMMITS {
                if let Some(more) = kept.last_mut().and_then(|kept| kept.get_mut(4)) {
                    *more += 1;
                }
                continue;
            }
            last = Some(at);
            errors.extend(error.map(|error| (kept.len(), error)));
            let mut flat = vec![number(at), took, outcome, i64::from(commit.generation), 0];
            for (name, offset) in &commit.offsets {
                let index = place(name).map_or(-1, |index| number(index as u64));
                flat.extend([index, offset.0]);
            }
            kept.push(flat);
        }
        (kept, errors)
    }
}

/// Of a commit: how long it took, its outcome as a number, and the error.
fn told(commit: &Commit) -> (i64, i64, Option<String>) {
    let Some((at, outcome)) = &commit.told else { return (-1, 2, None) };
    let took = i64::try_from(at.since(commit.at).as_micros()).unwrap_or(-1);
    match outcome {
        Outcome::Ok { .. } => (took, 0, None),
        Outcome::Fail { error } | Outcome::Unknown { error } => (took, 1, Some(error.clone())),
    }
}

/// The shortest ownership, in microseconds, that fits among the longest.
fn shortest(members: &[&Member]) -> u64 {
    let blocks = members.iter().flat_map(|member| &member.blocks);
    let mut all: Vec<u64> = blocks.map(|block| micros(block.until) - micros(block.from)).collect();
    if all.len() <= BLOCKS {
        return 0;
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.get(BLOCKS).map_or(0, |longest| longest + 1)
}

/// The group that a page opens on: the story's.
pub(super) fn opens_on(members: &Members, subject: &Subject) -> Option<usize> {
    let group = subject.group.as_ref()?;
    members.groups.keys().position(|name| name == group)
}
