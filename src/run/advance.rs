//! Time passes in a run, and what is observed reaches all that watch it.

use super::guests::Guests;
use super::roles::{self, Kind};
use super::{Lane, LaneKind, Run};
use crate::base::{Instant, TopicPartition};
use crate::sim::{
    ClientEvent, ConsumerEvent, Engine, ProducerEvent, SimWorld, TransactionEvent, What,
};

impl<E: Engine<World: SimWorld>> Run<'_, '_, E> {
    /// Runs for a step, or until `limit` if that is sooner, and processes the observations.
    pub(super) fn advance(&mut self, limit: Instant) {
        let until = (self.engine.now() + self.step()).min(limit);
        self.engine.run_until(until);
        for seen in self.engine.drain() {
            if self.judged {
                self.judge.observe(&seen);
            } else {
                self.judge.fold(&seen);
            }
            let view = self.judge.ghost().view();
            self.hosts.see(&seen, view);
            self.coverage.see(&seen, self.judge.ghost());
            if let What::Client(event) = &seen.what {
                self.count(event);
                self.clients.see(seen.host, event);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.see(&seen, self.judge.ghost());
            }
            self.note(|history| history.observe(&seen));
            if let Some(Guests { book, audience, .. }) = &mut self.guests {
                audience.see(&seen, self.engine.name(seen.host), &book.lock());
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.roll(self.engine.now(), self.engine.take_film());
            if recorder.lanes() < self.hosts.all.len() {
                recorder.hosts(self.hosts.all.iter().map(lane).collect());
            }
        }
        if let Some(watch) = &mut self.watch {
            self.engine.take_trace().iter().for_each(|line| watch(line));
        }
    }

    pub(super) fn count(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Producer(ProducerEvent::Sent { producer, op, partition, .. }) => {
                self.counts.sent += 1;
                if self.healed.is_some() {
                    self.sent.insert((*producer, *op), partition.clone());
                }
            }
            ClientEvent::Producer(ProducerEvent::Told { producer, op, outcome }) => {
                let partition = self.sent.remove(&(*producer, *op));
                match outcome {
                    crate::sim::Outcome::Ok { .. } => {
                        self.counts.acked += 1;
                        let ours = |partition: &TopicPartition| {
                            let mut topics = self.scenario.written_topics();
                            topics.any(|topic| topic.name == *partition.topic)
                        };
                        if let Some(partition) = partition.filter(ours) {
                            self.written.insert(partition, true);
                        }
                    }
                    crate::sim::Outcome::Fail { .. } => self.counts.refused += 1,
                    crate::sim::Outcome::Unknown { .. } => self.counts.unknown += 1,
                }
            }
            ClientEvent::Consumer(ConsumerEvent::Polled { records, .. }) => {
                self.counts.read += records.len() as u64
            }
            ClientEvent::Transaction(TransactionEvent::Ended { outcome, .. }) => {
                self.counts.transactions.ended(outcome);
            }
            _ => {}
        }
    }
}

/// A host for a picture.
fn lane(host: &roles::Host) -> Lane {
    let kind = match host.kind {
        Kind::Controller => LaneKind::Controller,
        Kind::Broker(id) => LaneKind::Broker(id),
        Kind::Producer => LaneKind::Producer,
        Kind::Consumer => LaneKind::Consumer,
        Kind::Admin => LaneKind::Admin,
        Kind::Program(_) => LaneKind::Producer,
    };
    Lane { host: host.id, name: host.name.clone(), kind }
}
