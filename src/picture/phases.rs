//! The phases of a group's rebalances: how long its members waited for each other, and which state
//! its coordinator was in.
//!
//! Of a classic group only the outcome of a rebalance is stored. Its phases are read off the answers
//! that members wait for: JoinGroup is answered when all have joined, SyncGroup when the leader's
//! assignment is stored. A consumer group (KIP-848) stores each step.

use std::collections::BTreeMap;

use super::coordinator::Fact;
use super::members::{Block, End, Group, Member};
use super::messages::Message;
use super::recorder::Recorder;
use crate::base::Instant;
use crate::group::MemberId;
use crate::sim::HostId;
use crate::wire::api::key as api;

/// A request of a member that its coordinator answers when the group is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub host: HostId,
    /// SyncGroup; otherwise JoinGroup.
    pub syncs: bool,
    pub from: Instant,
    /// When the answer arrived, or the member died.
    pub until: Instant,
    /// When the request reached the coordinator, and when that answered without an error.
    served: Option<(Instant, Instant)>,
}

/// The state of a group, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Assigning,
    Reconciling,
}

/// A phase from a moment on, with the generation or group epoch and the number of members then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub at: Instant,
    pub phase: Phase,
    pub generation: i32,
    pub members: usize,
}

/// What the members of a group waited for, in order of time.
pub(super) fn waits(run: &Recorder, group: &Group) -> Vec<Wait> {
    let members: BTreeMap<HostId, &Member> =
        group.members.values().map(|member| (member.host, member)).collect();
    let mut by_member: BTreeMap<(HostId, i16), Vec<&Message>> = BTreeMap::new();
    for message in run.messages() {
        let host = if message.answer { message.to } else { message.from };
        let waits = message.key == api::JOIN_GROUP || message.key == api::SYNC_GROUP;
        if waits && members.contains_key(&host) {
            by_member.entry((host, message.key)).or_default().push(message);
        }
    }
    let mut found = Vec::new();
    for ((host, key), mut own) in by_member {
        own.sort_by_key(|message| message.sent);
        for (index, asked) in own.iter().enumerate().filter(|(_, m)| !m.answer) {
            let next = own.get(index + 1).copied();
            let answer = next.filter(|m| m.answer && m.from == asked.to);
            let gone = || {
                let blocks = members.get(&host).into_iter().flat_map(|member| &member.blocks);
                let died = |block: &&Block| block.end == End::Died && block.until >= asked.sent;
                let died = blocks.filter(died).map(|block| block.until).min();
                died.into_iter().chain(next.map(|next| next.sent)).min().unwrap_or(run.now)
            };
            let ok = answer.filter(|m| m.error.is_some_and(|error| error.is_none()));
            found.push(Wait {
                host,
                syncs: key == api::SYNC_GROUP,
                from: asked.sent,
                until: answer.map_or_else(gone, |answer| answer.at),
                served: ok.map(|answer| (asked.at, answer.sent)),
            });
        }
    }
    found.sort_by_key(|wait| wait.from);
    found
}

/// The phases of a group, in order of time.
pub(super) fn states(run: &Recorder, group: &Group, waits: &[Wait]) -> Vec<State> {
    let consumers = run.coordinators.of(&group.name).any(|s| matches!(s.fact, Fact::Epoch(_)));
    let states = if consumers { by_epochs(run, group) } else { by_generations(run, group, waits) };
    let mut merged: Vec<State> = Vec::new();
    for state in states {
        // Facts of one batch are of one moment: the last counts.
        if merged.last().is_some_and(|last| last.at == state.at) {
            merged.pop();
        }
        let same = |last: &State| {
            (last.phase, last.generation, last.members)
                == (state.phase, state.generation, state.members)
        };
        if !merged.last().is_some_and(same) {
            merged.push(state);
        }
    }
    merged
}

