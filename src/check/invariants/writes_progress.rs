//! `writes-progress`: while faults last elsewhere, a partition whose leader and enough of its ISR are
//! up, untouched, and connected to each other, to the controller and to a producer acknowledges
//! that producer's `acks=all` sends within a bounded time.
//!
//! Enough is `min.insync.replicas`. The bound covers what a fault next to them may cost: the session of
//! a dead broker, `replica.lag.time.max.ms` until a dead follower leaves the ISR, and the timeout of a
//! request to a broker that does not answer. It counts from the latest of: the last acknowledgement,
//! the oldest waiting send, the leader's election, and the end of the last fault on any of them.
//! After the heal, `writes-resume` judges.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::config::Acks;
use crate::base::{Instant, TopicPartition};
use crate::check::{Event, Ghost, Invariant, LivenessWitness, Violation};
use crate::sim::{ClientEvent, HostId, Outcome, ProducerEvent, What};
use crate::view::Change as Folded;

/// A producer that sends nothing for this long has stopped waiting.
const PAUSE: Duration = Duration::from_secs(1);

/// The `acks=all` sends of one producer to one partition.
#[derive(Default)]
struct Waiting {
    open: u64,
    /// Since when sends have been waiting, or failing, without one that was acknowledged.
    since: Option<Instant>,
    /// When the last answer came.
    told: Option<Instant>,
}

pub(super) struct WritesProgress {
    within: Duration,
    /// By the producer's host.
    waiting: BTreeMap<HostId, BTreeMap<TopicPartition, Waiting>>,
    /// When the present leader took over.
    elected: BTreeMap<TopicPartition, Instant>,
}

impl WritesProgress {
    pub fn new(within: Duration) -> Self {
        Self { within, waiting: BTreeMap::new(), elected: BTreeMap::new() }
    }

    fn judge(
        &self,
        (at, client): (Instant, HostId),
        ghost: &Ghost,
        partition: &TopicPartition,
    ) -> Result<(), Violation> {
        let waiting = self.waiting.get(&client).and_then(|waiting| waiting.get(partition));
        let Some(waits) = waiting.and_then(|waiting| waiting.since) else { return Ok(()) };
        if at.since(waits) <= self.within {
            return Ok(());
        }
        let Some(ready) = self.ready_since(client, ghost, partition) else { return Ok(()) };
        let since = ready.max(waits);
        if at.since(since) <= self.within {
            return Ok(());
        }
        let waits = ghost.who_waits_for(partition, since);
        let witness = LivenessWitness::NoProgress { since, within: self.within, waits };
        Violation::found("writes-progress", at, partition, witness)
    }

    /// Since when everything has been there that an acknowledgement takes, if it is.
    fn ready_since(
        &self,
        client: HostId,
        ghost: &Ghost,
        partition: &TopicPartition,
    ) -> Option<Instant> {
        let state = ghost.view().partition(partition)?.state().clone();
        let (epoch, leader) = ghost.view().leader(partition)?;
        let id = ghost.host(leader)?.broker;
        if state.leader != Some(id) || state.leader_epoch != epoch {
            return None;
        }
        let controller = ghost.metadata().active()?;
        let elected = self.elected.get(partition).copied().unwrap_or(Instant::START);
        let calm = ghost.calm();
        let sound = |host: HostId| {
            let log = ghost.replica(host, partition);
            !log.is_some_and(|log| log.is_damaged_somewhere())
        };
        if !sound(leader) {
            return None;
        }
        let leads = elected.max(calm.pair_since(client, leader)?);
        let leads = leads.max(calm.pair_since(leader, controller)?);
        let others = state.isr.iter().filter(|other| **other != id).filter_map(|other| {
            let (host, node) = ghost.view().node_of(*other)?;
            let usable = node.up && node.ready && node.admitted && sound(host);
            let pair = calm.pair_since(leader, host).filter(|_| usable)?;
            Some(pair.max(calm.pair_since(host, controller)?))
        });
        let mut others: Vec<Instant> = others.collect();
        others.sort_unstable();
        match ghost.copies_needed(partition).saturating_sub(1) {
            0 => Some(leads),
            needed => others.get(needed - 1).map(|others| leads.max(*others)),
        }
    }

    fn sent(&mut self, at: Instant, client: HostId, partition: &TopicPartition) {
        let of_client = self.waiting.entry(client).or_default();
        if !of_client.contains_key(partition) {
            of_client.insert(partition.clone(), Waiting::default());
        }
        let Some(waiting) = of_client.get_mut(partition) else { return };
        let idle = waiting.open == 0 && waiting.told.is_none_or(|told| at.since(told) > PAUSE);
        if idle || waiting.since.is_none() {
            waiting.since = Some(at);
        }
        waiting.open += 1;
    }

    fn told(&mut self, at: Instant, client: HostId, partition: &TopicPartition, acked: bool) {
        let of_client = self.waiting.get_mut(&client);
        let Some(waiting) = of_client.and_then(|waiting| waiting.get_mut(partition)) else {
            return;
        };
        waiting.open = waiting.open.saturating_sub(1);
        waiting.told = Some(at);
        if acked {
            waiting.since = (waiting.open > 0).then_some(at);
        }
    }
}

