//! Outages: how long a partition had no leader, or acknowledged no write though producers tried.
//!
//! Nothing is judged here: `writes-progress` and `writes-resume` do. A partition is not writable from
//! the first send that waits or fails until the next acknowledgement, or until no producer tries any
//! more. Sends with acks=0 are never acknowledged and do not count; neither do those of a client that
//! a fault strikes itself, or cuts off from every broker.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Event, Ghost, Outage, OutageKind, longest};
use crate::base::config::Acks;
use crate::base::{Instant, TopicPartition};
use crate::sim::{ClientEvent, HostId, Outcome, ProducerEvent, What};
use crate::view::Change as Folded;

/// Shorter outages are not reported.
const SHORTEST: Duration = Duration::from_secs(1);

/// The condition of one partition.
#[derive(Debug, Default)]
struct Condition {
    /// Sends without an outcome, by the client's host.
    open: BTreeMap<HostId, u64>,
    /// Since when sends have waited or failed without one that was acknowledged.
    trying: Option<Instant>,
    /// When the last outcome came.
    told: Instant,
    leaderless: Option<Instant>,
}

/// Finds the outages of a run.
#[derive(Debug, Default)]
pub(super) struct Outages {
    partitions: BTreeMap<TopicPartition, Condition>,
    found: Vec<Outage>,
}