fn by_generations(run: &Recorder, group: &Group, waits: &[Wait]) -> Vec<State> {
    let served = |syncs: bool| {
        let mut served: Vec<(Instant, Instant)> = waits
            .iter()
            .filter(|wait| wait.syncs == syncs)
            .filter_map(|wait| wait.served)
            .collect();
        served.sort();
        served
    };
    // Members whose waits overlap wait for one rebalance.
    let mut preparing: Vec<(Instant, Instant)> = Vec::new();
    for (from, until) in served(false) {
        match preparing.last_mut() {
            Some(last) if from <= last.1 => last.1 = until.max(last.1),
            _ => preparing.push((from, until)),
        }
    }
    let formed: Vec<(Instant, i32, usize)> = run
        .coordinators
        .of(&group.name)
        .filter_map(|stored| match &stored.fact {
            Fact::Formed { generation, members } => Some((stored.at, *generation, members.len())),
            _ => None,
        })
        .collect();
    let synced = served(true);
    let last = |at: Instant| {
        let before = formed.iter().rev().find(|(when, ..)| *when <= at);
        before.map_or((0, 0), |(_, generation, members)| (*generation, *members))
    };
    let mut states: Vec<State> = formed
        .iter()
        .map(|(at, generation, members)| {
            let phase = if *members == 0 { Phase::Empty } else { Phase::Stable };
            State { at: *at, phase, generation: *generation, members: *members }
        })
        .collect();
    for (index, (from, until)) in preparing.iter().enumerate() {
        let (generation, members) = last(*from);
        states.push(State { at: *from, phase: Phase::PreparingRebalance, generation, members });
        let next = preparing.get(index + 1).map_or(run.now, |next| next.0);
        let stored = formed.iter().map(|formed| formed.0).find(|at| at >= until);
        let answered = synced.iter().map(|synced| synced.1).filter(|at| at >= until).min();
        // Nothing is stored where a member that rejoins changes nothing.
        let over = stored.into_iter().chain(answered).min().filter(|at| *at <= next);
        states.push(State { at: *until, phase: Phase::CompletingRebalance, generation, members });
        if let Some(at) = over {
            let (generation, members) = last(at);
            states.push(State { at, phase: Phase::Stable, generation, members });
        }
    }
    states.sort_by_key(|state| state.at);
    states
}