impl Invariant for WritesProgress {
    fn name(&self) -> &'static str {
        "writes-progress"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let (at, host) = (event.seen.at, event.seen.host);
        for change in event.folded {
            match change {
                Folded::TookOver { partition, .. } => {
                    self.elected.insert(partition.clone(), at);
                }
                Folded::Gone { partition } => {
                    self.waiting.values_mut().for_each(|waiting| {
                        waiting.remove(partition);
                    });
                }
                // The next process knows nothing of what this one sent.
                Folded::Down(_) => {
                    self.waiting.remove(&host);
                }
                _ => {}
            }
        }
        if ghost.has_healed() {
            return Ok(());
        }
        match &event.seen.what {
            What::Client(ClientEvent::Producer(ProducerEvent::Sent {
                partition,
                acks: Acks::All,
                ..
            })) => {
                self.judge((at, host), ghost, partition)?;
                self.sent(at, host, partition);
            }
            What::Client(ClientEvent::Producer(ProducerEvent::Told { producer, op, outcome })) => {
                let Some(send) = ghost.clients().send(*producer, *op) else { return Ok(()) };
                if send.acks == Acks::All {
                    let acked = matches!(outcome, Outcome::Ok { .. });
                    if !acked {
                        self.judge((at, host), ghost, &send.partition)?;
                    }
                    self.told(at, host, &send.partition, acked);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    /// b3 is cut off from b1; b1 leads, b2 is in sync, and a producer waits.
    fn one_follower_cut_off() -> Story {
        let mut story = Story::judging("writes-progress");
        story.became_controller(1);
        for broker in [1, 2, 3] {
            story.ready(broker);
            story.admitted(i32::from(broker));
        }
        story.touches(&[], &[(1, 3)]);
        story.sent(0, 0, 100, Acks::All);
        story
    }

    #[test]
    fn silent_while_writes_are_acknowledged_now_and_then() {
        let mut story = one_follower_cut_off();
        for op in 0..10 {
            for _ in 0..20 {
                story.later();
            }
            story.told_ok(0, op, Some(op as i64));
            story.sent(0, op + 1, 101 + op, Acks::All);
        }
        story.silent();
    }

    #[test]
    fn fires_when_none_is_acknowledged_while_only_another_follower_is_cut_off() {
        let mut story = one_follower_cut_off();
        story.long_later();
        story.told_unknown(0, 0, "REQUEST_TIMED_OUT");
        story.fired(
            "orders-0 no acks=all send was acknowledged within 30 s from 1.000 s, though its leader and \
             min.insync.replicas are up and connected (p0 was told REQUEST_TIMED_OUT at 61.000 s; leader \
             b1 of epoch 0, log end 0, ISR b1, b2 and b3)",
        );
    }

    #[test]
    fn fires_when_sends_fail_one_after_the_other() {
        let mut story = one_follower_cut_off();
        for op in 0..40 {
            story.later();
            story.told_fail(0, op, "NOT_ENOUGH_REPLICAS");
            story.sent(0, op + 1, 101 + op, Acks::All);
        }
        assert!(story.sentence().contains("no acks=all send was"), "{}", story.sentence());
    }

    #[test]
    fn silent_while_too_few_are_left_or_the_leader_is_touched() {
        let mut cut = one_follower_cut_off();
        cut.touches(&[2], &[(1, 3)]);
        cut.long_later();
        cut.told_unknown(0, 0, "REQUEST_TIMED_OUT");
        cut.silent();
        let mut leader = one_follower_cut_off();
        leader.touches(&[1], &[]);
        leader.long_later();
        leader.told_unknown(0, 0, "REQUEST_TIMED_OUT");
        leader.silent();
    }

    #[test]
    fn silent_soon_after_a_fault_on_the_leader_has_ended_and_fires_later() {
        let mut story = one_follower_cut_off();
        story.touches(&[1], &[]);
        story.long_later();
        story.touches(&[], &[]);
        story.later();
        story.told_unknown(0, 0, "REQUEST_TIMED_OUT");
        story.silent();
        story.sent(0, 1, 101, Acks::All);
        story.long_later();
        story.told_unknown(0, 1, "REQUEST_TIMED_OUT");
        assert!(story.sentence().contains("from 61.000 s"), "{}", story.sentence());
    }

    #[test]
    fn silent_about_a_producer_that_is_cut_off_and_about_acks_1() {
        let mut story = one_follower_cut_off();
        story.touches(&[100], &[]);
        story.long_later();
        story.told_unknown(0, 0, "REQUEST_TIMED_OUT");
        story.touches(&[], &[]);
        story.sent(1, 0, 200, Acks::Leader);
        story.long_later();
        story.told_unknown(1, 0, "REQUEST_TIMED_OUT");
        story.silent();
    }
}