impl Outages {
    /// Takes the next event in; the ghost has seen it already.
    pub fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) {
        let (at, host) = (event.seen.at, event.seen.host);
        for change in event.folded {
            match change {
                Folded::Committed(committed) => {
                    let name = &committed.partition;
                    let state = ghost.view().partition(name).map(|partition| partition.state());
                    let led = state.is_none_or(|state| state.leader.is_some());
                    self.led(at, name, led);
                }
                Folded::Gone { partition } => self.end(at, partition),
                Folded::Down(_) => self.stopped(at, |client| client == host),
                _ => {}
            }
        }
        let What::Client(ClientEvent::Producer(event)) = &event.seen.what else { return };
        match event {
            ProducerEvent::Sent { partition, acks, .. } => {
                if *acks != Acks::None && !ghost.is_cut_off(host) {
                    let condition = self.condition(partition);
                    condition.trying.get_or_insert(at);
                    *condition.open.entry(host).or_default() += 1;
                }
            }
            ProducerEvent::Told { producer, op, outcome } => {
                let Some(send) = ghost.clients().send(*producer, *op) else { return };
                let acked = matches!(outcome, Outcome::Ok { .. });
                if send.acks != Acks::None && (acked || !ghost.is_cut_off(host)) {
                    self.told(at, host, &send.partition, acked);
                }
            }
            ProducerEvent::Misbehaved { .. } | ProducerEvent::Answered { .. } => {}
        }
    }

    /// Faults touch other hosts and links than before.
    pub fn touched(&mut self, at: Instant, ghost: &Ghost) {
        self.stopped(at, |client| ghost.is_cut_off(client));
    }

    /// The outages of a run that ends now, in the order of time.
    pub fn finish(mut self, now: Instant) -> Vec<Outage> {
        let names: Vec<_> = self.partitions.keys().cloned().collect();
        names.iter().for_each(|name| self.end(now, name));
        let count = self.found.len();
        longest(&self.found, count).0.into_iter().cloned().collect()
    }

    fn condition(&mut self, partition: &TopicPartition) -> &mut Condition {
        self.partitions.entry(partition.clone()).or_default()
    }

    fn led(&mut self, at: Instant, partition: &TopicPartition, led: bool) {
        let condition = self.condition(partition);
        if !led {
            condition.leaderless.get_or_insert(at);
        } else if let Some(since) = condition.leaderless.take() {
            self.add(partition, OutageKind::NoLeader, since, at);
        }
    }

    fn told(&mut self, at: Instant, client: HostId, partition: &TopicPartition, acked: bool) {
        let condition = self.condition(partition);
        condition.told = at;
        if let Some(open) = condition.open.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                condition.open.remove(&client);
            }
        }
        let since = *condition.trying.get_or_insert(at);
        if acked {
            condition.trying = (!condition.open.is_empty()).then_some(at);
            self.add(partition, OutageKind::NotWritable, since, at);
        }
    }

    /// Clients stopped waiting: what they sent tells nothing about partitions any more.
    fn stopped(&mut self, at: Instant, stopped: impl Fn(HostId) -> bool) {
        let mut ended = Vec::new();
        for (partition, condition) in &mut self.partitions {
            let before = condition.open.len();
            condition.open.retain(|client, _| !stopped(*client));
            if condition.open.is_empty() && before > 0 {
                let since = condition.trying.take();
                ended.extend(since.map(|since| (partition.clone(), since)));
            }
        }
        for (partition, since) in ended {
            self.add(&partition, OutageKind::NotWritable, since, at);
        }
    }

    /// Nothing is known of a partition from now on.
    fn end(&mut self, at: Instant, partition: &TopicPartition) {
        let Some(condition) = self.partitions.remove(partition) else { return };
        let until = if condition.open.is_empty() { condition.told } else { at };
        if let Some(since) = condition.trying {
            self.add(partition, OutageKind::NotWritable, since, until);
        }
        if let Some(since) = condition.leaderless {
            self.add(partition, OutageKind::NoLeader, since, at);
        }
    }

    fn add(&mut self, partition: &TopicPartition, kind: OutageKind, from: Instant, until: Instant) {
        if until < from || until.since(from) < SHORTEST {
            return;
        }
        let (from_ms, until_ms) = (from.0 / 1_000_000, until.0 / 1_000_000);
        self.found.push(Outage { partition: partition.clone(), kind, from_ms, until_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Story;

    fn outages(story: &mut Story) -> Vec<String> {
        story.finish().outages.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn partition_is_not_writable_from_a_waiting_send_to_the_next_ack() {
        let mut story = Story::judging_all();
        story.sent(1, 0, 100, Acks::All);
        story.told_ok(1, 0, Some(0));
        story.long_later();
        story.sent(1, 1, 101, Acks::All);
        story.later();
        story.told_fail(1, 1, "NOT_ENOUGH_REPLICAS");
        story.sent(1, 2, 102, Acks::All);
        story.later();
        story.told_ok(1, 2, Some(1));
        story.later();
        assert_eq!(outages(&mut story), ["orders-0 not writable 61.0–63.0 s"]);
    }

    #[test]
    fn idle_partition_and_sends_without_acks_are_no_outage() {
        let mut story = Story::judging_all();
        story.sent(1, 0, 100, Acks::Leader);
        story.told_ok(1, 0, Some(0));
        story.sent_plain(1, 1, 101, Acks::None);
        story.long_later();
        assert_eq!(outages(&mut story), [""; 0]);
    }

    #[test]
    fn partition_without_a_leader_is_an_outage_until_one_is_elected() {
        let mut story = Story::judging_all();
        story.commits(None, 1, &[1]);
        story.later();
        story.later();
        story.elected(1, 2, &[1]);
        story.later();
        assert_eq!(outages(&mut story), ["orders-0 without a leader 1.0–3.0 s"]);
    }

    #[test]
    fn client_that_was_killed_or_cut_off_waits_for_no_partition() {
        let mut story = Story::judging_all();
        story.sent(1, 0, 100, Acks::All);
        story.client_killed();
        story.long_later();
        story.sent(1, 1, 101, Acks::All);
        story.touches(&[], &[(100, 1), (100, 2), (100, 3)]);
        story.long_later();
        assert_eq!(outages(&mut story), [""; 0]);
    }

    #[test]
    fn client_that_only_the_leader_does_not_hear_waits_for_the_partition() {
        let mut story = Story::judging_all();
        story.touches(&[], &[(100, 1)]);
        story.sent(1, 0, 100, Acks::All);
        story.later();
        story.later();
        story.told_ok(1, 0, Some(0));
        assert_eq!(outages(&mut story), ["orders-0 not writable 1.0–3.0 s"]);
    }
}