fn by_epochs(run: &Recorder, group: &Group) -> Vec<State> {
    let (mut epoch, mut target) = (0, 0);
    let mut current: BTreeMap<&MemberId, (i32, bool)> = BTreeMap::new();
    let mut states = Vec::new();
    for stored in run.coordinators.of(&group.name) {
        match &stored.fact {
            Fact::Epoch(now) => epoch = *now,
            Fact::Target(now) => target = *now,
            Fact::Current { member, epoch, settled } => {
                current.insert(member, (*epoch, *settled));
            }
            Fact::Member { member, .. } => {
                current.entry(member).or_insert((0, false));
            }
            Fact::Removed { member } => drop(current.remove(member)),
            Fact::Formed { .. } => continue,
        }
        let phase = if current.is_empty() {
            Phase::Empty
        } else if target < epoch {
            Phase::Assigning
        } else if current.values().all(|(own, settled)| *own == target && *settled) {
            Phase::Stable
        } else {
            Phase::Reconciling
        };
        let members = current.len();
        states.push(State { at: stored.at, phase, generation: epoch, members });
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::coordinator::Stored;
    use crate::picture::members::Members;
    use crate::picture::messages::Messages;
    use crate::picture::recorder::Said;
    use crate::sim::MemberEvent;
    use crate::wire::ErrorCode;

    /// A run with members k1 and k2 on hosts 1 and 2, whose coordinator is host 3.
    fn run(messages: Vec<Message>, facts: Vec<(u64, Fact)>) -> Recorder {
        let mut run = Recorder::default();
        run.now = Instant(1000);
        run.messages = Messages::of(messages);
        for consumer in 1..=2 {
            let event = MemberEvent::Subscribed {
                consumer,
                group: "shop".into(),
                topics: vec!["orders".into()],
                is_static: false,
                protocol: "classic".into(),
                session_ms: 6000,
            };
            let host = HostId(u16::try_from(consumer).unwrap());
            run.said.push(Said { at: Instant(1), host, event });
        }
        let stored = facts.into_iter().map(|(at, fact)| Stored {
            at: Instant(at),
            host: HostId(3),
            group: "shop".into(),
            fact,
        });
        run.coordinators.stored.extend(stored);
        run
    }

    /// A request that is sent at `asked` and answered at `answered`, each under way for 2.
    fn exchange(host: u16, key: i16, asked: u64, answered: u64, error: ErrorCode) -> [Message; 2] {
        let one = |sent: u64, answer: bool| Message {
            sent: Instant(sent),
            at: Instant(sent + 2),
            from: HostId(if answer { 3 } else { host }),
            to: HostId(if answer { host } else { 3 }),
            key,
            answer,
            bytes: 20,
            error: answer.then_some(error),
        };
        [one(asked, false), one(answered, true)]
    }

    fn phases(run: &Recorder) -> Vec<(u64, Phase, i32, usize)> {
        let members = Members::of(run);
        let group = &members.groups["shop"];
        let states = states(run, group, &waits(run, group));
        states.into_iter().map(|s| (s.at.0, s.phase, s.generation, s.members)).collect()
    }

    fn formed(generation: i32, members: usize) -> Fact {
        let member = |n: usize| (format!("m{n}").as_str().into(), format!("k{n}"));
        Fact::Formed { generation, members: (0..members).map(member).collect() }
    }

    #[test]
    fn rebalance_is_prepared_until_joins_are_answered_then_completed() {
        let none = ErrorCode::None;
        let messages = [
            exchange(1, api::JOIN_GROUP, 98, 200, none),
            exchange(2, api::JOIN_GROUP, 148, 201, none),
            exchange(1, api::SYNC_GROUP, 210, 240, none),
            exchange(2, api::SYNC_GROUP, 205, 241, none),
        ];
        let run = run(messages.concat(), vec![(230, formed(4, 2))]);
        assert_eq!(
            phases(&run),
            [
                (100, Phase::PreparingRebalance, 0, 0),
                (201, Phase::CompletingRebalance, 0, 0),
                (230, Phase::Stable, 4, 2),
            ]
        );
        let members = Members::of(&run);
        let waits = waits(&run, &members.groups["shop"]);
        let waits: Vec<_> =
            waits.iter().map(|w| (w.host.0, w.syncs, w.from.0, w.until.0)).collect();
        assert_eq!(
            waits,
            [(1, false, 98, 202), (2, false, 148, 203), (2, true, 205, 243), (1, true, 210, 242)]
        );
    }

    #[test]
    fn join_that_is_refused_begins_no_rebalance() {
        let refused = exchange(1, api::JOIN_GROUP, 98, 101, ErrorCode::MemberIdRequired);
        let run = run(refused.to_vec(), vec![(50, formed(4, 2)), (500, formed(4, 0))]);
        assert_eq!(phases(&run), [(50, Phase::Stable, 4, 2), (500, Phase::Empty, 4, 0)]);
    }

    #[test]
    fn rejoin_that_changes_nothing_is_over_when_it_is_answered() {
        let none = ErrorCode::None;
        let messages = [
            exchange(1, api::JOIN_GROUP, 98, 101, none),
            exchange(1, api::SYNC_GROUP, 104, 107, none),
        ];
        let run = run(messages.concat(), vec![(50, formed(4, 2))]);
        let phases = phases(&run);
        assert_eq!(phases.last(), Some(&(107, Phase::Stable, 4, 2)), "{phases:?}");
    }

    #[test]
    fn consumer_group_reconciles_until_every_member_has_settled() {
        let current =
            |member: &str, epoch, settled| Fact::Current { member: member.into(), epoch, settled };
        let member = |member: &str| Fact::Member { member: member.into(), client: "k1".into() };
        let facts = vec![
            (10, member("a")),
            (10, Fact::Epoch(1)),
            (20, Fact::Target(1)),
            (20, current("a", 1, true)),
            (30, member("b")),
            (30, Fact::Epoch(2)),
            (30, Fact::Target(2)),
            (40, current("a", 1, false)),
            (50, current("a", 2, true)),
            (60, current("b", 2, true)),
            (70, Fact::Removed { member: "a".into() }),
            (70, Fact::Removed { member: "b".into() }),
        ];
        let run = run(Vec::new(), facts);
        assert_eq!(
            phases(&run),
            [
                (10, Phase::Assigning, 1, 1),
                (20, Phase::Stable, 1, 1),
                (30, Phase::Reconciling, 2, 2),
                (60, Phase::Stable, 2, 2),
                (70, Phase::Empty, 2, 0),
            ]
        );
    }
}
