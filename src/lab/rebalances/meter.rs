//! Measures one run: which partitions had an owner when, and what was processed twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{Instant, Offset, TopicPartition};
use crate::check::{Ghost, Violation};
use crate::run::{Lane, Observer};
use crate::sim::{ClientEvent, HostId, MemberEvent, Observation, Shot, What};

/// What was measured in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// How long the storm lasted, from when the group was first stable to the last fault's end.
    pub storm: Duration,
    /// Generations that a member began meanwhile; member epochs in the consumer protocol.
    pub rebalances: u64,
    /// How long a partition had no owner, each time that it lost one.
    pub gaps: Vec<Duration>,
    /// The time of all partitions without an owner, within the storm.
    pub unowned: Duration,
    /// How long the group was not stable, each time that it was disturbed.
    pub unstable: Vec<Duration>,
    /// Different records that were processed, and how often one was processed again.
    pub processed: u64,
    pub again: u64,
}

/// Measures a run from when its group is stable for the first time until the final reads begin.
/// What is disturbed after the storm does not count: members come back because it is over.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Hosts that are paused: their members own nothing that anyone processes.
    paused: BTreeSet<HostId>,
    /// When the group was stable for the first time, and the generations that there were by then.
    first: Option<Instant>,
    seen: BTreeSet<i32>,
    healed: Option<Instant>,
    is_over: bool,
    /// All partitions of the group's topics.
    partitions: Vec<TopicPartition>,
    /// Partitions without an owner, since when.
    unowned: BTreeMap<TopicPartition, Instant>,
    unstable: Option<Instant>,
    processed: BTreeSet<(TopicPartition, Offset)>,
    figures: Figures,
}

impl Meter {
    pub fn figures(self) -> Figures {
        self.figures
    }

    /// Folds an event of a member; returns whether its group may have changed.
    fn member(&mut self, event: &MemberEvent) -> bool {
        match event {
            MemberEvent::Processed { partition, offset, .. } => {
                match self.processed.insert((partition.clone(), *offset)) {
                    true => self.figures.processed += 1,
                    false => self.figures.again += 1,
                }
                false
            }
            MemberEvent::Joined { generation, .. } | MemberEvent::Entered { generation, .. } => {
                let is_new = self.seen.insert(*generation);
                if is_new && self.first.is_some() && self.healed.is_none() {
                    self.figures.rebalances += 1;
                }
                true
            }
            MemberEvent::Subscribed { .. }
            | MemberEvent::Revoked { .. }
            | MemberEvent::Lost { .. }
            | MemberEvent::Fenced { .. }
            | MemberEvent::Left { .. } => true,
            MemberEvent::Withholds { .. }
            | MemberEvent::Dismissed { .. }
            | MemberEvent::Committing { .. }
            | MemberEvent::Committed { .. }
            | MemberEvent::Recalling { .. }
            | MemberEvent::Recalled { .. } => false,
        }
    }

    /// Compares the group with what it was.
    fn compare(&mut self, at: Instant, ghost: &Ghost) {
        let groups = ghost.groups();
        let stable = groups.members().next().is_some() && ghost.unstable().is_none();
        if self.first.is_none() && !stable {
            return;
        }
        if self.first.is_none() {
            self.first = Some(at);
            let of_group = |topic| groups.members().any(|(_, m)| m.topics.contains(topic));
            let all = ghost.view().partitions().map(|(name, _)| name);
            self.partitions = all.filter(|name| of_group(&name.topic)).cloned().collect();
        }
        if stable {
            if let Some(since) = self.unstable.take() {
                self.figures.unstable.push(at.since(since));
            }
        } else if self.healed.is_none() {
            self.unstable.get_or_insert(at);
        }
        let running = groups.members().filter(|(_, member)| !self.paused.contains(&member.host));
        let running: Vec<_> = running.map(|(_, member)| member).collect();
        let is_owned =
            |name: &TopicPartition| running.iter().any(|member| member.owned.contains(name));
        let (owned, unowned): (Vec<_>, Vec<_>) =
            self.partitions.iter().cloned().partition(is_owned);
        for name in owned {
            if let Some(since) = self.unowned.remove(&name) {
                self.had_none(since, at);
            }
        }
        if self.healed.is_none() {
            for name in unowned {
                self.unowned.entry(name).or_insert(at);
            }
        }
    }

    /// A partition had no owner from `since` to `at`.
    fn had_none(&mut self, since: Instant, at: Instant) {
        if at > since {
            self.figures.gaps.push(at.since(since));
            let end = self.healed.map_or(at, |healed| healed.min(at));
            self.figures.unowned += end.since(since);
        }
    }
}

impl Observer for Meter {
    fn films(&self) -> bool {
        false
    }

    fn lanes(&self) -> usize {
        usize::MAX
    }

    fn hosts(&mut self, _: Vec<Lane>) {}

    fn began(&mut self, _: Instant) {}

    fn healed(&mut self, at: Instant) {
        self.healed = Some(at);
        if let Some(first) = self.first {
            self.figures.storm = at.since(first);
        }
    }

    fn reading(&mut self, at: Instant) {
        self.is_over = true;
        for since in std::mem::take(&mut self.unowned).into_values() {
            self.had_none(since, at);
        }
        if let Some(since) = self.unstable.take() {
            self.figures.unstable.push(at.since(since));
        }
    }

    fn see(&mut self, seen: &Observation, ghost: &Ghost) {
        if self.is_over {
            return;
        }
        let changes = match &seen.what {
            What::Client(ClientEvent::Member(event)) => self.member(event),
            What::Paused => self.paused.insert(seen.host),
            What::Resumed => self.paused.remove(&seen.host),
            What::Killed | What::PowerLost { .. } | What::Ended => {
                self.paused.remove(&seen.host);
                true
            }
            _ => false,
        };
        if changes {
            self.compare(seen.at, ghost);
        }
    }

    fn roll(&mut self, _: Instant, _: Vec<Shot>) {}

    fn judged(&mut self, _: &[Violation]) {}
}
